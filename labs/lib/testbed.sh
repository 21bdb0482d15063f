# shellcheck shell=bash
# testbed.sh - two hosts with an emulated link between them, and curves. Sourced by lab.sh.
#
#	testbed --rtt 20ms --rate 10mbit     makes them; once more: others
#	serve sink 'on b ttcp -r -p 0'
#	measure up "on a ttcp -t b -p $PORT"
#	run 'link rate=1mbit'
#
# The hosts are linkem's (tools/linkem.c). They see only each other, know each other as `a` and `b`, and whoever runs the lab
# is root on them: he may choose any congestion control that the kernel has, change sysctls, and listen on port 80, also as an
# ordinary user. A lab that depends on the congestion control says which (ttcp --congestion reno): what a new host begins with
# differs from machine to machine. $PIN goes behind the host: on a ${PIN}ttcp.
#
# The testbed has a name that only this lab has ($TCPLAB_NET), and ends with the lab, whatever the end is. In a cage the kernel
# sees to that; without one linkem itself watches the lab.

TESTBED=''           # yes: there is one
LAB_SVG=''           # where --svg wants the pictures

# In a lab line they look like commands, and bash finds them in the environment.
on() {
	linkem exec "$@"
}

link() {
	linkem set "$@"
}

export -f on link

# testbed [OPTION...]: linkem's options, as in a shell line. Where a testbed cannot be made, a lab of tier em is skipped. Any
# other goes on without it: the status is 1.
testbed() {
	local line='linkem --background' why
	[[ -n $LAB_INSIDE ]] || line+=" --while $$"
	[[ -z $TESTBED ]] || run 'linkem down'
	TESTBED=''
	export TCPLAB_NET=lab-${LAB_DIR##*.}
	if have linkem; then
		try "$line${*:+ $*}"
		((STATUS != 0)) || TESTBED=yes
		((STATUS <= 1)) || _finish 'NOT CONFIRMED' "a command failed with status $STATUS: $line${*:+ $*}"
		why=$(tail -n 1 "$LAB_DIR/output")
		why=${why#linkem: }
	else
		why='linkem is not built'
	fi
	[[ -z $TESTBED ]] || return 0
	[[ $LAB_TIER != em ]] || skip "tier em: $why"
	say "left out: what needs an emulated link, because there is none here: $why"
	return 1
}

# At the end of the lab. In a cage it goes the way of everything else.
_end_testbed() {
	[[ -z $TESTBED || -n $LAB_INSIDE ]] || timeout 5 linkem down >/dev/null 2>&1
}

# draw NAME TITLE X_LABEL Y_LABEL [OPTION...]: the numbers come on standard input, see plot --help.
draw() {
	local name=$1 title=$2 x=$3 y=$4
	shift 4
	cat >"$name.dat"
	LC_ALL=$LAB_LOCALE plot --title "$title" --x "$x" --y "$y" --svg "$name.svg" "$@" "$name.dat" \
		>"$LAB_DIR/output" 2>&1 || _finish 'NOT CONFIRMED' "$(tail -n 1 "$LAB_DIR/output")"
	say ''
	_show <"$LAB_DIR/output"
	[[ -n $LAB_SVG ]] || return 0
	cp -- "$name.svg" "$LAB_SVG/" && say "(the same as a picture: $LAB_SVG/$name.svg)"
}
