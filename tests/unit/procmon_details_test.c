/* Threads, descriptors and the memory map of real children that were told what to be. A child does one thing for each
 * byte that it is sent, and answers with what getrusage(2) says of it then. */
#include "../../tools/procmon/details.h"

#include "check.h"
#include "child.h"
#include "clock.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

struct play {
	pid_t pid;
	int commands, answers;
	struct procfs p;
};

static char folder[] = "/tmp/procmon_details_test.XXXXXX";

/* The first bytes of a file of a thread, with a zero at the end; nothing when it cannot be read. */
static void read_of_thread(char *text, size_t cap, pid_t pid, const char *tid, const char *name)
{
	char path[320];
	size_t n = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%s/%s", (int)pid, tid, name);
	FILE *f = fopen(path, "re");
	if (f != NULL) {
		n = fread(text, 1, cap - 1, f);
		fclose(f);
	}
	text[n] = '\0';
}

/* WHY wchan: a thread has the state S already when it still has to give up the processor, and is counted for that. */
static bool is_asleep(pid_t pid, const char *tid)
{
	char stat[1024], wchan[64];
	read_of_thread(stat, sizeof(stat), pid, tid, "stat");
	read_of_thread(wchan, sizeof(wchan), pid, tid, "wchan");
	const char *state = strrchr(stat, ')'); /* there are lines and brackets in names, too */
	return state == NULL || strstr(stat, "(spinner)") != NULL || (state[2] == 'S' && strcmp(wchan, "0") != 0);
}

static bool are_asleep(pid_t pid)
{
	char path[64];
	bool all = true;
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (tasks == NULL)
		return true;
	for (const struct dirent *d; all && (d = readdir(tasks)) != NULL;)
		all = d->d_name[0] == '.' || is_asleep(pid, d->d_name);
	closedir(tasks);
	return all;
}

/* Who has answered, or said that it is ready, still has some steps to go: until they wait, all but the one that spins. */
static void let_them_sleep(pid_t pid)
{
	for (int tries = 0; tries < CHILD_PATIENCE_S * 1000 && !are_asleep(pid); tries++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static struct rusage tell(struct play *c, char command)
{
	struct rusage usage = { 0 };
	CHECK_INT(write(c->commands, &command, 1), 1);
	CHECK_INT(read(c->answers, &usage, sizeof(usage)), sizeof(usage));
	let_them_sleep(c->pid);
	return usage;
}

static _Noreturn void obey(int commands, int answers, void (*act)(char))
{
	char command;
	alarm(CHILD_PATIENCE_S);
	while (read(commands, &command, 1) == 1) {
		act(command);
		struct rusage usage;
		getrusage(RUSAGE_SELF, &usage);
		if (write(answers, &usage, sizeof(usage)) != sizeof(usage))
			break;
	}
	_exit(0);
}

static void start(struct play *c, void (*act)(char))
{
	int commands[2], answers[2];
	CHECK_INT(pipe(commands) | pipe(answers), 0);
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0) {
		close(commands[1]);
		close(answers[0]);
		obey(commands[0], answers[1], act);
	}
	close(commands[0]);
	close(answers[1]);
	c->commands = commands[1];
	c->answers = answers[0];
	struct net_error e;
	CHECK_INT(procfs_open(&c->p, c->pid, &e), 0);
}

static void stop(struct play *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->commands);
	close(c->answers);
	procfs_close(&c->p);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

enum { SLEEPS = 100 };

static atomic_uint n_ready;
static int never[2]; /* a pipe in which nothing comes */

static void *sleep_often(void *name)
{
	char byte;
	pthread_setname_np(pthread_self(), name);
	/* On a busy machine the time may be over before it sleeps, and that is no switch. */
	struct rusage usage = { 0 };
	while (usage.ru_nvcsw < SLEEPS) {
		nanosleep(&(struct timespec){ .tv_nsec = 1000 }, NULL);
		getrusage(RUSAGE_THREAD, &usage);
	}
	atomic_fetch_add(&n_ready, 1);
	return (void *)read(never[0], &byte, 1);
}

static void *wait_only(void *name)
{
	char byte;
	pthread_setname_np(pthread_self(), name);
	atomic_fetch_add(&n_ready, 1);
	return (void *)read(never[0], &byte, 1);
}

static void *spin(void *name)
{
	pthread_setname_np(pthread_self(), name);
	atomic_fetch_add(&n_ready, 1);
	for (;;)
		;
	return NULL;
}

/* Until it has done its work and is asleep, or spins. */
static void run_thread(void *(*body)(void *), const char *name)
{
	pthread_t thread;
	unsigned before = atomic_load(&n_ready);
	if (pthread_create(&thread, NULL, body, (void *)(uintptr_t)name) != 0)
		_exit(1);
	while (atomic_load(&n_ready) == before)
		sched_yield();
}

static void act_threads(char command)
{
	if (never[1] == 0 && pipe(never) < 0)
		_exit(1);
	if (command == 'a')
		run_thread(sleep_often, "alpha");
	if (command == 'b')
		run_thread(sleep_often, "b) S (x \n y");
	if (command == 's')
		run_thread(spin, "spinner");
	if (command == 'm')
		for (unsigned i = 0; i < 50; i++)
			run_thread(wait_only, "many");
}

/* A sanitizer has threads of its own. */
static size_t count_threads(const struct threads *t, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < t->n; i++)
		n += strcmp(t->row[i].name, name) == 0;
	return n;
}

