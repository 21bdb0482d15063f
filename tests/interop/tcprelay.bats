#!/usr/bin/env bats
# tcprelay between other people's programs: every promise of TCP that a relay can break, one by one, with curl, three netcats,
# socat, nginx, ssh and Python at the ends. What happens by chance, and in masses, is in tests/robust/tcprelay.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/relay

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
	printf 'a question\n' >question
}

# --- half-close -------------------------------------------------------------------------------------------------------

# The server reads to the end, and answers a second later. A relay that closes both ways at the first FIN loses the answer.
late_answer() {
	serve --each drain sleep:1 put:300000 close
	relay
	start_worker nc.openbsd -N 127.0.0.1 "$PORT"
	local nc=$WORKER nc_out=$WORKER_OUT
	start_worker ncat 127.0.0.1 "$PORT"
	local ncat=$WORKER ncat_out=$WORKER_OUT
	start_worker socat -t 20 - "TCP:127.0.0.1:$PORT"
	local socat=$WORKER socat_out=$WORKER_OUT
	visit send:hello eof drain >python.out
	wait_server "$nc" && wait_server "$ncat" && wait_server "$socat"
	same "bytes of nc" "$(stat -c %s "$nc_out")" 300000
	same "bytes of ncat" "$(stat -c %s "$ncat_out")" 300000
	same "bytes of socat" "$(stat -c %s "$socat_out")" 300000
	same Python "$(cat python.out)" 'drain 300000: EOF'
	wait_until ended 4
	end_relay
	same orderly "$(field ends <"$RELAY_OUT" | grep -o '"orderly":4')" '"orderly":4'
	stop_server "$SERVER"
}

@test "half-close is kept: request, FIN, the answer after a second" {
	need nc.openbsd ncat socat
	each_path late_answer
}

# The server has said all it had to say; the client goes on.
server_first() {
	serve --save up send:hello eof drain
	relay
	run -0 visit drain put:3000000 eof
	same "the client's view" "$output" $'drain 5: EOF\nput 3000000: ok'
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 3000000: EOF'
	record end=orderly bytes_up=3000000 bytes_down=5
	end_relay
}

@test "the server's FIN first: the client still uploads" {
	each_path server_first
}

@test "the end of one direction is passed on at once, with nothing else going on" {
	serve drain touch:seen await:go send:bye close
	relay
	visitor send:x eof drain
	wait_until test -e seen
	touch go
	wait_server "$WORKER"
	same "the client's view" "$(cat "$WORKER_OUT")" 'drain 3: EOF'
	end_relay
}

# --- resets -----------------------------------------------------------------------------------------------------------

@test "a server that refuses: the client sees a reset, and no end in order" {
	need curl
	serve --deaf
	relay
	sees_reset
	run curl -sS "http://127.0.0.1:$PORT/"
	echo "$output"
	[[ $status == @(7|55|56) ]] # connecting, sending or receiving failed; an end in order is 52
	record end=connect
	grep -q 'ECONNREFUSED' "$RELAY_LOG"
	end_relay
	same failed "$(field failed <"$RELAY_OUT")" 2
}

# The one that resets has sent something before: that comes first.
reset_both_ways() {
	serve get:5 put:20000 rst
	relay
	run -0 visit send:hello drain
	same "the client's view" "$output" 'drain 20000: ECONNRESET'
	record end=server_reset bytes_up=5 bytes_down=20000
	end_relay

	serve send:hello drain
	relay
	run -0 visit get:5 put:20000 rst
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 20000: ECONNRESET'
	record end=client_reset bytes_up=20000 bytes_down=5
	end_relay
}

@test "a reset is passed on as a reset, both ways, and what was sent before it comes first" {
	each_path reset_both_ways
}

@test "a reset is passed on as a reset: nothing was sent before" {
	serve rst
	relay
	sees_reset
	serve drain
	relay
	visit rst
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 0: ECONNRESET'
}

