#!/usr/bin/env bats
# socks4a between other people's programs: curl, ncat, nc, ssh and proxychains4 as clients, and one that does what no
# client should. Each row in which SOCKS servers differ is a test. Hostile requests and masses are in
# tests/robust/socks4a.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/relay
load ../fixtures/socks

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

port_of() {
	echo "${1##*:}"
}

# A web server with one page, for one request on each connection. The answer comes first, so that no request is left
# unread.
serve_page() {
	serve --each 'send:HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\na page\n' drain close
}

# get OPTION... URL: curl through the server, and it has to be the page.
gets_page() {
	run -0 curl -sS --max-time 60 "$@"
	same "curl $*" "$output" 'a page'
}

# --- clients ----------------------------------------------------------------------------------------------------------

@test "curl: SOCKS 4, 4a, 5, 5 with the name" {
	need curl
	serve_page
	proxy --threads 2
	local way url
	for way in socks4 socks4a socks5 socks5-hostname; do
		for url in "http://$TARGET/" "http://localhost:$(port_of "$TARGET")/"; do
			gets_page --"$way" "$PROXY" "$url"
		done
	done
	wait_until ended 8
	same "of version 4, 5" "$(grep -c '"version":4' "$RELAY_OUT") $(grep -c '"version":5' "$RELAY_OUT")" '4 4'
	end_relay
	same "granted, rejected" "$(field granted <"$RELAY_OUT") $(field rejected <"$RELAY_OUT")" '8 0'
}

@test "user and password: curl, right, wrong and none; SOCKS 4 has none" {
	need curl
	serve_page
	printf '# comment\nalice:se:cret word\nbob:%s\n' "$(printf 'x%.0s' {1..255})" >users
	chmod 600 users
	proxy --users users
	gets_page --socks5-hostname "$PROXY" --proxy-user 'alice:se:cret word' "http://$TARGET/"
	gets_page --socks5 "$PROXY" --proxy-user "bob:$(printf 'x%.0s' {1..255})" "http://$TARGET/"
	run -97 curl -sS --socks5 "$PROXY" --proxy-user alice:se:cret "http://$TARGET/"
	run -97 curl -sS --socks5 "$PROXY" "http://$TARGET/"
	run -97 curl -sS --socks4 "$PROXY" "http://$TARGET/"
	local wrong=() wanted='' user
	for user in alice:x alice:se:cret alice:se:cret\ word2 bob:x carol:secret 'ALICE:se:cret word' bob:; do
		wrong+=(new "greet:0,2+login:$user" method login drain)
		wanted+=$'method 2\nlogin 1\ndrain 0: EOF\n'
	done
	sees "$wanted"$'reply 91 ANY\ndrain 0: EOF\nmethod 255\ndrain 0: EOF' "${wrong[@]:1}" \
		new "connect4:alice@$TARGET" reply drain new greet:0 method drain
	# who does not wait for the verdict has no advantage
	sees $'method 2\nlogin 1\ndrain 0: EOF\nmethod 2\nlogin 0\nreply 0 ANY' \
		"greet:2+login:alice:x+connect:$TARGET+text:hello" method login drain \
		new "greet:2+login:alice:se:cret word+connect:$TARGET+text:hello" method login reply
	run ! grep -r 'se:cret' "$RELAY_OUT" "$RELAY_LOG"
	grep -q '"user":"alice"' "$RELAY_OUT"
	end_relay
}

@test "ncat: SOCKS 4 and 5, and with a password; every byte, and both ends" {
	need ncat
	head -c 2000001 /dev/urandom >data
	start_server "$TCPLAB_BIN/echo" -s -p 0
	TARGET=127.0.0.1:$PORT
	proxy
	local type
	for type in socks4 socks5; do
		ncat --proxy "$PROXY" --proxy-type "$type" 127.0.0.1 "$(port_of "$TARGET")" <data >back
		cmp data back
	done
	ncat --proxy "$PROXY" --proxy-type socks5 --proxy-dns remote localhost "$(port_of "$TARGET")" <data >back
	cmp data back
	wait_until ended 3
	end_relay
	echo alice:secret >users
	proxy --users users
	ncat --proxy "$PROXY" --proxy-type socks5 --proxy-auth alice:secret 127.0.0.1 "$(port_of "$TARGET")" <data >back
	cmp data back
	run ! ncat --proxy "$PROXY" --proxy-type socks5 --proxy-auth alice:wrong 127.0.0.1 "$(port_of "$TARGET")" <data
	end_relay
}

