-- From clauses to settings: the settings of each profile, and the clauses that make them.
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
				for _, suite in ipairs(milder.ciphers or {}) do
					offered[suite] = true
				end
				for _, suite in ipairs(policy:settings().ciphers or {}) do
					assert.is_true(offered[suite], suite)
				end
				local stricter = policy:settings()
				assert.is_true(suites.rank[milder.minimum_version] <= suites.rank[stricter.minimum_version])
				assert.is_true((milder.dh_bits or 0) <= (stricter.dh_bits or 0))
			end)

			it(policy:name() .. " leave only suites that its judges accept", function()
				local settings = policy:settings()
				for _, list in ipairs({ "ciphers", "ciphersuites" }) do
					for _, suite_name in ipairs(settings[list] or {}) do
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
							group_bits = suite.key_exchange == "DHE" and 3072 or nil,
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

	it("version.tls11, which the draft allows, are held by version.tls12 at should and by no clause at must", function()
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
		for _, suite in ipairs(settings[list] or {}) do
			offered[suite] = true
		end
	end
	return offered
end

describe("a forbidden family", function()
	-- one of the family, and all the clauses of the draft at must that keep it out
	for _, case in ipairs({
		{ "TLS_RSA_WITH_NULL_SHA256", { "cipher.null", "cipher.bits128" } },
		-- rfc9150.1.integrity-only
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
