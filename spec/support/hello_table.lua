-- ClientHellos for specs that compare predictions with OpenSSL: those of clients as they are in use,
-- and some that differ in one point. Rows of { name, settings of a Context of the core }, which really
-- connect, and of { name, offer of client_hello.lua }, which send their hello alone.
local ecdhe_rsa = { gcm256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", gcm128 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	chacha = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", cbc = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
	cbc256 = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384" }
local ecdhe_ecdsa = { gcm256 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	gcm128 = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", cbc = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA" }
local dhe = { gcm256 = "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", gcm128 = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
	cbc = "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" }
local rsa = { gcm256 = "TLS_RSA_WITH_AES_256_GCM_SHA384", gcm128 = "TLS_RSA_WITH_AES_128_GCM_SHA256",
	cbc = "TLS_RSA_WITH_AES_128_CBC_SHA", cbc256 = "TLS_RSA_WITH_AES_256_CBC_SHA" }

local function tls12(suites, groups, more)
	local settings = {
		minimum_version = "TLSv1", maximum_version = "TLSv1.2", ciphers = suites, groups = groups, security_level = 0,
	}
	for name, value in pairs(more or {}) do
		settings[name] = value
	end
	return settings
end

local function tls13(suites, groups, more)
	local settings = tls12({ ecdhe_rsa.gcm128, ecdhe_ecdsa.gcm128 }, groups, { maximum_version = "TLSv1.3",
		minimum_version = "TLSv1.3", ciphersuites = suites })
	for name, value in pairs(more or {}) do
		settings[name] = value
	end
	return settings
end

local both = { minimum_version = "TLSv1.2" }

local clients = {
	{ "of TLS 1.3 and 1.2", tls13(nil, nil, both) },
	{ "of TLS 1.3 alone", tls13() },
	{ "of TLS 1.3 with AES-128 alone", tls13 { "TLS_AES_128_GCM_SHA256" } },
	{ "of TLS 1.3 with ChaCha20 alone", tls13 { "TLS_CHACHA20_POLY1305_SHA256" } },
	{ "of TLS 1.3 with CCM alone", tls13 { "TLS_AES_128_CCM_SHA256" } },
	{ "of TLS 1.3 with CCM, and TLS 1.2", tls13({ "TLS_AES_128_CCM_SHA256" }, nil, both) },
	{ "of TLS 1.3 with P-384 alone", tls13(nil, { "secp384r1" }) },
	{ "of TLS 1.3 with P-521 alone", tls13(nil, { "secp521r1" }) },
	{ "of TLS 1.3 with X448 alone", tls13(nil, { "x448" }) },
	{ "of TLS 1.3 with ffdhe3072 alone", tls13(nil, { "ffdhe3072" }) },
	{ "of TLS 1.3 with ffdhe2048 and P-256", tls13(nil, { "ffdhe2048", "secp256r1" }) },
	{ "with all suites of TLS 1.2", tls12 {
		ecdhe_ecdsa.gcm256, ecdhe_rsa.gcm256, ecdhe_ecdsa.gcm128, ecdhe_rsa.gcm128, dhe.gcm256, dhe.gcm128,
		ecdhe_ecdsa.cbc, ecdhe_rsa.cbc, dhe.cbc, rsa.gcm256, rsa.gcm128, rsa.cbc } },
	{ "that prefers CBC", tls12 { rsa.cbc, ecdhe_rsa.cbc, ecdhe_ecdsa.cbc, ecdhe_rsa.gcm128, ecdhe_ecdsa.gcm128 } },
	{ "of Windows 7", tls12({ ecdhe_ecdsa.gcm256, ecdhe_ecdsa.gcm128, ecdhe_rsa.cbc256, ecdhe_rsa.cbc, rsa.gcm256,
		rsa.gcm128, rsa.cbc256 }, { "secp256r1", "secp384r1" }) },
	{ "of Java 7", tls12 { ecdhe_ecdsa.cbc, ecdhe_rsa.cbc, rsa.cbc, dhe.cbc } },
	{ "with RSA GCM and ECDSA CBC", tls12 { ecdhe_rsa.gcm128, ecdhe_ecdsa.cbc } },
	{ "with ECDSA GCM and RSA CBC", tls12 { ecdhe_ecdsa.gcm128, ecdhe_rsa.cbc } },
	{ "with ECDSA GCM and key transport", tls12 { ecdhe_ecdsa.gcm256, rsa.gcm256 } },
	{ "with DHE alone", tls12 { dhe.gcm256, dhe.gcm128 } },
	{ "with DHE and CBC", tls12 { dhe.cbc, ecdhe_rsa.cbc, ecdhe_ecdsa.cbc } },
	{ "with DHE GCM and ECDHE CBC", tls12 { ecdhe_rsa.cbc, ecdhe_ecdsa.cbc, dhe.gcm128 } },
	{ "with DHE and X448", tls12({ ecdhe_rsa.gcm256, dhe.gcm256 }, { "x448" }) },
	{ "with P-521 alone", tls12({ ecdhe_rsa.gcm256, ecdhe_ecdsa.gcm256 }, { "secp521r1" }) },
	{ "with P-384 alone", tls12({ ecdhe_rsa.gcm256, ecdhe_ecdsa.gcm256 }, { "secp384r1" }) },
	{ "with P-256 alone", tls12({ ecdhe_rsa.gcm256, ecdhe_ecdsa.gcm256 }, { "secp256r1" }) },
	{ "with x25519 alone", tls12({ ecdhe_rsa.gcm256, ecdhe_ecdsa.gcm256 }, { "x25519" }) },
	{ "with a brainpool curve and key transport", tls12({ ecdhe_rsa.gcm128, rsa.gcm128 }, { "brainpoolP256r1" }) },
	{ "with a brainpool curve and P-256", tls12({ ecdhe_rsa.gcm128, ecdhe_ecdsa.gcm128 },
		{ "brainpoolP256r1", "secp256r1" }) },
	{ "with P-224 and CBC", tls12({ ecdhe_rsa.cbc, rsa.cbc }, { "secp224r1" }) },
	{ "with AES-128-GCM and key transport", tls12 { ecdhe_rsa.gcm128, rsa.cbc } },
	{ "with AES-256-GCM alone", tls12 { ecdhe_rsa.gcm256 } },
	{ "with AES-128-GCM alone", tls12 { ecdhe_rsa.gcm128 } },
	{ "with ECDSA alone", tls12 { ecdhe_ecdsa.gcm256, ecdhe_ecdsa.gcm128 } },
	{ "with ChaCha20 alone", tls12 { ecdhe_rsa.chacha } },
	{ "with ARIA alone", tls12 { "TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384" } },
	{ "with CCM alone", tls12 { "TLS_ECDHE_ECDSA_WITH_AES_256_CCM" } },
	{ "with key transport alone", tls12 { rsa.gcm128, rsa.cbc } },
	{ "with key transport and GCM alone", tls12 { rsa.gcm256 } },
	{ "with CBC alone", tls12 { ecdhe_rsa.cbc, ecdhe_ecdsa.cbc } },
	{ "with CBC of SHA-384 alone", tls12 { ecdhe_rsa.cbc256 } },
	{ "with signatures of PKCS #1 v1.5 alone", tls12({ ecdhe_rsa.gcm128, dhe.gcm256, ecdhe_ecdsa.gcm128 }, nil,
		{ signature_schemes = { "rsa_pkcs1_sha256", "rsa_pkcs1_sha512" } }) },
	{ "with signatures of PKCS #1 v1.5 and ECDSA", tls12({ ecdhe_rsa.gcm128, ecdhe_ecdsa.gcm128 }, nil,
		{ signature_schemes = { "rsa_pkcs1_sha256", "ecdsa_secp256r1_sha256" } }) },
	{ "with signatures of PKCS #1 v1.5 before PSS", tls12({ ecdhe_rsa.gcm128, dhe.gcm128 }, nil,
		{ signature_schemes = { "rsa_pkcs1_sha256", "rsa_pss_rsae_sha256" } }) },
	{ "of TLS 1.1 and 1.0", tls12({ ecdhe_rsa.cbc, ecdhe_ecdsa.cbc, rsa.cbc }, nil, { maximum_version = "TLSv1.1" }) },
	{ "of TLS 1.0 with key transport", tls12({ rsa.cbc, rsa.cbc256 }, nil, { maximum_version = "TLSv1" }) },
	{ "of TLS 1.0 with DHE", tls12({ dhe.cbc }, nil, { maximum_version = "TLSv1" }) },
	{ "without encryption", tls12 { "TLS_ECDHE_RSA_WITH_NULL_SHA", "TLS_RSA_WITH_NULL_SHA256" } },
	{ "without encryption, and with it", tls12 { "TLS_RSA_WITH_NULL_SHA256", ecdhe_rsa.gcm128, ecdhe_ecdsa.gcm128 } },
	{ "without a certificate", tls12 { "TLS_DH_anon_WITH_AES_128_GCM_SHA256", "TLS_ECDH_anon_WITH_AES_128_CBC_SHA" } },
	{ "without a certificate, and with one", tls12 { "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", ecdhe_rsa.gcm256,
		ecdhe_ecdsa.gcm256 } },
	{ "with Camellia alone", tls12 { "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA" } },
}

local gcm = { ecdhe_rsa.gcm128, ecdhe_ecdsa.gcm128 }

local hellos = {
	{ "with SHA-1 signatures alone", { suites = gcm, signature_schemes = { 0x0201, 0x0203 } } },
	{ "with SHA-1 signatures and key transport", { suites = { gcm[1], rsa.gcm128 }, signature_schemes = { 0x0201 } } },
	{ "with SHA-224 signatures alone", { suites = gcm, signature_schemes = { 0x0301, 0x0303 } } },
	{ "without signature schemes", { suites = gcm, extensions = { { 13 } } } },
	{ "without signature schemes, and key transport", { suites = { rsa.gcm128, rsa.cbc }, extensions = { { 13 } } } },
	{ "with PSS signatures alone", { suites = gcm, signature_schemes = { 0x0804, 0x0805 } } },
	{ "with ECDSA signatures alone", { suites = gcm, signature_schemes = { 0x0403 } } },
	{ "with PKCS1 signatures alone", { suites = gcm, signature_schemes = { 0x0401 } } },
	{ "without groups", { suites = gcm, extensions = { { 10 } } } },
	{ "without groups, and DHE", { suites = { gcm[1], dhe.gcm128 }, extensions = { { 10 } } } },
	{ "with unknown groups", { suites = gcm, groups = { 0xFEFF } } },
	{ "with finite fields alone", { suites = { gcm[1], dhe.gcm128 }, groups = { "ffdhe2048" } } },
	{ "of TLS 1.3 without its suites", { versions = { "TLSv1.3", "TLSv1.2" }, suites = gcm } },
	{ "of TLS 1.3 with PKCS1 signatures", { versions = { "TLSv1.3" }, suites = { "TLS_AES_128_GCM_SHA256" },
		signature_schemes = { 0x0401 } } },
	{ "of TLS 1.3 with the signatures of P-384", { versions = { "TLSv1.3" }, suites = { "TLS_AES_128_GCM_SHA256" },
		signature_schemes = { 0x0503 } } },
	{ "with unknown suites", { suites = { 0xFEFE, 0xFEFD } } },
	{ "of an unknown version", { version = 0x0300, suites = gcm } },
}

return { clients = clients, hellos = hellos }
