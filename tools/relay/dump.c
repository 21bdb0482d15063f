/* dump.c - the relay's family: --dump, the bytes that pass, on standard output.
 *
 *	   0.001243 #1 > 0: GET / HTTP/1.0\r\n           text: a line for each line; what does not print is escaped as in C
 *	   0.001243 #1 > 0: 16 bytes                     hex: a line for each piece, and its bytes beneath
 *	     00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 30 0d 0a  |GET / HTTP/1.0..|
 *
 * The seconds since the start; the flow; > from the client to the server, < the other way; the offset of the first byte in the
 * stream of this way. What one recv(2) brought is a piece: TCP knows no messages, so where pieces begin means nothing (RFC 9293
 * 3.7). A piece is written as a whole, and the flows of several loops take turns (flockfile(3)); what a reader is too slow for
 * is left out (print.c). */
#include "relay.h"

#include "clock.h"
#include "mem.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

const char *const relay_dump_choices[] = { "none", "hex", "text", NULL };

enum { HEX_ROW = 16, TEXT_ROW = 128 /* bytes on a line, if no newline comes before */ };

/* "   0.001243 #1 > " */
static void put_head(FILE *out, const struct relay_flow *f, const char *arrow)
{
	uint64_t now_ns = clk_mono_ns() - f->loop->relay->start_ns;
	fprintf(out, "%4llu.%06llu #%llu %s ", (unsigned long long)(now_ns / NS_PER_S),
		(unsigned long long)(now_ns % NS_PER_S / NS_PER_US), (unsigned long long)f->id, arrow);
}

static const char *arrow_of(enum pump_way way)
{
	return way == PUMP_UP ? ">" : "<";
}

/* --- hex ----------------------------------------------------------------------------------------------------------- */

static void put_hex_row(FILE *out, uint64_t offset, const unsigned char *p, size_t n)
{
	fprintf(out, "  %08llx ", (unsigned long long)offset);
	for (size_t i = 0; i < HEX_ROW; i++) {
		const char *gap = i == HEX_ROW / 2 ? "  " : " ";
		if (i < n)
			fprintf(out, "%s%02x", gap, p[i]);
		else
			fprintf(out, "%s  ", gap);
	}
	fputs("  |", out);
	for (size_t i = 0; i < n; i++)
		putc(p[i] >= ' ' && p[i] <= '~' ? p[i] : '.', out);
	fputs("|\n", out);
}

static void put_hex(FILE *out, const struct relay_flow *f, const char *arrow, uint64_t offset, const unsigned char *p,
		    size_t n)
{
	put_head(out, f, arrow);
	fprintf(out, "%llu: %zu byte%s\n", (unsigned long long)offset, n, n == 1 ? "" : "s");
	for (size_t at = 0; at < n; at += HEX_ROW)
		put_hex_row(out, offset + at, p + at, n - at < HEX_ROW ? n - at : HEX_ROW);
}

/* --- text ---------------------------------------------------------------------------------------------------------- */

/* As in C. WHY everything above 0x7e is escaped: it may be half a character, and a terminal obeys some of it. */
static void put_char(FILE *out, unsigned char c)
{
	static const char named[] = "\aa\bb\tt\nn\vv\ff\rr\\\\";
	const char *name = c != '\0' ? strchr(named, c) : NULL;
	if (name != NULL && (name - named) % 2 == 0)
		fprintf(out, "\\%c", name[1]);
	else if (c >= ' ' && c <= '~')
		putc(c, out);
	else
		fprintf(out, "\\x%02x", c);
}

static size_t line_len(const unsigned char *p, size_t n)
{
	if (n > TEXT_ROW)
		n = TEXT_ROW;
	const unsigned char *end = memchr(p, '\n', n);
	return end != NULL ? (size_t)(end - p) + 1 : n;
}

static void put_text(FILE *out, const struct relay_flow *f, const char *arrow, uint64_t offset, const unsigned char *p,
		     size_t n)
{
	while (n > 0) {
		size_t len = line_len(p, n);
		put_head(out, f, arrow);
		fprintf(out, "%llu: ", (unsigned long long)offset);
		for (size_t i = 0; i < len; i++)
			put_char(out, p[i]);
		putc('\n', out);
		p += len;
		n -= len;
		offset += len;
	}
}

/* ------------------------------------------------------------------------------------------------------------------- */

void relay_dump_bytes(struct relay_flow *f, enum pump_way way, uint64_t offset, const unsigned char *p, size_t n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	if (out == NULL)
		return;
	if (f->loop->relay->o->dump == RELAY_DUMP_HEX)
		put_hex(out, f, arrow_of(way), offset, p, n);
	else
		put_text(out, f, arrow_of(way), offset, p, n);
	fclose(out);
	relay_print(f->loop->relay, stdout, text, len);
	free(text);
}

void relay_dump_end(struct relay_flow *f, const struct relay_row *row)
{
	char up[UNITS_TEXT], down[UNITS_TEXT];
	if (!relay_may_print(f->loop->relay, stdout))
		return;
	flockfile(stdout);
	put_head(stdout, f, "=");
	printf("%s; %s up, %s down\n", relay_end_text(row->end), units_size(up, row->lane[PUMP_UP].bytes_out),
	       units_size(down, row->lane[PUMP_DOWN].bytes_out));
	funlockfile(stdout);
}
