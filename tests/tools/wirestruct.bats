#!/usr/bin/env bats
# wirestruct: what each receiver makes of the same bytes, what goes along with them, the format that is nobody's, usage, reports,
# signals. The figures are those of a machine on which the struct has 24 bytes: wherever 64-bit numbers are aligned to 8.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	wirestruct=$TCPLAB_BIN/wirestruct
}

# try WORD...: its records are in $output, its status in $status.
try() {
	run --separate-stderr "$wirestruct" "$@" --json
	echo "wirestruct $*: status $status"
	echo "$output$stderr"
}

# On a machine with another struct, or with the large end first, the bytes are others.
need_24_bytes_little_end_first() {
	[ "$(printf '\1\0' | od -An -tu2)" -eq 1 ] || skip "this machine has the large end first"
	[ "$("$wirestruct" same --json | field sender_bytes start)" -eq 24 ] || skip "the struct is not 24 bytes here"
}

# message NUMBER KEY, wire NUMBER KEY: of that record in $output.
message() {
	grep "\"record\":\"message\",\"number\":$1," <<<"$output" | field "$2" message
}

wire() {
	grep "\"record\":\"wire\",\"number\":$1," <<<"$output" | field "$2" wire
}

# counted SENT TAKEN RIGHT REFUSED
counted() {
	same "sent, taken, right, refused" "$(ours sent) $(ours taken) $(ours right) $(ours refused)" "$*"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$wirestruct" --help
	[[ $output == *"usage: wirestruct"*"garbage"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$wirestruct" --version
	[[ $output == "wirestruct (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' 'no-such' 'same packed' 'same -4 -6' 'same --timeout 0' 'same --no-such-option' '--fixed'; do
		echo "wirestruct $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$wirestruct" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- a struct as it lies in memory ----------------------------------------------------------------------------------

@test "same: the bytes of the struct, padding included, and all is right" {
	need_24_bytes_little_end_first
	try same
	same status "$status" 0
	counted 3 3 3 0
	same "first bytes" "$(wire 1 hex)" 01eeeeee01000000e9030000000000000300eeeeeeeeeeee
	same "last bytes" "$(wire 3 hex)" 01eeeeee03000000eb030000000000000300eeeeeeeeeeee
	same padding "$(wire 2 padding_hex) $(ours padding_bytes start)" 'eeeeeeeeeeeeeeeeee 9'
	same stream "$(ours stream_bytes) $(ours left_bytes)" '72 0'
	same fields "$(message 2 type) $(message 2 len) $(message 2 id) $(message 2 flags)" '1 2 1002 3'
}

@test "packed: padding is read as a length, and the stream is cut at other places" {
	need_24_bytes_little_end_first
	try packed
	same status "$status" 0
	same receiver "$(ours receiver_bytes start)" 15
	counted 3 4 0 0
	same left "$(ours left_bytes)" 12
	same len "$(message 1 len)" $((0x01eeeeee))
	same id "$(message 1 id)" $((0x03e9000000))
	same flags "$(message 1 flags)" 0
	same "the second one's type" "$(message 2 type)" 0
}

@test "i386: the first message is right, and only that one" {
	need_24_bytes_little_end_first
	try i386
	same status "$status" 0
	same receiver "$(ours receiver_bytes start)" 20
	counted 3 3 1 0
	same left "$(ours left_bytes)" 12
	same "the first" "$(message 1 right) $(message 1 id)" 'true 1001'
	same "the second" "$(message 2 right) $(message 2 type)" "false $((0xee))"
}

@test "order: each number the other way round" {
	need_24_bytes_little_end_first
	try order
	same status "$status" 0
	counted 3 3 0 0
	same len "$(message 1 len)" 16777216
	same flags "$(message 3 flags)" $((0x0300))
	same type "$(message 3 type)" 1
	same id "$(message 1 id)" "$(printf %u 0xe903000000000000)"
}

@test "leak: all is right, and what lay there before is out" {
	need_24_bytes_little_end_first
	try leak
	same status "$status" 0
	counted 3 3 3 0
	same leaked "$(ours leaked_bytes)" 27
	same padding "$(wire 3 padding_hex)" "$(printf 'sers3cret' | od -An -tx1 | tr -d ' \n')"
	run -0 "$wirestruct" leak
	[[ $output == *'between the fields: "sers3cret"'* ]]
}

@test "garbage: a request of somebody else's is a message" {
	need_24_bytes_little_end_first
	try garbage
	same status "$status" 0
	counted 0 1 0 0
	same type "$(message 1 type)" 71
	same len "$(message 1 len)" 1414012975
	same "stream, left" "$(ours stream_bytes) $(ours left_bytes)" '35 11'
}

# --- a format -------------------------------------------------------------------------------------------------------

@test "--fixed: 15 bytes, big-endian, for every receiver, and nothing of old memory" {
	local experiment
	for experiment in same packed i386 order leak; do
		try $experiment --fixed
		same status "$status" 0
		counted 3 3 3 0
		same "stream, left, leaked" "$(ours stream_bytes) $(ours left_bytes) $(ours leaked_bytes)" '45 0 0'
		same bytes "$(wire 1 hex) $(wire 1 padding_hex)" '010000000100000000000003e90003 '
		same bytes "$(wire 3 hex)" 010000000300000000000003eb0003
		same fields "$(message 3 type) $(message 3 len) $(message 3 id) $(message 3 flags)" '1 3 1003 3'
	done
}

@test "old: right as long as both are old; a receiver that looks refuses it, with the reason" {
	need_24_bytes_little_end_first
	try old
	same status "$status" 0
	counted 3 3 3 0
	try old --fixed
	same status "$status" 0
	counted 3 0 0 1
	same complaint "$(ours complaint refused)" "len $((0xeeeeee01)): it is 1048576 at most"
	same "stream, left" "$(ours stream_bytes) $(ours left_bytes)" '72 72'
}

@test "--fixed: garbage is refused, with the reason" {
	try garbage --fixed
	same status "$status" 0
	counted 0 0 0 1
	same complaint "$(ours complaint refused)" 'type 71: it is 1 to 3'
	same left "$(ours left_bytes)" 35
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text: the bytes with the padding in brackets, and what is wrong" {
	need_24_bytes_little_end_first
	run -0 "$wirestruct" packed
	same sender "${lines[0]}" 'sender:   the struct as compiled here: 24 bytes; type at 0, len at 4, id at 8, flags at 16; 9 of padding'
	same receiver "${lines[1]}" 'receiver: the same struct, packed: 15 bytes; type at 0, len at 1, id at 5, flags at 13'
	same wire "${lines[2]}" 'wire 1:  01 [ee ee ee]  01000000  e903000000000000  0300 [ee ee ee ee ee ee]'
	same message "${lines[5]}" 'message 1:  type 1  len 32435950 (wrong)  id 16793993216 (wrong)  flags 0 (wrong)'
	[[ ${lines[8]} == 'message 4:'*'nobody sent this' ]]
	same total "${lines[9]}" '3 messages sent, 72 bytes; 4 taken, 0 of them right, 0 refused; 12 bytes left over; 27 of old memory'
}

@test "IPv6" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	run -0 "$wirestruct" same -6 --trace --json
	[[ $output == *'connect('*'[::1]:'* ]]
	same right "$(ours right)" 3
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	need python3
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		# It is over in a millisecond: so the signal waits for it from the beginning.
		run python3 -c '
import os, signal, sys
which = getattr(signal, "SIG" + sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, {which})
os.kill(os.getpid(), which)
os.execv(sys.argv[2], sys.argv[2:])' $signal "$wirestruct" packed --json
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(ours interrupted)" true
	done
}

@test "no connection: status 1, an error record" {
	run --separate-stderr bash -c "exec 3>&- 4>&- 5>&-; ulimit -n 5; exec '$wirestruct' same --json"
	same status "$status" 1
	same errno "$(ours errno error)" EMFILE
	one_line_with EMFILE
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$wirestruct' same --json > /dev/full"
}
