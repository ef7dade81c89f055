-- What a client that is logged in and idle takes of the server's memory.
local clients = require "bench.clients"
local measure = require "bench.measure"
local pair = require "bench.pair"

local memory = { title = "Memory per idle connection" }

-- The first are not counted: they fill what the process has free. All are fewer than the
-- 1024 descriptors that a process has by default.
local FIRST, LAST = 200, 900

-- KiB of resident memory, without what the collector has yet to find.
local function resident(server)
	pair.collect_garbage(server)
	return pair.resident(server)
end

local function per_connection(server)
	local options, peers, before = { context = clients.context() }, {}, nil
	for number = 1, LAST do
		peers[number] = clients.log_in(server, "juliet", options)
		if number == FIRST then
			before = resident(server)
		end
	end
	local result = (resident(server) - before) / (LAST - FIRST)
	clients.close(peers)
	return result
end

function memory.run(bench)
	local found = measure.pairs(3, function ()
		return pair.each({
			hosts = { ["example.test"] = bench.certificate "rsa2048" },
			users = { ["juliet@example.test"] = clients.password },
		}, function (server)
			return { memory = per_connection(server) }
		end)
	end)
	measure.compare { name = "memory per idle connection", unit = "KiB", goal = 1.03,
		stock = found.memory.stock, module = found.memory.module }
end

return memory
