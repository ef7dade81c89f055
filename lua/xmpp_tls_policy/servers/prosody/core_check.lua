--- What has to hold before any policy can: that the core is there, is that of these Lua
-- files, and calls the OpenSSL that it was made for and that the server's LuaSec uses.
local server = require "xmpp_tls_policy.servers.prosody.server"

local function minor(version)
	return version:match "(%d+%.%d+)"
end

--- Raises an error, as a message, if it does not. `module`: ours.
return function (module)
	local core = require "xmpp_tls_policy.core"
	require "xmpp_tls_policy"
	local context = assert(server.new_context())
	assert(core.context.adopt(context)):close()
	if minor(core.openssl) ~= minor(core.compiled_for) then
		module:log("info", "The core was compiled for %s and runs with %s: what is new there is only used after "
			.. "compiling it again", core.compiled_for, core.openssl)
	end
end
