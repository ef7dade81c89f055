--- Calls of ours that may fail, as any program may: what fails is said in the log, and a
-- session that was to be decided on is refused.
local gate = require "xmpp_tls_policy.servers.prosody.fail_closed"
local in_force = require "xmpp_tls_policy.policy.policies"
local log = require "util.logger".init "tls_policy"
local server = require "xmpp_tls_policy.servers.prosody.server"
local xpcall = require "util.xpcall".xpcall

local protected = {}

--- Calls action(…). True and what it returned first; or false, with a line in the log that
-- names `what`, one of a few strings.
function protected.call(what, action, ...)
	local done, result = xpcall(action, debug.traceback, ...)
	if not done then
		gate.tell_seldom(log, "A failure of the TLS policy's own, in " .. what, result)
	end
	return done, result
end

--- Hooks an event of `of` (a module, ours) on which nothing depends for the session.
function protected.hook(of, event, handler, priority)
	of:hook(event, function (data)
		local done, result = protected.call(event, handler, data)
		if done then
			return result
		end
	end, priority)
end

--- Hooks an event in which a session is decided on: where the handler fails, the session is
-- ended, and the event with `ending` (a boolean), as far as the policy is not only reported on.
function protected.hook_decision(of, event, handler, priority, ending)
	of:hook(event, function (data)
		local done, result = protected.call(event, handler, data)
		if done then
			return result
		elseif protected.refuse(data.origin or data.session) then
			return ending
		end
	end, priority)
end

-- Whether a policy is to be enforced on a session, as far as that can be told.
local function is_enforced(session)
	local done, policy = pcall(in_force.of_session, session)
	if not done then
		return not gate.only_reports(server.host(session))
	end
	return policy and policy.mode ~= "report"
end

--- Ends a session that could not be decided on. Returns true; nil, with nothing done, where
-- there is no policy, or it is only reported on.
function protected.refuse(session)
	if is_enforced(session) then
		gate.refuse(session)
		return true
	end
end

return protected
