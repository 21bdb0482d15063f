#!/usr/bin/env bats
# tcprelay in bad company: a soak of everything at once, masses, resets, peers that are stopped or vanish, no descriptors, loops.
# Each promise by itself, with other people's programs, is in tests/interop/tcprelay.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/relay

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

# --- everything at once -----------------------------------------------------------------------------------------------

# soak ARGS...: 8 seconds of it. Its seed is in what it prints. Sanitizers keep freed memory for a while.
soak() {
	local options=(--seconds 8)
	nm "$tcprelay" 2>/dev/null | grep -qE '__asan_init|__tsan_init' && options+=(--no-memory --flows 30)
	run -0 "${SOAK[@]}" "${options[@]}" -- "$tcprelay" "$@" 0 '{target}'
	echo "$output"
}

@test "soak: resets, stalls, half-closes, SIGSTOPs; nothing lost, nothing left" {
	soak --path auto
}

@test "soak, by copying" {
	soak --path copy
}

@test "soak, two threads" {
	soak --threads 2
}

@test "soak, with marks and buffers that are always full, and records written" {
	soak --buffer 8K --sndbuf 8K --rcvbuf 8K --json -v
}

@test "the soak finds a relay that keeps no promise" {
	need socat
	run -1 "${SOAK[@]}" --seconds 2 --phases 1 --no-stop --patience 1 -- socat 'TCP-LISTEN:{port},fork,reuseaddr,backlog=1000' 'TCP:{target}'
	echo "$output"
	[[ $output == *"a reset became a FIN"* ]]
}

# --- clients that vanish ------------------------------------------------------------------------------------------------

# flood N: clients that connect and reset at once.
flood() {
	python3 -I -S - "$PORT" "$1" <<-'END'
		import socket, struct, sys
		for _ in range(int(sys.argv[2])):
		    client = socket.socket()
		    client.connect(("127.0.0.1", int(sys.argv[1])))
		    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		    client.close()
	END
}

has_descriptors() {
	[ "$(descriptors)" = "$1" ]
}

@test "3000 clients that reset at once: no descriptor is left, and the next one is served" {
	serve --each drain send:hello close
	relay --threads 2 --path copy
	local before
	before=$(descriptors)
	flood 3000
	wait_until has_descriptors "$before"
	run -0 visit send:x eof drain
	same "the next one" "$output" 'drain 5: EOF'
	end_relay
}

@test "a client that leaves while its server does not answer: nothing is kept for it" {
	serve --full
	local before
	for TCPLAB_BACKEND in epoll poll select; do
		export TCPLAB_BACKEND
		relay --connect-timeout 1h
		before=$(descriptors)
		visit send:hello sleep:0.1 rst
		record end=client_left
		wait_until has_descriptors "$before"
		end_relay
	done
}

@test "a server that does not answer in time: the client is reset" {
	serve --full
	relay --connect-timeout 300ms
	run -0 visit drain
	same "the client's view" "$output" 'drain 0: ECONNRESET'
	record end=connect
	grep -q ETIMEDOUT "$RELAY_LOG"
	end_relay
}

