/* Kinds of sessions: all that sessions of one version, suite and group have in common, as a
 * session of OpenSSL's without the secret and without anything of one client. */
#include "internal.h"

#include <string.h>

void session_kinds_free(struct session_kinds *kinds)
{
	for (unsigned int i = 0; i < kinds->count; i++)
		SSL_SESSION_free(kinds->kinds[i].model);
	memset(kinds, 0, sizeof *kinds);
}

/* Known gaps: rfc6066.4.max-fragment-length-stays-with-its-session,
 * rfc5246.7.4.1.4.only-offered-extensions. */
static SSL_SESSION *make_model(const SSL_SESSION *session)
{
	static const unsigned char nothing[SESSION_SECRET_SIZE];
	SSL_SESSION *model = SSL_SESSION_dup(session);
	if (model != NULL && (SSL_SESSION_set1_master_key(model, nothing, sizeof nothing) != 1 ||
			      SSL_SESSION_set1_hostname(model, NULL) != 1 ||
			      SSL_SESSION_set1_alpn_selected(model, NULL, 0) != 1)) {
		SSL_SESSION_free(model);
		model = NULL;
	}
	return model;
}

int session_kinds_find(struct session_kinds *kinds, SSL *connection, const SSL_SESSION *session)
{
	int version = SSL_SESSION_get_protocol_version(session);
	const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session);
	int group = (int)SSL_get_negotiated_group(connection);
	for (unsigned int i = 0; i < kinds->count; i++)
		if (kinds->kinds[i].version == version && kinds->kinds[i].cipher == cipher &&
		    kinds->kinds[i].group == group)
			return (int)i;
	if (kinds->count == SESSION_KINDS)
		return -1;
	SSL_SESSION *model = make_model(session);
	if (model == NULL)
		return -1;
	kinds->kinds[kinds->count].version = version;
	kinds->kinds[kinds->count].cipher = cipher;
	kinds->kinds[kinds->count].group = group;
	kinds->kinds[kinds->count].model = model;
	return (int)kinds->count++;
}
