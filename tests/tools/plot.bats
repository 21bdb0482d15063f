#!/usr/bin/env bats
# plot: what it takes for a number, a name and a gap, what it refuses and in which line, and where the drawing goes. How a chart
# looks is tested in tests/unit/{chart,termchart,svg}_test.c.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load ../helpers

setup() {
	plot=$TCPLAB_BIN/plot
	cd "$BATS_TEST_TMPDIR" || return
	unset LC_ALL LC_CTYPE LANG
}

# read_total LINE...: these lines are read without a complaint; $output has the records.
read_total() {
	printf '%s\n' "$@" >data
	run -0 --separate-stderr "$plot" --json data
	same stderr "$stderr" ''
	[[ ${lines[0]} == *'"record":"start"'* && ${lines[-1]} == *'"record":"total"'* ]]
}

# refused WORD LINE...: these lines are, with one line on stderr that has WORD, and nothing is drawn.
refused() {
	local word=$1
	shift
	printf '%s\n' "$@" >data
	rm -f out.svg
	run -1 --separate-stderr "$plot" --svg out.svg data
	[ -z "$output" ]
	one_line_with "plot: read data, line $#:" "$word"
	[ ! -e out.svg ]
}

@test "columns by blanks and by commas, names, comments, empty lines" {
	read_total '# a comment' '' '1 10 100' $'  2\t20  200 ' '3 30 300'
	same rows "$(ours rows)" 3
	same series "$(ours series)" 2
	same range "$(ours x_min) $(ours x_max) $(ours y_min) $(ours y_max)" '1 3 10 300'
	read_total 'size, depth 1, depth 16' '1024,-1.5,2e3' ' 2048 , 7 , 8 '
	same rows "$(ours rows)" 2
	same range "$(ours x_min) $(ours x_max) $(ours y_min) $(ours y_max)" '1024 2048 -1.5 2000'
	printf '1 2\n3 4\n5 6' >data # without a newline at the end
	run -0 "$plot" --json <data
	same rows "$(ours rows)" 3
}

@test "a gap is '-', 'null' or nothing between commas, and no 0" {
	read_total '1 5 -' '2 null 6'
	same range "$(ours y_min) $(ours y_max)" '5 6'
	read_total '1,5,' '2,,6'
	same range "$(ours y_min) $(ours y_max)" '5 6'
	read_total '1 -' '2 -'
	same range "$(ours y_min) $(ours y_max)" 'null null'
	run -0 "$plot" data
	[[ $output == *'no data'* ]]
}

@test "what is wrong is said with its line, and nothing is drawn" {
	refused "'x' is not a number" '1 2' '3 x'
	refused "'1.5s' is not a number" 'time y' '# the unit is the mistake' '1.5s 2'
	refused 'goes down' '1 2' '3 4' '2 5'
	refused 'columns: 3, and 2 before' '1 2' '3 4 5'
	refused 'columns: 1, and 2 before' 'time y' '3'
	refused 'x is missing' '1 2' '- 3'
	refused 'only one column' '1'
	refused '10 columns' '0 1 2 3 4 5 6 7 8 9'
	refused 'no numbers' 'time y'
	refused 'longer than' "$(printf '1 %5000d' 2)"
	printf '1 2\0\n3 4\n' >data
	run -1 --separate-stderr "$plot" <data
	one_line_with 'plot: read standard input, line 1' 'not text'
}

@test "more rows than it will keep" {
	run -1 --separate-stderr bash -c 'yes "1 2" | "$0"' "$plot"
	one_line_with 'line 1000001' 'more than 1000000 rows'
	seq -f '%.0f 1' 1000000 >data
	run -0 "$plot" --json data
	same rows "$(ours rows)" 1000000
}

@test "the drawing: title, labels, legend, marks" {
	printf 'size,measured,model\n1024,1,1\n65536,5,4\n1048576,10,9\n' >data
	run -0 "$plot" --title 'The title' --y MB/s --log-x --x-size data
	[[ $output == *'The title'*measured*model*MB/s*1K*1M*size* ]]
	[ "$(grep -c '' <<<"$output")" -eq 18 ]
	run -0 "$plot" --series first,second --x bytes --height 12 data
	[[ $output == *first*second*bytes* && $output != *model* ]]
	[ "$(grep -c '' <<<"$output")" -eq 12 ]
	# One series: its name is the label of y.
	printf 'seconds segments\n1 5\n2 6\n' >data
	run -0 "$plot" data
	[ "$(grep -c segments <<<"$output")" -ge 1 ]
}

@test "Braille where the locale says UTF-8, and ASCII with --ascii and everywhere else" {
	printf '1 1\n2 4\n' >data
	LANG=C.UTF-8 run -0 "$plot" data
	grep -qP '[^\x00-\x7f]' <<<"$output"
	LANG=C.UTF-8 run -0 "$plot" --ascii data
	run ! grep -qP '[^\x00-\x7f]' <<<"$output"
	LANG=C.UTF-8 LC_ALL=C run -0 "$plot" data
	run ! grep -qP '[^\x00-\x7f]' <<<"$output"
	run -0 "$plot" data
	run ! grep -qP '[^\x00-\x7f]' <<<"$output"
}

