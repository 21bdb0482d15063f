#!/usr/bin/env bats
# roundtrip in bad company: servers that tell lies, clients that send anything, floods, crowds, recordings. Nothing crashes, no
# figure goes mad, no answer is longer than its question, and who is no peer is counted and not answered.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server
# shellcheck disable=SC2016 # for the shell inside

load ../helpers
load ../fixtures/linkem

setup_file() {
	find_out_if_possible
}

setup() {
	need python3
	roundtrip=$TCPLAB_BIN/roundtrip
	peers=$TCPLAB_ROOT/tests/fixtures/roundtrip_peers.py
	cd "$BATS_TEST_TMPDIR" || return
}

serve() {
	start_server "$roundtrip" -s -p 0 --json "$@"
}

ask() {
	timeout -k 1 60 "$roundtrip" 127.0.0.1 -p "$PORT" "$@"
}

attack() {
	timeout -k 1 300 python3 "$peers" attack "$1" "$PORT" "${@:2}"
}

# counts NAME...: fields of the total in $output, on one line.
counts() {
	local name
	for name; do
		ours "$name"
	done | xargs
}

# total NAME: of the server that has ended.
total() {
	field "$1" <"$SERVER_OUT"
}

# KiB of memory that the server has touched
rss_kib() {
	sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$SERVER_PID/status"
}

# A sanitizer's build needs far more of everything.
is_plain_build() {
	[[ $TCPLAB_BIN != *asan* && $TCPLAB_BIN != *tsan* ]]
}

# The figures of the run in $output make sense; no sanitizer has said anything.
is_sane() {
	echo "$output" >run.json
	same "sane" "$(python3 "$peers" sane run.json)" sane
	[[ ${stderr-} != *Sanitizer* && ${stderr-} != *"runtime error"* ]]
}

# --- lying servers ----------------------------------------------------------------------------------------------------

