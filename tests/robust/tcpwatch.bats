#!/usr/bin/env bats
# tcpwatch in bad company: processes and connections that vanish, crowds, no rights, nowhere to write.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers
load ../watching

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	tcpwatch=$TCPLAB_BIN/tcpwatch
}

# --- what is watched vanishes -----------------------------------------------------------------------------------------

@test "a process that is not there, or no longer" {
	local gone
	gone=$(bash -c 'echo $$')
	run -1 --separate-stderr "$tcpwatch" "$gone"
	same stdout "$output" ''
	one_line_with "process $gone" ESRCH ':5001'
	run -1 --separate-stderr "$tcpwatch" --once --json 999999999
	same errno "$(ours errno error)" ESRCH
	run -1 --separate-stderr "$tcpwatch" no-such-host.invalid:80
	one_line_with resolve no-such-host.invalid
}

@test "a process that ends while it is watched: its connections go on to their end" {
	start_ends
	tell open 3
	start_watch --json --until-closed "$ENDS"
	kill -KILL "$ENDS"
	wait_server "$WATCH"
	cat "$WATCH_OUT"
	same status "$SERVER_STATUS" 0
	same "sockets" "$(count_records appeared)" 6
	same "that are gone, or in TIME-WAIT" $(($(count_records gone) + $(count_records alive TIME-WAIT || true))) 6
}

@test "a process of another network" {
	unshare --user --map-root-user --net true 2>/dev/null || skip "no private networks here"
	unshare --user --map-root-user --net sleep 100 3>&- &
	local other=$!
	SERVER_PIDS+=("$other")
	# shellcheck disable=SC2004,SC2034 # helpers.bash reads it
	SERVER_LOG_OF[$other]=/dev/null
	# until unshare has become sleep in a network of its own
	wait_until same_name "$other" sleep
	run -1 --separate-stderr "$tcpwatch" "$other"
	one_line_with "process $other" "network namespace"
	# and that network is as empty as it looks from here
	run -0 unshare --user --map-root-user --net "$tcpwatch" --once --json -l
	same sockets "$(ours sockets)" 0
}

same_name() {
	[ "$(cat "/proc/$1/comm")" = "$2" ]
}

@test "a reset: nobody closed first" {
	start_ends
	start_watch --json ":$PORT"
	tell open
	wait_until has_seen_both
	tell reset client
	wait_until has_record gone "\"local\":\"127.0.0.1:$PORT\""
	wait_until has_record gone "\"peer\":\"127.0.0.1:$PORT\""
	end_watch
	same "gone from ESTABLISHED" "$(count_records gone '"state":"ESTABLISHED"' '"closed_first":null')" 2
	same "closed by somebody" "$(count_records gone '"closed_first":"' || true)" 0
}

@test "the same addresses again, between two polls: two lives" {
	start_ends
	start_watch --json ":$PORT"
	tell open
	wait_until has_seen_both
	kill -STOP "$WATCH"
	wait_until is_stopped "$WATCH"
	tell again
	kill -CONT "$WATCH"
	wait_until has_many appeared 4
	end_watch
	same gone "$(count_records gone)" 2
	same alive "$(count_records alive)" 2
	same "the second connection's number" "$(count_records alive '"connection":2,')" 2
}

is_stopped() {
	grep -q '^State:.T' "/proc/$1/status"
}

# --- crowds ---------------------------------------------------------------------------------------------------------

@test "hundreds of connections that come and go: what begins also ends" {
	start_ends
	start_watch --json -i 1ms ":$PORT"
	tell open 200
	wait_until has_many appeared 400
	tell churn 300
	tell reset client 50
	tell stop
	wait_until only_time_wait
	end_watch >/dev/null
	tail -n 1 "$WATCH_OUT"
	[ "$(field sockets_max <"$WATCH_OUT")" -ge 400 ]
	[ "$(field gone <"$WATCH_OUT")" -ge 250 ]
	same "appeared" "$(field appeared <"$WATCH_OUT")" $(($(field gone <"$WATCH_OUT") + $(field alive <"$WATCH_OUT")))
	same "alive, and not in TIME-WAIT" "$(grep '"record":"alive"' "$WATCH_OUT" | grep -vc TIME-WAIT || true)" 0
	# no socket is there twice at the same time
	python3 - "$WATCH_OUT" <<-'END'
		import json, sys
		alive = set()
		for line in open(sys.argv[1]):
		    r = json.loads(line)
		    if r["record"] == "appeared":
		        assert (r["local"], r["peer"]) not in alive, r
		        alive.add((r["local"], r["peer"]))
		    elif r["record"] == "gone":
		        alive.remove((r["local"], r["peer"]))
	END
}

