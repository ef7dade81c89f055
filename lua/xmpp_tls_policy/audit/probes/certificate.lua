--- The certificates that a server shows: certificate.* but certificate.same. The endpoint gets their plain data as
-- `certificate`.
local attempt = require "xmpp_tls_policy.audit.attempt"
local certificates = require "xmpp_tls_policy.audit.certificates"
local exchange = require "xmpp_tls_policy.audit.exchange"
local tls_client = require "xmpp_tls_policy.audit.tls_client"

local certificate = { name = "certificate" }

-- The chain of a handshake; or nil and why there is none.
local function chain_of(endpoint)
	local client, kind, message = attempt.make(endpoint, function (channel)
		return tls_client.handshake(channel, { server_name = endpoint.server_name, deadline = endpoint:deadline() })
	end)
	if not client then
		return nil, exchange.reason(kind, message)
	end
	local chain = client:facts().chain
	client:close()
	return chain
end

--- Takes of the endpoint, beside the usual: trust (certificates.authorities), expected (expected.new) or nil;
-- target, host_dnssec, tlsa, caa as certificates.examine takes them (target: its `host`).
function certificate.run(endpoint, observed)
	local chain, reason = chain_of(endpoint)
	local found
	if chain then
		found, endpoint.certificate = certificates.examine(chain, {
			domain = endpoint.domain, service = endpoint.service, trust = endpoint.trust, now = os.time(),
			host = endpoint.target, host_dnssec = endpoint.host_dnssec, tlsa = endpoint.tlsa, caa = endpoint.caa,
			expected = endpoint.expected,
		})
	else
		found = certificates.untested(reason)
	end
	for name, observation in pairs(found) do
		observed[name] = observation
	end
	-- It compares endpoints.
	observed["certificate.same"] = nil
end

return certificate
