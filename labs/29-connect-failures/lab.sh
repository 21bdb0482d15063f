#!/usr/bin/env bash
# 29-connect-failures - the ways in which connect(2) fails, how long each takes, and who says so.
#
# tier: ns
# summary: A connect(2) that is refused, ignored, forbidden and lost: errno, SYNs and time of each; one that never ends; one that lied.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

patience_s=4 # how long we look at a plain connect(2)
declare -A target_of=( # routes, each with an answer of its own
	[blackhole]=192.0.2.1
	[unreachable]=192.0.2.65
	[prohibit]=192.0.2.129
	[none]=198.51.100.1
)
declare -A errno_of=([blackhole]=EINVAL [unreachable]=EHOSTUNREACH [prohibit]=EACCES [none]=ENETUNREACH)
routes=(none unreachable prohibit blackhole)
have_neighbour='' have_nft=''

main() {
	lab_start "$@"
	need connfail

	beat predict
	say 'A client calls connect(2). At the other end a firewall throws the SYN away and says nothing. The socket is a blocking one, and' \
		'nothing else was said about it.'
	predict forever 'After how many seconds does connect(2) return?'
	say 'Another server is up, but does not accept, and its backlog is full.'
	predict full 'What does the client see?' 'connection refused' 'connected, and then nothing' 'the same as behind that firewall'
	say 'A third port is closed. The client uses a non-blocking socket: connect(2) says EINPROGRESS, poll(2) that it is writable.'
	predict writable 'What does the first send(2) say?' 'all is well' 'connection refused' 'broken pipe' 'try again'

	beat run
	network
	four_ports
	this_host

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# The SYN again after 1, 2, 4 s, as everywhere before Linux 6.5; and what surrounds this host.
network() {
	local linear=/proc/sys/net/ipv4/tcp_syn_linear_timeouts
	run "echo 6 > /proc/sys/net/ipv4/tcp_syn_retries"
	[[ ! -e $linear ]] || run "echo 0 > $linear"
	run 'ip route add unreachable 192.0.2.64/26; ip route add prohibit 192.0.2.128/26; ip route add blackhole 192.0.2.0/26'
	try 'ip link add east type veth peer name west && ip addr add 10.9.9.1/24 dev east && ip link set east up && ip link set west up'
	if ((STATUS == 0)); then
		have_neighbour=yes
	else
		say 'left out: a neighbour that does not answer, because there are no veth devices here'
	fi
	if have nft; then
		printf '%s\n' 'table inet lab {' ' chain in {' '  type filter hook input priority 0' \
			'  tcp dport 81 reject with icmpx type admin-prohibited' '  tcp dport 82 reject with tcp reset' '  tcp dport 83 drop' \
			' }' '}' >rules
		try 'nft -f rules && nft list ruleset'
		((STATUS == 0)) && have_nft=yes
	fi
	[[ -n $have_nft ]] || say 'left out: what a firewall answers, because there is no nft, or it may not be used here'
}

# All that wait do so at the same time.
four_ports() {
	measure quick 'connfail open closed --timeout 0.5 --syn-retries 1'
	measure writable 'connfail --writable open closed'
	measure counted 'connfail --fixed silent full --timeout 0.3'
	local line='connfail silent' waiting
	waiting=(
		"$line --timeout $patience_s --json > silent.json &"
		"connfail full --timeout $patience_s --json > full.json &"
		"connfail --fixed --timeout 1.5 --json > fixed.json &"
		"$line --syn-retries 1 --timeout 20 --json > syncnt.json &"
		"$line --user-timeout 1.5 --timeout 20 --json > user.json &"
		"$line --send-timeout 1 --timeout 20 --json > send.json &"
	)
	[[ -z $have_neighbour ]] || waiting+=('connfail --fixed 10.9.9.2 --timeout 20 --json > neighbour.json &')
	[[ -z $have_nft ]] || waiting+=('connfail --fixed 127.0.0.1:81 127.0.0.1:82 127.0.0.1:83 --timeout 2.5 --json > firewall.json &')
	run "$(printf '%s\n  ' "${waiting[@]}")wait"
}

this_host() {
	local route targets=''
	for route in "${routes[@]}"; do
		targets+=" ${target_of[$route]}"
	done
	measure routes "connfail --fixed$targets"
}

# --- observe ---

# of FILE KEY [TARGET]: of the attempt at that target.
of() {
	field "$1.json" "$2" attempt ${3:+"\"target\":\"$3\""}
}

seconds() {
	calc "$(of "$1" elapsed_ns "${2:-}") / 1e9" %.2f
}

observe() {
	local name route
	say "$(printf '%-34s %-16s %8s  %s' '' 'what came of it' 'time' 'SYNs')"
	row quick open 'a port that is open'
	row quick closed 'closed'
	row silent silent 'silent, a plain connect(2)'
	row full full 'a full backlog, a plain connect(2)'
	row syncnt silent 'silent, TCP_SYNCNT 1'
	row user silent 'silent, TCP_USER_TIMEOUT 1.5 s'
	row send silent 'silent, SO_SNDTIMEO 1 s'
	row fixed silent 'silent, a deadline of 1.5 s'
	for route in "${routes[@]}"; do
		row routes "${target_of[$route]}" "a route: $route"
	done
	[[ -z $have_neighbour ]] || row neighbour 10.9.9.2 'no such neighbour'
	[[ -z $have_nft ]] || row firewall 127.0.0.1:81 'firewall: reject, prohibited'
	[[ -z $have_nft ]] || row firewall 127.0.0.1:82 'firewall: reject with tcp reset'
	[[ -z $have_nft ]] || row firewall 127.0.0.1:83 'firewall: drop'
	gives_up_s=$(calc "$(field silent.json kernel_gives_up_ns start) / 1e9" %.0f)
	overflows=$(of counted listen_overflows full)
	say '' 'silent and full look alike to the client. The kernel of the server counts, as ListenOverflows: at the full one' \
		"$overflows, at the silent one $(of counted listen_overflows silent)." \
		"The closed port, of which writable was taken for connected: send(2) says $(of writable first_send closed), and then" \
		"$(of writable second_send closed)."
	figure kernel_gives_up_s "$gives_up_s" s
	for name in syncnt user send; do
		figure "took_s_$name" "$(seconds $name silent)" s
	done
	figure listen_overflows "$overflows"
	measured forever "after $patience_s s it had not; this kernel would after $gives_up_s s"
	measured full 'the same: no answer, SYN after SYN'
	measured writable "$(of writable first_send closed): connection refused; a second one: $(of writable second_send closed)"
}

# row FILE TARGET TEXT
row() {
	local error outcome
	error=$(of "$1" errno "$2") outcome=$(of "$1" outcome "$2")
	case $outcome in
	waiting) error='(still waiting)' ;;
	connected) error=connected ;;
	deadline) error='(our deadline)' ;;
	esac
	say "$(printf '%-34s %-16s %6s s  %s' "$3" "$error" "$(seconds "$1" "$2")" "$(syns "$1" "$2")")"
}

