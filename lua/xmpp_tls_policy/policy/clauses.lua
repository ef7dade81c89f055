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
--               predicates on records of suites.lua; order = { weight, predicate }, which
--               puts the records that fulfil the predicate first (the lower weight of two
--               orders counts more); and the switches of a settings table
--   supports    function(settings) -> nil, or a sentence about the missing support
--   adds        { ciphers, ciphersuites, groups }, lists of names: the server's own defaults are
--               extended by these at every level, as the documents want them supported; the
--               operator's own lists are not
--   configuration  list of demands on a server's configuration beside its TLS contexts, for
--               servers that do not load this module; see render/demands.lua
--   judge       function(facts, connection) -> nil, or a sentence that names the fault and
--               the remedy
--
-- A judge takes the absence of a fact that every finished handshake has (version, cipher)
-- for a breach. `connection` is the server's knowledge of the connection, or nil:
--   { domain = of the peer, by its own account, service = "xmpp-client" | "xmpp-server",
--     identity = whether its certificate covers the domain (nil: not checked),
--     authenticated = whether the certificate authenticates the peer to the server (false:
--     other means do, such as dialback, or nothing does) }
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

local table_of_clauses = {
	{
		id = "support.offer",
		statement = "an XMPP server offers STARTTLS in its stream features, to clients and to servers",
		held_by = "stream",
		configuration = { "offer_starttls" },
	},
	{
		id = "support.required",
		statement = "the STARTTLS offer carries <required/>",
		held_by = "stream",
		configuration = { "require_starttls" },
	},
	{
		id = "support.abort",
		statement = "connecting to a server that offers no STARTTLS: abort, and send nothing further on that stream",
		held_by = "stream",
	},
	{
		id = "support.attempt",
		statement = "connecting to a server that offers no STARTTLS: attempt TLS all the same, as the offer "
			.. "may have been stripped",
		held_by = "stream",
	},
	{
		id = "support.flag",
		statement = "depend on <required/>: TLS is negotiated whether or not the peer sent the flag",
		held_by = "stream",
	},
	{
		id = "support.strict",
		statement = "a strict policy: before TLS, nothing is exchanged but the negotiation of TLS",
		held_by = "stream",
		configuration = { "require_starttls" },
	},
	{
		id = "support.direct",
		statement = "support direct TLS, and prefer it to STARTTLS",
		held_by = "server",
		configuration = { "direct_tls" },
	},
	{
		id = "version.sslv2",
		statement = "negotiate SSL 2.0",
		settings = { enforced = { minimum_version = "SSLv3" } },
		judge = rules.not_version("SSLv2"),
	},
	{
		id = "version.sslv3",
		statement = "negotiate SSL 3.0",
		settings = { enforced = { minimum_version = "TLSv1" } },
		judge = rules.not_version("SSLv3"),
	},
	{
		id = "version.tls10",
		statement = "negotiate TLS 1.0",
		settings = { enforced = { minimum_version = "TLSv1.1" } },
		judge = rules.not_version("TLSv1"),
	},
	{
		id = "version.tls11",
		statement = "negotiate TLS 1.1",
		settings = { enforced = { minimum_version = "TLSv1.2" } },
		judge = rules.not_version("TLSv1.1"),
	},
	{
		id = "version.tls12",
		statement = "support TLS 1.2 and prefer it to anything older",
		settings = { enforced = { minimum_version = "TLSv1.2" } },
		supports = rules.supports_version("TLSv1.2"),
		judge = rules.version_judge("TLSv1.2"),
	},
	{
		id = "version.latest",
		statement = "support the newest TLS there is (today 1.3) and prefer it",
		supports = rules.supports_version("TLSv1.3"),
	},
	{
		id = "cipher.null",
		statement = "NULL encryption",
		settings = { enforced = { suite = rules.encrypts } },
		judge = rules.suite_judge(rules.encrypts, rules.with_encryption,
			"a cipher that encrypts is needed"),
	},
	{
		id = "cipher.rc4",
		statement = "RC4",
		settings = { enforced = { suite = rules.is_no_rc4 } },
		judge = rules.suite_judge(rules.is_no_rc4, rules.with_encryption, "any but RC4 is needed"),
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
	},
	{
		id = "cipher.bits112",
		statement = "anything under 112 bits of security",
		settings = { enforced = { suite = rules.has_bits(112) } },
		judge = rules.suite_judge(rules.has_bits(112), rules.with_strength, "at least 112 are needed"),
	},
	{
		id = "cipher.bits128",
		statement = "anything under 128 bits of security, 3DES included whatever it advertises",
		settings = { enforced = { suite = rules.has_bits(128), group = rules.is_long_enough } },
		judge = rules.either(
			rules.suite_judge(rules.has_bits(128), rules.with_strength, "at least 128 are needed"),
			rules.curve_judge(rules.CURVE_OF_128_BITS, 256)
		),
	},
	{
		id = "cipher.bits256",
		statement = "prefer 256 bits or more",
		settings = { always = { server_preference = true, order = { 3, rules.has_bits(256) } } },
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
	},
	{
		id = "cipher.recommended",
		statement = "DHE-RSA and ECDHE-RSA, each with AES-128-GCM and AES-256-GCM, each really negotiable",
		supports = rules.supports_all("ciphers", four_of_the_draft, "TLSv1.2"),
		adds = { ciphers = four_of_the_draft },
	},
	{
		id = "cipher.ecdhe-gcm",
		statement = "ECDHE-RSA and ECDHE-ECDSA, each with AES-128-GCM and AES-256-GCM, each really negotiable",
		supports = rules.supports_all("ciphers", four_of_rfc9325, "TLSv1.2"),
		adds = { ciphers = four_of_rfc9325 },
	},
	{
		-- OpenSSL's security level 2 asks for keys as strong as DH and RSA of 2048 bits.
		id = "key.dh2048",
		statement = "ephemeral DH of at least 2048 bits, our own and the peer's",
		settings = { enforced = { dh_bits = 2048, security_level = 2 } },
		judge = rules.dh_judge(2048),
	},
	{
		id = "key.ecdhe",
		statement = "prefer ECDHE to DHE",
		settings = { always = { server_preference = true, order = { 4, rules.is_no_dhe } } },
	},
	{
		id = "key.static-rsa",
		statement = "RSA key transport",
		settings = { enforced = { suite = rules.is_no_static_rsa } },
		judge = rules.suite_judge(rules.is_no_static_rsa, rules.with_key_exchange,
			"an ephemeral one is needed"),
	},
	{
		-- No settings: no OpenSSL from 3.0 on has such suites.
		id = "key.static-dh",
		statement = "static DH and static ECDH",
		judge = rules.suite_judge(function(facts)
			return facts.key_exchange ~= "DH" and facts.key_exchange ~= "ECDH"
		end, rules.with_key_exchange, "an ephemeral one is needed"),
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
	},
	{
		id = "key.curve224",
		statement = "curves of less than 224 bits",
		settings = { enforced = { group = rules.has_224_bits } },
		judge = rules.curve_judge(224, 224),
	},
	{
		id = "key.rsa2048",
		statement = "an RSA key of at least 2048 bits in a server's certificate",
		settings = { enforced = { security_level = 2 } },
		judge = rules.judge_rsa_key,
	},
	{
		id = "group.recommended",
		statement = "support the curves P-256 and X25519",
		supports = rules.supports_all("groups", recommended_groups),
		adds = { groups = recommended_groups },
	},
	{
		id = "signature.sha1",
		statement = "sign with SHA-1 or MD5",
		settings = { enforced = { security_level = 2 } },
		judge = rules.judge_signature,
	},
	{
		id = "cert.identity",
		statement = "check the certificate against the domain: DNS-ID, SRV-ID, XmppAddr",
		settings = { enforced = { suite = rules.has_certificate } },
		judge = rules.judge_identity,
		configuration = { "check_certificates" },
	},
	{
		id = "unauth.encrypt",
		statement = "server to server: encrypted but unauthenticated, with dialback, where the operator allows "
			.. "it; always shown as unauthenticated",
		held_by = "stream",
	},
	{
		id = "sni.harmless",
		statement = "work with SNI, without it and with a wrong one: the 'to' of the stream decides",
		held_by = "server",
	},
	{
		-- State in the memory of the process needs no seal.
		id = "resume.sealed",
		statement = "resumption state is authenticated and encrypted wherever it leaves the process's memory",
		settings = { always = { no_stateless_tickets = true } },
		held_by = "server",
	},
	{
		id = "resume.session-id",
		statement = "session IDs, not session tickets",
		settings = { always = { no_stateless_tickets = true } },
		held_by = "server",
		configuration = { "session_ids" },
	},
	{
		id = "resume.lifetime",
		statement = "resumption state is valid for a limited time",
		held_by = "server",
		configuration = { "session_lifetime" },
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
	},
	{
		-- rfc8446.E.5.no-early-data
		id = "early-data.none",
		statement = "no early data (0-RTT): no specification says how XMPP could use it",
		settings = { always = { no_early_data = true } },
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
	},
	{
		id = "admin.status",
		statement = "an administrator sees of each connection whether it is encrypted and whether "
			.. "authenticated, and how",
		held_by = "server",
	},
	{
		id = "admin.version",
		statement = "an administrator sees the TLS version of each connection",
		held_by = "server",
	},
	{
		id = "admin.certificate",
		statement = "an administrator sees the certificate that a server offered",
		held_by = "server",
	},
	{
		id = "admin.cipher",
		statement = "an administrator sees the cipher suite of each connection",
		held_by = "server",
	},
	{
		id = "admin.change",
		statement = "an administrator is warned when a server's certificate changes",
		held_by = "server",
	},
}

local clauses = {}
for _, clause in ipairs(table_of_clauses) do
	clauses[clause.id] = clause
end
return clauses
