/* Resumption by session ID: joins OpenSSL's callbacks to the store. In TLS 1.3 the session ID
 * is sent in a ticket (rfc8446.4.6.1.ticket-is-a-name), which holds nothing else. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>

#define APART_MAX 64 /* bytes that keep sessions apart */

struct resumption {
	struct session_store *store; /* NULL: off */
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	struct server_names names; /* of a context that serves by SNI */
	/* As the context had it before. */
	long cache_mode, timeout;
	size_t tickets;
	uint64_t psk_without_dhe; /* the option, if it was set */
};

static int resumption_index = -1;

static void resumption_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
			    void *argp)
{
	struct resumption *resumption = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (resumption == NULL)
		return;
	server_names_free(&resumption->names);
	session_store_free(resumption->store);
	free(resumption);
}

static struct resumption *resumption_of(const SSL_CTX *context)
{
	return resumption_index < 0 ? NULL : SSL_CTX_get_ex_data(context, resumption_index);
}

/* ---- OpenSSL's callbacks -------------------------------------------------------- */

/* The handshake of a connection whose sessions are kept, or NULL. */
static struct handshake *resumable_handshake(const SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	bool on = handshake != NULL && handshake->resumption != NULL &&
		  handshake->resumption->store != NULL;
	return on ? handshake : NULL;
}

/* A session without the extended master secret may be another client's
 * (rfc7627.5.3.no-resumption-without-ems). */
static bool may_be_resumed(SSL *connection, const SSL_SESSION *session)
{
	return (SSL_version(connection) >= TLS1_3_VERSION ||
		handshake_of(connection)->extended_master_secret) &&
	       SSL_SESSION_is_resumable(session) == 1;
}

/* A client that has to show a certificate must not get around it by resuming a session of a
 * context that asks for none. */
