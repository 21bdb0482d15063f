#!/usr/bin/env bash
# 10-byte-stream - TCP carries bytes; where a message ends, the program has to say.
#
# tier: any
# summary: One send is not one recv: what becomes of messages in a stream of bytes, and how a receiver finds them.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

runs=(desk late fast long bytes)

main() {
	lab_start "$@"
	need framing

	beat predict
	say 'A sender writes messages of 100 bytes, each with one send(2). A receiver takes what one recv(2) returns for one' \
		'message: much code does. Loopback carries it; nothing is lost or changed on the way.' \
		'First 100 messages; the receiver is busy with something else for 0.3 s, then it calls recv(2) with a buffer of 64 KiB.'
	predict reads 'How many calls of recv(2) does it take to get all of the 10000 bytes?'
	say 'Now 500 messages, as fast as the sender can. The receiver is at work on each of them for 0.2 ms.'
	predict fast 'How many of the 500 does it get right?'
	predict desk 'And 30 messages, one every 20 ms, as when you try it by hand. How many of these?'

	beat run
	local kind
	for kind in naive fixed; do
		say "# the receiver: $kind"
		transfer desk "$kind" '' '-n 30 --gap 20ms'
		transfer late "$kind" ' --late 300ms' '-n 100'
		transfer fast "$kind" ' --work 0.2ms' '-n 500'
		transfer long "$kind" ' --rcvbuf 16K --read 1M' '-n 5 -l 100000'
		transfer bytes "$kind" '' '-n 20 --nodelay --piece 1'
	done
	strangers

	beat observe 'one format, one sender, two receivers'
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# transfer NAME naive|fixed RECEIVER-OPTIONS SENDER-OPTIONS
transfer() {
	local name=$1-$2 fixed=''
	[[ $2 == naive ]] || fixed=' --fixed'
	serve "$name" "framing -s -1 -p 0 --verify$fixed$3 --json > $name-received.json"
	measure "$name-sent" "framing 127.0.0.1 -p $PORT $4"
	join "$name"
}

# Two that are no senders of ours: one goes away in the middle of a message, the other one speaks HTTP.
strangers() {
	say '# and two strangers'
	serve cut 'framing -s -1 -p 0 --fixed --json > cut.json'
	run "printf '\\0\\0\\0\\144only this' > /dev/tcp/127.0.0.1/$PORT"
	join cut
	serve http 'framing -s -1 -p 0 --fixed --json > http.json'
	run "printf 'GET / HTTP/1.0\\r\\n\\r\\n' > /dev/tcp/127.0.0.1/$PORT"
	join http
}

# --- observe ---

declare -A sent=()                                    # messages, by run
declare -A written=() received=() reads=() right=()   # bytes, bytes, calls, messages; by run and receiver: "desk naive"

observe() {
	local name
	say "$(printf '%8s %9s %7s %9s | %7s %8s %7s | %7s %8s %7s' '' messages writes segments reads taken right reads \
		taken right)"
	for name in "${runs[@]}"; do
		look "$name"
	done
	cut=$(field cut.json errno connection)
	http=$(field http.json errno connection)
	say "a message that was cut: $cut; one that claims to be $((0x47455420 + 4)) bytes long: $http"
	figure late_reads "${reads[late naive]}" 1
	figure desk_right "${right[desk naive]}" 1
	figure fast_right "${right[fast naive]}" 1
	measured reads "${reads[late naive]}"
	measured fast "${right[fast naive]} of ${sent[fast]}"
	measured desk "${right[desk naive]} of ${sent[desk]}"
}

# look RUN: what the sender and the two receivers counted, and a line of the table.
look() {
	local name=$1 kind line
	sent[$name]=$(field "$name-naive-sent.json" messages)
	line=$(printf '%8s %9s %7s %9s' "$name" "${sent[$name]}" "$(field "$name-naive-sent.json" writes)" \
		"$(field "$name-naive-sent.json" segments)")
	for kind in naive fixed; do
		written[$name $kind]=$(field "$name-$kind-sent.json" bytes)
		received[$name $kind]=$(field "$name-$kind-received.json" bytes)
		reads[$name $kind]=$(field "$name-$kind-received.json" reads)
		right[$name $kind]=$(field "$name-$kind-received.json" right)
		line+=$(printf ' | %7s %8s %7s' "${reads[$name $kind]}" \
			"$(field "$name-$kind-received.json" messages)" "${right[$name $kind]}")
	done
	say "$line"
}

# --- explain ---

explain() {
	say 'On the left what was sent, in the middle the receiver that takes one recv(2) for one message, on the right the one' \
		'that goes by the length in front of each message.' \
		'  desk   a message now and then: it is read before the next one comes. The mistake does not show.' \
		'  late   the reader comes late, everything is in the socket already, and one recv takes it all.' \
		'  fast   while the reader is at work on one message, others come, and the next recv takes all of those.' \
		'  long   a message larger than the receive buffer cannot be here as a whole: each recv returns a part.' \
		'  bytes  each byte by itself: one message is many reads.' \
		'Not a byte was lost, added or reordered: that is all that TCP promises. It knows no messages; where a send(2) ended' \
		'leaves no trace in the stream, segments are cut and joined on both sides (see their number), and PSH is no mark.' \
		'So a format has to say where a message ends, and the receiver keeps what is not complete yet. A length in front is' \
		'one way. It comes from somebody else: look at it before you allocate. A connection that ends inside a message is' \
		'an error, though recv just returns 0.' \
		'' \
		'In the source: read_naive() has the mistake, read_framed() and take_messages() are its fixed twin, all in' \
		'tools/framing.c. Read on: RFC 9293 2.2 and 3.9.1.2, recv(2).'
}

# --- verdict ---

judge() {
	local name kind same=1
	for kind in naive fixed; do
		for name in "${runs[@]}"; do
			same+=" && ${written[$name $kind]} == ${received[$name $kind]}"
		done
	done
	claim 'in each of the ten runs as many bytes were read as written' "$same"
	claim 'desk: at least half of the messages are right, with the mistake' "2 * ${right[desk naive]} >= ${sent[desk]}"
	claim 'late: one recv takes 10 messages or more' "10 * ${reads[late naive]} <= ${sent[late]}"
	claim 'fast: less than half of the messages are right' "2 * ${right[fast naive]} < ${sent[fast]}"
	claim 'long: a message takes 2 reads or more, and none is right' \
		"${reads[long naive]} >= 2 * ${sent[long]} && ${right[long naive]} == 0"
	claim 'bytes: less than half of the messages are right' "2 * ${right[bytes naive]} < ${sent[bytes]}"
	for name in "${runs[@]}"; do
		claim "$name: the fixed receiver gets all ${sent[$name]} right" "${right[$name fixed]} == ${sent[$name]}"
	done
	claim 'the fixed receiver calls a cut message an error' "\"$cut\" == \"EPROTO\""
	claim 'and refuses an absurd length' "\"$http\" == \"EMSGSIZE\""
}

main "$@"
