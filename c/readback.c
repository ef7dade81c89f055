/* The settings of a context, read back from OpenSSL, as a table. */
#include "internal.h"

#include <string.h>

/* The text of a list of names, with colons between them, as a list. */
static void push_names(lua_State *L, const char *text)
{
	lua_newtable(L);
	for (int count = 0; *text != '\0';) {
		size_t length = strcspn(text, ":");
		lua_pushlstring(L, text, length);
		lua_rawseti(L, -2, ++count);
		text += length + (text[length] == ':');
	}
}

static void push_suites(lua_State *L, SSL_CTX *context, bool tls13)
{
	const STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(context);
	lua_newtable(L);
	for (int i = 0, count = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
		if ((SSL_CIPHER_get_kx_nid(suite) == NID_kx_any) != tls13)
			continue;
		lua_pushstring(L, SSL_CIPHER_standard_name(suite));
		lua_rawseti(L, -2, ++count);
	}
}

static void set_versions(lua_State *L, unsigned int versions)
{
	const char *minimum = NULL, *maximum = NULL;
	for (unsigned int i = 0; protocol_versions[i].name != NULL; i++) {
		if ((versions & 1U << i) == 0)
			continue;
		if (minimum == NULL)
			minimum = protocol_versions[i].name;
		maximum = protocol_versions[i].name;
	}
	set_string(L, "minimum_version", minimum);
	set_string(L, "maximum_version", maximum);
}

/* What is read of a snapshot before anything is pushed to Lua, which may raise an error. */
struct reading {
	char groups[GROUPS_MAX * 32];
	unsigned int versions;
};

static bool read(SSL_CTX *context, const struct snapshot *snapshot, struct reading *reading)
{
	if (snapshot->groups.length >= sizeof reading->groups)
		return false;
	strcpy(reading->groups, name_list_text(&snapshot->groups));
	reading->versions = versions_of(context, snapshot);
	return true;
}

/* `kept`: as for readback_push. */
static bool read_now(SSL_CTX *context, const struct snapshot *kept, struct reading *reading)
{
	struct snapshot now;
	if (kept != NULL)
		return read(context, kept, reading);
	if (!snapshot_take(context, &now))
		return false;
	bool done = read(context, &now, reading);
	snapshot_free(&now);
	return done;
}

int readback_push(lua_State *L, SSL_CTX *context, const struct snapshot *kept)
{
	struct reading reading;
	uint64_t options = SSL_CTX_get_options(context);
	int dh_bits = security_dh_bits(context);

	if (!read_now(context, kept, &reading))
		return push_failure(L, "tls", "cannot read the settings of the context");

	lua_newtable(L);
	set_versions(L, reading.versions);
	push_suites(L, context, false);
	lua_setfield(L, -2, "ciphers");
	push_suites(L, context, true);
	lua_setfield(L, -2, "ciphersuites");
	push_names(L, reading.groups);
	lua_setfield(L, -2, "groups");
	if (dh_bits > 0)
		set_integer(L, "dh_bits", dh_bits);
	set_integer(L, "security_level", SSL_CTX_get_security_level(context));
	set_boolean(L, "server_preference", (options & SSL_OP_CIPHER_SERVER_PREFERENCE) != 0);
	set_boolean(L, "no_compression", (options & SSL_OP_NO_COMPRESSION) != 0);
	set_boolean(L, "no_renegotiation", (options & SSL_OP_NO_RENEGOTIATION) != 0);
	set_boolean(L, "no_stateless_tickets", (options & SSL_OP_NO_TICKET) != 0);
	/* The limit for receiving only says how much is skipped. */
	set_boolean(L, "no_early_data", SSL_CTX_get_max_early_data(context) == 0);
	if (security_is_certificates_only(context))
		set_boolean(L, "insecure_strength", true);
	set_integer(L, "tickets", (lua_Integer)SSL_CTX_get_num_tickets(context));
	return 1;
}
