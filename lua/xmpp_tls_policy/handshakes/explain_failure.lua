-- Why a handshake failed, in words for an operator.
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"
local verdict = require "xmpp_tls_policy.policy.verdict"

-- Reason of our OpenSSL for refusing a peer's choice -> the field of a clause's settings that
-- forbids it, and the peer's fault.
local faults = {
	["unsupported protocol"] = { "minimum_version", "chose a TLS version that is not allowed" },
	["wrong ssl version"] = { "minimum_version", "chose a TLS version that is not allowed" },
	["wrong cipher returned"] = { "suite", "chose a cipher suite that is not allowed" },
	["unknown cipher returned"] = { "suite", "chose a cipher suite that is not allowed" },
	["dh key too small"] = { "dh_bits", "showed an ephemeral DH key that is too short" },
	["ee key too small"] = { "security_level", "showed a certificate whose key is too short" },
	["ca key too small"] = { "security_level", "showed a certificate whose issuer's key is too short" },
	["ca md too weak"] = { "security_level", "showed a certificate with a weak signature" },
	["wrong signature type"] = { "security_level", "signed in a way that is not allowed" },
	["wrong curve"] = { "group", "chose a group that is not allowed" },
	["bad ecpoint"] = { "group", "chose a group that is not allowed" },
}

-- Reason of our OpenSSL -> the fault of a peer that does not speak TLS.
local other_protocols = {
	["http request"] = "speaks HTTP",
	["https proxy request"] = "speaks HTTP",
	["wrong version number"] = "sent something that is no TLS",
	["unknown protocol"] = "sent something that is no TLS",
	["packet length too long"] = "sent something that is no TLS",
	["bad record type"] = "sent something that is no TLS",
	["unexpected message"] = "sent something that is no handshake",
	["length mismatch"] = "sent a malformed ClientHello",
}

local function no_trust(fault)
	return fault .. "; needs a certificate that it trusts, with the whole chain"
end

-- The meaning of a peer's alert (rfc8446.6.2.alert-meanings).
local alerts = {
	bad_certificate = no_trust "takes the server's certificate for invalid",
	unknown_ca = no_trust "does not know who issued the server's certificate",
	certificate_unknown = no_trust "does not accept the server's certificate",
	certificate_expired = "finds the server's certificate expired; needs a new one, or its own clock set",
	certificate_revoked = "finds the server's certificate revoked; needs a new one",
	unsupported_certificate = "does not support this kind of certificate; needs one with another key or usage",
	certificate_required = "wants a client certificate; needs one that it accepts",
	access_denied = "does not accept the server's certificate for this purpose",
	protocol_version = "has no TLS version that is allowed here",
	handshake_failure = "has nothing in common with what is allowed here",
	insufficient_security = "wants stronger ciphers than are allowed here",
	unrecognized_name = "does not serve the name that it was asked for",
	no_application_protocol = "does not speak XMPP on that port, by ALPN",
}

-- The name of the next milder level if that is enough for the peer; else nil.
local function milder_level(policy, is_enough)
	local milder = policy:milder()
	return milder and is_enough(milder) and milder.level or nil
end

