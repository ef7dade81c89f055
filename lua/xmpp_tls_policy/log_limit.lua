-- The latest handshakes that failed, and which of them are worth a line in the log. Both
-- are bounded, whatever strangers do.
local refusals = {}

local methods = {}
local metatable = { __index = methods }

-- Lines in a minute of all addresses (of IPv6: networks of a customer's, RFC 6177).
local MINUTE = 60
local LINES_PER_MINUTE = 60

-- The first 64 bits of an IPv6 address, or the whole of an IPv4 address.
local function network(address)
	if not address or not address:find(":", 1, true) then
		return address or "unknown"
	end
	local front, back = address:match "^(.-)::(.*)$"
	local parts = {}
	for part in (front or address):gmatch "[^:]+" do
		parts[#parts + 1] = part
	end
	if front then
		local _, behind = back:gsub("[^:]+", "")
		for _ = #parts + 1, 8 - behind do
			parts[#parts + 1] = "0"
		end
		for part in back:gmatch "[^:]+" do
			parts[#parts + 1] = part
		end
	end
	return table.concat(parts, ":", 1, math.min(4, #parts))
end

-- A list that keeps the latest `keep` (default 100) entries; `now`: function() -> seconds;
-- `lines_per_address`: worth a line in a minute (default 1).
function refusals.new(options)
	return setmetatable({
		_now = options.now,
		_keep = options.keep or 100,
		_lines_per_address = options.lines_per_address or 1,
		_entries = {},
		_next = 1,
		_seen = {},
		_lines = 0,
		_silent = 0,
		_total = 0,
	}, metatable)
end

-- Takes an entry, a table with an `address` (nil: unknown) and anything else. Returns
-- whether it is worth a line in the log.
function methods:add(entry)
	self._entries[self._next] = entry
	self._next = self._next % self._keep + 1
	self._total = self._total + 1
	local from = network(entry.address)
	local seen = self._seen[from] or 0
	if self._lines >= LINES_PER_MINUTE or seen >= self._lines_per_address then
		self._silent = self._silent + 1
		return false
	end
	self._seen[from] = seen + 1
	self._lines = self._lines + 1
	return true
end

-- Counts others of which nothing more is known.
function methods:add_unknown(count)
	self._total = self._total + count
	self._silent = self._silent + count
end

-- To be called now and then: after each minute, addresses are worth a line again. Returns
-- how many entries were worth none since it last returned something; nil if none were.
function methods:turn()
	local now = self._now()
	self._began = self._began or now
	if now >= self._began and now - self._began < MINUTE then
		return nil
	end
	local silent = self._silent
	self._began, self._seen, self._lines, self._silent = now, {}, 0, 0
	return silent > 0 and silent or nil
end

-- The entries, the latest first.
function methods:list()
	local list = {}
	for back = 1, #self._entries do
		list[back] = self._entries[(self._next - 1 - back) % self._keep + 1]
	end
	return list
end

-- How many there ever were.
function methods:total()
	return self._total
end

return refusals
