/* Applies a table of settings to a context: all of it, or nothing. */
#include "internal.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* The three lists: how OpenSSL calls an entry, and how it takes them. */
static const char *same_name(const char *name)
{
	return name;
}

static int set_ciphers(SSL_CTX *context, const char *list)
{
	return SSL_CTX_set_cipher_list(context, list);
}

static int set_ciphersuites(SSL_CTX *context, const char *list)
{
	return SSL_CTX_set_ciphersuites(context, list);
}

static int set_groups(SSL_CTX *context, const char *list)
{
	return SSL_CTX_set1_groups_list(context, list) == 1;
}

static const struct list {
	const char *field;
	const char *(*openssl_name)(const char *name);
	int (*set)(SSL_CTX *context, const char *list);
} lists[] = {
	{ "ciphers", OPENSSL_cipher_name, set_ciphers },
	{ "ciphersuites", same_name, set_ciphersuites },
	{ "groups", same_name, set_groups },
};
#define LISTS (sizeof lists / sizeof *lists)

static const struct flag {
	const char *field;
	uint64_t set, clear;
} flags[] = {
	{ "server_preference", SSL_OP_CIPHER_SERVER_PREFERENCE, SSL_OP_PRIORITIZE_CHACHA },
	{ "no_compression", SSL_OP_NO_COMPRESSION, 0 },
	{ "no_renegotiation", SSL_OP_NO_RENEGOTIATION,
	  SSL_OP_ALLOW_CLIENT_RENEGOTIATION | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
	      SSL_OP_LEGACY_SERVER_CONNECT },
	{ "no_stateless_tickets", SSL_OP_NO_TICKET, 0 },
	{ "no_early_data", 0, 0 },
};
#define FLAGS (sizeof flags / sizeof *flags)

/* Security bits that each of OpenSSL's security levels asks of a key. */
static const int security_bits[] = { 0, 80, 112, 128, 192, 256 };
#define SECURITY_LEVELS (int)(sizeof security_bits / sizeof *security_bits)

/* A table of settings, read. The strings belong to Lua and lie on its stack. */
struct settings {
	int minimum_version, maximum_version; /* -1: not asked */
	const char *lists[LISTS];
	uint64_t set, clear;
	bool no_stateless_tickets, no_early_data;
	int dh_bits;	    /* -1: not asked */
	int security_level; /* -1: not asked */
};

/* ---- reading the table: misuse raises an error --------------------------- */

static void check_fields(lua_State *L, int index)
{
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
		const char *field = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		bool known = strcmp(field, "minimum_version") == 0 ||
			     strcmp(field, "maximum_version") == 0 ||
			     strcmp(field, "dh_bits") == 0 || strcmp(field, "security_level") == 0;
		for (size_t i = 0; i < LISTS; i++)
			known |= strcmp(field, lists[i].field) == 0;
		for (size_t i = 0; i < FLAGS; i++)
			known |= strcmp(field, flags[i].field) == 0;
		if (!known)
			luaL_error(L, "settings: unknown field '%s'", field);
	}
}

static int read_version(lua_State *L, int index, const char *field)
{
	int number = -1;
	lua_getfield(L, index, field);
	if (!lua_isnil(L, -1)) {
		const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?";
		for (const struct protocol_version *v = protocol_versions; v->name != NULL; v++)
			if (strcmp(v->name, name) == 0)
				number = v->number;
		if (number < 0)
			luaL_error(L, "settings: %s is no protocol version", field);
	}
	lua_pop(L, 1);
	return number;
}

static int read_integer(lua_State *L, int index, const char *field, int least, int most)
{
	int value = -1;
	lua_getfield(L, index, field);
	if (!lua_isnil(L, -1)) {
		lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
		if (!(number >= least && number <= most) || number != (int)number)
			luaL_error(L, "settings: %s is no integer from %d to %d", field, least,
				   most);
		value = (int)number;
	}
	lua_pop(L, 1);
	return value;
}

