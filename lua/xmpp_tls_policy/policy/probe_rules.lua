--- The rules of the clauses' `probe` (see clauses.lua): functions of what an outsider saw of an endpoint.
-- No clause is named here. A rule is called with
--   observed   name -> observation { seen, value, evidence, reason }, see audit/observations.lua
--   endpoint   { service = "c2s" | "s2s", direct = whether TLS begins at once, direct_announced = whether the
--              domain announces direct TLS for the service (nil: unknown), client = whether the observations are of
--              the server as a client }
--   strict     whether the clause is enforced: a class of suites or versions that it prefers is then all that
--              may be accepted
-- and returns
--   result         "holds", "broken", "not offered" (the endpoint does not do that which the clause restricts)
--                  or "not tested"
--   sentence       about the endpoint
--   observations   the names that decided, a list
--   cause          of "not tested": "inside" (no outsider can see it), "not asked" (the audit did not try) or
--                  "no answer"
-- An observation that was not made never makes a clause hold.
local parts = require "xmpp_tls_policy.policy.probe_parts"
local probe_results = require "xmpp_tls_policy.policy.probe_results"
local suite_rules = require "xmpp_tls_policy.policy.probe_suites"
local suites = require "xmpp_tls_policy.policy.suites"

local outcome, not_tested, missing =
	probe_results.outcome, probe_results.not_tested, probe_results.missing
local is_seen, listed, value_of =
	probe_results.is_seen, probe_results.listed, probe_results.value_of
local unpack = table.unpack or unpack

-- A misspelt rule would be nil, and the clause would have no probe.
local rules = setmetatable({}, {
	__index = function (_, name)
		error("no such rule: " .. tostring(name), 2)
	end,
})
for _, others in ipairs { parts, suite_rules } do
	for name, rule in pairs(others) do
		rules[name] = rule
	end
end

---- Versions ------------------------------------------------------------------

--- The server refuses a version (a name of suites.versions), and does not offer it as a client.
function rules.version_refused(version)
	local name = suites.version_names[version]
	return rules.in_both_roles(rules.refused("version." .. version, name),
		rules.unseen("client.version." .. version, name .. " is offered", name .. " is not offered"))
end

--- A version is accepted, and of two the newer one is chosen.
function rules.version_supported(version)
	local name = suites.version_names[version]
	return rules.all(
		rules.seen("version." .. version, name .. " is refused", name .. " is accepted"),
		rules.seen("version.newest", "an older version than both sides have is chosen",
			"the newest version of both sides is chosen"))
end

---- Certificates --------------------------------------------------------------

--- The certificate has no RSA key of fewer bits.
function rules.rsa_key(least)
	local names = { "certificate.key" }
	return function (observed)
		local key = value_of(observed, names[1])
		local kind, bits = tostring(key.type), tonumber(key.bits)
		local problem = missing(observed, names[1])
		if problem then
			return problem
		elseif not key.type or kind:find "^RSA" and not bits then
			return not_tested("no answer", "the key of the certificate is not known", names)
		elseif not kind:find "^RSA" then
			return outcome("not offered", "the certificate has a key of another kind: " .. listed { kind }, names)
		elseif bits < least then
			return outcome("broken", ("the RSA key has %.0f bits; at least %.0f are needed"):format(bits, least), names)
		end
		return outcome("holds", ("the RSA key has %.0f bits"):format(bits), names)
	end
end

--- The certificate passes a check of clauses on our own (see clauses.lua) of its key or its signature.
function rules.certificate(check)
	local names = { "certificate.key", "certificate.signature" }
	return function (observed)
		local problem = missing(observed, unpack(names))
		if problem then
			return problem
		end
		local key = value_of(observed, names[1])
		local chain = {}
		for index, algorithm in ipairs(value_of(observed, names[2])) do
			chain[index] = { subject = ("certificate %d"):format(index), signature_algorithm = algorithm }
		end
		local certificate = table.remove(chain, 1) or { subject = "certificate 1" }
		certificate.key_type, certificate.key_bits, certificate.curve = key.type, tonumber(key.bits), key.curve
		local fault = check(certificate, chain)
		return fault and outcome("broken", "the certificate " .. fault, names)
			or outcome("holds", "the certificate is as it should be", names)
	end
end

--- The certificate is valid for at most so many days.
function rules.certificate_life(days)
	local names = { "certificate.days_left" }
	return function (observed)
		local life = tonumber(value_of(observed, names[1]).life)
		local problem = missing(observed, names[1])
		if problem then
			return problem
		elseif not life then
			return not_tested("no answer", "the dates of the certificate are not known", names)
		elseif life > days then
			return outcome("broken", ("the certificate is valid for %.0f days; at most %d are wanted"):format(life, days), names)
		end
		return outcome("holds", ("the certificate is valid for %.0f days"):format(life), names)
	end
