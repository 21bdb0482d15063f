#!/usr/bin/env bats
# dualstack: the four experiments with and without the mistake, other people's names, usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	dualstack=$TCPLAB_BIN/dualstack
	grep -qw lo /proc/net/if_inet6 2>/dev/null || skip "needs IPv6 on loopback"
}

# try STATUS WORD...: with --json; the records are in $output.
try() {
	local wanted=$1
	shift
	run --separate-stderr timeout 30 "$dualstack" "$@" --json
	echo "dualstack $*: status $status"
	echo "$output$stderr"
	same status "$status" "$wanted"
}

# pair FIRST SECOND
pair() {
	grep -F "\"first\":\"$1\",\"second\":\"$2\"" <<<"$output" | field errno pair
}

# client SERVER ADDRESS KEY
client() {
	grep -F "\"server\":\"$1\",\"to\":\"$2\"" <<<"$output" | field "$3" client
}

# attempt ADDRESS KEY...: of the attempt whose address begins so, in one line.
attempt() {
	local line key values=()
	line=$(grep -F "\"to\":\"$1" <<<"$output")
	shift
	for key; do
		values+=("$(field "$key" attempt <<<"$line")")
	done
	echo "${values[*]}"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$dualstack" --help
	[[ $output == *"usage: dualstack"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$dualstack" --version
	[[ $output == "dualstack (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' listen 'bind reach' 'bind --host localhost' 'reach -p 80' 'acl --refused' 'bind -4' 'race -p 80' 'race -6' \
		'race --host localhost -4 -6' 'race --refused --host localhost -p 80' 'race --stagger 0' 'race -p x' 'race --no-such-option'; do
		echo "dualstack $words"
		# shellcheck disable=SC2086 # an experiment and its options
		run -2 --separate-stderr "$dualstack" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "bind: the second socket of a server finds the port taken, by the first one" {
	[ "$(cat /proc/sys/net/ipv6/bindv6only)" = 0 ] || skip "bindv6only is not 0 here"
	try 0 bind
	same "0.0.0.0, ::" "$(pair 0.0.0.0 'just ::')" EADDRINUSE
	same "::, 0.0.0.0" "$(pair 'just ::' 0.0.0.0)" EADDRINUSE
	try 0 bind --fixed
	same "0.0.0.0, ::" "$(pair 0.0.0.0 'only ::')" null
	same "::, 0.0.0.0" "$(pair 'only ::' 0.0.0.0)" null
}

@test "bind: which two may have one port does not depend on who is first" {
	local kinds=(127.0.0.1 0.0.0.0 ::1 :: ':: V6ONLY') first second expected
	try 0 bind --fixed
	for first in "${kinds[@]}"; do
		for second in "${kinds[@]}"; do
			same "$first, $second" "$(pair "$first" "$second")" "$(pair "$second" "$first")"
			# each is in conflict with its own family, and :: with all
			expected=null
			[[ $first$second == *.*.* && $first$second == *::* ]] || expected=EADDRINUSE
			[[ $first != :: && $second != :: ]] || expected=EADDRINUSE
			same "$first, $second" "$(pair "$first" "$second")" "$expected"
		done
	done
}

@test "bind, with the sysctl bindv6only: the mistake does no harm, status 3" {
	need unshare ip
	unshare -rn sh -c 'ip link set lo up && echo 1 >/proc/sys/net/ipv6/bindv6only' 2>/dev/null || skip "needs a network namespace"
	# shellcheck disable=SC2016 # for the inner shell
	run -3 --separate-stderr unshare -rn sh -c 'ip link set lo up; echo 1 >/proc/sys/net/ipv6/bindv6only; "$0" bind --json' "$dualstack"
	same "0.0.0.0, ::" "$(pair 0.0.0.0 'just ::')" null
	same promised "$(ours as_promised)" false
}

@test "reach: a server of one family refuses the other; of both families, nobody" {
	local server
	try 0 reach
	for server in 127.0.0.1 0.0.0.0; do
		same "$server" "$(client $server 127.0.0.1 errno) $(client $server ::1 errno)" 'null ECONNREFUSED'
	done
	for server in ::1 ':: V6ONLY'; do
		same "$server" "$(client "$server" 127.0.0.1 errno) $(client "$server" ::1 errno)" 'ECONNREFUSED null'
	done
	try 0 reach --fixed
	same "::" "$(client :: 127.0.0.1 seen) $(client :: ::1 seen)" '::ffff:127.0.0.1 ::1'
	server='0.0.0.0, :: V6ONLY'
	same "$server" "$(client "$server" 127.0.0.1 seen) $(client "$server" ::1 seen)" '127.0.0.1 ::1'
}

@test "acl: who is banned gets in by another name, unless one looks behind it" {
	try 0 acl
	same seen "$(grep -o '"server":"::","seen":"[^"]*","let_in":[a-z]*' <<<"$output")" '"server":"::","seen":"::ffff:127.0.0.1","let_in":true'
	same banned "$(grep -o '"server":"0.0.0.0","seen":"[^"]*","let_in":[a-z]*' <<<"$output")" '"server":"0.0.0.0","seen":"127.0.0.1","let_in":false'
	try 0 acl --fixed
	same "let in" "$(grep -c '"let_in":false' <<<"$output")" 2
}

@test "race: in turn, the whole timeout is lost; racing, no more than the stagger" {
	try 0 race --timeout 400ms
	same first "$(attempt '[::1]' outcome errno)" 'failed ETIMEDOUT'
	same second "$(attempt 127.0.0.1 outcome)" connected
	[ "$(attempt 127.0.0.1 began_ns)" -ge 400000000 ]
	[[ $(ours reached) == 127.0.0.1:* ]]
	try 0 race --fixed --timeout 20 --stagger 100ms
	same first "$(attempt '[::1]' outcome errno ended_ns)" 'overtaken null 0'
	same second "$(attempt 127.0.0.1 outcome)" connected
	[ "$(attempt 127.0.0.1 began_ns)" -ge 100000000 ]
	[ "$(ours took_ns)" -lt 20000000000 ]
}

@test "race: a refusal costs nothing, in turn or racing" {
	local way
	for way in '' --fixed; do
		# shellcheck disable=SC2086 # an option or none
		try 0 race --refused $way --timeout 60 --stagger 50
		same first "$(attempt '[::1]' outcome errno)" 'failed ECONNREFUSED'
		same second "$(attempt 127.0.0.1 outcome)" connected
		# the next one did not wait for the stagger
		[ "$(attempt 127.0.0.1 began_ns)" -lt 50000000000 ]
	done
}

@test "a race that nobody wins: status 3" {
	try 3 race --host ::1 -p 9 --fixed --timeout 300ms
	same reached "$(ours reached)" null
}

@test "race to a server of somebody else, by name" {
	need python3
	cat >server.py <<-'END'
		import socket, sys
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		while True:
		    l.accept()
	END
	start_server python3 server.py
	local way
	for way in '' --fixed; do
		# shellcheck disable=SC2086 # an option or none
		try 0 race --host localhost -p "$PORT" $way
		same reached "$(ours reached)" "127.0.0.1:$PORT"
	done
	stop_server
	try 3 race --host 127.0.0.1 -p "$PORT"
	same reached "$(ours reached)" null
}

@test "a name without an address: status 1, an error record" {
	try 1 race --host no-such-name.invalid -p 80
	[[ $(ours errno error) == EAI_* ]]
	one_line_with resolve no-such-name.invalid
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text" {
	run -0 "$dualstack" acl
	same head "${lines[0]}" 'acl: 127.0.0.0/8 is banned'
	same line "${lines[2]}" '  server ::         the client is called ::ffff:127.0.0.1   let in'
	run -0 "$dualstack" race --fixed --stagger 10ms
	[[ ${lines[1]} == '  [::1]:'*': overtaken' ]]
	[[ ${lines[3]} == 'connected to 127.0.0.1:'*', after '* ]]
	run -0 "$dualstack" bind --fixed
	[[ $output == *'first, then  127.0.0.1   0.0.0.0     ::1'* ]]
}

@test "an ordinary user: the address that leads nowhere, in a network of his own where the kernel wants that" {
	as_nobody unshare --user --map-root-user true 2>/dev/null || skip "no user namespaces for an ordinary user"
	open_folder
	cp "$dualstack" "$OPEN_FOLDER"
	unset ASAN_OPTIONS UBSAN_OPTIONS
	run -0 as_nobody "$OPEN_FOLDER/dualstack" race --timeout 200ms --json
	same promised "$(ours as_promised)" true
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	local signal way
	local -A expected=([INT]=130 [TERM]=143)
	for way in '' '--fixed --stagger 60'; do
		for signal in INT TERM; do
			rm -f out err
			# shellcheck disable=SC2086 # an option or none
			"$dualstack" race $way --timeout 60 --trace --json >out 2>err 3>&- &
			local pid=$! status=0
			wait_until grep -q 'connect(.*EINPROGRESS' err
			kill -$signal $pid
			wait $pid || status=$?
			same "status after SIG$signal $way" "$status" "${expected[$signal]}"
			same interrupted "$(field interrupted <out)" true
			same reached "$(field reached <out)" null
		done
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$dualstack' acl > /dev/full"
}
