/* A context's own certificates: as a table, and compared with its security level. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

/* ---- as a table ------------------------------------------------------------- */

/* OpenSSL sends the chain of the certificate, and without one the context's. */
static STACK_OF(X509) * chain_of(SSL_CTX *context)
{
	STACK_OF(X509) *chain = NULL;

	SSL_CTX_get0_chain_certs(context, &chain);
	if (chain == NULL)
		SSL_CTX_get_extra_chain_certs_only(context, &chain);
	return chain;
}

static void push_chain(lua_State *L, const STACK_OF(X509) * chain)
{
	lua_newtable(L);
	for (int i = 0; i < sk_X509_num(chain); i++) {
		certificate_push(L, sk_X509_value(chain, i));
		lua_rawseti(L, -2, i + 1);
	}
}

/* Looks among the authorities that peers are verified with. The reference is the caller's. */
static bool find_issuer(SSL_CTX *context, X509 *certificate, X509 **issuer)
{
	X509_STORE_CTX *search = X509_STORE_CTX_new();
	bool found =
	    search != NULL &&
	    X509_STORE_CTX_init(search, SSL_CTX_get_cert_store(context), certificate, NULL) == 1 &&
	    X509_STORE_CTX_get1_issuer(issuer, search, certificate) == 1;

	X509_STORE_CTX_free(search);
	ERR_clear_error();
	return found;
}

static void set_issuer(lua_State *L, SSL_CTX *context, X509 *certificate)
{
	X509 **slot = certificate_push_empty(L);

	if (find_issuer(context, certificate, slot))
		lua_setfield(L, -2, "issuer");
	else
		lua_pop(L, 1);
}

void own_certificate_push(lua_State *L, SSL_CTX *context)
{
	X509 *certificate = SSL_CTX_get0_certificate(context);
	EVP_PKEY *key = SSL_CTX_get0_privatekey(context);

	lua_newtable(L);
	if (certificate != NULL) {
		certificate_push(L, certificate);
		lua_setfield(L, -2, "certificate");
		push_chain(L, chain_of(context));
		lua_setfield(L, -2, "chain");
		set_issuer(L, context, certificate);
	}
	if (key != NULL) {
		set_string(L, "key_type", EVP_PKEY_get0_type_name(key));
		set_integer(L, "key_bits", EVP_PKEY_get_bits(key));
		set_boolean(L, "key_matches", SSL_CTX_check_private_key(context) == 1);
		ERR_clear_error();
	}
}

/* ---- strength ----------------------------------------------------------------- */

/* Bits of security that OpenSSL asks of a key at each of its security levels
 * (SSL_CTX_set_security_level(3)). */
static const int security_bits[SECURITY_LEVEL_MAX + 1] = { 0, 80, 112, 128, 192, 256 };

static bool is_strong_enough(X509 *certificate, int least_bits, char *message, size_t size)
{
	const EVP_PKEY *key = X509_get0_pubkey(certificate);
	int level_bits = -1;
	if (key == NULL || EVP_PKEY_get_security_bits(key) < least_bits) {
		snprintf(message, size, "the certificate's key of %d bits is too weak for",
			 key == NULL ? 0 : EVP_PKEY_get_bits(key));
		return false;
	}
	if ((X509_get_extension_flags(certificate) & EXFLAG_SS) == 0 &&
	    X509_get_signature_info(certificate, NULL, NULL, &level_bits, NULL) == 1 &&
	    level_bits < least_bits) {
		snprintf(message, size, "a certificate's signature is too weak for");
		return false;
	}
	return true;
}

bool own_certificates_are_strong(SSL_CTX *context, char *message, size_t size)
{
	int level = SSL_CTX_get_security_level(context);
	int least_bits = security_bits[level < SECURITY_LEVEL_MAX ? level : SECURITY_LEVEL_MAX];
	X509 *current = SSL_CTX_get0_certificate(context);
	bool strong = true;
	for (long more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST); strong && more == 1;
	     more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_NEXT)) {
		STACK_OF(X509) *chain = NULL;
		X509 *certificate = SSL_CTX_get0_certificate(context);
		strong =
		    certificate == NULL || is_strong_enough(certificate, least_bits, message, size);
		SSL_CTX_get0_chain_certs(context, &chain);
		for (int i = 0; strong && i < sk_X509_num(chain); i++)
			strong =
			    is_strong_enough(sk_X509_value(chain, i), least_bits, message, size);
	}
	if (current != NULL)
		SSL_CTX_select_current_cert(context, current);
	ERR_clear_error();
	if (!strong) {
		size_t length = strlen(message);
		snprintf(message + length, size - length, " security level %d", level);
	}
	return strong;
}
