/* account.h - what was asked for so far against what was done so far, as one number with bounds. Pure.
 *
 * WHY sums and not rates: a controller that looks at each slice for itself repeats its error in each; one that compares
 * the sums makes good in the next slice what it missed in the last, and what does not average out is not more than one
 * slice.
 *
 * WHY bounds: a process that was stopped for a minute would have a minute's work to make good, and do it all at once.
 * What is missing beyond the bound is forgiven, and so is what was done too much. */
#ifndef TCPLAB_DUMMYLOAD_ACCOUNT_H
#define TCPLAB_DUMMYLOAD_ACCOUNT_H

/* All zero is a valid account whose bound is 0; set `most` and leave the rest to account_debt. */
struct account {
	double most;     /* so much is made good at most */
	double forgiven; /* of what was asked for; less than 0: of what was done */
};

/* What is still to be done; less than 0 when too much was. Both arguments are sums since the start, in any unit. */
static inline double account_debt(struct account *a, double asked, double done)
{
	double debt = asked - done - a->forgiven;
	double bounded = debt > a->most ? a->most : debt < -a->most ? -a->most : debt;
	a->forgiven += debt - bounded;
	return bounded;
}

#endif
