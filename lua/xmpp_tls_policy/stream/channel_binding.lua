--- The channel binding tls-unique on connections of ours. Servers take the peer's
-- Finished message for it, which they ask LuaSec for. On a resumed connection, which they have only
-- with us, it is our own. So LuaSec's method returns the right one, whoever calls it.
local core = require "xmpp_tls_policy.core"

local channel_binding = {}

-- LuaSec's method, while ours is in its place.
local original
local active = false

-- rfc5929.3.1.first-finished
local function first_finished(connection, ...)
	local unique = active and core.observer.channel_binding(connection, "tls-unique")
	if unique then
		return unique
	end
	return original(connection, ...)
end

-- The methods of LuaSec's connections; nil where LuaSec is not loaded.
local function methods()
	local metatable = debug.getregistry()["SSL:Connection"]
	return metatable and metatable.__index
end

--- To be called when the module is loaded or reloaded.
function channel_binding.start()
	local found = methods()
	active = true
	-- Where another module has wrapped ours since, ours is still called.
	if found and found.getpeerfinished and not original then
		original, found.getpeerfinished = found.getpeerfinished, first_finished
	end
end

--- To be called when the module is unloaded.
function channel_binding.stop()
	local found = methods()
	active = false
	if original and found.getpeerfinished == first_finished then
		found.getpeerfinished, original = original, nil
	end
end

return channel_binding
