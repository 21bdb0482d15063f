#!/usr/bin/env bats
# procmon in bad company: processes that end, vanish, change places, hide, call themselves names or come in masses; clients
# that send nonsense or too much; no descriptors, no room, no rights.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2016 # what stands in single quotes is for another shell
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	procmon=$TCPLAB_BIN/procmon
	HELD=()
}

teardown() {
	let_all_go
	stop_servers
}

# --- what the tests share -------------------------------------------------------------------------------------------

# target CMD...: something to watch; $TARGET, and its output in $TARGET_OUT.
target() {
	start_worker "$@"
	TARGET=$WORKER TARGET_OUT=$WORKER_OUT
}

# watch ARGS...: procmon with pages; $MONITOR, $MONITOR_OUT, $MONITOR_LOG, $PORT.
watch() {
	start_server "$procmon" -p 0 -i 20ms "$@"
	MONITOR=$SERVER_PID MONITOR_OUT=$SERVER_OUT MONITOR_LOG=$SERVER_LOG
}

get() {
	local path=$1
	shift
	curl -sS --globoff --max-time 20 "$@" "http://127.0.0.1:$PORT$path"
}

# answers STATUS PATH [CURL-OPTIONS]
answers() {
	local want=$1
	shift
	same "status of $*" "$(get "$@" -o /dev/null -w '%{http_code}')" "$want"
}

# tells KEY WANTED [QUERY]: of the process's record.
tells() {
	[ "$(get "/json${3:-}" | field "$1" process)" = "$2" ]
}

# Kernels from 6.15 on tell everybody how a process ended, others its parent only.
knows_ends() {
	local major minor
	IFS=. read -r major minor _ <<<"$(uname -r)"
	[ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "${minor%%[!0-9]*}" -ge 15 ]; }
}

descriptors() {
	find "/proc/$MONITOR/fd" -type l | wc -l
}

has_descriptors() {
	[ "$(descriptors)" -eq "$1" ]
}

memory_kB() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$MONITOR/status"
}

# a private pid namespace: numbers can be chosen there
need_pid_namespace() {
	unshare --user --map-root-user --pid --fork --mount-proc true 2>/dev/null || skip "no private pid namespaces here"
}

# in_pid_namespace SCRIPT: bash's standard input there; pid_next N makes the next process N.
in_pid_namespace() {
	need_pid_namespace
	{
		echo 'pid_next() { echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; }'
		cat
	} >script
	timeout 120 unshare --user --map-root-user --pid --fork --kill-child --mount-proc bash script "$procmon"
}

# --- the end ----------------------------------------------------------------------------------------------------------

# ended_so RECORDS STATUS SIGNAL
ended_so() {
	same "$1" "$(field exit_status exit <"$1") $(field exit_signal exit <"$1")" "$2 $3"
	same "$1, total" "$(field exit_status <"$1") $(field exit_signal <"$1") $(field exited <"$1")" "$2 $3 true"
}

@test "how a command ended: with 0, 3, by a signal" {
	local body k=0 workers=() outs=()
	for body in 'exit 0' 'exit 3' 'kill -KILL $$' 'kill -SEGV $$' 'exec /nowhere/at/all'; do
		start_worker "$procmon" -p 0 -i 20ms --json --until-exit -- sh -c "ulimit -c 0; $body"
		workers+=("$WORKER") outs+=("$WORKER_OUT")
	done
	for ((k = 0; k < 5; k++)); do
		wait_server "${workers[k]}"
		same "status of procmon" "$SERVER_STATUS" 0
	done
	ended_so "${outs[0]}" 0 null
	ended_so "${outs[1]}" 3 null
	ended_so "${outs[2]}" 137 SIGKILL
	ended_so "${outs[3]}" 139 SIGSEGV
	ended_so "${outs[4]}" 127 null
	run -1 --separate-stderr "$procmon" -p 0 -- /nowhere/at/all
	one_line_with '/nowhere/at/all' ENOENT
}

