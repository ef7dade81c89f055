-- Policies: a profile at a level, what it tells a context, and how that meets
-- what a server has configured.
local clauses = require "xmpp_tls_policy.policy.clauses"
local compare = require "unit.golden.compare"
local policies = require "xmpp_tls_policy.policy"
local profiles = require "xmpp_tls_policy.policy.profiles"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

local DRAFT = "draft-saintandre-xmpp-tls-02"

local function copy(value, changes)
	local new = {}
	for _, part in ipairs({ value, changes }) do
		for key, item in pairs(part) do
			new[key] = item
		end
	end
	return new
end

describe("the settings of", function()
	for _, name in ipairs(tls_policy.profile_names) do
		for _, level in ipairs({ "should", "must" }) do
			local policy = assert(tls_policy.policy({ profile = name, level = level }))
			it(policy:name() .. " are those in spec/unit/golden", function()
				compare(("settings-%s-%s.txt"):format(name, level), tls_policy.render(policy))
			end)

			it(policy:name() .. " lack nothing that the profile wants supported", function()
				assert.are.same({}, policy:unsupported())
			end)

			it(policy:name() .. " are no stricter at must than at should", function()
				local milder = tls_policy.policy({ profile = name, level = "must" }):settings()
				local offered = {}
				for _, suite in ipairs(milder.ciphers) do
					offered[suite] = true
				end
				for _, suite in ipairs(policy:settings().ciphers) do
					assert.is_true(offered[suite], suite)
				end
				local stricter = policy:settings()
				assert.is_true(suites.rank[milder.minimum_version] <= suites.rank[stricter.minimum_version])
				assert.is_true((milder.dh_bits or 0) <= (stricter.dh_bits or 0))
			end)

			it(policy:name() .. " leave only what its judges accept", function()
				local settings = policy:settings()
				for _, list in ipairs({ "ciphers", "ciphersuites" }) do
					for _, suite_name in ipairs(settings[list]) do
						local suite = suites.by_name[suite_name]
						local verdict = policy:judge({
							version = list == "ciphers" and "TLSv1.2" or "TLSv1.3",
							cipher_suite = suite_name,
							bits = suite.bits,
							aead = suite.aead,
							encryption = suite.encryption,
							key_exchange = suite.key_exchange,
							authentication = suite.authentication,
							forward_secrecy = suite.forward_secrecy,
							group_bits = suite.key_exchange == "DHE" and 2048 or nil,
						})
						assert.is_false(verdict.refuse, suite_name)
					end
				end
			end)
		end
	end

	it("the default are those of the draft at should", function()
		assert.are.same({
			minimum_version = "TLSv1.2",
			ciphers = {
				"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
				"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
				"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
				"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
				"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
				"TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
				"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
				"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
				"TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
			},
			ciphersuites = { "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256" },
			groups = { "X25519MLKEM768", "x25519", "secp256r1", "x448", "secp384r1", "secp521r1" },
			key_shares = 2,
			server_preference = true,
			dh_bits = 2048,
			security_level = 2,
			no_compression = true,
			no_stateless_tickets = true,
		}, tls_policy.defaults():settings())
	end)

	it("a policy are a new table each time", function()
		local policy = tls_policy.defaults()
		local settings = policy:settings()
		settings.minimum_version, settings.ciphers[1], settings.groups = "SSLv3", "TLS_NULL", nil
		assert.are.same(tls_policy.defaults():settings(), policy:settings())
	end)

	it("version.tls11, which the draft allows, are held by version.tls12 at should and by nobody at must", function()
		local function minimum(level, left_out)
			local profile = copy(profiles.by_name[DRAFT], { entries = {} })
			for _, entry in ipairs(profiles.by_name[DRAFT].entries) do
				if entry.clause ~= left_out then
					table.insert(profile.entries, entry)
				end
			end
			return policies.compose(profile, level, clauses):settings().minimum_version
		end
		assert.are.equal("TLSv1.2", minimum("should"))
		assert.are.equal("TLSv1.2", minimum("should", "version.tls11"))
		assert.are.equal("TLSv1.1", minimum("should", "version.tls12"))
		assert.are.equal("TLSv1", minimum("must"))
	end)
end)

local function composed(entries)
	for _, entry in ipairs(entries) do
		entry.document, entry.section = "test", "1"
	end
	return policies.compose({ name = "test", document = "test", entries = entries }, "should", clauses):settings()
end

