#!/usr/bin/env bats
# sigpipe: each writer's steps, exactly, and how it ended; usage, reports.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load ../helpers

setup() {
	sigpipe=$TCPLAB_BIN/sigpipe
}

# show EXPERIMENT...: with --json, status 0, nothing on stderr.
show() {
	run -0 --separate-stderr "$sigpipe" "$@" --json
	echo "sigpipe $*"
	echo "$output"
	same stderr "$stderr" ''
	same promised "$(ours as_promised)" true
}

# steps WRITER: "send=4 send=EPIPE send=null", one for each step.
steps() {
	grep -F "\"record\":\"step\",\"writer\":\"$1\"" <<<"$output" |
		sed -E 's/.*"call":"([a-z]*)","result":([^,]*),"errno":"?([A-Zn]*[a-z]*)"?.*/\1=\2 \3/; s/=-1 (.*)/=\1/; s/ null$//' |
		tr '\n' ' ' | sed 's/ $//'
}

# ended WRITER SIGNAL STATUS
ended() {
	local line
	line=$(grep -F "\"record\":\"end\",\"writer\":\"$1\"" <<<"$output")
	same "how $1 ended" "$(field signal end <<<"$line") $(field status end <<<"$line")" "$2 $3"
}

# lives WRITER STEPS
lives() {
	same "steps of $1" "$(steps "$1")" "$2"
	ended "$1" 0 0
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$sigpipe" --help
	[[ $output == *"usage: sigpipe"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$sigpipe" --version
	[[ $output == "sigpipe (tcplab) "* ]]
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' open 'closed reset' 'closed --no-such-option' 'closed --fixed=yes'; do
		echo "sigpipe $words"
		# shellcheck disable=SC2086 # an experiment and its options
		run -2 --separate-stderr "$sigpipe" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- the experiments ------------------------------------------------------------------------------------------------

@test "closed: the first send is well, the second one kills" {
	show closed
	same steps "$(steps none)" 'send=4 send=null'
	ended none 13 141
	same killed "$(ours killed)" 1
	same "sends that were well" "$(ours sends_well)" 1
}

@test "closed: three ways to live, and one of them sends nothing in vain" {
	show closed --fixed
	lives ignore 'send=4 send=EPIPE'
	lives nosignal 'send=4 send=EPIPE'
	lives look 'recv=0'
	same killed "$(ours killed)" 0
	same lived "$(ours lived)" 3
	same "sends that were well" "$(ours sends_well)" 2
}

@test "reset: the first send says so, the second one kills" {
	show reset
	same steps "$(steps none)" 'send=ECONNRESET send=null'
	ended none 13 141
	show reset --fixed
	lives ignore 'send=ECONNRESET send=EPIPE'
	lives nosignal 'send=ECONNRESET send=EPIPE'
	lives look 'recv=ECONNRESET'
}

@test "unread: the error is told once, then it looks like an end" {
	show unread
	same steps "$(steps none)" 'recv=ECONNRESET recv=0 send=null'
	ended none 13 141
	show unread --fixed
	lives ignore 'recv=ECONNRESET recv=0 send=EPIPE'
	lives nosignal 'recv=ECONNRESET recv=0 send=EPIPE'
	lives look 'recv=ECONNRESET'
}

@test "pipe: the first write kills" {
	show pipe
	same steps "$(steps none)" 'write=null'
	ended none 13 141
	show pipe --fixed
	lives ignore 'write=EPIPE'
	lives look 'poll=1'
}

@test "exec: yes lives on where SIGPIPE was ignored, and dies where it was not" {
	need yes
	show exec
	ended yes 0 1
	[[ $(ours said end) == *'Broken pipe'* ]]
	show exec --fixed
	ended yes 13 141
	same said "$(ours said end)" null
}

@test "whoever starts it, with SIGPIPE ignored or blocked: the same" {
	need python3
	local how
	for how in 'signal.signal(signal.SIGPIPE, signal.SIG_IGN)' 'signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})'; do
		for x in closed pipe; do
			run -0 python3 -c "import os, signal, sys; $how; os.execv(sys.argv[1], sys.argv[1:])" "$sigpipe" $x --json
			echo "$output"
			ended none 13 141
		done
		run -0 python3 -c "import os, signal, sys; $how; os.execv(sys.argv[1], sys.argv[1:])" "$sigpipe" exec --fixed --json
		ended yes 13 141
	done
}

@test "no yes: status 1, an error record" {
	run -1 --separate-stderr env PATH=/nowhere "$sigpipe" exec --json
	same errno "$(ours errno error)" ENOENT
	one_line_with exec yes ENOENT
}

# --- reports --------------------------------------------------------------------------------------------------------

@test "the text: each call, and how it ended" {
	run -0 --separate-stderr "$sigpipe" closed
	same stderr "$stderr" ''
	same text "$output" 'closed: the peer has closed the connection
  as it is
    1  send: 4
    2  send: never returned
    killed by signal 13 (SIGPIPE); in a shell: status 141'
	run -0 "$sigpipe" closed --fixed
	same "lines" "$(grep -c 'lived to its end: status 0' <<<"$output")" 3
}

@test "each line of --json is a record, and the text goes nowhere else" {
	need python3
	local x
	for x in closed reset unread pipe exec; do
		run -0 "$sigpipe" $x --fixed --json
		python3 -c 'import json, sys
for line in sys.stdin:
    assert json.loads(line)["schema"] == "tcplab.sigpipe/1"' <<<"$output"
		same "records of the end of $x" "$(grep -c '"record":"end"' <<<"$output")" "$(ours writers)"
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$sigpipe' closed > /dev/full"
}
