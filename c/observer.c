/* Callbacks on a context, and what they and OpenSSL tell of its connections. */
#include "internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>

/* What OpenSSL forgets before a handshake is over, or never knew. */
struct observation {
	SSL *connection;
	int descriptor;                /* -1: no socket */
	int ephemeral_bits;            /* 0: unknown */
	struct resumption *resumption; /* of the context that the connection began with:
					* SNI may give it another, but not another cache */
	unsigned char session_context[SESSION_CONTEXT_SIZE];
	unsigned char offered_id[SESSION_ID_SIZE];
	bool looked_up, offered_session, extended_master_secret, finished;
};

static int observation_index = -1;

/* LuaSec gives nobody its SSL, but the number of its socket. Both ends of a
 * connection live in one thread, as does everything of LuaSec's. */
static struct observation **by_descriptor;
static size_t descriptors;

static bool remember_descriptor(struct observation *observation, int descriptor)
{
	if (descriptor < 0)
		return true;
	size_t needed = (size_t)descriptor + 1;
	if (needed > descriptors) {
		size_t size = needed + 64;
		struct observation **grown = realloc(by_descriptor, size * sizeof(*grown));
		if (grown == NULL)
			return false;
		memset(grown + descriptors, 0, (size - descriptors) * sizeof *grown);
		by_descriptor = grown;
		descriptors = size;
	}
	by_descriptor[descriptor] = observation;
	observation->descriptor = descriptor;
	return true;
}

static void observation_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index,
			     long argl, void *argp)
{
	struct observation *observation = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (observation == NULL)
		return;
	int descriptor = observation->descriptor;
	if (descriptor >= 0 && by_descriptor[descriptor] == observation)
		by_descriptor[descriptor] = NULL;
	free(observation);
}

/* Without memory a connection stays unobserved: it then has no facts, and the
 * policy closes what it has no facts of. */
static void observe(SSL *connection)
{
	if (SSL_get_ex_data(connection, observation_index) != NULL)
		return;
	struct observation *observation = calloc(1, sizeof *observation);
	if (observation == NULL)
		return;
	observation->connection = connection;
	observation->descriptor = -1;
	observation->resumption = resumption_of(SSL_get_SSL_CTX(connection));
	if (observation->resumption != NULL)
		memcpy(observation->session_context, resumption_context(observation->resumption),
		       sizeof observation->session_context);
	if (!SSL_set_ex_data(connection, observation_index, observation)) {
		free(observation);
		return;
	}
	remember_descriptor(observation, SSL_get_fd(connection));
}

static struct observation *observation_of(const SSL *connection)
{
	return SSL_get_ex_data(connection, observation_index);
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

/* Nagle's algorithm would hold back what follows the handshake until the peer
 * acknowledges it, which takes the peer 40 ms. */
static void write_at_once(const SSL *connection)
{
	int on = 1, descriptor = SSL_get_fd(connection);
	if (descriptor >= 0)
		(void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Where the client speaks last in a handshake, its own Nagle waits for us. */
static void acknowledge_at_once(const SSL *connection)
{
#ifdef TCP_QUICKACK
	int on = 1, descriptor = SSL_get_fd(connection);
	if (descriptor >= 0 && SSL_is_server(connection))
		(void)setsockopt(descriptor, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
#else
	(void)connection;
#endif
}

static void note_finished(SSL *connection)
{
	struct observation *observation = observation_of(connection);
	acknowledge_at_once(connection);
	if (observation == NULL)
		return;
	/* A renegotiation, where the context allows it, finishes again. */
	if (!observation->finished && observation->offered_session &&
	    !SSL_session_reused(connection))
		resumption_count_refusal(connection);
	observation->finished = true;
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
static void note_fatal_alert(SSL *connection)
{
	const struct observation *observation = observation_of(connection);
	if (observation != NULL && observation->finished && SSL_is_server(connection) &&
	    !is_cut_off())
		resumption_end_session(connection);
}

static void info_callback(const SSL *connection, int where, int value)
{
	/* The callback's signature is older than const; OpenSSL's own callers
	 * pass what is theirs to change. */
	SSL *observed = (SSL *)(uintptr_t)connection;
	if (where & SSL_CB_HANDSHAKE_START) {
		observe(observed);
		write_at_once(observed);
	} else if (where & SSL_CB_HANDSHAKE_DONE) {
		note_finished(observed);
	} else if ((where & SSL_CB_ALERT) && value >> 8 == SSL3_AL_FATAL) {
		note_fatal_alert(observed);
	} else if ((where & SSL_CB_LOOP) && SSL_get_state(connection) == TLS_ST_SW_KEY_EXCH) {
		note_key_exchange(observed);
	}
}

bool observer_attach(SSL_CTX *context)
{
	if (observation_index < 0)
		observation_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, observation_free);
	if (observation_index < 0)
		return false;
	SSL_CTX_set_info_callback(context, info_callback);
	return true;
}

bool observer_is_attached(const SSL_CTX *context)
{
	return SSL_CTX_get_info_callback((SSL_CTX *)(uintptr_t)context) == info_callback;
}

void observer_detach(SSL_CTX *context)
{
	if (SSL_CTX_get_info_callback(context) == info_callback)
		SSL_CTX_set_info_callback(context, NULL);
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

/* observer.facts(luasec_connection)
 * The facts of a LuaSec connection whose handshake is finished and whose
 * context was adopted and applied before it was made: a plain table (README.md
 * has the shape). Or nil, message, code: "closed", "unobserved", "handshake". */
static int facts(lua_State *L)
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
	struct observation *observation =
	    (size_t)descriptor < descriptors ? by_descriptor[descriptor] : NULL;
	if (observation == NULL)
		return push_failure(L, "unobserved",
				    "the connection's context was not under the policy");
	struct hold *hold = hold_push(L, NULL, observation->connection);
	int results = facts_push(L, hold->connection);
	hold_release(hold);
	return results;
}

void observer_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "facts", facts }, { NULL, NULL } };
	luaL_newlib(L, functions);
}
