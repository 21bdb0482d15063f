#!/usr/bin/env bats
# What chargen, discard, echo, daytime, timeserv and pingpong have in common: command line, listening lines, records, signals,
# loops and threads. What each does of its own is in its own file.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

all=(chargen discard echo daytime timeserv pingpong)
endless=(chargen discard echo pingpong)

setup() {
	json_lines=$TCPLAB_ROOT/tests/fixtures/json_lines.py
}

# client TOOL ARGS...: a client of the last server
client() {
	local tool=$1
	shift
	"$TCPLAB_BIN/$tool" 127.0.0.1 -p "$PORT" "$@"
}

# brief TOOL: what makes its client end soon
brief() {
	case $1 in
	chargen | discard | echo | pingpong) echo --bytes 256K ;;
	esac
}

@test "each announces the port that it took, on TCP and UDP" {
	local tool
	for tool in "${all[@]}"; do
		start_server "$TCPLAB_BIN/$tool" -s -p 0
		grep -qx "$tool: listening on 127.0.0.1:$PORT" "$SERVER_LOG"
		if [ "$tool" = pingpong ]; then
			run ! grep -q udp "$SERVER_LOG"
		else
			wait_until grep -qx "$tool: listening on 127.0.0.1:$PORT (udp)" "$SERVER_LOG"
		fi
		stop_server
		same "$tool after SIGTERM" "$SERVER_STATUS" 143
	done
}

@test "by default each listens on its own port of 127.0.0.1 only" {
	local tool want=(2019 2009 2007 2013 2037 2008)
	for tool in "${all[@]}"; do
		"$TCPLAB_BIN/$tool" --help | grep -q "(default ${want[0]})"
		want=("${want[@]:1}")
	done
	need python3
	start_server "$TCPLAB_BIN/echo" -s -p 0
	run python3 -c "import socket, sys; socket.create_connection(('127.0.0.2', $PORT), 2)"
	[ "$status" -ne 0 ]
}

@test "-6 and --bind: [::1], and every address" {
	start_server "$TCPLAB_BIN/echo" -s -6 -p 0
	grep -qx "echo: listening on \[::1\]:$PORT" "$SERVER_LOG"
	run -0 "$TCPLAB_BIN/echo" ::1 -p "$PORT" --bytes 1M
	stop_server
	start_server "$TCPLAB_BIN/echo" -s -p 0 --bind 0.0.0.0
	run -0 "$TCPLAB_BIN/echo" 127.0.0.2 -p "$PORT" --bytes 1M
	run -0 "$TCPLAB_BIN/echo" 127.0.0.2 -u -p "$PORT"
}

@test "a client's run: start and total records, and they agree with the server's" {
	need python3
	local tool
	for tool in "${all[@]}"; do
		start_server "$TCPLAB_BIN/$tool" -s -p 0 --json
		# shellcheck disable=SC2046 # two words
		client "$tool" --json $(brief "$tool") >"$BATS_TEST_TMPDIR/$tool.json"
		stop_server
		python3 "$json_lines" "tcplab.$tool/1" bytes:int elapsed_ns:int rate_Bps:number connections:int <"$BATS_TEST_TMPDIR/$tool.json"
		python3 "$json_lines" "tcplab.$tool/1" bytes:int elapsed_ns:int rate_Bps:number connections:int <"$SERVER_OUT"
		same "$tool: role" "$(field role <"$BATS_TEST_TMPDIR/$tool.json")" client
		same "$tool: connections there" "$(field connections <"$SERVER_OUT")" 1
		# chargen's client leaves when it has enough: the server has sent more.
		[ "$tool" = chargen ] ||
			same "$tool: bytes" "$(field bytes <"$BATS_TEST_TMPDIR/$tool.json")" "$(field bytes <"$SERVER_OUT")"
	done
}

@test "many connections, several threads on both sides, both ways to share them, on every loop" {
	local tool backend accept timers=(heap wheel heap) i=0
	for backend in epoll poll select; do
		for accept in deal reuseport; do
			for tool in "${endless[@]}"; do
				TCPLAB_BACKEND=$backend TCPLAB_TIMERS=${timers[i % 3]} start_server "$TCPLAB_BIN/$tool" -s -p 0 --threads 3 \
					--accept $accept --json
				same "$tool: backend" "$(field backend start <"$SERVER_OUT")" $backend
				TCPLAB_BACKEND=$backend run -0 --separate-stderr client "$tool" -c 40 --threads 2 --bytes 64K --json
				same "$tool on $backend, $accept" "$(ours connections) $(ours failed)" "40 0"
				stop_server
				same "$tool's server on $backend, $accept" "$(field connections <"$SERVER_OUT")" 40
				i=$((i + 1))
			done
		done
	done
}

@test "dealt out, connections are shared evenly; each thread gets its turn" {
	start_server "$TCPLAB_BIN/discard" -s -p 0 --threads 4 --rate 1MB/s
	client discard -c 40 --bytes 1K >/dev/null
	# What a thread has done is seen in its processor time only; that all four exist is what can be told here.
	same "loops" "$(cat /proc/"$SERVER_PID"/task/*/comm | grep -c '^loop')" 3
}

@test "an unknown loop or timer is named, with what there is" {
	TCPLAB_BACKEND=kqueue run -1 --separate-stderr "$TCPLAB_BIN/echo" -s -p 0
	one_line_with kqueue epoll poll select
	TCPLAB_TIMERS=sundial run -1 --separate-stderr "$TCPLAB_BIN/echo" -s -p 0 --json
	one_line_with sundial heap wheel
	same "error record" "$(ours op error) $(ours object error)" "loop sundial"
}

