/* Values in Lua: fields of tables, and bytes as text. */
#include "internal.h"

void set_string(lua_State *L, const char *field, const char *value)
{
	if (value == NULL)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, field);
}

void set_lstring(lua_State *L, const char *field, const void *value, size_t length)
{
	lua_pushlstring(L, value, length);
	lua_setfield(L, -2, field);
}

void set_integer(lua_State *L, const char *field, lua_Integer value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, field);
}

void set_boolean(lua_State *L, const char *field, bool value)
{
	lua_pushboolean(L, value);
	lua_setfield(L, -2, field);
}

void raw_getfield(lua_State *L, int index, const char *field)
{
	lua_pushstring(L, field);
	lua_rawget(L, index);
}

void push_hex(lua_State *L, const unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	luaL_Buffer buffer;

	luaL_buffinit(L, &buffer);
	for (size_t i = 0; i < length; i++) {
		luaL_addchar(&buffer, digits[bytes[i] >> 4]);
		luaL_addchar(&buffer, digits[bytes[i] & 15]);
	}
	luaL_pushresult(&buffer);
}
