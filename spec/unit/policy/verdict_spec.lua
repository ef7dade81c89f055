-- Verdicts: every clause that is broken, and whether that refuses.
local tls_policy = require "xmpp_tls_policy"
local verdict = require "xmpp_tls_policy.policy.verdict"

local function entry(id, at, level)
	return {
		id = id, document = "RFC 1", section = "2.3", level = level or "MUST", at = at,
		enforced = at == "must",
	}
end

local function says(sentence)
	return { judge = function() return sentence end }
end

local clauses = {
	good = says(nil),
	bad = says("bad"),
	worse = says("worse"),
	faceless = {},
	throws = { judge = function(facts) return facts.bits + 1 end },
	told = { judge = function(facts, connection) return ("%s %s"):format(facts.version, connection.domain) end },
}

local function judge(entries, facts, connection)
	return verdict.judge(verdict.checks(entries, clauses, "judge"), facts, connection)
end

local function broken(verdict_given)
	local ids = {}
	for index, breach in ipairs(verdict_given.broken) do
		ids[index] = breach.clause .. (breach.enforced and "!" or "")
	end
	return table.concat(ids, " ")
end

describe("a verdict", function()
	it("names every clause that is broken, in the profile's order, not just the first", function()
		local entries = { entry("worse", "must"), entry("good", "must"), entry("faceless", "must"), entry("bad", "must") }
		local given = judge(entries, {})
		assert.are.same({
			refuse = true,
			broken = {
				{ clause = "worse", document = "RFC 1", section = "2.3", level = "MUST", enforced = true, text = "worse" },
				{ clause = "bad", document = "RFC 1", section = "2.3", level = "MUST", enforced = true, text = "bad" },
			},
		}, given)
	end)

	it("reports breaches that are not enforced without refusing", function()
		local given = judge({ entry("bad", "should", "SHOULD") }, {})
		assert.is_false(given.refuse)
		assert.are.equal("bad", broken(given))
	end)

	it("refuses if one of several breaches is enforced, wherever it stands", function()
		local given = judge({ entry("worse", "must"), entry("bad", "should") }, {})
		assert.is_true(given.refuse)
		assert.are.equal("worse! bad", broken(given))
	end)

	it("does not ask a clause that only allows", function()
		assert.are.same({ refuse = false, broken = {} },
			judge({ entry("bad", "never", "MAY") }, {}))
	end)

	it("takes a judge that fails for a breach", function()
		local given = judge({ entry("throws", "must") }, { bits = {} })
		assert.is_true(given.refuse)
		assert.is_truthy(given.broken[1].text:find("^could not be judged: .*arithmetic"))
	end)

	it("hands facts and connection to the judge", function()
		local given = judge({ entry("told", "must") }, { version = "TLSv1" }, { domain = "a.example" })
		assert.are.equal("TLSv1 a.example", given.broken[1].text)
	end)

	for _, facts in ipairs({ "TLSv1.3", 1, true, {} }) do
		it("refuses facts that tell nothing: " .. type(facts), function()
			for _, name in ipairs(tls_policy.profile_names) do
				for _, level in ipairs({ "should", "must" }) do
					assert.is_true(tls_policy.policy({ profile = name, level = level }):judge(facts).refuse)
				end
			end
		end)
	end

	it("refuses where there are no facts", function()
		assert.is_true(tls_policy.defaults():judge(nil).refuse)
	end)
end)

-- The facts of good handshakes, and one change at a time.
local tls13 = {
	role = "server", version = "TLSv1.3", cipher_suite = "TLS_AES_128_GCM_SHA256", bits = 128, aead = true,
	encryption = "AES-128-GCM", key_exchange = "ECDHE", authentication = "RSA", group = "x25519", group_bits = 253,
	forward_secrecy = true, signature_scheme = "rsa_pss_rsae_sha256", compression = false, resumed = false,
}
local tls12 = {
	role = "server", version = "TLSv1.2", cipher_suite = "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", bits = 128, aead = true,
	encryption = "AES-128-GCM", key_exchange = "DHE", authentication = "RSA", group_bits = 2048,
	forward_secrecy = true, signature_scheme = "rsa_pkcs1_sha256", compression = false, resumed = false,
	extended_master_secret = true, secure_renegotiation = true,
}

