-- Why a handshake failed, in words for an operator.
local offers = require "xmpp_tls_policy.policy.client_hello"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local refusal = {}

-- What an OpenSSL that refuses has found wanting, by its reason: a field of a clause's
-- settings, and what the peer did.
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

-- What came was no TLS.
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

local function no_trust(what)
	return what .. ("; needs a certificate that it trusts, with the whole chain")
end

-- What a peer's alert says (RFC 8446 6.2).
local alerts = {
	bad_certificate = no_trust "takes the server's certificate for invalid",
	unknown_ca = no_trust "does not know who issued the server's certificate",
	certificate_unknown = no_trust "does not accept the server's certificate",
	certificate_expired = "finds the server's certificate expired; needs a new one, or its own clock set",
	certificate_revoked = "finds the server's certificate revoked; needs a new one",
	unsupported_certificate = "does not support this kind of certificate; needs one with another key or usage",
	certificate_required = "wants a client certificate; needs one that it accepts",
	access_denied = "does not accept the server's certificate for what it is to do",
	protocol_version = "has no TLS version that is allowed here",
	handshake_failure = "has nothing in common with what is allowed here",
	insufficient_security = "wants stronger ciphers than are allowed here",
	unrecognized_name = "does not serve the name that it was asked for",
	no_application_protocol = "does not speak XMPP on that port, by ALPN",
}

-- The level at which the peer would be let in, if that is milder than the policy's.
local function milder_level(policy, is_enough)
	local milder = policy:milder()
	return milder and is_enough(milder) and milder.level or nil
end

-- What would help: what the peer needs (if known), or, for a server, an exception.
local function remedy(given, needed, level)
	local help = { needed }
	if level and given.role == "c2s" then
		help[#help + 1] = ('level = "%s"'):format(level)
	elseif level then
		-- By direct TLS it comes too early to be known.
		help[#help + 1] = given.role == "s2sin" and given.direct_tls and "an exception, and STARTTLS" or "an exception"
	end
	return help[1] and "; needs " .. table.concat(help, " or ") or ""
end

local function about_offer(raw, lack, given)
	local settings, named = given.policy:settings(), offers.named(raw)
	local level = milder_level(given.policy, function (milder)
		return select(2, milder:judge_offer(raw)) == nil
	end)
	if lack == "version" then
		return offers.newest(raw) .. remedy(given, suites.version_names[settings.minimum_version], level)
	elseif lack == "suite" then
		return ("offers no cipher suite that is allowed (%s)%s"):format(text.short_list(named.suites or {}, 4),
			remedy(given, "one such as " .. settings.ciphers[1], level))
	end
	return ("offers no group that is allowed (%s)%s"):format(text.short_list(named.groups or {}, 4),
		remedy(given, "one such as " .. settings.groups[2], level))
end

-- The policy would have had something; the server's own configuration has less.
local function about_configuration(lack, raw)
	local named = offers.named(raw)
	local what = { version = "versions", suite = "suites", group = "groups" }
	return ("offers what the policy allows, but the server's own configuration or certificate does not (%s); "
		.. "needs more in the server's ssl options, or a certificate of the other kind"):format(
		text.short_list(named[what[lack]] or {}, 4))
end

-- The settings in force, as records.
local function allowed_by(settings)
	local allowed = { minimum_version = settings.minimum_version or suites.versions[1] }
	for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
		local present = {}
		for _, name in ipairs(settings[list] or {}) do
			present[name:lower()] = true
		end
		allowed[list] = {}
		for _, record in ipairs(suites[list]) do
			if not settings[list] or present[record.name:lower()] then
				allowed[list][#allowed[list] + 1] = record
			end
		end
	end
	return allowed
end

-- A certificate serves the suites of its own kind only; those of TLS 1.3 have no kind.
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

local function ids_of(breaches)
	local ids = {}
	for index, breach in ipairs(breaches) do
		ids[index] = breach.clause
	end
	return ids
end

local function explain_offer(raw, given)
	if given.policy.mode ~= "report" then
		local breaches, lack = given.policy:judge_offer(raw)
		if lack then
			return about_offer(raw, lack, given), ids_of(breaches)
		end
	end
	local in_force = without_other_keys(allowed_by(given.settings or {}), given.key_type or "RSA")
	local lack = offers.lacks(raw, in_force)
	return lack and about_configuration(lack, raw), {}
end

local function explain_fault(field, what, given)
	if given.policy.mode == "report" then
		return what, {}
	end
	local ids = clauses_that_ask(given.policy, field)
	local level = milder_level(given.policy, function (milder)
		return #clauses_that_ask(milder, field) < #ids
	end)
	return what .. remedy(given, nil, level), ids
end

-- A server that has nothing of what we offer: why, it does not say.
local mismatches = { protocol_version = true, handshake_failure = true, insufficient_security = true }

local function with_exception(what, given)
	if given.role == "s2sout" and given.policy.mode ~= "report" and given.policy:milder() then
		return what .. "; an exception may help"
	end
	return what
end

local function explain_alert(alert, given)
	local what = alerts[alert] or ("ended the handshake with the alert %s"):format(alert)
	return mismatches[alert] and with_exception(what, given) or what
end

-- Why, for a record of core.observer.refusals() (README.md has the shape), and what is
-- known of the context on which it failed: { policy; role = "c2s", "s2sin" or "s2sout";
-- settings in force; key_type of its certificate; direct_tls = whether it is a
-- listener's }. Returns a sentence that goes on from
-- the peer's name, and the list of the ids of the clauses that stood against it.
function refusal.explain(record, given)
	local fault = faults[record.reason or ""]
	if record.alert_sent == false then
		return explain_alert(record.alert, given), {}
	end
	if record.offer then
		local sentence, ids = explain_offer(record.offer, given)
		if sentence then
			return sentence, ids
		end
	end
	if fault then
		return explain_fault(fault[1], fault[2], given)
	elseif other_protocols[record.reason or ""] then
		return other_protocols[record.reason], {}
	elseif record.reason == "unexpected eof while reading" then
		-- As older servers do that have nothing of what we offer.
		return with_exception("closed the connection in the handshake, without an alert", given), {}
	elseif record.reason then
		return ("failed in the handshake (%s)"):format(record.reason), {}
	elseif record.alert then
		return ("was refused with the alert %s"):format(record.alert), {}
	end
	return "went away before the handshake was finished", {}
end

return refusal
