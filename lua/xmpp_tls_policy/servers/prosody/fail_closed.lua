--- Fails closed on Prosody: while the module should be active on a host and is not, clients and servers are
-- refused there; see prosody_style/fail_closed.lua.
return require "xmpp_tls_policy.servers.prosody_style.fail_closed" {
	root = prosody,
	filters = require "xmpp_tls_policy.servers.prosody.filters",
	hosts = require "xmpp_tls_policy.servers.prosody.hosts",
	sessions = require "xmpp_tls_policy.servers.prosody.sessions",
	events = { "stream-features", "s2s-stream-features", "s2sout-authenticate-legacy" },
}
