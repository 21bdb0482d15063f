#!/usr/bin/env bash
# 19-short-write - write(2) returns a number, and there are programs that do not look at it.
#
# tier: any
# summary: write takes less than it was given: the rest that is lost, the loop that eats a processor, and the cure.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

kinds=(socket pipe timeout signal)
bytes=8388608

main() {
	lab_start "$@"
	need shortwrite

	beat predict
	say "A program sends $bytes bytes over a non-blocking socket, with 16 calls of write(2), each of 512 KiB. It does not look at" \
		'what write(2) returns. The socket buffers are 64 KiB, and the receiver reads more slowly than the sender writes.'
	predict received 'How many of the bytes are received?'
	say 'Another one looks, keeps the rest, and calls write(2) again until all is taken.'
	predict refused 'How many times is it told EAGAIN until everything is sent?'
	say 'A third program has a blocking socket, and looks at nothing either.'
	predict blocking 'Does a blocking write(2) take all that it is given?' 'always' 'unless the connection fails' \
		'not when a signal or a timeout comes'

	beat run
	local kind
	for kind in "${kinds[@]}"; do
		measure "$kind" "shortwrite $kind"
	done
	measure small 'shortwrite pipe --block 4K --gap 0 --bytes 1M'
	for kind in socket pipe; do
		measure "$kind-spin" "shortwrite $kind --spin"
	done
	for kind in "${kinds[@]}"; do
		measure "$kind-fixed" "shortwrite $kind --fixed"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- observe ---

runs=("${kinds[@]}" small socket-spin pipe-spin socket-fixed pipe-fixed timeout-fixed signal-fixed)

# of RUN KEY: what that run counted.
of() {
	field "$1.json" "$2"
}

observe() {
	local run
	say "$(printf '%-14s %9s %9s %9s %9s | %8s %8s %8s %7s %6s' '' believed taken received right writes 'a part' EAGAIN waits CPU)"
	for run in "${runs[@]}"; do
		say "$(printf '%-14s %9s %9s %9s %9s | %8s %8s %8s %7s %4s %%' "$run" "$(of "$run" believed_bytes)" \
			"$(of "$run" taken_bytes)" "$(of "$run" received_bytes)" "$(of "$run" right_bytes)" "$(of "$run" writes)" \
			"$(of "$run" short_writes)" "$(of "$run" refused)" "$(of "$run" waits)" "$(processor "$run")")"
	done
	figure received_bytes "$(of socket received_bytes)" bytes
	figure right_bytes "$(of socket right_bytes)" bytes
	figure refused "$(of socket-spin refused)" 1
	measured received "$(of socket received_bytes), of which the first $(of socket right_bytes) are right"
	measured refused "$(of socket-spin refused); who waits for room: $(of socket-fixed refused), after $(of socket-fixed waits) waits"
	measured blocking 'not when a signal or a timeout comes'
}

processor() {
	calc "100 * $(of "$1" cpu_ns) / $(of "$1" elapsed_ns)" %.0f
}

# --- explain ---

explain() {
	say 'write(2) returns how many bytes it took. A non-blocking descriptor takes what there is room for. A blocking one takes all,' \
		'but for a signal or a timeout that comes in the middle; then it returns what it has taken so far, and SA_RESTART' \
		'makes no difference. Who does not look goes on with the next block. The receiver gets it right behind the cut,' \
		'and neither TCP nor a pipe can know: each byte that was taken arrived, once and in order (taken = received).' \
		'small: a pipe takes a block of up to 4096 bytes as a whole or not at all. Then whole blocks are missing.' \
		'spin: nothing is lost. EAGAIN means "not now", and this loop asks again at once: the processor is busy with asking.' \
		'fixed: the rest is kept, and poll(2) is asked for POLLOUT: about one wait for each time that the buffer was full.' \
		'On a desk, with small blocks and a quick reader, there is always room, and all of these programs are "right".' \
		'' \
		'In the source: send_block_ignoring(), send_block_spinning() and send_block_keeping() in tools/shortwrite.c.' \
		'Read on: write(2), pipe(7) PIPE_BUF, signal(7) (interruption of system calls), socket(7) SO_SNDTIMEO.'
}

# --- verdict ---

judge() {
	local run exact=1 lost=1 wrong=1 whole=1
	for run in "${runs[@]}"; do
		exact+=" && $(of "$run" taken_bytes) == $(of "$run" received_bytes)"
		exact+=" && $(of "$run" believed_bytes) - $(of "$run" taken_bytes) == $(of "$run" missing_bytes)"
	done
	claim 'in each of the 11 runs: believed - taken = missing at the receiver, to the byte' "$exact"
	for run in "${kinds[@]}"; do
		lost+=" && $(of "$run" missing_bytes) > 0 && $(of "$run" short_writes) > 0"
		wrong+=" && $(of "$run" right_bytes) - $(of "$run" first_cut_bytes) >= 0"
		wrong+=" && $(of "$run" right_bytes) - $(of "$run" first_cut_bytes) < 8"
		wrong+=" && $(of "$run" received_bytes) > $(of "$run" right_bytes)"
	done
	claim 'the count ignored: bytes are lost by each of the four, the blocking ones too' "$lost"
	claim 'it is wrong from the first cut on (or by accident a few bytes later), and goes on after it' "$wrong"
	claim 'small blocks to a pipe: no short write, whole blocks of 4096 bytes are missing' \
		"$(of small short_writes) == 0 && $(of small missing_bytes) == 4096 * $(of small refused) && $(of small refused) > 0"
	for run in socket-spin pipe-spin socket-fixed pipe-fixed timeout-fixed signal-fixed; do
		whole+=" && $(of $run received_bytes) == $bytes && $(of $run right_bytes) == $bytes"
	done
	claim 'the rest kept: every byte is there and right, in each of the six runs' "$whole"
	for run in socket pipe; do
		claim "$run: who tries again at once is told EAGAIN 10 times as often as the other one waits" \
			"$(of $run-spin refused) > 10 * $(of $run-fixed waits)"
		claim "$run: and takes at least twice the processor time" "$(of $run-spin cpu_ns) > 2 * $(of $run-fixed cpu_ns)"
	done
}

main "$@"
