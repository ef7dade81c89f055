-- Report mode: a client that logs in, up to its resource, as the policy would have it and as it
-- would not. Both servers negotiate as they like.
local clients = require "bench.clients"
local count = require "bench.count"

local report = { title = "Report mode, login with authentication" }

local function prepare(bench, version, ciphers)
	return function (start)
		local server = start {
			hosts = { ["example.test"] = bench.certificate "rsa2048" },
			users = { ["juliet@example.test"] = clients.password },
			options = { ssl = { ciphers = "ALL:@SECLEVEL=1" } }, policy = { mode = "report" },
		}
		local options = { context = clients.context(version, ciphers) }
		return function (logins)
			for _ = 1, logins do
				clients.log_in(server, "juliet", options):close()
			end
		end
	end
end

function report.run(bench)
	count.compare(bench, {
		name = "report mode, a login that passes", goal = 1.03, warm = 20, operations = 80, pairs = 3,
		prepare = prepare(bench, "TLSv1.3"),
	})
	count.compare(bench, {
		name = "report mode, a login that would be refused", goal = 1.10, warm = 20, operations = 80, pairs = 3,
		prepare = prepare(bench, "TLSv1.2", { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" }),
	})
end

return report
