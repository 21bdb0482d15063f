#!/usr/bin/env bats
# roundtrip over linkem's link: what it says of losses, copies and order is what the link's counters say, one impairment at a time
# and each direction for itself; its bounds hold whatever the delays.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers
load ../fixtures/linkem

setup_file() {
	find_out_if_possible
}

setup() {
	prepare_testbed
	roundtrip=$TCPLAB_BIN/roundtrip
}

teardown() {
	end_testbed
}

# serve_over SPEC...: the link, and a server on b.
serve_over() {
	up "$@"
	start_server "$linkem" exec b "$roundtrip" -s -p 0
}

ask() {
	run -0 on a timeout 60 "$roundtrip" b -p "$PORT" --json "$@"
}

# A run in which each question leaves 1 ms after the one before; then all of it has arrived.
ask_500() {
	ask --wire extended -n 500 -i 1ms --timeout 2s
	wait_until is_idle a2b
	wait_until is_idle b2a
}

# counts NAME...: fields of the total in $output, on one line.
counts() {
	local name
	for name; do
		ours "$name"
	done | xargs
}

# of_link NAME: the link's counter, there and back.
of_link() {
	echo "$(count a2b "$1") $(count b2a "$1")"
}

# The truth is 0: both hosts read one clock.
is_within_bound() {
	[ "$(ours offset_ns | tr -d -)" -le "$(ours offset_bound_ns)" ] || {
		echo "offset $(ours offset_ns) +- $(ours offset_bound_ns)"
		return 1
	}
}

@test "a perfect link: nothing lost, doubled or overtaken" {
	serve_over --rtt 4ms
	ask_500
	same counts "$(counts sent received lost lost_up lost_down lost_unknown duplicated reordered late garbage)" "500 500 0 0 0 0 0 0 0 0"
	same "the link's packets" "$(of_link packets)" "500 500"
	is_within_bound
}

@test "loss, there and back: the link's own counts" {
	serve_over --rtt 4ms
	local way
	for way in a2b b2a; do
		"$linkem" set clear
		"$linkem" set rtt=4ms "$way" loss=5%,seed=3
		local before
		before=$(count $way dropped_loss)
		ask_500
		local lost=$(($(count $way dropped_loss) - before))
		[ $lost -gt 5 ]
		case $way in
		a2b) same "lost there" "$(counts lost lost_up lost_down lost_unknown)" "$lost $lost 0 0" ;;
		b2a) same "lost back" "$(counts lost lost_up lost_down lost_unknown)" "$lost 0 $lost 0" ;;
		esac
		same others "$(counts received duplicated reordered late)" "$((500 - lost)) 0 0 0"
	done
}

@test "copies, there and back: the link's own counts" {
	serve_over --rtt 4ms
	local way
	for way in a2b b2a; do
		"$linkem" set clear
		"$linkem" set rtt=4ms "$way" dup=10%,seed=5
		local before
		before=$(count $way duplicated)
		ask_500
		local copies=$(($(count $way duplicated) - before))
		[ $copies -gt 10 ]
		case $way in
		a2b) same "copies there" "$(counts duplicated duplicated_up duplicated_down)" "$copies $copies 0" ;;
		b2a) same "copies back" "$(counts duplicated duplicated_up duplicated_down)" "$copies 0 $copies" ;;
		esac
		same others "$(counts sent received lost reordered)" "500 500 0 0"
	done
}

# held_up PID: stopped until 300 questions lie there, at one each millisecond.
held_up() {
	wait_until is_under_way
	kill -STOP "$1"
	wait_until is_far
	kill -CONT "$1"
}

is_under_way() {
	[ "$(count b2a packets)" -gt 20 ]
}

is_far() {
	[ "$(count a2b packets)" -gt 350 ]
}

@test "a server that is held up: what it loses is what its kernel had no room for, and that is nothing where it may have room" {
	serve_over --rtt 2ms
	local program room
	program=$(pgrep -f "^$roundtrip -s -p 0\$" -P "$SERVER_PID") || program=$SERVER_PID
	held_up "$program" 3>&- &
	ask --wire extended -n 500 -i 1ms --timeout 15s # what is late is not lost
	wait $!
	room=$(sed -n 's/^Udp6RcvbufErrors[[:space:]]*//p' <<<"$(on b cat /proc/net/snmp6)")
	same lost "$(counts lost)" "$room"
	[ "$(cat /proc/sys/net/core/rmem_max)" -lt 1048576 ] || same lost "$(counts lost)" 0
}

