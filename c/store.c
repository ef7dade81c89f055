/* Store: a session store as an object of Lua's. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIFETIME_MAX 604800 /* seconds */
#define SHARE_MAX    1024

struct session_store *store_check(lua_State *L, int index)
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

/* A field of the table at index 1; `otherwise` if it is nil. */
static lua_Integer option_integer(lua_State *L, const char *name, lua_Integer least,
				  lua_Integer most, lua_Integer otherwise)
{
	lua_getfield(L, 1, name);
	if (lua_isnil(L, -1) && otherwise != 0)
		lua_pushinteger(L, otherwise);
	lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
	if (!(number >= (lua_Number)least && number <= (lua_Number)most) ||
	    number != (lua_Number)(lua_Integer)number)
		luaL_error(L, "session_store.new: %s is no integer from %d to %d", name, (int)least,
			   (int)most);
	lua_settop(L, 1);
	return (lua_Integer)number;
}

/* session_store.new{ memory = MiB, lifetime = seconds, share = number }
 * The lifetime is at most seven days (rfc8446.4.6.1.lifetime-seven-days). An IPv4 address, or a /48
 * of IPv6, may have so many sessions that `share` of them fill the store (nil or 1: no bound).
 * Returns a Store, or nil, message, code ("memory"). */
static int store_new(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer memory = option_integer(L, "memory", 1, 4096, 0);
	lua_Integer lifetime = option_integer(L, "lifetime", 1, LIFETIME_MAX, 0);
	lua_Integer share = option_integer(L, "share", 1, SHARE_MAX, 1);
	struct session_store **object = lua_newuserdata(L, sizeof(struct session_store *));
	*object = NULL;
	luaL_getmetatable(L, STORE_TYPE);
	lua_setmetatable(L, -2);
	*object = session_store_new((unsigned int)memory, (uint32_t)lifetime, (unsigned int)share);
	if (*object == NULL)
		return push_failure(L, "memory", "no %d MiB of memory for sessions: %s",
				    (int)memory, strerror(errno));
	return 1;
}

/* Sets lock_limit: how many bytes the process may lock; nil: no limit that is known. */
static void set_lock_limit(lua_State *L)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		set_integer(L, "lock_limit", (lua_Integer)limit.rlim_cur);
}

/* store:stats() -> { hits, misses = { unknown, expired, context, refused },
 * insertions, not_kept = { address (it has its share), state (which a record cannot hold) },
 * evictions (for lack of room), removals (after a fatal alert),
 * sessions, capacity, bytes (of memory), lifetime (seconds), locked (whether the
 * system keeps the memory from being swapped out), lock_limit (bytes that the process may lock;
 * nil: no limit) } */
static int store_stats(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	const struct session_statistics *statistics = session_store_statistics(store);
	const struct session_store_size size = session_store_size(store);
	lua_newtable(L);
	lua_newtable(L);
	set_integer(L, "unknown", (lua_Integer)statistics->unknown);
	set_integer(L, "expired", (lua_Integer)statistics->expired);
	set_integer(L, "context", (lua_Integer)statistics->other_context);
	set_integer(L, "refused", (lua_Integer)statistics->refused);
	lua_setfield(L, -2, "misses");
	lua_newtable(L);
	set_integer(L, "address", (lua_Integer)statistics->over_share);
	set_integer(L, "state", (lua_Integer)statistics->other_state);
	lua_setfield(L, -2, "not_kept");
	set_integer(L, "hits", (lua_Integer)statistics->hits);
	set_integer(L, "insertions", (lua_Integer)statistics->insertions);
	set_integer(L, "evictions", (lua_Integer)statistics->evictions);
	set_integer(L, "removals", (lua_Integer)statistics->removals);
	set_integer(L, "sessions", (lua_Integer)statistics->sessions);
	set_integer(L, "capacity", (lua_Integer)size.capacity);
	set_integer(L, "bytes", (lua_Integer)size.bytes);
	set_integer(L, "lifetime", (lua_Integer)session_store_lifetime(store));
	set_boolean(L, "locked", size.locked);
	set_lock_limit(L);
	return 1;
}

/* store:flush() wipes all sessions; the counts of events stay. */
static int store_flush(lua_State *L)
{
	session_store_flush(store_check(L, 1));
	return 0;
}

/* store:sweep(most) wipes the sessions that have expired, among so many places for sessions (nil:
 * all); the next call goes on with the next places. To be called from time to time: without it
 * they are wiped only as new ones are inserted. */
static int store_sweep(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	lua_Integer most = luaL_optinteger(L, 2, INT32_MAX);
	luaL_argcheck(L, most >= 1 && most <= INT32_MAX, 2, "no positive integer");
	session_store_sweep(store, (uint32_t)most);
	return 0;
}

/* store:set_lifetime(seconds) counts also for the sessions that are in the store. */
static int store_set_lifetime(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	lua_Integer lifetime = luaL_checkinteger(L, 2);
	luaL_argcheck(L, lifetime >= 1 && lifetime <= LIFETIME_MAX, 2,
		      "no integer from 1 to 604800");
	session_store_set_lifetime(store, (uint32_t)lifetime);
	return 0;
}

/* store:set_share(number): see new. Ends no session. */
static int store_set_share(lua_State *L)
{
	struct session_store *store = store_check(L, 1);
	lua_Integer share = luaL_checkinteger(L, 2);
	luaL_argcheck(L, share >= 1 && share <= SHARE_MAX, 2, "no integer from 1 to 1024");
	session_store_set_share(store, (unsigned int)share);
	return 0;
}

/* The machine's memory in MiB; 0 if the system does not tell. */
static lua_Integer machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	return pages > 0 && size > 0 ? (lua_Integer)((uint64_t)pages * (uint64_t)size >> 20) : 0;
}

void store_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "stats", store_stats },         { "flush", store_flush },
		{ "sweep", store_sweep },         { "set_lifetime", store_set_lifetime },
		{ "set_share", store_set_share }, { NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg functions[] = { { "new", store_new }, { NULL, NULL } };
	register_type(L, STORE_TYPE, methods, none, store_close);
	luaL_newlib(L, functions);
	set_integer(L, "machine_memory", machine_memory());
}
