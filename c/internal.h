/* The contracts between the files of the core. Each section names the file that defines its
 * functions. A file calls only files that do not call it, directly or through others
 * (spec/unit/core_structure_spec.lua). Only luaopen_xmpp_tls_policy_core is exported from the
 * library. */
#ifndef XMPP_TLS_POLICY_INTERNAL_H
#define XMPP_TLS_POLICY_INTERNAL_H

/* First, so that its errors come before those of other headers. */
#include "compat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* The version of the interface between the core and the Lua files: of the functions, and of the
 * values that pass. Each change raises it, here and in lua/xmpp_tls_policy/init.lua. */
#define CORE_INTERFACE 8

#define CONTEXT_TYPE      "xmpp_tls_policy.Context"
#define CERTIFICATE_TYPE  "xmpp_tls_policy.Certificate"
#define CONNECTION_TYPE   "xmpp_tls_policy.Connection"
#define STORE_TYPE        "xmpp_tls_policy.Store"
#define SHARING_TYPE      "xmpp_tls_policy.Sharing"
#define SHARING_KEYS_TYPE "xmpp_tls_policy.SharingKeys"
#define HOLD_TYPE         "xmpp_tls_policy.hold"
/* Of userdata that only the library sees. */
#define NETWORK_CONTEXTS_TYPE "xmpp_tls_policy.network_contexts"

/* ---- failure.c --------------------------------------------------------- */

/* Pushes nil, message, code and returns 3, for `return push_failure(…)`.
 * The message is made from the format as by printf; the latest reason in OpenSSL's error queue,
 * if there is one, follows in parentheses. The queue is empty afterwards. `code` is one of the
 * stable words in doc/scripting.md. */
__attribute__((format(printf, 3, 4))) int push_failure(lua_State *L, const char *code,
						       const char *format, ...);

/* ---- lua_values.c ------------------------------------------------------ */

/* Set a field of the table on top of the stack. A NULL string sets nothing, so that a value
 * that is not known is nil. */
void set_string(lua_State *L, const char *field, const char *value);
void set_lstring(lua_State *L, const char *field, const void *value, size_t length);
void set_integer(lua_State *L, const char *field, lua_Integer value);
void set_boolean(lua_State *L, const char *field, bool value);

/* As lua_getfield, without metamethods: runs no code of the caller's. */
void raw_getfield(lua_State *L, int index, const char *field);

/* Pushes the bytes as lower-case hexadecimal digits. */
void push_hex(lua_State *L, const unsigned char *bytes, size_t length);

/* ---- userdata.c -------------------------------------------------------- */

/* Registers the metatable `type`: `methods` behind __index, `metamethods` in the metatable
 * itself, and `close` as __gc, __close and the method close. `close` may be called twice. Leaves
 * the stack as it was. */
void register_type(lua_State *L, const char *type, const luaL_Reg *methods,
		   const luaL_Reg *metamethods, lua_CFunction close);

/* The objects of OpenSSL that a method uses while it pushes to Lua. That may raise an error, and
 * it may run a finaliser that closes the object. So a userdata owns references meanwhile. */
struct hold {
	SSL_CTX *context;
	SSL *connection;
};

/* Registers the type of the userdata. */
void hold_open(lua_State *L);

/* Pushes a userdata with references of its own; either may be NULL. */
struct hold *hold_push(lua_State *L, SSL_CTX *context, SSL *connection);

/* Gives both references back. May be called twice. */
void hold_release(struct hold *hold);

/* ---- library.c --------------------------------------------------------- */

/* Raises an error unless OpenSSL in this process has the ABI that we were compiled for: that of
 * the same major version, at least as new (openssl_user_macros(7)). Another one may lack
 * functions. */
void library_check(lua_State *L);

/* Returns whether the OpenSSL that we call has made `context`. Another copy, even of the same
 * version, has other ex_data, and would free memory of ours. Reads nothing of the context but
 * its method, which is at the beginning in all versions. `*ours` and `*other`: the files of
 * both, strings of the loader's. */
bool library_has_made(const SSL_CTX *context, const char **ours, const char **other);

/* ---- domain_name.c ----------------------------------------------------- */

/* rfc1035.2.3.4.lengths: 253 characters written out, and the terminating NUL. */
#define DOMAIN_NAME_SIZE 254

/* Brings a domain name into the form in which it is compared: lower case
 * (rfc6125.6.4.1.domain-without-case), each internationalised label as an A-label
 * (rfc6125.6.4.2.compared-as-a-labels, rfc5890.2.3.2.1.a-label), without the dot of the root.
 * False, with `normal` empty, for anything else: empty or too long labels, characters outside
 * letters, digits and hyphen, NUL, malformed UTF-8; a last label of digits only, as in an IPv4
 * address. U-labels are not mapped (rfc5895.2.no-mapping): one with upper-case letters outside
 * ASCII, or not in NFC, equals only itself. */
bool domain_name_normalise(const char *name, size_t length, char normal[DOMAIN_NAME_SIZE]);

/* ---- name_constraints.c ------------------------------------------------ */

/* Sets `*authorities` to those in a verified chain, behind its first certificate, that have name
 * constraints; NULL: none. The caller frees it, also after a failure. False if memory is short. */
bool name_constraints_collect(const STACK_OF(X509) * chain, STACK_OF(X509) * *authorities);

/* Returns whether such authorities (NULL: none) may vouch for a domain, which is normalised, as
 * far as they constrain DNS names (rfc5280.4.2.1.10.within-dns-constraint). */
bool name_constraints_permit(const STACK_OF(X509) * authorities, const char *domain);

/* ---- identity.c -------------------------------------------------------- */

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

/* The subjectAltName, which the caller frees, or NULL. `*malformed` says whether there is one
 * that cannot be read, or more than one. */
GENERAL_NAMES *identity_names(X509 *certificate, bool *malformed);

/* Reads one name of a subjectAltName. The text stays the name's. */
void identity_read(struct identity *identity, const GENERAL_NAME *name);

/* Returns whether the certificate is for a service ("xmpp-client", "xmpp-server") at a domain,
 * which is normalised, by RFC 6120 and RFC 6125. Never looks at the Common Name
 * (rfc6125.6.4.4.no-common-name). `authorities`: those of its chain with name constraints, as
 * name_constraints_collect finds them; outside these, SRV-IDs and XmppAddrs do not count. */
bool identity_covers(X509 *certificate, const STACK_OF(X509) * authorities, const char *domain,
		     const char *service);

/* ---- certificate_facts.c ----------------------------------------------- */

/* As struct hold, for a Certificate. */
struct certificate_hold {
	X509 *certificate;
	BIO *text;
	GENERAL_NAMES *names;
	EXTENDED_KEY_USAGE *usages;
};

