/* sources.h - how many connections each source has just now, for --max-conn-source. Memory only; one thread.
 *
 * A source is a number, as addr_source (addr.h) makes it of an address: an IPv4 address, or the first 64 bits of an
 * IPv6 address. Memory grows and shrinks with the sources that have a connection, and those are bounded by the
 * descriptors. */
#ifndef RELAY_SOURCES_H
#define RELAY_SOURCES_H

#include "cdefs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sources;

/* seed: nothing that a client can guess (os_random), or it could choose addresses that take long to look up. The
 * caller's, until sources_free. */
MUST_USE struct sources *sources_new(uint64_t seed);
void sources_free(struct sources *s); /* or NULL */

/* One more, unless the source has `most` already: then false, and nothing has changed. */
MUST_USE bool sources_take(struct sources *s, uint64_t source, uint64_t most);
void sources_give_back(struct sources *s, uint64_t source); /* one that was taken (asserted) */

size_t sources_count(const struct sources *s);    /* those that have any */
size_t sources_capacity(const struct sources *s); /* places in memory, 16 bytes each */

#endif
