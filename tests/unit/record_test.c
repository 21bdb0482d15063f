/* record_test.c - how records begin, what an error looks like in both forms, and that a lost report is noticed. */
#include "record.h"

#include "capture.h"
#include "check.h"
#include "diag.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static void begin_and_end(void)
{
	struct json j;
	record_begin(&j, "total");
	json_u64(&j, "bytes", 7);
	json_end(&j);
}

static struct net_error refused(void)
{
	struct net_error e;
	errno = ECONNREFUSED;
	net_fail(&e, "connect", "192.0.2.1:80");
	return e;
}

static void error_as_text(void)
{
	struct net_error e = refused();
	record_error(false, &e);
}

static void error_as_json(void)
{
	struct net_error e = refused();
	record_error(true, &e);
}

static void test_records(void)
{
	CHECK_STR(written_by(begin_and_end, STDOUT_FILENO),
		  "{\"schema\":\"tcplab.record_test/1\",\"record\":\"total\",\"bytes\":7}\n");
	CHECK_STR(written_by(error_as_text, STDERR_FILENO),
		  "record_test: connect 192.0.2.1:80: Connection refused (ECONNREFUSED)\n");
	CHECK_STR(written_by(error_as_text, STDOUT_FILENO), "");
	CHECK_STR(
		written_by(error_as_json, STDOUT_FILENO),
		"{\"schema\":\"tcplab.record_test/1\",\"record\":\"error\",\"op\":\"connect\",\"object\":\"192.0.2.1:80\","
		"\"errno\":\"ECONNREFUSED\",\"message\":\"Connection refused\"}\n");
}

static int finished;

static void finish_full(void)
{
	int full = open("/dev/full", O_WRONLY);
	int saved = dup(STDOUT_FILENO);
	dup2(full, STDOUT_FILENO);
	printf("a report");
	finished = record_finish(0);
	clearerr(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	close(full);
}

static void test_finish(void)
{
	CHECK_INT(record_finish(0), 0);
	CHECK_INT(record_finish(3), 3);
	if (access("/dev/full", W_OK) != 0)
		return;
	CHECK_STR(written_by(finish_full, STDERR_FILENO), "record_test: cannot write the report to standard output\n");
	CHECK_INT(finished, 1);
}

int main(void)
{
	diag_tool = "record_test";
	setvbuf(stdout, NULL, _IOFBF, BUFSIZ);
	test_records();
	test_finish();
	return check_done();
}
