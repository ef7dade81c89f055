/* All of a context that settings change: read, and put back. */
#include "internal.h"

#include <string.h>

/* Adds the names of the suites of one kind. */
static bool add_suites(struct name_list *list, SSL_CTX *context, bool tls13)
{
	const STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(context);
	for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
		if ((SSL_CIPHER_get_kx_nid(suite) == NID_kx_any) == tls13 &&
		    !name_list_add(list, "", SSL_CIPHER_get_name(suite)))
			return false;
	}
	return true;
}

/* All but the lists that OpenSSL has no function for. */
static bool take_readable(SSL_CTX *context, struct snapshot *snapshot)
{
	EVP_PKEY *dh = security_dh(context);
	memset(snapshot, 0, sizeof *snapshot);
	snapshot->options = SSL_CTX_get_options(context);
	snapshot->minimum_version = SSL_CTX_get_min_proto_version(context);
	snapshot->maximum_version = SSL_CTX_get_max_proto_version(context);
	snapshot->security_level = SSL_CTX_get_security_level(context);
	snapshot->tickets = SSL_CTX_get_num_tickets(context);
	snapshot->max_early_data = SSL_CTX_get_max_early_data(context);
	snapshot->recv_max_early_data = SSL_CTX_get_recv_max_early_data(context);
	snapshot->dh_bits = security_dh_bits(context);
	snapshot->dhe_group = security_dhe_group(context);
	snapshot->certificates_only = security_is_certificates_only(context);
	if (dh != NULL && !EVP_PKEY_up_ref(dh))
		return false;
	snapshot->dh = dh;
	return add_suites(&snapshot->ciphers, context, false) &&
	       add_suites(&snapshot->ciphersuites, context, true);
}

bool snapshot_take(SSL_CTX *context, struct snapshot *snapshot)
{
	if (take_readable(context, snapshot) &&
	    unsent_hello_read(context, &snapshot->groups, &snapshot->schemes))
		return true;
	snapshot_free(snapshot);
	return false;
}

bool snapshot_take_changed(SSL_CTX *context, struct snapshot *snapshot,
			   const struct snapshot *before, const struct name_list *groups,
			   const struct name_list *schemes)
{
	if (groups->length == 0)
		groups = &before->groups;
	if (schemes->length == 0)
		schemes = &before->schemes;
	if (take_readable(context, snapshot) &&
	    name_list_add(&snapshot->groups, "", name_list_text(groups)) &&
	    name_list_add(&snapshot->schemes, "", name_list_text(schemes)))
		return true;
	snapshot_free(snapshot);
	return false;
}

bool snapshot_restore(SSL_CTX *context, const struct snapshot *snapshot, bool with_schemes)
{
	bool done = true;
	SSL_CTX_clear_options(context, ~snapshot->options);
	SSL_CTX_set_options(context, snapshot->options);
	done &= SSL_CTX_set_min_proto_version(context, (int)snapshot->minimum_version) == 1;
	done &= SSL_CTX_set_max_proto_version(context, (int)snapshot->maximum_version) == 1;
	done &= SSL_CTX_set_num_tickets(context, snapshot->tickets) == 1;
	done &= SSL_CTX_set_max_early_data(context, snapshot->max_early_data) == 1;
	done &= SSL_CTX_set_recv_max_early_data(context, snapshot->recv_max_early_data) == 1;
	done &= SSL_CTX_set_ciphersuites(context, name_list_text(&snapshot->ciphersuites)) == 1;
	if (snapshot->ciphers.length > 0)
		done &= SSL_CTX_set_cipher_list(context, name_list_text(&snapshot->ciphers)) == 1;
	done &= dhe_group_set(context, name_list_text(&snapshot->groups), snapshot->dhe_group);
	if (with_schemes)
		done &= signature_schemes_set(context, &snapshot->schemes);
	if (security_is_known(context)) {
		done &= security_set_dh(context, snapshot->dh, snapshot->dh_bits);
		security_set_certificates_only(context, snapshot->certificates_only);
	}
	SSL_CTX_set_security_level(context, snapshot->security_level);
	return done;
}

void snapshot_free(struct snapshot *snapshot)
{
	name_list_free(&snapshot->ciphers);
	name_list_free(&snapshot->ciphersuites);
	name_list_free(&snapshot->groups);
	name_list_free(&snapshot->schemes);
	EVP_PKEY_free(snapshot->dh);
	memset(snapshot, 0, sizeof *snapshot);
}
