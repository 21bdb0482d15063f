#!/usr/bin/env bash
# 41-lt-et - what level-triggered and edge-triggered epoll tell, and the mistake that goes with each.
#
# tier: any
# summary: Level and edge: bytes that nobody is told of, clients that nobody lets in, and a loop that never sleeps.
# alone: processor time is measured

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

main() {
	lab_start "$@"
	need edge

	beat predict
	say 'epoll(7) watches a connection, edge-triggered (EPOLLET). 100000 bytes arrive at once. For each wake-up the program' \
		'calls recv(2) once, with a buffer of 1024 bytes, and goes back to epoll_wait(2).'
	predict got 'How many of the 100000 bytes has it read when nothing happens any more?'
	say 'A server has the same loop, and answers a request when it is complete. 20 clients send one of 3000 bytes each.'
	predict answered 'How many of the 20 get an answer?'
	say 'Another program watches level-triggered, for EPOLLIN and EPOLLOUT. It has sent its answer, and nobody says anything.'
	predict idle 'How many times does epoll_wait(2) return in 0.3 s?'

	beat run
	local experiment
	for experiment in stuck request accept; do
		measure $experiment-level "edge $experiment --trigger level"
		measure $experiment-edge "edge $experiment"
		measure $experiment-fixed "edge $experiment --fixed"
	done
	measure epollout-level 'edge epollout --time 0.3'
	measure epollout-edge 'edge epollout --time 0.3 --trigger edge'
	measure epollout-fixed 'edge epollout --time 0.3 --fixed'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- observe ---

# of RUN KEY: what that run counted.
of() {
	field "$1.json" "$2"
}

observe() {
	row '' level edge 'edge, fixed'
	rows stuck sent_bytes 'stuck: bytes arrived' wakes '  wake-ups' reads '  reads' got_bytes '  bytes read' \
		left_bytes '  bytes left in the socket' more_wakes '  wake-ups for one byte more' \
		more_got_bytes '  bytes read then' more_left_bytes '  bytes left in the socket'
	rows request requests 'request: requests arrived' answered '  answered' wakes '  wake-ups' reads '  reads'
	rows accept clients 'accept: clients connected' wakes '  wake-ups' accepted '  accepted' in_backlog \
		'  left in the backlog' more_accepted '  accepted when one more came' more_in_backlog '  left in the backlog'
	row '' level edge 'on demand'
	rows epollout received_bytes 'epollout: bytes sent, and received' busy_wakes '  wake-ups to send them' idle_wakes \
		'  wake-ups when idle'
	row '  processor when idle' "$(processor epollout-level)" "$(processor epollout-edge)" "$(processor epollout-fixed)"
	figure got_bytes "$(of stuck-edge got_bytes)" bytes
	figure answered "$(of request-edge answered)" 1
	figure idle_wakes "$(of epollout-level idle_wakes)" 1
	measured got "$(of stuck-edge got_bytes)"
	measured answered "$(of request-edge answered)"
	measured idle "$(of epollout-level idle_wakes)"
}

# rows EXPERIMENT [KEY TEXT]...: a line for each, of its three runs.
rows() {
	local experiment=$1
	shift
	while [[ $# -gt 0 ]]; do
		row "$2" "$(of "$experiment-level" "$1")" "$(of "$experiment-edge" "$1")" "$(of "$experiment-fixed" "$1")"
		shift 2
	done
}

row() {
	say "$(printf '%-38s %12s %12s %14s' "$@")"
}

processor() {
	echo "$(calc "100 * $(of "$1" idle_cpu_ns) / $(of "$1" idle_ns)" %.0f) %"
}

# --- explain ---

explain() {
	say 'Level-triggered, epoll_wait answers "is there something?". What one read leaves is there the next time. That is' \
		'why the code of the first column works, and it is the code that poll(2) wants as well.' \
		'Edge-triggered, it answers "has something come since?". What was left is no news: 98976 bytes lie in the socket,' \
		'the program sleeps, and when one byte more comes it reads 1024 of the old ones. In stuck the peer at least goes on' \
		'sending; in request it waits for the answer, the server waits for the peer, and both are right. In accept a' \
		'connection is what a byte is elsewhere: those that came together wait in the backlog for later ones.' \
		'The rule of the edge: non-blocking, and until EAGAIN. It costs one call more for each wake-up.' \
		'The level has its own trap. Being writable is the normal state of a socket, so EPOLLOUT must not stay on when there' \
		'is nothing to write: the answer was sent long ago, and the loop fills a processor. Ask for it when send(2) said' \
		'EAGAIN, and take it back when all is sent. (With the edge it may stay on: it fires when the buffer drains.)' \
		'' \
		'In the source: on_readable(), accept_all() and send_more() in tools/edge.c, with PITFALL at the very line.' \
		'Read on: epoll(7), "Level-triggered and edge-triggered" and the last of its questions.'
}

# --- verdict ---

judge() {
	local run whole=1 bytes=1
	for run in stuck-level stuck-edge stuck-fixed; do
		whole+=" && $(of $run got_bytes) + $(of $run left_bytes) == 100000"
	done
	claim 'stuck: what was read and what is left are 100000 bytes, in each run' "$whole"
	claim 'level, one read for each wake-up: 98 wake-ups, 98 reads, nothing left' \
		"$(of stuck-level wakes) == 98 && $(of stuck-level reads) == 98 && $(of stuck-level left_bytes) == 0"
	claim 'edge, one read for each wake-up: 1 wake-up, 1024 bytes read, 98976 left' \
		"$(of stuck-edge wakes) == 1 && $(of stuck-edge got_bytes) == 1024 && $(of stuck-edge left_bytes) == 98976"
	claim 'one byte more wakes it once, for 1024 of the old bytes' \
		"$(of stuck-edge more_wakes) == 1 && $(of stuck-edge more_got_bytes) == 1024"
	claim 'edge, until EAGAIN: 1 wake-up, 99 reads, nothing left' \
		"$(of stuck-fixed wakes) == 1 && $(of stuck-fixed reads) == 99 && $(of stuck-fixed left_bytes) == 0"
	claim 'request: 20 answered by level, none by edge, 20 by edge until EAGAIN' \
		"$(of request-level answered) == 20 && $(of request-edge answered) == 0 && $(of request-fixed answered) == 20"
	claim 'accept: 10 let in by level, 1 by edge, 10 by edge until EAGAIN' \
		"$(of accept-level accepted) == 10 && $(of accept-edge accepted) == 1 && $(of accept-fixed accepted) == 10"
	claim 'the other 9 stay in the backlog, and 9 are there after one more came' \
		"$(of accept-edge in_backlog) == 9 && $(of accept-edge more_in_backlog) == 9"
	for run in epollout-level epollout-edge epollout-fixed; do
		bytes+=" && $(of $run received_bytes) == $(of $run sent_bytes) && $(of $run sent_bytes) == 1048576"
	done
	claim 'epollout: all of the answer arrived, in each run' "$bytes"
	claim 'idle with EPOLLOUT on: more than 1000 wake-ups by level' "$(of epollout-level idle_wakes) > 1000"
	claim 'at most 2 by edge' "$(of epollout-edge idle_wakes) <= 2"
	claim 'on demand: it woke while there was something to send, and never when idle' \
		"$(of epollout-fixed busy_wakes) > 0 && $(of epollout-fixed idle_wakes) == 0"
}

main "$@"
