#!/usr/bin/env bats
# The services and other programs: OpenBSD's nc, ncat, socat, Python and curl against each of ours, and our clients against
# other servers, those of Shuo Chen's course among them.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2094 # cmp reads what nc reads, and nobody writes it
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

serve() {
	start_server "$TCPLAB_BIN/$1" -s -p 0 "${@:2}"
}

# rfc_pattern N: the first N bytes of it, spelled out
rfc_pattern() {
	python3 - "$1" <<-'END'
		import sys
		n, out, line = int(sys.argv[1]), b"", 0
		while len(out) < n:
		    out += bytes(32 + (line + i) % 95 for i in range(72)) + b"\r\n"
		    line += 1
		sys.stdout.buffer.write(out[:n])
	END
}

@test "chargen to nc, ncat, socat and curl: the pattern, whole" {
	need python3 nc.openbsd ncat socat curl
	serve chargen --bytes 500000
	rfc_pattern 500000 >"$BATS_TEST_TMPDIR/want"
	nc.openbsd -d 127.0.0.1 "$PORT" | cmp - "$BATS_TEST_TMPDIR/want"
	nc.openbsd -N 127.0.0.1 "$PORT" </dev/null | cmp - "$BATS_TEST_TMPDIR/want"
	ncat 127.0.0.1 "$PORT" </dev/null | cmp - "$BATS_TEST_TMPDIR/want"
	socat -u TCP:127.0.0.1:"$PORT" - | cmp - "$BATS_TEST_TMPDIR/want"
	curl -s --max-time 60 "telnet://127.0.0.1:$PORT" </dev/null | cmp - "$BATS_TEST_TMPDIR/want"
}

# has_read_all_of N: so many connections have ended.
has_read_all_of() {
	[ "$(grep -c ', ended in order$' "$SERVER_LOG")" -eq "$1" ]
}

@test "discard takes all of it from nc, ncat, socat and Python" {
	need python3 nc.openbsd ncat socat
	serve discard --json -v
	head -c 3000000 /dev/zero | nc.openbsd -N 127.0.0.1 "$PORT"
	head -c 3000000 /dev/zero | ncat --send-only 127.0.0.1 "$PORT"
	head -c 3000000 /dev/zero | socat -u - TCP:127.0.0.1:"$PORT"
	python3 -c "import socket
s = socket.create_connection(('127.0.0.1', $PORT)); s.sendall(bytes(3000000)); s.shutdown(socket.SHUT_WR); assert s.recv(1) == b''"
	wait_until has_read_all_of 4
	stop_server
	same "bytes, connections" "$(field bytes <"$SERVER_OUT") $(field connections <"$SERVER_OUT")" "12000000 4"
}

@test "echo with nc, ncat, socat and Python: all of it back, and the end after our half-close" {
	need python3 nc.openbsd ncat socat
	serve echo
	head -c 2000000 /dev/urandom >"$BATS_TEST_TMPDIR/data"
	nc.openbsd -N 127.0.0.1 "$PORT" <"$BATS_TEST_TMPDIR/data" | cmp - "$BATS_TEST_TMPDIR/data"
	ncat 127.0.0.1 "$PORT" <"$BATS_TEST_TMPDIR/data" | cmp - "$BATS_TEST_TMPDIR/data"
	socat -t 60 - TCP:127.0.0.1:"$PORT" <"$BATS_TEST_TMPDIR/data" | cmp - "$BATS_TEST_TMPDIR/data"
	python3 - "$PORT" "$BATS_TEST_TMPDIR/data" <<-'END'
		import socket, sys, threading
		data = open(sys.argv[2], "rb").read()
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		def send():
		    s.sendall(data)
		    s.shutdown(socket.SHUT_WR)
		threading.Thread(target=send).start()
		got = b""
		while (b := s.recv(65536)):
		    got += b
		assert got == data
	END
}

