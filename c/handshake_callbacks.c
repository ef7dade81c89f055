/* Callbacks on a context, and what they and OpenSSL tell of its connections. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

static void info_callback(const SSL *connection, int where, int value);

/* What Lua chose for a context: its label, shifted, and whether offers are kept. */
static int marks_index = -1;
#define MARKS_KEEP_OFFERS 1U
#define MARKS_LABEL_SHIFT 1

static unsigned int marks_of(const SSL_CTX *context)
{
	return (unsigned int)(uintptr_t)SSL_CTX_get_ex_data(context, marks_index);
}

/* SNI may have put another context in the place of the first. */
static unsigned int current_marks(const SSL *connection, const struct observation *observation)
{
	unsigned int marks = marks_of(SSL_get_SSL_CTX(connection));
	return marks != 0 ? marks : marks_of(observation->first);
}

/* Without memory a connection stays unobserved: it then has no facts, and the
 * policy closes what it has no facts of. */
static void observe(SSL *connection)
{
	if (observation_of(connection) != NULL || !observation_begin(connection))
		return;
	/* The context may be released, or SNI put one in its place that is not
	 * observed: how this handshake ends has to be seen all the same. */
	SSL_set_info_callback(connection, info_callback);
}

/* A server throws its half of the key exchange away with the client's answer. */
static void note_key_exchange(SSL *connection)
{
	struct observation *observation = observation_of(connection);
	EVP_PKEY *key = NULL;
	if (observation == NULL || SSL_get_tmp_key(connection, &key) != 1)
		return;
	observation->ephemeral_bits = EVP_PKEY_get_bits(key);
	EVP_PKEY_free(key);
}

static void note_finished(SSL *connection)
{
	struct observation *observation = observation_of(connection);
	socket_acknowledge_at_once(connection);
	/* A renegotiation, where the context allows it, finishes again. */
	if (observation == NULL || observation->finished)
		return;
	if (observation->offered_session && !SSL_session_reused(connection))
		resumption_count_refusal(connection);
	observation_finish(observation, current_marks(connection, observation) & MARKS_KEEP_OFFERS);
}

/* To a peer that is gone without close_notify OpenSSL sends an alert, too. */
static bool is_cut_off(void)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	return ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
	return false;
#endif
}

/* RFC 5246 7.2.2. Only of a connection whose peer has proved that it knows the
 * secret: session IDs of TLS 1.2 can be overheard, and a stranger must not end
 * others' sessions with them. */
static void note_fatal_alert(SSL *connection, bool sent, int alert)
{
	struct observation *observation = observation_of(connection);
	if (observation == NULL)
		return;
	if (!observation->finished) {
		observation->refusal.alert = alert;
		observation->refusal.alert_sent = sent;
	} else if (SSL_is_server(connection) && !is_cut_off()) {
		resumption_end_session(connection);
	}
}

/* What OpenSSL says of a failure when it returns from the handshake. It takes alerts
 * of TLS 1.3 for fatal whatever level they say (RFC 8446 6). */
static void note_error(struct refused_handshake *refusal)
{
	refusal->error = ERR_peek_last_error();
	int alert = ERR_GET_REASON(refusal->error) - SSL_AD_REASON_OFFSET;
	if (ERR_GET_LIB(refusal->error) == ERR_LIB_SSL && alert > 0 && alert <= UINT8_MAX)
		refusal->alert = alert;
}

/* OpenSSL returns from the handshake to who called it: for now, or for good. */
static void note_return(SSL *connection, int result)
{
	struct observation *observation = observation_of(connection);
	if (observation == NULL || observation->finished || observation->refused)
		return;
	observation->received = BIO_number_read(SSL_get_rbio(connection)) > 0;
	observation->refusal.label =
	    (int32_t)(current_marks(connection, observation) >> MARKS_LABEL_SHIFT);
	switch (SSL_get_error(connection, result)) {
	case SSL_ERROR_ZERO_RETURN:
		observation->refusal.alert = SSL_AD_CLOSE_NOTIFY;
		observation_refuse(observation);
		break;
	case SSL_ERROR_SSL:
	case SSL_ERROR_SYSCALL:
		note_error(&observation->refusal);
		observation_refuse(observation);
		break;
	default:
		break;
	}
}

