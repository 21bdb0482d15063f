/* roundtrip_clocks_test.c - what --clock makes of what adjtimex(2) says. The adjtimex here is the test's own: no test may depend
 * on who keeps this machine's clock right. */
#include "../../tools/roundtrip/roundtrip.h"
#include "clock.h"
#include "diag.h"

#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timex.h>
#include <unistd.h>

static struct kernel {
	int state; /* -1: it fails */
	struct timex says;
	unsigned asked, changed;
} kernel;

/* In front of the libc's. */
int adjtimex(struct timex *t)
{
	kernel.asked++;
	kernel.changed += t->modes != 0;
	errno = EPERM;
	*t = kernel.says;
	return kernel.state;
}

/* The kernel's units: offset ns with STA_NANO, else us; errors us; frequency in 1/65536 ppm. */
static void begin(int state, int status)
{
	kernel = (struct kernel){ .state = state };
	kernel.says = (struct timex){
		.status = status,
		.offset = -123456,
		.freq = -12 * 65536 - 32768,
		.maxerror = 23500,
		.esterror = 120,
		.tai = 37,
		.tick = 10001,
	};
}

static void check_synchronised(bool is_known, bool is_synchronised, uint64_t error_ns)
{
	struct synchronised s = clocks_synchronised();
	CHECK_INT(s.is_known, is_known);
	CHECK_INT(s.is_synchronised, is_synchronised);
	CHECK_INT(s.error_ns, error_ns);
	CHECK_INT(kernel.asked, 1);
	CHECK_INT(kernel.changed, 0);
}

static void test_synchronised(void)
{
	begin(TIME_OK, STA_PLL | STA_NANO);
	check_synchronised(true, true, 23500000);
	begin(TIME_INS, STA_PLL | STA_INS); /* a leap second to come is no error */
	check_synchronised(true, true, 23500000);
	begin(TIME_ERROR, STA_PLL | STA_UNSYNC);
	check_synchronised(true, false, 0);
	begin(TIME_OK, STA_UNSYNC);
	check_synchronised(true, false, 0);
	begin(TIME_ERROR, STA_PLL | STA_CLOCKERR);
	check_synchronised(true, false, 0);
	begin(-1, STA_PLL);
	check_synchronised(false, false, 0);
}

enum { TEXT = 16 * 1024 };

/* Descriptor `to` is now what `from` is; a copy of what it was. */
static int redirect(int from, int to)
{
	int before = dup(to);
	CHECK(before >= 0 && dup2(from, to) >= 0);
	return before;
}

static void redirect_back(int before, int to)
{
	CHECK(dup2(before, to) >= 0);
	close(before);
}

/* Runs --clock and has what it prints, on standard output and standard error. The status. */
static int run_clock(bool json, char text[static TEXT])
{
	struct roundtrip_options o = { .clock = true, .json = json };
	FILE *file = tmpfile();
	text[0] = '\0';
	if (!CHECK(file != NULL))
		return -1;
	fflush(stdout);
	int out = redirect(fileno(file), STDOUT_FILENO), err = redirect(fileno(file), STDERR_FILENO);
	int status = roundtrip_clocks(&o);
	fflush(stdout);
	redirect_back(out, STDOUT_FILENO);
	redirect_back(err, STDERR_FILENO);
	rewind(file);
	text[fread(text, 1, TEXT - 1, file)] = '\0';
	fclose(file);
	return status;
}

static void has(const char *text, const char *part)
{
	if (!CHECK(strstr(text, part) != NULL))
		fprintf(stderr, "    wanted %s\n    in\n%s", part, text);
}

static void test_json(void)
{
	char text[TEXT];
	begin(TIME_INS, STA_PLL | STA_NANO | STA_INS);
	CHECK_INT(run_clock(true, text), 0);
	has(text, "\"record\":\"ntp\",\"synchronised\":true,\"offset_ns\":-123456,\"frequency_ppm\":-12.5,"
		  "\"max_error_ns\":23500000,\"est_error_ns\":120000,\"tai_offset_s\":37,\"tick_ns\":10001000,"
		  "\"leap\":\"insert\",\"status\":[\"PLL\",\"INS\"]}\n");
	has(text, "\"record\":\"total\",\"role\":\"clock\",\"clocks\":9,\"synchronised\":true");
	CHECK_INT(kernel.changed, 0);

	begin(TIME_ERROR, STA_FLL | STA_DEL | STA_UNSYNC); /* microseconds now */
	CHECK_INT(run_clock(true, text), 0);
	has(text, "\"record\":\"ntp\",\"synchronised\":false,\"offset_ns\":-123456000,");
	has(text, "\"leap\":\"delete\",\"status\":[\"FLL\",\"DEL\",\"UNSYNC\"]}\n");
	has(text, "\"clocks\":9,\"synchronised\":false");
}

static void test_text(void)
{
	char text[TEXT];
	begin(TIME_OK, STA_PLL | STA_NANO);
	CHECK_INT(run_clock(false, text), 0);
	has(text, "\nsynchronised   yes ");
	has(text, "\noffset         -123 us ");
	has(text, "\nfrequency      -12.500 ppm ");
	has(text, "\nmaximum error  23.5 ms ");
	has(text, "\nestimated      120 us ");
	has(text, "\nTAI - UTC      37 s ");
	has(text, "\nstatus         PLL ");
	CHECK(strstr(text, "UNSYNC") == NULL);
}

/* A sandbox may forbid it: what is known is told. */
static void test_forbidden(void)
{
	char text[TEXT];
	begin(-1, 0);
	CHECK_INT(run_clock(true, text), 1);
	has(text, "\"record\":\"sleep\"");
	has(text, "roundtrip: adjtimex read: Operation not permitted (EPERM)\n");
	has(text, "\"record\":\"error\",\"op\":\"adjtimex\"");
	has(text, "\"errno\":\"EPERM\"");
	CHECK(strstr(text, "\"ntp\"") == NULL && strstr(text, "\"total\"") == NULL);
}

int main(void)
{
	diag_tool = "roundtrip";
	test_synchronised();
	test_json();
	test_text();
	test_forbidden();
	return check_done();
}
