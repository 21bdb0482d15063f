#!/usr/bin/env bats
# footprint: what each way of serving costs, limits of every kind, and that nothing is left behind, however it ends.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	footprint=$TCPLAB_BIN/footprint
}

# print OPTION...: its records are in $output, its status in $status.
print() {
	run --separate-stderr "$footprint" "$@" --json
	echo "footprint $*: status $status"
	echo "$output$stderr"
}

# about KEY LEAST MOST: a figure of the total lies between them, as a number with a fraction.
about() {
	local value
	value=$(ours "$1")
	awk -v v="$value" -v least="$2" -v most="$3" 'BEGIN { exit !(v != "null" && v >= least && v <= most) }' || {
		echo "$1 is $value, not $2 to $3"
		return 1
	}
}

# descendants PID: all of them, one a line.
descendants() {
	local child
	while read -r child; do
		echo "$child"
		descendants "$child"
	done < <(cat "/proc/$1/task/"*/children 2>/dev/null | tr -s ' ' '\n')
}

# all_gone PID...: none of them runs; a zombie that nobody waits for does not.
all_gone() {
	local pid
	for pid; do
		[[ ! -e /proc/$pid ]] || grep -q '^State:[[:space:]]*[ZX]' "/proc/$pid/status" 2>/dev/null || return 1
	done
}

# start_held OPTION...: one that holds its connections; its pid is in $WORKER, its children's in ${CHILDREN[@]}.
start_held() {
	start_worker "$footprint" "$@" --hold 60 --json
	wait_until grep -q 'are held' "$WORKER_ERR"
	mapfile -t CHILDREN < <(descendants "$WORKER")
	echo "children: ${#CHILDREN[@]}"
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help: status 0, on stdout" {
	run -0 --separate-stderr "$footprint" --help
	[[ $output == *"usage: footprint"*"--fixed"*"Exit status"* ]]
	same stderr "$stderr" ''
}

@test "wrong usage: status 2, one line, nothing on stdout" {
	local words
	for words in '0' 'x' '1.5' '-5' '200001' '10 10' '--serve cups' '--fixed --serve thread' '--unread 2M' '--hold x' '-4 -6' \
		'--timeout 0' '99999999999999999999'; do
		echo "footprint $words"
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr "$footprint" $words
		same stdout "$output" ''
		same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
	done
}

# --- what it costs --------------------------------------------------------------------------------------------------

@test "a buffer for each connection is seen, and with --fixed there is none" {
	print 300
	same status "$status" 0
	same "opened, processes" "$(ours opened) $(ours processes)" '300 2'
	about server_bytes_per_connection 60000 110000 # a sanitizer needs more
	same limit "$(ours limited_by)" null
	print 300 --fixed
	same status "$status" 0
	about server_bytes_per_connection -1000 8191
}

@test "each connection is two sockets" {
	need unshare ip
	unshare -rn ip link set lo up 2>/dev/null || skip "needs a network namespace: others open and close as well"
	# shellcheck disable=SC2016 # the inner shell's
	run -0 unshare -rn sh -c 'ip link set lo up; exec "$0" 300 --fixed --json' "$footprint"
	about sockets_per_connection 1.99 2.01
}

# The slabs are those of the whole machine: what others give back meanwhile is missing.
slabs_are_seen() {
	print 200 --fixed
	about slab_bytes_per_connection 1000 100000
}

@test "a thread, a process for each: a page at least, and not without bound" {
	print 100 --serve thread
	same status "$status" 0
	same opened "$(ours opened)" 100
	about server_bytes_per_connection 4096 500000
	print 50 --serve process
	same status "$status" 0
	same opened "$(ours opened)" 50
	about server_bytes_per_connection 4096 500000
}

@test "--unread: the kernel keeps what nobody reads, and takes more for it than its length" {
	print 100 --fixed --unread 1000
	same status "$status" 0
	same unread "$(ours unread_bytes_per_connection)" 1000
	about queue_bytes_per_connection 1001 20000
	grep -q '"step":"unread"' <<<"$output"
	print 100 --fixed
	same unread "$(ours unread_bytes_per_connection)" 0
	same queue "$(ours queue_bytes_per_connection)" null
}

