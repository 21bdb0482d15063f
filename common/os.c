#include "os.h"

#include "clock.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifdef __linux__
#define WHOSE_USAGE RUSAGE_THREAD
#else
#define WHOSE_USAGE RUSAGE_SELF
#endif

static uint64_t ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

/* The second number of the file: how long the thread waited on a run queue. */
static uint64_t run_delay_ns(void)
{
	char line[96];
	unsigned long long ran_ns, waited_ns;
	if (os_read_line("/proc/thread-self/schedstat", line, sizeof(line)) < 0 ||
	    sscanf(line, "%llu %llu", &ran_ns, &waited_ns) != 2)
		return 0;
	return waited_ns;
}

struct os_cpu os_thread_cpu(void)
{
	struct rusage usage;
	getrusage(WHOSE_USAGE, &usage);
	return (struct os_cpu){ ns_of(usage.ru_utime), ns_of(usage.ru_stime), run_delay_ns() };
}

int os_thread_start(pthread_t *out, size_t stack_len, void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_attr_init(&attr);
	int err = pthread_attr_setstacksize(&attr, stack_len);
	if (out == NULL)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* The mask is inherited: blocked here, there is no instant in which the new thread could be hit. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (err == 0)
		err = pthread_create(out != NULL ? out : &thread, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return err;
}

void os_thread_name(const char *name)
{
#ifdef __linux__
	char kept[16];
	snprintf(kept, sizeof(kept), "%s", name);
	pthread_setname_np(pthread_self(), kept);
#else
	(void)name;
#endif
}

unsigned os_cpu_count(void)
{
#ifdef __linux__
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (unsigned)CPU_COUNT(&set);
#endif
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 ? (unsigned)n : 1;
}

int os_read_line(const char *path, char *out, size_t cap)
{
	out[0] = '\0';
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, out, cap - 1);
	int saved = errno;
	close(fd);
	errno = saved;
	if (n < 0) {
		out[0] = '\0';
		return -1;
	}
	size_t len = 0;
	for (ssize_t i = 0; i < n && out[i] != '\n'; i++) {
		if (!isspace((unsigned char)out[i]))
			out[len++] = out[i];
		else if (len > 0 && out[len - 1] != ' ')
			out[len++] = ' ';
	}
	if (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
	return 0;
}

const char *os_kernel(char out[static 64])
{
	struct utsname name;
	if (uname(&name) < 0)
		snprintf(out, 64, "unknown");
	else
		snprintf(out, 64, "%.20s %.40s", name.sysname, name.release);
	return out;
}

unsigned os_terminal_columns(unsigned most)
{
	struct winsize w;
	unsigned columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
	return columns < most ? columns : most;
}

/* The first of the three that says anything. An empty one says nothing. */
bool os_is_utf8(void)
{
	static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		const char *locale = getenv(names[i]);
		if (locale != NULL && locale[0] != '\0')
			return strcasestr(locale, "UTF-8") != NULL || strcasestr(locale, "utf8") != NULL;
	}
	return false;
}

uint64_t os_random(void)
{
	uint64_t number;
	return getrandom(&number, sizeof(number), GRND_NONBLOCK) == sizeof(number) ? number : clk_mono_ns();
}

uint64_t os_raise_fd_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* raising to the hard limit needs no right */
	getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur;
}
