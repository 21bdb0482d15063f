#!/usr/bin/env bats
# nodelay: the six ways to write a request, both cures at the server, the course's bytes from and to other programs, peers that
# misbehave, usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	nodelay=$TCPLAB_BIN/nodelay
}

# ask OPTION...: a client of the server at $PORT; its records are in $output, its status in $status.
ask() {
	run --separate-stderr "$nodelay" 127.0.0.1 -p "$PORT" --json "$@"
	echo "client: $*: status $status"
	echo "$output$stderr"
}

# served KEY: of the last connection of the last server, which has ended.
served() {
	field "$1" connection <"$SERVER_OUT"
}

# first KEY: of the client's first request.
first() {
	grep '"number":1,' <<<"$output" | field "$1" request
}

# peer CODE: a python server for one client, c, at $PORT, that goes by CODE. head() and take(n) read.
peer() {
	need python3
	start_server python3 -c '
import socket, struct, sys, time
s = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr, flush=True)
c = s.accept()[0]
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def take(n):
    got = b""
    while len(got) < n:
        part = c.recv(n - len(got))
        if not part:
            sys.exit(0)
        got += part
    return got
def head():
    return struct.unpack("<i", take(4))[0]
'"$1"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$nodelay" --help
	[[ $output == *"usage: nodelay"*"forgotten-cork"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$nodelay" --version
	[[ $output == "nodelay (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '-s localhost' '-s -b' '-s -n 2' '-s -r 2' '-s --how cork' '-4 -6 localhost' 'localhost 0' 'localhost 17M' \
		'localhost x' 'localhost 1 2' 'localhost --quickack' 'localhost -b --fixed' 'localhost -b --how cork' \
		'localhost --how no' 'localhost -n 0' 'localhost -n 1001' 'localhost -1' 'localhost -p 0' '-s -p 65536' \
		'localhost --timeout 0' 'localhost --no-such-option'; do
		echo "nodelay $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$nodelay" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "nobody listens: status 1, an error record" {
	start_server "$nodelay" -s -p 0
	stop_server
	ask
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	one_line_with connect ECONNREFUSED
}

# --- how a request is written ---------------------------------------------------------------------------------------

@test "separate: all but the first request are held by Nagle, and wait; two segments each" {
	start_server "$nodelay" -s -1 -p 0 --json
	ask -r 8
	same status "$status" 0
	same how "$(ours how start)" separate
	same slow "$(ours slow)" true
	same segments "$(ours segments)" 16
	same "held of the first" "$(first held_bytes)" 0
	[ "$(grep -c '"held_bytes":1000,"held_by":"nagle"' <<<"$output")" -ge 4 ]
	same "held by Nagle" "$(ours held_by_nagle)" "$(grep -c '"held_by":"nagle"' <<<"$output")"
	grep -o '"wait_ns":[0-9]*' <<<"$output" | cut -d: -f2 | sort -n >waits
	same "least, middle, most" "$(ours wait_min_ns) $(ours wait_median_ns) $(ours wait_max_ns)" \
		"$(sed -n 1p waits) $(sed -n 5p waits) $(sed -n 8p waits)"
	[ "$(ours stalled)" -ge 4 ]
	[ "$(ours delayed_acks)" -ge 4 ]
	wait_server
	same requests "$(served requests)" 8
	same payload "$(served payload_bytes)" 8000
	same errno "$(served errno)" null
}

@test "buffer, writev, more, cork: one segment each, nothing is held; with -D two, and nothing is held" {
	start_server "$nodelay" -s -p 0 --json
	local how
	for how in '-b' '--fixed' '--how more' '--how cork'; do
		# shellcheck disable=SC2086 # options
		ask -r 10 $how 500
		same status "$status" 0
		same segments "$(ours segments)" 10
		same held "$(ours held_by_nagle) $(ours held_by_cork) $(ours held_by_window)" '0 0 0'
		same slow "$(ours slow)" false
	done
	ask -r 10 -D
	same status "$status" 0
	same nodelay "$(ours nodelay)" true
	same segments "$(ours segments)" 20
	same held "$(ours held_by_nagle)" 0
	stop_server
	same connections "$(field connections <"$SERVER_OUT")" 5
}

@test "forgotten-cork: each request waits, whatever is acknowledged, and TCP_NODELAY is no help" {
	start_server "$nodelay" -s -p 0
	local option
	for option in '' -D; do
		ask --how forgotten-cork -r 2 $option
		same status "$status" 0
		same slow "$(ours slow)" true
		same "held by the cork" "$(ours held_by_cork)" 2
		same bytes "$(ours held_bytes request)" 1004
		same segments "$(ours segments)" 2
	done
}

@test "a server with --quickack: two segments, no wait; the client says that the mistake did no harm" {
	start_server "$nodelay" -s -1 -p 0 --quickack --trace --json
	ask -r 10
	same status "$status" 3
	same slow "$(ours slow)" false
	same segments "$(ours segments)" 20
	wait_server
	# on a new connection, and after each read
	same "times that it was set" "$(grep -c 'TCP_QUICKACK, 1' "$SERVER_LOG")" $(($(served reads) + 1))
}

@test "several in flight: it is the server's second reply that waits, unless it has TCP_NODELAY" {
	local option
	for option in '' -D --fixed; do
		start_server "$nodelay" -s -1 -p 0 $option
		ask --how cork -n 5 -r 50
		same segments "$(ours segments)" 10
		same "held by Nagle" "$(ours held_by_nagle)" 0
		if [ -z "$option" ]; then
			same "status, and slow" "$status $(ours slow)" '3 true'
		else
			same "status, and slow" "$status $(ours slow)" '0 false'
		fi
		wait_server
	done
}

@test "long requests; a server that does not read ends with the timeout" {
	start_server "$nodelay" -s -1 -p 0 --json
	# more than a send buffer holds: the kernel takes it in several parts
	ask -r 2 --fixed --stall 1h 16M
	same status "$status" 0
	same requests "$(ours requests)" 2
	wait_server
	same payload "$(served payload_bytes)" $((2 * 16777216))
	peer 'c.recv(1); time.sleep(10)'
	ask --fixed -r 1 --timeout 300ms 16M
	same status "$status" 1
	same errno "$(ours errno error)" ETIMEDOUT
}

@test "how many: -r in all, -n at a time, -n alone once" {
	start_server "$nodelay" -s -p 0
	local words expected
	for expected in 5:'-n 5' 10:'-n 4 -r 10' 3:'-r 3' 1:'-n 1' 10:''; do
		words=${expected#*:}
		# shellcheck disable=SC2086 # options
		ask --fixed $words 100
		same requests "$(ours requests)" "${expected%%:*}"
		same "number of records" "$(grep -c '"record":"request"' <<<"$output")" "${expected%%:*}"
	done
}

@test "judged by what stalls: status 3 when the mistake does not show, or the fix does not help; one round is not judged" {
	start_server "$nodelay" -s -p 0
	local requests
	ask -r 4 --stall 1h
	same "the mistake, and nothing stalls" "$status $(ours slow) $(ours stalled)" '3 false 0'
	for requests in 3 1; do
		peer '
while True:
    n = head()
    take(n)
    time.sleep(0.1)
    c.send(struct.pack("<i", n))'
		ask -r $requests --fixed
		if [ $requests -eq 3 ]; then
			same "the fix, and everything stalls" "$status $(ours slow) $(ours stalled)" '3 true 3'
		else
			same "one request" "$status $(ours slow) $(ours stalled)" '0 false 1'
		fi
		wait_server
	done
}

# --- the course's bytes, and peers that misbehave -------------------------------------------------------------------

@test "a server of the course's: the client's bytes, replies in pieces, several at once" {
	local i
	for i in '-b -n 3' '-n 3' '-n 3 -D' '--fixed -r 3' '--how more -n 3' '--how cork -n 3'; do
		peer '
for i in range(3):
    n = head()
    assert n == 1234 and take(n) == b"S" * 1234
    if i == 1:
        for byte in struct.pack("<i", n):
            c.send(bytes([byte]))
    if i == 2:
        c.send(struct.pack("<i", n))
    if i == 0:
        c.send(struct.pack("<i", n))
assert c.recv(1) == b""
print("well")'
		# shellcheck disable=SC2086 # options
		ask $i 1234
		same requests "$(ours requests)" 3
		wait_server
		same "the server" "$(cat "$SERVER_OUT")" well
	done
}

@test "a client of the course's: any length, in any pieces, many in one; the reply is the length" {
	need python3
	start_server "$nodelay" -s -1 -p 0 --json
	python3 - "$PORT" <<-'END'
		import socket, struct, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		def reply(n):
		    got = b""
		    while len(got) < 4:
		        got += s.recv(4 - len(got))
		    assert got == struct.pack("<i", n), got
		for byte in struct.pack("<i", 5) + b"SSSSS":
		    s.send(bytes([byte]))
		reply(5)
		s.sendall(b"".join(struct.pack("<i", n) + b"x" * n for n in (1, 200000, 7, 70000)))
		for n in (1, 200000, 7, 70000):
		    reply(n)
		s.sendall(struct.pack("<i", 16 << 20) + bytes(16 << 20))
		reply(16 << 20)
	END
	wait_server
	same requests "$(served requests)" 6
	same payload "$(served payload_bytes)" $((5 + 1 + 200000 + 7 + 70000 + 16777216))
	same errno "$(served errno)" null
}

@test "clients that misbehave: each ends its own connection, and the next one is served" {
	need python3
	start_server "$nodelay" -s -p 0 --json
	local patient=$SERVER_PID patient_out=$SERVER_OUT patient_log=$SERVER_LOG patient_port=$PORT
	start_server "$nodelay" -s -1 -p 0 --timeout 300ms --json
	python3 - "$patient_port" "$PORT" <<-'END'
		import socket, struct, sys
		def client(data, end="", port=int(sys.argv[1])):
		    s = socket.create_connection(("127.0.0.1", port), timeout=30)
		    s.sendall(data)
		    if end == "rst":
		        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		        return s.close()
		    if end == "fin":
		        s.shutdown(socket.SHUT_WR)
		    try:
		        assert s.recv(4) == b""
		    except ConnectionResetError:
		        pass
		for length in (0, -1, (16 << 20) + 1, 0x7fffffff, -0x80000000):
		    client(struct.pack("<i", length) + b"x" * 100)
		client(b"GET / HTTP/1.0\r\n\r\n")
		client(b"\1\0", "fin")
		client(b"\5\0\0\0", "fin")
		client(b"\5\0\0\0abc", "fin")
		client(b"\5\0\0\0abc", "rst")
		client(b"\5\0\0\0abc", port=int(sys.argv[2])) # silent
	END
	wait_server
	same "the silent one" "$(served errno)" ETIMEDOUT
	PORT=$patient_port
	ask --fixed -r 2
	same status "$status" 0
	stop_server "$patient"
	grep -o '"errno":[^}]*' "$patient_out" | tr -d '"' | cut -d: -f2 | uniq -c | awk '{ printf "%s%s", sep, $2 "*" $1; sep = " " }' >errors
	same errors "$(cat errors)" 'EMSGSIZE*6 EPROTO*3 ECONNRESET*1 null*1'
	same "complaints" "$(grep -c 'it is 1 to 16777216' "$patient_log")" 6
}

@test "servers that misbehave: status 1, one line, an error record" {
	local way patience=()
	for way in EPROTO:'head(); take(1000); c.close()' EPROTO:'head(); take(1000); c.send(b"\xe8\3"); c.close()' \
		EBADMSG:'head(); take(1000); c.send(struct.pack("<i", 999)); c.recv(1)' \
		EBADMSG:'head(); take(1000); c.send(struct.pack(">i", 1000)); c.recv(1)' \
		ECONNRESET:'head(); take(1000); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()' \
		ETIMEDOUT:'head(); take(1000); c.recv(1)'; do
		peer "${way#*:}"
		[[ $way != ETIMEDOUT:* ]] || patience=(--timeout 300ms)
		ask --fixed "${patience[@]}"
		same status "$status" 1
		same errno "$(ours errno error)" "${way%%:*}"
		same object "$(ours object error)" 1
		one_line_with 'request 1' "${way%%:*}"
		wait_server
	done
}

@test "IPv6" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	start_server "$nodelay" -s -6 -1 -p 0
	[[ $(cat "$SERVER_LOG") == *'[::1]:'* ]]
	run -0 "$nodelay" -6 ::1 -p "$PORT" --fixed -r 3 --json
	same segments "$(ours segments)" 3
	wait_server
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text of client and server" {
	start_server "$nodelay" -s -1 -p 0
	run -0 "$nodelay" 127.0.0.1 -p "$PORT" -r 12 20
	same start "${lines[0]}" 'separate: header and payload by a send(2) each; 4 + 20 bytes'
	[[ ${lines[1]} == '  request  1  '* ]]
	[[ ${lines[10]} == '  request 10  '* ]]
	grep -q 'held: 20 bytes, by Nagle: something is not yet acknowledged$' <<<"$output"
	same cut "${lines[11]}" '  ...'
	[[ ${lines[12]} == '12 requests in 24 segments. Waits: min '*', median '*', max '* ]]
	[[ ${lines[13]} == *' of them took longer than a round trip and 20.0 ms' ]]
	[[ ${lines[14]} == 'why: Nagle held our bytes until the acknowledgement came, '* ]]
	[[ ${lines[15]} == '     delayed acknowledgements on this machine meanwhile: '* ]]
	same "number of lines" "${#lines[@]}" 16
	wait_server
	[[ $(cat "$SERVER_OUT") == *': 12 requests, 240 bytes of payload, by 24 recv(2)' ]]
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first; a server too" {
	start_server "$nodelay" -s -p 0 --json
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f out
		"$nodelay" 127.0.0.1 -p "$PORT" -r 1000000 --how forgotten-cork --json >out 3>&- &
		local pid=$! status=0
		wait_until grep -q '"number":1,' out
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same requests "$(field requests <out)" "$(grep -c '"record":"request"' out)"
	done
	stop_server
	same "the server's status" "$SERVER_STATUS" 143
	same "the server's connections" "$(field connections <"$SERVER_OUT")" 2
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server "$nodelay" -s -p 0
	run -1 bash -c "'$nodelay' 127.0.0.1 -p $PORT --fixed > /dev/full"
}

@test "wrong usage, each word alone: two of -b, --how, --fixed; what is the server's at a client" {
	local words
	for words in 'localhost --fixed --how writev' 'localhost --fixed -b' 'localhost -b --how buffer' 'localhost --bind 127.0.0.1' \
		'-s --how separate' '-s -n 1' '-s -r 1'; do
		echo "nodelay $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$nodelay" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}
