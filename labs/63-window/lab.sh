#!/usr/bin/env bash
# 63-window - a window of data for each round trip: the bandwidth-delay product, and a buffer that is smaller.
#
# tier: em
# summary: Rate over window on a long fat path: window / RTT up to the bandwidth-delay product, then flat.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

buffers=(16K 32K 64K 128K 256K 512K 1M)
link_Bps=12.5e6 # 100 Mbit/s
rtt_s=0.04

main() {
	lab_start "$@"
	need ttcp

	beat predict
	say 'A link of 100 Mbit/s with a round trip of 40 ms, no losses, nobody else on it. The receiver announces a window: so much' \
		'may be under way that it has not yet acknowledged.'
	predict small 'The window is 64 KiB. How many Mbit/s of the 100?'
	predict enough 'From how many KiB of window on does the link become full?'
	predict none 'A program sets no buffer at all. What does it get?' \
		'the same as with 64 KiB' 'some tens of Mbit/s' 'the whole link'

	beat run
	# A deep queue: no packet is lost, and what is more than fits on the way has to stand somewhere.
	testbed --rtt 40ms --rate 100mbit --a2b queue=4M
	pin_buffers
	local size
	for size in "${buffers[@]}" none; do
		receiver "$size"
		transfer "$size"
		[[ $size == none ]] || stop "with-$size"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# As Linux had it for years: newer kernels have more, and on some machines somebody has tuned it.
pin_buffers() {
	run "echo '4096 131072 6291456' | on b tee /proc/sys/net/ipv4/tcp_rmem"
	run "echo '4096 16384 4194304' | on a tee /proc/sys/net/ipv4/tcp_wmem"
}

# A listener with this receive buffer; its connections inherit it. SO_RCVBUF takes no more than rmem_max, without a word.
# Beyond that the host itself has to give it: as the default from which autotuning cannot move. The kernel doubles what
# SO_RCVBUF asks for, but not this.
receiver() {
	local most bytes
	most=$(cat /proc/sys/net/core/rmem_max 2>/dev/null)
	bytes=$(in_bytes "$1")
	if ((bytes <= ${most:-0})); then
		serve "with-$1" "on b ttcp -r -4 -p 5001${bytes:+ --rcvbuf $1}"
	else
		run "echo '4096 $((2 * bytes)) $((2 * bytes))' | on b tee /proc/sys/net/ipv4/tcp_rmem"
		serve "with-$1" 'on b ttcp -r -4 -p 5001'
		run "echo '4096 131072 6291456' | on b tee /proc/sys/net/ipv4/tcp_rmem"
	fi
}

in_bytes() {
	case $1 in
	*K) echo $((${1%K} * 1024)) ;;
	*M) echo $((${1%M} * 1048576)) ;;
	esac
}

# What comes before the end of slow start is not counted.
transfer() {
	measure "$1" 'on a ttcp -4 -t b -p 5001 --mode stream --write 64K --omit 0.6 --time 0.8 -i 0.1 --congestion reno'
}

# --- observe ---

declare -A rate=() window=() model=() rtt=() limit=()

observe() {
	local name
	for name in "${buffers[@]}" none; do
		rate[$name]=$(field "$name.json" rate_Bps)
		rtt[$name]=$(field "$name.json" rtt_ns)
		limit[$name]=$(field "$name.json" limited_by)
		window[$name]=$(largest_window "$name")
		model[$name]=$(calc "${window[$name]} / $rtt_s")
		holds "${model[$name]} <= $link_Bps" || model[$name]=$link_Bps
		figure "rate_${name}_Bps" "${rate[$name]}" B/s
		figure "window_$name" "${window[$name]}" B
	done
	show_table
	curve
	measured small "13 by the model; SO_RCVBUF 64K announced $(KiB "${window[64K]}") KiB and gave $(Mbit "${rate[64K]}")"
	local text
	text="$(KiB "${window[256K]}") KiB gave $(Mbit "${rate[256K]}") and $(KiB "${window[512K]}") KiB $(Mbit "${rate[512K]}") Mbit/s"
	measured enough "$(calc "$link_Bps * $rtt_s / 1024" %.0f) by the model; $text"
	measured none "the whole link: $(Mbit "${rate[none]}") Mbit/s"
}

# What the receiver announced, as the sender's TCP_INFO has it: the kernel doubles what SO_RCVBUF asks for, and announces only
# a part of that.
largest_window() {
	awk 'match($0, /"window_bytes":[0-9]+/) { w = substr($0, RSTART + 15, RLENGTH - 15) + 0; if (w > most) most = w }
		END { print most ? most : "null" }' "$1.json"
}

