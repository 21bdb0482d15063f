/* netcount.c - see netcount.h. */
#include "netcount.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 64 * 1024 };

/* The word at *at, its end in *len, and *at behind it. False: the line has no more. */
static bool next_word(const char **at, const char **word, size_t *len)
{
	*at += strspn(*at, " ");
	*word = *at;
	*len = strcspn(*at, " \n");
	*at += *len;
	return *len > 0;
}

static int add(struct netcounts *out, const char *group, size_t group_len, const char *name, size_t name_len,
	       const char *value, size_t value_len)
{
	char digits[24];
	if (value[0] == '-')
		return 0;
	if (out->n == NETCOUNT_MAX || group_len + name_len >= NETCOUNT_NAME || value_len >= sizeof(digits))
		return -1;
	struct netcount *c = &out->counter[out->n];
	char *end;
	memcpy(digits, value, value_len);
	digits[value_len] = '\0';
	errno = 0;
	c->value = strtoull(digits, &end, 10);
	if (errno != 0 || *end != '\0')
		return -1;
	snprintf(c->name, sizeof(c->name), "%.*s%.*s", (int)group_len, group, (int)name_len, name);
	out->n++;
	return 0;
}

/* "Tcp: RtoMin ActiveOpens" and "Tcp: 200 17", a line each; *text goes behind them. */
static int parse_pair(struct netcounts *out, const char **text)
{
	const char *names = *text, *values = strchr(names, '\n');
	const char *group, *again, *name, *value;
	size_t group_len, again_len, name_len, value_len;
	if (values++ == NULL || strchr(values, '\n') == NULL)
		return -1;
	*text = strchr(values, '\n') + 1;
	if (!next_word(&names, &group, &group_len) || !next_word(&values, &again, &again_len))
		return -1;
	if (group_len != again_len || memcmp(group, again, group_len) != 0 || group[group_len - 1] != ':')
		return -1;
	while (next_word(&names, &name, &name_len)) {
		if (!next_word(&values, &value, &value_len) ||
		    add(out, group, group_len - 1, name, name_len, value, value_len) < 0)
			return -1;
	}
	return next_word(&values, &value, &value_len) ? -1 : 0;
}

int netcount_parse(struct netcounts *out, const char *text)
{
	size_t n = out->n;
	while (*text != '\0') {
		if (parse_pair(out, &text) < 0) {
			out->n = n;
			return -1;
		}
	}
	return 0;
}

/* The whole file and a zero behind it. 0, or -1 with errno. */
static int read_text(const char *path, char text[static FILE_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = -1;
	while (fd >= 0 && len < FILE_MAX - 1 && (n = read(fd, text + len, FILE_MAX - 1 - len)) > 0)
		len += (size_t)n;
	int error = errno;
	text[len] = '\0';
	if (fd >= 0)
		close(fd);
	errno = n > 0 ? EFBIG : error;
	return n == 0 ? 0 : -1;
}

int netcount_read(struct netcounts *out, struct net_error *e)
{
	static const char *const paths[] = { "/proc/net/snmp", "/proc/net/netstat" };
	char *text = xmalloc(FILE_MAX);
	int rc = 0;
	out->n = 0;
	for (size_t i = 0; i < COUNT_OF(paths) && rc == 0; i++) {
		if ((rc = read_text(paths[i], text)) == 0 && (rc = netcount_parse(out, text)) < 0)
			errno = EBADMSG;
		if (rc < 0)
			net_fail(e, "read", paths[i]);
	}
	free(text);
	return rc;
}

bool netcount_find(const struct netcounts *c, const char *name, uint64_t *value)
{
	for (size_t i = 0; i < c->n; i++) {
		if (strcmp(c->counter[i].name, name) != 0)
			continue;
		if (value != NULL)
			*value = c->counter[i].value;
		return true;
	}
	return false;
}

uint64_t netcount_since(const struct netcounts *before, const struct netcounts *after, const char *name)
{
	uint64_t was = 0, is = 0;
	netcount_find(before, name, &was);
	netcount_find(after, name, &is);
	return is > was ? is - was : 0;
}