# The server does not read, and so the relay does not read the client: it sees the reset all the same. When the server reads
# after a while it has what was under way, and then the reset.
reset_behind_a_stalled_sink() {
	rm -f go stalled
	serve --rcvbuf 8192 touch:stalled await:go drain
	relay --status r.sock --buffer 64K --sndbuf 8K --rcvbuf 8K
	visitor --sndbuf 800000 put:300000 touch:put await:leave rst
	wait_until status_is paused 1
	touch leave
	record end=client_reset
	touch go
	wait_server "$SERVER"
	[[ $(cat "$SERVER_SAID") =~ ^drain\ ([0-9]+):\ ECONNRESET$ ]]
	[ "${BASH_REMATCH[1]}" -gt 0 ]
	end_relay
	rm -f leave
}

@test "a reset is passed on while the sink is stalled" {
	each_path reset_behind_a_stalled_sink
}

# --- pressure ---------------------------------------------------------------------------------------------------------

# A server that never reads, and a client that always sends.
stalled_sink() {
	rm -f go
	serve --each --rcvbuf 65536 send:hello await:go rst
	relay --status r.sock
	visit get:5
	local before
	before=$(resident)
	visitor get:5 put:1000000000
	wait_until status_is paused 1
	local grown=$(($(resident) - before))
	echo "$path: the relay has grown by $grown KiB"
	[ "$grown" -lt 4096 ]
	# The other flows do not notice.
	run -0 visit get:5
	same "another client" "$output" 'get 5: ok'
	wait_until status_is paused 1
	touch go
	wait_server "$WORKER"
	[[ $(cat "$WORKER_OUT") =~ put\ [0-9]+:\ ECONNRESET$ ]]
	wait_until status_is live 0
	end_relay
}

@test "a stalled sink: memory is bounded, and the other flows go on" {
	each_path stalled_sink
}

@test "a slow sink has every byte" {
	serve --rcvbuf 8192 await:go drain
	relay --status r.sock --buffer 16K --rcvbuf 8K --sndbuf 8K
	visitor put:2000000 eof drain
	wait_until status_is paused 1
	touch go
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 2000000: EOF'
	end_relay
}

# --- the end of the relay ---------------------------------------------------------------------------------------------

@test "SIGTERM: nobody new, and the connections that stand have time to end; status 0" {
	serve --each send:hello await:go put:500000 close
	relay --drain 1h
	visitor get:5 touch:open drain eof
	wait_until test -e open
	kill -TERM "$RELAY"
	wait_until grep -q draining "$RELAY_LOG"
	run -0 visit_refused
	touch go
	wait_server "$WORKER"
	same "the client's view" "$(cat "$WORKER_OUT")" $'get 5: ok\ndrain 500000: EOF'
	end_relay
	same drained "$(field drained <"$RELAY_OUT")" true
	same "connections" "$(field connections <"$RELAY_OUT")" 1
}

visit_refused() {
	! visit drain 2>refused && grep -q ConnectionRefused refused
}

@test "SIGTERM: who does not end in time is reset; status 1" {
	serve send:hello drain
	relay --drain 300ms
	visitor get:5 touch:open drain
	wait_until test -e open
	end_relay 1
	wait_server "$WORKER"
	wait_server "$SERVER"
	same "the client's view" "$(cat "$WORKER_OUT")" $'get 5: ok\ndrain 0: ECONNRESET'
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 0: ECONNRESET'
	same drained "$(field drained <"$RELAY_OUT")" false
	record end=drained
}

@test "a second signal ends it at once; SIGINT is as good as SIGTERM" {
	local first second
	for first in TERM INT; do
		for second in TERM INT; do
			rm -f open
			serve send:hello drain
			relay --drain 1h
			visitor get:5 touch:open drain
			wait_until test -e open
			kill -"$first" "$RELAY"
			wait_until grep -q draining "$RELAY_LOG"
			end_relay 1 "$second"
			wait_server "$WORKER"
			same "the client's view" "$(cat "$WORKER_OUT")" $'get 5: ok\ndrain 0: ECONNRESET'
		done
	done
}

@test "SIGTERM with no connection: it ends at once, status 0" {
	TARGET=127.0.0.1:9
	relay
	end_relay
	same drained "$(field drained <"$RELAY_OUT")" true
}

