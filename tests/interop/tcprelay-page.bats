#!/usr/bin/env bats
# tcprelay --http in a real browser: what stands in the document after its script has run, and that nothing was refused by its own
# Content-Security-Policy.

# shellcheck disable=SC2154 # $stderr is set by `run --separate-stderr`
# shellcheck disable=SC2153 # PORT and SERVER_LOG are set by start_server

load ../helpers

setup() {
	need chromium
	relay=$TCPLAB_BIN/tcprelay
}

start_relay() {
	start_server "$TCPLAB_BIN/echo" -s -p 0
	TARGET=127.0.0.1:$PORT
	start_server "$relay" --http 0 --drain 100ms 0 "$TARGET"
	HTTP=$(sed -n 's/.*: http on .*:\([0-9]*\)$/\1/p' "$SERVER_LOG")
}

# browse [OPTION...]: the document as the browser has it, in $output; what it complained about, in $stderr.
browse() {
	run -0 --separate-stderr timeout -k 1 150 chromium --headless --no-sandbox --disable-gpu --enable-logging=stderr \
		--user-data-dir="$BATS_TEST_TMPDIR/chromium" "$@" "http://127.0.0.1:$HTTP/"
}

shows() {
	[[ $output == *"$1"* ]] || {
		echo "not in the document: $1"
		return 1
	}
}

@test "chromium shows the connections, its script listens, and nothing is refused" {
	start_relay
	local byte
	exec {fd}<>"/dev/tcp/127.0.0.1/$PORT"
	printf x >&"$fd"
	read -r -N 1 -t 60 byte <&"$fd"
	same byte "$byte" x
	browse --dump-dom
	shows '<span class="pill ok">open</span>'
	shows "data-name=\"Target\"><span>$TARGET</span>"
	shows '</html>'
	[[ $stderr != *CONSOLE* ]]
	[[ $stderr != *'Content Security Policy'* ]]
}

@test "chromium draws it: wide and light, on a phone and dark" {
	start_relay
	local look sizes=() size
	for look in 1200,800:1 400,800:0; do
		browse --hide-scrollbars --window-size="${look%:*}" --blink-settings=preferredColorScheme="${look#*:}" \
			--screenshot="$BATS_TEST_TMPDIR/$look.png"
		size=$(stat -c %s "$BATS_TEST_TMPDIR/$look.png")
		[ "$size" -gt 10000 ]
		sizes+=("$(sha256sum <"$BATS_TEST_TMPDIR/$look.png")")
	done
	same "different pictures" "$(printf '%s\n' "${sizes[@]}" | sort -u | wc -l)" 2
}
