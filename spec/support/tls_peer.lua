-- TLS servers on the loop of tasks.lua, for specs of the audit that need a server which no real one is.
local channel = require "xmpp_tls_policy.audit.channel"
local core = require "xmpp_tls_policy.core"
local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"

local tls_peer = {}

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

-- Runs `main(connect)` as a task while `accept(channel, number)` serves each connection. `connect`
-- returns a new channel to it, and has the port in `connect.port`.
function tls_peer.run(accept, main)
	return tasks.run(function ()
		local count = 0
		local port, stop = channel.listen("127.0.0.1", 0, function (peer)
			count = count + 1
			accept(peer, count)
			peer:close()
		end)
		assert(port, stop)
		local connect = setmetatable({ port = port }, { __call = function ()
			return assert(channel.connect("127.0.0.1", port, soon()))
		end })
		local result = main(connect)
		stop()
		return result
	end)
end

-- Calls a method of a connection of the core's until it has a result, and carries bytes both ways.
-- Returns the result, or nil and a message.
function tls_peer.advance(peer, connection, method, argument)
	while true do
		local result, message, code = connection[method](connection, argument)
		local bytes = connection:take()
		if bytes ~= "" and not peer:write(bytes, soon()) then
			return nil, "the client went away"
		end
		if result or code ~= "wantread" then
			return result, message
		end
		local received, kind = peer:read(soon())
		if not received then
			return nil, kind
		end
		assert(connection:feed(received))
	end
end

-- A function for `accept`: makes a handshake on a server's Context, then calls `serve(peer,
-- connection)` if it succeeded.
function tls_peer.server(context, serve)
	return function (peer)
		local connection = assert(core.connection.new(context))
		if tls_peer.advance(peer, connection, "handshake") and serve then
			serve(peer, connection)
		end
		connection:close()
	end
end

-- For `serve`: sends back what comes, until the client closes.
function tls_peer.echo(peer, connection)
	local bytes
	repeat
		bytes = tls_peer.advance(peer, connection, "read")
	until not bytes or not tls_peer.advance(peer, connection, "write", bytes)
end

return tls_peer
