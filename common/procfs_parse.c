#include "procfs_parse.h"

#include <assert.h>
#include <string.h>

/* Every parser eats a text from its beginning: what take_... found is gone from it. False: it is not there, and then
 * the text is of no use any more, since the first thing that is wrong ends the parsing. */
struct text {
	const char *at, *end;
};

static struct text text_of(const char *bytes, size_t len)
{
	return (struct text){ bytes, bytes + len };
}

static size_t len_of(struct text t)
{
	return (size_t)(t.end - t.at);
}

static bool is_text(struct text t, const char *word)
{
	while (t.at < t.end && *word != '\0' && *t.at == *word)
		t.at++, word++;
	return t.at == t.end && *word == '\0';
}

static const char *find(struct text t, char c)
{
	return t.at == t.end ? NULL : memchr(t.at, c, len_of(t));
}

static bool take_char(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_blanks(struct text *t)
{
	while (t->at < t->end && is_blank(*t->at))
		t->at++;
}

static void trim_end(struct text *t)
{
	while (t->at < t->end && is_blank(t->end[-1]))
		t->end--;
}

/* The value of a hexadecimal digit, or something larger than any. */
static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 99;
}

/* Digits up to the first byte that is none; no sign and no "0x", as the kernel has neither. */
static bool take_number(struct text *t, unsigned base, uint64_t *out)
{
	const char *begin = t->at;
	uint64_t value = 0;
	for (unsigned digit; t->at < t->end && (digit = digit_of(*t->at)) < base; t->at++)
		if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
			return false;
	*out = value;
	return t->at > begin;
}

static bool take_number_upto(struct text *t, unsigned base, uint64_t most, uint64_t *out)
{
	return take_number(t, base, out) && *out <= most;
}

static bool take_signed(struct text *t, int64_t *out)
{
	bool is_negative = take_char(t, '-');
	uint64_t value;
	if (!take_number_upto(t, 10, (uint64_t)INT64_MAX + is_negative, &value))
		return false;
	*out = (int64_t)(is_negative ? 0 - value : value);
	return true;
}

/* What stands before the next blank: at least one byte. */
static bool take_word(struct text *t, struct text *word)
{
	*word = (struct text){ t->at, t->at };
	while (t->at < t->end && !is_blank(*t->at))
		word->end = ++t->at;
	return word->end > word->at;
}

/* The next line, without its newline. A last line that has none was cut off; and a zero byte is in none. */
static bool take_line(struct text *t, struct text *line)
{
	const char *end = find(*t, '\n');
	if (end == NULL)
		return false;
	*line = (struct text){ t->at, end };
	t->at = end + 1;
	return find(*line, '\0') == NULL;
}

/* As a string, cut off where it does not fit. */
static void copy_text(char *out, size_t cap, struct text t)
{
	size_t n = len_of(t) < cap ? len_of(t) : cap - 1;
	memcpy(out, t.at, n);
	out[n] = '\0';
}

/* A parser's last word: what was found in a text that is not right is nothing. */
static bool is_good(bool is_right, void *out, size_t size)
{
	if (!is_right)
		memset(out, 0, size);
	return is_right;
}

/* --- "key: value", line by line ----------------------------------------------------------------------------------- */

/* What becomes of a value. The comment says of which type the member is. */
enum kind {
	DECIMAL, /* uint64_t */
	HEX,     /* uint64_t */
	KIB,     /* uint64_t, in bytes: "12 kB" */
	OCTAL32, /* uint32_t */
	SIGNED,  /* uint64_t: a negative one is a position above 2^63 (/proc/PID/mem has such) */
	SMALL,   /* unsigned */
	FLAG,    /* bool: 0 or 1 */
	LETTER,  /* char: the first of "R (running)" */
	IDS,     /* uint32_t[2]: the first two of four */
	NAME,    /* char[PROCFS_NAME]: escaped by the kernel */
	WORD,    /* char[WORD_LEN] */
};
enum { WORD_LEN = sizeof(((struct procfs_status *)0)->cpus) };

