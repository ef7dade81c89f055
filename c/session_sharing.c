/* Sharing: sealed sessions that go to other processes, and those that come from there. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#define NAME_MAX_BYTES 255

/* Seconds by which the clocks of two machines may differ. */
#define CLOCK_DIFFERENCE 60

struct session_sharing {
	struct session_store *store;
	struct sharing_queue *queue;
	struct sharing_keys *keys;
	size_t name_length;
	char name[NAME_MAX_BYTES];
	struct sealed_header header; /* of the record that was sealed last */
	EVP_CIPHER_CTX *cipher;      /* that seals */
	pid_t process;
	struct record_writers writers;
	struct superseded_ids superseded;
};

/* ---- the writer that this process is ------------------------------------------------ */

static bool become_writer(struct session_sharing *sharing)
{
	unsigned char salt[SEALING_SALT_SIZE];
	EVP_CIPHER_CTX *cipher = RAND_bytes(salt, sizeof salt) == 1
				     ? sealing_cipher(&sharing->keys->keys[0], salt)
				     : NULL;
	if (cipher == NULL)
		return false;
	EVP_CIPHER_CTX_free(sharing->cipher);
	sharing->cipher = cipher;
	memcpy(sharing->header.key_id, sharing->keys->keys[0].id, sizeof sharing->header.key_id);
	memcpy(sharing->header.salt, salt, sizeof salt);
	sharing->header.counter = 0;
	sharing->process = getpid();
	return true;
}

bool session_sharing_seal(struct session_sharing *sharing, uint32_t time,
			  const unsigned char plain[SHARED_SESSION_SIZE],
			  unsigned char sealed[SEALED_SIZE])
{
	/* The child of a fork would use the nonces of its parent. */
	if (sharing->process != getpid() && !become_writer(sharing))
		return false;
	sharing->header.counter++;
	sharing->header.time = time;
	return sealing_seal(sharing->cipher, &sharing->header, sharing->name, sharing->name_length,
			    plain, sealed);
}

/* ---- sharing --------------------------------------------------------------------------- */

static void sharing_free(struct session_sharing *sharing)
{
	if (sharing == NULL)
		return;
	if (sharing->queue != NULL)
		session_store_set_queue(sharing->store, NULL);
	sharing_queue_free(sharing->queue);
	record_writers_free(&sharing->writers);
	EVP_CIPHER_CTX_free(sharing->cipher);
	session_store_free(sharing->store);
	sharing_keys_free(sharing->keys);
	OPENSSL_cleanse(sharing, sizeof *sharing);
	free(sharing);
}

struct session_sharing *session_sharing_check(lua_State *L, int index)
{
	struct session_sharing **object = luaL_checkudata(L, index, SHARING_TYPE);
	if (*object == NULL)
		luaL_argerror(L, index, "sharing is closed");
	return *object;
}

static int sharing_close(lua_State *L)
{
	struct session_sharing **object = luaL_checkudata(L, 1, SHARING_TYPE);
	sharing_free(*object);
	*object = NULL;
	return 0;
}

static void read_name(lua_State *L, struct session_sharing *sharing)
{
	lua_getfield(L, 1, "name");
	luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "name is no string");
	const char *name = lua_tolstring(L, -1, &sharing->name_length);
	luaL_argcheck(L, sharing->name_length >= 1 && sharing->name_length <= NAME_MAX_BYTES, 1,
		      "name has not 1 to 255 bytes");
	memcpy(sharing->name, name, sharing->name_length);
	lua_pop(L, 1);
}

static size_t check_queue_limit(lua_State *L)
{
	lua_getfield(L, 1, "queue_limit");
	lua_Number limit = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
	luaL_argcheck(L, limit >= 4096 && limit <= 1073741824, 1,
		      "queue_limit is no number from 4096 to 1073741824");
	lua_pop(L, 1);
	return (size_t)limit;
}

static uint32_t check_address_limit(lua_State *L)
{
	lua_getfield(L, 1, "address_limit");
	lua_Number limit = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
	luaL_argcheck(L, lua_isnil(L, -1) || (limit >= 1 && limit <= 1073741824), 1,
		      "address_limit is no number from 1 to 1073741824");
	lua_pop(L, 1);
	return (uint32_t)limit;
}

/* core.session_sharing{ store = Store, name = "…", keys = Keys, queue_limit = bytes,
 * address_limit = number }
 * From now on the store's new sessions, and the ends of sessions by a fatal alert, wait in a
 * queue of so many bytes, to be sealed. `name` (1 to 255 bytes) separates uses of one key; the
 * first of the keys seals, both open. An IPv4 address, or a /48 of IPv6, may append so many
 * sessions, and so many ends of sessions, in one period of the store's lifetime, those counted
 * that other processes appended and `insert` got (nil: no bound). A store has one sharing at a
 * time.
 * Returns a Sharing, or nil, message, code ("memory", "tls", "exists"). */
