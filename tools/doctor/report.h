/* report.h - what the probes of doctor write into, and the two chapters that probe.
 *
 * A probe never fails: what cannot be done here is a finding like any other. The report lies in memory that is shared
 * with child processes, because whoever enters a namespace cannot come back: a child enters, notes what it finds, and
 * ends. */
#ifndef TCPLAB_DOCTOR_REPORT_H
#define TCPLAB_DOCTOR_REPORT_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>

enum section { MACHINE, NAMESPACES, LINKS, TCP, LIMITS, PROGRAMS, SECTIONS };

struct probe {
	enum section section;
	bool ok;
	char name[32];
	char value[128]; /* what was found, or empty */
	char why[128];   /* why it is not ok, and what to do; or empty */
};

enum { PROBES_MAX = 64 };

struct report {
	size_t n;
	struct probe probe[PROBES_MAX];
};

/* Adds a finding: printf-like text is the value when ok, else the reason. */
void report_note(struct report *r, enum section section, const char *name, bool ok, const char *fmt, ...)
	PRINTF_LIKE(5, 6);

/* NULL when nothing of that name was noted. */
const struct probe *report_find(const struct report *r, const char *name);

/* machine.c: what can be read or tried from where we stand. */
void doctor_probe_machine(struct report *r);

/* private.c: what can be done in private namespaces. Forks; takes at most a few seconds. */
void doctor_probe_private(struct report *r);

/* In machine.c: tries setsockopt(TCP_CONGESTION) with each control the kernel has, notes those that were accepted. */
void doctor_probe_congestion(struct report *r, enum section section, const char *name);

#endif
