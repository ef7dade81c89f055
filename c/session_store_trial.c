/* What only specs do with a store: they put in sessions under IDs of their own. Nobody
 * can resume those: no connection has their session ID context, which is no digest. */
#include "internal.h"

#include <string.h>

#include <openssl/crypto.h>

static const unsigned char *check_id(lua_State *L)
{
	size_t length = 0;
	const char *id = luaL_checklstring(L, 2, &length);
	luaL_argcheck(L, length == SESSION_ID_SIZE, 2, "no session ID of 32 bytes");
	return (const unsigned char *)id;
}

/* store:insert(id) */
static int trial_insert(lua_State *L)
{
	struct session_store *store = session_store_check(L, 1);
	struct session session = { .secret_length = SESSION_SECRET_SIZE };
	memcpy(session.id, check_id(L), sizeof session.id);
	session_store_insert(store, &session);
	return 0;
}

/* store:find(id) -> its age in seconds, or nil and "unknown" or "expired". */
static int trial_find(lua_State *L)
{
	static const char *const results[] = {
		[SESSION_UNKNOWN] = "unknown",
		[SESSION_EXPIRED] = "expired",
		[SESSION_OTHER_CONTEXT] = "context",
	};
	struct session_store *store = session_store_check(L, 1);
	struct session session = { .secret_length = 0 };
	const unsigned char context[SESSION_CONTEXT_SIZE] = { 0 };
	enum session_result result = session_store_find(store, check_id(L), context, &session);
	OPENSSL_cleanse(session.secret, sizeof session.secret);
	if (result == SESSION_FOUND) {
		lua_pushnumber(L, (lua_Number)session.age);
		return 1;
	}
	lua_pushnil(L);
	lua_pushstring(L, results[result]);
	return 2;
}

/* store:remove(id) */
static int trial_remove(lua_State *L)
{
	session_store_remove(session_store_check(L, 1), check_id(L));
	return 0;
}

void session_store_trial_open(lua_State *L)
{
	static const luaL_Reg methods[] = { { "insert", trial_insert },
					    { "find", trial_find },
					    { "remove", trial_remove },
					    { NULL, NULL } };
	luaL_getmetatable(L, STORE_TYPE);
	lua_getfield(L, -1, "__index");
	luaL_setfuncs(L, methods, 0);
	lua_pop(L, 2);
}
