/* procfs_parse_test.c - real texts of Linux 6.18 and of older ones; names that pretend to be something else; each text
 * cut off at each byte, and millions of mutations. The bytes lie at the end of memory of their own, so that a read of
 * one too many ends the test. */
#include "procfs_parse.h"

#include "check.h"
#include "mem.h"
#include "prng.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* How often a parser is called with what no kernel would write. */
enum { FUZZ_RUNS = IS_SANITIZED ? 300000 : 5000000 };

/* --- real texts --------------------------------------------------------------------------------------------------- */

static const char stat_new[] =
	"1511 (cat) R 1508 1507 32558 34816 1509 4194304 97 11 3 4 5 6 7 8 20 -5 2 0 8239543 3133440 362 "
	"18446744073709551615 94286884012032 94286884031913 140726171646080 0 0 0 0 0 0 0 0 0 17 1 0 0 9 0 0 "
	"94286884047920 94286884049536 94287023366144 140726171654795 140726171654815 140726171654815 140726171656171 "
	"768\n";

/* Linux 2.6.9: it ends with the 41st. */
static const char stat_old[] =
	"4711 (init) S 0 0 0 0 -1 256 110 19384 11 82 2 51 123 456 16 0 1 0 79 1691648 118 4294967295 134512640 "
	"134541460 3221223888 3221222480 1073844674 0 0 1475401980 671819267 3222417451 0 0 0 0 0 0\n";

static const char status_new[] =
	"Name:\tcat\nUmask:\t0022\nState:\tR (running)\nTgid:\t1512\nNgid:\t0\nPid:\t1513\nPPid:\t1508\n"
	"TracerPid:\t77\n"
	"Uid:\t1000\t1001\t1002\t1003\nGid:\t2000\t4294967295\t2002\t2003\nFDSize:\t256\nGroups:\t4 24 27 \n"
	"NStgid:\t1512\nNSpid:\t1512\nNSpgid:\t1508\nNSsid:\t32558\nKthread:\t0\n"
	"VmPeak:\t    3064 kB\nVmSize:\t    3060 kB\nVmLck:\t       0 kB\nVmPin:\t       0 kB\nVmHWM:\t    1612 kB\n"
	"VmRSS:\t    1608 kB\nRssAnon:\t     112 kB\nRssFile:\t    1496 kB\nRssShmem:\t       4 kB\n"
	"VmData:\t     360 kB\nVmStk:\t     132 kB\nVmExe:\t      20 kB\nVmLib:\t    1528 kB\nVmPTE:\t      44 kB\n"
	"VmSwap:\t       8 kB\nHugetlbPages:\t       0 kB\nCoreDumping:\t0\nTHP_enabled:\t1\n"
	"untag_mask:\t0xffffffffffffffff\nThreads:\t3\nSigQ:\t0/96365\nSigPnd:\t0000000000000000\n"
	"ShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
	"CapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\nCapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\n"
	"CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"
	"Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled\nCpus_allowed:\t3\n"
	"Cpus_allowed_list:\t0-1\nMems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\n"
	"voluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t51\nx86_Thread_features:\t\n"
	"x86_Thread_features_locked:\t\n";

/* Linux 2.6.9 had neither processors nor context switches, and a letter in brackets of another kind. */
static const char status_old[] =
	"Name:\tinit\nState:\tS (sleeping)\nSleepAVG:\t88%\nTgid:\t1\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n"
	"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t32\nGroups:\t\nVmSize:\t    1652 kB\nVmLck:\t       0 kB\n"
	"VmRSS:\t     472 kB\nVmData:\t     148 kB\nVmStk:\t       4 kB\nVmExe:\t      28 kB\nVmLib:\t    1448 kB\n"
	"Threads:\t1\nSigPnd:\t0000000000000000\nCapEff:\t00000000fffffeff\n";

/* A zombie has no memory, and so no Vm lines. */
static const char status_zombie[] =
	"Name:\tsh\nState:\tZ (zombie)\nTgid:\t9\nNgid:\t0\nPid:\t9\nPPid:\t8\nTracerPid:\t0\nUid:\t0\t0\t0\t0\n"
	"Gid:\t0\t0\t7\t0\nFDSize:\t0\nGroups:\t \nKthread:\t0\nThreads:\t1\nSigQ:\t0/96365\n"
	"Cpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t0\n";

static const char io_new[] = "rchar: 6976\nwchar: 12\nsyscr: 10\nsyscw: 2\nread_bytes: 4096\nwrite_bytes: 8192\n"
			     "cancelled_write_bytes: 1\n";

static const char schedstat_new[] = "123456789 42 17\n";

#define ROLLUP_KEYS                                                                               \
	"Rss:                1612 kB\nPss:                 378 kB\nPss_Dirty:           116 kB\n" \
	"Pss_Anon:            116 kB\nPss_File:            262 kB\nPss_Shmem:             0 kB\n" \
	"Shared_Clean:       1456 kB\nShared_Dirty:          1 kB\nPrivate_Clean:        40 kB\n" \
	"Private_Dirty:       116 kB\nReferenced:         1612 kB\nAnonymous:           117 kB\n" \
	"KSM:                   0 kB\nLazyFree:              0 kB\nAnonHugePages:         0 kB\n" \
	"ShmemPmdMapped:        0 kB\nFilePmdMapped:         0 kB\nShared_Hugetlb:        0 kB\n" \
	"Private_Hugetlb:       0 kB\nSwap:                  2 kB\nSwapPss:               3 kB\n" \
	"Locked:                0 kB\n"
static const char rollup_new[] =
	"55f6f6fdc000-7ffeedde6000 ---p 00000000 00:00 0                          [rollup]\n" ROLLUP_KEYS;

/* Linux 4.14 had fewer. */
static const char rollup_old[] =
	"00400000-7ffc7a1f7000 ---p 00000000 00:00 0                              [rollup]\n"
	"Rss:                 928 kB\nPss:                 144 kB\nShared_Clean:        836 kB\n"
	"Shared_Dirty:          0 kB\nPrivate_Clean:         4 kB\nPrivate_Dirty:        88 kB\n"
	"Referenced:          928 kB\nAnonymous:            88 kB\nLazyFree:              0 kB\n"
	"AnonHugePages:         0 kB\nShmemPmdMapped:        0 kB\nShared_Hugetlb:        0 kB\n"
	"Private_Hugetlb:       0 kB\nSwap:                  0 kB\nSwapPss:               0 kB\n"
	"Locked:                0 kB\n";

