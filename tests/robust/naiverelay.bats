#!/usr/bin/env bats
# naiverelay --fixed with unlucky clients and servers: resets at bad moments, ends in an unusual order, everything in both
# directions at once. And what becomes of a flow that is stuck.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	naiverelay=$TCPLAB_BIN/naiverelay
	netcat=$TCPLAB_BIN/netcat-nonblocking
	need python3
}

# start_relay OPTION...: in front of the server at $PORT; then it is the one at $PORT.
start_relay() {
	echo "naiverelay $*"
	start_server "$naiverelay" --json "$@" 0 "127.0.0.1:$PORT"
	RELAY=$SERVER_PID RELAY_OUT=$SERVER_OUT
}

# of KEY [RECORD]: what the relay said last.
of() {
	field "$1" "${2:-connection}" <"$RELAY_OUT"
}

# What both ends in python begin with.
PRELUDE='
import fcntl, socket, struct, sys, termios, time
def abort(s): # a reset instead of a FIN
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
def rest(s): # reads to the end: how much, and which end
    n = 0
    try:
        while (b := s.recv(65536)):
            n += len(b)
        return "%d fin" % n
    except ConnectionResetError:
        return "%d rst" % n
def until_taken(s): # everything has reached the kernel of the other end
    while struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)))[0] > 0:
        time.sleep(0.01)
def is_established(s): # the first byte of TCP_INFO
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x01"
'

# start_peer CODE: a server with a client's connection c; what it prints is in $PEER_OUT.
start_peer() {
	cat >server.py <<-END
		$PRELUDE
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		c, _ = l.accept()
		$1
	END
	start_server python3 server.py
	PEER=$SERVER_PID PEER_OUT=$SERVER_OUT
}

# client CODE: with its connection c; in the foreground.
client() {
	cat >client.py <<-END
		$PRELUDE
		c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		$1
	END
	timeout 100 python3 client.py "$PORT"
}

@test "a source that resets while the sink takes nothing: the sink is told within its second" {
	start_peer 'c.recv(1)
while is_established(c):
    time.sleep(0.01)
print(rest(c))'
	start_relay --mistake memory --fixed -1
	client 'c.setblocking(False)
try:
    while True:
        c.send(bytes(65536)) and time.sleep(0.0002)
except BlockingIOError:
    pass
time.sleep(0.1)
abort(c)'
	wait_server "$RELAY"
	same status "$SERVER_STATUS" 0
	same end "$(of end)" reset
	wait_server "$PEER"
	[[ $(cat "$PEER_OUT") == *' rst' ]]
}

@test "a sink that resets while the source still sends: the source is told" {
	local options
	for options in '--mistake memory --fixed' '--mistake close --fixed' '--mistake race --fixed' '--mistake memory'; do
		start_peer 'c.recv(100000); abort(c)'
		# shellcheck disable=SC2086 # options
		start_relay $options -1
		run client 'try:
    while True:
        c.sendall(bytes(65536))
except (ConnectionResetError, BrokenPipeError) as e:
    print("told")'
		same "what the source was told" "$output" told
		wait_server "$RELAY"
		same "end, $options" "$(of end)" reset
		wait_server "$PEER"
	done
}

@test "close, broken: a sink that resets becomes an end in order for the source, too" {
	start_peer 'c.recv(10); abort(c)'
	start_relay --mistake close -1
	run client 'c.sendall(b"0123456789"); print(rest(c))'
	same "what the source was told" "$output" '0 fin'
	wait_server "$RELAY"
	same end "$(of end)" closed
	wait_server "$PEER"
}

@test "what a server said before its reset is delivered, also while the client sends" {
	start_peer 'c.sendall(bytes(100000)); c.recv(1); until_taken(c); abort(c)'
	start_relay --mistake close --fixed -1
	run client 'c.sendall(b"x"); print(rest(c))'
	same "what the client has" "$output" '100000 rst'
	wait_server "$RELAY"
	same end "$(of end)" reset
	wait_server "$PEER"
}

