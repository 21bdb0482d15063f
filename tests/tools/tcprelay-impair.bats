#!/usr/bin/env bats
# tcprelay as a bad link: each impairment in each direction, by option and by order to a running relay, as real peers see it. When
# each byte is due to the nanosecond is relay_impair_test's business.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2004,SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/relay

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
}

# link SCENARIO N OPTION...: relay_link.py, which is both ends.
link() {
	timeout 170 python3 -I -S "$TCPLAB_ROOT/tests/fixtures/relay_link.py" "$tcprelay" "$@"
}

# flow WAY N OPTION...: through a relay with these options one end sends N bytes and then its FIN, in direction WAY (up, down); the other
# one only reads, and its own FIN follows. $sink is the file with what it got, $sink_said what it saw, $source_said what the sender saw.
flow() {
	local way=$1 n=$2 fin=${last_step-eof}
	shift 2
	sink=$PWD/sink
	if [ "$way" = up ]; then
		serve --save "$sink" drain eof drain
		relay "$@"
		# shellcheck disable=SC2086 # a step, or none
		source_said=$(visit "put:$n" $fin drain)
		wait_server "$SERVER"
		sink_said=$(head -n 1 "$SERVER_SAID")
	else
		# shellcheck disable=SC2086
		serve "put:$n" $fin drain
		relay "$@"
		sink_said=$(visit --save "$sink" drain eof | head -n 1)
		wait_server "$SERVER"
		source_said=$(cat "$SERVER_SAID")
	fi
	wait_until ended
}

