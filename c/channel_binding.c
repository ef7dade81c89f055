/* Channel bindings of a connection: RFC 5929, and RFC 9266 for tls-exporter. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

/* Each type has a function that says why a connection has no value of it, for little, and one that
 * computes the value, which is called only where the first has no reason. */
struct reason {
	const char *code, *message;
};

static const struct reason no_reason = { NULL, NULL };

/* Copies the first Finished message of the handshake; returns its length, 0 if there is none.
 * rfc5929.3.1.first-finished: the client's comes first, but the server's where a session is
 * resumed. */
static size_t first_finished(SSL *connection, unsigned char finished[EVP_MAX_MD_SIZE])
{
	bool client_is_first = SSL_session_reused(connection) == 0;
	bool own_is_first = client_is_first != (SSL_is_server(connection) != 0);
	size_t length = own_is_first ? SSL_get_finished(connection, finished, EVP_MAX_MD_SIZE)
				     : SSL_get_peer_finished(connection, finished, EVP_MAX_MD_SIZE);
	return length > EVP_MAX_MD_SIZE ? 0 : length;
}

static struct reason lacks_unique(SSL *connection)
{
	unsigned char finished[EVP_MAX_MD_SIZE];
	if (SSL_version(connection) >= TLS1_3_VERSION)
		return (struct reason){ "unsupported", "TLS 1.3 has no tls-unique" };
	if (first_finished(connection, finished) == 0)
		return (struct reason){ "missing", "OpenSSL has no Finished message" };
	return no_reason;
}

static int push_unique(lua_State *L, SSL *connection)
{
	unsigned char finished[EVP_MAX_MD_SIZE];
	size_t length = first_finished(connection, finished);
	lua_pushlstring(L, (const char *)finished, length);
	return 1;
}

static struct reason lacks_exporter(SSL *connection)
{
	/* rfc9266.2.needs-extended-master-secret */
	if (SSL_version(connection) < TLS1_3_VERSION && SSL_get_extms_support(connection) != 1)
		return (struct reason){
			"unsupported",
			"before TLS 1.3 tls-exporter needs the extended master secret"
		};
	return no_reason;
}

static int push_exporter(lua_State *L, SSL *connection)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char value[32];
	/* rfc9266.2.exporter-value: the context is there, and has no bytes. */
	if (SSL_export_keying_material(connection, value, sizeof value, label, sizeof label - 1,
				       (const unsigned char *)"", 0, 1) != 1)
		return push_failure(L, "tls", "OpenSSL exports no keying material");
	lua_pushlstring(L, (const char *)value, sizeof value);
	OPENSSL_cleanse(value, sizeof value);
	return 1;
}

static bool has_one_certificate(SSL_CTX *context)
{
	X509 *chosen = SSL_CTX_get0_certificate(context);
	int count = 0;
	for (long more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST); more == 1;
	     more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_NEXT))
		count += SSL_CTX_get0_certificate(context) != NULL;
	if (chosen != NULL)
		SSL_CTX_select_current_cert(context, chosen);
	return count == 1;
}

/* The server's certificate, or NULL. A resumed handshake shows none: then it is that of the
 * session, which a server knows only if it has no other. */
static X509 *server_certificate(SSL *connection)
{
	if (!SSL_is_server(connection))
		return SSL_get0_peer_certificate(connection);
	if (SSL_session_reused(connection) && !has_one_certificate(SSL_get_SSL_CTX(connection)))
		return NULL;
	return SSL_get_certificate(connection);
}

/* A digest that OpenSSL can compute, to be freed, or NULL. rfc5929.4.1.digest-of-signature */
static EVP_MD *end_point_digest(X509 *certificate)
{
	int digest = NID_undef;
	if (!X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) || digest == NID_undef)
		return NULL;
	if (digest == NID_md5 || digest == NID_sha1)
		digest = NID_sha256;
	const char *name = OBJ_nid2sn(digest);
	return name == NULL ? NULL : EVP_MD_fetch(NULL, name, NULL);
}

static struct reason lacks_end_point(SSL *connection)
{
	X509 *certificate = server_certificate(connection);
	if (certificate == NULL)
		return (struct reason){ "missing", "the server's certificate is not known" };
	EVP_MD *digest = end_point_digest(certificate);
	if (digest == NULL)
		return (struct reason){ "unsupported",
					"the signature of the certificate has no digest" };
	EVP_MD_free(digest);
	return no_reason;
}

static int push_end_point(lua_State *L, SSL *connection)
{
	X509 *certificate = server_certificate(connection);
	EVP_MD *digest = end_point_digest(certificate);
	unsigned char value[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	int is_computed = digest != NULL && X509_digest(certificate, digest, value, &length) == 1;
	EVP_MD_free(digest);
	if (!is_computed)
		return push_failure(L, "tls", "the digest of the certificate cannot be computed");
	lua_pushlstring(L, (const char *)value, length);
	return 1;
}

static const struct {
	struct reason (*lacks)(SSL *);
	int (*push)(lua_State *, SSL *);
} bindings[] = {
	{ lacks_unique, push_unique },
	{ lacks_exporter, push_exporter },
	{ lacks_end_point, push_end_point },
};

/* The index of the second argument in `bindings`. */
static int check_type(lua_State *L)
{
	static const char *const types[] = { "tls-unique", "tls-exporter", "tls-server-end-point",
					     NULL };
	return luaL_checkoption(L, 2, NULL, types);
}

static struct reason lacks(SSL *connection, int type)
{
	if (!handshake_is_finished(connection))
		return (struct reason){ "handshake", "the handshake is not finished" };
	return bindings[type].lacks(connection);
}

int channel_binding_push(lua_State *L, SSL *connection)
{
	int type = check_type(L);
	struct reason reason = lacks(connection, type);
	if (reason.code != NULL)
		return push_failure(L, reason.code, "%s", reason.message);
	return bindings[type].push(L, connection);
}

int channel_binding_push_has(lua_State *L, SSL *connection)
{
	struct reason reason = lacks(connection, check_type(L));
	if (reason.code != NULL)
		return push_failure(L, reason.code, "%s", reason.message);
	lua_pushboolean(L, 1);
	return 1;
}
