#!/usr/bin/env bats
# linkem in bad weather: killed at any moment, stopped, told nonsense, sent packets that are none, without rights, descriptors, disk.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # for other shells to expand

load ../helpers
load ../fixtures/linkem

setup_file() {
	find_out_if_possible
}

setup() {
	prepare_testbed
	SECONDS_OF_MINE=$((2000000 + RANDOM * 30 + RANDOM)) # sleep so long: a process that is ours
	INSIDE=()
}

teardown() {
	end_testbed
}

# Processes of this testbed, except those that are dead already: an orphan is buried by process 1, when it likes. The shell of the
# test has the variable, too, but is no linkem.
members() {
	local pid
	for pid in $(pgrep 'linkem'; pgrep -f "^sleep $SECONDS_OF_MINE"); do
		grep -q '^State:[[:space:]]*[ZX]' "/proc/$pid/status" 2>/dev/null && continue
		tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "TCPLAB_NET=$TCPLAB_NET" && echo "$pid"
	done
	return 0
}

# Sets $INSIDE: every process in the network namespaces of the hosts, whatever its environment, as "PID BEGINNING".
# WHY not to look who is in these namespaces afterwards: their numbers are given to those that another test makes meanwhile.
note_inside() {
	local spaces pid
	spaces=$(on a readlink /proc/self/ns/net; on b readlink /proc/self/ns/net)
	INSIDE=()
	for pid in $(find /proc/[0-9]*/ns/net -maxdepth 0 -printf '%p %l\n' 2>/dev/null | grep -wF "$spaces" | cut -d / -f 3); do
		INSIDE+=("$pid $(beginning_of "$pid")")
	done
}

# beginning_of PID: when it began (proc_pid_stat(5)); nothing if it is dead.
beginning_of() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 !~ /[ZX]/ { print $20 }'
}

is_all_gone() {
	[ -z "$(members)" ] || return 1
	! grep -qw "@tcplab-net-$(id -u)-$TCPLAB_NET" /proc/net/unix || return 1
	local process
	for process in "${INSIDE[@]}"; do
		[ "$(beginning_of "${process% *}")" != "${process#* }" ] || return 1
	done
}

# Nothing is left; and another one can begin.
all_gone() {
	wait_until is_all_gone || {
		echo "left: $(members | xargs -r ps -o pid,ppid,stat,args -p)"
		return 1
	}
	[ ! -e /sys/class/net/link0 ] && [ ! -e /sys/class/net/half0 ] && [ ! -e /sys/class/net/to-a ]
	run -0 timeout 60 "$linkem" --time 1ms
}

foreground() {
	rm -f log # what the one before said is not this one's
	"$linkem" "$@" >out 2>log 3>&- &
	NET=$!
	wait_until grep -qs 10.9.2.1 log
}

