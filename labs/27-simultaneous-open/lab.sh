#!/usr/bin/env bash
# 27-simultaneous-open - two programs connect to each other, and nobody listens.
#
# tier: em
# summary: Two SYNs that cross make one connection without a server, two FINs that cross end it; who is late is refused, and so is the other.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

one_way=100 # ms; WHY so long: a busy machine may run one of two that begin together some ten ms later
late=250    # ms, more than a packet is under way
some=20     # ms, less
rounds=3
port=2000   # each part has ports of its own: those of the last one are in TIME-WAIT

main() {
	lab_start "$@"
	need simopen

	beat predict
	say "Two hosts, $one_way ms from one to the other. On each a program takes port 2000, does not listen, and connects to port 2000 of the other" \
		'host. They do so at the same moment.'
	predict open 'What happens?' 'both are refused' 'one connection' 'two connections, one from each' 'nothing until a timeout'
	say "Now one of them begins $late ms later."
	predict late 'Who gets connected?' both 'only the early one' 'only the late one' 'neither'
	say 'Back to the two who were connected. When they have said hello both close their connection, again at the same moment.'
	predict close 'Where does TIME-WAIT remain?' 'at neither end' 'at one end' 'at both ends'

	beat run
	testbed --rtt $((2 * one_way))ms
	say "meet NAME [OPTIONS [OPTIONS OF B]], at a time soon to come, and with ports that only NAME has:" \
		"    on a simopen b -4 -p PORT --local-port PORT --at SOON -n $rounds --every 1s --json > NAME-a.json" \
		'    on b simopen a -4 -p PORT --local-port PORT --at SOON ... > NAME-b.json'
	run 'linkem watch > wire.txt & meet together; kill $!; wait'
	run "meet some '' '--skew ${some}ms' & meet late '' '--skew ${late}ms' &
  meet fixed --fixed '--skew ${late}ms' & meet deaf '--how deaf' '--skew ${late}ms' & wait"
	near

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# soon: when to begin. Both hosts have the same clock; all programs have to be there by then.
soon() {
	calc "${EPOCHREALTIME} + 2" %.2f
}

# meet NAME [OPTIONS [OPTIONS-OF-B]], in a lab line. Whether they met is in their records.
meet() (
	local options port
	case $1 in together) port=2000 ;; some) port=2100 ;; late) port=2200 ;; fixed) port=2300 ;; deaf) port=2400 ;; esac
	options="-4 -p $port --local-port $port --at $(soon) -n $rounds --every 1s --json ${2:-}"
	# shellcheck disable=SC2086 # options
	on b simopen a $options ${3:-} >"$1-b.json" &
	# shellcheck disable=SC2086
	on a simopen b $options >"$1-a.json"
	wait $!
)
export rounds
export -f meet soon calc

# On this host, with nothing between the two: whoever is first is refused before the other one is there. And one who needs nobody.
near() {
	local options
	options="--at $(soon) -n 20 --every 20ms --timeout 2 --json"
	try "on a simopen 127.0.0.1 -p 3100 --local-port 3000 $options > near-1.json &"$'\n'"  on a simopen 127.0.0.1 -p 3000 --local-port 3100 $options > near-2.json; wait"
	run 'on a simopen 127.0.0.1 -p 4000 --local-port 4000 --json > itself.json'
}

# --- observe ---

parts=(together some late fixed deaf)

# all NAME KEY: of both hosts together.
all() {
	calc "$(field "$1-a.json" "$2") + $(field "$1-b.json" "$2")"
}

# both NAME KEY: of a and of b, "5 5".
both() {
	echo "$(field "$1-a.json" "$2") $(field "$1-b.json" "$2")"
}

# states FILE: of the last round.
states() {
	grep '"record":"round"' "$1" | tail -n 1 | sed 's/.*"states":\[\([^]]*\)\].*/\1/; s/"//g; s/,/ /g; s/ CLOSED$//'
}