static const char maps_new[] =
	"55c0aa73c000-55c0aa73e000 r--p 00001000 fe:00 1234                       /usr/bin/cat\n"
	"55c0aa740000-55c0aa745000 rw-s 00000000 00:01 99                         /tmp/a b\\012c (deleted)\n"
	"7f3a14a00000-7f3a14a21000 rw-p 00000000 00:00 0 \n"
	"7f3a14a21000-7f3a14a22000 ---p 00000000 00:00 0\n"
	"7ffd8a1c9000-7ffd8a1ea000 rw-p 00000000 00:00 0                          [stack]\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

static const char smaps_new[] =
	"55c0aa73c000-55c0aa73e000 r--p 00001000 fe:00 1234                       /usr/bin/cat\n"
	"Size:                  9 kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n" ROLLUP_KEYS
	"THPeligible:           0\nProtectionKey:         0\nVmFlags: rd mr mw me sd \n"
	"7f3a14a00000-7f3a14a21000 rw-p 00000000 00:00 0 \n"
	"Size:                132 kB\nRss:                   8 kB\nVmFlags: rd wr \n";

#define LIMITS_HEAD "Limit                     Soft Limit           Hard Limit           Units     \n"
static const char limits_new[] = LIMITS_HEAD
	"Max cpu time              unlimited            unlimited            seconds   \n"
	"Max stack size            8388608              unlimited            bytes     \n"
	"Max processes             96365                96366                processes \n"
	"Max open files            20000                524288               files     \n"
	"Max nice priority         0                    0                    \n"
	"Max realtime timeout      18446744073709551614 unlimited            us        \n";

static const char fdinfo_new[] = "pos:\t8192\nflags:\t0102002\nmnt_id:\t24\nino:\t3\n";
static const char fdinfo_epoll[] = "pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n"
				   "tfd:        5 events:       19 data: ffffffff  pos:0 ino:3c sdev:8\n";

static const char tcp_listen[] = "   0: 0100007F:1F90 00000000:0000 0A 00000001:00000002 00:00000000 00000000  1000 "
				 "       0 1065 1 000000009ce03bd7 100 0 0 10 0                      ";
static const char tcp_wait[] = "  12: 0100007F:1F90 0200007F:C001 06 00000000:00000000 03:00000FA3 00000003     0      "
			       "  0 0 3 0000000000000000";
static const char tcp6[] =
	"   1: 00000000000000000000000001000000:0016 B80D01200000000000000000EFBEADDE:8235 01 "
	"0000ABCD:00001234 01:00000014 0000000A     0        0 20431 2 0000000000000000 20 4 30 10 -1";
static const char udp[] = " 1234: 00000000:14E9 00000000:0000 07 00000000:00000300 00:00000000 00000000   104        "
			  "0 17563 2 0000000000000000 42         ";

static const char unix_listen[] = "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a socket";
static const char unix_pair[] = "00000000236ff8d1: 00000003 00000000 00000000 0005 03  1061";

/* --- a page, and behind it nothing -------------------------------------------------------------------------------- */

enum { ROOM = 4096 };
static char *page_end; /* what lies right before it ends where memory does */

static void make_page(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), room = page > ROOM ? page : ROOM;
	char *pages = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!CHECK(pages != MAP_FAILED) || !CHECK_INT(mprotect(pages + room, page, PROT_NONE), 0))
		abort();
	page_end = pages + room;
}

static const char *at_end(const char *bytes, size_t n)
{
	return memcpy(page_end - n, bytes, n);
}

/* --- every parser in one shape ------------------------------------------------------------------------------------ */

static bool is_ended(const char *text, size_t cap)
{
	return memchr(text, 0, cap) != NULL;
}
#define IS_ENDED(array) is_ended(array, sizeof(array))

union any {
	struct procfs_stat stat;
	struct procfs_status status;
	struct procfs_io io;
	struct procfs_schedstat schedstat;
	struct procfs_memory memory;
	struct procfs_map map;
	struct procfs_limits limits;
	struct procfs_fdinfo fdinfo;
	struct procfs_inet inet;
	struct procfs_unix unix_socket;
	uint64_t inode;
	struct walk {
		struct procfs_map last;
		uint64_t n, bytes;
		int end; /* 0 or -1 */
	} walk;
};

static bool parse_stat(union any *out, const char *text, size_t len)
{
	return procfs_parse_stat(&out->stat, text, len);
}

static bool is_sound_stat(const union any *it)
{
	return IS_ENDED(it->stat.name) && it->stat.state >= 'A' && it->stat.state <= 'z';
}

static bool parse_status(union any *out, const char *text, size_t len)
{
	return procfs_parse_status(&out->status, text, len);
}

static bool is_sound_status(const union any *it)
{
	const struct procfs_status *s = &it->status;
	return IS_ENDED(s->name) && IS_ENDED(s->cpus) && s->state >= 'A' && s->state <= 'z' &&
	       s->resident_bytes % 1024 == 0 && (s->has_memory || s->virtual_bytes == 0);
}

static bool parse_io(union any *out, const char *text, size_t len)
{
	return procfs_parse_io(&out->io, text, len);
}

static bool parse_schedstat(union any *out, const char *text, size_t len)
{
	return procfs_parse_schedstat(&out->schedstat, text, len);
}

static bool parse_rollup(union any *out, const char *text, size_t len)
{
	return procfs_parse_rollup(&out->memory, text, len);
}

static bool is_sound_rollup(const union any *it)
{
	return it->memory.size == 0 && it->memory.pss % 1024 == 0;
}

static bool is_sound_map(const struct procfs_map *m)
{
	return m->begin <= m->end && strlen(m->rights) == 4 && IS_ENDED(m->path);
}

