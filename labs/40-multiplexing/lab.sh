#!/usr/bin/env bash
# 40-multiplexing - select and poll are paid for by the idle connections, epoll by the active ones.
#
# tier: any
# summary: Waiting for one of many: what 10, 1,000 and 10,000 idle connections cost with select, poll and epoll.
# alone: the cost of a wait is measured

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

few=10
some=1000
many=10000
enough=900 # fewer than so many do not show it

main() {
	lab_start "$@"
	need multiplex
	choose_counts

	beat predict
	say 'A server has many connections, and almost all of them are silent. One round of its loop is to wait, and to find the one' \
		"that became ready. With $few silent connections a round of each method takes a microsecond or two. Now there are $many."
	predict poll "How many times as long does a round with poll take?"
	predict epoll 'And with epoll?'

	beat run
	measure cells "multiplex --counts $(tr ' ' , <<<"$few $middle$many") --time 0.1"

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# Each connection is a descriptor, and the hard limit says how many of them there can be.
choose_counts() {
	local limit
	limit=$(ulimit -Hn)
	if [[ $limit != unlimited ]] && ((limit < many + 100)); then
		many=$((limit - 100))
	fi
	((many >= enough)) || skip "the limit of open descriptors is $limit, and $((enough + 100)) are needed (ulimit -Hn)"
	middle=''
	((some * 2 > many)) || middle="$some "
}

# --- observe ---

declare -A round=() # ns, by method and number of idle connections: "poll 1000"

observe() {
	local n method
	say "$(printf '%8s %12s %12s %12s' idle select poll epoll)"
	for n in $few $middle$many; do
		for method in select poll epoll; do
			round[$method $n]=$(field cells.json round_p50_ns cell "\"idle\":$n," "\"method\":\"$method\"")
			figure "${method}_ns_$n" "${round[$method $n]}" ns
		done
		say "$(printf '%8s %12s %12s %12s' "$n" "$(us select "$n")" "$(us poll "$n")" "$(us epoll "$n")")"
	done
	why_not=$(field cells.json why_not cell "\"idle\":$many," '"method":"select"')
	[[ $why_not == null ]] || say "select with $many: $why_not"
	poll_grows=$(calc "${round[poll $many]} / ${round[poll $few]}" %.0f)
	epoll_grows=$(calc "${round[epoll $many]} / ${round[epoll $few]}" %.2f)
	between=$(calc "${round[poll $many]} / ${round[epoll $many]}" %.0f)
	figure poll_grows "$poll_grows"
	figure epoll_grows "$epoll_grows"
	figure poll_over_epoll "$between"
	measured poll "$poll_grows times"
	measured epoll "$epoll_grows times"
}

us() {
	if [[ ${round[$1 $2]} == null ]]; then
		echo -
	else
		echo "$(calc "${round[$1 $2]} / 1e3" %.2f) us"
	fi
}

# --- explain ---

explain() {
	say 'poll hands all descriptors to the kernel, the kernel asks each of them, and the program looks through all again: in each' \
		"round, for one that has something to say. Each idle connection adds $(per_idle) ns to every event of the others. select does" \
		'the same with bits in place of numbers, and ends at descriptor 1023: the set is an array of that size.' \
		'(From some thousands on it can be more than in proportion: what the kernel has to touch leaves the caches.)' \
		'' \
		'epoll is told once. A descriptor that becomes ready puts itself on a list, and epoll_wait takes what is on it. Whoever is' \
		"silent costs memory and nothing else: $between times less than poll here. It is the number of events that counts. Where all" \
		'connections are busy in each round, or there are few, the difference is small.' \
		'' \
		'In the source: round_select(), round_poll() and round_epoll() in tools/multiplex.c, one below the other; can_select() is' \
		'the check that select itself does not make. Read on: select(2) BUGS, poll(2), epoll(7).'
}

per_idle() {
	calc "(${round[poll $many]} - ${round[poll $few]}) / ($many - $few)" %.0f
}

# --- verdict ---

judge() {
	claim "poll: $many idle connections make a round at least 10 times as long as $few" "$poll_grows >= 10"
	claim 'epoll: at most 3 times' "$epoll_grows <= 3"
	claim "epoll is at least 5 times as fast as poll with $many" "$between >= 5"
	if [[ -n $middle ]]; then
		claim "select grows like poll, from $few to $some at least 5 times" \
			"${round[select $some]} >= 5 * ${round[select $few]}"
		claim "poll goes on growing, from $some to $many at least half as much as the number" \
			"${round[poll $many]} / ${round[poll $some]} >= 0.5 * $many / $some"
		claim "select cannot do $many at all" "$([[ ${round[select $many]} == null ]] && echo 1 || echo 0) == 1"
	fi
}

main "$@"
