# shellcheck shell=bash
# contain.sh - the cage: whatever happens to a lab, nothing of it stays behind. Sourced by lab.sh.
#
# kill -9 on a script ends the script, not the programs it started: those become orphans and keep their ports. Two
# layers stand against that. Wherever the kernel allows, a lab runs in a PID namespace, and when process 1 of that
# namespace dies the kernel kills all the others (pid_namespaces(7)):
#
#     lab.sh, what you started      unshare         lab.sh again, process 1           ttcp, dd, nc ...
#     only waits and passes  --->   --kill-child -> of the namespace: tells    --->   all in the namespace
#     signals on                                    the story
#       :
#       : a pipe                    watcher.sh, in a session of its own, made LAB_DIR: at end of file it kills what is
#       +.........................> listed in LAB_DIR/live, and removes LAB_DIR
#
# Where namespaces are refused there is one lab.sh and no unshare. Then each command gets a process group, which
# is listed in LAB_DIR/live, and a parent-death signal (PR_SET_PDEATHSIG in prctl(2), by way of setpriv).
#
# A child lists itself, and only then lets go of its copy of the pipe: so the watcher cannot reach the end of file, and
# read the list, before everybody is on it - not even if the lab is killed between fork and exec.
#
# The watcher has the same work on a good end and on a bad one: the path that matters is taken on every run.
#
# LIMIT: without namespaces only what `run`, `try` and `serve` start is ended; a program that a lab starts in some other
# way, or that makes itself a session of its own, survives it.
#
# TCPLAB_LAB_CAGE=none does without namespaces (the tests use it).

LAB_CAGE=()      # the unshare command line; empty: no namespaces
LAB_PROTECTION=${LAB_PROTECTION:-} # the same in words, for the evidence; inside, it comes from outside
LAB_NO_CAGE=''   # why there are none
LAB_CONTROL=''   # our end of the watcher's pipe; process 1 of a namespace has none
LAB_WATCHER=''

# The parent-death signal for each program; nothing where setpriv cannot do it.
LAB_PDEATH=()
setpriv --pdeathsig KILL true 2>/dev/null && LAB_PDEATH=(setpriv --pdeathsig KILL)

# Starts the watcher, which makes LAB_DIR and says its name, or why it cannot.
_open_dir() {
	coproc LAB_WATCH { exec setsid bash "$LAB_LIB/watcher.sh" 2>/dev/null; }
	LAB_WATCHER=$LAB_WATCH_PID
	# WHY: bash closes a coprocess's own descriptors in every subshell, and _sign_in needs its copy open.
	exec {LAB_CONTROL}>&"${LAB_WATCH[1]}"
	eval "exec ${LAB_WATCH[1]}>&-"
	read -r LAB_DIR <&"${LAB_WATCH[0]}"
	[[ -d $LAB_DIR ]] || _finish 'NOT CONFIRMED' "no scratch directory: ${LAB_DIR:-watcher.sh does not run}"
	export LAB_DIR
}

# Lets the watcher do its work, and waits for it. (bash would report each child that is killed meanwhile.)
_close_dir() {
	exec {LAB_CONTROL}>&-
	wait "$LAB_WATCHER" 2>/dev/null
}

# What a child does first. Inside a namespace nobody lists himself: those numbers are somebody else's outside.
_sign_in() {
	[[ -z $LAB_INSIDE ]] || return 0
	echo "$BASHPID" >>"$LAB_DIR/live"
	exec {LAB_CONTROL}>&-
}

# _ended PID: the number may soon be somebody else's.
_ended() {
	[[ -n $LAB_INSIDE ]] || echo "$1 ended" >>"$LAB_DIR/live"
}

# Tries the whole chain, not just unshare: Ubuntu 24.04 lets anybody make a user namespace and then refuses to do
# anything in it, a container may refuse the mount of /proc.
_choose_cage() {
	local plain=(unshare --pid --mount --fork --kill-child --mount-proc) why=''
	local words='pid and mount namespaces'
	[[ $LAB_TIER != ns ]] || plain+=(--net)
	[[ $LAB_TIER != ns ]] || words+=', network namespace'
	if [[ ${TCPLAB_LAB_CAGE:-} == none ]]; then
		why='TCPLAB_LAB_CAGE=none'
	elif ((EUID == 0)) && "${plain[@]}" true 2>/dev/null; then
		LAB_CAGE=("${plain[@]}")
	elif [[ -n $HOSTS ]]; then
		why='in a user namespace ssh would take everybody for root'
	elif why=$("${plain[@]}" --user --map-root-user true 2>&1); then
		LAB_CAGE=("${plain[@]}" --user --map-root-user)
		words="user, $words"
	fi
	LAB_PROTECTION="$words: the kernel ends everything with the lab"
	[[ ${#LAB_CAGE[@]} -eq 0 ]] || return 0
	why=${why//$'\n'/; }
	LAB_PROTECTION="no namespaces ($why): process groups, a watcher"
	[[ ${#LAB_PDEATH[@]} -eq 0 ]] || LAB_PROTECTION+=', parent-death signals'
	# shellcheck disable=SC2034 # read by lab.sh
	LAB_NO_CAGE="namespaces are refused here ($why)"
}

# Runs this lab again inside the cage, waits for it and ends as it ended. Signals are passed on as TERM, because a shell
# starts background commands with SIGINT ignored and they cannot take that back.
_enter_cage() {
	local signal=0 status=0 child
	trap 'signal=2' INT
	trap 'signal=15' TERM
	trap 'signal=1' HUP
	export LAB_PROTECTION LAB_USER
	# shellcheck disable=SC2153 # LAB_FILE is lab.sh's
	{
		_sign_in
		exec "${LAB_PDEATH[@]}" "${LAB_CAGE[@]}" env LAB_INSIDE=yes bash "$LAB_FILE" "$@"
	} <&0 &
	child=$!
	while :; do
		wait "$child"
		status=$?
		((signal == 0)) || _end_cage "$child"
		kill -0 "$child" 2>/dev/null || break # still there: a signal ended the wait, not the child
	done
	((signal == 0)) || status=$((128 + signal))
	_ended "$child"
	_close_dir
	exit "$status"
}

# unshare itself waits and ignores TERM, so the signal goes to its only child. Three seconds, then by force.
_end_cage() {
	local unshare=$1 inside tries
	for ((tries = 0; tries < 60; tries++)); do
		inside=$(<"/proc/$unshare/task/$unshare/children") # one number and a blank
		kill -TERM "${inside%% *}"
		sleep 0.05
		kill -0 "$unshare" || return
	done 2>/dev/null
	kill -KILL "$unshare" 2>/dev/null
}

# _spawn LINE FILE: starts one shell line in the background, with the parent-death signal and a process group (= its pid) of
# its own, its output and errors in FILE. $! is the pid. WHY not `_spawn LINE >FILE`: a signal that comes meanwhile is
# handled inside of it, and what _interrupted says would be in FILE.
_spawn() {
	: >"$2" # who looks before the line has begun finds a file
	{
		_sign_in
		far_let_go
		exec "${LAB_PDEATH[@]}" setsid bash -o pipefail -c "$1"
	} </dev/null >>"$2" 2>&1 &
}
