-- The settings that a policy puts on a server's context. settings_rule_spec.lua has the rule.
local tls_policy = require "xmpp_tls_policy"

local function copy(value, changes)
	local new = {}
	for _, part in ipairs({ value, changes }) do
		for key, item in pairs(part) do
			new[key] = item
		end
	end
	return new
end

-- As a stock server of Debian 12 reads back.
local stock = {
	minimum_version = "TLSv1.2",
	maximum_version = "TLSv1.3",
	ciphers = {
		"TLS_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384",
		"TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384",
		"TLS_PSK_WITH_AES_128_GCM_SHA256",
	},
	ciphersuites = { "TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_8_SHA256" },
	groups = { "secp384r1", "sect163k1", "X25519", "ffdhe2048", "secp192r1" },
	security_level = 1,
	server_preference = false,
	no_compression = false,
	no_renegotiation = true,
	no_stateless_tickets = false,
	no_early_data = true,
	tickets = 2,
}

describe("settings for a server's context", function()
	local policy = tls_policy.defaults()
	local milder = tls_policy.policy({ level = "must" })

	it("are those of the server's defaults that the policy allows, and the recommended, in the policy's order", function()
		local settings = policy:settings_for(stock, {})
		assert.are.same({
			"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384",
			"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
		}, settings.ciphers)
		assert.are.same({ "TLS_AES_128_GCM_SHA256", "TLS_AES_128_CCM_SHA256" }, settings.ciphersuites)
		assert.are.same({ "X25519MLKEM768", "x25519", "secp384r1", "ffdhe2048" }, settings.groups)
		assert.are.same(settings, policy:settings_for(stock))
	end)

	it("are the policy's lists where the server's are unknown", function()
		local settings, own = policy:settings_for({}), policy:settings()
		for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
			assert.are.same(own[list], settings[list])
		end
	end)

	it("are the operator's own that the policy allows, the preferred ones first", function()
		local settings = policy:settings_for(stock, { ciphers = true, ciphersuites = true, groups = true })
		assert.are.same({
			"TLS_ECDHE_RSA_WITH_ARIA_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
		}, settings.ciphers)
		assert.are.same({ "TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256" }, settings.ciphersuites)
		assert.are.same({ "secp384r1", "X25519", "ffdhe2048" }, settings.groups)
	end)

	it("keep the operator's order where the policy prefers none", function()
		local his = { "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" }
		for _ = 1, 2 do
			his[1], his[2] = his[2], his[1]
			assert.are.same(his, policy:settings_for(copy(stock, { ciphers = his }), { ciphers = true }).ciphers)
		end
	end)

	-- rfc8446.4.2.8.key-shares
	it("have key shares of a hybrid that comes first, and of the first group that is none", function()
		for _, case in ipairs {
			{ { "X25519MLKEM768", "x25519", "secp256r1" }, 2 }, { { "X25519MLKEM768", "SecP256r1MLKEM768", "X448" }, 3 },
			{ { "x25519", "X25519MLKEM768" }, nil }, { { "X25519MLKEM768" }, nil },
		} do
			assert.equal(case[2], policy:settings_for(copy(stock, { groups = case[1] }), { groups = true }).key_shares)
		end
		assert.equal(2, policy:settings_for(stock).key_shares)
		assert.equal(2, policy:settings().key_shares)
	end)

	it("take each list by itself", function()
		local settings = policy:settings_for(stock, { groups = true })
		assert.are.same(policy:settings_for(stock).ciphers, settings.ciphers)
		assert.are.same({ "secp384r1", "X25519", "ffdhe2048" }, settings.groups)
	end)

	for _, case in ipairs({
		-- the policy, theirs (lowest, highest), the result
		{ policy, "TLSv1", "TLSv1.3", "TLSv1.2", "TLSv1.3" },
		{ policy, "TLSv1.3", "TLSv1.3", "TLSv1.3", "TLSv1.3" },
		{ policy, "SSLv3", "TLSv1.2", "TLSv1.2", "TLSv1.2" },
		{ policy, nil, nil, "TLSv1.2", nil },
		{ milder, "SSLv3", "TLSv1.3", "TLSv1", "TLSv1.3" },
		{ milder, "TLSv1.2", "TLSv1.2", "TLSv1.2", "TLSv1.2" },
		{ milder, "TLSv1", "TLSv1.1", "TLSv1", "TLSv1.1" },
	}) do
		it(("with %s to %s at level %s are %s to %s"):format(tostring(case[2]), tostring(case[3]), case[1].level,
			case[4], tostring(case[5])), function()
			local settings = assert(case[1]:settings_for({ minimum_version = case[2], maximum_version = case[3] }))
			assert.are.equal(case[4], settings.minimum_version)
			assert.are.equal(case[5], settings.maximum_version)
		end)
	end

	for _, case in ipairs({
		-- the policy, theirs, the result
		{ policy, { dh_bits = 4096, security_level = 3 }, 4096, 3 },
		{ policy, { dh_bits = 1024, security_level = 1 }, 2048, 2 },
		{ policy, {}, 2048, 2 },
		{ milder, { security_level = 2 }, 1024, 2 },
		{ milder, {}, 1024, nil },
	}) do
		it(("ask for the longer keys and the higher level: %s, %s"):format(case[3], tostring(case[4])), function()
			local settings = case[1]:settings_for(case[2])
			assert.are.same({ case[3], case[4] }, { settings.dh_bits, settings.security_level })
		end)
	end

	it("switch nothing off that the server has on", function()
		local settings = policy:settings_for(stock)
		assert.are.same({ true, true, true, true, true }, {
			settings.server_preference, settings.no_compression, settings.no_renegotiation,
			settings.no_stateless_tickets, settings.no_early_data,
		})
	end)

	it("keep the server's own preference of ChaCha20 only where the policy has it, too (order.chacha20)", function ()
		local theirs = copy(stock, { chacha20_preference = true, server_preference = true })
		assert.is_nil(policy:settings_for(theirs).chacha20_preference)
		for name, expected in pairs { ["xmpp-2026-07"] = true, ["rfc9325"] = false, ["mozilla-modern-6.0"] = false } do
			local settings = tls_policy.policy { profile = name }:settings_for(theirs)
			assert.equal(expected, settings.chacha20_preference or false, name)
		end
	end)

	it("name only settings that a context takes", function()
		assert.is_nil(policy:settings_for(stock).tickets)
	end)

	it("leave their sources as they were", function()
		local in_force = copy(stock, {})
		policy:settings_for(in_force, { ciphers = true })
		assert.are.same(stock, in_force)
		assert.are.same(tls_policy.defaults():settings(), policy:settings())
	end)

	it("have no list for versions that are not left", function()
		local ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" }
		local settings = assert(policy:settings_for(
			copy(stock, { minimum_version = "TLSv1.3", ciphers = ciphers }), { ciphers = true }))
		assert.is_nil(settings.ciphers)
		settings = assert(policy:settings_for(
			copy(stock, { maximum_version = "TLSv1.2", ciphersuites = {} }), { ciphersuites = true }))
		assert.is_nil(settings.ciphersuites)
	end)

	local NAME = "draft-saintandre-xmpp-tls-02, level should, allows "
	local OWN = "; the server's own configuration "
	local CIPHERS = "no cipher suite of TLS 1.2 or older is left: " .. NAME
		.. "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "
		.. "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "
		.. "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256 and 3 more" .. OWN .. "lists "
	local SUITES = "no cipher suite of TLS 1.3 is left: " .. NAME
		.. "TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256" .. OWN .. "lists "
	local GROUPS = "no group is left: " .. NAME
		.. "X25519MLKEM768, x25519, secp256r1, x448, secp384r1, secp521r1" .. OWN .. "lists "
	local all = { ciphers = true, ciphersuites = true, groups = true }

	-- theirs, which lists are the operator's, the message, the code
	for _, case in ipairs({
		{ { maximum_version = "TLSv1.1" }, {},
			"no TLS version is left: " .. NAME .. "TLS 1.2 and newer" .. OWN .. "allows SSL 2.0 to TLS 1.1", "empty" },
		{ { minimum_version = "TLSv1", maximum_version = "TLSv1" }, {},
			"no TLS version is left: " .. NAME .. "TLS 1.2 and newer" .. OWN .. "allows TLS 1.0", "empty" },
		{ { maximum_version = "TLSv1.2", ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" } }, { ciphers = true },
			CIPHERS .. "TLS_RSA_WITH_AES_128_CBC_SHA", "empty" },
		{ { maximum_version = "TLSv1.2", ciphers = {} }, { ciphers = true }, CIPHERS .. "none", "empty" },
		{ { minimum_version = "TLSv1.3", ciphersuites = { "TLS_SHA256_SHA256" } }, { ciphersuites = true },
			SUITES .. "TLS_SHA256_SHA256", "empty" },
		{ { ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" }, ciphersuites = { "TLS_SHA256_SHA256" } },
			{ ciphers = true, ciphersuites = true },
			CIPHERS .. "TLS_RSA_WITH_AES_128_CBC_SHA; " .. SUITES .. "TLS_SHA256_SHA256", "empty" },
		{ { minimum_version = "TLSv1.3", groups = { "secp192r1" } }, { groups = true }, GROUPS .. "secp192r1", "empty" },
		{ { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, groups = { "secp192r1" } },
			{ ciphers = true, groups = true }, GROUPS .. "secp192r1", "empty" },
		{ {}, all, CIPHERS .. "none; " .. SUITES .. "none; " .. GROUPS .. "none", "empty" },
		{ { minimum_version = "TLSv1.4" }, {},
			'the server\'s own configuration has an unknown TLS version: "TLSv1.4"', "version" },
		{ { maximum_version = 3 }, {}, "the server's own configuration has an unknown TLS version: 3", "version" },
	}) do
		it("of which nothing is left are refused: " .. case[3]:sub(1, 60), function()
			local settings, message, code = policy:settings_for(case[1], case[2])
			assert.is_nil(settings)
			assert.are.equal(case[3], message)
			assert.are.equal(case[4], code)
		end)
	end

	-- theirs, which lists are the operator's; the versions in force, the sentence about those lost
	for _, case in ipairs({
		{ { ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" } }, { ciphers = true },
			"TLSv1.3", nil, "without TLS 1.2: " .. CIPHERS .. "TLS_RSA_WITH_AES_128_CBC_SHA" },
		{ { ciphersuites = { "TLS_AES_128_CCM_8_SHA256" } }, { ciphersuites = true },
			"TLSv1.2", "TLSv1.2", "without TLS 1.3: " .. SUITES .. "TLS_AES_128_CCM_8_SHA256" },
		-- DHE needs no group.
		{ { groups = { "MLKEM512" } }, { groups = true },
			"TLSv1.2", "TLSv1.2", "without TLS 1.3: " .. GROUPS .. "MLKEM512" },
		{ { ciphers = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, groups = { "brainpoolP256r1" } },
			{ ciphers = true, groups = true }, "TLSv1.2", "TLSv1.2" },
		{ { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, ciphersuites = { "TLS_AES_128_GCM_SHA256" },
			groups = { "brainpoolP256r1tls13" } }, all, "TLSv1.3", nil },
		{ { ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" }, ciphersuites = { "TLS_AES_128_GCM_SHA256" },
			groups = { "brainpoolP256r1" } }, all, "TLSv1.2", "TLSv1.2" },
		-- The server itself has nothing for TLS 1.2.
		{ { ciphers = {} }, { ciphers = true }, "TLSv1.3", nil },
	}) do
		it("lose only the version that has nothing left: " .. tostring(case[5]):sub(1, 60), function()
			local settings, losses = assert(policy:settings_for(case[1], case[2]))
			assert.are.same({ case[3], case[4] }, { settings.minimum_version, settings.maximum_version })
			assert.are.same({ case[5] }, losses)
			assert.are.equal(case[3] == "TLSv1.3", settings.ciphers == nil)
			assert.are.equal(case[4] == "TLSv1.2", settings.ciphersuites == nil)
		end)
	end

	it("drop the suites that need a group, if none is left", function()
		local settings = assert(policy:settings_for({ groups = { "secp192r1" } }, { groups = true }))
		assert.are.same({ nil, nil }, { settings.groups, settings.key_shares })
		assert.are.same({ "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
			"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" }, settings.ciphers)
	end)

	it("need a suite that the versions left can use", function()
		local old = { minimum_version = "TLSv1", maximum_version = "TLSv1.1",
			ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256" } }
		local settings, message, code = milder:settings_for(old, { ciphers = true })
		assert.is_nil(settings)
		assert.are.equal("lists TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA256",
			message:match("lists .*"))
		assert.are.equal("empty", code)
		table.insert(old.ciphers, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA")
		assert.are.same({ "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
			"TLS_RSA_WITH_AES_128_CBC_SHA256" }, milder:settings_for(old, { ciphers = true }).ciphers)
		-- TLS 1.0 and 1.1 have no suite with AEAD.
		settings = assert(milder:settings_for({ minimum_version = "TLSv1", maximum_version = "TLSv1.3",
			ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_RC4_128_SHA" } }, { ciphers = true }))
		assert.are.equal("TLSv1.2", settings.minimum_version)
	end)
end)
