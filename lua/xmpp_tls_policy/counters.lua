-- Counters of events, by labels. Peers choose the values of some labels, so each counter
-- has a bounded number of series.
local counters = {}

local methods = {}
local metatable = { __index = methods }

-- The most series of one counter.
local MOST = 500

-- A new counter.
--   labels       list of names
--   values       { [label] = { [value] = true } }: the values that a label can have; any
--                other becomes "other". A label without an entry can have any value
--   peer_chosen  { [label] = true }: once there are `most` (default 500) series, new series
--                have "other" in these labels
--   zeros        list of lists of values: series that exist from the start, with the count 0
-- A value of nil becomes "none".
function counters.new(options)
	local made = setmetatable({
		_labels = options.labels,
		_values = options.values or {},
		_peer_chosen = options.peer_chosen or {},
		_most = options.most or MOST,
		_series = {},
		_number = 0,
	}, metatable)
	for _, values in ipairs(options.zeros or {}) do
		made:add(0, (table.unpack or unpack)(values, 1, #options.labels))
	end
	return made
end

local function bounded(self, given)
	local values = {}
	for index, label in ipairs(self._labels) do
		local value, known = given[index], self._values[label]
		if value == nil then
			value = "none"
		elseif known and not known[value] and value ~= "none" then
			value = "other"
		end
		values[index] = value
	end
	return values
end

local function start(self, values)
	if self._number >= self._most then
		for index, label in ipairs(self._labels) do
			values[index] = self._peer_chosen[label] and "other" or values[index]
		end
	end
	local key = table.concat(values, "\0")
	if not self._series[key] then
		self._series[key] = { values = values, value = 0 }
		self._number = self._number + 1
	end
	return self._series[key]
end

-- The series of these values (strings or nil), in the order of the labels: { values, value }, where
-- `value` may be added to. It stays the same.
function methods:series(...)
	local values = bounded(self, { ... })
	return self._series[table.concat(values, "\0")] or start(self, values)
end

-- Adds `amount` to the series of these values.
function methods:add(amount, ...)
	local series = self:series(...)
	series.value = series.value + amount
end

-- All series, sorted: a list of { values, value }.
function methods:list()
	local keys, list = {}, {}
	for key in pairs(self._series) do
		keys[#keys + 1] = key
	end
	table.sort(keys)
	for index, key in ipairs(keys) do
		list[index] = self._series[key]
	end
	return list
end

return counters
