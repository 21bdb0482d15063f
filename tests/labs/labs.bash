# shellcheck shell=bash
# labs.bash - what the tests of the labs share; load it after helpers.

# shellcheck disable=SC2154 # bats and helpers set TCPLAB_ROOT, stderr

LABS=$TCPLAB_ROOT/labs

# The labs there are, by name.
labs() {
	local file
	for file in "$TCPLAB_ROOT"/labs/[0-9]*/lab.sh; do
		basename "$(dirname "$file")"
	done
}

# header NAME LAB: what follows "# NAME: " at the top of its script; nothing when there is no such line.
header() {
	sed -n "s/^# $1: *//p;T;q" "$TCPLAB_ROOT/labs/$2/lab.sh"
}

# A folder of our own, in which labs of any user may make their scratch directories.
open_tmp() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p tmp
	chmod 1777 tmp
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	unset TCPLAB_LAB_CAGE
}

# For teardown: no lab has left its scratch directory.
nothing_in_tmp() {
	local leftover=("$TMPDIR"/tcplab-lab.*)
	[ ! -e "${leftover[0]}" ] || {
		echo "left behind: ${leftover[*]}"
		return 1
	}
}

# For an ordinary user: the labs and tools where he can read them. A clone in root's home is closed to him, and gets copied.
open_copy() {
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"
	! as_nobody test -r "$LABS/lib/lab.sh" -a -x "$TCPLAB_BIN/ttcp" || return 0
	mkdir -p open
	cp -R "$LABS" open/labs
	cp -R "$TCPLAB_BIN" open/bin
	chmod -R a+rX open
	LABS=$PWD/open/labs TCPLAB_BIN=$PWD/open/bin
}

# Can this user make namespaces?
can_cage() {
	unshare --pid --mount --fork --kill-child --mount-proc --user --map-root-user true 2>/dev/null ||
		unshare --pid --mount --fork --kill-child --mount-proc true 2>/dev/null
}

# check_lab NAME [CMD...]: runs it in batch, by way of CMD: it is confirmed, and says so in its last line. A lab that cannot run
# here says why in the same place: then the test is skipped.
check_lab() {
	local name=$1 status=0
	shift
	# With the characters of the handouts' curves.
	LC_ALL=C.UTF-8 "$@" "$LABS/$name/lab.sh" --batch --evidence "$TMPDIR/bundle" >"$name.out" 2>&1 3>&- || status=$?
	local last
	last=$(tail -n 1 "$name.out")
	[ $status -ne 77 ] || skip "${last#"$name: SKIPPED: "}"
	if [ $status -ne 0 ] || [ "$last" != "$name: CONFIRMED" ]; then
		cat "$name.out"
		echo "(status $status)"
		return 1
	fi
}
