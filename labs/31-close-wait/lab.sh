#!/usr/bin/env bash
# 31-close-wait - a server that is told the end, and forgets to close: whose connections are these, and for how long?
#
# tier: any
# summary: Fifty clients come and go, fifty connections stay, and one day the server answers nobody any more.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

visits=50
descriptors=20
fin_timeout=1

main() {
	lab_start "$@"
	need closewait

	beat predict
	say "A server reads until recv(2) returns 0: the client has said everything. It stops looking at this connection, and forgets to" \
		"close(2) it. $visits clients come, one after another; each asks, gets its answer, and closes. Then there is silence."
	predict stay "How many connections does the server's kernel have, when the last client has been gone for some time?"
	predict ours "And the clients' ends of them, which the clients have closed?" 'they stay as well' \
		'they stay for tcp_fin_timeout' 'they are gone at once'
	say "The same server may have $descriptors descriptors. When they are used up, there comes one more client."
	predict next 'What does this client see?' 'connection refused' 'a reset' 'connected, sent, and then nothing'
	say 'Another day the server has something to tell to the clients that it forgot, which are long gone.'
	predict late 'What does its first send(2) return?' 'the number of bytes' 'EPIPE' 'ECONNRESET'

	beat run
	leak
	limit ''
	limit ' --fixed'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# Somebody else counts, too: the kernel's own table has the states as numbers, and 08 is CLOSE-WAIT (proc_pid_net(5)). WHY three times:
# the table is told in pieces, and while others come and go a line may be missing, or stand there twice.
count_states() {
	local table=/proc/self/net/tcp hex
	hex=$(printf %04X "$PORT")
	run "cat $table $table $table | grep -o ':$hex [0-9A-F]*:[0-9A-F]* 08 ' | sort -u | wc -l | tee $1"
}

leak() {
	serve leak-server 'closewait -s -p 0 --json > leak-server.json'
	measure leak "closewait 127.0.0.1 -p $PORT -n $visits --fin-timeout $fin_timeout --watch 20"
	count_states table.txt
	stop leak-server
}

# limit OPTIONS: a server that has few descriptors.
limit() {
	local name=limit$1
	name=${name/ --/-}
	serve "$name-server" "closewait -s -p 0 --descriptors $descriptors$1 --json > $name-server.json"
	measure "$name" "closewait 127.0.0.1 -p $PORT -n $visits$1 --timeout $([[ -n $1 ]] && echo 10 || echo 2)"
	stop "$name-server"
}

# --- observe ---

declare -A answered=() close_wait=() fin_wait=() held=() failures=()

observe() {
	local name
	say "$(printf '%-12s | %14s %12s | %16s | %14s %14s' '' 'were answered' 'then silence' 'accept(2) failed' \
		"their end: C-W" "our end: F-W-2")"
	for name in leak limit limit-fixed; do
		answered[$name]=$(field $name.json answered)
		close_wait[$name]=$(field $name.json close_wait)
		fin_wait[$name]=$(field $name.json fin_wait)
		held[$name]=$(field $name-server.json held)
		failures[$name]=$(field $name-server.json accept_failures)
		say "$(printf '%-12s | %8s of %2s %12s | %16s | %14s %14s' "$name" "${answered[$name]}" $visits \
			"$(field $name.json silent)" "$((failures[$name] > 0)) or more" "${close_wait[$name]}" "${fin_wait[$name]}" |
			sed 's/0 or more/        0/')"
	done
	free=$(field limit-server.json descriptors_free)
	after=$(field leak.json close_wait_after) ours_after=$(field leak.json fin_wait_after)
	gone_s=$(calc "$(field leak.json fin_wait_gone_after_ns) / 1e9" %.2f)
	first=$(field leak-server.json late_sends_ok) second=$(field leak-server.json late_sends_epipe)
	say "leak, $gone_s s after the last client: $after in CLOSE-WAIT, $ours_after in FIN-WAIT-2; the kernel's table has $(<table.txt)" \
		"leak, the server's goodbye to ${held[leak]} clients: $first first sends are well, $second second ones are told EPIPE" \
		"limit: of $descriptors descriptors $free were free before the first client"
	figure leak_close_wait "$after"
	figure fin_wait_gone "$gone_s" s
	figure late_first_ok "$first"
	figure limit_answered "${answered[limit]}"
	measured stay "$after, all in CLOSE-WAIT"
	measured ours "they stay for tcp_fin_timeout: here $fin_timeout s by TCP_LINGER2, and gone after $gone_s s"
	measured next "connected, sent, and then nothing: client $((answered[limit] + 1)) of $visits"
	measured late "the number of bytes, $first times of ${held[leak]}; the second send(2) is told EPIPE"
}

# --- explain ---

explain() {
	say "CLOSE-WAIT is not a state of the network. It is the kernel, waiting for a program: the peer has said everything, we may still" \
		'want to say something, and only we know. No timer ends it. (Keepalive, if the program asked for it, ends the connection once' \
		'the other end is gone; the descriptor stays.) A connection that gets old in CLOSE-WAIT is a bug of the program on this host.' \
		"FIN-WAIT-2 is the other end of it. Its program has closed and nobody can ever read from it: so the kernel waits for the" \
		"server's FIN for tcp_fin_timeout (60 s; $fin_timeout s here, TCP_LINGER2), and then forgets the connection without a word." \
		"limit: nothing is refused. The kernel completes the handshake, acknowledges the question, and keeps both in the backlog" \
		'for a program that cannot accept any more. To the client that looks like a slow server, and to whoever watches the server' \
		'it looks idle.' \
		'goodbye: the kernel takes the bytes, because for all it knows the connection is well. The answer is a reset, and the next call' \
		'is told. (Lab 26-sigpipe: without care it is killed.)' \
		'fixed: recv(2) returned 0, and so close(2). The same few descriptors are enough for any number of clients.' \
		'' \
		'In the source: on_end() in tools/closewait.c.' \
		'Read on: RFC 9293 3.3.2 and 3.6, RFC 1122 4.2.2.13, tcp(7), ss(8).'
}

# --- verdict ---

judge() {
	claim "leak: all $visits were answered, and each left a connection in CLOSE-WAIT behind" \
		"${answered[leak]} == $visits && ${close_wait[leak]} == $visits && ${held[leak]} == $visits"
	claim "leak: the clients' ends go away by themselves, the server's do not" "$ours_after == 0 && $after == $visits"
	claim "leak: they do so after tcp_fin_timeout, and not at once" "$gone_s > 0.7 * $fin_timeout && $gone_s < 15 * $fin_timeout"
	claim "leak: the kernel's table says the same" "$(<table.txt) == $visits"
	claim 'leak: a late send(2) is well, once; the second one is told EPIPE' "$first == $visits && $second == $visits"
	claim 'limit: as many are answered as there were free descriptors, the next one meets silence' \
		"${answered[limit]} == $free && $free < $descriptors && $(field limit.json silent) == 1"
	claim 'limit: nobody refused it: it waits in the backlog of a server that accepts no more' \
		"$(field limit.json not_accepted) == 1 && $(grep -c '"errno":"' limit.json) == 0 && ${failures[limit]} > 0"
	claim "fixed: all $visits are answered with the same $descriptors descriptors, and nothing is left behind" \
		"${answered[limit-fixed]} == $visits && ${close_wait[limit-fixed]} == 0 && ${held[limit-fixed]} == 0 && ${failures[limit-fixed]} == 0"
}

main "$@"
