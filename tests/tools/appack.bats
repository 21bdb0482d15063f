#!/usr/bin/env bats
# appack: what a client knows with and without answers, beside what is done; crashes, numbers, hostile peers; usage, reports,
# signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	appack=$TCPLAB_BIN/appack
}

# serve OPTION...: a server at $PORT.
serve() {
	start_server "$appack" -s -p 0 --json "$@"
}

# ask OPTION...: a client of it; its records are in $output, its status in $status.
ask() {
	run --separate-stderr "$appack" 127.0.0.1 -p "$PORT" --json "$@"
	echo "client: $*: status $status"
	echo "$output$stderr"
}

# truth DONE TWICE KNOWN CRASHES: of the server, which is ended.
truth() {
	stop_server
	cat "$SERVER_OUT"
	same "done" "$(field 'done' <"$SERVER_OUT")" "$1"
	same "done twice" "$(field done_twice <"$SERVER_OUT")" "$2"
	same known "$(field known <"$SERVER_OUT")" "$3"
	same crashes "$(field crashes <"$SERVER_OUT")" "$4"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$appack" --help
	[[ $output == *"usage: appack"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$appack" --version
	[[ $output == "appack (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '-s localhost' 'a b' '-s --drain' '-s --give-up' 'localhost --crash-at 3' 'localhost --after' '-s --after' \
		'localhost --drain --fixed' 'localhost --give-up' '-s --crash-at 0' 'localhost --records 0' 'localhost --window 0' \
		'localhost --window 1001' 'localhost -1' '-s -p 65536' 'localhost -4 -6' 'localhost --no-such-option'; do
		echo "appack $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$appack" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens: status 1, an error record, with answers and without" {
	serve
	stop_server
	local fixed
	for fixed in '' --fixed; do
		ask $fixed
		same status "$status" 1
		same errno "$(ours errno error)" ECONNREFUSED
		one_line_with connect ECONNREFUSED
	done
}

# --- what is known, and what is done --------------------------------------------------------------------------------

@test "without answers: all acknowledged, closed without an error, and 10 of 30 done" {
	local how end
	for how in '' --drain; do
		end=none
		[ -z "$how" ] || end=fin
		serve --crash-at 11
		ask $how
		same status "$status" 0
		same sent "$(ours sent)" 30
		same acknowledged "$(ours kernel_acked_bytes)" 3000
		same queue "$(ours send_queue_bytes)" 0
		same close "$(ours close_result)" 0
		same end "$(ours server_end)" $end
		same "what it knows" "$(ours 'done') $(ours in_doubt) $(ours not_sent)" 'null null null'
		same errno "$(ours errno)" null
		wait_until grep -q '"record":"crash"' "$SERVER_OUT"
		truth 10 0 0 1
	done
}

@test "without a crash: the same words, and 30 done" {
	serve
	ask --drain
	same status "$status" 0
	same acknowledged "$(ours kernel_acked_bytes)" 3000
	truth 30 0 0 0
}

@test "--fixed --give-up: 10 done, 1 in doubt, 19 not sent, whether it died before or after" {
	local after
	for after in '' --after; do
		serve --crash-at 11 $after
		ask --fixed --give-up
		same status "$status" 3
		same "what it knows" "$(ours 'done') $(ours in_doubt) $(ours not_sent)" '10 1 19'
		same "the break" "$(ours 'done' break) $(ours in_doubt break) $(ours not_sent break)" '10 1 19'
		truth $((10 + ${#after} / 7)) 0 0 1
	done
}

@test "--fixed: sent again; a server that does whatever comes does it twice if it died after" {
	serve --crash-at 11
	ask --fixed
	same status "$status" 0
	same "done, again, done before" "$(ours 'done') $(ours sent_again) $(ours done_before)" '30 1 0'
	truth 30 0 0 1
	serve --crash-at 11 --after
	ask --fixed
	same status "$status" 0
	same "done, again, done before" "$(ours 'done') $(ours sent_again) $(ours done_before)" '30 1 0'
	same connections "$(ours connections)" 2
	truth 31 1 0 1
}

@test "--fixed on both sides: nothing twice, wherever it dies" {
	local at
	for at in 1 30; do
		serve --fixed --crash-at $at --after
		ask --fixed
		same status "$status" 0
		same "done, again, done before" "$(ours 'done') $(ours sent_again) $(ours done_before)" '30 1 1'
		truth 30 0 1 1
	done
}

@test "--window: at most so many are in doubt, and still nothing is missing or twice" {
	serve --fixed --crash-at 500 --after
	ask --fixed --records 1000 --window 20
	same status "$status" 0
	[ "$(ours in_doubt break)" -ge 1 ]
	[ "$(ours in_doubt break)" -le 20 ]
	same "done" "$(ours 'done')" 1000
	stop_server
	same "done, twice" "$(field 'done' <"$SERVER_OUT") $(field done_twice <"$SERVER_OUT")" '1000 0'
	[ "$(field known <"$SERVER_OUT")" -ge 1 ]
}

@test "each client has its own numbers, and there may be more of them than the server remembers" {
	serve --fixed
	local i
	for ((i = 0; i < 70; i++)); do
		"$appack" 127.0.0.1 -p "$PORT" --fixed --records 2 >client.out
	done
	truth 140 0 0 0
}

@test "a server that never came to its crash: status 3; -1 ends after the crash" {
	serve -1 --crash-at 11
	ask --records 10
	wait_server
	same status "$SERVER_STATUS" 3
	serve -1 --crash-at 11
	ask
	wait_server
	same status "$SERVER_STATUS" 0
	same crashes "$(field crashes <"$SERVER_OUT")" 1
}

@test "IPv6" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	serve -6 --fixed --crash-at 2 --after
	run -0 "$appack" ::1 -p "$PORT" --fixed --json
	same "done" "$(ours 'done')" 30
	truth 30 0 1 1
}

# --- peers that misbehave -------------------------------------------------------------------------------------------

@test "a server does nothing for garbage, halves, gaps and wrong bytes, and serves the next one" {
	need python3
	serve --fixed --timeout 3s
	# two records as our client sends them: to be sent again, in pieces, and without the first one
	python3 - "$PORT" <<-'END'
		import os, socket, struct, subprocess, sys
		l = socket.create_server(("127.0.0.1", 0))
		appack = os.environ["TCPLAB_BIN"] + "/appack"
		client = subprocess.Popen([appack, "127.0.0.1", "-p", str(l.getsockname()[1]), "--fixed", "--give-up", "--window", "2"],
		    stdout=subprocess.DEVNULL)
		c, _ = l.accept()
		record = c.recv(100, socket.MSG_WAITALL)
		second = c.recv(100, socket.MSG_WAITALL)
		c.close()
		client.wait()
		def talk(data, pieces=False):
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30)
		    try:
		        for i in range(0, len(data), 7 if pieces else len(data)):
		            s.sendall(data[i:i + 7] if pieces else data)
		            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		        s.shutdown(socket.SHUT_WR)
		        answer = b""
		        while True:
		            d = s.recv(1000)
		            if not d:
		                return answer
		            answer += d
		    except OSError: # a reset, seen by whichever call
		        return b""
		def numbered(n):
		    return record[:16] + struct.pack(">Q", n) + record[24:]
		assert talk(b"\xff" * 100000) == b""
		assert talk(b"GET / HTTP/1.0\r\n\r\n") == b""
		assert talk(record[:99]) == b""
		assert talk(record[:99] + b"\x00") == b""
		assert talk(second) == b""
		assert talk(numbered(0)) == b""
		assert talk(numbered((1 << 64) - 1)) == b""
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		s.close()
		silent = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		assert talk(record, pieces=True) == struct.pack(">QQ", 1, 1)
		assert talk(record + record) == struct.pack(">QQ", 1, 2) * 2
	END
	same "told of what is no record" "$(grep -c EPROTO "$SERVER_OUT")" 7
	truth 1 0 2 0
}

# answers CODE: a server in python that says CODE to connection c after a record was read; the listener is closed by then.
answers() {
	cat >server.py <<-END
		import socket, struct, sys, time
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		c, _ = l.accept()
		l.close()
		c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		c.recv(100, socket.MSG_WAITALL)
		$1
	END
	start_server python3 server.py
}

@test "a client believes no answer that is wrong, takes one in pieces, and gives up in the end" {
	need python3
	answers 'c.sendall(struct.pack(">QQ", 2, 1)); c.recv(1)'
	ask --fixed --records 1
	same "status of a wrong number" "$status $(ours errno)" '3 EPROTO'
	wait_server
	answers 'c.sendall(struct.pack(">QQ", 1, 7)); c.recv(1)'
	ask --fixed --records 1
	same "status of a wrong word" "$status $(ours errno)" '3 EPROTO'
	wait_server
	answers '[c.sendall(bytes([b])) for b in struct.pack(">QQ", 1, 1)]; c.recv(1)'
	ask --fixed --records 1
	same "status of pieces" "$status $(ours 'done')" '0 1'
	wait_server
	answers 'c.sendall(struct.pack(">QQ", 1, 1)[:9]); c.close()'
	ask --fixed --records 1 --timeout 1s
	same "status of half an answer" "$status $(ours 'done') $(ours errno)" '3 0 ECONNREFUSED'
	wait_server
	answers 'c.recv(1)'
	ask --fixed --records 1 --timeout 200ms
	same "status of silence" "$status $(ours errno)" '3 ETIMEDOUT'
	wait_server
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of server and client" {
	start_server "$appack" -s -p 0 --crash-at 11 --after --fixed
	run -0 --separate-stderr "$appack" 127.0.0.1 -p "$PORT" --fixed
	same broke "${lines[0]%%(*}${lines[0]##*)}" 'the connection broke : 10 are done, 1 in doubt, 19 not sent'
	same sent "${lines[1]}" '30 of 30 records sent'
	same "done" "${lines[2]}" "the server's program: 30 are done; sent again: 1, of these known to it: 1"
	# --drain: when its end is here the server has done everything
	run -0 --separate-stderr "$appack" 127.0.0.1 -p "$PORT" --drain
	same kernel "${lines[1]}" \
		"the server's kernel: 3000 bytes acknowledged, 0 in the send queue; close(2): 0; its end: fin"
	same program "${lines[2]}" "the server's program: nothing is known"
	stop_server
	same crash "$(sed -n 1p "$SERVER_OUT")" 'the worker died with record 11 in its hands; 11 done'
	same total "$(tail -n 1 "$SERVER_OUT")" 'done: 60, of it a second time: 0; known, and not done again: 1'
}

@test "each line of --json is a record" {
	need python3
	serve --crash-at 11
	ask --fixed
	stop_server
	python3 -c 'import json, sys
for line in sys.stdin:
    assert json.loads(line)["schema"] == "tcplab.appack/1"' <<<"$(cat "$SERVER_OUT")
$output"
}

# worker_of PID: sets $worker; false as long as there is none.
worker_of() {
	worker=$(pgrep -P "$1")
}

# gone PID: it does not run; a zombie for which nobody has waited yet does not.
gone() {
	[ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first; no worker stays, not even after kill -9" {
	local signal server
	local -A expected=([INT]=130 [TERM]=143)
	start_server python3 -c 'import socket, sys
l = socket.create_server(("127.0.0.1", 0))
print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
sys.stdin.read() or __import__("signal").pause()'
	for signal in INT TERM; do
		"$appack" 127.0.0.1 -p "$PORT" --fixed --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q 'send(.*) = 100' err
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same "in doubt" "$(field in_doubt <out)" 1
		rm -f err
	done
	kill "$SERVER_PID"
	for signal in TERM KILL; do
		serve
		server=$SERVER_PID
		local worker=''
		wait_until worker_of "$server"
		kill -$signal "$server"
		wait_server
		wait_until gone "$worker"
	done
	same "the server's report" "$(field interrupted <"$SERVER_OUT" || echo none)" none
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	serve
	run -1 bash -c "'$appack' 127.0.0.1 -p $PORT --fixed > /dev/full"
}
