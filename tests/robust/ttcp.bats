#!/usr/bin/env bats
# ttcp in bad company and bad weather: strangers, silent peers, too many of them, no descriptors, ends that stop or die.
# The same in Python, with fuzz and damage on the way, is in tests/interop/ttcp.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	ttcp=$TCPLAB_BIN/ttcp
	HELD=()
	STOPPED=''
	WORKER='' WORKER_OUT='' WORKER_ERR=''
}

teardown() {
	local result=0
	[ -z "$STOPPED" ] || kill -CONT "$STOPPED" 2>/dev/null || true
	stop_servers || result=1
	return $result
}

# --- what the tests share -------------------------------------------------------------------------------------------

# A sender to the last server.
send() {
	"$ttcp" -t 127.0.0.1 -p "$PORT" "$@"
}

# A program in the background: $WORKER, its $WORKER_OUT and $WORKER_ERR. wait_server "$WORKER" waits for it. It does not
# inherit the connections that this shell holds.
start_worker() {
	WORKER_OUT=$(mktemp "$BATS_TEST_TMPDIR/worker.XXXXXX.out")
	WORKER_ERR=${WORKER_OUT%.out}.err
	(
		let_all_go
		exec "$@"
	) >"$WORKER_OUT" 2>"$WORKER_ERR" 3>&- &
	WORKER=$!
	SERVER_PIDS+=("$WORKER")
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$WORKER]=$WORKER_ERR
}

says() {
	grep -qE -- "$1" "$2"
}

counts_lines() {
	[ "$(grep -cE -- "$2" "$3")" -ge "$1" ]
}

# The last receiver lives and serves.
serves() {
	run -0 send -n 3 -l 100
	run -0 send -n 3 -l 100 --mode stream --verify
}

# visit FORMAT: a connection that sends what printf makes of it and closes.
visit() {
	# shellcheck disable=SC2059 # the format is the message
	(printf "$1" >"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || true
}

# let_go N: closes the N-th that is held (from 0).
let_go() {
	local fd=${HELD[$1]}
	exec {fd}>&-
}

# A hello of 84 bytes that is valid: as sender, ack mode, blocks of 64 bytes, depth 1, three of them, one connection.
HELLO='\xF4TTC\0\0\0\x54\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\x12\x34\0\0\0\0\0\0\0\x01\0\0\0\x40\0\0\0\x01\0\0\0\0\0\0\0\x03'
HELLO+='\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
# What follows it: GO, the blocks, END, a tally.
BLOCK='\0\0\0\x400123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF'
SESSION="\\0\\0\\0\\x01$BLOCK$BLOCK$BLOCK\\0\\0\\0\\0$(printf '\\0%.0s' {1..152})"

threads() {
	find "/proc/$SERVER_PID/task" -mindepth 1 -maxdepth 1 | wc -l
}

has_threads() {
	[ "$(threads)" -eq "$1" ]
}

is_alone() {
	has_threads 1
}

descriptors() {
	find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l
}

# Processor time of the last server in clock ticks of 10 ms.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$SERVER_PID/stat"
}

# --- strangers ------------------------------------------------------------------------------------------------------

# refused MESSAGE WORDS: such a visitor is told off in one line with its address and these words, and the next is served.
refused() {
	echo "visitor: $1"
	: >"$SERVER_LOG"
	visit "$1"
	wait_until says . "$SERVER_LOG"
	cat "$SERVER_LOG"
	serves
	same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 1
	says "^ttcp: 127\.0\.0\.1:[0-9]+: refused: .*$2" "$SERVER_LOG"
}

@test "a stranger is told off in one line, and the next client is served" {
	start_server "$ttcp" -r -p 0
	refused 'GET / HTTP/1.1\r\n\r\n' HTTP
	refused 'POST / HTTP/1.1\r\n\r\n' HTTP
	refused 'SSH-2.0-OpenSSH_9.2\r\n' SSH
	# two TLS hellos: the first eight bytes of one could be a session's
	refused '\x16\x03\x01\0\xf4\x01\0\0\xf0\x03\x03and-so-on' TLS
	refused '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03and-so-on' TLS
	refused '01234567890123456789012345678901' 'iperf2|classic'
	# iperf 2.1.8: flags, one thread, the port
	refused '\x40\x01\0\x78\0\0\0\x01\0\0\x13\x89\0\0\0\0\0\0\0\0\0\x10\0\0' iperf
	refused 'abcdefgh234567abcdefgh234567abcdefgh2' iperf3
	refused 'HELO nuttcp v6.1.2\n' nuttcp
	refused '\0\0\0\0\0\0\0\0' .
	refused 'some words of a person\n' .
}

