-- How long a server with many hosts takes until all are up: from the start of its process to
-- the first answer of its main loop. Both as time and as the process's CPU time, which says more
-- on a machine that others use.
local files = require "support.files"
local hosts = require "bench.hosts"
local measure = require "bench.measure"
local pair = require "bench.pair"

local hosts_start = { title = ("%d hosts: until all are up"):format(hosts.count) }

-- Seconds since a process began; proc(5): starttime is the 22nd field, in hundredths.
local function age(pid)
	local fields, number = files.read("/proc/" .. pid .. "/stat"):match "^.*%)%s(.*)", 2
	for field in fields:gmatch "%S+" do
		number = number + 1
		if number == 22 then
			return tonumber(files.read "/proc/uptime":match "^%S+") - tonumber(field) / 100
		end
	end
end

local function compare(bench, name, options)
	local fields = hosts.fields(bench)
	fields.options = options
	local found = measure.pairs(3, function ()
		return pair.each(fields, function (server)
			return { cpu = pair.cpu_time(server) / 1e9, wall = age(pair.pid(server)) }
		end)
	end)
	measure.compare { name = name .. ", CPU", unit = "s", goal = 1.10, middle = measure.median,
		stock = found.cpu.stock, module = found.cpu.module }
	measure.compare { name = name .. ", wall", unit = "s", goal = 1.10, middle = measure.median,
		stock = found.wall.stock, module = found.wall.module }
end

-- A port with direct TLS has a context for each host; so both kinds of servers.
function hosts_start.run(bench)
	compare(bench, "until all are up", nil)
	compare(bench, "until all are up, no direct TLS", { c2s_direct_tls_ports = {}, s2s_direct_tls_ports = {} })
end

return hosts_start
