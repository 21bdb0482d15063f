#!/usr/bin/env bats
# tcprelay: what a running one tells and obeys: --status with stat, set, top and drain, and --top.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # SERVER_PID and PORT are set by start_server
# shellcheck disable=SC2034 # SERVER_LOG_OF is for stop_server

load ../helpers

setup() {
	relay=$TCPLAB_BIN/tcprelay
	path=$BATS_TEST_TMPDIR/control
	CROWD=''
}

teardown() {
	if [ -n "$CROWD" ]; then
		kill -TERM "$CROWD"
		wait "$CROWD" || true
	fi
	stop_servers
}

# A server, an echo unless another is named, and a relay to it with a control socket at $path; its options follow.
start_relay() {
	local tool=echo
	case ${1:-} in echo | discard | chargen) tool=$1 && shift ;; esac
	start_server "$TCPLAB_BIN/$tool" -s -p 0
	BEHIND=$SERVER_PID TARGET=127.0.0.1:$PORT
	start_server "$relay" --status "$path" --drain 100ms "$@" 0 "$TARGET"
}

# Bad clients of the relay (tests/fixtures/crowd.py), all of them there.
start_crowd() {
	python3 "$TCPLAB_ROOT/tests/fixtures/crowd.py" "$PORT" "$@" >"$BATS_TEST_TMPDIR/crowd" 3>&- &
	CROWD=$!
	wait_until grep -q ready "$BATS_TEST_TMPDIR/crowd"
}

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

order() {
	timeout -k 1 60 "$relay" "$@"
}

# An expression of jq about the answer to `stat --json`.
status_is() {
	order stat "$path" --json | jq -e "$1" >/dev/null
}

stat_says() {
	order stat "$path" | grep -qE -- "$1"
}

