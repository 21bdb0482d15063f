# helpers.bash - what the bats files share; `load helpers`, or `load ../helpers` from a folder below.
#
#	start_server "$TCPLAB_BIN/ttcp" -r -p 0      runs it in the background and waits until it listens
#	"$TCPLAB_BIN/ttcp" -t 127.0.0.1 -p "$PORT" --json | field bytes
#
# The processes started here, and no others, are ended by teardown: a file with a teardown of its own calls
# stop_servers in it. Tests write into $BATS_TEST_TMPDIR only.

bats_require_minimum_version 1.5.0 # for `run -N`: the exit status is N

TCPLAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The binaries under test. The same files test another build: TCPLAB_BIN=build/asan/bin, or MODE=asan.
TCPLAB_BIN=$(realpath -m "${TCPLAB_BIN:-$TCPLAB_ROOT/build/${MODE:-release}/bin}")
export TCPLAB_BIN

# Debian keeps tc and nft where an ordinary user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

# All live servers, and the last one started: its pid, port, stdout and stderr. SERVER_STATUS: the last one that ended.
SERVER_PIDS=()
SERVER_PID='' PORT='' SERVER_OUT='' SERVER_LOG='' SERVER_STATUS=''
declare -A SERVER_LOG_OF=() SERVER_SINCE=()
SINCE=''
OPEN_FOLDER=''
# The program that start_worker started last.
WORKER='' WORKER_OUT='' WORKER_ERR=''

# start_worker CMD...: a program in the background that is no server. wait_server "$WORKER" waits for it, teardown ends
# it.
start_worker() {
	WORKER_OUT=$(mktemp "$BATS_TEST_TMPDIR/worker.XXXXXX.out")
	WORKER_ERR=${WORKER_OUT%.out}.err
	"$@" >"$WORKER_OUT" 2>"$WORKER_ERR" 3>&- &
	WORKER=$!
	keep "$WORKER" "$WORKER_ERR"
}

# keep PID LOG: teardown ends it; LOG is shown if something is wrong with it.
keep() {
	SERVER_PIDS+=("$1")
	SERVER_LOG_OF[$1]=$2
	SERVER_SINCE[$1]=''
	! sees_process "$1" || SERVER_SINCE[$1]=$SINCE
}

