--- The conditions for any policy: the core is there, it fits these Lua files, and it calls the OpenSSL
-- that it was compiled for and that the server's LuaSec uses.

local function minor(version)
	return version:match "(%d+%.%d+)"
end

--- Raises an error, as a message, if they do not hold. `module`: ours; `contexts`: the server's.
return function (module, contexts)
	local core = require "xmpp_tls_policy.core"
	require "xmpp_tls_policy"
	local context = assert(contexts.new_context())
	assert(core.context.adopt(context)):close()
	if minor(core.openssl) ~= minor(core.compiled_for) then
		module:log("info", "The core was compiled for %s and runs with %s: to use new features of that one, compile the "
			.. "core again", core.compiled_for, core.openssl)
	end
end
