-- Costs of the module beside TLS: logins with the same suite on both servers, nothing
-- resumed, no tickets.
local clients = require "bench.clients"
local count = require "bench.count"

local same_tls = { title = "Costs of the module beside TLS" }

function same_tls.run(bench)
	count.compare(bench, {
		name = "login with the same TLS", goal = 1.05, warm = 20, operations = 100, pairs = 3,
		prepare = function (start)
			local server = start {
				hosts = { ["example.test"] = bench.certificate "p256" }, policy = { resumption = { enabled = false } },
			}
			local context = clients.context("TLSv1.2", { "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" })
			return function (logins)
				for _ = 1, logins do
					clients.open(server, { context = context }):close()
				end
			end
		end,
	})
end

return same_tls
