# page.awk - the page about what labs measured: of one person, or of a class. Run by lab-report, which says what
# there is (list()).
#
# First everything is read, then the page is written, from the top down. Everything that is shown comes from somebody,
# and goes through text().

BEGIN {
	FS = "\t"
	line_max = 16384     # of a record; parse() takes longer than a line is long
	shown_max = 100000   # bytes of a transcript
}

$1 == "person" {
	person[++persons] = $2
	folder_of[persons] = $3
	named[$2]++
}
$1 == "bundle" {
	bundle[++bundles] = $2
	owner[bundles] = persons
	read_records(bundles, $2 "/lab.json")
}
$1 == "has" && $2 == "environment.txt" { read_environment(bundles, bundle[bundles] "/" $2) }
$1 == "has" && $2 == "transcript.txt" { transcript[bundles] = bundle[bundles] "/" $2 }
$1 == "picture" {
	n = ++pictures[bundles]
	picture_name[bundles, n] = $2
	picture_title[bundles, n] = $3 != "" ? $3 : $2
	picture[bundles, n] = $4
}
$1 == "left" { left[++lefts] = $2 ": " $3 }

END {
	sort_labs()
	tell_apart()
	if (bundles == 0)
		exit
	top()
	if (persons == 1)
		page_of_one()
	else
		page_of_class()
	bottom()
}

# --- reading --------------------------------------------------------------------------------------------------------

function read_records(b, file,    line, record) {
	lab[b] = ""
	verdict[b] = "UNFINISHED"
	while ((getline line < file) > 0) {
		if (line ~ /^[ \r]*$/)
			continue
		if (length(line) > line_max || !parse(line, record) || !("record" in record)) {
			damaged[b]++
			continue
		}
		keep(b, record)
	}
	close(file)
	if (lab[b] !~ /^[0-9][0-9]*-[a-z0-9-]+$/ || length(lab[b]) > 60)
		lab[b] = ""
	count(b)
}

function keep(b, r,    n) {
	if (r["record"] == "start") {
		lab[b] = r["lab"]
		summary[b] = r["summary"]
		tier[b] = r["tier"]
		kernel[b] = r["kernel"]
	} else if (r["record"] == "prediction") {
		n = ++questions[b]
		key[b, n] = r["name"]
		question[b, n] = r["question"]
		answer[b, n] = KIND["answer"] == "string" ? r["answer"] : ""
		choices[b, n] = KIND["choices"] == "array" ? r["choices"] : ""
		if (answer[b, n] != "")
			answered[b]++
	} else if (r["record"] == "measured")
		measured[b, r["name"]] = r["text"]
	else if (r["record"] == "figure") {
		n = ++figures[b]
		figure[b, n] = r["name"]
		value[b, n] = KIND["value"] == "number" ? r["value"] : "null"
		unit[b, n] = r["unit"]
	} else if (r["record"] == "claim") {
		n = ++claims[b]
		claim[b, n] = r["claim"]
		holds[b, n] = r["holds"] == "true"
		fails[b] += !holds[b, n]
	} else if (r["record"] == "command") {
		commands[b]++
		took[b] += r["elapsed_ns"]
		print_of[b] = print_of[b] r["elapsed_ns"] " "
	} else if (r["record"] == "total") {
		verdict[b] = r["verdict"] ~ /^(CONFIRMED|NOT CONFIRMED|SKIPPED)$/ ? r["verdict"] : "UNFINISHED"
		why[b] = KIND["why"] == "string" ? r["why"] : ""
	} else if (r["record"] == "error") {
		verdict[b] = "INTERRUPTED"
		why[b] = r["message"]
	}
}

# Of several runs of one lab the last in the list is the one that counts.
function count(b,    p, l) {
	p = owner[b]
	l = lab[b]
	if (l == "") {
		strange[p]++
		left[++lefts] = bundle[b] "/lab.json: no lab's name in it"
		return
	}
	if (!(l in labs)) {
		labs[l] = 1
		name_of[++lab_count] = l
		summary_of[l] = summary[b]
	}
	runs[p, l]++
	cell[p, l] = b
}

