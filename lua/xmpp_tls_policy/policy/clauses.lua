-- The clauses: every normative statement that a profile can cite, as data.
--
--   id          stable name, for code, specs, logs and documents
--   statement   the statement in our words, which goes on from a level ("MUST NOT ...")
--   held_by     "stream" or "server": the part of the software that holds a clause which
--               no handshake can hold
-- and, each optional:
--   settings    the settings that the clause asks of a TLS context:
--     enforced    rule peers out, so they apply only if the clause is enforced
--     always      rule no peer out, so they apply at every level
--               Both have: minimum_version, dh_bits, security_level; suite and group,
--               predicates on records of suites.lua; scheme, one on those of
--               signature_schemes.lua; order = { weight, predicate }, which
--               puts the records that fulfil the predicate first (the lower weight of two
--               orders counts more); and the switches of a settings table
--   supports    function(settings) -> nil, or a sentence about the missing support
--   adds        { ciphers, ciphersuites, groups }, lists of names: the server's own defaults are
--               extended by these at every level, as the documents want them supported; the
--               operator's own lists are not
--   own_certificate  function(facts of a certificate that we show, list of the facts of those that are sent
--               after it) -> nil, or a sentence that names the fault and the remedy, without a subject; nobody
--               is refused for it
--   configuration  list of demands on a server's configuration beside its TLS contexts, for
--               servers that do not load this module; see render/demands.lua
--   judge       function(facts, connection) -> nil, or a sentence that names the fault and
--               the remedy
--   probe       function(observed, endpoint, strict) -> result, see probe_rules.lua: how an outsider
--               tests whether a server keeps the clause. Every clause has one; some say that no outsider can
--
-- A judge takes the absence of a fact that every finished handshake has (version, cipher)
-- for a breach. `connection` is the server's knowledge of the connection, or nil:
--   { domain = of the peer, by its own account, service = "xmpp-client" | "xmpp-server",
--     identity = whether its certificate covers the domain (nil: not checked),
--     authenticated = whether the certificate authenticates the peer to the server (false:
--     other means do, such as dialback, or nothing does),
--     proved_otherwise = whether it does so by another proof than a trusted root and its names: a TLSA
--     record (RFC 6698), or a module of the operator }
local probes = require "xmpp_tls_policy.policy.probe_builders"
local rules = require "xmpp_tls_policy.policy.rules"

local four_of_the_draft = {
	"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
}

local four_of_rfc9325 = {
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
}

local recommended_groups = { "secp256r1", "x25519" }