# Something runs on each host.
populate() {
	"$linkem" exec a sleep "$SECONDS_OF_MINE" 3>&- &
	"$linkem" exec b sh -c "setsid sleep $SECONDS_OF_MINE & sleep $SECONDS_OF_MINE" 3>&- &
	wait_until populated
	note_inside
	[ ${#INSIDE[@]} -ge 3 ]
}

populated() {
	[ "$(pgrep -c -f "^sleep $SECONDS_OF_MINE")" -eq 3 ]
}

is_instrumented() {
	[[ $TCPLAB_BIN == *asan* || $TCPLAB_BIN == *tsan* ]]
}

# --- killed -----------------------------------------------------------------------------------------------------------

@test "kill -9 of the emulator: all of the testbed ends with it" {
	foreground --router
	populate
	kill -KILL "$(emulator_pid)"
	local status=0
	wait "$NET" || status=$?
	same "status" $status 137
	all_gone
}

@test "kill -9 of the process in the foreground" {
	foreground --device veth --router
	populate
	kill -KILL "$NET"
	all_gone
}

@test "kill -9 of the holder" {
	sleep 1000 3>&- &
	local holder=$!
	"$linkem" --background --while $holder 2>log 3>&-
	populate
	kill -KILL $holder
	all_gone
}

@test "kill -9 of a shell with a testbed in the background" {
	bash -c '"$0" --background --while $$ 2>/dev/null; echo >ready; while :; do sleep 0.1; done' "$linkem" 3>&- &
	local shell=$!
	wait_until test -e ready
	populate
	pkill -KILL -P $shell -x sleep || true
	kill -KILL $shell || true
	all_gone
}

@test "kill -9 of what runs on a host: the others live on" {
	up
	local status=0
	"$linkem" exec a sleep "$SECONDS_OF_MINE" 3>&- &
	local client=$!
	wait_until pgrep -f "^sleep $SECONDS_OF_MINE" >/dev/null
	pkill -KILL -f "^sleep $SECONDS_OF_MINE"
	wait $client || status=$?
	same "status of exec" $status 137
	on a true
}

@test "kill -9 of exec at any moment: its command does not live on" {
	up
	local round
	for ((round = 0; round < 12; round++)); do
		"$linkem" exec a sleep "$SECONDS_OF_MINE" 3>&- &
		sleep "0.00$((round % 6))$((RANDOM % 10))"
		kill -KILL $!
		wait $! || true
		wait_until none_sleeps
	done
	on a true
}

none_sleeps() {
	! pgrep -f "^sleep $SECONDS_OF_MINE" >/dev/null
}

# At ten moments, by turns the process that was called and the emulator.
killed_at_start() {
	local round status
	for ((round = 0; round < 10; round++)); do # not i: `run` has one, too
		"$linkem" --router "$@" >/dev/null 2>&1 3>&- &
		NET=$!
		sleep "0.0$((RANDOM % 8))$((RANDOM % 10))"
		case $round in
		*[02468]) kill -KILL "$NET" 2>/dev/null || true ;;
		*) pkill -KILL -P "$NET" || kill -KILL "$NET" ;;
		esac
		status=0
		wait "$NET" || status=$?
		echo "round $round: status $status"
		all_gone
	done
}

@test "kill -9 at any moment of the start: nothing is left" {
	killed_at_start --device tun
}

@test "kill -9 at any moment of the start, with veth" {
	killed_at_start --device veth --r2b delay=1ms
}

@test "the holder dies while it starts" {
	local round
	for ((round = 0; round < 5; round++)); do
		sleep 1000 3>&- &
		local holder=$!
		"$linkem" --background --while $holder >/dev/null 2>&1 3>&- &
		NET=$!
		sleep "0.0$((round * 15))"
		kill -KILL $holder
		wait $NET || true
		all_gone
	done
}

@test "SIGTERM and SIGHUP while it starts are not lost" {
	local round signal
	for ((round = 0; round < 6; round++)); do
		signal=HUP
		[ $((round % 2)) -eq 0 ] || signal=TERM
		"$linkem" >/dev/null 2>&1 3>&- &
		NET=$!
		sleep "0.0$((round * 12))"
		kill -s $signal "$NET"
		wait_until has_ended "$NET"
		all_gone
	done
}

@test "a terminal that goes away ends linkem" {
	cat >terminal.py <<-'END'
		import os, pty, sys, time
		pid, terminal = pty.fork()
		if pid == 0:
		    os.execv(sys.argv[1], [sys.argv[1], "-i", "1h"])
		while b"10.9.2.1" not in os.read(terminal, 4096):
		    pass
		os.close(terminal)
		for _ in range(2000):
		    if os.waitpid(pid, os.WNOHANG)[0] == pid:
		        sys.exit()
		    time.sleep(0.02)
		os.kill(pid, 9)
		sys.exit("it lives on")
	END
	run -0 python3 terminal.py "$linkem"
	all_gone
}

@test "Ctrl-C while it starts is not lost" {
	need python3
	cat >terminal.py <<-'END'
		"""Starts linkem on a terminal, and types ^C after so long: a while later it should be gone."""
		import os, pty, signal, sys, time
		for delay in 0.005, 0.01, 0.02, 0.03, 0.05:
		    ready, begins = os.pipe()
		    pid, terminal = pty.fork()
		    if pid == 0:
		        signal.signal(signal.SIGINT, signal.SIG_DFL)
		        os.write(begins, b"x") # before that, nobody listens to the terminal
		        os.execv(sys.argv[1], [sys.argv[1], "-i", "1h"])
		    os.read(ready, 1)
		    time.sleep(delay)
		    os.write(terminal, b"\x03")
		    for _ in range(2000):
		        if os.waitpid(pid, os.WNOHANG)[0] == pid:
		            break
		        time.sleep(0.02)
		    else:
		        os.kill(pid, signal.SIGKILL)
		        sys.exit(f"^C after {delay} s is lost")
		    os.close(terminal)
	END
	run -0 python3 terminal.py "$linkem"
	all_gone
}