static void info_callback(const SSL *connection, int where, int value)
{
	/* The callback's signature is older than const; OpenSSL's own callers
	 * pass what is theirs to change. */
	SSL *observed = (SSL *)(uintptr_t)connection;
	/* Who called OpenSSL may look at it. */
	int error = errno;
	if (where & SSL_CB_HANDSHAKE_START) {
		observe(observed);
		socket_write_at_once(observed);
	} else if (where & SSL_CB_HANDSHAKE_DONE) {
		note_finished(observed);
	} else if ((where & SSL_CB_ALERT) && value >> 8 == SSL3_AL_FATAL) {
		note_fatal_alert(observed, (where & SSL_CB_WRITE) != 0, value & UINT8_MAX);
	} else if ((where & SSL_CB_LOOP) && SSL_get_state(connection) == TLS_ST_SW_KEY_EXCH) {
		note_key_exchange(observed);
	} else if (where & SSL_CB_EXIT) {
		note_return(observed, value);
	}
	errno = error;
}

/* Without memory the offer stays unknown. */
static void note_offer(SSL *connection)
{
	struct observation *observation = observation_of(connection);
	if (observation == NULL || observation->finished)
		return;
	if (observation->offer == NULL)
		observation->offer = calloc(1, sizeof *observation->offer);
	if (observation->offer != NULL)
		offer_read(observation->offer, connection);
}

