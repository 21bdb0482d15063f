#!/usr/bin/env bats
# What other programs see of a connection to itself: ss, a Python server, netcat; and Python's own client, which does not check.

# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2154 # bats sets $output and $lines

load ../helpers

setup() {
	selfconnect=$TCPLAB_BIN/selfconnect
}

# Sets $PORT: a connection of this port to itself, until SIGTERM.
hold() {
	HELD_OUT=$BATS_TEST_TMPDIR/held.out
	"$selfconnect" --by bind --hold 1h --json "$@" >"$HELD_OUT" 2>"$BATS_TEST_TMPDIR/held.err" 3>&- &
	SERVER_PID=$!
	SERVER_PIDS+=("$SERVER_PID")
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$SERVER_PID]=$BATS_TEST_TMPDIR/held.err
	wait_until is_held
	PORT=$(field port connected <"$HELD_OUT")
}

is_held() {
	grep -q '"record":"connected"' "$HELD_OUT"
}

# python_bind: "ok", or the error of a Python server of $PORT, as most servers begin.
python_bind() {
	python3 - "$PORT" <<-'END'
		import errno, socket, sys
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		try:
		    s.bind(("127.0.0.1", int(sys.argv[1])))
		    s.listen(5)
		    print("ok")
		except OSError as error:
		    print(errno.errorcode[error.errno])
	END
}

# ends_of FAMILY: state and both ends of each line of ss with $PORT.
ends_of() {
	ss -Htan "$@" "sport = :$PORT" | awk '{ print $1, $4, $5 }'
}

@test "ss: one line, the same end twice; afterwards in TIME-WAIT" {
	need ss
	hold
	same "ss" "$(ends_of -4)" "ESTAB 127.0.0.1:$PORT 127.0.0.1:$PORT"
	stop_server
	same "ss" "$(ends_of -4)" "TIME-WAIT 127.0.0.1:$PORT 127.0.0.1:$PORT"
}

@test "ss, IPv6" {
	need ss
	grep -q . /proc/net/if_inet6 || skip "needs IPv6"
	hold -6
	same "ss" "$(ends_of -6)" "ESTAB [::1]:$PORT [::1]:$PORT"
}

@test "a Python server and netcat cannot have the port, while it lives and afterwards" {
	need python3 nc.openbsd
	hold
	same "Python" "$(python_bind)" EADDRINUSE
	run ! timeout 5 nc.openbsd -l 127.0.0.1 "$PORT" </dev/null
	[[ $output == *'Address already in use'* ]]
	stop_server
	same "Python, afterwards" "$(python_bind)" EADDRINUSE
	run -0 "$selfconnect" --by bind --fixed --json
	PORT=$(ours port)
	same "Python, after a client that has let go" "$(python_bind)" ok
}

@test "Python's create_connection does it, too: our figures are the kernel's" {
	need python3
	unshare -Urn true 2>/dev/null || skip "needs network namespaces"
	need ip
	# shellcheck disable=SC2016 # for the inner shell
	run -0 unshare -Urn bash -c 'ip link set lo up && echo 40000 40009 >/proc/sys/net/ipv4/ip_local_port_range &&
		python3 -c "
import socket, struct
hit = {}
for port in range(40000, 40010):
    hit[port] = 0
    for i in range(400):
        try:
            s = socket.create_connection((\"127.0.0.1\", port))
        except ConnectionRefusedError:
            continue
        hit[port] += s.getsockname() == s.getpeername()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(\"ii\", 1, 0))
        s.close()
print(*[port for port in hit if hit[port] > 0])
print(sum(hit.values()))
"'
	echo "$output"
	same "ports that were hit" "${lines[0]}" '40000 40002 40004 40006 40008'
	# 5 times 400 tries with a chance of 1/5; ten standard deviations to either side
	[ "${lines[1]}" -gt 220 ] && [ "${lines[1]}" -lt 580 ]
}
