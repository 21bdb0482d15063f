#!/usr/bin/env bats
# procmon --tui and --once: the terminal is the user's again however it ends, and nothing that a process is called steers it.

load ../helpers

procmon=$TCPLAB_BIN/procmon

setup() {
	start_worker sleep 100
}

in_terminal() {
	LC_ALL=${LOCALE:-C.UTF-8} timeout 90 python3 "$TCPLAB_ROOT/tests/fixtures/in_terminal.py" "$@"
}

# The screen was entered and left, and its mode is what it was. What stands behind is the total.
screen_is_restored() {
	jq -e '.restored and (.text | startswith("\u001b[?1049h") and test("\u001b\\[\\?25h\u001b\\[\\?1049l[^\u001b]*$"))' \
		<<<"$output"
}

# plain [.parts[N]]: what was written (between step N - 1 and step N), without colours and cursor movement.
plain() {
	jq -j "${1:-.text}" <<<"$output" | sed 's/\x1b\[[?0-9;]*[A-Za-z]//g' | tr -d '\r'
}

# shows WORDS...: each of them some time.
shows() {
	local words
	for words; do
		plain | grep -qF -e "$words" || {
			echo "not shown: '$words', but:"
			plain
			return 1
		}
	done
}

@test "keys choose the page, the span, a pause and a mark; q ends it, and the terminal is as before" {
	run -0 in_terminal --until "[1 Overview]" --key 2 --until "[2 Threads]" --key $'\t' --until "[3 Files]" --key 4 \
		--until "[4 Sockets]" --key $'\e[Z1s' --until "last 10 minutes" --key p --until "paused" --key p \
		--until "every" --key $'msetp\x7f up\r' --until "set up" --key q \
		"$procmon" --tui -i 50ms --name $'na\rme' "$WORKER"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 0
	shows "na?me ($WORKER) sleeping" "SLEEPS IN" "/dev/null" " none" "descriptors"
	# The total comes when the screen was left.
	jq -e '.text | test("\\?1049l[^\u001b]* sample")' <<<"$output"
}

@test "the terminal is as before after Ctrl-C, after SIGTERM, and when the process has ended" {
	run -0 in_terminal --until "Overview" --key $'\x03' "$procmon" --tui -i 50ms "$WORKER"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 130
	run -0 in_terminal --until "Overview" --signal TERM "$procmon" --tui -i 50ms "$WORKER"
	screen_is_restored
	same status "$(jq .status <<<"$output")" 143
	run -0 in_terminal --until "Overview" --then "kill -KILL $WORKER" --until "has ended" --key q \
		"$procmon" --tui -i 50ms "$WORKER"
	screen_is_restored
	shows "ended at "
}

@test "another size of the terminal is drawn at once: nothing is wider or longer" {
	LOCALE=C run -0 in_terminal --until "mark" --resize 41x13 --until "Overview" --key x --until "Overview" --key q \
		"$procmon" --tui -i 20s "$WORKER"
	screen_is_restored
	plain '.parts[1], .parts[2]' >"$BATS_TEST_TMPDIR/frames"
	[ "$(awk '{ print length }' "$BATS_TEST_TMPDIR/frames" | sort -n | tail -n 1)" -le 41 ]
	# Between one head line and the next: the whole frame.
	same lines "$(awk '/every/ && last { print NR - last; exit } /every/ { last = NR }' "$BATS_TEST_TMPDIR/frames")" 12
}

# A shell with job control, which types its prompt when the terminal is its own again.
in_a_shell() {
	PROMPT_COMMAND='echo ready' PROCMON=$procmon WORKER=$WORKER in_terminal "$@" sh -c 'exec bash --norc --noprofile -i 2>&1'
}

@test "in the background it waits; fg takes the terminal, Ctrl-Z gives it to the shell, fg takes it again" {
	run -0 in_a_shell --until "ready" \
		--key $'"$PROCMON" --tui -i 50ms $WORKER & until jobs | grep Stopped; do :; done; echo be\'hi\'nd\r' \
		--until "behind" --key $'fg\r' --until "Overview" --key $'\x1a' \
		--until "Stopped" --until "ready" --key $'stty -a | grep -o " icanon"; echo me\'an\'while\r' \
		--until "meanwhile" --key $'fg\r' --until "Overview" --key 2 --until "[2 Threads]" --key q --until " sample" \
		--key $'exit\r'
	jq -e .restored <<<"$output"
	shows " icanon"
	# The screen is entered by nobody who is not in front, and left before the shell is told.
	jq -e '.parts | map(contains("\u001b[?1049h")) == [false, false, true, false, false, false, true, false, false, false]' \
		<<<"$output"
	jq -e '.parts[3] | contains("\u001b[?1049l")' <<<"$output"
}

