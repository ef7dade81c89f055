--- The events by which modules of the operator's own hear of the policy. What such a
-- module does wrong is logged, and changes nothing else.
local fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed"
local log = require "util.logger".init "tls_policy"

local events = {}

-- A host's, or, for no host in particular, those of global modules.
local function of(host)
	local present = host == nil and prosody or prosody.hosts[host]
	return present and present.events
end

local function failed(name, problem)
	fail_closed.log_limited(log, ("A handler of %s failed"):format(name), tostring(problem))
end

--- Fires an event on a host (nil: for global modules).
function events.fire(host, name, event)
	local target = of(host)
	if not target then
		return
	end
	local done, problem = pcall(target.fire_event, name, event)
	if not done then
		failed(name, problem)
	end
end

--- Calls each handler of an event on a host (nil: of global modules) with a table of its
-- own from `make`. Returns the first string that one returns, or nil; a handler that
-- fails counts as one that returned a string.
function events.ask(host, name, make)
	local target, answer = of(host), nil
	for _, handler in ipairs(target and target.get_handlers(name) or {}) do
		local done, result = pcall(handler, make())
		if not done then
			failed(name, result)
			result = "a module of this server could not judge the connection"
		end
		answer = answer or type(result) == "string" and result or nil
	end
	return answer
end

return events