local function demand(id)
	return { clause = id, level = "MUST", at = "must" }
end

describe("a profile's clauses", function()
	it("narrow, in whatever order they stand", function()
		for _, ids in ipairs({ { "version.sslv2", "version.tls12" }, { "version.tls12", "version.sslv2" } }) do
			assert.are.equal("TLSv1.2", composed({ demand(ids[1]), demand(ids[2]) }).minimum_version)
		end
		for _, ids in ipairs({ { "cipher.export", "key.dh2048" }, { "key.dh2048", "cipher.export" } }) do
			assert.are.equal(2048, composed({ demand(ids[1]), demand(ids[2]) }).dh_bits)
		end
	end)

	it("ask nothing where they only allow", function()
		assert.is_true(composed({ { clause = "compress.tls", level = "SHOULD", at = "should" } }).no_compression)
		assert.is_nil(composed({ { clause = "compress.tls", level = "MAY", at = "never" } }).no_compression)
	end)
end)

-- The settings of a profile without some of its clauses.
local function suites_without(name, level, removed)
	local left_out = {}
	for _, id in ipairs(removed) do
		left_out[id] = true
	end
	local profile = copy(profiles.by_name[name], { entries = {} })
	for _, entry in ipairs(profiles.by_name[name].entries) do
		if not left_out[entry.clause] then
			table.insert(profile.entries, entry)
		end
	end
	local offered = {}
	local settings = policies.compose(profile, level, clauses):settings()
	for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
		for _, suite in ipairs(settings[list]) do
			offered[suite] = true
		end
	end
	return offered
end

