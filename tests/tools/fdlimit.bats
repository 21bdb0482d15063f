#!/usr/bin/env bats
# fdlimit: the three ways of a server without a free descriptor, what its clients see, and how the roles fit together.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	fdlimit=$TCPLAB_BIN/fdlimit
}

# --- what the tests share -------------------------------------------------------------------------------------------

# demonstrate ACCEPTED TURNED_AWAY FAILED OPTIONS...: runs the demonstration until its server has done that, of FAILED at least so
# many, and ends it by SIGINT; $output has its records. What the server has done its clients have before them: no time is too
# short for that.
demonstrate() {
	echo "fdlimit ${*:4}"
	start_worker "$fdlimit" -p 0 --time 1h -i 20ms --json "${@:4}"
	wait_until has_done "$WORKER_OUT" "$1" "$2" "$3"
	kill -INT "$WORKER"
	wait_server "$WORKER"
	output=$(<"$WORKER_OUT")
	grep -v '"interval"' <<<"$output"
	same status "$SERVER_STATUS" 130
	[[ $(<"$WORKER_ERR") == 'fdlimit: listening on '* ]]
	same "lines on stderr" "$(wc -l <"$WORKER_ERR")" 1
	same "wakes, each of them an accept" "$(ours wakes)" "$(($(ours accepted) + $(ours failed_accepts)))"
}

# has_done FILE ACCEPTED TURNED_AWAY FAILED: in all intervals so far, of FAILED at least so many.
has_done() {
	local accepted kicked failed
	read -r accepted kicked failed < <(sums "$1")
	[ "$accepted $kicked" = "$2 $3" ] && [ "$failed" -ge "$4" ]
}

sums() {
	awk -F '[:,]' '/"interval"/ { for (i = 1; i < NF; i++) n[$i] += $(i + 1) }
		END { print n["\"accepted\""] + 0, n["\"kicked\""] + 0, n["\"failed_accepts\""] + 0 }' "$1"
}

# saw GREETED TURNED_AWAY WAITING
saw() {
	same greeted "$(ours greeted)" "$1"
	same "turned away" "$(ours turned_away)" "$2"
	same waiting "$(ours waiting)" "$3"
}

at_most_one_in_100_ms() {
	local most=$(($(ours elapsed_ns) / 100000000 + 1))
	[ "$(ours failed_accepts)" -le $most ] || {
		echo "failed accepts: $(ours failed_accepts), and $most are as many as there may be"
		return 1
	}
}

has_started() {
	grep -q '"start"' "$WORKER_OUT"
}

child_of() {
	local children
	read -r children <"/proc/$1/task/$1/children"
	echo "$children"
}

# come: a connection to the last server; its descriptor in $COME.
come() {
	exec {COME}<>"/dev/tcp/127.0.0.1/$PORT"
}