@test "a command ends together with procmon, even a stopped one, and one that will not is named" {
	local child stubborn will_not log
	watch -- sh -c 'trap "" TERM; echo ready; while :; do sleep 1; done'
	wait_until grep -q ready "$MONITOR_OUT"
	stubborn=$MONITOR log=$MONITOR_LOG
	will_not=$(get /json | field pid process)
	kill -INT "$stubborn"

	watch -- sh -c 'kill -STOP $$; exit 0' # SIGTERM alone it would not see
	wait_until tells state T
	child=$(get /json | field pid process)
	kill -INT "$MONITOR"
	wait_server "$MONITOR"
	cat "$MONITOR_LOG" "$MONITOR_OUT"
	same "status after SIGINT" "$SERVER_STATUS" 130
	has_ended "$child"
	grep -q "killed by SIGTERM" "$MONITOR_OUT"

	wait_server "$stubborn"
	kill -KILL "$will_not"
	same "status after SIGINT" "$SERVER_STATUS" 130
	grep -q "process $will_not has not ended" "$log"
}

# Three that are not its own, as it has them: what was seen last, how each ended, and when.
@test "how others' processes ended, and what was known of them is still told" {
	local body k=0 targets=() gate status
	mkfifo gate
	exec {gate}<>gate
	for body in 'exit 0' 'exit 3' 'kill -KILL $$'; do
		target bash -c "echo ready; read -r line <&$gate; $body"
		targets+=("$TARGET")
		wait_until grep -q ready "$TARGET_OUT"
	done
	watch --json "$(IFS=,; echo "${targets[*]}")"
	get "/json?pid=${targets[1]}&with=files,threads,maps" >before
	printf '\n\n\n' >&"$gate" # a line each
	exec {gate}>&-
	for ((k = 0; k < 3; k++)); do
		wait_until tells exited true "?pid=${targets[k]}"
	done
	for ((k = 0; k < 3; k++)); do
		wait_server "${targets[k]}"
		status=$(get "/json?pid=${targets[k]}" | field exit_status process)
		if knows_ends; then
			wait_until tells exit_status "$SERVER_STATUS" "?pid=${targets[k]}"
		else
			[ "$status" = null ] || same status "$status" "$SERVER_STATUS"
		fi
		answers 200 "/?pid=${targets[k]}"
		answers 200 "/cpu.svg?pid=${targets[k]}"
	done
	# what was seen last, not what a corpse has
	get "/json?pid=${targets[1]}&with=files,threads,maps" >after
	local key
	for key in name command exe files threads file_table; do
		same "$key" "$(field "$key" process <after)" "$(field "$key" process <before)"
	done
	[ "$(field resident_bytes process <after)" -gt 0 ]
	[ "$(field map_table process <after)" != '[]' ]
	[ "$(field uptime_ns process <after)" -ge "$(field uptime_ns process <before)" ]
	[ "$(get "/csv?pid=${targets[1]}" | wc -l)" -gt 1 ]
	stop_server "$MONITOR"
	same "ended" "$(grep -c '"record":"exit"' "$MONITOR_OUT")" 3
}

@test "a zombie: its status for its own user, and for others not known rather than 0" {
	[ "$(id -u)" -eq 0 ] || skip "it takes two users"
	local zombie
	mkfifo gate
	target sh -c 'sh -c "read -r line <gate; exit 3" & echo $!; exec sleep 100' # which waits for nobody
	wait_until [ -s "$TARGET_OUT" ]
	zombie=$(cat "$TARGET_OUT")
	wait_until is_named "$TARGET" sleep
	: >gate
	wait_until is_in_state "$zombie" Z
	open_folder
	cp "$procmon" "$OPEN_FOLDER/"
	start_worker as_nobody_runs "$OPEN_FOLDER/procmon" --until-exit -p 0 --json "$zombie" # asks for a second
	run -0 "$procmon" --until-exit -p 0 --json "$zombie"
	same "for its user" "$(ours exit_status)" 3
	wait_server "$WORKER"
	same status "$SERVER_STATUS" 0
	same "for others" "$(field exit_status <"$WORKER_OUT") $(field exited <"$WORKER_OUT")" 'null true'
}

is_named() {
	[ "$(cat "/proc/$1/comm")" = "$2" ]
}

