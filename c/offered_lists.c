/* The lists of names in settings: suites, groups and signature schemes. They are read from Lua and
 * set on a context. */
#include "internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *const offered_list_fields[OFFERED_LISTS] = { "ciphers", "ciphersuites", "groups",
							 "signature_schemes" };

/* Refuses anything that OpenSSL would read as more than one name. */
static bool is_name(const char *name, size_t length)
{
	return length > 0 && length < OFFERED_NAME_SIZE && isalnum((unsigned char)*name) &&
	       strcmp(name, "DEFAULT") != 0 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") ==
		   length;
}

void offered_list_read(lua_State *L, int index, const char *field, struct offered_list *list)
{
	raw_getfield(L, index, field);
	list->asked = !lua_isnil(L, -1);
	if (!list->asked)
		return;
	if (!lua_istable(L, -1))
		luaL_error(L, "settings: %s is no list", field);
	int source = lua_gettop(L), count = (int)lua_rawlen(L, source);
	luaL_checkstack(L, 10, "settings");
	lua_createtable(L, count, 0);
	list->names = lua_newuserdata(L, ((size_t)count + 1) * sizeof *list->names);
	for (int i = 0; i < count; i++) {
		size_t length = 0;
		lua_rawgeti(L, source, i + 1);
		const char *name =
		    lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : "";
		if (!is_name(name, length) || strlen(name) != length)
			luaL_error(L, "settings: %s[%d] is no name", field, i + 1);
		list->names[i] = (struct offered_name){ .text = name };
		lua_rawseti(L, source + 1, i + 1);
	}
	list->count = count;
	lua_remove(L, source);
}

bool offered_list_is_empty(const struct offered_list *list)
{
	for (int i = 0; i < list->count; i++)
		if (list->names[i].known)
			return false;
	return true;
}

/* ---- suites ----------------------------------------------------------------- */

/* Looks from a place on, and moves it behind the suite: OpenSSL keeps the order of names. */
static bool has_suite(const STACK_OF(SSL_CIPHER) * suites, const char *standard_name, int *place)
{
	for (int i = 0, count = sk_SSL_CIPHER_num(suites); i < count; i++) {
		int at = (*place + i) % count;
		const char *name = SSL_CIPHER_standard_name(sk_SSL_CIPHER_value(suites, at));
		if (name == NULL || strcmp(name, standard_name) != 0)
			continue;
		*place = at + 1;
		return true;
	}
	return false;
}

/* OpenSSL leaves out the suites that it does not know, so they are read back. For a suite
 * of which it does not know even the name, OPENSSL_cipher_name gives "(NONE)". */
static bool set_suites(SSL_CTX *context, struct offered_list *list, bool tls13)
{
	bool done = true;
	for (int i = 0; i < list->count; i++) {
		const char *name = list->names[i].text;
		const char *openssl_name = tls13 ? name : OPENSSL_cipher_name(name);
		if (*openssl_name != '(')
			done &= name_list_add(&list->set, "", openssl_name);
	}
	if (list->set.length == 0)
		return done;
	done &= (tls13 ? SSL_CTX_set_ciphersuites(context, name_list_text(&list->set))
		       : SSL_CTX_set_cipher_list(context, name_list_text(&list->set))) == 1;
	const STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(context);
	for (int i = 0, place = 0; i < list->count; i++)
		list->names[i].known = has_suite(suites, list->names[i].text, &place);
	return done;
}

/* ---- groups and signature schemes -------------------------------------------- */

/* OpenSSL refuses a list with a group that it does not know, so each is tried first. From
 * OpenSSL 3.5 on, a client sends a key share of each group with a mark
 * (rfc8446.4.2.8.key-shares); without marks it sends one, of the first group. */
static bool set_groups(SSL_CTX *context, struct offered_list *list, int key_shares)
{
	bool done = true;
	int count = 0;
	for (int i = 0; i < list->count; i++) {
		char marked[OFFERED_NAME_SIZE + 1];
		const char *name = list->names[i].text;
		list->names[i].known = SSL_CTX_set1_groups_list(context, name) == 1;
		if (!list->names[i].known)
			continue;
		snprintf(marked, sizeof marked, "*%s", name);
		bool mark = count++ < key_shares && SSL_CTX_set1_groups_list(context, marked) == 1;
		done &= name_list_add(&list->set, mark ? "*" : "", name);
	}
	if (list->set.length > 0)
		done &= SSL_CTX_set1_groups_list(context, name_list_text(&list->set)) == 1;
	return done;
}

/* The same of schemes, for which both roles have one list: a server offers it to clients with a
 * certificate, too. */
static bool set_schemes(SSL_CTX *context, struct offered_list *list)
{
	bool done = true;
	for (int i = 0; i < list->count; i++) {
		struct offered_name *name = &list->names[i];
		struct name_list alone = { .text = NULL };
		done &= name_list_add(&alone, "", name->text);
		name->known = signature_schemes_set(context, &alone);
		if (name->known)
			done &= name_list_add(&list->set, "", name->text);
		name_list_free(&alone);
	}
	if (list->set.length > 0)
		done &= signature_schemes_set(context, &list->set);
	return done;
}

/* Which names are known is asked of the context itself and anew each time: that depends on
 * the providers that were loaded when the context was made. */
bool offered_list_set(SSL_CTX *context, struct offered_list *list, size_t which, int key_shares)
{
	switch (which) {
	case OFFERED_GROUPS:
		return set_groups(context, list, key_shares);
	case OFFERED_SCHEMES:
		return set_schemes(context, list);
	default:
		return set_suites(context, list, which == OFFERED_CIPHERSUITES);
	}
}
