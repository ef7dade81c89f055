#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

int push_failure(lua_State *L, const char *code, const char *format, ...)
{
	char message[1024];
	va_list arguments;
	unsigned long error = ERR_peek_last_error();
	const char *reason = error == 0 ? NULL : ERR_reason_error_string(error);

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	ERR_clear_error();

	lua_pushnil(L);
	if (reason != NULL)
		lua_pushfstring(L, "%s (%s)", message, reason);
	else
		lua_pushstring(L, message);
	lua_pushstring(L, code);
	return 3;
}

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
	/* Nobody outside may call __gc on what is not of this type. */
	lua_pushliteral(L, "locked");
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

/* core.domain_name(name)
 * The form in which domain names are compared: lower case, internationalised labels
 * as A-labels (RFC 5890 2.3.2.1). Or nil for what is no domain name. */
static int domain_name(lua_State *L)
{
	size_t length = 0;
	char normal[DOMAIN_NAME_SIZE];
	const char *name = luaL_checklstring(L, 1, &length);
	if (domain_name_normalise(name, length, normal))
		lua_pushstring(L, normal);
	else
		lua_pushnil(L);
	return 1;
}

/* The modules, and what we are: `openssl` and `compiled_for`, OpenSSL's names of the version
 * that we run on and of the one that we were compiled for; `interface`, an integer. Raises
 * an error if we cannot work with the former. */
__attribute__((visibility("default"))) int luaopen_xmpp_tls_policy_core(lua_State *L);

int luaopen_xmpp_tls_policy_core(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };
	library_check(L);
	register_type(L, HOLD_TYPE, none, none, hold_close);
	lua_newtable(L);
	context_open(L);
	lua_setfield(L, -2, "context");
	certificate_open(L);
	lua_setfield(L, -2, "certificate");
	connection_open(L);
	lua_setfield(L, -2, "connection");
	observer_open(L);
	lua_setfield(L, -2, "observer");
	session_store_open(L);
	lua_setfield(L, -2, "session_store");
	lua_pushcfunction(L, domain_name);
	lua_setfield(L, -2, "domain_name");
	set_string(L, "openssl", OpenSSL_version(OPENSSL_VERSION));
	set_string(L, "compiled_for", OPENSSL_VERSION_TEXT);
	set_integer(L, "interface", CORE_INTERFACE);
	return 1;
}
