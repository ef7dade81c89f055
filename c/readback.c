/* Settings read back from a context: OpenSSL is asked, nothing is remembered. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>

const struct protocol_version protocol_versions[] = {
	{ "SSLv3", SSL3_VERSION },     { "TLSv1", TLS1_VERSION },     { "TLSv1.1", TLS1_1_VERSION },
	{ "TLSv1.2", TLS1_2_VERSION }, { "TLSv1.3", TLS1_3_VERSION }, { NULL, 0 },
};

/* ---- a ClientHello that is not sent ---------------------------------------- */

/* OpenSSL asks the security callback about each group that it is about to write into a
 * ClientHello, then about each signature scheme, and then about the group whose key share follows.
 * That key would be most of the cost of a ClientHello, so it is refused, and the message ends
 * there: at that point all else is known. */
struct hello {
	int (*callback)(const SSL *, const SSL_CTX *, int, int, int, void *, void *);
	void *callback_data;
	bool schemes;                    /* whether a signature scheme was asked about */
	bool complete;                   /* it could be written, but for a key share */
	int count;                       /* of `groups`; -1: more than there is room for */
	unsigned int groups[GROUPS_MAX]; /* IANA's numbers, in order */
};

static void ignore(const SSL *connection, int where, int value)
{
	(void)connection, (void)where, (void)value;
}

/* Adds the number of a group. OpenSSL looks at some groups before it writes the list, and the list
 * has each once: so it is the longest end of all that were seen without a repetition. */
static void add_group(struct hello *hello, unsigned int group)
{
	int same = 0;
	while (same < hello->count && hello->groups[same] != group)
		same++;
	if (same < hello->count) {
		hello->count -= same + 1;
		memmove(hello->groups, hello->groups + same + 1,
			(size_t)hello->count * sizeof *hello->groups);
	}
	if (hello->count < 0 || hello->count == GROUPS_MAX)
		hello->count = -1;
	else
		hello->groups[hello->count++] = group;
}

static int hello_callback(const SSL *connection, const SSL_CTX *context, int operation, int bits,
			  int nid, void *other, void *data)
{
	struct hello *hello = data;
	int allowed =
	    hello->callback(connection, context, operation, bits, nid, other, hello->callback_data);
	const unsigned char *group = other;
	if (operation == SSL_SECOP_SIGALG_SUPPORTED)
		hello->schemes = true;
	if (operation != SSL_SECOP_CURVE_SUPPORTED || !allowed || group == NULL)
		return allowed;
	if (!hello->schemes) {
		add_group(hello, (unsigned int)group[0] << 8 | group[1]);
		return allowed;
	}
	hello->complete = true;
	return 0;
}

static void message_callback(int written, int version, int type, const void *bytes, size_t length,
			     SSL *connection, void *data)
{
	struct hello *hello = data;
	(void)version, (void)connection;
	if (written && type == SSL3_RT_HANDSHAKE && length > 0 &&
	    *(const unsigned char *)bytes == SSL3_MT_CLIENT_HELLO)
		hello->complete = true;
}

/* Whether a new client connection, which may be NULL, could write its ClientHello. */
static bool write_hello(SSL *client, struct hello *hello)
{
	*hello = (struct hello){ .complete = false };
	if (client == NULL)
		return false;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_null());
	SSL_set0_rbio(client, in);
	SSL_set0_wbio(client, out);
	if (in == NULL || out == NULL)
		return false;
	hello->callback = SSL_get_security_callback(client);
	hello->callback_data = SSL_get0_security_ex_data(client);
	SSL_set_security_callback(client, hello_callback);
	SSL_set0_security_ex_data(client, hello);
	/* With NULL OpenSSL would call the context's. */
	SSL_set_info_callback(client, ignore);
	SSL_set_msg_callback(client, message_callback);
	SSL_set_msg_callback_arg(client, hello);
	SSL_set_connect_state(client);
	SSL_do_handshake(client);
	ERR_clear_error();
	return hello->complete;
}

/* ---- versions --------------------------------------------------------------- */

/* rfc4346.7.4.3.md5-and-sha1: if the security level forbids such signatures, OpenSSL finds out
 * only after the ClientHello. */
static bool may_sign_as_before_tls12(SSL_CTX *context)
{
	int bits_of_md5_sha1 = 67;
	return SSL_CTX_get_security_callback(context)(NULL, context, SSL_SECOP_SIGALG_SUPPORTED,
						      bits_of_md5_sha1, NID_md5_sha1, NULL,
						      SSL_CTX_get0_security_ex_data(context)) == 1;
}

bool readback_version(SSL_CTX *context, int version)
{
	struct hello hello;
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
	bool possible = write_hello(client, &hello);
	SSL_free(client);
	ERR_clear_error();
	return possible;
}

/* ---- groups ----------------------------------------------------------------- */

/* A client connection that writes all that is configured, also the parts that the limits of
 * versions and the security level leave out of a real ClientHello. */
static SSL *make_whole_client(SSL_CTX *context, int maximum_version)
{
	SSL *client = SSL_new(context);
	if (client == NULL)
		return NULL;
	SSL_set_security_callback(client, security_permit);
	SSL_clear_options(client, SSL_OP_NO_SSL_MASK);
	SSL_set_min_proto_version(client, 0);
	SSL_set_max_proto_version(client, maximum_version);
	return client;
}

static int name_groups(SSL *client, const struct hello *hello, const char **names, int size)
{
	if (hello->count > size)
		return -1;
	for (int i = 0; i < hello->count; i++) {
		names[i] = SSL_group_to_name(client, (int)(TLSEXT_nid_unknown | hello->groups[i]));
		if (names[i] == NULL)
			return -1;
	}
	return hello->count;
}

/* OpenSSL has no function that reads the groups of a context, but it asks about each. */
int readback_groups(SSL_CTX *context, const char **names, int size)
{
	/* Without suites or groups for TLS 1.3 it can write none that has TLS 1.3. */
	static const int maximum_versions[] = { 0, TLS1_2_VERSION };
	for (size_t i = 0; i < 2; i++) {
		struct hello hello;
		SSL *client = make_whole_client(context, maximum_versions[i]);
		bool written = write_hello(client, &hello);
		int count = written ? name_groups(client, &hello, names, size) : -1;
		SSL_free(client);
		ERR_clear_error();
		if (written)
			return count;
	}
	return -1;
}

/* ---- as a table ------------------------------------------------------------- */

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
		if (!readback_version(context, version->number))
			continue;
		if (minimum == NULL)
			minimum = version->name;
		maximum = version->name;
	}
	set_string(L, "minimum_version", minimum);
	set_string(L, "maximum_version", maximum);
}

int readback_push(lua_State *L, SSL_CTX *context)
{
	const char *names[GROUPS_MAX];
	uint64_t options = SSL_CTX_get_options(context);
	int groups = readback_groups(context, names, GROUPS_MAX);
	int dh_bits = security_dh_bits(context);

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
	/* The limit for receiving only says how much is skipped. */
	set_boolean(L, "no_early_data", SSL_CTX_get_max_early_data(context) == 0);
	if (security_is_certificates_only(context))
		set_boolean(L, "insecure_strength", true);
	set_integer(L, "tickets", (lua_Integer)SSL_CTX_get_num_tickets(context));
	return 1;
}
