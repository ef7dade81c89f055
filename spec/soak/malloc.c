/* Figures of glibc's malloc for this process, as a Lua module for the server under test. */
#include <lauxlib.h>
#include <lua.h>
#include <malloc.h>

/* trim() returns free memory to the system (malloc_trim(3)). */
static int trim(lua_State *L)
{
	malloc_trim(0);
	(void)L;
	return 0;
}

/* in_use() -> bytes that were allocated and not freed (mallinfo(3)). */
static int in_use(lua_State *L)
{
	struct mallinfo2 info = mallinfo2();
	lua_pushnumber(L, (lua_Number)info.uordblks + (lua_Number)info.hblkhd);
	return 1;
}

__attribute__((visibility("default"))) int luaopen_malloc(lua_State *L);

int luaopen_malloc(lua_State *L)
{
	lua_newtable(L);
	lua_pushcfunction(L, trim);
	lua_setfield(L, -2, "trim");
	lua_pushcfunction(L, in_use);
	lua_setfield(L, -2, "in_use");
	return 1;
}