# fails ARGS...: an order that ends with status 1 and one line.
fails() {
	echo "tcprelay $*"
	run -1 --separate-stderr order "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# What somebody gets who types on the control socket.
typed() {
	timeout -k 1 60 nc -U -N "$path"
}

# --- stat -------------------------------------------------------------------------------------------------------------

@test "stat: sums, a line for each flow, those that have ended, the servers" {
	start_relay
	printf hello | timeout 60 nc -N 127.0.0.1 "$PORT"
	open_flow
	run -0 order stat "$path"
	[[ ${lines[0]} == "tcprelay on 127.0.0.1:$PORT for "*": 2 connections, 1 live, 0 failed, 0 denied" ]]
	same sums "${lines[1]}" "6 B up, 6 B down; 0 paused, bytes wait in 0"
	[[ ${lines[2]} == "id  client "*"RTT server" ]]
	[[ ${lines[3]} =~ ^' 2  127.0.0.1:'[0-9]+'  '$TARGET'  '.*' 1 B   1 B ' ]]
	[[ ${lines[4]} =~ ^'ended: #1 127.0.0.1:'[0-9]+' > '$TARGET': 5 B up, 5 B down in '.*'; both ends finished, '.*' ago'$ ]]
	same server "${lines[5]}" "$TARGET: 1 live, 2 connected, 0 failed"
	same lines "${#lines[@]}" 6
	close_flow
}

@test "stat --json: one valid record with everything" {
	start_relay
	printf hello | timeout 60 nc -N 127.0.0.1 "$PORT"
	open_flow
	run -0 order stat "$path" --json
	same lines "${#lines[@]}" 1
	jq -e '.schema == "tcplab.tcprelay/1" and .record == "status" and .connections == 2 and .live == 1 and .bytes_up == 6 and
		(.flows | length) == 1 and .flows[0].state == "open" and .flows[0].end == null and .flows[0].client_rtt_ns > 0 and
		.recent[0].end == "orderly" and .recent[0].ended_ago_ns > 0 and .impairments == {"up": "clear", "down": "clear"} and
		.upstreams[0].live == 1 and .buffer_bytes == 262144 and .is_draining == false' <<<"$output"
	close_flow
}

@test "200 flows on 2 threads: each once, 100 of them in the table" {
	start_relay --threads 2
	start_crowd silent:200
	wait_until status_is '.live == 200'
	run -0 order stat "$path" --json
	jq -e '[.flows[].id] == [range(1; 201)] and .connections == 200' <<<"$output"
	run -0 order stat "$path"
	grep -q '^\.\.\. and 100 more' <<<"$output"
	same "lines of flows" "$(grep -c " $TARGET " <<<"$output")" 100
}

@test "who is paused, and why: a server that does not read" {
	start_relay discard
	kill -STOP "$BEHIND"
	start_crowd flood:1
	wait_until stat_says 'server too slow: [0-9.]+ [KM]iB wait for .*, client paused$'
	wait_until status_is '.paused == 1 and .flows[0].up.is_paused and .flows[0].up.pauses > 0 and .flows[0].up.waiting_bytes > 0 and
		(.flows[0].down.is_paused | not)'
	kill -CONT "$BEHIND"
	wait_until status_is '.paused == 0'
	wait_until stat_says 'client was paused [0-9]+ times?, bytes waited'
}

@test "who is paused, and why: a client that does not read its answer" {
	start_relay chargen
	start_crowd silent:1
	wait_until stat_says 'client too slow: [0-9.]+ [KM]iB wait for .*, server paused$'
	wait_until status_is '.flows[0].down.is_paused and (.flows[0].up.is_paused | not)'
}

@test "what waits because of an impairment is not called anybody's fault" {
	start_relay --rate 8kbit
	open_flow
	head -c 20000 /dev/zero >&"$FLOW"
	wait_until stat_says 'held back by impairment: [0-9.]+ KiB wait'
	close_flow
}

@test "a half-closed flow says who has finished" {
	start_relay
	kill -STOP "$BEHIND" # or it would finish, too
	start_crowd half:1
	wait_until stat_says 'client has finished \(FIN\), server goes on$'
	kill -CONT "$BEHIND"
}

# --- set --------------------------------------------------------------------------------------------------------------

@test "set: for one way or both, says what is in force, and flows obey at once" {
	start_relay
	open_flow
	run -0 order set "$path" delay=1ms up rate=80mbit cut-at=5:fin down chunk=1K
	same answer "$output" $'up delay=1ms,rate=80mbit,cut-at=5:fin\ndown delay=1ms,chunk=1K'
	run -0 order set "$path" up rate=none delay=0
	same "words that are not named stay" "${lines[0]}" 'up cut-at=5:fin'
	stat_says '^impaired on the way up: cut-at=5:fin$'
	echo 1234567890 >&"$FLOW"
	wait_until status_is '.ends.cut == 1 and .recent[0].bytes_up == 5'
	close_flow
	run -0 order set "$path" clear
	same answer "$output" $'up clear\ndown clear'
	open_flow
	close_flow
}

@test "set: a wrong word changes nothing, here or there" {
	start_relay --up delay=5ms
	run -2 --separate-stderr order set "$path" down delay=9ms rate=x
	one_line_with rate
	run -0 typed <<<'set down delay=9ms up rate=x'
	[[ $output == "error: "*rate* ]]
	run -0 typed <<<'set'
	[[ $output == "error: nothing to set"* ]]
	status_is '.impairments == {"up": "delay=5ms", "down": "clear"}'
}

# --- drain ------------------------------------------------------------------------------------------------------------

@test "drain: nobody new, and the relay ends when its flows have; stat tells of it until then" {
	start_relay --drain 10m
	open_flow
	run -0 order drain "$path"
	same answer "$output" "draining: 1 live, and 600 s for them to end"
	stat_says '^draining: nobody new is accepted$'
	run timeout 60 nc -N 127.0.0.1 "$PORT" </dev/null
	[ "$status" -ne 0 ]
	close_flow
	wait_server
	same status "$SERVER_STATUS" 0
	[ ! -e "$path" ]
}

@test "drain without a flow: answered, and it ends at once" {
	start_relay
	run -0 order drain "$path"
	[[ $output == "draining: 0 live"* ]]
	wait_server
	same status "$SERVER_STATUS" 0
}

# --- the socket file --------------------------------------------------------------------------------------------------

@test "the socket is for its owner alone, whatever the umask, and gone in the end" {
	umask 0
	start_relay
	same mode "$(stat -c %a "$path")" 600
	stop_server
	[ ! -e "$path" ]
}

@test "another user is not answered, even where the file lets him" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	open_folder
	path=$OPEN_FOLDER/control
	start_relay
	run as_nobody timeout -k 1 60 "$(command -v nc)" -U -N "$path" <<<stat
	[ "$status" -ne 0 ]
	chmod 666 "$path"
	run as_nobody timeout -k 1 60 "$(command -v nc)" -U -N "$path" <<<stat
	same "what he gets" "$output" ''
	stat_says live
}

