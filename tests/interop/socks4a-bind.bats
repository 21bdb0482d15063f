#!/usr/bin/env bats
# socks4a, what few servers have: BIND, a connection to the client, and UDP ASSOCIATE, its datagrams. CONNECT is in
# socks4a.bats.

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

# An echo server for TCP and UDP.
echo_server() {
	start_server "${INSIDE[@]}" "$TCPLAB_BIN/echo" -s -p 0
	TARGET=127.0.0.1:$PORT
}

has_descriptors() {
	[ "$(descriptors)" = "$1" ]
}

# --- BIND -------------------------------------------------------------------------------------------------------------

@test "BIND: the visitor comes, and both talk; versions 5 and 4" {
	proxy
	sees $'method 0\nreply 0 127.0.0.1:PORT\nreply 0 127.0.0.1:PORT\nheard hi\nheard hello\ndrain 0: EOF\ndrain 3: EOF' \
		greet+bind:127.0.0.1:0 method reply @v open:BOUND text:hi @main reply hear:2 text:hello @v hear:5 eof @main drain text:bye eof \
		@v drain
	record end=orderly version=5 command=bind reply=ok bytes_up=8 bytes_down=2
	sees $'reply 90 127.0.0.1:PORT\nreply 90 127.0.0.2:PORT\nheard hi\nheard hello' \
		bind4:joe@0.0.0.0:0 reply @v open:BOUND,127.0.0.2 text:hi @main reply hear:2 text:hello @v hear:5
	wait_until ended 2
	record version=4 command=bind reply=ok
	end_relay
}

@test "BIND: what both say before the second reply is not lost; nor how they end" {
	proxy --threads 2
	sees $'method 0\nreply 0 ANY\nheard early\nreply 0 ANY\ndrain 2: EOF' \
		greet+bind:0.0.0.0:0+text:early method reply @v open:BOUND text:hi eof hear:5 @main reply drain eof
	sees $'method 0\nreply 0 ANY\nreply 0 ANY\ndrain 0: ECONNRESET' \
		greet+bind:0.0.0.0:0 method reply @v open:BOUND @main reply @v rst @main drain
	sees $'put 200000: ok\nmethod 0\nreply 0 ANY\ndrain 200000: EOF' \
		greet+bind:0.0.0.0:0 put:200000 eof method reply @v open:BOUND drain eof
	wait_until ended 3
	end_relay
}

@test "BIND: the visitor comes through the same server" {
	proxy
	local bound
	asker greet+bind:0.0.0.0:0 method reply reply hear:2 text:hello eof drain
	wait_until grep -q reply "$ASKER_SAW"
	bound=$(sed -n 's/^reply 0 //p' "$ASKER_SAW")
	sees $'method 0\nreply 0 ANY\nheard hello\ndrain 0: EOF' "greet+connect:$bound+text:hi" method reply hear:5 eof drain
	wait_until ended 2
	end_relay
}

@test "BIND: a visitor from elsewhere is reset, and waiting goes on; who is let in is the one that was named" {
	world 127.0.0.3=three.test 127.0.0.4=three.test
	proxy
	local wanted=$'method 0\nreply 0 ANY\ndrain 0: ECONNRESET\nreply 0 127.0.0.3:PORT\nheard hi' name steps=()
	for name in 127.0.0.3:0 127.0.0.3:21 three.test:21; do
		steps+=(@main new "greet+bind:$name" method reply @w "open:BOUND,127.0.0.2" drain @v "open:BOUND,127.0.0.3" text:hi @main
			reply hear:2)
	done
	sees "$wanted"$'\n'"$wanted"$'\n'"$wanted"$'\nreply 90 ANY\ndrain 0: ECONNRESET\nreply 90 127.0.0.3:PORT' "${steps[@]:2}" \
		new bind4:three.test:0 reply @w open:BOUND,127.0.0.2 drain @v open:BOUND,127.0.0.3 @main reply
	end_relay
	proxy --deny 127.0.0.2 # it may not be gone to, and so it may not come
	sees $'method 0\nreply 0 ANY\ndrain 0: ECONNRESET\nreply 0 127.0.0.3:PORT' greet+bind:0.0.0.0:0 method reply \
		@w open:BOUND,127.0.0.2 drain @v open:BOUND,127.0.0.3 @main reply
	sees $'method 0\nreply 2 ANY\ndrain 0: EOF' greet+bind:127.0.0.2:21 method reply drain
	end_relay
}

