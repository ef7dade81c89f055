-- For tests only: server-to-server connections of Metronome find their way without DNS; see ../mod_test_routes.lua.
-- luacheck: globals module

module:set_global()

local adns = require "net.adns"
local timer = require "util.timer"

local services = { _xmpp = "s2s", _xmpps = "s2s_direct_tls" }
local original = adns.lookup

local function answer_to(name, kind)
	local service, domain = name:match "^(_xmpps?)%-server%._tcp%.(.-)%.?$"
	if kind == "SRV" and service then
		local routes = module:get_option("test_routes", {})
		local ports = routes[domain] or routes["*"] or {}
		local port = ports[services[service]]
		module:log("debug", "Route to %s, %s: %s", domain, service, tostring(port or "none"))
		-- Metronome asks for direct TLS first, and makes use of the records with the second answer.
		return port and { { srv = { target = "routed.test.", port = port, priority = 1, weight = 1 } } }
			or next(ports) and {} or nil
	elseif kind == "A" and name:find "^routed%.test" then
		return { { a = "127.0.0.1" } }
	end
end

function adns.lookup(callback, name, kind)
	timer.add_task(0, function ()
		callback(answer_to(name, kind))
	end)
	return {}
end

function module.unload()
	adns.lookup = original
end
