#!/usr/bin/env bats
# tcprelay and the PROXY protocol, versions 1 and 2, in and out: with haproxy, with nginx, with itself, and with heads that are wrong, in
# pieces, or never come. Every form and every damaged byte of a head is tcprelay_proxyhead_test's business.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`

load ../helpers

setup() {
	need python3
	relay=$TCPLAB_BIN/tcprelay
}

# proxy CASE [WORD]: relay_proxy.py
proxy() {
	timeout 170 python3 -I -S "$TCPLAB_ROOT/tests/fixtures/relay_proxy.py" "$relay" "$@"
}

# check WANTED HEAD...: what the relay makes of each head; both as Python writes them.
check() {
	local want=$1 n=0 line
	shift
	printf '%s\n' "$@" >"$BATS_TEST_TMPDIR/heads"
	run -0 proxy heads <"$BATS_TEST_TMPDIR/heads"
	same "answers" "${#lines[@]}" $#
	for line in "${lines[@]}"; do
		n=$((n + 1))
		same "${!n}" "$line" "$want"
	done
}

# --- in ---------------------------------------------------------------------------------------------------------------

v2='\r\n\r\n\0\r\nQUIT\n'

@test "--proxy-in: heads of both versions, whole with data behind them, and byte by byte" {
	check 192.0.2.1:40000 'PROXY TCP4 192.0.2.1 198.51.100.7 40000 80\r\n' \
		"$v2"'\x21\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\x9c\x40\0\x50' \
		"$v2"'\x21\x11\0\x11\xc0\0\2\1\x0a\0\0\1\x9c\x40\0\x50\x04\0\2hi' # a TLV behind the addresses
	check '[2001:db8::1]:40000' 'PROXY TCP6 2001:db8::1 ::1 40000 80\r\n' \
		"$v2"'\x21\x21\0\x24\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x9c\x40\0\x50'
}

@test "--proxy-in: UNKNOWN and LOCAL are the client that is connected" {
	check 127.0.0.9:P 'PROXY UNKNOWN\r\n' 'PROXY UNKNOWN 192.0.2.1 198.51.100.7 40000 80\r\n' "$v2"'\x20\0\0\0' \
		"$v2"'\x20\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\x9c\x40\0\x50'
}

@test "--proxy-in: whoever begins otherwise is refused, by a reset" {
	check 'reset, refused' 'GET / HTTP/1.0\r\n\r\n' 'PROXY TCP4 192.0.2.1 198.51.100.7 40000 65536\r\n' 'PROXY\r\n' \
		'PROXY TCP4 192.0.2.1 198.51.100.7 40000 80\n' "$v2"'\x31\x11\0\x0c0123456789ab' "$v2"'\x21\x11\0\x0b0123456789a' \
		"$v2"'\x21\x11\xff\xff'
}

# The last one ends in the middle of its head; the end comes with it.
@test "--proxy-in: a head that ends too early is refused" {
	check 'reset, refused' 'PROXY TCP4 192.0.2.1 198.51.100.7 40000 80' "$v2"'\x21\x11\0\x20\xc0\0\2\1'
}

# The limit is ten seconds.
@test "--proxy-in: a head that never comes" {
	proxy never >"$BATS_TEST_TMPDIR/nothing" 3>&- &
	local other=$!
	run -0 proxy never 'PROXY TCP4 192.0'
	same "a part of it" "$output" 'reset, refused'
	wait "$other"
	same "nothing" "$(cat "$BATS_TEST_TMPDIR/nothing")" 'reset, refused'
}

# --- out --------------------------------------------------------------------------------------------------------------

@test "--proxy-out: the head stands before all else; impairments count the client's bytes alone" {
	local version
	for version in v1 v2; do
		run -0 proxy put $version
		same $version "$output" "head, then b'hello'"
		run -0 proxy put $version --up cut-at=3:fin
		same "$version, cut" "$output" "head, then b'hel'"
		run -0 proxy put $version --up corrupt-at=0,delay=20ms,chunk=4
		same "$version, corrupt" "$output" "head, then b'\\x97ello'"
	done
}

@test "two relays: the second one knows the client of the first" {
	local version
	for version in v1 v2; do
		run -0 proxy chain $version
		same $version "$output" 127.0.0.9:P
	done
}

# --- others -----------------------------------------------------------------------------------------------------------

@test "haproxy sends heads" {
	need haproxy
	local version
	for version in v1 v2; do
		run -0 proxy haproxy-sends $version
		same $version "$output" 127.0.0.9:P
		run -0 proxy haproxy-sends-unix $version # its own client came through a unix socket
		same "$version, unix" "$output" 127.0.0.1
	done
}

@test "haproxy understands our heads" {
	need haproxy
	local version
	for version in v1 v2; do
		run -0 proxy haproxy-takes $version
		same $version "$output" 127.0.0.9:P
	done
}

@test "nginx understands our heads" {
	need nginx
	local version
	for version in v1 v2; do
		run -0 proxy nginx-takes $version
		same $version "$output" 127.0.0.9:P
	done
}

@test "nginx sends heads" {
	need nginx
	[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || skip "needs nginx's stream module"
	run -0 proxy nginx-sends
	same v1 "$output" 127.0.0.9:P
}
