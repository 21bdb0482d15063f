/* doctor.c - what can this machine do, and which labs does that enable?
 *
 *	tcplab doctor            a table, and what follows from it for each lab (the front door adds the labs)
 *	tcplab doctor --json     a record for each probe, and a last one with the tiers
 *
 * Look at the section "Private namespaces": a lab that changes sysctls, queues or addresses does it in a network of
 * its own. The kernel may refuse that at any of several steps, and only trying tells which one it is. Nothing is left
 * behind: the trying is done in child processes (doctor/private.c), and no file, sysctl or device of the machine is
 * changed.
 *
 * The chapters: doctor/machine.c reads, doctor/private.c tries, this file says what it means. */
#include "doctor/report.h"

#include "args.h"
#include "diag.h"
#include "record.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct options {
	bool json;
};

/* --- the report --------------------------------------------------------------------------------------------------- */

void report_note(struct report *r, enum section section, const char *name, bool ok, const char *fmt, ...)
{
	if (r->n == PROBES_MAX)
		return;
	struct probe *p = &r->probe[r->n];
	va_list args;
	va_start(args, fmt);
	vsnprintf(ok ? p->value : p->why, sizeof(p->value), fmt, args);
	va_end(args);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->section = section;
	p->ok = ok;
	r->n++; /* last: a child that is killed while it writes leaves no half-written probe */
}

const struct probe *report_find(const struct report *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->probe[i].name, name) == 0)
			return &r->probe[i];
	}
	return NULL;
}

static bool has(const struct report *r, const char *name)
{
	const struct probe *p = report_find(r, name);
	return p != NULL && p->ok;
}

/* --- what it means: the tiers that labs declare ------------------------------------------------------------------- */

struct tier {
	const char *name, *needs;
	char why_not[192]; /* empty: enabled */
};

enum { ANY, NS, EM, TIERS };

/* The first step of the chain that failed is the reason; the ones after it were not reached. */
static void judge_namespaces(const struct report *r, struct tier *ns)
{
	for (size_t i = 0; i < r->n && ns->why_not[0] == '\0'; i++) {
		const struct probe *p = &r->probe[i];
		if (p->section == NAMESPACES && !p->ok && strcmp(p->name, "ordinary_user") != 0)
			snprintf(ns->why_not, sizeof(ns->why_not), "%s: %s", p->name, p->why);
	}
}

/* An emulated link is made of TUN devices, or of veth pairs and packet sockets. */
static void judge_links(const struct report *r, const struct tier *ns, struct tier *em)
{
	if (ns->why_not[0] != '\0')
		memcpy(em->why_not, ns->why_not, sizeof(em->why_not));
	else if (!has(r, "private_tun") && !(has(r, "private_veth") && has(r, "private_packet")))
		snprintf(em->why_not, sizeof(em->why_not), "neither TUN nor AF_PACKET on a veth pair");
}

static void judge(const struct report *r, struct tier tiers[static TIERS])
{
	tiers[ANY] = (struct tier){ .name = "any", .needs = "labs that run on plain loopback" };
	tiers[NS] = (struct tier){ .name = "ns", .needs = "labs that need a private network" };
	tiers[EM] = (struct tier){ .name = "em", .needs = "labs that need an emulated link" };
	judge_namespaces(r, &tiers[NS]);
	judge_links(r, &tiers[NS], &tiers[EM]);
}

/* --- output ------------------------------------------------------------------------------------------------------- */

static void print_row(bool ok, int width, const char *name, const char *text)
{
	printf("  %s  %-*s  %s\n", ok ? "ok" : "--", width, name, text);
}

