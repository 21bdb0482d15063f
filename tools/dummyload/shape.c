#include "shape.h"

#include "clock.h"
#include "mem.h"
#include "units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static const struct {
	const char *name;
	char letter;
} names[] = {
	[SHAPE_FIXED] = { "fixed", 'f' },       [SHAPE_COSINE] = { "cosine", 'c' },
	[SHAPE_TRIANGLE] = { "triangle", 't' }, [SHAPE_SAWTOOTH] = { "sawtooth", 'z' },
	[SHAPE_SQUARE] = { "square", 's' },     [SHAPE_STEPS] = { "steps", '\0' },
};

bool shape_parse(const char *text, enum shape_kind *out)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		bool is_letter = text[0] != '\0' && text[0] == names[i].letter && text[1] == '\0';
		if (is_letter || strcmp(text, names[i].name) == 0) {
			*out = (enum shape_kind)i;
			return true;
		}
	}
	return false;
}

const char *shape_name(enum shape_kind kind)
{
	return names[kind].name;
}

/* WHY by hand: strtod(3) also takes blanks, hexadecimal numbers, infinity and a sign. */
bool shape_parse_percent(const char *text, double *out)
{
	size_t digits = strspn(text, "0123456789");
	size_t rest = digits + (text[digits] == '.' ? 1 + strspn(text + digits + 1, "0123456789") : 0);
	if (digits == 0 || text[rest] != '\0')
		return false;
	*out = strtod(text, NULL);
	return *out <= 100;
}

/* --- the curves: x is the part of the period that is over, 0 to 1; y goes from 0, the trough, to 1, the peak ------ */

static double curve(enum shape_kind kind, double x)
{
	switch (kind) {
	case SHAPE_COSINE:
		return (1 + cos(2 * pi * x)) / 2;
	case SHAPE_TRIANGLE:
		return x < 0.5 ? 2 * x : 2 - 2 * x;
	case SHAPE_SAWTOOTH:
		return x;
	case SHAPE_SQUARE:
		return x < 0.5;
	case SHAPE_FIXED:
	case SHAPE_STEPS:
		break;
	}
	return 1;
}

/* The area below the curve from 0 to x. */
static double area(enum shape_kind kind, double x)
{
	switch (kind) {
	case SHAPE_COSINE:
		return x / 2 + sin(2 * pi * x) / (4 * pi);
	case SHAPE_TRIANGLE:
		return x < 0.5 ? x * x : 2 * x - x * x - 0.5;
	case SHAPE_SAWTOOTH:
		return x * x / 2;
	case SHAPE_SQUARE:
		return x < 0.5 ? x : 0.5;
	case SHAPE_FIXED:
	case SHAPE_STEPS:
		break;
	}
	return x;
}

/* --- a list of steps ---------------------------------------------------------------------------------------------- */

/* The step at a moment within the list, by bisection: a list may be long, and is asked a hundred times each second. */
static const struct shape_step *step_at(const struct shape *s, uint64_t t_ns)
{
	size_t from = 0, to = s->n_steps;
	while (to - from > 1) {
		size_t middle = from + (to - from) / 2;
		if (s->steps[middle].begin_ns <= t_ns)
			from = middle;
		else
			to = middle;
	}
	return &s->steps[from];
}

static const struct shape_step *step_now(const struct shape *s, uint64_t t_ns)
{
	if (s->kind != SHAPE_STEPS || s->n_steps == 0 || (!s->repeats && t_ns >= s->period_ns))
		return NULL;
	return step_at(s, t_ns % s->period_ns);
}

static double area_of_steps(const struct shape *s, uint64_t t_ns)
{
	const struct shape_step *step = step_at(s, t_ns);
	return step->before + step->percent * (double)(t_ns - step->begin_ns);
}

static void append(struct shape *s, const struct shape_step *step)
{
	if (s->n_steps == s->room) {
		s->room = s->room > 0 ? 2 * s->room : 16;
		s->steps = xrealloc(s->steps, s->room * sizeof(*s->steps));
	}
	struct shape_step *added = &s->steps[s->n_steps];
	*added = *step;
	added->begin_ns = s->period_ns;
	added->before = 0;
	if (s->n_steps > 0)
		added->before = added[-1].before + added[-1].percent * (double)added[-1].length_ns;
	s->low = s->n_steps == 0 || step->percent < s->low ? step->percent : s->low;
	s->peak = s->n_steps == 0 || step->percent > s->peak ? step->percent : s->peak;
	s->period_ns += step->length_ns;
	s->n_steps++;
}

/* A word of the line, and *line behind it; "" at its end. */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " \t\r\n");
	char *end = word + strcspn(word, " \t\r\n");
	*line = *end != '\0' ? end + 1 : end;
	*end = '\0';
	return word;
}

