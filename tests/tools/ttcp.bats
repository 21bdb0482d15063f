#!/usr/bin/env bats
# ttcp against itself: usage, limits, modes, reports, signals, addresses. Other people's programs and Python peers are in
# tests/interop/ttcp.bats, hostile and unlucky peers in tests/robust/ttcp.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant

load ../helpers
load ../fixtures/through_socks
load ../fixtures/linkem

setup() {
	ttcp=$TCPLAB_BIN/ttcp
	NAMESPACES=()
}

teardown() {
	local name result=0
	stop_servers || result=1
	for name in "${NAMESPACES[@]}"; do
		ip netns del "$name"
	done
	return $result
}

# --- what the tests share -------------------------------------------------------------------------------------------

# A sender to the last server.
send() {
	"$ttcp" -t 127.0.0.1 -p "$PORT" "$@"
}

# One run with --json against a receiver of its own that ends with it; the options of the receiver come before --, those of
# the sender behind it. Both must end with 0. The sender's records: $output, the receiver's: $theirs.
both_ends() {
	local receiver=()
	while [ "$1" != -- ]; do
		receiver+=("$1")
		shift
	done
	shift
	start_server "$ttcp" -r -1 -p 0 --json "${receiver[@]}"
	run -0 --separate-stderr send --json "$@"
	echo "ttcp -t ... $*"
	echo "$output"
	same "the sender's stderr" "$stderr" ''
	wait_server
	theirs=$(cat "$SERVER_OUT")
	echo "$theirs"
	same "the receiver's status" "$SERVER_STATUS" 0
}

# A field of the "reverse" object in our total.
reverse() {
	field "$1" <<<"{\"record\":\"total\",$(ours reverse | cut -c 2-)"
}

# sum KEY RECORD: over the records on stdin.
sum() {
	local line value sum=0
	while read -r line; do
		value=$(field "$1" "$2" <<<"$line") && sum=$((sum + value))
	done
	echo "$sum"
}

# The last line of $output is a record of this kind.
last_is() {
	[[ ${lines[-1]} == *"\"record\":\"$1\""* ]] || {
		echo "the last record is no $1: ${lines[-1]}"
		return 1
	}
}

