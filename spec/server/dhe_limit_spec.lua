-- The bound on handshakes with DHE on a live server.
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

describe("the limit of DHE", function ()
	local servers = prosody.group()
	local files, dhe, others

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
		local function client(settings)
			local context = assert(core.context.new { role = "client", verify = "none" })
			assert(context:apply(settings))
			return context
		end
		dhe = client { maximum_version = "TLSv1.2", ciphers = { "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" } }
		others = { client { maximum_version = "TLSv1.2" }, client {} }
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function connects(server, service, context)
		local peer = xmpp.open(server:target(service), { tls = { context = context } })
		if peer then
			peer:close()
		end
		return peer ~= nil
	end

	-- How many clients with DHE were accepted before one was refused, of many.
	local function accepted_before_refusal(server, service)
		local sum = 0
		while sum < 100 and connects(server, service, dhe) do
			sum = sum + 1
		end
		assert.is_true(sum < 100)
		return sum
	end

	-- How many of so many clients with DHE were accepted.
	local function accepted(server, count)
		local sum = 0
		for _ = 1, count do
			sum = sum + (connects(server, "c2s", dhe) and 1 or 0)
		end
		return sum
	end

	local function start(policy)
		return servers.start { hosts = { ["example.test"] = files }, with_policy = true, policy = policy }
	end

	it("is dhe_per_second, for all services together; all other clients are served", function ()
		local server = start { dhe_per_second = 1 }
		local begun = os.time()
		local most = accepted(server, 4) + accepted_before_refusal(server, "c2s_direct_tls")
		-- Five at once, and one a second.
		assert.is_true(most >= 5 and most <= 6 + os.time() - begun, most)
		for _, context in ipairs(others) do
			assert.is_true(connects(server, "c2s", context))
			assert.is_true(connects(server, "c2s_direct_tls", context))
		end
		server:wait_for_log("TLS handshake failed: c2s, example.test, 127.0.0.1: has nothing better than DHE, and came "
			.. "beyond dhe_per_second = 1; needs ECDHE, or a higher dhe_per_second")
		assert.matches("nothing better than DHE", (server:shell "tlspolicy:refused()"))
		local refused = tonumber(server:shell("tlspolicy:stats()"):match "dhe_refusals_total%s+(%d+)")
		assert.equal(1, refused)
	end)

	it("follows the option at a reload", function ()
		local server = start { dhe_per_second = 1 }
		accepted_before_refusal(server, "c2s")
		server:configure { policy = { dhe_per_second = 1000 } }
		server:reload()
		assert.equal(12, accepted(server, 12))
	end)

	it("is ten a second by default", function ()
		assert.equal(12, accepted(start {}, 12))
	end)
end)
