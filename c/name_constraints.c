/* The DNS names that the authorities of a chain may vouch for. OpenSSL holds the DNS-IDs of a
 * certificate to them, and knows nothing of a domain in an SRV-ID or an XmppAddr. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>

static bool is_constrained(const X509 *authority)
{
	return X509_get_ext_by_NID(authority, NID_name_constraints, -1) >= 0;
}

bool name_constraints_collect(const STACK_OF(X509) * chain, STACK_OF(X509) * *authorities)
{
	*authorities = NULL;
	for (int i = 1; i < sk_X509_num(chain); i++) {
		X509 *authority = sk_X509_value(chain, i);

		if (!is_constrained(authority))
			continue;
		if (*authorities == NULL)
			*authorities = sk_X509_new_null();
		if (*authorities == NULL || X509_up_ref(authority) != 1)
			return false;
		if (sk_X509_push(*authorities, authority) <= 0) {
			X509_free(authority);
			return false;
		}
	}
	return true;
}

/* rfc5280.4.2.1.10.within-dns-constraint: an empty base is every name, and OpenSSL takes one that
 * begins with a dot for the names below it. False for a base that is no domain name. */
static bool read_base(const ASN1_IA5STRING *string, char base[DOMAIN_NAME_SIZE], bool *only_below)
{
	const char *text = (const char *)ASN1_STRING_get0_data(string);
	size_t length = (size_t)ASN1_STRING_length(string);

	base[0] = '\0';
	*only_below = length > 0 && text[0] == '.';
	if (*only_below) {
		text++;
		length--;
	}
	return length == 0 ? !*only_below : domain_name_normalise(text, length, base);
}

static bool is_within(const char *domain, const char *base, bool only_below)
{
	size_t length = strlen(domain), base_length = strlen(base);

	if (base_length == 0)
		return true;
	if (base_length >= length)
		return !only_below && strcmp(domain, base) == 0;
	return domain[length - base_length - 1] == '.' &&
	       strcmp(domain + length - base_length, base) == 0;
}

enum tree_result {
	TREES_WITHOUT_DNS,
	TREES_WITHIN,
	TREES_OUTSIDE,
	TREES_UNREADABLE,
};

static enum tree_result search_trees(const STACK_OF(GENERAL_SUBTREE) * trees, const char *domain)
{
	enum tree_result result = TREES_WITHOUT_DNS;

	for (int i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
		const GENERAL_NAME *name = sk_GENERAL_SUBTREE_value(trees, i)->base;
		char base[DOMAIN_NAME_SIZE];
		bool only_below;

		if (name->type != GEN_DNS)
			continue;
		if (!read_base(name->d.dNSName, base, &only_below))
			return TREES_UNREADABLE;
		if (is_within(domain, base, only_below))
			result = TREES_WITHIN;
		else if (result == TREES_WITHOUT_DNS)
			result = TREES_OUTSIDE;
	}
	return result;
}

/* An extension that cannot be read, or is there twice, permits nothing. */
static bool permits(const X509 *authority, const char *domain)
{
	NAME_CONSTRAINTS *constraints =
	    X509_get_ext_d2i(authority, NID_name_constraints, NULL, NULL);
	enum tree_result permitted = TREES_UNREADABLE, excluded = TREES_UNREADABLE;

	if (constraints != NULL) {
		permitted = search_trees(constraints->permittedSubtrees, domain);
		excluded = search_trees(constraints->excludedSubtrees, domain);
	}
	NAME_CONSTRAINTS_free(constraints);
	ERR_clear_error();
	return (permitted == TREES_WITHOUT_DNS || permitted == TREES_WITHIN) &&
	       (excluded == TREES_WITHOUT_DNS || excluded == TREES_OUTSIDE);
}

bool name_constraints_permit(const STACK_OF(X509) * authorities, const char *domain)
{
	for (int i = 0; i < sk_X509_num(authorities); i++)
		if (!permits(sk_X509_value(authorities, i), domain))
			return false;
	return true;
}
