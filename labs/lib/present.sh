# shellcheck shell=bash
# present.sh - a lab on a stage: tcplab lab NAME --present. Sourced by lab.sh.
#
# The story is the same, and so are transcript, records and evidence. What differs is how it is shown: each beat begins on
# a screen of its own and waits until the speaker goes on, nothing scrolls by unseen, lines are as wide as the terminal
# (at the size of letters that the back row needs, that is not much), and commands, figures and verdicts stand out. The
# layout is stage.awk's work.
#
#	Enter, space, Page Down, right      on: so that a presenter's remote control works, too
#	s                                   before each command it waits, or no longer does
#	q                                   ends the lab, as Ctrl-C does
#
# The terminal is left as it was, whatever the end is. For one key to be enough its mode is changed, and three take it
# back: _end in lab.sh; the watcher, when nobody else is left (kill -9); and, should the shell be quicker than the
# watcher, the shell. To let the watcher see which it is, there are exactly two modes, $STAGE_KEYS and $STAGE_LINES, and
# nothing else here changes it (`read -n 1` would). In both of them Ctrl-Z does nothing: process 1 of a cage cannot be
# stopped, and would fight the shell for the keys. Neither the alternate screen nor a hidden cursor is used, and what was
# on the screen scrolls up rather than being erased: all of the talk, and what was before it, can be scrolled back to.

LAB_PRESENT=''       # --present
STAGE_TERMINAL=''    # the descriptor of the terminal; standard input is often a pipe
STAGE_BEFORE='' STAGE_KEYS='' STAGE_LINES='' # its modes
STAGE_KEY_PID=''     # who waits for a key
STAGE_TYPED=''       # keys that came with another one
STAGE_ROWS=24 STAGE_COLUMNS=80
STAGE_ROW=0          # how many lines of the screen are written
STAGE_BLANK=''       # yes: the last of them is empty
STAGE_BEAT=''        # the beat that it is
STAGE_ANSWERED=''    # yes: a question was answered, what comes next has a screen of its own
STAGE_STEP=''        # yes: each command waits
STAGE_PLAIN=''       # yes: the terminal knows no escape sequences

# Looked at before anything is made.
_can_present() {
	[[ -z $LAB_BATCH ]] || _misuse '--present waits for the speaker, and --batch for nobody: it is one of them'
	[[ $LAB_FORMAT == text ]] || _misuse "--present is for people, and --$LAB_FORMAT for programs: it is one of them"
	[[ -t 0 && -t 1 ]] || _misuse '--present needs a terminal, as standard input and output'
}

# The file for the watcher is there before the first change, and complete before the first key is waited for.
_open_stage() {
	local tty
	exec {STAGE_TERMINAL}<&0
	tty=$(tty)
	STAGE_BEFORE=$(stty -g)
	printf '%s\n' "$tty" "$STAGE_BEFORE" '' >"$LAB_DIR/terminal"
	stty susp undef && STAGE_LINES=$(stty -g)
	stty -icanon -echo min 1 time 0 && STAGE_KEYS=$(stty -g)
	printf '%s\n' "$tty" "$STAGE_BEFORE" "$STAGE_LINES $STAGE_KEYS" >"$LAB_DIR/terminal.new"
	mv "$LAB_DIR/terminal.new" "$LAB_DIR/terminal"
	[[ ${TERM:-dumb} != dumb ]] || STAGE_PLAIN=yes
	_stage_size
	STAGE_ROW=$STAGE_ROWS # whatever is on the screen now
	_stage_title
}

# From here on it is a lab like any other: the last lines must not wait for a speaker who has gone.
_close_stage() {
	[[ -n $LAB_PRESENT ]] || return 0
	LAB_PRESENT=''
	[[ -z $STAGE_KEY_PID ]] || kill -KILL "$STAGE_KEY_PID"
	[[ -z $STAGE_BEFORE ]] || stty "$STAGE_BEFORE" <&"$STAGE_TERMINAL"
	[[ -n $STAGE_PLAIN ]] || printf '\e[0m'
} 2>/dev/null

