/* wirestruct - a C struct, sent as it lies in memory: whom does it reach, and what goes along with it?
 *
 * Try:       wirestruct same                 both ends built by the same compiler: all is well, which proves nothing
 *            wirestruct packed               the receiver's struct is packed: a length of 32435950
 *            wirestruct i386                 a 32-bit receiver: the first message is right, and only the first one
 *            wirestruct order                a receiver with the other byte order: a length of 16777216
 *            wirestruct leak                 everything is right, and a password goes along between the fields
 *            wirestruct garbage              a stranger's bytes are a struct, too
 *            wirestruct old --fixed          a new receiver, and a sender that knows no format
 *            wirestruct packed --fixed       each field put into its place, and looked at before it is believed
 * Look for:  PITFALL below, twice; encode() and decode(), the fixed twins of send_struct() and read_struct().
 * Labs:      11-wire-struct.
 *
 * One declaration, and where three compilers put it (System V ABI for AMD64 and for i386; gcc: packed; p is padding):
 *
 *     AMD64   type p p p  len len len len  id id id id id id id id  flags flags p p p p p p     24 bytes
 *     i386    type p p p  len len len len  id id id id id id id id  flags flags p p             20
 *     packed  type len len len len  id id id id id id id id  flags flags                        15
 *
 * With --fixed the format does not depend on any compiler: 15 bytes, type at 0, len at 1, id at 5, flags at 13, numbers
 * big-endian. Both ends are in this process, but the bytes really go through TCP.
 *
 * The chapters: the message and its layouts, the sender and its fixed twin, the receiver and its fixed twin, reports, the
 * experiments, options and main. */
#include "args.h"
#include "diag.h"
#include "record.h"
#include "sig.h"
#include "sock.h"
#include "wire.h"

#include "pitfall/stage.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGES = 3, FIELDS = 4, WIRE_LEN = 15, STREAM_MAX = 256, COMPLAINT_MAX = 80 };

/* What a receiver may believe: nothing else is a message. Flags that it does not know are for those who do. */
enum { TYPE_MAX = 3, LEN_MAX = 1 << 20 };

/* What is to come of the mistake: everything is right, or nothing, or the first message alone. */
enum promise { ALL, NONE, FIRST };

struct experiment {
	const char *name;
	const struct layout *receiver;
	enum promise promise;
	bool has_secret, is_old; /* is_old: the sender sends its struct, whatever the receiver does */
	const char *stranger;    /* bytes of somebody who does not know our format; NULL: our sender's */
};

struct options {
	struct stage stage;
	const struct experiment *x;
	bool fixed;
};

/* --- the message and its layouts --------------------------------------------------------------------------------- */

/* The compiler puts each field where the processor likes it, and pads in between and behind (C11 6.7.2.1p15). */
struct message {
	uint8_t type;
	uint32_t len;
	uint64_t id;
	uint16_t flags;
};

/* The same declaration as other compilers would lay it out; this one does so when it is told. */
#pragma pack(push, 1)
struct message_packed {
	uint8_t type;
	uint32_t len;
	uint64_t id;
	uint16_t flags;
};
#pragma pack(pop)

#pragma pack(push, 4) /* on i386 nothing in a struct is aligned to more than 4 */
struct message_i386 {
	uint8_t type;
	uint32_t len;
	uint64_t id;
	uint16_t flags;
};
#pragma pack(pop)

static const char *const field_names[FIELDS] = { "type", "len", "id", "flags" };
static const size_t field_lens[FIELDS] = { 1, 4, 8, 2 };

struct layout {
	const char *text;
	size_t size, at[FIELDS];
	bool is_swapped; /* the other byte order than this machine's */
};

#define LAYOUT_OF(type_)                                                                                 \
	sizeof(type_),                                                                                   \
	{                                                                                                \
		offsetof(type_, type), offsetof(type_, len), offsetof(type_, id), offsetof(type_, flags) \
	}

static const struct layout layout_here = { "the struct as compiled here", LAYOUT_OF(struct message), false };
static const struct layout layout_packed = { "the same struct, packed", LAYOUT_OF(struct message_packed), false };
static const struct layout layout_i386 = { "the same struct on i386", LAYOUT_OF(struct message_i386), false };
static const struct layout layout_order = { "the same struct, the other byte order", LAYOUT_OF(struct message), true };
static const struct layout layout_wire = { "a format of no compiler's, big-endian", WIRE_LEN, { 0, 1, 5, 13 }, false };

