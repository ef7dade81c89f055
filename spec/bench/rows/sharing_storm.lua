-- After a restart all clients come back at once.
local clients = require "bench.clients"
local count = require "bench.count"
local engine = require "support.engine"
local measure = require "bench.measure"
local pair = require "bench.pair"
local prosody = require "support.prosody"
local sharing_servers = require "support.sharing_servers"
local process = require "support.process"
local socket = require "socket"

local sharing_storm = { title = "Clients come back after a restart (stock: the module without sharing)" }

local CLIENTS, PAIRS = 2000, 3
-- Counted one by one, which takes fifty times as long.
local COUNTED = { { clients = 80, pairs = 3 }, { clients = 200, pairs = 2 } }

-- The sessions of so many clients, whose server was killed then. `cluster`: nil without sharing.
local function sessions_of_killed(specification, context, number, cluster)
	local server = prosody.start(specification)
	local before, sessions = cluster and cluster:entries(), {}
	for index = 1, number do
		local peer = clients.open(server, { context = context })
		sessions[index] = peer.socket:session()
		peer:close()
	end
	assert(not cluster or process.poll(60, function ()
		return cluster:entries() >= before + number
	end), "the engine does not get the sessions")
	server:kill()
	return sessions
end

-- Time until all clients are in, what the server computes meanwhile, for the replay, too, and how many of
-- the clients were resumed.
local function storm(specification, cluster)
	local context = clients.context "TLSv1.3"
	local sessions = sessions_of_killed(specification, context, CLIENTS, cluster)
	local server = prosody.start(specification)
	local began, before, resumed = socket.gettime(), pair.cpu_time(server), 0
	for index = 1, CLIENTS do
		local peer = clients.open(server, { context = context, session = sessions[index] })
		resumed = resumed + (peer:tls_info().resumed and 1 or 0)
		peer:close()
	end
	local result = { time = socket.gettime() - began, cpu = (pair.cpu_time(server) - before) / 1e9, resumed = resumed }
	server:stop()
	assert(cluster or resumed == 0, resumed .. " were resumed")
	return result
end

function sharing_storm.run(bench)
	local store = engine.start()
	local cluster = sharing_servers.new(store, bench.certificate "rsa2048")
	local policy = cluster:policy()
	policy.resumption.address_share = 1
	local fields = {
		hosts = { ["example.test"] = bench.certificate "rsa2048" }, policy_on_both = true, policy = policy,
	}
	for _, series in ipairs(COUNTED) do
		count.compare(bench, {
			name = ("each of %d, TLS 1.3"):format(series.clients), goal = 0.6, warm = 10, operations = series.clients,
			pairs = series.pairs,
			prepare = function (start, name)
				local context, next_client = clients.context "TLSv1.3", 0
				local of = name == "module" and cluster or nil
				local sessions = sessions_of_killed(pair.specification(name, fields), context, series.clients + 10, of)
				local server = start(fields)
				return function (number)
					for _ = 1, number do
						next_client = next_client + 1
						local peer = clients.open(server, { context = context, session = sessions[next_client] })
						assert(of == nil or peer:tls_info().resumed, "not resumed")
						peer:close()
					end
				end
			end,
		})
	end
	local found = { time = { stock = {}, module = {} }, cpu = { stock = {}, module = {} } }
	local resumed = {}
	for index = 1, PAIRS do
		for name, of in pairs { stock = false, module = cluster } do
			local result = storm(pair.specification(name, fields), of or nil)
			found.time[name][index], found.cpu[name][index] = result.time, result.cpu
			resumed[index] = of and 100 * result.resumed / CLIENTS or resumed[index]
		end
	end
	store:stop()
	measure.compare { name = "until 2,000 are in, one after another", unit = "s", stock = found.time.stock,
		module = found.time.module }
	measure.compare { name = "2,000 clients and the replay", unit = "s CPU", goal = 0.6,
		stock = found.cpu.stock, module = found.cpu.module }
	-- The first ones come within milliseconds after the start, before the replay has come to them.
	measure.note("of 2,000, resumed with sharing", "%", measure.mean(resumed), 99, true)
end

return sharing_storm
