-- Logins up to the second stream features, to a stock Prosody and to one with the
-- module, in turn: wall time, the server's CPU time, share resumed.
local core = require "xmpp_tls_policy.core"
local files = require "support.files"
local measure = require "bench.measure"
local pki = require "support.pki"
local prosody = require "support.prosody"
local socket = require "socket"
local xmpp = require "support.xmpp"

local logins = {}

-- Nanoseconds that a process has run.
local function cpu_time(pid)
	return assert(tonumber(files.read("/proc/" .. pid .. "/schedstat"):match "^(%d+)"))
end

local function client_context(cell)
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply { maximum_version = cell.version })
	return context
end

-- Returns wall ms, whether resumed, and the session.
local function log_in(server, context, cell, session)
	local start = socket.gettime()
	local peer, features, text = xmpp.open(server:target "c2s", {
		nagle = cell.nagle, tls = { context = context, session = session },
	})
	local wall = (socket.gettime() - start) * 1000
	assert(peer, ("%s %s"):format(tostring(features), tostring(text)))
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
		pid = files.read(server.directory .. "/prosody.pid"):match "%d+",
	}
	if cell.reconnect then
		tally.session = select(3, log_in(server, context, cell))
	end
	return tally
end

local function run_batch(tally)
	local walls, before = {}, cpu_time(tally.pid)
	for index = 1, batch do
		local wall, resumed, session = log_in(tally.server, tally.context, tally.cell,
			tally.cell.reconnect and tally.session or nil)
		walls[index] = wall
		tally.resumed = tally.resumed + (resumed and 1 or 0)
		tally.session = session or tally.session
	end
	table.insert(tally.wall, measure.median(walls))
	table.insert(tally.cpu, (cpu_time(tally.pid) - before) / batch / 1e6)
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
		local context, tallies = client_context(cell), {}
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

-- Instructions of a server's for so many logins, its start and end among them.
local function instructions(hosts, interpreter, context, with_policy, count)
	local output = pki.path ".callgrind"
	local server = prosody.start {
		hosts = hosts, log_level = "info", with_policy = with_policy, policy = { resumption = { enabled = false } },
		lua = { "valgrind", "--tool=callgrind", "--callgrind-out-file=" .. output, interpreter },
	}
	for _ = 1, count do
		log_in(server, context, { goodbye = true })
	end
	server:stop()
	return measure.callgrind_total(output)
end

-- What the module costs beside TLS: the same suite on both servers, nothing resumed,
-- no tickets. Two servers that do the same differ by up to a tenth in time; so
-- instructions are counted.
function logins.beside_tls(certificates, interpreter)
	local hosts = { ["example.test"] = certificates.p256 }
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply {
		maximum_version = "TLSv1.2", ciphers = { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" }, no_stateless_tickets = true,
	})
	local few, many, cost = 20, 220, {}
	for _, name in ipairs { "stock", "module" } do
		local function run(count)
			return instructions(hosts, interpreter, context, name == "module", count)
		end
		-- When the collector runs makes some per cent.
		local costs = {}
		for index = 1, 3 do
			costs[index] = (run(many) - run(few)) / (many - few)
		end
		cost[name] = measure.median(costs)
		measure.note("login with the same TLS, server, " .. name, "instructions", cost[name])
	end
	measure.note("login with the same TLS, server, ratio", "module/stock", cost.module / cost.stock, 1.05)
	measure.report "What the module costs beside TLS"
end

-- `certificates`: { [kind] = files }; `count`: pairs of batches of logins in each cell.
function logins.run(certificates, count)
	for _, kind in ipairs { "rsa2048", "p256" } do
		local hosts = { ["example.test"] = certificates[kind] }
		local stock = {
			tls12 = run_cell(hosts, { version = "TLSv1.2" }, count).stock,
			tls13 = run_cell(hosts, { version = "TLSv1.3" }, count).stock,
		}
		each_cell(function (cell)
			note(name_of(kind, cell), run_cell(hosts, cell, count), limits_of(cell, stock))
		end)
		measure.report("Logins, " .. kind .. " (limits by the stock server of the same run)")
	end
end

return logins