struct key {
	const char *name;
	size_t offset; /* of the member */
	enum kind kind;
};

static void put_u32(unsigned char *member, uint64_t value)
{
	uint32_t small = (uint32_t)value;
	memcpy(member, &small, sizeof(small));
}

static bool take_kib(struct text *t, uint64_t *out)
{
	if (!take_number_upto(t, 10, UINT64_MAX / 1024, out) || !take_char(t, ' ') || !take_char(t, 'k') ||
	    !take_char(t, 'B'))
		return false;
	*out *= 1024;
	return true;
}

/* "0\t1\t2\t3": real, effective, saved, of the file system. */
static bool take_ids(struct text *t, unsigned char *member)
{
	for (unsigned i = 0; i < 4; i++) {
		uint64_t id;
		if ((i > 0 && !take_char(t, '\t')) || !take_number_upto(t, 10, UINT32_MAX, &id))
			return false;
		if (i < 2)
			put_u32(member + i * sizeof(uint32_t), id);
	}
	return true;
}

/* The kernel writes a newline as \n and a backslash as \\, so that a name cannot pretend to be lines of its own. */
static void unescape_name(char out[static PROCFS_NAME], struct text *t)
{
	size_t n = 0;
	for (; t->at < t->end; t->at++) {
		char c = *t->at;
		if (c == '\\' && t->at + 1 < t->end && (t->at[1] == 'n' || t->at[1] == '\\'))
			c = *++t->at == 'n' ? '\n' : '\\';
		if (n < PROCFS_NAME - 1)
			out[n++] = c;
	}
	out[n] = '\0';
}

static bool take_letter(struct text *t, char *out)
{
	if (t->at == t->end || (unsigned)(*t->at | 0x20) - 'a' >= 26u)
		return false;
	*out = *t->at++;
	return true;
}

static bool skip_rest(struct text *t)
{
	t->at = t->end;
	return true;
}

static bool take_small(struct text *t, unsigned base, uint64_t most, unsigned char *member)
{
	uint64_t value;
	if (!take_number_upto(t, base, most, &value))
		return false;
	put_u32(member, value);
	return true;
}

static bool take_flag(struct text *t, bool *out)
{
	uint64_t value;
	if (!take_number_upto(t, 10, 1, &value))
		return false;
	*out = value == 1;
	return true;
}

/* member: of the type that belongs to the kind, and aligned as such; so the casts are right. */
static bool take_value(struct text *t, enum kind kind, void *member)
{
	switch (kind) {
	case DECIMAL:
		return take_number(t, 10, member);
	case HEX:
		return take_number(t, 16, member);
	case KIB:
		return take_kib(t, member);
	case OCTAL32:
		return take_small(t, 8, UINT32_MAX, member);
	case SIGNED:
		return take_signed(t, member);
	case SMALL:
		return take_small(t, 10, UINT32_MAX, member);
	case FLAG:
		return take_flag(t, member);
	case LETTER:
		return take_letter(t, member) && skip_rest(t);
	case IDS:
		return take_ids(t, member);
	case NAME:
		unescape_name(member, t);
		return true;
	case WORD:
		copy_text(member, WORD_LEN, *t);
		return skip_rest(t);
	}
	return false;
}

/* One line "key: value"; a key that is not in the list is none of ours. Sets bit i of *seen for keys[i]. */
static bool take_key(struct text line, const struct key *keys, size_t n, void *out, uint64_t *seen)
{
	const char *colon = find(line, ':');
	if (colon == NULL)
		return false;
	struct text name = { line.at, colon };
	line.at = colon + 1;
	skip_blanks(&line);
	for (size_t i = 0; i < n; i++) {
		if (!is_text(name, keys[i].name))
			continue;
		*seen |= UINT64_C(1) << i;
		return take_value(&line, keys[i].kind, (char *)out + keys[i].offset) && len_of(line) == 0;
	}
	return true;
}

static bool take_keys(struct text t, const struct key *keys, size_t n, void *out, uint64_t *seen)
{
	struct text line;
	while (len_of(t) > 0)
		if (!take_line(&t, &line) || !take_key(line, keys, n, out, seen))
			return false;
	return true;
}

