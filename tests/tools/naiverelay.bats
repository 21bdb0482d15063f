#!/usr/bin/env bats
# naiverelay: each of its mistakes, and that --fixed does not make it; that the other things are right all the same; usage,
# reports, signals. Resets at bad moments are in tests/robust/naiverelay.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	naiverelay=$TCPLAB_BIN/naiverelay
	netcat=$TCPLAB_BIN/netcat-nonblocking
	halfclose=$TCPLAB_BIN/halfclose
}

# --- what the tests share -------------------------------------------------------------------------------------------

# start_relay OPTION...: in front of the server at $PORT; then it is the one at $PORT.
start_relay() {
	echo "naiverelay $*"
	start_server "$naiverelay" --json "$@" 0 "127.0.0.1:$PORT"
	RELAY=$SERVER_PID RELAY_OUT=$SERVER_OUT
}

# start_sink OPTION...: writes what comes to sink.out.
start_sink() {
	start_server "$netcat" -l -d -v --json "$@" 127.0.0.1 0
	SINK=$SERVER_PID SINK_OUT=$SERVER_OUT SINK_LOG=$SERVER_LOG
}

# start_source FILE: sends it to $PORT, in the background.
start_source() {
	"$netcat" --json 127.0.0.1 "$PORT" <"$1" 2>source.log 3>&- &
	SOURCE=$!
	SERVER_PIDS+=("$SOURCE")
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$SOURCE]=source.log
}

