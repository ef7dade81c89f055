-- Profiles: named, dated lists of clauses, each with the section and the level that the
-- document gives it. A published profile never changes: a changed one gets a new name, and
-- the old name gets an entry in `superseded`.
local profiles = {}

-- Level of a document -> the mildest level of the operator at which a breach is refused.
-- "must" is milder than "should", which enforces all that "must" does, and more. "never":
-- the document only allows it.
profiles.enforced_at = {
	["MUST"] = "must",
	["MUST NOT"] = "must",
	["REQUIRED"] = "must",
	["needs"] = "must",
	["per RFC 6120, 6125"] = "must",
	["SHOULD"] = "should",
	["SHOULD NOT"] = "should",
	["RECOMMENDED"] = "should",
	["preferred off"] = "should",
	["strongly encouraged"] = "should",
	-- Not the document's word, but this project's: the section has the reason.
	["our advice"] = "should",
	-- At "should", only the preferred is offered. At "must" it comes first, and the rest is
	-- negotiated and reported.
	["MUST support, SHOULD prefer"] = "should",
	["MUST support, MUST prefer"] = "should",
	["SHOULD support, MUST prefer"] = "should",
	["MAY"] = "never",
	["allowed"] = "never",
}

-- The levels that an operator can choose, the default first.
profiles.levels = { "should", "must" }

-- Rows of { clause, section, level, enforced at, if not as the level says }.
local function entries(document, rows)
	local list = {}
	for index, row in ipairs(rows) do
		list[index] = {
			clause = row[1],
			document = document,
			section = row[2],
			level = row[3],
			at = row.at or profiles.enforced_at[row[3]],
		}
	end
	return list
end

local draft = entries("draft-saintandre-xmpp-tls-02", {
	{ "support.offer", "4.1", "MUST" },
	{ "support.required", "4.1", "SHOULD" },
	{ "support.abort", "4.1", "MUST" },
	{ "support.flag", "4.1", "MUST NOT" },
	{ "version.sslv2", "4.2", "MUST NOT" },
	{ "version.sslv3", "4.2", "MUST NOT" },
	{ "version.tls10", "4.2", "SHOULD NOT" },
	{ "version.tls11", "4.2", "MAY" },
	-- "MUST support, and prefer" is a preference, so it is exclusive only at "should".
	-- There this clause rules out TLS 1.1, which the clause before allows.
	{ "version.tls12", "4.2", "MUST", at = "should" },
	{ "version.latest", "4.2", "RECOMMENDED" },
	{ "cipher.null", "4.3", "MUST NOT" },
	{ "cipher.rc4", "4.3", "MUST NOT" },
	{ "cipher.export", "4.3", "MUST NOT" },
	{ "cipher.bits128", "4.3", "MUST NOT" },
	{ "cipher.bits256", "4.3", "SHOULD" },
	{ "cipher.aead", "4.3", "MUST support, SHOULD prefer" },
	{ "cipher.fs", "4.3", "MUST support, SHOULD prefer" },
	{ "cipher.recommended", "4.3", "RECOMMENDED" },
	{ "key.dh2048", "4.4", "RECOMMENDED" },
	{ "key.ecdhe", "4.4", "RECOMMENDED" },
	{ "cert.identity", "4.5", "per RFC 6120, 6125" },
	{ "unauth.encrypt", "4.6", "allowed" },
	{ "sni.harmless", "4.7", "allowed" },
	{ "resume.sealed", "4.8", "needs" },
	{ "resume.session-id", "4.8", "RECOMMENDED" },
	{ "compress.tls", "4.9", "preferred off" },
	{ "admin.status", "4.10", "RECOMMENDED" },
	{ "admin.version", "4.10", "RECOMMENDED" },
	{ "admin.certificate", "4.10", "RECOMMENDED" },
	{ "admin.cipher", "4.10", "RECOMMENDED" },
	{ "admin.change", "4.10", "RECOMMENDED" },
})

