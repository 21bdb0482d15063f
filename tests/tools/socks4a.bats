#!/usr/bin/env bats
# socks4a: the command line, what is written of each connection and in the end, orders to a running one. What it does for
# clients belongs to tests/interop and tests/robust.

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

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "socks4a $*"
	run -2 --separate-stderr timeout -k 1 60 "$socks4a" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

says() {
	grep -qE -- "$1" "$SERVER_LOG"
}

# --- usage ------------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$socks4a" --help
	[[ $output == *"usage: socks4a"*"--users"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$socks4a" --version
	[[ $output == "socks4a (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local args
	for args in 'x' '65536' '::1:0' '1 2' '0 host:80' '--users' '--users /nowhere' '--allow' '--allow 10.0.0.1/8' '--allow bad_name!' \
		'--deny 10.0.0.0/33' '--deny :' '--deny :9-8' '--deny :65536' '--deny @/nowhere' '--deny [::1' '--allow-client x' '--deny-client 10.0.0.0/33' \
		'--max-conn x' '--max-conn-source x' '--max-conn-source -1' '--greeting-timeout x' '--bind-timeout x' '--connect-timeout x' '--dns-keep x' \
		'--linger x' '--drain -1' '--idle x' '--threads 0' '--path x' '--buffer 1' '--dump x' '-4 -6' '--nodelay --nagle' '--up delay' \
		'--congestion' '--no-such-option' 'stat' 'top' 'drain' 'set' 'set path' 'stat path word' 'set path nonsense'; do
		# shellcheck disable=SC2086 # words
		refused $args
	done
}

@test "a users file: what is wrong with it is said with its line, and nothing of a password" {
	local content
	for content in 'alice' ':secret' 'alice:' $'a:1\na:2' "$(printf 'x%.0s' {1..256}):y" "y:$(printf 'x%.0s' {1..256})"; do
		printf '%s\n' "$content" >users
		refused --users users 0
		[[ $stderr == *users* && $stderr != *secret* ]]
	done
}

@test "cannot start: one line and status 1" {
	local args
	serve stay
	for args in "${TARGET##*:}" "192.0.2.1:0" "--status /nowhere/socket 0" "--http 192.0.2.1:0 0" "--from nonsense 0" "--congestion nonsense 0"; do
		echo "socks4a $args"
		# shellcheck disable=SC2086 # words
		run -1 --separate-stderr timeout -k 1 60 "$socks4a" $args
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
		# shellcheck disable=SC2086 # words
		run -1 --separate-stderr timeout -k 1 60 "$socks4a" --json $args
		ours message error >/dev/null
	done
}

@test "where it listens: 127.0.0.1:1080 unless told, an operand, --bind and -p" {
	need unshare
	start_server "$socks4a" 0
	says 'listening on 127\.0\.0\.1:'
	start_server "$socks4a" 127.0.0.5:0
	says 'listening on 127\.0\.0\.5:'
	start_server "$socks4a" --bind 127.0.0.6 -p 0
	says 'listening on 127\.0\.0\.6:'
	start_server "$socks4a" '[::1]:0'
	says 'listening on \[::1\]:'
	world 127.0.0.1=localhost
	start_server "${INSIDE[@]}" "$socks4a"
	says 'listening on 127\.0\.0\.1:1080$'
}

@test "a warning when everybody could come: beyond loopback without a password" {
	echo alice:secret >users
	chmod 600 users
	start_server "$socks4a" 0.0.0.0:0
	same "lines" "$(wc -l <"$SERVER_LOG")" 2
	says 'password|users'
	local args
	for args in '127.0.0.1:0' '[::1]:0' '127.8.9.1:0' '--users users 0.0.0.0:0' '--allow-client 10.0.0.0/8 0.0.0.0:0'; do
		# shellcheck disable=SC2086 # words
		start_server "$socks4a" $args
		same "lines with $args" "$(grep -vc 'descriptors may be open' "$SERVER_LOG")" 1
	done
	chmod 644 users
	start_server "$socks4a" --users users 0
	says 'passwords.*users'
}

# --- what is written --------------------------------------------------------------------------------------------------

@test "a line for each connection with -v: version, command, user, where to, what became of it" {
	echo 'alice:secret' >users
	serve --each send:hello drain
	local port=${TARGET##*:}
	start_server "$socks4a" -v 0
	PROXY=127.0.0.1:$PORT
	sees $'method 0\nreply 0 ANY\nget 5: ok' "greet+connect:localhost:$port" method reply get:5 eof
	wait_until says '#1 127\.0\.0\.1:[0-9]+ > localhost:'"$port"' \(127\.0\.0\.1:'"$port"'\).*SOCKS5 connect.*0 B up, 5 B down in '
	sees $'reply 91 ANY' connect4:joe@127.0.0.1:1 reply
	wait_until says '#2 127\.0\.0\.1:[0-9]+ > 127\.0\.0\.1:1.*SOCKS4 connect.*ECONNREFUSED'
	sees 'drain 0: ECONNRESET' 'text:GET / HTTP/1.1\r\n\r\n' drain
	wait_until says '#3 127\.0\.0\.1:[0-9]+'
	stop_server
	same status "$SERVER_STATUS" 0
	cat "$SERVER_LOG" "$SERVER_OUT"
	grep -q '3 connections in .*: 0 B up, 5 B down' "$SERVER_OUT"
	start_server "$socks4a" -v --users users 0
	PROXY=127.0.0.1:$PORT
	sees $'method 2\nlogin 0\nreply 0 ANY' "greet:2+login:alice:secret+connect:$TARGET" method login reply
	wait_until says 'SOCKS5 connect.*alice'
	sees $'method 2\nlogin 1' 'greet:2+login:ali\x1bce:wrong' method login
	wait_until says '#2 '
	run ! grep -q $'\x1b' "$SERVER_LOG"
	run ! says secret
}

@test "--json: start, connection, denied and total are records, with every figure" {
	serve --each send:hello drain
	proxy --threads 2 --deny-client 127.0.0.2
	sees $'method 0\nreply 0 ANY\nget 5: ok' "greet+connect:$TARGET+text:abc" method reply get:5 eof
	wait_until ended
	record version=5 command=connect user=null reply=ok target="$TARGET" server="$TARGET" bytes_up=3 bytes_down=5 end=orderly errno=null
	sees $'reply 91 ANY' connect4:joe@127.0.0.1:1 reply
	wait_until ended 2
	record version=4 command=connect user=joe reply=refused end=connect errno=ECONNREFUSED
	asks --from 127.0.0.2 drain
	sees 'drain 0: ECONNRESET' 'text:GET / HTTP/1.1\r\n\r\n' drain
	wait_until ended 3
	end_relay
	run -0 python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.socks4a/1 connections:int granted:int rejected:int bytes_up:int \
		bytes_down:int drained:bool live:int failed:int denied:int elapsed_ns:int ends:any <"$RELAY_OUT"
	same port "$(field port start <"$RELAY_OUT")" "$PORT"
	same total "$(field connections <"$RELAY_OUT") $(field granted <"$RELAY_OUT") $(field rejected <"$RELAY_OUT") $(field denied <"$RELAY_OUT")" \
		'3 1 2 1'
	grep -q '"record":"denied","client":"127.0.0.2:' "$RELAY_OUT"
}

# --- orders to a running one ------------------------------------------------------------------------------------------

@test "--status: stat, set, drain; the table shows what a client waits for" {
	serve --each send:hello drain
	proxy --status r.sock --http 0
	asker greet+bind:0.0.0.0:0 method reply @half new greet method @open new "greet+connect:$TARGET" method reply get:5 \
		@evil new "hex:0401$(printf %04x "${TARGET##*:}")7f0000011b5b33316d0d0a646174613a203c623e00" reply get:5 \
		touch:open await:leave rst @open rst @half rst @main rst
	wait_until test -e open
	run -0 "$socks4a" stat r.sock
	echo "$output"
	[[ $output == *"SOCKS5 connect"* && $output == *"SOCKS5 bind"* ]]
	# who calls himself an escape sequence does not get one into a terminal
	[[ $output == *'SOCKS4 connect, user '* && $output != *$'\e'* && $output != *$'\r'* ]]
	run -0 "$socks4a" stat r.sock --json
	same live "$(ours live status)" 4
	run -0 "$socks4a" set r.sock down delay=10ms
	run -0 "$socks4a" stat r.sock
	[[ $output == *"delay=10ms"* ]]
	run -1 --separate-stderr "$socks4a" stat nowhere.sock
	one_line_with nowhere.sock
	run -0 "$socks4a" drain r.sock
	wait_until grep -q draining "$RELAY_LOG"
	touch leave
	wait_server "$RELAY"
	same status "$SERVER_STATUS" 0
	run ! grep -q $'\e' "$RELAY_LOG"
}

@test "impairments and --dump work on what goes through, not on the dialogue" {
	serve --each send:hello drain
	start_server "$socks4a" --up chunk=1 --down delay=20ms,chunk=2 --dump text 0
	PROXY=127.0.0.1:$PORT
	sees $'method 0\nreply 0 ANY\nget 5: ok' "greet+connect:$TARGET+text:early" method reply get:5 eof
	wait_until grep -q '#1 = both ends finished; 5 B up, 5 B down' "$SERVER_OUT"
	grep -q ' #1 < 0: ' "$SERVER_OUT"
}