# "3: at 0.0 1.0 3.1 s"
syns() {
	local sent
	sent=$(of "$1" syns "$2")
	[[ $sent -lt 2 ]] || sent+=": at$(syn_times "$1" "$2" | awk '{ printf " %.1f", $1 / 1e9 }') s"
	echo "$sent"
}

# One a line, ns.
syn_times() {
	sed -n "s/.*\"target\":\"$2\".*\"syn_ns\":\[\([0-9,]*\)\].*/\1/p" "$1.json" | tr , '\n'
}

# --- explain ---

explain() {
	say 'Whoever says no, says it at once: a closed port answers with a reset, a route of this host fails before anything is sent, a' \
		'firewall that rejects sends a reset or an ICMP message. Each has its errno, and the errno says who it was.' \
		'Whoever says nothing costs time. No answer may mean a lost SYN, so the kernel sends it again, after 1, 2, 4 ... s, as often as' \
		"tcp_syn_retries says; 6 of them are $gives_up_s s. A firewall that drops, a host that is off and a full backlog (Linux ignores the" \
		'SYN, so that it comes again when there may be room) are the same to the client.' \
		'A neighbour that does not answer is found out by ARP, in 3 s: the SYN waited for an address and has never left.' \
		'So say how long you are ready to wait: a non-blocking connect(2), poll(2) with a deadline, and then SO_ERROR. Not "writable":' \
		'a refused connection is writable, too, and send(2) is where the program would hear of it.' \
		'TCP_SYNCNT and TCP_USER_TIMEOUT make the kernel give up sooner, SO_SNDTIMEO lets a plain connect(2) return.' \
		'' \
		'In the source: connect_blocking(), connect_writable() and connect_fixed() in tools/connfail.c; kernel_patience_s() has the sum.' \
		'Read on: connect(2), tcp(7) tcp_syn_retries, RFC 9293 3.10.7.2, RFC 6298, RFC 1122 4.2.3.5.'
}