@test "daytime and timeserv with nc, ncat and socat, by TCP and UDP" {
	need nc.openbsd ncat socat
	serve daytime
	local line
	for line in "$(nc.openbsd -d 127.0.0.1 "$PORT")" "$(ncat --recv-only 127.0.0.1 "$PORT")" "$(socat -u TCP:127.0.0.1:"$PORT" -)" \
		"$(socat -t 5 - UDP:127.0.0.1:"$PORT",shut-none <<<x)"; do
		[[ $line =~ ^[A-Z][a-z]{2}\ [A-Z][a-z]{2}\ [\ 0-9][0-9]\ [0-9:]{8}\ [0-9]{4} ]] || {
			echo "'$line'"
			return 1
		}
	done
	stop_server
	serve timeserv
	same "bytes" "$(nc.openbsd -d 127.0.0.1 "$PORT" | wc -c)" 4
	same "bytes" "$(ncat --recv-only 127.0.0.1 "$PORT" | wc -c)" 4
	same "bytes" "$(socat -u TCP:127.0.0.1:"$PORT" - | wc -c)" 4
}

@test "pingpong's server is an echo server for nc, and our clients take socat's for one" {
	need nc.openbsd socat
	serve pingpong
	same "back" "$(nc.openbsd -N 127.0.0.1 "$PORT" <<<hello)" hello
	stop_server
	start_server socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr EXEC:cat
	PORT=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$SERVER_LOG")
	run -0 "$TCPLAB_BIN/pingpong" 127.0.0.1 -p "$PORT" --bytes 64000 -c 2
	run -0 "$TCPLAB_BIN/echo" 127.0.0.1 -p "$PORT" --bytes 1M
}

@test "ttcp in raw mode sends to our discard" {
	serve discard --json
	run -0 "$TCPLAB_BIN/ttcp" -t 127.0.0.1 -p "$PORT" --mode raw --bytes 5000000 --json
	same "ttcp" "$(ours bytes)" 5000000
	stop_server
	same "read" "$(field bytes <"$SERVER_OUT")" 5000000
}

# The course's programs: chargen sends blocks of 94 lines of its own ring; the time server sends 4 bytes since 1970 and closes.
@test "our clients with the course's chargen and time server" {
	need python3
	start_server python3 -u -c "
import socket, sys
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
ring = bytes(range(33, 127)) * 2
block = b''.join(ring[i:i + 72] + b'\n' for i in range(94))
assert len(block) == 6862
s, _ = l.accept()
try:
    while True: s.sendall(block)
except OSError: pass"
	run -0 --separate-stderr "$TCPLAB_BIN/chargen" 127.0.0.1 -p "$PORT" --bytes 3M --json
	same "dialect" "$(ours dialect) $(ours verified)" "course true"
	wait_server
	start_server python3 -u -c "
import socket, struct, sys, time
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
s, _ = l.accept(); s.sendall(struct.pack('>i', int(time.time()))); s.close()"
	run -0 --separate-stderr "$TCPLAB_BIN/timeserv" 127.0.0.1 -p "$PORT" --json
	same "epoch" "$(ours epoch)" 1970
	wait_server
}

@test "the course's clients with our servers: chargen's block, time since 1970" {
	need python3
	serve chargen --dialect course
	run -0 python3 -c "import socket
ring = bytes(range(33, 127)) * 2
block = b''.join(ring[i:i + 72] + b'\n' for i in range(94))
s = socket.create_connection(('127.0.0.1', $PORT)); got = b''
while len(got) < 3 * 6862: got += s.recv(3 * 6862 - len(got))
print(got == block * 3)"
	same "three blocks" "$output" True
	stop_server
	serve timeserv --epoch 1970
	run -0 python3 -c "import socket, struct, time
s = socket.create_connection(('127.0.0.1', $PORT)); b = s.recv(4)
print(abs(struct.unpack('>i', b)[0] - time.time()) < 30)"
	same "time" "$output" True
}
