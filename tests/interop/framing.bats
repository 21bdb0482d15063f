#!/usr/bin/env bats
# framing against programs that know nothing of it: netcat, and the format written down a second time in Python.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	framing=$TCPLAB_BIN/framing
}

@test "netcat as the sender: messages made by hand" {
	need nc.openbsd
	start_server "$framing" -s -1 -p 0 --fixed --json
	printf '\0\0\0\005hello\0\0\0\003abc' | timeout 60 nc.openbsd -N 127.0.0.1 "$PORT"
	wait_server
	same messages "$(field messages <"$SERVER_OUT")" 2
	same right "$(field right <"$SERVER_OUT")" 2
	same status "$SERVER_STATUS" 0
}

@test "what the sender writes is what docs/tools/framing.md says" {
	need python3
	start_server python3 "$TCPLAB_ROOT/tests/fixtures/tcp_sink.py" --capture "$BATS_TEST_TMPDIR/bytes"
	run -0 "$framing" 127.0.0.1 -p "$PORT" -n 40 -l 77 --json
	[ "$(ours bytes)" -eq 3080 ]
	run -0 python3 - "$BATS_TEST_TMPDIR/bytes" <<-'END'
		import struct, sys
		data = open(sys.argv[1], "rb").read()
		wanted = b""
		for number in range(40):
		    letters = bytes(ord("a") + (number + i) % 26 for i in range(8, 77))
		    wanted += struct.pack("!II", 4 + len(letters), number) + letters
		assert data == wanted, (len(data), len(wanted))
	END
}

@test "a Python sender, in pieces of all sizes: the fixed receiver finds every message" {
	need python3
	start_server "$framing" -s -1 -p 0 --fixed --verify --json
	run -0 python3 - "$PORT" <<-'END'
		import random, socket, struct, sys
		rng = random.Random(7)
		data = b""
		for number in range(2000):
		    length = rng.randrange(8, 400)
		    letters = bytes(ord("a") + (number + i) % 26 for i in range(8, length))
		    data += struct.pack("!II", length - 4, number) + letters
		peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		while data:
		    n = rng.randrange(1, rng.choice([3, 100, 5000]))
		    peer.sendall(data[:n])
		    data = data[n:]
		peer.close()
	END
	wait_server
	cat "$SERVER_OUT"
	same right "$(field right <"$SERVER_OUT")" 2000
	same wrong "$(field wrong <"$SERVER_OUT")" 0
	same status "$SERVER_STATUS" 0
}
