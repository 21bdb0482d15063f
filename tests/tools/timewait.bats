#!/usr/bin/env bats
# timewait: each trial of the three experiments, what the kernel's own table says of it, strangers; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	timewait=$TCPLAB_BIN/timewait
	# Each run leaves its ports in TIME-WAIT for a minute: a few are enough.
	few=(--ports 16 --visits 64)
	own=()
}

# own_net: sets ${own[@]}, with which a program runs in a network of this test's. There nobody else takes a port, and however
# long a trial takes: no connection in TIME-WAIT is used again after a second. Where that may not be, it stays empty.
own_net() {
	unshare -rn true 2>/dev/null || return 0
	start_worker unshare -rn sh -c 'ip link set lo up && echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse && echo up && exec sleep 600'
	wait_until up_or_dead
	! grep -q up "$WORKER_OUT" || own=(nsenter --target "$WORKER" --user --net --preserve-credentials --)
}

up_or_dead() {
	grep -q up "$WORKER_OUT" || has_ended "$WORKER"
}

# show STATUS WORD...: with --json, nothing on stderr.
show() {
	local status_wanted=$1
	shift
	run --separate-stderr "${own[@]}" "$timewait" "$@" --json
	echo "timewait $*: status $status"
	echo "$output$stderr"
	same status "$status" "$status_wanted"
	same stderr "$stderr" ''
}

# trial NAME KEY
trial() {
	grep -F "\"record\":\"trial\",\"name\":\"$1\"" <<<"$output" | field "$2" trial
}

# did NAME DONE ERRNO AT-CLIENT AT-SERVER
did() {
	same "$1" "$(trial "$1" succeeded) $(trial "$1" errno) $(trial "$1" time_wait_client) $(trial "$1" time_wait_server)" \
		"$2 $3 $4 $5"
}