@test "BIND: nobody comes, the client leaves, a second visitor, it is switched off" {
	proxy --bind-timeout 300ms
	local before
	before=$(descriptors)
	asker greet+bind:0.0.0.0:0 method reply reply drain
	local late=$ASKER late_saw=$ASKER_SAW
	sees $'reply 90 ANY\nreply 91 ANY\ndrain 0: EOF' bind4:0.0.0.0:0 reply reply drain
	wait_server "$late"
	same "the end of waiting" "$(tail -n 2 "$late_saw" | sed 's/ [0-9.]*:[0-9]*$//')" $'reply 6\ndrain 0: EOF'
	end_relay
	proxy
	before=$(descriptors)
	asks greet+bind:0.0.0.0:0 method reply rst >left
	wait_until has_descriptors "$before"
	run ! asks greet+bind:0.0.0.0:0 method reply @v open:BOUND @main reply @w open:BOUND
	[[ $output == *ConnectionRefusedError* ]]
	end_relay
	proxy --no-bind
	sees $'method 0\nreply 7 ANY\ndrain 0: EOF' greet+bind:0.0.0.0:0 method reply drain
	sees $'reply 91 ANY\ndrain 0: EOF' bind4:0.0.0.0:0 reply drain
	end_relay
}

@test "BIND: through one that was connected to by IPv6" {
	start_server "$socks4a" '[::1]:0'
	PROXY="[::1]:$PORT"
	sees $'method 0\nreply 0 [::1]:PORT\nreply 0 [::1]:PORT\nheard hi' "greet+bind:[::]:0" method reply @v open:BOUND text:hi @main reply hear:2
	sees $'method 0\nreply 0 [::1]:PORT\nreply 0 [::1]:PORT\nheard hi' "greet+bind:[::1]:0" method reply @v open:BOUND text:hi @main reply hear:2
	sees $'reply 91 ANY' bind4:0.0.0.0:0 reply
}

# --- UDP ASSOCIATE ----------------------------------------------------------------------------------------------------

