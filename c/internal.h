/* What the files of the core share: their contracts. Only
 * luaopen_xmpp_tls_policy_core is exported from the library. */
#ifndef XMPP_TLS_POLICY_INTERNAL_H
#define XMPP_TLS_POLICY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "compat.h"

/* What the Lua files rely on in the core, and in what passes between them: to be raised, here
 * and in lua/xmpp_tls_policy/init.lua, with each change of it. */
#define CORE_INTERFACE 1

#define CONTEXT_TYPE     "xmpp_tls_policy.Context"
#define CERTIFICATE_TYPE "xmpp_tls_policy.Certificate"
#define CONNECTION_TYPE  "xmpp_tls_policy.Connection"
#define STORE_TYPE       "xmpp_tls_policy.Store"
#define HOLD_TYPE        "xmpp_tls_policy.hold"

/* ---- core.c ---------------------------------------------------------- */

/* Pushes nil, message, code and returns 3, for `return push_failure(…)`.
 * The message is made from the format as by printf; where OpenSSL's error
 * queue holds something, its latest reason follows in parentheses. The queue
 * is empty afterwards. `code` is one of the stable words in README.md. */
__attribute__((format(printf, 3, 4))) int push_failure(lua_State *L, const char *code,
						       const char *format, ...);

/* Set a field of the table on top of the stack. A NULL string sets nothing:
 * what is not known is nil. */
void set_string(lua_State *L, const char *field, const char *value);
void set_lstring(lua_State *L, const char *field, const void *value, size_t length);
void set_integer(lua_State *L, const char *field, lua_Integer value);
void set_boolean(lua_State *L, const char *field, bool value);

/* Registers the metatable `type`: `methods` behind __index, `metamethods` in
 * the metatable itself, and `close`, which has to bear being called twice, as
 * __gc, __close and the method close. Leaves the stack as it was. */
void register_type(lua_State *L, const char *type, const luaL_Reg *methods,
		   const luaL_Reg *metamethods, lua_CFunction close);

/* What a method has of OpenSSL while it pushes to Lua: that may throw, and it may
 * run a finaliser that closes the very object. A userdata owns it meanwhile. */
struct hold {
	SSL_CTX *context;
	SSL *connection;
};

/* Pushes a userdata with references of its own; either may be NULL. */
struct hold *hold_push(lua_State *L, SSL_CTX *context, SSL *connection);
void hold_release(struct hold *hold);

/* As lua_getfield, without metamethods: nothing of the caller's runs. */
void raw_getfield(lua_State *L, int index, const char *field);

/* ---- library.c ------------------------------------------------------- */

/* Raises an error unless OpenSSL in this process keeps what the one that we were
 * compiled for promised: its ABI, for newer versions of the same major one
 * (openssl_user_macros(7)). The other's functions may not even be there. */
void library_check(lua_State *L);

/* Whether the OpenSSL that we call has made `context`: another copy, even of the same
 * version, has other ex_data, and frees what we allocate. Reads nothing of the context
 * but its method, which has its place at the beginning in all versions. `*ours`
 * and `*other`: the files of both, the loader's strings. */
bool library_has_made(const SSL_CTX *context, const char **ours, const char **other);

/* ---- certificate.c --------------------------------------------------- */

/* Pushes the module `certificate`. */
void certificate_open(lua_State *L);

/* Pushes a Certificate with a reference of its own to `certificate`. */
void certificate_push(lua_State *L, X509 *certificate);

/* The same without one: what is put there is freed with it. */
X509 **certificate_push_empty(lua_State *L);

/* As struct hold, for a Certificate. */
struct certificate_hold {
	X509 *certificate;
	BIO *text;
	GENERAL_NAMES *names;
	EXTENDED_KEY_USAGE *usages;
};

/* Pushes such a userdata for the Certificate at `index`. */
struct certificate_hold *certificate_hold_push(lua_State *L, int index);
void certificate_hold_release(struct certificate_hold *hold);

void certificate_push_hex(lua_State *L, const unsigned char *bytes, size_t length);

/* ---- certificate_facts.c --------------------------------------------- */

/* The method certificate:facts(). */
int certificate_facts(lua_State *L);

/* ---- domain_name.c --------------------------------------------------- */

/* RFC 1035 2.3.4: 253 characters written out, and the terminating NUL. */
#define DOMAIN_NAME_SIZE 254

