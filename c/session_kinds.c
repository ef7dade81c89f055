/* Kinds of sessions: all that sessions of one version, suite and group have in common, as a
 * session of OpenSSL's. It is built from named fields, so it has nothing of any client. */
#include "internal.h"

#include <string.h>

#include <openssl/asn1.h>

void session_kinds_free(struct session_kinds *kinds)
{
	for (unsigned int i = 0; i < kinds->count; i++)
		SSL_SESSION_free(kinds->kinds[i].model);
	memset(kinds, 0, sizeof *kinds);
}

/* ---- sessions with more state than the store has ------------------------------ */

static bool has_raw_public_key(const SSL *connection)
{
#if HAVE_RAW_PUBLIC_KEYS
	return SSL_get0_peer_rpk(connection) != NULL;
#else
	(void)connection;
	return false;
#endif
}

/* A resumed session lacks the chain of the client's certificate. */
static bool has_peer(SSL *connection, const SSL_SESSION *session)
{
	return SSL_get0_peer_certificate(connection) != NULL ||
	       sk_X509_num(SSL_get_peer_cert_chain(connection)) > 0 ||
	       has_raw_public_key(connection) ||
	       SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session) != NULL ||
	       SSL_get_verify_result(connection) != X509_V_OK;
}

/* PSK and SRP name the client in the session. */
static bool has_plain_key_exchange(const SSL_CIPHER *cipher)
{
	switch (SSL_CIPHER_get_kx_nid(cipher)) {
	case NID_kx_any:
	case NID_kx_ecdhe:
	case NID_kx_dhe:
	case NID_kx_rsa:
		return true;
	default:
		return false;
	}
}

/* Not in the list: the server name, to which the session ID context is bound, and the protocol
 * of ALPN, which each handshake negotiates anew (rfc7301.3.1.alpn-is-no-part-of-a-session). */
static bool is_plain(SSL *connection, const SSL_SESSION *session)
{
	void *data = NULL;
	size_t length = 0;
	SSL_SESSION *readable = (SSL_SESSION *)(uintptr_t)session;
	const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session);
	return cipher != NULL && has_plain_key_exchange(cipher) && !has_peer(connection, session) &&
	       SSL_get_psk_identity(connection) == NULL &&
	       SSL_get_psk_identity_hint(connection) == NULL &&
	       /* rfc6066.4.max-fragment-length-stays-with-its-session */
	       SSL_SESSION_get_max_fragment_length(session) ==
		   TLSEXT_max_fragment_length_DISABLED &&
	       SSL_SESSION_get_max_early_data(session) == 0 &&
	       SSL_SESSION_get_compress_id(session) == 0 && SSL_SESSION_has_ticket(session) == 0 &&
	       SSL_SESSION_get0_ticket_appdata(readable, &data, &length) == 1 && length == 0;
}

/* ---- OpenSSL's form of a session (SSL_SESSION_ASN1 in its ssl/ssl_asn1.c) -------- */

/* Tags of the optional elements that we use. */
enum { TAG_FLAGS = 13, TAG_GROUP = 19 };

/* Among the flags. The store has no session of an older version without it
 * (rfc7627.5.3.no-resumption-without-ems). */
#define FLAG_EXTENDED_MASTER_SECRET 1

/* Every element is shorter than 128 bytes. */
struct der {
	unsigned char bytes[160];
	size_t length;
};

static void add(struct der *der, unsigned char tag, const void *bytes, size_t length)
{
	der->bytes[der->length++] = tag;
	der->bytes[der->length++] = (unsigned char)length;
	memcpy(der->bytes + der->length, bytes, length);
	der->length += length;
}

static void add_integer(struct der *der, unsigned int value)
{
	/* A leading zero keeps it positive; it stays only where DER wants it. */
	const unsigned char bytes[] = { 0, (unsigned char)(value >> 16),
					(unsigned char)(value >> 8), (unsigned char)value };
	size_t first = 0;
	while (first < 3 && bytes[first] == 0 && bytes[first + 1] < 0x80)
		first++;
	add(der, V_ASN1_INTEGER, bytes + first, sizeof bytes - first);
}

static void add_optional(struct der *der, unsigned char tag, unsigned int value)
{
	struct der inner = { .length = 0 };
	add_integer(&inner, value);
	add(der, V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED | tag, inner.bytes, inner.length);
}

/* Has no state of an extension, with which OpenSSL would answer every client
 * (rfc5246.7.4.1.4.only-offered-extensions). `group`: its number on the wire; 0: none. */
static SSL_SESSION *make_model(int version, unsigned int suite, unsigned int group)
{
	static const unsigned char secret[SESSION_SECRET_SIZE];
	const unsigned char suite_bytes[] = { (unsigned char)(suite >> 8), (unsigned char)suite };
	struct der fields = { .length = 0 }, whole = { .length = 0 };
	add_integer(&fields, 1); /* of the form */
	add_integer(&fields, (unsigned int)version);
	add(&fields, V_ASN1_OCTET_STRING, suite_bytes, sizeof suite_bytes);
	add(&fields, V_ASN1_OCTET_STRING, "", 0); /* the session ID */
	add(&fields, V_ASN1_OCTET_STRING, secret, sizeof secret);
	if (version < TLS1_3_VERSION)
		add_optional(&fields, TAG_FLAGS, FLAG_EXTENDED_MASTER_SECRET);
	if (group != 0)
		add_optional(&fields, TAG_GROUP, group);
	add(&whole, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED, fields.bytes, fields.length);
	const unsigned char *bytes = whole.bytes;
	return d2i_SSL_SESSION(NULL, &bytes, (long)whole.length);
}

