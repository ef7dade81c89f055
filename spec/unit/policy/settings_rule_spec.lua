-- The rule of the settings: a context has what the policy permits, of what the server offers without
-- it; to the server's own defaults comes what the policy's documents recommend. Here for the product
-- of profiles, levels, lists and versions; the expected outcome is computed from the rule, and what
-- the policy permits from its judges. The policy of an exception grants what it permits, whatever the
-- server offers all others.
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

local rank = suites.rank
local lists = { "ciphers", "ciphersuites", "groups" }

-- The documents, in the words of their sections (CLAUSES.md of the project has them).
local four_of_rfc9325 = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" }
local recommended = {
	["draft-saintandre-xmpp-tls-02"] = {
		ciphers = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
		ciphersuites = {}, groups = { "X25519MLKEM768" },
	},
}
local oldest = { ["draft-saintandre-xmpp-tls-02"] = { should = "TLSv1.2", must = "TLSv1" } }
for _, profile in ipairs { "rfc7590", "rfc9325", "bcp195-2026-07", "xmpp-2026-07" } do
	recommended[profile] = { ciphers = four_of_rfc9325, ciphersuites = {},
		groups = { "X25519MLKEM768", "secp256r1", "x25519" } }
	oldest[profile] = { should = "TLSv1.2", must = "TLSv1.2" }
end
-- As the fields of Mozilla's configurations list them.
local four_groups = { "X25519MLKEM768", "x25519", "secp256r1", "secp384r1" }
recommended["mozilla-intermediate-6.0"] = { ciphersuites = {}, groups = four_groups, ciphers = {
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
} }
recommended["mozilla-modern-6.0"] = { ciphers = {}, ciphersuites = {}, groups = four_groups }
recommended["nist-sp-800-52r2"] = { ciphers = {}, ciphersuites = {}, groups = { "secp256r1", "secp384r1" } }
recommended["bsi-tr-02102-2-2025"] = { ciphers = {}, ciphersuites = {}, groups = { "secp256r1" } }
oldest["nist-sp-800-52r2"] = { should = "TLSv1.2", must = "TLSv1" }
oldest["bsi-tr-02102-2-2025"] = { should = "TLSv1.2", must = "TLSv1.2" }
oldest["mozilla-intermediate-6.0"] = { should = "TLSv1.2", must = "TLSv1.2" }
oldest["mozilla-modern-6.0"] = { should = "TLSv1.3", must = "TLSv1.3" }