/* Pushes the result of certificate:facts(). Returns the number of values. */
int certificate_facts_push(lua_State *L, struct certificate_hold *hold);

/* ---- certificate.c ----------------------------------------------------- */

/* Pushes the module `certificate`. */
void certificate_open(lua_State *L);

/* Pushes a Certificate with a reference of its own to `certificate`. */
void certificate_push(lua_State *L, X509 *certificate);

/* The same for the certificate of a peer, with the chain that OpenSSL verified; NULL: none. */
void certificate_push_peer(lua_State *L, X509 *certificate, const STACK_OF(X509) * chain);

/* Pushes an empty one. The caller puts a reference there, which is freed with it. */
X509 **certificate_push_empty(lua_State *L);

/* The X509 of the Certificate at `index`; raises an error for anything else and for a closed one.
 * The Certificate keeps the reference. */
X509 *certificate_check(lua_State *L, int index);

/* ---- chain.c ----------------------------------------------------------- */

/* Registers a type that it needs. */
void chain_open(lua_State *L);

/* Pushes the result of context:verify(). `sent`, `anchors`: indexes of lists of Certificates; the
 * latter nil for the context's authorities. Returns the number of values. */
int chain_verify(lua_State *L, SSL_CTX *context, int sent, int anchors, lua_Number time);

/* ---- own_certificate.c ------------------------------------------------- */

#define SECURITY_LEVEL_MAX 5 /* of OpenSSL's */

/* Pushes the result of context:inspect(). */
void own_certificate_push(lua_State *L, SSL_CTX *context);

/* Returns whether the certificates of the context, and their chains, suit its security level.
 * If not, `message` says why. */
bool own_certificates_are_strong(SSL_CTX *context, char *message, size_t size);

/* ---- credentials.c ----------------------------------------------------- */

/* Paths of files, and of a directory; NULL: none. */
struct credentials {
	const char *certificate, *key, *ca_file, *ca_path;
	bool system_authorities; /* those that OpenSSL finds by itself, too */
};

/* Loads them into the context. Returns 0, or 3 after push_failure: "file", "parse",
 * "mismatch". */
int credentials_load(lua_State *L, SSL_CTX *context, const struct credentials *credentials);

/* ---- dh_parameters.c --------------------------------------------------- */

/* Bits of a group of RFC 7919 by its NID; 0 for any other group. */
int dh_group_bits(int nid);

/* A bit for such a group by its NID; 0 for any other group. */
unsigned int dh_group_mask(int nid);

/* The NID of the smallest group of RFC 7919 with at least so many bits, or NID_undef. */
int dh_group_nid(int least_bits);

/* The same group's parameters, or NULL. It stays; no reference. */
EVP_PKEY *dh_group_find(int least_bits);

/* Bits of the DH parameters in a PEM text; 0 if it holds none that can be read. */
int dh_pem_bits(const char *text, size_t length);

/* ---- dhe_limit.c ------------------------------------------------------- */

/* So many key exchanges with DHE a second, `at_once` of them at the same time, are allowed to all
 * servers of the process. With 0 a second there is no limit, as at the start. */
void dhe_limit_set(double per_second, double at_once);

/* Whether another one is allowed now. */
bool dhe_limit_allows(void);

/* Counts one that is made. */
void dhe_limit_take(void);

/* The number of handshakes that were refused for the limit. */
void dhe_limit_count_refusal(void);
unsigned long dhe_limit_refusals(void);

/* ---- luasec.c ---------------------------------------------------------- */

/* The userdata of a LuaSec context at the absolute index; the index may also have the table in
 * which Prosody 13 keeps it, and has the userdata afterwards. Raises an error for anything
 * else. */
SSL_CTX **luasec_check_context(lua_State *L, int index);

/* Returns 0 if the SSL_CTX in the userdata can be used, or 3 after push_failure: "closed",
 * "unsupported". Does not allocate in Lua before it has looked. */
int luasec_verify_context(lua_State *L, int index, SSL_CTX **luasec);

/* The number of the socket of the LuaSec connection at the index, negative if it is closed.
 * Raises an error for anything else. */
lua_Integer luasec_check_descriptor(lua_State *L, int index);

/* LuaSec's callbacks on a context use the Lua state in its userdata. LuaSec sets the one of the
 * context with which a connection begins; this gives it to the context that takes its place. Both
 * are contexts of Lua's, adopted or our own. */
void luasec_lend_state(const SSL_CTX *from, const SSL_CTX *to);

/* Whether a connection that chose its context by SNI has this one, and has not finished its
 * handshake. */
bool luasec_is_negotiating(lua_State *L, const SSL_CTX *context);

/* Bits of the DH parameters that the operator gave LuaSec; 0 if there are none that can be
 * read. Runs code of the operator's. */
int luasec_dh_bits(lua_State *L, SSL_CTX *context);

/* ---- security_callback.c ----------------------------------------------- */

/* Puts our security callback before the context's own. False, with nothing changed, if memory or
 * an index is missing. */
bool security_begin(SSL_CTX *context);

/* Puts the context's own back. Needs security_begin. */
void security_end(SSL_CTX *context);

/* Lets no handshake on the context succeed until security_end, also if SNI puts it in the place
 * of another context. Needs security_begin. */
void security_disable(SSL_CTX *context);

/* Lets OpenSSL's security level hold for certificates alone, until security_end: versions, suites,
 * groups, signatures and ephemeral DH (if security_set_dh has a limit) are then held only by the
 * context's other settings. Needs security_begin. */
void security_set_certificates_only(SSL_CTX *context, bool certificates_only);

/* Whether that is so; false without security_begin. */
bool security_is_certificates_only(const SSL_CTX *context);

/* Ephemeral DH: our parameters (NULL: none; takes a reference of its own), and the least number
 * of bits accepted from either side. Needs security_begin. */
bool security_set_dh(SSL_CTX *context, EVP_PKEY *dh, int least_bits);

/* Our parameters or NULL, no reference; the least number of bits, or 0. */
EVP_PKEY *security_dh(const SSL_CTX *context);
int security_dh_bits(const SSL_CTX *context);

/* A finite field (its NID, or NID_undef) beside the `fields` (dh_group_mask) of the context's own
 * list. SNI may put the context in the place of one that lists others. All but its own are for
 * servers before TLS 1.3 alone. Does nothing without security_begin. */
void security_set_dhe_group(SSL_CTX *context, int nid, unsigned int fields);
int security_dhe_group(const SSL_CTX *context);

/* Returns whether security_begin was ever called for the context. */
bool security_is_known(const SSL_CTX *context);

