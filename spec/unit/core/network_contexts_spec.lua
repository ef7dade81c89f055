-- Contexts in the place of a server's for the clients of some networks: address × server name × kind of handshake.
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"

local strict = { minimum_version = "TLSv1.2", ciphers = { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
	ciphersuites = { "TLS_AES_256_GCM_SHA384" }, groups = { "x25519" }, no_stateless_tickets = true, no_early_data = true,
	no_renegotiation = true, no_compression = true, server_preference = true, dh_bits = 2048,
	signature_schemes = { "rsa_pss_rsae_sha256" } }

local function copy(settings)
	local copied = {}
	for name, value in pairs(settings) do
		copied[name] = value
	end
	return copied
end

local function mild()
	local settings = copy(strict)
	settings.minimum_version, settings.insecure_versions, settings.insecure_strength = "TLSv1", true, true
	settings.ciphers = { "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
		"TLS_DHE_RSA_WITH_AES_128_CBC_SHA" }
	settings.ciphersuites = { "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256" }
	settings.groups, settings.dh_bits = { "x25519", "x448" }, 1024
	settings.signature_schemes = { "rsa_pss_rsae_sha256", "rsa_pkcs1_sha256" }
	return settings
end

-- Handshakes that only the mild settings permit: settings of a client, each with the thing that is asked.
local mild_offers = {
	["a suite"] = { maximum_version = "TLSv1.2", ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" } },
	["a version"] = { minimum_version = "TLSv1", maximum_version = "TLSv1.1", insecure_versions = true,
		insecure_strength = true },
	["DHE"] = { maximum_version = "TLSv1.2", ciphers = { "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" } },
	["a suite of TLS 1.3"] = { minimum_version = "TLSv1.3", ciphersuites = { "TLS_AES_128_GCM_SHA256" } },
	["a group"] = { minimum_version = "TLSv1.3", groups = { "x448" } },
	["a signature scheme"] = { maximum_version = "TLSv1.2", signature_schemes = { "rsa_pkcs1_sha256" } },
	["a second ClientHello"] = { minimum_version = "TLSv1.3", groups = { "secp521r1", "x448" } },
}

local ipv4 = { "\127\0\0\8", 29, 4e9 }
local far = { "\192\0\2\0", 24, 4e9 }

describe("a context for the clients of a network", function ()
	local files, others, store

	setup(function ()
		local authority = pki.authority()
		files = authority:issue { names = { "one.test" }, key = "rsa2048" }
		others = authority:issue { names = { "two.test" }, key = "rsa2048" }
	end)

	teardown(pki.remove)

	before_each(function ()
		store = assert(core.session_store.new { memory = 1, lifetime = 3600 })
	end)

	local function context_of(pair, settings, name)
		local luasec = assert(ssl.newcontext { mode = "server", protocol = "any", verify = "none",
			certificate = pair.certificate, key = pair.key })
		local context = assert(core.context.adopt(luasec))
		assert(context:apply(settings))
		assert(context:observe(#name, false))
		assert(context:resume(store, name))
		return { luasec = luasec, context = context }
	end

	-- A server with two names: each has a strict context and a mild one.
	local function new_server()
		local server = { base = context_of(files, strict, "base"), names = {} }
		server.mild_base = context_of(files, mild(), "mild base")
		server.two, server.mild_two = context_of(others, strict, "two"), context_of(others, mild(), "the mild two")
		server.names = { ["two.test"] = server.two.luasec }
		return server
	end

	local function set(server, groups, names)
		return assert(core.network_contexts.set(server.base.context, groups, names))
	end

	local function client_context(settings)
		local context = assert(core.context.new { role = "client", verify = "none" })
		assert(context:apply(settings))
		return context
	end

	-- Takes all bytes that have come for a client.
	local function feed(connection, plain)
		local bytes, reason, partial = plain:receive(65536)
		bytes = bytes or partial
		assert(connection:feed(bytes))
		return bytes ~= "" or reason ~= "closed"
	end

	-- Connects. `client`: address, settings, server_name, session; change(number), called before flight number 2
	-- of the client. Returns the facts of the server, or nil; and a function for its client's connection.
	local function connect(server, client)
		local listener = assert(socket.bind(client.host or "127.0.0.1", 0))
		local plain = socket[client.host and "tcp6" or "tcp"]()
		assert(plain:bind(client.address or "127.0.0.1", 0))
		assert(plain:connect(client.host or "127.0.0.1", (select(2, listener:getsockname()))))
		local accepted = assert(listener:accept())
		listener:close()
		local ours = assert(ssl.wrap(accepted, server.base.luasec))
		ours:sni(server.names, false)
		local theirs = assert(core.connection.new(client_context(client.settings or {}),
			{ server_name = client.server_name, session = client.session }))
		ours:settimeout(0)
		plain:settimeout(0)
		local done, reason, finished, flights
		repeat
			finished = finished or theirs:handshake()
			local bytes = theirs:take()
			if bytes ~= "" then
				flights = (flights or 0) + 1
				if flights == 2 and client.change then
					client.change()
				end
				plain:send(client.alter and client.alter(flights, bytes) or bytes)
			end
			if not done then
				done, reason = ours:dohandshake()
			end
			local is_over = not done and reason ~= "wantread" and reason ~= "wantwrite"
			socket.select({ plain }, nil, 0.05)
			local is_open = feed(theirs, plain)
		until is_over or not is_open or done and finished
		local facts = done and assert(core.observer.facts(ours)) or nil
		local label = done and core.observer.label(ours) or nil
		if done and finished then
			-- The session of TLS 1.3 comes after the handshake, and before this.
			assert(ours:send "x")
			while not theirs:read() do
				socket.select({ plain }, nil, process.PATIENCE)
				assert(feed(theirs, plain))
			end
		end
		local session = facts and theirs:insecure_session() or nil
		plain:close()
		ours:close()
		return facts, session, label
	end

	for what, settings in pairs(mild_offers) do
		it("is for them alone: " .. what, function ()
			local server = new_server()
			set(server, { { far, ipv4 } }, { [""] = { server.mild_base.context }, ["two.test"] = { server.mild_two.context } })
			for _, name in ipairs { "none", "one.test", "TWO.test" } do
				for _, address in ipairs { "127.0.0.7", "127.0.0.8", "127.0.0.15", "127.0.0.16" } do
					local expected = address == "127.0.0.8" or address == "127.0.0.15"
					local facts, _, label = connect(server, {
						address = address, settings = settings, server_name = name ~= "none" and name or nil,
					})
					assert.equal(expected, facts ~= nil, address .. " " .. name)
					assert.equal(expected and (name == "TWO.test" and #"the mild two" or #"mild base") or nil, label)
				end
			end
		end)
	end

	-- The connection keeps the groups of the context that it began with.
	it("leaves TLS 1.3 without the finite field of another context's DHE", function ()
		local longer = mild()
		longer.dh_bits = 3072
		local server = { base = context_of(files, longer, "base"), two = context_of(others, mild(), "two") }
		server.names = { ["two.test"] = server.two.luasec }
		for _, name in ipairs { "one.test", "two.test" } do
			assert.is_nil((connect(server, { server_name = name,
				settings = { minimum_version = "TLSv1.3", groups = { "ffdhe2048", "ffdhe3072" } } })))
			-- The server asks for a second ClientHello, if it has a group for it, after the name is known.
			assert.is_nil((connect(server, { server_name = name,
				settings = { minimum_version = "TLSv1.3", groups = { "secp521r1", "ffdhe3072" } } })))
			assert.truthy((connect(server, { server_name = name,
				settings = { minimum_version = "TLSv1.3", groups = { "ffdhe3072", "x25519" } } })))
		end
	end)

	it("shows the certificate of the name", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context }, ["two.test"] = { server.mild_two.context } })
		local _, _, first = connect(server, { address = "127.0.0.9", settings = {}, server_name = "unknown.test" })
		local _, _, second = connect(server, { address = "127.0.0.9", settings = {}, server_name = "two.test" })
		assert.same({ #"mild base", #"the mild two" }, { first, second })
	end)

	local offer = mild_offers["a suite"]

	it("is for the names that have one", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context }, ["two.test"] = {} })
		assert.is_table((connect(server, { address = "127.0.0.9", settings = offer })))
		assert.is_nil((connect(server, { address = "127.0.0.9", settings = offer, server_name = "two.test" })))
		set(server, { { ipv4 } }, { ["two.test"] = { server.mild_two.context } })
		assert.is_nil((connect(server, { address = "127.0.0.9", settings = offer })))
		assert.is_nil((connect(server, { address = "127.0.0.9", settings = offer, server_name = "one.test" })))
		assert.is_table((connect(server, { address = "127.0.0.9", settings = offer, server_name = "two.test" })))
	end)

	it("is for each name with the networks of its group", function ()
		local server = new_server()
		set(server, { { { "\127\0\0\9", 32, 4e9 } }, { { "\127\0\0\10", 32, 4e9 } } },
			{ [""] = { server.mild_base.context }, ["two.test"] = { [2] = server.mild_two.context } })
		for _, row in ipairs {
			{ "127.0.0.9", nil, true }, { "127.0.0.10", nil, false }, { "127.0.0.9", "two.test", false },
			{ "127.0.0.10", "two.test", true },
		} do
			local facts = connect(server, { address = row[1], server_name = row[2], settings = offer })
			assert.equal(row[3], facts ~= nil, row[1])
		end
	end)

	it("ends with the network", function ()
		local server = new_server()
		for ends, expected in pairs { [os.time() + 1000] = true, [os.time()] = false, [0] = false } do
			set(server, { { { "\127\0\0\8", 29, ends } } }, { [""] = { server.mild_base.context } })
			assert.equal(expected, connect(server, { address = "127.0.0.9", settings = offer }) ~= nil)
		end
	end)

	it("serves IPv6", function ()
		local listener, reason = socket.bind("::1", 0)
		if not listener then
			return pending("cannot listen on ::1: " .. reason)
		end
		listener:close()
		local server = new_server()
		local loopback = ("\0"):rep(15) .. "\1"
		for _, row in ipairs { { loopback, 128, true }, { ("\0"):rep(15) .. "\2", 128, false }, { ("\0"):rep(16), 64, true },
			{ "\0\0\0\1", 1, false } } do
			set(server, { { { row[1], row[2], 4e9 } } }, { [""] = { server.mild_base.context } })
			assert.equal(row[3], connect(server, { host = "::1", address = "::1", settings = offer }) ~= nil)
		end
	end)

	it("is none after a release, without groups, or on an observed context alone", function ()
		local server = new_server()
		local function try()
			return connect(server, { address = "127.0.0.9", settings = offer }) ~= nil
		end
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		assert.is_true(try())
		set(server)
		assert.is_false(try())
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		assert(server.base.context:release())
		assert(server.base.context:apply(strict))
		assert.is_false(try())
	end)

	-- rfc8446.4.1.2.second-hello-keeps-its-name
	it("ends a handshake that changes its name", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context }, ["two.test"] = { server.mild_two.context } })
		local function rename(flight, bytes)
			return flight == 2 and (bytes:gsub("two%.test", "one.test")) or bytes
		end
		local client = {
			address = "127.0.0.9", settings = mild_offers["a second ClientHello"], server_name = "two.test", alter = rename,
		}
		-- Connections of other specs that are collected now have records, too.
		collectgarbage()
		core.observer.refusals()
		assert.is_nil((connect(server, client)))
		local alerts = {}
		for _, refusal in ipairs((core.observer.refusals())) do
			alerts[#alerts + 1] = refusal.alert
		end
		assert.same({ "internal_error" }, alerts)
		client.alter = nil
		assert.is_table((connect(server, client)))
	end)

	it("stays the same for a second ClientHello when networks change", function ()
		local server = new_server()
		local client = { address = "127.0.0.9", settings = mild_offers["a second ClientHello"] }
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		function client.change()
			set(server)
		end
		assert.is_table((connect(server, client)))
		function client.change()
			set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		end
		assert.is_nil((connect(server, client)))
	end)

	for version, settings in pairs { ["TLS 1.2"] = { maximum_version = "TLSv1.2" }, ["TLS 1.3"] = {} } do
		it("has sessions of its own, " .. version, function ()
			local server = new_server()
			local contexts = { [""] = { server.mild_base.context }, ["two.test"] = { server.mild_two.context } }
			set(server, { { ipv4 } }, contexts)
			local function open(address, session, name)
				local facts, made = connect(server, { address = address, settings = settings, session = session,
					server_name = name })
				assert.is_table(facts)
				return facts.resumed, made
			end
			local _, mild_session = open "127.0.0.9"
			local _, strict_session = open "127.0.0.1"
			assert.is_true((open("127.0.0.10", mild_session)))
			_, mild_session = open "127.0.0.9"
			assert.is_false((open("127.0.0.1", mild_session)))
			assert.is_false((open("127.0.0.9", mild_session, "two.test")))
			assert.is_false((open("127.0.0.9", strict_session)))
			assert.is_true((open("127.0.0.1", strict_session)))
			for _, network in ipairs { { "\127\0\0\8", 30, 4e9 }, { "\127\0\0\8", 29, 4e9 - 1 } } do
				set(server, { { network } }, contexts)
				assert.is_false((open("127.0.0.9", mild_session)))
			end
			set(server)
			assert.is_false((open("127.0.0.9", mild_session)))
		end)
	end

	-- The names' own ID contexts (context:resume) and those of the network count both.
	it("has sessions of its own under names with ID contexts", function ()
		local server = new_server()
		local name_contexts = { ["two.test"] = "of both" }
		assert(server.base.context:resume(store, "base", name_contexts))
		assert(server.mild_two.context:resume(store, "the mild two", name_contexts))
		local contexts = { ["two.test"] = { server.mild_two.context } }
		local function open(address, session)
			local facts, made = connect(server, { address = address, session = session, server_name = "two.test",
				settings = { maximum_version = "TLSv1.2" } })
			return facts.resumed, made
		end
		set(server, { { ipv4 } }, contexts)
		local _, mild_session = open "127.0.0.9"
		local _, strict_session = open "127.0.0.1"
		assert.is_true((open("127.0.0.9", mild_session)))
		_, mild_session = open "127.0.0.9"
		assert.is_false((open("127.0.0.1", mild_session)))
		assert.is_false((open("127.0.0.9", strict_session)))
		set(server, { { { "\127\0\0\8", 29, 4e9 - 1 } } }, contexts)
		assert.is_false((open("127.0.0.9", mild_session)))
	end)

	for version, settings in pairs { ["TLS 1.2"] = { maximum_version = "TLSv1.2" }, ["TLS 1.3"] = {} } do
		it("has tickets of its own where no sessions are kept, " .. version, function ()
			local server = new_server()
			for _, part in ipairs { server.base, server.mild_base } do
				part.luasec = assert(ssl.newcontext { mode = "server", protocol = "any", verify = "none",
					certificate = files.certificate, key = files.key })
				part.context = assert(core.context.adopt(part.luasec))
				local settings_of_part = part == server.base and copy(strict) or mild()
				settings_of_part.no_stateless_tickets = nil
				assert(part.context:apply(settings_of_part))
				assert(part.context:observe(1, false))
			end
			set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
			local function open(address, session)
				local facts, made = connect(server, { address = address, session = session, settings = settings })
				return facts.resumed, made
			end
			local _, mild_session = open "127.0.0.9"
			local _, strict_session = open "127.0.0.1"
			assert.is_true((open("127.0.0.9", mild_session)))
			assert.is_true((open("127.0.0.1", strict_session)))
			_, mild_session = open "127.0.0.9"
			_, strict_session = open "127.0.0.1"
			assert.is_false((open("127.0.0.1", mild_session)))
			assert.is_false((open("127.0.0.9", strict_session)))
		end)
	end

	it("is none after its own release", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		assert.is_table((connect(server, { address = "127.0.0.9", settings = offer })))
		assert(server.mild_base.context:release())
		assert.is_nil((connect(server, { address = "127.0.0.9", settings = offer })))
		assert.is_table((connect(server, { address = "127.0.0.9" })))
	end)

	it("has the settings of the time of a handshake", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		local old = { address = "127.0.0.9", settings = mild_offers["a version"] }
		assert.is_table((connect(server, old)))
		local tightened = mild()
		tightened.minimum_version = "TLSv1.2"
		assert(server.mild_base.context:apply(tightened))
		assert.is_nil((connect(server, old)))
		assert.is_table((connect(server, { address = "127.0.0.9", settings = offer })))
	end)

	it("stays where LuaSec has set its callback for names on it meanwhile", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context }, ["two.test"] = { server.mild_two.context } })
		local listener = assert(socket.bind("127.0.0.1", 0))
		local plain = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
		local other = assert(ssl.wrap(assert(listener:accept()), server.mild_two.luasec))
		other:sni(server.names, false)
		local facts, _, label = connect(server, { address = "127.0.0.9", settings = offer, server_name = "two.test" })
		assert.is_table(facts)
		assert.equal(#"the mild two", label)
		other:close()
		plain:close()
		listener:close()
	end)

	it("lives as long as a handshake needs it", function ()
		local server = new_server()
		set(server, { { ipv4 } }, { [""] = { server.mild_base.context } })
		local during
		assert.is_table((connect(server, { address = "127.0.0.9", settings = mild_offers["a second ClientHello"],
			change = function ()
				during = core.observer.is_negotiating(server.mild_base.context)
			end })))
		assert.is_true(during)
		assert.is_false(core.observer.is_negotiating(server.mild_base.context))
	end)

	it("refuses wrong arguments", function ()
		local server = new_server()
		local context = server.mild_base.context
		for message, arguments in pairs {
			["networks of bytes, prefix length and end expected"] = { { { { "\1\2\3", 8, 0 } } }, {} },
			["table from names to tables expected"] = { {}, { [1] = {} } },
			["no such group of networks"] = { { { ipv4 } }, { [""] = { [2] = context } } },
			["list of lists of networks expected"] = { { 1 }, {} },
			["xmpp_tls_policy.Context expected"] = { { { ipv4 } }, { [""] = { "x" } } },
		} do
			local done, problem = pcall(core.network_contexts.set, server.base.context, arguments[1], arguments[2])
			assert.is_false(done)
			assert.is_truthy(tostring(problem):find(message, 1, true), problem)
		end
		for _, network in ipairs { { "\127\0\0\0", 0, 1 }, { "\127\0\0\0", 33, 1 }, { "\127\0\0\0", 8.5, 1 },
			{ "\127\0\0\0", 8, -1 }, { "\127\0\0\0", 8 }, { 1, 8, 1 }, {} } do
			assert.is_false((pcall(core.network_contexts.set, server.base.context, { { network } }, {})))
		end
	end)
end)
