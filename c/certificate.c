#include "internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define HOLD_TYPE "xmpp_tls_policy.Certificate.hold"

/* Far more than OpenSSL takes from a peer (SSL_MAX_CERT_LIST_DEFAULT). */
#define INPUT_SIZE 1048576

#define PEM_BEGIN  "-----BEGIN CERTIFICATE-----"
#define PEM_END    "-----END CERTIFICATE-----"
#define PEM_DASHES "-----"

/* What a method has of OpenSSL while it pushes to Lua, which may throw, and
 * may run a finaliser that closes the very certificate: a userdata owns it. */
struct hold {
	X509 *certificate;
	BIO *text;
	GENERAL_NAMES *names;
	EXTENDED_KEY_USAGE *usages;
};

enum kind {
	KIND_OTHER,
	KIND_MALFORMED,
	KIND_DNS,
	KIND_SRV,
	KIND_XMPP,
};

struct identity {
	enum kind kind;
	const char
	    *text; /* as written in the certificate, not terminated; of an SRV-ID, the name */
	size_t length;
	bool wildcard;                  /* a DNS-ID that begins with "*." */
	char service[DOMAIN_NAME_SIZE]; /* of an SRV-ID, lower case, without the underscore */
	char domain[DOMAIN_NAME_SIZE];  /* normalised, without "*."; empty: not a mere domain */
};

/* ---- userdata -------------------------------------------------------- */

static void set_type(lua_State *L, const char *type)
{
	luaL_getmetatable(L, type);
	lua_setmetatable(L, -2);
}

static X509 **certificate_new(lua_State *L)
{
	X509 **slot = lua_newuserdata(L, sizeof *slot);

	*slot = NULL;
	set_type(L, CERTIFICATE_TYPE);
	return slot;
}

void certificate_push(lua_State *L, X509 *certificate)
{
	X509 **slot = certificate_new(L);

	if (X509_up_ref(certificate) != 1)
		luaL_error(L, "certificate cannot be referenced");
	*slot = certificate;
}

static X509 *certificate_check(lua_State *L, int index)
{
	X509 **slot = luaL_checkudata(L, index, CERTIFICATE_TYPE);

	if (*slot == NULL)
		luaL_error(L, "certificate is closed");
	return *slot;
}

static int certificate_close(lua_State *L)
{
	X509 **slot = luaL_checkudata(L, 1, CERTIFICATE_TYPE);

	X509_free(*slot);
	*slot = NULL;
	return 0;
}

static void hold_release(struct hold *hold)
{
	X509_free(hold->certificate);
	BIO_free(hold->text);
	GENERAL_NAMES_free(hold->names);
	sk_ASN1_OBJECT_pop_free(hold->usages, ASN1_OBJECT_free);
	*hold = (struct hold){ .certificate = NULL };
}

static int hold_close(lua_State *L)
{
	hold_release(luaL_checkudata(L, 1, HOLD_TYPE));
	return 0;
}

static struct hold *hold_push(lua_State *L, int index)
{
	struct hold *hold = lua_newuserdata(L, sizeof *hold);
	X509 *certificate;

	*hold = (struct hold){ .certificate = NULL };
	set_type(L, HOLD_TYPE);
	certificate = certificate_check(L, index);
	if (X509_up_ref(certificate) != 1)
		luaL_error(L, "certificate cannot be referenced");
	hold->certificate = certificate;
	return hold;
}

/* ---- parsing --------------------------------------------------------- */

static bool too_large(size_t length)
{
	return length > INPUT_SIZE;
}

static int push_too_large(lua_State *L)
{
	return push_failure(L, "parse", "certificate is larger than %d bytes", INPUT_SIZE);
}

/* Returns 1 with a Certificate, or 3 as push_failure does. */
static int push_parsed(lua_State *L, const unsigned char *bytes, size_t length)
{
	const unsigned char *rest = bytes;
	X509 **slot = certificate_new(L);

	ERR_clear_error();
	*slot = d2i_X509(NULL, &rest, (long)length);
	if (*slot == NULL)
		return push_failure(L, "parse", "certificate cannot be parsed");
	/* Trying one decoder after the other leaves errors that are none. */
	ERR_clear_error();
	if (rest != bytes + length)
		return push_failure(L, "parse", "certificate is followed by %lu more bytes",
				    (unsigned long)(bytes + length - rest));
	return 1;
}

static int from_der(lua_State *L)
{
	size_t length;
	const char *bytes = luaL_checklstring(L, 1, &length);

	if (too_large(length))
		return push_too_large(L);
	return push_parsed(L, (const unsigned char *)bytes, length);
}

static bool starts_with(const char *text, const char *end, const char *what)
{
	size_t length = strlen(what);

	return (size_t)(end - text) >= length && memcmp(text, what, length) == 0;
}

