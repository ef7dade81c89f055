-- How long a reload of the configuration keeps others waiting on a server with many hosts: a
-- client that logs in just after it began; and, as what the module has to do may come in
-- turns after it, one that is there already and asks the server over and over. Both as time
-- and as what the server computed meanwhile, which says more on a machine that others use.
local clients = require "bench.clients"
local hosts = require "bench.hosts"
local measure = require "bench.measure"
local pair = require "bench.pair"
local process = require "support.process"
local socket = require "socket"

local hosts_reload = { title = ("%d hosts: reload of the configuration"):format(hosts.count) }

local function begin_reload(server)
	local mark = server:mark()
	server.process:signal "HUP"
	assert(process.poll(30, function ()
		return server:log(mark):find("Reloading configuration file", 1, true)
	end), "does not reload")
end

-- Calls an action. Returns the seconds that it took, and those that the server computed.
local function timed(server, action)
	local start, cpu = socket.gettime(), pair.cpu_time(server)
	action()
	return socket.gettime() - start, (pair.cpu_time(server) - cpu) / 1e9
end

-- The longest that an answer takes in so many seconds: milliseconds, and those that the server
-- computed for the one that it computed longest for.
local function longest_wait(server, client, seconds)
	local deadline, longest, longest_cpu = socket.gettime() + seconds, 0, 0
	while socket.gettime() < deadline do
		local wall, cpu = timed(server, function ()
			assert(client:send "<iq type='get' id='p' to='host1.example.test'><ping xmlns='urn:xmpp:ping'/></iq>")
			assert(client:read_until { "</iq>", "<iq[^>]*/>" })
		end)
		longest, longest_cpu = math.max(longest, wall * 1000), math.max(longest_cpu, cpu * 1000)
	end
	return longest, longest_cpu
end

local function measure_reload(server)
	local options, found = { context = clients.context() }, {}
	local client = clients.log_in(server, "juliet", options)
	found.rest, found.rest_cpu = longest_wait(server, client, 10)
	found.login, found.login_cpu = timed(server, function ()
		begin_reload(server)
		clients.open(server, options):close()
	end)
	found.after, found.after_cpu = longest_wait(server, client, 20)
	client:close()
	return found
end

function hosts_reload.run(bench)
	local fields = hosts.fields(bench)
	fields.users = { ["juliet@host1.example.test"] = clients.password }
	local found = measure.pairs(3, function ()
		return pair.each(fields, measure_reload)
	end)
	local function compare(name, unit, field, goal)
		measure.compare { name = name .. ", CPU", unit = unit, goal = goal, middle = measure.median,
			stock = found[field .. "_cpu"].stock, module = found[field .. "_cpu"].module }
		measure.compare { name = name .. ", wall", unit = unit, goal = goal, middle = measure.median,
			stock = found[field].stock, module = found[field].module }
	end
	compare("reload, a login just after it began", "s", "login", 1.1)
	compare("reload, longest answer in the 20 s after", "ms", "after")
	compare("no reload, longest answer in 10 s", "ms", "rest")
	-- A server with so many hosts has answers that take 20 ms, by its collector alone.
	measure.note("reload, longest turn of the module's after it: CPU beyond the stock server's longest answer", "ms",
		measure.median(found.after_cpu.module) - measure.median(found.after_cpu.stock), 20)
end

return hosts_reload