/* What stands in a file is a stranger's: it is shown without control characters, and not at length. */
static bool refuse(char why[static SHAPE_WHY], const char *word, const char *text)
{
	int n = snprintf(why, SHAPE_WHY, "'%.24s' is %s", word, text);
	for (int i = 0; i < n && i < SHAPE_WHY - 1; i++)
		why[i] = isprint((unsigned char)why[i]) ? why[i] : '?';
	return false;
}

/* What is left of the line, without the blanks at its ends; may have blanks within. */
static bool take_label(struct shape_step *step, char *line, char why[static SHAPE_WHY])
{
	line += strspn(line, " \t\r\n");
	size_t len = strlen(line);
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		line[--len] = '\0';
	if (len >= sizeof(step->label))
		return refuse(why, line, "too long for a label: 31 bytes at most");
	memcpy(step->label, line, len + 1);
	return true;
}

bool shape_add_step(struct shape *s, char *line, char why[static SHAPE_WHY])
{
	static const uint64_t most_ns = SHAPE_DAYS_MAX * UINT64_C(24) * 3600 * NS_PER_S;
	struct shape_step step = { 0 };
	char *comment = strchr(line, '#');
	if (comment != NULL)
		*comment = '\0';
	const char *length = next_word(&line);
	if (*length == '\0')
		return true;
	const char *percent = next_word(&line);
	if (!units_parse_duration(length, &step.length_ns) || step.length_ns == 0)
		return refuse(why, length, "no duration such as 1.5s or 200ms");
	if (!shape_parse_percent(percent, &step.percent))
		return refuse(why, percent, "no percentage, 0 to 100");
	if (!take_label(&step, line, why))
		return false;
	if (s->n_steps == SHAPE_STEPS_MAX)
		return refuse(why, length, "one step too many: 10000 at most");
	if (step.length_ns > most_ns - s->period_ns)
		return refuse(why, length, "too long: all steps together last 100 days at most");
	append(s, &step);
	return true;
}

void shape_free(struct shape *s)
{
	free(s->steps);
	*s = (struct shape){ 0 };
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

uint64_t shape_end_ns(const struct shape *s)
{
	return s->kind == SHAPE_STEPS && !s->repeats ? s->period_ns : CLK_NEVER;
}

/* Where in the period the moment t lies, and how many periods are over. */
static uint64_t fold(const struct shape *s, uint64_t t_ns, uint64_t *periods)
{
	uint64_t at_ns = t_ns + s->phase_ns % s->period_ns;
	*periods = at_ns / s->period_ns;
	return at_ns % s->period_ns;
}

double shape_percent(const struct shape *s, uint64_t t_ns)
{
	uint64_t periods;
	if (s->kind == SHAPE_FIXED)
		return s->peak;
	if (s->kind == SHAPE_STEPS)
		return step_now(s, t_ns) != NULL ? step_now(s, t_ns)->percent : 0;
	double x = (double)fold(s, t_ns, &periods) / (double)s->period_ns;
	return s->low + (s->peak - s->low) * curve(s->kind, x);
}

const char *shape_label(const struct shape *s, uint64_t t_ns)
{
	const struct shape_step *step = step_now(s, t_ns);
	return step != NULL ? step->label : "";
}

static double steps_cpu(const struct shape *s, uint64_t t_ns)
{
	if (s->n_steps == 0)
		return 0;
	if (!s->repeats)
		return area_of_steps(s, t_ns < s->period_ns ? t_ns : s->period_ns);
	return (double)(t_ns / s->period_ns) * area_of_steps(s, s->period_ns) + area_of_steps(s, t_ns % s->period_ns);
}

/* Percent times ns of the wave above its trough, from the beginning of a period. */
static double wave_cpu(const struct shape *s, uint64_t t_ns)
{
	uint64_t periods;
	double x = (double)fold(s, t_ns, &periods) / (double)s->period_ns;
	return (s->peak - s->low) * (double)s->period_ns * ((double)periods * area(s->kind, 1) + area(s->kind, x));
}

double shape_cpu_ns(const struct shape *s, uint64_t t_ns)
{
	if (s->kind == SHAPE_FIXED)
		return s->peak * (double)t_ns / 100;
	if (s->kind == SHAPE_STEPS)
		return steps_cpu(s, t_ns) / 100;
	return (s->low * (double)t_ns + wave_cpu(s, t_ns) - wave_cpu(s, 0)) / 100;
}

double shape_mean(const struct shape *s, uint64_t from_ns, uint64_t to_ns)
{
	if (to_ns <= from_ns)
		return shape_percent(s, from_ns);
	return 100 * (shape_cpu_ns(s, to_ns) - shape_cpu_ns(s, from_ns)) / (double)(to_ns - from_ns);
}
