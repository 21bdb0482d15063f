#!/usr/bin/env bats
# The three netcats and other people's: OpenBSD's nc, ncat, socat, curl and Python at the other end, each way round. How
# a connection ends is where netcats differ, so that is what is tested most.

# shellcheck disable=SC2034 # INPUT is for launch
# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/netcat

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	printf 'a question\n' >question
	head -c 1000000 /dev/urandom >data
}

# --- ours as the client: Python is the server -----------------------------------------------------------

# The server reads to the end, waits, then answers with 1 MB. Who half-closes and is patient gets all of it; others lose
# it (a netcat with -q1), or never make the server's read end (one that does not half-close).
late_answer() {
	local delay=$1
	peer drain "sleep:$delay" put:1000000 close
	INPUT=question
	client --json
	ends "$WORKER" 0
	same "bytes of the answer" "$(stat -c %s "$WORKER_OUT")" 1000000
	is "$WORKER_ERR" total bytes_received=1000000 closed_first=local peer_end=fin
	wait_server
	same_text "the server's view" "$SERVER_OUT" 'drain 11: EOF
put 1000000: ok'
}

@test "the server sees our end at once; its answer after 0.2 s is complete" {
	each_engine late_answer 0.2
}

# Three at once: it is the waiting that takes time.
@test "its answer after 2 s is complete" {
	local workers=() outs=() n
	peer --each drain sleep:2 put:1000000 close
	for engine in "${ENGINES[@]}"; do
		nc=$TCPLAB_BIN/netcat-$engine INPUT=question
		client
		workers+=("$WORKER")
		outs+=("$WORKER_OUT")
	done
	for n in 0 1 2; do
		ends "${workers[n]}" 0
		same "bytes of the answer, ${ENGINES[n]}" "$(stat -c %s "${outs[n]}")" 1000000
	done
}

# stdout closed under a flood: status 1, one line, no hang.
flood() {
	peer put:100000000
	# shellcheck disable=SC2016 # for the inner shell
	run -0 bash -c '"$@" 2>err | head -c 1000 | wc -c; echo "${PIPESTATUS[0]}"' bash "$nc" -d 127.0.0.1 "$PORT"
	same "bytes and status" "${lines[*]}" '1000 1'
	one_line err
	says 'write standard output' err
	wait_server
	grep -qE '^put [0-9]+: (ECONNRESET|EPIPE)$' "$SERVER_OUT"
}

@test "standard output closed under a flood: status 1, and the server is told" {
	each_engine flood
}

# The peer writes 32 MiB before it reads a byte. We have as much to send.
bulk() {
	head -c 33554432 /dev/zero >zeros
	peer put:33554432 drain close
	INPUT=zeros
	client --json
	ends "$WORKER" 0
	wait_server
	same_text "the peer's view" "$SERVER_OUT" 'put 33554432: ok
drain 33554432: EOF'
	is "$WORKER_ERR" total bytes_sent=33554432 bytes_received=33554432 unacked_bytes=0
}

@test "bulk both ways, the peer writes 32 MiB before it reads: all of it, threaded and nonblocking" {
	ENGINES=(threaded nonblocking)
	each_engine bulk
}

@test "bulk both ways, the peer writes 32 MiB before it reads: netcat-blocking says that it is a deadlock" {
	nc=$TCPLAB_BIN/netcat-blocking
	peer put:33554432 drain
	INPUT=/dev/zero
	client --json
	wait_until says '"record":"deadlock"' "$WORKER_ERR"
	[ "$(field unread_bytes deadlock <"$WORKER_ERR")" -gt 0 ]
	kill -INT "$WORKER"
	ends "$WORKER" 130
}

# --- a random file both ways at once --------------------------------------------------------------------

# A program in the background that compares what it receives with what it sends: the file "big".
# shellcheck disable=SC2016 # for the inner shell
COPY='"$@" <big | cmp - big; exit $((PIPESTATUS[0] + PIPESTATUS[1]))'

copies() {
	"$1" bash -c "$COPY" bash "${@:2}"
}

