/* Contexts that take another one's place for the clients of some networks. The address of the
 * socket and the server name choose one in the first ClientHello, before anything is negotiated. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>

struct network_group {
	struct network *networks;
	size_t count;
};

/* A context for the networks of a group. */
struct substitute {
	SSL_CTX *context; /* a reference */
	struct name_list groups;
	size_t group;
};

/* "" stands for all names that are not in the list, and for none. */
struct served_name {
	char *name;
	struct substitute *substitutes;
	size_t count;
};

struct network_contexts {
	struct network_group *groups;
	size_t group_count;
	struct served_name *names; /* sorted */
	size_t name_count;
};

static int networks_index = -1;

void network_contexts_free(struct network_contexts *contexts)
{
	if (contexts == NULL)
		return;
	for (size_t i = 0; contexts->groups != NULL && i < contexts->group_count; i++)
		free(contexts->groups[i].networks);
	for (size_t i = 0; contexts->names != NULL && i < contexts->name_count; i++) {
		struct served_name *name = &contexts->names[i];
		for (size_t n = 0; name->substitutes != NULL && n < name->count; n++) {
			SSL_CTX_free(name->substitutes[n].context);
			name_list_free(&name->substitutes[n].groups);
		}
		free(name->substitutes);
		free(name->name);
	}
	free(contexts->groups);
	free(contexts->names);
	free(contexts);
}

static void free_data(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
		      void *argp)
{
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	network_contexts_free(data);
}

/* ---- the choice -------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcasecmp(((const struct served_name *)a)->name,
			  ((const struct served_name *)b)->name);
}

static const struct served_name *find_name(const struct network_contexts *contexts, char *name)
{
	const struct served_name wanted = { .name = name };
	return bsearch(&wanted, contexts->names, contexts->name_count, sizeof wanted,
		       compare_names);
}

static const struct served_name *served_name_of(const struct network_contexts *contexts,
						SSL *connection)
{
	char name[SERVER_NAME_SIZE], none[] = "";
	const struct served_name *found = NULL;
	if (client_hello_read_server_name(connection, name) > 0)
		found = find_name(contexts, name);
	return found != NULL ? found : find_name(contexts, none);
}

static bool contains(const struct network *network, const struct failed_handshake *peer)
{
	size_t size = peer->family == AF_INET    ? sizeof(struct in_addr)
		      : peer->family == AF_INET6 ? sizeof(struct in6_addr)
						 : 0;
	size_t whole = network->prefix / 8;
	unsigned int bits = network->prefix % 8, mask = 0xFFU << (8 - bits) & 0xFFU;
	if (size != network->size || memcmp(network->address, peer->address, whole) != 0)
		return false;
	return bits == 0 ||
	       ((unsigned int)(network->address[whole] ^ peer->address[whole]) & mask) == 0;
}

static const struct network *find_network(const struct network_group *group,
					  const struct failed_handshake *peer)
{
	for (size_t i = 0; i < group->count; i++)
		if (contains(&group->networks[i], peer) && time(NULL) < group->networks[i].ends)
			return &group->networks[i];
	return NULL;
}

/* OpenSSL asks the callback of the context that the connection has by then, so the server's own is
 * not asked, and does not put its context in the place of ours. */
static int accept_server_name(SSL *connection, int *alert, void *argument)
{
	(void)alert, (void)argument;
	return SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name) != NULL
		   ? SSL_TLSEXT_ERR_OK
		   : SSL_TLSEXT_ERR_NOACK;
}

/* LuaSec may have set its own callback meanwhile. OpenSSL calls it for the ClientHello that we are
 * asked about. */
static void keep_context(SSL_CTX *context)
{
	SSL_CTX_set_tlsext_servername_callback(context, accept_server_name);
}

/* A connection has copied these from the context that it began with. OpenSSL's change of the
 * context brings the rest: certificate, suites, security level, DH parameters, ALPN. */
static bool take_state(SSL *connection, SSL_CTX *context, const struct name_list *groups)
{
	uint64_t options = SSL_CTX_get_options(context);
	SSL_clear_options(connection, ~options);
	SSL_set_options(connection, options);
	return SSL_set_min_proto_version(connection, (int)SSL_CTX_get_min_proto_version(context)) ==
		   1 &&
	       SSL_set_max_proto_version(connection, (int)SSL_CTX_get_max_proto_version(context)) ==
		   1 &&
	       SSL_set_num_tickets(connection, SSL_CTX_get_num_tickets(context)) == 1 &&
	       SSL_set_max_early_data(connection, SSL_CTX_get_max_early_data(context)) == 1 &&
	       SSL_set_recv_max_early_data(connection, SSL_CTX_get_recv_max_early_data(context)) ==
		   1 &&
	       (groups->length == 0 ||
		SSL_set1_groups_list(connection, name_list_text(groups)) == 1);
}

static bool change_to(SSL *connection, struct handshake *handshake,
		      const struct substitute *substitute)
{
	SSL_CTX *context = substitute->context;
	luasec_lend_state(handshake->first_context, context);
	if (SSL_set_SSL_CTX(connection, context) != context ||
	    !take_state(connection, context, &substitute->groups) || SSL_CTX_up_ref(context) != 1)
		return false;
	keep_context(context);
	SSL_CTX_free(handshake->first_context);
	handshake->first_context = context;
	handshake->is_substituted = true;
	resumption_begin_handshake(connection);
	return true;
}

