#!/usr/bin/env bash
# 81-watch-a-server - a server that uses no processor time may be slow, or its reader, or its sender. The queues know.
#
# tier: any
# summary: chargen and discard under load, watched by procmon: who uses the processor, and where the bytes wait.
# alone: processor time is measured

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

seconds=1   # of each step
slow=1MB/s
many=32768  # so many bytes in a queue are no longer on their way: they wait
steps=(chargen-fast slow-reader discard-fast slow-sender slow-server)
declare -A server=([chargen-fast]=chargen [slow-reader]=chargen [discard-fast]=discard [slow-sender]=discard
	[slow-server]=slow)
declare -A port=() # of each server

main() {
	lab_start "$@"
	need procmon chargen discard netcat-blocking netcat-nonblocking plot timeout

	beat predict
	say 'Three servers: chargen sends without end, discard reads without end, and another discard reads no more than 1 MB/s.' \
		'procmon watches all three, while one client after the other puts load on them.'
	predict burn 'chargen at full speed: who uses more processor time?' 'the server, which sends' \
		'the client, which checks every byte'
	say 'Then, three times, a server moves 1 MB/s and uses almost no processor time: because its reader is slow, because its' \
		'sender is slow, and because it is slow itself.'
	predict which 'By what does procmon tell the three from each other?' 'processor time' 'bytes each second' \
		'bytes in its queues'
	predict waiting 'In front of the slow discard, how many KiB wait in its receive queue?'

	beat run
	pin_to_one # so that both sides of a connection have the same processor, and what they use can be compared
	start_servers
	local drip='while sleep 0.1 && head -c 100000 /dev/zero; do :; done 2> /dev/null' to=127.0.0.1
	step chargen-fast "procmon -p 0 --until-exit --json -- ${PIN}chargen $to -p ${port[chargen]} --time $seconds > client.json"
	step slow-reader "timeout $seconds netcat-nonblocking --rcvbuf 64K --read-rate $slow $to ${port[chargen]} > /dev/null"
	step discard-fast "${PIN}discard $to -p ${port[discard]} --time $seconds"
	step slow-sender "$drip | timeout $seconds netcat-blocking $to ${port[discard]}"
	step slow-server "timeout $seconds discard $to -p ${port[slow]} --time 60"
	run "ask GET '/queues.svg?pid=${LAB_SERVER[chargen]}' > queues-with-marks.svg"
	stop monitor

	beat observe 'in each step, of the server: the median of its queues, the mean of the rest'
	observe
	draw_queues

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

# ask METHOD PATH: procmon's pages without a browser. In a lab line it looks like a command, as `on` does.
ask() {
	local fd line status
	exec {fd}<>"/dev/tcp/127.0.0.1/$MONITOR" || return
	printf '%s %s HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n' "$1" "$2" >&"$fd"
	read -r _ status _ <&"$fd"
	while read -r line <&"$fd" && [[ $line != $'\r' ]]; do :; done
	cat <&"$fd"
	exec {fd}>&-
	[[ $status == 2* ]]
}
export -f ask

start_servers() {
	serve chargen "${PIN}chargen -s -p 0 --sndbuf 256K"
	port[chargen]=$PORT
	serve discard "${PIN}discard -s -p 0"
	port[discard]=$PORT
	serve slow "discard -s -p 0 --rate $slow --rcvbuf 128K"
	port[slow]=$PORT
	local pids="${LAB_SERVER[chargen]},${LAB_SERVER[discard]},${LAB_SERVER[slow]}"
	serve monitor "procmon -p 0 -i 50ms --json $pids > monitor.json"
	export MONITOR=$PORT
}

# step NAME LOAD: a mark on all charts, a look at the server's sockets, and the load. WHY the look: procmon reads sockets for
# as long as somebody wants to see them, and that is for ten seconds after each look.
step() {
	run "ask POST '/mark?label=$1'"
	run "ask GET '/json?pid=${LAB_SERVER[${server[$1]}]}&with=sockets' > look-$1.json"
	try "$2" # timeout(1) says 124
}

# --- observe ---

declare -A cpu=() receive=() send=() rate=() # of the server, by step; bytes, and bytes a second

# What procmon has seen of each process, as "time_ns pid cpu_percent receive_queue_bytes send_queue_bytes tcp_in_Bps
# tcp_out_Bps sockets cpu_ns"; and its marks, as "time_ns mark NAME".
samples() {
	awk '
		function member(key) {
			if (!match($0, "\"" key "\":(\"[^\"]*\"|[-+0-9.e]+)"))
				return "-"
			return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
		}
		/"record":"mark"/ { print member("time_ns"), "mark", member("label") }
		/"record":"interval"/ {
			print member("time_ns"), member("pid"), member("cpu_percent"), member("receive_queue_bytes"),
				member("send_queue_bytes"), member("tcp_in_Bps"), member("tcp_out_Bps"), member("sockets"), member("cpu_ns")
		}' monitor.json | tr -d '"'
}

# values NAME COLUMN: of those samples of a step in which the connection was there. The other socket is the listener.
values() {
	awk -v name="$1" -v column="$2" -v pid="${LAB_SERVER[${server[$1]}]}" '
		$2 == "mark" { is_on = $3 == name; next }
		is_on && $2 == pid && $8 != "-" && $8 > 1 && $column != "-" { print $column }' samples.log
}

# The median: what waits for a moment, because the machine was busy elsewhere, does not count.
queue() {
	local bytes
	mapfile -t bytes < <(values "$@")
	median "${bytes[@]}"
}

mean() {
	values "$@" | awk '{ sum += $1 } END { if (NR > 0) printf "%.4g\n", sum / NR; else print "null" }'
}

# used NAME: the processor time of the server from the mark of that step to the next one, in ns: a sum, of which no sample is missing.
used() {
	awk -v name="$1" -v pid="${LAB_SERVER[${server[$1]}]}" '
		$2 == "mark" { is_on = $3 == name; next }
		$2 == pid && !is_on && !seen { before = $9 }
		$2 == pid && is_on { seen = 1; last = $9 }
		END { printf "%.0f", last - before }' samples.log
}

observe() {
	local name
	samples >samples.log
	say "$(printf '%12s %10s %14s %14s %12s   %s' '' processor 'receive queue' 'send queue' rate 'by the queues, slow is')"
	for name in "${steps[@]}"; do
		cpu[$name]=$(mean "$name" 3)
		receive[$name]=$(queue "$name" 4)
		send[$name]=$(queue "$name" 5)
		rate[$name]=$(calc "$(mean "$name" 6) + $(mean "$name" 7)")
		figure "cpu_percent_${name//-/_}" "${cpu[$name]}"
		figure "receive_queue_${name//-/_}" "${receive[$name]}" B
		figure "send_queue_${name//-/_}" "${send[$name]}" B
		figure "rate_${name//-/_}" "${rate[$name]}" B/s
		say "$(printf '%12s %8s %% %10s KiB %10s KiB %7s MB/s   %s' "$name" "$(calc "${cpu[$name]}" %.1f)" \
			"$(KiB "${receive[$name]}")" "$(KiB "${send[$name]}")" "$(calc "${rate[$name]} / 1e6" %.1f)" "$(who_is_slow "$name")")"
	done
	server_s=$(calc "$(used chargen-fast) / 1e9" %.3f)
	client_s=$(calc "$(field client.json cpu_ns) / 1e9" %.3f)
	figure chargen_server_cpu_s "$server_s" s
	figure chargen_client_cpu_s "$client_s" s
	say '' "chargen at full speed used $server_s s of a processor, its client $client_s s"
	measured burn "the server $server_s s, the client $client_s s"
	measured which 'c: bytes in its queues'
	measured waiting "$(KiB "${receive[slow-server]}") KiB"
}

KiB() {
	calc "$1 / 1024" %.0f
}

# who_is_slow STEP: bytes that wait to be acknowledged, wait for the peer; bytes that wait to be read, wait for the server. If
# none wait, then the server does. Who works at full speed is not waiting for anybody.
who_is_slow() {
	if [[ $1 == *-fast ]]; then
		echo '-'
	elif holds "${send[$1]} > $many"; then
		echo 'its reader'
	elif holds "${receive[$1]} > $many"; then
		echo 'the server'
	else
		echo 'its sender'
	fi
}

# A step ends where the next one begins. On this scale a queue of less than a KiB is one of a KiB.
draw_queues() {
	{
		echo 'seconds, chargen: send, discard: receive, slow discard: receive'
		awk -v a="${LAB_SERVER[chargen]}" -v b="${LAB_SERVER[discard]}" -v c="${LAB_SERVER[slow]}" '
			function KiB(bytes) {
				return bytes == "-" ? "-" : bytes < 1024 ? 1 : bytes / 1024
			}
			$2 == "mark" { if (!first) first = $1; next }
			!first { next }
			$2 == a { print ($1 - first) / 1e9 ", " KiB($5) ", -, -" }
			$2 == b { print ($1 - first) / 1e9 ", -, " KiB($4) ", -" }
			$2 == c { print ($1 - first) / 1e9 ", -, -, " KiB($4) }' samples.log
	} | draw queues 'Bytes that wait' seconds KiB --log-y
	say "The steps begin at $(begins) s." \
		'procmon draws such charts itself, with the marks; that of chargen is kept as queues-with-marks.svg.'
}

begins() {
	awk '$2 == "mark" { if (!first) first = $1; printf "%s%.1f", comma, ($1 - first) / 1e9; comma = ", " }' samples.log
}

# --- explain ---

explain() {
	say 'The processor time tells how much a server works, not why it does not. Three servers that wait look the same: one waits' \
		'until its reader has taken something, one until its sender has sent something, and one for its own clock. The bytes know' \
		'better, because they lie in front of whoever is slow:' \
		'    server --- send queue ---> network --- receive queue of the client ---> client' \
		'    client --- its send queue ---> network --- receive queue of the server ---> server' \
		'A full send queue is the reader (or the network); a full receive queue is the server itself; two empty ones are the' \
		'sender. In a long chain the slow one has a full queue in front of it and an empty one behind it.' \
		'' \
		"At full speed, too, a queue is in front of whoever is slower: here $(KiB "${send[chargen-fast]}") KiB waited for the client" \
		"of chargen, and $(KiB "${receive[discard-fast]}") KiB for discard." \
		'' \
		'In the source: procmon finds the sockets of a process by their inodes, sockets_read() in tools/procmon/sockets.c, and' \
		'asks the kernel for their queues, sockdiag_dump() in common/sockdiag.c. Read on: sock_diag(7), tcp(7), RFC 9293 3.8.6.'
}

# --- verdict ---

judge() {
	local name most least
	local -a rates=("${rate[slow-reader]}" "${rate[slow-sender]}" "${rate[slow-server]}")
	claim 'all five marks stand where the charts take them from' "$(grep -c '"record":"mark"' monitor.json) == ${#steps[@]}"
	claim 'to check every byte costs the client at least 0.6 times what it costs chargen to send them' "$client_s > 0.6 * $server_s"
	claim 'slow-reader: chargen uses less than a third of the processor time that it uses at full speed' \
		"${cpu[slow-reader]} < ${cpu[chargen-fast]} / 3"
	for name in slow-sender slow-server; do
		claim "$name: discard uses less than a third of the processor time that it uses at full speed" \
			"${cpu[$name]} < ${cpu[discard-fast]} / 3"
	done
	most=$(printf '%s\n' "${rates[@]}" | sort -g | tail -n 1)
	least=$(printf '%s\n' "${rates[@]}" | sort -g | head -n 1)
	claim 'the rates of these three are within a factor of 4: they do not tell, either' "$least > 0 && $most < 4 * $least"
	judge_queues slow-reader 'its reader' "${send[slow-reader]} > $many && ${receive[slow-reader]} < $many"
	judge_queues slow-sender 'its sender' "${send[slow-sender]} < $many && ${receive[slow-sender]} < $many"
	judge_queues slow-server 'the server' "${send[slow-server]} < $many && ${receive[slow-server]} > $many"
}

# judge_queues STEP WHO CONDITION
judge_queues() {
	claim "$1: the queues say that $2 is slow" "$3"
}

main "$@"
