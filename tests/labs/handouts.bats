#!/usr/bin/env bats
# handouts.bats - scripts/handouts: a transcript that has lost the lab's shape is found, and a new one comes into its place.
#
# In a copy of the tree with one small lab.

# shellcheck disable=SC2016 # what stands in single quotes is for the lab, or Markdown

load ../helpers
load labs

setup() {
	open_tmp
	tree=$BATS_TEST_TMPDIR/tree
	page=$tree/labs/99-small/README.md
	mkdir -p "$tree/scripts" "$tree/labs/99-small"
	cp "$TCPLAB_ROOT/scripts/handouts" "$tree/scripts/"
	cp -R "$LABS/lib" "$tree/labs/"
	small_lab
}

teardown() {
	nothing_in_tmp
}

# small_lab [CHANGE...]: labs/99-small, after these sed commands.
small_lab() {
	cat >"$tree/labs/99-small/lab.sh" <<-'END'
		#!/usr/bin/env bash
		# tier: any
		# summary: A lab for one test.
		source "$(dirname "$0")/../lib/lab.sh"
		lab_start "$@"
		beat predict
		say 'There are 3 of them.'
		predict number 'How many seconds?'
		predict letter 'Which one?' 'the first' 'the second'
		beat run 'three times'
		for i in 1 2 3; do
			run "echo it took $RANDOM us, $i"
		done
		run 'echo [::]:8080 is no cut'
		beat observe
		say 'sort of thing |  number     kind' "many          |  $RANDOM       some" 'few           |  none       some'
		say 'Some words about it  in two columns'
		beat explain
		say 'Because.'
		beat verdict
		measured number 12
		claim "all 3 are there" '1 == 1'
		claim 'and nothing else' '1 == 1'
		verdict
	END
	local change
	for change; do
		sed -i "$change" "$tree/labs/99-small/lab.sh"
	done
	chmod +x "$tree/labs/99-small/lab.sh"
}

# A page around an empty block.
empty_handout() {
	printf '%s\n' '# 99-small' '' '```' 'not this one' '```' '' '## Observe' '' 'On a machine:' '' '```' '```' '' \
		'More:' '' '```' 'nor this' '```' '' '## Explain' '' 'End & \n of it.' >"$page"
}

# A good handout, made by the script.
first_handout() {
	empty_handout
	"$tree/scripts/handouts" --answers '50 b' 99-small
}

# A new run of the lab, in batch.
run_lab() {
	"$tree/labs/99-small/lab.sh" --batch --evidence "$TMPDIR/bundle" >/dev/null
}

# check [STATUS [CHANGE]]: of that run, after these sed commands.
check() {
	sed "${2:-}" "$TMPDIR/bundle/transcript.txt" >changed
	run -"${1:-0}" "$tree/scripts/handouts" --check 99-small changed
}

@test "a new handout: the lab is run at a terminal, with the answers, and the rest of the page stays" {
	need script
	first_handout
	grep -q '^Your number (Enter: no answer): 50$' "$page"
	grep -q '^Your letter (Enter: no answer): b$' "$page"
	grep -q '^  you predicted   b: the second$' "$page"
	grep -q '^99-small: CONFIRMED$' "$page"
	run ! grep -q 'Because' "$page"
	grep -A 1 '^--- explain' "$page" | grep -qF '[...]'
	# All but the block is as it was.
	sed '12,/^```$/ { /^```$/!d }' "$page" >rest
	empty_handout
	diff "$page" rest
}

@test "what differs from run to run does not matter: numbers, rows, answers" {
	need script
	first_handout
	run_lab
	check
	[ -z "$output" ]
	check 0 's/few  /fewer/; s/some$/any/; s/^it took.*/it took longer/; s/measured .*/measured 13/; s/Because/So/; s/took [0-9]*/took 7.5/; s/:8080/:A0F3/'
	[ -z "$output" ]
}

