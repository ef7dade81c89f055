/* What is known of one connection while it lives. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static int observation_index = -1;

/* LuaSec gives nobody its SSL, but the number of its socket. Both ends of a
 * connection live in one thread, as does everything of LuaSec's. */
static struct descriptor {
	struct observation *observation;
	char *server_name; /* of the next handshake as a client; NULL: not known */
} * by_descriptor;
static size_t descriptors;

static bool make_room(int descriptor)
{
	size_t needed = (size_t)descriptor + 1;
	if (needed <= descriptors)
		return true;
	size_t size = needed + 64;
	struct descriptor *grown = realloc(by_descriptor, size * sizeof *grown);
	if (grown == NULL)
		return false;
	memset(grown + descriptors, 0, (size - descriptors) * sizeof *grown);
	by_descriptor = grown;
	descriptors = size;
	return true;
}

static void remember_descriptor(struct observation *observation, int descriptor)
{
	if (descriptor < 0 || !make_room(descriptor))
		return;
	by_descriptor[descriptor].observation = observation;
	observation->descriptor = descriptor;
}

bool observation_expect(int descriptor, const char *server_name)
{
	if (!make_room(descriptor))
		return false;
	char *name = strdup(server_name);
	free(by_descriptor[descriptor].server_name);
	by_descriptor[descriptor].server_name = name;
	return name != NULL;
}

/* What was expected of a socket holds for one handshake, whatever becomes of it. */
static char *take_expected(int descriptor)
{
	if (descriptor < 0 || (size_t)descriptor >= descriptors)
		return NULL;
	char *name = by_descriptor[descriptor].server_name;
	by_descriptor[descriptor].server_name = NULL;
	return name;
}

static void forget_server_name(struct observation *observation)
{
	free(observation->server_name);
	observation->server_name = NULL;
}

static void forget_offer(struct observation *observation)
{
	free(observation->offer);
	observation->offer = NULL;
}

void observation_finish(struct observation *observation, bool keep_offer)
{
	observation->finished = true;
	forget_server_name(observation);
	if (!keep_offer)
		forget_offer(observation);
}

void observation_refuse(struct observation *observation)
{
	/* Who never sent a byte to a server asked for no handshake. */
	if (observation->finished || observation->refused ||
	    (observation->refusal.server && !observation->received))
		return;
	observation->refused = true;
	refusal_record(&observation->refusal, observation->server_name, observation->offer);
	forget_server_name(observation);
	forget_offer(observation);
}

/* Of the connection hardly anything is left by now: it is not asked. */
static void observation_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index,
			     long argl, void *argp)
{
	struct observation *observation = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (observation == NULL)
		return;
	observation_refuse(observation);
	int descriptor = observation->descriptor;
	if (descriptor >= 0 && by_descriptor[descriptor].observation == observation)
		by_descriptor[descriptor].observation = NULL;
	forget_server_name(observation);
	forget_offer(observation);
	SSL_CTX_free(observation->first);
	free(observation);
}

bool observation_open(void)
{
	if (observation_index < 0)
		observation_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, observation_free);
	return observation_index >= 0;
}

/* What a refusal says of the connection, asked before it can be gone. */
static void note_peer(struct observation *observation, SSL *connection)
{
	struct refused_handshake *refusal = &observation->refusal;
	refusal->server = SSL_is_server(connection);
	refusal->alert = -1;
	socket_note_peer(refusal, connection);
	char *expected = take_expected(SSL_get_fd(connection));
	const char *asked =
	    refusal->server ? NULL : SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
	if (!refusal->server && asked == NULL) {
		observation->server_name = expected;
		return;
	}
	free(expected);
	if (asked != NULL)
		observation->server_name = strdup(asked);
}

bool observation_begin(SSL *connection)
{
	struct observation *observation = calloc(1, sizeof *observation);
	if (observation == NULL)
		return false;
	observation->connection = connection;
	observation->descriptor = -1;
	observation->first = SSL_get_SSL_CTX(connection);
	if (SSL_CTX_up_ref(observation->first) != 1) {
		free(observation);
		return false;
	}
	observation->resumption = resumption_of(observation->first);
	if (observation->resumption != NULL)
		memcpy(observation->session_context, resumption_context(observation->resumption),
		       sizeof observation->session_context);
	if (!SSL_set_ex_data(connection, observation_index, observation)) {
		SSL_CTX_free(observation->first);
		free(observation);
		return false;
	}
	note_peer(observation, connection);
	remember_descriptor(observation, SSL_get_fd(connection));
	return true;
}

struct observation *observation_of(const SSL *connection)
{
	return SSL_get_ex_data(connection, observation_index);
}

struct observation *observation_of_descriptor(lua_Integer descriptor)
{
	if (descriptor < 0 || (size_t)descriptor >= descriptors)
		return NULL;
	return by_descriptor[descriptor].observation;
}
