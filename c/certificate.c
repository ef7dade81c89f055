/* Certificate: an X509, from PEM, from DER, or from a connection. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#define CERTIFICATE_HOLD_TYPE "xmpp_tls_policy.Certificate.hold"

/* Far more than OpenSSL takes from a peer (SSL_MAX_CERT_LIST_DEFAULT). */
#define INPUT_SIZE 1048576

#define PEM_BEGIN  "-----BEGIN CERTIFICATE-----"
#define PEM_END    "-----END CERTIFICATE-----"
#define PEM_DASHES "-----"

/* ---- userdata -------------------------------------------------------- */

struct certificate {
	X509 *certificate; /* NULL when closed; first, so that a pointer to it is one to all */
	STACK_OF(X509) * authorities; /* with name constraints; NULL: none */
};

static void set_type(lua_State *L, const char *type)
{
	luaL_getmetatable(L, type);
	lua_setmetatable(L, -2);
}

X509 **certificate_push_empty(lua_State *L)
{
	struct certificate *object = lua_newuserdata(L, sizeof *object);

	*object = (struct certificate){ .certificate = NULL };
	set_type(L, CERTIFICATE_TYPE);
	return &object->certificate;
}

void certificate_push(lua_State *L, X509 *certificate)
{
	X509 **slot = certificate_push_empty(L);

	if (X509_up_ref(certificate) != 1)
		luaL_error(L, "certificate cannot be referenced");
	*slot = certificate;
}

void certificate_push_peer(lua_State *L, X509 *certificate, const STACK_OF(X509) * chain)
{
	struct certificate *object;

	certificate_push(L, certificate);
	object = lua_touserdata(L, -1);
	if (!name_constraints_collect(chain, &object->authorities))
		luaL_error(L, "the certificate's chain cannot be referenced");
}

static struct certificate *object_check(lua_State *L, int index)
{
	struct certificate *object = luaL_checkudata(L, index, CERTIFICATE_TYPE);

	if (object->certificate == NULL)
		luaL_error(L, "certificate is closed");
	return object;
}

X509 *certificate_check(lua_State *L, int index)
{
	return object_check(L, index)->certificate;
}

static int certificate_close(lua_State *L)
{
	struct certificate *object = luaL_checkudata(L, 1, CERTIFICATE_TYPE);

	X509_free(object->certificate);
	sk_X509_pop_free(object->authorities, X509_free);
	*object = (struct certificate){ .certificate = NULL };
	return 0;
}

static void release_hold(struct certificate_hold *hold)
{
	X509_free(hold->certificate);
	BIO_free(hold->text);
	GENERAL_NAMES_free(hold->names);
	sk_ASN1_OBJECT_pop_free(hold->usages, ASN1_OBJECT_free);
	*hold = (struct certificate_hold){ .certificate = NULL };
}

static int hold_close(lua_State *L)
{
	release_hold(luaL_checkudata(L, 1, CERTIFICATE_HOLD_TYPE));
	return 0;
}

static struct certificate_hold *hold_certificate(lua_State *L, int index)
{
	struct certificate_hold *hold = lua_newuserdata(L, sizeof *hold);
	X509 *certificate;

	*hold = (struct certificate_hold){ .certificate = NULL };
	set_type(L, CERTIFICATE_HOLD_TYPE);
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
	X509 **slot = certificate_push_empty(L);

