#!/usr/bin/env bats
# ttcp and other programs: the course's ttcp, discard servers, programs that use the same port, and Python peers that
# damage, fuzz and vanish.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	ttcp=$TCPLAB_BIN/ttcp
	course=$TCPLAB_ROOT/tests/fixtures/ttcp_course.py
	relay=$TCPLAB_ROOT/tests/fixtures/ttcp_relay.py
	sink=$TCPLAB_ROOT/tests/fixtures/tcp_sink.py
	hostile=$TCPLAB_ROOT/tests/fixtures/ttcp_hostile.py
}

# --- what the tests share -------------------------------------------------------------------------------------------

# A sender to the last server.
send() {
	"$ttcp" -t 127.0.0.1 -p "$PORT" "$@"
}

has_lines() {
	[ "$(wc -l <"$2")" -ge "$1" ]
}

says() {
	grep -qE -- "$1" "$2"
}

# The receiver that is $SERVER_PID lives and serves.
serves() {
	run -0 "$ttcp" -t 127.0.0.1 -p "$PORT" -n 3 -l 100
	run -0 "$ttcp" -t 127.0.0.1 -p "$PORT" -n 3 -l 100 --mode stream --verify
}

# --- the course's format --------------------------------------------------------------------------------------------

@test "a plain run sends what the course's sends, byte for byte" {
	need python3 cmp
	local words blocks length
	for words in '5 1000' '3 1' '1 100003' '2 1500000'; do
		read -r blocks length <<<"$words"
		start_server python3 "$course" receive --capture "$BATS_TEST_TMPDIR/sent"
		run -0 send -n "$blocks" -l "$length" --json
		wait_server
		cat "$SERVER_LOG"
		same "status of the course's receiver" "$SERVER_STATUS" 0
		python3 "$course" bytes "$blocks" "$length" | cmp - "$BATS_TEST_TMPDIR/sent"
		same bytes "$(ours bytes)" $((blocks * length))
		same negotiated "$(ours negotiated start)" false
		same confirmed "$(ours confirmed)" true
	done
	# nor do reports and socket options of our own end change it
	start_server python3 "$course" receive --capture "$BATS_TEST_TMPDIR/sent"
	run -0 send -n 5 -l 1000 -i 1ms -D --sndbuf 64K --sendfile -C reno --rate 1gbit --json
	wait_server
	python3 "$course" bytes 5 1000 | cmp - "$BATS_TEST_TMPDIR/sent"
}

@test "the default plain run is the course's: 8192 blocks of 64 KiB" {
	need python3
	start_server python3 "$course" receive
	run -0 send --json
	wait_server
	same "what the course's receiver got" "$(cat "$SERVER_OUT")" "8192 65536"
	same bytes "$(ours bytes)" 536870912
}

@test "the course's sender, header and payload in segments of their own" {
	need python3
	local words blocks length
	start_server "$ttcp" -r -p 0 --json --verify
	for words in '100 1000' '20 65536' '1 1' '2 3000000' '0 8192'; do
		read -r blocks length <<<"$words"
		run -0 python3 "$course" send "$PORT" "$blocks" "$length"
		same "bytes sent" "$output" $((blocks * length))
	done
	stop_server
	cat "$SERVER_OUT"
	same connections "$(field connections <"$SERVER_OUT")" 5
	same bytes "$(field bytes <"$SERVER_OUT")" $((100 * 1000 + 20 * 65536 + 1 + 6000000))
	same "verified ones" "$(grep '"connection"' "$SERVER_OUT" | grep -c '"verified":true')" 5
	same "stderr of the receiver" "$(wc -l <"$SERVER_LOG")" 1
}

