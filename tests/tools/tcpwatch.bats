#!/usr/bin/env bats
# tcpwatch: usage, one look, the story of a connection, what is watched and what is not, records, signals. What a poll costs is never
# asserted here.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT is set by start_server

load ../helpers
load ../watching

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	tcpwatch=$TCPLAB_BIN/tcpwatch
}

# refused ARGS...: status 2, nothing on stdout, one line on stderr.
refused() {
	echo "tcpwatch $*"
	run -2 --separate-stderr "$tcpwatch" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

# The record of the last kind about the client's socket, or the server's: client FIELD KIND
client() {
	grep "\"peer\":\"127.0.0.1:$PORT\"" "$WATCH_OUT" | field "$@"
}

server() {
	grep "\"local\":\"127.0.0.1:$PORT\"" "$WATCH_OUT" | field "$@"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$tcpwatch" --help
	[[ $output == *"usage: tcpwatch"*"--until-closed"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$tcpwatch" --version
	[[ $output == "tcpwatch (tcplab) "* ]]
}

@test "wrong usage: one line and status 2" {
	local word
	for word in : :0 :65536 :x abc 0 -- 1.2.3.4 1.2.3.4: 1.2.3.4:0 '[::1]:80x' 99999999999; do
		[ "$word" = -- ] || refused "$word"
	done
	refused -4 -6
	refused --once --packets
	refused --once --pcap file
	refused --once --until-closed
	refused --once --time 1
	refused -i 0
	refused -i 2m
	refused --snap 20
	refused --time 0
	# shellcheck disable=SC2046 # one word each
	refused $(seq -f :%g 1 33)
}

# --- one look -------------------------------------------------------------------------------------------------------

@test "--once --json: both ends, their queues and figures" {
	start_ends
	tell open
	tell send client 5000
	run -0 --separate-stderr "$tcpwatch" --once --json ":$PORT"
	same stderr "$stderr" ''
	same sockets "$(ours sockets)" 2
	same listeners "$(ours listeners)" 0
	WATCH_OUT=$BATS_TEST_TMPDIR/once
	echo "$output" >"$WATCH_OUT"
	same "recv queue" "$(server recv_queue_bytes socket)" 5000
	same "bytes received" "$(server bytes_received socket)" 5000
	same state "$(client state socket)" ESTABLISHED
	same uid "$(client uid socket)" "$(id -u)"
	same inode "$(client inode socket)" "$(readlink /proc/"$ENDS"/fd/* | sed -n 's/^socket:\[\(.*\)\]$/\1/p' | grep -x "$(client inode socket)")"
	[ "$(client mss_bytes socket)" -gt 500 ]
}

@test "--once: a table, and what its columns mean" {
	start_ends
	tell connect 3
	run -0 --separate-stderr "$tcpwatch" --once -l ":$PORT"
	same "listener's accept queue" "$(awk '$1 == "LISTEN" { print $2 }' <<<"$output")" 3
	same rows "$(grep -c '^ESTABLISHED' <<<"$output")" 6
	[[ $output == *"Recv-Q  bytes that came"*"7 sockets, 1 of them listeners" ]]
	run -0 "$tcpwatch" --once ":$PORT"
	same "rows without listeners" "$(grep -c '^LISTEN' <<<"$output")" 0
}

@test "-4 and -6; addresses of both families" {
	start_ends ::1
	tell open
	run -0 "$tcpwatch" --once --json -4 ":$PORT"
	same "IPv4" "$(ours sockets)" 0
	run -0 "$tcpwatch" --once --json -6 "[::1]:$PORT"
	same "IPv6" "$(ours sockets)" 2
	same address "$(ours local socket | sed 's/\]:.*/]/')" "[::1]"
	run -0 "$tcpwatch" --once --json "127.0.0.1:$PORT"
	same "another address" "$(ours sockets)" 0
	# several operands add up
	run -0 "$tcpwatch" --once --json "127.0.0.1:$PORT" :1 ":$PORT"
	same "three operands" "$(ours sockets)" 2
}

# --- the story of a connection ----------------------------------------------------------------------------------------

@test "a connection from beginning to end, told by both sockets" {
	start_ends
	start_watch --json --until-closed ":$PORT"
	tell open
	wait_until has_record appeared '"state":"ESTABLISHED"' "\"local\":\"127.0.0.1:$PORT\""
	tell send client 7000
	wait_until has_record info '"recv_queue_bytes":7000'
	tell shut client
	wait_until has_record state '"state":"FIN-WAIT-2"'
	wait_until has_record state '"state":"CLOSE-WAIT"'
	tell read server
	tell close server
	wait_until has_record state '"state":"TIME-WAIT"'
	# nothing is left but TIME-WAIT: it ends by itself
	wait_server "$WATCH"
	cat "$WATCH_OUT"
	same status "$SERVER_STATUS" 0
	same "who closed first, says the server's socket" "$(server closed_first gone)" peer
	same "who closed first, says the client's socket" "$(client closed_first alive)" local
	same "its state" "$(client state alive)" TIME-WAIT
	same "bytes received" "$(server bytes_received gone)" 7000
	same "bytes acknowledged, without SYN and FIN" "$(client bytes_acked alive)" 7000
	same appeared "$(field appeared <"$WATCH_OUT")" 2
	same gone "$(field gone <"$WATCH_OUT")" 1
	same alive "$(field alive <"$WATCH_OUT")" 1
	same interrupted "$(field interrupted <"$WATCH_OUT")" false
	# the times in the states add up to the lifetime
	python3 -c '
import json, sys
for line in open(sys.argv[1]):
    r = json.loads(line)
    if r["record"] in ("gone", "alive"):
        assert sum(r["states_ns"].values()) == r["lifetime_ns"], r
		' "$WATCH_OUT"
}

@test "both sockets of a loopback connection have one number, the next connection another" {
	start_ends
	start_watch --json ":$PORT"
	tell open 2
	wait_until has_many appeared 2 '"connection":1,'
	wait_until has_many appeared 2 '"connection":2,'
	tell close client
	tell close server
	wait_until has_record gone
	tell open
	wait_until has_many appeared 2 '"connection":3,'
	end_watch
	same "sockets of 1" "$(count_records appeared '"connection":1,')" 2
	same "sockets of 2" "$(count_records appeared '"connection":2,')" 2
	same "sockets of 3" "$(count_records appeared '"connection":3,')" 2
}

@test "a handshake that is not complete: SYN-RECEIVED, and then the same socket goes on" {
	start_ends
	start_watch --json ":$PORT"
	tell defer
	tell connect
	wait_until has_record appeared '"state":"SYN-RECEIVED"'
	tell send client 100
	tell accept
	wait_until has_record state '"state":"ESTABLISHED","from":"SYN-RECEIVED"'
	end_watch
	same sockets "$(count_records appeared)" 2
	same "the server's states" "$(server states_ns alive | sed 's/:[0-9]*//g')" '{"SYN-RECEIVED","ESTABLISHED"}'
}

@test "a full send queue and a shut window" {
	start_ends
	start_watch --json -r 1ms ":$PORT"
	tell open
	tell fill client
	wait_until has_record info '"timer":"persist"'
	[ "$(client send_queue_bytes info)" -gt 0 ]
	tell read server
	wait_until has_record info '"send_queue_bytes":0' "\"peer\":\"127.0.0.1:$PORT\""
	end_watch
	[ "$(client rwnd_limited_ns info)" -gt 0 ]
}

@test "figures at most once in --report, states at once" {
	start_ends
	start_watch --json --report 1h -i 1ms ":$PORT"
	tell open
	local n
	for ((n = 0; n < 5; n++)); do
		tell send client 1000
		tell read server
	done
	tell shut client
	wait_until has_record state '"state":"CLOSE-WAIT"'
	end_watch
	[ "$(count_records info "\"local\":\"127.0.0.1:$PORT\"")" -le 1 ]
	same "bytes, in the end" "$(server bytes_received alive)" 5000
}

@test "-l: who waits in the accept queue" {
	start_ends
	start_watch --json -l -r 1ms ":$PORT"
	tell connect 2
	wait_until has_record info '"state":"LISTEN"' '"accept_queue":2'
	tell accept
	wait_until has_record info '"state":"LISTEN"' '"accept_queue":1'
	tell listen-no-more
	wait_until has_record gone '"state":"LISTEN"'
	end_watch
}

@test "what was there, and what was in TIME-WAIT already" {
	start_ends
	tell churn 1
	tell open
	start_watch --json --time 200ms ":$PORT"
	wait_server "$WATCH"
	cat "$WATCH_OUT"
	same "sockets" "$(count_records appeared)" 2
	same "of them there before" "$(count_records appeared '"was_there":true')" 2
	same "status after --time" "$SERVER_STATUS" 0
}

# --- a process ------------------------------------------------------------------------------------------------------

@test "PID: its sockets, those that it makes later, and no other's" {
	start_ends
	tell open
	local other_fifo=$ENDS_FIFO other_out=$ENDS_OUT
	start_ends
	tell open
	start_watch --json "$ENDS"
	same "there" "$(count_records appeared '"was_there":true')" 2
	tell open
	wait_until has_many appeared 2 '"connection":2,'
	echo open >"$other_fifo"
	wait_until has_lines 2 "$other_out"
	tell close client
	wait_until has_record state
	end_watch
	same "sockets that appeared" "$(count_records appeared)" 4
	same "sockets of other ports" "$(grep '"record":"appeared"' "$WATCH_OUT" | grep -vc ":$PORT\"" || true)" 0
}

# has_lines N FILE
has_lines() {
	[ "$(wc -l <"$2")" -ge "$1" ]
}

@test "PID and --until-closed: the end of the process is the end" {
	start_ends
	tell open
	start_watch --json --until-closed "$ENDS"
	tell stop
	wait_server "$WATCH"
	same status "$SERVER_STATUS" 0
	has_record state
}

# --- output ---------------------------------------------------------------------------------------------------------

@test "text: a line for each change, none longer than 100 columns" {
	start_ends
	start_watch -r 20ms ":$PORT"
	tell open
	tell fill client
	wait_until grep -q 'window is shut' "$WATCH_OUT"
	tell read server
	tell shut client
	wait_until grep -q 'CLOSE-WAIT' "$WATCH_OUT"
	tell close server
	wait_until grep -q 'gone' "$WATCH_OUT"
	end_watch
	same status "$SERVER_STATUS" 130
	[ "$(awk '{ print length }' "$WATCH_OUT" | sort -n | tail -n 1)" -le 100 ]
	grep -qE '^ +[0-9.]+  #1 +:[0-9]+ +appears: ESTABLISHED, 127\.0\.0\.1:' "$WATCH_OUT"
	grep -q 'closed first here' "$WATCH_OUT"
	grep -q '^[0-9]* polls, .* may be missing$' "$WATCH_OUT"
	same "lines on stderr" "$(wc -l <"$WATCH_LOG")" 1
}

@test "SIGINT and SIGTERM: the final report, then 130 and 143" {
	start_ends
	tell open
	start_watch --json ":$PORT"
	end_watch INT
	same status "$SERVER_STATUS" 130
	same interrupted "$(field interrupted <"$WATCH_OUT")" true
	same "records of the living" "$(count_records alive)" 2
	start_watch --json ":$PORT"
	end_watch TERM
	same status "$SERVER_STATUS" 143
	same interrupted "$(field interrupted <"$WATCH_OUT")" true
}

@test "every line of --json is a record with this schema" {
	start_ends
	start_watch --json -l -r 1ms ":$PORT"
	tell open 3
	tell fill client
	tell reset server
	tell close client
	wait_until has_record gone
	end_watch
	python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.tcpwatch/1 elapsed_ns:int appeared:int gone:int alive:int \
		state_changes:int polls:int torn_polls:int interval_ns:int gap_max_ns:int stretched:int sockets_max:int \
		poll_cpu_ns:int poll_cpu_max_ns:int packets:int packets_dropped:int interrupted:bool <"$WATCH_OUT"
	"$tcpwatch" --once --json -l | python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.tcpwatch/1 sockets:int \
		listeners:int interrupted:bool
}
