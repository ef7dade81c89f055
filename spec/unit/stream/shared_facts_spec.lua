local core = require "xmpp_tls_policy.core"
local mixed_pair = require "support.mixed_pair"
local observed_connection = require "support.observed_connection"
local pki = require "support.pki"
local shared_facts = require "xmpp_tls_policy.stream.shared_facts"
local ssl = require "ssl"

describe("facts of connections", function ()
	local files, store, opened

	setup(function ()
		local authority = pki.authority()
		files = { authority = authority.certificate }
		for _, key in ipairs { "rsa2048", "p256" } do
			files[key] = authority:issue { names = { "example.test" }, key = key, key_name = key }
		end
	end)

	before_each(function ()
		store, opened = assert(core.session_store.new { memory = 1, lifetime = 3600 }), {}
	end)

	after_each(function ()
		for _, close in ipairs(opened) do
			close()
		end
		store:close()
	end)

	teardown(function ()
		pki.remove()
	end)

	local function observed(options)
		local context = assert(ssl.newcontext(options))
		local adopted = assert(core.context.adopt(context))
		assert(adopted:observe(1))
		assert(adopted:resume(store, "name"))
		adopted:close()
		return context
	end

	-- The connection at the server's end. Fields of `case`: key, version, ciphers, groups (of the
	-- client), name (sent by SNI), resumed.
	local function connect(case)
		local server = files[case.key or "rsa2048"]
		local context = observed {
			mode = "server", protocol = "any", certificate = server.certificate, key = server.key, verify = "none",
			ciphers = "ALL:@SECLEVEL=1", curveslist = "X25519:P-256:P-384:brainpoolP256r1",
		}
		local client = assert(core.context.new { role = "client", verify = "none" })
		assert(client:apply {
			minimum_version = case.version or "TLSv1.3", maximum_version = case.version or "TLSv1.3", ciphers = case.ciphers,
			groups = case.groups,
		})
		local session
		for _ = 1, case.resumed and 2 or 1 do
			local one, other = mixed_pair.connect(client, context, session, case.name)
			opened[#opened + 1] = function ()
				one:close()
				other:close()
			end
			session, case.connection = mixed_pair.session(one, other), other
		end
		return case.connection
	end

	local function connect_luasec(client_options, server_options)
		server_options.certificate, server_options.key = files.rsa2048.certificate, files.rsa2048.key
		local connection, close = observed_connection.open(server_options, client_options)
		opened[#opened + 1] = close
		return connection
	end

	local function selects(protocol)
		return function ()
			return protocol
		end
	end

	local suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"

	-- Handshakes that differ in one thing.
	local cases = {
		["TLS 1.3"] = {}, ["another group"] = { groups = { "secp384r1" } }, ["another key"] = { key = "p256" },
		["a server name"] = { name = "a.test" }, ["another server name"] = { name = "b.test" },
		["a server name with ALPN's"] = { name = "a.testxmpp" }, resumed = { resumed = true },
		["TLS 1.2"] = { version = "TLSv1.2" }, ["another suite"] = { version = "TLSv1.2", ciphers = { suite } },
		["P-256 in TLS 1.2"] = { version = "TLSv1.2", groups = { "secp256r1" } },
		["a group of the same size"] = { version = "TLSv1.2", groups = { "brainpoolP256r1" } },
		["resumed TLS 1.2"] = { version = "TLSv1.2", resumed = true },
		["no forward secrecy"] = { version = "TLSv1.2", ciphers = { "TLS_RSA_WITH_AES_128_GCM_SHA256" } },
	}
	local protocols = { "xmpp", "xmpp-client", "a.test", "\1" }

	local function connect_all()
		local connections = {}
		for name, case in pairs(cases) do
			connections[name] = connect(case)
		end
		for _, protocol in ipairs(protocols) do
			connections["ALPN " .. protocol] = connect_luasec({ alpn = { protocol } }, { alpn = selects(protocol) })
		end
		return connections
	end

	it("are one table where they are equal, and another one where anything differs", function ()
		local shared, seen = shared_facts.new(), {}
		for _ = 1, 2 do
			for name, connection in pairs(connect_all()) do
				local facts = assert(shared:of(connection))
				assert.same(core.observer.facts(connection), facts)
				assert.is_true(seen[facts] == nil or seen[facts] == name, name)
				assert.is_true(seen[name] == nil or seen[name] == facts, name)
				seen[facts], seen[name] = name, facts
			end
		end
		assert.equal("a.test", seen["a server name"].server_name)
		assert.equal("xmpp", seen["ALPN xmpp"].alpn)
		assert.is_true(seen.resumed.resumed)
		assert.is_true(seen["resumed TLS 1.2"].resumed)
		assert.is_false(seen["no forward secrecy"].forward_secrecy)
	end)

	it("with a certificate are their connection's alone", function ()
		local shared = shared_facts.new()
		local connection = connect_luasec({ certificate = files.p256.certificate, key = files.p256.key },
			{ verify = { "peer" }, cafile = files.authority })
		assert.is_false(core.observer.facts_key(connection))
		local facts = shared:of(connection)
		assert.is_truthy(facts.certificate)
		assert.not_equal(facts, shared:of(connection))
	end)

	it("are unknown where the core does not know them", function ()
		local shared, connection = shared_facts.new(), connect {}
		connection:close()
		local facts, message, code = shared:of(connection)
		assert.is_nil(facts)
		assert.equal("the connection is closed", message)
		assert.equal("closed", code)
	end)

	it("are kept for later streams, up to a bound; then they go with the last stream that has them", function ()
		local shared, first = shared_facts.new(), connect { name = "first.test" }
		local known = setmetatable({ [shared:of(first)] = "first" }, { __mode = "k" })
		local held = shared:of(connect { name = "held.test" })
		local function collect()
			collectgarbage()
			collectgarbage()
		end
		collect()
		assert.equal("first", known[shared:of(first)])
		for number = 1, 100 do
			shared:of(connect { name = ("%d.test"):format(number) })
		end
		collect()
		assert.is_nil(next(known))
		assert.is_nil(known[shared:of(first)])
		assert.equal(held, shared:of(connect { name = "held.test" }))
	end)
end)