@test "a killed relay's socket is replaced, a living one's never, and nothing else is" {
	local first
	start_relay
	first=$SERVER_PID
	run -1 --separate-stderr order --status "$path" 0 "$TARGET"
	one_line_with "$path" EADDRINUSE
	stat_says "on 127.0.0.1:$PORT "
	kill -KILL "$first"
	wait_until has_ended "$first"
	[ -S "$path" ]
	fails stat "$path"
	[[ $stderr == *"nobody is there"* ]]
	start_server "$relay" --status "$path" 0 "$TARGET"
	stat_says "on 127.0.0.1:$PORT "
	stop_server
	echo precious >"$path"
	run -1 --separate-stderr order --status "$path" 0 "$TARGET"
	same "the file" "$(cat "$path")" precious
	run -1 --separate-stderr order --status "$BATS_TEST_TMPDIR" 0 "$TARGET"
	run -1 --separate-stderr order --status "$BATS_TEST_TMPDIR/$(head -c 200 /dev/zero | tr '\0' x)" 0 "$TARGET"
	run -1 --separate-stderr order --status @abstract 0 "$TARGET"
}

@test "of many that start at once at a dead socket one wins" {
	local n pids=() won=0
	start_relay
	kill -KILL "$SERVER_PID"
	wait_until has_ended "$SERVER_PID"
	for n in {1..8}; do
		"$relay" --status "$path" 0 "$TARGET" 2>"$BATS_TEST_TMPDIR/log.$n" >/dev/null 3>&- &
		pids+=($!)
		SERVER_PIDS+=($!)
		SERVER_LOG_OF[$!]=$BATS_TEST_TMPDIR/log.$n
	done
	settled() { [ "$(cat "$BATS_TEST_TMPDIR"/log.* | wc -l)" -ge 8 ]; }
	wait_until settled
	won=$(cat "$BATS_TEST_TMPDIR"/log.* | grep -c 'listening on')
	same "how many listen" "$won" 1
	status_is '.live == 0'
	for n in "${pids[@]}"; do
		stop_server "$n"
	done
	[ ! -e "$path" ]
}

@test "a file that has come in its place is not removed in the end" {
	start_relay
	rm "$path"
	echo precious >"$path"
	stop_server
	same "the file" "$(cat "$path")" precious
}

# --- orders that cannot be given --------------------------------------------------------------------------------------

@test "nobody there: one line and status 1, from every order; with --json a record" {
	fails stat "$path"
	[[ $stderr == "tcprelay: reach the relay at $path: "*"(ENOENT)" ]]
	fails set "$path" delay=1ms
	fails top "$path"
	fails drain "$path"
	echo >"$path"
	fails stat "$path"
	fails stat "$BATS_TEST_TMPDIR"
	fails stat "$(head -c 200 /dev/zero | tr '\0' x)"
	run -1 --separate-stderr order stat "$path" --json
	ours message error >/dev/null
}