-- The end of a sentence that names the remedy: `needed` (nil: unknown), or the milder
-- level, or, for a server, an exception; "" if nothing helps.
local function remedy(given, needed, level)
	local help = { needed }
	if level and given.role == "c2s" then
		help[#help + 1] = ('level = "%s"'):format(level)
	elseif level then
		-- Direct TLS ends its handshake before the server names its domain.
		help[#help + 1] = given.role == "s2sin" and given.direct_tls and "an exception, and STARTTLS" or "an exception"
	end
	return help[1] and "; needs " .. table.concat(help, " or ") or ""
end

local function about_client_hello(hello, missing, given)
	local settings, named = given.policy:settings(), client_hello.named(hello)
	local level = milder_level(given.policy, function (milder)
		return select(2, milder:judge_client_hello(hello)) == nil
	end)
	if missing == "version" then
		return client_hello.newest(hello) .. remedy(given, suites.version_names[settings.minimum_version], level)
	elseif missing == "suite" then
		return ("offers no cipher suite that is allowed (%s)%s"):format(text.short_list(named.suites or {}, 4),
			remedy(given, "one such as " .. settings.ciphers[1], level))
	end
	return ("offers no group that is allowed (%s)%s"):format(text.short_list(named.groups or {}, 4),
		remedy(given, "one such as " .. settings.groups[2], level))
end

-- The policy allows some of the ClientHello, and the server's own configuration does not.
local function about_configuration(hello, missing)
	local field = ({ version = "versions", suite = "suites", group = "groups" })[missing]
	return ("offers parameters that the policy allows, but the server's own configuration or certificate does not "
		.. "(%s); "
		.. "needs more in the server's ssl options, or a certificate of the other kind"):format(
		text.short_list(client_hello.named(hello)[field] or {}, 4))
end

-- All that settings in force allow, as records; { } allows everything.
local function allowed_by(settings)
	local allowed = { minimum_version = settings.minimum_version or suites.versions[1] }
	for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
		local is_listed = {}
		for _, name in ipairs(settings[list] or {}) do
			is_listed[name:lower()] = true
		end
		allowed[list] = {}
		for _, record in ipairs(suites[list]) do
			if not settings[list] or is_listed[record.name:lower()] then
				allowed[list][#allowed[list] + 1] = record
			end
		end
	end
	return allowed
end

-- The same without the suites that a certificate's key cannot serve. The suites of TLS 1.3
-- serve every key.
local function without_other_keys(allowed, key_type)
	local authentication = key_type == "RSA" and "RSA" or "ECDSA"
	local ciphers = {}
	for _, suite in ipairs(allowed.ciphers) do
		if suite.authentication == authentication then
			ciphers[#ciphers + 1] = suite
		end
	end
	allowed.ciphers = ciphers
	return allowed
end

local function clauses_that_ask(policy, field)
	local ids = {}
	for _, entry in ipairs(policy.clauses) do
		if entry.enforced and policy:asks(entry.id, field) then
			ids[#ids + 1] = entry.id
		end
	end
	return ids
end

local function explain_client_hello(hello, given)
	if given.policy.mode ~= "report" then
		local breaches, missing = given.policy:judge_client_hello(hello)
		if missing then
			return about_client_hello(hello, missing, given), verdict.clauses(breaches)
		end
	end
	local in_force = without_other_keys(allowed_by(given.settings or {}), given.key_type or "RSA")
	local missing = negotiation.new(in_force):missing(hello)
	return missing and about_configuration(hello, missing), {}
end

local function explain_fault(field, fault, given)
	if given.policy.mode == "report" then
		return fault, {}
	end
	local ids = clauses_that_ask(given.policy, field)
	local level = milder_level(given.policy, function (milder)
		return #clauses_that_ask(milder, field) < #ids
	end)
	return fault .. remedy(given, nil, level), ids
end

-- Alerts of a server that accepts nothing of our ClientHello. They do not say why.
local mismatches = { protocol_version = true, handshake_failure = true, insufficient_security = true }

local function with_exception(fault, given)
	if given.role == "s2sout" and given.policy.mode ~= "report" and given.policy:milder() then
		return fault .. "; an exception may help"
	end
	return fault
end

local function explain_alert(alert, given)
	local meaning = alerts[alert] or ("ended the handshake with the alert %s"):format(alert)
	return mismatches[alert] and with_exception(meaning, given) or meaning
end

-- Explains why a handshake failed.
--   record  one of core.observer.refusals() (README.md has the shape)
--   given   of the context on which it failed: { policy; role = "c2s", "s2sin" or "s2sout";
--           settings = those in force; key_type = of its certificate; direct_tls = whether
--           a listener for direct TLS has the context }
-- Returns a sentence that goes on from the peer's name, and the list of the ids of the
-- clauses that rule out all that the peer offered.
local function explain_failure(record, given)
	if record.alert_sent == false then
		return explain_alert(record.alert, given), {}
	end
	if record.offer then
		local sentence, ids = explain_client_hello(record.offer, given)
		if sentence then
			return sentence, ids
		end
	end
	local reason = record.reason
	if faults[reason or ""] then
		return explain_fault(faults[reason][1], faults[reason][2], given)
	elseif other_protocols[reason or ""] then
		return other_protocols[reason], {}
	elseif reason == "unexpected eof while reading" then
		-- Older servers end a handshake so if they accept nothing of our ClientHello.
		return with_exception("closed the connection in the handshake, without an alert", given), {}
	elseif reason then
		return ("failed in the handshake (%s)"):format(reason), {}
	elseif record.alert then
		return ("was refused with the alert %s"):format(record.alert), {}
	end
	return "went away before the handshake was finished", {}
end

return explain_failure
