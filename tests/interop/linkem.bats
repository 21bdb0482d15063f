#!/usr/bin/env bats
# Other people's programs on the hosts of linkem: they find a network like any other.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant

load ../helpers
load ../fixtures/linkem

setup_file() {
	find_out_if_possible
}

setup() {
	prepare_testbed
}

teardown() {
	end_testbed
}

# in_background HOST CMD...: on a host; ends with the testbed. Output in `background.log`.
in_background() {
	"$linkem" exec "$@" </dev/null >background.log 2>&1 3>&- &
}

# listens HOST PORT
listens() {
	on "$1" ss -H -l -n -t "sport = :$2" | grep -q .
}

# rate KIND: iperf3 gets what the link gives, and that is never more than its rate. The queue holds a fifth of a second: so long a
# busy machine may let nobody of us do anything, and the link still has something to do. (What iperf3 calls a second is then longer.)
rate() {
	need iperf3 ss
	up --device "$1" --rtt 10ms --rate 4mbit --a2b queue=100K
	in_background b iperf3 -s -1 -p 5201
	wait_until listens b 5201
	run -0 on a iperf3 -c b -4 -p 5201 -t 3 -O 1 -C reno --json
	local got
	got=$(python3 -c 'import json, sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))' <<<"$output")
	echo "iperf3: $got bit/s of 4000000"
	[ "$got" -ge 3000000 ] && [ "$got" -le 5000000 ]
	local record bits most
	record=$("$linkem" stat --json)
	bits=$((8 * $(lane_field a2b bytes <<<"$record")))
	most=$(($(field elapsed_ns <<<"$record") * 4 / 1000 + 8 * 1500)) # 4 Mbit/s, and the first packet
	echo "the link: $bits bit, at most $most"
	[ $bits -le $most ]
	[ "$(count a2b queue_peak_bytes)" -le 102400 ]
	wait_until is_idle a2b
}

@test "iperf3: TCP through a bottleneck, by TUN" {
	rate tun
}

@test "iperf3: TCP through a bottleneck, by veth" {
	rate veth
}

@test "iperf3: UDP, its losses are the link's" {
	need iperf3 ss
	local kind
	for kind in tun veth; do
		up --device $kind --rtt 4ms
		in_background b iperf3 -s -1 -p 5201
		wait_until listens b 5201
		"$linkem" set a2b every=10
		run -0 on a iperf3 -c b -p 5201 -u -b 2M -t 1 --json
		local lost
		lost=$(python3 -c 'import json, sys; s = json.load(sys.stdin)["end"]["sum"]; print(s["lost_packets"])' <<<"$output")
		wait_until is_idle a2b
		echo "iperf3 has lost $lost, linkem dropped $(count a2b dropped_chosen)"
		[ "$lost" -gt 5 ] && [ "$lost" -le "$(count a2b dropped_chosen)" ]
		"$linkem" down >/dev/null
	done
}

@test "nc: a file, there and back, IPv4 and IPv6" {
	need nc.openbsd ss
	head -c 300000 /dev/urandom >sent
	local kind family
	for kind in tun veth; do
		up --device $kind --rtt 4ms --router
		for family in -4 -6; do
			"$linkem" exec b nc.openbsd $family -l 5001 </dev/null >got 2>nc.log 3>&- &
			local server=$!
			wait_until listens b 5001
			on a nc.openbsd $family -N b 5001 <sent
			wait $server
			cmp sent got
		done
		"$linkem" down >/dev/null
	done
}

@test "socat: an echo over UDP and TCP" {
	need socat ss
	up --rtt 4ms
	in_background b socat TCP-LISTEN:5001,fork,reuseaddr PIPE
	wait_until listens b 5001
	same "TCP" "$(echo word | on a socat -t 40 - TCP:b:5001)" word
	in_background b socat UDP4-RECVFROM:5002,fork PIPE
	wait_until udp_answers
}

udp_answers() {
	[ "$(echo word | on a socat -t 1 - UDP4:b:5002)" = word ]
}

@test "curl, and a server of python" {
	need curl python3 ss
	mkdir files
	head -c 200000 /dev/urandom >files/file
	up --rtt 4ms --loss 1%
	in_background b python3 -m http.server -d files 8000
	wait_until listens b 8000
	run -0 on a curl -4 -sS --max-time 100 -o got -w '%{http_code}' http://b:8000/file
	same status "$output" 200
	cmp files/file got
}

@test "ping" {
	need ping
	up --rtt 20ms
	run -0 on a ping -c 2 -i 0.2 -W 40 b
	[[ $output == *" 0% packet loss"* ]]
	run -0 on a ping -6 -c 2 -i 0.2 -W 40 b
}

@test "tcpdump on a device of a host sees what the host sends and gets" {
	need tcpdump
	local kind
	for kind in tun veth; do
		up --device $kind --rtt 4ms
		receive_udp
		"$linkem" exec b tcpdump -Z root -n -i link0 -c 5 -w seen.pcap udp 2>tcpdump.log 3>&- &
		local dumper=$!
		wait_until grep -q "listening on" tcpdump.log
		on a python3 "$LINKEM_UDP" send b 5
		wait $dumper
		same packets "$(tcpdump -n -r seen.pcap 2>/dev/null | grep -c '10.9.1.1.*> 10.9.2.1.5001')" 5
		"$linkem" down >/dev/null
	done
}

@test "ip: addresses, routes, devices" {
	need ip
	local kind
	for kind in tun veth; do
		up --device $kind --router
		on a ip -o addr show dev link0 | grep -q '10\.9\.1\.1/24'
		on a ip -o addr show dev link0 | grep -q 'fd09:1::1/64'
		same "link-local addresses" "$(on a ip -o -6 addr show dev link0 scope link | wc -l)" 0
		on a ip route get 10.9.2.1 | grep -q 'via 10\.9\.1\.254 dev link0'
		on a ip -6 route get fd09:2::1 | grep -q 'via fd09:1::fe dev link0'
		on r ip route get 10.9.2.1 | grep -q 'dev to-b'
		on a ip link show link0 | grep -q 'NOARP.*UP\|UP.*NOARP'
		# a host's devices are its own to change
		on a ip addr add 10.9.1.77/24 dev link0
		on a ip link set lo up
		"$linkem" down >/dev/null
	done
}

@test "ss: sockets of that host and no other" {
	need ss
	up
	in_background b "$TCPLAB_BIN/ttcp" -r -p 5001
	wait_until listens b 5001
	same "on a" "$(on a ss -H -l -n -t | wc -l)" 0
	same "on b" "$(on b ss -H -l -n -t | wc -l)" 1
}

@test "nft: rules of a host" {
	need nft
	up --rtt 2ms
	on b nft 'add table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in udp dport 5001 counter drop' ||
		skip "no nftables here"
	on a python3 "$LINKEM_UDP" send b 7
	wait_until has a2b packets 7
	wait_until counted 7
	same "back" "$(count b2a offered_packets)" 0
}

counted() {
	on b nft list chain ip t in | grep -q "packets $1 "
}