@test "what is no answer is counted as garbage and harms nothing" {
	local mode many
	for mode in garbage:8 unasked:4 session:2 t1:4 kinds:6; do
		start_server python3 "$peers" server ${mode%:*}
		many=${mode#*:}
		run -0 --separate-stderr ask -n 30 -i 0 --json --where
		is_sane
		same "counts ($mode)" "$(counts sent received lost duplicated garbage)" "30 30 0 0 $((30 * many))"
		stop_server
	done
}

@test "answers three times each: two are duplicates, and no figure counts them" {
	start_server python3 "$peers" server thrice
	run -0 --separate-stderr ask -n 30 -i 2ms --json
	is_sane
	same counts "$(counts sent received lost duplicated_up)" "30 30 0 0"
	# Copies of the last answer count if they come soon.
	[ "$(ours duplicated)" -ge 58 ] && [ "$(ours duplicated)" -le 60 ]
	same "copies, on the way back" "$(ours duplicated_down)" "$(ours duplicated)"
}

@test "extreme times and counters: every figure stays finite and every count fits" {
	local mode how
	for mode in extreme counters dwell; do
		start_server python3 "$peers" server $mode
		for how in '' '-i 0 --where --steer'; do
			# shellcheck disable=SC2086 # none or words
			run -0 --separate-stderr ask -n 130 -i 1ms --json $how
			is_sane
			same "counts ($mode $how)" "$(counts sent received lost)" "130 130 0"
		done
		run -0 --separate-stderr ask -n 130 -i 1ms --histogram --steer --where --svg run.svg --csv run.csv --report 20ms
		[[ $output != *nan* && $output != *inf* && $stderr != *Sanitizer* ]]
		python3 -c "import xml.dom.minidom; xml.dom.minidom.parse('run.svg')"
		run -1 grep -iE 'nan|inf' run.svg run.csv
		stop_server
	done
}

@test "a server that forgets us: no loss and no copy is invented, the directions are not known any more" {
	start_server python3 "$peers" server forget=15
	run -0 --separate-stderr ask -n 40 -i 1ms --json
	is_sane
	same counts "$(counts sent received lost duplicated lost_up duplicated_down)" "40 40 0 0 null null"
}

@test "losses on the way back are told from those on the way there" {
	start_server python3 "$peers" server lose=7
	run -0 --separate-stderr ask --wire extended -n 41 -i 1ms --timeout 2s --json
	is_sane
	same counts "$(counts sent received lost lost_up lost_down lost_unknown)" "41 35 6 0 6 0" # 0, 7, ... 35
}

@test "answers from another address are none" {
	start_server python3 "$peers" server other
	run -1 --separate-stderr ask -n 3 -i 1ms --timeout 50ms --wire extended --json
	is_sane
	same counts "$(counts sent received lost)" "3 0 3"
}

@test "an answer that is overtaken by thousands: received and lost are together what was sent" {
	start_server python3 "$peers" server hold=1500
	run -0 --separate-stderr ask --wire extended -n 1600 -i 300us --timeout 10s --json
	is_sane # received and lost are all of them, and not one more
	same sent "$(counts sent)" 1600
	[ "$(counts received)" -gt 800 ] # a busy machine may lose some
}

@test "-n stays exact when the first answers do not come" {
	start_server python3 "$peers" server deaf=3
	run -0 --separate-stderr ask -n 4 -i 1ms --json
	is_sane
	same sent "$(counts sent)" 4
}

@test "a slow server is no old one: its late answers are no reason to speak plain" {
	start_server python3 "$peers" server slow=20
	run --separate-stderr ask -n 20 -i 50ms --timeout 5ms --json
	same wire "$(counts wire)" extended
	[ "$(counts late)" -ge 1 ]
}

@test "TCP: servers that say nothing, rubbish, half an answer, or go: an end with a line, and 130 by SIGINT" {
	local what
	for what in silence nothing rubbish half; do
		start_server python3 -u -c "
import os, socket, sys, time
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
c, _ = l.accept()
q = c.recv(65536)
if '$what' == 'rubbish':
    try:
        while True: c.sendall(os.urandom(1000))
    except OSError: pass
if '$what' == 'half': c.sendall(q[:8] + b'12345678' + q[:7])
if '$what' == 'silence': time.sleep(100)
c.close()"
		run -1 --separate-stderr timeout -k 1 60 "$roundtrip" 127.0.0.1 -p "$PORT" --tcp -n 5 -i 1ms --timeout 200ms --json
		is_sane
		[ "${#stderr_lines[@]}" -ge 1 ]
		stop_server
	done
	set -m
	start_server python3 -u -c "
import socket, sys, time
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
c, _ = l.accept()
print('accepted', file=sys.stderr)
time.sleep(100)"
	"$roundtrip" 127.0.0.1 -p "$PORT" --tcp --timeout 60s --json >out 2>err 3>&- &
	local pid=$!
	wait_until grep -q accepted "$SERVER_LOG"
	kill -INT $pid
	status=0
	wait $pid || status=$?
	same "status, last" "$status $(tail -n 1 out | field record)" "130 total"
}

# --- lying clients ----------------------------------------------------------------------------------------------------

@test "every truncation, every bit, every length: only questions are answered, by as many bytes; the rest is garbage" {
	serve
	local mode sent answered markers all_sent=0 all_answered=0
	for mode in truncations flips lengths; do
		run -0 attack $mode
		read -r sent answered markers <<<"$output"
		echo "$mode: $sent sent, $answered answered"
		all_sent=$((all_sent + sent)) all_answered=$((all_answered + answered + markers))
	done
	[ $all_sent -gt 2000 ]
	stop_server
	same "answered" "$(total udp_answered)" $all_answered
	same "garbage" "$(total garbage)" $(($(total udp_received) - $(total udp_answered)))
	same "not answered, and not garbage" "$(total unauthorised) $(total udp_truncated) $(total udp_dropped)" "0 0 0"
}

@test "a hundred thousand datagrams at random: it goes on, and each is in one counter" {
	serve
	local n=100000
	is_plain_build || n=10000
	run -0 attack fuzz $n
	read -r sent answered markers <<<"$output"
	same sent "$sent" $n
	run -0 ask -n 10 -i 1ms --json
	same received "$(ours received)" 10
	stop_server
	same "every one" "$(total udp_received)" "$(($(total udp_answered) + $(total garbage) + $(total udp_truncated) + $(total udp_dropped)))"
	[ "$(total udp_received)" -ge $n ]
	[ "$(total garbage)" -gt $((n / 2)) ]
}

@test "a source port below 1024 is not answered" {
	[ "$(id -u)" -eq 0 ] || skip "such a port is for root"
	serve
	run -0 attack low
	same "others, low port" "$output" "0 0"
	stop_server
	same refused "$(total udp_refused_port)" 5
}

@test "a hundred thousand sessions: the table is full, memory is not" {
	is_plain_build || skip "a sanitizer's memory is not ours"
	serve
	ask -n 100 -i 0 >out
	attack sessions 2000 >out
	local before after
	before=$(rss_kib)
	run -0 attack sessions 100000
	after=$(rss_kib)
	[ $((after - before)) -lt 500 ] || {
		echo "before $before KiB, after $after KiB"
		return 1
	}
	run -0 ask -n 5 -i 1ms --json
	same "another one" "$(counts received lost duplicated)" "5 0 0"
	stop_server
	[ "$(total clients)" -gt 100000 ]
	[ "$(total clients_forgotten)" -gt 90000 ]
}

# --- connections ------------------------------------------------------------------------------------------------------

@test "TCP: messages byte by byte, three in one piece; garbage ends its own connection only" {
	serve
	same pieces "$(attack tcp_pieces)" ok
	same garbage "$(attack tcp_garbage)" ok
	run -0 ask --tcp -n 5 -i 1ms --json
	stop_server
	same "garbage" "$(total garbage)" 4
}

@test "TCP: more connections than --max-conn wait for their turn; UDP does not" {
	serve --max-conn 20
	run -0 attack tcp_crowd 60 20
	same "served at once, then others" "$output" "20 True"
	run -0 ask -n 5 -i 1ms
	stop_server
	same status "$SERVER_STATUS" 143
}

@test "SIGTERM ends the server at once: idle connections, half a message, a client that never reads, the backlog" {
	serve --max-conn 150
	timeout 100 python3 "$peers" attack tcp_deaf "$PORT" >deaf.out 3>&- &
	local deaf=$!
	timeout 100 python3 -c "
import socket, time
held = [socket.create_connection(('127.0.0.1', $PORT)) for _ in range(200)]
for s in held[::2]: s.sendall(b'half')
print('ready', flush=True)
time.sleep(100)" >idle.out 3>&- &
	local idle=$!
	wait_until grep -q ready deaf.out
	wait_until grep -q ready idle.out
	run -0 ask -n 5 -i 1ms --json
	same "by UDP meanwhile" "$(ours received)" 5
	stop_server
	same status "$SERVER_STATUS" 143
	kill $deaf $idle
	wait $deaf $idle || true
}

@test "no descriptors left: those who are served are, UDP too, and it recovers" {
	start_server bash -c 'ulimit -n 12; exec "$0" -s -p 0 --json' "$roundtrip"
	run -0 timeout 100 python3 -c "
import socket, struct
held = [socket.create_connection(('127.0.0.1', $PORT)) for _ in range(30)]
for s in held: s.sendall(struct.pack('<qq', 1, 0))
held[0].settimeout(40)
assert len(held[0].recv(16)) == 16
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(40)
u.sendto(struct.pack('<qq', 1, 0), ('127.0.0.1', $PORT)); assert len(u.recv(100)) == 16
for s in held[:25]: s.close()
held[29].settimeout(40)
assert len(held[29].recv(16)) == 16
print('ok')"
	same result "$output" ok
	run -0 ask --tcp -n 3 -i 1ms
	stop_server
	same status "$SERVER_STATUS" 143
	serve
	run -1 --separate-stderr bash -c 'exec 3>&- 4>&- 5>&- 6>&-; ulimit -n 4; exec "$0" -s -p 0' "$roundtrip"
	[[ $stderr == *EMFILE* ]]
}

# The client has more in its send buffer than the server takes, and that does not change any more.
is_stuck() {
	local before
	before=$(send_queue)
	sleep 0.1
	[ "${before:-0}" -gt 100000 ] && [ "$(send_queue)" = "$before" ]
}

send_queue() {
	ss -Htn "dport = :$PORT" | awk '{ print $3 }'
}

@test "a server that ends the connection in order, or resets it, is told apart" {
	local end
	for end in 'shutdown(socket.SHUT_WR)' 'setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'; do
		start_server python3 -u -c "
import socket, struct, sys
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
c, _ = l.accept()
for i in range(5):
    q = c.recv(16, socket.MSG_WAITALL)
    c.sendall(q[:8] + q[:8])
c.$end
while c.fileno() >= 0 and c.recv(1000): pass"
		run -1 --separate-stderr timeout 60 "$roundtrip" 127.0.0.1 -p "$PORT" --tcp -n 100 --json
		case $end in
		shutdown*) one_line_with 'the server ended the connection (EPROTO)' ;;
		*) one_line_with '(ECONNRESET)' ;;
		esac
		[[ ${lines[-1]} == *'"record":"error","op":"ask"'* ]]
		wait_server
	done
}

