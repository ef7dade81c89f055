-- The shape of a client that logs in: the core packs it, and the host's fleet counts it.
local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local fleets = require "xmpp_tls_policy.fleet.fleets"
local handshake = require "support.handshake"
local measure = require "bench.measure"
local work_queue = require "xmpp_tls_policy.work_queue"

local fleet = { title = "Shapes of clients" }

local LOGINS = 1000

-- Connections whose shapes can still be taken.
local function connections(files)
	local server = assert(core.context.new { role = "server", certificate = files.certificate, key = files.key })
	assert(server:apply { security_level = 1 } and server:observe(1))
	local client = assert(core.context.new { role = "client", verify = "none" })
	local list = {}
	for index = 1, LOGINS do
		local one, other = handshake.between(client, server, nil, { role = "server" })
		list[index] = assert(one and other)
	end
	return list
end

local function new_fleets()
	local server = adapter.new {
		client_bare_jid = function () return "user@a.test" end,
		is_anonymous = function () return false end,
		connection = function (session) return session.connection end,
		own_context = function () end,
	}
	local made = fleets.new {
		server = server, adopted = adopted_contexts.new(), queue = work_queue.new { server = server },
	}
	made:open "a.test"
	return made, server
end

function fleet.run(bench)
	local files, observer, best = bench.certificate "rsa2048", core.observer, math.huge
	local take_shape, label = observer.take_shape, observer.label
	-- These connections are the core's, and not LuaSec's.
	observer.take_shape = function (connection) return connection:take_shape() end
	observer.label = function (connection) return connection:label() end
	for _ = 1, 3 do
		local list, seen = connections(files), new_fleets()
		local streams = {}
		for index, connection in ipairs(list) do
			streams[index] = { role = "c2s", session = { connection = connection } }
		end
		seen:see_client(streams[1], "a.test")
		seen:get "a.test":judged { [seen:get "a.test":list()[1].shape] = false }
		local start = os.clock()
		for index = 2, LOGINS do
			seen:see_client(streams[index], "a.test")
		end
		best = math.min(best, (os.clock() - start) / (LOGINS - 1) * 1e6)
		assert(seen:get "a.test":list()[1].logins == LOGINS)
	end
	observer.take_shape, observer.label = take_shape, label
	measure.note("a login of a client whose shape is known", "µs", best, 5)
end

return fleet
