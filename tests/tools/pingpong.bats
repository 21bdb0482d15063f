#!/usr/bin/env bats
# pingpong: messages to and fro are counted, once each.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	pingpong=$TCPLAB_BIN/pingpong
}

client() {
	"$pingpong" 127.0.0.1 -p "$PORT" "$@"
}

@test "--bytes: exactly so many messages, each of them back" {
	start_server "$pingpong" -s -p 0 --json
	run -0 --separate-stderr client --length 100 --bytes 10000 -c 3 --json
	same "messages, bytes" "$(ours messages) $(ours bytes) $(ours bytes_out)" "300 30000 30000"
	stop_server
	same "the server's bytes" "$(field bytes <"$SERVER_OUT")" 30000
}

@test "--time is the time that was asked for; percentiles are in order" {
	start_server "$pingpong" -s -p 0
	run -0 --separate-stderr client -c 10 --time 0.3 --json
	same "elapsed_ns" "$(ours elapsed_ns)" 300000000
	run -0 --separate-stderr client -c 10 --bytes 64K --json
	same "messages" "$(ours messages)" 10240
	[ "$(ours rtt_min_ns)" -le "$(ours rtt_p50_ns)" ]
	[ "$(ours rtt_p50_ns)" -le "$(ours rtt_p90_ns)" ]
	[ "$(ours rtt_p90_ns)" -le "$(ours rtt_p99_ns)" ]
	[ "$(ours rtt_p99_ns)" -le "$(ours rtt_max_ns)" ]
	run -0 --separate-stderr client --bytes 6400
	[[ ${lines[1]} == *" messages of 64 bytes: "*" messages/s; there and back: min "* ]]
}

@test "messages larger than any buffer, on every loop" {
	local backend
	for backend in epoll poll select; do
		TCPLAB_BACKEND=$backend start_server "$pingpong" -s -p 0
		TCPLAB_BACKEND=$backend run -0 --separate-stderr client --length 3M --bytes 12M -c 2 --json
		same "messages on $backend" "$(ours messages)" 8
		stop_server
	done
}

@test "--busy-poll works in both roles" {
	start_server "$pingpong" -s -p 0 --busy-poll
	run -0 --separate-stderr client --busy-poll --bytes 64K --json
	same "messages" "$(ours messages)" 1024
}

@test "a server that ends, or sends more than it got, is an error" {
	need python3
	local how
	for how in end more; do
		start_server python3 -u -c "
import socket, sys
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
s, _ = l.accept(); b = s.recv(100)
if '$how' == 'more': s.sendall(b + b'x')
s.shutdown(socket.SHUT_WR); s.settimeout(10)
try:
    while s.recv(100): pass
except OSError: pass"
		run -1 --separate-stderr client --bytes 640
		one_line_with "$([ $how = end ] && echo 'ended the connection' || echo 'more came back')"
		wait_server
	done
}
