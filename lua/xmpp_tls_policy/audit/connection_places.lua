--- How many connections are open at a time. The tasks that want one wait for a place, the first first.
local tasks = require "xmpp_tls_policy.audit.tasks"

local connection_places = {}

local methods = {}
local metatable = { __index = methods }

--- `most`: the number of places.
function connection_places.new(most)
	return setmetatable({ _most = most, _taken = 0, _waiting = {} }, metatable)
end

--- Takes a place, when there is one.
function methods:take()
	if self._taken < self._most then
		self._taken = self._taken + 1
		return
	end
	tasks.wait(function (resume)
		table.insert(self._waiting, resume)
	end)
end

--- Gives a place back.
function methods:give()
	if #self._waiting > 0 and self._taken <= self._most then
		-- The place goes to the one that has waited longest.
		return table.remove(self._waiting, 1)()
	end
	self._taken = self._taken - 1
end

--- Makes the number of places smaller: at least 1. What is open stays open.
function methods:shrink(most)
	self._most = math.max(1, math.min(self._most, most))
end

--- The number of places, and of those that are taken.
function methods:count()
	return self._most, self._taken
end

return connection_places
