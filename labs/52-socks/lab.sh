#!/usr/bin/env bash
# 52-socks - a proxy that waits for a name, one that says "granted" too early, and what a proxy costs in round trips.
#
# tier: ns
# summary: A SOCKS server that stalls everyone for one name, one that grants what it does not have, and the price of a right one.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

visits=3
questions=400
delay=20
nobody=9 # on a network of our own nobody listens there
servers=(naive fixed socks4a)
ways=(direct 4a early 5 login)
ada=silent.test:80 # where they want to go
bob=''

main() {
	lab_start "$@"
	need naivesocks socks4a tcprelay netcat-nonblocking roundtrip echo discard mount

	beat predict
	say 'Ada and Bob use the same SOCKS server: one thread, non-blocking sockets, poll(2). Ada wants to go to a host whose name has to be' \
		'looked up, and the resolver does not answer. Just after that Bob comes, who wants to go to an address.'
	predict stall 'When is Bob served?' 'at once' 'when somebody has given up looking for the name' 'never'
	say 'Another server replies "granted" as soon as it has read a request, and then connects. At the target nobody listens.'
	predict lie 'What does the client believe?' 'connection refused' 'the target is there, and had nothing to say' \
		'the SOCKS server is out of order'
	predict trips 'SOCKS 5 with user and password: how many round trips to the server until the first answer of the target is here?'

	beat run
	silence
	serve echo 'env echo -s -p 0' # bash has one of its own
	bob=127.0.0.1:$PORT
	part_one
	part_two
	part_three

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

declare -A to=() # the ports of the links
link="tcprelay --delay ${delay}ms --dump hex 0"

# start NAME MISTAKE: the server NAME, at $PORT.
start() {
	case ${1#*-} in
	naive) serve "$1" "naivesocks --mistake $2 --json 0 > $1.json" ;;
	fixed) serve "$1" "naivesocks --mistake $2 --fixed --json 0 > $1.json" ;;
	socks4a) serve "$1" "socks4a --json 0 > $1.json" ;;
	esac
}

# A resolver that takes every question and says nothing. Only this lab sees it: its network and its mounts are its own.
silence() {
	printf '%s\n' 'nameserver 127.0.0.1' 'options timeout:1 attempts:1' >resolv.conf
	echo 'hosts: files dns' >nsswitch.conf
	run 'cat resolv.conf'
	[[ -e /etc/resolv.conf ]] || skip 'there is no /etc/resolv.conf that could be covered'
	try 'mount --bind resolv.conf /etc/resolv.conf'
	((STATUS == 0)) || skip 'resolv.conf cannot be covered by another one here'
	[[ ! -e /etc/nsswitch.conf ]] || run 'mount --bind nsswitch.conf /etc/nsswitch.conf'
	[[ ! -d /run/nscd ]] || run 'mkdir no-nscd && mount --bind no-nscd /run/nscd' # it would ask for us, somewhere else
	serve resolver 'discard -s -p 53'
}

# Datagrams that the programs of this network have received so far: here only the resolver's.
heard() {
	local words
	mapfile -t words < <(sed -n 's/^Udp: \([0-9]*\) .*/\1/p' /proc/net/snmp)
	echo "${words[0]}"
}

# asked N: waits until the resolver has heard something since there were N.
asked() {
	local tries
	for ((tries = 0; tries < 1500 && $(heard) <= $1; tries++)); do
		sleep 0.01
	done
}

# stopwatch FILE COMMAND...: how long it took, in microseconds.
stopwatch() {
	local file=$1 began=${EPOCHREALTIME/./} status
	shift
	"$@"
	status=$?
	echo $((${EPOCHREALTIME/./} - began)) >"$file"
	return $status
}
export -f heard asked stopwatch

part_one() {
	local server ask before
	for server in "${servers[@]}"; do
		start "dns-$server" dns
		ask="netcat-nonblocking --socks socks4a://127.0.0.1:$PORT"
		before=$(heard)
		run "stopwatch ada-$server.us $ask ${ada/:/ } < /dev/null & asked $before"$'\n'"  echo hello | stopwatch bob-$server.us $ask ${bob/:/ } > bob-$server.txt; jobs -r | wc -l > waiting-$server.txt; wait"
		[[ $(heard) -gt $before ]] || skip 'names are looked up in another way than by the resolver of resolv.conf here'
		[[ $server == socks4a ]] || stop "dns-$server"
	done
	proxy=$PORT # for the rest, too
}

part_two() {
	local server
	for server in "${servers[@]}"; do
		start "grant-$server" grant
		run "printf '\\4\\1\\0\\$(printf %o $nobody)\\177\\0\\0\\1\\0' | netcat-nonblocking 127.0.0.1 $PORT | od -An -tx1 | tee reply-$server.txt"
		run "for i in {1..$visits}; do echo hello | netcat-nonblocking --socks socks4a://127.0.0.1:$PORT 127.0.0.1 $nobody; echo status \$?; done > visits-$server.txt 2>&1; sort visits-$server.txt | uniq -c"
		stop "grant-$server"
	done
	try "netcat-nonblocking -d --socks socks5://127.0.0.1:$proxy 127.0.0.1 $nobody 2>&1 | tee socks5.txt"
}

