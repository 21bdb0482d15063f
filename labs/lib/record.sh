# shellcheck shell=bash
# record.sh - what a lab shows and what it keeps. Sourced by lab.sh.
#
# Everything that is shown goes through _show, so that the transcript cannot miss a line. Everything that is measured
# goes through _record, one JSON object a line, schema tcplab.lab/1:
#
#	start        lab, summary, tier, kernel, cpus, cpu, protection, hosts (null: none were given)
#	host         name (a or b), host, address, system, cpus - with --hosts
#	prediction   name, question, answer (null: none was given), choices (none: the answer is a number)
#	command      line, status, elapsed_ns
#	figure       name, value, unit
#	measured     name, text: what is shown beside the prediction of that name
#	claim        claim, holds
#	total        lab, verdict, why, each figure under its own name, prediction - always the last one
#	error        op, object, errno, message - instead of total, when a signal ended the lab
#
# The evidence bundle, the directory given with --evidence:
#
#	environment.txt    kernel, processors, load, versions, which protection against left-overs was in use, and with
#	                   --hosts which hosts
#	sysctls.txt        what was set in /proc/sys/net
#	predictions.json   the prediction records, written before anything ran
#	transcript.txt     what was shown
#	lab.json           all records
#	verdict.json       the last one alone
#	results/           what the tools reported: their --json output, and the logs of servers; each curve as a picture
#	                   (NAME.svg) and as its numbers (NAME.dat)
#
# `tcplab lab report` makes a page of one such bundle, or of a whole class's (scripts/lab-report). The recording, --record
# FILE, is what the evidence is not: when each line was shown, and how.
#
#	FILE.cast          asciicast v2: a header, then [seconds, "o", text] for each piece of text, as asciinema(1) plays it
#	FILE.txt           the transcript

LAB_EVIDENCE=''                  # the bundle; without --evidence it is made all the same, and thrown away
LAB_TRANSCRIPT=/dev/null         # where these two lie, once there is a bundle
LAB_RECORDS=/dev/null
LAB_HUMAN=1                      # the descriptor for people; with --json that is 2
LAB_PREFIX=''                    # with --tap: "# "
LAB_RECORDING=''                 # --record: FILE, without .cast and .txt
LAB_CAST_BEGAN=0 LAB_CAST_us=0   # when the recording began, and when the last piece of it was, counted from then

# --- showing ---

