#include "addr.h"

#include "diag.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

int net_fail(struct net_error *e, const char *op, const char *object)
{
	*e = (struct net_error){ .op = op, .sys = errno };
	snprintf(e->object, sizeof(e->object), "%s", object);
	return -1;
}

const char *net_error_reason(const struct net_error *e)
{
	if (e->reason != NULL)
		return e->reason;
	return e->gai != 0 && e->gai != EAI_SYSTEM ? gai_strerror(e->gai) : strerror(e->sys);
}

const char *net_error_symbol(const struct net_error *e)
{
	switch (e->gai) {
	case 0:
	case EAI_SYSTEM:
		return errno_name(e->sys);
	case EAI_AGAIN:
		return "EAI_AGAIN";
	case EAI_FAIL:
		return "EAI_FAIL";
	case EAI_FAMILY:
		return "EAI_FAMILY";
	case EAI_MEMORY:
		return "EAI_MEMORY";
	case EAI_NONAME:
		return "EAI_NONAME";
	case EAI_SERVICE:
		return "EAI_SERVICE";
#ifdef EAI_NODATA
	case EAI_NODATA:
		return "EAI_NODATA";
#endif
#ifdef EAI_ADDRFAMILY
	case EAI_ADDRFAMILY:
		return "EAI_ADDRFAMILY";
#endif
	default:
		return "EAI_?";
	}
}

const char *net_error_text(const struct net_error *e, char out[static NET_ERROR_TEXT])
{
	snprintf(out, NET_ERROR_TEXT, "%s %s: %s (%s)", e->op, e->object, net_error_reason(e), net_error_symbol(e));
	return out;
}

/* Every address that getaddrinfo(3) finds, at most max: how many, or -1 with *e. */
static int look_up(const char *host, uint16_t port, int family, int flags, struct addr *out, size_t max,
		   struct net_error *e)
{
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	struct addrinfo hints = {
		.ai_family = family,
		.ai_socktype = SOCK_STREAM, /* one answer for each address; the port means the same for UDP */
		.ai_flags = AI_NUMERICSERV | flags,
	};
	struct addrinfo *list = NULL;
	int gai = getaddrinfo(host, service, &hints, &list);
	if (gai != 0) {
		net_fail(e, "resolve", host != NULL ? host : "*");
		e->gai = gai;
		return -1;
	}
	size_t n = 0;
	for (const struct addrinfo *ai = list; ai != NULL && n < max; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(out[n].u))
			continue;
		out[n] = (struct addr){ .len = ai->ai_addrlen };
		memcpy(&out[n].u, ai->ai_addr, ai->ai_addrlen);
		n++;
	}
	freeaddrinfo(list);
	return (int)n;
}

int addr_resolve(const char *host, uint16_t port, int family, struct addr *out, size_t max, struct net_error *e)
{
	return look_up(host, port, family, host == NULL ? AI_PASSIVE : 0, out, max, e);
}

int addr_literal(const char *host, uint16_t port, int family, struct addr *out, struct net_error *e)
{
	return look_up(host, port, family, AI_NUMERICHOST, out, 1, e) < 0 ? -1 : 0;
}

int addr_unix(const char *path, struct addr *out, struct net_error *e)
{
	size_t len = strlen(path);
	*out = (struct addr){ .len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len) };
	errno = len == 0 ? ENOENT : len >= sizeof(out->u.un.sun_path) ? ENAMETOOLONG : 0;
	if (errno != 0)
		return net_fail(e, "resolve", path);
	out->u.un.sun_family = AF_UNIX;
	memcpy(out->u.un.sun_path, path, len);
	if (path[0] == '@')
		out->u.un.sun_path[0] = '\0';
	else
		out->len++; /* with the terminating zero */
	return 0;
}

/* What there is of the name of a unix socket: the bytes, and how many. */
static const char *unix_name(const struct addr *a, size_t *len)
{
	size_t head = offsetof(struct sockaddr_un, sun_path);
	*len = a->len > head ? a->len - head : 0;
	return a->u.un.sun_path;
}

static void unix_text(const struct addr *a, char out[static ADDR_TEXT])
{
	size_t len;
	const char *name = unix_name(a, &len);
	if (len == 0)
		snprintf(out, ADDR_TEXT, "(unnamed)");
	else if (name[0] == '\0')
		snprintf(out, ADDR_TEXT, "@%.*s", (int)len - 1, name + 1);
	else
		snprintf(out, ADDR_TEXT, "%.*s", (int)len, name);
}

const char *addr_text(const struct addr *a, char out[static ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "?";
	char scope[16] = "";
	if (a->u.sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->u.in4.sin_addr, ip, sizeof(ip));
		snprintf(out, ADDR_TEXT, "%s:%u", ip, addr_port(a));
	} else if (a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr)) {
		inet_ntop(AF_INET, &a->u.in6.sin6_addr.s6_addr[12], ip, sizeof(ip));
		snprintf(out, ADDR_TEXT, "%s:%u", ip, addr_port(a));
	} else if (a->u.sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a->u.in6.sin6_addr, ip, sizeof(ip));
		if (a->u.in6.sin6_scope_id != 0)
			snprintf(scope, sizeof(scope), "%%%u", a->u.in6.sin6_scope_id);
		snprintf(out, ADDR_TEXT, "[%s%s]:%u", ip, scope, addr_port(a));
	} else if (a->u.sa.sa_family == AF_UNIX) {
		unix_text(a, out);
	} else {
		snprintf(out, ADDR_TEXT, "(no address)");
	}
	return out;
}

uint16_t addr_port(const struct addr *a)
{
	switch (a->u.sa.sa_family) {
	case AF_INET:
		return ntohs(a->u.in4.sin_port);
	case AF_INET6:
		return ntohs(a->u.in6.sin6_port);
	default:
		return 0;
	}
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family || addr_port(a) != addr_port(b))
		return false;
	if (a->u.sa.sa_family == AF_INET)
		return a->u.in4.sin_addr.s_addr == b->u.in4.sin_addr.s_addr;
	if (a->u.sa.sa_family == AF_UNIX) {
		size_t len_a, len_b;
		const char *name_a = unix_name(a, &len_a), *name_b = unix_name(b, &len_b);
		return len_a > 0 && len_a == len_b && memcmp(name_a, name_b, len_a) == 0;
	}
	return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(a->u.in6.sin6_addr)) == 0;
}

uint64_t addr_source(const struct addr *a)
{
	/* The IPv6 addresses that begin with 32 zero bits are not given to anybody: IPv4 can have these numbers. */
	if (a->u.sa.sa_family == AF_INET)
		return ntohl(a->u.in4.sin_addr.s_addr);
	const unsigned char *ip = a->u.in6.sin6_addr.s6_addr;
	return IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr) ? be32_get(ip + 12) : be64_get(ip);
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->u.sa.sa_family == AF_INET)
		return ntohl(a->u.in4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	const struct in6_addr *in6 = &a->u.in6.sin6_addr;
	return a->u.sa.sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == IN_LOOPBACKNET));
}

int addr_of_socket(int fd, struct addr *out)
{
	out->len = sizeof(out->u);
	return getsockname(fd, &out->u.sa, &out->len);
}

int addr_of_peer(int fd, struct addr *out)
{
	out->len = sizeof(out->u);
	return getpeername(fd, &out->u.sa, &out->len);
}