@test "what makes the shape does: each change is found, and both lines are shown" {
	need script
	first_handout
	run_lab
	local change
	for change in 's/How many seconds/How many hours/' 's/are 3 of them/are 4 of them/' 's/^  b  .*/&\n  c  the third/' \
		's/^\$ echo it took .* us, 2/$ echo it takes 3 us, 2/' '/^\$ echo it took .* us, 2/d' 's/^\$ echo .::.*/&\n$ true/' \
		's/three times/thrice/' 's/number     kind/number     sort/' 's/all 3 are/all of 3 are/' '/and nothing else/d' \
		's/for one test/for a test/' '/^Which/,/^  b/d' '/^  you predicted/d' 's/CONFIRMED/SKIPPED/' '$d' '/^--- explain/d'; do
		check 1 "$change"
		[[ $output == *'no longer the shape'*$'\n  the handout   '*$'\n  the lab now   '* ]] || { echo "not found: $change" && return 1; }
	done
	check 1 's/^\$ echo it took/$ echo it takes/'
	[[ $output == *'the handout   command: $ echo it took #'*'the lab now   command: $ echo it takes #'* ]]
}

@test "a cut stands for any number of lines, but not for a beat" {
	need script
	first_handout
	cp "$page" whole
	run_lab
	# The first keeps one of the three, the second none.
	local cut
	for cut in '/^\$ echo it took .* us, 2/,/^it took .* us, 3/d' '/^\$ echo it took/,/^\$ echo .::/ { /echo .::/!d }'; do
		sed "s/^--- run.*/&\n[the same,\nmore than once]/; $cut" whole >"$page"
		check
		check 0 's/^\$ echo it took .* us, 2/$ echo 5\n$ true\n&/'
		check 1 's/^\$ echo .::.*/&\n$ true/'
	done
	check 0 '/it took/d'
	sed -i '/^\$ echo .::/,/^--- observe/d' "$page"
	check 1
	[[ $output == *'the lab now   beat: --- observe'* ]]
}

@test "renew: cut where the old one was, with as many lines around the cut" {
	need script
	first_handout
	sed -i '/^\$ echo it took .* us, 2/,/^it took .* us, 3/d' "$page"
	sed -i 's/^it took .* us, 1/&\n[two more,\nlike it]/; s/: 50$/: 77/' "$page"
	cp "$page" before
	"$tree/scripts/handouts" 99-small
	# The answers are the old ones; what was measured is new.
	diff <(sed 's/predicted   50/predicted   77/; s/[0-9]* us, 1/N us, 1/; s/^many .*//' before) \
		<(sed 's/[0-9]* us, 1/N us, 1/; s/^many .*//' "$page")
	run ! cmp -s before "$page"
	run_lab
	check
}

@test "renew: a lab of another shape gives a whole transcript; one that is not confirmed changes nothing" {
	need script
	first_handout
	sed -i 's/^it took .* us, 1/&\n[more]/; /us, [23]$/d' "$page"
	small_lab 's/it took/it takes/'
	run -0 "$tree/scripts/handouts" 99-small
	[[ $output == *'where is it to be cut?'* ]]
	[ "$(grep -c '^it takes' "$page")" -eq 3 ]
	run ! grep -q 'Because' "$page"
	run_lab
	check

	cp "$page" before
	small_lab "s/'1 == 1'/'1 == 2'/"
	run -1 "$tree/scripts/handouts" 99-small
	cmp before "$page"
}

@test "a run that left something out is not compared, and that is said" {
	need script
	first_handout
	run_lab
	check 0 's/^--- observe/left out: the rest\n&/; /us, 3$/d'
	[[ $output == *'not compared'*'left something out'* ]]
}

@test "wrong usage: status 2" {
	empty_handout
	run -2 "$tree/scripts/handouts"
	run -2 "$tree/scripts/handouts" --nonsense
	run -2 "$tree/scripts/handouts" 98-nowhere
	run -2 "$tree/scripts/handouts" --check 99-small
	run -2 "$tree/scripts/handouts" --check 99-small nowhere.txt
	run -0 "$tree/scripts/handouts" --help
}

@test "every handout has a transcript: title, five beats, an answer to each question, a verdict" {
	local name beat
	for name in $(labs); do
		awk '/^## / { observe = /^## Observe/ } /^```/ && observe { if (inside) exit; inside = 1; next } inside' \
			"$LABS/$name/README.md" >block
		same "$name: its title" "$(head -n 1 block)" "$name: $(header summary "$name")"
		same "$name: its last line" "$(tail -n 1 block)" "$name: CONFIRMED"
		for beat in predict run observe explain verdict; do
			grep -q "^--- $beat" block || { echo "$name: no $beat" && return 1; }
		done
		same "$name: answers" "$(grep -c '^Your .* (Enter: no answer): .' block)" "$(grep -c '^  you predicted' block)"
		run ! grep -q '(not asked)' block
	done
}
