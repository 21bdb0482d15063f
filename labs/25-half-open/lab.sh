#!/usr/bin/env bash
# 25-half-open - the other end is gone, and nobody says so.
#
# tier: any
# summary: A cable is cut, a host forgets, a program hangs: how long a connection believes in the other end, and what finds out.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

ways=(write wait stuck hung reboot)
cable=yes      # whether a cable can be cut on this host

main() {
	lab_start "$@"
	need halfopen

	beat predict
	say 'A client and a server have spoken with each other, and all is acknowledged. Then somebody cuts the cable.'
	predict write 'The client sends 5 bytes now. What does send(2) return?' '5' 'an error at once' 'an error after a second or so'
	predict wait 'Another client sends nothing, and waits in recv(2). For how many seconds?'
	say 'Both connections now get SO_KEEPALIVE: one second without a sign, then two probes, one second apart.'
	predict keepalive 'Who finds out within four seconds?' 'both' 'only the one that has sent' 'only the one that waits' 'neither'
	say 'Now nobody cuts anything, but the server hangs: the process is there, and does nothing any more.'
	predict hung 'Keepalive, and TCP_USER_TIMEOUT as well: what does the client hear within four seconds?' \
		ETIMEDOUT ECONNRESET 'nothing'

	beat run
	is_there_a_cable
	run "for w in ${ways[*]}; do halfopen \$w --watch 4s --json > \$w.json & halfopen \$w --fixed --json > \$w-fixed.json & done"$'\n'"  halfopen alive --fixed --watch 4s --json > alive.json; wait"
	over_a_link

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# It is cut by a socket filter, for which newer kernels want a network of our own.
is_there_a_cable() {
	try 'halfopen write --watch 1ms > /dev/null'
	((STATUS != 0)) || return 0
	say 'left out: write, wait and reboot, because the kernel lets us cut no cable (see above)'
	ways=(stuck hung)
	cable=''
}

# A cable between two hosts, and the server's side of it. tcp_retries2 = 1 stands for the 15 that would take a quarter of an hour.
over_a_link() {
	local cut="--cut \"linkem set down\""
	testbed --rtt 20ms || return
	run "on a sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_retries2'"
	serve server 'on b halfopen -s -4 -p 0 --bind 0.0.0.0 --json > server.json'
	try "on a halfopen write b -4 -p $PORT $cut --watch 10s --json > link.json"
	stop server
	run 'link up'
	serve server-fixed 'on b halfopen -s -1 -4 -p 0 --bind 0.0.0.0 --fixed --json > server-fixed.json'
	run "on a halfopen write b -4 -p $PORT --fixed $cut --json > link-fixed.json"
	join server-fixed
}

# --- observe ---

# of FILE CARE KEY: what became of that connection.
of() {
	field "$1.json" "$3" client "\"care\":\"$2\""
}

# seconds FILE CARE: until it found out; "-" if it did not.
seconds() {
	local ns
	ns=$(of "$1" "$2" noticed_ns)
	if [[ $ns == null ]]; then
		echo -
	else
		calc "$ns / 1e9" %.2f
	fi
}

# has FILE CARE: was that one tried?
has() {
	grep -q "\"care\":\"$2\"" "$1.json"
}

cell() {
	local file=$1
	[[ $1 == alive ]] || has "$file" "$2" || file=$1-fixed
	has "$file" "$2" || { printf '%14s' '' && return; }
	case $(of "$file" "$2" noticed) in
	true) printf '%14s' "$(seconds "$file" "$2") s" ;;
	*) printf '%14s' 'nothing' ;;
	esac
}

observe() {
	local way care line
	say 'who finds out, and after how long (nothing: not within four seconds)'
	say "$(printf '%-8s%14s%14s%14s%14s%14s' '' 'as it is' keepalive 'user timeout' both heartbeat)"
	for way in "${ways[@]}" alive; do
		line=''
		for care in none keepalive user-timeout both heartbeat; do
			line+=$(cell "$way" "$care")
		done
		say "$(printf '%-8s%s' "$way" "$line")"
	done
	measured write '(left out)'
	measured wait '(left out)'
	measured keepalive '(left out)'
	[[ -z $cable ]] || observe_cable
	figure stuck_user_timeout_s "$(seconds stuck-fixed user-timeout)" s
	figure hung_heartbeat_s "$(seconds hung-fixed heartbeat)" s
	measured hung nothing
	[[ -z $TESTBED ]] || observe_link
}

observe_cable() {
	resent=$(of write none resent)
	doubling=$(gaps)
	say "write, as it is: sent again $resent times, after $(resent_at | awk '{ for (i = 1; i <= NF; i++) printf "%.2f ", $i / 1e9 }')s;" \
		"here $(of write none state) with $(of write none unacknowledged_bytes) bytes unacknowledged, the other end $(of write none peer_state)"
	figure write_user_timeout_s "$(seconds write-fixed user-timeout)" s
	figure wait_keepalive_s "$(seconds wait-fixed keepalive)" s
	figure wait_both_s "$(seconds wait-fixed both)" s
	figure reboot_keepalive_s "$(seconds reboot-fixed keepalive)" s
	measured write '5, and nothing happens afterwards'
	measured wait 'no end: nothing in four seconds, and nothing is on its way'
	measured keepalive 'only the one that waits'
}

