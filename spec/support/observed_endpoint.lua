-- What an audit sees of a server that keeps all clauses, as one would report it.
local observations = require "xmpp_tls_policy.audit.observations"

local observed_endpoint = {}

-- Names of observations that are true of such a server; those below are not.
local seen = {
	"starttls.offered", "starttls.required", "version.TLSv1.2", "version.TLSv1.3", "version.newest", "suites.aead",
	"suites.forward_secret", "suites.dhe", "suites.server_chooses", "suites.complete",
	"suites.chacha20_first",
	"groups.server_chooses", "groups.hybrid", "groups.complete",
	"renegotiation.secure", "extended_master_secret", "resumption.session_id", "resumption.unclean_close", "sni.right",
	"sni.missing", "sni.wrong", "sni.same_certificate", "tls.mechanisms", "channel_binding.types",
	"certificate.trusted", "certificate.complete", "certificate.ordered", "certificate.domain", "certificate.key",
	"certificate.signature", "certificate.usages",
}

local unseen = {
	"plaintext.features", "plaintext.mechanisms", "plaintext.pipelined", "version.SSLv2", "version.SSLv3",
	"version.TLSv1", "version.TLSv1.1", "suites.null", "suites.rc4", "suites.export", "suites.under_112_bits",
	"suites.under_128_bits", "suites.anonymous", "suites.cbc", "suites.rsa_key_transport", "suites.static_dh",
	"groups.short", "signature.sha1", "signature.pkcs1",
	"compression", "renegotiation.client", "resumption.ticket_tls12", "resumption.stateless_tls13",
	"resumption.psk_without_dhe", "early_data", "alpn", "tls.external", "channel_binding.unsuited",
}

local values = {
	["suites.accepted"] = {
		["TLSv1.2"] = {
			"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
		},
		["TLSv1.3"] = { "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256" },
	},
	["groups.accepted"] = { "X25519MLKEM768", "x25519", "secp256r1" },
	["dhe.bits"] = 2048,
	["resumption.tls13"] = { length = 32, lifetime = 3600 },
	["certificate.key"] = { type = "RSA", bits = 2048 },
	["certificate.days_left"] = { days = 61.5, life = 90, share = 0.68 },
}

--- The observations, as a new table, with `changes`: name -> true, false, a value (which is seen), or a string,
-- the reason why it was not tested. DHE is accepted, so that clauses about it have something to say.
function observed_endpoint.new(changes)
	local observed = {}
	for _, name in ipairs(seen) do
		observed[name] = observations.made(true, "evidence of " .. name, values[name])
	end
	for _, name in ipairs(unseen) do
		observed[name] = observations.made(false, "evidence of " .. name)
	end
	for name, value in pairs(values) do
		observed[name] = observations.made(true, "evidence of " .. name, value)
	end
	for name, change in pairs(changes or {}) do
		if type(change) == "string" then
			observed[name] = observations.untested(change)
		elseif type(change) == "boolean" then
			observed[name] = observations.made(change, "evidence of " .. name)
		else
			observed[name] = observations.made(true, "evidence of " .. name, change)
		end
	end
	return observed
end

return observed_endpoint
