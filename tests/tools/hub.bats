#!/usr/bin/env bats
# hub and its own clients: everybody gets everything, the queues with and without a mark, the three policies, the ends.
# Strangers and unlucky clients are in tests/robust/hub.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	hub=$TCPLAB_BIN/hub
	HEADER=16
	STOPPED=''
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	[ -z "$STOPPED" ] || kill -CONT "$STOPPED" 2>/dev/null || true
	stop_servers
}

# --- what the tests share -------------------------------------------------------------------------------------------

start_hub() {
	echo "hub -s $*"
	start_server "$hub" -s -p 0 --json "$@"
	HUB=$SERVER_PID HUB_OUT=$SERVER_OUT
}

declare -gA CLIENT=() # name -> pid; its records are in NAME.json, what it says in NAME.err

# start_client NAME ARGS...: a client of the hub, in the background.
start_client() {
	local name=$1
	shift
	echo "$name: hub 127.0.0.1 $*"
	"$hub" 127.0.0.1 -p "$PORT" --json "$@" >"$name.json" 2>"$name.err" 3>&- &
	CLIENT[$name]=$!
	SERVER_PIDS+=($!)
	# shellcheck disable=SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$!]=$name.err
}

# end_client NAME STATUS: waits for it.
end_client() {
	wait_server "${CLIENT[$1]}"
	echo "$1: $(cat "$1.json")"
	same "status of $1" "$SERVER_STATUS" "$2"
}

# end_hub STATUS: waits for the hub.
end_hub() {
	wait_server "$HUB"
	cat "$HUB_OUT"
	same "status of the hub" "$SERVER_STATUS" "$1"
}

# of NAME KEY: from the last record of a client, or of the hub.
of() {
	if [ "$1" = hub ]; then
		field "$2" <"$HUB_OUT"
	else
		field "$2" <"$1.json"
	fi
}

# has_all NAME: every block of the hub, from the first to the last.
has_all() {
	same "how $1 ended" "$(of "$1" end)" complete
	same "first of $1" "$(of "$1" first)" 0
	same "blocks of $1" "$(of "$1" blocks)" "$(of hub blocks)"
	same "lost by $1" "$(of "$1" lost)" 0
	same "wrong at $1" "$(of "$1" bad)" 0
	same "said by $1" "$(cat "$1.err")" ''
}

# account END KEY: from the hub's record of the client that ended so.
account() {
	grep "\"record\":\"client\".*\"end\":\"$1\"" "$HUB_OUT" | field "$2" client
}

streams() {
	grep -q '"record":"interval"' "$HUB_OUT"
}

# now KEY COMPARISON NUMBER: of the hub's last interval.
now() {
	local value
	value=$(field "$1" interval <"$HUB_OUT") && test "$value" "$2" "$3"
}

# queues BYTES: so much is queued, for all together.
queues() {
	now queued_bytes -ge "$1"
}

empty() {
	now queued_bytes -eq 0
}

# stop_reading NAME, read_on NAME: as a program that somebody suspended.
stop_reading() {
	STOPPED=${CLIENT[$1]}
	kill -STOP "$STOPPED"
}

