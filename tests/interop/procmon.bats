#!/usr/bin/env bats
# procmon's figures against those of others: /proc, ps, pidstat, ss; and its pages as other programs read them. What is
# compared, and how closely, is in tests/fixtures/procmon_peers.py.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers
load ../fixtures/procmon

setup() {
	need python3
	PEERS=$TCPLAB_ROOT/tests/fixtures/procmon_peers.py
}

monitor() {
	start_server "$TCPLAB_BIN/procmon" -p 0 "$@"
}

# compare WHAT PID...
compare() {
	python3 "$PEERS" "$1" "$PORT" "${@:2}"
}

@test "/proc and ps: all figures of processes that stand still, one of them with a name to stumble over" {
	need ps
	cd "$BATS_TEST_TMPDIR"
	cp "$TCPLAB_BIN/chargen" './) R (b) c'
	start_server './) R (b) c' -s -p 0
	load_with fixed 30 2 --memory 8M --files 7 --idle-threads 3 --sockets 2 --io 8mbit -i 0.1
	stop_load
	local idle=$SERVER_PID
	monitor -i 100ms "$idle,$LOAD"
	compare still "$idle"
	compare still "$LOAD"
}

@test "pidstat: processor time, faults, switches, I/O, threads, descriptors" {
	need pidstat
	export TMPDIR=$BATS_TEST_TMPDIR
	load_with fixed 40
	local pids=$LOAD
	load_with fixed 100 --memory 20M
	pids+=,$LOAD
	load_with fixed 10 --switches 400 --faults 300
	pids+=,$LOAD
	load_with fixed 5 --io 8mbit --files 20
	pids+=,$LOAD
	monitor -i 20ms "$pids"
	# shellcheck disable=SC2086 # a list
	compare pidstat ${pids//,/ }
}

@test "ss: state, queues, RTT, cwnd of a server whose reader has stopped, and of connections that come later" {
	need ss
	start_server "$TCPLAB_BIN/chargen" -s -p 0
	local server=$SERVER_PID port=$PORT
	start_worker python3 -c "
import signal, socket
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print('ready', flush=True)
signal.sigwait([signal.SIGUSR1])
readers = [socket.create_connection(('127.0.0.1', $port)) for _ in range(2)]
readers[0].shutdown(socket.SHUT_WR)
print('connected', flush=True)
signal.pause()"
	wait_until grep -q ready "$WORKER_OUT"
	monitor -i 50ms "$server,$WORKER"
	kill -USR1 "$WORKER"
	wait_until grep -q connected "$WORKER_OUT"
	compare ss "$server" "$WORKER"
}

@test "smaps_rollup: the PSS of a family counts once what they share" {
	start_worker python3 -c '
import os, signal
shared = bytearray(b"x" * 30_000_000)
end, parent = os.pipe() # can be read once the parent has gone
for _ in range(3):
	if os.fork() == 0:
		os.close(parent)
		own = bytearray(b"y" * 3_000_000)
		os.write(1, b"ready\n")
		os.read(end, 1)
		os._exit(0)
signal.pause()'
	wait_until has_lines 3 "$WORKER_OUT"
	monitor -i 100ms --children "$WORKER"
	compare tree "$WORKER"
}

# has_lines N FILE
has_lines() {
	[ "$(wc -l <"$2")" -ge "$1" ]
}

@test "curl and Python: pages, /csv and /stream say the same as /json" {
	need curl
	load_with fixed 20 --sockets 2
	monitor -i 100ms "$LOAD"
	compare history "$LOAD"
}

@test "/metrics is what Prometheus reads, with the names as they are" {
	need curl
	cd "$BATS_TEST_TMPDIR"
	cp "$TCPLAB_BIN/chargen" './a "b" \ c'
	start_server './a "b" \ c' -s -p 0
	local first=$SERVER_PID
	load_with fixed 10
	monitor -i 100ms "$first,$LOAD"
	curl -sS "http://127.0.0.1:$PORT/metrics?with=sockets,pss" >metrics
	prometheus procmon_cpu_seconds_total procmon_resident_bytes procmon_sockets <metrics
	same "values of each process" "$(grep -c "^procmon_cpu_seconds_total{.*pid=\"\($first\|$LOAD\)\"" metrics)" 2
	grep -qF 'name="a \"b\" \\ c"' metrics
}

prometheus() {
	python3 "$TCPLAB_ROOT/tests/fixtures/prometheus.py" "$@"
}

@test "the strict parser of /metrics refuses what is wrong" {
	prometheus a_total b <<-'END'
		# HELP a_total Text \\ and \n.
		# TYPE a_total counter
		a_total{x="1",y="\"\\\n}"} 1
		a_total 2e3
		# HELP b Text.
		# TYPE b gauge
		# any comment
		b NaN
	END
	local a='# HELP a_total Text.\n# TYPE a_total counter\n' b='# HELP b Text.\n# TYPE b gauge\nb 1\n'
	prometheus --refuses <<-END
		\n | any metric is missing
		a_total 1\n | no HELP of a_total before
		# HELP a_total Text.\na_total 1\n | no TYPE of a_total before
		${a}a_total 1 | the last line does not end
		${a}a_total 1\r\n | a carriage return
		${a}a_total 1\n# TYPE a_total counter\n | a second TYPE of a_total
		a_total 1\n${a} | HELP of a_total after its values
		# HELP a_total\n | a_total has an empty HELP
		${a/Text/\\\\t}a_total 1\n | a backslash that escapes nothing
		${a/counter/histogram}a_total 1\n | is of type histogram
		${a//a_total/a}a 1\n | a is a counter
		${b//b/b_total} | b_total is a gauge
		${a}a_total 1\n${b}a_total{x="1"} 1\n | a_total again, after b
		${a}a_total{x="1",y="2"} 1\na_total{y="2",x="1"} 1\n | a second value of a_total
		${a}a_total{x="1",x="1"} 1\n | the label x twice
		${a}a_total{x="a"b"} 1\n | no label
		${a}a_total{x="\\\\t"} 1\n | no label
		${a}a_total{1x="1"} 1\n | no label
		${a}a_total{x=1} 1\n | no label
		${a}a_total{__x="1"} 1\n | the label __x is reserved
		${a}a_total{x="\xff"} 1\n | no UTF-8
		${a}a-b_total 1\n | no sample
		${a}a_total  1\n | no sample
		${a}a_total 1,5\n | no number
		${a}a_total nan\n | no number
		${a}a_total -1\n | a counter of -1
	END
	run -1 prometheus c <<<"$(printf '# HELP b Text.\n# TYPE b gauge\nb 1')"
	[[ $output == *'c is missing'* ]]
}