/* What follows the first line that starts with `what`, or NULL. */
static const char *after_line(const char *text, const char *end, const char *what)
{
	while (text != NULL && !starts_with(text, end, what)) {
		text = memchr(text, '\n', (size_t)(end - text));
		if (text != NULL)
			text++;
	}
	return text == NULL ? NULL : text + strlen(what);
}

/* Decodes base64 with white space in it. Returns the number of bytes, or -1. */
static int decode_base64(const char *text, size_t length, unsigned char *bytes)
{
	EVP_ENCODE_CTX *decoder = EVP_ENCODE_CTX_new();
	int first = 0, last = 0, result = -1;

	/* The decoder takes a hyphen for the end. */
	if (decoder == NULL || memchr(text, '-', length) != NULL)
		goto done;
	EVP_DecodeInit(decoder);
	if (EVP_DecodeUpdate(decoder, bytes, &first, (const unsigned char *)text, (int)length) >=
		0 &&
	    EVP_DecodeFinal(decoder, bytes + first, &last) >= 0)
		result = first + last;
done:
	EVP_ENCODE_CTX_free(decoder);
	return result;
}

/* Not by PEM_read_bio_X509, which decodes what stands before the certificate
 * to skip it, private keys included: only the bytes between the two lines are
 * looked at (RFC 7468 3). */
static int from_pem(lua_State *L)
{
	size_t length;
	const char *text = luaL_checklstring(L, 1, &length), *end = text + length, *stop;
	unsigned char *bytes;
	int count;

	if (too_large(length))
		return push_too_large(L);
	ERR_clear_error();
	text = after_line(text, end, PEM_BEGIN);
	if (text == NULL)
		return push_failure(L, "parse", "no line \"%s\"", PEM_BEGIN);
	stop = after_line(text, end, PEM_DASHES);
	if (stop == NULL || !starts_with(stop - strlen(PEM_DASHES), end, PEM_END))
		return push_failure(L, "parse", "certificate ends without a line \"%s\"", PEM_END);
	length = (size_t)(stop - strlen(PEM_DASHES) - text);
	bytes = lua_newuserdata(L, length + 1);
	count = decode_base64(text, length, bytes);
	if (count < 0)
		return push_failure(L, "parse", "certificate is not valid base64");
	return push_parsed(L, bytes, (size_t)count);
}

/* ---- identities ------------------------------------------------------ */

static bool is_ascii(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

/* Well-formed UTF-8 without characters that control a terminal or turn the
 * direction of writing: it ends in logs. */
static bool is_printable(const char *text, size_t length)
{
	while (length > 0) {
		unsigned long point = 0;
		int used =
		    UTF8_getc((const unsigned char *)text, length < 4 ? (int)length : 4, &point);

		if (used <= 0 || point < 0x20 || (point >= 0x7F && point < 0xA0))
			return false;
		if ((point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) ||
		    (point >= 0xD800 && point <= 0xDFFF) || point > 0x10FFFF)
			return false;
		text += used;
		length -= (size_t)used;
	}
	return true;
}

static void identity_set_text(struct identity *identity, const ASN1_STRING *string)
{
	identity->text = (const char *)ASN1_STRING_get0_data(string);
	identity->length = (size_t)ASN1_STRING_length(string);
}

/* RFC 6125 6.4.3, RFC 9525 6.3: "*" only as the whole left-most label; any
 * other place makes it no domain name. Internationalised names are A-labels
 * here (RFC 5280 7.2). */
static bool identity_read_dns(struct identity *identity)
{
	const char *name = identity->text;
	size_t length = identity->length;

	identity->wildcard = length > 2 && name[0] == '*' && name[1] == '.';
	if (identity->wildcard) {
		name += 2;
		length -= 2;
	}
	return is_ascii(name, length) && domain_name_normalise(name, length, identity->domain);
}

/* RFC 4985 2: "_Service.Name". */
static bool identity_read_srv(struct identity *identity)
{
	const char *text = identity->text, *end = text + identity->length, *dot;

	if (identity->length == 0 || text[0] != '_' || !is_ascii(text, identity->length))
		return false;
	dot = memchr(text, '.', identity->length);
	if (dot == NULL)
		return false;
	identity->text = dot + 1;
	identity->length = (size_t)(end - identity->text);
	return domain_name_normalise(text + 1, (size_t)(dot - text - 1), identity->service) &&
	       domain_name_normalise(identity->text, identity->length, identity->domain);
}

/* RFC 6120 13.7.1.4. A JID with "@" or "/" is well-formed, and no domain name. */
static bool identity_read_xmpp(struct identity *identity)
{
	domain_name_normalise(identity->text, identity->length, identity->domain);
	return identity->length > 0 && is_printable(identity->text, identity->length);
}

static void identity_read_other(struct identity *identity, const OTHERNAME *other)
{
	int nid = OBJ_obj2nid(other->type_id);
	int type = other->value->type;

	if (nid == NID_SRVName)
		identity->kind = type == V_ASN1_IA5STRING ? KIND_SRV : KIND_MALFORMED;
	else if (nid == NID_XmppAddr)
		identity->kind = type == V_ASN1_UTF8STRING ? KIND_XMPP : KIND_MALFORMED;
	if (identity->kind == KIND_SRV || identity->kind == KIND_XMPP)
		identity_set_text(identity, other->value->value.asn1_string);
}

static void identity_read(struct identity *identity, const GENERAL_NAME *name)
{
	bool good = true;

	*identity = (struct identity){ .kind = KIND_OTHER };
	if (name->type == GEN_DNS) {
		identity->kind = KIND_DNS;
		identity_set_text(identity, name->d.dNSName);
	} else if (name->type == GEN_OTHERNAME) {
		identity_read_other(identity, name->d.otherName);
	}
	if (identity->kind == KIND_DNS)
		good = identity_read_dns(identity);
	else if (identity->kind == KIND_SRV)
		good = identity_read_srv(identity);
	else if (identity->kind == KIND_XMPP)
		good = identity_read_xmpp(identity);
	if (!good)
		identity->kind = KIND_MALFORMED;
}

/* The subjectAltName, to be freed, or NULL; `*malformed` says whether there is
 * one that cannot be read, or more than one. */
static GENERAL_NAMES *read_names(X509 *certificate, bool *malformed)
{
	int critical = -1;
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);

	*malformed = names == NULL && critical != -1;
	ERR_clear_error();
	return names;
}

