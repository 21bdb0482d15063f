#!/usr/bin/env bats
# framing against itself: what the two receivers make of one stream, usage, reports, signals. Hostile peers are in
# tests/robust/framing.bats, other programs in tests/interop/framing.bats.
#
# What recv(2) returns depends on when it is called. Where a test needs to know, the receiver is stopped (SIGSTOP) while
# bytes arrive in the kernel, and goes on when they are all there.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # for the inner bash to expand
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	framing=$TCPLAB_BIN/framing
	STOPPED=''
}

teardown() {
	local result=0
	[ -z "$STOPPED" ] || kill -CONT "$STOPPED" 2>/dev/null || true
	stop_servers || result=1
	return $result
}

# --- what the tests share -------------------------------------------------------------------------------------------

# transfer RECEIVER-OPTION... -- SENDER-OPTION...: both with --json, the receiver for one sender. Our sender's records are in
# $output, the receiver's in $theirs, its status in $SERVER_STATUS.
transfer() {
	local receiver=()
	while [ "$1" != -- ]; do
		receiver+=("$1")
		shift
	done
	shift
	start_server "$framing" -s -1 -p 0 --json "${receiver[@]}"
	run -0 --separate-stderr "$framing" 127.0.0.1 -p "$PORT" --json "$@"
	echo "receiver: ${receiver[*]}; sender: $*"
	echo "$output"
	same "the sender's stderr" "$stderr" ''
	wait_server
	theirs=$(cat "$SERVER_OUT")
	echo "$theirs"
}

# their KEY [RECORD]: a field of the receiver's records.
their() {
	field "$@" <<<"$theirs"
}

# deliver OPTION... -- FORMAT...: to a receiver that is stopped; each FORMAT is a write of its own (printf). Then FIN, and it
# goes on: everything is there at its first recv.
deliver() {
	local receiver=() fd format
	while [ "$1" != -- ]; do
		receiver+=("$1")
		shift
	done
	shift
	start_server "$framing" -s -1 -p 0 --json "${receiver[@]}"
	kill -STOP "$SERVER_PID"
	STOPPED=$SERVER_PID
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	for format; do
		# shellcheck disable=SC2059 # the format is the message
		printf "$format" >&"$fd"
	done
	exec {fd}>&-
	kill -CONT "$SERVER_PID"
	STOPPED=''
	wait_server
	theirs=$(cat "$SERVER_OUT")
	echo "receiver: ${receiver[*]}; written: $*"
	echo "$theirs"
}

# counts READS MESSAGES RIGHT: the receiver's.
counts() {
	same reads "$(their reads)" "$1"
	same messages "$(their messages)" "$2"
	same right "$(their right)" "$3"
	same wrong "$(their wrong)" $(($2 - $3))
}