@test "its width is that of the terminal, 80 without one, or what is said" {
	need script
	printf '1 1\n1000 4\n' >data
	local width
	# The last row of the axis is as wide as the plot.
	widest() {
		tr -d '\r' | awk '{ if (length > n) n = length } END { print n + 0 }'
	}
	width=$("$plot" --ascii data | widest)
	[[ $width -gt 70 && $width -le 80 ]]
	width=$("$plot" --ascii --width 50 data | widest)
	[[ $width -gt 40 && $width -le 50 ]]
	width=$(script -qec "stty cols 100; '$plot' --ascii data" /dev/null </dev/null | widest)
	[[ $width -gt 90 && $width -le 100 ]]
}

@test "--svg: the file is written, and --dashed dashes the series of that name" {
	printf 'x,measured,model\n1,1,2\n2,4,3\n' >data
	run -0 "$plot" --svg plain.svg --title 'a < b' data
	[[ $(<plain.svg) == *'<svg'*'a &lt; b'*measured*model*'</svg>' ]]
	run -0 "$plot" --svg dashed.svg --title 'a < b' --dashed model data
	run ! cmp -s plain.svg dashed.svg
	grep -q dash dashed.svg
	run -1 --separate-stderr "$plot" --svg nowhere/out.svg data
	[ -z "$output" ]
	one_line_with 'plot: open nowhere/out.svg' ENOENT
	run -1 --separate-stderr "$plot" --svg /dev/full data
	one_line_with 'plot: write /dev/full' ENOSPC
}

@test "errors in records, wrong usage, a file that is not there, a report that cannot be written" {
	run -1 --separate-stderr "$plot" --json nowhere
	same op "$(ours op error)" open
	same errno "$(ours errno error)" ENOENT
	printf '1 2\n3 x\n' >data
	run -1 --separate-stderr "$plot" --json data
	same object "$(ours object error)" 'data, line 2'
	same errno "$(ours errno error)" EINVAL
	run -1 --separate-stderr "$plot" . # a directory opens, and does not read
	one_line_with EISDIR

	printf 'x y\n1 2\n3 4\n' >data
	local options
	for options in '--width 5' '--height 1000' '--dashed no-such' '--series a,b' '--no-such-option' 'data data'; do
		# shellcheck disable=SC2086 # these are words
		run -2 --separate-stderr "$plot" $options data
		one_line_with 'plot: '
	done
	run -2 --separate-stderr "$plot" --json --dashed no-such data
	[ -z "$output" ]
	run -1 --separate-stderr bash -c '"$0" data >/dev/full' "$plot"
	one_line_with 'cannot write'
}

@test "--heat: two names and numbers, a matrix for each column of numbers" {
	printf '%s\n' 'from, to, Mbit/s, ms' '# a comment' 'pc 1, b, 941, 0.2' 'b, pc 1, 938, -' >data
	run -0 --separate-stderr "$plot" --heat --svg heat.svg --title 'Who to whom' data
	same stderr "$stderr" ''
	[ "$output" = "Who to whom

Mbit/s
         b  pc 1
pc 1   941     -
   b     -   938

ms
         b  pc 1
pc 1   0.2     -
   b     -     -" ]
	[[ $(<heat.svg) == *'<svg'*'Who to whom'*'Mbit/s'*'>941<'*'ms'*'</svg>' ]]
	LC_ALL=C.UTF-8 run -0 "$plot" --heat data
	[[ $output == *'█ 941'* ]]
	LC_ALL=C.UTF-8 run -0 "$plot" --heat --ascii data
	run ! grep -qP '[^\x00-\x7f]' <<<"$output"
	run -0 "$plot" --heat --json data
	same total "$(ours rows) $(ours maps) $(ours left) $(ours above) $(ours y_min) $(ours y_max)" '2 2 2 2 0.2 941'
}

@test "--heat: what is wrong is said with its line" {
	heat_refused() {
		local word=$1
		shift
		printf '%s\n' "$@" >data
		rm -f out.svg
		run -1 --separate-stderr "$plot" --heat --svg out.svg data
		[ -z "$output" ] && [ ! -e out.svg ]
		one_line_with "plot: read data, line $#:" "$word"
	}
	heat_refused 'only two columns' 'from to'
	heat_refused "'x' is not a number" 'from to rate' 'a b 1' 'b a x'
	heat_refused 'columns: 2, and 3 before' 'from to rate' 'a b'
	heat_refused 'row 2 is about a pair that was there before' 'from to rate' 'a b 1' 'a b 2'
	heat_refused 'no numbers' 'from to rate'
	# shellcheck disable=SC2046 # these are lines
	heat_refused "'n65' is one name too many" 'from to rate' $(seq -f 'n%.0f,b,1' 65)
	local options
	for options in '--x a' '--y b' '--series a' '--dashed a' --log-x --log-y --x-size '--width 60'; do
		# shellcheck disable=SC2086 # these are words
		run -2 --separate-stderr "$plot" --heat $options data
		one_line_with 'plot: --heat has no axes'
	done
}
