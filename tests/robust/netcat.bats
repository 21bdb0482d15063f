#!/usr/bin/env bats
# The three netcats in bad weather: peers that die, stop, reset or vanish, no descriptors, readers that stop, crowds.

# shellcheck disable=SC2034 # INPUT is for launch
# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/netcat

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	printf 'a question\n' >question
	STOPPED=''
	NAMESPACE=''
}

teardown() {
	local result=0
	stop_servers || result=1
	[ -z "$NAMESPACE" ] || ip netns del "$NAMESPACE"
	return $result
}

pause() {
	STOPPED=$1
	kill -STOP "$1"
}

go_on() {
	kill -CONT "$STOPPED"
	STOPPED=''
}

# Without the crash that it is: a killed peer is nobody's failure.
kill_server() {
	local pid=$SERVER_PID
	kill -KILL "$pid"
	wait_server "$pid"
	same "the killed one's status" "$SERVER_STATUS" 137
}

# Resident memory in KiB.
memory() {
	awk '/VmRSS/ { print $2 }' "/proc/$1/status"
}

# Processor time in clock ticks of 10 ms.
ticks() {
	awk '{ print $14 + $15 }' "/proc/$1/stat"
}

is_instrumented() {
	[[ $TCPLAB_BIN == *asan* || $TCPLAB_BIN == *tsan* ]]
}

moves() {
	[ "$(field "$1" interval <"$WORKER_ERR")" -gt 100000 ]
}

# --- peers that die -------------------------------------------------------------------------------------

# Its kernel resets: there is something unread.
killed_while_it_reads() {
	INPUT=/dev/zero
	peer drain
	client --json -i 20ms
	wait_until moves bytes_sent
	pause "$SERVER_PID"
	wait_until stands_still bytes_sent
	kill_server
	STOPPED=''
	ends "$WORKER" 1
	valid "$WORKER_ERR"
	is "$WORKER_ERR" error errno=ECONNRESET
	is "$WORKER_ERR" total closed_first=peer peer_end=rst
	[ "$(field unacked_bytes <"$WORKER_ERR")" -gt 0 ]
}

@test "the peer is killed while we send: reset, status 1, and how much was not delivered" {
	each_engine killed_while_it_reads
}

# With nothing unread its kernel says FIN: from here it looks like an orderly end.
killed_while_it_writes() {
	open_input
	peer put:100000000000
	client --json -i 20ms --read-rate 80mbit --rcvbuf 100K # less for the disk
	wait_until moves bytes_received
	kill_server
	ends "$WORKER" 0
	is "$WORKER_ERR" total closed_first=peer peer_end=fin unread_bytes=0
	same "all that was received was written" "$(field bytes_received <"$WORKER_ERR")" "$(stat -c %s "$WORKER_OUT")"
}

@test "the peer is killed while it sends: an end like any other, all that came is there" {
	each_engine killed_while_it_writes
}

killed_listener_client() {
	listen -k --json -d
	INPUT=/dev/zero
	launch start_worker "$nc" --write-rate 80mbit 127.0.0.1 "$PORT"
	wait_until has_bytes 1000000 "$SERVER_OUT"
	kill -KILL "$WORKER"
	wait_server "$WORKER"
	INPUT=question
	run -0 "$nc" 127.0.0.1 "$PORT" <question
	stop_server
	same "status of the listener" "$SERVER_STATUS" 143
	grep -v '^netcat' "$SERVER_LOG" >records
	is records total connections=2 bytes_received="$(stat -c %s "$SERVER_OUT")"
	same "the end of its output" "$(tail -c 11 "$SERVER_OUT")" "$(cat question)"
}

@test "-k: a client is killed in the middle of a transfer, the next one is served" {
	each_engine killed_listener_client
}

# --- peers that stop ------------------------------------------------------------------------------------

stopped_peer() {
	INPUT=/dev/zero
	peer --rcvbuf 8192 drain
	pause "$SERVER_PID" # the kernel connects for it
	client --json -w 300ms
	ends "$WORKER" 1
	is "$WORKER_ERR" error errno=ETIMEDOUT
	is "$WORKER_ERR" total closed_first=local peer_end=none
	kill_server
	STOPPED=''
}