# of KEY [RECORD]: what the relay said last.
of() {
	field "$1" "${2:-connection}" <"$RELAY_OUT"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$naiverelay" --help
	[[ $output == *"usage: naiverelay"*"--mistake"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$naiverelay" --version
	[[ $output == "naiverelay (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words long
	long=$(printf '%0300d' 0)
	for words in '' '--mistake memory' 'localhost:1' '--mistake none localhost:1' '--mistake race 1 localhost:2 3' \
		'--mistake race localhost' '--mistake race :1' '--mistake race localhost:0' '--mistake race localhost:65536' \
		'--mistake race localhost:x' '--mistake race x localhost:1' '--mistake race 65536 localhost:1' \
		'--mistake race -4 -6 localhost:1' '--mistake race --high 0 localhost:1' '--mistake race --cap 1 localhost:1' \
		'--mistake race --interval 0 localhost:1' "--mistake race $long:1" "--mistake race $long:0 localhost:1" \
		'--no-such-option localhost:1'; do
		echo "naiverelay $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$naiverelay" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "a port that is taken: status 1, an error record" {
	start_sink
	run -1 --separate-stderr "$naiverelay" --mistake close --json "$PORT" 127.0.0.1:1
	one_line_with EADDRINUSE
	same errno "$(ours errno error)" EADDRINUSE
}

@test "nobody behind it: the client is reset, and the next one is served" {
	need python3
	start_server python3 -I -S "$TCPLAB_ROOT/tests/fixtures/netcat_peer.py" --deaf # nobody else has its port
	start_relay --mistake close
	run -1 "$netcat" --json -d 127.0.0.1 "$PORT"
	[[ $output == *ECONNRESET* ]] # while it connects, or when it reads: it depends on who is quicker
	run -1 "$netcat" --json -d 127.0.0.1 "$PORT"
	[[ $output == *ECONNRESET* ]]
	stop_server "$RELAY"
	same refused "$(of refused total)" 2
	grep -q ECONNREFUSED "$SERVER_LOG"
}

@test "addresses: names, brackets, IPv6, a place to listen" {
	local words
	start_server "$halfclose" -s -p 0
	local port=$PORT
	for words in "0 127.0.0.1:$port" "localhost:0 localhost:$port" "-4 0 localhost:$port" "[::1]:0 127.0.0.1:$port"; do
		echo "$words"
		# shellcheck disable=SC2086 # options
		start_server "$naiverelay" --mistake close --fixed $words
		run -0 "$halfclose" "$(sed -n '1s/.*listening on \[*\([^]]*\)\]*:[0-9]*$/\1/p' "$SERVER_LOG")" -p "$PORT" --fixed
		stop_server
	done
}

# --- memory ---------------------------------------------------------------------------------------------------------

queues_at_least() {
	local queued
	queued=$(of up_queued_bytes interval) && [ "$queued" -ge "$1" ]
}

@test "memory: what a stopped receiver does not take is kept, all of it" {
	head -c 30M /dev/zero >file
	start_sink --stop-after 1M
	start_relay --mistake memory -i 20ms
	start_source file
	wait_until queues_at_least 10000000
	wait_until has_read $((30 << 20))
	stop_server "$RELAY"
	same end "$(of end)" interrupted
	same received "$(of up_received_bytes)" $((30 << 20))
	same "sent and queued" $(($(of up_sent_bytes) + $(of up_queued_bytes))) $((30 << 20))
	[ "$(of rss_growth_bytes)" -ge 10000000 ]
	stop_server "$SOURCE" || true
	stop_server "$SINK"
}

has_read() {
	[ "$(of up_received_bytes interval)" -ge "$1" ]
}

@test "memory, fixed: never more than the mark; the sender stands still; whoever reads gets everything" {
	local high
	head -c 60M /dev/urandom >file
	for high in 4096 10000 1M; do
		start_sink --stop-after 100K
		start_relay --mistake memory --fixed --high $high -i 20ms
		start_source file
		wait_until queues_at_least "$(bytes_of $high)"
		stop_server "$RELAY"
		same "peak with $high" "$(of up_queued_peak_bytes)" "$(bytes_of $high)"
		same "sent and queued" $(($(of up_sent_bytes) + $(of up_queued_bytes))) "$(of up_received_bytes)"
		[ "$(of up_received_bytes)" -lt $((60 << 20)) ]
		stop_server "$SOURCE" || true
		stop_server "$SINK"
	done
	start_sink --read-rate 200MB/s
	start_relay --mistake memory --fixed --high 100K -1
	start_source file
	wait_server "$RELAY"
	same status "$SERVER_STATUS" 0
	wait_server "$SINK"
	wait_server "$SOURCE"
	cmp file "$SINK_OUT"
	same end "$(of end)" complete
	[ "$(of up_queued_peak_bytes)" -le $((100 << 10)) ]
}

bytes_of() {
	if [ "$1" = 1M ]; then
		echo $((1 << 20))
	else
		echo "$1"
	fi
}

@test "--cap: the connection is reset, status 3; the next client is served" {
	head -c 30M /dev/zero >file
	start_sink --stop-after 1M -k
	start_relay --mistake memory --cap 2M
	start_source file
	wait_server "$SOURCE"
	same "status of the source" "$SERVER_STATUS" 1
	wait_until of end
	same end "$(of end)" capped
	[ "$(of up_queued_peak_bytes)" -gt $((2 << 20)) ]
	[ "$(of up_queued_peak_bytes)" -le $(((2 << 20) + 32768)) ]
	head -c 1000 file >small
	start_source small
	wait_server "$SOURCE"
	same "status of the next source" "$SERVER_STATUS" 0
	stop_server "$RELAY"
	same capped "$(of capped total)" 1
	stop_server "$SINK"
}

# --- close ----------------------------------------------------------------------------------------------------------

@test "close: the end of one way ends both" {
	start_server "$halfclose" -s -1 -p 0 --json
	local server=$SERVER_PID server_out=$SERVER_OUT
	start_relay --mistake close -1
	run -3 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --json
	same received "$(ours received_bytes)" 0
	same "what the client sees" "$(ours server_end)" fin
	wait_server "$RELAY"
	same status "$SERVER_STATUS" 0
	same end "$(of end)" closed
	same up "$(of up_sent_bytes)" 1000
	wait_server "$server"
	same "the server's errno" "$(field errno connection <"$server_out")" EPIPE
}

@test "a half-close is passed on, with every mistake but that one" {
	local words
	for words in '--mistake close --fixed' '--mistake memory' '--mistake memory --fixed' '--mistake race --fixed'; do
		start_server "$halfclose" -s -1 -p 0 --delay 100ms --reply 3M --json
		# shellcheck disable=SC2086 # options
		start_relay $words -1
		run -0 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --json --bytes 2M
		same "complete with $words" "$(ours complete)" true
		wait_server "$RELAY"
		same status "$SERVER_STATUS" 0
		same end "$(of end)" complete
		same down "$(of down_sent_bytes)" $(((3 << 20) + 16))
	done
}

# crash OPTION...: a server sends 300000 bytes and is gone; what a client gets is in got, the relay's status in $SERVER_STATUS.
crash() {
	head -c 300000 /dev/urandom >part
	start_server bash -c '(cat part; sleep 0.2) | "$0" -l -v --json --close-mode rst 127.0.0.1 0' "$netcat"
	start_relay "$@" -1
	STATUS=0
	"$netcat" -d --json 127.0.0.1 "$PORT" >got 2>client.log || STATUS=$?
	cat client.log
	wait_server "$RELAY"
	cmp -n "$(wc -c <got)" part got
}

@test "close: a reset becomes a FIN, and half a file a file" {
	crash --mistake close
	same "status of the client" $STATUS 0
	same "what the client sees" "$(field peer_end <client.log)" fin
	same end "$(of end)" closed
}

@test "a reset is passed on as a reset, with every mistake but that one" {
	local words
	for words in '--mistake close --fixed' '--mistake memory' '--mistake memory --fixed' '--mistake race' '--mistake race --fixed'; do
		# shellcheck disable=SC2086 # options
		crash $words
		same "status of the client, $words" $STATUS 1
		same "what the client sees" "$(field peer_end <client.log)" rst
		same end "$(of end)" reset
		same "bytes" "$(wc -c <got)" "$(of down_sent_bytes)"
	done
}

# --- race -----------------------------------------------------------------------------------------------------------

is_stuck() {
	grep -q '"record":"stuck"' "$RELAY_OUT"
}

@test "race: the flow is stuck; source and sink are ready; status 143, and stuck in the total" {
	head -c 30M /dev/urandom >file
	start_sink --rcvbuf 64K --read-rate 40MB/s
	start_relay --mistake race -i 50ms
	start_source file
	wait_until is_stuck
	same paused "$(of up_paused stuck)" true
	same queued "$(of up_queued_bytes stuck)" 0
	same "the round came" "$(of up_round_came stuck)" true
	local sent
	sent=$(of up_sent_bytes stuck)
	wait_until sink_has "$sent"
	stop_server "$RELAY"
	same status "$SERVER_STATUS" 143
	same "sent since it was stuck" "$(of up_sent_bytes)" "$sent"
	same "source can be read" "$(of up_source_ready)" true
	same "sink can be written" "$(of up_sink_ready)" true
	[ "$(of up_unread_bytes)" -gt 0 ]
	same stuck "$(of stuck total)" 1
	wait_server "$SINK"
	wait_server "$SOURCE"
	cmp -n "$sent" file "$SINK_OUT"
}

sink_has() {
	[ "$(wc -c <"$SINK_OUT")" -eq "$1" ]
}

@test "race, fixed: the same round comes, and everything arrives" {
	head -c 30M /dev/urandom >file
	start_sink --rcvbuf 64K --read-rate 60MB/s
	start_relay --mistake race --fixed -1
	start_source file
	wait_server "$RELAY"
	same status "$SERVER_STATUS" 0
	same "the round came" "$(of up_round_came)" true
	same end "$(of end)" complete
	same stuck "$(of stuck total)" 0
	[ "$(of up_queued_peak_bytes)" -gt 32768 ]
	wait_server "$SINK"
	wait_server "$SOURCE"
	cmp file "$SINK_OUT"
}

@test "race, fixed: a source that has little to say is not waited for without end" {
	start_server "$halfclose" -s -p 0 --reply 10 --json
	start_relay --mistake race --fixed
	local bytes
	for bytes in 0 1 32768 32769 100000; do
		run -0 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --json --bytes $bytes
		same complete "$(ours complete)" true
	done
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "each line of --json is JSON, and has what scripts rely on" {
	need python3
	head -c 1M /dev/zero >file
	start_sink
	start_relay --mistake memory -i 1ms -1
	start_source file
	wait_server "$RELAY"
	python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.naiverelay/1 connections:int refused:int stuck:int capped:int \
		interrupted:bool <"$RELAY_OUT"
	same start "$(of mistake start)/$(of fixed start)/$(of high_bytes start)" memory/false/32768
	wait_server "$SINK"
	wait_server "$SOURCE"
}

@test "text: what it says, on stdout" {
	start_server "$halfclose" -s -p 0 --reply 10
	start_server "$naiverelay" --mistake close --fixed -1 0 "127.0.0.1:$PORT"
	run -0 "$halfclose" 127.0.0.1 -p "$PORT" --fixed --bytes 5
	wait_server
	cat "$SERVER_OUT"
	grep -qx 'the mistake: close, but not made' "$SERVER_OUT"
	grep -q 's  complete .* up 5 B, 5 B sent, at most 0 B queued; down 26 B, 26 B sent, at most 0 B queued; memory +' "$SERVER_OUT"
	same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 1
}

@test "SIGINT and SIGTERM, with and without a client: 130 and 143, the report first, and the client is reset" {
	local signal status
	for signal in INT TERM; do
		status=$([ $signal = INT ] && echo 130 || echo 143)
		start_sink
		start_relay --mistake close -i 5ms
		kill -$signal "$RELAY"
		wait_server "$RELAY"
		same status "$SERVER_STATUS" "$status"
		same interrupted "$(of interrupted total)" true
		PORT=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$SINK_LOG")
		start_relay --mistake close -i 5ms
		"$netcat" -d --json 127.0.0.1 "$PORT" 2>client.log 3>&- &
		local client=$!
		wait_until of elapsed_ns interval
		kill -$signal "$RELAY"
		wait_server "$RELAY"
		same status "$SERVER_STATUS" "$status"
		same end "$(of end)" interrupted
		status=0
		wait $client || status=$?
		same "status of the client" $status 1
		same "what the client sees" "$(field peer_end <client.log)" rst
		wait_server "$SINK"
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$halfclose" -s -p 0
	local port=$PORT
	start_server bash -c "exec '$naiverelay' --mistake close --fixed -1 --json 0 127.0.0.1:$port >/dev/full"
	"$halfclose" 127.0.0.1 -p "$PORT" --fixed >/dev/null
	wait_server
	same status "$SERVER_STATUS" 1
}
