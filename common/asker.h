/* asker.h - the client of a UDP service: one question after the other, each with some patience for its answer. Layer 5.
 *
 * Blocks, and needs no loop: there is only one thing to wait for. */
#ifndef TCPLAB_ASKER_H
#define TCPLAB_ASKER_H

#include "service.h"

/* Writes at most UDP_LEN_MAX bytes: how many. `number` counts the questions from 0. */
typedef size_t asker_ask_fn(unsigned char *q, uint64_t number);

/* Looks at the answer and prints what it says; NULL when it is right, else what is wrong with it (a static string). */
typedef const char *asker_check_fn(const unsigned char *q, size_t n, const unsigned char *answer, size_t len);

/* More for the total record. */
typedef void asker_report_fn(struct json *j);

enum { ASKER_TRIES = 3 }; /* a second for each */

/* o->count questions to `host`. check NULL: nothing is answered. report may be NULL. Prints a total; returns the exit status: 1
 * without an answer, 3 after a wrong one. */
int asker_run(const struct service_options *o, const char *host, asker_ask_fn *ask, asker_check_fn *check,
	      asker_report_fn *report);

#endif
