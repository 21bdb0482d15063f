#!/usr/bin/env bash
# 44-blocking-in-a-loop - one write that waits, and an event loop is deaf.
#
# tier: any
# summary: A peer stops reading and goes on sending: what reaches a netcat whose loop is stuck in a blocking write.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

messages=20
length=100
total=$((messages * length))
engines=(blocking threaded nonblocking)

main() {
	lab_start "$@"
	need netcat-blocking netcat-threaded netcat-nonblocking

	beat predict
	say "A client sends without end. Its peer has stopped reading, but still has something to say: $messages messages of $length bytes, one" \
		'each 50 ms. The client is a loop around poll(2): it asks what can be read, reads it, and writes it to the other side.'
	predict blocking "With blocking descriptors: how many of the $total bytes does the client print?"
	predict nonblocking 'And with a non-blocking socket, in one thread as well?'

	beat run
	# The peer reads a single byte; what it says comes from this pipe. WHY not before that byte: then the client has begun to write,
	# and it is not a matter of luck what it had read by then.
	run "printf '%s\\n' 'until [ -s \$1 ]; do sleep 0.02; done' 'for ((i = 1; i <= $messages; i++)); do printf \"%0${length}d\" \$i; sleep 0.05; done' > messages.sh"
	local engine line=''
	for engine in "${engines[@]}"; do
		serve "$engine" "bash messages.sh $engine.byte | netcat-nonblocking -l -v --json --stop-after 1 --rcvbuf 8K 127.0.0.1 0 > $engine.byte"
		line+="netcat-$engine --json -w 5 --sndbuf 8K 127.0.0.1 $PORT < /dev/zero > $engine.out 2> $engine.json & "
	done
	run "${line}wait"
	for engine in "${engines[@]}"; do
		stop "$engine"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

declare -A printed=() unread=() sent=()

observe() {
	local engine
	say "$(printf '%-22s %16s %16s %16s' '' 'printed, bytes' 'unread, bytes' 'sent, bytes')"
	for engine in "${engines[@]}"; do
		printed[$engine]=$(stat -c %s "$engine.out")
		unread[$engine]=$(field "$engine.json" unread_bytes)
		sent[$engine]=$(field "$engine.json" bytes_sent)
		figure "printed_$engine" "${printed[$engine]}" B
		figure "unread_$engine" "${unread[$engine]}" B
		say "$(printf '%-22s %16s %16s %16s' "netcat-$engine" "${printed[$engine]}" "${unread[$engine]}" "${sent[$engine]}")"
	done
	measured blocking "${printed[blocking]} of $total; ${unread[blocking]} lie unread in its kernel"
	measured nonblocking "${printed[nonblocking]} of $total"
}

explain() {
	say "The peer does not read, so the client's send buffer fills, and its write waits for room: in the middle of the loop. The messages" \
		'arrive all the same, the kernel takes them; but the program that would ask for them is not asking. A loop serves all its' \
		'descriptors, or none: one call that waits, and it is deaf, for as long as somebody else likes.' \
		'' \
		'A non-blocking socket takes what there is room for, and says how much. The rest stays in a buffer of ours until poll says that' \
		'there is room again. Meanwhile the loop goes round. A thread for each direction gets the same with blocking calls: only' \
		'the one that writes waits.' \
		'' \
		'The same happens with a write to a terminal or a log, with getaddrinfo, with a lock: whatever may wait has no place in a loop.' \
		'' \
		'In the source: send_all() in tools/netcat-blocking.c and send_what_goes() in tools/netcat-nonblocking.c. Read on: send(2), poll(2),' \
		'fcntl(2) O_NONBLOCK; lab 43-netcat-deadlock for two such loops against each other.'
}

judge() {
	claim 'blocking: no message is printed' "${printed[blocking]} == 0"
	claim 'blocking: all of them have arrived, and lie unread in the kernel, to the byte' \
		"${printed[blocking]} + ${unread[blocking]} == $total"
	claim 'blocking: it says so itself' "$(says_deadlock)"
	local engine
	for engine in threaded nonblocking; do
		claim "$engine: every message is printed" "${printed[$engine]} == $total"
		claim "$engine: nothing lies unread" "${unread[$engine]} == 0"
	done
}

says_deadlock() {
	if [[ $(field blocking.json unread_bytes deadlock) -gt 0 ]]; then
		echo '1 == 1'
	else
		echo '0 == 1'
	fi
}

main "$@"
