#!/usr/bin/env bats
# The three netcats against themselves and a scripted peer: ends, waiting, reports, addresses, the kinds of standard
# input and output. Every test runs with each of the three. Other people's netcats are in tests/interop/netcat.bats, bad
# weather in tests/robust/netcat.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/netcat
load ../fixtures/through_socks

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	head -c 1000000 /dev/urandom >data
	printf 'a question\n' >question
}

# --- one connection -------------------------------------------------------------------------------------

both_ways() {
	INPUT=question
	listen --json
	INPUT=data
	client --json
	ends "$WORKER" 0
	wait_server
	same "the server's status" "$SERVER_STATUS" 0
	cmp data "$SERVER_OUT"
	cmp question "$WORKER_OUT"
	is "$WORKER_ERR" total connections=1 bytes_sent=1000000 bytes_received=11 peer_end=fin unacked_bytes=0 unread_bytes=0
	is "$SERVER_LOG" total connections=1 bytes_sent=11 bytes_received=1000000 peer_end=fin unacked_bytes=0 unread_bytes=0
}

@test "a file one way and an answer the other, intact; both say FIN, all delivered" {
	each_engine both_ways
}

quiet_by_default() {
	peer send:hello drain
	run -0 --separate-stderr "$nc" 127.0.0.1 "$PORT" <question
	same output "$output" hello
	same stderr "$stderr" ''
	wait_server
	same_text "the peer's view" "$SERVER_OUT" 'drain 11: EOF'
}

@test "nothing is said without -v; standard output holds the payload alone" {
	each_engine quiet_by_default
}

verbose() {
	listen
	grep -qE "^netcat-$engine: listening on 127\.0\.0\.1:$PORT\$" "$SERVER_LOG"
	run -0 --separate-stderr "$nc" -v 127.0.0.1 "$PORT" <question
	[[ $stderr == *"netcat-$engine: 127.0.0.1:"*": connected to 127.0.0.1:$PORT"* ]]
	[[ $stderr == *"sent 11 B, received 0 B in "* ]]
	[[ $stderr == *"(FIN)"* ]]
	[[ $stderr == *"delivered: the peer's kernel confirmed every byte"* ]]
	wait_server
	says ": connection from 127.0.0.1:" "$SERVER_LOG"
	says "received 11 B" "$SERVER_LOG"
}

@test "-v: listening, who with whom, how much, who ended how, delivered or not" {
	each_engine verbose
}

# The input ends first: half-close, and read on for as long as the peer has something to say.
input_ends() {
	peer drain await:go put:300000 close
	INPUT=question
	client --json
	wait_until holds 'drain 11: EOF' "$SERVER_OUT"
	touch go
	ends "$WORKER" 0
	same "bytes here" "$(stat -c %s "$WORKER_OUT")" 300000
	is "$WORKER_ERR" total closed_first=local peer_end=fin bytes_received=300000
}

@test "the end of the input is a half-close: the answer that comes after it is complete" {
	each_engine input_ends
}

peer_ends_silent_input() {
	open_input
	peer send:bye close
	client --json
	ends "$WORKER" 0
	same_text "output" "$WORKER_OUT" bye
	is "$WORKER_ERR" total closed_first=peer peer_end=fin bytes_sent=0
}

@test "the peer's FIN ends it, though the input is open and silent" {
	each_engine peer_ends_silent_input
}

peer_ends_file() {
	peer --rcvbuf 16384 eof touch:fin await:go drain
	INPUT=data
	client --json --sndbuf 16K
	wait_until test -e fin
	touch go
	ends "$WORKER" 0
	wait_server
	same_text "the peer's view" "$SERVER_OUT" 'drain 1000000: EOF'
	is "$WORKER_ERR" total bytes_sent=1000000 unacked_bytes=0 closed_first=peer peer_end=fin
}

@test "after the peer's FIN a file goes on to its end" {
	each_engine peer_ends_file
}

typed() {
	open_input
	peer get:4 send:two get:6 drain
	client
	type_in 'one\n'
	wait_until holds two "$WORKER_OUT"
	type_in 'three\n'
	wait_until says 'get 6: ok' "$SERVER_OUT"
	end_input
	ends "$WORKER" 0
	wait_server
	same_text "the peer's view" "$SERVER_OUT" 'get 4: ok
get 6: ok
drain 0: EOF'
}

@test "what is typed goes out at once, and the answer is shown before the next line" {
	each_engine typed
}

reset_by_peer() {
	open_input
	peer send:some touch:sent await:go rst
	client
	wait_until holds some "$WORKER_OUT"
	touch go
	ends "$WORKER" 1
	one_line "$WORKER_ERR"
	says "ECONNRESET" "$WORKER_ERR"
	says "127.0.0.1:$PORT" "$WORKER_ERR"

	peer await:go2 rst
	client --json
	wait_until says '"record":"start"' "$WORKER_ERR"
	touch go2
	ends "$WORKER" 1
	valid "$WORKER_ERR"
	is "$WORKER_ERR" error errno=ECONNRESET
	is "$WORKER_ERR" total closed_first=peer peer_end=rst
}

@test "a reset is one line with the peer's address, and status 1" {
	each_engine reset_by_peer
}

nobody_there() {
	peer --deaf
	run -1 --separate-stderr "$nc" 127.0.0.1 "$PORT" <question
	one_line_with "connect 127.0.0.1:$PORT" ECONNREFUSED
	same "the output" "$output" ''
	run -1 --separate-stderr "$nc" --json 127.0.0.1 "$PORT" <question
	echo "$stderr" >records
	valid records
	is records error op=connect object="127.0.0.1:$PORT" errno=ECONNREFUSED
	run -1 --separate-stderr "$nc" -U "$PWD/nobody" <question
	one_line_with "$PWD/nobody" ENOENT
	run -1 --separate-stderr "$nc" no-such-host.invalid 1 <question
	one_line_with no-such-host.invalid EAI_
	run -1 --separate-stderr "$nc" -l 192.0.2.1 0
	one_line_with "bind 192.0.2.1" EADDRNOTAVAIL
	listen
	run -1 --separate-stderr "$nc" -l 127.0.0.1 "$PORT"
	one_line_with "127.0.0.1:$PORT" EADDRINUSE
}

@test "nobody there, no such name, address in use: one line, status 1" {
	each_engine nobody_there
}

