/* Our callbacks on a context: they follow the handshakes of its connections. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

static void info_callback(const SSL *connection, int where, int value);

/* The label of a context, shifted, and whether offers are kept (context:observe). */
static int marks_index = -1;
#define MARKS_KEEP_OFFERS 1U
#define MARKS_LABEL_SHIFT 1

static unsigned int marks_of(const SSL_CTX *context)
{
	return (unsigned int)(uintptr_t)SSL_CTX_get_ex_data(context, marks_index);
}

/* SNI may have changed the connection's context. */
static unsigned int current_marks(const SSL *connection, const struct handshake *handshake)
{
	unsigned int marks = marks_of(SSL_get_SSL_CTX(connection));
	return marks != 0 ? marks : marks_of(handshake->first_context);
}

/* Without memory a connection stays unobserved. It then has no facts, and the policy closes
 * streams without facts. */
static void observe(SSL *connection)
{
	if (handshake_of(connection) != NULL || !handshake_begin(connection))
		return;
	resumption_begin_handshake(connection);
	/* Follows this handshake also if the context is released meanwhile, or if SNI changes to
	 * a context without our callbacks. */
	SSL_set_info_callback(connection, info_callback);
}

/* The server has made its key of the exchange, which OpenSSL frees when the client's answer comes.
 */
static void note_key_exchange(SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	EVP_PKEY *key = NULL;
	if (handshake == NULL || SSL_get_tmp_key(connection, &key) != 1)
		return;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_DH)
		dhe_limit_take();
	handshake->ephemeral_bits = EVP_PKEY_get_bits(key);
	EVP_PKEY_free(key);
}

/* The message that has just been made has the server's key: in TLS 1.3 the ServerHello. */
static bool is_key_exchange(const SSL *connection)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(connection);
	return state == TLS_ST_SW_KEY_EXCH ||
	       (state == TLS_ST_SW_SRVR_HELLO && SSL_version(connection) >= TLS1_3_VERSION);
}

static void note_finished(SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	socket_acknowledge_at_once(connection);
	/* A renegotiation, if the context allows it, finishes again. */
	if (handshake == NULL || handshake->finished)
		return;
	if (handshake->offered_session && !SSL_session_reused(connection))
		resumption_count_refused(connection);
	unsigned int marks = current_marks(connection, handshake);
	handshake_finish(handshake, (int32_t)(marks >> MARKS_LABEL_SHIFT),
			 marks & MARKS_KEEP_OFFERS);
}

/* OpenSSL also sends an alert to a peer that went away without close_notify
 * (rfc5246.7.2.1.missing-close-notify-keeps-session). */
static bool is_cut_off(void)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	return ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
	return false;
#endif
}

/* rfc5246.7.2.2.fatal-alert-ends-session: only after a finished handshake, in which the peer
 * proved that it knows the secret. Session IDs of TLS 1.2 can be overheard, and must not be
 * enough to end the session of another client. */
static void note_fatal_alert(SSL *connection, bool sent, int alert)
{
	struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL)
		return;
	if (!handshake->finished) {
		handshake->failure.alert = alert;
		handshake->failure.alert_sent = sent;
	} else if (SSL_is_server(connection) && !is_cut_off()) {
		resumption_end_session(connection);
	}
}

/* OpenSSL's error at the end of a failed handshake. In TLS 1.3 all alerts but two are fatal,
 * whatever their level says (rfc8446.6.alerts-are-fatal). */
static void note_error(struct failed_handshake *failure)
{
	failure->error = ERR_peek_last_error();
	int alert = ERR_GET_REASON(failure->error) - SSL_AD_REASON_OFFSET;
	if (ERR_GET_LIB(failure->error) == ERR_LIB_SSL && alert > 0 && alert <= UINT8_MAX)
		failure->alert = alert;
}

/* Before the peer has answered, an alert is not encrypted (rfc8446.6.alert-numbers). */
#define ALERT_RECORD_SIZE 7

/* Notes what was sent without an answer, but for the alert that OpenSSL sends at the end. */
static void note_bytes(struct handshake *handshake, SSL *connection)
{
	struct failed_handshake *failure = &handshake->failure;
	handshake->received = BIO_number_read(SSL_get_rbio(connection)) > 0;
	if (failure->server || handshake->received) {
		failure->unanswered = 0;
	} else if (failure->unanswered == 0) {
		uint64_t sent = BIO_number_written(SSL_get_wbio(connection));
		if (failure->alert_sent && sent >= ALERT_RECORD_SIZE)
			sent -= ALERT_RECORD_SIZE;
		failure->unanswered = sent > INT32_MAX ? INT32_MAX : (int32_t)sent;
	}
}