@test "Ctrl-C before there is an emulator is not lost either" {
	need python3 strace
	cat >terminal.py <<-'END'
		"""The same, when linkem has blocked the signal and makes its namespaces, which takes it a second here."""
		import os, pty, signal, sys, time
		def blocks_sigint(pid):
		    with open(f"/proc/{pid}/status") as status:
		        blocked = [line for line in status if line.startswith("SigBlk")][0].split()[1]
		    return int(blocked, 16) & 1 << signal.SIGINT - 1
		pid, terminal = pty.fork()
		if pid == 0:
		    signal.signal(signal.SIGINT, signal.SIG_DFL)
		    os.execvp("strace", ["strace", "-DDD", "-o", "calls", "-e", "inject=unshare:delay_enter=1000000", *sys.argv[1:]])
		while not blocks_sigint(pid):
		    time.sleep(0.01)
		os.write(terminal, b"\x03")
		for _ in range(2000):
		    if os.waitpid(pid, os.WNOHANG)[0] == pid:
		        break
		    time.sleep(0.02)
		else:
		    os.kill(pid, signal.SIGKILL)
		    sys.exit("^C is lost")
	END
	ASAN_OPTIONS=detect_leaks=0 run -0 python3 terminal.py "$linkem" -i 1h
	all_gone
}

@test "SIGSTOP is not an outage: packets wait" {
	need nsenter
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	up --rtt 2ms
	receive_udp
	local pid host_a
	"$linkem" exec a sleep "$SECONDS_OF_MINE" 3>&- &
	wait_until pgrep -f "^sleep $SECONDS_OF_MINE" >/dev/null
	host_a=$(pgrep -f "^sleep $SECONDS_OF_MINE")
	pid=$(emulator_pid)
	kill -STOP "$pid" # it does not answer now: a is entered without it
	nsenter --net="/proc/$host_a/ns/net" python3 "$LINKEM_UDP" send 10.9.2.1 100
	same "arrived" "$(wc -l <"$RECEIVED")" 0
	kill -CONT "$pid"
	wait_until received_lines 100
	same device "$(count a2b dropped_device)" 0
}

# --- orders that are none ---------------------------------------------------------------------------------------------

# client.py NAME: what follows on stdin runs with `connect()`.
hostile() {
	cat >body.py
	cat - body.py >client.py <<-'END'
		import os, random, socket, sys, time
		ADDRESS = "\0tcplab-net-%d-%s" % (os.geteuid(), os.environ["TCPLAB_NET"])
		def connect():
		    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    sock.settimeout(40)
		    sock.connect(ADDRESS)
		    return sock
		def ask(sock, request):
		    sock.send(request)
		    return sock.recv(65536)
	END
	timeout -k 1 200 python3 client.py
}

@test "requests that are none are refused, and the connection goes on" {
	up --rtt 2ms
	hostile <<-'END'
		random.seed(1)
		sock = connect()
		requests = [b"x", b" ", b"\n", b"set", b"set ", b"join", b"join ", b"join " + b"a" * 4000, b"join c", b"join r", b"stats",
		            b"set " + b"x" * 4000, b"set a2b", b"set loss=1% " * 300, b"a\0b", b"\0", b"\0" * 4096, b"stat\0", b"x" * 4096, b"x" * 4097,
		            b"x" * 100000, b"set a2b delay=%n%s%n%s", b"set \xff\xfe\x80", b"set r2b delay=1ms", b"\xff" * 100]
		requests += [bytes(random.randrange(256) for _ in range(random.randrange(1, 200))) for _ in range(300)]
		for request in requests:
		    answer = ask(sock, request)
		    assert answer.startswith(b"error: ") and b"\n" not in answer.strip(b"\n") or answer.startswith(b"ok\n"), (request, answer)
		    assert not answer.startswith(b"ok\n") or request.startswith((b"set",)), (request, answer)
		assert ask(sock, b"stat").startswith(b"ok\n")
		sock.send(b"")  # as an end: the connection is over, or it goes on
		other = connect()
		assert ask(other, b"stat json").startswith(b"ok\n{")
	END
	same "spec" "$(count a2b spec)" delay=1ms
}

