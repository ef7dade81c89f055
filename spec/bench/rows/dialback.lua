-- A server without a valid certificate connects, and dialback vouches for it (XEP-0220). Two
-- cases, which differ much in what is done for them: it shows no certificate, and the measured
-- server asks back on a stream that is there; or it shows a certificate that it signed itself,
-- and both streams are new.
local count = require "bench.count"
local xmpp = require "support.xmpp"

local dialback = { title = "An s2s connection with dialback" }

-- `certificate`: nil for none.
local function open(server, certificate)
	local peer = xmpp.connect(server:target "s2s", { from = "remote.test" })
	assert(peer:open())
	assert(peer:request_tls())
	assert(peer:secure(certificate and { certificate = certificate.certificate, key = certificate.key }))
	assert(peer:open())
	return peer
end

-- The stream on which the server asks, which is accepted by dialback, too.
local function accept(listener, certificate)
	local peer = assert(listener:accept())
	assert(peer:answer(xmpp.starttls_required_feature))
	assert(peer:proceed())
	assert(peer:secure { mode = "server", certificate = certificate.certificate, key = certificate.key })
	assert(peer:answer "<dialback xmlns='urn:xmpp:features:dialback'/>")
	assert(peer:read_until "<db:result[^>]*>[^<]*</db:result>")
	assert(peer:send "<db:result from='remote.test' to='example.test' type='valid'/>")
	return peer
end

local function answer_query(outgoing)
	local query = assert(outgoing:read_until "<db:verify[^>]*>[^<]*</db:verify>")
	local id = assert(query:match "%sid=['\"]([^'\"]*)", query)
	assert(outgoing:send(("<db:verify from='remote.test' to='example.test' id='%s' type='valid'/>"):format(id)))
end

-- Streams are closed as servers do it, and both sides wait for it: none outlives its turn.
local function close(peer)
	assert(peer:send "</stream:stream>")
	peer:read_all()
	peer:close()
end

-- One connection. `outgoing`: the stream on which the server asks; nil if it has to open one.
-- Returns that stream.
local function connect(server, listener, certificates, outgoing)
	local incoming = open(server, certificates.shown)
	assert(incoming:send "<db:result from='remote.test' to='example.test'>key</db:result>")
	outgoing = outgoing or accept(listener, certificates.own)
	answer_query(outgoing)
	local result = assert(incoming:read_until "<db:result[^>]*>")
	assert(result:match "type='valid'", result)
	close(incoming)
	return outgoing
end

local function compare(bench, name, goal, show, keep)
	local certificate = bench.self_signed("rsa2048", "remote.test")
	local certificates = { own = certificate, shown = show and certificate or nil }
	count.compare(bench, {
		name = name, goal = goal, warm = 20, operations = 80, pairs = 3,
		prepare = function (start)
			local listener, outgoing = xmpp.listen "s2s", nil
			local server = start {
				hosts = { ["example.test"] = bench.certificate "rsa2048" }, ca = bench.authority.certificate,
				routes = { ["remote.test"] = { s2s = listener.port } },
			}
			return function (connections)
				for _ = 1, connections do
					outgoing = connect(server, listener, certificates, outgoing)
					if not keep then
						close(outgoing)
						outgoing = nil
					end
				end
			end, function ()
				if outgoing then
					close(outgoing)
				end
				listener:close()
			end
		end,
	})
end

function dialback.run(bench)
	compare(bench, "dialback, asked on a stream that is there", 1.02, false, true)
	compare(bench, "dialback, self-signed, both streams new", 1.02, true, false)
end

return dialback
