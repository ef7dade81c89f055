-- A list that keeps the latest entries only, and counts all that there ever were.
local latest_entries = {}

local methods = {}
local metatable = { __index = methods }

-- A list of at most `keep` (default 100) entries.
function latest_entries.new(keep)
	return setmetatable({ _keep = keep or 100, _entries = {}, _next = 1, _total = 0 }, metatable)
end

-- Adds an entry, of any type but nil, in place of the oldest if the list is full.
function methods:add(entry)
	self._entries[self._next] = entry
	self._next = self._next % self._keep + 1
	self._total = self._total + 1
end

-- Counts entries that are not known any more.
function methods:count_lost(number)
	self._total = self._total + number
end

-- The entries as a new list, the latest first.
function methods:list()
	local list = {}
	for back = 1, #self._entries do
		list[back] = self._entries[(self._next - 1 - back) % self._keep + 1]
	end
	return list
end

-- How many entries there ever were, the lost ones included.
function methods:total()
	return self._total
end

return latest_entries
