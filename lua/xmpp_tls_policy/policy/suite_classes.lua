--- Classes of cipher suites before TLS 1.3, by their names: the audit observes which of them a server accepts. They
-- have suites that suites.lua has no record of.
local suite_classes = {}

-- Patterns of names -> bits of the encryption. The first that matches counts.
local strengths = {
	{ "_NULL_", 0 }, { "_EXPORT1024_", 56 }, { "_EXPORT", 40 }, { "_EXPORT40_", 40 }, { "_DES_64_", 56 },
	{ "_DES_CBC_", 56 }, { "_3DES_", 112 }, { "_EDE3_", 112 }, { "_256_", 256 }, { "_CHACHA20_", 256 },
	{ "_128_", 128 }, { "_IDEA_", 128 }, { "_SEED_", 128 },
}

--- The bits of a suite's encryption, or nil for a name that does not say them.
function suite_classes.bits(name)
	for _, row in ipairs(strengths) do
		if (name .. "_"):find(row[1], 1, true) then
			return row[2]
		end
	end
end

local function matches(...)
	local patterns = { ... }
	return function (name)
		for _, pattern in ipairs(patterns) do
			if name:find(pattern) then
				return true
			end
		end
		return false
	end
end

local function weaker_than(bits)
	return function (name)
		return suite_classes.bits(name) < bits
	end
end

--- In the order in which they are told: { name of the observation, whether a suite belongs to it, by its name in the
-- list of IANA }.
suite_classes.list = {
	{ "suites.null", matches "_NULL_" },
	{ "suites.rc4", matches "_RC4_" },
	{ "suites.export", matches "_EXPORT" },
	{ "suites.under_112_bits", weaker_than(112) },
	{ "suites.under_128_bits", weaker_than(128) },
	{ "suites.anonymous", matches "_anon_" },
	{ "suites.cbc", matches "_CBC_" },
	{ "suites.rsa_key_transport", matches "^TLS_RSA_" },
	{ "suites.static_dh", matches("^TLS_DH_[RD]S[AS]_", "^TLS_ECDH_[RE]") },
	{ "suites.dhe", matches "^TLS_DHE_" },
	{ "suites.aead", matches("_GCM_", "_CCM", "_POLY1305") },
	{ "suites.forward_secret", matches("^TLS_DHE_", "^TLS_ECDHE_") },
}

return suite_classes