# Shows standard input.
_show() {
	local line lines
	if [[ -n $LAB_PRESENT ]]; then
		mapfile -t lines
		[[ ${#lines[@]} -gt 0 ]] || return 0
		_transcribe "${lines[@]}"
		_stage "${lines[@]}"
		return
	fi
	while IFS= read -r line || [[ -n $line ]]; do
		printf '%s%s\n' "${line:+$LAB_PREFIX}" "$line" >&"$LAB_HUMAN"
		_cast "$line"$'\r\n'
		_transcribe "$line"
	done
}

# _transcribe LINE...
_transcribe() {
	printf '%s\n' "$@" >>"$LAB_TRANSCRIPT"
	[[ -z $LAB_RECORDING ]] || printf '%s\n' "$@" >>"$LAB_RECORDING.txt" || LAB_RECORDING_FAILED=yes
}

# say [TEXT...]: each argument is a line.
say() {
	printf '%s\n' "$@" | _show
}

# --- records ---

# _record KIND MEMBERS: MEMBERS is JSON, "key":value,...
_record() {
	local line="{\"schema\":\"tcplab.lab/1\",\"record\":\"$1\",$2}"
	printf '%s\n' "$line" >>"$LAB_RECORDS"
	[[ $LAB_FORMAT != json ]] || printf '%s\n' "$line"
	case $1 in
	prediction) printf '%s\n' "$line" >>"$LAB_EVIDENCE/predictions.json" ;;
	total | error) [[ ! -d $LAB_EVIDENCE ]] || printf '%s\n' "$line" >"$LAB_EVIDENCE/verdict.json" ;;
	esac
}

_record_start() {
	local members
	members="\"lab\":$(json_string "$LAB_NAME"),\"summary\":$(json_string "$LAB_SUMMARY"),\"tier\":\"$LAB_TIER\""
	members+=",\"kernel\":$(json_string "$(uname -r)"),\"cpus\":$(nproc),\"cpu\":$(json_string "$(_cpu_model)")"
	members+=",\"protection\":$(json_string "$LAB_PROTECTION"),\"hosts\":"
	[[ -n $HOSTS ]] || members+=null
	[[ -z $HOSTS ]] || members+="[$(json_string "${LAB_HOST[a]}"),$(json_string "${LAB_HOST[b]}")]"
	_record start "$members"
}

# --- the recording ---

# _choose_recording FILE: with a path from the root, because the lab changes its directory.
_choose_recording() {
	local file=${1%.cast}
	file=${file%.txt}
	[[ -n ${file##*/} ]] || _misuse '--record needs a file'
	{ [[ ! -d $file ]] && : >>"$file.cast"; } 2>/dev/null || _misuse "--record $1: cannot write there"
	LAB_RECORDING=$(cd -- "$(dirname -- "$file")" && pwd)/${file##*/}
}

LAB_RECORDING_FAILED=''

_open_recording() {
	[[ -n $LAB_RECORDING ]] || return 0
	local rows='' columns=''
	[[ ! -t 1 ]] || { read -r rows columns < <(stty size <&3 2>/dev/null); } 3<&1
	LAB_CAST_BEGAN=${EPOCHREALTIME/./}
	{
		printf '{"version":2,"width":%d,"height":%d,"timestamp":%d,"idle_time_limit":3,"title":%s,"env":{"TERM":%s}}\n' \
			"${columns:-120}" "${rows:-40}" "${EPOCHREALTIME%.*}" "$(json_string "tcplab lab $LAB_NAME")" \
			"$(json_string "${TERM:-dumb}")" >"$LAB_RECORDING.cast" && : >"$LAB_RECORDING.txt"
	} 2>/dev/null || LAB_RECORDING_FAILED=yes
}

# _cast TEXT: a piece of the recording. Its times never go back, not even when somebody sets the clock.
_cast() {
	[[ -n $LAB_RECORDING ]] || return 0
	local now_us=$((${EPOCHREALTIME/./} - LAB_CAST_BEGAN))
	((now_us < LAB_CAST_us)) || LAB_CAST_us=$now_us
	printf '[%d.%06d,"o",%s]\n' $((LAB_CAST_us / 1000000)) $((LAB_CAST_us % 1000000)) "$(json_terminal "$1")" \
		>>"$LAB_RECORDING.cast" || LAB_RECORDING_FAILED=yes
}

# Half a recording must not pass for a whole one.
_close_recording() {
	[[ -z $LAB_RECORDING_FAILED ]] || echo "$LAB_NAME: --record: the recording $LAB_RECORDING is not complete" >&2
}

# --- the evidence bundle ---

_open_evidence() {
	LAB_EVIDENCE=${LAB_EVIDENCE:-$LAB_DIR/evidence}
	mkdir -p "$LAB_EVIDENCE/results"
	LAB_TRANSCRIPT=$LAB_EVIDENCE/transcript.txt
	LAB_RECORDS=$LAB_EVIDENCE/lab.json
	# What an earlier run left here would pass for this one's.
	rm -f -- "$LAB_EVIDENCE"/{verdict,predictions}.json "$LAB_EVIDENCE"/results/*.{json,log,svg,dat}
	: >"$LAB_TRANSCRIPT"
	: >"$LAB_RECORDS"
	: >"$LAB_EVIDENCE/predictions.json"
	_environment >"$LAB_EVIDENCE/environment.txt" 2>/dev/null
	_sysctls >"$LAB_EVIDENCE/sysctls.txt"
}

# At the end, whatever the end is.
_keep_results() {
	local file
	for file in "$LAB_DIR"/work/*.{json,log,svg,dat}; do
		[[ ! -s $file ]] || cp -- "$file" "$LAB_EVIDENCE/results/"
	done
}

_cpu_model() {
	sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | sed -n 1p
}

_environment() {
	echo "lab:          $LAB_NAME"
	echo "date:         $(date -u +%Y-%m-%dT%H:%M:%SZ)"
	echo "user:         $LAB_USER"
	echo "protection:   $LAB_PROTECTION"
	echo "kernel:       $(uname -srvm)"
	echo "system:       $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)"
	echo "processors:   $(nproc), $(_cpu_model)"
	echo "memory:       $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
	echo "load average: $(cat /proc/loadavg)"
	echo "clock source: $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
	echo "lo mtu:       $(cat /sys/class/net/lo/mtu)"
	echo "tools:        ${TCPLAB_BIN:-none}"
	echo "ttcp:         $(ttcp --version | sed -n 1p)"
	echo "bash:         $BASH_VERSION"
	echo "libc:         $(getconf GNU_LIBC_VERSION || echo unknown)"
	echo "util-linux:   $(unshare --version)"
	echo "coreutils:    $(dd --version | sed -n 1p)"
	echo "nc:           $(nc -h 2>&1 | sed -n 1p)"
	echo "ss:           $(ss -V)"
}

# What labs depend on. A name that this kernel or this namespace does not have is left out.
_sysctls() {
	local name
	cd /proc/sys/net || return
	for name in core/{{r,w}mem_{default,max},somaxconn,netdev_max_backlog,default_qdisc,busy_{poll,read}} \
		ipv4/{ip_local_port_range,ip_local_reserved_ports} \
		ipv4/tcp_{congestion_control,available_congestion_control,allowed_congestion_control} \
		ipv4/tcp_{rmem,wmem,mem,moderate_rcvbuf,adv_win_scale,notsent_lowat,limit_output_bytes,autocorking} \
		ipv4/tcp_{window_scaling,timestamps,sack,ecn,slow_start_after_idle,no_metrics_save,mtu_probing,base_mss} \
		ipv4/tcp_{syn_retries,synack_retries,syn_linear_timeouts,syncookies,max_syn_backlog,abort_on_overflow} \
		ipv4/tcp_{retries1,retries2,orphan_retries,keepalive_time,keepalive_intvl,keepalive_probes} \
		ipv4/tcp_{fin_timeout,tw_reuse,max_tw_buckets,fastopen} ipv6/bindv6only; do
		[[ ! -r $name ]] || printf 'net.%s = %s\n' "${name//\//.}" "$(tr '\t' ' ' <"$name")"
	done
}
