#!/usr/bin/env bats
# The page about what labs measured: `tcplab lab NAME|all --html`, `tcplab lab report` of one person and of a class. The labs are
# written here, and most of the evidence, too: what a class hands in.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`
# shellcheck disable=SC2016 # for the labs to expand

load helpers
load browser

setup_file() {
	start_browser
}

teardown_file() {
	stop_servers
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p tmp tree/scripts tree/labs
	export TMPDIR=$PWD/tmp
	cp -R "$TCPLAB_ROOT"/scripts/{tcplab,lab-report,report} tree/scripts/
	ln -s "$TCPLAB_ROOT/labs/lib" tree/labs/lib
	tcplab=$PWD/tree/scripts/tcplab
}

teardown() {
	local leftover=("$TMPDIR"/*)
	[ ! -e "${leftover[0]}" ] || {
		echo "left behind: ${leftover[*]}"
		return 1
	}
}

# make_lab NAME [LINE...]: a lab with two questions, a figure, a claim, and these lines between.
make_lab() {
	mkdir -p "tree/labs/$1"
	{
		printf '%s\n' '#!/usr/bin/env bash' '# tier: any' "# summary: About $1." 'set -uo pipefail'
		printf 'source "%s/labs/lib/lab.sh"\n' "$TCPLAB_ROOT"
		echo 'lab_start "$@"'
		echo 'predict letter "Which <one>?" "the first" "the \"second\""'
		echo 'predict number "How many?"'
		printf '%s\n' "${@:2}"
		printf 'figure %s\n' 'long_wait 2500000 ns' 'ratio 13.4' 'sent 1234567 bytes' 'rate 1.5e6 B/s' 'lost nan'
		echo 'measured letter "neither & nor"'
		echo 'measured number 42'
		echo 'claim "one is one" "1 == 1"'
		echo 'verdict'
	} >"tree/labs/$1/lab.sh"
	chmod +x "tree/labs/$1/lab.sh"
}

# hand_in FOLDER ANSWER NUMBER WAIT [VERDICT]: evidence as a lab leaves it.
hand_in() {
	local number=${3:+\"$3\"} answer=${2:+\"$2\"}
	mkdir -p "$1"
	cat >"$1/lab.json" <<-END
		{"schema":"tcplab.lab/1","record":"start","lab":"12-nagle","summary":"About small writes.","tier":"any","kernel":"6.1","cpus":2}
		{"schema":"tcplab.lab/1","record":"prediction","name":"how","question":"Which?","answer":${answer:-null},"choices":["the first","a second","nobody's"]}
		{"schema":"tcplab.lab/1","record":"prediction","name":"wait","question":"How long?","answer":${number:-null},"choices":[]}
		{"schema":"tcplab.lab/1","record":"command","line":"a","status":0,"elapsed_ns":1${4}1}
		{"schema":"tcplab.lab/1","record":"command","line":"b","status":0,"elapsed_ns":2${4}7}
		{"schema":"tcplab.lab/1","record":"figure","name":"wait","value":$4,"unit":"ms"}
		{"schema":"tcplab.lab/1","record":"measured","name":"wait","text":"$4 ms"}
		{"schema":"tcplab.lab/1","record":"claim","claim":"it waits","holds":true}
		{"schema":"tcplab.lab/1","record":"total","lab":"12-nagle","verdict":"${5:-CONFIRMED}","why":null,"wait":$4,"prediction":null}
	END
	printf 'kernel:  Linux 6.1\nsystem:  Some Linux\nprocessors: 2, some\n' >"$1/environment.txt"
	echo "a < b: said by $(basename "$1")" >"$1/transcript.txt"
}

is_html() {
	need python3
	python3 "$TCPLAB_ROOT/tests/fixtures/web_check.py" --file "$1"
}

# The page's text, without tags: a line for each piece.
text_of() {
	sed '/^<style>/,/^<\/style>/d; s/<[^>]*>/\n/g' "$1" |
		LC_ALL=C sed "s/&lt;/</g; s/&gt;/>/g; s/&quot;/\"/g; s/&#39;/'/g; s/&#10003;/✓/g; s/&#10007;/✗/g; s/\xe2\x80\xaf/ /g; s/&amp;/\&/g" | grep -av '^$'
}

# says PAGE TEXT...: each is a piece of its text, whole.
says() {
	local text page=$1
	text_of "$page" >said
	for text in "${@:2}"; do
		grep -qaxF -- "$text" said || { echo "not said: $text" && cat said && return 1; }
	done
}

# --- one person -----------------------------------------------------------------------------------------------------

@test "lab NAME --html: predictions beside what was measured, figures with their unit, claims, curves, the transcript" {
	make_lab 97-one 'printf "1 1\n2 4\n" | draw squares "Squares <of> x" s m' 'run "echo a \"<b>\" \& c"'
	run -0 --separate-stderr "$tcplab" lab one --batch --html page.html
	[ "${lines[-1]}" = 'The page: page.html' ]
	[ "${lines[-2]}" = '97-one: CONFIRMED' ]
	[ -z "$stderr" ]
	is_html page.html
	says page.html 'Lab 97-one' 'About 97-one.' 'Which <one>?' 'How many?' nothing 'neither & nor' 42 long_wait '2.5 ms' 13.4 "1 234 567 bytes" '1.5 MB/s' unknown \
		'✓ one is one' '✓ confirmed' Transcript 'a <b> & c' kernel "$(uname -srvm)"
	grep -q '<img alt="Squares &lt;of&gt; x" src="data:image/svg+xml;base64,' page.html
	sed -n 's/.*svg+xml;base64,\([^"]*\)".*/\1/p' page.html | base64 -d >squares.svg
	[[ $(<squares.svg) == '<svg '*'</svg>' ]]
}

@test "lab NAME --html at a terminal: the answers are in it; with --evidence the folder stays" {
	need script
	make_lab 97-one
	printf 'b\n7\n' | script -qec "$tcplab lab one --html page.html --evidence kept" /dev/null | tr -d '\r' >out
	says page.html 'b: the "second"' 7
	[ "$(field verdict <kept/verdict.json)" = CONFIRMED ]
	[ "$(grep -o '"choices":.*' kept/predictions.json | head -n 1)" = '"choices":["the first","the \"second\""]}' ]
	[ "$(grep -c '"record":"measured"' kept/lab.json)" -eq 2 ]
	# The same page from the folder, later.
	"$tcplab" lab report later.html kept
	diff <(text_of later.html | grep -v ' UTC') <(text_of page.html | grep -v ' UTC')
}

@test "lab all --html: each lab, also the one that was skipped and the one that failed; the status and --tap stay" {
	make_lab 97-one
	make_lab 98-absent 'skip "no <such> thing"'
	make_lab 99-wrong 'claim "two is one" "2 == 1"'
	run -1 --separate-stderr "$tcplab" lab all --tap --html page.html
	[ "${lines[0]}" = 1..3 ]
	[ "${lines[2]}" = 'ok 2 - 98-absent # SKIP no <such> thing' ]
	[ "${lines[3]}" = 'not ok 3 - 99-wrong' ]
	[[ $output != *'The page'* ]]
	is_html page.html
	says page.html Labs 'no <such> thing' '✗ fails: two is one' '1 of 2' '0 of 2' 'two is one (2 == 1)'
	grep -q ': 1 confirmed, 1 not confirmed, 1 skipped\.$' said
	grep -q '<a href="#lab-98-absent">' page.html
	rm -r tree/labs/9[89]-*
	run -0 --separate-stderr "$tcplab" lab all --json --batch --html page.html
	[ "$(field verdict <<<"$output")" = CONFIRMED ]
	run ! grep -v '^{' <<<"$output"
}

@test "lab --html: what cannot be written is said before anything runs; a full disk is status 1" {
	make_lab 97-one 'touch "$TMPDIR/../it-ran"'
	run -2 --separate-stderr "$tcplab" lab one --batch --html nowhere/page.html
	one_line_with '--html nowhere/page.html: cannot write there'
	run -2 --separate-stderr "$tcplab" lab one --batch --html .
	one_line_with 'cannot write there'
	run -2 --separate-stderr "$tcplab" lab one --html
	one_line_with '--html needs a file'
	[ ! -e it-ran ]
	run -1 --separate-stderr "$tcplab" lab one --batch --html /dev/full
	one_line_with 'cannot write /dev/full'
}

# A lab in the middle of a command, run for a page. $TOP is the front door.
start_run() {
	SLEEP="9999.$$$RANDOM"
	make_lab 97-one "run 'sleep $SLEEP'"
	make_lab 98-two
	env --default-signal=INT "$tcplab" lab all --batch --html page.html >out 2>&1 3>&- &
	TOP=$!
	wait_until pgrep -f "sleep $SLEEP" >/dev/null
}

nothing_is_left() {
	wait_until no_sleep
	wait_until no_folder
}

no_sleep() {
	! pgrep -f "sleep $SLEEP" >/dev/null
}

no_folder() {
	local found=("$TMPDIR"/*)
	[ ! -e "${found[0]}" ]
}

@test "lab all --html: a signal ends the lab that runs and all that would come, and the page is made of what was done" {
	local signal status
	for signal in INT:130 TERM:143; do
		start_run
		kill "-${signal%:*}" "$TOP"
		status=0
		wait "$TOP" || status=$?
		same "status after ${signal%:*}" "$status" "${signal#*:}"
		nothing_is_left
		is_html page.html
		says page.html '? interrupted' 'Lab 97-one'
		run ! grep -q 98-two out
	done
}

@test "lab all --html: kill -9 leaves neither the lab nor a folder" {
	start_run
	kill -KILL "$TOP"
	wait "$TOP" || true
	nothing_is_left
	run ! grep -q 98-two out
}

# --- a class --------------------------------------------------------------------------------------------------------

@test "a class: who confirmed what, what it predicted with the choices that nobody took, and how far its figures are apart" {
	hand_in class/ann/12-nagle 'b: a second' 40 41
	hand_in class/bob/unzipped/here/12 'b: a second' 1000 43
	hand_in class/cem 'a: the first' 40 200
	hand_in class/dan 'c: something else' '' 47 'NOT CONFIRMED'
	hand_in class/eve '' 9 44 SKIPPED
	mkdir class/fay
	run -0 --separate-stderr "$tcplab" lab report --title 'Monday & Tuesday' page.html class/*/
	[ -z "$output$stderr" ]
	is_html page.html
	says page.html 'Monday & Tuesday' '6 people, 1 lab.' ann fay 'nothing was handed in' 'Which?' 'How long?'
	# The bars: answer, count. The choices in their order; numbers by size.
	sed -n 's/^<tr[^>]*><th scope="row">\([^<]*\)<\/th><td class="n">\([0-9]*\)<\/td><td class="bar">.*/\1=\2/p' page.html >bars
	diff bars - <<-'END'
		a: the first=1
		b: a second=2
		c: nobody&#39;s=0
		c: something else=1
		(no answer)=1
		9=1
		40=2
		1000=1
		(no answer)=1
	END
	# The figure: runs, least, median, most.
	grep -A 9 '<code>wait</code>' page.html | sed 's/<svg.*//; s/<[^>]*>/ /g' | tr -s ' \n' ' ' | grep -q '^ wait 5 41 ms 44 ms 200 ms '
	[ "$(grep -o '<circle' page.html | wc -l)" -eq 5 ]
	grep -q 'title="cem">200 ms' page.html
	# A row for each, and each cell leads to what was handed in.
	[ "$(grep -c '<td class="\(good\|bad\|skip\)"><a href="#p[1-5]-12-nagle"' page.html)" -eq 5 ]
	[ "$(grep -c '<details id="p[1-5]-12-nagle">' page.html)" -eq 5 ]
	says page.html 'a < b: said by cem' '41 ms' '47 ms'
}

@test "a class: what does not go together is pointed at" {
	hand_in class/ann '' '' 41
	hand_in class/bob '' '' 42
	sed -i 's/"holds":true/"holds":false/' class/bob/lab.json # and the verdict stays
	hand_in class/cem '' '' 43
	cp -r class/cem class/dan
	hand_in class/eve '' '' 44
	sed -i 's/^{.*"claim".*/{"schema":"tcplab.lab\/1","record":"cl/' class/eve/lab.json
	hand_in class/fay/first '' '' 45
	hand_in class/fay/second '' '' 46
	"$tcplab" lab report page.html class/*/
	is_html page.html
	sed -n '/id="odd"/,/<\/section>/s/<li>//p' page.html | sed 's/<[^>]*>//g' >odd
	diff odd - <<-'END'
		bob, 12-nagle: The verdict says confirmed, but 1 claim does not hold.
		cem, 12-nagle: The same run as that of dan: each command took as long, to the nanosecond.
		dan, 12-nagle: The same run as that of cem: each command took as long, to the nanosecond.
		eve, 12-nagle: The verdict says confirmed, but there is no claim. 1 line of lab.json could not be read.
	END
	says page.html 'it waits: held 4 times, failed 1 time' 'There are 2 runs of this lab; this is the last one in the list.'
	# Two folders of one name are told apart.
	hand_in other/ann '' '' 48
	"$tcplab" lab report page.html class/ann other/ann
	says page.html class/ann other/ann
}

# --- what others wrote ----------------------------------------------------------------------------------------------

@test "hostile evidence: it is text, whatever it is; links, devices and giants are not read" {
	local bad='<script>document.title=\"pwned\"</script><img src=x onerror=alert(1)> & \"quoted\" '"'"
	hand_in 'class/<i>mal&lory"' "$bad" "$bad" 41
	sed -i 's/About small writes/<!-- <\/main><\/style>/; s/"it waits"/"<b>\\u003cscript\\u003e \\ud800 \\u00e9 \\u0007 \\u001b[31m"/; s/41 ms/<svg onload=x>/' class/*/lab.json
	sed -i '1s/^/{"record":{"a":["}]\n not JSON at all\n\n/' class/*/lab.json
	head -c 20000 /dev/zero | tr '\0' '[' >>'class/<i>mal&lory"/lab.json'
	printf '\n</pre><script>1</script>\n\xff\xfe \xe2\x28 \x00\x1b[2J \xc3\xa9\n' >>'class/<i>mal&lory"/transcript.txt'
	printf 'kernel: <u>\n<b>: x\n:::\nno colon\n' >'class/<i>mal&lory"/environment.txt'
	# Neither a link, nor what never ends, nor what is too big.
	echo '{"record":"start","lab":"66-secret"}' >secret
	mkdir -p class/links/{a,b,c,d}
	ln -s "$PWD/secret" class/links/a/lab.json
	mkfifo class/links/b/lab.json
	hand_in class/links/c '' '' 42
	rm class/links/c/transcript.txt
	ln -s "$PWD/secret" class/links/c/transcript.txt
	truncate -s 1G class/links/d/lab.json
	mkdir class/$'new\nline' && hand_in class/$'new\nline' '' '' 43
	run -0 --separate-stderr timeout 120 "$tcplab" lab report page.html class/*/
	[ -z "$stderr" ]
	is_html page.html
	run ! grep -qE '<(script|i|b|u|img)\b[^>]*>(document|mal|.u003c)|66-secret|onerror=alert\(1\)>' page.html
	run ! grep -q $'\e' page.html
	says page.html '<i>mal&lory"' '</pre><script>1</script>' '<svg onload=x>'
	grep -q 'class/links/d/lab.json: more than 1 MiB' said
	grep -q 'new line/lab.json: a line break' said
	grep -qF '&lt;script&gt; ? é' page.html
	grep -q 'default-src .none.' page.html
	grep -q '3 lines of lab.json could not be read' page.html

	# A curve runs nothing, because it is a picture; a giant is left out, and what is no file as well.
	mkdir 'class/<i>mal&lory"/results'
	echo '<svg xmlns="http://www.w3.org/2000/svg"><title>"><script>1</script></title><script>x</script></svg>' >'class/<i>mal&lory"/results/a.svg'
	ln -s "$PWD/secret" 'class/<i>mal&lory"/results/b.svg'
	truncate -s 1M 'class/<i>mal&lory"/results/c.svg'
	"$tcplab" lab report page.html 'class/<i>mal&lory"'
	is_html page.html
	[ "$(grep -c '<img alt=' page.html)" -eq 1 ]
}

@test "the records are read as JSON is" {
	need python3
	python3 - "$TCPLAB_ROOT/scripts/report/json.awk" <<-'END'
		import json, os, random, subprocess, sys
		random.seed(7)
		with open("ask.awk", "w") as f:
		    f.write('!parse($0, r) { print "broken"; next } { print KIND["a"] "=" r["a"]; print KIND["b"] "=" r["b"] }')
		def ask(lines):
		    out = subprocess.run(["awk", "-f", sys.argv[1], "-f", "ask.awk"], input="".join(l + "\n" for l in lines).encode(),
		                         capture_output=True, env=os.environ | {"LC_ALL": "C"})
		    assert not out.stderr, out.stderr
		    return out.stdout.decode().split("\n")[:-1]
		def shown(v):
		    if isinstance(v, str): return "string=" + v
		    if v is None or isinstance(v, bool): return "word=" + json.dumps(v)
		    if isinstance(v, list): return "array=" + "\x1c".join(v)
		    if isinstance(v, dict): return "object="
		    return "number=" + json.dumps(v)
		texts = ["", "x", 'a "b"', "back\\slash\\", "é€", "{}[],:", "\\u0041", "tab\tin", "/"]
		values = texts + [0, -1.5, 1e-07, 123456789012, True, False, None, [], ["a"], texts[:7], {"a": ["b", {"c": 1}], "d": "}"}]
		objects = [{"a": random.choice(values), "x": random.choice(values), "b": random.choice(values)} for _ in range(200)]
		lines = [json.dumps(o, ensure_ascii=i % 2 == 0, separators=[(",", ":"), (", ", ": ")][i % 3 > 0]) for i, o in enumerate(objects)]
		wanted = [shown(o[k]) for o in objects for k in "ab"]
		got = ask(lines)
		assert got == wanted, next(p for p in zip(lines * 2, got, wanted) if p[1] != p[2])
		# What is no object, or one that was cut off anywhere: broken, and never more than that.
		good = '{"a":"x\\"y","b":[1,"2",{"c":null}]}'
		assert ask([good[:n] for n in range(1, len(good))]) == ["broken"] * (len(good) - 1)
		bad = ['{"a":1}}', '[1]', '"a"', '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', '{"a":1 "b":2}', '{"a":tru}', '{"a":"\\', '{"a":' + "[" * 50 + "]" * 50 + "}"]
		assert ask(bad) == ["broken"] * len(bad), ask(bad)
	END
}

# --- usage, and where it lies ---------------------------------------------------------------------------------------

@test "lab report: help, wrong usage, nothing to report" {
	run -0 "$tcplab" lab report --help
	[[ $output == 'usage: tcplab lab report REPORT.html DIR...'* ]]
	hand_in one '' '' 41
	mkdir empty
	local words
	for words in '' 'page.html' '--nonsense page.html one' 'one one' 'page.html nowhere' 'page.html one nowhere' 'page.html one --title'; do
		# shellcheck disable=SC2086 # these are words
		run -2 --separate-stderr "$tcplab" lab report $words
		one_line_with 'tcplab: lab report: '
	done
	[ ! -e page.html ]
	run -1 --separate-stderr "$tcplab" lab report page.html empty
	one_line_with 'there is no evidence (no lab.json)' empty
	[ ! -e page.html ]
	run -1 --separate-stderr "$tcplab" lab report /dev/full one
	one_line_with 'cannot write /dev/full'
	run -2 --separate-stderr "$tcplab" lab all --present
	one_line_with '--present is for one lab'
}

@test "installed, it works as well" {
	# As `make install` lays it out, without what it builds: another test may be at that now.
	make -s -n -C "$TCPLAB_ROOT" install DESTDIR="$PWD/root" PREFIX=/usr | grep 'scripts/' >commands
	mkdir -p root/usr/bin root/usr/libexec
	(cd "$TCPLAB_ROOT" && bash -e "$OLDPWD/commands")
	ln -s "$TCPLAB_BIN" root/usr/libexec/tcplab
	hand_in one '' '' 41
	root/usr/bin/tcplab lab report page.html one
	is_html page.html
	says page.html 'Lab 12-nagle'
}

# --- in a browser ---------------------------------------------------------------------------------------------------

@test "in a browser: light and dark, wide and narrow; nothing runs, nothing is fetched, a cell leads to its detail" {
	need_browser
	local ann='class/ann with a rather long name, as some have it'
	hand_in 'class/<script>document.title=1<' 'b: a second' 40 41
	hand_in "$ann" 'a: the first' 1000000 200 'NOT CONFIRMED'
	"$tcplab" lab report class.html class/*
	mkdir "$ann/results"
	printf '1 1\n2 4\n' | "$TCPLAB_BIN/plot" --title Squares --svg "$ann/results/squares.svg" - >/dev/null
	"$tcplab" lab report one.html "$ann"
	open_page
	{
		sed '/^const titles/,$d' "$BROWSER_FIXTURE/each-page.mjs"
		cat <<-'END'
			for (const path of paths) {
				await page.goto(url + path);
				check(`${path}: has a text`, (await page.innerText("main")).includes("12-nagle"));
				check(`${path}: title`, ["Lab 12-nagle", "Labs of a class"].includes(await page.title()));
				for (const open of [false, true]) {
					await page.evaluate((open) => document.querySelectorAll("details").forEach((d) => d.open = open), open);
					same(`${path}: lacks`, await page.evaluate(lacks), []);
					for (const width of [1300, 400, 320]) {
						await page.setViewportSize({ width, height: 800 });
						const wide = await page.evaluate(() => document.documentElement.scrollWidth);
						check(`${path}: ${wide} units wide on a screen of ${width}`, wide <= width);
					}
					for (const colorScheme of ["light", "dark"]) {
						await page.emulateMedia({ colorScheme });
						same(`${path}, ${colorScheme}: pale texts`, await page.evaluate(paleTexts), []);
					}
				}
				await page.emulateMedia({ media: "print" });
				same(`${path}, printed: pale texts`, await page.evaluate(paleTexts), []);
				await page.emulateMedia({ media: "screen" });
				same(`${path}: pictures`, await page.evaluate(() => [...document.images].filter((i) => !i.naturalWidth).length), 0);
			}
			same("fetched", requests.filter((u) => !u.endsWith(".html") && !u.startsWith("data:")), []);
			await page.goto(url + "class.html");
			await page.setViewportSize({ width: 1300, height: 800 });
			await page.locator("td.bad a").click();
			same("leads to", await page.evaluate(() => document.querySelector(":target summary").textContent.includes("ann")), true);
		END
	} | in_page "file://$PWD/" one.html class.html
}