/* Is byte `at` of a message no part of any field? */
static bool is_padding(const struct layout *l, size_t at)
{
	for (unsigned i = 0; i < FIELDS; i++) {
		if (at >= l->at[i] && at < l->at[i] + field_lens[i])
			return false;
	}
	return true;
}

static size_t padding_of(const struct layout *l)
{
	return l->size - WIRE_LEN; /* which has none */
}

/* The message that number `n`, from 1, is meant to be. */
static struct message meant(unsigned n)
{
	return (struct message){ .type = 1, .len = n, .id = 1000 + n, .flags = 3 };
}

static uint64_t field_value(const struct message *m, unsigned field)
{
	const uint64_t values[FIELDS] = { m->type, m->len, m->id, m->flags };
	return values[field];
}

static bool is_same(const struct message *a, const struct message *b)
{
	unsigned same = 0;
	for (unsigned i = 0; i < FIELDS; i++)
		same += field_value(a, i) == field_value(b, i);
	return same == FIELDS;
}

/* --- the sender -------------------------------------------------------------------------------------------------- */

/* A piece of memory that many things go through: in a server a buffer of a pool, what malloc(3) gives again, the stack. */
static union {
	char old[sizeof(struct message)];
	struct message message;
} slot;

static const char secret[] = "user=alice passwd=s3cret"; /* somebody else's request, a moment ago */

static void use_slot_for_something_else(bool for_secret)
{
	memset(slot.old, 0xee, sizeof(slot.old));
	if (for_secret)
		memcpy(slot.old, secret, sizeof(slot.old) < sizeof(secret) ? sizeof(slot.old) : sizeof(secret));
}

/* Bytes that go to the socket, so many. */
struct stream {
	unsigned char data[STREAM_MAX];
	size_t len;
};

static void append(struct stream *s, const void *p, size_t len)
{
	memcpy(s->data + s->len, p, len);
	s->len += len;
}

static void send_struct(struct stream *s, unsigned number)
{
	struct message *m = &slot.message, wanted = meant(number);
	m->type = wanted.type;
	m->len = wanted.len;
	m->id = wanted.id;
	m->flags = wanted.flags;
	/* PITFALL: the struct is taken for a format. What goes out is where this compiler put the fields, in this
	 * processor's byte order; and the padding, to which C gives no value (C11 6.2.6.1p6): whatever lay there before
	 * goes along. */
	append(s, m, sizeof(*m));
}

static void encode(struct stream *s, unsigned number)
{
	unsigned char p[WIRE_LEN];
	struct message m = meant(number);
	p[0] = m.type;
	be32_put(p + 1, m.len);
	be64_put(p + 5, m.id);
	be16_put(p + 13, m.flags);
	append(s, p, sizeof(p));
}

/* --- the receiver ------------------------------------------------------------------------------------------------ */

/* A field as it lies there, in this machine's byte order or the other one. */
static uint64_t load(const unsigned char *p, size_t len, bool is_swapped)
{
	bool is_little_end_first = (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) != is_swapped;
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++)
		value |= (uint64_t)p[is_little_end_first ? i : len - 1 - i] << (8 * i);
	return value;
}

/* What `*(struct message *)p` is to a program compiled with that layout. */
static void read_struct(const struct layout *l, const unsigned char *p, struct message *m)
{
	/* PITFALL: bytes from the network are taken for a struct, and believed. Any bytes are one. (The cast itself is
	 * undefined where p is not aligned; some processors trap. So we load each field from where it would be.) */
	m->type = (uint8_t)load(p + l->at[0], 1, l->is_swapped);
	m->len = (uint32_t)load(p + l->at[1], 4, l->is_swapped);
	m->id = load(p + l->at[2], 8, l->is_swapped);
	m->flags = (uint16_t)load(p + l->at[3], 2, l->is_swapped);
}

