/* Shares of the stream of shared sessions. It is trimmed by size, and each renewal of a session is
 * one more entry, so without a bound one client could push out the sessions of all others. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define ADDRESSES 65536
#define COUNTS    ((size_t)2 * ADDRESSES)

bool stream_shares_init(struct stream_shares *shares, uint32_t most, uint32_t period)
{
	shares->period = period;
	if (most == 0)
		return true;
	shares->counts = calloc(COUNTS, sizeof *shares->counts);
	if (shares->counts == NULL ||
	    !session_shares_init(&shares->sessions, shares->counts, ADDRESSES) ||
	    !session_shares_init(&shares->ends, shares->counts + ADDRESSES, ADDRESSES))
		return false;
	session_shares_set_most(&shares->sessions, most);
	session_shares_set_most(&shares->ends, most);
	return true;
}

void stream_shares_free(struct stream_shares *shares)
{
	free(shares->counts);
	shares->counts = NULL;
}

/* A new period begins with no entry. */
static void turn_to(struct stream_shares *shares, uint32_t now)
{
	if (shares->current == now / shares->period)
		return;
	memset(shares->counts, 0, COUNTS * sizeof *shares->counts);
	shares->current = now / shares->period;
}

/* Ends of sessions have shares of their own, so that there is room for them where sessions have
 * none. */
static struct session_shares *shares_of(struct stream_shares *shares,
					const struct shared_session *shared)
{
	return shared->is_removal ? &shares->ends : &shares->sessions;
}

static uint32_t share_of(const struct session_shares *shares, const struct shared_session *shared)
{
	struct failed_handshake peer = shared_session_peer(shared);
	return session_shares_find(shares, &peer);
}

bool stream_shares_take(struct stream_shares *shares, const struct shared_session *shared,
			uint32_t now)
{
	if (shares->counts == NULL)
		return true;
	turn_to(shares, now);
	struct session_shares *all = shares_of(shares, shared);
	uint32_t share = share_of(all, shared);
	if (!session_shares_have_room(all, share))
		return false;
	session_shares_add(all, share);
	return true;
}

void stream_shares_count(struct stream_shares *shares, const struct shared_session *shared,
			 uint32_t sealed, uint32_t now)
{
	if (shares->counts == NULL)
		return;
	turn_to(shares, now);
	struct session_shares *all = shares_of(shares, shared);
	if (sealed / shares->period == shares->current)
		session_shares_add(all, share_of(all, shared));
}
