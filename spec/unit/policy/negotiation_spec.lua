-- The outcome of a handshake, beside OpenSSL's own.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local hello_numbers = require "support.hello_numbers"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local offers = require "support.offers"
local pki = require "support.pki"
local settings = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

-- All that settings allow.
local function allowed(changes)
	local made = settings.unrestricted()
	for field, value in pairs(changes) do
		made[field] = value
	end
	return made
end

local function records(...)
	local list = {}
	for index, name in ipairs { ... } do
		list[index] = assert(suites.by_name[name], name)
	end
	return list
end

describe("a negotiation", function ()
	it("lacks a version if all that is offered are too old, or unknown", function ()
		local made = negotiation.new(allowed { minimum_version = "TLSv1.2" })
		assert.equal("version", made:missing(hello_numbers.of(offers.tls11)))
		assert.equal("version", made:missing { versions = { 0x7F1C }, suites = { 0x1301 } })
		assert.equal("version", made:missing {})
		assert.is_nil(made:missing(hello_numbers.of(offers.tls12)))
	end)

	-- rfc5246.6.2.3.3.aead-needs-tls12
	it("lacks a suite if none that is offered is allowed in its version", function ()
		local made = negotiation.new(allowed { ciphers = records "TLS_RSA_WITH_AES_128_GCM_SHA256" })
		local function missing(versions, number)
			return made:missing { versions = versions, suites = { number }, groups = { 29 } }
		end
		assert.is_nil(missing({ 0x0303 }, 0x009C))
		assert.equal("suite", missing({ 0x0302 }, 0x009C))
		assert.equal("suite", missing({ 0x0304 }, 0x009C))
		assert.equal("suite", missing({ 0x0303 }, 0x1301))
		assert.equal("suite", missing({ 0x0303 }, 0xC02F))
		assert.is_nil(missing({ 0x0304 }, 0x1301))
	end)

	it("lacks a group if one is needed, and none that is offered is allowed", function ()
		local made = negotiation.new(settings.unrestricted())
		assert.equal("group", made:missing(hello_numbers.of(offers.tls12, { 0xFEFF })))
		assert.equal("group", made:missing(hello_numbers.of(offers.tls13, {})))
		assert.is_nil(made:missing(hello_numbers.of(offers.dhe, { 0xFEFF })))
		-- rfc8422.4.no-list-of-groups
		local any_group = hello_numbers.of(offers.tls12)
		any_group.groups = nil
		assert.equal("group", made:missing(any_group))
	end)

	it("counts the suites that are allowed", function ()
		local made = negotiation.new(allowed { ciphers = records "TLS_RSA_WITH_AES_128_GCM_SHA256" })
		assert.equal(2, made:count_suites { suites = { 0x009C, 0xC02F, 0x1301, 0xFEFE } })
		assert.equal(0, made:count_suites {})
	end)

	it("prefers records on request last", function ()
		local made = negotiation.new(settings.unrestricted())
		local hello = { versions = { 0x0303 }, suites = { 0xC0AD, 0xC061, 0x0001 }, groups = { 26, 29 } }
		local chosen = made:choose(hello)
		assert.same({ "TLSv1.2", 0x0001, 29 }, { chosen.version, chosen.suite.number, chosen.group.number })
		hello.suites[3], hello.groups[2] = nil, nil
		chosen = made:choose(hello)
		assert.same({ 0xC0AD, 26 }, { chosen.suite.number, chosen.group.number })
	end)

	it("changes the facts that it decides, and no others", function ()
		local made = negotiation.new(allowed { dh_bits = 3072 })
		local facts = { role = "server", version = "TLSv1", cipher_suite = "x", cipher = "x", authentication = "RSA",
			compression = "zlib", group = "x", group_bits = 1, signature_scheme = "rsa_pkcs1_sha1", alpn = "xmpp-client" }
		local hello = hello_numbers.of(offers.dhe)
		local changed = made:facts_with(made:choose(hello), hello, facts)
		assert.same({ role = "server", version = "TLSv1.2", cipher_suite = "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
			authentication = "RSA", compression = false, group_bits = 3072, signature_scheme = "rsa_pkcs1_sha1",
			alpn = "xmpp-client", key_exchange = "DHE", encryption = "AES-256-GCM", bits = 256, aead = true,
			forward_secrecy = true }, changed)
		assert.equal("TLSv1", facts.version)
		hello.signature_schemes = { 0x0201 }
		assert.equal("rsa_pkcs1_sha1", made:facts_with(made:choose(hello), hello, facts).signature_scheme)
		hello.signature_schemes = { 0x0201, 0x0401 }
		assert.is_nil(made:facts_with(made:choose(hello), hello, facts).signature_scheme)
	end)
end)