@test "questions that the kernel does not take are no losses, and no reason to go on plain" {
	need nft
	with_testbed
	on a nft 'add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o udp dport 9 drop'
	local count
	for count in 1 20; do
		run -1 --separate-stderr on a timeout 60 "$roundtrip" -4 b -p 9 -n $count -i 1ms --json
		same "$count questions" "$(ours sent) $(ours unsent) $(ours lost)" "0 $count 0"
		same wire "$(ours wire)" extended
		[[ $stderr != *plain* ]]
	done
}

@test "a client that cannot send is ended by SIGINT: a TCP server that does not read" {
	set -m
	start_server python3 -u -c "
import socket, sys, time
l = socket.create_server(('127.0.0.1', 0))
print('listening on 127.0.0.1:%d' % l.getsockname()[1], file=sys.stderr)
c, _ = l.accept()
time.sleep(100)"
	"$roundtrip" 127.0.0.1 -p "$PORT" --tcp --wire extended --size 65507 -i 100us --timeout 60s --json >out 2>err 3>&- &
	local pid=$!
	wait_until is_stuck
	kill -INT $pid
	wait_until has_ended $pid || {
		kill -KILL $pid
		echo "it does not end"
		return 1
	}
	status=0
	wait $pid || status=$?
	same "status" "$status" 130
}

