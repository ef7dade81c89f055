-- A client that finishes its handshake, sends the header of its stream and is gone without
-- close_notify: the server finds all that in one turn.
local clients = require "bench.clients"
local count = require "bench.count"
local tls_socket = require "support.tls_socket"
local xmpp = require "support.xmpp"

local early_close = { title = "Clients that go away after their header" }

local function go_away(server, context)
	local peer = xmpp.connect(server:target "c2s")
	assert(peer:open())
	assert(peer:request_tls())
	peer.socket = tls_socket.wrap(peer.socket, context, { server_name = peer.domain })
	peer.socket:settimeout(30)
	assert(peer.socket:dohandshake())
	assert(peer:send(xmpp.stream_header(peer.kind, peer.domain)))
	peer:close()
end

function early_close.run(bench)
	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		count.compare(bench, {
			name = "early close, " .. version, goal = 1.1,
			warm = 20, operations = 80, pairs = 3,
			prepare = function (start)
				local server = start { hosts = { ["example.test"] = bench.certificate "rsa2048" } }
				local context = clients.context(version)
				return function (operations)
					for _ = 1, operations do
						go_away(server, context)
					end
					-- The server has handled all of them when it answers this one.
					clients.open(server, { context = context }):close()
				end
			end,
		})
	end
end

return early_close
