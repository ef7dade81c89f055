/* Resumption by session ID: between OpenSSL's callbacks and the store. TLS 1.3 has
 * the session ID wrapped in a ticket (RFC 8446 4.6.1); no state leaves us. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>

/* What a context needs to resume sessions, and had before. */
struct resumption {
	struct session_store *store; /* NULL: off */
	unsigned char context[SESSION_CONTEXT_SIZE];
	struct server_name *names; /* sorted; of a context that serves by SNI */
	size_t count;
	long cache_mode, timeout;
	size_t tickets;
	uint64_t psk_without_dhe; /* the option, if it was set */
};

struct server_name {
	char *name;
	unsigned char context[SESSION_CONTEXT_SIZE];
};

static int resumption_index = -1;

static void free_names(struct resumption *resumption)
{
	for (size_t i = 0; i < resumption->count; i++)
		free(resumption->names[i].name);
	free(resumption->names);
	resumption->names = NULL;
	resumption->count = 0;
}

static void resumption_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
			    void *argp)
{
	struct resumption *resumption = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (resumption == NULL)
		return;
	free_names(resumption);
	session_store_free(resumption->store);
	free(resumption);
}

struct resumption *resumption_of(const SSL_CTX *context)
{
	return resumption_index < 0 ? NULL : SSL_CTX_get_ex_data(context, resumption_index);
}

/* ---- kinds ---------------------------------------------------------------------- */

/* What sessions of one version, suite and group have in common lies in a session
 * of OpenSSL's from which the secret and all that is one client's was taken. */
void session_kinds_free(struct session_kinds *kinds)
{
	for (unsigned int i = 0; i < kinds->count; i++)
		SSL_SESSION_free(kinds->kinds[i].model);
	memset(kinds, 0, sizeof *kinds);
}

static SSL_SESSION *make_model(const SSL_SESSION *session)
{
	static const unsigned char nothing[SESSION_SECRET_SIZE];
	SSL_SESSION *model = SSL_SESSION_dup(session);
	if (model != NULL && (SSL_SESSION_set1_master_key(model, nothing, sizeof nothing) != 1 ||
			      SSL_SESSION_set1_hostname(model, NULL) != 1 ||
			      SSL_SESSION_set1_alpn_selected(model, NULL, 0) != 1)) {
		SSL_SESSION_free(model);
		model = NULL;
	}
	return model;
}

/* The number of the session's kind, or -1 where there is no room for a new one. */
static int kind_of(struct session_kinds *kinds, SSL *connection, const SSL_SESSION *session)
{
	int version = SSL_SESSION_get_protocol_version(session);
	const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session);
	int group = (int)SSL_get_negotiated_group(connection);
	for (unsigned int i = 0; i < kinds->count; i++)
		if (kinds->kinds[i].version == version && kinds->kinds[i].cipher == cipher &&
		    kinds->kinds[i].group == group)
			return (int)i;
	if (kinds->count == SESSION_KINDS)
		return -1;
	SSL_SESSION *model = make_model(session);
	if (model == NULL)
		return -1;
	kinds->kinds[kinds->count].version = version;
	kinds->kinds[kinds->count].cipher = cipher;
	kinds->kinds[kinds->count].group = group;
	kinds->kinds[kinds->count].model = model;
	return (int)kinds->count++;
}

/* ---- OpenSSL's callbacks -------------------------------------------------------- */

/* A session that was authenticated by the client's certificate would come back
 * without its chain; one without the extended master secret is no proof of who
 * made it (RFC 7627 5.3). */
static bool may_be_resumed(SSL *connection, const SSL_SESSION *session)
{
	return SSL_get0_peer_certificate(connection) == NULL &&
	       (SSL_version(connection) >= TLS1_3_VERSION ||
		observer_has_extended_master_secret(connection)) &&
	       SSL_SESSION_is_resumable(session) == 1;
}

/* Whoever has to show a certificate cannot leave it out by resuming a session that
 * was made where he had not to. */
