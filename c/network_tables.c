/* The module `network_contexts`: tables of networks, and of contexts for their clients. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* The integer at a place of the table on top, or -1. */
static int64_t integer_at(lua_State *L, int place, double most)
{
	lua_rawgeti(L, -1, place);
	lua_Number number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
	lua_pop(L, 1);
	return number >= 0 && number <= most && number == (lua_Number)(int64_t)number
		   ? (int64_t)number
		   : -1;
}

/* Fills `network` from the table on top. */
static bool read_network(lua_State *L, struct network *network)
{
	size_t size = 0;
	if (!lua_istable(L, -1))
		return false;
	lua_rawgeti(L, -1, 1);
	const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
	bool is_address = size == sizeof(struct in_addr) || size == sizeof(struct in6_addr);
	memset(network, 0, sizeof *network);
	if (is_address)
		memcpy(network->address, bytes, size);
	lua_pop(L, 1);
	int64_t prefix = is_address ? integer_at(L, 2, (double)size * 8) : -1;
	network->size = (uint8_t)size;
	network->prefix = (uint8_t)prefix;
	network->ends = integer_at(L, 3, 1e12);
	return prefix >= 1 && network->ends >= 0;
}

/* Pushes the networks of a group, the table at the absolute index, as an array. Raises an error for
 * any other table. */
static const struct network *push_networks(lua_State *L, int group, size_t *count)
{
	*count = lua_rawlen(L, group);
	struct network *networks = lua_newuserdata(L, (*count + 1) * sizeof *networks);
	for (size_t i = 0; i < *count; i++, lua_pop(L, 1)) {
		lua_rawgeti(L, group, (int)i + 1);
		if (!read_network(L, &networks[i]))
			luaL_argerror(L, 2, "networks of bytes, prefix length and end expected");
	}
	return networks;
}

static void check_groups(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TTABLE);
	for (size_t i = 1; i <= lua_rawlen(L, 2); i++, lua_settop(L, 3)) {
		size_t count;
		lua_rawgeti(L, 2, (int)i);
		if (!lua_istable(L, -1))
			luaL_argerror(L, 2, "list of lists of networks expected");
		push_networks(L, lua_gettop(L), &count);
	}
}

/* Returns the number of names. */
static size_t check_names(lua_State *L)
{
	size_t count = 0;
	lua_Number groups = (lua_Number)lua_rawlen(L, 2);
	luaL_checktype(L, 3, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, 3) != 0; lua_pop(L, 1), count++) {
		if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1))
			luaL_argerror(L, 3, "table from names to tables expected");
		int contexts = lua_gettop(L);
		for (lua_pushnil(L); lua_next(L, contexts) != 0; lua_pop(L, 1)) {
			lua_Number group = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
			if (!(group >= 1 && group <= groups) || group != (lua_Number)(size_t)group)
				luaL_argerror(L, 3, "no such group of networks");
			(void)context_check(L, lua_gettop(L));
		}
	}
	return count;
}

static bool add_groups(lua_State *L, struct network_contexts *made)
{
	bool done = true;
	for (size_t i = 1; done && i <= lua_rawlen(L, 2); i++) {
		size_t count;
		lua_rawgeti(L, 2, (int)i);
		const struct network *networks = push_networks(L, lua_gettop(L), &count);
		done = network_contexts_add_group(made, networks, count);
		lua_pop(L, 2);
	}
	return done;
}

static bool add_names(lua_State *L, struct network_contexts *made)
{
	bool done = true;
	for (lua_pushnil(L); done && lua_next(L, 3) != 0; lua_pop(L, 1)) {
		int contexts = lua_gettop(L);
		done = network_contexts_add_name(made, lua_tostring(L, -2));
		for (lua_pushnil(L); done && lua_next(L, contexts) != 0; lua_pop(L, 1))
			done = network_contexts_add_context(made, context_check(L, lua_gettop(L)),
							    (size_t)lua_tonumber(L, -2) - 1);
	}
	return done;
}

/* The one that is being made, so that it is freed if Lua has no memory. */
struct owner {
	struct network_contexts *contexts;
};

static int owner_close(lua_State *L)
{
	struct owner *owner = luaL_checkudata(L, 1, NETWORK_CONTEXTS_TYPE);
	network_contexts_free(owner->contexts);
	owner->contexts = NULL;
	return 0;
}

/* network_contexts.set(context, groups, names)
 * Lets other contexts take the place of a server's for the clients of some networks. `groups`: a
 * list of lists of networks, each { bytes (4, or 16 of IPv6), prefix length, end (UTC seconds) }.
 * `names`: from each server name (SNI) that the context serves, to a table from the number of a
 * group to the Context for it; "" stands for all other names, and for none. The address of the
 * socket counts. All other clients, and those of a network that has ended, stay on the context. The
 * caller keeps LuaSec's userdata of the contexts, as long as the context lives, or a handshake goes
 * on (observer.is_negotiating). Release ends it, and that of a context in `names` ends it for this
 * one. With nil for groups it ends, too. Needs apply or observe before, on the contexts in `names`
 * as well: they serve in no other way, and their groups are read now. Returns true, or nil,
 * message, code ("tls"): then none takes the place. */
static int set(lua_State *L)
{
	SSL_CTX *context = context_check(L, 1);
	lua_settop(L, 3);
	network_contexts_clear(context);
	if (lua_isnil(L, 2)) {
		lua_pushboolean(L, 1);
		return 1;
	}
	check_groups(L);
	size_t names = check_names(L);
	struct owner *owner = lua_newuserdata(L, sizeof *owner);
	owner->contexts = NULL;
	luaL_getmetatable(L, NETWORK_CONTEXTS_TYPE);
	lua_setmetatable(L, -2);
	owner->contexts = network_contexts_new(names);
	if (owner->contexts == NULL || !add_groups(L, owner->contexts) ||
	    !add_names(L, owner->contexts) || !network_contexts_set(context, owner->contexts)) {
		network_contexts_free(owner->contexts);
		owner->contexts = NULL;
		return push_failure(L, "tls", "cannot set up the contexts for networks");
	}
	owner->contexts = NULL;
	lua_pushboolean(L, 1);
	return 1;
}

void network_tables_open(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg functions[] = { { "set", set }, { NULL, NULL } };
	register_type(L, NETWORK_CONTEXTS_TYPE, none, none, owner_close);
	luaL_newlib(L, functions);
}
