#!/usr/bin/env bash
# 80-procmon - what a process monitor shows of a process of which we know what it does, and what it cannot show.
#
# tier: any
# summary: A wave of processor time against its chart; a wave that a slow sampler does not see; 120 percent of a processor.
# alone: processor time is measured

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

memory=4 # MiB; more of it would cost processor time that is to be seen in the wave
cosine_peak=40 square_peak=20 each=60 # percent of a processor

main() {
	lab_start "$@"
	need procmon dummyload netcat-blocking plot

	beat predict
	say 'dummyload is as busy as it is told, in the shape of a wave. procmon watches it, from outside, and draws what it sees.'
	predict two "Two threads of dummyload use $each percent of a processor each, and here are $(nproc). How many percent does procmon show?"
	say "Now one thread: $square_peak percent for 0.2 s, nothing for 0.2 s, and so on. procmon looks every 0.4 s."
	predict slow 'Its chart of the processor time shows ...' "a wave between 0 and $square_peak percent" \
		'now one of the two, now the other' "a straight line at $((square_peak / 2)) percent"
	say "The memory goes with it: $memory MiB as long as it is busy, given back as long as it is not."
	predict memory 'Its chart of the memory, looked at every 0.4 s as well, shows ...' "a wave between 0 and $memory MiB" \
		"a straight line at $((memory / 2)) MiB" "a straight line at 0 or at $memory MiB"

	beat run
	watch_cosine
	watch_square
	watch_two

	beat observe
	observe_cosine
	observe_square
	observe_two

	beat explain
	explain

	beat verdict
	judge_cosine
	judge_square
	judge_two
	verdict
}

# --- run ---

# The chart is a curve of numbers, which /csv has as well; asked for when the process has ended, since it is kept.
watch_cosine() {
	serve watcher "procmon -p 0 -i 0.1 -- dummyload cosine $cosine_peak --period 1.5 --time 3 -i 0.1 --json > wave.json"
	local tries
	for ((tries = 0; tries < 1000; tries++)); do
		! grep -q '"record":"total"' wave.json || break
		sleep 0.02
	done
	run "printf 'GET /csv HTTP/1.0\\r\\nHost: 127.0.0.1:$PORT\\r\\n\\r\\n' | netcat-blocking 127.0.0.1 $PORT > csv.log"
	stop watcher
}

# The same wave, at the same time, for two that look: one too slowly.
watch_square() {
	local look='procmon -p 0 --until-exit --json'
	run "dummyload square $square_peak --period 0.4 --phase 0.05 --memory ${memory}M --follow --time 2.6 -i 0.01 --json > square.json & pid=\$!; $(
		)$look -i 0.4 \$pid > slow.json & $look -i 0.04 \$pid > fast.json; wait"
}

# The look begins when the load has begun.
watch_two() {
	run "dummyload fixed $each 2 --time 10 -i 0.1 --json > two.json & pid=\$!; until grep -qs interval two.json; do sleep 0.02; done; $(
		)procmon --once -i 1 --json \$pid > once.json; kill \$pid; wait"
}

# --- observe ---

# compare FILE: for each line "from to percent" of standard input, in Unix ns, what dummyload's records in FILE say of that time:
# "from to percent asked got". A line that lies not within the run is left out.
compare() {
	awk '
		function number(key) {
			if (!match($0, "\"" key "\":[-+0-9.e]+"))
				return 0
			return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
		}
		# Of a sum that is known at the ends of the intervals, the value at a moment between them.
		function at(sum, t,    i) {
			for (i = 1; i < n && end[i] < t; i++)
				;
			return sum[i - 1] + (sum[i] - sum[i - 1]) * (t - end[i - 1]) / (end[i] - end[i - 1])
		}
		FNR == NR {
			if (/"record":"start"/)
				end[0] = number("start_unix_ns")
			if (/"record":"interval"/) {
				n++
				end[n] = number("unix_ns")
				asked[n] = asked[n - 1] + number("target_cpu_ns")
				got[n] = got[n - 1] + number("cpu_ns")
			}
			next
		}
		$1 >= end[0] && $2 <= end[n] {
			print $1, $2, $3, 100 * (at(asked, $2) - at(asked, $1)) / ($2 - $1), 100 * (at(got, $2) - at(got, $1)) / ($2 - $1)
		}' "$1" -
}

