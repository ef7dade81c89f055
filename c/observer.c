/* Callbacks on a context, and what they and OpenSSL tell of its connections. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

/* What OpenSSL forgets before a handshake is over. */
struct observation {
	SSL *connection;
	int descriptor;     /* -1: no socket */
	int ephemeral_bits; /* 0: unknown */
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
	if (!SSL_set_ex_data(connection, observation_index, observation)) {
		free(observation);
		return;
	}
	remember_descriptor(observation, SSL_get_fd(connection));
}

/* A server throws its half of the key exchange away with the client's answer. */
static void note_key_exchange(SSL *connection)
{
	struct observation *observation = SSL_get_ex_data(connection, observation_index);
	EVP_PKEY *key = NULL;
	if (observation == NULL || SSL_get_tmp_key(connection, &key) != 1)
		return;
	observation->ephemeral_bits = EVP_PKEY_get_bits(key);
	EVP_PKEY_free(key);
}

static void info_callback(const SSL *connection, int where, int value)
{
	/* The callback's signature is older than const; OpenSSL's own callers
	 * pass what is theirs to change. */
	SSL *observed = (SSL *)(uintptr_t)connection;
	(void)value;
	if (where & SSL_CB_HANDSHAKE_START)
		observe(observed);
	else if ((where & SSL_CB_LOOP) && SSL_get_state(connection) == TLS_ST_SW_KEY_EXCH)
		note_key_exchange(observed);
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

void observer_detach(SSL_CTX *context)
{
	if (SSL_CTX_get_info_callback(context) == info_callback)
		SSL_CTX_set_info_callback(context, NULL);
}

int observer_ephemeral_bits(const SSL *connection)
{
	const struct observation *observation = SSL_get_ex_data(connection, observation_index);
	return observation == NULL ? 0 : observation->ephemeral_bits;
}

/* observer.facts(luasec_connection)
 * The facts of a LuaSec connection whose handshake is finished and whose
 * context was adopted and applied before it was made: a plain table (README.md
 * has the shape). Or nil, message, code: "closed", "unobserved", "handshake". */
static int facts(lua_State *L)
{
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
	return facts_push(L, observation->connection);
}

void observer_open(lua_State *L)
{
	static const luaL_Reg functions[] = { { "facts", facts }, { NULL, NULL } };
	luaL_newlib(L, functions);
}
