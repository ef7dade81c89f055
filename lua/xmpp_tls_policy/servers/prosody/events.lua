--- The events by which an operator's own modules learn of the policy; see prosody_style/events.lua.
local common = require "xmpp_tls_policy.servers.prosody_style.events"

local events = {}

local function handlers_of(target, name)
	return target.get_handlers(name)
end

--- The functions `is_handled`, `fire` and `ask`. `log_limited`: function(kind, message), see contract.lua.
function events.new(log_limited)
	return common.new(prosody, handlers_of, log_limited)
end

return events
