#include "units.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct suffix {
	const char *text;
	double factor;
};

static const struct suffix size_suffixes[] = {
	{ "", 1 },
	{ "B", 1 },
	{ "K", 1024. },
	{ "Ki", 1024. },
	{ "KiB", 1024. },
	{ "KB", 1024. },
	{ "M", 1048576. },
	{ "Mi", 1048576. },
	{ "MiB", 1048576. },
	{ "MB", 1048576. },
	{ "G", 1073741824. },
	{ "Gi", 1073741824. },
	{ "GiB", 1073741824. },
	{ "GB", 1073741824. },
	{ "T", 1099511627776. },
	{ "Ti", 1099511627776. },
	{ "TiB", 1099511627776. },
	{ "TB", 1099511627776. },
};

static const struct suffix duration_suffixes[] = {
	{ "", 1e9 }, { "s", 1e9 },  { "ms", 1e6 },   { "us", 1e3 },
	{ "ns", 1 }, { "m", 60e9 }, { "min", 60e9 }, { "h", 3600e9 },
};

/* A plain decimal number, no sign, no hexadecimal, no "inf": *rest is what follows it. */
static bool parse_number(const char *text, double *value, const char **rest)
{
	size_t digits = strspn(text, "0123456789.");
	if (digits == 0 || strcspn(text, "0123456789") == digits)
		return false;
	char number[64];
	if (digits >= sizeof(number))
		return false;
	memcpy(number, text, digits);
	number[digits] = '\0';
	char *end;
	*value = strtod(number, &end);
	*rest = text + digits;
	return *end == '\0';
}

static bool to_u64(double value, uint64_t *out)
{
	value = nearbyint(value);
	if (!(value >= 0 && value < 18446744073709551616.0))
		return false;
	*out = (uint64_t)value;
	return true;
}

static bool parse_with(const struct suffix *suffixes, size_t n, const char *text, uint64_t *out)
{
	double value;
	const char *rest;
	if (!parse_number(text, &value, &rest))
		return false;
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(rest, suffixes[i].text) == 0)
			return to_u64(value * suffixes[i].factor, out);
	return false;
}

bool units_parse_count(const char *text, uint64_t *out)
{
	uint64_t value = 0;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		unsigned digit = (unsigned)(*text - '0');
		if (!isdigit((unsigned char)*text) || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

bool units_parse_size(const char *text, uint64_t *out_bytes)
{
	return parse_with(size_suffixes, COUNT_OF(size_suffixes), text, out_bytes);
}

bool units_parse_duration(const char *text, uint64_t *out_ns)
{
	return parse_with(duration_suffixes, COUNT_OF(duration_suffixes), text, out_ns);
}

/* [k|m|g] [bit[/s]|bps|B/s|Bps]: the case of the B tells bits from bytes, the case of the prefix tells nothing. */
bool units_parse_rate(const char *text, uint64_t *out_Bps)
{
	static const char prefixes[] = "kmg";
	double value;
	const char *unit;
	if (!parse_number(text, &value, &unit))
		return false;
	const char *prefix = *unit != '\0' ? strchr(prefixes, tolower((unsigned char)*unit)) : NULL;
	if (prefix != NULL) {
		for (const char *p = prefixes; p <= prefix; p++)
			value *= 1000;
		unit++;
	}
	bool is_bits = *unit == '\0' || strcasecmp(unit, "bit") == 0 || strcasecmp(unit, "bit/s") == 0 ||
		       strcmp(unit, "bps") == 0;
	bool is_bytes = strcmp(unit, "B/s") == 0 || strcmp(unit, "Bps") == 0 || strcmp(unit, "B") == 0;
	if (!is_bits && !is_bytes)
		return false;
	return to_u64(is_bits ? value / 8 : value, out_Bps);
}

/* Three significant digits: "1.25", "46.0", "941". */
static void three_digits(char out[static UNITS_TEXT], double value, const char *unit)
{
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
	snprintf(out, UNITS_TEXT, "%.*f %s", decimals, value, unit);
}

const char *units_size(char out[static UNITS_TEXT], uint64_t bytes)
{
	static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	size_t i = 0;
	double value = (double)bytes;
	while (value >= 1023.5 && i + 1 < COUNT_OF(names)) {
		value /= 1024;
		i++;
	}
	if (value == nearbyint(value))
		snprintf(out, UNITS_TEXT, "%.0f %s", value, names[i]);
	else
		three_digits(out, value, names[i]);
	return out;
}

const char *units_size_short(char out[static UNITS_TEXT], uint64_t bytes)
{
	static const char letters[] = "KMGT";
	int i = -1;
	while (bytes >= 1024 && bytes % 1024 == 0 && letters[i + 1] != '\0') {
		bytes /= 1024;
		i++;
	}
	snprintf(out, UNITS_TEXT, "%llu%.*s", (unsigned long long)bytes, i >= 0, i >= 0 ? &letters[i] : "");
	return out;
}

/* Factors from the greatest to 1. */
struct factor {
	uint64_t of;
	const char *name;
};

static const char *in_largest(char out[static UNITS_TEXT], const struct factor *f, uint64_t value)
{
	while (value % f->of != 0)
		f++;
	snprintf(out, UNITS_TEXT, "%llu%s", (unsigned long long)(value / f->of), f->name);
	return out;
}

const char *units_duration_short(char out[static UNITS_TEXT], uint64_t ns)
{
	static const struct factor factors[] = { { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" } };
	return in_largest(out, factors, ns);
}

const char *units_rate_short(char out[static UNITS_TEXT], uint64_t Bps)
{
	static const struct factor factors[] = {
		{ 1000000000, "gbit" }, { 1000000, "mbit" }, { 1000, "kbit" }, { 1, "bit" }
	};
	return in_largest(out, factors, Bps * 8);
}

const char *units_rate(char out[static UNITS_TEXT], double bytes_per_s)
{
	static const char *const names[] = { "bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s" };
	size_t i = 0;
	double value = bytes_per_s * 8;
	while (value >= 999.5 && i + 1 < COUNT_OF(names)) {
		value /= 1000;
		i++;
	}
	three_digits(out, value, names[i]);
	return out;
}

const char *units_duration(char out[static UNITS_TEXT], uint64_t ns)
{
	static const char *const names[] = { "ns", "us", "ms", "s" };
	size_t i = 0;
	double value = (double)ns;
	while (value >= 999.5 && i + 1 < COUNT_OF(names)) {
		value /= 1000;
		i++;
	}
	if (i == 0)
		snprintf(out, UNITS_TEXT, "%.0f ns", value);
	else
		three_digits(out, value, names[i]);
	return out;
}

/* 0.1 is "0.1", not "0.10000000000000001"; and a million is "1000000", not "1e+06". */
const char *units_exact(char out[static UNITS_TEXT], double value)
{
	assert(isfinite(value));
	if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
		snprintf(out, UNITS_TEXT, "%.0f", value);
		return out;
	}
	for (int digits = 6; digits <= 17; digits++) { /* 17 always read back: DBL_DECIMAL_DIG */
		snprintf(out, UNITS_TEXT, "%.*g", digits, value);
		if (strtod(out, NULL) == value)
			break;
	}
	char *comma = strchr(out, ','); /* the decimal point of some locales */
	if (comma != NULL)
		*comma = '.';
	return out;
}
