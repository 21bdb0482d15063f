#!/usr/bin/env bats
# hub in bad company: clients that reset, stall, half-close, send junk, come in masses; and false hubs for its clients. What
# counts in each: the good client beside them has every block.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	hub=$TCPLAB_BIN/hub
	PEERS=$TCPLAB_ROOT/tests/fixtures/hub_peers.py
	PEER=''
	HELD=()
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	local fd
	for fd in "${HELD[@]}"; do
		exec {fd}>&-
	done
	stop_servers
}

# --- what the tests share -------------------------------------------------------------------------------------------

# start_hub ARGS...: and the good client with it, which makes the stream begin. Who is too slow loses blocks with --fixed, and
# rightly so; at this rate the kernel alone has room for most of a second.
start_hub() {
	echo "hub -s $*"
	start_server "$hub" -s -p 0 --json -i 10ms --rate 5MB/s "$@"
	HUB=$SERVER_PID HUB_OUT=$SERVER_OUT
	start_program good "$hub" 127.0.0.1 -p "$PORT" --json
	GOOD=$PROGRAM
	wait_until hub_says clients -eq 1 # from the first block on
}

# start_program NAME CMD...: in the background, with its output in NAME.out and NAME.err; $PROGRAM.
start_program() {
	local name=$1
	shift
	"$@" >"$name.out" 2>"$name.err" 3>&- &
	PROGRAM=$!
	SERVER_PIDS+=($!)
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$!]=$name.err
}

# A client of the kind that hub_peers.py knows: $PEER.
start_peer() {
	need python3
	start_program "$1" python3 "$PEERS" client "$PORT" "$1"
	PEER=$PROGRAM
}

# SIGINT to the hub; the good client must have had every block.
end_hub() {
	kill -INT "$HUB"
	wait_server "$HUB"
	same "status of the hub" "$SERVER_STATUS" 130
	wait_server "$GOOD"
	cat good.out good.err
	same "status of the good client" "$SERVER_STATUS" 0
	same "how it ended" "$(field end <good.out)" complete
	same "first block" "$(field first <good.out)" 0
	same "blocks" "$(field blocks <good.out)" "$(field blocks <"$HUB_OUT")"
	same "lost" "$(field lost <good.out)" 0
	same "wrong" "$(field bad <good.out)" 0
}

# hub_says KEY COMPARISON NUMBER: of its last interval.
hub_says() {
	local value
	value=$(field "$1" interval <"$HUB_OUT") && test "$value" "$2" "$3"
}

# Twenty more blocks have gone out since now.
goes_on() {
	wait_until hub_says blocks -gt 0
	wait_until hub_says blocks -ge $(($(field blocks interval <"$HUB_OUT") + 20))
}

ends_so() {
	[ "$(grep -c "\"record\":\"client\".*\"end\":\"$1\"" "$HUB_OUT")" -ge "${2:-1}" ]
}

descriptors() {
	find "/proc/$HUB/fd" -mindepth 1 | wc -l
}

# --- one bad client -------------------------------------------------------------------------------------------------

@test "a client that resets is gone; the others have everything" {
	start_hub
	start_peer reset
	wait_until ends_so reset
	goes_on
	end_hub
	same "ended by a reset" "$(grep -c '"end":"reset"' "$HUB_OUT")" 1
}

@test "a client that stalls: with the mark nothing grows, without it only the queue" {
	local options
	for options in --fixed ''; do
		# shellcheck disable=SC2086 # options
		start_hub $options
		start_peer stall
		if [ -n "$options" ]; then
			wait_until hub_says dropped_blocks -gt 20
			hub_says queued_bytes -le $((2 << 20)) # a mark for each of the two
		else
			wait_until hub_says queued_bytes -gt 5000000
		fi
		goes_on
		end_hub
		stop_server "$PEER"
	done
}

@test "a client that has half closed has every block, and the last one" {
	start_server "$hub" -s -p 0 --json --time 500ms --clients 2
	HUB_OUT=$SERVER_OUT
	start_program good "$hub" 127.0.0.1 -p "$PORT" --json
	GOOD=$PROGRAM
	start_peer half-close
	wait_server
	wait_server "$PEER"
	local blocks
	blocks=$(field blocks <"$HUB_OUT")
	cat half-close.out half-close.err
	same "what it had" "$(cat half-close.out)" "$blocks of $blocks"
	wait_server "$GOOD"
	same "what the good one had" "$(field blocks <good.out)" "$blocks"
}

