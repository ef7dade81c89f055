/* Store: sessions that can be resumed, found by session ID. Its memory has a fixed size, and
 * the oldest session makes room for a new one. Nothing is allocated after it is made. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

/* A session; the rest of it is in its kind. Numbers of records count from 1: 0 is none. */
struct record {
	unsigned char id[SESSION_ID_SIZE];
	unsigned char secret[SESSION_SECRET_SIZE];
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	uint32_t created; /* seconds, by the store's clock */
	uint32_t next;    /* in the same bucket */
	uint8_t kind;
	uint8_t secret_length; /* 0: the record is free */
};

struct session_store {
	unsigned long references;
	struct secret_memory memory; /* the records, then the buckets */
	struct record *records;
	uint32_t *buckets;
	uint32_t capacity; /* records, and buckets */
	uint32_t newest;   /* number of the record written last, 0 at first */
	uint32_t oldest;   /* number of the one that expires first */
	uint32_t lifetime; /* seconds */
	uint32_t time;     /* at which the clock stands; 0: it is the system's */
	struct session_statistics statistics;
	struct session_kinds kinds;
};

#define MEBIBYTE 1048576

static uint32_t now(const struct session_store *store)
{
	return store->time != 0 ? store->time : (uint32_t)time(NULL);
}

static struct record *record_of(const struct session_store *store, uint32_t number)
{
	return &store->records[number - 1];
}

/* OpenSSL's generator makes the IDs in the store, so any bits of them are spread evenly. IDs
 * that a client makes up cannot crowd a bucket: they are only looked for. */
static uint32_t *bucket_of(const struct session_store *store, const unsigned char *id)
{
	uint32_t bits;
	memcpy(&bits, id, sizeof bits);
	return &store->buckets[(uint64_t)bits * store->capacity >> 32];
}

/* ---- memory ----------------------------------------------------------------- */

struct session_store *session_store_new(unsigned int mebibytes, uint32_t lifetime)
{
	struct session_store *store = calloc(1, sizeof *store);
	if (store == NULL || !secret_memory_map(&store->memory, (size_t)mebibytes * MEBIBYTE)) {
		free(store);
		return NULL;
	}
	size_t capacity = store->memory.size / (sizeof(struct record) + sizeof(uint32_t));
	store->capacity = (uint32_t)capacity;
	store->records = store->memory.bytes;
	store->buckets = (uint32_t *)(store->records + capacity);
	store->references = 1;
	store->lifetime = lifetime;
	store->oldest = 1;
	return store;
}

void session_store_up_ref(struct session_store *store)
{
	store->references++;
}

void session_store_free(struct session_store *store)
{
	if (store == NULL || --store->references > 0)
		return;
	secret_memory_unmap(&store->memory);
	session_kinds_free(&store->kinds);
	free(store);
}

/* ---- records ------------------------------------------------------------------ */

static void unlink_record(struct session_store *store, uint32_t number)
{
	struct record *record = record_of(store, number);
	uint32_t *link = bucket_of(store, record->id);
	while (*link != number)
		link = &record_of(store, *link)->next;
	*link = record->next;
	OPENSSL_cleanse(record, sizeof *record);
	store->statistics.sessions--;
}

/* resume.lifetime */
static bool is_expired(const struct session_store *store, const struct record *record)
{
	/* Unsigned: if the clock is set back, sessions are too old, not valid for ever. */
	return now(store) - record->created >= store->lifetime;
}

static uint32_t after(const struct session_store *store, uint32_t number)
{
	return number == store->capacity ? 1 : number + 1;
}

/* Records are written in a ring, so the oldest come first. */
static void drop_expired(struct session_store *store, uint32_t most)
{
	for (uint32_t i = 0; i < most && store->newest != 0; i++) {
		struct record *record = record_of(store, store->oldest);
		if (record->secret_length != 0) {
			if (!is_expired(store, record))
				return;
			unlink_record(store, store->oldest);
		}
		if (store->oldest == store->newest)
			return;
		store->oldest = after(store, store->oldest);
	}
}

