#!/usr/bin/env bats
# ordinary.bats - a lab proves its claim to an ordinary user as well. As lab.bats, with which scripts/test runs it; but not for labs of
# tier em: these would take as long once more, for what one test of labs.bats shows for all, a testbed as an ordinary user.
#
#   LAB=22-half-close bats tests/labs/ordinary.bats
#
# Tier any promises that nothing is needed, so there are no namespaces either. Tier ns needs them.

load ../helpers
load labs

setup() {
	[ "$EUID" -eq 0 ] || skip "needs root to become somebody else"
	open_tmp
	open_copy
	NAMES=("${LAB:-}")
	[ -n "${LAB:-}" ] || mapfile -t NAMES < <(labs)
}

teardown() {
	nothing_in_tmp
}

@test "confirmed as an ordinary user" {
	local name tried=0
	for name in "${NAMES[@]}"; do
		case $(header tier "$name") in
		any) check_lab "$name" as_nobody env TMPDIR="$TMPDIR" TCPLAB_LAB_CAGE=none ;;
		ns)
			as_nobody unshare --user --map-root-user true 2>/dev/null || skip "no namespaces for ordinary users here"
			check_lab "$name" as_nobody env TMPDIR="$TMPDIR"
			;;
		*) continue ;;
		esac
		tried=$((tried + 1))
		rm -rf "$TMPDIR/bundle"
	done
	[ $tried -gt 0 ]
}