/* From one mapping to the next; each step forward is checked here, since a walk that stands still never ends. */
static bool parse_walk(union any *out, const char *text, size_t len)
{
	struct procfs_map map;
	struct walk walk = { { 0 }, 0, 0, 1 };
	for (size_t at = 0, before = 0; walk.end == 1; before = at) {
		walk.end = procfs_parse_map(&map, text, len, &at);
		if (walk.end != 1)
			break;
		if (at <= before || at > len || text[at - 1] != '\n' || !is_sound_map(&map)) {
			CHECK(at > before && at <= len && is_sound_map(&map));
			abort();
		}
		walk.last = map;
		walk.n++;
		walk.bytes += map.memory.size;
	}
	out->walk = walk;
	return walk.end == 0;
}

static bool parse_limits(union any *out, const char *text, size_t len)
{
	return procfs_parse_limits(&out->limits, text, len);
}

static bool is_sound_limits(const union any *it)
{
	const struct procfs_limits *l = &it->limits;
	for (size_t i = 0; i < l->n && i < PROCFS_LIMITS; i++)
		if (!IS_ENDED(l->row[i].name) || l->row[i].name[0] == '\0' || !IS_ENDED(l->row[i].unit))
			return false;
	return l->n > 0 && l->n <= PROCFS_LIMITS;
}

static bool parse_fdinfo(union any *out, const char *text, size_t len)
{
	return procfs_parse_fdinfo(&out->fdinfo, text, len);
}

static bool parse_inet(union any *out, const char *text, size_t len)
{
	return procfs_parse_inet(&out->inet, text, len);
}

static bool is_sound_inet(const union any *it)
{
	static const uint8_t none[12] = { 0 };
	return it->inet.state < 256 && (it->inet.is_v6 || (memcmp(it->inet.local + 4, none, sizeof(none)) == 0 &&
							   memcmp(it->inet.peer + 4, none, sizeof(none)) == 0));
}

static bool parse_unix(union any *out, const char *text, size_t len)
{
	return procfs_parse_unix(&out->unix_socket, text, len);
}

static bool is_sound_unix(const union any *it)
{
	return IS_ENDED(it->unix_socket.path) && it->unix_socket.state < 256 && it->unix_socket.type < 65536;
}

/* Its text is a string, so the bytes behind len have to be away. */
static bool parse_inode(union any *out, const char *text, size_t len)
{
	char target[64];
	size_t n = len < sizeof(target) ? len : sizeof(target) - 1;
	memcpy(target, text, n);
	target[n] = '\0';
	return procfs_parse_inode(&out->inode, "socket", target);
}

static bool is_sound_always(const union any *it)
{
	(void)it;
	return true;
}

/* shares: how often it is mutated, of 40 times; the long texts take longest. */
struct parser {
	const char *name;
	bool (*parse)(union any *out, const char *text, size_t len);
	bool (*is_sound)(const union any *it); /* after true */
	unsigned shares;
	size_t size; /* of its member of the union */
};
#define SIZE(member) sizeof(((union any *)0)->member)
static const struct parser of_stat = { "stat", parse_stat, is_sound_stat, 3, SIZE(stat) };
static const struct parser of_status = { "status", parse_status, is_sound_status, 1, SIZE(status) };
static const struct parser of_io = { "io", parse_io, is_sound_always, 2, SIZE(io) };
static const struct parser of_schedstat = { "schedstat", parse_schedstat, is_sound_always, 40, SIZE(schedstat) };
static const struct parser of_rollup = { "rollup", parse_rollup, is_sound_rollup, 1, SIZE(memory) };
static const struct parser of_walk = { "maps", parse_walk, is_sound_always, 2, SIZE(walk) };
static const struct parser of_limits = { "limits", parse_limits, is_sound_limits, 2, SIZE(limits) };
static const struct parser of_fdinfo = { "fdinfo", parse_fdinfo, is_sound_always, 8, SIZE(fdinfo) };
static const struct parser of_inet = { "inet", parse_inet, is_sound_inet, 4, SIZE(inet) };
static const struct parser of_unix = { "unix", parse_unix, is_sound_unix, 20, SIZE(unix_socket) };
static const struct parser of_inode = { "inode", parse_inode, is_sound_always, 40, SIZE(inode) };

/* A good text of each kind. is_line: it is right only as a whole, however it is cut. */
static const struct sample {
	const struct parser *parser;
	const char *text;
	bool is_whole; /* each shorter one is wrong; else some of those that end with a line are right, too */
} samples[] = {
	{ &of_stat, stat_new, true },
	{ &of_stat, stat_old, true },
	{ &of_status, status_new, false },
	{ &of_status, status_old, false },
	{ &of_status, status_zombie, false },
	{ &of_io, io_new, true },
	{ &of_schedstat, schedstat_new, true },
	{ &of_rollup, rollup_new, false },
	{ &of_rollup, rollup_old, false },
	{ &of_walk, maps_new, false },
	{ &of_walk, smaps_new, false },
	{ &of_limits, limits_new, false },
	{ &of_fdinfo, fdinfo_new, false },
	{ &of_fdinfo, fdinfo_epoll, false },
	{ &of_inet, tcp_listen, false },
	{ &of_inet, tcp_wait, false },
	{ &of_inet, tcp6, false },
	{ &of_inet, udp, false },
	{ &of_unix, unix_listen, false },
	{ &of_unix, unix_pair, false },
	{ &of_inode, "socket:[12345]", true },
};

/* Zero beforehand, so that the bytes between two members are the same in each result. */
static bool call(const struct parser *p, union any *out, const char *text, size_t len)
{
	memset(out, 0, p->size);
	return p->parse(out, text, len);
}

static bool is_zero(const struct parser *p, const union any *it)
{
	static const union any zero;
	return memcmp(it, &zero, p->size) == 0;
}

/* --- what they say ------------------------------------------------------------------------------------------------ */

#define TEXT(text) text, strlen(text)