@test "proxychains4: curl, which knows nothing of it, by address and by name, with a password" {
	need proxychains4 curl
	serve_page
	echo alice:secret >users
	proxy
	local open=$PROXY
	proxy --users users
	chain() {
		printf '%s\n' strict_chain proxy_dns quiet_mode '[ProxyList]' "$1" >chain.conf
		run -0 proxychains4 -q -f chain.conf curl -sS --max-time 60 "http://$2/"
		same "through $1" "$output" 'a page'
	}
	chain "socks5 127.0.0.1 $(port_of "$open")" "$TARGET"
	chain "socks4 127.0.0.1 $(port_of "$open")" "$TARGET"
	chain "socks5 127.0.0.1 $(port_of "$PROXY") alice secret" "localhost:$(port_of "$TARGET")"
	# and through both, one behind the other
	chain "socks5 127.0.0.1 $(port_of "$open")"$'\n'"socks5 127.0.0.1 $(port_of "$PROXY") alice secret" "$TARGET"
	end_relay
}

@test "ssh through it: its bytes both ways, its status" {
	need ssh sshd ssh-keygen socat unshare nc.openbsd ncat
	mkdir ssh
	ssh-keygen -q -t ed25519 -N '' -f ssh/host
	ssh-keygen -q -t ed25519 -N '' -f ssh/user
	printf '%s\n' "HostKey $PWD/ssh/host" "AuthorizedKeysFile $PWD/ssh/user.pub" 'StrictModes no' 'UsePAM no' 'PidFile none' \
		'PermitRootLogin yes' >ssh/sshd_config
	printf '%s\n' 'Host *' "IdentityFile $PWD/ssh/user" 'IdentitiesOnly yes' 'StrictHostKeyChecking no' \
		"UserKnownHostsFile $PWD/ssh/known" 'LogLevel ERROR' >ssh/config
	head -c 1000000 /dev/urandom >data
	# sshd of root wants a folder for a process without rights, and that is in a mount namespace of its own
	local how=() command
	# shellcheck disable=SC2016 # for the inner shell
	[ "$(id -u)" -ne 0 ] || how=(unshare -m sh -c 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$0" "$@"')
	behind "${how[@]}" socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork "EXEC:$(command -v sshd) -i -f $PWD/ssh/sshd_config"
	proxy
	for command in "nc.openbsd -X 5 -x $PROXY %h %p" "nc.openbsd -X 4 -x $PROXY %h %p" "ncat --proxy $PROXY --proxy-type socks5 %h %p"; do
		ssh -F ssh/config -o ProxyCommand="$command" -p "$(port_of "$TARGET")" 127.0.0.1 'cat; exit 7' <data >back && false
		same status "$?" 7
		cmp data back
	done
	wait_until ended 3
	end_relay
}

# --- the reply --------------------------------------------------------------------------------------------------------

@test "the reply comes when the connection stands, and says from where it goes" {
	need ss
	serve --each send:hello drain
	proxy --from 127.0.0.9
	run -0 asks "greet+connect:$TARGET" method reply get:5 touch:open
	[[ $output =~ ^$'method 0\nreply 0 127.0.0.9:'([0-9]+)$'\nget 5: ok'$ ]]
	same "the server's local port, by its record" "$(field version connection <"$RELAY_OUT")" 5
	wait_until ended
	end_relay
}

@test "a refused target is told at once, with the reason; nobody is told that it was granted" {
	serve --deaf
	local deaf=$TARGET
	serve --full
	proxy --connect-timeout 2s --deny 127.0.0.7
	sees 'method 0
reply 5 ANY
drain 0: EOF
method 0
reply 5 ANY
drain 0: EOF
reply 91 ANY
drain 0: EOF
reply 91 ANY
drain 0: EOF
method 0
reply 4 ANY
drain 0: EOF
method 0
reply 2 ANY
drain 0: EOF
method 0
reply 7 ANY
drain 0: EOF
method 0
reply 8 ANY
drain 0: EOF
put 300000: ok
method 0
reply 5 ANY
drain 0: EOF' \
		"greet+connect:$deaf" method reply drain new "greet+connect:localhost:$(port_of "$deaf")+text:early" method reply drain \
		new "connect4:$deaf" reply drain new "connect4:localhost:$(port_of "$deaf")" reply drain \
		new "greet+connect:$TARGET" method reply drain new greet+connect:127.0.0.7:80 method reply drain \
		new greet+hex:05090001000000000050 method reply drain new greet+hex:05010002000000000050 method reply drain \
		new "greet+connect:$deaf" put:300000 method reply eof drain # what it still says is thrown away, and no reason for a reset
	wait_until ended 9
	same "replies" "$(grep -o '"reply":"[a-z_]*"' "$RELAY_OUT" | sort -u | wc -l)" 5
	end_relay
	same "granted, rejected" "$(field granted <"$RELAY_OUT") $(field rejected <"$RELAY_OUT")" '0 9'
}

@test "a network that is not reached, a host that is not, a name that is not: 3, 4, 4" {
	world 127.0.0.1=one.test
	proxy --connect-timeout 400ms
	sees $'method 0\nreply 3 ANY\nmethod 0\nreply 3 ANY\nmethod 0\nreply 4 ANY\nmethod 0\nreply 4 ANY\nreply 91 ANY' \
		greet+connect:198.51.100.1:80 method reply new "greet+connect:[2001:db9::1]:80" method reply \
		new greet+connect:192.0.2.1:80 method reply new greet+connect:none.test:80 method reply new connect4:none.test:80 reply
	end_relay
}

# --- how bytes come ---------------------------------------------------------------------------------------------------

# Each in one piece, and byte by byte; the client's first words right behind its request.
@test "any fragmentation works, and early data is delivered" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	TARGET=127.0.0.1:$PORT
	echo alice:secret >users
	proxy
	local name cut pieces=() wanted=() with_password=()
	name=localhost:$(port_of "$TARGET")
	for cut in 1 2 1000; do
		pieces+=(new "cut:$cut" "greet:9,2,0+connect:$TARGET+text:hello" method reply hear:5 eof drain
			new "greet+connect:$name+text:hello" method reply hear:5 eof drain
			new "connect4:joe@$TARGET+text:hello" reply hear:5 eof drain
			new "connect4:joe@$name+text:hello" reply hear:5 eof drain)
		wanted+=('method 0' 'reply 0 ANY' 'heard hello' 'drain 0: EOF' 'method 0' 'reply 0 ANY' 'heard hello' 'drain 0: EOF'
			'reply 90 ANY' 'heard hello' 'drain 0: EOF' 'reply 90 ANY' 'heard hello' 'drain 0: EOF')
		with_password+=(new "cut:$cut" "greet:0,2+login:alice:secret+connect:$name+text:hello" method login reply hear:5 eof drain)
	done
	sees "$(printf '%s\n' "${wanted[@]}")" "${pieces[@]:1}"
	end_relay
	proxy --users users
	wanted=('method 2' 'login 0' 'reply 0 ANY' 'heard hello' 'drain 0: EOF')
	sees "$(printf '%s\n' "${wanted[@]}" "${wanted[@]}" "${wanted[@]}")" "${with_password[@]:1}"
	end_relay
}