static uint32_t find(const struct session_store *store, const unsigned char *id)
{
	uint32_t number = *bucket_of(store, id);
	while (number != 0 && memcmp(record_of(store, number)->id, id, SESSION_ID_SIZE) != 0)
		number = record_of(store, number)->next;
	return number;
}

void session_store_insert(struct session_store *store, const struct session *session)
{
	uint32_t number = find(store, session->id);
	if (number != 0)
		unlink_record(store, number);
	number = store->newest == 0 ? 1 : after(store, store->newest);
	struct record *record = record_of(store, number);
	if (record->secret_length != 0) {
		unlink_record(store, number);
		store->statistics.evictions++;
	}
	if (store->oldest == number && store->newest != 0)
		store->oldest = after(store, number);
	uint32_t *bucket = bucket_of(store, session->id);
	memcpy(record->id, session->id, sizeof record->id);
	memcpy(record->secret, session->secret, session->secret_length);
	memcpy(record->id_context, session->id_context, sizeof record->id_context);
	record->secret_length = session->secret_length;
	record->kind = session->kind;
	record->created = now(store);
	record->next = *bucket;
	*bucket = number;
	store->newest = number;
	store->statistics.insertions++;
	store->statistics.sessions++;
	/* Two at a time bound the time of an insertion. */
	drop_expired(store, 2);
}

enum session_result session_store_find(struct session_store *store, const unsigned char *id,
				       const unsigned char *id_context, struct session *session)
{
	uint32_t number = find(store, id);
	if (number == 0)
		return SESSION_UNKNOWN;
	const struct record *record = record_of(store, number);
	if (is_expired(store, record)) {
		unlink_record(store, number);
		return SESSION_EXPIRED;
	}
	if (CRYPTO_memcmp(record->id_context, id_context, sizeof record->id_context) != 0)
		return SESSION_OTHER_CONTEXT;
	memcpy(session->id, record->id, sizeof session->id);
	memcpy(session->secret, record->secret, record->secret_length);
	memcpy(session->id_context, record->id_context, sizeof session->id_context);
	session->secret_length = record->secret_length;
	session->kind = record->kind;
	session->age = now(store) - record->created;
	return SESSION_FOUND;
}

void session_store_count(struct session_store *store, enum session_result result)
{
	switch (result) {
	case SESSION_FOUND:
		store->statistics.hits++;
		break;
	case SESSION_UNKNOWN:
		store->statistics.unknown++;
		break;
	case SESSION_EXPIRED:
		store->statistics.expired++;
		break;
	case SESSION_OTHER_CONTEXT:
		store->statistics.other_context++;
		break;
	}
}

void session_store_remove(struct session_store *store, const unsigned char *id)
{
	uint32_t number = find(store, id);
	if (number == 0)
		return;
	unlink_record(store, number);
	store->statistics.removals++;
}

uint32_t session_store_lifetime(const struct session_store *store)
{
	return store->lifetime;
}

struct session_kinds *session_store_kinds(struct session_store *store)
{
	return &store->kinds;
}

struct session_statistics *session_store_statistics(struct session_store *store)
{
	return &store->statistics;
}

void session_store_set_clock(struct session_store *store, uint32_t seconds)
{
	store->time = seconds;
}

static void flush(struct session_store *store)
{
	OPENSSL_cleanse(store->memory.bytes, store->memory.size);
	store->newest = 0;
	store->oldest = 1;
	store->statistics.sessions = 0;
}

/* ---- Lua ---------------------------------------------------------------------- */

struct session_store *session_store_check(lua_State *L, int index)
{
	struct session_store **object = luaL_checkudata(L, index, STORE_TYPE);
	if (*object == NULL)
		luaL_argerror(L, index, "store is closed");
	return *object;
}

static int store_close(lua_State *L)
{
	struct session_store **object = luaL_checkudata(L, 1, STORE_TYPE);
	session_store_free(*object);
	*object = NULL;
	return 0;
}

