local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local core = require "xmpp_tls_policy.core"
local own_certificate_check = require "xmpp_tls_policy.certificates.own_certificate_check"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"
local work_queue = require "xmpp_tls_policy.work_queue"

local DAY = 86400

describe("the check of our own certificates", function ()
	local authority, certificates
	local policy, mild = tls_policy.policy(), tls_policy.policy { exceptions = {
		["old.test"] = { level = "must", expires = "2999-01-01", reason = "old" },
	} }:for_peer("old.test", os.time())
	local server, adopted, queue, check, configured, made
	local of_hosts = {} -- host -> policy; of the others: policy
	local policies = { policy_for = function (_, host)
		return of_hosts[host] or policy
	end }

	setup(function ()
		authority = pki.authority():intermediate {}
		certificates = {}
		for days, name in pairs { [300] = "good", [5] = "soon", [3] = "sooner" } do
			certificates[name] = authority:issue { names = { "a.test", "b.test" }, key_name = name,
				not_before = os.time() - 100 * DAY, not_after = os.time() + days * DAY + DAY / 2 }
		end
		certificates.other = authority:issue { names = { "other.example" }, key_name = "other", days = 300 }
	end)

	teardown(pki.remove)

	local function luasec(name)
		return assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = certificates[name].certificate,
			key = certificates[name].key, verify = "none",
		})
	end

	before_each(function ()
		configured, made = { c2s = "good", s2sin = "good" }, 0
		server = adapter.new {
			certificate_source = function (host, role)
				return configured[role] and host .. configured[role]
			end,
			own_context = function (_, role)
				made = made + 1
				if not configured[role] then
					return nil, "no certificate"
				end
				return luasec(configured[role])
			end,
		}
		adopted, queue = adopted_contexts.new(), work_queue.new { server = server }
		check = own_certificate_check.new { server = server, policies = policies, adopted = adopted, queue = queue }
	end)

	after_each(function ()
		of_hosts["b.test"] = nil
		adopted:release()
	end)

	local function lines()
		server.run_timers()
		return server.take_lines()
	end

	-- Without the services that are named where a host shows several certificates.
	local function said()
		return (table.concat(lines(), "\n"):gsub('" %([^)\n]*%)', '"'))
	end

	local SOON = 'warn the certificate of "a.test" expires in 5 days: renew it'
	local SOONER = 'warn the certificate of "a.test" expires in 3 days: renew it'

	it("has the faults of several hosts at once, each with all hosts that show the certificate", function ()
		configured = { c2s = "soon", s2sin = "soon" }
		local found = check:faults { "a.test", "b.test" }
		assert.equal(1, #found)
		assert.same({ "expiry-7", "warn", "a.test", { "b.test" } },
			{ found[1].kind, found[1].severity, found[1].host, found[1].others })
		assert.matches('^the certificate of "a.test" .*expires in 5 days: renew it$', found[1].message)
		assert.same({}, lines())
		configured = { c2s = "good", s2sin = "good" }
		assert.same({}, check:faults { "a.test" })
	end)

	it("knows when the certificates of a host end", function ()
		configured = { c2s = "soon", s2sin = "good" }
		local function ending(name)
			local context = core.context.adopt(luasec(name))
			return context:inspect().certificate:facts().not_after
		end
		assert.same({
			{ services = { "c2s" }, not_after = ending "soon" }, { services = { "s2s" }, not_after = ending "good" },
		}, check:ends "a.test")
		configured = { c2s = "soon", s2sin = "soon" }
		assert.same({ { services = { "c2s", "s2s" }, not_after = ending "soon" } }, check:ends "b.test")
		assert.same({}, check:ends "localhost")
		assert.same({}, lines())
	end)

	it("says nothing of a certificate that is as it should be", function ()
		check:check "a.test"
		assert.equal("", said())
	end)

	it("holds a certificate to the clauses of its host's policy", function ()
		of_hosts["b.test"] = tls_policy.policy { profile = "mozilla-modern-6.0" }
		check:check "b.test"
		assert.equal('warn the certificate of "b.test" is valid for 401 days; at most 90 are wanted '
			.. "(Mozilla Server Side TLS 6.0 modern.maximum_certificate_lifespan, SHOULD)", said())
	end)

	it("is done after the event in which it is asked for", function ()
		configured.c2s = "soon"
		check:check "a.test"
		assert.same({}, server.take_lines())
		assert.equal(0, made)
		assert.equal(SOON, said())
	end)

	it("says the same of both roles once", function ()
		configured = { c2s = "soon", s2sin = "soon" }
		check:check "a.test"
		assert.equal(SOON, said())
		configured.s2sin = "sooner"
		check:check "a.test"
		assert.same({ 'warn the certificate of "a.test" (c2s) expires in 5 days: renew it',
			'warn the certificate of "a.test" (s2s) expires in 3 days: renew it' }, lines())
	end)

	it("bears that there is no certificate", function ()
		configured = {}
		check:check "a.test"
		assert.equal("", said())
	end)

	it("makes a context once for each certificate that may be another one", function ()
		for _, step in ipairs {
			{ "good", "good", 1 }, { "good", "good", 1 }, { "soon", "good", 2 }, { "soon", "soon", 2 },
			{ "good", "sooner", 4 }, { "good", "sooner", 4 },
		} do
			configured = { c2s = step[1], s2sin = step[2] }
			check:check_all { "a.test" }
			server.run_timers()
			assert.equal(step[3], made)
		end
	end)

	it("says the same of a certificate of many hosts once, and counts those that it does not name", function ()
		local many = authority:issue { names = { "*.many.test" }, key_name = "many",
			not_before = os.time() - 100 * DAY, not_after = os.time() + 5 * DAY + DAY / 2 }
		certificates.many = many
		configured = { c2s = "many", s2sin = "many" }
		local names = {}
		for number = 1, 9 do
			names[number] = ("h%d.many.test"):format(number)
		end
		check:check_all(names)
		assert.equal('warn the certificate of "h1.many.test" expires in 5 days: renew it; the same certificate is shown for '
			.. "h2.many.test, h3.many.test, h4.many.test, h5.many.test, h6.many.test and 3 more hosts", said())
		check:check_all { names[1] }
		assert.equal('warn the certificate of "h1.many.test" expires in 5 days: renew it', said())
	end)

	it("makes one context for hosts that share a certificate, unless none could be made", function ()
		server.certificate_source = function (_, role)
			return configured[role]
		end
		configured = { c2s = "soon", s2sin = "soon" }
		check:check_all { "a.test", "b.test" }
		assert.equal(SOON .. "; the same certificate is shown for b.test", said())
		assert.equal(1, made)
		server.own_context = function (host)
			return host == "b.test" and luasec "sooner" or nil, "no key"
		end
		configured = { c2s = "sooner", s2sin = "sooner" }
		check:check_all { "a.test", "b.test" }
		assert.equal((SOONER:gsub("a.test", "b.test")), said())
	end)

	it("looks anew each time where the server cannot tell", function ()
		server.certificate_source = function () end
		for times = 1, 2 do
			check:check_all { "a.test" }
			server.run_timers()
			assert.equal(2 * times, made)
		end
	end)

	it("looks at the roles only in which a host serves anyone", function ()
		for _, serves in ipairs { { true, true }, { true, false }, { false, true }, { false, false } } do
			configured = { c2s = "other", s2sin = "other" }
			server.serves_clients = function () return serves[1] end
			server.serves_servers = function () return serves[2] end
			check:check "a.test"
			local expected = {}
			local sentence = 'error the certificate of "a.test" does not cover it, so %s: get one with the DNS name "a.test" in '
				.. "its subjectAltName"
			expected[#expected + 1] = serves[1] and sentence:format "clients (c2s) refuse it" or nil
			expected[#expected + 1] = serves[2] and sentence:format "other servers (s2s) do not authenticate us by it" or nil
			assert.same(expected, lines())
		end
	end)

	-- The server may show them any certificate that it finds.
	it("leaves out hosts that only this machine reaches", function ()
		configured = { c2s = "soon", s2sin = "soon" }
		for _, host in ipairs { "localhost", "a.localhost" } do
			check:check(host)
			assert.equal("", said())
		end
		check:check "localhost.test"
		assert.matches("does not cover it", said())
	end)

	it("names an internationalised host as certificates do", function ()
		check:check "b\195\188cher.test"
		assert.matches('^error the certificate of "xn%-%-bcher%-kva.test" does not cover it', said())
	end)

	describe("of direct TLS", function ()
		local ports -- { role, service, port, of hosts, without a server name }

		before_each(function ()
			ports = {}
			server.hosts = function () return { "a.test", "b.test" } end
			server.direct_tls_contexts = function ()
				local list = {}
				for index, port in ipairs(ports) do
					list[index] = { role = port.role, service = port.service, port = port.port, context = port.context,
						names = setmetatable({ ["a.test"] = port.of_host }, { __index = function () return port.context end }) }
				end
				return list
			end
		end)

		-- A port, with the names of the certificates that it shows.
		local function listen(role, service, number, of_host, without_name)
			local port = { role = role, service = service, port = number, of_host = luasec(of_host),
				context = luasec(without_name or of_host) }
			for host, context in pairs { ["a.test"] = port.of_host, ["*"] = port.context } do
				adopted:enforce(context, { policy = policy, host = host ~= "*" and host or nil, role = role,
					option = service .. "_ssl", operator = {} }).service = service
			end
			ports[#ports + 1] = port
		end

		it("looks at every service and port", function ()
			listen("c2s", "c2s_direct_tls", 5223, "good")
			listen("c2s", "c2s_direct_tls", 5224, "soon")
			listen("s2sin", "s2s_direct_tls", 5270, "sooner")
			check:check "a.test"
			assert.same({
				'warn the certificate of "a.test" (c2s_direct_tls port 5224) expires in 5 days: renew it',
				'warn the certificate of "a.test" (s2s_direct_tls port 5270) expires in 3 days: renew it',
			}, lines())
		end)

		it("looks at those contexts only that are served now", function ()
			listen("c2s", "c2s_direct_tls", 5223, "soon")
			ports[1].of_host = luasec "good"
			adopted:enforce(ports[1].of_host, { policy = policy, host = "a.test", role = "c2s",
				option = "c2s_direct_tls_ssl", operator = {} })
			ports[1].context = ports[1].of_host
			check:check "a.test"
			assert.same({}, lines())
		end)

		it("looks at the names, too", function ()
			listen("c2s", "c2s_direct_tls", 5223, "other")
			check:check "a.test"
			assert.same({
				'error the certificate of "a.test" (c2s_direct_tls port 5223) does not cover it, so clients (c2s) refuse it: '
				.. 'get one with the DNS name "a.test" in its subjectAltName',
			}, lines())
		end)

		it("looks at the certificate of those who ask for no host", function ()
			listen("c2s", "c2s_direct_tls", 5223, "good", "soon")
			listen("s2sin", "s2s_direct_tls", 5270, "good", "other")
			check:check "a.test"
			assert.same({
				"warn the certificate without a server name of c2s_direct_tls port 5223 expires in 5 days: renew it",
				"info the certificate without a server name of s2s_direct_tls port 5270 covers no host of ours, so clients and "
				.. "servers refuse it: configure one with the DNS names of the hosts in its subjectAltName",
			}, lines())
			check:check_daily { "a.test" }
			assert.equal("", said())
		end)

		it("says nothing twice of a certificate that a host shows, too", function ()
			listen("c2s", "c2s_direct_tls", 5223, "soon")
			configured = { c2s = "soon", s2sin = "soon" }
			check:check_all { "a.test", "b.test" }
			local found = lines()
			table.sort(found)
			assert.same({ SOON .. "; the same certificate is shown for b.test" }, found)
		end)
	end)

	-- What is in use, and what is configured: of a role's own contexts for STARTTLS in use the
	-- configuration has no say; those of direct TLS and of exceptions count beside it.
	local kinds = {
		{ name = "STARTTLS", makes = 0 },
		{ name = "direct TLS", given = { option = "c2s_direct_tls_ssl" }, makes = 1 },
		{ name = "an exception", given = { policy = mild }, makes = 1 },
	}
	local sentences = { soon = SOON, sooner = SOONER }
	for _, kind in ipairs(kinds) do
		it("takes contexts in use into account: those of " .. kind.name, function ()
			for _, used in ipairs { "good", "soon", "sooner" } do
				for _, config in ipairs { "good", "soon", "sooner" } do
					adopted = adopted_contexts.new()
					check = own_certificate_check.new { server = server, policies = policies, adopted = adopted, queue = queue }
					local given = { policy = policy, host = "a.test", role = "c2s", operator = {} }
					for name, value in pairs(kind.given or {}) do
						given[name] = value
					end
					local context = luasec(used)
					adopted:enforce(context, given)
					server.direct_tls_contexts = function ()
						return given.option and { { role = "c2s", service = "c2s_direct_tls", port = 5223,
							context = luasec "good", names = { ["a.test"] = context } } } or {}
					end
					configured, made = { c2s = config }, 0
					local expected = { sentences[used] }
					if kind.makes > 0 and config ~= used then
						expected[#expected + 1] = sentences[config]
					end
					check:check "a.test"
					assert.equal(table.concat(expected, "\n"), said())
					-- The other role has nothing in use, and no certificate.
					assert.equal(kind.makes + 1, made)
					adopted:release()
				end
			end
		end)
	end

	it("does not count contexts that a load of the configuration replaced", function ()
		local context = luasec "soon"
		adopted:enforce(context, { policy = policy, host = "a.test", role = "c2s", operator = {} })
		check:check "a.test"
		assert.equal(SOON, said())
		check:check_all { "a.test" }
		assert.equal("", said())
	end)

	it("logs all faults at each load, and in between only new ones, once a day", function ()
		local days = 0
		check = own_certificate_check.new { server = server, policies = policies, adopted = adopted, queue = queue,
			now = function ()
				return os.time() + days * DAY
			end }
		configured.c2s = "soon"
		local function daily()
			check:check_daily { "a.test" }
			return said()
		end
		check:check "a.test"
		assert.equal(SOON, said())
		assert.equal("", daily())
		days = 1
		assert.equal("", daily())
		days = 5
		assert.equal('warn the certificate of "a.test" expires in less than a day: renew it', daily())
		assert.equal("", daily())
		days = 7
		assert.matches('error the certificate of "a.test" expired 1 day ago', daily())
		check:check_all { "a.test" }
		assert.matches("expired 1 day ago", said())
	end)

	it("says everything where a check for a load and a daily one wait together, in either order", function ()
		configured.c2s = "soon"
		for _, order in ipairs { { "check_daily", "check" }, { "check", "check_daily" } } do
			local days = 0
			check = own_certificate_check.new { server = server, policies = policies, adopted = adopted, queue = queue,
				now = function ()
					return os.time() + days * DAY
				end }
			check:check "a.test"
			assert.equal(SOON, said())
			days = 1
			for _, method in ipairs(order) do
				check[method](check, method == "check" and "a.test" or { "a.test" })
			end
			assert.equal('warn the certificate of "a.test" expires in 4 days: renew it', said())
		end
	end)

	it("of many hosts takes one in each step", function ()
		local hosts = {}
		for number = 1, 50 do
			hosts[number] = ("host%d.test"):format(number)
		end
		server.own_context = function (_, role)
			made, server.time = made + 1, server.time + 0.008
			return luasec(configured[role])
		end
		check:check_all(hosts)
		while server.timers[1] do
			local began = server.time
			table.remove(server.timers, 1)[2]()
			assert.is_true(server.time - began < 0.02)
		end
		assert.equal(50, made)
	end)

	it("goes on over a reload of the module without a new look", function ()
		check:check "a.test"
		server.run_timers()
		made = 0
		local after = own_certificate_check.new { server = server, policies = policies, adopted = adopted, queue = queue,
			kept = check }
		after:check "a.test"
		server.run_timers()
		assert.equal(0, made)
	end)

	it("knows the faults of a certificate, and the chain that is sent after it", function ()
		local problems, chain = check:problems("other.test", assert(core.context.adopt(luasec "good")):inspect())
		assert.same({ "not-covering-c2s", "not-covering-s2s" }, { problems[1].kind, problems[2].kind })
		assert.equal(1, #chain)
		server.serves_clients = function () return false end
		problems = check:problems("other.test", assert(core.context.adopt(luasec "good")):inspect())
		assert.equal("not-covering-s2s", problems[1].kind)
	end)
end)
