#!/usr/bin/env bats
# selfconnect when things are not as they should be: somebody is there, nothing is free, no such option, a signal.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	selfconnect=$TCPLAB_BIN/selfconnect
}

# fails ERRNO WORD OPTION...: status 1, one line, an error record.
fails() {
	echo "selfconnect ${*:3}"
	run -1 --separate-stderr "$selfconnect" --json "${@:3}"
	echo "$output"
	one_line_with "$2"
	same errno "$(ours errno error)" "$1"
	[[ $(tail -n 1 <<<"$output") == *'"record":"error"'* ]]
}

# start_worker OPTION...: in the background; wait_server waits for it.
start_worker() {
	WORKER_OUT=$BATS_TEST_TMPDIR/worker.out
	"$selfconnect" --json "$@" >"$WORKER_OUT" 2>"$BATS_TEST_TMPDIR/worker.err" 3>&- &
	SERVER_PID=$!
	SERVER_PIDS+=("$SERVER_PID")
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$SERVER_PID]=$BATS_TEST_TMPDIR/worker.err
}

has_record() {
	grep -q "\"record\":\"$1\"" "$WORKER_OUT"
}

@test "somebody listens there: said, and the connection is closed" {
	run "$selfconnect" --fixed --tries 1 --json
	start_server "$TCPLAB_BIN/discard" -s -p "$(ours port)" # one that the kernel would take
	fails EADDRINUSE 'another program' "$PORT"
	same predicted "$(ours predicted start)" doubtful
	fails EADDRINUSE 'another program' "$PORT" --fixed
	fails EADDRINUSE bind "$PORT" --by bind
	# and the server goes on
	run -0 "$TCPLAB_BIN/discard" 127.0.0.1 -p "$PORT" --bytes 1K
}

@test "a listener whose queue is full: no answer is said, and does not hang" {
	need python3
	start_server python3 -c '
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(0)
waiting = []
for i in range(4):
    c = socket.socket()
    c.setblocking(False)
    c.connect_ex(s.getsockname())
    waiting.append(c)
time.sleep(0.1)
print("listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr, flush=True)
time.sleep(1000)'
	fails EINPROGRESS 'no answer' "$PORT"
}

@test "no free port left: EADDRNOTAVAIL" {
	need python3 ip
	unshare -Urn true 2>/dev/null || skip "needs network namespaces"
	run unshare -Urn bash -c 'ip link set lo up && echo 40000 40003 >/proc/sys/net/ipv4/ip_local_port_range && python3 -c "
import socket, subprocess, sys
all = [socket.socket() for port in range(40000, 40004)]
for i, s in enumerate(all):
    s.bind((\"127.0.0.1\", 40000 + i))
for port in sys.argv[2:]:
    subprocess.run([sys.argv[1], port, \"--json\", \"--tries\", \"100\"])
" "$0" 40002 80 0' "$selfconnect"
	echo "$output"
	same "records" "$(grep -c '"errno":"EADDRNOTAVAIL"' <<<"$output")" 3
	[[ $output == *'no free port'*'choose a port'* ]]
}

@test "--by range: a port that is taken, and a kernel without the option" {
	run "$selfconnect" --by range --tries 1
	[[ $output == *ENOPROTOOPT* ]] || {
		run -0 "$selfconnect" --by bind --json
		fails EADDRNOTAVAIL TIME-WAIT "$(ours port)" --by range
	}
	need strace
	export ASAN_OPTIONS=detect_leaks=0
	run -1 --separate-stderr strace -o /dev/null -e trace=setsockopt -e inject=setsockopt:error=ENOPROTOOPT \
		"$selfconnect" --by range --json
	one_line_with 'Linux 6.3'
	same errno "$(ours errno error)" ENOPROTOOPT
}

# hold_port HOW: at another address, or in TIME-WAIT as a server leaves it.
hold_port() {
	start_server python3 -c '
import socket, sys, time
def bound(family, host, port):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((host, port))
    s.listen(5)
    return s
first = bound(socket.AF_INET, "127.0.0.1", 0)
port = first.getsockname()[1]
if sys.argv[1] == "time-wait":
    client = socket.create_connection(first.getsockname())
    first.accept()[0].close()
    client.recv(1)
    client.close()
    first.close()
else:
    first.close()
    first = bound(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, sys.argv[1], port)
print("listening on 127.0.0.1:%d" % port, file=sys.stderr, flush=True)
time.sleep(1000)' "$1"
}

@test "somebody has the port in another way: doubtful is said" {
	need python3
	local how
	run "$selfconnect" --by range --tries 1
	[[ $output != *ENOPROTOOPT* ]] || skip "IP_LOCAL_PORT_RANGE needs Linux 6.3"
	for how in 127.0.0.9 time-wait ::1; do
		[ "$how" != ::1 ] || grep -q . /proc/net/if_inet6 || continue
		hold_port "$how"
		fails EADDRNOTAVAIL 'no free port' "$PORT" --by range
		same "predicted, $how" "$(ours predicted start)" doubtful
	done
}

@test "no descriptor for a socket: status 1 for the client, 3 when it is the server who has none" {
	need strace
	export ASAN_OPTIONS=detect_leaks=0
	run -1 --separate-stderr strace -o /dev/null -e trace=socket -e inject=socket:error=EMFILE "$selfconnect" 9 --json
	one_line_with socket EMFILE
	same errno "$(ours errno error)" EMFILE
	run -0 "$selfconnect" --by bind --fixed --json
	# two sockets ask whether the port is free, and connect; the third is the server
	run -3 strace -o /dev/null -e trace=socket -e inject=socket:error=EMFILE:when=3+ "$selfconnect" "$(ours port)" \
		--by bind --fixed --json
	same noticed "$(ours noticed)" true
	same "bind, afterwards" "$(ours bind_after_errno)" EMFILE
	same reached "$(ours server_reached)" false
}

@test "SIGINT and SIGTERM while it tries: the total, and 130 or 143" {
	local signal status
	for signal in INT TERM; do
		status=130
		[ $signal = INT ] || status=143
		start_worker 9 --tries 1000000000
		wait_until has_record start
		kill -$signal "$SERVER_PID"
		wait_server
		cat "$WORKER_OUT"
		same status "$SERVER_STATUS" $status
		same interrupted "$(field interrupted <"$WORKER_OUT")" true
		same self_connected "$(field self_connected <"$WORKER_OUT")" false
	done
}

@test "SIGTERM while it holds the connection: the story goes on to its end" {
	start_worker --by bind --hold 1h
	wait_until has_record connected
	kill -TERM "$SERVER_PID"
	wait_server
	same status "$SERVER_STATUS" 143
	same self_connected "$(field self_connected <"$WORKER_OUT")" true
	same "bind, afterwards" "$(field bind_after_errno <"$WORKER_OUT")" EADDRINUSE
}
