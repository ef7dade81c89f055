--- The time between two attempts to connect: doubled each time, and random, so that many processes
-- do not come at once.
local back_off = {}

local methods = {}
local metatable = { __index = methods }

--- `options`: least and most, seconds; random, function() -> number from 0 up to 1 (default
-- math.random).
function back_off.new(options)
	return setmetatable({
		_least = options.least, _most = options.most, _random = options.random or math.random, _next = options.least,
	}, metatable)
end

--- Seconds to wait now: from half of the time of this attempt up to all of it.
function methods:delay()
	local seconds = self._next
	self._next = math.min(self._most, seconds * 2)
	return seconds * (0.5 + self._random() / 2)
end

--- The next delay is the shortest again.
function methods:reset()
	self._next = self._least
end

return back_off