static bool dns_matches(const struct identity *identity, const char *domain)
{
	if (!identity->wildcard)
		return strcmp(identity->domain, domain) == 0;
	/* It stands for one label, and never for all of a top-level domain. */
	domain = strchr(domain, '.');
	return domain != NULL && strchr(identity->domain, '.') != NULL &&
	       strcmp(identity->domain, domain + 1) == 0;
}

static bool identity_matches(const struct identity *identity, const char *domain,
			     const char *service)
{
	switch (identity->kind) {
	case KIND_DNS:
		return dns_matches(identity, domain);
	case KIND_SRV:
		/* No wildcards: RFC 4985 knows none, RFC 6125 6.4.3 demands none. */
		return strcmp(identity->service, service) == 0 &&
		       strcmp(identity->domain, domain) == 0;
	case KIND_XMPP:
		return strcmp(identity->domain, domain) == 0;
	default:
		return false;
	}
}

/* cert.identity. The Common Name is never looked at: RFC 6125 6.4.4 makes it a
 * last resort that may be left out, RFC 9525 2 forbids it. */
static bool certificate_matches(X509 *certificate, const char *domain, const char *service)
{
	bool malformed, found = false;
	GENERAL_NAMES *names = read_names(certificate, &malformed);
	struct identity identity;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
		identity_read(&identity, sk_GENERAL_NAME_value(names, i));
		found = identity_matches(&identity, domain, service);
	}
	GENERAL_NAMES_free(names);
	return found;
}

static int method_matches(lua_State *L)
{
	static const char *const services[] = { "xmpp-client", "xmpp-server", NULL };
	size_t length;
	const char *name = luaL_checklstring(L, 2, &length);
	const char *service = services[luaL_checkoption(L, 3, NULL, services)];
	X509 *certificate = certificate_check(L, 1);
	char domain[DOMAIN_NAME_SIZE];

	lua_pushboolean(L, domain_name_normalise(name, length, domain) &&
			       certificate_matches(certificate, domain, service));
	return 1;
}

/* ---- facts ----------------------------------------------------------- */

static void push_hex(lua_State *L, const unsigned char *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	luaL_Buffer buffer;

	luaL_buffinit(L, &buffer);
	for (size_t i = 0; i < length; i++) {
		luaL_addchar(&buffer, digits[bytes[i] >> 4]);
		luaL_addchar(&buffer, digits[bytes[i] & 15]);
	}
	luaL_pushresult(&buffer);
}

static void set_hex(lua_State *L, const char *field, const unsigned char *bytes, size_t length)
{
	push_hex(L, bytes, length);
	lua_setfield(L, -2, field);
}

/* The text that the BIO has collected becomes a field, and leaves the BIO. */
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
	/* Not escaped: what is above ASCII, so that it stays UTF-8. */
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

/* In seconds since 1970, without the C library's time zones and whatever the
 * width of its time_t. */
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

/* The name or, where it is given none or `dotted`, the number of an OID. */
static const char *object_name(char *buffer, size_t size, const ASN1_OBJECT *object, bool dotted)
{
	int length = OBJ_obj2txt(buffer, (int)size, object, dotted);

	return length > 0 && (size_t)length < size ? buffer : NULL;
}