read_on() {
	kill -CONT "${CLIENT[$1]}"
	STOPPED=''
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$hub" --help
	[[ $output == *"usage: hub"*"--policy"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$hub" --version
	[[ $output == "hub (tcplab) "* ]]
}

refused() {
	echo "hub $*"
	run -2 --separate-stderr "$hub" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "wrong usage: status 2, one line" {
	refused
	refused -s localhost
	refused localhost one-too-many
	refused -s -4 -6
	refused -s --policy kick
	refused -s --fixed --policy ban
	refused -s --stop-after 1M
	refused -s --stop-for 1
	refused localhost --stop-for 1
	refused localhost --fixed
	refused localhost --time 1
	refused localhost --interval 1
	refused localhost --bind 127.0.0.1
	refused localhost --stop-after 0
	refused -s --clients 0
	refused -s --clients 101
	refused -s --length 0
	refused -s --length 1048577
	refused -s --fixed --high 64K # a block has a header, too
	refused -s --rate 0
	refused -s --time 0
	refused -s --nonsense
}

# --- everybody gets everything --------------------------------------------------------------------------------------

@test "three clients: each has every block, whole and right; the hub counts the same" {
	local options
	for options in '' --fixed '--fixed --policy kick' '--fixed --policy wait'; do
		# The mark is above all that there is in this time: nobody is too slow, on no machine.
		# shellcheck disable=SC2086 # options
		start_hub --clients 3 --time 300ms --rate 10MB/s --high 8M $options
		start_client a
		start_client b
		start_client c
		end_client a 0
		end_client b 0
		end_client c 0
		end_hub 0
		has_all a
		has_all b
		has_all c
		[ "$(of hub blocks)" -gt 0 ]
		same clients "$(of hub clients)" 3
		same dropped "$(of hub dropped_blocks)" 0
		same kicked "$(of hub kicked)" 0
		same "bytes for all" "$(of hub bytes)" "$((3 * ($(of hub blocks) * (65536 + HEADER) + HEADER)))"
	done
}

@test "short blocks and long ones" {
	local length
	for length in 1 1000 1M; do
		start_hub --time 200ms --length $length --rate 1MB/s --fixed --high 8M # more than there is in this time
		start_client a
		end_client a 0
		end_hub 0
		has_all a
		[ "$(of a blocks)" -gt 0 ]
	done
}

@test "a rate beyond all bounds: the source gives what it can, and nothing is wrong" {
	start_hub --time 300ms --length 1 --rate 100GB/s --fixed
	start_client a
	end_client a 0
	end_hub 0
	same bad "$(of a bad)" 0
	same "blocks, and those left out" "$(($(of a blocks) + $(of a lost)))" "$(of hub blocks)"
	same "left out" "$(of a lost)" "$(of hub dropped_blocks)"
}

@test "who comes later begins later, and misses nothing from there" {
	start_hub --rate 10MB/s -i 20ms
	start_client a
	wait_until streams
	start_client b
	wait_until now clients -eq 2
	local before
	before=$(field blocks interval <"$HUB_OUT")
	wait_until now blocks -gt $((before + 20))
	kill -TERM "$HUB"
	end_client a 0
	end_client b 0
	end_hub 143
	has_all a
	[ "$(of b first)" -gt 0 ]
	same lost "$(of b lost)" 0
	same "first and blocks" "$(($(of b first) + $(of b blocks)))" "$(of hub blocks)"
}

# --- one stops reading ----------------------------------------------------------------------------------------------

# WHY the slow rate, here and below, and an end by an event: at 5 MB/s the kernel alone has room for most of a second, so a
# client loses nothing unless it is suspended. Who takes less time than that is held up by a busy machine.
@test "naive: what a stopped client does not take is queued, to the byte; nobody else notices" {
	start_hub --clients 2 --rate 20MB/s -i 20ms
	start_client a
	start_client stopped --stop-after 200K
	wait_until queues 6000000
	kill -INT "$HUB"
	end_client a 0
	end_client stopped 1
	end_hub 130
	has_all a
	same end "$(of stopped end)" reset
	same stopped "$(of stopped stopped)" true
	[[ $(cat stopped.err) == *ECONNRESET* ]]
	[ "$(account stuck queued_bytes)" -gt 4000000 ]
	same "sent and queued" "$(($(account stuck bytes) + $(account stuck queued_bytes)))" \
		"$(($(of hub blocks) * (65536 + HEADER) + HEADER))"
	same dropped "$(of hub dropped_blocks)" 0
}

@test "naive: who reads on after a while has everything in the end" {
	start_hub --clients 2 --rate 20MB/s -i 20ms
	start_client a
	start_client stopped
	wait_until streams
	stop_reading stopped
	wait_until queues 6000000
	read_on stopped
	wait_until empty
	kill -INT "$HUB"
	end_client a 0
	end_client stopped 0
	end_hub 130
	has_all a
	has_all stopped
	[ "$(of hub queued_peak_bytes)" -gt 4000000 ]
}

@test "--stop-for: a pause of that length, and nothing is lost by it" {
	start_hub --time 300ms
	start_client a --stop-after 200K --stop-for 100ms
	end_client a 0
	end_hub 0
	has_all a
	same stopped "$(of a stopped)" true
	[ "$(of a elapsed_ns)" -ge 100000000 ]
}

@test "--cap ends the stream, status 3; who reads has everything up to there" {
	start_hub --clients 2 --rate 100MB/s --cap 3M
	start_client a
	start_client stopped --stop-after 200K
	end_client a 0
	end_client stopped 1
	end_hub 3
	has_all a
	same capped "$(of hub capped)" true
	[ "$(of hub queued_peak_bytes)" -le $(((3 << 20) + 65536 + 2 * HEADER)) ]
	grep -q -- --cap "$SERVER_LOG"
}

@test "drop: blocks are left out for the one that stopped; it counts the same number" {
	start_hub --clients 2 -i 20ms --fixed --high 2M --rate 5MB/s
	start_client a
	start_client stopped
	wait_until streams
	stop_reading stopped
	wait_until now dropped_blocks -ge 2
	read_on stopped
	wait_until empty
	kill -INT "$HUB"
	end_client a 0
	end_client stopped 0
	end_hub 130
	has_all a
	same lost "$(of stopped lost)" "$(of hub dropped_blocks)"
	same "blocks, and those left out" "$(($(of stopped blocks) + $(of stopped lost)))" "$(of hub blocks)"
	same wrong "$(of stopped bad)" 0
	[ "$(of hub queued_peak_bytes)" -gt 1900000 ]
	[ "$(of hub queued_peak_bytes)" -le $(((2 << 20) + HEADER)) ]
}

@test "kick: the one that stopped is disconnected" {
	start_hub --clients 2 --fixed --high 2M --rate 5MB/s --policy kick
	start_client a
	start_client stopped --stop-after 200K
	end_client stopped 1
	kill -INT "$HUB"
	end_client a 0
	end_hub 130
	has_all a
	same kicked "$(of hub kicked)" 1
	same end "$(of stopped end)" reset
	[ "$(account kicked queued_bytes)" -le $((2 << 20)) ]
	[ "$(account kicked blocks)" -lt "$(of hub blocks)" ]
}

@test "wait: all wait for the one that stopped, and nobody loses anything" {
	start_hub --clients 2 --rate 100MB/s -i 20ms --fixed --policy wait
	start_client a
	start_client stopped
	wait_until streams
	stop_reading stopped
	wait_until stands_still
	read_on stopped
	wait_until now blocks -gt "$(field blocks interval <"$HUB_OUT")"
	kill -INT "$HUB"
	end_client a 0
	end_client stopped 0
	end_hub 130
	has_all a
	has_all stopped
	[ "$(of hub held_ns)" -gt 0 ]
	[ "$(of hub queued_peak_bytes)" -le $(((1 << 20) + HEADER)) ]
}

# Five intervals in a row with a queue and without another block.
stands_still() {
	[ "$(grep '"interval"' "$HUB_OUT" | tail -n 5 | grep -v '"queued_bytes":0,' | grep -o '"blocks":[0-9]*' | uniq -c |
		awk '{ print $1; exit }')" = 5 ]
}

@test "a stopped client gives its memory back when it is gone" {
	start_hub --clients 2 --rate 20MB/s -i 20ms
	start_client a
	start_client stopped --stop-after 200K
	wait_until queues 6000000
	kill -KILL "${CLIENT[stopped]}"
	wait_until empty
	kill -INT "$HUB"
	end_client a 0
	end_hub 130
	has_all a
	[ "$(account reset queued_bytes)" -gt 4000000 ]
}

# --- records and ends -----------------------------------------------------------------------------------------------

@test "intervals: one after the other" {
	start_hub -i 50ms --rate 10MB/s
	start_client a
	wait_until has_intervals 3
	kill -INT "$HUB"
	end_client a 0
	end_hub 130
	local line next=0 n=0
	while read -r line; do
		same "beginning of interval $n" "$(field start_ns interval <<<"$line")" $next
		next=$((next + $(field elapsed_ns interval <<<"$line")))
		n=$((n + 1))
	done < <(grep '"interval"' "$HUB_OUT")
	[ $n -ge 3 ]
	[ $next -le "$(of hub elapsed_ns)" ]
	same "blocks at the end" "$(field blocks interval <"$HUB_OUT")" "$(of hub blocks)"
}

has_intervals() {
	[ "$(grep -c '"interval"' "$HUB_OUT")" -ge "$1" ]
}

@test "each line of --json is JSON, and the totals have what scripts rely on" {
	need python3
	start_hub --time 200ms -i 50ms
	start_client a
	end_client a 0
	end_hub 0
	python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.hub/1 elapsed_ns:int blocks:int bytes:int clients:int \
		refused:int dropped_blocks:int kicked:int held_ns:int queued_peak_bytes:int rss_start_bytes:int rss_peak_bytes:int \
		rss_growth_bytes:int capped:bool interrupted:bool <"$HUB_OUT"
	python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.hub/1 role:str end:str blocks:int bytes:int first:int lost:int \
		bad:int stopped:bool elapsed_ns:int rate_Bps:number <a.json
}

@test "text: what each side says, on stdout" {
	start_server "$hub" -s -p 0 --time 100ms --rate 5MB/s -i 20ms --fixed # less than the mark in all
	run -0 --separate-stderr "$hub" 127.0.0.1 -p "$PORT"
	same stderr "$stderr" ''
	[[ $output == 'complete: '*' blocks '*' 0 lost, 0 wrong' ]]
	wait_server
	cat "$SERVER_OUT"
	same status "$SERVER_STATUS" 0
	grep -q 'queued.*memory' "$SERVER_OUT"
	grep -q '127\.0\.0\.1:[0-9]*: complete: ' "$SERVER_OUT"
	same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 1
}

@test "SIGINT and SIGTERM at the hub: the last block goes out, everybody is complete" {
	local signal status
	for signal in INT TERM; do
		status=130
		[ $signal = INT ] || status=143
		start_hub --clients 2 -i 10ms
		start_client a
		start_client b
		wait_until streams
		kill -$signal "$HUB"
		end_client a 0
		end_client b 0
		end_hub $status
		has_all a
		has_all b
		same interrupted "$(of hub interrupted)" true
	done
}

@test "a signal before the stream begins" {
	start_hub --clients 3
	start_client a
	kill -INT "$HUB"
	end_hub 130
	wait_server "${CLIENT[a]}" # it may have come too late
	same blocks "$(of hub blocks)" 0
	same elapsed "$(of hub elapsed_ns)" 0
}

@test "SIGINT at a client: its total, and the hub goes on" {
	start_hub --clients 2 -i 10ms
	start_client a
	start_client b
	wait_until streams
	kill -INT "${CLIENT[b]}"
	end_client b 130
	same end "$(of b end)" interrupted
	kill -INT "$HUB"
	end_client a 0
	end_hub 130
	has_all a
}

@test "SIGINT at a client that has stopped reading, or that waits for the stream" {
	start_hub --clients 2
	start_client a
	wait_until connected "${CLIENT[a]}"
	kill -INT "${CLIENT[a]}"
	end_client a 130
	stop_server "$HUB"
	start_hub --clients 2 --rate 100MB/s --fixed -i 10ms
	start_client b --stop-after 1
	start_client c
	wait_until queues 900000
	kill -TERM "${CLIENT[b]}"
	end_client b 143
	same stopped "$(of b stopped)" true
	kill -INT "$HUB"
	end_client c 0
}

# It has a socket: it is on its way to the hub.
connected() {
	local file
	for file in "/proc/$1"/fd/*; do
		[[ $(readlink "$file") != socket:* ]] || return 0
	done
	return 1
}

@test "connection refused, a port that is taken: status 1, one line, an error record" {
	start_hub
	run -1 --separate-stderr "$hub" -s -p "$PORT" --json
	one_line_with EADDRINUSE
	same errno "$(ours errno error)" EADDRINUSE
	stop_server
	run -1 --separate-stderr "$hub" 127.0.0.1 -p "$PORT" --json
	one_line_with ECONNREFUSED
	same errno "$(ours errno error)" ECONNREFUSED
}

@test "IPv6, names, every address; loopback unless told otherwise" {
	local words host
	start_hub
	grep -q 'listening on 127\.0\.0\.1:' "$SERVER_LOG"
	stop_server
	for words in '-6 ::1' '--bind=:: ::1' '--bind=0.0.0.0 127.0.0.1' '--bind=localhost localhost'; do
		host=${words#* }
		start_hub --time 50ms "${words% *}"
		run -0 "$hub" "$host" -p "$PORT" --json
		same "end, $words" "$(ours end)" complete
		end_hub 0
	done
}

@test "a stdout that is full: status 1, said in one line" {
	start_server bash -c '"$0" -s -p 0 --time 50ms --json >/dev/full' "$hub"
	run -1 --separate-stderr bash -c '"$0" 127.0.0.1 -p "$1" --json >/dev/full' "$hub" "$PORT"
	one_line_with 'cannot write the report'
	wait_server
	same status "$SERVER_STATUS" 1
	grep -q 'cannot write the report' "$SERVER_LOG"
}