@test "after a SIGSTOP, of which nobody is warned, fg takes the terminal again, too" {
	local pid=$BATS_TEST_TMPDIR/pid
	PID_FILE=$pid run -0 in_a_shell --until "ready" \
		--key $'sh -c \'echo $$ >"$PID_FILE"; exec "$PROCMON" --tui -i 50ms $WORKER\'\r' \
		--until "Overview" --then "kill -STOP \$(cat '$pid')" --until "Stopped" --until "ready" --key $'fg\r' \
		--until "Overview" --key 3 --until "[3 Files]" --key q --until " sample" --key $'exit\r'
	jq -e .restored <<<"$output"
}

@test "a terminal that is stopped (Ctrl-S) holds up neither the pages nor the end" {
	start_server python3 -c '
import os, pty, signal, sys, termios
master, slave = pty.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    os.dup2(slave, 0)
    os.dup2(slave, 1)
    os.execv(sys.argv[1], sys.argv[1:])
os.read(master, 1)  # the screen was entered
termios.tcflow(slave, termios.TCOOFF)
print(pid, flush=True)
os.wait()' "$procmon" --tui -i 50ms -p 0 --report "$BATS_TEST_TMPDIR/report" "$WORKER"
	wait_until test -s "$SERVER_OUT"
	wait_until has_samples 10
	# Only the total, which is no frame, waits for the terminal: as the last thing, when the report is written.
	kill -TERM "$(<"$SERVER_OUT")"
	wait_until test -s "$BATS_TEST_TMPDIR/report"
	kill -KILL "$SERVER_PID"
	wait_server
}

has_samples() {
	[ "$(curl -s "127.0.0.1:$PORT/json" | jq .samples)" -ge "$1" ]
}

@test "when its terminal goes, so does procmon, and the report is written" {
	run -0 --separate-stderr timeout 20 python3 -c '
import os, pty, sys
pid, master = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
os.read(master, 1)  # the screen was entered
os.close(master)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' \
		"$procmon" --tui -i 50ms --report "$BATS_TEST_TMPDIR/report" "$WORKER"
	same status "$output" 1 # nobody got the total
	[ -s "$BATS_TEST_TMPDIR/report" ]
}

@test "a process that is called an escape sequence stays words, in --tui and --once" {
	local name=$BATS_TEST_TMPDIR/$'\e[2J\e]0;x\a'
	cp "$(type -P sleep)" "$name"
	start_worker "$name" 100
	run -0 in_terminal --until "?[2J" --key 3 --until "[3 Files]" --key q "$procmon" --tui -i 50ms "$WORKER"
	screen_is_restored
	jq -e '.text | split("\u001b[2J") | length == 2' <<<"$output" # once, by the screen itself
	jq -e '.text | contains("\u001b]") or contains("\u0007") | not' <<<"$output"
	run -0 "$procmon" --once -i 20ms "$WORKER"
	[[ $output == '?[2J?]0;x? ('* ]]
	[[ $output != *$'\e'* ]]
}

@test "--tui into a pipe: plain frames; when nobody reads any more it ends" {
	# shellcheck disable=SC2016 # bash -c expands it
	run -0 --separate-stderr bash -c '"$1" --tui -i 110ms "$2" | grep -m 3 Overview' - "$procmon" "$WORKER"
	same "number of frames" "${#lines[@]}" 3
	[[ $output != *$'\e'* ]]
}

@test "--once says in a screen what matters, and is cut off for none but a terminal" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	LOCALE=C run -0 in_terminal --size 72x50 --until "rates over" --key '' "$procmon" --once -i 50ms "$SERVER_PID"
	shows "echo ($SERVER_PID), at 2" "-s -p 0" "of one: user" "RSS " "descriptors" "1 LISTEN, 1 UDP" "port $PORT"
	plain >"$BATS_TEST_TMPDIR/text"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/text")" -le 40 ]
	[ "$(awk '{ print length }' "$BATS_TEST_TMPDIR/text" | sort -n | tail -n 1)" -le 72 ]
	jq -e '.text | contains("\u001b") | not' <<<"$output"
	run -0 "$procmon" --once -i 20ms --name "$(printf 'x%.0s' {1..60})" "$SERVER_PID"
	[[ ${lines[0]} == *x\ \("$SERVER_PID"\),\ which\ calls\ itself\ echo,\ at\ 2* ]]
}
