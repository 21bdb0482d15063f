#include "network.h"

#include "wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct network_bits get_bits(const unsigned char ip[static 16])
{
	return (struct network_bits){ be64_get(ip), be64_get(ip + 8) };
}

static bool is_mapped(struct network_bits b)
{
	return b.high == 0 && b.low >> 32 == 0xffff;
}

/* --- from text to network ----------------------------------------------------------------------------------------- */

static struct network_bits mask_of(unsigned prefix)
{
	return (struct network_bits){
		.high = prefix == 0   ? 0
			: prefix < 64 ? ~(UINT64_MAX >> prefix)
				      : UINT64_MAX,
		.low = prefix <= 64   ? 0
		       : prefix < 128 ? ~(UINT64_MAX >> (prefix - 64))
				      : UINT64_MAX,
	};
}

/* "10.0.0.0" or "2001:db8::"; how many bits it has, or 0: it is neither. */
static unsigned parse_address(const char *text, struct network_bits *out)
{
	unsigned char ip[16] = { [10] = 0xff, [11] = 0xff };
	unsigned len = inet_pton(AF_INET, text, ip + 12) == 1 ? 32 : inet_pton(AF_INET6, text, ip) == 1 ? 128 : 0;
	*out = get_bits(ip);
	return len;
}

/* At most `most`. */
static bool parse_prefix(const char *text, unsigned most, unsigned *out)
{
	size_t len = strlen(text);
	if (len < 1 || len > 3 || strspn(text, "0123456789") != len)
		return false;
	*out = (unsigned)strtoul(text, NULL, 10);
	return *out <= most;
}

const char *network_parse(struct network *net, const char *text)
{
	char address[64]; /* they have at most 45 characters: a text that is cut off here is none */
	size_t len = strcspn(text, "/");
	bool has_prefix = text[len] == '/';
	*net = (struct network){ .family = AF_UNSPEC };
	if (strcmp(text, "all") == 0)
		return NULL;
	snprintf(address, sizeof(address), "%.*s", (int)len, text);
	unsigned most = parse_address(address, &net->first), prefix = most;
	if (most == 0)
		return "no address, network or \"all\"";
	if (has_prefix && !parse_prefix(text + len + 1, most, &prefix))
		return most == 32 ? "the prefix is a number from 0 to 32" : "the prefix is a number from 0 to 128";
	net->mask = mask_of(prefix + 128 - most);
	net->family = is_mapped(net->first) ? AF_INET : AF_INET6;
	if ((net->first.high & ~net->mask.high) != 0 || (net->first.low & ~net->mask.low) != 0)
		return "there are bits beyond the prefix";
	return NULL;
}

/* --- the question ------------------------------------------------------------------------------------------------- */

struct network_place network_place_of(const struct addr *a)
{
	unsigned char ip[16] = { [10] = 0xff, [11] = 0xff };
	struct network_place p = { .family = a->u.sa.sa_family };
	if (p.family == AF_INET)
		memcpy(ip + 12, &a->u.in4.sin_addr, 4);
	else if (p.family == AF_INET6)
		memcpy(ip, &a->u.in6.sin6_addr, 16);
	p.bits = get_bits(ip);
	if (p.family == AF_INET6 && is_mapped(p.bits))
		p.family = AF_INET;
	return p;
}
