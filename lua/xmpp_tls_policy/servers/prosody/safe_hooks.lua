--- Calls our functions so that a failure in them ends no event of Prosody; see prosody_style/safe_hooks.lua.
local safe_hooks = require "xmpp_tls_policy.servers.prosody_style.safe_hooks" {
	fail_closed = require "xmpp_tls_policy.servers.prosody.fail_closed",
	sessions = require "xmpp_tls_policy.servers.prosody.sessions",
	xpcall = require "util.xpcall".xpcall,
}

return safe_hooks