# --- --key ------------------------------------------------------------------------------------------------------------

make_keys() {
	head -c 32 /dev/urandom | base64 >key
	head -c 32 /dev/urandom | base64 >other
	chmod 600 key other
}

@test "--key: the right one works by UDP and TCP; a wrong one, none, and plain are not answered and counted" {
	make_keys
	serve --key key
	local how
	for how in '' --tcp '-i 0' '--size 500' --where --busy-poll; do
		# shellcheck disable=SC2086 # words
		run -0 --separate-stderr ask --key key -n 20 -i 1ms --json $how
		is_sane
		same "counts ($how)" "$(counts sent received lost garbage)" "20 20 0 0"
		same stderr "$stderr" ''
	done
	run -1 --separate-stderr ask --key other -n 3 -i 1ms --timeout 50ms --json
	same counts "$(counts sent received)" "3 0"
	run -1 --separate-stderr ask -n 3 -i 1ms --timeout 50ms --wire extended --json
	run -1 --separate-stderr ask -n 3 -i 1ms --timeout 50ms --wire plain --json
	run -1 --separate-stderr ask --key other --tcp -n 3 -i 1ms --timeout 50ms --json
	run -1 --separate-stderr ask --tcp -n 3 -i 1ms --timeout 50ms --json
	run -0 --separate-stderr ask --key key -n 3 -i 1ms --json
	stop_server
	[ "$(total unauthorised)" -ge 11 ]
	same "plain, replayed" "$(total plain) $(total replayed)" "0 0"
	# A server without the key is not believed.
	serve
	run -1 --separate-stderr ask --key key -n 3 -i 1ms --timeout 2s --json
	same counts "$(counts sent received garbage)" "3 0 3"
}

