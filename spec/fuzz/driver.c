/* A libFuzzer target whose test is written in Lua. The script that FUZZ names returns a table with
 * `test`, a function of the bytes that raises an error for a fault. The core is linked in and
 * instrumented. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_xmpp_tls_policy_core(lua_State *L);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static lua_State *L;

static void fail(void)
{
	fprintf(stderr, "%s\n", lua_tostring(L, -1));
	abort();
}

static int with_traceback(lua_State *state)
{
	luaL_traceback(state, state, lua_tostring(state, 1), 1);
	return 1;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	const char *script = getenv("FUZZ");
	L = luaL_newstate();
	luaL_openlibs(L);
	luaL_requiref(L, "xmpp_tls_policy.core", luaopen_xmpp_tls_policy_core, 0);
	lua_settop(L, 0);
	lua_pushcfunction(L, with_traceback);
	if (script == NULL || luaL_loadfile(L, script) != LUA_OK || lua_pcall(L, 0, 1, 1) != LUA_OK)
		fail();
	lua_getfield(L, 2, "test");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	lua_settop(L, 3);
	lua_pushvalue(L, 3);
	lua_pushlstring(L, (const char *)bytes, size);
	if (lua_pcall(L, 1, 0, 1) != LUA_OK)
		fail();
	return 0;
}
