-- The records of the domains that were read a moment ago, checked: each connection of a server asks
-- for its domain's record several times.
local recent_records = {}

local methods = {}
local metatable = { __index = methods }

-- Domains in each of two generations, some 2 KB each.
local MOST = 100

-- Seconds. Others may write into the storage: an administrator, or another server that shares it.
local LONGEST = 60

--- An empty memory.
function recent_records.new()
	return setmetatable({ _young = {}, _old = {}, _count = 0 }, metatable)
end

-- The record of a domain, or nil. `now`: UTC seconds.
function methods:get(domain, now)
	local kept = self._young[domain] or self._old[domain]
	return kept and math.abs(now - kept.since) < LONGEST and kept.record or nil
end

-- Keeps a record. The caller changes it no more, or drops it.
function methods:put(domain, record, now)
	if self._count >= MOST then
		self._young, self._old, self._count = {}, self._young, 0
	end
	self._young[domain] = { record = record, since = now }
	self._count = self._count + 1
end

-- To be called before a record is written or changed.
function methods:drop(domain)
	self._young[domain], self._old[domain] = nil, nil
end

return recent_records
