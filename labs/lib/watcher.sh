#!/usr/bin/env bash
# watcher.sh - makes the scratch directory of a lab and says its name; then waits for the end of the lab, however that
# comes, and takes away what is left of it.
#
# Its standard input is a pipe whose other end only the lab holds. The kernel closes that end when the lab is gone,
# after kill -9 too, so end of file is the one message that cannot get lost. The file `live` in the directory tells what
# the lab had running: the number of a process when it began, "NUMBER ended" when it was over. It is only ever appended
# to: a list that was written anew could be cut off by the very kill that it is there for. The file `terminal` is there if the lab
# changed the terminal's mode: its name, the mode before, and the lab's own.

trap '' INT TERM HUP PIPE
dir=$(mktemp -d "${TMPDIR:-/tmp}/tcplab-lab.XXXXXX" 2>&1) || { echo "$dir" && exit 1; }
: >"$dir/live"
echo "$dir"
exec >/dev/null

while read -r _; do :; done

# A lab on a stage (present.sh) had the terminal in one of two modes of its own. Any other mode is that of somebody who has taken
# the terminal over since, such as the shell.
if { read -r tty && read -r before && read -r modes; } <"$dir/terminal"; then
	mode=$(stty -F "$tty" -g)
	[[ -z $mode || -n $modes && " $modes " != *" $mode "* ]] || stty -F "$tty" "$before"
fi 2>/dev/null

declare -A live=()
while read -r target ended; do
	live[$target]=$ended
done <"$dir/live"
for target in "${!live[@]}"; do
	[[ -z ${live[$target]} ]] || continue
	kill -KILL "$target" # on its way to a process group of its own, or
	kill -KILL -- "-$target" # there, with all its children
done 2>/dev/null

# Something that is just being killed may still write into it: rm -rf then says "Directory not empty".
for ((tries = 0; tries < 100; tries++)); do
	rm -rf -- "$dir" 2>/dev/null && break
	sleep 0.05
done
