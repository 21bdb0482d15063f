#!/usr/bin/env bats
# halfclose: the three ways to end a request, the relay, replies that are not right, usage, reports, signals. Other people's
# programs are in tests/interop/endings.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	halfclose=$TCPLAB_BIN/halfclose
}

# ask OPTION...: a client of the server at $PORT; its records are in $output, its status in $status.
ask() {
	run --separate-stderr "$halfclose" 127.0.0.1 -p "$PORT" --json "$@"
	echo "client: $*: status $status"
	echo "$output$stderr"
}

# served KEY: of the last connection of the last server, which has ended.
served() {
	field "$1" connection <"$SERVER_OUT"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$halfclose" --help
	[[ $output == *"usage: halfclose"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$halfclose" --version
	[[ $output == "halfclose (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '-s localhost' '-s --relay' '--relay' 'a b' '-s --fixed' '-s --never' 'localhost --fixed --never' \
		'--relay localhost --never' 'localhost -1' 'localhost --delay 1s' '-s -p 65536' 'localhost --bytes x' \
		'localhost --timeout 0' '--relay localhost --listen x' 'localhost --no-such-option'; do
		echo "halfclose $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$halfclose" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens: status 1, an error record" {
	start_server "$halfclose" -s -p 0
	stop_server
	ask
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
}

# --- how a request ends ---------------------------------------------------------------------------------------------

@test "close: the server has the request, and the reply is lost" {
	start_server "$halfclose" -s -1 -p 0 --json
	ask
	same status "$status" 0
	same ending "$(ours ending)" close
	same sent "$(ours sent_bytes)" 1000
	same received "$(ours received_bytes)" 0
	same announced "$(ours announced_bytes)" null
	wait_server
	same request "$(served request_bytes)" 1000
	same reply "$(served reply_bytes)" $((1048576 + 16))
	same errno "$(served errno)" EPIPE
	[ "$(served written_bytes)" -gt 0 ]
}

@test "close: a reply that one send takes as a whole is lost as well, and the server finds out" {
	start_server "$halfclose" -s -1 -p 0 --reply 100 --json
	ask
	wait_server
	same written "$(served written_bytes)" 116
	same errno "$(served errno)" EPIPE
}

@test "--never: both wait, until the timeout; then the server learns the end" {
	start_server "$halfclose" -s -1 -p 0 --json
	ask --never --timeout 200ms
	same status "$status" 0
	same received "$(ours received_bytes)" 0
	same errno "$(ours errno)" ETIMEDOUT
	same end "$(ours server_end)" none
	wait_server
	same request "$(served request_bytes)" 1000
	same errno "$(served errno)" EPIPE
}

@test "--never: a server that gives up first says so, and has had everything" {
	start_server "$halfclose" -s -1 -p 0 --timeout 1s --json
	ask --never
	same status "$status" 0
	same end "$(ours server_end)" fin
	wait_server
	same request "$(served request_bytes)" 1000
	same written "$(served written_bytes)" 0
	same errno "$(served errno)" ETIMEDOUT
}

@test "--fixed: every byte of any request and any reply, and a FIN each way" {
	local request reply
	for request in 0 1 1000 3000000; do
		for reply in 0 1 65519 65520 65521 10000000; do
			start_server "$halfclose" -s -1 -p 0 --reply $reply --json
			ask --fixed --bytes $request
			same status "$status" 0
			same complete "$(ours complete)" true
			same end "$(ours server_end)" fin
			same "bytes received" "$(ours received_bytes)" $((reply + 16))
			same announced "$(ours announced_bytes)" $reply
			same "the server got" "$(ours server_got_bytes)" $request
			same right "$(ours right_bytes)" $reply
			wait_server
			same request "$(served request_bytes)" $request
			same written "$(served written_bytes)" $((reply + 16))
			same errno "$(served errno)" null
		done
	done
}

@test "--delay: the reply does not come earlier" {
	start_server "$halfclose" -s -p 0 --delay 300ms
	ask --fixed --timeout 100ms
	same status "$status" 3
	same errno "$(ours errno)" ETIMEDOUT
	ask --fixed
	same status "$status" 0
}

@test "a server serves one client after another, whatever becomes of them" {
	start_server "$halfclose" -s -p 0 --json
	local round
	for round in 1 2 3; do
		ask
		# a reset instead of a request: bytes that nobody reads, and nothing else
		python3 - "$PORT" <<-'END'
			import socket, struct, sys
			s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
			s.sendall(b"half a requ")
			s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
			s.close()
		END
		ask --fixed
		same "status in round $round" "$status" 0
	done
	stop_server
	same status "$SERVER_STATUS" 143
	same connections "$(field connections <"$SERVER_OUT")" 9
	same interrupted "$(field interrupted <"$SERVER_OUT")" true
	same resets "$(grep -c ECONNRESET "$SERVER_OUT")" 3
}

# --- a reply that is not right --------------------------------------------------------------------------------------

# serve_reply CODE: a server in python that has read the request in connection c; its port is in $PORT.
serve_reply() {
	cat >"$BATS_TEST_TMPDIR/server.py" <<-END
		import socket, struct, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		c, _ = l.accept()
		while c.recv(65536):
		    pass
		$1
	END
	start_server python3 "$BATS_TEST_TMPDIR/server.py"
}

@test "--fixed: a reply that is cut, wrong or none is status 3" {
	need python3
	serve_reply 'c.close()'
	ask --fixed
	same "status without a reply" "$status" 3
	same announced "$(ours announced_bytes)" null
	same end "$(ours server_end)" fin
	wait_server
	serve_reply 'c.sendall(struct.pack(">QQ", 1000, 10) + b"short"); c.close()'
	ask --fixed
	same "status of a cut reply" "$status" 3
	same complete "$(ours complete)" false
	wait_server
	serve_reply 'c.sendall(struct.pack(">QQ", 1000, 5) + b"wrong"); c.close()'
	ask --fixed
	same "status of a wrong reply" "$status" 3
	same received "$(ours received_bytes)" 21
	same right "$(ours right_bytes)" 0
	wait_server
	serve_reply 'c.sendall(struct.pack(">QQ", 999, 0)); c.close()'
	ask --fixed
	same "status when the server had too little" "$status" 3
	wait_server
	serve_reply 'c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'
	ask --fixed
	same "status of a reset" "$status" 3
	same end "$(ours server_end)" rst
	same errno "$(ours errno)" ECONNRESET
	wait_server
}

# --- the relay ------------------------------------------------------------------------------------------------------

# with_relay OPTION...: a server for one client and a relay in front of it, at $PORT. $SERVER_OUT is the relay's.
with_relay() {
	start_server "$halfclose" -s -p 0 --json
	BEHIND=$SERVER_PID BEHIND_OUT=$SERVER_OUT
	start_server "$halfclose" --relay 127.0.0.1 -p "$PORT" --listen 0 --json "$@"
}

@test "relay: the end of one direction taken for the end of the connection: no reply" {
	with_relay -1
	ask --fixed
	same status "$status" 3
	same received "$(ours received_bytes)" 0
	wait_server
	same up "$(served up_bytes)" 1000
	same down "$(served down_bytes)" 0
	same "up ended" "$(served up_ended)" true
	same "down ended" "$(served down_ended)" false
	stop_server "$BEHIND"
	same "the server's errno" "$(field errno connection <"$BEHIND_OUT")" EPIPE
}

@test "relay, fixed: the end is passed on, and the reply comes through" {
	local bytes
	with_relay --fixed
	for bytes in 0 1 5000000; do
		ask --fixed --bytes $bytes
		same status "$status" 0
		same complete "$(ours complete)" true
	done
	stop_server
	same up "$(served up_bytes)" 5000000
	same down "$(served down_bytes)" $((1048576 + 16))
	same "both ended" "$(served up_ended) $(served down_ended)" 'true true'
	same connections "$(field connections <"$SERVER_OUT")" 3
	stop_server "$BEHIND"
}

@test "relay: nobody behind it: the client is told by a reset" {
	start_server "$halfclose" -s -p 0
	stop_server
	start_server "$halfclose" --relay 127.0.0.1 -p "$PORT" --listen 0 -1 --fixed
	ask --fixed
	# which call is told depends on how soon the relay is done
	[[ $status == [13] && $output == *'"errno":"'@(ECONNRESET|EPIPE)'"'* ]]
	wait_server
	grep -q 'ECONNREFUSED' "$SERVER_LOG"
}

@test "relay, fixed: a client that goes away is an error at the server as well" {
	need python3
	with_relay -1 --fixed
	python3 - "$PORT" <<-'END'
		import socket, struct, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.sendall(b"x" * 100)
		s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		s.close()
	END
	wait_server
	same errno "$(served errno)" ECONNRESET
	stop_server "$BEHIND"
	same "the server's errno" "$(field errno connection <"$BEHIND_OUT")" ECONNRESET
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of client and server" {
	start_server "$halfclose" -s -1 -p 0 --reply 10
	run -0 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --bytes 5
	same request "${lines[0]}" 'request: 5 of 5 bytes, then shutdown: our direction ends'
	same reply "${lines[1]}" 'reply:   26 bytes of 26, 26 right; the server had 5; its end: fin'
	wait_server
	[[ $(cat "$SERVER_OUT") == *': request 5 bytes; reply: 26 of 26 bytes taken by the kernel, all of them acknowledged' ]]
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	start_server "$halfclose" -s -p 0
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f err
		"$halfclose" 127.0.0.1 -p "$PORT" --never --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q 'send(.*) = 1000' err
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same sent "$(field sent_bytes <out)" 1000
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$halfclose" -s -p 0
	run -1 bash -c "'$halfclose' 127.0.0.1 -p $PORT --fixed > /dev/full"
}
