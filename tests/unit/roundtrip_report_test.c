/* roundtrip_report_test.c - what roundtrip's client prints, from answers that are made up: the text as a whole, the records by
 * their keys, and that nothing is printed for what was not measured. */
#include "../../tools/roundtrip/report.h"

#include "cdefs.h"
#include "capture.h"
#include "check.h"
#include "diag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { US = 1000, MS = 1000 * 1000 };

static struct measure m;
static struct roundtrip_options o;
static struct report_about about = {
	.o = &o, .peer = "192.0.2.1:3123", .transport = "udp", .wire = "extended", .len = 144
};

static void begin(void)
{
	m = (struct measure){ 0 };
	o = (struct roundtrip_options){ .interval_ns = 10 * MS };
}

/* One question, 10 ms after the last one; the ways take so long, and the server's clock is 5 ms ahead. */
static struct exchange ask(uint64_t number, int64_t up_ns, int64_t down_ns)
{
	uint64_t at_ns = number * 10 * MS;
	int64_t t1 = 1700000000123456789 + (int64_t)at_ns, t2 = t1 + up_ns + 5 * MS, t3 = t2 + 7 * US;

	m.sent = number + 1;
	m.elapsed_ns = at_ns + 10 * MS;
	return (struct exchange){
		.intended_ns = at_ns,
		.sent_ns = at_ns,
		.received_ns = at_ns + (uint64_t)(up_ns + down_ns + 7 * US),
		.t1 = t1,
		.t2 = t2,
		.t3 = t3,
		.t4 = t3 - 5 * MS + down_ns,
		.resolution_ns = 1,
	};
}

static void answer(uint64_t number, const struct exchange *x)
{
	track_see(&m.trip, number);
	measure_add(&m, x);
}

/* The server has seen this one; its answers are numbered as they are sent. */
static void seen_there(uint64_t number)
{
	m.up.is_known = true;
	m.up.next = number + 1;
	m.up.received++;
}

/* Ten questions: 2 is lost on the way there, 5 on the way back. */
static void ten_questions(void)
{
	uint64_t answers = 0;

	begin();
	for (uint64_t i = 0; i < 10; i++) {
		struct exchange x = ask(i, 100 * US, 100 * US);
		if (i == 2)
			continue;
		seen_there(i);
		if (i != 5) {
			track_see(&m.down, answers);
			answer(i, &x);
		}
		answers++;
	}
}

static bool check_has(const char *text, const char *part)
{
	if (CHECK(strstr(text, part) != NULL))
		return true;
	fprintf(stderr, "    not found: %s\n    in: %.3000s\n", part, text);
	return false;
}

static bool check_has_not(const char *text, const char *part)
{
	if (CHECK(strstr(text, part) == NULL))
		return true;
	fprintf(stderr, "    found: %s\n", part);
	return false;
}

static void total(void)
{
	CHECK(roundtrip_report_total(&about, &m));
}

static const char *text_of_total(void)
{
	return written_by(total, STDOUT_FILENO);
}

/* --- text -------------------------------------------------------------------------------------------------------- */

static void test_text(void)
{
	ten_questions();
	CHECK_STR(text_of_total(),
		  "roundtrip to 192.0.2.1:3123 (udp, extended): 10 questions of 144 bytes in 100 ms\n"
		  "                    min      p50      p90      p99    p99.9      max     mean       jitter\n"
		  "  RTT               200      200      200      200      200      200      200 us      0 ns\n"
		  "  there               0        0        0        0        0        0        0 ns      0 ns\n"
		  "  back                0        0        0        0        0        0        0 ns      0 ns\n"
		  "  corrected   the same within 0.0 %: the questions left when they should\n"
		  "  there, back above the shortest one of each way; what the shortest itself took\n"
		  "              cannot be known without synchronised clocks\n"
		  "  clock       +5.000 +- 0.100 ms: the server's is ahead; the bound is half of\n"
		  "              the shortest round trip\n"
		  "  drift       +0.00 +- 0.02 ppm: cannot be told from nothing; a longer run would\n"
		  "              tell more\n"
		  "  lost        2 of 10 (20 %): 1 on the way there, 1 on the way back\n"
		  "  order       duplicated 0, overtaken by later ones 0\n");
}

