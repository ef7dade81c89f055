/* What a context was before we changed it, so that it can be made that again. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

struct adoption {
	struct snapshot original;
	int (*callback)(const SSL *, const SSL_CTX *, int, int, int, void *, void *);
	void *callback_data;
	EVP_PKEY *dh;
	int dh_bits;
	bool in_progress, disabled;
};

static int adoption_index = -1;

/* SSL connections keep a pointer to the adoption as their callback's data, so
 * it lives as long as the SSL_CTX, which each of them holds. */
static void adoption_free(void *parent, void *data, CRYPTO_EX_DATA *ex_data, int index, long argl,
			  void *argp)
{
	struct adoption *adoption = data;
	(void)parent, (void)ex_data, (void)index, (void)argl, (void)argp;
	if (adoption == NULL)
		return;
	snapshot_free(&adoption->original);
	EVP_PKEY_free(adoption->dh);
	free(adoption);
}

static struct adoption *adoption_of(const SSL_CTX *context)
{
	return adoption_index < 0 ? NULL : SSL_CTX_get_ex_data(context, adoption_index);
}

/* Names of the suites of one kind, joined with colons. */
static char *join_suites(const STACK_OF(SSL_CIPHER) * suites, bool tls13)
{
	size_t length = 1;
	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++)
		length += strlen(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(suites, i))) + 1;
	char *list = calloc(1, length);
	if (list == NULL)
		return NULL;
	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
		if ((SSL_CIPHER_get_kx_nid(suite) == NID_kx_any) != tls13)
			continue;
		if (*list != '\0')
			strcat(list, ":");
		strcat(list, SSL_CIPHER_get_name(suite));
	}
	return list;
}

static char *join_groups(SSL_CTX *context)
{
	const char *names[GROUPS_MAX];
	int count = in_force_groups(context, names, GROUPS_MAX);
	size_t length = 1;
	if (count < 0)
		return NULL;
	for (int i = 0; i < count; i++)
		length += strlen(names[i]) + 1;
	char *list = calloc(1, length);
	for (int i = 0; list != NULL && i < count; i++) {
		if (i > 0)
			strcat(list, ":");
		strcat(list, names[i]);
	}
	return list;
}

bool snapshot_take(SSL_CTX *context, struct snapshot *snapshot)
{
	struct adoption *adoption = adoption_of(context);
	memset(snapshot, 0, sizeof *snapshot);
	snapshot->options = SSL_CTX_get_options(context);
	snapshot->minimum_version = SSL_CTX_get_min_proto_version(context);
	snapshot->maximum_version = SSL_CTX_get_max_proto_version(context);
	snapshot->security_level = SSL_CTX_get_security_level(context);
	snapshot->tickets = SSL_CTX_get_num_tickets(context);
	snapshot->max_early_data = SSL_CTX_get_max_early_data(context);
	snapshot->recv_max_early_data = SSL_CTX_get_recv_max_early_data(context);
	snapshot->ciphers = join_suites(SSL_CTX_get_ciphers(context), false);
	snapshot->ciphersuites = join_suites(SSL_CTX_get_ciphers(context), true);
	snapshot->groups = join_groups(context);
	if (adoption != NULL) {
		snapshot->dh = adoption->dh;
		if (snapshot->dh != NULL)
			EVP_PKEY_up_ref(snapshot->dh);
		snapshot->dh_bits = adoption->dh_bits;
	}
	if (snapshot->ciphers == NULL || snapshot->ciphersuites == NULL ||
	    snapshot->groups == NULL) {
		snapshot_free(snapshot);
		return false;
	}
	return true;
}

bool snapshot_restore(SSL_CTX *context, const struct snapshot *snapshot)
{
	bool done = true;
	SSL_CTX_clear_options(context, ~snapshot->options);
	SSL_CTX_set_options(context, snapshot->options);
	done &= SSL_CTX_set_min_proto_version(context, (int)snapshot->minimum_version) == 1;
	done &= SSL_CTX_set_max_proto_version(context, (int)snapshot->maximum_version) == 1;
	done &= SSL_CTX_set_num_tickets(context, snapshot->tickets) == 1;
	done &= SSL_CTX_set_max_early_data(context, snapshot->max_early_data) == 1;
	done &= SSL_CTX_set_recv_max_early_data(context, snapshot->recv_max_early_data) == 1;
	done &= SSL_CTX_set_ciphersuites(context, snapshot->ciphersuites) == 1;
	if (*snapshot->ciphers != '\0')
		done &= SSL_CTX_set_cipher_list(context, snapshot->ciphers) == 1;
	if (*snapshot->groups != '\0')
		done &= SSL_CTX_set1_groups_list(context, snapshot->groups) == 1;
	if (adoption_of(context) != NULL)
		done &= adoption_set_dh(context, snapshot->dh, snapshot->dh_bits);
	SSL_CTX_set_security_level(context, snapshot->security_level);
	return done;
}

