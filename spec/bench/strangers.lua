--- Clients that send one ClientHello, by direct TLS, and wait until the server has refused it.
local socket = require "socket"

local strangers = {}

--- So many of them, one after the other. `bytes`: of the hello.
function strangers.refused(server, bytes, count)
	for _ = 1, count do
		local connection = assert(socket.connect("127.0.0.1", server.ports.c2s_direct_tls))
		connection:settimeout(60)
		assert(connection:send(bytes))
		local answer = assert(connection:receive "*a")
		-- The alert handshake_failure is the last record.
		assert(answer:sub(-2) == "\2\40", "no alert")
		connection:close()
	end
end

return strangers