/* Brings a domain name into the form in which it is compared: lower case, each
 * internationalised label as an A-label (RFC 5890 2.3.2.1), without the dot of
 * the root. False, with `normal` empty, for anything that is no domain name:
 * empty or too long labels, characters outside letters, digits and hyphen,
 * NUL, malformed UTF-8; a last label of digits only, as in an IPv4 address.
 * U-labels are not mapped (RFC 5895): one with upper-case
 * letters outside ASCII, or not in NFC, equals nothing but itself. */
bool domain_name_normalise(const char *name, size_t length, char normal[DOMAIN_NAME_SIZE]);

/* ---- identity.c ------------------------------------------------------ */

enum identity_kind {
	IDENTITY_OTHER,
	IDENTITY_MALFORMED,
	IDENTITY_DNS,
	IDENTITY_SRV,
	IDENTITY_XMPP,
};

struct identity {
	enum identity_kind kind;
	const char
	    *text; /* as written in the certificate, not terminated; of an SRV-ID, the name */
	size_t length;
	bool wildcard;                  /* a DNS-ID that begins with "*." */
	char service[DOMAIN_NAME_SIZE]; /* of an SRV-ID, lower case, without the underscore */
	char domain[DOMAIN_NAME_SIZE];  /* normalised, without "*."; empty: not a mere domain */
};

/* The subjectAltName, to be freed, or NULL; `*malformed` says whether there is
 * one that cannot be read, or more than one. */
GENERAL_NAMES *identity_names(X509 *certificate, bool *malformed);

/* What one name of a subjectAltName stands for. The text stays the name's. */
void identity_read(struct identity *identity, const GENERAL_NAME *name);

/* Whether the certificate is for a service ("xmpp-client", "xmpp-server") at a
 * domain, which is normalised (RFC 6120 13.7, RFC 6125). The Common Name is never
 * looked at: RFC 6125 6.4.4 makes it a last resort that may be left out, RFC 9525
 * 2 forbids it. */
bool identity_covers(X509 *certificate, const char *domain, const char *service);

/* ---- context.c ------------------------------------------------------- */

/* Pushes the module `context`. */
void context_open(lua_State *L);

/* The SSL_CTX of the Context at `index`; raises an error for anything else and
 * for a closed one. The Context keeps the reference. */
SSL_CTX *context_check(lua_State *L, int index);

/* What the Context at `index` was made for: 's' server, 'c' client, 0 for an
 * adopted one, which does not say. */
char context_role(lua_State *L, int index);

/* Pushes a Context of no further use, for trying things on; NULL where OpenSSL
 * could not make it. */
SSL_CTX *context_scratch(lua_State *L);

/* ---- adoption.c: what a context was before we changed it -------------- */

/* Everything that settings change in a context and that OpenSSL lets us read. */
struct snapshot {
	uint64_t options;
	long minimum_version, maximum_version; /* 0: no limit */
	int security_level;
	size_t tickets;
	uint32_t max_early_data, recv_max_early_data;
	char *ciphers, *ciphersuites, *groups; /* lists as OpenSSL takes them */
	EVP_PKEY *dh;                          /* ours, or NULL */
	int dh_bits;                           /* the least accepted, or 0 */
};

/* Fills `snapshot`, which the caller gives to snapshot_free. False if memory is
 * short or OpenSSL fails. */
bool snapshot_take(SSL_CTX *context, struct snapshot *snapshot);
bool snapshot_restore(SSL_CTX *context, const struct snapshot *snapshot);
void snapshot_free(struct snapshot *snapshot);

/* Remembers, at the first call, what `context` is now, and puts our security
 * callback before its own. False, with nothing changed, if that fails. */
bool adoption_begin(SSL_CTX *context);

/* Makes `context` what it was before adoption_begin; nothing to do where there
 * was none. */
bool adoption_end(SSL_CTX *context);

/* No handshake on `context` succeeds until adoption_end; nor on a context that SNI
 * puts in the place of another. Needs adoption_begin. */
void adoption_disable(SSL_CTX *context);

/* The least bits of ephemeral DH, 0 if none were asked. */
int adoption_dh_bits(const SSL_CTX *context);

/* Says yes to everything that OpenSSL asks a security callback. */
int security_permit(const SSL *connection, const SSL_CTX *context, int operation, int bits, int nid,
		    void *other, void *data);