@test "whoever closes without an answer has ended" {
	python3 -c "
import socket
s = socket.socket(socket.AF_UNIX)
s.bind('$path')
s.listen()
print('listening', flush=True)
while True:
    c = s.accept()[0]
    c.recv(100)
    c.sendall(b'the beginning of a table\n')
    c.close()" >"$BATS_TEST_TMPDIR/out" 3>&- &
	CROWD=$!
	wait_until grep -q listening "$BATS_TEST_TMPDIR/out"
	fails stat "$path"
	[[ $stderr == *"it has ended (ECONNRESET)" ]]
	fails drain "$path"
}

memory_of() {
	awk '/^VmRSS/ { print $2 }' "/proc/$1/status"
}

# --- by hand, and hostile ---------------------------------------------------------------------------------------------

@test "one can type requests: several on a connection, each answer ends with an empty line" {
	start_relay
	run -0 --keep-empty-lines typed < <(printf 'help\nset up delay=1ms\r\nnonsense\nstat json')
	same help "${lines[0]%% *}" stat
	same "end of help" "${lines[4]}" ''
	same up "${lines[5]}" 'up delay=1ms'
	same "end of set" "${lines[7]}" ''
	[[ ${lines[8]} == "error: a request is "* ]]
	same "end of the error" "${lines[9]}" ''
	jq -e '.record == "status"' <<<"${lines[10]}"
	same "end of stat" "${lines[11]}" ''
	run -0 typed </dev/null
	same "no request" "$output" ''
}

@test "hostile requests are refused, and do no harm" {
	start_relay
	run -0 typed < <(head -c 1000000 /dev/zero | tr '\0' x; printf '\nstat json\n')
	[[ ${lines[0]} == "error: a request has less than "* ]]
	jq -e .record <<<"${lines[1]}"
	run -0 typed < <(printf 'st\0at\n')
	same answer "${lines[0]}" "error: a request is text"
	run -0 typed < <(head -c 300000 /dev/urandom)
	run -0 typed < <(printf 'top 4294967295 99999999999\ntop x\ntop -1\nstat 0\nstat x\nstat %%s%%n\nset %%n\n')
	run -0 typed < <(head -c 4095 /dev/zero | tr '\0' ' ')
	stat_says live
}

@test "clients that ask and do not read, or only stay, keep nobody waiting" {
	start_relay --threads 2
	start_crowd silent:300
	wait_until status_is '.live == 300'
	local before
	before=$(memory_of "$SERVER_PID")
	python3 -c "
import signal, socket
rude = []
for i in range(20):
    s = socket.socket(socket.AF_UNIX)
    s.connect('$path')
    s.setblocking(False)
    try:
        s.send((b'help\n' if i % 4 else b'stat json\n') * 20000)
    except BlockingIOError:
        pass
    rude.append(s)
print('ready', flush=True)
signal.pause()" >"$BATS_TEST_TMPDIR/out" 3>&- &
	local rude=$!
	wait_until grep -q ready "$BATS_TEST_TMPDIR/out"
	status_is '.live == 300'
	status_is '.live == 300'
	# An answer each, and not twenty thousand: 300 flows are about 300 KiB of JSON, and all help for a read of 64 KiB is 4 MiB.
	local after
	after=$(memory_of "$SERVER_PID")
	echo "KiB: $before, with them $after"
	[ $((after - before)) -lt 45000 ]
	kill "$rude"
	wait "$rude" || true
	status_is '.live == 300'
}

@test "the relay ends while orders are on their way" {
	start_relay --threads 2 --drain 10ms
	start_crowd silent:100
	wait_until status_is '.live == 100'
	local n
	for n in {1..10}; do
		order stat "$path" --json >/dev/null 2>&1 3>&- &
	done
	order drain "$path"
	wait_server
	same status "$SERVER_STATUS" 1
	wait %% || true
	[ ! -e "$path" ]
}