@test "thousands of connections, those that say nothing, those that go away" {
	up
	hostile <<-'END'
		for i in range(2000):
		    sock = connect()
		    if i % 3:
		        sock.send((b"stat", b"join a", b"watch", b"interval json", b"set loss=0")[i % 5])
		    sock.close()
		crowd = [connect() for _ in range(31)]
		sock = connect()
		assert ask(sock, b"stat").startswith(b"ok\n")
		more = []
		for _ in range(100):
		    other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    other.setblocking(False)
		    try:
		        other.connect(ADDRESS)
		    except BlockingIOError:
		        break
		    more.append(other)
	END
	same "spec" "$(count a2b spec)" perfect
	# no descriptor is left: those of the emulator before and after another crowd
	local before
	before=$(descriptors)
	hostile <<-'END'
		for _ in range(500):
		    connect().send(b"join b")
	END
	on a true
	wait_until has_descriptors "$before"
}

descriptors() {
	find "/proc/$(emulator_pid)/fd" -type l | wc -l
}

has_descriptors() {
	[ "$(descriptors)" -le "$1" ]
}

@test "answers that nobody reads, descriptors too" {
	up
	hostile <<-'END'
		sock = connect()
		sock.settimeout(0.2)
		for request in b"join a", b"stat json", b"watch", b"set loss=0":
		    try:
		        for _ in range(3000):
		            sock.send(request)
		    except TimeoutError:
		        pass
		other = connect()
		assert ask(other, b"stat").startswith(b"ok\n")
	END
	on a true
}

@test "a watcher that never reads does not hold up the link" {
	up --rtt 1ms
	receive_udp
	hostile <<-'END' 3>&- &
		sock = connect()
		assert ask(sock, b"watch") == b"ok\n"
		open("watches", "w").close()
		while not os.path.exists("done"):
		    time.sleep(0.02)
		sock.settimeout(40)
		lines = [sock.recv(4096) for _ in range(20)]
		assert all(b"--->" in line for line in lines), lines
		open("seen", "w").close()
	END
	local client=$!
	wait_until test -e watches
	send_udp 3000
	same received "$(wc -l <"$RECEIVED")" 3000
	: >"done"
	wait $client
	[ -e seen ]
}

@test "another user is not answered" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	up
	open_folder
	cat >"$OPEN_FOLDER/stranger.py" <<-'END'
		import os, socket
		sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		sock.settimeout(10)
		sock.connect("\0tcplab-net-0-" + os.environ["TCPLAB_NET"])
		try:
		    sock.send(b"down")
		    answer = sock.recv(4096)
		except (ConnectionResetError, BrokenPipeError):
		    answer = b""
		assert answer == b"", answer
	END
	as_nobody "$(python3 -c 'import sys; print(sys.executable)')" "$OPEN_FOLDER/stranger.py" || as_nobody /usr/bin/python3 "$OPEN_FOLDER/stranger.py"
	on a true
}

@test "a stranger who listens on our address gets no question" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	open_folder
	cat >"$OPEN_FOLDER/impostor.py" <<-'END'
		import os, socket, sys
		sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		sock.bind("\0tcplab-net-0-" + os.environ["TCPLAB_NET"])
		sock.listen()
		print("listening on x:1", file=sys.stderr, flush=True)
		while True:
		    peer = sock.accept()[0]
		    print("got", peer.recv(4096), flush=True)
	END
	start_server setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 "$OPEN_FOLDER/impostor.py"
	run -1 --separate-stderr timeout -k 1 60 "$linkem" exec a true
	one_line_with "$TCPLAB_NET"
	run -1 --separate-stderr timeout -k 1 60 "$linkem" stat
	stop_server
	run -1 grep -v "got b''" "$SERVER_OUT"
}

# --- packets that are none --------------------------------------------------------------------------------------------