# --- time -------------------------------------------------------------------------------------------------------------

# The server has so long to say hello.
silent_flow() {
	serve send:hello drain
	relay --idle $((400 * $1))ms
	same "the client's view" "$(visit get:5 drain)" $'get 5: ok\ndrain 0: ECONNRESET' &&
		wait_server "$SERVER" &&
		same "the server's view" "$(cat "$SERVER_SAID")" 'drain 0: ECONNRESET' &&
		record end=idle &&
		end_relay
}

@test "--idle: a silent connection is ended, by a reset" {
	at_some_speed silent_flow
}

# 8 times 0.2 s is more than the second after which a silent one would be gone.
half_closed_flow() {
	local steps=(drain send:1) n
	for n in 2 3 4 5 6 7 8; do
		steps+=("sleep:$((2 * $1))e-1" "send:$n")
	done
	serve "${steps[@]}" stay
	relay --linger "$1s"
	same "the client's view" "$(visit send:x eof drain)" 'drain 8: ECONNRESET' &&
		record end=linger bytes_down=8 &&
		end_relay
}

@test "--linger: a half-closed connection is ended when nothing moves in it, and not before" {
	at_some_speed half_closed_flow
}

@test "a connection that is open both ways is not ended by --linger" {
	serve send:hello await:go send:bye close
	relay --linger 200ms
	visitor get:5 touch:open drain
	wait_until test -e open
	sleep 0.6 # three times the linger: what must not happen has had its time
	run ! ended
	touch go
	wait_server "$WORKER"
	same "the client's view" "$(cat "$WORKER_OUT")" $'get 5: ok\ndrain 3: EOF'
}

# --- who may come, from where, where to ---------------------------------------------------------------------------------

@test "--max-conn: the next one waits until there is room" {
	serve --each send:hello drain
	relay --max-conn 2 --status r.sock
	visitor get:5 touch:one await:leave rst
	visitor get:5 touch:two await:end rst
	wait_until test -e one
	wait_until test -e two
	visitor get:5 touch:three await:end rst
	wait_until status_is connections 2
	[ ! -e three ]
	touch leave
	wait_until test -e three
	status_is live 2
	touch end
	wait_until ended 3
	end_relay
}

@test "--allow and --deny: who is not let in is reset, and counted" {
	need nc.openbsd
	serve --each send:hello close
	local rules
	for rules in '--deny 127.0.0.1' '--deny 127.0.0.0/8' '--allow 127.0.0.2,::1' '--allow 10.0.0.0/8 --deny 127.0.0.1/32'; do
		# shellcheck disable=SC2086 # options
		relay $rules
		echo "$rules"
		sees_reset
		end_relay
		same denied "$(field denied <"$RELAY_OUT")" 1
	done
	for rules in '--allow 127.0.0.0/8' '--deny 127.0.0.2' '--allow 127.0.0.1 --deny 0.0.0.0/0' '--deny 10.0.0.0/8'; do
		# shellcheck disable=SC2086 # options
		relay $rules
		run -0 visit drain
		same "with $rules" "$output" 'drain 5: EOF'
		end_relay
		same denied "$(field denied <"$RELAY_OUT")" 0
	done
	relay --allow 127.0.0.2
	run -0 nc.openbsd -d -s 127.0.0.2 127.0.0.1 "$PORT"
	same "from an address that is let in" "$output" hello
}

@test "--from: the server sees that address" {
	need socat
	# shellcheck disable=SC2016 # for the shell that socat starts
	behind socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork SYSTEM:'echo $SOCAT_PEERADDR'
	relay --from 127.0.0.9
	run -0 visit --save from drain
	same "the client's address, for the server" "$(cat from)" 127.0.0.9
	end_relay
}

