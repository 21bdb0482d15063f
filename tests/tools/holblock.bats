#!/usr/bin/env bats
# holblock: the message behind bulk and beside it, what each remedy bounds, the bytes, hostile ends, usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	holblock=$TCPLAB_BIN/holblock
}

# try STATUS OPTION...: a client of the server at $PORT, paced, a short one; its records are in $output.
try() {
	local wanted=$1
	shift
	run --separate-stderr timeout 60 "$holblock" 127.0.0.1 -p "$PORT" --pace 20mbit --interval 20ms --warm-up 100ms --time 200ms --json "$@"
	echo "client: $*: status $status"
	echo "$output$stderr"
	same status "$status" "$wanted"
}

# bulk KEY: of the object with_bulk.
bulk() {
	ours with_bulk | grep -o "\"$1\":[0-9]*" | cut -d: -f2
}

# python_server CODE: has the connection c; its port is in $PORT.
python_server() {
	need python3
	cat >server.py <<-END
		import socket, struct, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		c, _ = l.accept()
		def reset(c):
		    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		    c.close()
		def read_on(c): # a close with something unread would be a reset, and that might overtake what was sent
		    while c.recv(65536):
		        pass
		def head(c):
		    data = b""
		    while len(data) < 16:
		        more = c.recv(16 - len(data))
		        if not more:
		            sys.exit(0)
		        data += more
		    return struct.unpack(">IIQ", data)
		$1
	END
	start_server python3 server.py
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$holblock" --help
	[[ $output == *"usage: holblock"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$holblock" --version
	[[ $output == "holblock (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '-s localhost' 'a b' '-s --fixed' '-s --pace 1mbit' '-s --congestion reno' 'a -1' 'a --bind ::' 'a -p 0' \
		'a --fixed --notsent-lowat 1K' 'a --fixed --send-buffer 1K' 'a --send-buffer 1K --notsent-lowat 1K' 'a --chunk 0' \
		'a --chunk 2M' 'a --time 0' 'a --interval 0' 'a -4 -6' 'a --no-such-option'; do
		echo "holblock $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$holblock" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens, no such congestion control: status 1, an error record" {
	start_server "$holblock" -s -p 0
	try 1 --congestion no_such_thing
	one_line_with congestion ENOENT
	stop_server
	try 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
}

# --- behind, and beside ---------------------------------------------------------------------------------------------

@test "one connection: the message waits for what the kernel has taken; --fixed: nothing is ahead of it" {
	start_server "$holblock" -s -p 0 --json
	local behind
	try 0
	behind=$(ours p50_ns)
	same how "$(ours how)" one
	same answered "$(ours answered_messages)" "$(ours sent_messages)"
	[ "$(ours not_sent_p50_bytes)" -gt 65536 ]
	[ "$behind" -gt $((2 * $(ours idle_p50_ns))) ]
	[ "$(bulk messages)" -ge 10 ]
	try 0 --fixed
	same how "$(ours how)" two
	[ "$(bulk queue_max_bytes)" -lt 16384 ] # other messages at most, and no piece of bulk
	same answered "$(ours answered_messages)" "$(ours sent_messages)"
	[ $((2 * $(ours p50_ns))) -lt "$behind" ]
	[ "$(ours bulk_taken_bytes)" -gt 0 ]
	stop_server
	same connections "$(field connections <"$SERVER_OUT")" 3
}

@test "--notsent-lowat and --send-buffer: there is a limit to what is ahead" {
	start_server "$holblock" -s -p 0
	try 0 --notsent-lowat 16K
	same how "$(ours how)" lowat
	[ "$(bulk not_sent_max_bytes)" -le 32784 ]
	[ "$(bulk messages)" -ge 10 ]
	try 0 --send-buffer 16K
	same how "$(ours how)" sndbuf
	[ "$(bulk queue_max_bytes)" -le 65536 ]
	[ "$(bulk messages)" -ge 10 ]
}

@test "no message that counts: status 3" {
	start_server "$holblock" -s -p 0
	# messages are due each 20 ms, and what counts lies between two of them
	try 3 --warm-up 1ms --time 1ms
	same messages "$(bulk messages)" 0
	same promised "$(ours as_promised)" false
}

@test "by IPv6, and by name" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	start_server "$holblock" -s -6 -p 0
	run -0 timeout 60 "$holblock" -6 localhost -p "$PORT" --fixed --time 100ms --warm-up 0 --interval 10ms --json ||
		run -0 timeout 60 "$holblock" ::1 -p "$PORT" --fixed --time 100ms --warm-up 0 --interval 10ms --json
	same answered "$(ours answered_messages)" 15
}

# --- the bytes ------------------------------------------------------------------------------------------------------

@test "the server's bytes: bulk is counted, each message is answered, in pieces or together" {
	need python3
	start_server "$holblock" -s -1 -p 0 --json
	run -0 python3 - "$PORT" <<-'END'
		import socket, struct, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		out = b""
		for n in range(3):
		    out += struct.pack(">IIQ", 1, 1000, 0) + b"b" * 1000 + struct.pack(">IIQ", 2, 5, n) + b"hello"
		for i in range(0, len(out), 7):
		    s.send(out[i:i + 7])
		s.sendall(struct.pack(">IIQ", 2, 0, 7) + struct.pack(">IIQ", 1, 0, 0))
		s.shutdown(socket.SHUT_WR)
		back = b""
		while True:
		    more = s.recv(65536)
		    if not more:
		        break
		    back += more
		print(back.hex())
	END
	same answers "$output" "$(printf '0000000300000000%016x' 0 1 2 7)"
	wait_server
	same status "$SERVER_STATUS" 0
	same bulk "$(field bulk_bytes connection <"$SERVER_OUT")" 3064
	same messages "$(field messages connection <"$SERVER_OUT")" 4
	same errno "$(field errno connection <"$SERVER_OUT")" null
}

@test "a hostile client ends its own connection, and no other" {
	need python3
	start_server "$holblock" -s -p 0 --json --timeout 20
	hold # silent, all the time
	run -0 timeout 30 python3 - "$PORT" <<-'END'
		import socket, struct, sys
		def client(data, read=True):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		    try:
		        s.sendall(data)
		        return s.recv(1) if read else s
		    except ConnectionResetError:
		        return "reset"
		print(client(b"GET / HTTP/1.0\r\n\r\n"))                 # garbage
		print(client(struct.pack(">IIQ", 1, 0x7fffffff, 0)))     # a huge length
		print(client(struct.pack(">IIQ", 3, 0, 0)))              # an answer
		s = client(struct.pack(">IIQ", 1, 1000, 0), False)       # an early end
		s.shutdown(socket.SHUT_WR)
		print(s.recv(1))
		s = client(struct.pack(">IIQ", 1, 1000, 0), False)       # a reset
		s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		s.close()
		s = socket.socket()                                      # reads no answers
		s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
		s.connect(("127.0.0.1", int(sys.argv[1])))
		try:
		    while True:
		        s.sendall(struct.pack(">IIQ", 2, 0, 0) * 4096)
		except ConnectionError:
		    print("thrown out")
	END
	same reports "$output" $'reset\nreset\nreset\nb\'\'\nthrown out'
	try 0 --fixed
	stop_server
	let_all_go
	same status "$SERVER_STATUS" 143
	same garbage "$(grep -c EPROTO "$SERVER_OUT")" 3
	same connections "$(field connections <"$SERVER_OUT")" 9
}

@test "a peer that says nothing is let go after --timeout" {
	start_server "$holblock" -s -1 -p 0 --json --timeout 200ms
	hold
	wait_server
	same errno "$(field errno connection <"$SERVER_OUT")" ETIMEDOUT
	let_all_go
}

@test "a hostile server: status 1, and why" {
	python_server 'head(c); c.close()'
	try 1 # it may have been told by a FIN or by a reset
	[[ $(ours errno error) == @(EPIPE|ECONNRESET) ]]
	wait_server
	python_server 'head(c); c.sendall(b"HTTP/1.0 200 OK\r\n\r\n"); read_on(c)'
	try 1
	same errno "$(ours errno error)" EPROTO
	wait_server
	# an answer to another message
	python_server 'head(c); c.sendall(struct.pack(">IIQ", 3, 0, 5)); read_on(c)'
	try 1
	same errno "$(ours errno error)" EPROTO
	wait_server
	# answers that were not asked for: more than there are messages by then, however late the client looks
	python_server 'c.sendall(b"".join(struct.pack(">IIQ", 3, 0, n) for n in range(1000))); read_on(c)'
	try 1 --time 60
	same errno "$(ours errno error)" EPROTO
	wait_server
	python_server 'head(c); reset(c)'
	try 1
	[[ $(ours errno error) == @(ECONNRESET|EPIPE) ]]
	wait_server
	# silence
	python_server 'c.recv(1); l.accept()'
	try 1 --timeout 1
	same errno "$(ours errno error)" ETIMEDOUT
	stop_server
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of client and server" {
	start_server "$holblock" -s -1 -p 0
	run -0 timeout 60 "$holblock" 127.0.0.1 -p "$PORT" --fixed --time 100ms --warm-up 0 --interval 10ms
	same head "${lines[0]}" 'a connection for each: bulk in pieces of 16 KiB, and a message of 64 bytes each 10.0 ms'
	[[ ${lines[3]} =~ ^alone\ +5\ .*s\ +[0-9.]+\ K?i?B\ +[0-9.]+\ K?i?B$ ]]
	[[ ${lines[4]} =~ ^with\ bulk\ +10\ .*s\ +[0-9.]+\ K?i?B\ +[0-9.]+\ K?i?B$ ]]
	[[ ${lines[5]} == 'bulk: '*' arrived'* ]]
	wait_server
	grep -q ': 0 bytes of bulk, 15 messages answered' "$SERVER_OUT"
}

# answered N: so many answers, of 16 bytes, have been read.
answered() {
	[ "$(sed -n 's/.*recv(.*) = \([1-9][0-9]*\)$/\1/p' err | awk '{ n += $1 } END { print int(n / 16) }')" -ge "$1" ]
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	start_server "$holblock" -s -p 0
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f err
		"$holblock" 127.0.0.1 -p "$PORT" --pace 8mbit --time 60 --warm-up 0 --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q 'of a piece' err
		wait_until answered 5
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		[ "$(field answered_messages <out)" -ge 5 ]
	done
	stop_server
	same "status of the server" "$SERVER_STATUS" 143
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$holblock" -s -p 0
	run -1 timeout 60 bash -c "'$holblock' 127.0.0.1 -p $PORT --fixed --time 50ms --warm-up 0 --interval 10ms > /dev/full"
}
