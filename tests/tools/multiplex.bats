#!/usr/bin/env bats
# multiplex: each method finds who is ready, what cannot be done is said, and the records are right. No figure is judged here:
# lab 40-multiplexing does that.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	multiplex=$TCPLAB_BIN/multiplex
	cd "$BATS_TEST_TMPDIR" || return
}

# A small run; $output has its records.
measure() {
	run -0 --separate-stderr "$multiplex" --time 5ms --json "$@"
	echo "multiplex $*"
	echo "$output"
	same stderr "$stderr" ''
	[[ ${lines[-1]} == *'"record":"total"'* ]]
}

# cell IDLE METHOD KEY
cell() {
	grep -F "\"idle\":$1,\"method\":\"$2\"" <<<"$output" | field "$3" cell
}

# was_measured IDLE METHOD...
was_measured() {
	local idle=$1 method
	shift
	for method; do
		[ "$(cell "$idle" "$method" rounds)" -ge 10 ]
		[ "$(cell "$idle" "$method" round_p50_ns)" -gt 0 ]
		[ "$(cell "$idle" "$method" round_min_ns)" -le "$(cell "$idle" "$method" round_p50_ns)" ]
		[ "$(cell "$idle" "$method" round_p50_ns)" -le "$(cell "$idle" "$method" round_p99_ns)" ]
		same "why not $method" "$(cell "$idle" "$method" why_not)" null
	done
}

# --- usage ----------------------------------------------------------------------------------------------------------

@test "--help and --version: status 0, on stdout" {
	run -0 --separate-stderr "$multiplex" --help
	[[ $output == *"usage: multiplex"*"--counts"*"Exit status"* ]]
	same stderr "$stderr" ''
	run -0 --separate-stderr "$multiplex" --version
	[[ $output == "multiplex (tcplab) "* ]]
}

refused() {
	echo "multiplex $*"
	run -2 --separate-stderr "$multiplex" "$@"
	same stdout "$output" ''
	same "number of lines on stderr ($stderr)" "${#stderr_lines[@]}" 1
}

@test "wrong usage: status 2, one line" {
	refused operand
	refused --counts ''
	refused --counts ,
	refused --counts 10,
	refused --counts 10,,20
	refused --counts 0
	refused --counts 1000001
	refused --counts ten
	refused --counts 1K
	refused --counts 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17
	refused --counts 11111111111111111111111111111111
	refused --active 0
	refused --kind pipe
	refused --time 0
	refused --nonsense
}

# --- the table ------------------------------------------------------------------------------------------------------

@test "each method at each count, in ascending order, for both kinds" {
	local kind
	for kind in tcp eventfd; do
		measure --counts 100,3,20 --kind $kind
		same kind "$(ours kind start)" $kind
		was_measured 3 select poll epoll
		was_measured 20 select poll epoll
		was_measured 100 select poll epoll
		same "the order" "$(sed -n 's/.*"idle":\([0-9]*\),"method":"select".*/\1/p' <<<"$output" | tr '\n' ' ')" '3 20 100 '
		same cells "$(ours cells)" 9
		same measured "$(ours measured)" 9
		same interrupted "$(ours interrupted)" false
	done
}

@test "several active ones, and more of them than idle ones" {
	measure --counts 10 --active 1
	was_measured 10 select poll epoll
	measure --counts 10 --active 10
	was_measured 10 select poll epoll
	measure --counts 3 --active 200
	was_measured 3 select poll epoll
}

@test "select ends at FD_SETSIZE, and says so; the others go on" {
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 1200 ] || skip "needs 1200 descriptors"
	measure --counts 1100
	was_measured 1100 poll epoll
	same "select's rounds" "$(cell 1100 select rounds)" 0
	same "select's time" "$(cell 1100 select round_p50_ns)" null
	[[ $(cell 1100 select why_not) == *FD_SETSIZE* ]]
	same measured "$(ours measured)" 2
	run -0 "$multiplex" --time 5ms --counts 1100
	echo "$output"
	[[ $output == *'not shown: select with 1100 idle: '*FD_SETSIZE* ]]
}

