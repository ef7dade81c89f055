/* Session ID contexts: a session is resumed only in the one that it was made in. Each is a digest
 * of everything that has to be the same. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

struct server_name {
	char *name;
	unsigned char id_context[SESSION_ID_CONTEXT_SIZE];
};

bool session_id_context_digest(const char *text, size_t length,
			       unsigned char id_context[SESSION_ID_CONTEXT_SIZE])
{
	/* Fetched once: each fetch costs as much as the digest of a short text. */
	static EVP_MD *sha256;
	unsigned char bytes[EVP_MAX_MD_SIZE];
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (sha256 == NULL || EVP_Digest(text, length, bytes, NULL, sha256, NULL) != 1)
		return false;
	memcpy(id_context, bytes, SESSION_ID_CONTEXT_SIZE);
	return true;
}

/* ---- the name that a client sent ------------------------------------------------- */

/* rfc6066.3.name-without-case */
static int compare_names(const void *a, const void *b)
{
	return strcasecmp(((const struct server_name *)a)->name,
			  ((const struct server_name *)b)->name);
}

bool server_names_bind(const struct server_names *names, SSL *connection,
		       unsigned char id_context[SESSION_ID_CONTEXT_SIZE])
{
	char name[SERVER_NAME_SIZE], text[SESSION_ID_CONTEXT_SIZE + SERVER_NAME_SIZE];
	const struct server_name wanted = { .name = name };
	const struct server_name *found = NULL;
	size_t length = client_hello_read_server_name(connection, name);
	if (length == 0)
		return true;
	if (names->count > 0)
		found = bsearch(&wanted, names->names, names->count, sizeof *found, compare_names);
	memcpy(text, found != NULL ? found->id_context : id_context, SESSION_ID_CONTEXT_SIZE);
	memcpy(text + SESSION_ID_CONTEXT_SIZE, name, length);
	return session_id_context_digest(text, SESSION_ID_CONTEXT_SIZE + length, id_context);
}

/* ---- our own names ----------------------------------------------------------------- */

void server_names_free(struct server_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->names[i].name);
	free(names->names);
	memset(names, 0, sizeof *names);
}

void server_names_check(lua_State *L, int index)
{
	luaL_checktype(L, index, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1))
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
			luaL_argerror(L, index, "table from names to strings expected");
}

static size_t count_entries(lua_State *L, int index)
{
	size_t count = 0;
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1))
		count++;
	return count;
}

bool server_names_read(lua_State *L, int index, struct server_names *names)
{
	struct server_names made = { .count = 0 };
	made.names = calloc(count_entries(L, index) + 1, sizeof *made.names);
	if (made.names == NULL)
		return false;
	for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
		size_t length;
		struct server_name *name = &made.names[made.count];
		const char *text = lua_tolstring(L, -1, &length);
		name->name = strdup(lua_tostring(L, -2));
		if (name->name == NULL ||
		    !session_id_context_digest(text, length, name->id_context)) {
			free(name->name);
			lua_pop(L, 2);
			server_names_free(&made);
			return false;
		}
		made.count++;
	}
	qsort(made.names, made.count, sizeof *made.names, compare_names);
	server_names_free(names);
	*names = made;
	return true;
}
