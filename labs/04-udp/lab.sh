#!/usr/bin/env bash
# 04-udp - UDP keeps the borders of a message, and nothing else: what it does not promise, and who has to.
#
# tier: em
# summary: Datagrams that are cut, refused, dropped without a word or never answered, and a client that lives with it.
# hosts: roundtrip

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

b=10.9.2.1 # host b by number: bash's /dev/udp would take IPv6 for the name
sizes=(1472 1473 65507 65508)
questions=300

main() {
	lab_start "$@"
	need roundtrip discard dd timeout

	beat predict
	[[ -n $HOSTS ]] || predict_emulated
	predict way 'A datagram was lost on the way there, or its answer on the way back. Can the client tell which?' \
		'no' 'only if its clock is right' 'if both number what they send'

	beat run
	if testbed --rtt 4ms; then
		over_the_link
	else
		between_hosts
	fi

	beat observe
	[[ -z $TESTBED ]] || observe_link
	[[ -z $HOSTS ]] || observe_hosts

	beat explain
	explain

	beat verdict
	[[ -z $TESTBED ]] || judge_link
	[[ -z $HOSTS ]] || judge_hosts
	verdict
}

predict_emulated() {
	say 'Three datagrams wait in a socket: "one", "eleven" and "twelve". A program calls read(2) three times, with room for' \
		'4 bytes.'
	predict third 'What does the third call return?' \
		'"ntwe": bytes 9 to 12, as from a pipe' '"twel"' '"en", the rest of "eleven"'
	say 'A program does not read for a moment. Meanwhile thousands of datagrams are sent to it, and most of them are lost.'
	predict told 'Who tells the sender?' 'send(2) fails' 'an ICMP message comes' 'nobody'
	say 'A link loses 10 % of the packets each way. A client asks, waits for the answer, asks the next question.'
	predict trips 'How many questions are answered before it waits for one whose answer never comes?'
	say 'On a sound link it wants to ask every 10 ms, for a second. In the middle the server pauses for 0.3 s.'
	predict hidden 'What will it report: 90 % of the answers came within ...' 'some ms, as without the pause' 'about 0.2 s'
}

# --- run ---

over_the_link() {
	borders
	lengths
	burst
	nobody_there
	losses
	pauses
}

# What a path of unknown length and quality can show: who counts what.
between_hosts() {
	serve answers "${ON_B}roundtrip -s -p 0 --json > answers.json"
	measure lossy "${ON_A}roundtrip $B -p $PORT --wire extended -n $questions -i 5ms"
	measure long "${ON_A}roundtrip $B -p $PORT --wire extended -n 50 -i 20ms --size 8000"
	stop answers
}

# shellcheck disable=SC2016 # for bash on the host to expand
# bash opens a connected UDP socket as /dev/udp/HOST/PORT, and each write is a datagram. dd count=1 is one read(2).
borders() {
	serve echo "on b echo -s -4 -p 7 --bind $b"
	export SEND="exec 3<>/dev/udp/$b/7; printf one >&3; printf eleven >&3; printf twelve >&3"
	export READ='for i in 1 2 3; do timeout 5 dd count=1 status=none bs=$ROOM <&3; printf "\n"; done'
	say "\$ SEND='$SEND'" "\$ READ='$READ'"
	run 'ROOM=64K on a bash -c "$SEND; $READ" | tee whole.log'
	run 'ROOM=4 on a bash -c "$SEND; $READ" | tee cut.log'
}

declare -A refused=() # exit status of who sent it, by length

lengths() {
	serve sink "on b discard -s -4 -p 9 --bind $b"
	run "arrived && linkem stat --json > 0.json"
	local n
	for n in "${sizes[@]}"; do
		try "head -c $n /dev/zero | on a bash -c 'dd bs=64K count=1 iflag=fullblock status=none >/dev/udp/$b/9'"
		refused[$n]=$STATUS
		run "arrived && linkem stat --json > $n.json"
	done
	stop sink
}

# What was sent before is there when the answer to this is: the link keeps the order.
arrived() {
	on a echo -4 -u -p 7 b >echo.log
}

# A server that can be stopped: it leaves its number in NAME.pid.
serve_pausable() {
	serve "$1" "on b bash -c 'echo \$\$ > $1.pid; exec $2'"
}

# signal HOST STOP|CONT NAME
signal() {
	on "$1" bash -c "kill -$2 \$(<$3.pid)"
}

# What programs on host b have read so far.
heard() {
	on b cat /proc/net/snmp | awk '$1 == "Udp:" && $2 ~ /[0-9]/ { print $2 }'
}