misuse() {
	local line words
	while read -r line; do
		read -ra words <<<"$line"
		run -2 --separate-stderr "$nc" "${words[@]}"
		same "lines for $line ($stderr)" "${#stderr_lines[@]}" 1
		same "stdout for $line" "$output" ''
	done <<-'END'
		localhost
		localhost 1 2
		-l
		-l 1 2 3
		-l 127.0.0.1
		-l 70000
		localhost 70000
		localhost -p 70000 1
		localhost 0
		localhost nosuchservice
		-n localhost http
		-4 -6 localhost 1
		-k localhost 1
		-z -l 1
		-z localhost 5-2
		-z localhost 5-
		-U
		-U a b
		-U -4 a
		-U -z a
		-U -p 1 a
		-U -s b a
		-u --close-mode rst localhost 1
		--close-mode unread --stop-after 1 localhost 1
		--close-mode maybe localhost 1
		-d -q 1 localhost 1
		-q soon localhost 1
		-w soon localhost 1
		--read-rate 0 localhost 1
		--socks localhost -l 0
		--socks localhost -u localhost 1
		--socks localhost -U a
		--socks localhost -z localhost 1
		--socks localhost -s 127.0.0.1 localhost 1
		--socks localhost -p 5000 localhost 1
		--socks 1080 localhost 1
		--socks http://localhost localhost 1
		--no-such-option localhost 1
	END
	run -2 "$nc"
	run -0 "$nc" --help
	[[ $output == *"--close-mode"* ]]
	run -0 "$nc" --version
}

@test "wrong usage: one line, status 2" {
	each_engine misuse
}

# --- -k -------------------------------------------------------------------------------------------------

count_is() {
	[ "$(grep -c -- "$1" "$3")" -eq "$2" ]
}

keep_open() {
	listen -k --json
	visit send:one eof drain
	wait_until count_is '"record":"connection"' 1 "$SERVER_LOG"
	visit rst
	wait_until count_is '"record":"connection"' 2 "$SERVER_LOG"
	is "$SERVER_LOG" connection bytes_received=0 peer_end=rst
	visit send:three close
	wait_until count_is '"record":"connection"' 3 "$SERVER_LOG"
	is "$SERVER_LOG" connection bytes_received=5 connections=1
	# One at a time: the next one waits for its turn.
	visitor send:four await:go
	wait_until says onethreefour "$SERVER_OUT"
	local first=$WORKER
	visitor send:five eof drain
	touch go
	ends "$first" 0
	ends "$WORKER" 0
	wait_until count_is '"record":"connection"' 5 "$SERVER_LOG"
	stop_server
	same status "$SERVER_STATUS" 143
	same_text output "$SERVER_OUT" onethreefourfive
	grep -v '^netcat' "$SERVER_LOG" >records
	valid records
	is records total connections=5 bytes_received=16 bytes_sent=0
}

@test "-k: whoever leaves or resets, the next one is served; the total is the sum" {
	each_engine keep_open
}

once() {
	listen --json
	visit send:one eof drain
	wait_server
	same status "$SERVER_STATUS" 0
	same_text output "$SERVER_OUT" one
}

@test "without -k one client is served, and that is it" {
	each_engine once
}

# --- addresses ------------------------------------------------------------------------------------------

families() {
	start_server "$nc" -l -v -4 0
	says "listening on 0.0.0.0:$PORT" "$SERVER_LOG"
	start_server "$nc" -l -v 0
	says "listening on [::]:$PORT" "$SERVER_LOG"
	run -0 "$nc" -4 127.0.0.1 "$PORT" <question
	wait_server
	says "connection from 127.0.0.1:" "$SERVER_LOG"
	start_server "$nc" -l -v -6 ::1 0
	says "listening on [::1]:$PORT" "$SERVER_LOG"
	run -1 --separate-stderr "$nc" -4 ::1 "$PORT"
	one_line_with EAI_
	run -1 --separate-stderr "$nc" 127.0.0.1 "$PORT"
	one_line_with ECONNREFUSED
	run -0 "$nc" -6 -n ::1 "$PORT" <question
	wait_server
	same_text output "$SERVER_OUT" "a question"
	run -1 --separate-stderr "$nc" -n localhost "$PORT"
	one_line_with localhost EAI_NONAME
	run -1 --separate-stderr "$nc" -l -n localhost 0
	one_line_with localhost EAI_NONAME
	run -1 --separate-stderr "$nc" -n -s localhost 127.0.0.1 "$PORT"
	one_line_with localhost EAI_NONAME
}

@test "-4, -6, both, and -n without names" {
	each_engine families
}

ways_to_listen() {
	start_server "$nc" -l -v -p 0
	says "listening on [::]:$PORT" "$SERVER_LOG"
	start_server "$nc" -l -v 127.0.0.1 -p 0
	says "listening on 127.0.0.1:$PORT" "$SERVER_LOG"
	start_server "$nc" -v -s 127.0.0.1 -l 0
	says "listening on 127.0.0.1:$PORT" "$SERVER_LOG"
	start_server "$nc" -v --bind 127.0.0.2 -l 0
	says "listening on 127.0.0.2:$PORT" "$SERVER_LOG"
	start_server "$nc" -l -v 127.0.0.2 0
	says "listening on 127.0.0.2:$PORT" "$SERVER_LOG"
	free_port
	start_server "$nc" -lv 127.0.0.1 "$FREE"
	same port "$PORT" "$FREE"
}

@test "-l PORT, -l -p PORT, -l ADDR -p PORT, -s ADDR -l PORT, -l ADDR PORT" {
	each_engine ways_to_listen
}

source_address() {
	free_port
	listen --json
	run -0 "$nc" -s 127.0.0.3 -p "$FREE" 127.0.0.1 "$PORT" <question
	wait_server
	is "$SERVER_LOG" start peer="127.0.0.3:$FREE" local="127.0.0.1:$PORT" role=server
	free_port
	start_server "$nc" -l -u -v --json 127.0.0.1 0
	run -0 "$nc" -u -q 0 -s 127.0.0.3 -p "$FREE" 127.0.0.1 "$PORT" <question
	wait_until says '"record":"start"' "$SERVER_LOG"
	is "$SERVER_LOG" start peer="127.0.0.3:$FREE"
	# A port of our own that is the peer's makes a connection to itself: that is nobody (RFC 9293 3.5).
	free_port
	run -1 --separate-stderr "$nc" -p "$FREE" 127.0.0.1 "$FREE" <question
	one_line_with ECONNREFUSED
}

@test "-s and -p: the source address and port, seen by the server; never connected to itself" {
	each_engine source_address
}

# shellcheck disable=SC2016 # for the inner shell
# A mount namespace of its own with this file as /etc/hosts.
with_hosts() {
	unshare -m --map-root-user bash -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$@"
}

every_address() {
	peer send:four drain
	run -0 --separate-stderr with_hosts hosts "$nc" -v both "$PORT" <question
	same "output ($stderr)" "$output" four
	[[ $stderr == *"connected to 127.0.0.1:$PORT"* ]]
	peer send:four drain
	run -0 --separate-stderr with_hosts hosts "$nc" -s 127.0.0.1 both "$PORT" <question
	same "output with -s" "$output" four
	free_port
	peer send:four drain
	run -0 --separate-stderr with_hosts hosts "$nc" -p "$FREE" both "$PORT" <question
	same "output with -p ($stderr)" "$output" four
	peer --deaf
	run -1 --separate-stderr with_hosts hosts "$nc" both "$PORT" <question
	one_line_with "127.0.0.1:$PORT" ECONNREFUSED
	start_server "$nc" -l -v 127.0.0.1 0
	run -0 with_hosts hosts "$nc" -z both "$PORT"
}