static void print_table(const struct report *r, const struct tier *tiers)
{
	static const char *const titles[SECTIONS] = {
		[MACHINE] = "This machine",
		[NAMESPACES] = "Private namespaces",
		[LINKS] = "Links",
		[TCP] = "TCP",
		[LIMITS] = "Limits and buffers, bytes",
		[PROGRAMS] = "Programs",
	};
	for (enum section section = 0; section < SECTIONS; section++) {
		printf("%s%s\n", section > 0 ? "\n" : "", titles[section]);
		for (size_t i = 0; i < r->n; i++) {
			const struct probe *p = &r->probe[i];
			if (p->section == section)
				print_row(p->ok, 20, p->name, p->ok ? p->value : p->why);
		}
	}
	/* The front door reads these lines: keep their form. */
	printf("\nTiers\n");
	for (int i = 0; i < TIERS; i++) {
		bool enabled = tiers[i].why_not[0] == '\0';
		print_row(enabled, 3, tiers[i].name, enabled ? tiers[i].needs : tiers[i].why_not);
	}
}

static const char *or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

static void print_probe(const struct probe *p)
{
	struct json j;
	record_begin(&j, "probe");
	json_str(&j, "name", p->name);
	json_bool(&j, "ok", p->ok);
	json_str(&j, "value", or_null(p->value));
	json_str(&j, "why", or_null(p->why));
	json_end(&j);
}

static void print_total(const struct report *r, const struct tier *tiers)
{
	uint64_t ok = 0;
	for (size_t i = 0; i < r->n; i++)
		ok += r->probe[i].ok;
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "probes", r->n);
	json_u64(&j, "ok", ok);
	json_u64(&j, "absent", r->n - ok);
	json_array(&j, "tiers");
	for (int i = 0; i < TIERS; i++) {
		if (tiers[i].why_not[0] == '\0')
			json_str(&j, NULL, tiers[i].name);
	}
	json_close(&j);
	json_str(&j, "why_not_ns", or_null(tiers[NS].why_not));
	json_str(&j, "why_not_em", or_null(tiers[EM].why_not));
	json_end(&j);
}

static void print_json(const struct report *r, const struct tier *tiers)
{
	for (size_t i = 0; i < r->n; i++)
		print_probe(&r->probe[i]);
	print_total(r, tiers);
}

/* --- main --------------------------------------------------------------------------------------------------------- */

static const char *const synopsis[] = { "[--json]", NULL };

static const char *const about[] = {
	"doctor reads the kernel's settings and tries what labs need: each step into private namespaces as the user "
	"who runs it, a TUN device, a veth pair, a netem queue, the congestion controls. The trying is done in child "
	"processes with a time limit, and leaves nothing behind.",
	"A lab declares its tier: any runs everywhere, ns needs private namespaces, em needs an emulated link in them. "
	"Run as `tcplab doctor` it lists the labs too.",
	NULL,
};

static const struct arg_example examples[] = {
	{ "tcplab doctor", "a table of what was found, and the labs that it enables" },
	{ "tcplab doctor --json", "the same for programs" },
	{ 0 },
};

static struct options parse_options(int argc, char **argv)
{
	struct options o = { 0 };
	const struct arg rows[] = {
		{ 0, "json", ARG_FLAG, &o.json, .help = "one JSON object for each probe, then a total" },
		{ 0 },
	};
	const struct arg_spec spec = {
		.tool = "doctor",
		.one_line = "says what this machine can do, and which labs that enables",
		.synopsis = synopsis,
		.about = about,
		.args = rows,
		.examples = examples,
		.see_also = "tcplab(1), unshare(1), user_namespaces(7), network_namespaces(7)",
	};
	int operands = args_parse(&spec, argc, argv);
	if (operands < argc)
		args_misuse("no operand is expected: '%s'", argv[operands]);
	return o;
}

int main(int argc, char **argv)
{
	diag_tool = "doctor";
	struct options o = parse_options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);

	struct report *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		die_errno("mmap");
	doctor_probe_machine(r);
	doctor_probe_private(r);

	struct tier tiers[TIERS];
	judge(r, tiers);
	if (o.json)
		print_json(r, tiers);
	else
		print_table(r, tiers);
	return record_finish(0);
}