/* No session of a network is resumed in another one, or after its end. */
static bool bind_sessions(SSL *connection, const struct network *network)
{
	unsigned char
	    apart[sizeof network->address + sizeof network->prefix + sizeof network->ends];
	memcpy(apart, network->address, sizeof network->address);
	memcpy(apart + sizeof network->address, &network->prefix, sizeof network->prefix);
	memcpy(apart + sizeof network->address + sizeof network->prefix, &network->ends,
	       sizeof network->ends);
	return resumption_client_hello(connection, apart, sizeof apart);
}

/* A second ClientHello (rfc8446.4.1.2.second-hello-keeps-its-name) has to have the name by which a
 * context was chosen. Without memory the first name is not known. */
static bool has_same_name(SSL *connection, const struct client_hello *first)
{
	const unsigned char *name = NULL;
	size_t length = 0;
	if (first == NULL)
		return false;
	if (!client_hello_find_server_name(connection, &name, &length))
		length = 0;
	return length == first->server_name_length &&
	       (length == 0 || memcmp(name, first->server_name, length) == 0);
}

static const struct network_contexts *contexts_of(const SSL_CTX *context)
{
	return networks_index < 0 ? NULL : SSL_CTX_get_ex_data(context, networks_index);
}

/* Whether a context has our callbacks, as the connection does. One that was released has its
 * settings of before the policy, too. */
static bool is_observed(SSL_CTX *context, const SSL *connection)
{
	return SSL_CTX_get_info_callback(context) == SSL_get_info_callback(connection);
}

static bool accept_second_hello(SSL *connection, const struct handshake *handshake)
{
	if (!handshake->is_substituted)
		return resumption_client_hello(connection, NULL, 0);
	keep_context(handshake->first_context);
	return has_same_name(connection, handshake->hello);
}

static bool is_first_hello(struct handshake *handshake)
{
	bool first = !handshake->greeted && !handshake->finished;
	handshake->greeted = true;
	return first;
}

bool network_contexts_client_hello(SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL)
		return true;
	if (!is_first_hello(handshake))
		return accept_second_hello(connection, handshake);
	const struct network_contexts *contexts = contexts_of(handshake->first_context);
	const struct served_name *name =
	    contexts == NULL ? NULL : served_name_of(contexts, connection);
	for (size_t i = 0; name != NULL && i < name->count; i++) {
		const struct substitute *substitute = &name->substitutes[i];
		const struct network *network =
		    find_network(&contexts->groups[substitute->group], &handshake->failure);
		if (network != NULL && is_observed(substitute->context, connection))
			return change_to(connection, handshake, substitute) &&
			       bind_sessions(connection, network);
	}
	return resumption_client_hello(connection, NULL, 0);
}

/* ---- making them ------------------------------------------------------------------- */

struct network_contexts *network_contexts_new(size_t names)
{
	struct network_contexts *contexts = calloc(1, sizeof *contexts);
	struct served_name *list = calloc(names + 1, sizeof *list);
	if (contexts == NULL || list == NULL) {
		free(contexts);
		free(list);
		return NULL;
	}
	contexts->names = list;
	return contexts;
}

bool network_contexts_add_group(struct network_contexts *contexts, const struct network *networks,
				size_t count)
{
	size_t groups = contexts->group_count;
	struct network_group *grown =
	    realloc(contexts->groups, (groups + 1) * sizeof *contexts->groups);
	if (grown == NULL)
		return false;
	contexts->groups = grown;
	grown[groups].networks = calloc(count + 1, sizeof *networks);
	if (grown[groups].networks == NULL)
		return false;
	memcpy(grown[groups].networks, networks, count * sizeof *networks);
	grown[groups].count = count;
	contexts->group_count++;
	return true;
}

bool network_contexts_add_name(struct network_contexts *contexts, const char *name)
{
	char *copy = strdup(name);
	if (copy != NULL)
		contexts->names[contexts->name_count++].name = copy;
	return copy != NULL;
}

/* A server's group for DHE alone is in no hello (see dhe_group.c). */
static bool read_groups(SSL_CTX *context, struct name_list *groups)
{
	struct name_list own = { .text = NULL }, schemes = { .text = NULL };
	bool done = unsent_hello_read(context, &own, &schemes) &&
		    dhe_group_list(groups, name_list_text(&own), security_dhe_group(context));
	name_list_free(&own);
	name_list_free(&schemes);
	return done;
}

bool network_contexts_add_context(struct network_contexts *contexts, SSL_CTX *context, size_t group)
{
	struct served_name *name = &contexts->names[contexts->name_count - 1];
	struct substitute *grown =
	    realloc(name->substitutes, (name->count + 1) * sizeof *name->substitutes);
	if (grown == NULL)
		return false;
	name->substitutes = grown;
	struct substitute made = { .context = context, .group = group };
	if (!read_groups(context, &made.groups) || SSL_CTX_up_ref(context) != 1) {
		name_list_free(&made.groups);
		return false;
	}
	grown[name->count++] = made;
	return true;
}

bool network_contexts_set(SSL_CTX *context, struct network_contexts *contexts)
{
	network_contexts_clear(context);
	if (networks_index < 0)
		networks_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_data);
	qsort(contexts->names, contexts->name_count, sizeof *contexts->names, compare_names);
	return networks_index >= 0 && SSL_CTX_set_ex_data(context, networks_index, contexts) == 1;
}

void network_contexts_clear(SSL_CTX *context)
{
	if (networks_index < 0)
		return;
	network_contexts_free(SSL_CTX_get_ex_data(context, networks_index));
	(void)SSL_CTX_set_ex_data(context, networks_index, NULL);
}
