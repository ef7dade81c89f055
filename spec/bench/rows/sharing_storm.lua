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

local CLIENTS = 2000
-- Counted one by one, which takes fifty times as long.
local COUNTED = 80

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

-- Time until all clients are in, and how many of them were resumed.
local function storm(specification, cluster)
	local context = clients.context "TLSv1.3"
	local sessions = sessions_of_killed(specification, context, CLIENTS, cluster)
	local server = prosody.start(specification)
	local began, resumed = socket.gettime(), 0
	for index = 1, CLIENTS do
		local peer = clients.open(server, { context = context, session = sessions[index] })
		resumed = resumed + (peer:tls_info().resumed and 1 or 0)
		peer:close()
	end
	local result = { time = socket.gettime() - began, resumed = resumed }
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
	count.compare(bench, {
		name = "each of them, TLS 1.3", goal = 0.6, warm = 10, operations = COUNTED, pairs = 1,
		prepare = function (start, name)
			local context, next_client = clients.context "TLSv1.3", 0
			local of = name == "module" and cluster or nil
			local sessions = sessions_of_killed(pair.specification(name, fields), context, COUNTED + 10, of)
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
	local without = storm(pair.specification("stock", fields))
	local with = storm(pair.specification("module", fields), cluster)
	store:stop()
	measure.compare { name = "until 2,000 are in, one after another", unit = "s", stock = { without.time },
		module = { with.time } }
	-- The first ones come within milliseconds after the start, before the replay has come to them.
	measure.note("of 2,000, resumed with sharing", "%", 100 * with.resumed / CLIENTS, 99, true)
end

return sharing_storm
