#!/usr/bin/env bats
# framing in bad company: messages that are cut, absurd lengths, noise, silence, resets, peers that never read. The
# receiver counts each of them and serves the next one.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # for the inner bash to expand
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	framing=$TCPLAB_BIN/framing
	STOPPED=''
}

teardown() {
	local result=0
	[ -z "$STOPPED" ] || kill -CONT "$STOPPED" 2>/dev/null || true
	stop_servers || result=1
	return $result
}

# --- what the tests share -------------------------------------------------------------------------------------------

# visit FORMAT: a connection that sends what printf makes of it and closes.
visit() {
	# shellcheck disable=SC2059 # the format is the message
	(printf "$1" >"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || true
}

# records N: so many connections were reported.
records() {
	[ "$(grep -c '"record":"connection"' "$SERVER_OUT")" -ge "$1" ]
}

# The last receiver, which has --json --fixed --verify, lives and serves: 5 messages, all of them right.
serves() {
	local before
	before=$(grep -c '"record":"connection"' "$SERVER_OUT") || true
	run -0 "$framing" 127.0.0.1 -p "$PORT" -n 5
	wait_until records $((before + 1))
	same "right, of the next sender" "$(field right connection <"$SERVER_OUT")" 5
	same "errno of the next sender" "$(field errno connection <"$SERVER_OUT")" null
}

# refused FORMAT ERRNO [WORDS]: such a visitor's connection ends with this error and one line, and the next one is served.
refused() {
	echo "visitor: $1"
	: >"$SERVER_LOG"
	local before
	before=$(grep -c '"record":"connection"' "$SERVER_OUT") || true
	visit "$1"
	wait_until records $((before + 1))
	cat "$SERVER_LOG"
	same errno "$(field errno connection <"$SERVER_OUT")" "$2"
	same "lines on stderr" "$(wc -l <"$SERVER_LOG")" 1
	grep -qE "^framing: 127\.0\.0\.1:[0-9]+: .*${3:-}.*\($2\)\$" "$SERVER_LOG"
	serves
}

memory() {
	sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$SERVER_PID/status"
}

ticks() {
	awk '{ print $14 + $15 }' "/proc/$SERVER_PID/stat"
}

# --- frames ---------------------------------------------------------------------------------------------------------

@test "a message cut anywhere is an error, and not one between two messages" {
	start_server "$framing" -s -p 0 --fixed --verify --json
	local message='\0\0\0\006\0\0\0\001jk' cut n
	for ((n = 1; n <= 9; n++)); do
		cut=$(printf '%s' "$message" | sed -E "s/^((\\\\0(0[0-7])?|.){$n}).*/\\1/")
		[ "$(printf '%b' "$cut" | wc -c)" -eq $n ]
		refused "$cut" EPROTO "after $n of the"
	done
	visit "$message"
	wait_until records 19
	same errno "$(field errno connection <"$SERVER_OUT")" null
	visit ''
	wait_until records 20
	same errno "$(field errno connection <"$SERVER_OUT")" null
	# the whole message in front of a cut one counts
	refused "$message$message\\0\\0" EPROTO 'after 2 of the 4 '
	same right "$(grep -F EPROTO "$SERVER_OUT" | tail -n 1 | field right connection)" 1
}

@test "absurd lengths are refused before anything is allocated" {
	start_server "$framing" -s -p 0 --fixed --verify --json
	local before
	serves
	before=$(memory VmPeak)
	refused '\377\377\377\377' EMSGSIZE 4294967299
	refused '\177\377\377\377 and more' EMSGSIZE
	refused '\200\0\0\0' EMSGSIZE
	refused 'GET / HTTP/1.0\r\n\r\n' EMSGSIZE
	refused '\0\017\377\375' EMSGSIZE 1048577 # one more than 1 MiB, its own four bytes included
	same "the most memory ever" "$(memory VmPeak)" "$before"
	# and the longest that is allowed is taken
	run -0 "$framing" 127.0.0.1 -p "$PORT" -n 1 -l 1M
	wait_until grep -q '"bytes":1048576' "$SERVER_OUT"
	same right "$(grep '"bytes":1048576' "$SERVER_OUT" | field right connection)" 1
}

@test "what was announced is no more than --max-length allows, whatever the buffer" {
	start_server "$framing" -s -p 0 --fixed --verify --json --max-length 104 --read 4
	refused '\0\0\0\145' EMSGSIZE 105
	serves # 100 bytes each
}

@test "empty messages: each is one, a hundred thousand of them too" {
	start_server "$framing" -s -1 -p 0 --fixed --json
	head -c 400000 /dev/zero >"/dev/tcp/127.0.0.1/$PORT"
	wait_server
	same status "$SERVER_STATUS" 0
	same messages "$(field messages <"$SERVER_OUT")" 100000
	same right "$(field right <"$SERVER_OUT")" 100000
}

@test "noise: every connection ends, and the next one is served" {
	local kind i
	for kind in '' --fixed; do
		# shellcheck disable=SC2086 # an option
		start_server "$framing" -s -p 0 --verify --json $kind --timeout 5s
		for ((i = 1; i <= 60; i++)); do
			(head -c $((RANDOM % 3000)) /dev/urandom >"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null || true
		done
		wait_until records 60
		run -0 "$framing" 127.0.0.1 -p "$PORT" -n 1
		wait_until records 61
		same right "$(field right connection <"$SERVER_OUT")" 1
	done
}

@test "-1: the status of a connection that failed is 1, also when something was wrong" {
	start_server "$framing" -s -1 -p 0 --fixed --json
	visit '\0\0\0\005he'
	wait_server
	same status "$SERVER_STATUS" 1
	same failed "$(field failed <"$SERVER_OUT")" 1
	[[ $(tail -n 1 "$SERVER_OUT") == *'"record":"total"'* ]]
}

# --- silence and resets ---------------------------------------------------------------------------------------------

@test "a sender that falls silent is given up after --timeout; who waits behind it is served" {
	start_server "$framing" -s -p 0 --fixed --verify --json --timeout 2s
	local fd
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	printf '\0\0\0\005he' >&"$fd"
	run -0 "$framing" 127.0.0.1 -p "$PORT" -n 5
	wait_until records 2
	exec {fd}>&-
	cat "$SERVER_OUT"
	same "errno of the first" "$(head -n 2 "$SERVER_OUT" | field errno connection)" ETIMEDOUT
	same "right, of the second" "$(field right connection <"$SERVER_OUT")" 5
}

@test "a reset in the middle of a message" {
	need python3
	start_server "$framing" -s -p 0 --fixed --verify --json
	python3 - "$PORT" <<-'END'
		import socket, struct, sys
		peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		peer.sendall(b"\0\0\0\x05he")
		peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		peer.close()
	END
	wait_until records 1
	same errno "$(field errno connection <"$SERVER_OUT")" ECONNRESET
	serves
}

@test "no descriptor left for a sender: a line, no spinning, and it ends when it is told to" {
	start_server bash -c 'ulimit -n 4 && exec "$0" -s -p 0 --json' "$framing"
	local fd before
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	wait_until grep -q 'accept: .*(EMFILE)' "$SERVER_LOG"
	before=$(ticks)
	sleep 0.5 # the time in which it could spin
	[ $(($(ticks) - before)) -le 10 ]
	stop_server
	exec {fd}>&-
	same status "$SERVER_STATUS" 143
	same connections "$(field connections <"$SERVER_OUT")" 0
}

# --- the sender's peers ---------------------------------------------------------------------------------------------

# fails ERRNO OPTION...: the sender to the last server ends with status 1, one line and an error record.
fails() {
	local errno=$1
	shift
	run -1 --separate-stderr "$framing" 127.0.0.1 -p "$PORT" --json "$@"
	echo "$stderr"
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	[[ $errno == *"$(ours errno error)"* ]]
	[[ $(tail -n 1 <<<"$output") == *'"record":"error"'* ]]
}

@test "a receiver that refuses: the sender fails with one line" {
	start_server "$framing" -s -p 0 --fixed --max-length 1000
	fails 'ECONNRESET EPIPE' -n 100 -l 100000
}

@test "a receiver that never reads: the sender gives up after --timeout" {
	start_server "$framing" -s -p 0 --rcvbuf 4K
	kill -STOP "$SERVER_PID"
	STOPPED=$SERVER_PID
	fails ETIMEDOUT --timeout 300ms -n 1 -l 100M
}

@test "a receiver that never closes: the sender says so" {
	start_server "$framing" -s -p 0
	kill -STOP "$SERVER_PID"
	STOPPED=$SERVER_PID
	fails ETIMEDOUT --timeout 300ms -n 1
	[[ $stderr == *'wait for the end of 127.0.0.1:'* ]]
}