static lua_Integer option_integer(lua_State *L, const char *name, lua_Integer least,
				  lua_Integer most)
{
	lua_getfield(L, 1, name);
	lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
	if (!(number >= (lua_Number)least && number <= (lua_Number)most) ||
	    number != (lua_Number)(lua_Integer)number)
		luaL_error(L, "session_store.new: %s is no integer from %d to %d", name, (int)least,
			   (int)most);
	lua_pop(L, 1);
	return (lua_Integer)number;
}

/* session_store.new{ memory = MiB, lifetime = seconds }
 * The lifetime is at most seven days (rfc8446.4.6.1.lifetime-seven-days). Returns a Store, or nil,
 * message, code ("memory"). */
static int store_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer memory = option_integer(L, "memory", 1, 4096);
	lua_Integer lifetime = option_integer(L, "lifetime", 1, 604800);
	struct session_store **object = lua_newuserdata(L, sizeof(struct session_store *));
	*object = NULL;
	luaL_getmetatable(L, STORE_TYPE);
	lua_setmetatable(L, -2);
	*object = session_store_new((unsigned int)memory, (uint32_t)lifetime);
	if (*object == NULL)
		return push_failure(L, "memory", "no %d MiB of memory for sessions: %s",
				    (int)memory, strerror(errno));
	return 1;
}

/* store:stats() -> { hits, misses = { unknown, expired, context, refused },
 * insertions, evictions (for lack of room), removals (after a fatal alert),
 * sessions, capacity, bytes (of memory), lifetime (seconds), locked (whether the
 * system keeps the memory from being swapped out) } */
static int store_stats(lua_State *L)
{
	const struct session_store *store = session_store_check(L, 1);
	const struct session_statistics *statistics = &store->statistics;
	lua_newtable(L);
	lua_newtable(L);
	set_integer(L, "unknown", (lua_Integer)statistics->unknown);
	set_integer(L, "expired", (lua_Integer)statistics->expired);
	set_integer(L, "context", (lua_Integer)statistics->other_context);
	set_integer(L, "refused", (lua_Integer)statistics->refused);
	lua_setfield(L, -2, "misses");
	set_integer(L, "hits", (lua_Integer)statistics->hits);
	set_integer(L, "insertions", (lua_Integer)statistics->insertions);
	set_integer(L, "evictions", (lua_Integer)statistics->evictions);
	set_integer(L, "removals", (lua_Integer)statistics->removals);
	set_integer(L, "sessions", (lua_Integer)statistics->sessions);
	set_integer(L, "capacity", (lua_Integer)store->capacity);
	set_integer(L, "bytes", (lua_Integer)store->memory.size);
	set_integer(L, "lifetime", (lua_Integer)store->lifetime);
	set_boolean(L, "locked", store->memory.locked);
	return 1;
}

/* store:flush() wipes all sessions; the counts of events stay. */
static int store_flush(lua_State *L)
{
	flush(session_store_check(L, 1));
	return 0;
}

/* store:sweep() wipes the sessions that have expired. To be called from time to time: without
 * it they are wiped only as new ones are inserted. */
static int store_sweep(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	drop_expired(store, store->capacity);
	return 0;
}

/* store:set_lifetime(seconds) counts also for the sessions that are in the store. */
static int store_set_lifetime(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	lua_Integer lifetime = luaL_checkinteger(L, 2);
	luaL_argcheck(L, lifetime >= 1 && lifetime <= 604800, 2, "no integer from 1 to 604800");
	store->lifetime = (uint32_t)lifetime;
	return 0;
}

void session_store_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "stats", store_stats }, { "flush", store_flush },
		{ "sweep", store_sweep }, { "set_lifetime", store_set_lifetime },
		{ NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg functions[] = { { "new", store_new }, { NULL, NULL } };
	register_type(L, STORE_TYPE, methods, none, store_close);
	luaL_newlib(L, functions);
}