@test "every address of a name is tried, also with a source of one's own" {
	printf '::1 both\n127.0.0.1 both\n' >hosts
	with_hosts hosts getent ahosts both | grep -q '^::1' || skip "no names file of our own, or no IPv6"
	each_engine every_address
}

services() {
	# Nothing needs to listen there: the number that the name became is in the message, or in the record.
	run "$nc" --json -z 127.0.0.1 daytime
	same "daytime" "$(ours port port)" 13
	run "$nc" --json -z 127.0.0.1 http-alt
	same "http-alt" "$(ours port port)" 8080
	run "$nc" --json -u -z -w 0.1 127.0.0.1 domain
	same "domain" "$(ours port port)" 53
}

@test "names of services, also with a dash" {
	getent services http-alt daytime >/dev/null || skip "needs /etc/services"
	each_engine services
}

# --- waiting no longer ----------------------------------------------------------------------------------

timeouts() {
	peer --full
	run -1 --separate-stderr "$nc" -w 200ms 127.0.0.1 "$PORT" <question
	one_line_with "connect 127.0.0.1:$PORT" ETIMEDOUT
	run -1 --separate-stderr "$nc" -l -w 100ms 127.0.0.1 0
	one_line_with ETIMEDOUT
	run -1 --separate-stderr "$nc" -l -u -w 100ms 127.0.0.1 0
	one_line_with ETIMEDOUT
	run -1 --separate-stderr "$nc" -l -k -w 100ms --json 127.0.0.1 0
	same "lines ($stderr)" "${#stderr_lines[@]}" 2
	is <(echo "$stderr") error errno=ETIMEDOUT

	# A slow peer's "some" may come too late for the first of these.
	open_input
	local silence
	for silence in 200ms 3 30; do
		peer send:some drain
		client -w $silence
		ends "$WORKER" 1
		[ ! -s "$WORKER_OUT" ] || break
	done
	one_line "$WORKER_ERR"
	says ETIMEDOUT "$WORKER_ERR"
	same_text output "$WORKER_OUT" some
}

@test "-w: while connecting, while waiting for a client, without a byte: one line, ETIMEDOUT, status 1" {
	each_engine timeouts
}

# is_told WORDS: the worker has written that; or it has ended, and never will.
is_told() {
	says "$1" "$WORKER_OUT" || has_ended "$WORKER"
}

# As long as something moves, in either direction, it is not silent: four times a little less than half of -w.
not_silent() {
	local wait letter
	for wait in 1 4 16; do # a machine may be too busy for the first of these
		open_input
		peer get:1 send:a get:1 send:b get:1 send:c get:1 send:d drain
		client --json -w $wait
		for letter in a b c d; do
			type_in .
			wait_until is_told "$letter"
			sleep "$(awk "BEGIN { print $wait * 0.4 }")"
		done
		end_input
		wait_server "$WORKER"
		[ "$SERVER_STATUS" -ne 0 ] || break
	done
	same status "$SERVER_STATUS" 0
	same_text output "$WORKER_OUT" abcd
	[ "$(field elapsed_ns <"$WORKER_ERR")" -gt $((wait * 1500000000)) ]
}

@test "-w: what moves is not silent" {
	each_engine not_silent
}

quit() {
	peer drain stay
	run -0 --separate-stderr "$nc" -q 0 127.0.0.1 "$PORT" <question
	wait_until holds 'drain 11: EOF' "$SERVER_OUT"
	local patience
	for patience in 300ms 3 30; do # a slow peer's answer may come too late for the first of these
		peer drain send:an send:swer stay
		run -0 "$nc" -q $patience -N 127.0.0.1 "$PORT" <question
		[ "$output" != answer ] || break
	done
	same output "$output" answer
	# -1 is never: the answer comes long after the input has ended.
	peer drain await:go send:late close
	INPUT=question
	client -q -1
	wait_until holds 'drain 11: EOF' "$SERVER_OUT"
	kill -0 "$WORKER"
	touch go
	ends "$WORKER" 0
	same_text output "$WORKER_OUT" late
}

@test "-q: so long after the input's end without a byte, status 0; -1 waits for ever" {
	each_engine quit
}

no_input() {
	peer send:hello await:go send:more close
	INPUT=data
	client -d --json
	wait_until holds hello "$WORKER_OUT"
	touch go
	ends "$WORKER" 0
	same_text output "$WORKER_OUT" hellomore
	is "$WORKER_ERR" total bytes_sent=0 closed_first=peer
	# What it did not read is there for the next one.
	peer drain close
	{
		"$nc" -d -w 100ms 127.0.0.1 "$PORT" 2>err || true
		cat >left
	} <data
	cmp data left
}

@test "-d: standard input is not touched, and does not end it" {
	each_engine no_input
}

# --- -u -------------------------------------------------------------------------------------------------

silence_ends_it() {
	local pids=() e
	start_server "$TCPLAB_BIN/discard" -s -p 0
	for e in "${ENGINES[@]}"; do
		INPUT=question nc=$TCPLAB_BIN/netcat-$e
		worker --json -u 127.0.0.1 "$PORT"
		pids+=("$WORKER")
	done
	for e in "${pids[@]}"; do
		ends "$e" 0
		is "${SERVER_LOG_OF[$e]}" total bytes_sent=11 bytes_received=0 peer_end=none unacked_bytes=null
	done
}

silence_as_asked() {
	start_server "$TCPLAB_BIN/discard" -s -p 0
	local how
	for how in "-w 200ms" "-q 200ms" "-w 50ms"; do
		# shellcheck disable=SC2086 # two words
		run -0 --separate-stderr "$nc" -u $how 127.0.0.1 "$PORT" <question
		same "stderr of $how" "$stderr" ''
	done
}

@test "-u: a client ends after a second of silence, or what -w or -q say, with 0" {
	silence_ends_it
	each_engine silence_as_asked
}

udp_nobody() {
	peer --udp stay # not the port that we ask
	free_port
	run -1 --separate-stderr "$nc" -u 127.0.0.1 "$FREE" <question
	one_line_with "127.0.0.1:$FREE" ECONNREFUSED
	run -0 --separate-stderr "$nc" -v -u -q 0 127.0.0.1 "$FREE" </dev/null
	[[ $stderr == *"(udp)"* ]]
}

@test "-u: nobody there is an error, once the kernel says so" {
	each_engine udp_nobody
}

datagrams() {
	local patience
	head -c 40000 data >forty
	for patience in 300ms 3 30; do # a slow peer's answer may come too late for the first of these
		peer --udp --save got get:40000 send:thanks stay
		run -0 "$nc" -u -q $patience 127.0.0.1 "$PORT" <forty
		wait_until has_bytes 40000 got
		cmp forty got
		[ "$output" != thanks ] || break
	done
	same output "$output" thanks
}

