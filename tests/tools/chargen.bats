#!/usr/bin/env bats
# chargen: the pattern, in both dialects, and the client that checks it.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	chargen=$TCPLAB_BIN/chargen
}

client() {
	"$chargen" 127.0.0.1 -p "$PORT" "$@"
}

# head_of N: the first N bytes that the server sends
head_of() {
	python3 - "$PORT" "$1" <<-'END'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.settimeout(10)
		n, got = int(sys.argv[2]), b""
		while len(got) < n:
		    got += s.recv(n - len(got))
		sys.stdout.buffer.write(got)
	END
}

# pattern LETTERS FIRST END N: what RFC 864 and the course mean, spelled out
pattern() {
	python3 - "$@" <<-'END'
		import sys
		letters, first, n = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[4])
		end = {"crlf": b"\r\n", "lf": b"\n"}[sys.argv[3]]
		out = b""
		line = 0
		while len(out) < n:
		    out += bytes(first + (line + i) % letters for i in range(72)) + end
		    line += 1
		sys.stdout.buffer.write(out[:n])
	END
}

@test "the pattern is RFC 864's, or the course's" {
	need python3
	start_server "$chargen" -s -p 0
	head_of 300000 >"$BATS_TEST_TMPDIR/got"
	pattern 95 32 crlf 300000 | cmp - "$BATS_TEST_TMPDIR/got"
	stop_server
	start_server "$chargen" -s -p 0 --dialect course
	head_of 300000 >"$BATS_TEST_TMPDIR/got"
	pattern 94 33 lf 300000 | cmp - "$BATS_TEST_TMPDIR/got"
}

@test "--bytes at the server: so many, and the end" {
	need python3
	start_server "$chargen" -s -p 0 --bytes 1234567
	run -0 python3 -c "import socket
s = socket.create_connection(('127.0.0.1', $PORT)); n = 0
while (b := s.recv(65536)): n += len(b)
print(n)"
	same "bytes until EOF" "$output" 1234567
	run -0 --separate-stderr client --time 10 --json
	same "received" "$(ours bytes)" 1234567
	run -1 --separate-stderr client --bytes 2M --json
	one_line_with "too early"
	same "op" "$(ours op error)" transfer
}

@test "the client finds the dialect by itself, and verifies" {
	local dialect
	for dialect in rfc course; do
		start_server "$chargen" -s -p 0 --dialect $dialect
		run -0 --separate-stderr client --bytes 10M --json
		same "dialect" "$(ours dialect)" $dialect
		same "verified" "$(ours verified) $(ours first_wrong_offset)" "true null"
		stop_server
	done
	start_server "$chargen" -s -p 0 --dialect course
	run -3 --separate-stderr client --bytes 10M --json --dialect rfc
	same "first wrong byte" "$(ours first_wrong_offset)" 0
}

@test "one byte changed, lost or sent twice: status 3 and its offset" {
	need python3
	local how
	for how in change lose double; do
		cat >"$BATS_TEST_TMPDIR/server.py" <<-END
			import socket, sys
			out, line = b"", 0
			while len(out) < 400000:
			    out += bytes(32 + (line + i) % 95 for i in range(72)) + b"\r\n"
			    line += 1
			at = 300001
			out = {"change": out[:at] + b"\x7f" + out[at + 1:], "lose": out[:at] + out[at + 1:],
			       "double": out[:at + 1] + out[at:]}["$how"]
			l = socket.create_server(("127.0.0.1", 0))
			print("listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr)
			s, _ = l.accept()
			try:
			    s.sendall(out)
			    s.recv(1)
			except OSError:
			    pass
		END
		start_server python3 -u "$BATS_TEST_TMPDIR/server.py"
		run -3 --separate-stderr client --bytes 390000 --json
		local want=300001
		[ $how != double ] || want=300002
		same "$how" "$(ours first_wrong_offset) $(ours verified)" "$want false"
		[[ $stderr == *"byte $want "* ]]
		wait_server
	done
}

@test "--stall-after: so many, then silence on an open connection" {
	need python3
	start_server "$chargen" -s -p 0 --stall-after 100000
	run -0 python3 -c "import socket
s = socket.create_connection(('127.0.0.1', $PORT)); n = 0
try:
    while True:
        n += len(s.recv(65536)) or 10**9
        if n >= 100000: s.settimeout(0.5)
except TimeoutError: print(n)"
	same "bytes before the silence" "$output" 100000
	run -1 --separate-stderr client --bytes 200000 --timeout 200ms
	one_line_with ETIMEDOUT
}

@test "--rate: no more than that, from the first byte on" {
	start_server "$chargen" -s -p 0 --rate 1MB/s
	local since=${EPOCHREALTIME/[.,]/}
	run -0 --separate-stderr client --bytes 600K --json
	# the server's clock begins with the connection, after ours and before the client's own
	[ $((${EPOCHREALTIME/[.,]/} - since)) -ge 590000 ]
	same "verified" "$(ours verified)" true
}

@test "a client that has half-closed still gets the pattern" {
	need python3
	start_server "$chargen" -s -p 0 --bytes 5M
	run -0 python3 -c "import socket
s = socket.create_connection(('127.0.0.1', $PORT)); s.shutdown(socket.SHUT_WR); n = 0
while (b := s.recv(65536)): n += len(b)
print(n)"
	same "bytes" "$output" 5242880
}

@test "UDP: an answer as long as the question, at most 512, a piece of the pattern" {
	need python3
	start_server "$chargen" -s -p 0
	run -0 --separate-stderr client -u -n 5 --json
	same "received" "$(ours received) $(ours verified)" "5 true"
	run -0 python3 -c "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
for n in (0, 1, 74, 512, 2000):
    s.sendto(b'x' * n, ('127.0.0.1', $PORT)); print(len(s.recv(9999)), end=' ')"
	same "lengths" "$output" "0 1 74 512 512 "
}