/* The first n of a list of keys. */
static bool has_first(uint64_t seen, unsigned n)
{
	uint64_t all = (UINT64_C(1) << n) - 1;
	return (seen & all) == all;
}

/* --- stat --------------------------------------------------------------------------------------------------------- */

/* Numbered as in proc_pid_stat(5), ascending; each member has eight bytes. */
enum { FIELD_FIRST = 4, FIELDS_LEAST = 24 };
#define AT(member) offsetof(struct procfs_stat, member)
static const struct field {
	unsigned number;
	size_t offset;
	enum { NATURAL, INTEGER } kind;
} stat_fields[] = {
	{ 4, AT(ppid), INTEGER },
	{ 5, AT(group), INTEGER },
	{ 6, AT(session), INTEGER },
	{ 10, AT(minor_faults), NATURAL },
	{ 11, AT(child_minor_faults), NATURAL },
	{ 12, AT(major_faults), NATURAL },
	{ 13, AT(child_major_faults), NATURAL },
	{ 14, AT(user_ticks), NATURAL },
	{ 15, AT(sys_ticks), NATURAL },
	{ 16, AT(child_user_ticks), NATURAL },
	{ 17, AT(child_sys_ticks), NATURAL },
	{ 18, AT(priority), INTEGER },
	{ 19, AT(nice), INTEGER },
	{ 20, AT(threads), NATURAL },
	{ 22, AT(start_ticks), NATURAL },
	{ 23, AT(virtual_bytes), NATURAL },
	{ 24, AT(resident_pages), NATURAL },
	{ 39, AT(processor), NATURAL },
	{ 42, AT(blkio_ticks), NATURAL },
	{ 52, AT(exit_code), INTEGER },
};
#undef AT

/* A number that no member keeps, of either kind. */
static bool skip_number(struct text *t)
{
	uint64_t unused;
	take_char(t, '-');
	return take_number(t, 10, &unused);
}

/* " 12 -1 0 ..." up to the end. Newer kernels have more of them than we know. */
static bool take_fields(struct text t, struct procfs_stat *out)
{
	const struct field *next = stat_fields, *end = stat_fields + COUNT_OF(stat_fields);
	unsigned number = FIELD_FIRST;
	for (; len_of(t) > 0; number++) {
		void *member = (char *)out + (next < end ? next->offset : 0);
		if (!take_char(&t, ' '))
			return false;
		if (next == end || next->number != number) {
			if (!skip_number(&t))
				return false;
		} else if (!(next++->kind == INTEGER ? take_signed(&t, member) : take_number(&t, 10, member))) {
			return false;
		}
	}
	return number > FIELDS_LEAST;
}

/* PITFALL: the second field is what the process calls itself, and may look like all that follows, "a) R 1 (b"; the
 * numbers begin behind the LAST parenthesis. Hence no sscanf(3) of the whole line, nor a split at its blanks. */
static bool take_stat(struct text t, struct procfs_stat *out)
{
	if (len_of(t) == 0 || *--t.end != '\n' || find(t, '\0') != NULL)
		return false; /* cut off, perhaps in the middle of a number; or nothing of the kernel's */
	const char *last = len_of(t) > 0 ? memrchr(t.at, ')', len_of(t)) : NULL;
	if (last == NULL || !take_signed(&t, &out->pid) || !take_char(&t, ' ') || !take_char(&t, '('))
		return false;
	copy_text(out->name, sizeof(out->name), (struct text){ t.at, last });
	t.at = last + 1;
	return take_char(&t, ' ') && take_letter(&t, &out->state) && take_fields(t, out);
}

bool procfs_parse_stat(struct procfs_stat *out, const char *text, size_t len)
{
	*out = (struct procfs_stat){ 0 };
	return is_good(take_stat(text_of(text, len), out), out, sizeof(*out));
}