# A resolver that says nothing: in a mount namespace, /etc/resolv.conf names one.
@test "a client that leaves while the name of its server is looked up, and SIGTERM in the middle of that" {
	need unshare mount
	local how=(unshare -m)
	[ "$(id -u)" -eq 0 ] || how=(unshare -Urm)
	"${how[@]}" true || skip "needs a mount namespace"
	printf 'nameserver 127.0.0.1\noptions timeout:30 attempts:1\n' >resolv.conf
	echo 'hosts: dns' >nsswitch.conf
	# Somebody holds port 53 of an address of ours and never answers.
	cat >silent.py <<-'END'
		import socket, signal, sys
		s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		s.bind(("127.0.0.1", 53))
		print("silent: listening on 127.0.0.1:53", file=sys.stderr, flush=True)
		signal.pause()
	END
	local net=(unshare -n)
	[ "$(id -u)" -eq 0 ] || net=(unshare -Urn)
	"${net[@]}" true || skip "needs a network namespace"
	# All of it in one network namespace, where port 53 is free.
	cat >inside.sh <<-'END'
		ip link set lo up
		touch silent.log relay.log relay.out # they are looked into at once
		mount --bind resolv.conf /etc/resolv.conf
		mount --bind nsswitch.conf /etc/nsswitch.conf
		python3 -I -S silent.py 2>silent.log 3>&- &
		silent=$!
		until grep -q listening silent.log; do sleep 0.02; done
		"$1" --json --connect-timeout 1h 0 slow.example:80 >relay.out 2>relay.log 3>&- &
		relay=$!
		until grep -q listening relay.log; do sleep 0.02; done
		port=$(sed -n 's/.*listening on .*://p' relay.log)
		for n in 1 2 3 4 5 6; do # more than there are threads for names
			python3 -I -S "$2" --connect "127.0.0.1:$port" send:x sleep:0.1 rst
		done
		until [ "$(grep -c client_left relay.out)" -ge 6 ]; do sleep 0.02; done
		python3 -I -S "$2" --connect "127.0.0.1:$port" send:x touch:asked drain >client.out 3>&- &
		client=$!
		until [ -e asked ]; do sleep 0.02; done
		kill "$relay"
		until grep -q draining relay.log; do sleep 0.02; done
		kill "$relay"
		wait "$relay"
		echo "status $?"
		wait "$client"
		cat client.out
		kill "$silent"
	END
	run -0 timeout 150 "${how[@]}" "${net[@]}" bash inside.sh "$tcprelay" "${PEER[3]}"
	cat relay.log
	same "how it ended" "$output" $'status 1\ndrain 0: ECONNRESET'
}

# --- peers that do not move -----------------------------------------------------------------------------------------------

@test "a stopped server and a client that resets: both sides are free within the wait, and the server sees the reset later" {
	serve send:hello drain
	relay
	visitor get:5 touch:open await:leave put:20000 rst
	wait_until test -e open
	kill -STOP "$SERVER"
	touch leave
	record end=client_reset
	kill -CONT "$SERVER"
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 20000: ECONNRESET'
	end_relay
}

@test "a relay that was stopped goes on: FINs, resets and bytes that came meanwhile are all passed on" {
	serve --each drain put:100000 close
	relay
	kill -STOP "$RELAY"
	visitor put:100000 eof drain
	local orderly=$WORKER orderly_out=$WORKER_OUT
	visit put:1000 rst
	kill -CONT "$RELAY"
	wait_server "$orderly"
	same "the client's view" "$(cat "$orderly_out")" $'put 100000: ok\ndrain 100000: EOF'
	wait_until ended 2
	end_relay
}

@test "SIGTERM while both sides are stuck: reset, and status 1" {
	serve --rcvbuf 8192 --sndbuf 800000 put:600000 touch:server await:go drain
	relay --status r.sock --buffer 32K --sndbuf 8K --rcvbuf 8K --drain 300ms
	visitor --rcvbuf 8192 --sndbuf 800000 put:600000 touch:client await:go drain
	wait_until status_is paused 1
	end_relay 1
	touch go
	wait_server "$WORKER"
	[[ $(cat "$WORKER_OUT") == *ECONNRESET ]]
}

# --- not enough of something ------------------------------------------------------------------------------------------------

# shellcheck disable=SC2016 # for the inner shell
limited() {
	start_server bash -c 'ulimit -n "$0"; exec "$@"' "$1" "$tcprelay" --json -v --path "$path" "${@:2}" 0 "$TARGET"
	RELAY=$SERVER_PID RELAY_OUT=$SERVER_OUT RELAY_LOG=$SERVER_LOG
}

without_descriptors() {
	serve --each get:1000000 put:1000000 close
	limited 20
	local workers=() outs=() n before
	before=$(descriptors)
	for n in {1..12}; do
		visitor put:1000000 get:1000000 eof
		workers+=("$WORKER")
		outs+=("$WORKER_OUT")
	done
	for n in "${!workers[@]}"; do
		wait_server "${workers[n]}"
		same "client $n" "$(tail -n 1 "${outs[n]}")" 'get 1000000: ok'
	done
	wait_until ended 12
	[ "$(descriptors)" -le $((before + 8)) ] # pipes that it keeps
	end_relay
	stop_server "$SERVER"
}

@test "few descriptors: clients wait, pipes are done without, and everybody is served" {
	each_path without_descriptors
}

