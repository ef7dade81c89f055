-- Each part of each clause by itself: its settings, and its sentences.
local clauses = require "xmpp_tls_policy.policy.clauses"
local policies = require "xmpp_tls_policy.policy"
local verdict = require "xmpp_tls_policy.policy.verdict"

-- A clause stands alone in this profile, whatever its level.
local function alone(id, clause)
	local entry = { clause = id, document = "test", section = "1", level = "MUST", at = "must" }
	return policies.compose({ name = "test", document = "test", entries = { entry } }, "must",
		{ [id] = clause or clauses[id] })
end

local nothing = policies.compose({ name = "test", document = "test", entries = {} }, "must", {}):settings()

local function without(clause, face, part)
	local copy = {}
	for key, value in pairs(clause) do
		copy[key] = value
	end
	if part then
		copy[face] = {}
		for key, value in pairs(clause[face]) do
			copy[face][key] = value
		end
		copy[face][part] = nil
	else
		copy[face] = nil
	end
	return copy
end

local ABSENT = {}

-- The facts of a good TLS 1.2 handshake, changed.
local function facts(changes)
	local all = {
		role = "server",
		version = "TLSv1.2",
		cipher_suite = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		cipher = "ECDHE-RSA-AES256-GCM-SHA384",
		bits = 256,
		aead = true,
		encryption = "AES-256-GCM",
		key_exchange = "ECDHE",
		authentication = "RSA",
		group = "x25519",
		group_bits = 253,
		forward_secrecy = true,
		signature_scheme = "rsa_pss_rsae_sha256",
		compression = false,
		resumed = false,
		extended_master_secret = true,
		secure_renegotiation = true,
		server_name = "example.com",
		alpn = "xmpp-client",
	}
	for key, value in pairs(changes) do
		all[key] = value
		if value == ABSENT then
			all[key] = nil
		end
	end
	return all
end

local function certificate(key_type, key_bits)
	return { facts = function() return { key_type = key_type, key_bits = key_bits } end }
end

-- Suites by their names, so that a slip in the properties of suites.lua shows.
local function named(...)
	local patterns = { ... }
	return function(name)
		for _, pattern in ipairs(patterns) do
			if name:find(pattern) then
				return true
			end
		end
		return false
	end
end

local function except(matches)
	return function(name)
		return not matches(name)
	end
end

local has_aead = named("_GCM_", "_CCM", "POLY1305")

-- id -> the effect of its settings.enforced, alone, on all that TLS knows
local enforced = {
	["version.sslv2"] = { minimum_version = "SSLv3" },
	["version.sslv3"] = { minimum_version = "TLSv1" },
	["version.tls10"] = { minimum_version = "TLSv1.1" },
	["version.tls11"] = { minimum_version = "TLSv1.2" },
	["version.tls12"] = { minimum_version = "TLSv1.2" },
	["cipher.null"] = { removes = named("_NULL_", "^TLS_SHA") },
	["cipher.rc4"] = { removes = named("_RC4_") },
	["cipher.export"] = { removes = named("_EXPORT_", "_WITH_DES_CBC_"), dh_bits = 1024 },
	["cipher.bits112"] = { removes = named("_NULL_", "^TLS_SHA", "_EXPORT_", "_WITH_DES_CBC_") },
	["cipher.bits128"] = {
		removes = named("_NULL_", "^TLS_SHA", "_EXPORT_", "_WITH_DES_CBC_", "_3DES_"),
		removes_groups = named("^secp192r1$", "^secp224r1$"),
	},
	["cipher.aead"] = { removes = except(has_aead) },
	["cipher.cbc"] = { removes = named("_CBC_") },
	["cipher.fs"] = { removes = named("^TLS_RSA_", "^TLS_PSK_") },
	["key.dh2048"] = { dh_bits = 2048, security_level = 2 },
	["key.static-rsa"] = { removes = named("^TLS_RSA_") },
	["key.dhe"] = { removes = named("^TLS_DHE_", "^TLS_DH_anon_") },
	["version.only-tls13"] = { minimum_version = "TLSv1.3" },
	["cipher.gcm-chacha20"] = { removes = except(named("^TLS_ECDHE_E?C?[DR]SA_WITH_AES_%d+_GCM_",
		"^TLS_ECDHE_E?C?[DR]SA_WITH_CHACHA20_", "^TLS_AES_%d+_GCM_SHA%d+$", "^TLS_CHACHA20_POLY1305_SHA256$")) },
	["cipher.aes"] = { removes = except(named("^TLS_E?C?D?H?E?_?E?C?[DR]SA_WITH_AES_%d+_[GC]CM", "^TLS_AES_%d+_[GC]CM_",
		"^TLS_E?C?D?H?E?_?E?C?[DR]SA_WITH_AES_%d+_CBC_")) },
	["cipher.aes-sha2"] = { removes = except(named("^TLS_E?C?DHE_E?C?[DR]SA_WITH_AES_%d+_[GC]CM",
		"^TLS_AES_%d+_[GC]CM_", "^TLS_E?C?DHE_E?C?[DR]SA_WITH_AES_%d+_CBC_SHA%d%d%d$")) },
	["group.brainpool"] = { removes_groups = except(named("^secp256r1$", "^secp384r1$", "^secp521r1$",
		"^brainpool", "^ffdhe3072$", "^ffdhe4096$")) },
	["group.nist"] = { removes_groups = except(named("^secp256r1$", "^secp384r1$", "^secp521r1$", "^ffdhe")) },
	["key.dh3000"] = { dh_bits = 3000, security_level = 2 },
	["group.four"] = { removes_groups = except(named("^X25519MLKEM768$", "^x25519$", "^secp256r1$", "^secp384r1$")) },
	["key.curve224"] = { removes_groups = named("^secp192r1$") },
	["key.rsa2048"] = { security_level = 2 },
	["signature.sha1"] = { security_level = 2 },
	["signature.pss"] = { keeps_schemes = {
		"ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512", "rsa_pss_rsae_sha256",
		"rsa_pss_rsae_sha384", "rsa_pss_rsae_sha512", "rsa_pss_pss_sha256", "rsa_pss_pss_sha384", "rsa_pss_pss_sha512",
	} },
	["cert.identity"] = { removes = named("_anon_", "_PSK_") },
}

