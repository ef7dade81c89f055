--- Asks the admission about each element; see prosody_style/stanza_filter.lua.
local stanza_metatable = require "util.stanza".stanza_mt

local stanza_filter = require "xmpp_tls_policy.servers.prosody_style.stanza_filter" {
	root = metronome,
	fail_closed = require "xmpp_tls_policy.servers.metronome.fail_closed",
	filters = require "xmpp_tls_policy.servers.metronome.filters",
	safe_hooks = require "xmpp_tls_policy.servers.metronome.safe_hooks",
	sessions = require "xmpp_tls_policy.servers.metronome.sessions",
	is_stanza = function (data)
		return getmetatable(data) == stanza_metatable
	end,
	process = function (session, element)
		metronome.events.fire_event("route/process", session, element)
	end,
}

return stanza_filter