static const struct thread_row *find_thread(const struct threads *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++) {
		if (strcmp(t->row[i].name, name) == 0)
			return &t->row[i];
	}
	CHECK_STR("none", "such a thread");
	static const struct thread_row nothing;
	return &nothing;
}

/* Mostly the first row; but the number of a thread is less than that of its process when the numbers begin again between
 * them. */
static const struct thread_row *main_thread(const struct threads *t, const struct play *c)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->row[i].tid == (uint32_t)c->pid)
			return &t->row[i];
	}
	CHECK_STR("none", "the first thread");
	static const struct thread_row nothing;
	return &nothing;
}

static void read_threads(struct threads *t, struct play *c)
{
	threads_clear(t, clk_mono_ns());
	threads_read(t, &c->p, true);
	CHECK(t->why == NULL);
}

static uint64_t cpu_us(const struct rusage *u)
{
	return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

/* The kernel's own sums of it, before and after. user and system are cut off at microseconds. */
static void check_sums(const struct threads *t, const struct rusage *least, const struct rusage *most)
{
	struct threads_sums s = threads_sum(t);
	CHECK(s.voluntary >= (uint64_t)least->ru_nvcsw && s.voluntary <= (uint64_t)most->ru_nvcsw);
	CHECK(s.involuntary >= (uint64_t)least->ru_nivcsw && s.involuntary <= (uint64_t)most->ru_nivcsw);
	CHECK(s.ran_ns / 1000 >= cpu_us(least) && s.ran_ns / 1000 <= cpu_us(most) + 2);
}

static void check_no_rates(const struct thread_row *row)
{
	CHECK(isnan(row->cpu_percent) && isnan(row->waited_percent));
	CHECK(isnan(row->voluntary_per_s) && isnan(row->involuntary_per_s));
}

static void test_threads(void)
{
	struct play c;
	struct threads t = { 0 };
	start(&c, act_threads);
	tell(&c, 'a');
	struct rusage least = tell(&c, 'b');
	read_threads(&t, &c);
	struct rusage most = tell(&c, '-');
	CHECK_INT(t.n_more, 0);
	CHECK(t.has_wchan);
	CHECK_INT(main_thread(&t, &c)->tid, c.pid);
	for (size_t i = 1; i < t.n; i++)
		CHECK(t.row[i - 1].tid < t.row[i].tid);
	const struct thread_row *b = find_thread(&t, "b) S (x \n y");
	CHECK_INT(b->pid, c.pid);
	CHECK_INT(b->state, 'S');
	CHECK(b->start_ticks >= c.p.start_ticks && b->ran_ns > 0);
	CHECK(b->voluntary >= SLEEPS && find_thread(&t, "alpha")->voluntary >= SLEEPS);
	CHECK(strcmp(b->wchan, "0") != 0);
	check_no_rates(b);
	CHECK(!threads_sum(&t).is_rate);
	check_sums(&t, &least, &most);
	threads_free(&t);
	stop(&c);
}

/* When the last row was read: on a busy machine that may be long after the first. */
static uint64_t latest_ns(const struct threads *t)
{
	uint64_t latest = t->at_ns;
	for (size_t i = 0; i < t->n; i++)
		latest = t->row[i].read_ns > latest ? t->row[i].read_ns : latest;
	return latest;
}

/* What happened in a second is the difference of two readings, by the clock between them; a thread that began in
 * between did all of it since. */
static void test_rates(void)
{
	struct play c;
	struct threads t = { 0 };
	start(&c, act_threads);
	tell(&c, 'a');
	read_threads(&t, &c);
	struct threads_sums first = threads_sum(&t);
	uint64_t begin_ns = t.at_ns;
	tell(&c, 'b');
	struct rusage least = tell(&c, '-');
	read_threads(&t, &c);
	struct rusage most = tell(&c, '-');
	check_sums(&t, &least, &most);
	struct threads_sums second = threads_sum(&t);
	double s = (double)(t.at_ns - begin_ns) / 1e9;
	const struct thread_row *a = find_thread(&t, "alpha"), *b = find_thread(&t, "b) S (x \n y");
	CHECK(a->voluntary_per_s == 0 && a->cpu_percent == 0 && a->waited_percent == 0);
	CHECK(fabs(b->voluntary_per_s * (double)(b->read_ns - begin_ns) / 1e9 - (double)b->voluntary) < 0.01);
	CHECK(fabs(b->cpu_percent / 100 * (double)(b->read_ns - begin_ns) - (double)b->ran_ns) < 1);
	/* Each row has the clock of its own reading, which is later than that of the whole. */
	CHECK(second.is_rate);
	CHECK(second.voluntary_per_s * s <= (double)(second.voluntary - first.voluntary) + 0.01);
	double longest_s = (double)(latest_ns(&t) - begin_ns) / 1e9;
	CHECK(second.voluntary_per_s * longest_s >= (double)(second.voluntary - first.voluntary) - 0.01);
	CHECK(second.cpu_percent > 0);
	threads_free(&t);
	stop(&c);
}

/* Waits for a tick of the boot clock: `row` began before it. */
static void let_a_tick_pass(const struct thread_row *row)
{
	struct timespec now;
	do {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		clock_gettime(CLOCK_BOOTTIME, &now);
	} while ((uint64_t)now.tv_sec * 100 + (uint64_t)now.tv_nsec / 10000000 <= row->start_ticks + 1);
}

/* One that was there and was not read has no rate, rather than that of its whole life; nor has one of which only the
 * number was there. */
static void test_unknown_before(void)
{
	struct play c;
	struct threads t = { 0 };
	start(&c, act_threads);
	tell(&c, 'a');
	tell(&c, 'b');
	read_threads(&t, &c);
	let_a_tick_pass(find_thread(&t, "b) S (x \n y"));
	read_threads(&t, &c);
	CHECK(!isnan(find_thread(&t, "alpha")->cpu_percent));
	for (size_t i = 0; i < t.n; i++) {
		t.row[i].start_ticks -= strcmp(t.row[i].name, "alpha") == 0;
		t.row[i].tid += t.row[i].name[0] == 'b' ? 1000000 : 0;
	}
	read_threads(&t, &c);
	CHECK(!isnan(main_thread(&t, &c)->cpu_percent));
	check_no_rates(find_thread(&t, "alpha"));
	check_no_rates(find_thread(&t, "b) S (x \n y"));
	threads_free(&t);
	stop(&c);
}

static void test_spinner(void)
{
	struct play c;
	struct threads t = { 0 };
	start(&c, act_threads);
	tell(&c, 's');
	read_threads(&t, &c);
	uint64_t ran_ns = find_thread(&t, "spinner")->ran_ns;
	const struct thread_row *spinner;
	uint64_t end_ns = clk_mono_ns() + CHILD_PATIENCE_S * (uint64_t)NS_PER_S;
	do {
		read_threads(&t, &c);
		spinner = find_thread(&t, "spinner");
		/* Where it may not have more of the processor (cgroup) it waits for some of the time. */
	} while ((spinner->ran_ns - ran_ns < 30 * NS_PER_MS || spinner->state != 'R') && clk_mono_ns() < end_ns);
	CHECK_INT(spinner->state, 'R');
	CHECK_STR(spinner->wchan, "");
	CHECK(main_thread(&t, &c)->cpu_percent < 50);
	threads_free(&t);
	stop(&c);
}

/* The main process is read after the other one: nobody's row is taken for another's. */
static void test_two_processes(void)
{
	struct play c[2];
	struct threads t = { 0 };
	start(&c[0], act_threads);
	start(&c[1], act_threads);
	tell(&c[0], 'a');
	tell(&c[1], 'b');
	for (unsigned i = 0; i < 2; i++) {
		threads_clear(&t, clk_mono_ns());
		threads_read(&t, &c[1].p, false);
		threads_read(&t, &c[0].p, false);
	}
	CHECK(t.n >= 4);
	CHECK(!t.has_wchan);
	CHECK_INT(t.row[0].pid, c[1].pid);
	CHECK_INT(t.row[t.n - 1].pid, c[0].pid);
	for (size_t i = 0; i < t.n; i++)
		CHECK(!isnan(t.row[i].cpu_percent));
	threads_free(&t);
	stop(&c[0]);
	stop(&c[1]);
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

enum { AT = 100, POSITION = 1234, MANY_AT = 200, MANY_FILES = 800 };

static int path_open(const char *name, int flags)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return open(path, flags, 0600);
}

static void path_unlink(const char *name)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
}