# How many of 16 ports there were for us: on a machine with much traffic others may have some.
free_ports() {
	ours free_ports start
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$timewait" --help
	[[ $output == *"usage: timewait"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$timewait" --version
	[[ $output == "timewait (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' close 'rebind bind' 'rebind -4 -6' 'exhaust --ports 1001' 'exhaust --ports x' 'exhaust --visits 0' \
		'exhaust --wait x' 'bind --no-such-option' 'rebind --fixed=yes'; do
		echo "timewait $words"
		# shellcheck disable=SC2086 # an experiment and its options
		run -2 --separate-stderr "$timewait" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "rebind: a server that closed first does not get its port, SO_REUSEADDR or not" {
	show 0 rebind
	did none 0 EADDRINUSE 0 1
	did second 0 EADDRINUSE 0 1
	same "op" "$(trial none op)" bind
	same promised "$(ours as_promised)" true
	same trials "$(ours trials)" 2
}

@test "rebind, fixed: SO_REUSEADDR from the start, or the client closes; and a listener keeps its port" {
	show 0 rebind --fixed
	did both 1 null 0 1
	did client 1 null 1 0
	did alive 0 EADDRINUSE 0 1
	same trials "$(ours trials)" 3
}

@test "exhaust: as many connections as ports, and as many again to another server" {
	own_net
	show 0 exhaust "${few[@]}"
	local n
	n=$(free_ports)
	did client "$n" EADDRNOTAVAIL "$n" 0
	did elsewhere "$n" EADDRNOTAVAIL "$n" 0
	same op "$(trial client op)" connect
	same wanted "$(trial client wanted)" 64
	same trials "$(ours trials)" 2
}

@test "exhaust, fixed: all visits from the same ports, in three ways" {
	own_net
	show 0 exhaust --fixed "${few[@]}"
	did once 64 null 1 0
	did reset 64 null 0 0
	same server "$(trial server succeeded) $(trial server errno) $(trial server time_wait_client)" '64 null 0'
	local left
	left=$(trial server time_wait_server)
	# A newer SYN takes the place of a TIME-WAIT with the same ports: there are never more than ports.
	[ "$left" -ge 1 ] && [ "$left" -le 16 ]
	same trials "$(ours trials)" 3
}

@test "exhaust --wait: after a second net.ipv4.tcp_tw_reuse decides" {
	own_net
	[ ${#own[@]} -gt 0 ] || skip "needs a network namespace"
	local n
	show 0 exhaust "${few[@]}" --wait 10ms
	n=$(free_ports)
	did later 0 EADDRNOTAVAIL "$n" 0
	same reuse "$(ours tcp_tw_reuse start)" 0
	# it is asked for at each connect(2): changed while it waits
	"${own[@]}" "$timewait" exhaust "${few[@]}" --wait 3 --json >out 3>&- &
	local pid=$!
	wait_until grep -q '"name":"elsewhere"' out
	"${own[@]}" sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse'
	wait $pid
	output=$(cat out)
	echo "$output"
	n=$(free_ports)
	same "client, elsewhere" "$(trial client succeeded) $(trial elsewhere succeeded)" "$n $n"
	[ "$(trial later succeeded)" -ge "$n" ]
}

@test "bind: the ports are gone for two servers together; fixed: each has all of them" {
	own_net
	show 0 bind --ports 16
	local n
	n=$(free_ports)
	did bind "$n" EADDRINUSE "$n" 0
	same op "$(trial bind op)" bind
	show 0 bind --ports 16 --fixed
	n=$(free_ports)
	did later $((2 * n)) null $((2 * n)) 0
	did connect $((2 * n)) null $((2 * n)) 0
}

@test "IPv6: the same" {
	ip -6 addr show lo 2>/dev/null | grep -q ::1 || skip "needs ::1"
	own_net
	show 0 rebind -6
	did none 0 EADDRINUSE 0 1
	show 0 rebind -6 --fixed
	show 0 exhaust -6 "${few[@]}"
	did client "$(free_ports)" EADDRNOTAVAIL "$(free_ports)" 0
	show 0 bind -6 --ports 16
	show 0 bind -6 --ports 16 --fixed
}

@test "the kernel's own table has what was counted" {
	own_net
	run -0 --separate-stderr "${own[@]}" "$timewait" exhaust "${few[@]}" --json --trace
	echo "$output"
	local port n # of the first server to start, which is that of the first trial
	port=$(sed -n 's/.*bind([0-9]*, port \([0-9]*\)) = 0.*/\1/p' <<<"$stderr" | sed -n 1p)
	n=$("${own[@]}" cat /proc/net/tcp | awk -v port="$(printf ':%04X' "$port")" '$4 == "06" && $3 ~ port "$"' | wc -l)
	same "lines in /proc/net/tcp" "$n" "$(trial client time_wait_client)"
	same "ports" "$n" "$(ours free_ports start)"
}

@test "in a network of its own, --ports 0: those of the sysctl" {
	unshare -rn ip link set lo up 2>/dev/null || skip "needs a network namespace"
	run -0 unshare -rn bash -c "ip link set lo up
		echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse
		echo 41000 41015 > /proc/sys/net/ipv4/ip_local_port_range
		$timewait exhaust --ports 0 --visits 64 --json"
	echo "$output"
	did client 16 EADDRNOTAVAIL 16 0
	same "first port" "$(ours first_port start)" 41000
	# one of them is reserved: not what was promised
	run -3 unshare -rn bash -c "ip link set lo up
		echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse
		echo 41000 41015 > /proc/sys/net/ipv4/ip_local_port_range
		echo 41003 > /proc/sys/net/ipv4/ip_local_reserved_ports
		$timewait exhaust --ports 0 --visits 64 --json"
	did client 15 EADDRNOTAVAIL 15 0
	same promised "$(trial client as_promised)" false
	# more than there are
	run -1 --separate-stderr unshare -rn bash -c "ip link set lo up
		echo 41000 41015 > /proc/sys/net/ipv4/ip_local_port_range
		$timewait exhaust --ports 17 --json"
	same errno "$(ours errno error)" EADDRNOTAVAIL
	one_line_with find ip_local_port_range EADDRNOTAVAIL
	# the kernel remembers no more than it is told to
	run -3 unshare -rn bash -c "ip link set lo up
		echo 41000 41015 > /proc/sys/net/ipv4/ip_local_port_range
		echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets
		$timewait exhaust --ports 0 --visits 64 --json"
	did client 64 null 0 0
	same promised "$(ours as_promised)" false
}

@test "strangers that connect to its servers change nothing" {
	need python3
	own_net
	# they come as soon as there is somewhere to come to, stay, and what they say is never read
	cat >strangers.py <<-'END'
		import re, socket, sys, time
		server = None
		while not server:
		    print("waiting", flush=True)
		    time.sleep(0.001)
		    server = re.search(r"bind\(\d+, port (\d+)\) = 0\n", open("err").read())
		s = [socket.create_connection(("127.0.0.1", int(server[1]))) for i in range(3)]
		for x in s:
		    x.sendall(b"garbage")
		print("there", flush=True)
		time.sleep(600)
	END
	touch err
	start_worker "${own[@]}" python3 strangers.py
	local strangers_out=$WORKER_OUT
	wait_until grep -q waiting "$strangers_out"
	"${own[@]}" "$timewait" exhaust "${few[@]}" --wait 3 --json --trace >out 2>err 3>&- &
	local pid=$!
	wait $pid
	grep -q there "$strangers_out"
	output=$(cat out)
	echo "$output"
	same errno "$(trial later errno)" EADDRNOTAVAIL
	same promised "$(ours as_promised)" true
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "fewer visits than ports: status 3, it did not show what it is there for" {
	show 3 exhaust --ports 16 --visits 4
	did client 4 null 4 0
	same promised "$(ours as_promised)" false
}

@test "the text: a line for each trial, and what it means" {
	run -0 "$timewait" rebind
	same lines "${#lines[@]}" 4
	same first "${lines[1]}" \
		'  without SO_REUSEADDR                        bind: EADDRINUSE                   TIME-WAIT: 0 at the client, 1 at the server'
	own_net
	run -0 "${own[@]}" "$timewait" exhaust --fixed "${few[@]}"
	[[ $output == *'one connection for all questions'*' 64 '*'TIME-WAIT: 1 at the client, 0 at the server'* ]]
}

@test "each line of --json is a record" {
	need python3
	local x
	own_net
	for x in rebind exhaust bind; do
		run -0 "${own[@]}" "$timewait" $x --fixed "${few[@]}" --json
		python3 -c 'import json, sys
for line in sys.stdin:
    assert json.loads(line)["schema"] == "tcplab.timewait/1"' <<<"$output"
		same "trials of $x" "$(grep -c '"record":"trial"' <<<"$output")" "$(ours trials)"
	done
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	own_net
	for signal in INT TERM; do
		rm -f out
		"${own[@]}" "$timewait" exhaust "${few[@]}" --wait 60 --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q '"name":"elsewhere"' out
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same trials "$(field trials <out)" 2
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$timewait' rebind > /dev/full"
}
