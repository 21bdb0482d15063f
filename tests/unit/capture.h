/* capture.h - what a function prints, for a test to look at. */
#ifndef TCPLAB_CAPTURE_H
#define TCPLAB_CAPTURE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a function writes to standard output or standard error; the other one is not shown. Valid until the next call.
 * LIMIT: as much as a pipe takes, and not more than 32 KiB. */
static inline const char *written_by(void (*body)(void), int fd)
{
	static char text[32768];
	int ends[2], out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	fflush(NULL);
	if (pipe(ends) < 0)
		abort();
	dup2(fd == STDOUT_FILENO ? ends[1] : null, STDOUT_FILENO);
	dup2(fd == STDERR_FILENO ? ends[1] : null, STDERR_FILENO);
	close(ends[1]);
	close(null);
	body();
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	return text;
}

#endif