static void put(int at, int fd)
{
	if (fd < 0 || dup2(fd, at) < 0)
		_exit(1);
	close(fd);
}

static void open_named(void)
{
	for (int fd = MANY_AT; fd < MANY_AT + MANY_FILES; fd++) /* what our own parent left open */
		close(fd);
	char fifo[128], old[128], new[128];
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	snprintf(old, sizeof(old), "%s/linked", folder);
	snprintf(new, sizeof(new), "%s/other", folder);
	put(AT, open("/dev/null", O_RDONLY));
	put(AT + 1, path_open("file", O_RDWR | O_CREAT | O_APPEND));
	lseek(AT + 1, POSITION, SEEK_SET);
	put(AT + 2, path_open("gone", O_WRONLY | O_CREAT));
	path_unlink("gone");
	put(AT + 3, path_open("a (deleted)", O_WRONLY | O_CREAT));
	put(AT + 4, path_open("linked", O_WRONLY | O_CREAT));
	if (link(old, new) < 0 || unlink(old) < 0 || mkfifo(fifo, 0600) < 0)
		_exit(1);
	put(AT + 5, open(folder, O_RDONLY | O_DIRECTORY));
	put(AT + 6, path_open("fifo", O_RDWR));
	put(AT + 7, path_open("file", O_PATH));
}

