-- A client that can do nothing but DHE, once dhe_per_second of them have come. A stock server without DH
-- parameters refuses it, too.
local client_hello = require "support.client_hello"
local count = require "bench.count"
local offers = require "support.offers"
local strangers = require "bench.strangers"

local forced_dhe = { title = "A handshake with DHE, over the limit" }

function forced_dhe.run(bench)
	count.compare(bench, {
		name = "DHE alone", goal = 1.3, warm = 100, operations = 400, pairs = 3,
		prepare = function (start, subject)
			local server = start { hosts = { ["example.test"] = bench.certificate "rsa2048" } }
			if subject == "module" then
				-- Callgrind is slow, and the option has whole numbers: they would let some pass.
				local output, status = server:shell "> require 'xmpp_tls_policy.core'.observer.limit_dhe(1e-9, 0)"
				assert(status == 0, output)
			end
			return function (operations)
				strangers.refused(server, client_hello.build(offers.dhe), operations)
			end
		end,
	})
end

return forced_dhe
