-- Prosody's other network backends. The other specs run with epoll.
local core = require "xmpp_tls_policy.core"
local client = require "support.client"
local client_hello = require "support.client_hello"
local offers = require "support.offers"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local dhe = { "-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384" }

for backend, name in pairs { event = "libevent ", select = "select" } do
describe("with network_backend " .. backend, function ()
	local servers = prosody.group()
	local authority, server

	local function start(domain, routes)
		local started = servers.start {
			hosts = { [domain] = authority:issue { names = { domain }, key = "rsa2048" } },
			users = { ["juliet@" .. domain] = "wherefore" },
			ca = authority.certificate,
			routes = routes,
			modules = { "test_facts" },
			with_policy = true,
			policy = { unauthenticated_s2s = "refuse" },
			options = { network_backend = backend },
		}
		started:wait_for_log("Network backend: " .. name)
		return started
	end

	setup(function ()
		authority = pki.authority()
	end)

	before_each(function ()
		server = start("example.test", {})
	end)

	after_each(servers.stop)

	teardown(pki.remove)

	local function log_in(service, tls)
		local peer = assert(xmpp.open(server:target(service), { tls = tls }))
		assert.matches("^juliet@example.test/", (peer:login("juliet", "wherefore")))
		return peer
	end

	it("negotiates only what the policy allows", function ()
		for _, service in ipairs { "c2s", "c2s_direct_tls", "s2s", "s2s_direct_tls" } do
			local target, from = server:target(service), service:find "s2s" and "remote.test" or nil
			for _, arguments in ipairs { {}, dhe } do
				local answer = client.openssl(target, { arguments = arguments, from = from })
				assert.is_true(answer.ok, answer.raw)
			end
			for _, offer in ipairs { "cbc", "static_rsa", "tls10" } do
				assert.equal("alert", client_hello.send(target, offers[offer], { from = from }).kind, service .. " " .. offer)
			end
		end
	end)

	it("resumes sessions, and accepts logins on them", function ()
		for _, service in ipairs { "c2s", "c2s_direct_tls" } do
			for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
				local context = assert(core.context.new { role = "client", verify = "none" })
				assert(context:apply { maximum_version = version })
				local session
				for _, resumed in ipairs { false, true } do
					local peer = log_in(service, { context = context, session = session })
					assert.equal(resumed, peer:tls_info().resumed)
					session = assert(peer.socket:session())
					peer:close()
				end
			end
		end
		server:wait_for_log "Facts of c2s: server TLSv1.3 draft"
	end)

	it("authenticates servers by certificate in both directions", function ()
		local far = start("far.test", { ["example.test"] = { s2s = server.ports.s2s } })
		server:configure { routes = { ["far.test"] = { s2s = far.ports.s2s } } }
		server:reload()
		local peer = log_in "c2s"
		peer:send "<iq type='get' to='far.test' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
		local answer = assert(peer:read_until "<iq[^>]*id='p'[^>]*>")
		peer:close()
		assert.matches("type='result'", answer)
		for _, one in ipairs { server, far } do
			assert.matches("Facts of s2sout: client TLSv1.3 draft", one:log())
			assert.matches("Facts of s2sin: server TLSv1.3 draft", one:log())
		end
	end)
end)
end
