-- The verdicts of a policy on ClientHellos, and on connections as if it were in force.
local clauses = require "xmpp_tls_policy.policy.clauses"
local codes = require "support.cipher_suites"
local hello_numbers = require "support.hello_numbers"
local hello_verdicts = require "xmpp_tls_policy.policy.hello_verdicts"
local offers = require "support.offers"
local profiles = require "xmpp_tls_policy.policy.profiles"
local settings = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"
local tls_policy = require "xmpp_tls_policy"

local should, must = tls_policy.policy(), tls_policy.policy { level = "must" }

-- offer -> the clauses that rule it out at "should", and at "must"
local cases = {
	tls13 = { "", "" },
	tls12 = { "", "" },
	dhe = { "", "" },
	deflate = { "", "" },
	sslv2 = { "version.sslv2 version.sslv3 version.tls10 version.tls12", "version.sslv2 version.sslv3" },
	sslv3 = { "version.sslv3 version.tls10 version.tls12 cipher.aead", "version.sslv3" },
	tls10 = { "version.tls10 version.tls12 cipher.aead", "" },
	tls11 = { "version.tls12 cipher.aead", "" },
	null = { "cipher.null cipher.bits128 cipher.aead", "cipher.null cipher.bits128" },
	rc4 = { "cipher.rc4 cipher.aead", "cipher.rc4" },
	export = { "cipher.export cipher.bits128 cipher.aead", "cipher.export cipher.bits128" },
	des = { "cipher.export cipher.bits128 cipher.aead", "cipher.export cipher.bits128" },
	["3des"] = { "cipher.bits128 cipher.aead", "cipher.bits128" },
	anonymous = { "cert.identity", "cert.identity" },
	static_rsa = { "cipher.fs", "" },
	cbc = { "cipher.aead", "" },
}

local function clauses_against(policy, hello)
	local breaches, missing = policy:judge_client_hello(hello)
	local ids = {}
	for index, breach in ipairs(breaches) do
		ids[index] = breach.clause
		assert.is_true(breach.enforced)
	end
	return table.concat(ids, " "), missing
end