/* The security callback that the context had before ours, as a number, if its answers depend on
 * nothing but its arguments: it has no data. 0: they may depend on more. */
uintptr_t security_plain_callback(const SSL_CTX *context);

/* A security callback that permits everything. */
int security_permit(const SSL *connection, const SSL_CTX *context, int operation, int bits, int nid,
		    void *other, void *data);

/* ---- name_list.c ------------------------------------------------------- */

/* All zero: an empty list. */
struct name_list {
	char *text;
	size_t length, size;
};

/* Adds a name with a mark before it, which may be "". False if memory is short. */
bool name_list_add(struct name_list *list, const char *mark, const char *name);

/* The string, "" if the list is empty. */
const char *name_list_text(const struct name_list *list);

void name_list_free(struct name_list *list);

/* ---- unsent_hello.c ---------------------------------------------------- */

#define GROUPS_MAX  64
#define SCHEMES_MAX 64

/* Adds the names of the groups and of the signature schemes of the context, in order. False on
 * failure: the lists may then have some of them. */
bool unsent_hello_read(SSL_CTX *context, struct name_list *groups, struct name_list *schemes);

enum unsent_hello_answer {
	UNSENT_HELLO_NO,
	UNSENT_HELLO_YES,
	UNSENT_HELLO_UNKNOWN, /* memory was short */
};

/* Whether a handshake on `context` can negotiate this version: limits, options and security level
 * together. */
enum unsent_hello_answer unsent_hello_with_version(SSL_CTX *context, int version);

/* ---- snapshot.c -------------------------------------------------------- */

/* Everything that settings change in a context and that can be read. */
struct snapshot {
	uint64_t options;
	long minimum_version, maximum_version; /* 0: no limit */
	int security_level;
	size_t tickets;
	uint32_t max_early_data, recv_max_early_data;
	struct name_list ciphers, ciphersuites, groups;
	struct name_list schemes; /* of signatures; see signature_schemes_add */
	EVP_PKEY *dh;             /* ours, or NULL */
	int dh_bits;              /* the least accepted, or 0 */
	int dhe_group;            /* NID of the one that is not in `groups` (dhe_group_set) */
	bool certificates_only;
};

/* Fills `snapshot`, which the caller gives to snapshot_free. False, with an empty snapshot, if
 * memory is short or OpenSSL fails. */
bool snapshot_take(SSL_CTX *context, struct snapshot *snapshot);
/* The same for a context of which settings were changed since `before`. `groups`, `schemes`: the
 * lists to which these were set; empty: they were not. */
bool snapshot_take_changed(SSL_CTX *context, struct snapshot *snapshot,
			   const struct snapshot *before, const struct name_list *groups,
			   const struct name_list *schemes);
/* `with_schemes`: whether the signature schemes were changed. Those without a name are lost then.
 */
bool snapshot_restore(SSL_CTX *context, const struct snapshot *snapshot, bool with_schemes);
void snapshot_free(struct snapshot *snapshot);

/* ---- versions.c -------------------------------------------------------- */

/* The names of protocol versions, oldest first, ended by a NULL name. */
struct protocol_version {
	const char *name;
	int number;
};
extern const struct protocol_version protocol_versions[];

/* The versions that a handshake on `context`, which is as the snapshot says, can negotiate: bits by
 * their place in protocol_versions. */
unsigned int versions_of(SSL_CTX *context, const struct snapshot *snapshot);

/* ---- readback.c -------------------------------------------------------- */

/* Pushes a table of settings (shape: doc/scripting.md), or nil, message, code. `own_dh_bits`: see
 * context:settings; 0: none. Returns the number of values. */
int readback_push(lua_State *L, SSL_CTX *context, int own_dh_bits);

/* The same of a context that is as `kept` says. The table at the absolute index `known` has those
 * of other contexts by a digest of all that is in them: the table of a context that is alike is
 * pushed, and a new one is put there. */
int readback_push_known(lua_State *L, SSL_CTX *context, const struct snapshot *kept,
			int own_dh_bits, int known);

/* ---- original.c -------------------------------------------------------- */

/* At the first call, keeps a snapshot of the context and calls security_begin. Returns the
 * snapshot, which lasts until original_restore; NULL, with nothing changed, on failure. */
const struct snapshot *original_keep(SSL_CTX *context);

/* Says that the context is no longer as it was; `schemes`: its signature schemes are not, either.
 * Needs original_keep. */
void original_note_change(SSL_CTX *context, bool schemes);
/* Whether original_note_change was called since original_keep. */
bool original_is_changed(const SSL_CTX *context);

/* Restores the context to its state before original_keep; does nothing without it. */
bool original_restore(SSL_CTX *context);

/* ---- signature_schemes.c ----------------------------------------------- */

/* Adds IANA's name of a signature scheme, or "0x" and four digits for one without a name. False if
 * memory is short. */
bool signature_schemes_add(struct name_list *list, unsigned int number);

/* Sets the signature schemes of a context, for both roles; numbers in the list are left out. False
 * if OpenSSL does not know one of them, or if none is left. Leaves errors in OpenSSL's queue. */
bool signature_schemes_set(SSL_CTX *context, const struct name_list *list);

/* ---- setting_list.c ---------------------------------------------------- */

/* The names in one of the lists, and whether the context knows each. The strings belong to a
 * private table on Lua's stack. */
struct setting_list {
	int count;
	bool asked;
	struct setting_name {
		const char *text;
		bool known;
	} * names;
};

/* Reads the field of the table at the absolute index. Leaves two values on the stack, for as long
 * as the list is used. Raises an error for anything that is no list of names. */
void setting_list_read(lua_State *L, int index, const char *field, struct setting_list *names);

/* Each sets a list of the context to the names that OpenSSL knows, and notes which it knows. False
 * if OpenSSL does not accept them. Without any known name, the context keeps some of its own. */
bool setting_list_set_suites(SSL_CTX *context, struct setting_list *names, bool tls13);
/* `key_shares`: of so many groups a client sends a key share at once; `list` gets the text. */
bool setting_list_set_groups(SSL_CTX *context, struct setting_list *names, int key_shares,
			     struct name_list *list);
/* Signature schemes, for both roles; `list` gets the names that are known. */
bool setting_list_set_schemes(SSL_CTX *context, struct setting_list *names, struct name_list *list);

/* Whether none of the names is known. */
bool setting_list_is_empty(const struct setting_list *names);

/* ---- dhe_group.c ------------------------------------------------------- */

/* The group that DHE lacks before TLS 1.3, where OpenSSL negotiates DHE by its group: the smallest
 * of RFC 7919 with at least so many bits (its NID), unless it is in the list of names (with colons
 * between them, and marks). NID_undef: none, as for negative `least_bits`. */
