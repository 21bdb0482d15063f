#!/usr/bin/env bash
# 15-echo-deadlock - two right programs, four full buffers, and nobody who can go on.
#
# tier: any
# summary: A client writes, then reads; a server echoes. From some size on both wait for ever, and every byte can be found.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

small='--sndbuf 32K --rcvbuf 32K'

main() {
	lab_start "$@"
	need bulkecho

	beat predict
	say 'An echo server reads up to 4 KiB, writes them back, and begins anew. A client sends 30000 bytes, then it reads until they' \
		'are all back. SO_SNDBUF and SO_RCVBUF of both are 32 KiB. It works. Then the client sends 1 MiB in the same way.'
	predict end 'What happens?' 'it takes longer' 'bytes are lost' 'nothing moves any more'
	predict border 'How many KB can the client send like that at most?'
	say 'Now the buffers of both are four times as large.'
	predict large 'What becomes of the border?' 'nothing' 'it is farther away' 'there is none any more'

	beat run
	try "bulkecho --bytes 30000 $small --json > little.json"
	little_status=$STATUS
	measure stuck "bulkecho --bytes 1M $small --patience 0.3"
	measure large 'bulkecho --bytes 8M --sndbuf 128K --rcvbuf 128K --patience 0.3'
	measure find "bulkecho --find --bytes 1M $small --patience 0.2"
	measure fixed "bulkecho --bytes 64M $small --fixed"
	other_server

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# A server that is somebody else's: its own queue may be longer, but not without end.
other_server() {
	other=''
	[[ -x $TCPLAB_BIN/echo ]] || return
	other=yes
	serve echo 'env echo -s -p 0' # not the shell's own echo
	measure other "bulkecho 127.0.0.1 -p $PORT --patience 0.4"
	measure other-fixed "bulkecho 127.0.0.1 -p $PORT --fixed"
	stop echo
}

# --- observe ---

# of RUN KEY: what that run counted.
of() {
	field "$1.json" "$2"
}

observe() {
	local run
	say "$(printf '%-9s %8s = %8s + %8s + %8s | %8s = %8s + %8s + %8s' '' 'client' 'server' 'client' 'server' 'server' \
		'client' 'server' 'client')"
	say "$(printf '%-9s %8s   %8s   %8s   %8s | %8s   %8s   %8s   %8s' '' wrote read 'sendq' 'recvq' wrote read 'sendq' 'recvq')"
	for run in little stuck large fixed; do
		say "$(printf '%-9s %8s = %8s + %8s + %8s | %8s = %8s + %8s + %8s' $run "$(of $run client_written_bytes)" \
			"$(of $run server_read_bytes)" "$(of $run client_send_queue_bytes)" "$(of $run server_receive_queue_bytes)" \
			"$(of $run server_written_bytes)" "$(of $run client_read_bytes)" "$(of $run server_send_queue_bytes)" \
			"$(of $run client_receive_queue_bytes)")"
	done
	say '' "the border: $(of find passed_bytes) bytes pass, $(of find stuck_bytes) do not"
	[[ -z $other ]] || say "another server, the system's own buffers: stuck after $(of other client_written_bytes) bytes;" \
		"reading while writing, $(of other-fixed right_bytes) are back"
	figure border_bytes "$(of find stuck_bytes)" bytes
	figure large_written_bytes "$(of large client_written_bytes)" bytes
	measured end 'nothing moves any more'
	measured border "$(calc "$(of find passed_bytes) / 1000" %.0f)"
	measured large "it is farther away: stuck after $(calc "$(of large client_written_bytes) / 1000" %.0f) KB"
}

# --- explain ---

explain() {
	say 'What the server sends back while the client is still writing has to lie somewhere: first in the receive buffer of the' \
		'client, then in the send buffer of the server. When both are full, send(2) of the server waits. Now it does not read' \
		'any more, so its receive buffer fills up, then the send buffer of the client, and then send(2) of the client waits, too.' \
		'Each waits for the other one to read; both are right; TCP is right as well: it does just what flow control is for.' \
		'No byte is lost: what was written is what was read, and what lies in the two queues of that direction. Exactly.' \
		'The server has one piece in its hand: what it has read and could not yet write.' \
		'Larger buffers move the border and do not remove it. And the border is nobody'"'"'s choice: it depends on two kernels.' \
		'The client that reads while it writes always makes room, so the server can write, so it reads. 64 MiB, small buffers.' \
		'Every request and answer protocol can do this, as soon as several requests are under way and nobody reads the answers.' \
		'' \
		'In the source: write_then_read() has the mistake, write_and_read() is its fixed twin, is_deadlock() is how one tells;' \
		'all in tools/bulkecho.c. Read on: RFC 9293 3.8.6 (the window), tcp(7) SIOCINQ and SIOCOUTQ.'
}

# --- verdict ---

judge() {
	local run sums=1 full=1 hand=1
	claim 'little: 30000 bytes are back, and the mistake does not show' \
		"$little_status == 3 && $(of little right_bytes) == 30000 && $(of little client_read_bytes) == 30000"
	for run in stuck large; do
		sums+=" && $(of $run client_written_bytes) == $(of $run server_read_bytes) + $(of $run client_send_queue_bytes) + $(
			of $run server_receive_queue_bytes)"
		sums+=" && $(of $run server_written_bytes) == $(of $run client_read_bytes) + $(of $run server_send_queue_bytes) + $(
			of $run client_receive_queue_bytes)"
		full+=" && $(of $run client_send_queue_bytes) > 0 && $(of $run server_receive_queue_bytes) > 0"
		full+=" && $(of $run server_send_queue_bytes) > 0 && $(of $run client_receive_queue_bytes) > 0"
		hand+=" && $(of $run server_read_bytes) - $(of $run server_written_bytes) >= 0"
		hand+=" && $(of $run server_read_bytes) - $(of $run server_written_bytes) <= 4096"
		claim "$run: a deadlock, before the $(of $run bytes) bytes were written and before one was read" \
			"\"$(of $run deadlock)\" == \"true\" && $(of $run client_written_bytes) < $(of $run bytes) &&
			$(of $run client_read_bytes) == 0"
	done
	claim 'all four queues hold something, in either' "$full"
	claim 'both sums are exact, in either deadlock' "$sums"
	claim 'the server has at most one piece of 4096 bytes in its hand' "$hand"
	claim 'there is a border: what passes and what does not lie within 4096 bytes' \
		"$(of find passed_bytes) > 0 && $(of find stuck_bytes) > $(of find passed_bytes) &&
		$(of find stuck_bytes) - $(of find passed_bytes) <= 4096"
	claim 'buffers four times as large: stuck all the same, after more than twice as many bytes' \
		"$(of large client_written_bytes) > 2 * $(of stuck client_written_bytes)"
	claim 'reading while writing: 64 MiB through the small buffers, every byte right' \
		"$(of fixed right_bytes) == 67108864 && \"$(of fixed deadlock)\" == \"false\""
	[[ -z $other ]] ||
		claim 'another server: stuck with the mistake, and every byte without it' \
			"\"$(of other deadlock)\" == \"true\" && $(of other-fixed right_bytes) == 67108864"
}

main "$@"
