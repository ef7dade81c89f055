/* Applies a table of settings to a context: all of it, or nothing. */
#include "internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

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
	int key_shares;     /* -1: not asked */
	int dh_bits;        /* -1: not asked */
	int security_level; /* -1: not asked */
};

/* ---- reading the table: misuse raises an error --------------------------- */

static void check_fields(lua_State *L, int index)
{
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
		const char *field = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		bool known =
		    strcmp(field, "minimum_version") == 0 ||
		    strcmp(field, "maximum_version") == 0 || strcmp(field, "dh_bits") == 0 ||
		    strcmp(field, "security_level") == 0 || strcmp(field, "key_shares") == 0;
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
	raw_getfield(L, index, field);
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
	raw_getfield(L, index, field);
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
	return length > 0 && length < 100 && isalnum((unsigned char)*name) &&
	       strcmp(name, "DEFAULT") != 0 &&
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

/* Pushes the name as OpenSSL takes it in a list: with a mark, from OpenSSL 3.5 on,
 * for a group that a client is to send a key share of. Without any mark it sends one,
 * of the first group. */
static void push_name(lua_State *L, const struct list *list, const char *name, SSL_CTX *scratch,
		      bool key_share)
{
	lua_pushfstring(L, "*%s", name);
	if (!key_share || !is_known(scratch, list, lua_tostring(L, -1))) {
		lua_pop(L, 1);
		lua_pushstring(L, name);
	}
}

/* Replaces the list on top of the stack by the string that OpenSSL takes, and
 * adds what is not known here to the table of the dropped below it. */
static void read_names(lua_State *L, const struct list *list, SSL_CTX *scratch, int dropped,
		       int key_shares)
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
			push_name(L, list, openssl_name, scratch, i - unknown <= key_shares);
			lua_pushfstring(L, "%s%s%s", lua_tostring(L, -3),
					lua_rawlen(L, -3) > 0 ? ":" : "", lua_tostring(L, -1));
			lua_replace(L, -4);
			lua_pop(L, 2);
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
		raw_getfield(L, index, lists[i].field);
		if (lua_isnil(L, -1))
			continue;
		if (!lua_istable(L, -1))
			luaL_error(L, "settings: %s is no list", lists[i].field);
		read_names(L, &lists[i], scratch, dropped,
			   lists[i].set == set_groups ? settings->key_shares : 0);
		settings->lists[i] = lua_tostring(L, -1);
		if (*settings->lists[i] == '\0')
			return &lists[i];
	}
	return NULL;
}