static void act_files(char command)
{
	int ends[2];
	if (command == 'n')
		open_named();
	if (command == 'u') {
		if (pipe2(ends, O_CLOEXEC) < 0)
			_exit(1);
		dup3(ends[0], AT + 10, O_CLOEXEC);
		put(AT + 11, ends[1]);
		put(AT + 12, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		put(AT + 13, epoll_create1(0));
		put(AT + 14, eventfd(0, 0));
		put(AT + 15, (int)syscall(SYS_memfd_create, "scratch", 0));
		put(AT + 16, (int)syscall(SYS_inotify_init1, 0));
	}
	if (command == 'm')
		for (int fd = MANY_AT; fd < MANY_AT + MANY_FILES; fd++)
			if (dup2(AT, fd) < 0)
				_exit(1);
}

static const struct file_row *find_file(const struct files *f, uint32_t fd)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->row[i].fd == fd)
			return &f->row[i];
	}
	CHECK_STR("none", "such a descriptor");
	static const struct file_row nothing;
	return &nothing;
}

static void check_file(const struct files *f, uint32_t fd, enum file_kind kind, const char *target, bool is_deleted)
{
	const struct file_row *row = find_file(f, fd);
	char want[128];
	snprintf(want, sizeof(want), "%s%s%s", target[0] == '/' ? "" : folder,
		 target[0] != 0 && target[0] != '/' ? "/" : "", target);
	CHECK_INT(row->kind, kind);
	CHECK_INT(row->is_deleted, is_deleted);
	if (strcmp(target, "?") != 0)
		CHECK_STR(row->target, want);
}

