-- The features that a stream offers, and the cases in which it is closed.
local configuration = require "support.configuration"
local pki = require "support.pki"
local prosody = require "support.prosody"
local xmpp = require "support.xmpp"

local required = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp%-tls'><required/></starttls>"

describe("a stream", function ()
	local servers = prosody.group()

	local function start(spec)
		spec.with_policy = true
		return servers.start(spec)
	end

	local files
	setup(function ()
		files = pki.authority():issue { names = { "example.test", "strict.test" }, key = "rsa2048" }
	end)

	after_each(servers.stop)

	teardown(function ()
		pki.remove()
	end)

	local function features(server, service)
		local peer = xmpp.connect(server:target(service), { from = service == "s2s" and "remote.test" or nil })
		local text = assert(peer:open())
		peer:close()
		return text
	end

	for description, options in pairs {
		["with the server's defaults"] = {},
		["where the operator does not require encryption"] = {
			c2s_require_encryption = false, s2s_require_encryption = false,
		},
	} do
		-- rfc6120.5.3.1.starttls-alone
		it("support.offer, support.required: offers STARTTLS as mandatory " .. description, function ()
			local server = start { hosts = { ["example.test"] = files }, options = options }
			for _, service in ipairs { "c2s", "s2s" } do
				local offered = features(server, service)
				assert.matches(required, offered)
				assert.equal(1, select(2, offered:gsub("<starttls", "")))
			end
		end)
	end

	it("offers no STARTTLS once it is encrypted", function ()
		local server = start { hosts = { ["example.test"] = files } }
		for _, service in ipairs { "c2s", "c2s_direct_tls" } do
			local peer, offered = xmpp.open(server:target(service))
			peer:close()
			assert.matches("<mechanisms", offered)
			assert.is_nil(offered:match "starttls")
		end
	end)

	it("is closed if its TLS was negotiated under the weaker policy of another host", function ()
		local server = start {
			hosts = {
				["example.test"] = files,
				["strict.test"] = {
					certificate = files.certificate, key = files.key,
					options = { xmpp_tls_policy = { profile = "rfc9325" } },
				},
			},
			domain = "example.test",
		}
		local function open(domain)
			return xmpp.open(server:target("c2s_direct_tls", domain), {
				tls = { server_name = "example.test", protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384" },
			})
		end
		local peer = assert(open "example.test")
		peer:close()
		local refused, reason, text = open "strict.test"
		assert.is_nil(refused)
		assert.equal("error", reason)
		assert.matches("<policy%-violation", text)
		assert.matches("<text[^>]*>rfc9325, section 4.1, key.dhe %(SHOULD NOT%): .*DHE", text)
		assert.is_nil(text:match "<stream:features")
		local from_server = xmpp.connect(server:target("s2s_direct_tls", "strict.test"), { from = "remote.test" })
		assert(from_server:secure { server_name = "example.test", protocol = "tlsv1_2",
			ciphers = "DHE-RSA-AES256-GCM-SHA384" })
		refused, reason, text = from_server:open()
		from_server:close()
		assert.is_nil(refused)
		assert.equal("error", reason)
		assert.matches("key.dhe", text)
		-- The same on a stream without version 1.0, which gets no features.
		local old = xmpp.connect(server:target("s2s_direct_tls", "strict.test"), { from = "remote.test" })
		assert(old:secure { server_name = "example.test", protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384" })
		old:send((xmpp.stream_header("s2s", "strict.test", "remote.test"):gsub("(<stream:.-) version='1.0'", "%1")))
		text = assert(old:read_all())
		old:close()
		assert.matches("<policy%-violation.*key.dhe", text)
	end)

	it("follows a policy that was loaded after its features were sent", function ()
		local server = start { hosts = { ["example.test"] = files } }
		local peer = xmpp.connect(server:target "c2s")
		assert(peer:open())
		server:configure { policy = { profile = "rfc9325" } }
		server:reload()
		assert(peer:request_tls())
		assert.is_falsy((peer:secure { protocol = "tlsv1_2", ciphers = "DHE-RSA-AES256-GCM-SHA384" }))
		peer:close()
	end)

	it("is closed if the module did not observe its TLS handshake", function ()
		local server = servers.start {
			hosts = { ["example.test"] = files }, options = { installer_plugin_path = configuration.tree },
		}
		local peer = xmpp.connect(server:target "c2s_direct_tls")
		assert(peer:secure())
		server:shell [[module:load("xmpp_tls_policy")]]
		local opened, reason, text = peer:open()
		peer:close()
		assert.is_nil(opened)
		assert.equal("error", reason)
		assert.matches("the connection's context was not under the policy", (text:gsub("&apos;", "'")))
		peer = assert(xmpp.open(server:target "c2s_direct_tls"))
		peer:close()
	end)

	it("is closed, and the log says why, if its TLS context cannot be brought under the policy", function ()
		local server = start {
			hosts = { ["example.test"] = files },
			options = { ssl = { protocol = "tlsv1_2", ciphers = "AES128-SHA" }, c2s_require_encryption = false },
			routes = {},
		}
		for _, service in ipairs { "c2s", "s2s" } do
			local peer = xmpp.connect(server:target(service), { from = service == "s2s" and "remote.test" or nil })
			local offered, reason, text = peer:open()
			assert.is_nil(offered)
			assert.equal("error", reason)
			assert.matches("<internal%-server%-error", text)
			assert.matches("TLS is not available; the log of the server says why", text)
			assert.is_nil(text:match "<stream:features")
			-- A peer that does not wait for features gets nothing either.
			assert.is_nil((peer:read_all() or ""):match "mechanisms")
			peer:close()
		end
		assert.is_nil((xmpp.open(server:target "c2s_direct_tls")))
		local listener = xmpp.listen "s2s"
		server:configure { routes = { ["far.test"] = { s2s = listener.port } } }
		server:reload()
		local ping = server:begin_shell [[xmpp:ping("example.test", "far.test", 20)]]
		local far = assert(listener:accept())
		assert(far:answer(xmpp.starttls_feature))
		assert.matches("^<stream:error><internal%-server%-error", (assert(far:read_all())))
		far:close()
		listener:close()
		ping:close()
		local why = "no TLS, because its context cannot be brought under draft%-saintandre%-xmpp%-tls%-02, level should: "
		local direct_tls = ("any host, c2s %%(%s, port %%d+%%)"):format(prosody.services.c2s_direct_tls)
		for _, what in ipairs { "example.test, c2s", "example.test, s2sin", direct_tls } do
			local line = server:wait_for_log("([^\n]*" .. what .. "[^\n]*: " .. why .. "[^\n]*)")
			assert.matches("AES_128_CBC_SHA", line)
			assert.matches("error", line)
		end
		assert.is_true(server:alive())
	end)
end)