static void read_flags(lua_State *L, int index, struct settings *settings)
{
	for (size_t i = 0; i < FLAGS; i++) {
		raw_getfield(L, index, flags[i].field);
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

/* Why settings were not applied. */
struct refusal {
	const char *code; /* NULL: they were */
	char message[128];
};

static void refuse(struct refusal *refusal, const char *code, const char *field)
{
	refusal->code = code;
	snprintf(refusal->message, sizeof refusal->message, "OpenSSL does not accept %s", field);
}

static void apply_all(SSL_CTX *context, const struct settings *settings, int operator_bits,
		      struct refusal *refusal)
{
	if (settings->security_level >= 0)
		SSL_CTX_set_security_level(context, settings->security_level);
	if (settings->minimum_version >= 0 &&
	    !SSL_CTX_set_min_proto_version(context, settings->minimum_version))
		refuse(refusal, "tls", "minimum_version");
	if (settings->maximum_version >= 0 &&
	    !SSL_CTX_set_max_proto_version(context, settings->maximum_version))
		refuse(refusal, "tls", "maximum_version");
	for (size_t i = 0; i < LISTS; i++)
		if (settings->lists[i] != NULL && !lists[i].set(context, settings->lists[i]))
			refuse(refusal, "tls", lists[i].field);
	if (settings->dh_bits >= 0 && !ephemeral_dh_set(context, settings->dh_bits, operator_bits))
		refuse(refusal, "tls", "dh_bits");
	SSL_CTX_clear_options(context, settings->clear);
	SSL_CTX_set_options(context, settings->set);
	/* Under TLS 1.3 SSL_OP_NO_TICKET means stateful tickets, and without a
	 * session store nobody could resume with one. */
	if (settings->no_stateless_tickets && !resumption_is_enabled(context) &&
	    !SSL_CTX_set_num_tickets(context, 0))
		refuse(refusal, "tls", "no_stateless_tickets");
	if (settings->no_early_data && (!SSL_CTX_set_max_early_data(context, 0) ||
					!SSL_CTX_set_recv_max_early_data(context, 0)))
		refuse(refusal, "tls", "no_early_data");
}

/* Settings that OpenSSL accepts one by one may leave nothing to negotiate. */
static void check_versions(SSL_CTX *context, struct refusal *refusal)
{
	for (const struct protocol_version *version = protocol_versions; version->name; version++)
		if (in_force_version(context, version->number))
			return;
	refusal->code = "empty";
	snprintf(refusal->message, sizeof refusal->message, "no protocol version is left");
}

/* OpenSSL asks these of certificates when it loads them, not when the level
 * rises later; a handshake would fail with them. */
static bool is_strong_enough(X509 *certificate, int least_bits, struct refusal *refusal)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	int level_bits = -1;
	if (key == NULL || EVP_PKEY_get_security_bits(key) < least_bits)
		snprintf(refusal->message, sizeof refusal->message,
			 "the certificate's key of %d bits is too weak for",
			 key == NULL ? 0 : EVP_PKEY_get_bits(key));
	else if ((X509_get_extension_flags(certificate) & EXFLAG_SS) == 0 &&
		 X509_get_signature_info(certificate, NULL, NULL, &level_bits, NULL) == 1 &&
		 level_bits < least_bits)
		snprintf(refusal->message, sizeof refusal->message,
			 "a certificate's signature is too weak for");
	else
		return true;
	refusal->code = "weak";
	return false;
}

static void check_own_certificates(SSL_CTX *context, struct refusal *refusal)
{
	int level = SSL_CTX_get_security_level(context), highest = SECURITY_LEVELS - 1;
	int least_bits = security_bits[level < highest ? level : highest];
	X509 *current = SSL_CTX_get0_certificate(context);
	bool strong = true;
	for (long more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST); strong && more == 1;
	     more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_NEXT)) {
		STACK_OF(X509) *chain = NULL;
		X509 *certificate = SSL_CTX_get0_certificate(context);
		strong = certificate == NULL || is_strong_enough(certificate, least_bits, refusal);
		SSL_CTX_get0_chain_certs(context, &chain);
		for (int i = 0; strong && i < sk_X509_num(chain); i++)
			strong = is_strong_enough(sk_X509_value(chain, i), least_bits, refusal);
	}
	if (current != NULL)
		SSL_CTX_select_current_cert(context, current);
	ERR_clear_error();
	if (!strong) {
		size_t length = strlen(refusal->message);
		snprintf(refusal->message + length, sizeof refusal->message - length,
			 " security level %d", level);
	}
}

/* Returns 0, or what push_failure returns. */
static int apply_or_restore(lua_State *L, SSL_CTX *context, const struct settings *settings,
			    int operator_bits)
{
	struct snapshot before;
	struct refusal refusal = { .code = NULL };
	if (!adoption_begin(context) || !snapshot_take(context, &before))
		return push_failure(L, "tls", "cannot read the settings of the context");
	apply_all(context, settings, operator_bits, &refusal);
	if (refusal.code == NULL)
		check_versions(context, &refusal);
	if (refusal.code == NULL)
		check_own_certificates(context, &refusal);
	bool restored = refusal.code == NULL || snapshot_restore(context, &before);
	snapshot_free(&before);
	if (!restored)
		SSL_CTX_set_options(context, SSL_OP_NO_SSL_MASK);
	if (refusal.code == NULL)
		return 0;
	return push_failure(L, refusal.code, "%s%s", refusal.message,
			    restored ? "" : ", and the context could not be restored");
}

static int fail_empty(lua_State *L, const struct list *list, int index)
{
	luaL_Buffer asked;
	raw_getfield(L, index, list->field);
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

int settings_apply(lua_State *L, SSL_CTX *context, int index, bool luasec)
{
	struct settings settings = { .minimum_version = -1 };
	luaL_checktype(L, index, LUA_TTABLE);
	check_fields(L, index);
	settings.minimum_version = read_version(L, index, "minimum_version");
	settings.maximum_version = read_version(L, index, "maximum_version");
	settings.key_shares = read_integer(L, index, "key_shares", 1, 4); /* OpenSSL's most */
	settings.dh_bits = read_integer(L, index, "dh_bits", 0, 8192);
	settings.security_level = read_integer(L, index, "security_level", 0, SECURITY_LEVELS - 1);
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
	bool ask_operator = luasec && settings.dh_bits >= 0;
	int operator_bits = ask_operator ? ephemeral_dh_operator_bits(L, context) : 0;
	int failure = apply_or_restore(L, context, &settings, operator_bits);
	if (failure > 0)
		return failure;
	lua_pushvalue(L, dropped);
	if (operator_bits > 0 && operator_bits < settings.dh_bits)
		set_integer(L, "dh_bits", operator_bits);
	return 1;
}
