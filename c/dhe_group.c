/* The group of RFC 7919 that a server has for DHE alone. Where OpenSSL negotiates DHE by its group
 * (rfc7919.4.shared-group), a client that lists finite fields gets DHE only with one that both ends
 * list. TLS 1.3 has the same list of groups, and must not get more of them. */
#include "internal.h"

#include <string.h>
#include <strings.h>

/* Whether a list, with colons between the names and marks before them, has a name. */
static bool has_name(const char *list, const char *name)
{
	size_t length = strlen(name);
	for (const char *at = list; *at != '\0'; at += *at == ':') {
		at += strspn(at, "*");
		size_t here = strcspn(at, ":");
		if (here == length && strncasecmp(at, name, length) == 0)
			return true;
		at += here;
	}
	return false;
}

int dhe_group_lacking(const char *groups, int least_bits)
{
	int nid = HAVE_NEGOTIATED_DHE && least_bits >= 0 ? dh_group_nid(least_bits) : NID_undef;
	return nid != NID_undef && has_name(groups, OBJ_nid2sn(nid)) ? NID_undef : nid;
}

bool dhe_group_list(struct name_list *list, const char *groups, int nid)
{
	return (*groups == '\0' || name_list_add(list, "", groups)) &&
	       (nid == NID_undef || name_list_add(list, "", OBJ_nid2sn(nid)));
}

/* The finite fields in a list, as dh_group_mask has them. */
static unsigned int fields_in(const char *groups)
{
	unsigned int fields = 0;
	for (int bits = 0, nid; (nid = dh_group_nid(bits)) != NID_undef;
	     bits = dh_group_bits(nid) + 1)
		if (has_name(groups, OBJ_nid2sn(nid)))
			fields |= dh_group_mask(nid);
	return fields;
}

bool dhe_group_set(SSL_CTX *context, const char *groups, int nid)
{
	struct name_list list = { .text = NULL };
	bool done = dhe_group_list(&list, groups, nid);
	/* TLS 1.3 never has the group. */
	if (HAVE_NEGOTIATED_DHE)
		security_set_dhe_group(context, nid, fields_in(groups));
	done = done &&
	       (list.length == 0 || SSL_CTX_set1_groups_list(context, name_list_text(&list)) == 1);
	name_list_free(&list);
	return done;
}
