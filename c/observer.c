/* The module `observer`: the connections that LuaSec makes from observed contexts. */
#include "internal.h"

#include <openssl/err.h>

static int push_held(lua_State *L, SSL *connection, int (*push)(lua_State *, SSL *))
{
	ERR_clear_error();
	struct hold *hold = hold_push(L, NULL, connection);
	int results = push(L, hold->connection);
	hold_release(hold);
	return results;
}

/* Calls `push` with the SSL of the LuaSec connection that is the first argument. `held`: whether
 * `push` still reads the connection after it has asked for Lua's memory. */
static int push_of_luasec(lua_State *L, bool held, int (*push)(lua_State *, SSL *))
{
	lua_Integer descriptor = luasec_check_descriptor(L, 1);
	if (descriptor < 0)
		return push_failure(L, "closed", "the connection is closed");
	const struct handshake *handshake = handshake_of_descriptor(descriptor);
	if (handshake == NULL)
		return push_failure(L, "unobserved",
				    "the connection's context was not under the policy");
	return held ? push_held(L, handshake->connection, push) : push(L, handshake->connection);
}

/* observer.facts(luasec_connection)
 * Returns the facts of a LuaSec connection as a plain table (doc/scripting.md has the shape). Its
 * handshake has to be finished, and its context must have been applied or observed before the
 * connection was made. Or nil, message, code: "closed", "unobserved", "handshake". */
static int facts(lua_State *L)
{
	return push_of_luasec(L, true, facts_push);
}

/* observer.facts_key(luasec_connection)
 * Returns a string of bytes: connections of one process with the same string have equal facts. It
 * costs a part of what the facts cost. Returns false where the facts are the connection's alone,
 * because its peer showed a certificate. Or nil, message, code, as observer.facts. */
static int facts_key(lua_State *L)
{
	return push_of_luasec(L, false, facts_push_key);
}

/* observer.offer(luasec_connection)
 * Returns the offer of the client of a LuaSec connection, after a finished handshake of a
 * server whose context keeps offers (context:observe): a plain table (doc/scripting.md has the
 * shape). Or nil, message, code: "closed", "unobserved", "handshake", "missing" (none was
 * kept). */
static int offer(lua_State *L)
{
	return push_of_luasec(L, true, handshake_push_offer);
}

/* observer.take_shape(luasec_connection)
 * Returns the shape of the offer of the client of a LuaSec connection, after a finished handshake
 * of a server whose context has a label (context:observe): a string of bytes (see
 * client_hello_push_shape), once for a connection. Or nil, message, code, as observer.offer. */
static int take_shape(lua_State *L)
{
	return push_of_luasec(L, true, handshake_take_shape);
}

/* observer.label(luasec_connection)
 * Returns the label (context:observe) of the context on which the handshake of a LuaSec connection
 * finished. Or nil, message, code: "closed", "unobserved", "handshake", "missing" (it has none). */
static int label(lua_State *L)
{
	return push_of_luasec(L, false, handshake_push_label);
}

/* observer.channel_binding(luasec_connection, "tls-unique"|"tls-exporter"|"tls-server-end-point")
 * Returns a channel binding of a LuaSec connection (RFC 5929, RFC 9266), a string of bytes. Or nil,
 * message, code: "closed", "unobserved", "handshake" (it is not finished), "unsupported" (this
 * version, handshake or certificate has none of this type), "missing" (it is not known), "tls". */
static int channel_binding(lua_State *L)
{
	return push_of_luasec(L, false, channel_binding_push);
}

/* observer.has_channel_binding(luasec_connection, type)
 * Returns true if observer.channel_binding has a value of this type, for a hundredth of what most
 * values cost. Or nil, message, code, as observer.channel_binding, except "tls". */
static int has_channel_binding(lua_State *L)
{
	return push_of_luasec(L, false, channel_binding_push_has);
}

/* observer.refusals()
 * Returns the handshakes on observed contexts that failed since the last call: a list of plain
 * tables (doc/scripting.md has the shape), oldest first; and the number of records that were lost,
 * because newer ones took their place. */
static int refusals(lua_State *L)
{
	return failed_handshakes_push(L);
}

/* observer.limit_dhe(per_second, at_once)
 * Allows so many key exchanges with DHE a second to all servers of the process whose contexts are
 * under settings (context:apply), `at_once` of them at the same time; both are numbers of at least
 * 0. More handshakes that come to DHE are refused; their records have limit = "dhe". With 0 a
 * second there is no limit, as at the start. */
static int limit_dhe(lua_State *L)
{
	lua_Number per_second = luaL_checknumber(L, 1), at_once = luaL_checknumber(L, 2);
	if (!(per_second >= 0 && per_second <= 1e9))
		return luaL_argerror(L, 1, "number from 0 to 1e9 expected");
	if (!(at_once >= 0 && at_once <= 1e9))
		return luaL_argerror(L, 2, "number from 0 to 1e9 expected");
	dhe_limit_set(per_second, at_once);
	return 0;
}

/* observer.dhe_refusals() -> the number of handshakes that limit_dhe has refused in this process.
 */
static int dhe_refusals(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)dhe_limit_refusals());
	return 1;
}

/* observer.expect_server(descriptor, name)
 * Says that the next handshake on the socket with this number is with the server `name`: the one
 * that our client connects to, if it sends no SNI, or the one that a peer of ours claims to be.
 * If it fails, its record has the name. Returns true, or nil, message, code ("memory"). */
static int expect_server(lua_State *L)
{
	lua_Number descriptor = luaL_checknumber(L, 1);
	const char *name = luaL_checkstring(L, 2);
	if (!(descriptor >= 0 && descriptor < 1 << 24) || descriptor != (lua_Number)(int)descriptor)
		return luaL_argerror(L, 1, "number of a socket expected");
	if (!handshake_expect_server((int)descriptor, name))
		return push_failure(L, "memory", "out of memory");
	lua_pushboolean(L, 1);
	return 1;
}

/* observer.is_negotiating(context)
 * Returns whether a connection of LuaSec's that is observed, or that chose its context by SNI, has
 * this one and has not finished its handshake. One that failed counts until it is closed. */
static int is_negotiating(lua_State *L)
{
	const SSL_CTX *context = context_check(L, 1);
	lua_pushboolean(L, handshake_is_negotiating(context) || luasec_is_negotiating(L, context));
	return 1;
}

void observer_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "facts", facts },
		{ "facts_key", facts_key },
		{ "offer", offer },
		{ "take_shape", take_shape },
		{ "label", label },
		{ "channel_binding", channel_binding },
		{ "has_channel_binding", has_channel_binding },
		{ "refusals", refusals },
		{ "limit_dhe", limit_dhe },
		{ "dhe_refusals", dhe_refusals },
		{ "expect_server", expect_server },
		{ "is_negotiating", is_negotiating },
		{ NULL, NULL },
	};
	luaL_newlib(L, functions);
}