is_in_state() {
	grep -q "^State:.$2" "/proc/$1/status"
}

# The first thread has ended: by its state the process is a zombie, and is none.
@test "a process whose first thread has ended still runs" {
	need python3
	target python3 -c '
import ctypes, threading, time
threading.Thread(target=lambda: (time.sleep(0.1), print("ready", flush=True), time.sleep(100))).start()
ctypes.CDLL(None).syscall(60 if __import__("platform").machine() == "x86_64" else 93, 9)'
	wait_until grep -q ready "$TARGET_OUT"
	watch "$TARGET"
	wait_until tells state Z
	same exited "$(get /json | field exited process)" false
	same threads "$(get /json | field threads process)" 2
	answers 200 /threads
	kill -KILL "$TARGET"
	wait_until tells exited true
}

# --- one number, two processes ----------------------------------------------------------------------------------------

@test "a number that is used again is another process" {
	run -0 in_pid_namespace <<-'END'
		bash -c 'read -r x; exit 3' < <(sleep 100) & # holds the number until it is killed
		one=$!
		"$1" -p 0 -i 20ms --json $one >out 2>log 3>&- & # bats waits for whoever has its fd 3
		monitor=$!
		until grep -q listening log; do sleep 0.02; done
		until [ "$(grep -c interval out)" -gt 3 ]; do sleep 0.02; done
		kill -KILL $one
		wait $one
		pid_next $one || exit 77
		bash -c 'while :; do :; done' & # a busy one
		[ $! -eq $one ] || exit 77
		until [ "$(grep -c '"record":"exit"' out)" -eq 1 ]; do sleep 0.02; done
		until "$1" --once --json -i 100ms $one | grep -q '"cpu_percent":[1-9]'; do :; done
		kill -KILL $!
		kill -INT $monitor
		wait $monitor
		grep '"record":"total"' out
	END
	[ "$status" -ne 77 ] || skip "numbers cannot be chosen here"
	same exited "$(ours exited)" true
	[ "$(ours cpu_ns)" -lt 100000000 ] # of the busy one nothing
}

@test "a child whose number is used again within the tree is counted as a new one" {
	run -0 in_pid_namespace <<-'END'
		bash -c '
			while read -r n; do
				echo $((n - 1)) >/proc/sys/kernel/ns_last_pid
				bash -c "for ((i = 0; i < 30000; i++)); do :; done; sleep 0.1" &
				[ -z "$last" ] || [ $! -eq "$last" ] || exit 77
				last=$!
				wait $!
			done < <(printf "%s\n" 3000 3000 3000 3000)' &
		"$1" -p 0 -i 10ms --json --children --until-exit $! >out 2>log
		wait $! || exit $?
		grep '"record":"total"' out
	END
	[ "$status" -ne 77 ] || skip "numbers cannot be chosen here"
	same exited "$(ours exited)" true
	[ "$(ours cpu_ns)" -gt 0 ]
}

# --- rights -----------------------------------------------------------------------------------------------------------

@test "another user's process: what may be read is shown, and which right is missing for the rest" {
	[ "$(id -u)" -eq 0 ] || skip "it takes two users"
	open_folder
	cp "$procmon" "$OPEN_FOLDER/"
	target sleep 100
	start_server as_nobody_runs "$OPEN_FOLDER/procmon" -p 0 -i 20ms --allow-environ "$TARGET"
	get '/json?with=threads,files,sockets,pss,maps,limits' >record
	cat record
	grep -q '"unreadable":"[^"]*CAP_SYS_PTRACE' record
	same exe "$(field exe process <record)" null
	same pss "$(field pss_bytes process <record)" null
	same threads "$(field threads process <record)" 1
	[ "$(field resident_bytes process <record)" -gt 0 ]
	grep -q '"name":"Max open files"' record
	local page
	for page in / /files /sockets /maps /environ; do
		get "$page" >text
		grep -q CAP_SYS_PTRACE text || {
			echo "not said on $page"
			false
		}
	done
	stop_server
	run -0 as_nobody "$OPEN_FOLDER/procmon" --once -i 20ms "$TARGET"
	[[ $output == *CAP_SYS_PTRACE* ]]
}

