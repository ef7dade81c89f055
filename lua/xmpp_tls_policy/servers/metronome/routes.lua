--- Which stream a stanza takes to another server; see prosody_style/routes.lua.
local routes = require "xmpp_tls_policy.servers.prosody_style.routes" {
	root = metronome,
	fail_closed = require "xmpp_tls_policy.servers.metronome.fail_closed",
	hosts = require "xmpp_tls_policy.servers.metronome.hosts",
	safe_hooks = require "xmpp_tls_policy.servers.metronome.safe_hooks",
	sessions = require "xmpp_tls_policy.servers.metronome.sessions",
}

return routes