@test "much early data, and the client's end right behind it, before it has heard a word" {
	serve --each --save got drain send:done close
	proxy
	sees $'put 3000000: ok\nmethod 0\nreply 0 ANY\nheard done\ndrain 0: EOF' "greet+connect:$TARGET" put:3000000 eof method reply hear:4 drain
	same "bytes of the server" "$(stat -c %s got)" 3000000
	sees $'reply 90 ANY\nheard done\ndrain 0: EOF' "connect4:$TARGET+text:x" eof reply hear:4 drain
	wait_until ended 2
	same orderly "$(grep -c '"end":"orderly"' "$RELAY_OUT")" 2
	end_relay
}

@test "half-close: a request, the client's end, and the answer comes later" {
	need ncat
	serve --each drain touch:seen await:go put:300000 close
	proxy
	asker "greet+connect:$TARGET+text:x" method reply eof drain
	local python=$ASKER python_saw=$ASKER_SAW
	printf x >question
	# shellcheck disable=SC2016 # for the inner shell
	start_worker sh -c 'exec ncat --proxy "$0" --proxy-type socks5 127.0.0.1 "$1" <question' "$PROXY" "$(port_of "$TARGET")"
	local ncat=$WORKER ncat_out=$WORKER_OUT
	wait_until test -e seen
	touch go
	wait_server "$python" && wait_server "$ncat"
	same "the end" "$(tail -n 1 "$python_saw")" 'drain 300000: EOF'
	same "bytes of ncat" "$(stat -c %s "$ncat_out")" 300000
	end_relay
}