static void check_named(const struct files *f)
{
	char text[FILE_FLAGS_TEXT];
	check_file(f, AT, FILE_DEVICE, "/dev/null", false);
	check_file(f, AT + 1, FILE_REGULAR, "file", false);
	check_file(f, AT + 2, FILE_REGULAR, "gone", true);
	check_file(f, AT + 3, FILE_REGULAR, "a (deleted)", false);
	check_file(f, AT + 4, FILE_REGULAR, "linked", true);
	check_file(f, AT + 5, FILE_FOLDER, "", false);
	check_file(f, AT + 6, FILE_PIPE, "fifo", false);
	check_file(f, AT + 7, FILE_REGULAR, "file", false);
	CHECK(find_file(f, AT + 6)->inode != 0);
	CHECK(find_file(f, AT + 1)->has_info);
	CHECK_INT(find_file(f, AT + 1)->position, POSITION);
	CHECK_STR(file_flags_text(text, find_file(f, AT + 1)->flags), "read, write, append");
	CHECK_STR(file_flags_text(text, find_file(f, AT)->flags), "read");
	CHECK_STR(file_flags_text(text, find_file(f, AT + 2)->flags), "write");
	CHECK_STR(file_flags_text(text, find_file(f, AT + 7)->flags), "path");
}

static void check_unnamed(const struct files *f)
{
	char text[FILE_FLAGS_TEXT];
	check_file(f, AT + 10, FILE_PIPE, "?", false);
	check_file(f, AT + 12, FILE_SOCKET, "?", false);
	check_file(f, AT + 13, FILE_EPOLL, "?", false);
	check_file(f, AT + 14, FILE_EVENT, "?", false);
	check_file(f, AT + 15, FILE_REGULAR, "/memfd:scratch (deleted)", false);
	check_file(f, AT + 16, FILE_OTHER, "?", false);
	CHECK(find_file(f, AT + 10)->inode != 0 && find_file(f, AT + 12)->inode != 0);
	CHECK_INT(find_file(f, AT + 10)->inode, find_file(f, AT + 11)->inode);
	CHECK_STR(file_flags_text(text, find_file(f, AT + 10)->flags), "read, cloexec");
	CHECK_STR(file_flags_text(text, find_file(f, AT + 12)->flags), "read, write, nonblock");
	CHECK_STR(find_file(f, AT + 13)->target, "anon_inode:[eventpoll]");
	CHECK(!find_file(f, AT + 13)->has_info && !find_file(f, AT + 16)->has_info);
	CHECK(find_file(f, AT + 14)->has_info);
}

static void test_files(void)
{
	struct play c;
	struct files f = { 0 };
	start(&c, act_files);
	tell(&c, 'n');
	tell(&c, 'u');
	files_clear(&f, 1);
	files_read(&f, &c.p, true);
	CHECK(f.why == NULL);
	check_named(&f);
	check_unnamed(&f);
	uint64_t all = 0;
	for (unsigned i = 0; i < FILE_KINDS; i++)
		all += f.kinds[i];
	CHECK_INT(all, f.n);
	CHECK_INT(f.kinds[FILE_EPOLL], 1);
	CHECK_INT(f.kinds[FILE_SOCKET], 1);
	for (size_t i = 1; i < f.n; i++)
		CHECK(f.row[i - 1].fd < f.row[i].fd);

	size_t before = f.n;
	tell(&c, 'm');
	files_clear(&f, 2);
	files_read(&f, &c.p, false);
	CHECK_INT(f.n, before + MANY_FILES);
	CHECK(!find_file(&f, AT + 1)->has_info);
	size_t readings = 1; /* as if it were several processes: until there is no room */
	for (; f.n_more == 0; readings++)
		files_read(&f, &c.p, false);
	CHECK_INT(f.n, DETAILS_FILES);
	CHECK_INT(f.n_more, readings * (before + MANY_FILES) - DETAILS_FILES);
	files_free(&f);
	stop(&c);
}

static void test_names(void)
{
	char text[FILE_FLAGS_TEXT];
	CHECK_STR(file_kind_name(FILE_SOCKET), "socket");
	for (unsigned i = 0; i < FILE_KINDS; i++)
		CHECK(file_kind_name((enum file_kind)i) != NULL);
	CHECK_STR(file_flags_text(text, 0), "read");
	CHECK_STR(file_flags_text(text, O_WRONLY | O_SYNC), "write, sync");
	CHECK_STR(file_flags_text(text, O_WRONLY | O_DSYNC), "write, dsync");
	CHECK_STR(file_flags_text(text, 3), "");
	CHECK(strlen(file_flags_text(text, UINT32_MAX & ~(uint32_t)O_PATH)) < FILE_FLAGS_TEXT - 1);
}