# nap HOST NAME: when 30 questions more have been asked.
nap() {
	local before tries
	before=$(heard)
	for ((tries = 0; tries < 500 && $(heard) < before + 30; tries++)); do
		sleep 0.01
	done
	signal "$1" STOP "$2"
	sleep 0.3
	signal "$1" CONT "$2"
}

# Until nothing waits in the socket of port 9 any more. /proc/net/udp has it all in hexadecimal.
drained() {
	local tries
	for ((tries = 0; tries < 500; tries++)); do
		[[ $(on b cat /proc/net/udp | awk '$2 ~ /:0009$/ { sub(/.*:/, "", $5); print $5 }') != 00000000 ]] || return 0
		sleep 0.02
	done
	return 1
}
export -f arrived signal heard nap drained
export b

# More than there is room for, whatever the default is. (With what the kernel adds, 100 bytes take some 800.)
burst() {
	local room
	room=$(on b cat /proc/sys/net/core/rmem_default 2>/dev/null)
	n_burst=$((${room:-212992} / 50))
	serve_pausable reader "discard -s -4 -p 9 --bind $b --json > reader.json"
	run 'signal b STOP reader; linkem stat --json > burst-before.json'
	run "on a bash -c 'exec 3>/dev/udp/$b/9; for ((i = 0; i < $n_burst; i++)); do printf %100s >&3; done'"
	run 'arrived && linkem stat --json > burst-after.json'
	run 'on b cat /proc/net/udp > udp.log; on b cat /proc/net/snmp > snmp.log'
	if have ss; then
		run "on b ss -Huamn 'sport = :9' > ss.log"
	else
		say 'left out: the socket as ss shows it, because there is no ss (Debian: iproute2)'
	fi
	run 'signal b CONT reader; drained'
	stop reader
}

nobody_there() {
	local six='for i in 1 2 3 4 5 6; do printf x >&3 && echo sent || echo refused; done'
	run "on b bash -c 'exec 3>/dev/udp/127.0.0.1/99; $six' 2>/dev/null | tee connected.log"
	if have python3; then
		run "on b python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(6): print(\"sent\", s.sendto(b\"x\", (\"127.0.0.1\", 99)))' | tee unconnected.log"
	else
		say 'left out: a socket that is not connected, because bash makes none and there is no python3'
	fi
}

losses() {
	serve_pausable answers 'roundtrip -s -4'
	run 'link a2b loss=10%,seed=1 b2a loss=10%,seed=2'
	try 'on a timeout -s INT --preserve-status 1.2 roundtrip -4 b --naive --wire extended -i 5ms --json > naive.json'
	naive_status=$STATUS
	run 'linkem stat --json > lossy-before.json'
	measure lossy "on a roundtrip -4 b --wire extended -n $questions -i 5ms"
	run 'linkem stat --json > lossy-after.json; link loss=0'
}

# 120 questions in 1.2 s, and after some 30 of them somebody sleeps for 0.3 s: the server twice, then the client itself.
pauses() {
	local ask='roundtrip -4 b --wire extended -n 120 -i 10ms --json'
	run "nap b answers & on a $ask --naive > naive-nap.json"
	run "nap b answers & on a $ask > server-nap.json"
	run "nap a client & on a bash -c 'echo \$\$ > client.pid; exec $ask' > client-nap.json"
}

# --- observe ---

declare -A packets=() # by length of the datagram

observe_link() {
	local n before=0
	for n in "${sizes[@]}"; do
		packets[$n]=$(calc "$(lane "$n.json" a2b packets) - $(lane "$before.json" a2b packets) - 1" %.0f)
		figure "packets_$n" "${packets[$n]}"
		before=$n
	done
	say "$(printf 'one datagram of %s bytes: %s packet, of %s: %s, of %s: %s; of %s: refused (EMSGSIZE)' \
		1472 "${packets[1472]}" 1473 "${packets[1473]}" 65507 "${packets[65507]}" 65508)"
	observe_burst
	observe_losses
	observe_pause
	measured third "\"$(sed -n 3p cut.log)\""
	measured told "nobody: $n_burst times send(2) was content, $got datagrams were read"
}

# lane FILE a2b|b2a KEY
lane() {
	sed -E "s/.*\"$2\":\\{([^}]*)\\}.*/\\1/; s/.*\"$3\":([0-9.]+).*/\\1/" "$1"
}

