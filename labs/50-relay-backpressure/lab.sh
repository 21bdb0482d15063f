#!/usr/bin/env bash
# 50-relay-backpressure - a relay that does not stop reading keeps in memory what the slower side does not take.
#
# tier: any
# summary: A relay between a fast sender and a receiver that stops: memory without a mark, with one, and where every byte is.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

size=67108864
taken=1048576
mark=262144
relays=(naive fixed)

main() {
	lab_start "$@"
	need naiverelay netcat-nonblocking tcpwatch
	! have tcprelay || relays+=(tcprelay)

	beat predict
	say "A program sends $((size / 1048576)) MiB, 150 MB each second, through a relay to another program on this machine. After a" \
		'megabyte the receiver reads no more; it closes nothing. The relay reads what comes, and keeps what it cannot pass on.'
	predict memory "By how many MiB does the relay's memory grow?"
	say "Then the relay gets a mark: while $((mark / 1024)) KiB wait, it does not read."
	predict sender 'What becomes of the sender?' 'its send(2) fails' 'it stands still' 'it sends everything'
	predict kernel 'How many MiB has the sender been able to send that the receiver has not read?'

	beat run
	run "head -c $size /dev/zero > file; head -c 8M /dev/urandom > other"
	play naive "naiverelay --mistake memory --cap 200M --json"
	play fixed "naiverelay --mistake memory --fixed --high $mark --json"
	[[ ${#relays[@]} -eq 2 ]] || play tcprelay "tcprelay --buffer $mark --json"

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# play NAME RELAY: the transfer that stands still, and what everybody has by then; with a mark also one in which the receiver is only
# slow.
play() {
	local ports before sink=$1-sink
	serve "$sink" "netcat-nonblocking -l -d -v --json --stop-after $taken 127.0.0.1 0 > /dev/null"
	ports=$PORT
	serve "$1" "echo \$\$ > $1.pid; exec $2 0 127.0.0.1:$PORT > $1.json"
	before=$(peak_memory "$1")
	run "netcat-nonblocking --json -i 50ms --write-rate 150MB/s 127.0.0.1 $PORT < file 2> $1-source.log & at_rest $ports $PORT > $1-queues.json; kill \$!; wait"
	growth[$1]=$(calc "($(peak_memory "$1") - $before) * 1024" %.0f)
	if [[ $1 == tcprelay ]]; then
		stop "$sink" # it would wait for the receiver when it is told to end
		stop "$1"
	else
		stop "$1" # and it says what it has at this moment
		stop "$sink"
	fi

	[[ $1 != naive ]] || return
	serve "$sink-slow" "netcat-nonblocking -l -d -v --read-rate 40MB/s 127.0.0.1 0 > $1.other"
	serve "$1-slow" "$2 0 127.0.0.1:$PORT > $1-slow.json"
	run "netcat-nonblocking 127.0.0.1 $PORT < other"
	join "$sink-slow"
	stop "$1-slow"
}

# The most memory that it had so far, KiB.
peak_memory() {
	sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$(<"$1.pid")/status"
}

# at_rest PORT PORT: waits until both connections exist, something is queued, and three looks in a row show the same; says what the
# last one showed. (An old connection in TIME-WAIT may have had the same port.)
at_rest() {
	local now queues last='' same=0 looks
	for ((looks = 0; looks < 60 && same < 2; looks++)); do
		sleep 0.15
		now=$(tcpwatch --once --json ":$1" ":$2" | grep '"record":"socket"' | grep -v '"state":"TIME-WAIT"')
		queues=$(grep -o '"\(local\|recv_queue_bytes\|send_queue_bytes\)":[^,]*' <<<"$now" | sort)
		if [[ $queues == "$last" && $(wc -l <<<"$now") -eq 4 && $queues == *'_queue_bytes":'[1-9]* ]]; then
			same=$((same + 1))
		else
			same=0
		fi
		last=$queues
	done
	printf '%s\n' "$now"
}
export -f at_rest

# --- observe ---

declare -A growth=() sent=() got=() waits=() queued=() held=()

observe() {
	local name where total
	for name in "${relays[@]}"; do
		sent[$name]=$(field "$name-source.log" bytes_sent)
		got[$name]=$(field "$name-sink.log" bytes_received)
		held[$name]=$(field "$name.json" up_queued_bytes connection)
		[[ $name != tcprelay ]] || held[$name]=$(field "$name.json" lost_bytes connection)
		queues "$name"
	done
	say "$(printf '%-26s' 'bytes')$(printf '%14s' "${relays[@]}")"
	row 'the sender wrote' sent
	say ''
	for where in "${places[@]}"; do
		row "$where" "waits:$where"
	done
	row 'the relay itself' held
	row 'the receiver read' got
	say '' "$(printf '%-26s' "memory of the relay")$(for name in "${relays[@]}"; do printf '%+10.1f MiB' "$(MiB "${growth[$name]}")"; done)"
	for name in "${relays[@]}"; do
		figure "memory_growth_$name" "${growth[$name]}" B
		figure "kernel_$name" "${queued[$name]}" B
		figure "sent_$name" "${sent[$name]}" B
	done
	total=$(MiB "${queued[fixed]}")
	measured memory "$(MiB "${growth[naive]}"); with the mark $(MiB "${growth[fixed]}")"
	measured sender "it stands still after $(MiB "${sent[fixed]}") of $((size / 1048576)) MiB"
	measured kernel "$total in the buffers of the kernel, and $(MiB "${held[fixed]}") in the relay"
}

places=("sender's send queue" "relay's receive queue" "relay's send queue" "receiver's receive queue")

# queues NAME: into waits, by the ports: what listens in the relay, and what in the receiver.
queues() {
	local file=$1-queues.json relay sink
	relay=$(port_of "$1.log")
	sink=$(port_of "$1-sink.log")
	waits["$1:${places[0]}"]=$(queue "$file" send_queue_bytes "\"peer\":\"127.0.0.1:$relay\"")
	waits["$1:${places[1]}"]=$(queue "$file" recv_queue_bytes "\"local\":\"127.0.0.1:$relay\"")
	waits["$1:${places[2]}"]=$(queue "$file" send_queue_bytes "\"peer\":\"127.0.0.1:$sink\"")
	waits["$1:${places[3]}"]=$(queue "$file" recv_queue_bytes "\"local\":\"127.0.0.1:$sink\"")
	queued[$1]=$(calc "${waits["$1:${places[0]}"]} + ${waits["$1:${places[1]}"]} + ${waits["$1:${places[2]}"]} + ${waits["$1:${places[3]}"]}" %.0f)
}

queue() {
	field "$1" "$2" socket "$3"
}

port_of() {
	sed -n 's/.*listening on .*:\([0-9]*\).*/\1/p' "$1" | sed -n 1p
}

# row TEXT ARRAY[:KEY]
row() {
	local name text
	local -n _values=${2%%:*}
	text=$(printf '%-26s' "$1")
	for name in "${relays[@]}"; do
		if [[ $2 == *:* ]]; then
			text+=$(printf '%14s' "${_values["$name:${2#*:}"]}")
		else
			text+=$(printf '%14s' "${_values[$name]}")
		fi
	done
	say "$text"
}

MiB() {
	calc "$1 / 1048576" %.1f
}

# --- explain ---

explain() {
	say 'The receiver does not read, so its receive buffer fills, its window closes, and the send buffer of the relay fills. Then' \
		'send(2) of the relay says EAGAIN. Up to there both relays are alike.' \
		'naive: keeps what it could not send, and reads on. The sender never notices that anybody is slow: to TCP the relay is a' \
		'quick receiver. What it keeps is the difference of the two speeds, for as long as there is one.' \
		'fixed: does not read. Its own receive buffer fills, its window closes, the send buffer of the sender fills, and the sender' \
		'stands still: the pressure has come through. That is what TCP would have done without a relay.' \
		"Between the two programs there are four buffers of the kernel instead of two: $(MiB "${queued[fixed]}") MiB that are sent and not" \
		'received. The mark is in addition to that, so it need not be large.' \
		'' \
		'In the source: room_for() in tools/naiverelay.c is the mistake and the mark. Read on: RFC 9293 3.8.6 (the window), tcp(7)' \
		'SIOCINQ and SIOCOUTQ, which are Recv-Q and Send-Q here, tcp_rmem and tcp_wmem.'
}

# --- verdict ---

judge() {
	local name
	claim 'naive: the sender could send everything, though the receiver had stopped' "${sent[naive]} == $size"
	claim 'naive: the memory grows by at least half of the stream' "${growth[naive]} >= 0.5 * $size"
	for name in "${relays[@]}"; do
		claim "$name: the receiver read what it was to read, and no more" "${got[$name]} == $taken"
		claim "$name: sent = four queues of the kernel + the relay + received, to the byte" \
			"${sent[$name]} == ${queued[$name]} + ${held[$name]} + ${got[$name]}"
		[[ $name == naive ]] || with_mark "$name"
	done
}

with_mark() {
	local place full=1
	for place in "${places[@]}"; do
		full+=" && ${waits["$1:$place"]} > 0"
	done
	claim "$1: a receiver that is only slow gets every byte" "$(cmp other "$1.other" >&2 && echo 1 == 1)"
	claim "$1: the sender stands still before its end" "${sent[$1]} < $size"
	claim "$1: all four queues hold something" "$full"
	if [[ $1 == fixed ]]; then
		claim 'fixed: the relay holds its mark, and not a byte more' "${held[fixed]} == $mark"
	else
		# It splices: what waits is in a pipe of the kernel, 1 MiB, and is looked at after a piece has come.
		claim "$1: the relay holds no more than its mark and a pipe of 1 MiB" "${held[$1]} > 0 && ${held[$1]} <= $mark + 1048576"
	fi
	claim "$1: its memory grows by less than a tenth of the other one's" "${growth[$1]} < ${growth[naive]} / 10"
}

main "$@"
