--- TLS connections over loopback between a client of our core, which can resume sessions and break
-- off in every way, and a server of LuaSec's, as a server of XMPP has it.
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"
local tls_socket = require "support.tls_socket"

local mixed_pair = {}

local function sockets()
	local listener = assert(socket.bind("127.0.0.1", 0))
	local near = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
	local far = assert(listener:accept())
	listener:close()
	near:settimeout(0)
	return near, far
end

--- Returns both ends of a finished handshake: client (see tls_socket.lua) and server.
-- `client_context`: a Context of the core; `server_context`: one of LuaSec's; `session`: to resume,
-- or nil; `server_name`: that the client sends, or nil.
function mixed_pair.connect(client_context, server_context, session, server_name)
	local near, far = sockets()
	local client = tls_socket.wrap(near, client_context, { session = session, server_name = server_name })
	local server = assert(ssl.wrap(far, server_context))
	server:settimeout(0)
	local connection = client.connection
	local deadline = socket.gettime() + process.PATIENCE
	repeat
		local done = connection:handshake()
		local bytes = connection:take()
		assert(bytes == "" or near:send(bytes))
		local served, reason = server:dohandshake()
		if done and served then
			return client, server
		end
		assert(served or reason == "wantread" or reason == "wantwrite", reason)
		socket.select({ near }, nil, 0.01)
		local received, _, partial = near:receive(65536)
		assert(connection:feed(received or partial))
	until socket.gettime() > deadline
	error "the handshake comes to no end"
end

--- The client's session for the next connection. In TLS 1.3 it comes after the handshake, and before the first data,
-- for which this waits.
function mixed_pair.session(client, server)
	assert(server:send "x")
	client:settimeout(process.PATIENCE)
	assert(client:receive(1))
	return client:session()
end

--- Connections that are closed together: { connect = as mixed_pair.connect, close }.
function mixed_pair.group()
	local opened = {}
	return {
		connect = function (...)
			local client, server = mixed_pair.connect(...)
			opened[#opened + 1], opened[#opened + 2] = client, server
			return client, server
		end,
		close = function ()
			for _, connection in ipairs(opened) do
				connection:close()
			end
			opened = {}
		end,
	}
end

--- Ways in which a client breaks off: name -> function(client).
mixed_pair.endings = {
	["without close_notify"] = function (client)
		client:close()
	end,
	["with close_notify"] = function (client)
		client:shutdown()
		client:close()
	end,
	["with a reset of the connection"] = function (client)
		client.socket:setoption("linger", { on = true, timeout = 0 })
		client:close()
	end,
	["with a fatal alert"] = function (client)
		client.connection:feed("\23\3\3\0\40" .. ("x"):rep(40))
		client.connection:read()
		client.socket:send(client.connection:take())
		client:close()
	end,
	["with bytes that are no TLS"] = function (client)
		client.socket:send("</stream:stream>")
		client:close()
	end,
}

return mixed_pair