# start_server CMD...: returns when CMD has printed its "listening on" line. A CMD that ends before that, or says nothing
# for a long time, fails the test with its log. CMD is a program: the pid of a function would be a shell's. Not for `run`:
# the variables would stay in its subshell.
start_server() {
	SERVER_LOG=$(mktemp "$BATS_TEST_TMPDIR/server.XXXXXX.log")
	SERVER_OUT=${SERVER_LOG%.log}.out
	# bats waits for whoever holds its fd 3
	"$@" >"$SERVER_OUT" 2>"$SERVER_LOG" 3>&- &
	SERVER_PID=$!
	keep "$SERVER_PID" "$SERVER_LOG"
	if ! wait_until is_listening_or_dead || ! is_listening; then
		echo "start_server: no 'listening on' line from: $*"
		show_log "$SERVER_LOG"
		return 1
	fi
	local line
	line=$(grep -m 1 'listening on ' "$SERVER_LOG")
	PORT=${line% (udp)}
	PORT=${PORT##*:}
}

# A line of which the end is not yet written does not count: read says so.
is_listening() {
	local line
	while IFS= read -r line; do
		[[ $line != *'listening on '* ]] || return 0
	done <"$SERVER_LOG"
	return 1
}

is_listening_or_dead() {
	is_listening || has_ended "$SERVER_PID"
}

# hold [FORMAT]: a connection that this shell keeps, sends that, and does not read: the next of ${HELD[@]}. let_all_go closes
# them; with what they did not read, that is a reset.
hold() {
	local fd
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	# shellcheck disable=SC2059 # the format is the message
	printf "${1:-}" >&"$fd"
	HELD+=("$fd")
}

let_all_go() {
	local fd
	for fd in "${HELD[@]}"; do
		exec {fd}>&-
	done
	HELD=()
}

# untraced CMD...: for helpers that loop. WHY: before each command of a test bats notes where it stands, which takes as long as
# twenty commands do. Of a CMD that fails it then says where it was called, and not where in it.
untraced() {
	local -
	set +o functrace
	"$@"
}

# How long to wait for what must come, in seconds. Only what never comes takes that long, and a machine may be very busy.
PATIENCE=40

# wait_until CMD...: tries CMD every 20 ms until it succeeds; 1, and a word on stderr, if that never came.
wait_until() {
	untraced try_until "$@"
}

# WHY read: on a socket to which nobody sends it is a sleep(1) without a process, of which the tests would need thousands.
try_until() {
	local never since=$SECONDS result=0
	exec {never}<>/dev/udp/127.0.0.1/9
	until "$@"; do
		if ((SECONDS - since > PATIENCE)); then
			echo "waited ${PATIENCE} s, and this never came: $*" >&2
			result=1
			break
		fi
		read -rt 0.02 -u "$never" || true
	done
	exec {never}>&-
	return $result
}

# stop_server [PID]: SIGTERM to the last server, or to PID; leaves its exit status in $SERVER_STATUS. Fails when it had
# to be killed, and when a sanitizer found something.
stop_server() {
	local pid=${1:-$SERVER_PID}
	is_another "$pid" || kill -TERM "$pid" 2>/dev/null || true
	wait_server "$pid"
}

# wait_server [PID]: for a server that ends by itself; otherwise as stop_server.
# shellcheck disable=SC2034 # SERVER_STATUS is for the tests to read
wait_server() {
	local pid=${1:-$SERVER_PID} result=0 left=()
	local log=${SERVER_LOG_OF[$pid]}
	if ! wait_until has_ended "$pid"; then
		echo "server $pid does not end: killed"
		grep -E '^(Name|State|Sig|ShdPnd|Threads)' "/proc/$pid/status" || true
		kill -KILL "$pid" 2>/dev/null || true
		result=1
	fi
	SERVER_STATUS=0
	wait "$pid" || SERVER_STATUS=$?
	local other
	for other in "${SERVER_PIDS[@]}"; do
		[ "$other" = "$pid" ] || left+=("$other")
	done
	SERVER_PIDS=("${left[@]}")
	if grep -qE 'Sanitizer|runtime error:' "$log"; then
		echo "a sanitizer reported an error"
		result=1
	fi
	[ $result -eq 0 ] || show_log "$log"
	return $result
}

# bash waits for its children at once and keeps their status: the number is gone as soon as the process is. But numbers are
# few, and another process may have it by now: that one began at another time than ours.
has_ended() {
	! kill -0 "$1" 2>/dev/null || is_another "$1"
}

is_another() {
	sees_process "$1" || return
	[ -n "${SERVER_SINCE[$1]:-}" ] || SERVER_SINCE[$1]=$SINCE
	[ "$SINCE" != "${SERVER_SINCE[$1]}" ]
}

# sees_process PID: sets $SINCE, when the process began, in clock ticks since the system did (proc_pid_stat(5)); 1 if there is
# none.
sees_process() {
	local stat=''
	{ IFS= read -rd '' stat <"/proc/$1/stat" || true; } 2>/dev/null
	# shellcheck disable=SC2206 # the fields behind the name, which may hold anything: the first is the third
	stat=(${stat##*) })
	SINCE=${stat[19]:-}
	[ -n "$SINCE" ]
}

# For teardown: every server that is left, those first that were started last; and the open folder.
stop_servers() {
	local result=0
	[ -z "$OPEN_FOLDER" ] || rm -r "$OPEN_FOLDER"
	OPEN_FOLDER=''
	while [ ${#SERVER_PIDS[@]} -gt 0 ]; do
		stop_server "${SERVER_PIDS[-1]}" || result=1
	done
	return $result
}

teardown() {
	stop_servers
}

show_log() {
	echo "--- $1"
	cat "$1"
	echo "---"
}

# field KEY [RECORD]: a top-level field of the last record of that kind ("total" if not given) in the NDJSON on stdin.
# Strings come without their quotes, objects and arrays as they stand. Fails when there is no such record or field.
field() {
	awk -v key="$1" -v record="${2:-total}" '
		# Cuts one object into its members, "key":value, at the commas that are neither nested nor quoted.
		function members(line, member,    i, c, n, depth, quoted, text) {
			for (i = 1; i <= length(line); i++) {
				c = substr(line, i, 1)
				if (quoted && c == "\\") {
					text = text c substr(line, ++i, 1)
					continue
				}
				if (c == "\"")
					quoted = !quoted
				if (!quoted && (c == "}" || c == "]"))
					depth--
				if (depth == 0 || (depth == 1 && !quoted && c == ",")) {
					if (text != "")
						member[++n] = text
					text = ""
				} else {
					text = text c
				}
				if (!quoted && (c == "{" || c == "["))
					depth++
			}
			return n
		}
		index($0, "\"record\":\"" record "\"") { last = $0 }
		END {
			n = members(last, member)
			for (i = 1; i <= n; i++) {
				if (index(member[i], "\"" key "\":") != 1)
					continue
				value = substr(member[i], length(key) + 4)
				gsub(/^"|"$/, "", value)
				print value
				exit 0
			}
			exit 1
		}'
}

# need CMD...: skips the test, naming the first of them that is not installed.
need() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || skip "needs $command"
	done
}

# --- assertions -------------------------------------------------------------------------------------------------------

# same WHAT IS WANTED
same() {
	[ "$2" = "$3" ] || {
		echo "$1: '$2', wanted '$3'"
		return 1
	}
}

# A field of the JSON records in $output: as field, after `run`.
# shellcheck disable=SC2154 # bats sets it
ours() {
	field "$@" <<<"$output"
}

# After run --separate-stderr: one line on stderr, with each of these words.
# shellcheck disable=SC2154 # bats sets both
one_line_with() {
	local word
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	for word; do
		[[ $stderr == *"$word"* ]] || {
			echo "not said: $word, but: $stderr"
			return 1
		}
	done
}

# as_nobody CMD...: runs CMD as a user without rights. Who is no root has none to give up. Such a user cannot see into
# $BATS_TEST_TMPDIR: open_folder makes a place where he can.
as_nobody() {
	if [ "$(id -u)" -eq 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
	else
		"$@"
	fi
}

# Sets $OPEN_FOLDER; teardown removes it (stop_servers does).
open_folder() {
	OPEN_FOLDER=$(mktemp -d "${TMPDIR:-/tmp}/tcplab-test.XXXXXX")
	chmod 755 "$OPEN_FOLDER"
}