/* --- the map ------------------------------------------------------------------------------------------------------ */

enum { MAPPED_AT = 5, MANY = DETAILS_MAPS + 76, ANONYMOUS = 4 * 1024 * 1024 };

static char *map_file(const char *name, size_t len, int rights)
{
	int fd = path_open(name, O_RDWR | O_CREAT);
	if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
		_exit(1);
	char *at = mmap(NULL, len, rights, MAP_PRIVATE, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		_exit(1);
	return at;
}

static void act_maps(char command)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; command == 'f' && i < MAPPED_AT; i++) {
		map_file("mapped", 3 * page, i == 4 ? PROT_READ | PROT_WRITE : PROT_READ | PROT_EXEC);
		if (i == 4)
			map_file("between", page, PROT_READ);
	}
	if (command == 'a') {
		char *at = mmap(NULL, ANONYMOUS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memset(at, 1, ANONYMOUS);
		uintptr_t end = (uintptr_t)syscall(SYS_brk, 0); /* the library's functions are not there in musl */
		end = (end + page - 1) & ~(page - 1);
		if ((uintptr_t)syscall(SYS_brk, end + page) != end + page)
			_exit(1);
		memset((void *)end, 1, page);
	}
	for (unsigned i = 0; command == 'm' && i < MANY; i++) {
		char name[32];
		snprintf(name, sizeof(name), "many%u", i);
		int fd = (int)syscall(SYS_memfd_create, name, 0);
		if (mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
			_exit(1);
		close(fd);
	}
}

static const struct map_row *find_map(const struct maps *m, const char *what)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->row[i].what, what) == 0)
			return &m->row[i];
	}
	CHECK_STR("none", "such a mapping");
	static const struct map_row nothing;
	return &nothing;
}

static void check_rollup(const struct maps *m, const struct procfs *p)
{
	char text[4096];
	struct procfs_memory all;
	ssize_t len = procfs_read(p, "smaps_rollup", text, sizeof(text));
	if (len < 0 || !m->has_pss)
		return;
	CHECK(procfs_parse_rollup(&all, text, (size_t)len));
	CHECK_INT(m->sum.resident, all.resident);
	CHECK_INT(m->sum.private_dirty + m->sum.shared_dirty, all.private_dirty + all.shared_dirty);
	CHECK_INT(m->sum.anonymous, all.anonymous);
	/* Each mapping's is cut off at a KiB, and what we write meanwhile we do not share with our child any more. */
	CHECK(fabs((double)m->sum.pss - (double)all.pss) < 256 * 1024 + 0.1 * (double)all.pss);
}

static void check_rows(const struct maps *m)
{
	struct procfs_memory sum = { 0 };
	for (size_t i = 0; i < m->n; i++) {
		CHECK(i == 0 || m->row[i - 1].memory.pss >= m->row[i].memory.pss);
		CHECK(m->row[i].mappings > 0);
		sum.size += m->row[i].memory.size;
		sum.resident += m->row[i].memory.resident;
		sum.pss += m->row[i].memory.pss;
	}
	CHECK_INT(sum.size, m->sum.size);
	CHECK_INT(sum.resident, m->sum.resident);
	CHECK_INT(sum.pss, m->sum.pss);
}

static void test_maps(void)
{
	struct play c;
	struct maps m = { 0 };
	char path[128];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	start(&c, act_maps);
	tell(&c, 'f');
	tell(&c, 'a');
	maps_clear(&m, 1);
	maps_read(&m, &c.p);
	CHECK(m.why == NULL);
	CHECK_INT(m.n_more, 0);
	snprintf(path, sizeof(path), "%s/mapped", folder);
	const struct map_row *file = find_map(&m, path), *heap = find_map(&m, "[heap]");
	CHECK(file->mappings >= 1 && file->mappings <= MAPPED_AT); /* neighbours may be one */
	CHECK_INT(file->memory.size, MAPPED_AT * 3 * page);
	CHECK(file->is_executable && file->is_writable);
	CHECK(heap->is_writable && !heap->is_executable);
	CHECK(find_map(&m, "[stack]")->mappings == 1);
	CHECK(find_map(&m, "[anonymous]")->memory.size >= ANONYMOUS);
	if (m.has_pss) {
		CHECK(find_map(&m, "[anonymous]")->memory.private_dirty >= ANONYMOUS);
		CHECK(heap->memory.pss >= page);
	}
	check_rows(&m);
	check_rollup(&m, &c.p);
	maps_free(&m);
	stop(&c);
}