@test "-u: a file arrives whole in pieces of 16 KiB, the answer comes back" {
	each_engine datagrams
}

udp_listener() {
	open_input
	listen -u
	says "listening on 127.0.0.1:$PORT (udp)" "$SERVER_LOG"
	INPUT=/dev/null launch start_worker "${PEER[@]}" --udp --connect "127.0.0.1:$PORT" \
		send:ping get:4 await:go send:more stay
	wait_until holds ping "$SERVER_OUT"
	type_in pong
	wait_until says 'get 4: ok' "$WORKER_OUT"
	end_input
	touch go
	wait_until holds pingmore "$SERVER_OUT"
	kill -0 "$SERVER_PID"
	stop_server
	same status "$SERVER_STATUS" 143
}

@test "-l -u: answers go to the peer; the end of the input does not end it" {
	each_engine udp_listener
}

# The address that was asked stays the peer's, whatever the routing table prefers.
asked_address() {
	open_input
	start_server bash -c "$LAUNCH" "$INPUT_FD" "$INPUT" "$nc" -l -v -u 0
	INPUT=/dev/null launch start_worker "${PEER[@]}" --udp --connect "127.0.0.2:$PORT" \
		send:one await:1 send:two await:2 send:three get:4
	wait_until holds one "$SERVER_OUT"
	touch 1
	wait_until holds onetwo "$SERVER_OUT"
	touch 2
	wait_until holds onetwothree "$SERVER_OUT"
	type_in pong
	ends "$WORKER" 0
	same_text "the client's view" "$WORKER_OUT" 'get 4: ok'
}

@test "-l -u on every address: the client may ask any of them, and is answered from there" {
	each_engine asked_address
}

# Without -k one peer: what others send is not for us.
one_peer() {
	start_server "$nc" -l -v -u -d 127.0.0.1 0
	kill -STOP "$SERVER_PID"
	INPUT=/dev/null launch command "${PEER[@]}" --udp --connect "127.0.0.1:$PORT" send:first
	INPUT=/dev/null launch command "${PEER[@]}" --udp --connect "127.0.0.1:$PORT" send:stranger
	kill -CONT "$SERVER_PID"
	wait_until says first "$SERVER_OUT"
	INPUT=/dev/null launch command "${PEER[@]}" --udp --connect "127.0.0.1:$PORT" send:another || true
	stop_server
	same_text output "$SERVER_OUT" first
}

@test "-l -u without -k: the first to write is the peer, and nobody else" {
	each_engine one_peer
}

udp_with_several() {
	local a
	open_input
	listen -u -k
	INPUT=/dev/null launch start_worker "${PEER[@]}" --udp --connect "127.0.0.1:$PORT" \
		send:a get:4 await:go send:c get:5 stay
	a=$WORKER_OUT
	wait_until holds a "$SERVER_OUT"
	type_in to-a
	wait_until says 'get 4: ok' "$a"
	INPUT=/dev/null launch start_worker "${PEER[@]}" --udp --connect "127.0.0.1:$PORT" send:b get:6 stay
	wait_until holds ab "$SERVER_OUT"
	type_in to-b-b
	wait_until says 'get 6: ok' "$WORKER_OUT"
	touch go
	wait_until holds abc "$SERVER_OUT"
	type_in again
	wait_until says 'get 5: ok' "$a"
}

@test "-l -u -k: several peers, the latest gets the answer" {
	each_engine udp_with_several
}

# A datagram is all or nothing, whatever the speed.
slow_datagrams() {
	local reads writes
	head -c 900 data >small
	for reads in 40kbit 1G; do
		writes=$([ $reads = 1G ] && echo 40kbit || echo 1G)
		start_server "$nc" -l -v -u -d --read-rate $reads 127.0.0.1 0
		run -0 "$nc" -u --trace -q 0 --write-rate "$writes" 127.0.0.1 "$PORT" <small
		[[ $output == *"send("*", 900) = 900"* ]]
		wait_until has_bytes 900 "$SERVER_OUT"
		cmp small "$SERVER_OUT"
	done
}

@test "-u with --read-rate and --write-rate: datagrams stay whole" {
	each_engine slow_datagrams
}

# --- -U -------------------------------------------------------------------------------------------------

unix_stream() {
	local path
	for path in "$PWD/s" "@tcplab-test-$$-$engine"; do
		INPUT=question
		launch start_server "$nc" -l -v --json -U "$path"
		says "listening on $path" "$SERVER_LOG"
		run -0 --separate-stderr "$nc" -U --json "$path" <data
		wait_server
		same status "$SERVER_STATUS" 0
		cmp data "$SERVER_OUT"
		same answer "$output" "$(cat question)"
		is <(echo "$stderr") total bytes_sent=1000000 peer_end=fin unacked_bytes=null
		[ ! -e "$path" ]
	done
	# A path that nobody serves any more is no obstacle; one that somebody serves is, and so is a file.
	start_server "$nc" -l -v -U "$PWD/s"
	run -1 --separate-stderr timeout 60 "$nc" -l -U "$PWD/s"
	one_line_with EADDRINUSE "$PWD/s"
	kill -KILL "$SERVER_PID"
	wait_server || true
	[ -S "$PWD/s" ]
	start_server "$nc" -l -v -U "$PWD/s"
	stop_server
	[ ! -e "$PWD/s" ]
	echo precious >file
	run -1 --separate-stderr timeout 60 "$nc" -l -U "$PWD/file"
	one_line_with EADDRINUSE
	same_text "the file" file precious
	run -1 --separate-stderr "$nc" -U "$(printf 'x%.0s' {1..200})"
	one_line_with ENAMETOOLONG
}

@test "-U: both ways, abstract names, the path is removed, a stale one is no obstacle" {
	each_engine unix_stream
}

unix_datagrams() {
	local path
	for path in "$PWD/d" "@tcplab-test-$$-d-$engine"; do
		open_input
		launch start_server "$nc" -l -v -u -U "$path"
		INPUT=question
		worker -u -U -w 60 "$path"
		wait_until holds "$(cat question)" "$SERVER_OUT"
		type_in answer
		wait_until holds answer "$WORKER_OUT"
		end_input
		stop_server
		[ ! -e "$path" ]
	done
	# A name of the client's own, which it takes away again.
	INPUT=/dev/null
	launch start_server "$nc" -l -v --json -u -U -k "$PWD/d"
	run -0 "$nc" -u -U -q 0 -s "$PWD/own" "$PWD/d" <question
	wait_until says '"record":"start"' "$SERVER_LOG"
	is "$SERVER_LOG" start peer="$PWD/own"
	run -0 "$nc" -u -U -q 0 -s "$PWD/own" "$PWD/d" <question
	[ ! -e "$PWD/own" ]
}