/* IANA's name (TLS Supported Groups) of a curve that OpenSSL calls otherwise. */
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
		/* OpenSSL cannot use it; what it claims to be is known all the same. */
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

	if (X509_digest(certificate, EVP_sha256(), digest, &length) == 1)
		set_hex(L, "sha256", digest, length);
	if (ASN1_item_digest(ASN1_ITEM_rptr(X509_PUBKEY), EVP_sha256(),
			     X509_get_X509_PUBKEY(certificate), digest, &length) == 1)
		set_hex(L, "spki_sha256", digest, length);
}

/* Appends the value on top of the stack to the list at `list`. */
static void append(lua_State *L, int list)
{
	lua_rawseti(L, list, (int)lua_rawlen(L, list) + 1);
}

/* An extension that cannot be read permits nothing: an empty list, not nil. */
static void set_usages(lua_State *L, struct hold *hold)
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
	if (identity->kind != KIND_SRV) {
		lua_pushlstring(L, identity->text, identity->length);
		return;
	}
	lua_newtable(L);
	set_string(L, "service", identity->service);
	set_lstring(L, "name", identity->text, identity->length);
}

static void set_identities(lua_State *L, struct hold *hold)
{
	static const char *const fields[] = {
		[KIND_DNS] = "dns", [KIND_SRV] = "srv", [KIND_XMPP] = "xmpp"
	};
	struct identity identity;
	bool unreadable;
	lua_Integer malformed;
	int table;

	hold->names = read_names(hold->certificate, &unreadable);
	malformed = unreadable ? 1 : 0;
	lua_newtable(L);
	table = lua_gettop(L);
	for (int kind = KIND_DNS; kind <= KIND_XMPP; kind++) {
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setfield(L, table, fields[kind]);
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(hold->names); i++) {
		identity_read(&identity, sk_GENERAL_NAME_value(hold->names, i));
		if (identity.kind == KIND_MALFORMED)
			malformed++;
		if (identity.kind < KIND_DNS)
			continue;
		push_identity(L, &identity);
		append(L, table + 1 + (int)identity.kind - KIND_DNS);
	}
	lua_settop(L, table);
	if (malformed > 0)
		set_integer(L, "malformed", malformed);
	lua_setfield(L, -2, "identities");
}

static int method_facts(lua_State *L)
{
	struct hold *hold = hold_push(L, 1);
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
	set_boolean(L, "self_issued", (flags & EXFLAG_SI) != 0);
	set_boolean(L, "ca", (flags & EXFLAG_CA) != 0);
	hold_release(hold);
	ERR_clear_error();
	return 1;
}

/* ---- forms ----------------------------------------------------------- */

static int method_der(lua_State *L)
{
	struct hold *hold = hold_push(L, 1);
	int length = i2d_X509(hold->certificate, NULL);
	unsigned char *bytes, *end;

	if (length <= 0)
		return push_failure(L, "tls", "certificate cannot be encoded");
	bytes = end = lua_newuserdata(L, (size_t)length);
	if (i2d_X509(hold->certificate, &end) != length)
		return push_failure(L, "tls", "certificate cannot be encoded");
	lua_pushlstring(L, (const char *)bytes, (size_t)length);
	hold_release(hold);
	return 1;
}

static int method_pem(lua_State *L)
{
	struct hold *hold = hold_push(L, 1);
	char *text = NULL;
	long length;

	hold->text = BIO_new(BIO_s_mem());
	if (hold->text == NULL || PEM_write_bio_X509(hold->text, hold->certificate) != 1)
		return push_failure(L, "tls", "certificate cannot be encoded");
	length = BIO_get_mem_data(hold->text, &text);
	lua_pushlstring(L, text, (size_t)length);
	hold_release(hold);
	return 1;
}

static int method_tostring(lua_State *L)
{
	X509 **slot = luaL_checkudata(L, 1, CERTIFICATE_TYPE);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	lua_pushliteral(L, "certificate ");
	if (*slot == NULL)
		lua_pushliteral(L, "(closed)");
	else if (X509_digest(*slot, EVP_sha256(), digest, &length) == 1)
		push_hex(L, digest, length);
	else
		lua_pushliteral(L, "(unknown)");
	lua_concat(L, 2);
	return 1;
}

void certificate_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "from_pem", from_pem },
		{ "from_der", from_der },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "facts", method_facts },
		{ "matches", method_matches },
		{ "pem", method_pem },
		{ "der", method_der },
		{ NULL, NULL },
	};
	static const luaL_Reg metamethods[] = {
		{ "__tostring", method_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };

	register_type(L, HOLD_TYPE, none, none, hold_close);
	register_type(L, CERTIFICATE_TYPE, methods, metamethods, certificate_close);
	luaL_newlib(L, functions);
}
