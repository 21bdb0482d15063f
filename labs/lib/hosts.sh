# shellcheck shell=bash
# hosts.sh - programs on other hosts, by ssh. Sourced by lab.sh and by scripts/measure.
#
#	far_init                          once, before the others; with FAR_ASKS=yes ssh may ask for a password
#	far_open KEY HOST                 connects and makes a folder there; KEY is a short word of ours for it
#	far_upload KEY TOOL...            copies static tools into that folder
#	far_run KEY CMD...                runs a program there: standard input, output, error and exit status are its own. Only in
#	                                  a subshell, because it catches SIGTERM
#	far_about KEY WHAT                host, os, arch, folder, or peer: our address, as that host sees us
#	far_address HOST                  the address that an ssh name stands for
#	far_close                         ends all that runs there, removes the folders, closes the connections
#	far_let_go                        for each process in the background that is not far_run
#
# Those that can fail leave the reason, one line, in $FAR_WHY. A HOST is what ssh takes: a name, user@name, an alias of
# ssh_config(5); `localhost` is this one, without ssh. $TCPLAB_SSH is the ssh to use, with options: "ssh -F FILE -J gate".
#
#	here                                               on the other host
#
#	whoever sourced this
#	  |  a pipe
#	  +--------> _far_hub ---- a line now and then -->  far.sh keep: made the folder; at end of file, or after a silence,
#	  |            starts the ssh that logs in          kills all that is listed in it, and removes it
#	  |
#	  +- far_run: another session of that ssh ------->  far.sh run: lists itself in the folder, runs the program
#
# However it ends here, kill -9 included, the kernel closes the pipe, the hub then its end of each connection, and each far end
# cleans up after itself. One login serves all sessions (ControlMaster in ssh_config(5)).
#
# LIMIT: the login shell there must understand what sh(1) does; csh does not. Its sshd must allow a few sessions on one
# connection (MaxSessions in sshd_config(5), 10 if not set).

FAR_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FAR_DIR=''      # private: the connections, and what is known of each host, by its key
FAR_CONTROL=''  # our end of the hub's pipe
FAR_HUB=''
FAR_WHY=''
FAR_STOP=''     # set by a trap: far_open waits no longer
FAR_ASKS=''     # set to yes before far_init: at the terminal ssh may ask for a password
_FAR_LINE='^tcplab-far: .* /.*tcplab-far\.[A-Za-z0-9]\{6\}$' # how far.sh begins, and the whole of it
FAR_SILENCE_S=${TCPLAB_HOSTS_SILENCE:-30} # after so long the far end takes the connection for dead

# --- for those who source this ----------------------------------------------------------------------------------------

# ssh gets it as an argument, and the hub as a word.
far_valid() {
	[[ ! $1 =~ ^[A-Za-z0-9_.:][A-Za-z0-9_.:@%/-]*$ || $1 == *@-* ]] || return 0
	FAR_WHY="'$1' is not the name of a host"
	return 1
}

