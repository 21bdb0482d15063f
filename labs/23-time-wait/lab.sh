#!/usr/bin/env bash
# 23-time-wait - what is left of a connection that nobody has open any more, and for whom that is a nuisance.
#
# tier: ns
# summary: Who closes first pays with a port for a minute: a server that cannot start again, a client that runs out of ports.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

ports=100
visits=1000

main() {
	lab_start "$@"
	need timewait

	beat predict
	say 'A server serves one client, closes the connection, and ends. The client has closed, too: no program has anything open.' \
		'Right after that the server is started again, on the same port.'
	predict rebind 'What does bind(2) say, if nothing was done about it?' 'well' 'EADDRINUSE, until the client has ended, too' \
		'EADDRINUSE, for a minute'
	predict reuse 'So the program is changed: it sets SO_REUSEADDR now, and is started within that minute. What does bind(2) say?' \
		'well' 'EADDRINUSE'
	say "Now a client: for each of $visits questions it connects to the same server, asks, gets the answer, and closes. Its" \
		"network gives it $ports ports to connect from."
	predict exhaust 'How many of its questions are answered?'
	predict later 'The kernel may use such a port again after a second (net.ipv4.tcp_tw_reuse). How many more, after 1.5 s?'
	predict server "The same $visits questions, but now it is the server that closes first. How many are answered?"

	beat run
	# WHY another range for each part: what one leaves in TIME-WAIT must not be among the next one's ports.
	narrow 39000
	run 'timewait rebind | tee rebind.txt'
	measure rebind 'timewait rebind'
	measure rebind-fixed 'timewait rebind --fixed'
	local reuse
	narrow 40000
	for reuse in 0 1; do
		run "echo $reuse > /proc/sys/net/ipv4/tcp_tw_reuse"
		measure reuse-$reuse "timewait exhaust --ports 0 --visits $visits --wait 1.5"
	done
	measure fixed "timewait exhaust --ports 0 --visits $visits --fixed"
	few
	narrow 41000
	measure bind-fixed 'timewait bind --ports 0 --fixed'
	narrow 42000
	measure bind 'timewait bind --ports 0'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# narrow FIRST: the client's ports, on a network of our own. WHY each time others: what was in use before is in TIME-WAIT.
narrow() {
	run "echo $1 $(($1 + ports - 1)) > /proc/sys/net/ipv4/ip_local_port_range"
}

# The kernel remembers only so many. What it forgets, it forgets at once.
few() {
	buckets=''
	if [[ ! -w /proc/sys/net/ipv4/tcp_max_tw_buckets ]]; then
		say 'left out: how many the kernel remembers, because net.ipv4.tcp_max_tw_buckets cannot be set here'
		return
	fi
	local before
	before=$(cat /proc/sys/net/ipv4/tcp_max_tw_buckets)
	buckets=10
	run "echo $buckets > /proc/sys/net/ipv4/tcp_max_tw_buckets"
	try "timewait exhaust --ports 0 --visits $visits --json > few.json"
	run "echo $before > /proc/sys/net/ipv4/tcp_max_tw_buckets"
}

# --- observe ---

# of FILE NAME KEY: of that trial.
of() {
	field "$1.json" "$3" trial "\"name\":\"$2\""
}

# row TEXT FILE NAME
row() {
	local succeeded errno
	succeeded=$(of "$2" "$3" succeeded)
	errno=$(of "$2" "$3" errno)
	say "$(printf '%-52s %8s of %4s  %-14s %9s %9s' "$1" "$succeeded" "$(of "$2" "$3" wanted)" "${errno/null/}" \
		"$(of "$2" "$3" time_wait_client)" "$(of "$2" "$3" time_wait_server)")"
}

observe() {
	say "$(printf '%-52s %16s  %-14s %9s %9s' '' 'done' 'and then' 'at client' 'at server')"
	row 'rebind: without SO_REUSEADDR' rebind none
	row '        with it when it starts again' rebind second
	row '        with it both times' rebind-fixed both
	row '        without it, but the client closed first' rebind-fixed client
	row '        with it both times; the first still listens' rebind-fixed alive
	row 'exhaust: the client closes' reuse-0 client
	row '         at once, to another server' reuse-0 elsewhere
	row '         1.5 s later, tcp_tw_reuse 0' reuse-0 later
	row '         1.5 s later, tcp_tw_reuse 1' reuse-1 later
	row '         one connection for all' fixed once
	row '         the server closes' fixed server
	row '         the client resets' fixed reset
	[[ -z $buckets ]] || row "         the client closes, tcp_max_tw_buckets $buckets" few client
	row 'bind: bind, then connect, to two servers in turn' bind bind
	row '      with IP_BIND_ADDRESS_NO_PORT' bind-fixed later
	row '      without bind' bind-fixed connect
	figure exhausted_after "$(of reuse-0 client succeeded)"
	figure later_0 "$(of reuse-0 later succeeded)"
	figure later_1 "$(of reuse-1 later succeeded)"
	figure server_closes "$(of fixed server succeeded)"
	figure bind_first "$(of bind bind succeeded)"
	measured rebind "$(of rebind none errno), for 60 s"
	measured reuse "$(of rebind second errno); only when the first one had set it, too: well"
	measured exhaust "$(of reuse-0 client succeeded), then $(of reuse-0 client errno)"
	measured later "$(of reuse-1 later succeeded); with tcp_tw_reuse 0: $(of reuse-0 later succeeded)"
	measured server "$(of fixed server succeeded); and all that is left lies at the server"
}

# --- explain ---

explain() {
	say 'Who closes first sends the last acknowledgement. If that gets lost, the other end sends its FIN once more, and somebody' \
		'should know what it means; and no late segment may fall into a new connection between the same two ports. So that end' \
		'keeps the two addresses and ports for a minute, in TIME-WAIT. No program has it open, none can close it.' \
		'' \
		'rebind: it lies at the port of the server, and bind(2) wants that port for itself alone. SO_REUSEADDR says that sharing is' \
		'fine; but both sides are asked, and the connection has inherited its "no" from the first listener. So the line belongs' \
		'into a server from its first day. Against a server that still listens it does nothing.' \
		"exhaust: a connection is four numbers. The server, its port and our address are given: what is left is our port, $ports times." \
		'Another server, another port of it or another address of ours has all ports again. With a connection for each question' \
		'N ports are N questions a minute: with the 28232 that Linux gives, 470 a second. tcp_tw_reuse lets connect(2) take a' \
		'port after one second, if timestamps tell the old connection from the new one (RFC 6191, RFC 7323).' \
		'The cure is to ask more than once over a connection. If the server closes first, the TIME-WAIT lies with it, and a SYN that' \
		'is clearly newer may take its place (RFC 9293 3.10.7.4): no port is missing. A reset leaves nothing, and takes with it' \
		'whatever was not delivered yet.' \
		'bind: bind(2) with port 0 must choose before it knows where the connection goes, and so needs a port that is free for' \
		'everything. With IP_BIND_ADDRESS_NO_PORT only the address is bound, and connect(2) chooses.' \
		'' \
		'In the source: start_server(), start_client() and end() in tools/timewait.c, with PITFALL at the very lines.' \
		'Read on: RFC 9293 3.6.1, RFC 6191, socket(7) SO_REUSEADDR, ip(7) IP_BIND_ADDRESS_NO_PORT.'
}

# --- verdict ---

# is FILE NAME DONE ERRNO|none: a condition for claim.
is() {
	local errno
	errno=$(of "$1" "$2" errno)
	echo "$(of "$1" "$2" succeeded) == $3 && \"${errno/null/none}\" == \"$4\""
}

# left FILE NAME CLIENT SERVER: in TIME-WAIT.
left() {
	echo "$(of "$1" "$2" time_wait_client) == $3 && $(of "$1" "$2" time_wait_server) == $4"
}

judge() {
	claim 'rebind: the server closed first, it has the TIME-WAIT, and cannot start: EADDRINUSE' \
		"$(is rebind none 0 EADDRINUSE) && $(left rebind none 0 1)"
	claim 'rebind: SO_REUSEADDR only when it starts again: EADDRINUSE' "$(is rebind second 0 EADDRINUSE)"
	claim 'rebind: SO_REUSEADDR both times: it starts, beside the TIME-WAIT' \
		"$(is rebind-fixed both 1 none) && $(left rebind-fixed both 0 1)"
	claim 'rebind: the client closed first, and has the TIME-WAIT: the server starts' \
		"$(is rebind-fixed client 1 none) && $(left rebind-fixed client 1 0)"
	claim 'rebind: SO_REUSEADDR does not take a port from a server that listens' "$(is rebind-fixed alive 0 EADDRINUSE)"
	claim "exhaust: $ports ports are exactly $ports connections, then EADDRNOTAVAIL" \
		"$(is reuse-0 client $ports EADDRNOTAVAIL) && $(is reuse-1 client $ports EADDRNOTAVAIL) && $(left reuse-0 client $ports 0)"
	claim "exhaust: to another server there are $ports more" "$(is reuse-0 elsewhere $ports EADDRNOTAVAIL)"
	claim "exhaust: after 1.5 s none with tcp_tw_reuse 0, $ports with 1" \
		"$(is reuse-0 later 0 EADDRNOTAVAIL) && $(is reuse-1 later $ports EADDRNOTAVAIL)"
	claim "exhaust: one connection for all $visits questions, and one TIME-WAIT" \
		"$(is fixed once $visits none) && $(left fixed once 1 0)"
	claim "exhaust: the server closes: all $visits, and nothing left at the client" \
		"$(is fixed server $visits none) && $(of fixed server time_wait_client) == 0"
	claim "exhaust: the client resets: all $visits, and nothing left anywhere" \
		"$(is fixed reset $visits none) && $(left fixed reset 0 0)"
	[[ -z $buckets ]] || claim "exhaust: the kernel remembers $buckets, and so more than $ports are done" "$(of few client succeeded) > $ports"
	claim "bind first: $ports ports are $ports connections to both servers together, then EADDRINUSE" \
		"$(is bind bind $ports EADDRINUSE)"
	claim "IP_BIND_ADDRESS_NO_PORT, and without bind: $ports to each of the two" \
		"$(is bind-fixed later $((2 * ports)) none) && $(is bind-fixed connect $((2 * ports)) none)"
}

main "$@"