describe("a policy's verdict on a ClientHello", function ()
	for name, made in pairs(offers) do
		it("names the clauses that rule out " .. name, function ()
			for index, policy in ipairs { should, must } do
				local against, missing = clauses_against(policy, hello_numbers.of(made))
				assert.equal(cases[name][index], against)
				assert.equal(against ~= "", missing ~= nil)
			end
		end)
	end

	it("names those that only together rule everything out", function ()
		local hello = hello_numbers.of {
			suites = { "TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" },
		}
		assert.equal("cipher.aead cipher.fs", (clauses_against(should, hello)))
		assert.equal("", (clauses_against(must, hello)))
	end)

	it("blames no clause for unknown versions and suites", function ()
		local against, missing = clauses_against(should, { versions = { 0x0303 }, suites = { 0xFEFE, 0x0041 } })
		assert.same({ "", "suite" }, { against, missing })
		against, missing = clauses_against(should, { versions = { 0x0303 }, suites = {} })
		assert.same({ "", "suite" }, { against, missing })
		against, missing = clauses_against(should, {})
		assert.same({ "", "version" }, { against, missing })
	end)

	it("needs a suite and a version that fit", function ()
		-- GCM came with TLS 1.2, a TLS 1.3 suite is of no use without TLS 1.3.
		local gcm = hello_numbers.of { version = "TLSv1.1", suites = { "TLS_RSA_WITH_AES_128_GCM_SHA256" } }
		assert.equal("suite", select(2, must:judge_client_hello(gcm)))
		local tls13_suite = hello_numbers.of { version = "TLSv1.2", suites = { "TLS_AES_128_GCM_SHA256" } }
		assert.equal("suite", select(2, should:judge_client_hello(tls13_suite)))
		-- The version is chosen before the suite.
		local old_suites = hello_numbers.of { versions = { "TLSv1.3", "TLSv1.2" }, suites = offers.tls12.suites }
		assert.equal("suite", select(2, should:judge_client_hello(old_suites)))
		local only_tls13 = hello_numbers.of { versions = { "TLSv1.3" }, suites = { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" } }
		assert.equal("suite", select(2, should:judge_client_hello(only_tls13)))
	end)

	it("needs a suite and a group that fit", function ()
		local brainpool_alone = { 0xFEFF }
		assert.equal("group", select(2, should:judge_client_hello(hello_numbers.of(offers.tls13, brainpool_alone))))
		assert.equal("group", select(2, should:judge_client_hello(hello_numbers.of(offers.tls12, brainpool_alone))))
		assert.is_nil(select(2, should:judge_client_hello(hello_numbers.of(offers.dhe, brainpool_alone))))
		local short = hello_numbers.of(offers.tls12, { 19, 21 })
		local against, missing = clauses_against(should, short)
		assert.same({ "cipher.bits128", "group" }, { against, missing })
		local without = hello_numbers.of(offers.tls12)
		without.groups = nil -- OpenSSL chooses none then.
		assert.equal("group", select(2, should:judge_client_hello(without)))
	end)

	it("agrees with the settings: whatever is offered of them is accepted, each alone", function ()
		for _, profile in ipairs(tls_policy.profile_names) do
			for _, level in ipairs { "should", "must" } do
				local policy = tls_policy.policy { profile = profile, level = level }
				local allowed = {}
				for _, list in ipairs { "ciphers", "ciphersuites" } do
					for _, name in ipairs(policy:settings()[list] or {}) do
						allowed[suites.by_name[name].number] = true
					end
				end
				for number, suite in pairs(suites.by_number) do
					local version = suite.authentication == "certificate" and 0x0304 or 0x0303
					local hello = {
						versions = { version }, suites = { number }, groups = { 29, 23 }, signature_schemes = { 0x0804, 0x0403 },
					}
					if not suite.on_request then
						assert.equal(allowed[number], select(2, policy:judge_client_hello(hello)) == nil or nil, suite.name)
					end
				end
			end
		end
	end)
end)

describe("a verdict as if the policy were in force", function ()
	local policy = tls_policy.policy()
	local cbc = {
		role = "server", version = "TLSv1.2", cipher_suite = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", bits = 128,
		aead = false, encryption = "AES-128-CBC", key_exchange = "ECDHE", authentication = "RSA", forward_secrecy = true,
		group = "x25519", group_bits = 253, signature_scheme = "rsa_pkcs1_sha256", compression = false,
	}

	local function hello_of(versions, ...)
		local hello = { versions = versions, suites = {}, groups = { 29 }, signature_schemes = { 0x0401 } }
		for index, name in ipairs { ... } do
			hello.suites[index] = codes[name]
		end
		return hello
	end

	local function judged(hello, facts, connection)
		local verdict, ids = policy:enforcement():judge(facts or cbc, connection, hello), {}
		for index, breach in ipairs(verdict.broken) do
			ids[index] = breach.clause
		end
		return verdict.refuse, table.concat(ids, " ")
	end

	it("is about the outcome that the ClientHello would have had", function ()
		assert.same({ true, "cipher.aead" }, { judged(nil) })
		assert.same({ true, "cipher.aead" }, { judged(hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA")) })
		for _, better in ipairs { "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" } do
			assert.same({ false, "" }, { judged(hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", better)) })
		end
		-- Allowed where the operator lists it, though not offered otherwise.
		local rare = { versions = { 0x0303 }, suites = { 0xC061 }, groups = { 29 } }
		assert.same({ false, "" }, { judged(rare) })
		assert.same({ false, "" },
			{ judged(hello_of({ 0x0304, 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_AES_128_GCM_SHA256")) })
	end)

	it("is about the facts, where the other side chose", function ()
		local facts = {}
		for fact, value in pairs(cbc) do
			facts[fact] = value
		end
		facts.role = "client"
		assert.same({ true, "cipher.aead" }, { judged(hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), facts) })
	end)

	it("is still about all that no handshake decides", function ()
		local connection = { domain = "far.test", identity = false, authenticated = true }
		local hello = hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
		assert.same({ true, "cert.identity" }, { judged(hello, nil, connection) })
		assert.same({ true, "cipher.aead cert.identity" },
			{ judged(hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"), nil, connection) })
	end)

	it("follows the order that the policy asks for", function ()
		local names = {
			"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
			"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		}
		local clients_order = tls_policy.policy { profile = "mozilla-intermediate-6.0" }
		local chacha20 = tls_policy.policy { profile = "xmpp-2026-07" }
		for _, first in ipairs(names) do
			local ordered = { first }
			for _, name in ipairs(names) do
				ordered[#ordered + 1] = name ~= first and name or nil
			end
			local hello = hello_numbers.of { suites = ordered }
			assert.equal(first, clients_order:enforcement():of_hello(hello).chosen.suite.name)
			assert.equal(names[3], should:enforcement():of_hello(hello).chosen.suite.name)
			assert.equal(names[first == names[1] and 1 or 3], chacha20:enforcement():of_hello(hello).chosen.suite.name)
		end
	end)

	it("names no part of the offer where the server has no certificate", function ()
		for _, profile in ipairs(profiles.names) do
			local of_profile = tls_policy.policy { profile = profile }
			local made = of_profile:settings()
			local enforcement = of_profile:enforcement { before = made, settings = made }
			for _, name in ipairs { "tls13", "tls12" } do
				local verdict = enforcement:of_hello(hello_numbers.of(offers[name]))
				if verdict.missing ~= "version" then
					assert.equal("certificate", verdict.missing)
					assert.equal(1, #verdict.breaches)
					assert.equal("ssl", verdict.breaches[1].clause)
					assert.equal("the server has no certificate here; it needs one", verdict.breaches[1].text)
				end
			end
		end
	end)

	it("does not change the facts", function ()
		local before = cbc.cipher_suite
		judged(hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"))
		assert.equal(before, cbc.cipher_suite)
	end)

	it("lists the breaches of the ClientHello and of the connection, each clause once", function ()
		local verdict = policy:enforcement():judge(cbc, nil, hello_of({ 0x0303 }, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"))
		assert.equal(1, #verdict.broken)
		assert.equal("none of the cipher suites offered complies: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
			verdict.broken[1].text)
	end)
end)

describe("the verdicts on ClientHellos", function ()
	local names = tls_policy.defaults().clauses

	local function verdicts()
		local allowed = settings.unrestricted()
		for _, entry in ipairs(names) do
			settings.restrict(allowed, clauses[entry.id], entry.enforced)
		end
		settings.sort(allowed)
		return hello_verdicts.new(names, clauses, allowed)
	end

	it("are the same object for the same ClientHello", function ()
		local made = verdicts()
		for _, offer in pairs(offers) do
			local first = made:of(hello_numbers.of(offer))
			assert.equal(first, made:of(hello_numbers.of(offer)))
		end
	end)

	it("are not mixed up, be it that a list differs in one place, in its order or in its absence", function ()
		local made, seen = verdicts(), {}
		local function check(hello)
			local fresh, given = verdicts():of(hello), made:of(hello)
			assert.same(fresh, given)
			assert.is_nil(seen[given])
			seen[given] = true
		end
		local good = function ()
			return {
				versions = { 0x0304, 0x0303 }, suites = { 0x1301, 0xC02F, 0xC030, 0x002F }, groups = { 29, 23, 24 },
				signature_schemes = { 0x0403, 0x0804, 0x0401 },
			}
		end
		check(good())
		for field, numbers in pairs(good()) do
			for index = 1, #numbers do
				local hello = good()
				hello[field][index] = hello[field][index] - 1
				check(hello)
				hello = good()
				table.remove(hello[field], index)
				check(hello)
			end
			local hello = good()
			hello[field][1], hello[field][2] = hello[field][2], hello[field][1]
			check(hello)
			hello = good()
			hello[field] = nil
			check(hello)
			hello = good()
			hello[field] = {}
			check(hello)
		end
	end)

	it("are not mixed up where the sums are the same", function ()
		local made = verdicts()
		-- 1 * 3 + 2 * 0xC02F is 1 * 1 + 2 * 0xC030.
		local one = { versions = { 0x0303 }, suites = { 3, 0xC02F }, groups = { 24 } }
		local other = { versions = { 0x0303 }, suites = { 1, 0xC030 }, groups = { 24 } }
		for _ = 1, 3 do
			assert.equal(0xC02F, made:of(one).chosen.suite.number)
			assert.equal(0xC030, made:of(other).chosen.suite.number)
		end
	end)

	it("do not change when a caller changes its ClientHello or the breaches that it got", function ()
		local hello = hello_numbers.of(offers.rc4)
		local policy = tls_policy.policy()
		local breaches = policy:judge_client_hello(hello)
		local before = #breaches
		breaches[1].text, breaches[2] = "changed", nil
		assert.equal(before, #policy:judge_client_hello(hello_numbers.of(offers.rc4)))
		assert.matches("^none of the cipher suites offered complies", policy:judge_client_hello(hello)[1].text)
		hello.suites = hello_numbers.of(offers.tls12).suites
		assert.same({}, (policy:judge_client_hello(hello)))
		assert.equal(before, #policy:judge_client_hello(hello_numbers.of(offers.rc4)))
	end)

	it("stay few, whatever peers offer", function ()
		local made = verdicts()
		local function fill(from, to)
			for number = from, to do
				local hello = hello_numbers.of(offers.rc4)
				hello.suites[1] = number
				if number % 2 == 0 then
					for index = 1, 100 do
						hello.suites[index] = number + index
					end
				end
				made:of(hello)
			end
			collectgarbage()
			collectgarbage()
			return collectgarbage "count"
		end
		local before = fill(1, 1000)
		assert.is_true(fill(1001, 4000) - before < 256)
	end)
end)