/* Of two processes, and of more things than there are rows for. */
static void test_many_maps(void)
{
	struct play c;
	struct maps m = { 0 };
	start(&c, act_maps);
	maps_clear(&m, 1);
	maps_read(&m, &c.p);
	size_t n = m.n;
	struct procfs_memory sum = m.sum;
	maps_read(&m, &c.p);
	CHECK(m.n <= n + 1);
	/* A sanitizer maps memory in a thread of its own, now and then. */
	CHECK(fabs((double)m.sum.size - 2 * (double)sum.size) < 0.01 * (double)sum.size);
	CHECK(find_map(&m, "[stack]")->mappings == 2);
	check_rows(&m);

	tell(&c, 'm');
	maps_clear(&m, 2);
	CHECK_INT(m.n, 0);
	maps_read(&m, &c.p);
	CHECK_INT(m.n, DETAILS_MAPS);
	CHECK(m.n_more >= MANY - DETAILS_MAPS);
	check_rollup(&m, &c.p);
	maps_free(&m);
	stop(&c);
}

/* --- rights, and the end ------------------------------------------------------------------------------------------ */

static void read_all(const struct procfs *p, struct threads *t, struct files *f, struct maps *m)
{
	threads_clear(t, clk_mono_ns());
	files_clear(f, clk_mono_ns());
	maps_clear(m, clk_mono_ns());
	threads_read(t, p, true);
	files_read(f, p, true);
	maps_read(m, p);
}

static void free_all(struct threads *t, struct files *f, struct maps *m)
{
	threads_free(t);
	files_free(f);
	maps_free(m);
}

static pid_t watched;

static void watch_without_rights(void)
{
	struct procfs p;
	struct net_error e;
	struct threads t = { 0 };
	struct files f = { 0 };
	struct maps m = { 0 };
	if (geteuid() == 0)
		CHECK_INT(setresgid(65534, 65534, 65534) | setresuid(65534, 65534, 65534), 0);
	if (!CHECK_INT(procfs_open(&p, watched, &e), 0))
		return;
	read_all(&p, &t, &f, &m);
	CHECK_INT(f.n + m.n, 0);
	CHECK(f.why != NULL && strstr(f.why, "CAP_SYS_PTRACE") != NULL);
	CHECK(m.why != NULL && strstr(m.why, "CAP_SYS_PTRACE") != NULL);
	/* Everybody may see its threads, but not where they sleep. */
	CHECK(find_thread(&t, "alpha")->voluntary >= SLEEPS);
	CHECK(!t.has_wchan && t.why != NULL && strstr(t.why, "CAP_SYS_PTRACE") != NULL);
	threads_clear(&t, clk_mono_ns());
	threads_read(&t, &p, false);
	CHECK(t.why == NULL && t.n >= 2);
	free_all(&t, &f, &m);
	procfs_close(&p);
}

static void act_hidden(char command)
{
	prctl(PR_SET_DUMPABLE, 0);
	act_threads(command);
}

static void test_rights(void)
{
	struct play c;
	start(&c, act_hidden);
	tell(&c, 'a');
	watched = c.pid;
	CHECK_INT(in_child(watch_without_rights), 0);
	stop(&c);
}