@test "absurd sizes in a session header" {
	start_server "$ttcp" -r -p 0
	refused '\0\0\0\x01\0\0\0\0' .                 # no length
	refused '\0\0\0\x01\xff\xff\xff\xff' .         # -1
	refused '\0\0\0\x01\x7f\xff\xff\xff' .         # 2 GiB
	refused '\0\0\0\x01\x10\0\0\x01' .             # 256 MiB and one
	refused '\xff\xff\xff\xff\0\0\0\x20' .         # a negative count that is not ours
	refused '\x80\0\0\0\x80\0\0\0' .
	[ "$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$SERVER_PID/status")" -lt 262144 ]
}

@test "absurd values in a hello" {
	start_server "$ttcp" -r -p 0
	# role, mode, connections, length, depth, size of writes, a name without an end; another version
	refused "${HELLO/'\0\x01\0\0\0\x01'/'\0\x01\x03\0\0\x01'}" .
	refused "${HELLO/'\0\x01\0\0\0\x01'/'\0\x01\0\x02\0\x01'}" .
	refused "${HELLO/'\0\x01\0\0\0\x01'/'\0\x01\0\0\0\0'}" .
	refused "${HELLO/'\0\0\0\x40\0\0\0\x01'/'\0\0\0\0\0\0\0\x01'}" .
	refused "${HELLO/'\0\0\0\x40\0\0\0\x01'/'\x10\0\0\x01\0\0\0\x01'}" longer
	refused "${HELLO/'\0\0\0\x40\0\0\0\x01'/'\0\0\0\x40\0\0\0\0'}" .
	refused "${HELLO/'\0\0\0\x40\0\0\0\x01'/'\0\0\0\x40\xff\xff\xff\xff'}" .
	refused "${HELLO%'\0'}x" .
	refused "${HELLO/'\0\x01\0\0\0\x01'/'\0\x02\0\0\0\x01'}" version
}

@test "a hello that is longer than ours: what we do not know is passed over, up to a bound" {
	start_server "$ttcp" -r -p 0 --json
	hold "${HELLO/'TTC\0\0\0\x54'/'TTC\0\0\0\x60'}a-new-field.$SESSION"
	wait_until says '"connection"' "$SERVER_OUT"
	same bytes "$(field bytes connection <"$SERVER_OUT")" 192
	refused "${HELLO/'TTC\0\0\0\x54'/'TTC\0\0\0\x53'}" .
	refused "${HELLO/'TTC\0\0\0\x54'/'TTC\0\0\x10\0'}" .
	refused "${HELLO/'TTC\0\0\0\x54'/'TTC\xff\xff\xff\xff'}" .
}

@test "half a header, half a hello, no GO, a wrong GO" {
	start_server "$ttcp" -r -p 0
	refused '' closed
	refused '\0\0\0' closed
	refused '\0\0\0\x01\0\0\0' closed
	refused '\xF4TTC\0\0\0\x54' .
	refused '\xF4TTC\0\0\0\x54\0\x01\0' .
	refused "$HELLO" .
	refused "$HELLO\\0\\0" .
	refused "$HELLO\\0\\0\\0\\x02" .
}

@test "strangers do not end a receiver with -1; what it says of them is in its total" {
	start_server "$ttcp" -r -1 -p 0 --json
	visit 'GET / HTTP/1.1\r\n\r\n'
	visit ''
	visit "$HELLO"
	visit '\0\0\0\x01\xff\xff\xff\xff'
	wait_until counts_lines 4 refused "$SERVER_LOG"
	run -0 send -n 3 -l 10 -P 2
	wait_server
	cat "$SERVER_OUT" "$SERVER_LOG"
	same status "$SERVER_STATUS" 0
	same refused "$(field refused <"$SERVER_OUT")" 4
	same bytes "$(field bytes <"$SERVER_OUT")" 60
}