# --- top --------------------------------------------------------------------------------------------------------------

in_terminal() {
	python3 "$TCPLAB_ROOT/tests/fixtures/in_terminal.py" "$@"
}

# The screen was entered and left, and nothing is drawn outside of it; its mode is what it was.
screen_is_restored() {
	jq -e '.restored and (.text | startswith("\u001b[?1049h") and endswith("\u001b[?25h\u001b[?1049l"))' <<<"$output"
}

@test "--top: when its terminal goes, so does the relay, wherever its log is written" {
	run -0 timeout 60 python3 -c '
import os, pty, sys
reads, writes = os.pipe()
pid, master = pty.fork()
if pid == 0:
    os.dup2(writes, 2)
    os.execv(sys.argv[1], [sys.argv[1], "--top", "0", "127.0.0.1:9"])
os.read(master, 1)  # the screen was entered
os.close(master)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$relay"
	same 'status: nobody got the total' "$output" 1
}

@test "top in a terminal: q ends it, and the terminal is as before" {
	start_relay
	open_flow
	run -0 in_terminal --until "bytes wait in 0" --key q "$relay" top "$path"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 0
	close_flow
}

@test "top in a terminal: the terminal is as before after Ctrl-C, after SIGTERM, and when the relay ends" {
	start_relay
	run -0 in_terminal --until "live" --key $'\x03' "$relay" top "$path"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 130
	run -0 in_terminal --until "live" --signal TERM "$relay" top "$path"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 143
	run -0 --separate-stderr in_terminal --until "live" --then "kill -TERM $SERVER_PID" "$relay" top "$path"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 1
	one_line_with "it has ended"
	wait_server
}

@test "top fits a small terminal: nothing is wider or longer" {
	start_relay
	start_crowd silent:50
	wait_until status_is '.live == 50'
	run -0 in_terminal --size 40x12 --until "live" --key q "$relay" top "$path"
	jq -j .text <<<"$output" | sed 's/\x1b\[[?0-9]*[A-Za-z]//g' | tr -d '\r' >"$BATS_TEST_TMPDIR/frame"
	[ "$(awk '{ print length }' "$BATS_TEST_TMPDIR/frame" | sort -n | tail -n 1)" -le 40 ]
	same lines "$(wc -l <"$BATS_TEST_TMPDIR/frame")" 11
}

@test "top into a pipe: plain tables, with rates from the second one on" {
	start_relay
	open_flow
	order top "$path" >"$BATS_TEST_TMPDIR/out" 3>&- &
	local top=$!
	wait_until grep -q 'now .*bit/s up' "$BATS_TEST_TMPDIR/out"
	stop_server
	local result=0
	wait "$top" || result=$?
	same "status of top" "$result" 1
	run -1 grep -q $'\x1b' "$BATS_TEST_TMPDIR/out"
	close_flow
}

@test "--top: the relay's own terminal is as before when it ends; elsewhere plain tables" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	run -0 --separate-stderr in_terminal --until "live" --signal TERM "$relay" --top 0 "127.0.0.1:$PORT"
	same status "$(jq .status <<<"$output")" 0
	jq -e '.restored and (.text | startswith("\u001b[?1049h"))' <<<"$output"
	# The total comes after the screen was left.
	jq -e '.text | test("1049l0 connections in .*; all drained\r\n$")' <<<"$output"
	start_server "$relay" --top 0 "127.0.0.1:$PORT"
	wait_until grep -q 'now .*bit/s up' "$SERVER_OUT"
	stop_server
	run -1 grep -q $'\x1b' "$SERVER_OUT"
}

@test "--top: a terminal that is stopped holds up neither the flows nor the end" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	run -0 timeout 170 python3 "$TCPLAB_ROOT/tests/fixtures/relay_stopped_terminal.py" "$relay" "$PORT"
	same "what was seen" "$output" $'bytes pass\n0'
}
