#!/usr/bin/env bats
# tcprelay --http: what the page and its like tell, and whom they answer. What HTTP itself demands is tested byte for byte in
# tests/unit/httpd_test.c and http_parse_test.c; a real browser in tests/interop/tcprelay-page.bats.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT, SERVER_PID and SERVER_LOG are set by start_server

load ../helpers

setup() {
	relay=$TCPLAB_BIN/tcprelay
}

# relay ARGS...: two echo servers behind a relay with a page; its port in $PORT, that of the page in $HTTP, their addresses in $ONE, $TWO.
relay() {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	ONE=127.0.0.1:$PORT
	start_server "$TCPLAB_BIN/echo" -s -p 0
	TWO=127.0.0.1:$PORT
	start_server "$relay" --http 0 --drain 100ms "$@" 0 "$ONE,$TWO"
	HTTP=$(sed -n 's/.*: http on .*:\([0-9]*\)$/\1/p' "$SERVER_LOG")
}

get() {
	local path=$1
	shift
	curl -sS --max-time 100 "$@" "http://127.0.0.1:$HTTP$path"
}

# status PATH [CURL-OPTIONS]: the status alone.
status() {
	get "$@" -o /dev/null -w '%{http_code}'
}

# raw TEXT: \r\n and all, as it is; what comes back until the server closes.
raw() {
	# shellcheck disable=SC2059 # the text is the format
	printf "$1" | timeout 100 nc -N 127.0.0.1 "$HTTP"
}

# raw_is TEXT STATUS
raw_is() {
	run -0 raw "$1"
	same "answer to $1" "${lines[0]:9:3}" "$2"
}

# open_flow: a connection through the relay on which a byte has gone there and back.
open_flow() {
	local byte fd
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	printf x >&"$fd"
	read -r -N 1 -t 60 byte <&"$fd"
	same byte "$byte" x
}

# events N PATH: the first N lines of data of a stream.
events() {
	get "$2" --no-buffer 2>/dev/null | grep -m "$1" '^data: '
}

tells() {
	[[ $output == *"$1"* ]] || {
		echo "not told: $1"
		return 1
	}
}

# How many the relay has.
descriptors() {
	find "/proc/$SERVER_PID/fd" -type l | wc -l
}

# Not more: that of the client before may not yet have been closed when they were counted.
has_descriptors() {
	[ "$(descriptors)" -le "$1" ]
}

memory_kB() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$SERVER_PID/status"
}

# --- what is told -----------------------------------------------------------------------------------------------------

