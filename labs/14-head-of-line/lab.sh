#!/usr/bin/env bash
# 14-head-of-line - a small message behind a large one: what it waits for, and where that is.
#
# tier: em
# alone: latencies are compared
# summary: An urgent message shares a connection with bulk, has its own, and has less in front of it: three ways, and what each costs.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

rtt_ms=20
queue=60 # KiB, in front of the link
ways=(one buffer lowat two)
declare -A way_name=(
	[one]='one connection'
	[buffer]='SO_SNDBUF 16K'
	[lowat]='TCP_NOTSENT_LOWAT 16K'
	[two]='a connection of its own'
)
declare -A way_option=([one]='' [buffer]=' --send-buffer 16K' [lowat]=' --notsent-lowat 16K' [two]=' --fixed')
declare -A trip_ms=() worst_ms=() not_sent=() sent=() rate=()

main() {
	lab_start "$@"
	need holblock

	beat predict
	say "A link of 10 Mbit/s, $rtt_ms ms there and back, and a queue of $queue KiB in front of it. A program sends bulk as fast as it" \
		'can, and over the same connection each 25 ms a message of 64 bytes, which is answered at once. The message is urgent: the' \
		'program writes it before the next piece of bulk.'
	predict one 'How many ms until the answer is there? (Without bulk it is 20.)'
	predict where 'Where does the message wait?' 'in the queue of the network' "in the kernel's send buffer" 'it does not wait'
	say 'Now the message gets a connection of its own, over the same link, beside the bulk.'
	predict two 'How many ms is it then?'

	beat run
	hosts
	local way
	for way in "${ways[@]}"; do
		measure "$way" "on a holblock -4 b -p $PORT --congestion reno --interval 25ms --warm-up 0.6 --time $(lasts "$way")${way_option[$way]}"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# The send buffer may grow as it likes, the receive buffer is never the limit.
hosts() {
	testbed --rtt ${rtt_ms}ms --a2b "rate=10mbit,queue=${queue}K"
	run "on a sh -c 'cd /proc/sys/net/ipv4; echo 4096 16384 4194304 >tcp_wmem; echo 4294967295 >tcp_notsent_lowat'"
	run "on b sh -c 'cd /proc/sys/net/ipv4; echo 4096 131072 33554432 >tcp_rmem'"
	serve server 'on b holblock -s -p 0 --bind 0.0.0.0'
}

# What is far from its mean needs more time.
lasts() {
	[[ $1 == one || $1 == two ]] && echo 1.6 || echo 1
}

# --- observe ---

observe() {
	local way
	idle_ms=$(calc "$(field one.json idle_p50_ns) / 1e6" %.1f)
	figure alone_ms "$idle_ms" ms
	say "$(printf '%-24s %10s %10s %14s %14s %14s' '' 'answer' 'worst' 'not sent yet' 'under way' 'bulk')"
	say "$(printf '%-24s %7s ms' 'without bulk' "$idle_ms")"
	for way in "${ways[@]}"; do
		look "$way"
		say "$(printf '%-24s %7s ms %7s ms %10s KiB %10s KiB %7s Mbit/s' "${way_name[$way]}" "${trip_ms[$way]}" "${worst_ms[$way]}" \
			"${not_sent[$way]}" "${sent[$way]}" "${rate[$way]}")"
	done
	ahead_ms=$(calc "(${not_sent[one]} + ${sent[one]}) * 1024 * 8 / (${rate[one]} * 1e3)" %.0f)
	say '' "one connection: what was ahead of the message takes $ahead_ms ms at the rate of the bulk; the answer took ${trip_ms[one]} ms"
	measured one "${trip_ms[one]}"
	measured where "b: in the send buffer are ${not_sent[one]} KiB that have not left, under way ${sent[one]} KiB"
	measured two "${trip_ms[two]}"
}

look() {
	trip_ms[$1]=$(calc "$(field "$1.json" p50_ns) / 1e6" %.1f)
	worst_ms[$1]=$(calc "$(field "$1.json" p99_ns) / 1e6" %.0f)
	not_sent[$1]=$(calc "$(field "$1.json" not_sent_p50_bytes) / 1024" %.1f)
	sent[$1]=$(calc "($(field "$1.json" ahead_p50_bytes) - $(field "$1.json" not_sent_p50_bytes)) / 1024" %.1f)
	rate[$1]=$(calc "$(field "$1.json" bulk_rate_Bps) * 8 / 1e6" %.2f)
	figure "answer_ms_$1" "${trip_ms[$1]}" ms
	figure "not_sent_KiB_$1" "${not_sent[$1]}" KiB
	figure "rate_Mbps_$1" "${rate[$1]}" Mbit/s
}

# --- explain ---

explain() {
	say 'A connection is one stream of bytes, in order. The program wrote the message before the next piece of bulk, but behind all pieces' \
		'that the kernel had taken already, and it takes a send buffer full, which it makes larger as the connection goes: priority' \
		'ends where send(2) begins. The wait is what is ahead of the message, divided by the rate; and 20 ms for the way.' \
		'What helps: not to hand over what cannot leave yet. TCP_NOTSENT_LOWAT lets the kernel hold 16 KiB that it has not sent, no more;' \
		'what is under way does not count, so the bulk is as fast as before. A small SO_SNDBUF counts both: shorter still, and the bulk' \
		'has less under way than the link can hold, so it is slower.' \
		'A connection of its own has nothing ahead of the message at this host. The queue of the network is shared all the same: the' \
		'rest of the wait is there (lab 62-bufferbloat). HTTP/2 puts many streams on one connection and has to solve this with frames' \
		'and TCP_NOTSENT_LOWAT; a lost segment holds up all of them even so, which is why HTTP/3 left TCP.' \
		'' \
		'In the source: has_frame() in tools/holblock.c has PITFALL; look_ahead() asks the kernel. Read on: tcp(7)' \
		'TCP_NOTSENT_LOWAT, RFC 9113 5, RFC 9000 2.'
}

# --- verdict ---

judge() {
	local way
	claim 'without bulk the answer takes the round trip of the link' "$idle_ms >= $rtt_ms && $idle_ms < 2 * $rtt_ms"
	for way in "${ways[@]}"; do
		claim "${way_name[$way]}: each message was answered" \
			"$(field "$way.json" answered_messages) == $(field "$way.json" sent_messages) && $(field "$way.json" answered_messages) > 30"
	done
	claim 'one connection: the answer takes more than 3 times as long as without bulk' "${trip_ms[one]} > 3 * $idle_ms"
	claim 'more than 20 KiB that the kernel had not sent were ahead of the message' "${not_sent[one]} > 20"
	claim 'and what was ahead explains the time: between 0.5 and 2 times that' \
		"${trip_ms[one]} - $idle_ms > 0.5 * $ahead_ms && ${trip_ms[one]} - $idle_ms < 2 * $ahead_ms"
	claim 'TCP_NOTSENT_LOWAT: never more than that and one piece that were not sent' \
		"\"$(field lowat.json as_promised)\" == \"true\""
	claim 'and the answer takes less than 0.8 of the time, with more than 0.8 of the rate' \
		"${trip_ms[lowat]} < 0.8 * ${trip_ms[one]} && ${rate[lowat]} > 0.8 * ${rate[one]}"
	claim 'SO_SNDBUF: less than 0.6 of the time, and less of the rate' \
		"${trip_ms[buffer]} < 0.6 * ${trip_ms[one]} && ${rate[buffer]} < 0.9 * ${rate[one]}"
	claim 'a connection of its own: nothing was ahead of the message on it' "${not_sent[two]} == 0 && ${sent[two]} < 1"
	claim 'and the answer takes less than 0.8 of the time, with more than 0.8 of the rate' \
		"${trip_ms[two]} < 0.8 * ${trip_ms[one]} && ${rate[two]} > 0.8 * ${rate[one]}"
	claim 'but longer than without bulk: the queue of the network is shared' "${trip_ms[two]} > 1.1 * $idle_ms"
}

main "$@"
