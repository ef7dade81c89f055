-- How many instructions an operation costs the whole process of a server: a stock one, and
-- one with the module, in turn.
--
-- Callgrind counts while the server runs; the count is read before and after a series of operations
-- in the running server. That is more repeatable than the difference of two runs, as the two
-- would differ by what the start costs, and far quicker. What remains:
--   * The collector works in cycles, and half of one more or less is seen in a short series:
--     so they are long, and each begins with a cycle, in a server that is warm.
--   * Each process seeds Lua's hashes anew, and its tables collide elsewhere: a stanza costs
--     0.2 % more or less in one process than in another, however long the series. So several
--     pairs of processes, and the mean of them: 8 for stanzas. For logins 3 do, as most of
--     one is OpenSSL's.
local callgrind = require "bench.callgrind"
local measure = require "bench.measure"
local pair = require "bench.pair"
local pki = require "support.pki"
local prosody = require "support.prosody"

local count = {}

-- Starts the server of a subject, and opens what the case needs.
local function begin(bench, case, subject)
	local function start(fields)
		local specification = pair.specification(subject.name, fields)
		specification.lua = callgrind.command(bench.interpreter, pki.path ".callgrind",
			case.large and { "--instr-atstart=no" } or nil)
		specification.start_timeout = 600
		subject.server = prosody.start(specification)
		if case.large then
			callgrind.begin(pair.pid(subject.server))
		end
		return subject.server
	end
	subject.operate, subject.finish = case.prepare(start, subject.name)
end

local function finish(subjects)
	for _, subject in ipairs(subjects) do
		if subject.finish then
			subject.finish()
		end
		if subject.server then
			subject.server:stop()
		end
	end
end

local function series(subject, operations)
	local pid = pair.pid(subject.server)
	pair.collect_garbage(subject.server)
	local before = callgrind.executed(pid)
	subject.operate(operations)
	subject.sum = subject.sum + callgrind.executed(pid) - before
end

-- What an operation cost in one pair of processes: { stock = instructions, module = likewise }.
local function run_pair(bench, case)
	local subjects = {}
	local ok, problem = pcall(function ()
		for index, name in ipairs(pair.names) do
			subjects[index] = { name = name, sum = 0 }
			begin(bench, case, subjects[index])
			subjects[index].operate(case.warm)
		end
		for _ = 1, case.series or 1 do
			for _, subject in ipairs(subjects) do
				series(subject, case.operations)
			end
		end
	end)
	finish(subjects)
	assert(ok, problem)
	local cost = {}
	for _, subject in ipairs(subjects) do
		cost[subject.name] = subject.sum / case.operations / (case.series or 1)
	end
	return cost
end

--- Notes a comparison of what an operation costs. A case:
--   name, goal   of the row in the table; the goal is for module/stock
--   prepare      function(start, name) -> operate, finish: starts the server with start(fields),
--                fields as for prosody.start; operate(count) makes so many operations, and
--                returns when the server has done them; finish(), or nil, closes what else was opened
--   warm         operations before those that count
--   operations   in a series; series: how many in each server, 1 if nil
--   pairs        of processes
--   large        true: the start takes minutes where it is counted, so that it is not
function count.compare(bench, case)
	local costs = { stock = {}, module = {} }
	for index = 1, case.pairs do
		for name, cost in pairs(run_pair(bench, case)) do
			costs[name][index] = cost
		end
	end
	measure.compare { name = case.name, unit = "instructions", goal = case.goal,
		stock = costs.stock, module = costs.module }
end

return count