/* Finds an optional element of a session, an integer; 0 if it has none. */
static unsigned int find_optional(const unsigned char *bytes, long length, int wanted)
{
	const unsigned char *end = bytes + length;
	int tag, class;
	if ((ASN1_get_object(&bytes, &length, &tag, &class, length) & 0x80) != 0)
		return 0;
	while (bytes < end) {
		if ((ASN1_get_object(&bytes, &length, &tag, &class, end - bytes) & 0x80) != 0)
			return 0;
		if (class == V_ASN1_CONTEXT_SPECIFIC && tag == wanted) {
			ASN1_INTEGER *integer = d2i_ASN1_INTEGER(NULL, &bytes, length);
			long value = integer == NULL ? 0 : ASN1_INTEGER_get(integer);
			ASN1_INTEGER_free(integer);
			return value > 0 && value <= UINT16_MAX ? (unsigned int)value : 0;
		}
		bytes += length;
	}
	return 0;
}

/* OpenSSL has no function that tells the group's number on the wire. Sets it to 0 for a session
 * without a group; false if memory is short. */
static bool find_group(const SSL_SESSION *session, unsigned int *group)
{
	unsigned char *bytes = NULL;
	int length = i2d_SSL_SESSION(session, &bytes);
	if (length <= 0)
		return false;
	*group = find_optional(bytes, length, TAG_GROUP);
	OPENSSL_clear_free(bytes, (size_t)length);
	return true;
}

/* ---- kinds -------------------------------------------------------------------- */

#define GROUP_UNKNOWN                                                                              \
	(-1) /* no connection of this process has told OpenSSL's number of the group */

/* A kind by the numbers on the wire. The caller fills in the rest. */
static struct session_kind *find_kind(struct session_kinds *kinds, int version, unsigned int suite,
				      unsigned int number)
{
	for (unsigned int i = 0; i < kinds->count; i++) {
		struct session_kind *kind = &kinds->kinds[i];
		if (kind->version == version && kind->number == number &&
		    SSL_CIPHER_get_protocol_id(kind->cipher) == suite)
			return kind;
	}
	return NULL;
}

static int add_kind(struct session_kinds *kinds, int version, unsigned int suite,
		    unsigned int number, int group)
{
	SSL_SESSION *model = make_model(version, suite, number);
	if (model == NULL)
		return SESSION_KIND_NONE;
	kinds->kinds[kinds->count] = (struct session_kind){
		.version = version,
		.group = group,
		.number = number,
		.cipher = SSL_SESSION_get0_cipher(model),
		.model = model,
	};
	return (int)kinds->count++;
}

int session_kinds_find(struct session_kinds *kinds, SSL *connection, const SSL_SESSION *session)
{
	if (!is_plain(connection, session))
		return SESSION_KIND_NONE;
	int version = SSL_SESSION_get_protocol_version(session);
	const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session);
	int group = (int)SSL_get_negotiated_group(connection);
	for (unsigned int i = 0; i < kinds->count; i++)
		if (kinds->kinds[i].version == version && kinds->kinds[i].cipher == cipher &&
		    kinds->kinds[i].group == group)
			return (int)i;
	unsigned int number, suite = SSL_CIPHER_get_protocol_id(cipher);
	if (!find_group(session, &number))
		return SESSION_KIND_NONE;
	struct session_kind *shared = find_kind(kinds, version, suite, number);
	if (shared != NULL && shared->group == GROUP_UNKNOWN) {
		shared->group = group;
		return (int)(shared - kinds->kinds);
	}
	if (kinds->count == SESSION_KINDS)
		return SESSION_KIND_NONE;
	return add_kind(kinds, version, suite, number, group);
}

int session_kinds_find_shared(struct session_kinds *kinds, int version, unsigned int suite,
			      unsigned int number)
{
	const struct session_kind *found = find_kind(kinds, version, suite, number);
	if (found != NULL)
		return (int)(found - kinds->kinds);
	/* The others stay for connections of this process. */
	if (kinds->count >= SESSION_KINDS / 2)
		return SESSION_KIND_NONE;
	int made = add_kind(kinds, version, suite, number, GROUP_UNKNOWN);
	if (made == SESSION_KIND_NONE)
		return SESSION_KIND_NONE;
	const SSL_CIPHER *cipher = kinds->kinds[made].cipher;
	bool is_of_tls13 = cipher != NULL && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_any;
	if (cipher != NULL && has_plain_key_exchange(cipher) &&
	    is_of_tls13 == (version == TLS1_3_VERSION))
		return made;
	SSL_SESSION_free(kinds->kinds[--kinds->count].model);
	return SESSION_KIND_NONE;
}
