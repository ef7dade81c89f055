/* Features that differ between versions of Lua and OpenSSL, as 0 or 1. The code tests features;
 * only this file tests versions. */
#ifndef XMPP_TLS_POLICY_COMPAT_H
#define XMPP_TLS_POLICY_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <openssl/opensslv.h>

/* The forks have numbers of OpenSSL's versions too, which tell nothing about their interfaces. */
#if defined(LIBRESSL_VERSION_NUMBER)
#error "xmpp-tls-policy needs OpenSSL 3.0 or newer, and these are the headers of LibreSSL"
#elif defined(OPENSSL_IS_BORINGSSL)
#error "xmpp-tls-policy needs OpenSSL 3.0 or newer, and these are the headers of BoringSSL"
#elif defined(OPENSSL_IS_AWSLC)
#error "xmpp-tls-policy needs OpenSSL 3.0 or newer, and these are the headers of AWS-LC"
#elif OPENSSL_VERSION_NUMBER < 0x30000000L
#error "xmpp-tls-policy needs OpenSSL 3.0 or newer"
#endif
#if LUA_VERSION_NUM < 501 || LUA_VERSION_NUM > 505
#error "xmpp-tls-policy needs Lua 5.1 to 5.5"
#endif

/* OpenSSL: times of sessions beyond 2038 (3.3). */
#define HAVE_SESSION_TIME_EX (OPENSSL_VERSION_NUMBER >= 0x30300000L)

/* OpenSSL: raw public keys of RFC 7250 (3.2). */
#define HAVE_RAW_PUBLIC_KEYS (OPENSSL_VERSION_NUMBER >= 0x30200000L)

/* OpenSSL: answers hellos of SSLv2's form, if it was built so (before 4.0). */
#define HAVE_SSLV2_HELLO (OPENSSL_VERSION_NUMBER < 0x40000000L)

/* OpenSSL: a server negotiates DHE before TLS 1.3 by its group, with clients that list such groups
 * (rfc7919.4.shared-group; 4.0). */
#define HAVE_NEGOTIATED_DHE (OPENSSL_VERSION_NUMBER >= 0x40000000L)

/* Lua: integers are a type of their own (5.3). */
#define HAVE_LUA_INTEGERS (LUA_VERSION_NUM >= 503)
/* Lua: to-be-closed variables, the __close metamethod (5.4). */
#define HAVE_LUA_CLOSE (LUA_VERSION_NUM >= 504)
/* LuaJIT 2.1 is Lua 5.1 with some of 5.2's library. */
#ifdef luaL_newlib
#define HAVE_LUAL_TESTUDATA 1
#else
#define HAVE_LUAL_TESTUDATA (LUA_VERSION_NUM >= 502)
#endif

#if LUA_VERSION_NUM < 502
#define lua_rawlen(L, index)       lua_objlen(L, index)
#define lua_setuservalue(L, index) lua_setfenv(L, index)
#define lua_getuservalue(L, index) lua_getfenv(L, index)
#endif

#if !HAVE_LUAL_TESTUDATA
#define luaL_newlib(L, functions)             (lua_newtable(L), luaL_register(L, NULL, functions))
#define luaL_setfuncs(L, functions, upvalues) luaL_register(L, NULL, functions)

static inline void *luaL_testudata(lua_State *L, int index, const char *name)
{
	void *object = lua_touserdata(L, index);
	if (object == NULL || !lua_getmetatable(L, index))
		return NULL;
	luaL_getmetatable(L, name);
	if (!lua_rawequal(L, -1, -2))
		object = NULL;
	lua_pop(L, 2);
	return object;
}
#endif

#endif
