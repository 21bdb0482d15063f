#!/usr/bin/env bash
# 21-lost-tail - all sent, closed without an error, and the end of it never arrives.
#
# tier: any
# summary: A server sends everything, closes without an error, and nine tenths are lost: for one byte that nobody read.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

bytes=262144
pause=1 # second

main() {
	lab_start "$@"
	need sender

	beat predict
	say 'A client connects, says one byte, and is busy for a while before it reads. The server does not care what it said:' \
		"it sends $bytes bytes, send(2) takes all of them, and close(2) returns 0. Then the client reads, to the end."
	predict arrived "How many of the $bytes bytes does it get?"
	predict quiet 'Another client says nothing at all, and is just as slow. How many does that one get?'
	predict fix 'What should the first server have done before close(2)?' 'shutdown(2): so the end is queued behind the data' \
		'SO_LINGER, so that close(2) waits until all is delivered' "shutdown(2), and read to the client's end" \
		'nothing would help: the client is too slow'
	say "One thread serves all clients, and closes with SO_LINGER. A client that said nothing begins to read after $pause s;" \
		'just after that close(2) began, another client has come.'
	predict second 'When does this one get its first byte?' 'at once' 'when the first one reads'

	beat run
	local how
	for how in naive linger0 linger shutdown; do
		once $how "--on-request --close $how"
	done
	once safe '--on-request --fixed' '--until ended --fixed'
	once quiet '--close naive' '--until closed --request 0'
	once read '--read-request --close naive'
	once read-linger0 '--read-request --close linger0'
	several late '--close naive' '--until closed --late --delay 0'
	once late-safe '--fixed' '--until ended --late --fixed'
	several linger-crowd '--close linger' "--until ended --request 0 --second --delay $pause"
	several safe-crowd '--fixed' "--until ended --request 0 --second --delay $pause --fixed"
	several in-vain '--close linger --linger 1' '--until closed --request 0 --delay 0'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# once NAME SERVER-OPTIONS CLIENT-OPTIONS: a server for one client, who begins to read when the server has closed, or ended.
once() {
	serve "$1-server" "sender -s -1 -p 0 $2 --json > $1-server.json"
	try "sender 127.0.0.1 -p $PORT ${3:---until closed} --delay 0 --json > $1.json"
	join "$1-server"
}

# several NAME SERVER-OPTIONS CLIENT-OPTIONS: a server that outlives its clients.
several() {
	serve "$1-server" "sender -s -p 0 $2 --json > $1-server.json"
	try "sender 127.0.0.1 -p $PORT $3 --json > $1.json"
	stop "$1-server"
}

# --- observe ---

declare -A got=() lost=() end=() queue=()

# of NAME KEY: what the server says of its connection; of the first one, where there are two.
of() {
	grep -m 1 '"record":"connection"' "$1-server.json" | field - "$2" connection
}

observe() {
	local name
	say "$(printf '%-14s | %8s %13s %7s %9s | %9s %9s %4s' '' sent 'unacked then' unread 'close(2)' got lost end)"
	for name in naive linger0 linger shutdown safe quiet read read-linger0 late late-safe linger-crowd safe-crowd in-vain; do
		field_of "$name"
	done
	say '' "The kernel's counters, at the close: naive: $(counters naive)" \
		"read-linger0: $(counters read-linger0); safe: $(counters safe)" \
		"The second client's wait for its first byte: linger-crowd $(ms "$(field linger-crowd.json second_wait_ns)") ms," \
		"safe-crowd $(ms "$(field safe-crowd.json second_wait_ns)") ms"
	figure naive_got "${got[naive]}" bytes
	figure naive_lost "${lost[naive]}" bytes
	figure quiet_lost "${lost[quiet]}" bytes
	figure linger_close_ns "$(of linger-crowd close_ns)" ns
	figure linger_second_ns "$(field linger-crowd.json second_wait_ns)" ns
	figure safe_second_ns "$(field safe-crowd.json second_wait_ns)" ns
	measured arrived "${got[naive]}, and then ${end[naive]}"
	measured quiet "${got[quiet]}"
	measured fix "shutdown alone: ${got[shutdown]} arrived; SO_LINGER: ${got[linger]}; shutdown and reading: ${got[safe]}"
	measured second "after $(ms "$(field linger-crowd.json second_wait_ns)") ms: when the first one read"
}

# A line of the table.
field_of() {
	got[$1]=$(field "$1.json" received_bytes)
	lost[$1]=$(field "$1.json" lost_bytes)
	end[$1]=$(field "$1.json" server_end)
	queue[$1]=$(of "$1" unacknowledged_bytes)
	say "$(printf '%-14s | %8s %13s %7s %6s ms | %9s %9s %4s' "$1" "$(of "$1" sent_bytes)" "${queue[$1]}" "$(of "$1" unread_bytes)" \
		"$(ms "$(of "$1" close_ns)")" "${got[$1]}" "${lost[$1]}" "${end[$1]}")"
}

ms() {
	calc "$1 / 1e6" %.1f
}

# counters NAME: those that moved, as nstat(8) names them.
counters() {
	local text=''
	[[ $(of "$1" abort_on_close) == 0 ]] || text+=" TcpExtTCPAbortOnClose +$(of "$1" abort_on_close)"
	[[ $(of "$1" abort_on_data) == 0 ]] || text+=" TcpExtTCPAbortOnData +$(of "$1" abort_on_data)"
	[[ $(of "$1" resets_sent) == 0 ]] || text+=" TcpOutRsts +$(of "$1" resets_sent)"
	echo "${text:- none}" | cut -c 2-
}

# --- explain ---

explain() {
	say 'naive: what the server sends lies in its kernel until the client has room for it. close(2) does not wait for' \
		'that, and need not: in "quiet" the kernel goes on alone, and all of it arrives. But a close with something' \
		"unread is a conversation broken off: the client's byte will never be read. The kernel says so with a reset, and" \
		'a reset takes everything along that is still to be sent. It counts that as TCPAbortOnClose. The server is told' \
		'nothing: send(2) and close(2) came first.' \
		'read: a server that has read the byte loses nothing. late: but the byte comes after the close. Nobody will read' \
		'it, and the end is the same; no server can read what has not come yet.' \
		'shutdown: it queues a FIN behind the data; the close then drops both. linger: with an unread byte it does not' \
		'wait. linger0 is the way to reset a connection on purpose.' \
		'linger-crowd: with nothing unread the lingering close does wait, inside of the call, and one thread that serves' \
		'many has stopped for all of them. in-vain: its time was over before the data were delivered; it returned 0 all' \
		'the same.' \
		'safe: end your direction, and read until the client ends its own. Then it has everything, and nothing of it is' \
		'unread.' \
		'' \
		'In the source: end_client() in tools/sender.c, with PITFALL at each of the three beliefs.' \
		'Read on: RFC 1122 4.2.2.13, RFC 2525 2.17, RFC 9112 9.6, socket(7) SO_LINGER.'
}

# --- verdict ---

judge() {
	local name well=1 broken=1 kept=1
	for name in naive linger0 linger shutdown safe quiet read read-linger0 late late-safe linger-crowd safe-crowd in-vain; do
		well+=" && $(of "$name" sent_bytes) == $bytes && $(of "$name" close_result) == 0"
	done
	claim 'in each run the kernel took every byte, and close(2) returned 0' "$well"
	for name in naive linger0 linger shutdown read-linger0 late; do
		broken+=" && ${lost[$name]} > $bytes / 2 && \"${end[$name]}\" == \"rst\""
		kept+=" && ${got[$name]} + ${lost[$name]} == $bytes && ${lost[$name]} <= ${queue[$name]}"
	done
	claim 'naive, linger0, linger, shutdown, late: more than half is lost, and the client sees a reset' "$broken"
	claim 'what was lost had not been acknowledged when the server closed' "$kept"
	claim 'naive, linger, shutdown: one unread byte, and the kernel counts TCPAbortOnClose' \
		"$(of naive unread_bytes) == 1 && $(of naive abort_on_close) > 0 && $(of linger abort_on_close) > 0 &&
		$(of shutdown abort_on_close) > 0 && $(of naive resets_sent) > 0"
	claim 'read-linger0: nothing unread, lost all the same, and counted as TCPAbortOnData' \
		"$(of read-linger0 unread_bytes) == 0 && $(of read-linger0 abort_on_data) > 0"
	claim 'late: nothing was unread when the server closed; the kernel counted TCPAbortOnData afterwards' \
		"$(of late unread_bytes) == 0 && $(field late-server.json abort_on_data) > 0"
	claim 'quiet: the naive close of a client that said nothing loses nothing' \
		"${lost[quiet]} == 0 && \"${end[quiet]}\" == \"fin\" && ${queue[quiet]} > 0"
	claim 'read: nor does that of a server that has read the byte' "${lost[read]} == 0 && \"${end[read]}\" == \"fin\""
	claim 'safe: every byte, and a FIN; nothing unread, nothing unacknowledged at the close; late or not' \
		"${lost[safe]} == 0 && \"${end[safe]}\" == \"fin\" && ${lost[late-safe]} == 0 && \"${end[late-safe]}\" == \"fin\" &&
		$(of safe unread_bytes) == 0 && ${queue[safe]} == 0 && $(of safe drained_bytes) == 1 && $(of late-safe drained_bytes) == 1"
	claim "linger-crowd: nothing is lost, close(2) took at least $pause s, and the second client was not served meanwhile" \
		"${lost[linger-crowd]} == 0 && $(of linger-crowd close_ns) >= $pause * 1e9 &&
		\"$(field linger-crowd.json second_in_pause)\" == \"false\""
	claim 'safe-crowd: nothing is lost, and the second client was served while the first one was busy' \
		"${lost[safe-crowd]} == 0 && \"$(field safe-crowd.json second_in_pause)\" == \"true\" &&
		\"$(field safe-crowd.json second_complete)\" == \"true\""
	claim 'in-vain: close(2) gave up after its second, with most of it not acknowledged, and returned 0' \
		"$(of in-vain close_ns) >= 0.9e9 && $(of in-vain close_result) == 0 && ${queue[in-vain]} > $bytes / 2"
}

main "$@"
