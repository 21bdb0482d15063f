#!/usr/bin/env bats
# labs.bats - what all labs have in common, and that the lab kit keeps its promises. The kit's own tests use a lab that is
# written here, so that they take no longer than they have to. That each lab proves its claim is tested by labs/lab.bats.

# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant

load helpers
load labs/labs

setup() {
	open_tmp
}

teardown() {
	nothing_in_tmp
}

# small_lab [LINE...]: writes 99-small/lab.sh with these lines as its "run".
small_lab() {
	mkdir -p 99-small
	{
		echo '#!/usr/bin/env bash'
		echo "# tier: ${TIER:-any}"
		echo '# summary: A lab for the tests of the kit.'
		echo 'set -uo pipefail'
		echo "source '$LABS/lib/lab.sh'"
		echo 'lab_start "$@"'
		echo "predict letter 'Which?' 'the first' 'the \"second\"'"
		echo "predict number 'How many?'"
		printf '%s\n' "$@"
		echo "measured letter 'the first'"
		echo 'figure one 1 s'
		echo "claim 'one is one' '1 == 1'"
		echo 'verdict'
	} >99-small/lab.sh
	chmod +x 99-small/lab.sh
	SMALL=$PWD/99-small/lab.sh
}

# A sleep that only this test can have started. bats numbers its temporary directories, so parallel runs differ too.
unique_sleep() {
	SLEEP="9999.$$$RANDOM"
}

nothing_sleeps() {
	! pgrep -f "sleep $SLEEP" >/dev/null
}

# start_lab CMD...: in the background, with SIGINT as a terminal would leave it, until its sleep runs. $TOP is its pid.
start_lab() {
	env --default-signal=INT "$@" >out 2>&1 3>&- &
	TOP=$!
	wait_until pgrep -f "sleep $SLEEP" >/dev/null || { cat out && return 1; }
}

nothing_is_left() {
	wait_until nothing_sleeps && wait_until no_directory
}

no_directory() {
	local found=("$TMPDIR"/tcplab-lab.*)
	[ ! -e "${found[0]}" ]
}

# --- the labs -------------------------------------------------------------------------------------------------------

@test "52-socks: without namespaces it is skipped, and says why" {
	run -77 env TCPLAB_LAB_CAGE=none "$LABS/52-socks/lab.sh" --batch
	[[ ${lines[-1]} == '52-socks: SKIPPED: tier ns: namespaces are refused here'* ]]
}

@test "02-message-size: confirmed as an ordinary user who has namespaces" {
	[ "$EUID" -eq 0 ] || skip "needs root to become somebody else"
	open_copy
	check_lab 02-message-size as_nobody env TMPDIR="$TMPDIR"
}

@test "82-keep-alive: without ab it shows less, and says so" {
	mkdir bin
	ln -s /bin/* /usr/bin/* bin/ 2>/dev/null || true
	rm -f bin/ab
	PATH=$PWD/bin check_lab 82-keep-alive
	grep -q '^left out: .*there is no ab' 82-keep-alive.out
}

@test "40-multiplexing: with few descriptors it shows less, with too few it is skipped, and says why" {
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 1024 ] || skip "needs 1024 descriptors"
	ulimit -n 1024
	check_lab 40-multiplexing
	ulimit -n 512
	run -77 "$LABS/40-multiplexing/lab.sh" --batch
	[[ ${lines[-1]} == '40-multiplexing: SKIPPED: '*descriptors*512* ]]
}

@test "every lab has the lines that the front door reads, a handout, and --help" {
	local name
	for name in $(labs); do
		grep -qE '^# tier: (any|ns|em)$' "$LABS/$name/lab.sh"
		grep -qE '^# summary: .+\.$' "$LABS/$name/lab.sh"
		[ -s "$LABS/$name/README.md" ]
		run -0 "$LABS/$name/lab.sh" --help
		[[ $output == usage:* ]]
	done
}

@test "every lab stands in the page of symptoms, beside one of them, and in the page for teachers, in a plan" {
	local name page
	for name in $(labs); do
		for page in pitfalls teaching; do
			# Once more than in the list at the end, which has them all.
			[ "$(grep -oF "(../labs/$name/)" "$TCPLAB_ROOT/docs/$page.md" | wc -l)" -ge 2 ] ||
				{ echo "docs/$page.md: nothing about $name" && return 1; }
		done
		grep -qE "^\| \[$name\]\(\.\./labs/$name/\) \| $(header tier "$name") \|" "$TCPLAB_ROOT/docs/teaching.md" ||
			{ echo "docs/teaching.md: not in the last table, or with another tier: $name" && return 1; }
	done
	# And none that there is not.
	grep -ohE '\(\.\./labs/[^/)]*' "$TCPLAB_ROOT"/docs/{pitfalls,teaching}.md | sed 's|.*/||' | sort -u >named
	diff named <(labs)
}

