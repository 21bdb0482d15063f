#!/usr/bin/env bash
# 22-half-close - a connection has two directions, and each of them ends by itself.
#
# tier: any
# summary: A reply that nobody is there to read, two programs that wait for each other, and a relay that ends too much.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

reply=1000000
header=16

main() {
	lab_start "$@"
	need halfclose netcat-nonblocking

	beat predict
	say "A server reads a request until recv(2) returns 0: the client's end. Then it answers with $reply bytes. A client sends" \
		'a request of 1000 bytes, has nothing more to say, and calls close(2). The server answers at once.'
	predict reply "How many bytes of the reply are delivered to the client?"
	predict server 'What does the server see?' 'every send(2) is well' 'its first send(2) fails' \
		'its first send(2) is well, a later one fails'
	say 'Another client does not close. It reads, and waits for the reply.'
	predict never 'How many bytes does this one get?'
	say 'A third one ends its own direction only: shutdown(fd, SHUT_WR). It gets everything. Now a relay stands between the two;' \
		'it passes bytes on in both directions, and closes both of its connections when one of them is at its end.'
	predict relay 'How many bytes does the third client get through this relay?'

	beat run
	ask close ''
	ask never ' --never --timeout 0.5'
	ask fixed ' --fixed'
	small
	through relay ''
	through relay-fixed ' --fixed'
	with_netcat

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# ask NAME OPTIONS: one client, and a server for it.
ask() {
	serve "$1-server" "halfclose -s -1 -p 0 --reply $reply --json > $1-server.json"
	measure "$1" "halfclose 127.0.0.1 -p $PORT$2"
	join "$1-server"
}

# A reply that one send(2) takes as a whole.
small() {
	serve small-server 'halfclose -s -1 -p 0 --reply 100 --json > small-server.json'
	measure small "halfclose 127.0.0.1 -p $PORT"
	join small-server
}

# through NAME OPTIONS: a client that does everything right, the relay, and the server behind it.
through() {
	serve "$1-server" "halfclose -s -1 -p 0 --reply $reply --json > $1-server.json"
	serve "$1-relay" "halfclose --relay 127.0.0.1 -p $PORT --listen 0 -1$2 --json > $1-relay.json"
	try "halfclose 127.0.0.1 -p $PORT --fixed --json > $1.json"
	join "$1-relay"
	join "$1-server"
}

# The same question asked by a netcat, which is told to end in the wrong way, and in its own.
with_netcat() {
	serve netcat-server "halfclose -s -p 0 --reply $reply --json > netcat-server.json"
	run "printf hello | netcat-nonblocking --close-mode close 127.0.0.1 $PORT | wc -c > netcat-close.bytes"
	run "printf hello | netcat-nonblocking 127.0.0.1 $PORT | wc -c > netcat-half.bytes"
	stop netcat-server
}

# --- observe ---

declare -A taken=() seen=() got=() end=()

observe() {
	local name
	say "$(printf '%-12s | %10s %12s %8s | %12s %6s' '' 'server had' 'kernel took' error 'client got' end)"
	for name in close small never fixed relay relay-fixed; do
		taken[$name]=$(field $name-server.json written_bytes connection)
		seen[$name]=$(field $name-server.json errno connection)
		seen[$name]=${seen[$name]/null/none}
		got[$name]=$(field $name.json received_bytes)
		end[$name]=$(field $name.json server_end)
		say "$(printf '%-12s | %10s %12s %8s | %12s %6s' "$name" "$(field $name-server.json request_bytes connection)" \
			"${taken[$name]}" "${seen[$name]}" "${got[$name]}" "${end[$name]}")"
	done
	for name in relay relay-fixed; do
		say "$name: up $(field $name-relay.json up_bytes connection), down $(field $name-relay.json down_bytes connection)"
	done
	say "netcat --close-mode close: $(cat netcat-close.bytes) bytes; netcat: $(cat netcat-half.bytes)"
	figure close_got "${got[close]}" bytes
	figure close_taken "${taken[close]}" bytes
	figure relay_got "${got[relay]}" bytes
	measured reply "${got[close]}; the server's kernel took ${taken[close]}"
	measured server "a later one fails (${seen[close]})"
	measured never "${got[never]}, and the server waits as well"
	measured relay "${got[relay]}"
}

# --- explain ---

explain() {
	say "close: the client's FIN told the server that the request was complete, and that was all that it could tell. The client's" \
		'kernel knew more: nobody has this connection open any longer. It answers the first segment of the reply with a reset.' \
		"By then the server's kernel had taken those bytes, so send(2) was well; the next one is told EPIPE. In \"small\" there is" \
		'no next one: send(2) took everything, close(2) would have been well too, and nothing arrived. The server knows it' \
		'here because it waits until its bytes are acknowledged.' \
		'never: the server waits for the end of the request, the client for the reply. Only a timeout ends that.' \
		'fixed: shutdown(SHUT_WR) sends the same FIN, and keeps the other direction. Each side sees the FIN of the other: that is' \
		'how each of them knows that it has everything.' \
		'relay: it did to the client what "close" does to itself. An end is to be passed on like the bytes in front of it, and' \
		'the relay is over when both directions are.' \
		'' \
		'In the source: ask() has the first two mistakes, relay_ways() the third, all in tools/halfclose.c.' \
		'Read on: RFC 9293 3.6, RFC 1122 4.2.2.13 (a half-duplex close), shutdown(2).'
}

# --- verdict ---

judge() {
	local name had=1 whole=$((reply + header))
	for name in close small never fixed relay relay-fixed; do
		had+=" && $(field $name-server.json request_bytes connection) == 1000"
	done
	claim 'the whole request reached the server in each run' "$had"
	claim 'close: not a byte of the reply arrived' "${got[close]} == 0"
	claim "close: the server's first send was well, and EPIPE came later" \
		"${taken[close]} > 0 && \"${seen[close]}\" == \"EPIPE\""
	claim 'small: the kernel took all of the reply, and not a byte arrived' \
		"${taken[small]} == 100 + $header && ${got[small]} == 0 && \"${seen[small]}\" == \"EPIPE\""
	claim 'never: not a byte, and no end either' "${got[never]} == 0 && \"${end[never]}\" == \"none\""
	claim 'fixed: every byte is there and right, and a FIN after it' \
		"${got[fixed]} == $whole && \"$(field fixed.json complete)\" == \"true\" && \"${end[fixed]}\" == \"fin\""
	claim 'fixed: the server saw no error' "\"${seen[fixed]}\" == \"none\" && ${taken[fixed]} == $whole"
	claim 'relay: not a byte of the reply arrived, though the client did everything right' \
		"${got[relay]} == 0 && $(field relay-relay.json down_bytes connection) == 0"
	claim 'relay, fixed: every byte is there and right' \
		"${got[relay-fixed]} == $whole && \"$(field relay-fixed.json complete)\" == \"true\""
	claim 'netcat gets nothing when it closes, everything when it half-closes' \
		"$(cat netcat-close.bytes) == 0 && $(cat netcat-half.bytes) == $whole"
}

main "$@"
