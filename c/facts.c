/* The facts of a connection: the results of its handshake, read from OpenSSL once and copied into
 * a plain table. */
#include "internal.h"

#include <ctype.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>

struct name {
	int nid;
	const char *name;
};

static const struct name key_exchanges[] = {
	{ NID_kx_rsa, "RSA" },
	{ NID_kx_dhe, "DHE" },
	{ NID_kx_ecdhe, "ECDHE" },
	{ NID_kx_psk, "PSK" },
	{ NID_kx_rsa_psk, "RSA-PSK" },
	{ NID_kx_dhe_psk, "DHE-PSK" },
	{ NID_kx_ecdhe_psk, "ECDHE-PSK" },
	{ NID_kx_srp, "SRP" },
	{ NID_kx_gost, "GOST" },
	{ NID_undef, NULL },
};

static const struct name authentications[] = {
	{ NID_auth_rsa, "RSA" }, { NID_auth_ecdsa, "ECDSA" },    { NID_auth_dss, "DSS" },
	{ NID_auth_psk, "PSK" }, { NID_auth_null, "anonymous" }, { NID_auth_srp, "SRP" },
	{ NID_undef, NULL },
};

static const char *name_of(const struct name *names, int nid)
{
	while (names->name != NULL && names->nid != nid)
		names++;
	return names->name;
}

/* rfc8446.4.2.3.signature-schemes, by the three things that OpenSSL tells of a signature: its
 * kind, its hash, and the kind of the key. A plain RSA key signs as rsae, an RSASSA-PSS key as
 * pss. */
static const struct scheme {
	int kind, hash, key;
	const char *name, *authentication;
} schemes[] = {
	{ EVP_PKEY_RSA_PSS, NID_sha256, EVP_PKEY_RSA, "rsa_pss_rsae_sha256", "RSA" },
	{ EVP_PKEY_RSA_PSS, NID_sha384, EVP_PKEY_RSA, "rsa_pss_rsae_sha384", "RSA" },
	{ EVP_PKEY_RSA_PSS, NID_sha512, EVP_PKEY_RSA, "rsa_pss_rsae_sha512", "RSA" },
	{ EVP_PKEY_RSA_PSS, NID_sha256, EVP_PKEY_RSA_PSS, "rsa_pss_pss_sha256", "RSA" },
	{ EVP_PKEY_RSA_PSS, NID_sha384, EVP_PKEY_RSA_PSS, "rsa_pss_pss_sha384", "RSA" },
	{ EVP_PKEY_RSA_PSS, NID_sha512, EVP_PKEY_RSA_PSS, "rsa_pss_pss_sha512", "RSA" },
	{ EVP_PKEY_RSA, NID_sha256, EVP_PKEY_RSA, "rsa_pkcs1_sha256", "RSA" },
	{ EVP_PKEY_RSA, NID_sha384, EVP_PKEY_RSA, "rsa_pkcs1_sha384", "RSA" },
	{ EVP_PKEY_RSA, NID_sha512, EVP_PKEY_RSA, "rsa_pkcs1_sha512", "RSA" },
	{ EVP_PKEY_RSA, NID_sha224, EVP_PKEY_RSA, "rsa_pkcs1_sha224", "RSA" },
	{ EVP_PKEY_RSA, NID_sha1, EVP_PKEY_RSA, "rsa_pkcs1_sha1", "RSA" },
	{ EVP_PKEY_RSA, NID_md5_sha1, EVP_PKEY_RSA, "rsa_pkcs1_md5_sha1", "RSA" },
	{ EVP_PKEY_EC, NID_sha256, EVP_PKEY_EC, "ecdsa_secp256r1_sha256", "ECDSA" },
	{ EVP_PKEY_EC, NID_sha384, EVP_PKEY_EC, "ecdsa_secp384r1_sha384", "ECDSA" },
	{ EVP_PKEY_EC, NID_sha512, EVP_PKEY_EC, "ecdsa_secp521r1_sha512", "ECDSA" },
	{ EVP_PKEY_EC, NID_sha224, EVP_PKEY_EC, "ecdsa_sha224", "ECDSA" },
	{ EVP_PKEY_EC, NID_sha1, EVP_PKEY_EC, "ecdsa_sha1", "ECDSA" },
	{ EVP_PKEY_ED25519, NID_undef, EVP_PKEY_ED25519, "ed25519", "EdDSA" },
	{ EVP_PKEY_ED448, NID_undef, EVP_PKEY_ED448, "ed448", "EdDSA" },
};

