-- What an outsider sees in the certificates of a server.
local caa = require "xmpp_tls_policy.audit.caa"
local certificates = require "xmpp_tls_policy.audit.certificates"
local core = require "xmpp_tls_policy.core"
local expected = require "xmpp_tls_policy.audit.expected"
local observations = require "xmpp_tls_policy.audit.observations"
local pki = require "support.pki"

local DAY = 86400

local function chain_of(...)
	local chain = {}
	for index, pem in ipairs { ... } do
		chain[index] = assert(core.certificate.from_pem(pem))
	end
	return chain
end

describe("certificates.examine", function ()
	local root, middle, trust, now

	setup(function ()
		root = pki.authority { days = 1000, subject = "/O=Let's Encrypt/CN=Root" }
		middle = root:intermediate { days = 1000, subject = "/O=Let's Encrypt/CN=Middle" }
		trust = assert(certificates.authorities(root.certificate))
		now = os.time()
	end)

	teardown(pki.remove)

	local function issue(options)
		local all = { names = { "a.test" }, days = 90 }
		for name, value in pairs(options or {}) do
			all[name] = value
		end
		return pki.read(middle:issue(all).own)
	end

	local function examine(chain, options)
		local all = { domain = "a.test", service = "s2s", trust = trust, now = now }
		for name, value in pairs(options or {}) do
			all[name] = value
		end
		return certificates.examine(chain, all)
	end

	-- The observations of these names: "true", "false", or "untested"; without "certificate.".
	local function seen(observed, ...)
		local found = {}
		for _, name in ipairs { ... } do
			local observation = assert(observed["certificate." .. name], name)
			assert.is_string(observation.seen == nil and observation.reason or observation.evidence)
			found[name] = observation.seen == nil and "untested" or tostring(observation.seen)
		end
		return found
	end

	local of_chain = { "trusted", "complete", "ordered", "domain", "key", "signature", "usages", "days_left" }
	local good = {}
	for _, name in ipairs(of_chain) do
		good[name] = "true"
	end

	-- The good result with changes.
	local function but(changes)
		local all = {}
		for name, value in pairs(good) do
			all[name] = changes[name] or value
		end
		return all
	end

	local cases = {
		["a good chain"] = { {}, nil, {} },
		["a good chain with its root"] = { {}, function (own) return { own, pki.read(middle.own), root.pem } end, {} },
		["no issuer"] = { {}, function (own) return { own } end, { trusted = "false", complete = "false" } },
		["the wrong order"] = { {}, function (own) return { own, root.pem, pki.read(middle.own) } end,
			{ ordered = "false" } },
		["the certificate twice"] = { {}, function (own) return { own, own, pki.read(middle.own) } end,
			{ ordered = "false" } },
		["an unknown root"] = { { trust = "other" }, function (own) return { own, pki.read(middle.own), root.pem } end,
			{ trusted = "false" } },
		["an unknown root that is not sent"] = { { trust = "other" }, function (own) return { own, pki.read(middle.own) } end,
			{ trusted = "false", complete = "false" } },
		["another domain"] = { { issue = { names = { "b.test" } } }, nil, { domain = "false" } },
		["a wildcard"] = { { issue = { names = { "*.test" } }, domain = "a.b.test" }, nil, { domain = "false" } },
		["a wildcard that covers it"] = { { issue = { names = { "*.b.test" } }, domain = "a.b.test" }, nil, {} },
		["an SRV-ID"] = { { issue = { names = {}, common_name = "x", srv = { "_xmpp-server.a.test" } } }, nil, {} },
		["an SRV-ID of the other service"] = { { issue = { names = {}, common_name = "x", srv = { "_xmpp-client.a.test" } } },
			nil, { domain = "false" } },
		["an XmppAddr"] = { { issue = { names = {}, common_name = "x", xmpp = { "a.test" } } }, nil, {} },
		["only a Common Name"] = { { issue = { names = {}, common_name = "a.test" } }, nil, { domain = "false" } },
		["SHA-1"] = { { issue = { digest = "sha1" } }, nil, { signature = "false" } },
		["serverAuth"] = { { issue = { extended_key_usages = { "serverAuth" } } }, nil, {} },
		["clientAuth alone"] = { { issue = { extended_key_usages = { "clientAuth" } } }, nil,
			{ usages = "false", trusted = "false" } },
		["an end in the past"] = { { issue = { expired = true } }, nil, { days_left = "false", trusted = "false" } },
		["a beginning in the future"] = { { later = -10 * DAY }, nil, { days_left = "false", trusted = "false" } },
	}
	for words, case in pairs(cases) do
		it(("cert.identity, rfc5246.7.4.2.chain-in-order: sees %s"):format(words), function ()
			local given, sent = case[1], case[2] or function (own) return { own, pki.read(middle.own) } end
			local observed, data = examine(chain_of((table.unpack or unpack)(sent(issue(given.issue)))), {
				domain = given.domain, now = now + (given.later or 0),
				trust = given.trust == "other" and assert(certificates.authorities(pki.authority().certificate)) or nil,
			})
			assert.same(but(case[3]), seen(observed, (table.unpack or unpack)(of_chain)))
			assert.equal(64, #data.sha256)
		end)
	end

	it("judges names for the service of the endpoint", function ()
		local own = issue { names = {}, common_name = "x", srv = { "_xmpp-client.a.test" } }
		for service, expectation in pairs { c2s = "true", s2s = "false" } do
			local observed = examine(chain_of(own, pki.read(middle.own)), { service = service })
			assert.same({ domain = expectation }, seen(observed, "domain"))
		end
	end)

	it("trusts the system's authorities without a file", function ()
		local observed = examine(chain_of(issue(), pki.read(middle.own), root.pem),
			{ trust = assert(certificates.authorities()) })
		assert.same({ trusted = "false", complete = "true" }, seen(observed, "trusted", "complete"))
		assert.is_nil(certificates.authorities "/nonexistent")
	end)

	it("trusts only the authorities of a file that is given", function ()
		local file = assert(io.open "/etc/ssl/certs/ca-certificates.crt")
		local chain = chain_of(file:read "*a")
		file:close()
		local facts = chain[1]:facts()
		for _, case in ipairs { { trust, true }, { assert(certificates.authorities()), false } } do
			local observed = examine(chain, { trust = case[1], now = math.floor((facts.not_before + facts.not_after) / 2) })
			local is_unknown = observed["certificate.trusted"].evidence:find("self-signed", 1, true) ~= nil
			assert.equal(case[2], is_unknown)
		end
	end)

	it("rfc5280.4.2.1.10.within-dns-constraint: holds names to the constraints of the chain's authorities", function ()
		for permitted, domain in pairs { ["a.test"] = "true", ["b.test"] = "false" } do
			local bound = root:intermediate { extensions = { "nameConstraints=critical,permitted;DNS:" .. permitted } }
			local own = bound:issue { names = {}, common_name = "x", srv = { "_xmpp-server.a.test" } }
			local observed = examine(chain_of(pki.read(own.own), pki.read(bound.own)))
			assert.same({ trusted = "true", domain = domain }, seen(observed, "trusted", "domain"))
		end
	end)

	it("has the values that clauses judge", function ()
		for kind, value in pairs {
			rsa1024 = { type = "RSA", bits = 1024 }, rsa2048 = { type = "RSA", bits = 2048 },
			p256 = { type = "EC", bits = 256, curve = "secp256r1" },
		} do
			local observed, data = examine(chain_of(issue { key = kind }, pki.read(middle.own)))
			assert.same(value, observed["certificate.key"].value)
			assert.same(value, data.key)
		end
		local value = examine(chain_of(issue { not_before = now - 30 * DAY, not_after = now + 60 * DAY }))
			["certificate.days_left"].value
		assert.same({ days = 60, life = 90, share = 60 / 90 }, value)
	end)

	it("compares with the keys and certificates that are expected", function ()
		local own, same_key, other = issue(), issue(), issue { key_name = "other" }
		local digest = chain_of(own)[1]:facts().spki_sha256
		local path = pki.write(own)
		local function check(keys, paths, pem)
			local observed = examine(chain_of(pem, pki.read(middle.own)), { expected = assert(expected.new(keys, paths)) })
			return seen(observed, "expected").expected
		end
		assert.equal("untested", check({}, {}, own))
		for pem, results in pairs {
			[own] = { "true", "true" }, [same_key] = { "true", "false" }, [other] = { "false", "false" },
		} do
			assert.equal(results[1], check({ digest }, {}, pem))
			assert.equal(results[1], check({ (digest:upper():gsub("(..)", "%1:"):gsub(":$", "")) }, {}, pem))
			assert.equal(results[2], check({}, { path }, pem))
			assert.equal(results[1], check({ ("0"):rep(64), digest }, { path }, pem))
		end
		assert.equal("true", check({}, { pki.write(pki.to_der(own), ".der") }, own))
		for _, case in ipairs {
			{ { "x" }, {} }, { { ("0"):rep(63) }, {} }, { {}, { "/nonexistent" } }, { {}, { pki.write "x" } },
		} do
			local made, message = expected.new(case[1], case[2])
			assert.is_nil(made)
			assert.is_string(message)
		end
	end)

	describe("DANE", function ()
		local function record(certificate, dnssec)
			return { type = "TLSA", usage = 3, selector = 1, matching_type = 1, dnssec = dnssec,
				data = core.digest("SHA256", certificate:spki()) }
		end

		it("rfc7673.3.1.secure-srv: compares only records that DNSSEC secures, with their host", function ()
			local chain = chain_of(issue(), pki.read(middle.own))
			local other = chain_of(issue { key_name = "other" })[1]
			for _, status in ipairs { "secure", "insecure", "bogus", "unknown" } do
				for _, host_status in ipairs { "secure", "insecure", "bogus", "unknown" } do
					for _, matches in ipairs { true, false } do
						local observed = examine(chain, { host = "x.test", host_dnssec = host_status,
							tlsa = { record(matches and chain[1] or other, status) } })
						local worst = status == "secure" and host_status or status
						assert.same({
							tlsa_secure = worst == "unknown" and "untested" or tostring(worst == "secure"),
							tlsa = worst == "secure" and tostring(matches) or "untested",
						}, seen(observed, "tlsa", "tlsa_secure"), status .. host_status)
					end
				end
			end
		end)

		it("rfc7673.4.2.both-names: takes a certificate of the host, too", function ()
			for name, matches in pairs { ["a.test"] = "true", ["x.test"] = "true", ["y.test"] = "false" } do
				local chain = chain_of(issue { names = { name } }, pki.read(middle.own))
				local dane = record(chain[1], "secure")
				dane.usage = 1
				local observed = examine(chain, { host = "x.test", host_dnssec = "secure", tlsa = { dane } })
				assert.same({ tlsa = matches, domain = tostring(name == "a.test") }, seen(observed, "tlsa", "domain"))
			end
		end)

		it("is untested without records, and says of none that there are none", function ()
			local chain = chain_of(issue(), pki.read(middle.own))
			assert.same({ tlsa = "untested", tlsa_secure = "untested" }, seen(examine(chain), "tlsa", "tlsa_secure"))
			assert.same({ tlsa = "untested", tlsa_secure = "false" },
				seen(examine(chain, { tlsa = {}, host_dnssec = "secure" }), "tlsa", "tlsa_secure"))
			local useless = record(chain[1], "secure")
			useless.usage = 9
			assert.same({ tlsa = "untested", tlsa_secure = "true" },
				seen(examine(chain, { tlsa = { useless }, host_dnssec = "secure" }), "tlsa", "tlsa_secure"))
		end)
	end)

	it("compares the issuer with CAA, as far as its name there is known", function ()
		local function records(...)
			local list = {}
			for index, value in ipairs { ... } do
				list[index] = assert(caa.parse("\0\5issue" .. value))
				list[index].dnssec = "secure"
			end
			return list
		end
		local bound = "letsencrypt.org; accounturi=https://a.test/1"
		for _, case in ipairs {
			{ nil, "untested", "untested", "untested" },
			{ {}, "false", "untested", "untested" },
			{ records "letsencrypt.org", "true", "true", "false" },
			{ records "b.test", "true", "false", "false" },
			{ records("b.test", bound), "true", "true", "false" },
			{ records(bound), "true", "true", "true" },
			{ records ";", "true", "false", "true" },
		} do
			local observed = examine(chain_of(issue(), pki.read(middle.own)), { caa = case[1] })
			assert.same({ caa = case[2], caa_issuer = case[3], caa_account = case[4] },
				seen(observed, "caa", "caa_issuer", "caa_account"))
		end
		local own = pki.self_signed { names = { "a.test" } }
		assert.same({ caa_issuer = "untested" }, seen(examine(chain_of(own.pem), { caa = records "b.test" }), "caa_issuer"))
	end)

	it("tests nothing without a certificate, and has a statement of each observation", function ()
		local observed, data = examine {}
		assert.is_nil(data)
		for name, observation in pairs(observed) do
			assert.is_nil(observation.seen, name)
		end
		for name in pairs(observations.statements) do
			assert.equal(name:find "^certificate%." ~= nil, observed[name] ~= nil, name)
		end
		for name in pairs(examine(chain_of(issue()))) do
			assert.is_string(observations.statements[name], name)
		end
	end)

	it("shows foreign names without control characters, and few of them", function ()
		local names = {}
		for index = 1, 200 do
			names[index] = ("\27[31m%d"):format(index)
		end
		local own = issue { names = names, common_name = "x" }
		local many = {}
		for index = 1, 60 do
			many[index] = own
		end
		local observed, data = examine(chain_of((table.unpack or unpack)(many)))
		local function check(value)
			if type(value) == "table" then
				local count = 0
				for _, part in pairs(value) do
					check(part)
					count = count + 1
				end
				assert.is_true(count <= 50)
			elseif type(value) == "string" then
				assert.is_nil(value:find "%c")
				assert.is_true(#value < 1500)
			end
		end
		check(observed)
		check(data)
		assert.equal(9, #data.chain)
	end)
end)

describe("certificates.same", function ()
	it("compares all endpoints", function ()
		local function same(...)
			local list = {}
			for index, digest in ipairs { ... } do
				list[index] = { where = "c2s " .. index, sha256 = digest or nil }
			end
			return certificates.same(list)
		end
		assert.is_true(same("a", "a", "a").seen)
		local different = same("a", "b", "a")
		assert.is_false(different.seen)
		assert.same({ { sha256 = "a", where = { "c2s 1", "c2s 3" } }, { sha256 = "b", where = { "c2s 2" } } },
			different.value)
		assert.is_nil(same("a").seen)
		assert.is_nil(same("a", false, "a").seen)
		assert.is_nil(same().seen)
	end)
end)