@test "-1: a session that fails ends it with status 1" {
	start_server "$ttcp" -r -1 -p 0 --json
	visit '\0\0\0\x02\0\0\0\x04\0\0\0\x04abcd\0\0\0\x04'
	wait_server
	cat "$SERVER_OUT" "$SERVER_LOG"
	same status "$SERVER_STATUS" 1
	same errno "$(field errno connection <"$SERVER_OUT")" ECONNRESET
	same "bytes that came" "$(field bytes connection <"$SERVER_OUT")" 4
	[[ $(tail -n 1 "$SERVER_OUT") == *'"record":"total"'* ]]
}

@test "1,000 strangers: no thread, descriptor or memory is kept for them" {
	start_server "$ttcp" -r -p 0
	local i before after fds
	flood() {
		for ((i = 0; i < $1; i += 4)); do
			hold ''
			hold '\0\0\0\x01\x10\0\0\0\x10\0\0\0'
			hold 'GET / HTTP'
			hold "$HELLO\\0\\0\\0\\x01\\0\\0\\0\\x40"
			let_all_go
		done
		wait_until is_alone
	}
	flood 200
	serves
	fds=$(descriptors)
	before=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$SERVER_PID/status")
	flood 1000
	after=$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$SERVER_PID/status")
	echo "resident: $before KiB, then $after KiB"
	same descriptors "$(descriptors)" "$fds"
	# the sanitizers keep freed memory on purpose
	[[ $TCPLAB_BIN == *[at]san* ]] || [ $((after - before)) -le 2048 ]
	serves
}

@test "-1: a session whose other connections never come ends it all the same" {
	start_server "$ttcp" -r -1 -p 0 --json
	# two connections are announced
	hold "${HELLO/'\0\x01\0\0\0\x01'/'\0\x01\0\0\0\x02'}$SESSION"
	wait_server
	let_all_go
	cat "$SERVER_OUT" "$SERVER_LOG"
	same bytes "$(field bytes <"$SERVER_OUT")" 192
	same connections "$(field connections <"$SERVER_OUT")" 1
	same errno "$(field errno connection <"$SERVER_OUT")" null
}

# --- silence --------------------------------------------------------------------------------------------------------

@test "slow headers: a hundred peers that say little do not keep a client waiting" {
	start_server "$ttcp" -r -p 0
	local i
	for ((i = 0; i < 25; i++)); do
		hold ''
		hold '\0\0'
		hold '\xF4TTC\0\0\0\x54\0\x01'
		hold "$HELLO"
	done
	serves
	for ((i = 0; i < 100; i++)); do
		printf '\0' >&"${HELD[$i]}" # a byte more
	done
	serves
	# and the signal does not wait for them
	kill -INT "$SERVER_PID"
	wait_server
	same status "$SERVER_STATUS" 130
	let_all_go
}

@test "senders that fell silent in the middle of a block: their time is bounded by --timeout" {
	start_server "$ttcp" -r -p 0 --timeout 2s --json
	hold '\0\0\0\x02\0\0\0\x08\0\0\0\x08abc'
	hold "$HELLO\\0\\0\\0\\x01\\0\\0\\0\\x40abc"
	serves
	wait_until counts_lines 2 ETIMEDOUT "$SERVER_LOG"
	wait_until counts_lines 2 '"errno":"ETIMEDOUT"' "$SERVER_OUT"
	serves
}

# --- many -----------------------------------------------------------------------------------------------------------

@test "50 clients at once: each is served in full" {
	start_server "$ttcp" -r -p 0 --json
	local i pids=() pid
	for ((i = 0; i < 50; i++)); do
		case $((i % 3)) in
		0) set -- ;;
		1) set -- --mode stream --verify ;;
		2) set -- -R --depth 4 ;;
		esac
		start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 20 -l 10000 --json "$@"
		pids+=("$WORKER")
	done
	for pid in "${pids[@]}"; do
		wait_server "$pid"
		same "status of one" "$SERVER_STATUS" 0
	done
	same "those with all bytes" "$(cat "$BATS_TEST_TMPDIR"/worker.*.out | grep -c '"record":"total".*"bytes":200000,')" 50
	wait_until is_alone
	stop_server
	same connections "$(field connections <"$SERVER_OUT")" 50
	same bytes "$(field bytes <"$SERVER_OUT")" 10000000
}

