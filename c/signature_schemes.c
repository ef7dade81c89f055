/* The names of signature schemes, and lists of them. */
#include "internal.h"

#include <stdio.h>
#include <string.h>

/* rfc8446.4.2.3.signature-schemes: IANA's names; those of DSA, which it calls reserved, as OpenSSL
 * has them. */
static const struct {
	unsigned int number;
	const char *name;
} schemes[] = {
	{ 0x0201, "rsa_pkcs1_sha1" },
	{ 0x0202, "dsa_sha1" },
	{ 0x0203, "ecdsa_sha1" },
	{ 0x0301, "rsa_pkcs1_sha224" },
	{ 0x0302, "dsa_sha224" },
	{ 0x0303, "ecdsa_sha224" },
	{ 0x0401, "rsa_pkcs1_sha256" },
	{ 0x0402, "dsa_sha256" },
	{ 0x0403, "ecdsa_secp256r1_sha256" },
	{ 0x0501, "rsa_pkcs1_sha384" },
	{ 0x0502, "dsa_sha384" },
	{ 0x0503, "ecdsa_secp384r1_sha384" },
	{ 0x0601, "rsa_pkcs1_sha512" },
	{ 0x0602, "dsa_sha512" },
	{ 0x0603, "ecdsa_secp521r1_sha512" },
	{ 0x0708, "sm2sig_sm3" },
	{ 0x0804, "rsa_pss_rsae_sha256" },
	{ 0x0805, "rsa_pss_rsae_sha384" },
	{ 0x0806, "rsa_pss_rsae_sha512" },
	{ 0x0807, "ed25519" },
	{ 0x0808, "ed448" },
	{ 0x0809, "rsa_pss_pss_sha256" },
	{ 0x080a, "rsa_pss_pss_sha384" },
	{ 0x080b, "rsa_pss_pss_sha512" },
	{ 0x081a, "ecdsa_brainpoolP256r1tls13_sha256" },
	{ 0x081b, "ecdsa_brainpoolP384r1tls13_sha384" },
	{ 0x081c, "ecdsa_brainpoolP512r1tls13_sha512" },
	{ 0x0904, "mldsa44" },
	{ 0x0905, "mldsa65" },
	{ 0x0906, "mldsa87" },
};

bool signature_schemes_add(struct name_list *list, unsigned int number)
{
	char digits[16];
	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
		if (schemes[i].number == number)
			return name_list_add(list, "", schemes[i].name);
	snprintf(digits, sizeof digits, "0x%04X", number & 0xffff);
	return name_list_add(list, "", digits);
}

/* OpenSSL 3.0 takes some schemes only by key and hash: "ECDSA+SHA1". Returns the length. */
static int openssl_name(const char *name, int length, char *text, size_t size)
{
	const char *key = strncmp(name, "ecdsa_sha", 9) == 0 ? "ECDSA"
			  : strncmp(name, "dsa_sha", 7) == 0 ? "DSA"
							     : NULL;
	if (key == NULL)
		return snprintf(text, size, "%.*s", length, name);
	int prefix = (int)strlen(key) + 1;
	return snprintf(text, size, "%s+SHA%.*s", key, length - prefix - 3, name + prefix + 3);
}

bool signature_schemes_set(SSL_CTX *context, const struct name_list *list)
{
	struct name_list names = { .text = NULL };
	bool done = true;
	for (const char *name = name_list_text(list); *name != '\0';) {
		char text[128];
		int length = (int)strcspn(name, ":");
		/* A number without a name: OpenSSL takes none by number. */
		if (strncmp(name, "0x", 2) != 0) {
			int written = openssl_name(name, length, text, sizeof text);
			done &= written > 0 && (size_t)written < sizeof text &&
				name_list_add(&names, "", text);
		}
		name += length + (name[length] == ':');
	}
	done = done && names.length > 0 &&
	       SSL_CTX_set1_sigalgs_list(context, name_list_text(&names)) == 1;
	name_list_free(&names);
	return done;
}
