#!/usr/bin/env bats
# socks4a, UDP ASSOCIATE: what is passed on, what is dropped, and what is counted. More of the network is in
# tests/interop/socks4a-bind.bats.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant

load ../helpers
load ../fixtures/relay
load ../fixtures/socks

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

# plays WANTED SCENARIO [ARG...]: socks_udp.py, and what it prints.
plays() {
	run -0 timeout 120 "${INSIDE[@]}" python3 -I -S "$TCPLAB_ROOT/tests/fixtures/socks_udp.py" "$2" "$PROXY" "${@:3}"
	same "$2" "$output" "$1"
}

# counted UP DOWN DROPPED STRANGERS: the association that has ended last.
counted() {
	record command=udp "datagrams_up=$1" "datagrams_down=$2" "datagrams_dropped=$3" "datagrams_strangers=$4"
}

@test "many at once, by address and by name: all arrive, and all answers, in order; from --from" {
	proxy -4 --from 127.0.0.6
	plays $'160 there, 160 back, from 127.0.0.6\n160 there, 160 back, from 127.0.0.6' burst localhost
	counted 322 320 0 0
	record end=orderly bytes_up=750 bytes_down=1700
	end_relay
	same "bytes up in all" "$(field bytes_up <"$RELAY_OUT")" 750
}

@test "none goes to the server's own sockets; but two associations may talk with each other" {
	proxy --threads 2
	plays $'host: the next one\nother: hello, from its outside: True\nme: and back, from its outside: True' ourselves
	wait_until ended 2
	same "dropped" "$(grep -o 'grams_dropped":[0-9]*' "$RELAY_OUT" | sort | tr '\n' ' ')" 'grams_dropped":0 grams_dropped":5 '
	end_relay
}

@test "none goes to a group, nor to port 0" {
	proxy
	plays 'a host' groups
	counted 1 0 8 0
	end_relay
}

@test "an answer that is too long with its head is dropped; empty ones are passed on" {
	proxy
	plays $'65497 bytes\n0 bytes\n1 bytes' long
	counted 1 3 2 0
	end_relay
}

@test "answers come from where the rules allow to go; and from a name that they allow" {
	proxy -4 --allow localhost
	plays $'host: by name\nme: from a friend' friend localhost
	counted 1 1 1 1
	end_relay
	proxy -4 --deny 127.0.0.2
	plays $'host: by address, by name\nme: from a friend' friend localhost
	counted 2 1 0 1
	end_relay
}

@test "who is not the client does not keep it from --idle" {
	local idle
	for idle in 250ms 2s 10s; do # with the first of these it may be over before the others have begun
		proxy --deny 127.0.0.2 --idle $idle
		run timeout 120 python3 -I -S "$TCPLAB_ROOT/tests/fixtures/socks_udp.py" strangers "$PROXY"
		[ "$output" != 'ended: True' ] || break
		end_relay
	done
	same strangers "$output" 'ended: True'
	record end=idle datagrams_up=1 datagrams_dropped=0
	end_relay
}

@test "what the client says on its TCP connection is thrown away, and nobody takes that for a busy loop" {
	proxy --rcvbuf 4K # so that it takes thousands of rounds
	plays 'a host' noise
	record end=orderly bytes_up=6
	end_relay
	run ! grep 'busy loop' "$RELAY_LOG"
}

@test "to both families in turn, as one batch" {
	proxy
	plays '20 there, 20 back, of 2' mixed "$RELAY"
	counted 21 20 20 0
	end_relay
}

@test "names that take their time: 8 at a time, 32 datagrams, 64 KiB wait; a denied one is not looked up" {
	world
	proxy -4 --deny denied.test
	plays '40 to one name: 0 at once, 32 later
3 of 30000 bytes: 0 at once, 2 later
1 to each of 9 names: 0 at once, 8 later
the next: 0 at once, 1 later
asked: large, many0, many1, many2, many3, many4, many5, many6, many7, many8, next, one' names
	end_relay
}

@test "many associations on several loops, that end in the middle of it: nothing is left" {
	proxy -4 --threads 3
	local before
	before=$(descriptors)
	plays '36 of 36 associations' crowd 6
	wait_until ended 36
	same "descriptors" "$(descriptors)" "$before"
	end_relay
}
