/* Our security callback on a context: it refuses ephemeral DH below a number of bits, or
 * every handshake, and leaves all else to the callback that the context had before. */
#include "internal.h"

#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

struct security {
	int (*callback)(const SSL *, const SSL_CTX *, int, int, int, void *, void *);
	void *callback_data;
	EVP_PKEY *dh;
	int dh_bits;
	int dhe_group;       /* NID */
	unsigned int fields; /* of the context's own list, if they are known */
	bool knows_fields;
	bool certificates_only;
	bool disabled;
};

static int security_index = -1;

/* The SSLs of a context have it as their callback's data, and each keeps the SSL_CTX: so it
 * lives as long as the SSL_CTX. */
static void security_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
			  void *argp)
{
	struct security *security = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (security == NULL)
		return;
	EVP_PKEY_free(security->dh);
	free(security);
}

static struct security *security_of(const SSL_CTX *context)
{
	return security_index < 0 ? NULL : SSL_CTX_get_ex_data(context, security_index);
}

/* OpenSSL asks a server in the order of preference for each suite that both ends have, and takes
 * the first that is allowed. Over the limit of DHE a suite with ECDHE takes its place, and never
 * one without forward secrecy, because strangers can bring that about. */
static bool is_suite_over_limit(struct failed_handshake *handshake, const SSL_CIPHER *suite)
{
	int exchange = SSL_CIPHER_get_kx_nid(suite);
	if (exchange == NID_kx_dhe)
		handshake->dhe_limited = !dhe_limit_allows();
	else if (exchange == NID_kx_ecdhe || exchange == NID_kx_any)
		handshake->dhe_limited = false;
	return handshake->dhe_limited;
}

/* In TLS 1.3 finite fields are among the groups; before, the suite tells. */
static bool is_over_limit(const SSL *connection, int operation, const void *other, int group_bits)
{
	bool is_suite = operation == SSL_SECOP_CIPHER_SHARED;
	bool is_field =
	    connection != NULL && group_bits != 0 && SSL_version(connection) >= TLS1_3_VERSION;
	struct handshake *handshake =
	    connection != NULL && (is_suite || is_field) ? handshake_of(connection) : NULL;
	if (handshake == NULL || !handshake->failure.server)
		return false;
	if (is_suite)
		return is_suite_over_limit(&handshake->failure, other);
	handshake->failure.dhe_limited = !dhe_limit_allows();
	return handshake->failure.dhe_limited;
}

/* Whether a handshake may use a finite field: any is for DHE, and TLS 1.3 has those alone that the
 * context lists. A server's version is known before it looks at the client's groups. */
static bool may_use_field(const struct security *security, const SSL *connection, int nid)
{
	if (!security->knows_fields || (security->fields & dh_group_mask(nid)) != 0)
		return true;
	return connection != NULL && SSL_is_server(connection) &&
	       SSL_version(connection) < TLS1_3_VERSION;
}

/* Whether an operation is about what a handshake negotiates, and not about certificates. Ephemeral
 * DH needs a limit of our own. */
static bool is_negotiated(const struct security *security, int operation)
{
	switch (operation) {
	case SSL_SECOP_VERSION:
	case SSL_SECOP_CIPHER_SUPPORTED:
	case SSL_SECOP_CIPHER_SHARED:
	case SSL_SECOP_CIPHER_CHECK:
	case SSL_SECOP_CURVE_SUPPORTED:
	case SSL_SECOP_CURVE_SHARED:
	case SSL_SECOP_CURVE_CHECK:
	case SSL_SECOP_SIGALG_SUPPORTED:
	case SSL_SECOP_SIGALG_SHARED:
	case SSL_SECOP_SIGALG_CHECK:
	case SSL_SECOP_SIGALG_MASK:
		return true;
	default:
		return operation == SSL_SECOP_TMP_DH && security->dh_bits > 0;
	}
}

/* Ephemeral DH is compared by the bits of its prime, at every security level. */
static int security_callback(const SSL *connection, const SSL_CTX *context, int operation, int bits,
			     int nid, void *other, void *data)
{
	const struct security *security = data;
	if (security->disabled || (operation == SSL_SECOP_TMP_DH && other != NULL &&
				   EVP_PKEY_get_bits(other) < security->dh_bits))
		return 0;
	int group_bits = ((unsigned int)operation & SSL_SECOP_OTHER_TYPE) == SSL_SECOP_OTHER_CURVE
			     ? dh_group_bits(nid)
			     : 0;
	if ((group_bits != 0 && group_bits < security->dh_bits) ||
	    (group_bits != 0 && !may_use_field(security, connection, nid)) ||
	    is_over_limit(connection, operation, other, group_bits))
		return 0;
	if (security->certificates_only && is_negotiated(security, operation))
		return 1;
	return security->callback(connection, context, operation, bits, nid, other,
				  security->callback_data);
}

