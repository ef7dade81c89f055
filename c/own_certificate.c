/* A context's own certificate, and what is sent with it. */
#include "internal.h"

#include <openssl/err.h>

/* Without a chain of the certificate's own, what is set for all certificates is sent. */
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

/* Of the authorities that peers are verified with. The reference is the caller's. */
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

void inspection_push(lua_State *L, SSL_CTX *context)
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
