#!/usr/bin/env bash
# 05-timekeeping - what it costs to ask for the time, how long a short sleep is, and where a microsecond goes.
#
# tier: any
# summary: Clocks, sleeps, four stamps worked out by hand, and a round trip that is hardly anything but waking up.
# alone: it measures how late a sleep ends

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

runs=3

main() {
	lab_start "$@"
	need roundtrip

	beat predict
	say 'clock_gettime(2) asks the kernel what time it is: CLOCK_REALTIME, in nanoseconds.'
	predict cost 'How many nanoseconds does the answer take?'
	predict late 'A program sleeps for 1 ms. How many microseconds too late does it wake up, as a rule?'
	say 'A client and a server on this machine, a datagram there and one back. Both sleep until one comes.'
	predict goes 'Most of the round trip is ...' 'copying and the way through the network code' 'waking up who sleeps' \
		"the server's work"
	predict core 'The server runs on the same processor as the client, not on another one. The round trip is ...' \
		'longer: they are in each other'"'"'s way' 'the same' 'shorter'

	beat run
	local i
	for ((i = 1; i <= runs; i++)); do
		measure "clock-$i" 'roundtrip --clock'
	done
	serve server 'roundtrip -s -p 0 --bind 127.0.0.1'
	measure where "roundtrip 127.0.0.1 -p $PORT -n 200 -i 5ms --where --csv where.csv"
	stop server
	if (($(processors) > 1)); then
		measure cores 'roundtrip --same-core'
	else
		say 'left out: the same processor or another, because there is only one'
	fi

	beat observe
	observe_clocks
	observe_sleeps
	by_hand
	observe_stages
	[[ ! -e cores.json ]] || observe_cores

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# On which we may run.
processors() {
	nproc 2>/dev/null || echo 1
}

# least RECORD KEY TEXT: the smallest of all runs. Whatever else this machine does makes a time longer, never shorter.
least() {
	local i
	for ((i = 1; i <= runs; i++)); do
		field "clock-$i.json" "$2" "$1" "$3"
	done | sort -g | sed -n 1p
}

# --- observe ---

declare -A cost=() resolution=() step=() # ns, by clock

observe_clocks() {
	local name
	say "$(printf '%-20s %14s %16s %12s' clock 'resolution, ns' 'smallest step' 'a reading')"
	for name in REALTIME REALTIME_COARSE MONOTONIC MONOTONIC_COARSE THREAD_CPUTIME_ID; do
		cost[$name]=$(least clock cost_ns "\"name\":\"$name\",")
		resolution[$name]=$(least clock resolution_ns "\"name\":\"$name\",")
		step[$name]=$(least clock step_ns "\"name\":\"$name\",")
		figure "${name,,}_cost_ns" "${cost[$name]}" ns
		say "$(printf '%-20s %14s %16s %12.1f' "$name" "${resolution[$name]}" "${step[$name]}" "${cost[$name]}")"
	done
	syscall_ns=$(least start syscall_ns '"role":"clock"')
	say "the cheapest system call, for comparison: $(calc "$syscall_ns" %.0f) ns"
	measured cost "$(calc "${cost[REALTIME]}" %.0f) ns"
}

declare -A overshoot=() # us, by how we sleep

observe_sleeps() {
	local how
	slack_us=$(calc "$(field clock-1.json timer_slack_ns start) / 1000")
	for how in as_is slack_1ns timerfd; do
		overshoot[$how]=$(calc "$(least sleep p50_ns "\"how\":\"$how\",") / 1000" %.1f)
		figure "overshoot_${how}_us" "${overshoot[$how]}" us
	done
	say '' "1 ms of sleep ends too late (medians): by ${overshoot[as_is]} us as we are (timer slack $slack_us us)," \
		"by ${overshoot[slack_1ns]} us with a slack of 1 ns, by ${overshoot[timerfd]} us with a timerfd"
	measured late "${overshoot[as_is]} us"
}

# From the line with the shortest round trip: what the tool says of it, and what its stamps say. A double has no room for
# nanoseconds since 1970, so the seconds of t1 are taken off first.
by_hand() {
	awk -F, '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		$at["t2"] != "" && (best == "" || $at["rtt_ns"] < least) { best = $0; least = $at["rtt_ns"] }
		function ns(stamp,   part) { split(stamp, part, "."); return (part[1] - base) * 1e9 + part[2] }
		END {
			$0 = best
			split($at["t1"], part, "."); base = part[1]
			print ns($at["t1"]), ns($at["t2"]), ns($at["t3"]), ns($at["t4"]), $at["rtt_ns"], $at["offset_ns"]
		}' OFMT='%.0f' where.csv >by-hand.log
	local t1 t2 t3 t4
	read -r t1 t2 t3 t4 tool_rtt tool_offset <by-hand.log
	hand_rtt=$(calc "($t4 - $t1) - ($t3 - $t2)" %.0f)
	hand_offset=$(calc "(($t2 - $t1) + ($t3 - $t4)) / 2" %.1f)
	say '' 'The line of where.csv with the shortest round trip, in ns since t1:' \
		"  question sent      t1 = 0" \
		"  question received  t2 = $(calc "$t2 - $t1" %.0f)" \
		"  answer sent        t3 = $(calc "$t3 - $t1" %.0f)" \
		"  answer received    t4 = $(calc "$t4 - $t1" %.0f)" \
		"  round trip (t4 - t1) - (t3 - t2)       = $hand_rtt (roundtrip says $tool_rtt)" \
		"  offset     ((t2 - t1) + (t3 - t4)) / 2 = $hand_offset (roundtrip says $tool_offset), +- $(calc "$hand_rtt / 2" %.0f)"
	figure hand_rtt_ns "$hand_rtt" ns
	figure hand_offset_ns "$hand_offset" ns
}

declare -A stage=() # us, medians

observe_stages() {
	local name
	for name in ask_queue ask_device wire server_wake server_work answer_queue answer_device wake; do
		stage[$name]=$(calc "$(stage_ns "$name") / 1000" %.1f)
		figure "${name}_us" "${stage[$name]}" us
	done
	waking=$(calc "${stage[server_wake]} + ${stage[wake]}" %.1f)
	say '' "Where a round trip goes, us (medians; p50 of the whole: $(calc "$(field where.json rtt_p50_ns) / 1000" %.1f)):" \
		"  send(2) and the network code  client ${stage[ask_queue]} + ${stage[ask_device]}," \
		"                                server ${stage[answer_queue]} + ${stage[answer_device]}" \
		"  the wire, both ways           ${stage[wire]} (between the kernels: here there is none)" \
		"  waking up, recv(2)            server ${stage[server_wake]}, client ${stage[wake]}" \
		"  the server's work             ${stage[server_work]} (not in the RTT)"
	measured goes "waking up: $waking us; the wire: ${stage[wire]} us"
}

stage_ns() {
	grep -F '"record":"total"' where.json | sed -n "s/.*\"stage\":\"$1\",[^}]*\"p50_ns\":\\([0-9]*\\).*/\\1/p"
}

observe_cores() {
	other=$(calc "$(field cores.json other_core_p50_ns) / 1000" %.1f)
	same=$(calc "$(field cores.json same_core_p50_ns) / 1000" %.1f)
	figure other_core_us "$other" us
	figure same_core_us "$same" us
	say '' "Asked again at once: $other us with the server on another processor, $same us on the same (medians)"
	measured core "$same us, and $other us on another one"
}

# --- explain ---

explain() {
	say 'A clock is read in user space: the kernel keeps a page with the time of its last tick, and the program adds what' \
		"the processor's counter (TSC) has counted since (vdso(7)). A coarse clock leaves that out: cheaper, and as of" \
		'the last tick, 1 to 10 ms old. A clock that counts processor time needs a system call.' \
		'A sleep never ends early. It ends late by the timer slack (50 us, for the kernel to wake several sleepers at' \
		'once; prctl(2) PR_SET_TIMERSLACK), and by what it takes to wake up: the interrupt, a processor that slept, too,' \
		'the scheduler.' \
		'Four stamps: the RTT needs no common clock, each end contributes a difference of its own. The offset takes the' \
		"half of both ways; see 03-clock for what is wrong with that. roundtrip's RTT is a little longer than that of the" \
		'stamps: it reads the monotonic clock, which nobody sets, before t1 and after t4.' \
		'The rest is waking up. An idle processor halts, and to get it going takes longer than all the network code. On' \
		'one processor for both there is nothing to wake: as the client goes to sleep the server runs. Or let nobody' \
		'sleep (--busy-poll).' \
		'' \
		'In the source: sample_of() and measure_add_stages() in tools/roundtrip/measure.c; kstamp_ask() in' \
		'common/kstamp.c. Read on: clock_gettime(2), vdso(7), time(7), Documentation/networking/timestamping.rst of' \
		'Linux.'
}

# --- verdict ---

judge() {
	local name
	for name in REALTIME MONOTONIC; do
		claim "$name: a reading of the coarse one costs less, and steps are at least 100 times as large" \
			"${cost[${name}_COARSE]} < ${cost[$name]} && ${step[${name}_COARSE]} >= 100 * ${step[$name]}"
	done
	claim 'processor time is dearer to ask for than the time' "${cost[THREAD_CPUTIME_ID]} > ${cost[REALTIME]}"
	claim 'a sleep ends late' "${overshoot[as_is]} > 0 && ${overshoot[slack_1ns]} > 0"
	if holds "$slack_us >= 20"; then
		claim '  and later with the slack than without' "${overshoot[as_is]} > ${overshoot[slack_1ns]}"
	else
		say "left out: sleeping with slack and without, because here the slack is $slack_us us already"
	fi
	claim 'the offset by hand is what roundtrip says' "sqrt(($hand_offset - $tool_offset)^2) <= 1"
	claim '  and the round trip, but for two more readings of the clock' "$hand_rtt <= $tool_rtt && $hand_rtt > 0.5 * $tool_rtt"
	claim '  and one clock is away from itself by less than the bound' "2 * sqrt(($hand_offset)^2) <= $hand_rtt"
	claim 'waking up takes more than 3 times as long as the wire' "$waking > 3 * ${stage[wire]}"
	[[ ! -e cores.json ]] ||
		claim 'on one processor the round trip does not take longer (not 1.5 times as long)' "$same <= 1.5 * $other"
}

main "$@"
