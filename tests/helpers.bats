#!/usr/bin/env bats
# The helpers themselves: a helper that passes what it should catch would hide failures in every other file.

# shellcheck disable=SC2004,SC2034 # helpers.bash declares and reads SERVER_SINCE and PATIENCE

load helpers

# A server of a few lines: says where it listens, then waits for SIGTERM.
fake_server() {
	exec bash -c 'trap "exit 143" TERM; echo "$0" >&2; while :; do sleep 0.02; done' "$1"
}

@test "start_server waits for the line and takes the port from it, in each of its forms" {
	local line
	for line in "x: listening on 127.0.0.1:77" "x: listening on [::]:77" "x: listening on [::1]:77 (udp)"; do
		start_server fake_server "$line"
		[ "$PORT" = 77 ]
		grep -qF "$line" "$SERVER_LOG"
		stop_server
		[ "$SERVER_STATUS" -eq 143 ]
		has_ended "$SERVER_PID"
	done
	[ ${#SERVER_PIDS[@]} -eq 0 ]
}

@test "start_server: half a line is no line yet" {
	start_server sh -c 'printf "x: listening on 127.0.0.1:7" >&2; sleep 0.2; echo 7 >&2; exec sleep 60'
	[ "$PORT" = 77 ]
}

@test "start_server fails at once with the log when the server dies" {
	run -1 start_server sh -c 'echo "the reason" >&2; exit 3'
	[[ $output == *"the reason"* ]]
}

@test "wait_server gives the status of a server that ends by itself" {
	start_server sh -c 'echo "x: listening on 127.0.0.1:77" >&2; sleep 0.1; exit 5'
	wait_server
	[ "$SERVER_STATUS" -eq 5 ]
}

@test "a number that another process has by now: the one that we started has ended, and the other is left alone" {
	local other
	other=$(sleep 60 >&- 2>&- 3>&- & echo $!) # no child of this shell, as it would be
	keep "$other" /dev/null
	run ! has_ended "$other"
	SERVER_SINCE[$other]=1
	has_ended "$other"
	stop_server "$other"
	kill "$other"
}

@test "wait_until: succeeds as soon as it can, and says what never came" {
	local tries=0
	third_time() {
		[ $((++tries)) -eq 3 ]
	}
	wait_until third_time
	[ $tries -eq 3 ]
	PATIENCE=0
	run -1 wait_until test -e "$BATS_TEST_TMPDIR/none"
	[[ $output == *"never came: test -e $BATS_TEST_TMPDIR/none" ]]
	start_worker sh -c 'trap "" TERM; echo deaf; while :; do sleep 0.1; done'
	PATIENCE=40
	wait_until grep -q deaf "$WORKER_OUT"
	PATIENCE=0
	local status=0
	stop_server "$WORKER" >"$BATS_TEST_TMPDIR/said" 2>&1 || status=$?
	[ "$status" -eq 1 ]
	grep -q 'does not end: killed' "$BATS_TEST_TMPDIR/said"
	[ "$SERVER_STATUS" -eq 137 ]
}

@test "stop_servers ends them all, and reports what a sanitizer found" {
	start_server fake_server "x: listening on 127.0.0.1:1"
	local first=$SERVER_PID
	start_server fake_server "x: listening on 127.0.0.1:2"
	stop_servers
	has_ended "$first"
	has_ended "$SERVER_PID"
	start_server fake_server "x: listening on 127.0.0.1:3 ==1==ERROR: AddressSanitizer: heap-use-after-free"
	local status=0
	stop_servers >/dev/null || status=$?
	[ "$status" -eq 1 ]
}

@test "field: numbers, strings, nested values, and only at the top level of the last record of its kind" {
	local records='{"record":"total","bytes":1}
{"record":"total","inner":{"bytes":2,"list":[3,{"s":"}]"}]},"text":"a \"b\", {c","bytes":42,"none":null}
{"record":"interval","bytes":7}'
	[ "$(field bytes <<<"$records")" = 42 ]
	[ "$(field bytes interval <<<"$records")" = 7 ]
	[ "$(field text <<<"$records")" = 'a \"b\", {c' ]
	[ "$(field inner <<<"$records")" = '{"bytes":2,"list":[3,{"s":"}]"}]}' ]
	[ "$(field none <<<"$records")" = null ]
	run -1 field list <<<"$records"
	run -1 field bytes error <<<"$records"
}
