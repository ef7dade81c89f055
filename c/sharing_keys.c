/* Keys: the keys of shared sessions, in secret memory. They never become values of Lua. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

struct sharing_keys *sharing_keys_new(void)
{
	struct sharing_keys *keys = calloc(1, sizeof *keys);
	size_t size = SECRET_PAGES(SHARING_KEYS_MAX * sizeof *keys->keys);
	if (keys == NULL || !secret_memory_map(&keys->memory, size)) {
		free(keys);
		return NULL;
	}
	keys->keys = keys->memory.bytes;
	keys->references = 1;
	return keys;
}

void sharing_keys_up_ref(struct sharing_keys *keys)
{
	keys->references++;
}

void sharing_keys_free(struct sharing_keys *keys)
{
	if (keys == NULL || --keys->references > 0)
		return;
	secret_memory_unmap(&keys->memory);
	free(keys);
}

bool sharing_keys_add(struct sharing_keys *keys, const void *bytes, size_t length)
{
	if (keys->count++ >= SHARING_KEYS_MAX)
		return true;
	return sealing_key_set(&keys->keys[keys->count - 1], bytes, length);
}

bool sharing_keys_are_the_same(const struct sharing_keys *keys)
{
	const struct sealing_key *first = &keys->keys[0], *second = &keys->keys[1];
	return keys->count == 2 && first->length == second->length &&
	       CRYPTO_memcmp(first->bytes, second->bytes, first->length) == 0;
}

/* ---- in Lua --------------------------------------------------------------------------- */

struct sharing_keys *sharing_keys_check(lua_State *L, int index)
{
	struct sharing_keys **object = luaL_checkudata(L, index, SHARING_KEYS_TYPE);
	if (*object == NULL)
		luaL_argerror(L, index, "keys are closed");
	return *object;
}

static int keys_close(lua_State *L)
{
	struct sharing_keys **object = luaL_checkudata(L, 1, SHARING_KEYS_TYPE);
	sharing_keys_free(*object);
	*object = NULL;
	return 0;
}

struct sharing_keys *sharing_keys_push(lua_State *L)
{
	struct sharing_keys **object = lua_newuserdata(L, sizeof(struct sharing_keys *));
	*object = NULL;
	luaL_getmetatable(L, SHARING_KEYS_TYPE);
	lua_setmetatable(L, -2);
	*object = sharing_keys_new();
	return *object;
}

/* keys:ids() -> a list of the IDs, as hexadecimal digits, for people; the first key seals. An ID
 * tells nothing of its key. */
static int keys_ids(lua_State *L)
{
	const struct sharing_keys *keys = sharing_keys_check(L, 1);
	lua_newtable(L);
	for (unsigned int i = 0; i < keys->count; i++) {
		push_hex(L, keys->keys[i].id, sizeof keys->keys[i].id);
		lua_rawseti(L, -2, (int)i + 1);
	}
	return 1;
}

/* keys:locked() -> whether the system keeps them from being swapped out. */
static int keys_locked(lua_State *L)
{
	lua_pushboolean(L, sharing_keys_check(L, 1)->memory.locked);
	return 1;
}

void sharing_keys_open(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{ "ids", keys_ids },
		{ "locked", keys_locked },
		{ NULL, NULL },
	};
	static const luaL_Reg none[] = { { NULL, NULL } };
	register_type(L, SHARING_KEYS_TYPE, methods, none, keys_close);
}
