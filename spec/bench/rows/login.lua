-- A client's first login, from STARTTLS to the second features.
local clients = require "bench.clients"
local count = require "bench.count"

local login = { title = "First login, STARTTLS to the second features" }

function login.run(bench)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		count.compare(bench, {
			name = "first login, " .. version, goal = 1.01,
			warm = 20, operations = 80, pairs = 3,
			prepare = function (start)
				local server = start { hosts = { ["example.test"] = bench.certificate "rsa2048" } }
				local context = clients.context(version)
				return function (logins)
					for _ = 1, logins do
						clients.open(server, { context = context }):close()
					end
				end
			end,
		})
	end
end

return login
