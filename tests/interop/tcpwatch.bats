#!/usr/bin/env bats
# tcpwatch against ss, which asks the kernel the same question, and tcpdump, which reads the same packets.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers
load ../watching

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	tcpwatch=$TCPLAB_BIN/tcpwatch
}

# The lines of ss and the records of tcpwatch on $PORT, each as "local peer key=value ...", with what both know. They look one
# after the other: a packet may be on its way to a kernel thread that has to wait for a processor.
both() {
	wait_until say_the_same >differences 2>&1 || { cat differences && return 1; }
}

say_the_same() {
	ss -tainHO "( sport = :$PORT or dport = :$PORT )" >ss.out
	"$tcpwatch" --once --json -l ":$PORT" >ours.out
	cat ss.out ours.out
	python3 - <<-'END'
		import json, re
		names = {"ESTAB": "ESTABLISHED"}
		def of_ss(line):
		    state, recv, send, local, peer = line.split()[:5]
		    info = dict(re.findall(r"(\w+):([0-9.]+)", line))
		    return (local, peer), {"state": names.get(state, state), "recv": int(recv), "send": int(send), **info}
		theirs = dict(of_ss(line) for line in open("ss.out"))
		ours = [json.loads(line) for line in open("ours.out")]
		ours = {(r["local"], r["peer"].replace("0.0.0.0:0", "0.0.0.0:*")): r for r in ours if r["record"] == "socket"}
		assert theirs.keys() == ours.keys() and theirs, (theirs.keys(), ours.keys())
		for key, s in theirs.items():
		    r = ours[key]
		    assert s["state"] == r["state"], (s, r)
		    listens = r["state"] == "LISTEN"
		    fin = r["state"] != "ESTABLISHED" and not listens # ss counts a FIN as a byte
		    assert 0 <= s["recv"] - r["accept_queue" if listens else "recv_queue_bytes"] <= fin, (s, r)
		    assert 0 <= s["send"] - r["backlog" if listens else "send_queue_bytes"] <= fin, (s, r)
		    if "cwnd" not in s or listens:
		        continue
		    assert int(s["cwnd"]) == r["cwnd_segments"], (s, r)
		    assert int(s["mss"]) == r["mss_bytes"], (s, r)
		    assert abs(float(s["rto"]) * 1e6 - r["rto_ns"]) < 1e6, (s, r)
		    assert int(s.get("bytes_sent", 0)) == r["bytes_sent"], (s, r)
		    assert abs(int(s.get("bytes_acked", 0)) - r["bytes_acked"]) <= 2, (s, r) # SYN and FIN
		    assert abs(int(s.get("bytes_received", 0)) - r["bytes_received"]) <= 1, (s, r)
		    assert int(s.get("reordering", 3)) == r["reordering_segments"] or "reordering" not in s, (s, r)
	END
}

# once_has WORD...: a record of --once on $PORT has all of these words.
once_has() {
	local lines word
	lines=$("$tcpwatch" --once --json ":$PORT")
	for word; do
		lines=$(grep -F -- "$word" <<<"$lines")
	done
	[ -n "$lines" ]
}

# Nothing is under way any more: two looks of ss would say the same.
has_settled() {
	once_has "\"local\":\"127.0.0.1:$PORT\"" '"recv_queue_bytes":20000' '"send_queue_bytes":0' '"in_flight_segments":0' &&
		once_has "\"peer\":\"127.0.0.1:$PORT\"" '"recv_queue_bytes":300' '"send_queue_bytes":0' '"in_flight_segments":0'
}

@test "the same as ss says: states, queues, windows, counters" {
	need ss python3
	start_ends
	tell open
	tell send client 20000
	tell send server 300
	wait_until has_settled
	both
	tell shut client
	wait_until once_has FIN-WAIT-2
	tell read server
	both
	tell close server
	wait_until once_has TIME-WAIT
	tell connect 2
	both
}

