/* Sealing of records that leave the process: AES-256-GCM (resume.sealed). Each process start has a
 * key of its own, derived from the key file and from a random salt. So the nonces of two writers
 * cannot meet under one key (rfc5116.2.1.distinct-nonces). */
#include "internal.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define NONCE_SIZE   12
#define DERIVED_SIZE 32

static const char key_purpose[] = "xmpp-tls-policy: sealing of shared sessions, form 1";
static const char id_purpose[] = "xmpp-tls-policy: name of a key of shared sessions";

/* Fetched once: a fetch costs as much as the sealing of a record. */
static EVP_KDF *hkdf;
static EVP_CIPHER *aes;

static bool fetch(void)
{
	if (hkdf == NULL)
		hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	if (aes == NULL)
		aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	return hkdf != NULL && aes != NULL;
}

/* rfc5869.2.extract-then-expand */
static bool derive(const void *secret, size_t secret_length, const void *salt, size_t salt_length,
		   const char *purpose, unsigned char *derived, size_t length)
{
	/* OpenSSL declares the values without const, and does not change them. */
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
						 (char *)(uintptr_t) "SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret,
						  secret_length),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt,
						  salt_length),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)purpose,
						  strlen(purpose)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF_CTX *state = fetch() ? EVP_KDF_CTX_new(hkdf) : NULL;
	bool done = state != NULL && EVP_KDF_derive(state, derived, length, parameters) == 1;
	EVP_KDF_CTX_free(state);
	return done;
}

bool sealing_key_set(struct sealing_key *key, const void *bytes, size_t length)
{
	memcpy(key->bytes, bytes, length);
	key->length = length;
	return derive(bytes, length, "", 0, id_purpose, key->id, sizeof key->id);
}

EVP_CIPHER_CTX *sealing_cipher(const struct sealing_key *key, const unsigned char *salt)
{
	unsigned char derived[DERIVED_SIZE];
	EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
	if (cipher == NULL ||
	    !derive(key->bytes, key->length, salt, SEALING_SALT_SIZE, key_purpose, derived,
		    sizeof derived) ||
	    EVP_CipherInit_ex2(cipher, aes, derived, NULL, 1, NULL) != 1) {
		EVP_CIPHER_CTX_free(cipher);
		cipher = NULL;
	}
	OPENSSL_cleanse(derived, sizeof derived);
	return cipher;
}

/* ---- the header, which can be read and not be changed ---------------------------- */

/* Form, key ID, time, salt, counter. */
#define AT_KEY_ID  1
#define AT_TIME    (AT_KEY_ID + SEALING_KEY_ID_SIZE)
#define AT_SALT    (AT_TIME + 4)
#define AT_COUNTER (AT_SALT + SEALING_SALT_SIZE)
#define AT_SEALED  (AT_COUNTER + 8)

_Static_assert(AT_SEALED == SEALED_HEADER_SIZE, "the header has another size");

static void write_header(const struct sealed_header *header, unsigned char *bytes)
{
	bytes[0] = SEALED_FORM;
	memcpy(bytes + AT_KEY_ID, header->key_id, sizeof header->key_id);
	for (int i = 0; i < 4; i++)
		bytes[AT_TIME + i] = (unsigned char)(header->time >> (24 - 8 * i));
	memcpy(bytes + AT_SALT, header->salt, sizeof header->salt);
	for (int i = 0; i < 8; i++)
		bytes[AT_COUNTER + i] = (unsigned char)(header->counter >> (56 - 8 * i));
}

bool sealed_header_read(struct sealed_header *header, const unsigned char *sealed, size_t length)
{
	if (length != SEALED_SIZE || sealed[0] != SEALED_FORM)
		return false;
	memcpy(header->key_id, sealed + AT_KEY_ID, sizeof header->key_id);
	memcpy(header->salt, sealed + AT_SALT, sizeof header->salt);
	header->time = 0;
	for (int i = 0; i < 4; i++)
		header->time = header->time << 8 | sealed[AT_TIME + i];
	header->counter = 0;
	for (int i = 0; i < 8; i++)
		header->counter = header->counter << 8 | sealed[AT_COUNTER + i];
	return true;
}

/* ---- seals ------------------------------------------------------------------------ */

/* The direction, the nonce, and all that is authenticated beside the content: the header and the
 * name of the stream. */
static bool begin(EVP_CIPHER_CTX *cipher, const unsigned char *header, const char *name,
		  size_t name_length, int seals)
{
	unsigned char nonce[NONCE_SIZE] = { 0 };
	int length;
	memcpy(nonce + 4, header + AT_COUNTER, 8);
	return EVP_CipherInit_ex2(cipher, NULL, NULL, nonce, seals, NULL) == 1 &&
	       EVP_CipherUpdate(cipher, NULL, &length, header, SEALED_HEADER_SIZE) == 1 &&
	       (name_length == 0 ||
		EVP_CipherUpdate(cipher, NULL, &length, (const unsigned char *)name,
				 (int)name_length) == 1);
}

bool sealing_seal(EVP_CIPHER_CTX *cipher, const struct sealed_header *header, const char *name,
		  size_t name_length, const unsigned char plain[SHARED_SESSION_SIZE],
		  unsigned char sealed[SEALED_SIZE])
{
	int length, rest;
	write_header(header, sealed);
	return begin(cipher, sealed, name, name_length, 1) &&
	       EVP_CipherUpdate(cipher, sealed + AT_SEALED, &length, plain, SHARED_SESSION_SIZE) ==
		   1 &&
	       length == SHARED_SESSION_SIZE &&
	       EVP_CipherFinal_ex(cipher, sealed + AT_SEALED + length, &rest) == 1 && rest == 0 &&
	       EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, SEALED_TAG_SIZE,
				   sealed + AT_SEALED + SHARED_SESSION_SIZE) == 1;
}

bool sealing_open(EVP_CIPHER_CTX *cipher, const char *name, size_t name_length,
		  const unsigned char sealed[SEALED_SIZE], unsigned char plain[SHARED_SESSION_SIZE])
{
	unsigned char tag[SEALED_TAG_SIZE];
	int length, rest;
	memcpy(tag, sealed + AT_SEALED + SHARED_SESSION_SIZE, sizeof tag);
	bool opened = begin(cipher, sealed, name, name_length, 0) &&
		      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
		      EVP_CipherUpdate(cipher, plain, &length, sealed + AT_SEALED,
				       SHARED_SESSION_SIZE) == 1 &&
		      length == SHARED_SESSION_SIZE &&
		      EVP_CipherFinal_ex(cipher, plain + length, &rest) == 1 && rest == 0;
	if (!opened)
		OPENSSL_cleanse(plain, SHARED_SESSION_SIZE);
	return opened;
}