@test "every function that a lab points at is in the source" {
	local name function
	for name in $(labs); do
		# The script's own functions begin their line; what it says does not.
		cat "$LABS/$name/README.md" <(grep -v '^[a-z]' "$LABS/$name/lab.sh") |
			grep -oE '\<[a-z_]+\(\)' | sort -u >pointed_at
		[ -s pointed_at ]
		while read -r function; do
			grep -qE "^[a-z].*\<${function%()}\(" "$TCPLAB_ROOT"/{common,tools,tools/*}/*.[ch] ||
				{ echo "$name points at $function" && return 1; }
		done <pointed_at
	done
}

@test "02-message-size: --json, and the evidence bundle with it" {
	"$LABS/02-message-size/lab.sh" --json --evidence bundle >records.json 2>text
	[ "$(head -n 1 records.json | field lab start)" = 02-message-size ]
	[ "$(tail -n 1 records.json | field verdict)" = CONFIRMED ]
	[ "$(field why <records.json)" = null ]
	[ "$(field prediction <records.json)" = null ]
	# Every figure is in the total too, under its own name and with the same value.
	[ "$(grep -c '"record":"figure"' records.json)" -ge 10 ]
	local line name
	while read -r line; do
		name=$(field name figure <<<"$line")
		[ "$(field "$name" <records.json)" = "$(field value figure <<<"$line")" ]
	done < <(grep '"record":"figure"' records.json)
	grep -q '^02-message-size: CONFIRMED$' text
	cmp records.json bundle/lab.json
	cmp text bundle/transcript.txt
	[ -s bundle/results/one-by-one-1.json ]
}

# --- the kit: output ------------------------------------------------------------------------------------------------

@test "kit: every JSON record is JSON" {
	need python3
	small_lab 'try "exit 3"' 'figure odd nan' 'figure small 1e-05 s' \
		'run "printf %s\\\\n \"a \\\"quoted\\\" back\\\\\\\\slash\""'
	"$SMALL" --json --evidence bundle >records.json 2>/dev/null
	python3 - records.json bundle/lab.json bundle/predictions.json bundle/verdict.json <<-'END'
		import json, sys
		for name in sys.argv[1:]:
		    records = [json.loads(line) for line in open(name)]
		    assert records and all(r["schema"] == "tcplab.lab/1" for r in records), name
		total = records[-1]
		assert total["record"] == "total" and total["one"] == 1 and total["odd"] is None and total["small"] == 1e-05
	END
}

@test "kit: --tap is one test, and all else a comment" {
	small_lab 'run "echo hello"'
	run -0 "$SMALL" --tap
	[ "$(grep -vc '^#' <<<"$(grep . <<<"$output")")" -eq 2 ]
	[ "${lines[-2]}" = '1..1' ]
	[ "${lines[-1]}" = 'ok 1 - 99-small' ]
	[[ $output == *'# hello'* ]]
	small_lab "claim 'two is one' '2 == 1'"
	run -1 "$SMALL" --tap
	[ "${lines[-1]}" = 'not ok 1 - 99-small' ]
	small_lab "skip 'no reason'"
	run -77 "$SMALL" --tap
	[ "${lines[-1]}" = 'ok 1 - 99-small # SKIP no reason' ]
}

@test "kit: what does not hold is NOT CONFIRMED, and a condition on an unknown figure does not hold" {
	small_lab "claim 'two is one' '2 == 1'"
	run -1 "$SMALL"
	[ "${lines[-1]}" = '99-small: NOT CONFIRMED: two is one (2 == 1)' ]
	small_lab "claim 'nothing is small' \"\$(calc 1/0) < 5\""
	run -1 "$SMALL"
	small_lab "claim 'nothing is small' \"\$(field nowhere.json rate_Bps) < 5\""
	run -1 "$SMALL"
}

@test "kit: a command that fails, a server that dies, a script that stops: NOT CONFIRMED, with the reason" {
	small_lab 'run "exit 7"'
	run -1 "$SMALL"
	[[ ${lines[-1]} == '99-small: NOT CONFIRMED: '*'status 7'* ]]
	small_lab 'serve dead "echo no such address >&2"'
	run -1 "$SMALL"
	[[ $output == *'no such address'*'NOT CONFIRMED'*'listening on'* ]]
	# shellcheck disable=SC2016 # for the lab to expand
	small_lab 'echo "$no_such_variable"'
	run -1 "$SMALL"
	[[ ${lines[-1]} == '99-small: NOT CONFIRMED: the script ended before its verdict'* ]]
}

@test "kit: try leaves the status, run shows the command and what it said" {
	# shellcheck disable=SC2016 # for the lab to expand
	small_lab 'try "echo oops >&2; exit 5"' 'say "it was $STATUS"'
	run -0 "$SMALL"
	[[ $output == *$'\n$ echo oops >&2; exit 5\noops\nit was 5\n'* ]]
}

@test "kit: a wrong option is one line and status 2, and so is an evidence directory that cannot be" {
	small_lab
	run -2 "$SMALL" --nonsense
	[ ${#lines[@]} -eq 1 ]
	run -2 "$SMALL" --evidence
	[ ${#lines[@]} -eq 1 ]
	run -2 "$SMALL" --evidence /proc/nowhere
	[ ${#lines[@]} -eq 1 ]
}

@test "kit: without the tools a lab is skipped, 77, and says why" {
	small_lab 'need no-such-tool'
	run -77 "$SMALL" --batch
	[[ ${lines[-1]} == '99-small: SKIPPED: no-such-tool is not installed'* ]]
	TCPLAB_BIN=/nowhere run -77 "$LABS/02-message-size/lab.sh" --batch
	[[ ${lines[-1]} == '02-message-size: SKIPPED: ttcp is not installed'*'run make' ]]
}

@test "kit: tiers: ns gets a loopback of its own, or says what is missing" {
	TIER=ns small_lab 'run "cat /proc/net/dev | wc -l"'
	TCPLAB_LAB_CAGE=none run -77 "$SMALL" --batch
	[[ ${lines[-1]} == '99-small: SKIPPED: tier ns: namespaces are refused here (TCPLAB_LAB_CAGE=none)' ]]
	can_cage || skip "no namespaces here"
	need ip
	TIER=ns small_lab 'run "ip -o addr show up | grep -c ^"'
	run -0 "$SMALL" --batch --evidence bundle
	grep -q 'network namespace' bundle/environment.txt
}

# --- the kit: testbeds and curves -----------------------------------------------------------------------------------

# stand_in_linkem [LINE...]: a linkem that is this script, beside the real tools. It notes how it was called.
stand_in_linkem() {
	mkdir -p bin
	ln -sf "$TCPLAB_BIN"/* bin/
	rm -f bin/linkem called
	# shellcheck disable=SC2016 # for the script
	printf '%s\n' '#!/bin/bash' 'echo "$TCPLAB_NET $*" >>'"'$PWD/called'" "$@" >bin/linkem
	chmod +x bin/linkem
	export TCPLAB_BIN=$PWD/bin
}

need_testbed() {
	need "$TCPLAB_BIN/linkem"
	TCPLAB_NET=test-$$ "$TCPLAB_BIN/linkem" --background --while $$ 3>&- || skip "no testbed can be made here"
	TCPLAB_NET=test-$$ "$TCPLAB_BIN/linkem" down
}

@test "kit: testbed: a name of its own, watched by the kernel or by linkem, and a new one instead of the old" {
	stand_in_linkem
	# shellcheck disable=SC2016 # for the lab to expand
	small_lab 'testbed --rtt 20ms' 'run "on a true && link loss=1%"' 'testbed --rate 1mbit --loss 2%' \
		'[[ $TESTBED == yes ]] || exit 1'
	TCPLAB_LAB_CAGE=none run -0 "$SMALL" --batch
	local name holder
	[[ $output == *$'\n$ linkem --background --while '*$' --rtt 20ms\n$ on a true && link loss=1%\n'* ]]
	name=$(sed -n '1s/ .*//p' called)
	holder=$(sed -n '1s/.*--while \([0-9]*\) .*/\1/p' called)
	[[ $name =~ ^lab-[A-Za-z0-9]+$ && $holder =~ ^[0-9]+$ ]]
	diff called - <<-END
		$name --background --while $holder --rtt 20ms
		$name exec a true
		$name set loss=1%
		$name down
		$name --background --while $holder --rate 1mbit --loss 2%
		$name down
	END
	rm called
	can_cage || skip "no namespaces here"
	run -0 "$SMALL" --batch
	[ "$(sed -n '1s/[^ ]* //p' called)" = '--background --rtt 20ms' ]
	run ! grep -q "^$name " called
	[ "$(tail -n 1 called | cut -d ' ' -f 2)" = --background ] # the cage sees to the end
}

@test "kit: where no testbed can be made a lab of tier em is skipped with linkem's reason, another goes on" {
	stand_in_linkem 'echo "linkem: open /dev/net/tun: Permission denied (EACCES)" >&2; exit 1'
	TIER=em small_lab 'testbed --rtt 20ms'
	run -77 "$SMALL" --batch
	[ "${lines[-1]}" = '99-small: SKIPPED: tier em: open /dev/net/tun: Permission denied (EACCES)' ]
	# shellcheck disable=SC2016 # for the lab to expand
	small_lab 'testbed --rtt 20ms && exit 5' '[[ -z $TESTBED ]] || exit 6'
	run -0 "$SMALL" --batch
	[[ $output == *$'\nleft out: '*$': open /dev/net/tun: Permission denied (EACCES)\n'* ]]
	rm bin/linkem
	run -0 "$SMALL" --batch
	[[ $output == *$'\nleft out: '*$': linkem is not built\n'* ]]
	TIER=em small_lab 'testbed'
	run -77 "$SMALL" --batch
	[[ ${lines[-1]} == '99-small: SKIPPED: linkem is not installed'* ]]

	# A mistake in the lab is none of the machine's.
	stand_in_linkem 'echo "linkem: unknown option --rt" >&2; exit 2'
	TIER=em small_lab 'testbed --rt 20ms'
	run -1 "$SMALL" --batch
	[[ ${lines[-1]} == '99-small: NOT CONFIRMED: a command failed with status 2: linkem '*' --rt 20ms' ]]
}

# check_testbed CMD...: two hosts, a link that changes, servers that end in order.
check_testbed() {
	# shellcheck disable=SC2016 # for the server
	printf '%s\n' 'trap "sleep 0.2; exit 5" TERM' 'echo x: listening on 127.0.0.1:7' 'while :; do sleep 0.05; done' >server
	# shellcheck disable=SC2016 # for the lab to expand
	TIER=em small_lab 'testbed --rtt 2ms' "serve slow 'on b bash $PWD/server'" 'stop slow' 'figure waited "$STATUS"' \
		"serve sink 'on b ttcp -r -p 0 --json >sink.json'" \
		'measure up "on a ttcp -t b -p $PORT -n 10"' 'stop sink' 'figure stopped "$STATUS"' \
		"run 'on a id -u && link loss=100%'" "try 'on a timeout 1 ttcp -t b -p 9 -n 1'" 'figure lossy "$STATUS"' \
		"run 'link clear && linkem stat'"
	run -0 "$@" "$SMALL" --batch --evidence bundle
	[ "$(field blocks <bundle/results/up.json)" -eq 10 ]
	[ "$(field waited <bundle/verdict.json)" -eq 5 ]
	[ "$(field stopped <bundle/verdict.json)" -eq 143 ]
	[ "$(field role <bundle/results/sink.json)" = receiver ]
	[ "$(field lossy <bundle/verdict.json)" -eq 124 ]
	[[ $output == *$'\n0\n'* ]]
}

@test "kit: a testbed, its hosts, its link, its servers" {
	need_testbed
	check_testbed
	check_testbed env TCPLAB_LAB_CAGE=none
}

@test "kit: a testbed as an ordinary user" {
	[ "$EUID" -eq 0 ] || skip "needs root to become somebody else"
	need_testbed
	open_copy
	chmod 1777 "$BATS_TEST_TMPDIR"
	check_testbed as_nobody env TMPDIR="$TMPDIR"
	rm -r bundle
	check_testbed as_nobody env TMPDIR="$TMPDIR" TCPLAB_LAB_CAGE=none
}

@test "kit: kill -9 of a lab with a testbed leaves no host" {
	need_testbed
	local cage
	for cage in '' none; do
		unique_sleep
		# shellcheck disable=SC2016 # for the lab to expand
		TIER=em small_lab 'testbed --rtt 2ms' 'echo $TCPLAB_NET >"$TMPDIR/name"' "serve s 'on b ttcp -r -p 0'" \
			"run 'on a sleep $SLEEP'"
		start_lab env TCPLAB_LAB_CAGE=$cage "$SMALL" --batch
		kill -KILL "$TOP"
		wait "$TOP" 2>/dev/null || true
		nothing_is_left
		wait_until has_no_testbed "$(<"$TMPDIR/name")"
	done
}

has_no_testbed() {
	! "$TCPLAB_BIN/linkem" stat --name "$1" >/dev/null 2>&1
}

@test "kit: draw: in the transcript, in the evidence, and with --svg in a folder of its own" {
	small_lab "printf '1 1\n2 4\n3 9\n' | draw squares 'Squares of x' seconds metres --log-y" \
		"printf '1 1\n2 2\n' | draw line 'A line' x y"
	run -0 "$SMALL" --batch --evidence bundle --svg some/where
	[[ $output == *'Squares of x'*metres*seconds*'A line'* ]]
	[[ $output == *"(the same as a picture: $PWD/some/where/squares.svg)"* ]]
	grep -q 'Squares of x' bundle/transcript.txt
	[ "$(<bundle/results/squares.dat)" = $'1 1\n2 4\n3 9' ]
	[[ $(<some/where/squares.svg) == *'<svg'*'Squares of x'*'</svg>' ]]
	cmp some/where/squares.svg bundle/results/squares.svg
	cmp some/where/line.svg bundle/results/line.svg
	# What an earlier run left is not this one's.
	small_lab
	run -0 "$SMALL" --batch --evidence bundle
	[ ! -e bundle/results/squares.svg ] && [ ! -e bundle/results/line.dat ]

	small_lab "printf '1 1\n2 oops\n' | draw line 'A line' x y"
	run -1 "$SMALL" --batch
	[[ ${lines[-1]} == "99-small: NOT CONFIRMED: plot: read line.dat, line 2: 'oops' is not a number"* ]]
}

@test "kit: draw draws Braille where the learner's locale knows it" {
	small_lab "printf '1 1\n2 4\n' | draw line 'A line' x y"
	env -u LC_ALL LANG=C.UTF-8 "$SMALL" --batch >out
	grep -qP '[^\x00-\x7f]' out
	env -u LC_ALL LANG=C "$SMALL" --batch >out
	run ! grep -qP '[^\x00-\x7f]' out
}

@test "kit: --svg needs a folder that can be written" {
	small_lab
	touch file
	run -2 --separate-stderr "$SMALL" --batch --svg file
	# shellcheck disable=SC2154 # run sets it
	[[ $stderr == *'--svg file: cannot write there' ]]
	run -2 "$SMALL" --batch --svg
	run -0 "$SMALL" --batch --svg=pictures
	[ -d pictures ]
}

@test "kit: the evidence bundle is complete" {
	small_lab 'run "echo {} > made.json"' 'serve s "echo x: listening on 127.0.0.1:7 >&2; sleep 60"'
	run -0 "$SMALL" --batch --evidence some/where/bundle
	cd some/where/bundle
	grep -q "^kernel: .*$(uname -r)" environment.txt
	grep -qE '^processors: +[0-9]+, .' environment.txt
	grep -qE '^protection: +.' environment.txt
	grep -qE '^ttcp: ' environment.txt
	grep -qE '^net.ipv4.tcp_congestion_control = .' sysctls.txt
	grep -qE '^net.ipv4.tcp_rmem = [0-9]+ [0-9]+ [0-9]+' sysctls.txt
	[ "$(field answer prediction <predictions.json)" = null ]
	[ "$(wc -l <predictions.json)" -eq 2 ]
	[ "$(field verdict <verdict.json)" = CONFIRMED ]
	[ "$(tail -n 1 transcript.txt)" = '99-small: CONFIRMED' ]
	cmp transcript.txt <(echo "$output")
	[ -s results/made.json ]
	[ -s results/s.log ]
	# A second run does not mix with the first.
	small_lab 'run true'
	run -0 "$SMALL" --batch --evidence "$PWD"
	[ ! -e results/made.json ]
	[ "$(wc -l <predictions.json)" -eq 2 ]
}

@test "kit: at a terminal the predictions are asked, before anything runs, and shown beside the measurement" {
	need script
	# shellcheck disable=SC2016 # for the lab to expand
	small_lab 'run "cat \"$LAB_EVIDENCE/predictions.json\""'
	printf '%s\n' x B many 12.5 | script -qec "$SMALL --evidence bundle" /dev/null | tr -d '\r' >out
	# Asked again after an answer that is none; on record by the time that the first command runs.
	[ "$(grep -c 'Your letter' bundle/transcript.txt)" -eq 2 ]
	[ "$(grep -c 'Your number' bundle/transcript.txt)" -eq 2 ]
	[ "$(sed -n 1p bundle/predictions.json | sed 's/\\//g' | grep -c 'b: the "second"')" -eq 1 ]
	[ "$(sed -n 2p bundle/predictions.json | field answer prediction)" = 12.5 ]
	[ "$(grep -c '"record":"prediction"' out)" -eq 2 ]
	grep -q 'you predicted *b: the "second"' out
	grep -q 'you predicted *12.5' out
	[ "$(tail -n 1 out)" = '99-small: CONFIRMED' ]
	# Enter alone is no answer; --batch does not ask.
	printf '\n\n' | script -qec "$SMALL" /dev/null | tr -d '\r' >out
	[ "$(grep -c 'you predicted *(nothing)' out)" -eq 2 ]
	script -qec "$SMALL --batch" /dev/null </dev/null | tr -d '\r' >out
	[ "$(grep -c 'Your' out)" -eq 0 ]
	grep -q '^99-small: CONFIRMED$' out
}

# --- the kit: nothing is left behind --------------------------------------------------------------------------------

# check_end SIGNAL STATUS CMD...: the lab is ended in the middle of a command, with a server and a pipeline running.
check_end() {
	local signal=$1 expected=$2 status=0
	shift 2
	unique_sleep
	small_lab "serve s 'echo x: listening on 127.0.0.1:7 >&2; sleep $SLEEP & sleep $SLEEP'" \
		"run 'sleep $SLEEP | sleep $SLEEP'"
	start_lab "$@" "$SMALL" --batch --tap --evidence "$TMPDIR/bundle"
	wait_until grep -q "sleep $SLEEP | sleep" out
	kill "-$signal" "$TOP"
	wait "$TOP" 2>/dev/null || status=$?
	[ "$status" -eq "$expected" ]
	nothing_is_left
}

@test "kit: kill -9 leaves nothing, in a PID namespace" {
	can_cage || skip "no namespaces here"
	check_end KILL 137
	grep -q 'the kernel ends everything' "$TMPDIR/bundle/environment.txt"
}

@test "kit: kill -9 leaves nothing, without namespaces" {
	check_end KILL 137 env TCPLAB_LAB_CAGE=none
	grep -q 'no namespaces (TCPLAB_LAB_CAGE=none): process groups, a watcher' "$TMPDIR/bundle/environment.txt"
}

@test "kit: kill -9 leaves nothing, as an ordinary user" {
	[ "$EUID" -eq 0 ] || skip "needs root to become somebody else"
	open_copy
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	check_end KILL 137 "${nobody[@]}"
	rm -rf "$TMPDIR/bundle"
	check_end KILL 137 env TCPLAB_LAB_CAGE=none "${nobody[@]}"
}

# five_beats: writes 99-small/lab.sh, a lab that stops in the beat $STOP_IN. In "run" that is in a command; in the others it waits as
# a lab does that asks for a prediction. From "run" on there are a server, a testbed where there can be one, and a program on it.
five_beats() {
	mkdir -p 99-small
	SMALL=$PWD/99-small/lab.sh
	cat >"$SMALL" <<-END
		#!/usr/bin/env bash
		# tier: any
		# summary: A lab that stops.
		source '$LABS/lib/lab.sh'
		lab_start "\$@"
		stop_in() {
			[[ \$1 != "\$STOP_IN" ]] || { echo "\$TCPLAB_NET" >"\$TMPDIR/there"; read -r _ <>"\$TMPDIR/fifo"; }
		}
		beat predict
		stop_in predict
		predict number 'How many?'
		beat run
		serve near 'echo x: listening on 127.0.0.1:7 >&2; sleep $SLEEP & sleep $SLEEP'
		if testbed --rtt 2ms; then
			serve far 'on b bash -c "echo x: listening on 127.0.0.1:7 >&2; sleep $SLEEP & sleep $SLEEP"'
		fi
		[[ \$STOP_IN != run ]] || run 'echo "\$TCPLAB_NET" >"\$TMPDIR/there"; sleep $SLEEP | sleep $SLEEP'
		beat observe
		stop_in observe
		beat explain
		stop_in explain
		beat verdict
		stop_in verdict
		verdict
	END
	chmod +x "$SMALL"
}

# check_beats CMD...: five such labs at the same time, by way of CMD, each in another beat; then kill -9 for each.
check_beats() {
	local beat pids=() mine=$TMPDIR
	unique_sleep
	five_beats
	for beat in predict run observe explain verdict; do
		mkdir -p "$mine/$beat"
		mkfifo "$mine/$beat/fifo"
		chmod -R a+rwX "$mine/$beat"
		"$@" env STOP_IN=$beat TMPDIR="$mine/$beat" "$SMALL" --batch >"$beat.out" 2>&1 3>&- &
		pids+=($!)
	done
	for beat in predict run observe explain verdict; do
		wait_until test -s "$mine/$beat/there" || { cat "$beat.out" && return 1; }
		[ "$beat" = predict ] || grep -q '^left out' "$beat.out" || grep -q '^lab-' "$mine/$beat/there"
	done
	run ! nothing_sleeps
	kill -KILL "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null || true
	for beat in predict run observe explain verdict; do
		TMPDIR=$mine/$beat nothing_is_left || { echo "$beat leaves:" && ls -l "$mine/$beat" && pgrep -af "sleep $SLEEP" && return 1; }
		wait_until has_no_testbed "$(<"$mine/$beat/there")"
		[ "$(ls "$mine/$beat")" = $'fifo\nthere' ]
	done
	rm -r "${mine:?}"/*
}

@test "kit: kill -9 at any beat leaves nothing, in namespaces" {
	can_cage || skip "no namespaces here"
	check_beats
}

@test "kit: kill -9 at any beat leaves nothing, without namespaces" {
	check_beats env TCPLAB_LAB_CAGE=none
}

@test "kit: kill -9 at any beat leaves nothing, as an ordinary user, with and without namespaces" {
	[ "$EUID" -eq 0 ] || skip "needs root to become somebody else"
	open_copy
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
	check_beats "${nobody[@]}"
	check_beats "${nobody[@]}" env TCPLAB_LAB_CAGE=none
}

@test "kit: kill -9 of a lab at work leaves nothing of it" {
	"$LABS/02-message-size/lab.sh" --batch >out 2>&1 3>&- &
	TOP=$!
	wait_until grep -q -- --sweep out
	kill -KILL "$TOP"
	wait "$TOP" 2>/dev/null || true
	wait_until no_directory
	local port
	port=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' out)
	wait_until refuses "$port" # the folder goes first
}

refuses() {
	! "$TCPLAB_BIN/ttcp" -t 127.0.0.1 -p "$1" -n 1
}

@test "kit: SIGINT is 130, SIGTERM 143, and nothing is left" {
	local cage
	for cage in '' none; do
		check_end INT 130 env TCPLAB_LAB_CAGE=$cage
		[ "$(tail -n 1 out)" = 'Bail out! 99-small: interrupted' ]
		[ "$(field errno error <"$TMPDIR/bundle/verdict.json")" = EINTR ]
		check_end TERM 143 env TCPLAB_LAB_CAGE=$cage
	done
}

@test "kit: a signal that comes while a command is being started is said as well" {
	# shellcheck disable=SC2016 # for the lab
	small_lab 'set -T' 'trap '"'"'[[ ${FUNCNAME[0]:-} != _spawn ]] || kill -INT $$'"'"' DEBUG' 'run true'
	run -130 env --default-signal=INT TCPLAB_LAB_CAGE=none "$SMALL" --batch --tap
	[ "${lines[-1]}" = 'Bail out! 99-small: interrupted' ]
}

@test "kit: Ctrl-C at a terminal is 130 too, also while a prediction is being asked" {
	need python3
	local cage
	for cage in '' none; do
		small_lab
		TCPLAB_LAB_CAGE=$cage python3 - "$SMALL" <<-'END'
			import os, pty, select, signal, sys
			pid, fd = pty.fork()
			if pid == 0:
			    # As a terminal would have it: who was started in the background ignores it, and hands that on.
			    signal.signal(signal.SIGINT, signal.SIG_DFL)
			    os.execv(sys.argv[1], sys.argv[1:])
			said = b""
			while b"Your letter" not in said:
			    said += os.read(fd, 4096)
			os.write(fd, b"\x03")
			try:
			    while True:
			        # Between the prompt and read(2) it is put off until the next key, by bash: then once more, as a person would.
			        if not select.select([fd], [], [], 2)[0]:
			            os.write(fd, b"\x03")
			        elif not os.read(fd, 4096):
			            break
			except OSError:
			    pass
			sys.exit(os.waitpid(pid, 0)[1] != 130 << 8)
		END
		wait_until no_directory
	done
}