describe("the outcome of a handshake", function ()
	local certificate

	setup(function ()
		certificate = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(function ()
		pki.remove()
	end)

	-- The ClientHello of a client's settings, without the suites that the server's certificate,
	-- which has an RSA key, cannot serve.
	local function hello_of(client)
		local hello = { versions = {}, suites = {}, groups = {} }
		for number, version in pairs(suites.versions_by_number) do
			if suites.rank[version] >= suites.rank[client.minimum_version]
				and suites.rank[version] <= suites.rank[client.maximum_version or "TLSv1.3"] then
				hello.versions[#hello.versions + 1] = number
			end
		end
		for _, list in ipairs { client.ciphersuites or {}, client.ciphers or {} } do
			for _, suite_name in ipairs(list) do
				local suite = suites.by_name[suite_name]
				hello.suites[#hello.suites + 1] = suite and suite.authentication ~= "ECDSA" and suite.number or nil
			end
		end
		for _, group_name in ipairs(client.groups) do
			for _, group in ipairs(suites.groups) do
				hello.groups[#hello.groups + 1] = group.name:lower() == group_name:lower() and group.number or nil
			end
		end
		return hello
	end

	-- Settings of clients; those of the server are the policy's.
	for name, client in pairs {
		["of TLS 1.3"] = {},
		["of TLS 1.3 with one suite"] = { ciphersuites = { "TLS_AES_128_GCM_SHA256" } },
		["of TLS 1.2"] = { maximum_version = "TLSv1.2" },
		["of TLS 1.2 with DHE"] = { maximum_version = "TLSv1.2", ciphers = { "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" } },
		["of TLS 1.2 with other suites first"] = { maximum_version = "TLSv1.2", ciphers = {
			"TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" } },
		["with P-384 alone"] = { groups = { "secp384r1" } },
	} do
		it(("%s is the one that OpenSSL negotiates"):format(name), function ()
			local policy = tls_policy.policy()
			local server = assert(core.context.new { role = "server", certificate = certificate.certificate,
				key = certificate.key })
			assert(server:apply(policy:settings()))
			assert(server:observe(1))
			local doubtless = assert(core.context.new { role = "client", verify = "none" })
			assert(doubtless:apply(client))
			local near, far = assert(handshake.between(doubtless, server))
			local facts, hello = far:facts(), hello_of(assert(doubtless:settings()))
			local predicted = { role = "server", version = "SSLv3", authentication = "RSA" }
			local judged = policy:enforcement():judge(predicted, nil, hello)
			assert.same({}, judged.broken)
			local made = negotiation.new(policy._allowed)
			local expected = made:facts_with(made:choose(hello), hello, predicted)
			for _, fact in ipairs { "version", "cipher_suite", "key_exchange", "encryption", "bits", "aead",
				"forward_secrecy", "compression" } do
				assert.equal(facts[fact], expected[fact], fact)
			end
			assert.equal(facts.group and facts.group:lower(), expected.group and expected.group:lower())
			near:close()
			far:close()
		end)
	end
end)