# looks FILE KEY: of each look of procmon, "from to value". Only whole intervals: the last one ends with the process.
looks() {
	sed -n '/"record":"interval"/s/.*"time_ns":\([0-9]*\),.*"'"$2"'":\([-+0-9.e]*\),.*/\1 \2/p' "$1" |
		awk -v least="$3" 'NR > 1 && $1 - before >= least { printf "%s %s %s\n", before, $1, $2 } { before = $1 }'
}

observe_cosine() {
	# The body of the answer: what is behind the empty line.
	tr -d '\r' <csv.log | sed '1,/^$/d' >wave.csv
	awk -F, '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		before != "" && $at["cpu_percent"] != "" { print before, $at["time_ns"], $at["cpu_percent"] }
		{ before = $at["time_ns"] }' wave.csv | compare wave.json >cosine.log
	read -r points from_asked from_got together <<<"$(awk '
		{ n++; x = $3; y = $4
		  asked += x > y ? x - y : y - x; got += x > $5 ? x - $5 : $5 - x
		  sx += x; sy += y; sxx += x * x; syy += y * y; sxy += x * y }
		END { if (n > 1) print n, asked / n, got / n, (n * sxy - sx * sy) / sqrt((n * sxx - sx * sx) * (n * syy - sy * sy)) }' cosine.log)"
	figure points "${points:=null}"
	figure from_asked "${from_asked:=null}" points
	figure from_got "${from_got:=null}" points
	figure correlation "${together:=null}"
	say "$points looks at a cosine of $cosine_peak percent: from what was asked for, procmon is off by $(calc "$from_asked" %.2f) points on average," \
		"from what dummyload says that it got, by $(calc "$from_got" %.2f). Correlation with what was asked for: $(calc "$together" %.3f)"
	{
		echo 'seconds, asked for, procmon'
		awk 'NR == 1 { first = $1 } { printf "%.4f, %s, %s\n", (($1 + $2) / 2 - first) / 1e9, $4, $3 }' cosine.log
	} | draw cosine 'A cosine, and what procmon makes of it' seconds 'percent of a processor'
}

declare -A saw=() # by sampler and figure: [slow mean]; null where there was nothing to see

# statistics NAME FILE: of the third column: how many, mean, least, most, standard deviation.
statistics() {
	local n mean least most spread
	read -r n mean least most spread <<<"$(awk '
		{ n++; sum += $3; squares += $3 * $3
		  if (n == 1 || $3 < least) least = $3
		  if (n == 1 || $3 > most) most = $3 }
		END { if (n > 0) print n, sum / n, least, most, sqrt(squares / n - (sum / n) ^ 2) }' "$2")"
	saw[$1 n]=${n:-0} saw[$1 mean]=${mean:-null} saw[$1 least]=${least:-null} saw[$1 most]=${most:-null} saw[$1 spread]=${spread:-null}
}

# share FILE CONDITION: of the looks, the part for which that holds.
share() {
	awk "{ n++; yes += ($2) } END { if (n > 0) print yes / n; else print \"null\" }" "$1"
}

# apart FILE COLUMN COLUMN: by how much those two differ, on average.
apart() {
	awk -v one="$2" -v two="$3" '
		{ n++; sum += $one > $two ? $one - $two : $two - $one }
		END { if (n > 0) print sum / n; else print "null" }' "$1"
}