@test "the page is complete without a script: both targets, what was moved, how it ended; and brings everything with it" {
	need curl nc
	local backend
	for backend in epoll poll select; do
		TCPLAB_BACKEND=$backend relay --threads 2 --down rate=1mbit
		open_flow
		open_flow
		printf gone | timeout 60 nc -N 127.0.0.1 "$PORT" >/dev/null
		run -0 get /
		tells "<td class=\"name\" data-name=\"Target\"><span>$ONE</span>"
		tells "<td class=\"name\" data-name=\"Target\"><span>$TWO</span>"
		tells '<span class="pill ok">both ends finished</span>'
		tells 'Impaired on the way down: rate=1mbit'
		tells "<li>$ONE: 1 live, 2 connected, 0 failed"
		tells '<b>2</b><span>of 3 in'
		tells '</html>'
		[[ $output != *http://* && $output != *https://* ]]
		stop_servers
	done
}

@test "/json is one record, /metrics counts the same, /stream sends one each second" {
	need curl python3
	relay
	open_flow
	run -0 get /json
	same "lines, live, up" "${#lines[@]} $(ours live status) $(ours bytes_up status)" "1 1 1"
	run -0 get /metrics
	tells 'tcprelay_connections_total 1'
	tells 'tcprelay_bytes_total{way="up"} 1'
	tells 'tcprelay_live 1'
	get /metrics | python3 "$TCPLAB_ROOT/tests/fixtures/prometheus.py" tcprelay_bytes_total tcprelay_live
	same "events" "$(events 3 /stream | grep -c '^data: {"schema":"tcplab.tcprelay/1","record":"status",.*}$')" 3
	events 60 '/stream?as=html' | grep -qF "data-name=\"Target\"><span>$ONE</span>"
	same "as what?" "$(status '/stream?as=xml')" 400
}

@test "the page says who is paused, and where bytes wait" {
	need curl
	start_server "$TCPLAB_BIN/chargen" -s -p 0
	start_server "$relay" --http 0 --drain 100ms --buffer 64K 0 "127.0.0.1:$PORT"
	HTTP=$(sed -n 's/.*: http on .*:\([0-9]*\)$/\1/p' "$SERVER_LOG")
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT" # and reads nothing
	wait_until page_has 'server paused</span>'
	wait_until page_has 'client too slow: '
	wait_until page_has 'tcprelay_paused 1' /metrics
	exec {fd}>&-
	wait_until page_has 'client reset</span>'
}

page_has() {
	get "${2:-/}" | grep -qF -- "$1"
}

# --- who is answered --------------------------------------------------------------------------------------------------

@test "only names of this host are answered, and only what a page needs" {
	need curl nc
	relay
	same localhost "$(status / -H 'Host: localhost:1')" 200
	same "another site" "$(status /json -H 'Host: evil.example')" 421
	same "its longer name" "$(status / -H 'Host: 127.0.0.1.evil.example')" 421
	same POST "$(status / -d x)" 405
	same DELETE "$(status / -X DELETE)" 405
	same nowhere "$(status /../etc/passwd --path-as-is)" 404
	run -0 get / -I
	tells 'HTTP/1.1 200 OK'
	tells 'Content-Security-Policy: default-src '
	tells 'X-Content-Type-Options: nosniff'
	tells 'Cache-Control: no-store'
	[[ $output != *'<html'* ]]
}

@test "what is no request is refused, with its reason" {
	need nc
	relay
	local host='Host: localhost\r\n' long
	long=$(printf 'a%.0s' {1..9000})
	raw_is 'GET / HTTP/1.0\r\n\r\n' 200
	raw_is "GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n" 200
	raw_is "GET / HTTP/1.1\r\n\r\n" 400
	raw_is "GET / HTTP/1.1\r\n$host$host\r\n" 400
	raw_is 'GET / HTTP/1.0\n\n' 400
	raw_is "GET / HTTP/1.1\r\n$host a: folded\r\n\r\n" 400
	raw_is '\x16\x03\x01\x02\x00' 400
	raw_is "POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" 501
	raw_is "POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx" 400
	raw_is "POST / HTTP/1.1\r\n${host}Content-Length: 10000000\r\n\r\n" 413
	raw_is "GET /$long HTTP/1.1\r\n$host\r\n" 414
	raw_is "GET / HTTP/1.1\r\n${host}A: $long\r\n\r\n" 431
	raw_is 'BREW / HTTP/1.1\r\n' 501
	raw_is 'GET / HTTP/2.0\r\n' 505
	raw_is 'GET / HTTP/1.1\r\nHo' 400
	grep -q 'LF alone' <<<"$(raw 'GET / HTTP/1.0\n\n')"
}

# --- many, slow and rude ones -----------------------------------------------------------------------------------------

@test "a thousand requests, kept and not, pipelined, and no descriptor is lost" {
	need ab curl nc
	relay
	local before answers
	status /json >/dev/null
	before=$(descriptors)
	ab -q -n 1000 -c 10 "http://127.0.0.1:$HTTP/" >"$BATS_TEST_TMPDIR/ab"
	ab -q -k -n 1000 -c 10 "http://127.0.0.1:$HTTP/metrics" >"$BATS_TEST_TMPDIR/ab-k"
	# Rates and times make one page longer than the other, so that is no failure.
	grep -q '^Complete requests: *1000$' "$BATS_TEST_TMPDIR/ab"
	run ! grep -q '^Non-2xx' "$BATS_TEST_TMPDIR/ab"
	grep -q '^Complete requests: *1000$' "$BATS_TEST_TMPDIR/ab-k"
	grep -q '^Keep-Alive requests: *1000$' "$BATS_TEST_TMPDIR/ab-k"
	run ! grep -q '^Non-2xx' "$BATS_TEST_TMPDIR/ab-k"
	answers=$(printf 'GET /icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n%.0s' {1..300} | timeout 100 nc -N 127.0.0.1 "$HTTP" | grep -c '^HTTP/1.1 200')
	same "pipelined" "$answers" 300
	wait_until has_descriptors "$before"
}

@test "a crowd that begins a request and never ends it, and clients that say nothing, keep nobody from the page" {
	need curl
	relay
	local i fd before
	status / >/dev/null
	before=$(descriptors)
	for ((i = 0; i < 200; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$HTTP"
		[ $((i % 2)) -eq 0 ] || printf 'GET / HTTP/1.1\r\nHost: loc' >&"$fd"
	done
	same "the page" "$(status /)" 200
	open_flow
	[ "$(descriptors)" -le $((before + 130 + 2)) ]
}

@test "who asks and never reads costs little: the page goes on, and so does the relay" {
	need curl
	relay
	local request='GET / HTTP/1.1\r\nHost: localhost\r\n\r\n' before i fd
	status / >/dev/null
	before=$(memory_kB)
	for ((i = 0; i < 20; i++)); do
		exec {fd}<>"/dev/tcp/127.0.0.1/$HTTP"
		printf "$request%.0s" {1..1000} >&"$fd" # 9 MB of answers
		exec {fd}<>"/dev/tcp/127.0.0.1/$HTTP"
		printf 'GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n' >&"$fd"
	done
	same "the page" "$(status /)" 200
	open_flow
	same "events" "$(events 2 /stream | wc -l)" 2
	echo "memory: $before kB before, $(memory_kB) kB now"
	[ "${MODE:-release}" != release ] || [ "$(memory_kB)" -lt $((before + 15000)) ]
}

@test "SIGTERM ends the page with the last connection; who looks at a stream does not hold it up" {
	need curl
	relay --drain 100s
	open_flow
	get /stream --no-buffer >"$BATS_TEST_TMPDIR/events" 3>&- &
	local looker=$!
	wait_until grep -q '^data: ' "$BATS_TEST_TMPDIR/events"
	kill -TERM "$SERVER_PID"
	wait_until page_has 'Draining: nobody new is accepted.'
	kill -TERM "$SERVER_PID"
	wait_server
	same "status" "$SERVER_STATUS" 1
	wait_until has_ended "$looker"
}

@test "a place that is none, or taken, is said" {
	run -1 --separate-stderr timeout 60 "$relay" --http x:y 0 127.0.0.1:1
	one_line_with 'serve http on x:y' '[ADDR:]PORT'
	relay
	run -1 --separate-stderr timeout 60 "$relay" --http "$HTTP" 0 127.0.0.1:1
	one_line_with EADDRINUSE "$HTTP"
	run -1 --separate-stderr timeout 60 "$relay" --http "127.0.0.1:$HTTP" 0 127.0.0.1:1
	one_line_with EADDRINUSE "$HTTP"
}
