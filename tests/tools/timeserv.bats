#!/usr/bin/env bats
# timeserv: four bytes, two epochs, and what they say of the local clock.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	timeserv=$TCPLAB_BIN/timeserv
}

client() {
	"$timeserv" 127.0.0.1 -p "$PORT" "$@"
}

@test "four bytes in network order, since 1900 or 1970, by TCP and UDP" {
	need python3
	local epoch
	for epoch in 1900 1970; do
		start_server "$timeserv" -s -p 0 --epoch $epoch
		run -0 python3 -c "import socket, time
s = socket.create_connection(('127.0.0.1', $PORT)); b = b''
while (more := s.recv(100)): b += more
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5); u.sendto(b'', ('127.0.0.1', $PORT)); d = u.recv(100)
off = 2208988800 if $epoch == 1900 else 0
print(len(b), len(d), *(abs(int.from_bytes(x, 'big') - off - time.time()) < 30 for x in (b, d)))"
		same "epoch $epoch" "$output" "4 4 True True"
		stop_server
	done
}

@test "the client finds the epoch by itself, and its bound holds" {
	local epoch how offset bound
	for epoch in 1900 1970; do
		start_server "$timeserv" -s -p 0 --epoch $epoch
		for how in '' -u; do
			run -0 --separate-stderr client --json $how
			offset=$(ours offset_ns) bound=$(ours offset_bound_ns)
			same "epoch" "$(ours epoch)" $epoch
			# Server and client read one clock: the true offset is 0.
			[ "${offset#-}" -le "$bound" ]
			[ "$bound" -ge 500000000 ]
		done
		run -0 --separate-stderr client
		[[ $output == *"(epoch $epoch)"* ]]
		stop_server
	done
}

# answering HEX: a server that sends just these bytes, one by one, with time to read each by itself
answering() {
	start_server python3 -u -c "
import socket, sys, time
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
s, _ = l.accept()
for b in bytes.fromhex('$1'):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); s.sendall(bytes([b])); time.sleep(0.05)
s.close()"
}

@test "a clock that is wrong shows, also beyond 2036; bytes may come one by one" {
	need python3
	answering "$(python3 -c "import time; print('%08x' % ((int(time.time()) + 3600 + 2208988800) % 2**32))")"
	run -0 --separate-stderr client --json --epoch 1900
	local offset
	offset=$(ours offset_ns)
	[ "$offset" -gt 3500000000000 ] && [ "$offset" -lt 3700000000000 ]
	wait_server
	# Twelve years on the 32 bits have gone round.
	answering "$(python3 -c "import time; print('%08x' % ((int(time.time()) + 12 * 31556952 + 2208988800) % 2**32))")"
	run -0 --separate-stderr client --json --epoch 1900
	[ "$(ours offset_ns)" -gt 378000000000000000 ]
	wait_server
}

@test "more or fewer than four bytes are an error" {
	need python3
	answering 010203
	run -1 --separate-stderr client
	one_line_with "before it had sent four bytes"
	wait_server
	answering 0102030405
	run -1 --separate-stderr client
	one_line_with "more than four bytes"
	wait_server
}