@test "select goes exactly to descriptor 1023" {
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 1200 ] || skip "needs 1200 descriptors"
	# What is open before the connections differs: somewhere among these is the last count that fits.
	local n last=''
	for ((n = 1000; n <= 1022; n++)); do
		run -0 --separate-stderr "$multiplex" --time 1ns --json --kind eventfd --counts $n
		[ "$(cell $n select rounds)" -ge 10 ] || break
		last=$n
	done
	echo "the last count that select can do: $last"
	[ -n "$last" ]
	[[ $(cell $n select why_not) == *'there is a 1024' ]]
}

@test "the soft limit is raised to the hard one; what that does not allow is said" {
	[ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 300 ] || skip "needs 300 descriptors"
	ulimit -Sn 64
	measure --counts 200
	was_measured 200 select poll epoll
	ulimit -Hn 64
	measure --counts 10,100
	was_measured 10 select poll epoll
	same "descriptor limit" "$(ours descriptor_limit start)" 64
	same rounds "$(cell 100 poll rounds)" 0
	[[ $(cell 100 epoll why_not) == *'the limit is 64' ]]
	same measured "$(ours measured)" 3
}

@test "a limit that allows nothing: status 1, one line, an error record" {
	run -1 --separate-stderr bash -c 'ulimit -n 32; exec "$0" --counts 100,200 --json' "$multiplex"
	one_line_with EMFILE 'the limit is 32'
	same errno "$(ours errno error)" EMFILE
}

@test "no port is left for a connection: the reason is said" {
	need strace
	export ASAN_OPTIONS=detect_leaks=0 # it does not work under strace
	run -1 --separate-stderr strace -D -f -o "$BATS_TEST_TMPDIR/strace" -e trace=bind -e inject=bind:error=EADDRINUSE:when=3+ \
		"$multiplex" --counts 10 --json
	[[ ${stderr_lines[-1]} == *EADDRINUSE* ]]
	same errno "$(ours errno error)" EADDRINUSE
	[[ $(cell 10 poll why_not) == 'connection 3: '* ]]
}

@test "no descriptor, and no port in TIME-WAIT, is left behind" {
	need ss unshare
	unshare -rn true 2>/dev/null || skip "no network namespaces here"
	run -0 unshare -rn bash -c 'ip link set lo up && "$0" --counts 100,200 --time 5ms --json && ss -Htan | wc -l' "$multiplex"
	echo "$output"
	same "sockets afterwards" "${lines[-1]}" 0
}

# --- records and ends -----------------------------------------------------------------------------------------------

@test "each line of --json is JSON, and the total has what scripts rely on" {
	need python3
	"$multiplex" --counts 5,2000 --time 5ms --json |
		python3 "$TCPLAB_ROOT/tests/fixtures/json_lines.py" tcplab.multiplex/1 elapsed_ns:int cells:int measured:int interrupted:bool
}

@test "text: a table, and a chart where there is something to draw" {
	run -0 --separate-stderr "$multiplex" --counts 5,50 --time 5ms
	echo "$output"
	same stderr "$stderr" ''
	[[ $output == *idle*select*poll*epoll*'idle connections'* ]]
	run -0 --separate-stderr "$multiplex" --counts 5 --time 5ms
	same lines "${#lines[@]}" 3
	run -1 --separate-stderr bash -c '"$0" --counts 5 --time 5ms >/dev/full' "$multiplex"
	one_line_with 'cannot write the report'
}

@test "SIGINT and SIGTERM: what is there, and the total" {
	local signal status
	for signal in INT TERM; do
		status=130
		[ $signal = INT ] || status=143
		rm -f out # what the one before said is not this one's
		"$multiplex" --counts 5,10 --time 1h --json >out 2>err 3>&- &
		SERVER_PIDS+=($!)
		# shellcheck disable=SC2034 # helpers.bash reads it
		SERVER_LOG_OF[$!]=err
		wait_until grep -qs '"start"' out
		kill -$signal $!
		wait_server $!
		cat out
		same status "$SERVER_STATUS" $status
		[[ $(tail -n 1 out) == *'"record":"total"'*'"interrupted":true'* ]]
	done
}