@test "-U -u: a client can be answered, no path is left behind" {
	each_engine unix_datagrams
}

nameless() {
	INPUT=question launch start_server "$nc" -l -v -u -U "$PWD/d"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"from nobody", sys.argv[1])' \
		"$PWD/d"
	wait_until holds 'from nobody' "$SERVER_OUT"
	stop_server
	same "the server's status" "$SERVER_STATUS" 143
}

@test "-U -u: a client without a name is heard, though nobody can answer it" {
	each_engine nameless
}

# --- -z -------------------------------------------------------------------------------------------------

# WHY not 127.0.0.1: there the tests that run at the same time have their servers, which must not be knocked at, and which
# come and go between one scan and the next.
APART=127.0.0.77

scan() {
	local open shut
	start_server "$TCPLAB_BIN/discard" -s --bind $APART -p 0
	open=$PORT
	run -0 --separate-stderr "$nc" -z $APART "$open"
	same "stdout and stderr" "$output$stderr" ''
	run -0 --separate-stderr "$nc" -z -v $APART "$open"
	one_line_with "$APART:$open: open"
	run -0 --separate-stderr "$nc" -z -v $APART "$((open - 3))-$((open + 3))"
	[[ $stderr == *":$open: open"* ]]
	run -0 --separate-stderr "$nc" -z -u -w 100ms $APART "$open"
	peer --deaf
	shut=$PORT
	run -1 --separate-stderr "$nc" -z 127.0.0.1 "$shut"
	one_line_with "127.0.0.1:$shut" ECONNREFUSED
	run -1 --separate-stderr "$nc" -z --json 127.0.0.1 "$shut"
	echo "$stderr" >records
	valid records
	is records port open=false errno=ECONNREFUSED port="$shut"
	is records total ports_open=0 ports_closed=1
	run -0 --separate-stderr "$nc" -z --json $APART "$open"
	is <(echo "$stderr") total ports_open=1 ports_closed=0
	run -1 --separate-stderr "$nc" -z -u -w 1 127.0.0.1 "$shut"
	one_line_with ECONNREFUSED
	peer --full
	run -1 --separate-stderr "$nc" -z -w 100ms 127.0.0.1 "$PORT"
	one_line_with ETIMEDOUT
}

@test "-z: one port and a range; 0 if any is open, else one line and 1; filtered is ETIMEDOUT" {
	each_engine scan
}

few_descriptors() {
	start_server "$TCPLAB_BIN/discard" -s --bind $APART -p 0
	local first=$((PORT - 60)) last=$((PORT + 60))
	[ $last -le 65535 ] || last=65535
	"$nc" -z --json $APART "$first-$last" 2>many
	(ulimit -n 12 && "$nc" -z --json $APART "$first-$last") 2>few
	grep '"open":true' many >open
	[ -s open ]
	same "ports that are open with few descriptors" "$(grep '"open":true' few | sort)" "$(sort open)"
	run -1 says EMFILE few
}

@test "-z with few descriptors: the same ports are open" {
	each_engine few_descriptors
}

# --- signals --------------------------------------------------------------------------------------------

# SIGNAL STATUS: the worker ends at once, with its last record
obeys() {
	kill "-$1" "$WORKER"
	ends "$WORKER" "$2"
	valid "$WORKER_ERR"
	is "$WORKER_ERR" total peer_end=none
}

is_connecting() {
	grep -qi ":$(printf '%04x' "$PORT") 02 " /proc/net/tcp
}

signals() {
	local signal=$1 status=$2
	peer --full
	client --json
	wait_until is_connecting
	obeys "$signal" "$status"

	worker --json -l -v 127.0.0.1 0
	wait_until says "listening on" "$WORKER_ERR"
	kill "-$signal" "$WORKER"
	ends "$WORKER" "$status"
	is "$WORKER_ERR" total connections=0 bytes_received=0

	open_input
	peer send:hello stay
	client --json
	wait_until holds hello "$WORKER_OUT"
	obeys "$signal" "$status"
	is "$WORKER_ERR" total closed_first=local bytes_received=5
	end_input

	INPUT=/dev/zero
	peer --rcvbuf 8192 stay
	client --json --sndbuf 8K -i 50ms
	wait_until stands_still bytes_sent
	obeys "$signal" "$status"
	is "$WORKER_ERR" total closed_first=local bytes_received=0
	[ "$(field unacked_bytes <"$WORKER_ERR")" -gt 0 ]
}

@test "SIGINT while connecting, listening, idle, in a blocked send: total, status 130" {
	each_engine signals INT 130
}

@test "SIGTERM while connecting, listening, idle, in a blocked send: total, status 143" {
	each_engine signals TERM 143
}

# The output is a pipe that nobody reads.
blocked_output() {
	local fd
	rm -f out
	mkfifo out
	exec {fd}<>out
	open_input
	peer put:10000 await:go put:10000000 stay
	launch start_worker bash -c 'exec "$@" >out' bash "$nc" --json 127.0.0.1 "$PORT"
	wait_until says 'put 10000: ok' "$SERVER_OUT"
	wait_until says '"record":"start"' "$WORKER_ERR"
	touch go
	wait_until is_full "$fd"
	obeys INT 130
	exec {fd}>&-
}

@test "SIGINT in a blocked write to standard output: total, status 130" {
	each_engine blocked_output
}

# A signal beside a byte: whichever comes first, the signal is not lost.
never_lost() {
	local n steps=()
	open_input
	# The peer ends after the client: its end would be one for the client, too. What was typed and not read is the next one's.
	for n in {0..9}; do
		steps+=("send:$n" drain again)
	done
	peer "${steps[@]}" stay
	for n in {0..9}; do
		client --json
		wait_until holds "$n" "$WORKER_OUT"
		type_in x
		kill -INT "$WORKER"
		ends "$WORKER" 130
	done
}

@test "a signal that comes while bytes are moved is not lost" {
	each_engine never_lost
}

# --- reports --------------------------------------------------------------------------------------------

records() {
	INPUT=question
	launch start_server "$nc" -l --json 127.0.0.1 0 -v -i 20ms
	open_input
	client --json -i 20ms
	wait_until has_said "$WORKER_ERR" interval bytes_received 11
	end_input
	ends "$WORKER" 0
	wait_server
	grep -v '^netcat' "$SERVER_LOG" >theirs
	valid theirs
	valid "$WORKER_ERR"
	is theirs listening local="127.0.0.1:$PORT" port="$PORT"
	is theirs start role=server
	is "$WORKER_ERR" start role=client peer="127.0.0.1:$PORT" local="$(field peer start <theirs)"
	is "$WORKER_ERR" interval bytes_received=11 bytes_sent=0
	is "$WORKER_ERR" total bytes_received=11
	python3 "$JSON_LINES" tcplab.netcat/1 connections:int elapsed_ns:int bytes_sent:int bytes_received:int \
		closed_first:str peer_end:str unacked_bytes:int unread_bytes:int <"$WORKER_ERR"
	same_text "output" "$WORKER_OUT" "a question"
}

