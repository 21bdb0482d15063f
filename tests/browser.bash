# browser.bash - a real browser for the bats files that test pages: one Chromium for all tests of a file. Load it after
# helpers.
#
#	setup_file() { start_browser; }
#	teardown_file() { stop_servers; }
#	setup() { need_browser; }
#
#	open_page                     a new visitor; or open_page '{"javaScriptEnabled":false}'
#	in_page "$URL" <<-'END'       the steps, in JavaScript
#		await page.goto(args[0]);
#		same("title", await page.title(), "procmon");
#	END
#
# The steps know playwright's `page`, `args`, and the words of driver.mjs. What they return is printed. The page stays
# as it is for the next in_page of the same test.

BROWSER_FIXTURE=$TCPLAB_ROOT/tests/fixtures/browser
BROWSER_HOME=$TCPLAB_ROOT/build/browser # scripts/test --all lays playwright-core there

# Where there is no browser, each test is skipped by name (need_browser).
start_browser() {
	export BROWSER_SOCKET=$BATS_FILE_TMPDIR/browser BROWSER_MISSING=''
	local command
	for command in node chromium curl; do
		command -v "$command" >/dev/null || BROWSER_MISSING=$command
	done
	[ -d "$BROWSER_HOME/node_modules/playwright-core" ] ||
		BROWSER_MISSING="playwright-core (scripts/test --all fetches it)"
	[ -z "$BROWSER_MISSING" ] || return 0
	BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR CHROMIUM=$(command -v chromium) \
		start_server node "$BROWSER_FIXTURE/driver.mjs" "$BROWSER_HOME" "$BROWSER_SOCKET"
}

need_browser() {
	[ -z "$BROWSER_MISSING" ] || skip "needs $BROWSER_MISSING"
}

open_page() {
	tell_browser open <<<"${1:-}"
}

# in_page [ARG...] <STEPS
in_page() {
	local arg options=()
	for arg; do
		options+=(--url-query "arg=$arg")
	done
	tell_browser run "${options[@]}"
}

# tell_browser WHAT [OPTION...] <BODY
tell_browser() {
	curl -sS --fail-with-body --max-time 300 --unix-socket "$BROWSER_SOCKET" --data-binary @- "${@:2}" \
		"http://browser/$1"
}
