#!/usr/bin/env bash
# 32-pmtu-black-hole - small messages pass, large ones vanish.
#
# tier: em
# summary: A path that swallows large packets without a word: ssh connects and then hangs. Three cures, and the router that would have spoken.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

hole=1200      # the longest IP packet that gets through
low_hole=1000
router=''      # yes: there is one that tells
firewall=''    # the line that asks through one that is not heard
small=900      # bytes in a message that fits into one packet
large=2000     # and in one that does not

main() {
	lab_start "$@"
	need ttcp

	beat predict
	say "A link of Ethernet's 1500 bytes, but somewhere in the path IP packets longer than $hole bytes vanish, and nobody says so. Two programs" \
		"connect, one sends messages, the other one answers each. One sends $small bytes."
	predict small 'Does it get its answer?' yes no
	predict large "And a message of $large bytes?" 'yes, in smaller pieces' 'yes, after a while' 'no, and the connection stays' \
		'no, and the connection breaks at once'
	say 'Linux can look for the largest packet that gets through (tcp_mtu_probing=1). It begins when packets are lost again and again.'
	predict probing "How many seconds does the first message of $large bytes take then?"
	say "Instead of vanishing, a router with a next hop of $hole bytes may say so: ICMP, \"fragmentation needed\"."
	predict router 'How many ms does the message take then? (The round trip is 20 ms.)'

	beat run
	hosts
	a_router
	run "(ask small $small 3; ask back $large 3 --reverse; ask mss $large 3 --mss 1000; ask silent $large 1 --timeout 5) & $firewall
  (path probing ask probing $large 3; path probing ask again $large 1) & path low ask low $large 1 & path base ask base $large 1 & wait"
	run 'linkem stat --json > stat.json'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# Four testbeds, so that all can be measured at the same time, and no two share what is set on a host.
hosts() {
	testbed "--rtt 20ms --a2b blackhole=$hole"
	run "path probing linkem --background --rtt 20ms --a2b blackhole=$hole --while $$"
	run "path low linkem --background --rtt 20ms --a2b blackhole=$low_hole --while $$"
	run "path base linkem --background --rtt 20ms --a2b blackhole=$low_hole --while $$"
	# What the kernel begins with, whatever this machine has: no probing, three timeouts before it thinks of a black hole.
	run "for t in '' probing low base; do path \"\$t\" on a sh -c 'cd /proc/sys/net/ipv4; echo 0 >ip_no_pmtu_disc; echo 3 >tcp_retries1; echo 1024 >tcp_base_mss; echo 0 >tcp_mtu_probing'; done"
	run "for t in probing low base; do path \$t on a sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_mtu_probing'; done"
	run "path base on a sh -c 'echo 512 >/proc/sys/net/ipv4/tcp_base_mss'"
	local t
	for t in '' probing low base; do
		serve "server$t" "path '$t' on b ttcp -r -4 -p 5001" # the hosts are ours: there the port is free
	done
	say 'path NAME COMMAND: that command with the testbed of that name' 'ask NAME SIZE COUNT: on a ttcp -4 -t b -p 5001 --congestion reno -l SIZE -n COUNT --json > NAME.json'
}

# path NAME COMMAND...: in the testbed of that name; '': in the first one.
path() {
	(
		[[ -z $1 ]] || export TCPLAB_NET=$TCPLAB_NET-$1
		shift
		"$@"
	)
}

# ask NAME SIZE COUNT [OPTION...]: messages, each answered by the receiver before the next one leaves. Whether they were is in
# NAME.json.
ask() {
	local name=$1 size=$2 count=$3
	shift 3
	on a ttcp -4 -t b -p 5001 --congestion reno -l "$size" -n "$count" "$@" --json >"$name.json" || true
}
export -f path ask

# The same hole, made in an honest way: behind the router the link is narrow, and the router says so. Then somebody has a firewall
# that drops ICMP, "for security".
a_router() {
	if ! have ip; then
		say 'left out: the router that tells, because there is no ip program (Debian: iproute2)'
		return
	fi
	run "path router linkem --background --router --rtt 20ms --while $$"
	run "path router on r ip link set to-b mtu $hole"
	serve server-router "path router on b ttcp -r -4 -p 5001"
	run "path router ask router $large 3; path router on a ip route get 10.9.2.1 > route.txt; cat route.txt"
	router=yes
	have nft || say 'left out: a firewall that drops ICMP, because there is no nft program (Debian: nftables)'
	have nft || return
	try "path router on r nft 'add table ip t; add chain ip t out { type filter hook output priority 0; }; add rule ip t out icmp type destination-unreachable drop'"
	if ((STATUS != 0)); then
		say 'left out: a firewall that drops ICMP, because nft does not work here'
		return
	fi
	run 'path router on a ip route flush cache'
	firewall="path router ask firewall $large 1 --timeout 5 &"
}

# --- observe ---

# first NAME: how long the first message took, in seconds: of so few the 99th percentile is the longest. null: never answered.
first() {
	calc "$(answered "$1" block_rtt_p99_ns) / 1e9" %.2f
}

# then_ms NAME: the one in the middle.
then_ms() {
	calc "$(answered "$1" block_rtt_p50_ns) / 1e6" %.0f
}

answered() {
	if grep -q '"record":"error"' "$1.json"; then
		echo null
	else
		field "$1.json" "$2"
	fi
}

line() {
	local took
	took=$(first "$1")
	if [[ $took == null ]]; then
		took="no answer: $(field "$1.json" errno error)"
	else
		took="$took s"
		(($(field "$1.json" blocks) == 1)) || took+=", the next ones $(then_ms "$1") ms"
	fi
	say "$(printf '%-34s %s' "$2" "$took")"
}

observe() {
	line small "$small bytes"
	line silent "$large bytes"
	say "$(printf '%-34s %s' "$large bytes, the other way" "$(field back.json blocks) received")"
	line mss "$large bytes, --mss 1000"
	line probing "$large bytes, tcp_mtu_probing=1"
	line again "the same again, a new connection"
	line low "probing, and a hole of $low_hole bytes"
	line base 'the same, tcp_base_mss=512'
	[[ -z $router ]] || line router 'a router that tells'
	[[ -z $firewall ]] || line firewall 'a router that is not heard'
	say "on the way from a to b $(dropped blackhole) packets were swallowed, and $(dropped loss) lost otherwise (first testbed)"
	figure probing_s "$(first probing)" s
	figure low_s "$(first low)" s
	figure base_s "$(first base)" s
	figure swallowed "$(dropped blackhole)" packets
	measured small "yes, after $(then_ms small) ms"
	measured large "no, and the connection stays: $(field silent.json errno error), said by ttcp that was tired of waiting for 5 s"
	measured probing "$(first probing) s; the next ones $(then_ms probing) ms"
	if [[ -n $router ]]; then
		figure router_s "$(first router)" s
		measured router "$(calc "$(first router) * 1000" %.0f) ms, the next ones $(then_ms router)"
	else
		measured router '(left out)'
	fi
}

# dropped CAUSE: on the way from a to b; it is the first of the two lanes.
dropped() {
	field stat.json "dropped_$1"
}

# --- explain ---

explain() {
	say 'TCP sends segments as large as the first link allows, with "do not fragment" set. A router whose next link is narrower has to drop such' \
		'a packet and to say so: ICMP type 3 code 4, with the size that fits (RFC 1191). TCP then sends smaller ones, and the host keeps the size' \
		'for ten minutes ("mtu 1200" in the route). Where that message is filtered, or never sent, because a tunnel is no router, the path is' \
		'a black hole: the handshake is small and works, so do short questions, and the first full segment is lost, and lost again.' \
		'Nobody is at fault at the ends; the other direction may even be in order.' \
		'    --mss          a connection that never sends large segments. Routers at the narrow link do it for everybody (MSS clamping)' \
		'    mtu_probing    after some retransmissions in a row Linux takes smaller segments (RFC 4821): at first of tcp_base_mss bytes,' \
		'                   after the next timeout half of that. It forgets: each new connection waits again' \
		'    tell the truth let ICMP 3/4 pass. IPv6 has no other way: there routers never fragment (RFC 8201)' \
		'' \
		'In the source: fate_at_the_door() in tools/linkem/lane.c has the hole; the rest is the kernel. Read on: RFC 2923 2.1, RFC 4821, RFC 8899, tcp(7).'
}

# --- verdict ---

judge() {
	claim "$small bytes: all three are answered" "$(first small) > 0"
	claim "$large bytes: no answer, and no error but our own patience" "\"$(field silent.json errno error)\" == \"ETIMEDOUT\""
	claim 'the path has swallowed the large segment at least four times, and nothing else was lost' \
		"$(dropped blackhole) >= 4 && $(dropped loss) + $(dropped queue) + $(dropped chosen) + $(dropped down) == 0"
	claim 'the other way there is no hole' "$(field back.json blocks) == 3"
	claim 'with a small MSS: all are answered, the first one too in less than a third of the time that probing takes' \
		"3 * $(first mss) < $(first probing)"
	claim 'probing: answered, after the three timeouts (2.5 to 7 s)' "$(first probing) > 2.5 && $(first probing) < 7"
	claim 'probing: the next message at least ten times as fast' "$(first probing) * 1000 > 10 * $(then_ms probing)"
	claim 'probing: a new connection has to find out again' "$(first again) > 2.5"
	claim "a hole below tcp_base_mss: one more timeout, at least 1.5 times as long" "$(first low) > 1.5 * $(first probing)"
	claim 'with a smaller tcp_base_mss: without that timeout' "1.5 * $(first base) < $(first low)"
	if [[ -n $router ]]; then
		claim 'a router that tells: in less than a third of the time that probing takes' "3 * $(first router) < $(first probing)"
		claim "and the host has noted the size: $hole" "$(grep -c "mtu $hole" route.txt) > 0"
	fi
	[[ -z $firewall ]] || claim 'the same router, not heard: no answer' "\"$(field firewall.json errno error)\" == \"ETIMEDOUT\""
}

main "$@"
