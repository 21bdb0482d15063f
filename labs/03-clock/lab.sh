#!/usr/bin/env bash
# 03-clock - four stamps tell how far away the other clock is. Half of what is different about the two ways is in it.
#
# tier: em
# summary: The offset of another clock: right to a fraction, or wrong by half of what the ways differ by.
# alone: bounds come from round trips of some microseconds
# hosts: roundtrip

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib/lab.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/lab.sh"

# Delay there and back, ms; the sum is always 40.
paths=(5/35 10/30 20/20 30/10 35/5)
skew=250  # ms
drift=50  # ppm

main() {
	lab_start "$@"
	need roundtrip

	beat predict
	say 'A client asks a server what time it is there, and notes four stamps: question sent t1 (its own clock), received' \
		"t2 and answered t3 (the server's clock), answer received t4. offset = ((t2 - t1) + (t3 - t4)) / 2 is the server's" \
		'clock minus its own.'
	[[ -n $HOSTS ]] || predict_emulated
	say "A server's clock gains $drift ppm: it is $drift us more wrong after each second. Single offsets scatter by 50 us."
	predict drifts 'For how many seconds does one have to ask before that is seen?'

	beat run
	if testbed --rtt 40ms; then
		over_the_link
	else
		between_hosts
	fi

	beat observe
	[[ -z $TESTBED ]] || observe_paths
	[[ -z $HOSTS ]] || observe_hosts
	observe_drift

	beat explain
	explain

	beat verdict
	[[ -z $TESTBED ]] || judge_paths
	[[ -z $HOSTS ]] || judge_hosts
	verdict
}

predict_emulated() {
	say 'Both ends run on this machine, so the truth is known: one clock, offset 0.'
	predict same 'The way takes 20 ms there and 20 ms back. By how many ms is the offset wrong?'
	predict apart 'It takes 30 ms there and 10 ms back: the round trip is 40 ms as before. By how many ms is it wrong now?'
	predict shows 'And what in the measurement tells that?' 'the RTT' 'the jitter' 'the loss' 'nothing'
	predict skewed "Now the server's clock is $skew ms fast, 30 ms there, 10 back. The offset?"
}

# --- run ---

over_the_link() {
	local path
	serve honest 'on b roundtrip -s -4'
	for path in "${paths[@]}"; do
		ask "$path" 3123
	done
	serve skewed "on b roundtrip -s -4 -p 3124 --skew ${skew}ms"
	ask 30/10 3124 skewed-
	ask 10/30 3124 skewed-
	run 'link delay=1ms'
	serve drifting "on b roundtrip -s -4 -p 3125 --skew ${skew}ms --drift $drift"
	measure drift 'on a roundtrip -4 b -p 3125 -i 5ms --time 4.5 --steer'
}

# Real ones, whose clocks nobody knows: what --skew and --drift add is known all the same.
between_hosts() {
	serve honest "${ON_B}roundtrip -s -p 0"
	measure honest "${ON_A}roundtrip $B -p $PORT -i 10ms --time 4.5"
	stop honest
	serve wrong "${ON_B}roundtrip -s -p 0 --skew ${skew}ms --drift $drift"
	measure drift "${ON_A}roundtrip $B -p $PORT -i 10ms --time 4.5 --steer"
	stop wrong
}

# ask THERE/BACK PORT [PREFIX]: fifty questions over such a path.
ask() {
	run "link a2b delay=${1%/*}ms b2a delay=${1#*/}ms"
	measure "${3:-}${1/\//-}" "on a roundtrip -4 b -p $2 -n 50 -i 10ms"
}

# --- observe ---

declare -A offset=() bound=() rtt=() least=() jitter=() # ms, by path: "30-10", "skewed-30-10"
declare -A at=()                               # s, when the offset was measured

observe_paths() {
	local path name
	say "$(printf '%-24s %11s %8s %8s %11s   %s' there/back 'RTT p50, ms' p99 jitter 'offset, ms' 'the truth is within')"
	for path in "${paths[@]}"; do
		look "${path/\//-}" "$path"
	done
	look skewed-30-10 "30/10, server $skew fast"
	look skewed-10-30 "10/30, server $skew fast"
	curve
	measured same "${offset[20-20]} ms"
	measured apart "${offset[30-10]} ms; and ${offset[10-30]} ms with 10 there and 30 back"
	measured shows "nothing: RTT ${rtt[20-20]} ms before, ${rtt[30-10]} ms now"
	measured skewed "${offset[skewed-30-10]} ms"
}

# look NAME TITLE
look() {
	offset[$1]=$(ms "$1" offset_ns)
	bound[$1]=$(ms "$1" offset_bound_ns)
	rtt[$1]=$(ms "$1" rtt_p50_ns)
	least[$1]=$(ms "$1" rtt_min_ns)
	jitter[$1]=$(ms "$1" rtt_jitter_ns)
	figure "offset_$1_ms" "${offset[$1]}" ms
	figure "bound_$1_ms" "${bound[$1]}" ms
	figure "rtt_$1_ms" "${rtt[$1]}" ms
	say "$(printf '%-24s %11s %8s %8s %11s   %s' "$2" "${rtt[$1]}" "$(ms "$1" rtt_p99_ns)" "${jitter[$1]}" "${offset[$1]}" \
		"$(calc "${offset[$1]} - ${bound[$1]}" %.2f) to $(calc "${offset[$1]} + ${bound[$1]}" %.2f)")"
}

ms() {
	calc "$(field "$1.json" "$2") / 1e6" %.2f
}

