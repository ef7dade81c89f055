-- A client whose offer the policy refuses, and a stock server as well.
local client_hello = require "support.client_hello"
local count = require "bench.count"
local offers = require "support.offers"
local strangers = require "bench.strangers"

local refused_handshake = { title = "A refused handshake" }

function refused_handshake.run(bench)
	count.compare(bench, {
		name = "refused handshake", goal = 1.3, warm = 100, operations = 400, pairs = 3,
		prepare = function (start)
			local server = start { hosts = { ["example.test"] = bench.certificate "rsa2048" } }
			local bytes = client_hello.build(offers.static_rsa)
			return function (operations)
				strangers.refused(server, bytes, operations)
			end
		end,
	})
end

return refused_handshake