/* --- status ------------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct procfs_status, member)
/* The first eight have been there since Linux 2.6. */
static const struct key status_keys[] = {
	{ "Name", AT(name), NAME },
	{ "State", AT(state), LETTER },
	{ "Tgid", AT(tgid), DECIMAL },
	{ "Pid", AT(pid), DECIMAL },
	{ "PPid", AT(ppid), DECIMAL },
	{ "Uid", AT(uid), IDS },
	{ "Gid", AT(gid), IDS },
	{ "Threads", AT(threads), DECIMAL },
	{ "TracerPid", AT(tracer), DECIMAL },
	{ "VmPeak", AT(peak_bytes), KIB },
	{ "VmSize", AT(virtual_bytes), KIB },
	{ "VmHWM", AT(high_water_bytes), KIB },
	{ "VmRSS", AT(resident_bytes), KIB },
	{ "RssAnon", AT(anon_bytes), KIB },
	{ "RssFile", AT(file_bytes), KIB },
	{ "RssShmem", AT(shared_bytes), KIB },
	{ "VmSwap", AT(swap_bytes), KIB },
	{ "VmData", AT(data_bytes), KIB },
	{ "VmStk", AT(stack_bytes), KIB },
	{ "VmPTE", AT(page_table_bytes), KIB },
	{ "voluntary_ctxt_switches", AT(voluntary), DECIMAL },
	{ "nonvoluntary_ctxt_switches", AT(involuntary), DECIMAL },
	{ "CapEff", AT(effective_caps), HEX },
	{ "NoNewPrivs", AT(no_new_privs), FLAG },
	{ "Seccomp", AT(seccomp), SMALL },
	{ "Cpus_allowed_list", AT(cpus), WORD },
};
#undef AT
enum { STATUS_ALWAYS = 8, STATUS_SIZE = 10 };
_Static_assert(offsetof(struct procfs_status, euid) == offsetof(struct procfs_status, uid) + sizeof(uint32_t), "IDS");
_Static_assert(offsetof(struct procfs_status, egid) == offsetof(struct procfs_status, gid) + sizeof(uint32_t), "IDS");

bool procfs_parse_status(struct procfs_status *out, const char *text, size_t len)
{
	uint64_t seen = 0;
	*out = (struct procfs_status){ 0 };
	bool is_right = take_keys(text_of(text, len), status_keys, COUNT_OF(status_keys), out, &seen);
	out->has_memory = (seen >> STATUS_SIZE & 1) != 0;
	return is_good(is_right && has_first(seen, STATUS_ALWAYS), out, sizeof(*out));
}

/* --- io, schedstat, fdinfo ---------------------------------------------------------------------------------------- */

bool procfs_parse_io(struct procfs_io *out, const char *text, size_t len)
{
	static const struct key keys[] = {
		{ "rchar", offsetof(struct procfs_io, read_chars), DECIMAL },
		{ "wchar", offsetof(struct procfs_io, written_chars), DECIMAL },
		{ "syscr", offsetof(struct procfs_io, read_calls), DECIMAL },
		{ "syscw", offsetof(struct procfs_io, write_calls), DECIMAL },
		{ "read_bytes", offsetof(struct procfs_io, disk_read_bytes), DECIMAL },
		{ "write_bytes", offsetof(struct procfs_io, disk_written_bytes), DECIMAL },
		{ "cancelled_write_bytes", offsetof(struct procfs_io, cancelled_bytes), DECIMAL },
	};
	uint64_t seen = 0;
	*out = (struct procfs_io){ 0 };
	bool is_right = take_keys(text_of(text, len), keys, COUNT_OF(keys), out, &seen);
	return is_good(is_right && has_first(seen, COUNT_OF(keys)), out, sizeof(*out));
}

static bool take_schedstat(struct text t, struct procfs_schedstat *out)
{
	return take_number(&t, 10, &out->ran_ns) && take_char(&t, ' ') && take_number(&t, 10, &out->waited_ns) &&
	       take_char(&t, ' ') && take_number(&t, 10, &out->slices) && take_char(&t, '\n') && len_of(t) == 0;
}

