-- For tests only: server-to-server connections find their way without DNS.
--
--   test_routes = { ["remote.test"] = { s2s = 45678, s2s_direct_tls = 45679 } }
--
-- on 127.0.0.1. The entry "*" is for all domains without one of their own. A domain or service
-- without an entry does not resolve.
-- luacheck: globals module

module:set_global()

local service = require "net.resolvers.service"
local manual = require "net.resolvers.manual"

local services = { ["xmpp-server"] = "s2s", ["xmpps-server"] = "s2s_direct_tls" }
local original = service.new

function service.new(domain, name, connection_type, extra)
	local routes = module:get_option("test_routes", {})
	local ports = routes[domain] or routes["*"] or {}
	local port = ports[services[name]]
	local targets = port and { { "tcp4", "127.0.0.1", port, extra } } or {}
	module:log("debug", "Route to %s, %s: %s", domain, name, port or "none")
	return manual.new(targets, connection_type, extra)
end

function module.unload()
	service.new = original
end