static int sharing_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "store");
	struct session_store *store = store_check(L, 2);
	lua_getfield(L, 1, "keys");
	struct sharing_keys *keys = sharing_keys_check(L, 3);
	luaL_argcheck(L, keys->count >= 1 && keys->count <= SHARING_KEYS_MAX, 1,
		      "keys has not one or two keys");
	size_t limit = check_queue_limit(L);
	uint32_t most = check_address_limit(L);
	struct session_sharing **object = lua_newuserdata(L, sizeof(struct session_sharing *));
	*object = NULL;
	luaL_getmetatable(L, SHARING_TYPE);
	lua_setmetatable(L, -2);
	if (session_store_queue(store) != NULL)
		return push_failure(L, "exists", "the sessions of this store are shared already");
	struct session_sharing *sharing = *object = calloc(1, sizeof *sharing);
	if (sharing == NULL)
		return push_failure(L, "memory", "no memory for sharing sessions");
	record_writers_init(&sharing->writers);
	read_name(L, sharing);
	sharing_keys_up_ref(keys);
	sharing->keys = keys;
	if (!become_writer(sharing))
		return push_failure(L, "tls", "the key of shared sessions cannot be used");
	session_store_up_ref(store);
	sharing->store = store;
	sharing->queue = sharing_queue_new(limit, most, session_store_lifetime(store));
	if (sharing->queue == NULL)
		return push_failure(L, "memory",
				    "no %d bytes of memory for sessions to be shared: %s",
				    (int)limit, strerror(errno));
	session_store_set_queue(store, sharing->queue);
	return 1;
}

/* sharing:queued() -> records that wait, their bytes, the number of those that were dropped because
 * the queue was full, whether the system keeps the queue from being swapped out, the number of
 * those that were dropped because their address had its share of the stream. */
static int sharing_queued(lua_State *L)
{
	struct sharing_queue_size size = sharing_queue_size(session_sharing_check(L, 1)->queue);
	lua_pushinteger(L, (lua_Integer)size.records);
	lua_pushinteger(L, (lua_Integer)size.bytes);
	lua_pushinteger(L, (lua_Integer)size.dropped);
	lua_pushboolean(L, size.locked);
	lua_pushinteger(L, (lua_Integer)size.over_share);
	return 5;
}

/* Whether so much time, or none, has passed since then. The clock may have been set back. */
static bool is_over(uint32_t time, uint32_t now, uint32_t lifetime)
{
	return now > time && now - time >= lifetime;
}

/* ---- sealing ----------------------------------------------------------------------------- */

/* sharing:seal_next() -> the record that waits longest, sealed, or nil if none waits; or nil,
 * message, code ("tls"): then it waits on. */
static int sharing_seal_next(lua_State *L)
{
	struct session_sharing *sharing = session_sharing_check(L, 1);
	unsigned char plain[SHARED_SESSION_SIZE], sealed[SEALED_SIZE];
	uint32_t now = session_store_now(sharing->store);
	uint32_t lifetime = session_store_lifetime(sharing->store);
	const struct shared_session *next = sharing_queue_first(sharing->queue);
	/* It may have waited as long as it lives. */
	while (next != NULL && is_over(next->created, now, lifetime)) {
		sharing_queue_remove_first(sharing->queue);
		next = sharing_queue_first(sharing->queue);
	}
	if (next == NULL)
		return 0;
	shared_session_write(next, plain);
	bool done = session_sharing_seal(sharing, now, plain, sealed);
	OPENSSL_cleanse(plain, sizeof plain);
	if (!done)
		return push_failure(L, "tls", "a session cannot be sealed");
	sharing_queue_remove_first(sharing->queue);
	lua_pushlstring(L, (const char *)sealed, sizeof sealed);
	return 1;
}

/* ---- taking in --------------------------------------------------------------------------- */

/* Opens a record, and refuses one that was opened before. Returns NULL, or the reason. */
static const char *open_record(struct session_sharing *sharing, const struct sealed_header *header,
			       const unsigned char *sealed, uint32_t now, unsigned char *plain)
{
	unsigned int key = 0;
	while (key < sharing->keys->count &&
	       memcmp(sharing->keys->keys[key].id, header->key_id, sizeof header->key_id) != 0)
		key++;
	if (key == sharing->keys->count)
		return "not_opened";
	struct record_writer *writer = record_writers_find(&sharing->writers, key, header->salt);
	EVP_CIPHER_CTX *cipher = writer != NULL
				     ? writer->cipher
				     : sealing_cipher(&sharing->keys->keys[key], header->salt);
	bool opened = cipher != NULL &&
		      sealing_open(cipher, sharing->name, sharing->name_length, sealed, plain);
	if (opened && writer == NULL)
		writer = record_writers_add(&sharing->writers, key, header->salt, cipher, now,
					    session_store_lifetime(sharing->store));
	if (writer == NULL)
		EVP_CIPHER_CTX_free(cipher);
	if (!opened)
		return "not_opened";
	if (writer == NULL)
		return "writers";
	return record_writer_note(writer, header->counter, header->time) ? NULL : "replayed";
}

/* The session ends at the end of the shorter of both lifetimes, counted from its first handshake. A
 * clock that is ahead makes it no younger than it is. */
