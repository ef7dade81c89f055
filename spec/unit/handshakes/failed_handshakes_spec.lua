local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local failed_handshakes = require "xmpp_tls_policy.handshakes.failed_handshakes"
local metrics = require "xmpp_tls_policy.metrics"
local offers = require "support.offers"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"

describe("failed handshakes", function ()
	local files, server, adopted, counted, failed, now, lines, told
	local policy = tls_policy.policy()

	setup(function ()
		files = pki.authority():issue { names = { "a.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	before_each(function ()
		collectgarbage()
		core.observer.refusals()
		server, adopted, now, lines, told = adapter.new(), adopted_contexts.new(), 1000, {}, {}
		counted = metrics.new { adopted = adopted, server = server }
		failed = failed_handshakes.new {
			server = server, adopted = adopted, metrics = counted, now = function () return now end,
		}
	end)

	after_each(function ()
		adopted:release()
	end)

	local function luasec(host)
		local context = assert(ssl.newcontext {
			mode = "server", protocol = "any", certificate = files.certificate, key = files.key, verify = "none",
		})
		adopted:enforce(context, { policy = policy, host = host, role = "c2s", operator = {}, option = not host and "x_ssl" })
		return context
	end

	-- A client comes with an offer, by default without AEAD.
	local function fail(context, name, offer)
		local connection = assert(core.connection.new(assert(core.context.adopt(context)), { role = "server" }))
		assert(connection:feed(client_hello.build { suites = (offer or offers.cbc).suites, server_name = name }))
		assert.is_nil((connection:handshake()))
		connection:close()
	end

	local function collect()
		failed:collect(function (level, format, ...)
			lines[#lines + 1] = level .. " " .. format:format(...)
		end, function (entry)
			told[#told + 1] = entry
		end)
	end

	local function counts(name)
		for _, metric in ipairs(counted:list()) do
			if metric.name == name then
				local list = {}
				for _, one in ipairs(metric.series) do
					list[table.concat(one.values, " ")] = one.value > 0 and one.value or nil
				end
				return list
			end
		end
	end

	it("are logged, reported, counted and listed, with the reason and the clauses", function ()
		local context = luasec "a.test"
		fail(context)
		collect()
		local entry = failed:list()[1]
		assert.same({ "handshake", "a.test", "c2s", policy:name() }, { entry.what, entry.host, entry.role, entry.policy })
		assert.same({ "cipher.aead" }, entry.clauses)
		assert.same({ "info TLS handshake failed: " .. failed_handshakes.line(entry) }, lines)
		assert.matches("^c2s, a.test, unknown address: .*%(cipher.aead%)$", failed_handshakes.line(entry))
		assert.same({ entry }, told)
		assert.equal(1, failed:total())
		assert.same({ ["c2s none none none none handshake_refused"] = 1 }, counts "handshakes_total")
		assert.same({ ["c2s handshake cipher.aead"] = 1 }, counts "refusals_total")
	end)

	it("are explained by the limit of DHE, and counted, where that refused them", function ()
		local context = luasec "a.test"
		local before = core.observer.dhe_refusals()
		core.observer.limit_dhe(1e-9, 0)
		finally(function () core.observer.limit_dhe(0, 0) end)
		fail(context, nil, offers.dhe)
		collect()
		assert.same({ "info TLS handshake failed: c2s, a.test, unknown address: has nothing better than DHE, and came beyond "
			.. "dhe_per_second = 10; needs ECDHE, or a higher dhe_per_second" }, lines)
		assert.same({ ["c2s none none none none handshake_refused"] = 1 }, counts "handshakes_total")
		assert.same({ ["c2s handshake none"] = 1 }, counts "refusals_total")
		assert.same({ [""] = before + 1 }, counts "dhe_refusals_total")
	end)

	it("are of the host that the server name says, in any case, where the context is of none", function ()
		local context = luasec(nil)
		fail(context, "A.Test")
		collect()
		now = now + 60
		fail(context, "a.other")
		collect()
		assert.same({ "a.test", nil }, { failed:list()[2].host, failed:list()[1].host })
	end)

	it("have a line each minute for each address, and a count of the others", function ()
		local context = luasec "a.test"
		for _ = 1, 5 do
			fail(context)
		end
		collect()
		assert.same({ 1, 1, 5, 5 }, { #lines, #told, failed:total(), #failed:list() })
		now = now + 60
		collect()
		assert.equal("info 4 more TLS handshakes failed that are not logged one by one", lines[2])
	end)

	it("without a known context are listed, too", function ()
		local context = luasec "a.test"
		fail(context)
		adopted:release()
		adopted = adopted_contexts.new()
		failed = failed_handshakes.new { server = server, adopted = adopted, metrics = counted, kept = failed }
		collect()
		assert.same({ "info TLS handshake failed: TLS, any host, unknown address: failed in the handshake" }, lines)
		assert.same({}, failed:list()[1].clauses)
		assert.same({ ["none none none none none handshake_refused"] = 1 }, counts "handshakes_total")
	end)

	it("stay over a reload of the module", function ()
		local context = luasec "a.test"
		fail(context)
		collect()
		local after = failed_handshakes.new { server = server, adopted = adopted, metrics = counted, kept = failed }
		assert.same(failed:list(), after:list())
		assert.equal(1, after:total())
	end)
end)
