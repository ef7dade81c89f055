/* A bound on key exchanges in finite fields (DHE). One costs a server several times as much as any
 * other, and next to nothing to a client that computes nothing. A token bucket for the process. */
#include "internal.h"

#include <time.h>

static struct {
	double per_second; /* 0: no limit */
	double most, left;
	double time; /* of `left`, in seconds */
	unsigned long refused;
} bucket;

static double monotonic(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void refill(void)
{
	double now = monotonic();
	bucket.left += (now - bucket.time) * bucket.per_second;
	if (bucket.left > bucket.most)
		bucket.left = bucket.most;
	bucket.time = now;
}

void dhe_limit_set(double per_second, double at_once)
{
	bool same = per_second == bucket.per_second && at_once == bucket.most;
	if (same)
		return;
	bucket.per_second = per_second;
	bucket.most = at_once;
	bucket.left = at_once;
	bucket.time = monotonic();
}

bool dhe_limit_allows(void)
{
	if (bucket.per_second == 0)
		return true;
	refill();
	return bucket.left >= 1;
}

void dhe_limit_take(void)
{
	if (dhe_limit_allows())
		bucket.left--;
}

void dhe_limit_count_refusal(void)
{
	bucket.refused++;
}

unsigned long dhe_limit_refusals(void)
{
	return bucket.refused;
}