/* Ephemeral DH: our parameters (NULL: none; takes a reference of its own), and
 * the least number of bits accepted from either side. Needs adoption_begin. */
bool adoption_set_dh(SSL_CTX *context, EVP_PKEY *dh, int least_bits);

/* ---- in_force.c: what a context does, asked of OpenSSL ----------------- */

/* The names of protocol versions, oldest first, ended by a NULL name. */
struct protocol_version {
	const char *name;
	int number;
};
extern const struct protocol_version protocol_versions[];

/* Whether a handshake on `context` can come to this version: limits, options
 * and security level together. */
bool in_force_version(SSL_CTX *context, int version);

/* The groups that a connection from `context` offers, in order: their number,
 * and names in `names`, at most `size`; -1 on failure. The names are the
 * context's. */
int in_force_groups(SSL_CTX *context, const char **names, int size);
#define GROUPS_MAX 64

/* Pushes a table of settings (shape: README.md), or nil, message, code. */
int in_force_push(lua_State *L, SSL_CTX *context);

/* ---- ephemeral_dh.c ---------------------------------------------------- */

/* Bits of the DH parameters that the operator gave LuaSec, which keeps a
 * function that returns them as PEM; 0 where there are none that can be read. */
int ephemeral_dh_operator_bits(lua_State *L, SSL_CTX *context);

/* Bits of a group of RFC 7919 by its NID; 0 for any other group. */
int ephemeral_dh_group_bits(int nid);

/* From now on, ephemeral DH on `context` has at least so many bits: with the
 * operator's parameters where they suffice, else with the smallest group of
 * RFC 7919 that does. Needs adoption_begin. */
bool ephemeral_dh_set(SSL_CTX *context, int least_bits, int operator_bits);

/* ---- settings.c -------------------------------------------------------- */

/* Applies the table of settings at `index` to `context`, all of it or nothing.
 * `luasec`: whether it is LuaSec's. Pushes a table of what was
 * dropped, or nil, message, code. */
int settings_apply(lua_State *L, SSL_CTX *context, int index, bool luasec);

/* ---- offer.c ----------------------------------------------------------- */

#define OFFER_LISTS   4
#define OFFER_NUMBERS 240

/* What a client offered, as much of it as we keep; all zero before it is read. */
struct offer {
	uint16_t numbers[OFFER_NUMBERS]; /* four lists: offer.c says where each begins */
	unsigned char counts[OFFER_LISTS];
	unsigned char present; /* bits: the lists that the hello had */
	bool has_alpn, cut;
	unsigned char server_name_length, alpn_length; /* 0: none */
	unsigned char server_name[255];                /* as sent: any bytes */
	unsigned char alpn[160];                       /* names, each behind its length */
};

/* Adds to `offer` what it does not have yet. Only inside the client-hello callback;
 * allocates nothing, and leaves OpenSSL's error queue as it is. */
void offer_read(struct offer *offer, SSL *connection);

/* Pushes a table (shape: README.md). */
void offer_push(lua_State *L, const struct offer *offer);

/* RFC 6066 3: the name in a list with one of type host_name; bytes of the hello's,
 * at least one. Only inside the client-hello callback. */
bool offer_find_server_name(SSL *connection, const unsigned char **name, size_t *length);

/* ---- refusal.c --------------------------------------------------------- */

/* What is known of a handshake that failed, but for what was offered. */
struct refused_handshake {
	bool server;        /* our role */
	int32_t label;      /* of the context (context:observe); 0: none */
	sa_family_t family; /* of the peer's address: AF_INET, AF_INET6; AF_UNSPEC: none */
	in_port_t port;     /* in the host's byte order */
	unsigned char address[sizeof(struct in6_addr)];
	int alert;           /* its number (RFC 8446 6), or -1 */
	bool alert_sent;     /* by us */
	unsigned long error; /* OpenSSL's, or 0 */
};

/* Keeps copies. `server_name`: what a client asked for, or NULL; `offer`: what a
 * server was offered, or NULL. Allocates nothing. */
void refusal_record(const struct refused_handshake *refusal, const char *server_name,
		    const struct offer *offer);

/* Pushes a list of what was recorded since the last call (shape: README.md), and
 * the number of records that were lost since. Returns 2. */