static const struct scheme *find_scheme(int kind, int hash, X509 *signer)
{
	EVP_PKEY *key = signer == NULL ? NULL : X509_get0_pubkey(signer);
	if (key == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (schemes[i].kind == kind && schemes[i].hash == hash &&
		    schemes[i].key == EVP_PKEY_get_base_id(key))
			return &schemes[i];
	return NULL;
}

static const struct scheme *own_scheme(SSL *connection)
{
	int kind = NID_undef, hash = NID_undef;
	if (SSL_get_signature_type_nid(connection, &kind) != 1)
		return NULL;
	SSL_get_signature_nid(connection, &hash);
	return find_scheme(kind, hash, SSL_get_certificate(connection));
}

static const struct scheme *peer_scheme(SSL *connection)
{
	int kind = NID_undef, hash = NID_undef;
	if (SSL_get_peer_signature_type_nid(connection, &kind) != 1)
		return NULL;
	SSL_get_peer_signature_nid(connection, &hash);
	return find_scheme(kind, hash, SSL_get0_peer_certificate(connection));
}

/* All that a handshake without a peer's certificate leaves to tell, as OpenSSL has it. Bytes that
 * are not used are zero, so that equal choices have equal bytes. The pointers are to constants. */
struct choices {
	const SSL_CIPHER *cipher;
	const COMP_METHOD *compression;
	const char *key_exchange, *authentication;
	const struct scheme *of_server, *of_client;
	int version, group, group_bits;
	bool server, resumed, extended_master_secret, secure_renegotiation;
};

/* In TLS 1.3 the suite does not tell the key exchange (rfc8446.1.2.suite-without-key-exchange), but
 * the key does. After a key encapsulation OpenSSL no longer has the client's half; then the code
 * point of the group tells (IANA's registry of groups). */
static const char *key_exchange_of(int group, EVP_PKEY *key)
{
	int code_point = (group & TLSEXT_nid_unknown) == 0 ? 0 : group & 0xffff;
	if (code_point >= 0x0200 && code_point <= 0x0202)
		return "ML-KEM";
	if (code_point != 0)
		return "hybrid";
	if (key == NULL)
		return NULL;
	return EVP_PKEY_get_base_id(key) == EVP_PKEY_DH ? "DHE" : "ECDHE";
}

/* In TLS 1.3 a session may be resumed without a key exchange, if the option allows it
 * (rfc8446.4.2.9.psk-with-key-exchange). */
static bool may_lack_key_exchange(SSL *connection)
{
	return SSL_session_reused(connection) &&
	       (SSL_get_options(connection) & SSL_OP_ALLOW_NO_DHE_KEX) != 0;
}

static void read_key_exchange(struct choices *choices, SSL *connection)
{
	const char *key_exchange = name_of(key_exchanges, SSL_CIPHER_get_kx_nid(choices->cipher));
	int group = (int)SSL_get_negotiated_group(connection);
	const struct handshake *handshake = handshake_of(connection);
	int bits = handshake == NULL ? 0 : handshake->ephemeral_bits;
	EVP_PKEY *key = NULL;

	if (SSL_get_peer_tmp_key(connection, &key) != 1)
		key = NULL;
	if (key_exchange == NULL && (key != NULL || !may_lack_key_exchange(connection)))
		key_exchange = key_exchange_of(group, key);
	if (bits == 0 && key != NULL && (group & TLSEXT_nid_unknown) == 0)
		bits = EVP_PKEY_get_bits(key);
	EVP_PKEY_free(key);
	/* Before TLS 1.3 one end knows DHE's group at most, and only from OpenSSL 4.0 on. The bits
	 * tell. */
	if (SSL_CIPHER_get_kx_nid(choices->cipher) != NID_kx_any && key_exchange != NULL &&
	    strncmp(key_exchange, "DHE", 3) == 0)
		group = NID_undef;
	choices->key_exchange = key_exchange;
	if (key_exchange == NULL || strcmp(key_exchange, "RSA") == 0)
		return;
	choices->group = group;
	choices->group_bits = bits;
}

/* OpenSSL chooses a scheme for the server also for a handshake without a signature. */
static bool server_signs(SSL *connection, const SSL_CIPHER *cipher)
{
	int key_exchange = SSL_CIPHER_get_kx_nid(cipher);
	return !SSL_session_reused(connection) &&
	       SSL_CIPHER_get_auth_nid(cipher) != NID_auth_null &&
	       (key_exchange == NID_kx_any || key_exchange == NID_kx_dhe ||
		key_exchange == NID_kx_ecdhe);
}

static void read_authentication(struct choices *choices, SSL *connection)
{
	const struct scheme *own = own_scheme(connection), *peer = peer_scheme(connection);
	choices->of_server = choices->server ? own : peer;
	choices->of_client = choices->server ? peer : own;
	if (!server_signs(connection, choices->cipher))
		choices->of_server = NULL;
	choices->authentication =
	    choices->of_server != NULL
		? choices->of_server->authentication
		: name_of(authentications, SSL_CIPHER_get_auth_nid(choices->cipher));
}

static bool has_extended_master_secret(SSL *connection)
{
	const struct handshake *handshake = handshake_of(connection);
	return handshake != NULL ? handshake->extms_support == 1
				 : SSL_get_extms_support(connection) == 1;
}

static void read_choices(struct choices *choices, SSL *connection)
{
	memset(choices, 0, sizeof *choices);
	choices->server = SSL_is_server(connection);
	choices->version = SSL_version(connection);
	choices->resumed = SSL_session_reused(connection);
	choices->compression = SSL_get_current_compression(connection);
	choices->cipher = SSL_get_current_cipher(connection);
	if (choices->cipher != NULL) {
		read_key_exchange(choices, connection);
		read_authentication(choices, connection);
	}
	/* TLS 1.3 has neither, and needs neither (rfc8446.D.ems-built-in,
	 * rfc8446.4.1.2.no-renegotiation). */
	if (choices->version < TLS1_3_VERSION) {
		choices->extended_master_secret = has_extended_master_secret(connection);
		/* rfc5746.3.secure-renegotiation */
		choices->secure_renegotiation =
		    SSL_get_secure_renegotiation_support(connection) == 1;
	}
}

/* OpenSSL's long name of the cipher in capitals, as in "AES-256-GCM". */
static void set_encryption(lua_State *L, const SSL_CIPHER *cipher)
{
	char name[64];
	int nid = SSL_CIPHER_get_cipher_nid(cipher);
	const char *openssl_name = nid == NID_undef ? "NULL" : OBJ_nid2ln(nid);
	size_t length = 0;
	while (length < sizeof name - 1 && openssl_name[length] != '\0') {
		name[length] = (char)toupper((unsigned char)openssl_name[length]);
		length++;
	}
	name[length] = '\0';
	set_string(L, "encryption", name);
}

/* In TLS 1.3 all key exchanges are, except a pre-shared key alone. */
static bool is_forward_secret(const char *key_exchange)
{
	return key_exchange != NULL &&
	       (strncmp(key_exchange, "DHE", 3) == 0 || strncmp(key_exchange, "ECDHE", 5) == 0 ||
		strcmp(key_exchange, "hybrid") == 0 || strcmp(key_exchange, "ML-KEM") == 0);
}

static void set_cipher(lua_State *L, const struct choices *choices, SSL *connection)
{
	const SSL_CIPHER *cipher = choices->cipher;
	if (cipher == NULL)
		return;
	set_string(L, "cipher_suite", SSL_CIPHER_standard_name(cipher));
	set_string(L, "cipher", SSL_CIPHER_get_name(cipher));
	set_integer(L, "bits", SSL_CIPHER_get_bits(cipher, NULL));
	set_boolean(L, "aead", SSL_CIPHER_is_aead(cipher) == 1);
	set_encryption(L, cipher);
	set_string(L, "key_exchange", choices->key_exchange);
	if (choices->group != NID_undef)
		set_string(L, "group", SSL_group_to_name(connection, choices->group));
	if (choices->group_bits > 0)
		set_integer(L, "group_bits", choices->group_bits);
	set_boolean(L, "forward_secrecy", is_forward_secret(choices->key_exchange));
	set_string(L, "authentication", choices->authentication);
	if (choices->of_server != NULL)
		set_string(L, "signature_scheme", choices->of_server->name);
	if (choices->of_client != NULL)
		set_string(L, "client_signature_scheme", choices->of_client->name);
}

static void set_choices(lua_State *L, const struct choices *choices, SSL *connection)
{
	set_string(L, "role", choices->server ? "server" : "client");
	set_string(L, "version", SSL_get_version(connection));
	set_cipher(L, choices, connection);
	if (choices->compression == NULL)
		set_boolean(L, "compression", false);
	else
		set_string(L, "compression", SSL_COMP_get_name(choices->compression));
	set_boolean(L, "resumed", choices->resumed);
	if (choices->version < TLS1_3_VERSION) {
		set_boolean(L, "extended_master_secret", choices->extended_master_secret);
		set_boolean(L, "secure_renegotiation", choices->secure_renegotiation);
	}
}

static const char *server_name_of(SSL *connection)
{
	return SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
}

static void set_names(lua_State *L, SSL *connection)
{
	const unsigned char *alpn = NULL;
	unsigned int length = 0;
	SSL_get0_alpn_selected(connection, &alpn, &length);
	set_string(L, "server_name", server_name_of(connection));
	if (length > 0)
		set_lstring(L, "alpn", alpn, length);
}

static void set_certificate(lua_State *L, SSL *connection)
{
	X509 *certificate = SSL_get0_peer_certificate(connection);
	if (certificate == NULL)
		return;
	long result = SSL_get_verify_result(connection);
	/* A chain that is not valid may be the work of anyone, and vouches for nothing. */
	certificate_push_peer(L, certificate,
			      result == X509_V_OK ? SSL_get0_verified_chain(connection) : NULL);
	lua_setfield(L, -2, "certificate");
	set_boolean(L, "verified", result == X509_V_OK);
	set_integer(L, "verify_code", result);
	if (result != X509_V_OK)
		set_string(L, "verify_error", X509_verify_cert_error_string(result));
}

static int push_not_finished(lua_State *L)
{
	return push_failure(L, "handshake", "the handshake is not finished");
}

int facts_push(lua_State *L, SSL *connection)
{
	struct choices choices;
	if (!handshake_is_finished(connection))
		return push_not_finished(L);
	read_choices(&choices, connection);
	/* As many fields as in TLS 1.3 without ALPN. Room for one more would double the size of
	 * the table, which a server keeps with each connection. */
	lua_createtable(L, 0, 16);
	set_choices(L, &choices, connection);
	set_names(L, connection);
	set_certificate(L, connection);
	ERR_clear_error();
	return 1;
}

/* Of a server name, and of a name of ALPN: bytes. */
#define LONGEST_NAME 255U

int facts_push_key(lua_State *L, SSL *connection)
{
	unsigned char key[sizeof(struct choices) + 2 + (size_t)2 * LONGEST_NAME];
	unsigned char *end = key + sizeof(struct choices);
	const unsigned char *alpn = NULL;
	unsigned int alpn_length = 0;
	struct choices choices;

	if (!handshake_is_finished(connection))
		return push_not_finished(L);
	const char *name = server_name_of(connection);
	size_t name_length = name == NULL ? 0 : strlen(name);
	SSL_get0_alpn_selected(connection, &alpn, &alpn_length);
	if (SSL_get0_peer_certificate(connection) != NULL || name_length > LONGEST_NAME ||
	    alpn_length > LONGEST_NAME) {
		lua_pushboolean(L, 0);
		return 1;
	}
	read_choices(&choices, connection);
	memcpy(key, &choices, sizeof choices);
	/* The lengths part the two, and no name from an empty one. */
	*end++ = name == NULL ? 0 : 1;
	*end++ = (unsigned char)name_length;
	memcpy(end, name == NULL ? "" : name, name_length);
	end += name_length;
	if (alpn_length > 0)
		memcpy(end, alpn, alpn_length);
	end += alpn_length;
	/* It costs less to look than to clear. */
	if (ERR_peek_error() != 0)
		ERR_clear_error();
	lua_pushlstring(L, (const char *)key, (size_t)(end - key));
	return 1;
}