@test "128 streams in one run" {
	start_server "$ttcp" -r -1 -p 0 --json
	run -0 send -P 128 -n 2 -l 1000 --verify --json
	wait_server
	same status "$SERVER_STATUS" 0
	same bytes "$(ours bytes)" 256000
	same connections "$(field connections <"$SERVER_OUT")" 128
}

@test "--max-clients: one more waits until one has gone, and is served then" {
	start_server "$ttcp" -r -p 0 --max-clients 2
	hold ''
	hold '\0\0'
	wait_until has_threads 3
	start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 3 -l 100
	wait_until says 'connect|blocks' "$WORKER_OUT" # the kernel has taken it into the backlog
	local before
	before=$(ticks)
	run ! says 'sent' "$WORKER_OUT"
	same "threads of the receiver" "$(threads)" 3
	same "processor time while one waits, more than 0.1 s" "$(($(ticks) - before > 10))" 0
	let_go 0
	wait_server "$WORKER"
	same "status of the one that waited" "$SERVER_STATUS" 0
	let_go 1
}

@test "no descriptor left: the receiver pauses without spinning, and recovers" {
	start_server bash -c 'ulimit -n 20; exec "$@"' limited "$ttcp" -r -p 0
	local i before after
	for ((i = 0; i < 30; i++)); do
		hold '\0\0'
	done
	wait_until says 'EMFILE' "$SERVER_LOG"
	before=$(ticks)
	wait_until counts_lines 8 EMFILE "$SERVER_LOG"
	after=$(ticks)
	tail -n 3 "$SERVER_LOG"
	echo "processor time: $before, then $after ticks; $(grep -c EMFILE "$SERVER_LOG") pauses"
	# eight pauses are the better part of a second: a loop that spins would have used all of it
	[ $((after - before)) -le 30 ]
	start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 3 -l 100
	let_all_go
	wait_server "$WORKER"
	same "status of the one that waited" "$SERVER_STATUS" 0
	wait_until is_alone
	: >"$SERVER_LOG"
	serves
	same "no more of it" "$(grep -c EMFILE "$SERVER_LOG")" 0
}

@test "no descriptor left at the sender: status 1, one line" {
	start_server "$ttcp" -r -p 0
	# shellcheck disable=SC2016 # for the inner shell
	run -1 --separate-stderr bash -c 'ulimit -n 20; exec "$@"' limited "$ttcp" -t 127.0.0.1 -p "$PORT" -P 64 -n 2
	one_line_with EMFILE
	serves
}

@test "a connection that is gone before it is accepted" {
	need strace
	# nor does the leak check of the sanitizers work under strace
	start_server env ASAN_OPTIONS=detect_leaks=0 strace -D -f -o "$BATS_TEST_TMPDIR/strace" -e trace=accept4 -e inject=accept4:error=ECONNABORTED:when=1 \
		"$ttcp" -r -p 0
	run -0 send -n 3 -l 10
	serves
}

# --- an end that stops or dies --------------------------------------------------------------------------------------

# stop_receiver: the last server gets SIGSTOP, and each of its threads has stopped; teardown continues it.
stop_receiver() {
	STOPPED=$SERVER_PID
	kill -STOP "$STOPPED"
	wait_until is_stopped
}

