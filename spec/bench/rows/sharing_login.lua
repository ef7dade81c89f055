-- What sharing adds to a login.
local clients = require "bench.clients"
local count = require "bench.count"
local engine = require "support.engine"
local sharing_servers = require "support.sharing_servers"

local sharing_login = { title = "First login with sessions shared (stock: the module without sharing)" }

function sharing_login.run(bench)
	local certificate = bench.certificate "rsa2048"
	local store = engine.start()
	local cluster = sharing_servers.new(store, certificate)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		count.compare(bench, {
			name = "first login, " .. version, goal = 1.02,
			warm = 20, operations = 80, pairs = 3,
			prepare = function (start)
				local server = start {
					hosts = { ["example.test"] = certificate }, policy_on_both = true, policy = cluster:policy(),
				}
				local context = clients.context(version)
				return function (logins)
					for _ = 1, logins do
						clients.open(server, { context = context }):close()
					end
				end
			end,
		})
	end
	assert(cluster:entries() > 0, "nothing was shared")
	store:stop()
end

return sharing_login
