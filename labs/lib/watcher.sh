#!/usr/bin/env bash
# watcher.sh DIR - waits for the end of a lab, however that comes, and takes away what the lab left.
#
# Its standard input is a pipe whose other end only the lab holds. The kernel closes that end when the lab is gone, after
# kill -9 too, so end of file is the one message that cannot get lost. DIR/live lists what the lab had running: a process
# (1234) or a process group (-1234) on each line.

trap '' INT TERM HUP
while read -r _; do :; done

while read -r target; do
	kill -KILL -- "$target" 2>/dev/null
done <"$1/live"

# Something that is just being killed may still write into DIR: rm -rf then says "Directory not empty".
for ((tries = 0; tries < 100; tries++)); do
	rm -rf -- "$1" 2>/dev/null && break
	sleep 0.05
done