@test "--json: listening, start, interval and total are records on stderr; stdout is the payload" {
	each_engine records
}

# Who reads the file while it is written finds no half of a record.
whole_lines() {
	peer drain send:hello close
	# The leak check does not work under strace.
	run -0 --separate-stderr env ASAN_OPTIONS=detect_leaks=0 strace -f -e trace=write -e signal=none -o calls \
		"$nc" --json -v -i 1ms --hexdump 127.0.0.1 "$PORT" <question
	same "writes to stderr" "$(grep -c 'write(2, ' calls)" "${#stderr_lines[@]}"
}

@test "--json, -v, --hexdump: each line is written at once" {
	need strace
	each_engine whole_lines
}

stop_and_close() {
	open_input
	peer put:5000 await:go eof drain
	client --json --stop-after 1000
	wait_until has_bytes 1000 "$WORKER_OUT"
	touch go
	ends "$WORKER" 0
	same "bytes shown" "$(stat -c %s "$WORKER_OUT")" 1000
	is "$WORKER_ERR" total bytes_received=1000 unread_bytes=4000 closed_first=peer peer_end=fin
	wait_server
	same_text "the peer's view" "$SERVER_OUT" 'put 5000: ok
drain 0: EOF'

	peer put:5000 stay
	client --json --stop-after 1000
	wait_until has_bytes 1000 "$WORKER_OUT"
	kill -INT "$WORKER"
	ends "$WORKER" 130
	is "$WORKER_ERR" total bytes_received=1000 unread_bytes=4000 closed_first=local peer_end=none
}

@test "--stop-after: so much and no more; the end is still seen, and what nobody read is counted" {
	each_engine stop_and_close
}

# The peer has ended, and lives, and reads nothing: what waits in our send buffer will not arrive.
undelivered() {
	local silence
	head -c 100000 data >some
	for silence in 500ms 5 30; do # the peer's end may come too late for the first of these
		peer --rcvbuf 4096 eof stay
		run -1 --separate-stderr "$nc" -w $silence --sndbuf 1M 127.0.0.1 "$PORT" <some
		[[ $stderr != *"deliver to"* ]] || break
	done
	same "lines on stderr" "${#stderr_lines[@]}" 1
	[[ $stderr == "netcat-$engine: deliver to 127.0.0.1:$PORT: "*"(ETIMEDOUT)" ]]
}

@test "what is never confirmed is a failure, though both have ended" {
	each_engine undelivered
}

# What one side sent is what the other one read, has not read, or never got.
conservation() {
	start_server "$nc" -l -v -d --json --rcvbuf 8K --stop-after 5000 127.0.0.1 0
	INPUT=/dev/zero
	client --json --sndbuf 8K -i 50ms
	wait_until stands_still bytes_sent
	stop_server
	ends "$WORKER" 1
	is "$SERVER_LOG" total bytes_received=5000 closed_first=local
	is "$WORKER_ERR" total closed_first=peer peer_end=rst
	same "sent" "$(field bytes_sent <"$WORKER_ERR")" \
		$((5000 + $(field unread_bytes <"$SERVER_LOG") + $(field unacked_bytes <"$WORKER_ERR")))
	[ "$(field unread_bytes <"$SERVER_LOG")" -gt 0 ]
	[ "$(field unacked_bytes <"$WORKER_ERR")" -gt 0 ]

	start_server "$nc" -l -v -d --rcvbuf 8K --stop-after 5000 127.0.0.1 0
	client -v --sndbuf 8K -i 50ms --json
	wait_until stands_still bytes_sent
	stop_server
	ends "$WORKER" 1
	says "the peer reset the connection (RST)" "$WORKER_ERR"
	says "not delivered: $(field unacked_bytes <"$WORKER_ERR") of $(field bytes_sent <"$WORKER_ERR") bytes" "$WORKER_ERR"
	says "bytes of the peer's were here, and nobody read them" "$SERVER_LOG"
}

@test "bytes sent = read there + unread there + unacknowledged here, after a reset in the middle" {
	each_engine conservation
}

hexdump() {
	{
		printf 'GET / HTTP/1.0\r\n\r\n|\177\200\377\001~ '
		head -c 5000 data
	} >dumped
	peer --save got get:5025 put:3333 drain
	# shellcheck disable=SC2094 # nobody writes it
	run -0 --separate-stderr "$nc" --hexdump 127.0.0.1 "$PORT" <dumped
	wait_server
	cmp dumped got
	sed -n 's/^> \([0-9a-f]*\)  \([^|]*\)|.*/\1: \2/p' <<<"$stderr" | tr -s ' ' >sent
	od -A x -v -t x1 dumped | sed -n 's/^\(......\) /00\1: /p' | sed 's/ *$/ /' >want
	diff want sent
	[[ $stderr == *'> 00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|'* ]]
	[[ $stderr == *'> 00000010  0d 0a 7c 7f 80 ff 01 7e  20 '*' |..|....~ '* ]]
	same "bytes dumped of the answer" "$(sed -n 's/^< [0-9a-f]*  \([^|]*\)|.*/\1/p' <<<"$stderr" | wc -w)" 3333
}

@test "--hexdump: every byte, both ways" {
	each_engine hexdump
}

trace() {
	peer drain send:hello close
	run -0 --separate-stderr "$nc" --trace 127.0.0.1 "$PORT" <question
	same output "$output" hello
	[[ $stderr == *"netcat-$engine: [trace] "*"connect("* ]]
	[[ $stderr == *"[trace] send("*", 11) = 11"* ]]
	[[ $stderr == *"[trace] shutdown("*", SHUT_WR) = 0"* ]]
	[[ $stderr == *"[trace] recv("*") = 5"* ]]
	[[ $stderr == *"[trace] recv("*") = 0"* ]]
	[[ $stderr == *"[trace] write("*", 5) = 5"* ]]
	[[ $stderr == *"[trace] close("* ]]
}

@test "--trace: connect, send, recv, write, shutdown, close" {
	each_engine trace
}

# --- demonstrations -------------------------------------------------------------------------------------

close_modes() {
	peer drain send:answer close
	run -0 "$nc" --close-mode half 127.0.0.1 "$PORT" <question
	same output "$output" answer
	wait_server
	same_text "half" "$SERVER_OUT" 'drain 11: EOF'

	# Whoever answers gets a reset, and the answer is lost.
	peer drain await:go put:100000000
	run -0 --separate-stderr "$nc" --json --close-mode close 127.0.0.1 "$PORT" <question
	same output "$output" ''
	is <(echo "$stderr") total closed_first=local peer_end=none bytes_sent=11
	touch go
	wait_server
	grep -qE '^put [0-9]+: (EPIPE|ECONNRESET)$' "$SERVER_OUT"

	peer await:go drain
	rm go
	run -0 --separate-stderr "$nc" --json --close-mode rst 127.0.0.1 "$PORT" <question
	is <(echo "$stderr") total closed_first=local peer_end=none
	touch go
	wait_server
	grep -q '^drain [0-9]*: ECONNRESET$' "$SERVER_OUT"

	peer get:11 send:hello drain
	run -0 --separate-stderr "$nc" --json --close-mode unread 127.0.0.1 "$PORT" <question
	same output "$output" ''
	is <(echo "$stderr") total closed_first=local bytes_received=0 unread_bytes=5
	wait_server
	same_text "unread" "$SERVER_OUT" 'get 11: ok
drain 0: ECONNRESET'
}

