#!/usr/bin/env bash
# 02-message-size - a sender that waits for each answer is as fast as its blocks are long.
#
# tier: any
# summary: Stop-and-wait: how the rate depends on the length of a block, and what pipelining changes.
# alone: rates on one processor are compared
# hosts: ttcp

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

lengths=(1024 4096 16384 65536 262144 1048576)
rounds=5
cell=0.05 # seconds for each length
network=loopback
bind=' --bind 127.0.0.1'
link_MBps=12.07 # 100 Mbit/s, less the headers: 1448 of 1500 bytes

main() {
	lab_start "$@"
	need ttcp plot
	[[ -z $HOSTS ]] || network='the one between the two hosts' bind='' rounds=3

	beat predict
	say 'ttcp sends a block, waits for the 4 bytes that acknowledge it, and sends the next one. Each block is read and' \
		"answered at once; the network is $network. Sketch the rate over the length of a block before you go on."
	predict longer 'Blocks of 1 KiB give some rate. How many times that rate do blocks of 64 KiB give?'
	predict deeper 'Back to 1 KiB, but with 16 blocks under way before the sender waits: how many times the rate?'
	[[ -n $HOSTS ]] || predict far 'And over a link of 100 Mbit/s with a round trip of 20 ms: how many kB/s do blocks of 4 KiB give?'

	beat run
	pin_to_one # otherwise each block wakes the other processor, and from which sleep differs from run to run
	choose_congestion
	serve sink "$ON_B${PIN}ttcp -r$bind -p 0"
	[[ -z $HOSTS ]] || choose_time
	local to="$ON_A${PIN}ttcp -t $B -p $PORT --sweep --time $cell$congestion" round
	for ((round = 1; round <= rounds; round++)); do
		measure "one-by-one-$round" "$to --sizes 1K,4K,16K,64K,256K,1M --depths 1"
		measure "pipelined-$round" "$to --sizes 1K,4K,16K --depths 16"
	done
	[[ -z $HOSTS ]] || measure path-again "${ON_A}ttcp -t $B -p $PORT -l 1K -n 100$congestion"
	stop sink
	over_a_link

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
	if ($ON_A grep -qw reno /proc/sys/net/ipv4/tcp_allowed_congestion_control); then
		congestion=' --congestion reno'
	fi
}

# Between real hosts a block may take long: each length gets the time of 20 round trips, from 0.1 s to 1 s.
choose_time() {
	measure path "${ON_A}ttcp -t $B -p $PORT -l 1K -n 20$congestion"
	cell=$(calc "20e-9 * $(field path.json block_rtt_p50_ns)" %.2f)
	! holds "$cell < 0.1" || cell=0.1
	! holds "$cell > 1" || cell=1
}

# A real round trip, where a testbed can be made: 20 ms, and 2 ms. The queue holds any block, so that nothing is lost.
over_a_link() {
	testbed --rtt 20ms --rate 100mbit --a2b queue=1M || return
	serve far 'on b ttcp -r -4 -p 5001' # the hosts are ours: there the port is free
	say 'far MS, once, and up to six times on a machine that is held up:' \
		'    on a ttcp -4 -t b -p 5001 --sweep --congestion reno --time 0.2 --sizes 1K,4K,16K,64K --depths 1 --json > far-MS-N.json' \
		'    on a ttcp -4 -t b -p 5001 --sweep --congestion reno --time 0.2 --sizes 4K --depths 4,16 --json > far-MS-deep-N.json'
	run 'far 20'
	run 'link rtt=2ms'
	run 'far 2'
}

# far RTT, in a lab line: the sweeps over the link. WHY more than one: whoever else has the processors makes a block take longer,
# and never shorter. So the least of all rounds counts, and there is another round while that is far above the model.
far() {
	local round to='on a ttcp -4 -t b -p 5001 --sweep --congestion reno --time 0.2'
	for ((round = 1; round <= 6; round++)); do
		$to --sizes 1K,4K,16K,64K --depths 1 --json >"far-$1-$round.json" || return
		$to --sizes 4K --depths 4,16 --json >"far-$1-deep-$round.json" || return
		! was_held_up "$1" || continue
		break
	done
}

