#!/usr/bin/env bash
# 60-slow-start - a short transfer never gets to know how fast the link is.
#
# tier: em
# summary: 10 KB to 10 MB over 100 Mbit/s and 50 ms: how long a transfer takes is a number of round trips, until the pipe is full.
# alone: round trips are counted by the clock

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

sizes=(10000 30000 95000 100000 300000 1000000 10000000)
long=${sizes[-1]}

rtt_ms=50
rate_Mbps=100
export mss=1448 # 1500 - 20 (IPv4) - 32 (TCP with timestamps)
first=10      # segments in the first flight (RFC 6928)
packet_ms=0.12 # 1500 bytes at 100 Mbit/s

# An array to be filled is declared where every function sees it.
declare -A time_ms=()  # of SIZE CONGESTION: from the first byte to the answer
declare -A model_ms=() # the same by the model; by size

main() {
	lab_start "$@"
	need ttcp discard plot

	beat predict
	say 'Two hosts, 50 ms from one to the other and back, and a link of 100 Mbit/s between them that nobody else uses. A program' \
		'connects, sends a file, and waits for the answer "got it". The clock runs from the first byte to the answer.'
	predict rate 'What is the mean rate for 10 KB, in Mbit/s?'
	predict hundred 'And how many ms do 100 KB take?'
	say 'Then the link becomes ten times as fast: 1 Gbit/s.'
	predict faster 'How many times as fast are the 100 KB?'

	beat run
	hosts
	one_file_each
	other_links
	warm
	window
	idle

	beat observe
	observe
	curves

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# The queue takes whatever comes, so that nothing is lost: loss is another lab. The buffers are no limit either.
hosts() {
	testbed --rtt ${rtt_ms}ms --rate ${rate_Mbps}mbit --a2b queue=16M
	run "on a sh -c 'cd /proc/sys/net/ipv4; echo 4096 4194304 16777216 >tcp_wmem; echo 1 >tcp_timestamps'"
	run "on b sh -c 'cd /proc/sys/net/ipv4; echo 4096 131072 33554432 >tcp_rmem; echo 1 >tcp_timestamps'"
	serve sink 'on b ttcp -r -p 0'
	sink=$PORT
}

# send NAME SIZE CONGESTION MS [BLOCKS]: a fresh connection. TCP_NODELAY, because ttcp begins with a short header, and Nagle's
# algorithm would hold back the short last segment of the file until that is acknowledged.
send() {
	local key=elapsed_ns
	[[ -z ${5:-} ]] || key=block_rtt_p50_ns
	measure "$1" "least $key $4 on a ttcp -4 -t b -p $sink -D -l $2 -n ${5:-1} --congestion $3"
}

# least KEY MS COMMAND..., in a lab line: the records of COMMAND; up to six times, as long as KEY was more than MS, and then the best.
# WHY: whatever else this machine does makes a transfer longer, and never shorter.
least() {
	local key=$1 limit_ms=$2 tries records ns best='' best_ns=''
	shift 2
	for ((tries = 0; tries < 6; tries++)); do
		records=$("$@") || return
		ns=$(sed -n "/\"record\":\"total\"/s/.*\"$key\":\([0-9]*\).*/\1/p" <<<"$records")
		((ns < ${best_ns:-ns + 1})) && best=$records best_ns=$ns
		((best_ns > limit_ms * 1000000)) || break
	done
	printf '%s\n' "$best"
}

# sampled COMMAND..., in a lab line: the same for looks at the window. Those that came while others had the processor found it a
# flight or two later.
sampled() {
	local tries n records
	for ((tries = 0; tries < 6; tries++)); do
		records=$("$@") || return
		for n in 10 20 40 80; do
			grep -q "\"cwnd_bytes\":$((n * mss))," <<<"$records" || continue 2
		done
		break
	done
	printf '%s\n' "$records"
}
export -f least sampled

# soon_enough SIZE: a third of a round trip more than its flights, in ms; or a tenth more than the model says.
soon_enough() {
	if (($1 < long)); then
		calc "($(flights "$1") + 0.3) * $rtt_ms" %.0f
	else
		calc "1.1 * $(model "$1")" %.0f
	fi
}

one_file_each() {
	local size
	say 'least KEY MS COMMAND: its records; on a machine that is held up several times, as long as KEY is more than MS, and then the best' \
		'sampled COMMAND: the same, as long as windows of 10, 20, 40 and 80 segments were not all seen'
	for size in "${sizes[@]}"; do
		send "reno-$size" "$size" reno "$(soon_enough "$size")"
	done
	for size in 10000 100000 1000000 "$long"; do
		send "cubic-$size" "$size" cubic "$(calc "1.1 * $(soon_enough "$size")" %.0f)"
	done
}

other_links() {
	run 'link rate=1gbit'
	send gigabit 100000 reno "$(soon_enough 100000)"
	run 'link rate=100mbit rtt=25ms'
	send near 100000 reno "$(calc "$(soon_enough 100000) / 2" %.0f)"
	run 'link rtt=50ms'
}

# The same connection for eight files of 100 KB, one after the other.
warm() {
	send warm 100000 reno "$(calc "1.3 * $rtt_ms" %.0f)" 8
}

# Bare bytes, and a look at the congestion window each 10 ms.
window() {
	serve discard 'on b discard -s -B 0.0.0.0 -p 0'
	bare="on a ttcp -4 -t b -p $PORT --mode raw -i 10ms --congestion reno"
	measure window "sampled $bare --bytes 2M"
}

# 100 KB, a pause of 1.2 s, 100 KB.
idle() {
	local twice="{ head -c 100000 /dev/zero; sleep 1.2; head -c 100000 /dev/zero; } | $bare --file -"
	measure after-idle "$twice"
	run "on a sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_slow_start_after_idle'"
	measure after-idle-kept "$twice"
}

# --- observe ---

observe() {
	local size
	for size in "${sizes[@]}"; do
		time_ms[$size reno]=$(took "reno-$size" elapsed_ns)
		time_ms[$size cubic]=-
		[[ ! -e cubic-$size.json ]] || time_ms[$size cubic]=$(took "cubic-$size" elapsed_ns)
		model_ms[$size]=$(model "$size")
		figure "ms_$size" "${time_ms[$size reno]}" ms
	done
	gigabit_ms=$(took gigabit elapsed_ns)
	near_ms=$(took near elapsed_ns)
	warm_ms=$(took warm block_rtt_p50_ns)
	figure ms_gigabit "$gigabit_ms" ms
	figure ms_rtt_25 "$near_ms" ms
	figure ms_warm "$warm_ms" ms
	look_at_windows
	show_table
	show_rest
	measured rate "$(calc "$(rate 10000 "${time_ms[10000 reno]}")" %.2g) Mbit/s"
	measured hundred "${time_ms[100000 reno]} ms"
	measured faster "$(calc "${time_ms[100000 reno]} / $gigabit_ms" %.2g) times"
}

# took NAME KEY, in ms
took() {
	calc "$(field "$1.json" "$2") / 1e6" %.1f
}

# segments SIZE: ttcp's header goes out as one of its own.
segments() {
	echo $((1 + ($1 + 4 + mss - 1) / mss))
}

# flights SIZE: of 10 segments, 20, 40 ... until all are sent.
flights() {
	local left n=0 w=$first
	left=$(segments "$1")
	for ((; left > 0; n++)); do
		((left -= w, w *= 2))
	done
	echo "$n"
}

# model SIZE: a round trip for each flight; as soon as a flight is longer than the pipe, the link never rests again.
model() {
	awk -v left="$(segments "$1")" -v w=$first -v rtt=$rtt_ms -v packet=$packet_ms 'BEGIN {
		for (; left > w && w * packet < rtt; w *= 2) {
			t += rtt
			left -= w
		}
		printf "%.1f", t + left * packet + rtt
	}' </dev/null
}

