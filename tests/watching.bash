# watching.bash - for the tests of tcpwatch: two ends that do what they are told, and tcpwatch beside them. Load it after helpers.
#
#	start_ends                        $PORT is the listener's; needs python3
#	start_watch --json ":$PORT"       $WATCH_OUT and $WATCH_LOG; returns when it says that it watches
#	tell send client 1000             returns when it is done (tests/fixtures/tcp_ends.py says what can be told)
#	wait_until has_record state '"state":"FIN-WAIT-2"'
#	tell stop; end_watch

# shellcheck disable=SC2004,SC2034,SC2153 # ENDS and the like are for the tests to read, PORT and the like of helpers.bash

WATCH='' WATCH_OUT='' WATCH_LOG='' ENDS='' ENDS_OUT='' ENDS_FIFO='' TOLD=0

# start_ends [HOST]: on a port that no other socket has at either of its ends, for the tests count those that do. Among what
# earlier tests have left in TIME-WAIT, with 60 s to go, there is often one.
start_ends() {
	need python3
	local tries
	for ((tries = 0; tries < 20; tries++)); do
		ENDS_FIFO=$(mktemp -u -p "$BATS_TEST_TMPDIR" --suffix=.ends)
		mkfifo "$ENDS_FIFO"
		start_server python3 "$TCPLAB_ROOT/tests/fixtures/tcp_ends.py" "$ENDS_FIFO" "$@"
		ENDS=$SERVER_PID
		ENDS_OUT=$SERVER_OUT
		TOLD=0
		[ "$("$TCPLAB_BIN/tcpwatch" --once --json ":$PORT" | field sockets)" -gt 0 ] || return 0
		tell stop
	done
	echo "start_ends: no port that is free of others" && return 1
}

tell() {
	echo "$*" >"$ENDS_FIFO"
	TOLD=$((TOLD + 1))
	if [ "$1" = stop ]; then
		wait_server "$ENDS"
	elif ! wait_until has_done || has_ended "$ENDS"; then
		echo "tcp_ends did not do: $*"
		show_log "${SERVER_LOG_OF[$ENDS]}"
		return 1
	fi
}

has_done() {
	[ "$(wc -l <"$ENDS_OUT")" -ge "$TOLD" ] || has_ended "$ENDS"
}

start_watch() {
	WATCH_OUT=$(mktemp "$BATS_TEST_TMPDIR/watch.XXXXXX.out")
	WATCH_LOG=${WATCH_OUT%.out}.log
	"${TCPWATCH:-$TCPLAB_BIN/tcpwatch}" "$@" >"$WATCH_OUT" 2>"$WATCH_LOG" 3>&- &
	WATCH=$!
	SERVER_PIDS+=("$WATCH")
	SERVER_LOG_OF[$WATCH]=$WATCH_LOG
	if ! wait_until is_watching || ! grep -q '^tcpwatch: watching ' "$WATCH_LOG"; then
		echo "start_watch: it does not watch: $*"
		show_log "$WATCH_LOG"
		return 1
	fi
}

is_watching() {
	grep -q '^tcpwatch: watching ' "$WATCH_LOG" || has_ended "$WATCH"
}

# end_watch [SIGNAL]: and what it printed, for the story of a test that fails.
end_watch() {
	kill "-${1:-INT}" "$WATCH"
	wait_server "$WATCH"
	cat "$WATCH_LOG" "$WATCH_OUT"
}

# has_record KIND WORD...: a record of this kind with all of these words in it.
has_record() {
	count_records "$@" >/dev/null
}

# has_many KIND N WORD...: so many of them, at least.
has_many() {
	[ "$(count_records "$1" "${@:3}")" -ge "$2" ]
}

# Both sockets of the only connection were seen as the handshake leaves them, if not at first, then with a later poll.
has_seen_both() {
	local appeared later
	appeared=$(count_records appeared '"state":"ESTABLISHED"')
	later=$(count_records state '"state":"ESTABLISHED"')
	[ $((appeared + later)) -eq 2 ]
}

# How many; fails when there is none.
count_records() {
	local kind=$1 lines word
	shift
	lines=$(grep "\"record\":\"$kind\"" "$WATCH_OUT")
	for word; do
		lines=$(grep -F -- "$word" <<<"$lines")
	done
	grep -c . <<<"$lines"
}

# watch_packets COMMANDS [HOST [ARGS...]]: in a private network, tcpwatch with these ARGS while the two ends do what the lines of
# COMMANDS say; leaves $WATCH_OUT and $WATCH_LOG. Skips where there are no private networks.
watch_packets() {
	need python3 unshare ip
	local enter=(unshare --user --map-root-user --net) commands=$BATS_TEST_TMPDIR/commands
	"${enter[@]}" ip link set lo up 2>/dev/null || skip "no private networks here"
	WATCH_OUT=$BATS_TEST_TMPDIR/packets.out
	WATCH_LOG=$BATS_TEST_TMPDIR/packets.log
	printf '%s\n' "$1" >"$commands"
	# shellcheck disable=SC2016 # for the inner bash to expand
	"${enter[@]}" bash -c '
		ip link set lo up
		out=$1 log=$2 ends=$3 commands=$4 host=$5 tcpwatch=$6
		shift 6
		: >"$log"
		"$tcpwatch" "$@" >"$out" 2>>"$log" 3>&- &
		watch=$!
		until grep -q "^tcpwatch: watching " "$log" || ! kill -0 $watch; do sleep 0.02; done
		python3 "$ends" "$commands" "$host" >/dev/null 2>>"$log" || echo "tcp_ends failed" >>"$log"
		kill -INT $watch
		wait $watch' - "$WATCH_OUT" "$WATCH_LOG" "$TCPLAB_ROOT/tests/fixtures/tcp_ends.py" "$commands" "${2:-127.0.0.1}" \
		"${TCPWATCH:-$TCPLAB_BIN/tcpwatch}" "${@:3}" || same "exit status" $? 130
	cat "$WATCH_LOG" "$WATCH_OUT"
	same "other lines on stderr" "$(grep -vE '^tcpwatch: (watching|a poll of) |^tcp_ends: listening' "$WATCH_LOG")" ''
}
