--- A real `gnutls-serv` with any parameters, for direct TLS. It speaks no XMPP.
local free_ports = require "support.free_ports"
local program = require "support.program"

local gnutls_server = {}

--- Starts it with a priority string of GnuTLS, for a domain and a certificate (as pki's issue makes it).
-- Returns { target (see prosody.lua), stop = function }.
function gnutls_server.start(domain, certificate, priority)
	local port = free_ports(1)[1]
	local server = program.run(port, {}, {
		"gnutls-serv", "--quiet", "--echo", "--port=" .. port, "--priority=" .. priority,
		"--x509certfile=" .. certificate.certificate, "--x509keyfile=" .. certificate.key,
	})
	server.target = { port = port, kind = "c2s", direct_tls = true, domain = domain }
	return server
end

return gnutls_server
