/* report_json.c - the total record. A figure that is not known is null: a program that reads it must not take a 0 for a
 * measurement. */
#include "report.h"

#include "json.h"
#include "record.h"
#include "sig.h"

#include <math.h>
#include <stdio.h>

enum { KEY_LEN = 48 };

static void put_u64(struct json *j, const char *key, bool known, uint64_t value)
{
	if (known)
		json_u64(j, key, value);
	else
		json_null(j, key);
}

static void put_i64(struct json *j, const char *key, bool known, int64_t value)
{
	if (known)
		json_i64(j, key, value);
	else
		json_null(j, key);
}

static void put_f64(struct json *j, const char *key, bool known, double value)
{
	json_f64(j, key, known ? value : (double)NAN);
}

/* rtt_min_ns, or with a suffix rtt_min_corrected_ns, and so on. */
void roundtrip_json_hist(struct json *j, const char *name, const char *suffix, const struct hist *h, bool is_known)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = {
		{ "min", 0 }, { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 }, { "max", 1 }
	};
	char key[KEY_LEN];

	for (size_t i = 0; i < COUNT_OF(quantiles); i++) {
		snprintf(key, sizeof(key), "%s_%s%s_ns", name, quantiles[i].name, suffix);
		put_u64(j, key, is_known && h->n > 0, hist_quantile(h, quantiles[i].q));
	}
	snprintf(key, sizeof(key), "%s_mean%s_ns", name, suffix);
	put_f64(j, key, is_known && h->n > 0, hist_mean(h));
}

void roundtrip_json_clock(struct json *j, const struct clockfit *fit)
{
	put_i64(j, "offset_ns", fit->has_offset, fit->offset_ns);
	put_u64(j, "offset_bound_ns", fit->has_offset, fit->offset_bound_ns);
	put_u64(j, "offset_at_ns", fit->has_offset, fit->at_ns);
	put_i64(j, "offset_end_ns", fit->has_offset, fit->end_offset_ns);
	put_f64(j, "drift_ppm", fit->has_drift, fit->drift_ppm);
	put_f64(j, "drift_bound_ppm", fit->has_drift, fit->drift_bound_ppm);
	if (fit->has_drift)
		json_bool(j, "drift_is_straight", fit->is_straight);
	else
		json_null(j, "drift_is_straight");
}

static void put_run(struct json *j, const struct report_about *a, const struct figures *f)
{
	char socks[SOCKS_PLACE_TEXT];
	json_str(j, "role", "client");
	json_str(j, "peer", a->peer);
	json_str(j, "socks", socks_proxy_text(&a->o->socks, socks));
	json_str(j, "transport", a->transport);
	json_str(j, "wire", a->wire);
	json_u64(j, "size", a->len);
	json_u64(j, "interval_ns", a->o->interval_ns);
	json_u64(j, "elapsed_ns", f->m->elapsed_ns);
	json_bool(j, "interrupted", sig_pending(NULL) != 0);
}

static void put_losses(struct json *j, const struct figures *f)
{
	const struct measure *m = f->m;
	bool known = f->losses.has_directions;

	json_u64(j, "sent", m->sent);
	json_u64(j, "received", f->received);
	json_u64(j, "lost", f->losses.lost);
	put_u64(j, "lost_up", known, f->losses.up);
	put_u64(j, "lost_down", known, f->losses.down);
	put_u64(j, "lost_unknown", known, f->losses.unknown);
	json_u64(j, "duplicated", m->trip.duplicated);
	put_u64(j, "duplicated_up", known, m->up.duplicated);
	put_u64(j, "duplicated_down", known, m->down.duplicated);
	json_u64(j, "reordered", m->trip.reordered);
	put_u64(j, "reordered_up", known, m->up.reordered);
	put_u64(j, "reordered_down", known, m->down.reordered);
	json_u64(j, "late", m->late);
	json_u64(j, "garbage", m->garbage);
	json_u64(j, "refused", m->refused);
	json_u64(j, "unsent", m->unsent);
}

static void put_way(struct json *j, const char *name, const struct figures *f, const struct hist *excess,
		    int64_t min_ns, double jitter_ns)
{
	bool known = roundtrip_has_ways(f);
	char key[KEY_LEN];

	snprintf(key, sizeof(key), "%s_min_ns", name);
	put_i64(j, key, known && f->is_absolute, min_ns);
	snprintf(key, sizeof(key), "%s_p50_ns", name);
	put_u64(j, key, known, hist_quantile(excess, 0.5));
	snprintf(key, sizeof(key), "%s_p99_ns", name);
	put_u64(j, key, known, hist_quantile(excess, 0.99));
	snprintf(key, sizeof(key), "%s_jitter_ns", name);
	json_f64(j, key, jitter_ns);
}

static void put_ways(struct json *j, const struct figures *f)
{
	const struct measure *m = f->m;
	bool known = roundtrip_has_ways(f);

	json_str(j, "one_way", !known ? NULL : f->is_absolute ? "absolute" : "relative");
	put_u64(j, "one_way_error_ns", known && f->is_absolute, f->one_way_error_ns);
	put_way(j, "up", f, &m->up_excess, m->up_min_ns, f->up_jitter_ns);
	put_way(j, "down", f, &m->down_excess, m->down_min_ns, f->down_jitter_ns);
}

/* The reference is a name at stratum 1 only; below it is an address or a hash (RFC 5905 7.3). */
static void put_ntp(struct json *j, const struct ntp *ntp)
{
	json_u64(j, "ntp_stratum", ntp->stratum);
	json_bool(j, "ntp_synchronised", roundtrip_is_synchronised(ntp));
	json_str(j, "ntp_reference", ntp->stratum == 1 ? ntp->reference : NULL);
	json_u64(j, "ntp_root_delay_ns", ntp->root_delay_ns);
	json_u64(j, "ntp_root_dispersion_ns", ntp->root_dispersion_ns);
}

static void put_stages(struct json *j, const struct figures *f)
{
	json_array(j, "stages");
	for (size_t i = 0; i < STAGES; i++) {
		const struct hist *h = &f->m->stages[i];
		json_object(j, NULL);
		json_str(j, "stage", stage_names[i]);
		json_u64(j, "n", h->n);
		put_u64(j, "min_ns", h->n > 0, h->min);
		put_u64(j, "p50_ns", h->n > 0, hist_quantile(h, 0.5));
		put_u64(j, "p99_ns", h->n > 0, hist_quantile(h, 0.99));
		json_close(j);
	}
	json_close(j);
	put_i64(j, "offset_kernel_ns", f->kernel_fit.has_offset, f->kernel_fit.offset_ns);
	put_u64(j, "offset_kernel_bound_ns", f->kernel_fit.has_offset, f->kernel_fit.offset_bound_ns);
}

void roundtrip_json_total(const struct report_about *a, const struct figures *f)
{
	struct json j;

	record_begin(&j, "total");
	put_run(&j, a, f);
	put_losses(&j, f);
	roundtrip_json_hist(&j, "rtt", "", &f->m->rtt, true);
	json_f64(&j, "rtt_jitter_ns", f->rtt_jitter_ns);
	roundtrip_json_hist(&j, "rtt", "_corrected", &f->m->corrected, roundtrip_has_schedule(a));
	roundtrip_json_clock(&j, &f->fit);
	put_ways(&j, f);
	if (a->ntp != NULL)
		put_ntp(&j, a->ntp);
	if (a->o->where)
		put_stages(&j, f);
	json_end(&j);
}
