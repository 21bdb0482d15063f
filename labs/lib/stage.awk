# stage.awk - lays a lab's lines out for a stage. Run by present.sh, which says for what: a title screen, the head of a
# beat, or the text of one.
#
# What a lab says is of four kinds, and each is told by its form: a command ("$ ..."), a line with a meaning of its own
# ("  holds: ..."), what is in columns and has to stay so, and prose. Prose was broken into lines for a screen of 120
# columns: a line that long, without columns in it, goes on in the next one, and is broken anew.
#
# In bytes, LC_ALL=C: a character of UTF-8 is counted by its first byte.

BEGIN {
	margin = columns >= 60 ? "  " : ""
	width = columns - 1 - 2 * length(margin)
	measure = width < 84 ? width : 84 # wider is harder to read, however large the screen
	esc = "\033["
	off = colour ? esc "0m" : ""
	bold = colour ? esc "1m" : ""
	faint = colour ? esc "2m" : ""
	inverse = colour ? esc "1;7m" : ""
	command = bold colours("36")
	figure = bold colours("33")
	good = bold colours("32")
	bad = bold colours("31")
	split("predict run observe explain verdict", beats)
}

function colours(code) {
	return colour == "1" ? esc code "m" : ""
}

{
	gsub(/\t/, "        ")
	gsub(/[\001-\037\177]/, "")
	line[NR] = $0
}

END {
	if (what == "title")
		title()
	else if (what == "head")
		head()
	else if (what == "heading")
		wrap(line[1], margin, margin, measure, bold)
	else
		text()
}

# --- screens ---

# "12-nagle": the number, the topic in wide capitals, and the summary.
function title(    number, topic, i, wide) {
	number = lab
	sub(/-.*/, "", number)
	topic = toupper(lab)
	sub(/^[^-]*-/, "", topic)
	gsub(/-/, " ", topic)
	for (i = 1; i <= length(topic); i++)
		wide = wide (i > 1 ? " " : "") substr(topic, i, 1)
	if (length(wide) > width)
		wide = topic
	for (i = 1; i < rows / 4; i++)
		print ""
	print margin faint "Lab " number off
	print ""
	print margin bold wide off
	print ""
	wrap(line[1], margin, margin, measure, "")
}

# The five beats, and where we are.
function head(    i, bar, len) {
	for (i = 1; i <= 5; i++) {
		bar = bar (beats[i] == beat ? inverse " " toupper(beat) " " off : faint " " beats[i] " " off)
		len += length(beats[i]) + 2
	}
	if (len > width || !colour || index("predict run observe explain verdict", beat) == 0)
		bar = inverse " " toupper(beat) " " off
	if (len + length(lab) + 6 <= width && colour)
		bar = bar sprintf("%*s", width - len - length(lab), "") faint lab off
	print margin bar
}

function text(    i, prose) {
	for (i = 1; i <= NR; i++) {
		if (line[i] ~ /^--- (predict|run|observe|explain|verdict)/)
			continue # it has a screen of its own
		if (beat == "title" && index(line[i], lab ": ") == 1)
			continue # and so has this
		prose = line[i]
		if (!is_prose(prose)) {
			fixed(prose)
			if (beat == "explain" && i < NR && is_prose(line[i + 1]))
				print ""
			continue
		}
		while (i < NR && goes_on(line[i], line[i + 1]))
			prose = prose " " line[++i]
		wrap(prose, margin, margin, measure, "")
		if (beat == "explain" || beat == "predict")
			print ""
	}
}

# --- lines ---

# Is NEXT the same paragraph? Where a sentence ends in front of the edge, or a new label begins, it is a new one.
function goes_on(s, following) {
	if (chars(s) < 80 || !is_prose(following) || following ~ /^(In the source|Read on)/)
		return 0
	return s !~ /[.:?!]$/ || (chars(s) >= 108 && following !~ /^[A-Za-z][^.:;]*: /)
}

function is_prose(s) {
	return s != "" && s !~ /^[ $]/ && s !~ /[^ ]   *[^ ]/ && s !~ /[|]/ && s !~ /[\200-\377]/ && s !~ special()
}