both_ways() {
	echo "--- netcat-$engine and $1"
	case $1 in
	netcat-*) copies start_server "$TCPLAB_BIN/$1" -l -v 127.0.0.1 0 ;;
	socat) copies start_server socat -t 30 -d -d - TCP-LISTEN:0,bind=127.0.0.1 ;;
	python) peer copy:big ;;
	esac
	copies start_worker "$nc" 127.0.0.1 "$PORT"
	ends "$WORKER" 0
	wait_server
	same "the status of $1" "$SERVER_STATUS" 0
	[ "$1" != python ] || same_text python "$SERVER_OUT" 'copy: the same'
}

@test "random bytes both ways at once, intact: threaded and nonblocking, each other, socat and Python" {
	need socat
	head -c "${NETCAT_TEST_BYTES:-33554432}" /dev/urandom >big
	ENGINES=(threaded nonblocking)
	each_engine both_ways netcat-threaded
	each_engine both_ways netcat-nonblocking
	each_engine both_ways socat
	each_engine both_ways python
}

# --- other people's netcats as the server ---------------------------------------------------------------

# other CMD...: listens on $FREE, its input is $INPUT. Their "listening" lines differ, and some have none.
other() {
	launch start_worker "$@"
	wait_until listens "$FREE"
}

their_server() {
	free_port
	INPUT=data
	other socat -t 10 - "TCP-LISTEN:$FREE,bind=127.0.0.1"
	run -0 --separate-stderr bash -c '"$@" >got' bash "$nc" --json 127.0.0.1 "$FREE" <question
	cmp data got
	is <(echo "$stderr") total bytes_sent=11 bytes_received=1000000 peer_end=fin unacked_bytes=0
	ends "$WORKER" 0
	same_text "what socat has received" "$WORKER_OUT" "$(cat question)"
}

@test "socat as the server: a question there, a file back" {
	need socat
	each_engine their_server
}

# OpenBSD's nc and ncat as servers stop sending when our end has come: so ours comes last.
ends_last() {
	free_port
	INPUT=data
	other "$@" -l 127.0.0.1 "$FREE"
	local server=$WORKER theirs=$WORKER_OUT
	open_input
	PORT=$FREE
	client --json
	type_in 'a question\n'
	ends "$WORKER" 0
	cmp data "$WORKER_OUT"
	is "$WORKER_ERR" total closed_first=peer peer_end=fin bytes_sent=11 unacked_bytes=0
	ends "$server" 0
	same_text "what $1 has received" "$theirs" 'a question'
}

@test "OpenBSD's nc and ncat as the server, whose file ends first" {
	need nc.openbsd ncat
	each_engine ends_last nc.openbsd -N
	each_engine ends_last ncat
}

# Their end is ours, though our input is open and silent.
they_close() {
	free_port
	INPUT=data
	case $1 in
	nc.openbsd) other nc.openbsd -N -q 0 -l 127.0.0.1 "$FREE" ;;
	socat) other socat -u - "TCP-LISTEN:$FREE,bind=127.0.0.1" ;;
	esac
	open_input
	PORT=$FREE
	client --json
	ends "$WORKER" 0
	cmp data "$WORKER_OUT"
	is "$WORKER_ERR" total closed_first=peer peer_end=fin bytes_sent=0
}

@test "nc and socat close while our input is open: all of theirs is here, status 0" {
	need nc.openbsd socat
	each_engine they_close nc.openbsd
	each_engine they_close socat
}

# --- other people's netcats as the client ---------------------------------------------------------------

their_client() {
	INPUT=data
	listen --json
	case $1 in
	nc.openbsd) nc.openbsd -N 127.0.0.1 "$PORT" <question >got ;;
	ncat) ncat 127.0.0.1 "$PORT" <question >got ;;
	socat) socat -t 10 - "TCP:127.0.0.1:$PORT" <question >got ;;
	esac
	cmp data got
	wait_server
	same status "$SERVER_STATUS" 0
	same_text output "$SERVER_OUT" "$(cat question)"
	is "$SERVER_LOG" total bytes_sent=1000000 bytes_received=11 peer_end=fin unacked_bytes=0
}

