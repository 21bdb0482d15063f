#!/usr/bin/env bats
# daytime: a line that is true, and the end.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	daytime=$TCPLAB_BIN/daytime
}

# near SECONDS DATE-TEXT: the text names an instant not further than that from now
near() {
	local said now
	said=$(date -d "$2" +%s)
	now=$(date +%s)
	[ $((said - now)) -le "$1" ] && [ $((now - said)) -le "$1" ]
}

@test "the line is what the clock says, by TCP and UDP, and the client prints just that" {
	start_server "$daytime" -s -p 0
	run -0 --separate-stderr "$daytime" 127.0.0.1 -p "$PORT"
	same "lines" "${#lines[@]}" 1
	near 30 "$output"
	run -0 --separate-stderr "$daytime" 127.0.0.1 -u -p "$PORT"
	near 30 "${lines[0]}"
}

@test "the server closes first, after one line that ends with CR LF" {
	need python3
	start_server "$daytime" -s -p 0
	run -0 python3 -c "import socket
s = socket.create_connection(('127.0.0.1', $PORT)); b = b''
while (more := s.recv(100)): b += more
print(b.count(b'\n'), b.endswith(b'\r\n'), len(b))"
	same "lines, end, length" "$output" "1 True 26"
}

@test "a hostile server: control characters are not printed, a flood is cut off, silence is an error" {
	need python3
	cat >"$BATS_TEST_TMPDIR/server.py" <<-'END'
		import socket, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr)
		for say in (b"\x1b]0;owned\x07 now\r\n", b"x" * 1000000, b""):
		    s, _ = l.accept()
		    try:
		        s.sendall(say)
		        s.shutdown(socket.SHUT_WR)
		        s.recv(1)
		    except OSError:
		        pass
		    s.close()
	END
	start_server python3 -u "$BATS_TEST_TMPDIR/server.py"
	run -0 --separate-stderr "$daytime" 127.0.0.1 -p "$PORT"
	same "cleaned" "$output" "?]0;owned? now"
	run -1 --separate-stderr "$daytime" 127.0.0.1 -p "$PORT"
	[[ $stderr == *"more than a line"* ]]
	run -1 --separate-stderr "$daytime" 127.0.0.1 -p "$PORT"
	one_line_with "without a word"
	wait_server
}
