#include "record.h"

#include "diag.h"

#include <stdio.h>

void record_begin(struct json *j, const char *record)
{
	char schema[64];
	snprintf(schema, sizeof(schema), "tcplab.%s/1", diag_tool);
	json_begin(j, stdout);
	json_str(j, "schema", schema);
	json_str(j, "record", record);
}

void record_error(bool json, const struct net_error *e)
{
	char text[NET_ERROR_TEXT];
	warnf("%s", net_error_text(e, text));
	if (!json)
		return;
	struct json j;
	record_begin(&j, "error");
	json_str(&j, "op", e->op);
	json_str(&j, "object", e->object);
	json_str(&j, "errno", net_error_symbol(e));
	json_str(&j, "message", net_error_reason(e));
	json_end(&j);
}

int record_finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	warnf("cannot write the report to standard output");
	return 1;
}
