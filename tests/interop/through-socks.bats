#!/usr/bin/env bats
# --socks of ttcp, the netcats and roundtrip through other people's SOCKS servers. Through our own: tests/tools.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`
# shellcheck disable=SC2030,SC2031 # each @test is a subshell, and that is meant
# shellcheck disable=SC2153 # PORT and its like are set by start_server

load ../helpers
load ../fixtures/netcat
load ../fixtures/through_socks

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	nc=$TCPLAB_BIN/netcat-nonblocking
	head -c 300000 /dev/urandom >data
}

# start_other CMD...: a server that says nothing when it listens, at $FREE. $PROXY is its place.
start_other() {
	start_worker "$@"
	wait_until listens "$FREE"
	PROXY=127.0.0.1:$FREE
}

# dante METHODS: its configuration is a file.
start_dante() {
	free_port
	cat >dante.conf <<-END
		logoutput: /dev/null
		internal: 127.0.0.1 port = $FREE
		external: lo
		clientmethod: none
		socksmethod: none
		user.privileged: $(id -un)
		user.unprivileged: $(id -un)
		client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
		socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
	END
	start_other danted -f dante.conf -p dante.pid
}

# all_through URL HOST TTCP-OPTION...: each of the tools; what is refused is named.
all_through() {
	start_server "$TCPLAB_BIN/ttcp" -r -p 0
	run -0 --separate-stderr "$TCPLAB_BIN/ttcp" -t "$2" -p "$PORT" --socks "$1" --json "${@:3}"
	same "ttcp: confirmed, peer" "$(ours confirmed) $(ours peer start)" "true $2:$PORT"
	start_server "$TCPLAB_BIN/roundtrip" -s -p 0
	run -0 --separate-stderr "$TCPLAB_BIN/roundtrip" "$2" -p "$PORT" --tcp --socks "$1" -n 10 -i 1ms --timeout 30 --json
	same "roundtrip: received" "$(ours received)" 10
	listen -d
	INPUT=data worker --socks "$1" "$2" "$PORT"
	wait_until has_bytes 300000 "$SERVER_OUT"
	stop_server "$WORKER"
	cmp data "$SERVER_OUT"
	deaf
	run -1 --separate-stderr "$nc" -d --socks "$1" "$2" "$DEAF"
	one_line_with "connect $2:$DEAF through $PROXY: the SOCKS server says"
}

# It ends both directions at the first FIN: ttcp's plain runs work, which end with nothing to be said.
@test "through microsocks, without and with a password" {
	need microsocks
	free_port
	start_other microsocks -i 127.0.0.1 -p "$FREE"
	all_through "$PROXY" localhost -n 3 -l 100
	one_line_with ECONNREFUSED
	run -1 --separate-stderr "$nc" -d --socks "socks4://$PROXY" localhost 1
	one_line_with "through $PROXY" # it speaks SOCKS 5 only, and ends the connection
	free_port
	start_other microsocks -i 127.0.0.1 -p "$FREE" -u alice -P secret
	all_through "alice:secret@$PROXY" 127.0.0.1 -n 3 -l 100
	run -1 --separate-stderr "$nc" -d --socks "alice:wrong@$PROXY" localhost 1
	one_line_with "does not take this user and password" EACCES
	run -1 --separate-stderr "$nc" -d --socks "$PROXY" localhost 1
	one_line_with "wants a user and a password" EACCES
}

# Dante 1.4.2 takes the beginning of 4a for an address, 0.0.0.1: so SOCKS 4 with literals alone.
@test "through dante, SOCKS 5 and 4" {
	need danted
	start_dante
	all_through "$PROXY" localhost -P 2 --bidir --verify --bytes 1M
	one_line_with ECONNREFUSED
	all_through "socks4://bob@$PROXY" 127.0.0.1 --mode stream --verify --bytes 1M
	one_line_with EIO
}
