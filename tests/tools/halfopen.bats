#!/usr/bin/env bats
# halfopen: each experiment, with and without care; another server, and a command that cuts; the server; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

ways=(write wait stuck hung reboot)

# All experiments at once: they take seconds, in which nothing happens. NAME.json and NAME-fixed.json, and the statuses.
setup_file() {
	cd "$BATS_FILE_TMPDIR" || return
	local way pids=()
	! "$TCPLAB_BIN/halfopen" write --watch 1ms >/dev/null 2>&1 || touch can-cut
	for way in write wait stuck hung reboot alive; do
		{ "$TCPLAB_BIN/halfopen" $way --json >$way.json 2>$way.err && echo 0 >$way.status || echo $? >$way.status; } 3>&- &
		pids+=($!)
		{ "$TCPLAB_BIN/halfopen" $way --fixed --json >$way-fixed.json 2>$way-fixed.err && echo 0 >$way-fixed.status || echo $? >$way-fixed.status; } 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
}

# Newer kernels want CAP_NET_ADMIN for the filter that cuts a cable, or a network of our own.
setup() {
	cd "$BATS_TEST_TMPDIR" || return
	case $BATS_TEST_DESCRIPTION in
	*care* | 'nobody finds'* | write* | wait* | reboot* | 'what was not'* | 'each line'*)
		[ -e "$BATS_FILE_TMPDIR/can-cut" ] || skip "no cable can be cut here"
		;;
	esac
	halfopen=$TCPLAB_BIN/halfopen
}

# of FILE CARE KEY: what became of that connection of setup_file's.
of() {
	grep -F "\"care\":\"$2\"" "$BATS_FILE_TMPDIR/$1.json" | field "$3" client
}

# cares FILE: which were tried, in order.
cares() {
	sed -n 's/.*"care":"\([a-z-]*\)".*/\1/p' "$BATS_FILE_TMPDIR/$1.json" | tr '\n' ' '
}

total() {
	field "$2" <"$BATS_FILE_TMPDIR/$1.json"
}