/* Anything that OpenSSL would read as more than a name is refused. */
static bool is_name(const char *name, size_t length)
{
	return length > 0 && length < 100 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") ==
		   length;
}

/* Whether this OpenSSL knows `name`: tried on a context of no further use. */
static bool is_known(SSL_CTX *scratch, const struct list *list, const char *name)
{
	bool known = list->set(scratch, name) == 1;
	ERR_clear_error();
	/* OpenSSL accepts a TLS 1.3 suite that it does not know, and ignores it. */
	if (known && list->set == set_ciphersuites) {
		const STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(scratch);
		known = sk_SSL_CIPHER_num(suites) > 0 &&
			strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(suites, 0)), name) == 0;
	}
	return known;
}

/* Replaces the list on top of the stack by the string that OpenSSL takes, and
 * adds what is not known here to the table of the dropped below it. */
static void read_names(lua_State *L, const struct list *list, SSL_CTX *scratch, int dropped)
{
	int source = lua_gettop(L), count = (int)lua_rawlen(L, source), unknown = 0;
	luaL_checkstack(L, 10, "settings");
	lua_newtable(L);
	lua_pushliteral(L, "");
	for (int i = 1; i <= count; i++) {
		size_t length = 0;
		lua_rawgeti(L, source, i);
		const char *name =
		    lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : "";
		if (!is_name(name, length) || strlen(name) != length)
			luaL_error(L, "settings: %s[%d] is no name", list->field, i);
		const char *openssl_name = list->openssl_name(name);
		if (openssl_name != NULL && is_known(scratch, list, openssl_name)) {
			lua_pushfstring(L, "%s%s%s", lua_tostring(L, -2),
					lua_rawlen(L, -2) > 0 ? ":" : "", openssl_name);
			lua_replace(L, -3);
			lua_pop(L, 1);
		} else {
			lua_rawseti(L, -3, ++unknown);
		}
	}
	lua_replace(L, source);
	if (unknown > 0)
		lua_setfield(L, dropped, list->field);
	else
		lua_pop(L, 1);
}

/* Leaves the string of each list on the stack. Returns the list of which
 * nothing is left, or NULL. */
static const struct list *read_lists(lua_State *L, int index, struct settings *settings,
				     SSL_CTX *scratch, int dropped)
{
	for (size_t i = 0; i < LISTS; i++) {
		lua_getfield(L, index, lists[i].field);
		if (lua_isnil(L, -1))
			continue;
		if (!lua_istable(L, -1))
			luaL_error(L, "settings: %s is no list", lists[i].field);
		read_names(L, &lists[i], scratch, dropped);
		settings->lists[i] = lua_tostring(L, -1);
		if (*settings->lists[i] == '\0')
			return &lists[i];
	}
	return NULL;
}

static void read_flags(lua_State *L, int index, struct settings *settings)
{
	for (size_t i = 0; i < FLAGS; i++) {
		lua_getfield(L, index, flags[i].field);
		if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
			luaL_error(L, "settings: %s is no boolean", flags[i].field);
		if (lua_toboolean(L, -1)) {
			settings->set |= flags[i].set;
			settings->clear |= flags[i].clear;
			settings->no_stateless_tickets |= flags[i].set == SSL_OP_NO_TICKET;
			settings->no_early_data |= strcmp(flags[i].field, "no_early_data") == 0;
		}
		lua_pop(L, 1);
	}
}

/* ---- applying them -------------------------------------------------------- */