static void test_stat(void)
{
	struct procfs_stat s;
	CHECK(procfs_parse_stat(&s, TEXT(stat_new)));
	CHECK(s.pid == 1511 && s.ppid == 1508 && s.group == 1507 && s.session == 32558 && s.state == 'R');
	CHECK_STR(s.name, "cat");
	CHECK(s.minor_faults == 97 && s.child_minor_faults == 11 && s.major_faults == 3 && s.child_major_faults == 4);
	CHECK(s.user_ticks == 5 && s.sys_ticks == 6 && s.child_user_ticks == 7 && s.child_sys_ticks == 8);
	CHECK(s.priority == 20 && s.nice == -5 && s.threads == 2 && s.start_ticks == 8239543);
	CHECK(s.virtual_bytes == 3133440 && s.resident_pages == 362 && s.processor == 1 && s.blkio_ticks == 9);
	CHECK_INT(s.exit_code, 768);
	CHECK(procfs_parse_stat(&s, TEXT(stat_old)));
	CHECK(s.pid == 4711 && s.ppid == 0 && s.state == 'S' && s.user_ticks == 2 && s.sys_ticks == 51);
	CHECK(s.child_user_ticks == 123 && s.child_sys_ticks == 456 && s.priority == 16 && s.start_ticks == 79);
	CHECK(s.virtual_bytes == 1691648 && s.resident_pages == 118);
	CHECK(s.processor == 0 && s.blkio_ticks == 0 && s.exit_code == 0);
}

#define STAT_TAIL " Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n" /* up to the 24th */

static void check_name(const char *name, const char *want)
{
	char text[256];
	struct procfs_stat s;
	int len = snprintf(text, sizeof(text), "77 (%s)" STAT_TAIL, name);
	if (!CHECK(procfs_parse_stat(&s, at_end(text, (size_t)len), (size_t)len)))
		return;
	CHECK_STR(s.name, want);
	CHECK(s.pid == 77 && s.state == 'Z' && s.ppid == 1 && s.start_ticks == 19 && s.resident_pages == 21);
}

static void test_names(void)
{
	static const char *const names[] = {
		"",   " ",  "a b",           "a) R (b",  ") R 1 2 3", "(",          ")",
		"()", "\n", "a\n12 (b) S 1", "<script>", "\xff\xfe",  "tabs\there", "a)\n"
	};
	for (size_t i = 0; i < COUNT_OF(names); i++)
		check_name(names[i], names[i]);
	char longest[100];
	memset(longest, 'x', sizeof(longest));
	longest[99] = '\0';
	char want[PROCFS_NAME];
	memset(want, 'x', sizeof(want));
	want[PROCFS_NAME - 1] = '\0';
	check_name(longest, want);
	check_name(want, want);
}

/* What is nearly a stat. */
static void test_no_stat(void)
{
	static const char *const bad[] = {
		"",
		"\n",
		")\n",
		"()\n",
		"1\n",
		"77 (a)\n",
		"77 (a)" STAT_TAIL "\n",
		"77 (a) " STAT_TAIL,
		"77 a)" STAT_TAIL,
		"77 (a" STAT_TAIL,
		"77(a)" STAT_TAIL,
		"77 )a(" STAT_TAIL,
		" 77 (a)" STAT_TAIL,
		"x (a)" STAT_TAIL,
		"77 (a) 1 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Zz 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Z  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 \n",
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n",     /* one too few */
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 -19 20 21\n", /* the start */
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 1x9 20 21\n",
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 0x19 20 21\n",
		"77 (a) Z 1 2 3 4 5 6 - 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Z +1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Z 9223372036854775808 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Z -9223372036854775809 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 18446744073709551616 20 21\n",
		"77 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99999999999999999999 20 21\n",
		"77 (a) Z 1 2 3 18446744073709551616 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
	};
	struct procfs_stat s;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (!CHECK(!procfs_parse_stat(&s, TEXT(bad[i]))))
			fprintf(stderr, "    %s", bad[i]);
	CHECK(procfs_parse_stat(&s,
				TEXT("77 (a) Z -9223372036854775808 9223372036854775807 3 -4 5 6 18446744073709551615 "
				     "8 9 10 11 12 13 14 15 16 17 18 19 20 21\n")));
	CHECK(s.ppid == INT64_MIN && s.group == INT64_MAX && s.minor_faults == UINT64_MAX);
}

static void test_status(void)
{
	struct procfs_status s;
	CHECK(procfs_parse_status(&s, TEXT(status_new)));
	CHECK_STR(s.name, "cat");
	CHECK(s.state == 'R' && s.tgid == 1512 && s.pid == 1513 && s.ppid == 1508 && s.tracer == 77);
	CHECK(s.uid == 1000 && s.euid == 1001 && s.gid == 2000 && s.egid == UINT32_MAX);
	CHECK(s.peak_bytes == 3064 * 1024 && s.virtual_bytes == 3060 * 1024 && s.high_water_bytes == 1612 * 1024);
	CHECK(s.resident_bytes == 1608 * 1024 && s.anon_bytes == 112 * 1024 && s.file_bytes == 1496 * 1024);
	CHECK(s.shared_bytes == 4 * 1024 && s.data_bytes == 360 * 1024 && s.stack_bytes == 132 * 1024);
	CHECK(s.page_table_bytes == 44 * 1024 && s.swap_bytes == 8 * 1024 && s.threads == 3);
	CHECK(s.voluntary == 150 && s.involuntary == 51 && s.effective_caps == 0x1fffeffffffu);
	CHECK(s.has_memory && s.no_new_privs && s.seccomp == 2);
	CHECK_STR(s.cpus, "0-1");
	CHECK(procfs_parse_status(&s, TEXT(status_old)));
	CHECK(s.resident_bytes == 472 * 1024 && s.anon_bytes == 0 && s.voluntary == 0 && !s.no_new_privs);
	CHECK(s.effective_caps == 0xfffffeffu && s.has_memory);
	CHECK_STR(s.cpus, "");
	CHECK(procfs_parse_status(&s, TEXT(status_zombie)));
	CHECK(!s.has_memory && s.peak_bytes == 0 && s.virtual_bytes == 0 && s.state == 'Z' && s.voluntary == 1);
}

static void check_escaped(const char *escaped, const char *want)
{
	char text[512];
	struct procfs_status s;
	snprintf(text, sizeof(text), "Name:\t%s\n%s", escaped, status_zombie + strlen("Name:\tsh\n"));
	if (CHECK(procfs_parse_status(&s, TEXT(text))))
		CHECK_STR(s.name, want);
}

static void test_escaped_names(void)
{
	check_escaped("a b", "a b");
	check_escaped("a\\nUid:\\t0", "a\nUid:\\t0");
	check_escaped("a\\\\nb", "a\\nb");
	check_escaped("\\\\", "\\");
	check_escaped("\\", "\\");
	check_escaped("a: b\tc", "a: b\tc");
	check_escaped("", "");
	char longest[2 * PROCFS_NAME + 1], want[PROCFS_NAME];
	memset(longest, '\\', sizeof(longest));
	memset(want, '\\', sizeof(want));
	longest[sizeof(longest) - 1] = want[sizeof(want) - 1] = '\0';
	check_escaped(longest, want);
}

