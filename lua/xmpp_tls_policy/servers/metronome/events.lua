--- The events by which an operator's own modules learn of the policy; see prosody_style/events.lua.
local common = require "xmpp_tls_policy.servers.prosody_style.events"

local events = {}

-- Metronome keeps the list of an event's handlers in a table that makes it when it is read.
local function handlers_of(target, name)
	return target._handlers[name]
end

--- The functions `is_handled`, `fire` and `ask`. `log_limited`: function(kind, message), see contract.lua.
function events.new(log_limited)
	return common.new(metronome, handlers_of, log_limited)
end

return events
