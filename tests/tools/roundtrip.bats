#!/usr/bin/env bats
# roundtrip over loopback: usage, the end of a run, records and files, each option. Old peers and NTP servers are in
# tests/interop, liars and floods in tests/robust, the emulated link in tests/interop/roundtrip-link.bats, --clock in
# roundtrip-clock.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server
# shellcheck disable=SC2016 # for the shell inside

load ../helpers
load ../fixtures/through_socks

setup() {
	roundtrip=$TCPLAB_BIN/roundtrip
	peers=$TCPLAB_ROOT/tests/fixtures/roundtrip_peers.py
	plain=$TCPLAB_ROOT/tests/fixtures/roundtrip_plain.py
	cd "$BATS_TEST_TMPDIR" || return
}

serve() {
	start_server "$roundtrip" -s -p 0 --json "$@"
}

# ask ARGS...: a client of the last server
ask() {
	timeout -k 1 60 "$roundtrip" 127.0.0.1 -p "$PORT" "$@"
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "roundtrip $*"
	run -2 --separate-stderr timeout -k 1 60 "$roundtrip" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# counts NAME...: fields of the total in $output, on one line.
counts() {
	local name
	for name; do
		ours "$name"
	done | xargs
}

# is_between WHAT VALUE LEAST MOST: numbers, also with decimals
is_between() {
	awk -v v="$2" -v least="$3" -v most="$4" 'BEGIN { exit !(v + 0 >= least && v + 0 <= most) }' || {
		echo "$1: $2, wanted $3 to $4"
		return 1
	}
}

# --- usage ------------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$roundtrip" --help
	[[ $output == *"usage: roundtrip -s"*"--same-core"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$roundtrip" --version
	[[ $output == "roundtrip (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local args
	for args in '' 'a b' '-s a' '-s -4 -6' '-s --ntp' '-s --clock' '-s --same-core' '--clock --same-core' '--ntp --clock' \
		'a --bind ::1' 'a --skew 1s' 'a --drift 1' 'a --ntp --tcp' 'a --tcp --where' 'a --tcp --naive' 'a -D' \
		'a --naive --busy-poll' 'a --naive --poisson' 'a --poisson -i 0' 'a --ntp --key k' 'a --ntp --size 200' \
		'a --ntp --wire plain' 'a --wire plain --key k' 'a --wire plain --size 200' 'a --key k --size 183' 'a -p 0' \
		'--clock a' '--same-core a' '-s --tcp' '-s --naive' '-s --where' '-s --steer' '-s --csv f' '-s --svg f' \
		'-s --histogram' '-s -n 1' '-s --time 1' '-s --size 200' '-s --wire plain' '-s --skew x' '-s --skew 74y' \
		'-s --skew 3000000000s' '-s --drift x' '-s --drift 100001' '-s --drift -100001' '-s --drift nan' '-s --drift 1x' \
		'-p x a' '-p 65536 a' 'a -n 0' 'a -n -1' 'a --time 0' 'a -i -1' 'a -i 2h' 'a --size 151' 'a --size 65508' \
		'a --socks h' 'a --ntp --socks h' '-s --socks h' 'a --tcp --socks 1080' 'a --tcp --socks http://h' 'a --tcp --socks ::1' \
		'a --timeout 100us' 'a --timeout 2m' 'a --dscp 64' 'a --wire old' 'a --report 0' '-s --udp-rate 0' '-s --max-conn 0' 'a --nonsense'; do
		# shellcheck disable=SC2086 # words
		refused $args
	done
}

# --- the end of a run -------------------------------------------------------------------------------------------------

@test "the total has every figure; a plain server's directions are null" {
	serve
	local key
	run -0 --separate-stderr ask -n 20 -i 1ms --json --where
	same stderr "$stderr" ''
	same "first, last" "$(field record <<<"${lines[-1]}") $(field record start <<<"${lines[0]}")" "total start"
	same schema "$(ours schema) $(ours schema start)" "tcplab.roundtrip/1 tcplab.roundtrip/1"
	for key in role peer transport wire size interval_ns elapsed_ns sent received lost lost_up lost_down lost_unknown duplicated \
		duplicated_up duplicated_down reordered reordered_up reordered_down late garbage refused unsent \
		rtt_{min,mean,p50,p90,p99,p999,max,jitter}_ns rtt_{min,mean,p50,p90,p99,p999,max}_corrected_ns \
		offset_ns offset_bound_ns offset_at_ns offset_end_ns drift_ppm drift_bound_ppm drift_is_straight \
		{up,down}_{min,p50,p99,jitter}_ns one_way one_way_error_ns stages offset_kernel_ns offset_kernel_bound_ns; do
		ours "$key" >value || {
			echo "no $key"
			return 1
		}
		case $key in
		up_min_ns | down_min_ns | one_way_error_ns) ;; # known where both clocks are synchronised
		*) [ "$(cat value)" != null ] || { echo "$key is null" && return 1; } ;;
		esac
	done
	same run "$(counts role peer transport wire size interval_ns)" "client 127.0.0.1:$PORT udp extended 152 1000000"
	same counts "$(counts sent received lost lost_up lost_down lost_unknown duplicated reordered late garbage refused unsent)" \
		"20 20 0 0 0 0 0 0 0 0 0 0"
	run -0 ask -n 20 -i 1ms --json --wire plain
	same unknown "$(counts wire size lost_up lost_down lost_unknown duplicated_up duplicated_down reordered_up reordered_down)" \
		"plain 16 null null null null null null null"
	same counts "$(counts sent received lost duplicated reordered)" "20 20 0 0 0"
}

@test "RTT, bound and offset fit together, by UDP and TCP, by both wires" {
	need python3
	serve
	local how
	for how in '' '--wire plain' '--tcp' '--tcp --nodelay' '--tcp --wire plain' '-i 0' '--busy-poll' '--tcp -i 0' '--tcp --busy-poll' '--naive'; do
		# shellcheck disable=SC2086 # words
		run -0 --separate-stderr ask -n 25 -i 1ms --json $how
		echo "$output" >"${how// /}.json"
		same "$how: counts" "$(counts sent received lost)" "25 25 0"
		# Both read one clock.
		[ "$(ours offset_ns | tr -d -)" -le "$(ours offset_bound_ns)" ]
		[ "$(ours offset_bound_ns)" -le $(($(ours rtt_min_ns) / 2 + 1001)) ]
	done
	python3 "$peers" sane ./*.json
}

@test "-n is exact, --time ends, -i is the time between two questions, and the text says the same" {
	serve
	local n
	for n in 1 2 3 64 65 150; do
		run -0 ask -n $n -i 100us --json
		same "sent, received" "$(counts sent received)" "$n $n"
	done
	run -0 ask -n 2000 -i 0 --json
	same "sent, received" "$(counts sent received)" "2000 2000"
	run -0 ask --time 200ms -i 10ms --json
	is_between sent "$(ours sent)" 1 21
	is_between elapsed_ns "$(ours elapsed_ns)" 180000000 20000000000
	run -0 ask -n 21 -i 10ms --json
	is_between elapsed_ns "$(ours elapsed_ns)" 195000000 20000000000
	run -0 ask -n 7 -i 1ms
	[[ $output == "roundtrip to 127.0.0.1:$PORT (udp, extended): 7 questions of 152 bytes"*RTT*clock*drift*"lost        0 of 7"*order* ]]
}

# interrupt SIGNAL ARGS...: sends it in the middle of a run; leaves $status and $output.
interrupt() {
	local signal=$1
	shift
	rm -f interrupted # what the one before said is not this one's
	"$roundtrip" 127.0.0.1 -p "$PORT" --json --report 20ms "$@" >interrupted 2>&1 3>&- &
	local pid=$!
	wait_until grep -qs '"received":[1-9]' interrupted
	kill -s "$signal" $pid
	status=0
	wait $pid || status=$?
	output=$(cat interrupted)
}

@test "SIGINT and SIGTERM: the report, the total last, 130 and 143" {
	serve
	set -m # SIGINT is ignored in a background job of a shell without job control
	local how
	for how in '' '-i 0' --busy-poll --tcp --naive '--wire plain'; do
		# shellcheck disable=SC2086 # words
		interrupt INT $how
		same "status ($how)" $status 130
		same "last ($how)" "$(tail -n 1 interrupted | field record)" total
		same "interrupted ($how)" "$(ours interrupted)" true
		# shellcheck disable=SC2086 # words
		interrupt TERM $how
		same "status ($how)" $status 143
		same "last ($how)" "$(tail -n 1 interrupted | field record)" total
	done
	interrupt INT --tcp --wire extended
	stop_server
	same "server" "$SERVER_STATUS" 143
	same "its total" "$(tail -n 1 "$SERVER_OUT" | field role)" server
}

@test "the server's total, by SIGTERM and by SIGINT" {
	set -m
	serve
	ask -n 30 -i 1ms >out
	ask -n 20 -i 1ms --wire plain >out
	ask -n 10 -i 1ms --tcp >out
	stop_server
	same status "$SERVER_STATUS" 143
	same "last record" "$(tail -n 1 "$SERVER_OUT" | field record)" total
	local total
	total=$(cat "$SERVER_OUT")
	same counts "$(for name in role plain extended clients connections garbage unauthorised udp_received udp_answered; do
		field $name <<<"$total"
	done | xargs)" "server 21 40 2 1 0 0 50 50" # TCP's negotiation is a plain question
	start_server "$roundtrip" -s -p 0
	kill -INT "$SERVER_PID"
	wait_server
	same status "$SERVER_STATUS" 130
	grep -q '0 answers, 0 of them plain, to 0 clients' "$SERVER_OUT"
}

@test "nobody listens: an error record with ECONNREFUSED, status 1; --wire plain hears of it, too" {
	need python3
	# A port that was free a moment ago.
	PORT=$(python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	local how
	for how in '' --tcp; do
		run -1 --separate-stderr ask -n 2 --json $how
		same error "$(ours errno error) $(field record error <<<"${lines[-1]}")" "ECONNREFUSED error"
		[[ $stderr == *"ECONNREFUSED"* ]]
	done
	run -1 --separate-stderr ask -n 2 -i 1ms --timeout 100ms --json --wire plain
	[[ $stderr == *"ECONNREFUSED"* ]]
	same counts "$(counts sent received lost rtt_min_ns offset_ns drift_ppm)" "2 0 2 null null null"
}

@test "nothing comes back: status 1, null for every figure" {
	need python3
	start_server python3 "$peers" server silent
	run -1 --separate-stderr ask -n 3 -i 1ms --timeout 50ms --wire extended --json
	one_line_with "no answer"
	same last "$(field record <<<"${lines[-1]}")" total
	same counts "$(counts sent received lost)" "3 0 3"
	same "figures" "$(counts rtt_min_ns rtt_mean_ns rtt_p50_ns rtt_max_ns rtt_jitter_ns rtt_p99_corrected_ns offset_ns offset_bound_ns \
		drift_ppm drift_bound_ppm up_p50_ns down_p99_ns up_min_ns one_way lost_up duplicated_down | tr ' ' '\n' | uniq)" null
	run -1 --separate-stderr ask -n 3 -i 1ms --timeout 50ms --wire extended
	[[ $output == *"nothing came back"* ]]
}

@test "an answer after --timeout counts as lost, and as late" {
	need python3
	start_server python3 "$peers" server slow=30
	# The first ones come while others are still asked.
	run -1 --separate-stderr ask -n 20 -i 100ms --timeout 10ms --wire extended --json
	same counts "$(counts sent received lost)" "20 0 20"
	is_between late "$(ours late)" 1 20
}

# --- files and reports ------------------------------------------------------------------------------------------------

@test "--csv: a header, a line for each answer, columns that agree with the total" {
	need python3
	serve
	run -0 --separate-stderr ask -n 50 -i 1ms --csv run.csv --json
	echo "$output" >run.json
	same header "$(head -n 1 run.csv)" "number,sent,rtt_ns,corrected_ns,offset_ns,up_ns,down_ns"
	run -0 python3 - <<-'END'
		import csv, json
		rows = list(csv.DictReader(open("run.csv")))
		total = json.loads(open("run.json").readlines()[-1])
		assert [int(r["number"]) for r in rows] == list(range(50))
		rtt = [int(r["rtt_ns"]) for r in rows]
		assert (min(rtt), max(rtt)) == (total["rtt_min_ns"], total["rtt_max_ns"])
		assert abs(sum(rtt) / 50 - total["rtt_mean_ns"]) < 1
		best = min(rows, key=lambda r: int(r["rtt_ns"]))
		assert int(best["offset_ns"]) == total["offset_ns"]
		for r in rows:
		    assert int(r["corrected_ns"]) >= int(r["rtt_ns"])
		    assert abs((int(r["up_ns"]) - int(r["down_ns"])) / 2 - int(r["offset_ns"])) <= 1
		times = [float(r["sent"]) for r in rows]
		assert times == sorted(times)
	END
	run -0 ask -n 20 -i 1ms --csv where.csv --where
	same header "$(head -n 1 where.csv)" \
		"number,sent,rtt_ns,corrected_ns,offset_ns,up_ns,down_ns,t1,k1_sched,k1_sent,k2,t2,t3,k3_sched,k3_sent,k4,t4,h1,h2,h3,h4"
	same lines "$(wc -l <where.csv)" 21
	# The way of a datagram, stamp by stamp; a stamp that is missing is an empty field.
	run -0 awk -F , 'NR > 1 {
		last = ""
		for (i = 8; i <= 17; i++) if ($i != "") { if (last != "" && $i < last) exit 1; last = $i; n++ }
	} END { exit n < 100 }' where.csv
}

@test "a file that cannot be made, or not be written: a line and status 1" {
	serve
	run -1 --separate-stderr ask -n 1 --csv nowhere/f --json
	one_line_with nowhere/f ENOENT
	same record "$(field errno error <<<"${lines[-1]}")" ENOENT
	run -1 --separate-stderr ask -n 1 --svg nowhere/f
	[[ $stderr == *nowhere/f* ]]
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 --separate-stderr ask -n 100 -i 100us --csv /dev/full
	[[ $stderr == *"/dev/full"*ENOSPC* ]]
	same "said once" "$(grep -c ENOSPC <<<"$stderr")" 1
	run -1 --separate-stderr ask -n 5 -i 1ms --svg /dev/full
	[[ $stderr == *"/dev/full"* ]]
	run -1 bash -c '"$0" 127.0.0.1 -p "$1" -n 5 -i 1ms 2>&1 >/dev/full' "$roundtrip" "$PORT"
	[[ $output == *"write"* ]]
}

@test "--svg is a picture: well-formed, also when nothing came back" {
	need python3
	serve
	run -0 ask -n 50 -i 1ms --svg run.svg
	python3 -c "import xml.dom.minidom; d = xml.dom.minidom.parse('run.svg').documentElement; assert d.tagName == 'svg', d.tagName"
	grep -q 'RTT' run.svg
	stop_server
	start_server python3 "$peers" server silent
	run -1 ask -n 1 --timeout 20ms --wire extended --svg none.svg
	[ ! -e none.svg ] || python3 -c "import xml.dom.minidom; xml.dom.minidom.parse('none.svg')"
}

@test "--histogram draws the answers" {
	serve
	run -0 ask -n 40 -i 1ms
	local without=${#lines[@]}
	run -0 ask -n 40 -i 1ms --histogram
	[ "${#lines[@]}" -gt $((without + 2)) ]
}

# Of all intervals in $output.
sum_of() {
	grep '"record":"interval"' <<<"$output" | grep -o "[,{]\"$1\":[0-9]*" | awk -F : '{ sum += $2 } END { print sum + 0 }'
}

@test "--report: intervals that together are the total" {
	serve
	local how
	for how in '' --tcp '-i 0'; do
		# shellcheck disable=SC2086 # words
		start_worker "$roundtrip" 127.0.0.1 -p "$PORT" -i 3ms --report 50ms --json $how
		wait_until has_intervals 3
		kill -INT "$WORKER"
		wait_server "$WORKER"
		output=$(<"$WORKER_OUT")
		local key
		for key in sent received duplicated reordered; do
			same "sum of $key" "$(sum_of $key)" "$(ours $key)"
		done
	done
	run -0 ask -n 40 -i 5ms --report 50ms
	[[ $output == *seconds*sent*back*missing* ]]
}

has_intervals() {
	[ "$(grep -c '"record":"interval"' "$WORKER_OUT")" -ge "$1" ]
}

# --- how it asks ------------------------------------------------------------------------------------------------------

@test "--interval 0: the next question after the answer, and never two at once" {
	serve
	run -0 ask -i 0 -n 500 --csv run.csv --json
	same counts "$(counts sent received reordered)" "500 500 0"
	# sent + rtt is not later than the next one's sent; times are in seconds, with a nanosecond's digits.
	run -0 awk -F , 'NR > 2 { split($2, t, "."); us = (t[1] - first) * 1000000 + substr(t[2], 1, 6); if (us + 2 < before + rtt / 1000) exit 1 }
		NR == 2 { split($2, t, "."); first = t[1]; us = substr(t[2], 1, 6) + 0 } NR > 1 { before = us; rtt = $3 }' run.csv
}

@test "--poisson: gaps differ, the same seed has the same ones, another seed has others" {
	need python3
	serve
	local seed
	for seed in 1 1 2; do
		run -0 ask --poisson -i 2ms -n 60 --seed "$seed" --csv run$((++runs)).csv
	done
	# The schedule is when the questions should have left: sent, less how much later they did.
	run -0 python3 - <<-'END'
		import csv
		def gaps(n):
		    at = [float(r["sent"]) * 1e9 - (int(r["corrected_ns"]) - int(r["rtt_ns"])) for r in csv.DictReader(open(f"run{n}.csv"))]
		    return [b - a for a, b in zip(at[1:], at[2:])]
		one, again, other = gaps(1), gaps(2), gaps(3)
		assert len(one) == len(again) == 58
		median = lambda a, b: sorted(abs(x - y) for x, y in zip(a, b))[29]
		print(median(one, again), median(one, other), sum(one) / 58, max(one), min(one))
		assert median(one, again) < 50e3, "the same seed"
		assert median(one, other) > 300e3, "another seed"
		assert 1e6 < sum(one) / 58 < 4e6 and max(one) > 3e6 and min(one) < 0.5e6
	END
}

@test "--size: questions and answers are so long" {
	serve
	local size
	for size in 152 153 1000 65507; do
		run -0 ask --size $size -n 10 -i 0 --json # three of the longest fill a socket's buffer
		same "size, received" "$(counts size received)" "$size 10"
	done
	run -0 ask --size 65507 --tcp -n 10 -i 1ms --json
	same "size, received" "$(counts size received)" "65507 10"
	stop_server
}

@test "--dscp: our packets carry it, IPv4 and IPv6" {
	need python3
	local host
	for host in 127.0.0.1 ::1; do
		start_server python3 -u -c "
import socket, struct, sys
six = ':' in '$host'
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('$host', 0))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1) if six else s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
print('listening on x:%d' % s.getsockname()[1], file=sys.stderr)
for _ in range(3):
    data, control, _, peer = s.recvmsg(2000, 200)
    print(*(int.from_bytes(c[2], 'little') for c in control))
    s.sendto(data[:8] + data[:8], peer)"
		run -0 timeout 60 "$roundtrip" $host -p "$PORT" --wire plain -n 3 -i 1ms --dscp 46
		wait_server
		same "traffic class ($host)" "$(xargs <"$SERVER_OUT")" "184 184 184"
	done
}

@test "--where: every stage has stamps, and none is longer than the whole" {
	need python3
	serve
	run -0 ask -n 50 -i 2ms --where --json
	echo "$output" >run.json
	run -0 python3 - <<-'END'
		import json
		total = json.loads(open("run.json").readlines()[-1])
		stages = {s["stage"]: s for s in total["stages"]}
		print(stages)
		names = ["ask_queue", "ask_device", "wire", "server_wake", "server_work", "answer_queue", "answer_device", "wake", "wire_hardware"]
		assert list(stages) == names
		for name in names[:-1]:
		    s = stages[name]
		    assert s["n"] >= 30, name
		    assert 0 <= s["min_ns"] <= s["p50_ns"] <= s["p99_ns"] <= total["rtt_max_ns"] * 1.1, name
		parts = sum(stages[n]["min_ns"] for n in names[:-1] if n != "server_work")
		assert parts <= total["rtt_min_ns"], (parts, total["rtt_min_ns"])
		assert abs(total["offset_kernel_ns"]) <= total["offset_kernel_bound_ns"] <= total["offset_bound_ns"]
	END
	run -0 ask -n 20 -i 1ms --where
	[[ $output == *"where the time goes"*"waking up"*"of the RTT"* ]]
}

@test "--steer: decisions, and our clock is not touched" {
	need strace
	serve --skew 40ms
	local server=$SERVER_PID first
	start_worker env ASAN_OPTIONS=detect_leaks=0 strace -D -f -o trace "$roundtrip" 127.0.0.1 -p "$PORT" --steer --json
	wait_until steers 2
	kill -INT "$WORKER"
	wait_server "$WORKER"
	output=$(<"$WORKER_OUT")
	SERVER_PID=$server
	first=$(grep -m 1 '"record":"steer"' <<<"$output")
	same "what is done with 40 ms" "$(field action steer <<<"$first")" slew
	is_between "its offset" "$(field offset_ns steer <<<"$first")" 30000000 50000000
	run -1 grep -E 'settimeofday|clock_settime|modes=ADJ' trace
	stop_server
	serve --skew 5s
	start_worker "$roundtrip" 127.0.0.1 -p "$PORT" --steer
	wait_until grep -q 'would step' "$WORKER_OUT"
	kill -INT "$WORKER"
	wait_server "$WORKER"
	[[ $(<"$WORKER_OUT") =~ would\ step\ the\ clock\ by\ \+(4999|5000)\. ]] # it is 5 s less or more than a part of the RTT
}

steers() {
	[ "$(grep -c '"record":"steer"' "$WORKER_OUT")" -ge "$1" ]
}

@test "--same-core: two placements and what waking up costs" {
	[ "$(nproc)" -gt 1 ] || skip "needs two processors"
	run -0 --separate-stderr timeout 60 "$roundtrip" --same-core -n 300 --json
	same stderr "$stderr" ''
	same received "$(ours received)" 600
	same placements "$(grep -c '"record":"placement"' <<<"$output")" 2
	local apart
	apart=$(grep '"other_core"' <<<"$output")
	[ "$(field server_cpu placement <<<"$apart")" -ne "$(field client_cpu placement <<<"$apart")" ]
	run -0 timeout 60 "$roundtrip" --same-core -n 100
	[[ $output == *"on another processor"*"on the same processor"* ]]
}

@test "--naive hangs at the first loss, and SIGINT reports; the schedule goes on" {
	need python3
	set -m
	start_server python3 "$plain" server swallow=5
	"$roundtrip" 127.0.0.1 -p "$PORT" --wire plain --naive -n 20 -i 1ms --timeout 20ms --json >out 2>err 3>&- &
	local pid=$!
	wait_until grep -q swallowed "$SERVER_LOG"
	sleep 0.5 # --timeout is no help to it
	kill -0 $pid
	kill -INT $pid
	status=0
	wait $pid || status=$?
	same status $status 130
	same "sent, received" "$(field sent <out) $(field received <out) $(field lost <out)" "5 4 1"
	grep -q 'waited .* s for the answer to question 4' err
	stop_server
	start_server python3 "$plain" server swallow=5
	run -0 ask --wire plain -n 20 -i 1ms --timeout 2s --json
	same "sent, received, lost" "$(counts sent received lost)" "20 19 1"
}

# --- who and where ----------------------------------------------------------------------------------------------------

@test "IPv4, IPv6 and names; -4, -6, --bind; what is not bound does not answer" {
	serve
	local host
	for host in 127.0.0.1 ::1 localhost; do
		run -0 --separate-stderr timeout 60 "$roundtrip" $host -p "$PORT" -n 3 -i 1ms --json
		run -0 --separate-stderr timeout 60 "$roundtrip" $host -p "$PORT" -n 3 -i 1ms --tcp --json
	done
	run -0 timeout 60 "$roundtrip" -6 ::1 -p "$PORT" -n 1 --json
	same peer "$(ours peer)" "[::1]:$PORT"
	run -0 timeout 60 "$roundtrip" -4 localhost -p "$PORT" -n 1 --json
	same peer "$(ours peer)" "127.0.0.1:$PORT"
	run -1 --separate-stderr timeout 60 "$roundtrip" -4 ::1 -p "$PORT" -n 1
	same "lines" "${#stderr_lines[@]}" 1
	run -1 --separate-stderr timeout 60 "$roundtrip" name.invalid -n 1 --json
	one_line_with name.invalid
	stop_server
	serve --bind 127.0.0.2
	same "said" "$(grep -c "listening on 127.0.0.2:$PORT" "$SERVER_LOG")" 2
	run -0 timeout 60 "$roundtrip" 127.0.0.2 -p "$PORT" -n 1
	run -1 ask -n 1 --timeout 100ms --wire extended
	stop_server
	serve -4
	grep -q "listening on 0.0.0.0:$PORT (udp)" "$SERVER_LOG"
	grep -q "listening on 0.0.0.0:$PORT$" "$SERVER_LOG"
}

@test "the port is in use: one line and status 1" {
	serve
	run -1 --separate-stderr timeout 60 "$roundtrip" -s -p "$PORT"
	one_line_with "$PORT" EADDRINUSE
	run -1 --separate-stderr timeout 60 "$roundtrip" -s -p 0 --bind 192.0.2.1
	one_line_with 192.0.2.1 EADDRNOTAVAIL
}

# --- clocks -----------------------------------------------------------------------------------------------------------

# off_by NS: the offset in $output is that, within its bound
off_by() {
	local difference=$(($(ours offset_ns) - $1))
	[ ${difference#-} -le "$(ours offset_bound_ns)" ] || {
		echo "offset $(ours offset_ns) +- $(ours offset_bound_ns), wanted $1"
		return 1
	}
}

@test "--skew is found within the bound, ahead and behind, by every wire" {
	local skew how
	for skew in 250ms -250ms +3s -2000000000; do
		serve --skew $skew
		for how in '' '--wire plain' --tcp --where; do
			# shellcheck disable=SC2086 # words
			run -0 ask -n 10 -i 1ms --json $how
			case $skew in
			250ms) off_by 250000000 ;;
			-250ms) off_by -250000000 ;;
			+3s) off_by 3000000000 ;;
			*) off_by -2000000000000000000 ;;
			esac
		done
		stop_server
	done
}

@test "--drift is found within its bound" {
	local ppm
	for ppm in 100 -100; do
		serve --drift $ppm
		run -0 ask --time 1 -i 2ms --json
		echo "$(ours drift_ppm) +- $(ours drift_bound_ppm)"
		awk -v d="$(ours drift_ppm)" -v b="$(ours drift_bound_ppm)" -v w="$ppm" 'BEGIN { exit !(d - w <= b && w - d <= b && b < 10000) }'
		same straight "$(ours drift_is_straight)" true
		stop_server
	done
}

# --- through a SOCKS server -------------------------------------------------------------------------------------------

@test "--tcp --socks: by name and by literal, SOCKS 4, 4a and 5; the peer is the server" {
	local way url host
	echo alice:secret >users
	start_proxy
	serve
	for way in "${WAYS[@]}"; do
		split "$way"
		run -0 --separate-stderr timeout 60 "$roundtrip" "$host" -p "$PORT" --tcp --socks "$url" -n 10 -i 1ms --json
		same stderr "$stderr" ''
		same start "$(ours peer start) $(ours socks start)" "$host:$PORT $PROXY"
		same total "$(counts peer socks transport sent received lost)" "$host:$PORT $PROXY tcp 10 10 0"
		[ "$(ours offset_ns | tr -d -)" -le "$(ours offset_bound_ns)" ]
	done
	run -0 ask --tcp --socks "$PROXY" --wire plain -i 0 -n 10
	[[ $output == "roundtrip to 127.0.0.1:$PORT through $PROXY (tcp, plain): 10 questions"* ]]
	run -0 ask --tcp -n 3 -i 1ms --json
	same "without a proxy" "$(ours socks start) $(ours socks)" "null null"
	start_proxy --users users
	run -0 ask --tcp --socks "alice:secret@$PROXY" -n 3 -i 1ms --json
	same socks "$(ours socks)" "$PROXY"
}

# fails ERRNO PROXY PORT: status 1, and one line.
fails_through() {
	run -1 --separate-stderr timeout 60 "$roundtrip" localhost -p "$3" --tcp --socks "$2" --json
	one_line_with "$1"
	same errno "$(ours errno error)" "$1"
}

@test "--tcp --socks: refused, not there, no proxy, a wrong password: one line, status 1" {
	echo alice:secret >users
	start_proxy --users users
	deaf
	fails_through ECONNREFUSED "alice:secret@$PROXY" "$DEAF"
	same object "$(ours object error)" "localhost:$DEAF through $PROXY"
	fails_through EACCES "alice:wrong@$PROXY" "$DEAF"
	fails_through ECONNREFUSED "127.0.0.1:$DEAF" 1
	start_server "$TCPLAB_BIN/echo" -s -p 0
	fails_through EPROTO "127.0.0.1:$PORT" 1
}

@test "an ordinary user can do all of it" {
	[ "$(id -u)" -eq 0 ] || skip "we are one"
	open_folder
	cp "$roundtrip" "$OPEN_FOLDER"
	local become=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
	start_server "${become[@]}" "$OPEN_FOLDER/roundtrip" -s -p 0
	run -0 as_nobody timeout 60 "$OPEN_FOLDER/roundtrip" 127.0.0.1 -p "$PORT" -n 10 -i 1ms --where --dscp 46 --json
	same received "$(ours received)" 10
	run -0 as_nobody timeout 60 "$OPEN_FOLDER/roundtrip" --clock
}