@test "IPv6: to it, from it, and across" {
	serve --host ::1 --each drain send:six close
	local six="[::1]:$PORT"
	TARGET=$six
	relay
	run -0 visit send:x eof drain
	same "4 to 6" "$output" 'drain 3: EOF'
	serve --each drain send:four close
	for TARGET in "$TARGET" "$six"; do
		start_server "$tcprelay" '[::1]:0' "$TARGET"
		run -0 "${PEER[@]}" --connect "::1:$PORT" send:x eof drain
		[[ $output =~ ^drain\ [34]:\ EOF$ ]]
		stop_server
	done
}

@test "a name is resolved for each connection: a change is seen by the next one" {
	need socat unshare mount
	printf '127.0.0.1 moves.test\n' >hosts
	# shellcheck disable=SC2016 # for the inner shells
	behind socat -d -d TCP-LISTEN:0,bind=0.0.0.0,fork SYSTEM:'echo $SOCAT_SOCKADDR'
	local how=(unshare -m)
	[ "$(id -u)" -eq 0 ] || how=(unshare -Urm)
	"${how[@]}" true || skip "needs a mount namespace"
	# shellcheck disable=SC2016
	start_server "${how[@]}" sh -c 'mount --bind "$0" /etc/hosts && exec "$@"' hosts "$tcprelay" --json 0 "moves.test:${TARGET##*:}"
	visit --save first drain
	printf '127.0.0.2 moves.test\n' >hosts
	visit --save second drain
	same "the first connection goes to" "$(cat first)" 127.0.0.1
	same "the second one" "$(cat second)" 127.0.0.2
	stop_server
	grep -q '"resolve_ns":[1-9]' "$SERVER_OUT"
}

# --- what is said -----------------------------------------------------------------------------------------------------

@test "a line and a record for each connection: bytes, how long, who ended it" {
	serve --each get:5 put:7000 drain close
	relay
	visit send:hello eof drain
	wait_until grep -q 'both ends finished' "$RELAY_LOG"
	grep -q '127\.0\.0\.1:[0-9]* > 127\.0\.0\.1:[0-9]*: .*5 B up, .* down in ' "$RELAY_LOG"
	record end=orderly bytes_up=5 bytes_down=7000 errno=null resolve_ns=null
	[ "$(field age_ns connection <"$RELAY_OUT")" -gt "$(field connect_ns connection <"$RELAY_OUT")" ]
	visit send:hello get:7000 rst
	wait_until ended 2
	record end=client_reset
	end_relay
	same connections "$(field connections <"$RELAY_OUT")" 2
	same "bytes up" "$(field bytes_up <"$RELAY_OUT")" 10
	python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.tcprelay/1 <"$RELAY_OUT"
}

@test "keepalive and user timeout are set on both sockets" {
	need strace
	serve send:hello stay
	start_server env ASAN_OPTIONS=detect_leaks=0 strace -D -f -o strace.log -e trace=setsockopt "$tcprelay" --keepalive \
		--user-timeout 7s 0 "$TARGET"
	visit get:5
	local option
	for option in SO_KEEPALIVE TCP_NODELAY TCP_USER_TIMEOUT; do
		echo "$option"
		# of the client and of the server, or of the listener, from which the client's has it
		[ "$(grep -c "$option" strace.log)" -ge 2 ]
	done
	grep -q 'TCP_USER_TIMEOUT, \[7000\]' strace.log
	stop_server "$SERVER"
}

keepalive_timers() {
	ss -Htnop | grep "pid=$RELAY," >sockets
	[ "$(grep -c 'timer:(keepalive' sockets)" -eq "$1" ]
}

@test "keepalive runs on both sides, as the kernel tells" {
	need ss
	serve send:hello stay
	relay --keepalive
	visitor get:5 touch:open stay
	wait_until test -e open
	wait_until keepalive_timers 2 # as long as bytes are not acknowledged it is another timer that runs
	stop_server "$WORKER"
	stop_server "$SERVER"
	end_relay
}

# --- other people's programs --------------------------------------------------------------------------------------------

