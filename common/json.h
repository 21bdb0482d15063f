/* json.h - writes JSON as it goes: one object per line (NDJSON), nothing kept in memory. Layer 1.
 *
 *	struct json j;
 *	json_begin(&j, stdout);
 *	json_str(&j, "schema", "tcplab.ttcp/1");
 *	json_u64(&j, "bytes", 65536);
 *	json_array(&j, "rtt_ns");
 *	json_u64(&j, NULL, 41200);              in an array: no key
 *	json_close(&j);
 *	json_end(&j);                           {"schema":"tcplab.ttcp/1","bytes":65536,"rtt_ns":[41200]}
 *
 * Commas, quoting and nesting are the writer's business, and what it writes is valid JSON (RFC 8259) whatever the
 * values are: a NaN becomes null, a byte that is not UTF-8 becomes U+FFFD. Misuse is a bug and asserted: a key
 * missing in an object, a key given in an array, more closed than opened, more than JSON_DEPTH_MAX levels.
 *
 * A line belongs to one thread: from json_begin to json_end the stream is locked (flockfile(3)), so that lines of
 * several threads do not mix.
 *
 * Every `key` and string is borrowed for the call. Output errors stay with the stream: check ferror(3) at the end. */
#ifndef TCPLAB_JSON_H
#define TCPLAB_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH_MAX = 16 };

/* Owned by the caller, usually on the stack; only the functions below touch the fields. */
struct json {
	FILE *out;      /* borrowed */
	unsigned depth; /* open objects and arrays */
	struct json_level {
		bool is_array, has_members;
	} level[JSON_DEPTH_MAX];
};

/* Begin a line: opens its top-level object. `out` is borrowed until json_end. */
void json_begin(struct json *j, FILE *out);

/* End the line: closes whatever is open, writes the newline, flushes. The same struct can begin the next line. */
void json_end(struct json *j);

/* One member of the open object (key given) or array (key NULL). */
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* Written with as few digits as read back to the same double; null when it is NaN or infinite. */
void json_f64(struct json *j, const char *key, double value);

/* UTF-8 expected; null when value is NULL. */
void json_str(struct json *j, const char *key, const char *value);

/* Open an object or array as a member; json_close closes the innermost one (never the line's own object). */
void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_close(struct json *j);

#endif
