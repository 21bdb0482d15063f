#!/usr/bin/env bats
# scripts/test counts what it ran; scripts/test and scripts/quickstart install what is missing, or say how.
#
# Both run in a copy whose Makefile builds nothing, with a PATH in which a program can be missing and where apt-get and
# sudo are stand-ins that write down how they were called.

load helpers

setup() {
	open_folder
	tree=$OPEN_FOLDER/tree
	bin=$OPEN_FOLDER/bin
	calls=$OPEN_FOLDER/calls
	mkdir -p "$tree/tests/unit" "$bin"
	cp -R "$TCPLAB_ROOT/scripts" "$tree/"
	printf 'all unit static lint:\n\t@true\n' >"$tree/Makefile"

	ln -s /usr/bin/* "$bin/"
	stand_in apt-get 100
	stand_in sudo 1
	: >"$calls"
	chmod 666 "$calls"
	unset MODE CC TCPLAB_BIN
}

# stand_in NAME STATUS
stand_in() {
	rm -f "$bin/$1"
	printf '#!/bin/sh\necho "%s $*" >>%s\nexit %d\n' "$1" "$calls" "$2" >"$bin/$1"
	chmod 755 "$bin/$1"
}

# For the tests about counting: nothing is missing, whatever --all asks for.
assume_installed() {
	printf 'packages_want() { :; }\npackages_install() { :; }\n' >"$tree/scripts/packages.sh"
}

# bats takes a line that begins with @test for a test of this file: hence printf.
one_of_each() {
	printf '@test "%s" { %s; }\n' good true absent 'skip "needs a peer"' bad 'echo the story; false'
}

# The rest of the list belongs to the machine: everything else that is missing here may stand there too.
says_to_install() {
	[[ $output == *"apt-get update && apt-get install -y --no-install-recommends"*" $1"* ]]
}

@test "test: counts, shows a failure in full, and lists by name what was skipped" {
	assume_installed
	one_of_each >"$tree/tests/x.bats"
	run -1 "$tree/scripts/test"
	[ "${lines[-1]}" = "1 passed, 1 failed" ]
	[[ $output == *"# the story"* ]]
	[[ $output == *$'Skipped (1):\n  tests/x.bats: absent (needs a peer)\n'* ]]
}

@test "test --all: a skipped test is a failure" {
	assume_installed
	one_of_each | grep -v bad >"$tree/tests/x.bats"
	touch "$tree/tests/unit/x_test.c"
	local build
	for build in release release-clang release-musl-gcc asan tsan; do
		mkdir -p "$tree/build/$build/unit"
		cp /bin/true "$tree/build/$build/unit/x_test"
	done
	run -0 "$tree/scripts/test"
	[ "${lines[-1]}" = "2 passed, 0 failed" ]
	run -1 "$tree/scripts/test" --all
	[ "${lines[-1]}" = "12 passed, 1 failed" ] # 5 builds and a static one, 4 times x_test (it has no thread), lint, the good one
	[[ $output == *"absent (needs a peer)"* ]]
}

@test "test --all: builds are made beside the bats files, and the unit tests of one that fails do not run" {
	assume_installed
	# Whichever of the two begins waits for the other one.
	# shellcheck disable=SC2016 # for make and its shell
	printf 'all unit static lint:\n\t@[ "$(MODE)" != tsan ]\n\t@[ "$(MODE)" != asan ] || { touch build; %s; }\n' \
		'for i in $$(seq 1500); do [ ! -e test ] || exit 0; sleep 0.02; done; echo alone; exit 1' >"$tree/Makefile"
	meet test build 1500
	touch "$tree/tests/unit/x_test.c"
	local build
	for build in release release-clang release-musl-gcc asan tsan; do
		mkdir -p "$tree/build/$build/unit"
		cp /bin/true "$tree/build/$build/unit/x_test"
	done
	run -1 "$tree/scripts/test" --all
	[ "${lines[-1]}" = "11 passed, 1 failed" ] # as above, without tsan and the skipped one
	[[ $output == *'ok unit x (asan, gcc)'* ]]
	[[ $output == *$'\nnot ok build tsan:gcc\n'* ]]
	[[ $output != *'unit x (tsan, gcc)'* ]]
}

@test "test: a build that fails, a bats file that does not parse, and no test at all are failures" {
	assume_installed
	run -1 "$tree/scripts/test"
	[ "${lines[-1]}" = "0 passed, 0 failed" ]

	printf '@test "x" {\n\tif\n}\n' >"$tree/tests/x.bats"
	run -1 "$tree/scripts/test"
	[ "${lines[-1]}" = "0 passed, 1 failed" ]

	printf 'all unit:\n\t@echo the compiler says no; false\n' >"$tree/Makefile"
	run -1 "$tree/scripts/test"
	[[ $output == *"the compiler says no"* ]]
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
}

@test "test: runs only the files that are given, from any directory, with stdin closed" {
	assume_installed
	printf '@test "good" { true; }\n' | tee "$tree/tests/x.bats" >"$tree/tests/y.bats"
	cd /
	run -0 "$tree/scripts/test" tests/x.bats <&-
	[ "${lines[-1]}" = "1 passed, 0 failed" ]
	run -2 "$tree/scripts/test" --no-such-option
}

# meet ME OTHER TRIES: a file that is good when the other one runs at the same time.
meet() {
	printf '@test "%s" { touch %s; for ((i = 0; i < %d; i++)); do [ ! -e %s ] || return 0; sleep 0.02; done; echo alone; false; }\n' \
		"$1 meets $2" "$tree/$1" "$3" "$tree/$2" >"$tree/tests/$1.bats"
}

@test "test --jobs: so many files at a time, and the output of each stays together" {
	assume_installed
	meet x y 1500
	meet y x 1500
	run -0 "$tree/scripts/test" --jobs 2
	[ "${lines[-1]}" = "2 passed, 0 failed" ]
	local number
	for ((number = 0; number < ${#lines[@]}; number++)); do
		[[ ${lines[number]} == tests/*.bats ]] || continue
		[ "${lines[number + 1]}" = 1..1 ]
		[[ ${lines[number + 2]} == "ok 1 "* ]]
	done

	rm "$tree"/[xy]
	meet x y 50
	run -1 "$tree/scripts/test" --jobs 1 tests/x.bats tests/y.bats
	[ "${lines[-1]}" = "1 passed, 1 failed" ] # who comes second finds what the first has left
	[[ $output == *"# alone"*"tests/y.bats"* ]]
	for number in '' 0 x -1 1000; do
		run -2 "$tree/scripts/test" --jobs "$number"
	done
	run -2 "$tree/scripts/test" --jobs
}

# fails TIMES NAME...: files that fail so many times, and note each of their runs.
fails() {
	local name
	for name in "${@:2}"; do
		# shellcheck disable=SC2016 # for the test in the test
		printf '@test "%s" { echo run >>%s; [ $(wc -l <%s) -gt %d ]; }\n' "$name" "$tree/$name" "$tree/$name" "$1" >"$tree/tests/$name.bats"
	done
}

@test "test: a file that fails beside others is tried again, alone and once; that counts, and both are said" {
	assume_installed
	fails 1 unsteady
	fails 9 bad
	printf '@test "good" { true; }\n' >"$tree/tests/good.bats"
	run -1 "$tree/scripts/test" --jobs 2
	[ "${lines[-1]}" = "2 passed, 1 failed" ]
	[[ $output == *$'tried again alone (2):\n  tests/'*$'\n  tests/'* ]]
	[[ $output == *'  tests/unsteady.bats: unsteady in '*$'Failed (1):\n  tests/bad.bats: bad in '* ]]
	[ "$(wc -l <"$tree/unsteady")" -eq 2 ]
	[ "$(wc -l <"$tree/bad")" -eq 2 ]

	rm "$tree/tests/bad.bats" "$tree/unsteady"
	run -0 "$tree/scripts/test" --jobs 2
	[ "${lines[-1]}" = "2 passed, 0 failed" ]
}

@test "test: who failed alone, or with more than three files, is not tried again" {
	assume_installed
	fails 1 a
	run -1 "$tree/scripts/test" --jobs 2 # nothing beside it
	[ "${lines[-1]}" = "0 passed, 1 failed" ]

	fails 9 a b c d
	rm "$tree/a"
	run -1 "$tree/scripts/test" --jobs 2
	[ "${lines[-1]}" = "0 passed, 4 failed" ]
	[[ $output == *'tried again alone (3):'* ]]
	cat "$tree"/[abcd] >"$tree/runs"
	[ "$(wc -l <"$tree/runs")" -eq 7 ]
}

# a_lab NAME TIER [HEADER]: what scripts/test looks at in a lab.
a_lab() {
	mkdir -p "$tree/labs/$1"
	printf '#!/bin/bash\n# tier: %s\n%s\n' "$2" "${3:-}" >"$tree/labs/$1/lab.sh"
}

# Each lab notes who is under way while it runs, and waits until that are $tree/enough, or were: the labs up to 09 for five looks, the
# others for half a minute.
count_labs() {
	mkdir -p "$tree/tests/labs" "$tree/now"
	# shellcheck disable=SC2016 # for the test in the test
	printf '@test "counts" {\ncd %s; touch now/$LAB; for i in %s; do %s; sleep 0.02; done; sleep 0.1; rm now/$LAB\n}\n' "$tree" \
		'$(seq $([[ $LAB = 0* ]] && echo 5 || echo 1500))' \
		'ls now >seen-$LAB; [ $(wc -l <seen-$LAB) -lt $(<enough) ] || { touch met; break; }; [[ ! -e met || $LAB = 0* ]] || break' \
		>"$tree/tests/labs/lab.bats"
}

@test "test: every lab is a run of lab.bats, two at a time, and one that measures time is beside no other" {
	assume_installed
	count_labs
	local name
	for name in 80-a 81-b 82-c; do
		a_lab $name em
	done
	a_lab 83-d any
	a_lab 05-slow em '# alone: it measures time'
	a_lab 06-slow em '# alone: it measures time'
	# shellcheck disable=SC2016 # for the test in the test
	printf '@test "ordinary" { [ $LAB = 83-d ]; }\n' >"$tree/tests/labs/ordinary.bats"
	printf '@test "good" { true; }\n' >"$tree/tests/x.bats"
	echo 2 >"$tree/enough"
	run -0 "$tree/scripts/test" --jobs 4
	[ "${lines[-1]}" = "8 passed, 0 failed" ]
	[ "$(<"$tree/seen-05-slow")" = 05-slow ]
	[ "$(<"$tree/seen-06-slow")" = 06-slow ]
	for name in 80-a 81-b 82-c 83-d; do
		wc -l <"$tree/seen-$name"
	done | sort | uniq -c >"$tree/numbers"
	[ "$(tail -n 1 "$tree/numbers" | awk '{ print $2 }')" -eq 2 ] # never three, and not one after the other
	[[ $output == *$'\nlab 05-slow\n1..1\nok 1 counts in '* ]]

	# By name, and no lab that is not asked for; with a lab's own failure under its own name.
	echo 1 >"$tree/enough"
	run -0 "$tree/scripts/test" labs/83-d labs/81-b/lab.sh
	[ "${lines[-1]}" = "3 passed, 0 failed" ]
	# shellcheck disable=SC2016 # for the test in the test
	printf '@test "counts" { [ $LAB != 82-c ]; }\n' >"$tree/tests/labs/lab.bats"
	run -1 "$tree/scripts/test" labs
	[ "${lines[-1]}" = "6 passed, 1 failed" ]
	[[ $output == *$'Failed (1):\n  lab 82-c: counts in '* ]]
}

@test "test: SIGINT is 130, SIGTERM 143, and what the tests have started is gone" {
	assume_installed
	# shellcheck disable=SC2016 # for the test in the test
	printf '@test "hangs" { echo $BASHPID >%s; sleep 60; }\n' "$tree/hangs" >"$tree/tests/x.bats"
	local signal status
	for signal in INT TERM; do
		status=0
		rm -f "$tree/hangs"
		env --default-signal=INT "$tree/scripts/test" >"$tree/out" 2>&1 3>&- &
		wait_until test -s "$tree/hangs"
		kill "-$signal" $!
		wait $! || status=$?
		[ "$status" -eq $((128 + $(kill -l "$signal"))) ]
		wait_until has_ended "$(<"$tree/hangs")"
	done
}

@test "test: a test has a time limit" {
	assume_installed
	# shellcheck disable=SC2016 # for the test in the test
	printf '@test "hangs" { sleep 60; }\n' >"$tree/tests/x.bats"
	BATS_TEST_TIMEOUT=1 run -1 "$tree/scripts/test"
	[ "${lines[-1]}" = "0 passed, 1 failed" ]
}

@test "without rights: the exact command, status 1, and apt is not called" {
	rm "$bin/make"
	local script
	for script in test quickstart; do
		PATH=$bin run -1 as_nobody "$tree/scripts/$script"
		says_to_install make
		[ "$(grep -vc '^sudo -n true$' "$calls")" -eq 0 ]
	done
	rm "$bin/sudo"
	PATH=$bin run -1 as_nobody "$tree/scripts/test"
	says_to_install make
}

@test "as root: apt-get installs, lists are fetched when that fails, and its failure is said" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	rm "$bin/make"
	PATH=$bin run -1 "$tree/scripts/quickstart"
	says_to_install make
	[ "$(cut -d ' ' -f 1,2 "$calls")" = $'apt-get install\napt-get update' ]

	stand_in apt-get 0 # now it "installs", and the build is what cannot go on
	PATH=$bin run -1 "$tree/scripts/test"
	grep -q '^apt-get install .* make$' "$calls"
}

@test "when nothing is missing apt is never called" {
	printf '@test "good" { true; }\n' >"$tree/tests/x.bats"
	PATH=$bin run -0 "$tree/scripts/test"
	[ "${lines[-1]}" = "1 passed, 0 failed" ]
	[ ! -s "$calls" ]
}