@test "--close-mode half, close, rst, unread: what the peer sees of each" {
	each_engine close_modes
}

# TIMES RATE_Bps FIELD FILE: how much moved is in keeping with the time that it took.
keeps_to() {
	local bytes elapsed
	bytes=$(field "$2" interval <"$3")
	elapsed=$(field elapsed_ns interval <"$3")
	if [ "$bytes" -eq 0 ] || [ "$bytes" -gt $((elapsed * $1 * 3 / 2000000000 + 65536)) ]; then
		echo "$bytes bytes in $elapsed ns are more than $1 a second"
		return 1
	fi
}

n_intervals() {
	[ "$(grep -c '"record":"interval"' "$2")" -ge "$1" ]
}

has_moved() {
	[ "$(field "$1" interval <"$2")" -gt 0 ]
}

# RATE_Bps FIELD FILE: on the whole
is_faster_than() {
	local bytes elapsed
	bytes=$(field "$2" interval <"$3") && elapsed=$(field elapsed_ns interval <"$3") || return
	[ $((bytes / $1)) -gt $((elapsed / 1000000000)) ]
}

rates() {
	INPUT=/dev/zero
	peer drain
	client --json -i 50ms --write-rate 1mbit
	wait_until n_intervals 8 "$WORKER_ERR"
	kill -INT "$WORKER"
	ends "$WORKER" 130
	keeps_to 125000 bytes_sent "$WORKER_ERR"

	peer drain
	client --json -i 50ms
	wait_until is_faster_than $((10 * 125000)) bytes_sent "$WORKER_ERR"
	kill -INT "$WORKER"
	ends "$WORKER" 130

	open_input
	peer --sndbuf 8192 put:100000000
	client --json -i 50ms --read-rate 1mbit --rcvbuf 8K
	wait_until n_intervals 8 "$WORKER_ERR"
	wait_until has_moved bytes_received "$WORKER_ERR"
	kill -INT "$WORKER"
	ends "$WORKER" 130
	keeps_to 125000 bytes_received "$WORKER_ERR"
}

@test "--write-rate and --read-rate: no faster than that" {
	each_engine rates
}

# --- through a SOCKS server -----------------------------------------------------------------------------

# both_through URL HOST: a file one way and an answer the other.
both_through() {
	INPUT=question
	listen
	INPUT=data
	worker --json --socks "$1" "$2" "$PORT"
	ends "$WORKER" 0
	wait_server
	cmp data "$SERVER_OUT"
	cmp question "$WORKER_OUT"
	is "$WORKER_ERR" start peer="$2:$PORT" socks="$PROXY"
	is "$WORKER_ERR" total bytes_sent=1000000 bytes_received=11 peer_end=fin unacked_bytes=0 socks="$PROXY"
}

through_socks() {
	start_proxy
	both_through "$PROXY" localhost
	peer send:hello drain
	run -0 --separate-stderr "$nc" -v -n --socks "$PROXY" 127.0.0.1 "$PORT" <question
	same output "$output" hello
	[[ $stderr == *": connected to 127.0.0.1:$PORT through $PROXY"* ]]
	[[ $stderr == *"delivered: the SOCKS server's kernel confirmed every byte"* ]]
	peer get:11 rst
	run -1 --separate-stderr "$nc" --socks "$PROXY" 127.0.0.1 "$PORT" <question
	one_line_with "receive from 127.0.0.1:$PORT" ECONNRESET
}

@test "--socks: both ways, both ends; a reset comes through, too" {
	each_engine through_socks
}

# What follows is done by open.c, which all three share.
each_way() {
	local way url host
	start_proxy
	for way in "${WAYS[@]:1}"; do
		split "$way"
		both_through "$url" "$host"
	done
}

@test "--socks: by name and by literal, SOCKS 4, 4a and 5" {
	ENGINES=(nonblocking)
	each_engine each_way
}

socks_fails() {
	echo alice:secret >"users-$engine"
	start_proxy --users "users-$engine"
	peer drain
	run -0 --separate-stderr "$nc" --socks "alice:secret@$PROXY" localhost "$PORT" <question
	same stderr "$stderr" ''
	peer --deaf
	run -1 --separate-stderr "$nc" --socks "alice:secret@$PROXY" localhost "$PORT" <question
	one_line_with "connect localhost:$PORT through $PROXY: the SOCKS server says: connection refused (ECONNREFUSED)"
	run -1 --separate-stderr "$nc" --socks "alice:wrong@$PROXY" localhost "$PORT" <question
	one_line_with "localhost:$PORT through $PROXY" "does not take this user and password" EACCES
	run -1 --separate-stderr "$nc" --socks "127.0.0.1:$PORT" localhost 1 <question
	one_line_with "connect 127.0.0.1:$PORT: " ECONNREFUSED
	run -1 --separate-stderr "$nc" -n --socks "$PROXY" localhost 1 <question
	one_line_with "resolve localhost" EAI_
	peer send:HTTP/1.1 eof drain
	run -1 --separate-stderr "$nc" --json --socks "127.0.0.1:$PORT" localhost 1 <question
	echo "$stderr" >records
	valid records
	is records error op=connect object="localhost:1 through 127.0.0.1:$PORT" errno=EPROTO \
		message="what listens there is no SOCKS server"
	peer stay
	run -1 --separate-stderr "$nc" -w 1 --socks "127.0.0.1:$PORT" localhost 1 <question
	one_line_with "the SOCKS server does not answer (ETIMEDOUT)"
}

@test "--socks: refused, a wrong password, no proxy, one that is none, and one that keeps silent" {
	ENGINES=(threaded)
	each_engine socks_fails
}

# --- the rest -------------------------------------------------------------------------------------------

buffers() {
	listen -d --rcvbuf 30000 --sndbuf 20000 -k
	open_input
	client --sndbuf 40000 --rcvbuf 50000 -v
	wait_until says "connected to" "$WORKER_ERR"
	wait_until says "connection from" "$SERVER_LOG"
	# The kernel doubles what it is told (socket(7)).
	ss -Htmn state established "dport = :$PORT" | grep -q 'rb100000,.*tb80000,'
	ss -Htmn state established "sport = :$PORT" | grep -q 'rb60000,.*tb40000,'
}