int dhe_group_lacking(const char *groups, int least_bits);

/* Adds such a list, and a group (NID_undef: none), to an empty one. False if memory is short. */
bool dhe_group_list(struct name_list *list, const char *groups, int nid);

/* Sets the groups of a context to such a list, and adds that group (NID_undef: none) for servers
 * before TLS 1.3 alone. With neither, the context keeps its list. Needs security_begin, if there is
 * a group to add. */
bool dhe_group_set(SSL_CTX *context, const char *groups, int nid);

/* ---- settings.c -------------------------------------------------------- */

/* Applies the table of settings at `index` to `context`, all of it or nothing. `luasec`:
 * whether the context is LuaSec's. Pushes a table of the names that were dropped, or nil,
 * message, code. Returns the number of values. */
int settings_apply(lua_State *L, SSL_CTX *context, int index, bool luasec);

/* ---- client_hello.c ---------------------------------------------------- */

#define OFFER_LISTS   4
#define OFFER_NUMBERS 240

/* The offer of a client, as much of it as we keep; all zero before it is read. */
struct client_hello {
	uint16_t numbers[OFFER_NUMBERS]; /* four lists: client_hello.c says where each begins */
	unsigned char counts[OFFER_LISTS];
	unsigned char present; /* bits: the lists that the hello had */
	bool has_alpn, cut;
	bool extended_master_secret, secure_renegotiation; /* whether the client can do them */
	unsigned char server_name_length, alpn_length;     /* 0: none */
	unsigned char server_name[255];                    /* as sent: any bytes */
	unsigned char alpn[160];                           /* names, each behind its length */
};

/* Adds to `hello` the parts that it does not have yet. Only inside the client-hello callback;
 * allocates nothing, and leaves OpenSSL's error queue as it is. */
void client_hello_read(struct client_hello *hello, SSL *connection);

/* Pushes a table (shape: doc/scripting.md). */
void client_hello_push(lua_State *L, const struct client_hello *hello);

#define SHAPE_SIZE (1 + OFFER_LISTS + OFFER_NUMBERS * 2 + 160)

/* Pushes the shape of the hello, a string of at most SHAPE_SIZE bytes: all of it but the server
 * name. Clients of one program and configuration have the same one. First a byte: bits 0 to 3 say
 * whether the hello had versions, suites, groups, signature schemes; bit 4 ALPN; bit 5 the extended
 * master secret; bit 6 secure renegotiation; bit 7 whether anything was cut. Then for each list the
 * count, one byte, and the numbers, two bytes each; then the names of ALPN, each behind its length.
 */
void client_hello_push_shape(lua_State *L, const struct client_hello *hello);

/* Finds the name in a list as rfc6066.3.one-host-name has it: bytes of the hello's, at least one.
 * Only inside the client-hello callback. */
bool client_hello_find_server_name(SSL *connection, const unsigned char **name, size_t *length);

#define SERVER_NAME_SIZE 256 /* with the terminating NUL; OpenSSL's most */

/* The same, in lower case with a NUL behind it. Returns its length; 0: none. */
size_t client_hello_read_server_name(SSL *connection, char name[SERVER_NAME_SIZE]);

/* ---- alert.c ----------------------------------------------------------- */

/* Pushes the name of the alert with this number, which is "alert_" and the number if it has none.
 */
void alert_name_push(lua_State *L, int number);

/* ---- failed_handshake.c ------------------------------------------------ */

/* A handshake that failed, without the offer. */
struct failed_handshake {
	bool server;        /* our role */
	int32_t label;      /* of the context (context:observe); 0: none */
	sa_family_t family; /* of the peer's address: AF_INET, AF_INET6; AF_UNSPEC: none */
	in_port_t port;     /* in the host's byte order */
	unsigned char address[sizeof(struct in6_addr)];
	int alert;           /* its number (rfc8446.6.alert-numbers), or -1 */
	bool alert_sent;     /* by us */
	bool dhe_limited;    /* dhe_limit.c refused its key exchange */
	unsigned long error; /* OpenSSL's, or 0 */
	int32_t unanswered;  /* bytes that a client sent, while not one came back; 0: none */
};

/* Keeps copies. `server_name`: of the other end, as far as it is known, or NULL; `hello`: that a
 * server got, or NULL. Allocates nothing. */
void failed_handshake_record(const struct failed_handshake *failure, const char *server_name,
			     const struct client_hello *hello);

/* Pushes a list of the records since the last call (shape: doc/scripting.md), and the number of
 * records that were lost since. Returns 2. */
int failed_handshakes_push(lua_State *L);

/* ---- socket.c ---------------------------------------------------------- */

/* None of them does anything if the connection has no socket. */
void socket_write_at_once(const SSL *connection);
void socket_acknowledge_at_once(const SSL *connection);

/* Sets family, address and port to the peer's. An IPv4 address inside IPv6
 * (rfc4291.2.5.5.2.ipv4-mapped) becomes an IPv4 address. */
void socket_note_peer(struct failed_handshake *failure, const SSL *connection);

/* ---- session_kinds.c --------------------------------------------------- */

#define SESSION_ID_SIZE         32 /* of every session that OpenSSL makes */
#define SESSION_SECRET_SIZE     48 /* at most: rfc5246.8.1.secret-of-48-bytes */
#define SESSION_ID_CONTEXT_SIZE 16 /* a digest */

/* More than there are versions times suites times groups. */
#define SESSION_KINDS 250

struct session_kind {
	int version;
	int group;           /* OpenSSL's number of it */
	unsigned int number; /* of the group on the wire; 0: none */
	const SSL_CIPHER *cipher;
	SSL_SESSION *model;
};

struct session_kinds {
	unsigned int count;
	struct session_kind kinds[SESSION_KINDS];
};

#define SESSION_KIND_NONE (-1)

/* The number of the session's kind, made if there is none. SESSION_KIND_NONE if memory is short,
 * and for a session with more state than a record and a kind hold: it must not be kept. */
int session_kinds_find(struct session_kinds *kinds, SSL *connection, const SSL_SESSION *session);

/* The same by the numbers on the wire, for a session of another process. SESSION_KIND_NONE also for
 * numbers that OpenSSL here does not know or that do not fit each other. */
int session_kinds_find_shared(struct session_kinds *kinds, int version, unsigned int suite,
			      unsigned int number);

/* Frees the models. The struct stays the caller's. */
void session_kinds_free(struct session_kinds *kinds);

/* ---- secret_memory.c --------------------------------------------------- */

struct secret_memory {
	void *bytes;
	size_t size;
	bool locked; /* the system does not swap it out */
	struct secret_memory *next;
};

