#!/usr/bin/env bats
# A lab on a stage, --present, and its recording, --record: what is shown, what the terminal is left like, what is left behind. The
# labs are written here.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`
# shellcheck disable=SC2016 # for the labs to expand

load helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	need python3
	mkdir -p tmp
	export TMPDIR=$PWD/tmp LANG=C.UTF-8 TERM=xterm
	unset TCPLAB_LAB_CAGE LC_ALL NO_COLOR
}

teardown() {
	local leftover=("$TMPDIR"/tcplab-lab.*)
	[ ! -e "${leftover[0]}" ] || {
		echo "left behind: ${leftover[*]}"
		return 1
	}
}

# staged_lab [LINE...]: a lab of five beats, with these lines as its "run".
staged_lab() {
	mkdir -p 99-big-stage
	{
		printf '%s\n' '#!/usr/bin/env bash' '# tier: any' '# summary: A lab that is told on a stage.' 'set -uo pipefail'
		printf 'source "%s/labs/lib/lab.sh"\n' "$TCPLAB_ROOT"
		printf '%s\n' 'lab_start "$@"' 'beat predict' 'predict letter "Which?" "the first" "the second"' \
			'predict number "How many?"' 'beat run' "$@" 'beat observe' 'say "we saw 17 of them, $((6 * 7)) ms"' \
			'measured letter "the second"' 'measured number 42' 'beat explain' \
			'say "This is the first of the lines of an explanation that is broken where a screen of 120 columns would end it, more or" "less."' \
			'beat verdict' 'claim "one is one" "1 == 1"' 'verdict'
	} >99-big-stage/lab.sh
	chmod +x 99-big-stage/lab.sh
	STAGED=$PWD/99-big-stage/lab.sh
}

# in_terminal [OPTION...] CMD...: its report is in $output.
in_terminal() {
	run -0 --separate-stderr timeout 90 python3 "$TCPLAB_ROOT/tests/fixtures/in_terminal.py" "$@"
}

# told OF EXPRESSION: about the report, r.
told() {
	python3 -S -c 'import json, re, sys; r = json.loads(sys.argv[1]); v = eval(sys.argv[2]); print(v if v is not None else "")' "$output" "$1"
}

enter=$'\n'
# From the first screen to the last, with an answer for the first question.
through=(--until '[Enter]' --key "$enter" --until "room's letter" --key "b$enter" --until "room's number" --key "$enter"
	--until '[Enter]  run' --key "$enter" --until '[Enter]  observe' --key "$enter" --until '[Enter]  explain' --key "$enter"
	--until '[Enter]  verdict' --key "$enter")

no_directory() {
	local found=("$TMPDIR"/tcplab-lab.*)
	[ ! -e "${found[0]}" ]
}

# --- the stage ------------------------------------------------------------------------------------------------------

