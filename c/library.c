/* The libraries in this process, and whether we can work with them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* NOLINT: dladdr is no part of POSIX */
#endif
#include "internal.h"

#include <dlfcn.h>

#include <openssl/crypto.h>

/* 0xMNN00PPSL: OPENSSL_VERSION_NUMBER(3). */
#define MAJOR(number)           ((number) >> 28)
#define MAJOR_AND_MINOR(number) ((number) >> 20)

static const char mismatch[] = "xmpp_tls_policy.core was compiled for %s, and OpenSSL here is %s; "
			       "only a newer one of the same major version can stand in for it";

void library_check(lua_State *L)
{
	unsigned long here = OpenSSL_version_num();
	if (MAJOR(here) != MAJOR(OPENSSL_VERSION_NUMBER) ||
	    MAJOR_AND_MINOR(here) < MAJOR_AND_MINOR(OPENSSL_VERSION_NUMBER))
		luaL_error(L, mismatch, OPENSSL_VERSION_TEXT,
			   OpenSSL_version(OPENSSL_FULL_VERSION_STRING));
}

bool library_has_made(const SSL_CTX *context, const char **ours, const char **other)
{
	Dl_info of_ours = { 0 }, of_other = { 0 };
	const SSL_METHOD *method = SSL_CTX_get_ssl_method(context);
	*ours = *other = "a file that the loader does not know";
	if (method == TLS_method())
		return true;
	/* Methods are constants of the library. */
	if (dladdr(TLS_method(), &of_ours) != 0 && of_ours.dli_fname != NULL)
		*ours = of_ours.dli_fname;
	if (dladdr(method, &of_other) != 0 && of_other.dli_fname != NULL)
		*other = of_other.dli_fname;
	return of_ours.dli_fbase != NULL && of_ours.dli_fbase == of_other.dli_fbase;
}
