/* The facts of a certificate, as a plain table. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

static void set_hex(lua_State *L, const char *field, const unsigned char *bytes, size_t length)
{
	push_hex(L, bytes, length);
	lua_setfield(L, -2, field);
}

/* Moves the text in the BIO into a field. */
static void set_text(lua_State *L, const char *field, BIO *text)
{
	char *bytes = NULL;
	long length = BIO_get_mem_data(text, &bytes);

	if (length > 0)
		set_lstring(L, field, bytes, (size_t)length);
	BIO_reset(text);
}

static void set_name(lua_State *L, const char *field, BIO *text, const X509_NAME *name)
{
	/* Does not escape characters above ASCII, so that they stay UTF-8. */
	unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;

	if (X509_NAME_print_ex(text, name, 0, flags) < 0)
		BIO_reset(text);
	set_text(L, field, text);
}

static void set_serial(lua_State *L, const ASN1_INTEGER *serial)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(serial);
	size_t length = (size_t)ASN1_STRING_length(serial);

	lua_pushstring(L, ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER ? "-" : "");
	push_hex(L, bytes, length);
	lua_concat(L, 2);
	lua_setfield(L, -2, "serial");
}

/* In seconds since 1970, up to rfc5280.4.1.2.5.no-end. Uses neither the C library's time zones nor
 * its time_t, which may have 32 bits. */
static void set_time(lua_State *L, const char *field, const ASN1_TIME *time)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days, seconds;
	bool known = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;

	ASN1_TIME_free(epoch);
	if (!known)
		return;
#if HAVE_LUA_INTEGERS
	lua_pushinteger(L, (lua_Integer)days * 86400 + seconds);
#else
	/* lua_Integer may have 32 bits here. */
	lua_pushnumber(L, (lua_Number)days * 86400 + seconds);
#endif
	lua_setfield(L, -2, field);
}

/* The name of an OID; its number if it has no name, or with `dotted`. */
static const char *object_name(char *buffer, size_t size, const ASN1_OBJECT *object, bool dotted)
{
	int length = OBJ_obj2txt(buffer, (int)size, object, dotted);

	return length > 0 && (size_t)length < size ? buffer : NULL;
}

/* IANA's name (TLS Supported Groups) of a curve that has another name in OpenSSL. */
static const char *curve_name(const char *name)
{
	static const char *const names[][2] = {
		{ "prime192v1", "secp192r1" },
		{ "prime256v1", "secp256r1" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i][0]) == 0)
			return names[i][1];
	return name;
}

static void set_key(lua_State *L, X509 *certificate)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	ASN1_OBJECT *algorithm = NULL;
	char name[128];

	if (key == NULL) {
		/* OpenSSL cannot use the key, but can read its type. */
		if (X509_PUBKEY_get0_param(&algorithm, NULL, NULL, NULL,
					   X509_get_X509_PUBKEY(certificate)) == 1)
			set_string(L, "key_type", object_name(name, sizeof name, algorithm, false));
		return;
	}
	set_string(L, "key_type", EVP_PKEY_get0_type_name(key));
	if (EVP_PKEY_get_bits(key) > 0)
		set_integer(L, "key_bits", EVP_PKEY_get_bits(key));
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, name, sizeof name, NULL) == 1)
		set_string(L, "curve", curve_name(name));
}

static void set_signature(lua_State *L, X509 *certificate)
{
	const X509_ALGOR *algorithm = NULL;
	const ASN1_OBJECT *object = NULL;
	int digest = NID_undef;
	char name[128];

	X509_get0_signature(NULL, &algorithm, certificate);
	X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	set_string(L, "signature_algorithm", object_name(name, sizeof name, object, false));
	if (X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) == 1 &&
	    digest != NID_undef)
		set_string(L, "signature_digest", OBJ_nid2sn(digest));
}

static void set_digests(lua_State *L, X509 *certificate)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;
	unsigned char *key = NULL;

	if (X509_digest(certificate, EVP_sha256(), digest, &length) == 1)
		set_hex(L, "sha256", digest, length);
	int key_length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
	bool known = key_length > 0 &&
		     EVP_Digest(key, (size_t)key_length, digest, &length, EVP_sha256(), NULL) == 1;
	/* Before Lua can throw. */
	OPENSSL_free(key);
	if (known)
		set_hex(L, "spki_sha256", digest, length);
}