int security_permit(const SSL *connection, const SSL_CTX *context, int operation, int bits, int nid,
		    void *other, void *data)
{
	(void)connection, (void)context, (void)operation, (void)bits, (void)nid, (void)other,
	    (void)data;
	return 1;
}

bool security_begin(SSL_CTX *context)
{
	struct security *security = security_of(context);
	if (security_index < 0)
		security_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, security_free);
	if (security_index < 0)
		return false;
	if (security == NULL) {
		security = calloc(1, sizeof *security);
		if (security == NULL || !SSL_CTX_set_ex_data(context, security_index, security)) {
			free(security);
			return false;
		}
	}
	security->callback = SSL_CTX_get_security_callback(context);
	security->callback_data = SSL_CTX_get0_security_ex_data(context);
	SSL_CTX_set0_security_ex_data(context, security);
	SSL_CTX_set_security_callback(context, security_callback);
	return true;
}

void security_end(SSL_CTX *context)
{
	struct security *security = security_of(context);
	SSL_CTX_set_security_callback(context, security->callback);
	SSL_CTX_set0_security_ex_data(context, security->callback_data);
	security->disabled = false;
	security->certificates_only = false;
	security->dhe_group = NID_undef;
	security->knows_fields = false;
}

void security_disable(SSL_CTX *context)
{
	security_of(context)->disabled = true;
}

void security_set_certificates_only(SSL_CTX *context, bool certificates_only)
{
	security_of(context)->certificates_only = certificates_only;
}

bool security_is_certificates_only(const SSL_CTX *context)
{
	const struct security *security = security_of(context);
	return security != NULL && security->certificates_only;
}

uintptr_t security_plain_callback(const SSL_CTX *context)
{
	const struct security *security = security_of(context);
	bool ours = SSL_CTX_get_security_callback(context) == security_callback;
	if (ours && security->disabled)
		return 0;
	if ((ours ? security->callback_data : SSL_CTX_get0_security_ex_data(context)) != NULL)
		return 0;
	return (uintptr_t)(ours ? security->callback : SSL_CTX_get_security_callback(context));
}

bool security_set_dh(SSL_CTX *context, EVP_PKEY *dh, int least_bits)
{
	struct security *security = security_of(context);
	/* One reference is for us, and one for the context. */
	if (dh != NULL && !EVP_PKEY_up_ref(dh))
		return false;
	if (dh != NULL && !EVP_PKEY_up_ref(dh)) {
		EVP_PKEY_free(dh);
		return false;
	}
	/* OpenSSL asks the security callback even for NULL, and takes NULL for weak. */
	SSL_CTX_set_security_callback(context, security_permit);
	bool done = SSL_CTX_set0_tmp_dh_pkey(context, dh) == 1;
	SSL_CTX_set_security_callback(context, security_callback);
	/* OpenSSL 3.5 leaves an error in its queue for NULL. */
	ERR_clear_error();
	if (!done) {
		EVP_PKEY_free(dh);
		EVP_PKEY_free(dh);
		return false;
	}
	EVP_PKEY_free(security->dh);
	security->dh = dh;
	security->dh_bits = least_bits;
	return true;
}

EVP_PKEY *security_dh(const SSL_CTX *context)
{
	const struct security *security = security_of(context);
	return security == NULL ? NULL : security->dh;
}

int security_dh_bits(const SSL_CTX *context)
{
	const struct security *security = security_of(context);
	return security == NULL ? 0 : security->dh_bits;
}

void security_set_dhe_group(SSL_CTX *context, int nid, unsigned int fields)
{
	struct security *security = security_of(context);
	if (security == NULL)
		return;
	security->dhe_group = nid;
	security->fields = fields;
	security->knows_fields = true;
}

int security_dhe_group(const SSL_CTX *context)
{
	const struct security *security = security_of(context);
	return security == NULL ? NID_undef : security->dhe_group;
}

bool security_is_known(const SSL_CTX *context)
{
	return security_of(context) != NULL;
}
