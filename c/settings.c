/* Applies a table of settings to a context: all of it, or nothing. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

enum { CIPHERS, CIPHERSUITES, GROUPS, SCHEMES, LISTS };

static const char *const list_fields[LISTS] = { "ciphers", "ciphersuites", "groups",
						"signature_schemes" };

static const struct flag {
	const char *field;
	uint64_t set, clear;
} flags[] = {
	{ "server_preference", SSL_OP_CIPHER_SERVER_PREFERENCE, SSL_OP_PRIORITIZE_CHACHA },
	{ "client_preference", 0, SSL_OP_CIPHER_SERVER_PREFERENCE },
	{ "chacha20_preference", SSL_OP_PRIORITIZE_CHACHA, 0 },
	{ "no_compression", SSL_OP_NO_COMPRESSION, 0 },
	{ "no_renegotiation", SSL_OP_NO_RENEGOTIATION,
	  SSL_OP_ALLOW_CLIENT_RENEGOTIATION | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
	      SSL_OP_LEGACY_SERVER_CONNECT },
	{ "no_stateless_tickets", SSL_OP_NO_TICKET, 0 },
	{ "no_early_data", 0, 0 },
	{ "insecure_versions", 0, SSL_OP_NO_SSL_MASK },
	{ "insecure_strength", 0, 0 },
	{ "insecure_legacy_servers", SSL_OP_LEGACY_SERVER_CONNECT, 0 },
};
#define SKIPPED_EARLY_DATA SSL3_RT_MAX_PLAIN_LENGTH /* bytes; OpenSSL's default */
#define FLAGS              (sizeof flags / sizeof *flags)

struct settings {
	int minimum_version, maximum_version; /* -1: not asked */
	struct setting_list lists[LISTS];
	uint64_t set, clear;
	bool no_stateless_tickets, no_early_data, insecure_strength;
	int key_shares;                           /* -1: not asked */
	int dh_bits;                              /* -1: not asked */
	int security_level;                       /* -1: not asked */
	struct name_list groups_set, schemes_set; /* as they were set; empty: they were not */
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
			known |= strcmp(field, list_fields[i]) == 0;
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
			settings->insecure_strength |=
			    strcmp(flags[i].field, "insecure_strength") == 0;
		}
		lua_pop(L, 1);
	}
}

static void read_settings(lua_State *L, int index, struct settings *settings)
{
	luaL_checktype(L, index, LUA_TTABLE);
	check_fields(L, index);
	settings->minimum_version = read_version(L, index, "minimum_version");
	settings->maximum_version = read_version(L, index, "maximum_version");
	settings->key_shares = read_integer(L, index, "key_shares", 1, 4); /* OpenSSL's most */
	settings->dh_bits = read_integer(L, index, "dh_bits", 0, 8192);
	settings->security_level = read_integer(L, index, "security_level", 0, SECURITY_LEVEL_MAX);
	read_flags(L, index, settings);
	for (size_t i = 0; i < LISTS; i++)
		setting_list_read(L, index, list_fields[i], &settings->lists[i]);
}

/* ---- applying them -------------------------------------------------------- */

/* Why settings were not applied. */
struct refusal {
	const char *code;                /* NULL: they were */
	const struct setting_list *list; /* nothing is left of it; else NULL */
	bool stuck;                      /* and the context could not be restored */
	char message[128];
};

static void refuse(struct refusal *refusal, const char *code, const char *field)
{
	refusal->code = code;
	snprintf(refusal->message, sizeof refusal->message, "OpenSSL does not accept %s", field);
}

static bool set_list(SSL_CTX *context, struct settings *settings, size_t which)
{
	struct setting_list *names = &settings->lists[which];
	switch (which) {
	case GROUPS:
		return setting_list_set_groups(context, names, settings->key_shares,
					       &settings->groups_set);
	case SCHEMES:
		return setting_list_set_schemes(context, names, &settings->schemes_set);
	default:
		return setting_list_set_suites(context, names, which == CIPHERSUITES);
	}
}

/* Which names are known is asked of the context itself and anew each time: that depends on
 * the providers that were loaded when the context was made. */
