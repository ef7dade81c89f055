/* The settings of a context, read back from OpenSSL, as a table. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
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
	char schemes[SCHEMES_MAX * 40];
	unsigned int versions;
};

static bool read(SSL_CTX *context, const struct snapshot *snapshot, struct reading *reading)
{
	if (snapshot->groups.length >= sizeof reading->groups ||
	    snapshot->schemes.length >= sizeof reading->schemes)
		return false;
	strcpy(reading->groups, name_list_text(&snapshot->groups));
	strcpy(reading->schemes, name_list_text(&snapshot->schemes));
	reading->versions = versions_of(context, snapshot);
	return true;
}

static void push_table(lua_State *L, SSL_CTX *context, const struct reading *reading,
		       int own_dh_bits)
{
	uint64_t options = SSL_CTX_get_options(context);
	int dh_bits = security_dh_bits(context);

	lua_newtable(L);
	set_versions(L, reading->versions);
	push_suites(L, context, false);
	lua_setfield(L, -2, "ciphers");
	push_suites(L, context, true);
	lua_setfield(L, -2, "ciphersuites");
	push_names(L, reading->groups);
	lua_setfield(L, -2, "groups");
	push_names(L, reading->schemes);
	lua_setfield(L, -2, "signature_schemes");
	if (dh_bits > 0)
		set_integer(L, "dh_bits", dh_bits);
	set_integer(L, "security_level", SSL_CTX_get_security_level(context));
	set_boolean(L, "server_preference", (options & SSL_OP_CIPHER_SERVER_PREFERENCE) != 0);
	if ((options & SSL_OP_PRIORITIZE_CHACHA) != 0)
		set_boolean(L, "chacha20_preference", true);
	set_boolean(L, "no_compression", (options & SSL_OP_NO_COMPRESSION) != 0);
	set_boolean(L, "no_renegotiation", (options & SSL_OP_NO_RENEGOTIATION) != 0);
	set_boolean(L, "no_stateless_tickets", (options & SSL_OP_NO_TICKET) != 0);
	/* The limit for receiving only says how much is skipped. */
	set_boolean(L, "no_early_data", SSL_CTX_get_max_early_data(context) == 0);
	if (security_is_certificates_only(context))
		set_boolean(L, "insecure_strength", true);
	set_integer(L, "tickets", (lua_Integer)SSL_CTX_get_num_tickets(context));
	if (own_dh_bits > 0)
		set_integer(L, "own_dh_bits", own_dh_bits);
}

static int push_read_failure(lua_State *L)
{
	return push_failure(L, "tls", "cannot read the settings of the context");
}

int readback_push(lua_State *L, SSL_CTX *context, int own_dh_bits)
{
	struct snapshot now;
	struct reading reading;
	if (!snapshot_take(context, &now))
		return push_read_failure(L);
	bool done = read(context, &now, &reading);
	snapshot_free(&now);
	if (!done)
		return push_read_failure(L);
	push_table(L, context, &reading, own_dh_bits);
	return 1;
}

/* ---- contexts that are alike --------------------------------------------------- */

/* A digest of all that push_table makes a table of. False if memory is short. */
static bool digest(const struct snapshot *snapshot, unsigned int versions, int own_dh_bits,
		   unsigned char bytes[SESSION_ID_CONTEXT_SIZE])
{
	const struct name_list *lists[] = { &snapshot->ciphers, &snapshot->ciphersuites,
					    &snapshot->groups, &snapshot->schemes };
	struct name_list text = { .text = NULL };
	char numbers[160];
	snprintf(numbers, sizeof numbers, "%u %d %d %d %d %zu %d %" PRIx64, versions, own_dh_bits,
		 snapshot->dh_bits, snapshot->security_level, snapshot->max_early_data == 0,
		 snapshot->tickets, snapshot->certificates_only, snapshot->options);
	bool done = name_list_add(&text, "", numbers);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		done = done && name_list_add(&text, " ", name_list_text(lists[i]));
	done = done && session_id_context_digest(text.text, text.length, bytes);
	name_list_free(&text);
	return done;
}

int readback_push_known(lua_State *L, SSL_CTX *context, const struct snapshot *kept,
			int own_dh_bits, int known)
{
	unsigned char bytes[SESSION_ID_CONTEXT_SIZE];
	struct reading reading;
	if (!read(context, kept, &reading) || !digest(kept, reading.versions, own_dh_bits, bytes))
		return push_read_failure(L);
	lua_pushlstring(L, (const char *)bytes, sizeof bytes);
	lua_pushvalue(L, -1);
	lua_rawget(L, known);
	if (lua_istable(L, -1))
		return 1;
	lua_pop(L, 1);
	push_table(L, context, &reading, own_dh_bits);
	lua_pushvalue(L, -1);
	lua_insert(L, -3);
	lua_rawset(L, known);
	return 1;
}
