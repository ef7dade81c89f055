/* The module `session_store_trial`, for specs and benchmarks: functions of a Store and of a Sharing
 * that the product does not need. No connection can resume the sessions that they insert, because
 * their session ID context is no digest. */
#include "internal.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

static const unsigned char *check_id(lua_State *L, int index)
{
	size_t length = 0;
	const char *id = luaL_checklstring(L, index, &length);
	luaL_argcheck(L, length == SESSION_ID_SIZE, index, "no session ID of 32 bytes");
	return (const unsigned char *)id;
}

/* trial.insert(store, id, address) -> whether it was kept. `address`: "192.0.2.1", "2001:db8::1";
 * nil: none. */
static int trial_insert(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	struct session session = { .secret_length = SESSION_SECRET_SIZE };
	struct failed_handshake peer = { .family = AF_UNSPEC };
	const char *address = luaL_optstring(L, 3, NULL);
	if (address != NULL) {
		peer.family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
		luaL_argcheck(L, inet_pton(peer.family, address, peer.address) == 1, 3,
			      "no address");
	}
	memcpy(session.id, check_id(L, 2), sizeof session.id);
	session.share = session_store_share_of(store, &peer);
	lua_pushboolean(L, session_store_insert(store, &session));
	return 1;
}

/* trial.renew(store, id, new id) -> whether it was there. */
static int trial_renew(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	struct session session = { .secret_length = SESSION_SECRET_SIZE };
	memcpy(session.id, check_id(L, 3), sizeof session.id);
	lua_pushboolean(L, session_store_renew(store, check_id(L, 2), &session));
	return 1;
}

/* trial.find(store, id) -> its age in seconds, or nil and "unknown" or "expired". */
static int trial_find(lua_State *L)
{
	static const char *const results[] = {
		[SESSION_UNKNOWN] = "unknown",
		[SESSION_EXPIRED] = "expired",
		[SESSION_OTHER_CONTEXT] = "context",
	};
	struct session_store *store = store_check(L, 1);
	struct session session = { .secret_length = 0 };
	const unsigned char id_context[SESSION_ID_CONTEXT_SIZE] = { 0 };
	enum session_result result =
	    session_store_find(store, check_id(L, 2), id_context, &session);
	OPENSSL_cleanse(session.secret, sizeof session.secret);
	if (result == SESSION_FOUND) {
		lua_pushnumber(L, (lua_Number)session.age);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, results[result]);
	return 2;
}

/* trial.remove(store, id) */
static int trial_remove(lua_State *L)
{
	session_store_remove(store_check(L, 1), check_id(L, 2));
	return 0;
}

/* trial.fill(store, count) inserts so many sessions with random IDs. Returns true, or nil,
 * message, code ("tls"). */
static int trial_fill(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	struct session session = { .secret_length = SESSION_SECRET_SIZE };
	for (lua_Integer count = luaL_checkinteger(L, 2); count > 0; count--) {
		if (RAND_bytes(session.id, sizeof session.id) != 1)
			return push_failure(L, "tls", "no random bytes");
		(void)session_store_insert(store, &session);
	}
	lua_pushboolean(L, 1);
	return 1;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	return (double)(end.tv_sec - start->tv_sec) + (double)(end.tv_nsec - start->tv_nsec) / 1e9;
}

/* trial.exercise(store, count) inserts so many sessions with random IDs and looks each of them
 * up. Returns the seconds that one insertion and one look-up took, or nil, message, code
 * ("tls", "missing"). */
static int trial_exercise(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	lua_Integer count = luaL_checkinteger(L, 2);
	luaL_argcheck(L, count >= 1 && count <= 10000000, 2, "no integer from 1 to 10000000");
	size_t size = (size_t)count * SESSION_ID_SIZE;
	unsigned char *ids = lua_newuserdata(L, size);
	struct session session = { .secret_length = SESSION_SECRET_SIZE };
	struct timespec start;
	if (size > INT_MAX || RAND_bytes(ids, (int)size) != 1)
		return push_failure(L, "tls", "no random bytes");
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (size_t i = 0; i < size; i += SESSION_ID_SIZE) {
		memcpy(session.id, ids + i, sizeof session.id);
		(void)session_store_insert(store, &session);
	}
	lua_pushnumber(L, seconds_since(&start) / (double)count);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (size_t i = 0; i < size; i += SESSION_ID_SIZE)
		if (session_store_find(store, ids + i, session.id_context, &session) !=
		    SESSION_FOUND)
			return push_failure(L, "missing", "a session that was put in is not found");
	lua_pushnumber(L, seconds_since(&start) / (double)count);
	return 2;
}

/* trial.set_clock(store, seconds) stops the store's clock at that time; with nil it is the
 * system's again. */
static int trial_set_clock(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	session_store_set_clock(store,
				lua_isnoneornil(L, 2) ? 0 : (uint32_t)luaL_checkinteger(L, 2));
	return 0;
}

