-- Profiles as tables; the settings of policies are compared in settings_spec.lua.
local clauses = require "xmpp_tls_policy.policy.clauses"
local render = require "xmpp_tls_policy.policy.render"
local tls_policy = require "xmpp_tls_policy"

describe("how an entry is held", function()
	for _, case in ipairs({
		-- the clause, the level at which it is enforced, then the expected words
		{ "version.tls12", "should", "should", "ruled out, kept on", "judged" },
		{ "cipher.aead", "should", "should", "ruled out, arranged, kept on", "judged" },
		{ "key.ecdhe", "should", nil, "arranged", nil },
		{ "version.latest", "should", nil, "kept on", nil },
		{ "support.offer", "must", "must", "", "stream" },
		{ "admin.status", "should", "should", "", "server" },
		{ "version.tls11", "never", nil, "", nil },
		{ "sni.harmless", "never", nil, "", "server" },
	}) do
		it(("follows from its clause: %s, %s"):format(case[1], case[2]), function()
			local holding = render.holding({ at = case[2] }, clauses[case[1]])
			assert.are.same({ case[3], case[4], case[5] },
				{ holding.enforced_at, table.concat(holding.handshake, ", "), holding.connection })
		end)
	end
end)

describe("a conformance table", function()
	it("has a row for each entry, with the document where it is another than the profile's", function()
		for _, name in ipairs(tls_policy.profile_names) do
			local rows = select(2, tls_policy.conformance(name):gsub("\n", ""))
			assert.are.equal(2 + #tls_policy.profile(name).entries, rows)
		end
		assert.matches("| version.tls10 | RFC 9325, 3.1.1 | MUST NOT | must | ruled out | judged |",
			tls_policy.conformance("rfc7590"), 1, true)
		assert.matches("| version.tls10 | 3.1.1 | MUST NOT | must | ruled out | judged |",
			tls_policy.conformance("rfc9325"), 1, true)
	end)
end)
