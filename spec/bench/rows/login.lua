-- A client's first login, from STARTTLS to the second features. These have more with channel binding: mechanisms
-- and types. A stock server offers neither, so the handshake is compared without it, too.
local clients = require "bench.clients"
local count = require "bench.count"

local login = { title = "First login, STARTTLS to the second features" }

local cases = {
	{ version = "TLSv1.2", goal = 1.03 },
	{ version = "TLSv1.3", goal = 1.03 },
	{ version = "TLSv1.2", goal = 1.015, policy = { channel_binding = false } },
	{ version = "TLSv1.3", goal = 1.015, policy = { channel_binding = false } },
}

function login.run(bench)
	for _, case in ipairs(cases) do
		count.compare(bench, {
			name = ("first login, %s%s"):format(case.version, case.policy and ", no channel binding" or ""),
			goal = case.goal,
			warm = 20, operations = 80, pairs = 3,
			prepare = function (start)
				local server = start {
					hosts = { ["example.test"] = bench.certificate "rsa2048" }, policy = case.policy,
				}
				local context = clients.context(case.version)
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