/* Is it a message? Else false, and what is wrong with it. */
static bool decode(const unsigned char *p, struct message *m, char complaint[static COMPLAINT_MAX])
{
	m->type = p[0];
	m->len = be32_get(p + 1);
	m->id = be64_get(p + 5);
	m->flags = be16_get(p + 13);
	complaint[0] = '\0';
	if (m->type == 0 || m->type > TYPE_MAX)
		snprintf(complaint, COMPLAINT_MAX, "type %u: it is 1 to %d", m->type, TYPE_MAX);
	else if (m->len > LEN_MAX)
		snprintf(complaint, COMPLAINT_MAX, "len %" PRIu32 ": it is %d at most", m->len, LEN_MAX);
	return complaint[0] == '\0';
}

/* All that came until the end. 0, or -1 with errno. */
static int receive(const struct options *o, int fd, struct stream *s)
{
	ssize_t n = 1;
	while (s->len < STREAM_MAX && (n = stage_recv(&o->stage, fd, s->data + s->len, STREAM_MAX - s->len)) > 0)
		s->len += (size_t)n;
	return n < 0 ? -1 : 0;
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

/* What became of it all. */
struct findings {
	unsigned sent, taken, right; /* messages: written, read, and read as they were meant */
	unsigned refused;
	size_t stream_bytes, left_bytes,
		leaked_bytes; /* left: no whole message; leaked: of old memory, between the fields */
};

static void say_layout(const char *who, const struct layout *l)
{
	printf("%-9s %s: %zu bytes;", who, l->text, l->size);
	for (unsigned i = 0; i < FIELDS; i++)
		printf(" %s at %zu%s", field_names[i], l->at[i], i + 1 < FIELDS ? "," : "");
	if (padding_of(l) > 0)
		printf("; %zu of padding", padding_of(l));
	printf("\n");
}

static void report_start(const struct options *o, const struct layout *from, const struct layout *to)
{
	if (!o->stage.json) {
		say_layout("sender:", from);
		say_layout("receiver:", to);
		return;
	}
	struct json j;
	record_begin(&j, "start");
	json_str(&j, "experiment", o->x->name);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "sender_bytes", from->size);
	json_u64(&j, "receiver_bytes", to->size);
	json_u64(&j, "padding_bytes", padding_of(from));
	json_end(&j);
}

static void put_hex(char *out, const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
}

/* One message as it came: fields and padding. In a text the padding stands in brackets. */
static void report_wire(const struct options *o, const struct layout *l, const unsigned char *p, unsigned number)
{
	char hex[2 * STREAM_MAX + 1] = "", padding[2 * STREAM_MAX + 1] = "";
	if (!o->stage.json) {
		printf("wire %u:  ", number);
		for (size_t i = 0; i < l->size; i++) {
			bool now = is_padding(l, i), before = i > 0 && is_padding(l, i - 1);
			for (unsigned f = 0; f < FIELDS; f++)
				printf("%s", l->at[f] == i ? (i > 0 ? "  " : "") : "");
			printf("%s%02x", now && !before ? " [" : now ? " " : "", p[i]);
			printf("%s", now && (i + 1 == l->size || !is_padding(l, i + 1)) ? "]" : "");
		}
		printf("\n");
		return;
	}
	struct json j;
	put_hex(hex, p, l->size);
	for (size_t i = 0, n = 0; i < l->size; i++) {
		if (is_padding(l, i))
			put_hex(padding + 2 * n++, p + i, 1);
	}
	record_begin(&j, "wire");
	json_u64(&j, "number", number);
	json_str(&j, "hex", hex);
	json_str(&j, "padding_hex", padding);
	json_end(&j);
}

/* One message that the receiver took, beside what it was to be: NULL, if no such message was sent. */
static void report_message(const struct options *o, unsigned number, const struct message *m,
			   const struct message *sent)
{
	struct json j;
	bool right = sent != NULL && is_same(m, sent);
	if (o->stage.json) {
		record_begin(&j, "message");
		json_u64(&j, "number", number);
		for (unsigned i = 0; i < FIELDS; i++)
			json_u64(&j, field_names[i], field_value(m, i));
		json_bool(&j, "right", right);
		json_end(&j);
		return;
	}
	printf("message %u:", number);
	for (unsigned i = 0; i < FIELDS; i++) {
		bool wrong = sent == NULL || field_value(m, i) != field_value(sent, i);
		printf("  %s %" PRIu64 "%s", field_names[i], field_value(m, i), wrong ? " (wrong)" : "");
	}
	printf("%s\n", right ? "" : sent == NULL ? "   nobody sent this" : "");
}