show_table() {
	local name
	say "$(printf '%10s %12s %14s %19s %11s   %s' SO_RCVBUF window rate 'window/RTT or link' 'RTT seen' 'ttcp: limited by')"
	for name in "${buffers[@]}" none; do
		say "$(printf '%10s %8s KiB %7s Mbit/s %12s Mbit/s %8s ms   %s' "$name" "$(KiB "${window[$name]}")" \
			"$(Mbit "${rate[$name]}")" "$(Mbit "${model[$name]}")" "$(calc "${rtt[$name]} / 1e6" %.1f)" "${limit[$name]}")"
	done
}

KiB() {
	calc "$1 / 1024" %.0f
}

Mbit() {
	calc "$1 * 8 / 1e6" %.1f
}

curve() {
	local name
	{
		echo 'window, measured, min(window/RTT; link)'
		for name in "${buffers[@]}"; do
			echo "${window[$name]}, $(Mbit "${rate[$name]}"), $(Mbit "${model[$name]}")"
		done
	} | draw window 'Rate over window: RTT 40 ms, link 100 Mbit/s' 'window announced, bytes' 'Mbit/s' \
		--log-x --log-y --x-size --dashed 'min(window/RTT; link)'
}

# --- explain ---

explain() {
	say 'The sender may have one window under way. Then it waits, until the first byte of it is acknowledged, and that is a round' \
		'trip after it was sent:   rate = window / RTT. The link is full when the window is what fits into a round trip,' \
		'    100 Mbit/s x 40 ms = 500 000 bytes = 488 KiB: the bandwidth-delay product.' \
		'A faster link does not make a connection with a small window faster by a single byte; a shorter path does. And more' \
		'window than the product gives nothing either: it stands in the queue before the bottleneck, the RTT grows with it, and' \
		'rate = window / RTT is as true as before.' \
		'' \
		'Whoever sets SO_RCVBUF switches autotuning off. Without it the kernel measures how much the reader takes in a round trip,' \
		'and gives the double (up to tcp_rmem[2]). So: set nothing, or at least two times the product; the room is also for' \
		'what comes after a lost packet.' \
		'' \
		'In the source: sock_set() in common/sock.c sets the buffer before the connection exists, because the window scale is agreed' \
		'in the SYN; is_receive_window() in tools/ttcp/verdict.c. Read on: RFC 7323 1.1 and 2, RFC 9293 3.8.6, tcp(7) tcp_rmem.'
}

# --- verdict ---

judge() {
	local name
	for name in 16K 32K 64K 128K; do
		claim "SO_RCVBUF $name: the rate is window / RTT within 30 %" \
			"${rate[$name]} >= 0.7 * ${model[$name]} && ${rate[$name]} <= 1.3 * ${model[$name]}"
		claim '  and ttcp finds the receive window' "$(is "${limit[$name]}" receive_window)"
	done
	claim 'twice the window, twice the rate: 128K gives 3 to 5 times what 32K gives' \
		"${rate[128K]} >= 3 * ${rate[32K]} && ${rate[128K]} <= 5 * ${rate[32K]}"
	claim 'broken: with SO_RCVBUF 64K at most a fifth of the link is used' "${rate[64K]} <= 0.2 * $link_Bps"
	for name in 1M none; do
		claim "fixed: with $name the window is larger than the bandwidth-delay product" "${window[$name]} > $link_Bps * $rtt_s"
		claim '  and at least 80 % of the link are used' "${rate[$name]} >= 0.8 * $link_Bps"
	done
	# WHY not 512K: it is so little more than the product that a moment without processor shows in its rate.
	claim 'well beyond the product more window gives no rate, but a longer round trip: none against 1M' \
		"${rate[none]} <= 1.1 * ${rate[1M]} && ${rtt[none]} >= 1.5 * ${rtt[1M]}"
	for name in 512K 1M; do
		claim "$name: with the RTT that was measured, the rate is window / RTT within 30 %, on the full link, too" \
			"1e-9 * ${rate[$name]} * ${rtt[$name]} >= 0.7 * ${window[$name]} &&
			1e-9 * ${rate[$name]} * ${rtt[$name]} <= 1.3 * ${window[$name]}"
	done
}

# A condition for claim: the two words are the same.
is() {
	[[ $1 == "$2" ]] && echo '(1 == 1)' || echo '(0 == 1)'
}

main "$@"
