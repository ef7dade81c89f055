-- The first login to a host of a server with many: the server's CPU time, and instructions.
local clients = require "bench.clients"
local count = require "bench.count"
local hosts = require "bench.hosts"
local measure = require "bench.measure"
local pair = require "bench.pair"

local hosts_login = { title = ("%d hosts: first login to a host"):format(hosts.count) }

-- Logs in to so many further hosts, the first time to each.
local function visitor(server)
	local context, number = clients.context(), 0
	return function (logins)
		for _ = 1, logins do
			number = number + 1
			assert(number <= hosts.count, "no host is left")
			clients.open(server, { context = context, domain = hosts.name(number) }):close()
		end
	end
end

-- Milliseconds of CPU for each first login.
local function cpu(server)
	local visit = visitor(server)
	pair.wait_until_idle(server)
	visit(20)
	local before = pair.cpu_time(server)
	visit(hosts.count - 20)
	return (pair.cpu_time(server) - before) / (hosts.count - 20) / 1e6
end

function hosts_login.run(bench)
	local fields = hosts.fields(bench)
	local found = measure.pairs(3, function ()
		return pair.each(fields, function (server)
			return { cpu = cpu(server) }
		end)
	end)
	measure.compare { name = "300 hosts, first login to a host, CPU", unit = "ms", goal = 1.15, middle = measure.median,
		stock = found.cpu.stock, module = found.cpu.module }
	count.compare(bench, {
		name = "300 hosts, first login to a host", goal = 1.15, warm = 20, operations = 100, pairs = 1, large = true,
		prepare = function (start)
			local server = start(fields)
			pair.wait_until_idle(server)
			return visitor(server)
		end,
	})
end

return hosts_login