/* A multiple of 4096 that is not less. */
#define SECRET_PAGES(bytes) (((bytes) + 4095) / 4096 * 4096)

/* Maps so many bytes, a multiple of 4096, all zero. Takes memory only for pages that are written.
 * `memory` must not move until secret_memory_unmap. False, with
 * errno set, on failure. */
bool secret_memory_map(struct secret_memory *memory, size_t size);

/* Wipes the memory, and gives it back. Needs secret_memory_map. */
void secret_memory_unmap(struct secret_memory *memory);

/* Makes all bytes zero. */
void secret_memory_wipe(struct secret_memory *memory);

/* ---- session_shares.c -------------------------------------------------- */

struct session_shares {
	uint32_t *counts; /* sessions of each share */
	uint32_t size;    /* shares */
	uint32_t most;    /* sessions of one share */
	uint64_t keys[3];
};

/* `counts`: so many numbers, all 0, which stay the caller's. False, with errno set, without
 * random bytes. */
bool session_shares_init(struct session_shares *shares, uint32_t *counts, uint32_t size);

/* How many sessions one share may have, at least one. */
void session_shares_set_most(struct session_shares *shares, uint32_t most);

/* The number of the share of an IPv4 address, or of a /48 of IPv6. Others may have the same one.
 * 0, which has no bound, for a connection without an address. */
uint32_t session_shares_find(const struct session_shares *shares,
			     const struct failed_handshake *peer);

/* Whether a share may have one more session. The caller adds and subtracts each one once. */
bool session_shares_have_room(const struct session_shares *shares, uint32_t share);
void session_shares_add(struct session_shares *shares, uint32_t share);
void session_shares_subtract(struct session_shares *shares, uint32_t share);

/* ---- shared_session.c -------------------------------------------------- */

/* The first bytes of an address, for session_shares_find. */
enum { SHARED_NO_NETWORK = 0, SHARED_IPV4 = 4, SHARED_IPV6 = 6 };

/* A session that goes to other processes. It holds a secret. */
struct shared_session {
	bool is_removal; /* only `id` and `created` (of the removal) count */
	bool is_renewal; /* of the session `earlier_id` */
	uint8_t secret_length;
	uint8_t network_family, network[6]; /* of the client */
	uint16_t version, suite, group;     /* numbers on the wire; group 0: none */
	uint32_t created;                   /* by the full handshake: seconds since 1970 */
	uint32_t lifetime;                  /* seconds, of the store that it comes from */
	unsigned char id[SESSION_ID_SIZE], earlier_id[SESSION_ID_SIZE];
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	unsigned char secret[SESSION_SECRET_SIZE];
};

/* Bytes of the plain form of each. */
#define SHARED_SESSION_SIZE 152

void shared_session_write(const struct shared_session *shared,
			  unsigned char plain[SHARED_SESSION_SIZE]);

/* False if a field is out of its bounds. */
bool shared_session_read(struct shared_session *shared,
			 const unsigned char plain[SHARED_SESSION_SIZE]);

void shared_session_set_network(struct shared_session *shared, const struct failed_handshake *peer);

/* A peer in that network. */
struct failed_handshake shared_session_peer(const struct shared_session *shared);

/* ---- stream_shares.c --------------------------------------------------- */

/* The entries that each address has in the stream. A period is so many seconds by the clock, and
 * begins at a multiple of them: so all processes count in the same one. */
struct stream_shares {
	uint32_t period;  /* seconds */
	uint32_t current; /* the number of the period that is counted */
	uint32_t *counts; /* NULL: no bound */
	struct session_shares sessions, ends;
};

/* `shares`: all zero. An address may append so many sessions in a period, and so many ends of
 * sessions; 0: no bound. False with errno set. */
bool stream_shares_init(struct stream_shares *shares, uint32_t most, uint32_t period);
void stream_shares_free(struct stream_shares *shares);

/* Counts a record that is to be appended. False, with nothing counted, if its address has its
 * share. `now`: seconds since 1970. */
bool stream_shares_take(struct stream_shares *shares, const struct shared_session *shared,
			uint32_t now);

/* Counts a record that another process appended, and that was sealed at that time. */
void stream_shares_count(struct stream_shares *shares, const struct shared_session *shared,
			 uint32_t sealed, uint32_t now);

/* ---- superseded_ids.c -------------------------------------------------- */

#define SUPERSEDED_ROWS   8192
#define SUPERSEDED_IN_ROW 8

/* All zero at first: 512 KiB, of which fresh memory takes none until it is written. */
struct superseded_ids {
	uint64_t rows[SUPERSEDED_ROWS][SUPERSEDED_IN_ROW];
};

/* Notes that the session with this ID was renewed; `twice`: and its renewal, too. */
void superseded_ids_note(struct superseded_ids *ids, const unsigned char *id, bool twice);

/* How often the session with this ID was renewed: 0 (as far as it is known), 1, or 2 for more. It
 * is forgotten. */
unsigned int superseded_ids_take(struct superseded_ids *ids, const unsigned char *id);

/* ---- sharing_queue.c --------------------------------------------------- */

struct sharing_queue;

struct sharing_queue_size {
	size_t records, bytes;    /* that wait */
	unsigned long dropped;    /* since the start, because the queue was full */
	unsigned long over_share; /* and because their address had its share of the stream */
	bool locked;              /* the system does not swap it out */
};

/* `bytes`: at least those of one record; `most`, `period`: see stream_shares_init. NULL with errno
 * set on failure. */
struct sharing_queue *sharing_queue_new(size_t bytes, uint32_t most, uint32_t period);
void sharing_queue_free(struct sharing_queue *queue);

/* Adds a copy; drops and counts it if the queue is full, or its address has its share of the
 * stream. `now`: seconds since 1970. */
void sharing_queue_add(struct sharing_queue *queue, const struct shared_session *shared,
		       uint32_t now);
struct stream_shares *sharing_queue_shares(struct sharing_queue *queue);

/* The record that waits longest, or NULL. */
const struct shared_session *sharing_queue_first(const struct sharing_queue *queue);
void sharing_queue_remove_first(struct sharing_queue *queue);
struct sharing_queue_size sharing_queue_size(const struct sharing_queue *queue);

/* ---- sealing.c --------------------------------------------------------- */

#define SEALING_KEY_MIN     32 /* bytes */
#define SEALING_KEY_MAX     64
#define SEALING_KEY_ID_SIZE 8
#define SEALING_SALT_SIZE   16
#define SEALED_FORM         1
#define SEALED_HEADER_SIZE  37
#define SEALED_TAG_SIZE     16
#define SEALED_SIZE         (SEALED_HEADER_SIZE + SHARED_SESSION_SIZE + SEALED_TAG_SIZE)