# --- the screen ---

# _put TEXT
_put() {
	printf '%s' "$1" >&"$LAB_HUMAN"
	_cast "${1//$'\n'/$'\r\n'}"
}

# Asked anew for each screen: the window may have been made larger for those behind.
_stage_size() {
	local rows='' columns=''
	read -r rows columns < <(stty size <&"$STAGE_TERMINAL" 2>/dev/null)
	((rows >= 5)) && STAGE_ROWS=$rows || STAGE_ROWS=24
	((columns >= 20)) && STAGE_COLUMNS=$columns || STAGE_COLUMNS=80
}

# The lines go up and out, the cursor to the top.
_stage_clear() {
	local i up=''
	_stage_size
	for ((i = 0; i < STAGE_ROW; i++)); do
		up+=$'\n'
	done
	STAGE_ROW=0
	[[ -z $STAGE_PLAIN ]] || up=$'\n' STAGE_ROW=1
	[[ -n $STAGE_PLAIN ]] || up=$'\e[999;1H'$up$'\e[H'
	_put "$up"
}

# _stage LINE...: shown as stage.awk lays them out. What fits on a screen is not torn in two.
_stage() {
	local shown line
	mapfile -t shown < <(printf '%s\n' "$@" | _stage_layout text)
	_stage_lines "${shown[@]}"
}

