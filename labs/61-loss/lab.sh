#!/usr/bin/env bash
# 61-loss - one packet in a hundred lost: what reno, cubic and bbr make of it.
#
# tier: em
# summary: Goodput over loss for reno, cubic and bbr: the square-root law, and one that does not follow it.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

losses=(0 0.3 1 3) # per cent
link_Bps=6.25e6        # 50 Mbit/s
rtt_s=0.05
transfer='on a ttcp -4 -t b -p 5001 --mode stream --length 16K --write 16K --omit 1 --time 2.5 --congestion CC --json'
path='--rtt 50ms --rate 50mbit --a2b queue=8M --seed 1' # a queue that nobody fills: what is lost is lost at random
mss=1448               # of 1500: 20 bytes of IPv4, 20 of TCP, 12 of the timestamps

main() {
	lab_start "$@"
	need ttcp

	beat predict
	say 'A link of 50 Mbit/s with a round trip of 50 ms. From a to b it loses packets at random, and not because it is full.'
	predict share 'One packet in 100 is lost. How many per cent of the link does one connection with cubic still use?'
	predict quarter 'With reno: four times the loss gives which part of the goodput?' \
		'a quarter' 'a half' 'almost the same'

	beat run
	make_testbeds
	# What lies in the send buffer at the end has to go out, too, and at these rates a megabyte would take seconds.
	run "each 'echo 16384 | on a tee /proc/sys/net/ipv4/tcp_notsent_lowat >/dev/null'"
	local p
	for p in "${losses[@]}"; do
		run "each 'link a2b loss=$p%'"
		run "each '$transfer > CC-$p.json'"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# A testbed for each, so that all are measured at the same time and no two share a link. Reno has the lab's own.
make_testbeds() {
	local cc
	testbed "$path"
	choose_algorithms
	for cc in $ALGORITHMS; do
		[[ $cc == reno ]] || run "linkem --background --name $TCPLAB_NET-$cc $path --while $$"
		serve "$cc" "on --name $(net_of "$cc") b ttcp -r -4 -p 5001" # the hosts are ours: there the port is free
	done
}

# bbr and cubic may be modules that nobody has loaded, and on the hosts nobody can.
choose_algorithms() {
	local cc
	ALGORITHMS=reno
	for cc in cubic bbr; do
		if on a grep -qw $cc /proc/sys/net/ipv4/tcp_available_congestion_control; then
			ALGORITHMS+=" $cc"
		else
			say "left out: $cc, because this kernel does not have it now (as root: modprobe tcp_$cc)"
		fi
	done
	export ALGORITHMS
}

net_of() {
	[[ $1 == reno ]] && echo "$TCPLAB_NET" || echo "$TCPLAB_NET-$1"
}

# each LINE, in a lab line: LINE in every testbed at once, with CC for the name of its algorithm.
each() {
	local cc pid pids=() status=0
	for cc in $ALGORITHMS; do
		(
			export TCPLAB_NET
			TCPLAB_NET=$(net_of "$cc")
			eval "${1//CC/$cc}"
		) &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=$?
	done
	return $status
}
export -f each net_of

has() {
	[[ " $ALGORITHMS " == *" $1 "* ]]
}

# --- observe ---

declare -A rate=() # B/s of payload, by algorithm and loss: "reno 0.1"
declare -A model=() # by loss

observe() {
	local cc p cells
	for p in "${losses[@]}"; do
		[[ $p == 0 ]] || model[$p]=$(calc "sqrt(1.5) * $mss / ($rtt_s * sqrt($p / 100))")
		for cc in $ALGORITHMS; do
			rate[$cc $p]=$(field "$cc-$p.json" rate_Bps)
			figure "${cc}_${p}_Bps" "${rate[$cc $p]}" B/s
		done
	done
	cells=$(printf '%8s' loss)
	for cc in $ALGORITHMS; do
		cells+=$(printf '%9s' "$cc")
	done
	say 'Mbit/s of payload:' "$cells   the law"
	for p in "${losses[@]}"; do
		cells=$(printf '%6s %%' "$p")
		for cc in $ALGORITHMS; do
			cells+=$(printf '%9s' "$(Mbit "${rate[$cc $p]}")")
		done
		[[ $p == 0 ]] || cells+=$(printf '%9s' "$(Mbit "${model[$p]}")")
		say "$cells"
	done
	curve
	has cubic && measured share "$(calc "100 * ${rate[cubic 1]} / $link_Bps" %.0f) %"
	measured quarter "a half by the law; from 0.3 to 1 % (3.3 times) it was $(calc "${rate[reno 1]} / ${rate[reno 0.3]}" %.2f)"
}

Mbit() {
	calc "$1 * 8 / 1e6" %.1f
}

curve() {
	local cc p
	{
		echo "loss $ALGORITHMS law"
		for p in "${losses[@]:1}"; do
			printf '%s' "$p"
			for cc in $ALGORITHMS; do
				printf ' %s' "$(Mbit "${rate[$cc $p]}")"
			done
			echo " $(Mbit "${model[$p]}")"
		done
	} | draw loss 'Goodput over loss, RTT 50 ms, link 50 Mbit/s' 'loss, %' 'Mbit/s' --log-x --log-y --dashed law
}

# --- explain ---

explain() {
	say 'Reno halves its window at each loss and adds one segment in each round trip. Between two losses it therefore goes' \
		'up and down between W/2 and W, and sends 3/8 W^2 segments: that are 1/p. So W = sqrt(8/(3p)), and three quarters of it' \
		'each round trip are' \
		'    rate = 1.22 MSS / (RTT sqrt(p))' \
		'The rate of the link is not in it: ten times the bandwidth changes nothing, half the round trip doubles it. Cubic takes' \
		'back 30 %, not half, and grows with time, not with round trips; at such small windows that brings little.'
	has bbr && say 'Bbr does not take a loss for a full queue. It measures how fast packets arrive and how long the path is, and' \
		'paces by that. Where losses are noise (radio), that is the cure. Where they are the only sign of a full queue, it' \
		'takes the room of those who heed them: whether it is a fix depends on who else is on the link.'
	say '' 'In the source: is_lost() in tools/linkem/lane.c is the link, set_congestion() in common/sock.c the choice. Read on:' \
		'M. Mathis et al., The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm (1997); RFC 5681, RFC 9438.'
}

# --- verdict ---

judge() {
	local cc p
	for cc in $ALGORITHMS; do
		claim "no loss: $cc uses at least 60 % of the link" "${rate[$cc 0]} >= 0.6 * $link_Bps"
	done
	for p in "${losses[@]:1}"; do
		claim "reno at $p %: the law is right within a factor of 2.5" \
			"${rate[reno $p]} < 2.5 * ${model[$p]} && ${model[$p]} < 2.5 * ${rate[reno $p]}"
	done
	claim 'reno: 1 % loss costs at least two thirds of the goodput' "3 * ${rate[reno 1]} <= ${rate[reno 0]}"
	has cubic && claim 'cubic at 1 %: less than a fifth of the link' "5 * ${rate[cubic 1]} < $link_Bps"
	if has bbr; then
		claim 'bbr at 1 %: at least 4 times the goodput of reno' "${rate[bbr 1]} >= 4 * ${rate[reno 1]}"
		has cubic && claim 'and of cubic' "${rate[bbr 1]} >= 4 * ${rate[cubic 1]}"
		claim 'bbr at 1 %: still at least half of the link' "${rate[bbr 1]} >= 0.5 * $link_Bps"
	fi
}

main "$@"