@test "OpenBSD's nc, ncat and socat as the client: a question here, a file back" {
	need nc.openbsd ncat socat
	each_engine their_client nc.openbsd
	each_engine their_client ncat
	each_engine their_client socat
}

keeps_serving() {
	listen -k
	nc.openbsd -N 127.0.0.1 "$PORT" <question
	ncat 127.0.0.1 "$PORT" <question
	nc.openbsd -z 127.0.0.1 "$PORT"
	socat -t 1 - "TCP:127.0.0.1:$PORT" <question
	nc.openbsd -N 127.0.0.1 "$PORT" <question
	wait_until has_bytes 44 "$SERVER_OUT"
	stop_server
	same_text output "$SERVER_OUT" "$(cat question question question question)"
}

@test "-k serves one netcat after the other, and a scan between them" {
	need nc.openbsd ncat socat
	each_engine keeps_serving
}

udp() {
	open_input
	listen -u
	nc.openbsd -u -W 1 127.0.0.1 "$PORT" <question >got 3>&- &
	local client=$!
	wait_until holds "$(cat question)" "$SERVER_OUT"
	type_in 'an answer\n'
	wait "$client"
	same_text "nc's view" got 'an answer'
	end_input
	stop_server

	free_port
	INPUT=question
	launch start_worker nc.openbsd -u -l -W 1 127.0.0.1 "$FREE"
	wait_until grep -qi ":$(printf '%04X' "$FREE") " /proc/net/udp
	run -0 "$nc" -u -w 200ms 127.0.0.1 "$FREE" <question
	ends "$WORKER" 0
	same_text "nc has received" "$WORKER_OUT" "$(cat question)"
}

@test "-u with OpenBSD's nc, each way round" {
	need nc.openbsd
	each_engine udp
}

unix_others() {
	local path=$PWD/socket
	INPUT=data
	launch start_server "$nc" -l -v -U "$path"
	socat -t 10 - "UNIX-CONNECT:$path" <question >got
	cmp data got
	wait_server
	same_text output "$SERVER_OUT" "$(cat question)"
	launch start_server "$nc" -l -v -U "$path"
	nc.openbsd -N -U "$path" <question >got
	cmp data got
	wait_server
	INPUT=data
	launch start_worker nc.openbsd -N -l -U "$path"
	wait_until grep -q " 00010000 .* $path\$" /proc/net/unix # it is listened at (net/unix/af_unix.c: __SO_ACCEPTCON)
	"$nc" -d -U "$path" >got
	cmp data got
	ends "$WORKER" 0
	rm "$path"
}

@test "-U with socat and OpenBSD's nc" {
	need nc.openbsd socat
	each_engine unix_others
}

# --- HTTP -----------------------------------------------------------------------------------------------

curl_gets_a_page() {
	printf 'HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\npage\r\n' >page
	INPUT=page
	listen
	run -0 curl -s --max-time 60 "http://127.0.0.1:$PORT/some/path"
	same "the page" "$output" $'page\r'
	wait_server
	same status "$SERVER_STATUS" 0
	says 'GET /some/path HTTP/1.1' "$SERVER_OUT"
}

@test "curl gets a page from netcat -l" {
	need curl
	each_engine curl_gets_a_page
}

get_a_page() {
	printf 'GET /data HTTP/1.0\r\n\r\n' >request
	"$nc" 127.0.0.1 "$PORT" <request >answer
	[ "$(head -n 1 answer)" = $'HTTP/1.0 200 OK\r' ]
	tail -c 1000000 answer | cmp - data
}

@test "a page from Python's http.server" {
	start_server python3 -c '
import http.server, sys
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
print("listening on 127.0.0.1:%d" % server.server_port, file=sys.stderr, flush=True)
server.serve_forever()'
	for engine in "${ENGINES[@]}"; do
		nc=$TCPLAB_BIN/netcat-$engine
		get_a_page
	done
}