@test "what a connection consists of: for root; an ordinary user is told that it is not readable" {
	need setpriv
	if [ -r /proc/slabinfo ]; then
		slabs_are_seen || slabs_are_seen || slabs_are_seen || slabs_are_seen || slabs_are_seen
		grep '"record":"cache"' <<<"$output" | grep -q '"name":"TCP'
	fi
	open_folder
	cp "$footprint" "$OPEN_FOLDER/"
	run -0 as_nobody "$OPEN_FOLDER/footprint" 200 --json
	same opened "$(ours opened)" 200
	about server_bytes_per_connection 60000 110000 # a sanitizer needs more
	same slabs "$(ours slab_bytes_per_connection)" null
	run -0 as_nobody "$OPEN_FOLDER/footprint" 10
	[[ $output == *"not readable"* ]]
}

@test "IPv6" {
	print 20 -6
	same status "$status" 0
	same opened "$(ours opened)" 20
}

# --- limits ---------------------------------------------------------------------------------------------------------

@test "few descriptors: more processes, or fewer connections, which it says" {
	run -0 bash -c "ulimit -n 100; exec '$footprint' 170 --fixed --json"
	echo "$output"
	same "opened, processes" "$(ours opened) $(ours processes)" '170 8'
	same limit "$(ours limited_by)" null
	run -0 bash -c "ulimit -n 30; exec '$footprint' 1000 --fixed --json"
	echo "$output"
	same limit "$(ours limited_by)" descriptors
	# there are fewer than it wanted, as some are in use before it begins
	about opened 10 105
}

@test "little memory: as many as there is room for" {
	[ "${MODE:-release}" = release ] || skip "a sanitizer needs the address space"
	run bash -c "ulimit -v 20000; exec '$footprint' 1000 --json"
	echo "$output"
	same status "$status" 0
	same errno "$(ours errno)" ENOMEM
	about opened 20 400
}

@test "an answer that does not come in time: what there is by then, or an error record" {
	print 20000 --fixed --timeout 1us
	if [ "$status" -eq 1 ]; then
		same errno "$(ours errno error)" ETIMEDOUT
	else
		same "limit, errno" "$(ours limited_by) $(ours errno)" 'the system ETIMEDOUT'
	fi
}

# --- the end --------------------------------------------------------------------------------------------------------

@test "kill -9: all children end, those of its servers, too" {
	start_held 40 --serve process
	same "children" "${#CHILDREN[@]}" 42
	run ! all_gone "${CHILDREN[@]}"
	kill -KILL "$WORKER"
	wait_until all_gone "$WORKER" "${CHILDREN[@]}"
	wait_server "$WORKER"
}

@test "kill -9 at one of its servers: the others end with it" {
	start_held 20 --serve process
	kill -KILL "${CHILDREN[0]}"
	kill -TERM "$WORKER"
	wait_server "$WORKER"
	all_gone "${CHILDREN[@]}"
}

@test "SIGINT and SIGTERM: 130 and 143, with the report first, and nobody is left" {
	local signal
	local -A expected=([INT]=130 [TERM]=143)
	for signal in INT TERM; do
		start_held 50 --fixed
		same "children" "${#CHILDREN[@]}" 2
		kill -$signal "$WORKER"
		wait_server "$WORKER"
		same "status after SIG$signal" "$SERVER_STATUS" "${expected[$signal]}"
		all_gone "${CHILDREN[@]}"
		same opened "$(field opened <"$WORKER_OUT")" 50
	done
}

@test "a signal while it opens: the total says so" {
	# so many that it is not done before we have seen that it has begun
	start_worker "$footprint" 100000 --fixed --trace --json
	wait_until grep -q 'order 0' "$WORKER_ERR"
	kill -TERM "$WORKER"
	wait_server "$WORKER"
	same status "$SERVER_STATUS" 143
	same interrupted "$(field interrupted <"$WORKER_OUT")" true
	[ "$(field opened <"$WORKER_OUT")" -lt "$(field number <"$WORKER_OUT")" ]
}

@test "the text" {
	run -0 "$footprint" 100
	same "first line" "${lines[0]}" '100 of 100 connections, their ends in 2 processes'
	[[ $output == *'the kernel, for each connection, both ends:'*'SUnreclaim'*'the programs, for each connection:'*server*client* ]]
}

@test "a full standard output is status 1" {
	[ -e /dev/full ] || skip "needs /dev/full"
	run -1 bash -c "'$footprint' 10 > /dev/full"
}