local function changed(facts, changes)
	local all = {}
	for _, part in ipairs({ facts, changes }) do
		for key, value in pairs(part) do
			all[key] = value
		end
	end
	return all
end

local cbc = { cipher_suite = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", encryption = "AES-128-CBC", aead = false,
	key_exchange = "ECDHE", group = "secp256r1", group_bits = 256 }
local static_rsa = { cipher_suite = "TLS_RSA_WITH_AES_128_GCM_SHA256", key_exchange = "RSA", forward_secrecy = false }
local triple_des = { cipher_suite = "TLS_RSA_WITH_3DES_EDE_CBC_SHA", encryption = "DES-EDE3-CBC", aead = false,
	bits = 168, key_exchange = "RSA", forward_secrecy = false }
local old = changed(cbc, { version = "TLSv1" })

-- facts, changes, then the broken clauses: draft should, draft must, rfc9325 should, rfc9325 must
local cases = {
	{ tls13, {}, "", "", "", "" },
	{ tls12, {}, "", "", "key.dhe!", "key.dhe" },
	{ tls12, { version = "TLSv1.1" }, "version.tls12!", "version.tls12",
		"version.tls11! version.tls12! key.dhe!", "version.tls11! version.tls12! key.dhe" },
	{ tls12, old, "version.tls10! version.tls12! cipher.aead!", "version.tls10 version.tls12 cipher.aead",
		"version.tls10! version.tls12! cipher.cbc!", "version.tls10! version.tls12! cipher.cbc" },
	{ tls12, { version = "SSLv3" }, "version.sslv3! version.tls12!", "version.sslv3! version.tls12",
		"version.sslv3! version.tls12! key.dhe!", "version.sslv3! version.tls12! key.dhe" },
	{ tls12, { version = "SSLv2" }, "version.sslv2! version.tls12!", "version.sslv2! version.tls12",
		"version.sslv2! version.tls12! key.dhe!", "version.sslv2! version.tls12! key.dhe" },
	{ tls12, cbc, "cipher.aead!", "cipher.aead", "cipher.cbc!", "cipher.cbc" },
	{ tls12, static_rsa, "cipher.fs!", "cipher.fs", "key.static-rsa! cipher.fs!", "key.static-rsa cipher.fs" },
	{ tls12, triple_des, "cipher.bits128! cipher.aead! cipher.fs!", "cipher.bits128! cipher.aead cipher.fs",
		"cipher.bits128! key.static-rsa! cipher.fs! cipher.cbc!", "cipher.bits128! key.static-rsa cipher.fs cipher.cbc" },
	{ tls13, { encryption = "RC4", aead = false }, "cipher.rc4! cipher.aead!", "cipher.rc4! cipher.aead",
		"cipher.rc4!", "cipher.rc4!" },
	{ tls13, { encryption = "NULL", bits = 0 }, "cipher.null! cipher.bits128!", "cipher.null! cipher.bits128!",
		"cipher.null! cipher.bits112! cipher.bits128!", "cipher.null! cipher.bits112! cipher.bits128!" },
	{ tls13, { bits = 40 }, "cipher.export! cipher.bits128!", "cipher.export! cipher.bits128!",
		"cipher.export! cipher.bits112! cipher.bits128!", "cipher.export! cipher.bits112! cipher.bits128!" },
	{ tls12, { group_bits = 1024 }, "key.dh2048!", "key.dh2048", "key.dhe! key.dh2048!", "key.dhe key.dh2048!" },
	{ tls12, { group_bits = 512 }, "cipher.export! key.dh2048!", "cipher.export! key.dh2048",
		"cipher.export! key.dhe! key.dh2048!", "cipher.export! key.dhe key.dh2048!" },
	{ tls12, { compression = "zlib compression" }, "compress.tls!", "compress.tls",
		"compress.tls! key.dhe!", "compress.tls key.dhe" },
	{ tls12, { authentication = "anonymous" }, "cert.identity!", "cert.identity!",
		"key.dhe! cert.identity!", "key.dhe cert.identity!" },
	{ tls13, { signature_scheme = "rsa_pkcs1_sha1" }, "", "", "signature.sha1!", "signature.sha1!" },
	{ tls13, { resumed = true, forward_secrecy = false }, "cipher.fs!", "cipher.fs",
		"resume.psk-dhe! cipher.fs!", "resume.psk-dhe cipher.fs" },
}