struct sealing_key {
	size_t length;
	unsigned char bytes[SEALING_KEY_MAX];
	unsigned char id[SEALING_KEY_ID_SIZE]; /* tells nothing of the bytes */
};

/* `length` in bounds. False if OpenSSL fails. The caller wipes the key. */
bool sealing_key_set(struct sealing_key *key, const void *bytes, size_t length);

/* The cipher of a writer, by its salt; the caller frees it. NULL if OpenSSL fails. */
EVP_CIPHER_CTX *sealing_cipher(const struct sealing_key *key, const unsigned char *salt);

struct sealed_header {
	unsigned char key_id[SEALING_KEY_ID_SIZE];
	uint32_t time; /* of the sealing: seconds since 1970 */
	unsigned char salt[SEALING_SALT_SIZE];
	uint64_t counter; /* of the writer's records, from 1 */
};

/* False if the record has another size or form. Nothing else is checked before sealing_open. */
bool sealed_header_read(struct sealed_header *header, const unsigned char *sealed, size_t length);

/* The header and the name are authenticated. False if OpenSSL fails. */
bool sealing_seal(EVP_CIPHER_CTX *cipher, const struct sealed_header *header, const char *name,
		  size_t name_length, const unsigned char plain[SHARED_SESSION_SIZE],
		  unsigned char sealed[SEALED_SIZE]);

/* False, with nothing in `plain`, for a record of another key or name, and for a changed one. */
bool sealing_open(EVP_CIPHER_CTX *cipher, const char *name, size_t name_length,
		  const unsigned char sealed[SEALED_SIZE],
		  unsigned char plain[SHARED_SESSION_SIZE]);

/* ---- record_writers.c -------------------------------------------------- */

/* Process starts of all machines within one lifetime. */
#define RECORD_WRITERS 256

struct record_writer {
	unsigned char salt[SEALING_SALT_SIZE];
	unsigned int key;
	EVP_CIPHER_CTX *cipher;
	unsigned char *seen; /* bits by counter, of the latest ones */
	uint64_t highest;    /* counter; 0: no record yet */
	uint32_t newest;     /* time of a record */
};

struct record_writers {
	unsigned int count;
	struct record_writer writers[RECORD_WRITERS];
};

/* Sets them to none. */
void record_writers_init(struct record_writers *writers);

/* Frees their ciphers. The struct stays the caller's. */
void record_writers_free(struct record_writers *writers);

/* `key`: the place of the writer's key. NULL if the writer is not known. */
struct record_writer *record_writers_find(struct record_writers *writers, unsigned int key,
					  const unsigned char *salt);

/* Adds one, which owns the cipher. NULL, with nothing done, without memory and while so many other
 * writers have records that may still come. */
struct record_writer *record_writers_add(struct record_writers *writers, unsigned int key,
					 const unsigned char *salt, EVP_CIPHER_CTX *cipher,
					 uint32_t now, uint32_t lifetime);

/* Notes a record. False for one that was noted before, and for one that is so much older than the
 * latest that this is not known. */
bool record_writer_note(struct record_writer *writer, uint64_t counter, uint32_t time);

/* ---- session_store.c --------------------------------------------------- */

/* A session on its way into the store or out of it. It holds a secret: the caller wipes it. */
struct session {
	unsigned char id[SESSION_ID_SIZE];
	unsigned char secret[SESSION_SECRET_SIZE];
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
	uint8_t secret_length;
	uint8_t kind;
	uint32_t share;   /* session_store_share_of, on the way in */
	uint32_t age;     /* seconds, on the way out */
	uint32_t created; /* by the store's clock; the store sets it on the way in */
};

enum session_result {
	SESSION_FOUND,
	SESSION_UNKNOWN,
	SESSION_EXPIRED,
	SESSION_OTHER_CONTEXT,
};

/* How a session of another process is taken in. */
enum session_sharing_result {
	SESSION_TAKEN,
	SESSION_KNOWN,   /* it is there already */
	SESSION_ENDED,   /* session_store_remove_shared came first */
	SESSION_NO_ROOM, /* nor for an older one */
	SESSION_OVER_SHARE,
};

struct session_statistics {
	unsigned long hits, unknown, expired, other_context;
	unsigned long refused;                 /* found, but OpenSSL did not resume it */
	unsigned long over_share, other_state; /* not kept */
	unsigned long insertions, evictions, removals;
	unsigned long sessions; /* now */
};

struct session_store_size {
	uint32_t capacity; /* sessions */
	size_t bytes;
	bool locked; /* the system does not swap it out */
};

struct session_store;

/* A store with one reference, or NULL with errno set. `lifetime` in seconds; `share`: see
 * session_store_set_share. The memory is wiped when the last reference goes, and when the process
 * ends. */
struct session_store *session_store_new(unsigned int mebibytes, uint32_t lifetime,
					unsigned int share);
void session_store_up_ref(struct session_store *store);
void session_store_free(struct session_store *store);

/* All in constant time, without allocating. */

/* Puts a new session into the store; the oldest makes room, and one with the same ID is replaced.
 * False, with nothing inserted, if its address has its share. */
bool session_store_insert(struct session_store *store, struct session *session);

/* Gives the session with this ID another ID and secret. It keeps its age and its share, and goes by
 * both IDs until one of them is used; earlier ones end. False, with nothing changed, if there is
 * none. */
bool session_store_renew(struct session_store *store, const unsigned char *id,
			 struct session *session);

/* Inserts a session of another process, which has `created` already: the oldest makes room only if
 * it is older. `earlier_id`: of the session that it renews, or NULL. */
enum session_sharing_result session_store_insert_shared(struct session_store *store,
							struct session *session,
							const unsigned char *earlier_id);

/* Removes a session of which another process says that it has ended. If it is not there, the store
 * keeps its ID, so that it is not inserted later, unless its share has no room: then it is not
 * inserted for this reason. */
void session_store_remove_shared(struct session_store *store, const unsigned char *id,
				 uint32_t share);

/* The caller counts the result. */
enum session_result session_store_find(struct session_store *store, const unsigned char *id,
				       const unsigned char *id_context, struct session *session);

/* Wipes the secret. The ID keeps its place, and counts to its share, until the lifetime is over. */
void session_store_remove(struct session_store *store, const unsigned char *id);

/* Wipes the sessions that have expired among the next `most` places. */
void session_store_sweep(struct session_store *store, uint32_t most);

/* Wipes all sessions. */
void session_store_flush(struct session_store *store);

/* Seconds from the full handshake. A change holds for the sessions that are there, too. */
uint32_t session_store_lifetime(const struct session_store *store);
void session_store_set_lifetime(struct session_store *store, uint32_t lifetime);

