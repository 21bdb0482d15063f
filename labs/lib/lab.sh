# shellcheck shell=bash
# lab.sh - the lab kit: a lab sources this file and is then a short story of five beats.
#
#	predict    the learner says what will happen, before anything runs; the answer is stored
#	run        every command is shown, then executed
#	observe    the script takes one number (or two) out of what was measured
#	explain    a few lines, and where to read on
#	verdict    the claim, judged by what was measured; the learner's answer beside it
#
# A lab is labs/NN-name/lab.sh. Comment lines at its top are read by this file and by `tcplab lab`:
#
#	# tier: any|ns|em        what it needs: nothing; network namespaces of its own; the link emulator as well
#	# summary: one sentence
#	# hosts: ttcp ...        only if it can run between two real hosts (--hosts): the tools that are copied there
#
# Its exit status is 0 CONFIRMED, 1 NOT CONFIRMED, 77 SKIPPED; 2 wrong usage; 130 after SIGINT, 143 after SIGTERM.
# It asserts ratios, orderings and identities, never an absolute time: the same claim has to hold on a laptop, in a
# busy virtual machine and in ten years.
#
# The words of the story, in the order in which a lab needs them:
#
#	lab_start "$@"                   options, containment, tier, evidence; afterwards we are in a scratch directory
#	need PROGRAM... / have PROGRAM   skips the lab without them / says whether it is there
#	beat NAME [TITLE]                a heading
#	predict KEY QUESTION [CHOICE...] without choices the answer is a number
#	say LINE...
#	pin_to_one                       sets $PIN, which in front of a command keeps it on one processor
#	run LINE                         a shell line that has to succeed; standard output and error are shown
#	try LINE                         the same, but may fail: its status is in $STATUS
#	measure NAME LINE                run "LINE --json > NAME.json", for the tools of this toolkit
#	serve NAME LINE                  starts a server, waits until it listens: $PORT
#	stop NAME / join NAME            ends it / waits for it to end
#	testbed [OPTION...]              two hosts a and b with an emulated link between them, by linkem; $TESTBED says whether
#	on a LINE / on b LINE            in any shell line: on that host. measure up 'on a ttcp -t b -p 5001'
#	link SPEC...                     in any shell line: changes the link. run 'link rtt=20ms loss=1%'
#	$ON_A, $ON_B, $B, $HOSTS         for a lab that runs on one host, in the testbed and between real hosts: see testbed.sh
#	field FILE KEY [RECORD [TEXT...]] a member of the last record of that kind in FILE (default: total); with TEXTs of the
#	                                 last that contains them all: field sweep.json rate_Bps cell '"depth":16,'
#	calc EXPR [FORMAT]               arithmetic by awk: calc "$a / $b" %.2f
#	holds EXPR                       the same as a condition
#	median NUMBER...
#	draw NAME TITLE X Y [OPTION...]  a curve from the numbers on standard input, by plot: shown, and kept as NAME.svg
#	figure NAME VALUE [UNIT]         keeps a number: record, evidence, and a member of the total
#	claim TEXT EXPR                  a part of what the lab claims; EXPR is for awk
#	measured KEY TEXT                what to show beside the prediction KEY
#	skip WHY                         ends the lab as SKIPPED
#	verdict                          CONFIRMED when every claim held; ends the lab
#
# Five chapters lie beside this file: contain.sh (nothing is left behind, even after kill -9), record.sh (the
# transcript, the JSON records, the evidence bundle, the recording), present.sh (the same story on a stage), testbed.sh
# (hosts, links and curves) and hosts.sh (real hosts).

shopt -s lastpipe # in "... | draw ..." it is the lab itself that draws, and that may end
export LAB_LOCALE=${LAB_LOCALE-${LC_ALL:-${LC_CTYPE:-${LANG:-}}}} # what the learner's terminal can show
export LC_ALL=C # a decimal point is a point
LAB_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_INSIDE=${LAB_INSIDE:-}         # set: this is process 1 of the cage
LAB_USER=${LAB_USER:-$(id -un 2>/dev/null || id -u) ($(id -u))} # in a user namespace everybody is root
LAB_FORMAT=text                    # text, tap or json
LAB_BATCH=''
LAB_OVER=''                        # set once the end has been announced
LAB_NAME='' LAB_TIER='' LAB_SUMMARY='' LAB_FILE=''
STATUS=0 PORT='' PIN=''

