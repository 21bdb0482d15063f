#!/usr/bin/env bats
# The front door: scripts/tcplab in the tree and installed, the doctor, the completion.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load helpers

setup() {
	tcplab=$TCPLAB_ROOT/scripts/tcplab
}

tools() {
	local tool
	for tool in "$TCPLAB_BIN"/*; do
		[ "${tool##*/}" = doctor ] || echo "${tool##*/}"
	done
}

# A tree of its own in $tree, with the real front door and tools and with labs that end as their names say.
make_tree() {
	tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/scripts" "$tree/labs"
	cp "$tcplab" "$tree/scripts/"
	make_lab 01-good any 0 CONFIRMED
	make_lab 02-absent-peer ns 77 'SKIPPED: needs a peer'
}

# make_lab NAME TIER STATUS VERDICT
make_lab() {
	mkdir -p "$tree/labs/$1"
	cat >"$tree/labs/$1/lab.sh" <<-END
		#!/usr/bin/env bash
		# tier: $2
		# summary: the summary of $1
		echo "options: \$*"
		[ -x "\$TCPLAB_BIN/doctor" ] && [ -x "\$TCPLAB" ] && echo "knows its tools"
		echo "$1: $4"
		exit $3
	END
	chmod +x "$tree/labs/$1/lab.sh"
}

# --- lists and dispatch ---------------------------------------------------------------------------------------------

@test "tcplab alone lists each tool and lab with its one line" {
	make_tree
	run -0 "$tree/scripts/tcplab"
	[[ $output == *"tcplab doctor"* ]]
	[[ $output == *$'\n  01-good               any  the summary of 01-good'* ]]
	local tool
	for tool in $(tools); do
		grep -qE "^  $tool +[a-z]" <<<"$output"
	done
	run ! grep -E '^  doctor' <<<"$output"
}

@test "an unknown tool or command is wrong usage" {
	local word
	for word in no-such-tool ../bin/doctor --no-such-option; do
		run -2 --separate-stderr "$tcplab" "$word"
		[ -z "$output" ]
		[[ $stderr == "tcplab: no tool or command '$word'"* ]]
	done
}

@test "tcplab TOOL runs the tool and hands its exit status on" {
	local tool
	for tool in $(tools); do
		run -0 "$tcplab" "$tool" --version
		[[ $output == "$tool (tcplab) "* ]]
		run -2 "$tcplab" "$tool" --no-such-option
	done
}

@test "tcplab netcat is the one of the three that never waits" {
	run -0 "$tcplab" netcat --version
	[[ $output == "netcat-nonblocking (tcplab) "* ]]
}

@test "help and the version work, the version is the tools' one" {
	run -0 "$tcplab" --help
	[[ $output == "usage: tcplab"* ]]
	run -0 "$tcplab" help
	run -0 "$tcplab" --version
	[ "$output" = "tcplab $("$TCPLAB_BIN/doctor" --version | sed 's/.* //')" ]
}