# Messages of our sender: number 0 of 8 bytes, number 1 of 10, number 2 of 12. Its letters: byte i is 'a' + (number + i) % 26.
FIRST='\0\0\0\004\0\0\0\0'
SECOND='\0\0\0\006\0\0\0\001jk'
THIRD='\0\0\0\010\0\0\0\002klmn'

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$framing" --help
	[[ $output == *"usage: framing"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$framing" --version
	[[ $output == "framing (tcplab) "* ]]
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "framing $*"
	run -2 --separate-stderr "$framing" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "wrong usage: what does not go together" {
	refused
	refused -s localhost
	refused localhost one-too-many
	refused -4 -6 localhost
	refused -s -4 -6
	local words
	for words in '--gap 1s' '--piece 1' --vary -D; do
		# shellcheck disable=SC2086 # an option and its value
		refused -s $words
	done
	for words in --fixed --verify -1 '--late 1s' '--work 1s' '--bind ::1'; do
		# shellcheck disable=SC2086 # an option and its value
		refused localhost $words
	done
}

@test "wrong usage: values out of range, no numbers, unknown names" {
	local words
	for words in '-p 65536' '-p x' '-n 0' '-n 4294967296' '-n 1.5' '-l 7' '-l 2G' '-l x' '--gap 0' '--gap 25h' '--piece 0' \
		'--timeout 0' '--timeout 1parsec' '--no-such-option' '-q' '-l'; do
		# shellcheck disable=SC2086 # an option and its value
		refused localhost $words
	done
	for words in '--read 3' '--read 2G' '--max-length 7' '--rcvbuf 0' '--late 0' '--work 0'; do
		# shellcheck disable=SC2086 # an option and its value
		refused -s $words
	done
}

# --- one stream, two receivers --------------------------------------------------------------------------------------

@test "three messages that are here together: one recv, and the naive receiver takes them for one" {
	deliver --verify -- "$FIRST" "$SECOND" "$THIRD"
	counts 1 1 0
	same status "$SERVER_STATUS" 3
	deliver -- "$FIRST" "$SECOND" "$THIRD"
	counts 1 1 0
	same status "$SERVER_STATUS" 3
	deliver --verify --fixed -- "$FIRST" "$SECOND" "$THIRD"
	counts 1 3 3
	same status "$SERVER_STATUS" 0
}

@test "one message alone: both are right" {
	deliver --verify -- "$SECOND"
	counts 1 1 1
	same status "$SERVER_STATUS" 0
	deliver --verify --fixed -- "$SECOND"
	counts 1 1 1
	same status "$SERVER_STATUS" 0
}

@test "a buffer shorter than the messages: the naive receiver takes the pieces for messages" {
	deliver --verify --read 5 -- "$FIRST" "$SECOND" "$THIRD"
	counts 6 6 0
	same largest "$(their largest_read_bytes)" 5
	deliver --verify --read 4 --fixed -- "$FIRST" "$SECOND" "$THIRD"
	same right "$(their right)" 3
	same status "$SERVER_STATUS" 0
}

@test "how a message was written makes no difference to the bytes" {
	local all="$FIRST$SECOND$THIRD"
	deliver --verify --fixed -- "$all"
	counts 1 3 3
	deliver --verify --fixed -- '\0' '\0' '\0\004\0' '\0\0\0\0\0\0\006\0' '\0\0\001j' 'k\0\0\0\010\0\0\0\002klm' n
	counts 1 3 3
}

@test "any lengths, pieces and buffers: the fixed receiver gets every message" {
	local sender receiver
	for sender in '-n 300' '-n 300 -l 8' '-n 300 -l 3000 --vary' '-n 3 -l 1000000' '-n 20 --piece 1 -D' '-n 50 -l 1000 --piece 7' \
		'-n 100 -l 70000 --vary --piece 4097'; do
		for receiver in '' '--read 4' '--read 1M' '--rcvbuf 4K' '--late 20ms'; do
			# one message is the least that a buffer has to hold
			[ "$receiver$sender" != '--read 4-n 3 -l 1000000' ] || continue
			# shellcheck disable=SC2086 # options
			transfer --verify --fixed $receiver -- $sender
			same status "$SERVER_STATUS" 0
			same right "$(their right)" "$(ours messages)"
			same wrong "$(their wrong)" 0
			same bytes "$(their bytes)" "$(ours bytes)"
		done
	done
}

@test "messages larger than the kernel's buffer: the naive receiver gets none right" {
	transfer --verify --rcvbuf 4K --read 1M -- -n 5 -l 100000
	same right "$(their right)" 0
	[ "$(their reads)" -gt 5 ]
	same bytes "$(their bytes)" 500000
	same status "$SERVER_STATUS" 3
}

@test "--read is the most that a recv returns" {
	transfer --read 100 -- -n 50 -l 1000
	same largest "$(their largest_read_bytes)" 100
	[ "$(their reads)" -ge 500 ]
}

# --- right and wrong ------------------------------------------------------------------------------------------------

@test "a frame that is not ours is whole, but --verify wants our sender's" {
	deliver --fixed -- '\0\0\0\005hello\0\0\0\0'
	counts 1 2 2
	same status "$SERVER_STATUS" 0
	deliver --fixed --verify -- '\0\0\0\005hello\0\0\0\0'
	counts 1 2 0
	same status "$SERVER_STATUS" 3
}

@test "--verify: a wrong letter, a message again, one that comes too early" {
	deliver --fixed --verify -- "$FIRST" "${SECOND%k}x" "$THIRD"
	counts 1 3 2
	deliver --fixed --verify -- "$FIRST" "$FIRST" "$SECOND"
	counts 1 3 2
	deliver --fixed --verify -- "$SECOND" "$FIRST" "$THIRD"
	counts 1 3 2
	# without it only the length is looked at
	deliver --fixed -- "$FIRST" "$FIRST" "${SECOND%k}x"
	counts 1 3 3
}

# --- the sender -----------------------------------------------------------------------------------------------------

@test "the sender counts messages, writes and bytes" {
	transfer --fixed -- -n 7 -l 100
	same messages "$(ours messages)" 7
	same writes "$(ours writes)" 7
	same bytes "$(ours bytes)" 700
	[ "$(ours segments)" -ge 1 ]
	[ "$(ours segments)" -le 700 ]
	transfer --fixed -- -n 7 -l 100 --piece 30
	same writes "$(ours writes)" 28
	same bytes "$(ours bytes)" 700
	transfer --fixed -- -n 3 -l 8 --piece 1
	same writes "$(ours writes)" 24
}

@test "--gap: a message every so often, and not a moment earlier" {
	transfer --fixed -- -n 5 --gap 300ms
	same right "$(their right)" 5
	[ "$(ours elapsed_ns)" -ge 1200000000 ] # four gaps
}

@test "--late and --work: the receiver takes its time, and not a moment less" {
	transfer --fixed --late 400ms -- -n 3
	same right "$(their right)" 3
	[ "$(ours elapsed_ns)" -ge 400000000 ]
	transfer --fixed --work 200ms -- -n 3
	same right "$(their right)" 3
	[ "$(ours elapsed_ns)" -ge 600000000 ]
}

# --- reports --------------------------------------------------------------------------------------------------------

@test "the text of both ends" {
	start_server "$framing" -s -1 -p 0 --fixed
	run -0 "$framing" 127.0.0.1 -p "$PORT" -n 3
	[[ $output =~ ^'sent: messages 3, writes 3, bytes 300, segments '[0-9]+$ ]]
	wait_server
	cat "$SERVER_OUT"
	[[ $(cat "$SERVER_OUT") =~ ^'127.0.0.1:'[0-9]+': bytes 300, reads '[0-9]+.*'taken for messages 3: right 3, wrong 0'$ ]]
}

@test "-v: each recv, and what was taken for a message" {
	start_server "$framing" -s -1 -p 0 -v
	kill -STOP "$SERVER_PID"
	STOPPED=$SERVER_PID
	# shellcheck disable=SC2059 # the formats are the messages
	printf "$FIRST$SECOND" >"/dev/tcp/127.0.0.1/$PORT"
	kill -CONT "$SERVER_PID"
	STOPPED=''
	wait_server
	cat "$SERVER_OUT"
	same "first line" "$(sed -n 1p "$SERVER_OUT")" 'recv 1: 18 bytes'
	same "second line" "$(sed -n 2p "$SERVER_OUT")" '    taken for message 1: 18 bytes, the length says 8: wrong'
	deliver -v --fixed -- "$FIRST$SECOND"
	same "read records" "$(grep -c '"record":"read","bytes":18}' <<<"$theirs")" 1
	same "message records" "$(grep -c '"record":"message".*"right":true' <<<"$theirs")" 2
	same announced "$(their announced_bytes message)" 10
}

@test "--json: the records in their order, and all of it JSON" {
	transfer --verify -- -n 3
	same "their records" "$(grep -o '"record":"[a-z]*"' <<<"$theirs" | tr -d '\n')" \
		'"record":"start""record":"connection""record":"total"'
	same "our records" "$(grep -o '"record":"[a-z]*"' <<<"$output" | tr -d '\n')" '"record":"start""record":"total"'
	same reader "$(their reader start)" naive
	same role "$(ours role start)" sender
	same interrupted "$(ours interrupted)" false
	need python3
	printf '%s\n' "$theirs" "$output" | python3 -c 'if True:
		import json, sys
		assert all(json.loads(line)["schema"] == "tcplab.framing/1" for line in sys.stdin)'
}

@test "several senders, one after another: a line for each, and the total of all" {
	start_server "$framing" -s -p 0 --fixed --verify --json
	local i
	for i in 1 2 3; do
		run -0 "$framing" 127.0.0.1 -p "$PORT" -n $i
	done
	stop_server
	same status "$SERVER_STATUS" 143
	same connections "$(field connections <"$SERVER_OUT")" 3
	same right "$(field right <"$SERVER_OUT")" 6
	same "connection records" "$(grep -c '"record":"connection"' "$SERVER_OUT")" 3
}

@test "a report that cannot be written: status 1" {
	run -0 "$framing" --help
	start_server "$framing" -s -p 0
	run -1 --separate-stderr bash -c '"$0" 127.0.0.1 -p "$1" >/dev/full' "$framing" "$PORT"
	one_line_with 'cannot write'
}

# --- addresses ------------------------------------------------------------------------------------------------------

@test "loopback unless told otherwise; -6 and --bind" {
	start_server "$framing" -s -p 0
	[[ $(cat "$SERVER_LOG") == 'framing: listening on 127.0.0.1:'* ]]
	[ -e /proc/net/if_inet6 ] && grep -q ' lo$' /proc/net/if_inet6 || skip "no IPv6 on loopback"
	start_server "$framing" -s -1 -p 0 -6 --fixed --json
	[[ $(cat "$SERVER_LOG") == 'framing: listening on [::1]:'* ]]
	run -0 "$framing" ::1 -p "$PORT" -n 3
	wait_server
	same right "$(field right <"$SERVER_OUT")" 3
	start_server "$framing" -s -1 -p 0 --bind ::1
	[[ $(cat "$SERVER_LOG") == 'framing: listening on [::1]:'* ]]
}

@test "nobody listens there; the port is taken; no such name: one line, an error record, status 1" {
	start_server "$framing" -s -p 0
	local taken=$PORT
	run -1 --separate-stderr "$framing" -s -p "$taken" --json
	one_line_with bind EADDRINUSE
	same errno "$(ours errno error)" EADDRINUSE
	# the port is taken, but not on that address
	run -1 --separate-stderr "$framing" 127.0.0.2 -p "$taken" --json
	one_line_with connect "127.0.0.2:$taken" ECONNREFUSED
	same op "$(ours op error)" connect
	run -1 --separate-stderr "$framing" no-such-host.invalid --json
	one_line_with resolve no-such-host.invalid
	same op "$(ours op error)" resolve
}

# --- signals --------------------------------------------------------------------------------------------------------

@test "SIGINT and SIGTERM: the total first, then 130 and 143" {
	local pair
	for pair in INT:130 TERM:143; do
		start_server "$framing" -s -p 0 --json
		kill "-${pair%:*}" "$SERVER_PID"
		wait_server
		same status "$SERVER_STATUS" "${pair#*:}"
		same interrupted "$(field interrupted <"$SERVER_OUT")" true
	done
}

# The sockets that the last server has open.
sockets() {
	find "/proc/$SERVER_PID/fd" -lname 'socket:*' | wc -l
}

has_accepted() {
	[ "$(sockets)" -gt "$1" ]
}

@test "a signal ends a receiver that waits: for a late moment, at work, for bytes" {
	local fd words before
	for words in '--late 1h' '--work 1h' '' '--fixed'; do
		# shellcheck disable=SC2086 # an option and its value
		start_server "$framing" -s -p 0 --json --timeout 1h $words
		before=$(sockets)
		exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
		printf '\0\0\0\005hel' >&"$fd"
		wait_until has_accepted "$before"
		stop_server
		exec {fd}>&-
		same status "$SERVER_STATUS" 143
		same connections "$(field connections <"$SERVER_OUT")" 1
		same failed "$(field failed <"$SERVER_OUT")" 0
	done
}

# A sender in the background, as start_server does it, but without a line to wait for.
start_sender() {
	SERVER_LOG=$(mktemp "$BATS_TEST_TMPDIR/sender.XXXXXX.log")
	SERVER_OUT=${SERVER_LOG%.log}.out
	"$framing" 127.0.0.1 -p "$PORT" --json "$@" >"$SERVER_OUT" 2>"$SERVER_LOG" 3>&- &
	SERVER_PID=$!
	keep "$SERVER_PID" "$SERVER_LOG"
}

has_started() {
	grep -q '"record":"start"' "$SERVER_OUT"
}

@test "a signal ends a sender: between two messages, and in a send that waits for a receiver" {
	start_server "$framing" -s -p 0
	start_sender --gap 1h -n 3
	wait_until has_started
	stop_server
	same status "$SERVER_STATUS" 143
	same interrupted "$(field interrupted <"$SERVER_OUT")" true
	[ "$(field messages <"$SERVER_OUT")" -le 1 ]
	start_server "$framing" -s -p 0 --late 1h --rcvbuf 4K
	start_sender -l 100M -n 1
	wait_until has_started
	stop_server
	same status "$SERVER_STATUS" 143
	same messages "$(field messages <"$SERVER_OUT")" 0
	[ "$(field bytes <"$SERVER_OUT")" -lt 104857600 ]
}
