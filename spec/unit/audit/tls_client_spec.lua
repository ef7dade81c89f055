local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local tls_peer = require "support.tls_peer"

describe("a TLS client of the audit", function ()
	local authority, files

	setup(function ()
		authority = pki.authority()
		files = authority:issue { names = { "a.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	-- A server's Context; `settings` over the most liberal ones.
	local function server(settings, options)
		options = options or {}
		local context = assert(core.context.new {
			role = "server", certificate = files.certificate, key = files.key, openssl_cache = options.cache,
			verify = options.verify, ca_file = options.verify and authority.certificate,
		})
		local all = { insecure_versions = true, minimum_version = "TLSv1", maximum_version = "TLSv1.3", security_level = 0 }
		for name, value in pairs(settings or {}) do
			all[name] = value
		end
		assert(context:apply(all))
		return context
	end

	local function soon()
		return tasks.now() + process.PATIENCE
	end

	-- Makes a handshake with a server, and calls `main(client)` if it succeeds. Returns its result, or the
	-- failure as a list.
	local function with(accept, options, main)
		return tls_peer.run(accept, function (connect)
			options = options or {}
			options.deadline = options.deadline or soon()
			local result = { tls_client.handshake(connect(), options) }
			if not result[1] then
				return result
			end
			local value = main(result[1], connect)
			result[1]:close()
			return value
		end)
	end

	it("says why data could not be sent", function ()
		local result = with(tls_peer.server(server(), tls_peer.echo), {}, function (client)
			client._channel:close()
			return { client:write("hello", soon()) }
		end)
		assert.is_nil(result[1])
		assert.equal("closed", result[2])
	end)

	for _, version in ipairs { "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" } do
		it("carries data over " .. version .. ", and has its facts", function ()
			local context = server { maximum_version = version }
			local facts = with(tls_peer.server(context, tls_peer.echo), { server_name = "a.test" }, function (client)
				assert(client:write("hello", soon()))
				assert.equal("hello", client:read(soon()))
				return client:facts()
			end)
			assert.equal(version, facts.version)
			assert.equal("client", facts.role)
			assert.equal(assert(core.certificate.from_pem(files.pem)):pem(), facts.chain[1]:pem())
		end)
	end

	it("has the server's chain in its order, whether it is trusted or not", function ()
		local chain = pki.write(files.pem .. pki.read(authority.certificate))
		local context = assert(core.context.new { role = "server", certificate = chain, key = files.key })
		for _, trusted in ipairs { true, false } do
			local facts = with(tls_peer.server(context, tls_peer.echo), {
				context = tls_client.context(tls_client.settings, { ca_file = trusted and authority.certificate or nil }),
			}, function (client)
				return client:facts()
			end)
			assert.equal(trusted, facts.verified)
			assert.equal(2, #facts.chain)
			assert.equal(pki.read(authority.certificate), facts.chain[2]:pem())
		end
	end)

	it("offers a protocol and a name", function ()
		local seen
		local context = server()
		assert(context:observe(1, true))
		with(tls_peer.server(context, function (_, connection)
			seen = connection:offer()
		end), { server_name = "a.test", alpn = "xmpp-client" }, function (client)
			client:read(soon())
		end)
		assert.equal("a.test", seen.server_name)
		assert.same({ "xmpp-client" }, seen.alpn)
	end)

	for _, version in ipairs { "TLSv1.2", "TLSv1.3" } do
		it("resumes a session of " .. version .. " after a close without close_notify", function ()
			local context = server { maximum_version = version }
			local seen = with(tls_peer.server(context, tls_peer.echo), nil, function (client, connect)
				assert(client:await_ticket(soon()))
				local session, ticket = client:session(), client:ticket()
				client:close { unclean = true }
				local again = assert(tls_client.handshake(connect(), { session = session, deadline = soon() }))
				local facts = again:facts()
				again:close()
				return { facts = facts, ticket = ticket }
			end)
			assert.is_true(seen.facts.resumed)
			assert.equal(version, seen.facts.version)
			assert.is_true(seen.ticket.length > 100)
			assert.equal(7200, seen.ticket.lifetime)
			assert.equal(0, seen.ticket.early_data)
			assert.equal(version == "TLSv1.2" and 0 or nil, seen.ticket.id_length)
		end)
	end

	it("has the length of a ticket that is no more than an ID", function ()
		local context = server(nil, { cache = true })
		local ticket = with(tls_peer.server(context, tls_peer.echo), nil, function (client)
			assert(client:await_ticket(soon()))
			return client:ticket()
		end)
		assert.equal(32, ticket.length)
	end)

	it("has the length of a session ID, and no ticket, from a server without tickets", function ()
		local context = server({ maximum_version = "TLSv1.2", no_stateless_tickets = true }, { cache = true })
		local ticket = with(tls_peer.server(context, tls_peer.echo), nil, function (client)
			return client:ticket()
		end)
		assert.same({ length = 0, lifetime = 0, early_data = 0, id_length = 32 }, ticket)
	end)

	it("keeps the data that comes before a ticket, and gives up at the deadline", function ()
		local context = server { no_stateless_tickets = true }
		local data = with(tls_peer.server(context, function (peer, connection)
			tls_peer.advance(peer, connection, "write", "early words")
			tls_peer.echo(peer, connection)
		end), nil, function (client)
			local got, kind = client:await_ticket(tasks.now() + 0.1)
			assert.is_nil(got)
			assert.equal("timeout", kind)
			return client:read(soon())
		end)
		assert.equal("early words", data)
	end)

	it("is told that the server does not renegotiate", function ()
		local context = server { maximum_version = "TLSv1.2" }
		local failure = with(tls_peer.server(context, tls_peer.echo), nil, function (client)
			return { client:renegotiate(soon()) }
		end)
		assert.is_nil(failure[1])
		assert.equal("alert", failure[2])
		assert.equal("no_renegotiation", failure[4])
	end)

	it("has no renegotiation in TLS 1.3", function ()
		local failure = with(tls_peer.server(server(), tls_peer.echo), nil, function (client)
			return { client:renegotiate(soon()) }
		end)
		assert.equal("malformed", failure[2])
	end)

	describe("fails", function ()
		it("with the name of an alert", function ()
			local context = server { ciphers = { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" }, maximum_version = "TLSv1.2" }
			local failure = with(tls_peer.server(context), {
				settings = { ciphers = { "TLS_RSA_WITH_AES_128_GCM_SHA256" }, maximum_version = "TLSv1.2" },
			})
			assert.equal("alert", failure[2])
			assert.equal("handshake_failure", failure[4])
		end)

		it("with the alert that comes after the handshake, when it reads", function ()
			local failure = with(tls_peer.server(server(nil, { verify = "require" })), nil, function (client)
				return { client:read(soon()) }
			end)
			assert.equal("alert", failure[2])
			assert.equal("certificate_required", failure[4])
		end)

		it("when the server closes, is silent, or speaks something else", function ()
			local function silent(peer)
				peer:read(soon())
				peer:read(soon())
			end
			assert.equal("closed", with(function () end)[2])
			assert.equal("timeout", with(silent, { deadline = tasks.now() + 0.1 })[2])
			local failure = with(function (peer)
				peer:write("<stream:error/>", soon())
				peer:read(soon())
			end)
			assert.equal("malformed", failure[2])
		end)

		it("at its deadline, whatever the server goes on sending", function ()
			local started = tasks.now()
			local failure = with(function (peer)
				-- The beginning of a Certificate message of 90,000 bytes would do, one byte at a time.
				local bytes = "\22\3\3\64\0\2\0\0\70\3\3"
				while peer:write(bytes, soon()) do
					bytes = "a"
					tasks.sleep(0.001)
				end
			end, { deadline = tasks.now() + 0.2 })
			assert.equal("timeout", failure[2])
			assert.is_true(tasks.now() - started < 25)
		end)
	end)
end)
