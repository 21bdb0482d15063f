#!/usr/bin/env bats
# socks4a in bad company: requests that are cut off or changed, clients that leave at every step, that drip, that do not
# read; no descriptors; a soak of everything at once. Each promise by itself, with other people's programs, is in
# tests/interop/socks4a.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2034,SC2153 # PORT and its like are set by start_server, and read by fixtures

load ../helpers
load ../fixtures/relay
load ../fixtures/socks

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

# A world with nothing but an echo server, a name server that is silent, and a socks4a that waits for nothing for long.
alone() {
	DNS_TIMEOUT=1 world 127.0.0.1=localhost
	silent_dns
	start_server "${INSIDE[@]}" "$TCPLAB_BIN/echo" -s -p 0
	TARGET=127.0.0.1:$PORT
	proxy --greeting-timeout 300ms --bind-timeout 300ms --connect-timeout 300ms "$@"
	BEFORE=$(descriptors)
}

has_descriptors() {
	[ "$(descriptors)" = "$1" ]
}

# hostile ACTION ARG...: and then nothing is left of it, and others are served.
hostile() {
	run inside "${HOSTILE[@]}" "$PORT" "${TARGET##*:}" "$@"
	echo "$output"
	same "wrong" "$status" 0
	COUNTED=$output
	wait_until has_descriptors "$BEFORE"
	TRIES=0
	wait_until is_served
}

# A client like any other is; unless it was too slow for these timeouts: then the next one.
is_served() {
	TRIES=$((TRIES + 1))
	[[ $(asks "greet+connect:$TARGET+text:hello" method reply hear:5) == $'method 0\nreply 0 '*$'\nheard hello' ]]
}

# --- requests ---------------------------------------------------------------------------------------------------------

@test "every beginning of a valid request, ended by FIN, by a reset, by silence: refused, and nothing is left" {
	alone --threads 2
	hostile truncate
	[[ $COUNTED == *" 0 granted"* ]]
	end_relay
}

@test "a valid request with one byte changed: granted or refused, and nothing is left" {
	alone
	hostile change
	end_relay
}

@test "and with a password" {
	echo alice:secret >users
	alone --users users
	run -0 inside "${HOSTILE[@]}" "$PORT" "${TARGET##*:}" change
	echo "$output"
	[[ $output != *" 0 granted"* ]]
	wait_until has_descriptors "$BEFORE"
	end_relay
}

@test "noise, and requests that are garbled in several places" {
	alone --threads 2
	hostile fuzz 1 800
	end_relay
}

# --- clients that leave, or do not -----------------------------------------------------------------------------------

@test "clients that reset or leave at every step, many at a time: nothing is left" {
	alone --threads 2 --max-conn-source 300 # they are let go, and not only for the kernel
	hostile leave 10
	end_relay
}

@test "clients that drip, and clients that do not read what they are told: they are ended, too" {
	alone
	hostile drip 150
	local many=() n
	for n in {1..50}; do
		many+=("@$n" new "greet+connect:127.0.0.9:9" put:20000)
	done
	asker greet "${many[@]}" touch:said await:go
	wait_until test -e said
	wait_until has_descriptors "$BEFORE"
	touch go
	end_relay
	same rejected "$(field rejected <"$RELAY_OUT")" $((200 + TRIES))
}

@test "a client that leaves while its name is looked up, and SIGTERM in the middle of that" {
	world 127.0.0.1=localhost
	silent_dns
	proxy --connect-timeout 1h --drain 200ms
	local before many=() leave=() n
	before=$(descriptors)
	for n in {1..30}; do
		many+=("@$n" new "greet+connect:hangs$n.test:80" method)
		leave+=("@$n" rst)
	done
	asks rst "${many[@]}" "${leave[@]}" >said
	wait_until ended 31
	[ "$(descriptors)" -le $((before + 16)) ] # sockets of lookups, which nobody can interrupt
	asker "${many[@]}" @1 touch:asked drain
	wait_until test -e asked
	end_relay 1
	wait_server "$ASKER"
	same "the client's view" "$(tail -n 1 "$ASKER_SAW")" 'drain 0: ECONNRESET'
}