@test "overtaken, there and back: the link's own counts" {
	serve_over --rtt 20ms
	local way
	for way in a2b b2a; do
		"$linkem" set clear
		"$linkem" set rtt=20ms "$way" reorder=5%:6ms,seed=9
		local before
		before=$(count $way reordered)
		ask_500
		local overtaken=$(($(count $way reordered) - before))
		[ $overtaken -gt 5 ]
		case $way in
		a2b) same "overtaken there" "$(counts reordered reordered_up reordered_down)" "$overtaken $overtaken 0" ;;
		b2a) same "overtaken back" "$(counts reordered reordered_up reordered_down)" "$overtaken 0 $overtaken" ;;
		esac
		same others "$(counts sent received lost duplicated)" "500 500 0 0"
	done
}

@test "the last ones: a copy of the last answer counts, a loss of the last question is not known where" {
	serve_over --a2b dup=100%
	wait_until last_copy_counts # it does, if it comes soon
	"$linkem" set clear
	"$linkem" set a2b blackhole=100 # --size 100 and more do not pass: none does
	run -1 on a timeout 60 "$roundtrip" b -p "$PORT" --json --wire extended -n 5 -i 5ms --timeout 100ms
	same "nothing back" "$(counts sent lost lost_up)" "5 5 null"
}

last_copy_counts() {
	ask --wire extended -n 5 -i 5ms
	same "copies" "$(counts sent received duplicated duplicated_up)" "5 5 5 5"
}

@test "30 ms there and 10 ms back: the offset is wrong by half the difference, and the truth is within the bound" {
	serve_over --a2b delay=30ms --b2a delay=10ms
	ask -n 20 -i 5ms
	local offset more
	offset=$(ours offset_ns)
	[ "$(ours rtt_min_ns)" -ge 40000000 ]
	# Neither delay is shorter than asked for. What the fastest answer took longer may be all on one of the ways.
	more=$(($(ours rtt_min_ns) / 2 - 20000000 + 10000))
	[ "$offset" -ge $((10000000 - more)) ] && [ "$offset" -le $((10000000 + more)) ] || {
		echo "offset $offset, wanted 10 ms +- $more ns"
		return 1
	}
	is_within_bound
	[ "$(ours offset_bound_ns)" -ge 20000000 ]
}

@test "symmetric delays at random: the offset is within its bound, ten times of ten" {
	serve_over
	local n delay jitter
	for ((n = 0; n < 10; n++)); do
		delay=$((1 + RANDOM % 30)) jitter=$((RANDOM % 10000))
		"$linkem" set rtt=$((2 * delay))ms a2b jitter=$((jitter < delay * 1000 ? jitter : delay * 1000))us,seed=$RANDOM \
			b2a jitter=$((jitter < delay * 1000 ? jitter : delay * 1000))us,seed=$RANDOM
		ask -n 20 -i 2ms
		is_within_bound || {
			"$linkem" stat --json
			return 1
		}
		same received "$(counts sent received)" "20 20"
	done
}

@test "drift over a link with jitter: within its bound" {
	up --rtt 4ms --a2b jitter=500us,seed=1 --b2a jitter=500us,seed=2
	start_server "$linkem" exec b "$roundtrip" -s -p 0 --drift 200
	ask --time 2 -i 2ms
	echo "drift $(ours drift_ppm) +- $(ours drift_bound_ppm)"
	awk -v d="$(ours drift_ppm)" -v b="$(ours drift_bound_ppm)" 'BEGIN { exit !(d - 200 <= b && 200 - d <= b && b < 10000) }'
}

@test "SIGINT: what is under way is waited for, not lost" {
	set -m
	serve_over --rtt 200ms
	"$linkem" exec a "$roundtrip" b -p "$PORT" --wire extended --json --report 50ms >out 2>err 3>&- &
	local pid=$!
	wait_until grep -qs '"received":[1-9]' out
	kill -INT $pid
	local status=0
	wait $pid || status=$?
	same status $status 130
	same lost "$(field lost <out)" 0
	[ "$(field sent <out)" -gt 1 ]
}