-- As servers read back without the policy. The names of groups have OpenSSL's spelling.
local offers = {
	intermediate = {
		ciphers = { "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
			"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
		ciphersuites = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" },
		groups = { "X25519", "secp256r1", "secp384r1" },
	},
	everything = { ciphers = {}, ciphersuites = {}, groups = {} },
	old = {
		ciphers = { "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_RC4_128_MD5",
			"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384",
			"TLS_DH_anon_WITH_AES_256_GCM_SHA384" },
		ciphersuites = { "TLS_AES_128_CCM_SHA256" }, groups = { "secp192r1", "secp224r1", "secp521r1", "ffdhe2048" },
	},
	nothing_permitted = { ciphers = { "TLS_RSA_WITH_NULL_SHA" }, ciphersuites = { "TLS_AES_128_CCM_8_SHA256" },
		groups = { "secp192r1" } },
}
for _, list in ipairs(lists) do
	for _, record in ipairs(suites[list]) do
		table.insert(offers.everything[list], record.name)
	end
end

-- The versions of a server's configuration.
local ranges = { { "TLSv1.2", "TLSv1.3" }, { "TLSv1", "TLSv1.3" }, { "TLSv1.3", "TLSv1.3" }, { "TLSv1", "TLSv1.1" } }

local operators = {
	["no list of his own"] = {},
	["ciphers of his own"] = { ciphers = true },
	["lists of his own"] = { ciphers = true, ciphersuites = true, groups = true },
}

-- rfc8446.4.2.7.groups-of-tls13
local before_tls13 = { "x25519", "secp256r1", "x448", "secp384r1", "secp521r1", "secp224r1", "secp192r1",
	"brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1" }
local not_in_tls13 = { "secp192r1", "secp224r1", "brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1" }

local function has(names, name)
	for _, other in ipairs(names) do
		if other:lower() == name:lower() then
			return true
		end
	end
	return false
end

local function has_any(names, is_good)
	for _, name in ipairs(names) do
		if is_good(name) then
			return true
		end
	end
	return false
end

-- Whether a policy permits to negotiate a suite or a group.
local function permits(policy, list, record)
	local suite = list == "groups" and suites.by_name.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 or record
	local is_tls13 = list == "ciphersuites" or list == "groups" and oldest[policy.profile].must == "TLSv1.3"
	local group_bits = list == "groups" and record.kind == "curve" and record.bits or nil
	return not policy:judge({
		version = is_tls13 and "TLSv1.3" or "TLSv1.2", group = list == "groups" and record.name or nil,
		cipher_suite = suite.name, bits = suite.bits,
		aead = suite.aead, encryption = suite.encryption, authentication = suite.authentication,
		key_exchange = suite.key_exchange, forward_secrecy = suite.forward_secrecy,
		group_bits = group_bits or suite.key_exchange == "DHE" and 3072 or nil,
	}).refuse
end

local function is_usable(made, version)
	if version == "TLSv1.3" then
		return made.ciphersuites[1] and has_any(made.groups, function(name) return not has(not_in_tls13, name) end)
	end
	local has_curve = has_any(made.groups, function(name) return has(before_tls13, name) end)
	return has_any(made.ciphers, function(name)
		local suite = suites.by_name[name]
		return (version == "TLSv1.2" or name:find "_CBC_SHA$" ~= nil) and (has_curve or suite.key_exchange:find "^RSA" ~= nil
			or suite.key_exchange:find "^DHE" ~= nil)
	end)
end

-- The lists, as sorted names in lower case, and the versions { oldest, newest } of the rule.
local function by_rule(policy, in_force, operator)
	local made = {}
	for _, list in ipairs(lists) do
		made[list] = {}
		for _, record in ipairs(suites[list]) do
			local added = not operator[list] and has(recommended[policy.profile][list], record.name)
			-- An operator who lists DHE wants it.
			local negotiable = operator[list] or in_force.has_dhe or record.key_exchange ~= "DHE"
			local offered = has(in_force[list], record.name) and negotiable
			if policy.exception then
				added, offered = not record.on_request, has(in_force[list], record.name)
			end
			if permits(policy, list, record) and (added or offered) then
				table.insert(made[list], record.name)
			end
		end
	end
	for _, version in ipairs(suites.versions) do
		if rank[version] >= rank[oldest[policy.profile][policy.level]]
			and (policy.exception or rank[version] >= rank[in_force.minimum_version])
			and rank[version] <= rank[in_force.maximum_version] and is_usable(made, version) then
			made.oldest, made.newest = made.oldest or version, version
		end
	end
	return made
end

local function sorted(names)
	local copy = {}
	for index, name in ipairs(names) do
		copy[index] = name:lower()
	end
	table.sort(copy)
	return table.concat(copy, " ")
end

-- A list is nil where no version needs it.
local function compare(expected, settings, lists_in_force)
	assert.same({ expected.oldest, expected.newest }, { settings.minimum_version, settings.maximum_version or "TLSv1.3" })
	for _, list in ipairs(lists_in_force) do
		if settings[list] then
			assert.equal(sorted(expected[list]), sorted(settings[list]), list)
		end
	end
	assert.equal(expected.oldest ~= "TLSv1.3", settings.ciphers ~= nil)
	assert.equal(expected.newest == "TLSv1.3", settings.ciphersuites ~= nil)
	assert.equal(expected.groups[1] ~= nil, settings.groups ~= nil)
end

local function check(policy, in_force, operator)
	local expected = by_rule(policy, in_force, operator)
	local settings, _, code = policy:settings_for(in_force, operator)
	if expected.oldest then
		-- Certificates are held to the server's level. The RFCs ask for it at every level, the draft at
		-- should, Mozilla for RSA keys; where no clause does, an exception lifts it for the rest.
		assert.equal(2, settings.security_level)
		local asks_for_none = policy.profile:find "^draft" or policy.profile:find "modern"
		assert.equal(policy.exception and asks_for_none ~= nil or nil, settings.insecure_strength or nil)
		assert.equal(policy.exception and true or nil, settings.insecure_versions)
		-- Mozilla's have no DHE.
		local draft, mozilla = policy.profile:find "^draft", policy.profile:find "^mozilla"
		local bsi = policy.profile:find "^bsi" and policy.level == "should"
		assert.equal(not mozilla and (draft and policy.level == "must" and 1024 or bsi and 3000 or 2048) or nil,
			settings.dh_bits)
		-- Without groups, the suites that need one are dropped.
		compare(expected, settings, expected.groups[1] and lists or { "ciphersuites" })
	else
		assert.same({ nil, "empty" }, { settings, code })
	end
end

describe("the rule of the settings", function()
	for _, profile in ipairs(tls_policy.profile_names) do
		for _, level in ipairs({ "should", "must" }) do
			for offered, offer in pairs(offers) do
				for whose, operator in pairs(operators) do
					for _, range in ipairs(ranges) do
						it(("holds for %s, level %s, %s, %s, %s to %s"):format(profile, level, offered, whose, range[1], range[2]),
							function()
								local policy = tls_policy.policy({ profile = profile, level = level, exceptions = {
									["old.test"] = { level = "must", expires = "2999-01-01", reason = "old" } } })
								for _, has_dhe in ipairs({ true, false }) do
									local in_force = { minimum_version = range[1], maximum_version = range[2], ciphers = offer.ciphers,
										ciphersuites = offer.ciphersuites, groups = offer.groups, has_dhe = has_dhe, security_level = 2 }
									check(policy, in_force, operator)
									check(policy:for_peer("old.test", os.time()), in_force, operator)
								end
							end)
					end
				end
			end
		end
	end
end)