@test "--key: a recording played back is not answered, nor is a datagram with a byte changed" {
	make_keys
	serve --key key
	local server=$SERVER_PID out=$SERVER_OUT played
	mkfifo words
	sleep 60 >words 3>&- & # keeps it open
	local keeper=$!
	start_server bash -c 'exec python3 "$0" relay "$1" <words' "$peers" "$PORT"
	run -0 --separate-stderr ask --key key -n 20 -i 1ms --json
	same received "$(ours received)" 20
	echo all >words
	wait_until grep -q played "$SERVER_OUT"
	played=$(cat "$SERVER_OUT")
	echo "$played"
	same "answers" "$(field answers <<<"$played")" 0
	[ "$(field played <<<"$played")" -ge 20 ]
	same "challenges are for first questions only" "$(field challenges <<<"$played")" "$(field first_ones <<<"$played")"
	echo flips >words
	wait_until has_two_lines
	played=$(tail -n 1 "$SERVER_OUT")
	echo "$played"
	same "each byte changed" "$(field played <<<"$played") $(field answers <<<"$played") $(field challenges <<<"$played")" "184 0 0"
	kill $keeper
	stop_server
	SERVER_OUT=$out
	stop_server "$server"
	same "extended answers" "$(total extended)" 20
	# Magic, version, kind and length are ten bytes: with another one it is not even a datagram of ours.
	same "refused" "$(total unauthorised) $(total garbage) $(total replayed)" "174 10 20"
}

has_two_lines() {
	[ "$(wc -l <"$SERVER_OUT")" -eq 2 ]
}

@test "--key: a file that is missing, too short, too long, or for all to read" {
	make_keys
	echo short >short
	head -c 5000 /dev/zero | tr '\0' '\n' >long # newlines at the end are not counted, but these are too many
	head -c 4096 /dev/urandom >longer
	printf '\nmore' >>longer
	cp key public
	chmod 600 short long longer
	chmod 644 public
	local role
	for role in -s 127.0.0.1; do
		run -1 --separate-stderr timeout 60 "$roundtrip" $role -p 4711 --key none --json
		one_line_with none ENOENT
		same record "$(ours errno error)" ENOENT
		run -1 --separate-stderr timeout 60 "$roundtrip" $role -p 4711 --key short
		one_line_with short "16 to 4096"
		run -1 --separate-stderr timeout 60 "$roundtrip" $role -p 4711 --key long
		one_line_with long "16 to 4096"
		run -1 --separate-stderr timeout 60 "$roundtrip" $role -p 4711 --key longer
		one_line_with longer "16 to 4096"
		run -1 --separate-stderr timeout 60 "$roundtrip" $role -p 4711 --key . # a folder
	done
	serve --key key
	run -0 --separate-stderr ask --key public -n 2 -i 1ms
	one_line_with public "others may read"
	# An editor's newline is no part of the key.
	printf %s "$(cat key)" >bare
	chmod 600 bare
	run -0 --separate-stderr ask --key bare -n 2 -i 1ms
}

