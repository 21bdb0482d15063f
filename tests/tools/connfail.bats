#!/usr/bin/env bats
# connfail: the four ports in three ways, what makes the kernel give up sooner, targets, usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	connfail=$TCPLAB_BIN/connfail
}

# try STATUS WORD...: with --json; the records are in $output.
try() {
	local wanted=$1
	shift
	run --separate-stderr timeout 30 "$connfail" "$@" --json
	echo "connfail $*: status $status"
	echo "$output$stderr"
	same status "$status" "$wanted"
}

# of TARGET KEY...: of the attempt at it, in one line.
of() {
	local line key values=()
	line=$(grep -F "\"target\":\"$1\"" <<<"$output")
	shift
	for key; do
		values+=("$(field "$key" attempt <<<"$line")")
	done
	echo "${values[*]}"
}

# child_of PID: sets $child; false as long as there is none.
child_of() {
	child=$(<"/proc/$1/task/$1/children")
	child=${child%% *}
	[ -n "$child" ]
}

# gone PID: it does not run; a zombie for which nobody has waited yet does not.
gone() {
	[ ! -e "/proc/$1" ] || grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$connfail" --help
	[[ $output == *"usage: connfail"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$connfail" --version
	[[ $output == "connfail (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '--writable --fixed' '-4 -6' 'open -p 0' 'localhost:0' 'localhost:65536' 'localhost:x' ':80' '[::1' '[]:80' \
		'open --syn-retries 128' 'open --timeout 0' 'open --user-timeout x' 'open --no-such-option' '[::1]x'; do
		echo "connfail $words"
		# shellcheck disable=SC2086 # targets and options
		run -2 --separate-stderr "$connfail" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the four ports -------------------------------------------------------------------------------------------------

@test "plain: open and closed are told at once, and the silent ones never: somebody still waits" {
	# so long that the children who connect are there by then
	try 0 --timeout 900ms
	same open "$(of open outcome errno syns)" 'connected null 1'
	same closed "$(of closed outcome errno syns)" 'failed ECONNREFUSED 1'
	same silent "$(of silent outcome errno)" 'waiting null'
	same full "$(of full outcome errno)" 'waiting null'
	[ "$(of silent syns)" -ge 1 ]
	[ "$(of full listen_overflows)" -ge 1 ]
	[ "$(of silent elapsed_ns)" -ge 900000000 ]
	same waiting "$(ours waiting)" 2
	same how "$(ours how)" blocking
	same promised "$(ours as_promised)" true
}

@test "what overflows is counted where it does: at the full port" {
	need unshare ip
	unshare -rn ip link set lo up 2>/dev/null || skip "needs a network namespace: others overflow as well"
	# shellcheck disable=SC2016 # the inner shell's
	run -0 unshare -rn sh -c 'ip link set lo up; exec "$0" --fixed --timeout 100ms --json' "$connfail"
	same overflows "$(of open listen_overflows) $(of closed listen_overflows) $(of silent listen_overflows)" '0 0 0'
	[ "$(of full listen_overflows)" -ge 1 ]
}

@test "plain, and nothing to wait for: status 3" {
	try 3 open closed --timeout 25
	same waiting "$(ours waiting)" 0
	same promised "$(ours as_promised)" false
}

@test "--writable: a closed port is taken for connected, and send(2) is where it comes out" {
	try 0 --writable open closed
	same open "$(of open outcome first_send second_send)" 'connected null null'
	same closed "$(of closed outcome first_send second_send)" 'believed ECONNREFUSED EPIPE'
	same believed "$(ours believed)" 1
	try 3 --writable open
}

@test "--fixed: all four found out, at our deadline the latest" {
	try 0 --fixed --timeout 300ms
	same open "$(of open outcome)" connected
	same closed "$(of closed outcome errno)" 'failed ECONNREFUSED'
	same silent "$(of silent outcome errno)" 'deadline null'
	same full "$(of full outcome errno)" 'deadline null'
	[ "$(of silent elapsed_ns)" -ge 300000000 ]
	same counted "$(ours connected) $(ours failed) $(ours deadline) $(ours waiting) $(ours believed)" '1 1 2 0 0'
}

@test "the SYN is sent again after a second" {
	try 0 --fixed silent --timeout 1.5
	[ "$(of silent syns)" -ge 2 ]
	[[ $output =~ \"syn_ns\":\[0,([0-9]+)[],] ]]
	[ "${BASH_REMATCH[1]}" -ge 900000000 ]
}

@test "the kernel's patience, made shorter: by time, and for one call" {
	try 0 silent --user-timeout 200ms --timeout 20
	same user-timeout "$(of silent outcome errno)" 'failed ETIMEDOUT'
	try 0 silent --send-timeout 200ms --timeout 20
	same send-timeout "$(of silent outcome errno)" 'failed EINPROGRESS'
	[ "$(of silent elapsed_ns)" -ge 190000000 ]
	# too much patience: we give up first, and the remedy has not helped
	try 3 silent --user-timeout 20 --timeout 100ms
	same outcome "$(of silent outcome)" waiting
}

@test "how long the kernel would try is computed from its sysctls" {
	# 6 retries: 1 + 2 + 4 + ... + 64 = 127; with 4 linear ones the timer comes at 131
	local linear=/proc/sys/net/ipv4/tcp_syn_linear_timeouts expected=127
	[ ! -e $linear ] || [ "$(cat $linear)" != 4 ] || expected=131
	try 0 --fixed open --syn-retries 6
	same sum "$(ours kernel_gives_up_ns start)" ${expected}000000000
	try 0 --fixed open --syn-retries 1
	same retries "$(ours syn_retries start)" 1
	same sum "$(ours kernel_gives_up_ns start)" 3000000000
}

@test "the same by IPv6" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	try 0 --fixed -6 --timeout 200ms
	[[ $(of open address) == '[::1]:'* ]]
	same outcomes "$(of open outcome) $(of closed errno) $(of silent outcome) $(of full outcome)" \
		'connected ECONNREFUSED deadline deadline'
	try 0 --fixed ::1 '[::1]' '[::1]:2' -p 1
	same addresses "$(grep -o '"address":"[^"]*"' <<<"$output" | cut -d'"' -f4 | xargs)" '[::1]:1 [::1]:1 [::1]:2'
}

# --- other people's ports -------------------------------------------------------------------------------------------

@test "HOST, HOST:PORT, [IPV6]:PORT: each address of a name is tried" {
	need python3
	cat >server.py <<-'END'
		import socket, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		while True:
		    l.accept()
	END
	start_server python3 server.py
	try 0 --fixed "127.0.0.1:$PORT" 127.0.0.1 -p "$PORT"
	same attempts "$(ours attempts) $(ours connected)" '2 2'
	try 0 --fixed -4 "localhost:$PORT"
	same address "$(ours address attempt)" "127.0.0.1:$PORT"
	stop_server
	try 0 --fixed "127.0.0.1:$PORT"
	same refused "$(ours errno attempt)" ECONNREFUSED
}

@test "a name without an address is a way to fail, too" {
	try 0 --fixed no-such-name.invalid
	same outcome "$(ours outcome attempt) $(ours address attempt)" 'failed null'
	[[ $(ours errno attempt) == EAI_* ]]
}

@test "no route: nothing is sent, whichever way one asks" {
	need unshare ip
	unshare -rn true 2>/dev/null || skip "needs a network namespace"
	local way
	for way in '' --fixed; do
		# shellcheck disable=SC2086 # an option or none
		run --separate-stderr unshare -rn "$connfail" 192.0.2.1 $way --timeout 5 --json
		echo "$output$stderr"
		same attempt "$(ours errno attempt) $(ours at_once attempt) $(ours syns attempt)" 'ENETUNREACH true 0'
	done
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text" {
	run -0 timeout 30 "$connfail" --writable open closed
	[[ ${lines[0]} == 'a non-blocking connect(2), and "writable" is "connected"; we look for 3.00 s' ]]
	[[ ${lines[1]} == 'the kernel gives up after '*' s: tcp_syn_retries '* ]]
	[[ ${lines[2]} == 'open     127.0.0.1:'*': connected, after '*', 1 SYN' ]]
	[[ ${lines[4]} == 'closed   127.0.0.1:'*': taken for connected; send: ECONNREFUSED, then EPIPE, after '* ]]
	run -0 timeout 30 "$connfail" silent --timeout 50ms
	[[ ${lines[2]} == 'silent   127.0.0.1:'*': still waiting, after '* ]]
}

@test "an ordinary user: a silent port, in a network of his own where the kernel wants that" {
	as_nobody unshare --user --map-root-user true 2>/dev/null || skip "no user namespaces for an ordinary user"
	open_folder
	cp "$connfail" "$OPEN_FOLDER"
	unset ASAN_OPTIONS UBSAN_OPTIONS
	run -0 as_nobody "$OPEN_FOLDER/connfail" --fixed --timeout 100ms --json
	same outcomes "$(of silent outcome) $(of open outcome)" 'deadline connected'
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first, and no child is left" {
	local signal way
	local -A expected=([INT]=130 [TERM]=143)
	for way in '' --fixed; do
		for signal in INT TERM; do
			rm -f out
			# shellcheck disable=SC2086 # an option or none
			"$connfail" open silent $way --timeout 60 --json >out 3>&- &
			local pid=$! status=0 child
			wait_until grep -q '"target":"open"' out
			child=''
			[ -n "$way" ] || wait_until child_of $pid
			kill -$signal $pid
			wait $pid || status=$?
			same "status after SIG$signal $way" "$status" "${expected[$signal]}"
			same interrupted "$(field interrupted <out)" true
			[ -z "$child" ] || gone "$child"
		done
	done
}

@test "kill -9: the child that waits goes with us" {
	"$connfail" silent --timeout 60 3>&- &
	local pid=$! child=''
	wait_until child_of $pid
	kill -9 $pid
	wait $pid || true
	wait_until gone "$child"
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$connfail' --fixed open > /dev/full"
}