static bool demands_certificate(const SSL *connection)
{
	return (SSL_get_verify_mode(connection) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0;
}

static int new_session(SSL *connection, SSL_SESSION *session)
{
	struct resumption *resumption = observer_resumption(connection);
	struct session found;
	unsigned int id_length = 0;
	const unsigned char *id = SSL_SESSION_get_id(session, &id_length);

	if (resumption == NULL || resumption->store == NULL || id_length != SESSION_ID_SIZE ||
	    !may_be_resumed(connection, session))
		return 0;
	int kind = kind_of(session_store_kinds(resumption->store), connection, session);
	size_t length = SSL_SESSION_get_master_key(session, found.secret, sizeof found.secret);
	if (kind >= 0 && length > 0 && length <= sizeof found.secret) {
		memcpy(found.id, id, sizeof found.id);
		memcpy(found.context, observer_session_context(connection), sizeof found.context);
		found.secret_length = (uint8_t)length;
		found.kind = (uint8_t)kind;
		session_store_insert(resumption->store, &found);
	}
	OPENSSL_cleanse(&found, sizeof found);
	return 0; /* no reference of OpenSSL's was kept */
}

static bool set_time(SSL_SESSION *session, time_t created)
{
#if HAVE_SESSION_TIME_EX
	return SSL_SESSION_set_time_ex(session, created) != 0;
#else
	return SSL_SESSION_set_time(session, (long)created) != 0;
#endif
}

/* A session of OpenSSL's, from what the store knows of it; NULL without memory. */
static SSL_SESSION *make_session(struct session_store *store, const struct session *found)
{
	const struct session_kinds *kinds = session_store_kinds(store);
	SSL_SESSION *session = SSL_SESSION_dup(kinds->kinds[found->kind].model);
	long lifetime = (long)session_store_lifetime(store);
	if (session == NULL)
		return NULL;
	if (SSL_SESSION_set1_id(session, found->id, sizeof found->id) == 1 &&
	    SSL_SESSION_set1_id_context(session, found->context, sizeof found->context) == 1 &&
	    SSL_SESSION_set1_master_key(session, found->secret, found->secret_length) == 1 &&
	    set_time(session, time(NULL) - (time_t)found->age) &&
	    SSL_SESSION_set_timeout(session, lifetime) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static SSL_SESSION *get_session(SSL *connection, const unsigned char *id, int length, int *copy)
{
	struct resumption *resumption = observer_resumption(connection);
	SSL_SESSION *session = NULL;
	struct session found;

	*copy = 0; /* the reference is OpenSSL's */
	if (resumption == NULL || resumption->store == NULL || length != SESSION_ID_SIZE ||
	    demands_certificate(connection))
		return NULL;
	enum session_result result =
	    session_store_find(resumption->store, id, observer_session_context(connection), &found);
	if (observer_first_look_up(connection))
		session_store_count(resumption->store, result);
	if (result == SESSION_FOUND) {
		session = make_session(resumption->store, &found);
		observer_offered_session(connection, id);
	}
	OPENSSL_cleanse(&found, sizeof found);
	return session;
}

/* RFC 5246 7.2.2: a session does not outlive a fatal alert. OpenSSL's own cache
 * ends sessions of connections that were only cut off, too. */
void resumption_end_session(SSL *connection)
{
	struct resumption *resumption = observer_resumption(connection);
	const SSL_SESSION *session = SSL_get_session(connection);
	unsigned int length = 0;
	const unsigned char *id = session == NULL ? NULL : SSL_SESSION_get_id(session, &length);
	if (resumption == NULL || resumption->store == NULL)
		return;
	if (length == SESSION_ID_SIZE)
		session_store_remove(resumption->store, id);
	/* In TLS 1.3 the session that came back is another than the new one. */
	id = observer_resumed_id(connection);
	if (id != NULL)
		session_store_remove(resumption->store, id);
}

void resumption_count_refusal(SSL *connection)
{
	struct resumption *resumption = observer_resumption(connection);
	if (resumption == NULL || resumption->store == NULL)
		return;
	struct session_statistics *statistics = session_store_statistics(resumption->store);
	statistics->hits--;
	statistics->refused++;
}

/* ---- server names --------------------------------------------------------------- */

/* RFC 6066 3: their case does not matter. */
static int compare_names(const void *a, const void *b)
{
	return strcasecmp(((const struct server_name *)a)->name,
			  ((const struct server_name *)b)->name);
}

static bool read_server_name(SSL *connection, char *name, size_t size)
{
	const unsigned char *bytes;
	size_t length;
	if (!offer_find_server_name(connection, &bytes, &length) || length >= size ||
	    memchr(bytes, '\0', length) != NULL)
		return false;
	memcpy(name, bytes, length);
	name[length] = '\0';
	return true;
}

/* On direct TLS the host is known by SNI alone. Sessions are looked up before the
 * server's own callback has chosen the host's context, so the ID context has to
 * be the host's before that. */
static bool bind_to_server_name(SSL *connection, const struct resumption *resumption)
{
	char name[256];
	if (resumption->count == 0)
		return true;
	const struct server_name wanted = { .name = name };
	const struct server_name *found =
	    !read_server_name(connection, name, sizeof name)
		? NULL
		: bsearch(&wanted, resumption->names, resumption->count, sizeof *found,
			  compare_names);
	/* Also of the second ClientHello, which may name another. */
	const unsigned char *context = found != NULL ? found->context : resumption->context;
	if (SSL_set_session_id_context(connection, context, SESSION_CONTEXT_SIZE) != 1)
		return false;
	observer_set_session_context(connection, context);
	return true;
}

/* OpenSSL tells of the extended master secret only after the handshake, and asks
 * whether to keep the session before. It negotiates what the client offers. */
static void note_extended_master_secret(SSL *connection)
{
	const unsigned char *bytes;
	size_t length;
	if ((SSL_get_options(connection) & SSL_OP_NO_EXTENDED_MASTER_SECRET) == 0 &&
	    SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_extended_master_secret, &bytes,
				      &length) == 1)
		observer_note_extended_master_secret(connection);
}

bool resumption_client_hello(SSL *connection)
{
	const struct resumption *resumption = observer_resumption(connection);
	if (resumption == NULL || resumption->store == NULL)
		return true;
	note_extended_master_secret(connection);
	return bind_to_server_name(connection, resumption);
}

/* ---- contexts ------------------------------------------------------------------- */

static struct resumption *resumption_begin(SSL_CTX *context)
{
	struct resumption *resumption = resumption_of(context);
	if (resumption != NULL)
		return resumption;
	if (resumption_index < 0)
		resumption_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, resumption_free);
	resumption = resumption_index < 0 ? NULL : calloc(1, sizeof *resumption);
	if (resumption == NULL || !SSL_CTX_set_ex_data(context, resumption_index, resumption)) {
		free(resumption);
		return NULL;
	}
	return resumption;
}

static bool digest(const char *text, size_t length, unsigned char context[SESSION_CONTEXT_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	if (EVP_Digest(text, length, bytes, NULL, EVP_sha256(), NULL) != 1)
		return false;
	memcpy(context, bytes, SESSION_CONTEXT_SIZE);
	return true;
}

bool resumption_enable(SSL_CTX *context, struct session_store *store, const char *name,
		       size_t length)
{
	struct resumption *resumption = resumption_begin(context);
	unsigned char id_context[SESSION_CONTEXT_SIZE];
	if (resumption == NULL || !digest(name, length, id_context) ||
	    SSL_CTX_set_session_id_context(context, id_context, sizeof id_context) != 1)
		return false;
	if (resumption->store == NULL) {
		resumption->cache_mode = SSL_CTX_get_session_cache_mode(context);
		resumption->timeout = SSL_CTX_get_timeout(context);
		resumption->tickets = SSL_CTX_get_num_tickets(context);
		resumption->psk_without_dhe =
		    SSL_CTX_get_options(context) & SSL_OP_ALLOW_NO_DHE_KEX;
	}
	SSL_CTX_clear_options(context, SSL_OP_ALLOW_NO_DHE_KEX);
	memcpy(resumption->context, id_context, sizeof id_context);
	session_store_up_ref(store);
	session_store_free(resumption->store);
	resumption->store = store;
	SSL_CTX_sess_set_new_cb(context, new_session);
	SSL_CTX_sess_set_get_cb(context, get_session);
	SSL_CTX_set_timeout(context, (long)session_store_lifetime(store));
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
						    SSL_SESS_CACHE_NO_AUTO_CLEAR);
	/* RFC 8446 4.6.1 allows more, for clients that connect in parallel; a client
	 * of XMPP has one stream. */
	return SSL_CTX_set_num_tickets(context, 1) == 1;
}

bool resumption_disable(SSL_CTX *context)
{
	struct resumption *resumption = resumption_of(context);
	if (resumption == NULL || resumption->store == NULL)
		return true;
	SSL_CTX_sess_set_new_cb(context, NULL);
	SSL_CTX_sess_set_get_cb(context, NULL);
	SSL_CTX_set_session_cache_mode(context, resumption->cache_mode);
	SSL_CTX_set_timeout(context, resumption->timeout);
	SSL_CTX_set_options(context, resumption->psk_without_dhe);
	free_names(resumption);
	session_store_free(resumption->store);
	resumption->store = NULL;
	return SSL_CTX_set_num_tickets(context, resumption->tickets) == 1 &&
	       SSL_CTX_set_session_id_context(context, NULL, 0) == 1;
}

bool resumption_is_enabled(const SSL_CTX *context)
{
	const struct resumption *resumption = resumption_of(context);
	return resumption != NULL && resumption->store != NULL;
}

const unsigned char *resumption_context(const struct resumption *resumption)
{
	return resumption->context;
}

/* The number of entries of a table from strings to strings. */
static size_t check_names(lua_State *L, int index)
{
	size_t count = 0;
	luaL_checktype(L, index, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
			luaL_argerror(L, index, "table from names to strings expected");
		count++;
	}
	return count;
}

bool resumption_set_names(lua_State *L, SSL_CTX *context, int index)
{
	size_t count = check_names(L, index), length;
	struct resumption *resumption = resumption_begin(context);
	struct resumption made = { .names = calloc(count + 1, sizeof *made.names) };
	if (resumption == NULL || made.names == NULL)
		goto failed;
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
		struct server_name *name = &made.names[made.count];
		const char *text = lua_tolstring(L, -1, &length);
		name->name = strdup(lua_tostring(L, -2));
		if (name->name == NULL || !digest(text, length, name->context)) {
			free(name->name);
			lua_pop(L, 2);
			goto failed;
		}
		made.count++;
	}
	qsort(made.names, made.count, sizeof *made.names, compare_names);
	free_names(resumption);
	resumption->names = made.names;
	resumption->count = made.count;
	return true;
failed:
	free_names(&made);
	return false;
}
