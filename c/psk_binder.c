/* The proof that a client knows the key of a session of TLS 1.3, for hellos that the caller makes.
 */
#include "internal.h"

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

struct secret {
	unsigned char bytes[EVP_MAX_MD_SIZE];
	size_t length;
};

/* Derives a secret of the digest's length from `key` (rfc8446.7.1.key-schedule). Without a label it
 * extracts, else it expands. */
static bool derive(const EVP_MD *digest, const struct secret *key, const char *label,
		   const struct secret *context, struct secret *derived)
{
	int mode = label == NULL ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY : EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	/* OpenSSL declares the values without const, and does not change them. */
	void *name = (void *)(uintptr_t)EVP_MD_get0_name(digest);
	void *secret = (void *)(uintptr_t)key->bytes;
	OSSL_PARAM parameters[7] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, key->length),
		OSSL_PARAM_construct_end(),
	};
	if (label != NULL) {
		void *text = (void *)(uintptr_t)label, *prefix = (void *)(uintptr_t) "tls13 ";
		void *data = (void *)(uintptr_t)context->bytes;
		parameters[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, 6);
		parameters[4] =
		    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, text, strlen(label));
		parameters[5] =
		    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_DATA, data, context->length);
		parameters[6] = OSSL_PARAM_construct_end();
	}
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
	EVP_KDF_CTX *state = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	derived->length = (size_t)EVP_MD_get_size(digest);
	bool done = state != NULL &&
		    EVP_KDF_derive(state, derived->bytes, derived->length, parameters) == 1;
	EVP_KDF_CTX_free(state);
	EVP_KDF_free(kdf);
	return done;
}

static bool hash(const EVP_MD *digest, const void *bytes, size_t length, struct secret *result)
{
	unsigned int size = 0;
	bool done = EVP_Digest(bytes, length, result->bytes, &size, digest, NULL) == 1;
	result->length = size;
	return done;
}

/* rfc8446.4.2.11.2.binder */
static bool make_binder(const EVP_MD *digest, const struct secret *psk, const char *hello,
			size_t length, struct secret *binder)
{
	struct secret early, key, finished, empty = { .length = 0 }, empty_hash, transcript;
	unsigned int size = 0;
	bool done = hash(digest, "", 0, &empty_hash) && hash(digest, hello, length, &transcript) &&
		    derive(digest, psk, NULL, NULL, &early) &&
		    derive(digest, &early, "res binder", &empty_hash, &key) &&
		    derive(digest, &key, "finished", &empty, &finished) &&
		    HMAC(digest, finished.bytes, (int)finished.length, transcript.bytes,
			 transcript.length, binder->bytes, &size) != NULL;
	binder->length = size;
	OPENSSL_cleanse(&early, sizeof early);
	OPENSSL_cleanse(&key, sizeof key);
	OPENSSL_cleanse(&finished, sizeof finished);
	return done;
}

int psk_binder_push(lua_State *L)
{
	size_t length = 0, hello_length = 0;
	const char *bytes = luaL_checklstring(L, 1, &length);
	const char *hello = luaL_checklstring(L, 2, &hello_length);
	const unsigned char *position = (const unsigned char *)bytes;
	struct secret psk, binder;
	ERR_clear_error();
	SSL_SESSION *session =
	    length > LONG_MAX ? NULL : d2i_SSL_SESSION(NULL, &position, (long)length);
	const SSL_CIPHER *cipher = session == NULL ? NULL : SSL_SESSION_get0_cipher(session);
	const EVP_MD *digest = cipher == NULL ? NULL : SSL_CIPHER_get_handshake_digest(cipher);
	if (digest == NULL || SSL_SESSION_get_protocol_version(session) != TLS1_3_VERSION) {
		SSL_SESSION_free(session);
		return push_failure(L, "parse", "that is no session of TLS 1.3");
	}
	psk.length = SSL_SESSION_get_master_key(session, psk.bytes, sizeof psk.bytes);
	SSL_SESSION_free(session);
	bool done = make_binder(digest, &psk, hello, hello_length, &binder);
	OPENSSL_cleanse(&psk, sizeof psk);
	if (!done)
		return push_failure(L, "tls", "cannot make the binder");
	lua_pushlstring(L, (const char *)binder.bytes, binder.length);
	return 1;
}
