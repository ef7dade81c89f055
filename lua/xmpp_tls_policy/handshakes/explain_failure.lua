-- Why a handshake failed, in words for an operator.
local available = require "xmpp_tls_policy.policy.available"
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local remedies = require "xmpp_tls_policy.handshakes.remedies"
local server_choices = require "xmpp_tls_policy.handshakes.server_choices"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"
local verdict = require "xmpp_tls_policy.policy.verdict"

local rank, version_names = suites.rank, suites.version_names

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
	unrecognized_name = "does not serve the name that it was asked for",
	no_application_protocol = "does not speak XMPP on that port, by ALPN",
}

-- `given` (see explain_failure), whole: a new table. Without settings it is as if the server had none
-- of its own.
local function with_defaults(given)
	local is_reported = given.policy.mode == "report"
	local settings = given.settings or not is_reported and given.policy:settings() or {}
	return {
		policy = given.policy, role = given.role, settings = available.only(settings),
		before = given.before or is_reported and settings or {}, operator = given.operator,
		certificate = given.certificate, direct_tls = given.direct_tls,
	}
end

-- "; needs A or B"; "" without a remedy.
local function needs(...)
	local words = {}
	for index = 1, select("#", ...) do
		words[#words + 1] = (select(index, ...))
	end
	return words[1] and "; needs " .. table.concat(words, " or ") or ""
end

-- ---- offers that we refused --------------------------------------------------------

-- What is missing -> the field of a ClientHello, and its noun.
local parts = {
	suite = { "suites", "cipher suite" },
	group = { "groups", "group" },
	signature = { "signature_schemes", "signature scheme" },
}

-- The fault of a ClientHello. `which`: the kind of thing that would do, "that is allowed".
local function fault_of(hello, missing, which, settings)
	if missing == "version" then
		local oldest, newest = client_hello.oldest(hello), client_hello.newest_versions(hello)
		if newest and settings.maximum_version and rank[newest] > rank[settings.maximum_version] then
			return ("offers nothing older than %s"):format(version_names[oldest])
		end
		return client_hello.newest(hello)
	end
	local field, noun = parts[missing][1], parts[missing][2]
	return ("offers no %s %s (%s)"):format(noun, which, text.short_list(client_hello.named(hello)[field] or {}, 4))
end

local key_names = { RSA = "RSA", ["RSA-PSS"] = "RSA-PSS", EC = "ECDSA", ED25519 = "Ed25519", ED448 = "Ed448" }

-- The kind of thing that would do where the policy alone refuses nothing.
local function what_would_do(hello, given)
	if given.policy.mode ~= "report" and remedies.accepts(given.before, given.certificate, hello) then
		return "that the policy and the server's own configuration both allow"
	end
	return "that the server's own configuration has"
end

-- The server's own configuration or certificate has none of the ClientHello, be it that the policy
-- allows some (`is_allowed`), or that it is in report mode.
local function about_configuration(hello, missing, given, is_allowed)
	local configuration = is_allowed and remedies.of_configuration(hello, given) or nil
	local certificate = not configuration and remedies.of_certificate(hello, given) or nil
	local sentence
	if certificate then
		local key_type = key_names[given.certificate.key_type] or given.certificate.key_type
		local which = ("that goes with the server's %s certificate"):format(key_type)
		sentence = fault_of(hello, missing, which, given.settings)
	elseif missing == "version" then
		sentence = fault_of(hello, missing, nil, given.settings) .. ", which the server's own configuration does not have"
	else
		sentence = fault_of(hello, missing, what_would_do(hello, given), given.settings)
	end
	return sentence .. needs(remedies.of_peer(hello, missing, given), configuration or certificate,
		remedies.of_policy(hello, given))
end

-- The server has no certificate. It may be that the peer has to offer something else, too.
local function about_no_certificate(hello, given)
	local key, words = remedies.of_no_certificate(hello, given)
	local sentence = ("found no certificate, because the server has none here; needs %s in the server's configuration")
		:format(words)
	given.certificate = key
	local rest = remedies.of_peer(hello, nil, given)
	return rest and rest ~= "" and ("%s, and to offer %s"):format(sentence, rest) or sentence
end

-- Fields of settings by which a policy refuses signatures that go with the server's key, and those of the clauses
-- that ask for them (see policy/clauses.lua).
local of_signatures = { security_level = "security_level", signature_schemes = "scheme" }

-- The enforced clauses that refuse a ClientHello only for its signatures with the server's key: a list of ids, nil if
-- the policy does not refuse it so.
local function clauses_on_signatures(hello, given)
	local policy, ids = given.policy, {}
	if remedies.accepts(policy:settings(), given.certificate, hello) then
		return nil
	end
	for field, asked in pairs(of_signatures) do
		local settings = policy:settings()
		settings[field] = nil
		if remedies.accepts(settings, given.certificate, hello) then
			for _, entry in ipairs(policy.clauses) do
				ids[#ids + 1] = entry.enforced and policy:asks(entry.id, asked) and entry.id or nil
			end
		end
	end
	return ids[1] and ids
end

local function explain_client_hello(hello, given)
	local breaches, forbidden = given.policy:judge_client_hello(hello)
	local is_reported = given.policy.mode == "report"
	if given.certificate == false then
		return about_no_certificate(hello, given), is_reported and {} or verdict.clauses(breaches)
	end
	local missing = negotiation.of_settings(given.settings, given.certificate):missing(hello)
	if not missing then
		return nil
	end
	local of_key = not forbidden and clauses_on_signatures(hello, given) or nil
	if is_reported or not forbidden and not of_key then
		return about_configuration(hello, missing, given, not forbidden and not of_key), {}
	end
	return fault_of(hello, missing, "that is allowed", given.settings)
		.. needs(remedies.of_peer(hello, missing, given), remedies.of_policy(hello, given)),
		of_key or verdict.clauses(breaches)
end

-- ---- alerts and other ends ---------------------------------------------------------

-- Alerts of a server that accepts nothing of our ClientHello. They do not say why.
local mismatches = {
	protocol_version = "has no TLS version that is allowed here",
	handshake_failure = "accepts nothing of our offer",
	insufficient_security = "wants stronger ciphers than are allowed here",
}

-- The same alerts of a client: it got our choice, and does not accept it.
local refused_choices = {
	protocol_version = "does not accept the TLS version that was chosen",
	handshake_failure = "does not accept our choice from its offer",
	insufficient_security = "wants stronger ciphers than the one that was chosen",
}

local function with_exception(fault, given)
	return server_choices.exception_offers_more(given) and fault .. "; an exception may help" or fault
end

local function explain_alert(alert, given)
	if given.role == "s2sout" and mismatches[alert] then
		return with_exception(mismatches[alert], given)
	end
	return refused_choices[alert] or alerts[alert] or ("ended the handshake with the alert %s"):format(alert)
end

-- Reasons of our OpenSSL that are about the certificate of this server.
local own_certificate = {
	["ee key too small"] = "the key of the server's certificate is too short for OpenSSL's security level",
	["ca key too small"] = "a key in the chain of the server's certificate is too short for OpenSSL's security level",
	["ca md too weak"] = "a signature in the chain of the server's certificate is too weak for OpenSSL's security level",
}

-- A long ClientHello of ours went out, and not a byte came back.
local function explain_silence(record, given)
	local is_closed = record.reason == "unexpected eof while reading"
	local fault = ("%s our ClientHello of %d bytes, which has a hybrid key share"):format(
		is_closed and "closed the connection at" or "did not answer", record.unanswered)
	if given.policy.mode == "report" then
		return fault
	end
	return ("%s; if a middlebox before it drops long ones, an exception with groups = \"classical\" helps%s"):format(fault,
		is_closed and server_choices.exception_offers_more(given) and '; else one with level = "must" may' or "")
end

local function explain_reason(record, given)
	local reason = record.reason
	if given.role == "s2sout" then
		local sentence, ids = server_choices.explain(reason, given)
		if sentence then
			return sentence, ids
		end
	end
	if own_certificate[reason or ""] then
		return "was shown no certificate, because " .. own_certificate[reason] .. "; needs another certificate here", {}
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

-- Explains why a handshake failed.
--   record  one of core.observer.refusals() (doc/scripting.md has the shape)
--   given   of the context on which it failed:
--     policy
--     role         "c2s", "s2sin" or "s2sout"
--     settings     those in force
--     before       those that the server had made; nil: unknown
--     operator     the lists that the operator wrote (see policy/context_settings.lua)
--     certificate  facts of its own; false: it has none; nil: unknown
--     direct_tls   whether a listener for direct TLS has the context
-- Returns a sentence that goes on from the peer's name, and the list of the ids of the
-- clauses that rule out all that the peer offered.
local function explain_failure(record, given)
	given = with_defaults(given)
	if record.alert_sent == false then
		return explain_alert(record.alert, given), {}
	end
	if record.offer and given.role ~= "s2sout" then
		local sentence, ids = explain_client_hello(record.offer, given)
		if sentence then
			return sentence, ids
		end
	end
	if given.role == "s2sout" and record.unanswered and server_choices.sends_hybrid_share(given.settings) then
		return explain_silence(record, given), {}
	end
	return explain_reason(record, given)
end

return explain_failure