# When the question was sent again, in ns.
resent_at() {
	grep '"care":"none"' write.json | sed 's/.*"resent_at_ns":\[\([^]]*\)\].*/\1/; s/,/ /g'
}

# The least and the largest ratio of the time from one retransmission to the next to the one before.
gaps() {
	resent_at | awk '
		{
			for (i = 3; i <= NF; i++) {
				r = ($i - $(i - 1)) / ($(i - 1) - $(i - 2))
				if (!least || r < least) least = r
				if (r > most) most = r
			}
			print least, most
		}'
}

observe_link() {
	local care
	say 'over a link, with tcp_retries2 = 1:'
	for care in none keepalive; do
		say "    write, $care: $(of link $care errno) after $(seconds link $care) s"
	done
	say "    the server without care: $(field server.json still_open) of $(field server.json connections) clients still there, as far as it knows" \
		"    the server that takes care: $(field server-fixed.json still_open) of $(field server-fixed.json connections); the last one was heard of $(calc "$(field server-fixed.json silent_ns connection) / 1e9" %.2f) s before"
}

# --- explain ---

explain() {
	say 'A connection is what two hosts remember of it, and nothing else. Over one that is idle goes no packet: so nothing can be' \
		'missing. Who sends has given his bytes to the kernel, and send(2) says so; the kernel sends them again, each time after' \
		'twice as long, 15 times (tcp_retries2), which takes 15 minutes, and only then says ETIMEDOUT.' \
		'    keepalive      asks when nothing is under way. As long as there are bytes unacknowledged it is silent' \
		'    user timeout   counts from the first byte that was not acknowledged. Where none is, it is silent' \
		'    heartbeat      a question to the program. The others ask its kernel, and a kernel answers for a process that hangs' \
		'So each of them misses something; keepalive and a user timeout together miss nothing but a program that hangs. In "stuck" the' \
		'window is shut and each probe is answered: the user timeout ends even that. In "reboot" the other host is there and has' \
		'forgotten; any segment is answered with a reset, so that the first question tells.' \
		'"alive" is the price: who asks too eagerly takes a slow peer for a dead one.' \
		'' \
		'In the source: halfopen_take_care() and beat() in tools/halfopen.c. Read on: RFC 9293 3.5.1, 3.8.3, 3.8.4; RFC 5482; tcp(7).'
}

# --- verdict ---

# within FILE CARE ERROR LEAST MOST: found out, as that, and when. Wide: a busy machine is late, and the kernel looks only when a
# timer of its own has run out.
within() {
	claim "$1, $2: $3 after $4 to $5 s" \
		"\"$(of "$1" "$2" errno)\" == \"$3\" && $(of "$1" "$2" noticed_ns) >= $4 * 1e9 && $(of "$1" "$2" noticed_ns) < $5 * 1e9"
}

judge() {
	local way
	for way in "${ways[@]}"; do
		claim "$way: without the right care nobody finds out within four seconds" \
			"$(field "$way.json" noticed) == 0 && \"$(field "$way.json" as_promised)\" == \"true\""
		claim "$way: with the right care all find out" \
			"$(field "$way-fixed.json" noticed) == $(field "$way-fixed.json" clients) && \"$(field "$way-fixed.json" as_promised)\" == \"true\""
	done
	[[ -z $cable ]] || judge_cable
	within stuck-fixed user-timeout ETIMEDOUT 0.99 3.5
	within hung-fixed heartbeat ETIMEDOUT 0.5 2
	claim 'alive: nobody takes a peer that lives for a dead one' "$(field alive.json noticed) == 0"
	[[ -z $TESTBED ]] || judge_link
}

judge_cable() {
	claim 'write: send(2) took the 5 bytes, and they are in the queue still' \
		"$(of write none sent_bytes) == 5 && $(of write none unacknowledged_bytes) == 5"
	claim 'sent again at least three times, each time after twice as long (1.4 to 3)' \
		"$resent >= 3 && ${doubling% *} > 1.4 && ${doubling#* } < 3"
	claim 'the cable has swallowed each of these, and nothing of the one who waits' \
		"$(of write none lost_segments) == 1 + $resent && $(of wait none lost_segments) == 0"
	claim 'both ends of write and of wait are ESTABLISHED all the time' \
		"\"$(of write none state)$(of write none peer_state)$(of wait none state)$(of wait none peer_state)\" == \"ESTABLISHEDESTABLISHEDESTABLISHEDESTABLISHED\""
	within write-fixed user-timeout ETIMEDOUT 0.99 2.9
	within wait-fixed keepalive ETIMEDOUT 2.5 4.9
	within reboot-fixed keepalive ECONNRESET 0.5 2.9
	claim 'wait: with a user timeout as well keepalive does not wait for the last probe' \
		"$(of wait-fixed both noticed_ns) < $(of wait-fixed keepalive noticed_ns)"
}

judge_link() {
	claim 'over a link: after tcp_retries2 the kernel gives up, with keepalive and without' \
		"\"$(of link none errno)$(of link keepalive errno)\" == \"ETIMEDOUTETIMEDOUT\""
	claim 'and the server still believes in both' "$(field server.json still_open) == 2"
	claim 'the server that takes care has let go of all of them by itself' \
		"$(field server-fixed.json connections) == 3 && $(field server-fixed.json still_open) == 0 && $(grep -c '"record":"connection".*ETIMEDOUT' server-fixed.json) == 3"
}

main "$@"
