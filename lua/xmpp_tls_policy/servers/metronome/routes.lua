--- Which stream a stanza takes to another server; see prosody_style/routes.lua.
local routes = require "xmpp_tls_policy.servers.prosody_style.routes" {
	root = metronome,
	fail_closed = require "xmpp_tls_policy.servers.metronome.fail_closed",
	hosts = require "xmpp_tls_policy.servers.metronome.hosts",
	safe_hooks = require "xmpp_tls_policy.servers.metronome.safe_hooks",
	sessions = require "xmpp_tls_policy.servers.metronome.sessions",
}

local reroute = routes.reroute

--- See prosody_style/routes.lua. Only mod_bidi sends stanzas on incoming streams. If the filter refuses one there, the
-- same event goes on to mod_s2s, which opens a stream of its own. A second event would meet mod_bidi again.
function routes.reroute(admission)
	local from_outgoing = reroute(admission)
	return function (session, stanza)
		if session.direction == "outgoing" then
			from_outgoing(session, stanza)
		end
	end
end

return routes
