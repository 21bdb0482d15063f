#!/usr/bin/env bash
# 01-bandwidth - how fast is TCP here, and who decides? Each copy of the data has its price.
#
# tier: any
# summary: How fast TCP can go on this machine, what each copy of the data costs, and why gigabit ends at 118 MB/s.
# alone: rates on one processor are compared
# hosts: ttcp

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

rounds=5
blocks=2048 # of 64 KiB, for each transfer
network='over loopback'
bind=' --bind 127.0.0.1'
where='with all programs on one processor'

main() {
	lab_start "$@"
	need ttcp dd
	[[ -z $HOSTS ]] || network='from host a to host b' bind='' where='on host a'

	beat predict
	say "ttcp sends from its own memory, $network. Then dd makes the bytes, and ttcp gets them through a pipe:" \
		'    ttcp -t HOST --mode raw' \
		'    dd if=/dev/zero | ttcp -t HOST --mode raw --file -'
	predict pipe 'The first is 100 %. How many percent of its rate does the second reach?'
	predict gigabit 'Gigabit Ethernet moves 125 MB/s. How many MB/s of a file, at best, by TCP in packets of 1500 bytes?'

	beat run 'who decides the rate?'
	serve peer "${ON_B}ttcp -r$bind -p 0"
	run_bottleneck "$PORT"
	beat run "copies, $where"
	pin_to_one
	serve sink "$ON_B${PIN}ttcp -r$bind -p 0 --mode raw --json > sink.json"
	run_copies "$PORT"
	if [[ -z $HOSTS ]]; then
		beat run 'a file, cold and cached'
		run_file "$PORT"
	fi

	beat observe
	observe_rates
	observe_headers

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- run ---

run_bottleneck() {
	local to="${ON_A}ttcp -t $B -p $1 --mode stream --time 0.5"
	measure default "$to"
	limited default
	[[ -z $HOSTS ]] || choose_blocks
	measure two-streams "$to -P 2"
	limited two-streams
	if ($ON_A grep -qw reno /proc/sys/net/ipv4/tcp_allowed_congestion_control); then
		measure reno "$to --congestion reno"
		limited reno
	else
		say 'left out: --congestion reno, which tcp_allowed_congestion_control refuses here'
	fi
}

# Between hosts: what takes about half a second.
choose_blocks() {
	blocks=$(calc "$(field default.json rate_Bps) * 0.5 / 65536" %.0f)
	blocks=$((blocks < 16 ? 16 : blocks > 2048 ? 2048 : blocks / 16 * 16))
}

limited() {
	local time sender receiver
	time=$(field "$1.json" elapsed_ns)
	sender=$(calc "100 * ($(field "$1.json" cpu_user_ns) + $(field "$1.json" cpu_sys_ns)) / $time" %.0f)
	receiver=$(calc "100 * ($(field "$1.json" remote_cpu_user_ns) + $(field "$1.json" remote_cpu_sys_ns)) / $time" %.0f)
	say "    $(MBps "$(field "$1.json" rate_Bps)") MB/s with $(field "$1.json" congestion), limited by $(field "$1.json" \
		limited_by); processor: sender $sender %, receiver $receiver %"
}

# The two take turns, so that whatever else the machine does touches both.
run_copies() {
	local to="${PIN}ttcp -t $B -p $1 --mode raw" from="${PIN}dd if=/dev/zero bs=64K count=$blocks status=none" round
	local pipe="$from | $to --file -"
	[[ -z $HOSTS ]] || pipe="on a sh -c '$from | \"\$@\"' - $to --file -"
	for ((round = 1; round <= rounds; round++)); do
		measure "memory-$round" "$ON_A$to --bytes $((blocks / 16))M"
		note memory
		[[ -n $HOSTS ]] || shares+=("$(share "memory-$round.json")")
		measure "pipe-$round" "$pipe"
		note pipe
	done
	[[ -z $HOSTS ]] || return
	if nc -h 2>&1 | grep -q OpenBSD; then
		run "$from | ${PIN}nc -N 127.0.0.1 $1"
		note nc
	else
		say 'left out: nc, because OpenBSD netcat (Debian: netcat-openbsd) is not installed'
	fi
}

# Not zeros: some file systems store those without storing them.
run_file() {
	local to="${PIN}ttcp -t 127.0.0.1 -p $1 --mode raw --file big"
	if [[ $(df -Pk . | awk 'NR == 2 { print $4 }') -lt 524288 ]]; then
		say "left out: less than 512 MiB are free in ${TMPDIR:-/tmp}"
		return
	fi
	run 'dd if=/dev/urandom of=big bs=1M count=128 conv=fdatasync status=none'
	if [[ $(stat -f -c %T .) == tmpfs ]]; then
		say "left out: the cold file, because ${TMPDIR:-/tmp} is memory (tmpfs) and has no disk to be cold on"
	else
		say '(a copy of nothing that only tells the kernel to forget the pages of the file: posix_fadvise(2), DONTNEED)'
		run 'dd of=big oflag=nocache conv=notrunc,fdatasync count=0 status=none'
		measure cold "$to"
		note cold
	fi
	measure cached "$to"
	note cached
	measure sendfile "$to --sendfile"
	note sendfile
}

# --- observe ---

declare -A rates=()
transfers=0
counted=0

# One receiver counts for all senders, nc among them: its last record is about the transfer that has just ended.
note() {
	local rate tries
	for ((tries = 0; tries < 500; tries++)); do # what another host says is on its way
		(($(grep -c '"record":"connection"' sink.json) <= transfers)) || break
		sleep 0.02
	done
	rate=$(field sink.json rate_Bps connection)
	rates[$1]+=" $rate"
	transfers=$((transfers + 1))
	counted=$((counted + $(field sink.json bytes connection)))
	say "    $(MBps "$rate") MB/s"
}

# share FILE: how much of the one processor sender and receiver of the last transfer had. Together they want all of it.
shares=()

share() {
	local file used=0
	for file in "$1 total" 'sink.json connection'; do
		used+=" + $(field "${file% *}" cpu_user_ns "${file#* }") + $(field "${file% *}" cpu_sys_ns "${file#* }")"
	done
	calc "($used) / $(field "$1" elapsed_ns)" %.2f
}

MBps() {
	local rate
	rate=$(calc "$1 / 1e6" %.6f)
	if holds "$rate < 100"; then
		calc "$rate" %.3g
	else
		calc "$rate" %.0f
	fi
}

observe_rates() {
	say "$(printf '%-40s %s' 'from where the bytes come' 'copies    MB/s')"
	row memory 2 'own memory: send, recv'
	row sendfile 1 'cached file, sendfile: recv'
	row cached 3 'cached file: read, send, recv'
	row cold 3 'cold file: the disk first, then the same'
	row pipe 4 'dd | ttcp: write, read, send, recv'
	row nc 4 'dd | nc: the same, another program'
	local name
	for name in default two-streams reno; do
		[[ ! -e $name.json ]] || figure "stream_${name//-/_}_Bps" "$(field "$name.json" rate_Bps)" B/s
	done
	percent=$(calc "100 * $(rate pipe) / $(rate memory)" %.3g)
	figure pipe_percent "$percent" %
	measured pipe "$percent %"
	cold_was_slower
}

# rate NAME: the median of what was noted; null when nothing was.
rate() {
	local values
	read -ra values <<<"${rates[$1]:-null}"
	median "${values[@]}"
}

row() {
	[[ -n ${rates[$1]:-} ]] || return 0
	figure "$1_Bps" "$(rate "$1")" B/s
	say "$(printf '%-40s %4d %8s' "$3" "$2" "$(MBps "$(rate "$1")")")"
}

cold_was_slower() {
	[[ -n ${rates[cold]:-} ]] || return 0
	if holds "$(rate cold) < 0.8 * $(rate cached)"; then
		say "Cold is $(calc "$(rate cached) / $(rate cold)" %.1f) times slower than cached: the disk decides."
	else
		say 'Cold was not slower than cached. On a virtual machine the host may have kept the file in its own memory.'
	fi
}

# What a packet carries: what fits into it, less the IP and the TCP header, less the timestamps that Linux puts in.
observe_headers() {
	gigabit=$(calc '125 * (1500 - 20 - 20 - 12) / (8 + 14 + 1500 + 4 + 12)' %.1f)
	figure gigabit_MBps "$gigabit" MB/s
	figure transfers "$transfers" 1
	figure received_bytes "$counted" B
	say 'A packet on Ethernet carries 1500 - 20 (IP) - 20 (TCP) - 12 (timestamps) = 1448 bytes of the file, and' \
		'takes the time of 8 (preamble) + 14 (header) + 1500 + 4 (checksum) + 12 (gap) = 1538 bytes:' \
		"125 MB/s x 1448 / 1538 = $gigabit MB/s."
	measured gigabit "$gigabit MB/s"
}

# --- explain ---

explain() {
	[[ -z $HOSTS ]] || { explain_hosts && return; }
	say 'On loopback there is no wire: what takes the time is the processor, and most of its work is copying. From' \
		'its own memory each byte is copied twice, by send into the kernel and by recv out of it. The pipe adds two:' \
		'dd writes into it, ttcp reads out of it. And /dev/zero is a fifth pass, which clears the buffer of dd again' \
		"and again. Counting promises 2/4 or 2/5 of the rate; measured were $percent %. A pipe holds 64 KiB, then one" \
		'program must stop and the other run: that costs too. The fix is not a faster pipe but none: let the sender' \
		'read the file. sendfile saves a copy more and is not always faster: it pays for each page instead.' \
		"On gigabit none of this shows: its 118 MB/s are a small part of the $(MBps "$(rate pipe)") of the pipe." \
		'' \
		'In the source: prepare_raw() and send_prepared() in tools/ttcp/send.c are the sender, verdict() in' \
		'tools/ttcp/verdict.c says "limited by". Headers: RFC 9293 3.1, RFC 7323 3.2, IEEE 802.3 3.1.1.'
	[[ $(field default.json congestion) != bbr* || ! -e reno.json ]] || explain_bbr
}

explain_hosts() {
	local limit
	limit=$(field default.json limited_by)
	say "The bytes of dd are copied four times on their way, those from own memory twice. Between these hosts the second way" \
		"reached $percent % of the first: ttcp says that the limit is: $limit. Where that is the network, copies cost processor" \
		'time and no rate. On loopback (run this lab without --hosts) they cost the rate.' \
		"The same arithmetic as above gives what any link leaves for a file: $(calc "100 * $gigabit / 125" %.1f) % in packets of 1500 bytes." \
		'' \
		'In the source: prepare_raw() and send_prepared() in tools/ttcp/send.c are the sender, verdict() in' \
		'tools/ttcp/verdict.c says "limited by". Headers: RFC 9293 3.1, RFC 7323 3.2, IEEE 802.3 3.1.1.'
}

explain_bbr() {
	local bbr reno
	bbr=$(MBps "$(field default.json rate_Bps)")
	reno=$(MBps "$(field reno.json rate_Bps)")
	say "The default congestion control here is bbr, which gives each packet its time, even on loopback: $bbr MB/s. With" \
		"reno, which does not, it was $reno MB/s."
}

# --- verdict ---

judge() {
	local had
	had=$(median "${shares[@]}")
	if [[ -n $HOSTS ]]; then
		claim 'the way through a pipe is not much faster than own memory' "$(rate pipe) <= 1.5 * $(rate memory)"
	elif holds "$had < 0.35"; then
		# WHY: others share the processor by heads, and the pipe has three programs against two.
		say "left out: which way is faster, because others had the processor: the transfers got $(calc "100 * $had" %.0f) % of it"
	else
		claim 'own memory is faster than the way through a pipe' "$(rate memory) > $(rate pipe)"
	fi
	claim "the receiver counted every byte of the $transfers transfers" "$counted == $transfers * $blocks * 65536"
	claim 'the headers leave 117.7 of the 125 MB/s of gigabit' "$gigabit == 117.7"
}

main "$@"