@test "UDP: to an echo server by IPv4, by IPv6 and by name; small, empty and as large as they can be" {
	world 127.0.0.1=four.test ::1=six.test
	echo_server
	local port=${TARGET##*:}
	start_server "${INSIDE[@]}" "$TCPLAB_BIN/echo" -s --bind ::1 -p "$port"
	proxy
	sees "method 0
reply 0 127.0.0.1:PORT
from 127.0.0.1:$port: four
from [::1]:$port: six
from 127.0.0.1:$port: name
from [::1]:$port: its name
from 127.0.0.1:$port: 
from 127.0.0.1:$port: 65497 bytes
from [::1]:$port: 60000 bytes
from 127.0.0.1:$port: again" \
		greet+udp:0.0.0.0:0 method reply @u datagrams "send:127.0.0.1:$port:four" receive "send:[::1]:$port:six" receive \
		"send:four.test:$port:name" receive "send:six.test:$port:its name" receive "send:127.0.0.1:$port:" receive \
		"size:127.0.0.1:$port:65497" receive "size:[::1]:$port:60000" receive "send:127.0.0.1:$port:again" receive
	record command=udp version=5 reply=ok
	end_relay
}

@test "UDP: fragments, garbage and what is from elsewhere are dropped; the rest goes on" {
	echo_server
	proxy
	local port=${TARGET##*:} bad=() head
	head=$(printf '0000%%02x017f000001%04x61' "$port")
	# RSV, FRAG, ATYP, ADDR, PORT: what is cut off, what does not exist
	for bad_bytes in '' 00 0000 000000 00000001 000000017f0000 000000017f00000107 00000003 0000000305 00000003ff6162 0000000300000761 \
		00000002017f0000010007 000000047f000001 "000000030161$(printf %04x "$port")" 00000001 010000017f0000010007; do
		bad+=("bytes:$bad_bytes")
	done
	# shellcheck disable=SC2059 # for the number of a fragment
	sees $'method 0\nreply 0 ANY\nfrom '"$TARGET"$': good\nnothing\nfrom '"$TARGET"$': still\nnothing\nnothing' \
		greet+udp:0.0.0.0:0 method reply @u datagrams "send:$TARGET:good" receive "${bad[@]}" "bytes:$(printf "$head" 1)" \
		"bytes:$(printf "$head" 128)" "bytes:$(printf "$head" 255)" silence "send:$TARGET:still" receive \
		@other datagrams "send:$TARGET:other port" silence @stranger datagrams:127.0.0.2 "send:$TARGET:other host" silence
	end_relay
}

@test "UDP: the port that the client named counts, and an answer only goes there" {
	echo_server
	proxy
	unused_port
	sees $'method 0\nreply 0 ANY\nnothing' "greet+udp:127.0.0.1:$UNUSED" method reply @u datagrams "send:$TARGET:from another port" silence
	end_relay
}

@test "UDP: a port where nobody is, a denied place, a name that is not, do not end it" {
	world 127.0.0.1=one.test 127.0.0.2=denied.test
	silent_dns
	echo_server
	proxy --deny 127.0.0.2
	sees $'method 0\nreply 0 ANY\nnothing\nfrom '"$TARGET"': good' greet+udp:0.0.0.0:0 method reply @u datagrams \
		send:127.0.0.1:1:x send:127.0.0.1:1:x send:127.0.0.2:"${TARGET##*:}":x send:denied.test:"${TARGET##*:}":x send:hangs.test:1:x \
		send:198.51.100.1:1:x send:255.255.255.255:1:x send:127.0.0.1:0:x silence "send:$TARGET:good" receive
	end_relay
}

@test "UDP: many names that hang: memory is bounded, others go on, and nothing is left" {
	DNS_TIMEOUT=1 world 127.0.0.1=one.test
	silent_dns
	echo_server
	proxy
	local before grown many=() n
	before=$(descriptors)
	for n in {1..200}; do
		many+=("size:hangs$n.test:9:60000")
	done
	asker greet+udp:0.0.0.0:0 method reply @u datagrams "${many[@]}" "ask:$TARGET:good" touch:sent await:go
	wait_until test -e sent
	same "the answer to the last one" "$(tail -n 1 "$ASKER_SAW")" "from $TARGET: good"
	grown=$(resident)
	echo "resident: $grown KiB"
	touch go
	wait_until ended
	wait_until has_descriptors "$before"
	end_relay
}

@test "UDP: it ends with the TCP connection, or by --idle; a reset, too; --no-udp" {
	echo_server
	proxy
	local before end
	before=$(descriptors)
	for end in eof rst; do
		asks greet+udp:0.0.0.0:0 method reply @u datagrams "send:$TARGET:x" receive @main $end >said
		wait_until has_descriptors "$before"
	done
	sees $'method 0\nreply 0 ANY\ndrain 0: EOF\nECONNREFUSED' greet+udp:0.0.0.0:0 method reply eof drain @u datagrams \
		"ask:$TARGET:x"
	end_relay
	proxy --idle 300ms
	sees $'method 0\nreply 0 ANY\ndrain 0: ECONNRESET' greet+udp:0.0.0.0:0 method reply drain
	record end=idle
	end_relay
	proxy --no-udp
	sees $'method 0\nreply 7 ANY\ndrain 0: EOF' greet+udp:0.0.0.0:0 method reply drain
	end_relay
}