static void report_refused(const struct options *o, unsigned number, const char *complaint)
{
	if (!o->stage.json) {
		printf("message %u:  refused: %s\n", number, complaint);
		return;
	}
	struct json j;
	record_begin(&j, "refused");
	json_u64(&j, "number", number);
	json_str(&j, "complaint", complaint);
	json_end(&j);
}

/* What of the slot's old contents went along, as it would look to somebody who prints it. */
static void say_leaked(const struct layout *l, const unsigned char *p)
{
	printf("between the fields: \"");
	for (size_t i = 0; i < l->size; i++) {
		if (is_padding(l, i))
			putchar(p[i] >= 0x20 && p[i] < 0x7f ? p[i] : '.');
	}
	printf("\"\n");
}

static void report_total(const struct options *o, const struct findings *f, bool as_promised)
{
	if (!o->stage.json) {
		printf("%u messages sent, %zu bytes; %u taken, %u of them right, %u refused; %zu bytes left over; %zu of old "
		       "memory\n",
		       f->sent, f->stream_bytes, f->taken, f->right, f->refused, f->left_bytes, f->leaked_bytes);
		return;
	}
	struct json j;
	record_begin(&j, "total");
	json_str(&j, "experiment", o->x->name);
	json_bool(&j, "fixed", o->fixed);
	json_u64(&j, "sent", f->sent);
	json_u64(&j, "stream_bytes", f->stream_bytes);
	json_u64(&j, "taken", f->taken);
	json_u64(&j, "right", f->right);
	json_u64(&j, "refused", f->refused);
	json_u64(&j, "left_bytes", f->left_bytes);
	json_u64(&j, "leaked_bytes", f->leaked_bytes);
	json_bool(&j, "as_promised", as_promised);
	json_bool(&j, "interrupted", sig_pending(NULL) != 0);
	json_end(&j);
}

/* --- the experiments --------------------------------------------------------------------------------------------- */

