--- Calls of ours that may fail, as any program may: the log tells of the failure, and a session that
-- was to be decided on is refused.
local fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed"
local log = require "util.logger".init "tls_policy"
local sessions = require "xmpp_tls_policy.servers.prosody.sessions"
local xpcall = require "util.xpcall".xpcall

local safe_hooks = {}

local methods = {}
local metatable = { __index = methods }

--- `is_enforced_on`: function(session) -> whether a policy is enforced on it.
function safe_hooks.new(is_enforced_on)
	return setmetatable({ _is_enforced_on = is_enforced_on }, metatable)
end

--- Calls action(…). Returns true and its first result; or false, with a line in the log that names
-- `what`, one of a few strings.
function safe_hooks.call(what, action, ...)
	local done, result = xpcall(action, debug.traceback, ...)
	if not done then
		fail_closed.log_limited(log, "Internal error of the TLS policy in " .. what, result)
	end
	return done, result
end

--- Hooks an event of `module` (ours) on which nothing depends for the session.
function safe_hooks.hook(module, event, handler, priority)
	module:hook(event, function (data)
		local done, result = safe_hooks.call(event, handler, data)
		if done then
			return result
		end
	end, priority)
end

--- Hooks an event in which a session is decided on. Where the handler fails, the session ends, and
-- the event with `ending` (a boolean), unless the policy is only reported on.
function methods:hook_decision(module, event, handler, priority, ending)
	module:hook(event, function (data)
		local done, result = safe_hooks.call(event, handler, data)
		if done then
			return result
		elseif self:refuse(data.origin or data.session) then
			return ending
		end
	end, priority)
end

-- Whether a policy is enforced on a session, as far as that can be found out.
local function is_enforced(self, session)
	local done, enforced = pcall(self._is_enforced_on, session)
	if not done then
		return not fail_closed.only_reports(sessions.host(session))
	end
	return enforced
end

--- Ends a session that could not be decided on. Returns true; nil, with nothing done, where no
-- policy is enforced.
function methods:refuse(session)
	if is_enforced(self, session) then
		fail_closed.refuse(session)
		return true
	end
end

return safe_hooks
