/* A list of suites, groups or signature schemes in a table of settings: read, and given to OpenSSL.
 */
#include "internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Refuses anything that OpenSSL would read as more than one name. */
static bool is_name(const char *name, size_t length)
{
	return length > 0 && length < 100 && isalnum((unsigned char)*name) &&
	       strcmp(name, "DEFAULT") != 0 &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") ==
		   length;
}

void setting_list_read(lua_State *L, int index, const char *field, struct setting_list *names)
{
	raw_getfield(L, index, field);
	names->asked = !lua_isnil(L, -1);
	if (!names->asked)
		return;
	if (!lua_istable(L, -1))
		luaL_error(L, "settings: %s is no list", field);
	int source = lua_gettop(L), count = (int)lua_rawlen(L, source);
	luaL_checkstack(L, 10, "settings");
	lua_createtable(L, count, 0);
	names->names = lua_newuserdata(L, ((size_t)count + 1) * sizeof *names->names);
	for (int i = 0; i < count; i++) {
		size_t length = 0;
		lua_rawgeti(L, source, i + 1);
		const char *name =
		    lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : "";
		if (!is_name(name, length) || strlen(name) != length)
			luaL_error(L, "settings: %s[%d] is no name", field, i + 1);
		names->names[i] = (struct setting_name){ .text = name };
		lua_rawseti(L, source + 1, i + 1);
	}
	names->count = count;
	lua_remove(L, source);
}

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
bool setting_list_set_suites(SSL_CTX *context, struct setting_list *names, bool tls13)
{
	struct name_list list = { .text = NULL };
	bool done = true;
	for (int i = 0; i < names->count; i++) {
		const char *name = names->names[i].text;
		const char *openssl_name = tls13 ? name : OPENSSL_cipher_name(name);
		if (*openssl_name != '(')
			done &= name_list_add(&list, "", openssl_name);
	}
	if (list.length > 0) {
		done &= (tls13 ? SSL_CTX_set_ciphersuites(context, name_list_text(&list))
			       : SSL_CTX_set_cipher_list(context, name_list_text(&list))) == 1;
		const STACK_OF(SSL_CIPHER) *suites = SSL_CTX_get_ciphers(context);
		for (int i = 0, place = 0; i < names->count; i++)
			names->names[i].known = has_suite(suites, names->names[i].text, &place);
	}
	name_list_free(&list);
	return done;
}

/* OpenSSL refuses a list with a group that it does not know, so each is tried first. From
 * OpenSSL 3.5 on, a client sends a key share of each group with a mark
 * (rfc8446.4.2.8.key-shares); without marks it sends one, of the first group. */
bool setting_list_set_groups(SSL_CTX *context, struct setting_list *names, int key_shares,
			     struct name_list *list)
{
	bool done = true;
	int count = 0;
	for (int i = 0; i < names->count; i++) {
		char marked[128];
		const char *name = names->names[i].text;
		names->names[i].known = SSL_CTX_set1_groups_list(context, name) == 1;
		if (!names->names[i].known)
			continue;
		snprintf(marked, sizeof marked, "*%s", name);
		bool mark = count++ < key_shares && SSL_CTX_set1_groups_list(context, marked) == 1;
		done &= name_list_add(list, mark ? "*" : "", name);
	}
	if (list->length > 0)
		done &= SSL_CTX_set1_groups_list(context, name_list_text(list)) == 1;
	return done;
}

/* The same of schemes: a server offers its list to clients with a certificate, too. */
bool setting_list_set_schemes(SSL_CTX *context, struct setting_list *names, struct name_list *list)
{
	bool done = true;
	for (int i = 0; i < names->count; i++) {
		struct setting_name *name = &names->names[i];
		struct name_list alone = { .text = NULL };
		done &= name_list_add(&alone, "", name->text);
		name->known = signature_schemes_set(context, &alone);
		if (name->known)
			done &= name_list_add(list, "", name->text);
		name_list_free(&alone);
	}
	if (list->length > 0)
		done &= signature_schemes_set(context, list);
	return done;
}

bool setting_list_is_empty(const struct setting_list *names)
{
	for (int i = 0; i < names->count; i++)
		if (names->names[i].known)
			return false;
	return true;
}