static void test_nothing_came_back(void)
{
	begin();
	m.sent = 7;
	m.elapsed_ns = 70 * MS;
	m.refused = 7;
	CHECK_STR(text_of_total(), "roundtrip to 192.0.2.1:3123 (udp, extended): 7 questions of 144 bytes in 70.0 ms: "
				   "nothing came back\n"
				   "  besides     7 times the host said that nobody listens there (ICMP)\n");
}

/* A question that left late: its RTT is like the others', but the corrected line is not left out. */
static void test_corrected(void)
{
	begin();
	for (uint64_t i = 0; i < 10; i++) {
		struct exchange x = ask(i, 100 * US, 100 * US);
		x.intended_ns -= i == 9 ? 5 * MS : 0;
		answer(i, &x);
	}
	const char *text = text_of_total();
	check_has(text, "  RTT               200      200      200      200      200      200      200 us ");
	check_has(text, "  corrected         200      20");
	check_has(text, "     5200      700 us         -\n");
	check_has(text, "  corrected   from the times at which the questions should have left");
}

/* A closed loop has no schedule to be late on, and must not pretend that its figures are corrected. */
static void test_no_schedule(void)
{
	ten_questions();
	o.naive = true;
	check_has(text_of_total(), "  corrected   nothing: there is no schedule.");
	o.naive = false;
	o.interval_ns = 0;
	check_has(text_of_total(), "  corrected   nothing: there is no schedule.");
	o.json = true;
	const char *text = text_of_total();
	check_has(text, "\"rtt_p50_ns\":200000,");
	check_has(text, "\"rtt_p50_corrected_ns\":null,");
	check_has(text, "\"rtt_mean_corrected_ns\":null,");
}

static void test_one_way(void)
{
	ten_questions();
	struct exchange x = ask(10, 130 * US, 100 * US);
	answer(10, &x);
	const char *text = text_of_total();
	check_has(text, "  there             0.0      0.0     30.0     30.0     30.0     30.0      3.3 us   3.75 us\n");
	check_has(text, "  back                0 ");

	/* The clocks are 5 ms apart, and say that they are 20 ms apart at most: then that is what the figures are worth. */
	m.here = m.there = (struct synchronised){ .is_known = true, .is_synchronised = true, .error_ns = 10 * MS };
	text = text_of_total();
	check_has(text, "  there            5.10     5.10 ");
	check_has(text, "each way is a\n              duration, +- 20.0 ms, which is more than the whole");
	m.here.error_ns = 0;
	m.there.error_ns = 80 * US;
	text = text_of_total();
	check_has(text, "  there             0.0 ");
	check_has(text, "synchronised, to 80.0 us together,");
	m.there.is_synchronised = false;
	check_has(text_of_total(), "  there, back above the shortest one of each way");
}

static void test_one_way_absolute(void)
{
	begin();
	m.here = m.there = (struct synchronised){ .is_known = true, .is_synchronised = true, .error_ns = 40 * US };
	for (uint64_t i = 0; i < 3; i++) {
		struct exchange x = ask(i, -4900 * US, 5150 * US); /* 5 ms ahead: 100 us, 150 us */
		answer(i, &x);
	}
	const char *text = text_of_total();
	check_has(text, "  there             100      100 ");
	check_has(text, "  back              150      150 ");
	check_has(text, "each way is a\n              duration, +- 80.0 us\n");
	o.json = true;
	check_has(text_of_total(),
		  "\"one_way\":\"absolute\",\"one_way_error_ns\":80000,\"up_min_ns\":100000,\"up_p50_ns\":0,");
}

static void test_one_answer(void)
{
	begin();
	struct exchange x = ask(0, 100 * US, 100 * US);
	answer(0, &x);
	const char *text = text_of_total();
	check_has(text, "1 question of 144 bytes");
	check_has(text, "  drift       not known: the run was too short\n");
	check_has_not(text, "  there ");
	check_has(text, "  lost        0 of 1\n");
}

static void test_mishaps(void)
{
	ten_questions();
	m.up.is_known = false;
	m.trip.duplicated = 3;
	m.down.duplicated = 1;
	m.late = 1;
	m.garbage = 2;
	m.unsent = 4;
	const char *text = text_of_total();
	check_has(text, "  lost        2 of 10 (20 %); on which way, this server cannot tell\n");
	check_has(text, "  order       duplicated 3, overtaken by later ones 0\n");
	check_has(text, "  besides     1 answer came after --timeout: its question counts as lost\n");
	check_has(text, "  besides     2 datagrams were no answer to a question of ours\n");
	check_has(text, "  besides     4 questions were not sent: the kernel did not take them\n");
	m.up.is_known = true;
	m.up.duplicated = 2;
	m.down.duplicated = 1;
	check_has(text_of_total(), "  order       duplicated 3 (2 on the way there, 1 on the way back), overtaken");
}

