#!/usr/bin/env bats
# The services in bad company: peers that reset, stall, half-close, send nothing or flood, too many of them, and none of them
# may hurt another. Memory stays bounded whatever they do.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	crowd=$TCPLAB_ROOT/tests/fixtures/crowd.py
}

# client TOOL ARGS...: of the last server
client() {
	local tool=$1
	shift
	"$TCPLAB_BIN/$tool" 127.0.0.1 -p "$PORT" "$@"
}

# start_crowd KIND:N...: bad clients of the last server, in the background: $CROWD. Returns when all of them misbehave.
# shellcheck disable=SC2034 # helpers.bash reads SERVER_LOG_OF
start_crowd() {
	local out=$BATS_TEST_TMPDIR/crowd.out
	python3 "$crowd" "$PORT" "$@" >"$out" 3>&- &
	CROWD=$!
	SERVER_PIDS=("$CROWD" "${SERVER_PIDS[@]}")
	SERVER_LOG_OF[$CROWD]=$out
	wait_until grep -q ready "$out"
}

# KiB of memory that a server has touched
rss_kib() {
	sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$SERVER_PID/status"
}

# A sanitizer's build needs far more of everything.
is_plain_build() {
	[[ $TCPLAB_BIN != *asan* && $TCPLAB_BIN != *tsan* ]]
}

@test "bad peers all at once hurt nobody else, on every loop" {
	need python3
	local backend
	for backend in epoll poll select; do
		TCPLAB_BACKEND=$backend start_server "$TCPLAB_BIN/echo" -s -p 0
		# Each of them 20 times: resets, half-closes and stays, floods and does not read, sends nothing, sends a byte and resets
		start_crowd reset:20 half:20 flood:20 silent:20 byte:20
		run -0 --separate-stderr client echo --bytes 20M -c 3 --json
		same "on $backend" "$(ours verified) $(ours bytes)" "true $((3 * 20971520))"
		stop_server "$CROWD"
		run -0 --separate-stderr client echo --bytes 1M --json
		stop_server "$SERVER_PID"
	done
}

@test "echo: clients that send and never read cost a queue each, and no more" {
	need python3
	is_plain_build || skip "a sanitizer's memory is not ours"
	start_server "$TCPLAB_BIN/echo" -s -p 0
	local before after
	before=$(rss_kib)
	start_crowd flood:50
	after=$(rss_kib)
	# 64 KiB and a chunk for each; a buffer doubles when it grows.
	[ $((after - before)) -lt $((50 * 3 * 128)) ] || {
		echo "before $before KiB, after $after KiB"
		return 1
	}
	run -0 client echo --bytes 1M
}

@test "chargen: clients that never read cost next to nothing" {
	need python3
	is_plain_build || skip "a sanitizer's memory is not ours"
	start_server "$TCPLAB_BIN/chargen" -s -p 0 --sndbuf 16K
	local before after
	before=$(rss_kib)
	start_crowd silent:200
	after=$(rss_kib)
	[ $((after - before)) -lt 2000 ] || {
		echo "before $before KiB, after $after KiB"
		return 1
	}
	run -0 client chargen --bytes 1M
}

@test "10,000 connections through echo and chargen, with bounded memory" {
	is_plain_build || skip "10,000 connections are for the plain build"
	[ "$(ulimit -Hn)" -ge 10100 ] || skip "needs 10,100 descriptors, and the hard limit is $(ulimit -Hn)"
	# Python's own sockets and TIME-WAIT of other tests: half of the ports are enough.
	start_server "$TCPLAB_BIN/echo" -s -p 0 --json
	run -0 --separate-stderr client echo -c 10000 --bytes 2K --json
	same "echo" "$(ours connections) $(ours failed) $(ours bytes) $(ours verified)" "10000 0 20480000 true"
	[ "$(rss_kib)" -lt 60000 ] || {
		echo "echo has $(rss_kib) KiB"
		return 1
	}
	stop_server
	start_server "$TCPLAB_BIN/chargen" -s -p 0 --json --sndbuf 16K
	run -0 --separate-stderr client chargen -c 10000 --bytes 2K --rcvbuf 16K --json
	same "chargen" "$(ours connections) $(ours failed) $(ours verified)" "10000 0 true"
	[ "$(rss_kib)" -lt 60000 ] || {
		echo "chargen has $(rss_kib) KiB"
		return 1
	}
}