declare -A LAB_SERVER=()           # name -> pid
declare -A LAB_ANSWER=() LAB_MEASURED=()
LAB_QUESTIONS=()                   # their keys, in order
LAB_FIGURES=''                     # ,"name":value for each
LAB_FAILED=()                      # the claims that did not hold

# shellcheck source-path=SCRIPTDIR source=json.sh
source "$LAB_LIB/json.sh"
# shellcheck source-path=SCRIPTDIR source=record.sh
source "$LAB_LIB/record.sh"
# shellcheck source-path=SCRIPTDIR source=present.sh
source "$LAB_LIB/present.sh"
# shellcheck source-path=SCRIPTDIR source=contain.sh
source "$LAB_LIB/contain.sh"
# shellcheck source-path=SCRIPTDIR source=hosts.sh
source "$LAB_LIB/hosts.sh"
# shellcheck source-path=SCRIPTDIR source=testbed.sh
source "$LAB_LIB/testbed.sh"

# --- the beginning ---

lab_start() {
	[[ -e /proc/self/fd/0 ]] || exec </dev/null
	LAB_FILE=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
	LAB_NAME=$(basename "$(dirname "$LAB_FILE")")
	LAB_TIER=$(sed -n 's/^# tier: *//p;T;q' "$LAB_FILE")
	LAB_SUMMARY=$(sed -n 's/^# summary: *//p;T;q' "$LAB_FILE")
	_options "$@"
	_find_tools
	if [[ -z $LAB_INSIDE ]]; then
		_open_dir
		_choose_cage
		[[ ${#LAB_CAGE[@]} -eq 0 ]] || _enter_cage "$@"
	fi
	_begin
}

_options() {
	while [[ $# -gt 0 ]]; do
		case $1 in
		--batch) LAB_BATCH=yes ;;
		--tap) LAB_FORMAT=tap LAB_PREFIX='# ' ;;
		--json) LAB_FORMAT=json LAB_HUMAN=2 ;;
		--hosts)
			_choose_hosts "${2:-}"
			shift
			;;
		--hosts=*) _choose_hosts "${1#*=}" ;;
		--evidence | --svg)
			[[ -n ${2:-} ]] || _misuse "$1 needs a directory"
			_directory "$1" "$2"
			shift
			;;
		--evidence=?* | --svg=?*) _directory "${1%%=*}" "${1#*=}" ;;
		--present) LAB_PRESENT=yes ;;
		--record)
			_choose_recording "${2:-}"
			shift
			;;
		--record=*) _choose_recording "${1#*=}" ;;
		-h | --help) _usage && exit 0 ;;
		*) _misuse "unknown option: $1 (--help lists them)" ;;
		esac
		shift
	done
	[[ -z $LAB_PRESENT ]] || _can_present
}

# Made if it is missing, and named so that it is found from anywhere: a lab changes its directory.
_directory() {
	mkdir -p -- "$2" 2>/dev/null
	[[ -d $2 && -w $2 ]] || _misuse "$1 $2: cannot write there"
	case $1 in
	--evidence) LAB_EVIDENCE=$(cd -- "$2" && pwd) ;;
	--svg) LAB_SVG=$(cd -- "$2" && pwd) ;;
	esac
}

_misuse() {
	echo "$LAB_NAME: $1" >&2
	exit 2
}

_usage() {
	cat <<-END
		usage: lab.sh [--batch | --present] [--tap | --json] [--evidence DIR] [--svg DIR] [--record FILE] [--hosts A,B]

		$LAB_NAME: $LAB_SUMMARY

		  --batch         ask nothing
		  --tap           report as a test: TAP on standard output
		  --json          records on standard output, one object a line; the text goes to standard error
		  --evidence DIR  leave everything that was measured, asked and shown in DIR, to hand in
		  --svg DIR       leave the curves in DIR, as pictures for a browser
		  --present       for a stage: a screen for each beat, big and wide, that waits for Enter
		  --record FILE   record what is shown: FILE.cast, for asciinema play, and FILE.txt
		  --hosts A,B     run between two real hosts, as ssh knows them
		  --help          this text

		The handout is README.md beside this script. Exit status: 0 confirmed, 1 not confirmed, 77 skipped.
	END
}

