--- Endpoints of real servers, for specs of the audit.
local endpoint = require "xmpp_tls_policy.audit.endpoint"
local tasks = require "xmpp_tls_policy.audit.tasks"

local audited = {}

--- The endpoint of a service ("c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls") of a server that
-- prosody.start made.
function audited.endpoint(server, service, domain)
	local target = server:target(service, domain)
	return endpoint.new {
		domain = target.domain, service = target.kind, direct = target.direct_tls, host = "localhost",
		address = "127.0.0.1", port = target.port, timeout = 30,
	}
end

--- The observations that a probe (a module of audit/probes/) makes. Also returns the endpoint.
function audited.observed(probe, ...)
	local arguments = { ... }
	return tasks.run(function ()
		local point = audited.endpoint((unpack or table.unpack)(arguments))
		local observed = {}
		probe.run(point, observed)
		return observed, point
	end)
end

return audited