# gets FD [SECONDS]: what comes on it, within 30 s if not given: a line, "eof", or "nothing".
gets() {
	local line='' status=0
	IFS= read -r -t "${2:-30}" -u "$1" line || status=$?
	if [ $status -gt 128 ]; then
		echo nothing
	elif [ $status -ne 0 ]; then
		echo eof
	else
		echo "$line"
	fi
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$fdlimit" --help
	[[ $output == *"usage: fdlimit"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$fdlimit" --version
	[[ $output == "fdlimit (tcplab) "* ]]
}

refused() {
	echo "fdlimit $*"
	run -2 --separate-stderr "$fdlimit" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "wrong usage: status 2, one line" {
	refused --fixed --pause
	refused -4 -6
	refused -s localhost
	refused localhost --fixed
	refused localhost --pause
	refused localhost --bind 127.0.0.1
	refused localhost -i 1
	refused localhost one-too-many
	refused --room 0
	refused --clients 0
	refused --clients 1001
	refused --time 0
	refused --time soon
	refused --port 65536
	refused --nonsense
}

# --- the three ways -------------------------------------------------------------------------------------------------

@test "naive: spins on EMFILE, and who is too many hears nothing" {
	demonstrate 4 0 100 # failed accepts: it is some hundred thousand each second
	saw 4 0 6
	same accepted "$(ours accepted)" 4
	same kicked "$(ours kicked)" 0
	same error "$(ours accept_errno)" EMFILE
}

@test "pause: a few wakes only, and who is too many hears nothing all the same" {
	demonstrate 4 0 3 --pause
	saw 4 0 6
	same error "$(ours accept_errno)" EMFILE
	at_most_one_in_100_ms
}

@test "fixed: who is too many is turned away" {
	demonstrate 4 6 1 --fixed
	saw 4 6 0
	same kicked "$(ours kicked)" 6
	at_most_one_in_100_ms
	[ "$(ours answer_max_ns)" -gt 0 ]
}

@test "fixed: more than a batch, in several turns" {
	demonstrate 3 147 3 --fixed --room 3 --clients 150 # 64 at a time
	saw 3 147 0
	same kicked "$(ours kicked)" 147
	at_most_one_in_100_ms
}

@test "room for all: no way has anything to do" {
	local way
	for way in '' --pause --fixed; do
		# shellcheck disable=SC2086 # no word, or one
		demonstrate 5 0 0 --room 5 --clients 5 $way
		saw 5 0 0
		same failed "$(ours failed_accepts)" 0
		same error "$(ours accept_errno)" null
	done
}

@test "the room is what was asked for, also with descriptors that came from outside" {
	exec 40</dev/null 43</dev/null 100</dev/null
	demonstrate 60 5 1 --fixed --room 60 --clients 65
	saw 60 5 0
	exec 40<&- 43<&- 100<&-
}

@test "--time: ends by itself, and each client is in one of the three" {
	local way begin
	for way in '' --fixed; do
		begin=${EPOCHREALTIME/[.,]/}
		# shellcheck disable=SC2086 # no word, or one
		run -0 --separate-stderr "$fdlimit" -p 0 --time 200ms --json $way
		[ $((${EPOCHREALTIME/[.,]/} - begin)) -ge 200000 ]
		echo "$output"
		same clients "$(($(ours greeted) + $(ours turned_away) + $(ours waiting)))" 10
		[ "$(ours greeted)" -le 4 ]
		same interrupted "$(ours interrupted)" false
	done
}

@test "somebody leaves: the next one is served" {
	local way a b
	for way in '' --pause; do
		echo "way: $way"
		# shellcheck disable=SC2086 # no word, or one
		start_server "$fdlimit" -s -p 0 --room 1 $way --json
		come && a=$COME
		same "the first" "$(gets "$a")" welcome
		come && b=$COME
		same "the second, while the first is there" "$(gets "$b" 0.3)" nothing
		exec {a}>&-
		same "the second, afterwards" "$(gets "$b")" welcome
		exec {b}>&-
		stop_server
	done
	start_server "$fdlimit" -s -p 0 --room 1 --fixed --json
	come && a=$COME
	same "the first" "$(gets "$a")" welcome
	come && b=$COME
	same "the second" "$(gets "$b")" eof
	exec {a}>&- {b}>&-
	wait_until welcomes
}

# Until the server has seen that its only client left, it may turn us away.
welcomes() {
	local line
	come
	line=$(gets "$COME")
	exec {COME}>&-
	[ "$line" = welcome ]
}

@test "an error other than EMFILE: --fixed pauses, and keeps its reserve" {
	need strace
	start_server env ASAN_OPTIONS=detect_leaks=0 strace -D -f -o "$BATS_TEST_TMPDIR/strace" -e trace=accept4 \
		-e inject=accept4:error=ENFILE:when=1..2 "$fdlimit" -s -p 0 --fixed --json
	come
	same "the client" "$(gets "$COME")" welcome
	exec {COME}>&-
	stop_server
	cat "$SERVER_OUT"
	same error "$(field accept_errno <"$SERVER_OUT")" ENFILE
	same failed "$(field failed_accepts <"$SERVER_OUT")" 2
	same kicked "$(field kicked <"$SERVER_OUT")" 0
}

# --- the roles ------------------------------------------------------------------------------------------------------

@test "-s and HOST: the server and the clients apart" {
	local server
	start_server "$fdlimit" -s -p 0 --room 2 --fixed -i 20ms --json
	server=$SERVER_PID
	start_worker "$fdlimit" 127.0.0.1 -p "$PORT" --clients 5 --time 1h --json
	wait_until has_done "$SERVER_OUT" 2 3 1
	kill -INT "$WORKER"
	wait_server "$WORKER"
	same "status of the clients" "$SERVER_STATUS" 130
	output=$(<"$WORKER_OUT")
	echo "$output"
	same stderr "$(<"$WORKER_ERR")" ''
	saw 2 3 0
	stop_server "$server"
	cat "$SERVER_OUT"
	same status "$SERVER_STATUS" 143
	same accepted "$(field accepted <"$SERVER_OUT")" 2
	same kicked "$(field kicked <"$SERVER_OUT")" 3
}

@test "clients that are held up until the end still see what had come" {
	local server
	start_server "$fdlimit" -s -p 0 --room 2 --fixed -i 20ms --json
	server=$SERVER_PID
	kill -STOP "$server" # its kernel completes the handshakes
	start_worker "$fdlimit" 127.0.0.1 -p "$PORT" --clients 3 --time 1h --json --trace
	wait_until all_connected 3
	kill -STOP "$WORKER"
	kill -CONT "$server"
	wait_until has_done "$SERVER_OUT" 2 1 1
	kill -INT "$WORKER"
	kill -CONT "$WORKER"
	wait_server "$WORKER"
	output=$(<"$WORKER_OUT")
	saw 2 1 0
	stop_server "$server"
}

all_connected() {
	[ "$(grep -c '): connected' "$WORKER_ERR")" -ge "$1" ]
}

@test "-s --time: ends by itself" {
	start_server "$fdlimit" -s -p 0 --time 100ms --json
	wait_server
	same status "$SERVER_STATUS" 0
	[ "$(field elapsed_ns <"$SERVER_OUT")" -ge 100000000 ]
}

@test "IPv6, and every address" {
	local words
	for words in -6 '--bind ::1' '--bind 0.0.0.0' '--bind localhost -4' '--bind 127.0.0.5'; do
		# shellcheck disable=SC2086 # options
		demonstrate 1 1 1 --fixed --room 1 --clients 2 $words
		saw 1 1 0
	done
}

@test "intervals: in sum not more than the total" {
	demonstrate 4 0 1000
	local line wakes=0 n=0 next=0 value
	while read -r line; do
		value=$(field wakes interval <<<"$line") || continue
		same "beginning of interval $n" "$(field start_ns interval <<<"$line")" $next
		next=$((next + $(field elapsed_ns interval <<<"$line")))
		wakes=$((wakes + value))
		n=$((n + 1))
	done <<<"$output"
	[ "$wakes" -gt 1000 ]
	[ "$wakes" -le "$(ours wakes)" ]
	[ $next -le "$(ours elapsed_ns)" ]
}

# --- records and ends -----------------------------------------------------------------------------------------------

@test "each line of --json is JSON, and the total has what scripts rely on" {
	need python3
	"$fdlimit" -p 0 --time 100ms -i 30ms --json 2>/dev/null |
		python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.fdlimit/1 elapsed_ns:int way:str wakes:int accepted:int \
			failed_accepts:int accept_errno:any kicked:int cpu_user_ns:int cpu_sys_ns:int greeted:int turned_away:int \
			waiting:int answer_max_ns:int interrupted:bool
}

@test "text is on stdout; a stdout that is full is said in one line" {
	start_worker "$fdlimit" -p 0 --time 1h -i 20ms --fixed
	wait_until says_turned_away 6
	kill -INT "$WORKER"
	wait_server "$WORKER"
	output=$(<"$WORKER_OUT")
	echo "$output"
	[[ $output == *'room for 4 connections'*server*'4 accepted'*'6 turned away'*clients*'4 greeted, 6 turned away'*'0 heard nothing' ]]
	run -1 --separate-stderr bash -c '"$0" -s -p 0 --time 50ms --json >/dev/full' "$fdlimit"
	[[ ${stderr_lines[-1]} == *'cannot write the report'* ]]
}

# In the text of the intervals so far.
says_turned_away() {
	[ "$(grep -o '[0-9]* turned away' "$WORKER_OUT" | awk '{ n += $1 } END { print n + 0 }')" -eq "$1" ]
}

@test "connection refused, an address that is taken: status 1, one line, an error record" {
	start_server "$fdlimit" -s -p 0
	run -1 --separate-stderr "$fdlimit" -s -p "$PORT" --json
	one_line_with EADDRINUSE
	same errno "$(ours errno error)" EADDRINUSE
	stop_server
	run -1 --separate-stderr "$fdlimit" 127.0.0.1 -p "$PORT" --time 100ms --json
	one_line_with ECONNREFUSED
	same errno "$(ours errno error)" ECONNREFUSED
	same op "$(ours op error)" connect
}

@test "a limit that leaves no room at all: status 1, said in one line" {
	run -1 --separate-stderr bash -c 'ulimit -n 8; exec "$0" -s -p 0 --room 10 --json' "$fdlimit"
	[[ ${stderr_lines[-1]} == *RLIMIT_NOFILE* ]]
	same op "$(ours op error)" setrlimit
}

@test "clients that cannot all be opened: status 1, and the reason" {
	run -1 --separate-stderr bash -c 'ulimit -n 30; exec "$0" -p 0 --clients 100 --json' "$fdlimit"
	[[ ${stderr_lines[-1]} == *EMFILE* ]]
	same errno "$(ours errno error)" EMFILE
}

@test "SIGINT and SIGTERM: the total first, and no child is left" {
	local signal status child
	for signal in INT TERM; do
		status=130
		[ $signal = INT ] || status=143
		start_worker "$fdlimit" -p 0 --time 1h --json
		wait_until has_started
		child=$(child_of "$WORKER")
		kill -$signal "$WORKER"
		wait_server "$WORKER"
		cat "$WORKER_OUT"
		same status "$SERVER_STATUS" $status
		same interrupted "$(field interrupted <"$WORKER_OUT")" true
		same "greeted and waiting" "$(($(field greeted <"$WORKER_OUT") + $(field waiting <"$WORKER_OUT")))" 10
		# shellcheck disable=SC2086 # a list of numbers
		run ! kill -0 $child
	done
}

@test "a server that is killed: its clients end" {
	start_worker "$fdlimit" -p 0 --time 1h --json
	wait_until has_started
	local child
	child=$(child_of "$WORKER")
	kill -KILL "$WORKER"
	wait_server "$WORKER"
	# shellcheck disable=SC2086 # a number
	wait_until has_ended $child
}

@test "clients that are killed: status 1, an error record" {
	start_worker "$fdlimit" -p 0 --time 1h --json
	wait_until has_started
	# shellcheck disable=SC2046 # a number
	kill -KILL $(child_of "$WORKER")
	wait_server "$WORKER"
	cat "$WORKER_OUT"
	same status "$SERVER_STATUS" 1
	same op "$(field op error <"$WORKER_OUT")" 'wait for'
}