/* OpenSSL returns to its caller: the handshake waits for the peer, or has ended. Until then
 * SSL_get_extms_support has no answer. */
static void note_return(SSL *connection, int result)
{
	struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL || handshake->failed)
		return;
	if (handshake->finished) {
		long support = SSL_get_extms_support(connection);
		if (support >= 0)
			handshake->extms_support = support;
		return;
	}
	note_bytes(handshake, connection);
	handshake->failure.label =
	    (int32_t)(current_marks(connection, handshake) >> MARKS_LABEL_SHIFT);
	switch (SSL_get_error(connection, result)) {
	case SSL_ERROR_ZERO_RETURN:
		/* Until it returns, OpenSSL 4.0 has this result for all alerts of the peer. Only
		 * after close_notify there is no error. */
		note_error(&handshake->failure);
		if (handshake->failure.error == 0)
			handshake->failure.alert = SSL_AD_CLOSE_NOTIFY;
		handshake_fail(handshake);
		break;
	case SSL_ERROR_SSL:
	case SSL_ERROR_SYSCALL:
		note_error(&handshake->failure);
		handshake_fail(handshake);
		break;
	default:
		break;
	}
}

static void info_callback(const SSL *connection, int where, int value)
{
	/* OpenSSL declares it const, but passes its own SSL, which is not. */
	SSL *observed = (SSL *)(uintptr_t)connection;
	/* OpenSSL's caller may read errno. */
	int error = errno;
	if (where & SSL_CB_HANDSHAKE_START) {
		observe(observed);
		socket_write_at_once(observed);
	} else if (where & SSL_CB_HANDSHAKE_DONE) {
		note_finished(observed);
	} else if ((where & SSL_CB_ALERT) && value >> 8 == SSL3_AL_FATAL) {
		note_fatal_alert(observed, (where & SSL_CB_WRITE) != 0, value & UINT8_MAX);
	} else if ((where & SSL_CB_LOOP) && is_key_exchange(connection)) {
		note_key_exchange(observed);
	} else if (where & SSL_CB_EXIT) {
		note_return(observed, value);
	}
	errno = error;
}

/* Without memory the offer stays unknown. */
static void note_client_hello(SSL *connection)
{
	struct handshake *handshake = handshake_of(connection);
	if (handshake == NULL || handshake->finished)
		return;
	if (handshake->hello == NULL)
		handshake->hello = calloc(1, sizeof *handshake->hello);
	if (handshake->hello != NULL)
		client_hello_read(handshake->hello, connection);
}

static int client_hello(SSL *connection, int *alert, void *argument)
{
	int error = errno;
	(void)argument;
	/* Compares a second hello with the one that is noted. */
	bool accepted = network_contexts_client_hello(connection);
	note_client_hello(connection);
	errno = error;
	if (accepted)
		return SSL_CLIENT_HELLO_SUCCESS;
	*alert = SSL_AD_INTERNAL_ERROR;
	return SSL_CLIENT_HELLO_ERROR;
}

bool callbacks_attach(SSL_CTX *context)
{
	if (marks_index < 0)
		marks_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (!handshake_open() || marks_index < 0)
		return false;
	SSL_CTX_set_info_callback(context, info_callback);
	SSL_CTX_set_client_hello_cb(context, client_hello, NULL);
	return true;
}

bool callbacks_are_attached(const SSL_CTX *context)
{
	return SSL_CTX_get_info_callback((SSL_CTX *)(uintptr_t)context) == info_callback;
}

void callbacks_detach(SSL_CTX *context)
{
	if (!callbacks_are_attached(context))
		return;
	SSL_CTX_set_info_callback(context, NULL);
	SSL_CTX_set_client_hello_cb(context, NULL, NULL);
	network_contexts_clear(context);
	SSL_CTX_set_ex_data(context, marks_index, NULL);
}

bool callbacks_set_label(SSL_CTX *context, int32_t label, bool keep_offers)
{
	uintptr_t marks = (uintptr_t)label << MARKS_LABEL_SHIFT;
	if (keep_offers)
		marks |= MARKS_KEEP_OFFERS;
	return SSL_CTX_set_ex_data(context, marks_index, (void *)marks) == 1;
}
