#!/usr/bin/env bash
# 62-bufferbloat - a queue that never drops anything is not a good queue.
#
# tier: em
# summary: One download through queues of 15 KiB to 1.25 MiB: the rate stays, and everybody's round trip grows to a second.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

queues=(15 50 250 1250) # KiB
rtt_ms=20
rate_Bps=1250000

declare -A question_ms=() rate=() full_ms=() # by run: reno-250, cubic-250-red ...; full_ms by queue

main() {
	lab_start "$@"
	need ttcp plot

	beat predict
	say 'A link of 10 Mbit/s, and 20 ms from one end to the other and back. Before the link is a queue: a packet that comes while' \
		'another one is being sent waits there, and is dropped when the queue is full. One connection sends as fast as it can;' \
		'on another one a small question goes to and fro. The queue holds 15 KiB. Then it is made larger: 1250 KiB.'
	predict rate 'What does the larger queue do to the rate of the first?' 'nothing much' 'it doubles' 'it is 80 times as much'
	predict rtt 'And how many ms does the question take then? (It is 20 ms on the idle link.)'

	beat run
	hosts
	local queue
	run "on a ttcp -4 -t b -p $PORT -l 64 -D --time 0.3 --congestion reno --json > idle-question.json"
	for queue in "${queues[@]}"; do
		run "link a2b queue=${queue}K"
		try_it "reno-$queue" reno "$(lasts "$queue")"
	done
	remedies

	beat observe
	observe
	curves

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# Only the queue is to limit anything. A sender with less unsent data in its own buffer is sooner at its end.
hosts() {
	testbed --rtt ${rtt_ms}ms --rate 10mbit
	run "on a sh -c 'cd /proc/sys/net/ipv4; echo 4096 16384 8388608 >tcp_wmem; echo 131072 >tcp_notsent_lowat; echo 1 >tcp_ecn'"
	run "on b sh -c 'cd /proc/sys/net/ipv4; echo 4096 131072 33554432 >tcp_rmem; echo 2 >tcp_ecn'"
	serve sink 'on b ttcp -r -p 0'
}

# How many seconds until the queue has been full once, and one more.
lasts() {
	case $1 in
	1250) echo 1.8 ;;
	250) echo 1.5 ;;
	*) echo 1.1 ;;
	esac
}

# try_it NAME CONGESTION SECONDS: bulk for so long, the first 0.4 s of which do not count for its rate; beside it, from 0.9 s
# before its end on, the question: 64 bytes and the answer, over and over.
try_it() {
	local question="on a ttcp -4 -t b -p $PORT -l 64 -D --time 0.7 --congestion reno --json > $1-question.json"
	local bulk="on a ttcp -4 -t b -p $PORT --mode stream -O 0.4 -i 50ms --congestion $2 --time"
	run "{ sleep $(calc "$3 - 0.9"); $question; } & $bulk $(calc "$3 - 0.4") --json > $1.json && wait \$!"
}

remedies() {
	have_bbr=''
	! on a grep -qw bbr /proc/sys/net/ipv4/tcp_available_congestion_control || have_bbr=yes
	if [[ -n $have_bbr ]]; then
		try_it bbr-1250 bbr 1.6
	else
		say 'left out: bbr, because this kernel does not have it (modprobe tcp_bbr)'
	fi
	run 'link a2b queue=250K'
	try_it cubic-250 cubic 2.3
	run 'link a2b red'
	try_it cubic-250-red cubic 2.3
	run 'link a2b ecn'
	try_it cubic-250-ecn cubic 2.3
	measure counters 'linkem stat'
}

# --- observe ---

observe() {
	local queue name
	for queue in "${queues[@]}"; do
		full_ms[$queue]=$(calc "$rtt_ms + 1e3 * 1024 * $queue / $rate_Bps" %.0f)
	done
	for name in idle "${queues[@]/#/reno-}" cubic-250 cubic-250-red cubic-250-ecn ${have_bbr:+bbr-1250}; do
		look "$name"
	done
	say "$(printf '%10s %-7s %12s %12s %12s' queue sender 'question' 'queue full' 'rate')"
	show 'idle' - "${question_ms[idle]}" - -
	for queue in "${queues[@]}"; do
		show "$queue KiB" reno "${question_ms[reno-$queue]}" "${full_ms[$queue]}" "${rate[reno-$queue]}"
	done
	[[ -z $have_bbr ]] || show '1250 KiB' bbr "${question_ms[bbr-1250]}" "${full_ms[1250]}" "${rate[bbr-1250]}"
	show '250 KiB' cubic "${question_ms[cubic-250]}" "${full_ms[250]}" "${rate[cubic-250]}"
	show 'with RED' cubic "${question_ms[cubic-250-red]}" "${full_ms[250]}" "${rate[cubic-250-red]}"
	show 'with ECN' cubic "${question_ms[cubic-250-ecn]}" "${full_ms[250]}" "${rate[cubic-250-ecn]}"
	dropped_red=$(field counters.json dropped_red)
	marked=$(field counters.json marked)
	say '' "RED dropped $dropped_red packets before the queue was full; with ECN it marked $marked, and those arrived."
	figure marked_packets "$marked" packets
	more=$(calc "${rate[reno-1250]} / ${rate[reno-15]}" %.2g)
	measured rate "nothing much: it is $more times as much"
	measured rtt "${question_ms[reno-1250]}"
}

