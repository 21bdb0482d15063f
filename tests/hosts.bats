#!/usr/bin/env bats
# hosts.bats - measuring between real hosts: tcplab measure, and labs with --hosts. The hosts are a and b of a testbed with an sshd
# each; we are on r. Of an interrupted run nothing may be left there: that is asked of each host after every test.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`
# shellcheck disable=SC2016,SC2030,SC2031 # for the inner shells; each @test is a subshell, and that is meant

load helpers
load fixtures/linkem
load fixtures/hosts

setup_file() {
	find_out_if_possible
	command -v musl-gcc >/dev/null || return 0 # then each test is skipped
	make -s -C "$TCPLAB_ROOT" static >"$BATS_FILE_TMPDIR/make" 2>&1 || {
		cat "$BATS_FILE_TMPDIR/make"
		return 1
	}
}

setup() {
	need musl-gcc
	prepare_testbed
	prepare_hosts
	tcplab=$TCPLAB_ROOT/scripts/tcplab
}

teardown() {
	local result=0
	! has_hosts || all_clean || result=1
	end_testbed || result=1
	return $result
}

has_hosts() {
	[ -n "${SSH:-}" ] && [ -e "$SSH/b/pid" ]
}

# in_background CMD...: on r, as a terminal would start it; $JOB is its pid, seen from here. $MARK finds it.
in_background() {
	rm -f out errors # what the one before said is not this one's
	here env --default-signal=INT "$@" >out 2>errors 3>&- &
	TOP=$!
}

# An arithmetic condition on members of each pair record in $output.
pairs_hold() {
	grep '"record":"pair"' <<<"$output" >pairs
	[ -s pairs ]
	python3 - "$1" <<-'END'
		import json, sys
		for line in open("pairs"):
		    r = json.loads(line)
		    assert eval(sys.argv[1], r), line
	END
}

# --- measure --------------------------------------------------------------------------------------------------------------

@test "measure: each host to each other one, as JSON, CSV and heat maps" {
	need python3
	start_hosts --rtt 2ms --rate 100mbit
	run -0 --separate-stderr here "$tcplab" measure a root@b localhost --time 0.2 --json --csv table.csv --svg map.svg
	same stderr "$stderr" ''
	[[ ${lines[0]} == *'"record":"start","hosts":["a","root@b","localhost"],"time_ns":200000000}' ]]
	same pairs "$(grep -c '"record":"pair"' <<<"$output")" 6
	same measured "$(ours measured)" 6
	pairs_hold 'rate_Bps > 0 and rtt_min_ns <= rtt_p50_ns <= rtt_p99_ns and lost == 0'
	# All have the same clock.
	pairs_hold 'abs(offset_ns) <= offset_bound_ns'
	# The link is between a and the others: nothing passes it faster than it is.
	python3 - <<-'END'
		import json, csv, xml.dom.minidom
		pairs = [json.loads(line) for line in open("pairs")]
		over = [p for p in pairs if "a" in (p["from"], p["to"])]
		assert len(over) == 4 and all(p["rtt_min_ns"] >= 2000000 and p["rate_Bps"] <= 12.5e6 for p in over), over
		rows = list(csv.DictReader(open("table.csv")))
		assert len(rows) == 6
		for row, p in zip(rows, pairs):
		    assert all(str(p[key]) == row[key] or float(p[key]) == float(row[key]) for key in row), (row, p)
		text = [t.firstChild.data for t in xml.dom.minidom.parse("map.svg").getElementsByTagName("text") if t.firstChild]
		assert text.count("root@b") == 4 and any("bit/s" in t for t in text) and "us" in " ".join(text), text
	END
}

@test "measure: matrices; what fails is one line, and the rest is measured" {
	start_hosts --rtt 2ms
	run -1 --separate-stderr here "$tcplab" measure a refused b --time 0.1
	one_line_with 'measure: refused: ' 'Connection refused'
	grep -qE '^Bandwidth, [MGk]bit/s' <<<"$output"
	grep -qE '^ +a +refused +b$' <<<"$output"
	grep -qE '^  a +- +[0-9.]+$' <<<"$output"
	grep -qE '^  refused +- +-$' <<<"$output"
	grep -qE '^  b +[0-9.]+ \([0-9.]+\) +- *$' <<<"$output"

	# A port that is taken on b.
	run -1 --separate-stderr here "$tcplab" measure b localhost --time 0.1 -p 22 --json
	one_line_with 'measure: b: ' 'EADDRINUSE'
	same errno "$(ours errno error)" EADDRINUSE
	same measured "$(ours measured)" 0
}