# The first N bytes of what the peers send.
pattern() {
	python3 -I -S -c 'import sys; n = int(sys.argv[1]); b = bytes(i * 7 % 251 for i in range(65536))
sys.stdout.buffer.write((b * (n // len(b) + 1))[:n])' "$1"
}

order() {
	"$tcprelay" set r.sock "$@" >/dev/null
}

# --- time -------------------------------------------------------------------------------------------------------------

# ways N OPTION...: as `link times`; its figures in $up0 to $down1.
ways() {
	read -r _ up0 up1 _ down0 down1 < <(link times "$@") && echo "$*: up $up0 to $up1, down $down0 to $down1"
}

# Earlier than it is due nothing comes; how much later depends on the machine, but the other direction is faster.
@test "--delay: for both ways, or for one" {
	local up0 up1 down0 down1
	ways 3 --delay 150ms
	[ "$up0" -ge 150 ] && [ "$down0" -ge 150 ]
	at_some_speed one_way_late up
	at_some_speed one_way_late down
}

# one_way_late WAY FACTOR
one_way_late() {
	local ms=$((150 * $2))
	ways 3 "--$1" delay=${ms}ms || return
	if [ "$1" = up ]; then
		[ "$up0" -ge $ms ] && [ "$down0" -lt $ms ]
	else
		[ "$down0" -ge $ms ] && [ "$up0" -lt $ms ]
	fi
}

# The seed makes it certain that 15 draws are not all alike. Of 30 one is early.
@test "--jitter: some come earlier, some later, within bounds" {
	local up0 up1 down0 down1
	at_some_speed early_and_late
}

early_and_late() {
	ways 15 --delay $((60 * $1))ms --jitter $((50 * $1))ms &&
		[ "$up0" -ge $((10 * $1)) ] && [ "$down0" -ge $((10 * $1)) ] &&
		{ [ "$up0" -lt $((60 * $1)) ] || [ "$down0" -lt $((60 * $1)) ]; } &&
		[ "$up1" -ge $((60 * $1)) ] && [ "$down1" -ge $((60 * $1)) ] &&
		[ $((up1 - up0)) -ge $((25 * $1)) ] && [ $((down1 - down0)) -ge $((25 * $1)) ]
}

@test "--delay: the end is as late as the bytes, and does not overtake them" {
	serve drain
	relay --up delay=100ms
	visit put:1000 eof drain
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 1000: EOF'
	serve get:1000 touch:got drain touch:end close
	relay --up delay=400ms
	visit put:1000 await:got touch:sent eof drain
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" $'get 1000: ok\ndrain 0: EOF'
	# A file system's clock may be a few milliseconds behind.
	python3 -I -S -c 'import os; d = os.stat("end").st_mtime_ns - os.stat("sent").st_mtime_ns; print(d); assert d >= 380000000'
	record end=orderly
}

# 50,000 bytes at 100 kB/s are half a second: never less. More only as far as the machine is slow: four times as much is broken, if it
# is so each time.
@test "--rate: by the relay's own count of bytes and time" {
	local options ms ways
	for options in "--rate 100kB/s" "--up rate=100kB/s" "--down rate=100kB/s" "--rate 100kB/s --chunk 100" "--rate 100kB/s --delay 5ms"; do
		[[ $options == --[ud]* ]] && ways=1 || ways=2
		for _ in 1 2 3 4 5; do
			# shellcheck disable=SC2086 # options
			read -r _ _ _ _ _ ms < <(link stream 50000 $options)
			echo "$options: $ms ms"
			[ "$ms" -ge $((490 * ways)) ]
			[ "$ms" -ge $((2000 * ways)) ] || break
		done
		[ "$ms" -lt $((2000 * ways)) ]
	done
}

# --- pieces -----------------------------------------------------------------------------------------------------------

@test "--chunk: no send is longer, and every byte comes" {
	local way
	for way in up down; do
		flow $way 10000 --trace "--$way" chunk=70
		same "$way" "$sink_said" 'drain 10000: EOF'
		pattern 10000 | cmp - "$sink"
		# 10,000 are 142 times 70 and 60
		[ "$(grep -Ec 'send\([0-9]+, 70\) = 70' "$RELAY_LOG")" -ge 142 ]
		! grep -E 'send\([0-9]+, [0-9]+\)' "$RELAY_LOG" | grep -qvE 'send\([0-9]+, ([1-6]?[0-9]|70)\)'
	done
}

# --- places -----------------------------------------------------------------------------------------------------------

@test "--corrupt-at: exactly one byte is wrong, in its own direction" {
	local way at
	for way in up down; do
		for at in 0 9999; do
			flow $way 10000 "--$way" corrupt-at=$at
			same "$way" "$sink_said" 'drain 10000: EOF'
			pattern 10000 >want
			# cmp counts from 1, and shows bytes in octal
			same "what is wrong at $at, $way" "$(cmp -l want "$sink" | awk '{ print $1 - 1, NF }')" "$at 3"
		done
	done
	flow up 10000 --corrupt-at 10000 --down corrupt-at=5
	pattern 10000 | cmp - "$sink"
}

# Both sides see an end in order, after exactly so many bytes.
@test "--cut-at N:fin" {
	local way at
	for way in up down; do
		for at in 1 10000; do
			flow $way 10000 "--$way" cut-at=$at:fin
			same "$way cut at $at" "$sink_said" "drain $at: EOF"
			pattern "$at" | cmp - "$sink"
			record end=cut "bytes_$way=$at"
		done
		flow $way 10000 "--$way" cut-at=10001:fin # the stream is shorter: it ends by itself
		same "$way" "$sink_said" 'drain 10000: EOF'
		record end=orderly
	done
}

# Both sides see a reset; what came before the cut is there.
@test "--cut-at N:rst, and without a kind" {
	local way at last_step=''
	for way in up down; do
		for at in 1000 10000:rst; do
			flow $way 10000 "--$way" cut-at=$at
			same "$way cut at $at" "$sink_said" "drain ${at%:rst}: ECONNRESET"
			pattern "${at%:rst}" | cmp - "$sink"
			[[ $source_said == *ECONNRESET* || $source_said == *EPIPE* ]]
			record end=cut "bytes_$way=${at%:rst}"
		done
	done
}

@test "--cut-at 0: nothing comes at all" {
	local kind last_step=''
	for kind in fin rst; do
		flow up 100 --cut-at 0:$kind
		[[ $sink_said == "drain 0: "* ]]
		record end=cut bytes_up=0 bytes_down=0
	done
}

# A cut behind a large stream: the last bytes before it are still on their way when it is due.
@test "--cut-at after a megabyte: not a byte less, and through a slow reader" {
	local way kind last_step=''
	for way in up down; do
		[ $way = up ] && kind=rst || kind=fin
		flow $way 3000000 "--$way" "cut-at=1000001:$kind"
		[[ $sink_said == "drain 1000001: "* ]] || {
			echo "$way $kind: $sink_said"
			return 1
		}
		pattern 1000001 | cmp - "$sink"
	done
	serve --rcvbuf 8192 await:go drain
	relay --cut-at 500000:rst --sndbuf 8K
	visitor put:3000000
	wait_server "$WORKER" || true
	touch go
	wait_server "$SERVER"
	same "a slow reader" "$(cat "$SERVER_SAID")" 'drain 500000: ECONNRESET'
}

@test "cuts under delay, rate and chunk: at the same byte" {
	local more kind last_step=''
	for more in delay=30ms delay=10ms,jitter=10ms,rate=500kB/s,chunk=100; do
		for kind in fin rst; do
			flow down 20000 --down "$more,cut-at=7777:$kind"
			[[ $sink_said == "drain 7777: "* ]] || {
				echo "$more $kind: $sink_said"
				return 1
			}
			pattern 7777 | cmp - "$sink"
		done
	done
}

# --- stall and black hole, and back -----------------------------------------------------------------------------------

@test "--stall-at: so many bytes, then none, and the rest when it is taken back" {
	local way
	for way in up down; do
		rm -f go
		if [ $way = up ]; then
			serve get:1000 touch:stalled drain
			relay --up stall-at=1000 --status r.sock --sndbuf 16K --rcvbuf 16K
			visitor put:3000000 eof drain
		else
			serve put:3000000 eof drain
			relay --down stall-at=1000 --status r.sock --sndbuf 16K --rcvbuf 16K
			visitor get:1000 touch:stalled drain
		fi
		wait_until test -e stalled
		wait_until status_is paused 1 # the source goes on until nobody takes any more
		same "delivered, $way" "$(status_of bytes_$way)" 1000
		rm stalled
		order $way stall-at=off
		wait_server "$WORKER"
		wait_server "$SERVER"
		same "the rest, $way" "$(cat "$SERVER_SAID" "$WORKER_OUT" | grep -c '2999000: EOF')" 1
		end_relay
	done
}

# The sender never notices: everything is taken. What was lost is lost; what comes afterwards arrives.
@test "--blackhole: everything is taken, nothing comes out; not even the end" {
	serve drain
	relay --up blackhole --status r.sock
	visitor put:5000000 touch:sent await:more send:after eof touch:ended drain
	wait_until test -e sent
	wait_until lost_bytes 5000000
	same delivered "$(status_of bytes_up)" 0
	order no-blackhole
	touch more
	wait_server "$SERVER"
	same "the server's view" "$(cat "$SERVER_SAID")" 'drain 5: EOF'
	wait_server "$WORKER"
	end_relay
}

lost_bytes() {
	"$tcprelay" stat r.sock --json | grep -q "\"lost_bytes\":$1,"
}

@test "--blackhole: the end that came meanwhile goes when it is over" {
	serve send:hello eof touch:ended drain
	relay --down blackhole --status r.sock
	visitor drain
	wait_until test -e ended
	wait_until lost_bytes 5
	[ ! -s "$WORKER_OUT" ]
	order clear
	wait_server "$WORKER"
	same "the client's view" "$(cat "$WORKER_OUT")" 'drain 0: EOF'
}

# --- changed while it runs --------------------------------------------------------------------------------------------

# Each of them on a flow that stands, and on the next one.
@test "set: delay, rate, chunk and what else is said holds at once for flows that stand" {
	serve --each get:10 put:10 get:20000 put:20000 close
	relay --status r.sock --trace
	visitor send:0123456789 get:10 touch:first await:go put:20000 get:20000 drain
	wait_until test -e first
	order up chunk=50
	order down rate=100kB/s
	same "in force" "$("$tcprelay" set r.sock up delay=1ms)" $'up delay=1ms,chunk=50\ndown rate=800kbit'
	touch go
	wait_server "$WORKER"
	same "the client's view" "$(tail -n 2 "$WORKER_OUT")" $'get 20000: ok\ndrain 0: EOF'
	[ "$(grep -Ec 'send\([0-9]+, 50\) = 50' "$RELAY_LOG")" -ge 400 ]
	stop_server "$SERVER"
	end_relay
}

@test "set cut-at: a place that is still to come cuts, one that has gone by does not" {
	serve --each get:1000 touch:half await:go get:1000 put:5 drain
	relay --status r.sock
	visitor put:1000 await:more put:1000 get:5 eof drain
	wait_until test -e half
	order up cut-at=999
	touch more go
	wait_server "$WORKER"
	same "gone by" "$(tail -n 2 "$WORKER_OUT")" $'get 5: ok\ndrain 0: EOF'
	rm -f half go more
	order up cut-at=off
	visitor put:1000 await:more put:1000 drain
	wait_until test -e half
	order up cut-at=1500
	touch more go
	wait_server "$WORKER"
	same "still to come" "$(tail -n 1 "$WORKER_OUT")" 'drain 0: ECONNRESET'
	wait_until ended 2
	record end=cut bytes_up=1500
	stop_server "$SERVER"
	end_relay
}

@test "set on a flow with bytes in a pipe: they go, and not one is lost or doubled" {
	local words
	for words in delay=5ms rate=40MB/s,chunk=5000; do
		rm -f go
		serve --rcvbuf 16384 --save got await:go drain
		path=splice relay --status r.sock --sndbuf 32K
		visitor put:6000000 eof drain
		wait_until status_is paused 1
		order $words
		touch go
		wait_server "$SERVER"
		same "with $words" "$(cat "$SERVER_SAID")" 'drain 6000000: EOF'
		pattern 6000000 | cmp - got
		wait_server "$WORKER"
		end_relay
	done
}

# An impaired flow whose ends die in all ways: the relay goes on.
@test "a reset of either side while bytes wait for their time" {
	local way
	for way in up down; do
		rm -f go
		serve --each put:50000 touch:sent await:go rst
		relay "--$way" delay=60s,rate=8bit --linger 500ms --status r.sock
		visitor put:50000 touch:out await:go rst
		wait_until test -e sent
		wait_until test -e out
		touch go
		wait_server "$WORKER"
		wait_until ended
		stop_server "$SERVER"
		status_is live 0
		end_relay
	done
}

@test "resets under an impairment: what came before comes first" {
	local more
	for more in delay=50ms rate=200kB/s,chunk=100; do
		serve get:5 put:20000 rst
		relay --down $more
		run -0 visit send:hello drain
		same "the client's view with $more" "$output" 'drain 20000: ECONNRESET'
		record end=server_reset bytes_down=20000
		end_relay
	done
}
