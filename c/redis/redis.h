/* The contracts between the files of xmpp_tls_policy.redis: connections to Redis and Valkey by
 * hiredis, without blocking, for the loop of a server. A library of its own, because hiredis is
 * optional. Only luaopen_xmpp_tls_policy_redis is exported from it. */
#ifndef XMPP_TLS_POLICY_REDIS_H
#define XMPP_TLS_POLICY_REDIS_H

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

#include "../compat.h"

/* hiredis: TLS, in a library of its own (1.0). The Makefile says whether it is there. */
#ifndef HAVE_REDIS_TLS
#define HAVE_REDIS_TLS 0
#endif

/* hiredis' type for the number of elements of a list; it may be negative before 1.0. */
#if HIREDIS_MAJOR >= 1
typedef size_t redis_count;
#else
typedef int redis_count;
#endif

#define REDIS_FAILURE_SIZE 256

/* ---- reply.c ----------------------------------------------------------- */

/* Whether lists nest deeper than this in a reply. */
bool redis_reply_is_deep(const redisReply *reply, int deepest);

/* Pushes a reply: a string, a number, a list of replies, false for the reply nil; or for an error
 * nil and its text, which is the only case of two values. Raises an error if memory is short.
 * Returns the number of values. */
int redis_reply_push(lua_State *L, const redisReply *reply);

/* ---- tls.c ------------------------------------------------------------- */

/* Makes a connection that has begun speak TLS 1.2 or newer, and check the certificate of the other
 * end: it has to be for `host`, a name or a numeric address, and to lead to an authority of the
 * file `ca_file` (NULL: one that the system trusts). Returns the TLS connection, which is
 * hiredis', or NULL, with a message, if that cannot be done. */
void *redis_tls_start(redisContext *context, const char *host, const char *ca_file,
		      char failure[REDIS_FAILURE_SIZE]);

/* To be called before hiredis reads or writes: it asks OpenSSL's error queue, in which a failure of
 * somebody else may be. `tls` NULL: nothing. */
void redis_tls_begin_call(const void *tls);

/* Whether the last write to such a connection waits for bytes from the other end. */
bool redis_tls_waits_to_read(const void *tls);

/* Why TLS failed: OpenSSL's words, or NULL if it did not, or if there is none (`tls` NULL). hiredis
 * itself may say "Success". Empties OpenSSL's error queue. */
const char *redis_tls_failure(const void *tls);

#endif
