local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local command_service = require "support.command_service"
local core = require "xmpp_tls_policy.core"
local foreseen_outages = require "xmpp_tls_policy.contexts.foreseen_outages"
local pki = require "support.pki"
local ssl = require "ssl"
local tls_policy = require "xmpp_tls_policy"
local work_queue = require "xmpp_tls_policy.work_queue"

describe("outages that enforcing would cause", function ()
	local files, server, outages, policies, ciphers, asked

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	before_each(function ()
		ciphers, asked = { ["a.test"] = "AES256-SHA", ["b.test"] = "ECDHE-RSA-AES128-GCM-SHA256" }, {}
		local report = tls_policy.policy { mode = "report" }
		policies = { ["*"] = report, ["a.test"] = report, ["b.test"] = report, ["c.test"] = tls_policy.policy() }
		server = adapter.new {
			own_context = function (host, role)
				asked[#asked + 1] = { host, role }
				if not ciphers[host] then
					return nil, "no certificate"
				end
				asked.context = assert(ssl.newcontext { mode = "server", protocol = "tlsv1_2", ciphers = ciphers[host],
					certificate = files.certificate, key = files.key })
				return asked.context
			end,
			operator_lists = function ()
				return { ciphers = true }
			end,
		}
		outages = foreseen_outages.new {
			server = server, policies = command_service.policies(policies), adopted = adopted_contexts.new(),
			queue = work_queue.new { server = server },
		}
	end)

	it("are logged for each host in report mode, and shown", function ()
		outages:check { "a.test", "b.test", "c.test", "gone.test" }
		assert.same({}, server.take_lines())
		server.run_timers()
		local lines = server.take_lines()
		assert.equal(2, #lines)
		assert.matches("^error a.test: if draft%-.-, level should were enforced, no clients could connect with TLS: "
			.. "no cipher suite of TLS 1.2 or older is left: ", lines[1])
		assert.matches("^error a.test: if .* no servers could connect with TLS: ", lines[2])
		assert.same({ lines[1]:match "^error a.test: (.*)", lines[2]:match "^error a.test: (.*)" }, outages:of "a.test")
		assert.same({}, outages:of "b.test")
		assert.same({ { "a.test", "c2s" }, { "a.test", "s2sin" }, { "b.test", "c2s" }, { "b.test", "s2sin" } },
			{ asked[1], asked[2], asked[3], asked[4] })
		assert.is_nil(asked[5])
	end)

	it("end with another configuration, and with report mode", function ()
		local function check()
			outages:check { "a.test" }
			server.run_timers()
			return #outages:of "a.test"
		end
		assert.equal(2, check())
		local kept = ciphers["a.test"]
		ciphers["a.test"] = ciphers["b.test"]
		assert.equal(0, check())
		ciphers["a.test"] = kept
		assert.equal(2, check())
		policies["a.test"] = tls_policy.policy()
		assert.equal(0, check())
	end)

	it("are none of hosts without TLS, nor of clients where none can log in", function ()
		ciphers["a.test"] = nil
		outages:check { "a.test" }
		server.run_timers()
		assert.same({}, outages:of "a.test")
		ciphers["a.test"] = "AES256-SHA"
		server.serves_clients = function ()
			return false
		end
		outages:check { "a.test" }
		server.run_timers()
		assert.equal(1, #outages:of "a.test")
		assert.matches("no servers could connect", outages:of("a.test")[1])
	end)

	it("leave the context as it was", function ()
		outages:check { "a.test" }
		server.run_timers()
		local context = assert(core.context.adopt(asked.context))
		assert.same({ "TLS_RSA_WITH_AES_256_CBC_SHA" }, context:settings().ciphers)
		context:close()
	end)
end)
