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

# Runs the demonstration; $output has its records.
demonstrate() {
	run -0 --separate-stderr "$fdlimit" -p 0 --json "$@"
	echo "fdlimit $*"
	echo "$output"
	[[ $stderr == 'fdlimit: listening on '* ]]
	same "lines on stderr" "${#stderr_lines[@]}" 1
	same "wakes, each of them an accept" "$(ours wakes)" "$(($(ours accepted) + $(ours failed_accepts)))"
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

# gets FD: what comes on it within three seconds: a line, "eof", or "nothing".
gets() {
	local line='' status=0
	IFS= read -r -t "${2:-3}" -u "$1" line || status=$?
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
	demonstrate --time 300ms
	saw 4 0 6
	same accepted "$(ours accepted)" 4
	same kicked "$(ours kicked)" 0
	same error "$(ours accept_errno)" EMFILE
	[ "$(ours failed_accepts)" -ge 100 ] # it is some hundred thousand each second
}

@test "pause: a few wakes only, and who is too many hears nothing all the same" {
	demonstrate --time 300ms --pause
	saw 4 0 6
	same error "$(ours accept_errno)" EMFILE
	[ "$(ours failed_accepts)" -ge 1 ]
	at_most_one_in_100_ms
}

@test "fixed: who is too many is turned away" {
	demonstrate --time 1 --fixed
	saw 4 6 0
	same kicked "$(ours kicked)" 6
	at_most_one_in_100_ms
	[ "$(ours answer_max_ns)" -gt 0 ]
}

@test "fixed: more than a batch, in several turns" {
	demonstrate --time 2 --fixed --room 3 --clients 150
	saw 3 147 0
	same kicked "$(ours kicked)" 147
	[ "$(ours failed_accepts)" -ge 3 ] # 64 at a time
}

@test "room for all: no way has anything to do" {
	local way
	for way in '' --pause --fixed; do
		# shellcheck disable=SC2086 # no word, or one
		demonstrate --time 200ms --room 5 --clients 5 $way
		saw 5 0 0
		same failed "$(ours failed_accepts)" 0
		same error "$(ours accept_errno)" null
	done
}

@test "the room is what was asked for, also with descriptors that came from outside" {
	exec 40</dev/null 43</dev/null 100</dev/null
	demonstrate --time 300ms --fixed --room 60 --clients 65
	saw 60 5 0
	exec 40<&- 43<&- 100<&-
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
	start_server "$fdlimit" -s -p 0 --room 2 --fixed --json
	run -0 --separate-stderr "$fdlimit" 127.0.0.1 -p "$PORT" --clients 5 --time 500ms --json
	echo "$output"
	same stderr "$stderr" ''
	saw 2 3 0
	stop_server
	cat "$SERVER_OUT"
	same status "$SERVER_STATUS" 143
	same accepted "$(field accepted <"$SERVER_OUT")" 2
	same kicked "$(field kicked <"$SERVER_OUT")" 3
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
		demonstrate --time 200ms --fixed --room 1 --clients 2 $words
		saw 1 1 0
	done
}

@test "intervals: in sum not more than the total" {
	demonstrate --time 500ms -i 100ms
	local line wakes=0 n=0 value
	while read -r line; do
		value=$(field wakes interval <<<"$line") || continue
		wakes=$((wakes + value))
		n=$((n + 1))
	done <<<"$output"
	[ "$n" -ge 2 ]
	[ "$wakes" -gt 0 ]
	[ "$wakes" -le "$(ours wakes)" ]
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
	run -0 --separate-stderr "$fdlimit" -p 0 --time 100ms --fixed
	[[ $output == *'room for 4 connections'*server*'6 turned away'*clients*'4 greeted'* ]]
	run -1 --separate-stderr bash -c '"$0" -s -p 0 --time 50ms --json >/dev/full' "$fdlimit"
	[[ ${stderr_lines[-1]} == *'cannot write the report'* ]]
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