static const struct experiment experiments[] = {
	{ "same", &layout_here, ALL, false, false, NULL },
	{ "packed", &layout_packed, NONE, false, false, NULL },
	{ "i386", &layout_i386, FIRST, false, false, NULL },
	{ "order", &layout_order, NONE, false, false, NULL },
	{ "leak", &layout_here, ALL, true, false, NULL },
	{ "old", &layout_here, ALL, false, true, NULL },
	{ "garbage", &layout_here, NONE, false, false, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" },
};

static bool is_as_promised(const struct options *o, const struct experiment *x, const struct findings *f)
{
	bool all_right = f->right == MESSAGES && f->taken == MESSAGES && f->left_bytes == 0;
	if (o->fixed)
		return x->stranger != NULL || x->is_old ? f->taken == 0 && f->refused == 1
							: all_right && f->leaked_bytes == 0;
	if (x->promise == ALL)
		return all_right && f->leaked_bytes > 0;
	return f->taken > (x->promise == FIRST) && f->right == (x->promise == FIRST);
}

/* What the sender writes, and how much of the slot's old contents is in it. */
static void make_stream(const struct options *o, const struct experiment *x, const struct layout *l, struct stream *s,
			struct findings *f)
{
	if (x->stranger != NULL) {
		append(s, x->stranger, strlen(x->stranger));
		return;
	}
	use_slot_for_something_else(x->has_secret);
	char old[sizeof(slot.old)];
	memcpy(old, slot.old, sizeof(old));
	for (unsigned n = 1; n <= MESSAGES; n++) {
		size_t at = s->len;
		(o->fixed && !x->is_old ? encode : send_struct)(s, n);
		f->sent++;
		for (size_t i = 0; i < l->size; i++)
			f->leaked_bytes += is_padding(l, i) && s->data[at + i] == (unsigned char)old[i];
	}
}

/* Through a real connection, and back into *s. False: a signal came. */
static bool transfer(const struct options *o, struct stream *s)
{
	int fds[2];
	struct net_error e = { 0 };
	uint64_t taken = 0;
	struct stream arrived = { .len = 0 };
	if (stage_pair(stage_family(&o->stage), NULL, NULL, fds, &e) == 0) {
		if (stage_send_all(&o->stage, fds[1], s->data, s->len, &taken) < 0 || shutdown(fds[1], SHUT_WR) < 0 ||
		    receive(o, fds[0], &arrived) < 0)
			net_fail(&e, "transfer", "a stream over loopback");
		close(fds[0]);
		close(fds[1]);
	}
	*s = arrived;
	if (e.op != NULL && e.sys != ECANCELED)
		stage_fail(&o->stage, &e);
	return e.op == NULL;
}

/* The receiver: one message after another, as long as there is a whole one. */
static void take_messages(const struct options *o, const struct layout *l, const struct stream *s, struct findings *f)
{
	char complaint[COMPLAINT_MAX];
	size_t at = 0;
	for (; s->len - at >= l->size; at += l->size) {
		unsigned number = f->taken + 1;
		struct message m, sent = meant(number);
		if (!o->fixed) {
			read_struct(l, s->data + at, &m);
		} else if (!decode(s->data + at, &m, complaint)) {
			report_refused(o, number, complaint);
			f->refused++;
			break; /* where the next one would begin, nobody knows */
		}
		f->taken++;
		f->right += number <= f->sent && is_same(&m, &sent);
		report_message(o, number, &m, number <= f->sent ? &sent : NULL);
	}
	f->left_bytes = s->len - at;
}

static int run(const struct options *o, const struct experiment *x)
{
	const struct layout *from = o->fixed && !x->is_old ? &layout_wire : &layout_here;
	const struct layout *to = o->fixed ? &layout_wire : x->receiver;
	struct findings f = { 0 };
	struct stream s = { .len = 0 };
	report_start(o, from, to);
	make_stream(o, x, from, &s, &f);
	if (transfer(o, &s)) {
		f.stream_bytes = s.len;
		for (unsigned n = 0; n < f.sent; n++)
			report_wire(o, from, s.data + n * from->size, n + 1);
		if (!o->stage.json && x->has_secret)
			say_leaked(from, s.data);
		take_messages(o, to, &s, &f);
	}
	bool as_promised = is_as_promised(o, x, &f);
	report_total(o, &f, as_promised);
	return sig_exit_status(as_promised ? 0 : 3);
}

/* --- options and main -------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = {
	"same|packed|i386|order|leak|old|garbage [--fixed] [options]",
	NULL,
};

static const char *const about[] = {
	"wirestruct sends three messages over TCP, each a C struct as it lies in memory, to a receiver that was built in another "
	"way, and shows the bytes, what the receiver takes them for, and what went along unasked. With --fixed each field is "
	"written to its place in a format that is no compiler's, and looked at before it is believed.",
	"same: the receiver was built by the same compiler. packed: its struct is packed. i386: it is a 32-bit program. order: its "
	"processor has the other byte order. leak: as same, and the sender's memory held a password before. old: the "
	"sender is a program that sends its struct, whatever the receiver does. garbage: the bytes are somebody's who speaks HTTP.",
	"Both ends are in this process. There is no time in it: what is shown is the same in each run.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "wirestruct packed", "a length of 32435950" },
	{ "wirestruct packed --fixed", "the same receiver, and a format" },
	{ "wirestruct i386", "the first message is right" },
	{ "wirestruct leak", "nothing is wrong, and a password is out" },
	{ "wirestruct garbage --fixed", "refused, and why" },
	{ "wirestruct old --fixed", "refused as well" },
	{ 0 },
};

static const struct arg_example statuses[] = {
	{ "3", "the mistake did no harm where it should, or the fix did not help" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = { .stage = { STAGE_DEFAULTS } };
	/* clang-format off */
	const struct arg rows[] = {
		{ '\0', "fixed", ARG_FLAG, &o.fixed, .help = "field by field, big-endian, and validated" },
		STAGE_COMMON_ROWS(o.stage),
		{ 0 },
	};
	/* clang-format on */
	const struct arg_spec spec = {
		.tool = "wirestruct",
		.one_line = "shows what becomes of a C struct that is sent as it lies in memory",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.exit_statuses = statuses,
		.see_also = "tcplab(1), byteorder(3), endian(3). Each figure explained: docs/tools/wirestruct.md.",
	};
	o.x = STAGE_CHOOSE(argv + args_parse(&spec, argc, argv), experiments);
	stage_check_family(&o.stage);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "wirestruct";
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct options o = parse_options(argc, argv);
	sig_open();
	return record_finish(run(&o, o.x));
}
