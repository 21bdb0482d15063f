#!/usr/bin/env bats
# closewait: what the server forgets and what it closes, who ends which state, the last descriptor, peers of every kind, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	closewait=$TCPLAB_BIN/closewait
}

# serve OPTION...: a server, at $PORT.
serve() {
	start_server "$closewait" -s -p 0 --json "$@"
}

# visit OPTION...: a client of it; its records are in $output, its status in $status.
visit() {
	run --separate-stderr "$closewait" 127.0.0.1 -p "$PORT" --json "$@"
	echo "client: $*: status $status"
	echo "$output$stderr"
}

# served KEY: of the server, which has ended.
served() {
	field "$1" <"$SERVER_OUT"
}

# have_ended N: so many clients, as the server has seen them.
have_ended() {
	[ "$(grep -c '"record":"ended"' "$SERVER_OUT")" -ge "$1" ]
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help: status 0, on stdout" {
	run -0 --separate-stderr "$closewait" --help
	[[ $output == *"usage: closewait"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '-s localhost' 'a b' 'localhost -1' 'localhost --descriptors 20' '-s --watch 1' '-s --fin-timeout 1' \
		'-s --descriptors 7' 'localhost -n 0' 'localhost -n 20001' 'localhost --watch x' '-4 -6 localhost' 'localhost -p 0'; do
		echo "closewait $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$closewait" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens: status 1, an error record; more descriptors than allowed: the same" {
	serve
	stop_server
	visit
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
	run --separate-stderr bash -c "ulimit -n 30; exec '$closewait' -s -p 0 --descriptors 31 --json"
	same status "$status" 1
	same errno "$(ours errno error)" EPERM
}

# --- what stays -----------------------------------------------------------------------------------------------------

@test "the server with the mistake: a connection in CLOSE-WAIT for each client, with a descriptor" {
	serve
	local before after
	before=$(find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l)
	visit -n 10
	same status "$status" 0
	same answered "$(ours answered)" 10
	same "close_wait" "$(ours close_wait)" 10
	same "fin_wait" "$(ours fin_wait)" 10
	same "the server's own count, at the last answer" "$(ours held)" 9
	after=$(find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l)
	same descriptors "$((after - before))" 10
	wait_until have_ended 10
	stop_server
	same held "$(served held)" 10
	same ended "$(served ended)" 10
	same "first late sends" "$(served late_sends_ok)" 10
	same "second late sends" "$(served late_sends_epipe)" 10
	same "records of clients" "$(grep -c '"record":"ended"' "$SERVER_OUT")" 10
}

@test "--fixed: none; who judges by the other rule says 3" {
	serve --fixed
	visit -n 10 --fixed
	same status "$status" 0
	same answered "$(ours answered)" 10
	same "close_wait, fin_wait" "$(ours close_wait) $(ours fin_wait)" '0 0'
	same held "$(ours held)" 0
	stop_server
	same held "$(served held)" 0
	same ended "$(served ended)" 10
	same "late sends" "$(served late_sends_ok) $(served late_sends_epipe)" '0 0'
	serve
	visit -n 2 --fixed
	same "status of --fixed at a server with the mistake" "$status" 3
	same "close_wait" "$(ours close_wait)" 2
}

@test "a client that expects the mistake, at a server without it: 3" {
	serve --fixed
	visit -n 2
	same status "$status" 3
	same "close_wait" "$(ours close_wait)" 0
}

@test "our ends go after --fin-timeout, the server's do not; the system's timeout is longer" {
	serve
	visit -n 5 --fin-timeout 1 --watch 30
	same status "$status" 0
	same "fin_wait_after" "$(ours fin_wait_after)" 0
	same "close_wait_after" "$(ours close_wait_after)" 5
	[ "$(ours fin_wait_gone_after_ns)" -gt 500000000 ]
	stop_server
	serve
	[ "$(cat /proc/sys/net/ipv4/tcp_fin_timeout)" -ge 20 ] || skip "tcp_fin_timeout is short here"
	visit -n 5 --watch 1500ms
	same status "$status" 0
	same "fin_wait_after" "$(ours fin_wait_after)" 5
	same "gone" "$(ours fin_wait_gone_after_ns)" null
	same "close_wait_after" "$(ours close_wait_after)" 5
}

@test "--descriptors: as many are answered as were free, and the next one meets silence" {
	export ASAN_OPTIONS=detect_leaks=0 # that needs descriptors itself
	serve --descriptors 20
	visit --timeout 3
	same status "$status" 0
	same silent "$(ours silent)" 1
	same "not accepted" "$(ours not_accepted)" 1
	local answered
	answered=$(ours answered)
	stop_server
	same "answered, free before" "$answered" "$(served descriptors_free)"
	same connections "$(served connections)" "$answered"
	[ "$(served accept_failures)" -gt 0 ]
	[ "$(served accept_failures)" -lt 100 ] # it does not spin
	same "said once" "$(grep -c EMFILE "$SERVER_LOG")" 1
	serve --descriptors 20 --fixed
	visit --fixed
	same status "$status" 0
	same answered "$(ours answered)" 50
}

# --- peers ----------------------------------------------------------------------------------------------------------

@test "any client: lines in pieces, a reset, no line at all, one that does not read" {
	need python3
	serve
	python3 - "$PORT" <<-'END'
		import socket, struct, sys
		to = ("127.0.0.1", int(sys.argv[1]))
		s = socket.create_connection(to)
		s.sendall(b"hel")
		s.sendall(b"lo\n")
		f = s.makefile("rb")
		assert f.readline() == b"visitor 1; 0 are gone and still held\n"
		s.sendall(b"again\n")
		assert f.readline() == b"visitor 1; 0 are gone and still held\n"
		f.close()
		s.close()
		s = socket.create_connection(to)        # a reset is no end that could be overlooked
		s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		s.close()
		s = socket.create_connection(to)
		s.sendall(b"x" * 3000000)
		s.close()
		s = socket.create_connection(to)        # asks, and reads nothing
		s.settimeout(10)
		try:
		    for i in range(10000):
		        s.sendall(b"?\n" * 1000)
		except (ConnectionError, BrokenPipeError):
		    print("closed")
	END
	visit -n 1
	same held "$(ours held)" 2
	wait_until have_ended 3
	stop_server
	same held "$(served held)" 3
	same connections "$(served connections)" 5
}

@test "a server that is silent, ends too early, never ends its line: the client ends, and says so" {
	need python3
	local code patience
	declare -A errno_of=()
	for code in 'pass' 'c.close()' 'c.sendall(b"x" * 100000)'; do
		cat >server.py <<-END
			import socket, sys, time
			l = socket.create_server(("127.0.0.1", 0))
			print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
			c, _ = l.accept()
			c.recv(100)
			$code
			time.sleep(20)
		END
		start_server python3 server.py
		patience=()
		[ "$code" != pass ] || patience=(--timeout 300ms)
		visit -n 3 "${patience[@]}"
		stop_server
		errno_of[$code]=$(ours errno)
		same answered "$(ours answered)" 0
		same status "$status" 3
	done
	same "silent" "${errno_of[pass]}" null
	same "early end" "${errno_of['c.close()']}" EPROTO
	same "endless line" "${errno_of['c.sendall(b"x" * 100000)']}" EPROTO
}

@test "IPv6, and -1: one client, then the end" {
	start_server "$closewait" -s -p 0 -6 -1 --json
	run --separate-stderr "$closewait" ::1 -p "$PORT" -n 1 --json
	echo "$output$stderr"
	same answered "$(ours answered)" 1
	wait_server
	same "the server's status" "$SERVER_STATUS" 0
	same held "$(served held)" 1
	same interrupted "$(served interrupted)" false
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of client and server" {
	start_server "$closewait" -s -p 0
	run -0 "$closewait" 127.0.0.1 -p "$PORT" -n 3 --watch 10ms
	same visits "${lines[0]}" 'visits:       3 of 3 answered'
	same theirs "${lines[1]}" 'their end:    3 in CLOSE-WAIT (and 0 that were never accepted)'
	same ours "${lines[2]}" 'our end:      3 in FIN-WAIT-2, 0 in TIME-WAIT'
	wait_until grep -q ' is forgotten; 3 are gone and still held$' "$SERVER_OUT"
	stop_server
	same "last line" "$(tail -n 1 "$SERVER_OUT")" 'goodbye: 3 of 3 sends were well; of the second ones 3 are told EPIPE'
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	serve
	local signal round=0
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		"$closewait" 127.0.0.1 -p "$PORT" -n 2 --watch 60 --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until have_ended $((round += 2))
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
	done
	stop_server
	same "the server's status" "$SERVER_STATUS" 143
	same interrupted "$(served interrupted)" true
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	serve
	run -1 bash -c "'$closewait' 127.0.0.1 -p $PORT -n 1 > /dev/full"
}