observe_square() {
	local which
	looks slow.json cpu_percent 300e6 >slow.log
	looks fast.json cpu_percent 20e6 >fast.log
	high=$(share fast.log "\$3 > 0.75 * $square_peak")
	low=$(share fast.log "\$3 < 0.25 * $square_peak")
	compare square.json <slow.log >slow-got.log
	compare square.json <fast.log >fast-got.log
	square_short=$(apart fast-got.log 4 5)
	from_got_slow=$(apart slow-got.log 3 5)
	from_got_fast=$(apart fast-got.log 3 5)
	figure square_short "$square_short" points
	figure square_from_got_slow "$from_got_slow" points
	figure square_from_got_fast "$from_got_fast" points
	say '' "$(printf '%-24s %8s %8s %8s %8s %8s' 'percent of a processor' looks mean least most spread)"
	for which in slow fast; do
		statistics $which $which.log
		say "$(printf '%-24s %8s %8s %8s %8s %8s' "$([[ $which == slow ]] && echo 'every 0.4 s' || echo 'every 0.04 s')" "${saw[$which n]}" \
			"$(calc "${saw[$which mean]}" %.1f)" "$(calc "${saw[$which least]}" %.1f)" "$(calc "${saw[$which most]}" %.1f)" \
			"$(calc "${saw[$which spread]}" %.1f)")"
		figure ${which}_mean "${saw[$which mean]}" percent
		figure ${which}_spread "${saw[$which spread]}" percent
	done
	measured slow "a straight line: between $(calc "${saw[slow least]}" %.1f) and $(calc "${saw[slow most]}" %.1f) percent"
	observe_memory
	awk 'NR == 1 { print "seconds, procmon" } { printf "%.4f, %s\n", $2 / 1e9 - '"$(sed -n '1s/ .*//p' fast.log)"' / 1e9, $3 }' fast.log |
		draw square 'A square wave, looked at every 0.04 s' seconds 'percent of a processor'
}

observe_memory() {
	looks slow.json resident_bytes 300e6 >slow-memory.log
	looks fast.json resident_bytes 20e6 >fast-memory.log
	statistics slow_memory slow-memory.log
	statistics fast_memory fast-memory.log
	say '' "resident memory, MiB: every 0.4 s between $(MiB "${saw[slow_memory least]}") and $(MiB "${saw[slow_memory most]}"), every 0.04 s between $(
	)$(MiB "${saw[fast_memory least]}") and $(MiB "${saw[fast_memory most]}")"
	figure memory_swing_slow "$(calc "${saw[slow_memory most]} - ${saw[slow_memory least]}")" B
	figure memory_swing_fast "$(calc "${saw[fast_memory most]} - ${saw[fast_memory least]}")" B
	measured memory "between $(MiB "${saw[slow_memory least]}") and $(MiB "${saw[slow_memory most]}") MiB, of which the program itself has some 2"
}

MiB() {
	calc "$1 / 1048576" %.1f
}

observe_two() {
	local to threads
	to=$(field once.json time_ns)
	shown=$(field once.json cpu_percent)
	read -r _ _ _ two_asked two_got <<<"$(echo "$(calc "$to - 1e9" %.0f) $to $shown" | compare two.json)"
	two_asked=${two_asked:-null} two_got=${two_got:-null}
	threads=$(grep -o '"name":"load [12]","state":"[A-Z]","cpu_percent":[0-9.]*' once.json | sed 's/.*://')
	thread_sum=$(calc "$(tr '\n' '+' <<<"${threads:-null}")0" %.4g)
	figure shown "$shown" percent
	say '' "two threads of $each percent: procmon shows $(calc "$shown" %.1f) percent; dummyload asked for $(calc "$two_asked" %.1f) and got" \
		"$(calc "$two_got" %.1f). Thread by thread: $(calc "$(sed -n 1p <<<"$threads")" %.1f) and $(calc "$(sed -n 2p <<<"$threads")" %.1f)." \
		"Of all that $(nproc) processors have: $(calc "$shown / $(nproc)" %.1f) percent"
	if has_two; then
		measured two "$(calc "$shown" %.1f)"
	else
		measured two "$(calc "$shown" %.1f): there was no more to be had (dummyload got $(calc "$two_got" %.1f) of $((2 * each)))"
	fi
}

