#!/usr/bin/env bash
# 12-nagle - write, write, read: two rules of TCP wait for each other, 40 ms for each request.
#
# tier: any
# summary: A request in two writes takes a thousand times as long as in one; who holds it back, and six cures.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

requests=20
forgotten=5
ways=(separate nodelay buffer writev more cork forgotten quickack cork-5 cork-5-nodelay)

main() {
	lab_start "$@"
	need nodelay

	beat predict
	say 'A client sends a request, a header of 4 bytes and a payload of 1000, and waits for the reply, 4 bytes. It does so' \
		"$requests times on one connection, over loopback, where a round trip takes 0.05 ms. Header and payload are in different" \
		'places, so it calls send(2) twice.'
	predict wait 'How many milliseconds does a request take, as a rule?'
	predict stalled "How many of the $requests take longer than 20 ms?"
	say 'Another client does the same, but calls writev(2) once, with both pieces.'
	predict writev 'And how many of these?'
	say 'A third one sets TCP_CORK, so that the two leave together, and forgets to take it out again.'
	predict cork 'When does its payload leave?' 'at once' 'when the header is acknowledged' 'after a time of its own' 'never'
	say 'The fourth corks five whole requests, and takes the cork out: they leave as one segment. The server reads one after the' \
		'other, and answers each by one send(2).'
	predict replies "How many of the $requests take longer than 20 ms?"

	beat run
	serve server 'nodelay -s -p 0 --json > server.json'
	ask separate "-r $requests"
	ask nodelay "-D -r $requests"
	ask buffer "-b -r $requests"
	ask writev "--fixed -r $requests"
	ask more "--how more -r $requests"
	ask cork "--how cork -r $requests"
	ask forgotten "--how forgotten-cork -r $forgotten"
	ask cork-5 "--how cork -n 5 -r $requests"
	stop server
	say '# the same client, and a server that acknowledges at once'
	serve server-quickack 'nodelay -s --quickack -p 0 --json > server-quickack.json'
	ask quickack "-r $requests"
	stop server-quickack
	say '# five at a time, and a server with TCP_NODELAY'
	serve server-nodelay 'nodelay -s -D -p 0 --json > server-nodelay.json'
	ask cork-5-nodelay "--how cork -n 5 -r $requests"
	stop server-nodelay

	beat observe 'the same bytes, written in ten ways'
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# ask NAME OPTIONS: status 3 is no failure here: the way of writing did not do what it does alone, which is what we look for.
ask() {
	try "nodelay 127.0.0.1 -p $PORT $2 --json > $1.json"
	[[ $STATUS == [03] ]] || run false
}

# --- observe ---

declare -A count=() segments=() stalled=() middle=() nagle=()

observe() {
	local name
	say "$(printf '%-15s | %8s %8s %8s | %8s %8s %8s | %s' '' requests segments '> 20 ms' 'min ms' median max \
		'held back by')"
	for name in "${ways[@]}"; do
		count[$name]=$(field "$name.json" requests)
		segments[$name]=$(field "$name.json" segments)
		stalled[$name]=$(field "$name.json" stalled)
		middle[$name]=$(in_ms "$(field "$name.json" wait_median_ns)")
		nagle[$name]=$(field "$name.json" held_by_nagle)
		say "$(printf '%-15s | %8s %8s %8s | %8s %8s %8s | %s' "$name" "${count[$name]}" "${segments[$name]}" \
			"${stalled[$name]}" "$(in_ms "$(field "$name.json" wait_min_ns)")" "${middle[$name]}" \
			"$(in_ms "$(field "$name.json" wait_max_ns)")" "$(holders "$name")")"
	done
	acks=$(field separate.json delayed_acks)
	say "separate: the first request took $(in_ms "$(first wait_ns)") ms;" \
		"delayed acknowledgements on this machine during that run: $acks"
	figure separate_median "${middle[separate]}" ms
	figure writev_median "${middle[writev]}" ms
	figure forgotten_median "${middle[forgotten]}" ms
	figure separate_stalled "${stalled[separate]}" 1
	figure writev_stalled "${stalled[writev]}" 1
	figure replies_stalled "${stalled[cork-5]}" 1
	measured wait "${middle[separate]} (median); written at once: ${middle[writev]}"
	measured stalled "${stalled[separate]} of ${count[separate]}"
	measured writev "${stalled[writev]} of ${count[writev]}"
	measured cork "after a time of its own: ${middle[forgotten]} ms"
	measured replies "${stalled[cork-5]} of ${count[cork-5]}"
}

in_ms() {
	calc "$1 / 1e6" %.2f
}

# What the client found in its kernel after its last call, how often.
holders() {
	local kind n text=''
	for kind in nagle cork window; do
		n=$(field "$1.json" "held_by_$kind")
		[[ $n == 0 ]] || text+=", $kind $n"
	done
	text=${text:2}
	printf '%s' "${text:-nobody}"
}

# first KEY: of the first request of "separate".
first() {
	field separate.json "$1" request '"number":1,'
}

# --- explain ---

explain() {
	say 'separate: the header leaves at once. The payload is less than a full segment, and something is unacknowledged: so' \
		'Nagle holds it, to send fewer small segments (RFC 9293 3.7.4). The server has no reply before it has the payload, so' \
		'its kernel waits a while whether a reply will carry the acknowledgement (RFC 1122 4.2.3.2: at most 0.5 s; Linux: 40 ms).' \
		'Each rule by itself is a good one. Only the first request is quick: on a new connection Linux acknowledges at once.' \
		'nodelay: TCP_NODELAY turns Nagle off. Nothing waits, and each request is two segments.' \
		'buffer, writev, more, cork: all of it is handed over before anything leaves. Nothing waits, and it is one segment.' \
		'forgotten: a cork holds a part-filled segment whatever is acknowledged, for 200 ms (tcp(7)).' \
		'quickack: Nagle is as before, but the acknowledgement comes at once. That is the cure for a server whose clients' \
		'cannot be changed. The kernel goes back by itself, so the option is set after each recv(2).' \
		'cork-5: now it is the server that sends something small twice: its second reply waits for the acknowledgement of the' \
		'first one, which the client delays. Who cannot write all at once turns Nagle off: cork-5-nodelay.' \
		'' \
		'In the source: send_request() and send_round() have the two mistakes, look() finds the holder, all in tools/nodelay.c.' \
		'Read on: RFC 896, RFC 9293 3.7.4, RFC 1122 4.2.3.2 and 4.2.3.4, tcp(7).'
}

# --- verdict ---

judge() {
	local name
	claim 'separate: nothing of the first request was held' "$(first held_bytes) == 0"
	claim 'separate: most of the others took longer than 20 ms, and Nagle held their payload' \
		"${stalled[separate]} >= ${count[separate]} / 2 && ${nagle[separate]} >= ${count[separate]} / 2"
	claim 'separate: a request took 20 to 150 ms' "${middle[separate]} > 20 && ${middle[separate]} < 150"
	if [[ $acks == null ]]; then
		say 'left out: the delayed acknowledgements, because this kernel does not count them'
	else
		claim 'separate: for each of these an acknowledgement was delayed' "$acks >= ${stalled[separate]} / 2"
	fi
	claim 'separate, nodelay: two segments for each request' \
		"${segments[separate]} == 2 * $requests && ${segments[nodelay]} == 2 * $requests"
	for name in buffer writev more cork; do
		claim "$name: one segment for each request, and Nagle held none" \
			"${segments[$name]} == $requests && ${nagle[$name]} == 0"
	done
	for name in nodelay buffer writev more cork quickack; do
		claim "$name: a request took less than a quarter of that" "4 * ${middle[$name]} < ${middle[separate]}"
	done
	claim 'forgotten: every request waited for the cork, each longer than 150 ms' \
		"$(field forgotten.json held_by_cork) == $forgotten && $(field forgotten.json wait_min_ns) > 150e6"
	claim 'cork-5: five requests were one segment, and nothing of them was held in the end' \
		"${segments[cork-5]} == $requests / 5 && ${nagle[cork-5]} == 0"
	claim 'cork-5: replies were late all the same' "\"$(field cork-5.json slow)\" == \"true\""
	claim 'cork-5-nodelay: with TCP_NODELAY at the server they were not' \
		"\"$(field cork-5-nodelay.json slow)\" == \"false\""
}

main "$@"
