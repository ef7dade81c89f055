/* Types of userdata, and the one that owns references while a method runs. */
#include "internal.h"

#include <string.h>

void register_type(lua_State *L, const char *type, const luaL_Reg *methods,
		   const luaL_Reg *metamethods, lua_CFunction close)
{
	luaL_newmetatable(L, type);
	luaL_setfuncs(L, metamethods, 0);
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "__gc");
#if HAVE_LUA_CLOSE
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "__close");
#endif
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_pushcfunction(L, close);
	lua_setfield(L, -2, "close");
	lua_setfield(L, -2, "__index");
	/* Lua code must not call __gc on an object of another type. */
	lua_pushliteral(L, "locked");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

struct hold *hold_push(lua_State *L, SSL_CTX *context, SSL *connection)
{
	struct hold *hold = lua_newuserdata(L, sizeof *hold);
	memset(hold, 0, sizeof *hold);
	luaL_getmetatable(L, HOLD_TYPE);
	lua_setmetatable(L, -2);
	if ((context != NULL && SSL_CTX_up_ref(context) != 1) ||
	    (connection != NULL && SSL_up_ref(connection) != 1))
		luaL_error(L, "cannot take a reference");
	hold->context = context;
	hold->connection = connection;
	return hold;
}

void hold_release(struct hold *hold)
{
	SSL_CTX_free(hold->context);
	SSL_free(hold->connection);
	memset(hold, 0, sizeof *hold);
}

static int hold_close(lua_State *L)
{
	hold_release(luaL_checkudata(L, 1, HOLD_TYPE));
	return 0;
}

void hold_open(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };
	register_type(L, HOLD_TYPE, none, none, hold_close);
}
