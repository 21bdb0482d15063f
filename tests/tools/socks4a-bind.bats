#!/usr/bin/env bats
# socks4a, BIND: who may come, where it listens, and which reply says why not. Visitors that talk are in
# tests/interop/socks4a-bind.bats.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2034 # PROXY is for socks.bash
# shellcheck disable=SC2102 # an IPv6 address is no pattern

load ../helpers
load ../fixtures/relay
load ../fixtures/socks

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

# visit_each NAMED WANTED VISITOR...: a BIND for NAMED, and a visitor from each address: those that are not wanted are reset.
visit_each() {
	local steps=("greet+bind:$1" method reply) wanted=$2 visitor
	for visitor in "${@:3}"; do
		steps+=("@$visitor" "open:BOUND,$visitor")
		[ "$visitor" = "$wanted" ] || steps+=(drain)
	done
	run -0 asks "${steps[@]}" @main reply "@$wanted" text:hi @main hear:2
	same "the client's view" "$(tail -n 2 <<<"$output" | sed 's/:[0-9]*$//')" "reply 0 $wanted"$'\nheard hi'
	same "visitors that were reset" "$(grep -c '^drain 0: ECONNRESET' <<<"$output")" $(($# - 3))
}

@test "the host that was named may come, from any port; with no host, anybody" {
	proxy -4
	visit_each 127.0.0.3:21 127.0.0.3 127.0.0.2 127.0.0.4 127.0.0.3
	visit_each localhost:21 127.0.0.1 127.0.0.2 127.0.0.1
	visit_each '[::ffff:127.0.0.3]:21' 127.0.0.3 127.0.0.1 127.0.0.3
	visit_each 0.0.0.0:21 127.0.0.9 127.0.0.9
	end_relay
	same "granted" "$(field granted <"$RELAY_OUT")" 4
}

@test "the rules hold for visitors: by their address, and with the port that was named" {
	proxy --deny 127.0.0.2,127.0.0.3:21 --allow 127.0.0.0/8:21-22
	visit_each 0.0.0.0:22 127.0.0.3 127.0.0.2 127.0.0.3
	visit_each 0.0.0.0:21 127.0.0.4 127.0.0.2 127.0.0.3 127.0.0.4
	sees $'method 0\nreply 2 0.0.0.0:0\ndrain 0: EOF\nmethod 0\nreply 2 0.0.0.0:0\nmethod 0\nreply 2 0.0.0.0:0' \
		greet+bind:127.0.0.2:22 method reply drain \
		@2 "open:$PROXY" greet+bind:127.0.0.1:23 method reply @3 "open:$PROXY" greet+bind:localhost:23 method reply
	end_relay
	same "refused" "$(grep -c '"end":"refused".*"reply":"not_allowed"' "$RELAY_OUT")" 3
}

# A name that only the rules know to be allowed: its visitor comes from an address.
@test "a name that is allowed: its hosts may come, though the rules do not allow their address" {
	proxy -4 --allow localhost
	visit_each localhost:0 127.0.0.1 127.0.0.2 127.0.0.1
	sees $'method 0\nreply 2 0.0.0.0:0\ndrain 0: EOF' greet+bind:127.0.0.1:0 method reply drain
	end_relay
}

@test "it listens where the client's connection arrived, or at --from" {
	proxy --bind 0.0.0.0 --allow-client all
	PROXY=127.0.0.5:$PORT
	sees $'method 0\nreply 0 127.0.0.5:PORT' greet+bind:0.0.0.0:0 method reply rst
	end_relay
	proxy --from 127.0.0.6
	sees $'method 0\nreply 0 127.0.0.6:PORT' greet+bind:127.0.0.1:0 method reply rst
	end_relay
	proxy --from 192.0.2.1 # not an address of this host: 1, general failure
	sees $'method 0\nreply 1 0.0.0.0:0\ndrain 0: EOF' greet+bind:127.0.0.1:0 method reply drain
	record end=connect reply=failed
	end_relay
}

@test "which reply says why not: 8 another family, 4 no such name, 6 nobody came; SOCKS 4: 91" {
	proxy --bind-timeout 200ms
	sees $'method 0\nreply 0 ANY\nmethod 0\nreply 8 0.0.0.0:0\ndrain 0: EOF\nmethod 0\nreply 4 0.0.0.0:0\nreply 91 0.0.0.0:0
reply 6 0.0.0.0:0\ndrain 0: EOF' \
		greet+bind:0.0.0.0:0 method reply @8 "open:$PROXY" greet+bind:[::1]:0 method reply drain \
		@4 "open:$PROXY" greet+bind:nobody.invalid:0 method reply @91 "open:$PROXY" bind4:nobody.invalid:0 reply @main reply drain
	end_relay
	local reply
	for reply in ttl_expired bad_address host_unreachable; do
		grep -q "\"end\":\"connect\".*\"command\":\"bind\".*\"reply\":\"$reply\"" "$RELAY_OUT"
	done
	grep -q '"why":"nobody came in time"' "$RELAY_OUT"
	same "granted" "$(field granted <"$RELAY_OUT")" 0
	same "rejected" "$(field rejected <"$RELAY_OUT")" 4
}

@test "SIGTERM while it waits for a visitor: it has --drain to come" {
	proxy
	asker greet+bind:0.0.0.0:0 method reply touch:waits await:go @v open:BOUND text:hi eof @main reply hear:2 eof
	wait_until test -e waits
	kill -TERM "$RELAY"
	wait_until grep -q draining "$RELAY_LOG"
	touch go
	wait_server "$RELAY"
	same "status" "$SERVER_STATUS" 0
	wait_server "$ASKER"
	same "the client's view" "$(tail -n 1 "$ASKER_SAW")" "heard hi"
	proxy --drain 100ms
	asker greet+bind:0.0.0.0:0 method reply touch:waits2 drain
	wait_until test -e waits2
	end_relay 1
	record end=drained
}
