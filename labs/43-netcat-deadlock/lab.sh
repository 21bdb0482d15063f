#!/usr/bin/env bash
# 43-netcat-deadlock - both ends write, neither reads, and no byte moves any more.
#
# tier: any
# summary: Two netcats send each other a file: with blocking writes in one thread both wait for ever; who holds which bytes.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

size=4194304
# Small and fixed buffers: the kernel's own grow to megabytes, and the deadlock comes as surely, but later and at another place.
buffers='--sndbuf 16K --rcvbuf 16K'
pairs=(blocking-blocking threaded-threaded nonblocking-nonblocking blocking-nonblocking)

main() {
	lab_start "$@"
	need netcat-blocking netcat-threaded netcat-nonblocking tcpwatch

	beat predict
	say "Two hosts send each other a file of $((size / 1048576)) MiB, at the same time, over one connection. Each runs a netcat with one" \
		'thread: it waits until there is something to read, from the file or from the network, reads a piece of 64 KiB, and' \
		'writes it to the other side. write(2) is done when everything is written.'
	predict bytes 'How many KiB arrive at each end?'
	predict mixed 'Then one of the two ends is replaced by a netcat that never waits in a write. Do the files arrive?' \
		'both' 'one of them' 'none'

	beat run
	run "head -c $size /dev/urandom > one; head -c $size /dev/urandom > two"
	local pair
	for pair in "${pairs[@]}"; do
		play "${pair%-*}" "${pair#*-}" "$pair"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# play ENGINE_OF_SERVER ENGINE_OF_CLIENT NAME: file one goes from the server to the client, file two the other way. Of the
# pair that will not get anywhere somebody else takes down what he sees, too.
play() {
	local options="-v --json -w 4 $buffers" witness=''
	serve "$3" "netcat-$1 -l $options 127.0.0.1 0 < one > $3.two"
	[[ $3 != "${pairs[0]}" ]] ||
		witness=" & until grep -q deadlock $3.log && grep -q deadlock $3-client.log || ! kill -0 \$!; do sleep 0.05; done;"
	[[ $3 != "${pairs[0]}" ]] || witness+=" tcpwatch --once --json :$PORT > queues.json; wait"
	try "netcat-$2 $options 127.0.0.1 $PORT < two > $3.one 2> $3-client.log$witness"
	join "$3"
}

# --- observe ---

# side NAME server|client: the file with its records
side() {
	if [[ $2 == server ]]; then
		echo "$1.log"
	else
		echo "$1-client.log"
	fi
}

declare -A sent=() received=() unread=() unacked=()

observe() {
	local pair end
	say "$(printf '%-26s %12s %12s %16s' '' 'file one' 'file two' 'ended')"
	for pair in "${pairs[@]}"; do
		say "$(printf '%-26s %12s %12s %16s' "$pair" "$(arrived "$pair" one)" "$(arrived "$pair" two)" \
			"$(fate "$pair")")"
	done
	say '' "$(printf '%-26s %9s %9s %9s %9s' 'at the standstill, bytes' sent received 'unread' 'unacked')"
	for end in server client; do
		deadlocked "$end"
		say "$(printf '%-26s %9s %9s %9s %9s' "$end (netcat-blocking)" "${sent[$end]}" "${received[$end]}" \
			"${unread[$end]}" "${unacked[$end]}")"
		figure "sent_$end" "${sent[$end]}" B
		figure "received_$end" "${received[$end]}" B
		figure "unread_$end" "${unread[$end]}" B
		figure "unacked_$end" "${unacked[$end]}" B
	done
	say '' 'the same, seen from outside (tcpwatch)        Recv-Q    Send-Q'
	for end in server client; do
		say "$(printf '%-26s %19s %9s' "$end" "$(queue "$end" recv)" "$(queue "$end" send)")"
	done
	measured bytes "$(calc "${received[server]} / 1024" %.0f) and $(calc "${received[client]} / 1024" %.0f) of $((size / 1024))"
	if arrives blocking-nonblocking one && arrives blocking-nonblocking two; then
		measured mixed 'a: both'
	else
		measured mixed 'not both'
	fi
}

# What the record "deadlock" of that end says.
deadlocked() {
	local file key
	file=$(side blocking-blocking "$1")
	for key in sent received unread unacked; do
		local -n _into=$key
		case $key in
		sent | received) _into[$1]=$(field "$file" "bytes_$key" deadlock) ;;
		*) _into[$1]=$(field "$file" "${key}_bytes" deadlock) ;;
		esac
	done
}

# queue END recv|send: what tcpwatch saw in that end's queue. The server's end is the one with the server's port.
queue() {
	local port side=local
	port=$(field blocking-blocking.log port listening)
	[[ $1 == server ]] || side=peer
	field queues.json "$2_queue_bytes" socket "\"$side\":\"127.0.0.1:$port\"" '"state":"ESTABLISHED"'
}

arrives() {
	cmp -s "$1.$2" "$2"
}

arrived() {
	if arrives "$1" "$2"; then
		echo whole
	else
		echo "$(($(stat -c %s "$1.$2") / 1024)) KiB"
	fi
}

fate() {
	if grep -qs '"record":"deadlock"' "$1.log" "$1-client.log"; then
		echo deadlock
	else
		echo "$(calc "$(field "$1.log" elapsed_ns) / 1e6" %.0f) ms"
	fi
}

# --- explain ---

explain() {
	say 'Each netcat writes a piece. The peer does not read it, because it is writing, too. First its receive buffer fills, then our' \
		'send buffer, then our write waits for room; and so does the write of the peer. Each of them could make room for the' \
		'other by reading, and will do so as soon as its own write is done.' \
		'' \
		'The bytes are all there. What one end has sent was read by the other, or lies unread in its kernel, or is not acknowledged' \
		'and still lies in our own: the three add up to the byte.' \
		'' \
		'One end that reads while it writes is enough: it empties the buffer in which the other one is stuck. Two threads do that,' \
		'and so does one thread that never waits in a write.' \
		'' \
		'In the source: send_all() in tools/netcat-blocking.c, with the word PITFALL; the same direction is send_what_goes() in' \
		'tools/netcat-nonblocking.c. make diff-netcat shows them side by side. Read on: RFC 9293 3.8.6, send(2), poll(2).'
}

# --- verdict ---

judge() {
	local pair end other
	for end in server client; do
		claim "netcat-blocking at both ends: the $end says that it is in write and has unread bytes" "${unread[$end]:-null} > 0"
		claim "netcat-blocking at both ends: less than a tenth arrives at the $end" "${received[$end]:-null} < $size / 10"
	done
	for end in server client; do
		other=client
		[[ $end == server ]] || other=server
		claim "sent by the $end = read by the $other + unread there + unacknowledged here, to the byte" \
			"${sent[$end]:-null} == ${received[$other]:-null} + ${unread[$other]:-null} + ${unacked[$end]:-null}"
		claim "tcpwatch sees the same two numbers at the $end" \
			"$(queue "$end" recv) == ${unread[$end]:-null} && $(queue "$end" send) == ${unacked[$end]:-null}"
	done
	for pair in "${pairs[@]:1}"; do
		claim "$pair: both files arrive, every byte right" "$(is_whole "$pair")"
	done
}

is_whole() {
	if arrives "$1" one && arrives "$1" two; then
		echo '1 == 1'
	else
		echo '0 == 1'
	fi
}

main "$@"
