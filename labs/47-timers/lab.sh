#!/usr/bin/env bash
# 47-timers - a heap keeps timers in order and pays for it by their number; a wheel does not, and promises less.
#
# tier: any
# summary: A million timeouts: what a heap and a wheel cost, what each promises, and how to hardly need either.
# alone: calls of some nanoseconds are timed

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

few=100 some=10000 many=1000000 # timers
conns=50000

main() {
	lab_start "$@"
	need timers

	beat predict
	say 'A server has a timer for each connection, and moves it with each message: "close it when it was silent for a minute".' \
		'With a hundred connections nobody notices. Now there are a million. The timers are in a heap, the tidy way; or in a' \
		'timing wheel, where a timer hangs in the slot of its time, and nothing is sorted.'
	predict growth 'In a heap of a million timers, moving one takes how many times as long as in a heap of a hundred?'
	predict late 'The wheel looks at its slots every 1.05 ms. When does a timer fire?' \
		'up to a tick early or late' 'never early, up to a tick late' 'on time, if the loop is not busy'
	say 'Then the server gets lazy: a message only writes down the time, and the timer, when it fires, looks at that and sleeps' \
		'for what is left of the 60 s. Each connection has a message a second.'
	predict calls 'Moving the timer was 1000 calls of the queue for 1000 messages. How many are left?'

	beat run
	measure cost "timers -n $few,$some,$many"
	measure in-memory-order "timers --kind wheel --order memory -n $few,$many"
	measure rearm "timers --pattern rearm -n $conns"
	measure lazy "timers --pattern lazy -n $conns"

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- observe ---

# cell FILE KEY KIND N
cell() {
	field "$1.json" "$2" cell "\"kind\":\"$3\"," "\"n\":$4,"
}

observe() {
	show_cost
	show_promises
	show_server
	tick_ns=$(field cost.json tick_ns start)
	heap_growth=$(calc "$(cell cost rearm_ns heap $many) / $(cell cost rearm_ns heap $few)" %.3g)
	wheel_growth=$(calc "$(cell in-memory-order rearm_ns wheel $many) / $(cell in-memory-order rearm_ns wheel $few)" %.2f)
	heap_to_wheel=$(calc "$(cell cost rearm_ns heap $many) / $(cell cost rearm_ns wheel $many)" %.3g)
	lazy_calls=$(calc "1000 * $(cell lazy calls_per_message heap $conns)" %.3g)
	lazy_gain=$(calc "$(cell rearm message_ns heap $conns) / $(cell lazy message_ns heap $conns)" %.3g)
	figure heap_growth "$heap_growth" 1
	figure wheel_growth_in_memory_order "$wheel_growth" 1
	figure heap_to_wheel "$heap_to_wheel" 1
	figure lazy_calls_per_1000_messages "$lazy_calls" 1
	figure lazy_gain "$lazy_gain" 1
	measured growth "$heap_growth times"
	measured late 'b: never early, up to a tick late'
	measured calls "$lazy_calls"
}

show_cost() {
	local kind
	say 'ns to move a timer (re-arm), the timers touched in random order:'
	say "$(printf '%16s %9d %9d %9d' timers $few $some $many)"
	for kind in heap wheel; do
		say "$(printf '%16s %9.1f %9.1f %9.1f' $kind "$(cell cost rearm_ns $kind $few)" \
			"$(cell cost rearm_ns $kind $some)" "$(cell cost rearm_ns $kind $many)")"
	done
	say 'and touched one after the other, as they lie in memory:' \
		"$(printf '%16s %9.1f %9s %9.1f' wheel "$(cell in-memory-order rearm_ns wheel $few)" '' \
			"$(cell in-memory-order rearm_ns wheel $many)")"
}

show_promises() {
	local kind
	say '' 'a loop that sleeps until the next deadline, a million timers within 10 s:'
	for kind in heap wheel; do
		say "$(printf '%9s   latest %.4f ms after its deadline, %d early, %d out of order, the loop woke %d times' $kind \
			"$(calc "$(cell cost latest_ns $kind $many) / 1e6")" "$(cell cost early $kind $many)" \
			"$(cell cost out_of_order $kind $many)" "$(cell cost rounds $kind $many)")"
	done
}

show_server() {
	local pattern kind
	say '' "$conns connections with idle timeouts, 200 messages on each:"
	for kind in heap wheel; do
		for pattern in rearm lazy; do
			say "$(printf '%9s %-6s %9d calls (%.4f for each message), %5.1f ns a message, %d idle connections found' $kind \
				$pattern "$(cell $pattern calls $kind $conns)" "$(cell $pattern calls_per_message $kind $conns)" \
				"$(cell $pattern message_ns $kind $conns)" "$(cell $pattern closed $kind $conns)")"
		done
	done
}

# --- explain ---

explain() {
	say 'A heap is always half sorted: that is why it can name the next deadline to the nanosecond, and why a timer that moves' \
		'changes places with others, 4 steps deep for a hundred and 10 for a million. Steps alone would make it 2.5 times. It is' \
		"$heap_growth times, because each level is another place in memory, and a million do not fit into the near caches." \
		'' \
		'A wheel computes the slot from the time and hangs the timer there. How many there are does not occur in that: touched as' \
		"they lie in memory, moving one of a million costs $wheel_growth times what it costs with a hundred. In random order the timer" \
		'itself has to be fetched from memory, whatever keeps it. The price is that a slot is a tick wide: who is never early is up' \
		'to a tick late, in any order within the tick. Then again one wake-up of the loop serves a whole tick.' \
		'' \
		'A timeout that each message moves hardly ever fires: almost all moves were for nothing. A server that writes down the time of' \
		'the last message, and looks at it when the timer fires, hardly calls the queue at all. Then it hardly matters which' \
		'one keeps the timers, and the silent connections are found all the same.' \
		'' \
		'In the source: sink() in common/timerq.c is the heap, hang() in common/timewheel.c the wheel; on_message() and on_idle()' \
		'in tools/timers.c are the two ways to keep a timeout. Read on: G. Varghese, T. Lauck, "Hashed and Hierarchical Timing' \
		'Wheels", SOSP 1987; epoll_wait(2) on the precision of a timeout.'
}

# --- verdict ---

judge() {
	judge_promises
	judge_costs
	local kind
	for kind in heap wheel; do
		claim "$kind: re-arming is a call for each message, being lazy one for 40 messages or less" \
			"$(cell rearm calls $kind $conns) == $(cell rearm messages $kind $conns) &&
			$(cell lazy calls_per_message $kind $conns) < 1 / 40"
		claim "$kind: both ways find the same idle connections, 1 of 50" \
			"$(cell rearm closed $kind $conns) == $conns / 50 && $(cell lazy closed $kind $conns) == $conns / 50"
	done
	claim 'with a heap, a message costs at least 1.5 times as much when it re-arms' "$lazy_gain >= 1.5"
}

judge_promises() {
	local n
	for n in $few $some $many; do
		claim "heap, $n timers: all on time, to the nanosecond, and in order" "$(cell cost latest_ns heap "$n") == 0 &&
			$(cell cost early heap "$n") == 0 && $(cell cost out_of_order heap "$n") == 0"
		claim "wheel, $n timers: none early, none a tick late" \
			"$(cell cost early wheel "$n") == 0 && $(cell cost latest_ns wheel "$n") < $tick_ns"
	done
	claim 'the wheel pays with precision: of a million one is 0.9 ticks late or more, and some are out of order' \
		"$(cell cost latest_ns wheel $many) > 0.9 * $tick_ns && $(cell cost out_of_order wheel $many) > 0"
	claim 'nobody ticks: for 100 timers in 10 s, which are 9537 ticks, the loop wakes less than 500 times' \
		"$(cell cost rounds wheel $few) < 500"
	claim 'and a tick gathers: for a million timers the heap wakes the loop at least 50 times as often as the wheel' \
		"$(cell cost rounds heap $many) >= 50 * $(cell cost rounds wheel $many)"
}

judge_costs() {
	claim 'the heap: moving one of a million takes at least 3 times as long as moving one of a hundred' "$heap_growth >= 3"
	claim 'the wheel: less than 2 times, when the timers are touched as they lie in memory' "$wheel_growth < 2"
	claim 'with a million, the heap takes at least 1.5 times as long as the wheel' "$heap_to_wheel >= 1.5"
}

main "$@"