# The tools come from the front door (TCPLAB_BIN) or from this tree.
_find_tools() {
	TCPLAB_BIN=${TCPLAB_BIN:-$LAB_LIB/../../build/${MODE:-release}/bin}
	TCPLAB_BIN=$(realpath -m -- "$TCPLAB_BIN")
	export TCPLAB_BIN PATH=$TCPLAB_BIN:$PATH:/usr/sbin:/sbin
}

# From here on the lab owns a directory, and every end of it passes through _end.
_begin() {
	trap _end EXIT
	trap '_interrupted 130 SIGINT' INT
	trap '_interrupted 143 SIGTERM' TERM
	trap '_interrupted 129 SIGHUP' HUP
	trap '_interrupted 141 SIGPIPE' PIPE
	_open_evidence
	_open_recording
	[[ -z $LAB_PRESENT ]] || _open_stage
	mkdir -p "$LAB_DIR/work" && cd "$LAB_DIR/work" || exit 1
	_record_start
	say "$LAB_NAME: $LAB_SUMMARY"
	_need_tier
	[[ -z $HOSTS ]] || _open_hosts
}

# The tiers. What `ns` needs beyond a cage is tried, not guessed; what `em` needs linkem tries (testbed.sh).
_need_tier() {
	local why
	case $LAB_TIER in
	ns)
		[[ -z $LAB_NO_CAGE ]] || skip "tier ns: $LAB_NO_CAGE"
		have ip || skip "tier ns: there is no ip program (Debian: iproute2) to bring up a network"
		why=$(ip link set lo up 2>&1) || skip "tier ns: loopback does not come up in a network namespace: $why"
		;;
	em) [[ -n $HOSTS ]] || need linkem ;;
	esac
}

have() {
	command -v "$1" >/dev/null
}

need() {
	local program
	for program in "$@"; do
		have "$program" && continue
		[[ -d $TCPLAB_BIN ]] || skip "$program is not installed, and there is no $TCPLAB_BIN: run make"
		skip "$program is not installed, nor is it in $TCPLAB_BIN"
	done
}

# --- predict ---

beat() {
	[[ -z $LAB_PRESENT ]] || _stage_beat "$1" "${2:-}"
	say '' "--- $1${2:+: $2}"
}