@test "-r --verify checks the pattern of a plain sender: status 3, the offset" {
	need python3
	local offset
	for offset in 0 1 999 1000 5555 9999; do
		start_server "$ttcp" -r -1 -p 0 --json --verify
		run -0 python3 "$course" send "$PORT" 10 1000 --wrong $offset
		wait_server
		cat "$SERVER_OUT"
		same status "$SERVER_STATUS" 3
		same verified "$(field verified connection <"$SERVER_OUT")" false
		same bad_offset "$(field bad_offset connection <"$SERVER_OUT")" $offset
		same "bad_offset of the total" "$(field bad_offset <"$SERVER_OUT")" $offset
		says "^ttcp: 127.0.0.1:[0-9]+: .* offset $offset\$" "$SERVER_LOG"
		same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 2
	done
	# without --verify nobody looks
	start_server "$ttcp" -r -1 -p 0 --json
	run -0 python3 "$course" send "$PORT" 10 1000 --wrong 5
	wait_server
	same "status without --verify" "$SERVER_STATUS" 0
}

@test "fall-back: what a plain session can do is done plainly with an old receiver" {
	need python3 cmp
	local words
	start_server python3 "$course" receive --many --capture "$BATS_TEST_TMPDIR/sent"
	for words in '-v' '-v --depth 4' '-v -i 1ms'; do
		# shellcheck disable=SC2086 # options
		run -0 --separate-stderr send -n 10 -l 1000 --json $words
		echo "$output" "$stderr"
		same "bytes of $words" "$(ours bytes)" 10000
		same negotiated "$(ours negotiated start)" false
		one_line_with 'plain format'
		python3 "$course" bytes 10 1000 | cmp - "$BATS_TEST_TMPDIR/sent"
	done
	run -0 --separate-stderr send -n 10 -l 1000 --depth 4 --json
	same "bytes of --depth 4" "$(ours bytes)" 10000
	python3 "$course" bytes 10 1000 | cmp - "$BATS_TEST_TMPDIR/sent"
	cat "$SERVER_OUT"
	# each run was two connections: a refused hello, whose count is negative and length small, and the plain session
	same "sessions" "$(grep -c '^10 1000$' "$SERVER_OUT")" 4
	same "hellos" "$(grep -cE '^-[0-9]+ [0-9]{1,4}$' "$SERVER_OUT")" 4
}

@test "fall-back: -P 2 to an old receiver that serves one after the other" {
	need python3
	start_server python3 "$course" receive --many
	run -0 --separate-stderr send -n 10 -l 1000 -P 2 --json --timeout 20
	echo "$output" "$stderr"
	same bytes "$(ours bytes)" 20000
	wait_until has_lines 3 "$SERVER_OUT"
	same sessions "$(grep -c '^10 1000$' "$SERVER_OUT")" 2
}

@test "a run that needs more than an old receiver can: status 1, one clear line" {
	need python3
	local words
	start_server python3 "$course" receive --many
	for words in '--mode stream' '--time 1' '--omit 1' '--verify' '-R' '--bidir' '--probe' '--sweep'; do
		# shellcheck disable=SC2086 # options
		run -1 --separate-stderr send $words --json
		echo "$output"
		one_line_with plain 127.0.0.1
		same "errno of $words" "$(ours errno error)" EPROTONOSUPPORT
		[[ ${lines[-1]} == *'"record":"error"'* ]]
	done
	# the receiver took it for an empty session, and serves on
	run -0 send -n 3
}

@test "an old one-shot receiver: plain works; -v is refused with a status, not a hang" {
	need python3
	start_server python3 "$course" receive
	run -0 send -n 3 -l 10
	wait_server
	same "what it got" "$(cat "$SERVER_OUT")" "3 10"
	start_server python3 "$course" receive
	run -1 --separate-stderr send -n 3 -l 10 -v
	one_line_with 127.0.0.1
}