# nginx takes no port 0: a free one, as somebody else had it a moment ago.
start_nginx() {
	local port
	mkdir -p www
	for _ in 1 2 3; do
		port=$(python3 -I -S -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
		cat >nginx.conf <<-END
			daemon off;
			worker_processes 1;
			pid $PWD/nginx.pid;
			error_log $PWD/nginx.log;
			events {}
			http {
				access_log off;
				client_max_body_size 0;
				client_body_temp_path $PWD/nginx-body;
				proxy_temp_path $PWD/nginx-proxy;
				fastcgi_temp_path $PWD/nginx-fcgi;
				uwsgi_temp_path $PWD/nginx-uwsgi;
				scgi_temp_path $PWD/nginx-scgi;
				server {
					listen 127.0.0.1:$port;
					root $PWD/www;
					location /up { dav_methods PUT; create_full_put_path on; }
				}
			}
			$([ "$(id -u)" -ne 0 ] || echo 'user root;')
		END
		start_worker nginx -p "$PWD" -e "$PWD/nginx.log" -c "$PWD/nginx.conf"
		wait_until answers_or_dead "$port" "$WORKER"
		! has_ended "$WORKER" && TARGET=127.0.0.1:$port && return
		wait_server "$WORKER"
	done
	cat nginx.log
	return 1
}

answers_or_dead() {
	has_ended "$2" || curl -s -o /dev/null "http://127.0.0.1:$1/"
}

curl_and_nginx() {
	relay "$@"
	local url=http://127.0.0.1:$PORT n
	for n in 1 2; do
		curl -sSf "$url/large" -o down "$url/small" -o small "$url/large" -o again # on one connection
		cmp down www/large
		cmp again www/large
		cmp small www/small
	done
	curl -sSf -T www/large "$url/up/$path"
	cmp "www/up/$path" www/large
	curl -sSf --parallel --parallel-max 20 "$url/small?[1-60]" -o 'many#1'
	for n in {1..60}; do
		cmp "many$n" www/small
	done
	end_relay
	local connections orderly
	connections=$(field connections <"$RELAY_OUT")
	orderly=$(field ends <"$RELAY_OUT" | grep -o '"orderly":[0-9]*')
	[ "$connections" -ge 4 ]
	same "ended in order" "$orderly" "\"orderly\":$connections"
}

@test "curl and nginx: downloads, uploads, kept and many connections, the same bytes on every path" {
	need curl nginx
	mkdir www
	head -c 12000001 /dev/urandom >www/large
	head -c 4001 /dev/urandom >www/small
	start_nginx
	each_path curl_and_nginx
}

@test "curl and nginx: every backend, one thread and two" {
	need curl nginx
	mkdir www
	head -c 3000001 /dev/urandom >www/large
	head -c 4001 /dev/urandom >www/small
	start_nginx
	local threads
	for TCPLAB_BACKEND in epoll poll select; do
		for threads in 1 2; do
			export TCPLAB_BACKEND
			echo "$TCPLAB_BACKEND, $threads"
			curl_and_nginx --threads "$threads"
		done
	done
}

ssh_there() {
	relay
	ssh -F ssh/config -p "$PORT" there cat <data >back
	cmp data back
	run -7 ssh -F ssh/config -p "$PORT" there 'exit 7'
	same "what a command says" "$(ssh -F ssh/config -p "$PORT" there 'cat >/dev/null; echo done' <data)" 'done'
	wait_until ended 3
	end_relay
}

@test "ssh: its bytes both ways, its status, its end" {
	need ssh sshd ssh-keygen socat unshare
	mkdir ssh
	ssh-keygen -q -t ed25519 -N '' -f ssh/host
	ssh-keygen -q -t ed25519 -N '' -f ssh/user
	printf '%s\n' "HostKey $PWD/ssh/host" "AuthorizedKeysFile $PWD/ssh/user.pub" 'StrictModes no' 'UsePAM no' 'PidFile none' \
		'PermitRootLogin yes' >ssh/sshd_config
	printf '%s\n' 'Host *' 'HostName 127.0.0.1' "IdentityFile $PWD/ssh/user" 'IdentitiesOnly yes' 'StrictHostKeyChecking no' \
		"UserKnownHostsFile $PWD/ssh/known" 'LogLevel ERROR' >ssh/config
	head -c 3000000 /dev/urandom >data
	# sshd of root wants a folder for a process without rights, and that is in a mount namespace of its own
	local how=()
	# shellcheck disable=SC2016 # for the inner shell
	[ "$(id -u)" -ne 0 ] || how=(unshare -m sh -c 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$0" "$@"')
	behind "${how[@]}" socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork "EXEC:$(command -v sshd) -i -f $PWD/ssh/sshd_config"
	each_path ssh_there
}


@test "ncat and socat at both ends: every byte, and both ends" {
	need ncat socat
	head -c 2000000 /dev/urandom >data
	behind socat -d -d TCP-LISTEN:0,bind=127.0.0.1,fork PIPE # an echo
	relay
	ncat 127.0.0.1 "$PORT" <data >ncat.out
	cmp data ncat.out
	socat -t 20 "FILE:$PWD/data!!CREATE:$PWD/socat.out" "TCP:127.0.0.1:$PORT"
	cmp data socat.out
	wait_until ended 2
	end_relay
	same orderly "$(field ends <"$RELAY_OUT" | grep -o '"orderly":2')" '"orderly":2'
}

# --- the command line -------------------------------------------------------------------------------------------------

@test "the course's operands: HOST PORT LISTEN_PORT" {
	serve --each drain send:hello close
	start_server "$tcprelay" 127.0.0.1 "${TARGET##*:}" 0
	run -0 visit send:x eof drain
	same "the answer" "$output" 'drain 5: EOF'
	stop_server
	start_server "$tcprelay" localhost "${TARGET##*:}" 0
	run -0 visit send:x eof drain
	same "the answer by name" "$output" 'drain 5: EOF'
}

refused() {
	echo "tcprelay $*"
	run -2 --separate-stderr timeout 60 "$tcprelay" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "bad command lines: status 2, and one line that says why" {
	refused
	refused 0
	refused 1 2 3 4
	refused 0 127.0.0.1
	refused 0 127.0.0.1:
	refused 0 127.0.0.1:0
	refused 0 127.0.0.1:65536
	refused 0 127.0.0.1:x
	refused 0 :80
	refused 0 ''
	refused 0 a:80,
	refused 0 ::1:80
	refused 0 '[::1:80'
	refused 0 @/nonexistent/file
	refused 65536 a:80
	refused x a:80
	refused ::1:0 a:80
	refused 127.0.0.1 http 0
	refused 127.0.0.1 80 x
	local words
	for words in '-4 -6' '--nodelay --nagle' '--path fast' '--balance best' '--threads 0' '--threads 9999' '--max-conn x' \
		'--allow nobody' '--deny 10.0.0.0/33' '--deny 10.0.0.0/x' '--allow @/nonexistent' '--linger x' '--idle -1' '--drain x' \
		'--buffer 1' '--buffer x' '--delay x' '--jitter' '--rate 0' '--rate x' '--chunk 0' '--cut-at x' '--cut-at 5:often' \
		'--up nothing=1' '--down delay' '--corrupt-at x' '--stall-at x' '--dump all' '--interval 0' '--no-such-option' \
		'--proxy-out v3' '--user-timeout x' '--sndbuf 0'; do
		# shellcheck disable=SC2086 # an option and its value
		refused $words 0 127.0.0.1:80
	done
}

@test "where nobody can listen, or from where nobody can connect: status 1, one clear line" {
	serve stay
	run -1 --separate-stderr timeout 60 "$tcprelay" "${TARGET##*:}" 127.0.0.1:9
	one_line_with EADDRINUSE "$TARGET"
	run -1 --separate-stderr timeout 60 "$tcprelay" 192.0.2.1:0 127.0.0.1:9
	one_line_with 192.0.2.1 EADDRNOTAVAIL
	run -1 --separate-stderr timeout 60 "$tcprelay" --status /nonexistent/folder/r.sock 0 127.0.0.1:9
	one_line_with /nonexistent/folder
	run -1 --separate-stderr timeout 60 "$tcprelay" --json "${TARGET##*:}" 127.0.0.1:9
	same "the record" "$(field errno error <<<"$output")" EADDRINUSE
}
