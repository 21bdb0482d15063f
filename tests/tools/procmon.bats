#!/usr/bin/env bats
# procmon: its options and their misuse, one look, records, pages and their relatives, marks, several processes and
# trees, and how it ends. Whether the figures are right is asked in tests/interop/procmon.bats, what a browser makes of
# the pages in procmon-page.bats there, and what hostile peers make of it in tests/robust/procmon.bats.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT, SERVER_PID, SERVER_OUT and SERVER_LOG are set by start_server
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

PAGES=(/ /threads /files /sockets /maps /limits /cmdline)
CHARTS=(/cpu.svg /memory.svg /threads.svg /switches.svg /faults.svg /io.svg /sockets.svg /queues.svg)
# -I -S: without the site's modules Python starts in half the time.
PYTHON=(python3 -I -S)

setup() {
	procmon=$TCPLAB_BIN/procmon
	cd "$BATS_TEST_TMPDIR" || return
}

# target: a process to look at, which does nothing: $TARGET.
target() {
	start_worker sleep 300
	TARGET=$WORKER
}

# watch ARGS...: procmon with pages on a free port; a short interval, so that nobody waits.
watch() {
	start_server "$procmon" -p 0 -i 50ms "$@"
}

# at PATH [CURL-OPTIONS]
at() {
	local path=$1
	shift
	curl -sS --max-time 20 "$@" "http://127.0.0.1:$PORT$path"
}

# status PATH [CURL-OPTIONS]: the status alone.
status() {
	at "$@" -o /dev/null -w '%{http_code}'
}

# well_formed [--has TEXT]... PATH...: see web_check.py.
well_formed() {
	"${PYTHON[@]}" "$TCPLAB_ROOT/tests/fixtures/web_check.py" "http://127.0.0.1:$PORT" "$@"
}

# query EXPRESSION [PATH]: of the record of /json, as Python has it: r["pid"].
query() {
	at "${2:-/json}" | "${PYTHON[@]}" -c "import json, sys
r = json.load(sys.stdin)
print(*[$1])"
}