@test "the target's end first, and resets both ways" {
	serve --each send:hello eof drain
	proxy
	sees $'method 0\nreply 0 ANY\ndrain 5: EOF\nput 2000000: ok' "greet+connect:$TARGET" method reply drain put:2000000 eof
	wait_until ended
	record end=orderly bytes_up=2000000 bytes_down=5
	serve get:1 put:20000 rst
	sees $'method 0\nreply 0 ANY\ndrain 20000: ECONNRESET' "greet+connect:$TARGET+text:x" method reply drain
	serve drain
	asks "connect4:$TARGET+text:early" reply rst
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 5: ECONNRESET'
	end_relay
}

# --- names ------------------------------------------------------------------------------------------------------------

@test "a name server that never answers for one client: others are served meanwhile, also by name" {
	world 127.0.0.1=here.test
	silent_dns
	serve --each send:hello close
	local name many=() n
	name=here.test:$(port_of "$TARGET")
	proxy --connect-timeout 300ms
	asker "greet+connect:hangs.test:80" method reply drain
	local ends=$ASKER_SAW
	proxy --connect-timeout 1h --drain 10ms
	for n in {1..40}; do # more than there are threads
		many+=("@$n" "new:127.0.0.$((n % 2 + 3))" "greet+connect:hangs$n.test:80" method)
	done
	asker "${many[@]}" touch:asked @1 reply
	wait_until test -e asked
	sees $'method 0\nreply 0 ANY\ndrain 5: EOF\nmethod 0\nreply 0 ANY\ndrain 5: EOF\nreply 90 ANY\ndrain 5: EOF' \
		"greet+connect:$TARGET" method reply drain new:127.0.0.2 "greet+connect:$name" method reply drain \
		new:127.0.0.2 "connect4:$name" reply drain
	run ! has_ended "$ASKER" # who asked for the first name still waits
	run ! grep reply "$ASKER_SAW"
	stop_server "$ASKER"
	said "what is told in the end" "$ends" $'method 0\nreply 4 0.0.0.0:0\ndrain 0: EOF'
}

@test "a name is remembered, a failure for a shorter time; --dns-keep 0: nothing is" {
	world 127.0.0.1=moves.test
	# shellcheck disable=SC2016 # for the shell that socat starts
	behind "${INSIDE[@]}" socat -d -d TCP-LISTEN:0,bind=0.0.0.0,fork SYSTEM:'echo $SOCAT_SOCKADDR'
	local name
	name=moves.test:$(port_of "$TARGET")
	proxy
	local keeps=$PROXY
	proxy --dns-keep 0
	local forgets=$PROXY
	local comes
	comes=comes.test:$(port_of "$TARGET")
	for PROXY in "$forgets" "$keeps"; do # the failure is remembered for no more than 5 s
		sees $'method 0\nreply 0 ANY\nheard 127.0.0.1\nmethod 0\nreply 4 ANY' "greet+connect:$name" method reply hear:9 \
			new "greet+connect:$comes" method reply
	done
	printf '127.0.0.2 moves.test\n127.0.0.3 comes.test\n' >hosts
	PROXY=$keeps
	sees $'method 0\nreply 0 ANY\nheard 127.0.0.1\nmethod 0\nreply 4 ANY' "greet+connect:$name" method reply hear:9 \
		new "greet+connect:$comes" method reply
	PROXY=$forgets
	sees $'method 0\nreply 0 ANY\nheard 127.0.0.2\nmethod 0\nreply 0 ANY\nheard 127.0.0.3' "greet+connect:$name" method reply hear:9 \
		new "greet+connect:$comes" method reply hear:9
}

