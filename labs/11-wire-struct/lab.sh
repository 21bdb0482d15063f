#!/usr/bin/env bash
# 11-wire-struct - a C struct is no format: where its fields lie is the compiler's business.
#
# tier: any
# summary: A struct sent as it lies in memory: right here, wrong elsewhere, and with a password between the fields.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

kinds=(same packed i386 order leak old garbage)

main() {
	lab_start "$@"
	need wirestruct

	beat predict
	say 'A message is struct message { uint8_t type; uint32_t len; uint64_t id; uint16_t flags; }. A program fills one in,' \
		'type 1, len 1, id 1001, flags 3, and calls send(fd, &m, sizeof(m), 0).'
	predict size 'How many bytes does it send?'
	say 'The receiver is another program, with the same declaration. Its author has read that structs for the network should' \
		'be packed.'
	predict packed 'What does it find in len?' 1 0 '16777216' 'some other number'
	say 'Another receiver is the same source, compiled for 32-bit x86: the same processor, the same byte order.'
	predict i386 'Of three messages, how many does it get right?'
	say 'And a third one is built exactly as the sender is, so it gets everything right. The memory in which the sender fills in' \
		'its message held "user=alice passwd=s3cret" a moment ago.'
	predict leak 'How many bytes of that go over the network with each message?'

	beat run
	local kind
	for kind in "${kinds[@]}"; do
		measure "$kind" "wirestruct $kind"
		measure "$kind-fixed" "wirestruct $kind --fixed"
	done
	run 'wirestruct packed'
	run 'wirestruct leak'
	run 'wirestruct packed --fixed'
	with_python

	beat observe 'three messages, and who reads them'
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# Another language's idea of the same struct: with alignment, but without padding behind the last field.
with_python() {
	python=''
	if have python3; then
		run "python3 -c 'import struct; print(struct.calcsize(\"@BIQH\"))' | tee python.size"
		python=$(cat python.size)
	else
		say 'left out: what Python makes of the struct, because there is no python3'
	fi
}

# --- observe ---

declare -A right=()

observe() {
	local kind
	sender=$(field same.json sender_bytes start)
	padding=$(field same.json padding_bytes start)
	say "$(printf '%-8s | %6s %8s %5s %5s %4s %11s | %8s %5s %7s %11s' '' bytes receiver taken right left 'old memory' \
		'--fixed' right refused 'old memory')"
	for kind in "${kinds[@]}"; do
		right[$kind]=$(field "$kind.json" right)
		right[$kind-fixed]=$(field "$kind-fixed.json" right)
		say "$(printf '%-8s | %6s %8s %5s %5s %4s %11s | %8s %5s %7s %11s' "$kind" "$(field "$kind.json" stream_bytes)" \
			"$(field "$kind.json" receiver_bytes start)" "$(field "$kind.json" taken)" "${right[$kind]}" \
			"$(field "$kind.json" left_bytes)" "$(field "$kind.json" leaked_bytes)" \
			"$(field "$kind-fixed.json" stream_bytes)" "${right[$kind-fixed]}" "$(field "$kind-fixed.json" refused)" \
			"$(field "$kind-fixed.json" leaked_bytes)")"
	done
	packed_len=$(first packed len)
	order_len=$(first order len)
	say "the first message has len 1; packed reads $packed_len, the other byte order $order_len"
	[[ -z $python ]] || say "Python's struct.calcsize(\"@BIQH\"): $python"
	figure struct_bytes "$sender" bytes
	figure padding_bytes "$padding" bytes
	figure packed_len "$packed_len" 1
	figure order_len "$order_len" 1
	measured size "$sender, of which $padding are no field"
	measured packed "some other number: $packed_len"
	measured i386 "${right[i386]}"
	measured leak "$padding, on this machine"
}

# first KIND KEY: of the first message that the receiver took.
first() {
	field "$1.json" "$2" message '"number":1,'
}

# --- explain ---

explain() {
	say "The fields are 15 bytes, the struct is $sender: the compiler aligns each field, and the whole, as the processor likes it." \
		'packed: the receiver looks for len at 1, where the sender has three bytes of padding and the first one of len. From' \
		'there on everything is shifted, and it cuts its messages from the stream at other places.' \
		'i386: all fields are at the same places; but nothing is aligned to more than 4 there, so 20 bytes are a message, and' \
		'not 24. A test with one message passes.' \
		'order: 01 00 00 00 is 1 here, and 16777216 on a processor that has the large end first.' \
		'leak: C gives the padding no value (C11 6.2.6.1p6), and what lay there before stays. Nobody sees it: all is right.' \
		'garbage: any bytes are a struct. "GET / HT" became a type and a length of 1414012975.' \
		'old: the sender sends its struct whatever the receiver does. Who looks at a length before he believes it refuses it.' \
		'--fixed: a format belongs to nobody: each field has its place and its byte order, is put there and fetched from there by' \
		'itself, and is looked at before it is believed. It is shorter, too.' \
		'' \
		'In the source: send_struct() and read_struct() have the mistakes, encode() and decode() do not (tools/wirestruct.c).' \
		'Read on: C11 6.7.2.1p15, byteorder(3), RFC 4506 (XDR), RFC 791 appendix B.'
}

# --- verdict ---

judge() {
	local kind fixed=1
	claim 'the struct has padding, and all of it was sent' \
		"$padding > 0 && $sender == 15 + $padding && $(field same.json stream_bytes) == 3 * $sender"
	claim 'same: three of three are right' "${right[same]} == 3"
	claim 'packed: none is right, and len is not 1' "${right[packed]} == 0 && $packed_len != 1"
	if holds "$sender == 24"; then
		claim 'packed: len is three bytes of padding and one of len' "$packed_len == 1 * 2^24 + 238 * (2^16 + 2^8 + 1)"
		claim 'i386: the first one is right, and only that one' "${right[i386]} == 1"
		claim 'order: none is right, len is 2^24' "${right[order]} == 0 && $order_len == 2^24"
		claim 'leak: the password is among them, as a whole' "\"$(field leak.json padding_hex wire)\" ~ /733363726574$/"
	else
		say "left out: the figures of packed, i386 and order, and the password, because a struct of this machine is $sender bytes, and not 24"
	fi
	claim 'leak: three of three are right, and every byte of padding is one of old memory' \
		"${right[leak]} == 3 && $(field leak.json leaked_bytes) == 3 * $padding"
	claim 'garbage: taken for a message' "$(field garbage.json taken) > 0 && $(field garbage.json refused) == 0"
	for kind in same packed i386 order leak; do
		fixed+=" && ${right[$kind-fixed]} == 3 && $(field "$kind-fixed.json" leaked_bytes) == 0"
	done
	claim '--fixed: three of three for every receiver, 15 bytes each, and nothing of old memory' \
		"$fixed && $(field same-fixed.json stream_bytes) == 45"
	for kind in old garbage; do
		claim "--fixed: $kind is refused" "$(field $kind-fixed.json taken) == 0 && $(field $kind-fixed.json refused) == 1"
	done
	[[ -z $python ]] || claim "Python has yet another size for it" "$python != $sender && $python != 15"
}

main "$@"
