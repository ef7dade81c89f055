-- The versions, cipher suites and groups of TLS, as data. Clauses choose by properties,
-- never by a name. Forbidden ones are listed too, so that a clause rules them out, and not
-- an omission.
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

-- Version -> its place in the order of age; nil for an unknown version.
suites.rank = {}
for rank, version in ipairs(suites.versions) do
	suites.rank[version] = rank
end

-- The versions from one on, oldest first.
function suites.versions_from(oldest)
	local list = {}
	for rank = suites.rank[oldest], #suites.versions do
		list[#list + 1] = suites.versions[rank]
	end
	return list
end

-- The versions by the numbers that the protocol has for them.
suites.versions_by_number = {
	[0x0002] = "SSLv2",
	[0x0300] = "SSLv3",
	[0x0301] = "TLSv1",
	[0x0302] = "TLSv1.1",
	[0x0303] = "TLSv1.2",
	[0x0304] = "TLSv1.3",
}

-- The numbers by OpenSSL's names.
suites.version_numbers = {}
for number, version in pairs(suites.versions_by_number) do
	suites.version_numbers[version] = number
end

-- Cipher suites of TLS 1.2 and older: IANA number and name, key exchange, authentication,
-- encryption, bits of strength. Of equal ones the first is preferred. The words are those
-- of a connection's facts, so that one predicate serves the settings of a clause and its
-- judge.
local tls12 = {
	{ 0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE", "ECDSA", "AES-256-GCM", 256 },
	{ 0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE", "RSA", "AES-256-GCM", 256 },
	{ 0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE", "ECDSA", "CHACHA20-POLY1305", 256 },
	{ 0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE", "RSA", "CHACHA20-POLY1305", 256 },
	{ 0x009F, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "DHE", "RSA", "AES-256-GCM", 256 },
	{ 0xCCAA, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE", "RSA", "CHACHA20-POLY1305", 256 },
	{ 0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE", "ECDSA", "AES-128-GCM", 128 },
	{ 0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE", "RSA", "AES-128-GCM", 128 },
	{ 0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "DHE", "RSA", "AES-128-GCM", 128 },
	{ 0xC024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "ECDHE", "ECDSA", "AES-256-CBC", 256 },
	{ 0xC028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", "ECDHE", "RSA", "AES-256-CBC", 256 },
	{ 0xC00A, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE", "ECDSA", "AES-256-CBC", 256 },
	{ 0xC014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE", "RSA", "AES-256-CBC", 256 },
	{ 0x006B, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", "DHE", "RSA", "AES-256-CBC", 256 },
	{ 0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", "DHE", "RSA", "AES-256-CBC", 256 },
	{ 0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE", "ECDSA", "AES-128-CBC", 128 },
	{ 0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE", "RSA", "AES-128-CBC", 128 },
	{ 0xC009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE", "ECDSA", "AES-128-CBC", 128 },
	{ 0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE", "RSA", "AES-128-CBC", 128 },
	{ 0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", "DHE", "RSA", "AES-128-CBC", 128 },
	{ 0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", "DHE", "RSA", "AES-128-CBC", 128 },
	{ 0x009D, "TLS_RSA_WITH_AES_256_GCM_SHA384", "RSA", "RSA", "AES-256-GCM", 256 },
	{ 0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256", "RSA", "RSA", "AES-128-GCM", 128 },
	{ 0x003D, "TLS_RSA_WITH_AES_256_CBC_SHA256", "RSA", "RSA", "AES-256-CBC", 256 },
	{ 0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", "RSA", "RSA", "AES-256-CBC", 256 },
	{ 0x003C, "TLS_RSA_WITH_AES_128_CBC_SHA256", "RSA", "RSA", "AES-128-CBC", 128 },
	{ 0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA", "RSA", "RSA", "AES-128-CBC", 128 },
	-- under 128 bits: 3DES, DES
	{ 0xC008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", "ECDHE", "ECDSA", "DES-EDE3-CBC", 112 },
	{ 0xC012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "ECDHE", "RSA", "DES-EDE3-CBC", 112 },
	{ 0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", "DHE", "RSA", "DES-EDE3-CBC", 112 },
	{ 0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "RSA", "RSA", "DES-EDE3-CBC", 112 },
	{ 0x0015, "TLS_DHE_RSA_WITH_DES_CBC_SHA", "DHE", "RSA", "DES-CBC", 56 },
	{ 0x0009, "TLS_RSA_WITH_DES_CBC_SHA", "RSA", "RSA", "DES-CBC", 56 },
	-- export
	{ 0x0014, "TLS_DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "DHE", "RSA", "DES-CBC", 40 },
	{ 0x0008, "TLS_RSA_EXPORT_WITH_DES40_CBC_SHA", "RSA", "RSA", "DES-CBC", 40 },
	{ 0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5", "RSA", "RSA", "RC4", 40 },
	{ 0x0006, "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", "RSA", "RSA", "RC2-CBC", 40 },
	-- RC4
	{ 0xC007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "ECDHE", "ECDSA", "RC4", 128 },
	{ 0xC011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "ECDHE", "RSA", "RC4", 128 },
	{ 0x0005, "TLS_RSA_WITH_RC4_128_SHA", "RSA", "RSA", "RC4", 128 },
	{ 0x0004, "TLS_RSA_WITH_RC4_128_MD5", "RSA", "RSA", "RC4", 128 },
	-- no encryption
	{ 0xC006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA", "ECDHE", "ECDSA", "NULL", 0 },
	{ 0xC010, "TLS_ECDHE_RSA_WITH_NULL_SHA", "ECDHE", "RSA", "NULL", 0 },
	{ 0x003B, "TLS_RSA_WITH_NULL_SHA256", "RSA", "RSA", "NULL", 0 },
	{ 0x0002, "TLS_RSA_WITH_NULL_SHA", "RSA", "RSA", "NULL", 0 },
	{ 0x0001, "TLS_RSA_WITH_NULL_MD5", "RSA", "RSA", "NULL", 0 },
	-- no certificate
	{ 0x00A7, "TLS_DH_anon_WITH_AES_256_GCM_SHA384", "DHE", "anonymous", "AES-256-GCM", 256 },
	{ 0x00A6, "TLS_DH_anon_WITH_AES_128_GCM_SHA256", "DHE", "anonymous", "AES-128-GCM", 128 },
	{ 0xC019, "TLS_ECDH_anon_WITH_AES_256_CBC_SHA", "ECDHE", "anonymous", "AES-256-CBC", 256 },
	{ 0xC018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "ECDHE", "anonymous", "AES-128-CBC", 128 },
	{ 0xCCAC, "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-PSK", "PSK", "CHACHA20-POLY1305", 256 },
	{ 0x00A8, "TLS_PSK_WITH_AES_128_GCM_SHA256", "PSK", "PSK", "AES-128-GCM", 128 },
}

-- Good suites that are rarely needed: not offered, but allowed if the operator lists them.
local tls12_on_request = {
	{ 0xC0AD, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE", "ECDSA", "AES-256-CCM", 256 },
	{ 0xC05D, "TLS_ECDHE_ECDSA_WITH_ARIA_256_GCM_SHA384", "ECDHE", "ECDSA", "ARIA-256-GCM", 256 },
	{ 0xC061, "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384", "ECDHE", "RSA", "ARIA-256-GCM", 256 },
	{ 0xC09F, "TLS_DHE_RSA_WITH_AES_256_CCM", "DHE", "RSA", "AES-256-CCM", 256 },
	{ 0xC053, "TLS_DHE_RSA_WITH_ARIA_256_GCM_SHA384", "DHE", "RSA", "ARIA-256-GCM", 256 },
	{ 0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE", "ECDSA", "AES-128-CCM", 128 },
	{ 0xC05C, "TLS_ECDHE_ECDSA_WITH_ARIA_128_GCM_SHA256", "ECDHE", "ECDSA", "ARIA-128-GCM", 128 },
	{ 0xC060, "TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", "ECDHE", "RSA", "ARIA-128-GCM", 128 },
	{ 0xC09E, "TLS_DHE_RSA_WITH_AES_128_CCM", "DHE", "RSA", "AES-128-CCM", 128 },
	{ 0xC052, "TLS_DHE_RSA_WITH_ARIA_128_GCM_SHA256", "DHE", "RSA", "ARIA-128-GCM", 128 },
}

-- Cipher suites of TLS 1.3. They do not name key exchange and authentication
-- (rfc8446.1.2.suite-without-key-exchange): every full handshake has ephemeral keys and
-- certificates.
local tls13 = {
	{ 0x1302, "TLS_AES_256_GCM_SHA384", "ECDHE", "certificate", "AES-256-GCM", 256 },
	{ 0x1303, "TLS_CHACHA20_POLY1305_SHA256", "ECDHE", "certificate", "CHACHA20-POLY1305", 256 },
	{ 0x1301, "TLS_AES_128_GCM_SHA256", "ECDHE", "certificate", "AES-128-GCM", 128 },
	-- rfc9150.1.integrity-only; OpenSSL 3.4 and newer
	{ 0xC0B5, "TLS_SHA384_SHA384", "ECDHE", "certificate", "NULL", 0 },
	{ 0xC0B4, "TLS_SHA256_SHA256", "ECDHE", "certificate", "NULL", 0 },
}

local tls13_on_request = {
	{ 0x1304, "TLS_AES_128_CCM_SHA256", "ECDHE", "certificate", "AES-128-CCM", 128 },
}

-- Groups: IANA number and name, kind, bits. Each part of a hybrid is strong enough alone.
local groups = {
	{ 0x11EC, "X25519MLKEM768", "hybrid", 253 },
	{ 0x001D, "x25519", "curve", 253 },
	{ 0x0017, "secp256r1", "curve", 256 },
	{ 0x001E, "x448", "curve", 448 },
	{ 0x0018, "secp384r1", "curve", 384 },
	{ 0x0019, "secp521r1", "curve", 521 },
	-- too short
	{ 0x0015, "secp224r1", "curve", 224 },
	{ 0x0013, "secp192r1", "curve", 192 },
}

local groups_on_request = {
	{ 0x11EB, "SecP256r1MLKEM768", "hybrid", 256 },
	{ 0x11ED, "SecP384r1MLKEM1024", "hybrid", 384 },
	{ 0x001A, "brainpoolP256r1", "curve", 256 },
	{ 0x001B, "brainpoolP384r1", "curve", 384 },
	{ 0x001C, "brainpoolP512r1", "curve", 512 },
	{ 0x001F, "brainpoolP256r1tls13", "curve", 256 },
	{ 0x0020, "brainpoolP384r1tls13", "curve", 384 },
	{ 0x0021, "brainpoolP512r1tls13", "curve", 512 },
	{ 0x0100, "ffdhe2048", "finite field", 2048 },
	{ 0x0101, "ffdhe3072", "finite field", 3072 },
	{ 0x0102, "ffdhe4096", "finite field", 4096 },
	{ 0x0103, "ffdhe6144", "finite field", 6144 },
	{ 0x0104, "ffdhe8192", "finite field", 8192 },
}

local function suite(row, on_request)
	local name, key_exchange, authentication, encryption, bits = row[2], row[3], row[4], row[5], row[6]
	-- rfc7905.2.chacha20-poly1305
	local aead = encryption:find("GCM", 1, true) or encryption:find("CCM", 1, true)
		or encryption:find("POLY1305", 1, true)
	return {
		number = row[1],
		name = name,
		key_exchange = key_exchange,
		authentication = authentication,
		encryption = encryption,
		bits = bits,
		aead = aead ~= nil,
		forward_secrecy = key_exchange:find("^E?C?DHE") ~= nil,
		-- rfc5246.6.2.3.3.aead-needs-tls12; HMAC with SHA-256 or SHA-384 came with TLS 1.2, too.
		needs_tls12 = aead ~= nil or name:find("SHA256$") ~= nil or name:find("SHA384$") ~= nil,
		on_request = on_request,
	}
end

-- rfc8446.4.2.7.groups-of-tls13: TLS 1.3 dropped the short curves and gave those of Brainpool new
-- numbers. Hybrids and finite fields are groups of TLS 1.3 alone.
local function group(row, on_request)
	local name, kind, bits = row[2], row[3], row[4]
	local is_new, is_brainpool = name:find "tls13$" ~= nil, name:find "^brainpool" ~= nil
	return {
		number = row[1], name = name, kind = kind, bits = bits, on_request = on_request,
		before_tls13 = kind == "curve" and not is_new,
		tls13 = kind ~= "curve" or is_new or not is_brainpool and bits > 224,
	}
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

-- Lists of { number, name, key_exchange, authentication, encryption, bits, aead,
-- forward_secrecy, needs_tls12, on_request }, and of
-- { number, name, kind, bits, on_request, before_tls13, tls13 (whether these versions have it) }.
suites.ciphers = records(suite, tls12, tls12_on_request)
suites.ciphersuites = records(suite, tls13, tls13_on_request)
suites.groups = records(group, groups, groups_on_request)

-- A suite of any version by its IANA name or number; a group by its number, or by its name in lower
-- case.
suites.by_name, suites.by_number, suites.groups_by_number, suites.groups_by_name = {}, {}, {}, {}
for _, list in ipairs({ suites.ciphers, suites.ciphersuites }) do
	for _, record in ipairs(list) do
		suites.by_name[record.name] = record
		suites.by_number[record.number] = record
	end
end
for _, record in ipairs(suites.groups) do
	suites.groups_by_number[record.number] = record
	suites.groups_by_name[record.name:lower()] = record
end

--- The kind of a suite, by its record: whether it has forward secrecy and authenticated encryption, as one word.
function suites.kind_of(record)
	return ("%s %s"):format(tostring(record.forward_secrecy), tostring(record.aead))
end

return suites
