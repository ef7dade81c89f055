/* Connection: a TLS endpoint over memory, without a socket. The caller takes the bytes to send
 * from it, and feeds it the bytes received. */
#include "internal.h"

#include <limits.h>
#include <string.h>

#include <openssl/err.h>

struct connection {
	SSL *connection; /* NULL when closed */
};

/* The most that may wait to be read. */
#define INPUT_MAX (1 << 20)

static SSL *check(lua_State *L, int index)
{
	struct connection *object = luaL_checkudata(L, index, CONNECTION_TYPE);
	if (object->connection == NULL)
		luaL_argerror(L, index, "connection is closed");
	ERR_clear_error();
	return object->connection;
}

static int connection_close(lua_State *L)
{
	struct connection *object = luaL_checkudata(L, 1, CONNECTION_TYPE);
	SSL_free(object->connection);
	object->connection = NULL;
	return 0;
}

static void check_options(lua_State *L)
{
	for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		if (strcmp(name, "role") != 0 && strcmp(name, "server_name") != 0 &&
		    strcmp(name, "session") != 0 && strcmp(name, "alpn") != 0)
			luaL_error(L, "connection.new: unknown option '%s'", name);
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "connection.new: %s is no string", name);
	}
}

static bool is_server(lua_State *L)
{
	char role = context_role(L, 1);
	raw_getfield(L, 2, "role");
	const char *asked = lua_tostring(L, -1);
	if (asked == NULL && role == 0)
		luaL_argerror(L, 2, "an adopted context needs a role, 'server' or 'client'");
	if (asked != NULL && strcmp(asked, "server") != 0 && strcmp(asked, "client") != 0)
		luaL_argerror(L, 2, "role is neither 'server' nor 'client'");
	lua_pop(L, 1);
	return (asked != NULL ? *asked : role) == 's';
}

static int set_name(lua_State *L, SSL *connection)
{
	raw_getfield(L, 2, "server_name");
	const char *name = lua_tostring(L, -1);
	if (name != NULL && SSL_set_tlsext_host_name(connection, name) != 1)
		return push_failure(L, "tls", "cannot send the server name '%s'", name);
	lua_pop(L, 1);
	return 0;
}

/* Offers one protocol (rfc7301.3.1.protocol-list). */
static int set_alpn(lua_State *L, SSL *connection)
{
	unsigned char list[1 + UINT8_MAX];
	size_t length = 0;
	raw_getfield(L, 2, "alpn");
	const char *name = lua_tolstring(L, -1, &length);
	if (name != NULL) {
		if (length == 0 || length > UINT8_MAX)
			return luaL_error(L, "connection.new: alpn has 1 to 255 bytes");
		list[0] = (unsigned char)length;
		memcpy(list + 1, name, length);
		if (SSL_set_alpn_protos(connection, list, (unsigned int)length + 1) != 0)
			return push_failure(L, "tls", "cannot offer the protocol");
	}
	lua_pop(L, 1);
	return 0;
}

/* Offers a session of insecure_session's for resumption. */
static int set_session(lua_State *L, SSL *connection)
{
	size_t length = 0;
	raw_getfield(L, 2, "session");
	const char *bytes = lua_tolstring(L, -1, &length);
	const unsigned char *position = (const unsigned char *)bytes;
	if (bytes == NULL) {
		lua_pop(L, 1);
		return 0;
	}
	SSL_SESSION *session =
	    length > LONG_MAX ? NULL : d2i_SSL_SESSION(NULL, &position, (long)length);
	bool set = session != NULL && SSL_set_session(connection, session) == 1;
	SSL_SESSION_free(session);
	lua_pop(L, 1);
	return set ? 0 : push_failure(L, "parse", "the session cannot be resumed");
}

/* connection.new(context, { role = "server"|"client", server_name = string,
 * session = bytes, alpn = string })
 * `server_name`, `session` and `alpn` (the name of one protocol) are a client's offer. The role is
 * the context's. For an adopted context, which has none, the option is needed. Returns a
 * Connection, or nil, message, code ("tls", "parse"). */
