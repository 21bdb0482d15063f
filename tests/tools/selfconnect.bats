#!/usr/bin/env bats
# selfconnect: what it predicts happens, what it predicts impossible does not; the broken client's harm, the fixed client's
# way out, and each family, transport and way.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	selfconnect=$TCPLAB_BIN/selfconnect
}

# --- what the tests share -------------------------------------------------------------------------------------------

# meets_itself OPTION...: it happens, status 0; the records are in $output.
meets_itself() {
	echo "selfconnect $*"
	run -0 --separate-stderr "$selfconnect" --json "$@"
	echo "$output"
	same stderr "$stderr" ''
	same self_connected "$(ours self_connected)" true
}

# The broken client, of TCP: both names, one line, its own bytes, and the server has no chance.
does_harm() {
	meets_itself "$@"
	same predicted "$(ours predicted start)" possible
	same "the two names" "$(ours local)" "$(ours peer)"
	same "the address" "$(ours local)" "$(ours address start)"
	[[ $(ours local) == *":$(ours port)" ]]
	same lines "$(ours lines)" 1
	same echoed "$(ours echoed_bytes)" 13
	same "bind, while it lives" "$(ours bind_while_errno)" EADDRINUSE
	same "state afterwards" "$(ours state_after)" TIME-WAIT
	same "bind, afterwards" "$(ours bind_after_errno)" EADDRINUSE
	same noticed "$(ours noticed)" false
}

# The fixed one: nothing is left, and the server comes up and is reached.
does_no_harm() {
	meets_itself --fixed "$@"
	same noticed "$(ours noticed)" true
	same "bind, afterwards" "$(ours bind_after_errno)" null
	same "state afterwards" "$(ours state_after)" null
	same reached "$(ours server_reached)" true
}