part_three() {
	local way measure
	run 'echo alice:secret > users; chmod 600 users'
	serve login 'socks4a --users users 0'
	serve link-login "$link 127.0.0.1:$PORT > link-login.txt"
	to[login]=$PORT
	serve link-socks "$link 127.0.0.1:$proxy > link-socks.txt"
	to[socks]=$PORT
	serve link-direct "$link $bob > link-direct.txt"
	to[direct]=$PORT
	for way in "${ways[@]}"; do
		cross "$way" "${bob/:/ }"
	done
	stop link-login
	stop link-socks
	stop link-direct
	run "sed '/ = /,\$d' link-login.txt"

	serve answer 'roundtrip -s -p 0 --bind 127.0.0.1'
	measure="roundtrip 127.0.0.1 -p $PORT --tcp -D -i 0 -n $questions --json"
	run "for i in 1 2 3; do $measure > rtt-direct-\$i.json; $measure --socks 127.0.0.1:$proxy > rtt-socks-\$i.json; done"
	stop answer
	stop login
	stop dns-socks4a
}

# cross WAY TARGET: hello to the echo and back, over the link.
cross() {
	local client="stopwatch $1.us netcat-nonblocking" line
	case $1 in
	direct) line="echo hello | $client 127.0.0.1 ${to[direct]}" ;;
	4a) line="echo hello | $client --socks socks4a://127.0.0.1:${to[socks]} $2" ;;
	5) line="echo hello | $client --socks socks5://127.0.0.1:${to[socks]} $2" ;;
	login) line="echo hello | $client --socks socks5://alice:secret@127.0.0.1:${to[login]} $2" ;;
	early) line="printf '$(request)hello\\n' | $client 127.0.0.1 ${to[socks]} | tail -c +9" ;;
	esac
	run "$line > $1.txt"
}

