-- A handshake between two connections over memory.
local core = require "xmpp_tls_policy.core"

local handshake = {}

-- Carries bytes both ways until both ends are done, or one failed. Returns true; or nil, the failure
-- of the client, the failure of the server.
function handshake.run(client, server)
	for _ = 1, 20 do
		local client_done, client_message, client_code = client:handshake()
		assert(server:feed(client:take()))
		local server_done, server_message, server_code = server:handshake()
		assert(client:feed(server:take()))
		if client_done and server_done then
			return true
		end
		if client_code == "tls" or server_code == "tls" then
			if client_code == "wantread" then
				client_done, client_message = client:handshake()
			end
			return nil, not client_done and client_message or nil, server_message
		end
	end
	error "the handshake comes to no end"
end

-- Makes a connection of each context and runs their handshake. Returns client, server; or nil and
-- both failures.
function handshake.between(client_context, server_context, client_options, server_options)
	local client = assert(core.connection.new(client_context, client_options))
	local server = assert(core.connection.new(server_context, server_options))
	local done, client_message, server_message = handshake.run(client, server)
	if not done then
		return nil, client_message, server_message
	end
	return client, server
end

return handshake