-- id -> the effect of its settings.always: switches, and the suites that come first
local always = {
	["cipher.bits256"] = { server_preference = true, first = named("_256_", "CHACHA20", "_256$") },
	["cipher.aead"] = { server_preference = true, first = has_aead },
	["cipher.cbc"] = { server_preference = true, first = except(named("_CBC_")) },
	["cipher.fs"] = { server_preference = true, first = except(named("^TLS_RSA_", "^TLS_PSK_")) },
	["key.ecdhe"] = { server_preference = true, first = except(named("^TLS_DHE_", "^TLS_DH_anon_")) },
	["key.dhe"] = { server_preference = true, first = except(named("^TLS_DHE_", "^TLS_DH_anon_")) },
	["order.aead"] = { server_preference = true, first = has_aead },
	["order.client"] = { client_preference = true },
	["order.chacha20"] = { server_preference = true, chacha20_preference = true },
	["resume.sealed"] = { no_stateless_tickets = true },
	["resume.session-id"] = { no_stateless_tickets = true },
	["renegotiation.secure"] = { no_renegotiation = true },
	["early-data.none"] = { no_early_data = true },
	["compress.tls"] = { no_compression = true },
}

local scalars = { "minimum_version", "maximum_version", "dh_bits", "security_level",
	"server_preference", "client_preference", "chacha20_preference", "no_compression", "no_renegotiation",
	"no_stateless_tickets", "no_early_data" }

