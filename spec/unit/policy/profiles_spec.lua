-- The profiles: which clauses they have, from which section, at which level.
local clauses = require "xmpp_tls_policy.policy.clauses"
local compare = require "unit.golden.compare"
local profiles = require "xmpp_tls_policy.policy.profiles"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

-- Every normative or actionable statement of the draft.
local draft = {
	{ "support.offer", "4.1", "MUST" },
	{ "support.required", "4.1", "SHOULD" },
	{ "support.abort", "4.1", "MUST" },
	{ "support.flag", "4.1", "MUST NOT" },
	{ "version.sslv2", "4.2", "MUST NOT" },
	{ "version.sslv3", "4.2", "MUST NOT" },
	{ "version.tls10", "4.2", "SHOULD NOT" },
	{ "version.tls11", "4.2", "MAY" },
	{ "version.tls12", "4.2", "MUST" },
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
}

local function has(name, clause)
	for _, entry in ipairs(profiles.by_name[name].entries) do
		if entry.clause == clause then
			return entry
		end
	end
end

-- Where an entry is enforced at another level than its word says.
local other_levels = {
	["draft-saintandre-xmpp-tls-02"] = { "version.tls12 at should" },
	["mozilla-intermediate-6.0"] = {}, ["mozilla-modern-6.0"] = {},
	["nist-sp-800-52r2"] = { "version.tls12 at should" },
	["bsi-tr-02102-2-2025"] = { "version.sslv2 at must", "version.sslv3 at must", "version.tls10 at must",
		"version.tls11 at must", "cipher.bits128 at must" },
}