# --- verdict ---

judge() {
	local route gap
	claim 'open: connected, in each of three ways' \
		"\"$(of quick outcome open)$(of writable outcome open)$(of fixed outcome open)\" == \"connectedconnectedconnected\""
	claim 'closed: ECONNREFUSED after one SYN, and in less than half a second' \
		"\"$(of quick errno closed)\" == \"ECONNREFUSED\" && $(of quick syns closed) == 1 && $(seconds quick closed) < 0.5"
	claim "silent: after $patience_s s a plain connect(2) has not returned, and 3 SYNs were sent" \
		"\"$(of silent outcome)\" == \"waiting\" && $(of silent syns) == 3"
	gap=$(syn_times silent silent | awk '{ at[NR] = $1 } END { print NR < 3 ? "null" : (at[3] - at[2]) / (at[2] - at[1]) }')
	claim 'the second wait is twice the first one' "$gap > 1.5 && $gap < 2.5"
	claim 'full: the same' "\"$(of full outcome)\" == \"waiting\" && $(of full syns) == 3"
	claim 'and only at the server there is a difference: ListenOverflows' \
		"$overflows >= 1 && $(of counted listen_overflows silent) == 0"
	claim 'writable: the closed port was taken for connected; the first send(2) says ECONNREFUSED, the second EPIPE' \
		"\"$(of writable outcome closed) $(of writable first_send closed) $(of writable second_send closed)\" == \"believed ECONNREFUSED EPIPE\""
	claim 'fixed: all four are found out, the silent ones at the deadline' \
		"\"$(field fixed.json as_promised)\" == \"true\" && $(seconds fixed silent) >= 1.5 && $(seconds fixed full) < 4"
	claim 'TCP_SYNCNT 1: ETIMEDOUT after 2 SYNs and 3 s' \
		"\"$(of syncnt errno)\" == \"ETIMEDOUT\" && $(of syncnt syns) == 2 && $(seconds syncnt) > 2.5 && $(seconds syncnt) < 6"
	claim 'TCP_USER_TIMEOUT 1.5 s: ETIMEDOUT, and not before that' \
		"\"$(of user errno)\" == \"ETIMEDOUT\" && $(seconds user) >= 1.4 && $(seconds user) < 4"
	claim 'SO_SNDTIMEO 1 s: EINPROGRESS' "\"$(of send errno)\" == \"EINPROGRESS\" && $(seconds send) >= 0.9 && $(seconds send) < 3"
	for route in "${routes[@]}"; do
		claim "route $route: ${errno_of[$route]}, and nothing was sent" \
			"\"$(of routes errno "${target_of[$route]}")\" == \"${errno_of[$route]}\" && $(of routes syns "${target_of[$route]}") == 0"
	done
	[[ -z $have_neighbour ]] || claim 'a neighbour that does not answer: EHOSTUNREACH, after some seconds' \
		"\"$(of neighbour errno)\" == \"EHOSTUNREACH\" && $(seconds neighbour) > 1 && $(seconds neighbour) < 15"
	[[ -n $have_nft ]] || return 0
	claim 'a firewall may say EHOSTUNREACH (prohibited), ECONNREFUSED (a reset), or nothing' \
		"\"$(of firewall errno 127.0.0.1:81) $(of firewall errno 127.0.0.1:82) $(of firewall outcome 127.0.0.1:83)\" == \"EHOSTUNREACH ECONNREFUSED deadline\""
}

main "$@"