/* The text with one part of it in place of another. */
static void replace(char out[static ROOM], const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	if (!CHECK(at != NULL))
		abort();
	snprintf(out, ROOM, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

/* Each replacement makes a good text a bad one. */
static void check_spoiled(const struct parser *p, const char *text, const char *const (*spoils)[2], size_t n)
{
	union any out;
	CHECK(call(p, &out, TEXT(text)));
	for (size_t i = 0; i < n; i++) {
		char spoiled[ROOM];
		replace(spoiled, text, spoils[i][0], spoils[i][1]);
		bool is_good = call(p, &out, at_end(TEXT(spoiled)), strlen(spoiled));
		if (!CHECK(!is_good) || (p != &of_walk && !CHECK(is_zero(p, &out))))
			fprintf(stderr, "    %s: \"%s\" for \"%s\"\n", p->name, spoils[i][1], spoils[i][0]);
	}
}
#define CHECK_SPOILED(parser, text, spoils) check_spoiled(parser, text, spoils, COUNT_OF(spoils))

static void test_spoiled_status(void)
{
	static const char *const spoils[][2] = {
		{ "Name:", "Nam:" },
		{ "State:\tR (running)\n", "" },
		{ "R (", "4 (" },
		{ "State:\tR (running)", "State:\t" },
		{ "Tgid:\t1512\n", "" },
		{ "\nPid:\t1513", "" },
		{ "PPid:\t1508\n", "" },
		{ "\t1003\n", "\n" },
		{ "\t1003\n", "\t1003\t9\n" },
		{ "1000\t1001", "1000 1001" },
		{ "4294967295", "4294967296" },
		{ "Threads:\t3\n", "" },
		{ "Threads:\t3", "Threads:\t-3" },
		{ "Threads:\t3", "Threads:\t3 " },
		{ "Threads:\t3", "Threads:\t18446744073709551616" },
		{ "1608 kB", "1608 MB" },
		{ "1608 kB", "1608kB" },
		{ "1608 kB", "1608" },
		{ "1608 kB", "18014398509481984 kB" }, /* times 1024 it is 2^64 */
		{ "CapEff:\t000001", "CapEff:\t10000000000000001" },
		{ "NoNewPrivs:\t1", "NoNewPrivs:\t2" },
		{ "Seccomp:\t2", "Seccomp:\t4294967296" },
		{ "Kthread:", "Kthread" },
		{ "x86_Thread_features_locked:\t\n", "x86_Thread_features_locked:\t" },
	};
	CHECK_SPOILED(&of_status, status_new, spoils);
	char text[ROOM];
	struct procfs_status s;
	replace(text, status_new, "1608 kB", "18014398509481983 kB");
	CHECK(procfs_parse_status(&s, TEXT(text)));
	CHECK(s.resident_bytes == UINT64_MAX - 1023);
}

static void test_io(void)
{
	struct procfs_io io;
	CHECK(procfs_parse_io(&io, TEXT(io_new)));
	CHECK(io.read_chars == 6976 && io.written_chars == 12 && io.read_calls == 10 && io.write_calls == 2);
	CHECK(io.disk_read_bytes == 4096 && io.disk_written_bytes == 8192 && io.cancelled_bytes == 1);
	static const char *const spoils[][2] = {
		{ "rchar", "rchars" }, { "wchar", "w" },     { "syscr", "" },      { "syscw", "x" },
		{ "\nread_", "\n" },   { "\nwrite_", "\n" }, { "cancelled_", "" }, { "6976", "6976 B" },
		{ "6976", "" },        { "6976", "-6976" },  { "6976", "6 976" },  { "6976", "18446744073709551616" },
	};
	CHECK_SPOILED(&of_io, io_new, spoils);
}

static void test_schedstat(void)
{
	struct procfs_schedstat s;
	CHECK(procfs_parse_schedstat(&s, TEXT(schedstat_new)));
	CHECK(s.ran_ns == 123456789 && s.waited_ns == 42 && s.slices == 17);
	static const char *const spoils[][2] = {
		{ "42 17", "42" },
		{ " 17", "  17" },
		{ "17", "17 18" },
		{ "42", "-42" },
		{ "17\n", "17" },
		{ "17\n", "17\n\n" },
		{ "123456789", "99999999999999999999" },
	};
	CHECK_SPOILED(&of_schedstat, schedstat_new, spoils);
}

static void test_fdinfo(void)
{
	struct procfs_fdinfo f;
	CHECK(procfs_parse_fdinfo(&f, TEXT(fdinfo_new)));
	CHECK(f.position == 8192 && f.flags == 0102002);
	CHECK(procfs_parse_fdinfo(&f, TEXT(fdinfo_epoll)));
	CHECK(f.position == 0 && f.flags == 2);
	CHECK(procfs_parse_fdinfo(&f, TEXT("pos:\t-4096\nflags:\t037777777777\n")));
	CHECK(f.position == UINT64_MAX - 4095 && f.flags == UINT32_MAX);
	static const char *const spoils[][2] = {
		{ "pos:", "po:" },
		{ "flags:", "flag:" },
		{ "0102002", "0102008" },
		{ "0102002", "0x2002" },
		{ "0102002", "040000000000" },
		{ "8192", "" },
		{ "8192", "8192 bytes" },
		{ "8192", "9223372036854775808" },
	};
	CHECK_SPOILED(&of_fdinfo, fdinfo_new, spoils);
}

static void test_rollup(void)
{
	struct procfs_memory m;
	CHECK(procfs_parse_rollup(&m, TEXT(rollup_new)));
	CHECK(m.size == 0 && m.resident == 1612 * 1024 && m.pss == 378 * 1024 && m.private_clean == 40 * 1024);
	CHECK(m.private_dirty == 116 * 1024 && m.shared_clean == 1456 * 1024 && m.shared_dirty == 1024);
	CHECK(m.anonymous == 117 * 1024 && m.swap == 2 * 1024 && m.swap_pss == 3 * 1024);
	CHECK(procfs_parse_rollup(&m, TEXT(rollup_old)));
	CHECK(m.resident == 928 * 1024 && m.pss == 144 * 1024 && m.anonymous == 88 * 1024);
	static const char *const spoils[][2] = {
		{ "Rss:", "rss:" },
		{ "\nPss:", "\nPs:" },
		{ "Shared_Clean", "Shared" },
		{ "Shared_Dirty", "X" },
		{ "Private_Clean", "X" },
		{ "Private_Dirty", "X" },
		{ "\nAnonymous", "\nX" },
		{ "\nSwap:", "\nX:" },
		{ "SwapPss:", "X:" },
		{ "55f6f6fdc000", "" },
		{ "55f6f6fdc000-", "55f6f6fdc000 " },
		{ "Locked:                0 kB\n", "Locked:                0 kB\n\n" },
		{ "Locked:                0 kB\n", "1000-2000 r--p 00000000 00:00 0 \n" },
		{ "Locked:                0 kB\n", "Locked\n" },
	};
	CHECK_SPOILED(&of_rollup, rollup_new, spoils);
}

/* --- maps --------------------------------------------------------------------------------------------------------- */

static void check_next(const char *text, size_t *at, const char *rights, const char *path, uint64_t kib)
{
	struct procfs_map m;
	size_t len = strlen(text);
	CHECK_INT(procfs_parse_map(&m, text, len, at), 1);
	CHECK_STR(m.rights, rights);
	CHECK_STR(m.path, path);
	CHECK_INT(m.memory.size, kib * 1024);
}

static void test_maps(void)
{
	struct procfs_map m;
	size_t at = 0;
	CHECK_INT(procfs_parse_map(&m, TEXT(maps_new), &at), 1);
	CHECK(m.begin == 0x55c0aa73c000 && m.end == 0x55c0aa73e000 && m.offset == 0x1000 && m.inode == 1234);
	CHECK(m.memory.size == 0x2000 && m.memory.resident == 0);
	at = 0;
	check_next(maps_new, &at, "r--p", "/usr/bin/cat", 8);
	check_next(maps_new, &at, "rw-s", "/tmp/a b\nc (deleted)", 20);
	check_next(maps_new, &at, "rw-p", "", 132);
	check_next(maps_new, &at, "---p", "", 4);
	check_next(maps_new, &at, "rw-p", "[stack]", 132);
	check_next(maps_new, &at, "--xp", "[vsyscall]", 4);
	CHECK_INT(procfs_parse_map(&m, TEXT(maps_new), &at), 0);
	CHECK_INT(at, strlen(maps_new));
	CHECK(m.end == 0 && m.rights[0] == '\0');
}

static void test_smaps(void)
{
	struct procfs_map m;
	size_t at = 0;
	CHECK_INT(procfs_parse_map(&m, TEXT(smaps_new), &at), 1);
	CHECK_STR(m.path, "/usr/bin/cat");
	CHECK(m.memory.size == 9 * 1024 && m.memory.pss == 378 * 1024 && m.memory.swap_pss == 3 * 1024);
	CHECK_INT(procfs_parse_map(&m, TEXT(smaps_new), &at), 1);
	CHECK(m.memory.size == 132 * 1024 && m.memory.resident == 8 * 1024 && m.memory.pss == 0);
	CHECK_INT(procfs_parse_map(&m, TEXT(smaps_new), &at), 0);
}

static void test_long_paths(void)
{
	char text[1024], path[600], want[PROCFS_PATH];
	struct procfs_map m;
	memset(path, 'p', sizeof(path));
	path[599] = '\0';
	memset(want, 'p', sizeof(want));
	want[PROCFS_PATH - 1] = '\0';
	snprintf(text, sizeof(text), "1000-2000 r--p 00000000 00:00 0 %s\n", path);
	size_t at = 0;
	CHECK_INT(procfs_parse_map(&m, TEXT(text), &at), 1);
	CHECK_STR(m.path, want);
	/* "\012" right at the end, and one that is none. */
	at = 0;
	CHECK_INT(procfs_parse_map(&m, TEXT("1000-2000 r--p 00000000 00:00 0 /a\\012\n"), &at), 1);
	CHECK_STR(m.path, "/a\n");
	at = 0;
	CHECK_INT(procfs_parse_map(&m, TEXT("1000-2000 r--p 00000000 00:00 0 /a\\01\n"), &at), 1);
	CHECK_STR(m.path, "/a\\01");
	at = 0;
	CHECK_INT(procfs_parse_map(&m, TEXT(""), &at), 0);
}

static void test_no_maps(void)
{
	static const char *const spoils[][2] = {
		{ "55c0aa73c000-", "55c0aa73f000-" }, /* it ends before it begins */
		{ "r--p", "r--" },
		{ "r--p", "r--pp" },
		{ "r--p", "r -p" },
		{ "r--p", "rr-p" },
		{ "r--p", "r---" },
		{ "00001000", "" },
		{ "fe:00", "fe00" },
		{ " 1234 ", " " },
		{ " 1234 ", " 1234x" },
		{ " 1234 ", " 99999999999999999999 " },
		{ "55c0aa73c000", "155c0aa73c0000000" },
		{ "7f3a14a00000-", "\n7f3a14a00000-" },
		{ "7f3a14a00000-", "Rss\n7f3a14a00000-" },
		{ "7f3a14a00000-", "Rss: 1 MB\n7f3a14a00000-" },
		{ "[vsyscall]\n", "[vsyscall]" },
	};
	CHECK_SPOILED(&of_walk, maps_new, spoils);
}

/* --- limits ------------------------------------------------------------------------------------------------------- */

static void test_limits(void)
{
	struct procfs_limits l;
	CHECK(procfs_parse_limits(&l, TEXT(limits_new)));
	CHECK_INT(l.n, 6);
	CHECK_STR(l.row[0].name, "Max cpu time");
	CHECK(l.row[0].soft == PROCFS_UNLIMITED && l.row[0].hard == PROCFS_UNLIMITED);
	CHECK_STR(l.row[0].unit, "seconds");
	CHECK(l.row[1].soft == 8388608 && l.row[1].hard == PROCFS_UNLIMITED);
	CHECK_STR(l.row[3].name, "Max open files");
	CHECK(l.row[3].soft == 20000 && l.row[3].hard == 524288);
	CHECK_STR(l.row[4].name, "Max nice priority");
	CHECK(l.row[4].soft == 0 && l.row[4].hard == 0);
	CHECK_STR(l.row[4].unit, "");
	CHECK(l.row[5].soft == UINT64_MAX - 1);
	static const char *const spoils[][2] = {
		{ "Limit  ", "Limits " },
		{ "20000 ", "2000x " },
		{ "20000 ", "-2000 " },
		{ "524288               files     ", "" },
		{ "Max open files            ", "Max open files           x" },
		{ "Max cpu time              ", "                          " },
		{ "18446744073709551614", "18446744073709551616" },
		{ "us        \n", "us" },
		{ "Max nice priority         0                    0                    \n", "\n" },
	};
	CHECK_SPOILED(&of_limits, limits_new, spoils);
	CHECK(!procfs_parse_limits(&l, TEXT(LIMITS_HEAD)));
}

static void test_many_limits(void)
{
	char text[ROOM], *at = text + sprintf(text, "%s", LIMITS_HEAD);
	for (unsigned i = 0; i < PROCFS_LIMITS + 5; i++)
		at += sprintf(at, "%-25s %-20u %-20u %-10s\n", "Max twentyfive characters", i, i + 1,
			      "a-unit-of-17-char");
	struct procfs_limits l;
	CHECK(procfs_parse_limits(&l, text, (size_t)(at - text)));
	CHECK_INT(l.n, PROCFS_LIMITS);
	CHECK_INT(l.row[PROCFS_LIMITS - 1].hard, PROCFS_LIMITS);
	CHECK_STR(l.row[0].name, "Max twentyfive characters");
	CHECK_STR(l.row[0].unit, "a-unit-of-17-ch");
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

/* These lines are a little-endian machine's. */
static bool is_little_endian(void)
{
	uint16_t one = 1;
	return *(unsigned char *)&one == 1;
}

static void test_inet(void)
{
	struct procfs_inet s;
	CHECK(procfs_parse_inet(&s, TEXT(tcp_listen)));
	CHECK(!s.is_v6 && s.local_port == 8080 && s.peer_port == 0 && s.state == 10 && s.uid == 1000);
	CHECK(s.send_queue == 1 && s.recv_queue == 2 && s.retransmits == 0 && s.inode == 1065 && s.drops == 0);
	CHECK(!is_little_endian() || memcmp(s.local, "\177\0\0\1", 4) == 0);
	CHECK(procfs_parse_inet(&s, TEXT(tcp_wait)));
	CHECK(s.state == 6 && s.inode == 0 && s.peer_port == 0xc001 && s.retransmits == 3);
	CHECK(!is_little_endian() || memcmp(s.peer, "\177\0\0\2", 4) == 0);
	CHECK(procfs_parse_inet(&s, TEXT(tcp6)));
	CHECK(s.is_v6 && s.local_port == 22 && s.peer_port == 0x8235 && s.state == 1 && s.inode == 20431);
	CHECK(s.send_queue == 0xabcd && s.recv_queue == 0x1234 && s.retransmits == 10 && s.drops == 0);
	CHECK(!is_little_endian() || memcmp(s.local, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16) == 0);
	CHECK(!is_little_endian() || memcmp(s.peer, "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\xde\xad\xbe\xef", 16) == 0);
	CHECK(procfs_parse_inet(&s, TEXT(udp)));
	CHECK(s.state == 7 && s.local_port == 5353 && s.recv_queue == 0x300 && s.uid == 104 && s.inode == 17563);
	CHECK_INT(s.drops, 42);
}

static void test_no_inet(void)
{
	static const char *const spoils[][2] = {
		{ "0:", "0" },
		{ "0100007F:", "0100007:" },
		{ "0100007F:", "0100007G:" },
		{ "0100007F:", "0100007F00000000:" },
		{ "00000000:0000", "00000000000000000000000000000000:0000" },
		{ ":1F90", ":11F90" },
		{ ":1F90", ":" },
		{ " 0A ", " 100 " },
		{ " 0A ", " XX " },
		{ "00000001:", "00000001" },
		{ " 1000 ", " 4294967296 " },
		{ " 1000 ", " -1 " },
		{ " 1065 1", " 99999999999999999999 1" },
		{ " 1065 1 000000009ce03bd7 100 0 0 10 0 ", "" },
		{ " 1065 1", " 1065x1" },
	};
	static const char *const spoils_udp[][2] = {
		{ " 42 ", " 4x " },
		{ " 42 ", " -1 " },
		{ " 42 ", " 99999999999999999999 " },
	};
	CHECK_SPOILED(&of_inet, tcp_listen, spoils);
	CHECK_SPOILED(&of_inet, udp, spoils_udp);
	struct procfs_inet s;
	CHECK(!procfs_parse_inet(&s,
				 TEXT("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   "
				      "uid  timeout inode                                                     ")));
	CHECK(!procfs_parse_inet(&s, TEXT("")));
}

static void test_unix(void)
{
	struct procfs_unix s;
	CHECK(procfs_parse_unix(&s, TEXT(unix_listen)));
	CHECK(s.inode == 12345 && s.type == 1 && s.state == 1 && s.is_listening);
	CHECK_STR(s.path, "/run/a socket");
	CHECK(procfs_parse_unix(&s, TEXT(unix_pair)));
	CHECK(s.inode == 1061 && s.type == 5 && s.state == 3 && !s.is_listening);
	CHECK_STR(s.path, "");
	CHECK(procfs_parse_unix(&s, TEXT("0: 00000002 00000000 00000000 0002 01 7 @abstract@name ")));
	CHECK_STR(s.path, "@abstract@name ");
	static const char *const spoils[][2] = {
		{ ": ", ":" },
		{ ": ", " " },
		{ "0001 ", "10001 " },
		{ " 01 ", " 101 " },
		{ "12345", "1234x" },
		{ "12345", "12345/" },
		{ "12345", "" },
		{ "12345", "99999999999999999999" },
		{ "00010000", "000100x0" },
	};
	CHECK_SPOILED(&of_unix, unix_listen, spoils);
	CHECK(!procfs_parse_unix(&s, "0: 00000002 00000000 00000000 0002 01 7 /a\0b", 44));
	CHECK(!procfs_parse_unix(&s, TEXT("Num       RefCount Protocol Flags    Type St Inode Path")));
}

static void test_inode(void)
{
	uint64_t inode;
	CHECK(procfs_parse_inode(&inode, "socket", "socket:[18446744073709551615]"));
	CHECK(inode == UINT64_MAX);
	CHECK(procfs_parse_inode(&inode, "pipe", "pipe:[0]"));
	static const char *const bad[] = {
		"",
		"socket",
		"socket:",
		"socket:[",
		"socket:[]",
		"socket:[1",
		"socket:[1] ",
		"socket:[-1]",
		"socket:[0x1]",
		"pipe:[1]",
		"socket:1]",
		"socket[1]",
		"/socket:[1]",
		"socket:[18446744073709551616]",
		"sockets:[1]",
	};
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		inode = 7;
		if (!CHECK(!procfs_parse_inode(&inode, "socket", bad[i])) || !CHECK_INT(inode, 0))
			fprintf(stderr, "    %s\n", bad[i]);
	}
}

/* --- cut off ------------------------------------------------------------------------------------------------------ */

/* Where one line is missing, or half of it, the answer is false and zero, or it is right for what is there: then it
 * ended with a line (with a number or a name, where the text is one line without a newline). */
static void test_truncated(void)
{
	for (size_t i = 0; i < COUNT_OF(samples); i++) {
		const struct sample *s = &samples[i];
		bool has_lines = strchr(s->text, '\n') != NULL;
		union any out;
		for (size_t n = 0; n < strlen(s->text); n++) {
			const char *text = at_end(s->text, n);
			bool is_good = call(s->parser, &out, text, n);
			bool is_right = is_good ? !s->is_whole && (!has_lines || n == 0 || text[n - 1] == '\n') &&
							  s->parser->is_sound(&out)
						: s->parser == &of_walk || is_zero(s->parser, &out);
			if (!CHECK(is_right))
				fprintf(stderr, "    %s, sample %zu, %zu bytes\n", s->parser->name, i, n);
		}
		CHECK(call(s->parser, &out, at_end(TEXT(s->text)), strlen(s->text)) && s->parser->is_sound(&out));
	}
}

/* --- whatever may come -------------------------------------------------------------------------------------------- */

struct dice {
	uint64_t seed, i;
};

static size_t roll(struct dice *d, size_t sides)
{
	return (size_t)((prng_word(d->seed, d->i++) >> 11) % sides);
}

/* A few bytes changed, some left out, some doubled. Never more than ROOM. */
static size_t mutate(struct dice *dice, const char *from, size_t n, char out[static ROOM])
{
	static const char likely[] = "0019afF- :\n\t()[]kBRZ\\x@\xff";
	memcpy(out, from, n);
	for (size_t times = roll(dice, 5); times > 0; times--) {
		size_t at = roll(dice, n), len = 1 + roll(dice, 8);
		switch (roll(dice, 8)) {
		case 0: /* out */
			len = len < n - at ? len : n - at - 1;
			memmove(out + at, out + at + len, n - at - len);
			n -= len;
			break;
		case 1: /* twice */
			if (n + len > ROOM || len > n - at)
				break;
			memmove(out + at + len, out + at, n - at);
			n += len;
			break;
		case 2:
			out[at] = (char)roll(dice, 256);
			break;
		default:
			out[at] = likely[roll(dice, sizeof(likely))]; /* with its zero */
		}
	}
	return n;
}

static void print_mutant(const struct parser *p, const char *text, size_t n, unsigned long runs)
{
	fprintf(stderr, "    %s, run %lu, %zu bytes:\n", p->name, runs, n);
	fwrite(text, 1, n, stderr);
}

/* Before the end of memory, and once more with digits and newlines behind it that do not belong to it. */
static bool is_well_done(const struct parser *p, const char *text, size_t n, bool *is_good)
{
	static char more[ROOM + 32];
	union any first, second;
	*is_good = call(p, &first, at_end(text, n), n);
	memcpy(more, text, n);
	memcpy(more + n, "1]\nRss: 1 kB\n1-2 r--p 0 0:0 0\n", 30);
	if (call(p, &second, more, n) != *is_good || memcmp(&first, &second, p->size) != 0)
		return false;
	return *is_good ? p->is_sound(&first) : p == &of_walk || is_zero(p, &first);
}

static const struct sample *pick(struct dice *dice)
{
	for (;;) {
		const struct sample *s = &samples[roll(dice, COUNT_OF(samples))];
		if (roll(dice, 40) < s->parser->shares)
			return s;
	}
}

static void test_fuzz(void)
{
	static char mutant[ROOM];
	struct dice dice = { .seed = 6180 };
	unsigned long runs = 0, good[COUNT_OF(samples)] = { 0 }, bad[COUNT_OF(samples)] = { 0 };
	while (runs < FUZZ_RUNS) {
		const struct sample *s = pick(&dice);
		size_t n = mutate(&dice, s->text, strlen(s->text), mutant);
		n -= roll(&dice, 4) == 0 ? roll(&dice, n) : 0;
		bool is_good;
		runs += 2;
		if (!is_well_done(s->parser, mutant, n, &is_good)) {
			CHECK_STR("otherwise", "a text gives the same wherever it lies, and what is said of it holds");
			print_mutant(s->parser, mutant, n, runs);
			return;
		}
		(is_good ? good : bad)[s - samples]++;
	}
	/* It is no fuzzing if all are refused at once, or none. */
	for (size_t i = 0; i < COUNT_OF(samples); i++)
		if (!CHECK(good[i] > runs / 50000 && bad[i] > runs / 50000))
			fprintf(stderr, "    sample %zu: %lu good, %lu bad\n", i, good[i], bad[i]);
}

int main(void)
{
	make_page();
	test_stat();
	test_names();
	test_no_stat();
	test_status();
	test_escaped_names();
	test_spoiled_status();
	test_io();
	test_schedstat();
	test_fdinfo();
	test_rollup();
	test_maps();
	test_smaps();
	test_long_paths();
	test_no_maps();
	test_limits();
	test_many_limits();
	test_inet();
	test_no_inet();
	test_unix();
	test_inode();
	test_truncated();
	test_fuzz();
	return check_done();
}
