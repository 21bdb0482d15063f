#!/usr/bin/env bats
# simopen: two that meet, on loopback and over a link; one that meets itself; peers of other kinds; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	simopen=$TCPLAB_BIN/simopen
}

# Sets $ONE and $OTHER: ports, each with a few above it, that nobody has; below those that clients get (ip_local_port_range).
two_ports() {
	until untraced are_free $((ONE = 10000 + RANDOM % 9000)) $((OTHER = 20000 + RANDOM % 9000)); do :; done
}

are_free() {
	local port n
	for port; do
		for n in 0 1 2; do
			! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ":$(printf %04X $((port + n))) " || return 1
		done
	done
}

# meet OPTION...: two over loopback; the records of one in one.json, of the other in other.json. Both statuses in $STATUSES.
meet() {
	local host=127.0.0.1 one=0 other=0
	[[ " $* " != *' -6 '* ]] || host=::1
	two_ports
	"$simopen" $host -p "$OTHER" --local-port "$ONE" --json "$@" >one.json 2>one.err 3>&- &
	local first=$!
	"$simopen" $host -p "$ONE" --local-port "$OTHER" --json "$@" >other.json 2>other.err 3>&- || other=$?
	wait $first || one=$?
	STATUSES="$one $other"
	cat one.json other.json one.err other.err
	! grep -q CAP_NET_ADMIN one.err || skip "a filter on a TCP socket needs CAP_NET_ADMIN here"
}

# both KEY [RECORD]: of one and of the other
both() {
	echo "$(field "$@" <one.json) $(field "$@" <other.json)"
}