@test "where nothing is built it says so in one line" {
	TCPLAB_BIN=$BATS_TEST_TMPDIR/nowhere run -1 --separate-stderr "$tcplab"
	[ -z "$output" ]
	[ ${#stderr_lines[@]} -eq 1 ]
	[[ $stderr == *"run 'make'"* ]]
}

@test "it is found through a symbolic link and from any directory" {
	ln -s "$tcplab" "$BATS_TEST_TMPDIR/link"
	cd /
	run -0 "$BATS_TEST_TMPDIR/link" --version
}

# --- labs -----------------------------------------------------------------------------------------------------------

@test "tcplab lab lists the labs" {
	make_tree
	run -0 "$tree/scripts/tcplab" lab
	[ "${lines[0]}" = "  01-good               any  the summary of 01-good" ]
	[ "${lines[1]}" = "  02-absent-peer        ns   the summary of 02-absent-peer" ]
}

@test "a lab runs by its number, its topic or both, with its options" {
	make_tree
	local name
	for name in 01 good 01-good; do
		run -0 "$tree/scripts/tcplab" lab --batch "$name" --tap
		[ "${lines[0]}" = "options: --batch --tap" ]
		[ "${lines[1]}" = "knows its tools" ]
	done
	cd "$BATS_TEST_TMPDIR"
	run -77 "$tree/scripts/tcplab" lab absent-peer --json --evidence kept
	[ "${lines[0]}" = "options: --evidence $BATS_TEST_TMPDIR/kept --json" ]
	run -77 "$tree/scripts/tcplab" lab absent-peer --svg drawn
	[ "${lines[0]}" = "options: --svg $BATS_TEST_TMPDIR/drawn" ]
}

@test "lab all gives each lab a folder of its own for its evidence, and for its curves" {
	make_tree
	cd "$BATS_TEST_TMPDIR"
	local here=$BATS_TEST_TMPDIR
	run -0 "$tree/scripts/tcplab" lab all --batch --evidence kept --svg drawn
	[ "${lines[0]}" = "options: --batch --evidence $here/kept/01-good --svg $here/drawn/01-good" ]
	[[ $output == *"options: --batch --evidence $here/kept/02-absent-peer --svg $here/drawn/02-absent-peer"* ]]
	make_lab 03-wrong any 1 'NOT CONFIRMED: 1 > 2' # with --tap it shows what it said
	run -1 "$tree/scripts/tcplab" lab all --tap --svg drawn
	[[ $output == *"# options: --svg $here/drawn/03-wrong"* ]]
}

@test "wrong usage of lab" {
	make_tree
	run -2 "$tree/scripts/tcplab" lab no-such-lab
	run -2 "$tree/scripts/tcplab" lab --no-such-option
	run -2 "$tree/scripts/tcplab" lab good absent-peer
	run -2 "$tree/scripts/tcplab" lab good --evidence
	run -2 "$tree/scripts/tcplab" lab good --svg
	run -2 "$tree/scripts/tcplab" lab good --hosts
}

@test "lab --hosts is for labs that say so, and lab all runs these" {
	make_tree
	run -2 --separate-stderr "$tree/scripts/tcplab" lab good --hosts a,b
	one_line_with 'lab 01-good is about one host'
	make_lab 03-far any 0 CONFIRMED
	sed -i '2i # hosts: ttcp' "$tree/labs/03-far/lab.sh"
	run -0 "$tree/scripts/tcplab" lab far --hosts a,b --json
	[ "${lines[0]}" = 'options: --hosts a,b --json' ]
	run -0 "$tree/scripts/tcplab" lab all --hosts a,b --tap
	[ "$output" = $'1..1\nok 1 - 03-far' ]
}

@test "lab all: a skipped lab does no harm, one that is not confirmed does" {
	make_tree
	run -0 "$tree/scripts/tcplab" lab all --batch
	[ "${lines[-1]}" = "2 labs: 1 confirmed, 0 not confirmed, 1 skipped" ]
	make_lab 03-wrong any 1 'NOT CONFIRMED: 1 > 2'
	run -1 "$tree/scripts/tcplab" lab all --batch
	[ "${lines[-1]}" = "3 labs: 1 confirmed, 1 not confirmed, 1 skipped" ]
	rm -r "$tree/labs/03-wrong"
	make_lab 04-dies any 139 'no verdict'
	run -1 "$tree/scripts/tcplab" lab all --batch
}

@test "lab all --tap is TAP: plan, ok, SKIP with the reason, not ok with what was said" {
	make_tree
	make_lab 03-wrong any 1 'NOT CONFIRMED: 1 > 2'
	run -1 "$tree/scripts/tcplab" lab all --tap
	[ "${lines[0]}" = "1..3" ]
	[ "${lines[1]}" = "ok 1 - 01-good" ]
	[ "${lines[2]}" = "ok 2 - 02-absent-peer # SKIP needs a peer" ]
	[ "${lines[3]}" = "not ok 3 - 03-wrong" ]
	[ "${lines[-1]}" = "# 03-wrong: NOT CONFIRMED: 1 > 2" ]
	[ "$(grep -vcE '^(1\.\.|ok |not ok |#)' <<<"$output")" -eq 0 ]
}

# --- net ------------------------------------------------------------------------------------------------------------

# A linkem that says how it was called, and the real doctor.
make_linkem() {
	mkdir -p bin
	ln -sf "$TCPLAB_BIN/doctor" bin/
	# shellcheck disable=SC2016 # for the script
	printf '%s\n' '#!/bin/sh' 'echo "linkem $*"' "${1:-exit 0}" >bin/linkem
	chmod +x bin/linkem
	export TCPLAB_BIN=$PWD/bin
}

@test "net: help, and wrong usage" {
	local words
	for words in '' help --help 'up --help'; do
		# shellcheck disable=SC2086 # these are words
		run -0 "$tcplab" net $words
		[[ $output == 'usage: tcplab net up '*'tcplab net exec'*'tcplab net down'* ]]
	done
	run -2 --separate-stderr "$tcplab" net no-such-command
	one_line_with 'tcplab: ' "'no-such-command'"
	[[ $("$tcplab" --help) == *'tcplab net --help'* ]]
}

@test "net: what linkem does goes to linkem, with its words and its status" {
	cd "$BATS_TEST_TMPDIR"
	make_linkem 'exit 3'
	run -3 "$tcplab" net exec a ls -l 'two words' --help
	[ "$output" = 'linkem exec a ls -l two words --help' ]
	run -3 "$tcplab" net set a2b loss=1%
	[ "$output" = 'linkem set a2b loss=1%' ]
	run -3 "$tcplab" net stat --json
	[ "$output" = 'linkem stat --json' ]
	run -3 "$tcplab" net watch
	[ "$output" = 'linkem watch' ]
	run -3 "$tcplab" net down
	[ "$output" = 'linkem down' ]
	run -3 "$tcplab" net up # and says nothing of what there is not
	[[ $output == 'linkem --background '* && ${#lines[@]} -eq 1 ]]
	rm bin/linkem
	run -1 --separate-stderr "$tcplab" net up
	one_line_with 'tcplab: linkem is not built'
}

# holder_in SCRIPT: the process that the testbed is to end with, when a shell runs `tcplab net up` like this, and that shell.
holder_in() {
	bash -c "$1" "$tcplab" | sed -n 's/^linkem --background --router --while \([0-9]*\).*/\1/p; s/^shell //p' | xargs
}

@test "net up: held by the shell that called, not by its subshells" {
	cd "$BATS_TEST_TMPDIR"
	make_linkem
	local script found
	# shellcheck disable=SC2016 # for the inner shells
	for script in '"$0" net up; :' '("$0" net up; :); :' 'said=$("$0" net up --json; :); echo "$said"' '((("$0" net up; :); :); :) | cat' \
		'f() { "$0" net up; :; }; f | cat; :'; do
		found=$(holder_in "echo shell \$\$; $script")
		[[ $found =~ ^([0-9]+)\ ([0-9]+)$ ]]
		same "$script" "${BASH_REMATCH[2]}" "${BASH_REMATCH[1]}"
	done
	# A shell that was started by another one is no copy of it, though its command line is the same.
	# shellcheck disable=SC2016 # for the inner shells
	local same_line='echo shell $$; if [ -z "${INNER:-}" ]; then INNER=yes bash -c "$SCRIPT" "$0"; else "$0" net up; fi; :'
	found=$(SCRIPT=$same_line holder_in "$same_line")
	[[ $found =~ ^([0-9]+)\ ([0-9]+)\ ([0-9]+)$ ]]
	same 'the inner shell' "${BASH_REMATCH[3]}" "${BASH_REMATCH[2]}"
}

@test "net up: --keep is not held by anybody, --json says nothing else, and otherwise it says how to go on" {
	cd "$BATS_TEST_TMPDIR"
	make_linkem
	run -0 "$tcplab" net up --rtt 20ms --a2b loss=1%
	[[ $output == 'linkem --background --router --while '*' --rtt 20ms --a2b loss=1%'$'\n'*'tcplab net exec a'*'with the shell'* ]]
	run -0 "$tcplab" net up --rtt 20ms --keep
	[[ $output == 'linkem --background --router --rtt 20ms'$'\n'* && $output != *'with the shell'* ]]
	run -0 "$tcplab" net up --keep --json
	[ "$output" = 'linkem --background --router --json' ]
}

@test "net: two hosts and a router, from up to down" {
	cd "$BATS_TEST_TMPDIR"
	need "$TCPLAB_BIN/linkem"
	export TCPLAB_NET=test-$$
	"$tcplab" net up --rtt 2ms >out 2>&1 3>&- || skip "no testbed can be made here: $(<out)"
	run -0 "$tcplab" net exec a getent hosts b r
	[ ${#lines[@]} -eq 2 ]
	run -7 "$tcplab" net exec b sh -c 'command -v ttcp && exit 7'
	run -0 "$tcplab" net set rtt=4ms
	run -0 "$tcplab" net stat --json
	[[ $output == *'"a2b":'*'delay=2ms'* ]]
	run -0 "$tcplab" net down
	run -1 "$tcplab" net stat
	# A shell that ends takes it along.
	# shellcheck disable=SC2016 # for the inner shell
	bash -c '"$0" net up; :' "$tcplab" 3>&-
	wait_until is_down
}

is_down() {
	! "$tcplab" net stat >/dev/null 2>&1
}

# --- doctor ---------------------------------------------------------------------------------------------------------

# Each line one flat JSON object of this schema.
is_ndjson() {
	local string='"([^"\\]|\\.)*"'
	local value="($string|-?[0-9]+|true|false|null|\[($string,?)*\])"
	! grep -vE "^\{\"schema\":\"tcplab\.doctor/1\"(,$string:$value)+\}\$"
}

@test "doctor prints its sections, the tiers and a line for each lab" {
	make_tree
	run -0 "$tree/scripts/tcplab" doctor
	local title
	for title in "This machine" "Private namespaces" Links TCP Programs Tiers Labs; do
		grep -qx "$title" <<<"$output"
	done
	grep -qE '^  ok  any  ' <<<"$output"
	grep -qE '^  ok  01-good +enabled \(any\)$' <<<"$output"
	grep -qE '^  (ok|--)  02-absent-peer +[a-z]' <<<"$output"
}

@test "doctor --json is NDJSON: probes, labs, and the total last" {
	make_tree
	"$tree/scripts/tcplab" doctor --json >"$BATS_TEST_TMPDIR/out"
	is_ndjson <"$BATS_TEST_TMPDIR/out"
	local probes
	probes=$(grep -c '"record":"probe"' "$BATS_TEST_TMPDIR/out")
	[ "$probes" -gt 25 ]
	[ "$(field probes <"$BATS_TEST_TMPDIR/out")" -eq "$probes" ]
	[ "$(grep -c '"record":"lab"' "$BATS_TEST_TMPDIR/out")" -eq 2 ]
	[ "$(tail -n 1 "$BATS_TEST_TMPDIR/out" | field record)" = total ]
	[[ $(field tiers <"$BATS_TEST_TMPDIR/out") == '["any"'* ]]
}

@test "doctor works for an ordinary user, who reports each step of the chain" {
	open_folder
	cp "$TCPLAB_BIN/doctor" "$OPEN_FOLDER/"
	run -0 as_nobody "$OPEN_FOLDER/doctor" --json
	is_ndjson <<<"$output"
	grep -q '"name":"user_namespace","ok":' <<<"$output"
	grep -q '"name":"id_maps","ok":' <<<"$output"
	local tiers
	tiers=$(field tiers <<<"$output")
	run ! grep '"name":"ordinary_user"' <<<"$output"
	# What the kernel allows here, the doctor must find: the whole chain.
	if as_nobody unshare -Urnmp --fork --mount-proc true; then
		[[ $tiers == *'"ns"'* ]]
	fi
}

@test "doctor names the step and the error where namespaces are refused, and the labs that it costs" {
	unshare -Ur true || skip "needs user namespaces"
	make_tree
	# shellcheck disable=SC2016 # for the inner shell
	run -0 unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$0" doctor' "$tree/scripts/tcplab"
	grep -qE '^  ok  pid_namespace ' <<<"$output"
	grep -qE '^  --  network_namespace +ENOSPC' <<<"$output"
	grep -qE '^  --  loopback_up +not reached' <<<"$output"
	grep -qE '^  ok  01-good +enabled' <<<"$output"
	grep -qE '^  --  02-absent-peer +network_namespace: ENOSPC' <<<"$output"
}

# In namespaces of their own, because other tests make devices, mounts and doctors, too.
@test "doctor leaves no device, mount or process behind" {
	local private=(unshare --net --pid --mount --fork --mount-proc)
	[ "$EUID" -eq 0 ] || private+=(--user --map-root-user)
	"${private[@]}" true || skip "no namespaces here"
	# shellcheck disable=SC2016 # for the inner shell
	run -0 "${private[@]}" bash -c '
		look() { cut -d: -f1 /proc/net/dev; cat /proc/self/mounts; }
		before=$(look)
		"$0" >/dev/null
		[ "$before" = "$(look)" ] || { echo "$before" && look && exit 1; }
		! pgrep -x doctor' "$TCPLAB_BIN/doctor"
}

@test "doctor: wrong usage, and a report that cannot be written" {
	run -2 "$TCPLAB_BIN/doctor" operand
	# shellcheck disable=SC2016 # for the inner shell
	run -1 --separate-stderr sh -c '"$0" --json >/dev/full' "$TCPLAB_BIN/doctor"
	[[ $stderr == *"cannot write"* ]]
}

# --- installed ------------------------------------------------------------------------------------------------------

@test "make install: everything in its place, it works there, and uninstall leaves nothing" {
	local root=$BATS_TEST_TMPDIR/root tool
	make -s -C "$TCPLAB_ROOT" install DESTDIR="$root" PREFIX=/usr
	[ "$(ls "$root/usr/bin")" = tcplab ] # and no netcat, echo or discard
	[ -e "$root/usr/share/man/man1/tcplab.1" ]
	[[ $(env -u TCPLAB_BIN "$root/usr/bin/tcplab" measure --help) == 'usage: tcplab measure'* ]]
	for tool in $(tools); do
		[ -x "$root/usr/libexec/tcplab/$tool" ]
		[ -e "$root/usr/share/man/man1/tcplab-$tool.1" ]
		env -u TCPLAB_BIN "$root/usr/bin/tcplab" "$tool" --version
	done
	bash -n "$root/usr/share/bash-completion/completions/tcplab"
	diff <(env -u TCPLAB_BIN "$root/usr/bin/tcplab" lab) <("$tcplab" lab)
	env -u TCPLAB_BIN "$root/usr/bin/tcplab" doctor >/dev/null

	make -s -C "$TCPLAB_ROOT" uninstall DESTDIR="$root" PREFIX=/usr
	find "$root" ! -type d
	[ -z "$(find "$root" ! -type d)" ]
}

@test "every tool has a man page with the sections that a reader looks for" {
	local tool section
	for tool in doctor $(tools); do
		run -0 "$TCPLAB_BIN/$tool" --print-man
		for section in SYNOPSIS OPTIONS 'EXIT STATUS' EXAMPLES; do
			grep -qx ".SH $section" <<<"$output"
		done
	done
}

# --- completion -----------------------------------------------------------------------------------------------------

# complete WORD...: what TAB offers after these words; the last one is being typed.
complete_words() {
	# shellcheck disable=SC1090
	source <("$TCPLAB_ROOT/scripts/completion" "${completed[@]}")
	COMP_WORDS=(tcplab "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_tcplab
	echo "${COMPREPLY[*]}"
}

# A tool with one option of each kind.
fake_tool() {
	completed=("$BATS_TEST_TMPDIR/ttest" "$TCPLAB_BIN/doctor")
	cat >"${completed[0]}" <<-'END'
		#!/bin/sh
		printf -- '--mode choice ack stream raw\n--bytes value\n--svg file\n--json flag\n--transmit host\n'
	END
	chmod +x "${completed[0]}"
}

@test "completion: the first word is a command or a tool" {
	fake_tool
	[ "$(complete_words '')" = "doctor help lab measure net ttest" ]
	[ "$(complete_words d)" = "doctor" ]
}

@test "completion: options, choices, files, and nothing after a value option" {
	fake_tool
	cd "$BATS_TEST_TMPDIR"
	touch picture.svg
	[ "$(complete_words ttest --)" = "--mode --bytes --svg --json --transmit" ]
	[ "$(complete_words ttest --json --by)" = "--bytes" ]
	[ "$(complete_words ttest --mode '')" = "ack stream raw" ]
	[ "$(complete_words ttest --mode s)" = "stream" ]
	[ "$(complete_words ttest --mode = s)" = "stream" ]
	[ "$(complete_words ttest --mode =)" = "ack stream raw" ]
	[ "$(complete_words ttest --svg pic)" = "picture.svg" ]
	[ "$(complete_words ttest --bytes '')" = "" ]
	[ "$(complete_words ttest --transmit --by)" = "--bytes" ]
	[ "$(complete_words no-such-tool --)" = "" ]
}

@test "completion: lab names and options" {
	fake_tool
	local lab
	for lab in $("$tcplab" lab | awk '{ print $1 }'); do
		[ "$(complete_words lab "$lab")" = "$lab" ]
	done
	[ "$(complete_words lab al)" = "all" ]
	[ "$(complete_words lab --ba)" = "--batch" ]
	[ "$(complete_words lab --evidence /pro)" = "/proc" ]
	[ "$(complete_words lab --svg /pro)" = "/proc" ]
	[ "$(complete_words lab --hosts '')" = "" ]
}

@test "completion: measure has its options" {
	fake_tool
	cd "$BATS_TEST_TMPDIR"
	touch picture.svg
	[ "$(complete_words measure --)" = "--time --port --json --csv --svg --help" ]
	[ "$(complete_words measure --svg pic)" = "picture.svg" ]
	[ "$(complete_words measure --time '')" = "" ]
}

@test "completion: net has its commands, and for up the options of linkem" {
	fake_tool
	[ "$(complete_words net '')" = "up exec set stat watch down" ]
	[ "$(complete_words net up --)" = "--keep" ]
	mkdir "$BATS_TEST_TMPDIR/more"
	mv "${completed[0]}" "$BATS_TEST_TMPDIR/more/linkem"
	completed=("$BATS_TEST_TMPDIR/more/linkem")
	[ "$(complete_words net up --)" = "--keep --mode --bytes --svg --json --transmit" ]
	[ "$(complete_words net up --mode s)" = "stream" ]
	[ "$(complete_words net up --bytes '')" = "" ]
}

@test "completion: made of the real tools it is valid bash" {
	"$TCPLAB_ROOT/scripts/completion" "$TCPLAB_BIN"/* | bash -n
}