@test "measure: the address of a host is what ssh knows, or what is said" {
	start_hosts --rtt 2ms
	sed -i '1i Host alias\n  HostName 10.9.2.1' "$SSH/config"
	sed 's/^b /10.9.2.1 /' "$SSH/known" >>"$SSH/known.more" && cat "$SSH/known.more" >>"$SSH/known"
	run -0 here "$tcplab" measure a=10.9.1.1 alias --time 0.1 --json
	[[ ${lines[1]} == *'"from":"a","to":"alias","address":"10.9.2.1"'* ]]
	[[ ${lines[2]} == *'"from":"alias","to":"a","address":"10.9.1.1"'* ]]
	run -1 --separate-stderr here "$tcplab" measure a b=192.0.2.1 --time 0.1
	[[ $stderr == *'measure: from a to b: '* ]]
}

@test "measure: SIGINT: what is there is printed, and everything is cleaned up" {
	start_hosts --rtt 2ms
	in_background "$tcplab" measure a b localhost --time 0.5 --json --csv table.csv
	wait_until grep -qs '"record":"pair"' out
	kill -INT "$(pid_of 'bash .*/measure a b localhost')"
	local status=0
	wait "$TOP" || status=$?
	same status "$status" 130
	same last "$(tail -n 1 out | field interrupted)" true
	[ "$(tail -n 1 out | field measured)" -ge 1 ]
	[ "$(wc -l <table.csv)" -ge 2 ]
	same stderr "$(<errors)" ''
}

@test "measure: kill -9, of itself and of its ssh, leaves nothing anywhere" {
	start_hosts --rtt 2ms
	in_background "$tcplab" measure a b --time 20
	wait_until is_running 'roundtrip b '
	kill -KILL "$(pid_of 'bash .*/measure a b --time 20')"
	all_clean
	wait "$TOP" || true

	in_background "$tcplab" measure a b --time 20 --json
	wait_until is_running 'roundtrip b '
	kill -KILL "$(pid_of 'ssh .* -- a exec sh -c')" # the one that logged in
	wait_until grep -qs '"op":"roundtrip"' out
	wait_until is_clean a
	kill -INT "$(pid_of 'bash .*/measure a b --time 20')"
	all_clean
	wait "$TOP" || true
}

is_running() {
	pid_of "$1" >/dev/null
}

@test "measure: kill -9 while it copies leaves nothing, even if the copy never ends" {
	start_hosts --rtt 2ms
	printf '#!/bin/sh\nfor word; do case $word in "cat >"*) exec sleep 600 ;; esac; done\nexec ssh "$@"\n' >never
	chmod +x never
	TCPLAB_SSH="$PWD/never -F $SSH/config" in_background "$tcplab" measure a b
	wait_until is_running 'sleep 600'
	kill -KILL "$(pid_of 'bash .*/measure a b')"
	wait "$TOP" || true
	all_clean
	kill "$(pid_of 'sleep 600')"
}

@test "measure: where the cable is cut the far end goes by itself" {
	start_hosts --rtt 2ms
	TCPLAB_HOSTS_SILENCE=2 in_background "$tcplab" measure a b --time 20
	wait_until is_running "roundtrip b "
	"$linkem" set blackhole=1
	wait_until is_clean a
	kill -KILL "$(pid_of 'bash .*/measure a b --time 20')"
	wait "$TOP" || true
}

