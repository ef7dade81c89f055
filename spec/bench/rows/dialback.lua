-- A server without a valid certificate connects, and dialback vouches for it (XEP-0220): the
-- stream that it opens, and the one on which the measured server asks back.
local count = require "bench.count"
local xmpp = require "support.xmpp"

local dialback = { title = "An s2s connection with dialback" }

local function open(server, certificate)
	local peer = xmpp.connect(server:target "s2s", { from = "remote.test" })
	assert(peer:open())
	assert(peer:request_tls())
	assert(peer:secure { certificate = certificate.certificate, key = certificate.key })
	assert(peer:open())
	return peer
end

-- The server asks on a stream of its own, once that is accepted by dialback, too. Returns the
-- stream and the ID of the one in question.
local function accept_query(listener, certificate)
	local peer = assert(listener:accept())
	assert(peer:answer(xmpp.starttls_required_feature))
	assert(peer:proceed())
	assert(peer:secure { mode = "server", certificate = certificate.certificate, key = certificate.key })
	assert(peer:answer "<dialback xmlns='urn:xmpp:features:dialback'/>")
	assert(peer:read_until "<db:result[^>]*>[^<]*</db:result>")
	assert(peer:send "<db:result from='remote.test' to='example.test' type='valid'/>")
	local query = assert(peer:read_until "<db:verify[^>]*>[^<]*</db:verify>")
	return peer, assert(query:match "%sid=['\"]([^'\"]*)", query)
end

-- Streams are closed as servers do it, and both sides wait for it: none outlives its turn.
local function close(peer)
	assert(peer:send "</stream:stream>")
	peer:read_all()
	peer:close()
end

local function connect(server, listener, certificate)
	local incoming = open(server, certificate)
	assert(incoming:send "<db:result from='remote.test' to='example.test'>key</db:result>")
	local outgoing, id = accept_query(listener, certificate)
	assert(outgoing:send(("<db:verify from='remote.test' to='example.test' id='%s' type='valid'/>"):format(id)))
	local result = assert(incoming:read_until "<db:result[^>]*>")
	assert(result:match "type='valid'", result)
	close(incoming)
	close(outgoing)
end

function dialback.run(bench)
	local certificate = bench.self_signed("rsa2048", "remote.test")
	count.compare(bench, {
		name = "s2s connection with dialback", goal = 1.02, warm = 10, operations = 60, pairs = 3,
		prepare = function (start)
			local listener = xmpp.listen "s2s"
			local server = start {
				hosts = { ["example.test"] = bench.certificate "rsa2048" }, ca = bench.authority.certificate,
				routes = { ["remote.test"] = { s2s = listener.port } },
			}
			return function (connections)
				for _ = 1, connections do
					connect(server, listener, certificate)
				end
			end, function ()
				listener:close()
			end
		end,
	})
end

return dialback