@test "junk is read and dropped; who sends it and reads has everything" {
	start_server "$hub" -s -p 0 --json --time 1 --rate 5MB/s --clients 2
	HUB_OUT=$SERVER_OUT
	start_program good "$hub" 127.0.0.1 -p "$PORT" --json
	GOOD=$PROGRAM
	start_peer talk
	wait_server
	wait_server "$PEER"
	cat talk.out talk.err "$HUB_OUT"
	local blocks
	blocks=$(field blocks <"$HUB_OUT")
	same "what it had" "$(cat talk.out)" "$blocks of $blocks"
	wait_server "$GOOD"
	same "what the good one had" "$(field blocks <good.out)" "$blocks"
	same lost "$(field lost <good.out)" 0
}

@test "junk without reading: the hub goes on, and neither waits nor grows" {
	start_hub --fixed
	start_peer junk
	wait_until hub_says dropped_blocks -gt 20
	goes_on
	hub_says queued_bytes -le $((2 << 20)) # a mark for each of the two
	end_hub
	wait_server "$PEER"
}

@test "a client that closes both ways, without a word" {
	start_hub
	local i
	for ((i = 0; i < 10; i++)); do
		hold
		let_all_go
	done
	wait_until ends_so reset 10
	goes_on
	end_hub
}

@test "a slow client that takes what the kernel has gets its time at the end" {
	# 200 blocks at 10 ms each are two seconds, most of them after the stream's end: nobody is thrown out who makes progress
	start_server "$hub" -s -p 0 --json --time 200ms --rate 64MB/s --clients 1
	HUB_OUT=$SERVER_OUT
	start_peer slow
	wait_server
	wait_server "$PEER"
	cat slow.out slow.err "$HUB_OUT"
	local blocks
	blocks=$(field blocks <"$HUB_OUT")
	same "what it had" "$(cat slow.out)" "$blocks of $blocks"
	same "how it ended" "$(field end client <"$HUB_OUT")" complete
}

# --- many -----------------------------------------------------------------------------------------------------------

@test "the hundred-and-first client is turned away; when others have gone there is room again" {
	start_hub --fixed --rate 1MB/s --length 4K
	local i
	for ((i = 0; i < 99; i++)); do
		hold
	done
	wait_until hub_says clients -eq 100
	local extra
	exec {extra}<>"/dev/tcp/127.0.0.1/$PORT"
	run ! read -r -n 1 -t 30 -u "$extra"
	same "status of read: EOF, and not a time limit" "$status" 1
	exec {extra}>&-
	let_all_go
	wait_until hub_says clients -eq 1
	hold
	wait_until hub_says clients -eq 2
	end_hub
	same refused "$(field refused <"$HUB_OUT")" 1
}

@test "300 come and go: no descriptor and no queue is left of them" {
	start_hub --fixed
	local before i
	before=$(descriptors)
	for ((i = 0; i < 300; i++)); do
		hold
		[ $((i % 30)) -ne 29 ] || come_and_gone
	done
	same descriptors "$(descriptors)" "$before"
	wait_until hub_says queued_bytes -eq 0
	end_hub
	same clients "$(field clients <"$HUB_OUT")" 301
}

