/* record.h - how every tool begins a JSON record, and how it says that something failed. Layer 2. */
#ifndef TCPLAB_RECORD_H
#define TCPLAB_RECORD_H

#include "addr.h"
#include "json.h"

/* {"schema":"tcplab.TOOL/1","record":"..." on standard output; TOOL is diag_tool. The caller goes on and ends it with json_end. */
void record_begin(struct json *j, const char *record);

/* One line on stderr; with `json` an error record (op, object, errno, message) on standard output, too. */
void record_error(bool json, const struct net_error *e);

/* At the end of a run: was everything written? `status`, or 1 and a line on stderr when standard output is full or gone. */
MUST_USE int record_finish(int status);

#endif
