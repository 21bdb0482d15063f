#!/usr/bin/env bats
# tcprelay: the command line, what is written of each connection and in the end, SIGTERM and SIGHUP. How it treats bytes and ends
# belongs to tests/interop and tests/robust, orders to a running one to tcprelay-status.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # SERVER_PIDS and PORT are set by start_server

load ../helpers

setup() {
	relay=$TCPLAB_BIN/tcprelay
}

# serve: an echo server, and its address in $TARGET.
serve() {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	TARGET=127.0.0.1:$PORT
}

# A relay to $TARGET; its options.
start_relay() {
	start_server "$relay" "$@" 0 "$TARGET"
}

# converse TEXT [PORT]: sends it through the relay to the echo server, and prints what comes back.
converse() {
	printf '%s' "$1" | timeout 60 nc -N 127.0.0.1 "${2:-$PORT}"
}

# open_flow: a connection through the relay on which a byte has gone there and back, as descriptor $FLOW.
open_flow() {
	local byte
	exec {FLOW}<>"/dev/tcp/127.0.0.1/$PORT"
	printf x >&"$FLOW"
	read -r -N 1 -t 60 byte <&"$FLOW"
	same byte "$byte" x
}

close_flow() {
	exec {FLOW}>&-
}

# nobody_there: an address in $TARGET at which nobody listens, and nobody else will. A port that was free a moment ago may be anybody's.
nobody_there() {
	start_server python3 -I -S "$TCPLAB_ROOT/tests/fixtures/netcat_peer.py" --deaf
	TARGET=127.0.0.1:$PORT
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "tcprelay $*"
	run -2 --separate-stderr timeout -k 1 60 "$relay" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

serves_again() {
	[ "$(converse hello)" = hello ]
}

says() {
	grep -q -- "$1" "$SERVER_LOG"
}

prints() {
	grep -q -- "$1" "$SERVER_OUT"
}

# --- usage ------------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$relay" --help
	[[ $output == *"usage: tcprelay"*"--balance"*"--cut-at"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$relay" --version
	[[ $output == "tcprelay (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local args
	for args in '' '0' '0 a:1 b:2 c:3' 'x 127.0.0.1:1' '65536 127.0.0.1:1' '::1:0 127.0.0.1:1' '0 localhost' '0 host:0' '0 host:65536' \
		'0 :80' '0 a:1,' '0 @/nowhere' '--balance x 0 a:1' '--threads 0 0 a:1' '--threads x 0 a:1' '--allow x 0 a:1' \
		'--allow 10.0.0.1/8 0 a:1' '--deny 10.0.0.0/33 0 a:1' '--deny @/nowhere 0 a:1' '--proxy-out v3 0 a:1' '--linger x 0 a:1' \
		'--drain -1 0 a:1' '--buffer 1 0 a:1' '--path x 0 a:1' '--delay x 0 a:1' '--rate 0 0 a:1' '--chunk 0 0 a:1' '--cut-at x 0 a:1' \
		'--cut-at 5:x 0 a:1' '--up delay 0 a:1' '--down nonsense 0 a:1' '--dump x 0 a:1' '-i 0 0 a:1' '-4 -6 0 a:1' \
		'--nodelay --nagle 0 a:1' 'stat' 'top' 'drain' 'set' 'set path' 'stat path word' 'set path nonsense' 'set path up' \
		'set path up delay=x' 'set path delay=1ms,delay=2ms'; do
		# shellcheck disable=SC2086 # words
		refused $args
	done
}

@test "cannot start: one line and status 1" {
	local args
	serve
	for args in "$PORT $TARGET" "192.0.2.1:0 $TARGET" "--status /nowhere/socket 0 $TARGET" "--http 192.0.2.1:0 0 $TARGET" \
		"--http $PORT 0 $TARGET" "--from nonsense 0 $TARGET" "--congestion nonsense 0 $TARGET"; do
		echo "tcprelay $args"
		# shellcheck disable=SC2086 # words
		run -1 --separate-stderr timeout -k 1 60 "$relay" $args
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
		# shellcheck disable=SC2086 # words
		run -1 --separate-stderr timeout -k 1 60 "$relay" --json $args
		ours message error >/dev/null
	done
}

# --- what is written --------------------------------------------------------------------------------------------------

@test "a line for each connection with -v, and the total" {
	serve
	start_relay -v
	same answer "$(converse hello)" hello
	wait_until says '#1 127.0.0.1:'
	run -0 grep '#1' "$SERVER_LOG"
	[[ $output =~ ^'tcprelay: #1 127.0.0.1:'[0-9]+' > '$TARGET': 5 B up, 5 B down in '[0-9.]+' '[mu]?s'; both ends finished, client first; connect ' ]]
	stop_server
	same status "$SERVER_STATUS" 0
	run -0 cat "$SERVER_OUT"
	[[ ${lines[0]} =~ ^'1 connection in '.*': 5 B up, 5 B down; all drained'$ ]]
	same "how it ended" "${lines[1]}" "       1  both ends finished"
}

@test "nothing but the total on stdout, nothing but the listening line on stderr, without options" {
	serve
	start_relay
	converse hello >/dev/null
	stop_server
	same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 1
	same "lines on stdout" "$(wc -l <"$SERVER_OUT")" 2
}

@test "a name is resolved and said, with its time" {
	TARGET=''
	serve
	start_server "$relay" -v --json 0 "localhost:${TARGET#*:}"
	same answer "$(converse hello)" hello
	wait_until prints '"record":"connection"'
	run -0 cat "$SERVER_OUT"
	same target "$(ours target connection)" "localhost:${TARGET#*:}"
	same server "$(ours server connection)" "$TARGET"
	[ "$(ours resolve_ns connection)" -gt 0 ]
	says "localhost:${TARGET#*:} ($TARGET)"
}

@test "--json: start, connection, denied and total are records, with every figure" {
	serve
	start_relay --json --threads 2
	converse hello >/dev/null
	wait_until prints '"record":"connection"'
	stop_server
	run -0 python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.tcprelay/1 connections:int bytes_up:int bytes_down:int drained:bool \
		live:int failed:int denied:int elapsed_ns:int ends:any <"$SERVER_OUT"
	run -0 cat "$SERVER_OUT"
	same port "$(ours port start)" "$PORT"
	same "end" "$(ours end connection)" orderly
	same "bytes" "$(ours bytes_up connection) $(ours bytes_down connection)" "5 5"
	same "errno, why" "$(ours errno connection) $(ours why connection)" "null null"
	same "who ended first" "$(ours first_fin connection)" client
	same "name" "$(ours resolve_ns connection)" null
	[ "$(ours connect_ns connection)" -gt 0 ]
	[ "$(ours first_up_ns connection)" -le "$(ours first_down_ns connection)" ]
	[ "$(ours first_down_ns connection)" -le "$(ours age_ns connection)" ]
	same "total" "$(ours connections) $(ours bytes_up) $(ours bytes_down) $(ours drained) $(ours live) $(ours failed)" "1 5 5 true 0 0"
	ours up connection | jq -e '.received_bytes == 5 and .delivered_bytes == 5 and .lost_bytes == 0 and .fin_received and .fin_sent'
	ours ends | jq -e '.orderly == 1 and ([.[]] | add) == 1'
}

@test "a server that refuses: the client is reset, and the log says why" {
	need python3
	nobody_there
	start_relay -v --json
	run timeout 60 python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $PORT))
try:
    print('EOF' if s.recv(1) == b'' else 'bytes')
except ConnectionResetError:
    print('reset')"
	same "what the client sees" "$output" reset
	wait_until says 'no server could be reached: connect'
	says ECONNREFUSED
	stop_server
	same status "$SERVER_STATUS" 0
	run -0 cat "$SERVER_OUT"
	same connection "$(ours end connection) $(ours server connection) $(ours connect_ns connection)" "connect null null"
	[[ $(ours why connection) == *refused* ]]
	same total "$(ours connections) $(ours failed)" "1 1"
}

@test "-i: a line for each interval; with --json a record" {
	serve
	start_relay -i 50ms
	open_flow
	wait_until prints '1 live, 0 paused, 1 in all'
	close_flow
	wait_until prints '0 live, 0 paused, 1 in all'
	stop_server
	start_relay -i 50ms --json
	open_flow
	wait_until prints '"record":"interval".*"live":1,'
	close_flow
	wait_until prints '"record":"interval".*"connections":1,"live":0,'
	stop_server
	run -0 python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.tcprelay/1 <"$SERVER_OUT"
	same "sum of the intervals" "$(grep '"interval"' "$SERVER_OUT" | jq -s 'map(.bytes_up) | add')" 1
}

@test "--dump text: every byte, escaped, with flow, direction and offset" {
	serve
	start_relay --dump text
	same answer "$(converse $'one\ntwo\t\x1b[0m')" $'one\ntwo\t\x1b[0m'
	wait_until prints '#1 = both ends finished; 12 B up, 12 B down'
	prints ' #1 > 0: one\\n$'
	prints ' #1 > 4: two\\t\\x1b\[0m$'
	prints ' #1 < 0: one\\n$'
}

@test "--dump hex: what comes out of it is what went in" {
	serve
	start_relay --dump hex --threads 2
	head -c 1000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	timeout 60 nc -N 127.0.0.1 "$PORT" <"$BATS_TEST_TMPDIR/bytes" >/dev/null
	wait_until prints '= both ends finished'
	awk '/ #1 [<>=] /{ up = $3 == ">" } /^  [0-9a-f]/ && up { for (i = 2; i <= 17 && $i !~ /^\|/; i++) printf "%s", $i }' "$SERVER_OUT" |
		xxd -r -p | cmp - "$BATS_TEST_TMPDIR/bytes"
}

@test "the course's order of words: HOST PORT LISTEN_PORT" {
	serve
	start_server "$relay" 127.0.0.1 "${TARGET#*:}" 0
	same answer "$(converse hello)" hello
	stop_server
	start_server "$relay" localhost "${TARGET#*:}" 0
	same answer "$(converse hello)" hello
}

@test "IPv6 on either side" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	start_server "$TCPLAB_BIN/echo" -s --bind ::1 -p 0
	start_server "$relay" '[::1]:0' "[::1]:$PORT"
	grep -q 'listening on \[::1\]:' "$SERVER_LOG"
	same answer "$(printf hello | timeout 60 nc -N ::1 "$PORT")" hello
	stop_server
	serve
	start_server "$relay" -v '[::1]:0' "$TARGET"
	same answer "$(printf hello | timeout 60 nc -N ::1 "$PORT")" hello
	wait_until says "#1 \[::1\]:"
}

@test "--deny and --allow: counted, said, and not let in" {
	serve
	start_relay -v --json --allow 10.0.0.0/8 --deny all
	run converse hello
	same answer "$output" ''
	wait_until says '^tcprelay: 127.0.0.1:[0-9]*: denied: by the rules$'
	prints '"record":"denied","client":"127.0.0.1:'
	stop_server
	run -0 cat "$SERVER_OUT"
	same total "$(ours connections) $(ours denied)" "0 1"
	start_relay --deny 10.0.0.0/8 --allow 127.0.0.0/8
	same answer "$(converse hello)" hello
}

@test "--max-conn-source: so many at once from one address, the others are reset; another address has its own" {
	serve
	start_relay -v --max-conn-source 1
	open_flow
	run converse hello
	same answer "$output" ''
	wait_until says '^tcprelay: 127.0.0.1:[0-9]*: denied: it has --max-conn-source connections$'
	same 'from another address' "$(printf hello | timeout 60 nc -N -s 127.0.0.2 127.0.0.1 "$PORT")" hello
	close_flow
	wait_until serves_again
}

@test "every impairment that can be asked for is in force" {
	serve
	start_relay --status "$BATS_TEST_TMPDIR/s" --delay 10ms --jitter 1ms --rate 80mbit --chunk 1K --stall-at 1G --cut-at 2G:fin \
		--corrupt-at 3G --seed 7 --down blackhole,delay=20ms
	run -0 "$relay" stat "$BATS_TEST_TMPDIR/s" --json
	same up "$(jq -r .impairments.up <<<"$output")" 'delay=10ms,jitter=1ms,rate=80mbit,chunk=1K,stall-at=1G,cut-at=2G:fin,corrupt-at=3G,seed=7'
	[[ $(jq -r .impairments.down <<<"$output") == delay=20ms,*,blackhole* ]]
}

# --- the end ----------------------------------------------------------------------------------------------------------

@test "SIGTERM: nobody new, a flow goes on, and when it has ended the status is 0" {
	serve
	start_relay --drain 1m
	open_flow
	kill -TERM "$SERVER_PID"
	wait_until says 'draining: 1 flow'
	run converse again
	same "a new one gets" "$output" ''
	printf 'still there\n' >&"$FLOW"
	read -r -t 60 line <&"$FLOW"
	same "the flow" "$line" 'still there'
	close_flow
	wait_server
	same status "$SERVER_STATUS" 0
	prints '; all drained$'
}

# A handler that is there before the signals are blocked takes one that nobody asks for any more.
@test "SIGTERM while the relay begins: it ends, whenever that was" {
	need strace
	local n
	for n in 1 2 3; do
		start_worker env ASAN_OPTIONS=detect_leaks=0 strace -D -o /dev/null -e trace=rt_sigaction \
			-e "inject=rt_sigaction:signal=TERM:when=$n" "$relay" 0 127.0.0.1:9
		wait_server "$WORKER"
		echo "at call $n: status $SERVER_STATUS"
		[[ $SERVER_STATUS == @(0|143) ]]
	done
}

@test "SIGINT: a flow that does not end is reset when --drain is over, and the status is 1" {
	serve
	start_relay --drain 50ms -v --json
	open_flow
	kill -INT "$SERVER_PID"
	wait_server
	same status "$SERVER_STATUS" 1
	run timeout 60 cat <&"$FLOW"
	[[ $output == *"reset by peer"* ]]
	close_flow
	run -0 cat "$SERVER_OUT"
	same total "$(ours drained) $(ours live) $(ours end connection)" "false 0 drained"
}

@test "a second signal does not wait for --drain" {
	serve
	start_relay --drain 10m
	open_flow
	kill -TERM "$SERVER_PID"
	wait_until says 'draining: 1 flow'
	kill -TERM "$SERVER_PID"
	wait_server
	same status "$SERVER_STATUS" 1
	close_flow
}

@test "SIGHUP: other servers for new flows, and the old ones go on" {
	local list=$BATS_TEST_TMPDIR/servers
	serve
	echo "$TARGET" >"$list"
	TARGET=@$list
	start_relay -v
	open_flow
	local first=$FLOW
	start_server "$TCPLAB_BIN/daytime" -s -p 0
	echo "127.0.0.1:$PORT # tells the time" >"$list"
	local other=$PORT
	SERVER_PID=${SERVER_PIDS[-2]} SERVER_LOG=${SERVER_LOG_OF[${SERVER_PIDS[-2]}]}
	PORT=$(sed -n 's/.*listening on .*://p' "$SERVER_LOG")
	kill -HUP "$SERVER_PID"
	is_daytime() { [[ $(converse '') == *:*:* ]]; } # nothing that the server does not read, or it might reset
	wait_until is_daytime
	printf 'y\n' >&"$first"
	read -r -t 60 line <&"$first"
	same "the old flow" "$line" y
	echo "not a server" >"$list"
	kill -HUP "$SERVER_PID"
	wait_until says 'SIGHUP: the old servers stay'
	is_daytime
	[ "$other" != "$PORT" ]
	FLOW=$first
	close_flow
}