# The hub knows it of all of them: so there are never more than it takes.
come_and_gone() {
	wait_until hub_says clients -eq $((1 + ${#HELD[@]}))
	let_all_go
	wait_until hub_says clients -eq 1
}

@test "no descriptor left: the hub pauses without spinning, goes on with the others, and recovers" {
	start_server bash -c 'ulimit -n 12; exec "$@"' limited "$hub" -s -p 0 --json -i 10ms --fixed --rate 1MB/s
	HUB=$SERVER_PID HUB_OUT=$SERVER_OUT
	start_program good "$hub" 127.0.0.1 -p "$PORT" --json
	GOOD=$PROGRAM
	wait_until hub_says clients -eq 1
	local i
	for ((i = 0; i < 20; i++)); do
		hold
	done
	wait_until grep -q EMFILE "$SERVER_LOG"
	# The time is taken around the lines.
	local lines begin_ns end_ns
	begin_ns=$(field start_ns interval <"$HUB_OUT")
	lines=$(grep -c EMFILE "$SERVER_LOG")
	wait_until has_more_lines "$lines"
	goes_on
	lines=$(($(grep -c EMFILE "$SERVER_LOG") - lines))
	wait_until hub_says start_ns -gt "$(field start_ns interval <"$HUB_OUT")"
	end_ns=$(field start_ns interval <"$HUB_OUT")
	# A line for each pause of 100 ms; a loop that spins has a line for each round.
	local most=$(((end_ns - begin_ns) / 100000000 + 2))
	echo "$lines pauses in a time that has room for $most"
	[ $lines -ge 1 ]
	[ $lines -le $most ]
	let_all_go
	wait_until hub_says clients -eq 1
	end_hub
}

has_more_lines() {
	[ "$(grep -c EMFILE "$SERVER_LOG")" -gt "$1" ]
}

@test "a connection that is gone before it is accepted" {
	need strace
	# nor does the leak check of the sanitizers work under strace
	start_server env ASAN_OPTIONS=detect_leaks=0 strace -D -f -o strace.log -e trace=accept4 \
		-e inject=accept4:error=ECONNABORTED:when=1..3 "$hub" -s -p 0 --json -i 10ms --rate 10MB/s
	HUB=$SERVER_PID HUB_OUT=$SERVER_OUT
	start_program good "$hub" 127.0.0.1 -p "$PORT" --json
	GOOD=$PROGRAM
	goes_on
	end_hub
}

# --- ends -----------------------------------------------------------------------------------------------------------

@test "a hub that is killed: its clients say so, status 1" {
	start_hub
	wait_until hub_says blocks -gt 0
	kill -KILL "$HUB"
	wait_server "$HUB"
	wait_server "$GOOD"
	cat good.out good.err
	same status "$SERVER_STATUS" 1
	same lost "$(field lost <good.out)" 0
	[[ $(field end <good.out) == @(fin|reset) ]]
	same "lines on stderr" "$(wc -l <good.err)" 1
}

@test "SIGINT at a hub with a stalled client: it ends by itself, and soon" {
	start_hub --fixed
	hold
	wait_until hub_says clients -eq 2
	wait_until hub_says dropped_blocks -gt 0
	end_hub
	ends_so stuck
}

@test "a second SIGINT ends a hub that waits for a slow client" {
	start_hub --rate 20MB/s
	start_peer crawl # for seconds behind the last block, and never without progress
	wait_until hub_says queued_bytes -gt 2000000
	kill -INT "$HUB"
	wait_until ends_so complete # the good one; so the first signal has been seen
	kill -INT "$HUB"
	wait_server "$HUB"
	same status "$SERVER_STATUS" 130
	ends_so interrupted
	[[ $(tail -n 1 "$HUB_OUT") == *'"record":"total"'* ]]
}

# --- false hubs -----------------------------------------------------------------------------------------------------

# visit KIND STATUS END: a client with such a hub.
visit() {
	start_server python3 "$PEERS" hub "$1"
	run "-$2" --separate-stderr "$hub" 127.0.0.1 -p "$PORT" --json
	echo "$1: $output"
	echo "$stderr"
	same "how it ended" "$(ours end)" "$3"
	wait_server
}

@test "a client of a false hub: what is wrong is said, and counted" {
	need python3
	visit garbage 1 garbage
	one_line_with garbage
	visit long 1 garbage
	visit short 1 fin
	same blocks "$(ours blocks)" 1
	visit silent 1 fin
	same blocks "$(ours blocks)" 2
	one_line_with EPROTO
	visit wrong 3 complete
	same blocks "$(ours blocks)" 3
	same bad "$(ours bad)" 1
	visit twice 3 complete
	same bad "$(ours bad)" 1
	visit gap 0 complete
	same bad "$(ours bad)" 0
	same blocks "$(ours blocks)" 4
	same lost "$(ours lost)" 6
}