int refusals_push(lua_State *L);

/* ---- socket.c ---------------------------------------------------------- */

/* None of them does anything where the connection has no socket. */
void socket_write_at_once(const SSL *connection);
void socket_acknowledge_at_once(const SSL *connection);

/* Sets family, address and port to the peer's. An IPv4 address inside IPv6 (RFC
 * 4291 2.5.5.2) is an IPv4 address. */
void socket_note_peer(struct refused_handshake *refusal, const SSL *connection);

/* ---- inspection.c ---------------------------------------------------- */

/* Pushes what context:inspect() returns. */
void inspection_push(lua_State *L, SSL_CTX *context);

/* ---- observer.c ------------------------------------------------------ */

/* Pushes the module `observer`. */
void observer_open(lua_State *L);

/* From now on, connections made from `context` are observed: their facts, and the
 * handshakes that fail. False if memory or an index is missing. */
bool observer_attach(SSL_CTX *context);

/* Gives `context` a label from 1 to INT32_MAX, which its refusals carry;
 * `keep_offers`: a server's offers outlive the handshake. Needs observer_attach.
 * False if memory is short. */
bool observer_mark(SSL_CTX *context, int32_t label, bool keep_offers);

bool observer_is_attached(const SSL_CTX *context);

/* Undoes observer_attach and observer_mark for connections that are made later. */
void observer_detach(SSL_CTX *context);

/* Pushes what the client of a finished handshake offered (shape: README.md), or
 * nil, message, code. Returns the number of values. */
int observer_push_offer(lua_State *L, SSL *connection);

/* What resumption.c needs to know of a connection; NULL if it is not observed. */
struct resumption *observer_resumption(const SSL *connection);
const unsigned char *observer_session_context(const SSL *connection);
void observer_set_session_context(SSL *connection, const unsigned char *context);
/* True at the first call. */
bool observer_first_look_up(SSL *connection);
void observer_offered_session(SSL *connection, const unsigned char *id);
/* The ID of the session that a connection was resumed from, or NULL. */
const unsigned char *observer_resumed_id(const SSL *connection);
void observer_note_extended_master_secret(SSL *connection);
bool observer_has_extended_master_secret(const SSL *connection);

/* Bits of the server's ephemeral key, which OpenSSL forgets before a handshake is
 * over; 0 if they are not known. */
int observer_ephemeral_bits(const SSL *connection);

/* ---- facts.c ----------------------------------------------------------- */

/* Pushes the facts of a connection whose handshake is finished, one value, or
 * nil, message, code. Returns the number of values. */
int facts_push(lua_State *L, SSL *connection);

/* ---- session_store.c --------------------------------------------------- */

#define SESSION_ID_SIZE      32 /* of every session that OpenSSL makes */
#define SESSION_SECRET_SIZE  48 /* at most: RFC 5246 8.1, RFC 8446 with SHA-384 */
#define SESSION_CONTEXT_SIZE 16 /* of the session ID context, a digest */

/* A session on its way into the store or out of it. It holds a secret: cleanse it. */
struct session {
	unsigned char id[SESSION_ID_SIZE];
	unsigned char secret[SESSION_SECRET_SIZE];
	unsigned char context[SESSION_CONTEXT_SIZE];
	uint8_t secret_length;
	uint8_t kind;
	uint32_t age; /* seconds, on the way out */
};

enum session_result {
	SESSION_FOUND,
	SESSION_UNKNOWN,
	SESSION_EXPIRED,
	SESSION_OTHER_CONTEXT,
};

struct session_statistics {
	unsigned long hits, unknown, expired, other_context;
	unsigned long refused; /* found, but OpenSSL did not resume it */
	unsigned long insertions, evictions, removals;
	unsigned long sessions; /* now */
};

struct session_store;

/* Pushes the module `session_store`. */
void session_store_open(lua_State *L);

/* The store of the Store at `index`; raises an error for a closed one. */
struct session_store *session_store_check(lua_State *L, int index);

/* A store with one reference, or NULL. `lifetime` in seconds. The memory is wiped
 * when the last reference goes, and when the process ends. */
struct session_store *session_store_new(unsigned int mebibytes, uint32_t lifetime);
void session_store_up_ref(struct session_store *store);
void session_store_free(struct session_store *store);

/* All in constant time, without allocating. Inserting never fails: the oldest
 * session makes room. An ID that is there already is replaced. */