@test "another architecture, and a folder that cannot be used, are said in one line" {
	start_hosts --rtt 2ms
	mkdir bin
	printf '#!/bin/sh\n[ "$1" = -m ] && echo armv7l || exec /bin/uname "$@"\n' >bin/uname
	chmod +x bin/uname
	start_sshd b "PATH=$PWD/bin:$PATH"
	run -1 --separate-stderr here "$tcplab" measure a b --time 0.1
	one_line_with 'measure: b: ' 'armv7l' "$(uname -m)"
	run -77 here "$tcplab" lab 01 --hosts a,b --batch
	[[ ${lines[-1]} == '01-bandwidth: SKIPPED: host b (b): '*armv7l* ]]

	start_sshd b "TMPDIR=$SSH/nowhere"
	run -1 --separate-stderr here "$tcplab" measure a b --time 0.1
	one_line_with 'measure: b: ' "$SSH/nowhere" 'No such file'

	BEFORE_SSHD="mount -t tmpfs -o size=64k none $SSH/b/tmp &&" start_sshd b
	run -1 --separate-stderr here "$tcplab" measure a b --time 0.1
	one_line_with 'measure: b: cannot copy' 'No space left'
}

@test "a login that talks does no harm" {
	start_hosts --rtt 2ms
	SSHD_ALSO="ForceCommand echo Welcome to tcplab-far: b; exec sh -c \"\$SSH_ORIGINAL_COMMAND\"" start_sshd b
	run -0 --separate-stderr here "$tcplab" measure a b --time 0.1 --json
	same stderr "$stderr" ''
	same measured "$(ours measured)" 2
}

@test "wrong usage is one line and status 2, before anything is done" {
	local words
	for words in '' a 'a -oProxyCommand=false' 'a --no-such' 'a a' 'a b --time soon' 'a b --time 0' 'a b --time' 'a b -p 70000' 'a b;reboot' 'a x@-b' \
		'a b=' 'a =b'; do
		# shellcheck disable=SC2086 # these are words
		run -2 --separate-stderr "$tcplab" measure $words
		one_line_with 'measure: '
		[ -z "$output" ]
	done
	run -2 --separate-stderr "$tcplab" measure a 'two words'
	one_line_with "'two words' is not the name of a host"
	for words in a a,b,c a,a -x,b 'a,' ',a' 'a,b;reboot'; do
		run -2 --separate-stderr "$tcplab" lab 01 --hosts "$words"
		one_line_with '01-bandwidth: '
	done
	run -2 --separate-stderr "$tcplab" lab 10 --hosts a,b
	one_line_with 'about one host'
	run -2 --separate-stderr "$TCPLAB_ROOT/labs/10-byte-stream/lab.sh" --hosts a,b
	one_line_with 'about one host'
	run -1 --separate-stderr "$tcplab" measure a b --svg nowhere/x.svg
	one_line_with 'nowhere/x.svg' 'No such file'
	run -0 "$tcplab" measure --help
	[[ $output == 'usage: tcplab measure'* ]]
}

# --- labs -----------------------------------------------------------------------------------------------------------------

@test "lab 01 and 02 between two hosts are confirmed, and the evidence says which" {
	start_hosts --rtt 2ms --rate 200mbit
	run -0 here "$tcplab" lab 01 --hosts a,b --batch --evidence bundle
	[ "${lines[-1]}" = '01-bandwidth: CONFIRMED' ]
	[[ $output == *'host a is a, address a: Linux '*'host b is b, address b: Linux '* ]]
	grep -q '^host b: *b, address b, Linux ' bundle/environment.txt
	[[ $(head -n 1 bundle/lab.json) == *'"hosts":["a","b"]}' ]]
	run -0 here "$tcplab" lab 02 --hosts root@a,b=10.9.2.1 --json
	same verdict "$(ours verdict)" CONFIRMED
	same address "$(ours address host)" 10.9.2.1
	[[ $output == *'on a ttcp -t 10.9.2.1 '* ]]
}

@test "lab: kill -9 leaves nothing on the hosts, and SIGINT neither" {
	start_hosts --rtt 2ms
	local cage signal
	for cage in '' none; do
		for signal in KILL INT; do
			in_background env TCPLAB_LAB_CAGE=$cage "$TCPLAB_ROOT/labs/02-message-size/lab.sh" --hosts a,b --batch
			wait_until grep -qs -- --sweep out
			kill "-$signal" "$(pid_of 'bash .*/lab.sh --hosts a,b')"
			wait "$TOP" || true
			all_clean
		done
	done
}

