/* The place of the control socket: whose file it is. Of many who come at once to a dead one exactly one may replace it. */
#include "../../tools/relay/relay.h"

#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTENDERS = 4, ROUNDS = 100 };

static char folder[64] = "/tmp/relay_place_test.XXXXXX", path[80];

static int bind_here(struct relay_place *place, struct net_error *e)
{
	return relay_place_bind(place, path, e);
}

static mode_t mode_of_file(void)
{
	struct stat st;
	return lstat(path, &st) == 0 ? st.st_mode : 0;
}

/* A socket whose process has gone: nobody listens there. */
static void leave_behind(void)
{
	struct relay_place place;
	struct net_error e;
	close(bind_here(&place, &e));
	CHECK(S_ISSOCK(mode_of_file()));
}

static void a_socket_is_the_owners_alone(void)
{
	struct relay_place place;
	struct net_error e;
	mode_t before = umask(0);
	int fd = bind_here(&place, &e);
	umask(before);
	CHECK(fd >= 0);
	CHECK_INT(mode_of_file() & 07777, 0600);
	int client = relay_place_connect(path, &e);
	CHECK(client >= 0);
	CHECK(relay_place_is_allowed(client));
	close(client);
	close(fd);
	CHECK_INT(relay_place_connect(path, &e), -1);
	CHECK_STR(net_error_symbol(&e), "ECONNREFUSED");
	relay_place_remove(&place);
	CHECK_INT(mode_of_file(), 0);
	relay_place_remove(&place); /* nothing is there */
	CHECK_INT(relay_place_connect(path, &e), -1);
	CHECK_STR(net_error_symbol(&e), "ENOENT");
}

static void only_what_is_dead_is_replaced(void)
{
	struct relay_place first, second;
	struct net_error e;
	leave_behind();
	int fd = bind_here(&first, &e);
	CHECK(fd >= 0);
	CHECK_INT(bind_here(&second, &e), -1);
	CHECK_STR(net_error_symbol(&e), "EADDRINUSE");
	unlink(path); /* somebody did; and another relay came */
	int other = bind_here(&second, &e);
	CHECK(other >= 0);
	relay_place_remove(&first);
	CHECK(S_ISSOCK(mode_of_file()));
	relay_place_remove(&second);
	CHECK_INT(mode_of_file(), 0);
	close(fd);
	close(other);
}

static void no_other_file_is_touched(void)
{
	struct relay_place place;
	struct net_error e;
	close(open(path, O_CREAT | O_WRONLY, 0644));
	CHECK_INT(bind_here(&place, &e), -1);
	CHECK_STR(net_error_symbol(&e), "EADDRINUSE");
	CHECK(S_ISREG(mode_of_file()));
	unlink(path);
	CHECK_INT(symlink("/nowhere", path), 0);
	CHECK_INT(bind_here(&place, &e), -1);
	CHECK(S_ISLNK(mode_of_file()));
	unlink(path);
	CHECK_INT(relay_place_bind(&place, folder, &e), -1);
	CHECK_INT(relay_place_bind(&place, "@abstract", &e), -1);
	CHECK_INT(relay_place_bind(&place, "", &e), -1);
	CHECK_INT(relay_place_bind(&place, "/nowhere/socket", &e), -1);
}

/* --- many at once -------------------------------------------------------------------------------------------------- */

static pthread_barrier_t barrier;

struct contender {
	pthread_t thread;
	struct relay_place place;
	int fd;
};

static void *contend(void *arg)
{
	struct contender *c = arg;
	struct net_error e;
	pthread_barrier_wait(&barrier);
	c->fd = bind_here(&c->place, &e);
	return NULL;
}

static int count_winners(struct contender *c)
{
	int won = 0;
	for (int i = 0; i < CONTENDERS; i++) {
		won += c[i].fd >= 0;
		if (c[i].fd >= 0)
			close(c[i].fd);
	}
	return won;
}

static void of_many_one_wins(void)
{
	struct contender c[CONTENDERS];
	int result = pthread_barrier_init(&barrier, NULL, CONTENDERS);
	CHECK_INT(result, 0);
	leave_behind();
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CONTENDERS; i++)
			CHECK_INT(pthread_create(&c[i].thread, NULL, contend, &c[i]), 0);
		for (int i = 0; i < CONTENDERS; i++)
			pthread_join(c[i].thread, NULL);
		if (!CHECK_INT(count_winners(c), 1)) /* and its socket is the dead one of the next round */
			break;
	}
	unlink(path);
	pthread_barrier_destroy(&barrier);
}

int main(void)
{
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/control", folder);
	a_socket_is_the_owners_alone();
	only_what_is_dead_is_replaced();
	no_other_file_is_touched();
	of_many_one_wins();
	CHECK_INT(rmdir(folder), 0);
	return check_done();
}
