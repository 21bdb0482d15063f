/* routes.h - procmon: its HTTP server. */
#ifndef PROCMON_ROUTES_H
#define PROCMON_ROUTES_H

#include "procmon.h"

struct routes;

/* Takes listen_fd, whatever the result. names: see httpd.h; borrowed until routes_stop. NULL with errno. */
MUST_USE struct routes *routes_start(struct procmon *m, int listen_fd, const char *const *names);
void routes_stop(struct routes *routes); /* may be NULL; the loop has to run once more */

/* After the samples of all processes: the streams get theirs. */
void routes_sampled(struct routes *routes);

#endif
