#!/usr/bin/env bats
# roundtrip with others: the course's 16 bytes in both roles by UDP and by TCP (muduo's twin), and NTP: chronyd, and servers that
# say what one should not believe.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers

setup() {
	need python3
	roundtrip=$TCPLAB_BIN/roundtrip
	peers=$TCPLAB_ROOT/tests/fixtures/roundtrip_peers.py
	plain=$TCPLAB_ROOT/tests/fixtures/roundtrip_plain.py
	cd "$BATS_TEST_TMPDIR" || return
}

ask() {
	timeout -k 1 60 "$roundtrip" 127.0.0.1 -p "$PORT" "$@"
}

# counts NAME...: fields of the total in $output, on one line.
counts() {
	local name
	for name; do
		ours "$name"
	done | xargs
}

# The offset in $output is NS, within its bound: both ends read one clock.
off_by() {
	local difference=$(($(ours offset_ns) - $1))
	[ ${difference#-} -le "$(ours offset_bound_ns)" ] || {
		echo "offset $(ours offset_ns) +- $(ours offset_bound_ns), wanted $1"
		return 1
	}
}

# --- old and new ------------------------------------------------------------------------------------------------------

@test "new and new: extended; old and old: the fixture works" {
	start_server "$roundtrip" -s -p 0
	run -0 --separate-stderr ask -n 5 -i 1ms --json
	same "wire, stderr" "$(ours wire) $stderr" "extended "
	stop_server
	start_server python3 "$plain" server
	same "old with old" "$(python3 "$plain" client 127.0.0.1 "$PORT" 5 | cut -d ' ' -f 1)" 5
}

@test "new client, old server: plain after five tries, which is said, and they do not count" {
	start_server python3 "$plain" server skew_us=5000000
	run -0 --separate-stderr ask -n 30 -i 1ms --json
	one_line_with "127.0.0.1:$PORT" "plain"
	same counts "$(counts wire size sent received lost garbage late lost_up)" "plain 16 30 30 0 0 0 null"
	off_by 5000000000
	run -0 --separate-stderr ask --wire plain -n 7 -i 1ms --json
	same "wire, stderr" "$(counts wire sent received) $stderr" "plain 7 7 "
	stop_server
	same "it answered, and ignored" "$(field answered <"$SERVER_OUT") $(field ignored <"$SERVER_OUT")" "37 5"
}

@test "new client, old server: time, losses and the closed loop begin after the tries" {
	start_server python3 "$plain" server swallow=4
	run -0 --separate-stderr ask -i 0 -n 20 --timeout 2s --json
	same counts "$(counts sent received lost)" "20 19 1"
	local begin=${EPOCHREALTIME/[.,]/} all_us
	run -0 --separate-stderr ask --time 200ms -i 10ms --json
	all_us=$((${EPOCHREALTIME/[.,]/} - begin))
	[ "$(ours sent)" -le 21 ] && [ "$(ours sent)" -ge 1 ]
	echo "all of it took $all_us us"
	[ $((all_us - $(ours elapsed_ns) / 1000)) -ge 1000000 ] # the five tries take a second
}

@test "old client, new server: by UDP and TCP, IPv4 and IPv6, and a wrong clock shows" {
	local host how
	start_server "$roundtrip" -s -p 0 --json
	for host in 127.0.0.1 ::1; do
		for how in '' tcp; do
			run -0 python3 "$plain" client $host "$PORT" 50 $how
			read -r n offset rtt <<<"$output"
			same "answers ($host $how)" "$n" 50
			[ "$offset" -le $((rtt / 2 + 2)) ] # one clock
		done
	done
	stop_server
	same "plain" "$(field plain <"$SERVER_OUT") $(field extended <"$SERVER_OUT")" "200 0"
	start_server "$roundtrip" -s -p 0 --skew 2s
	run -0 python3 "$plain" client 127.0.0.1 "$PORT" 5
	read -r n offset rtt <<<"$output"
	echo "the largest offset $offset us, the largest RTT $rtt us"
	[ "$offset" -ge $((2000000 - rtt / 2 - 2)) ] && [ "$offset" -le $((2000000 + rtt / 2 + 2)) ]
}

@test "muduo's twin on TCP, both roles: a strict peer of 16 bytes never sees anything longer" {
	start_server python3 "$plain" server tcp skew_us=-3000000
	local how
	for how in '' --nodelay '-i 0' '--wire plain' --busy-poll; do
		# shellcheck disable=SC2086 # words
		run -0 --separate-stderr ask --tcp -n 25 -i 1ms --json $how
		same "counts ($how)" "$(counts transport wire size sent received lost)" "tcp plain 16 25 25 0"
		off_by -3000000000
	done
	stop_server
	# A question of the negotiation is answered, but is none of the 25.
	same "it answered" "$(field answered <"$SERVER_OUT")" $((5 * 25 + 4))
	start_server "$roundtrip" -s -p 0
	run -0 python3 "$plain" client 127.0.0.1 "$PORT" 100 tcp
	[[ $output == "100 "* ]]
}

# --- NTP --------------------------------------------------------------------------------------------------------------

ask_ntp() {
	timeout -k 1 60 "$roundtrip" --ntp 127.0.0.1 -p "$PORT" -n 3 -i 10ms --timeout 1s "$@"
}

@test "chronyd: our offset is 0 within its bound, as both read one clock" {
	need chronyd
	PORT=$(python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	cat >chrony.conf <<-END
		port $PORT
		bindaddress 127.0.0.1
		local stratum 1
		allow 127.0.0.1
		cmdport 0
		bindcmdaddress /
		pidfile $PWD/chrony.pid
	END
	start_chronyd
	run -0 --separate-stderr ask_ntp --json
	same counts "$(counts transport wire size sent received lost garbage ntp_stratum)" "udp ntp 48 3 3 0 0 1"
	off_by 0
	[ "$(ours offset_bound_ns)" -lt 500000000 ]
	run -0 ask_ntp
	[[ $output == *ntp*clock*"+-"* ]]
	run -0 --separate-stderr timeout 60 "$roundtrip" --ntp 127.0.0.1 -p "$PORT" -i 0 -n 200 --json
	same counts "$(counts sent received)" "200 200"
	off_by 0
}

# shellcheck disable=SC2034 # helpers.bash reads SERVER_LOG_OF
# -x: it never touches the clock; -U: it need not be root; -d: in the foreground.
start_chronyd() {
	chronyd -x -U -d -u "$(id -un)" -f chrony.conf >chrony.log 2>&1 3>&- &
	SERVER_PIDS+=($!)
	SERVER_LOG_OF[$!]=chrony.log
	wait_until chronyd_answers || {
		cat chrony.log
		return 1
	}
}

chronyd_answers() {
	timeout 20 "$roundtrip" --ntp 127.0.0.1 -p "$PORT" -n 1 --timeout 500ms >first.log 2>&1
}

@test "an NTP server beyond 2036: its seconds have gone round" {
	start_server python3 "$peers" ntp era
	run -0 --separate-stderr ask_ntp --json
	off_by $((12 * 31556952 * 1000000000))
	stop_server
	start_server python3 "$peers" ntp honest
	run -0 --separate-stderr ask_ntp --json
	off_by 0
}

@test "a kiss of death is said, with its code, and is no answer" {
	local kiss
	for kiss in RATE DENY; do
		start_server python3 "$peers" ntp $kiss
		run -1 --separate-stderr ask_ntp --json
		[[ $stderr == *"$kiss"* ]]
		same counts "$(counts received offset_ns)" "0 null"
		stop_server
	done
}

@test "what is no answer of an NTP server to our question is garbage" {
	local mode
	for mode in mode origin short never; do
		start_server python3 "$peers" ntp $mode
		run -1 --separate-stderr ask_ntp --json
		same "counts ($mode)" "$(counts sent received lost garbage offset_ns)" "3 0 3 3 null"
		stop_server
	done
}

@test "a server that is not synchronised says so, and we do" {
	start_server python3 "$peers" ntp unsynchronised
	run --separate-stderr ask_ntp
	[[ $output == *"not synchronised"* ]]
	run --separate-stderr ask_ntp --json
	same "says so" "$(ours ntp_synchronised)" false
	stop_server
	start_server python3 "$peers" ntp honest
	run -0 --separate-stderr ask_ntp --json
	same "says so" "$(ours ntp_synchronised) $(ours ntp_stratum)" "true 2"
}

@test "a coarse clock widens the bound" {
	start_server python3 "$peers" ntp coarse
	run -0 --separate-stderr ask_ntp --json
	[ "$(ours offset_bound_ns)" -ge 500000000 ] # it says that it counts seconds
}