function read_environment(b, file,    line, at, n) {
	while ((getline line < file) > 0 && n++ < 100) {
		at = index(line, ":")
		if (at < 2 || length(line) > 1000)
			continue
		env_key[b, ++envs[b]] = substr(line, 1, at - 1)
		sub(/^[^:]*: */, "", line)
		env_value[b, envs[b]] = line
		env[b, env_key[b, envs[b]]] = line
	}
	close(file)
}

# By name, which begins with the number. There are a few dozen.
function sort_labs(    i, j, t) {
	for (i = 2; i <= lab_count; i++)
		for (j = i; j > 1 && lab_order(name_of[j]) < lab_order(name_of[j - 1]); j--) {
			t = name_of[j]
			name_of[j] = name_of[j - 1]
			name_of[j - 1] = t
		}
}

function lab_order(name) {
	return sprintf("%09d %s", name, name)
}

# Two people whose folders have the same name are told apart by where these lie.
function tell_apart(    p) {
	for (p = 1; p <= persons; p++)
		if (named[person[p]] > 1)
			person[p] = folder_of[p]
}

# --- text -----------------------------------------------------------------------------------------------------------

function text(s) {
	gsub(/[\001-\010\013-\037\177]/, " ", s)
	gsub(/&/, "\\&amp;", s)
	gsub(/</, "\\&lt;", s)
	gsub(/>/, "\\&gt;", s)
	gsub(/"/, "\\&quot;", s)
	gsub(/'/, "\\&#39;", s)
	return s
}

function cut(s, max) {
	return length(s) > max ? substr(s, 1, max) " [...]" : s
}

function plural(n, one, many) {
	return n " " (n == 1 ? one : many)
}

# A figure as people read it: 1.38 MB/s, 24.1 ms, 1 000 016 bytes.
function human(v, u,    sign) {
	if (v == "null" || v == "")
		return "unknown"
	v += 0 # or mawk compares it as text
	sign = v < 0 ? "-" : ""
	if (v < 0)
		v = -v
	if (u == "ns")
		return sign scaled(v, 1000, "ns us ms s", 4)
	if (u == "B/s")
		return sign scaled(v, 1000, "B/s kB/s MB/s GB/s TB/s", 5)
	return sign number(v) (u == "1" || u == "" ? "" : (u == "%" ? "\302\240" : " ") text(u))
}

function scaled(v, step, words, n,    word, i) {
	split(words, word, " ")
	for (i = 1; i < n && v >= step; i++)
		v /= step
	return number(v) " " word[i]
}

function number(v,    s, done) {
	if (v != int(v) && v < 100000)
		return sprintf("%.4g", v)
	if (v >= 1e15)
		return sprintf("%.4g", v)
	s = sprintf("%.0f", v)
	if (length(s) < 5)
		return s
	while (length(s) > 3) {
		done = "\342\200\257" substr(s, length(s) - 2) done # a narrow blank that is not broken
		s = substr(s, 1, length(s) - 3)
	}
	return s done
}

function badge(v) {
	return "<span class=\"badge " class_of(v) "\">" sign_of(v) " " tolower(v) "</span>"
}

function class_of(v) {
	return v == "CONFIRMED" ? "good" : v == "NOT CONFIRMED" ? "bad" : v == "SKIPPED" ? "skip" : "odd"
}

function sign_of(v) {
	return v == "CONFIRMED" ? "&#10003;" : v == "NOT CONFIRMED" ? "&#10007;" : v == "SKIPPED" ? "&#8211;" : "?"
}

# The head of a table: names with commas between, of columns of numbers with a # in front.
function heads(names,    name, n, i, row) {
	n = split(names, name, ",")
	for (i = 1; i <= n; i++)
		row = row head(name[i])
	return "\n<thead><tr>" row "</tr></thead>\n<tbody>"
}

function head(name) {
	if (sub(/^#/, "", name))
		return "<th scope=\"col\" class=\"n\">" name "</th>"
	return "<th scope=\"col\">" name "</th>"
}

# --- the frame ------------------------------------------------------------------------------------------------------

function top(    line, name) {
	name = ENVIRON["REPORT_TITLE"]
	if (name == "")
		name = persons > 1 ? "Labs of a class" : lab_count == 1 ? "Lab " name_of[1] : "Labs"
	print "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">"
	print "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
	print "<meta name=\"color-scheme\" content=\"light dark\">"
	# Should an escape be missing somewhere, still nothing runs, and nothing is fetched.
	print "<meta http-equiv=\"Content-Security-Policy\" " \
		"content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
	print "<title>" text(name) "</title>\n<style>"
	while ((getline line < ENVIRON["REPORT_STYLE"]) > 0)
		print line
	print "</style>\n</head>\n<body>\n<main" (persons > 1 ? " class=\"class\"" : "") ">"
	print "<header>\n<h1>" text(name) "</h1>"
}

function bottom(    i) {
	if (lefts) {
		print "<section>\n<h2 id=\"left-out\">Not looked at</h2>\n<ul>"
		for (i = 1; i <= lefts && i <= 100; i++)
			print "<li>" text(left[i]) "</li>"
		print "</ul>\n</section>"
	}
	print "<footer>Made by <code>tcplab lab report</code> on " text(ENVIRON["REPORT_DATE"]) \
		". What is folded is not printed.</footer>"
	print "</main>\n</body>\n</html>"
}

# --- one person -----------------------------------------------------------------------------------------------------

function page_of_one(    i, b) {
	b = cell[1, name_of[1]]
	print "<p>" text(person[1]) (env[b, "date"] != "" ? ", " text(env[b, "date"]) : "") ": " verdicts_of(1) \
		".</p>\n</header>"
	machine(b)
	if (lab_count > 1)
		overview()
	for (i = 1; i <= lab_count; i++) {
		b = cell[1, name_of[i]]
		print "<section class=\"lab\">\n<h2 id=\"lab-" name_of[i] "\">" name_of[i] " " badge(verdict[b]) "</h2>"
		print "<p>" text(cut(summary[b], 1000)) "</p>"
		details_of(b)
		print "</section>"
	}
}

function verdicts_of(p,    i, b, n, said, words, w) {
	for (i = 1; i <= lab_count; i++)
		if ((p, name_of[i]) in cell)
			n[verdict[cell[p, name_of[i]]]]++
	split("CONFIRMED,NOT CONFIRMED,SKIPPED,INTERRUPTED,UNFINISHED", words, ",")
	for (w = 1; w <= 5; w++)
		if (n[words[w]])
			said = said (said != "" ? ", " : "") n[words[w]] " " tolower(words[w])
	return said
}

function machine(b,    i) {
	if (!envs[b])
		return
	print "<details class=\"machine\"><summary>Processors: " text(cut(env[b, "processors"], 100)) "; " \
		text(cut(env[b, "kernel"], 60)) "</summary>"
	environment(b)
	print "</details>"
}

function environment(b,    i) {
	print "<div class=\"wide\"><table>"
	for (i = 1; i <= envs[b]; i++)
		print "<tr><th scope=\"row\">" text(cut(env_key[b, i], 60)) "</th><td>" \
			text(cut(env_value[b, i], 300)) "</td></tr>"
	print "</table></div>"
}

function overview(    i, b) {
	print "<div class=\"wide\"><table class=\"overview\">" heads("Lab,Verdict,#Predicted,#Claims that hold,Tier")
	for (i = 1; i <= lab_count; i++) {
		b = cell[1, name_of[i]]
		print "<tr><th scope=\"row\"><a href=\"#lab-" name_of[i] "\">" name_of[i] "</a></th><td>" \
			badge(verdict[b]) "</td><td class=\"n\">" \
			of(answered[b], questions[b]) "</td><td class=\"n\">" of(claims[b] - fails[b], claims[b]) \
				"</td><td>" text(cut(tier[b], 10)) "</td></tr>"
	}
	print "</tbody>\n</table></div>"
}

function of(n, all) {
	return all ? n + 0 " of " all : "&#8211;"
}

# What one run of one lab found.
function details_of(b,    i, p) {
	p = owner[b]
	if (why[b] != "")
		print "<p class=\"why\">" text(cut(why[b], 2000)) "</p>"
	if (remarks(b) != "")
		print "<p class=\"remark\">" REMARKS "</p>"
	predictions_of(b)
	for (i = 1; i <= pictures[b]; i++)
		print "<figure><img alt=\"" text(cut(picture_title[b, i], 200)) \
			"\" src=\"data:image/svg+xml;base64," picture[b, i] "\"></figure>"
	figures_of(b)
	claims_of(b)
	fold_transcript(b)
}

# What does not go together. A teacher may want to ask.
function remarks(b) {
	REMARKS = ""
	if (verdict[b] == "CONFIRMED" && fails[b])
		remark("The verdict says confirmed, but " plural(fails[b], "claim does", "claims do") " not hold.")
	if (verdict[b] == "CONFIRMED" && !claims[b])
		remark("The verdict says confirmed, but there is no claim.")
	if (damaged[b])
		remark(plural(damaged[b], "line", "lines") " of lab.json could not be read.")
	if (runs[owner[b], lab[b]] > 1)
		remark("There are " runs[owner[b], lab[b]] " runs of this lab; this is the last one in the list.")
	if ((b in twin))
		remark("The same run as that of " cut(person[twin[b]], 80) \
			": each command took as long, to the nanosecond.")
	return REMARKS
}

function remark(s) {
	REMARKS = REMARKS (REMARKS != "" ? " " : "") text(s)
}

function predictions_of(b,    i) {
	if (!questions[b])
		return
	print "<div class=\"wide\"><table class=\"predictions\">" heads("Question,Predicted,Measured")
	for (i = 1; i <= questions[b]; i++)
		print "<tr><td>" text(cut(question[b, i], 1000)) "</td><td>" \
			(answer[b, i] != "" ? text(cut(answer[b, i], 300)) : "<i>nothing</i>") \
			"</td><td>" ((b, key[b, i]) \
				in measured ? text(cut(measured[b, key[b, i]], 300)) : "<i>nothing</i>") "</td></tr>"
	print "</tbody>\n</table></div>"
}

function figures_of(b,    i) {
	if (!figures[b])
		return
	print "<ul class=\"figures\">"
	for (i = 1; i <= figures[b]; i++)
		print "<li><code>" text(cut(figure[b, i], 100)) "</code> <b title=\"" text(cut(value[b, i] " " \
			unit[b, i], 60)) "\">" \
			human(value[b, i], unit[b, i]) "</b></li>"
	print "</ul>"
}

function claims_of(b,    i) {
	if (!claims[b])
		return
	print "<ul class=\"claims\">"
	for (i = 1; i <= claims[b]; i++)
		print "<li class=\"" (holds[b, i] ? "good\">&#10003; " : "bad\">&#10007; fails: ") \
			text(cut(claim[b, i], 1000)) "</li>"
	print "</ul>"
}

function fold_transcript(b,    line, size) {
	if (!(b in transcript))
		return
	print "<details><summary>Transcript</summary>"
	printf "<pre>"
	while ((getline line < transcript[b]) > 0) {
		size += length(line) + 1
		if (size > shown_max)
			break
		print text(line)
	}
	close(transcript[b])
	print (size > shown_max ? "[...]\n" : "") "</pre></details>"
}

# --- a class --------------------------------------------------------------------------------------------------------

function page_of_class(    i, n) {
	find_twins()
	print "<p>" plural(persons, "person", "people") ", " plural(lab_count, "lab", "labs") ".</p>\n</header>"
	matrix()
	to_look_at()
	for (i = 1; i <= lab_count; i++)
		class_lab(name_of[i])
}

# The same times of the same commands: two copies of one run.
function find_twins(    b, first, l) {
	for (b = 1; b <= bundles; b++) {
		if (lab[b] == "" || commands[b] < 2)
			continue
		l = lab[b] SUBSEP print_of[b]
		if ((l in first) && owner[first[l]] != owner[b]) {
			twin[b] = owner[first[l]]
			twin[first[l]] = owner[b]
		} else if (!(l in first))
			first[l] = b
	}
}

function id_of(p, l) {
	return "p" p "-" l
}

function matrix(    p, i, l, b, n) {
	print "<section>\n<h2 id=\"who\">Who has confirmed what</h2>"
	print "<div class=\"wide\"><table class=\"matrix\">\n<thead><tr>" head("Name")
	for (i = 1; i <= lab_count; i++) {
		l = name_of[i]
		sub(/-.*/, "", l)
		print "<th scope=\"col\"><a href=\"#lab-" name_of[i] "\" title=\"" name_of[i] "\">" l "</a></th>"
	}
	print head("#Confirmed") head("#Predicted") head("Machine") "</tr></thead>\n<tbody>"
	for (p = 1; p <= persons; p++)
		matrix_row(p)
	print "</tbody>\n<tfoot><tr><th scope=\"row\">Confirmed</th>"
	for (i = 1; i <= lab_count; i++) {
		n = 0
		for (p = 1; p <= persons; p++)
			n += ((p, name_of[i]) in cell) && verdict[cell[p, name_of[i]]] == "CONFIRMED"
		print "<td>" n "</td>"
	}
	print "<td></td><td></td><td></td></tr></tfoot>\n</table></div>"
	print "<p class=\"legend\">&#10003; confirmed, &#10007; not confirmed, &#8211; skipped, " \
		"? interrupted or without an end, * see below, " \
		"empty: not handed in. Each leads to what was measured.</p>\n</section>"
}

function matrix_row(p,    i, b, good, said, asked, about) {
	print "<tr><th scope=\"row\">" text(cut(person[p], 80)) "</th>"
	for (i = 1; i <= lab_count; i++) {
		if (!((p, name_of[i]) in cell)) {
			print "<td></td>"
			continue
		}
		b = cell[p, name_of[i]]
		about = b
		good += verdict[b] == "CONFIRMED"
		said += answered[b]
		asked += questions[b]
		print "<td class=\"" class_of(verdict[b]) "\"><a href=\"#" id_of(p, name_of[i]) "\" title=\"" \
			name_of[i] ": " tolower(verdict[b]) "\">" \
			sign_of(verdict[b]) (is_odd(b) ? "*" : "") "</a></td>"
	}
	print "<td class=\"n\">" good + 0 "</td><td class=\"n\">" of(said, asked) "</td><td>" \
		(about ? text(cut(env[about, "system"], 60) ", " cut(kernel[about], 40)) : "nothing was handed in") \
			"</td></tr>"
}

function is_odd(b) {
	return (verdict[b] == "CONFIRMED" && (fails[b] || !claims[b])) || damaged[b] || (b in twin)
}

function to_look_at(    p, i, b, n) {
	for (p = 1; p <= persons; p++)
		for (i = 1; i <= lab_count; i++) {
			if (!((p, name_of[i]) in cell) || !is_odd(cell[p, name_of[i]]))
				continue
			if (!n++)
				print "<section>\n<h2 id=\"odd\">To look at</h2>\n<ul>"
			print "<li><a href=\"#" id_of(p, name_of[i]) "\">" text(cut(person[p], 80)) ", " name_of[i] \
				"</a>: " \
				remarks(cell[p, name_of[i]]) "</li>"
		}
	if (n)
		print "</ul>\n</section>"
}

function class_lab(l,    p, n, b) {
	print "<section class=\"lab\">\n<h2 id=\"lab-" l "\">" l "</h2>\n<p>" text(cut(summary_of[l], 1000)) "</p>"
	class_predictions(l)
	class_figures(l)
	class_claims(l)
	print "<h3>Handed in</h3>"
	for (p = 1; p <= persons; p++) {
		if (!((p, l) in cell))
			continue
		b = cell[p, l]
		print "<details id=\"" id_of(p, l) "\"><summary>" text(cut(person[p], 80)) " " badge(verdict[b]) \
			"</summary>"
		details_of(b)
		machine(b)
		print "</details>"
	}
	print "</section>"
}

# Each question with what the class said, and what its machines measured. The questions are those of whoever has most of
# them.
function class_predictions(l,    p, i, b, most) {
	for (p = 1; p <= persons; p++)
		if (((p, l) in cell) && (!most || questions[cell[p, l]] > questions[most]))
			most = cell[p, l]
	for (i = 1; i <= questions[most]; i++)
		class_question(l, most, i)
}

function class_question(l, most, q,    p, i, b, n, all, silent, said, sayings, got, gots, k, label, choice, widest) {
	k = key[most, q]
	for (p = 1; p <= persons; p++) {
		if (!((p, l) in cell))
			continue
		b = cell[p, l]
		for (i = 1; i <= questions[b] && key[b, i] != k; i++)
			continue
		if (i > questions[b])
			continue
		all++
		if (answer[b, i] == "")
			silent++
		else if (!n[answer[b, i]]++)
			said[++sayings] = answer[b, i]
		if (((b, k) in measured) && !got_n[l, k, measured[b, k]]++)
			got[++gots] = measured[b, k]
	}
	choice = choices[most, q]
	split("", label)
	if (choice != "")
		sayings = with_choices(choice, n, said, sayings)
	else
		sort_numbers(said, sayings)
	for (i = 1; i <= sayings; i++)
		if (n[said[i]] > widest)
			widest = n[said[i]]
	most_first(got, gots, l, k)
	print "<h3>" text(cut(question[most, q], 1000)) "</h3>\n<div class=\"wide\"><table class=\"bars\">"
	for (i = 1; i <= sayings && i <= 40; i++)
		bar(said[i], n[said[i]] + 0, widest, "")
	if (silent)
		bar("(no answer)", silent, widest > silent ? widest : silent, "silent")
	print "</table></div>"
	print "<p class=\"measured\"><b>Measured</b> "
	for (i = 1; i <= gots && i <= 8; i++)
		print (i > 1 ? "<br>" : "") text(cut(got[i], 300)) \
			(got_n[l, k, got[i]] > 1 ? " <span class=\"times\">(" got_n[l, k, got[i]] " times)</span>" : "")
	print (gots > 8 ? "<br>and " gots - 8 " more" : gots ? "" : "<i>nothing</i>") "</p>"
}

# The choices in their order, also those that nobody took; then whatever else was said.
function with_choices(choice, n, said, sayings,    part, parts, i, j, list, all) {
	parts = split(choice, part, "\034")
	for (i = 1; i <= parts && i <= 8; i++)
		list[++all] = substr("abcdefgh", i, 1) ": " part[i]
	for (i = 1; i <= sayings; i++) {
		for (j = 1; j <= all && list[j] != said[i]; j++)
			continue
		if (j > all)
			list[++all] = said[i]
	}
	for (i = 1; i <= all; i++)
		said[i] = list[i]
	return all
}

function sort_numbers(list, n,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j] + 0 < list[j - 1] + 0; j--) {
			t = list[j]
			list[j] = list[j - 1]
			list[j - 1] = t
		}
}

function most_first(got, n, l, k,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && got_n[l, k, got[j]] > got_n[l, k, got[j - 1]]; j--) {
			t = got[j]
			got[j] = got[j - 1]
			got[j - 1] = t
		}
}

function bar(label, n, widest, class) {
	printf "<tr%s><th scope=\"row\">%s</th><td class=\"n\">%d</td>" \
		"<td class=\"bar\"><span style=\"width:%d%%\"></span></td></tr>\n", \
		(class != "" ? " class=\"" class "\"" : ""), text(cut(label, 300)), n, (widest ? 100 * n / widest : 0)
}

# How far the same figure lies apart on different machines.
function class_figures(l,    p, i, b, n, list, total, f) {
	for (p = 1; p <= persons; p++) {
		if (!((p, l) in cell))
			continue
		b = cell[p, l]
		for (i = 1; i <= figures[b]; i++)
			if (!((l, figure[b, i]) in figure_unit)) {
				figure_unit[l, figure[b, i]] = unit[b, i]
				list[++total] = figure[b, i]
			}
	}
	if (!total)
		return
	print "<h3>Figures</h3>\n<div class=\"wide\"><table class=\"spread\">" heads("Figure,#Runs,#Least,#Median,#Most,Spread")
	for (f = 1; f <= total && f <= 200; f++)
		spread(l, list[f])
	print "</tbody>\n</table></div>"
}

function spread(l, name,    p, i, b, n, v, who, u, middle, unknown) {
	u = figure_unit[l, name]
	for (p = 1; p <= persons; p++) {
		if (!((p, l) in cell))
			continue
		b = cell[p, l]
		for (i = 1; i <= figures[b]; i++) {
			if (figure[b, i] != name || unit[b, i] != u)
				continue
			if (value[b, i] == "null") {
				unknown++
				continue
			}
			v[++n] = value[b, i] + 0
			if (!(("min") in who) || v[n] < v[who["min"]])
				who["min"] = n
			if (!(("max") in who) || v[n] > v[who["max"]])
				who["max"] = n
			by[n] = p
		}
	}
	print "<tr><td><code>" text(cut(name, 100)) "</code></td><td class=\"n\">" n + 0 (unknown ? ", " unknown \
		" unknown" : "") "</td>"
	if (!n) {
		print "<td></td><td></td><td></td><td></td></tr>"
		return
	}
	print "<td class=\"n\" title=\"" text(person[by[who["min"]]]) "\">" human(v[who["min"]], u) "</td>"
	strip_of(v, n)
	sort_numbers(v, n)
	middle = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
	print "<td class=\"n\">" human(middle, u) "</td><td class=\"n\" title=\"" text(person[by[who["max"]]]) "\">" \
		human(v[n], u) "</td><td>" STRIP "</td></tr>"
}

# A point for each run, between the least and the most; by their logarithm if these lie far apart.
function strip_of(v, n,    i, least, most, x) {
	least = most = v[1]
	for (i = 2; i <= n; i++) {
		if (v[i] < least)
			least = v[i]
		if (v[i] > most)
			most = v[i]
	}
	STRIP = "<svg class=\"strip\" width=\"160\" height=\"14\" viewBox=\"0 0 160 14\" aria-hidden=\"true\">" \
		"<path d=\"M4,7H156\"/>"
	for (i = 1; i <= n; i++) {
		if (most <= least)
			x = 80
		else if (least > 0 && most / least > 50)
			x = 4 + 152 * log(v[i] / least) / log(most / least)
		else
			x = 4 + 152 * (v[i] - least) / (most - least)
		STRIP = STRIP sprintf("<circle cx=\"%.1f\" cy=\"7\" r=\"3\"/>", x)
	}
	STRIP = STRIP "</svg>"
}

# Only those that did not hold for everybody.
function class_claims(l,    p, i, b, list, total, yes, no) {
	for (p = 1; p <= persons; p++) {
		if (!((p, l) in cell))
			continue
		b = cell[p, l]
		for (i = 1; i <= claims[b]; i++) {
			if (!((claim[b, i]) in yes)) {
				yes[claim[b, i]] = no[claim[b, i]] = 0
				list[++total] = claim[b, i]
			}
			if (holds[b, i])
				yes[claim[b, i]]++
			else
				no[claim[b, i]]++
		}
	}
	p = 0
	for (i = 1; i <= total; i++) {
		if (!no[list[i]])
			continue
		if (!p++)
			print "<h3>Claims that did not hold everywhere</h3>\n<ul class=\"claims\">"
		print "<li>" text(cut(list[i], 1000)) ": held " plural(yes[list[i]], "time", "times") ", failed " \
			plural(no[list[i]], "time", "times") "</li>"
	}
	if (p)
		print "</ul>"
}