observe_burst() {
	got=$(field reader.json udp_received)
	carried=$(calc "$(lane burst-after.json a2b packets) - $(lane burst-before.json a2b packets) - 1" %.0f)
	lost[program]=$((n_burst - got))
	lost[snmp]=$(awk '$1 == "Udp:" {
		if (!at) { for (i = 2; i <= NF; i++) if ($i == "RcvbufErrors") at = i }
		else print $at
	}' snmp.log)
	lost[proc]=$(awk '$2 ~ /:0009$/ { print $NF }' udp.log)
	lost[ss]=${lost[program]}
	have ss && lost[ss]=$(sed -n 's/.*skmem:(.*,d\([0-9]*\)).*/\1/p' ss.log)
	figure burst_sent "$n_burst"
	figure burst_read "$got"
	say "$n_burst datagrams sent, $carried carried by the link, $got read. Lost:" \
		"  ${lost[program]} sent, but not read by the program" \
		"  ${lost[snmp]} RcvbufErrors of host b" \
		"  ${lost[proc]} drops of the socket in /proc/net/udp"
	have ss && say "  ${lost[ss]} in skmem of ss, behind the d"
}

declare -A lost=() # by who counts; "up", "down": the client's

observe_losses() {
	lost[up]=$(field lossy.json lost_up)
	lost[down]=$(field lossy.json lost_down)
	local lane
	for lane in a2b b2a; do
		lost[$lane]=$(calc "$(lane lossy-after.json $lane dropped_loss) - $(lane lossy-before.json $lane dropped_loss)" %.0f)
	done
	naive_sent=$(field naive.json sent)
	naive_received=$(field naive.json received)
	figure naive_received "$naive_received"
	figure lost_up "${lost[up]}"
	figure lost_down "${lost[down]}"
	lost[unknown]=$(field lossy.json lost_unknown)
	say "10 % loss, naive:   $naive_sent asked, $naive_received answered, and there it stood until SIGINT" \
		"10 % loss, default: $(field lossy.json sent) asked, $(field lossy.json received) answered; lost:" \
		"  on the way there ${lost[up]} (the link says ${lost[a2b]}), on the way back ${lost[down]} (the link says ${lost[b2a]})," \
		"  nobody knows which way ${lost[unknown]}"
	measured trips "$naive_received"
	measured way 'if both number what they send'
}

observe_hosts() {
	local run
	for run in lossy long; do
		say "$(field $run.json sent) questions of $(field $run.json size) bytes, $(field $run.json received) answers. Lost:" \
			"  on the way there $(field $run.json lost_up), on the way back $(field $run.json lost_down)," \
			"  nobody knows which way $(field $run.json lost_unknown)"
		figure "${run}_sent" "$(field $run.json sent)"
		figure "${run}_lost" "$(field $run.json lost)"
	done
	say "The server answered $(field answers.json udp_answered) of $(field answers.json udp_received) questions."
	measured way 'if both number what they send'
}

declare -A rtt=() # ms, by run and percentile: "naive-nap p90", "client-nap p90_corrected"

observe_pause() {
	local nap q line
	say "$(printf '%-32s %28s | %s' 'a pause of 0.3 s; RTT, ms' 'p50     p90     max' 'counted from when it was due: p90')"
	for nap in naive-nap server-nap client-nap; do
		for q in p50 p90 max p90_corrected; do
			rtt[$nap $q]=$(calc "$(field $nap.json "rtt_${q}_ns") / 1e6" %.1f)
			figure "${nap}_${q}_ms" "${rtt[$nap $q]}" ms
		done
		line=$(printf '%-32s %12s %7s %7s | %35s' "$(title $nap)" \
			"${rtt[$nap p50]}" "${rtt[$nap p90]}" "${rtt[$nap max]}" \
			"${rtt[$nap p90_corrected]/null/-}") # the naive one has no schedule: nothing is due
		say "$line"
	done
	measured hidden "${rtt[naive-nap p90]} ms; who asks on schedule sees ${rtt[server-nap p90]} ms"
}

title() {
	case $1 in
	naive-nap) echo 'server sleeps, naive client' ;;
	server-nap) echo 'server sleeps, default client' ;;
	client-nap) echo 'default client sleeps itself' ;;
	esac
}

# --- explain ---

