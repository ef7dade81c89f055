/* A ClientHello that a context could send. It is not sent, but shows settings that OpenSSL has no
 * function to read. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>

/* OpenSSL asks the security callback about each group that it is about to write into a
 * ClientHello, then about each signature scheme, and then about the group whose key share follows.
 * That key would be most of the cost of a ClientHello, so it is refused, and the message ends
 * there: at that point all else is known. */
struct hello {
	int (*callback)(const SSL *, const SSL_CTX *, int, int, int, void *, void *);
	void *callback_data;
	bool complete;                   /* it could be written, but for a key share */
	int count;                       /* of `groups`; -1: more than there is room for */
	unsigned int groups[GROUPS_MAX]; /* IANA's numbers, in order */
	int scheme_count;                /* the same of the signature schemes */
	unsigned int schemes[SCHEMES_MAX];
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

static void add_scheme(struct hello *hello, unsigned int scheme)
{
	if (hello->scheme_count < 0 || hello->scheme_count == SCHEMES_MAX)
		hello->scheme_count = -1;
	else
		hello->schemes[hello->scheme_count++] = scheme;
}

static int hello_callback(const SSL *connection, const SSL_CTX *context, int operation, int bits,
			  int nid, void *other, void *data)
{
	struct hello *hello = data;
	/* The context's own groups are the others. */
	if (operation == SSL_SECOP_CURVE_SUPPORTED && nid != NID_undef &&
	    nid == security_dhe_group(SSL_get_SSL_CTX(connection)))
		return 0;
	int allowed =
	    hello->callback(connection, context, operation, bits, nid, other, hello->callback_data);
	const unsigned char *bytes = other;
	unsigned int number = bytes == NULL ? 0 : (unsigned int)bytes[0] << 8 | bytes[1];
	if (operation == SSL_SECOP_SIGALG_SUPPORTED)
		add_scheme(hello, number);
	if (operation != SSL_SECOP_CURVE_SUPPORTED || !allowed || bytes == NULL)
		return allowed;
	if (hello->scheme_count == 0) {
		add_group(hello, number);
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

/* Whether a new client connection, which may be NULL, could write its ClientHello. Leaves errors in
 * OpenSSL's queue. */
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
	return hello->complete;
}

/* ---- lists -------------------------------------------------------------------- */

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

static bool name_groups(SSL *client, const struct hello *hello, struct name_list *groups)
{
	for (int i = 0; i < hello->count; i++) {
		const char *name =
		    SSL_group_to_name(client, (int)(TLSEXT_nid_unknown | hello->groups[i]));
		if (name == NULL || !name_list_add(groups, "", name))
			return false;
	}
	return hello->count >= 0;
}

static bool name_schemes(const struct hello *hello, struct name_list *schemes)
{
	for (int i = 0; i < hello->scheme_count; i++)
		if (!signature_schemes_add(schemes, hello->schemes[i]))
			return false;
	return hello->scheme_count >= 0;
}

bool unsent_hello_read(SSL_CTX *context, struct name_list *groups, struct name_list *schemes)
{
	/* Without suites or groups for TLS 1.3 it can write none that has TLS 1.3. */
	static const int maximum_versions[] = { 0, TLS1_2_VERSION };
	for (size_t i = 0; i < 2; i++) {
		struct hello hello;
		SSL *client = make_whole_client(context, maximum_versions[i]);
		bool written = write_hello(client, &hello);
		bool read =
		    written && name_groups(client, &hello, groups) && name_schemes(&hello, schemes);
		SSL_free(client);
		ERR_clear_error();
		if (written)
			return read;
	}
	return false;
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

/* Whether memory was short, by OpenSSL's error queue, which is empty afterwards. */
static bool was_short_of_memory(void)
{
	unsigned long error;
	bool was_short = false;
	while ((error = ERR_get_error()) != 0)
		was_short |= ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
	return was_short;
}

enum unsent_hello_answer unsent_hello_with_version(SSL_CTX *context, int version)
{
	struct hello hello;
	long minimum = SSL_CTX_get_min_proto_version(context);
	long maximum = SSL_CTX_get_max_proto_version(context);
	if ((minimum != 0 && version < minimum) || (maximum != 0 && version > maximum) ||
	    (version < TLS1_2_VERSION && !may_sign_as_before_tls12(context)))
		return UNSENT_HELLO_NO;
	SSL *client = SSL_new(context);
	bool asked = client != NULL;
	bool possible = asked && SSL_set_min_proto_version(client, version) == 1 &&
			SSL_set_max_proto_version(client, version) == 1 &&
			write_hello(client, &hello);
	asked &= !was_short_of_memory();
	SSL_free(client);
	return possible ? UNSENT_HELLO_YES : asked ? UNSENT_HELLO_NO : UNSENT_HELLO_UNKNOWN;
}
