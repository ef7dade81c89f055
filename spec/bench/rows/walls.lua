-- Logins up to the second stream features, to a stock Prosody and to one with the
-- module, in turn: wall time, the server's CPU time, share resumed.
local clients = require "bench.clients"
local measure = require "bench.measure"
local pair = require "bench.pair"
local prosody = require "support.prosody"
local socket = require "socket"

local walls = { title = "Logins, wall time (limits by the stock server of the same run)" }

-- Returns wall ms, whether resumed, and the session.
local function log_in(server, context, cell, session)
	local start = socket.gettime()
	local peer = clients.open(server, { nagle = cell.nagle, context = context, session = session })
	local wall = (socket.gettime() - start) * 1000
	local resumed, next_session = peer:tls_info().resumed, peer.socket:session()
	if cell.goodbye then
		peer.socket:shutdown()
	end
	peer:close()
	return wall, resumed, next_session
end

-- So many logins at a time: a server that waited 40 ms for its turn runs on cold
-- caches, and would be measured slower than it is.
local batch = 5

local function new_tally(server, context, cell)
	local tally = {
		server = server, wall = {}, cpu = {}, resumed = 0, context = context, cell = cell,
	}
	if cell.reconnect then
		tally.session = select(3, log_in(server, context, cell))
	end
	return tally
end

local function run_batch(tally)
	local times, before = {}, pair.cpu_time(tally.server)
	for index = 1, batch do
		local wall, resumed, session = log_in(tally.server, tally.context, tally.cell,
			tally.cell.reconnect and tally.session or nil)
		times[index] = wall
		tally.resumed = tally.resumed + (resumed and 1 or 0)
		tally.session = session or tally.session
	end
	table.insert(tally.wall, measure.median(times))
	table.insert(tally.cpu, (pair.cpu_time(tally.server) - before) / batch / 1e6)
end

-- Fresh servers for each cell: a Prosody that has seen many logins keeps something of
-- each for minutes, and spends more and more of its time collecting garbage.
local function with_servers(hosts, action)
	local servers = {
		stock = prosody.start { hosts = hosts, log_level = "info" },
		module = prosody.start { hosts = hosts, log_level = "info", with_policy = true },
	}
	local ok, result = pcall(action, servers)
	servers.stock:stop()
	servers.module:stop()
	assert(ok, result)
	return result
end

local function run_cell(hosts, cell, pairs_of_batches)
	return with_servers(hosts, function (servers)
		local context, tallies = clients.context(cell.version), {}
		for name, server in pairs(servers) do
			tallies[name] = new_tally(server, context, cell)
			run_batch(tallies[name]) -- warm
		end
		for name, server in pairs(servers) do
			tallies[name] = new_tally(server, context, cell)
		end
		for index = 1, pairs_of_batches do
			-- Who comes first changes.
			for _, name in ipairs(index % 2 == 0 and { "stock", "module" } or { "module", "stock" }) do
				run_batch(tallies[name])
			end
		end
		for _, tally in pairs(tallies) do
			tally.share = tally.resumed / pairs_of_batches / batch
			tally.median, tally.median_cpu = measure.median(tally.wall), measure.median(tally.cpu)
		end
		return tallies
	end)
end

local function paired_ratio(of, to)
	local ratios = {}
	for index, value in ipairs(of) do
		ratios[index] = value / to[index]
	end
	return measure.median(ratios)
end

local function note(what, tallies, limits)
	local stock, module = tallies.stock, tallies.module
	measure.note(what .. ", stock, wall", "ms", stock.median)
	measure.note(what .. ", module, wall", "ms", module.median, limits.wall)
	measure.note(what .. ", wall by pairs", "module/stock", paired_ratio(module.wall, stock.wall), limits.wall_ratio)
	measure.note(what .. ", stock, server CPU", "ms", stock.median_cpu)
	measure.note(what .. ", module, server CPU", "ms", module.median_cpu, limits.cpu)
	measure.note(what .. ", stock, resumed", "share", stock.share)
	measure.note(what .. ", module, resumed", "share", module.share, limits.share, true)
end

local function each_cell(action)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		for _, reconnect in ipairs { false, true } do
			for _, goodbye in ipairs { true, false } do
				for _, nagle in ipairs { false, true } do
					action { version = version, reconnect = reconnect, goodbye = goodbye, nagle = nagle }
				end
			end
		end
	end
end

local function name_of(kind, cell)
	return ("%s, %s, %s, %s, %s"):format(kind, cell.version, cell.reconnect and "reconnect" or "first",
		cell.goodbye and "goodbye" or "cut off", cell.nagle and "Nagle" or "no Nagle")
end

-- What has to be reached depends on the stock server of the same run: its full
-- TLS 1.2 login, and its TLS 1.3 login.
local function limits_of(cell, stock)
	local limits = { wall = stock.tls12.median * 4 / 2.5 }
	if cell.version == "TLSv1.3" and not cell.reconnect then
		limits.wall_ratio = 0.06
	end
	if cell.reconnect then
		limits.share = 1
		limits.wall = stock.tls12.median * 0.7
		limits.cpu = stock.tls13.median_cpu * 0.5
	end
	return limits
end

function walls.run(bench)
	local count = tonumber(os.getenv "PAIRS") or 10
	for _, kind in ipairs { "rsa2048", "p256" } do
		local hosts = { ["example.test"] = bench.certificate(kind) }
		local stock = {
			tls12 = run_cell(hosts, { version = "TLSv1.2" }, count).stock,
			tls13 = run_cell(hosts, { version = "TLSv1.3" }, count).stock,
		}
		each_cell(function (cell)
			note(name_of(kind, cell), run_cell(hosts, cell, count), limits_of(cell, stock))
		end)
	end
end

return walls
