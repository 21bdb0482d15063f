#!/usr/bin/env bash
# 26-sigpipe - what a program is told, and when, that writes to somebody who is gone.
#
# tier: any
# summary: The peer is gone: one send is well, the next one kills; three ways to live, and a program that cannot die.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

main() {
	lab_start "$@"
	need sigpipe yes

	beat predict
	say 'The other end of a connection has closed it. A program calls send(2) on it, waits a while, and calls send(2) again.' \
		'It has taken no care of signals.'
	predict returned 'How many of the two calls return?'
	say 'Now the other end did not close: it reset the connection, and the reset is here. Again send(2), twice.'
	predict reset 'What does the first of them say?' 'that all is well' 'ECONNRESET' 'EPIPE' 'nothing, it does not return'
	say 'A shell runs: yes | head -n 1'
	predict yes 'What is the exit status of yes?'

	beat run
	local experiment
	for experiment in closed reset unread pipe exec; do
		measure $experiment "sigpipe $experiment"
		measure $experiment-fixed "sigpipe $experiment --fixed"
	done
	shell

	beat observe
	observe

	beat explain
	explain

	beat verdict
	judge
	verdict
}

# The same in a shell, with and without the signal. WHY env: whoever started us may have SIGPIPE ignored, and a shell
# cannot undo that.
shell() {
	if ! env --default-signal=PIPE true 2>/dev/null; then
		say 'left out: the shell, because env(1) here knows no --default-signal (coreutils 8.31)'
		default_status='' ignored_status=''
		return
	fi
	run "env --default-signal=PIPE bash -c 'yes | head -n 1; echo \${PIPESTATUS[0]} > default.status'"
	run "env --ignore-signal=PIPE bash -c 'yes | head -n 1; echo \${PIPESTATUS[0]} > ignored.status'"
	default_status=$(cat default.status)
	ignored_status=$(cat ignored.status)
}

# --- observe ---

# steps FILE WRITER: "send 4, send SIGPIPE", a word for each step.
steps() {
	local number call result error text=''
	for number in 1 2 3; do
		call=$(field "$1.json" call step "\"writer\":\"$2\",\"number\":$number,") || continue
		[[ -n $call ]] || continue
		result=$(field "$1.json" result step "\"writer\":\"$2\",\"number\":$number,")
		error=$(field "$1.json" errno step "\"writer\":\"$2\",\"number\":$number,")
		[[ $result != null ]] || error=SIGPIPE
		[[ $error != null ]] || error=$result
		text+=", $call $error"
	done
	echo "${text:2}"
}

declare -A did=()

observe() {
	local experiment
	say "$(printf '%-8s %-40s %-38s %s' '' 'as it is' 'signal ignored' 'reads first')"
	for experiment in closed reset unread pipe; do
		did[$experiment]=$(steps $experiment none)
		did[$experiment-ignore]=$(steps $experiment-fixed ignore)
		did[$experiment-nosignal]=$(steps $experiment-fixed nosignal)
		did[$experiment-look]=$(steps $experiment-fixed look)
		say "$(printf '%-8s %-40s %-38s %s' $experiment "${did[$experiment]}" "${did[$experiment-ignore]}" \
			"${did[$experiment-look]}")"
	done
	say '' "yes, where SIGPIPE was ignored before exec: status $(field exec.json status end), \"$(field exec.json said end)\"" \
		"yes, where it was not: status $(field exec-fixed.json status end)"
	[[ -z $default_status ]] || say "in bash: $default_status; with SIGPIPE ignored: $ignored_status"
	figure closed_returned "$(field closed.json sends_well)" 1
	figure yes_status "$(field exec-fixed.json status end)" 1
	measured returned "$(field closed.json sends_well): the second one killed the program"
	measured reset "${did[reset]%%,*}"
	measured yes "$(field exec-fixed.json status end), which is 128 + 13: killed by SIGPIPE"
}

# --- explain ---

explain() {
	say 'closed: the peer sent a FIN: "I have no more to say". That it will not listen either, nobody told us. So send(2) is well.' \
		'What we sent meets no one, and the answer is a reset. From then on this end knows, and the next send(2) fails with' \
		'EPIPE; and because most programs do not look, the kernel sends them SIGPIPE as well, of which they die.' \
		'reset: an accident is told once, as ECONNRESET, to the next call of any kind. After that it is EPIPE and the signal.' \
		'unread: the same, and a trap: recv(2) says ECONNRESET, and the next time 0, as if the peer had ended in order.' \
		'The signal is right for yes | head. In a server it takes all the other connections with it. Ignore it, or say' \
		'MSG_NOSIGNAL with each send; then look at what send(2) returns. And read: the end was there to be seen before' \
		'the first byte was sent in vain. What send(2) says is never that something has arrived.' \
		'exec: "ignored" is inherited by the programs that one starts. They expect to be killed, and live on: yes says so and' \
		'ends; others do not look, and write for ever. Reset the signal between fork and exec.' \
		'' \
		'In the source: write_twice() and become_yes() in tools/sigpipe.c, with PITFALL at the very lines.' \
		'Read on: send(2) EPIPE, signal(7), execve(2), RFC 1122 4.2.2.13.'
}

# --- verdict ---

# is TEXT WANTED: a condition for claim.
is() {
	[[ $1 == "$2" ]] && echo '1 == 1' || echo '0 == 1'
}

judge() {
	claim 'closed: the first send took 4 bytes, the second one killed' "$(is "${did[closed]}" 'send 4, send SIGPIPE')"
	claim 'reset: the first send said ECONNRESET, the second one killed' \
		"$(is "${did[reset]}" 'send ECONNRESET, send SIGPIPE')"
	claim 'unread: recv said ECONNRESET, then 0; send killed' \
		"$(is "${did[unread]}" 'recv ECONNRESET, recv 0, send SIGPIPE')"
	claim 'pipe: the first write killed' "$(is "${did[pipe]}" 'write SIGPIPE')"
	local experiment
	for experiment in closed reset unread pipe; do
		claim "$experiment: killed by signal 13, status 141; fixed, all $(field $experiment-fixed.json writers) writers lived" \
			"$(field $experiment.json signal end) == 13 && $(field $experiment.json status end) == 141 &&
			$(field $experiment-fixed.json lived) == $(field $experiment-fixed.json writers)"
	done
	claim 'closed, with the signal ignored or MSG_NOSIGNAL: 4 bytes, then EPIPE' \
		"$(is "${did[closed-ignore]} ${did[closed-nosignal]}" 'send 4, send EPIPE send 4, send EPIPE')"
	claim 'closed: who reads first gets 0, and sends nothing in vain' "$(is "${did[closed-look]}" 'recv 0')"
	claim 'yes lives on where SIGPIPE was ignored before exec, and is killed where it was not' \
		"$(field exec.json signal end) == 0 && $(field exec-fixed.json signal end) == 13"
	[[ -z $default_status ]] ||
		claim 'the shell says the same of yes: 141, and something else with SIGPIPE ignored' \
			"$default_status == 141 && $ignored_status != 141"
}

main "$@"
