-- An iq from another server, and its answer, on streams that are there already. The other
-- server is a stock one, and not counted.
local clients = require "bench.clients"
local count = require "bench.count"
local pair = require "bench.pair"
local prosody = require "support.prosody"

local iq = { title = "An iq from another server, answered" }

local stanza = "<iq type='get' id='p%d' to='example.test'><ping xmlns='urn:xmpp:ping'/></iq>"

local function start_other(bench)
	return prosody.start(pair.specification("stock", {
		hosts = { ["remote.test"] = bench.certificate("rsa2048", "remote.test") }, ca = bench.authority.certificate,
		users = { ["romeo@remote.test"] = clients.password }, routes = {},
	}))
end

local function ping(client, number)
	assert(client:send(stanza:format(number)))
	local answer = assert(client:read_until { "</iq>", "<iq[^>]*/>" })
	assert(answer:find("type='result'", 1, true), answer)
end

function iq.run(bench)
	count.compare(bench, {
		name = "iq of a server", goal = 1.01, warm = 500, operations = 2000, pairs = 8,
		prepare = function (start)
			local other = start_other(bench)
			local server = start {
				hosts = { ["example.test"] = bench.certificate "rsa2048" }, ca = bench.authority.certificate,
				routes = { ["remote.test"] = { s2s = other.ports.s2s } },
			}
			other:configure { routes = { ["example.test"] = { s2s = server.ports.s2s } } }
			other:reload()
			local options = { context = clients.context() }
			local crowd = clients.crowd(server)
			local romeo = clients.log_in(other, "romeo", options)
			crowd[#crowd + 1] = romeo
			return function (pings)
				for number = 1, pings do
					ping(romeo, number)
				end
			end, function ()
				clients.close(crowd)
				other:stop()
			end
		end,
	})
end

return iq
