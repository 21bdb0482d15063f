#include "diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *diag_tool = "tcplab";
bool diag_trace = false;

enum { LINE_MAX_LEN = 1024 };

/* Writes "tool: PREFIX text SUFFIX\n" in one piece; a longer text is cut. */
static void PRINTF_LIKE(2, 0) say(const char *prefix, const char *fmt, va_list args, int error)
{
	char line[LINE_MAX_LEN];
	int used = snprintf(line, sizeof(line), "%s: %s", diag_tool, prefix);
	size_t len = used > 0 && (size_t)used < sizeof(line) ? (size_t)used : 0;

	used = vsnprintf(line + len, sizeof(line) - len, fmt, args);
	if (used > 0)
		len += (size_t)used;
	if (len < sizeof(line) && error != 0) {
		used = snprintf(line + len, sizeof(line) - len, ": %s (%s)", strerror(error), errno_name(error));
		if (used > 0)
			len += (size_t)used;
	}
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	/* WHY the result is dropped: there is nobody left to tell when stderr itself fails. */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

void warnf(const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, fmt);
	say("", fmt, args, 0);
	va_end(args);
	errno = saved;
}

void warnf_errno(const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, fmt);
	say("", fmt, args, saved);
	va_end(args);
	errno = saved;
}

void die(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	say("", fmt, args, 0);
	va_end(args);
	exit(1);
}

void die_errno(const char *fmt, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, fmt);
	say("", fmt, args, saved);
	va_end(args);
	exit(1);
}

void tracef(const char *fmt, ...)
{
	if (!diag_trace)
		return;
	int saved = errno;
	va_list args;
	va_start(args, fmt);
	say("[trace] ", fmt, args, 0);
	va_end(args);
	errno = saved;
}

/* WHY a table: strerrorname_np(3) is glibc's alone. Those that sockets, files and processes give; see errno(3). */
const char *errno_name(int error)
{
	static const struct {
		int value;
		const char *name;
	} names[] = {
#define NAME(symbol) { symbol, #symbol }
		NAME(E2BIG),        NAME(EACCES),       NAME(EADDRINUSE),      NAME(EADDRNOTAVAIL),
		NAME(EAFNOSUPPORT), NAME(EAGAIN),       NAME(EALREADY),        NAME(EBADF),
		NAME(EBADMSG),      NAME(EBUSY),        NAME(ECANCELED),       NAME(ECHILD),
		NAME(ECONNABORTED), NAME(ECONNREFUSED), NAME(ECONNRESET),      NAME(EDEADLK),
		NAME(EDESTADDRREQ), NAME(EDOM),         NAME(EEXIST),          NAME(EFAULT),
		NAME(EFBIG),        NAME(EHOSTDOWN),    NAME(EHOSTUNREACH),    NAME(EILSEQ),
		NAME(EINPROGRESS),  NAME(EINTR),        NAME(EINVAL),          NAME(EIO),
		NAME(EISCONN),      NAME(EISDIR),       NAME(ELOOP),           NAME(EMFILE),
		NAME(EMLINK),       NAME(EMSGSIZE),     NAME(ENAMETOOLONG),    NAME(ENETDOWN),
		NAME(ENETRESET),    NAME(ENETUNREACH),  NAME(ENFILE),          NAME(ENOBUFS),
		NAME(ENODATA),      NAME(ENODEV),       NAME(ENOENT),          NAME(ENOEXEC),
		NAME(ENOLCK),       NAME(ENOMEM),       NAME(ENOPROTOOPT),     NAME(ENOSPC),
		NAME(ENOSYS),       NAME(ENOTBLK),      NAME(ENOTCONN),        NAME(ENOTDIR),
		NAME(ENOTEMPTY),    NAME(ENOTSOCK),     NAME(ENOTSUP),         NAME(ENOTTY),
		NAME(ENXIO),        NAME(EOVERFLOW),    NAME(EPERM),           NAME(EPFNOSUPPORT),
		NAME(EPIPE),        NAME(EPROTO),       NAME(EPROTONOSUPPORT), NAME(EPROTOTYPE),
		NAME(ERANGE),       NAME(EROFS),        NAME(ESHUTDOWN),       NAME(ESOCKTNOSUPPORT),
		NAME(ESPIPE),       NAME(ESRCH),        NAME(ESTALE),          NAME(ETIME),
		NAME(ETIMEDOUT),    NAME(ETXTBSY),      NAME(EUSERS),          NAME(EXDEV),
#undef NAME
	};
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (names[i].value == error)
			return names[i].name;
	return "E?";
}