# ssh adds 17 letters to the name of a socket, and all may have 107 (unix(7)).
far_init() {
	export FAR_DIR=${TMPDIR:-/tmp}/tcplab-hosts.$BASHPID$RANDOM
	FAR_WHY="TMPDIR is too long to make a socket in it: ${TMPDIR:-}"
	((${#FAR_DIR} < 80)) || return
	FAR_WHY="cannot make the folder $FAR_DIR"
	exec {FAR_CONTROL}> >(_far_hub)
	FAR_HUB=$!
	until [[ -e $FAR_DIR/ready ]]; do
		kill -0 "$FAR_HUB" 2>/dev/null || return
		sleep 0.02
	done
}

far_open() {
	local key=$1 host=$2 dir=$FAR_DIR/$1
	far_valid "$host" || return
	mkdir "$dir" && echo "$host" >"$dir/host" && echo "open $key" >&"$FAR_CONTROL"
	until grep -qas "$_FAR_LINE" "$dir/said" || [[ -n $FAR_STOP ]]; do
		[[ ! -e $dir/pid ]] || ! _far_is_over "$(<"$dir/pid")" || break
		sleep 0.02
	done
	local os arch peer folder
	read -r _ os arch peer folder < <(grep -as "$_FAR_LINE" "$dir/said")
	if [[ -z $folder ]]; then
		FAR_WHY=$(_far_login_complaint "$dir/errors")
	elif [[ $os != Linux || $arch != $(uname -m) ]]; then
		FAR_WHY="it runs $os on $arch; the programs that would be copied there are for Linux on $(uname -m)"
	else
		printf '%s\n' "$os" >"$dir/os"
		printf '%s\n' "$arch" >"$dir/arch"
		printf '%s\n' "$peer" >"$dir/peer"
		printf '%s\n' "$folder" >"$dir/folder"
		return
	fi
	echo "close $key" >&"$FAR_CONTROL"
	return 1
}

# WHY not kill -0: what is dead is still there until the hub has time for it (proc_pid_stat(5)).
_far_is_over() {
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	[[ $stat == *') Z '* ]]
}

# WHY cat: neither scp nor tar has to be there.
far_upload() {
	local key=$1 tool file to
	to=$(far_about "$key" folder)/bin
	shift
	for tool in far.sh "$@"; do
		file=$FAR_LIB/far.sh
		if [[ $tool != far.sh ]]; then
			far_static "$tool" || return
			file=$FAR_STATIC
		fi
		FAR_WHY="cannot copy $tool to $to"
		_far_tried "$key" _far_copy "$key" "$to/$tool" <"$file" || return
		[[ $tool != far.sh ]] || continue
		FAR_WHY="what was copied to $to/$tool does not run"
		_far_tried "$key" _far_runs "$key" "$tool" || return
	done
}

_far_runs() {
	(far_run "$1" "$2" --version </dev/null)
}

_far_copy() {
	local name
	name=$(_far_quote "$2")
	(_far_session "$1" "cat >$name && chmod 700$name")
}

# Leaves the file to copy in $FAR_STATIC. Installed they lie beside the tools, in the source tree in build/static; a tool that is
# static anyway is as good.
far_static() {
	for FAR_STATIC in "$TCPLAB_BIN/static/$1" "$TCPLAB_BIN/../../static/$1"; do
		[[ ! -x $FAR_STATIC ]] || return 0
	done
	FAR_STATIC=$TCPLAB_BIN/$1
	[[ ! -x $FAR_STATIC || ! $(ldd "$FAR_STATIC" 2>&1) =~ 'not a dynamic'|'statically' ]] || return 0
	FAR_WHY="there is no static $1 to copy to a host: run 'make static'"
	command -v musl-gcc >/dev/null || FAR_WHY="$FAR_WHY, which needs musl-gcc (apt-get install musl-tools)"
	return 1
}

# SIGTERM is for the program; what it then returns is returned here.
far_run() {
	local key=$1 id=$BASHPID.$RANDOM child='' asked=''
	shift
	far_let_go
	trap _far_pass_on TERM
	_far_session "$key" "$(_far_line "$key" run "$id" "$@")" <&0 &
	child=$!
	[[ -z $asked ]] || _far_pass_on
	while wait "$child"; kill -0 "$child" 2>/dev/null; do :; done # a signal ends a wait
	wait "$child"
}

far_about() {
	cat "$FAR_DIR/$1/$2"
}

far_address() {
	local ssh address
	read -ra ssh <<<"${TCPLAB_SSH:-ssh}"
	address=$("${ssh[@]}" -G -- "$1" 2>/dev/null | sed -n 's/^hostname //p')
	echo "${address:-${1##*@}}"
}

far_close() {
	[[ -n $FAR_CONTROL ]] || return 0
	far_let_go
	wait "$FAR_HUB" 2>/dev/null
	FAR_CONTROL=''
}

far_let_go() {
	[[ -z $FAR_CONTROL ]] || exec {FAR_CONTROL}>&-
}

# --- sessions ---------------------------------------------------------------------------------------------------------

# _far_session KEY LINE: becomes a session with a line for the shell there. WHY setsid: a signal to our process group is not for
# the ssh, which would end and leave the far program behind.
_far_session() {
	far_let_go
	if [[ $(far_about "$1" host) == localhost ]]; then
		exec setsid sh -c "$2"
	fi
	local ssh
	_far_ssh "$1"
	# WHY ProxyCommand: without a connection to share, it would make another one and log in again.
	exec setsid "${ssh[@]}" -o ControlMaster=no -o ProxyCommand='echo the connection is gone >&2; exit 1' -- \
		"$(far_about "$1" host)" "$2"
}

# Fills the caller's array $ssh: what all sessions have in common. What ssh_config(5) says for daily use has no place here.
_far_ssh() {
	read -ra ssh <<<"${TCPLAB_SSH:-ssh}"
	ssh+=(-T -a -x -S "$FAR_DIR/$1/socket" -o RemoteCommand=none -o ClearAllForwardings=yes -o PermitLocalCommand=no)
	[[ -n $FAR_ASKS ]] || ssh+=(-o BatchMode=yes)
}

# _far_line KEY ROLE ID WORD...: for _far_session.
_far_line() {
	local folder
	folder=$(far_about "$1" folder)
	echo "exec sh$(_far_quote "$folder/bin/far.sh" "$2" "$3" "$folder" "${@:4}")"
}

_far_quote() {
	local word
	for word; do
		printf " '%s'" "${word//\'/\'\\\'\'}"
	done
}

# The TERM of far_run, whose variables it uses. It may come before there is a session, and before that has begun.
_far_pass_on() {
	local line tries
	asked=yes
	line=$(_far_line "$key" signal "$id" TERM)
	for ((tries = 0; tries < 100; tries++)); do
		[[ -n $child ]] && kill -0 "$child" 2>/dev/null || return
		! (_far_session "$key" "$line") </dev/null >/dev/null 2>&1 || return 0
		sleep 0.1
	done
}

# _far_tried KEY CMD...: adds to $FAR_WHY what CMD complained about.
_far_tried() {
	local errors=$FAR_DIR/$1/errors
	! "${@:2}" >"$errors" 2>&1 || return 0
	FAR_WHY+=": $(_far_complaint "$errors" 'for no reason that it would say')"
	return 1
}

# What ssh says last is the reason, but for a farewell; what it says first may be a warning.
_far_login_complaint() {
	local text
	text=$(tr -d '\r' <"$1" 2>/dev/null | grep -av '^Disconnected from' | grep -a . | tail -n 1)
	echo "${text:-the connection ended without a word}"
}

# _far_complaint FILE OTHERWISE: its first line. ssh ends its lines like a terminal.
_far_complaint() {
	local text
	text=$(tr -d '\r' <"$1" 2>/dev/null | grep -am 1 .)
	echo "${text:-$2}"
}

# --- the hub ----------------------------------------------------------------------------------------------------------

# Reads "open KEY" and "close KEY". SIGINT is for who sourced this, and not for the connections: these end in order.
_far_hub() {
	trap '' INT TERM HUP PIPE
	trap - EXIT
	far_let_go
	local word key status beat
	declare -A beats=() # our ends of the connections, by key
	mkdir -m 700 -- "$FAR_DIR" 2>/dev/null && : >"$FAR_DIR/ready" || exit 1
	while :; do
		read -r -t $((FAR_SILENCE_S / 3 + 1)) word key
		status=$?
		((status == 0 || status > 128)) || break # end of file, and no timeout
		((status != 0)) || "_far_hub_$word" "$key"
		for beat in "${beats[@]}"; do
			echo here >&"$beat"
		done 2>/dev/null
	done
	for key in "${!beats[@]}"; do
		_far_hub_close "$key"
	done
	_far_hub_end
}

_far_hub_open() {
	local beat dir=$FAR_DIR/$1
	exec {beat}> >(_far_hub_login "$1" >"$dir/said" 2>"$dir/errors")
	beats[$1]=$beat
	echo $! >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid" # who finds it finds a number in it
}

# Becomes the ssh that logs in, and runs far.sh there, which it takes along in its command line.
_far_hub_login() {
	local ssh beat line host
	for beat in "${beats[@]}"; do
		exec {beat}>&-
	done
	line="exec sh -c$(_far_quote "$(grep -v '^#' "$FAR_LIB/far.sh")" far keep "$FAR_SILENCE_S")"
	host=$(far_about "$1" host)
	[[ $host != localhost ]] || exec setsid sh -c "$line"
	_far_ssh "$1"
	exec "${ssh[@]}" -o ControlMaster=yes -o ControlPersist=no -o ConnectTimeout=10 -o ServerAliveInterval=10 -- "$host" "$line"
}

_far_hub_close() {
	local beat=${beats[$1]}
	exec {beat}>&-
	unset "beats[$1]"
}

# Three seconds for the far ends to do their work, then by force: what is still asking for a password, for instance.
_far_hub_end() {
	local tries pid pids
	mapfile -t pids < <(cat "$FAR_DIR"/*/pid 2>/dev/null)
	for ((tries = 0; tries < 150; tries++)); do
		kill -0 "${pids[@]}" 2>/dev/null || break
		sleep 0.02
	done
	for pid in "${pids[@]}"; do
		kill -KILL "$pid" 2>/dev/null
	done
	rm -rf -- "$FAR_DIR"
}