@test "a relay that is its own target: it does not eat itself up" {
	local port
	for _ in 1 2 3 4 5; do # who was told of a free port may find somebody else there
		port=$(python3 -I -S -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
		start_server bash -c 'ulimit -n 100; exec "$@"' limited "$tcprelay" --json "$port" "127.0.0.1:$port" && break
		grep -q EADDRINUSE "$SERVER_LOG"
	done
	is_listening
	RELAY=$SERVER_PID RELAY_OUT=$SERVER_OUT RELAY_LOG=$SERVER_LOG
	local before
	before=$(descriptors)
	sees_reset
	wait_until has_descriptors "$before"
	kill -TERM "$RELAY"
	wait_server "$RELAY"
	same "status of the relay" "$SERVER_STATUS" 0
}

@test "standard output is full, or gone: the flows go on; status 1 and one line in the end" {
	serve --each drain send:hello close
	local options n
	for options in --json '--dump hex' '--dump text' '-i 20ms'; do
		# shellcheck disable=SC2086 # options
		start_server bash -c 'exec "$@" >/dev/full' full "$tcprelay" $options 0 "$TARGET"
		for n in 1 2 3; do
			run -0 visit send:x eof drain
			same "with $options" "$output" 'drain 5: EOF'
		done
		stop_server
		same "status with $options" "$SERVER_STATUS" 1
		same "lines on stderr" "$(grep -vc 'listening on\|descriptors may be open' "$SERVER_LOG")" 1
	done
}

@test "a report that nobody reads holds up neither the flows nor the end" {
	serve --each drain put:300000 close
	local options pipe=$BATS_TEST_TMPDIR/pipe unread
	mkfifo "$pipe"
	for options in '--dump hex' '--json -i 1ms'; do
		exec {unread}<>"$pipe" # open at both ends, so it fills up and is never broken
		# shellcheck disable=SC2016,SC2086 # for the other shell; options
		start_server bash -c 'exec "$@" >"$0"' "$pipe" "$tcprelay" -v $options 0 "$TARGET"
		run -0 visit send:x eof drain
		same "with $options" "$output" 'drain 300000: EOF'
		wait_until is_full "$pipe"
		run -0 visit send:x eof drain
		same "with $options, when it is full" "$output" 'drain 300000: EOF'
		stop_server
		same "status with $options" "$SERVER_STATUS" 0
		grep -q 'nobody reads standard output' "$SERVER_LOG"
		exec {unread}>&-
	done
}

# is_full PIPE: nothing can be written to it now.
is_full() {
	python3 -I -S -c 'import os, select, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
sys.exit(select.select([], [fd], [], 0)[1] != [])' "$1"
}

@test "an ordinary user: the same, with fewer pages for pipes" {
	need setpriv
	open_folder
	cp "$tcprelay" "$OPEN_FOLDER/tcprelay"
	serve --each drain put:300000 close
	local how=()
	[ "$(id -u)" -ne 0 ] || how=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
	start_server "${how[@]}" "$OPEN_FOLDER/tcprelay" --path splice 0 "$TARGET"
	run -0 visit put:300000 eof drain
	same "the client's view" "$output" $'put 300000: ok\ndrain 300000: EOF'
	stop_server
	same status "$SERVER_STATUS" 0
}

# --- what others do to a stream ------------------------------------------------------------------------------------------

urgent() {
	serve --save got drain
	relay
	python3 -I -S - "$PORT" <<-'END'
		import socket, sys
		s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		s.sendall(b"a" * 2000000)
		s.send(b"!", socket.MSG_OOB)
		s.sendall(b"b" * 500)
		s.shutdown(socket.SHUT_WR)
		s.recv(1)
	END
	wait_server "$SERVER"
	same "bytes behind the urgent one" "$(tr -dc b <got | wc -c)" 500
	same "bytes before it" "$(tr -dc a <got | wc -c)" 2000000
	record end=orderly
	end_relay
}

@test "urgent data: what comes behind it is not lost, and nothing spins" {
	each_path urgent
	run ! grep -h 'busy loop' server.*.log
}

@test "both ends reset in the same instant, many times: each flow ends once" {
	serve --each get:1 put:1000 rst
	relay --threads 2
	local n
	for n in {1..20}; do
		visit send:xy rst
	done
	wait_until ended 20
	end_relay
	same connections "$(field connections <"$RELAY_OUT")" 20
	same records "$(grep -c '"record":"connection"' "$RELAY_OUT")" 20
}