static int client_hello(SSL *connection, int *alert, void *argument)
{
	int error = errno;
	(void)argument;
	note_offer(connection);
	bool accepted = resumption_client_hello(connection);
	errno = error;
	if (accepted)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

bool observer_attach(SSL_CTX *context)
{
	if (marks_index < 0)
		marks_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (!observation_open() || marks_index < 0)
		return false;
	SSL_CTX_set_info_callback(context, info_callback);
	SSL_CTX_set_client_hello_cb(context, client_hello, NULL);
	return true;
}

bool observer_is_attached(const SSL_CTX *context)
{
	return SSL_CTX_get_info_callback((SSL_CTX *)(uintptr_t)context) == info_callback;
}

void observer_detach(SSL_CTX *context)
{
	if (!observer_is_attached(context))
		return;
	SSL_CTX_set_info_callback(context, NULL);
	SSL_CTX_set_client_hello_cb(context, NULL, NULL);
	SSL_CTX_set_ex_data(context, marks_index, NULL);
}

bool observer_mark(SSL_CTX *context, int32_t label, bool keep_offers)
{
	uintptr_t marks = (uintptr_t)label << MARKS_LABEL_SHIFT;
	if (keep_offers)
		marks |= MARKS_KEEP_OFFERS;
	return SSL_CTX_set_ex_data(context, marks_index, (void *)marks) == 1;
}

struct resumption *observer_resumption(const SSL *connection)
{
	const struct observation *observation = observation_of(connection);
	return observation == NULL ? NULL : observation->resumption;
}

const unsigned char *observer_session_context(const SSL *connection)
{
	return observation_of(connection)->session_context;
}

void observer_set_session_context(SSL *connection, const unsigned char *context)
{
	struct observation *observation = observation_of(connection);
	memcpy(observation->session_context, context, sizeof observation->session_context);
}

bool observer_first_look_up(SSL *connection)
{
	struct observation *observation = observation_of(connection);
	bool first = !observation->looked_up;
	observation->looked_up = true;
	return first;
}

void observer_offered_session(SSL *connection, const unsigned char *id)
{
	struct observation *observation = observation_of(connection);
	observation->offered_session = true;
	memcpy(observation->offered_id, id, sizeof observation->offered_id);
}

const unsigned char *observer_resumed_id(const SSL *connection)
{
	const struct observation *observation = observation_of(connection);
	return observation->offered_session && SSL_session_reused(connection)
		   ? observation->offered_id
		   : NULL;
}

void observer_note_extended_master_secret(SSL *connection)
{
	observation_of(connection)->extended_master_secret = true;
}

bool observer_has_extended_master_secret(const SSL *connection)
{
	return observation_of(connection)->extended_master_secret;
}

int observer_ephemeral_bits(const SSL *connection)
{
	const struct observation *observation = observation_of(connection);
	return observation == NULL ? 0 : observation->ephemeral_bits;
}

int observer_push_offer(lua_State *L, SSL *connection)
{
	const struct observation *observation = observation_of(connection);
	if (observation == NULL)
		return push_failure(L, "unobserved", "the connection's context is not observed");
	if (!observation->finished)
		return push_failure(L, "handshake", "the handshake is not finished");
	if (observation->offer == NULL)
		return push_failure(L, "missing", "no offer was kept");
	offer_push(L, observation->offer);
	return 1;
}

/* Calls `push` with the SSL of the LuaSec connection that is the first argument. */
static int push_of_luasec(lua_State *L, int (*push)(lua_State *, SSL *))
{
	ERR_clear_error();
	if (luaL_testudata(L, 1, "SSL:Connection") == NULL)
		return luaL_argerror(L, 1, "LuaSec connection expected");
	lua_getfield(L, 1, "getfd");
	lua_pushvalue(L, 1);
	lua_call(L, 1, 1);
	lua_Integer descriptor = lua_tointeger(L, -1);
	if (descriptor < 0)
		return push_failure(L, "closed", "the connection is closed");
	const struct observation *observation = observation_of_descriptor(descriptor);
	if (observation == NULL)
		return push_failure(L, "unobserved",
				    "the connection's context was not under the policy");
	struct hold *hold = hold_push(L, NULL, observation->connection);
	int results = push(L, hold->connection);
	hold_release(hold);
	return results;
}

/* observer.facts(luasec_connection)
 * The facts of a LuaSec connection whose handshake is finished and whose
 * context was adopted and applied before it was made: a plain table (README.md
 * has the shape). Or nil, message, code: "closed", "unobserved", "handshake". */
static int facts(lua_State *L)
{
	return push_of_luasec(L, facts_push);
}

/* observer.offer(luasec_connection)
 * What the client of a LuaSec connection offered, for a finished handshake of a
 * server whose context keeps offers (context:observe): a plain table (README.md
 * has the shape). Or nil, message, code: "closed", "unobserved", "handshake",
 * "missing" (none was kept). */
static int offer(lua_State *L)
{
	return push_of_luasec(L, observer_push_offer);
}

/* observer.refusals()
 * The handshakes on observed contexts that failed since the last call: a list of
 * plain tables (README.md has the shape), oldest first; and how many more there
 * were that are lost, because the older ones make room. */
static int refusals(lua_State *L)
{
	return refusals_push(L);
}

/* observer.expect_server(descriptor, name)
 * The next handshake on the socket with this number, if it is our client's and sends
 * no SNI, is with the server `name`: refusals tell that. True, or nil, message, code
 * ("memory"). */
static int expect_server(lua_State *L)
{
	lua_Number descriptor = luaL_checknumber(L, 1);
	const char *name = luaL_checkstring(L, 2);
	if (!(descriptor >= 0 && descriptor < 1 << 24) || descriptor != (lua_Number)(int)descriptor)
		return luaL_argerror(L, 1, "number of a socket expected");
	if (!observation_expect((int)descriptor, name))
		return push_failure(L, "memory", "out of memory");
	lua_pushboolean(L, 1);
	return 1;
}

/* observer.is_negotiating(context)
 * Whether a connection of LuaSec's that chooses its context by SNI, observed or not,
 * has this one and has not finished its handshake; one that failed counts until it is
 * closed. LuaSec (0.9 to 1.3.2) keeps these connections, as SSL, in a table of its own
 * until they are freed, each with { map = contexts by name }. */
static int is_negotiating(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	bool negotiating = false;
	luaL_getmetatable(L, "SSL:SNI:Registry");
	if (!lua_istable(L, -1))
		lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
		if (!lua_islightuserdata(L, -2) || !lua_istable(L, -1))
			continue;
		raw_getfield(L, lua_gettop(L), "map");
		const SSL *connection = lua_istable(L, -1) ? lua_touserdata(L, -3) : NULL;
		lua_pop(L, 1);
		if (connection != NULL && SSL_get_SSL_CTX(connection) == context &&
		    !SSL_is_init_finished(connection))
			negotiating = true;
	}
	lua_pushboolean(L, negotiating);
	return 1;
}

void observer_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "facts", facts },
		{ "offer", offer },
		{ "refusals", refusals },
		{ "expect_server", expect_server },
		{ "is_negotiating", is_negotiating },
		{ NULL, NULL },
	};
	luaL_newlib(L, functions);
}
