#!/usr/bin/env bats
# Each check of scripts/lint catches what it is there for: a violation is planted in a copy of the tree.

# shellcheck disable=SC2016 # backquotes and dollars in the planted text are meant literally

load helpers

setup() {
	tree=$BATS_TEST_TMPDIR/tree
	mkdir "$tree"
	cp -R "$TCPLAB_ROOT"/{common,tools,tests,scripts,labs,docs} "$tree"
}

# plant FILE LINE...: appends the lines, making the file and its folder if need be.
plant() {
	mkdir -p "$(dirname "$tree/$1")"
	printf '%s\n' "${@:2}" >>"$tree/$1"
}

# Only what is planted: the project's own scripts are make lint's business, and take long.
no_scripts() {
	rm -r "$tree"/tests/* "$tree"/labs/* "$tree"/scripts/*
}

only_tool() {
	find "$tree/tools" -maxdepth 1 -name '*.c' ! -name "$1.c" -delete
}

# caught CHECK TEXT: the check fails, and one line of what it says has TEXT.
caught() {
	run -1 "$TCPLAB_ROOT/scripts/lint" --root "$tree" "$1"
	[ "${lines[-1]}" = "FAILED $1" ]
	grep -qF -- "$2" <<<"$output"
}

# silent CHECK FILE: the check says nothing about FILE. What else the tree has to be told is `make lint`'s business.
silent() {
	run "$TCPLAB_ROOT/scripts/lint" --root "$tree" "$1"
	[ "$status" -le 1 ]
	run ! grep -F -- "$2" <<<"$output"
}

@test "layers: an include of a higher layer" {
	plant common/units.c '#include "os.h"'
	caught layers 'common/units.c: layer 0 includes "os.h" of layer 2'
}

@test "layers: modules and LAYERS name each other" {
	plant common/stray.h ''
	caught layers 'LAYERS: does not list stray'
	plant common/LAYERS 'stray 0' 'ghost 1'
	caught layers 'LAYERS: lists ghost, but there is no'
	plant common/LAYERS 'diag 1'
	caught layers 'lists twice: diag'
	plant common/diag.c '#include "nowhere.h"'
	caught layers 'includes "nowhere.h", which common/LAYERS does not list'
}

@test "layers: a tool includes no other tool, nor another one's chapter" {
	plant tools/fake/part.h ''
	plant tools/fake.c '#include "fake/part.h"' '#include "units.h"'
	plant tools/fake/more.c '#include "part.h"'
	silent layers tools/fake
	plant tools/fake.c '#include "doctor/report.h"'
	caught layers 'tools/fake.c: includes "doctor/report.h", a chapter of another tool'
	plant tools/fake2.c '#include "fake.c"'
	caught layers 'tools/fake2.c: includes the source file "fake.c"'
	plant tools/fake3.c '#include "fake.h"'
	caught layers 'tools/fake3.c: includes "fake.h", neither of common/ nor a chapter'
}

@test "headers: one that needs another one first" {
	plant common/needy.h 'void needy(size_t len);'
	caught headers 'needy.h'
}

@test "shell: what shellcheck finds, in scripts with and without a suffix and in bats files" {
	need shellcheck
	no_scripts
	plant scripts/sloppy '#!/usr/bin/env bash' 'rm $1'
	caught shell 'scripts/sloppy line 2'
	rm "$tree/scripts/sloppy"
	plant tests/sloppy.bats '#!/usr/bin/env bats' '@test "x" {' 'rm $HOME/y/$1' '}'
	caught shell 'tests/sloppy.bats line 3'
}

@test "docs: an option that the page does not tell, one that does not exist, a page that is missing" {
	only_tool doctor
	sed -i '/^| `--json`/d; s/--json//g' "$tree/docs/tools/doctor.md"
	caught docs 'doctor.md: does not tell about --json'
	sed -i 's/^| `--trace`.*/&\n| `--imaginary` | not there |/' "$tree/docs/tools/doctor.md"
	caught docs 'doctor.md: doctor --help knows no --imaginary'
	rm "$tree/docs/tools/doctor.md"
	caught docs 'doctor: there is no docs/tools/doctor.md'
}

@test "docs: a tool that is not built cannot be checked, and that is said" {
	only_tool doctor
	plant tools/fake.c ''
	caught docs 'fake is not built'
}

@test "man: bad roff, and a missing section" {
	need mandoc
	plant docs/man/tcplab.1 '.It no list'
	caught man 'docs/man/tcplab.1:'
	sed -i '/^\.Sh EXAMPLES/d' "$tree/docs/man/tcplab.1"
	caught man 'docs/man/tcplab.1: has no section EXAMPLES'
}

@test "leftovers: notes to oneself" {
	local word
	for word in TO""DO FIX""ME XX""X; do
		plant docs/note.md "a line, $word: later"
		caught leftovers "docs/note.md:1:a line, $word"
		rm "$tree/docs/note.md"
	done
	plant docs/note.md 'mktemp /tmp/name.XXXXXX'
	silent leftovers docs/note.md
}

@test "users: a module that nobody uses, and one without a unit test" {
	plant common/lonely.h ''
	plant common/lonely.c '#include "lonely.h"'
	plant tests/unit/lonely_test.c '#include "lonely.h"'
	caught users 'common/lonely: nobody uses it'
	plant tools/fake.c '#include "lonely.h"'
	rm "$tree/tests/unit/lonely_test.c"
	caught users 'common/lonely: there is no tests/unit/lonely_test.c'
}

@test "links: a file that does not exist" {
	plant docs/page.md 'See [the tools](tools/doctor.md#tiers), [a site](https://example.org/), [here](#x).'
	silent links docs/page.md
	plant docs/page.md 'And [that](tools/no-such-page.md).'
	caught links 'docs/page.md: links to tools/no-such-page.md'
}

@test "paths: a developer's own folder" {
	plant docs/note.md "see /ho""me/somebody/tcplab"
	caught paths 'docs/note.md:1:'
}

@test "lint: one line for each check, and wrong usage" {
	only_tool doctor
	no_scripts
	run "$TCPLAB_ROOT/scripts/lint" --root "$tree"
	[ "$status" -le 1 ]
	[ "$(grep -cE '^(ok|FAILED) [a-z]+$' <<<"$output")" -eq "$("$TCPLAB_ROOT/scripts/lint" --list | wc -l)" ]
	run -2 "$TCPLAB_ROOT/scripts/lint" no-such-check
	run -2 "$TCPLAB_ROOT/scripts/lint" --root "$tree/nowhere"
}