@test "--sndbuf, --rcvbuf: the kernel knows" {
	need ss
	each_engine buffers
}

@test "netcat-blocking: bulk both ways is a deadlock; both ends say so, and every byte is accounted for" {
	engine=blocking nc=$TCPLAB_BIN/netcat-blocking
	INPUT=/dev/zero
	listen --json --sndbuf 8K --rcvbuf 8K
	client --json --sndbuf 8K --rcvbuf 8K
	wait_until says '"record":"deadlock"' "$WORKER_ERR"
	wait_until says '"record":"deadlock"' "$SERVER_LOG"
	kill -INT "$WORKER"
	ends "$WORKER" 130
	wait_server
	valid "$WORKER_ERR"
	says "deadlock: " "$SERVER_LOG"
	says " unread here" "$SERVER_LOG"
	local key sent received unread unacked
	for key in sent received unread unacked; do
		declare "$key=$(field bytes_$key deadlock <"$WORKER_ERR" || field "${key}_bytes" deadlock <"$WORKER_ERR")"
		declare "their_$key=$(field bytes_$key deadlock <"$SERVER_LOG" || field "${key}_bytes" deadlock <"$SERVER_LOG")"
	done
	# shellcheck disable=SC2154 # declared above
	same "sent by the client" "$sent" $((their_received + their_unread + unacked))
	# shellcheck disable=SC2154
	same "sent by the server" "$their_sent" $((received + unread + their_unacked))
	[ "$unread" -gt 0 ]
	[ "$their_unread" -gt 0 ]
	[ "$(field in_write_ns deadlock <"$WORKER_ERR")" -gt 0 ]
}

@test "netcat-blocking: a peer that does not read is a stall, and no deadlock" {
	engine=blocking nc=$TCPLAB_BIN/netcat-blocking
	INPUT=/dev/zero
	peer --rcvbuf 8192 stay
	client -v --json
	wait_until says '"record":"stalled"' "$WORKER_ERR"
	kill -INT "$WORKER"
	ends "$WORKER" 130
	says "stalled: " "$WORKER_ERR"
	run -1 says deadlock "$WORKER_ERR"
	is "$WORKER_ERR" stalled bytes_received=0 unread_bytes=0
}

@test "the other two move bulk both ways" {
	for engine in threaded nonblocking; do
		nc=$TCPLAB_BIN/netcat-$engine
		head -c 5000000 /dev/zero >zeros # many times what fits into the buffers
		INPUT=zeros
		listen --sndbuf 8K --rcvbuf 8K
		client --sndbuf 8K --rcvbuf 8K
		ends "$WORKER" 0
		wait_server
		cmp zeros "$WORKER_OUT"
		cmp zeros "$SERVER_OUT"
	done
}

# --- standard input and output --------------------------------------------------------------------------

inputs() {
	peer --save got drain send:ready close
	# shellcheck disable=SC2002 # a pipe is what is wanted
	cat data | "$nc" 127.0.0.1 "$PORT" >out
	cmp data got
	same_text "after a pipe" out ready

	peer drain send:ready close
	run -0 bash -c '"$@" <&-' bash "$nc" 127.0.0.1 "$PORT"
	same "after a closed input" "$output" ready
	wait_server
	same_text "of a closed input" "$SERVER_OUT" 'drain 0: EOF'

	peer get:100000 rst
	run -1 --separate-stderr "$nc" 127.0.0.1 "$PORT" </dev/zero
	one_line_with "127.0.0.1:$PORT"

	# An input that cannot be read is an error, and has ended; the answer is shown all the same.
	peer drain send:ready close
	run -1 --separate-stderr "$nc" 127.0.0.1 "$PORT" <.
	one_line_with "read standard input" EISDIR
	same "after a folder" "$output" ready
	peer drain send:ready close
	run -1 --separate-stderr bash -c '"$@" 0>written' bash "$nc" 127.0.0.1 "$PORT"
	one_line_with "read standard input" EBADF
	same "after a write-only input" "$output" ready
}

@test "standard input: a pipe, closed, endless, a folder, write-only" {
	each_engine inputs
}

outputs() {
	peer send:hello drain
	run -1 --separate-stderr bash -c '"$@" >/dev/full' bash "$nc" 127.0.0.1 "$PORT"
	one_line_with "write standard output" ENOSPC
	peer send:hello drain
	run -1 --separate-stderr bash -c '"$@" >&-' bash "$nc" 127.0.0.1 "$PORT"
	one_line_with "write standard output" EBADF
	peer send:hello drain
	run -1 --separate-stderr bash -c '"$@" 1<question' bash "$nc" 127.0.0.1 "$PORT"
	one_line_with "write standard output" EBADF
	peer drain close
	run -0 --separate-stderr bash -c '"$@" >&-' bash "$nc" 127.0.0.1 "$PORT"
	same stderr "$stderr" ''
	# With nothing open at all the payload is still the payload.
	peer send:hello drain
	run -0 bash -c '"$@" <&- >/dev/null 2>&-' bash "$nc" -v 127.0.0.1 "$PORT"
	wait_server
	same_text "with stderr closed" "$SERVER_OUT" 'drain 0: EOF'
	peer put:10000000 close
	# shellcheck disable=SC2016 # for the inner shell
	run -1 bash -c '"$@" 2>err | head -c 10 | wc -c; exit ${PIPESTATUS[0]}' bash "$nc" -d 127.0.0.1 "$PORT"
	same "through head" "$output" 10
	one_line err
	says EPIPE err
}

@test "standard output: full, closed, read-only, a pipe whose reader is gone; nothing to write is no error" {
	each_engine outputs
}

shared() {
	local kind
	for kind in pty pipe socket; do
		peer send:hello get:5 send:seen await:go close
		start_worker python3 "$TCPLAB_ROOT/tests/fixtures/netcat_shared.py" "$kind" end "$nc" 127.0.0.1 "$PORT"
		wait_until says 'get 5: ok' "$SERVER_OUT"
		touch go
		ends "$WORKER" 0
		same_text "$kind" "$WORKER_OUT" 0
		rm go

		peer send:hello get:5 send:seen stay
		run -0 python3 "$TCPLAB_ROOT/tests/fixtures/netcat_shared.py" "$kind" SIGINT "$nc" 127.0.0.1 "$PORT"
		same "$kind, SIGINT" "$output" 130
	done
}

@test "a terminal, pipe or socket that others use, too: never left non-blocking, what is typed goes out" {
	each_engine shared
}

@test "make diff-netcat: the three loops beside each other; make help tells of it" {
	run -0 make --no-print-directory -C "$TCPLAB_ROOT" diff-netcat
	[[ $output == *"+++ "*netcat-threaded.c*"+++ "*netcat-nonblocking.c* ]]
	run -0 make --no-print-directory -C "$TCPLAB_ROOT" help
	[[ $output == *"make diff-netcat"*"make clean"* ]]
}