/* The smallest group of RFC 7919 with at least so many bits, or NULL. */
static EVP_PKEY *finite_field_group(int least_bits)
{
	static const struct {
		int bits;
		const char *name;
	} groups[] = {
		{ 2048, "ffdhe2048" }, { 3072, "ffdhe3072" }, { 4096, "ffdhe4096" },
		{ 6144, "ffdhe6144" }, { 8192, "ffdhe8192" },
	};
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		if (groups[i].bits < least_bits)
			continue;
		char name[16];
		strcpy(name, groups[i].name);
		OSSL_PARAM parameters[] = {
			OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
			OSSL_PARAM_construct_end(),
		};
		EVP_PKEY *group = NULL;
		EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
		if (maker != NULL && EVP_PKEY_fromdata_init(maker) == 1)
			(void)EVP_PKEY_fromdata(maker, &group, EVP_PKEY_KEY_PARAMETERS, parameters);
		EVP_PKEY_CTX_free(maker);
		return group;
	}
	return NULL;
}

/* Bits of the DH parameters that the operator gave LuaSec (it keeps a function
 * that returns PEM), 0 where there are none that can be read. */
static int operator_dh_bits(lua_State *L, SSL_CTX *context, int owner)
{
	int bits = 0, top = lua_gettop(L);
	if (owner == 0)
		return 0;
	luaL_getmetatable(L, "SSL:DH:Registry");
	if (lua_istable(L, -1)) {
		lua_pushlightuserdata(L, context);
		lua_rawget(L, -2);
		if (lua_isfunction(L, -1)) {
			lua_pushboolean(L, 0);
			lua_pushinteger(L, 0);
			if (lua_pcall(L, 2, 1, 0) == 0 && lua_type(L, -1) == LUA_TSTRING) {
				BIO *pem =
				    BIO_new_mem_buf(lua_tostring(L, -1), (int)lua_rawlen(L, -1));
				EVP_PKEY *dh = pem ? PEM_read_bio_Parameters(pem, NULL) : NULL;
				bits = dh == NULL ? 0 : EVP_PKEY_get_bits(dh);
				EVP_PKEY_free(dh);
				BIO_free(pem);
				ERR_clear_error();
			}
		}
	}
	lua_settop(L, top);
	return bits;
}

static bool apply_dh(SSL_CTX *context, int least_bits, int operator_bits)
{
	if (operator_bits >= least_bits)
		return adoption_set_dh(context, NULL, least_bits);
	EVP_PKEY *group = finite_field_group(least_bits);
	bool done = group != NULL && adoption_set_dh(context, group, least_bits);
	EVP_PKEY_free(group);
	return done;
}

/* Returns what could not be set, or NULL. */
static const char *apply_all(SSL_CTX *context, const struct settings *settings, int operator_bits)
{
	if (settings->security_level >= 0)
		SSL_CTX_set_security_level(context, settings->security_level);
	if (settings->minimum_version >= 0 &&
	    !SSL_CTX_set_min_proto_version(context, settings->minimum_version))
		return "minimum_version";
	if (settings->maximum_version >= 0 &&
	    !SSL_CTX_set_max_proto_version(context, settings->maximum_version))
		return "maximum_version";
	for (size_t i = 0; i < LISTS; i++)
		if (settings->lists[i] != NULL && !lists[i].set(context, settings->lists[i]))
			return lists[i].field;
	if (settings->dh_bits >= 0 && !apply_dh(context, settings->dh_bits, operator_bits))
		return "dh_bits";
	SSL_CTX_clear_options(context, settings->clear);
	SSL_CTX_set_options(context, settings->set);
	/* Under TLS 1.3 SSL_OP_NO_TICKET means stateful tickets, and without a
	 * session store nobody could resume with one. */
	if (settings->no_stateless_tickets && !SSL_CTX_set_num_tickets(context, 0))
		return "no_stateless_tickets";
	if (settings->no_early_data && (!SSL_CTX_set_max_early_data(context, 0) ||
					!SSL_CTX_set_recv_max_early_data(context, 0)))
		return "no_early_data";
	return NULL;
}

static bool any_version(SSL_CTX *context)
{
	for (const struct protocol_version *version = protocol_versions; version->name; version++)
		if (in_force_version(context, version->number))
			return true;
	return false;
}