/* `share` addresses that have as many sessions as they may fill the store; 1: no bound. */
void session_store_set_share(struct session_store *store, unsigned int share);
uint32_t session_store_share_of(const struct session_store *store,
				const struct failed_handshake *peer);
struct session_store_size session_store_size(const struct session_store *store);
struct session_kinds *session_store_kinds(struct session_store *store);
struct session_statistics *session_store_statistics(struct session_store *store);

/* Takes the new sessions of this process, and their ends; NULL: none. It stays the caller's. */
void session_store_set_queue(struct session_store *store, struct sharing_queue *queue);
struct sharing_queue *session_store_queue(const struct session_store *store);

/* Seconds, by the store's clock. */
uint32_t session_store_now(const struct session_store *store);

/* The store's clock stands at this time; with 0 it is the system's. */
void session_store_set_clock(struct session_store *store, uint32_t seconds);

/* ---- store.c ----------------------------------------------------------- */

/* Pushes the module `session_store`. */
void store_open(lua_State *L);

/* The store of the Store at `index`; raises an error for a closed one. */
struct session_store *store_check(lua_State *L, int index);

/* ---- sharing_keys.c ---------------------------------------------------- */

#define SHARING_KEYS_MAX 2

struct sharing_keys {
	unsigned long references;
	struct secret_memory memory; /* of the keys */
	struct sealing_key *keys;    /* SHARING_KEYS_MAX; the first seals */
	unsigned int count;
};

/* Without keys, and with one reference; NULL with errno set. The memory is wiped when the last
 * reference goes, and when the process ends. */
struct sharing_keys *sharing_keys_new(void);
void sharing_keys_up_ref(struct sharing_keys *keys);
void sharing_keys_free(struct sharing_keys *keys);

/* Of more than SHARING_KEYS_MAX, only the number is kept. False if OpenSSL fails. The caller wipes
 * the bytes. */
bool sharing_keys_add(struct sharing_keys *keys, const void *bytes, size_t length);

/* Whether there are two, which are equal. Compares in constant time. */
bool sharing_keys_are_the_same(const struct sharing_keys *keys);

/* Pushes Keys without keys. NULL with errno set. */
struct sharing_keys *sharing_keys_push(lua_State *L);

/* The keys of the Keys at `index`; raises an error for closed ones. */
struct sharing_keys *sharing_keys_check(lua_State *L, int index);

/* Registers the type. */
void sharing_keys_open(lua_State *L);

/* ---- key_file.c -------------------------------------------------------- */

/* Pushes the module `key_file`. */
void key_file_open(lua_State *L);

/* ---- session_sharing.c ------------------------------------------------- */

/* Pushes the function session_sharing. */
void session_sharing_open(lua_State *L);

struct session_sharing;

/* The sharing of the Sharing at `index`; raises an error for a closed one. */
struct session_sharing *session_sharing_check(lua_State *L, int index);

/* Seals a plain record as of this time, as the next one of this process. */
bool session_sharing_seal(struct session_sharing *sharing, uint32_t time,
			  const unsigned char plain[SHARED_SESSION_SIZE],
			  unsigned char sealed[SEALED_SIZE]);

/* ---- session_store_trial.c --------------------------------------------- */

/* Pushes the module `session_store_trial`, for specs and benchmarks. */
void session_store_trial_open(lua_State *L);

/* ---- session_id_context.c ---------------------------------------------- */

/* False if memory is short. */
bool session_id_context_digest(const char *text, size_t length,
			       unsigned char id_context[SESSION_ID_CONTEXT_SIZE]);

/* Names of ours, each with an ID context; all zero: none. */
struct server_names {
	struct server_name *names;
	size_t count;
};

/* Raises an error unless the value at `index` is a table from names to strings. */
void server_names_check(lua_State *L, int index);

/* Puts the names of such a table, with the digests of the strings, in the place of the others.
 * False, with nothing changed, if memory is short. */
bool server_names_read(lua_State *L, int index, struct server_names *names);

/* Frees the names. The struct stays the caller's. */
void server_names_free(struct server_names *names);

/* Binds the ID context to the name that the client sent: that of the name if it is one of ours,
 * else the given one. Without a name it stays as it is. Only inside the client-hello callback.
 * False if memory is short. */
bool server_names_bind(const struct server_names *names, SSL *connection,
		       unsigned char id_context[SESSION_ID_CONTEXT_SIZE]);

/* ---- handshake.c ------------------------------------------------------- */

struct resumption;

/* Facts that OpenSSL forgets before a handshake is over, or never has. */
struct handshake {
	SSL *connection;
	SSL_CTX *first_context;        /* that the connection began with, or the one in its place
					* for a network; a reference */
	int descriptor;                /* -1: no socket */
	int ephemeral_bits;            /* of the server's ephemeral key; 0: unknown */
	long extms_support;            /* SSL_get_extms_support after the handshake: a connection
					* that failed later no longer tells */
	struct resumption *resumption; /* of the first context: SNI may change the context, but
					* not the cache; NULL: it never was on */
	unsigned char session_id_context[SESSION_ID_CONTEXT_SIZE];
	unsigned char offered_id[SESSION_ID_SIZE];
	bool looked_up, offered_session, kept_session, extended_master_secret;
	bool greeted;        /* a server: the first ClientHello has come */
	bool is_substituted; /* it brought another first context */
	bool received;       /* at least one byte, when OpenSSL returned last */
	bool finished, failed;
	struct failed_handshake failure; /* filled while the handshake goes on, in case it fails */
	char *server_name;          /* of the other end, as far as it is known, until the end */
	struct client_hello *hello; /* that a server got */
	bool keep_hello;            /* until the end; else until its shape is taken */
	bool shape_taken;
	int32_t label; /* of the context that it finished on; 0: none */
};

/* To be called first. False if there is no index left. */
bool handshake_open(void);

/* Whether a connection of LuaSec's that is observed has this context, and has not finished its
 * handshake. */
bool handshake_is_negotiating(const SSL_CTX *context);

/* Says that the next handshake on a socket is with this server: as a client without SNI, or as a
 * server whose peer claims the name. False if memory is short. */
bool handshake_expect_server(int descriptor, const char *server_name);

/* False, with nothing done, if memory is short. The connection owns the struct. If it is freed
 * before its handshake is finished, the handshake counts as failed. */
bool handshake_begin(SSL *connection);

/* NULL if there is none. */
struct handshake *handshake_of(const SSL *connection);
struct handshake *handshake_of_descriptor(lua_Integer descriptor);

/* `label`: of the context that it finished on; 0: none, and the hello is not kept. */
void handshake_finish(struct handshake *handshake, int32_t label, bool keep_hello);