observe() {
	local name
	say "$(printf '%-10s%8s%10s%10s%10s%16s' '' rounds met refused tries 'FINs crossed')"
	for name in "${parts[@]}"; do
		say "$(printf '%-10s%8s%10s%10s%10s%16s' "$name" "$(field "$name-a.json" rounds)" "$(both "$name" met)" \
			"$(both "$name" refused)" "$(both "$name" tries)" "$(both "$name" crossed_close)")"
	done
	say '(of a and of b; FINs crossed: CLOSING was seen)'
	say "together: $(both together active_opens) connections opened actively, by connect; $(both together passive_opens) passively, by a listener"
	say "together, at a: $(states together-a.json); then $(field together-a.json end_state round)" \
		"together, at b: $(states together-b.json); then $(field together-b.json end_state round)"
	say "deaf, at a: $(states deaf-a.json); at b: $(states deaf-b.json)"
	say 'on the wire (linkem watch; ms when it left, and when it arrived):'
	grep ' 2000 > 2000 ' wire.txt | sed 's/^/    /' | while IFS= read -r line; do
		say "$line"
	done
	say "on one host, without a link: $(field near-1.json met) of 20 met by chance; with itself: $(field itself.json met) of 1"
	figure together_met "$(all together met)" ends
	figure late_met "$(all late met)" ends
	figure near_met "$(field near-1.json met)" rounds
	figure fixed_tries_a "$(field fixed-a.json tries)" tries
	measured open "one connection, $(field together-a.json met) of $rounds times, that nobody has accepted"
	measured late "neither, $(field late-a.json refused) of $rounds times"
	measured close "at both ends, $(field together-a.json time_wait) and $(field together-b.json time_wait) of $rounds times"
}

# --- explain ---

explain() {
	say 'TCP knows no servers and clients, only two ends. A SYN that arrives at a socket in SYN-SENT, with the right ports and addresses, is a' \
		'proposal for the connection that this socket wants as well; it goes to SYN-RECEIVED and acknowledges it. So two SYNs that cross make' \
		'one connection, and nobody has listened: on both hosts it counts as opened actively, on neither as accepted.' \
		'late: the first SYN arrived at a port where nothing was yet, and was answered with a reset: refused. When the other SYN' \
		'came there was nothing here any more, either. The time in which they can meet is the time that a packet is under way.' \
		'That is why it does not happen on one host, but by chance.' \
		'fixed: who is refused asks again at once, so that there is always a socket to be found. deaf: who does not hear the' \
		'reset stays in SYN-SENT until the other SYN comes. Between routers that translate addresses it is the routers that drop' \
		'what comes too early; so two hosts behind them can meet, if a third one tells them when, and at which ports.' \
		'Closing: each FIN arrived when the other had left. FIN-WAIT-1, CLOSING, and TIME-WAIT at both ends: neither was the' \
		'first to close.' \
		'' \
		'In the source: open_connection() and close_and_watch() in tools/simopen.c. Read on: RFC 9293 3.5 (figure 7), 3.6 (figure 13).'
}

# --- verdict ---

judge() {
	local name
	claim 'together: all have met, on both hosts, at the first try' \
		"$(all together met) == 2 * $rounds && $(all together tries) == 2 * $rounds"
	claim 'and each host has opened them all actively, none passively' \
		"$(field together-a.json active_opens) == $rounds && $(field together-b.json active_opens) == $rounds && $(all together passive_opens) == 0"
	claim 'SYN-RECEIVED was seen at both ends, of sockets that had connected' \
		"$(field together-a.json crossed_open) > 0 && $(field together-b.json crossed_open) > 0"
	claim 'CLOSING was seen at both ends, and TIME-WAIT remained at both ends each time' \
		"$(field together-a.json crossed_close) > 0 && $(field together-b.json crossed_close) > 0 && $(all together time_wait) == 2 * $rounds"
	claim "late by $some ms, less than a packet is under way: all have met" "$(all some met) == 2 * $rounds"
	claim "late by $late ms: nobody has met, all were refused" \
		"$(all late met) == 0 && $(all late refused) == 2 * $rounds"
	claim 'fixed: late as well, and all have met; the early one has asked more than once' \
		"$(all fixed met) == 2 * $rounds && $(field fixed-a.json tries) > $rounds"
	claim 'deaf: late as well, and all have met, at the first try' \
		"$(all deaf met) == 2 * $rounds && $(all deaf tries) == 2 * $rounds"
	claim 'still without a listener' "$(all fixed passive_opens) + $(all deaf passive_opens) == 0"
	claim 'on the wire: a SYN from each, and a SYN,ACK from each' \
		"$(on_wire 'S ') == 2 && $(on_wire 'S\. ') == 2"
	claim 'a program can meet itself' "\"$(field itself.json to_itself round)\" == \"true\""
}

# on_wire FLAGS: how many ends have sent such a segment.
on_wire() {
	sed -n "s/.* a \([<>-]*\) b  2000 > 2000  $1.*/\1/p" wire.txt | sort -u | wc -l
}

main "$@"