# Packets as "flags first:last ack length", "-" where tcpdump does not say: without data it leaves out the sequence number,
# and in a SYN it shows it as it is.
ours_as_tcpdump() {
	python3 - "$WATCH_OUT" <<-'END'
		import json, sys
		for line in open(sys.argv[1]):
		    r = json.loads(line)
		    if r["record"] != "packet":
		        continue
		    n, seq = r["payload_bytes"], r["seq"]
		    numbers = f"{seq}:{seq + n}" if n > 0 else "-"
		    syn = "S" in r["flags"]
		    print(f'{r["real_ns"] // 10**9}.{r["real_ns"] % 10**9:09}', r["flags"], numbers,
		          r["ack"] if not syn and "." in r["flags"] else "-", r["window"], n)
	END
}

tcpdump_of() {
	tcpdump --nano -tt -n -r "$1" 2>/dev/null | python3 -c '
import re, sys
for line in sys.stdin:
    m = re.match(r"(\S+) IP6? .*Flags \[([^]]*)\](?:, seq ([0-9:]+))?(?:, ack (\d+))?, win (\d+).* length (\d+)", line)
    stamp, flags, seq, ack, win, n = m.groups()
    print(stamp, flags, seq if seq and ":" in seq else "-", ack if ack and "S" not in flags else "-", win, n)
'
}

STORY='open
send client 1000
read server
send server 100000
read client
shut client
read server
close server
close client'

@test "packets: tcpdump reads our file and says the same of each" {
	need tcpdump
	local host
	for host in 127.0.0.1 ::1; do
		watch_packets "$STORY" "$host" --json --packets --pcap "$BATS_TEST_TMPDIR/all.pcap"
		ours_as_tcpdump >ours
		tcpdump_of all.pcap >theirs
		diff ours theirs
		[ "$(wc -l <ours)" -ge 9 ]
		same "packets" "$(field packets <"$WATCH_OUT")" "$(wc -l <ours)"
		# each packet once, although loopback shows each twice
		same "SYNs" "$(cut -d ' ' -f 2 ours | grep -c '^S$')" 1
		same "SYN-ACKs" "$(cut -d ' ' -f 2 ours | grep -c '^S\.$')" 1
	done
}

@test "packets and polls: one story, in the order of time" {
	watch_packets "$STORY" 127.0.0.1 --json --packets -i 1ms
	python3 - "$WATCH_OUT" <<-'END'
		import json, sys
		records = [json.loads(line) for line in open(sys.argv[1])]
		times = [r["time_ns"] for r in records if "time_ns" in r]
		assert times == sorted(times), times
		kinds = [(r["record"], r.get("flags")) for r in records]
		if ("appeared", None) in kinds: # what caused it stands before it
		    assert kinds.index(("packet", "S")) < kinds.index(("appeared", None)), kinds
		assert {r["connection"] for r in records if "connection" in r} == {1}
	END
}

@test "packets: only what was asked for" {
	watch_packets "$STORY" 127.0.0.1 --json --packets :1
	same "packets" "$(field packets <"$WATCH_OUT")" 0
	watch_packets "$STORY" 127.0.0.1 --json --pcap "$BATS_TEST_TMPDIR/quiet.pcap"
	[ "$(field packets <"$WATCH_OUT")" -ge 9 ]
	same "records of packets" "$(grep -c '"record":"packet"' "$WATCH_OUT")" 0
}

@test "--snap: no more than so many bytes of each packet, and the length on the wire" {
	need tcpdump
	watch_packets "$STORY" 127.0.0.1 --json --packets --snap 128 --pcap "$BATS_TEST_TMPDIR/short.pcap"
	[ "$(tcpdump -n -r short.pcap -xx 2>/dev/null | grep -c '0x0080:')" -eq 0 ]
	[ "$(tcpdump -n -r short.pcap 'greater 1000' 2>/dev/null | wc -l)" -ge 2 ]
	same bytes "$(grep '"record":"packet"' "$WATCH_OUT" | sed 's/.*"payload_bytes":\([0-9]*\).*/\1/' | awk '{ n += $1 } END { print n }')" 101000
}

