--- The conditions for any policy; see prosody_style/core_check.lua.
local check = require "xmpp_tls_policy.servers.prosody_style.core_check"
local contexts = require "xmpp_tls_policy.servers.prosody.contexts"

return function (module)
	return check(module, contexts)
end
