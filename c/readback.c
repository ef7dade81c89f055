/* Settings read back from a context: OpenSSL is asked, nothing is remembered. */
#include "internal.h"

#include <openssl/err.h>

const struct protocol_version protocol_versions[] = {
	{ "SSLv3", SSL3_VERSION },     { "TLSv1", TLS1_VERSION },     { "TLSv1.1", TLS1_1_VERSION },
	{ "TLSv1.2", TLS1_2_VERSION }, { "TLSv1.3", TLS1_3_VERSION }, { NULL, 0 },
};

/* ---- a ClientHello that is not sent ---------------------------------------- */

static void ignore(const SSL *connection, int where, int value)
{
	(void)connection, (void)where, (void)value;
}

/* A ClientHello that was written; `groups` are the numbers of its supported_groups. */
struct hello {
	bool written;
	int count; /* of `groups`; -1: more than there is room for */
	unsigned int groups[GROUPS_MAX];
};

/* A part of a message that is still to be read. */
struct bytes {
	const unsigned char *next;
	size_t left;
};

static unsigned int take_integer(struct bytes *bytes, size_t size)
{
	unsigned int value = 0;
	for (; size > 0 && bytes->left > 0; size--, bytes->next++, bytes->left--)
		value = value << 8 | *bytes->next;
	return value;
}

/* `length` bytes, or as many as there are. */
static struct bytes take(struct bytes *bytes, size_t length)
{
	struct bytes taken = { bytes->next, length < bytes->left ? length : bytes->left };
	bytes->next += taken.left;
	bytes->left -= taken.left;
	return taken;
}

static void read_groups(struct hello *hello, struct bytes list)
{
	list = take(&list, take_integer(&list, 2));
	while (list.left >= 2 && hello->count >= 0) {
		unsigned int group = take_integer(&list, 2);
		if (hello->count == GROUPS_MAX)
			hello->count = -1;
		else
			hello->groups[hello->count++] = group;
	}
}

/* rfc8446.4.1.2.client-hello; OpenSSL made the message. */
static void read_hello(struct hello *hello, struct bytes message)
{
	take(&message, 2 + 32); /* legacy_version, random */
	take(&message, take_integer(&message, 1));
	take(&message, take_integer(&message, 2));
	take(&message, take_integer(&message, 1));
	struct bytes extensions = take(&message, take_integer(&message, 2));
	while (extensions.left > 0) {
		unsigned int type = take_integer(&extensions, 2);
		struct bytes content = take(&extensions, take_integer(&extensions, 2));
		if (type == TLSEXT_TYPE_supported_groups)
			read_groups(hello, content);
	}
}

static void message_callback(int written, int version, int type, const void *bytes, size_t length,
			     SSL *connection, void *data)
{
	struct hello *hello = data;
	struct bytes message = { bytes, length };
	(void)version, (void)connection;
	if (!written || type != SSL3_RT_HANDSHAKE || hello->written ||
	    take_integer(&message, 1) != SSL3_MT_CLIENT_HELLO)
		return;
	hello->written = true;
	read_hello(hello, take(&message, take_integer(&message, 3)));
}

/* Whether a new client connection, which may be NULL, could write its ClientHello. */
static bool write_hello(SSL *client, struct hello *hello)
{
	*hello = (struct hello){ .written = false };
	if (client == NULL)
		return false;
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_null());
	SSL_set0_rbio(client, in);
	SSL_set0_wbio(client, out);
	if (in == NULL || out == NULL)
		return false;
	/* With NULL OpenSSL would call the context's. */
	SSL_set_info_callback(client, ignore);
	SSL_set_msg_callback(client, message_callback);
	SSL_set_msg_callback_arg(client, hello);
	SSL_set_connect_state(client);
	SSL_do_handshake(client);
	ERR_clear_error();
	return hello->written;
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

/* OpenSSL has no function that reads the groups of a context, but writes them into a
 * ClientHello. */
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
	set_boolean(L, "no_early_data",
		    SSL_CTX_get_max_early_data(context) == 0 &&
			SSL_CTX_get_recv_max_early_data(context) == 0);
	set_integer(L, "tickets", (lua_Integer)SSL_CTX_get_num_tickets(context));
	return 1;
}
