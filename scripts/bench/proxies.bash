# shellcheck shell=bash
# proxies.bash - what scripts/bench/relay and scripts/bench/socks have in common: they measure programs that stand
# between a client and a server, side by side. It is sourced, from the project's folder, and expects of the script
#
#   bench all_columns               its name; which columns there are
#   command_of NAME PORT TARGET     sets run to the command of one of them; those that take a free port say which
#   takes_free_port NAME            is it one of these? The others listen on PORT
#   run_client COLUMN NAME          one turn: prints what relay-ends prints
#   run_holder NAME CONNS           "relay-ends hold"
#
# The programs take turns, another one begins in each round. A ratio is that of a round; its median, and the spread.
# "best peer" is the one with the highest median in that column, for the rate and for the processor time each on its
# own; "none", "floor" and what begins with "ours" are none.
: "${bench:?}" "${all_columns:?}"

# proxies_arguments ARGUMENT...: [ROUNDS [SECONDS [COLUMN...]]]; --quick is 2 rounds of 0.3 s.
proxies_arguments() {
	local column
	rounds=5 seconds=0.7
	if [ "${1:-}" = --quick ]; then
		rounds=2 seconds=0.3
		shift
	elif [ $# -gt 0 ]; then
		rounds=$1 seconds=${2:-$seconds}
		shift $(($# < 2 ? $# : 2))
	fi
	columns=("$@")
	[ $# -gt 0 ] || columns=("${all_columns[@]}")
	if [[ ! $rounds =~ ^[1-9][0-9]*$ || ! $seconds =~ ^[0-9]*\.?[0-9]+$ ]]; then
		sed -n '3,$s/^#   //p' "$0" >&2
		exit 2
	fi
	for column in "${columns[@]}"; do
		[[ " ${all_columns[*]} " == *" $column "* ]] && continue
		echo "bench/$bench: no column '$column'" >&2
		exit 2
	done
}

# has_column COLUMN...: is any of them wanted?
has_column() {
	local column
	for column; do [[ " ${columns[*]} " != *" $column "* ]] || return 0; done
	return 1
}

# The tools, both ends and the floor.
proxies_build() {
	local name
	make -s all MODE=release CC=gcc && mkdir -p build/bench || exit 1
	for name in relay-floor relay-ends; do
		gcc -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Icommon -o build/bench/$name scripts/bench/$name.c \
			build/release/libtcplab.a -pthread || exit 1
	done
	# shellcheck disable=SC2034 # for the script
	bin=$PWD/build/release/bin ends=$PWD/build/bench/relay-ends floor=$PWD/build/bench/relay-floor
}

# The script anew, in a network namespace of its own: its own ports, sysctls, and nobody else's traffic.
proxies_go_private() {
	if [ -z "${BENCH_PRIVATE:-}" ]; then
		local private=(unshare --net)
		[ "$(id -u)" = 0 ] || private=(unshare --map-root-user --net)
		if ! command -v ip >/dev/null || ! "${private[@]}" true; then
			echo "bench/$bench: needs a network namespace of its own, and ip" >&2
			exit 1
		fi
		BENCH_PRIVATE=1 exec "${private[@]}" "$0" "$rounds" "$seconds" "${columns[@]}"
	fi
	ip link set lo up && echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range || exit 1
	ulimit -n "$(ulimit -Hn)"
	tmp=$(mktemp -d) || exit 1
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# The processors that we may use: "0-1,4" as one in each line.
processors() {
	sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status | tr , '\n' |
		while IFS=- read -r from to; do seq "$from" "${to:-$from}"; done
}
# shellcheck disable=SC2034 # for the script
read -r -d '' first second _ < <(processors | tr '\n' ' ')
every=$(processors | paste -sd ,)
relay_on=$every ends_on=$every

# --- the programs: each is started with the port of the server, and listens ------------------------------------------

# WHY ports from 700 on: below those that connections take theirs from.
declare -A pid port lone
names=() left_out=()
server='' server_port='' next_port=700 quiet_sockets=0

# Whatever happens: what was started does not survive this script (prctl(2), PR_SET_PDEATHSIG), and the children of
# those that have some end with their connections, or with their parent.
mortal=(setpriv --pdeathsig KILL)
cleanup() {
	[ ${#pid[@]} = 0 ] || kill "${pid[@]}" 2>/dev/null
	[ -z "$server" ] || kill "$server" 2>/dev/null
	wait
	rm -rf "$tmp"
}
# choose NAME PROGRAM PACKAGE: a row of the table, if WITH wants it, and if the program is there (PROGRAM "": it is).
choose() {
	[[ -z ${WITH:-} || " $WITH " == *" $1 "* ]] || return 0
	if [ -z "$2" ] || command -v "$2" >/dev/null; then
		names+=("$1")
	else
		left_out+=("$1 ($3)")
	fi
}

say_left_out() {
	local list
	[ ${#left_out[@]} != 0 ] || return 0
	list=$(printf ', %s' "${left_out[@]}")
	echo "bench/$bench: left out, because not installed: ${list:2}" >&2
}

# start NAME: its process is then in ${pid[NAME]}, its port in ${port[NAME]}
start() {
	local name=$1 p=$((++next_port)) run
	port[$name]=$server_port
	command_of "$name" $p "$server_port" || { echo "bench/$bench: cannot configure $name" >&2; exit 1; }
	[ "$name" != none ] || return 0
	rm -f "$tmp/$name.log" # of its predecessor, whose port it names
	"${mortal[@]}" taskset -c "$relay_on" "${run[@]}" >"$tmp/$name.log" 2>&1 </dev/null &
	pid[$name]=$!
	await_listener "$name" $p
	lone[$name]=$([ -n "$(children "${pid[$name]}")" ] || echo yes)
	quiet_sockets=$(count_sockets)
}

await_listener() {
	local i
	port[$1]=$2
	for ((i = 0; i < 500; i++)); do
		kill -0 "${pid[$1]}" 2>/dev/null || break
		if [ "$1" = server ] || takes_free_port "$1"; then
			port[$1]=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$tmp/$1.log" 2>/dev/null)
			[ -z "${port[$1]}" ] || return 0
		else
			[ -z "$(ss -Hltn "sport = :$2")" ] || return 0
		fi
		sleep 0.02
	done
	echo "bench/$bench: $1 does not listen" >&2
	cat "$tmp/$1.log" >&2
	exit 1
}

stop() {
	[ -n "${pid[$1]:-}" ] || return 0
	kill "${pid[$1]}" 2>/dev/null
	wait "${pid[$1]}" 2>/dev/null
	unset "pid[$1]"
}

# start_server default|fast. WHY it and all programs anew when the ends become fast: accepted sockets inherit the
# congestion control that the listening one got when it was made.
start_server() {
	local block=65536 receive_buffer=0
	if [ "$1" = fast ]; then
		echo reno >/proc/sys/net/ipv4/tcp_congestion_control || exit 1
		block=1048576 receive_buffer=524288
	fi
	rm -f "$tmp/server.log"
	"${mortal[@]}" taskset -c "$ends_on" "$ends" serve $block $receive_buffer \
		>/dev/null 2>"$tmp/server.log" </dev/null &
	server=$! pid[server]=$!
	await_listener server ''
	server_port=${port[server]}
	unset "pid[server]"
}

stop_server() {
	kill "$server" && wait "$server" 2>/dev/null
	server=''
}

start_all() {
	local name
	start_server "$1"
	for name in "${names[@]}"; do start "$name"; done
}

stop_all() {
	local name
	for name in "${names[@]}"; do stop "$name"; done
	stop_server
}

# --- what a program has used ----------------------------------------------------------------------------------------

children() {
	local file list
	for file in /proc/"$1"/task/*/children; do
		list=
		read -r list 2>/dev/null <"$file" # it has no newline
		[ -z "$list" ] || echo "$list"
	done
}

# Itself, its children and theirs.
family() {
	local child
	echo "$1"
	for child in $(children "$1"); do family "$child"; done
}

# Nanoseconds on a processor so far: of the whole family, and of its children that have ended and been waited for
# (proc(5): cutime and cstime of stat, in ticks).
cpu_ns() {
	[ -n "$1" ] || { echo 0; return; }
	local all files
	mapfile -t all < <(family "$1")
	files=("${all[@]/#/\/proc\/}")
	cat "${files[@]/%/\/stat}" 2>/dev/null |
		awk -v tick=$((1000000000 / hz)) -v sum="$("$ends" cpu "${all[@]}")" '
			{ sub(/.*\) /, ""); sum += ($14 + $15) * tick }
			END { printf "%.0f", sum }'
}

# TCP sockets of the namespace, without TIME-WAIT.
count_sockets() { awk '/^TCP:/ { print $3 }' /proc/net/sockstat; }

# Until the last client's connections have gone, and the children of a program that has one for each of them: that is
# work, too, and belongs to nobody's next turn.
settle() {
	local i
	for ((i = 0; i < 200; i++)); do
		[ "$(count_sockets)" -gt $((quiet_sockets + 24)) ] ||
			[[ -n ${lone[$2]} && -n "$(children "$1")" ]] || return 0
		sleep 0.01
	done
}

# Proportional set size of a program and its children, bytes.
pss() {
	local p
	for p in $(family "$1"); do cat "/proc/$p/smaps_rollup" 2>/dev/null; done |
		awk '/^Pss:/ { sum += $2 } END { printf "%.0f", sum * 1024 }'
}

# --- a turn: "what there was of it, nanoseconds, p50, p99, nanoseconds of the program, failed" -----------------------

client() { timeout 60 "${mortal[@]}" taskset -c "$ends_on" "$ends" "$@"; }

# place PROGRAMS ENDS: on which processors they are from now on
place() {
	local name p
	relay_on=$1 ends_on=$2
	for name in "${!pid[@]}"; do
		for p in $(family "${pid[$name]}"); do
			taskset -acp "$relay_on" "$p" >/dev/null || ! kill -0 "$p" 2>/dev/null || exit 1
		done
	done
	taskset -cp "$ends_on" "$server" >/dev/null || exit 1
}

# turn COLUMN NAME
turn() {
	local who=${pid[$2]:-} before after line n ns p50 p99 failed
	before=$(cpu_ns "$who")
	line=$(run_client "$1" "$2") || return 1
	[ -z "$who" ] || settle "$who" "$2"
	after=$(cpu_ns "$who")
	read -r n ns p50 p99 failed <<<"$line"
	echo "$n $ns ${p50:-0} ${p99:-0} $((after - before)) ${failed:-0}"
}

# memory_turn NAME CONNS: it alone and fresh, and how much it has grown for each flow
memory_turn() {
	local name=$1 before after line=""
	start "$name"
	before=$(pss "${pid[$name]}")
	rm -f "$tmp/in" "$tmp/out" && mkfifo "$tmp/in" "$tmp/out" || exit 1
	exec 9<>"$tmp/in" # as long as it is open, the connections stand
	run_holder "$name" "$2" <"$tmp/in" >"$tmp/out" 9>&- &
	read -r line <"$tmp/out"
	after=$(pss "${pid[$name]}")
	exec 9>&-
	wait $!
	settle "${pid[$name]}" "$name"
	stop "$name"
	[ "$line" = "holding $2" ] && echo $(((after - before) / $2))
}

# --- tables -------------------------------------------------------------------------------------------------------

# table COLUMN TITLE UNIT UNIT_BY_CPU SCALE WANTED WANTED_BY_CPU [NAME...]: if the column is wanted, all programs in
# turn, or these; then the lines of the table. WANTED is what the ratio ours : best peer should be.
table() {
	local i k name all=("${names[@]}")
	has_column "$1" || return 0
	[ $# -lt 8 ] || all=("${@:8}")
	for ((i = 0; i < rounds; i++)); do
		for ((k = 0; k < ${#all[@]}; k++)); do
			name=${all[$(((i + k) % ${#all[@]}))]}
			[ ! -t 2 ] || printf '\r%s, round %d of %d: %-20s' "$1" $((i + 1)) "$rounds" "$name" >&2
			echo "$i $name $(turn "$1" "$name" 2>>"$tmp/complaints")"
		done
	done >"$tmp/table"
	[ ! -t 2 ] || printf '\r%60s\r' '' >&2
	show "${all[*]}" "$@" <"$tmp/table" | tee "$tmp/shown"
	keep_verdicts "$2"
}

# For the end.
keep_verdicts() {
	sed -n "s/^  \\(.*wanted.*\\)/$(printf '%-26s' "$1")\\1/p" "$tmp/shown" >>"$tmp/verdicts"
}

read -r -d '' statistics <<'END'
	function middle(v, n,   i, j, t) {
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
		return n == 0 ? 0 : n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	}
	# The median; sorts what there is into found[1 .. n].
	function median(name, what,   i) {
		n = 0
		for (i = 0; i <= last; i++) if ((i, name, what) in value) found[++n] = value[i, name, what]
		return middle(found, n)
	}
	# Of each round a : b; sorts into found[1 .. n].
	function compare(a, b, what,   i) {
		n = 0
		for (i = 0; i <= last; i++)
			if (value[i, a, what] > 0 && value[i, b, what] > 0)
				found[++n] = value[i, a, what] / value[i, b, what]
		return middle(found, n)
	}
	# The peer with the greatest median, or with the least.
	function best(what, least, but,   k, m, top, at) {
		at = ""
		for (k = 1; k <= count; k++) {
			if (order[k] ~ /^(none|floor|ours)/ || order[k] == but) continue
			m = median(order[k], what)
			if (m > 0 && (at == "" || (least ? m < top : m > top))) { top = m; at = order[k] }
		}
		return at
	}
END

# show NAMES and the arguments of table. The verdicts of `delay` are about its times. A peer that does the very thing
# that ours does (like_ours) gets a verdict, and so do the others without it.
show() {
	awk -v names="$1" -v column="$2" -v title="$3" -v unit="$4" -v per="$5" -v scale="$6" -v wanted="$7" \
		-v wanted_cpu="$8" -v like_ours="${like_ours:-}" "$statistics"'
		NF == 8 && $3 > 0 && $8 <= $3 / 100 {
			last = $1
			value[$1, $2, "rate"] = $3 / $4 * 1e9 / scale
			if ($2 != "none" && $7 > 0) {
				value[$1, $2, "busy"] = $7 / $4 * 100
				value[$1, $2, "each"] = $3 / $7 * 1e9 / scale
			}
			value[$1, $2, "p50"] = $5 / 1000; value[$1, $2, "p99"] = $6 / 1000
			if ($5 > 0) has_times = 1
			failed[$2] += $8
		}
		function verdict(what, least, text, target, but,   peer, m) {
			peer = best(what, least, but)
			if (peer == "") return
			m = least ? compare(peer, "ours", what) : compare("ours", peer, what)
			if (n == 0) return
			printf "  %-52s %5.2f %-15s", "ours : best peer (" peer ")" text, m,
				sprintf("(%.2f-%.2f)", found[1], found[n])
			print "   wanted " sprintf("%.2f", target) (m >= target ? "   ok" : "   BELOW")
		}
		function added(name, what,   i) {
			n = 0
			for (i = 0; i <= last; i++)
				if (((i, name, what) in value) && ((i, "none", what) in value))
					found[++n] = value[i, name, what] - value[i, "none", what]
			return middle(found, n)
		}
		END {
			count = split(names, order, " ")
			printf "\n%-26s %9s %19s %6s %10s   %-18s by CPU", title, unit, "(low-high)", "CPU %", per,
				"ours : this"
			if (has_times) printf "  %9s %9s", "p50 us", "p99 us"
			if (column == "delay") printf " %9s %9s", "p50 more", "p99 more"
			print ""
			for (k = 1; k <= count; k++) {
				name = order[k]
				m = median(name, "rate")
				if (n == 0) { printf "  %-24s no result\n", name; continue }
				digits = m < 1000 ? 2 : 0
				printf "  %-24s %9.*f %19s", name, digits, m,
					sprintf("(%.*f-%.*f)", digits, found[1], digits, found[n])
				if (name == "none") printf " %6s %10s", "-", "-"
				else {
					m = median(name, "each")
					printf " %6.0f %10.*f", median(name, "busy"), (m < 1000 ? 2 : 0), m
				}
				m = name == "ours" ? 0 : compare("ours", name, "rate")
				printf "   %-18s", (m > 0 ? sprintf("%.2f (%.2f-%.2f)", m, found[1], found[n]) : "")
				m = name == "ours" ? 0 : compare("ours", name, "each")
				printf " %6s", (m > 0 ? sprintf("%.2f", m) : "")
				if (has_times) printf "  %9.1f %9.1f", median(name, "p50"), median(name, "p99")
				if (column == "delay" && name != "none")
					printf " %9.1f %9.1f", added(name, "p50"), added(name, "p99")
				print (failed[name] > 0 ? "  (" failed[name] " failed)" : "")
			}
			if (column == "delay") {
				verdict("p50", 1, ", p50, turned over", wanted)
				verdict("p99", 1, ", p99, turned over", wanted)
				exit
			}
			verdict("rate", 0, "", wanted)
			verdict("each", 0, ", by CPU", wanted_cpu)
			if (like_ours == "" || column !~ /^(bulk|fast)/) exit
			if (best("rate", 0) == like_ours) verdict("rate", 0, " otherwise", wanted, like_ours)
			if (best("each", 0) == like_ours)
				verdict("each", 0, " otherwise, by CPU", wanted_cpu, like_ours)
		}'
}

# memory_table CONNS: one program after the other, behind nothing but the server. If that column is wanted.
memory_table() {
	local name most=$1
	has_column memory || return 0
	start_server default
	for name in "${names[@]}"; do
		[ "$name" = none ] || echo "$name $(memory_turn "$name" "$most" 2>>"$tmp/complaints")"
	done >"$tmp/table"
	stop_server
	awk -v most="$most" '
		BEGIN { printf "\n%-26s %9s   %s\n", "memory", "bytes", "for each of " most " idle flows, user side" }
		NF == 2 {
			printf "  %-24s %9d\n", $1, $2
			if ($1 == "ours") ours = $2
			else if ($1 !~ /^(floor|ours)/ && (peer == "" || $2 < least)) { least = $2; peer = $1 }
		}
		NF == 1 {
			printf "  %-24s no result%s\n", $1,
				($1 == "rinetd" ? ": select(2) ends at 1024 descriptors" : "")
		}
		END {
			if (ours > 0 && peer != "")
				printf "  %-52s %5.2f %-15s   wanted 1.00   %s\n", "best peer (" peer ") : ours",
					least / ours, "", (least > ours ? "ok" : "BELOW")
		}' "$tmp/table" | tee "$tmp/shown"
	keep_verdicts memory
}

# --- all of it -----------------------------------------------------------------------------------------------------

# Ticks of all processors, and those of this script and all that it has started and waited for (proc(5)).
busy_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
own_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 + $14 + $15 }' "/proc/$$/stat"; }

# proxies_begin VERSION...: what is measured where, in a line.
proxies_begin() {
	say_left_out
	hz=$(getconf CLK_TCK) busy=$(busy_ticks) own=$(own_ticks) began=$SECONDS
	echo "$(uname -sr), $(nproc) processors, $rounds rounds of $seconds s; default ends:" \
		"$(cat /proc/sys/net/ipv4/tcp_congestion_control)"
	printf '%s\n' "$@" | paste -sd , | sed 's/,/, /g'
}

proxies_end() {
	[ ! -s "$tmp/verdicts" ] || { echo; echo "in short:"; cat "$tmp/verdicts"; }
	if [ -s "$tmp/complaints" ]; then
		echo
		echo "complaints:"
		sort "$tmp/complaints" | uniq -c | sort -rn | head -n 10
	fi
	awk -v busy="$busy" -v own="$own" -v busy2="$(busy_ticks)" -v own2="$(own_ticks)" -v s=$((SECONDS - began)) \
		-v hz="$hz" -v n="$(nproc)" 'BEGIN {
		others = (busy2 - busy) - (own2 - own)
		printf "\n%d s; others used %.0f %% of the machine meanwhile\n", s,
			100 * (others > 0 ? others : 0) / (s * hz * n)
	}'
}