-- Not among the clauses of RFC 9325: DTLS, fallback and truncated HMAC, which no OpenSSL
-- here can do; ALPN and the refusal of unknown server names, which are the server's task
-- (in XMPP the "to" of the stream names the host).
local rfc9325 = entries("RFC 9325", {
	{ "version.sslv2", "3.1.1", "MUST NOT" },
	{ "version.sslv3", "3.1.1", "MUST NOT" },
	{ "version.tls10", "3.1.1", "MUST NOT" },
	{ "version.tls11", "3.1.1", "MUST NOT" },
	{ "version.tls12", "3.1.1", "MUST" },
	{ "version.latest", "3.1.1", "SHOULD support, MUST prefer" },
	{ "support.strict", "3.2", "MUST" },
	{ "support.direct", "3.2", "MUST" },
	{ "compress.tls", "3.3", "SHOULD NOT" },
	{ "resume.sealed", "3.4", "MUST" },
	{ "resume.lifetime", "3.4", "MUST" },
	{ "resume.psk-dhe", "3.4", "SHOULD" },
	{ "renegotiation.secure", "3.5", "MUST" },
	{ "master-secret.extended", "3.5", "MUST" },
	{ "early-data.none", "3.10", "MUST" },
	{ "cipher.null", "4.1", "MUST NOT" },
	{ "cipher.rc4", "4.1", "MUST NOT" },
	{ "cipher.export", "4.1", "MUST NOT" },
	{ "cipher.bits112", "4.1", "MUST NOT" },
	-- 3DES has 112 bits. The level "must" promises 128 bits in every profile, so it is
	-- stricter here than the document.
	{ "cipher.bits128", "4.1", "SHOULD NOT", at = "must" },
	{ "key.static-rsa", "4.1", "SHOULD NOT" },
	{ "key.static-dh", "4.1", "SHOULD NOT" },
	{ "cipher.fs", "4.1", "MUST support, MUST prefer" },
	{ "key.dhe", "4.1", "SHOULD NOT" },
	{ "cipher.ecdhe-gcm", "4.2", "RECOMMENDED" },
	{ "cipher.cbc", "4.2", "SHOULD NOT" },
	{ "cipher.bits256", "4.2.1", "SHOULD" },
	{ "group.recommended", "4.2.1", "SHOULD" },
	{ "key.dh2048", "4.5", "REQUIRED" },
	{ "key.curve224", "4.5", "MUST NOT" },
	{ "key.rsa2048", "4.5", "MUST" },
	{ "signature.sha1", "4.5", "MUST NOT" },
	{ "cert.identity", "7.1", "per RFC 6120, 6125" },
})

local rfc7590 = entries("RFC 7590", {
	{ "support.offer", "3.1", "MUST" },
	{ "support.attempt", "3.1", "SHOULD" },
	{ "support.flag", "3.1", "MUST NOT" },
	{ "cert.identity", "3.4", "per RFC 6120, 6125" },
	{ "unauth.encrypt", "3.4", "allowed" },
	{ "sni.harmless", "3.5", "allowed" },
	{ "admin.status", "3.6", "strongly encouraged" },
	{ "admin.version", "3.6", "strongly encouraged" },
	{ "admin.certificate", "3.6", "strongly encouraged" },
	{ "admin.cipher", "3.6", "strongly encouraged" },
	{ "admin.change", "3.6", "strongly encouraged" },
})

