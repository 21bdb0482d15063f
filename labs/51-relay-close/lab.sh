#!/usr/bin/env bash
# 51-relay-close - a relay that ends both connections when one of them ends, and in order whatever happened.
#
# tier: any
# summary: A question, FIN, and the answer later; a server that crashes in the middle of a file: through a wrong relay and a right one.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

reply=1000000
header=16
file=1000000
part=300000
crashes='(cat part; sleep 0.1)' # and what is behind it will never come
relays=(none wrong right)

main() {
	lab_start "$@"
	need naiverelay halfclose netcat-nonblocking
	! have tcprelay || relays+=(tcprelay)

	beat predict
	say "A client asks, ends its direction (FIN), and waits. The server answers $reply bytes, 0.2 s later. Between them stands a relay" \
		'that closes both of its connections when one of them is at its end.'
	predict reply 'How many bytes of the answer does the client get?'
	predict end 'And what is the last thing that the client is told?' 'FIN: this was all' 'a reset' 'nothing: it waits for ever'
	say "A server sends a file of $file bytes, and crashes after $part: its kernel sends a reset. The client writes what comes to the" \
		'disk until the server has ended. The same relay is in between.'
	predict crash 'What does the client believe?' 'the file is complete' 'the connection was reset' 'the server is slow'

	beat run
	run "head -c $file /dev/urandom > file; head -c $part file > part"
	local relay
	for relay in "${relays[@]}"; do
		ask "$relay"
		download "$relay"
		upload "$relay"
	done

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# through RELAY NAME: puts it in front of the server at $PORT; its log is NAME.log.
through() {
	case $1 in
	none) ;;
	wrong) serve "$2" "naiverelay --mistake close -1 --json 0 127.0.0.1:$PORT > $2.json" ;;
	right) serve "$2" "naiverelay --mistake close --fixed -1 --json 0 127.0.0.1:$PORT > $2.json" ;;
	tcprelay) serve "$2" "tcprelay --json 0 127.0.0.1:$PORT > $2.json" ;;
	esac
}

# gone RELAY NAME
gone() {
	case $1 in
	none) ;;
	tcprelay) stop "$2" ;;
	*) join "$2" ;;
	esac
}

# A question, the end of this direction, and the answer.
ask() {
	serve "ask-$1-server" "halfclose -s -1 -p 0 --reply $reply --delay 0.2 --json > ask-$1-server.json"
	through "$1" "ask-$1-relay"
	try "halfclose 127.0.0.1 -p $PORT --fixed --json > ask-$1.json"
	gone "$1" "ask-$1-relay"
	join "ask-$1-server"
}

# A server that ends by a reset, after a part of the file.
download() {
	serve "down-$1-server" "$crashes | netcat-nonblocking -l -v --json --close-mode rst 127.0.0.1 0"
	through "$1" "down-$1-relay"
	try "netcat-nonblocking -d --json 127.0.0.1 $PORT > down-$1.file 2> down-$1.log"
	status["down-$1"]=$STATUS
	gone "$1" "down-$1-relay"
	join "down-$1-server"
}

# And a client that does.
upload() {
	serve "up-$1" "netcat-nonblocking -l -d -v --json 127.0.0.1 0 > up-$1.file"
	through "$1" "up-$1-relay"
	try "$crashes | netcat-nonblocking --json --close-mode rst 127.0.0.1 $PORT 2> up-$1-client.log"
	gone "$1" "up-$1-relay"
	join "up-$1"
	status["up-$1"]=$STATUS
}

# --- observe ---

declare -A status=() got=() end=() bytes=()

