-- tls-unique, compared with the Finished messages that LuaSec reads from OpenSSL.
local core = require "xmpp_tls_policy.core"
local mixed_pair = require "support.mixed_pair"
local pki = require "support.pki"
local ssl = require "ssl"

describe("tls-unique", function ()
	local files, store, opened

	setup(function ()
		files = pki.authority():issue { names = { "example.test" }, key = "rsa2048" }
	end)

	before_each(function ()
		store, opened = assert(core.session_store.new { memory = 1, lifetime = 60 }), {}
	end)

	after_each(function ()
		for _, connection in ipairs(opened) do
			connection:close()
		end
		store:close()
	end)

	teardown(function ()
		pki.remove()
	end)

	local function luasec(mode, version)
		return assert(ssl.newcontext {
			mode = mode, protocol = version, certificate = mode == "server" and files.certificate or nil,
			key = mode == "server" and files.key or nil, verify = "none",
		})
	end

	local function core_client(version)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply { minimum_version = version, maximum_version = version })
		return context
	end

	local function connect(server_context, client_context, session)
		local client, server = mixed_pair.connect(client_context, server_context, session)
		opened[#opened + 1], opened[#opened + 2] = client, server
		return client, server
	end

	it("rfc5929.3.1.first-finished: is the client's Finished, and the server's if a session is resumed", function ()
		local context, client_context = luasec("server", "tlsv1_2"), core_client "TLSv1.2"
		local adopted = assert(core.context.adopt(context))
		assert(adopted:observe(1))
		assert(adopted:resume(store, "name"))
		local client, server = connect(context, client_context)
		local session = client:session()
		local unique = assert(core.observer.tls_unique(server))
		assert.equal(12, #unique)
		assert.equal(server:getpeerfinished(), unique)
		assert.equal(unique, client.connection:tls_unique())
		for _ = 1, 2 do
			client, server = connect(context, client_context, session)
			assert.is_true(core.observer.facts(server).resumed)
			unique = assert(core.observer.tls_unique(server))
			assert.equal(server:getfinished(), unique)
			assert.not_equal(server:getpeerfinished(), unique)
			assert.equal(unique, client.connection:tls_unique())
		end
	end)

	it("is not defined in TLS 1.3", function ()
		local context = luasec("server", "tlsv1_3")
		assert(assert(core.context.adopt(context)):observe(1))
		local client, server = connect(context, core_client "TLSv1.3")
		for _, result in ipairs { { core.observer.tls_unique(server) }, { client.connection:tls_unique() } } do
			assert.is_nil(result[1])
			assert.equal("unsupported", result[3])
		end
	end)

	it("is not known of a connection that is not ours, that is in its handshake, or closed", function ()
		local context = luasec("server", "tlsv1_2")
		local _, server = connect(context, core_client "TLSv1.2")
		assert.equal("unobserved", (select(3, core.observer.tls_unique(server))))
		server:close()
		assert.equal("closed", (select(3, core.observer.tls_unique(server))))
		local connection = assert(core.connection.new(core_client "TLSv1.2"))
		assert.equal("handshake", (select(3, connection:tls_unique())))
		connection:handshake()
		assert.equal("handshake", (select(3, connection:tls_unique())))
	end)
end)
