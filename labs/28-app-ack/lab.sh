#!/usr/bin/env bash
# 28-app-ack - acknowledged by the kernel, closed without an error, and not done.
#
# tier: any
# summary: TCP acknowledges 30 records and 10 are done; what the program itself says, and what stays in doubt.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

records=30
victim=11

main() {
	lab_start "$@"
	need appack

	beat predict
	say "A client sends $records records of 100 bytes. Each send(2) is well. The client waits until TCP has acknowledged" \
		"every byte, and the send queue is empty; close(2) returns 0. The server's program dies with record $victim in its hands."
	predict acked "How many of the bytes did the server's kernel acknowledge?"
	predict drain 'Another client ends with shutdown(2), and reads until the server ends, too (lab 21). What does recv(2) say?' \
		'0: the server has ended in order' 'ECONNRESET: something went wrong' 'nothing, it waits for ever'
	say "Now the server's program answers each record when it is done, and the client waits for the answer before it sends" \
		"the next one. The server dies with record $victim in its hands, and the connection breaks."
	predict doubt "Is record $victim done?" 'no' 'yes' 'the client cannot know'
	say "The server is started again, and the client sends record $victim again, and the rest."
	predict 'done' "How often has something been done in all, if the server had died after doing record $victim?"

	beat run
	session close '' ''
	session drain '' '--drain'
	session doubt '' '--fixed --give-up'
	session doubt-after ' --after' '--fixed --give-up'
	session again '' '--fixed'
	session again-after ' --after' '--fixed'
	session fixed ' --fixed' '--fixed'
	session fixed-after ' --after --fixed' '--fixed'
	session window ' --after --fixed' '--fixed --window 10'

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# session NAME SERVER-OPTIONS CLIENT-OPTIONS: a server that dies once, and its client.
session() {
	serve "$1-server" "appack -s -p 0 --crash-at $victim$2 --json > $1-server.json"
	try "appack 127.0.0.1 -p $PORT --records $records ${3:+$3 }--json > $1.json"
	stop "$1-server"
}

# --- observe ---

observe() {
	local name
	say 'What the client knows, and what is true:' \
		"$(printf '%-12s | %5s %12s %7s | %5s %9s %9s | %8s %6s' '' sent 'kernel acked' end 'done' 'in doubt' 'not sent' 'is done' twice)"
	for name in close drain doubt doubt-after; do
		say "$(row $name total) $(truth $name)"
	done
	say '' 'The client sends again what is in doubt. When the connection broke, and in the end:'
	for name in again again-after fixed fixed-after window; do
		say "$(printf '%-12s | %5s %12s %7s | %5s %9s %9s |' $name '' '' '' "$(field $name.json 'done' break)" \
			"$(field $name.json in_doubt break)" "$(field $name.json not_sent break)")"
		say "$(row $name total) $(truth $name)"
	done
	figure kernel_acked "$(field close.json kernel_acked_bytes)" bytes
	figure really_done "$(field close-server.json 'done')" 1
	figure done_after_retry "$(field again-after-server.json 'done')" 1
	measured acked "$(field close.json kernel_acked_bytes); done: $(field close-server.json 'done') records"
	measured drain "$(field drain.json server_end): the server has ended in order, as far as TCP can tell"
	measured doubt "no if it died before ($(field doubt-server.json 'done') done), yes if after ($(field doubt-after-server.json \
		'done')); the client sees the same"
	measured "done" "$(field again-after-server.json 'done') times; $(field fixed-after-server.json 'done') with a server that remembers"
}

row() {
	printf '%-12s | %5s %12s %7s | %5s %9s %9s |' "$1" "$(field "$1.json" sent)" "$(word "$1" kernel_acked_bytes)" \
		"$(field "$1.json" server_end)" "$(word "$1" 'done')" "$(word "$1" in_doubt)" "$(word "$1" not_sent)"
}

# word NAME KEY: what is not known is a question mark.
word() {
	local value
	value=$(field "$1.json" "$2")
	echo "${value/null/?}"
}

truth() {
	printf '%8s %6s' "$(field "$1-server.json" 'done')" "$(field "$1-server.json" done_twice)"
}

# --- explain ---

explain() {
	say "close: an acknowledgment of TCP says that the bytes are in the other kernel's buffer. They lay there, or in the" \
		'memory of a program, and died with it. Nothing that the client could ask its own kernel for would have told it.' \
		'drain: when a process dies, its kernel closes what it had open, in order. The safe close of lab 21 makes sure' \
		'that everything arrives. That it is done is another thing.' \
		'doubt: an answer of the program is worth something: 10 records are done. One was sent and not answered. The two' \
		'servers died before doing it and after doing it; the client saw the same, down to the byte. No protocol can take' \
		'this doubt away.' \
		'again: it is sent again. If it was done, it is done twice: the answer was lost, and not the work. Without' \
		'sending again there would be "at most once", with it there is "at least once".' \
		'fixed: each record has a number, and the server keeps the number of the last one it did together with what it' \
		'did. To send again is harmless then. What people call "exactly once" is this: at least once, and a server that' \
		'knows.' \
		'window: to wait for each answer costs a round trip; with ten on their way, up to ten are in doubt.' \
		'' \
		'In the source: send_and_hope(), process() and be_careful() in tools/appack.c, with PITFALL at the very lines.' \
		'Read on: Saltzer, Reed, Clark: End-to-End Arguments in System Design (1984); RFC 793 2.6; RFC 5321 6.1.'
}

# --- verdict ---

# error NAME: what the client was told; not the word "null", which no condition holds on.
error() {
	local error
	error=$(field "$1.json" errno)
	echo "${error/null/none}"
}

judge() {
	local name ten=$((victim - 1)) rest
	rest=$((records - victim))
	for name in close drain; do
		claim "$name: all sends well, all bytes acknowledged, an empty queue, close(2) said 0; $ten records are done" \
			"$(field $name.json sent) == $records && $(field $name.json kernel_acked_bytes) == $records * 100 &&
			$(field $name.json send_queue_bytes) == 0 && $(field $name.json close_result) == 0 &&
			\"$(error $name)\" == \"none\" && $(field $name-server.json 'done') == $ten"
	done
	claim "drain: and the server's end looked like any other" "\"$(field drain.json server_end)\" == \"fin\""
	for name in doubt doubt-after; do
		claim "$name: the client knows that $ten are done, 1 is in doubt, $rest were not sent" \
			"$(field $name.json 'done') == $ten && $(field $name.json in_doubt) == 1 && $(field $name.json not_sent) == $rest"
	done
	claim 'in truth the one in doubt is not done in the one, and done in the other' \
		"$(field doubt-server.json 'done') == $ten && $(field doubt-after-server.json 'done') == $victim"
	claim "again: all $records are done and confirmed in the end; the one in doubt twice, if the server died after it" \
		"$(field again.json 'done') == $records && $(field again-server.json 'done') == $records &&
		$(field again-after.json 'done') == $records && $(field again-after-server.json 'done') == $records + 1 &&
		$(field again-after-server.json done_twice) == 1"
	claim "fixed: all $records are done and confirmed, none twice, whenever the server died" \
		"$(field fixed.json 'done') == $records && $(field fixed-server.json 'done') == $records &&
		$(field fixed-after.json 'done') == $records && $(field fixed-after-server.json 'done') == $records &&
		$(field fixed-after.json done_before) == 1 && $(field fixed-after-server.json done_twice) == 0"
	claim 'window: at most ten in doubt, at least one; and again all are done, none twice' \
		"$(field window.json in_doubt break) >= 1 && $(field window.json in_doubt break) <= 10 &&
		$(field window-server.json 'done') == $records && $(field window-server.json done_twice) == 0"
}

main "$@"