# try_it WORD...: its records are in $output, its status in $status.
try_it() {
	run --separate-stderr "$halfopen" "$@" --json
	echo "halfopen $*: status $status"
	echo "$output$stderr"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$halfopen" --help
	[[ $output == *"usage: halfopen"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$halfopen" --version
	[[ $output == "halfopen (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' nothing 'write write write' '-s write' 'write localhost' 'write --cut true' 'reboot localhost --cut true' \
		'alive localhost --cut true' 'write -1' 'write --bind ::1' 'write localhost --cut true -p 0' 'write -4 -6' \
		'write --keepalive 1/2' 'write --keepalive 0/1/1' 'write --keepalive 1/1/128' 'write --keepalive 1/1/1x' \
		'write --keepalive 32768/1/1' 'write --user-timeout 0' 'write --heartbeat 1ms' 'write --watch x' 'write --fixed=1'; do
		echo "halfopen $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$halfopen" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "without the right care nobody finds out, and that is what was promised" {
	local way
	same write "$(cares write)" 'none keepalive '
	same wait "$(cares wait)" 'none user-timeout '
	same stuck "$(cares stuck)" 'none keepalive '
	same hung "$(cares hung)" 'none keepalive user-timeout both '
	same reboot "$(cares reboot)" 'none user-timeout '
	for way in "${ways[@]}"; do
		same "status of $way" "$(cat "$BATS_FILE_TMPDIR/$way.status")" 0
		same "stderr of $way" "$(cat "$BATS_FILE_TMPDIR/$way.err")" ''
		same "noticed in $way" "$(total "$way" noticed)" 0
		same "promised in $way" "$(total "$way" as_promised)" true
		same "error of $way" "$(of "$way" none errno) $(of "$way" none noticed_ns)" 'null null'
		same "state of $way" "$(of "$way" none state)" ESTABLISHED
		[ "$(of "$way" none watched_ns)" -ge 5000000000 ]
	done
}

@test "with the right care everybody finds out, each by the right error" {
	local way care error
	same write "$(cares write-fixed)" 'user-timeout both heartbeat '
	same wait "$(cares wait-fixed)" 'keepalive both heartbeat '
	same stuck "$(cares stuck-fixed)" 'user-timeout both heartbeat '
	same hung "$(cares hung-fixed)" 'heartbeat '
	same reboot "$(cares reboot-fixed)" 'keepalive both heartbeat '
	for way in "${ways[@]}"; do
		error=ETIMEDOUT
		[ "$way" != reboot ] || error=ECONNRESET
		same "status of $way" "$(cat "$BATS_FILE_TMPDIR/$way-fixed.status")" 0
		same "promised in $way" "$(total "$way-fixed" as_promised)" true
		for care in $(cares "$way-fixed"); do
			same "$way $care" "$(of "$way-fixed" "$care" noticed) $(of "$way-fixed" "$care" errno)" "true $error"
		done
		same "noticed in $way" "$(total "$way-fixed" noticed)" "$(total "$way-fixed" clients)"
	done
}

@test "nobody finds out before his time" {
	[ "$(of write-fixed user-timeout noticed_ns)" -ge 990000000 ]
	[ "$(of stuck-fixed user-timeout noticed_ns)" -ge 990000000 ]
	[ "$(of wait-fixed keepalive noticed_ns)" -ge 2500000000 ] # it counts from the last segment, before the cut
	[ "$(of reboot-fixed keepalive noticed_ns)" -ge 500000000 ]
	[ "$(of hung-fixed heartbeat noticed_ns)" -ge 500000000 ]
	[ "$(of wait-fixed heartbeat noticed_ns)" -ge 1000000000 ] # the first question is asked after 500 ms
	# a user timeout makes keepalive more impatient, and only there
	[ "$(of wait-fixed both noticed_ns)" -le "$(of wait-fixed keepalive noticed_ns)" ]
}

@test "write: sent again and again, each time after twice as long, and each of them lost in the cable" {
	same sent "$(of write none sent_bytes)" 5
	same unacknowledged "$(of write none unacknowledged_bytes)" 5
	same "the other end" "$(of write none peer_state)" ESTABLISHED
	[ "$(of write none resent)" -ge 3 ]
	same "lost segments" "$(of write none lost_segments)" $((1 + $(of write none resent)))
	[ "$(of write none rto_ns)" -ge $((4 * $(of write none first_rto_ns))) ]
	# seen late or in time, but never earlier: n times take 2^n - 1 of the first timeout, or a little less, as a probe comes first
	of write none resent_at_ns | tr -d '[]' |
		awk -F, -v rto="$(of write none first_rto_ns)" '{ exit !($NF >= rto * (2 ^ (NF - 1) - 1)) }'
}

@test "wait: not a segment is lost, because none is sent; keepalive sends its probes and nothing else" {
	same "lost, as it is" "$(of wait none lost_segments) $(of wait none resent) $(of wait none sent_bytes)" '0 0 0'
	same "lost, with a user timeout" "$(of wait user-timeout lost_segments)" 0
	# two probes, and the reset with which the kernel gives up
	same "lost, with keepalive" "$(of wait-fixed keepalive lost_segments)" 3
	same "sent, with keepalive" "$(of wait-fixed keepalive sent_bytes)" 0
}

@test "stuck: bytes wait at both ends, and nothing is lost; hung: the question has arrived" {
	[ "$(of stuck none unacknowledged_bytes)" -gt 0 ]
	[ "$(of stuck none peer_unread_bytes)" -gt 0 ]
	same "all bytes" "$(of stuck none sent_bytes)" \
		$(($(of stuck none unacknowledged_bytes) + $(of stuck none peer_unread_bytes)))
	same "lost, stuck and hung" "$(of stuck none lost_segments) $(of hung both lost_segments)" '0 0'
	same "hung, unacknowledged and unread" "$(of hung both unacknowledged_bytes) $(of hung both peer_unread_bytes)" '0 5'
}

@test "reboot: nothing is left of it at the other end, and the one who waits does not know" {
	same "here and there" "$(of reboot none state) $(of reboot none peer_state)" 'ESTABLISHED null'
}

@test "alive: nobody takes a peer that lives for a dead one" {
	same statuses "$(cat "$BATS_FILE_TMPDIR/alive.status" "$BATS_FILE_TMPDIR/alive-fixed.status" | tr '\n' ' ')" '0 0 '
	same cares "$(cares alive-fixed)" 'keepalive user-timeout both heartbeat '
	same noticed "$(total alive-fixed noticed)" 0
	[ "$(of alive-fixed heartbeat sent_bytes)" -ge 25 ] # it has really asked
}

@test "alive: an answer that is there counts, though we look for it too late" {
	need python3
	# Whoever writes to a pipe that is full is stopped: here behind the send(2) of a question, for longer than its answer may take.
	cat >late.py <<-'END'
		import fcntl, os, subprocess, sys, time
		r, w = os.pipe()
		tool = subprocess.Popen(sys.argv[1:], stderr=w)
		trace = b""
		while b"heartbeat: send" not in trace:
		    trace += os.read(r, 65536)
		os.set_blocking(w, False)
		fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 4096)
		try:
		    while True:
		        os.write(w, b".")
		except BlockingIOError:
		    pass
		os.set_blocking(w, True)
		time.sleep(0.5)
		os.close(w)
		while os.read(r, 65536):
		    pass
		sys.exit(tool.wait())
	END
	run -0 python3 late.py "$halfopen" alive --fixed --heartbeat 100ms --watch 1 --trace --json
	echo "$output"
	same noticed "$(ours noticed)" 0
}

@test "what was not shown is status 3" {
	try_it write --fixed --watch 100ms
	same "status of a fix that had no time" "$status" 3
	same noticed "$(ours noticed) $(ours as_promised)" '0 false'
	try_it hung --fixed --heartbeat 10 --watch 20ms
	same "status of another one" "$status" 3
	try_it hung --fixed --heartbeat 100ms
	same "status of one that had time" "$status" 0
}

# --- another server, and a command that cuts ------------------------------------------------------------------------

@test "HOST and --cut: a server that is stopped; a kernel still answers for it" {
	start_server "$halfopen" -s -p 0 --json
	try_it hung 127.0.0.1 -p "$PORT" --cut "kill -STOP $SERVER_PID" --watch 1s --keepalive 1/1/1 --user-timeout 100ms
	kill -CONT "$SERVER_PID"
	same status "$status" 0
	same noticed "$(ours noticed) of $(ours clients)" '0 of 4'
	try_it hung 127.0.0.1 -p "$PORT" --cut "kill -STOP $SERVER_PID" --heartbeat 200ms --fixed
	kill -CONT "$SERVER_PID"
	same "status with a heartbeat" "$status" 0
	same errno "$(ours errno client)" ETIMEDOUT
	stop_server
	same connections "$(field connections <"$SERVER_OUT")" 5
}

@test "HOST and --cut: a server that ends says so, and that is not what was to be shown" {
	start_server "$halfopen" -s -p 0
	try_it wait 127.0.0.1 -p "$PORT" --cut "kill -KILL $SERVER_PID"
	same status "$status" 3
	same "noticed, by its end" "$(ours noticed) $(ours errno client)" '2 null'
	wait_server || true # it was killed
}

@test "--cut: a command that fails is status 1; SIGPIPE is not ignored in it" {
	start_server "$halfopen" -s -p 0
	# shellcheck disable=SC2016 # for that shell
	for command in false 'kill -PIPE $$; true' /nonexistent; do
		try_it write 127.0.0.1 -p "$PORT" --cut "$command"
		same "status of $command" "$status" 1
		same op "$(ours op error)" run
	done
}

@test "a server that is not there, that is silent, that goes away: status 1, an error record" {
	need python3
	start_server "$halfopen" -s -p 0
	stop_server
	try_it write 127.0.0.1 -p "$PORT" --cut true
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
	cat >server.py <<-'END'
		import socket, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		silent, _ = l.accept()
		c, _ = l.accept()
		c.sendall(b"x" * 4)
		c.recv(5)
		c.close()
		c, _ = l.accept()
	END
	start_server python3 server.py
	try_it write 127.0.0.1 -p "$PORT" --cut true --timeout 100ms
	same "status, silent" "$status" 1
	same "errno, silent" "$(ours errno error)" ETIMEDOUT
	try_it write 127.0.0.1 -p "$PORT" --cut true
	same "status, gone" "$status" 1
	same "errno, gone" "$(ours errno error)" ECONNRESET
	stop_server
}

@test "a server that floods us ends with the watch" {
	need python3
	cat >server.py <<-'END'
		import socket, sys, threading
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		def flood(c):
		    try:
		        while True:
		            c.sendall(b"x" * 10000)
		    except OSError:
		        pass
		while True:
		    threading.Thread(target=flood, args=(l.accept()[0],), daemon=True).start()
	END
	start_server python3 server.py
	try_it wait 127.0.0.1 -p "$PORT" --cut true --watch 100ms
	same status "$status" 0
}

# --- the server -----------------------------------------------------------------------------------------------------

@test "the server: many at once, whatever they send, and what it believes at the end" {
	need python3
	start_server "$halfopen" -s -p 0 --json
	python3 - "$PORT" >out 3>&- <<-'END'
		import socket, struct, sys
		to = ("127.0.0.1", int(sys.argv[1]))
		quiet = [socket.create_connection(to) for _ in range(10)]
		# one that sends and never reads: it is let go
		greedy = socket.create_connection(to)
		greedy.setblocking(False)
		try:
		    for _ in range(100000):
		        greedy.send(b"x" * 65536)
		except BlockingIOError:
		    greedy.setblocking(True)
		    try:
		        greedy.sendall(b"x" * 1000000)
		    except OSError:
		        pass
		except OSError:
		    pass
		gone = socket.create_connection(to)
		gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		gone.close()
		good = socket.create_connection(to)
		good.sendall(bytes(range(256)))
		got = b""
		while len(got) < 256:
		    got += good.recv(256)
		good.close()
		for q in quiet: # each of them is still served
		    q.sendall(b"q")
		print(got == bytes(range(256)) and all(q.recv(1) == b"q" for q in quiet))
	END
	same echoed "$(cat out)" True
	wait_until grep -q '"bytes":256,.*"errno":null' "$SERVER_OUT"
	stop_server
	same status "$SERVER_STATUS" 143
	same connections "$(field connections <"$SERVER_OUT")" 13
	grep -q '"errno":"ECONNRESET"' "$SERVER_OUT"
}

@test "the server, as it is, keeps those that are cut off; with --fixed it lets them go, and -1 ends it then" {
	need python3
	start_server "$halfopen" -s -p 0 --json
	local naive=$SERVER_PID naive_out=$SERVER_OUT naive_port=$PORT
	start_server "$halfopen" -s -1 -p 0 --fixed --json
	# a client whose cable is cut: it drops whatever arrives (SO_ATTACH_FILTER is 26 here)
	cat >client.py <<-'END'
		import ctypes, socket, struct, sys, time
		def cut(port):
		    s = socket.create_connection(("127.0.0.1", port))
		    s.sendall(b"hello"); s.recv(5)
		    program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
		    try:
		        s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", 1, ctypes.addressof(program)))
		    except PermissionError:
		        sys.exit("not permitted")
		    return s
		kept = [cut(int(p)) for p in sys.argv[1:]]
		print("cut", flush=True)
		time.sleep(60)
	END
	start_worker python3 client.py "$naive_port" "$PORT"
	wait_until grep -qs . "$WORKER_OUT" "$WORKER_ERR"
	! grep -q 'not permitted' "$WORKER_ERR" || skip "a filter on a TCP socket needs CAP_NET_ADMIN here"
	wait_server
	same "status of the one that takes care" "$SERVER_STATUS" 0
	same "how its client ended" "$(field errno connection <"$SERVER_OUT")" ETIMEDOUT
	same "still open" "$(field still_open <"$SERVER_OUT")" 0
	stop_server "$naive"
	same "still open at the other one" "$(field still_open <"$naive_out")" 1
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text: who found out, and why" {
	run -0 --separate-stderr "$halfopen" hung --watch 50ms
	same stderr "$stderr" ''
	[[ ${lines[0]} == "hung: the server's program hangs, the client sends a question" ]]
	[[ ${lines[1]} == '  as it is               no error in '*'; ESTABLISHED, 0 bytes unacknowledged' ]]
	[[ ${lines[2]} == '                         the other end: ESTABLISHED' ]]
	[[ ${lines[3]} == '  keepalive 1/1/2        no error in '* ]]
	[[ ${lines[-1]} == *'It lives; its program does not.' ]]
	run -0 "$halfopen" hung --fixed --heartbeat 50ms
	[[ ${lines[1]} == '  heartbeat 50.0 ms      ETIMEDOUT after '* ]]
}

@test "each line of --json is a record; IPv6; an ordinary user" {
	need python3
	open_folder
	cp "$halfopen" "$OPEN_FOLDER"
	run -0 --separate-stderr as_nobody "$OPEN_FOLDER/halfopen" write -6 --watch 300ms --json
	echo "$output$stderr"
	python3 -c 'import json, sys
for line in sys.stdin:
    assert json.loads(line)["schema"] == "tcplab.halfopen/1"' <<<"$output"
	[ "$(ours resent client)" -ge 1 ]
	same "sent, lost" "$(ours sent_bytes client) $(ours lost_segments client)" "5 $((1 + $(ours resent client)))"
	python3 -c 'import json, sys
for name in sys.argv[1:]:
    records = [json.loads(line) for line in open(name)]
    assert records[0]["record"] == "start" and records[-1]["record"] == "total"
    assert len(records) == 2 + records[-1]["clients"]' "$BATS_FILE_TMPDIR"/*.json
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f err
		"$halfopen" write --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -qs 'send(.*) = 5' err
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
	done
	start_server "$halfopen" -s -p 0 --json
	stop_server
	same "the server" "$SERVER_STATUS $(field interrupted <"$SERVER_OUT")" '143 true'
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$halfopen' hung --watch 10ms > /dev/full"
}

@test "reboot, on a slow way: the cable is not mended before the last reset has been lost" {
	need tc
	local -a own=(unshare -n)
	[ "$(id -u)" -eq 0 ] || own=(unshare -Urn)
	# 64 kbit/s: the reset arrives some milliseconds after it was sent.
	# shellcheck disable=SC2016 # the inner shell's
	echo 'ip link set lo mtu 1500 up && tc qdisc add dev lo root tbf rate 64kbit burst 200 latency 10s && exec "$@"' >slowly
	"${own[@]}" sh slowly true || skip "needs a network of its own, and tbf in the kernel"
	run -0 "${own[@]}" sh slowly "$halfopen" reboot --watch 300ms --json
	same noticed "$(grep -c '"noticed":true' <<<"$output")" 0
}
