#include "service.h"

#include "clock.h"

#include <sys/socket.h>
#include <unistd.h>

const char *const service_accept_choices[] = { "deal", "reuseport", NULL };

static const uint64_t PATIENCE_NS = UINT64_C(30) * NS_PER_S; /* of a client, unless --timeout says otherwise */

int service_family(const struct service_options *o)
{
	return o->ipv4 ? AF_INET : o->ipv6 ? AF_INET6 : AF_UNSPEC;
}

const char *service_check(struct service_options *o, char **operands)
{
	const char *host = operands[0];
	if (host != NULL && operands[1] != NULL)
		args_misuse("'%s' is too much", operands[1]);
	if (o->ipv4 && o->ipv6)
		args_misuse("-4 and -6 exclude each other");
	if (o->server && host != NULL)
		args_misuse("-s serves and takes no host: '%s' is too much", host);
	if (!o->server && host == NULL)
		args_misuse("say -s to serve, or name the host to talk to");
	if (!o->server && o->port == 0)
		args_misuse("port 0 is for -s");
	if (!o->server && o->bind != NULL)
		args_misuse("--bind is for -s");
	if (o->server && (o->udp || o->time_ns != 0 || o->connections != 1))
		args_misuse("--udp, --time and --connections are for a client");
	if (!o->server && o->timeout_ns == 0)
		o->timeout_ns = PATIENCE_NS;
	if (o->interval_ns == 0 && isatty(STDOUT_FILENO) && !o->json)
		o->interval_ns = NS_PER_S;
	return host;
}

void service_check_limits(struct service_options *o, bool server_takes_bytes)
{
	if (o->server && o->bytes != 0 && !server_takes_bytes)
		args_misuse("--bytes is for a client");
	if (!o->server && o->bytes == 0 && o->time_ns == 0)
		o->time_ns = UINT64_C(10) * NS_PER_S;
}
