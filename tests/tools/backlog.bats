#!/usr/bin/env bats
# backlog: who gets in, who waits, who is told; the queue as ss shows it; other people's clients and servers; usage, reports.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2153 # PORT and its like are set by start_server
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	backlog=$TCPLAB_BIN/backlog
}

# clients OPTION...: of the server at $PORT; the records are in $output, the status in $status.
clients() {
	run --separate-stderr "$backlog" 127.0.0.1 -p "$PORT" --json "$@"
	echo "clients: $*: status $status"
	echo "$output$stderr"
}

# served KEY: of the last server, which has ended.
served() {
	field "$1" <"$SERVER_OUT"
}

# outcome AT-ONCE LATER SYN-SENT FAILED
outcome() {
	same "at once, later, SYN-SENT, failed" \
		"$(ours connected_at_once) $(ours connected_later) $(ours syn_sent) $(ours failed)" "$1 $2 $3 $4"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$backlog" --help
	[[ $output == *"usage: backlog"*"--backlog B"*"(default 4)"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$backlog" --version
	[[ $output == "backlog (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' 'a b' '-s a' '-s --backlog x' '-s --backlog -1' '-s -n 3' '-s --first 1' '-s --fixed --busy 1' '-s --busy 0' \
		'a --backlog 3' 'a --fixed --backlog 3' 'a --busy 1' 'a -n 0' 'a -n 1001' 'a -n 3 --first 4' 'a --bind ::1' \
		'a -p 0' '-s -4 -6' 'a --time 0' 'a --no-such-option'; do
		echo "backlog $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$backlog" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens: status 1, an error record" {
	start_server "$backlog" -s -p 0
	stop_server
	clients -n 3
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
}

# --- a server that does not accept ----------------------------------------------------------------------------------

@test "backlog B: B + 1 are connected and acknowledged, the others hear nothing" {
	local b
	for b in 0 1 4 9; do
		start_server "$backlog" -s -p 0 --backlog $b --json
		clients -n 12 --time 0.2
		same status "$status" 0
		outcome $((b + 1)) 0 $((11 - b)) 0
		same acknowledged "$(ours acknowledged)" $((b + 1))
		same answered "$(ours answered)" 0
		stop_server
		same "the queue at most" "$(served waiting_max)" $((b + 1))
		same limit "$(served limit)" $b
		[ "$(served drops)" -ge $((11 - b)) ]
		same "accepted and answered" "$(served accepted) $(served answered)" '0 0'
		same promised "$(served as_promised)" true
	done
}

@test "the SYN of those who hear nothing is sent again" {
	start_server "$backlog" -s -p 0 --backlog 0
	clients -n 2 --time 2
	outcome 1 0 1 0
	[ "$(ours syns connection)" -ge 2 ]
	same "its state" "$(ours state connection)" syn-sent
	same connected "$(ours connected_ns connection)" null
}

@test "--busy: those that waited are answered at once, the others after another SYN" {
	# all of them are there before that is over, and it is before the others send their SYN again
	start_server "$backlog" -s -p 0 --busy 0.8 --json
	clients -n 8 --time 20
	same status "$status" 0
	outcome 5 3 0 0
	same answered "$(ours answered)" 8
	[ "$(ours syns_max)" -ge 2 ]
	same "the first is answered after it was connected" "$(sed -n 's/.*"number":1,.*"connected_ns":\([0-9]*\),.*"answered_ns":\([0-9]*\),.*/\1 \2/p' \
		<<<"$output" | awk '{ print ($1 < $2) }')" 1
	stop_server
	same accepted "$(served accepted)" 8
	same answered "$(served answered)" 8
	[ "$(served drops)" -ge 3 ]
}

@test "--fixed: a burst, all at once and answered; the limit is somaxconn" {
	local most
	most=$(</proc/sys/net/core/somaxconn)
	[ "$most" -ge 200 ] || skip "needs net.core.somaxconn of 200 or more"
	start_server "$backlog" -s -p 0 --fixed --json
	clients -n 200 --fixed --time 20
	same status "$status" 0
	outcome 200 0 0 0
	same answered "$(ours answered)" 200
	stop_server
	same limit "$(served limit)" "$most"
	same asked "$(field backlog start <"$SERVER_OUT")" 2147483647
	same somaxconn "$(field somaxconn start <"$SERVER_OUT")" "$most"
	same drops "$(served drops)" 0
	same accepted "$(served accepted)" 200
	[ "$(served waiting_max)" -ge 1 ]
}

@test "--fixed clients of a server that never accepts: status 3; and the other way about" {
	start_server "$backlog" -s -p 0 --json
	clients -n 10 --fixed --time 0.1
	same status "$status" 3
	same promised "$(ours as_promised)" false
	stop_server
	start_server "$backlog" -s -p 0 --fixed --backlog 50
	clients -n 10 --time 5
	same status "$status" 3
	outcome 10 0 0 0
}

@test "--time: a server ends by itself; status 0 with an overflow, 3 without" {
	local n
	local -A expected=([5]=3 [6]=0)
	for n in 5 6; do
		start_server "$backlog" -s -p 0 --time 1 --json # from the first client on
		clients -n $n --time 0.1
		wait_server
		same "status after $n clients" "$SERVER_STATUS" "${expected[$n]}"
		same "the queue at most" "$(served waiting_max)" 5
		same interrupted "$(served interrupted)" false
	done
}

@test "--first: one after another, and what is in the queue then" {
	start_server "$backlog" -s -p 0 --backlog 2 --json
	start_worker "$backlog" 127.0.0.1 -p "$PORT" -n 6 --first 3 --time 60 --trace --json
	wait_until grep -q '"established":3' "$SERVER_OUT"
	wait_until tried 6
	local server=$SERVER_PID
	stop_server "$WORKER"
	output=$(cat "$WORKER_OUT") stderr=$(cat "$WORKER_ERR")
	echo "$output$stderr"
	outcome 3 0 3 0
	same "the calls in their order" "$(sed -nE 's/.*\] (connect|send)\(([0-9]+, .*|[0-9]+\) = .*)/\1/p' <<<"$stderr" | tr '\n' ' ')" \
		'connect send connect send connect send connect connect connect '
	same first "$(ours first start)" 3
	stop_server "$server"
	same "queue records" "$(grep -c '"record":"queue"' "$SERVER_OUT" | awk '{ print ($1 >= 1) }')" 1
	same established "$(served established)" 3
}

# tried N: so many connect(2) of the last worker.
tried() {
	[ "$(grep -c '\] connect([0-9]*, ' "$WORKER_ERR")" -eq "$1" ]
}

@test "IPv6, and an address of one's own choice" {
	ip -6 addr show lo 2>/dev/null | grep -q ::1 || skip "needs ::1"
	start_server "$backlog" -s -p 0 -6 --backlog 1
	grep -q '\[::1\]' "$SERVER_LOG"
	run -0 "$backlog" ::1 -p "$PORT" -n 4 --time 0.1 --json
	outcome 2 0 2 0
	start_server "$backlog" -s -p 0 --bind 0.0.0.0 --backlog 1
	clients -n 4 --time 0.1 -4
	outcome 2 0 2 0
}

@test "ss shows the same queue" {
	need ss
	start_server "$backlog" -s -p 0 --backlog 3
	start_worker "$backlog" 127.0.0.1 -p "$PORT" -n 9 --time 30
	wait_until shows_queue 4
	same "Recv-Q and Send-Q of the listener" "$(ss -Hltn "sport = :$PORT" | awk '{ print $2, $3 }')" '4 3'
	same "connected" "$(ss -Htn state established "sport = :$PORT" | wc -l)" 4
	same "bytes that no program has read" "$(ss -Htn state established "sport = :$PORT" | awk '{ n += $1 } END { print n }')" 20
	same "SYN-SENT" "$(ss -Htn state syn-sent "dport = :$PORT" | wc -l)" 5
	stop_server "$WORKER"
	same "status" "$SERVER_STATUS" 143
}

# shows_queue N: and the requests are there.
shows_queue() {
	[ "$(ss -Hltn "sport = :$PORT" | awk '{ print $2 }')" = "$1" ] &&
		[ "$(ss -Htn state established "sport = :$PORT" | awk '{ n += $1 } END { print n }')" = $(($1 * 5)) ]
}

# --- other people's programs ----------------------------------------------------------------------------------------

@test "--fixed server: garbage, resets, silence, early ends: everybody else is answered" {
	need python3
	start_server "$backlog" -s -p 0 --fixed --json
	python3 - "$PORT" <<-'END'
		import os, socket, struct, sys
		def connect():
		    return socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
		silent = connect()
		early = connect()
		early.shutdown(socket.SHUT_WR)
		assert early.recv(1) == b""
		reset = connect()
		reset.sendall(b"x")
		reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		reset.close()
		# more than it is able to get rid of: the server lets this one go, and nobody else has to wait
		greedy = connect()
		greedy.settimeout(5)
		try:
		    while True:
		        greedy.send(os.urandom(1 << 20))
		except (ConnectionResetError, BrokenPipeError, socket.timeout) as e:
		    assert not isinstance(e, socket.timeout), "the server blocks"
		echo = connect()
		for i in range(3):
		    echo.sendall(b"hello")
		    got = b""
		    while len(got) < 5:
		        got += echo.recv(5)
		    assert got == b"hello"
	END
	clients -n 20 --fixed --time 5
	same status "$status" 0
	stop_server
	same accepted "$(served accepted)" 25
}

@test "clients of a server that ends, or resets, are told" {
	need python3
	local how
	local -A expected=([fin]=EPIPE [rst]=ECONNRESET)
	for how in fin rst; do
		cat >server.py <<-END
			import socket, struct, sys
			l = socket.create_server(("127.0.0.1", 0))
			print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
			for i in range(3):
			    c, _ = l.accept()
			    if "$how" == "rst":
			        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
			    else:
			        c.recv(100)
			    c.close()
		END
		start_server python3 server.py
		clients -n 3 --time 5
		same failed "$(ours failed)" 3
		same errno "$(ours errno connection)" "${expected[$how]}"
		same state "$(ours state connection)" failed
		same answered "$(ours answered)" 0
		wait_server
	done
}

@test "a server whose kernel drops what is sent: connected, and not acknowledged" {
	need python3
	cat >server.py <<-'END'
		import array, select, socket, struct, sys
		# BPF: a segment with something behind its TCP header is dropped, all others pass.
		program = [(0x30, 0, 0, 12), (0x54, 0, 0, 0xf0), (0x74, 0, 0, 2), (0x07, 0, 0, 0), (0x80, 0, 0, 0),
		           (0x1c, 0, 0, 0), (0x15, 0, 1, 0), (0x06, 0, 0, 0xffffffff), (0x06, 0, 0, 0)]
		filter = array.array("B", b"".join(struct.pack("HBBI", *line) for line in program))
		l = socket.create_server(("127.0.0.1", 0))
		l.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", len(program), filter.buffer_info()[0]))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		select.select([], [], [], 60)
	END
	start_server python3 server.py
	clients -n 2 --time 1
	same status "$status" 0
	outcome 2 0 0 0
	same "acknowledged and not" "$(ours acknowledged) $(ours unacknowledged)" '0 2'
	[ "$(ours sent_again connection)" -ge 1 ]
	same syns "$(ours syns connection)" 1
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of both" {
	start_server "$backlog" -s -p 0
	start_worker "$backlog" 127.0.0.1 -p "$PORT" -n 7 --time 60
	wait_until grep -q 's  waiting for accept: 5 (limit 4); ESTABLISHED 5, SYN-RECEIVED 0$' "$SERVER_OUT"
	local server=$SERVER_PID lines
	stop_server "$WORKER"
	mapfile -t lines <"$WORKER_OUT"
	same first "${lines[0]}" "7 clients of 127.0.0.1:$PORT, 7 of them at once"
	same second "${lines[1]}" '       5  connected by their first SYN'
	same fourth "${lines[3]}" '       2  not connected, nor refused: SYN-SENT'
	same lines "${#lines[@]}" 9
	stop_server "$server"
	grep -q '^asked for a backlog of 4, and got 4$' "$SERVER_OUT"
	grep -q '^at most 5 waited; accepted 0, answered 0; for want of room dropped [2-9]' "$SERVER_OUT"
	grep -q 'TcpExtListenOverflows' "$SERVER_OUT"
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		start_server "$backlog" -s -p 0 --backlog 1 --json
		"$backlog" 127.0.0.1 -p "$PORT" -n 4 --time 60 --json --trace >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q 'send(.*) = 5' err
		wait_until grep -q '"waiting":2,.*"established":2' "$SERVER_OUT"
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same clients "$(grep -c '"record":"connection"' out)" 4
		kill -$signal "$SERVER_PID"
		wait_server
		same "the server's" "$SERVER_STATUS" "${expected[$signal]}"
		same interrupted "$(served interrupted)" true
		same "the server's queue" "$(served waiting)" 2
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$backlog" -s -p 0
	run -1 bash -c "'$backlog' 127.0.0.1 -p $PORT --time 0.1 > /dev/full"
	start_server bash -c "exec '$backlog' -s -p 0 > /dev/full"
	stop_server
	same "status of the server" "$SERVER_STATUS" 1
}