# Sets $FREE: a port that nobody has, and that the kernel would give to a client.
find_free() {
	run "$selfconnect" --fixed --tries 1 --json
	FREE=$(ours address start)
	FREE=${FREE##*:}
}

has_port_ranges() {
	run "$selfconnect" --by range --tries 1
	[[ $output != *ENOPROTOOPT* ]] || skip "IP_LOCAL_PORT_RANGE needs Linux 6.3"
}

range() {
	local low high
	read -r low high </proc/sys/net/ipv4/ip_local_port_range
	echo "$low $high"
}

# A program that has the port and does not listen.
hold_port() {
	need python3
	start_server python3 -c '
import socket, sys, time
s = socket.socket()
s.bind(("127.0.0.1", int(sys.argv[1])))
print("not yet listening on 127.0.0.1:%d" % s.getsockname()[1], file=sys.stderr, flush=True)
time.sleep(1000)' "$1"
}

# in_network RANGE RESERVED COMMAND: in a network of its own with such sysctls.
in_network() {
	unshare -Urn true 2>/dev/null || skip "needs network namespaces"
	need ip
	RANGE=$1 RESERVED=$2 unshare -Urn bash -c 'ip link set lo up && echo "$RANGE" >/proc/sys/net/ipv4/ip_local_port_range &&
		echo "$RESERVED" >/proc/sys/net/ipv4/ip_local_reserved_ports && '"$3"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$selfconnect" --help
	[[ $output == *"usage: selfconnect"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$selfconnect" --version
	[[ $output == "selfconnect (tcplab) "* ]]
}

refused() {
	echo "selfconnect $*"
	run -2 --separate-stderr "$selfconnect" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "wrong usage: status 2, one line" {
	refused 65536
	refused -- -1
	refused http
	refused 40000 40001
	refused --by magic
	refused --tries 0
	refused --time 0
	refused --fixed --hold 1
	refused -4 -6
	refused --nonsense
}

# --- it happens -----------------------------------------------------------------------------------------------------

@test "natural: sooner or later it happens, and the server has no chance" {
	does_harm
	same by "$(ours by start)" natural
	[ "$(ours tries)" -le "$(ours max_tries start)" ]
}

@test "natural, fixed: the client lets go, and reaches its server" {
	does_no_harm
}

@test "bind: at the first try" {
	does_harm --by bind
	same tries "$(ours tries)" 1
	does_no_harm --by bind
	same tries "$(ours tries)" 1
}

@test "range: at the first try, whatever the parity" {
	has_port_ranges
	local round
	for round in 1 2 3 4 5 6; do
		echo "round $round"
		does_harm --by range
		same tries "$(ours tries)" 1
	done
	does_no_harm --by range
	same tries "$(ours tries)" 1
}

@test "IPv6" {
	grep -q . /proc/net/if_inet6 || skip "needs IPv6"
	does_harm -6
	[[ $(ours local) == '[::1]:'* ]]
	does_no_harm -6 --by bind
	meets_itself -6 --udp --by bind
	same lines "$(ours lines)" 1
}

@test "UDP: nothing but the names tells, each datagram comes back, and no TIME-WAIT stays" {
	local way
	for way in natural bind; do
		meets_itself --udp --by $way
		same "the two names" "$(ours local)" "$(ours peer)"
		same lines "$(ours lines)" 1
		same echoed "$(ours echoed_bytes)" 13
		same "bind, while it lives" "$(ours bind_while_errno)" EADDRINUSE
		same "state afterwards" "$(ours state_after)" null
		same "bind, afterwards" "$(ours bind_after_errno)" null
		does_no_harm --udp --by $way
	done
}

@test "in text: the prediction, the names, the harm" {
	run -0 "$selfconnect" --by bind
	[[ $output == *"predicted "*"first try"*"1 try, "*getsockname*getpeername*"the same"* ]]
	[[ $output == *"the same"*ESTABLISHED*hello*hello*EADDRINUSE*TIME-WAIT*EADDRINUSE*"60 s"* ]]
	run -0 "$selfconnect" --by bind --fixed
	[[ $output == *"the same"*"bind "*ok*"connected, to the server"* ]]
	[[ $output != *TIME-WAIT* ]]
}

# --- it does not happen ---------------------------------------------------------------------------------------------

# foretells WHY OPTION...: impossible for this reason, and it is.
foretells() {
	echo "$1: selfconnect ${*:2}"
	run -3 --separate-stderr "$selfconnect" --json "${@:2}"
	echo "$output"
	same predicted "$(ours predicted start)" impossible
	[[ $(ours why start) == *"$1"* ]]
	same self_connected "$(ours self_connected)" false
	same "tries" "$(ours tries)" "$(ours max_tries start)"
}

@test "the other parity, a port below the range: predicted impossible, and it does not happen" {
	local low high port
	read -r low high <<<"$(range)"
	[ $((high - low)) -ge 100 ] || skip "needs a wider ip_local_port_range"
	# one that no server of another test has
	for ((port = low + 51; port < low + 90; port += 2)); do
		run "$selfconnect" --json $port --tries 1
		[ "$(ours predicted start)" != impossible ] || break
	done
	foretells parity $port --tries 20000
	[ "$(ours nearest_port start)" -eq $((port - 1)) ] || [ "$(ours nearest_port start)" -eq $((port + 1)) ]
	foretells outside 9 --tries 2000
	same "nearest" "$(ours nearest_port start)" "$low"
}

@test "in a narrow range: every port of the lower end's parity, and no other" {
	run in_network '40000 40010' '40004' "$selfconnect"' --json --fixed'
	[ "$status" -ne 1 ] || echo "$output"
	same candidates "$(ours candidates start)" 4
	local port
	for port in 40000 40002 40006 40008; do
		run -0 in_network '40000 40010' '40004' "$selfconnect $port --json --fixed --tries 1000"
		same "self_connected $port" "$(ours self_connected)" true
	done
	for port in 40001 40004 40010; do
		run -3 in_network '40000 40010' '40004' "$selfconnect $port --json --fixed --tries 500"
		same "predicted $port" "$(ours predicted start)" impossible
	done
	run -0 in_network '40001 40010' '' "$selfconnect 40003 --json --fixed --tries 1000"
	run -3 in_network '40001 40010' '' "$selfconnect 40002 --json --fixed --tries 500"
}

@test "TIME-WAIT: no client can bind to the port; who has let go leaves none" {
	find_free
	meets_itself --by bind "$FREE"
	run -3 --separate-stderr "$selfconnect" "$FREE" --json --tries 100
	same predicted "$(ours predicted start)" doubtful
	run -1 --separate-stderr "$selfconnect" "$FREE" --by bind --json
	one_line_with bind EADDRINUSE
	find_free
	does_no_harm "$FREE" --by bind
	does_no_harm "$FREE" --by bind
}

@test "TIME-WAIT: after a while a client can have the port, and the server still cannot" {
	has_port_ranges
	[ "$(cat /proc/sys/net/ipv4/tcp_tw_reuse)" -gt 0 ] && [ "$(cat /proc/sys/net/ipv4/tcp_timestamps)" -gt 0 ] ||
		skip "needs tcp_tw_reuse and tcp_timestamps"
	local port
	meets_itself --by range
	port=$(ours port)
	wait_until "$selfconnect" "$port" --by range --json >again 2>/dev/null
	same self_connected "$(tail -n 1 again | field self_connected)" true
	same "bind, afterwards" "$(tail -n 1 again | field bind_after_errno)" EADDRINUSE
}

@test "--tries and --time end it: status 3, and a total" {
	run -3 --separate-stderr "$selfconnect" 9 --json --tries 7
	same tries "$(ours tries)" 7
	run -3 --separate-stderr "$selfconnect" 9 --json --tries 1000000000 --time 50ms
	[ "$(ours elapsed_ns)" -ge 50000000 ]
	[ "$(ours tries)" -lt 1000000000 ]
	run -3 "$selfconnect" 9 --tries 7
	[[ $output == *"7 tries, "*"did not happen"* ]]
}

@test "a program holds the port and does not listen: doubtful" {
	find_free
	hold_port "$FREE"
	run -3 --separate-stderr "$selfconnect" "$FREE" --json --tries 1000
	same predicted "$(ours predicted start)" doubtful
	same why "$(ours why start)" taken
}

# --- records and ends -----------------------------------------------------------------------------------------------

@test "each line of --json is JSON, and the total has what scripts rely on" {
	need python3
	local words
	for words in '--by bind' '--by bind --fixed' '9 --tries 3'; do
		# shellcheck disable=SC2086 # options
		"$selfconnect" $words --json |
			python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.selfconnect/1 tries:int port:int \
				self_connected:bool elapsed_ns:int noticed:bool local:any peer:any lines:int echoed_bytes:int \
				bind_while_errno:any state_after:any bind_after_errno:any server_reached:bool interrupted:bool
	done
}

@test "an ordinary user can do it" {
	open_folder
	cp "$selfconnect" "$OPEN_FOLDER/"
	run -0 as_nobody "$OPEN_FOLDER/selfconnect" --json
	same self_connected "$(ours self_connected)" true
	if [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -gt 9 ]; then
		run -1 --separate-stderr as_nobody "$OPEN_FOLDER/selfconnect" 9 --by bind --json
		one_line_with bind EACCES
	fi
}

@test "a stdout that is full is said in one line" {
	run -1 --separate-stderr bash -c '"$0" --by bind --json >/dev/full' "$selfconnect"
	[[ ${stderr_lines[-1]} == *'cannot write the report'* ]]
}
