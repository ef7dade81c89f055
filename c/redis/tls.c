/* TLS of a connection to the engine. */
#include "redis.h"

#include <stdio.h>
#include <string.h>

#if HAVE_REDIS_TLS

#include <arpa/inet.h>

#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

static bool is_address(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool set_name(SSL *connection, const char *host)
{
	X509_VERIFY_PARAM *expected = SSL_get0_param(connection);
	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(expected, host) == 1;
	return X509_VERIFY_PARAM_set1_host(expected, host, strlen(host)) == 1 &&
	       SSL_set_tlsext_host_name(connection, host) == 1;
}

static SSL_CTX *new_settings(const char *ca_file)
{
	SSL_CTX *settings = SSL_CTX_new(TLS_client_method());
	if (settings == NULL)
		return NULL;
	SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION) == 1 &&
	    (ca_file == NULL ? SSL_CTX_set_default_verify_paths(settings)
			     : SSL_CTX_load_verify_file(settings, ca_file)) == 1)
		return settings;
	SSL_CTX_free(settings);
	return NULL;
}

static SSL *new_connection(const char *host, const char *ca_file)
{
	SSL_CTX *settings = new_settings(ca_file);
	SSL *connection = settings == NULL ? NULL : SSL_new(settings);
	SSL_CTX_free(settings); /* the connection has a reference */
	if (connection != NULL && set_name(connection, host))
		return connection;
	SSL_free(connection);
	return NULL;
}

const char *redis_tls_failure(const void *tls)
{
	const char *reason = NULL;
	if (tls == NULL)
		return NULL;
	long result = SSL_get_verify_result((const SSL *)tls);
	if (result != X509_V_OK)
		reason = X509_verify_cert_error_string(result);
	else if (ERR_peek_last_error() != 0)
		reason = ERR_reason_error_string(ERR_peek_last_error());
	ERR_clear_error();
	return reason;
}

void *redis_tls_start(redisContext *context, const char *host, const char *ca_file,
		      char failure[REDIS_FAILURE_SIZE])
{
	SSL *connection = new_connection(host, ca_file);
	if (connection == NULL) {
		const char *reason = ERR_reason_error_string(ERR_peek_last_error());
		snprintf(failure, REDIS_FAILURE_SIZE, "TLS cannot be set up (%s)",
			 reason != NULL ? reason : "memory is short");
		ERR_clear_error();
		return NULL;
	}
	if (redisInitiateSSL(context, connection) == REDIS_OK)
		return connection;
	/* hiredis frees only a connection that began. */
	const char *reason = redis_tls_failure(connection);
	snprintf(failure, REDIS_FAILURE_SIZE, "%s", reason != NULL ? reason : context->errstr);
	SSL_free(connection);
	return NULL;
}

void redis_tls_begin_call(const void *tls)
{
	if (tls != NULL)
		ERR_clear_error();
}

bool redis_tls_waits_to_read(const void *tls)
{
	return tls != NULL && SSL_want_read((const SSL *)tls);
}

#else

void *redis_tls_start(redisContext *context, const char *host, const char *ca_file,
		      char failure[REDIS_FAILURE_SIZE])
{
	(void)context;
	(void)host;
	(void)ca_file;
	snprintf(failure, REDIS_FAILURE_SIZE, "hiredis has no TLS here");
	return NULL;
}

void redis_tls_begin_call(const void *tls)
{
	(void)tls;
}

bool redis_tls_waits_to_read(const void *tls)
{
	(void)tls;
	return false;
}

const char *redis_tls_failure(const void *tls)
{
	(void)tls;
	return NULL;
}

#endif