describe("the profile", function()
	it("draft-saintandre-xmpp-tls-02 has the draft's 31 clauses, in its order", function()
		local actual = {}
		for index, entry in ipairs(profiles.by_name["draft-saintandre-xmpp-tls-02"].entries) do
			actual[index] = { entry.clause, entry.section, entry.level }
		end
		assert.are.equal(31, #actual)
		assert.are.same(draft, actual)
	end)

	it("rfc7590 turns support.abort round", function()
		assert.is_nil(has("rfc7590", "support.abort"))
		assert.is_truthy(has("draft-saintandre-xmpp-tls-02", "support.abort"))
		local entry = has("rfc7590", "support.attempt")
		assert.are.same({ "RFC 7590", "3.1", "SHOULD" }, { entry.document, entry.section, entry.level })
	end)

	it("rfc7590 takes in all of rfc9325, and cites itself for clauses of both", function()
		for _, entry in ipairs(profiles.by_name.rfc9325.entries) do
			local own = has("rfc7590", entry.clause)
			assert.are.equal(entry.clause == "cert.identity" and "RFC 7590" or "RFC 9325", own.document)
		end
	end)

	it("bcp195-2026-07 is rfc9325 with the statements of RFC 10015 in place of its own", function()
		local updated = {
			["key.static-ffdh"] = { "2", "MUST NOT", "must" }, ["key.static-ecdh"] = { "2", "SHOULD NOT", "should" },
			["cert.fixed-dh"] = { "2", "SHOULD NOT", "should" }, ["key.dhe"] = { "3", "MUST NOT", "must" },
			["key.static-rsa"] = { "4", "MUST NOT", "must" },
		}
		for clause, expected in pairs(updated) do
			local entry = has("bcp195-2026-07", clause)
			assert.are.same({ "RFC 10015", expected[1], expected[2], expected[3] },
				{ entry.document, entry.section, entry.level, entry.at })
		end
		for _, entry in ipairs(profiles.by_name.rfc9325.entries) do
			if entry.clause == "key.static-dh" then
				assert.is_nil(has("bcp195-2026-07", entry.clause))
			elseif not updated[entry.clause] then
				assert.are.equal(entry, has("bcp195-2026-07", entry.clause))
			end
		end
		local entry = has("bcp195-2026-07", "group.secp256r1")
		assert.are.same({ "RFC 8446", "9.1", "MUST" }, { entry.document, entry.section, entry.level })
	end)

	it("xmpp-2026-07 has RFC 7590's statements, and the rest from bcp195-2026-07", function()
		for _, entry in ipairs(profiles.by_name["bcp195-2026-07"].entries) do
			local own = has("xmpp-2026-07", entry.clause)
			assert.are.equal(entry.clause == "cert.identity" and "RFC 7590" or entry.document, own.document)
		end
		for _, entry in ipairs(profiles.by_name.rfc7590.entries) do
			if entry.document == "RFC 7590" then
				assert.are.equal(entry, has("xmpp-2026-07", entry.clause))
			end
		end
	end)

	it("of NIST or the BSI permits neither X25519, alone or in a hybrid, nor ChaCha20 to an operator", function()
		for _, name in ipairs({ "nist-sp-800-52r2", "bsi-tr-02102-2-2025" }) do
			local policy = tls_policy.policy({ profile = name })
			local listed = { ciphers = {}, ciphersuites = { "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256" },
				groups = { "x25519", "X25519MLKEM768", "secp384r1", "ffdhe3072" } }
			for suite in pairs(suites.by_name) do
				table.insert(listed.ciphers, suite:find "_WITH_" and suite or nil)
			end
			for _, settings in ipairs({ policy:settings(), (assert(policy:settings_for(listed, listed))) }) do
				for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
					local names = table.concat(settings[list], " "):lower()
					assert.is_nil(names:find "chacha20" or names:find "25519", names)
				end
			end
			assert.are.same({ "secp384r1", "ffdhe3072" }, policy:settings_for(listed, listed).groups)
		end
	end)

	it("of the BSI refuses the old versions at level must, too, and 2048 bits of DH at should", function()
		for level, bits in pairs({ should = 3000, must = 2048 }) do
			local settings = tls_policy.policy({ profile = "bsi-tr-02102-2-2025", level = level }):settings()
			assert.are.same({ "TLSv1.2", bits }, { settings.minimum_version, settings.dh_bits })
		end
	end)

	-- rfc8439.1.aes-without-hardware
	it("xmpp-2026-07 alone has advice of our own, and says so", function()
		local found = {}
		for _, name in ipairs(profiles.names) do
			for _, entry in ipairs(profiles.by_name[name].entries) do
				found[#found + 1] = entry.level == "our advice" and name .. ": " .. entry.clause or nil
			end
		end
		assert.are.same({ "xmpp-2026-07: order.chacha20" }, found)
	end)

	for _, name in ipairs(profiles.names) do
		local profile = profiles.by_name[name]
		it(name .. " has a name, a title, a date, and only known clauses, each once", function()
			assert.are.equal(name, profile.name)
			assert.is_truthy(profile.title)
			assert.is_truthy(profile.date:find("^%d%d%d%d"))
			local seen = {}
			for _, entry in ipairs(profile.entries) do
				assert.is_truthy(clauses[entry.clause], entry.clause)
				assert.is_nil(seen[entry.clause], entry.clause)
				seen[entry.clause] = true
				for section in (entry.section .. ", "):gmatch "(.-), " do
					assert.is_truthy(section:find "^%d+[%d.]*$" or section:find "^%u$" or section:find "^%l+%.[%l_]+$", entry.section)
				end
				assert.is_truthy(profiles.enforced_at[entry.level], entry.level)
				assert.is_truthy(entry.at == "must" or entry.at == "should" or entry.at == "never", entry.clause)
			end
		end)

		it(name .. " differs from its levels only where CLAUSES says why", function()
			local exceptions = {}
			for _, entry in ipairs(profile.entries) do
				if entry.at ~= profiles.enforced_at[entry.level] then
					exceptions[#exceptions + 1] = entry.clause .. " at " .. entry.at
				end
			end
			assert.are.same(other_levels[name] or { "cipher.bits128 at must" }, exceptions)
		end)

		it(name .. " has the conformance table that is in spec/unit/golden", function()
			compare("conformance-" .. name .. ".md", tls_policy.conformance(name))
		end)
	end

	it("of no clause is missing: each stands in some profile", function()
		for id in pairs(clauses) do
			local found = false
			for _, name in ipairs(profiles.names) do
				found = found or has(name, id) ~= nil
			end
			assert.is_true(found, id)
		end
	end)

	it("names that are superseded lead to one that is not", function()
		for name, heir in pairs(profiles.superseded) do
			assert.is_nil(profiles.by_name[name])
			assert.is_truthy(profiles.by_name[heir])
		end
	end)
end)

describe("tls_policy.profile", function()
	it("lists the names, the default first", function()
		assert.are.same({
			"draft-saintandre-xmpp-tls-02", "rfc7590", "rfc9325", "bcp195-2026-07", "xmpp-2026-07",
			"mozilla-intermediate-6.0", "mozilla-modern-6.0", "nist-sp-800-52r2", "bsi-tr-02102-2-2025",
		}, tls_policy.profile_names)
		assert.are.equal(tls_policy.profile_names[1], tls_policy.defaults().profile)
	end)

	it("hands out a copy: a published profile cannot be changed", function()
		local copy = tls_policy.profile("rfc9325")
		assert.are.same(profiles.by_name.rfc9325, copy)
		copy.entries[1].level, copy.entries[2], copy.date = "MAY", nil, "never"
		assert.are.equal("MUST NOT", tls_policy.profile("rfc9325").entries[1].level)
		assert.are.equal("version.sslv3", tls_policy.profile("rfc9325").entries[2].clause)
		assert.are.equal("2022-11", tls_policy.profile("rfc9325").date)
	end)

	for _, case in ipairs({
		{ "rfc9352", '"rfc9352" is no profile; did you mean "rfc9325"?' },
		{ "strict", '"strict" is no profile' },
		{ 7, "7 is no profile" },
		{ {}, "an empty table is no profile" },
	}) do
		it("refuses " .. case[2], function()
			for _, ask in ipairs({ tls_policy.profile, tls_policy.conformance }) do
				local profile, message = ask(case[1])
				assert.is_nil(profile)
				assert.are.equal(case[2], message)
			end
		end)
	end
end)