static uint32_t created_here(const struct shared_session *shared, uint32_t now, uint32_t lifetime)
{
	uint32_t created = shared->created < now ? shared->created : now;
	if (shared->lifetime < lifetime) {
		uint32_t less = lifetime - shared->lifetime;
		created = created > less ? created - less : 0;
	}
	return created;
}

static const char *take_session(struct session_store *store, const struct shared_session *shared,
				uint32_t share, uint32_t now)
{
	uint32_t lifetime = session_store_lifetime(store);
	if (shared->created > now && shared->created - now > CLOCK_DIFFERENCE)
		return "from_the_future";
	struct session session = {
		.secret_length = shared->secret_length,
		.created = created_here(shared, now, lifetime),
		.share = share,
	};
	if (is_over(session.created, now, lifetime))
		return "expired";
	int kind = session_kinds_find_shared(session_store_kinds(store), shared->version,
					     shared->suite, shared->group);
	if (kind == SESSION_KIND_NONE)
		return "malformed";
	session.kind = (uint8_t)kind;
	memcpy(session.id, shared->id, sizeof session.id);
	memcpy(session.secret, shared->secret, sizeof session.secret);
	memcpy(session.id_context, shared->id_context, sizeof session.id_context);
	enum session_sharing_result result = session_store_insert_shared(
	    store, &session, shared->is_renewal ? shared->earlier_id : NULL);
	OPENSSL_cleanse(&session, sizeof session);
	static const char *const reasons[] = {
		[SESSION_TAKEN] = NULL,
		[SESSION_KNOWN] = "replayed",
		[SESSION_ENDED] = "removed",
		[SESSION_NO_ROOM] = "full",
		[SESSION_OVER_SHARE] = "over_share",
	};
	return reasons[result];
}

/* Whether a session was renewed more than once: its client has used a ticket that came after it. As
 * in the process where that happened, only the last two are kept. */
static bool is_superseded(struct superseded_ids *ids, const struct shared_session *shared)
{
	unsigned int renewals = superseded_ids_take(ids, shared->id);
	if (shared->is_renewal)
		superseded_ids_note(ids, shared->earlier_id, renewals > 0);
	return renewals > 1;
}

/* Takes in a sealed record. Returns NULL, or the reason why not. */
static const char *take_in(struct session_sharing *sharing, const unsigned char *sealed,
			   size_t length, uint32_t now, bool *is_removal)
{
	struct session_store *store = sharing->store;
	struct sealed_header header;
	struct shared_session shared;
	unsigned char plain[SHARED_SESSION_SIZE];
	if (!sealed_header_read(&header, sealed, length))
		return "malformed";
	if (memcmp(header.salt, sharing->header.salt, sizeof header.salt) == 0)
		return "own";
	if (header.time > now && header.time - now > CLOCK_DIFFERENCE)
		return "from_the_future";
	if (is_over(header.time, now, session_store_lifetime(store)))
		return "expired";
	const char *reason = open_record(sharing, &header, sealed, now, plain);
	if (reason == NULL && !shared_session_read(&shared, plain))
		reason = "malformed";
	if (reason == NULL) {
		struct failed_handshake peer = shared_session_peer(&shared);
		uint32_t share = session_store_share_of(store, &peer);
		stream_shares_count(sharing_queue_shares(sharing->queue), &shared, header.time,
				    now);
		*is_removal = shared.is_removal;
		if (shared.is_removal)
			session_store_remove_shared(store, shared.id, share);
		else if (is_superseded(&sharing->superseded, &shared))
			reason = "superseded";
		else
			reason = take_session(store, &shared, share, now);
	}
	OPENSSL_cleanse(plain, sizeof plain);
	OPENSSL_cleanse(&shared, sizeof shared);
	return reason;
}

/* sharing:insert(sealed, now)
 * Takes a record of another process into the store. `now`: seconds since 1970; nil: by the store's
 * clock. Returns "session" or "removal", or nil and a reason: "own" (of this process start),
 * "malformed", "not_opened" (another key or name, or damaged), "expired", "from_the_future" (by
 * more than 60 s), "replayed", "removed" (the session had ended), "full" (for this one and older
 * ones), "over_share" (its network has its share), "writers" (too many process starts),
 * "superseded" (two later tickets of the session came before it). */
static int sharing_insert(lua_State *L)
{
	struct session_sharing *sharing = session_sharing_check(L, 1);
	size_t length = 0;
	const char *sealed = luaL_checklstring(L, 2, &length);
	lua_Number given = luaL_optnumber(L, 3, (lua_Number)session_store_now(sharing->store));
	luaL_argcheck(L, given >= 0 && given <= (lua_Number)UINT32_MAX, 3, "no time");
	bool is_removal = false;
	const char *reason =
	    take_in(sharing, (const unsigned char *)sealed, length, (uint32_t)given, &is_removal);
	ERR_clear_error();
	if (reason == NULL) {
		lua_pushstring(L, is_removal ? "removal" : "session");
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, reason);
	return 2;
}

void session_sharing_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "queued", sharing_queued },
		{ "seal_next", sharing_seal_next },
		{ "insert", sharing_insert },
		{ NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };
	register_type(L, SHARING_TYPE, methods, none, sharing_close);
	lua_pushcfunction(L, sharing_new);
}
