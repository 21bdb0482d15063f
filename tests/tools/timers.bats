#!/usr/bin/env bats
# timers: usage, the promises that it counts, the server with idle timeouts, records, signals. What calls cost is never asserted
# here (scripts/bench/timers measures it).

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	timers=$TCPLAB_BIN/timers
}

# A field of the cell of this kind and number: cell heap 100 early
cell() {
	grep "\"kind\":\"$1\",\"n\":$2," <<<"$output" | field "$3" cell
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "timers $*"
	run -2 --separate-stderr "$timers" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$timers" --help
	[[ $output == *"usage: timers"*"--pattern"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$timers" --version
	[[ $output == "timers (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	refused 100
	refused --kind pile
	refused --pattern eager
	refused --order up
	refused -n 0
	refused -n 10000001
	refused -n 99999999999999999999999
	refused -n ''
	refused -n 100,
	refused -n ,100
	refused -n 100,many
	refused -n 1K
	refused -n "$(seq -s , 1 33)"
	refused -n 100 --max 1000
	refused --max 99
	refused --max 10000001
	refused --messages 0 --pattern lazy
	refused --pattern lazy --order memory
}

@test "the table has a row for each kind and number, in the order given" {
	run -0 --separate-stderr "$timers" -n 300,20,1
	same "kinds and numbers" "$(awk '/^(heap|wheel) /{ printf "%s %s,", $1, $2 }' <<<"$output")" \
		"heap 300,heap 20,heap 1,wheel 300,wheel 20,wheel 1,"
	same stderr "$stderr" ''
	run -0 "$timers" --kind wheel --max 1000
	same "kinds and numbers" "$(awk '/^(heap|wheel) /{ printf "%s %s,", $1, $2 }' <<<"$output")" "wheel 100,wheel 1000,"
}

@test "promises: the heap on time and in order, the wheel less than a tick late" {
	local n tick
	run -0 --separate-stderr "$timers" -n 1,100,3333 --json
	tick=$(ours tick_ns start)
	for n in 1 100 3333; do
		same "heap $n fired" "$(cell heap $n fired)" $n
		same "heap $n early" "$(cell heap $n early)" 0
		same "heap $n latest" "$(cell heap $n latest_ns)" 0
		same "heap $n out of order" "$(cell heap $n out_of_order)" 0
		same "heap $n empty rounds" "$(cell heap $n empty_rounds)" 0
		same "wheel $n fired" "$(cell wheel $n fired)" $n
		same "wheel $n early" "$(cell wheel $n early)" 0
		[ "$(cell wheel $n latest_ns)" -lt "$tick" ]
	done
	[ "$(cell wheel 3333 out_of_order)" -gt 0 ]
	# 9537 ticks in the 10 s: it wakes for its timers, and a few times on the way there.
	[ "$(cell wheel 100 rounds)" -lt 400 ]
}

@test "other seeds: other timeouts, the same promises" {
	local seed
	for seed in 0 2 18446744073709551615; do
		run -0 "$timers" -n 500 --seed $seed --json
		same "heap latest" "$(cell heap 500 latest_ns)" 0
		same "wheel early" "$(cell wheel 500 early)" 0
	done
	run -0 "$timers" -n 500 --seed 1 --json
	same "wheel latest of the default seed" "$(cell wheel 500 latest_ns)" \
		"$("$timers" -n 500 --kind wheel --json | field latest_ns cell)"
}

@test "a server with idle timeouts: a call for each message, or one for each timeout, and the same connections found" {
	local kind pattern tick=1048576
	for pattern in rearm lazy; do
		run -0 --separate-stderr "$timers" --pattern $pattern -n 1000 --json
		for kind in heap wheel; do
			same "$kind pattern" "$(cell $kind 1000 pattern)" $pattern
			same "$kind messages" "$(cell $kind 1000 messages)" 200000
			same "$kind closed" "$(cell $kind 1000 closed)" 20
		done
		same "heap latest" "$(cell heap 1000 latest_ns)" 0
		[ "$(cell wheel 1000 latest_ns)" -lt $tick ]
		if [ $pattern = rearm ]; then
			same calls "$(cell heap 1000 calls) $(cell wheel 1000 calls)" '200000 200000'
		else
			# 980 connections for 200 s, and 20 for 100 s: three timers of a minute each, and one
			[ "$(cell heap 1000 calls)" -lt 3000 ]
			same "calls of the wheel" "$(cell wheel 1000 calls)" "$(cell heap 1000 calls)"
		fi
	done
	run -0 "$timers" --pattern lazy --messages 10
	[[ $output == *"heap      10000     100000          0 "* ]]
}

@test "--json: a start, cells, a total last; every line is JSON" {
	need python3
	"$timers" -n 1000,10 --json >cost.json
	"$timers" --pattern lazy -n 10 --json >lazy.json
	python3 - cost.json lazy.json <<-'END'
		import json, sys
		for name in sys.argv[1:]:
		    records = [json.loads(line) for line in open(name)]
		    assert all(r["schema"] == "tcplab.timers/1" for r in records), name
		    assert records[0]["record"] == "start" and records[0]["tick_ns"] == 2 ** 20, name
		    assert [r["record"] for r in records[1:-1]] == ["cell"] * (len(records) - 2), name
		    total = records[-1]
		    assert total["record"] == "total" and total["cells"] == len(records) - 2, name
		    assert total["broken_promises"] == 0 and total["interrupted"] is False, name
		cell = json.loads(open("cost.json").readlines()[1])
		assert all(cell[k] > 0 for k in ("start_ns", "rearm_ns", "stop_ns", "fire_ns")), cell
	END
}

@test "SIGINT and SIGTERM: the total still comes, 130 and 143" {
	local signal
	for signal in INT:130 TERM:143; do
		rm -f out # what the one before said is not this one's
		env --default-signal=INT "$timers" --max 1000000 --json >out 2>err 3>&- &
		SERVER_PIDS+=($!)
		# shellcheck disable=SC2034 # helpers.bash reads it
		SERVER_LOG_OF[$!]=err
		wait_until grep -qs '"record":"cell"' out
		kill "-${signal%:*}" $!
		wait_server $!
		same "the status after ${signal%:*}" "$SERVER_STATUS" "${signal#*:}"
		same interrupted "$(field interrupted total <out)" true
		same "the last record" "$(tail -n 1 out | grep -c '"record":"total"')" 1
	done
}

@test "a report that cannot be written is status 1" {
	[ -w /dev/full ] || skip "needs /dev/full"
	run -1 --separate-stderr bash -c "exec '$timers' -n 10 >/dev/full"
	one_line_with "cannot write"
}