@test "-w: a peer that stops reading is given up" {
	each_engine stopped_peer
}

goes_on() {
	head -c 3000000 /dev/urandom >data
	INPUT=data
	peer --save got drain
	client --json -i 20ms --sndbuf 16K
	pause "$SERVER_PID"
	sleep 0.1
	go_on
	ends "$WORKER" 0
	wait_server
	cmp data got
}

@test "a peer that stops for a while: nothing is lost" {
	each_engine goes_on
}

# --- resets at every stage ------------------------------------------------------------------------------

# after_reset STEP...: what the client says of a peer that does this.
after_reset() {
	peer "$@"
	client --json
	[ -z "$INPUT_FD" ] || type_in 'some words\n'
	wait_server
	if [ -n "$INPUT_FD" ]; then
		ends "$WORKER" 1
		is "$WORKER_ERR" error errno=ECONNRESET
		return
	fi
	# A client whose own end was reached may have left already, or be told while it waits.
	wait_server "$WORKER"
	[ "$SERVER_STATUS" -le 1 ]
	valid "$WORKER_ERR"
}

resets() {
	open_input
	after_reset get:1 rst
	after_reset send:hello get:1 rst
	end_input
	INPUT=question
	after_reset eof get:1 rst
	after_reset drain rst
	after_reset drain send:hello rst
	after_reset drain eof rst
	after_reset get:1 close
	INPUT=/dev/zero
	peer get:1000000 rst
	client --json
	ends "$WORKER" 1
	is "$WORKER_ERR" total closed_first=peer peer_end=rst
	peer eof get:1000000 rst
	client --json
	ends "$WORKER" 1
	is "$WORKER_ERR" total closed_first=peer peer_end=rst
}

@test "a reset before, during and after the transfer, before and after each FIN: no hang, valid records" {
	each_engine resets
}

# A client that is gone before it was accepted.
gone_before_accept() {
	listen -k --json
	pause "$SERVER_PID"
	local n
	for n in 1 2 3; do
		visit rst
		visit send:x rst
		visit send:y close
	done
	go_on
	run -0 "$nc" 127.0.0.1 "$PORT" <question
	wait_until says "a question" "$SERVER_OUT"
	stop_server
	same status "$SERVER_STATUS" 143
	same "lines that came" "$(tr -d xy <"$SERVER_OUT")" "a question"
}

@test "-k: clients that have reset before they were accepted" {
	each_engine gone_before_accept
}

# --- no way back ----------------------------------------------------------------------------------------

need_netns() {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	need ip
	NAMESPACE=tcplab-nc-$$
	ip netns add "$NAMESPACE" 2>/dev/null || {
		NAMESPACE=''
		skip "needs network namespaces"
	}
	ip -n "$NAMESPACE" link set lo up
}

# The peer vanishes without a word: to us it is silence, and -w is what ends it.
vanished() {
	local silence
	for silence in 400ms 5 30; do # the question may come too late for the first of these
		ip -n "$NAMESPACE" link set lo up
		start_server ip netns exec "$NAMESPACE" "${PEER[@]}" drain
		open_input
		launch start_worker ip netns exec "$NAMESPACE" "$nc" --json -w $silence 127.0.0.1 "$PORT"
		wait_until says '"record":"start"' "$WORKER_ERR"
		ip -n "$NAMESPACE" link set lo down
		type_in 'anybody there?\n'
		ends "$WORKER" 1
		end_input
		[ "$(field bytes_sent <"$WORKER_ERR")" -eq 0 ] || break
	done
	is "$WORKER_ERR" error errno=ETIMEDOUT
	is "$WORKER_ERR" total bytes_sent=15 unacked_bytes=15 closed_first=local peer_end=none
}

@test "a half-open connection: -w ends it, and what was not confirmed is counted" {
	need_netns
	local name
	for name in blocking threaded nonblocking; do # one after the other: they take the link down
		ENGINES=("$name")
		each_engine vanished
	done
}

