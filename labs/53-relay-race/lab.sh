#!/usr/bin/env bash
# 53-relay-race - two deferred callbacks, "stop reading" and "read again", and a flow that stops for ever.
#
# tier: any
# summary: A relay that pauses by a deferred call: everybody is ready, nothing moves, and every byte can be found; and the fix.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

size=24000000
mark=32768
relays=(fixed)

main() {
	lab_start "$@"
	need naiverelay netcat-nonblocking tcpwatch
	! have tcprelay || relays+=(tcprelay)

	beat predict
	say "A relay has a mark: when more than $((mark / 1024)) KiB wait for the receiver, it wants to stop reading the sender; when nothing waits any" \
		'more, it reads again. Its library says so by two calls, "high water" and "write complete", and makes them at the end of the' \
		'round, after all reads and writes; "write complete" only if reading has been stopped.' \
		'In one round it reads 32 KiB, so that 52 KiB wait, and then the kernel takes all of them.'
	predict after 'What happens then?' 'it goes on reading' 'it pauses, and goes on a little later' 'it never reads again'
	predict ready 'Who of the others could go on at that moment?' 'the sender' 'the receiver' 'both' 'none'

	beat run
	run "head -c $size /dev/urandom > file"
	play_stuck
	local relay
	for relay in "${relays[@]}"; do
		play "$relay"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

receiver='netcat-nonblocking -l -d -v --json --rcvbuf 64K --read-rate 40MB/s 127.0.0.1 0'

# The relay tells when it is stuck. What is true then is looked at from outside, three times, with time enough between them for
# whatever could still move.
play_stuck() {
	serve stuck-sink "$receiver > stuck.file"
	sink_port=$PORT
	serve stuck "naiverelay --mistake race --high $mark -i 100ms --json 0 127.0.0.1:$PORT > stuck.json"
	relay_port=$PORT
	run "netcat-nonblocking --json 127.0.0.1 $PORT < file 2> stuck-source.log & look_on stuck.json $sink_port $PORT; kill \$!; wait"
	stop stuck
	join stuck-sink
}

# look_on RECORDS PORT PORT: waits for the record "stuck", then takes down what the kernel says of the sockets of both ports.
look_on() {
	local look tries
	for ((tries = 0; tries < 1500; tries++)); do
		grep -q '"record":"stuck"' "$1" && break
		sleep 0.02
	done
	for look in 1 2 3; do
		sleep 0.3
		tcpwatch --once --json ":$2" ":$3" | grep -v '"state":"TIME-WAIT"' > "queues-$look.json"
	done
}
export -f look_on

# The same through a relay that is right.
play() {
	serve "$1-sink" "$receiver > $1.file"
	case $1 in
	fixed) serve fixed "naiverelay --mistake race --fixed --high $mark -1 --json 0 127.0.0.1:$PORT > fixed.json" ;;
	tcprelay) serve tcprelay "tcprelay --buffer $mark --sndbuf 200K --json 0 127.0.0.1:$PORT > tcprelay.json" ;;
	esac
	run "netcat-nonblocking --json 127.0.0.1 $PORT < file 2> $1-source.log"
	join "$1-sink"
	if [[ $1 == fixed ]]; then
		join fixed
	else
		stop tcprelay
	fi
}

# --- observe ---

# at LOOK PLACE: bytes in one of the four queues.
at() {
	case $2 in
	sender) field "queues-$1.json" send_queue_bytes socket "\"peer\":\"127.0.0.1:$relay_port\"" ;;
	relay-in) field "queues-$1.json" recv_queue_bytes socket "\"local\":\"127.0.0.1:$relay_port\"" ;;
	relay-out) field "queues-$1.json" send_queue_bytes socket "\"peer\":\"127.0.0.1:$sink_port\"" ;;
	receiver) field "queues-$1.json" recv_queue_bytes socket "\"local\":\"127.0.0.1:$sink_port\"" ;;
	esac
}

# of KEY [RECORD]: what the stuck relay said last.
of() {
	field stuck.json "$1" "${2:-interval}"
}