has_line() {
	grep -q -- "$1" "$2"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$ttcp" --help
	[[ $output == *"usage: ttcp"*"--mode"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$ttcp" --version
	[[ $output == "ttcp (tcplab) "* ]]
	same stderr "$stderr" ''
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "ttcp $*"
	run -2 --separate-stderr "$ttcp" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "wrong usage: what does not go together" {
	refused
	refused localhost
	refused -t
	refused -r -t localhost
	refused -r -t
	refused -r localhost
	refused -r -4 -6
	refused -r --mode stream
	refused -r --reverse
	refused -r --bidir
	refused -r --sweep
	refused -r --probe
	refused -r --depth 2
	refused -r -n 5
	refused -r --mode raw --verify
	refused -r --socks localhost
	refused -t localhost --socks
	refused -t localhost --socks ''
	refused -t localhost --socks 1080
	refused -t localhost --socks localhost:0
	refused -t localhost --socks http://localhost:1080
	refused -t localhost --socks socks4://bob:secret@localhost
	refused -t localhost one-too-many
	refused -t -4 -6 localhost
	refused -t localhost -1
	refused -t localhost --reverse --bidir
	refused -t localhost --mode stream --depth 2
	refused -t localhost --verify --sendfile
	refused -t localhost --file /dev/null
	refused -t localhost --mode stream --file /dev/null
	refused -t localhost --csv
	refused -t localhost --svg x.svg
	refused -t localhost --sizes 1K
	refused -t localhost --depths 1
	refused -t localhost --sweep --bidir
	refused -t localhost --sweep --probe
	refused -t localhost --sweep --verify
	refused -t localhost -n 5 --bytes 5
	refused -t localhost -n 2147483648
	local option
	for option in --reverse --bidir --verify --probe --sweep '--depth=2'; do
		refused -t localhost --mode raw "$option"
	done
	refused -t localhost --mode raw --file /dev/null -P 2
}

@test "wrong usage: values out of range, no numbers, unknown names" {
	local words
	for words in '-p 65536' '-p x' '-p -1' '-l 0' '-l 257M' '-l 1X' '-l -1' '-n 0' '-n 1.5' '--bytes 0' '--time 0' \
		'--time -1' '--time 1parsec' '--omit 0' '--depth 0' '--depth 65537' '-P 0' '-P 129' '-m fast' '-i 0' '-w 0' '-w 2M' \
		'-M 87' '-M 65496' '--rate 0' '--rate x' '--max-clients 0' '--max-length 257M' '--probe-interval 0' '--timeout x' \
		'-l' '--no-such-option' '-q'; do
		# shellcheck disable=SC2086 # an option and its value
		refused -t localhost $words
	done
}

@test "wrong usage: --sizes and --depths of a sweep" {
	local value
	for value in 0 x 1K,x ',' 1K,,2K 257M -1 "$(seq -s , 33)" ''; do
		refused -t localhost --sweep --sizes "$value"
	done
	for value in 0 x 1,x 65537 -1 "$(seq -s , 33)" ''; do
		refused -t localhost --sweep --depths "$value"
	done
}

@test "-t takes the host, or is a flag with the host as operand" {
	start_server "$ttcp" -r -p 0
	local words
	for words in '-t 127.0.0.1' '-t127.0.0.1' '--trans 127.0.0.1' '--trans=127.0.0.1'; do
		# shellcheck disable=SC2086 # an option and its value
		run -0 "$ttcp" $words -p "$PORT" -n 3 -l 10
		# shellcheck disable=SC2086
		run -0 "$ttcp" -p "$PORT" -n 3 -l 10 $words
	done
	run -0 "$ttcp" -t -p "$PORT" -n 3 -l 10 127.0.0.1
	run -0 "$ttcp" -p "$PORT" -n 3 -t -l 10 127.0.0.1
	run -0 "$ttcp" --port "$PORT" --number 3 --length 10 --nodelay --trans 127.0.0.1
	stop_server
	[[ $(tail -n 1 "$SERVER_OUT") == "11 connections served, 0 refused, 330 B in all" ]]
}

# --- modes and limits -----------------------------------------------------------------------------------------------

# counts BYTES BLOCKS: both ends say so, about a run of one connection.
counts() {
	same "our bytes" "$(ours bytes)" "$1"
	same "our blocks" "$(ours blocks)" "$2"
	same "our word on it" "$(ours confirmed)" true
	same "bytes of the connection" "$(field bytes connection <<<"$theirs")" "$1"
	same "bytes of the receiver's total" "$(field bytes <<<"$theirs")" "$1"
}

@test "plain run: both ends count the same, to the byte" {
	both_ends -- -n 7 -l 1000
	same negotiated "$(ours negotiated start)" false
	counts 7000 7
	both_ends -- -n 1 -l 1
	counts 1 1
	# a block longer than any buffer of ours
	both_ends -- -n 2 -l 3000001
	counts 6000002 2
}

@test "each mode and direction: both ends count the same, to the byte" {
	local words
	for words in '-v' '--depth 4' '--depth 1000' '--mode stream' '-w 64K --mode stream' '-R' '-R --depth 4' '-R --mode stream' \
		'--sendfile' '--sendfile --mode stream' '-R --sendfile' '-D' '--cork --mode stream' '--mss 500'; do
		# shellcheck disable=SC2086 # options
		both_ends -- -n 50 -l 4001 $words
		counts 200050 50
	done
	for words in '--depth 3' '--mode stream' '-R --mode stream' '-R'; do
		# shellcheck disable=SC2086 # options
		both_ends -- -n 2 -l 3000001 $words
		counts 6000002 2
		# shellcheck disable=SC2086 # options
		both_ends -- -n 5000 -l 1 $words
		counts 5000 5000
	done
}

@test "parallel: -n is for each stream, and the receiver sees each" {
	local words
	for words in '' '--mode stream' '-R' '-R --mode stream' '--depth 4'; do
		# shellcheck disable=SC2086 # options
		both_ends -- -P 3 -n 20 -l 5000 $words
		same bytes "$(ours bytes)" 300000
		same blocks "$(ours blocks)" 60
		same streams "$(ours streams)" 3
		same connections "$(field connections <<<"$theirs")" 3
		same "sum of the connections" "$(sum bytes connection <<<"$theirs")" 300000
		same "the receiver's total" "$(field bytes <<<"$theirs")" 300000
	done
}

@test "bidir: both directions in full, each of them reported" {
	local words
	for words in '' '--mode stream' '--depth 4' '-P 2'; do
		# shellcheck disable=SC2086 # options
		both_ends -- --bidir -n 30 -l 2000 $words
		local streams=1
		[ "$words" != '-P 2' ] || streams=2
		same "bytes out" "$(ours bytes)" $((60000 * streams))
		same "bytes in" "$(reverse bytes)" $((60000 * streams))
		same "role out" "$(ours role)" sender
		same "role in" "$(reverse role)" receiver
		same "connections" "$(field connections <<<"$theirs")" $((2 * streams))
		same "sum of the connections" "$(sum bytes connection <<<"$theirs")" $((120000 * streams))
	done
}

@test "raw: bare bytes until EOF; --bytes is exact" {
	local words
	for words in '' '-w 4097' '--sendfile' '--sendfile -w 1000'; do
		# shellcheck disable=SC2086 # options
		both_ends --mode raw -- --mode raw --bytes 1234567 $words
		same "our bytes" "$(ours bytes)" 1234567
		same "bytes of the connection" "$(field bytes connection <<<"$theirs")" 1234567
	done
	both_ends --mode raw -- --mode raw -n 5 -l 1000
	same "bytes of -n 5 -l 1000" "$(field bytes connection <<<"$theirs")" 5000
	start_server "$ttcp" -r -p 0 --mode raw --json
	run -0 send --mode raw --bytes 50000 -P 3 --json
	same "bytes of -P 3" "$(ours bytes)" 150000
	stop_server
	same "bytes of three connections" "$(sum bytes connection <"$SERVER_OUT")" 150000
}

@test "raw --file: a file and standard input, to the end or to --bytes" {
	head -c 300001 /dev/urandom >"$BATS_TEST_TMPDIR/file"
	local words
	for words in '' '--sendfile'; do
		# shellcheck disable=SC2086 # options
		both_ends --mode raw -- --mode raw --file "$BATS_TEST_TMPDIR/file" $words
		same bytes "$(field bytes connection <<<"$theirs")" 300001
		# shellcheck disable=SC2086 # options
		both_ends --mode raw -- --mode raw --file "$BATS_TEST_TMPDIR/file" --bytes 1000 $words
		same "bytes of the first 1000" "$(field bytes connection <<<"$theirs")" 1000
	done
	start_server "$ttcp" -r -1 -p 0 --mode raw --json
	send --mode raw --file - <"$BATS_TEST_TMPDIR/file"
	wait_server
	same "bytes from stdin" "$(field bytes <"$SERVER_OUT")" 300001
	start_server "$ttcp" -r -1 -p 0 --mode raw --json
	head -c 100000 /dev/zero | send --mode raw --file -
	wait_server
	same "bytes from a pipe" "$(field bytes <"$SERVER_OUT")" 100000
}

@test "raw --file: one that is not there, and one that is a folder" {
	start_server "$ttcp" -r -p 0 --mode raw
	run -1 --separate-stderr send --mode raw --file "$BATS_TEST_TMPDIR/none"
	one_line_with ENOENT "$BATS_TEST_TMPDIR/none"
	run -1 --separate-stderr send --mode raw --file "$BATS_TEST_TMPDIR" --json
	one_line_with EISDIR "$BATS_TEST_TMPDIR"
	last_is error
	same errno "$(ours errno error)" EISDIR
}

@test "--bytes is rounded up to whole blocks" {
	both_ends -- --bytes 10000 -l 4096
	counts 12288 3
	both_ends -- --bytes 8K -l 4096 --mode stream
	counts 8192 2
	both_ends -- --bytes 1 -l 4096 -R
	counts 4096 1
}

@test "--time: ends by itself, not before its time" {
	local words all=0
	for words in '' '--depth 4' '--mode stream' '-R'; do
		# shellcheck disable=SC2086 # options
		both_ends -- --time 150ms -l 8K $words
		all=$((all + $(ours bytes)))
		same interrupted "$(ours interrupted)" false
		same "bytes at both ends" "$(field bytes connection <<<"$theirs")" "$(ours bytes)"
	done
	[ $all -gt 0 ]
	both_ends -- --time 150ms
	[ "$(ours elapsed_ns)" -ge 150000000 ]
	# whichever limit comes first
	both_ends -- --time 1h -n 3 -l 10
	counts 30 3
}

@test "--omit: the warm-up is in no figure; limits begin after it" {
	# pausing between blocks: the warm-up has some 100 of them, and without it all would be in the figures
	both_ends -- --omit 1s -n 20 -l 10000 --rate 8mbit -i 20ms
	same blocks "$(ours blocks)" 20
	same bytes "$(ours bytes)" 200000
	[[ ${lines[1]} == *'"warming_up":true'* ]]
	[[ ${lines[-2]} == *'"warming_up":false'* ]]
	local all
	all=$(sum bytes interval <<<"$output")
	echo "in all $all bytes"
	[ "$all" -gt 200000 ]
	both_ends -- --omit 100ms --time 100ms --mode stream
	same "both ends" "$(field bytes connection <<<"$theirs")" "$(ours bytes)"
}

@test "--verify: intact data is verified, in each mode" {
	local words
	for words in '' '--depth 8' '--mode stream' '-R' '-R --mode stream' '-P 2' '--seed 1'; do
		# shellcheck disable=SC2086 # options
		both_ends -- --verify -n 20 -l 10007 $words
		same "verified ($words)" "$(ours verified)" true
		same bad_offset "$(ours bad_offset)" null
	done
	both_ends -- --verify -n 2 -l 3000001
	same "verified, a long block" "$(ours verified)" true
	both_ends -- --verify -n 20 -l 10007 --bidir
	same "verified out" "$(ours verified)" true
	same "verified in" "$(reverse verified)" true
	both_ends -- -n 20
	same "not asked for" "$(ours verified)" null
	# with -r it is the pattern of plain senders
	both_ends --verify -- -n 3 -l 100003
	same "pattern verified" "$(field verified connection <<<"$theirs")" true
}

# --- reports --------------------------------------------------------------------------------------------------------

# typed KEY PATTERN: each total in $output has it.
typed() {
	local value
	value=$(ours "$1") || {
		echo "no $1"
		return 1
	}
	[[ $value =~ ^($2)$ ]] || {
		echo "$1 is '$value'"
		return 1
	}
}

@test "the total of a sweep: its round trip is a mean of the cells', not their sum" {
	both_ends -- --sweep --sizes 1K,4K --depths 1,2 -n 100
	local least most total
	least=$(sed -n 's/.*"record":"cell".*"rtt_ns":\([0-9]*\).*/\1/p' <<<"$output" | sort -n | head -n 1)
	most=$(sed -n 's/.*"record":"cell".*"rtt_ns":\([0-9]*\).*/\1/p' <<<"$output" | sort -n | tail -n 1)
	total=$(ours rtt_ns)
	[ "$total" -ge $((least - 4)) ] && [ "$total" -le "$most" ] # whole ns: each division may lose one
	[ "$(ours min_rtt_ns)" -le "$total" ]
}

@test "total has each key that scripts rely on, with its type, and is the last record" {
	local words key
	for words in '' '--depth 4' '--mode stream' '-R' '--bidir' '-P 2 --mode stream' '--sweep --sizes 1K,4K --depths 1,2'; do
		# shellcheck disable=SC2086 # options
		both_ends -- --bytes 100K $words
		last_is total
		same 'kinds of records' "$(grep -cv '"schema":"tcplab.ttcp/1","record":"' <<<"$output")" 0
		typed role 'sender|receiver'
		typed mode 'ack|stream'
		typed limited_by 'unknown|application|send_buffer|receive_window|network|pacing|stop_and_wait|cpu'
		typed congestion '[a-z_0-9-]+'
		typed rate_Bps '[0-9.e+]+'
		for key in bytes blocks elapsed_ns syscalls short_writes retransmits rtt_ns cpu_user_ns cpu_sys_ns; do
			typed $key '[0-9]+'
		done
		[ "$(ours elapsed_ns)" -gt 0 ]
		[ "$(ours syscalls)" -gt 0 ]
		[ "$(ours rtt_ns)" -gt 0 ]
		# the receiver's, too
		output=$theirs
		[[ $(tail -n 1 <<<"$theirs") == *'"record":"total"'* ]]
		for key in bytes blocks elapsed_ns syscalls retransmits rtt_ns cpu_user_ns cpu_sys_ns connections refused; do
			typed $key '[0-9]+'
		done
	done
}

# Of the intervals in $output: where the last one ends, the sum of their bytes, and how many do not begin at the end of the one
# before, take no time, or have other bytes than their streams have together.
steps() {
	awk '
		function number(text, key) {
			match(text, "\"" key "\":[0-9]+")
			return substr(text, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0
		}
		/"record":"interval"/ {
			start = number($0, "start_ns")
			bytes = number($0, "bytes")
			n = split($0, stream, /{"role":/)
			each = n > 1 ? 0 : bytes
			for (i = 2; i <= n; i++)
				each += number(stream[i], "bytes")
			bad += start != end || number($0, "end_ns") <= start || each != bytes
			end = number($0, "end_ns")
			sum += bytes
		}
		END { printf "%.0f %.0f %d\n", end, sum, bad }' <<<"$output"
}

@test "intervals: one after the other, and in sum not more than the total" {
	local words since took end all bad total streams
	for words in '--mode stream' '' '-R --mode stream' '-P 2 --mode stream'; do
		streams=1
		[[ $words != -P* ]] || streams=2
		since=${EPOCHREALTIME/[.,]/}
		# shellcheck disable=SC2086 # options
		both_ends -- --time 800ms -i 40ms --rate 80mbit -l 4K $words
		took=$((${EPOCHREALTIME/[.,]/} - since))
		read -r end all bad < <(steps)
		total=$(ours bytes)
		echo "$all bytes in intervals until $end ns, $total in all, within $took us"
		same "intervals that do not fit" "$bad" 0
		[ "$end" -gt 0 ]
		[ "$all" -le "$total" ]
		# what is missing was sent after the last of them: at 10 bytes a microsecond, a burst now and then
		[ $((total - all)) -le $((15 * streams * (took - end / 1000))) ]
	done
}

@test "intervals reach a pipe while the run goes, as text and as JSON" {
	start_server "$ttcp" -r -p 0 -i 50ms
	local words
	for words in '' '--json'; do
		# shellcheck disable=SC2086 # options
		start_worker bash -c 'exec "$@" > >(cat)' pipe "$ttcp" -t 127.0.0.1 -p "$PORT" --mode stream --rate 80mbit --time 1h -i 50ms $words
		wait_until has_line '^ *0\.00-[0-9]*\.\|"interval"' "$WORKER_OUT"
		run ! has_line '^limited by\|"total"' "$WORKER_OUT"
		# the receiver's own
		wait_until has_line 'connections$' "$SERVER_OUT"
		kill -INT "$WORKER"
		wait_server "$WORKER"
		wait_until has_line '^limited by\|"total"' "$WORKER_OUT"
	done
}

@test "text stays on stdout, and a good run says nothing on stderr" {
	local words
	start_server "$ttcp" -r -p 0
	for words in '-n 5' '--mode stream --bytes 1M' '-R -n 5' '--bidir -n 5 -i 1ms' '--probe --time 50ms' \
		'--sweep --sizes 1K --depths 1 --time 20ms' '--sweep --sizes 1K --depths 1 --time 20ms --csv'; do
		# shellcheck disable=SC2086 # options
		run -0 --separate-stderr send $words
		echo "$output"
		[ -n "$output" ]
		same "stderr of $words" "$stderr" ''
	done
	stop_server
	same "stderr of the receiver" "$(wc -l <"$SERVER_LOG")" 1
}

@test "a stdout that is full: status 1, said in one line" {
	local words
	start_server "$ttcp" -r -p 0
	for words in '-n 5' '-n 5 --json' '--mode stream --time 100ms -i 10ms' '--sweep --sizes 1K --depths 1 --time 20ms' \
		'--sweep --sizes 1K --depths 1 --time 20ms --csv'; do
		# shellcheck disable=SC2016,SC2086 # for the inner shell; options
		run -1 --separate-stderr bash -c '"$@" >/dev/full' full "$ttcp" -t 127.0.0.1 -p "$PORT" $words
		one_line_with 'standard output'
	done
	# shellcheck disable=SC2016 # for the inner shell
	run -1 --separate-stderr bash -c '"$1" --help >/dev/full' full "$ttcp"
	stop_server
	start_server bash -c 'exec "$@" >/dev/full' full "$ttcp" -r -1 -p 0
	run -0 send -n 5
	wait_server
	same "status of the receiver" "$SERVER_STATUS" 1
}

@test "--svg into a place that cannot be written: status 1" {
	start_server "$ttcp" -r -p 0
	run -1 --separate-stderr send --sweep --sizes 1K,2K --depths 1 --time 20ms --svg "$BATS_TEST_TMPDIR/none/x.svg"
	one_line_with ENOENT none/x.svg
	run -1 --separate-stderr send --sweep --sizes 1K,2K --depths 1 --time 20ms --svg /dev/full
	one_line_with ENOSPC /dev/full
}

@test "--probe: idle and loaded latency, p50 below p99" {
	local words
	for words in '--mode stream' '-R --depth 4' '--bidir --mode stream'; do
		# shellcheck disable=SC2086 # options
		both_ends -- --probe --time 1s --rate 80mbit $words
		local key
		for key in idle loaded; do
			[ "$(ours probe_${key}_n)" -gt 0 ]
			[ "$(ours probe_${key}_p50_ns)" -gt 0 ]
			[ "$(ours probe_${key}_p99_ns)" -ge "$(ours probe_${key}_p50_ns)" ]
		done
	done
	start_server "$ttcp" -r -p 0
	run -0 send --probe --probe-interval 1ms --mode stream --time 1s --rate 80mbit
	[[ $output == *idle*p50*p99*loaded*p50*p99* ]]
}

@test "--sweep: a cell for each size and depth, as text, CSV and JSON" {
	start_server "$ttcp" -r -p 0
	run -0 send --sweep --sizes 4K,1K --depths 1,3 --time 30ms
	[[ $output == *"depth 1"*"depth 3"*" 1K "*" 4K "* ]]

	run -0 send --sweep --sizes 4K,1K --depths 3,1 --time 30ms --csv
	same header "${lines[0]%%,bytes*}" length,depth,rate_Bps,predicted_Bps
	same lines "${#lines[@]}" 5
	same cells "$(printf '%s\n' "${lines[@]:1}" | cut -d , -f 1,2 | tr '\n' ' ')" "1024,1 1024,3 4096,1 4096,3 "
	same columns "$(printf '%s\n' "${lines[@]}" | tr -cd ',\n' | sort -u)" ,,,,,,,,,,,

	run -0 send --sweep --sizes 4K,1K --depths 1,3 -n 50 --json
	same cells "$(grep -c '"record":"cell"' <<<"$output")" 4
	last_is total
	same "bytes of the last cell" "$(ours bytes cell)" 204800
	same "bytes in all" "$(ours bytes)" "$(sum bytes cell <<<"$output")"

	run -0 send --sweep --sizes 4K,1K --mode stream -R --time 30ms --json
	same "cells of a stream" "$(grep -c '"record":"cell"' <<<"$output")" 2
	run -0 send --sweep --sizes 1K --depths 1 --time 30ms --svg "$BATS_TEST_TMPDIR/x.svg"
	[[ $(head -c 200 "$BATS_TEST_TMPDIR/x.svg") == *"<svg"* ]]
}

@test "limited_by: pacing with --rate" {
	# all of it fits into the send buffer: then the kernel alone sets the pace
	both_ends -- --rate 8mbit --mode stream --bytes 1M
	same limited_by "$(ours limited_by)" pacing
	both_ends -- --rate 8mbit --mode stream --bytes 1M -R
	same "limited_by in reverse" "$(ours limited_by)" pacing
	same "as the receiver's connection" "$(field limited_by connection <<<"$theirs")" pacing
	same "as the receiver's total" "$(field limited_by <<<"$theirs")" pacing
	start_server "$ttcp" -r -p 0
	run -0 send --rate 8mbit --mode stream --bytes 1M
	[[ $output == *"limited by pacing"* ]]
}

# On loopback a block is under way for less time than a busy processor keeps it waiting, and that is another limit.
@test "limited_by: one small block at a time, and a way that takes time" {
	find_out_if_possible
	prepare_testbed
	up --rtt 100ms
	start_server "$linkem" exec b "$ttcp" -r -p 0
	run -0 "$linkem" exec a "$ttcp" -t b -p "$PORT" -l 64 -n 10 --json
	end_testbed
	echo "$output"
	same limited_by "$(ours limited_by)" stop_and_wait
}

@test "limited_by: a trickle on standard input is the application" {
	start_server "$ttcp" -r -p 0 --mode raw
	# shellcheck disable=SC2016 # for the inner shell
	run -0 bash -c 'for i in {1..20}; do echo $i; sleep 0.02; done | "$@"' pipe \
		"$ttcp" -t 127.0.0.1 -p "$PORT" --mode raw --file - --json
	echo "$output"
	same limited_by "$(ours limited_by)" application
}

@test "--congestion: that of the sender, whichever end it is" {
	local words
	for words in '' '-R' '--mode stream'; do
		# shellcheck disable=SC2086 # options
		both_ends -- -C reno -v -n 10 $words
		same "congestion control ($words)" "$(ours congestion)" reno
	done
}

@test "--trace: the system calls, on stderr" {
	start_server "$ttcp" -r -p 0 --trace
	run -0 --separate-stderr send -n 3 -l 100 --trace
	[[ $stderr == *"connect("*"send("*"recv("* ]]
	same "calls of send" "$(grep -c 'trace] send(.*104) = 104' <<<"$stderr")" 3
	[[ $output != *trace* ]]
	# shellcheck disable=SC2030 # meant for this run only
	TCPLAB_TRACE=1 run -0 --separate-stderr send -n 3 -l 100
	[[ $stderr == *"send("* ]]
	stop_server
	has_line 'accept4(' "$SERVER_LOG"
	has_line 'recv(' "$SERVER_LOG"
}

@test "knobs reach the socket" {
	start_server "$ttcp" -r -p 0 --rcvbuf 100K --trace
	run -0 --separate-stderr send -n 3 --trace --sndbuf 64K --rcvbuf 32K --mss 1000 -D --cork
	local knob
	for knob in 'send buffer, 65536' 'receive buffer, 32768' 'mss, 1000' 'nodelay, 1' 'cork, 1'; do
		grep -q "setsockopt(.*$knob)" <<<"$stderr"
	done
	has_line 'receive buffer, 102400' "$SERVER_LOG"
}

# --- signals --------------------------------------------------------------------------------------------------------

# An interval in which our direction moved: with several connections that of the first.
has_moved() {
	has_line '"interval".*"role":"[a-z]*","bytes":[1-9][^]]*$\|"streams":\[{"role":"[a-z]*","bytes":[1-9]' "$1"
}

@test "SIGINT and SIGTERM: the sender ends in order, with the full report, confirmed" {
	start_server "$ttcp" -r -p 0
	local words signal wanted
	for signal in INT TERM; do
		wanted=130
		[ $signal = INT ] || wanted=143
		for words in '' '--depth 4' '--mode stream' '-R --mode stream' '--bidir --mode stream' '--probe --mode stream'; do
			echo "SIG$signal: $words"
			# shellcheck disable=SC2086 # options
			start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 2000000000 -l 4K --json -i 10ms $words
			wait_until has_moved "$WORKER_OUT"
			kill -$signal "$WORKER"
			wait_server "$WORKER"
			tail -n 1 "$WORKER_OUT"
			same status "$SERVER_STATUS" $wanted
			[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"total"'* ]]
			same interrupted "$(field interrupted <"$WORKER_OUT")" true
			same confirmed "$(field confirmed <"$WORKER_OUT")" true
			[ "$(field bytes <"$WORKER_OUT")" -gt 0 ]
			same stderr "$(cat "$WORKER_ERR")" ''
		done
	done
	start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" --mode stream --time 1h -i 10ms
	wait_until test -s "$WORKER_OUT"
	wait_until has_line '0\.0' "$WORKER_OUT"
	kill -INT "$WORKER"
	wait_server "$WORKER"
	same "status as text" "$SERVER_STATUS" 130
	has_line '^limited by' "$WORKER_OUT"
}

@test "SIGINT while the idle latency is measured" {
	start_server "$ttcp" -r -p 0
	start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" --probe --mode stream --time 1h --json
	wait_until has_line '"start"' "$WORKER_OUT"
	kill -INT "$WORKER"
	wait_server "$WORKER"
	tail -n 1 "$WORKER_OUT"
	same status "$SERVER_STATUS" 130
	[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"total"'* ]]
}

second_cell_is_over() {
	[ "$(grep -c '"connection"' "$SERVER_OUT")" -ge 2 ]
}

# The server is done with a cell before the client knows: when it is done with the second one the client has the first.
@test "SIGINT: a sweep prints the cells it has" {
	start_server "$ttcp" -r -p 0 --json
	start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" --sweep --time 100ms --json
	wait_until second_cell_is_over
	kill -INT "$WORKER"
	wait_server "$WORKER"
	cat "$WORKER_OUT"
	same status "$SERVER_STATUS" 130
	[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"total"'*'"interrupted":true'* ]]
}

@test "SIGINT and SIGTERM: the receiver prints its total" {
	local signal wanted
	for signal in INT TERM; do
		wanted=130
		[ $signal = INT ] || wanted=143
		start_server "$ttcp" -r -p 0 --json
		run -0 send -n 10 -l 100
		run -0 send -n 10 -l 100
		# shellcheck disable=SC2153 # set by start_server
		kill -$signal "$SERVER_PID"
		wait_server
		cat "$SERVER_OUT"
		same status "$SERVER_STATUS" $wanted
		[[ $(tail -n 1 "$SERVER_OUT") == *'"record":"total"'* ]]
		same bytes "$(field bytes <"$SERVER_OUT")" 2000
		same connections "$(field connections <"$SERVER_OUT")" 2
		same interrupted "$(field interrupted <"$SERVER_OUT")" true
	done
}

@test "SIGINT at the receiver: a negotiated sender is told to stop, and both report the same" {
	local words
	for words in '--depth 4' '--mode stream' '-R --mode stream' '-R'; do
		echo "$words"
		start_server "$ttcp" -r -p 0 --json
		# shellcheck disable=SC2086 # options
		start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" --time 1h -l 4K -i 10ms --json $words
		wait_until has_line '"interval"' "$WORKER_OUT"
		kill -INT "$SERVER_PID"
		wait_server
		same "status of the receiver" "$SERVER_STATUS" 130
		wait_server "$WORKER"
		tail -n 1 "$WORKER_OUT" "$SERVER_OUT"
		same "status of the sender" "$SERVER_STATUS" 0
		same bytes "$(field bytes <"$WORKER_OUT")" "$(field bytes connection <"$SERVER_OUT")"
	done
}

# --- one-off --------------------------------------------------------------------------------------------------------

@test "-1: one session with all its connections, then the end" {
	local words
	for words in '-n 5' '-P 4 -n 5' '-P 4 --probe --time 50ms' '--bidir -P 2 -n 5' '--sweep --sizes 1K,4K --depths 1,2 --time 20ms' \
		'--sweep --sizes 1K,4K --depths 1 --time 20ms -P 2'; do
		# shellcheck disable=SC2086 # options
		both_ends -- $words
		run -1 --separate-stderr send -n 1
		one_line_with ECONNREFUSED
	done
}

@test "-1: text for one connection is its own report, without a total" {
	start_server "$ttcp" -r -1 -p 0
	run -0 send -n 5
	wait_server
	same status "$SERVER_STATUS" 0
	grep -q '^127.0.0.1:[0-9]*: received' "$SERVER_OUT"
}

# --- what cannot be -------------------------------------------------------------------------------------------------

# fails ERRNO ARGS...: status 1 and one line, as text; and an error record as the last line with --json.
fails() {
	local errno=$1
	shift
	run -1 --separate-stderr "$ttcp" "$@"
	one_line_with "$errno"
	same stdout "$output" ''
	run -1 --separate-stderr "$ttcp" "$@" --json
	one_line_with "$errno"
	last_is error
	same errno "$(ours errno error)" "$errno"
	[ -n "$(ours op error)" ]
	[ -n "$(ours object error)" ]
	[ -n "$(ours message error)" ]
	[[ ${lines[-1]} == '{"schema":"tcplab.ttcp/1",'* ]]
}

@test "connection refused" {
	# the port is taken, but not on that address
	start_server "$ttcp" -r -p 0 --bind 127.0.0.1
	fails ECONNREFUSED -t 127.0.0.2 -p "$PORT"
	[[ $(ours object error) == *127.0.0.2* ]]
	fails ECONNREFUSED -t 127.0.0.2 -p "$PORT" --mode stream
	fails ECONNREFUSED -t 127.0.0.2 -p "$PORT" --mode raw
	fails ECONNREFUSED -t 127.0.0.2 -p "$PORT" --sweep
	fails ECONNREFUSED -t 127.0.0.2 -p "$PORT" -P 4
}

@test "a name that does not resolve; an address of the other family" {
	run -1 --separate-stderr "$ttcp" -t 'no such host' --json
	one_line_with 'no such host' EAI_
	last_is error
	run -1 --separate-stderr "$ttcp" -4 -t ::1
	one_line_with ::1 EAI_
	run -1 --separate-stderr "$ttcp" -r -p 0 --bind 'no such host'
	one_line_with 'no such host' EAI_
}

@test "a congestion control that is not there, at either end" {
	start_server "$ttcp" -r -p 0
	fails ENOENT -t 127.0.0.1 -p "$PORT" -C no-such-one
	run -0 send -n 3
	fails ENOENT -r -p 0 -C no-such-one
}

@test "a congestion control that the other end may not use" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to use one that others may not"
	local all mine name=''
	all=$(sysctl -n net.ipv4.tcp_available_congestion_control)
	mine=" $(sysctl -n net.ipv4.tcp_allowed_congestion_control) "
	for name in $all; do
		[[ $mine == *" $name "* ]] || break
		name=''
	done
	[ -n "$name" ] || skip "needs a congestion control that ordinary users may not use"
	as_nobody test -x "$ttcp" || skip "needs a place that others may look into"
	# not as_nobody: teardown ends the process that was started, and that would be the shell around it
	start_server setpriv --reuid=65534 --regid=65534 --clear-groups -- "$ttcp" -r -p 0
	fails EPROTO -t 127.0.0.1 -p "$PORT" -C "$name" -R
	has_line "refused.*congestion control" "$SERVER_LOG"
	run -0 send -C "$name" -n 3 -v
	run -0 send -R -n 3
}

@test "--congestion with -R is the other end's affair" {
	start_server "$ttcp" -r -p 0 --json
	run -1 send -C no-such-one -R
	stop_server
	same "connections that the receiver saw" "$(field refused <"$SERVER_OUT")" 1
}

@test "an address that is not ours; a port that is taken" {
	start_server "$ttcp" -r -p 0
	fails EADDRNOTAVAIL -t 127.0.0.1 -p "$PORT" -B 192.0.2.1
	fails EADDRNOTAVAIL -r -p 0 -B 192.0.2.1
	fails EADDRINUSE -r -p "$PORT"
	fails EADDRINUSE -r -p "$PORT" -B 127.0.0.1
	run -0 send -n 3
}

@test "a block longer than the receiver allows" {
	start_server "$ttcp" -r -p 0 --max-length 64K
	run -1 --separate-stderr send -l 65537 --time 1 --json
	echo "$stderr"
	same errno "$(ours errno error)" EMSGSIZE
	run -1 send -l 65537 -n 1
	run -0 send -l 64K -n 1
	run -0 send -l 64K -n 1 -v
	stop_server
	[ "$(grep -c refused "$SERVER_LOG")" -eq 2 ]
}

# --- addresses ------------------------------------------------------------------------------------------------------

@test "IPv4 and IPv6: one receiver for both, -4, -6, names and addresses" {
	start_server "$ttcp" -r -p 0 --json
	local words
	for words in '-t 127.0.0.1' '-t ::1' '-t localhost' '-4 -t localhost' '-t ::ffff:127.0.0.1' '-t 127.0.0.1 -B 127.0.0.2'; do
		# shellcheck disable=SC2086 # options
		run -0 "$ttcp" $words -p "$PORT" -n 3 -l 10
	done
	run -0 "$ttcp" -6 -t ::1 -p "$PORT" -n 3 -l 10 -P 2 --mode stream --json
	same peer "$(ours peer start)" "[::1]:$PORT"
	stop_server
	grep -q '"peer":"\[::1\]:' "$SERVER_OUT"
	grep -q '"peer":"127.0.0.1:' "$SERVER_OUT"
	grep -q '"peer":"127.0.0.2:' "$SERVER_OUT"

	start_server "$ttcp" -r -p 0 -6
	has_line "listening on \[::\]:$PORT" "$SERVER_LOG"
	run -0 "$ttcp" -t ::1 -p "$PORT" -n 3
	run -1 "$ttcp" -t 127.0.0.1 -p "$PORT" -n 3
	start_server "$ttcp" -r -p 0 -4
	has_line "listening on 0.0.0.0:$PORT" "$SERVER_LOG"
	run -0 "$ttcp" -t 127.0.0.1 -p "$PORT" -n 3
	run -1 "$ttcp" -t ::1 -p "$PORT" -n 3
	start_server "$ttcp" -r -p 0 --bind ::1
	has_line "listening on \[::1\]:$PORT" "$SERVER_LOG"
	run -0 "$ttcp" -t ::1 -p "$PORT" -n 3
}

# --- through a SOCKS server -------------------------------------------------------------------------------------------

@test "--socks: by name and by literal, SOCKS 4, 4a and 5; the peer is the receiver" {
	local way url host
	start_proxy
	start_server "$ttcp" -r -p 0
	for way in "${WAYS[@]}"; do
		split "$way"
		run -0 --separate-stderr "$ttcp" -t "$host" -p "$PORT" --socks "$url" -n 5 -l 1000 --json
		echo "$url: $output"
		same stderr "$stderr" ''
		same "peer, socks" "$(ours peer start) $(ours socks start) $(ours socks)" "$host:$PORT $PROXY $PROXY"
		same "bytes, confirmed" "$(ours bytes) $(ours confirmed)" "5000 true"
	done
	run -0 send --socks "$PROXY" -n 5
	[[ $output == "to 127.0.0.1:$PORT through $PROXY, mode ack, "* ]]
	run -0 send -n 5 --json
	same "without a proxy" "$(ours peer start) $(ours socks start) $(ours socks)" "127.0.0.1:$PORT null null"
}

@test "--socks: every connection of a run goes through it, in each mode and direction" {
	local words n granted=0
	start_proxy
	start_server "$ttcp" -r -p 0 --json
	while read -r n words; do
		# shellcheck disable=SC2086 # options
		run -0 --separate-stderr send --socks "$PROXY" --json $words
		echo "$words: $output"
		same stderr "$stderr" ''
		same confirmed "$(ours confirmed)" true
		granted=$((granted + n))
	done <<-'END'
		1 -n 20 --verify
		1 --reverse -n 20 --verify
		3 -P 3 --depth 4 -n 20
		5 -P 2 --bidir --mode stream --time 100ms --probe
		2 --sweep --sizes 1K,4K --depths 1 --time 20ms
	END
	start_server "$ttcp" -r -p 0 --mode raw
	run -0 --separate-stderr send --socks "$PROXY" --json --mode raw --bytes 100000
	same "raw, confirmed" "$(ours bytes) $(ours confirmed)" "100000 true"
	granted=$((granted + 1))
	stop_server "$PROXY_PID"
	same "connections that were granted" "$(field granted <"$PROXY_OUT")" "$granted"
}

@test "--socks: user and password; who has none, or a wrong one, is told so" {
	echo alice:secret >"$BATS_TEST_TMPDIR/users"
	start_proxy --users "$BATS_TEST_TMPDIR/users"
	start_server "$ttcp" -r -p 0
	run -0 send --socks "alice:secret@$PROXY" -n 5 --json
	same socks "$(ours socks)" "$PROXY" # without the password
	fails EACCES -t 127.0.0.1 -p "$PORT" --socks "alice:wrong@$PROXY"
	[[ $(ours message error) == *"does not take this user and password"* ]]
	fails EACCES -t 127.0.0.1 -p "$PORT" --socks "$PROXY"
	[[ $(ours message error) == *"wants a user and a password"* ]]
}

@test "--socks: refused by the receiver's host, by the proxy's, and by what is no proxy" {
	start_proxy
	deaf
	fails ECONNREFUSED -t localhost -p "$DEAF" --socks "$PROXY"
	same object "$(ours object error)" "localhost:$DEAF through $PROXY"
	same message "$(ours message error)" "the SOCKS server says: connection refused"
	fails ECONNREFUSED -t localhost -p "$DEAF" --socks "$PROXY" -P 3 --mode stream
	fails EIO -t 127.0.0.1 -p "$DEAF" --socks "socks4://$PROXY"
	fails EHOSTUNREACH -t no-such-host.invalid -p 1 --socks "$PROXY"
	fails ECONNREFUSED -t localhost -p 1 --socks "127.0.0.1:$DEAF"
	same object "$(ours object error)" "127.0.0.1:$DEAF"
	start_server "$TCPLAB_BIN/echo" -s -p 0
	fails EPROTO -t localhost -p 1 --socks "127.0.0.1:$PORT"
	start_server "$TCPLAB_BIN/naivesocks" --mistake grant 0
	fails EPROTONOSUPPORT -t 127.0.0.1 -p "$DEAF" --socks "socks4://127.0.0.1:$PORT" --mode stream
	[[ $(ours message error) == *"or the SOCKS server granted a connection that it did not have"* ]]
}

@test "between two network namespaces, IPv4 and IPv6" {
	need ip
	local a=ttcp-a-$$ b=ttcp-b-$$ host words
	ip netns add "$a" 2>/dev/null || skip "needs the right to make network namespaces"
	NAMESPACES+=("$a")
	ip netns add "$b"
	NAMESPACES+=("$b")
	ip -n "$a" link add e0 type veth peer name e0 netns "$b" 2>/dev/null || skip "needs veth"
	ip -n "$a" address add 10.7.7.1/24 dev e0
	ip -n "$b" address add 10.7.7.2/24 dev e0
	ip -n "$a" address add fd07::1/64 dev e0 nodad
	ip -n "$b" address add fd07::2/64 dev e0 nodad
	ip -n "$a" link set e0 up
	ip -n "$b" link set e0 up
	start_server ip netns exec "$b" "$ttcp" -r -p 0 --json
	for host in 10.7.7.2 fd07::2; do
		for words in '' '--mode stream' '-R --depth 4' '--bidir -P 2'; do
			# shellcheck disable=SC2086 # options
			run -0 ip netns exec "$a" "$ttcp" -t $host -p "$PORT" -n 50 -l 20000 --verify --json $words
			echo "$output"
			same verified "$(ours verified)" true
			[ "$(ours bytes)" -ge 1000000 ]
		done
	done
	stop_server
	grep -q '"peer":"10.7.7.1:' "$SERVER_OUT"
	grep -q '"peer":"\[fd07::1\]:' "$SERVER_OUT"
}