# --- on two hosts -----------------------------------------------------------------------------------------------------

with_testbed() {
	prepare_testbed
	up
}

teardown() {
	if [ -n "${TEST_PID-}" ]; then
		end_testbed
	else
		stop_servers
	fi
}

@test "a host with several addresses answers from the one that was asked" {
	need ip
	with_testbed
	local address
	on b ip addr add 10.9.2.77/24 dev link0
	on b ip -6 addr add fd09:2::77/64 dev link0 nodad
	start_server "$linkem" exec b "$roundtrip" -s -p 0
	for address in 10.9.2.1 10.9.2.77 fd09:2::1 fd09:2::77; do
		run -0 on a timeout 60 "$roundtrip" $address -p "$PORT" -n 5 -i 1ms --json # a connected socket hears nobody else
		same "received from $address" "$(ours received)" 5
	done
}

@test "the limit for one source: announced to the client, seen in the server's total; others are served" {
	with_testbed
	start_server "$linkem" exec b "$roundtrip" -s -p 0 --json --udp-rate 100
	run -0 --separate-stderr on a timeout 60 "$roundtrip" b -p "$PORT" -n 600 -i 1ms --timeout 100ms --json
	[[ $stderr == *"100 times a second"* ]]
	is_sane
	local answered
	answered=$(($(ours received) + $(ours late)))
	[ $answered -ge 100 ] && [ $answered -le $((300 + $(ours elapsed_ns) / 10000000)) ]
	run -0 --separate-stderr on b timeout 60 "$roundtrip" localhost -p "$PORT" -n 300 -i 1ms --json
	same "loopback is free" "$(ours received)" 300
	same "nothing announced" "$stderr" ''
	sleep 0.3 # tokens for a slow one
	run -0 --separate-stderr on a timeout 60 "$roundtrip" b -p "$PORT" -n 3 -i 50ms --json
	same "slow is not warned of" "$stderr" ''
	stop_server
	[ "$(total udp_refused_rate)" -gt 0 ]
	[ "$(total udp_refused_rate)" -le $((600 - answered)) ]
}

@test "an answer that the kernel does not take does not mix up the stamps of the others" {
	need nft
	with_testbed
	start_server "$linkem" exec b "$roundtrip" -s -p 0 --json
	run -0 on a timeout 60 "$roundtrip" b -p "$PORT" -n 5 -i 1ms --where --json
	on b nft add table ip t
	on b nft add chain ip t out '{ type filter hook output priority 0; }'
	on b nft add rule ip t out ip daddr 127.0.0.9 drop
	run -0 --separate-stderr on b timeout 60 python3 "$peers" attack_from 127.0.0.9 "$PORT" 7
	run -0 on a timeout 60 "$roundtrip" b -p "$PORT" -n 60 -i 5ms --where --csv where.csv --json
	# k3_sched is after t3, and before the answer came.
	run -0 awk -F , 'NR > 1 && $14 != "" { n++; if ($14 < $13 || $14 > $17) bad++ } END { print n, bad + 0; exit n < 20 || bad > 0 }' where.csv
	stop_server
	[ "$(total udp_dropped)" -ge 7 ]
}

# --- memory -----------------------------------------------------------------------------------------------------------

@test "valgrind finds nothing" {
	need valgrind
	is_plain_build || skip "the sanitizers look after that"
	local check=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite)
	make_keys
	start_server "${check[@]}" "$roundtrip" -s -p 0 --key key
	run -0 timeout 150 "${check[@]}" "$roundtrip" 127.0.0.1 -p "$PORT" --key key -n 20 -i 2ms --where --steer --csv c --svg s --histogram
	run -0 timeout 150 "${check[@]}" "$roundtrip" 127.0.0.1 -p "$PORT" --key key -n 5 -i 2ms --tcp
	stop_server
	same status "$SERVER_STATUS" 143
}
