/* Certificate, key and authorities of a context of our own, from files. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

/* OpenSSL's "system lib" does not tell an operator which file is missing. */
static bool is_readable(const char *path)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	int first = fgetc(file);
	bool readable = first != EOF || !ferror(file);
	int error = errno;
	fclose(file);
	errno = error;
	return readable;
}

/* A key with a password cannot be read. */
static int no_password(char *buffer, int size, int writing, void *data)
{
	(void)buffer, (void)size, (void)writing, (void)data;
	return -1;
}

static int push_mismatch(lua_State *L, const struct credentials *credentials)
{
	ERR_clear_error();
	return push_failure(L, "mismatch", "key '%s' does not belong to certificate '%s'",
			    credentials->key, credentials->certificate);
}

static int load_certificate(lua_State *L, SSL_CTX *context, const struct credentials *credentials)
{
	const char *certificate = credentials->certificate, *key = credentials->key;
	if (certificate == NULL && key == NULL)
		return 0;
	if (certificate == NULL || key == NULL)
		return push_failure(L, "file", "a certificate and its key have to be given both");
	if (!is_readable(certificate))
		return push_failure(L, "file", "cannot read certificate '%s': %s", certificate,
				    strerror(errno));
	if (!is_readable(key))
		return push_failure(L, "file", "cannot read key '%s': %s", key, strerror(errno));
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return push_failure(L, "parse", "'%s' holds no certificate that can be used",
				    certificate);
	SSL_CTX_set_default_passwd_cb(context, no_password);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
			return push_mismatch(L, credentials);
		return push_failure(L, "parse", "'%s' holds no private key that can be read", key);
	}
	bool matches = SSL_CTX_check_private_key(context) == 1;
	ERR_clear_error();
	return matches ? 0 : push_mismatch(L, credentials);
}

static int load_authorities(lua_State *L, SSL_CTX *context, const struct credentials *credentials)
{
	const char *file = credentials->ca_file, *path = credentials->ca_path;
	if (file != NULL && !is_readable(file))
		return push_failure(L, "file", "cannot read ca_file '%s': %s", file,
				    strerror(errno));
	if (path != NULL && access(path, R_OK | X_OK) != 0)
		return push_failure(L, "file", "cannot read ca_path '%s': %s", path,
				    strerror(errno));
	if ((file != NULL || path != NULL) &&
	    SSL_CTX_load_verify_locations(context, file, path) != 1)
		return push_failure(L, "parse", "cannot load certificate authorities from '%s'",
				    file != NULL ? file : path);
	if (credentials->system_authorities && SSL_CTX_set_default_verify_paths(context) != 1)
		return push_failure(L, "parse", "cannot load the system's certificate authorities");
	return 0;
}

int credentials_load(lua_State *L, SSL_CTX *context, const struct credentials *credentials)
{
	int failure = load_certificate(L, context, credentials);
	return failure > 0 ? failure : load_authorities(L, context, credentials);
}