static void apply_lists(SSL_CTX *context, struct settings *settings, struct refusal *refusal)
{
	for (size_t i = 0; i < LISTS && refusal->code == NULL; i++) {
		struct setting_list *names = &settings->lists[i];
		if (!names->asked)
			continue;
		bool done = set_list(context, settings, i);
		ERR_clear_error();
		if (setting_list_is_empty(names)) {
			refusal->code = "empty";
			refusal->list = names;
		} else if (!done) {
			refuse(refusal, "tls", list_fields[i]);
		}
	}
}

/* From now on, ephemeral DH has at least so many bits: with the operator's parameters where
 * they suffice, else with the smallest named group that does (rfc7919.A.groups). */
static bool set_dh(SSL_CTX *context, int least_bits, int operator_bits)
{
	if (operator_bits >= least_bits)
		return security_set_dh(context, NULL, least_bits);
	EVP_PKEY *group = dh_group_find(least_bits);
	return group != NULL && security_set_dh(context, group, least_bits);
}

/* The least bits that the settings ask of the group for DHE; the parameters for clients that do not
 * negotiate it have no more. -1: DHE has no parameters. `before`: the context as it was. */
static int least_dhe_bits(const struct settings *settings, int operator_bits,
			  const struct snapshot *before)
{
	if (settings->dh_bits < 0)
		return before->dhe_group == NID_undef ? -1 : dh_group_bits(before->dhe_group);
	return operator_bits > settings->dh_bits ? operator_bits : settings->dh_bits;
}

static bool set_dhe_group(SSL_CTX *context, const struct settings *settings, int operator_bits,
			  const struct snapshot *before)
{
	bool asked = settings->groups_set.length > 0;
	const char *groups = name_list_text(asked ? &settings->groups_set : &before->groups);
	int nid = dhe_group_lacking(groups, least_dhe_bits(settings, operator_bits, before));
	return (nid == NID_undef && !asked) || dhe_group_set(context, groups, nid);
}

static void apply_all(SSL_CTX *context, struct settings *settings, int operator_bits,
		      const struct snapshot *before, struct refusal *refusal)
{
	if (settings->security_level >= 0)
		SSL_CTX_set_security_level(context, settings->security_level);
	security_set_certificates_only(context, settings->insecure_strength);
	if (settings->minimum_version >= 0 &&
	    !SSL_CTX_set_min_proto_version(context, settings->minimum_version))
		refuse(refusal, "tls", "minimum_version");
	if (settings->maximum_version >= 0 &&
	    !SSL_CTX_set_max_proto_version(context, settings->maximum_version))
		refuse(refusal, "tls", "maximum_version");
	apply_lists(context, settings, refusal);
	if (settings->dh_bits >= 0 && !set_dh(context, settings->dh_bits, operator_bits))
		refuse(refusal, "tls", "dh_bits");
	if (refusal->code == NULL && !set_dhe_group(context, settings, operator_bits, before))
		refuse(refusal, "tls", "groups");
	SSL_CTX_clear_options(context, settings->clear);
	SSL_CTX_set_options(context, settings->set);
	/* resume.session-id: under TLS 1.3 SSL_OP_NO_TICKET means stateful tickets. Without a
	 * session store no client could resume with one. */
	if (settings->no_stateless_tickets && !resumption_is_enabled(context) &&
	    !SSL_CTX_set_num_tickets(context, 0))
		refuse(refusal, "tls", "no_stateless_tickets");
	/* rfc8446.E.5.no-early-data. OpenSSL skips as much as it would receive
	 * (rfc8446.4.2.10.rejected-early-data-is-skipped). */
	if (settings->no_early_data &&
	    (!SSL_CTX_set_max_early_data(context, 0) ||
	     !SSL_CTX_set_recv_max_early_data(context, SKIPPED_EARLY_DATA)))
		refuse(refusal, "tls", "no_early_data");
}

/* Settings that OpenSSL accepts one by one may together leave nothing to negotiate. `before`: the
 * context before they were applied. */
