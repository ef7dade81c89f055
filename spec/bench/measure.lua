-- How things are measured, and where the results go.
local pki = require "support.pki"
local process = require "support.process"

local measure = { results = {} }

-- limit: the most that the value may be; at_least: it has to reach the limit.
function measure.note(name, unit, value, limit, at_least)
	table.insert(measure.results, { name = name, unit = unit, value = value, limit = limit, at_least = at_least })
end

local function met(row)
	return row.at_least and row.value >= row.limit or not row.at_least and row.value <= row.limit
end

-- Prints what was noted since the last call.
local printed = 0
function measure.report(title)
	print("\n" .. title)
	for index = printed + 1, #measure.results do
		local row = measure.results[index]
		print(("%-62s %12.6g %-13s %s"):format(row.name, row.value, row.unit, row.limit and ("%s %g%s"):format(
			row.at_least and "at least" or "at most", row.limit, met(row) and "" or ": MISSED") or ""))
	end
	printed = #measure.results
end

function measure.write_json(path)
	local rows = {}
	for index, row in ipairs(measure.results) do
		rows[index] = ("  {\"name\": %q, \"unit\": %q, \"value\": %.6g%s}"):format(row.name, row.unit, row.value,
			row.limit and (", \"%s\": %g"):format(row.at_least and "at_least" or "at_most", row.limit) or "")
	end
	local file = assert(io.open(path, "w"))
	assert(file:write("[\n", table.concat(rows, ",\n"), "\n]\n"))
	file:close()
end

-- All instructions in a file of callgrind's.
function measure.callgrind_total(path)
	local file = assert(io.open(path))
	local text = file:read "*a"
	file:close()
	return assert(tonumber(text:match "\ntotals: (%d+)" or text:match "\nsummary: (%d+)"), "callgrind counted nothing")
end

-- Instructions inside SSL_accept (the server's side of handshakes) while a script
-- runs with so many rounds; what happens once is left out by taking a difference.
function measure.instructions(interpreter, script, rounds, ...)
	local function run(count, mode, version, files)
		local output = pki.path ".callgrind"
		process.check({
			"env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath,
			"valgrind", "--tool=callgrind", "--toggle-collect=SSL_accept", "--callgrind-out-file=" .. output,
			interpreter, script, mode, version, tostring(count), files.certificate, files.key,
		}, { timeout = 600 })
		return measure.callgrind_total(output)
	end
	local few = 5
	return (run(few + rounds, ...) - run(few, ...)) / rounds
end

-- The best of five runs, in µs a call.
function measure.microseconds(count, action)
	local best = math.huge
	for _ = 1, 5 do
		local start = os.clock()
		for _ = 1, count do
			action()
		end
		best = math.min(best, (os.clock() - start) / count * 1e6)
	end
	return best
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
	local largest = list[1]
	for _, value in ipairs(list) do
		largest = math.max(largest, value)
	end
	return largest
end

return measure
