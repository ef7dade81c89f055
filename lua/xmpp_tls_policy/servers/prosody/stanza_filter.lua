--- Asks the admission about each element; see prosody_style/stanza_filter.lua.
local stanza_filter = require "xmpp_tls_policy.servers.prosody_style.stanza_filter" {
	root = prosody,
	fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed",
	filters = require "xmpp_tls_policy.servers.prosody.filters",
	safe_hooks = require "xmpp_tls_policy.servers.prosody.safe_hooks",
	sessions = require "xmpp_tls_policy.servers.prosody.sessions",
	is_stanza = require "util.stanza".is_stanza,
	process = function (session, element)
		prosody.core_process_stanza(session, element)
	end,
}

return stanza_filter
