#!/usr/bin/env bash
# 17-zero-copy - six ways to send a file: what a copy costs, and whose bytes they are when the call has returned.
#
# tier: any
# alone: processor time is compared
# summary: What zero copy saves, where it saves nothing, and a file that changes while it is on its way.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

ways=(rw mmap memory sendfile splice zerocopy)
bytes=33554432
block=262144
blocks=$((bytes / block))

main() {
	lab_start "$@"
	need zerocopy

	beat predict
	say 'A file is in memory (the page cache), and is sent over loopback: by read(2) and send(2); from a mapping; from memory of the' \
		'program; by sendfile(2); by splice(2), through a pipe; and with send(MSG_ZEROCOPY), which promises not to copy.'
	predict cheap "Which one takes the sender least processor time?" 'read and send' 'send from memory' 'sendfile or splice' \
		'send with MSG_ZEROCOPY'
	say 'The kernel tells of each send with MSG_ZEROCOPY when it is done with the pages, and whether it has copied them after all.'
	predict copied 'Over loopback, how many per cent of them has it copied after all?'
	say "Now a program sends $block bytes, and the call returns $block. The receiver has not read anything yet. The program" \
		'writes other bytes into the buffer that it has sent, or into the file.'
	predict memory "After send(2): how many of the $block bytes arrive changed?"
	predict sendfile "After sendfile(2)?"
	predict zerocopy 'After send(MSG_ZEROCOPY)?' 'none' 'some of them' 'all of them'

	beat run
	measure speed "zerocopy speed --rounds 3 --bytes $bytes --block $block --congestion reno"
	measure verify "zerocopy speed --verify --bytes 9M --congestion reno"
	measure reuse 'zerocopy reuse'
	measure reuse-fixed 'zerocopy reuse --fixed'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# --- observe ---

declare -A calls=() cpu=() right=() handed=() altered=() altered_fixed=()

# of FILE WAY KEY
of() {
	field "$1.json" "$3" way "\"way\":\"$2\""
}

observe() {
	local way
	say "$(printf '%-9s %13s %21s %10s | %12s %9s %15s' way 'system calls' "sender's CPU, us/MiB" "reader's" 'handed over' changed \
		'changed, fixed')"
	for way in "${ways[@]}"; do
		calls[$way]=$(of speed "$way" system_calls)
		cpu[$way]=$(calc "$(of speed "$way" cpu_ns_per_MiB) / 1000" %.0f)
		right[$way]=$(of verify "$way" right_bytes)
		handed[$way]=$(of reuse "$way" handed_bytes)
		altered[$way]=$(of reuse "$way" altered_bytes)
		altered_fixed[$way]=$(of reuse-fixed "$way" altered_bytes)
		say "$(printf '%-9s %13s %21s %10s | %12s %9s %15s' "$way" "${calls[$way]}" "${cpu[$way]}" \
			"$(calc "$(of speed "$way" reader_cpu_ns) / 1000 / ($bytes / 1048576)" %.0f)" "${handed[$way]}" "${altered[$way]}" \
			"${altered_fixed[$way]}")"
		figure "cpu_$way" "${cpu[$way]}" us/MiB
		figure "altered_$way" "${altered[$way]}" bytes
	done
	sends=$(of speed zerocopy zerocopy_sends) done_sends=$(of speed zerocopy completions) copied=$(of speed zerocopy copied)
	plain=$(of reuse zerocopy plain_sends)
	say "MSG_ZEROCOPY: $sends sends, $done_sends completions, $copied of them say: copied"
	[[ $sends -gt 0 ]] || say 'left out: what MSG_ZEROCOPY does, because this user may lock too little memory (ulimit -l)'
	least
	measured cheap "$cheapest (${cpu[$cheapest]} us of processor time for each MiB, read and send ${cpu[rw]})"
	if ((done_sends > 0)); then
		measured copied "$(calc "100 * $copied / $done_sends" %.0f)"
	else
		measured copied 'nothing: left out here'
	fi
	measured memory "${altered[memory]}"
	measured sendfile "${altered[sendfile]}"
	measured zerocopy "${altered[zerocopy]} of ${handed[zerocopy]}: what was still in the send queue"
}

least() {
	local way
	cheapest=rw
	for way in "${ways[@]}"; do
		! holds "${cpu[$way]} < ${cpu[$cheapest]}" || cheapest=$way
	done
}

# --- explain ---

explain() {
	say 'rw copies every byte twice: into the buffer by read(2), out of it by send(2). mmap and memory copy once. sendfile and splice' \
		"hand the pages of the file over as they are: the sender's time is that of TCP alone. (The receiver copies in any case.)" \
		'MSG_ZEROCOPY does the same with the memory of the program, for a network card. Over loopback the receiver would then read' \
		"the sender's memory, for as long as it likes: so the kernel copies after all, later, and page by page. It says so, and nothing" \
		'is saved, while pinning pages and telling about it costs something.' \
		'The price is the same for all that do not copy: the bytes in the queue and the bytes in the file are one. After send(2) the' \
		'buffer is ours. After sendfile(2) whoever writes to the file writes into the stream, here all of it, because the receiver had' \
		'read nothing; and no call tells when that is over. MSG_ZEROCOPY tells, on the error queue, and until then the buffer is not' \
		'ours; here the part that had crossed the loopback was copied, and the rest was not.' \
		'fixed: wait for the completion; and a file that is being sent is replaced (a new one, rename(2)), never changed.' \
		'' \
		'In the source: by_sendfile(), by_zerocopy(), take_completion(), use_again() in tools/zerocopy.c.' \
		"Read on: sendfile(2), splice(2), ip(7) (IP_RECVERR), the kernel's Documentation/networking/msg_zerocopy.rst."
}

# --- verdict ---

judge() {
	local way
	for way in "${ways[@]}"; do
		claim "$way: every byte arrived, and the right one" "${right[$way]} == 9 * 1024 * 1024 && $(of speed "$way" received_bytes) == $bytes"
	done
	claim 'rw and splice take two system calls for each block, memory and sendfile one' \
		"${calls[rw]} >= 2 * $blocks && ${calls[rw]} > 1.5 * ${calls[memory]} && ${calls[splice]} > 1.5 * ${calls[sendfile]} && ${calls[memory]} < 1.5 * $blocks"
	claim 'rw, with its two copies, takes the sender far more processor time than sendfile and splice, which have none' \
		"${cpu[rw]} > 1.5 * ${cpu[sendfile]} && ${cpu[rw]} > 1.5 * ${cpu[splice]}"
	claim 'what was copied arrives as it was sent' \
		"${altered[rw]} == 0 && ${altered[mmap]} == 0 && ${altered[memory]} == 0"
	claim 'sendfile and splice: all that the receiver had not read arrives changed' \
		"$(of reuse sendfile arrived_bytes) == ${handed[sendfile]} && ${altered[sendfile]} == ${handed[sendfile]} && ${altered[splice]} == ${handed[splice]} && ${handed[sendfile]} > 0"
	if [[ $sends -gt 0 && $plain -eq 0 ]]; then
		claim 'MSG_ZEROCOPY: each send is completed, and over loopback each one was copied' "$done_sends == $sends && $copied == $sends"
		claim 'MSG_ZEROCOPY: what had not left yet arrives changed, what had crossed the loopback does not' \
			"${altered[zerocopy]} > 0 && ${altered[zerocopy]} < ${handed[zerocopy]}"
	fi
	for way in "${ways[@]}"; do
		claim "$way, fixed: all that was handed over arrives as it was" \
			"${altered_fixed[$way]} == 0 && $(of reuse-fixed "$way" arrived_bytes) == $(of reuse-fixed "$way" handed_bytes)"
	done
}

main "$@"