local six_of_mozilla = {
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

-- Hybrids are added in most profiles, where OpenSSL has them.
local curves_of_mozilla = { "x25519", "secp256r1", "secp384r1" }
local is_of_mozilla = rules.is_among { "X25519MLKEM768", "x25519", "secp256r1", "secp384r1" }

local is_of_bsi = rules.is_among {
	"secp256r1", "secp384r1", "secp521r1", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1",
	"brainpoolP256r1tls13", "brainpoolP384r1tls13", "brainpoolP512r1tls13", "ffdhe3072", "ffdhe4096",
}
local KINDS_OF_BSI = "P-256, P-384, P-521, Brainpool's curves of these sizes, ffdhe3072 and ffdhe4096"

local SCHEMES_OF_BSI = "RSASSA-PSS or ECDSA with SHA-256, SHA-384 or SHA-512"

-- NIST's list has P-224 and curves over binary fields, too, which are under 128 bits or which no OpenSSL has in TLS.
local curves_of_nist = { "secp256r1", "secp384r1" }
local is_of_nist = rules.is_among {
	"secp256r1", "secp384r1", "secp521r1", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192",
}
local KINDS_OF_NIST = "P-256, P-384, P-521 and the groups ffdhe2048 to ffdhe8192"

-- OpenSSL's names.
local ecdsa_with_sha2 = { "ecdsa-with-SHA256", "ecdsa-with-SHA384", "ecdsa-with-SHA512" }
local signatures_with_sha2 = {
	"sha256WithRSAEncryption", "ecdsa-with-SHA256", "ecdsa-with-SHA384", "ecdsa-with-SHA512",
}

local offers_starttls = probes.seen("starttls.offered", "STARTTLS is not offered", "STARTTLS is offered")

-- A kind of suites: refused as a server, not offered as a client. `patterns`: of their names.
local function suites_refused(observation, noun, patterns)
	return probes.in_both_roles(probes.refused(observation, noun), probes.not_offered("suites", noun, patterns))
end

local null_refused = suites_refused("suites.null", "NULL encryption", { "_NULL_", "^TLS_SHA" })
local rc4_refused = suites_refused("suites.rc4", "RC4", { "_RC4_" })
local export_refused = suites_refused("suites.export", "export-grade encryption",
	{ "_EXPORT_", "_DES40_", "_WITH_DES_CBC_" })
local under_112_refused = suites_refused("suites.under_112_bits", "encryption under 112 bits",
	{ "_DES_CBC_", "_DES40_", "_EXPORT_", "_NULL_", "^TLS_SHA" })
local under_128_refused = suites_refused("suites.under_128_bits", "encryption under 128 bits",
	{ "_3DES_", "_DES_CBC_", "_DES40_", "_EXPORT_", "_NULL_", "^TLS_SHA" })
local cbc_refused = suites_refused("suites.cbc", "CBC", { "_CBC_" })
local rsa_key_transport_refused = suites_refused("suites.rsa_key_transport", "RSA key transport", { "^TLS_RSA_" })
local static_dh_refused = suites_refused("suites.static_dh", "static (EC)DH",
	{ "^TLS_DH_[RD]S[AS]_", "^TLS_ECDH_[RE]" })

local for_administrators = probes.inside "only an administrator of the server sees it"

-- Seconds. rfc8446.4.6.1.lifetime-seven-days
local LONGEST_LIFETIME = 604800

local TLS12_REFUSED, TLS13_REFUSED = "TLS 1.2 is refused", "TLS 1.3 is refused"

local table_of_clauses = {
	{
		id = "support.offer",
		statement = "an XMPP server offers STARTTLS in its stream features, to clients and to servers",
		held_by = "stream",
		configuration = { "offer_starttls" },
		probe = probes.before_tls(offers_starttls),
	},
	{
		id = "support.required",
		statement = "the STARTTLS offer carries <required/>",
		held_by = "stream",
		configuration = { "require_starttls" },
		probe = probes.before_tls(probes.where("starttls.offered", "STARTTLS is not offered",
			probes.seen("starttls.required", "the offer does not say <required/>", "the offer says <required/>"))),
	},
	{
		id = "support.abort",
		statement = "connecting to a server that offers no STARTTLS: abort, and send nothing further on that stream",
		held_by = "stream",
		probe = probes.seen("client.aborts_without_starttls", "the server goes on without TLS or tries it",
			"the server closes the stream"),
	},
	{
		id = "support.attempt",
		statement = "connecting to a server that offers no STARTTLS: attempt TLS all the same, as the offer "
			.. "may have been stripped",
		held_by = "stream",
		probe = probes.seen("client.attempts_without_starttls", "the server does not try TLS",
			"the server tries TLS"),
	},
	{
		id = "support.flag",
		statement = "depend on <required/>: TLS is negotiated whether or not the peer sent the flag",
		held_by = "stream",
		probe = probes.seen("client.ignores_required", "the server starts TLS only after <required/>",
			"the server starts TLS without <required/> too"),
	},
	{
		id = "support.strict",
		statement = "a strict policy: before TLS, nothing is exchanged but the negotiation of TLS",
		held_by = "stream",
		configuration = { "require_starttls" },
		probe = probes.before_tls(probes.all(
			probes.rule "only_starttls",
			probes.unseen("plaintext.mechanisms", "SASL is offered before TLS", "no SASL is offered before TLS"),
			probes.unseen("plaintext.pipelined", "data that came with <starttls/> is taken for data after TLS",
				"data that came with <starttls/> is not taken for data after TLS"))),
	},
	{
		id = "support.direct",
		statement = "support direct TLS, and prefer it to STARTTLS",
		held_by = "server",
		configuration = { "direct_tls" },
		probe = probes.rule "direct_tls",
	},
	{
		id = "version.sslv2",
		statement = "negotiate SSL 2.0",
		settings = { enforced = { minimum_version = "SSLv3" } },
		judge = rules.not_version("SSLv2"),
		probe = probes.version_refused("SSLv2"),
	},
	{
		id = "version.sslv3",
		statement = "negotiate SSL 3.0",
		settings = { enforced = { minimum_version = "TLSv1" } },
		judge = rules.not_version("SSLv3"),
		probe = probes.version_refused("SSLv3"),
	},
	{
		id = "version.tls10",
		statement = "negotiate TLS 1.0",
		settings = { enforced = { minimum_version = "TLSv1.1" } },
		judge = rules.not_version("TLSv1"),
		probe = probes.version_refused("TLSv1"),
	},
	{
		id = "version.tls11",
		statement = "negotiate TLS 1.1",
		settings = { enforced = { minimum_version = "TLSv1.2" } },
		judge = rules.not_version("TLSv1.1"),
		probe = probes.version_refused("TLSv1.1"),
	},
	{
		id = "version.tls12",
		statement = "support TLS 1.2 and prefer it to anything older",
		settings = { enforced = { minimum_version = "TLSv1.2" } },
		supports = rules.supports_version("TLSv1.2"),
		judge = rules.version_judge("TLSv1.2"),
		probe = probes.strictly(probes.version_supported("TLSv1.2"), probes.version_refused("SSLv3"),
			probes.version_refused("TLSv1"), probes.version_refused("TLSv1.1")),
	},
	{
		id = "version.latest",
		statement = "support the newest TLS there is (today 1.3) and prefer it",
		supports = rules.supports_version("TLSv1.3"),
		probe = probes.version_supported("TLSv1.3"),
	},
	{
		id = "version.only-tls13",
		statement = "negotiate anything older than TLS 1.3",
		settings = { enforced = { minimum_version = "TLSv1.3" } },
		judge = rules.version_judge("TLSv1.3"),
		probe = probes.all(probes.version_refused("SSLv2"), probes.version_refused("SSLv3"),
			probes.version_refused("TLSv1"), probes.version_refused("TLSv1.1"), probes.version_refused("TLSv1.2")),
	},
	{
		id = "cipher.null",
		statement = "NULL encryption",
		settings = { enforced = { suite = rules.encrypts } },
		judge = rules.suite_judge(rules.encrypts, rules.with_encryption,
			"a cipher that encrypts is needed"),
		probe = null_refused,
	},
	{
		id = "cipher.rc4",
		statement = "RC4",
		settings = { enforced = { suite = rules.is_no_rc4 } },
		judge = rules.suite_judge(rules.is_no_rc4, rules.with_encryption, "any but RC4 is needed"),
		probe = rc4_refused,
	},
	{
		-- Export-grade key exchange has at most 512 bits, which Logjam broke. Old software
		-- has 1024 bits at most (draft 4.4).
		id = "cipher.export",
		statement = "export-grade encryption (40 and 56 bits)",
		settings = { enforced = { suite = rules.is_no_export, dh_bits = 1024 } },
		judge = rules.either(
			rules.suite_judge(rules.is_no_export, rules.with_strength, "none of export grade may be used"),
			rules.dh_judge(1024)
		),
		probe = probes.all(export_refused, probes.dhe_bits(1024)),
	},
	{
		id = "cipher.bits112",
		statement = "anything under 112 bits of security",
		settings = { enforced = { suite = rules.has_bits(112) } },
		judge = rules.suite_judge(rules.has_bits(112), rules.with_strength, "at least 112 are needed"),
		probe = under_112_refused,
	},
	{
		id = "cipher.bits128",
		statement = "anything under 128 bits of security, 3DES included whatever it advertises",
		settings = { enforced = { suite = rules.has_bits(128), group = rules.is_long_enough } },
		judge = rules.either(
			rules.suite_judge(rules.has_bits(128), rules.with_strength, "at least 128 are needed"),
			rules.curve_judge(rules.CURVE_OF_128_BITS, 256)
		),
		probe = probes.all(under_128_refused,
			probes.curves_of(rules.CURVE_OF_128_BITS, 256)),
	},
	{
		id = "cipher.bits256",
		statement = "prefer 256 bits or more",
		settings = { always = { server_preference = true, order = { 3, rules.has_bits(256) } } },
		probe = probes.preferred(rules.has_bits(256), { rules.is_forward_secret, rules.is_aead }, "of 256 bits"),
	},
	{
		id = "cipher.aead",
		statement = "authenticated encryption (such as AES-GCM)",
		settings = {
			enforced = { suite = rules.is_aead },
			always = { server_preference = true, order = { 2, rules.is_aead } },
		},
		supports = rules.supports_suite(rules.is_aead, "with authenticated encryption"),
		judge = rules.suite_judge(rules.is_aead, rules.with_encryption,
			"authenticated encryption, such as AES-GCM, is needed"),
		probe = probes.strictly(
			probes.all(probes.suite_supported("suites.aead", "with authenticated encryption"),
				probes.preferred(rules.is_aead, { rules.is_forward_secret }, "with authenticated encryption")),
			cbc_refused, rc4_refused,
			null_refused),
	},
	{
		id = "cipher.cbc",
		statement = "CBC without encrypt-then-MAC; as nobody can rely on encrypt-then-MAC, all CBC",
		settings = {
			enforced = { suite = rules.is_no_cbc },
			always = { server_preference = true, order = { 2, rules.is_no_cbc } },
		},
		judge = rules.suite_judge(rules.is_no_cbc, rules.with_encryption,
			"authenticated encryption, such as AES-GCM, is needed"),
		probe = cbc_refused,
	},
	{
		id = "cipher.fs",
		statement = "forward secrecy (ECDHE, DHE)",
		settings = {
			enforced = { suite = rules.is_forward_secret },
			always = { server_preference = true, order = { 1, rules.is_forward_secret } },
		},
		supports = rules.supports_suite(rules.is_forward_secret, "with forward secrecy"),
		judge = rules.suite_judge(rules.is_forward_secret, rules.with_key_exchange,
			"forward secrecy, by ECDHE or DHE, is needed"),
		probe = probes.strictly(
			probes.all(probes.suite_supported("suites.forward_secret", "with forward secrecy"),
				probes.preferred(rules.is_forward_secret, {}, "with forward secrecy")),
			rsa_key_transport_refused,
			static_dh_refused),
	},
	{
		id = "cipher.recommended",
		statement = "DHE-RSA and ECDHE-RSA, each with AES-128-GCM and AES-256-GCM, each really negotiable",
		supports = rules.supports_all("ciphers", four_of_the_draft, "TLSv1.2"),
		adds = { ciphers = four_of_the_draft },
		probe = probes.suites_supported(four_of_the_draft),
	},
	{
		id = "cipher.ecdhe-gcm",
		statement = "ECDHE-RSA and ECDHE-ECDSA, each with AES-128-GCM and AES-256-GCM, each really negotiable",
		supports = rules.supports_all("ciphers", four_of_rfc9325, "TLSv1.2"),
		adds = { ciphers = four_of_rfc9325 },
		probe = probes.suites_supported(four_of_rfc9325),
	},
	{
		id = "cipher.gcm-chacha20",
		statement = "cipher suites other than AES-GCM and ChaCha20-Poly1305, before TLS 1.3 with ECDHE and a certificate",
		settings = { enforced = { suite = rules.is_gcm_or_chacha20 } },
		judge = rules.suite_judge(rules.is_gcm_or_chacha20, rules.with_encryption,
			"AES-GCM or ChaCha20-Poly1305, before TLS 1.3 with ECDHE, is needed"),
		probe = probes.only_suites(rules.is_gcm_or_chacha20, "AES-GCM or ChaCha20-Poly1305"),
	},
	{
		id = "cipher.aes",
		statement = "cipher suites other than AES with GCM, CCM or CBC and a certificate",
		settings = { enforced = { suite = rules.is_aes } },
		judge = rules.suite_judge(rules.is_aes, rules.with_encryption, "AES with GCM, CCM or CBC is needed"),
		probe = probes.only_suites(rules.is_aes, "AES with GCM, CCM or CBC"),
	},
	{
		id = "cipher.aes-sha2",
		statement = "cipher suites other than AES with GCM, CCM or CBC, SHA-2, (EC)DHE and a certificate",
		settings = { enforced = { suite = rules.is_ephemeral_aes_with_sha2 } },
		judge = rules.suite_judge(rules.is_ephemeral_aes_with_sha2, rules.with_encryption,
			"AES with GCM, CCM or CBC, SHA-2 and (EC)DHE is needed"),
		probe = probes.only_suites(rules.is_ephemeral_aes_with_sha2, "AES, SHA-2 and (EC)DHE"),
	},
	{
		id = "cipher.six",
		statement = "ECDHE-RSA and ECDHE-ECDSA, each with AES-128-GCM, AES-256-GCM and ChaCha20-Poly1305, each "
			.. "really negotiable",
		supports = rules.supports_all("ciphers", six_of_mozilla, "TLSv1.2"),
		adds = { ciphers = six_of_mozilla },
		probe = probes.suites_supported(six_of_mozilla),
	},
	{
		id = "order.aead",
		statement = "prefer authenticated encryption (such as AES-GCM) to CBC",
		settings = { always = { server_preference = true, order = { 2, rules.is_aead } } },
		probe = probes.preferred(rules.is_aead, { rules.is_forward_secret }, "with authenticated encryption"),
	},
	{
		id = "order.client",
		statement = "the client's order of cipher suites decides, as it knows which are fast for it",
		settings = { always = { client_preference = true } },
		probe = probes.unseen("suites.server_chooses", "the server's order of suites decides",
			"the client's order of suites decides"),
	},
	{
		-- Software without instructions for AES is faster with it.
		id = "order.chacha20",
		statement = "ChaCha20-Poly1305 comes first for a client that puts it first; else the server's order decides",
		settings = { always = { server_preference = true, chacha20_preference = true } },
		probe = probes.first_where_asked("suites.chacha20_first", rules.is_chacha20, "ChaCha20-Poly1305"),
	},
	{
		-- OpenSSL's security level 2 asks for keys as strong as DH and RSA of 2048 bits.
		id = "key.dh2048",
		statement = "ephemeral DH of at least 2048 bits, our own and the peer's",
		settings = { enforced = { dh_bits = 2048, security_level = 2 } },
		judge = rules.dh_judge(2048),
		probe = probes.dhe_bits(2048),
	},
	{
		id = "key.dh3000",
		statement = "ephemeral DH of at least 3000 bits, our own and the peer's",
		settings = { enforced = { dh_bits = 3000, security_level = 2 } },
		judge = rules.dh_judge(3000),
		probe = probes.dhe_bits(3000),
	},
	{
		id = "key.ecdhe",
		statement = "prefer ECDHE to DHE",
		settings = { always = { server_preference = true, order = { 4, rules.is_no_dhe } } },
		probe = probes.preferred(rules.is_no_dhe, { rules.is_forward_secret, rules.is_aead, rules.has_bits(256) },
			"without DHE", true),
	},
	{
		id = "key.static-rsa",
		statement = "RSA key transport",
		settings = { enforced = { suite = rules.is_no_static_rsa } },
		judge = rules.suite_judge(rules.is_no_static_rsa, rules.with_key_exchange,
			"an ephemeral one is needed"),
		probe = rsa_key_transport_refused,
	},
	{
		-- No settings: no OpenSSL from 3.0 on has such suites.
		id = "key.static-dh",
		statement = "static DH and static ECDH",
		judge = rules.suite_judge(function(facts)
			return facts.key_exchange ~= "DH" and facts.key_exchange ~= "ECDH"
		end, rules.with_key_exchange, "an ephemeral one is needed"),
		probe = static_dh_refused,
	},
	{
		-- No settings, as above. RFC 10015 forbids static DH, and only discourages static ECDH.
		id = "key.static-ffdh",
		statement = "static DH over a finite field in TLS 1.2",
		judge = rules.suite_judge(function(facts)
			return facts.key_exchange ~= "DH"
		end, rules.with_key_exchange, "an ephemeral one is needed"),
		probe = probes.refused("suites.static_dh", "static DH over a finite field", "^TLS_DH_"),
	},
	{
		id = "key.static-ecdh",
		statement = "static ECDH in TLS 1.2",
		judge = rules.suite_judge(function(facts)
			return facts.key_exchange ~= "ECDH"
		end, rules.with_key_exchange, "an ephemeral one is needed"),
		probe = probes.refused("suites.static_dh", "static ECDH", "^TLS_ECDH_"),
	},
	{
		-- No OpenSSL from 3.0 on takes them in a handshake; the judge does not depend on that.
		id = "cert.fixed-dh",
		statement = "certificates whose key is a DH key",
		judge = rules.judge_signing_key,
		probe = probes.certificate(rules.own_signing_key),
	},
	{
		id = "key.dhe",
		statement = "DHE in TLS 1.2",
		settings = {
			enforced = { suite = rules.is_no_dhe },
			always = { server_preference = true, order = { 4, rules.is_no_dhe } },
		},
		judge = rules.suite_judge(function(facts)
			return rules.is_no_dhe(facts) or not rules.is_before_tls13(facts)
		end, rules.with_key_exchange, "ECDHE is needed"),
		probe = suites_refused("suites.dhe", "DHE in TLS 1.2", { "^TLS_DHE_" }),
	},
	{
		id = "key.curve224",
		statement = "curves of less than 224 bits",
		settings = { enforced = { group = rules.has_224_bits } },
		judge = rules.curve_judge(224, 224),
		probe = probes.curves_of(224, 224),
	},
	{
		id = "key.rsa2048",
		statement = "an RSA key of at least 2048 bits in a server's certificate",
		settings = { enforced = { security_level = 2 } },
		judge = rules.judge_rsa_key,
		probe = probes.rsa_key(2048),
	},
	{
		id = "group.secp256r1",
		statement = "support key exchange with the curve P-256",
		supports = rules.supports_all("groups", { "secp256r1" }),
		adds = { groups = { "secp256r1" } },
		probe = probes.groups_supported { "secp256r1" },
	},
	{
		id = "group.recommended",
		statement = "support the curves P-256 and X25519",
		supports = rules.supports_all("groups", recommended_groups),
		adds = { groups = recommended_groups },
		probe = probes.groups_supported(recommended_groups),
	},
	{
		id = "group.four",
		statement = "groups other than X25519MLKEM768, X25519, P-256 and P-384",
		settings = { enforced = { group = is_of_mozilla } },
		supports = rules.supports_all("groups", curves_of_mozilla),
		adds = { groups = curves_of_mozilla },
		judge = rules.group_judge(is_of_mozilla, "X25519MLKEM768, X25519, P-256 or P-384"),
		probe = probes.only_groups(is_of_mozilla, "X25519MLKEM768, X25519, P-256 and P-384"),
	},
	{
		id = "group.brainpool",
		statement = "groups other than " .. KINDS_OF_BSI,
		settings = { enforced = { group = is_of_bsi } },
		judge = rules.group_judge(is_of_bsi, "one of " .. KINDS_OF_BSI),
		probe = probes.only_groups(is_of_bsi, KINDS_OF_BSI),
	},
	{
		id = "group.nist",
		statement = "groups other than " .. KINDS_OF_NIST,
		settings = { enforced = { group = is_of_nist } },
		supports = rules.supports_all("groups", curves_of_nist),
		adds = { groups = curves_of_nist },
		judge = rules.group_judge(is_of_nist, "one of " .. KINDS_OF_NIST),
		probe = probes.only_groups(is_of_nist, KINDS_OF_NIST),
	},
	{
		id = "cert.rsa2048",
		statement = "a certificate of ours with RSA has a key of at least 2048 bits",
		own_certificate = rules.own_rsa_key(2048),
		probe = probes.certificate(rules.own_rsa_key(2048)),
	},
	{
		id = "cert.rsa3000",
		statement = "a certificate of ours with RSA has a key of at least 3000 bits",
		own_certificate = rules.own_rsa_key(3000),
		probe = probes.certificate(rules.own_rsa_key(3000)),
	},
	{
		id = "cert.ec250",
		statement = "a certificate of ours with ECDSA has a key of at least 250 bits",
		own_certificate = rules.own_ec_key(250),
		probe = probes.certificate(rules.own_ec_key(250)),
	},
	{
		id = "cert.rsa-ecdsa",
		statement = "our certificates have RSA or ECDSA keys",
		own_certificate = rules.own_rsa_or_ecdsa_key,
		probe = probes.certificate(rules.own_rsa_or_ecdsa_key),
	},
	{
		id = "cert.curves",
		statement = "a certificate of ours with ECDSA has a key on P-256 or P-384",
		own_certificate = rules.own_curve,
		probe = probes.certificate(rules.own_curve),
	},
	{
		id = "cert.ecdsa",
		statement = "our certificates have ECDSA keys",
		own_certificate = rules.own_ecdsa_key,
		probe = probes.certificate(rules.own_ecdsa_key),
	},
	{
		id = "cert.sha2",
		statement = "our certificates are signed with SHA-256 and RSA, or with SHA-2 and ECDSA",
		own_certificate = rules.own_signature(signatures_with_sha2),
		probe = probes.certificate(rules.own_signature(signatures_with_sha2)),
	},
	{
		id = "cert.ecdsa-sha2",
		statement = "our certificates are signed with ECDSA and SHA-2",
		own_certificate = rules.own_signature(ecdsa_with_sha2),
		probe = probes.certificate(rules.own_signature(ecdsa_with_sha2)),
	},
	{
		id = "cert.pss",
		statement = "our certificates, and those that are sent with them, are signed with RSASSA-PSS or ECDSA, not with "
			.. "PKCS #1 v1.5",
		own_certificate = rules.own_pss,
		probe = probes.certificate(rules.own_pss),
	},
	{
		id = "cert.server-auth",
		statement = "the certificate by which a server authenticates itself has serverAuth, if it lists usages; nobody "
			.. "needs clientAuth",
		judge = rules.judge_server_auth,
		probe = probes.seen("certificate.usages", "the extended key usages of the certificate lack serverAuth",
			"the certificate is good for servers"),
	},
	{
		id = "cert.days1095",
		statement = "our certificates are valid for at most 1095 days, which are three years",
		own_certificate = rules.own_lifespan(1095),
		probe = probes.certificate_life(1095),
	},
	{
		id = "cert.days366",
		statement = "our certificates are valid for at most 366 days",
		own_certificate = rules.own_lifespan(366),
		probe = probes.certificate_life(366),
	},
	{
		id = "cert.days90",
		statement = "our certificates are valid for at most 90 days",
		own_certificate = rules.own_lifespan(90),
		probe = probes.certificate_life(90),
	},
	{
		id = "signature.sha1",
		statement = "sign with SHA-1 or MD5",
		settings = { enforced = { security_level = 2 } },
		judge = rules.judge_signature,
		probe = probes.all(
			probes.seen("certificate.signature", "a certificate is signed with SHA-1 or MD5",
				"no certificate is signed with SHA-1 or MD5"),
			probes.refused("signature.sha1", "a handshake signed with SHA-1 or MD5")),
	},
	{
		-- The list goes out in the hellos of both roles, and in requests for a client's certificate.
		id = "signature.pss",
		statement = "sign a handshake by another scheme than " .. SCHEMES_OF_BSI,
		settings = { enforced = { scheme = rules.is_pss_or_ecdsa } },
		judge = rules.scheme_judge(rules.is_pss_or_ecdsa, SCHEMES_OF_BSI),
		probe = probes.in_both_roles(
			probes.all(
				probes.certificate(rules.own_rsa_or_ecdsa_key),
				probes.refused("signature.pkcs1", "a handshake signed with PKCS #1 v1.5"),
				probes.refused("signature.sha1", "a handshake signed with SHA-1 or MD5")),
			probes.not_offered("signature_schemes", "PKCS #1 v1.5", { "^rsa_pkcs1_" })),
	},
	{
		id = "cert.identity",
		statement = "check the certificate against the domain: DNS-ID, SRV-ID, XmppAddr",
		settings = { enforced = { suite = rules.has_certificate } },
		judge = rules.judge_identity,
		configuration = { "check_certificates" },
		probe = probes.rule "identity",
	},
	{
		id = "unauth.encrypt",
		statement = "server to server: encrypted but unauthenticated, with dialback, where the operator allows "
			.. "it; always shown as unauthenticated",
		held_by = "stream",
		probe = probes.allowed("client.accepts_self_signed",
			"with a certificate that is not trusted, the server does not go on",
			"with a certificate that is not trusted, the server goes on with dialback"),
	},
	{
		id = "sni.harmless",
		statement = "work with SNI, without it and with a wrong one: the 'to' of the stream decides",
		held_by = "server",
		probe = probes.all(
			probes.seen("sni.right", "a handshake with the domain as server name is refused",
				"the domain as server name is accepted"),
			probes.seen("sni.missing", "a handshake without a server name is refused", "no server name is accepted"),
			probes.seen("sni.wrong", "a handshake with another server name is refused", "another server name is accepted")),
	},
	{
		-- State in the memory of the process needs no seal. Sessions that are shared have one (c/sealing.c).
		id = "resume.sealed",
		statement = "resumption state is authenticated and encrypted wherever it leaves the process's memory",
		settings = { always = { no_stateless_tickets = true } },
		held_by = "server",
		probe = probes.inside "the server keeps the key and the state",
	},
	{
		id = "resume.session-id",
		statement = "session IDs, not session tickets",
		settings = { always = { no_stateless_tickets = true } },
		held_by = "server",
		configuration = { "session_ids" },
		probe = probes.rule "no_stateless_tickets",
	},
	{
		id = "resume.lifetime",
		statement = "resumption state is valid for a limited time",
		held_by = "server",
		configuration = { "session_lifetime" },
		probe = probes.limited_lifetime(LONGEST_LIFETIME),
	},
	{
		-- rfc8446.4.2.9.psk-with-key-exchange
		id = "resume.psk-dhe",
		statement = "resume under TLS 1.3 with a new key exchange (psk_dhe_ke)",
		judge = function(facts)
			if facts.resumed and facts.version == "TLSv1.3" and not facts.forward_secrecy then
				return "the session was resumed without a new key exchange; psk_dhe_ke is needed"
			end
		end,
		probe = probes.where("version.TLSv1.3", TLS13_REFUSED, probes.where("resumption.tls13", "TLS 1.3 resumes nothing",
			probes.refused("resumption.psk_without_dhe", "resumption without a key exchange"))),
	},
	{
		-- rfc5746.3.secure-renegotiation, rfc8446.4.1.2.no-renegotiation
		id = "renegotiation.secure",
		statement = "secure renegotiation (RFC 5746) from every TLS 1.2 peer",
		settings = { always = { no_renegotiation = true } },
		judge = function(facts)
			if rules.is_before_tls13(facts) and facts.secure_renegotiation == false then
				return "the peer does not support secure renegotiation; the renegotiation_info extension is needed"
			end
		end,
		probe = probes.where("version.TLSv1.2", TLS12_REFUSED, probes.seen("renegotiation.secure",
			"secure renegotiation is not supported", "secure renegotiation is supported")),
	},
	{
		-- OpenSSL always supports it. A peer without it may connect, but not resume
		-- (rfc7627.5.3.no-resumption-without-ems).
		id = "master-secret.extended",
		statement = "the extended master secret; without it nothing is resumed (RFC 7627)",
		judge = function(facts)
			if facts.resumed and rules.is_before_tls13(facts) and not facts.extended_master_secret then
				return "the session was resumed without the extended master secret; it is needed"
			end
		end,
		probe = probes.where("version.TLSv1.2", TLS12_REFUSED, probes.seen("extended_master_secret",
			"the extended master secret is not used", "the extended master secret is used")),
	},
	{
		-- rfc8446.E.5.no-early-data
		id = "early-data.none",
		statement = "no early data (0-RTT): no specification says how XMPP could use it",
		settings = { always = { no_early_data = true } },
		probe = probes.where("version.TLSv1.3", TLS13_REFUSED, probes.refused("early_data", "early data")),
	},
	{
		id = "compress.tls",
		statement = "TLS compression; compression of the stream (XEP-0138) is the operator's choice",
		settings = { always = { no_compression = true } },
		judge = function(facts)
			if facts.compression then
				return ("TLS compression is on (%s); it has to be off"):format(tostring(facts.compression))
			end
		end,
		probe = probes.in_both_roles(probes.refused("compression", "TLS compression"),
			probes.not_offered("compressions", "TLS compression", { "^[^n]", "^n[^u]" })),
	},
	{
		id = "admin.status",
		statement = "an administrator sees of each connection whether it is encrypted and whether "
			.. "authenticated, and how",
		held_by = "server",
		probe = for_administrators,
	},
	{
		id = "admin.version",
		statement = "an administrator sees the TLS version of each connection",
		held_by = "server",
		probe = for_administrators,
	},
	{
		id = "admin.certificate",
		statement = "an administrator sees the certificate that a server offered",
		held_by = "server",
		probe = for_administrators,
	},
	{
		id = "admin.cipher",
		statement = "an administrator sees the cipher suite of each connection",
		held_by = "server",
		probe = for_administrators,
	},
	{
		id = "admin.change",
		statement = "an administrator is warned when a server's certificate changes",
		held_by = "server",
		probe = for_administrators,
	},
}

local clauses = {}
for _, clause in ipairs(table_of_clauses) do
	clauses[clause.id] = clause
end
return clauses
