#!/usr/bin/env bats
# discard: reads all of it, or slowly; the client knows that all of it was read.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	discard=$TCPLAB_BIN/discard
}

client() {
	"$discard" 127.0.0.1 -p "$PORT" "$@"
}

@test "what the client says was sent, the server says was read" {
	start_server "$discard" -s -p 0 --json
	run -0 --separate-stderr client --bytes 300M -c 3 --json
	same "sent" "$(ours bytes)" $((3 * 300 * 1048576))
	stop_server
	same "read" "$(field bytes <"$SERVER_OUT")" $((3 * 300 * 1048576))
}

@test "--time: the client finishes in order, and all was read" {
	start_server "$discard" -s -p 0 --json
	run -0 --separate-stderr client --time 0.3 --json
	local sent
	sent=$(ours bytes)
	stop_server
	same "read" "$(field bytes <"$SERVER_OUT")" "$sent"
	same "ended by an error" "$(field failed <"$SERVER_OUT")" 0
}

@test "--rate is a slow reader: the window closes, the sender waits" {
	start_server "$discard" -s -p 0 --rate 2MB/s --rcvbuf 32K --json
	local since=${EPOCHREALTIME/[.,]/}
	run -0 --separate-stderr client --bytes 1M --sndbuf 32K --json
	# 1 MiB at 2 MB/s: the client cannot be through before the server has read it, whose clock begins with the connection.
	[ $((${EPOCHREALTIME/[.,]/} - since)) -ge 450000 ]
	same "sent" "$(ours bytes)" 1048576
}

@test "a server that ends too early is an error" {
	need python3
	start_server python3 -u -c "
import socket, sys
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
s, _ = l.accept(); s.recv(10); s.shutdown(socket.SHUT_WR)
while s.recv(65536): pass"
	run -1 --separate-stderr client --time 5 --json
	one_line_with "ended before"
}

# The server has taken all that came by UDP: column 5 of /proc/net/udp is "tx:rx", in bytes.
udp_queue_is_empty() {
	awk -v port="$(printf ':%04X' "$PORT")" 'index($2, port) { split($5, queue, ":"); n++; left += queue[2] != "00000000" }
		END { exit n == 0 || left }' /proc/net/udp
}

@test "UDP: read and never answered" {
	need python3
	start_server "$discard" -s -p 0 --json
	run -0 --separate-stderr client -u -n 7 --json
	same "sent" "$(ours sent) $(ours received)" "7 0"
	run -0 python3 -c "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.3); s.sendto(b'hello', ('127.0.0.1', $PORT))
try: s.recv(100); print('answered')
except TimeoutError: print('silence')"
	same "answer" "$output" silence
	wait_until udp_queue_is_empty
	stop_server
	same "counted" "$(field udp_received <"$SERVER_OUT")" 8
}