# answers WANTED EXPRESSION [PATH]
answers() {
	same "$2" "$(query "${@:2}" 2>&1)" "$1"
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "procmon $*"
	run -2 --separate-stderr "$procmon" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# fails ERRNO ARGS...: status 1 with one line, with --json an error record, which is all there is.
fails() {
	local errno=$1
	shift
	run -1 --separate-stderr timeout 20 "$procmon" --json "$@"
	echo "procmon $*: $stderr"
	[[ ${stderr_lines[-1]} == "procmon: "*"($errno)" ]]
	same errno "$(ours errno error)" "$errno"
	same "number of records" "${#lines[@]}" 1
}

# valid [KEY:TYPE...]: the JSON records in $output, and these members of the total.
valid() {
	"${PYTHON[@]}" "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.procmon/1 "$@" <<<"$output"
}

# end STATUS [SIGNAL]: procmon ends with this status; its stdout is in $output.
end() {
	kill -"${2:-INT}" "$SERVER_PID"
	wait_server
	same "status of procmon" "$SERVER_STATUS" "$1"
	output=$(cat "$SERVER_OUT")
}

said() {
	grep -qF -- "$1" "$SERVER_LOG"
}

tells() {
	[[ $output == *"$1"* ]] || {
		echo "not told: $1, but: ${output:0:500}"
		return 1
	}
}

# --- usage ------------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$procmon" --help
	[[ $output == *"usage: procmon"*"--children"*"--report"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$procmon" --version
	[[ $output == "procmon (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local words
	while read -r words; do
		# shellcheck disable=SC2086 # options
		refused $words
	done <<-'END'

		0
		-5
		12x
		1,,2
		,1
		1,1
		99999999999
		1 65536
		1 http
		-p 65536 1
		-p x 1
		1 0 name more
		-i 9ms 1
		-i 2h 1
		-i x 1
		--time x 1
		-4 -6 1
		--once --tui 1
		--tui --json 1
		--name x 1,2
		--frobnicate 1
		--
	END
	refused --name '' 1
}

@test "what cannot be done: one line, status 1, an error record" {
	target
	fails ESRCH --once "$(sed 's/$/1/' /proc/sys/kernel/pid_max)"
	fails ENOENT -p 0 -- ./no-such-command
	fails EACCES -p 0 -- /dev/null
	fails ENOENT -p 0 --report no/such/folder.html "$TARGET"
	watch "$TARGET"
	fails EADDRINUSE -p "$PORT" "$TARGET"
	fails EADDRNOTAVAIL --bind 192.0.2.1 -p 0 "$TARGET"
}

@test "a process that ends while several are opened is not watched at all" {
	target
	fails ESRCH -p 0 "$TARGET,$(sed 's/$/1/' /proc/sys/kernel/pid_max)"
}

# --- one look ---------------------------------------------------------------------------------------------------------

@test "--once: text with everything about the process, no pages" {
	target
	run -0 --separate-stderr timeout 20 "$procmon" --once -i 50ms "$TARGET"
	same stderr "$stderr" ''
	[[ ${lines[0]} == *"($TARGET)"* ]]
	local word
	for word in command folder processor memory threads descriptors sockets "sleep 300" "${PWD##*/}"; do
		tells "$word"
	done
}

@test "--once --json: one record with every column and every table" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	local server=$SERVER_PID
	run -0 --separate-stderr timeout 20 "$procmon" --once --json -i 50ms "$server"
	same stderr "$stderr" ''
	same records "${#lines[@]}" 1
	valid pid:int label:str name:str command:any exe:str cwd:str user:str uid:int ppid:int state:str \
		start_time_ns:int uptime_ns:int exited:bool exit_status:any exit_signal:any samples:int time_ns:int \
		cpu_percent:number user_percent:number system_percent:number waited_percent:any resident_bytes:int \
		pss_bytes:int swap_bytes:int threads:int files:int voluntary_per_s:number involuntary_per_s:number \
		minor_faults_per_s:number major_faults_per_s:number read_Bps:number written_Bps:number \
		calls_per_s:number disk_read_Bps:number disk_written_Bps:number sockets:int receive_queue_bytes:int \
		send_queue_bytes:int tcp_in_Bps:any tcp_out_Bps:any retransmits_per_s:any processes:int cpu_ns:int \
		user_ns:int system_ns:int minor_faults:int major_faults:int thread_table:any file_table:any \
		socket_table:any socket_source:str map_table:any limit_table:any self:any
	same pid "$(ours pid)" "$server"
	same exited "$(ours exited)" false
	same sockets "$(ours sockets)" 1
	tells "\"local\":\"127.0.0.1:$PORT\",\"peer\":\"0.0.0.0:0\",\"state\":\"LISTEN\""
}

@test "--once of several: all of them, in the order that was given" {
	target
	local first=$TARGET
	target
	run -0 --separate-stderr timeout 20 "$procmon" --once --json -i 50ms "$TARGET,$first"
	valid
	same pids "$(field pid <<<"${lines[0]}") $(field pid <<<"${lines[1]}")" "$TARGET $first"
	run -0 timeout 20 "$procmon" --once -i 50ms "$TARGET,$first"
	tells "sleep ($TARGET)"
	tells "sleep ($first)"
}

@test "--once of a command that ends before the interval is over: how it ended" {
	run -0 --separate-stderr timeout 20 "$procmon" --once --json -i 1h -- sh -c 'exit 7'
	valid
	same "exited, status" "$(ours exited) $(ours exit_status)" "true 7"
}

# --- records ----------------------------------------------------------------------------------------------------------

@test "--json: start, intervals, the exit with its status, total; the command's own words go to stderr" {
	mkfifo end
	start_server "$procmon" --json -p 0 -i 20ms --until-exit -- sh -c 'echo "its own words"; read -r x <end; exit 3'
	wait_until has_intervals 2
	echo >end
	wait_server
	same "status of procmon" "$SERVER_STATUS" 0
	output=$(<"$SERVER_OUT") stderr=$(<"$SERVER_LOG")
	mapfile -t lines <"$SERVER_OUT"
	valid pid:int label:str samples:int exited:bool exit_status:int cpu_ns:int user_ns:int system_ns:int \
		cpu_percent_mean:number cpu_percent_most:number resident_bytes_most:int watched_ns:int processes:any \
		marks:any self:any
	[[ $stderr == *"its own words"* ]]
	[[ $stderr == *"has ended after "*"exit status 3"* ]]
	[[ ${lines[0]} == *'"record":"start"'* ]]
	same listening "$(ours listening start | cut -d : -f 1)" 127.0.0.1
	same interval_ns "$(ours interval_ns start)" 20000000
	same pids "$(ours pids start)" "[$(ours pid)]"
	same "status in the record" "$(ours exit_status exit)" 3
	same "status in the total" "$(ours exit_status)" 3
	same signal "$(ours exit_signal)" null
	local intervals samples
	intervals=$(grep -c '"record":"interval"' <<<"$output") samples=$(ours samples)
	same "samples for intervals" "$samples" "$intervals"
	[ "$(ours cpu_ns)" -gt 0 ]
}

has_intervals() {
	[ "$(grep -c '"record":"interval"' "$SERVER_OUT")" -ge "$1" ]
}

@test "a command that a signal kills: its name, and the status as a shell has it" {
	run -0 --separate-stderr timeout 20 "$procmon" --json -p 0 -i 20ms --until-exit -- sh -c 'kill -KILL $$'
	same status "$(ours exit_status)" 137
	same signal "$(ours exit_signal)" SIGKILL
	[[ $stderr == *"killed by SIGKILL"* ]]
}

@test "-v: a line for each sample; with --time it ends by itself" {
	target
	watch -v "$TARGET"
	wait_until has_samples 3
	end 130
	mapfile -t lines <"$SERVER_OUT"
	check_samples
	[[ ${lines[2]} == "$TARGET  CPU "*"RSS "*"threads 1"* ]]
	run -0 --separate-stderr timeout 20 "$procmon" -v -p 0 -i 20ms --time 150ms "$TARGET"
	check_samples
	[ -e "/proc/$TARGET" ]
}

has_samples() {
	[ "$(grep -c "^$TARGET  CPU " "$SERVER_OUT")" -ge "$1" ]
}

# The last of the lines is the total, which tells how many of them there are.
check_samples() {
	local samples
	[[ ${lines[-1]} == "$TARGET sleep: "*" sample"*" in "* ]]
	samples=$(sed -E 's/.*: ([0-9]+) samples? in .*/\1/' <<<"${lines[-1]}")
	same "lines for samples" "$((${#lines[@]} - 1))" "$samples"
}

# --- how it ends ------------------------------------------------------------------------------------------------------

@test "SIGINT and SIGTERM: the total, and 130 and 143; what was watched lives on" {
	target
	watch "$TARGET"
	end 130
	tells "$TARGET sleep: "
	watch --json "$TARGET"
	end 143 TERM
	valid pid:int samples:int exited:bool
	[ -e "/proc/$TARGET" ]
}

@test "a command that it has started ends with it, and its status is told" {
	watch --json -- sleep 300
	local pid
	pid=$(field pids start <"$SERVER_OUT" | tr -d '[]')
	end 130
	same signal "$(ours exit_signal)" SIGTERM
	same status "$(ours exit_status)" 143
	[ ! -e "/proc/$pid" ]
}

@test "a command that does not heed SIGTERM: SIGINT a second time ends procmon at once" {
	local tries
	mkfifo never
	# After two seconds procmon ends by itself: where it takes longer to tell it twice, again.
	for ((tries = 0; tries < 5; tries++)); do
		rm -f pid ready
		watch --json -- sh -c 'trap "echo $$ >pid" TERM; echo >ready; while :; do read -r x <>never; done'
		wait_until test -s ready
		kill -INT "$SERVER_PID"
		wait_until test -s pid
		kill -INT "$SERVER_PID" 2>/dev/null || true
		wait_server
		kill -KILL "$(<pid)"
		said "is left running" || break
	done
	run ! said "is left running"
	same "status of procmon" "$SERVER_STATUS" 130
	output=$(<"$SERVER_OUT")
	valid exited:bool
	same exited "$(ours exited)" false
}

@test "the pages stay after the end of the process, with how it ended and what it was" {
	mkfifo named
	watch -- sh -c 'read -r x <named; exit 5'
	answers "sh False" 'r["name"], r["exited"]'
	echo go >named
	wait_until said "exit status 5"
	well_formed --has "exit status 5" "${PAGES[@]}"
	well_formed /cpu.svg "/json?with=threads,files,sockets,pss,maps,limits" /csv
	answers 'True 5 None None' 'r["exited"], r["exit_status"], r["exit_signal"], r["state"]'
	end 130
	tells "exit status 5"
}

@test "--until-exit waits for the last of several" {
	mkfifo one two
	start_worker sh -c 'read -r x <one'
	local first=$WORKER
	start_worker sh -c 'read -r x <two'
	watch --until-exit --json "$first,$WORKER"
	echo >one
	wait_until grep -q '"record":"exit"' "$SERVER_OUT"
	answers True 'r["exited"]'
	answers False 'r["exited"]' "/json?pid=$WORKER"
	echo >two
	wait_server
	same "status of procmon" "$SERVER_STATUS" 0
	same exits "$(grep -c '"record":"exit"' "$SERVER_OUT")" 2
}

# --- pages ------------------------------------------------------------------------------------------------------------

@test "every page, chart and table answers 200 and is well-formed, whatever the process calls itself" {
	local name='<b> &"(x) y'
	cp "$(command -v sleep)" "$name"
	start_worker env "A=<script>" ./"$name" 300
	wait_until grep -qF "(x) y" "/proc/$WORKER/stat"
	watch --allow-environ "$WORKER"
	well_formed --has '&lt;b&gt; &amp;' "${PAGES[@]}" "/?span=2h"
	well_formed --has '&lt;script&gt;' /environ
	well_formed "${CHARTS[@]}" "/cpu.svg?span=2h" "/cpu.svg?all=1" /icon.svg /csv "/csv?span=2h" \
		"/json?with=threads,files,sockets,pss,maps,limits" /stream "/stream?as=html" \
		"/stream?as=html&page=threads&span=2h"
	answers "$name" 'r["name"]'
}

@test "the environment is refused without --allow-environ, the stream of it too" {
	target
	watch "$TARGET"
	same /environ "$(status /environ)" 403
	same stream "$(status '/stream?as=html&page=environ')" 403
	run -0 at /environ
	tells --allow-environ
	same "environ in /json" "$(at '/json?with=threads' | grep -c PATH=)" 0
}

@test "what is not there, and what is not meant" {
	target
	watch "$TARGET"
	local path want
	while read -r path want; do
		same "$path" "$(status "$path")" "$want"
	done <<-'END'
		/nothing 404
		/?pid=1 404
		/?pid=x 400
		/?span=1y 400
		/cpu.svg?span=x 400
		/cpu.svg?all=x 400
		/json?with=everything 400
		/stream?as=xml 400
		/stream?as=html&page=x 400
		/mark?label=x 405
	END
	same "POST /" "$(status / -X POST -H 'Content-Length: 0')" 405
	same "another host" "$(status / -H 'Host: evil.example')" 421
	same HEAD "$(status / -I)" 200
}

@test "--bind beyond the loopback warns; --allow-host lets a name in; -6 and a port as an operand" {
	target
	start_server "$procmon" --bind 0.0.0.0 -i 1h --allow-host lab.example "$TARGET" 0
	said "whoever can reach 0.0.0.0:$PORT sees"
	same "the name" "$(status / -H 'Host: lab.example')" 200
	same "another name" "$(status / -H 'Host: other.example')" 421
	start_server "$procmon" -4 -i 1h "$TARGET" 0
	same "IPv4 only" "$(status /json)" 200
	start_server "$procmon" -6 -i 1h "$TARGET" 0
	run -0 curl -sS --max-time 20 "http://[::1]:$PORT/json"
	tells "\"pid\":$TARGET,"
	run grep -c 'whoever' "$SERVER_LOG"
	same warnings "$output" 0
}

@test "--name and the third operand: what it is called" {
	target
	watch --name "mail server" "$TARGET"
	answers "mail server sleep" 'r["label"], r["name"]'
	run -0 at /
	tells "mail server"
	start_server "$procmon" -i 1h "$TARGET" 0 web
	answers web 'r["label"]'
	run -0 at /metrics
	tells 'name="web"'
}

# --- for programs -----------------------------------------------------------------------------------------------------

@test "/json: what is asked for besides, and no more" {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	watch "$SERVER_PID"
	local tables='sorted(k for k in r if k.endswith("_table"))'
	answers "[]" "$tables"
	answers "['limit_table', 'map_table', 'socket_table', 'thread_table']" "$tables" \
		'/json?with=sockets,threads,limits,maps'
	answers "['file_table'] tcplab.procmon/1 process" "$tables, r['schema'], r['record']" '/json?with=files'
	wait_until answers "True 1 LISTEN" 'r["pss_bytes"] is not None, r["sockets"], r["socket_table"][0]["state"]' \
		'/json?with=pss,sockets'
}

@test "/csv: the time, a column for each name, the mark" {
	target
	watch "$TARGET"
	at '/mark?label=one,+%22two%22' -X POST
	wait_until has_mark_in_csv
	run -0 at /csv
	same head "${lines[0]}" "time_ns,cpu_percent,user_percent,system_percent,waited_percent,resident_bytes,pss_bytes,\
swap_bytes,threads,files,voluntary_per_s,involuntary_per_s,minor_faults_per_s,major_faults_per_s,read_Bps,written_Bps,\
calls_per_s,disk_read_Bps,disk_written_Bps,sockets,receive_queue_bytes,send_queue_bytes,tcp_in_Bps,tcp_out_Bps,\
retransmits_per_s,processes,mark"
	tells '"one, ""two"""'
	same "times that do not ascend" "$(sed 1d <<<"$output" | cut -d , -f 1 | sort -c -n -u 2>&1)" ''
}

has_mark_in_csv() {
	at /csv | grep -qF 'one, '
}

# events N PATH: the data of the first N.
events() {
	at "$2" --no-buffer 2>/dev/null | grep -m "$1" '^data: ' | cut -c 7-
}

@test "/stream: a record after each sample" {
	target
	watch "$TARGET"
	run -0 events 3 /stream
	same events "${#lines[@]}" 3
	[ "$(field samples process <<<"${lines[0]}")" -lt "$(field samples process <<<"${lines[2]}")" ]
	same pid "$(field pid process <<<"${lines[2]}")" "$TARGET"
}

# --- marks ------------------------------------------------------------------------------------------------------------

@test "a mark: 204 for a program, back to the page for a form, and it stands on every chart and in every record" {
	target
	watch --json "$TARGET"
	same "without a label" "$(status /mark -X POST -H 'Content-Length: 0')" 400
	same "an empty label" "$(status '/mark?label=' -X POST)" 400
	same "a program" "$(status '/mark?label=now+8+%3Cclients%3E' -X POST)" 204
	same "a form" "$(status /mark --data 'label=from a form')" 303
	answers "['now 8 <clients>', 'from a form']" '[m["label"] for m in r["marks"]]'
	well_formed --has "now 8 &lt;clients&gt;" --has "from a form" / "${CHARTS[@]}" "/memory.svg?span=2h" \
		"/stream?as=html"
	well_formed --has "now 8 <clients>" /json /stream
	end 130
	valid marks:any
	same label "$(ours label mark)" "from a form"
	same "marks as records" "$(grep -c '"record":"mark"' <<<"$output")" 2
	tells '"label":"now 8 <clients>"'
}

# --- several, and trees -----------------------------------------------------------------------------------------------

@test "several processes: one is chosen by its pid, and /metrics has all" {
	target
	local one=$TARGET
	start_server "$TCPLAB_BIN/echo" -s -p 0
	local two=$SERVER_PID
	watch --json "$one,$two"
	answers "$one [$two]" 'r["pid"], r["others"]'
	answers "$two [$one]" 'r["pid"], r["others"]' "/json?pid=$two"
	well_formed "/?pid=$two" "/threads?pid=$one" "/cpu.svg?pid=$two" "/cpu.svg?all=1" "/csv?pid=$two" \
		"/stream?pid=$two"
	run -0 at "/cmdline?pid=$two"
	tells echo
	run -0 at /metrics
	local pid
	for pid in "$one" "$two"; do
		tells "procmon_threads{pid=\"$pid\","
	done
	end 130
	same processes "$(ours processes | grep -o '"pid"' | wc -l)" 2
}

@test "--children: the descendants as one, each counted once" {
	start_worker sh -c 'sleep 100 & sh -c "sleep 100 & wait"; wait'
	wait_until has_processes 4 "$WORKER"
	watch --children "$WORKER"
	# PSS is not read at each sample: it costs more.
	wait_until answers "4 4 True True" 'r["processes"], len({m["pid"] for m in r["tree"]}),
		r["resident_bytes"] == sum(m["resident_bytes"] for m in r["tree"]),
		r["pss_bytes"] == sum(m.get("pss_bytes", 0) for m in r["tree"])'
	answers 4 'len({t["pid"] for t in r["thread_table"]})' '/json?with=threads'
	well_formed / /files
	# One of them ends: what it has used stays in the sum.
	local before
	before=$(query 'r["cpu_ns"]')
	kill "$(pgrep -P "$WORKER" -x sleep)"
	wait_until answers 3 'r["processes"]'
	[ "$(query 'r["cpu_ns"]')" -ge "$before" ]
	pkill -P "$(pgrep -P "$WORKER" -x sh)"
}

# has_processes N PID: it and its descendants are so many.
has_processes() {
	[ "$(tree_of "$2" | wc -l)" -eq "$1" ]
}

tree_of() {
	local child
	echo "$1"
	for child in $(pgrep -P "$1"); do
		tree_of "$child"
	done
}

# --- report and terminal ----------------------------------------------------------------------------------------------

@test "--report: one file with everything, which loads nothing" {
	mkfifo end
	watch --json --until-exit --report report.html -- sh -c 'read -r x <end; exit 4'
	wait_until has_intervals 2
	echo >end
	wait_server
	same "status of procmon" "$SERVER_STATUS" 0
	"${PYTHON[@]}" "$TCPLAB_ROOT/tests/fixtures/web_check.py" --file report.html
	run -0 cat report.html
	tells "exit status 4"
	tells "<svg"
	run grep -cE '<script|<form' report.html
	same "scripts and forms" "$output" 0
}

@test "--report on a full disk: status 1, and it says so" {
	[ -c /dev/full ] || skip "needs /dev/full"
	target
	run -1 --separate-stderr timeout 20 "$procmon" -p 0 --time 50ms -i 20ms --report /dev/full "$TARGET"
	[[ $stderr == *"/dev/full"*"ENOSPC"* ]]
}

@test "--tui: live in the terminal, q ends it and the terminal is as it was" {
	target
	run -0 --separate-stderr python3 "$TCPLAB_ROOT/tests/fixtures/in_terminal.py" --until "$TARGET" --key q \
		"$procmon" --tui -i 50ms "$TARGET"
	[[ $output == *'"status": 0'*'"restored": true'* ]]
}