observe() {
	local look name
	sent=$(field stuck-source.log bytes_sent)
	arrived=$(wc -c <stuck.file)
	stuck=$(calc "$sent - $arrived" %.0f)
	say 'the queues, 0.3 s apart     sender    relay (in)   relay (out)     receiver'
	for look in 1 2 3; do
		say "$(printf '%12s bytes %14s %12s %13s %12s' '' "$(at $look sender)" "$(at $look relay-in)" "$(at $look relay-out)" \
			"$(at $look receiver)")"
	done
	say '' "the relay: paused: $(of up_paused); waiting: $(of up_queued_bytes); its source readable: $(of up_source_ready); its sink writable: $(of up_sink_ready)" \
		"the sender wrote $sent bytes, the receiver has $arrived; $stuck are under way, and stay there" ''
	for name in "${relays[@]}"; do
		say "$name: the receiver has $(wc -c <"$name.file") of $size bytes"
	done
	figure stuck_bytes "$stuck" B
	figure arrived_bytes "$arrived" B
	measured after 'c: it never reads again'
	measured ready 'c: both'
}

# --- explain ---

explain() {
	say 'The round, as the relay played it:' \
		'' \
		'                                              waiting    paused    deferred' \
		'                                               20 KiB      no' \
		'  sender:    recv 32 KiB, behind what waits    52 KiB      no      high water' \
		'  receiver:  send, the kernel takes it all          0      no      (not paused: nobody to tell)' \
		'  end of the round: high water                      0     YES' \
		'' \
		'Now the relay does not read, because it is paused. It does not send, because nothing waits. And only the end of a send ends' \
		'the pause. The sender has bytes, the receiver has room, each waits in poll(2), and so does the relay: for nothing.' \
		'Each of the two calls is right by itself. The mistake lies between the moment in which a call is deferred and the one in' \
		'which it is made: "more than the mark waits" was true, and is not any more. The fix: the call looks again, and pauses only if' \
		'something waits, for then there will be a "write complete".' \
		'It takes both events in one round, and the queue over the mark and empty within it. The relay here waits for such a round, once;' \
		'everything in it is real. A busy relay gets there some day, with one flow of many, and nobody can repeat it.' \
		'' \
		'In the source: high_water() in tools/naiverelay.c is the mistake and the fix, is_looking_away() waits for the round. Read on:' \
		'epoll(7), where the same happens with edges (lab 41-lt-et); RFC 9293 3.8.6.1, who asks again while a window is closed.'
}

# --- verdict ---

judge() {
	local name look still=1
	for look in 2 3; do
		for name in sender relay-in relay-out receiver; do
			still+=" && $(at $look $name) == $(at 1 $name)"
		done
	done
	claim 'the relay is paused, and nothing waits in it' "\"$(of up_paused)\" == \"true\" && $(of up_queued_bytes) == 0"
	claim 'the sender has bytes for the relay, and some that do not fit any more' "$(at 3 relay-in) > 0 && $(at 3 sender) > 0"
	claim 'the receiver waits: nothing is on its way to it, and it has read everything' "$(at 3 relay-out) == 0 && $(at 3 receiver) == 0"
	claim 'the source can be read and the sink written, says poll(2)' \
		"\"$(of up_source_ready)\" == \"true\" && \"$(of up_sink_ready)\" == \"true\""
	claim 'and not a byte moves: three looks are the same' "$still"
	claim 'sent = received + what is stuck in the two queues before the relay, to the byte' \
		"$sent == $arrived + $(at 3 sender) + $(at 3 relay-in) && $arrived < $size"
	claim 'what has arrived is right' "$(is_right stuck)"
	for name in "${relays[@]}"; do
		claim "$name: everything arrives, and is right" "$(wc -c <"$name.file") == $size && $(is_right "$name")"
	done
	claim 'fixed: the same round came, and it was not stuck' \
		"\"$(of up_round_came)\" == \"true\" && \"$(field fixed.json up_round_came connection)\" == \"true\" && $(field fixed.json stuck) == 0"
}

# A condition for claim: what came is the beginning of the file.
is_right() {
	if cmp -s -n "$(wc -c <"$1.file")" file "$1.file"; then
		echo '1 == 1'
	else
		echo '0 == 1'
	fi
}

main "$@"
