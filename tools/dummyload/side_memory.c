/* side_memory.c - memory that is held, page by page, and page faults.
 *
 * Memory from mmap(2) is a promise: a page takes room only when somebody writes to it, which is a minor fault.
 * MADV_DONTNEED gives the pages back and keeps the promise. Both without huge pages, where one fault would
 * fetch 2 MiB. */
#include "side.h"

#include "clock.h"
#include "mem.h"
#include "os.h"
#include "units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	FAULT_PAGES = 64,
	LOOK_PAGES = 256, /* between two looks at the clock: some 100 us */
};

struct region {
	unsigned char *at;
	uint64_t len, held, page;
	uint64_t first_resident;
};

static uint64_t page_len(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of the process, bytes (proc_pid_statm(5)). */
static uint64_t resident(void)
{
	char line[128];
	unsigned long long size, pages;
	if (os_read_line("/proc/self/statm", line, sizeof(line)) < 0 || sscanf(line, "%llu %llu", &size, &pages) != 2)
		return 0;
	return pages * page_len();
}

static void *map(uint64_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	madvise(at, len, MADV_NOHUGEPAGE); /* a kernel without huge pages says EINVAL, and needs it not */
	return at;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* What the kernel could give without swapping (MemAvailable in proc_meminfo(5)); UINT64_MAX if it does not say. */
static uint64_t available(void)
{
	FILE *in = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib = UINT64_MAX / 1024;
	while (in != NULL && fgets(line, sizeof(line), in) != NULL && sscanf(line, "MemAvailable: %llu", &kib) != 1)
		;
	if (in != NULL)
		fclose(in);
	return kib * 1024;
}

static int fail_memory(uint64_t len, struct net_error *e)
{
	char wanted[UNITS_TEXT], there[UNITS_TEXT], what[128];
	uint64_t most = available();
	snprintf(what, sizeof(what), "%s (--memory)", units_size(wanted, len));
	if (len > most)
		snprintf(what, sizeof(what), "%s (--memory), where %s are available", wanted, units_size(there, most));
	errno = ENOMEM;
	return net_fail(e, "allocate", what);
}

static int memory_hold(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e)
{
	struct region *r = s->state;
	(void)e;
	uint64_t want = (n + r->page - 1) / r->page * r->page;
	for (uint64_t pages = 1; r->held < want; pages++) {
		r->at[r->held] = 1;
		r->held += r->page;
		if (pages % LOOK_PAGES == 0 && clk_mono_ns() >= until_ns)
			return 0;
	}
	if (r->held > want)
		madvise(r->at + want, r->held - want, MADV_DONTNEED);
	r->held = want;
	return 0;
}

/* WHY it looks at what is available: the kernel promises more than it has, and ends some process when it comes to
 * keeping the promise. LIMIT: the limit of a control group may be lower, and is not looked at. */
static int memory_open(struct side *s, struct net_error *e)
{
	struct region *r = xcalloc(1, sizeof(*r));
	s->state = r;
	r->page = page_len();
	r->first_resident = resident();
	if (s->amount > available())
		return fail_memory(s->amount, e);
	r->len = (s->amount + r->page - 1) / r->page * r->page;
	r->at = map(r->len);
	if (r->at == NULL)
		return fail_memory(s->amount, e);
	return side_is_following(s) ? 0 : memory_hold(s, s->amount, CLK_NEVER, e);
}

static uint64_t memory_count(const struct side *s)
{
	const struct region *r = s->state;
	uint64_t now = resident();
	return now > r->first_resident ? now - r->first_resident : 0;
}

static void region_close(struct side *s)
{
	struct region *r = s->state;
	munmap(r->at, r->len);
	free(r);
}

const struct side_ops side_memory_ops = {
	.name = "memory",
	.unit = SIDE_BYTES,
	.can_follow = true,
	.open = memory_open,
	.act = memory_hold,
	.count = memory_count,
	.close = region_close,
};

/* --- faults ------------------------------------------------------------------------------------------------------- */

static int faults_open(struct side *s, struct net_error *e)
{
	struct region *r = xcalloc(1, sizeof(*r));
	s->state = r;
	r->page = page_len();
	r->len = FAULT_PAGES * r->page;
	r->at = map(r->len);
	return r->at != NULL ? 0 : net_fail(e, "allocate", "64 pages (--faults)");
}

static int faults_do(struct side *s, uint64_t n, uint64_t until_ns, struct net_error *e)
{
	struct region *r = s->state;
	(void)e;
	for (; n > 0; n--) {
		if (r->held == r->len) {
			madvise(r->at, r->len, MADV_DONTNEED);
			r->held = 0;
			if (clk_mono_ns() >= until_ns)
				return 0;
		}
		r->at[r->held] = 1;
		r->held += r->page;
	}
	return 0;
}

/* Of the whole process: faults that the loads have beside count, too. */
static uint64_t faults_count(const struct side *s)
{
	struct rusage usage;
	(void)s;
	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

const struct side_ops side_faults_ops = {
	.name = "faults",
	.is_rate = true,
	.can_follow = true,
	.open = faults_open,
	.act = faults_do,
	.count = faults_count,
	.close = region_close,
};
