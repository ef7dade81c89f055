--- Fails closed on Prosody: while the module should be active on a host and is not, clients and servers are
-- refused there; see prosody_style/fail_closed.lua.
local fail_closed = require "xmpp_tls_policy.servers.prosody_style.fail_closed" {
	root = prosody,
	filters = require "xmpp_tls_policy.servers.prosody.filters",
	hosts = require "xmpp_tls_policy.servers.prosody.hosts",
	sessions = require "xmpp_tls_policy.servers.prosody.sessions",
	events = { "stream-features", "s2s-stream-features", "s2sout-authenticate-legacy" },
}

-- Whether the last call of fail_closed.start has finished.
local started = false

local start = fail_closed.start

--- To be called first when the module is loaded or reloaded. `module`: ours.
function fail_closed.start(module)
	started = false
	start(module)
	started = true
end

--- Whether the last call of fail_closed.start has finished. If not, connections may not be refused
-- where they have to be.
function fail_closed.has_started()
	return started
end

return fail_closed