# was_held_up RTT: a median took longer than the link explains, by more than 15 % and 0.6 ms, in each round so far.
was_held_up() {
	awk -v rtt="$1" -v link="$link_MBps" '
		function number(key) {
			match($0, "\"" key "\":[0-9]+")
			return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
		}
		/"record":"cell"/ {
			n = number("length")
			d = number("depth")
			alone = rtt + n / 1e3 / link
			full = d * n / 1e3 / link
			over = number("block_rtt_p50_ns") / 1e6 - 1.15 * (alone > full ? alone : full) - 0.6
			if (!((n, d) in least) || over < least[n, d])
				least[n, d] = over
		}
		END {
			for (cell in least)
				if (least[cell] > 0)
					exit 0
			exit 1
		}' "far-$1"-*.json
}
export link_MBps
export -f far was_held_up

# --- observe ---

declare -A time=() # ns from the send of a block to its acknowledgement; by length and depth: "1024 1"
declare -A far_ms=() # the same over the link, by RTT, length and depth: "20 1024 1"
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
	look_far
	longer=$(calc "64 * ${time[1024 1]} / ${time[65536 1]}" %.3g)
	deeper=$(calc "16 * ${time[1024 1]} / ${time[1024 16]}" %.3g)
	figure times_at_64K "$longer" 1
	figure times_at_depth_16 "$deeper" 1
	measured longer "$longer times"
	measured deeper "$deeper times"
	[[ -n $HOSTS ]] || measured far 'left out'
	[[ -z $TESTBED ]] || measured far "$(calc "4096 / ${far_ms[20 4096 1]}" %.0f) kB/s"
	curve
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
			"$(calc "${model[$length]} / 1e3" %.1f)" "$(MBps "1e3 * $length / ${time[$length 1]}")" \
			"$(deep_rate "$length")")"
	done
}

deep_rate() {
	if [[ -n ${time[$1 16]:-} ]]; then
		echo "$(MBps "16e3 * $1 / ${time[$1 16]}") MB/s"
	else
		echo -
	fi
}

# Between real hosts it may be little.
MBps() {
	if holds "$1 < 100"; then
		calc "$1" %.3g
	else
		calc "$1" %.0f
	fi
}

# far_model RTT LENGTH DEPTH: the time of a block by the model, in ms; the round trip is T0, the link is B. If more blocks are
# under way than the path holds, each waits for those before it.
far_model() {
	local alone full
	alone=$(calc "$1 + $2 / 1e3 / $link_MBps" %.2f)
	full=$(calc "$3 * $2 / 1e3 / $link_MBps" %.2f)
	printf '%s\n' "$alone" "$full" | sort -g | tail -n 1
}

# The least of all rounds.
look_far() {
	[[ -n $TESTBED ]] || return
	local rtt length depth cell
	for rtt in 20 2; do
		for cell in '1024 1' '4096 1' '16384 1' '65536 1' '4096 4' '4096 16'; do
			read -r length depth <<<"$cell"
			far_ms[$rtt $cell]=$(calc "$(far_ns "$rtt" "$length" "$depth") / 1e6" %.2f)
			figure "far_ms_rtt_${rtt}_length_${length}_depth_$depth" "${far_ms[$rtt $cell]}" ms
		done
	done
	show_far
}

# far_ns RTT LENGTH DEPTH: of each round the median of the blocks.
far_ns() {
	local name=far-$1 file
	(($3 == 1)) || name+=-deep
	for file in "$name"-[0-9].json; do
		field "$file" block_rtt_p50_ns cell "\"length\":$2," "\"depth\":$3,"
	done | sort -g | sed -n 1p
}

