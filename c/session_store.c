/* Store: sessions that can be resumed, in memory of a fixed size. Oldest out
 * first; found by session ID; nothing is allocated once it is made. */
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

/* A session, without what all of its kind have in common (`kind`). Numbers of
 * records count from 1: 0 is none. */
struct record {
	unsigned char id[SESSION_ID_SIZE];
	unsigned char secret[SESSION_SECRET_SIZE];
	unsigned char context[SESSION_CONTEXT_SIZE];
	uint32_t created; /* seconds, as the clock tells them */
	uint32_t next;    /* in the same bucket */
	uint8_t kind;
	uint8_t secret_length; /* 0: the record is free */
};

struct session_store {
	unsigned long references;
	struct session_store *next_store;
	struct record *records; /* one mapping: the records, then the buckets */
	uint32_t *buckets;
	size_t size;       /* of the mapping, bytes */
	uint32_t capacity; /* records, and buckets */
	uint32_t newest;   /* number of the record written last, 0 at first */
	uint32_t oldest;   /* number of the one that expires first */
	uint32_t lifetime; /* seconds */
	uint32_t frozen;   /* the time for tests, 0: the real one */
	bool locked;
	struct session_statistics statistics;
	struct session_kinds kinds;
};

#define MEBIBYTE 1048576

/* All stores of the process, to be wiped when it ends. */
static struct session_store *stores;

static uint32_t now(const struct session_store *store)
{
	return store->frozen != 0 ? store->frozen : (uint32_t)time(NULL);
}

static struct record *record_of(const struct session_store *store, uint32_t number)
{
	return &store->records[number - 1];
}

/* IDs that are in the store were made by OpenSSL's generator, so that any bits
 * of them spread evenly; those that a stranger makes up only have to be found
 * missing. */
static uint32_t *bucket_of(const struct session_store *store, const unsigned char *id)
{
	uint32_t bits;
	memcpy(&bits, id, sizeof bits);
	return &store->buckets[(uint64_t)bits * store->capacity >> 32];
}

/* ---- memory ----------------------------------------------------------------- */

static void wipe_all(void)
{
	for (struct session_store *store = stores; store != NULL; store = store->next_store)
		OPENSSL_cleanse(store->records, store->size);
}

static void lock_memory(struct session_store *store)
{
	store->locked = mlock(store->records, store->size) == 0;
}

/* Locks are not inherited by the child of a fork. */
static void lock_all(void)
{
	for (struct session_store *store = stores; store != NULL; store = store->next_store)
		lock_memory(store);
}

static bool map_memory(struct session_store *store, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return false;
#ifdef MADV_DONTDUMP
	if (madvise(memory, size, MADV_DONTDUMP) != 0) {
		munmap(memory, size);
		return false;
	}
#endif
	store->size = size;
	store->capacity = (uint32_t)(size / (sizeof(struct record) + sizeof(uint32_t)));
	store->records = memory;
	store->buckets = (uint32_t *)(store->records + store->capacity);
	lock_memory(store);
	return true;
}

struct session_store *session_store_new(unsigned int mebibytes, uint32_t lifetime)
{
	static bool registered;
	struct session_store *store = calloc(1, sizeof *store);
	if (store == NULL)
		return NULL;
	if (!registered && (atexit(wipe_all) != 0 || pthread_atfork(NULL, NULL, lock_all) != 0))
		goto failed;
	registered = true;
	if (!map_memory(store, (size_t)mebibytes * MEBIBYTE))
		goto failed;
	store->references = 1;
	store->lifetime = lifetime;
	store->oldest = 1;
	store->next_store = stores;
	stores = store;
	return store;
failed:
	free(store);
	return NULL;
}

void session_store_up_ref(struct session_store *store)
{
	store->references++;
}

void session_store_free(struct session_store *store)
{
	if (store == NULL || --store->references > 0)
		return;
	struct session_store **link = &stores;
	while (*link != store)
		link = &(*link)->next_store;
	*link = store->next_store;
	OPENSSL_cleanse(store->records, store->size);
	munmap(store->records, store->size);
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

static bool is_expired(const struct session_store *store, const struct record *record)
{
	/* Unsigned: a clock that was set back makes sessions old, not eternal. */
	return now(store) - record->created >= store->lifetime;
}

static uint32_t after(const struct session_store *store, uint32_t number)
{
	return number == store->capacity ? 1 : number + 1;
}

/* Records are written round and round, so the oldest come first. */
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
	memcpy(record->context, session->context, sizeof record->context);
	record->secret_length = session->secret_length;
	record->kind = session->kind;
	record->created = now(store);
	record->next = *bucket;
	*bucket = number;
	store->newest = number;
	store->statistics.insertions++;
	store->statistics.sessions++;
	/* So that no insertion takes long. */
	drop_expired(store, 2);
}