void session_store_insert(struct session_store *store, const struct session *session);
enum session_result session_store_find(struct session_store *store, const unsigned char *id,
				       const unsigned char *context, struct session *session);
/* Finding counts nothing by itself: OpenSSL may ask twice for one handshake. */
void session_store_count(struct session_store *store, enum session_result result);
void session_store_remove(struct session_store *store, const unsigned char *id);

uint32_t session_store_lifetime(const struct session_store *store);
struct session_statistics *session_store_statistics(struct session_store *store);

/* ---- session_store_trial.c --------------------------------------------- */

/* Adds methods for specs to those of a Store. */
void session_store_trial_open(lua_State *L);

/* ---- resumption.c ------------------------------------------------------ */

/* Versions times suites times groups: there are fewer. */
#define SESSION_KINDS 250

struct session_kinds {
	unsigned int count;
	struct {
		int version, group;
		const SSL_CIPHER *cipher;
		SSL_SESSION *model;
	} kinds[SESSION_KINDS];
};

void session_kinds_free(struct session_kinds *kinds);
struct session_kinds *session_store_kinds(struct session_store *store);

/* What a context's sessions are bound to; lives as long as the SSL_CTX. */
struct resumption;

/* NULL where resumption never was on. */
struct resumption *resumption_of(const SSL_CTX *context);

/* Sessions of connections made from `context` are kept in `store` (which gets one
 * more reference) and resumed from it, under a session ID context that is the
 * digest of `name`. Needs observer_attach. False, with resumption off, if memory
 * is short. */
bool resumption_enable(SSL_CTX *context, struct session_store *store, const char *name,
		       size_t length);

/* Makes the context's cache what it was before. */
bool resumption_disable(SSL_CTX *context);
bool resumption_is_enabled(const SSL_CTX *context);

/* The table at `index` maps server names (SNI) to what replaces the `name` of
 * resumption_enable for a connection that asks for them. Raises an error for what
 * is no such table; false if memory is short. */
bool resumption_set_names(lua_State *L, SSL_CTX *context, int index);

/* The session ID context of connections without a server name. */
const unsigned char *resumption_context(const struct resumption *resumption);

/* What resumption has to know of a ClientHello. Only inside the client-hello callback.
 * False: the handshake has to fail. */
bool resumption_client_hello(SSL *connection);

/* The session of the connection is resumed no more. */
void resumption_end_session(SSL *connection);

/* A session that was found was not resumed after all. */
void resumption_count_refusal(SSL *connection);

/* ---- observation.c ----------------------------------------------------- */

/* What OpenSSL forgets before a handshake is over, or never knew. */
struct observation {
	SSL *connection;
	SSL_CTX *first;                /* the context that the connection began with; a reference */
	int descriptor;                /* -1: no socket */
	int ephemeral_bits;            /* 0: unknown */
	struct resumption *resumption; /* of the first context: SNI may give the connection
					* another, but not another cache */
	unsigned char session_context[SESSION_CONTEXT_SIZE];
	unsigned char offered_id[SESSION_ID_SIZE];
	bool looked_up, offered_session, extended_master_secret;
	bool received; /* a byte, at least, by the last time that OpenSSL returned */
	bool finished, refused;
	struct refused_handshake refusal; /* what is known of a failure before there is one */
	char *server_name;   /* that a client asked for, until the end of the handshake */
	struct offer *offer; /* of a server's client, until then; longer where it is kept */
};

/* Before all else. False if there is no index left. */
bool observation_open(void);

/* The next handshake on a socket, as a client and without SNI, is with this server.
 * False if memory is short. */
bool observation_expect(int descriptor, const char *server_name);

/* False, with nothing done, if memory is short. The connection owns what is begun:
 * if its handshake never was finished when it is freed, it is refused. */
bool observation_begin(SSL *connection);

/* NULL where there is none. */
struct observation *observation_of(const SSL *connection);
struct observation *observation_of_descriptor(lua_Integer descriptor);

void observation_finish(struct observation *observation, bool keep_offer);

/* Records that the handshake failed: once, and not of one that is finished. */
void observation_refuse(struct observation *observation);

/* ---- connection.c ---------------------------------------------------- */

/* Pushes the module `connection`. */
void connection_open(lua_State *L);

#endif