malformed() {
	cat >malformed.py <<-'END'
		import random, socket, struct
		random.seed(3)
		sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
		def v4(payload, protocol=6, words=5, total=None, fragment=0):
		    total = 20 + len(payload) if total is None else total
		    return struct.pack("!BBHHHBBH4s4s", 0x40 | words, 0, total, 1, fragment, 64, protocol, 0,
		                       bytes([10, 9, 1, 1]), bytes([10, 9, 2, 1])) + payload
		def v6(payload, protocol=6, length=None):
		    length = len(payload) if length is None else length
		    return struct.pack("!IHBB", 6 << 28, length & 0xffff, protocol, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + payload
		tcp = struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x50, 2, 5, 6, 7)
		packets = [b"", b"\x45", b"\x60", b"\x45" * 19, b"\x4f" * 30, b"\x60" * 39, b"\xf5" * 100, bytes(1400)]
		packets += [v4(tcp[:n]) for n in range(21)] + [v6(tcp[:n]) for n in range(21)]
		packets += [v4(tcp, words=n) for n in range(16)] + [v4(tcp, total=n) for n in (0, 1, 19, 20, 39, 41, 65535)]
		packets += [v4(tcp, fragment=n) for n in (1, 0x2000, 0x1fff, 0xffff)] + [v6(tcp, length=n) for n in (0, 1, 19, 21, 65535)]
		packets += [v4(struct.pack("!HHIIBBHHH", 1, 2, 3, 4, n << 4, 2, 5, 6, 7) + bytes(range(60))) for n in range(16)]
		for protocol in 0, 43, 44, 50, 51, 60, 135, 59:
		    chain = b"".join(bytes([protocol, n % 256]) + bytes(6) for n in range(100))
		    packets += [v6(chain, protocol), v6(chain[:9], protocol), v6(bytes([protocol, 255]), protocol)]
		    packets += [v6(bytes([protocol, 0] + [0] * 6) * 180, protocol)]
		packets += [v4(struct.pack("!HHHH", 1, 2, n, 0) + b"x" * 20, 17) for n in (0, 7, 8, 9, 28, 29, 65535)]
		packets += [v4(b"\3\4" + bytes(n), 1) for n in range(30)]
		packets += [bytes(random.randrange(256) for _ in range(random.randrange(1, 1400))) for _ in range(300)]
		for _ in range(700):
		    p = bytearray(random.choice(packets[30:]) or b"\x45")
		    for _ in range(random.randrange(1, 6)):
		        p[random.randrange(len(p))] = random.randrange(256)
		    packets.append(bytes(p))
		n = 0
		for p in packets:
		    try:
		        sock.sendto(p[:1500], ("link0", 0x86dd if p[:1] >= b"\x60" else 0x0800, 0, 0, b"\2" * 6))
		        n += 1
		    except OSError:
		        pass
		print(n)
	END
}

@test "malformed packets: all are accounted for, also in captures and diagrams" {
	need tcpdump
	malformed
	local kind sent
	for kind in tun veth; do
		foreground --device $kind --diagram --pcap a.pcap --pcap-b b.pcap --rate 100mbit \
			--a2b delay=1ms,jitter=1ms,loss=5%,burst=3,dup=20%,reorder=10%,corrupt=40%,swap=40%,queue=100K,ecn,drop=data:50,every=91,blackhole=1450
		sent=$(on a python3 malformed.py)
		[ "$sent" -gt 900 ]
		wait_until has a2b offered_packets 900
		wait_until is_idle a2b
		wait_until is_idle b2a
		[ "$(count a2b corrupted)" -gt 50 ]
		kill -TERM "$NET"
		local status=0
		wait "$NET" || status=$?
		same "status" $status 143
		[ "$(grep -c 'a --[->x]' out)" -gt 900 ]
		# nothing of a packet gets to the terminal as it is
		run -1 grep -P '[^\x20-\x7e]' out
		tcpdump -n -r a.pcap >/dev/null 2>tcpdump.log
		run -1 grep -i truncated tcpdump.log
		# it still works
		foreground --device $kind
		send_tcp 1000 1
		kill -TERM "$NET"
		wait "$NET" || true
	done
}

@test "a host that takes its device away does not take linkem's time" {
	local kind pid before
	for kind in tun veth; do
		up --device $kind
		on a ip link set link0 down
		on a ip link set link0 up
		on a ip link del link0
		pid=$(emulator_pid)
		before=$(awk '{ print $14 + $15 }' "/proc/$pid/stat")
		sleep 0.5 # in which it should do nothing
		[ $(($(awk '{ print $14 + $15 }' "/proc/$pid/stat") - before)) -lt 20 ]
		same "drops are no negative numbers" "$(count a2b dropped_device | wc -c | awk '{ print $1 < 10 }')" 1
		"$linkem" down >/dev/null
	done
}

# --- things that are missing ------------------------------------------------------------------------------------------

@test "a full disk: one line, and status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 --separate-stderr timeout -k 1 60 "$linkem" --time 50ms --pcap /dev/full
	[[ $stderr == *"/dev/full"*ENOSPC* ]]
	same "the totals" "$(grep -c offered <<<"$output")" 2
}