@test "what came before a reset is delivered, also to a client that begins to read only then" {
	start_peer 'c.sendall(bytes(400000))
until_taken(c)
abort(c)
open("gone", "w")'
	start_relay --mistake close --fixed -1
	run client 'import os
while not os.path.exists("gone"):
    time.sleep(0.01)
print(rest(c))'
	same "what the client has" "$output" '400000 rst'
	wait_server "$RELAY"
	wait_server "$PEER"
}

@test "the server ends first, and the client goes on sending" {
	local options
	for options in '--mistake close --fixed' '--mistake memory' '--mistake race --fixed'; do
		start_peer 'c.shutdown(socket.SHUT_WR); print(rest(c))'
		# shellcheck disable=SC2086 # options
		start_relay $options -1
		run client 'print(rest(c)); c.sendall(bytes(3000000)); c.close()'
		same "what the client has, $options" "$output" '0 fin'
		wait_server "$PEER"
		same "what the server has" "$(cat "$PEER_OUT")" '3000000 fin'
		wait_server "$RELAY"
		same end "$(of end)" complete
	done
}

@test "everything in both directions at once, in any size of mark" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	local port=$PORT options
	for options in '--mistake close --fixed' '--mistake memory --fixed --high 5000' '--mistake memory' '--mistake race --fixed' \
		'--mistake race --fixed --high 1000'; do
		PORT=$port
		# shellcheck disable=SC2086 # options
		start_relay $options
		run -0 "$TCPLAB_BIN/bulkecho" 127.0.0.1 -p "$PORT" --fixed --bytes 8M --json
		same "right with $options" "$(ours right_bytes)" $((8 << 20))
		stop_server "$RELAY"
	done
}

@test "many connections, most of them accidents: no descriptor is left" {
	local round before
	start_server "$TCPLAB_BIN/echo" -s -p 0
	start_relay --mistake close --fixed
	"$netcat" 127.0.0.1 "$PORT" <<<hello >/dev/null
	before=$(find "/proc/$RELAY/fd" -mindepth 1 | wc -l)
	for round in 1 2 3 4 5 6 7 8 9 10; do
		"$netcat" 127.0.0.1 "$PORT" --close-mode rst <<<hello >/dev/null 2>&1 || true
		"$netcat" 127.0.0.1 "$PORT" --close-mode close <<<hello >/dev/null 2>&1 || true
		same "echo in round $round" "$("$netcat" 127.0.0.1 "$PORT" <<<hello)" hello
	done
	wait_until has_descriptors "$before"
	stop_server "$RELAY"
	same connections "$(of connections total)" 31
}

has_descriptors() {
	[ "$(find "/proc/$RELAY/fd" -mindepth 1 | wc -l)" -le "$1" ]
}

@test "race: a stuck flow stays when both have left in order, and ends by a reset" {
	start_server "$netcat" -l -d -v --rcvbuf 64K --read-rate 40MB/s 127.0.0.1 0
	local sink=$SERVER_PID
	start_relay --mistake race -1 -i 10ms
	cat >source.py <<-'END'
		import select, socket, struct, sys
		c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		c.setblocking(False)
		while not select.select([sys.stdin], [c], [])[0]: # until it is told to end it sends whatever is taken
		    c.send(bytes(65536))
		c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		c.close()
	END
	mkfifo go
	python3 source.py "$PORT" <go 3>&- &
	local source=$!
	exec 4>go
	wait_until is_stuck
	stop_server "$sink"
	wait_until intervals_since_stuck 5
	same "it is still there" "$(of end interval)" null
	echo >&4
	exec 4>&-
	wait $source
	wait_server "$RELAY"
	same status "$SERVER_STATUS" 3
	same end "$(of end)" reset
	same stuck "$(of stuck total)" 1
}

is_stuck() {
	grep -q '"record":"stuck"' "$RELAY_OUT"
}

intervals_since_stuck() {
	[ "$(sed '1,/"record":"stuck"/d' "$RELAY_OUT" | grep -c '"record":"interval"')" -ge "$1" ]
}