@test "packets know who reset the connection" {
	watch_packets $'open\nsend client 1000\nread server\nreset client' 127.0.0.1 --json --packets
	# Whether a poll saw the connection is its luck; what it saw, the packets explain.
	python3 - "$WATCH_OUT" <<-'END'
		import json, sys
		records = [json.loads(line) for line in open(sys.argv[1])]
		assert [r["flags"] for r in records if r["record"] == "packet"][-1].startswith("R"), records
		client = [r["from"] for r in records if r["record"] == "packet"][0]
		for r in records:
		    if r["record"] == "gone":
		        assert r["reset_by"] == ("local" if r["local"] == client else "peer"), r
		        assert r["closed_first"] is None, r
	END
}

@test "packets of a new connection with the same ports have its number" {
	# A poll has to see either of them.
	watch_packets $'open\nsend client 1000\nread server\nawait packets.out 2 "record":"appeared"\nagain
send client 1000\nread server\nawait packets.out 4 "record":"appeared"' 127.0.0.1 --json --packets
	python3 - "$WATCH_OUT" <<-'END'
		import json, sys
		records = [json.loads(line) for line in open(sys.argv[1])]
		packets = [r for r in records if r["record"] == "packet"]
		syns = [r["connection"] for r in packets if r["flags"] == "S"]
		assert syns == [1, 2], syns
		second = [r for r in packets if r["connection"] == 2]
		assert [r["seq"] for r in second if r["payload_bytes"] == 1000] == [1], second
		assert {r["connection"] for r in records if r["record"] == "alive"} == {2}, records
		assert [r["connection"] for r in records if r["record"] == "gone"][:2] == [1, 1], records
	END
}

# Two networks and a cable between them: the peer runs in the inner one. Its pid is in the file `inner`.
two_networks() {
	# shellcheck disable=SC2016 # for the inner bash to expand
	unshare --user --map-root-user --net bash -c '
		ip link set lo up
		unshare --net bash -c "echo \$\$ >inner.new && mv inner.new inner
			until ip link set vb up 2>/dev/null; do sleep 0.02; done
			ip addr add 10.9.0.2/24 dev vb
			exec python3 peer.py" 3>&- &
		peer=$!
		until [ -s inner ]; do sleep 0.02; done
		ip link add name va type veth peer name vb netns "$(cat inner)" || exit 77
		ip addr add 10.9.0.1/24 dev va && ip link set va up
		"$1" --json --packets >out 2>log 3>&- &
		until grep -q "^tcpwatch: watching " log; do kill -0 $! || exit 1; sleep 0.02; done
		watch=$!
		until [ -e listens ]; do sleep 0.02; done
		python3 client.py && wait $peer
		kill -INT $watch
		wait $watch' - "$tcpwatch"
}

@test "a device that is not loopback: both directions, each packet once" {
	need python3 unshare ip
	unshare --user --map-root-user --net ip link set lo up 2>/dev/null || skip "no private networks here"
	cat >peer.py <<-'END'
		import socket
		server = socket.create_server(("10.9.0.2", 5001))
		open("listens", "w")
		end = server.accept()[0]
		while end.recv(65536):
		    pass
		end.sendall(bytes(3))
	END
	cat >client.py <<-'END'
		import socket
		end = socket.create_connection(("10.9.0.2", 5001))
		end.sendall(bytes(500))
		end.shutdown(socket.SHUT_WR)
		while end.recv(100):
		    pass
	END
	local status=0
	two_networks || status=$?
	[ $status -ne 77 ] || skip "no veth here"
	cat log out
	same status $status 130
	same "SYN" "$(grep -c '"from":"10.9.0.1:.*"flags":"S"' out)" 1
	same "SYN-ACK" "$(grep -c '"from":"10.9.0.2:.*"flags":"S\."' out)" 1
	same "data out" "$(grep -c '"from":"10.9.0.1:.*"payload_bytes":500' out)" 1
	same "data in" "$(grep -c '"from":"10.9.0.2:.*"payload_bytes":3,' out)" 1
}