/* Whether the latest handshake of a connection, observed or not, has finished. So it stays when the
 * connection fails later, in contrast to SSL_is_init_finished. */
bool handshake_is_finished(const SSL *connection);

/* Records that the handshake failed: once, and never after it was finished. */
void handshake_fail(struct handshake *handshake);

/* Pushes the offer of the client of a finished handshake (shape: doc/scripting.md), or nil,
 * message, code. Returns the number of values. */
int handshake_push_offer(lua_State *L, SSL *connection);

/* The same with the shape of that offer (see client_hello_push_shape), once for a connection. An
 * offer that is not kept is forgotten with it. */
int handshake_take_shape(lua_State *L, SSL *connection);

/* The same with the label of the context on which it finished. */
int handshake_push_label(lua_State *L, SSL *connection);

/* ---- resumption.c ------------------------------------------------------ */

/* Keeps sessions of connections made from `context` in `store` (which gets one more reference)
 * and resumes them from it, under a session ID context that is the digest of `name`. Needs
 * callbacks_attach. False, with resumption off, if memory is short. */
bool resumption_enable(SSL_CTX *context, struct session_store *store, const char *name,
		       size_t length);

/* Restores the context's own cache. */
bool resumption_disable(SSL_CTX *context);

/* Whether resumption_enable holds. */
bool resumption_is_enabled(const SSL_CTX *context);

/* The table at `index` maps server names (SNI) to strings that replace the `name` of
 * resumption_enable for a connection that asks for them. Raises an error for any other table;
 * false if memory is short. */
bool resumption_set_names(lua_State *L, SSL_CTX *context, int index);

/* Binds a handshake that has begun to its context's sessions. */
void resumption_begin_handshake(SSL *connection);

/* Reads the parts of a ClientHello that resumption needs. Only inside the client-hello callback.
 * Sessions of connections with other bytes `apart` (NULL: none) are not resumed. False: the
 * handshake has to fail. */
bool resumption_client_hello(SSL *connection, const void *apart, size_t length);

/* Removes the session of the connection from the store. */
void resumption_end_session(SSL *connection);

/* Counts a session that was found but that OpenSSL did not resume. */
void resumption_count_refused(SSL *connection);

/* ---- network_contexts.c ------------------------------------------------ */

struct network {
	unsigned char address[sizeof(struct in6_addr)];
	uint8_t size, prefix; /* bytes, and bits that count */
	int64_t ends;         /* UTC seconds */
};

struct network_contexts;

/* With room for so many names. NULL if memory is short. */
struct network_contexts *network_contexts_new(size_t names);
void network_contexts_free(struct network_contexts *contexts);

/* Each returns false if memory is short, or OpenSSL fails. A group is a list of networks. A context
 * is that for a group (counted from 0), by the name that was added last. */
bool network_contexts_add_group(struct network_contexts *contexts, const struct network *networks,
				size_t count);
bool network_contexts_add_name(struct network_contexts *contexts, const char *name);
bool network_contexts_add_context(struct network_contexts *contexts, SSL_CTX *context,
				  size_t group);

/* Gives `context` these instead of those that it has. It owns them then; false: it has none, and
 * they are the caller's. */
bool network_contexts_set(SSL_CTX *context, struct network_contexts *contexts);

/* Frees those that the context has, if any. */
void network_contexts_clear(SSL_CTX *context);

/* Chooses the context of a server's connection by the peer's network, and does the work of
 * resumption_client_hello. Only inside the client-hello callback, before the hello is noted. False:
 * the handshake has to fail.
 */
bool network_contexts_client_hello(SSL *connection);

/* ---- handshake_callbacks.c --------------------------------------------- */

/* From now on, connections made from `context` are observed: their facts, and the handshakes
 * that fail. False if memory or an index is missing. */
bool callbacks_attach(SSL_CTX *context);

/* Whether callbacks_attach holds. */
bool callbacks_are_attached(const SSL_CTX *context);

/* Gives `context` a label from 1 to INT32_MAX, which the records of its failed handshakes have.
 * `keep_offers`: the offers that a server got outlive the handshake. Needs callbacks_attach.
 * False if memory is short. */
bool callbacks_set_label(SSL_CTX *context, int32_t label, bool keep_offers);

/* Undoes both for connections that are made later. */
void callbacks_detach(SSL_CTX *context);

/* ---- facts.c ----------------------------------------------------------- */

/* Pushes the facts of a connection whose handshake is finished, one value, or nil, message,
 * code. The facts stay when the connection fails later. Returns the number of values. */
int facts_push(lua_State *L, SSL *connection);

/* Pushes the key of these facts (observer.facts_key), one value, or nil, message, code. Needs no
 * hold on the connection: Lua's memory is asked for when OpenSSL has been read. Returns the number
 * of values. */
int facts_push_key(lua_State *L, SSL *connection);

/* ---- channel_binding.c ------------------------------------------------- */

/* Pushes the channel binding of the latest handshake whose type is the second argument:
 * "tls-unique", "tls-exporter" or "tls-server-end-point". Bytes, or nil, message, code. Any other
 * type raises an error. Returns the number of values. */
int channel_binding_push(lua_State *L, SSL *connection);

/* Pushes true if channel_binding_push has a value of that type, which is not computed; or nil,
 * message, code, as it does. Returns the number of values. */
int channel_binding_push_has(lua_State *L, SSL *connection);

/* ---- context.c --------------------------------------------------------- */

/* Pushes the module `context`. */
void context_open(lua_State *L);

/* The SSL_CTX of the Context at `index`; raises an error for anything else and for a closed
 * one. The Context keeps the reference. */
SSL_CTX *context_check(lua_State *L, int index);

/* The role that the Context at `index` was made for: 's' server, 'c' client, 0 for an adopted
 * one, whose role is not known. */
char context_role(lua_State *L, int index);

/* ---- network_tables.c -------------------------------------------------- */

/* Pushes the module `network_contexts`. */
void network_tables_open(lua_State *L);

/* ---- psk_binder.c ------------------------------------------------------ */

/* core.psk_binder(session, hello)
 * `session`: bytes of connection:insecure_session, of TLS 1.3; `hello`: a ClientHello message up to
 * the list of binders, without it (rfc8446.4.2.11.2.binder). Pushes the binder, or nil, message,
 * code ("parse", "tls"). Returns the number of values. */
int psk_binder_push(lua_State *L);

/* ---- connection.c ------------------------------------------------------ */

/* Pushes the module `connection`. */
void connection_open(lua_State *L);

/* ---- observer.c -------------------------------------------------------- */

/* Pushes the module `observer`. */
void observer_open(lua_State *L);

#endif
