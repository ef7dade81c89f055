-- Counts of what happens, by labels. Strangers choose what some labels say, so each count
-- has a bounded number of series.
local counters = {}

local methods = {}
local metatable = { __index = methods }

-- Series of one counter (see `strangers`).
local MOST = 500

-- A new counter. `options`: labels, a list of names; values, { [label] = { [value] = true } },
-- all that a label can say (nil: anything): else it says "other", and "none" for nil;
-- strangers, { [label] = true }: what says "other" in any series that would be more than
-- `most` (default 500); zeros, a list of lists of values, which count from the start.
function counters.new(options)
	local made = setmetatable({
		_labels = options.labels,
		_values = options.values or {},
		_strangers = options.strangers or {},
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
			values[index] = self._strangers[label] and "other" or values[index]
		end
	end
	local key = table.concat(values, "\0")
	if not self._series[key] then
		self._series[key] = { values = values, value = 0 }
		self._number = self._number + 1
	end
	return self._series[key]
end

-- Counts `amount` more, by the labels' values (strings or nil) in their order.
function methods:add(amount, ...)
	local values = bounded(self, { ... })
	local series = self._series[table.concat(values, "\0")] or start(self, values)
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