show_far() {
	local length depth
	say '' "$(printf '%10s %6s %12s %14s %13s | %12s %14s %13s' block deep 'RTT 20 ms' 'by the model' rate 'RTT 2 ms' 'by the model' rate)"
	for depth in 1 4 16; do
		for length in "${lengths[@]:0:4}"; do
			[[ -n ${far_ms[20 $length $depth]:-} ]] || continue
			say "$(printf '%6d KiB %6d %9s ms %11s ms %8s kB/s | %9s ms %11s ms %8s kB/s' $((length / 1024)) "$depth" \
				"${far_ms[20 $length $depth]}" "$(far_model 20 "$length" "$depth")" "$(far_rate 20 "$length" "$depth")" \
				"${far_ms[2 $length $depth]}" "$(far_model 2 "$length" "$depth")" "$(far_rate 2 "$length" "$depth")")"
		done
	done
}

# far_rate RTT LENGTH DEPTH, in kB/s
far_rate() {
	calc "$3 * $2 / ${far_ms[$1 $2 $3]}" %.0f
}

curve() {
	local length near far
	[[ -z $HOSTS ]] || { curve_of_hosts && return; }
	{
		echo "bytes, $network, RTT 2 ms, RTT 20 ms, 2 ms by the model, 20 ms by the model"
		for length in "${lengths[@]}"; do
			near=- far=-
			if [[ -n ${far_ms[20 $length 1]:-} ]]; then
				near=$(calc "$length / 1e3 / ${far_ms[2 $length 1]}")
				far=$(calc "$length / 1e3 / ${far_ms[20 $length 1]}")
			fi
			echo "$length, $(calc "1e3 * $length / ${time[$length 1]}"), $near, $far," \
				"$(calc "$length / 1e3 / $(far_model 2 "$length" 1)"), $(calc "$length / 1e3 / $(far_model 20 "$length" 1)")"
		done
	} | draw stop-and-wait 'Stop-and-wait, one block at a time' 'block, bytes' MB/s --x-size --log-x --log-y \
		--dashed '2 ms by the model,20 ms by the model'
}

curve_of_hosts() {
	local length
	{
		echo 'bytes, measured, by the model'
		for length in "${lengths[@]}"; do
			echo "$length, $(calc "1e3 * $length / ${time[$length 1]}"), $(calc "1e3 * $length / ${model[$length]}")"
		done
	} | draw stop-and-wait 'Stop-and-wait, one block at a time' 'block, bytes' MB/s --x-size --log-x --log-y --dashed 'by the model'
}

# --- explain ---

explain() {
	local t0_us fat half where
	t0_us=$(calc "$t0 / 1e3" %.1f)
	fat=$(MBps "$b / 1e6")
	half=$(calc "$t0 * $b / 1024e9" %.0f)
	where='On loopback T0 holds no network: it is four system calls and two changes from one process to the other.'
	[[ -z $HOSTS ]] || where="Between these hosts T0 is above all the round trip, here $(calc "$(shortest_round_trip) / 1e3" %.0f) us."
	say "A block of n bytes takes t = T0 + n/B, here with T0 = $t0_us us and B = $fat MB/s, so that" \
		'    rate(n) = n / (T0 + n/B)' \
		"While n is small against T0 x B ($half KiB here) the time is all T0: four times the block is almost four times the" \
		'rate. Far above it the rate closes in on B.' \
		"$where On a real path the round trip takes its place:" \
		'with 20 ms, 4 KiB at a time are 205 kB/s and 64 KiB at a time less than 3.3 MB/s, however fat the link. Longer blocks' \
		'help; not waiting helps more: with 16 blocks under way one T0 is paid for 16 of them, until the path is full' \
		'(100 Mbit/s x 2 ms are 25 KB, not 64). TCP itself does that with its window.' \
		'' \
		'In the source: next_step() and take_acks() are the sender, walk() the receiver (send.c and receive.c in' \
		'tools/ttcp); what ttcp predicts is verdict_predicted_Bps() in tools/ttcp/verdict.c. Read on: RFC 9293 3.8.6, RFC 7323 1.1, tcp(7).'
}

