--- Which stream a stanza takes to another server; see prosody_style/routes.lua.
local routes = require "xmpp_tls_policy.servers.prosody_style.routes" {
	root = prosody,
	fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed",
	hosts = require "xmpp_tls_policy.servers.prosody.hosts",
	safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks",
	sessions = require "xmpp_tls_policy.servers.prosody.sessions",
}

return routes
