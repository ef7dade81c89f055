--- Whole handshakes with the right server name, without one, and with a wrong one; with them the
-- certificates, ALPN, and the version that is chosen of all.
local attempt = require "xmpp_tls_policy.audit.attempt"
local exchange = require "xmpp_tls_policy.audit.exchange"
local observations = require "xmpp_tls_policy.audit.observations"
local rank = require "xmpp_tls_policy.policy.suites".rank
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"
local tls_client = require "xmpp_tls_policy.audit.tls_client"

local names = { name = "names", after = { "versions" } }

-- A name that no domain has: "invalid" is reserved (RFC 6761).
local WRONG_NAME = "xmpp-tls-policy.invalid"

-- The protocols of direct TLS (XEP-0368).
local protocols = { c2s = "xmpp-client", s2s = "xmpp-server" }

-- The alerts of a server that refuses a handshake for its name or protocol.
local refusals = {
	unrecognized_name = true, handshake_failure = true, access_denied = true, no_application_protocol = true,
	certificate_unobtainable = true,
}

-- The result of a handshake: { facts, certificate = DER }, { alert = name }, { closed = true }, or
-- { reason = why there was none }.
local function shake_hands(endpoint, server_name, alpn)
	local client, kind, message, alert = attempt.make(endpoint, function (channel)
		return tls_client.handshake(channel, { server_name = server_name, alpn = alpn, deadline = endpoint:deadline() })
	end)
	if kind == "declined" then
		return { closed = true, reason = "the server closed the connection" }
	elseif not client then
		return { alert = refusals[alert] and alert or nil, reason = exchange.reason(kind, message) }
	end
	local facts = client:facts()
	client:close()
	return { facts = facts, certificate = facts.chain[1] and facts.chain[1]:der() }
end

local function observe_name(result)
	if result.facts then
		return observations.made(true, ("%s with %s"):format(result.facts.version, result.facts.cipher_suite))
	elseif result.alert then
		return observations.made(false, "answered with the alert " .. result.alert)
	elseif result.closed then
		return observations.made(false, "closed the connection, but answered the next hello")
	end
	return observations.untested(result.reason)
end

local function observe_same_certificate(right, missing)
	if not right.certificate or not missing.certificate then
		return observations.untested(right.reason or missing.reason or "the server sent no certificate")
	end
	local same = right.certificate == missing.certificate
	return observations.made(same, same and "the same certificate came with and without a server name"
		or "another certificate came without a server name")
end

local function observe_alpn(endpoint, protocol, right)
	if not endpoint.direct then
		return observations.untested "STARTTLS has no ALPN (XEP-0368)"
	elseif right.alert == "no_application_protocol" then
		return observations.made(false, ("the protocol %s was refused with an alert"):format(protocol))
	elseif not right.facts then
		return observations.untested(right.reason)
	elseif not right.facts.alpn then
		return observations.made(false, ("no protocol was selected; %s was offered"):format(protocol))
	end
	local selected = text.shown(right.facts.alpn)
	return observations.made(true, "selected " .. selected, selected)
end

-- The newest version that `versions` saw accepted; nil if that is not known.
local function newest_accepted(observed)
	local newest
	for version, place in pairs(rank) do
		local seen = observed["version." .. version]
		if seen and seen.seen and (not newest or place > rank[newest]) then
			newest = version
		end
	end
	return newest
end

local function observe_newest(observed, right)
	local newest = newest_accepted(observed)
	if not newest then
		return observations.untested "no version was accepted"
	elseif not right.facts then
		return observations.untested(right.reason)
	end
	local chosen = right.facts.version
	return observations.made(rank[chosen] >= rank[newest], ("of all versions up to TLSv1.3, %s was chosen; the newest "
		.. "that is accepted is %s"):format(chosen, newest))
end

--- Makes the observations of server names (SNI), of ALPN and of the newest version.
function names.run(endpoint, observed)
	local protocol = endpoint.direct and protocols[endpoint.service] or nil
	local right, missing, wrong
	tasks.all {
		function () right = shake_hands(endpoint, endpoint.server_name, protocol) end,
		function () missing = shake_hands(endpoint) end,
		function () wrong = shake_hands(endpoint, WRONG_NAME) end,
	}
	observed.alpn = observe_alpn(endpoint, protocol, right)
	if right.alert == "no_application_protocol" then
		right = shake_hands(endpoint, endpoint.server_name)
	end
	observed["sni.right"], observed["sni.missing"] = observe_name(right), observe_name(missing)
	observed["sni.wrong"] = observe_name(wrong)
	observed["sni.same_certificate"] = observe_same_certificate(right, missing)
	observed["version.newest"] = observe_newest(observed, right)
end

return names