observe() {
	local relay what
	say "$(printf '%-10s | %10s %5s %18s | %10s %5s %7s | %10s %5s %7s' through 'answer' end 'server told' 'download' end status \
		'upload' end status)"
	for relay in "${relays[@]}"; do
		got[$relay]=$(field "ask-$relay.json" received_bytes)
		end["ask-$relay"]=$(field "ask-$relay.json" server_end)
		for what in down up; do
			bytes["$what-$relay"]=$(wc -c <"$what-$relay.file")
			end["$what-$relay"]=$(field "$what-$relay.log" peer_end)
		done
		say "$(printf '%-10s | %10s %5s %18s | %10s %5s %7s | %10s %5s %7s' "$relay" "${got[$relay]}" "${end["ask-$relay"]}" "$(told "$relay")" \
			"${bytes["down-$relay"]}" "${end["down-$relay"]}" "${status["down-$relay"]}" \
			"${bytes["up-$relay"]}" "${end["up-$relay"]}" "${status["up-$relay"]}")"
	done
	figure answer_wrong "${got[wrong]}" B
	figure answer_right "${got[right]}" B
	figure download_wrong "${bytes[down-wrong]}" B
	measured reply "${got[wrong]} of $((reply + header)); through the right one ${got[right]}"
	measured end "${end[ask-wrong]}: this was all"
	measured crash "that the file is complete: ${bytes[down-wrong]} of $file bytes, and then $(told_as down-wrong)"
}

# What the server of the question was told of its answer.
told() {
	local error
	error=$(field "ask-$1-server.json" errno connection)
	echo "${error/null/acknowledged}"
}

told_as() {
	echo "${end[$1]^^}"
}

# --- explain ---

explain() {
	say 'The answer: the FIN of the client says "I have no more to say". The relay takes it for "it is over", and closes both. The' \
		'client gets a FIN, too: an answer of 0 bytes, complete. Nothing that it can see is wrong.' \
		'The file: a reset says "something went wrong"; recv(2) of the relay returns -1, ECONNRESET. A relay that treats everything' \
		'that is not data alike closes, and close(2) sends a FIN. So the most dangerous thing that can be said in TCP is said: "this' \
		"was all\". The client has ${bytes[down-wrong]} of $file bytes, and exit status 0. Without a relay it would have been told." \
		'The right relay passes on what was said: the bytes; the end of this direction behind them, and goes on with the other one; a' \
		'reset as a reset (SO_LINGER with 0 seconds), after the bytes that came before it have been delivered.' \
		'Who wants to be sure whatever stands in between says in the stream how long it is (lab 10-byte-stream).' \
		'' \
		'In the source: note_end() and settle() in tools/naiverelay.c are the two mistakes. Read on: RFC 9293 3.6 and 3.10.7.4,' \
		'socket(7) SO_LINGER, shutdown(2).'
}

# --- verdict ---

judge() {
	local relay what
	claim 'wrong: not a byte of the answer, and a FIN as if that were all' "${got[wrong]} == 0 && $(is ask-wrong fin)"
	claim 'wrong: the server could not deliver it, and knows' "\"$(told wrong)\" == \"EPIPE\" || \"$(told wrong)\" == \"ECONNRESET\""
	for what in down up; do
		claim "wrong, ${what}load: a part of the file, then a FIN, and status 0" \
			"$(is_part "$what-wrong") && $(is "$what-wrong" fin) && ${status["$what-wrong"]} == 0"
	done
	for relay in "${relays[@]}"; do
		[[ $relay != wrong ]] || continue
		claim "$relay: the whole answer, and a FIN behind it" \
			"${got[$relay]} == $reply + $header && \"$(field "ask-$relay.json" complete)\" == \"true\" && $(is "ask-$relay" fin)"
		for what in down up; do
			claim "$relay, ${what}load: a part of the file, then a reset, and status 1" \
				"$(is_part "$what-$relay") && $(is "$what-$relay" rst) && ${status["$what-$relay"]} == 1"
		done
	done
}

# A condition for claim: it ended so.
is() {
	echo "\"${end[$1]}\" == \"$2\""
}

# What came is the beginning of the file, and less than the file.
is_part() {
	if cmp -s -n "${bytes[$1]}" file "$1.file"; then
		echo "${bytes[$1]} > 0 && ${bytes[$1]} <= $part"
	else
		echo '0 == 1'
	fi
}

main "$@"
