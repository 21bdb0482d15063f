/* diag.h - messages for humans, always on stderr, always "tool: text". Layer 0.
 *
 * errno is read first and restored last: a message never changes the error it reports. Only tools/ and args.c may call
 * die; the library returns its errors (out of memory is the exception, see mem.h). All calls are safe in any thread;
 * a message is one write(2), so that the lines of two threads never mix. */
#ifndef TCPLAB_DIAG_H
#define TCPLAB_DIAG_H

#include "cdefs.h"

#include <stdbool.h>

/* The name in front of every message. main() sets it on its first line. */
extern const char *diag_tool;

/* tracef prints when this is true: --trace sets it, and so does TCPLAB_TRACE=1 (read by args_parse). */
extern bool diag_trace;

void warnf(const char *fmt, ...) PRINTF_LIKE(1, 2);               /* tool: text */
void warnf_errno(const char *fmt, ...) PRINTF_LIKE(1, 2);         /* tool: text: Connection refused (ECONNREFUSED) */
_Noreturn void die(const char *fmt, ...) PRINTF_LIKE(1, 2);       /* as warnf, then exit status 1 */
_Noreturn void die_errno(const char *fmt, ...) PRINTF_LIKE(1, 2); /* as warnf_errno, then exit status 1 */

/* One line for each system call of interest, "tool: [trace] send(3, 65540) = 65540"; silent unless diag_trace. */
void tracef(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The symbol of an errno value: "EAGAIN". "E?" when the value has none that we know. A static string. */
const char *errno_name(int error);

#endif