@test "all addresses of a name are tried: one that refuses, one that is silent, both" {
	world ::1=refuses.test 127.0.0.1=refuses.test 2001:db8::1=silent.test 127.0.0.1=silent.test 192.0.2.1=both.test ::1=both.test \
		2001:db8::1=both.test 127.0.0.1=both.test 2001:db8::2=dead.test ::1=dead.test
	serve --each send:hello close
	proxy --connect-timeout 5s
	local port name steps=() all=''
	port=$(port_of "$TARGET")
	for name in refuses silent both; do
		steps+=(new "greet+connect:$name.test:$port" method reply drain new "connect4:$name.test:$port" reply drain)
		all+=$'method 0\nreply 0 127.0.0.1:PORT\ndrain 5: EOF\nreply 90 127.0.0.1:PORT\ndrain 5: EOF\n'
	done
	sees "${all%$'\n'}" "${steps[@]:1}"
	end_relay
	proxy --connect-timeout 1s
	run -0 asks "greet+connect:dead.test:$port" method reply
	[[ $output == $'method 0\nreply '[45]' '* ]]
	end_relay
}

@test "IPv6: as a target, as the server's own address, and across" {
	serve --host ::1 --each send:hello close
	local six="[::1]:$PORT"
	proxy
	sees $'method 0\nreply 0 [::1]:PORT\ndrain 5: EOF' "greet+connect:$six" method reply drain
	start_server "$socks4a" '[::1]:0'
	PROXY="[::1]:$PORT"
	sees $'method 0\nreply 0 [::1]:PORT\ndrain 5: EOF' "greet+connect:$six" method reply drain
	serve --each send:hello close
	sees $'method 0\nreply 0 127.0.0.1:PORT\ndrain 5: EOF\nreply 90 127.0.0.1:PORT\ndrain 5: EOF' \
		"greet+connect:$TARGET" method reply drain new "connect4:$TARGET" reply drain
}

# --- who, and where to ------------------------------------------------------------------------------------------------

@test "a client that says nothing, or too little, or drips, is ended after --greeting-timeout" {
	local patience views=$'method 0\ndrain 0: ECONNRESET\ndrain 0: ECONNRESET\ndrain 0: ECONNRESET'
	for patience in 400ms 3s 20s; do # a slow client may not have greeted within the first of these
		proxy --greeting-timeout $patience
		asker @greeted new greet method @drips new hex:04 sleep:0.15 hex:01 sleep:0.15 hex:00 sleep:0.05 hex:50 \
			@main drain @greeted drain @drips drain
		wait_server "$ASKER"
		wait_until ended 3
		! holds "$views" "$ASKER_SAW" || break
		end_relay
	done
	said "the views of the silent one, the greeted one, the dripping one" "$ASKER_SAW" "$views"
	end_relay
	same rejected "$(field rejected <"$RELAY_OUT")" 3
}

@test "--allow and --deny: by address, network, port, name and suffix; a name does not help to an address" {
	world 127.0.0.1=www.good.test 127.0.0.1=good.test 127.0.0.1=notgood.test 127.0.0.1=bad.good.test 127.0.0.1=other.test \
		127.0.0.2=two.test 127.0.0.2=mixed.test 127.0.0.1=mixed.test
	serve --host 0.0.0.0 --each send:hello close
	local port
	port=$(port_of "$TARGET")
	# may RULES WHERE...: with these rules one may go there; may not go there behind a "not".
	may() {
		local where code=0 steps=() want='' n=0
		# shellcheck disable=SC2086 # words
		proxy $1
		for where in "${@:2}"; do
			[ "$where" != not ] || { code=2 && continue; }
			[[ $where == *:* && $where != \[*\] ]] || where=$where:$port
			steps+=("@$((++n))" new "greet+connect:$where" method reply)
			want+=$'\n'"method 0"$'\n'"reply $code ANY"
		done
		sees "${want#?}" "${steps[@]}"
		end_relay
	}
	may '--deny 127.0.0.2' 127.0.0.1 other.test mixed.test not 127.0.0.2 two.test 127.0.0.2:1
	may '--deny 127.0.0.0/8' not 127.0.0.1 other.test 0.0.0.0 127.1 0x7f000001 '[::ffff:127.0.0.1]' mixed.test
	may '--deny 127.0.0.1' 127.0.0.2 two.test mixed.test not 0.0.0.0 other.test '[::ffff:127.0.0.1]'
	may "--deny bad.good.test --allow .good.test,127.0.0.2" good.test www.good.test WWW.Good.TEST 127.0.0.2 two.test \
		not bad.good.test BAD.good.test bad.good.test. notgood.test other.test 127.0.0.1
	printf ':1-1023\n127.0.0.2 # two\n' >rules
	may "--deny @rules --allow :$port" 127.0.0.1 other.test not 127.0.0.1:80 other.test:1023 two.test 127.0.0.1:1024
}