static void check_versions(SSL_CTX *context, const struct snapshot *before,
			   const struct settings *settings, struct refusal *refusal)
{
	struct snapshot now;
	if (!snapshot_take_changed(context, &now, before, &settings->groups_set,
				   &settings->schemes_set)) {
		refuse(refusal, "tls", "the settings together");
		return;
	}
	if (versions_of(context, &now) == 0) {
		refusal->code = "empty";
		snprintf(refusal->message, sizeof refusal->message, "no protocol version is left");
	}
	snapshot_free(&now);
}

static void apply_or_restore(SSL_CTX *context, struct settings *settings, int operator_bits,
			     struct refusal *refusal)
{
	struct snapshot now = { .options = 0 };
	const struct snapshot *before = original_keep(context);
	/* If not, both are the same. */
	if (before != NULL && original_is_changed(context))
		before = snapshot_take(context, &now) ? &now : NULL;
	if (before == NULL) {
		refusal->code = "tls";
		snprintf(refusal->message, sizeof refusal->message,
			 "cannot read the settings of the context");
		return;
	}
	bool sets_schemes = settings->lists[SCHEMES].asked;
	original_note_change(context, sets_schemes);
	apply_all(context, settings, operator_bits, before, refusal);
	if (refusal->code == NULL)
		check_versions(context, before, settings, refusal);
	/* OpenSSL checks certificates when it loads them, but not when the level rises later: the
	 * handshakes would fail. */
	if (refusal->code == NULL &&
	    !own_certificates_are_strong(context, refusal->message, sizeof refusal->message))
		refusal->code = "weak";
	refusal->stuck = refusal->code != NULL && !snapshot_restore(context, before, sets_schemes);
	if (refusal->stuck)
		SSL_CTX_set_options(context, SSL_OP_NO_SSL_MASK);
	snapshot_free(&now);
}

/* Pushes the refusal as push_failure does. */
static int push_refusal(lua_State *L, const struct settings *settings,
			const struct refusal *refusal)
{
	const char *suffix = refusal->stuck ? ", and the context could not be restored" : "";
	const struct setting_list *names = refusal->list;
	if (names == NULL)
		return push_failure(L, refusal->code, "%s%s", refusal->message, suffix);
	luaL_Buffer asked;
	luaL_buffinit(L, &asked);
	for (int i = 0; i < names->count; i++) {
		luaL_addstring(&asked, i > 0 ? ", " : "");
		luaL_addstring(&asked, names->names[i].text);
	}
	luaL_pushresult(&asked);
	return push_failure(L, refusal->code, "nothing is left of %s; asked: %s%s",
			    list_fields[names - settings->lists],
			    names->count > 0 ? lua_tostring(L, -1) : "nothing", suffix);
}

/* Pushes the names that the context does not know, as lists by field. */
static void push_dropped(lua_State *L, const struct settings *settings)
{
	lua_newtable(L);
	for (size_t i = 0; i < LISTS; i++) {
		const struct setting_list *names = &settings->lists[i];
		int count = 0;
		for (int n = 0; n < names->count; n++) {
			if (names->names[n].known)
				continue;
			if (count == 0)
				lua_newtable(L);
			lua_pushstring(L, names->names[n].text);
			lua_rawseti(L, -2, ++count);
		}
		if (count > 0)
			lua_setfield(L, -2, list_fields[i]);
	}
}

int settings_apply(lua_State *L, SSL_CTX *context, int index, bool luasec)
{
	struct settings settings = { .minimum_version = -1 };
	struct refusal refusal = { .code = NULL };
	read_settings(L, index, &settings);
	int operator_bits = luasec && settings.dh_bits >= 0 ? luasec_dh_bits(L, context) : 0;
	apply_or_restore(context, &settings, operator_bits, &refusal);
	name_list_free(&settings.groups_set);
	name_list_free(&settings.schemes_set);
	if (refusal.code != NULL)
		return push_refusal(L, &settings, &refusal);
	push_dropped(L, &settings);
	if (operator_bits > 0 && operator_bits < settings.dh_bits)
		set_integer(L, "dh_bits", operator_bits);
	return 1;
}