# Could the two threads use more than one processor has?
has_two() {
	holds "$two_got > 105"
}

# --- explain ---

explain() {
	say 'A monitor does not see a process run. It reads a sum, the processor time used so far, at two moments; what it draws is the' \
		'difference over the time between: a mean. Whatever happened within an interval is averaged, exactly. If the interval is a period of' \
		'the wave, each mean is the same, and the wave is gone; if it is a little shorter or longer, a slow wave appears which does' \
		'not exist (aliasing). What is to be seen needs several looks to a period, and the theorem says: more than two.' \
		'Memory is no sum but a state, and a look finds what is there at that moment. Every 0.4 s it is the same moment of the wave:' \
		'not even the mean is right.' \
		'A percentage needs a whole. top, pidstat and procmon take one processor, so two busy threads are 200 percent; others take the' \
		'machine, and the same process has half of that on two processors.' \
		'' \
		'In the source: shape_cpu_ns() in tools/dummyload/shape.c is the integral, account_debt() in tools/dummyload/account.h what' \
		'keeps to it; fill_rates() in tools/procmon/sample.c makes means of sums. Read on: clock_getcpuclockid(3), sched(7), top(1).'
}

# --- verdict ---

# Was there less to be had than was asked for? Then what was drawn is compared with what it got alone.
is_cosine_short() {
	holds "$(field wave.json error_percent) < -2 || $(field wave.json mean_abs_error_percent) > 2.5"
}

judge_cosine() {
	claim 'the cosine: what procmon draws is what dummyload got, within 4 points on average' "$points >= 10 && $from_got < 4"
	if is_cosine_short; then
		say 'left out: the cosine against what was asked for, because this machine was too busy to give it'
		return
	fi
	claim '  and what was asked for, within 4 points' "$from_asked < 4"
	claim '  with a correlation of more than 0.9' "$together > 0.9"
}

# The wave is there to be seen only where dummyload got it, and that is for dummyload to say. Elsewhere its bursts come as they can.
is_square_short() {
	holds "$square_short > 0.15 * $square_peak"
}

judge_square() {
	claim 'the square wave: what procmon shows every 0.4 s is what dummyload got, and so it is every 0.04 s, within 4 points on average' \
		"${saw[slow n]} >= 3 && $from_got_slow < 4 && $from_got_fast < 4"
	if is_square_short; then
		say 'left out: the shape of the square wave, because this machine was too busy to give it'
		return
	fi
	claim '  and both samplers find the same mean' "sqrt((${saw[slow mean]} - ${saw[fast mean]})^2) < 0.15 * $square_peak"
	claim 'too slow: the looks every 0.4 s are spread by less than a third of the peak (the wave is by a half)' \
		"${saw[slow spread]} < $square_peak / 3"
	claim 'fast: of the looks every 0.04 s at least a quarter see the peak, and at least a quarter the trough' "$high >= 0.25 && $low >= 0.25"
	claim '  and they are spread at least twice as far' "${saw[fast spread]} > 2 * ${saw[slow spread]}"
	claim '  and the memory goes up and down by at least three quarters' \
		"${saw[fast_memory most]} - ${saw[fast_memory least]} >= 0.75 * $memory * 1048576"
}

judge_two() {
	claim 'two threads: procmon shows what dummyload got, within 6 points' "sqrt(($shown - $two_got)^2) < 6"
	if [[ $thread_sum != null ]]; then
		claim '  which is the sum of the two' "sqrt(($shown - $thread_sum)^2) < 6"
	else
		say 'left out: thread by thread, because procmon could not look at them twice in that time'
	fi
	if has_two; then
		claim '  and more than one processor has' "$shown > 100"
	else
		say "left out: $((2 * each)) percent of a processor, because this machine did not have so much to give"
	fi
}

main "$@"