@test "nobody there: one line and status 1, by TCP and UDP" {
	local tool
	for tool in "${all[@]}"; do
		run -1 --separate-stderr "$TCPLAB_BIN/$tool" 127.0.0.1 -p 1 --json
		one_line_with "connect 127.0.0.1:1" ECONNREFUSED
		same "errno" "$(ours errno error)" ECONNREFUSED
		[ "$tool" != pingpong ] && [ "$tool" != discard ] || continue
		run -1 --separate-stderr "$TCPLAB_BIN/$tool" 127.0.0.1 -u -p 1
		one_line_with ECONNREFUSED
	done
	run -1 --separate-stderr "$TCPLAB_BIN/echo" no.such.host.invalid
	one_line_with resolve no.such.host.invalid
}

@test "a port that is taken: one line and status 1" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	run -1 --separate-stderr "$TCPLAB_BIN/echo" -s -p "$PORT"
	one_line_with "bind 127.0.0.1:$PORT" EADDRINUSE
}

@test "misuse: one line and status 2" {
	local tool
	for tool in "${all[@]}"; do
		run -2 --separate-stderr "$TCPLAB_BIN/$tool"
		one_line_with -s host
		run -2 --separate-stderr "$TCPLAB_BIN/$tool" -s 127.0.0.1
		one_line_with 127.0.0.1
		run -2 --separate-stderr "$TCPLAB_BIN/$tool" a b
		one_line_with "'b'"
		run -2 --separate-stderr "$TCPLAB_BIN/$tool" -4 -6 a
		run -2 --separate-stderr "$TCPLAB_BIN/$tool" -s --threads 0
		run -2 --separate-stderr "$TCPLAB_BIN/$tool" -s --no-such-option
	done
	run -2 --separate-stderr "$TCPLAB_BIN/discard" -s --bytes 1K
	run -2 --separate-stderr "$TCPLAB_BIN/chargen" localhost --rate 1mbit
	run -2 --separate-stderr "$TCPLAB_BIN/discard" localhost --rate 1mbit
	run -2 --separate-stderr "$TCPLAB_BIN/echo" -s -u
}

@test "SIGINT ends a client in order: total record, status 130" {
	need python3
	local out=$BATS_TEST_TMPDIR/out status=0 pid
	start_server "$TCPLAB_BIN/chargen" -s -p 0
	"$TCPLAB_BIN/chargen" 127.0.0.1 -p "$PORT" --time 60 -i 20ms --json >"$out" 3>&- &
	pid=$!
	wait_until grep -q '"record":"interval"' "$out"
	kill -INT "$pid"
	wait "$pid" || status=$?
	same "status" "$status" 130
	python3 "$json_lines" tcplab.chargen/1 bytes:int <"$out"
}

# sent_in_intervals N: the records in $WORKER_OUT have it in sum.
sent_in_intervals() {
	awk -F'"bytes":' -v wanted="$1" '/"record":"interval"/ { split($2, a, ","); sum += a[1] }
		END { exit sum != wanted }' "$WORKER_OUT"
}

@test "intervals add up to what the total has" {
	start_server "$TCPLAB_BIN/discard" -s -p 0
	local server=$SERVER_PID
	# all is sent while nobody reads, and the client waits for who should
	kill -STOP "$server"
	start_worker "$TCPLAB_BIN/discard" 127.0.0.1 -p "$PORT" --bytes 20K -i 20ms --json --threads 2 -c 2
	wait_until sent_in_intervals 40960 || { kill -CONT "$server" && false; }
	run ! grep -q '"record":"total"' "$WORKER_OUT"
	kill -CONT "$server"
	wait_server "$WORKER"
	cat "$WORKER_OUT"
	same "status" "$SERVER_STATUS" 0
	same "bytes of the total" "$(field bytes <"$WORKER_OUT")" 40960
	sent_in_intervals 40960
}

@test "-v says of each connection who, how much and how it ended" {
	start_server "$TCPLAB_BIN/echo" -s -p 0 -v
	client echo --bytes 100K >/dev/null
	wait_until grep -qE '^echo: 127.0.0.1:[0-9]+: 100 KiB in, 100 KiB out, .*, ended in order$' "$SERVER_LOG"
}

@test "a connection on which nothing moves is ended after --timeout" {
	need python3
	start_server "$TCPLAB_BIN/echo" -s -p 0 -v --timeout 1s
	run -0 python3 -c "import socket
s = socket.create_connection(('127.0.0.1', $PORT)); s.sendall(b'x'); print(s.recv(1) == b'x', s.recv(1) == b'')"
	same "echo, then the end" "$output" "True True"
	wait_until grep -q ETIMEDOUT "$SERVER_LOG"
}

@test "--max-conn: the others wait in the backlog and are served in turn" {
	need python3
	local accept
	for accept in deal reuseport; do
		start_server "$TCPLAB_BIN/echo" -s -p 0 --max-conn 2 --accept $accept
		run -0 python3 - "$PORT" <<-'END'
			import socket, sys
			port = int(sys.argv[1])
			held = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
			for s in held:
			    s.sendall(b"x")
			for s in held[:2]:
			    assert s.recv(1) == b"x"
			held[2].settimeout(0.2)
			try:
			    held[2].recv(1)
			    sys.exit("a third one was served")
			except TimeoutError:
			    pass
			held[0].close()
			held[1].close()
			for s in held[2:]:
			    s.settimeout(60)
			    assert s.recv(1) == b"x"
		END
		stop_server
	done
}

@test "--trace shows the system calls" {
	start_server "$TCPLAB_BIN/echo" -s -p 0 --trace
	client echo --bytes 10 >/dev/null
	wait_until grep -q 'shutdown(' "$SERVER_LOG"
	grep -q '\[trace\] accept4(' "$SERVER_LOG"
	grep -q '\[trace\] send(' "$SERVER_LOG"
}
