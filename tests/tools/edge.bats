#!/usr/bin/env bats
# edge: each experiment's counters, exactly; usage, reports, signals.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # for the inner bash to expand

load ../helpers

setup() {
	edge=$TCPLAB_BIN/edge
}

# counts OPTIONS KEY=VALUE...: edge with these words reports these values.
counts() {
	local words=$1 pair
	shift
	# shellcheck disable=SC2086 # an experiment and its options
	run -0 --separate-stderr "$edge" $words --patience 50ms --json
	echo "edge $words"
	echo "$output"
	same stderr "$stderr" ''
	for pair; do
		same "${pair%%=*}" "$(ours "${pair%%=*}")" "${pair#*=}"
	done
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$edge" --help
	[[ $output == *"usage: edge"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$edge" --version
	[[ $output == "edge (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' fast 'stuck request' 'stuck --trigger both' 'stuck -n 3' 'epollout -n 3' 'accept --bytes 1' 'stuck --bytes 0' \
		'stuck --bytes 129K' 'request --bytes 129K' 'request -n 0' 'request -n 1001' 'stuck --read 0' 'stuck --read 2M' \
		'stuck --patience 0' 'epollout --time 0' 'epollout --time 25h' 'epollout --bytes 2G' 'stuck --no-such-option'; do
		echo "edge $words"
		# shellcheck disable=SC2086 # an experiment and its options
		run -2 --separate-stderr "$edge" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "stuck: edge-triggered with one read, most bytes stay where they are" {
	counts stuck trigger=edge fixed=false sent_bytes=100000 wakes=1 reads=1 got_bytes=1024 left_bytes=98976 \
		more_sent_bytes=1 more_wakes=1 more_reads=1 more_got_bytes=1024 more_left_bytes=97953 interrupted=false
	counts 'stuck --bytes 10 --read 4' wakes=1 reads=1 got_bytes=4 left_bytes=6 more_got_bytes=4 more_left_bytes=3
}

@test "stuck: edge-triggered with one read, a buffer that takes all of it hides the mistake" {
	counts 'stuck --read 100K' wakes=1 reads=1 got_bytes=100000 left_bytes=0 more_wakes=1 more_got_bytes=1
}

@test "stuck: level-triggered, or until EAGAIN, nothing stays" {
	counts 'stuck --trigger level' trigger=level wakes=98 reads=98 got_bytes=100000 left_bytes=0 more_wakes=1 more_got_bytes=1 \
		more_left_bytes=0
	counts 'stuck --fixed' trigger=edge fixed=true wakes=1 reads=99 got_bytes=100000 left_bytes=0 more_wakes=1 more_reads=2 \
		more_got_bytes=1 more_left_bytes=0
	counts 'stuck --fixed --trigger level' wakes=1 reads=99 got_bytes=100000 left_bytes=0
	counts 'stuck --trigger level --bytes 128K --read 1' wakes=131072 reads=131072 got_bytes=131072 left_bytes=0
	counts 'stuck --fixed --bytes 4096 --read 1024' wakes=1 reads=5 got_bytes=4096 left_bytes=0
}

@test "request: edge-triggered with one read, nobody is answered" {
	counts request requests=20 answered=0 wakes=20 reads=20 sent_bytes=60000 got_bytes=20480 left_bytes=39520
	counts 'request -n 3 --bytes 1025' answered=0 left_bytes=3
	# a request that one read takes is answered: so it was tested
	counts 'request -n 3 --bytes 1024' answered=3 left_bytes=0
}

@test "request: level-triggered, or until EAGAIN, everybody is" {
	counts 'request --trigger level' requests=20 answered=20 wakes=60 reads=60 got_bytes=60000 left_bytes=0
	counts 'request --fixed' requests=20 answered=20 wakes=20 reads=80 got_bytes=60000 left_bytes=0
	counts 'request --fixed -n 200 --bytes 10000' answered=200 wakes=200 reads=2200 got_bytes=2000000
}

@test "accept: edge-triggered, one for each wake-up leaves the others in the backlog" {
	counts accept clients=10 wakes=1 accepted=1 in_backlog=9 more_clients=1 more_wakes=1 more_accepted=1 more_in_backlog=9
	counts 'accept -n 1' wakes=1 accepted=1 in_backlog=0 more_accepted=1 more_in_backlog=0
}

@test "accept: level-triggered, or until EAGAIN, everybody is let in" {
	counts 'accept --trigger level' wakes=10 accepted=10 in_backlog=0 more_wakes=1 more_accepted=1 more_in_backlog=0
	counts 'accept --fixed' wakes=1 accepted=10 in_backlog=0 more_wakes=1 more_accepted=1 more_in_backlog=0
	counts 'accept --fixed -n 100' wakes=1 accepted=100 in_backlog=0
}

@test "epollout: left on, the level wakes all the time, the edge does not; on demand nothing does" {
	counts 'epollout --time 300ms' trigger=level sent_bytes=1048576 received_bytes=1048576
	[ "$(ours idle_wakes)" -gt 100 ]
	counts 'epollout --time 100ms --trigger edge' sent_bytes=1048576 received_bytes=1048576
	[ "$(ours idle_wakes)" -le 2 ]
	local words
	for words in '' '--trigger edge' '--bytes 20M'; do
		counts "epollout --time 100ms --fixed $words" idle_wakes=0
		same received_bytes "$(ours received_bytes)" "$(ours sent_bytes)"
		[ "$(ours busy_wakes)" -ge 1 ]
		[ "$(ours idle_ns)" -ge 100000000 ]
	done
	same bytes "$(ours received_bytes)" 20971520
}

# --- reports --------------------------------------------------------------------------------------------------------

@test "the text has a line for each figure" {
	run -0 "$edge" accept --patience 50ms
	same "first line" "${lines[0]}" 'accept: edge-triggered, one accept for each wake-up'
	[[ ${lines[4]} == *'9  left in the backlog' ]]
	same "lines" "${#lines[@]}" 9
	run -0 "$edge" request --fixed --patience 50ms
	same "first line" "${lines[0]}" 'request: edge-triggered, reads until EAGAIN'
}

@test "--json: start and total, and all of it JSON" {
	counts stuck experiment=stuck
	same records "$(grep -o '"record":"[a-z]*"' <<<"$output" | tr -d '\n')" '"record":"start""record":"total"'
	same trigger "$(ours trigger start)" edge
	need python3
	python3 -c 'if True:
		import json, sys
		assert all(json.loads(line)["schema"] == "tcplab.edge/1" for line in sys.stdin)' <<<"$output"
}

@test "--trace shows the calls" {
	run -0 --separate-stderr "$edge" stuck --trace --patience 50ms
	[[ $stderr == *'epoll_ctl('*'ADD'*'EPOLLIN|EPOLLET) = 0'*'epoll_wait('*') = 1'*'recv('*', 1024) = 1024'* ]]
}

@test "no descriptors left: an error record, and status 1" {
	run -1 --separate-stderr bash -c 'ulimit -n 20 && exec "$0" request --json' "$edge"
	same errno "$(ours errno error)" EMFILE
	# LeakSanitizer wants descriptors as well, and complains
	[[ $TCPLAB_BIN == *asan* ]] || one_line_with EMFILE
}

@test "a report that cannot be written: status 1" {
	run -1 --separate-stderr bash -c '"$0" accept >/dev/full' "$edge"
	one_line_with 'cannot write'
}

# --- signals --------------------------------------------------------------------------------------------------------

# In the background, where stop_server finds it.
start_edge() {
	SERVER_LOG=$(mktemp "$BATS_TEST_TMPDIR/edge.XXXXXX.log")
	SERVER_OUT=${SERVER_LOG%.log}.out
	"$edge" "$@" --json >"$SERVER_OUT" 2>"$SERVER_LOG" 3>&- &
	SERVER_PID=$!
	SERVER_PIDS+=("$SERVER_PID")
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$SERVER_PID]=$SERVER_LOG
	wait_until grep -q '"record":"start"' "$SERVER_OUT"
}

@test "SIGINT and SIGTERM end the waiting: the total first, then 130 and 143" {
	local words pair
	for words in 'epollout --time 1h' 'epollout --time 1h --fixed' 'stuck --patience 1h' 'accept --patience 1h'; do
		for pair in INT:130 TERM:143; do
			# shellcheck disable=SC2086 # an experiment and its options
			start_edge $words
			kill "-${pair%:*}" "$SERVER_PID"
			wait_server
			echo "edge $words, SIG$pair"
			cat "$SERVER_OUT"
			same status "$SERVER_STATUS" "${pair#*:}"
			same interrupted "$(field interrupted <"$SERVER_OUT")" true
		done
	done
}