# What SOCKS 4 has to say to get to the echo, in printf's words.
request() {
	printf '\\4\\1\\%03o\\%03o\\177\\0\\0\\1\\0' $((${bob#*:} / 256)) $((${bob#*:} % 256))
}

# --- observe ---

declare -A ada_ms=() bob_ms=() waiting=() said=() granted=() rejected=() believed=() trips=() took=()

observe() {
	stalls
	lies
	costs
}

stalls() {
	local server
	say "$(printf '%-10s %12s %12s %28s' 'server' "Bob's answer" "Ada's answer" 'when Bob was done, Ada still')"
	for server in "${servers[@]}"; do
		ada_ms[$server]=$(calc "$(<"ada-$server.us") / 1000" %.1f)
		bob_ms[$server]=$(calc "$(<"bob-$server.us") / 1000" %.1f)
		waiting[$server]=$(<"waiting-$server.txt")
		say "$(printf '%-10s %9s ms %9s ms %28s' "$server" "${bob_ms[$server]}" "${ada_ms[$server]}" \
			"$([[ ${waiting[$server]} -gt 0 ]] && echo waited || echo 'did not wait any more')")"
		figure "bob_$server" "${bob_ms[$server]}" ms
		figure "ada_$server" "${ada_ms[$server]}" ms
	done
	measured stall "$(calc "${bob_ms[naive]} / 1000" %.1f) s later, when the lookup for Ada was over; with socks4a ${bob_ms[socks4a]} ms"
}

lies() {
	local server
	say '' "$(printf '%-10s %8s %9s %9s %22s' server reply granted rejected 'clients with status 0')"
	for server in "${servers[@]}"; do
		said[$server]=$(tr -d ' \n' <"reply-$server.txt")
		granted[$server]=$(field "grant-$server.json" granted)
		rejected[$server]=$(field "grant-$server.json" rejected)
		believed[$server]=$(grep -c '^status 0' "visits-$server.txt")
		say "$(printf '%-10s %8s %9s %9s %22s' "$server" "0x${said[$server]:2:2}" "${granted[$server]}" "${rejected[$server]}" \
			"${believed[$server]} of $visits")"
		figure "granted_$server" "${granted[$server]}"
	done
	measured lie "that the target is there: ${believed[naive]} of $visits ended with status 0; with socks4a ${believed[socks4a]}"
}

costs() {
	local way direct through
	say '' "$(printf '%-34s %12s %12s' 'to the first answer' 'round trips' 'time')"
	for way in "${ways[@]}"; do
		# shellcheck disable=SC2086 # a file and a number
		trips[$way]=$(round_trips ${dump_of[$way]})
		took[$way]=$(calc "$(<"$way.us") / 1000" %.1f)
		say "$(printf '%-34s %12s %9s ms' "${name_of[$way]}" "${trips[$way]}" "${took[$way]}")"
		figure "round_trips_$way" "${trips[$way]}"
		figure "took_$way" "${took[$way]}" ms
	done
	direct=$(p50 direct) through=$(p50 socks)
	say '' "a round trip on this host (median): $direct us, and $through us through socks4a"
	figure rtt_direct "$direct" us
	figure rtt_through "$through" us
	measured trips "${trips[login]}; without a login ${trips[5]}, SOCKS 4a ${trips[4a]}, directly ${trips[direct]}"
}

declare -A name_of=(
	[direct]='directly'
	[4a]='SOCKS 4a'
	[early]='SOCKS 4, hello with the request'
	[5]='SOCKS 5'
	[login]='SOCKS 5, user and password'
)
declare -A dump_of=( # which dump it is in, and the number of the connection there
	[direct]='link-direct.txt 1'
	[4a]='link-socks.txt 1'
	[early]='link-socks.txt 2'
	[5]='link-socks.txt 3'
	[login]='link-login.txt 1'
)

# round_trips FILE N: how often something went up and then something came down.
round_trips() {
	awk -v flow="#$2" '$2 == flow && /[<>]/ { if ($3 == "<" && last == ">") n++; last = $3 } END { print n + 0 }' "$1"
}

# p50 WHICH: of the three runs the one in the middle, us.
p50() {
	local i values=()
	for i in 1 2 3; do
		values+=("$(field "rtt-$1-$i.json" rtt_p50_ns)")
	done
	calc "$(median "${values[@]}") / 1000" %.1f
}

# The shortest of all, ns: other work beside it can make round trips longer, but none shorter.
shortest() {
	local i
	for i in 1 2 3; do
		field "rtt-$1-$i.json" rtt_min_ns
	done | sort -n | sed -n 1p
}

# --- explain ---

explain() {
	say 'Bob: naive calls getaddrinfo(3) in its loop. The call returns when there is an answer, or when resolv.conf(5) says that it is' \
		'enough: here after a second, by default after 10 s for each server. That all sockets are non-blocking helps nobody as long' \
		'as the only thread stands in that call. fixed and socks4a let another thread stand there, and go on.' \
		'' \
		'The lie: there is one reply. Who has sent it before connect(2) is done has nothing left with which to take it back; only a FIN,' \
		'and that says "the target had nothing to say". The client ends with status 0. SOCKS 4 cannot say why not (0x5b); SOCKS 5 has' \
		"a code for it, 5: \"$(sed 's/.*says: //' socks5.txt)\"." \
		'' \
		'The price: each question that needs an answer before the next one is a round trip: methods, login, request, and then hello.' \
		"The link takes $delay ms each way; that a connection has to be opened comes on top, with a proxy as without one. SOCKS 4 needs" \
		'no round trip at all if the client sends hello right behind its request; a server has to pass that on (with naivesocks' \
		'--mistake segment it is lost). Once the connection stands, a proxy is one more program to be woken up each way.' \
		'' \
		'In the source: find_addresses(), begin() and connect_done() in tools/naivesocks.c; resolver_ask() in common/resolver.c.' \
		'Read on: RFC 1928, RFC 1929, getaddrinfo(3), resolv.conf(5).'
}

# --- verdict ---

judge() {
	local server way
	claim 'naive: Bob is not even accepted before the lookup for Ada is over' \
		"$(of naive accepted_ns "$bob") >= $(of naive resolved_ns "$ada")"
	claim 'fixed: Bob is served, and has gone, while the lookup for Ada goes on' \
		"$(of fixed ended_ns "$bob") < $(of fixed resolved_ns "$ada")"
	for server in fixed socks4a; do
		claim "$server: when Bob is done, Ada still waits" "${waiting[$server]} == 1 && ${bob_ms[$server]} < ${ada_ms[$server]}"
	done
	for server in "${servers[@]}"; do
		claim "$server: Bob gets what he asked for" "\"$(<"bob-$server.txt")\" == \"hello\""
	done
	claim "naive: 0x5a, $visits of $visits clients believe it, and nobody is rejected" \
		"\"${said[naive]:0:4}\" == \"005a\" && ${believed[naive]} == $visits && ${granted[naive]} == $visits + 1 && ${rejected[naive]} == 0"
	for server in fixed socks4a; do
		claim "$server: 0x5b, no client believes anything, and nobody is granted anything" \
			"\"${said[$server]:0:4}\" == \"005b\" && ${believed[$server]} == 0 && ${granted[$server]} == 0 && ${rejected[$server]} == $visits + 1"
	done
	claim 'SOCKS 5 says why' "$(grep -c ECONNREFUSED socks5.txt) == 1"
	claim 'round trips: directly 1, SOCKS 4a 2, SOCKS 5 3, with a login 4' \
		"${trips[direct]} == 1 && ${trips[4a]} == 2 && ${trips[5]} == 3 && ${trips[login]} == 4"
	claim 'round trips: SOCKS 4, and hello right behind the request: 1' "${trips[early]} == 1"
	for way in "${ways[@]}"; do
		claim "${name_of[$way]}: hello comes back, and not before ${trips[$way]} x $((2 * delay)) ms" \
			"\"$(<"$way.txt")\" == \"hello\" && ${took[$way]} >= ${trips[$way]} * 2 * $delay"
	done
	claim 'a round trip through a proxy is longer than without one' "$(shortest socks) > $(shortest direct)"
}

# of SERVER KEY TARGET: what became of that client.
of() {
	field "dns-$1.json" "$2" connection "\"target\":\"$3\""
}

main "$@"