	ERR_clear_error();
	*slot = d2i_X509(NULL, &rest, (long)length);
	if (*slot == NULL)
		return push_failure(L, "parse", "certificate cannot be parsed");
	/* OpenSSL tries one decoder after the other, and leaves the errors of those that did not
	 * fit. */
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

static bool starts_with(const char *text, const char *end, const char *beginning)
{
	size_t length = strlen(beginning);

	return (size_t)(end - text) >= length && memcmp(text, beginning, length) == 0;
}

/* The text after the first line that starts with `beginning`, or NULL. */
static const char *after_line(const char *text, const char *end, const char *beginning)
{
	while (text != NULL && !starts_with(text, end, beginning)) {
		text = memchr(text, '\n', (size_t)(end - text));
		if (text != NULL)
			text++;
	}
	return text == NULL ? NULL : text + strlen(beginning);
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

/* Reads only the bytes between the two lines (rfc7468.3.between-the-lines). PEM_read_bio_X509 would
 * also decode private keys that stand before the certificate. */
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

static int method_matches(lua_State *L)
{
	static const char *const services[] = { "xmpp-client", "xmpp-server", NULL };
	size_t length;
	const char *name = luaL_checklstring(L, 2, &length);
	const char *service = services[luaL_checkoption(L, 3, NULL, services)];
	const struct certificate *object = object_check(L, 1);
	char domain[DOMAIN_NAME_SIZE];

	lua_pushboolean(
	    L, domain_name_normalise(name, length, domain) &&
		   identity_covers(object->certificate, object->authorities, domain, service));
	return 1;
}

/* certificate:is_issued_by(other): whether the other is its issuer by name and key identifier, may
 * issue, and has signed it. */
static int method_is_issued_by(lua_State *L)
{
	X509 *certificate = certificate_check(L, 1), *issuer = certificate_check(L, 2);
	EVP_PKEY *key = X509_get0_pubkey(issuer);

	lua_pushboolean(L, X509_check_issued(issuer, certificate) == X509_V_OK && key != NULL &&
			       X509_verify(certificate, key) == 1);
	ERR_clear_error();
	return 1;
}

/* ---- forms ----------------------------------------------------------- */

static int method_facts(lua_State *L)
{
	struct certificate_hold *hold = hold_certificate(L, 1);
	int results = certificate_facts_push(L, hold);
	release_hold(hold);
	return results;
}

static int method_der(lua_State *L)
{
	struct certificate_hold *hold = hold_certificate(L, 1);
	int length = i2d_X509(hold->certificate, NULL);
	unsigned char *bytes, *end;

	if (length <= 0)
		return push_failure(L, "tls", "certificate cannot be encoded");
	bytes = end = lua_newuserdata(L, (size_t)length);
	if (i2d_X509(hold->certificate, &end) != length)
		return push_failure(L, "tls", "certificate cannot be encoded");
	lua_pushlstring(L, (const char *)bytes, (size_t)length);
	release_hold(hold);
	return 1;
}

/* certificate:spki(): its SubjectPublicKeyInfo in DER. */
static int method_spki(lua_State *L)
{
	struct certificate_hold *hold = hold_certificate(L, 1);
	int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(hold->certificate), NULL);
	unsigned char *bytes, *end;

	if (length <= 0)
		return push_failure(L, "tls", "the key cannot be encoded");
	bytes = end = lua_newuserdata(L, (size_t)length);
	if (i2d_X509_PUBKEY(X509_get_X509_PUBKEY(hold->certificate), &end) != length)
		return push_failure(L, "tls", "the key cannot be encoded");
	lua_pushlstring(L, (const char *)bytes, (size_t)length);
	release_hold(hold);
	return 1;
}

static int method_pem(lua_State *L)
{
	struct certificate_hold *hold = hold_certificate(L, 1);
	char *text = NULL;
	long length;

	hold->text = BIO_new(BIO_s_mem());
	if (hold->text == NULL || PEM_write_bio_X509(hold->text, hold->certificate) != 1)
		return push_failure(L, "tls", "certificate cannot be encoded");
	length = BIO_get_mem_data(hold->text, &text);
	lua_pushlstring(L, text, (size_t)length);
	release_hold(hold);
	return 1;
}

static int method_tostring(lua_State *L)
{
	const struct certificate *object = luaL_checkudata(L, 1, CERTIFICATE_TYPE);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	lua_pushliteral(L, "certificate ");
	if (object->certificate == NULL)
		lua_pushliteral(L, "(closed)");
	else if (X509_digest(object->certificate, EVP_sha256(), digest, &length) == 1)
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
		{ "is_issued_by", method_is_issued_by },
		{ "pem", method_pem },
		{ "der", method_der },
		{ "spki", method_spki },
		{ NULL, NULL },
	};
	static const luaL_Reg metamethods[] = {
		{ "__tostring", method_tostring },
		{ NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };

	register_type(L, CERTIFICATE_HOLD_TYPE, none, none, hold_close);
	register_type(L, CERTIFICATE_TYPE, methods, metamethods, certificate_close);
	luaL_newlib(L, functions);
}