is_stopped() {
	! sed 's/.*) //' "/proc/$STOPPED"/task/*/stat | grep -qv '^T'
}

continue_receiver() {
	kill -CONT "$STOPPED"
	STOPPED=''
}

@test "a stopped receiver: SIGINT at the sender still ends with a report" {
	local words
	for words in '' '--depth 4' '--mode stream' '-R' '--mode stream -P 2'; do
		echo "$words"
		start_server "$ttcp" -r -p 0
		local receiver=$SERVER_PID
		# shellcheck disable=SC2086 # options
		start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" --time 1h --json -i 10ms $words
		wait_until says '"interval"' "$WORKER_OUT"
		stop_receiver
		kill -INT "$WORKER"
		[ "$words" = '' ] || kill -INT "$WORKER" # one is enough, after a while; a second ends it at once
		wait_server "$WORKER"
		tail -n 1 "$WORKER_OUT"
		same status "$SERVER_STATUS" 130
		[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"total"'* ]]
		same interrupted "$(field interrupted <"$WORKER_OUT")" true
		same confirmed "$(field confirmed <"$WORKER_OUT")" false
		continue_receiver
		serves
		stop_server "$receiver"
	done
}

@test "a stopped receiver: --timeout ends the run with ETIMEDOUT, status 1" {
	local words
	for words in '' '--mode stream' '-R --mode stream' '--mode raw'; do
		local mode=()
		[ "$words" != '--mode raw' ] || mode=(--mode raw)
		echo "$words"
		start_server "$ttcp" -r -p 0 "${mode[@]}"
		local receiver=$SERVER_PID
		# shellcheck disable=SC2086 # options
		start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 2000000000 --json -i 10ms --timeout 1s $words
		wait_until says '"interval"' "$WORKER_OUT"
		stop_receiver
		wait_server "$WORKER"
		tail -n 1 "$WORKER_OUT"
		same status "$SERVER_STATUS" 1
		same errno "$(field errno error <"$WORKER_OUT")" ETIMEDOUT
		[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"error"'* ]]
		cat "$WORKER_ERR"
		same "lines on stderr" "$(wc -l <"$WORKER_ERR")" 1
		continue_receiver
		stop_server "$receiver"
	done
}

@test "a stopped receiver from the beginning: a negotiated run gives up, with one line" {
	start_server "$ttcp" -r -p 0
	stop_receiver
	run -1 --separate-stderr send --mode stream --time 1 --json
	one_line_with ETIMEDOUT 127.0.0.1
	same errno "$(ours errno error)" ETIMEDOUT
	continue_receiver
	serves
}

@test "a killed receiver: status 1, one line, an error record" {
	local words
	for words in '' '--depth 4' '--mode stream' '-R --mode stream' '--bidir' '-P 3' '--probe --mode stream'; do
		echo "$words"
		start_server "$ttcp" -r -p 0
		# shellcheck disable=SC2086 # options
		start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 2000000000 --json -i 10ms $words
		wait_until says '"interval"' "$WORKER_OUT"
		kill -KILL "$SERVER_PID"
		wait_server "$WORKER"
		tail -n 1 "$WORKER_OUT"
		cat "$WORKER_ERR"
		same status "$SERVER_STATUS" 1
		same "lines on stderr" "$(wc -l <"$WORKER_ERR")" 1
		says 'ECONNRESET|EPIPE' "$WORKER_ERR"
		[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"error"'* ]]
		[[ $(field errno error <"$WORKER_OUT") == @(ECONNRESET|EPIPE) ]]
	done
}

@test "a killed sender: the receiver says so in one line, and serves the next" {
	local words
	start_server "$ttcp" -r -p 0 --json
	for words in '' '--mode stream' '-R --mode stream' '-R'; do
		: >"$SERVER_LOG"
		# shellcheck disable=SC2086 # options
		start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 2000000000 --json -i 10ms $words
		wait_until says '"interval"' "$WORKER_OUT"
		kill -KILL "$WORKER"
		wait_until says '127.0.0.1' "$SERVER_LOG"
		cat "$SERVER_LOG"
		serves
		same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 1
		says '^ttcp: 127.0.0.1:[0-9]+: .*(ECONNRESET|EPIPE)' "$SERVER_LOG"
	done
	wait_until is_alone
}

@test "SIGINT at a receiver with a plain sender in the middle: both end, with what they know" {
	start_server "$ttcp" -r -p 0 --json
	start_worker "$ttcp" -t 127.0.0.1 -p "$PORT" -n 2000000000 --json -i 10ms
	wait_until says '"interval"' "$WORKER_OUT"
	kill -INT "$SERVER_PID"
	wait_server
	tail -n 1 "$SERVER_OUT"
	same "status of the receiver" "$SERVER_STATUS" 130
	[[ $(tail -n 1 "$SERVER_OUT") == *'"record":"total"'* ]]
	[ "$(field bytes <"$SERVER_OUT")" -gt 0 ]
	wait_server "$WORKER"
	# the course's format has no word for it
	same "status of the sender" "$SERVER_STATUS" 1
}
