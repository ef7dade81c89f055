--- Whether an endpoint signs its handshakes with SHA-1 or MD5, which a hello of TLS 1.2 can ask for. TLS 1.3 does not
-- have them for handshakes.
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local observations = require "xmpp_tls_policy.audit.observations"
local question = require "xmpp_tls_policy.audit.question"

local old_signatures = { name = "old_signatures", after = { "versions" } }

-- Numbers of IANA: the hash in the high byte, RSA, DSA or ECDSA in the low one.
local kinds = {
	["signature.sha1"] = {
		noun = "SHA-1 and MD5", schemes = { 0x0201, 0x0203, 0x0202, 0x0101 },
		names = {
			[0x0201] = "rsa_pkcs1_sha1", [0x0202] = "dsa_sha1", [0x0203] = "ecdsa_sha1", [0x0101] = "rsa_pkcs1_md5",
		},
	},
	["signature.pkcs1"] = {
		noun = "PKCS #1 v1.5 with SHA-2", schemes = { 0x0401, 0x0501, 0x0601 },
		names = { [0x0401] = "rsa_pkcs1_sha256", [0x0501] = "rsa_pkcs1_sha384", [0x0601] = "rsa_pkcs1_sha512" },
	},
}

-- Suites whose handshake is signed.
local signed_suites = hello_lists.filter(hello_lists.tls12, function (name)
	return name:find "^TLS_E?C?DHE_[RED]" ~= nil
end)

local function offer_of(kind)
	return {
		version = "TLSv1.2", signature_schemes = kind.schemes, groups = hello_lists.old_groups, suites = signed_suites,
	}
end

local function observe(kind, answer, reason)
	if not answer then
		return observations.untested(reason)
	elseif not question.is_accepted(answer) then
		return observations.made(false, ("%s a hello that offers only %s for signatures"):format(question.evidence(answer),
			kind.noun))
	elseif not answer.signature_scheme then
		return observations.untested "the server sent no signature with its choice"
	end
	local name = kind.names[answer.signature_scheme]
	return observations.made(name ~= nil, ("signed the handshake with %s"):format(
		name or ("scheme 0x%04X, which was not offered"):format(answer.signature_scheme)), name and { name })
end

--- Observes one of these ("signature.sha1", or "signature.pkcs1", see pkcs1_signatures.lua) by a hello that offers
-- nothing else for signatures.
function old_signatures.look(endpoint, observed, name)
	local kind = kinds[name]
	if observed["version.TLSv1.2"].seen then
		return observe(kind, question.ask(endpoint, offer_of(kind), {}))
	elseif observed["version.TLSv1.3"].seen and observed["version.TLSv1.2"].seen == false then
		return observations.made(false, "TLS 1.2 is refused; TLS 1.3 has no such signatures")
	end
	return observations.untested "TLS 1.2 was not accepted"
end

--- Makes the observation "signature.sha1".
function old_signatures.run(endpoint, observed)
	observed["signature.sha1"] = old_signatures.look(endpoint, observed, "signature.sha1")
end

return old_signatures
