#!/usr/bin/env bats
# zerocopy: every byte by every way, what each way asks of the kernel, buffers and files that are used too early, limits, peers, reports.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers

ways=(rw mmap memory sendfile splice zerocopy)

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	zerocopy=$TCPLAB_BIN/zerocopy
}

# send OPTION...: its records are in $output, its status in $status.
send() {
	run --separate-stderr "$zerocopy" "$@" --json
	echo "zerocopy $*: status $status"
	echo "$output$stderr"
}

# of WAY KEY: of that way's record in $output.
of() {
	grep "\"way\":\"$1\"" <<<"$output" | field "$2" way
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help: status 0, on stdout" {
	run -0 --separate-stderr "$zerocopy" --help
	[[ $output == *"usage: zerocopy"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '' 'race' 'speed reuse' 'speed --fixed' 'reuse --verify' 'reuse --to localhost' 'reuse --rounds 2' \
		'speed --way teleport' 'speed --block 2M' 'speed --bytes 0' 'speed --to localhost --verify' \
		'speed --to localhost -p 0' 'speed -4 -6' 'reuse --congestion reno'; do
		echo "zerocopy $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$zerocopy" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

@test "a congestion control that nobody knows: status 1, an error record" {
	send speed --congestion nosuch --bytes 1
	same status "$status" 1
	same op "$(ours op error)" set
	one_line_with nosuch ENOENT
}

# --- speed ----------------------------------------------------------------------------------------------------------

@test "every byte, and the right one, by every way: more than the file, odd lengths, one byte" {
	local size way
	for size in 1 70001 9437185; do
		send speed --verify --bytes $size --block 65521
		same status "$status" 0
		for way in "${ways[@]}"; do
			same "$way: sent" "$(of "$way" bytes)" $size
			same "$way: received" "$(of "$way" received_bytes)" $size
			same "$way: right" "$(of "$way" right_bytes)" $size
		done
	done
}

# calls WAY EACH: so many for each of 32 blocks. A call that waits for 50 ms returns with a part: there may be a few more.
calls() {
	[ "$(of "$1" system_calls)" -ge $((32 * $2)) ] && [ "$(of "$1" system_calls)" -lt $((48 * $2)) ]
}

all_calls() {
	calls mmap 1 && calls memory 1 && calls sendfile 1 && calls rw 2 && calls splice 2
}

@test "what each way asks of the kernel: one call for each block, or two" {
	local way tries
	# a reader that gets no processor makes more of them: then once more
	for ((tries = 0; tries < 10; tries++)); do
		send speed --bytes 2M --block 64K
		same status "$status" 0
		! all_calls || break
	done
	all_calls
	for way in "${ways[@]}"; do
		[ "$(of "$way" cpu_user_ns)" -ge 0 ]
		[ "$(of "$way" elapsed_ns)" -gt 0 ]
		[ "$way" = zerocopy ] || same "$way: completions" "$(of "$way" completions)" 0
	done
	same ways "$(ours ways)" 6
}

@test "MSG_ZEROCOPY: a completion for each send, and on loopback each one was copied" {
	send speed --way zerocopy --bytes 20M --block 64K
	same status "$status" 0
	same ways "$(ours ways)" 1
	[ "$(of zerocopy plain_sends)" -eq 0 ] || skip "too little memory may be locked here"
	[ "$(of zerocopy zerocopy_sends)" -ge 320 ]
	same completions "$(of zerocopy completions)" "$(of zerocopy zerocopy_sends)"
	same copied "$(of zerocopy copied)" "$(of zerocopy zerocopy_sends)"
}

@test "--rounds: one record for each way; --way: one way" {
	send speed --rounds 3 --bytes 100K
	same records "$(grep -c '"record":"way"' <<<"$output")" 6
	send speed --rounds 2 --bytes 100K --way splice
	same records "$(grep -c '"record":"way"' <<<"$output")" 1
	same bytes "$(of splice bytes)" 102400
}

# --- reuse ----------------------------------------------------------------------------------------------------------

@test "reuse: what is shared arrives changed, what is copied does not" {
	send reuse
	same status "$status" 0
	local way
	for way in "${ways[@]}"; do
		same "$way: arrived" "$(of "$way" arrived_bytes)" "$(of "$way" handed_bytes)"
		[ "$(of "$way" handed_bytes)" -ge 65536 ]
	done
	for way in rw mmap memory; do
		same "$way: altered" "$(of "$way" altered_bytes)" 0
	done
	for way in sendfile splice; do
		same "$way: altered" "$(of "$way" altered_bytes)" "$(of "$way" handed_bytes)"
	done
	[ "$(of zerocopy plain_sends)" -eq 0 ] || skip "too little memory may be locked here"
	[ "$(of zerocopy altered_bytes)" -gt 0 ]
	[ "$(of zerocopy altered_bytes)" -lt "$(of zerocopy handed_bytes)" ]
}

@test "reuse --fixed: all of it arrives as it was, by every way" {
	send reuse --fixed
	same status "$status" 0
	local way
	for way in "${ways[@]}"; do
		same "$way: altered" "$(of "$way" altered_bytes)" 0
		same "$way: arrived" "$(of "$way" arrived_bytes)" "$(of "$way" handed_bytes)"
	done
	same completions "$(of zerocopy completions)" "$(of zerocopy zerocopy_sends)"
}

@test "an ordinary user who may lock no memory: plain sends, which it says" {
	need setpriv prlimit
	open_folder
	cp "$zerocopy" "$OPEN_FOLDER/"
	run -0 as_nobody prlimit --memlock=0:0 "$OPEN_FOLDER/zerocopy" speed --way zerocopy --bytes 1M --verify --json
	echo "$output"
	same right "$(of zerocopy right_bytes)" 1048576
	same "zerocopy sends" "$(of zerocopy zerocopy_sends)" 0
	[ "$(of zerocopy plain_sends)" -ge 4 ]
	run -0 as_nobody prlimit --memlock=0:0 "$OPEN_FOLDER/zerocopy" reuse --json
	same altered "$(of zerocopy altered_bytes)" 0
}

# --- another server -------------------------------------------------------------------------------------------------

@test "--to: a server that discards has all of it, by every way, over IPv6 too" {
	start_server "$TCPLAB_BIN/discard" -s -p 0 --bind ::1 --json
	send speed --to ::1 -p "$PORT" --bytes 300K
	same status "$status" 0
	same received "$(of rw received_bytes || echo none)" none
	stop_server
	same "bytes there" "$(field bytes <"$SERVER_OUT")" $((6 * 300 * 1024))
	send speed -6 --way sendfile --bytes 300K --verify
	same right "$(of sendfile right_bytes)" $((300 * 1024))
}

# peer CODE: a server in python that has connection c; its port is in $PORT.
peer() {
	cat >peer.py <<-END
		import socket, struct, sys, time
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		while True:
		    c, _ = l.accept()
		    $1
	END
	start_server python3 peer.py
}

@test "--to: nobody, one who does not read, one who resets" {
	need python3
	local way
	peer 'kept = c'
	for way in memory sendfile splice zerocopy; do
		send speed --way $way --to 127.0.0.1 -p "$PORT" --timeout 200ms
		same "$way: status" "$status" 3
		same "$way: errno" "$(of $way errno)" ETIMEDOUT
	done
	stop_server
	send speed --to 127.0.0.1 -p "$PORT"
	same status "$status" 1
	same errno "$(ours errno error)" ECONNREFUSED
	peer 'c.recv(100); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close()'
	for way in rw sendfile splice zerocopy; do
		send speed --way $way --to 127.0.0.1 -p "$PORT"
		same "$way: status" "$status" 3
		[[ $(of $way errno) == @(ECONNRESET|EPIPE) ]]
	done
}

@test "--to: a reader that pauses: what was cut short goes on at the right place" {
	need python3
	cat >pausing.py <<-END
		import hashlib, socket, sys, time
		l = socket.create_server(("127.0.0.1", 0))
		print("python: listening on 127.0.0.1:%d" % l.getsockname()[1], file=sys.stderr, flush=True)
		for i in range(4):
		    c, _ = l.accept()
		    h, n = hashlib.md5(), 0
		    time.sleep(0.3) # longer than a tick: a call that waits comes back with a part
		    while d := c.recv(1 << 20):
		        h.update(d)
		        n += len(d)
		    print(n, h.hexdigest(), flush=True)
	END
	start_server python3 pausing.py
	local way
	for way in memory sendfile splice zerocopy; do
		send speed --way $way --to 127.0.0.1 -p "$PORT" --bytes 12M
		same "$way: status" "$status" 0
	done
	wait_server
	cat "$SERVER_OUT"
	same "lines, all the same" "$(sort "$SERVER_OUT" | uniq -c | awk '{ print $1, $2 }')" '4 12582912'
}

# --- reports and signals --------------------------------------------------------------------------------------------

@test "the text" {
	run -0 "$zerocopy" reuse --way sendfile
	same head "${lines[0]}" 'way       handed over     arrived      arrived changed'
	same row "${lines[1]}" 'sendfile       262144      262144               262144  all that nobody has read yet'
	run -0 "$zerocopy" speed --way memory --bytes 1M --verify
	[[ ${lines[0]} == 'way '*rate*calls*CPU* ]]
	[[ ${lines[1]} == memory*bit/s*' 1048576 bytes right' ]]
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first" {
	need python3
	peer 'kept = c'
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		rm -f err
		"$zerocopy" speed --way sendfile --to 127.0.0.1 -p "$PORT" --timeout 60 --trace --json >out 2>err 3>&- &
		local pid=$! status=0
		wait_until grep -q '= -1' err # the buffers are full
		kill -$signal $pid
		wait $pid || status=$?
		same "status after SIG$signal" "$status" "${expected[$signal]}"
		same interrupted "$(field interrupted <out)" true
		same errno "$(field errno way <out)" ECANCELED
	done
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$zerocopy' reuse --way rw > /dev/full"
}
