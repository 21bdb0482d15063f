#!/usr/bin/env bats
# sendoob: each experiment's steps, exactly, and what came of it; the fix; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	sendoob=$TCPLAB_BIN/sendoob
}

# show EXPERIMENT...: with --json, status 0, nothing on stderr.
show() {
	run -0 --separate-stderr "$sendoob" "$@" --json
	echo "sendoob $*"
	echo "$output"
	same stderr "$stderr" ''
	same promised "$(ours as_promised)" true
	same interrupted "$(ours interrupted)" false
}

# steps END: "recv=hello sockatmark=1", one for each step of that end.
steps() {
	grep -F "\"record\":\"step\"" <<<"$output" | grep -F "\"end\":\"$1\"" |
		sed -E 's/.*"call":"([^"]*)","text":"?([^"]*)"?,"errno":"?([A-Za-z]*)"?.*/\1=\2 \3/; s/=null /=/; s/ null$//' | tr '\n' ';' |
		sed 's/;$//'
}

# came URGENT STREAM ANNOUNCED
came() {
	same urgent "$(ours urgent_got)" "$1"
	same stream "$(ours stream_got)" "$2"
	same announced "$(ours announced)" "$3"
}

# as_meant URGENT STREAM ANNOUNCED
as_meant() {
	same "meant as urgent" "$(ours urgent_meant)" "$1"
	same "the stream as meant" "$(ours stream_meant)" "$2"
	came "$@"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$sendoob" --help
	[[ $output == *"usage: sendoob"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$sendoob" --version
	[[ $output == "sendoob (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' markk 'mark twice' 'mark -4 -6' 'mark --timeout 0' 'mark --no-such-option' 'mark --fixed=yes'; do
		echo "sendoob $words"
		# shellcheck disable=SC2086 # an experiment and its options
		run -2 --separate-stderr "$sendoob" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "mark: the last byte is urgent, the others are in front of the mark; EINVAL before it and after it" {
	show mark
	same sender "$(steps sender)" 'send=hello;send MSG_OOB=abc;send=world'
	same receiver "$(steps receiver)" \
		'recv MSG_OOB=EINVAL;poll=POLLIN and POLLPRI;recv MSG_OOB=c;recv MSG_OOB=EINVAL;recv=helloab;sockatmark=1;recv=world'
	came c 'helloab|world' 1
}

@test "twice: the first of two becomes data" {
	show twice
	same sender "$(steps sender)" 'send=hello;send MSG_OOB=a;send MSG_OOB=b;send=world'
	same receiver "$(steps receiver)" \
		'recv MSG_OOB=EINVAL;poll=POLLIN and POLLPRI;recv MSG_OOB=b;recv MSG_OOB=EINVAL;recv=helloa;sockatmark=1;recv=world'
	came b 'helloa|world' 1
}

@test "late: who has passed the mark gets EINVAL, and the byte is gone" {
	show late
	same receiver "$(steps receiver)" 'recv=helloab;sockatmark=1;recv=world;recv MSG_OOB=EINVAL'
	came '' 'helloab|world' 0
}

@test "inline: it stays in the stream, behind the mark, and MSG_OOB says EINVAL" {
	show inline
	same receiver "$(steps receiver)" 'poll=POLLIN and POLLPRI;recv MSG_OOB=EINVAL;recv=helloab;sockatmark=1;recv=cworld'
	came '' 'helloab|cworld' 1
}

@test "signal: one SIGURG for two messages" {
	show signal
	same receiver "$(steps receiver)" 'SIGURG, times=1;recv MSG_OOB=b;recv=helloa;sockatmark=1;recv=world'
	came b 'helloa|world' 1
}

@test "relay: the byte is in neither" {
	show relay
	same relay "$(steps relay)" 'bytes passed=7;bytes passed=5'
	same receiver "$(steps receiver)" 'poll=POLLIN;recv MSG_OOB=EINVAL;recv=helloabworld'
	came '' helloabworld 0
}

@test "full: announced, not to be had, and behind all the others" {
	show full
	same receiver "$(steps receiver)" \
		'SIGURG, times=1;poll=POLLIN;recv MSG_OOB=EAGAIN;recv, bytes=32768;recv MSG_OOB=!'
	same "read before" "$(ours read_before_bytes)" 32768
	came '!' '' 1
}

# --- the fix --------------------------------------------------------------------------------------------------------

@test "--fixed: each message is whole and in its place, in each experiment, with IPv4 and IPv6" {
	local x family
	for family in -4 -6; do
		[ $family = -4 ] || [ -e /proc/net/if_inet6 ] || continue
		for x in mark late inline relay; do
			show $x --fixed $family
			as_meant abc 'hello|world' 1
		done
		for x in twice signal; do
			show $x --fixed $family
			as_meant ab 'hello||world' 2
			same receiver "$(steps receiver)" 'control=a;control=b;recv=helloworld'
		done
	done
}

@test "--fixed, full: nothing has to be read first; relay: passed on" {
	show full --fixed
	as_meant '!' '' 1
	same receiver "$(steps receiver)" 'control=!'
	same "read before" "$(ours read_before_bytes)" 0
	show relay --fixed
	# 12 bytes of header and the message; the stream
	same relay "$(steps relay)" 'bytes passed=15;bytes passed=10'
}

@test "-6: the same" {
	[ -e /proc/net/if_inet6 ] || skip "needs IPv6"
	local x
	for x in mark twice late inline signal relay full; do
		show $x -6
	done
}

@test "whoever starts it, with SIGURG blocked or ignored: the same" {
	need python3
	local how
	for how in 'signal.signal(signal.SIGURG, signal.SIG_IGN)' 'signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGURG})'; do
		run -0 python3 -c "import os, signal, sys; $how; os.execv(sys.argv[1], sys.argv[1:])" "$sendoob" signal --json
		echo "$how: $output"
		same announced "$(ours announced)" 1
	done
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text: each step, and what was meant beside what came" {
	run -0 --separate-stderr "$sendoob" late
	same stderr "$stderr" ''
	same text "$output" 'late: the receiver reads what is there, and asks for what is urgent then
    sender    send           hello
    sender    send MSG_OOB   abc
    sender    send           world
    receiver  recv           helloab
    receiver  sockatmark     1
    receiver  recv           world
    receiver  recv MSG_OOB   EINVAL
  urgent:  meant "abc", got ""
  stream:  meant "hello|world", got "helloab|world" (| is the mark)'
}

@test "each line of --json is a record, and --trace shows the flag" {
	need python3
	local x fixed
	for x in mark full; do
		for fixed in '' --fixed; do
			run -0 --separate-stderr "$sendoob" $x $fixed --json --trace
			python3 -c 'import json, sys
for line in sys.stdin:
    assert json.loads(line)["schema"] == "tcplab.sendoob/1"' <<<"$output"
			[ -n "$fixed" ] || [[ $stderr == *'[trace] send('*MSG_OOB* ]]
		done
	done
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	need python3
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		# It is over in a moment: so the signal waits for it from the beginning.
		run python3 -c '
import os, signal, sys
which = getattr(signal, "SIG" + sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, {which})
os.kill(os.getpid(), which)
os.execv(sys.argv[2], sys.argv[2:])' $signal "$sendoob" full --json
		echo "$output"
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(ours interrupted)" true
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$sendoob' mark > /dev/full"
}

@test "another byte is the urgent one (tcp_stdurg): status 3, and the report says what came" {
	local -a own=(unshare -n)
	[ "$(id -u)" -eq 0 ] || own=(unshare -Urn)
	"${own[@]}" sh -c 'ip link set lo up && echo 1 >/proc/sys/net/ipv4/tcp_stdurg' || skip "needs a network of its own"
	# shellcheck disable=SC2016 # the inner shell's
	run -3 "${own[@]}" sh -c 'ip link set lo up; echo 1 >/proc/sys/net/ipv4/tcp_stdurg; exec "$0" mark --json' "$sendoob"
	same promised "$(ours as_promised)" false
	came w 'helloabc|orld' 1
}

@test "a slow way from one end to the other: the reader waits until everything has arrived" {
	need tc
	local -a own=(unshare -n)
	[ "$(id -u)" -eq 0 ] || own=(unshare -Urn)
	# 64 kbit/s: the bytes are on their way for a while after send(2) has returned.
	# shellcheck disable=SC2016 # the inner shell's
	echo 'ip link set lo mtu 1500 up && tc qdisc add dev lo root tbf rate 64kbit burst 200 latency 10s && exec "$@"' >slowly
	"${own[@]}" sh slowly true || skip "needs a network of its own, and tbf in the kernel"
	local words
	for words in mark relay 'late --fixed'; do
		echo "sendoob $words"
		# shellcheck disable=SC2086 # an experiment and an option
		run -0 "${own[@]}" sh slowly "$sendoob" $words --json
	done
}
