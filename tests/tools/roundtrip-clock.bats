#!/usr/bin/env bats
# roundtrip --clock: each clock of the kernel with figures that fit together, how late sleeps end, and what adjtimex(2) says, also
# where it says nothing. How good the clocks are is the machine's business and is not asked.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`
# shellcheck disable=SC2016 # what is in single quotes is for jq, or for the inner shell

load ../helpers

setup() {
	roundtrip=$TCPLAB_BIN/roundtrip
	cd "$BATS_TEST_TMPDIR" || return
	export ASAN_OPTIONS=detect_leaks=0 # it does not work under strace
}

clocks='REALTIME REALTIME_COARSE TAI MONOTONIC MONOTONIC_COARSE MONOTONIC_RAW BOOTTIME PROCESS_CPUTIME_ID THREAD_CPUTIME_ID'

# all FILTER: jq over all records of $output as one array; fails when its answer is false or null.
all() {
	jq --slurp --exit-status "$1" <<<"$output" >/dev/null || {
		echo "not so: $1"
		return 1
	}
}

@test "a record for each clock, then the sleeps, the discipline and the total" {
	need jq
	run -0 --separate-stderr "$roundtrip" --clock --json
	same stderr "$stderr" ''
	all 'all(.schema == "tcplab.roundtrip/1")'
	same records "$(jq -r .record <<<"$output" | uniq | xargs)" 'start clock sleep ntp total'
	same clocks "$(jq -r 'select(.record == "clock").name' <<<"$output" | xargs)" "$clocks"
	same ways "$(jq -r 'select(.record == "sleep").how' <<<"$output" | xargs)" 'as_is slack_1ns timerfd'
	same counted "$(field clocks <<<"$output")" 9
}

@test "the figures fit together" {
	need jq
	run -0 "$roundtrip" --clock --json
	all 'map(select(.record == "clock")) | all(.resolution_ns > 0 and .cost_ns > 0 and (.step_ns == null or .step_ns > 0))'
	# A coarse clock's resolution is a tick, 1 ms at the least. Its steps may be shorter where somebody steers it meanwhile.
	all 'map(select(.name // "" | endswith("_COARSE"))) | all(.resolution_ns > 500000)'
	# Nobody is said to be read in user space who costs more than a system call.
	all '(.[0].syscall_ns) as $call | map(select(.user_space == true)) | all(.cost_ns < $call)'
	all 'map(select(.record == "sleep")) | all(.n > 0 and .p50_ns <= .p99_ns and .p99_ns <= .max_ns and .max_ns > 0)'
	all '(.[-1].synchronised) as $s | map(select(.record == "ntp")) | all(.synchronised == $s and .tick_ns > 0)'
}

@test "text: a line for each clock, and the same verdict" {
	run -0 --separate-stderr "$roundtrip" --clock
	same stderr "$stderr" ''
	local clock
	for clock in $clocks; do
		same "$clock" "$(grep -cE "^$clock +[0-9]" <<<"$output")" 1
	done
	[[ $output == *'clock source'* && $output == *timerfd* && $output == *'TAI - UTC'* ]]
	local verdict
	verdict=$(sed -nE 's/^synchronised +(yes|no) .*/\1/p' <<<"$output")
	run -0 "$roundtrip" --clock --json
	same verdict "$verdict" "$(field synchronised <<<"$output" | sed 's/true/yes/; s/false/no/')"
}

@test "nothing is changed: adjtimex only reads, and no clock is set" {
	need strace
	run -0 strace -f -o trace "$roundtrip" --clock
	grep -qE 'adjtime.*modes=0' trace # glibc's adjtimex is clock_adjtime(2)
	run -1 grep -E 'settimeofday|clock_settime|modes=ADJ' trace
	# The slack of the program's own thread stays.
	local pid
	pid=$(head -n 1 trace | cut -d ' ' -f 1)
	run -1 grep -E "^$pid .*PR_SET_TIMERSLACK" trace
	grep -q 'PR_SET_TIMERSLACK, 1' trace
}

@test "where adjtimex is forbidden: all else, the error, and status 1" {
	need strace
	run -1 --separate-stderr strace -f -o trace -e trace=%clock -e inject=adjtimex,clock_adjtime:error=EPERM \
		"$roundtrip" --clock --json
	one_line_with 'roundtrip: adjtimex' EPERM
	same last "$(field errno error <<<"$output")" EPERM
	[[ ${lines[-1]} == *'"record":"error"'* ]]
	[[ $output == *'"record":"sleep"'* && $output != *'"record":"ntp"'* && $output != *'"record":"total"'* ]]
}

@test "a full disk" {
	run -1 --separate-stderr sh -c '"$1" --clock >/dev/full' sh "$roundtrip"
	one_line_with 'roundtrip: cannot write'
}
