/* A connection's handshake: all that we keep of it while the connection lives. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static int handshake_index = -1;

/* LuaSec does not give away its SSL, only the number of its socket. All of LuaSec's runs in
 * one thread. */
static struct descriptor {
	struct handshake *handshake;
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

static void remember_descriptor(struct handshake *handshake, int descriptor)
{
	if (descriptor < 0 || !make_room(descriptor))
		return;
	by_descriptor[descriptor].handshake = handshake;
	handshake->descriptor = descriptor;
}

bool handshake_expect_server(int descriptor, const char *server_name)
{
	if (!make_room(descriptor))
		return false;
	char *name = strdup(server_name);
	free(by_descriptor[descriptor].server_name);
	by_descriptor[descriptor].server_name = name;
	return name != NULL;
}

/* The expected name counts for one handshake, also for one that fails. */
static char *take_expected(int descriptor)
{
	if (descriptor < 0 || (size_t)descriptor >= descriptors)
		return NULL;
	char *name = by_descriptor[descriptor].server_name;
	by_descriptor[descriptor].server_name = NULL;
	return name;
}

static void forget_server_name(struct handshake *handshake)
{
	free(handshake->server_name);
	handshake->server_name = NULL;
}

static void forget_hello(struct handshake *handshake)
{
	free(handshake->hello);
	handshake->hello = NULL;
}

void handshake_finish(struct handshake *handshake, int32_t label, bool keep_hello)
{
	handshake->finished = true;
	handshake->label = label;
	handshake->keep_hello = keep_hello;
	forget_server_name(handshake);
	if (label == 0)
		forget_hello(handshake);
}

bool handshake_is_negotiating(const SSL_CTX *context)
{
	for (size_t i = 0; i < descriptors; i++) {
		const struct handshake *handshake = by_descriptor[i].handshake;
		if (handshake != NULL && !handshake->finished &&
		    SSL_get_SSL_CTX(handshake->connection) == context)
			return true;
	}
	return false;
}

bool handshake_is_finished(const SSL *connection)
{
	return SSL_get_state(connection) == TLS_ST_OK;
}

void handshake_fail(struct handshake *handshake)
{
	/* A client that sent no byte asked for no handshake. */
	if (handshake->finished || handshake->failed ||
	    (handshake->failure.server && !handshake->received))
		return;
	handshake->failed = true;
	if (handshake->failure.dhe_limited)
		dhe_limit_count_refusal();
	failed_handshake_record(&handshake->failure, handshake->server_name, handshake->hello);
	forget_server_name(handshake);
	forget_hello(handshake);
}

/* OpenSSL has taken the connection apart by now: only our own struct is used. */
static void handshake_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
			   void *argp)
{
	struct handshake *handshake = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (handshake == NULL)
		return;
	handshake_fail(handshake);
	int descriptor = handshake->descriptor;
	if (descriptor >= 0 && by_descriptor[descriptor].handshake == handshake)
		by_descriptor[descriptor].handshake = NULL;
	forget_server_name(handshake);
	forget_hello(handshake);
	SSL_CTX_free(handshake->first_context);
	free(handshake);
}

bool handshake_open(void)
{
	if (handshake_index < 0)
		handshake_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, handshake_free);
	return handshake_index >= 0;
}

/* Notes the parts of the connection that a failure reports, while the socket still exists. */
static void note_peer(struct handshake *handshake, SSL *connection)
{
	struct failed_handshake *failure = &handshake->failure;
	failure->server = SSL_is_server(connection);
	failure->alert = -1;
	socket_note_peer(failure, connection);
	char *expected = take_expected(SSL_get_fd(connection));
	const char *asked =
	    failure->server ? NULL : SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
	if (asked == NULL) {
		handshake->server_name = expected;
		return;
	}
	free(expected);
	handshake->server_name = strdup(asked);
}

bool handshake_begin(SSL *connection)
{
	struct handshake *handshake = calloc(1, sizeof *handshake);
	if (handshake == NULL)
		return false;
	handshake->connection = connection;
	handshake->descriptor = -1;
	handshake->first_context = SSL_get_SSL_CTX(connection);
	if (SSL_CTX_up_ref(handshake->first_context) != 1) {
		free(handshake);
		return false;
	}
	if (!SSL_set_ex_data(connection, handshake_index, handshake)) {
		SSL_CTX_free(handshake->first_context);
		free(handshake);
		return false;
	}
	note_peer(handshake, connection);
	remember_descriptor(handshake, SSL_get_fd(connection));
	return true;
}

struct handshake *handshake_of(const SSL *connection)
{
	return SSL_get_ex_data(connection, handshake_index);
}

struct handshake *handshake_of_descriptor(lua_Integer descriptor)
{
	if (descriptor < 0 || (size_t)descriptor >= descriptors)
		return NULL;
	return by_descriptor[descriptor].handshake;
}

int handshake_push_offer(lua_State *L, SSL *connection)
{
	const struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL)
		return push_failure(L, "unobserved", "the connection's context is not observed");
	if (!handshake->finished)
		return push_failure(L, "handshake", "the handshake is not finished");
	if (handshake->hello == NULL || !handshake->keep_hello)
		return push_failure(L, "missing", "no offer was kept");
	client_hello_push(L, handshake->hello);
	return 1;
}

int handshake_take_shape(lua_State *L, SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL)
		return push_failure(L, "unobserved", "the connection's context is not observed");
	if (!handshake->finished)
		return push_failure(L, "handshake", "the handshake is not finished");
	if (handshake->hello == NULL || handshake->shape_taken)
		return push_failure(L, "missing", "there is no shape, or it was taken");
	client_hello_push_shape(L, handshake->hello);
	handshake->shape_taken = true;
	if (!handshake->keep_hello)
		forget_hello(handshake);
	return 1;
}

int handshake_push_label(lua_State *L, SSL *connection)
{
	const struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL)
		return push_failure(L, "unobserved", "the connection's context is not observed");
	if (!handshake->finished)
		return push_failure(L, "handshake", "the handshake is not finished");
	if (handshake->label == 0)
		return push_failure(L, "missing", "the context has no label");
	lua_pushinteger(L, handshake->label);
	return 1;
}
