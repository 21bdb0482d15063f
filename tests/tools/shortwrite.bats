#!/usr/bin/env bats
# shortwrite: what was taken is what was received, to the byte, whatever the sender does with the rest; usage, reports.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	shortwrite=$TCPLAB_BIN/shortwrite
	EXPERIMENTS=(socket pipe timeout signal)
}

# sends WORDS...: status 0, nothing on stderr, and nothing between the two but what was not taken.
sends() {
	run -0 --separate-stderr "$shortwrite" "$@" --json
	echo "shortwrite $*"
	echo "$output"
	same stderr "$stderr" ''
	same "taken and received" "$(ours taken_bytes)" "$(ours received_bytes)"
	same missing "$(ours missing_bytes)" $(($(ours believed_bytes) - $(ours taken_bytes)))
}

# complete BYTES: all of them there and right.
complete() {
	same believed "$(ours believed_bytes)" "$1"
	same received "$(ours received_bytes)" "$1"
	same right "$(ours right_bytes)" "$1"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$shortwrite" --help
	[[ $output == *"usage: shortwrite"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$shortwrite" --version
	[[ $output == "shortwrite (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' file 'socket pipe' 'socket --fixed --spin' 'timeout --spin' 'signal --spin' 'socket --bytes 0' 'socket --block 0' \
		'socket --block 2G' 'socket --gap x' 'socket --pause 2h' 'socket --no-such-option'; do
		echo "shortwrite $words"
		# shellcheck disable=SC2086 # an experiment and its options
		run -2 --separate-stderr "$shortwrite" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "the count is ignored: bytes are missing, and the stream is wrong from the first cut on" {
	local x tries
	for x in "${EXPERIMENTS[@]}"; do
		# nothing comes after the cut when the receiver did not get a processor in time: then once more
		for ((tries = 0; tries < 10; tries++)); do
			sends "$x"
			[ "$(ours received_bytes)" -eq "$(ours right_bytes)" ] || break
		done
		same manner "$(ours manner)" ignore
		same believed "$(ours believed_bytes)" 8388608
		[ "$(ours missing_bytes)" -gt 0 ]
		[ "$(ours short_writes)" -gt 0 ]
		same writes "$(ours writes)" 16
		# after the cut there is more, and it is wrong; by accident, a few bytes later
		[ "$(ours right_bytes)" -ge "$(ours first_cut_bytes)" ]
		[ "$(ours right_bytes)" -lt $(($(ours first_cut_bytes) + 8)) ]
		[ "$(ours received_bytes)" -gt "$(ours right_bytes)" ]
	done
}

@test "--fixed: every byte, and no more calls than it takes" {
	local x
	for x in "${EXPERIMENTS[@]}"; do
		sends "$x" --fixed
		same manner "$(ours manner)" keep
		complete 8388608
		[ "$(ours short_writes)" -gt 0 ]
		[ "$(ours waits)" -gt 0 ]
		# a wait for each call that did not take everything
		same waits "$(ours waits)" $(($(ours short_writes) + $(ours refused)))
	done
}

@test "--spin: every byte, and very many calls" {
	local x
	for x in socket pipe; do
		sends "$x" --spin --bytes 4M
		same manner "$(ours manner)" spin
		complete 4194304
		same waits "$(ours waits)" 0
		[ "$(ours refused)" -gt 100 ]
	done
}

@test "--fixed: any blocks, any speed" {
	local x words
	for x in "${EXPERIMENTS[@]}"; do
		for words in '--bytes 1' '--bytes 3M --block 3M --pause 0' '--bytes 1000001 --block 65537 --gap 0' '--bytes 2M --block 2000 --gap 0'; do
			# shellcheck disable=SC2086 # options
			sends "$x" --fixed $words
			complete "$(ours believed_bytes)"
		done
	done
}

@test "pipe: a block of up to 4096 bytes as a whole or not at all" {
	sends pipe --block 4096 --gap 0 --bytes 1M
	same "short writes" "$(ours short_writes)" 0
	[ "$(ours refused)" -gt 0 ]
	same "missing" "$(ours missing_bytes)" $(($(ours refused) * 4096))
	sends pipe --block 4097 --gap 0 --bytes 1M
	[ "$(ours short_writes)" -gt 0 ]
}

@test "nothing was lost: the mistake did not show, status 3" {
	run -3 --separate-stderr "$shortwrite" socket --bytes 1000 --json
	same missing "$(ours missing_bytes)" 0
	same "first cut" "$(ours first_cut_bytes)" null
	run -0 "$shortwrite" socket --bytes 1000 --fixed
}

# --- reports --------------------------------------------------------------------------------------------------------

@test "the text" {
	run -0 --separate-stderr "$shortwrite" socket --fixed --bytes 2M
	same stderr "$stderr" ''
	same first "${lines[0]}" 'socket: a non-blocking socket; the sender: keeps the rest, and waits for room'
	[[ $output == *'     2097152  bytes received'* ]]
	run -0 "$shortwrite" socket --fixed --bytes 1
	[[ $output != *'before the first'* ]]
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	local signal x
	local -A expected=([INT]=130 [TERM]=143)
	for x in "${EXPERIMENTS[@]}"; do
		for signal in INT TERM; do
			rm -f out
			"$shortwrite" "$x" --bytes 1G --json >out 2>err 3>&- &
			local pid=$! status=0
			wait_until grep -q start out
			kill -$signal $pid
			wait $pid || status=$?
			same "status of $x after SIG$signal" "$status" "${expected[$signal]}"
			same interrupted "$(field interrupted <out)" true
			same received "$(field received_bytes <out)" "$(field taken_bytes <out)"
		done
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$shortwrite' socket > /dev/full"
}
