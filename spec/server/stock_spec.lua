-- The handshakes of a server without the policy. They show that the refusals in the other specs
-- come from the policy.
local client = require "support.client"
local client_hello = require "support.client_hello"
local offers = require "support.offers"
local pki = require "support.pki"
local prosody = require "support.prosody"
local versions = require "support.versions"
local xmpp = require "support.xmpp"

describe("a server without the policy", function ()
	local authority, files, server

	local function start(options, routes)
		server = prosody.start {
			hosts = { ["example.test"] = files },
			users = { ["alice@example.test"] = "secret" },
			ca = authority.certificate,
			options = options,
			routes = routes,
		}
	end

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "example.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	after_each(function ()
		if server then
			server:stop()
			server = nil
		end
	end)

	it("negotiates everything that its operator allows", function ()
		start { ssl = { protocol = "sslv3+", ciphers = "ALL:COMPLEMENTOFALL:@SECLEVEL=0" } }
		local function answer(offer)
			local got = client_hello.send(server:target "c2s", offer)
			return got.version, got.suite
		end
		assert.equal("TLSv1", (answer(offers.tls10)))
		assert.equal("TLSv1.1", (answer(offers.tls11)))
		assert.matches("_NULL_", select(2, answer(offers.null)))
		assert.matches("_anon_", select(2, answer(offers.anonymous)))
		assert.matches("^TLS_RSA_", select(2, answer(offers.static_rsa)))
		assert.matches("_CBC_", select(2, answer(offers.cbc)))
	end)

	it("has no DHE before Prosody 13, and follows the client's order of suites", function ()
		start()
		local target = server:target "c2s"
		local answer_to_dhe = client_hello.send(target, offers.dhe)
		if versions.prosody_from(13) then
			assert.matches("^TLS_DHE_", answer_to_dhe.suite)
		else
			assert.equal("handshake_failure", answer_to_dhe.description)
		end
		local answer = client.openssl(target, {
			ca = authority.certificate,
			arguments = { "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384" },
		})
		assert.equal("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", answer.suite)
		assert.is_true(answer.verified)
	end)

	it("refuses an unknown name in SNI on direct TLS, and only there", function ()
		start()
		local direct = client.openssl(server:target "c2s_direct_tls", { server_name = "wrong.test" })
		assert.equal("unrecognized_name", direct.alert)
		assert.is_true(client.openssl(server:target "c2s", { server_name = "wrong.test" }).ok)
	end)

	it("asks for TLS even where the other server offers none", function ()
		local remote = xmpp.listen()
		finally(function ()
			remote:close()
		end)
		start(nil, { ["remote.test"] = { s2s = remote.port } })
		local alice = assert(xmpp.open(server:target "c2s"))
		assert(alice:login("alice", "secret"))
		alice:send("<message to='remote.test'><body>secret</body></message>")
		local peer = assert(remote:accept())
		assert(peer:answer("<dialback xmlns='urn:xmpp:features:dialback'/>"))
		assert.truthy(peer:read_until("<starttls[^>]*>"))
		peer:close()
		alice:close()
	end)
end)
