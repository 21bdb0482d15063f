#!/usr/bin/env bash
# 82-keep-alive - what a connection for each request costs a server, and what is left that no process has any more.
#
# tier: any
# summary: procmon serves the same page with and without keep-alive, and another procmon watches what that costs.
# alone: rates on this host are compared

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

requests=100    # one after the other, by this script
requests_ab=1000
at_once=4
rounds=3
ways=(closed kept)

main() {
	lab_start "$@"
	need procmon

	beat predict
	say "A server answers $requests requests, one after the other. First each has a connection of its own; then one connection" \
		'has them all, which HTTP/1.1 calls keep-alive. The page is the same, and another process watches the server.'
	predict cpu 'Without keep-alive: how many times the processor time for each request?'
	predict switches 'With keep-alive: how often does the server go to sleep and wake up, for each request?'
	predict left "And $requests connections later, how many of them does the kernel still keep?" 'none, they are closed' \
		'a few' 'nearly all of them'

	beat run
	start_servers
	local round
	for ((round = 1; round <= rounds; round++)); do
		step "closed-$round" "fetch $requests | tee closed-$round.log"
		step "kept-$round" "fetch $requests keep | tee kept-$round.log"
	done
	if have ab; then
		ways+=(ab-closed ab-kept)
		step ab-closed-1 "ab -q -l -n $requests_ab -c $at_once http://127.0.0.1:$SERVED/json > ab-closed-1.log"
		step ab-kept-1 "ab -q -l -k -n $requests_ab -c $at_once http://127.0.0.1:$SERVED/json > ab-kept-1.log"
	else
		say "left out: many requests at once, because there is no ab (Debian: apache2-utils)"
	fi
	run "ask GET '/switches.svg' > switches-with-marks.svg"
	stop watcher

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# In lab lines these look like commands, as `on` does.

# open_http PORT: leaves the connection in $fd.
open_http() {
	exec {fd}<>"/dev/tcp/127.0.0.1/$1"
}

# take_answer: reads what is on $fd to the end of the body, and leaves that in $body. Its length stands in the head (RFC 9112 6.2).
take_answer() {
	local line length=0
	read -r _ status _ <&"$fd" || return
	while read -r line <&"$fd" && line=${line%$'\r'} && [[ -n $line ]]; do
		[[ ${line,,} != content-length:* ]] || length=${line##* }
	done
	body=''
	((length == 0)) || read -r -N "$length" -u "$fd" body
	[[ $status == 2* ]]
}

# ask METHOD PATH: of the procmon that watches.
ask() {
	local fd status body
	open_http "$WATCHER" || return
	printf '%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' "$1" "$2" >&"$fd"
	take_answer || return
	exec {fd}>&-
	[[ -z $body ]] || printf '%s\n' "$body"
}

# fetch N [keep]: asks the other one N times for /json. WHY a file: bash's printf writes line by line. Each would be a segment,
# the second would wait for the ACK of the first (Nagle), and that one up to 40 ms for an answer to ride on (delayed ACK).
fetch() {
	local fd='' status body i began=${EPOCHREALTIME/./} end=close
	[[ -z ${2:-} ]] || end=keep-alive
	printf 'GET /json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: %s\r\n\r\n' "$end" >request.log
	for ((i = 0; i < $1; i++)); do
		[[ -n $fd ]] || open_http "$SERVED" || return
		cat request.log >&"$fd"
		take_answer || return
		[[ -n ${2:-} ]] || { exec {fd}>&- && fd=''; }
	done
	echo "$1 answers in $(((${EPOCHREALTIME/./} - began) / 1000)) ms"
}
export -f open_http take_answer ask fetch

# One serves, and the other one watches it. What the first one watches does not matter.
start_servers() {
	serve served 'procmon -p 0 -i 10s -- sleep 60'
	export SERVED=$PORT
	serve watcher "procmon -p 0 -i 50ms --json ${LAB_SERVER[served]} > watcher.json"
	export WATCHER=$PORT
}

declare -A left=() # connections that the kernel keeps, by step: those that it did not keep before

# step NAME LOAD: a mark on all charts, a look at the threads (without one they are read less often), the load, and then two
# more samples, so that all of it has been seen; what is left.
step() {
	in_time_wait >before.log
	run "ask POST '/mark?label=$1'"
	run "ask GET '/json?with=threads' > look-$1.json"
	run "$2"
	await_samples 2
	run "ask GET '/json?with=sockets' > look-$1.json"
	left[$1]=$(in_time_wait | comm -13 before.log - | wc -l)
}

# await_samples N
await_samples() {
	local first
	first=$(grep -c '"record":"interval"' watcher.json)
	until [[ $(grep -c '"record":"interval"' watcher.json) -ge $((first + $1)) ]]; do
		sleep 0.02
	done
}

# The connections of the server, both ends, one a line. State 06 of proc_net_tcp is TIME-WAIT; ports are hexadecimal there. WHY
# three times: while others come and go, a long table is read with gaps, and with lines that come twice.
in_time_wait() {
	awk -v port="$(printf ':%04X$' "$SERVED")" '
		$4 == "06" && ($2 ~ port || $3 ~ port) { print $2, $3 }' /proc/net/tcp /proc/net/tcp /proc/net/tcp | sort -u
}

# --- observe ---

declare -A cpu_us=() switches=() rate=() # for each request; requests a second

# cost NAME: "cpu_ns switches" of the server between its mark and the next one. A sample's time is that of its end; threads,
# from which the switches come, are not read in each, and then the rate is that since they were read.
cost() {
	awk -v name="$1" '
		function number(key) {
			if (!match($0, "\"" key "\":[-+0-9.e]+"))
				return 0
			return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
		}
		/"record":"mark"/ { is_on = index($0, "\"label\":\"" name "\"") > 0 }
		/"record":"interval"/ {
			if (is_on)
				cpu += number("cpu_ns") - before_cpu
			before_cpu = number("cpu_ns")
			if (!before) # the threads were read for the first time just before that
				before = number("time_ns")
			if (/"voluntary_per_s":null/)
				next
			if (is_on)
				switches += number("voluntary_per_s") * (number("time_ns") - before) / 1e9
			before = number("time_ns")
		}
		END { printf "%.0f %.0f\n", cpu, switches }' watcher.json
}

observe() {
	local name n
	say "$(printf '%10s %10s %12s %17s %14s %19s' '' requests 'requests/s' 'processor, each' 'sleeps, each' \
		'left in TIME-WAIT')"
	for name in "${ways[@]}"; do
		n=$requests
		[[ $name != ab-* ]] || n=$requests_ab
		look "$name" "$n"
		figure "cpu_us_${name//-/_}" "${cpu_us[$name]}" us
		figure "switches_${name//-/_}" "${switches[$name]}"
		figure "requests_per_s_${name//-/_}" "${rate[$name]}" 1/s
		figure "time_wait_${name//-/_}" "${left[$name]}"
		say "$(printf '%10s %10s %12s %14s us %14s %19s' "$name" "$n" "${rate[$name]}" "${cpu_us[$name]}" "${switches[$name]}" \
			"${left[$name]}")"
	done
	sockets_of_server=$(field look-closed-1.json sockets process)
	say '' "Of the ${left[closed]} that are left, procmon sees none: the server has $sockets_of_server socket, which listens."
	measured cpu "$(calc "${cpu_us[closed]} / ${cpu_us[kept]}" %.1f) times"
	measured switches "${switches[kept]}; without keep-alive ${switches[closed]}"
	measured left "${left[closed]} of $requests"
}

# look WAY REQUESTS: of all rounds the one that cost least. What the kernel does for others meanwhile is put on the account of whoever
# has the processor, and whoever shares it makes it slower: the cost is more then, and never less.
look() {
	local round cpu_ns count us
	for ((round = 1; round <= rounds; round++)); do
		[[ -e $1-$round.log ]] || continue
		read -r cpu_ns count <<<"$(cost "$1-$round")"
		us=$(calc "$cpu_ns / 1e3 / $2" %.1f)
		((round == 1)) || holds "$us < ${cpu_us[$1]}" || continue
		cpu_us[$1]=$us
		switches[$1]=$(calc "$count / $2" %.2f)
		rate[$1]=$(rate_of "$1-$round")
	done
	left[$1]=${left[$1-1]} # later on some ports come again
}

rate_of() {
	if [[ $1 == ab-* ]]; then
		awk '/^Requests per second/ { printf "%.0f", $4 }' "$1.log"
	else
		awk '{ printf "%.0f", 1000 * $1 / $4 }' "$1.log"
	fi
}

# --- explain ---

explain() {
	say 'Without keep-alive the server accepts, answers and closes, for each request: it is woken up once or twice more, and the' \
		'kernel makes a socket, shakes hands and says goodbye. With keep-alive it sleeps once for each request, because a client' \
		'that waits for each answer gives it nothing else to do.' \
		'' \
		'Whoever closes first keeps the connection in TIME-WAIT for a minute, lest a late segment be taken for one of the next' \
		'connection with the same two ports. No process has it any more: it has no descriptor, so neither procmon nor lsof can' \
		'show it. Who looks at the sockets of a process misses them; /proc/net/tcp, or ss -tan state time-wait, has those of the' \
		'machine.' \
		'' \
		'In the source: httpd waits for the next request on the same connection, begin_idle() in common/httpd.c; procmon counts how' \
		'often the threads slept, threads_sum() in tools/procmon/threads.c. Read on: RFC 9112 9.3, RFC 9293 3.6.1, ab(1).'
}

# --- verdict ---

judge() {
	claim 'without keep-alive a request costs the server at least 1.1 times the processor time' \
		"${cpu_us[closed]} > 1.1 * ${cpu_us[kept]}"
	claim 'and it goes to sleep at least 1.3 times as often' "${switches[closed]} > 1.3 * ${switches[kept]}"
	claim 'with keep-alive it sleeps about once for each request' "${switches[kept]} > 0.5 && ${switches[kept]} < 1.5"
	claim 'more than half of the connections are left in TIME-WAIT' "${left[closed]} > $requests / 2"
	claim 'with keep-alive fewer than a twentieth' "${left[kept]} < $requests / 20"
	claim 'and of those that are left the server has none: its only socket listens' "$sockets_of_server == 1"
	[[ ${#ways[@]} -eq 2 ]] || judge_ab
}

judge_ab() {
	# WHY not its processor time, nor the requests a second: a thousand take so little that it is chance who else works then.
	claim "ab, $at_once at once: more than half of its connections are left in TIME-WAIT" "${left[ab-closed]} > $requests_ab / 2"
	claim 'with keep-alive fewer than a twentieth' "${left[ab-kept]} < $requests_ab / 20"
}

main "$@"
