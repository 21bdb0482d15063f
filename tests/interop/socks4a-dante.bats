#!/usr/bin/env bats
# socks4a and dante: its client library through our server, and what our tests see of its server.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers
load ../fixtures/relay
load ../fixtures/socks

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

# through CMD...: with every call for the network taken by dante's library. It goes to loopback directly unless it is told that
# there is no network around. $VERSION: socks_v5, socks_v4.
through() {
	cat >socks.conf <<-EOC
		route {
			from: 0.0.0.0/0 to: 0.0.0.0/0 via: 127.0.0.1 port = ${PROXY##*:}
			proxyprotocol: ${VERSION:-socks_v5}
			protocol: tcp udp
			command: bind connect udpassociate
		}
	EOC
	SOCKS_CONF=socks.conf SOCKS_AUTOADD_LANROUTES=no timeout 60 socksify "$@" 2>socksify.err
}

@test "socksify: datagrams of a program that knows nothing of SOCKS, and a connection of ncat" {
	need socksify ncat
	start_server "$TCPLAB_BIN/echo" -s -p 0
	local echo=$PORT
	proxy
	run -0 through python3 -I -S -c "
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.sendto(b'a datagram', ('127.0.0.1', $echo))
print(s.recvfrom(100))"
	same "the answer" "$output" "(b'a datagram', ('127.0.0.1', $echo))"
	record command=udp reply=ok datagrams_up=1 datagrams_down=1
	run -0 through ncat 127.0.0.1 "$echo" <<<'a stream'
	same "the answer" "$output" 'a stream'
	wait_until ended 2
	record command=connect reply=ok bytes_up=9 bytes_down=9
	end_relay
}

# What BIND is for: the server's connection for the file comes to the client through ours.
@test "socksify curl: FTP in active mode, versions 5 and 4" {
	need socksify curl
	proxy
	local version socks=$PORT n=0
	for version in 5 4; do
		start_server python3 -I -S "$TCPLAB_ROOT/tests/fixtures/ftp_active.py" 200000
		VERSION=socks_v$version
		through curl -sS --disable-eprt --ftp-port - -o file "ftp://joe:secret@127.0.0.1:$PORT/file"
		same "bytes" "$(wc -c <file)" 200000
		same "the server's view" "$(cat "$SERVER_OUT")" "127.0.0.1 names 127.0.0.1"
		wait_until ended $((n += 2))
		grep -q "\"bytes_down\":200000,.*\"version\":$version,\"command\":\"bind\",.*\"reply\":\"ok\"" "$RELAY_OUT"
		PORT=$socks
	done
	end_relay
}

@test "danted: the same datagrams, and the same BIND" {
	need danted
	unused_port # it has no port 0
	local port=$UNUSED
	cat >danted.conf <<-EOC
		logoutput: danted.log
		internal: 127.0.0.1 port = $port
		external: lo
		clientmethod: none
		socksmethod: none
		user.unprivileged: $(id -un)
		client pass { from: 0/0 to: 0/0 }
		socks pass { from: 0/0 to: 0/0 command: bind connect udpassociate bindreply udpreply }
	EOC
	start_worker danted -f "$PWD/danted.conf" -p "$PWD/danted.pid"
	PROXY=127.0.0.1:$port
	wait_until asks greet method || { cat danted.log && false; }
	local udp=(python3 -I -S "$TCPLAB_ROOT/tests/fixtures/socks_udp.py")
	run -0 timeout 120 "${udp[@]}" burst "$PROXY" localhost
	same "burst" "$output" $'160 there, 160 back, from 127.0.0.1\n160 there, 160 back, from 127.0.0.1'
	run -0 timeout 120 "${udp[@]}" long "$PROXY"
	same "long" "$output" $'65497 bytes\n0 bytes\n1 bytes'
	sees $'method 0\nreply 0 ANY\nreply 0 127.0.0.1:PORT\nheard hi' \
		greet+bind:127.0.0.1:21 method reply @v open:BOUND text:hi @main reply hear:2
}
