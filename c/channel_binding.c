/* Channel bindings of a connection (RFC 5929). */
#include "internal.h"

#include <openssl/err.h>

int channel_binding_push_tls_unique(lua_State *L, SSL *connection)
{
	unsigned char finished[EVP_MAX_MD_SIZE];
	if (!handshake_is_finished(connection))
		return push_failure(L, "handshake", "the handshake is not finished");
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