describe("a forbidden family", function()
	-- one of the family, and all the clauses of the draft at must that keep it out
	for _, case in ipairs({
		{ "TLS_RSA_WITH_NULL_SHA256", { "cipher.null", "cipher.bits128" } },
		{ "TLS_SHA256_SHA256", { "cipher.null", "cipher.bits128" } },
		{ "TLS_ECDHE_RSA_WITH_RC4_128_SHA", { "cipher.rc4" } },
		{ "TLS_RSA_WITH_RC4_128_MD5", { "cipher.rc4" } },
		{ "TLS_RSA_EXPORT_WITH_RC2_CBC_40_MD5", { "cipher.export", "cipher.bits128" } },
		{ "TLS_RSA_EXPORT_WITH_RC4_40_MD5", { "cipher.export", "cipher.bits128", "cipher.rc4" } },
		{ "TLS_RSA_WITH_DES_CBC_SHA", { "cipher.export", "cipher.bits128" } },
		{ "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", { "cipher.bits128" } },
		{ "TLS_DH_anon_WITH_AES_256_GCM_SHA384", { "cert.identity" } },
		{ "TLS_PSK_WITH_AES_128_GCM_SHA256", { "cert.identity" } },
		{ "secp192r1", { "cipher.bits128" } },
	}) do
		local suite, keepers = case[1], case[2]
		it(("comes in if %s is given up: %s"):format(table.concat(keepers, ", "), suite), function()
			assert.is_nil(suites_without(DRAFT, "must", {})[suite])
			assert.is_true(suites_without(DRAFT, "must", keepers)[suite])
		end)
		for index in ipairs(keepers) do
			it(("is kept out by %s alone: %s"):format(keepers[index], suite), function()
				local others = {}
				for other, id in ipairs(keepers) do
					if other ~= index then
						table.insert(others, id)
					end
				end
				assert.is_nil(suites_without(DRAFT, "must", others)[suite])
			end)
		end
	end

	for _, case in ipairs({
		{ DRAFT, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", { "cipher.aead" } },
		{ DRAFT, "TLS_RSA_WITH_AES_256_GCM_SHA384", { "cipher.fs" } },
		{ "rfc9325", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", { "cipher.cbc" } },
		{ "rfc9325", "TLS_RSA_WITH_AES_256_GCM_SHA384", { "cipher.fs", "key.static-rsa" } },
		{ "rfc9325", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", { "key.dhe" } },
		{ "rfc9325", "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", { "cipher.bits128", "cipher.cbc" } },
	}) do
		it(("is out at should by %s: %s in %s"):format(table.concat(case[3], ", "), case[2], case[1]), function()
			assert.is_nil(suites_without(case[1], "should", {})[case[2]])
			assert.is_true(suites_without(case[1], "should", case[3])[case[2]])
		end)
	end
end)

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

	it("are the policy's lists where the operator has none of his own", function()
		local settings, own = policy:settings_for(stock, {}), policy:settings()
		for _, list in ipairs({ "ciphers", "ciphersuites", "groups" }) do
			assert.are.same(own[list], settings[list])
		end
		assert.are.same(settings, policy:settings_for(stock))
	end)

	it("are those of the operator's own that the policy allows, and what it prefers of them first", function()
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
		assert.are.same(policy:settings().ciphers, settings.ciphers)
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

	it("name only what a context takes", function()
		assert.is_nil(policy:settings_for(stock).tickets)
	end)

	it("leave what they are made of as it was", function()
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
		{ { ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA" } }, { ciphers = true },
			CIPHERS .. "TLS_RSA_WITH_AES_128_CBC_SHA", "empty" },
		{ { ciphers = {} }, { ciphers = true }, CIPHERS .. "none", "empty" },
		{ { ciphersuites = { "TLS_SHA256_SHA256" } }, { ciphersuites = true }, SUITES .. "TLS_SHA256_SHA256", "empty" },
		{ { groups = { "secp192r1" } }, { groups = true }, GROUPS .. "secp192r1", "empty" },
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
	end)

	it("may lack what the profile wants supported, and tell", function()
		local settings = assert(policy:settings_for(copy(stock, { maximum_version = "TLSv1.2" }), { ciphers = true }))
		assert.are.same({
			{ clause = "version.latest", document = DRAFT, section = "4.2", level = "RECOMMENDED", enforced = true,
				text = "TLS 1.3 is not offered" },
			{ clause = "cipher.recommended", document = DRAFT, section = "4.3", level = "RECOMMENDED", enforced = true,
				text = "not offered: TLS_DHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
		}, policy:unsupported(settings))
	end)
end)

describe("a policy", function()
	it("tells its profile, its level and its clauses", function()
		local policy = tls_policy.policy({ level = "must" })
		assert.are.equal(DRAFT, policy.profile)
		assert.are.equal("must", policy.level)
		assert.are.equal(31, #policy.clauses)
		assert.are.same({ id = "support.required", document = DRAFT, section = "4.1", level = "SHOULD",
			at = "should", enforced = false }, policy.clauses[2])
	end)

	it("explains a clause", function()
		assert.are.same({
			id = "version.tls10",
			document = DRAFT,
			section = "4.2",
			level = "SHOULD NOT",
			statement = "negotiate TLS 1.0",
			profile = DRAFT,
			at = "should",
			enforced = true,
		}, tls_policy.defaults():explain("version.tls10"))
		local policy = tls_policy.policy({ level = "must" })
		assert.is_false(policy:explain("version.tls10").enforced)
		assert.is_nil(policy.clauses[7].statement)
		assert.are.equal("MUST NOT", tls_policy.policy({ profile = "rfc9325" }):explain("version.tls10").level)
		assert.are.equal("RFC 9325", tls_policy.policy({ profile = "rfc7590" }):explain("version.tls10").document)
	end)

	for _, case in ipairs({
		{ "version.tls1", '"version.tls1" is no clause of draft-saintandre-xmpp-tls-02; did you mean "version.tls10"?' },
		{ "key.dhe", '"key.dhe" is no clause of draft-saintandre-xmpp-tls-02; did you mean "key.ecdhe"?' },
		{ "x", '"x" is no clause of draft-saintandre-xmpp-tls-02' },
		{ 4.2, "4.2 is no clause of draft-saintandre-xmpp-tls-02" },
		{ nil, "nil is no clause of draft-saintandre-xmpp-tls-02" },
	}) do
		it("does not explain " .. tostring(case[1]), function()
			local explained, message = tls_policy.defaults():explain(case[1])
			assert.is_nil(explained)
			assert.are.equal(case[2] or "nil is no clause of draft-saintandre-xmpp-tls-02", message)
		end)
	end

	it("enforces what its level asks", function()
		local policy, milder = tls_policy.defaults(), tls_policy.policy({ level = "must" })
		assert.is_true(policy:enforces("support.required"))
		assert.is_false(milder:enforces("support.required"))
		assert.is_true(milder:enforces("support.abort"))
		assert.is_false(policy:enforces("version.tls11"))
		assert.is_false(policy:enforces("key.dhe"))
	end)

	it("cannot be changed through another of the same profile", function()
		tls_policy.defaults().clauses[1].enforced = false
		assert.is_true(tls_policy.defaults().clauses[1].enforced)
	end)
end)
