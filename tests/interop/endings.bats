#!/usr/bin/env bats
# halfclose and bulkecho with other people's programs: netcats, socat, python. What ends a direction, what ends a
# connection, and who reads while he writes.

# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	halfclose=$TCPLAB_BIN/halfclose
	bulkecho=$TCPLAB_BIN/bulkecho
	REPLY_LEN=$((1000000 + 16))
}

# reply_to CMD...: how many bytes come back to CMD, which is asked to send hello; the server's record is in $served.
reply_to() {
	local n
	start_server "$halfclose" -s -1 -p 0 --reply 1000000 --json
	n=$(printf hello | timeout 60 "${@//PORT/$PORT}" | wc -c)
	wait_server
	served=$(grep '"record":"connection"' "$SERVER_OUT")
	echo "$*: $n bytes; $served"
	same "bytes that came back to $1" "$n" "$REPLY_LEN"
	same "request" "$(field request_bytes connection <<<"$served")" 5
	same "errno" "$(field errno connection <<<"$served")" null
}

@test "nc -N, ncat and socat end their direction, and get the reply" {
	need nc.openbsd ncat socat
	reply_to nc.openbsd -N 127.0.0.1 PORT
	reply_to ncat 127.0.0.1 PORT
	reply_to socat -t 60 - TCP:127.0.0.1:PORT
}

@test "python: shutdown, and read to the end" {
	need python3
	cat >client.py <<-'END'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.sendall(sys.stdin.buffer.read())
		s.shutdown(socket.SHUT_WR)
		while (b := s.recv(65536)):
		    sys.stdout.buffer.write(b)
	END
	reply_to python3 client.py PORT
}

@test "a relay of socat passes the end of a direction on, and so does one of ours in front of it" {
	need socat
	start_server "$halfclose" -s -p 0 --reply 1000000
	start_server socat -d -d -t 60 TCP4-LISTEN:0,bind=127.0.0.1,fork "TCP4:127.0.0.1:$PORT"
	run -0 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --json
	same complete "$(field complete <<<"$output")" true
	start_server "$halfclose" --relay 127.0.0.1 -p "$PORT" --listen 0 --fixed
	run -0 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --json
	same complete "$(field complete <<<"$output")" true
}

@test "cat behind socat as an echo server: the same deadlock, and the same cure" {
	need socat
	start_server socat -d -d -t 60 TCP4-LISTEN:0,bind=127.0.0.1,fork EXEC:cat
	run -0 "$bulkecho" 127.0.0.1 -p "$PORT" --patience 1s --json
	same deadlock "$(field deadlock <<<"$output")" true
	run -0 "$bulkecho" 127.0.0.1 -p "$PORT" --fixed --bytes 16M --json
	same right "$(field right_bytes <<<"$output")" 16777216
}

@test "a plain echo server in python: the same" {
	need python3
	cat >echo.py <<-'END'
		import socket, subprocess, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		while True:
		    c, _ = l.accept()
		    while (b := c.recv(4096)):
		        try:
		            c.sendall(b)
		        except OSError:
		            break
		    c.close()
	END
	start_server python3 echo.py
	run -0 "$bulkecho" 127.0.0.1 -p "$PORT" --patience 1s --json
	same deadlock "$(field deadlock <<<"$output")" true
	run -0 "$bulkecho" 127.0.0.1 -p "$PORT" --fixed --bytes 16M --json
	same right "$(field right_bytes <<<"$output")" 16777216
}
