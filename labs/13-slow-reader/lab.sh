#!/usr/bin/env bash
# 13-slow-reader - what one client does not read, a server without a mark keeps in its memory.
#
# tier: any
# summary: One stream, three clients, one of them stops reading: unbounded queues against high-water marks.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

seconds=1.2
length=65536
header=16
high=2097152
others=(a b)

main() {
	lab_start "$@"
	need hub

	beat predict
	say 'A hub sends one stream, 40 MB/s, to each of three clients. After a megabyte one of them stops reading, as a suspended' \
		'program does; it does not close anything. The hub queues for each client what the kernel does not take.'
	predict memory "How many MB does the hub's memory grow in the remaining $seconds s?"
	predict others 'Then the queue of each client gets a mark of 2 MiB. What does the mark cost the two that read on?' \
		'nothing' 'some blocks' 'it depends on what the hub does at the mark'

	beat run
	play naive '' ''
	play drop '--fixed --policy drop' '--stop-for 0.6'
	play kick '--fixed --policy kick' ''
	play wait '--fixed --policy wait' ''

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# play NAME HUB_OPTIONS OPTIONS_OF_THE_ONE_THAT_STOPS: a hub and its three clients, from the beginning to the end.
play() {
	local name=$1 to
	serve "$name" "hub -s -p 0 --clients 3 --time $seconds -i 0.2 --high 2M${2:+ $2} --json > $name.json"
	to="hub 127.0.0.1 -p $PORT --json"
	run "$to > $name-a.json & $to > $name-b.json & $to --stop-after 1M${3:+ $3} > $name-stopped.json; wait"
	join "$name"
}

# --- observe ---

declare -A blocks=() growth=() dropped=()

observe() {
	local name
	for name in naive drop kick wait; do
		blocks[$name]=$(field $name.json blocks)
		growth[$name]=$(field $name.json rss_growth_bytes)
		dropped[$name]=$(field $name.json dropped_blocks)
		figure "blocks_$name" "${blocks[$name]}"
		figure "memory_growth_$name" "${growth[$name]}" B
		figure "queued_peak_$name" "$(field $name.json queued_peak_bytes)" B
	done
	say 'queued in the hub, MiB, each 0.2 s'
	for name in naive drop kick wait; do
		say "$(printf '%8s  %s' $name "$(queued $name)")"
	done
	say '' "$(printf '%8s %8s %12s %14s %14s %14s' '' blocks memory 'client a' 'client b' 'stopped one')"
	for name in naive drop kick wait; do
		say "$(printf '%8s %8s %+8.1f MiB %14s %14s %14s' $name "${blocks[$name]}" "$(MiB "${growth[$name]}")" \
			"$(fate $name-a)" "$(fate $name-b)" "$(fate $name-stopped)")"
	done
	measured memory "$(calc "${growth[naive]} / 1e6" %.0f) MB; with the mark $(calc "${growth[drop]} / 1e6" %.1f) MB"
	measured others 'it depends: nothing with drop and kick; with wait they wait, too'
}

queued() {
	sed -n 's/.*"record":"interval".*"queued_bytes":\([0-9]*\).*/\1/p' "$1.json" | awk '{ printf "%7.1f", $1 / 1048576 }'
}

MiB() {
	calc "$1 / 1048576" %.1f
}

# How a client fared: "914 of 914", or how its connection ended.
fate() {
	local end
	end=$(field "$1.json" end)
	if [[ $end == complete ]]; then
		echo "$(field "$1.json" blocks) of ${blocks[${1%-*}]}"
	else
		echo "$end"
	fi
}

# --- explain ---

explain() {
	local taken
	taken=$(MiB "$(field naive.json bytes client '"end":"stuck"')")
	say "The kernel's buffers at both ends took $taken MiB for the one that stopped. Then the receive window was closed, the send" \
		'buffer full, and send said EAGAIN: that is backpressure, and it is all that the hub is told. What it does with it is its' \
		'own decision. "Keep it until there is room" has no bound: memory = rate x time, for each client that stops.' \
		'' \
		'A mark bounds it, and then something has to give. drop: blocks are left out for this client; it reads on later, with a' \
		'gap. kick: it is disconnected, and can come back and begin anew. wait: the source waits for the slowest, which is right' \
		'for one sender and one receiver, and here makes one stopped client stop them all.' \
		'' \
		'In the source: offer() in tools/hub.c has the mistake and the check, too_slow() and is_held_up() the three remedies,' \
		'stop_reading() in tools/hub/client.c is the client. Read on: RFC 9293 3.8.6 (the window), send(2) EAGAIN, tcp(7) tcp_wmem.'
}

# --- verdict ---

judge() {
	local name other sent queued
	sent=$(field naive.json bytes client '"end":"stuck"')
	queued=$(field naive.json queued_bytes client '"end":"stuck"')
	for name in naive drop kick; do
		for other in "${others[@]}"; do
			claim "$name: client $other has every block" "$(has_all "$name" "$other")"
		done
	done
	claim 'naive: the memory grows by at least half of the stream' "${growth[naive]} >= 0.5 * ${blocks[naive]} * $length"
	claim 'naive: what was sent and what is queued for the stopped one is, to the byte, the whole stream' \
		"$sent + $queued == ${blocks[naive]} * ($length + $header) + $header"
	for name in drop kick wait; do
		claim "$name: no queue is ever longer than the mark (and the last header)" \
			"$(field $name.json queued_peak_bytes) <= $high + $header"
		claim "$name: the memory grows by less than a third of that" "${growth[$name]} < ${growth[naive]} / 3"
	done
	claim 'drop: blocks were left out for one client' "${dropped[drop]} > 0"
	claim 'drop: it counts as many missing as the hub left out' "$(field drop-stopped.json lost) == ${dropped[drop]}"
	claim 'drop: and all others are right, to the byte' \
		"$(field drop-stopped.json bad) == 0 && $(field drop-stopped.json blocks) + ${dropped[drop]} == ${blocks[drop]}"
	claim 'kick: one client was disconnected' "$(field kick.json kicked) == 1 && $(is_end kick-stopped reset)"
	claim 'wait: the others got less than half of what they got with drop' "${blocks[wait]} < 0.5 * ${blocks[drop]}"
}

# A condition for claim: all blocks of the run, none wrong, and the last one seen.
has_all() {
	local file=$1-$2.json
	echo "$(field "$file" blocks) == ${blocks[$1]} && $(field "$file" lost) == 0 &&" \
		"$(field "$file" bad) == 0 && $(is_end "$1-$2" complete)"
}

is_end() {
	if [[ $(field "$1.json" end) == "$2" ]]; then
		echo '1 == 1'
	else
		echo '0 == 1'
	fi
}

main "$@"
