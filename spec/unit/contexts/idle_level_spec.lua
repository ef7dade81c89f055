-- A level that has no effect, because the server itself allows no more.
local idle_level = require "xmpp_tls_policy.contexts.idle_level"
local tls_policy = require "xmpp_tls_policy"

describe("a level", function ()
	local must = assert(tls_policy.policy { level = "must" })
	local preset = {
		minimum_version = "TLSv1.2", ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, ciphersuites = {}, groups = {},
	}

	local function with(more)
		local made = {}
		for _, fields in ipairs { preset, more } do
			for name, value in pairs(fields) do
				made[name] = value
			end
		end
		return made
	end

	it("has no effect where nothing is in force that the stricter one refuses", function ()
		assert.matches('^level = "must" lets in no more peers than level = "should", because the server\'s own configuration '
			.. "has none of TLS 1.0, TLS 1.1, TLS_[%w_, ]+ and %d+ more$", idle_level.sentence(must, preset))
		assert.matches('because tls_profile = "modern" has none of',
			idle_level.sentence(must, preset, 'tls_profile = "modern"'))
	end)

	it("has one where a version or a suite is in force that the stricter one refuses", function ()
		assert.is_nil(idle_level.sentence(must, with { minimum_version = "TLSv1.1" }))
		assert.is_nil(idle_level.sentence(must, with { ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" } }))
	end)

	it("is not the strictest", function ()
		assert.is_nil(idle_level.sentence(assert(tls_policy.policy {}), preset))
		assert.is_nil(assert(tls_policy.policy {}):stricter())
		assert.equal("should", must:stricter().level)
		assert.equal(must:stricter(), must:stricter())
	end)
end)