/* What was known before stands again, and one reading more does no harm. */
static void test_end(void)
{
	struct play c;
	struct threads t = { 0 };
	struct files f = { 0 };
	struct maps m = { 0 };
	start(&c, act_threads);
	tell(&c, 'a');
	read_all(&c.p, &t, &f, &m);
	size_t n_threads = t.n, n_files = f.n, n_maps = m.n;
	uint64_t at_ns = t.at_ns;
	CHECK(n_files > 3 && n_maps > 3);

	kill(c.pid, SIGKILL);
	siginfo_t info;
	waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT);
	read_all(&c.p, &t, &f, &m); /* a zombie */
	CHECK_INT(f.n + m.n, 0);
	CHECK(f.why == NULL && m.why == NULL);
	threads_undo(&t);
	files_undo(&f);
	maps_undo(&m);
	CHECK_INT(t.n, n_threads);
	CHECK_INT(t.at_ns, at_ns);
	CHECK_INT(find_thread(&t, "alpha")->state, 'S');
	CHECK_INT(f.n, n_files);
	CHECK_INT(m.n, n_maps);
	CHECK(find_map(&m, "[stack]")->mappings == 1);

	waitpid(c.pid, NULL, 0);
	read_all(&c.p, &t, &f, &m);
	CHECK_INT(t.n + f.n + m.n, 0);
	CHECK(t.why == NULL && f.why == NULL && m.why == NULL);
	threads_undo(&t);
	CHECK_INT(t.n, n_threads);
	free_all(&t, &f, &m);
	procfs_close(&c.p);
	close(c.commands);
	close(c.answers);
}

static void *outlive_main(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static void act_leave_main(char command)
{
	pthread_t thread;
	if (command != 'x')
		return;
	pthread_create(&thread, NULL, outlive_main, NULL);
	syscall(SYS_exit, 0); /* this thread alone */
}

/* The first thread has ended, and others go on: that the kernel shows nothing is not that the process has nothing. */
static void test_first_thread_ended(void)
{
	struct play c;
	struct threads t = { 0 };
	struct files f = { 0 };
	struct maps m = { 0 };
	start(&c, act_leave_main);
	tell(&c, '-');
	CHECK_INT(write(c.commands, "x", 1), 1);
	do {
		free_all(&t, &f, &m);
		read_all(&c.p, &t, &f, &m);
	} while (main_thread(&t, &c)->state != 'Z');
	free_all(&t, &f, &m);
	read_all(&c.p, &t, &f, &m); /* it may have ended while it was read, the other one having begun meanwhile */
	CHECK(t.n >= 2);
	CHECK_INT(f.n + m.n, 0);
	CHECK(f.why != NULL && strstr(f.why, "first thread") != NULL);
	CHECK(m.why != NULL && strstr(m.why, "first thread") != NULL);
	free_all(&t, &f, &m);
	stop(&c);
}

/* While it is ending it may be said so. */
static bool is_no_right_missing(const char *why)
{
	return why == NULL || strstr(why, "CAP_SYS_PTRACE") == NULL;
}

/* It ends at another place each time. */
static void test_end_in_the_middle(void)
{
	for (unsigned i = 0; i < 10; i++) {
		struct play c;
		struct threads t = { 0 };
		struct files f = { 0 };
		struct maps m = { 0 };
		start(&c, act_threads);
		tell(&c, 'm');
		read_all(&c.p, &t, &f, &m);
		CHECK_INT(count_threads(&t, "many"), 50);
		pid_t killer = fork();
		if (killer == 0) {
			nanosleep(&(struct timespec){ .tv_nsec = i * 100000 }, NULL);
			_exit(kill(c.pid, SIGKILL) != 0);
		}
		for (unsigned k = 0; k < 3; k++) {
			read_all(&c.p, &t, &f, &m);
			CHECK(count_threads(&t, "many") <= 50);
			CHECK(is_no_right_missing(t.why) && is_no_right_missing(f.why) && is_no_right_missing(m.why));
		}
		waitpid(killer, NULL, 0);
		free_all(&t, &f, &m);
		stop(&c);
	}
}

static void remove_folder(void)
{
	static const char *const name[] = { "file", "a (deleted)", "other", "fifo", "mapped", "between" };
	for (size_t i = 0; i < COUNT_OF(name); i++)
		path_unlink(name[i]);
	CHECK_INT(rmdir(folder), 0);
}

int main(void)
{
	if (!CHECK(mkdtemp(folder) != NULL))
		return check_done();
	test_threads();
	test_rates();
	test_unknown_before();
	test_spinner();
	test_two_processes();
	test_files();
	test_names();
	test_maps();
	test_many_maps();
	test_rights();
	test_end();
	test_first_thread_ended();
	test_end_in_the_middle();
	remove_folder();
	return check_done();
}
