#!/usr/bin/env bash
# 02-message-size - a sender that waits for each answer is as fast as its blocks are long.
#
# tier: any
# summary: Stop-and-wait: how the rate depends on the length of a block, and what pipelining changes.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

lengths=(1024 4096 16384 65536 262144 1048576)
rounds=5

main() {
	lab_start "$@"
	need ttcp

	beat predict
	say 'ttcp sends a block, waits for the 4 bytes that acknowledge it, and sends the next one. Each block is read and' \
		'answered at once; the network is loopback. Sketch the rate over the length of a block before you go on.'
	predict longer 'Blocks of 1 KiB give some rate. How many times that rate do blocks of 64 KiB give?'
	predict deeper 'Back to 1 KiB, but with 16 blocks under way before the sender waits: how many times the rate?'

	beat run
	pin_to_one # otherwise each block wakes the other processor, and from which sleep differs from run to run
	choose_congestion
	serve sink "${PIN}ttcp -r --bind 127.0.0.1 -p 0"
	local to="${PIN}ttcp -t 127.0.0.1 -p $PORT --sweep --time 0.05$congestion" round
	for ((round = 1; round <= rounds; round++)); do
		measure "one-by-one-$round" "$to --sizes 1K,4K,16K,64K,256K,1M --depths 1"
		measure "pipelined-$round" "$to --sizes 1K,4K,16K --depths 16"
	done

	beat observe "the median of $rounds sweeps"
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# reno, because bbr paces: from some length on we would measure the pace and not the wait.
choose_congestion() {
	congestion=''
	if grep -qw reno /proc/sys/net/ipv4/tcp_allowed_congestion_control; then
		congestion=' --congestion reno'
	fi
}

# --- observe ---

declare -A time=() # ns from the send of a block to its acknowledgement; by length and depth: "1024 1"
declare -A model=() # the same by the model, by length

observe() {
	local length
	for length in "${lengths[@]}"; do
		look one-by-one "$length" 1
	done
	for length in "${lengths[@]:0:3}"; do
		look pipelined "$length" 16
	done
	fit
	show_table
	longer=$(calc "64 * ${time[1024 1]} / ${time[65536 1]}" %.3g)
	deeper=$(calc "16 * ${time[1024 1]} / ${time[1024 16]}" %.3g)
	figure times_at_64K "$longer" 1
	figure times_at_depth_16 "$deeper" 1
	measured longer "$longer times"
	measured deeper "$deeper times"
}

# Of one sweep, what half of the blocks stayed below: a block during which some other program had the processor counts
# as one block, and not as the milliseconds that it took. Of the sweeps, the median.
look() {
	local name=$1 length=$2 depth=$3 round values=()
	for ((round = 1; round <= rounds; round++)); do
		values+=("$(field "$name-$round.json" block_rtt_p50_ns cell "\"length\":$length," "\"depth\":$depth,")")
	done
	time[$length $depth]=$(median "${values[@]}")
	figure "block_ns_${length}_depth_$depth" "${time[$length $depth]}" ns
}

# Shortest and longest give the two constants of t(n) = T0 + n/B. What is between them has to follow.
fit() {
	local least=${lengths[0]} most=${lengths[-1]} length
	b=$(calc "1e9 * ($most - $least) / (${time[$most 1]} - ${time[$least 1]})")
	t0=$(calc "${time[$least 1]} - 1e9 * $least / $b")
	figure t0_ns "$t0" ns
	figure bandwidth_Bps "$b" B/s
	for length in "${lengths[@]}"; do
		model[$length]=$(calc "$t0 + 1e9 * $length / $b")
	done
}

show_table() {
	local length n
	say "$(printf '%10s %12s %12s %14s %16s' block 'its time' 'by the model' 'rate' 'rate, 16 deep')"
	for length in "${lengths[@]}"; do
		n=$((length / 1024))
		say "$(printf '%6d KiB %9s us %9s us %9s MB/s %16s' $n "$(calc "${time[$length 1]} / 1e3" %.1f)" \
			"$(calc "${model[$length]} / 1e3" %.1f)" "$(calc "1e3 * $length / ${time[$length 1]}" %.0f)" \
			"$(deep_rate "$length")")"
	done
}

deep_rate() {
	if [[ -n ${time[$1 16]:-} ]]; then
		echo "$(calc "16e3 * $1 / ${time[$1 16]}" %.0f) MB/s"
	else
		echo -
	fi
}

# --- explain ---

explain() {
	local t0_us B half
	t0_us=$(calc "$t0 / 1e3" %.1f)
	B=$(calc "$b / 1e6" %.0f)
	half=$(calc "$t0 * $b / 1024e9" %.0f)
	say "A block of n bytes takes t = T0 + n/B, here with T0 = $t0_us us and B = $B MB/s, so that" \
		'    rate(n) = n / (T0 + n/B)' \
		"While n is small against T0 x B ($half KiB here) the time is all T0: four times the block is almost four times the" \
		'rate. Far above it the rate closes in on B. T0 holds no network here: it is four system calls and two changes' \
		'from one process to the other. On a real path the round trip takes its place, and then 64 KiB for each 20 ms' \
		'are 3.3 MB/s, however fat the link. Longer blocks help; not waiting helps more: with 16 blocks under way one' \
		'T0 is paid for 16 of them. TCP itself does that with its window.' \
		'' \
		'In the source: next_step() and take_acks() are the sender, walk() the receiver (send.c and receive.c in' \
		'tools/ttcp); what ttcp predicts is verdict_predicted_Bps() in tools/ttcp/verdict.c. Read on: RFC 9293 3.8.6, RFC 7323 1.1, tcp(7).'
}

# --- verdict ---

judge() {
	claim 'short blocks: 4 KiB give at least 2 times the rate of 1 KiB' "4 * ${time[1024 1]} >= 2 * ${time[4096 1]}"
	claim '64 KiB give at least 8 times the rate of 1 KiB' "$longer >= 8"
	claim 'long blocks: 1 MiB gives less than 8 times the rate of 64 KiB' "16 * ${time[65536 1]} < 8 * ${time[1048576 1]}"
	local length
	for length in "${lengths[@]:1:4}"; do
		claim "the model is right within a factor of 2 at $((length / 1024)) KiB" \
			"${time[$length 1]} < 2 * ${model[$length]} && ${model[$length]} < 2 * ${time[$length 1]}"
	done
	claim 'pipelining: 16 deep is at least 2 times as fast as one by one, at 1 KiB' "$deeper >= 2"
	claim 'and at 4 KiB' "16 * ${time[4096 1]} >= 2 * ${time[4096 16]}"
}

main "$@"
