/* The identities in a certificate's subjectAltName, and how they match a domain. */
#include "internal.h"

#include <string.h>

#include <openssl/err.h>

static bool is_ascii(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

/* Whether the text can stand in a log: well-formed UTF-8 without characters that control a
 * terminal or change the direction of writing. */
static bool is_printable(const char *text, size_t length)
{
	while (length > 0) {
		unsigned long point = 0;
		int used =
		    UTF8_getc((const unsigned char *)text, length < 4 ? (int)length : 4, &point);

		if (used <= 0 || point < 0x20 || (point >= 0x7F && point < 0xA0))
			return false;
		if ((point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) ||
		    (point >= 0xD800 && point <= 0xDFFF) || point > 0x10FFFF)
			return false;
		text += used;
		length -= (size_t)used;
	}
	return true;
}

static void identity_set_text(struct identity *identity, const ASN1_STRING *string)
{
	identity->text = (const char *)ASN1_STRING_get0_data(string);
	identity->length = (size_t)ASN1_STRING_length(string);
}

/* rfc6125.6.4.3.wildcard-left-most-label: elsewhere "*" is no part of a domain name.
 * Internationalised names are A-labels here (rfc5280.7.2.a-labels-in-certificates). */
static bool identity_read_dns(struct identity *identity)
{
	const char *name = identity->text;
	size_t length = identity->length;

	identity->wildcard = length > 2 && name[0] == '*' && name[1] == '.';
	if (identity->wildcard) {
		name += 2;
		length -= 2;
	}
	return is_ascii(name, length) && domain_name_normalise(name, length, identity->domain);
}

/* rfc4985.2.srv-name: "_Service.Name". */
static bool identity_read_srv(struct identity *identity)
{
	const char *text = identity->text, *end = text + identity->length, *dot;

	if (identity->length == 0 || text[0] != '_' || !is_ascii(text, identity->length))
		return false;
	dot = memchr(text, '.', identity->length);
	if (dot == NULL)
		return false;
	identity->text = dot + 1;
	identity->length = (size_t)(end - identity->text);
	return domain_name_normalise(text + 1, (size_t)(dot - text - 1), identity->service) &&
	       domain_name_normalise(identity->text, identity->length, identity->domain);
}

/* rfc6120.13.7.1.4.xmpp-addr. A JID with "@" or "/" is well-formed, and no domain name. */
static bool identity_read_xmpp(struct identity *identity)
{
	domain_name_normalise(identity->text, identity->length, identity->domain);
	return identity->length > 0 && is_printable(identity->text, identity->length);
}

static void identity_read_other(struct identity *identity, const OTHERNAME *other)
{
	int nid = OBJ_obj2nid(other->type_id);
	int type = other->value->type;

	if (nid == NID_SRVName)
		identity->kind = type == V_ASN1_IA5STRING ? IDENTITY_SRV : IDENTITY_MALFORMED;
	else if (nid == NID_XmppAddr)
		identity->kind = type == V_ASN1_UTF8STRING ? IDENTITY_XMPP : IDENTITY_MALFORMED;
	if (identity->kind == IDENTITY_SRV || identity->kind == IDENTITY_XMPP)
		identity_set_text(identity, other->value->value.asn1_string);
}

void identity_read(struct identity *identity, const GENERAL_NAME *name)
{
	bool good = true;

	*identity = (struct identity){ .kind = IDENTITY_OTHER };
	if (name->type == GEN_DNS) {
		identity->kind = IDENTITY_DNS;
		identity_set_text(identity, name->d.dNSName);
	} else if (name->type == GEN_OTHERNAME) {
		identity_read_other(identity, name->d.otherName);
	}
	if (identity->kind == IDENTITY_DNS)
		good = identity_read_dns(identity);
	else if (identity->kind == IDENTITY_SRV)
		good = identity_read_srv(identity);
	else if (identity->kind == IDENTITY_XMPP)
		good = identity_read_xmpp(identity);
	if (!good)
		identity->kind = IDENTITY_MALFORMED;
}

GENERAL_NAMES *identity_names(X509 *certificate, bool *malformed)
{
	int critical = -1;
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);

	/* rfc5280.4.2.extension-once */
	*malformed = names == NULL && critical != -1;
	ERR_clear_error();
	return names;
}

static bool dns_matches(const struct identity *identity, const char *domain)
{
	if (!identity->wildcard)
		return strcmp(identity->domain, domain) == 0;
	/* rfc6125.6.4.3.wildcard-one-label; and never the names right under a top-level domain. */
	domain = strchr(domain, '.');
	return domain != NULL && strchr(identity->domain, '.') != NULL &&
	       strcmp(identity->domain, domain + 1) == 0;
}

static bool identity_matches(const struct identity *identity, const char *domain,
			     const char *service)
{
	switch (identity->kind) {
	case IDENTITY_DNS:
		return dns_matches(identity, domain);
	case IDENTITY_SRV:
		/* rfc6125.6.5.1.srv-id-of-service; without wildcards (rfc4985.2.srv-name). */
		return strcmp(identity->service, service) == 0 &&
		       strcmp(identity->domain, domain) == 0;
	case IDENTITY_XMPP:
		return strcmp(identity->domain, domain) == 0;
	default:
		return false;
	}
}

/* cert.identity */
bool identity_covers(X509 *certificate, const STACK_OF(X509) * authorities, const char *domain,
		     const char *service)
{
	bool malformed, found = false, permitted = name_constraints_permit(authorities, domain);
	GENERAL_NAMES *names = identity_names(certificate, &malformed);
	struct identity identity;

	for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
		identity_read(&identity, sk_GENERAL_NAME_value(names, i));
		found = (permitted || identity.kind == IDENTITY_DNS) &&
			identity_matches(&identity, domain, service);
	}
	GENERAL_NAMES_free(names);
	return found;
}