@test "lab: a host that cannot be reached: skipped, with the reason" {
	start_hosts --rtt 2ms
	run -77 here "$tcplab" lab 02 --hosts a,refused --batch
	[[ ${lines[-1]} == '02-message-size: SKIPPED: host b (refused): '*'Connection refused' ]]
}

# What an ordinary user can read: a clone in root's home is closed to him.
open_tree() {
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
	chmod 1777 "$TMPDIR"
	mkdir -p open/build/release
	cp -R "$TCPLAB_ROOT"/{scripts,labs} open/
	cp -R "$TCPLAB_BIN" open/build/release/bin
	cp -R "$TCPLAB_ROOT/build/static" open/build/static
	chmod -R a+rX open
	chown 65534 "$SSH/user"
	TCPLAB_BIN=$PWD/open/build/release/bin
}

@test "as an ordinary user: measure, and a lab, which then has no namespaces" {
	start_hosts --rtt 2ms
	open_tree
	local nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent)
	run -0 --separate-stderr here "${nobody[@]}" open/scripts/tcplab measure root@a localhost --time 0.1 --json
	same stderr "$stderr" ''
	same measured "$(ours measured)" 2
	run -0 here "${nobody[@]}" open/scripts/tcplab lab 02 --hosts root@a,root@b --batch
	[ "${lines[-1]}" = '02-message-size: CONFIRMED' ]
}

# --- the kit --------------------------------------------------------------------------------------------------------------

# check_small CMD...: a lab that uses all words, on two hosts.
check_small() {
	run -0 here "$@" ./99-small/lab.sh --hosts localhost,b --tap --evidence bundle
	[ "${lines[-1]}" = 'ok 1 - 99-small' ]
	[[ $output == *$'\n'"# <it's><two  words><><\$HOME><*>"$'\n'*$'\n# sent\n'* ]]
	[[ $output == *$'\n'"# $TMPDIR/"*/tcplab-far.*$'/work\n# here\n# $ on b'* ]]
	[[ $output == *$'\n# left out: what needs an emulated link, because these are real hosts\n'* ]]
	same seven "$(field seven <bundle/verdict.json)" 7
	same stopped "$(field stopped <bundle/verdict.json)" 143
	same blocks "$(field blocks <bundle/results/sink.json)" 10
}

@test "kit: on a host: words stay words, input, output, status and SIGTERM go through" {
	start_hosts --rtt 2ms
	mkdir 99-small
	cat >99-small/lab.sh <<-END
		#!/usr/bin/env bash
		# tier: em
		# summary: A lab for the tests of the kit.
		# hosts: ttcp
		set -uo pipefail
		source '$TCPLAB_ROOT/labs/lib/lab.sh'
		lab_start "\$@"
		run "on a printf '<%s>' \"it's\" 'two  words' '' '\\\$HOME' '*'"
		run 'echo sent | on b cat'
		try 'on a sh -c "exit 7"'
		figure seven "\$STATUS" 1
		run 'on a sh -c "pwd; touch here" && on a ls && on b ls'
		serve sink 'on b ttcp -r -p 0 --json > sink.json'
		measure up "on a ttcp -t \$B -p \$PORT -n 10"
		stop sink
		figure stopped "\$STATUS" 1
		testbed --rtt 2ms && exit 9
		claim 'both are there' '1 == 1'
		verdict
	END
	chmod +x 99-small/lab.sh
	check_small env
	check_small env TCPLAB_LAB_CAGE=none
}

@test "without the static programs it says how to make them; one that is static anyway is as good" {
	mkdir -p open/build/bin
	cp "$TCPLAB_BIN"/{ttcp,doctor,plot} open/build/bin
	TCPLAB_BIN=$PWD/open/build/bin run -77 "$tcplab" lab 02 --hosts localhost,nowhere --batch
	[[ ${lines[-1]} == *'SKIPPED: host a (localhost): there is no static ttcp '*"'make static'"* ]]
	cp "$TCPLAB_ROOT/build/static/ttcp" open/build/bin
	TCPLAB_BIN=$PWD/open/build/bin run -77 "$tcplab" lab 02 --hosts localhost,refused --batch
	[[ ${lines[-1]} == *'SKIPPED: host b (refused): ssh: '* ]]
}
