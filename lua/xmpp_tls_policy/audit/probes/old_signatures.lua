--- Whether an endpoint signs its handshakes with SHA-1 or MD5, which a hello of TLS 1.2 can ask for. TLS 1.3 does
-- not have them for handshakes.
local observations = require "xmpp_tls_policy.audit.observations"
local question = require "xmpp_tls_policy.audit.question"
local suite_classes = require "xmpp_tls_policy.audit.suite_classes"

local old_signatures = { name = "old_signatures", after = { "versions" } }

-- Numbers of IANA: the hash in the high byte, RSA, DSA or ECDSA in the low one.
local names = {
	[0x0201] = "rsa_pkcs1_sha1", [0x0202] = "dsa_sha1", [0x0203] = "ecdsa_sha1", [0x0101] = "rsa_pkcs1_md5",
}

local offer = {
	version = "TLSv1.2", signature_schemes = { 0x0201, 0x0203, 0x0202, 0x0101 }, groups = suite_classes.old_groups,
	-- Suites whose handshake is signed.
	suites = suite_classes.filter(suite_classes.tls12, function (name)
		return name:find "^TLS_E?C?DHE_[RED]" ~= nil
	end),
}

local function observe(answer, reason)
	if not answer then
		return observations.untested(reason)
	elseif not question.is_accepted(answer) then
		return observations.made(false, question.evidence(answer) .. " a hello that offers only SHA-1 and MD5 for signatures")
	elseif not answer.signature_scheme then
		return observations.untested "the server sent no signature with its choice"
	end
	local name = names[answer.signature_scheme]
	return observations.made(name ~= nil, ("signed the handshake with %s"):format(
		name or ("scheme 0x%04X, which was not offered"):format(answer.signature_scheme)), name and { name })
end

function old_signatures.run(endpoint, observed)
	if observed["version.TLSv1.2"].seen then
		observed["signature.sha1"] = observe(question.ask(endpoint, offer, {}))
	elseif observed["version.TLSv1.3"].seen and observed["version.TLSv1.2"].seen == false then
		observed["signature.sha1"] = observations.made(false, "TLS 1.2 is refused; TLS 1.3 has no such signatures")
	else
		observed["signature.sha1"] = observations.untested "TLS 1.2 was not accepted"
	end
end

return old_signatures