# --- peers that do not move -------------------------------------------------------------------------------------------

@test "a target that is stopped, and one that says much before it is asked" {
	serve --each put:3000000 get:1000 close
	proxy
	kill -STOP "$SERVER"
	asker "greet+connect:$TARGET" method reply put:1000 touch:put drain
	wait_until test -e put # the kernel connects for a process that is stopped
	kill -CONT "$SERVER"
	wait_server "$ASKER"
	same "the client's view" "$(tail -n 2 "$ASKER_SAW")" $'put 1000: ok\ndrain 3000000: EOF'
	end_relay
}

@test "a client that stops reading: memory is bounded, others go on" {
	serve --each put:1000000000
	proxy --status r.sock
	asks "greet+connect:$TARGET" method reply get:5 >said
	wait_until ended
	local before grown
	before=$(resident)
	asker "greet+connect:$TARGET+text:x" method reply get:5 await:go rst
	wait_until status_is paused 1
	grown=$(($(resident) - before))
	echo "grown by $grown KiB"
	[ "$grown" -lt 4096 ]
	sees $'method 0\nreply 0 ANY\nget 5: ok' "greet+connect:$TARGET" method reply get:5
	touch go
	end_relay
}

# --- not enough of something ------------------------------------------------------------------------------------------

# shellcheck disable=SC2016 # for the inner shell
limited() {
	start_server bash -c 'ulimit -n "$0"; exec "$@"' "$1" "$socks4a" --json -v "${@:2}" 0
	RELAY=$SERVER_PID RELAY_OUT=$SERVER_OUT RELAY_LOG=$SERVER_LOG PROXY=127.0.0.1:$PORT
}

cpu_ticks() {
	awk '{ print $14 + $15 }' "/proc/$RELAY/stat"
}

@test "few descriptors: who comes waits or is told, nothing spins, and afterwards everybody is served" {
	serve --each send:hello drain
	limited 24
	local before ticks many=() n
	before=$(descriptors)
	for n in {1..30}; do
		many+=("@$n" new "greet+connect:$TARGET")
	done
	asker "${many[@]}" @1 method reply get:5 touch:open await:go
	wait_until test -e open
	ticks=$(cpu_ticks)
	sleep 0.5 # nothing must happen, and that takes time
	echo "ticks $ticks, then $(cpu_ticks)"
	[ $(($(cpu_ticks) - ticks)) -lt 20 ]
	touch go
	wait_server "$ASKER"
	wait_until has_descriptors "$before"
	# BIND and UDP are told
	many=()
	for n in {1..30}; do
		many+=("@$n" new "greet+udp:0.0.0.0:0" "@b$n" new "greet+bind:0.0.0.0:0")
	done
	asks "${many[@]}" @1 method reply
	wait_until has_descriptors "$before"
	sees $'method 0\nreply 0 ANY\nget 5: ok' "greet+connect:$TARGET" method reply get:5
	end_relay
}

@test "a server that is told to go to itself: it does not eat itself up" {
	limited 100
	local before
	before=$(descriptors)
	sees $'method 0\nreply 2 ANY\ndrain 0: EOF' "greet+connect:$PROXY+greet+connect:$PROXY" method reply drain
	sees $'reply 91 ANY\ndrain 0: EOF' "connect4:localhost:${PROXY##*:}" reply drain
	wait_until has_descriptors "$before"
	end_relay
}

# --- everything at once -----------------------------------------------------------------------------------------------

# Sanitizers keep freed memory for a while.
soak() {
	local options=(--seconds 6 --socks --patience 60)
	nm "$socks4a" 2>/dev/null | grep -qE '__asan_init|__tsan_init' && options+=(--no-memory --flows 30)
	run "${SOAK[@]}" "${options[@]}" -- "$socks4a" "$@" 0
	echo "$output"
	same "status of the soak" "$status" 0
}

@test "soak: versions 4, 4a and 5, in pieces, with early data; resets, stalls, half-closes, SIGSTOPs" {
	soak --threads 2 --json -v
}