bool procfs_parse_schedstat(struct procfs_schedstat *out, const char *text, size_t len)
{
	*out = (struct procfs_schedstat){ 0 };
	return is_good(take_schedstat(text_of(text, len), out), out, sizeof(*out));
}

bool procfs_parse_fdinfo(struct procfs_fdinfo *out, const char *text, size_t len)
{
	static const struct key keys[] = {
		{ "pos", offsetof(struct procfs_fdinfo, position), SIGNED },
		{ "flags", offsetof(struct procfs_fdinfo, flags), OCTAL32 },
	};
	uint64_t seen = 0;
	*out = (struct procfs_fdinfo){ 0 };
	bool is_right = take_keys(text_of(text, len), keys, COUNT_OF(keys), out, &seen);
	return is_good(is_right && has_first(seen, COUNT_OF(keys)), out, sizeof(*out));
}

/* --- maps, smaps, smaps_rollup ------------------------------------------------------------------------------------ */

#define AT(member) offsetof(struct procfs_memory, member)
static const struct key memory_keys[] = {
	{ "Rss", AT(resident), KIB },
	{ "Pss", AT(pss), KIB },
	{ "Private_Clean", AT(private_clean), KIB },
	{ "Private_Dirty", AT(private_dirty), KIB },
	{ "Shared_Clean", AT(shared_clean), KIB },
	{ "Shared_Dirty", AT(shared_dirty), KIB },
	{ "Anonymous", AT(anonymous), KIB },
	{ "Swap", AT(swap), KIB },
	{ "SwapPss", AT(swap_pss), KIB },
	{ "Size", AT(size), KIB },
};
#undef AT
enum { ROLLUP_KEYS = COUNT_OF(memory_keys) - 1 }; /* it has no Size */

/* LIMIT: only a newline is escaped, not the backslash: a file whose name really has "\012" in it is shown with a
 * newline. */
static void unescape_path(char out[static PROCFS_PATH], struct text t)
{
	size_t n = 0;
	for (; t.at < t.end && n < PROCFS_PATH - 1; t.at++) {
		bool is_newline = len_of(t) >= 4 && memcmp(t.at, "\\012", 4) == 0;
		out[n++] = is_newline ? '\n' : *t.at;
		t.at += is_newline ? 3 : 0;
	}
	out[n] = '\0';
}

/* "r-xp": shared or private at the end. */
static bool take_rights(struct text *t, char out[static 5])
{
	static const char all[4][2] = { "r-", "w-", "x-", "sp" };
	for (unsigned i = 0; i < 4; i++) {
		if (t->at == t->end || memchr(all[i], *t->at, 2) == NULL)
			return false;
		out[i] = *t->at++;
	}
	return true;
}

/* "7f1200000000-7f1200021000 rw-p 00000000 08:01 1234     /usr/lib/libc.so.6" */
static bool take_map_head(struct text t, struct procfs_map *out)
{
	uint64_t device;
	if (!take_number(&t, 16, &out->begin) || !take_char(&t, '-') || !take_number(&t, 16, &out->end) ||
	    out->end < out->begin || !take_char(&t, ' ') || !take_rights(&t, out->rights) || !take_char(&t, ' ') ||
	    !take_number(&t, 16, &out->offset) || !take_char(&t, ' ') || !take_number(&t, 16, &device) ||
	    !take_char(&t, ':') || !take_number(&t, 16, &device) || !take_char(&t, ' ') ||
	    !take_number(&t, 10, &out->inode))
		return false;
	if (len_of(t) > 0 && !take_char(&t, ' '))
		return false;
	skip_blanks(&t);
	unescape_path(out->path, t);
	out->memory.size = out->end - out->begin;
	return true;
}

/* Keys begin with a capital letter, the next mapping with a digit or a small one. */
static bool is_key_next(struct text t)
{
	return len_of(t) > 0 && *t.at >= 'A' && *t.at <= 'Z';
}

