#!/usr/bin/env bats
# bulkecho: where every byte is when nothing moves, the fix, the search, other servers, usage, reports. Other people's programs
# are in tests/interop/endings.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	bulkecho=$TCPLAB_BIN/bulkecho
	SMALL=(--sndbuf 32K --rcvbuf 32K --patience 250ms)
	PATIENT=(--sndbuf 32K --rcvbuf 32K --patience 10s) # where there is no deadlock: no machine is that slow
}

# tries STATUS WORDS...: with --json, nothing on stderr.
tries() {
	local expected=$1
	shift
	run --separate-stderr "$bulkecho" "$@" --json
	echo "bulkecho $*: status $status"
	echo "$output"
	same stderr "$stderr" ''
	same status "$status" "$expected"
}

# Each byte is in one place, and the server has at most one piece in its hand.
conserved() {
	same conserved "$(ours conserved)" true
	same "client wrote" "$(ours client_written_bytes)" \
		$(($(ours server_read_bytes) + $(ours client_send_queue_bytes) + $(ours server_receive_queue_bytes)))
	same "server wrote" "$(ours server_written_bytes)" \
		$(($(ours client_read_bytes) + $(ours server_send_queue_bytes) + $(ours client_receive_queue_bytes)))
	[ "$(ours server_read_bytes)" -ge "$(ours server_written_bytes)" ]
	[ $(($(ours server_read_bytes) - $(ours server_written_bytes))) -le 4096 ]
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$bulkecho" --help
	[[ $output == *"usage: bulkecho"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$bulkecho" --version
	[[ $output == "bulkecho (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in 'a b' '--find --fixed' '--bytes x' '--bytes 2T' '--sndbuf 0' '--rcvbuf 2G' '-p 65536' '--patience 0' '--hold x' \
		'--no-such-option'; do
		echo "bulkecho $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$bulkecho" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the deadlock ---------------------------------------------------------------------------------------------------

@test "writes, then reads: a deadlock, and every byte is found" {
	local bytes
	for bytes in 2M 16M; do
		tries 0 "${SMALL[@]}" --bytes $bytes
		same deadlock "$(ours deadlock)" true
		conserved
		same "client read" "$(ours client_read_bytes)" 0
		local queue
		for queue in client_send client_receive server_send server_receive; do
			[ "$(ours ${queue}_queue_bytes)" -gt 0 ]
		done
		[ "$(ours client_written_bytes)" -lt 2097152 ]
	done
}

@test "with the system's own buffers, too" {
	tries 0 --bytes 256M
	same deadlock "$(ours deadlock)" true
	conserved
}

@test "little to send: it all fits in, and the mistake does not show: status 3" {
	local bytes
	for bytes in 0 1 4096 30000; do
		tries 3 "${PATIENT[@]}" --bytes $bytes
		same deadlock "$(ours deadlock)" false
		conserved
		same right "$(ours right_bytes)" $bytes
		same read "$(ours client_read_bytes)" $bytes
	done
}

@test "--fixed: any size, any buffers" {
	local bytes
	for bytes in 0 1 65536 65537 10000001; do
		tries 0 "${PATIENT[@]}" --fixed --bytes $bytes
		same deadlock "$(ours deadlock)" false
		conserved
		same right "$(ours right_bytes)" $bytes
	done
	tries 0 --fixed --patience 10s
	same right "$(ours right_bytes)" 67108864
	tries 0 --fixed --bytes 1M --sndbuf 1 --rcvbuf 1 --patience 10s
	same right "$(ours right_bytes)" 1048576
}

@test "--find: the border lies between the most that passed and the least that did not" {
	tries 0 "${SMALL[@]}" --find --bytes 4M
	local passed stuck
	passed=$(ours passed_bytes) stuck=$(ours stuck_bytes)
	[ "$passed" -gt 30000 ]
	[ "$stuck" -gt "$passed" ]
	[ $((stuck - passed)) -le 4096 ]
	same trials "$(ours trials)" "$(grep -c '"record":"trial"' <<<"$output")"
	grep -qF "\"bytes\":$passed,\"deadlock\":false" <<<"$output"
	grep -qF "\"bytes\":$stuck,\"deadlock\":true" <<<"$output"
}

@test "--find: everything passes: status 3" {
	tries 3 --find --bytes 1000 --patience 10s
	same passed "$(ours passed_bytes)" 1000
	same stuck "$(ours stuck_bytes)" null
}

# --- other people's servers -----------------------------------------------------------------------------------------

@test "an echo server of this toolkit: the same, and the half that can be seen" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	tries 0 127.0.0.1 -p "$PORT" --patience 1s
	same deadlock "$(ours deadlock)" true
	same "the server's" "$(ours server_read_bytes) $(ours server_send_queue_bytes) $(ours conserved)" 'null null null'
	[ "$(ours client_send_queue_bytes)" -gt 0 ]
	tries 0 127.0.0.1 -p "$PORT" --fixed --patience 10s
	same right "$(ours right_bytes)" 67108864
}

# serve CODE: a server in python with connection c; its port is in $PORT.
serve() {
	cat >"$BATS_TEST_TMPDIR/server.py" <<-END
		import socket, struct, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		c, _ = l.accept()
		$1
	END
	start_server python3 "$BATS_TEST_TMPDIR/server.py"
}

@test "an echo that is wrong, or short, is status 3; a reset is status 1" {
	need python3
	serve 'while (b := c.recv(65536)): c.sendall(b.replace(b[:1], b"?"))'
	tries 3 127.0.0.1 -p "$PORT" --fixed --bytes 100K
	same read "$(ours client_read_bytes)" 102400
	same right "$(ours right_bytes)" 0
	wait_server
	serve 'at = 0
while (b := c.recv(65536)):
    if at <= 50000 < at + len(b): b = b[:50000 - at] + bytes([b[50000 - at] ^ 1]) + b[50001 - at:]
    at += len(b)
    c.sendall(b)'
	tries 3 127.0.0.1 -p "$PORT" --fixed --bytes 1M
	same read "$(ours client_read_bytes)" 1048576
	same "right, up to the one byte" "$(ours right_bytes)" 50000
	wait_server
	serve 'c.sendall(c.recv(10)); c.shutdown(1); c.recv(10)
while c.recv(65536): pass'
	tries 3 127.0.0.1 -p "$PORT" --fixed --bytes 1000
	same read "$(ours client_read_bytes)" 10
	same right "$(ours right_bytes)" 10
	wait_server
	serve 'c.recv(10); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'
	run -1 --separate-stderr "$bulkecho" 127.0.0.1 -p "$PORT" --fixed --json
	[[ $(ours errno error) == @(ECONNRESET|EPIPE) ]]
	wait_server
}

@test "nobody listens: status 1, an error record" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	stop_server
	run -1 --separate-stderr "$bulkecho" 127.0.0.1 -p "$PORT" --json
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text: what happened, and two sums" {
	run -0 --separate-stderr "$bulkecho" "${SMALL[@]}" --bytes 2M
	same stderr "$stderr" ''
	same lines "${#lines[@]}" 3
	[[ ${lines[0]} == 'writes, then reads: deadlock, seen after '* ]]
	[[ ${lines[1]} =~ ^'client wrote '([0-9]+)' = '([0-9]+)' read by the server + '([0-9]+)" in the client's send queue + "([0-9]+) ]]
	same sum "${BASH_REMATCH[1]}" $((BASH_REMATCH[2] + BASH_REMATCH[3] + BASH_REMATCH[4]))
	run -0 "$bulkecho" --fixed --bytes 1M
	[[ ${lines[0]} == 'reads while it writes: all sent and received after '* ]]
}

@test "--hold: the deadlock stays, and SIGINT and SIGTERM end it: 130 and 143, with the report" {
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f out
		"$bulkecho" "${SMALL[@]}" --hold 1h --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q start out
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same records "$(grep -c '"record":"total"' out)" 1
		same stderr "$(cat err)" ''
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$bulkecho' --fixed > /dev/full"
}