# Asks at a terminal only; Enter alone is "no answer". With choices the answer is the letter and the choice.
predict() {
	local key=$1 question=$2 answer='' i
	shift 2
	local choices=("$@")
	LAB_QUESTIONS+=("$key")
	say "$question"
	for ((i = 0; i < ${#choices[@]}; i++)); do
		say "  $(_letter "$i")  ${choices[i]}"
	done
	if [[ -z $LAB_BATCH && -t 0 ]]; then
		_ask answer "${choices[@]}"
	else
		say '(not asked)'
	fi
	LAB_ANSWER[$key]=$answer
	local json=null list=''
	[[ -z $answer ]] || json=$(json_string "$answer")
	for ((i = 0; i < ${#choices[@]}; i++)); do
		list+=,$(json_string "${choices[i]}")
	done
	json+=",\"choices\":[${list:1}]"
	_record prediction "\"name\":\"$key\",\"question\":$(json_string "$question"),\"answer\":$json"
}

_letter() {
	local letters=abcdefgh
	printf '%s' "${letters:$1:1}"
}

# _ask VARIABLE [CHOICE...]
_ask() {
	local -n _answer=$1
	shift
	local typed i prompt='Your number (Enter: no answer): '
	[[ $# -eq 0 ]] || prompt='Your letter (Enter: no answer): '
	while :; do
		[[ -z $LAB_PRESENT ]] || _stage_question "$prompt"
		[[ -n $LAB_PRESENT ]] || printf '%s%s' "$LAB_PREFIX" "$prompt" >&"$LAB_HUMAN"
		[[ -n $LAB_PRESENT ]] || _cast "$prompt"
		if ! IFS= read -r typed 2>/dev/null; then
			typed=''
			[[ -z $LAB_PRESENT ]] || _interrupted 129 'the end of the terminal'
		fi
		_cast "$typed"$'\r\n'
		_transcribe "$prompt$typed"
		typed=${typed//[[:space:]]/}
		[[ -z $LAB_PRESENT ]] || _stage_answered "$typed"
		[[ -n $typed ]] || return 0
		if [[ $# -eq 0 && $typed =~ ^[0-9]*\.?[0-9]+$ ]]; then
			_answer=$typed
			return
		fi
		for ((i = 0; i < $#; i++)); do
			[[ ${typed,,} == "$(_letter "$i")" ]] || continue
			_answer="$(_letter "$i"): ${*:i+1:1}"
			return
		done
	done
}

# --- run ---

run() {
	try "$1"
	((STATUS == 0)) || _finish 'NOT CONFIRMED' "a command failed with status $STATUS: $1"
}

# In the background, and waited for: only so can a signal end the lab in mid-command.
try() {
	local pid began elapsed_ns
	say "\$ $1"
	_stage_command
	began=${EPOCHREALTIME/./}
	_spawn "$1" "$LAB_DIR/output"
	pid=$!
	wait "$pid" 2>/dev/null
	STATUS=$?
	elapsed_ns=$(((${EPOCHREALTIME/./} - began) * 1000))
	_ended "$pid"
	_show <"$LAB_DIR/output"
	_record command "\"line\":$(json_string "$1"),\"status\":$STATUS,\"elapsed_ns\":$elapsed_ns"
}

# On one processor work adds up, and no wake-up from sleep blurs a time. $PIN stays empty where there is no taskset.
# shellcheck disable=SC2034 # PIN is for the labs
pin_to_one() {
	if [[ -n $HOSTS ]]; then
		say 'left out: one processor for all, because each host has its own'
	elif have taskset; then
		PIN="taskset -c $(sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\).*/\1/p' /proc/self/status) "
	else
		say 'left out: one processor for all, because there is no taskset (Debian: util-linux)'
	fi
}

measure() {
	run "$2 --json > $1.json"
}

# Servers take port 0 and announce what they got: no port is ever guessed, none can be taken.
serve() {
	local name=$1 line=$2 pid tries patience=''
	say "\$ $line &"
	_stage_command
	# WHY: bash becomes a plain command, but of a function it is the parent. So that `join` waits for the function's program,
	# which got the same signal, and has its status, the parent must outlive it.
	[[ $line != 'on '* ]] || patience="trap 'exit \$?' TERM; "
	_spawn "$patience$line" "$name.log"
	pid=$!
	LAB_SERVER[$name]=$pid
	for ((tries = 0; tries < 500; tries++)); do
		PORT=$(sed -n 's/.*listening on .*:\([0-9]*\).*/\1/p' "$name.log" | sed -n 1p)
		[[ -z $PORT ]] || break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.02
	done
	_show <"$name.log"
	[[ -n $PORT ]] || _finish 'NOT CONFIRMED' "no 'listening on' line from: $line"
}

stop() {
	kill -TERM -- "-${LAB_SERVER[$1]}" 2>/dev/null
	join "$1"
}

join() {
	wait "${LAB_SERVER[$1]}" 2>/dev/null
	STATUS=$?
	_ended "${LAB_SERVER[$1]}"
	unset "LAB_SERVER[$1]"
}

# --- observe ---

# What is not known, or not a number, comes out as null, and no condition on it holds: awk would take the word for 0.
calc() {
	local value=null
	[[ $1 == *null* ]] || value=$(awk "BEGIN { printf \"${2:-%.6g}\", $1 }" </dev/null 2>/dev/null)
	[[ -n $value && $value != *[in][na][fn]* ]] || value=null
	printf '%s' "$value"
}

holds() {
	[[ $1 != *null* ]] && awk "BEGIN { exit !($1) }" </dev/null 2>/dev/null
}

median() {
	local value
	for value; do
		[[ $(json_number "$value") != null ]] || { echo null && return; }
	done
	printf '%s\n' "$@" | sort -g | awk '
		{ value[NR] = $1 }
		END { m = int((NR + 1) / 2); print NR % 2 ? value[m] : (value[m] + value[m + 1]) / 2 }'
}

figure() {
	local value
	value=$(json_number "$2")
	LAB_FIGURES+=",\"$1\":$value"
	_record figure "\"name\":\"$1\",\"value\":$value,\"unit\":$(json_string "${3:-1}")"
}

# --- verdict ---

# A value that is missing makes EXPR a syntax error for awk: such a claim does not hold.
claim() {
	local json=false
	if holds "$2"; then
		json=true
		say "  holds: $1"
	else
		say "  FAILS: $1 ($2)"
		LAB_FAILED+=("$1 ($2)")
	fi
	_record claim "\"claim\":$(json_string "$1"),\"holds\":$json"
}

measured() {
	LAB_MEASURED[$1]=$2
	_record measured "\"name\":\"$1\",\"text\":$(json_string "$2")"
}

verdict() {
	local key
	say ''
	for key in "${LAB_QUESTIONS[@]}"; do
		say "  you predicted   ${LAB_ANSWER[$key]:-(nothing)}" "  measured        ${LAB_MEASURED[$key]:-(nothing)}"
	done
	[[ ${#LAB_FAILED[@]} -gt 0 ]] || _finish CONFIRMED ''
	local why
	why=$(printf '; %s' "${LAB_FAILED[@]}")
	_finish 'NOT CONFIRMED' "${why:2}"
}

skip() {
	_finish SKIPPED "$1"
}

# _finish VERDICT WHY: the last line, the last record, the exit status.
_finish() {
	local verdict=$1 why=${2//$'\n'/ } json_why=null
	LAB_OVER=yes
	[[ -z $why ]] || json_why=$(json_string "$why")
	say "$LAB_NAME: $verdict${why:+: $why}"
	_record total "\"lab\":\"$LAB_NAME\",\"verdict\":\"$verdict\",\"why\":$json_why$LAB_FIGURES,\"prediction\":$(_answers)"
	case $verdict in
	CONFIRMED) _tap "ok 1 - $LAB_NAME" && exit 0 ;;
	SKIPPED) _tap "ok 1 - $LAB_NAME # SKIP $why" && exit 77 ;;
	*) _tap "not ok 1 - $LAB_NAME" && exit 1 ;;
	esac
}

_tap() {
	[[ $LAB_FORMAT != tap ]] || printf '1..1\n%s\n' "$1"
}

# The answers as one JSON string, "key=answer; key=answer"; null when there is none.
_answers() {
	local key text=''
	for key in "${LAB_QUESTIONS[@]}"; do
		[[ -z ${LAB_ANSWER[$key]:-} ]] || text+="; $key=${LAB_ANSWER[$key]}"
	done
	if [[ -n $text ]]; then
		json_string "${text:2}"
	else
		printf 'null'
	fi
}

# --- the end ---

_interrupted() {
	trap '' INT TERM HUP PIPE
	LAB_OVER=yes
	_close_stage
	say '' "$LAB_NAME: interrupted" 2>/dev/null
	local where="\"op\":\"lab\",\"object\":\"$LAB_NAME\""
	_record error "$where,\"errno\":\"EINTR\",\"message\":\"interrupted by $2\"" 2>/dev/null
	[[ $LAB_FORMAT != tap ]] || echo "Bail out! $LAB_NAME: interrupted" 2>/dev/null
	exit "$1"
}

# The EXIT trap. In the cage the namespace ends with us; otherwise the watcher ends what LAB_DIR/live lists.
_end() {
	local status=$?
	trap '' INT TERM HUP PIPE
	_close_stage
	[[ -n $LAB_OVER ]] || (_finish 'NOT CONFIRMED' "the script ended before its verdict, status $status") || status=1
	_end_testbed
	far_close
	_keep_results
	_close_recording
	cd /
	[[ -n $LAB_INSIDE ]] || _close_dir
	exit "$status"
}
