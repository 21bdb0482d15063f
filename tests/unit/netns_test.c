/* What can be shown on every machine: the order of the steps, the report of the one that stops, and, where the kernel
 * allows namespaces at all, that the network inside is a private one. Each attempt is made in a child. */
#include "netns.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned chain(void)
{
	unsigned steps = NETNS_BIT(NETNS_NET) | NETNS_BIT(NETNS_LOOPBACK);
	if (geteuid() != 0)
		steps |= NETNS_BIT(NETNS_USER) | NETNS_BIT(NETNS_IDS);
	return steps;
}

static int in_child(int (*body)(void))
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(body());
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int enter(void)
{
	struct netns_failure why;
	return netns_enter(chain(), &why) == 0 ? 0 : 1;
}

/* We are root, the first interface is lo, and it answers. */
static int inside(void)
{
	struct netns_failure why;
	CHECK_INT(netns_enter(chain(), &why), 0);
	CHECK_INT(geteuid(), 0);
	struct if_nameindex *list = if_nameindex();
	if (CHECK(list != NULL && list[0].if_index != 0))
		CHECK_STR(list[0].if_name, "lo");
	if_freenameindex(list);

	struct sockaddr_in self = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(self);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_INT(bind(server, (struct sockaddr *)&self, len), 0);
	CHECK_INT(listen(server, 1), 0);
	CHECK_INT(getsockname(server, (struct sockaddr *)&self, &len), 0);
	CHECK_INT(connect(client, (struct sockaddr *)&self, len), 0);
	return check_bad != 0;
}

/* Maps without a user namespace of one's own: the kernel's refusal is reported, and the step after is not tried. */
static int refused(void)
{
	struct netns_failure why = { .step = NETNS_STEPS };
	CHECK_INT(netns_enter(NETNS_BIT(NETNS_IDS) | NETNS_BIT(NETNS_NET), &why), -1);
	int error = errno;
	CHECK_INT(why.step, NETNS_IDS);
	CHECK(why.error != 0);
	CHECK_INT(error, why.error);
	return check_bad != 0;
}

static void test_nothing_to_do(void)
{
	struct netns_failure why;
	CHECK_INT(netns_enter(0, &why), 0);
}

static void test_names(void)
{
	for (enum netns_step step = 0; step < NETNS_STEPS; step++)
		CHECK(strlen(netns_step_name(step)) > 1);
	CHECK_STR(netns_step_name(NETNS_LOOPBACK), "loopback up");
	CHECK_STR(netns_step_name(NETNS_STEPS), "?");
}

int main(void)
{
	test_nothing_to_do();
	test_names();
	CHECK_INT(in_child(refused), 0);
	/* Under a sanitizer or in a container the chain may be forbidden: doctor's business, not this test's. */
	if (in_child(enter) == 0)
		CHECK_INT(in_child(inside), 0);
	return check_done();
}
