-- The results: a table on the terminal, and JSON.
local files = require "support.files"
local json = require "dkjson"

local measure = { results = {} }

local row_name

-- Adds a result of the row that runs.
local function add(result)
	result.row = row_name
	table.insert(measure.results, result)
end

--- What is noted from now on belongs to the row of that name.
function measure.begin(name)
	row_name = name
end

--- Notes a value. limit: the most that it may be; at_least: it has to reach the limit.
function measure.note(name, unit, value, limit, at_least)
	add({ name = name, unit = unit, value = value, limit = limit, at_least = at_least })
end

function measure.mean(list)
	local sum = 0
	for _, value in ipairs(list) do
		sum = sum + value
	end
	return sum / #list
end

function measure.median(list)
	local sorted = {}
	for index, value in ipairs(list) do
		sorted[index] = value
	end
	table.sort(sorted)
	return sorted[math.ceil(#sorted / 2)]
end

function measure.largest(list)
	return math.max(table.unpack(list))
end

local function deviation(list)
	local mean, sum = measure.mean(list), 0
	for _, value in ipairs(list) do
		sum = sum + (value - mean) ^ 2
	end
	return math.sqrt(sum / math.max(1, #list - 1))
end

--- Notes a comparison of a stock server with one with the module:
--   name, unit
--   stock, module  lists of values, of which those at the same place were measured as a pair
--   middle         function(list) -> value that stands for a list (default: measure.mean)
--   goal           the most that module/stock may be
-- Beside the ratio stands its standard error, from how the pairs differ.
function measure.compare(comparison)
	local middle = comparison.middle or measure.mean
	local ratios = {}
	for index, value in ipairs(comparison.module) do
		ratios[index] = value / comparison.stock[index]
	end
	local standard_error = deviation(ratios) / math.sqrt(#ratios)
	table.sort(ratios)
	local stock, module = middle(comparison.stock), middle(comparison.module)
	add({ name = comparison.name, unit = comparison.unit, stock = stock, module = module,
		value = module / stock, limit = comparison.goal, lowest = ratios[1], highest = ratios[#ratios],
		pairs = #ratios, error = standard_error, stock_values = comparison.stock, module_values = comparison.module })
end

--- Measures several things at once, so many times on a stock server and on one with the module,
-- by pairs. run() -> { stock = { [field] = value }, module = likewise }. Returns
-- { [field] = { stock = list, module = list } }, as compare() takes them.
function measure.pairs(times, run)
	local found = {}
	for index = 1, times do
		for name, result in pairs(run()) do
			for field, value in pairs(result) do
				found[field] = found[field] or { stock = {}, module = {} }
				found[field][name][index] = value
			end
		end
	end
	return found
end

local function met(row)
	return row.at_least and row.value >= row.limit or not row.at_least and row.value <= row.limit
end

local function goal(row)
	return row.limit and ("%s %g%s"):format(row.at_least and "at least" or "at most", row.limit,
		met(row) and "" or ": MISSED") or ""
end

-- Large numbers whole.
local function number(value)
	return ("%.6g"):format(value):find "e" and ("%.0f"):format(value) or ("%.6g"):format(value)
end

local function line(row)
	if not row.stock then
		return ("%-78s %12s %-13s %s"):format(row.name, number(row.value), row.unit, goal(row))
	end
	local spread = row.pairs > 1 and ("± %.4f, %d pairs"):format(row.error, row.pairs) or ""
	return ("%-46s %10s %10s %-12s %.4f %-18s %s"):format(row.name, number(row.stock), number(row.module), row.unit,
		row.value, spread, goal(row))
end

-- Prints what was noted since the last call, and how long it took.
local printed = 0
function measure.report(title, seconds)
	print(("\n%s (%.0f s)"):format(title, seconds))
	local kind
	for index = printed + 1, #measure.results do
		local row = measure.results[index]
		if row.stock and kind ~= "comparison" then
			print(("%-46s %10s %10s %-12s %s"):format("", "stock", "module", "", "module/stock"))
		end
		kind = row.stock and "comparison" or "value"
		print(line(row))
	end
	io.stdout:flush()
	printed = #measure.results
end

local order = { "row", "name", "unit", "stock", "module", "value", "error", "lowest", "highest", "pairs", "at_most",
	"at_least", "stock_values", "module_values" }

--- Writes a list with an object for each result. `value` of a comparison is module/stock.
function measure.write_json(path)
	local list = {}
	for index, row in ipairs(measure.results) do
		local fields = {}
		for field, value in pairs(row) do
			fields[field] = value
		end
		fields.at_least, fields.at_most, fields.limit = row.at_least and row.limit, not row.at_least and row.limit, nil
		fields.at_least, fields.at_most = fields.at_least or nil, fields.at_most or nil
		list[index] = "  " .. json.encode(fields, { keyorder = order })
	end
	files.write(path, "[\n" .. table.concat(list, ",\n") .. "\n]\n")
end

return measure
