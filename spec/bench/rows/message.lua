-- A message from one client to another, both on the same server.
local clients = require "bench.clients"
local count = require "bench.count"

local message = { title = "A message between two clients" }

local stanza = "<message type='chat' to='%s' id='m%d'><body>Wherefore art thou?</body></message>"

function message.run(bench)
	count.compare(bench, {
		name = "message", goal = 1.003, warm = 500, operations = 2000, pairs = 8,
		prepare = function (start)
			local server = start {
				hosts = { ["example.test"] = bench.certificate "rsa2048" },
				users = { ["juliet@example.test"] = clients.password, ["romeo@example.test"] = clients.password },
			}
			local options = { context = clients.context() }
			local crowd = clients.crowd(server)
			local juliet, romeo = clients.log_in(server, "juliet", options), clients.log_in(server, "romeo", options)
			crowd[#crowd + 1], crowd[#crowd + 2] = juliet, romeo
			return function (messages)
				for number = 1, messages do
					assert(juliet:send(stanza:format(romeo.address, number)))
					assert(romeo:read_until "</message>")
				end
			end, function ()
				clients.close(crowd)
			end
		end,
	})
end

return message