# as_nobody, but a program: the pid of a function would be a shell's.
as_nobody_runs() {
	exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

# --- names ------------------------------------------------------------------------------------------------------------

@test "names with parentheses, newlines, markup and no UTF-8 confuse neither us, nor browsers, nor terminals" {
	need python3
	local names=('a) R 1 (b' $'two\n9 (lines) S' '<script>x"&' $'\xff\xfe\x80' $'\e[31mred\a' 'back\slash' $'\n') name pids=()
	for name in "${names[@]}"; do
		cp "$(command -v sleep)" "./$name"
		target "./$name" 100
		pids+=("$TARGET")
	done
	watch --json --report report.html "$(IFS=,; echo "${pids[*]}")"
	local k query page urls=()
	for ((k = 0; k < ${#names[@]}; k++)); do
		query="?pid=${pids[k]}"
		wait_until tells state S "$query"
		get "/json$query&with=files,maps" >"json.$k"
		for page in / /files /maps /cmdline /sockets; do
			urls+=("http://127.0.0.1:$PORT$page$query")
		done
	done
	curl -sS --max-time 20 "${urls[@]}" >pages
	get '/cpu.svg?all=1' >svgs
	get /metrics >metrics
	"$procmon" --once -i 20ms "${pids[0]},${pids[1]},${pids[4]},${pids[6]}" >once
	stop_server "$MONITOR"
	MONITOR_OUT=$MONITOR_OUT MONITOR_LOG=$MONITOR_LOG python3 - "${names[@]}" <<-'END'
		import json, os, re, sys
		for k, name in enumerate(map(os.fsencode, sys.argv[1:])):
		    record = json.loads(open(f"json.{k}", "rb").read().decode("utf-8"))  # strictly
		    want = name[:15].decode("utf-8", "replace")
		    got = record["name"]
		    assert got == want or b"\xff" in name, (got, want)
		    assert record["state"] == "S" and record["threads"] == 1 and record["ppid"] > 1, record
		for line in open(os.environ["MONITOR_OUT"], "rb"):
		    json.loads(line.decode("utf-8"))
		for path in "pages", "svgs", "report.html":
		    text = open(path, "rb").read().decode("utf-8")
		    assert "<script>x" not in text and "\x1b" not in text and "\x07" not in text, path
		    assert "&lt;script&gt;x" in text, path
		metrics = open("metrics", "rb").read().decode("utf-8")
		for line in metrics.splitlines():
		    assert re.fullmatch(r'#.*|[a-z_]+(\{([a-z_]+="([^"\\]|\\\\|\\"|\\n)*",?)*\})? \S+', line), line
		for path in "once", os.environ["MONITOR_LOG"]:
		    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", open(path, "rb").read()), path
	END
}

# --- many ------------------------------------------------------------------------------------------------------------

@test "a wild forker with --children: what its short-lived children used is counted, once" {
	need python3
	cat >forker.py <<-'END'
		import os, resource
		for _ in range(200):
		    pid = os.fork()
		    if pid == 0:
		        sum(range(20000))
		        os._exit(0)
		    os.waitpid(pid, 0)
		used = 0
		for who in resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN:
		    r = resource.getrusage(who)
		    used += r.ru_utime + r.ru_stime
		print("used", int(used * 1e9), flush=True)
	END
	run -0 --separate-stderr "$procmon" -p 0 -i 10ms --json --children --until-exit -- python3 forker.py
	local used counted
	used=$(sed -n 's/^used //p' <<<"$stderr")
	counted=$(ours cpu_ns)
	echo "used $used, counted $counted"
	# the children's come in ticks of 10 ms, twice; and python's own end comes after its count
	[ "$counted" -gt $((used - 20000000)) ]
	[ "$counted" -lt $((used + used / 5 + 20000000)) ]
	same "processes at the end" "$(ours exited)" true
}

@test "5000 descriptors and 300 threads: all are counted, and the price stays small" {
	need python3
	[ "$(ulimit -H -n)" = unlimited ] || [ "$(ulimit -H -n)" -gt 5100 ] || skip "needs 5100 descriptors"
	cat >large.py <<-'END'
		import os, resource, threading, time
		resource.setrlimit(resource.RLIMIT_NOFILE, (5100, 5100))
		threading.stack_size(65536)
		for _ in range(299):
		    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
		have = len(os.listdir("/proc/self/fd")) - 1
		for _ in range(5000 - have):
		    os.dup(0)
		print("ready", flush=True)
		time.sleep(100)
	END
	target python3 large.py
	wait_until grep -q ready "$TARGET_OUT"
	watch "$TARGET"
	wait_until tells files 5000
	same threads "$(get /json | field threads process)" 300
	get '/json?with=threads,files' >record
	same "rows of threads" "$(grep -o '"tid":' record | wc -l)" 300
	[ "$(grep -o '"fd":' record | wc -l)" -gt 1000 ]
	[ "$(get /files | wc -c)" -lt 2000000 ]
	# looked at or not: for a sample it uses less than half of what the interval has
	wait_until has_samples 50
	get /json >record
	local cost samples
	cost=$(grep -o '"self":.*' record | sed 's/.*"cpu_ns":\([0-9]*\).*/\1/')
	samples=$(field samples process <record)
	echo "procmon used $cost ns for $samples samples"
	[ $((cost / samples)) -lt 10000000 ]
}

has_samples() {
	[ "$(get /json | field samples process)" -ge "$1" ]
}

@test "many processes at once, and one more than that" {
	local pids=()
	target bash -c 'trap '\''kill $(jobs -p); exit'\'' TERM; for i in {1..33}; do sleep 100 & echo $!; done; wait'
	wait_until has_line 33 "$TARGET_OUT"
	mapfile -t pids <"$TARGET_OUT"
	run -2 --separate-stderr "$procmon" -p 0 "$(IFS=,; echo "${pids[*]}")"
	one_line_with 32
	unset 'pids[32]'
	watch --until-exit "$(IFS=,; echo "${pids[*]}")"
	same others "$(get /json | grep -o '"others":\[[^]]*\]' | tr -cd , | wc -c)" 30
	same "in the metrics" "$(get /metrics | grep -c '^procmon_threads{')" 32
	kill -KILL "${pids[@]}"
	wait_server "$MONITOR"
	same status "$SERVER_STATUS" 0
	! knows_ends || same "lines of the total" "$(grep -c 'killed by SIGKILL' "$MONITOR_OUT")" 32
}

# has_line N FILE
has_line() {
	[ "$(wc -l <"$2")" -ge "$1" ]
}

# --- nothing left ------------------------------------------------------------------------------------------------------

@test "without descriptors: nobody is declared dead for that, and it goes on afterwards" {
	need prlimit
	target sleep 100
	watch --json "$TARGET"
	prlimit --pid "$MONITOR" --nofile="$(($(descriptors) + 1))"
	local k=0 turns lines
	for ((k = 0; k < 5; k++)); do
		hold
	done
	wait_until grep -q EMFILE "$MONITOR_LOG"
	turns=$(turns)
	wait_until has_turned $((turns + 5))
	let_all_go
	lines=$(wc -l <"$MONITOR_OUT")
	wait_until has_line $((lines + 5)) "$MONITOR_OUT"
	get /json >record
	same exited "$(field exited process <record)" false
	[[ $(<record) =~ \"missed\":[1-9] ]]
	run ! grep -q '"record":"exit"' "$MONITOR_OUT"
}

# How often it has waited: for the next tick, most of the time.
turns() {
	awk '/^voluntary/ { print $2 }' "/proc/$MONITOR/status"
}

has_turned() {
	[ "$(turns)" -ge "$1" ]
}

@test "nowhere to write: the report, records, the total" {
	target sleep 100
	run -1 --separate-stderr "$procmon" -p 0 --time 50ms --report /dev/full "$TARGET"
	one_line_with_listening /dev/full ENOSPC
	run -1 --separate-stderr "$procmon" -p 0 --time 50ms --report /nowhere/report.html "$TARGET"
	one_line_with /nowhere/report.html ENOENT
	run -1 --separate-stderr bash -c '"$1" -p 0 -i 10ms --json --time 100ms "$2" >/dev/full' - "$procmon" "$TARGET"
	one_line_with_listening 'standard output'
	run -1 --separate-stderr bash -c '"$1" --once -i 10ms "$2" >/dev/full' - "$procmon" "$TARGET"
	one_line_with 'standard output'
	run -1 --separate-stderr bash -c '"$1" --once -i 10ms --json "$2" >&-' - "$procmon" "$TARGET"
	one_line_with 'standard output'
	run -0 --separate-stderr timeout 10 bash -c '"$1" -p 0 -i 10ms --json "$2" | head -n 2; exit $((PIPESTATUS[0] != 1))' \
		- "$procmon" "$TARGET"
	one_line_with_listening 'standard output'
}

# The line that it listens, and one that says what went wrong.
one_line_with_listening() {
	[[ ${stderr_lines[0]} == *'listening on'* ]]
	stderr_lines=("${stderr_lines[@]:1}")
	one_line_with "$@"
}

# --- clients ----------------------------------------------------------------------------------------------------------

# raw TEXT: \r\n and all; what comes back until the server closes.
raw() {
	# shellcheck disable=SC2059 # the text is the format
	printf "$1" | timeout 20 nc -N 127.0.0.1 "$PORT"
}

raw_is() {
	run -0 raw "$1"
	same "answer to $1" "${lines[0]:9:3}" "$2"
}

@test "what cannot be answered is refused, and those beside it are served" {
	need nc
	target sleep 100
	watch "$TARGET"
	hold # says nothing
	hold
	printf 'GET / HTTP/1.1\r\nHost: loc' >&"${HELD[1]}" # and never the rest
	local path long
	long=$(printf '%09000d' 0)
	for path in '/json?pid=1' /nowhere /json/ //json /../etc/passwd; do
		answers 404 "$path" --path-as-is
	done
	for path in '/json?pid=x' '/json?pid=-1' "/json?pid=${TARGET}x" '/?span=3h' '/json?with=all' '/stream?page=x' '/stream?as=x' \
		'/cpu.svg?all=2' "/json?pid=$long" '/json?pid=%zz'; do
		[ ${#path} -gt 100 ] || answers 400 "$path"
	done
	answers 403 /environ
	answers 403 '/stream?page=environ&as=html'
	answers 405 /mark
	answers 405 / -X POST -d x
	answers 421 / -H 'Host: evil.example'
	answers 421 /stream -H 'Host: evil.example:80'
	raw_is 'GET / HTTP/1.1\r\n\r\n' 400
	raw_is 'nonsense\r\n\r\n' 400
	raw_is "GET /$long HTTP/1.1\r\nHost: localhost\r\n\r\n" 414
	raw_is "GET / HTTP/1.1\r\nHost: localhost\r\nX: $long$long\r\n\r\n" 431
	raw_is 'POST /mark?label=x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n' 413
	local host='HTTP/1.1\r\nHost: localhost\r\n'
	run -0 raw "GET /json $host\r\nGET /nowhere $host\r\nGET /metrics ${host}Connection: close\r\n\r\n"
	same "pipelined" "$(grep -ac '^HTTP/1.1 200' <<<"$output") $(grep -ac '^HTTP/1.1 404' <<<"$output")" '2 1'
	answers 200 /
	get / -D head -o page
	grep -qi '^content-security-policy:.*frame-ancestors' head
	grep -qi '^x-content-type-options: nosniff' head
}

@test "marks: only with a label, only from our own page, and whatever stands in them" {
	target sleep 100
	watch --json --report report.html "$TARGET"
	answers 400 /mark -X POST
	answers 400 '/mark?label=' -X POST
	answers 400 "/mark?label=$(printf '%0900d' 0)" -X POST
	answers 400 '/mark?label=%00' -X POST
	answers 403 '/mark?label=evil' -X POST -H 'Origin: http://evil.example'
	answers 403 '/mark?label=evil' -X POST -H 'Origin: null'
	answers 421 '/mark?label=evil' -X POST -H 'Host: evil.example'
	answers 204 '/mark?label=%3Cscript%3Ealert(1)%3C/script%3E' -X POST
	answers 204 '/mark?label=two%0alines%22,%1b%5b31m' -X POST -H "Origin: http://127.0.0.1:$PORT"
	answers 303 /mark -X POST -d 'label=a+form%20of+the+page'
	answers 204 '/mark?label=%ff%fe' -X POST
	local k=0
	for ((k = 0; k < 100; k++)); do
		echo "url = \"http://127.0.0.1:$PORT/mark?label=$k\""
	done >urls
	curl -sS --max-time 20 -X POST -K urls
	wait_until has_line 100 "$MONITOR_OUT"
	for path in / /cpu.svg /memory.svg /json /csv; do
		get "$path" >answer
		run ! grep -qaP '<script>alert|evil|\x1b' answer
	done
	get /json | python3 -c 'import json, sys; assert 20 < len(json.loads(sys.stdin.buffer.read().decode("utf-8"))["marks"]) <= 104'
	stop_server "$MONITOR"
	run ! grep -qaE '<script>alert|evil' report.html
	grep -qa '"label":"two lines' "$MONITOR_OUT"
	same "marks told" "$(grep -c '"record":"mark"' "$MONITOR_OUT")" 104
}

@test "10,000 requests and streams that nobody reads: no descriptor, and hardly any memory, stays behind" {
	need ab
	[[ $TCPLAB_BIN == *release* ]] || skip "a sanitizer keeps what is freed"
	target sleep 100
	watch "$TARGET"
	get / >page
	local files memory k=0
	files=$(descriptors)
	timeout 300 ab -q -l -n 100 -c 10 "http://127.0.0.1:$PORT/" >/dev/null
	for ((k = 0; k < 10; k++)); do
		hold
		printf 'GET /stream?as=html HTTP/1.1\r\nHost: localhost\r\n\r\n' >&"${HELD[k]}"
	done
	timeout 300 ab -q -l -n 500 -c 10 -k "http://127.0.0.1:$PORT/json?with=threads,files,sockets,maps" >/dev/null
	wait_until has_descriptors $((files + 10))
	memory=$(memory_kB)
	run -0 timeout 300 ab -q -l -n 6000 -c 10 -k "http://127.0.0.1:$PORT/json"
	same failed "$(awk '/^Failed requests/ { print $3 }' <<<"$output")" 0
	same "kept alive" "$(awk '/^Keep-Alive requests/ { print $3 }' <<<"$output")" 6000
	run -0 timeout 300 ab -q -l -n 4000 -c 10 "http://127.0.0.1:$PORT/sockets"
	same failed "$(awk '/^Failed requests/ { print $3 }' <<<"$output")" 0
	let_all_go
	wait_until has_descriptors "$files"
	echo "memory: $memory kB before, $(memory_kB) after"
	[ "$(memory_kB)" -le $((memory + 2000)) ]
}

# --- how it ends ------------------------------------------------------------------------------------------------------

@test "SIGINT and SIGTERM: the total and the report first; --time and --until-exit: 0" {
	target sleep 100
	local number want
	for number in INT:130 TERM:143; do
		watch --report report.html "$TARGET"
		wait_until has_samples 3
		kill -"${number%:*}" "$MONITOR"
		wait_server "$MONITOR"
		same "status after SIG${number%:*}" "$SERVER_STATUS" "${number#*:}"
		cat "$MONITOR_OUT"
		grep -q "^$TARGET sleep: [0-9]* samples" "$MONITOR_OUT"
		grep -q '</html>' report.html
		rm report.html
	done
	run -0 --separate-stderr "$procmon" -p 0 -i 10ms --time 100ms --json "$TARGET"
	same "not ended" "$(ours exited) $(ours exit_status)" 'false null'
	# --until-exit waits for all, and one has ended before
	local one
	one=$(bash -c 'echo $$')
	run -1 --separate-stderr "$procmon" -p 0 --until-exit "$TARGET,$one"
	one_line_with "$one" ESRCH
}