static int connection_new(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_newtable(L);
		lua_replace(L, 2);
	}
	luaL_checktype(L, 2, LUA_TTABLE);
	check_options(L);
	bool server = is_server(L);
	struct hold *hold = hold_push(L, context, NULL);

	struct connection *object = lua_newuserdata(L, sizeof *object);
	object->connection = NULL;
	luaL_getmetatable(L, CONNECTION_TYPE);
	lua_setmetatable(L, -2);
	/* The callbacks of an adopted context use LuaSec's userdata, which the Context keeps. */
	lua_createtable(L, 1, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	lua_setuservalue(L, -2);

	object->connection = SSL_new(hold->context);
	hold_release(hold);
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	if (object->connection == NULL || in == NULL || out == NULL) {
		BIO_free(in);
		BIO_free(out);
		return push_failure(L, "tls", "cannot make a connection");
	}
	SSL_set_bio(object->connection, in, out);
	if (server)
		SSL_set_accept_state(object->connection);
	else
		SSL_set_connect_state(object->connection);
	int failure = set_name(L, object->connection);
	if (failure == 0)
		failure = set_alpn(L, object->connection);
	if (failure == 0)
		failure = set_session(L, object->connection);
	return failure > 0 ? failure : 1;
}

/* The number of the peer's alert (rfc8446.6.alert-numbers) that is OpenSSL's last error, or -1. A
 * refused renegotiation has an error of its own. */
static int alert_received(void)
{
	unsigned long error = ERR_peek_last_error();
	int alert = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;
	if (ERR_GET_LIB(error) != ERR_LIB_SSL)
		return -1;
	if (ERR_GET_REASON(error) == SSL_R_NO_RENEGOTIATION)
		return SSL_AD_NO_RENEGOTIATION;
	return alert >= 0 && alert <= UINT8_MAX ? alert : -1;
}

/* Pushes nil, message, code for the result of SSL_do_handshake, SSL_read or SSL_write; and the
 * number of the alert, if the peer sent one. */
static int push_error(lua_State *L, SSL *connection, int result, const char *doing)
{
	int alert = alert_received();
	switch (SSL_get_error(connection, result)) {
	case SSL_ERROR_WANT_READ:
		return push_failure(L, "wantread", "wantread");
	case SSL_ERROR_ZERO_RETURN:
		return push_failure(L, "closed", "the peer closed the connection");
	default:
		push_failure(L, "tls", "%s failed", doing);
		if (alert < 0)
			return 3;
		lua_pushinteger(L, alert);
		return 4;
	}
}

/* connection:handshake() -> true, or nil, message, code: "wantread" (feed it more), "tls"; after
 * "tls" the number of the peer's alert, if it sent one. Also after a failure, an alert of ours may
 * wait to be taken. */