# try_it WORD...: its records are in $output, its status in $status.
try_it() {
	run --separate-stderr "$simopen" "$@" --json
	echo "simopen $*: status $status"
	echo "$output$stderr"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$simopen" --help
	[[ $output == *"usage: simopen"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$simopen" --version
	[[ $output == "simopen (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' 'a b' 'a -p 0' 'a -l 0' 'a -p 65536' 'a -4 -6' 'a --how often' 'a --fixed --how deaf' 'a --rounds 0' \
		'a --rounds 1001' 'a -p 65000 --rounds 900' 'a -l 65000 --rounds 900' 'a --at tomorrow' 'a --at 1x' 'a --at -1' \
		'a --at nan' 'a --at 99999999999' 'a --skew x' 'a --every 0' 'a --no-such-option'; do
		echo "simopen $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$simopen" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- on loopback ----------------------------------------------------------------------------------------------------

@test "deaf: two that nobody serves get one connection, whoever comes first" {
	meet --how deaf --rounds 3
	same statuses "$STATUSES" '0 0'
	same met "$(both met)" '3 3'
	same tries "$(both tries)" '3 3'
	same "refused" "$(both refused)" '0 0'
	same "the last one's ends" "$(field local round <one.json) $(field peer round <one.json)" \
		"$(field peer round <other.json) $(field local round <other.json)"
	same "its ports" "$(field local round <one.json)" "127.0.0.1:$((ONE + 2))"
	same "to itself" "$(both to_itself round)" 'false false'
	# one of the two has been refused without noticing, and agreed to the other's SYN
	[ "$(field active_opens <one.json)" -ge 3 ]
}

@test "deaf, IPv6" {
	meet --how deaf -6
	same statuses "$STATUSES" '0 0'
	same local "$(field local round <one.json)" "[::1]:$ONE"
}

@test "deaf: who is alone does not hear it, and gives up after --timeout" {
	two_ports
	try_it 127.0.0.1 -p "$OTHER" -l "$ONE" --how deaf --timeout 200ms
	[[ $output$stderr != *CAP_NET_ADMIN* ]] || skip "a filter on a TCP socket needs CAP_NET_ADMIN here"
	same status "$status" 3
	same "errno, tries" "$(ours errno round) $(ours tries)" 'ETIMEDOUT 1'
	same states "$(ours states round)" '["SYN-SENT"]'
}

@test "once: who is alone is refused; that is status 3" {
	two_ports
	try_it 127.0.0.1 -p "$OTHER" -l "$ONE"
	same status "$status" 3
	same errno "$(ours errno round)" ECONNREFUSED
	same "met, refused, tries" "$(ours met) $(ours refused) $(ours tries)" '0 1 1'
	same "what is left" "$(ours end_state round)" null
}

@test "--fixed: who is refused asks again until somebody is there" {
	need python3
	two_ports
	# an ordinary server that comes late; it speaks as a simopen does, and ends in order
	cat >late.py <<-'END'
		import os, socket, sys, time
		port = int(sys.argv[1])
		while not os.path.exists("refused"):
		    time.sleep(0.001)
		c, peer = socket.create_server(("127.0.0.1", port)).accept()
		c.sendall((b"hello from %d" % port).ljust(16, b"\0"))
		while c.recv(100):
		    pass
		c.close()
	END
	start_worker python3 late.py "$OTHER"
	local late=$WORKER
	"$simopen" 127.0.0.1 -p "$OTHER" -l "$ONE" --fixed --json --trace >one.json 2>one.err 3>&- &
	local first=$! status=0
	wait_until grep -qs 'state CLOSED' one.err
	touch refused
	wait_server "$late"
	wait $first || status=$?
	same status "$status" 0
	same met "$(field met <one.json)" 1
	[ "$(field tries <one.json)" -gt 1 ]
	same errno "$(field errno round <one.json)" null
}

@test "--fixed gives up after --timeout" {
	two_ports
	try_it 127.0.0.1 -p "$OTHER" -l "$ONE" --fixed --timeout 1s
	same status "$status" 3
	same errno "$(ours errno round)" ECONNREFUSED
	[ "$(ours tries)" -gt 1 ]
}

@test "the same port at both ends: one meets oneself; afterwards that pair of ports is in TIME-WAIT" {
	two_ports
	try_it 127.0.0.1 -p "$ONE" -l "$ONE"
	same status "$status" 0
	same "to itself" "$(ours to_itself round)" true
	same "what is left" "$(ours end_state round) $(ours time_wait)" 'TIME-WAIT 1'
}

@test "--at and --skew: not before the time" {
	two_ports
	local at began=${EPOCHREALTIME/./}
	at=$((began / 1000000 + 1)).25
	try_it 127.0.0.1 -p "$OTHER" -l "$ONE" --at $at --skew 250ms
	same status "$status" 3
	[ "${EPOCHREALTIME/./}" -ge $(((began / 1000000 + 1) * 1000000 + 500000)) ]
	try_it 127.0.0.1 -p "$OTHER" -l "$ONE" --at 1 # long ago: at once
	same "status in the past" "$status" 3
}

@test "a port that somebody has: status 1, an error record" {
	start_server python3 -c '
import socket, sys, time
l = socket.create_server(("127.0.0.1", 0))
print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
time.sleep(60)'
	two_ports
	try_it 127.0.0.1 -p "$OTHER" -l "$PORT"
	same status "$status" 1
	same errno "$(ours errno error)" EADDRINUSE
	one_line_with bind "$PORT"
}

# --- peers of other kinds -------------------------------------------------------------------------------------------

@test "a peer that says something else, too much, nothing, or goes away" {
	need python3
	cat >server.py <<-'END'
		import socket, struct, sys
		l = socket.create_server(("127.0.0.1", 0))
		port = l.getsockname()[1]
		print("python: listening on 127.0.0.1:%d" % port, file=sys.stderr, flush=True)
		hello = (b"hello from %d" % port).ljust(16, b"\0")
		def something_else(c):
		    c.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
		def wrong_name(c):
		    c.sendall(b"hello from 1".ljust(16, b"\0"))
		    c.close()
		def too_much(c):
		    c.sendall(hello + b"x")
		def too_little(c):
		    c.sendall(hello[:8])
		    c.shutdown(socket.SHUT_WR)
		def goes_away(c):
		    c.recv(100)
		    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		    c.close()
		def silent(c):
		    pass
		def never_ends(c):
		    c.sendall(hello)
		kept = []
		for behave in something_else, wrong_name, too_much, too_little, goes_away, silent, never_ends:
		    kept.append(l.accept()[0])
		    behave(kept[-1])
		l.accept()
	END
	start_server python3 server.py
	local wanted patience=()
	for wanted in EPROTO EPROTO EPROTO EPROTO ECONNRESET ETIMEDOUT ETIMEDOUT; do
		two_ports
		[ $wanted != ETIMEDOUT ] || patience=(--timeout 300ms)
		try_it 127.0.0.1 -p "$PORT" -l "$ONE" "${patience[@]}"
		same status "$status" 3
		same errno "$(ours errno round)" "$wanted"
		same connected "$(ours connected round)" true
	done
}

@test "nobody of that name: status 1, an error record" {
	try_it no.such.host.invalid
	same status "$status" 1
	same op "$(ours op error)" resolve
}

# --- over a link ----------------------------------------------------------------------------------------------------

@test "over a link: SYNs and FINs cross; who is late is refused, and so is the other one; with --fixed both meet" {
	export TCPLAB_NET=bats-$$-$BATS_TEST_NUMBER
	# a test that is killed leaves nothing: the testbed ends with it
	# a long way: who is late by less than half of it, because he has no processor, meets the other one in spite of that
	"$TCPLAB_BIN/linkem" --background --rtt 400ms --while $$ 3>&- || skip "no emulated link here"
	local at part options=('' '' '--fixed') skew=('' '--skew 900ms' '--skew 900ms') statuses=()
	at=$(awk "BEGIN { printf \"%.2f\", $EPOCHREALTIME + 3 }")
	for part in 0 1 2; do
		local words="-4 -p 2${part}00 -l 2${part}00 --at $at -n 2 --every 3s --json"
		# shellcheck disable=SC2086 # options
		{ "$TCPLAB_BIN/linkem" exec a "$simopen" b $words ${options[part]} >a$part.json 2>a$part.err && echo 0 >a$part.status || echo $? >a$part.status; } 3>&- &
		statuses+=($!)
		# shellcheck disable=SC2086 # options
		{ "$TCPLAB_BIN/linkem" exec b "$simopen" a $words ${options[part]} ${skew[part]} >b$part.json 2>b$part.err && echo 0 >b$part.status || echo $? >b$part.status; } 3>&- &
		statuses+=($!)
	done
	wait "${statuses[@]}"
	"$TCPLAB_BIN/linkem" down >/dev/null
	cat ./*.json ./*.err
	same "statuses, together" "$(cat a0.status) $(cat b0.status)" '0 0'
	same "statuses, late" "$(cat a1.status) $(cat b1.status)" '3 3'
	same "statuses, fixed" "$(cat a2.status) $(cat b2.status)" '0 0'
	for part in 0 2; do
		same "met" "$(field met <a$part.json) $(field met <b$part.json)" '2 2'
		same "passive opens" "$(field passive_opens <a$part.json) $(field passive_opens <b$part.json)" '0 0'
	done
	[[ $(field states round <a2.json) == '["SYN-SENT","SYN-RECEIVED","ESTABLISHED",'* ]]
	same "refused" "$(field refused <a1.json) $(field refused <b1.json)" '2 2'
	[ "$(field tries <a2.json)" -gt 2 ]
	same "SYNs seen to cross" "$(field crossed_open <a0.json) $(field crossed_open <b0.json)" '2 2'
	same "FINs seen to cross" "$(field crossed_close <a0.json) $(field crossed_close <b0.json)" '2 2'
	same "TIME-WAIT" "$(field time_wait <a0.json) $(field time_wait <b0.json)" '2 2'
	same "the way of one" "$(field states round <a0.json)" \
		'["SYN-SENT","SYN-RECEIVED","ESTABLISHED","FIN-WAIT-1","CLOSING","CLOSED"]'
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text" {
	two_ports
	run -0 --separate-stderr "$simopen" 127.0.0.1 -p "$ONE" -l "$ONE"
	same stderr "$stderr" ''
	[[ ${lines[0]} == "127.0.0.1:$ONE and 127.0.0.1:$ONE: connected to itself, at try 1, after "* ]]
	[[ ${lines[1]} == '    seen here: '*'ESTABLISHED'*'; now TIME-WAIT' ]]
	same total "${lines[2]}" '1 of 1 met, 0 refused; tries: 1; SYNs seen to cross: 0, FINs: 0'
	two_ports
	run -3 "$simopen" 127.0.0.1 -p "$OTHER" -l "$ONE"
	[[ ${lines[0]} == *": Connection refused, at try 1, after "* ]]
}

@test "each line of --json is a record" {
	two_ports
	run -3 "$simopen" 127.0.0.1 -p "$OTHER" -l "$ONE" --rounds 3 --json
	python3 -c 'import json, sys
records = [json.loads(line) for line in sys.stdin]
assert [r["record"] for r in records] == ["start", "round", "round", "round", "total"]
assert all(r["schema"] == "tcplab.simopen/1" for r in records)
assert [r["number"] for r in records[1:4]] == [0, 1, 2]' <<<"$output"
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f err
		two_ports
		"$simopen" 127.0.0.1 -p "$OTHER" -l "$ONE" --fixed --timeout 1m --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -qs 'connect(' err
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
	done
	status=0
	rm -f out
	"$simopen" 127.0.0.1 --at "$(($(date +%s) + 3600))" --json >out 3>&- &
	pid=$!
	wait_until grep -qs start out
	kill $pid
	wait $pid || status=$?
	same "status before the time" "$status $(field interrupted <out)" '143 true'
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	two_ports
	run -1 bash -c "'$simopen' 127.0.0.1 -p $ONE -l $ONE > /dev/full"
}