-- The entries of one document, then those of another for clauses that it does not have.
local function joined(list, more)
	local all, present = {}, {}
	for _, part in ipairs({ list, more }) do
		for _, entry in ipairs(part) do
			if not present[entry.clause] then
				present[entry.clause] = true
				all[#all + 1] = entry
			end
		end
	end
	return all
end

-- The entries without those of one clause.
local function without(list, clause)
	local rest = {}
	for _, entry in ipairs(list) do
		rest[#rest + 1] = entry.clause ~= clause and entry or nil
	end
	return rest
end

-- It updates RFC 9325, which has one statement on all static DH.
local rfc10015 = entries("RFC 10015", {
	{ "key.static-ffdh", "2", "MUST NOT" },
	{ "key.static-ecdh", "2", "SHOULD NOT" },
	{ "cert.fixed-dh", "2", "SHOULD NOT" },
	{ "key.dhe", "3", "MUST NOT" },
	{ "key.static-rsa", "4", "MUST NOT" },
})

-- rfc8446.9.1.secp256r1
local rfc8446 = entries("RFC 8446", {
	{ "group.secp256r1", "9.1", "MUST" },
})

local bcp195_2026_07 = joined(joined(rfc10015, without(rfc9325, "key.static-dh")), rfc8446)

local xep0178 = entries("XEP-0178", {
	{ "cert.server-auth", "1", "needs" },
})

-- rfc8439.1.aes-without-hardware
local our_advice = entries("RFC 8439", {
	{ "order.chacha20", "1", "our advice" },
})

-- RFC 9325 3.2 to 3.10: all but versions, suites, keys and certificates.
local function of_protocol(list)
	local kept = {}
	for _, entry in ipairs(list) do
		kept[#kept + 1] = entry.section:find "^3%." and not entry.section:find "^3%.1" and entry or nil
	end
	return kept
end

-- The file of 2026-04 (src/static/guidelines/6.0.json); a section is a configuration and a field of it.
-- It has versions, suites, groups and certificates alone. RFC 7590 and RFC 9325 have the rest.
local function mozilla(configuration, rows)
	for _, row in ipairs(rows) do
		row[2] = configuration .. "." .. row[2]
	end
	local of_document = entries("Mozilla Server Side TLS 6.0", rows)
	return joined(joined(joined(of_document, rfc7590), of_protocol(rfc9325)), rfc8446)
end

local mozilla_intermediate = mozilla("intermediate", {
	{ "version.sslv2", "tls_versions", "MUST NOT" },
	{ "version.sslv3", "tls_versions", "MUST NOT" },
	{ "version.tls10", "tls_versions", "MUST NOT" },
	{ "version.tls11", "tls_versions", "MUST NOT" },
	{ "version.tls12", "tls_versions", "MUST" },
	{ "version.latest", "tls_versions", "MUST" },
	{ "cipher.gcm-chacha20", "ciphers", "MUST NOT" },
	{ "cipher.six", "ciphers", "RECOMMENDED" },
	{ "group.four", "tls_curves", "MUST NOT" },
	{ "order.client", "server_preferred_order", "MUST" },
	{ "cert.rsa-ecdsa", "certificate_types", "MUST" },
	{ "key.rsa2048", "rsa_key_size", "MUST" },
	{ "cert.rsa2048", "rsa_key_size", "MUST" },
	{ "cert.curves", "certificate_curves", "MUST" },
	{ "cert.sha2", "certificate_signatures", "MUST" },
	{ "cert.days366", "maximum_certificate_lifespan", "SHOULD" },
})

local mozilla_modern = mozilla("modern", {
	{ "version.only-tls13", "tls_versions", "MUST NOT" },
	{ "version.latest", "tls_versions", "MUST" },
	{ "cipher.gcm-chacha20", "ciphersuites", "MUST NOT" },
	{ "group.four", "tls_curves", "MUST NOT" },
	{ "order.client", "server_preferred_order", "MUST" },
	{ "cert.ecdsa", "certificate_types", "MUST" },
	{ "cert.curves", "certificate_curves", "MUST" },
	{ "cert.ecdsa-sha2", "certificate_signatures", "MUST" },
	{ "cert.days90", "maximum_certificate_lifespan", "SHOULD" },
})

-- Entries of a list, by their clauses.
local function picked(list, clauses)
	local is_wanted, found = {}, {}
	for _, clause in ipairs(clauses) do
		is_wanted[clause] = true
	end
	for _, entry in ipairs(list) do
		found[#found + 1] = is_wanted[entry.clause] and entry or nil
	end
	return found
end

-- The statements of RFC 7590, RFC 9325 and RFC 8446 that a document for all kinds of servers does not make.
local function for_xmpp(document, of_rfc9325)
	return joined(joined(joined(document, rfc7590), picked(rfc9325, of_rfc9325)), joined(of_protocol(rfc9325), rfc8446))
end

-- doc/profiles.md names the renderings that these were read from. NIST allows TLS 1.0 and 1.1 for interoperation,
-- and RSA key transport for a transition (appendix D).
local nist = for_xmpp(entries("NIST SP 800-52r2", {
	{ "version.sslv2", "3.1", "MUST NOT" },
	{ "version.sslv3", "3.1", "MUST NOT" },
	{ "version.tls10", "3.1", "MAY" },
	{ "version.tls11", "3.1", "MAY" },
	-- As in the draft, the preference is exclusive only at "should".
	{ "version.tls12", "3.1", "MUST", at = "should" },
	{ "version.latest", "3.1", "MUST" },
	{ "cert.rsa-ecdsa", "3.2", "MUST" },
	{ "cert.rsa2048", "3.2", "MUST" },
	{ "key.rsa2048", "3.2", "MUST" },
	{ "cert.curves", "3.2", "SHOULD" },
	{ "cert.days1095", "3.2", "SHOULD" },
	{ "signature.sha1", "3.2", "MUST NOT" },
	{ "cipher.aes", "3.3.1.1, 3.3.1.2", "MUST NOT" },
	{ "cipher.fs", "3.3.1.1", "SHOULD" },
	{ "order.aead", "3.3.1.1", "SHOULD" },
	{ "key.static-rsa", "D", "SHOULD NOT" },
	{ "cipher.bits112", "3.3.3", "MUST NOT" },
	{ "key.dh2048", "3.3.3", "MUST" },
	{ "key.curve224", "3.3.3", "MUST NOT" },
	{ "group.nist", "3.4.2.2", "MUST NOT" },
	{ "renegotiation.secure", "3.4", "MUST" },
	{ "master-secret.extended", "3.4", "MUST" },
	{ "early-data.none", "3.4", "SHOULD" },
}), {})

-- The BSI's "not recommended" is a SHOULD NOT here. Where RFC 9325 says MUST NOT, level "must" refuses all the same.
local bsi = for_xmpp(entries("BSI TR-02102-2", {
	{ "version.sslv2", "3.2", "SHOULD NOT", at = "must" },
	{ "version.sslv3", "3.2", "SHOULD NOT", at = "must" },
	{ "version.tls10", "3.2", "SHOULD NOT", at = "must" },
	{ "version.tls11", "3.2", "SHOULD NOT", at = "must" },
	{ "version.tls12", "3.2", "RECOMMENDED" },
	{ "version.latest", "3.2", "RECOMMENDED" },
	{ "cipher.aes-sha2", "3.3.1.1, 3.4.4", "SHOULD NOT" },
	{ "group.brainpool", "3.3.2, 3.4.2", "SHOULD NOT" },
	-- The use of PKCS #1 v1.5 ends with 2025.
	{ "signature.pss", "3.3.3, 3.4.3", "SHOULD NOT" },
	{ "renegotiation.secure", "3.3.4.1", "RECOMMENDED" },
	{ "compress.tls", "3.3.4.3", "SHOULD NOT" },
	{ "master-secret.extended", "3.3.4.7", "RECOMMENDED" },
	{ "resume.psk-dhe", "3.4.1", "RECOMMENDED" },
	{ "early-data.none", "3.4.1", "RECOMMENDED" },
	{ "cert.pss", "3.4.3", "RECOMMENDED" },
	{ "key.dh3000", "3.6.1", "RECOMMENDED" },
	{ "cert.rsa3000", "3.6.1", "RECOMMENDED" },
	{ "cert.ec250", "3.6.1", "RECOMMENDED" },
}), {
	"cipher.null", "cipher.rc4", "cipher.export", "cipher.bits112", "cipher.bits128", "cipher.fs", "key.dh2048",
	"key.curve224", "key.rsa2048", "signature.sha1",
})

-- The server's own defaults are extended by these, where a profile says nothing else.
local hybrid_groups = { "X25519MLKEM768" }

-- Name -> profile, and the names in their order, the default first.
profiles.by_name, profiles.names = {}, {}

-- Adds a profile: { name, title, document, date, entries, hybrid_groups (optional) }; an entry is { clause,
-- document, section (or several, "3.3.2, 3.4.2"), level, at = "must" | "should" | "never" }.
function profiles.publish(profile)
	assert(not profiles.by_name[profile.name], profile.name)
	profile.hybrid_groups = profile.hybrid_groups or hybrid_groups
	profiles.by_name[profile.name] = profile
	profiles.names[#profiles.names + 1] = profile.name
end

-- Rows as the profiles above have them, as entries.
profiles.entries = entries

local table_of_profiles = {
	{
		name = "draft-saintandre-xmpp-tls-02",
		title = "Use of TLS in XMPP, Internet-Draft, revision 02",
		document = "draft-saintandre-xmpp-tls-02",
		date = "2013",
		entries = draft,
	},
	-- RFC 7590 takes in BCP 195: RFC 7525 when it was written, RFC 9325 since.
	{
		name = "rfc7590",
		title = "Use of TLS in XMPP (June 2015), with BCP 195 as of RFC 9325",
		document = "RFC 7590",
		date = "2022-11",
		entries = joined(rfc7590, rfc9325),
	},
	{
		name = "rfc9325",
		title = "Recommendations for Secure Use of TLS and DTLS (BCP 195)",
		document = "RFC 9325",
		date = "2022-11",
		entries = rfc9325,
	},
	{
		name = "bcp195-2026-07",
		title = "BCP 195 as of July 2026: RFC 9325, updated by RFC 10015",
		document = "RFC 9325",
		date = "2026-07",
		entries = bcp195_2026_07,
	},
	{
		name = "xmpp-2026-07",
		title = "Use of TLS in XMPP (RFC 7590), with BCP 195 as of July 2026",
		document = "RFC 7590",
		date = "2026-07",
		entries = joined(joined(rfc7590, bcp195_2026_07), joined(xep0178, our_advice)),
	},
	{
		name = "mozilla-intermediate-6.0",
		title = "Mozilla's guidelines 6.0 for servers, intermediate, with RFC 7590 for XMPP",
		document = "Mozilla Server Side TLS 6.0",
		date = "2026-04",
		entries = mozilla_intermediate,
	},
	{
		name = "mozilla-modern-6.0",
		title = "Mozilla's guidelines 6.0 for servers, modern, with RFC 7590 for XMPP",
		document = "Mozilla Server Side TLS 6.0",
		date = "2026-04",
		entries = mozilla_modern,
	},
	{
		name = "nist-sp-800-52r2",
		title = "NIST SP 800-52 revision 2 (August 2019), with RFC 7590 for XMPP",
		document = "NIST SP 800-52r2",
		date = "2019-08",
		entries = nist,
		hybrid_groups = {},
	},
	{
		name = "bsi-tr-02102-2-2025",
		title = "BSI TR-02102-2, version 2025-01, with RFC 7590 for XMPP",
		document = "BSI TR-02102-2",
		date = "2025-01",
		entries = bsi,
		hybrid_groups = {},
	},
}
for _, profile in ipairs(table_of_profiles) do
	profiles.publish(profile)
end
profiles.default = profiles.names[1]

-- Retired name -> the name to write instead.
profiles.superseded = {
	["draft-saintandre-xmpp-tls-00"] = "draft-saintandre-xmpp-tls-02",
	["draft-saintandre-xmpp-tls-01"] = "draft-saintandre-xmpp-tls-02",
	["rfc7525"] = "rfc9325",
}

return profiles