/* The figures of a clock: the digits of the bound, in the unit of the larger one. */
static void test_bounded(void)
{
	char text[BOUNDED_TEXT];

	CHECK_STR(roundtrip_text_bounded(text, 12345678, 10050000), "+12.3 +- 10.1 ms");
	CHECK_STR(roundtrip_text_bounded(text, -3600000012345, 50000), "-3600.0000123 +- 0.0000500 s");
	CHECK_STR(roundtrip_text_bounded(text, 20, 23000), "+0.0 +- 23.0 us");
	CHECK_STR(roundtrip_text_bounded(text, -20, 23000), "+0.0 +- 23.0 us");
	CHECK_STR(roundtrip_text_bounded(text, 0, 25), "+0 +- 25 ns");
	CHECK_STR(roundtrip_text_bounded(text, 1700000000000000000, 500), "+1700000000.000000000 +- 0.000000500 s");
	CHECK_STR(roundtrip_text_drift(text, -12.345, 0.123), "-12.35 +- 0.12 ppm");
	CHECK_STR(roundtrip_text_drift(text, 12.345, 80), "+12 +- 80 ppm");
	CHECK_STR(roundtrip_text_drift(text, -0.4, 80), "+0 +- 80 ppm");
}

static void test_where(void)
{
	ten_questions();
	o.where = true;
	struct exchange x = ask(10, 100 * US, 100 * US);
	x.k1_sched = x.t1 + 3 * US;
	x.k1_sent = x.k1_sched + 1 * US;
	x.k2 = x.t2 - 10 * US;
	x.k3_sched = x.t3 + 4 * US;
	x.k3_sent = x.k3_sched + 2 * US;
	answer(10, &x);
	measure_add_stages(&m, &x);
	const char *text = text_of_total();
	check_has(text, "  server: waking up, recv(2)                     1   10.0 us   10.0 us   10.0 us\n");
	check_has(text, "  between the kernels, there and back            0         -         -         -\n");
	check_has(text, "  2 of the stages have no stamps, so there is no sum; median of the RTT: 200 us\n");
	check_has_not(text, "cards");

	x.k4 = x.t4 - 20 * US;
	m.stages[STAGE_WIRE] = m.stages[STAGE_WAKE] = (struct hist){ 0 };
	measure_add_stages(&m, &x);
	/* 3 + 1 + 160 + 10 + 4 + 2 + 20; the server's own 7 us are not in the RTT */
	check_has(text_of_total(),
		  "  the medians together                                          200 us  (of the RTT: 200 us)\n");
	x.h1 = x.h2 = x.h3 = 1;
	x.h4 = 1 + 150 * US;
	measure_add_stages(&m, &x);
	check_has(text_of_total(),
		  "  between the cards, by their own clocks         1    150 us    150 us    150 us\n");
}

/* What an NTP server says of itself, which is not measured. */
static void test_ntp(void)
{
	struct ntp ntp = { .stratum = 1, .reference = "GPS", .root_delay_ns = 2 * MS, .root_dispersion_ns = 500 * US };

	ten_questions();
	about.ntp = &ntp;
	check_has(text_of_total(), "  server      stratum 1 (GPS); says that its own clock is right within 1.50 ms,");
	o.json = true;
	check_has(text_of_total(), "\"ntp_stratum\":1,\"ntp_synchronised\":true,\"ntp_reference\":\"GPS\","
				   "\"ntp_root_delay_ns\":2000000,\"ntp_root_dispersion_ns\":500000}\n");
	ntp.stratum = 2;
	ntp.leap = 3;
	check_has(text_of_total(), "\"ntp_stratum\":2,\"ntp_synchronised\":false,\"ntp_reference\":null,");
	o.json = false;
	check_has(text_of_total(), "  server      stratum 2; says that its own clock is not synchronised: ");
	about.ntp = NULL;
	check_has_not(text_of_total(), "stratum");
}

static void test_histogram(void)
{
	ten_questions();
	o.histogram = true;
	check_has(text_of_total(), "overtaken by later ones 0\n\n   200 us |");
}

/* --- records ----------------------------------------------------------------------------------------------------- */

