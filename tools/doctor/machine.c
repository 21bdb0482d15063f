/* machine.c - doctor, first chapter: the machine as it is, read from /proc and /sys or tried on the spot. */
#include "report.h"

#include "clock.h"
#include "diag.h"
#include "os.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT = 120 };

/* The least of several rounds: the others were interrupted by something. */
static double clock_reading_ns(void)
{
	enum { ROUNDS = 20, READINGS = 1000 };
	uint64_t least = UINT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = clk_mono_ns(), end = start;
		for (int i = 0; i < READINGS; i++)
			end = clk_mono_ns();
		if (end - start < least)
			least = end - start;
	}
	return (double)least / READINGS;
}

static void probe_clock(struct report *r)
{
	static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
	char source[TEXT];
	if (os_read_line(path, source, sizeof(source)) == 0)
		report_note(r, MACHINE, "clock_source", true, "%s", source);
	else
		report_note(r, MACHINE, "clock_source", false, "cannot read it: %s", errno_name(errno));

	/* A fast clock is read in user space in some 20 to 50 ns; a slow one takes a system call and a device. */
	double cost_ns = clock_reading_ns();
	if (cost_ns < 500)
		report_note(r, MACHINE, "clock_reading", true, "%.0f ns", cost_ns);
	else
		report_note(r, MACHINE, "clock_reading", false, "%.0f ns: slow, it shows in short latencies", cost_ns);
}

static void probe_sysctl(struct report *r, enum section section, const char *name, const char *path)
{
	char text[TEXT];
	if (os_read_line(path, text, sizeof(text)) == 0)
		report_note(r, section, name, true, "%s", text);
	else
		report_note(r, section, name, false, "%s: %s", path, errno_name(errno));
}

/* Space-separated, as the kernel lists them. */
static void try_each(char *available, char usable[static TEXT])
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *rest = NULL;
	usable[0] = '\0';
	for (char *name = strtok_r(available, " ", &rest); name != NULL; name = strtok_r(NULL, " ", &rest)) {
		int result = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
		tracef("setsockopt(TCP_CONGESTION, %s) = %s", name, result == 0 ? "0" : errno_name(errno));
		size_t used = strlen(usable);
		if (result == 0)
			snprintf(usable + used, TEXT - used, "%s%s", used > 0 ? " " : "", name);
	}
	close(fd);
}

void doctor_probe_congestion(struct report *r, enum section section, const char *name)
{
	char available[TEXT], usable[TEXT];
	if (os_read_line("/proc/sys/net/ipv4/tcp_available_congestion_control", available, sizeof(available)) < 0) {
		report_note(r, section, name, false, "tcp_available_congestion_control: %s", errno_name(errno));
		return;
	}
	try_each(available, usable);
	report_note(r, section, name, usable[0] != '\0', "%s", usable[0] != '\0' ? usable : "none was accepted");
}

static void probe_tcp(struct report *r)
{
	probe_sysctl(r, TCP, "congestion_available", "/proc/sys/net/ipv4/tcp_available_congestion_control");
	probe_sysctl(r, TCP, "congestion_allowed", "/proc/sys/net/ipv4/tcp_allowed_congestion_control");
	probe_sysctl(r, TCP, "congestion_current", "/proc/sys/net/ipv4/tcp_congestion_control");
	doctor_probe_congestion(r, TCP, "congestion_usable");
	probe_sysctl(r, TCP, "tcp_tw_reuse", "/proc/sys/net/ipv4/tcp_tw_reuse");
	probe_sysctl(r, TCP, "ip_local_port_range", "/proc/sys/net/ipv4/ip_local_port_range");
}

static void probe_limits(struct report *r)
{
	struct rlimit fds;
	if (getrlimit(RLIMIT_NOFILE, &fds) == 0)
		report_note(r, LIMITS, "fd_limit", true, "soft %llu, hard %llu", (unsigned long long)fds.rlim_cur,
			    (unsigned long long)fds.rlim_max);
	else
		report_note(r, LIMITS, "fd_limit", false, "getrlimit: %s", errno_name(errno));
	probe_sysctl(r, LIMITS, "tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem");
	probe_sysctl(r, LIMITS, "tcp_wmem", "/proc/sys/net/ipv4/tcp_wmem");
	probe_sysctl(r, LIMITS, "rmem_max", "/proc/sys/net/core/rmem_max");
	probe_sysctl(r, LIMITS, "wmem_max", "/proc/sys/net/core/wmem_max");
}

/* Looks where the shell looks, and where Debian keeps administrators' commands. */
static bool find_program(const char *name, char path[static TEXT])
{
	const char *from_environment = getenv("PATH");
	char folders[4096];
	snprintf(folders, sizeof(folders), "%s:/usr/sbin:/sbin", from_environment != NULL ? from_environment : "");
	char *rest = NULL;
	for (char *folder = strtok_r(folders, ":", &rest); folder != NULL; folder = strtok_r(NULL, ":", &rest)) {
		snprintf(path, TEXT, "%.80s/%s", folder, name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static void probe_programs(struct report *r)
{
	static const struct {
		const char *name, *package;
	} programs[] = {
		{ "ss", "iproute2" },   { "tcpdump", "tcpdump" },   { "strace", "strace" }, { "tc", "iproute2" },
		{ "iperf3", "iperf3" }, { "nc", "netcat-openbsd" }, { "ncat", "ncat" },     { "socat", "socat" },
		{ "curl", "curl" },     { "python3", "python3" },
	};
	for (size_t i = 0; i < COUNT_OF(programs); i++) {
		const char *name = programs[i].name;
		char path[TEXT];
		if (find_program(name, path))
			report_note(r, PROGRAMS, name, true, "%s", path);
		else
			report_note(r, PROGRAMS, name, false, "absent (Debian: apt install %s)", programs[i].package);
	}
}

void doctor_probe_machine(struct report *r)
{
	char kernel[64];
	report_note(r, MACHINE, "kernel", true, "%s", os_kernel(kernel));
	report_note(r, MACHINE, "processors", true, "%u", os_cpu_count());
	probe_clock(r);
	probe_tcp(r);
	probe_limits(r);
	probe_programs(r);
}
