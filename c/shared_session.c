/* The plain form of a record that is shared: a session, or the end of one. Its size is fixed, so
 * that a sealed record does not show which of them it is. */
#include "internal.h"

#include <string.h>

/* ---- numbers, most significant byte first ------------------------------------------ */

static unsigned char *put(unsigned char *at, uint32_t value, int size)
{
	for (int i = 0; i < size; i++)
		at[i] = (unsigned char)(value >> (8 * (size - 1 - i)));
	return at + size;
}

static const unsigned char *take(const unsigned char *at, uint32_t *value, int size)
{
	*value = 0;
	for (int i = 0; i < size; i++)
		*value = *value << 8 | at[i];
	return at + size;
}

static unsigned char *put_bytes(unsigned char *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static const unsigned char *take_bytes(const unsigned char *at, void *bytes, size_t size)
{
	memcpy(bytes, at, size);
	return at + size;
}

/* ---- records ------------------------------------------------------------------------ */

void shared_session_write(const struct shared_session *shared,
			  unsigned char plain[SHARED_SESSION_SIZE])
{
	unsigned char *at = plain;
	at = put(at, shared->is_removal ? 2 : 1, 1);
	at = put(at, shared->created, 4);
	at = put(at, shared->lifetime, 4);
	at = put(at, shared->version, 2);
	at = put(at, shared->suite, 2);
	at = put(at, shared->group, 2);
	at = put(at, shared->network_family, 1);
	at = put_bytes(at, shared->network, sizeof shared->network);
	at = put(at, shared->is_renewal, 1);
	at = put(at, shared->secret_length, 1);
	at = put_bytes(at, shared->id, sizeof shared->id);
	at = put_bytes(at, shared->earlier_id, sizeof shared->earlier_id);
	at = put_bytes(at, shared->id_context, sizeof shared->id_context);
	put_bytes(at, shared->secret, sizeof shared->secret);
}

static bool is_in_bounds(const struct shared_session *shared, uint32_t type, uint32_t is_renewal)
{
	if (type == 2)
		return true;
	return type == 1 && is_renewal <= 1 && shared->version >= TLS1_VERSION &&
	       shared->version <= TLS1_3_VERSION && shared->lifetime > 0 &&
	       shared->secret_length > 0 && shared->secret_length <= SESSION_SECRET_SIZE &&
	       (shared->network_family == SHARED_NO_NETWORK ||
		shared->network_family == SHARED_IPV4 || shared->network_family == SHARED_IPV6);
}

bool shared_session_read(struct shared_session *shared,
			 const unsigned char plain[SHARED_SESSION_SIZE])
{
	const unsigned char *at = plain;
	uint32_t type, version, suite, group, family, is_renewal, secret_length;
	at = take(at, &type, 1);
	at = take(at, &shared->created, 4);
	at = take(at, &shared->lifetime, 4);
	at = take(at, &version, 2);
	at = take(at, &suite, 2);
	at = take(at, &group, 2);
	at = take(at, &family, 1);
	at = take_bytes(at, shared->network, sizeof shared->network);
	at = take(at, &is_renewal, 1);
	at = take(at, &secret_length, 1);
	at = take_bytes(at, shared->id, sizeof shared->id);
	at = take_bytes(at, shared->earlier_id, sizeof shared->earlier_id);
	at = take_bytes(at, shared->id_context, sizeof shared->id_context);
	take_bytes(at, shared->secret, sizeof shared->secret);
	shared->is_removal = type == 2;
	shared->is_renewal = is_renewal == 1;
	shared->version = (uint16_t)version;
	shared->suite = (uint16_t)suite;
	shared->group = (uint16_t)group;
	shared->network_family = (uint8_t)family;
	shared->secret_length = (uint8_t)secret_length;
	return is_in_bounds(shared, type, is_renewal);
}

/* ---- networks ------------------------------------------------------------------------- */

void shared_session_set_network(struct shared_session *shared, const struct failed_handshake *peer)
{
	shared->network_family = SHARED_NO_NETWORK;
	memset(shared->network, 0, sizeof shared->network);
	if (peer->family == AF_INET) {
		shared->network_family = SHARED_IPV4;
		memcpy(shared->network, peer->address, sizeof(struct in_addr));
	} else if (peer->family == AF_INET6) {
		shared->network_family = SHARED_IPV6;
		memcpy(shared->network, peer->address, sizeof shared->network);
	}
}

struct failed_handshake shared_session_peer(const struct shared_session *shared)
{
	struct failed_handshake peer = { .family = AF_UNSPEC };
	if (shared->network_family == SHARED_IPV4)
		peer.family = AF_INET;
	else if (shared->network_family == SHARED_IPV6)
		peer.family = AF_INET6;
	memcpy(peer.address, shared->network, sizeof shared->network);
	return peer;
}
