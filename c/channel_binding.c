/* Channel bindings of a connection: RFC 5929, and RFC 9266 for tls-exporter. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

static int push_unique(lua_State *L, SSL *connection)
{
	unsigned char finished[EVP_MAX_MD_SIZE];
	if (SSL_version(connection) >= TLS1_3_VERSION)
		return push_failure(L, "unsupported", "TLS 1.3 has no tls-unique");
	/* rfc5929.3.1.first-finished: the client's comes first, but the server's where a session is
	 * resumed. */
	bool client_is_first = SSL_session_reused(connection) == 0;
	bool own_is_first = client_is_first != (SSL_is_server(connection) != 0);
	size_t length = own_is_first ? SSL_get_finished(connection, finished, sizeof finished)
				     : SSL_get_peer_finished(connection, finished, sizeof finished);
	if (length == 0 || length > sizeof finished)
		return push_failure(L, "missing", "OpenSSL has no Finished message");
	lua_pushlstring(L, (const char *)finished, length);
	return 1;
}

static int push_exporter(lua_State *L, SSL *connection)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	unsigned char value[32];
	/* rfc9266.4.2.exporter-needs-ems */
	if (SSL_version(connection) < TLS1_3_VERSION && SSL_get_extms_support(connection) != 1)
		return push_failure(L, "unsupported",
				    "before TLS 1.3 tls-exporter needs the extended master secret");
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

/* rfc5929.4.1.digest-of-signature */
static const EVP_MD *end_point_digest(X509 *certificate)
{
	int digest = NID_undef;
	if (!X509_get_signature_info(certificate, &digest, NULL, NULL, NULL))
		return NULL;
	return digest == NID_md5 || digest == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(digest);
}

static int push_end_point(lua_State *L, SSL *connection)
{
	X509 *certificate = server_certificate(connection);
	if (certificate == NULL)
		return push_failure(L, "missing", "the server's certificate is not known");
	const EVP_MD *digest = end_point_digest(certificate);
	unsigned char value[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	if (digest == NULL)
		return push_failure(L, "unsupported",
				    "the signature of the certificate has no digest");
	if (X509_digest(certificate, digest, value, &length) != 1)
		return push_failure(L, "tls", "the digest of the certificate cannot be computed");
	lua_pushlstring(L, (const char *)value, length);
	return 1;
}

int channel_binding_push(lua_State *L, SSL *connection)
{
	static const char *const types[] = { "tls-unique", "tls-exporter", "tls-server-end-point",
					     NULL };
	static int (*const push[])(lua_State *, SSL *) = { push_unique, push_exporter,
							   push_end_point };
	int type = luaL_checkoption(L, 2, NULL, types);
	if (!handshake_is_finished(connection))
		return push_failure(L, "handshake", "the handshake is not finished");
	return push[type](L, connection);
}