@test "standard output that is closed, full, or goes away" {
	run -1 --separate-stderr bash -c '"$0" --time 50ms >&-' "$linkem"
	if [ -e /dev/full ]; then
		run -1 --separate-stderr bash -c '"$0" --time 50ms >/dev/full' "$linkem"
	fi
	"$linkem" --diagram --rtt 1ms 2>log 3>&- | head -n 1 >first &
	wait_until grep -q 10.9.2.1 log
	on a python3 "$LINKEM_UDP" send b 100
	wait_until test -s first # and then nobody reads any more
	on a python3 "$LINKEM_UDP" send b 100
	same "lines" "$(wc -l <first)" 1
	"$linkem" down >/dev/null 2>&1 || true
	all_gone
}

@test "no descriptors: one line, and status 1" {
	local n
	for n in 10 12 14 16 18 20; do
		run -1 --separate-stderr timeout -k 1 60 bash -c 'ulimit -n $1; exec "$0" --router --time 1ms' "$linkem" $n
		one_line_with EMFILE
	done
	all_gone
}

@test "no namespaces: one line that says so, and status 1" {
	need unshare setpriv
	unshare --user --map-root-user true 2>/dev/null || skip "no user namespaces here"
	local kind
	for kind in net pid mnt; do
		run -1 --separate-stderr unshare --user --map-root-user sh -c \
			'echo 0 >/proc/sys/user/max_$1_namespaces; exec timeout -k 1 60 "$0" --time 1ms' "$linkem" $kind
		same "lines for $kind ($stderr)" "${#stderr_lines[@]}" 1
		same stdout "$output" ''
	done
	run -1 --separate-stderr unshare --user --map-root-user sh -c \
		'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all timeout -k 1 60 "$0" --time 1ms' "$linkem"
	same "lines ($stderr)" "${#stderr_lines[@]}" 1
}

@test "an ordinary user, both kinds of device" {
	unshare --user true 2>/dev/null || skip "no user namespaces here"
	as_nobody unshare --user --map-root-user true 2>/dev/null || skip "no user namespaces for an ordinary user"
	open_folder
	cp "$linkem" "$TCPLAB_BIN/ttcp" "$LINKEM_UDP" "$OPEN_FOLDER"
	unset ASAN_OPTIONS UBSAN_OPTIONS
	cd "$OPEN_FOLDER"
	local kind
	for kind in tun veth; do
		if [ $kind = tun ] && ! as_nobody test -w /dev/net/tun; then # as many systems have it
			run -1 as_nobody ./linkem --device tun --background --while "$TEST_PID"
			same said "$output" 'linkem: open /dev/net/tun: Permission denied (EACCES)'
			continue
		fi
		as_nobody ./linkem --device $kind --background --while "$TEST_PID" --router --rtt 2ms --loss 1% 2>log 3>&-
		as_nobody ./linkem set loss=0
		as_nobody ./linkem exec b ./ttcp -r -p 5001 >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/ttcp-$kind.log" 3>&- &
		wait_until grep -q 'listening on' "$BATS_TEST_TMPDIR/ttcp-$kind.log"
		as_nobody ./linkem exec a ./ttcp -t b -p 5001 -l 10000 -n 10 >/dev/null
		as_nobody ./linkem exec a sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_ecn'
		as_nobody ./linkem exec a ./linkem exec b true
		[ "$(as_nobody ./linkem stat --json | lane_field a2b packets)" -gt 60 ]
		as_nobody ./linkem down >/dev/null
		run -1 as_nobody ./linkem stat
	done
	wait_until none_is_nobodys
}

none_is_nobodys() {
	! grep -qw "@tcplab-net-65534-$TCPLAB_NET" /proc/net/unix
}

@test "without /dev/net/tun: veth and packet sockets by themselves" {
	unshare --mount true 2>/dev/null || skip "no mount namespaces here"
	run -0 --separate-stderr unshare --mount sh -c 'mount -t tmpfs none /dev/net && exec "$0" --time 1ms --json' "$linkem"
	same device "$(ours device start)" veth
	run -1 --separate-stderr unshare --mount sh -c 'mount -t tmpfs none /dev/net && exec "$0" --time 1ms --device tun' "$linkem"
	one_line_with /dev/net/tun
}
