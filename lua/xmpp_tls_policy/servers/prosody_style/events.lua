--- The events by which an operator's own modules learn of the policy. A failure in such a module is
-- logged, and changes nothing else.
local events = {}

--- The functions `is_handled`, `fire` and `ask`. `root`: the server's table { events, hosts };
-- `handlers_of`: function(events, name) -> the list of an event's handlers, or nil; `log_limited`:
-- function(kind, message), see contract.lua.
function events.new(root, handlers_of, log_limited)
	local made = {}

	-- The events of a host; of global modules for no host in particular.
	local function of(host)
		local present = host == nil and root or root.hosts[host]
		return present and present.events
	end

	local function log_failure(name, problem)
		log_limited(("A handler of %s failed"):format(name), tostring(problem))
	end

	--- Whether a module handles an event of a host (nil: of global modules).
	function made.is_handled(host, name)
		local target = of(host)
		local handlers = target and handlers_of(target, name)
		return handlers ~= nil and handlers[1] ~= nil
	end

	--- Fires an event on a host (nil: for global modules).
	function made.fire(host, name, event)
		local target = of(host)
		if not target then
			return
		end
		local done, problem = pcall(target.fire_event, name, event)
		if not done then
			log_failure(name, problem)
		end
	end

	--- Calls each handler of an event on a host (nil: of global modules) with a table of its own from
	-- `make`. Returns the first string that one returns, or nil. A handler that fails counts as one
	-- that returned a string. A handler may wait (util.async) where sessions.in_order called this.
	function made.ask(host, name, make)
		local target, answer = of(host), nil
		for _, handler in ipairs(target and handlers_of(target, name) or {}) do
			local done, result = pcall(handler, make())
			if not done then
				log_failure(name, result)
				result = "a module of this server could not judge the connection"
			end
			answer = answer or type(result) == "string" and result or nil
		end
		return answer
	end

	return made
end

return events
