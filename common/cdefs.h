/* cdefs.h - the few spellings that C11 leaves to the compiler. Layer 0. */
#ifndef TCPLAB_CDEFS_H
#define TCPLAB_CDEFS_H

#include <stddef.h>

/* The compiler checks a function's arguments against its format string, as it does for printf(3). */
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

/* Ignoring the result is a bug: the compiler warns. */
#define MUST_USE __attribute__((warn_unused_result))

/* The number of elements of an array (not of a pointer). */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The object of the given type whose `member` is at p: how a callback finds its owner. */
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

#endif
