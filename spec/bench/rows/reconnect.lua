-- A client that comes back with its last session. A stock server cannot resume it: there this
-- is a login, to which ours is compared.
local clients = require "bench.clients"
local count = require "bench.count"

local reconnect = { title = "Reconnect, compared to a login of the stock server" }

local goals = { ["TLSv1.2"] = 0.32, ["TLSv1.3"] = 0.46 }

local function prepare(bench, version)
	return function (start, name)
		local server = start { hosts = { ["example.test"] = bench.certificate "rsa2048" } }
		local context = clients.context(version)
		local session
		local function connect()
			local peer = clients.open(server, { context = context, session = session })
			local resumed = peer:tls_info().resumed
			assert(resumed == (session ~= nil), "not resumed")
			-- The session of the first is kept where the server resumes.
			session = name == "module" and peer.socket:session() or nil
			peer:close()
		end
		return function (connects)
			for _ = 1, connects do
				connect()
			end
		end
	end
end

function reconnect.run(bench)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		count.compare(bench, {
			name = "reconnect, " .. version, goal = goals[version],
			warm = 20, operations = 80, pairs = 3, prepare = prepare(bench, version),
		})
	end
end

return reconnect