curve() {
	local path name
	{
		echo 'difference, offset, lowest, highest, truth'
		for path in "${paths[@]}"; do
			name=${path/\//-}
			echo "$((${path%/*} - ${path#*/})), ${offset[$name]}, $(calc "${offset[$name]} - ${bound[$name]}")," \
				"$(calc "${offset[$name]} + ${bound[$name]}"), 0"
		done
	} | draw offset 'Offset and its bound, RTT always 40 ms' 'there minus back, ms' 'ms' --dashed truth
}

# An offset beyond 128 ms is set at once, and what is left is slewed away.
observe_drift() {
	drift_ppm=$(field drift.json drift_ppm)
	drift_bound=$(field drift.json drift_bound_ppm)
	figure drift_ppm "$drift_ppm" ppm
	figure drift_bound_ppm "$drift_bound" ppm
	say '' "The server that gains $drift ppm: $(calc "$drift_ppm" %.1f) +- $(calc "$drift_bound" %.1f) ppm were found." \
		'What an NTP client would do:'
	awk -F '[:,]' '/"record":"steer"/ {
		for (i = 1; i < NF; i++) { gsub(/"/, "", $i); value[$i] = $(i + 1) }
		gsub(/"/, "", value["action"])
		printf "  after %d s: %s the clock by %.3f ms, frequency %+.1f ppm\n", value["at_ns"] / 1e9 + 0.5, value["action"],
			value["correction_ns"] / 1e6, value["frequency_ppm"]
	}' drift.json | mapfile -t lines
	say "${lines[@]}"
	local seconds
	seconds=$(calc "$(field drift.json elapsed_ns) / 1e9" %.1f)
	measured drifts "in $seconds s: $(calc "$drift_ppm" %.1f) +- $(calc "$drift_bound" %.1f) ppm"
}

observe_hosts() {
	local name
	for name in honest drift; do
		offset[$name]=$(calc "$(field $name.json offset_ns) / 1e6" %.3f)
		bound[$name]=$(calc "$(field $name.json offset_bound_ns) / 1e6" %.3f)
		at[$name]=$(calc "$(field $name.json offset_at_ns) / 1e9" %.3f)
		figure "offset_${name}_ms" "${offset[$name]}" ms
		figure "bound_${name}_ms" "${bound[$name]}" ms
	done
	honest_ppm=$(field honest.json drift_ppm)
	honest_bound=$(field honest.json drift_bound_ppm)
	say "Host b's clock is ${offset[honest]} +- ${bound[honest]} ms away from host a's, and runs away from it by" \
		"$(calc "$honest_ppm" %.1f) +- $(calc "$honest_bound" %.1f) ppm. Nobody here knows the truth; it is within that." \
		"With $skew ms and $drift ppm added to it: ${offset[drift]} +- ${bound[drift]} ms."
}

# --- explain ---

explain() {
	say 'Two equations, three unknowns:  t2 - t1 = way there + offset,  t4 - t3 = way back - offset.  Half of their' \
		'difference is the offset plus half of what the ways differ by. Who supposes that they are equal makes just that' \
		'mistake, and sees no sign of it: the RTT is the sum of both, and the same.' \
		'The bound always holds: no way takes less than nothing, so the truth is within +- RTT / 2. A short RTT is worth more' \
		'than a thousand samples; their mean repeats the mistake a thousand times. Only another path, or a clock from elsewhere' \
		'(GPS), shows it.' \
		'The drift needs less: however different the ways are, as long as they stay so the mistake is a constant, and a' \
		'difference of offsets is without it.' \
		'' \
		'In the source: sample_of() in tools/roundtrip/measure.c, clockfit_of() in tools/roundtrip/clockfit.c. Read on:' \
		'RFC 5905 8 (the four stamps), 10 (the clock filter), 11.3 (the discipline); adjtimex(2).'
}

# --- verdict ---

judge_paths() {
	local path name half
	claim 'equal ways: the offset is right within 1 ms' "$(abs "${offset[20-20]}") < 1"
	for path in "${paths[@]}"; do
		name=${path/\//-}
		half=$(calc "(${path%/*} - ${path#*/}) / 2")
		claim "$path ms: wrong by half the difference, $half ms, within 1 ms" "$(abs "${offset[$name]} - $half") < 1"
		claim '  the round trip is as long as over equal ways, within 5 %' \
			"${least[$name]} < 1.05 * ${least[20-20]} && ${least[$name]} > 0.95 * ${least[20-20]}"
		claim '  and the bound contains the truth' "$(abs "${offset[$name]}") <= ${bound[$name]}"
	done
	claim "server $skew ms fast: $((skew + 10)) and $((skew - 10)) ms, within 1 ms" \
		"$(abs "${offset[skewed-30-10]} - $skew - 10") < 1 && $(abs "${offset[skewed-10-30]} - $skew + 10") < 1"
	claim "server gains $drift ppm: found, within the bound that is given" "$(abs "$drift_ppm - $drift") <= $drift_bound"
	local set_by
	set_by=$(field drift.json correction_ns steer '"action":"step"')
	claim 'an NTP client would set its clock once, by what the server is fast, and then no more' \
		"$(grep -c '"action":"step"' drift.json) == 1 && $(abs "$set_by / 1e6 - $skew") < 2"
}

judge_hosts() {
	local added
	added=$(calc "$skew + $drift * ${at[drift]} / 1000")
	# What the clocks themselves run apart between the two measurements: 1 ms in 10 s is 100 ppm.
	claim "what was added to the clock, $skew ms and the drift since, is found within the bounds and 1 ms" \
		"$(abs "${offset[drift]} - ${offset[honest]} - $added") <= ${bound[drift]} + ${bound[honest]} + 1"
	claim "and the $drift ppm within theirs" "$(abs "$drift_ppm - $honest_ppm - $drift") <= $drift_bound + $honest_bound"
}

abs() {
	printf 'sqrt((%s)^2)' "$1"
}

main "$@"