explain() {
	say 'One send is one datagram, and one read returns one datagram. What there is no room for is gone: the rest of a' \
		'message that is too long for the buffer does not come with the next read (recv(2) MSG_TRUNC tells). 65507 is' \
		"what the 16 bits of IPv4's length leave: 65535 - 20 - 8. Beyond 1472 (1500 - 20 - 8) IP cuts it up, and one lost" \
		'piece loses all of it.' \
		'A datagram for which the receive buffer has no room is dropped. The sender never hears of it, the reader' \
		'neither: only counters do. It is no loss of the network, and no faster network helps.' \
		'A closed port answers with ICMP. It is delivered to a connected socket, as the error of the *next* call; a' \
		'socket that is not connected sends into the void for ever (udp(7)).' \
		'Whoever waits for an answer must be able to stop waiting. roundtrip numbers its questions, and the server its' \
		'answers: so a missing one has a direction. And it asks on schedule: a client that waits first asks no questions' \
		'during a pause, and leaves the worst moments out of its statistics: one slow answer, where there would have been' \
		'thirty. Is it the client that was late, the time has to count from when the question was due: the corrected' \
		'percentiles.' \
		'' \
		'In the source: naive() and ask_due() in tools/roundtrip/client.c, track_see() in tools/roundtrip/track.c. Read' \
		'on: RFC 768, udp(7), RFC 8085; G. Tene, How NOT to Measure Latency (coordinated omission).'
}

# --- verdict ---

judge_link() {
	claim 'a datagram for a read: one, eleven, twelve' "$(is "$(<whole.log)" $'one\neleven\ntwelve')"
	claim 'read with 4 bytes of room, each is cut, and the rest does not come: one, elev, twel' \
		"$(is "$(<cut.log)" $'one\nelev\ntwel')"
	claim '1472 bytes are one packet, 1473 are two, 65507 are 45' \
		"${packets[1472]} == 1 && ${packets[1473]} == 2 && ${packets[65507]} == 45"
	claim 'and 65508 are refused by send(2), and none' \
		"${refused[65507]} == 0 && ${refused[65508]} != 0 && ${packets[65508]} == 0"
	claim 'the burst: the link carried every datagram' "$carried == $n_burst"
	claim '  at least half of them were lost all the same' "2 * $got <= $n_burst && $got > 0"
	claim '  and all who count agree how many' \
		"${lost[program]} == ${lost[snmp]} && ${lost[snmp]} == ${lost[proc]} && ${lost[proc]} == ${lost[ss]}"
	claim 'to a closed port, connected: every second send fails' \
		"$(is "$(<connected.log)" $'sent\nrefused\nsent\nrefused\nsent\nrefused')"
	[[ ! -e unconnected.log ]] || claim '  not connected: none does' "$(grep -c '^sent 1$' unconnected.log) == 6"
	claim 'naive: it stopped at the first loss, for ever' "$naive_sent == $naive_received + 1 && $naive_status == 130"
	claim 'the default client asks all its questions' "$(field lossy.json sent) == $questions"
	claim '  and knows of each whether it was lost' "$(field lossy.json received) + $(field lossy.json lost) == $questions"
	claim '  all in all as many as the link dropped' "$(field lossy.json lost) == ${lost[a2b]} + ${lost[b2a]}"
	# After the last answer that came, nobody knows any more: at most a few.
	claim '  and of those with a direction each is on the right one' \
		"${lost[up]} <= ${lost[a2b]} && ${lost[down]} <= ${lost[b2a]} && ${lost[unknown]} < 10"
	claim 'the server sleeps: 90 % of the naive answers know nothing of it, those on schedule do' \
		"5 * ${rtt[naive-nap p90]} < ${rtt[server-nap p90]}"
	claim 'the client sleeps: only the corrected percentiles know of it' \
		"5 * ${rtt[client-nap p90]} < ${rtt[client-nap p90_corrected]}"
}

judge_hosts() {
	local run came=0
	for run in lossy long; do
		claim "$(field $run.json size) bytes: all is accounted for: what was sent was answered or is lost" \
			"$(field $run.json sent) == $(field $run.json received) + $(field $run.json lost)"
		claim '  and what is lost is so on the way there, on the way back, or nobody knows' \
			"$(field $run.json lost) == $(field $run.json lost_up) + $(field $run.json lost_down) + $(field $run.json lost_unknown)"
		came+=" + $(field $run.json sent) - $(field $run.json lost_up) + $(field $run.json duplicated_up)"
	done
	# Of copies of the two last ones no answer may have told any more.
	claim 'as many questions, and copies of questions, came as the server says, but for those of which nobody knows' \
		"$(field answers.json udp_received) <= $came + 2 &&
		$(field answers.json udp_received) >= $came - $(field lossy.json lost_unknown) - $(field long.json lost_unknown)"
}

# A condition for claim: the two texts are the same.
is() {
	[[ $1 == "$2" ]] && echo '(1 == 1)' || echo '(0 == 1)'
}

main "$@"
