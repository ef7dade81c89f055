/* xmpp_tls_policy.redis where hiredis is not found: it cannot connect, and the option says so. */
#include "../compat.h"

__attribute__((visibility("default"))) int luaopen_xmpp_tls_policy_redis(lua_State *L);

int luaopen_xmpp_tls_policy_redis(lua_State *L)
{
	lua_newtable(L);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "has_tls");
	return 1;
}
