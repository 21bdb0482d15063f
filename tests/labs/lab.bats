#!/usr/bin/env bats
# lab.bats - a lab proves its claim. There is no line to add for a new one: scripts/test runs this file, and ordinary.bats, once
# for each lab that there is, two of them at a time, and a lab that has a line "# alone: why" beside no other one.
#
#   scripts/test labs/22-half-close        this one; `scripts/test labs` all
#   LAB=22-half-close bats tests/labs/lab.bats
#
# Without LAB it goes through all of them, one after another.

load ../helpers
load labs

setup() {
	open_tmp
	NAMES=("${LAB:-}")
	[ -n "${LAB:-}" ] || mapfile -t NAMES < <(labs)
}

teardown() {
	nothing_in_tmp
}

@test "confirmed, with the five beats, and its transcript has the shape of the handout's" {
	local name beat
	for name in "${NAMES[@]}"; do
		check_lab "$name"
		for beat in predict run observe explain verdict; do
			grep -q "^--- $beat" "$name.out" || { echo "$name: no $beat" && return 1; }
		done
		"$TCPLAB_ROOT/scripts/handouts" --check "$name" "$TMPDIR/bundle/transcript.txt"
	done
}
