#!/usr/bin/env bats
# sender: the endings, what arrives and what the kernel counts; a lingering close and those who wait; files for other programs;
# peers that misbehave; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

all=262144 # bytes, unless something else is said

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	sender=$TCPLAB_BIN/sender
}

# fetch OPTION...: a client of the server at $PORT; its records are in $output, its status in $status.
fetch() {
	run --separate-stderr "$sender" 127.0.0.1 -p "$PORT" --json "$@"
	echo "client: $*: status $status"
	echo "$output$stderr"
}

# served KEY: of the last connection of the last server.
served() {
	field "$1" connection <"$SERVER_OUT"
}

# lost_tail: more than half is lost, with a reset; what was lost was not acknowledged when the server closed.
lost_tail() {
	same status "$status" 0
	same end "$(ours server_end)" rst
	same errno "$(ours errno)" ECONNRESET
	same complete "$(ours complete)" false
	same sum "$(($(ours received_bytes) + $(ours lost_bytes)))" $all
	same right "$(ours right_bytes)" "$(ours received_bytes)"
	[ "$(ours lost_bytes)" -gt $((all / 2)) ]
	[ "$(ours lost_bytes)" -le "$(served unacknowledged_bytes)" ]
	same "taken by the kernel" "$(served sent_bytes)" $all
	same "what close said" "$(served close_result)" 0
	same "the server's errno" "$(served errno)" null
}

