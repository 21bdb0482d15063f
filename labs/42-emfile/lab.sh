#!/usr/bin/env bash
# 42-emfile - a server without a free descriptor spins, unless it keeps one in reserve.
#
# tier: any
# summary: Out of descriptors: why the accept loop spins and the clients hang, and what a reserve descriptor changes.
# alone: processor time is measured

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

clients=10
room=4
ways=(naive pause fixed)

main() {
	lab_start "$@"
	need fdlimit

	beat predict
	say "A server waits with poll(2) for its listening socket, and accepts whoever comes. Its limit of open descriptors leaves" \
		"room for $room connections. $clients clients connect, and stay for a second: $((clients - room)) more than there is room for."
	predict sixth "What does the ${clients}th client see in that second?" \
		'connect fails: connection refused' 'connect succeeds, then nothing' 'connect succeeds, then EOF'
	predict wakes 'How many times does poll(2) wake the server in that second?'

	beat run
	measure naive "fdlimit -p 0 --clients $clients --room $room"
	measure pause "fdlimit -p 0 --clients $clients --room $room --pause"
	measure fixed "fdlimit -p 0 --clients $clients --room $room --fixed"

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- observe ---

declare -A wakes=() failed=() kicked=() greeted=() turned_away=() waiting=() cpu_ns=() elapsed_ns=()

observe() {
	local way
	say "$(printf '%-6s %9s %15s %8s   %8s %12s %14s' '' wakes 'failed accepts' CPU greeted 'turned away' 'heard nothing')"
	for way in "${ways[@]}"; do
		look "$way"
		say "$(printf '%-6s %9s %15s %6s %%   %8s %12s %14s' "$way" "${wakes[$way]}" "${failed[$way]}" "$(share "$way")" \
			"${greeted[$way]}" "${turned_away[$way]}" "${waiting[$way]}")"
	done
	figure answer_max_ns "$(field fixed.json answer_max_ns)" ns
	measured sixth 'naive: connect succeeds, then nothing; fixed: EOF'
	measured wakes "${wakes[naive]}; with a reserve ${wakes[fixed]}"
}

look() {
	local way=$1 file=$1.json
	wakes[$way]=$(field "$file" wakes)
	failed[$way]=$(field "$file" failed_accepts)
	kicked[$way]=$(field "$file" kicked)
	greeted[$way]=$(field "$file" greeted)
	turned_away[$way]=$(field "$file" turned_away)
	waiting[$way]=$(field "$file" waiting)
	cpu_ns[$way]=$(calc "$(field "$file" cpu_user_ns) + $(field "$file" cpu_sys_ns)" %.0f)
	elapsed_ns[$way]=$(field "$file" elapsed_ns)
	figure "wakes_$way" "${wakes[$way]}"
	figure "failed_accepts_$way" "${failed[$way]}"
	figure "turned_away_$way" "${turned_away[$way]}"
	figure "waiting_$way" "${waiting[$way]}"
	figure "cpu_$way" "$(calc "${cpu_ns[$way]} / ${elapsed_ns[$way]}" %.3g)"
}

share() {
	calc "100 * ${cpu_ns[$1]} / ${elapsed_ns[$1]}" %.1f
}

# --- explain ---

explain() {
	say 'The kernel completes a handshake without asking the program: connect succeeds, and the connection waits in the' \
		"listener's queue. accept4 needs a free descriptor to take it out. It has none, says EMFILE, and the connection stays" \
		'where it is; so the listener is readable, still, and poll(2) returns at once. That is a loop without an end, and the' \
		"$((clients - room)) clients are in the middle of it: connected, and with nobody at the other end." \
		'' \
		'A pause after the error stops the spinning. It does not help the clients: nobody tells them anything. A descriptor in' \
		'reserve does: give it up, accept those who wait, close them at once, take it again. They see EOF and can go elsewhere.' \
		'' \
		'In the source: server_wake() and shed() in tools/fdlimit.c, clients in tools/fdlimit/clients.c, where note_answer() decides' \
		'what a client saw. Read on: accept(2), getrlimit(2); listen(2) on the two queues.'
}

# --- verdict ---

judge() {
	local over=$((clients - room)) way
	for way in "${ways[@]}"; do
		claim "$way: $room clients are served" "${greeted[$way]} == $room"
	done
	claim "naive: the other $over hear nothing, as long as they wait" "${waiting[naive]} == $over && ${turned_away[naive]} == 0"
	claim 'pause: neither do they here' "${waiting[pause]} == $over && ${turned_away[pause]} == 0"
	claim "fixed: the server turns away $over, and that is what $over clients see" \
		"${kicked[fixed]} == $over && ${turned_away[fixed]} == $over && ${waiting[fixed]} == 0"
	claim 'fixed: everybody has an answer before half of the time is over' \
		"$(field fixed.json answer_max_ns) < ${elapsed_ns[fixed]} / 2"
	claim 'naive: 99 of 100 wakes are for nothing' "${failed[naive]} > 0.99 * ${wakes[naive]}"
	claim 'naive: the error is EMFILE' "$([[ $(field naive.json accept_errno) == EMFILE ]] && echo 1 || echo 0) == 1"
	claim 'naive wakes at least 100 times as often as with the pause' "${wakes[naive]} >= 100 * ${wakes[pause]}"
	claim 'and as with the reserve' "${wakes[naive]} >= 100 * ${wakes[fixed]}"
	claim 'naive takes at least 10 times the processor time of either' \
		"${cpu_ns[naive]} >= 10 * ${cpu_ns[pause]} && ${cpu_ns[naive]} >= 10 * ${cpu_ns[fixed]}"
}

main "$@"
