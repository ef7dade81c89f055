/* What a context does, asked of OpenSSL rather than remembered. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>

const struct protocol_version protocol_versions[] = {
	{ "SSLv3", SSL3_VERSION },     { "TLSv1", TLS1_VERSION },     { "TLSv1.1", TLS1_1_VERSION },
	{ "TLSv1.2", TLS1_2_VERSION }, { "TLSv1.3", TLS1_3_VERSION }, { NULL, 0 },
};

static void ignore(const SSL *connection, int where, int value)
{
	(void)connection, (void)where, (void)value;
}

/* A client connection over memory that has written its ClientHello, or NULL if
 * it cannot write one. */
static SSL *say_hello(SSL *client)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (client == NULL || in == NULL || out == NULL) {
		BIO_free(in);
		BIO_free(out);
		SSL_free(client);
		return NULL;
	}
	SSL_set_bio(client, in, out);
	/* Not NULL, which means the context's. */
	SSL_set_info_callback(client, ignore);
	SSL_set_connect_state(client);
	SSL_do_handshake(client);
	/* What it cannot say it may report in an alert. */
	char *record = NULL;
	if (BIO_get_mem_data(out, &record) > 0 && *record == SSL3_RT_HANDSHAKE)
		return client;
	SSL_free(client);
	return NULL;
}

/* Before TLS 1.2 every handshake is signed with SHA-1, by RSA with MD5 as well,
 * and OpenSSL finds out late that the security level forbids it. */
static bool may_sign_as_before_tls12(SSL_CTX *context)
{
	int bits_of_md5_sha1 = 67;
	return SSL_CTX_get_security_callback(context)(NULL, context, SSL_SECOP_SIGALG_SUPPORTED,
						      bits_of_md5_sha1, NID_md5_sha1, NULL,
						      SSL_CTX_get0_security_ex_data(context)) == 1;
}

bool in_force_version(SSL_CTX *context, int version)
{
	long minimum = SSL_CTX_get_min_proto_version(context);
	long maximum = SSL_CTX_get_max_proto_version(context);
	if ((minimum != 0 && version < minimum) || (maximum != 0 && version > maximum) ||
	    (version < TLS1_2_VERSION && !may_sign_as_before_tls12(context)))
		return false;
	SSL *client = SSL_new(context);
	if (client != NULL && (SSL_set_min_proto_version(client, version) != 1 ||
			       SSL_set_max_proto_version(client, version) != 1)) {
		SSL_free(client);
		client = NULL;
	}
	client = client == NULL ? NULL : say_hello(client);
	bool possible = client != NULL;
	SSL_free(client);
	ERR_clear_error();
	return possible;
}

/* All that is configured, whatever versions and level make of it now. */
static SSL *say_all(SSL_CTX *context, int maximum_version)
{
	SSL *client = SSL_new(context);
	if (client == NULL)
		return NULL;
	SSL_set_security_callback(client, security_permit);
	SSL_clear_options(client, SSL_OP_NO_SSL_MASK);
	SSL_set_min_proto_version(client, 0);
	SSL_set_max_proto_version(client, maximum_version);
	return say_hello(client);
}

/* Somebody who understands everything. */
static SSL *make_listener(SSL *client)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *listener = context == NULL ? NULL : SSL_new(context);
	BIO *out = BIO_new(BIO_s_mem());
	SSL_CTX_free(context);
	if (listener == NULL || out == NULL) {
		BIO_free(out);
		SSL_free(listener);
		return NULL;
	}
	SSL_set_security_callback(listener, security_permit);
	SSL_set_min_proto_version(listener, 0);
	SSL_set_max_proto_version(listener, 0);
	SSL_set_accept_state(listener);
	SSL_set0_wbio(listener, out);
	BIO_up_ref(SSL_get_wbio(client));
	SSL_set0_rbio(listener, SSL_get_wbio(client));
	return listener;
}

/* OpenSSL tells the groups of a context to nobody but the peer, so a peer is
 * what we give it. */
int in_force_groups(SSL_CTX *context, const char **names, int size)
{
	int groups[GROUPS_MAX], count = -1;
	SSL *client = say_all(context, 0);
	/* Without suites or groups for TLS 1.3 nothing can be said that has it. */
	if (client == NULL)
		client = say_all(context, TLS1_2_VERSION);
	SSL *listener = client == NULL ? NULL : make_listener(client);
	if (listener == NULL)
		goto done;
	SSL_do_handshake(listener);
	count = (int)SSL_get1_groups(listener, NULL);
	if (count > GROUPS_MAX || count > size) {
		count = -1;
		goto done;
	}
	SSL_get1_groups(listener, groups);
	for (int i = 0; i < count; i++) {
		names[i] = SSL_group_to_name(client, groups[i]);
		if (names[i] == NULL) {
			count = -1;
			goto done;
		}
	}
done:
	SSL_free(client);
	SSL_free(listener);
	ERR_clear_error();
	return count;
}

static void push_groups(lua_State *L, const char **names, int count)
{
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		lua_pushstring(L, names[i]);
		lua_rawseti(L, -2, i + 1);
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

static void set_versions(lua_State *L, SSL_CTX *context)
{
	const char *minimum = NULL, *maximum = NULL;
	for (const struct protocol_version *version = protocol_versions; version->name; version++) {
		if (!in_force_version(context, version->number))
			continue;
		if (minimum == NULL)
			minimum = version->name;
		maximum = version->name;
	}
	set_string(L, "minimum_version", minimum);
	set_string(L, "maximum_version", maximum);
}

int in_force_push(lua_State *L, SSL_CTX *context)
{
	const char *names[GROUPS_MAX];
	uint64_t options = SSL_CTX_get_options(context);
	int groups = in_force_groups(context, names, GROUPS_MAX);
	int dh_bits = adoption_dh_bits(context);

	if (groups < 0)
		return push_failure(L, "tls", "cannot read the settings of the context");

	lua_newtable(L);
	set_versions(L, context);
	push_suites(L, context, false);
	lua_setfield(L, -2, "ciphers");
	push_suites(L, context, true);
	lua_setfield(L, -2, "ciphersuites");
	push_groups(L, names, groups);
	lua_setfield(L, -2, "groups");
	if (dh_bits > 0)
		set_integer(L, "dh_bits", dh_bits);
	set_integer(L, "security_level", SSL_CTX_get_security_level(context));
	set_boolean(L, "server_preference", (options & SSL_OP_CIPHER_SERVER_PREFERENCE) != 0);
	set_boolean(L, "no_compression", (options & SSL_OP_NO_COMPRESSION) != 0);
	set_boolean(L, "no_renegotiation", (options & SSL_OP_NO_RENEGOTIATION) != 0);
	set_boolean(L, "no_stateless_tickets", (options & SSL_OP_NO_TICKET) != 0);
	set_boolean(L, "no_early_data",
		    SSL_CTX_get_max_early_data(context) == 0 &&
			SSL_CTX_get_recv_max_early_data(context) == 0);
	set_integer(L, "tickets", (lua_Integer)SSL_CTX_get_num_tickets(context));
	return 1;
}
