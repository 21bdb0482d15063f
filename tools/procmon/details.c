/* details.c - why something could not be read; threads.c, files.c and maps.c use it. See details.h. */
#include "details.h"

#include <errno.h>
#include <poll.h>

static bool has_ended(const struct procfs *p)
{
	struct pollfd end = { .fd = p->pid_fd, .events = POLLIN };
	return p->pid_fd >= 0 && poll(&end, 1, 0) > 0;
}

static bool has_memory(const struct procfs *p)
{
	char text[16 * 1024];
	struct procfs_status status;
	ssize_t len = procfs_read(p, "status", text, sizeof(text));
	return len > 0 && procfs_parse_status(&status, text, (size_t)len) && status.has_memory;
}

static const char no_memory[] = "it has no memory: it or its first thread is ending, or it is a part of the kernel";

/* A process gives back its memory before it is a zombie, and from then on an ordinary user may not see its files
 * (EACCES). */
void details_note(const char **why, const struct procfs *p, int error)
{
	if (*why != NULL || error == ENOENT || error == ESRCH || has_ended(p))
		return;
	if ((error == EACCES || error == EPERM) && !has_memory(p))
		*why = no_memory;
	else
		*why = procfs_why(p, error);
}

void details_note_nothing(const char **why, const struct procfs *p)
{
	if (*why == NULL && !has_ended(p) && !has_memory(p))
		*why = no_memory;
}