no_route() {
	run -1 --separate-stderr ip netns exec "$NAMESPACE" "$nc" 192.0.2.1 9
	one_line_with "connect 192.0.2.1:9" ENETUNREACH
	run -1 --separate-stderr ip netns exec "$NAMESPACE" "$nc" -u 192.0.2.1 9
	one_line_with "192.0.2.1:9" ENETUNREACH
	run -1 --separate-stderr ip netns exec "$NAMESPACE" "$nc" -z 192.0.2.1 9-11
	one_line_with ENETUNREACH
	run -1 --separate-stderr ip netns exec "$NAMESPACE" timeout 30 "$nc" no-such-name.example 9
	one_line_with no-such-name.example EAI_
}

@test "no route: one line, status 1" {
	need_netns
	each_engine no_route
}

# --- nothing to spare -----------------------------------------------------------------------------------

# limited N CMD...: with so many descriptors, and none open but 0, 1 and 2.
limited() {
	bash -c '
		for fd in /proc/self/fd/*; do
			[ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"
		done
		ulimit -n "$0"
		exec "$@"' "$@"
}

# It works, or it says that it has no descriptor. What it must not do is hang, or lose something and call it a success.
few_descriptors() {
	local n
	for n in 4 5 6 7; do
		echo "$n descriptors"
		peer --each send:hello eof drain
		run --separate-stderr limited "$n" timeout 60 "$nc" -d 127.0.0.1 "$PORT"
		[ "$status" -le 1 ]
		if [ "$status" -eq 0 ]; then
			same "output" "$output" hello
		else
			one_line_with EMFILE
		fi
		stop_server
	done
}

@test "few descriptors: it works, or says EMFILE; never a hang" {
	! is_instrumented || skip "the sanitizers need descriptors of their own"
	each_engine few_descriptors
}

# The reader of our output stands still: so does the peer, and our memory does not grow.
reader_stops() {
	rm -f out
	mkfifo out
	local fd
	exec {fd}<>out
	open_input
	peer put:200000000
	launch start_worker bash -c 'exec "$@" >out' bash "$nc" -d 127.0.0.1 "$PORT"
	wait_until is_full "$fd"
	wait_until idles
	is_instrumented || [ "$(memory "$WORKER")" -lt 8192 ]
	kill -0 "$WORKER"
	same_text "the peer waits" "$SERVER_OUT" ''
	kill -TERM "$WORKER"
	ends "$WORKER" 143
	exec {fd}>&-
}

# For half a second it takes no memory, and next to no processor time.
idles() {
	local before busy
	before=$(memory "$WORKER") busy=$(ticks "$WORKER")
	sleep 0.5
	[ "$(memory "$WORKER")" -eq "$before" ] && [ $(($(ticks "$WORKER") - busy)) -lt 3 ]
}

@test "a reader of our output that stops: the peer waits, memory stays, no processor time is spent" {
	each_engine reader_stops
}

# Idle is idle: with an open terminal-like input, after the peer's or our own end, while the other direction is open.
idle() {
	open_input
	peer send:x get:1 eof stay
	client -w 300
	wait_until holds x "$WORKER_OUT"
	wait_until idles
	kill -TERM "$WORKER"
	ends "$WORKER" 143
	INPUT=question
	end_input
	peer drain stay
	client --stop-after 5
	wait_until holds 'drain 11: EOF' "$SERVER_OUT"
	wait_until idles
}

@test "while it waits it does not spin" {
	each_engine idle
}

# --- crowds ---------------------------------------------------------------------------------------------

crowd() {
	listen -k --json -d
	local open
	open=$(find "/proc/$SERVER_PID/fd" -mindepth 1 | wc -l)
	python3 -I -S - "$PORT" 2000 <<-'END'
		import socket, struct, sys
		for n in range(int(sys.argv[2])):
		    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
		        if n % 10 == 3:
		            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		        elif n % 10 == 5:
		            pass
		        else:
		            s.sendall(b"x")
	END
	run -0 "$nc" 127.0.0.1 "$PORT" <question
	wait_until says "a question" "$SERVER_OUT"
	wait_until same_number "$open" "$SERVER_PID"
	stop_server
	grep -v '^netcat' "$SERVER_LOG" >records
	is records total connections=2001 bytes_received=1611
}

same_number() {
	[ "$(find "/proc/$2/fd" -mindepth 1 | wc -l)" -eq "$1" ]
}

@test "-k: two thousand short connections, some reset: all are counted, no descriptor is left" {
	each_engine crowd
}

all_ports() {
	local world=scan$$-$engine
	local on_a=("$TCPLAB_BIN/linkem" exec --name "$world" a)
	"$TCPLAB_BIN/linkem" --background --name "$world" --while $$ 3>&-
	start_server "${on_a[@]}" "$TCPLAB_BIN/discard" -s -p 0
	run -0 --separate-stderr "${on_a[@]}" "$nc" -z -v 127.0.0.1 1-65535
	[[ $stderr == *"127.0.0.1:$PORT: open"* ]]
	stop_server
	# Whoever listens on a port that we have just tried finds it free: nothing of the scan is left on it.
	start_server "${on_a[@]}" "$nc" -v -l 127.0.0.1 "$PORT"
	stop_server
	"$TCPLAB_BIN/linkem" down --name "$world" >/dev/null
}

# On a host of its own: on this machine it would knock at the doors of the tests that run at the same time. One for each of
# the three: the near ends of the others' scans may have any port.
@test "-z over all ports of loopback finds the open one" {
	"$TCPLAB_BIN/linkem" --background --name "scan$$" --while $$ 3>&- || skip "no testbed here"
	"$TCPLAB_BIN/linkem" down --name "scan$$" >/dev/null
	each_engine all_ports
}

# --- hostile input --------------------------------------------------------------------------------------

hostile_names() {
	local name names=("$(printf 'x%.0s' {1..5000})")
	names+=('' '%n%s%x' '-' $'a\nb' $'\x01\xff' '[::1]' '@')
	for name in "${names[@]}"; do
		run --separate-stderr timeout 30 "$nc" -n -- "$name" 9
		[ "$status" -eq 1 ] || [ "$status" -eq 2 ]
		[ ${#stderr} -lt 1000 ]
		[[ $stderr == *"netcat-$engine: "* ]]
		run -2 --separate-stderr "$nc" 127.0.0.1 -- "x$name"
		run -1 --separate-stderr "$nc" --json -n -- "x$name" 9
		echo "$stderr" >records
		valid records
		[ -z "$name" ] || [ "$name" = '@' ] || {
			run -1 --separate-stderr "$nc" --json -U -- "$PWD/$name"
			echo "$stderr" >records
			valid records
		}
	done
}

@test "hostile names: an error, one JSON record that is JSON" {
	each_engine hostile_names
}

# --- memory ---------------------------------------------------------------------------------------------

checked() {
	local check=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --track-fds=no)
	head -c 300000 /dev/urandom >data
	INPUT=data
	launch start_server "${check[@]}" "$nc" -l -v --hexdump 127.0.0.1 0
	run -0 "${check[@]}" "$nc" -v --json -i 10ms 127.0.0.1 "$PORT" <question
	wait_server
	same status "$SERVER_STATUS" 0
	start_server "${check[@]}" "$nc" -l -k -v -d 127.0.0.1 0
	visit send:hello rst
	visit send:hello close
	run -0 "${check[@]}" "$nc" -z 127.0.0.1 "$PORT"
	stop_server
	same status "$SERVER_STATUS" 143
	start_server "${check[@]}" "$nc" -l -u -v -d 127.0.0.1 0
	"$nc" -u -q 0 127.0.0.1 "$PORT" <question
	wait_until says question "$SERVER_OUT"
	stop_server
	same status "$SERVER_STATUS" 143
}

@test "valgrind finds nothing" {
	need valgrind
	! is_instrumented || skip "the sanitizers look after that"
	each_engine checked
}
