#!/usr/bin/env bash
# 20-self-connect - a client whose server is away gets connected in the end: to itself.
#
# tier: any
# summary: A connection to itself: how a client gets one, what it does to the server, and two names that give it away.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

runs=6 # of each client
low=40000 high=40007

main() {
	lab_start "$@"
	need selfconnect

	beat predict
	say 'A server of this host is away, and its client tries to connect to it again and again, as clients do. The port of the' \
		'server is one of those that the kernel also gives to clients (net.ipv4.ip_local_port_range).'
	predict outcome 'What does the client get?' 'connection refused, for ever' 'connection refused, and some time a connection' \
		'connection refused, and some time a timeout'
	predict tries "How many tries does it take on the average, if anything ever happens?"
	predict port 'The client gives up and closes. Can the server have its port now?' 'yes, at once' 'yes, in a minute' 'no'

	beat run
	run 'selfconnect --by bind' # the whole story, without the waiting
	try "for i in {1..$runs}; do selfconnect --json; done > naive.json"
	try "for i in {1..$runs}; do selfconnect --fixed --json; done > fixed.json"
	other_parity
	one_port_range
	narrow_range
	measure udp 'selfconnect --udp --by bind'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# The next port, or one of those after it if somebody has that, and as many tries as it takes on the average.
other_parity() {
	local port away
	expected=$(field naive.json candidates start)
	port=$(field naive.json port)
	for away in 1 3 5 7 9; do
		try "selfconnect $((port + away)) --tries $expected --json > other-parity.json"
		((STATUS == 1)) || break
	done
}

one_port_range() {
	try "for i in {1..20}; do selfconnect --by range --json; done > range.json"
	has_range=yes
	grep -q ENOPROTOOPT range.json || return 0
	has_range=''
	say 'left out: a range of one port for one socket (IP_LOCAL_PORT_RANGE), because this kernel has none (Linux 6.3)'
}

# In a network of our own we can say which ports the kernel may choose.
narrow_range() {
	local own='' way
	for way in 'unshare -n' 'unshare -Urn'; do
		$way bash -c "ip link set lo up && echo $low $high >/proc/sys/net/ipv4/ip_local_port_range" 2>/dev/null && own=$way && break
	done
	if [[ -z $own ]]; then
		say 'left out: each port of a narrow range, because there is no network namespace for us (or no ip program)'
		return
	fi
	has_network=yes
	try "$own bash -c 'ip link set lo up && echo $low $high >/proc/sys/net/ipv4/ip_local_port_range &&
  for port in {$low..$high}; do selfconnect \$port --fixed --tries 500 --json; done' > narrow.json"
}

# --- observe ---

has_range='' has_network='' expected=0

# values FILE KEY: of each total record.
values() {
	grep -F '"record":"total"' "$1" | sed -E "s/.*\"$2\":\"?([^,\"}]*).*/\1/"
}

# many FILE KEY VALUE: in how many of them.
many() {
	values "$1" "$2" | grep -cx -- "$3"
}

observe() {
	all_tries=$(cat <(values naive.json tries) <(values fixed.json tries))
	mean=$(awk '{ s += $1 } END { if (NR) printf "%.0f", s / NR; else print "null" }' <<<"$all_tries")
	twins=$(paste -d ' ' <(values naive.json local) <(values naive.json peer) | awk 'NF == 2 && $1 == $2' | grep -c :)
	figure candidates "$expected"
	figure mean_tries "$mean"
	figure least_tries "$(sort -n <<<"$all_tries" | head -n 1)"
	figure most_tries "$(sort -n <<<"$all_tries" | tail -n 1)"
	say "tries of the naive client: $(values naive.json tries | paste -s -d ' ')" \
		"tries of the fixed client: $(values fixed.json tries | paste -s -d ' ')" \
		"the mean of all:           $mean; the kernel chooses among $expected ports" \
		"the other parity:          $(field other-parity.json tries) tries, self_connected: $(field other-parity.json self_connected)"
	[[ -z $has_range ]] ||
		say "a range of one port:       tries $(values range.json tries | sort -n | uniq -c | awk '{ print $2 " (" $1 " runs)" }')"
	[[ -z $has_network ]] || say "a range of $low-$high:  it happens with $(met | paste -s -d ' ')"
	say '' "$(printf '%-22s %12s %12s' "of $runs runs" naive fixed)" \
		"$(row 'connected to itself' self_connected true)" \
		"$(row 'noticed it' noticed true)" \
		"$(row 'left TIME-WAIT behind' state_after TIME-WAIT)" \
		"$(row 'the server can start' bind_after_errno null)"
	measured outcome 'connection refused, and some time a connection, to itself'
	measured tries "$mean"
	measured port "in $(many naive.json bind_after_errno EADDRINUSE) of $runs runs not at once (TIME-WAIT, 60 s)"
}

row() {
	printf '%-22s %12s %12s' "$1" "$(many naive.json "$2" "$3")" "$(many fixed.json "$2" "$3")"
}

# Those of the narrow range that it happened with.
met() {
	local port
	for ((port = low; port <= high; port++)); do
		[[ $(field narrow.json self_connected total "\"port\":$port,") != true ]] || echo $port
	done
}

# --- explain ---

explain() {
	say "The client's own end of a connection has a port, too, and the kernel chooses it. When it happens to choose the port that" \
		'the client wants to connect to, the SYN comes back to the socket that sent it. Two ends that send a SYN to each' \
		'other get a connection (simultaneous open, RFC 9293 3.5); here both ends are one socket.' \
		'' \
		'The client believes that its server is back. It hears its own words, and it has the port of its server, which cannot' \
		'start: not now, and not for a minute after the client has closed, because of TIME-WAIT. SO_REUSEADDR at the server' \
		'does not help, because the client has not set it. The next client, however, can have the port after a second.' \
		'' \
		"connect takes ports of the parity of the range's lower end only, so that half of all ports are safe by accident, and" \
		'those outside of the range always. The cure for all of them is a look at the two names: getsockname, getpeername;' \
		'when they are the same, abort (linger 0) as if the connection had been refused.' \
		'' \
		'In the source: client_connect() in tools/selfconnect.c is both clients; sock_connect_result() in common/sock.c is what' \
		'all the other tools do. Read on: ip(7) on ip_local_port_range, socket(7) on SO_LINGER and SO_REUSEADDR.'
}

# --- verdict ---

judge() {
	local file
	for file in naive fixed; do
		claim "$file: $runs of $runs runs meet themselves" "$(many $file.json self_connected true) == $runs"
	done
	claim 'naive: both names are the same, the kernel lists one socket, and the bytes come back' \
		"$twins == $runs && $(many naive.json lines 1) == $runs && $(many naive.json echoed_bytes 13) == $runs"
	claim 'naive: the server cannot start while the connection lives (EADDRINUSE)' \
		"$(many naive.json bind_while_errno EADDRINUSE) == $runs"
	claim 'naive: nor after it has been closed (TIME-WAIT)' \
		"$(many naive.json state_after TIME-WAIT) == $runs && $(many naive.json bind_after_errno EADDRINUSE) == $runs"
	claim 'fixed: noticed each time; the server starts at once, and the next try reaches it' \
		"$(many fixed.json noticed true) == $runs && $(many fixed.json server_reached true) == $runs"
	claim 'the mean of all runs is what was predicted, within a factor of 10' "$mean > $expected / 10 && $mean < 10 * $expected"
	claim 'the other parity: predicted impossible, and it does not happen' \
		"$(many other-parity.json self_connected false) == 1 && $(grep -c '"predicted":"impossible"' other-parity.json) == 1"
	[[ -z $has_range ]] || claim 'a range of one port: 20 of 20, at the first try' \
		"$(many range.json self_connected true) == 20 && $(many range.json tries 1) == 20"
	[[ -z $has_network ]] || claim "a range of $low-$high: it happens with the ports of the parity of $low, and with no other" \
		"$([[ $(met) == "$(seq $low 2 $high)" ]] && echo 1 || echo 0) == 1 && $(many narrow.json self_connected false) == 4"
	claim 'UDP: connected to itself at the first try; no TIME-WAIT, the server can start at once' \
		"$(many udp.json self_connected true) == 1 && $(many udp.json bind_after_errno null) == 1"
}

main "$@"