# rate SIZE MS: Mbit/s
rate() {
	calc "$1 * 8 / 1e3 / $2" %.3g
}

show_table() {
	local size
	say "$(printf '%9s %9s %10s %13s %12s %12s %13s' '' segments flights 'model, ms' 'reno, ms' 'cubic, ms' 'mean rate')"
	for size in "${sizes[@]}"; do
		say "$(printf '%6d KB %9d %10s %13s %12s %12s %6s Mbit/s' $((size / 1000)) "$(segments "$size")" "$(flights_or_full "$size")" \
			"${model_ms[$size]}" "${time_ms[$size reno]}" "${time_ms[$size cubic]}" "$(rate "$size" "${time_ms[$size reno]}")")"
	done
}

flights_or_full() {
	if ((${#1} > 7)); then
		echo 'pipe full'
	else
		flights "$1"
	fi
}

show_rest() {
	say '' "100 KB at 1 Gbit/s: $gigabit_ms ms. At 100 Mbit/s and 25 ms: $near_ms ms. On a connection that has sent 100 KB before: $warm_ms ms." \
		"congestion window, after a pause of 1.2 s: from $before_idle to $after_idle segments; with tcp_slow_start_after_idle=0 from $before_kept to $after_kept"
}

# windows FILE: of each interval the end, in ms, and the congestion window, in segments.
windows() {
	sed -n 's/.*"record":"interval".*"end_ns":\([0-9]*\).*"cwnd_bytes":\([0-9]*\).*/\1 \2/p' "$1" |
		awk -v mss=$mss '{ printf "%.1f %d\n", $1 / 1e6, $2 / mss }'
}

# The largest before the pause is over, and the least of what was seen from then on.
largest_before() {
	windows "$1" | awk '$1 < 1000 && $2 > most { most = $2 } END { print most + 0 }'
}

least_after() {
	windows "$1" | awk '$1 > 1000 && (!least || $2 < least) { least = $2 } END { print least + 0 }'
}

look_at_windows() {
	before_idle=$(largest_before after-idle.json)
	after_idle=$(least_after after-idle.json)
	before_kept=$(largest_before after-idle-kept.json)
	after_kept=$(least_after after-idle-kept.json)
	figure window_after_idle "$after_idle" segments
	figure window_kept "$after_kept" segments
}

# reached N: when the window was first so large, in round trips.
reached() {
	windows window.json | awk -v n="$1" -v rtt=$rtt_ms '$2 >= n { printf "%.2f", $1 / rtt; exit }'
}

# was_there N: whether the window was exactly that.
was_there() {
	windows window.json | awk -v n="$1" '$2 == n { found = 1 } END { print found + 0 }'
}

curves() {
	windows window.json | awk -v first=$first -v rtt=$rtt_ms '
		BEGIN { print "ms, measured, 10 doubled each RTT" }
		$1 < 5.5 * rtt { printf "%s, %s, %d\n", $1, $2, first * 2 ^ int($1 / rtt) }' |
		draw slow-start-window 'The congestion window of a new connection (reno)' 'ms' segments --log-y --dashed '10 doubled each RTT'
	local size
	{
		echo 'bytes, measured, model, link'
		for size in "${sizes[@]}"; do
			echo "$size, $(rate "$size" "${time_ms[$size reno]}"), $(rate "$size" "${model_ms[$size]}"), $rate_Mbps"
		done
	} | draw slow-start-rate 'Mean rate over the length of a transfer' bytes Mbit/s --log-x --log-y --dashed model,link
}

# --- explain ---

explain() {
	say 'A sender does not know the link. It begins with 10 segments (RFC 6928) and may send two more for each that is acknowledged,' \
		'so that a flight is twice as long as the one before, and each takes a round trip: 10, 20, 40, 80 ... That is slow start,' \
		'and it is slow where it starts. 10 KB are one flight: the answer comes after one round trip, and no bandwidth can' \
		'change that. 95 KB are 67 segments with the header, three flights; 100 KB are 71, one more than 10 + 20 + 40, and that one' \
		'costs a whole round trip. Only from the flight on that is longer than the pipe (416 segments are 50 ms of 100 Mbit/s) does the' \
		'link decide. So a faster link does nothing for 100 KB, and half the distance does everything.' \
		'A connection that is kept has its window already: the next 100 KB are one flight. But after a pause longer than the' \
		'retransmission timeout the window is halved for each such time that has passed, down to 10 (RFC 5681 4.1, RFC 2861).' \
		'Cubic begins in the same way; when round trips grow longer it leaves slow start earlier (HyStart, RFC 9406).' \
		'' \
		'In the source: next_step() in tools/ttcp/send.c sends a block and waits; all the rest is the kernel. Read on: RFC 5681 3.1,' \
		'RFC 6928, tcp(7) tcp_slow_start_after_idle.'
}

# --- verdict ---

# takes_flights SIZE: that many round trips, and less than one more. A little less than that many can be, because the header
# is on its way before the clock runs. And on a machine that is held up all the time a round trip takes as long as that of the
# 10 KB, which are a single one.
takes_flights() {
	local n t=${time_ms[$1 reno]} unit=$rtt_ms
	n=$(flights "$1")
	((n == 1)) || ! holds "${time_ms[10000 reno]} > $rtt_ms" || unit=${time_ms[10000 reno]}
	claim "$(($1 / 1000)) KB, $(segments "$1") segments: as many round trips as flights, $n" \
		"$t > ($n - 0.3) * $rtt_ms && $t < ($n + 0.7) * $unit"
}

judge() {
	local size k
	for size in "${sizes[@]:0:6}"; do
		takes_flights "$size"
	done
	claim '10 MB: the model is right within 20 percent' \
		"${time_ms[$long reno]} >= 0.97 * ${model_ms[$long]} && ${time_ms[$long reno]} < 1.2 * ${model_ms[$long]}"
	for k in 10 20 40 80; do
		claim "the congestion window was exactly $k segments" "$(was_there $k) == 1"
	done
	claim 'and has reached 320 after 5 to 12 round trips; ten more in each would be 31' \
		"$(reached 320) >= 4.9 && $(reached 320) < 12"
	claim '10 KB get less than 2 percent of the link, 10 MB more than 60' \
		"$(rate 10000 "${time_ms[10000 reno]}") < 0.02 * $rate_Mbps && $(rate "$long" "${time_ms[$long reno]}") > 0.6 * $rate_Mbps"
	claim 'cubic: 10 KB take one round trip, 100 KB four' \
		"${time_ms[10000 cubic]} < 1.8 * $rtt_ms && ${time_ms[100000 cubic]} > 3.7 * $rtt_ms && ${time_ms[100000 cubic]} < 4.8 * $rtt_ms"
	claim 'ten times the bandwidth: 100 KB are less than 1.2 times as fast' "${time_ms[100000 reno]} < 1.2 * $gigabit_ms"
	claim 'half the round trip: 100 KB are at least 1.6 times as fast' "${time_ms[100000 reno]} >= 1.6 * $near_ms"
	claim 'on a connection that is warm, 100 KB take one round trip' "$warm_ms >= 0.98 * $rtt_ms && $warm_ms < 1.8 * $rtt_ms"
	claim 'after the pause the window is 10 segments again' "$before_idle > 40 && $after_idle == $first"
	claim 'unless the host is told to keep it' "$before_kept > 40 && $after_kept == $before_kept"
}

main "$@"