function special() {
	return "^([^ ]*: (CONFIRMED|NOT CONFIRMED|SKIPPED)|left out: |[(]not asked[)])"
}

function fixed(s,    mark) {
	if (s == "")
		print ""
	else if (substr(s, 1, 2) == "$ ") {
		print ""
		wrap(s, margin, margin "    ", width, command)
	} else if (s ~ /^  holds: /)
		wrap(substr(s, 10), margin good "holds" off "  ", margin "       ", measure, "")
	else if (s ~ /^  FAILS: /)
		wrap(substr(s, 10), margin bad "FAILS" off "  ", margin "       ", measure, "")
	else if (match(s, /^  (you predicted|measured)   */)) {
		mark = substr(s, 3, 3) == "you" ? "" : figure
		if (mark == "")
			print ""
		wrap(substr(s, RLENGTH + 1), margin (mark == "" ? "the room said   " : "measured        "),
			margin sprintf("%16s", ""), measure, mark == "" ? bold : mark)
	} else if (s ~ /^[^ ]*: CONFIRMED/) {
		print ""
		wrap(s, margin, margin, width, good (colour ? esc "7m" : ""))
	} else if (s ~ /^[^ ]*: NOT CONFIRMED/) {
		print ""
		wrap(s, margin, margin, width, bad (colour ? esc "7m" : ""))
	} else if (beat == "predict" && match(s, /^  [a-h]  /))
		wrap(substr(s, 6), margin "  " bold substr(s, 3, 1) off "  ", margin "     ", measure, "")
	else if (s ~ special())
		wrap(s, margin, margin, measure, faint)
	else
		columns_of(s)
}

# What is in columns stays so. Its figures stand out where figures are what it is about.
function columns_of(s) {
	if (s ~ /[\200-\377]/ || chars(s) <= width)
		print margin figures(s)
	else
		wrap(s, margin, margin "    ", width, "figures")
}

function figures(s,    done, word) {
	if (!colour || beat !~ /^(run|observe|verdict)$/ || s ~ /[\200-\377]/)
		return s
	while (match(s, /[0-9][0-9.,]*/)) {
		word = substr(s, RSTART, RLENGTH)
		# A figure in a name is none: b2a, x86_64, 127.0.0.1:80.
		if (substr(s, 1, RSTART - 1) ~ /[A-Za-z_:.\/-]$/ || substr(s, RSTART + RLENGTH) ~ /^[A-Za-z_:\/]/)
			done = done substr(s, 1, RSTART + RLENGTH - 1)
		else
			done = done substr(s, 1, RSTART - 1) figure word off
		s = substr(s, RSTART + RLENGTH)
	}
	return done s
}

function chars(s) {
	gsub(/[\200-\277]/, "", s)
	return length(s)
}

# A margin may have a coloured word in it.
function seen(s) {
	gsub(/\033\[[0-9;]*m/, "", s)
	return chars(s)
}

# wrap(S, FIRST, REST, WIDTH, MARK): prints S with these margins, each line of it marked; the blanks in it stay. A word that
# is wider than the screen is cut.
function wrap(s, first, rest, limit, mark,    lead, room, at, piece) {
	lead = first
	do {
		room = limit - seen(lead) + length(margin)
		if (room < 8)
			room = 8
		piece = s
		if (chars(s) > room) {
			at = cut(s, room)
			piece = substr(s, 1, at)
			s = substr(s, at + 1)
			sub(/ +$/, "", piece)
			sub(/^ +/, "", s)
		} else
			s = ""
		print lead (mark == "figures" ? figures(piece) : mark piece (mark != "" ? off : ""))
		lead = rest
	} while (s != "")
}

# The byte after which S is cut, so that at most ROOM characters stand in front of it: at a blank if there is one.
function cut(s, room,    i, n, at, c) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (c !~ /[\200-\277]/ && ++n > room + 1)
			break
		if (c == " " && i > 1)
			at = i
		if (n <= room)
			end = i
	}
	return at > 1 ? at : end
}
