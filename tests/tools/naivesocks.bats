#!/usr/bin/env bats
# naivesocks: each of its mistakes, and that --fixed does not make it; that everything else is right all the same; requests that are
# none, and clients that leave; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server
# shellcheck disable=SC2059 # requests are in printf's words
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers
load ../fixtures/ports

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	naivesocks=$TCPLAB_BIN/naivesocks
	netcat=$TCPLAB_BIN/netcat-nonblocking
	peer=$TCPLAB_ROOT/tests/fixtures/netcat_peer.py
}

# --- what the tests share -------------------------------------------------------------------------------------------

GRANTED='0 90 0 0 0 0 0 0'
REJECTED='0 91 0 0 0 0 0 0'
RIGHT=('--mistake dns --fixed' '--mistake grant --fixed' '--mistake segment --fixed')

# start_socks OPTION...: it is then at $SOCKS.
start_socks() {
	echo "naivesocks $*"
	start_server "$naivesocks" --json "$@" 0
	SOCKS=$PORT SOCKS_PID=$SERVER_PID SOCKS_OUT=$SERVER_OUT
}

# start_echo: it is then at $ECHO.
start_echo() {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	ECHO=$PORT
}

# request COMMAND PORT [NAME]: for printf. Without a name it is to 127.0.0.1.
request() {
	local address='\177\0\0\1'
	[ $# -eq 2 ] || address='\0\0\0\1'
	printf '\\4\\%o\\%03o\\%03o%suser\\0' "$1" $(($2 / 256)) $(($2 % 256)) "$address"
	[ $# -eq 2 ] || printf '%s\\0' "$3"
}

# talk TEXT: sends it, in printf's words, and then FIN; what comes back is in `got`, how it ended in $PEER_END.
talk() {
	printf "$1" | "$netcat" --json -w 40 127.0.0.1 "$SOCKS" >got 2>talk.log || cat talk.log
	PEER_END=$(field peer_end <talk.log)
}

# reply: the first eight bytes that came, as numbers.
reply() {
	head -c 8 got | od -An -v -tu1 | tr -s ' ' | sed 's/^ //'
}

# of KEY [RECORD]: what the server said last.
of() {
	field "$1" "${2:-connection}" <"$SOCKS_OUT"
}

has_said() {
	grep -q "$1" "$SOCKS_OUT"
}

# A port at which nobody listens.
nobody() {
	unused_port
	NOBODY=$UNUSED
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$naivesocks" --help
	[[ $output == *"usage: naivesocks"*"--mistake"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$naivesocks" --version
	[[ $output == "naivesocks (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' '1080' '--mistake none' '--mistake dns 1 2' '--mistake dns x' '--mistake dns 65536' '--mistake dns -1' \
		'--mistake dns -4 -6' '--mistake dns --no-such-option'; do
		echo "naivesocks $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$naivesocks" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "a port that is taken: status 1, an error record" {
	start_echo
	run -1 --separate-stderr "$naivesocks" --mistake dns --json "$ECHO"
	one_line_with EADDRINUSE
	same errno "$(ours errno error)" EADDRINUSE
}

@test "where it listens: loopback unless told, IPv4 or IPv6" {
	local words
	for words in '' '--bind 127.0.0.2' '-6' '--bind ::1' '-4'; do
		# shellcheck disable=SC2086 # options
		start_socks --mistake dns --fixed $words
		case $words in
		'' | -4) same where "$(of listening start)" "127.0.0.1:$PORT" ;;
		*127.0.0.2) same where "$(of listening start)" "127.0.0.2:$PORT" ;;
		*) same where "$(of listening start)" "[::1]:$PORT" ;;
		esac
		stop_server
	done
}

# --- right ----------------------------------------------------------------------------------------------------------

@test "fixed: an address and a name; what comes right behind the request is delivered; a half-close is passed on" {
	local words
	start_echo
	for words in "${RIGHT[@]}"; do
		# shellcheck disable=SC2086 # options
		start_socks $words
		talk "$(request 1 "$ECHO")hello"
		same reply "$(reply)" "$GRANTED"
		same "what came back" "$(tail -c +9 got)" hello
		same end "$PEER_END" fin
		same target "$(of target)" "127.0.0.1:$ECHO"
		same resolved "$(of resolved_ns)" null
		talk "$(request 1 "$ECHO" localhost)hello again"
		same reply "$(reply)" "$GRANTED"
		same "what came back" "$(tail -c +9 got)" 'hello again'
		same end "$(of end)" complete
		same target "$(of target)" "localhost:$ECHO"
		same bytes "$(of bytes_up)/$(of bytes_down)" 11/11
		[ "$(of resolved_ns)" -ge "$(of asked_ns)" ]
		[ "$(of replied_ns)" -ge "$(of resolved_ns)" ]
		stop_server
		same granted "$(of granted total)/$(of rejected total)/$(of connections total)" 2/0/2
	done
}

@test "fixed: all of a file, both ways at once; what waits is bounded" {
	local words
	head -c 20M /dev/urandom >file
	start_echo
	start_socks --mistake segment --fixed
	(printf "$(request 1 "$ECHO")" && cat file) | "$netcat" -w 20 127.0.0.1 "$SOCKS" | tail -c +9 | cmp - file
	same bytes "$(of bytes_up)/$(of bytes_down)" $((20 << 20))/$((20 << 20))
	same end "$(of end)" complete
	# A target that has stopped reading: the client stands still, and the server has not grown.
	start_server "$netcat" -l -d -v --stop-after 1 --rcvbuf 64K 127.0.0.1 0
	(printf "$(request 1 "$PORT")" && cat file) | "$netcat" -w 20 -i 20ms --sndbuf 64K --json 127.0.0.1 "$SOCKS" >got 2>client.log 3>&- &
	local client=$!
	wait_until is_at_rest
	[[ $TCPLAB_BIN == *san/* ]] || [ "$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$SOCKS_PID/status")" -lt 12000 ]
	stop_server "$SOCKS_PID"
	same end "$(of end)" interrupted
	[ "$(of bytes_up)" -lt $((20 << 20)) ]
	run -1 wait $client
}

# It has sent something, and in the last five intervals nothing.
is_at_rest() {
	local n
	n=$(sed -n '/"record":"interval"/s/.*"bytes_sent":\([0-9]*\).*/\1/p' client.log | tail -n 5)
	[ "$(wc -l <<<"$n")" -eq 5 ] && [ "$(sort -u <<<"$n" | wc -l)" -eq 1 ] && [ "${n%%$'\n'*}" -gt 100000 ]
}

@test "a reset of either side is passed on to the other one" {
	need python3
	start_socks --mistake grant --fixed
	start_server python3 "$peer" get:5 rst
	talk "$(request 1 "$PORT")hello"
	same reply "$(reply)" "$GRANTED"
	same "what the client sees" "$PEER_END" rst
	same end "$(of end)" reset
	start_server python3 "$peer" get:5 send:! drain
	local target_out=$SERVER_OUT
	# no reset before the answer to what it said: it would drop that as well
	python3 "$peer" --connect "127.0.0.1:$SOCKS" "send:$(request 1 "$PORT")hello" get:9 rst
	wait_server
	cat "$target_out"
	grep -q 'drain 0: ECONNRESET' "$target_out"
}

@test "an address of a name at which nobody listens is passed over" {
	printf '%s both.test\n' ::1 127.0.0.1 >hosts
	cat_start >story.sh
	cat >>story.sh <<-'END'
		printf "${name}hello" | "$bin/netcat-nonblocking" -w 40 127.0.0.1 "$port" >got
		kill $socks
		wait $socks || true
	END
	run -0 in_silence bash story.sh "$TCPLAB_BIN" '\\4\\1\\%o\\%o\\0\\0\\0\\1\\0both.test\\0' '' --mistake grant --fixed
	cat socks.json
	same reply "$(reply)" "$GRANTED"
	same "what came back" "$(tail -c +9 got)" hello
}

@test "as many clients as there are places, and one more: it waits until one leaves" {
	need python3
	start_echo
	start_socks --mistake segment --fixed
	cat >crowd.py <<-'END'
		import socket, sys
		port, request = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode("latin-1")
		crowd = [socket.create_connection(("127.0.0.1", port)) for i in range(65)]
		for s in crowd:
		    s.sendall(request + b"x")
		for s in crowd[:64]:
		    assert len(s.recv(9, socket.MSG_WAITALL)) == 9
		try:
		    crowd[64].recv(9, socket.MSG_DONTWAIT)
		    print("it did not wait")
		except BlockingIOError:
		    crowd[0].close()
		    print("%d bytes" % len(crowd[64].recv(9, socket.MSG_WAITALL)))
	END
	run -0 python3 crowd.py "$SOCKS" "$(request 1 "$ECHO")"
	same "the last one" "$output" '9 bytes'
}

# --- dns ------------------------------------------------------------------------------------------------------------

# in_silence CMD...: with a resolver that never answers, on a network and with a /etc of its own. It is asked ATTEMPTS
# times for a name, one second apart.
in_silence() {
	local cage=(unshare --pid --mount --net --fork --kill-child --mount-proc)
	"${cage[@]}" true 2>/dev/null || cage+=(--user --map-root-user)
	"${cage[@]}" true 2>/dev/null || skip "no namespaces here"
	need ip
	printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:%s\n' "${ATTEMPTS:-1}" >resolv.conf
	echo 'hosts: files dns' >nsswitch.conf
	[ -e /etc/nsswitch.conf ] || : >no-nsswitch
	"${cage[@]}" bash -euc 'ip link set lo up; mount --bind resolv.conf /etc/resolv.conf
		[ -e no-nsswitch ] || mount --bind nsswitch.conf /etc/nsswitch.conf
		[ ! -e hosts ] || mount --bind hosts /etc/hosts
		"$@"' in_silence "$@" 3>&-
}

# What stands at the beginning of all that goes on there: a resolver, an echo, the server. BIN, two requests, OPTION...
cat_start() {
	cat <<-'END'
		set -eu
		listening() {
			for ((i = 0; i < 2000; i++)); do
				sed -n 's/.*listening on .*:\([0-9]*\)\( (udp)\)*$/\1/p' "$1" | grep -m 1 . && return
				sleep 0.02
			done
		}
		bin=$1 name=$2 literal=$3
		shift 3
		"$bin/discard" -s -v -p 53 --json >resolver.json 2>resolver.log &
		resolver=$!
		"$bin/echo" -s -p 0 2>echo.log &
		"$bin/naivesocks" --json "$@" 0 >socks.json 2>socks.log &
		socks=$!
		listening resolver.log >/dev/null
		echo=$(listening echo.log) port=$(listening socks.log)
		name=$(printf "$name" $((echo / 256)) $((echo % 256)))
		literal=$(printf "$literal" $((echo / 256)) $((echo % 256)))
	END
}

# One client asks for a name, and then another one for an address.
cat_story() {
	cat_start
	cat <<-'END'
		printf "$name" | "$bin/netcat-nonblocking" -w 40 127.0.0.1 "$port" >a.got &
		a=$!
		for ((i = 0; i < 2000; i++)); do
			! grep -q '"record":"request"' socks.json || break
			sleep 0.02
		done
		printf "${literal}hello" | "$bin/netcat-nonblocking" -w 40 127.0.0.1 "$port" >b.got
		if [ -e leave ]; then
			kill $a
		fi
		kill $resolver # and if it is asked again, it refuses to answer
		wait $a || true
		for ((i = 0; i < 2000; i++)); do
			[ "$(grep -c '"record":"connection"' socks.json)" -lt 2 ] || break
			sleep 0.02
		done
		kill $socks
		wait $socks || echo "status $?"
	END
}

# play_silence OPTION...: A_* and B_* are then what became of the two.
play_silence() {
	cat_story >story.sh
	run -0 in_silence bash story.sh "$TCPLAB_BIN" \
		'\\4\\1\\%o\\%o\\0\\0\\0\\1\\0silent.test\\0' '\\4\\1\\%o\\%o\\177\\0\\0\\1\\0' "$@"
	same "status of the server" "${lines[-1]}" 'status 143'
	cat socks.json
	A_RESOLVED=$(grep silent.test socks.json | field resolved_ns connection)
	A_REPLY=$(grep silent.test socks.json | field reply connection)
	B_ACCEPTED=$(grep '127.0.0.1:[0-9]*","reply' socks.json | field accepted_ns connection)
	B_ENDED=$(grep '127.0.0.1:[0-9]*","reply' socks.json | field ended_ns connection)
	same "what came back for the other one" "$(tail -c +9 b.got)" hello
	same "reply to the name" "$A_REPLY" rejected
	grep -q '"why":"resolve silent.test' socks.json
}

@test "dns: while a name is asked for nobody else is served" {
	play_silence --mistake dns
	[ "$B_ACCEPTED" -ge "$A_RESOLVED" ]
	mv a.got got
	same reply "$(reply)" "$REJECTED"
}

@test "dns, fixed: the other one comes and goes while the name is still asked for" {
	ATTEMPTS=5 # the other one has five seconds, and is not waited for that long
	play_silence --mistake dns --fixed
	[ "$B_ENDED" -lt "$A_RESOLVED" ]
	mv a.got got
	same reply "$(reply)" "$REJECTED"
}

@test "dns, fixed: a client that leaves while its name is asked for" {
	: >leave
	ATTEMPTS=5
	play_silence --mistake segment --fixed
	[ "$B_ENDED" -lt "$A_RESOLVED" ]
	same "bytes for the one that left" "$(wc -c <a.got)" 0
}

# --- grant ----------------------------------------------------------------------------------------------------------

@test "grant: whoever wants to go nowhere is told that he is there, and then sees an end" {
	nobody
	start_socks --mistake grant
	local words
	for words in '' localhost; do
		# shellcheck disable=SC2086 # a name, or none
		talk "$(request 1 "$NOBODY" $words)hello"
		same reply "$(reply)" "$GRANTED"
		same "bytes" "$(wc -c <got)" 8
		same end "$PEER_END" fin
		same "the server's end" "$(of end)/$(of reply)" nowhere/granted
		[[ $(of why) == *ECONNREFUSED* ]]
	done
	stop_server
	same granted "$(of granted total)/$(of rejected total)" 2/0
}

@test "a target that refuses: rejected, and an end in order, with every mistake but that one" {
	local words name long
	long=$(head -c 100000 /dev/zero | tr '\0' x)
	nobody
	for words in "${RIGHT[@]}" '--mistake dns' '--mistake segment'; do
		# shellcheck disable=SC2086 # options
		start_socks $words
		for name in '' localhost; do
			# shellcheck disable=SC2086 # a name, or none
			talk "$(request 1 "$NOBODY" $name)hello"
			same reply "$(reply)" "$REJECTED"
			same "bytes" "$(wc -c <got)" 8
			same end "$PEER_END" fin
			[[ $(of why) == *ECONNREFUSED* ]]
		done
		# More than it has read by then: a reset would come before the reply.
		talk "$(request 1 "$NOBODY")$long"
		same reply "$(reply)" "$REJECTED"
		same end "$PEER_END" fin
		stop_server
		same rejected "$(of granted total)/$(of rejected total)" 0/3
	done
}

@test "grant: with a target that is there it makes no difference" {
	start_echo
	start_socks --mistake grant
	talk "$(request 1 "$ECHO")hello"
	same reply "$(reply)" "$GRANTED"
	same "what came back" "$(tail -c +9 got)" hello
}

# --- segment --------------------------------------------------------------------------------------------------------

@test "segment: half a request is rejected, and what comes right behind a request is lost" {
	need python3
	start_echo
	start_socks --mistake segment
	run -0 python3 "$peer" --connect "127.0.0.1:$SOCKS" 'send:\4\1' drain
	[[ $output == *'drain 8: EOF'* ]]
	wait_until has_said '"why":"half a request"'
	talk "$(request 1 "$ECHO")hello"
	same reply "$(reply)" "$GRANTED"
	same "what came back" "$(tail -c +9 got)" ''
	same bytes "$(of bytes_up)" 0
}

@test "segment, fixed: a request byte by byte, and cut at each place" {
	need python3
	start_echo
	start_socks --mistake segment --fixed
	cat >cuts.py <<-'END'
		import socket, sys, time
		port = int(sys.argv[1])
		text = sys.argv[2].encode().decode("unicode_escape").encode("latin-1") + b"hello"
		def ask(pieces):
		    s = socket.create_connection(("127.0.0.1", port))
		    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		    for p in pieces:
		        s.sendall(p)
		        time.sleep(0.002)
		    got = s.recv(13, socket.MSG_WAITALL)
		    assert got == b"\0\x5a" + bytes(6) + b"hello", got
		ask([text[i : i + 1] for i in range(len(text))])
		for i in range(1, len(text)):
		    ask([text[:i], text[i:]])
		print("%d times" % len(text))
	END
	local name
	for name in '' localhost; do
		# shellcheck disable=SC2086 # a name, or none
		run -0 python3 cuts.py "$SOCKS" "$(request 1 "$ECHO" $name)"
		[[ $output == *' times' ]]
	done
}

# --- requests that are none, and clients that leave -------------------------------------------------------------------

@test "what is no request is rejected, and the next client is served" {
	local words text long
	long=$(printf '%0256d' 0 | tr 0 x)
	start_echo
	for words in '--mistake dns --fixed' '--mistake segment'; do
		# shellcheck disable=SC2086 # options
		start_socks $words
		for text in '\5\1\0' 'GET / HTTP/1.0\r\n\r\n' '\26\3\1\2' "$(request 2 "$ECHO")" "$(request 9 "$ECHO")" "\\4\\1\\0\\120\\0\\0\\0\\1$long\\0" \
			"\\4\\1\\0\\120\\0\\0\\0\\1\\0$long\\0" '\4\1\0\120\0\0\0\1\0a b\0'; do
			echo "${text:0:60}"
			talk "$text"
			same reply "$(reply)" "$REJECTED"
			same end "$PEER_END" fin
		done
		talk ''
		same "bytes for one that asks nothing" "$(wc -c <got)" 0
		talk "$(request 1 "$ECHO")"
		same reply "$(reply)" "$GRANTED"
		stop_server
		same connections "$(of connections total)" 10
		same granted "$(of granted total)" 1
	done
}

@test "a client that is reset in the middle of its request" {
	need python3
	start_socks --mistake segment --fixed
	python3 "$peer" --connect "127.0.0.1:$SOCKS" 'send:\4\1' rst
	wait_until has_said '"end":"reset"'
	same reply "$(of reply)/$(of target)" null/null
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "each line of --json is JSON, and has what scripts rely on" {
	need python3
	start_echo
	nobody
	start_socks --mistake dns
	talk "$(request 1 "$ECHO" localhost)hello"
	talk "$(request 1 "$NOBODY" 'a\\rather"odd\377name')"
	talk "$(request 1 "$NOBODY")"
	stop_server "$SOCKS_PID"
	python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.naivesocks/1 connections:int granted:int rejected:int \
		interrupted:bool <"$SOCKS_OUT"
	same start "$(of mistake start)/$(of fixed start)" dns/false
	same requests "$(grep -c '"record":"request"' "$SOCKS_OUT")/$(grep -c '"record":"connection"' "$SOCKS_OUT")" 2/3
}

@test "text: what it says, on stdout, and with -v on stderr" {
	start_echo
	start_server "$naivesocks" --mistake dns --fixed -v -p 0
	SOCKS=$PORT
	talk "$(request 1 "$ECHO" localhost)hello"
	stop_server
	same status "$SERVER_STATUS" 143
	same stdout "$(<"$SERVER_OUT")" $'the mistake: dns, but not made\nconnections 1, granted 1, rejected 0'
	grep -q " asks for localhost:$ECHO\$" "$SERVER_LOG"
	grep -qE " to localhost:$ECHO: granted after [0-9.]+ [um]s; 5 B up, 5 B down; complete\$" "$SERVER_LOG"
	same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 3
}

@test "SIGINT and SIGTERM, with and without a client: 130 and 143, the report first, and the client is reset" {
	local signal wanted client
	start_echo
	for signal in INT TERM; do
		wanted=$([ $signal = INT ] && echo 130 || echo 143)
		start_socks --mistake grant --fixed
		mkfifo "hold-$signal"
		"$netcat" --json 127.0.0.1 "$SOCKS" <"hold-$signal" >got 2>talk.log 3>&- &
		client=$!
		exec 4>"hold-$signal"
		printf "$(request 1 "$ECHO")" >&4
		wait_until test -s got
		kill -$signal "$SOCKS_PID"
		wait_server "$SOCKS_PID"
		same status "$SERVER_STATUS" "$wanted"
		same end "$(of end)" interrupted
		same interrupted "$(of interrupted total)" true
		run -1 wait $client
		same "what the client sees" "$(field peer_end <talk.log)" rst
		exec 4>&-
		start_socks --mistake grant --fixed
		kill -$signal "$SOCKS_PID"
		wait_server "$SOCKS_PID"
		same status "$SERVER_STATUS" "$wanted"
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	start_server bash -c "exec '$naivesocks' --mistake dns --json 0 >/dev/full"
	stop_server
	same status "$SERVER_STATUS" 1
}
