--- Fails closed on Metronome: while the module should be active on a host and is not, clients and servers are
-- refused there; see prosody_style/fail_closed.lua.
return require "xmpp_tls_policy.servers.prosody_style.fail_closed" {
	root = metronome,
	filters = require "xmpp_tls_policy.servers.metronome.filters",
	hosts = require "xmpp_tls_policy.servers.metronome.hosts",
	sessions = require "xmpp_tls_policy.servers.metronome.sessions",
	events = { "stream-features", "s2s-stream-features", "s2s-authenticate-legacy" },
}