@test "no descriptors left: who is one too many is told at once, the others are served, and it recovers" {
	need python3
	local log
	start_server bash -c "ulimit -n 24; exec '$TCPLAB_BIN/echo' -s -p 0"
	log=$SERVER_LOG
	local since=$EPOCHSECONDS
	run -0 python3 - "$PORT" <<-'END'
		import socket, sys, time
		port = int(sys.argv[1])
		kept, refused = [], 0
		held = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
		for s in held:
		    s.settimeout(60)
		    try:
		        s.sendall(b"x")
		        ok = s.recv(1) == b"x"
		    except ConnectionError:
		        ok = False
		    if ok:
		        kept.append(s)
		    else:
		        refused += 1
		assert kept and refused, (len(kept), refused)
		for s in kept:
		    s.sendall(b"y")
		    assert s.recv(1) == b"y"
		for s in held:
		    s.close()
		# who comes before it has seen those go is one too many, too
		for _ in range(1000):
		    s = socket.create_connection(("127.0.0.1", port))
		    s.settimeout(60)
		    try:
		        s.sendall(b"z")
		        if s.recv(1) == b"z":
		            sys.exit()
		    except ConnectionError:
		        pass
		    time.sleep(0.02)
		sys.exit("it does not recover")
	END
	# a line a second at most, and another one for the first
	[ "$(grep -c EMFILE "$log")" -ge 1 ]
	[ "$(grep -c EMFILE "$log")" -le $((EPOCHSECONDS - since + 2)) ]
}

@test "accept fails with ECONNABORTED and with ENFILE: the service goes on" {
	need strace
	local error
	for error in ECONNABORTED ENFILE EPERM; do
		start_server strace -D -f -qq -o /dev/null -e trace=accept4 -e inject=accept4:error=$error:when=1 \
			"$TCPLAB_BIN/echo" -s -p 0
		run -0 client echo --bytes 1M
		stop_server
	done
}

@test "a stopped client is left waiting, the others are not" {
	start_server "$TCPLAB_BIN/chargen" -s -p 0
	"$TCPLAB_BIN/chargen" 127.0.0.1 -p "$PORT" --time 60 -i 20ms --json >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local pid=$!
	wait_until grep -q interval "$BATS_TEST_TMPDIR/out"
	kill -STOP "$pid"
	run -0 --separate-stderr client chargen --bytes 100M --json
	same "verified" "$(ours verified)" true
	kill -CONT "$pid"
	kill -INT "$pid"
	local status=0
	wait "$pid" || status=$?
	same "the stopped one" "$status" 130
}

@test "a server killed: the client says so at once" {
	local tool
	for tool in discard echo pingpong; do
		start_server "$TCPLAB_BIN/$tool" -s -p 0
		local out=$BATS_TEST_TMPDIR/$tool.out
		"$TCPLAB_BIN/$tool" 127.0.0.1 -p "$PORT" --time 60 -i 20ms --json >"$out" 2>&1 3>&- &
		local pid=$! status=0
		wait_until grep -q interval "$out"
		kill -KILL "$SERVER_PID"
		wait "$pid" || status=$?
		same "$tool" "$status" 1
		grep -q '"record":"error"' "$out"
		wait_server
	done
}

@test "UDP: no answer to low ports, to other services, nor to who asks too often; others are still served" {
	need python3
	[ "$(id -u)" -eq 0 ] || skip "a source port below 1024 is for root"
	start_server "$TCPLAB_BIN/chargen" -s -p 0 --json --udp-rate 50
	run -0 python3 - "$PORT" <<-'END'
		import socket, sys, time
		to = ("127.0.0.1", int(sys.argv[1]))
		def ask(host, port, n, least):
		    """How many answers come: patient until the least, and then until there is silence."""
		    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		    s.bind((host, port))
		    for _ in range(n):
		        s.sendto(b"q" * 10, to)
		    got = 0
		    try:
		        while True:
		            s.settimeout(60 if got < least else 0.3)
		            s.recv(2000)
		            got += 1
		    except TimeoutError:
		        return got
		print(ask("127.0.0.1", 777, 1, 0), ask("127.0.0.1", 2007, 1, 0), ask("127.0.0.1", 0, 1, 1))
		since = time.monotonic()
		flood = ask("127.0.0.2", 0, 2000, 50)
		took = time.monotonic() - since
		assert 50 <= flood <= 51 + 50 * took, (flood, took)
		print(ask("127.0.0.3", 0, 1, 1))
	END
	same "answers: low port, echo's port, an ordinary one; after a flood another source" "$output" $'0 0 1\n1'
	stop_server
	same "refused for their port" "$(field udp_refused_port <"$SERVER_OUT")" 2
	[ "$(field udp_refused_rate <"$SERVER_OUT")" -ge 50 ] # many of the 2000 found the socket's buffer full
}

@test "standard output is full: status 1 and a line, no silent loss" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$TCPLAB_BIN/echo" -s -p 0
	run bash -c "'$TCPLAB_BIN/echo' 127.0.0.1 -p $PORT --bytes 1K 2>&1 >/dev/full"
	same "status" "$status" 1
	[[ $output == *"standard output"* ]]
}
