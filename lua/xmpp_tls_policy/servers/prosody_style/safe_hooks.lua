--- Calls our functions so that a failure in them is logged and ends no event of the server. A session
-- on which a function that failed should have decided is refused.
local log = require "util.logger".init "tls_policy"
local traceback = debug.traceback

-- The session that an event is about: a field of its table, or its first argument.
local function session_of(event)
	return event.origin or event.session or event
end

--- The functions for one server. `parts`: { fail_closed, sessions, xpcall = one that hands on arguments }.
return function (parts)

local fail_closed, sessions, xpcall = parts.fail_closed, parts.sessions, parts.xpcall

local safe_hooks = {}

local methods = {}
local metatable = { __index = methods }

--- `is_enforced_on`: function(session) -> whether a policy is enforced on it.
function safe_hooks.new(is_enforced_on)
	return setmetatable({ _is_enforced_on = is_enforced_on }, metatable)
end

local function log_failure(what, problem)
	fail_closed.log_limited(log, "Internal error of the TLS policy in " .. what, problem)
end

--- Calls action(…). Returns true and its first result; or false, with a line in the log that names
-- `what`, one of a few strings.
function safe_hooks.call(what, action, ...)
	local done, result = xpcall(action, traceback, ...)
	if not done then
		log_failure(what, result)
	end
	return done, result
end

--- Hooks an event of `module` (ours) that decides nothing about a session.
function safe_hooks.hook(module, event, handler, priority)
	module:hook(event, function (...)
		local done, result = xpcall(handler, traceback, ...)
		if done then
			return result
		end
		log_failure(event, result)
	end, priority)
end

--- Hooks an event that decides about a session. If the handler fails, the session is ended and the
-- event returns `ending` (a boolean), unless the policy is in report mode: for the host of the
-- session and for the host of `module`.
function methods:hook_decision(module, event, handler, priority, ending)
	module:hook(event, function (data, ...)
		local done, result = xpcall(handler, traceback, data, ...)
		if done then
			return result
		end
		log_failure(event, result)
		if self:refuse(session_of(data), module.host) then
			return ending
		end
	end, priority)
end

-- Whether a policy is enforced on a session. The configuration answers if our own code cannot.
local function is_enforced_on(self, session)
	local done, enforced = pcall(self._is_enforced_on, session)
	if not done then
		return not fail_closed.only_reports(sessions.host(session))
	end
	return enforced
end

--- Ends a session on which no decision could be made. `host`: the one that the decision was for
-- (nil or "*": the session's own). A session to a host in report mode may carry elements for
-- a host that enforces its policy. Returns true; nil, with nothing done, if no policy
-- is enforced.
function methods:refuse(session, host)
	local is_another = host and host ~= "*" and host ~= sessions.host(session)
	if is_enforced_on(self, session) or is_another and fail_closed.should_enforce(host) then
		fail_closed.refuse(session)
		return true
	end
end

return safe_hooks

end