static bool demands_certificate(const SSL *connection)
{
	return (SSL_get_verify_mode(connection) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0;
}

/* Puts a session that was kept into the queue of those that go to other processes. `earlier_id`: of
 * the session that it renews, or NULL. */
static void share(const struct handshake *handshake, struct session_store *store,
		  const struct session *kept, const unsigned char *earlier_id)
{
	struct sharing_queue *queue = session_store_queue(store);
	const struct session_kind *kind = &session_store_kinds(store)->kinds[kept->kind];
	struct shared_session shared = {
		.is_renewal = earlier_id != NULL,
		.secret_length = kept->secret_length,
		.version = (uint16_t)kind->version,
		.suite = SSL_CIPHER_get_protocol_id(kind->cipher),
		.group = (uint16_t)kind->number,
		.created = kept->created,
		.lifetime = session_store_lifetime(store),
	};
	if (queue == NULL)
		return;
	shared_session_set_network(&shared, &handshake->failure);
	memcpy(shared.id, kept->id, sizeof shared.id);
	if (earlier_id != NULL)
		memcpy(shared.earlier_id, earlier_id, sizeof shared.earlier_id);
	memcpy(shared.id_context, kept->id_context, sizeof shared.id_context);
	memcpy(shared.secret, kept->secret, kept->secret_length);
	sharing_queue_add(queue, &shared, session_store_now(store));
	OPENSSL_cleanse(&shared, sizeof shared);
}

/* Ends a session here and in other processes. */
static void end(const struct handshake *handshake, const unsigned char *id)
{
	struct session_store *store = handshake->resumption->store;
	struct sharing_queue *queue = session_store_queue(store);
	struct shared_session shared = { .is_removal = true, .created = session_store_now(store) };
	session_store_remove(store, id);
	if (queue == NULL)
		return;
	shared_session_set_network(&shared, &handshake->failure);
	memcpy(shared.id, id, sizeof shared.id);
	sharing_queue_add(queue, &shared, shared.created);
}

/* In TLS 1.3 a resumed session gets another ID. One that was resumed from elsewhere is not ours to
 * keep. */
static void keep(struct handshake *handshake, SSL *connection, struct session *made)
{
	struct session_store *store = handshake->resumption->store;
	made->share = session_store_share_of(store, &handshake->failure);
	const unsigned char *earlier =
	    SSL_session_reused(connection) ? handshake->offered_id : NULL;
	handshake->kept_session = earlier == NULL ? session_store_insert(store, made)
						  : handshake->offered_session &&
							session_store_renew(store, earlier, made);
	if (handshake->kept_session)
		share(handshake, store, made, earlier);
}

static int new_session(SSL *connection, SSL_SESSION *session)
{
	struct handshake *handshake = resumable_handshake(connection);
	struct session made;
	unsigned int id_length = 0;
	const unsigned char *id = SSL_SESSION_get_id(session, &id_length);

	if (handshake == NULL || id_length != SESSION_ID_SIZE ||
	    !may_be_resumed(connection, session))
		return 0;
	struct session_store *store = handshake->resumption->store;
	int kind = session_kinds_find(session_store_kinds(store), connection, session);
	size_t length = SSL_SESSION_get_master_key(session, made.secret, sizeof made.secret);
	if (kind == SESSION_KIND_NONE) {
		session_store_statistics(store)->other_state++;
	} else if (length > 0 && length <= sizeof made.secret) {
		memcpy(made.id, id, sizeof made.id);
		memcpy(made.id_context, handshake->session_id_context, sizeof made.id_context);
		made.secret_length = (uint8_t)length;
		made.kind = (uint8_t)kind;
		keep(handshake, connection, &made);
	}
	OPENSSL_cleanse(&made, sizeof made);
	return 0; /* we keep no reference to OpenSSL's session */
}

static bool set_time(SSL_SESSION *session, time_t created)
{
#if HAVE_SESSION_TIME_EX
	return SSL_SESSION_set_time_ex(session, created) != 0;
#else
	return SSL_SESSION_set_time(session, (long)created) != 0;
#endif
}

/* OpenSSL's form of a session in the store; NULL without memory. It begins now, with the seconds
 * that are left: OpenSSL gives them to the ticket that renews it. */
static SSL_SESSION *make_session(struct session_store *store, const struct session *found)
{
	const struct session_kinds *kinds = session_store_kinds(store);
	SSL_SESSION *session = SSL_SESSION_dup(kinds->kinds[found->kind].model);
	long left = (long)session_store_lifetime(store) - (long)found->age;
	if (session == NULL)
		return NULL;
	if (SSL_SESSION_set1_id(session, found->id, sizeof found->id) == 1 &&
	    SSL_SESSION_set1_id_context(session, found->id_context, sizeof found->id_context) ==
		1 &&
	    SSL_SESSION_set1_master_key(session, found->secret, found->secret_length) == 1 &&
	    set_time(session, time(NULL)) && SSL_SESSION_set_timeout(session, left) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static void count(struct session_store *store, enum session_result result)
{
	struct session_statistics *statistics = session_store_statistics(store);
	unsigned long *const counts[] = {
		[SESSION_FOUND] = &statistics->hits,
		[SESSION_UNKNOWN] = &statistics->unknown,
		[SESSION_EXPIRED] = &statistics->expired,
		[SESSION_OTHER_CONTEXT] = &statistics->other_context,
	};
	++*counts[result];
}

static SSL_SESSION *get_session(SSL *connection, const unsigned char *id, int length, int *copy)
{
	struct handshake *handshake = resumable_handshake(connection);
	SSL_SESSION *session = NULL;
	struct session found;

	*copy = 0; /* OpenSSL takes over our reference */
	if (handshake == NULL || length != SESSION_ID_SIZE || demands_certificate(connection))
		return NULL;
	struct session_store *store = handshake->resumption->store;
	enum session_result result =
	    session_store_find(store, id, handshake->session_id_context, &found);
	/* OpenSSL may ask twice for one handshake. */
	if (!handshake->looked_up)
		count(store, result);
	handshake->looked_up = true;
	if (result == SESSION_FOUND) {
		session = make_session(store, &found);
		handshake->offered_session = true;
		memcpy(handshake->offered_id, id, sizeof handshake->offered_id);
	}
	OPENSSL_cleanse(&found, sizeof found);
	return session;
}

/* rfc5246.7.2.2.fatal-alert-ends-session. OpenSSL's own cache would also end sessions of
 * connections that were only cut off (rfc5246.7.2.1.missing-close-notify-keeps-session). */
void resumption_end_session(SSL *connection)
{
	const struct handshake *handshake = resumable_handshake(connection);
	const SSL_SESSION *session = SSL_get_session(connection);
	unsigned int length = 0;
	const unsigned char *id = session == NULL ? NULL : SSL_SESSION_get_id(session, &length);
	if (handshake == NULL)
		return;
	/* Other processes know only of sessions that were kept. */
	if (length == SESSION_ID_SIZE && handshake->kept_session)
		end(handshake, id);
	/* In TLS 1.3 a resumed connection has a new session beside the resumed one
	 * (rfc8446.6.2.fatal-alert-discards-tickets). */
	if (handshake->offered_session && SSL_session_reused(connection))
		end(handshake, handshake->offered_id);
}

void resumption_count_refused(SSL *connection)
{
	const struct handshake *handshake = resumable_handshake(connection);
	if (handshake == NULL)
		return;
	struct session_statistics *statistics =
	    session_store_statistics(handshake->resumption->store);
	statistics->hits--;
	statistics->refused++;
}

/* ---- server names --------------------------------------------------------------- */

static bool set_apart(unsigned char id_context[SESSION_ID_CONTEXT_SIZE], const void *apart,
		      size_t length)
{
	char text[SESSION_ID_CONTEXT_SIZE + APART_MAX];
	if (length == 0)
		return true;
	if (length > APART_MAX)
		return false;
	memcpy(text, id_context, SESSION_ID_CONTEXT_SIZE);
	memcpy(text + SESSION_ID_CONTEXT_SIZE, apart, length);
	return session_id_context_digest(text, SESSION_ID_CONTEXT_SIZE + length, id_context);
}

/* `id_context`: without a name. The bytes of `apart` come last: a name of ours has an ID context of
 * its own. */
static bool bind_sessions_to(SSL *connection, const struct server_names *names, const void *apart,
			     size_t length, unsigned char id_context[SESSION_ID_CONTEXT_SIZE])
{
	return server_names_bind(names, connection, id_context) &&
	       set_apart(id_context, apart, length) &&
	       SSL_set_session_id_context(connection, id_context, SESSION_ID_CONTEXT_SIZE) == 1;
}

/* Where we keep no sessions, OpenSSL may do it, or send them in tickets. */
static bool bind_openssl_sessions(SSL *connection, const void *apart, size_t length)
{
	static const struct server_names none = { .count = 0 };
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE] = { 0 };
	return length == 0 || bind_sessions_to(connection, &none, apart, length, id_context);
}

/* A session belongs to the name that the client sent, whether it is a name of ours or not
 * (rfc6066.3.no-resumption-under-another-name). On direct TLS only the name tells the host.
 * OpenSSL looks sessions up before the server's own callback chooses the context of the host, so
 * the ID context is set before that; also for a second ClientHello, which may have another
 * name. */
static bool bind_to_server_name(SSL *connection, struct handshake *handshake, const void *apart,
				size_t length)
{
	const struct resumption *resumption = handshake->resumption;
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	memcpy(id_context, resumption->id_context, sizeof id_context);
	if (!bind_sessions_to(connection, &resumption->names, apart, length, id_context))
		return false;
	memcpy(handshake->session_id_context, id_context, sizeof handshake->session_id_context);
	return true;
}

/* OpenSSL asks whether to keep the session before it tells whether the extended master secret
 * was negotiated. It negotiates it if the client offers it (rfc7627.5.2.ems-answered). */
static void note_extended_master_secret(SSL *connection, struct handshake *handshake)
{
	const unsigned char *bytes;
	size_t length;
	if ((SSL_get_options(connection) & SSL_OP_NO_EXTENDED_MASTER_SECRET) == 0 &&
	    SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_extended_master_secret, &bytes,
				      &length) == 1)
		handshake->extended_master_secret = true;
}

void resumption_begin_handshake(SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	handshake->resumption = resumption_of(handshake->first_context);
	if (handshake->resumption != NULL)
		memcpy(handshake->session_id_context, handshake->resumption->id_context,
		       sizeof handshake->session_id_context);
}

bool resumption_client_hello(SSL *connection, const void *apart, size_t length)
{
	struct handshake *handshake = resumable_handshake(connection);
	if (handshake == NULL)
		return bind_openssl_sessions(connection, apart, length);
	note_extended_master_secret(connection, handshake);
	return bind_to_server_name(connection, handshake, apart, length);
}

/* ---- contexts ------------------------------------------------------------------- */

static struct resumption *make_resumption(SSL_CTX *context)
{
	struct resumption *resumption = resumption_of(context);
	if (resumption != NULL)
		return resumption;
	if (resumption_index < 0)
		resumption_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, resumption_free);
	if (resumption_index >= 0)
		resumption = calloc(1, sizeof *resumption);
	if (resumption == NULL || !SSL_CTX_set_ex_data(context, resumption_index, resumption)) {
		free(resumption);
		return NULL;
	}
	return resumption;
}

