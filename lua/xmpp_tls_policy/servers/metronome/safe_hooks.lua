--- Calls our functions so that a failure in them ends no event of Metronome; see prosody_style/safe_hooks.lua.
local unpack = table.unpack or unpack

-- xpcall of Lua 5.1 hands on no arguments.
local function xpcall_with(action, handler, ...)
	local count, arguments = select("#", ...), { ... }
	return xpcall(function ()
		return action(unpack(arguments, 1, count))
	end, handler)
end

local safe_hooks = require "xmpp_tls_policy.servers.prosody_style.safe_hooks" {
	fail_closed = require "xmpp_tls_policy.servers.metronome.fail_closed",
	sessions = require "xmpp_tls_policy.servers.metronome.sessions",
	xpcall = (_VERSION == "Lua 5.1" and not rawget(_G, "jit")) and xpcall_with or xpcall,
}

return safe_hooks