# python CODE: with p, the port, and connect(), which gives a connection to the server.
python() {
	python3 - "$PORT" <<-END
		import os, select, socket, struct, sys, time
		p = int(sys.argv[1])
		def connect():
		    return socket.create_connection(("127.0.0.1", p), timeout=60)
		def reset(s):
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		    s.close()
		def read(s):
		    data = b""
		    while True:
		        d = s.recv(1 << 20)
		        if not d:
		            return data
		        data += d
		$1
	END
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$sender" --help
	[[ $output == *"usage: sender"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$sender" --version
	[[ $output == "sender (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '-s a b' 'localhost a b' '-s --close never' '-s --close naive --fixed' 'localhost --close naive' \
		'localhost --on-request' 'localhost --read-request' '-s --late' '-s --second' '-s --until ended' 'localhost --until now' 'localhost --late' 'localhost -1' \
		'localhost --bind ::1' 'localhost -p 0' '-s -p 65536' '-s -4 -6' '-s --bytes x' '-s --linger 0' \
		'localhost --timeout 0' '-s --no-such-option'; do
		echo "sender $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$sender" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens, no such file, no regular file: status 1, an error record" {
	start_server "$sender" -s -p 0
	stop_server
	fetch
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
	mkfifo fifo
	local file
	local -A expected=([nowhere]=ENOENT [.]=EISDIR [fifo]=ESPIPE)
	for file in "${!expected[@]}"; do
		run -1 --separate-stderr "$sender" -s -p 0 --json "$file"
		same "errno of $file" "$(ours errno error)" "${expected[$file]}"
		one_line_with "$file" "${expected[$file]}"
	done
}

# --- the endings ----------------------------------------------------------------------------------------------------

@test "naive, linger, shutdown: one unread byte, and the tail is lost; the kernel counts an abort" {
	local how
	for how in naive linger shutdown; do
		start_server "$sender" -s -1 -p 0 --on-request --close $how --json
		fetch --until closed --delay 0
		wait_server
		lost_tail
		same close "$(served close)" $how
		same unread "$(served unread_bytes)" 1
		[ "$(served abort_on_close)" -gt 0 ]
		[ "$(served resets_sent)" -gt 0 ]
	done
}

@test "linger0: lost with nothing unread, and counted in another way" {
	start_server "$sender" -s -1 -p 0 --close linger0 --read-request --json
	fetch --until closed --delay 0
	wait_server
	lost_tail
	same unread "$(served unread_bytes)" 0
	[ "$(served abort_on_data)" -gt 0 ]
}

@test "naive: a server that reads the request loses nothing, as long as no more comes" {
	start_server "$sender" -s -1 -p 0 --read-request --json
	fetch --until closed --delay 0 --fixed
	wait_server
	same status "$status" 0
	same unread "$(served unread_bytes)" 0
}

@test "naive: a client that said nothing gets everything, and that is status 3" {
	start_server "$sender" -s -1 -p 0 --json
	fetch --until closed --delay 0 --request 0
	wait_server
	same status "$status" 3
	same complete "$(ours complete)" true
	same end "$(ours server_end)" fin
	[ "$(served unacknowledged_bytes)" -gt $((all / 2)) ]
}

@test "naive: a byte that comes after the close does the same" {
	start_server "$sender" -s -p 0 --json
	fetch --until closed --late --delay 0
	lost_tail
	same unread "$(served unread_bytes)" 0
	stop_server
	same aborts "$(($(field abort_on_data <"$SERVER_OUT") > 0))" 1
}

@test "--fixed: every byte of any length, whatever the client says, and whenever" {
	local bytes
	for bytes in 0 1 65535 65536 65537 3000000; do
		start_server "$sender" -s -1 -p 0 --fixed --bytes $bytes --json
		fetch --fixed --bytes $bytes --delay 0 --request 100000
		wait_server
		same "status of $bytes" "$status" 0
		same received "$(ours received_bytes)" $bytes
		same right "$(ours right_bytes)" $bytes
		same end "$(ours server_end)" fin
		same drained "$(served drained_bytes)" 100000
		same "not acknowledged" "$(served unacknowledged_bytes)" 0
		same errno "$(served errno)" null
	done
	start_server "$sender" -s -1 -p 0 --close safe --json
	fetch --fixed --until ended --late --delay 0
	wait_server
	same "status of a late byte" "$status" 0
	same drained "$(served drained_bytes)" 1
}

@test "linger: the close waits, and a second client with it; --fixed: nobody waits" {
	start_server "$sender" -s -p 0 --close linger --json
	fetch --until ended --request 0 --second --delay 300ms
	same status "$status" 0
	same "lost by the first" "$(ours lost_bytes)" 0
	same "second one served meanwhile" "$(ours second_in_pause)" false
	[ "$(ours second_wait_ns)" -ge 300000000 ]
	stop_server
	[ "$(grep -m 1 '"record":"connection"' "$SERVER_OUT" | field close_ns connection)" -ge 300000000 ]
	start_server "$sender" -s -p 0 --fixed --json
	fetch --until ended --request 0 --second --delay 2s --fixed
	same status "$status" 0
	same "second one served meanwhile" "$(ours second_in_pause)" true
	same "second one has all" "$(ours second_complete)" true
	stop_server
}

@test "linger: its time is over before all is delivered, and close(2) says 0" {
	start_server "$sender" -s -1 -p 0 --close linger --linger 1s --json
	fetch --until closed --request 0 --delay 0
	same lost "$(ours lost_bytes)" 0
	wait_server
	same result "$(served close_result)" 0
	[ "$(served close_ns)" -ge 900000000 ]
	[ "$(served unacknowledged_bytes)" -gt $((all / 2)) ]
}

# --- files, for other programs --------------------------------------------------------------------------------------

@test "FILE for nc, curl and our client, each gets all of it" {
	need nc curl
	head -c 1234567 /dev/urandom >file
	start_server "$sender" -s -p 0 --fixed --json file
	nc -N 127.0.0.1 "$PORT" </dev/null >by-nc
	cmp file by-nc
	curl --silent --http0.9 "http://127.0.0.1:$PORT/" >by-curl
	cmp file by-curl
	fetch --fixed --delay 0 file
	same status "$status" 0
	same bytes "$(ours right_bytes)" 1234567
	printf X | dd of=file bs=1 seek=1000000 conv=notrunc status=none
	cp by-nc other
	fetch --fixed --delay 0 other
	same "status of another file" "$status" 3
	same right "$(ours right_bytes)" 1000000
	same received "$(ours received_bytes)" 1234567
	stop_server
	same connections "$(field connections <"$SERVER_OUT")" 4
}

@test "IPv6" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	start_server "$sender" -s -1 -p 0 -6 --on-request
	run --separate-stderr "$sender" ::1 -p "$PORT" --until closed --delay 0 --json
	echo "$output$stderr"
	same status "$status" 0
	same end "$(ours server_end)" rst
	wait_server
}

# --- peers that misbehave -------------------------------------------------------------------------------------------

@test "a hundred clients at once, resets, talkers and silent ones: the others get everything" {
	need python3
	start_server "$sender" -s -p 0 --fixed --timeout 60 --json
	python '
crowd = [connect() for i in range(100)]
reset(crowd.pop())
crowd[0].shutdown(socket.SHUT_WR)
crowd[1].sendall(b"x" * 100000)
wanted = read(crowd[0])
assert len(wanted) == 262144, len(wanted)
for s in crowd[1:]:
    s.shutdown(socket.SHUT_WR)
    assert read(s) == wanted
'
	fetch --fixed --delay 0
	same status "$status" 0
	stop_server
	same connections "$(field connections <"$SERVER_OUT")" 101
	# it was reset before anything was sent to it, or in the middle
	same "ended by an accident" "$(grep -cE '"errno":"(ECONNRESET|EPIPE)"' "$SERVER_OUT")" 1
}

both_given_up() {
	[ "$(grep -c ETIMEDOUT "$SERVER_OUT")" -eq 2 ]
}

@test "who takes nothing, never ends, or never stops talking is given up after --timeout" {
	need python3
	start_server "$sender" -s -p 0 --fixed --timeout 2s --bytes 8M --json
	python '
stuck = connect()
stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
silent = connect()
n = 0
while n < 1 << 23:
    n += len(silent.recv(1 << 20))
begin = time.monotonic()
try:
    while time.monotonic() < begin + 60:
        silent.sendall(b"and another thing")
        time.sleep(0.001)
    sys.exit("the talker was not given up")
except OSError: # a reset, seen by whichever call
    pass
# no clean end for half of it
p = select.poll()
p.register(stuck, 0)
assert p.poll(60000), "no reset"
'
	wait_until both_given_up
	stop_server
	start_server "$sender" -s -1 -p 0 --on-request --timeout 200ms --json
	python '
s = connect()
try:
    sys.exit("an end: %r" % s.recv(10))
except ConnectionResetError:
    pass
'
	wait_server
	same errno "$(served errno)" ETIMEDOUT
	same sent "$(served sent_bytes)" 0
}

# serve_reply CODE: a server in python for one connection, c; its port is in $PORT.
serve_reply() {
	cat >server.py <<-END
		import socket, struct, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		c, _ = l.accept()
		c.recv(1)
		$1
	END
	start_server python3 server.py
}

@test "a client of a server that sends something else, more, nothing, or no end" {
	need python3
	serve_reply 'c.close()'
	fetch --fixed --delay 0
	same "status without a byte" "$status" 3
	same end "$(ours server_end)" fin
	same lost "$(ours lost_bytes)" $all
	wait_server
	serve_reply 'c.sendall(b"nonsense"); c.close()'
	fetch --fixed --delay 0 --bytes 8
	same "status of nonsense" "$status" 3
	same "received, right" "$(ours received_bytes) $(ours right_bytes)" '8 0'
	wait_server
	"$sender" -s -1 -p 0 --bytes 9 --fixed --json >nine 2>nine.log 3>&- &
	local nine=$!
	wait_until grep -q listening nine.log
	PORT=$(sed 's/.*://' nine.log)
	fetch --fixed --delay 0 --bytes 8
	same "status of a byte too many" "$status" 3
	same complete "$(ours complete)" false
	wait $nine
	serve_reply 'sys.stdin.read(); c.recv(1)'
	fetch --fixed --delay 0 --timeout 200ms
	same "status without an end" "$status" 3
	same errno "$(ours errno)" ETIMEDOUT
	same end "$(ours server_end)" none
	wait_server
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of server and client" {
	start_server "$sender" -s -1 -p 0 --on-request
	run -0 --separate-stderr "$sender" 127.0.0.1 -p "$PORT" --until closed --delay 0
	[[ $output == +([0-9])' of 262144 bytes arrived, '+([0-9])' right, '+([0-9])" lost; the server's end: rst, Connection reset by peer" ]]
	wait_server
	local text
	text=$(cat "$SERVER_OUT")
	[[ $text == *': 262144 of 262144 bytes taken by the kernel; its ending: naive'* ]]
	[[ $text == *"1 of the client's not read"* ]]
	[[ $text == *'close(2) said 0'*'TcpExtTCPAbortOnClose +'* ]]
}

@test "each line of --json is a record" {
	need python3
	start_server "$sender" -s -1 -p 0 --fixed --json
	fetch --fixed --delay 0
	wait_server
	python3 -c 'import json, sys
records = [json.loads(line) for line in sys.stdin]
assert all(r["schema"] == "tcplab.sender/1" for r in records)
assert [r["record"] for r in records] == ["start", "connection", "total", "total"], records' <<<"$(cat "$SERVER_OUT")
$output"
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	start_server "$sender" -s -p 0 --fixed --json
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f err
		"$sender" 127.0.0.1 -p "$PORT" --delay 1h --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q 'send(.*) = 1' err
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same received "$(field received_bytes <out)" 0
	done
	hold x
	stop_server
	same "server's status" "$SERVER_STATUS" 143
	same interrupted "$(field interrupted <"$SERVER_OUT")" true
	let_all_go
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$sender" -s -p 0 --fixed
	run -1 bash -c "'$sender' 127.0.0.1 -p $PORT --fixed --delay 0 > /dev/full"
}
