-- The probe of each clause: what an audit says of a server from what it saw.
local clauses = require "xmpp_tls_policy.policy.clauses"
local observations = require "xmpp_tls_policy.audit.observations"
local observed_endpoint = require "support.observed_endpoint"

local starttls = { service = "c2s", direct = false }
local direct = { service = "c2s", direct = true }

local function without_tls13(changes)
	changes["version.TLSv1.3"] = false
	return changes
end

local function accepted(tls12, tls13)
	return { ["TLSv1.2"] = tls12, ["TLSv1.3"] = tls13 }
end

local GCM256, GCM128 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
local DHE256, RSA256 = "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"
local CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
local CBC256, CBC128 = "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
local RSA128 = "TLS_RSA_WITH_AES_128_GCM_SHA256"
local EC256, EC128 = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
local no_resumption = {
	["resumption.session_id"] = false, ["resumption.ticket_tls12"] = false, ["resumption.tls13"] = false,
}

-- clause -> cases of { changed observations, result, sentence, endpoint (by default with STARTTLS) , strict }
local cases = {
	["support.offer"] = {
		{ {}, "holds", "STARTTLS is offered" },
		{ { ["starttls.offered"] = false }, "broken", "STARTTLS is not offered" },
		{ {}, "not offered", "TLS begins at once here", direct },
	},
	["support.required"] = {
		{ {}, "holds", "the offer says <required/>" },
		{ { ["starttls.required"] = false }, "broken", "the offer does not say <required/>" },
		{ { ["starttls.offered"] = false, ["starttls.required"] = "no offer" }, "not offered", "STARTTLS is not offered" },
	},
	["support.abort"] = {
		{ { ["client.aborts_without_starttls"] = true }, "holds", "the server closes the stream" },
		{ { ["client.aborts_without_starttls"] = false }, "broken",
			"the server goes on without TLS or tries it" },
	},
	["support.attempt"] = {
		{ { ["client.attempts_without_starttls"] = true }, "holds", "the server tries TLS" },
		{ { ["client.attempts_without_starttls"] = false }, "broken", "the server does not try TLS" },
	},
	["support.flag"] = {
		{ { ["client.ignores_required"] = true }, "holds", "the server starts TLS without <required/> too" },
		{ { ["client.ignores_required"] = false }, "broken", "the server starts TLS only after <required/>" },
	},
	["support.strict"] = {
		{ {}, "holds", "only STARTTLS is offered before TLS; no SASL is offered before TLS; "
			.. "data that came with <starttls/> is not taken for data after TLS" },
		{ { ["plaintext.features"] = { "starttls", "limits", "c" } }, "holds", "only STARTTLS is offered before TLS; "
			.. "no SASL is offered before TLS; data that came with <starttls/> is not taken for data after TLS" },
		{ { ["plaintext.features"] = { "limits", "dialback" } }, "holds", "only STARTTLS is offered before TLS; "
			.. "no SASL is offered before TLS; data that came with <starttls/> is not taken for data after TLS" },
		{ { ["plaintext.features"] = { "limits", "dialback" }, ["starttls.required"] = false }, "broken",
			"more than STARTTLS is offered before TLS: dialback" },
		{ { ["plaintext.features"] = { "register" } }, "broken", "more than STARTTLS is offered before TLS: register" },
		{ { ["plaintext.features"] = true }, "broken", "more than STARTTLS is offered before TLS" },
		{ { ["plaintext.features"] = { "a\27[2J" } }, "broken", "more than STARTTLS is offered before TLS: a\\027[2J" },
		{ { ["plaintext.mechanisms"] = true }, "broken", "SASL is offered before TLS" },
		{ { ["plaintext.pipelined"] = true }, "broken",
			"data that came with <starttls/> is taken for data after TLS" },
		{ {}, "not offered", "TLS begins at once here", direct },
	},
	["support.direct"] = {
		{ {}, "holds", "direct TLS is accepted", direct },
		{ { ["version.TLSv1.3"] = false }, "holds", "direct TLS is accepted", direct },
		{ { ["version.TLSv1.3"] = false, ["version.TLSv1.2"] = false }, "broken", "direct TLS is not accepted", direct },
		{ {}, "holds", "the domain announces direct TLS", { service = "s2s", direct = false, direct_announced = true } },
		{ {}, "broken", "the domain announces no direct TLS", { service = "s2s", direct = false, direct_announced = false } },
		{ {}, "not tested", "it is not known whether the domain announces direct TLS" },
	},
	["version.sslv2"] = {
		{ {}, "holds", "SSL 2.0 is refused" },
		{ { ["version.SSLv2"] = true }, "broken", "SSL 2.0 is accepted" },
	},
	["version.sslv3"] = {
		{ {}, "holds", "SSL 3.0 is refused" },
		{ { ["version.SSLv3"] = true }, "broken", "SSL 3.0 is accepted" },
	},
	["version.tls10"] = {
		{ {}, "holds", "TLS 1.0 is refused" },
		{ { ["version.TLSv1"] = true }, "broken", "TLS 1.0 is accepted" },
	},
	["version.tls11"] = {
		{ {}, "holds", "TLS 1.1 is refused" },
		{ { ["version.TLSv1.1"] = true }, "broken", "TLS 1.1 is accepted" },
	},
	["version.tls12"] = {
		{ {}, "holds", "TLS 1.2 is accepted; the newest version of both sides is chosen" },
		{ { ["version.TLSv1.2"] = false }, "broken", "TLS 1.2 is refused" },
		{ { ["version.newest"] = false }, "broken", "an older version than both sides have is chosen" },
		{ { ["version.TLSv1.1"] = true }, "holds", "TLS 1.2 is accepted; the newest version of both sides is chosen" },
		{ { ["version.TLSv1.1"] = true }, "broken", "TLS 1.1 is accepted", starttls, true },
		{ {}, "holds", "TLS 1.2 is accepted; the newest version of both sides is chosen; SSL 3.0 is refused; "
			.. "TLS 1.0 is refused; TLS 1.1 is refused", starttls, true },
	},
	["version.latest"] = {
		{ {}, "holds", "TLS 1.3 is accepted; the newest version of both sides is chosen" },
		{ { ["version.TLSv1.3"] = false }, "broken", "TLS 1.3 is refused" },
	},
	["cipher.null"] = {
		{ {}, "holds", "NULL encryption is refused" },
		{ { ["suites.null"] = { "TLS_RSA_WITH_NULL_SHA" } }, "broken", "NULL encryption is accepted: TLS_RSA_WITH_NULL_SHA" },
	},
	["cipher.rc4"] = {
		{ {}, "holds", "RC4 is refused" },
		{ { ["suites.rc4"] = true }, "broken", "RC4 is accepted" },
	},
	["cipher.export"] = {
		{ {}, "holds", "export-grade encryption is refused; the DHE group has 2048 bits" },
		{ { ["suites.dhe"] = false }, "holds", "export-grade encryption is refused" },
		{ { ["suites.export"] = true }, "broken", "export-grade encryption is accepted" },
		{ { ["dhe.bits"] = 512 }, "broken", "the DHE group has 512 bits; at least 1024 are needed" },
	},
	["cipher.bits112"] = {
		{ {}, "holds", "encryption under 112 bits is refused" },
		{ { ["suites.under_112_bits"] = true }, "broken", "encryption under 112 bits is accepted" },
	},
	["cipher.bits128"] = {
		{ {}, "holds", "encryption under 128 bits is refused; no curve under 256 bits is accepted" },
		{ { ["suites.under_128_bits"] = { "TLS_RSA_WITH_3DES_EDE_CBC_SHA" } }, "broken",
			"encryption under 128 bits is accepted: TLS_RSA_WITH_3DES_EDE_CBC_SHA" },
		{ { ["groups.short"] = { "secp224r1" } }, "broken", "curves under 256 bits are accepted: secp224r1" },
		{ { ["groups.short"] = "timed out" }, "not tested", "timed out" },
	},
	["cipher.bits256"] = {
		{ {}, "holds", "suites of 256 bits are preferred" },
		{ { ["suites.accepted"] = accepted({ GCM256 }) , ["suites.server_chooses"] = false }, "holds",
			"all accepted suites are of 256 bits" },
		{ { ["suites.server_chooses"] = false }, "broken",
			"the client's order decides, and not all accepted suites are of 256 bits" },
		{ { ["suites.accepted"] = accepted({ GCM128 }) }, "broken", "no accepted suite is of 256 bits" },
		{ { ["suites.accepted"] = accepted({ GCM128, GCM256 }) }, "broken",
			("suites of 256 bits are not preferred: %s stands before %s in TLS 1.2"):format(GCM128, GCM256) },
		-- Authenticated encryption counts more.
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128, CBC256 }) }, "holds", "suites of 256 bits are preferred" },
		-- A list that lacks something can break the clause, but not keep it.
		{ { ["suites.complete"] = false }, "not tested", "not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ GCM256 }), ["suites.complete"] = false }, "not tested",
			"not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ GCM128 }), ["suites.complete"] = false }, "not tested",
			"not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ GCM128, GCM256 }), ["suites.complete"] = false }, "broken",
			("suites of 256 bits are not preferred: %s stands before %s in TLS 1.2"):format(GCM128, GCM256) },
		-- The first suites of all kinds can.
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128 }), ["suites.complete"] = false,
			["suites.kinds"] = { ["TLSv1.2"] = 2 } }, "holds",
			"suites of 256 bits are preferred, by the first one of each kind" },
		{ { ["suites.accepted"] = accepted({ GCM256 }), ["suites.complete"] = false, ["suites.kinds"] = { ["TLSv1.2"] = 1 } },
			"holds", "the suites that the server chooses first are of 256 bits" },
		{ { ["suites.accepted"] = accepted({ GCM128 }), ["suites.complete"] = false, ["suites.kinds"] = { ["TLSv1.2"] = 1 } },
			"broken", "the suites that the server chooses first are not of 256 bits" },
		{ { ["suites.accepted"] = accepted({ GCM128, GCM256 }), ["suites.complete"] = false,
			["suites.kinds"] = { ["TLSv1.2"] = 2 } }, "broken",
			("suites of 256 bits are not preferred: %s stands before %s in TLS 1.2"):format(GCM128, GCM256) },
		-- Behind the first suite of a kind there may be others that should stand before it.
		{ { ["suites.accepted"] = accepted({ GCM128, CBC256 }), ["suites.complete"] = false,
			["suites.kinds"] = { ["TLSv1.2"] = 2 } }, "not tested", "not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ GCM256, CBC128, CBC256 }), ["suites.complete"] = false,
			["suites.kinds"] = { ["TLSv1.2"] = 2 } }, "not tested", "not all accepted suites are known" },
		-- Where the client's order decides, its own offer came back.
		{ { ["suites.accepted"] = accepted({ GCM256 }), ["suites.complete"] = false, ["suites.server_chooses"] = false,
			["suites.kinds"] = { ["TLSv1.2"] = 1 } }, "not tested", "not all accepted suites are known" },
		-- A class of suites that is accepted counts, also where the list does not have it.
		{ { ["suites.accepted"] = accepted({ GCM256 }), ["suites.complete"] = false, ["suites.server_chooses"] = false,
			["suites.rsa_key_transport"] = { RSA128 } }, "broken",
			"the client's order decides, and not all accepted suites are of 256 bits" },
		{ { ["suites.accepted"] = accepted({ "TLS_OF_TOMORROW" }) }, "not tested", "none of the accepted suites is known" },
	},
	["cipher.aead"] = {
		{ {}, "holds", "suites with authenticated encryption are accepted; all accepted suites are with authenticated "
			.. "encryption" },
		{ { ["suites.aead"] = false, ["suites.accepted"] = accepted({ CBC256 }) }, "broken",
			"no suite with authenticated encryption is accepted; no accepted suite is with authenticated encryption" },
		{ { ["suites.accepted"] = accepted({ GCM256, CBC256 }) }, "holds",
			"suites with authenticated encryption are accepted; suites with authenticated encryption are preferred" },
		-- The server has refused all of a kind that is not listed.
		{ { ["suites.accepted"] = accepted({ GCM256, "TLS_RSA_WITH_AES_256_CBC_SHA" }), ["suites.complete"] = false,
			["suites.kinds"] = { ["TLSv1.2"] = 2 } }, "holds", "suites with authenticated encryption are accepted; suites with "
			.. "authenticated encryption are preferred, by the first one of each kind" },
		{ { ["suites.accepted"] = accepted({ CBC256, GCM256 }) }, "broken",
			("suites with authenticated encryption are not preferred: %s stands before %s in TLS 1.2"):format(CBC256, GCM256) },
		{ { ["suites.cbc"] = true }, "broken", "CBC is accepted", starttls, true },
	},
	["cipher.cbc"] = {
		{ {}, "holds", "CBC is refused" },
		{ { ["suites.cbc"] = true }, "broken", "CBC is accepted" },
	},
	["cipher.fs"] = {
		{ {}, "holds", "suites with forward secrecy are accepted; all accepted suites are with forward secrecy" },
		{ { ["suites.forward_secret"] = false, ["suites.accepted"] = accepted({ RSA256 }) }, "broken",
			"no suite with forward secrecy is accepted; no accepted suite is with forward secrecy" },
		{ { ["suites.accepted"] = accepted({ RSA256, GCM256 }) }, "broken",
			("suites with forward secrecy are not preferred: %s stands before %s in TLS 1.2"):format(RSA256, GCM256) },
		{ { ["suites.rsa_key_transport"] = true }, "broken", "RSA key transport is accepted", starttls, true },
		{ { ["suites.static_dh"] = true }, "broken", "static (EC)DH is accepted", starttls, true },
	},
	["cipher.recommended"] = {
		{ {}, "holds", "all for which the server has a certificate are accepted" },
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128, DHE256 }) }, "broken",
			"not accepted: TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128, DHE256 }), ["suites.complete"] = false }, "not tested",
			"not all accepted suites are known" },
		{ { ["suites.complete"] = false }, "holds", "all for which the server has a certificate are accepted" },
		{ { ["suites.accepted"] = accepted({ EC256 }), ["suites.complete"] = false }, "not tested",
			"not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ EC256 }) }, "not offered",
			"they need a certificate of another kind than the server has" },
		-- Those that a document recommends may be known although others are not.
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128, DHE256 }), ["suites.complete"] = false,
			["suites.recommended"] = true }, "broken", "not accepted: TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128, DHE256 }), ["suites.complete"] = false,
			["suites.dhe"] = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" } }, "holds",
			"all for which the server has a certificate are accepted" },
		{ { ["suites.accepted"] = accepted(nil, { "TLS_AES_256_GCM_SHA384" }) }, "broken",
			"not accepted: TLS_DHE_RSA_WITH_AES_128_GCM_SHA256, TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, "
				.. GCM128 .. ", " .. GCM256 },
	},
	["cipher.ecdhe-gcm"] = {
		{ {}, "holds", "all for which the server has a certificate are accepted" },
		{ { ["suites.accepted"] = accepted({ EC256, EC128 }) }, "holds",
			"all for which the server has a certificate are accepted" },
		{ { ["suites.accepted"] = accepted({ EC256 }) }, "broken", "not accepted: " .. EC128 },
	},
	["key.dh2048"] = {
		{ {}, "holds", "the DHE group has 2048 bits" },
		{ { ["dhe.bits"] = 1024 }, "broken", "the DHE group has 1024 bits; at least 2048 are needed" },
		{ { ["dhe.bits"] = true }, "not tested", "the size of the DHE group is not known" },
		{ { ["suites.dhe"] = false, ["dhe.bits"] = "DHE is refused" }, "not offered", "DHE is refused" },
	},
	["key.ecdhe"] = {
		{ {}, "holds", "suites without DHE are preferred" },
		{ { ["suites.accepted"] = accepted({ DHE256, GCM256 }) }, "broken",
			("suites without DHE are not preferred: %s stands before %s in TLS 1.2"):format(DHE256, GCM256) },
		{ { ["suites.accepted"] = accepted({ GCM256, GCM128 }) }, "holds", "all accepted suites are without DHE" },
	},
	["key.static-rsa"] = {
		{ {}, "holds", "RSA key transport is refused" },
		{ { ["suites.rsa_key_transport"] = true }, "broken", "RSA key transport is accepted" },
	},
	["key.static-dh"] = {
		{ {}, "holds", "static (EC)DH is refused" },
		{ { ["suites.static_dh"] = true }, "broken", "static (EC)DH is accepted" },
	},
	["key.dhe"] = {
		{ { ["suites.dhe"] = false }, "holds", "DHE in TLS 1.2 is refused" },
		{ {}, "broken", "DHE in TLS 1.2 is accepted" },
	},
	["key.curve224"] = {
		{ {}, "holds", "no curve under 224 bits is accepted" },
		{ { ["groups.short"] = { "secp224r1", "sect233k1" } }, "holds", "no curve under 224 bits is accepted" },
		{ { ["groups.short"] = { "secp192r1", "sect163k1", "secp224r1" } }, "broken",
			"curves under 224 bits are accepted: secp192r1, sect163k1" },
	},
	["key.rsa2048"] = {
		{ {}, "holds", "the RSA key has 2048 bits" },
		{ { ["certificate.key"] = { type = "RSA", bits = 1024 } }, "broken",
			"the RSA key has 1024 bits; at least 2048 are needed" },
		{ { ["certificate.key"] = { type = "EC", bits = 256 } }, "not offered",
			"the certificate has a key of another kind: EC" },
		{ { ["certificate.key"] = { type = "RSA" } }, "not tested", "the key of the certificate is not known" },
		{ { ["certificate.key"] = true }, "not tested", "the key of the certificate is not known" },
	},
	["group.secp256r1"] = {
		{ {}, "holds", "secp256r1 is accepted" },
		{ { ["groups.accepted"] = { "X25519" } }, "broken", "not accepted: secp256r1" },
	},
	["group.recommended"] = {
		{ {}, "holds", "secp256r1, x25519 are accepted" },
		{ { ["groups.accepted"] = { "X25519" } }, "broken", "not accepted: secp256r1" },
		{ { ["groups.accepted"] = { "X25519" }, ["groups.complete"] = false }, "not tested",
			"not all accepted groups are known" },
		{ { ["groups.complete"] = false }, "holds", "secp256r1, x25519 are accepted" },
		{ { ["groups.accepted"] = { "X25519" }, ["groups.complete"] = false, ["groups.recommended"] = true }, "broken",
			"not accepted: secp256r1" },
	},
	["signature.sha1"] = {
		{ {}, "holds", "no certificate is signed with SHA-1 or MD5; a handshake signed with SHA-1 or MD5 is refused" },
		{ { ["signature.sha1"] = { "rsa_pkcs1_sha1" } }, "broken",
			"a handshake signed with SHA-1 or MD5 is accepted: rsa_pkcs1_sha1" },
		{ { ["certificate.signature"] = false }, "broken", "a certificate is signed with SHA-1 or MD5" },
	},
	["signature.pss"] = {
		{ {}, "holds", "the certificate is as it should be; a handshake signed with PKCS #1 v1.5 is refused; a handshake "
			.. "signed with SHA-1 or MD5 is refused" },
		{ { ["signature.pkcs1"] = { "rsa_pkcs1_sha256" } }, "broken",
			"a handshake signed with PKCS #1 v1.5 is accepted: rsa_pkcs1_sha256" },
		{ { ["signature.sha1"] = { "ecdsa_sha1" } }, "broken",
			"a handshake signed with SHA-1 or MD5 is accepted: ecdsa_sha1" },
		{ { ["certificate.key"] = { type = "ED25519" } }, "broken",
			"the certificate has a key of type \"ED25519\"; one for RSA or ECDSA is needed" },
	},
	["cert.identity"] = {
		{ {}, "holds", "the certificate is valid; the certificate covers the domain; "
			.. "a handshake without a certificate is refused" },
		{ { ["certificate.trusted"] = false }, "broken", "the certificate is not valid for the system's authorities" },
		{ { ["certificate.domain"] = false }, "broken", "the certificate does not cover the domain" },
		{ { ["suites.anonymous"] = true }, "broken", "a handshake without a certificate is accepted" },
	},
	["sni.harmless"] = {
		{ {}, "holds", "the domain as server name is accepted; no server name is accepted; "
			.. "another server name is accepted" },
		{ { ["sni.right"] = false }, "broken", "a handshake with the domain as server name is refused" },
		{ { ["sni.missing"] = false }, "broken", "a handshake without a server name is refused" },
		{ { ["sni.wrong"] = false }, "broken", "a handshake with another server name is refused" },
	},
	["unauth.encrypt"] = {
		{ { ["client.accepts_self_signed"] = true }, "holds",
			"with a certificate that is not trusted, the server goes on with dialback" },
		{ { ["client.accepts_self_signed"] = false }, "not offered",
			"with a certificate that is not trusted, the server does not go on" },
	},
	["resume.session-id"] = {
		{ {}, "holds", "sessions are resumed by their IDs" },
		{ { ["resumption.ticket_tls12"] = true }, "broken", "TLS 1.2 issues tickets" },
		{ { ["resumption.stateless_tls13"] = true }, "broken", "the tickets of TLS 1.3 hold the session itself" },
		{ no_resumption, "not offered", "nothing is resumed" },
		{ { ["resumption.stateless_tls13"] = "closed" }, "not tested", "closed" },
		{ { ["resumption.tls13"] = false, ["resumption.stateless_tls13"] = "no ticket" }, "holds",
			"sessions are resumed by their IDs" },
	},
	["resume.lifetime"] = {
		{ {}, "holds", "tickets are valid for 3600 s" },
		{ { ["resumption.tls13"] = { length = 32, lifetime = 604801 } }, "broken",
			"tickets are valid for 604801 s; at most 604800 are allowed" },
		{ { ["resumption.ticket_tls12"] = { length = 200, lifetime = 700000 } }, "broken",
			"tickets are valid for 700000 s; at most 604800 are allowed" },
		{ { ["resumption.tls13"] = false }, "not tested", "the server does not say how long sessions are valid" },
		{ no_resumption, "not offered", "nothing is resumed" },
	},
	["resume.psk-dhe"] = {
		{ {}, "holds", "resumption without a key exchange is refused" },
		{ { ["resumption.psk_without_dhe"] = true }, "broken", "resumption without a key exchange is accepted" },
		{ { ["resumption.tls13"] = false }, "not offered", "TLS 1.3 resumes nothing" },
		{ without_tls13 {}, "not offered", "TLS 1.3 is refused" },
	},
	["renegotiation.secure"] = {
		{ {}, "holds", "secure renegotiation is supported" },
		{ { ["renegotiation.secure"] = false }, "broken", "secure renegotiation is not supported" },
		{ { ["version.TLSv1.2"] = false }, "not offered", "TLS 1.2 is refused" },
	},
	["master-secret.extended"] = {
		{ {}, "holds", "the extended master secret is used" },
		{ { ["extended_master_secret"] = false }, "broken", "the extended master secret is not used" },
		{ { ["version.TLSv1.2"] = false }, "not offered", "TLS 1.2 is refused" },
	},
	["early-data.none"] = {
		{ {}, "holds", "early data is refused" },
		{ { early_data = true }, "broken", "early data is accepted" },
		{ without_tls13 {}, "not offered", "TLS 1.3 is refused" },
	},
	["version.only-tls13"] = {
		{ { ["version.TLSv1.2"] = false }, "holds",
			"SSL 2.0 is refused; SSL 3.0 is refused; TLS 1.0 is refused; TLS 1.1 is refused; TLS 1.2 is refused" },
		{ {}, "broken", "TLS 1.2 is accepted" },
	},
	["cipher.gcm-chacha20"] = {
		{ { ["suites.accepted"] = accepted({ GCM256, EC128 }, { "TLS_AES_256_GCM_SHA384" }) }, "holds",
			"all accepted suites have AES-GCM or ChaCha20-Poly1305" },
		{ { ["suites.accepted"] = accepted({ GCM256 }), ["suites.complete"] = false }, "not tested",
			"not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ GCM256, CBC256 }, { "TLS_AES_128_CCM_SHA256" }) }, "broken",
			"other suites are accepted: " .. CBC256 .. ", TLS_AES_128_CCM_SHA256" },
		{ { ["suites.accepted"] = accepted { DHE256, "TLS_UNKNOWN" } }, "broken",
			"other suites are accepted: " .. DHE256 .. ", TLS_UNKNOWN" },
	},
	["cipher.six"] = {
		{ { ["suites.accepted"] = accepted { GCM256, GCM128, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" } }, "holds",
			"all for which the server has a certificate are accepted" },
		{ { ["suites.accepted"] = accepted { GCM256, GCM128 } }, "broken",
			"not accepted: TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
	},
	["order.client"] = {
		{ { ["suites.server_chooses"] = false }, "holds", "the client's order of suites decides" },
		{ {}, "broken", "the server's order of suites decides" },
	},
	["cipher.aes"] = {
		{ {}, "holds", "all accepted suites have AES with GCM, CCM or CBC" },
		{ { ["suites.accepted"] = accepted({ GCM256, CBC256, RSA256 }) }, "holds",
			"all accepted suites have AES with GCM, CCM or CBC" },
		{ { ["suites.accepted"] = accepted({ GCM256 }, { CHACHA }) }, "broken", "other suites are accepted: " .. CHACHA },
	},
	["cipher.aes-sha2"] = {
		{ {}, "holds", "all accepted suites have AES, SHA-2 and (EC)DHE" },
		{ { ["suites.accepted"] = accepted({ GCM256, CBC256, RSA256, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256" }) }, "broken",
			"other suites are accepted: " .. CBC256 .. ", " .. RSA256 },
	},
	["group.brainpool"] = {
		{ { ["groups.accepted"] = { "secp256r1", "ffdhe3072", "brainpoolP256r1tls13" } }, "holds",
			"only groups of these are accepted: P-256, P-384, P-521, Brainpool's curves of these sizes, ffdhe3072 and "
				.. "ffdhe4096" },
		{ {}, "broken", "other groups are accepted: X25519MLKEM768, x25519" },
	},
	["group.nist"] = {
		{ { ["groups.accepted"] = { "secp256r1", "secp521r1", "ffdhe2048" } }, "holds",
			"only groups of these are accepted: P-256, P-384, P-521 and the groups ffdhe2048 to ffdhe8192" },
		{ {}, "broken", "other groups are accepted: X25519MLKEM768, x25519" },
		{ { ["groups.accepted"] = { "brainpoolP256r1" } }, "broken", "other groups are accepted: brainpoolP256r1" },
	},
	["key.dh3000"] = {
		{ {}, "broken", "the DHE group has 2048 bits; at least 3000 are needed" },
		{ { ["dhe.bits"] = 3072 }, "holds", "the DHE group has 3072 bits" },
	},
	["order.aead"] = {
		{ {}, "holds", "all accepted suites are with authenticated encryption" },
		{ { ["suites.accepted"] = accepted({ CBC256, GCM256 }) }, "broken",
			("suites with authenticated encryption are not preferred: %s stands before %s in TLS 1.2"):format(CBC256, GCM256) },
	},
	["cert.rsa3000"] = {
		{ {}, "broken", "the certificate has an RSA key of 2048 bits; at least 3000 are needed" },
		{ { ["certificate.key"] = { type = "EC", bits = 256 } }, "holds", "the certificate is as it should be" },
	},
	["cert.ec250"] = {
		{ {}, "holds", "the certificate is as it should be" },
		{ { ["certificate.key"] = { type = "EC", bits = 224 } }, "broken",
			"the certificate has an EC key of 224 bits; at least 250 are needed" },
	},
	["cert.rsa-ecdsa"] = {
		{ {}, "holds", "the certificate is as it should be" },
		{ { ["certificate.key"] = { type = "ED25519" } }, "broken",
			'the certificate has a key of type "ED25519"; one for RSA or ECDSA is needed' },
	},
	["cert.pss"] = {
		{ { ["certificate.signature"] = { "ecdsa-with-SHA256", "rsassaPss" } }, "holds",
			"the certificate is as it should be" },
		{ { ["certificate.signature"] = { "sha256WithRSAEncryption" } }, "broken", "the certificate is signed with "
			.. '"sha256WithRSAEncryption", which is PKCS #1 v1.5; RSASSA-PSS or ECDSA is wanted' },
		{ { ["certificate.signature"] = { "rsassaPss", "sha256WithRSAEncryption" } }, "broken", "the certificate is sent "
			.. 'with the certificate of "certificate 2", which is signed with "sha256WithRSAEncryption" (PKCS #1 v1.5); '
			.. "RSASSA-PSS or ECDSA is wanted" },
	},
	["cert.server-auth"] = {
		{ {}, "holds", "the certificate is good for servers" },
		{ { ["certificate.usages"] = false }, "broken", "the extended key usages of the certificate lack serverAuth" },
	},
	["cert.days1095"] = {
		{ {}, "holds", "the certificate is valid for 90 days" },
		{ { ["certificate.days_left"] = { days = 1, life = 1096, share = 0.1 } }, "broken",
			"the certificate is valid for 1096 days; at most 1095 are wanted" },
	},
	["order.chacha20"] = {
		{ {}, "not offered", "ChaCha20-Poly1305 is not accepted" },
		{ { ["suites.complete"] = false }, "not tested", "not all accepted suites are known" },
		{ { ["suites.accepted"] = accepted({ GCM256 }, { CHACHA }), ["suites.chacha20_first"] = true }, "holds",
			"a client that puts ChaCha20-Poly1305 first gets it" },
		{ { ["suites.accepted"] = accepted({ GCM256 }, { CHACHA }), ["suites.chacha20_first"] = false }, "broken",
			"a client that puts ChaCha20-Poly1305 first does not get it" },
		{ { ["suites.accepted"] = accepted({ GCM256 }, { CHACHA }), ["suites.chacha20_first"] = "timed out" }, "not tested",
			"timed out" },
	},
	["key.static-ffdh"] = {
		{ {}, "holds", "static DH over a finite field is refused" },
		{ { ["suites.static_dh"] = { "TLS_DH_RSA_WITH_AES_128_CBC_SHA" } }, "broken",
			"static DH over a finite field is accepted: TLS_DH_RSA_WITH_AES_128_CBC_SHA" },
		{ { ["suites.static_dh"] = { "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA" } }, "holds",
			"static DH over a finite field is refused" },
		{ { ["suites.static_dh"] = true }, "broken", "static DH over a finite field is accepted" },
	},
	["key.static-ecdh"] = {
		{ {}, "holds", "static ECDH is refused" },
		{ { ["suites.static_dh"] = { "TLS_ECDH_RSA_WITH_AES_128_CBC_SHA" } }, "broken",
			"static ECDH is accepted: TLS_ECDH_RSA_WITH_AES_128_CBC_SHA" },
		{ { ["suites.static_dh"] = { "TLS_DH_RSA_WITH_AES_128_CBC_SHA" } }, "holds", "static ECDH is refused" },
	},
	["cert.fixed-dh"] = {
		{ {}, "holds", "the certificate is as it should be" },
		{ { ["certificate.key"] = { type = "DHX", bits = 2048 } }, "broken",
			"the certificate has a key of type DHX; one that can sign is needed" },
	},
	["group.four"] = {
		{ {}, "holds", "only groups of these are accepted: X25519MLKEM768, X25519, P-256 and P-384" },
		{ { ["groups.complete"] = false }, "not tested", "not all accepted groups are known" },
		{ { ["groups.accepted"] = { "x25519", "x448", "ffdhe2048" } }, "broken",
			"other groups are accepted: x448, ffdhe2048" },
	},
	["cert.rsa2048"] = {
		{ {}, "holds", "the certificate is as it should be" },
		{ { ["certificate.key"] = { type = "RSA", bits = 1024 } }, "broken",
			"the certificate has an RSA key of 1024 bits; at least 2048 are needed" },
	},
	["cert.curves"] = {
		{ { ["certificate.key"] = { type = "EC", bits = 256, curve = "secp256r1" } }, "holds",
			"the certificate is as it should be" },
		{ { ["certificate.key"] = { type = "EC", bits = 521, curve = "secp521r1" } }, "broken",
			'the certificate has a key on the curve "secp521r1"; P-256 or P-384 is needed' },
	},
	["cert.ecdsa"] = {
		{ { ["certificate.key"] = { type = "EC", bits = 256, curve = "secp256r1" } }, "holds",
			"the certificate is as it should be" },
		{ {}, "broken", 'the certificate has a key of type "RSA"; one for ECDSA is needed' },
	},
	["cert.sha2"] = {
		{ { ["certificate.signature"] = { "sha256WithRSAEncryption" } }, "holds", "the certificate is as it should be" },
		{ { ["certificate.signature"] = { "sha384WithRSAEncryption" } }, "broken",
			'the certificate is signed with "sha384WithRSAEncryption"; sha256WithRSAEncryption or ecdsa-with-SHA256 or '
			.. "ecdsa-with-SHA384 or ecdsa-with-SHA512 is needed" },
	},
	["cert.ecdsa-sha2"] = {
		{ { ["certificate.signature"] = { "ecdsa-with-SHA384" } }, "holds", "the certificate is as it should be" },
		{ { ["certificate.signature"] = { "sha256WithRSAEncryption" } }, "broken",
			'the certificate is signed with "sha256WithRSAEncryption"; ecdsa-with-SHA256 or ecdsa-with-SHA384 or '
			.. "ecdsa-with-SHA512 is needed" },
	},
	["cert.days90"] = {
		{ {}, "holds", "the certificate is valid for 90 days" },
		{ { ["certificate.days_left"] = { life = 91 } }, "broken",
			"the certificate is valid for 91 days; at most 90 are wanted" },
		{ { ["certificate.days_left"] = true }, "not tested", "the dates of the certificate are not known" },
	},
	["cert.days366"] = {
		{ {}, "holds", "the certificate is valid for 90 days" },
		{ { ["certificate.days_left"] = { life = 367 } }, "broken",
			"the certificate is valid for 367 days; at most 366 are wanted" },
	},
	["compress.tls"] = {
		{ {}, "holds", "TLS compression is refused" },
		{ { compression = true }, "broken", "TLS compression is accepted" },
	},
}

-- Clauses that no outsider can test.
local inside = {
	["resume.sealed"] = "the server keeps the key and the state",
}
for _, name in ipairs { "status", "version", "certificate", "cipher", "change" } do
	inside["admin." .. name] = "only an administrator of the server sees it"
end

describe("the probe of", function ()
	for id, clause in pairs(clauses) do
		for index, case in ipairs(cases[id] or {}) do
			it(("%s, case %d: %s"):format(id, index, case[2]), function ()
				local observed = observed_endpoint.new(case[1])
				local result = clause.probe(observed, case[4] or starttls, case[5] or false)
				assert.same({ case[2], case[3] }, { result.result, result.sentence })
				for _, name in ipairs(result.observations) do
					assert.is_table(observed[name], name)
					assert.is_string(observations.statement(name), name)
				end
			end)
		end

		it(id .. " has a case where the clause holds and one where it is broken, or no outsider can test it", function ()
			local results = {}
			for _, case in ipairs(cases[id] or {}) do
				results[case[2]] = true
			end
			if inside[id] then
				assert.same({ result = "not tested", cause = "inside", sentence = inside[id], observations = {} },
					clause.probe(observed_endpoint.new(), starttls, true))
			else
				-- What a clause only allows cannot be broken.
				assert.is_true(results.holds and (results.broken or id == "unauth.encrypt" and results["not offered"]))
			end
		end)

		it(id .. " never says that the clause holds or is broken when nothing was seen", function ()
			for _, strict in ipairs { true, false } do
				local nothing = clause.probe({}, starttls, strict)
				assert.equal("not tested", nothing.result)
				assert.is_true(nothing.cause == "not asked" or nothing.cause == "inside")

				local closed = observed_endpoint.new()
				for name in pairs(closed) do
					closed[name] = { reason = "the connection was refused" }
				end
				local refused = clause.probe(closed, starttls, strict)
				assert.equal("not tested", refused.result)
				if refused.cause == "no answer" then
					assert.matches("^the connection was refused", refused.sentence)
				end
			end
		end)

		-- Each observation that decides for "holds" is needed for it.
		it(id .. " does not hold when one observation that decided was not made", function ()
			for _, case in ipairs(cases[id] or {}) do
				local whole = observed_endpoint.new(case[1])
				local endpoint, strict = case[4] or starttls, case[5] or false
				local result = clause.probe(whole, endpoint, strict)
				for _, name in ipairs(result.result == "holds" and result.observations or {}) do
					local seen = whole[name]
					whole[name] = { reason = "timed out" }
					local changed = clause.probe(whole, endpoint, strict)
					whole[name] = seen
					assert.is_true(changed.result == "not tested" or id == "support.direct" or id == "resume.session-id"
						or id == "resume.lifetime", ("%s without %s: %s"):format(id, name, changed.result))
				end
			end
		end)
	end
end)

describe("the probe of a preference", function ()
	it("takes no suite behind those in the server's order for one that the server puts there", function ()
		for ordered, expected in pairs { [3] = "not tested", [4] = "broken" } do
			assert.equal(expected, clauses["cipher.bits256"].probe(observed_endpoint.new {
				["suites.accepted"] = accepted({ CBC128, GCM256, GCM128, CBC256 }), ["suites.complete"] = false,
				["suites.kinds"] = { ["TLSv1.2"] = ordered },
			}, starttls, false).result)
		end
	end)
end)

describe("as a client,", function ()
	local as_client = { service = "s2s", direct = false, client = true }

	local function hello(suites, compressions)
		return { ["client.hello"] = { seen = true, evidence = "its ClientHello", value = {
			suites = suites, compressions = compressions or { "null" },
		} } }
	end

	-- clause -> a name that a ClientHello must not offer, and the sentence
	for id, case in pairs {
		["cipher.null"] = { "TLS_RSA_WITH_NULL_SHA", "NULL encryption is offered: TLS_RSA_WITH_NULL_SHA" },
		["cipher.rc4"] = { "TLS_RSA_WITH_RC4_128_SHA", "RC4 is offered: TLS_RSA_WITH_RC4_128_SHA" },
		["cipher.export"] = { "TLS_RSA_EXPORT_WITH_RC4_40_MD5",
			"export-grade encryption is offered: TLS_RSA_EXPORT_WITH_RC4_40_MD5" },
		["cipher.bits112"] = { "TLS_RSA_WITH_DES_CBC_SHA", "encryption under 112 bits is offered: TLS_RSA_WITH_DES_CBC_SHA" },
		["cipher.bits128"] = { "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
			"encryption under 128 bits is offered: TLS_RSA_WITH_3DES_EDE_CBC_SHA" },
		["cipher.cbc"] = { "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "CBC is offered: TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" },
		["cipher.aead"] = { "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "CBC is offered: TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" },
		["cipher.fs"] = { "TLS_RSA_WITH_AES_256_GCM_SHA384",
			"RSA key transport is offered: TLS_RSA_WITH_AES_256_GCM_SHA384" },
		["key.static-rsa"] = { "TLS_RSA_WITH_AES_256_GCM_SHA384",
			"RSA key transport is offered: TLS_RSA_WITH_AES_256_GCM_SHA384" },
		["key.static-dh"] = { "TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256",
			"static (EC)DH is offered: TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256" },
		["key.dhe"] = { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
			"DHE in TLS 1.2 is offered: TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" },
	} do
		it(id .. " is broken by an offer", function ()
			local bad = clauses[id].probe(hello { "TLS_AES_256_GCM_SHA384", case[1] }, as_client, true)
			assert.same({ "broken", case[2], { "client.hello" } }, { bad.result, bad.sentence, bad.observations })
			local good = clauses[id].probe(hello { "TLS_AES_256_GCM_SHA384", EC256 }, as_client, true)
			assert.is_true(good.result == "holds" or good.cause == "not asked")
			local untested = clauses[id].probe({ ["client.hello"] = { reason = "no call" } }, as_client, true)
			assert.same({ "not tested", "no answer" }, { untested.result, untested.cause })
		end)
	end

	it("signature.pss is broken by an offer of PKCS #1 v1.5", function ()
		local probe, observed = clauses["signature.pss"].probe, hello {}
		observed["client.hello"].value.signature_schemes = { "rsa_pss_rsae_sha256", "rsa_pkcs1_sha256" }
		assert.equal("PKCS #1 v1.5 is offered: rsa_pkcs1_sha256", probe(observed, as_client, true).sentence)
		observed["client.hello"].value.signature_schemes = { "rsa_pss_rsae_sha256", "ecdsa_secp256r1_sha256" }
		assert.equal("holds", probe(observed, as_client, true).result)
	end)

	it("compress.tls is broken by an offer of DEFLATE", function ()
		local probe = clauses["compress.tls"].probe
		assert.equal("TLS compression is offered: deflate", probe(hello({}, { "null", "deflate" }), as_client, true).sentence)
		assert.equal("holds", probe(hello({}, { "null" }), as_client, true).result)
	end)

	for id, version in pairs {
		["version.sslv3"] = "SSLv3", ["version.tls10"] = "TLSv1", ["version.tls11"] = "TLSv1.1",
	} do
		it(id .. " is broken by an offer of the version", function ()
			local name = "client.version." .. version
			local function result(seen)
				return clauses[id].probe({ [name] = { seen = seen, evidence = "" } }, as_client, true).result
			end
			assert.same({ "broken", "holds" }, { result(true), result(false) })
		end)
	end
end)