-- Clauses that stand alone change nothing but the fields of their case.
local function compare_settings(settings, case)
	for _, field in ipairs(scalars) do
		local expected = case[field]
		if expected == nil then
			expected = nothing[field]
		end
		assert.are.equal(expected, settings[field], field)
	end
	assert.are.same(case.keeps_schemes, settings.signature_schemes)
	for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
		local expected = {}
		local removes, first = case.removes, case.first
		if list == "groups" then
			removes, first = case.removes_groups, nil
		end
		for _, part in ipairs({ true, false }) do
			for _, name in ipairs(nothing[list]) do
				local is_first = not first or first(name)
				if is_first == part and not (removes and removes(name)) then
					expected[#expected + 1] = name
				end
			end
		end
		-- Without a version before TLS 1.3 there is no list of its suites.
		local has_list = list ~= "ciphers" or case.minimum_version ~= "TLSv1.3"
		assert.are.same(has_list and expected or nil, settings[list])
	end
end

local function whole_case(id)
	local case = {}
	for _, part in ipairs({ enforced[id] or {}, always[id] or {} }) do
		for key, value in pairs(part) do
			case[key] = value
		end
	end
	return case
end

local s = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 was negotiated, with "

-- id, changes in good facts, the sentence of the judge (nil: none)
local judged = {
	{ "version.sslv2", { version = "SSLv2" }, "SSL 2.0 was negotiated; a version newer than SSL 2.0 is needed" },
	{ "version.sslv2", { version = "SSLv3" } },
	{ "version.sslv2", { version = ABSENT },
		"an unknown TLS version was negotiated; a version newer than SSL 2.0 is needed" },
	{ "version.sslv3", { version = "SSLv3" }, "SSL 3.0 was negotiated; a version newer than SSL 3.0 is needed" },
	{ "version.sslv3", { version = "TLSv1" } },
	{ "version.sslv3", { version = "TLSv9" },
		"an unknown TLS version was negotiated; a version newer than SSL 3.0 is needed" },
	{ "version.tls10", { version = "TLSv1" }, "TLS 1.0 was negotiated; a version newer than TLS 1.0 is needed" },
	{ "version.tls10", { version = "TLSv1.1" } },
	{ "version.tls10", { version = 3 },
		"an unknown TLS version was negotiated; a version newer than TLS 1.0 is needed" },
	{ "version.tls11", { version = "TLSv1.1" }, "TLS 1.1 was negotiated; a version newer than TLS 1.1 is needed" },
	{ "version.tls11", { version = "TLSv1.2" } },
	{ "version.tls11", { version = ABSENT },
		"an unknown TLS version was negotiated; a version newer than TLS 1.1 is needed" },
	{ "version.tls12", { version = "TLSv1.1" }, "TLS 1.1 was negotiated; TLS 1.2 or newer is needed" },
	{ "version.tls12", { version = "SSLv3" }, "SSL 3.0 was negotiated; TLS 1.2 or newer is needed" },
	{ "version.tls12", { version = ABSENT }, "an unknown TLS version was negotiated; TLS 1.2 or newer is needed" },
	{ "version.tls12", { version = "TLSv1.2" } },
	{ "version.tls12", { version = "TLSv1.3" } },

	{ "version.only-tls13", {}, "TLS 1.2 was negotiated; TLS 1.3 or newer is needed" },
	{ "version.only-tls13", { version = "TLSv1.3" } },
	{ "cipher.gcm-chacha20", { encryption = "AES-256-CCM" },
		s .. "AES-256-CCM encryption; AES-GCM or ChaCha20-Poly1305, before TLS 1.3 with ECDHE, is needed" },
	{ "cipher.gcm-chacha20", { encryption = "ARIA-256-GCM" },
		s .. "ARIA-256-GCM encryption; AES-GCM or ChaCha20-Poly1305, before TLS 1.3 with ECDHE, is needed" },
	{ "cipher.gcm-chacha20", { key_exchange = "DHE" },
		s .. "AES-256-GCM encryption; AES-GCM or ChaCha20-Poly1305, before TLS 1.3 with ECDHE, is needed" },
	{ "cipher.gcm-chacha20", { authentication = "PSK" },
		s .. "AES-256-GCM encryption; AES-GCM or ChaCha20-Poly1305, before TLS 1.3 with ECDHE, is needed" },
	{ "cipher.gcm-chacha20", { key_exchange = "hybrid", version = "TLSv1.3" } },
	{ "cipher.gcm-chacha20", { encryption = "CHACHA20-POLY1305" } },
	{ "cipher.null", { encryption = "NULL" }, s .. "NULL encryption; a cipher that encrypts is needed" },
	{ "cipher.null", { bits = 0 }, s .. "AES-256-GCM encryption; a cipher that encrypts is needed" },
	{ "cipher.null", { encryption = ABSENT }, s .. "unknown encryption; a cipher that encrypts is needed" },
	{ "cipher.null", { encryption = "RC4", bits = 40 } },
	{ "cipher.rc4", { encryption = "RC4", bits = 128 }, s .. "RC4 encryption; any but RC4 is needed" },
	{ "cipher.rc4", { encryption = "RC4-40", bits = 40 }, s .. "RC4-40 encryption; any but RC4 is needed" },
	{ "cipher.rc4", { encryption = ABSENT }, s .. "unknown encryption; any but RC4 is needed" },
	{ "cipher.rc4", { encryption = "NULL" } },
	{ "cipher.export", { bits = 40 }, s .. "40 bits of strength; none of export grade may be used" },
	{ "cipher.export", { bits = 56 }, s .. "56 bits of strength; none of export grade may be used" },
	{ "cipher.export", { bits = ABSENT }, s .. "unknown strength; none of export grade may be used" },
	{ "cipher.export", { key_exchange = "DHE", group = ABSENT, group_bits = 512 },
		"an ephemeral DH key of 512 bits was negotiated; at least 1024 are needed" },
	{ "cipher.export", { key_exchange = "DHE", group = ABSENT, group_bits = 1024 } },
	{ "cipher.export", { bits = 57 } },
	{ "cipher.export", { bits = 112 } },
	{ "cipher.bits112", { bits = 111 }, s .. "111 bits of strength; at least 112 are needed" },
	{ "cipher.bits112", { bits = 0 }, s .. "0 bits of strength; at least 112 are needed" },
	{ "cipher.bits112", { bits = ABSENT }, s .. "unknown strength; at least 112 are needed" },
	{ "cipher.bits112", { bits = 168, encryption = "DES-EDE3-CBC" } },
	{ "cipher.bits128", { bits = 112 }, s .. "112 bits of strength; at least 128 are needed" },
	{ "cipher.bits128", { bits = 168, encryption = "DES-EDE3-CBC" },
		s .. "112 bits of strength; at least 128 are needed" },
	{ "cipher.bits128", { bits = 127 }, s .. "127 bits of strength; at least 128 are needed" },
	{ "cipher.bits128", { bits = "256" }, s .. "unknown strength; at least 128 are needed" },
	{ "cipher.bits128", { bits = 0 / 0 }, s .. "unknown strength; at least 128 are needed" },
	{ "cipher.bits128", { bits = ABSENT, cipher_suite = ABSENT, cipher = ABSENT },
		"an unknown cipher suite was negotiated, with unknown strength; at least 128 are needed" },
	{ "cipher.bits128", { group = "secp192r1", group_bits = 192 },
		"the curve secp192r1 of 192 bits was negotiated; at least 256 are needed" },
	{ "cipher.bits128", { group = "secp224r1", group_bits = 224 },
		"the curve secp224r1 of 224 bits was negotiated; at least 256 are needed" },
	{ "cipher.bits128", { group = "secp256r1", group_bits = 256 } },
	{ "cipher.bits128", { bits = 128 } },
	{ "cipher.aead", { aead = false, encryption = "AES-256-CBC" },
		s .. "AES-256-CBC encryption; authenticated encryption, such as AES-GCM, is needed" },
	{ "cipher.aead", { aead = ABSENT },
		s .. "AES-256-GCM encryption; authenticated encryption, such as AES-GCM, is needed" },
	{ "cipher.cbc", { aead = false, encryption = "AES-256-CBC" },
		s .. "AES-256-CBC encryption; authenticated encryption, such as AES-GCM, is needed" },
	{ "cipher.cbc", { encryption = ABSENT },
		s .. "unknown encryption; authenticated encryption, such as AES-GCM, is needed" },
	{ "cipher.fs", { forward_secrecy = false, key_exchange = "RSA" },
		s .. "RSA key exchange; forward secrecy, by ECDHE or DHE, is needed" },
	{ "cipher.fs", { forward_secrecy = ABSENT, key_exchange = ABSENT },
		s .. "unknown key exchange; forward secrecy, by ECDHE or DHE, is needed" },
	{ "cipher.fs", { key_exchange = "DHE", group_bits = 2048 } },

	{ "key.dh2048", { key_exchange = "DHE", group = ABSENT, group_bits = 1024 },
		"an ephemeral DH key of 1024 bits was negotiated; at least 2048 are needed" },
	{ "key.dh2048", { key_exchange = "DHE", group = ABSENT, group_bits = 2047 },
		"an ephemeral DH key of 2047 bits was negotiated; at least 2048 are needed" },
	{ "key.dh2048", { key_exchange = "DHE", group = ABSENT, group_bits = ABSENT },
		"an ephemeral DH key of unknown length was negotiated; at least 2048 bits are needed" },
	{ "key.dh2048", { key_exchange = "DHE", group = ABSENT, group_bits = 2048 } },
	{ "key.dh2048", { key_exchange = "ECDHE", group_bits = 256 } },
	{ "key.static-rsa", { key_exchange = "RSA" }, s .. "RSA key exchange; an ephemeral one is needed" },
	{ "key.static-rsa", { key_exchange = "RSA-PSK" }, s .. "RSA-PSK key exchange; an ephemeral one is needed" },
	{ "key.static-rsa", { key_exchange = "DHE" } },
	{ "key.static-dh", { key_exchange = "DH" }, s .. "DH key exchange; an ephemeral one is needed" },
	{ "key.static-dh", { key_exchange = "ECDH" }, s .. "ECDH key exchange; an ephemeral one is needed" },
	{ "key.static-dh", { key_exchange = "RSA" } },
	{ "key.static-ffdh", { key_exchange = "DH" }, s .. "DH key exchange; an ephemeral one is needed" },
	{ "key.static-ffdh", { key_exchange = "ECDH" } },
	{ "key.static-ecdh", { key_exchange = "ECDH" }, s .. "ECDH key exchange; an ephemeral one is needed" },
	{ "key.static-ecdh", { key_exchange = "DH" } },
	{ "cert.fixed-dh", { certificate = certificate("DHX", 2048) },
		"the peer's certificate has a key of type DHX; one that can sign is needed" },
	{ "cert.fixed-dh", { certificate = certificate("X25519", 253) },
		"the peer's certificate has a key of type X25519; one that can sign is needed" },
	{ "cert.fixed-dh", { certificate = certificate("EC", 256) } },
	{ "cert.fixed-dh", { certificate = ABSENT } },
	{ "key.dhe", { key_exchange = "DHE" }, s .. "DHE key exchange; ECDHE is needed" },
	{ "key.dhe", { key_exchange = "DHE", version = ABSENT }, s .. "DHE key exchange; ECDHE is needed" },
	{ "key.dhe", { key_exchange = "DHE", version = "TLSv1.3" } },
	{ "cipher.aes", { encryption = "CHACHA20-POLY1305" },
		s .. "CHACHA20-POLY1305 encryption; AES with GCM, CCM or CBC is needed" },
	{ "cipher.aes", { encryption = "AES-128-CCM8" }, s .. "AES-128-CCM8 encryption; AES with GCM, CCM or CBC is needed" },
	{ "cipher.aes", { encryption = ABSENT }, s .. "unknown encryption; AES with GCM, CCM or CBC is needed" },
	{ "cipher.aes", { authentication = "PSK" }, s .. "AES-256-GCM encryption; AES with GCM, CCM or CBC is needed" },
	{ "cipher.aes", { encryption = "AES-256-CBC", key_exchange = "RSA", forward_secrecy = false, aead = false } },
	{ "cipher.aes", { encryption = "AES-128-CCM", version = "TLSv1.3", key_exchange = "hybrid" } },
	{ "cipher.aes-sha2", { forward_secrecy = false },
		s .. "AES-256-GCM encryption; AES with GCM, CCM or CBC, SHA-2 and (EC)DHE is needed" },
	{ "cipher.aes-sha2", { encryption = "ARIA-256-GCM" },
		s .. "ARIA-256-GCM encryption; AES with GCM, CCM or CBC, SHA-2 and (EC)DHE is needed" },
	{ "cipher.aes-sha2", { encryption = "AES-256-CBC", aead = false, cipher_suite = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" },
		"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA was negotiated, with AES-256-CBC encryption; "
			.. "AES with GCM, CCM or CBC, SHA-2 and (EC)DHE is needed" },
	{ "cipher.aes-sha2", { encryption = "AES-256-CBC", aead = false, cipher_suite = ABSENT },
		"ECDHE-RSA-AES256-GCM-SHA384 was negotiated, with AES-256-CBC encryption; "
			.. "AES with GCM, CCM or CBC, SHA-2 and (EC)DHE is needed" },
	{ "cipher.aes-sha2", { encryption = "AES-128-CBC", aead = false,
		cipher_suite = "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256" } },
	{ "cipher.aes-sha2", { authentication = ABSENT, version = "TLSv1.3", resumed = true } },
	{ "group.brainpool", {}, "the group x25519 was negotiated; one of P-256, P-384, P-521, Brainpool's curves of these "
		.. "sizes, ffdhe3072 and ffdhe4096 is needed" },
	{ "group.brainpool", { group = "X25519MLKEM768", key_exchange = "hybrid", version = "TLSv1.3" },
		"the group X25519MLKEM768 was negotiated; one of P-256, P-384, P-521, Brainpool's curves of these "
			.. "sizes, ffdhe3072 and ffdhe4096 is needed" },
	{ "group.brainpool", { group = "brainpoolP384r1" } },
	{ "group.brainpool", { group = ABSENT, key_exchange = "DHE" } },
	{ "group.nist", {}, "the group x25519 was negotiated; one of P-256, P-384, P-521 and the groups ffdhe2048 to "
		.. "ffdhe8192 is needed" },
	{ "group.nist", { group = "secp521r1" } },
	{ "group.nist", { group = "ffdhe2048", key_exchange = "DHE", version = "TLSv1.3" } },
	{ "key.dh3000", { key_exchange = "DHE", group = ABSENT, group_bits = 2048 },
		"an ephemeral DH key of 2048 bits was negotiated; at least 3000 are needed" },
	{ "key.dh3000", { key_exchange = "DHE", group = ABSENT, group_bits = 3072 } },
	{ "group.four", { group = "secp521r1", group_bits = 521 },
		"the group secp521r1 was negotiated; X25519MLKEM768, X25519, P-256 or P-384 is needed" },
	{ "group.four", { group = "ffdhe2048", key_exchange = "DHE", version = "TLSv1.3" },
		"the group ffdhe2048 was negotiated; X25519MLKEM768, X25519, P-256 or P-384 is needed" },
	{ "group.four", { group = "X25519MLKEM768", key_exchange = "hybrid", version = "TLSv1.3" } },
	{ "group.four", { group = ABSENT } },
	{ "key.curve224", { group = "secp192r1", group_bits = 192 },
		"the curve secp192r1 of 192 bits was negotiated; at least 224 are needed" },
	{ "key.curve224", { group = ABSENT, group_bits = 160 },
		"the curve of unknown name of 160 bits was negotiated; at least 224 are needed" },
	{ "key.curve224", { group = "secp224r1", group_bits = 224 } },
	{ "key.curve224", { key_exchange = "DHE", group = ABSENT, group_bits = 200 } },
	{ "key.rsa2048", { role = "client", certificate = certificate("RSA", 1024) },
		"the server's certificate has an RSA key of 1024 bits; at least 2048 are needed" },
	{ "key.rsa2048", { role = "client", certificate = certificate("RSA") },
		"the server's certificate has an RSA key of 0 bits; at least 2048 are needed" },
	{ "key.rsa2048", { role = "client", certificate = certificate("RSA", 2048) } },
	{ "key.rsa2048", { role = "client", certificate = certificate("EC", 256) } },
	{ "key.rsa2048", { role = "server", certificate = certificate("RSA", 1024) } },
	{ "signature.sha1", { signature_scheme = "rsa_pkcs1_sha1" },
		"the handshake was signed with rsa_pkcs1_sha1; SHA-256 or better is needed" },
	{ "signature.sha1", { client_signature_scheme = "ecdsa_sha1" },
		"the handshake was signed with ecdsa_sha1; SHA-256 or better is needed" },
	{ "signature.sha1", { signature_scheme = "rsa_pkcs1_md5_sha1" },
		"the handshake was signed with rsa_pkcs1_md5_sha1; SHA-256 or better is needed" },
	{ "signature.sha1", { signature_scheme = ABSENT } },
	{ "signature.pss", { signature_scheme = "rsa_pkcs1_sha256" }, "the handshake was signed with rsa_pkcs1_sha256; "
		.. "RSASSA-PSS or ECDSA with SHA-256, SHA-384 or SHA-512 is needed" },
	{ "signature.pss", { client_signature_scheme = "rsa_pkcs1_sha512" }, "the handshake was signed with "
		.. "rsa_pkcs1_sha512; RSASSA-PSS or ECDSA with SHA-256, SHA-384 or SHA-512 is needed" },
	{ "signature.pss", { signature_scheme = "ed25519" }, "the handshake was signed with ed25519; RSASSA-PSS or ECDSA "
		.. "with SHA-256, SHA-384 or SHA-512 is needed" },
	{ "signature.pss", { signature_scheme = "ecdsa_sha224" }, "the handshake was signed with ecdsa_sha224; RSASSA-PSS or "
		.. "ECDSA with SHA-256, SHA-384 or SHA-512 is needed" },
	{ "signature.pss", { signature_scheme = "sm2sig_sm3" }, "the handshake was signed with sm2sig_sm3; RSASSA-PSS or "
		.. "ECDSA with SHA-256, SHA-384 or SHA-512 is needed" },
	{ "signature.pss", { signature_scheme = "rsa_pss_pss_sha512", client_signature_scheme = "ecdsa_secp521r1_sha512" } },
	{ "signature.pss", { signature_scheme = ABSENT } },

	{ "resume.psk-dhe", { version = "TLSv1.3", resumed = true, forward_secrecy = false, key_exchange = "PSK" },
		"the session was resumed without a new key exchange; psk_dhe_ke is needed" },
	{ "resume.psk-dhe", { version = "TLSv1.3", resumed = true } },
	{ "resume.psk-dhe", { version = "TLSv1.2", resumed = true, forward_secrecy = false } },
	{ "renegotiation.secure", { secure_renegotiation = false },
		"the peer does not support secure renegotiation; the renegotiation_info extension is needed" },
	{ "renegotiation.secure", { secure_renegotiation = false, version = "TLSv1.3" } },
	{ "renegotiation.secure", { secure_renegotiation = ABSENT } },
	{ "master-secret.extended", { resumed = true, extended_master_secret = false },
		"the session was resumed without the extended master secret; it is needed" },
	{ "master-secret.extended", { resumed = true, extended_master_secret = ABSENT },
		"the session was resumed without the extended master secret; it is needed" },
	{ "master-secret.extended", { extended_master_secret = false } },
	{ "master-secret.extended", { resumed = true, extended_master_secret = ABSENT, version = "TLSv1.3" } },
	{ "compress.tls", { compression = "zlib compression" },
		"TLS compression is on (zlib compression); it has to be off" },
	{ "compress.tls", { compression = ABSENT } },
}

local peer = { domain = "peer.example", service = "xmpp-server" }
local function known(changes)
	local connection = {}
	for _, part in ipairs({ peer, changes }) do
		for key, value in pairs(part) do
			connection[key] = value
		end
	end
	return connection
end

local valid = { verified = true, verify_error = "ok" }
local invalid = { verified = false, verify_error = "self-signed certificate" }

-- changed facts, connection, the sentence of the judge of cert.identity
local identities = {
	{ { authentication = "anonymous" }, nil, s .. "anonymous authentication; a certificate to check is needed" },
	{ { authentication = "PSK" }, nil, s .. "PSK authentication; a certificate to check is needed" },
	{ { authentication = "SRP" }, known {}, s .. "SRP authentication; a certificate to check is needed" },
	{ { authentication = ABSENT, version = "TLSv1.3", resumed = true }, nil },
	{ {}, nil },
	{ {}, known {} },
	{ valid, known { identity = true, authenticated = true } },
	{ invalid, known { identity = true },
		'the certificate shown for "peer.example" is not valid (self-signed certificate); a valid one is needed' },
	{ invalid, known { authenticated = true, identity = true },
		'the certificate shown for "peer.example" is not valid (self-signed certificate); a valid one is needed' },
	{ valid, known { identity = false },
		'the certificate shown for "peer.example" does not cover it; one that does is needed' },
	{ valid, known { authenticated = true },
		'the certificate shown for "peer.example" was not checked; it has to be' },
	{ {}, known { authenticated = true, identity = true },
		'the certificate shown for "peer.example" was not checked; it has to be' },
	{ valid, known { domain = "x\27[2J\n", identity = false },
		'the certificate shown for "x\\027[2J\\010" does not cover it; one that does is needed' },
	-- another proof vouches for the domain, or would
	{ invalid, known { authenticated = true, identity = false, proved_otherwise = true } },
	{ {}, known { authenticated = true, proved_otherwise = true } },
	{ invalid, known { identity = true, proved_otherwise = true },
		'the certificate shown for "peer.example" is not valid (self-signed certificate); a valid one is needed' },
	-- known to be unauthenticated, by dialback for one: unauth.encrypt's concern
	{ invalid, known { identity = false, authenticated = false } },
}
for _, case in ipairs(identities) do
	judged[#judged + 1] = { "cert.identity", case[1], case[3], case[2] }
end

-- usages of the peer's certificate, service, whether it authenticates, the sentence of the judge of cert.server-auth;
-- xep0178.1.server-auth-is-enough
for _, case in ipairs({
	{ { "clientAuth" }, "xmpp-server", true, "the extended key usages of the certificate shown for \"peer.example\" lack "
		.. "serverAuth; a server needs it, and clientAuth is not needed" },
	{ {}, "xmpp-server", true, "the extended key usages of the certificate shown for \"peer.example\" lack "
		.. "serverAuth; a server needs it, and clientAuth is not needed" },
	{ { "serverAuth" }, "xmpp-server", true },
	{ { "clientAuth", "serverAuth" }, "xmpp-server", true },
	{ { "anyExtendedKeyUsage" }, "xmpp-server", true },
	{ nil, "xmpp-server", true },
	{ { "clientAuth" }, "xmpp-server", false },
	{ { "clientAuth" }, "xmpp-client", true },
}) do
	local usages = case[1]
	judged[#judged + 1] = { "cert.server-auth", {
		certificate = { facts = function() return { extended_key_usages = usages } end },
	}, case[4], known { service = case[2], authenticated = case[3], identity = true } }
end

local all_on = {
	minimum_version = "TLSv1.2",
	ciphers = {
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	},
	ciphersuites = { "TLS_AES_256_GCM_SHA384" },
	groups = { "X25519", "secp256r1", "secp384r1" },
}

-- id, changed settings, the sentence about the missing support
local supported = {
	{ "version.tls12", { minimum_version = "TLSv1.3" }, "TLS 1.2 is not offered" },
	{ "version.tls12", { maximum_version = "TLSv1.1", minimum_version = "TLSv1" }, "TLS 1.2 is not offered" },
	{ "version.tls12", { maximum_version = "TLSv1.2" } },
	{ "version.latest", { maximum_version = "TLSv1.2" }, "TLS 1.3 is not offered" },
	{ "version.latest", { maximum_version = "TLSv1.3" } },
	{ "cipher.six", { maximum_version = "TLSv1.2", ciphers = { "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" } },
		"not offered: TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
	{ "cipher.six", {} },
	{ "group.nist", { groups = { "x25519", "secp384r1" } }, "not offered: secp256r1" },
	{ "group.nist", { groups = { "secp384r1", "secp256r1" } } },
	{ "group.four", { groups = { "x25519", "secp384r1" } }, "not offered: secp256r1" },
	{ "group.four", { groups = { "x25519", "secp384r1", "secp256r1" } } },
	{ "cipher.aead", { maximum_version = "TLSv1.2", ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" } },
		"no cipher suite is offered with authenticated encryption" },
	{ "cipher.aead", { minimum_version = "TLSv1", maximum_version = "TLSv1.1" },
		"no cipher suite is offered with authenticated encryption" },
	{ "cipher.aead", { ciphers = {} } },
	{ "cipher.fs", { maximum_version = "TLSv1.2", ciphers = { "TLS_RSA_WITH_AES_128_GCM_SHA256" } },
		"no cipher suite is offered with forward secrecy" },
	{ "cipher.fs", { maximum_version = "TLSv1.2", ciphers = {} },
		"no cipher suite is offered with forward secrecy" },
	{ "cipher.recommended", { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } },
		"not offered: TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, "
			.. "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
	{ "cipher.recommended", { minimum_version = "TLSv1.3" },
		"not offered: TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "
			.. "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
	{ "cipher.ecdhe-gcm", { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } },
		"not offered: TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
			.. "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" },
	-- rfc8446.9.1.secp256r1
	{ "group.secp256r1", { groups = { "x25519" } }, "not offered: secp256r1" },
	{ "group.secp256r1", { groups = { "secp256r1" } } },
	{ "group.recommended", { groups = { "secp384r1" } }, "not offered: secp256r1, x25519" },
	{ "group.recommended", { groups = ABSENT }, "not offered: secp256r1, x25519" },
}

local function settings_with(changes)
	local settings = {}
	for _, part in ipairs({ all_on, changes }) do
		for key, value in pairs(part) do
			settings[key] = value
			if value == ABSENT then
				settings[key] = nil
			end
		end
	end
	return settings
end

local function sorted_ids()
	local ids = {}
	for id in pairs(clauses) do
		ids[#ids + 1] = id
	end
	table.sort(ids)
	return ids
end

local function texts(broken)
	return broken[1] and broken[1].text
end

local known_fields = { id = true, statement = true, held_by = true, settings = true, supports = true, adds = true,
	configuration = true, judge = true, own_certificate = true, probe = true }

describe("the clause table", function()
	it("names each clause by its id, with a statement and nothing unknown", function()
		for id, clause in pairs(clauses) do
			assert.are.equal(id, clause.id)
			assert.is_true(#clause.statement > 0, id)
			for field in pairs(clause) do
				assert.is_true(known_fields[field], id .. " has " .. field)
			end
			for part in pairs(clause.settings or {}) do
				assert.is_true(part == "enforced" or part == "always", id .. " has settings." .. part)
			end
			assert.is_true(clause.held_by == nil or clause.held_by == "stream" or clause.held_by == "server", id)
		end
	end)

	it("leaves no clause without a part that holds it", function()
		for id, clause in pairs(clauses) do
			assert.is_truthy(clause.settings or clause.supports or clause.judge or clause.held_by
				or clause.own_certificate, id)
		end
	end)
end)

local adding = { "cipher.ecdhe-gcm", "cipher.recommended", "cipher.six", "group.four", "group.nist",
	"group.recommended", "group.secp256r1" }

describe("a clause that adds to the server's defaults", function()
	-- As a server reads back whose defaults lack all of it.
	local poor = { minimum_version = "TLSv1.2", maximum_version = "TLSv1.3", ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" },
		ciphersuites = { "TLS_AES_128_GCM_SHA256" }, groups = { "secp521r1" } }

	for _, id in ipairs({ "cipher.recommended", "cipher.ecdhe-gcm", "group.recommended" }) do
		it("has its demand for support met by that, unless the operator wrote the list: " .. id, function()
			local policy = alone(id)
			assert.are.equal(1, #policy:unsupported(poor))
			assert.are.same({}, policy:unsupported(assert(policy:settings_for(poor, {}))))
			local of_operator = { ciphers = true, groups = true }
			assert.are.equal(1, #policy:unsupported(assert(policy:settings_for(poor, of_operator))))
			assert.are.equal(1, #alone(id, without(clauses[id], "adds")):unsupported(assert(
				alone(id, without(clauses[id], "adds")):settings_for(poor, {}))))
		end)
	end

	it("is one of these", function()
		local ids = {}
		for id, clause in pairs(clauses) do
			ids[#ids + 1] = clause.adds and id or nil
		end
		table.sort(ids)
		assert.are.same(adding, ids)
	end)
end)

describe("a clause's settings", function()
	for _, id in ipairs(sorted_ids()) do
		local settings = clauses[id].settings
		if settings then
			it("are those of the case of " .. id, function()
				compare_settings(alone(id):settings(), whole_case(id))
			end)
			it("shut no peer out where " .. id .. " is not enforced", function()
				local entry = { clause = id, document = "test", section = "1", level = "SHOULD", at = "should" }
				local policy = policies.compose({ name = "test", document = "test", entries = { entry } }, "must", clauses)
				compare_settings(policy:settings(), always[id] or {})
			end)
		end
		for _, part in ipairs({ "enforced", "always" }) do
			it(("are missed where settings.%s of %s is removed"):format(part, id), function()
				local case = ({ enforced = enforced, always = always })[part][id]
				assert.are.equal(settings ~= nil and settings[part] ~= nil, case ~= nil)
				if case then
					assert.has_error(function()
						compare_settings(alone(id, without(clauses[id], "settings", part)):settings(), whole_case(id))
					end)
				end
			end)
		end
	end
end)

describe("the judge of", function()
	local seen = {}
	for index, case in ipairs(judged) do
		local id, changes, expected, connection = case[1], case[2], case[3], case[4]
		it(("%s, case %d: %s"):format(id, index, expected or "nothing to say"), function()
			local text = texts(alone(id):judge(facts(changes), connection).broken)
			assert.are.equal(expected, text)
		end)
		seen[id] = seen[id] or expected and { facts(changes), connection }
	end

	for _, id in ipairs(sorted_ids()) do
		it(id .. " is missed where it is removed", function()
			assert.are.equal(clauses[id].judge ~= nil, seen[id] ~= nil)
			if seen[id] then
				local without_judge = alone(id, without(clauses[id], "judge"))
				assert.are.equal(1, #alone(id):judge(seen[id][1], seen[id][2]).broken)
				assert.are.equal(0, #without_judge:judge(seen[id][1], seen[id][2]).broken)
			end
		end)
		if clauses[id].judge then
			it(id .. " has nothing to say of a good connection", function()
				local is_of_offices = id == "group.brainpool" or id == "group.nist"
				assert.are.same({ refuse = false, broken = {} }, alone(id):judge(facts({
					version = id == "version.only-tls13" and "TLSv1.3" or nil,
					group = is_of_offices and "secp256r1" or nil,
				})))
				assert.are.same({ refuse = false, broken = {} }, alone(id):judge(facts({
					version = "TLSv1.3",
					cipher_suite = "TLS_AES_128_GCM_SHA256",
					bits = 128,
					encryption = "AES-128-GCM",
					key_exchange = "hybrid",
					group = is_of_offices and "secp384r1" or "X25519MLKEM768",
					group_bits = ABSENT,
				})))
			end)
		end
	end
end)

-- The facts of a certificate of ours, as Mozilla's modern configuration wants it, changed.
local function own(changes)
	local all = { subject = "CN=a.test", issuer = "CN=Authority", key_type = "EC", key_bits = 256, curve = "secp256r1",
		signature_algorithm = "ecdsa-with-SHA384", not_before = 0, not_after = 90 * 86400 - 1 }
	for field, value in pairs(changes) do
		all[field] = value ~= ABSENT and value or nil
	end
	return all
end

-- id, changes in a good certificate of ours, the sentence (nil: none)
local own_certificates = {
	{ "cert.rsa2048", { key_type = "RSA", key_bits = 2047 }, "has an RSA key of 2047 bits; at least 2048 are needed" },
	{ "cert.rsa2048", { key_type = "RSA-PSS", key_bits = ABSENT },
		"has an RSA key of unknown bits; at least 2048 are needed" },
	{ "cert.rsa2048", { key_type = "RSA", key_bits = 2048 } },
	{ "cert.rsa2048", {} },
	{ "cert.rsa3000", { key_type = "RSA", key_bits = 2999 }, "has an RSA key of 2999 bits; at least 3000 are needed" },
	{ "cert.rsa3000", { key_type = "RSA", key_bits = 3000 } },
	{ "cert.rsa3000", {} },
	{ "cert.ec250", { key_bits = 249 }, "has an EC key of 249 bits; at least 250 are needed" },
	{ "cert.ec250", { key_bits = ABSENT }, "has an EC key of unknown bits; at least 250 are needed" },
	{ "cert.ec250", {} },
	{ "cert.ec250", { key_type = "ECX", key_bits = 1 } },
	{ "cert.rsa-ecdsa", { key_type = "ED25519" }, 'has a key of type "ED25519"; one for RSA or ECDSA is needed' },
	{ "cert.rsa-ecdsa", { key_type = ABSENT }, 'has a key of type "unknown"; one for RSA or ECDSA is needed' },
	{ "cert.rsa-ecdsa", { key_type = "RSA-PSS" } },
	{ "cert.rsa-ecdsa", {} },
	{ "cert.pss", { signature_algorithm = "sha256WithRSAEncryption" },
		'is signed with "sha256WithRSAEncryption", which is PKCS #1 v1.5; RSASSA-PSS or ECDSA is wanted' },
	{ "cert.pss", {}, 'is sent with the certificate of "CN=B", which is signed with "sha384WithRSAEncryption" '
		.. "(PKCS #1 v1.5); RSASSA-PSS or ECDSA is wanted", {
			{ subject = "CN=A", issuer = "CN=B", signature_algorithm = "rsassaPss" },
			{ subject = "CN=B", issuer = "CN=C", signature_algorithm = "sha384WithRSAEncryption" },
		} },
	{ "cert.pss", { signature_algorithm = "rsassaPss" }, nil,
		{ { subject = "CN=C", issuer = "CN=C", signature_algorithm = "sha256WithRSAEncryption" } } },
	{ "cert.pss", {} },
	{ "cert.days1095", { not_after = 1095 * 86400 }, "is valid for 1096 days; at most 1095 are wanted" },
	{ "cert.days1095", { not_after = 1095 * 86400 - 1 } },
	{ "cert.curves", { curve = "secp521r1" }, 'has a key on the curve "secp521r1"; P-256 or P-384 is needed' },
	{ "cert.curves", { curve = ABSENT }, "has a key on an unknown curve; P-256 or P-384 is needed" },
	{ "cert.curves", { curve = "secp384r1" } },
	{ "cert.curves", { key_type = "RSA", curve = ABSENT } },
	{ "cert.ecdsa", { key_type = "RSA" }, 'has a key of type "RSA"; one for ECDSA is needed' },
	{ "cert.ecdsa", {} },
	{ "cert.sha2", { signature_algorithm = "sha384WithRSAEncryption" }, 'is signed with "sha384WithRSAEncryption"; '
		.. "sha256WithRSAEncryption or ecdsa-with-SHA256 or ecdsa-with-SHA384 or ecdsa-with-SHA512 is needed" },
	{ "cert.sha2", { signature_algorithm = "sha256WithRSAEncryption" } },
	{ "cert.sha2", { signature_algorithm = "sha1WithRSAEncryption", issuer = "CN=a.test" } },
	{ "cert.ecdsa-sha2", { signature_algorithm = "sha256WithRSAEncryption" }, 'is signed with "sha256WithRSAEncryption"; '
		.. "ecdsa-with-SHA256 or ecdsa-with-SHA384 or ecdsa-with-SHA512 is needed" },
	{ "cert.ecdsa-sha2", {} },
	-- rfc5280.4.1.2.5.both-ends-count
	{ "cert.days90", { not_after = 90 * 86400 }, "is valid for 91 days; at most 90 are wanted" },
	{ "cert.days90", { not_after = ABSENT }, "is valid for an unknown number of days; at most 90 are wanted" },
	{ "cert.days90", {} },
	{ "cert.days366", { not_after = 366 * 86400 }, "is valid for 367 days; at most 366 are wanted" },
	{ "cert.days366", { not_after = 366 * 86400 - 1 } },
}

describe("the demand on our own certificates of", function()
	local seen = {}
	for index, case in ipairs(own_certificates) do
		local id, changes, expected, chain = case[1], case[2], case[3], case[4]
		it(("%s, case %d: %s"):format(id, index, expected or "is met"), function()
			assert.are.equal(expected, texts(alone(id):judge_own_certificate(own(changes), chain)))
		end)
		seen[id] = seen[id] or expected and changes
	end

	for _, id in ipairs(sorted_ids()) do
		it(id .. " is missed where it is removed", function()
			assert.are.equal(clauses[id].own_certificate ~= nil, seen[id] ~= nil)
			if seen[id] then
				assert.are.same({}, alone(id, without(clauses[id], "own_certificate")):judge_own_certificate(own(seen[id])))
			end
		end)
	end
end)

describe("the support that is demanded by", function()
	local seen = {}
	for index, case in ipairs(supported) do
		local id, changes, expected = case[1], case[2], case[3]
		it(("%s, case %d: %s"):format(id, index, expected or "is there"), function()
			assert.are.equal(expected, texts(alone(id):unsupported(settings_with(changes))))
		end)
		seen[id] = seen[id] or expected and settings_with(changes)
	end

	for _, id in ipairs(sorted_ids()) do
		it(id .. " is missed where its check is removed", function()
			assert.are.equal(clauses[id].supports ~= nil, seen[id] ~= nil)
			if seen[id] then
				assert.are.equal(1, #alone(id):unsupported(seen[id]))
				assert.are.equal(0, #alone(id, without(clauses[id], "supports")):unsupported(seen[id]))
				assert.are.equal(0, #verdict.breaches(verdict.checks(alone(id).clauses, clauses, "supports"), all_on))
			end
		end)
	end
end)
