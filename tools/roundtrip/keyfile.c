/* keyfile.c - --key FILE: what both ends know, and nobody else. */
#include "roundtrip.h"

#include "diag.h"
#include "record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_LEAST = 16, KEY_MOST = 4096, KEY_ROOM = KEY_MOST + 3 }; /* a line end, and one more byte */

/* The bytes of the file without a newline at its end: how many, 0 after having said why not. */
static size_t read_file(const struct roundtrip_options *o, unsigned char key[static KEY_ROOM])
{
	struct net_error e;
	struct stat st;
	FILE *f = fopen(o->key_file, "re");
	if (f == NULL) {
		net_fail(&e, "open", o->key_file);
		record_error(o->json, &e);
		return 0;
	}
	if (fstat(fileno(f), &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		warnf("%s: others may read this key (chmod 600)", o->key_file);
	size_t n = fread(key, 1, KEY_ROOM, f);
	bool failed = ferror(f);
	if (failed) {
		net_fail(&e, "read", o->key_file);
		record_error(o->json, &e);
	}
	fclose(f);
	if (failed)
		return 0;
	if (n > 0 && n < KEY_ROOM && key[n - 1] == '\n')
		n--;
	if (n > 0 && n < KEY_ROOM && key[n - 1] == '\r')
		n--;
	if (n >= KEY_LEAST && n <= KEY_MOST)
		return n;
	errno = EINVAL;
	net_fail(&e, "read", o->key_file);
	e.reason = "a key has 16 to 4096 bytes";
	record_error(o->json, &e);
	return 0;
}

bool roundtrip_read_key(const struct roundtrip_options *o, struct hmac_key *key)
{
	unsigned char bytes[KEY_ROOM];
	size_t n = read_file(o, bytes);
	if (n > 0)
		hmac_set_key(key, bytes, n);
	explicit_bzero(bytes, sizeof(bytes));
	return n > 0;
}
