/* Replies as Lua values. */
#include "redis.h"

bool redis_reply_is_deep(const redisReply *reply, int deepest)
{
	if (reply->type != REDIS_REPLY_ARRAY)
		return false;
	if (deepest == 0)
		return true;
	for (size_t i = 0; i < (size_t)reply->elements; i++)
		if (redis_reply_is_deep(reply->element[i], deepest - 1))
			return true;
	return false;
}

static void push_value(lua_State *L, const redisReply *reply)
{
	switch (reply->type) {
	case REDIS_REPLY_STRING:
	case REDIS_REPLY_STATUS:
	case REDIS_REPLY_ERROR:
		lua_pushlstring(L, reply->str, (size_t)reply->len);
		break;
	case REDIS_REPLY_INTEGER:
		lua_pushinteger(L, (lua_Integer)reply->integer);
		break;
	case REDIS_REPLY_ARRAY:
		luaL_checkstack(L, 2, "a reply nests too deep");
		lua_newtable(L);
		for (size_t i = 0; i < (size_t)reply->elements; i++) {
			push_value(L, reply->element[i]);
			lua_rawseti(L, -2, (int)i + 1);
		}
		break;
	default:
		lua_pushboolean(L, 0);
	}
}

int redis_reply_push(lua_State *L, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR)
		lua_pushnil(L);
	push_value(L, reply);
	return reply->type == REDIS_REPLY_ERROR ? 2 : 1;
}
