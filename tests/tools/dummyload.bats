#!/usr/bin/env bats
# dummyload: usage, the targets of each shape, processor time as the kernel counts it, the other loads as /proc shows them, signals,
# and what it says when there is not enough of something. How near it comes to its target is bound here to what it had to wait
# for others: what a machine has to spare is not asserted.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	dummyload=$TCPLAB_BIN/dummyload
	cd "$BATS_TEST_TMPDIR" || return
	export TMPDIR=$BATS_TEST_TMPDIR
}

# holds EXPRESSION: of awk, with the figures in it.
holds() {
	awk "BEGIN { exit !($1) }" || {
		echo "does not hold: $1"
		return 1
	}
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "dummyload $*"
	run -2 --separate-stderr "$dummyload" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# fails ERRNO ARGS...: status 1 with one line, before anything was reported; with --json an error record, which is the last.
fails() {
	local errno=$1
	shift
	run -1 --separate-stderr timeout 60 "$dummyload" "$@" --json
	echo "dummyload $*: $stderr"
	one_line_with "($errno)"
	same errno "$(ours errno error)" "$errno"
	[[ ${lines[-1]} == '{"schema":"tcplab.dummyload/1","record":"error",'* ]]
}

# --- usage ------------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$dummyload" --help
	[[ $output == *"usage: dummyload SHAPE PERCENT"*"--switches"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$dummyload" --version
	[[ $output == "dummyload (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local words
	while read -r words; do
		# shellcheck disable=SC2086 # options
		refused $words
	done <<-'END'

		spiral 40
		x 40
		fixed
		fixed 101
		fixed -- -1
		fixed 40%
		fixed forty
		fixed 1e1
		fixed 40 0
		fixed 40 1001
		fixed 40 two
		fixed 40 2 3
		fixed 40 2 --threads 3
		fixed 40 --threads 0
		fixed 40 --low 10
		cosine 40 --low 41
		cosine 40 --low x
		cosine 40 --period 19ms
		cosine 40 --period 0
		cosine 40 --steps /dev/null
		cosine 40 --repeat
		cosine 40 -i 9ms
		cosine 40 --time 0
		steps
		steps 40 --steps /dev/null
		steps --steps /dev/null --low 10
		steps --steps /dev/null --phase 1
		fixed 40 --traffic 1mbit
		fixed 40 --files 0
		fixed 40 --files 1000001
		fixed 40 --switches 100000001
		fixed 40 --memory lots
	END
}

# --- targets ----------------------------------------------------------------------------------------------------------

@test "--target: what would be asked for, exactly, without a load; letters are those of the course" {
	local shape expected
	while read -r shape expected; do
		run -0 --separate-stderr "$dummyload" "$shape" 80 2 --low 20 --period 4 --target -i 1
		same "$shape" "$(tr '\n' ' ' <<<"$output")" "$expected "
		same stderr "$stderr" ''
	done <<-'END'
		cosine s, percent 1, 138.197 2, 61.8028 3, 61.8028 4, 138.197
		c s, percent 1, 138.197 2, 61.8028 3, 61.8028 4, 138.197
		t s, percent 1, 70 2, 130 3, 130 4, 70
		z s, percent 1, 55 2, 85 3, 115 4, 145
		s s, percent 1, 160 2, 160 3, 40 4, 40
	END
	run -0 "$dummyload" s 80 --period 4 --phase 1 --target -i 2 --time 5
	same "phase, and a last interval that is shorter" "${lines[*]:1}" "2, 40 4, 40 5, 80"
	"$dummyload" cosine 50 --target | "$TCPLAB_BIN/plot" >chart
	grep -q percent chart
	run -0 "$dummyload" triangle 60 --target --json
	same "intervals" "$(grep -c '"record":"interval"' <<<"$output")" 100
	same "the mean" "$(ours target_percent)" 30
	same "processor time" "$(ours target_cpu_ns)" 3000000000
}

@test "steps from a file: as they stand there, and repeated; a list without repetition ends the run" {
	printf '# a day\n100ms 20 night\n\n0.1 60 the rush hour # loud\n' >list
	run -0 "$dummyload" steps --steps list --threads 2 --target -i 100ms
	same "one after the other" "${lines[*]:1}" "0.1, 40 0.2, 120"
	run -0 "$dummyload" steps --steps list --repeat --target -i 100ms --time 0.45
	same "repeated" "${lines[*]:1}" "0.1, 20 0.2, 60 0.3, 20 0.4, 60 0.45, 20"
	start_worker "$dummyload" steps --steps list --repeat --json -i 50ms
	wait_until grep -q '"label":"the rush hour"' "$WORKER_OUT"
	wait_until grep -q '"label":"night"' "$WORKER_OUT"
	stop_server "$WORKER"
	run -0 "$dummyload" steps --steps list --json -i 100ms
	same "the shape" "$(ours shape start) $(ours percent start) $(ours low_percent start)" "steps 60 20"
	holds "$(ours elapsed_ns) >= 200e6"
}

@test "a list of steps that is none: its line is named, status 1" {
	local text
	for text in '10' '10 101' 'ten 10' '0 10' '10 10%' '10 -1' '1 1 a label that is longer than thirty-one bytes'; do
		printf '1 10\n# comment\n%b\n' "$text" >list
		fails EINVAL steps --steps list
		[[ $stderr == *"list, line 3: '"* ]]
	done
	head -c 100000 /dev/zero | tr '\0' 'x' >list
	fails EINVAL steps --steps list
	head -c 5000 "$dummyload" >list
	fails EINVAL steps --steps list
	printf '# nothing\n' >list
	fails EINVAL steps --steps list
	fails EINVAL steps --steps /dev/null
	fails ENOENT steps --steps missing
	fails EISDIR steps --steps .
}

# --- processor time ---------------------------------------------------------------------------------------------------

# Several at once, a second each: what the report says is what the kernel charged to the process, and what is missing was waited for.
@test "processor time: as much as was asked for, or it was waited for; and the kernel counts the same" {
	need python3
	python3 - "$dummyload" <<-'END'
		import json, os, subprocess, sys, threading
		def go(words, results):
		    p = subprocess.Popen([sys.argv[1], *words.split(), "--time", "1", "-i", "0.25", "--json"], stdout=subprocess.PIPE)
		    out = p.stdout.read()
		    _, status, usage = os.wait4(p.pid, 0)
		    results.append((words, [json.loads(l) for l in out.splitlines()], status, usage.ru_utime + usage.ru_stime, usage))
		results, threads = [], []
		for words in ("fixed 30", "cosine 40 --period 0.5", "s 20 2 --period 0.4 --low 10", "fixed 0",
		              "fixed 25 --switches 2000 --faults 30000 --io 8mbit --sockets 3 --traffic 8mbit"):
		    threads.append(threading.Thread(target=go, args=(words, results)))
		    threads[-1].start()
		for t in threads:
		    t.join()
		wanted = {"fixed 30": 30, "cosine": 20, "s 20 2": 30, "fixed 0": 0, "fixed 25": 25}
		for words, records, status, cpu_s, usage in results:
		    kinds = [r["record"] for r in records]
		    assert status == 0 and kinds[0] == "start" and kinds[-1] == "total", (words, status, kinds)
		    assert set(kinds[1:-1]) == {"interval"} and len(kinds) >= 3, (words, kinds)
		    start, total = records[0], records[-1]
		    assert start["pid"] > 0 and start["start_unix_ns"] > 1e18 and start["slice_ns"] == 10000000, start
		    asked = next(v for k, v in wanted.items() if words.startswith(k))
		    # A run that ends late asks for a little more, or less.
		    assert abs(total["target_percent"] - asked) < 5, (words, total)
		    assert total["elapsed_ns"] >= 1e9, (words, total)
		    intervals = records[1:-1]
		    for key in ("target_cpu_ns", "cpu_ns", "interval_ns"):
		        whole = total["elapsed_ns" if key == "interval_ns" else key]
		        assert abs(sum(i[key] for i in intervals) - whole) < 1000, (words, key)
		    assert total["cpu_percent"] + total["waited_percent"] > total["target_percent"] - 6, (words, total)
		    assert total["cpu_percent"] < total["target_percent"] + 6, (words, total)
		    assert abs(cpu_s * 1e9 - total["cpu_ns"]) < 60e6, (words, cpu_s, total)
		    if "switches" not in words:
		        continue
		    for key, most in ("switches", 2000), ("faults", 30000), ("io", 1e6), ("traffic", 1e6):
		        unit = "_Bps" if most == 1e6 else "_per_s"
		        assert abs(total[key + "_asked" + unit] - most) < 0.01 * most, (key, total)
		        assert 0 < total[key + unit] < 1.4 * most + 300, (key, total)
		        assert total[key + unit] > 0.2 * most or total["waited_percent"] > 5, (key, total)
		    assert usage.ru_minflt >= total["faults_per_s"] * total["elapsed_ns"] / 1e9, (usage, total)
		    assert usage.ru_nvcsw >= total["switches_per_s"] * total["elapsed_ns"] / 1e9, (usage, total)
	END
}

@test "as text: what was asked for, what came of it; lines only when they were asked for" {
	run -0 --separate-stderr "$dummyload" f 10 --time 50ms
	[[ $output == "pid "*": fixed, 10 %, in 1 thread "*$'\n'"asked 10.0 %, got "*"of processor time in "* ]]
	same stderr "$stderr" ''
	start_worker "$dummyload" c 10 --files 3 -i 20ms
	wait_until has_intervals 2
	stop_server "$WORKER"
	same status "$SERVER_STATUS" 143
	mapfile -t lines <"$WORKER_OUT"
	[[ ${lines[1]} == "beside that: files 3" ]]
	[[ ${lines[-1]} == "files: asked 3, got 3" ]]
}

has_intervals() {
	[ "$(grep -c '^ *[0-9]*\.[0-9]* s ' "$WORKER_OUT")" -ge "$1" ]
}

# --- the other loads --------------------------------------------------------------------------------------------------

@test "other loads, as /proc shows them: descriptors, threads and their names, memory, sockets, a file without a name" {
	local proc resident name
	start_worker "$dummyload" fixed 5 2 --memory 30M --files 40 --idle-threads 4 --sockets 7 --traffic 1mbit --io 1mbit --switches 300 \
		--faults 10 --json -i 100ms
	wait_until grep -q '"record":"interval"' "$WORKER_OUT"
	proc=/proc/$WORKER
	same "pid" "$(field pid start <"$WORKER_OUT")" "$WORKER"
	for name in dummyload 'load 1' 'load 2' 'idle 1' 'idle 4' switches 'switches, too' faults io traffic; do
		wait_until has_thread "$name" # each gives itself its name
	done
	[ "$(readlink "$proc"/fd/* | grep -cx /dev/null)" -ge 40 ]
	wait_until has_ends 14
	readlink "$proc"/fd/* | grep -q "^$TMPDIR/.* (deleted)$"
	same "files in TMPDIR" "$(find . -name 'dummyload.*')" ''
	resident=$(awk '$1 == "VmRSS:" { print $2 }' "$proc/status")
	holds "$resident >= 30 * 1024"
	stop_server "$WORKER"
	same status "$SERVER_STATUS" 143
	same "what is held" "$(field files <"$WORKER_OUT") $(field sockets <"$WORKER_OUT") $(field idle_threads <"$WORKER_OUT")" "40 7 4"
	holds "$(field memory_bytes <"$WORKER_OUT") >= 30 * 1048576"
	# A sanitizer keeps books of every byte.
	[[ $TCPLAB_BIN == *san* ]] || holds "$(field memory_bytes <"$WORKER_OUT") < 36 * 1048576"
}

has_thread() {
	cat "/proc/$WORKER/task/"*/comm | grep -qx "$1"
}

# has_ends N: so many sockets are ESTABLISHED, from 127.0.0.1 to 127.0.0.1. The kernel may leave one out while the list changes.
has_ends() {
	local inode sockets=0
	for inode in $(readlink "/proc/$WORKER/fd/"* | sed -n 's/^socket:\[\(.*\)\]/\1/p'); do
		sockets=$((sockets + $(grep -cE "^ *[0-9]+: 0100007F:.{4} 0100007F:.{4} 01 .* $inode " /proc/net/tcp)))
	done
	[ "$sockets" -eq "$1" ]
}

@test "--follow: memory and descriptors go up and down with the shape, and rates, too" {
	need python3
	"$dummyload" s 10 --period 0.4 --time 0.8 --memory 20M --files 50 --faults 100000 --follow -i 0.2 --json >out
	python3 - out <<-'END'
		import json, sys
		for r in map(json.loads, open(sys.argv[1])):
		    # An interval ends where the shape turns: only one that is on time is of one half alone.
		    if r["record"] != "interval" or 0.02e9 < r["elapsed_ns"] % 0.2e9 or r["interval_ns"] > 0.22e9:
		        continue
		    busy = r["target_percent"] > 5
		    assert r["faults_asked_per_s"] > 80000 if busy else r["faults_asked_per_s"] < 20000, r
		    assert abs(r["faults_asked_per_s"] - 10000 * r["target_percent"]) < 1, r
	END
	start_worker "$dummyload" steps --steps <(printf '1.5 10\n1h 0\n') --memory 20M --files 50 --follow -i 50ms --json
	wait_until grep -q '"files":50' "$WORKER_OUT"
	wait_until is_empty_again
	stop_server "$WORKER"
	[[ $TCPLAB_BIN == *san* ]] || holds "$(field memory_bytes <"$WORKER_OUT") < 3 * 1048576"
}

is_empty_again() {
	sed -n '/"files":50/,$p' "$WORKER_OUT" | grep -q '"files":0'
}

# --- the end ----------------------------------------------------------------------------------------------------------

@test "SIGINT and SIGTERM: the total still comes, 130 and 143" {
	local signal
	for signal in INT:130 TERM:143; do
		start_worker env --default-signal=INT "$dummyload" c 20 2 --switches 100 --idle-threads 2 --json -i 20ms
		wait_until grep -q '"record":"interval"' "$WORKER_OUT"
		kill "-${signal%:*}" "$WORKER"
		wait_server "$WORKER"
		same "the status after ${signal%:*}" "$SERVER_STATUS" "${signal#*:}"
		same interrupted "$(field interrupted <"$WORKER_OUT")" true
		[[ $(tail -n 1 "$WORKER_OUT") == *'"record":"total"'* ]]
	done
}

@test "a report that cannot be written, or that nobody reads any more, ends it with status 1" {
	[ -w /dev/full ] || skip "needs /dev/full"
	run -1 --separate-stderr timeout 60 bash -c '"$0" fixed 10 -i 20ms >/dev/full' "$dummyload"
	one_line_with "cannot write"
	run -0 --separate-stderr timeout 60 bash -c '"$0" fixed 10 -i 20ms | head -n 1; exit $((PIPESTATUS[0] != 1))' "$dummyload"
	[[ $output == "pid "* ]]
	one_line_with "cannot write"
}

# --- not enough -------------------------------------------------------------------------------------------------------

@test "not enough descriptors, memory, threads, room in a file: one line, status 1" {
	local fewer='ulimit -n 64; exec "$0" "$@"'
	export ASAN_OPTIONS=detect_leaks=0 # which wants descriptors as well
	run -1 --separate-stderr bash -c "$fewer" "$dummyload" fixed 10 --files 100 --json
	one_line_with "open /dev/null, " " of 100 times (--files)" EMFILE
	same errno "$(ours errno error)" EMFILE
	run -1 --separate-stderr bash -c "$fewer" "$dummyload" fixed 10 --sockets 100
	one_line_with "of 100 (--sockets)" EMFILE
	run -1 --separate-stderr timeout 60 bash -c "$fewer" "$dummyload" fixed 10 --files 100 --follow --json
	one_line_with EMFILE
	[[ ${lines[-1]} == *'"record":"error"'* ]]
	fails ENOMEM fixed 10 --memory 1000000G
	[[ $stderr == *' are available: '* ]]
	# A sanitizer needs more address space than anybody has.
	if [[ $TCPLAB_BIN != *san* ]]; then
		run -1 --separate-stderr bash -c 'ulimit -v 300000; exec "$0" "$@"' "$dummyload" fixed 10 --memory 1G
		one_line_with "allocate 1 GiB (--memory): " ENOMEM
		run -1 --separate-stderr bash -c 'ulimit -v 300000; exec "$0" "$@"' "$dummyload" fixed 10 --idle-threads 100000
		one_line_with "start thread " "of 100000 (--idle-threads)" EAGAIN
	fi
	TMPDIR=/nowhere fails ENOENT fixed 10 --io 1mbit
	run -1 --separate-stderr timeout 60 bash -c 'ulimit -f 64; exec "$0" "$@"' "$dummyload" fixed 10 --io 80mbit --json
	one_line_with "write a file in $TMPDIR (--io)" EFBIG
	[[ ${lines[-1]} == *'"record":"error"'* ]]
	[[ $output != *'"record":"total"'* ]]
}

@test "stopped for a while: it does not make good more than it says, and says that it was stopped" {
	local before
	start_worker "$dummyload" fixed 50 --json -i 100ms
	wait_until grep -q '"record":"interval"' "$WORKER_OUT"
	kill -STOP "$WORKER"
	wait_until is_stopped
	before=$(field elapsed_ns interval <"$WORKER_OUT")
	sleep 1.6 # this is the pause, and no wait for anything
	kill -CONT "$WORKER"
	wait_until has_run_for $((before + 2800000000))
	stop_server "$WORKER"
	same status "$SERVER_STATUS" 143
	tail -n 1 "$WORKER_OUT"
	# Half of the time in which it was not stopped, and 0.25 s. In 1.2 s it could have made good 0.6 s of the missing 0.8 s.
	holds "$(field cpu_ns <"$WORKER_OUT") < 0.5 * ($(field elapsed_ns <"$WORKER_OUT") - 1.6e9) + 0.35e9"
	[ "$(field why_not <"$WORKER_OUT")" != null ]
}

is_stopped() {
	grep -q '^State:.T' "/proc/$WORKER/status"
}

has_run_for() {
	[ "$(field elapsed_ns interval <"$WORKER_OUT")" -ge "$1" ]
}