void snapshot_free(struct snapshot *snapshot)
{
	free(snapshot->ciphers);
	free(snapshot->ciphersuites);
	free(snapshot->groups);
	EVP_PKEY_free(snapshot->dh);
	memset(snapshot, 0, sizeof *snapshot);
}

/* Ephemeral DH counts by the bits of its prime, whatever the security level;
 * all else is left to the callback that was there. */
static int security_callback(const SSL *connection, const SSL_CTX *context, int operation, int bits,
			     int nid, void *other, void *data)
{
	const struct adoption *adoption = data;
	if (adoption->disabled || (operation == SSL_SECOP_TMP_DH && other != NULL &&
				   EVP_PKEY_get_bits(other) < adoption->dh_bits))
		return 0;
	/* In TLS 1.3 it is one of the groups. */
	int group_bits = ((unsigned int)operation & SSL_SECOP_OTHER_TYPE) == SSL_SECOP_OTHER_CURVE
			     ? ephemeral_dh_group_bits(nid)
			     : 0;
	if (group_bits != 0 && group_bits < adoption->dh_bits)
		return 0;
	return adoption->callback(connection, context, operation, bits, nid, other,
				  adoption->callback_data);
}

int security_permit(const SSL *connection, const SSL_CTX *context, int operation, int bits, int nid,
		    void *other, void *data)
{
	(void)connection, (void)context, (void)operation, (void)bits, (void)nid, (void)other,
	    (void)data;
	return 1;
}

bool adoption_set_dh(SSL_CTX *context, EVP_PKEY *dh, int least_bits)
{
	struct adoption *adoption = adoption_of(context);
	/* One reference for the adoption, and one that the context takes. */
	if (dh != NULL && !EVP_PKEY_up_ref(dh))
		return false;
	if (dh != NULL && !EVP_PKEY_up_ref(dh)) {
		EVP_PKEY_free(dh);
		return false;
	}
	/* OpenSSL asks the security callback even when there is nothing to set,
	 * and takes nothing for weak. */
	SSL_CTX_set_security_callback(context, security_permit);
	bool done = SSL_CTX_set0_tmp_dh_pkey(context, dh) == 1;
	SSL_CTX_set_security_callback(context, security_callback);
	/* 3.5 complains of the strength of nothing. */
	ERR_clear_error();
	if (!done) {
		EVP_PKEY_free(dh);
		EVP_PKEY_free(dh);
		return false;
	}
	EVP_PKEY_free(adoption->dh);
	adoption->dh = dh;
	adoption->dh_bits = least_bits;
	return true;
}

bool adoption_begin(SSL_CTX *context)
{
	struct adoption *adoption = adoption_of(context);
	if (adoption != NULL && adoption->in_progress)
		return true;
	if (adoption_index < 0)
		adoption_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, adoption_free);
	if (adoption_index < 0)
		return false;
	if (adoption == NULL) {
		adoption = calloc(1, sizeof *adoption);
		if (adoption == NULL || !SSL_CTX_set_ex_data(context, adoption_index, adoption)) {
			free(adoption);
			return false;
		}
	}
	snapshot_free(&adoption->original);
	if (!snapshot_take(context, &adoption->original))
		return false;
	adoption->callback = SSL_CTX_get_security_callback(context);
	adoption->callback_data = SSL_CTX_get0_security_ex_data(context);
	SSL_CTX_set0_security_ex_data(context, adoption);
	SSL_CTX_set_security_callback(context, security_callback);
	adoption->in_progress = true;
	return true;
}

bool adoption_end(SSL_CTX *context)
{
	struct adoption *adoption = adoption_of(context);
	if (adoption == NULL || !adoption->in_progress)
		return true;
	bool done = snapshot_restore(context, &adoption->original);
	SSL_CTX_set_security_callback(context, adoption->callback);
	SSL_CTX_set0_security_ex_data(context, adoption->callback_data);
	adoption->in_progress = adoption->disabled = false;
	return done;
}

void adoption_disable(SSL_CTX *context)
{
	adoption_of(context)->disabled = true;
}

int adoption_dh_bits(const SSL_CTX *context)
{
	const struct adoption *adoption = adoption_of(context);
	return adoption == NULL ? 0 : adoption->dh_bits;
}