static int connection_handshake(lua_State *L)
{
	SSL *connection = check(L, 1);
	int result = SSL_is_server(connection) ? SSL_accept(connection) : SSL_connect(connection);
	if (result != 1)
		return push_error(L, connection, result, "the handshake");
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:feed(bytes) -> true, or nil, message, code ("full"). */
static int connection_feed(lua_State *L)
{
	SSL *connection = check(L, 1);
	size_t length = 0;
	const char *bytes = luaL_checklstring(L, 2, &length);
	BIO *in = SSL_get_rbio(connection);
	if (length > INPUT_MAX || BIO_ctrl_pending(in) + length > INPUT_MAX)
		return push_failure(L, "full", "more than %d bytes wait to be read", INPUT_MAX);
	if (length > 0 && BIO_write(in, bytes, (int)length) != (int)length)
		return push_failure(L, "tls", "cannot take the bytes");
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:take() -> the bytes that wait to be sent, "" if there are none. */
static int connection_take(lua_State *L)
{
	char *bytes = NULL;
	struct hold *hold = hold_push(L, NULL, check(L, 1));
	BIO *out = SSL_get_wbio(hold->connection);
	long length = BIO_get_mem_data(out, &bytes);
	lua_pushlstring(L, bytes != NULL ? bytes : "", length > 0 ? (size_t)length : 0);
	(void)BIO_reset(out);
	hold_release(hold);
	return 1;
}

/* connection:read() -> bytes, or nil, message, code: "wantread", "closed",
 * "tls"; with the number of an alert as handshake has it. */
static int connection_read(lua_State *L)
{
	SSL *connection = check(L, 1);
	char bytes[SSL3_RT_MAX_PLAIN_LENGTH];
	int length = SSL_read(connection, bytes, sizeof bytes);
	if (length <= 0)
		return push_error(L, connection, length, "reading");
	lua_pushlstring(L, bytes, (size_t)length);
	OPENSSL_cleanse(bytes, (size_t)length);
	return 1;
}

/* connection:write(bytes) -> true, or nil, message, code ("tls", "wantread"). */
static int connection_write(lua_State *L)
{
	SSL *connection = check(L, 1);
	size_t length = 0, written = 0;
	const char *bytes = luaL_checklstring(L, 2, &length);
	int result = length == 0 ? 1 : SSL_write_ex(connection, bytes, length, &written);
	if (result != 1)
		return push_error(L, connection, result, "writing");
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:shutdown() writes close_notify, which the caller takes. */
static int connection_shutdown(lua_State *L)
{
	SSL *connection = check(L, 1);
	if (SSL_shutdown(connection) < 0)
		return push_failure(L, "tls", "the connection cannot be shut down");
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:insecure_session() -> a client's session in OpenSSL's serialised form, for the
 * option `session`. It holds the secret, which Lua cannot wipe. In TLS 1.3 the server's ticket
 * has to be read first. Or nil, message, code
 * ("handshake", "tls"). */
static int connection_insecure_session(lua_State *L)
{
	struct hold *hold = hold_push(L, NULL, check(L, 1));
	SSL_SESSION *session = SSL_get0_session(hold->connection);
	if (session == NULL || SSL_SESSION_is_resumable(session) != 1)
		return push_failure(L, "handshake", "there is no session that can be resumed");
	int length = i2d_SSL_SESSION(session, NULL);
	unsigned char *bytes = length > 0 ? lua_newuserdata(L, (size_t)length) : NULL, *end = bytes;
	if (bytes == NULL || i2d_SSL_SESSION(session, &end) != length)
		return push_failure(L, "tls", "the session cannot be serialised");
	lua_pushlstring(L, (const char *)bytes, (size_t)length);
	OPENSSL_cleanse(bytes, (size_t)length);
	hold_release(hold);
	return 1;
}

/* connection:renegotiate() begins another handshake on a client's connection of TLS 1.2 or older;
 * handshake goes on with it. Returns true, or nil, message, code ("tls"). */
static int connection_renegotiate(lua_State *L)
{
	SSL *connection = check(L, 1);
	if (SSL_is_server(connection) || SSL_renegotiate(connection) != 1)
		return push_failure(L, "tls", "the connection cannot renegotiate");
	lua_pushboolean(L, 1);
	return 1;
}

/* connection:ticket() -> what a client got for a resumption: { length = bytes of the ticket,
 * lifetime = seconds, as the server says, early_data = bytes allowed }, and of a session of TLS 1.2
 * or older id_length, bytes of the ID that the server gave it. The numbers are 0 for what the
 * server did not give. Or nil, message, code ("handshake"). */
static int connection_ticket(lua_State *L)
{
	struct hold *hold = hold_push(L, NULL, check(L, 1));
	const SSL_SESSION *session = SSL_get0_session(hold->connection);
	const unsigned char *ticket = NULL;
	size_t length = 0;
	unsigned int id_length = 0;
	if (session == NULL)
		return push_failure(L, "handshake", "there is no session");
	SSL_SESSION_get0_ticket(session, &ticket, &length);
	SSL_SESSION_get_id(session, &id_length);
	lua_createtable(L, 0, 4);
	set_integer(L, "length", (lua_Integer)length);
	set_integer(L, "lifetime", (lua_Integer)SSL_SESSION_get_ticket_lifetime_hint(session));
	set_integer(L, "early_data", (lua_Integer)SSL_SESSION_get_max_early_data(session));
	/* OpenSSL gives a session with a ticket an ID of its own. */
	if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION)
		set_integer(L, "id_length", length > 0 ? 0 : (lua_Integer)id_length);
	hold_release(hold);
	return 1;
}

/* connection:peer_chain() -> list of the Certificates that the server sent, in its order. It is
 * empty for a resumed session. Or nil, message, code ("handshake"). */
static int connection_peer_chain(lua_State *L)
{
	struct hold *hold = hold_push(L, NULL, check(L, 1));
	if (SSL_is_server(hold->connection) || !handshake_is_finished(hold->connection))
		return push_failure(L, "handshake", "no handshake of a client is finished");
	const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(hold->connection);
	int count = chain == NULL ? 0 : sk_X509_num(chain);
	lua_createtable(L, count, 0);
	for (int i = 0; i < count; i++) {
		certificate_push(L, sk_X509_value(chain, i));
		lua_rawseti(L, -2, i + 1);
	}
	hold_release(hold);
	return 1;
}

/* Pushes what `push` says of the connection that is the first argument. */
static int push_held(lua_State *L, int (*push)(lua_State *, SSL *))
{
	struct hold *hold = hold_push(L, NULL, check(L, 1));
	int results = push(L, hold->connection);
	hold_release(hold);
	return results;
}

/* connection:facts() -> as observer.facts of a LuaSec connection. */
static int connection_facts(lua_State *L)
{
	return push_held(L, facts_push);
}

/* connection:offer() -> as observer.offer of a LuaSec connection. */
static int connection_offer(lua_State *L)
{
	return push_held(L, handshake_push_offer);
}

/* connection:take_shape() -> as observer.take_shape of a LuaSec connection. */
static int connection_take_shape(lua_State *L)
{
	return push_held(L, handshake_take_shape);
}

/* connection:label() -> as observer.label of a LuaSec connection. */
static int connection_label(lua_State *L)
{
	return push_held(L, handshake_push_label);
}

/* connection:channel_binding(type), :has_channel_binding(type) -> as the observer's functions. */
static int connection_channel_binding(lua_State *L)
{
	return push_held(L, channel_binding_push);
}
static int connection_has_channel_binding(lua_State *L)
{
	return push_held(L, channel_binding_push_has);
}

static int connection_tostring(lua_State *L)
{
	struct connection *object = luaL_checkudata(L, 1, CONNECTION_TYPE);
	lua_pushfstring(L, "Connection (%s): %p",
			object->connection == NULL ? "closed"
						   : SSL_state_string_long(object->connection),
			(void *)object);
	return 1;
}

void connection_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "handshake", connection_handshake },
		{ "feed", connection_feed },
		{ "take", connection_take },
		{ "read", connection_read },
		{ "write", connection_write },
		{ "shutdown", connection_shutdown },
		{ "facts", connection_facts },
		{ "offer", connection_offer },
		{ "take_shape", connection_take_shape },
		{ "label", connection_label },
		{ "channel_binding", connection_channel_binding },
		{ "has_channel_binding", connection_has_channel_binding },
		{ "insecure_session", connection_insecure_session },
		{ "renegotiate", connection_renegotiate },
		{ "ticket", connection_ticket },
		{ "peer_chain", connection_peer_chain },
		{ NULL, NULL },
	};
	static const luaL_Reg metamethods[] = { { "__tostring", connection_tostring },
						{ NULL, NULL } };
	static const luaL_Reg functions[] = { { "new", connection_new }, { NULL, NULL } };
	register_type(L, CONNECTION_TYPE, methods, metamethods, connection_close);
	luaL_newlib(L, functions);
}
