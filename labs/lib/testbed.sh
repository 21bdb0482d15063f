# shellcheck shell=bash
# testbed.sh - two hosts: with an emulated link between them, or real ones; and curves. Sourced by lab.sh.
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

# With --hosts A,B the hosts a and b are real ones, reached by ssh (hosts.sh). Then there is no testbed and no link: `testbed` says
# so and fails, as where none can be made. A lab that is the same story everywhere is written with these:
#
#	            on this host    with a testbed    with --hosts
#	$HOSTS                                        yes
#	$ON_A                       "on a "           "on a "
#	$ON_B                       "on b "           "on b "
#	$B          127.0.0.1       b                 the address by which a reaches b
#
#	serve sink "${ON_B}ttcp -r -p 0"
#	measure up "${ON_A}ttcp -t $B -p $PORT"
#
# Files that a line writes with > are here; what a program writes by itself is in its own folder on its host.

TESTBED=''           # yes: there is one
HOSTS=''             # yes: two real hosts
LAB_FAR_TOOLS=''     # what is copied to them
ON_A='' ON_B='' B=127.0.0.1
declare -A LAB_HOST=() LAB_ADDRESS=() # with --hosts: as they were given, by a and b; an empty address is asked of ssh
LAB_SVG=''           # where --svg wants the pictures

# In a lab line they look like commands, and bash finds them in the environment.
on() {
	if [[ -n ${HOSTS:-} ]]; then
		far_run "$@"
	else
		linkem exec "$@"
	fi
}

link() {
	linkem set "$@"
}

export -f on link
export -f far_run far_about far_let_go _far_session _far_ssh _far_line _far_quote _far_pass_on

# testbed [OPTION...]: linkem's options, as in a shell line. Where a testbed cannot be made, a lab of tier em is skipped. Any
# other goes on without it: the status is 1.
testbed() {
	local line='linkem --background' why
	if [[ -n $HOSTS ]]; then
		say 'left out: what needs an emulated link, because these are real hosts'
		return 1
	fi
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
	if [[ -n $TESTBED ]]; then
		ON_A='on a ' ON_B='on b ' B=b
		return 0
	fi
	[[ $LAB_TIER != em ]] || skip "tier em: $why"
	say "left out: what needs an emulated link, because there is none here: $why"
	return 1
}

# At the end of the lab. In a cage it goes the way of everything else.
_end_testbed() {
	[[ -z $TESTBED || -n $LAB_INSIDE ]] || timeout 5 linkem down >/dev/null 2>&1
}

# --- real hosts ---

# _choose_hosts A,B: each as ssh knows it, or with the address by which the other one reaches it: pc1=192.0.2.7.
_choose_hosts() {
	local key word words
	LAB_FAR_TOOLS=$(sed -n 's/^# hosts: *//p;T;q' "$LAB_FILE")
	[[ -n $LAB_FAR_TOOLS ]] || _misuse 'this lab is about one host, --hosts is not for it'
	IFS=, read -ra words <<<"$1"
	[[ ${#words[@]} -eq 2 && $1 != *, ]] || _misuse '--hosts needs two hosts, with a comma between them'
	for key in a b; do
		word=${words[0]}
		words=("${words[@]:1}")
		LAB_HOST[$key]=${word%%=*}
		[[ $word != *=* ]] || LAB_ADDRESS[$key]=${word#*=}
		for word in "${word%%=*}" "${word#*=}"; do
			far_valid "$word" || _misuse "--hosts: $FAR_WHY"
		done
	done
	[[ ${LAB_HOST[a]} != "${LAB_HOST[b]}" ]] || _misuse '--hosts: that is twice the same host'
	export HOSTS=yes
}

# In LAB_DIR, so that the watcher takes it away.
_open_hosts() {
	local key
	# shellcheck disable=SC2034 # for hosts.sh
	[[ -n $LAB_BATCH || ! -t 0 || ! -t 2 ]] || FAR_ASKS=yes
	TMPDIR=$LAB_DIR far_init || skip "--hosts: $FAR_WHY"
	for key in a b; do
		# shellcheck disable=SC2086 # the tools are words
		{ far_open $key "${LAB_HOST[$key]}" && far_upload $key $LAB_FAR_TOOLS; } ||
			skip "host $key (${LAB_HOST[$key]}): $FAR_WHY"
	done
	LAB_ADDRESS[a]=${LAB_ADDRESS[a]:-$(_address_of a b)}
	LAB_ADDRESS[b]=${LAB_ADDRESS[b]:-$(_address_of b a)}
	# shellcheck disable=SC2034 # for the labs
	ON_A='on a ' ON_B='on b ' B=${LAB_ADDRESS[b]}
	for key in a b; do
		_record_host $key
	done
}

# _address_of ONE OTHER: of this host the other one knows best, because it was asked from here.
_address_of() {
	if [[ ${LAB_HOST[$1]} == localhost ]]; then
		far_about "$2" peer
	else
		far_address "${LAB_HOST[$1]}"
	fi
}

_record_host() {
	local host=${LAB_HOST[$1]} address=${LAB_ADDRESS[$1]} system cpus
	system=$(far_run "$1" uname -srm </dev/null)
	cpus=$(far_run "$1" nproc </dev/null)
	say "host $1 is $host, address $address: $system, ${cpus:-?} processors"
	printf '%-13s %s\n' "host $1:" "$host, address $address, $system, ${cpus:-?} processors" >>"$LAB_EVIDENCE/environment.txt"
	_record host "\"name\":\"$1\",\"host\":$(json_string "$host"),\"address\":$(json_string "$address"),\"system\":$(json_string \
		"$system"),\"cpus\":$(json_number "$cpus")"
}

# --- curves ---

# draw NAME TITLE X_LABEL Y_LABEL [OPTION...]: the numbers come on standard input, see plot --help.
draw() {
	local name=$1 title=$2 x=$3 y=$4
	shift 4
	cat >"$name.dat"
	[[ -z $LAB_PRESENT ]] || set -- --width "$(_stage_chart_columns)" "$@"
	LC_ALL=$LAB_LOCALE plot --title "$title" --x "$x" --y "$y" --svg "$name.svg" "$@" "$name.dat" \
		>"$LAB_DIR/output" 2>&1 || _finish 'NOT CONFIRMED' "$(tail -n 1 "$LAB_DIR/output")"
	say ''
	_show <"$LAB_DIR/output"
	[[ -n $LAB_SVG ]] || return 0
	cp -- "$name.svg" "$LAB_SVG/" && say "(the same as a picture: $LAB_SVG/$name.svg)"
}
