/* The library as Lua loads it. */
#include "internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

/* core.domain_name(name)
 * The form in which domain names are compared: lower case, internationalised labels
 * as A-labels (rfc5890.2.3.2.1.a-label). Or nil if `name` is no domain name. */
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

/* core.alert_name(number) -> the name of the alert with this number, 0 to 255; "alert_" and the
 * number if it has none. */
static int alert_name(lua_State *L)
{
	lua_Integer number = luaL_checkinteger(L, 1);
	luaL_argcheck(L, number >= 0 && number <= 255, 1, "no integer from 0 to 255");
	alert_name_push(L, (int)number);
	return 1;
}

/* core.digest("SHA256"|"SHA512", bytes) -> bytes */
static int digest(lua_State *L)
{
	static const char *const names[] = { "SHA256", "SHA512", NULL };
	bool is_long = luaL_checkoption(L, 1, NULL, names) == 1;
	size_t length = 0;
	unsigned int size = 0;
	const char *bytes = luaL_checklstring(L, 2, &length);
	unsigned char value[EVP_MAX_MD_SIZE];
	if (EVP_Digest(bytes, length, value, &size, is_long ? EVP_sha512() : EVP_sha256(), NULL) !=
	    1)
		return luaL_error(L, "the digest cannot be computed");
	lua_pushlstring(L, (const char *)value, size);
	return 1;
}

/* Returns a table with the modules, alert_name, domain_name, digest, psk_binder, session_sharing,
 * and four facts: `openssl` and `compiled_for` name the OpenSSL that is loaded and the one that we
 * were compiled for; `negotiates_dhe` says whether it negotiates the group of DHE before TLS 1.3
 * (dhe_group.c); `interface` is CORE_INTERFACE. Raises an error where library_check does. */
__attribute__((visibility("default"))) int luaopen_xmpp_tls_policy_core(lua_State *L);

int luaopen_xmpp_tls_policy_core(lua_State *L)
{
	static const struct {
		const char *name;
		void (*open)(lua_State *L);
	} modules[] = {
		{ "context", context_open },
		{ "certificate", certificate_open },
		{ "connection", connection_open },
		{ "observer", observer_open },
		{ "network_contexts", network_tables_open },
		{ "session_store", store_open },
		{ "session_store_trial", session_store_trial_open },
		{ "key_file", key_file_open },
	};
	library_check(L);
	hold_open(L);
	chain_open(L);
	sharing_keys_open(L);
	lua_newtable(L);
	for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
		modules[i].open(L);
		lua_setfield(L, -2, modules[i].name);
	}
	lua_pushcfunction(L, domain_name);
	lua_setfield(L, -2, "domain_name");
	lua_pushcfunction(L, alert_name);
	lua_setfield(L, -2, "alert_name");
	lua_pushcfunction(L, digest);
	lua_setfield(L, -2, "digest");
	lua_pushcfunction(L, psk_binder_push);
	lua_setfield(L, -2, "psk_binder");
	session_sharing_open(L);
	lua_setfield(L, -2, "session_sharing");
	set_boolean(L, "negotiates_dhe", HAVE_NEGOTIATED_DHE);
	set_string(L, "openssl", OpenSSL_version(OPENSSL_VERSION));
	set_string(L, "compiled_for", OPENSSL_VERSION_TEXT);
	set_integer(L, "interface", CORE_INTERFACE);
	return 1;
}