# --- verdict ---

judge() {
	[[ -z $HOSTS ]] || { judge_hosts && return; }
	claim 'short blocks: 4 KiB give at least 2 times the rate of 1 KiB' "4 * ${time[1024 1]} >= 2 * ${time[4096 1]}"
	claim '64 KiB give at least 8 times the rate of 1 KiB' "$longer >= 8"
	claim 'long blocks: 1 MiB gives less than 8 times the rate of 64 KiB' "16 * ${time[65536 1]} < 8 * ${time[1048576 1]}"
	local length
	for length in "${lengths[@]:1:4}"; do
		claim "the model is right within a factor of 3 at $((length / 1024)) KiB" \
			"${time[$length 1]} < 3 * ${model[$length]} && ${model[$length]} < 3 * ${time[$length 1]}"
	done
	claim 'pipelining: 16 deep is at least 2 times as fast as one by one, at 1 KiB' "$deeper >= 2"
	claim 'and at 4 KiB' "16 * ${time[4096 1]} >= 2 * ${time[4096 16]}"
	[[ -z $TESTBED ]] || judge_far
}

# Of a path that nobody knows beforehand only what holds on each: where its T0 x B lies, the model says. WHY a factor of 4: on a
# fast network some lengths begin to wake a sleeping processor, or to be collected by a network card, and some do not.
judge_hosts() {
	local length promised
	claim 'no block takes less than the shortest round trip that the kernel saw' "${time[1024 1]} >= $(shortest_round_trip)"
	for length in "${lengths[@]:1:4}"; do
		claim "the model is right within a factor of 4 at $((length / 1024)) KiB" \
			"${time[$length 1]} < 4 * ${model[$length]} && ${model[$length]} < 4 * ${time[$length 1]}"
	done
	promised=$(calc "64 * ${model[1024]} / ${model[65536]}" %.3g)
	claim "64 KiB give at least a quarter of the $promised times of 1 KiB that the model promises" "$longer >= $promised / 4"
	promised=$(calc "16 * $b / ($b + 15 * 1024e9 / ${time[1024 1]})" %.3g)
	claim "16 deep give at least a quarter of the $promised times that the path has room for" "$deeper >= $promised / 4"
}

shortest_round_trip() {
	printf '%s\n' "$(field path.json min_rtt_ns)" "$(field path-again.json min_rtt_ns)" | sort -g | head -n 1
}

judge_far() {
	local length t
	for length in "${lengths[@]:0:4}"; do
		t=${far_ms[20 $length 1]}
		claim "RTT 20 ms, $((length / 1024)) KiB: the model, with the round trip for T0, is right within 25 percent" \
			"$t > 0.98 * $(far_model 20 "$length" 1) && $t < 1.25 * $(far_model 20 "$length" 1)"
	done
	claim '4 KiB: a tenth of the round trip gives more than 4 times the rate' "${far_ms[20 4096 1]} > 4 * ${far_ms[2 4096 1]}"
	claim '4 deep is 4 times the rate, within 15 percent' \
		"4 * ${far_ms[20 4096 1]} > 3.4 * ${far_ms[20 4096 4]} && 4 * ${far_ms[20 4096 1]} < 4.6 * ${far_ms[20 4096 4]}"
	claim '16 deep is 16 times the rate, within 20 percent' \
		"16 * ${far_ms[20 4096 1]} > 12.8 * ${far_ms[20 4096 16]} && 16 * ${far_ms[20 4096 1]} < 19.2 * ${far_ms[20 4096 16]}"
	claim 'but not over 2 ms: 16 x 4 KiB are more than the path holds' \
		"16 * ${far_ms[2 4096 1]} < 14 * ${far_ms[2 4096 16]}"
}

main "$@"