@test "--present needs a terminal, and goes with neither --batch nor --tap nor --json" {
	need script
	staged_lab
	local option
	run -2 --separate-stderr "$STAGED" --present </dev/null
	one_line_with '99-big-stage: --present needs a terminal'
	for option in --batch --tap --json; do
		run -2 script -qec "$STAGED --present $option" /dev/null
		[ ${#lines[@]} -eq 1 ]
		[[ $output == '99-big-stage: --present '*"$option"* ]]
		run -2 --separate-stderr "$STAGED" $option --present </dev/null
		one_line_with "$option"
	done
}

@test "--present: a screen for each beat, which waits; then the verdict, and the terminal as it was" {
	staged_lab 'run "echo ran"'
	in_terminal --size 80x24 "${through[@]}" "$STAGED" --present
	same status "$(told 'r["status"]')" 0
	same restored "$(told 'r["restored"]')" True
	# What each screen shows, and what it does not show yet.
	[[ $(told 'r["parts"][0]') == *'Lab 99'*'B I G   S T A G E'*'told on a stage'* ]]
	[[ $(told 'r["parts"][1]') == *PREDICT*'Which?'*'the second'* ]]
	[[ $(told 'r["parts"][1]') != *'How many'* ]]
	[[ $(told 'r["parts"][2]') == *PREDICT*'How many?'* ]]
	[[ $(told 'r["parts"][3]') != *'echo ran'* ]]
	[[ $(told 'r["parts"][4]') == *RUN*'$ echo ran'*$'\n'*ran* ]]
	[[ $(told 'r["parts"][5]') == *OBSERVE*'we saw '*17*' of them'* ]]
	[[ $(told 'r["parts"][6]') == *EXPLAIN*'more or less.'* ]]
	[[ $(told 'r["parts"][7]') == *VERDICT*'holds'*'one is one'*'the room said'*'b: the second'*measured*'99-big-stage: CONFIRMED'* ]]
	# Neither another screen nor a hidden cursor, and nothing is erased but the prompts.
	[ "$(told 're.findall(r"\x1b\[\?[0-9;]*[a-z]|\x1b\[[0-3]?J", r["text"])')" = '[]' ]
}

@test "--present: transcript and records are those of the same lab at any terminal" {
	need script
	staged_lab 'run "echo 1 2 3; exit 0"' 'run true' 'say "left out: nothing"'
	in_terminal --size 60x20 "${through[@]}" "$STAGED" --present --evidence staged
	same status "$(told 'r["status"]')" 0
	printf 'b\n\n' | script -qec "$STAGED --evidence plain" /dev/null >/dev/null
	cmp staged/transcript.txt plain/transcript.txt
	diff <(sed 's/"elapsed_ns":[0-9]*//' staged/lab.json) <(sed 's/"elapsed_ns":[0-9]*//' plain/lab.json)
	[ "$(field answer prediction < <(head -n 1 staged/predictions.json))" = 'b: the second' ]
}

# Every screen of a recording fits its terminal: no line is too long, and between two prompts there are not too many.
check_screens() {
	python3 - "$1" <<-'END'
		import json, re, sys
		lines = open(sys.argv[1]).read().splitlines()
		head, events = json.loads(lines[0]), [json.loads(l) for l in lines[1:]]
		text = "".join(e[2] for e in events)
		screens = text.split("\x1b[H")[1:]
		assert len(screens) >= 7, len(screens)
		for screen in screens:
		    shown = re.sub(r"\x1b\[999;1H\n*(\r\n)*", "", screen) # what scrolls the screen away
		    rows = re.sub(r"\x1b\[[0-9;]*[mK]", "", shown).split("\r\n")
		    assert len(rows) <= head["height"], (len(rows), rows)
		    for row in rows: # what has no ASCII in it may be a curve: that stays as it is
		        assert len(row.split("\r")[0]) < head["width"] or not row.isascii(), (len(row), row)
	END
}

@test "--present: nothing is wider than the terminal, and nothing scrolls by unseen" {
	staged_lab 'run "seq 100; echo \$(seq 60); printf %0300d 7"' 'run "printf \"%-30s | %30s | %30s\\n\" a b c"' \
		'say "Grüße, länger als eine Zeile, wenn das Terminal schmal ist: äöüäöüäöüäöü."'
	local size keys i
	for size in 40x12 100x30; do
		keys=("${through[@]:0:12}")
		for ((i = 0; i < 40; i++)); do # on, through as many screens as it takes
			keys+=(--until '[Enter]' --key ' ')
		done
		timeout 90 python3 "$TCPLAB_ROOT/tests/fixtures/in_terminal.py" --size $size "${keys[@]}" "$STAGED" --present \
			--record rec >out || true # not so many
		output=$(<out)
		same "$size" "$(told 'r["status"]')" 0
		check_screens rec.cast
		[ "$(grep -c '^[0-9][0-9]*$' rec.txt)" -eq 101 ]
		[[ $(told 're.sub(r"\x1b\[[0-9;]*m", "", r["text"])') == *99*100*CONFIRMED* ]]
	done
}

@test "--present: a presenter's keys; other keys and those typed before do nothing; s stops before each command" {
	staged_lab 'run "touch started; until [ -e go ]; do sleep 0.02; done"' 'run "echo second"'
	sed -i "s|^lab_start.*|&\ncd '$PWD'|" "$STAGED"
	python3 - "$STAGED" <<-'END'
		import fcntl, os, pty, select, struct, subprocess, sys, termios, time
		m, s = pty.openpty()
		fcntl.ioctl(s, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
		p = subprocess.Popen([sys.argv[1], "--present"], stdin=s, stdout=s, start_new_session=True,
		                     preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
		text = b""
		def until(what, end=60):
		    global text
		    end += time.monotonic()
		    while what not in text:
		        assert time.monotonic() < end, (what, text)
		        if select.select([m], [], [], 0.05)[0]:
		            text += os.read(m, 65536)
		    text = text[text.index(what) + len(what):]
		def quiet():
		    assert not select.select([m], [], [], 0.4)[0], os.read(m, 4096)
		until(b"q]  ends\x1b[0m")
		os.write(m, b"xyz7\x1b[A")
		quiet() # none of these goes on
		os.write(m, b"s\x1b[6~") # step by step; Page Down
		until(b"letter (Enter: no answer): ")
		os.write(m, b"a\n")
		until(b"number (Enter: no answer): ")
		os.write(m, b"\n")
		until(b"[Enter]  run")
		os.write(m, b"\x1b[C")
		until(b"[Enter]  runs it")
		assert not os.path.exists("started")
		until(b"\x1b[0m")
		os.write(m, b" ")
		while not os.path.exists("started"):
		    time.sleep(0.02)
		os.write(m, b"\n\n  \n") # while the command runs: behind it they do not count
		open("go", "w").close()
		until(b"$ echo second")
		until(b"[Enter]  runs it     [s]  no longer step by step\x1b[0m")
		quiet()
		os.write(m, b"s\n")
		until(b"[Enter]  observe")
		os.write(m, b"q")
		while p.poll() is None:
		    if select.select([m], [], [], 0.05)[0]:
		        os.read(m, 4096)
		sys.exit(p.returncode != 130)
	END
	wait_until no_directory
}

@test "--present: NO_COLOR leaves the colours out, a terminal that knows no escape sequences gets none" {
	staged_lab 'run "echo 5 s"'
	in_terminal "${through[@]}" env NO_COLOR=1 "$STAGED" --present
	same status "$(told 'r["status"]')" 0
	same colours "$(told 're.findall(r"\x1b\[3[0-9]m|\x1b\[[0-9;]*;3[0-9]m", r["text"])')" '[]'
	in_terminal "${through[@]}" "$STAGED" --present
	[ "$(told 'len(re.findall(r"\x1b\[3[0-9]m", r["text"])) > 3')" = True ]
	in_terminal "${through[@]}" env TERM=dumb "$STAGED" --present
	same status "$(told 'r["status"]')" 0
	same sequences "$(told 're.findall(r"\x1b", r["text"])')" '[]'
}

# --- the end of it --------------------------------------------------------------------------------------------------

# check_end STATUS STEP...: in a cage and without one, or as $CAGE says.
check_end() {
	local expected=$1 cage cages=('' none)
	[ -z "${CAGE:-}" ] || cages=("$CAGE")
	for cage in "${cages[@]}"; do
		in_terminal "${@:2}" env --default-signal=INT TCPLAB_LAB_CAGE="$cage" "$STAGED" --present
		same "status in cage '$cage', is the terminal as it was" "$(told 'r["status"], r["restored"]')" "($expected, True)"
		wait_until no_directory
	done
}

@test "--present: q, Ctrl-C, SIGTERM, SIGHUP: wherever it waits, the terminal is as it was" {
	staged_lab
	check_end 130 --until '[Enter]' --key q
	[[ $(told 'r["text"]') == *'99-big-stage: interrupted'* ]]
	check_end 130 --until '[Enter]' --key $'\x03'
	CAGE=none check_end 143 --until '[Enter]' --signal TERM
	check_end 129 --until '[Enter]' --signal HUP
	# At a question, too.
	CAGE=none check_end 130 "${through[@]:0:4}" --until "room's letter" --key q$'\n'
	check_end 130 "${through[@]:0:4}" --until "room's letter" --key $'\x03'
}

@test "--present: kill -9: the terminal as it was, nothing left, no one who still takes its keys" {
	staged_lab
	local cage
	for cage in '' none; do
		TCPLAB_LAB_CAGE=$cage python3 - "$STAGED" "$TMPDIR" <<-'END'
			import fcntl, glob, os, pty, select, signal, subprocess, sys, termios, time
			def run(touch):
			    m, s = pty.openpty()
			    before = termios.tcgetattr(s)
			    # The session is another one's, as a shell's is: the end of its leader would be a SIGHUP for the lab.
			    leader = '"$@" <&0 & echo $! >pid; wait; sleep 300'
			    p = subprocess.Popen(["bash", "-c", leader, "leader", sys.argv[1], "--present", "--record", "rec"], stdin=s, stdout=s,
			                         start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
			    text = b""
			    while b"[q]  ends" not in text:
			        assert select.select([m], [], [], 60)[0], text
			        text += os.read(m, 4096)
			    own = termios.tcgetattr(s)
			    assert own != before
			    if touch: # somebody has taken the terminal over, as a shell does
			        before = own[:]
			        before[3] |= termios.ECHO
			        before[6] = own[6][:]
			        termios.tcsetattr(s, termios.TCSANOW, before)
			    os.kill(int(open("pid").read()), signal.SIGKILL)
			    end = time.monotonic() + 60
			    while glob.glob(sys.argv[2] + "/tcplab-lab.*") and time.monotonic() < end:
			        time.sleep(0.02)
			    assert not glob.glob(sys.argv[2] + "/tcplab-lab.*")
			    assert termios.tcgetattr(s) == before, ("touched" if touch else "as before", termios.tcgetattr(s), before)
			    # A line typed now is for the next one who reads.
			    os.write(m, b"hello\n")
			    assert select.select([s], [], [], 60)[0] and os.read(s, 5)[:5] == b"hello"
			    os.killpg(p.pid, signal.SIGKILL)
			    p.wait()
			run(False)
			run(True)
		END
		# And the recording is good up to there.
		python3 -c 'import json; [json.loads(l) for l in open("rec.cast")]'
	done
}

@test "--present: a terminal that is closed ends it, and nothing is left" {
	staged_lab "run 'sleep 9998.$$'"
	local cage at
	for at in '[Enter]' 'letter (Enter' 'sleep 9998'; do
		for cage in '' none; do
			TCPLAB_LAB_CAGE=$cage python3 - "$STAGED" "$at" <<-'END'
				import fcntl, os, pty, select, subprocess, sys, termios
				m, s = pty.openpty()
				p = subprocess.Popen([sys.argv[1], "--present"], stdin=s, stdout=s, stderr=s, start_new_session=True,
				                     preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
				os.close(s)
				text, at = b"", 0
				while sys.argv[2].encode() not in text:
				    assert select.select([m], [], [], 60)[0], text
				    text += os.read(m, 4096)
				    for prompt in (b"ends\x1b[0m", b"letter (Enter: no answer): ", b"number (Enter: no answer): ", b"[Enter]  run\x1b[0m"):
				        if text.find(prompt, at) >= 0 and sys.argv[2].encode() not in text:
				            at = text.find(prompt, at) + len(prompt)
				            os.write(m, b"\n")
				os.close(m)
				assert p.wait(60) == 129, p.returncode
			END
			wait_until no_directory
			run ! pgrep -f "sleep 9998.$$"
		done
	done
}

# --- the recording --------------------------------------------------------------------------------------------------

# check_cast FILE: asciicast v2, https://docs.asciinema.org/manual/asciicast/v2/; prints what was shown.
check_cast() {
	python3 - "$1" <<-'END'
		import json, sys
		lines = open(sys.argv[1], "rb").read().decode("utf-8").splitlines()
		head = json.loads(lines[0])
		assert head["version"] == 2 and head["width"] > 0 and head["height"] > 0 and head["timestamp"] > 1.7e9, head
		assert head["title"].startswith("tcplab lab ") and isinstance(head["env"]["TERM"], str)
		last = 0
		for line in lines[1:]:
		    event = json.loads(line)
		    assert len(event) == 3 and event[1] == "o" and isinstance(event[2], str) and event[0] >= last, line
		    assert "\n" not in event[2].replace("\r\n", ""), line
		    last = event[0]
		assert last < 600
		sys.stdout.write("".join(json.loads(l)[2] for l in lines[1:]).replace("\r\n", "\n"))
	END
}

@test "--record: with --batch, --tap and --json: what was shown, and when; the transcript beside it" {
	staged_lab 'run "echo \"a\\\\b \\\"c\\\"\" \$((6 * 7))"' 'run "sleep 1.2"' 'say done'
	local option
	for option in --batch --tap --json; do
		"$STAGED" $option --batch --record talk.cast --evidence bundle >out 2>err
		check_cast talk.cast >shown
		cmp shown bundle/transcript.txt
		cmp talk.txt bundle/transcript.txt
	done
	cmp shown err
	same terminal "$(grep -o '"width":[0-9]*,"height":[0-9]*' talk.cast)" '"width":120,"height":40'
	# The time is that of the lab.
	python3 - <<-'END'
		import json
		at = {e[2].strip(): e[0] for e in map(json.loads, open("talk.cast").read().splitlines()[1:])}
		assert at["done"] - at["$ sleep 1.2"] >= 1.2, at
	END
	# Once more: nothing of the earlier one stays.
	"$STAGED" --batch --record talk >out
	check_cast talk.cast >shown
	cmp out shown
}

@test "--record: programs may say anything, it stays JSON and UTF-8" {
	staged_lab 'run "printf \"\\\\377\\\\xc3\\\\x28 \\\\xed\\\\xa0\\\\x80 \\\\xf4\\\\x90\\\\x80\\\\x80 \\\\xc0\\\\xaf\\\\001\\\\033[1mx\\\\033[0m\\\\t\\\\r\\\\177|\\\\n\""' \
		'run "printf \"Gr\\\\303\\\\274\\\\303\\\\237e \\\\342\\\\202\\\\254 \\\\360\\\\237\\\\230\\\\200\\\\n\""'
	"$STAGED" --batch --record talk >out
	check_cast talk.cast >shown
	grep -qxF 'Grüße € 😀' shown
	grep -qF $'\e[1mx\e[0m\t' shown
	grep -qxF 'Grüße € 😀' talk.txt
}

@test "--record: a question and its answer are in it, and so is the stage, in the size of the terminal" {
	staged_lab
	in_terminal --until 'letter (Enter' --key "b$enter" --until 'number (Enter' --key "12$enter" "$STAGED" --record talk
	same status "$(told 'r["status"]')" 0
	check_cast talk.cast >shown
	grep -qxF 'Your letter (Enter: no answer): b' shown
	grep -qxF 'Your number (Enter: no answer): 12' shown
	cmp shown talk.txt
	in_terminal --size 66x20 "${through[@]}" "$STAGED" --present --record talk
	check_cast talk.cast >shown
	grep -q '"width":66,"height":20' talk.cast
	grep -qF "The room's letter (Enter: no answer): b" shown
	grep -qF $'\e[1;7m PREDICT ' shown
	# In the recording is what was on the screen, but for the keys, which the terminal showed.
	diff <(told 're.sub(r"\s|\x1b\[0m$", "", r["text"])') <(tr -d ' \n\r' <shown; echo)
}

@test "--record: where it cannot be written, it is said" {
	staged_lab
	mkdir folder
	local file
	for file in nowhere/talk folder folder/ /proc/talk; do
		run -2 --separate-stderr "$STAGED" --batch --record "$file"
		one_line_with '--record'
	done
	run -2 --separate-stderr "$STAGED" --batch --record
	one_line_with '--record needs a file'
	# A disk that is full does not end the lab, but the recording must not pass for whole.
	ln -s /dev/full talk.txt
	run -0 --separate-stderr "$STAGED" --batch --record talk
	[[ ${stderr_lines[-1]} == '99-big-stage: --record: the recording '*'/talk is not complete' ]]
}

@test "the front door passes both on" {
	mkdir -p tree/scripts tree/labs
	cp "$TCPLAB_ROOT/scripts/tcplab" tree/scripts/
	staged_lab 'run "pwd"'
	mv 99-big-stage tree/labs/
	in_terminal "${through[@]}" tree/scripts/tcplab lab big-stage --record some.cast --present
	same status "$(told 'r["status"]')" 0
	check_cast some.cast | grep -q VERDICT
	tree/scripts/tcplab lab 99 --batch --record other
	check_cast other.cast | grep -qx '99-big-stage: CONFIRMED'
}
