# json.awk - one line of JSON, an object, into an array. For page.awk.
#
#	parse(LINE, INTO)   1: it is one, its members are in INTO; 0: it is none. A string comes decoded, a number, true, false and
#	                    null as they stand, an array of strings joined by \034, an object inside as "". KIND[key] tells which:
#	                    "string", "number", "word", "array", "object".
#
# In bytes, LC_ALL=C. The lines are a lab's, or a joker's.

function parse(line, into,    key) {
	split("", into)
	split("", KIND)
	TEXT = line
	if (!take("{"))
		return 0
	if (take("}"))
		return is_end()
	do {
		if (!match(TEXT, /^[ ]*"/))
			return 0
		key = take_string()
		if (BROKEN || !take(":"))
			return 0
		if (!(key in into)) { # the first one counts, in the records' own members
			into[key] = take_value(0)
			KIND[key] = TYPE
		} else
			take_value(0)
		if (BROKEN)
			return 0
	} while (take(","))
	return take("}") && is_end()
}

function is_end() {
	return TEXT ~ /^[ \r]*$/
}

# Is that the next sign? Then it is taken.
function take(sign,    at) {
	match(TEXT, /^ */)
	at = RLENGTH + 1
	if (substr(TEXT, at, 1) != sign)
		return 0
	TEXT = substr(TEXT, at + 1)
	return 1
}

function take_value(depth,    first, word) {
	BROKEN = 0
	match(TEXT, /^ */)
	first = substr(TEXT, RLENGTH + 1, 1)
	if (first == "\"") {
		word = take_string()
		TYPE = "string"
		return word
	}
	if (first == "[" || first == "{")
		return depth > 8 ? fail_value() : take_group(first, depth + 1)
	if (match(TEXT, /^ *-?[0-9][0-9.]*([eE][-+]?[0-9]+)?/)) {
		TYPE = "number"
	} else if (match(TEXT, /^ *(true|false|null)/)) {
		TYPE = "word"
	} else
		return fail_value()
	word = substr(TEXT, 1, RLENGTH)
	TEXT = substr(TEXT, RLENGTH + 1)
	sub(/^ */, "", word)
	return word
}

function fail_value() {
	BROKEN = 1
	return ""
}

# An array or an object.
function take_group(open,  depth,    shut, all, n, one) {
	shut = open == "[" ? "]" : "}"
	take(open)
	while (!take(shut)) {
		if (n++ && !take(","))
			return fail_value()
		if (open == "{") {
			match(TEXT, /^ */)
			if (substr(TEXT, RLENGTH + 1, 1) != "\"")
				return fail_value()
			take_string()
			if (BROKEN || !take(":"))
				return fail_value()
		}
		one = take_value(depth)
		if (BROKEN)
			return ""
		all = all (n > 1 ? "\034" : "") one
	}
	TYPE = open == "[" ? "array" : "object"
	return open == "[" ? all : ""
}

function take_string(    at, piece, done, sign) {
	BROKEN = 0
	sub(/^ *"/, "", TEXT)
	while (match(TEXT, /["\\]/)) {
		at = RSTART
		done = done substr(TEXT, 1, at - 1)
		sign = substr(TEXT, at + 1, 1)
		if (substr(TEXT, at, 1) == "\"") {
			TEXT = substr(TEXT, at + 1)
			gsub(/[\001-\010\013-\037\177]/, " ", done)
			return done
		}
		piece = sign
		if (sign == "n")
			piece = "\n"
		else if (sign == "t")
			piece = "\t"
		else if (sign ~ /[bfr]/)
			piece = " "
		else if (sign == "u") {
			piece = utf8(substr(TEXT, at + 2, 4))
			at += 4
		}
		done = done piece
		TEXT = substr(TEXT, at + 2)
	}
	return fail_value()
}

# Four hexadecimal digits as UTF-8. LIMIT: of a pair of surrogates each half is a question mark.
function utf8(hex,    i, n) {
	for (i = 1; i <= 4; i++)
		n = n * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
	if (hex !~ /^[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]$/ || (n >= 55296 && n < 57344))
		return "?"
	if (n < 32 || n == 127)
		return " "
	if (n < 128)
		return sprintf("%c", n)
	if (n < 2048)
		return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
	return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
}