_stage_lines() {
	local line
	if [[ -n $STAGE_ANSWERED ]]; then
		_stage_screen
	elif ((STAGE_ROW + $# > STAGE_ROWS - 2 && $# <= STAGE_ROWS - 4)); then
		_stage_more
	fi
	for line; do
		((STAGE_ROW < STAGE_ROWS - 2)) || _stage_more
		[[ -n $line || -z $STAGE_BLANK ]] || continue
		[[ -n $line ]] && STAGE_BLANK='' || STAGE_BLANK=yes
		_put "$line"$'\n'
		STAGE_ROW=$((STAGE_ROW + 1))
	done
}

# _stage_layout WHAT: standard input, laid out.
_stage_layout() {
	local colour=1 wide=''
	[[ -z $STAGE_PLAIN ]] || colour=''
	[[ -z ${NO_COLOR:-} || -z $colour ]] || colour=bold
	[[ ${LAB_LOCALE,,} != *utf*8* ]] || wide=yes
	awk -v what="$1" -v columns="$STAGE_COLUMNS" -v rows="$STAGE_ROWS" -v colour="$colour" -v utf8="$wide" \
		-v lab="$LAB_NAME" -v beat="$STAGE_BEAT" -f "$LAB_LIB/stage.awk"
}

_stage_title() {
	local shown
	_stage_clear
	mapfile -t shown < <(printf '%s\n' "$LAB_SUMMARY" | _stage_layout title)
	_put "$(printf '%s\n' "${shown[@]}")"$'\n\n'
	STAGE_ROW=$((${#shown[@]} + 1))
	STAGE_BEAT=title
}

# _stage_beat NAME TITLE: a new screen, when the speaker wants it.
_stage_beat() {
	local shown
	STAGE_ANSWERED=''
	_stage_wait "$1"
	STAGE_BEAT=$1
	_stage_screen
	[[ -n $2 ]] || return 0
	mapfile -t shown < <(printf '%s\n' "$2" | _stage_layout heading)
	_stage_lines "${shown[@]}"
}

# A new screen of the same beat.
_stage_screen() {
	STAGE_ANSWERED=''
	_stage_clear
	[[ $STAGE_BEAT != title ]] || return 0
	_put "$(_stage_layout head </dev/null)"$'\n\n'
	STAGE_ROW=$((STAGE_ROW + 2)) STAGE_BLANK=yes
}

_stage_more() {
	_stage_wait more
	_stage_screen
}

_stage_chart_columns() {
	local columns=$((STAGE_COLUMNS - 6))
	((columns >= 40)) || columns=40
	((columns <= 120)) || columns=120
	echo $columns
}

# In front of a command, which is on the screen already.
_stage_command() {
	[[ -z $LAB_PRESENT || -z $STAGE_STEP ]] || _stage_wait 'runs it'
}

# --- the speaker ---

# _stage_wait WHAT: for a key that goes on. WHAT it is for is shown, and then taken away.
_stage_wait() {
	local key prompt="  [Enter]  $1"
	[[ $STAGE_BEAT != title ]] || prompt+='     [s]  step by step     [q]  ends'
	[[ $STAGE_BEAT == title || -z $STAGE_STEP ]] || prompt+='     [s]  no longer step by step'
	prompt=${prompt:0:STAGE_COLUMNS-1}
	[[ -n $STAGE_PLAIN ]] || prompt=$'\e[2m'$prompt$'\e[0m'
	# WHY: and not in a trap for SIGCONT. That comes together with SIGHUP, and bash, which jumps out of `wait` for the one
	# that it sees first, would lose the other.
	stty "$STAGE_KEYS" <&"$STAGE_TERMINAL" 2>/dev/null
	_forget_keys
	_put "$prompt"
	while :; do
		_stage_key key
		case $key in
		$'\n' | $'\r' | ' ' | $'\e[6~' | $'\e[C' | $'\eOC' | $'\e[B' | $'\eOB') break ;;
		s | S) [[ -n $STAGE_STEP ]] && STAGE_STEP='' || STAGE_STEP=yes ;;
		q | Q) _interrupted 130 'the speaker' ;;
		'') _interrupted 129 'the end of the terminal' ;;
		esac
	done
	[[ -n $STAGE_PLAIN ]] || _put $'\r\e[K'
	[[ -z $STAGE_PLAIN ]] || _put $'\n'
}

# What was typed before there was a prompt was not meant for it.
_forget_keys() {
	STAGE_TYPED=''
	while read -rt 0 -u "$STAGE_TERMINAL"; do
		_read_keys || break
	done
}

# _stage_key VARIABLE: the next key, with all that belongs to it; empty: the terminal is gone.
_stage_key() {
	local -n _key=$1
	if [[ -z $STAGE_TYPED ]]; then
		_read_keys
		STAGE_TYPED=$(cat "$LAB_DIR/key" && echo .)
		STAGE_TYPED=${STAGE_TYPED%.}
	fi
	_key=${STAGE_TYPED:0:1}
	[[ ! $STAGE_TYPED =~ ^$'\e'(\[[0-9\;]*[A-Za-z~]|O[A-Z]) ]] || _key=${BASH_REMATCH[0]}
	STAGE_TYPED=${STAGE_TYPED:${#_key}}
}

# In the background, and waited for, so that a signal ends it (_spawn would take it out of the terminal's foreground).
_read_keys() {
	{
		_sign_in
		exec "${LAB_PDEATH[@]}" dd bs=16 count=1 status=none
	} <&"$STAGE_TERMINAL" >"$LAB_DIR/key" 2>/dev/null &
	STAGE_KEY_PID=$!
	wait "$STAGE_KEY_PID" 2>/dev/null
	_ended "$STAGE_KEY_PID"
	STAGE_KEY_PID=''
	[[ -s $LAB_DIR/key ]]
}

# _stage_question PROMPT, and when it is answered: here lines are typed, and seen.
_stage_question() {
	STAGE_ANSWERED=''
	_stage_lines ''
	local prompt=${1/Your/"The room's"}
	((STAGE_COLUMNS > 50)) || prompt=${prompt/ (*)/}
	_forget_keys
	stty "$STAGE_LINES" <&"$STAGE_TERMINAL" 2>/dev/null
	_put "  $prompt"
}

_stage_answered() {
	stty "$STAGE_KEYS" <&"$STAGE_TERMINAL" 2>/dev/null
	STAGE_ROW=$((STAGE_ROW + 1)) STAGE_BLANK=''
	STAGE_ANSWERED=yes
	[[ ${1,,} != q ]] || _interrupted 130 'the speaker'
}
