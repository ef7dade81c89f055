/* Objects of LuaSec's. Only this file relies on how LuaSec keeps them (0.9 to 1.3.2). */
#include "internal.h"

/* The beginning of LuaSec's userdata. */
struct luasec_context {
	SSL_CTX *context;
	lua_State *L;
};

SSL_CTX **luasec_check_context(lua_State *L, int index)
{
	if (lua_istable(L, index)) {
		lua_getfield(L, index, "_inner");
		lua_replace(L, index);
	}
	SSL_CTX **luasec = luaL_testudata(L, index, "SSL:Context");
	if (luasec == NULL)
		luaL_argerror(L, index, "LuaSec context expected");
	return luasec;
}

static int push_other_openssl(lua_State *L, const char *ours, const char *other)
{
	return push_failure(L, "unsupported",
			    "LuaSec uses another OpenSSL than the core: %s instead of %s", other,
			    ours);
}

int luasec_verify_context(lua_State *L, int index, SSL_CTX **luasec)
{
	const char *ours = NULL, *other = NULL;
	if (lua_rawlen(L, index) < sizeof(struct luasec_context))
		return push_failure(L, "unsupported", "this LuaSec keeps its contexts otherwise");
	if (*luasec == NULL)
		return push_failure(L, "closed", "the LuaSec context is closed");
	if (!library_has_made(*luasec, &ours, &other))
		return push_other_openssl(L, ours, other);
	/* LuaSec leaves the address of its userdata in the SSL_CTX. This proves that userdata
	 * and SSL_CTX are of the types that we take them for. */
	if (SSL_CTX_get_app_data(*luasec) != (void *)luasec)
		return push_failure(L, "unsupported", "this LuaSec keeps its contexts otherwise");
	return 0;
}

void luasec_lend_state(const SSL_CTX *from, const SSL_CTX *to)
{
	const struct luasec_context *lender = SSL_CTX_get_app_data(from);
	struct luasec_context *borrower = SSL_CTX_get_app_data(to);
	if (lender != NULL && borrower != NULL)
		borrower->L = lender->L;
}

lua_Integer luasec_check_descriptor(lua_State *L, int index)
{
	if (luaL_testudata(L, index, "SSL:Connection") == NULL)
		return luaL_argerror(L, index, "LuaSec connection expected");
	lua_getfield(L, index, "getfd");
	lua_pushvalue(L, index);
	lua_call(L, 1, 1);
	lua_Integer descriptor = lua_tointeger(L, -1);
	lua_pop(L, 1);
	return descriptor;
}

/* LuaSec keeps the connections that choose their context by SNI, as SSL, in a table until
 * they are freed, each with { map = contexts by name }. */
bool luasec_is_negotiating(lua_State *L, const SSL_CTX *context)
{
	int top = lua_gettop(L);
	bool negotiating = false;
	luaL_getmetatable(L, "SSL:SNI:Registry");
	if (!lua_istable(L, -1))
		lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
		if (!lua_islightuserdata(L, -2) || !lua_istable(L, -1))
			continue;
		raw_getfield(L, lua_gettop(L), "map");
		const SSL *connection = lua_istable(L, -1) ? lua_touserdata(L, -3) : NULL;
		lua_pop(L, 1);
		if (connection != NULL && SSL_get_SSL_CTX(connection) == context &&
		    !SSL_is_init_finished(connection))
			negotiating = true;
	}
	lua_settop(L, top);
	return negotiating;
}

/* LuaSec keeps a function for a context's DH parameters, which returns them as PEM. */
int luasec_dh_bits(lua_State *L, SSL_CTX *context)
{
	int bits = 0, top = lua_gettop(L);
	luaL_getmetatable(L, "SSL:DH:Registry");
	if (lua_istable(L, -1)) {
		lua_pushlightuserdata(L, context);
		lua_rawget(L, -2);
		/* LuaSec calls it with two arguments: export-grade, and bits. */
		lua_pushboolean(L, 0);
		lua_pushinteger(L, 0);
		if (lua_isfunction(L, -3) && lua_pcall(L, 2, 1, 0) == 0 &&
		    lua_type(L, -1) == LUA_TSTRING)
			bits = dh_pem_bits(lua_tostring(L, -1), lua_rawlen(L, -1));
	}
	lua_settop(L, top);
	return bits;
}