static void test_json(void)
{
	ten_questions();
	o.json = true;
	const char *text = text_of_total();
	CHECK_INT(strncmp(text, "{\"schema\":\"tcplab.roundtrip/1\",\"record\":\"total\",\"role\":\"client\",", 63), 0);
	check_has(text, "\"sent\":10,\"received\":8,\"lost\":2,\"lost_up\":1,\"lost_down\":1,\"lost_unknown\":0,");
	check_has(text, "\"rtt_min_ns\":200000,\"rtt_p50_ns\":200000,");
	check_has(text, "\"rtt_p999_corrected_ns\":200000,");
	check_has(text, "\"offset_ns\":5000000,\"offset_bound_ns\":100001,");
	check_has(text,
		  "\"drift_is_straight\":true,\"one_way\":\"relative\",\"one_way_error_ns\":null,\"up_min_ns\":null,"
		  "\"up_p50_ns\":0,");
	check_has_not(text, "stages");
	m.up.is_known = false;
	check_has(text_of_total(),
		  "\"lost\":2,\"lost_up\":null,\"lost_down\":null,\"lost_unknown\":null,\"duplicated\":0,"
		  "\"duplicated_up\":null,");
	o.where = true;
	text = text_of_total();
	check_has(text,
		  "\"stages\":[{\"stage\":\"ask_queue\",\"n\":0,\"min_ns\":null,\"p50_ns\":null,\"p99_ns\":null},");
	check_has(text, "\"offset_kernel_ns\":null,\"offset_kernel_bound_ns\":null}\n");
}

static void test_json_of_nothing(void)
{
	begin();
	o.json = true;
	m.sent = 3;
	const char *text = text_of_total();
	check_has(text, "\"sent\":3,\"received\":0,\"lost\":3,\"lost_up\":null,");
	check_has(text, "\"rtt_min_ns\":null,\"rtt_p50_ns\":null,");
	check_has(text, "\"rtt_mean_ns\":null,\"rtt_jitter_ns\":null,\"rtt_min_corrected_ns\":null,");
	check_has(text, "\"offset_ns\":null,\"offset_bound_ns\":null,\"offset_at_ns\":null,\"offset_end_ns\":null,"
			"\"drift_ppm\":null,\"drift_bound_ppm\":null,\"drift_is_straight\":null,\"one_way\":null,");
}

/* --- while it runs ----------------------------------------------------------------------------------------------- */

static void two_intervals(void)
{
	uint64_t i = 0;

	begin();
	o.json = true;
	roundtrip_report_start(&about);
	for (; i < 10; i++) {
		struct exchange x = ask(i, 100 * US, 100 * US);
		answer(i, &x);
	}
	roundtrip_report_interval(&about, &m);
	for (; i < 15; i++) {
		struct exchange x = ask(i, 500 * US, 500 * US);
		if (i != 12)
			answer(i, &x);
	}
	roundtrip_report_interval(&about, &m);
	roundtrip_report_interval(&about, &m);
	o.json = false;
	roundtrip_report_interval(&about, &m);
}

static void test_intervals(void)
{
	const char *text = written_by(two_intervals, STDOUT_FILENO);
	check_has(text, "\"record\":\"start\",\"role\":\"client\",\"peer\":\"192.0.2.1:3123\",\"socks\":null,\"transport\":\"udp\",");
	check_has(
		text,
		"\"record\":\"interval\",\"start_ns\":0,\"end_ns\":100000000,\"sent\":10,\"received\":10,\"missing\":0,");
	text = strstr(text, "\"start_ns\":100000000,");
	if (!CHECK(text != NULL))
		return;
	check_has(text, "\"end_ns\":150000000,\"sent\":5,\"received\":4,\"missing\":1,\"duplicated\":0,\"reordered\":0,"
			"\"rtt_min_ns\":99"); /* the lower end of the cell of 1000000 */
	check_has(text, "\"rtt_max_ns\":1000000,\"rtt_mean_ns\":1000000,");
	check_has(text, "\"offset_ns\":5000000,\"offset_bound_ns\":100001,"); /* of the whole run */
	text = strstr(text, "\"start_ns\":150000000,");
	if (!CHECK(text != NULL))
		return;
	check_has(text,
		  "\"sent\":0,\"received\":0,\"missing\":0,\"duplicated\":0,\"reordered\":0,\"rtt_min_ns\":null,");
	check_has(text, "\n    seconds        sent    back missing   RTT min ");
	check_has(
		text,
		"   0.15-0.15          0       0       0         -         -         -         -  +5.000 +- 0.100 ms");
}

