#!/usr/bin/env bash
# 18-corruption - TCP promises all bytes, in order, once. That they are the ones that were sent it does not promise.
#
# tier: em
# summary: A flipped bit and two exchanged words: what TCP's checksum catches, what it cannot, and who has to.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

shares=(0.3 1 3) # per cent of the packets
length=4194304
send='on a ttcp -4 -t b -p 5001 --mode stream --length 1M --bytes 4M --verify --seed 1 --timeout 3 --congestion reno --json'

main() {
	lab_start "$@"
	need ttcp netcat-nonblocking sha256sum cmp

	beat predict
	say 'A link with a bad memory chip. In one packet out of a hundred it either flips one bit of the payload, or exchanges two' \
		'words of 16 bits. 4 MiB are sent over TCP, and every byte is compared with what was sent.'
	predict flipped 'Bits are flipped: does the receiving program get a wrong byte?' 'yes' 'no'
	predict swapped 'Words are exchanged: does it?' 'yes' 'no'
	predict notice 'And if a wrong byte arrives: who notices first?' \
		'the kernel of the receiver' 'the kernel of the sender' 'only a program that checks'

	beat run
	# A queue that holds everything: no packet is lost here but the ones that TCP discards itself.
	testbed --rtt 4ms --rate 50mbit --a2b queue=8M
	serve sink 'on b ttcp -r -4 -p 5001 --timeout 3' # the hosts are ours: there the port is free
	transfer clean ''
	local p
	for p in "${shares[@]}"; do
		transfer "flipped-$p" "corrupt=$p%"
	done
	for p in "${shares[@]}"; do
		transfer "swapped-$p" "swap=$p%"
	done
	run 'head -c 1M /dev/urandom > sent'
	send_file hurt swap=2%
	send_file well swap=0

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

declare -A outcome=() # exit status of ttcp, by name

# transfer NAME SPEC: the link is healthy again before we count, so that nothing happens between one look and the next. The
# exchanged words may also be those of one of ttcp's own headers; then it ends with status 1, and we take other luck.
transfer() {
	local seed
	for seed in 1 2 3 4; do
		[[ -z $2 ]] || run "link a2b seed=$seed $2"
		try "$send > $1.json"
		outcome[$1]=$STATUS
		((STATUS == 1)) || break
	done
	run 'link a2b corrupt=0 swap=0'
	run "linkem stat --json > $1-link.json; on a cat /proc/net/snmp > $1-a.log; on b cat /proc/net/snmp > $1-b.log"
}

# send_file NAME SPEC: as people do it.
send_file() {
	run "link a2b $2"
	serve "$1" "on b netcat-nonblocking -v -4 -l -p 5002 > got-$1"
	run "on a netcat-nonblocking -4 b 5002 < sent"
	join "$1"
	outcome[$1]=$STATUS
	run "linkem stat --json > $1-link.json; sha256sum sent got-$1; (cmp -l sent got-$1 || :) | wc -l > $1-wrong.log"
}

# --- observe ---

declare -A rate=() altered=() caught=() resent=() # by name; the last three: in this transfer alone

observe() {
	local p kind before=clean name
	look clean ''
	for kind in flipped swapped; do
		for p in "${shares[@]}"; do
			look "$kind-$p" "$before"
			before=$kind-$p
		done
	done
	show_table
	curve
	wrong=$(<hurt-wrong.log)
	exchanged=$(($(field hurt-link.json swapped) - $(field swapped-3-link.json swapped)))
	say '' "The file: $exchanged of its packets were hit, $wrong bytes are wrong, and netcat received it with status ${outcome[hurt]}."
	measured flipped "no: $(sum caught flipped) segments were discarded, and every byte is right"
	measured swapped "yes, the first at offset $(field swapped-1.json bad_offset)"
	measured notice "only a program that checks: $(sum altered swapped) packets changed, $(sum caught swapped) checksum errors"
}

show_table() {
	local name line='%14s %11s %15s %10s %13s   %s'
	# shellcheck disable=SC2059 # the format is ours
	say "$(printf "$line" '' 'changed by' 'discarded for' 'sent' goodput 'ttcp --verify')" \
		"$(printf "$line" '' 'the link' 'a bad checksum' again '' '')"
	for name in clean flipped-{0.3,1,3} swapped-{0.3,1,3}; do
		# shellcheck disable=SC2059
		say "$(printf "$line" "$(title "$name")" "${altered[$name]}" "${caught[$name]}" "${resent[$name]}" \
			"$(Mbit "${rate[$name]}") Mbit/s" "$(fate "$name")")"
	done
}

title() {
	[[ $1 == clean ]] && echo clean || echo "${1/-/ } %"
}

# look NAME BEFORE: what this transfer added to the counters.
look() {
	rate[$1]=$(field "$1.json" rate_Bps)
	altered[$1]=$(more "$(changed "$1")" "$(changed "$2")")
	caught[$1]=$(more "$(tcp_counter "$1-b.log" InCsumErrors)" "$(tcp_counter "$2-b.log" InCsumErrors)")
	resent[$1]=$(more "$(tcp_counter "$1-a.log" RetransSegs)" "$(tcp_counter "$2-a.log" RetransSegs)")
	figure "${1}_changed" "${altered[$1]}"
	figure "${1}_checksum_errors" "${caught[$1]}"
	figure "${1}_retransmitted" "${resent[$1]}"
	figure "${1}_Bps" "${rate[$1]}" B/s
}

more() {
	calc "${1:-null} - ${2:-0}" %.0f
}

changed() {
	[[ -z $1 ]] || calc "$(field "$1-link.json" corrupted) + $(field "$1-link.json" swapped)" %.0f
}

# The kernel's counters: a line of names, and below it one of numbers.
tcp_counter() {
	[[ ! -e $1 ]] || awk -v name="$2" '$1 == "Tcp:" {
		if (!found) { for (i = 2; i <= NF; i++) if ($i == name) found = i }
		else print $found
	}' "$1"
}

