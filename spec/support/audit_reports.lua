-- Reports of audits, made of observations without a network.
local observed_endpoint = require "support.observed_endpoint"
local policies = require "xmpp_tls_policy.policy"
local report = require "xmpp_tls_policy.audit.report"

local audit_reports = {}

-- 2026-11-26 08:00:00 UTC
audit_reports.TIME = 1795680000

--- What an audit found of one endpoint. `changes`: of observations, see observed_endpoint.lua; `fields`: others.
function audit_reports.endpoint(changes, fields)
	local endpoint = {
		service = "c2s", direct = false, host = "xmpp.example.org", address = "192.0.2.1", port = 5222, connections = 31,
		seconds = 0.42, reached = true, observations = observed_endpoint.new(changes),
		certificate = { subject = "CN=example.org", days_left = 61 },
	}
	for name, value in pairs(fields or {}) do
		endpoint[name] = value
	end
	return endpoint
end

--- One that refused the connection.
function audit_reports.unreached(fields)
	local endpoint = audit_reports.endpoint({}, fields)
	endpoint.observations, endpoint.certificate, endpoint.seconds = {}, nil, 0.01
	endpoint.reached, endpoint.reason = false, "the connection was refused"
	return endpoint
end

--- What an audit found of a domain with some endpoints.
function audit_reports.domain(name, endpoints, fields)
	local domain = { domain = name, endpoints = endpoints, dns = { { name = name, type = "A", dnssec = "secure" } } }
	for field, value in pairs(fields or {}) do
		domain[field] = value
	end
	return domain
end

--- The report of some domains. `profile`, `level`: by default the library's.
function audit_reports.of(domains, profile, level)
	return report.of(assert(policies.new { profile = profile, level = level }), audit_reports.TIME, domains)
end

return audit_reports