static void steer(void)
{
	const struct steer_decision slew = { .action = STEER_SLEW,
					     .at_ns = 64ULL * 1000 * MS,
					     .offset_ns = -1200 * US,
					     .rtt_ns = 2 * MS,
					     .correction_ns = -600 * US,
					     .frequency_ppm = 1.5 };
	const struct steer_decision none = { .action = STEER_NONE, .at_ns = 65ULL * 1000 * MS, .frequency_ppm = 1.5 };

	roundtrip_report_steer(&about, &slew);
	roundtrip_report_steer(&about, &none);
}

static void test_steer(void)
{
	begin();
	CHECK_STR(
		written_by(steer, STDOUT_FILENO),
		"steer    64.0 s: offset -1.200 ms (RTT 2.00 ms): would slew the clock by -0.600 ms, "
		"frequency +1.500 ppm\n"
		"steer    65.0 s: no better sample than the one used last: nothing would be done, frequency +1.500 ppm\n");
	o.json = true;
	CHECK_STR(written_by(steer, STDOUT_FILENO),
		  "{\"schema\":\"tcplab.roundtrip/1\",\"record\":\"steer\",\"at_ns\":64000000000,\"action\":\"slew\","
		  "\"offset_ns\":-1200000,\"rtt_ns\":2000000,\"correction_ns\":-600000,\"frequency_ppm\":1.5}\n"
		  "{\"schema\":\"tcplab.roundtrip/1\",\"record\":\"steer\",\"at_ns\":65000000000,\"action\":\"none\","
		  "\"offset_ns\":null,\"rtt_ns\":null,\"correction_ns\":null,\"frequency_ppm\":1.5}\n");
}

static void live(void)
{
	ten_questions();
	roundtrip_report_live(&about, &m);
	roundtrip_report_live(&about, NULL);
}

/* On a pipe nothing; on a terminal one line that ends with the run. */
static void test_live(void)
{
	char text[1024] = "";
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), err = dup(STDERR_FILENO);

	CHECK_STR(written_by(live, STDERR_FILENO), "");
	if (!CHECK(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0))
		return;
	int line = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	dup2(line, STDERR_FILENO);
	live();
	fflush(stderr);
	dup2(err, STDERR_FILENO);
	close(err);
	ssize_t n = 0, some;
	while (strchr(text, '\n') == NULL && (some = read(terminal, text + n, sizeof(text) - 1 - (size_t)n)) > 0)
		n += some; /* a terminal hands out what it has: it may be a part */
	close(line);
	close(terminal);
	CHECK(n > 40 && text[0] == '\r' &&
	      strchr(text + 1, '\r') == text + n - 2); /* the line discipline adds one at the end */
	check_has(text, "   0.1 s  8 of 10  RTT 200 us, p50 200 us, p99 200 us  clock +5.000");
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/roundtrip_report_test.XXXXXX", path[64];

static const char *content(void)
{
	static char text[65536];
	FILE *file = fopen(path, "re");
	size_t n = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;

	text[n] = '\0';
	if (file != NULL)
		fclose(file);
	unlink(path);
	return text;
}

static void test_csv(void)
{
	begin();
	struct exchange x = ask(0, 100 * US, 150 * US);
	struct sample s = sample_of(&x);
	CHECK_INT(roundtrip_csv_open(path, false), 0);
	roundtrip_csv_add(0, &x, &s);
	roundtrip_csv_add(1, &x, &s);
	CHECK(roundtrip_csv_close());
	CHECK(roundtrip_csv_close()); /* none is open */
	CHECK_STR(content(), "number,sent,rtt_ns,corrected_ns,offset_ns,up_ns,down_ns\n"
			     "0,1700000000.123456789,250000,250000,4975000,5100000,-4850000\n"
			     "1,1700000000.123456789,250000,250000,4975000,5100000,-4850000\n");
	x.k1_sent = -1;
	CHECK_INT(roundtrip_csv_open(path, true), 0);
	roundtrip_csv_add(7, &x, &s);
	CHECK(roundtrip_csv_close());
	check_has(content(), "\n7,1700000000.123456789,250000,250000,4975000,5100000,-4850000,"
			     "1700000000.123456789,,-0.000000001,,1700000000.128556789,1700000000.128563789,,,,"
			     "1700000000.123713789,,,,\n");
}