@test "something that answers, but is no ttcp: status 1, one line" {
	need python3
	# sends a page to whoever comes
	start_server python3 -c '
import socket, sys
s = socket.create_server(("127.0.0.1", 0))
print("page: listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr, flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
    c.recv(1000)
    c.shutdown(socket.SHUT_WR)
    while c.recv(1000): pass'
	run -1 --separate-stderr send -n 3 -l 100
	one_line_with EPROTO
	run -1 --separate-stderr send -n 3 -l 100 -v
	one_line_with EPROTO
	run -1 --separate-stderr send --mode stream --time 1 --json
	one_line_with 127.0.0.1
}

@test "SIGINT while the connection is not yet up: the run ends at once, with an error record" {
	need python3
	# a listener whose backlog is full: the kernel drops each SYN
	start_server python3 -c '
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(0)
full = []
for i in range(5):
    c = socket.socket()
    c.setblocking(False)
    c.connect_ex(s.getsockname())
    full.append(c)
print("full: listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr, flush=True)
time.sleep(3600)'
	local out=$BATS_TEST_TMPDIR/out
	"$ttcp" -t 127.0.0.1 -p "$PORT" --json --trace >"$out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	local pid=$!
	keep "$pid" "$BATS_TEST_TMPDIR/err"
	wait_until says 'connect\(' "$BATS_TEST_TMPDIR/err"
	kill -INT "$pid"
	wait_server "$pid"
	cat "$BATS_TEST_TMPDIR/err" "$out"
	same status "$SERVER_STATUS" 130
	# not the end of its patience, which is 10 s
	same errno "$(field errno error <"$out")" ECANCELED
	[[ $(tail -n 1 "$out") == *'"record":"error"'* ]]
}

# --- discard servers: raw mode --------------------------------------------------------------------------------------

@test "raw: a Python sink gets the bytes, all of them and no others" {
	need python3 cmp
	start_server python3 "$sink" --capture "$BATS_TEST_TMPDIR/got"
	run -0 send --mode raw --bytes 3000001 --json
	same bytes "$(ours bytes)" 3000001
	same confirmed "$(ours confirmed)" true
	wait_until has_lines 1 "$SERVER_OUT"
	same "at the sink" "$(cat "$SERVER_OUT")" 3000001
	head -c 200001 /dev/urandom >"$BATS_TEST_TMPDIR/file"
	local words
	for words in '' '--sendfile'; do
		# shellcheck disable=SC2086 # options
		run -0 send --mode raw --file "$BATS_TEST_TMPDIR/file" --json $words
		same "bytes of the file" "$(ours bytes)" 200001
		cmp "$BATS_TEST_TMPDIR/file" "$BATS_TEST_TMPDIR/got"
	done
	run -0 send --mode raw --time 50ms -P 2 --json
	[ "$(ours bytes)" -gt 0 ]
}

@test "raw: nc and socat as discard servers" {
	need nc socat
	local line
	# -v makes it say where it listens; its words, and whether it takes port 0, differ among the netcats
	nc -h 2>&1 | grep -q OpenBSD || skip "needs the OpenBSD nc"
	start_server bash -c 'exec nc -v -n -l 127.0.0.1 0 2> >(sed -u "s/^Listening on \([^ ]*\) \([0-9]*\)/nc: listening on \1:\2/" >&2)'
	run -0 send --mode raw --bytes 1000001 --json
	same "bytes to nc" "$(ours bytes)" 1000001
	wait_server
	same "status of nc" "$SERVER_STATUS" 0
	same "at nc" "$(wc -c <"$SERVER_OUT")" 1000001

	start_server socat -d -d -u TCP-LISTEN:0,bind=127.0.0.1 STDOUT
	line=$(grep -m 1 'listening on' "$SERVER_LOG")
	PORT=${line##*:}
	run -0 send --mode raw --bytes 1000001 --json
	same "bytes to socat" "$(ours bytes)" 1000001
	wait_server
	same "at socat" "$(wc -c <"$SERVER_OUT")" 1000001
}

@test "raw: our receiver takes what nc sends" {
	need nc
	nc -h 2>&1 | grep -q OpenBSD || skip "needs the OpenBSD nc"
	start_server "$ttcp" -r -p 0 --mode raw --json
	head -c 12345 /dev/zero | nc -N 127.0.0.1 "$PORT"
	wait_until says '"connection"' "$SERVER_OUT"
	stop_server
	same "bytes of nc" "$(field bytes connection <"$SERVER_OUT")" 12345
}

@test "limited_by: a sink that reads slowly is the receive window; input at a trickle is the application" {
	need python3
	local words
	start_server python3 "$sink" --receive-buffer 4096 --pace 2000
	for words in '--sndbuf 2M -w 600000' '--sndbuf 8K -w 8K'; do
		# shellcheck disable=SC2086 # options
		run -0 send --mode raw --bytes 600000 --json $words
		echo "$output"
		same "limited_by with a slow sink, $words" "$(ours limited_by)" receive_window
	done
	start_server python3 "$sink"
	# shellcheck disable=SC2016 # for the inner shell
	run -0 bash -c 'python3 -c "
import sys, time
for i in range(30):
    sys.stdout.buffer.write(bytes(1000))
    sys.stdout.flush()
    time.sleep(0.01)" | "$@"' pipe "$ttcp" -t 127.0.0.1 -p "$PORT" --mode raw --file - --json
	echo "$output"
	same "limited_by with slow input" "$(ours limited_by)" application
	same bytes "$(ours bytes)" 30000
}

# --- damaged on the way ---------------------------------------------------------------------------------------------

# damaged UP_OR_DOWN ACTION OFFSET -- RECEIVER-OPTIONS -- SENDER-OPTIONS: one run through the relay, whose exit status is
# in $sender, that of the receiver in $receiver; the offset in the stream where a byte changed in $at.
damaged() {
	local direction=$1 action=$2 offset=$3 server_pid server_out server_log options=()
	shift 4
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	start_server "$ttcp" -r -1 -p 0 --json "${options[@]}"
	server_pid=$SERVER_PID server_out=$SERVER_OUT server_log=$SERVER_LOG
	if [ "$direction" = down ]; then
		start_server python3 "$relay" "$PORT" --down "$action" "$offset"
	else
		start_server python3 "$relay" "$PORT" "$action" "$offset"
	fi
	run --separate-stderr send --json --timeout 30 "$@"
	sender=$status
	wait_server "$server_pid"
	receiver=$SERVER_STATUS
	at=$(cat "$SERVER_OUT")
	theirs=$(cat "$server_out")
	theirs_err=$(tail -n +2 "$server_log")
	echo "$direction $action $offset, $*: sender $sender, receiver $receiver, changed at '$at'"
	printf '%s\n' "$output" "$stderr" "$theirs" "$theirs_err"
}

# What a negotiated sender says before the payload of its first block: session and hello, GO, the block's length.
BEFORE=$((8 + 84 + 4 + 4))
# And what a receiver that is to send says: its answer, the block's length.
BEFORE_DOWN=$((12 + 4))

@test "--verify: one flipped bit, two swapped words: status 3 at both ends, and where" {
	need python3
	local words bad
	for words in '' '--depth 4' '--mode stream'; do
		for bad in 'flip 0' 'flip 299999' 'swap 123457'; do
			# shellcheck disable=SC2086 # an action and its offset; options
			damaged up ${bad% *} $((BEFORE + ${bad#* })) -- -- --verify -n 1 -l 300000 $words
			same "status of the sender" "$sender" 3
			same "status of the receiver" "$receiver" 3
			same verified "$(ours verified)" false
			same bad_offset "$(ours bad_offset)" $((at - BEFORE))
			same "the receiver's verified" "$(field verified connection <<<"$theirs")" false
			same "the receiver's bad_offset" "$(field bad_offset connection <<<"$theirs")" $((at - BEFORE))
			[[ $theirs_err == "ttcp: 127.0.0.1:"*" $((at - BEFORE))" ]]
		done
	done
	# offsets count payload bytes over the blocks: here the fourth of them has the bad byte
	damaged up flip $((BEFORE + 3 * 1004 + 5)) -- -- --verify -n 10 -l 1000
	same "bad_offset in a later block" "$(ours bad_offset)" 3005
	same status "$sender" 3
}

@test "--verify in reverse: we are the one that finds it" {
	need python3
	local words
	for words in '' '--mode stream'; do
		# shellcheck disable=SC2086 # options
		damaged down flip $((BEFORE_DOWN + 54321)) -- -- --verify -R -n 1 -l 300000 $words
		same "status of the receiver" "$sender" 3
		same bad_offset "$(ours bad_offset)" 54321
		same verified "$(ours verified)" false
		same "status of the sending end" "$receiver" 3
		same "its word" "$(field verified connection <<<"$theirs")" false
	done
}

@test "--verify on the receiver finds a damaged plain block" {
	need python3
	# session and block length stand before the payload
	damaged up flip $((8 + 4 + 1000)) -- --verify -- -n 3 -l 4000
	same status "$sender" 0
	same "status of the receiver" "$receiver" 3
	same bad_offset "$(field bad_offset connection <<<"$theirs")" 1000
}

@test "a byte that is lost or comes twice is never taken for a good run" {
	need python3
	local words action
	for action in drop double; do
		for words in '' '--mode stream'; do
			# shellcheck disable=SC2086 # options
			damaged up $action $((BEFORE + 777)) -- --timeout 500ms -- --verify -n 3 -l 1000 --timeout 500ms $words
			[[ $sender == [13] ]]
			[[ $receiver == [13] ]]
		done
		# a plain run notices by its framing
		damaged up $action $((8 + 4 + 777)) -- --timeout 500ms -- -n 3 -l 1000 --timeout 500ms
		same "status of the plain sender" "$sender" 1
	done
}

@test "damaged framing: status 1, one line, at the end that sees it" {
	need python3
	# the second block's length
	damaged up flip $((8 + 4 + 1000 + 1)) -- -- -n 3 -l 1000
	same "status of the sender" "$sender" 1
	same "status of the receiver" "$receiver" 1
	same "lines of the receiver ($theirs_err)" "$(wc -l <<<"$theirs_err")" 1
	[[ $theirs_err == "ttcp: 127.0.0.1:"*EPROTO* ]]
	# an ack
	damaged down flip 4 -- -- -n 3 -l 1000
	same "status of the sender" "$sender" 1
	one_line_with EPROTO 127.0.0.1
	same errno "$(ours errno error)" EPROTO
	# END behind the last block
	damaged up flip $((BEFORE + 1000)) -- -- -n 1 -l 1000 -v
	same "status of the sender" "$sender" 1
}

@test "a damaged answer to the hello: status 1, one line" {
	need python3
	local offset
	start_server "$ttcp" -r -p 0
	local receiver_port=$PORT
	for offset in 0 11; do
		start_server python3 "$relay" "$receiver_port" --down flip $offset
		run -1 --separate-stderr send -n 3 -l 1000 --mode stream
		one_line_with EPROTO 127.0.0.1
	done
	PORT=$receiver_port
	serves
}

@test "a connection that ends in the middle: status 1, one line, at both ends" {
	need python3
	local words action
	for words in '' '--mode stream' '--mode raw'; do
		for action in fin reset; do
			local mode=(--timeout 500ms)
			[ "$words" != '--mode raw' ] || mode+=(--mode raw)
			# shellcheck disable=SC2086 # options
			damaged up $action 500000 -- "${mode[@]}" -- --bytes 20M -l 64K $words --timeout 500ms
			same "status of the sender" "$sender" 1
			one_line_with 127.0.0.1
			[[ $(ours errno error) == @(ECONNRESET|EPIPE|EPROTO|ETIMEDOUT) ]]
			# a FIN is how a raw transfer ends
			[ "$words $action" != '--mode raw fin' ] || continue
			same "status of the receiver" "$receiver" 1
			same "lines of the receiver ($theirs_err)" "$(wc -l <<<"$theirs_err")" 1
		done
	done
}

# --- who else comes to port 5001 ------------------------------------------------------------------------------------

# visited WORDS...: the last receiver has refused a visitor in one line, with its address and these words; it serves on.
visited() {
	local word
	wait_until says '^ttcp: 127.0.0.1:[0-9]+: refused: ' "$SERVER_LOG"
	cat "$SERVER_LOG"
	for word; do
		says "refused: .*$word" "$SERVER_LOG"
	done
	serves
}

@test "a visitor: curl" {
	need curl
	start_server "$ttcp" -r -p 0
	run ! curl -s -m 30 "http://127.0.0.1:$PORT/"
	visited HTTP
	run ! curl -s -m 30 -X POST -d x=y "http://127.0.0.1:$PORT/"
	run ! curl -s -m 30 -T /etc/passwd "http://127.0.0.1:$PORT/"
	run ! curl -s -m 30 "https://127.0.0.1:$PORT/"
	stop_server
	same "lines on stderr" "$(grep -c refused "$SERVER_LOG")" 4
}

@test "a visitor: openssl s_client" {
	need openssl
	start_server "$ttcp" -r -p 0
	run ! timeout 30 openssl s_client -connect "127.0.0.1:$PORT" </dev/null
	visited TLS
}

@test "a visitor: iperf 2" {
	need iperf
	start_server "$ttcp" -r -p 0
	run timeout 30 iperf -c 127.0.0.1 -p "$PORT" -t 1 -n 1M
	visited iperf
}

@test "a visitor: iperf3" {
	need iperf3
	start_server "$ttcp" -r -p 0
	run ! timeout 30 iperf3 -c 127.0.0.1 -p "$PORT" -t 1
	visited iperf3
}

@test "a visitor: nuttcp" {
	need nuttcp
	start_server "$ttcp" -r -p 0
	run ! timeout 30 nuttcp -P "$PORT" -T 1 127.0.0.1
	visited nuttcp
}

@test "visitors do not end a receiver with -1" {
	need curl iperf
	start_server "$ttcp" -r -1 -p 0 --json
	run ! curl -s -m 30 "http://127.0.0.1:$PORT/"
	run timeout 30 iperf -c 127.0.0.1 -p "$PORT" -n 1M
	run -0 send -n 3 -l 10
	wait_server
	cat "$SERVER_OUT"
	same status "$SERVER_STATUS" 0
	same bytes "$(field bytes <"$SERVER_OUT")" 30
	same refused "$(field refused <"$SERVER_OUT")" 2
}

# --- hostile peers --------------------------------------------------------------------------------------------------

@test "each truncation of a session, by FIN and by RST: the receiver survives and serves" {
	need python3
	start_server "$ttcp" -r -p 0 --timeout 2 --json
	run -0 python3 "$hostile" "$PORT" truncate
	local count=$output
	echo "$count connections"
	serves
	stop_server
	tail -n 3 "$SERVER_LOG"
	# no connection is forgotten: each was refused or served
	same "accounted for" $(($(field connections <"$SERVER_OUT") + $(field refused <"$SERVER_OUT"))) $((count + 2))
}

@test "fuzz: the receiver survives and serves" {
	need python3
	start_server "$ttcp" -r -p 0 --timeout 2
	local seed
	for seed in 1 2 3; do
		run -0 python3 "$hostile" "$PORT" fuzz $seed 400
		echo "seed $seed: $output connections"
		serves
	done
	stop_server
	same status "$SERVER_STATUS" 143
}

@test "a sender that vanishes in the middle of a block: one line with its address" {
	need python3
	local end
	for end in fin rst; do
		start_server "$ttcp" -r -p 0 --timeout 30 --json
		run -0 python3 "$hostile" "$PORT" vanish $end
		wait_until has_lines 4 "$SERVER_LOG"
		cat "$SERVER_LOG"
		same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 4
		same "of them with the address and ECONNRESET" \
			"$(grep -cE '^ttcp: 127.0.0.1:[0-9]+: .*ECONNRESET' "$SERVER_LOG")" 3
		serves
		start_server "$ttcp" -r -1 -p 0
		run python3 "$hostile" "$PORT" vanish $end # the first of them ends the receiver
		wait_server
		same "status with -1" "$SERVER_STATUS" 1
	done
}

resident_kib() {
	sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$SERVER_PID/status"
}

@test "2,000 hostile connections: no memory is kept for them" {
	need python3
	start_server "$ttcp" -r -p 0 --timeout 2
	run -0 python3 "$hostile" "$PORT" flood 400
	serves
	local before after
	before=$(resident_kib)
	run -0 python3 "$hostile" "$PORT" flood 2000
	serves
	after=$(resident_kib)
	echo "resident: $before KiB, then $after KiB"
	# what malloc keeps and the sanitizers' quarantine differ; a leak or 256 MiB for one of them would be far above
	case $TCPLAB_BIN in
	*asan* | *tsan*) ;;
	*) [ $((after - before)) -le 2048 ] ;;
	esac
	stop_server
	grep -vE '^ttcp: (listening|127.0.0.1:[0-9]+: )' "$SERVER_LOG" | head -n 5
	same "lines that name no address" "$(grep -cvE '^ttcp: (listening|127.0.0.1:[0-9]+: )' "$SERVER_LOG")" 0
}

# --- records for other programs -------------------------------------------------------------------------------------

KEYS=(role:str mode:str bytes:int blocks:int elapsed_ns:int rate_Bps:number syscalls:int short_writes:int retransmits:int
	rtt_ns:int congestion:str cpu_user_ns:int cpu_sys_ns:int limited_by:str)

@test "--json: each line is JSON with the schema, and total has its keys with their types" {
	need python3
	local words check=(python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.ttcp/1)
	start_server "$ttcp" -r -p 0 --json -i 10ms
	for words in '-n 20' '-n 20 -v' '--mode stream --time 100ms -i 10ms' '-R --time 50ms -i 10ms' '--bidir -P 2 --time 50ms -i 10ms' \
		'-P 3 --depth 4 -n 10' '--verify -n 10' '--probe --time 50ms' '--omit 20ms --time 50ms' \
		'--sweep --sizes 1K,4K --depths 1,2 --time 20ms' '--sweep --sizes 1K --depths 1 --time 20ms' '-n 1 -l 1'; do
		# shellcheck disable=SC2086 # options
		send --json $words >"$BATS_TEST_TMPDIR/records"
		echo "$words"
		"${check[@]}" "${KEYS[@]}" <"$BATS_TEST_TMPDIR/records"
	done
	run -1 send --json -C no-such-one
	"${check[@]}" <<<"${lines[-1]}"
	stop_server
	"${check[@]}" <"$SERVER_OUT"
	start_server "$ttcp" -r -p 0 --json
	stop_server
	"${check[@]}" "${KEYS[@]/short_writes:int/short_writes:any}" <"$SERVER_OUT"
	start_server python3 "$sink"
	send --json --mode raw --bytes 1M | "${check[@]}" "${KEYS[@]}"
}

@test "--svg: well-formed XML with a line for each depth" {
	need python3
	start_server "$ttcp" -r -p 0
	send --sweep --sizes 1K,4K,16K --depths 1,2 --time 30ms --svg "$BATS_TEST_TMPDIR/sweep.svg" >/dev/null
	python3 -c '
import sys, xml.etree.ElementTree as et
root = et.parse(sys.argv[1]).getroot()
assert root.tag == "{http://www.w3.org/2000/svg}svg", root.tag
text = " ".join(t for t in root.itertext())
for wanted in ("depth 1", "depth 2", "block size"):
    assert wanted in text, (wanted, text)
' "$BATS_TEST_TMPDIR/sweep.svg"
}
