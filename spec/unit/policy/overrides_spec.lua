-- The parts of a server's own configuration that a policy overrides.
local overrides = require "xmpp_tls_policy.policy.overrides"
local tls_policy = require "xmpp_tls_policy"

local function entry(changes)
	local made = {
		before = { minimum_version = "TLSv1.2", security_level = 2, ciphers = { "A" }, ciphersuites = { "B" },
			groups = { "x25519" } },
		settings = { minimum_version = "TLSv1.2", security_level = 2, ciphers = { "a" }, ciphersuites = { "B" },
			groups = { "X25519" } },
		given = { operator = { ciphers = true, ciphersuites = true, groups = true } }, dropped = {},
	}
	for field, value in pairs(changes or {}) do
		for key, item in pairs(value) do
			made[field][key] = item
		end
	end
	return made
end

describe("the overrides of a context", function()
	it("are none where the configuration is as strict, however names are written", function()
		assert.are.same({}, overrides.of_context(entry()))
	end)

	it("are none where nothing is known of the context", function()
		assert.are.same({}, overrides.of_context({ given = {} }))
	end)

	for _, case in ipairs({
		{ { before = { minimum_version = "TLSv1" } }, "ssl allows TLS 1.0; the lowest version in force is TLS 1.2" },
		{ { before = { ciphers = { "A", "C", "D" } } },
			"of the cipher suites of TLS 1.2 and older in ssl, 2 are not allowed: C, D" },
		{ { before = { ciphersuites = { "B", "C" } } },
			"of the cipher suites of TLS 1.3 in ssl, 1 are not allowed: C" },
		{ { before = { groups = { "secp192r1" } } }, "of the groups in ssl, 1 are not allowed: secp192r1" },
		{ { before = { security_level = 1 } }, "ssl has OpenSSL's security level 1; 2 is in force" },
		{ { dropped = { dh_bits = 1024 } }, "the DH parameters of 1024 bits in ssl were replaced by stronger ones" },
	}) do
		it("are reported: " .. case[2], function()
			assert.are.same({ case[2] }, overrides.of_context(entry(case[1])))
		end)
	end

	it("name the option with which the operator chose the server's own lists", function()
		local made = entry({ before = { ciphers = { "A", "C" }, minimum_version = "TLSv1" } })
		made.given.operator = { protocol = true }
		local preset = 'tls_profile = "old"'
		assert.are.same({ "ssl allows TLS 1.0; the lowest version in force is TLS 1.2",
			'of the cipher suites of TLS 1.2 and older in tls_profile = "old", 1 are not allowed: C' },
			overrides.of_context(made, preset))
		made.given.operator = { ciphers = true }
		assert.are.same({ 'tls_profile = "old" allows TLS 1.0; the lowest version in force is TLS 1.2',
			"of the cipher suites of TLS 1.2 and older in ssl, 1 are not allowed: C" }, overrides.of_context(made, preset))
	end)

	it("do not count the defaults of the server", function()
		local made = entry({ before = { ciphers = { "C" } } })
		made.given.operator = {}
		assert.are.same({}, overrides.of_context(made))
	end)
end)

describe("the overrides of options", function()
	local loose = { c2s_require_encryption = false, s2s_require_encryption = false, require_encryption = false,
		allow_unencrypted_plain_auth = true, s2s_secure_auth = false, s2s_insecure_domains = { "a.example" } }

	it("are the options that allow more than the policy", function()
		assert.are.same({
			"c2s_require_encryption = false has no effect: the policy requires TLS",
			"s2s_require_encryption = false has no effect: the policy requires TLS",
			"require_encryption = false has no effect: the policy requires TLS",
			"allow_unencrypted_plain_auth has no effect: the policy requires TLS before authentication",
		}, overrides.of_options(tls_policy.policy(), loose))
		assert.are.same({
			's2s_secure_auth = false has no effect: unauthenticated_s2s = "refuse" of the policy is stricter',
			's2s_insecure_domains has no effect: unauthenticated_s2s = "refuse"; an exception is needed',
		}, overrides.of_options(tls_policy.policy({ level = "must", unauthenticated_s2s = "refuse" }), loose))
	end)

	it("are none in report mode, and none where the options are strict", function()
		local reported = tls_policy.policy({ mode = "report", unauthenticated_s2s = "refuse" })
		assert.are.same({}, overrides.of_options(reported, loose))
		local policy = tls_policy.policy({ unauthenticated_s2s = "refuse" })
		assert.are.same({}, overrides.of_options(policy, {}))
		assert.are.same({}, overrides.of_options(policy, { c2s_require_encryption = true, s2s_secure_auth = true,
			s2s_insecure_domains = {} }))
	end)
end)
