#!/usr/bin/env bats
# tcprelay and its servers: which one is next, what a failure changes, lists that are read again under connections that stand; and who may
# come, from where, and how many. The order of picks in every situation is tcprelay_upstreams_test's business.

# shellcheck disable=SC2154 # $stderr and $stderr_lines are set by `run --separate-stderr`

load ../helpers

setup() {
	need python3
	cd "$BATS_TEST_TMPDIR" || return
	relay=$TCPLAB_BIN/tcprelay
}

# crowd STEP...: relay_crowd.py; its words in one line.
crowd() {
	run -0 --separate-stderr timeout 170 python3 -I -S "$TCPLAB_ROOT/tests/fixtures/relay_crowd.py" "$@"
	said=${output//$'\n'/ }
}

# --- which one --------------------------------------------------------------------------------------------------------

@test "--balance rr: each in turn" {
	crowd relay "$relay" 0 A,B,C -- ask 7 hold 3 ask 2 end
	same "who was connected" "$said" 'abcabca bca bc 0'
	crowd relay "$relay" --balance rr --threads 3 0 A,B,C -- ask 9 end # one turn for all threads
	same "with threads" "$said" 'abcabcabc 0'
}

@test "--balance least: the one with the fewest connections" {
	crowd relay "$relay" --balance least 0 A,B,C -- hold 6 drop b until b hold 1 talk end
	same "who was connected" "${said% b 5 0}" abcabc
	[[ $said == *" b 5 0" ]]
}

@test "--balance hash: the same client, the same server, and only its own clients move" {
	local clients=(127.0.0.{1..12}) steps=() address again
	for address in "${clients[@]}"; do
		steps+=(ask 2 "$address")
	done
	crowd relay "$relay" --balance hash 0 A,B,C -- "${steps[@]}" "${steps[@]}" down c "${steps[@]}" end
	local -a got=("${lines[@]}")
	for again in "${!clients[@]}"; do
		[[ ${got[again]} =~ ^(aa|bb|cc)$ ]]
		same "${clients[again]} again" "${got[again + 12]}" "${got[again]}"
		if [ "${got[again]}" = cc ]; then
			[[ ${got[again + 24]} =~ ^(aa|bb)$ ]] # it moves, and stays there
		else
			same "${clients[again]} without c" "${got[again + 24]}" "${got[again]}"
		fi
	done
	[[ ${got[*]:0:12} == *aa* && ${got[*]:0:12} == *bb* && ${got[*]:0:12} == *cc* ]]
}

@test "--balance first: the others are spare, and it comes back" {
	crowd relay "$relay" --balance first 0 A,B,C -- ask 3 down a ask 3 up a until a ask 3 end
	same "who was connected" "$said" 'aaa bbb aaa 0'
}

# --- failures ---------------------------------------------------------------------------------------------------------

@test "a server that refuses is passed over, and the client does not notice" {
	crowd relay "$relay" 0 A,B,C -- ask 3 down b ask 6 end
	[[ $said == "abc "??????" 0" && $said != *"b"*"b"* && $said != *x* ]]
}

@test "connections that stand are not touched when their server does not listen any more" {
	crowd relay "$relay" 0 A,B -- hold 4 down a talk ask 2 talk end
	same "who was connected" "$said" 'abab 4 bb 4 0'
}

@test "all servers refuse: the client sees a reset; each time they are asked again" {
	crowd relay "$relay" -v 0 A,B -- down a down b ask 3 up b ask 3 end
	same "what clients saw" "$said" 'xxx bbb 0'
}

@test "a name that does not exist, and a second server that does" {
	crowd relay "$relay" --balance first -v 0 nowhere.invalid:80,B -- ask 3 end
	same "who was connected" "$said" 'bbb 0'
	crowd relay "$relay" -v 0 nowhere.invalid:80 -- ask 1 say nowhere.invalid end
	same "what the client saw" "$said" 'x 0'
}

@test "localhost, an address, a port alone, and a file" {
	crowd list A '' '# B' 'C # the third' -- relay "$relay" 0 @list -- ask 4 end
	same "who was connected" "$said" 'acac 0'
	crowd list B -- relay "$relay" 0 A,@list,C -- ask 4 list -- hup until c end
	same "a file among others" "$said" 'abca 0'
}

# --- the list is read again -------------------------------------------------------------------------------------------

@test "SIGHUP: other servers for those who come, and not one connection is lost" {
	crowd list A -- relay "$relay" --threads 2 0 @list -- hold 5 list B C -- hup until b talk ask 4 list A -- hup until a talk ask 2 end
	same "who was connected" "$said" 'aaaaa 5 cbcb 5 aa 0'
}

@test "SIGHUP: a list that is wrong, empty or gone changes nothing, and is named" {
	crowd list A -- relay "$relay" 0 @list -- hold 1 list B rubbish -- hup say 'list:2: rubbish' ask 3 \
		list '#' -- hup say 'no server is in it' ask 2 talk end
	same "who was connected" "$said" 'a aaa aa 1 0'
}

@test "SIGHUP: --allow and --deny from files" {
	crowd list 127.0.0.1 -- relay "$relay" --allow @list 0 A -- ask 2 ask 2 127.0.0.2 list 127.0.0.2 -- hup until x \
		ask 2 127.0.0.2 list 127.0.0.2/8 -- hup say 'the old rules stay' ask 1 ask 1 127.0.0.2 end
	same "who was let in" "$said" 'aa xx aa x a 0'
}

# --- who may come -----------------------------------------------------------------------------------------------------

@test "--allow and --deny: in order, the first that matches decides" {
	crowd relay "$relay" --deny 127.0.0.2 --allow 127.0.0.0/8 --deny all 0 A -- ask 1 ask 1 127.0.0.2 ask 1 127.9.9.9 end
	same "who was let in" "$said" 'a x a 0'
	crowd relay "$relay" --allow 127.0.0.0/8 --deny 127.0.0.2 0 A -- ask 1 127.0.0.2 end
	same "an earlier allow" "$said" 'a 0'
	crowd relay "$relay" --allow 10.0.0.0/8,::1 0 A -- ask 1 end
	same "not on the list" "$said" 'x 0'
	crowd relay "$relay" --deny ::/0 0 A -- ask 1 end
	same "another family" "$said" 'a 0'
}

@test "a client that is not let in costs no server anything" {
	crowd relay "$relay" --deny 127.0.0.2 0 A,B -- ask 1 ask 5 127.0.0.2 ask 1 end
	same "the turn" "$said" 'a xxxxx b 0'
}

@test "wrong lists: one line, status 2" {
	printf '10.0.0.1/8\n' >rules
	printf 'a:1\nb\n' >servers
	local words
	for words in '--allow @rules 0 a:1' '--deny 10.0.0.0/33 0 a:1' '--allow @nowhere 0 a:1' '0 @servers' '0 @nowhere' '0 a:1,a:1' \
		'0 ::1:80' '0 [::1]' '--balance most 0 a:1'; do
		# shellcheck disable=SC2086 # options
		run -2 --separate-stderr timeout 60 "$relay" $words
		same "lines on stderr with $words" "${#stderr_lines[@]}" 1
	done
	run -2 --separate-stderr timeout 60 "$relay" --allow @rules 0 a:1
	[[ $stderr == *"rules:1: 10.0.0.1/8: there are bits beyond the prefix"* ]]
	run -2 --separate-stderr timeout 60 "$relay" 0 @servers
	[[ $stderr == *"servers:2: b: HOST:PORT is wanted"* ]]
}
