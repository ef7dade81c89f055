-- What TLS can negotiate, as data: versions, cipher suites, groups. Clauses
-- choose by these properties, never by a name. The forbidden is listed too, so
-- that it is a clause that keeps it out and not an omission.
local suites = {}

-- Protocol versions by OpenSSL's names, oldest first.
suites.versions = { "SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" }

suites.version_names = {
	SSLv2 = "SSL 2.0",
	SSLv3 = "SSL 3.0",
	TLSv1 = "TLS 1.0",
	["TLSv1.1"] = "TLS 1.1",
	["TLSv1.2"] = "TLS 1.2",
	["TLSv1.3"] = "TLS 1.3",
}

-- Place of a version in the order of age; nil for what is no known version.
suites.rank = {}
for rank, version in ipairs(suites.versions) do
	suites.rank[version] = rank
end

-- Cipher suites of TLS 1.2 and older. Of equals the first is preferred.
-- IANA name, key exchange, authentication, encryption, bits of strength.
-- The words are those of a connection's facts, so that one predicate serves
-- both a clause's settings and its judge.
local tls12 = {
	{ "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE", "ECDSA", "AES-256-GCM", 256 },
	{ "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE", "RSA", "AES-256-GCM", 256 },
	{ "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE", "ECDSA", "CHACHA20-POLY1305", 256 },
	{ "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE", "RSA", "CHACHA20-POLY1305", 256 },
	{ "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE", "RSA", "AES-256-GCM", 256 },
	{ "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE", "RSA", "CHACHA20-POLY1305", 256 },
	{ "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE", "ECDSA", "AES-128-GCM", 128 },
	{ "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE", "RSA", "AES-128-GCM", 128 },
	{ "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE", "RSA", "AES-128-GCM", 128 },
	{ "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE", "ECDSA", "AES-256-CBC", 256 },
	{ "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE", "RSA", "AES-256-CBC", 256 },
	{ "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE", "ECDSA", "AES-256-CBC", 256 },
	{ "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE", "RSA", "AES-256-CBC", 256 },
	{ "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", "DHE", "RSA", "AES-256-CBC", 256 },
	{ "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "DHE", "RSA", "AES-256-CBC", 256 },
	{ "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE", "ECDSA", "AES-128-CBC", 128 },
	{ "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE", "RSA", "AES-128-CBC", 128 },
	{ "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE", "ECDSA", "AES-128-CBC", 128 },
	{ "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE", "RSA", "AES-128-CBC", 128 },
	{ "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE", "RSA", "AES-128-CBC", 128 },
	{ "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "DHE", "RSA", "AES-128-CBC", 128 },
	{ "TLS_RSA_WITH_AES_256_GCM_SHA384", "RSA", "RSA", "AES-256-GCM", 256 },
	{ "TLS_RSA_WITH_AES_128_GCM_SHA256", "RSA", "RSA", "AES-128-GCM", 128 },
	{ "TLS_RSA_WITH_AES_256_CBC_SHA256", "RSA", "RSA", "AES-256-CBC", 256 },
	{ "TLS_RSA_WITH_AES_256_CBC_SHA", "RSA", "RSA", "AES-256-CBC", 256 },
	{ "TLS_RSA_WITH_AES_128_CBC_SHA256", "RSA", "RSA", "AES-128-CBC", 128 },
	{ "TLS_RSA_WITH_AES_128_CBC_SHA", "RSA", "RSA", "AES-128-CBC", 128 },
	-- under 128 bits: 3DES, DES
	{ "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", "ECDHE", "ECDSA", "DES-EDE3-CBC", 112 },
	{ "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE", "RSA", "DES-EDE3-CBC", 112 },
	{ "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "DHE", "RSA", "DES-EDE3-CBC", 112 },
	{ "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "RSA", "RSA", "DES-EDE3-CBC", 112 },
	{ "TLS_DHE_RSA_WITH_DES_CBC_SHA", "DHE", "RSA", "DES-CBC", 56 },
	{ "TLS_RSA_WITH_DES_CBC_SHA", "RSA", "RSA", "DES-CBC", 56 },
	-- export
	{ "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "DHE", "RSA", "DES-CBC", 40 },
	{ "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", "RSA", "RSA", "DES-CBC", 40 },
	{ "TLS_RSA_EXPORT_WITH_RC4_40_MD5", "RSA", "RSA", "RC4", 40 },
	{ "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", "RSA", "RSA", "RC2-CBC", 40 },
	-- RC4
	{ "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE", "ECDSA", "RC4", 128 },
	{ "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE", "RSA", "RC4", 128 },
	{ "TLS_RSA_WITH_RC4_128_SHA", "RSA", "RSA", "RC4", 128 },
	{ "TLS_RSA_WITH_RC4_128_MD5", "RSA", "RSA", "RC4", 128 },
	-- no encryption
	{ "TLS_ECDHE_ECDSA_WITH_NULL_SHA", "ECDHE", "ECDSA", "NULL", 0 },
	{ "TLS_ECDHE_RSA_WITH_NULL_SHA", "ECDHE", "RSA", "NULL", 0 },
	{ "TLS_RSA_WITH_NULL_SHA256", "RSA", "RSA", "NULL", 0 },
	{ "TLS_RSA_WITH_NULL_SHA", "RSA", "RSA", "NULL", 0 },
	{ "TLS_RSA_WITH_NULL_MD5", "RSA", "RSA", "NULL", 0 },
	-- no certificate
	{ "TLS_DH_anon_WITH_AES_256_GCM_SHA384", "DHE", "anonymous", "AES-256-GCM", 256 },
	{ "TLS_DH_anon_WITH_AES_128_GCM_SHA256", "DHE", "anonymous", "AES-128-GCM", 128 },
	{ "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", "ECDHE", "anonymous", "AES-256-CBC", 256 },
	{ "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "ECDHE", "anonymous", "AES-128-CBC", 128 },
	{ "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-PSK", "PSK", "CHACHA20-POLY1305", 256 },
	{ "TLS_PSK_WITH_AES_128_GCM_SHA256", "PSK", "PSK", "AES-128-GCM", 128 },
}

-- Good ones that hardly anybody needs: not offered, but allowed where the
-- operator lists them himself.
local tls12_on_request = {
	{ "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE", "ECDSA", "AES-256-CCM", 256 },
	{ "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", "ECDHE", "ECDSA", "ARIA-256-GCM", 256 },
	{ "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", "ECDHE", "RSA", "ARIA-256-GCM", 256 },
	{ "TLS_DHE_RSA_WITH_AES_256_CCM", "DHE", "RSA", "AES-256-CCM", 256 },
	{ "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384", "DHE", "RSA", "ARIA-256-GCM", 256 },
	{ "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE", "ECDSA", "AES-128-CCM", 128 },
	{ "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256", "ECDHE", "ECDSA", "ARIA-128-GCM", 128 },
	{ "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", "ECDHE", "RSA", "ARIA-128-GCM", 128 },
	{ "TLS_DHE_RSA_WITH_AES_128_CCM", "DHE", "RSA", "AES-128-CCM", 128 },
	{ "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256", "DHE", "RSA", "ARIA-128-GCM", 128 },
}

-- TLS 1.3: its suites say nothing of key exchange and authentication, which are
-- by ephemeral keys and certificates in every full handshake.
local tls13 = {
	{ "TLS_AES_256_GCM_SHA384", "ECDHE", "certificate", "AES-256-GCM", 256 },
	{ "TLS_CHACHA20_POLY1305_SHA256", "ECDHE", "certificate", "CHACHA20-POLY1305", 256 },
	{ "TLS_AES_128_GCM_SHA256", "ECDHE", "certificate", "AES-128-GCM", 128 },
	-- integrity without encryption (RFC 9150; OpenSSL 3.4 and newer)
	{ "TLS_SHA384_SHA384", "ECDHE", "certificate", "NULL", 0 },
	{ "TLS_SHA256_SHA256", "ECDHE", "certificate", "NULL", 0 },
}

local tls13_on_request = {
	{ "TLS_AES_128_CCM_SHA256", "ECDHE", "certificate", "AES-128-CCM", 128 },
}

-- IANA name, kind, bits. Of a hybrid's parts each would do alone.
local groups = {
	{ "X25519MLKEM768", "hybrid", 253 },
	{ "x25519", "curve", 253 },
	{ "secp256r1", "curve", 256 },
	{ "x448", "curve", 448 },
	{ "secp384r1", "curve", 384 },
	{ "secp521r1", "curve", 521 },
	-- too short
	{ "secp224r1", "curve", 224 },
	{ "secp192r1", "curve", 192 },
}

local groups_on_request = {
	{ "SecP256r1MLKEM768", "hybrid", 256 },
	{ "SecP384r1MLKEM1024", "hybrid", 384 },
	{ "brainpoolP256r1", "curve", 256 },
	{ "brainpoolP384r1", "curve", 384 },
	{ "brainpoolP512r1", "curve", 512 },
	{ "brainpoolP256r1tls13", "curve", 256 },
	{ "brainpoolP384r1tls13", "curve", 384 },
	{ "brainpoolP512r1tls13", "curve", 512 },
	{ "ffdhe2048", "finite field", 2048 },
	{ "ffdhe3072", "finite field", 3072 },
	{ "ffdhe4096", "finite field", 4096 },
	{ "ffdhe6144", "finite field", 6144 },
	{ "ffdhe8192", "finite field", 8192 },
}

local function suite(row, on_request)
	local name, key_exchange, authentication, encryption, bits = row[1], row[2], row[3], row[4], row[5]
	local aead = encryption:find("GCM", 1, true) or encryption:find("CCM", 1, true)
		or encryption:find("POLY1305", 1, true)
	return {
		name = name,
		key_exchange = key_exchange,
		authentication = authentication,
		encryption = encryption,
		bits = bits,
		aead = aead ~= nil,
		forward_secrecy = key_exchange:find("^E?C?DHE") ~= nil,
		-- AEAD, and HMAC with SHA-256 or SHA-384, came with TLS 1.2.
		needs_tls12 = aead ~= nil or name:find("SHA256$") ~= nil or name:find("SHA384$") ~= nil,
		on_request = on_request,
	}
end

local function group(row, on_request)
	return { name = row[1], kind = row[2], bits = row[3], on_request = on_request }
end

local function records(make, offered, on_request)
	local list = {}
	for _, row in ipairs(offered) do
		list[#list + 1] = make(row, false)
	end
	for _, row in ipairs(on_request) do
		list[#list + 1] = make(row, true)
	end
	return list
end

-- Lists of { name, key_exchange, authentication, encryption, bits, aead,
-- forward_secrecy, needs_tls12, on_request }, and of { name, kind, bits, on_request }.
suites.ciphers = records(suite, tls12, tls12_on_request)
suites.ciphersuites = records(suite, tls13, tls13_on_request)
suites.groups = records(group, groups, groups_on_request)

-- A suite of any version by its IANA name.
suites.by_name = {}
for _, list in ipairs({ suites.ciphers, suites.ciphersuites }) do
	for _, record in ipairs(list) do
		suites.by_name[record.name] = record
	end
end

return suites
