#!/usr/bin/env bats
# echo: everything comes back, the half-close too.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	echo=$TCPLAB_BIN/echo
}

client() {
	"$echo" 127.0.0.1 -p "$PORT" "$@"
}

@test "everything comes back, verified, on one connection and on many" {
	start_server "$echo" -s -p 0
	run -0 --separate-stderr client --bytes 200M --json
	same "came back" "$(ours bytes) $(ours bytes_out) $(ours verified)" "209715200 209715200 true"
	run -0 --separate-stderr client --bytes 100K -c 200 --json
	same "came back" "$(ours bytes) $(ours connections)" "$((200 * 102400)) 200"
}

@test "--time: what is under way comes home" {
	start_server "$echo" -s -p 0
	run -0 --separate-stderr client --time 0.3 --json
	same "sent and back" "$(ours bytes_in)" "$(ours bytes_out)"
}

@test "a half-close is answered with the rest, and then the end" {
	need python3
	start_server "$echo" -s -p 0
	run -0 python3 -c "import socket, threading
s = socket.create_connection(('127.0.0.1', $PORT)); n = 3000000; got = 0
def send():
    s.sendall(b'x' * n); s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
while (b := s.recv(65536)): got += len(b)
print(got)"
	same "came back" "$output" 3000000
}

# wrong_server HOW: an echo server that makes one mistake
wrong_server() {
	cat >"$BATS_TEST_TMPDIR/server.py" <<-END
		import socket, sys
		how = "$1"
		l = socket.create_server(("127.0.0.1", 0))
		print("listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr)
		s, _ = l.accept()
		n = 0
		try:
		    while (b := s.recv(65536)):
		        if n <= 100000 < n + len(b):
		            i = 100000 - n
		            b = {"change": b[:i] + bytes([b[i] ^ 1]) + b[i + 1:], "lose": b[:i] + b[i + 1:], "invent": b + b"!" * 9}[how]
		        n += len(b)
		        s.sendall(b)
		except OSError:
		    pass
	END
	start_server python3 -u "$BATS_TEST_TMPDIR/server.py"
}

@test "one byte changed or invented: status 3; lost at the end: it is missed" {
	need python3
	wrong_server change
	run -3 --separate-stderr client --bytes 1M --json
	same "verified" "$(ours verified)" false
	[[ $stderr == *"byte 100000"* ]]
	wait_server
	wrong_server invent
	run -3 --separate-stderr client --bytes 1M
	wait_server
	wrong_server lose
	run --separate-stderr client --bytes 100001
	same "status" "$status" 1
	one_line_with "before everything had come back"
	wait_server
}

@test "UDP: each datagram comes back, of any length" {
	start_server "$echo" -s -p 0
	local length
	for length in 0 1 1400 65507; do
		run -0 --separate-stderr client -u --length $length -n 3 --json
		same "$length" "$(ours received) $(ours bytes) $(ours verified)" "3 $((3 * length)) true"
	done
}