/* Lines enough to fill what stdio keeps, and only one complaint. */
static void fill_disk(void)
{
	struct exchange x = ask(0, 100 * US, 100 * US);
	struct sample s = sample_of(&x);

	CHECK_INT(roundtrip_csv_open("/dev/full", false), 0);
	for (uint64_t i = 0; i < 1000; i++)
		roundtrip_csv_add(i, &x, &s);
	o.svg_file = "/dev/full";
	CHECK(!roundtrip_report_total(&about, &m));
	CHECK_INT(roundtrip_csv_open("/dev/full", false), 0);
	o.svg_file = NULL;
	CHECK(!roundtrip_report_total(&about, &m)); /* a few lines: only the end shows it */
}

static void test_full_disk(void)
{
	ten_questions();
	CHECK_STR(written_by(fill_disk, STDERR_FILENO),
		  "roundtrip: write /dev/full: No space left on device (ENOSPC)\n"
		  "roundtrip: write /dev/full: No space left on device (ENOSPC)\n"
		  "roundtrip: write /dev/full: No space left on device (ENOSPC)\n");
	errno = 0;
	CHECK(roundtrip_csv_open("/nowhere/at/all", false) < 0 && errno == ENOENT);
}

static void no_such_folder(void)
{
	o.svg_file = "/nowhere/at.svg";
	CHECK(!roundtrip_report_total(&about, &m));
}

static void test_svg(void)
{
	ten_questions();
	o.svg_file = path;
	text_of_total();
	const char *svg = content();
	check_has(svg, "<title>roundtrip to 192.0.2.1:3123 (udp)</title>");
	check_has(svg, ">seconds; 2 of 10 questions lost</text>");
	check_has(svg, ">offset: +5.000 +- 0.100 ms</text>");
	check_has(svg, ">line: +0.00 +- 0.0");
	check_has(svg, "<path class=\"band s0\" d=\"M");
	check_has(svg, ">4900</text>"); /* us: 5 ms, and half of an RTT of 200 us below and above */
	check_has(svg, ">5100</text>");
	check_has_not(svg, ">4800</text>");
	check_has_not(svg, ">5200</text>");
	check_has(svg, "<path class=\"line dashed s1\" d=\"M");
	check_has_not(svg, "nan");

	begin();
	o.svg_file = path;
	text_of_total();
	svg = content();
	check_has(svg, ">no data</text>");
	check_has(svg, "</svg>\n");
	CHECK_STR(written_by(no_such_folder, STDERR_FILENO),
		  "roundtrip: open /nowhere/at.svg: No such file or directory (ENOENT)\n");
}

/* How often the pen is lifted in the first line of a picture. */
static size_t pieces_of_line(const char *svg)
{
	const char *end, *line = strstr(svg, "<path class=\"line s1\" d=\"M");
	size_t n = 0;

	line = line != NULL ? strstr(line + 1, "<path class=\"line s1\" d=\"M") : NULL; /* the first is in the legend */
	if (!CHECK(line != NULL))
		return 0;
	end = strstr(line, "/>");
	for (line = strchr(line, 'M'); line != NULL && line < end; line = strchr(line + 1, 'M'))
		n++;
	return n;
}

/* A cell of the timeline is shorter than the time between two questions here, which is no gap; half a second of silence is. */
static void test_svg_gaps(void)
{
	begin();
	o.svg_file = path;
	for (uint64_t i = 0; i < 20; i++) {
		struct exchange x = ask(i, 100 * US, 100 * US);
		answer(i, &x);
	}
	text_of_total();
	CHECK_INT(pieces_of_line(content()), 1);
	for (uint64_t i = 70; i < 100; i++) {
		struct exchange x = ask(i, 100 * US, 100 * US);
		answer(i, &x);
	}
	text_of_total();
	const char *svg = content();
	CHECK_INT(pieces_of_line(svg), 2);
	check_has_not(svg, "nan");
}

int main(void)
{
	diag_tool = "roundtrip";
	if (mkdtemp(folder) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/file", folder);
	test_text();
	test_nothing_came_back();
	test_corrected();
	test_no_schedule();
	test_one_way();
	test_one_way_absolute();
	test_one_answer();
	test_mishaps();
	test_bounded();
	test_where();
	test_ntp();
	test_histogram();
	test_json();
	test_json_of_nothing();
	test_intervals();
	test_steer();
	test_live();
	test_csv();
	test_full_disk();
	test_svg();
	test_svg_gaps();
	rmdir(folder);
	return check_done();
}