/* Whether the context's own key is as strong as its security level asks. */
static bool own_key_suffices(SSL_CTX *context, int *bits)
{
	X509 *certificate = SSL_CTX_get0_certificate(context);
	EVP_PKEY *key = certificate == NULL ? NULL : X509_get0_pubkey(certificate);
	int level = SSL_CTX_get_security_level(context);
	if (key == NULL)
		return true;
	*bits = EVP_PKEY_get_bits(key);
	level = level < SECURITY_LEVELS ? level : SECURITY_LEVELS - 1;
	return EVP_PKEY_get_security_bits(key) >= security_bits[level];
}

static int apply_or_restore(lua_State *L, SSL_CTX *context, const struct settings *settings,
			    int operator_bits)
{
	struct snapshot before;
	int bits = 0, level = 0;
	if (!adoption_begin(context) || !snapshot_take(context, &before))
		return push_failure(L, "tls", "cannot read the settings of the context");
	const char *failed = apply_all(context, settings, operator_bits);
	const char *code = "tls";
	if (failed == NULL && !any_version(context)) {
		failed = "no protocol version is left of the context's and the policy's";
		code = "empty";
	} else if (failed == NULL && !own_key_suffices(context, &bits)) {
		level = SSL_CTX_get_security_level(context);
		failed = "weak";
		code = "weak";
	}
	bool restored = failed == NULL || snapshot_restore(context, &before);
	snapshot_free(&before);
	if (!restored) {
		SSL_CTX_set_options(context, SSL_OP_NO_SSL_MASK);
		return push_failure(L, code, "%s, and the context could not be restored", failed);
	}
	if (failed == NULL)
		return 0;
	if (strcmp(code, "weak") == 0)
		return push_failure(L, code,
				    "the certificate's key of %d bits is too weak for security "
				    "level %d",
				    bits, level);
	if (strcmp(code, "empty") == 0)
		return push_failure(L, code, "%s", failed);
	return push_failure(L, code, "OpenSSL does not accept %s", failed);
}

static int fail_empty(lua_State *L, const struct list *list, int index)
{
	luaL_Buffer asked;
	lua_getfield(L, index, list->field);
	int source = lua_gettop(L), count = (int)lua_rawlen(L, source);
	luaL_buffinit(L, &asked);
	for (int i = 1; i <= count; i++) {
		if (i > 1)
			luaL_addstring(&asked, ", ");
		lua_rawgeti(L, source, i);
		luaL_addvalue(&asked);
	}
	luaL_pushresult(&asked);
	return push_failure(L, "empty", "nothing is left of %s; asked: %s", list->field,
			    count > 0 ? lua_tostring(L, -1) : "nothing");
}

int settings_apply(lua_State *L, SSL_CTX *context, int index, int owner)
{
	struct settings settings = { .minimum_version = -1 };
	luaL_checktype(L, index, LUA_TTABLE);
	check_fields(L, index);
	settings.minimum_version = read_version(L, index, "minimum_version");
	settings.maximum_version = read_version(L, index, "maximum_version");
	settings.dh_bits = read_integer(L, index, "dh_bits", 0, 8192);
	settings.security_level =
	    read_integer(L, index, "security_level", 0, SECURITY_LEVELS - 1);
	read_flags(L, index, &settings);

	lua_newtable(L);
	int dropped = lua_gettop(L);
	/* Lua may raise an error while the lists are read: its own collector has
	 * to free what they are tried on. */
	SSL_CTX *scratch = context_scratch(L);
	if (scratch == NULL)
		return push_failure(L, "tls", "cannot make a context");
	const struct list *empty = read_lists(L, index, &settings, scratch, dropped);
	if (empty != NULL)
		return fail_empty(L, empty, index);
	int operator_bits = operator_dh_bits(L, context, owner);
	int failure = apply_or_restore(L, context, &settings, operator_bits);
	if (failure > 0)
		return failure;
	lua_pushvalue(L, dropped);
	if (operator_bits > 0 && operator_bits < settings.dh_bits)
		set_integer(L, "dh_bits", operator_bits);
	return 1;
}