fate() {
	if [[ $(field "$1.json" verified) == true ]]; then
		echo 'every byte is right'
	else
		echo "status ${outcome[$1]}: wrong at offset $(field "$1.json" bad_offset)"
	fi
}

Mbit() {
	calc "$1 * 8 / 1e6" %.1f
}

# sum COUNTER KIND: over all shares.
sum() {
	local -n counter=$1
	calc "${counter[$2-0.3]} + ${counter[$2-1]} + ${counter[$2-3]}" %.0f
}

curve() {
	local p
	{
		echo 'share, a bit flipped: discarded and sent again, words exchanged: nobody notices'
		for p in "${shares[@]}"; do
			echo "$p, $(Mbit "${rate[flipped-$p]}"), $(Mbit "${rate[swapped-$p]}")"
		done
	} | draw corruption 'What each kind of error costs' 'packets changed, %' 'Mbit/s' --log-x
}

# --- explain ---

explain() {
	say "TCP's checksum is the sum of all 16-bit words of header and payload (ones' complement, RFC 1071). One flipped bit changes" \
		'the sum: the receiver discards the segment without a word, and for the sender it is lost like any other. It comes' \
		'again, and only the goodput shows it. A sum does not depend on the order of what it adds: exchange two words, and it' \
		'is the same. The segment is acknowledged, nothing is sent again, the rate is perfect, and the bytes are wrong.' \
		'' \
		'Ethernet has a CRC-32, but one for each hop: what a router or a network card damages between two hops is in the next' \
		'CRC already. Only a check at both ends covers all that lies between: a hash of the file, TLS, or ttcp --verify.' \
		'' \
		'In the source: swap() and corrupt() in tools/linkem/lane.c are the bad memory, check() in tools/ttcp/receive.c is the' \
		'program that looks. Read on: RFC 1071, RFC 9293 3.1; J. Stone, C. Partridge, When The CRC and TCP Checksum Disagree (2000).'
}

# --- verdict ---

judge() {
	local p
	claim 'nothing changed: every byte is right, and no checksum is wrong' \
		"${outcome[clean]} == 0 && ${altered[clean]} == 0 && ${caught[clean]} == 0"
	for p in "${shares[@]}"; do
		claim "a bit flipped in $p %: as many checksum errors as the link flipped bits" \
			"${caught[flipped-$p]} == ${altered[flipped-$p]} && ${altered[flipped-$p]} > 0"
		# A bare ACK that was hit need not come again.
		claim '  what was discarded was sent again' "${resent[flipped-$p]} >= 0.8 * ${caught[flipped-$p]}"
		claim '  and every byte is right' "${outcome[flipped-$p]} == 0"
		claim "words exchanged in $p %: not one checksum error" "${altered[swapped-$p]} > 0 && ${caught[swapped-$p]} == 0"
		claim '  but bytes are wrong, and ttcp says so with status 3' \
			"${outcome[swapped-$p]} == 3 && $(field "swapped-$p.json" bad_offset) < $length"
	done
	# Not none: on a busy machine the sender may lose patience without a loss.
	claim 'words exchanged, all together: fewer segments were sent again than a fifth of those that were hit' \
		"5 * $(sum resent swapped) <= $(sum altered swapped)"
	claim 'caught errors cost goodput: 3 % flipped leave at most three quarters of it' \
		"${rate[flipped-3]} <= 0.75 * ${rate[clean]}"
	claim 'those that are not caught cost none: 3 % exchanged leave at least two thirds' \
		"3 * ${rate[swapped-3]} >= 2 * ${rate[clean]}"
	claim 'the file: netcat is content, and 1 to 4 bytes are wrong for each exchange' \
		"${outcome[hurt]} == 0 && $wrong >= $exchanged && $wrong <= 4 * $exchanged && $exchanged > 0"
	claim 'the file: its hashes differ, and agree after a transfer over a sound link' "$(hashes hurt) == 2 && $(hashes well) == 1"
}

# How many different hashes there are.
hashes() {
	sha256sum sent "got-$1" | awk '!seen[$1]++ { n++ } END { print n }'
}

main "$@"