describe("the verdict of", function()
	for number, case in ipairs(cases) do
		for index, options in ipairs({
			{ level = "should" }, { level = "must" },
			{ profile = "rfc9325", level = "should" }, { profile = "rfc9325", level = "must" },
		}) do
			local expected = case[2 + index]
			local policy = tls_policy.policy(options)
			it(("%s on case %d is: %s"):format(policy:name(), number, expected ~= "" and expected or "good"), function()
				local given = policy:judge(changed(case[1], case[2]))
				assert.are.equal(expected, broken(given))
				assert.are.equal(expected:find("!") ~= nil, given.refuse)
			end)
		end
	end

	it("rfc7590 is that of rfc9325", function()
		for _, case in ipairs(cases) do
			for _, level in ipairs({ "should", "must" }) do
				local first = tls_policy.policy({ profile = "rfc7590", level = level }):judge(changed(case[1], case[2]))
				local second = tls_policy.policy({ profile = "rfc9325", level = level }):judge(changed(case[1], case[2]))
				assert.are.equal(#second.broken, #first.broken)
				assert.are.equal(second.refuse, first.refuse)
			end
		end
	end)
end)

describe("a breach", function()
	local function first_sentence(options)
		local policy = tls_policy.policy(options)
		return policy:sentence(policy:judge(changed(tls12, old)).broken[1])
	end

	it("is a sentence that names profile, section, clause and level", function()
		assert.are.equal("draft-saintandre-xmpp-tls-02, section 4.2, version.tls10 (SHOULD NOT): "
			.. "TLS 1.0 was negotiated; a version newer than TLS 1.0 is needed", first_sentence(nil))
		assert.are.equal("rfc9325, section 3.1.1, version.tls10 (MUST NOT): "
			.. "TLS 1.0 was negotiated; a version newer than TLS 1.0 is needed", first_sentence({ profile = "rfc9325" }))
	end)

	it("of a demand that no document makes has its name alone", function()
		local breach = verdict.breach({ id = "unauthenticated_s2s", enforced = true }, "dialback alone")
		assert.are.same({ clause = "unauthenticated_s2s", enforced = true, text = "dialback alone" }, breach)
		assert.are.equal("unauthenticated_s2s: dialback alone", tls_policy.defaults():sentence(breach))
	end)

	it("names the document where the profile takes the clause from another", function()
		assert.are.equal("rfc7590, RFC 9325 section 3.1.1, version.tls10 (MUST NOT): "
			.. "TLS 1.0 was negotiated; a version newer than TLS 1.0 is needed", first_sentence({ profile = "rfc7590" }))
	end)
end)

describe("the clauses of breaches", function()
	it("are those that the verdict refuses for", function()
		assert.are.same({ "cipher.rc4", "cipher.null" }, verdict.clauses({
			{ clause = "cipher.rc4", enforced = true }, { clause = "cipher.aead", enforced = false },
			{ clause = "cipher.null", enforced = true },
		}))
		assert.are.same({}, verdict.clauses({}))
	end)
end)