/* trial.models(store) -> a list of the models of its kinds, in OpenSSL's form, or nil, message,
 * code ("tls"). */
static int trial_models(lua_State *L)
{
	const struct session_kinds *kinds = session_store_kinds(store_check(L, 1));
	lua_newtable(L);
	for (unsigned int i = 0; i < kinds->count; i++) {
		unsigned char bytes[1024], *end = bytes;
		int length = i2d_SSL_SESSION(kinds->kinds[i].model, NULL);
		if (length <= 0 || length > (int)sizeof bytes ||
		    i2d_SSL_SESSION(kinds->kinds[i].model, &end) != length)
			return push_failure(L, "tls", "a model cannot be written");
		lua_pushlstring(L, (const char *)bytes, (size_t)length);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

/* The kind that a connection with this session has. */
static int kind_of(struct session_kinds *kinds, SSL_SESSION *session)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *connection = context == NULL ? NULL : SSL_new(context);
	int kind = SESSION_KIND_NONE;
	if (connection != NULL && SSL_set_session(connection, session) == 1)
		kind = session_kinds_find(kinds, connection, session);
	SSL_free(connection);
	SSL_CTX_free(context);
	return kind;
}

/* trial.kind(store, session in OpenSSL's form) -> the number of its kind, from 1 on; nil if it
 * must not be kept; or nil, message, code ("parse"). */
static int trial_kind(lua_State *L)
{
	size_t length = 0;
	struct session_kinds *kinds = session_store_kinds(store_check(L, 1));
	const unsigned char *bytes = (const unsigned char *)luaL_checklstring(L, 2, &length);
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &bytes, (long)length);
	if (session == NULL)
		return push_failure(L, "parse", "no session");
	int kind = kind_of(kinds, session);
	SSL_SESSION_free(session);
	if (kind == SESSION_KIND_NONE)
		lua_pushnil(L);
	else
		lua_pushinteger(L, kind + 1);
	return 1;
}

/* trial.seal(sharing, plain, time) -> a plain record (of as many bytes as one has) sealed at that
 * time by the sharing's own process; or nil, message, code ("tls"). */
static int trial_seal(lua_State *L)
{
	size_t length = 0;
	unsigned char sealed[SEALED_SIZE];
	struct session_sharing *sharing = session_sharing_check(L, 1);
	const char *plain = luaL_checklstring(L, 2, &length);
	lua_Integer time = luaL_checkinteger(L, 3);
	luaL_argcheck(L, length == SHARED_SESSION_SIZE, 2, "no plain record");
	if (!session_sharing_seal(sharing, (uint32_t)time, (const unsigned char *)plain, sealed))
		return push_failure(L, "tls", "a record cannot be sealed");
	lua_pushlstring(L, (const char *)sealed, sizeof sealed);
	return 1;
}

/* trial.queue(store, plain) queues a plain record of a store that is shared, as a handshake does.
 */
static int trial_queue(lua_State *L)
{
	size_t length = 0;
	struct shared_session shared;
	struct session_store *store = store_check(L, 1);
	const char *plain = luaL_checklstring(L, 2, &length);
	luaL_argcheck(L, session_store_queue(store) != NULL, 1, "a store that is not shared");
	luaL_argcheck(L, length == SHARED_SESSION_SIZE, 2, "no plain record");
	luaL_argcheck(L, shared_session_read(&shared, (const unsigned char *)plain), 2,
		      "a malformed record");
	sharing_queue_add(session_store_queue(store), &shared, session_store_now(store));
	OPENSSL_cleanse(&shared, sizeof shared);
	return 0;
}

/* trial.sharing_keys(list of strings of 32 to 64 bytes) -> Keys, or nil, message, code ("memory",
 * "tls"). */
static int trial_sharing_keys(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	struct sharing_keys *keys = sharing_keys_push(L);
	if (keys == NULL)
		return push_failure(L, "memory", "no memory for keys");
	for (size_t i = 0; i < lua_rawlen(L, 1); i++) {
		size_t length = 0;
		lua_rawgeti(L, 1, (int)i + 1);
		const char *bytes = luaL_checklstring(L, -1, &length);
		luaL_argcheck(L, length >= SEALING_KEY_MIN && length <= SEALING_KEY_MAX, 1,
			      "a key has 32 to 64 bytes");
		if (!sharing_keys_add(keys, bytes, length))
			return push_failure(L, "tls", "a key cannot be used");
		lua_pop(L, 1);
	}
	return 1;
}

void session_store_trial_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "insert", trial_insert },
		{ "renew", trial_renew },
		{ "find", trial_find },
		{ "remove", trial_remove },
		{ "fill", trial_fill },
		{ "exercise", trial_exercise },
		{ "set_clock", trial_set_clock },
		{ "models", trial_models },
		{ "kind", trial_kind },
		{ "seal", trial_seal },
		{ "queue", trial_queue },
		{ "sharing_keys", trial_sharing_keys },
		{ NULL, NULL },
	};
	luaL_newlib(L, functions);
}
