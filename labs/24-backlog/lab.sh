#!/usr/bin/env bash
# 24-backlog - connections that nobody has accepted, and those for which there was no room.
#
# tier: ns
# summary: The queue in front of accept(2): B + 1 are let in and acknowledged, the others wait for seconds without a word.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

clients=10
burst=200
flooded=''
path='--rtt 200ms' # long enough for a burst of SYNs, also on a busy machine, before the first ACK comes back

main() {
	lab_start "$@"
	need backlog

	beat predict
	say 'A server calls listen(fd, 4), and then it is busy: it never comes to call accept(2).' \
		"$clients clients connect at the same moment, and each that is connected sends 5 bytes."
	predict connected 'How many of them are connected at once?'
	predict others 'What becomes of the others?' 'connection refused' 'reset' 'they hear nothing' \
		'they are connected, but cannot send'
	predict acked 'And of the bytes that were sent to a program which does not call accept(2): what becomes of them?' \
		'they are acknowledged' 'they are dropped' 'send(2) blocks'
	say 'Now the server and its clients are 100 ms apart. 3 clients are connected and wait for accept(2), then 5 more come at' \
		'the same moment.'
	predict believe 'How many of the 8 clients are connected, as they see it?'

	beat run
	# What is asked, and how often: this network is ours.
	run 'echo 0 > /proc/sys/net/ipv4/tcp_abort_on_overflow; echo 4096 > /proc/sys/net/core/somaxconn'
	queue_of 0 0.2
	queue_of 1 0.2
	queue_of 4 1.5
	late
	abort_on_loopback
	fixed
	limited
	if testbed "$path"; then
		believers 1
		believers 0
		floods
	fi

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# meet NAME SERVER-OPTIONS CLIENT-OPTIONS: a server, its clients, and both reports. Here or in the testbed.
meet() {
	local there='' here='' host=127.0.0.1
	[[ -z $TESTBED ]] || there='on b ' here='on a ' host='b -4'
	serve "$1-server" "${there}backlog -s -p 0${TESTBED:+ --bind 0.0.0.0} $2 --json > $1-server.json"
	measure "$1" "${here}backlog $host -p $PORT $3"
	stop "$1-server"
}

# queue_of BACKLOG SECONDS
queue_of() {
	meet "queue-$1" "--backlog $1" "-n $clients --time $2"
}

# It accepts, but after the SYNs of half of the clients were dropped once.
late() {
	meet late '--backlog 4 --busy 0.5' "-n $clients --time 10"
}

abort_on_loopback() {
	run 'echo 1 > /proc/sys/net/ipv4/tcp_abort_on_overflow'
	meet abort-here '--backlog 4' "-n $clients --time 0.3"
	run 'echo 0 > /proc/sys/net/ipv4/tcp_abort_on_overflow'
}

fixed() {
	meet fixed '--fixed' "-n $burst --fixed --time 10"
}

# What was asked for, and what the kernel made of it.
limited() {
	run 'echo 7 > /proc/sys/net/core/somaxconn'
	meet limited '--backlog 1000' "-n $clients --time 0.3"
}

# believers ABORT: the handshakes of the last five are under way together.
believers() {
	run "echo $1 | on b tee /proc/sys/net/ipv4/tcp_abort_on_overflow > /dev/null"
	meet "link-abort-$1" '--backlog 4' '-n 8 --first 3 --time 1.2'
}

floods() {
	if [[ ! -e /proc/sys/net/ipv4/tcp_syncookies ]]; then
		say 'left out: SYN cookies, because this kernel has none'
		return
	fi
	flooded=yes
	flood 1
	flood 0
}

# flood COOKIES: more SYNs at once than the SYN queue has room for.
flood() {
	run "echo $1 | on b tee /proc/sys/net/ipv4/tcp_syncookies > /dev/null"
	meet "cookies-$1" '--backlog 1' '-n 8 --time 0.9'
}

# --- observe ---

names=(queue-0 queue-1 queue-4 late abort-here fixed limited)
linked=(link-abort-0 link-abort-1)

# row NAME
row() {
	say "$(printf '%-14s %5s %5s %7s %10s %7s %5s %6s %9s %8s | %7s %8s %9s' "$1" "$(field "$1-server.json" limit)" \
		"$(of "$1" clients)" "$(of "$1" connected_at_once)" "$(of "$1" connected_later)" "$(of "$1" syn_sent)" "$(of "$1" failed)" \
		"$(of "$1" acknowledged)" "$(of "$1" unacknowledged)" "$(of "$1" answered)" "$(there "$1" waiting_max)" \
		"$(there "$1" syn_received)" "$(there "$1" drops)")"
}

of() {
	field "$1.json" "$2"
}

there() {
	field "$1-server.json" "$2"
}

observe() {
	local name
	say "$(printf '%-14s %5s %5s %25s %12s %17s %8s | %7s %8s' '' '' '' '---- connected ----' '' '--- request ---' '' 'server:' 'SYN-')" \
		"$(printf '%-14s %5s %5s %7s %10s %7s %5s %6s %9s %8s | %7s %8s %9s' '' limit tried 'at once' later never reset acked \
			'not acked' answered waiting RECEIVED dropped)"
	for name in "${names[@]}"; do
		row "$name"
	done
	[[ -z $TESTBED ]] || for name in "${linked[@]}"; do
		row "$name"
	done
	[[ -z $flooded ]] || for name in cookies-1 cookies-0; do
		row "$name"
	done
	say '' "queue-4: $(of queue-4 syns_max) SYNs for one connection within 1.5 s" \
		"late:    the server accepts after 500 ms, the last client is connected after $(waited late) ms" \
		"fixed:   asked for $(field fixed-server.json backlog start), and got $(field fixed-server.json limit start);" \
		"         at most $(there fixed waiting_max) of $burst waited at the same time" \
		"limited: asked for 1000, and got $(field limited-server.json limit start)"
	figure backlog_4_connected "$(of queue-4 connected_at_once)"
	figure backlog_4_acknowledged "$(of queue-4 acknowledged)"
	figure late_ms "$(waited late)" ms
	measured connected "$(of queue-4 connected_at_once)"
	measured others "they hear nothing; $(of queue-4 syns_max) SYNs each, and no answer"
	measured acked "$(of queue-4 acknowledged) of $(of queue-4 connected_at_once) requests acknowledged, $(of queue-4 answered) answered"
	measured believe '(left out)'
	[[ -z $TESTBED ]] || measured believe "$(of link-abort-0 connected_at_once); the server has $(there link-abort-0 established)"
}

# waited NAME: of those that were connected later, the last one, ms.
waited() {
	sed -n 's/.*"record":"connection".*"connected_ns":\([0-9]*\).*/\1/p' "$1.json" | sort -n | tail -n 1 | awk '{ printf "%.0f", $1 / 1e6 }'
}

# --- explain ---

explain() {
	say 'The handshake is made by the kernel, and the result waits in a queue for accept(2). listen(fd, B) says how long that queue' \
		'may be; Linux lets one more in, because it asks whether there are more than B before it adds one. Such a connection stands:' \
		'the client is connected, and what it sends is acknowledged and kept. That says nothing about a program.' \
		'When the queue is full a SYN is dropped, as if the network had lost it: the client sends another one after a second, and' \
		'then ever later. That is on purpose: a full queue is a matter of moments, a refusal would be for good. So an overflow' \
		'looks like nothing at all at the server, and like a second or more at some of its clients (late).' \
		"fixed: accept(2) in time, and room for a burst: however quick a program is, $burst SYNs can come before it gets to run. The" \
		'kernel cuts what listen(2) was given to net.core.somaxconn, and does not say so; ss -ltn does (Send-Q).'
	[[ -z $TESTBED ]] || say '' \
		'link-abort-0: when the five SYNs came there was room, so all were answered, and each client is connected at its end of the' \
		'line. When their ACKs came two found room. Three were dropped, and the server goes on as if the handshake were not' \
		'complete: SYN-RECEIVED. Those three send their request again and again, and nobody tells them why. With' \
		'tcp_abort_on_overflow somebody does, by a reset. On loopback there is no such thing: each handshake is complete before the' \
		'next SYN comes.' \
		'cookies-1: the SYN queue has a limit too, the same B. When it is full a SYN is answered all the same, with a number from which' \
		'everything can be computed again when the ACK brings it back; nothing is kept meanwhile (a SYN cookie, against floods). But' \
		'a cookie makes no room in front of accept(2): 8 clients are connected, 6 of them with nobody. cookies-0: without them' \
		'those 6 SYNs are dropped.'
	say '' 'In the source: open_server() and is_busy() in tools/backlog.c, with PITFALL at the very lines.' \
		'Read on: listen(2), tcp(7) tcp_abort_on_overflow and tcp_syncookies, RFC 9293 3.8.1, RFC 4987.'
}

# --- verdict ---

judge() {
	local b n
	for b in 0 1 4; do
		n=$((b + 1))
		claim "backlog $b: $n of $clients are connected at once, and $n wait for accept" \
			"$(of queue-$b connected_at_once) == $n && $(there queue-$b waiting_max) == $n && $(there queue-$b limit) == $b"
		claim "backlog $b: the other $((clients - n)) are neither connected nor refused" \
			"$(of queue-$b syn_sent) == $((clients - n)) && $(of queue-$b failed) == 0"
		claim "backlog $b: what was sent to nobody is acknowledged, and not answered" \
			"$(of queue-$b acknowledged) == $n && $(of queue-$b answered) == 0"
		claim "backlog $b: at least $((clients - n)) SYNs dropped; the socket's own count and TcpExtListenOverflows agree" \
			"$(there queue-$b drops) >= $((clients - n)) && $(there queue-$b drops) == $(there queue-$b listen_overflows)"
	done
	claim 'backlog 4: their SYNs are sent again' "$(of queue-4 syns_max) >= 2"
	claim 'late: who was dropped is connected in the end, by another SYN, and answered; but not before that SYN' \
		"$(of late connected_at_once) == 5 && $(of late connected_later) == 5 && $(of late answered) == $clients && $(waited late) >= 900"
	claim 'on loopback tcp_abort_on_overflow changes nothing' \
		"$(of abort-here connected_at_once) == 5 && $(of abort-here failed) == 0 && $(of abort-here syn_sent) == 5"
	claim "fixed: all $burst are connected by their first SYN and answered, and nothing was dropped" \
		"$(of fixed connected_at_once) == $burst && $(of fixed answered) == $burst && $(there fixed drops) == 0"
	claim 'somaxconn 7: a backlog of 1000 is 7, and so 8 are connected' \
		"$(there limited limit) == 7 && $(of limited connected_at_once) == 8"
	[[ -z $TESTBED ]] || judge_link
	[[ -z $flooded ]] || judge_flood
}

judge_link() {
	claim '100 ms apart: all 8 clients are connected by their first SYN, but the server has 5 of them; 3 are SYN-RECEIVED' \
		"$(of link-abort-0 connected_at_once) == 8 && $(there link-abort-0 established) == 5 && $(there link-abort-0 syn_received) == 3"
	claim '100 ms apart: 5 requests are acknowledged, 3 are not; nobody is told' \
		"$(of link-abort-0 acknowledged) == 5 && $(of link-abort-0 unacknowledged) == 3 && $(of link-abort-0 failed) == 0"
	claim 'tcp_abort_on_overflow: exactly those 3 are reset' \
		"$(of link-abort-1 failed) == 3 && $(of link-abort-1 acknowledged) == 5 && $(there link-abort-1 syn_received) == 0"
}

judge_flood() {
	claim 'backlog 1, SYN cookies: 8 clients are connected, 2 of them with the server; 6 requests are acknowledged by nobody' \
		"$(of cookies-1 connected_at_once) == 8 && $(there cookies-1 established) == 2 && $(of cookies-1 unacknowledged) == 6"
	# WHY not all 6: a SYN that is late, on a busy machine, may find room in the SYN queue again.
	claim 'backlog 1, SYN cookies: those 6 are cookies, and nothing else is known of them' \
		"$(there cookies-1 syncookies_sent) >= 3 && $(there cookies-1 syncookies_sent) + $(there cookies-1 syn_received) >= 6"
	claim 'backlog 1, no cookies: the server has 2 again, and SYNs are dropped that were answered before' \
		"$(there cookies-0 established) == 2 && $(of cookies-0 syn_sent) >= 3 && $(there cookies-0 syncookies_sent) == 0 &&
		$(of cookies-0 connected_at_once) + $(of cookies-0 syn_sent) == 8"
}

main "$@"