@test "--max-conn: the next one waits; --max-conn-source: he is turned away, others are not" {
	serve --each send:hello drain
	proxy --max-conn 2 --status r.sock
	asker "greet+connect:$TARGET" method reply get:5 touch:one @b new "greet+connect:$TARGET" method reply get:5 touch:two \
		await:leave @main rst await:end
	wait_until test -e two
	asker "greet+connect:$TARGET" method reply get:5 touch:three await:end
	status_is live 2
	[ ! -e three ]
	touch leave
	wait_until test -e three
	touch end
	wait_until ended 3
	end_relay
	rm -f leave end one two three
	proxy --max-conn-source 1
	asker "greet+connect:$TARGET" method reply get:5 touch:one await:end
	wait_until test -e one
	run -0 asks drain
	same "the next one's view" "$output" 'drain 0: ECONNRESET'
	sees $'method 0\nreply 0 ANY\nget 5: ok' --from 127.0.0.2 "greet+connect:$TARGET" method reply get:5
	touch end
	wait_until ended 2
	sees $'method 0\nreply 0 ANY\nget 5: ok' "greet+connect:$TARGET" method reply get:5
	end_relay
	same denied "$(field denied <"$RELAY_OUT")" 1
}

@test "--deny-client and --allow-client" {
	serve --each send:hello close
	proxy --deny-client 127.0.0.2
	sees $'method 0\nreply 0 ANY\ndrain 5: EOF' "greet+connect:$TARGET" method reply drain
	run -0 asks --from 127.0.0.2 drain
	same "the denied one's view" "$output" 'drain 0: ECONNRESET'
	end_relay
	same denied "$(field denied <"$RELAY_OUT")" 1
	proxy --allow-client 10.0.0.0/8
	run -0 asks drain
	same "the denied one's view" "$output" 'drain 0: ECONNRESET'
	end_relay
}

@test "SIGHUP: users and rules are read again; what is wrong leaves the old ones" {
	serve --each send:hello close
	echo alice:secret >users
	echo 127.0.0.7 >denied
	proxy --users users --deny @denied
	local steps=("greet:2+login:alice:secret+connect:$TARGET" method login)
	sees $'method 2\nlogin 0\nreply 0 ANY' "${steps[@]}" reply
	echo alice:other >users
	echo 127.0.0.1 >denied
	kill -HUP "$RELAY"
	reloaded() { [ "$(asks "${steps[@]}")" = $'method 2\nlogin 1' ]; }
	wait_until reloaded
	sees $'method 2\nlogin 0\nreply 2 ANY' "greet:2+login:alice:other+connect:$TARGET" method login reply
	echo nonsense >users
	kill -HUP "$RELAY"
	wait_until grep -q 'SIGHUP' "$RELAY_LOG"
	sees $'method 2\nlogin 0\nreply 2 ANY' "greet:2+login:alice:other+connect:$TARGET" method login reply
	end_relay
}

@test "SIGTERM: who is connected has time to end; status 0; who does not, is reset; status 1" {
	serve --each send:hello await:go put:500000 close
	proxy
	asker "greet+connect:$TARGET" method reply get:5 touch:open drain
	wait_until test -e open
	kill -TERM "$RELAY"
	wait_until grep -q draining "$RELAY_LOG"
	run ! asks drain
	touch go
	wait_server "$ASKER"
	end_relay
	same "the client's view" "$(tail -n 1 "$ASKER_SAW")" 'drain 500000: EOF'
	rm open
	serve --each send:hello drain
	proxy --drain 200ms
	asker "greet+connect:$TARGET" method reply get:5 @half new greet method @bind new greet+bind:0.0.0.0:0 method reply \
		@udp new greet+udp:0.0.0.0:0 method reply touch:open drain @bind drain @half drain @main drain
	wait_until test -e open
	end_relay 1
	wait_server "$ASKER"
	same "the ends" "$(grep -c 'drain 0: ECONNRESET' "$ASKER_SAW")" 4
}