static bool take_map(struct text *t, struct procfs_map *out, uint64_t *seen)
{
	struct text line;
	if (!take_line(t, &line) || !take_map_head(line, out))
		return false;
	while (is_key_next(*t))
		if (!take_line(t, &line) || !take_key(line, memory_keys, COUNT_OF(memory_keys), &out->memory, seen))
			return false;
	return true;
}

int procfs_parse_map(struct procfs_map *out, const char *text, size_t len, size_t *at)
{
	assert(*at <= len);
	struct text t = text_of(text + *at, len - *at);
	uint64_t seen = 0;
	*out = (struct procfs_map){ 0 };
	if (len_of(t) == 0)
		return 0;
	if (!take_map(&t, out, &seen)) {
		*out = (struct procfs_map){ 0 };
		return -1;
	}
	*at = (size_t)(t.at - text);
	return 1;
}

bool procfs_parse_rollup(struct procfs_memory *out, const char *text, size_t len)
{
	struct text t = text_of(text, len);
	struct procfs_map map = { 0 };
	uint64_t seen = 0;
	*out = (struct procfs_memory){ 0 };
	if (!take_map(&t, &map, &seen) || len_of(t) > 0 || !has_first(seen, ROLLUP_KEYS))
		return false;
	*out = map.memory;
	out->size = 0; /* from the first mapping to the last, and most of that is nothing */
	return true;
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static bool take_limit(struct text *t, uint64_t *out)
{
	struct text word;
	skip_blanks(t);
	if (!take_word(t, &word))
		return false;
	*out = PROCFS_UNLIMITED;
	return is_text(word, "unlimited") || (take_number(&word, 10, out) && len_of(word) == 0);
}

/* "Max open files            1024                 524288               files     ": the name has blanks inside,
 * hence its width; it has had 25 columns since the file exists. */
static bool take_limit_row(struct text line, struct procfs_limit *out)
{
	enum { NAME_COLUMNS = 25 };
	if (len_of(line) < NAME_COLUMNS)
		return false;
	struct text name = { line.at, line.at + NAME_COLUMNS };
	trim_end(&name);
	line.at += NAME_COLUMNS;
	if (len_of(name) == 0 || !take_char(&line, ' ') || !take_limit(&line, &out->soft) ||
	    !take_limit(&line, &out->hard))
		return false;
	skip_blanks(&line);
	trim_end(&line);
	copy_text(out->name, sizeof(out->name), name);
	copy_text(out->unit, sizeof(out->unit), line);
	return true;
}

static bool take_limits(struct text t, struct procfs_limits *out)
{
	struct text line, word;
	if (!take_line(&t, &line) || !take_word(&line, &word) || !is_text(word, "Limit"))
		return false;
	for (; len_of(t) > 0 && out->n < PROCFS_LIMITS; out->n++)
		if (!take_line(&t, &line) || !take_limit_row(line, &out->row[out->n]))
			return false;
	return out->n > 0;
}

bool procfs_parse_limits(struct procfs_limits *out, const char *text, size_t len)
{
	memset(out, 0, sizeof(*out));
	return is_good(take_limits(text_of(text, len), out), out, sizeof(*out));
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

/* "0100007F:1F90", or 32 digits for IPv6. The kernel prints each four bytes as one number of this host, so that they
 * are in network order again when they lie in memory. */
static bool take_address(struct text *t, uint8_t ip[static 16], uint16_t *port, unsigned *words)
{
	const char *colon = find(*t, ':');
	size_t digits = colon != NULL ? (size_t)(colon - t->at) : 0;
	uint64_t value;
	if (digits != 8 && digits != 32)
		return false;
	*words = (unsigned)digits / 8;
	for (unsigned i = 0; i < *words; i++) {
		struct text eight = { t->at, t->at + 8 };
		if (!take_number(&eight, 16, &value) || len_of(eight) > 0)
			return false;
		put_u32(ip + (size_t)4 * i, value);
		t->at += 8;
	}
	if (!take_char(t, ':') || !take_number_upto(t, 16, UINT16_MAX, &value))
		return false;
	*port = (uint16_t)value;
	return true;
}

/* Blanks, then a number. */
static bool take_column(struct text *t, unsigned base, uint64_t *out)
{
	const char *before = t->at;
	skip_blanks(t);
	return t->at > before && take_number(t, base, out);
}

static bool take_pair(struct text *t, uint64_t *a, uint64_t *b)
{
	return take_column(t, 16, a) && take_char(t, ':') && take_number(t, 16, b);
}

/* UDP has "ref pointer drops" at the end, TCP other things, of which none is three words long. */
static bool take_drops(struct text t, uint64_t *out)
{
	struct text word[3] = { { 0 } }, more;
	unsigned n = 0;
	for (skip_blanks(&t); take_word(&t, n < COUNT_OF(word) ? &word[n] : &more); n++)
		skip_blanks(&t);
	if (n != COUNT_OF(word))
		return true;
	return take_number(&word[2], 10, out) && len_of(word[2]) == 0;
}

static bool take_inet(struct text t, struct procfs_inet *out)
{
	uint64_t slot, state, timer, when, uid, timeout;
	unsigned words, peer_words;
	skip_blanks(&t);
	if (!take_number(&t, 10, &slot) || !take_char(&t, ':') || !take_char(&t, ' ') ||
	    !take_address(&t, out->local, &out->local_port, &words) || !take_char(&t, ' ') ||
	    !take_address(&t, out->peer, &out->peer_port, &peer_words) || peer_words != words)
		return false;
	if (!take_column(&t, 16, &state) || state > UINT8_MAX || !take_pair(&t, &out->send_queue, &out->recv_queue) ||
	    !take_pair(&t, &timer, &when) || !take_column(&t, 16, &out->retransmits) || !take_column(&t, 10, &uid) ||
	    uid > UINT32_MAX || !take_column(&t, 10, &timeout) || !take_column(&t, 10, &out->inode) ||
	    (len_of(t) > 0 && !is_blank(*t.at)))
		return false;
	out->is_v6 = words == 4;
	out->state = (unsigned)state;
	out->uid = (uint32_t)uid;
	return take_drops(t, &out->drops);
}

bool procfs_parse_inet(struct procfs_inet *out, const char *line, size_t len)
{
	*out = (struct procfs_inet){ 0 };
	return is_good(take_inet(text_of(line, len), out), out, sizeof(*out));
}

/* "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a socket" */
static bool take_unix(struct text t, struct procfs_unix *out)
{
	enum { LISTENS = 0x10000 }; /* __SO_ACCEPTCON of include/uapi/linux/net.h */
	uint64_t number, protocol, flags, type, state;
	if (!take_number(&t, 16, &number) || !take_char(&t, ':') || !take_column(&t, 16, &number) ||
	    !take_column(&t, 16, &protocol) || !take_column(&t, 16, &flags) || !take_column(&t, 16, &type) ||
	    type > UINT16_MAX || !take_column(&t, 16, &state) || state > UINT8_MAX || !take_column(&t, 10, &out->inode))
		return false;
	if ((len_of(t) > 0 && !take_char(&t, ' ')) || find(t, '\0') != NULL)
		return false;
	out->type = (unsigned)type;
	out->state = (unsigned)state;
	out->is_listening = (flags & LISTENS) != 0;
	copy_text(out->path, sizeof(out->path), t);
	return true;
}

bool procfs_parse_unix(struct procfs_unix *out, const char *line, size_t len)
{
	*out = (struct procfs_unix){ 0 };
	return is_good(take_unix(text_of(line, len), out), out, sizeof(*out));
}

bool procfs_parse_inode(uint64_t *out, const char *kind, const char *target)
{
	struct text t = text_of(target, strlen(target));
	size_t len = strlen(kind);
	*out = 0;
	if (len_of(t) < len || memcmp(t.at, kind, len) != 0)
		return false;
	t.at += len;
	uint64_t inode;
	if (!take_char(&t, ':') || !take_char(&t, '[') || !take_number(&t, 10, &inode) || !take_char(&t, ']') ||
	    len_of(t) > 0)
		return false;
	*out = inode;
	return true;
}