bool resumption_enable(SSL_CTX *context, struct session_store *store, const char *name,
		       size_t length)
{
	struct resumption *resumption = make_resumption(context);
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	if (resumption == NULL || !session_id_context_digest(name, length, id_context) ||
	    SSL_CTX_set_session_id_context(context, id_context, sizeof id_context) != 1)
		return false;
	if (resumption->store == NULL) {
		resumption->cache_mode = SSL_CTX_get_session_cache_mode(context);
		resumption->timeout = SSL_CTX_get_timeout(context);
		resumption->tickets = SSL_CTX_get_num_tickets(context);
		resumption->psk_without_dhe =
		    SSL_CTX_get_options(context) & SSL_OP_ALLOW_NO_DHE_KEX;
	}
	/* resume.psk-dhe, rfc8446.4.2.9.psk-with-key-exchange */
	SSL_CTX_clear_options(context, SSL_OP_ALLOW_NO_DHE_KEX);
	memcpy(resumption->id_context, id_context, sizeof id_context);
	session_store_up_ref(store);
	session_store_free(resumption->store);
	resumption->store = store;
	SSL_CTX_sess_set_new_cb(context, new_session);
	SSL_CTX_sess_set_get_cb(context, get_session);
	SSL_CTX_set_timeout(context, (long)session_store_lifetime(store));
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
						    SSL_SESS_CACHE_NO_AUTO_CLEAR);
	/* More would be for clients with parallel connections. A client of XMPP has one
	 * (rfc8446.4.6.1.number-of-tickets). */
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
	server_names_free(&resumption->names);
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

bool resumption_set_names(lua_State *L, SSL_CTX *context, int index)
{
	server_names_check(L, index);
	struct resumption *resumption = make_resumption(context);
	return resumption != NULL && server_names_read(L, index, &resumption->names);
}
