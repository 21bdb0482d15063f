#!/bin/sh
# far.sh - the half of hosts.sh that runs on the other host. It needs nothing there but a POSIX shell and coreutils.
#
#	far.sh keep SECONDS               makes a folder, says where it is, and takes away at the end what is left
#	far.sh run ID FOLDER CMD...       runs a program there; the programs in FOLDER/bin are found
#	far.sh signal ID FOLDER SIGNAL    sends a signal to what `run ID` has started
#
# sshd(8) does not end what it started when the connection ends. It closes its standard input, and so the end of file there is
# what `keep` waits for. A cut cable says nothing at all, hence a line comes every few seconds, and silence is an end, too.
#
# Whoever runs is listed in FOLDER/live, with its process group (sshd gives each command one of its own); "ID ended" when it
# is over. `run` lists itself first and then looks whether FOLDER/open is there; `keep` removes that first and then reads the
# list. So whoever does not find himself too late is on the list.

do_keep() {
	trap '' HUP INT TERM PIPE
	umask 077
	SSH_CONNECTION=${SSH_CONNECTION:--}
	limit="timeout $1"
	command -v timeout >/dev/null || limit=''
	dir=$(mktemp -d "${TMPDIR:-/tmp}/tcplab-far.XXXXXX") || exit 1
	mkdir "$dir/bin" "$dir/work" && : >"$dir/live" && : >"$dir/open" && do_say_where
	# head(1) may read several lines at once and forget the rest: they are all the same.
	while [ -e "$dir/open" ] && [ -n "$($limit head -n 1)" ]; do :; done
	rm -f "$dir/open"
	do_kill_all
	# Something that is just being killed may still write into it.
	tries=0
	while ! rm -rf "$dir" 2>/dev/null && [ $((tries += 1)) -lt 100 ]; do
		sleep 0.05
	done
}

# The first word is there to find the line behind whatever a login script prints. The address is the one from which ssh came.
do_say_where() {
	echo "tcplab-far: $(uname -s) $(uname -m) ${SSH_CONNECTION%% *} $dir"
}

do_kill_all() {
	live=$(cat "$dir/live")
	echo "$live" | while read -r id group; do
		echo "$live" | grep -qx "$id ended" || kill -KILL "-$group"
	done 2>/dev/null
}

do_run() {
	id=$1 dir=$2
	shift 2
	# The fifth word of proc_pid_stat(5).
	read -r _ _ _ _ group _ </proc/self/stat
	echo "$id $group" >>"$dir/live" && [ -e "$dir/open" ] && cd "$dir/work" || exit 255
	trap : TERM # of us and our program only that one ends
	PATH=$dir/bin:$PATH:/usr/sbin:/sbin "$@"
	status=$?
	echo "$id ended" >>"$dir/live"
	exit $status
}

# Fails when there is nobody yet.
do_signal() {
	group=$(sed -n "s/^$1 \([0-9]*\)\$/\1/p" "$2/live") && [ -n "$group" ] || exit 1
	grep -qx "$1 ended" "$2/live" || kill "-$3" "-$group"
}

# The functions have a prefix, so that no program to run has the name of one.
role=$1
shift
"do_$role" "$@"
