/* naivesocks.h - what the chapters of naivesocks share: the options, and a client on its way. */
#ifndef NAIVESOCKS_H
#define NAIVESOCKS_H

#include "addr.h"
#include "buf.h"
#include "socks_parse.h"

#include <stdbool.h>
#include <stdint.h>

enum { NAIVESOCKS_EARLY = 4096, NAIVESOCKS_TARGET = SOCKS_TEXT_MAX + sizeof(":65535") };

enum naivesocks_mistake { NAIVESOCKS_DNS, NAIVESOCKS_GRANT, NAIVESOCKS_SEGMENT };
extern const char *const naivesocks_mistakes[]; /* ends with NULL */

struct naivesocks_options {
	int mistake;
	bool fixed, ipv4, ipv6, verbose, json;
	const char *bind;
	uint64_t port;
};

struct naivesocks_totals {
	uint64_t connections, granted, rejected;
};

/* What a client waits for. PARTING: for its own end, after it was told ours. */
enum stage { FREE, REQUEST, NAME, CONNECTION, OPEN, PARTING };

enum { CLIENT, TARGET };

/* way[i] leads from side i to side !i. */
struct way {
	struct buf queue; /* has been received, and not yet been sent */
	bool is_eof;      /* the source's FIN has come */
	bool is_shut;     /* and was passed on */
	uint64_t sent;    /* bytes */
};

struct client {
	enum stage stage;
	int fd[2]; /* -1: none */
	uint64_t give_up_ns;
	unsigned char request[SOCKS_MESSAGE_MAX + NAIVESOCKS_EARLY]; /* as it comes, with what stands behind it */
	size_t n_request;
	struct socks_parser parser;

	/* In the stage NAME they belong to the thread that asks, if there is one. */
	struct addr list[ADDR_MAX];
	int n_list;
	struct net_error error; /* of the name, later of the last address */

	int tried; /* so many addresses */
	struct way way[2];

	/* for the report; times are since the start, 0: not yet */
	char peer[ADDR_TEXT], target[NAIVESOCKS_TARGET], why[NET_ERROR_TEXT];
	const char *end; /* complete, rejected, nowhere, left, silent, reset, interrupted */
	bool is_granted;
	uint64_t accepted_ns, asked_ns, resolved_ns, replied_ns, ended_ns;
};

/* --- report.c ----------------------------------------------------------------------------------------------------- */

void naivesocks_report_start(const struct naivesocks_options *o, const char *where);
void naivesocks_report_request(const struct naivesocks_options *o, const struct client *c);
void naivesocks_report_connection(const struct naivesocks_options *o, const struct client *c);
void naivesocks_report_total(const struct naivesocks_options *o, const struct naivesocks_totals *t);

#endif
