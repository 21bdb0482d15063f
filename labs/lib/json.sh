# shellcheck shell=bash
# json.sh - JSON in and out, one object a line. Sourced by lab.sh and by scripts/measure.

# json_string TEXT: quoted and escaped.
json_string() {
	local text=$1
	text=${text//\\/\\\\}
	text=${text//\"/\\\"}
	text=${text//$'\n'/\\n}
	text=${text//$'\t'/\\t}
	printf '"%s"' "${text//[[:cntrl:]]/ }"
}

# json_terminal TEXT: what is written to a terminal, with its escape sequences. JSON is UTF-8, and a program's output may be
# anything: what is no UTF-8 becomes question marks.
json_terminal() {
	local text=$1
	[[ $text =~ $JSON_UTF8 ]] || text=${text//[$'\x80'-$'\xff']/?}
	text=${text//\\/\\\\}
	text=${text//\"/\\\"}
	text=${text//$'\n'/\\n}
	text=${text//$'\r'/\\r}
	text=${text//$'\t'/\\t}
	text=${text//$'\e'/\\u001b}
	printf '"%s"' "${text//[[:cntrl:]]/ }"
}

# By bytes, LC_ALL=C: RFC 3629 4.
_more=$'[\x80-\xbf]'
JSON_UTF8=$'^([\x01-\x7f]|[\xc2-\xdf]'$_more$'|\xe0[\xa0-\xbf]'$_more$'|[\xe1-\xec\xee\xef]'$_more$_more$'|\xed[\x80-\x9f]'$_more
JSON_UTF8+=$'|\xf0[\x90-\xbf]'$_more$_more$'|[\xf1-\xf3]'$_more$_more$_more$'|\xf4[\x80-\x8f]'$_more$_more')*$'
unset _more

# json_number TEXT: TEXT where JSON takes it for a number, otherwise null.
json_number() {
	if [[ $1 =~ ^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$ ]]; then
		printf '%s' "$1"
	else
		printf 'null'
	fi
}

# field FILE KEY [RECORD [TEXT...]]: a member of the last record of that kind (total), or of the last that has all TEXTs in it.
# Top-level members come before any nested object, so the first occurrence of a key is the right one.
field() {
	local file=$1 key=$2 record=${3:-total} text lines
	shift $(($# < 3 ? 2 : 3))
	lines=$(grep -F "\"record\":\"$record\"" "$file")
	for text; do
		lines=$(grep -F -- "$text" <<<"$lines")
	done
	awk -v key="\"$key\":" '
		{ line = $0 }
		END {
			at = index(line, key)
			if (!at) exit 1
			rest = substr(line, at + length(key))
			if (sub(/^"/, "", rest)) sub(/".*/, "", rest)
			else sub(/[],}].*/, "", rest)
			print rest
		}' <<<"$lines"
}
