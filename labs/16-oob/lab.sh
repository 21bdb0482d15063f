#!/usr/bin/env bash
# 16-oob - what TCP's urgent data is: one byte, in its place, until the next one comes.
#
# tier: any
# summary: Three bytes are sent as urgent and one is; two messages, and one is left; a relay, and none is. And another way.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

experiments=(mark twice late inline signal relay full)

main() {
	lab_start "$@"
	need sendoob
	[[ $(cat /proc/sys/net/ipv4/tcp_stdurg 2>/dev/null) != 1 ]] ||
		skip 'net.ipv4.tcp_stdurg is 1 here: the urgent byte is the one behind the place that this lab looks at (tcp(7))'

	beat predict
	say 'A program sends "hello", then "abc" with the flag MSG_OOB (out of band, urgent), then "world". All of it has' \
		'arrived. The receiver asks for the urgent data: recv(2) with MSG_OOB.'
	predict urgent 'What does it get?' 'abc' 'a' 'c' 'nothing'
	say 'Then it reads with plain recv(2), twice, with room for everything.'
	predict stream 'What does the first of the two say?' 'hello' 'helloab' 'helloworld' 'helloabcworld'
	say 'Another time the sender sends two urgent messages, "a" and "b", before the receiver asks.'
	predict twice 'What is urgent now?' 'a, and then b' 'a' 'b' 'nothing'
	say 'Now the receiver has not read for a while: 32768 bytes wait, in its buffer and in that of the sender. Then comes' \
		'an urgent one.'
	predict full 'How many of the others does it have to read before it can have the urgent one?'

	beat run
	local experiment
	for experiment in "${experiments[@]}"; do
		measure "$experiment" "sendoob $experiment"
		measure "$experiment-fixed" "sendoob $experiment --fixed"
	done
	run 'sendoob mark'
	run 'sendoob mark --fixed'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- observe ---

declare -A urgent=() stream=() told=()

observe() {
	local name
	say "$(printf '%-13s | %-8s %-8s | %-14s %-15s | %s' '' 'urgent:' 'got' 'stream:' 'got (| mark)' told)"
	for name in "${experiments[@]}"; do
		observe_one "$name"
		observe_one "$name-fixed"
	done
	say '' "full: the urgent byte came after $(field full.json read_before_bytes) others, on a connection of its own after" \
		"$(field full-fixed.json read_before_bytes) of them"
	figure full_read_before "$(field full.json read_before_bytes)" bytes
	figure signals "${told[signal]}" 1
	measured urgent "${urgent[mark]}"
	measured stream "$(field mark.json text step '"call":"recv",' '"text":"hello')"
	measured twice "${urgent[twice]}; the a was in the stream"
	measured full "$(field full.json read_before_bytes)"
}

observe_one() {
	urgent[$1]=$(field "$1.json" urgent_got)
	stream[$1]=$(field "$1.json" stream_got)
	told[$1]=$(field "$1.json" announced)
	say "$(printf '%-13s | %-8s %-8s | %-14s %-15s | %s' "$1" "$(field "$1.json" urgent_meant)" "${urgent[$1]:--}" \
		"$(field "$1.json" stream_meant)" "${stream[$1]:--}" "${told[$1]}")"
}

# --- explain ---

explain() {
	say 'mark: TCP has no second channel. A header says where in the stream the urgent data end; the sockets of Berkeley' \
		'make the one byte in front of that place the urgent one, and take it out. So the a and the b are ordinary bytes.' \
		'recv(2) stops at the place where the c was, so that one can find it: sockatmark(3).' \
		'twice: there is one pointer, and one byte. The next one moves the pointer on, and the byte before falls back' \
		'into the stream, where nobody expects it. signal: two messages, one SIGURG.' \
		'late: who reads past the mark has lost the byte. inline: it stays in the stream, and only who asks sockatmark(3)' \
		'before each recv(2) can tell. EINVAL says all of these: not yet, taken already, gone, left in the stream.' \
		'relay: a program in between, that reads and writes as all do. The byte is in neither of what it reads. Nobody is' \
		'told.' \
		'full: what is urgent stands in the queue like everything else. Only the announcement goes ahead, as a flag in a' \
		'probe of the shut window: SIGURG comes, and recv(2) with MSG_OOB says EAGAIN. It is not out of band.' \
		'fixed: a connection of its own has its own queue, its own window, whole messages, and goes through relays. Where' \
		'the place in the stream matters, the message says it. FTP does that: one connection for commands, one for data.' \
		'' \
		'In the source: send_script() and receive_behind_relay() in tools/sendoob.c have the mistake, send_control() the' \
		'other way.' \
		'Read on: RFC 6093 (do not use it), RFC 9293 3.8.5, tcp(7) on tcp_stdurg, sockatmark(3).'
}

# --- verdict ---

# is NAME URGENT STREAM: a condition for claim.
is() {
	echo "\"${urgent[$1]}\" == \"$2\" && \"${stream[$1]}\" == \"$3\""
}

judge() {
	local name promised=1
	claim 'mark: of "abc" the last byte is urgent; the others are in the stream, in front of the mark' "$(is mark c 'helloab|world')"
	claim 'mark: before it came, and after it was taken, recv(2) with MSG_OOB says EINVAL' \
		"$(grep -c '"call":"recv MSG_OOB","text":null,"errno":"EINVAL"' mark.json) == 2"
	claim 'twice: of two messages the last one is urgent, the first one has become data' "$(is twice b 'helloa|world')"
	claim 'late: who reads on first does not get it any more: EINVAL' "$(is late '' 'helloab|world')"
	claim 'inline: it is in the stream, behind the mark' "$(is inline '' 'helloab|cworld')"
	claim 'signal: two messages, one SIGURG' "${told[signal]} == 1 && $(is signal b 'helloa|world')"
	claim 'relay: the byte is gone, from both' "$(is relay '' helloabworld)"
	claim 'full: it is announced, not to be had (EAGAIN), and comes after all the other bytes' \
		"${told[full]} == 1 && $(field full.json read_before_bytes) == 32768 && \"${urgent[full]}\" == \"!\" &&
		$(grep -c '"call":"recv MSG_OOB","text":null,"errno":"EAGAIN"' full.json) == 1"
	for name in "${experiments[@]}"; do
		promised+=" && \"${urgent[$name-fixed]}\" == \"$(field "$name-fixed.json" urgent_meant)\" &&
			\"${stream[$name-fixed]}\" == \"$(field "$name-fixed.json" stream_meant)\""
	done
	claim 'fixed: each message is whole, in its place, and none is missing, in all seven' "$promised"
	claim 'fixed, full: and nothing else had to be read first' "$(field full-fixed.json read_before_bytes) == 0"
}

main "$@"
