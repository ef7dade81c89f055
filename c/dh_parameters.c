/* Parameters of ephemeral Diffie-Hellman: the groups of RFC 7919, and those in a PEM text. */
#include "internal.h"

#include <limits.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* rfc7919.A.groups. OpenSSL takes the name by a pointer that is not const. */
static struct {
	int bits, nid;
	char name[16];
	EVP_PKEY *made; /* for all contexts, once one needs it */
} groups[] = {
	{ 2048, NID_ffdhe2048, "ffdhe2048", NULL }, { 3072, NID_ffdhe3072, "ffdhe3072", NULL },
	{ 4096, NID_ffdhe4096, "ffdhe4096", NULL }, { 6144, NID_ffdhe6144, "ffdhe6144", NULL },
	{ 8192, NID_ffdhe8192, "ffdhe8192", NULL },
};
#define GROUPS (sizeof groups / sizeof *groups)

int dh_group_bits(int nid)
{
	for (size_t i = 0; i < GROUPS; i++)
		if (groups[i].nid == nid)
			return groups[i].bits;
	return 0;
}

static EVP_PKEY *make_group(char *name)
{
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *group = NULL;
	EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	if (maker != NULL && EVP_PKEY_fromdata_init(maker) == 1)
		(void)EVP_PKEY_fromdata(maker, &group, EVP_PKEY_KEY_PARAMETERS, parameters);
	EVP_PKEY_CTX_free(maker);
	return group;
}

unsigned int dh_group_mask(int nid)
{
	for (size_t i = 0; i < GROUPS; i++)
		if (groups[i].nid == nid)
			return 1U << i;
	return 0;
}

int dh_group_nid(int least_bits)
{
	for (size_t i = 0; i < GROUPS; i++)
		if (groups[i].bits >= least_bits)
			return groups[i].nid;
	return NID_undef;
}

EVP_PKEY *dh_group_find(int least_bits)
{
	for (size_t i = 0; i < GROUPS; i++) {
		if (groups[i].bits < least_bits)
			continue;
		if (groups[i].made == NULL)
			groups[i].made = make_group(groups[i].name);
		return groups[i].made;
	}
	return NULL;
}

int dh_pem_bits(const char *text, size_t length)
{
	BIO *pem = length > INT_MAX ? NULL : BIO_new_mem_buf(text, (int)length);
	EVP_PKEY *dh = pem == NULL ? NULL : PEM_read_bio_Parameters(pem, NULL);
	int bits = dh == NULL ? 0 : EVP_PKEY_get_bits(dh);
	EVP_PKEY_free(dh);
	BIO_free(pem);
	ERR_clear_error();
	return bits;
}