/* Appends the value on top of the stack to the list at `list`. */
static void append(lua_State *L, int list)
{
	lua_rawseti(L, list, (int)lua_rawlen(L, list) + 1);
}

/* rfc5280.4.2.1.12.only-listed-usages: an extension that cannot be read permits no use. Then the
 * list is empty, not nil. */
static void set_usages(lua_State *L, struct certificate_hold *hold)
{
	int critical = -1;
	char name[128];

	hold->usages = X509_get_ext_d2i(hold->certificate, NID_ext_key_usage, &critical, NULL);
	if (hold->usages == NULL && critical == -1)
		return;
	lua_newtable(L);
	for (int i = 0; i < sk_ASN1_OBJECT_num(hold->usages); i++) {
		const ASN1_OBJECT *usage = sk_ASN1_OBJECT_value(hold->usages, i);
		int nid = OBJ_obj2nid(usage);

		if (nid == NID_server_auth || nid == NID_client_auth)
			lua_pushstring(L, OBJ_nid2sn(nid));
		else if (object_name(name, sizeof name, usage, true) != NULL)
			lua_pushstring(L, name);
		else
			continue;
		append(L, lua_gettop(L) - 1);
	}
	lua_setfield(L, -2, "extended_key_usages");
}

static void push_identity(lua_State *L, const struct identity *identity)
{
	if (identity->kind != IDENTITY_SRV) {
		lua_pushlstring(L, identity->text, identity->length);
		return;
	}
	lua_newtable(L);
	set_string(L, "service", identity->service);
	set_lstring(L, "name", identity->text, identity->length);
}

static void set_identities(lua_State *L, struct certificate_hold *hold)
{
	static const char *const fields[] = {
		[IDENTITY_DNS] = "dns", [IDENTITY_SRV] = "srv", [IDENTITY_XMPP] = "xmpp"
	};
	struct identity identity;
	bool unreadable;
	lua_Integer malformed;
	int table;

	hold->names = identity_names(hold->certificate, &unreadable);
	malformed = unreadable ? 1 : 0;
	lua_newtable(L);
	table = lua_gettop(L);
	for (int kind = IDENTITY_DNS; kind <= IDENTITY_XMPP; kind++) {
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setfield(L, table, fields[kind]);
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(hold->names); i++) {
		identity_read(&identity, sk_GENERAL_NAME_value(hold->names, i));
		if (identity.kind == IDENTITY_MALFORMED)
			malformed++;
		if (identity.kind < IDENTITY_DNS)
			continue;
		push_identity(L, &identity);
		append(L, table + 1 + (int)identity.kind - IDENTITY_DNS);
	}
	lua_settop(L, table);
	if (malformed > 0)
		set_integer(L, "malformed", malformed);
	lua_setfield(L, -2, "identities");
}

int certificate_facts_push(lua_State *L, struct certificate_hold *hold)
{
	X509 *certificate = hold->certificate;
	uint32_t flags;

	hold->text = BIO_new(BIO_s_mem());
	if (hold->text == NULL)
		return push_failure(L, "tls", "certificate cannot be read");
	lua_newtable(L);
	set_name(L, "subject", hold->text, X509_get_subject_name(certificate));
	set_name(L, "issuer", hold->text, X509_get_issuer_name(certificate));
	set_serial(L, X509_get0_serialNumber(certificate));
	set_time(L, "not_before", X509_get0_notBefore(certificate));
	set_time(L, "not_after", X509_get0_notAfter(certificate));
	set_key(L, certificate);
	set_signature(L, certificate);
	set_digests(L, certificate);
	set_usages(L, hold);
	set_identities(L, hold);
	flags = X509_get_extension_flags(certificate);
	/* rfc5280.3.2.self-issued-by-name */
	set_boolean(L, "self_issued", (flags & EXFLAG_SI) != 0);
	set_boolean(L, "ca", (flags & EXFLAG_CA) != 0);
	ERR_clear_error();
	return 1;
}