look() {
	question_ms[$1]=$(calc "$(field "$1-question.json" block_rtt_p50_ns) / 1e6" %.0f)
	figure "question_ms_$1" "${question_ms[$1]}" ms
	[[ -e $1.json ]] || return
	rate[$1]=$(calc "$(field "$1.json" rate_Bps) * 8 / 1e6" %.2f)
	figure "rate_Mbps_$1" "${rate[$1]}" Mbit/s
}

# show QUEUE SENDER MS FULL RATE
show() {
	say "$(printf '%10s %-7s %9s ms %9s ms %5s Mbit/s' "$@")"
}

# round_trips NAME: what the bulk itself saw, each 50 ms.
round_trips() {
	sed -n 's/.*"record":"interval".*"rtt_ns":\([0-9]*\).*/\1/p' "$1.json"
}

curves() {
	local queue
	{
		echo 'bytes, reno, queue full, cubic, cubic with ECN, bbr'
		for queue in "${queues[@]}"; do
			echo "$((queue * 1024)), ${question_ms[reno-$queue]}, ${full_ms[$queue]}, ${question_ms[cubic-$queue]:--}," \
				"${question_ms[cubic-$queue-ecn]:--}, ${question_ms[bbr-$queue]:--}"
		done
	} | draw bufferbloat 'A small question beside a bulk transfer' 'queue, bytes' ms --x-size --log-x --log-y --dashed 'queue full'
	paste <(round_trips cubic-250) <(round_trips cubic-250-red) <(round_trips cubic-250-ecn) | awk -F '\t' '
		BEGIN { print "ms, tail drop, RED, RED with ECN" }
		function ms(ns) { return ns == "" ? "-" : sprintf("%.1f", ns / 1e6) }
		NR <= 46 { print NR * 50 ", " ms($1) ", " ms($2) ", " ms($3) }' |
		draw bufferbloat-time 'A queue of 250 KiB: round trips of a bulk transfer (cubic)' 'ms since it began' ms
}

# --- explain ---

explain() {
	say 'The link carries 10 Mbit/s, no more. What a sender has under way beyond 25 KB (20 ms of the link: the bandwidth-delay' \
		'product) does not make it faster: it stands in the queue. A sender that listens to loss alone goes on until the queue' \
		'is full, whatever its size: a queue of 250 KiB is 205 ms of the link, one of 1250 KiB is more than a second. The round' \
		'trip is then 20 ms + queue / rate, and it is so for everybody who goes by this link, also for the small question that' \
		'has nothing to do with it. That is bufferbloat. Memory is cheap, so many modems have it.' \
		'A small queue costs a little of the rate instead, because it is sometimes empty after a loss.' \
		'What helps: the sender may measure rate and delay, as bbr does, and keep the queue short on its own. Cubic leaves' \
		'slow start when the delay grows (HyStart), but then fills the queue all the same, only more slowly. Or the network may' \
		'drop early, before the queue is full (RED), and better still, not drop but mark (ECN): the receiver tells the' \
		'sender, which slows down as if a packet had been lost, and nothing has to be sent again. Or there are queues that look at' \
		'time and not at length: CoDel, in Linux fq_codel.' \
		'' \
		'In the source: lane_send() in tools/linkem/lane.c is the queue. Read on: RFC 8289 (CoDel), RFC 7567,' \
		'RFC 3168 (ECN), tcp(7) tcp_ecn.'
}

# --- verdict ---

judge() {
	local queue longest=0
	for queue in "${queues[@]}"; do
		claim "reno, $queue KiB: the question takes between 0.4 and 1.2 times what a full queue makes of it" \
			"${question_ms[reno-$queue]} > 0.4 * ${full_ms[$queue]} && ${question_ms[reno-$queue]} < 1.2 * ${full_ms[$queue]} + 5"
		claim "and it takes longer than with the queue before, or none" "${question_ms[reno-$queue]} > 1.05 * $longest"
		longest=${question_ms[reno-$queue]}
	done
	claim '83 times the queue: more than 10 times the round trip' "${question_ms[reno-1250]} > 10 * ${question_ms[reno-15]}"
	claim 'and less than 2.5 times the rate' "${rate[reno-1250]} < 2.5 * ${rate[reno-15]}"
	[[ -z $have_bbr ]] || claim 'bbr, 1250 KiB: less than a fifth of what the question takes beside reno' \
		"5 * ${question_ms[bbr-1250]} < ${question_ms[reno-1250]}"
	[[ -z $have_bbr ]] || claim 'at no less than 0.7 times the rate' "${rate[bbr-1250]} > 0.7 * ${rate[reno-1250]}"
	claim 'cubic, 250 KiB: more than 3 times the idle link' "${question_ms[cubic-250]} > 3 * ${question_ms[idle]}"
	claim 'with RED the question takes less than 0.6 of that' "${question_ms[cubic-250-red]} < 0.6 * ${question_ms[cubic-250]}"
	claim 'with ECN as well' "${question_ms[cubic-250-ecn]} < 0.6 * ${question_ms[cubic-250]}"
	claim 'either at no less than 0.6 times the rate' \
		"${rate[cubic-250-red]} > 0.6 * ${rate[cubic-250]} && ${rate[cubic-250-ecn]} > 0.6 * ${rate[cubic-250]}"
	claim 'RED dropped packets, and with ECN it marked some' "$dropped_red > 0 && $marked > 0"
}

main "$@"
