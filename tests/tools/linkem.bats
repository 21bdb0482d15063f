#!/usr/bin/env bats
# linkem: usage, the hosts, each word of a spec, counters and records, the commands. How precise it is belongs to scripts/bench/linkem.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server
# shellcheck disable=SC2016 # for the shells on the hosts to expand

load ../helpers
load ../fixtures/linkem

setup_file() {
	find_out_if_possible
}

setup() {
	prepare_testbed
}

teardown() {
	end_testbed
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "linkem $*"
	run -2 --separate-stderr timeout -k 1 60 "$linkem" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# fails ARGS...: status 1, one line on stderr.
fails() {
	echo "linkem $*"
	run -1 --separate-stderr timeout -k 1 60 "$linkem" "$@"
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# --- usage ------------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$linkem" --help
	[[ $output == *"usage: linkem"*"--background"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$linkem" --version
	[[ $output == "linkem (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local args
	for args in 'nonsense' '--rtt x' '--rtt 121s' '--rate 0' '--rate x' '--loss 5' '--loss 1' '--loss 101%' '--seed x' '--mtu 1279' \
		'--mtu 65536' '--device ether' '-i 0' '--time 0' '--while 0' '--while x' '--background --diagram' '--background -i 1s' \
		'--r2b nonsense' '--a2b rtt=5ms' \
		'set' 'set a2b' 'set r2b delay' 'set c2d delay=1ms' 'exec' 'exec a' 'stat now' 'watch it' 'down all'; do
		# shellcheck disable=SC2086 # words
		refused $args
	done
}

@test "wrong specs: one line and status 2" {
	local word
	for word in delay delay= delay=x delay=61s delay=-1s rate=0 rate=1 rate=-1mbit queue=0 tail=1 red=1 loss=2 loss=1 loss=-1% loss=nan \
		burst=0 burst=x ge=1% ge=1%:2%:3%:4%:5% every=0 every=x drop=0 drop=nonsense drop=data: drop=data:0 blackhole=0 \
		dup=1 reorder=1%: reorder=1%:61s corrupt=x swap=101% seed=x seed=-1 down=0 down=2h up=1 clear=1 '' ' ' ',' \
		'delay=1ms,delay=2ms' 'loss=1%,clear' 'ge=1%:2%,loss=1%' 'loss=99%,burst=1' $'delay=1\nms' 'DELAY=1ms' \
		"$(head -c 5000 /dev/zero | tr '\0' x)"; do
		refused --a2b "$word"
		refused set "$word"
	done
	refused set rtt=x
	refused set rtt=1ms,rtt=2ms
	refused set a2b rtt=1ms
}

@test "a wrong word among right ones changes nothing" {
	up --rtt 10ms
	run -2 "$linkem" set a2b rate=1mbit loss=nonsense
	same a2b "$(count a2b spec)" delay=5ms
	run -1 --separate-stderr "$linkem" set rate=1mbit r2b delay=1ms
	one_line_with "not emulated"
	same a2b "$(count a2b spec)" delay=5ms
}

@test "no testbed of that name: status 1 and one line, from every command" {
	local args
	for args in 'set loss=1%' stat watch down 'exec a true' 'stat -i 1s'; do
		# shellcheck disable=SC2086 # words
		fails $args
		[[ $stderr == *"$TCPLAB_NET"* ]]
	done
	fails stat --name "$(head -c 200 /dev/zero | tr '\0' x)"
	fails --name "$(head -c 200 /dev/zero | tr '\0' x)"
	fails --while 2147483647
	fails --pcap /nowhere/file
}

@test "a second one of the same name is refused, others are not disturbed" {
	up --rtt 2ms
	fails --time 1ms
	[[ $stderr == *"$TCPLAB_NET"* ]]
	TCPLAB_NET=$TCPLAB_NET-2 "$linkem" --background --while "$TEST_PID" --a2b delay=7ms 2>/dev/null 3>&-
	same first "$(count a2b spec)" delay=1ms
	same second "$("$linkem" stat --name "$TCPLAB_NET-2" --json | lane_field a2b spec)" delay=7ms
	"$linkem" down -n "$TCPLAB_NET-2" >/dev/null
	fails stat --name "$TCPLAB_NET-2"
	same first "$(count a2b spec)" delay=1ms
}

# --- the hosts --------------------------------------------------------------------------------------------------------

@test "names and addresses, IPv4 and IPv6, with and without router, by both kinds of device" {
	local kind name
	for kind in tun veth; do
		up --device $kind --router
		for name in a b r; do
			on "$name" getent ahostsv4 a | grep -q '^10\.9\.1\.1 '
			on "$name" getent ahostsv6 a | grep -q '^fd09:1::1 '
			on "$name" getent ahostsv4 b | grep -q '^10\.9\.2\.1 '
			on "$name" getent ahostsv6 b | grep -q '^fd09:2::1 '
			on "$name" getent ahostsv4 r | grep -q '^10\.9\.1\.254 '
			same hostname "$(on $name uname -n)" $name
		done
		on r cat /proc/net/dev | grep -q 'to-a:'
		on r cat /proc/net/dev | grep -q 'to-b:'
		"$linkem" down >/dev/null
	done
	up
	run -1 on a grep -w r /etc/hosts
	fails exec r true
	[[ $stderr == *router* ]]
	fails exec c true
}

@test "TCP over IPv4 and IPv6, with and without router, by both kinds of device; nothing else on the link" {
	local kind router family
	for kind in tun veth; do
		for router in '' --router '--r2b delay=1ms'; do
			# shellcheck disable=SC2086 # none, one or two words
			up --device $kind $router
			same "packets before" "$(count a2b offered_packets) $(count b2a offered_packets)" "0 0"
			for family in -4 -6; do
				start_server "$linkem" exec b "$TCPLAB_BIN/ttcp" $family -r -p 0 --json
				on a "$TCPLAB_BIN/ttcp" $family -t b -p "$PORT" -l 10000 -n 10 >/dev/null
				stop_server
				same "bytes ($kind $router $family)" "$(field bytes <"$SERVER_OUT")" 100000
			done
			wait_until is_idle a2b
			wait_until is_idle b2a
			"$linkem" down >/dev/null
		done
	done
}

@test "--mtu" {
	local kind
	for kind in tun veth; do
		up --mtu 1400 --device $kind --router
		same a "$(on a cat /sys/class/net/link0/mtu)" 1400
		same b "$(on b cat /sys/class/net/link0/mtu)" 1400
		same r "$(on r cat /sys/class/net/to-a/mtu /sys/class/net/to-b/mtu | sort -u)" 1400
		receive_udp
		send_udp 1 1372
		same "longest packet" "$(count a2b bytes)" 1400
		"$linkem" down >/dev/null
	done
	up --mtu 65535
	receive_udp
	send_udp 1 65000
	same received "$(cat "$RECEIVED")" 0
	same bytes "$(count a2b bytes)" 65028
}

@test "sysctls are the hosts' own" {
	local before
	before=$(cat /proc/sys/net/ipv4/tcp_no_metrics_save /proc/sys/net/ipv4/tcp_ecn /proc/sys/net/ipv4/ip_forward)
	up --router
	same "no_metrics_save on a" "$(on a cat /proc/sys/net/ipv4/tcp_no_metrics_save)" 1
	on a sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_ecn'
	on b sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_ecn'
	same "ecn on a" "$(on a cat /proc/sys/net/ipv4/tcp_ecn)" 1
	same "ecn on b" "$(on b cat /proc/sys/net/ipv4/tcp_ecn)" 0
	same forwarding "$(on r cat /proc/sys/net/ipv4/ip_forward) $(on a cat /proc/sys/net/ipv4/ip_forward)" "1 0"
	same "outside" "$(cat /proc/sys/net/ipv4/tcp_no_metrics_save /proc/sys/net/ipv4/tcp_ecn /proc/sys/net/ipv4/ip_forward)" "$before"
}

@test "the machine's own devices and /etc/hosts stay as they are" {
	local before
	before=$(ls /sys/class/net; cat /etc/hosts)
	up --router --device veth
	same outside "$(ls /sys/class/net; cat /etc/hosts)" "$before"
}

# --- the run ------------------------------------------------------------------------------------------------------------

@test "--time: ends by itself, with the counters; --json has start, interval, total" {
	run -0 --separate-stderr "$linkem" --time 300ms --rtt 10ms --a2b loss=1% --json -i 50ms --mtu 1300 --device veth
	same "first record" "$(ours record start)" start
	same schema "$(ours schema start) $(ours schema interval) $(ours schema)" \
		"tcplab.linkem/1 tcplab.linkem/1 tcplab.linkem/1"
	same start "$(ours name start) $(ours device start) $(ours router start) $(ours mtu start) $(ours a2b start)" \
		"$TCPLAB_NET veth false 1300 delay=5ms,loss=1%"
	[ "$(grep -c '"record":"interval"' <<<"$output")" -ge 1 ]
	same "last record" "$(field record <<<"${lines[-1]}")" total
	local name
	for name in packets bytes rate_Bps offered_packets offered_bytes dropped_loss dropped_chosen dropped_queue dropped_red \
		dropped_blackhole dropped_down dropped_memory dropped_device duplicated reordered corrupted swapped marked \
		queue_bytes queue_packets queue_peak_bytes queue_limit_bytes; do
		same "$name" "$(lane_field a2b $name <<<"$output") $(lane_field b2a $name interval <<<"$output")" "0 0"
	done
	[ "$(ours elapsed_ns)" -ge 300000000 ]
	[[ $stderr == *10.9.1.1*10.9.2.1* ]]
}

@test "text: intervals and totals" {
	run -0 --separate-stderr "$linkem" --time 200ms --rate 1mbit -i 50ms --r2b delay=1ms
	[[ ${lines[0]} == *a2b*b2a*r2b*b2r* ]]
	[[ $output == *$'\na2b  rate=1mbit'*offered*delivered*queue*$'\nb2r  '* ]]
	[[ $stderr == *"10.9.1.254"* ]]
}

@test "signals: 130 and 143, and the counters are printed" {
	local signal want
	for signal in INT:130 TERM:143; do
		rm -f log # what the one before said is not this one's
		"$linkem" --json >out 2>log 3>&- &
		wait_until grep -qs 10.9.2.1 log
		# bash starts background jobs with SIGINT ignored; linkem wants it all the same
		kill -s ${signal%:*} $!
		want=0
		wait $! || want=$?
		same "status after $signal" $want ${signal#*:}
		same "last record" "$(field record <out)" total
	done
}

@test "--background returns when all is up, and is silent" {
	run -0 --separate-stderr "$linkem" --background --while "$TEST_PID" 3>&-
	same stdout "$output" ''
	on a true
	run -0 "$linkem" down
	[[ $output == *a2b*offered* ]]
	fails stat
	# the next one of the same name finds the place free
	up && on a true
}

@test "--while: ends with that process" {
	sleep 1000 3>&- &
	local holder=$!
	"$linkem" --background --while $holder 2>/dev/null 3>&-
	on a true
	kill $holder
	wait_until is_gone
}

is_gone() {
	! "$linkem" stat >/dev/null 2>&1
}

@test "down waits until all is gone, also what runs on the hosts" {
	up
	"$linkem" exec a sh -c 'echo >ready; exec sleep 1001' 3>&- &
	local client=$! status=0
	wait_until test -e ready
	"$linkem" down >/dev/null
	wait $client || status=$?
	same "status of exec" $status 137
}

@test "--pcap and --pcap-b: tcpdump reads them, and the counts are those of linkem" {
	need tcpdump
	local kind
	for kind in tun veth; do
		up --device $kind --rtt 2ms --a2b loss=30%,seed=3 --pcap a.pcap --pcap-b b.pcap
		receive_udp
		send_udp 50
		same "offered" "$(count a2b offered_packets)" 50
		[ "$(count a2b dropped_loss)" -gt 3 ]
		local arrived
		arrived=$(count a2b packets)
		"$linkem" down >/dev/null
		same "at a" "$(tcpdump -n -r a.pcap udp 2>/dev/null | wc -l)" 50
		same "at b" "$(tcpdump -n -r b.pcap udp 2>/dev/null | wc -l)" "$arrived"
		same "arrived" "$(wc -l <"$RECEIVED")" "$arrived"
		rm a.pcap b.pcap
	done
}

@test "what a sees: with --pcap alone what arrives there is in the file, what got lost on the way is not" {
	need tcpdump
	up --b2a loss=100% --pcap a.pcap --pcap-b b.pcap
	start_worker "$linkem" exec a "$TCPLAB_BIN/ttcp" -4 -t b -p 7
	wait_until has b2a dropped_loss 1
	stop_server "$WORKER"
	"$linkem" down >/dev/null
	same "from b, at a" "$(tcpdump -n -r a.pcap src host 10.9.2.1 2>/dev/null | wc -l)" 0
	[ "$(tcpdump -n -r b.pcap src host 10.9.2.1 2>/dev/null | wc -l)" -ge 1 ]
}

# --- what packets meet --------------------------------------------------------------------------------------------------

@test "delay: a round trip takes at least that long" {
	up --a2b delay=30ms --b2a delay=20ms
	receive_udp
	run -0 on a python3 - <<-'END'
		import socket, time
		begin = time.monotonic()
		try:
		    socket.create_connection(("b", 9))
		except ConnectionRefusedError:
		    pass
		print(int((time.monotonic() - begin) * 1000))
	END
	[ "$output" -ge 50 ]
}

@test "loss: chance can be repeated, and seeds differ" {
	local seed
	for seed in 7 7 8; do
		up --a2b loss=20% --seed $seed
		receive_udp
		send_udp 200
		cp "$RECEIVED" got
		[ "$(wc -l <got)" -gt 120 ] && [ "$(wc -l <got)" -lt 195 ]
		same "lost" "$(count a2b dropped_loss)" $((200 - $(wc -l <got)))
		"$linkem" down >/dev/null
		if [ -e "lost$seed" ]; then
			diff "lost$seed" got
		fi
		cp got "lost$seed"
	done
	run -1 cmp lost7 lost8
	# and with other words beside it
	up --a2b loss=20%,dup=30%,reorder=10%,jitter=1ms --seed 7
	receive_udp
	send_udp 200
	sort -nu "$RECEIVED" >got
	diff <(sort -n lost7) got
}

@test "burst: losses come in a row" {
	up --a2b loss=20%,burst=10,seed=5
	receive_udp
	send_udp 1000
	# how many runs of losses: with single losses there would be 160
	local runs
	runs=$(awk '$1 != last + 1 { n++ } { last = $1 } END { print n }' "$RECEIVED")
	local lost
	lost=$(count a2b dropped_loss)
	echo "$lost lost in $runs runs"
	[ "$lost" -gt 50 ] && [ $((lost / runs)) -ge 4 ]
}

@test "every: exactly the hundredth, the two hundredth..." {
	up --a2b every=100
	receive_udp
	send_udp 450
	same "chosen" "$(count a2b dropped_chosen)" 4
	same "which" "$(seq 0 449 | grep -vxF -f "$RECEIVED" | tr '\n' ' ')" "99 199 299 399 "
}

@test "drop: exactly the chosen one, and TCP sends it again once" {
	up --rtt 60ms --a2b drop=data:3
	send_tcp 14480 4
	same "chosen" "$(count a2b dropped_chosen)" 1
	[ "$(kernel_count a Tcp RetransSegs)" -ge 1 ] # once, unless its timers are quicker than this machine
	same "it is over" "$(count a2b spec)" delay=30ms
	"$linkem" set a2b drop=syn
	send_tcp 1000 1
	same "chosen" "$(count a2b dropped_chosen)" 2
	"$linkem" set b2a drop=synack
	send_tcp 1000 1
	same "chosen" "$(count b2a dropped_chosen)" 1
}

@test "directions are separate" {
	up --rtt 4ms --b2a loss=100%
	receive_udp
	send_udp 20
	same received "$(wc -l <"$RECEIVED")" 20
	same "a2b" "$(count a2b dropped_loss) $(count a2b spec)" "0 delay=2ms"
	"$linkem" set -v b2a loss=0 a2b loss=100% >set.out
	grep -q '^a2b  delay=2ms,loss=100%$' set.out
	grep -q '^b2a  delay=2ms$' set.out
	on a python3 "$LINKEM_UDP" send b 20
	wait_until has a2b dropped_loss 20
	same received "$(wc -l <"$RECEIVED")" 20
}

@test "second link: r2b and b2r" {
	up --rtt 2ms --r2b every=2 --b2r delay=1ms
	receive_udp
	on a python3 "$LINKEM_UDP" send b 20
	wait_until has r2b offered_packets 20
	wait_until is_idle r2b
	wait_until received_lines 10
	same "a2b delivered" "$(count a2b packets)" 20
	same "r2b" "$(count r2b packets) $(count r2b dropped_chosen)" "10 10"
	"$linkem" set r2b clear b2r loss=1%
	same specs "$(count r2b spec) $(count b2r spec)" "perfect delay=1ms,loss=1%"
	same "a2b" "$(count a2b spec)" delay=1ms
}

@test "blackhole: long packets vanish without a word" {
	up --a2b blackhole=1200
	receive_udp
	on a python3 "$LINKEM_UDP" send b 5 1172
	on a python3 "$LINKEM_UDP" send b 5 1173
	wait_until has a2b dropped_blackhole 5
	wait_until received_lines 5
	same "back" "$(count b2a offered_packets)" 0
}

@test "down and up" {
	up --rtt 2ms
	receive_udp
	"$linkem" set down
	on a python3 "$LINKEM_UDP" send b 5
	wait_until has a2b dropped_down 5
	"$linkem" set up
	send_udp 5
	same received "$(wc -l <"$RECEIVED")" 5
	# what is under way is lost, too
	"$linkem" set delay=50s
	on a python3 "$LINKEM_UDP" send b 5
	wait_until has a2b offered_packets 15
	"$linkem" set down=10ms
	same "lost" "$(count a2b dropped_down)" 10
	"$linkem" set delay=0
	wait_until is_up_again
}

is_up_again() {
	[ "$(count a2b spec)" = perfect ]
}

@test "dup: packets arrive twice" {
	up --a2b dup=100%
	receive_udp
	send_udp 20
	same received "$(wc -l <"$RECEIVED")" 40
	same duplicated "$(count a2b duplicated) $(count a2b packets) $(count a2b offered_packets)" "20 40 20"
}

@test "reorder: some are overtaken, none is lost" {
	up --a2b delay=5ms,reorder=10%:200ms,seed=4
	receive_udp
	send_udp 100
	[ "$(count a2b reordered)" -gt 2 ]
	run -1 cmp "$RECEIVED" <(seq 0 99)
	diff <(sort -n "$RECEIVED") <(seq 0 99)
}

@test "corrupt: the receiving host's checksum sees every one" {
	up --a2b corrupt=100%
	receive_udp
	on a python3 "$LINKEM_UDP" send b 20
	wait_until has a2b packets 20
	same corrupted "$(count a2b corrupted)" 20
	wait_until sees_errors 20
	same received "$(wc -l <"$RECEIVED")" 0
	"$linkem" set a2b corrupt=10% seed=9
	send_tcp 10000 20
	[ "$(kernel_count b Tcp InCsumErrors)" -ge 1 ]
}

sees_errors() {
	[ "$(kernel_count b Udp InCsumErrors)" -eq "$1" ]
}

@test "swap: no checksum sees it" {
	local kind
	for kind in tun veth; do
		up --a2b swap=100% --device $kind
		receive_udp
		send_udp 20 1001
		same swapped "$(count a2b swapped)" 20
		same "changed" "$(grep -c changed "$RECEIVED")" 20
		same "seen" "$(kernel_count b Udp InCsumErrors)" 0
		"$linkem" down >/dev/null
	done
}

@test "rate and tail: the queue is never longer than its limit, and what is too much is dropped" {
	up --rate 500kbit --a2b queue=20000
	receive_udp
	send_udp 200 972
	[ "$(count a2b queue_peak_bytes)" -le 20000 ]
	[ "$(count a2b queue_peak_bytes)" -gt 19000 ]
	[ "$(count a2b dropped_queue)" -gt 50 ]
	same "limit" "$(count a2b queue_limit_bytes)" 20000
	same "now" "$(count a2b queue_bytes) $(count a2b queue_packets)" "0 0"
	same received "$(wc -l <"$RECEIVED")" "$(count a2b packets)"
	# an interval has its own peak; that of the totals is of the whole run
	"$linkem" set a2b queue=50000
	[ "$(count a2b queue_limit_bytes)" -eq 50000 ]
}

@test "the peak of the totals is that of the whole run, whoever asks for intervals" {
	up --rate 8mbit
	receive_udp
	send_udp 20 972
	local peak
	peak=$(count a2b queue_peak_bytes)
	[ "$peak" -gt 1000 ]
	start_worker "$linkem" stat -i 20ms --json
	wait_until grep -q '"record":"interval"' "$WORKER_OUT"
	kill -INT "$WORKER"
	wait_server "$WORKER"
	same peak "$(count a2b queue_peak_bytes)" "$peak"
}

@test "queue=auto: one bandwidth-delay product of both directions, at least 64 KiB" {
	up --rate 80mbit --a2b delay=10ms --b2a delay=30ms
	same "limit" "$(count a2b queue_limit_bytes)" 400000
	"$linkem" set b2a delay=10ms
	same "limit" "$(count a2b queue_limit_bytes)" 200000
	"$linkem" set rtt=1ms
	same "limit" "$(count a2b queue_limit_bytes)" 65536
	"$linkem" set rate=none
	same "limit" "$(count a2b queue_limit_bytes)" 0
}

@test "red drops early, ecn marks instead" {
	need tcpdump
	up --rtt 10ms --rate 8mbit --a2b queue=60K,red --pcap a.pcap --pcap-b b.pcap
	send_tcp 100000 20 --congestion reno --depth 10
	[ "$(count a2b dropped_red)" -gt 0 ]
	same marked "$(count a2b marked)" 0
	on a sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_ecn'
	"$linkem" set a2b ecn
	local red
	red=$(count a2b dropped_red)
	send_tcp 100000 20 --congestion reno --depth 10
	local marked
	marked=$(count a2b marked)
	[ "$marked" -gt 0 ]
	echo "$red packets dropped by red; then $marked marked and $(($(count a2b dropped_red) - red)) dropped"
	# pure acknowledgements and what is sent again understand no marks (RFC 3168 6.1.4 and 6.1.5)
	[ $(($(count a2b dropped_red) - red)) -lt "$marked" ]
	"$linkem" down >/dev/null
	same "CE at b" "$(tcpdump -n -r b.pcap 'src host 10.9.1.1 and ip[1] & 3 = 3' 2>/dev/null | wc -l)" "$marked"
	same "CE at a" "$(tcpdump -n -r a.pcap 'src host 10.9.1.1 and ip[1] & 3 = 3' 2>/dev/null | wc -l)" 0
	[ "$(tcpdump -n -r a.pcap 'src host 10.9.2.1 and tcp[13] & 0x40 != 0 and tcp[13] & 2 = 0' 2>/dev/null | wc -l)" -gt 0 ]
	same "wrong IP checksums" "$(tcpdump -n -v -r b.pcap 2>/dev/null | grep -c 'bad cksum.*->')" 0
}

@test "every packet is accounted for, whatever happens to it" {
	local kind
	for kind in tun veth; do
		up --device $kind --rate 5mbit --a2b delay=3ms,jitter=2ms,loss=5%,burst=3,every=17,dup=10%,reorder=5%,corrupt=5%,swap=5%,queue=20K,red,blackhole=900
		receive_udp
		on a python3 "$LINKEM_UDP" send b 300
		on a python3 "$LINKEM_UDP" send b 10 1000
		wait_until has a2b offered_packets 310
		wait_until is_idle a2b
		wait_until is_idle b2a
		same blackhole "$(count a2b dropped_blackhole)" 10
		same device "$(count a2b dropped_device)" 0
		[ "$(count a2b packets)" -gt 20 ]
		"$linkem" down >/dev/null
	done
}

# --- commands ---------------------------------------------------------------------------------------------------------

@test "set: words of all kinds; rtt; clear; from inside a host" {
	up --rtt 10ms
	"$linkem" set rtt=20ms,rate=1mbit
	same "specs" "$(count a2b spec) $(count b2a spec)" "delay=10ms,rate=1mbit delay=10ms,rate=1mbit"
	"$linkem" set a2b 'delay=1ms loss=2%' b2a clear
	same "specs" "$(count a2b spec) $(count b2a spec)" "delay=1ms,rate=1mbit,loss=2% perfect"
	"$linkem" set 'rtt=6ms loss=0'
	same "specs" "$(count a2b spec) $(count b2a spec)" "delay=3ms,rate=1mbit delay=3ms"
	on b "$linkem" set clear
	same "specs" "$(count a2b spec) $(count b2a spec)" "perfect perfect"
	on a "$linkem" stat --json | lane_field b2a spec
	on a "$linkem" exec b uname -n | grep -x b
	run -0 "$linkem" set a2b delay=1ms
	same "silent" "$output" ''
}

@test "an outage that is over is no longer in the spec, also when nothing is sent" {
	up
	"$linkem" set down=10ms
	wait_until is_up_again
}

@test "stat -i: records until it is told to end" {
	up
	"$linkem" stat -i 20ms --json >out 3>&- &
	wait_until grep -q interval out
	kill -INT $!
	local status=0
	wait $! || status=$?
	same status $status 130
	same "last" "$(tail -n 1 out | field record)" total
}

@test "watch and --diagram: a line for each packet" {
	up --rtt 20ms --a2b every=2
	"$linkem" watch >watched 2>watch.log 3>&- &
	local watcher=$!
	receive_udp
	wait_until watches
	wait_until is_idle a2b
	send_udp 4 90
	wait_until four_lines
	same "arrived" "$(grep -cE '^ *[0-9]+\.[0-9]{3} +[0-9]+\.[0-9]{3}  a ---> b  [0-9]+ > 5001  udp \(90\)$' watched)" 2
	same "lost" "$(grep -cE '^ *[0-9]+\.[0-9]{3}          -  a --x  b  [0-9]+ > 5001  udp \(90\)  lost: chosen$' watched)" 2
	kill -INT $watcher
	local status=0
	wait $watcher || status=$?
	same status $status 130
}

# A line has come: it is sure that it watches.
watches() {
	on a python3 "$LINKEM_UDP" send b 2
	[ -s watched ]
}

four_lines() {
	[ "$(grep -c 'udp (90)' watched)" -eq 4 ]
}

@test "--diagram: handshake, data and end, also with a router" {
	local router
	for router in '' --router; do
		rm -f log # what the one before said is not this one's
		# shellcheck disable=SC2086 # none or one word
		"$linkem" --diagram --rtt 20ms $router >lines 2>log 3>&- &
		local net=$!
		wait_until grep -qs 10.9.2.1 log
		send_tcp 1000 1
		wait_until is_idle b2a
		wait_until is_idle a2b
		kill -TERM $net
		wait $net || true
		local far=b
		[ -z "$router" ] || far=r
		cat lines
		grep -q "a ---> $far  .* S 0:0(0) win .*mss 1460" lines
		grep -q "a <--- $far  .* S. 0:0(0) ack 1 win .*mss 1460" lines
		grep -q "a ---> $far  .* P. 9:1013(1004) ack 1 win" lines
		grep -q "a <--- $far  .* ack 1013 win" lines
		# arrivals are no earlier than half a round trip, but for what rounding takes
		awk '/--->|<---/ && $1 ~ /^[0-9.]+$/ { n++; if ($2 - $1 < 9.99) exit 1 } END { exit n < 5 }' lines
	done
}

@test "exec: status, input, output, errors" {
	up
	on a true
	run -7 on a sh -c 'exit 7'
	run -127 on a nonsense-command
	run -126 on a /etc/hosts
	run -137 on a sh -c 'kill -9 $$'
	run -2 "$linkem" exec a
	same "input and output" "$(echo word | on b cat)" word
	run -0 --separate-stderr on a sh -c 'echo out; echo err >&2'
	same "out, err" "$output, $stderr" "out, err"
	same "operands are the command's" "$(on a echo --help -n x)" "--help -n x"
	same "empty word" "$(on a sh -c 'echo $#' - '' b)" 2
}

@test "exec: folder, environment, files, signals' dispositions, no foreign descriptors" {
	up
	mkdir deep && cd deep || return
	same folder "$(on a pwd)" "$PWD"
	echo text >here
	same file "$(on a cat here)" text
	same environment "$(WORD=said on a sh -c 'echo $WORD')" said
	# SIGPIPE ends a writer there as it does here, also where a caller ignores it
	run -0 bash -c 'trap "" PIPE; "$0" exec a sh -c "kill -PIPE \$\$; echo survived" || true' "$linkem"
	same output "$output" ''
	same "descriptors" "$(on a ls /proc/self/fd)" "$(ls /proc/self/fd)"
	# only what runs there is to be seen
	[ "$(on a sh -c 'ls -d /proc/[0-9]*' | wc -l)" -lt 8 ]
}

@test "exec: a signal to it is a signal to the command" {
	up
	local signal status
	for signal in TERM HUP USR1; do # SIGINT is ignored in a background job
		# What is ignored when a shell starts it cannot trap (nohup).
		"$linkem" exec a env --default-signal="$signal" \
			bash -c "trap 'exit 9' $signal; echo >ready; while :; do sleep 0.05; done" 3>&- &
		wait_until test -e ready
		rm ready
		kill -s $signal $!
		status=0
		wait $! || status=$?
		same "status after $signal" $status 9
	done
}

@test "exec: the command does not outlive it" {
	up
	local seconds=$((1000000 + RANDOM * 30 + RANDOM))
	"$linkem" exec a sleep $seconds 3>&- &
	wait_until pgrep -f "^sleep $seconds" >/dev/null
	kill -KILL $!
	wait $! || true
	wait_until none_of "^sleep $seconds"
}

none_of() {
	! pgrep -f "$1" >/dev/null
}

@test "exec and the run work where SIGCHLD is ignored" {
	local ignoring='import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])'
	run -0 timeout -k 1 60 python3 -c "$ignoring" "$linkem" --time 50ms
	up
	run -3 timeout -k 1 60 python3 -c "$ignoring" "$linkem" exec a sh -c 'exit 3'
}