end

--- Peers that check the certificate against the domain accept it, and the server shows one in every handshake.
rules.identity = rules.all(
	rules.seen("certificate.trusted", "the certificate is not valid for the system's authorities",
		"the certificate is valid"),
	rules.seen("certificate.domain", "the certificate does not cover the domain", "the certificate covers the domain"),
	rules.refused("suites.anonymous", "a handshake without a certificate"))

---- Before TLS ----------------------------------------------------------------

-- STARTTLS, and features that only inform, by their local names; and those that say what a server can do once TLS
-- is there, if it requires TLS.
local is_harmless = { c = true, limits = true, starttls = true }
local waits_for_tls = { dialback = true, bidi = true }

--- Nothing but STARTTLS is offered before TLS. Features that only inform do not count.
function rules.only_starttls(observed)
	local problem = missing(observed, "plaintext.features")
	if problem then
		return problem
	end
	local others, requires_tls = {}, is_seen(observed, "starttls.required")
	for _, name in ipairs(value_of(observed, "plaintext.features")) do
		local feature = tostring(name):match "[^ #}|]*$"
		others[#others + 1] = not is_harmless[feature] and not (requires_tls and waits_for_tls[feature]) and name or nil
	end
	if others[1] then
		return outcome("broken", "more than STARTTLS is offered before TLS: " .. listed(others), { "plaintext.features" })
	elseif is_seen(observed, "plaintext.features") and not value_of(observed, "plaintext.features")[1] then
		return outcome("broken", "more than STARTTLS is offered before TLS", { "plaintext.features" })
	end
	return outcome("holds", "only STARTTLS is offered before TLS", { "plaintext.features" })
end

--- Direct TLS is there: at this endpoint, or the domain announces it.
function rules.direct_tls(observed, endpoint)
	if endpoint.direct then
		local problem
		for _, version in ipairs { "TLSv1.3", "TLSv1.2" } do
			local name = "version." .. version
			if is_seen(observed, name) then
				return outcome("holds", "direct TLS is accepted", { name })
			end
			problem = problem or missing(observed, name)
		end
		return problem or outcome("broken", "direct TLS is not accepted", { "version.TLSv1.3", "version.TLSv1.2" })
	elseif endpoint.direct_announced == nil then
		return not_tested("not asked", "it is not known whether the domain announces direct TLS", {})
	elseif endpoint.direct_announced then
		return outcome("holds", "the domain announces direct TLS", {})
	end
	return outcome("broken", "the domain announces no direct TLS", {})
end

---- Resumption ----------------------------------------------------------------

-- The three ways to resume, and the sentence about each.
local ways = { "resumption.session_id", "resumption.ticket_tls12", "resumption.tls13" }

-- The result where a session cannot be resumed at all, or where that is not known; nil where one can.
local function no_resumption(observed)
	for _, name in ipairs(ways) do
		if is_seen(observed, name) then
			return nil
		end
	end
	return missing(observed, unpack(ways)) or outcome("not offered", "nothing is resumed", ways)
end

--- Sessions are resumed by their IDs, not by tickets that hold them.
function rules.no_stateless_tickets(observed)
	if is_seen(observed, "resumption.ticket_tls12") then
		return outcome("broken", "TLS 1.2 issues tickets", { "resumption.ticket_tls12" })
	elseif is_seen(observed, "resumption.stateless_tls13") then
		return outcome("broken", "the tickets of TLS 1.3 hold the session itself", { "resumption.stateless_tls13" })
	end
	return no_resumption(observed)
		or is_seen(observed, "resumption.tls13") and missing(observed, "resumption.stateless_tls13")
		or missing(observed, "resumption.ticket_tls12")
		or outcome("holds", "sessions are resumed by their IDs", { "resumption.session_id", "resumption.stateless_tls13" })
end

--- The lifetime of tickets has an end. `most`: seconds.
function rules.limited_lifetime(most)
	return function (observed)
		local said
		for _, name in ipairs { "resumption.tls13", "resumption.ticket_tls12" } do
			local lifetime = is_seen(observed, name) and tonumber(value_of(observed, name).lifetime)
			if lifetime and lifetime > most then
				return outcome("broken", ("tickets are valid for %.0f s; at most %.0f are allowed"):format(lifetime, most),
					{ name })
			elseif lifetime and lifetime > 0 then
				said = said or outcome("holds", ("tickets are valid for %.0f s"):format(lifetime), { name })
			end
		end
		return said or no_resumption(observed)
			or not_tested("inside", "the server does not say how long sessions are valid", ways)
	end
end

return rules
