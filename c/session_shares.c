/* Shares: each address may have a part of the sessions in a store, so that nobody can drive out
 * the sessions of all others. */
#include "internal.h"

#include <errno.h>
#include <string.h>

#include <openssl/rand.h>

bool session_shares_init(struct session_shares *shares, uint32_t *counts, uint32_t size)
{
	shares->counts = counts;
	shares->size = size;
	if (RAND_bytes((unsigned char *)shares->keys, sizeof shares->keys) == 1)
		return true;
	errno = EIO;
	return false;
}

void session_shares_set_most(struct session_shares *shares, uint32_t most)
{
	shares->most = most > 0 ? most : 1;
}

static uint32_t read_word(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
	       bytes[3];
}

/* Multiplication by random keys hashes pairs of words universally: without the keys nobody finds
 * addresses that share a count. */
uint32_t session_shares_find(const struct session_shares *shares,
			     const struct failed_handshake *peer)
{
	uint32_t first = read_word(peer->address), second = UINT32_MAX;
	if (peer->family != AF_INET && peer->family != AF_INET6)
		return 0;
	/* The largest network that one site gets is a /48 (rfc6177.2.sites-get-48-to-64). */
	if (peer->family == AF_INET6)
		second = read_word(peer->address + 4) >> 16;
	uint64_t hash = (shares->keys[0] + first) * (shares->keys[1] + second) + shares->keys[2];
	return (uint32_t)((hash >> 32) * shares->size >> 32) + 1;
}

bool session_shares_have_room(const struct session_shares *shares, uint32_t share)
{
	return share == 0 || shares->counts[share - 1] < shares->most;
}

void session_shares_add(struct session_shares *shares, uint32_t share)
{
	if (share != 0)
		shares->counts[share - 1]++;
}

void session_shares_subtract(struct session_shares *shares, uint32_t share)
{
	if (share != 0)
		shares->counts[share - 1]--;
}