enum session_result session_store_find(struct session_store *store, const unsigned char *id,
				       const unsigned char *context, struct session *session)
{
	uint32_t number = find(store, id);
	if (number == 0)
		return SESSION_UNKNOWN;
	const struct record *record = record_of(store, number);
	if (is_expired(store, record)) {
		unlink_record(store, number);
		return SESSION_EXPIRED;
	}
	if (CRYPTO_memcmp(record->context, context, sizeof record->context) != 0)
		return SESSION_OTHER_CONTEXT;
	memcpy(session->id, record->id, sizeof session->id);
	memcpy(session->secret, record->secret, record->secret_length);
	memcpy(session->context, record->context, sizeof session->context);
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

static void flush(struct session_store *store)
{
	OPENSSL_cleanse(store->records, store->size);
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
 * RFC 8446 4.6.1 lets no session live longer than seven days. Returns a Store,
 * or nil, message, code ("memory"). */
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
	set_integer(L, "bytes", (lua_Integer)store->size);
	set_integer(L, "lifetime", (lua_Integer)store->lifetime);
	set_boolean(L, "locked", store->locked);
	return 1;
}

/* store:flush() forgets and wipes all sessions; the counts of events stay. */
static int store_flush(lua_State *L)
{
	flush(session_store_check(L, 1));
	return 0;
}

/* store:sweep() wipes the sessions that have expired: for a clock to call, as they
 * go by themselves only when others come. */
static int store_sweep(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	drop_expired(store, store->capacity);
	return 0;
}

/* store:set_lifetime(seconds), of sessions that are in it as well. */
static int store_set_lifetime(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	lua_Integer lifetime = luaL_checkinteger(L, 2);
	luaL_argcheck(L, lifetime >= 1 && lifetime <= 604800, 2, "no integer from 1 to 604800");
	store->lifetime = (uint32_t)lifetime;
	return 0;
}

/* store:fill(count) inserts so many sessions with random IDs that nobody can
 * resume, to see how the store bears it. True, or nil, message, code ("tls"). */
static int store_fill(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	struct session session = { .secret_length = SESSION_SECRET_SIZE };
	for (lua_Integer count = luaL_checkinteger(L, 2); count > 0; count--) {
		if (RAND_bytes(session.id, sizeof session.id) != 1)
			return push_failure(L, "tls", "no random bytes");
		session_store_insert(store, &session);
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

/* store:exercise(count) inserts so many sessions with random IDs and looks each of
 * them up. Returns the seconds that one insertion and one look-up took, or nil,
 * message, code ("tls", "missing"). */
static int store_exercise(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
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
		session_store_insert(store, &session);
	}
	lua_pushnumber(L, seconds_since(&start) / (double)count);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (size_t i = 0; i < size; i += SESSION_ID_SIZE)
		if (session_store_find(store, ids + i, session.context, &session) != SESSION_FOUND)
			return push_failure(L, "missing", "a session that was put in is not found");
	lua_pushnumber(L, seconds_since(&start) / (double)count);
	return 2;
}

/* store:set_clock(seconds) stops the store's clock at that time, for tests; nil
 * lets it go again. */
static int store_set_clock(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	store->frozen = lua_isnoneornil(L, 2) ? 0 : (uint32_t)luaL_checkinteger(L, 2);
	return 0;
}

void session_store_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "stats", store_stats },         { "flush", store_flush },
		{ "sweep", store_sweep },         { "set_lifetime", store_set_lifetime },
		{ "fill", store_fill },           { "exercise", store_exercise },
		{ "set_clock", store_set_clock }, { NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg functions[] = { { "new", store_new }, { NULL, NULL } };
	register_type(L, STORE_TYPE, methods, none, store_close);
	session_store_trial_open(L);
	luaL_newlib(L, functions);
}
