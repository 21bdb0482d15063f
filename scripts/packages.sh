# shellcheck shell=bash
# packages.sh - finds out what is missing and installs it with apt; sourced by quickstart and test.
#
#	packages_want gcc gcc                             the command gcc, from the package gcc
#	packages_want /usr/include/stdio.h libc6-dev      or a file
#	packages_install || exit 1
#
# When nothing is missing, nothing is said and apt is never called.

packages_missing=()

packages_want() {
	local what=$1 package=$2
	# Debian keeps administrators' commands where an ordinary user's PATH does not look.
	case $what in
	/*) [ -e "$what" ] ;;
	*) PATH=$PATH:/usr/sbin:/sbin command -v "$what" >/dev/null ;;
	esac || packages_missing+=("$package")
}

# Installs them as root or with sudo. Where neither is to be had: prints the command for somebody who may, and fails.
packages_install() {
	[ ${#packages_missing[@]} -gt 0 ] || return 0
	local become=()
	if [ "$(id -u)" -ne 0 ]; then
		# With a terminal sudo may ask for the password; without one it must not wait for it.
		if ! command -v sudo >/dev/null || ! { [ -t 2 ] || sudo -n true 2>/dev/null; }; then
			packages_say_command
			return 1
		fi
		become=(sudo)
	fi
	echo "Installing: ${packages_missing[*]}"
	# The first try is enough where the package lists are there and fresh.
	packages_apt 2>/dev/null || { packages_update && packages_apt; } || {
		packages_say_command
		return 1
	}
}

# Both use $become of packages_install.
packages_apt() {
	"${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "${packages_missing[@]}" </dev/null >/dev/null
}

packages_update() {
	"${become[@]}" apt-get update -qq </dev/null
}

packages_say_command() {
	echo "Missing here. As root run this, then start again:"
	echo "  apt-get update && apt-get install -y --no-install-recommends ${packages_missing[*]}"
} >&2