only_time_wait() {
	! "$tcpwatch" --once --json ":$PORT" | grep '"record":"socket"' | grep -qv TIME-WAIT
}

@test "a poll that costs too much: polls less often, and says so" {
	start_ends
	tell open 250
	start_watch --json -i 100us
	wait_until has_record stretch
	end_watch >/dev/null
	cat "$WATCH_LOG"
	grep -q '^tcpwatch: a poll of [0-9]* sockets takes .* of processor time: from now on one every' "$WATCH_LOG"
	[ "$(field interval_ns <"$WATCH_OUT")" -gt 100000 ]
	[ "$(field stretched <"$WATCH_OUT")" -ge 1 ]
}

@test "more connections than the final report keeps" {
	start_ends
	start_watch --report 1h ":$PORT"
	local round
	for round in 1 2 3; do
		tell open 250
		wait_until has_lines $((500 * round)) 'appears:'
		tell reset client 250
		tell close server 250
		wait_until has_lines $((500 * round)) 'gone after'
	done
	end_watch >/dev/null
	# 500; and one or two more when another test, at the same time, tries every port of the machine
	local left_out
	left_out=$(sed -n 's/^\([0-9]*\) more sockets, gone before those below$/\1/p' "$WATCH_OUT")
	same "left out" "$left_out" $(($(grep -c 'gone after' "$WATCH_OUT") - 1000))
	[ "$left_out" -ge 500 ]
	same "in the final report" "$(grep -c '^#.*, gone$' "$WATCH_OUT")" 1000
}

has_lines() {
	[ "$(grep -c "$2" "$WATCH_OUT")" -ge "$1" ]
}

# --- rights ---------------------------------------------------------------------------------------------------------

@test "an ordinary user sees all connections, and his own processes" {
	open_folder
	cp "$tcpwatch" "$OPEN_FOLDER"
	start_ends
	tell open
	run -0 as_nobody "$OPEN_FOLDER/tcpwatch" --once --json ":$PORT"
	same sockets "$(ours sockets)" 2
	run -0 as_nobody "$OPEN_FOLDER/tcpwatch" --json --time 50ms ":$PORT"
	same appeared "$(ours appeared)" 2
	[ "$(id -u)" -eq 0 ] || skip "only root can look for what others may not"
	run -1 --separate-stderr as_nobody "$OPEN_FOLDER/tcpwatch" "$ENDS"
	one_line_with "process $ENDS" EACCES user
}

@test "packets without the right to see them: one line that says what helps" {
	open_folder
	cp "$tcpwatch" "$OPEN_FOLDER"
	run -1 --separate-stderr as_nobody "$OPEN_FOLDER/tcpwatch" --packets
	same stdout "$output" ''
	one_line_with "packet socket" EPERM root "private network" unshare
	run -1 --separate-stderr as_nobody "$OPEN_FOLDER/tcpwatch" --packets --json
	same errno "$(ours errno error)" EPERM
	as_nobody unshare -Urn true 2>/dev/null || skip "no private networks here"
	run -0 as_nobody unshare -Urn "$OPEN_FOLDER/tcpwatch" --packets --json --time 10ms
	same packets "$(ours packets)" 0
}

# --- nowhere to write -------------------------------------------------------------------------------------------------

@test "a full disk, a reader that leaves" {
	start_ends
	tell open
	# shellcheck disable=SC2016 # for the inner bash to expand
	run -1 --separate-stderr bash -c '"$0" --once >/dev/full' "$tcpwatch"
	one_line_with "standard output"
	# shellcheck disable=SC2016 # for the inner bash to expand
	run -1 --separate-stderr bash -c '"$0" --json ":$1" >/dev/full' "$tcpwatch" "$PORT"
	[[ $stderr == *"standard output"* ]]
	# nothing happens on the connection: it notices all the same
	# shellcheck disable=SC2016 # for the inner bash to expand
	run -0 --separate-stderr bash -c '"$0" --json ":$1" | head -n 1; echo "status ${PIPESTATUS[0]}"' "$tcpwatch" "$PORT"
	same "after the reader has left" "${lines[-1]}" "status 1"
}

@test "--pcap: a file that cannot be made, a disk that is full" {
	unshare --user --map-root-user --net true 2>/dev/null || skip "no private networks here"
	run -1 --separate-stderr unshare --user --map-root-user --net "$tcpwatch" --pcap /no/such/folder/x --time 10ms
	one_line_with "open /no/such/folder/x" ENOENT
	run -1 --separate-stderr unshare --user --map-root-user --net "$tcpwatch" --pcap /dev/full --time 10ms --json
	same errno "$(ours errno error)" ENOSPC
}
