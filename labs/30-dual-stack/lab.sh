#!/usr/bin/env bash
# 30-dual-stack - one name, two addresses: who is refused, who gets in, and how long a client waits.
#
# tier: ns
# summary: A server for each family that cannot start, one that refuses half of localhost, a ban that misses, and a client that waits for IPv6.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

runs=3
patience_s=1.5
name=twofold.test
experiments=(bind reach acl)

main() {
	lab_start "$@"
	need dualstack mount

	beat predict
	say 'A server opens a socket on 0.0.0.0, for IPv4, and then one on ::, for IPv6, with the same port.'
	predict bind 'What does the second bind(2) say?' 'all is well' 'EADDRINUSE: the port is taken' 'EAFNOSUPPORT: that is another family'
	say 'A server listens on :: and takes both families. Nobody from 127.0.0.0/8 may come in: it compares the address that accept(2)' \
		'tells with that network. A client connects to 127.0.0.1.'
	predict acl 'What becomes of it?' 'turned away' 'let in'
	say "The name $name has an IPv6 and an IPv4 address. IPv6 leads nowhere: what is sent there is lost. A client gives each" \
		"address $patience_s s. A second client does not wait for that, but tries the next address after 250 ms, too."
	predict turn 'How many ms until the first client is connected?'
	predict race 'And the second one?'

	beat run
	two_names
	local experiment i
	for experiment in "${experiments[@]}"; do
		measure "$experiment" "dualstack $experiment"
		measure "$experiment-fixed" "dualstack $experiment --fixed"
	done
	local client="dualstack race --host $name --timeout $patience_s"
	for ((i = 1; i <= runs; i++)); do
		measure "turn-$i" "$client"
		measure "race-$i" "$client --fixed"
		measure "turn-refused-$i" 'dualstack race --refused'
		measure "race-refused-$i" 'dualstack race --refused --fixed'
	done
	sysctl_too

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# A name with two addresses, in a hosts file that only this lab sees.
two_names() {
	grep -qsw lo /proc/net/if_inet6 || skip 'there is no IPv6 on loopback here (/proc/net/if_inet6)'
	[[ -e /etc/hosts ]] || skip 'there is no /etc/hosts that could be covered'
	printf '%s\n' "::1 $name" "127.0.0.1 $name" >hosts
	echo 'hosts: files' >nsswitch.conf
	run 'cat hosts'
	try 'mount --bind hosts /etc/hosts'
	((STATUS == 0)) || skip '/etc/hosts cannot be covered by another one here'
	[[ ! -e /etc/nsswitch.conf ]] || run 'mount --bind nsswitch.conf /etc/nsswitch.conf'
	[[ ! -d /run/nscd ]] || run 'mkdir no-nscd && mount --bind no-nscd /run/nscd' # it would ask for us, somewhere else
	! have getent || run "getent ahosts $name"
}

# What no setsockopt says, a sysctl says.
sysctl_too() {
	have_sysctl=''
	if [[ -w /proc/sys/net/ipv6/bindv6only ]]; then
		have_sysctl=yes
		run 'echo 1 > /proc/sys/net/ipv6/bindv6only'
		try 'dualstack bind --json > bindv6only.json'
		status_v6only=$STATUS
		run 'echo 0 > /proc/sys/net/ipv6/bindv6only'
	else
		say 'left out: the sysctl bindv6only, because it may not be written here'
	fi
}

# --- observe ---

# pair FILE FIRST SECOND
pair() {
	local error
	error=$(field "$1.json" errno pair "\"first\":\"$2\"" "\"second\":\"$3\"")
	[[ $error != null ]] || error=ok
	echo "$error"
}

# refused FILE: "SERVER refuses ADDRESS", a line each.
refused() {
	sed -n 's/.*"server":"\([^"]*\)","to":"\([^"]*\)","errno":"ECONNREFUSED".*/\1 refuses \2/p' "$1.json"
}

# client FILE KEY SERVER
client() {
	field "$1.json" "$2" client "\"server\":\"$3\""
}

# least_ms FILE: of all runs, because others at work make it longer, and never shorter.
least_ms() {
	local i values=()
	for ((i = 1; i <= runs; i++)); do
		values+=("$(field "$1-$i.json" took_ns)")
	done
	calc "$(printf '%s\n' "${values[@]}" | sort -g | sed -n 1p) / 1e6" %.1f
}

took_ms() {
	local i values=()
	for ((i = 1; i <= runs; i++)); do
		values+=("$(field "$1-$i.json" took_ns)")
	done
	calc "$(median "${values[@]}") / 1e6" %.0f
}

observe() {
	local kind
	say "0.0.0.0, then ::                     $(pair bind 0.0.0.0 'just ::')" \
		"::, then 0.0.0.0                     $(pair bind 'just ::' 0.0.0.0)" \
		"0.0.0.0, then :: with IPV6_V6ONLY    $(pair bind-fixed 0.0.0.0 'only ::')" \
		"127.0.0.1, then ::                   $(pair bind 127.0.0.1 ::)"
	[[ -z $have_sysctl ]] || say "0.0.0.0, then ::, bindv6only 1       $(pair bindv6only 0.0.0.0 'just ::')"
	say '' "$(refused reach)" "a server of both families refuses $(refused reach-fixed | grep -c .)"
	say '' "$(printf '%-22s %-22s %-12s %s' 'server' 'the client is called' 'plain list' 'looked behind')"
	for kind in 0.0.0.0 ::; do
		say "$(printf '%-22s %-22s %-12s %s' "$kind" "$(client acl seen "$kind")" "$(let_in acl "$kind")" "$(let_in acl-fixed "$kind")")"
	done
	turn_ms=$(took_ms turn) race_ms=$(took_ms race)
	turn_refused_ms=$(least_ms turn-refused) race_refused_ms=$(least_ms race-refused)
	say '' "$(printf '%-30s %16s %16s' 'connected after' 'in turn' 'racing')" \
		"$(printf '%-30s %13s ms %13s ms' 'IPv6 leads nowhere' "$turn_ms" "$race_ms")" \
		"$(printf '%-30s %13s ms %13s ms' 'IPv6 refuses' "$turn_refused_ms" "$race_refused_ms")"
	figure turn_ms "$turn_ms" ms
	figure race_ms "$race_ms" ms
	figure turn_refused_ms "$turn_refused_ms" ms
	measured bind "$(pair bind 0.0.0.0 'just ::')"
	measured acl "$(let_in acl ::): its name was $(client acl seen ::)"
	measured turn "$turn_ms"
	measured race "$race_ms"
}

# let_in FILE SERVER
let_in() {
	[[ $(client "$1" let_in "$2") == true ]] && echo 'let in' || echo 'turned away'
}

# --- explain ---

explain() {
	say 'The wildcard address of IPv6 means IPv4 as well, unless the socket says IPV6_V6ONLY (or the sysctl bindv6only says it for all). So' \
		'0.0.0.0 and :: want the same port, and whoever comes second does not get it. One socket for both, or one for each with V6ONLY.' \
		'A server of one family refuses half of "localhost": whether a client notices depends on which address its resolver names' \
		'first, and on whether it tries the other one.' \
		'On a socket for both an IPv4 client is called ::ffff:127.0.0.1. That is in no IPv4 network, nor does the text begin with' \
		'"127.": a rule that bans does not ban, a rule that invites does not invite, and log files have two names for one host. Look' \
		'behind the mapping, once, where addresses come in.' \
		'A refusal is no matter: the next address is tried at once. Silence costs the timeout, at each connection. Happy eyeballs' \
		'(RFC 8305) begin with the next address when the first has not answered for 250 ms, and take whichever is first.' \
		'' \
		'In the source: serve_each(), serve_one_family(), is_banned(), connect_in_turn() and connect_in_race() in tools/dualstack.c;' \
		'common/connector.h is the same for event loops. Read on: ipv6(7) IPV6_V6ONLY, RFC 3493 5.3, RFC 4291 2.5.5.2, RFC 6724, RFC 8305.'
}

# --- verdict ---

judge() {
	local i
	claim '0.0.0.0 and :: on one port: EADDRINUSE, in either order' \
		"\"$(pair bind 0.0.0.0 'just ::') $(pair bind 'just ::' 0.0.0.0)\" == \"EADDRINUSE EADDRINUSE\""
	claim 'with IPV6_V6ONLY both have it, in either order' \
		"\"$(pair bind-fixed 0.0.0.0 'only ::') $(pair bind-fixed 'only ::' 0.0.0.0)\" == \"ok ok\""
	[[ -z $have_sysctl ]] || claim 'with the sysctl bindv6only as well: the mistake does no harm' \
		"\"$(pair bindv6only 0.0.0.0 'just ::')\" == \"ok\" && $status_v6only == 3"
	claim '127.0.0.1 and :: want the same port, too; 127.0.0.1 and ::1 do not' \
		"\"$(pair bind 127.0.0.1 ::) $(pair bind 127.0.0.1 ::1)\" == \"EADDRINUSE ok\""
	claim 'each of four servers of one family refuses one of two clients' "$(refused reach | grep -c .) == 4"
	claim 'a server of both families refuses nobody' "$(refused reach-fixed | grep -c .) == 0"
	claim 'who is banned is turned away at 0.0.0.0, and let in at ::' \
		"\"$(let_in acl 0.0.0.0), $(let_in acl ::)\" == \"turned away, let in\""
	claim 'because there it is called ::ffff:127.0.0.1' "\"$(client acl seen ::)\" == \"::ffff:127.0.0.1\""
	claim 'looked behind the mapping: turned away at both' \
		"\"$(let_in acl-fixed 0.0.0.0), $(let_in acl-fixed ::)\" == \"turned away, turned away\""
	for ((i = 1; i <= runs; i++)); do
		claim "run $i: in turn not before $patience_s s are over, racing not before 250 ms, and before $patience_s s" \
			"$(field "turn-$i.json" took_ns) >= $patience_s * 1e9 && $(field "race-$i.json" took_ns) >= 0.25e9 && $(field "race-$i.json" took_ns) < $patience_s * 1e9"
	done
	claim 'either reaches the IPv4 address' \
		"\"$(field turn-1.json reached | sed 's/:.*//') $(field race-1.json reached | sed 's/:.*//')\" == \"127.0.0.1 127.0.0.1\""
	claim 'refused by IPv6: either is connected without waiting for 250 ms' "$turn_refused_ms < 250 && $race_refused_ms < 250"
}

main "$@"
