--- The context of an exception serves nobody else: in every order of the steps of two connections, after a reload
-- between any two of them, and with the sessions of those that it serves.
local client_hello = require "support.client_hello"
local core = require "xmpp_tls_policy.core"
local date = require "xmpp_tls_policy.date"
local process = require "support.process"
local socket = require "socket"
local tls_socket = require "support.tls_socket"
local two_hosts = require "support.two_hosts"
local xmpp = require "support.xmpp"

-- Handshakes that level "must" permits, and level "should" refuses.
local old_settings = {
	["TLS 1.2"] = { maximum_version = "TLSv1.2", ciphers = { "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" } },
	["TLS 1.3"] = { minimum_version = "TLSv1.3", groups = { "x448" } },
}

local function client_context(settings)
	local context = assert(core.context.new { role = "client", verify = "none" })
	assert(context:apply(settings))
	return context
end

-- A suite that level "should" does not offer.
local old_suite = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"

-- All orders of so many steps of two clients: a list of lists of 1 and 2.
local function orders_of(first, second)
	if first == 0 and second == 0 then
		return { {} }
	end
	local orders = {}
	for client, left in ipairs { first, second } do
		for _, order in ipairs(left > 0 and orders_of(first - (client == 1 and 1 or 0),
			second - (client == 2 and 1 or 0)) or {}) do
			table.insert(order, 1, client)
			orders[#orders + 1] = order
		end
	end
	return orders
end

describe("the context of an exception", function ()
	local started, server
	local exception = two_hosts.exception

	setup(function ()
		started = two_hosts.start()
		server = started.server
	end)

	teardown(function ()
		two_hosts.stop(started)
	end)

	-- one.test alone has exceptions.
	local function configure(exceptions, options)
		return two_hosts.configure(started, nil, { exceptions = exceptions }, options)
	end

	-- A connection has these steps. All but the last return nothing; it returns whether the handshake succeeded.
	local steps = {}

	-- With direct TLS, the stream comes after the handshake.
	function steps.opens_its_stream(client)
		local target = server:target(client.service, client.host)
		client.peer, client.has_direct_tls = xmpp.connect(target, client), target.direct_tls
		assert(client.has_direct_tls or client.peer:open())
	end

	function steps.asks_for_tls(client)
		assert(client.has_direct_tls or client.peer:request_tls())
	end

	function steps.begins_its_hello(client)
		local plain = client.peer.socket
		client.tls = tls_socket.wrap(plain, client.context, { server_name = client.host, session = client.session })
		client.tls.connection:handshake()
		local hello = client.tls.connection:take()
		assert(plain:send(hello:sub(1, 20)))
		client.rest = hello:sub(21)
	end

	function steps.ends_its_handshake(client)
		assert(client.peer.socket:send(client.rest))
		client.tls:settimeout(process.PATIENCE)
		client.secured, client.reason = client.tls:dohandshake()
		client.peer.socket = client.tls
	end

	local step_names = { "opens_its_stream", "asks_for_tls", "begins_its_hello", "ends_its_handshake" }

	-- Takes the next step of a client; the server has seen it afterwards.
	local function go_on(client)
		client.done = (client.done or 0) + 1
		steps[step_names[client.done]](client)
		assert(server:round_trip(process.PATIENCE))
	end

	local function go_on_until(client, name)
		repeat
			go_on(client)
		until step_names[client.done] == name
	end

	local function new_client(fields)
		local client = { service = "c2s", host = "one.test" }
		for name, value in pairs(fields) do
			client[name] = value
		end
		return client
	end

	-- "secured"; "refused", the server ended the handshake with an alert; or another reason.
	local function outcome_of(client)
		if client.secured then
			return "secured"
		end
		return client.reason:find "alert" and "refused" or client.reason
	end

	-- { those that have the exception, strangers }
	local pairs_of_clients = {
		["clients of two networks"] = { { address = "127.0.0.9" }, { address = "127.0.0.1" } },
		["clients with direct TLS"] = {
			{ service = "c2s_direct_tls", address = "127.0.0.9" }, { service = "c2s_direct_tls", address = "127.0.0.1" },
		},
		["a client with direct TLS and two hosts"] = {
			{ service = "c2s_direct_tls", address = "127.0.0.9" },
			{ service = "c2s_direct_tls", address = "127.0.0.9", host = "two.test" },
		},
		["a client and two hosts"] = { { address = "127.0.0.9" }, { address = "127.0.0.9", host = "two.test" } },
		["two servers"] = { { service = "s2s", from = "old.test" }, { service = "s2s", from = "other.test" } },
	}

	for what, both in pairs(pairs_of_clients) do
		for version, settings in pairs(old_settings) do
			it(("serves nobody else: %s, %s"):format(what, version), function ()
				configure { ["127.0.0.9/32"] = exception(), ["old.test"] = exception() }
				local context = client_context(settings)
				-- With direct TLS, the second step is none.
				for _, order in ipairs(both[1].service == "c2s_direct_tls" and orders_of(3, 3)
					or orders_of(#step_names, #step_names)) do
					local clients = { new_client(both[1]), new_client(both[2]) }
					for index, client in ipairs(clients) do
						client.context = context
						client.is_excepted = index == 1
					end
					for _, index in ipairs(order) do
						go_on(clients[index])
						if clients[index].has_direct_tls and clients[index].done == 1 then
							go_on(clients[index])
						end
					end
					for _, client in ipairs(clients) do
						assert.equal(client.is_excepted and "secured" or "refused", outcome_of(client), table.concat(order, " "))
						client.peer:close()
					end
				end
			end)
		end
	end

	-- Reads the ClientHello that comes on a connection.
	local function read_hello(peer)
		local bytes = ""
		repeat
			bytes = bytes .. assert(peer:receive(socket.gettime() + process.PATIENCE))
		until #bytes >= 5 and #bytes >= 5 + bytes:byte(4) * 256 + bytes:byte(5)
		return assert(client_hello.parse(bytes), bytes)
	end

	it("serves no other server that ours connects to", function ()
		local orders, listeners, routes, exceptions = orders_of(2, 2), { xmpp.listen "s2s", xmpp.listen "s2s" }, {}, {}
		for number in ipairs(orders) do
			for index, kind in ipairs { "old", "new" } do
				routes[("%s%d.test"):format(kind, number)] = { s2s = listeners[index].port }
			end
			exceptions[("old%d.test"):format(number)] = exception()
		end
		server:configure { routes = routes }
		configure(exceptions)
		for number, order in ipairs(orders) do
			local peers, pings, done, offers = {}, {}, { 0, 0 }, {}
			for index, kind in ipairs { "old", "new" } do
				pings[index] = server:begin_shell(("xmpp:ping(%q, %q)"):format("one.test", ("%s%d.test"):format(kind, number)))
				peers[index] = assert(listeners[index]:accept())
			end
			for _, index in ipairs(order) do
				done[index] = done[index] + 1
				if done[index] == 1 then
					assert(peers[index]:answer(xmpp.starttls_required_feature))
				else
					assert(peers[index]:proceed())
					for _, suite in ipairs(read_hello(peers[index]).suites) do
						offers[index] = offers[index] or suite == old_suite
					end
				end
				assert(server:round_trip(process.PATIENCE))
			end
			assert.same({ true, false }, { offers[1], offers[2] }, table.concat(order, " "))
			for index, peer in ipairs(peers) do
				peer:close()
				pings[index]:close()
			end
		end
		for _, listener in ipairs(listeners) do
			listener:close()
		end
	end)

	-- Reloads while a client with an exception for 127.0.0.8/29 is on its way.
	local reloads = {
		["the same exception"] = { outcome = "secured", { ["127.0.0.8/29"] = exception() } },
		["no exception"] = { outcome = "refused", {} },
		["an exception that has ended"] = { outcome = "refused", { ["127.0.0.8/29"] = exception() },
			{ test_clock = 200 * date.DAY } },
		["an exception for another client of its network"] = { outcome = "refused", { ["127.0.0.9/32"] = exception() } },
	}

	for what, reload in pairs(reloads) do
		it("follows a reload that brings " .. what, function ()
			for _, case in ipairs {
				{ "c2s", "opens_its_stream" }, { "c2s", "asks_for_tls" }, { "c2s", "begins_its_hello" },
				{ "c2s_direct_tls", "opens_its_stream" }, { "c2s_direct_tls", "begins_its_hello" },
			} do
				local service, place = case[1], case[2]
				configure { ["127.0.0.8/29"] = exception() }
				local context = client_context(old_settings["TLS 1.2"])
				local other = new_client { service = service, address = "127.0.0.9", context = context }
				local client = new_client { service = service, address = "127.0.0.10", context = context }
				go_on_until(other, "ends_its_handshake")
				assert.equal("secured", outcome_of(other))
				go_on_until(client, place)
				configure(reload[1], reload[2])
				go_on_until(client, "ends_its_handshake")
				assert.equal(reload.outcome, outcome_of(client), service .. " " .. place)
				client.peer:close()
				other.peer:close()
			end
		end)
	end

	-- Connects with a client that accepts everything, and a session. Returns the facts of the connection, or nil.
	local function resume(version, session, fields)
		local client = new_client(fields)
		client.session = session
		client.context = client_context(version == "TLS 1.2" and { maximum_version = "TLSv1.2" } or {})
		go_on_until(client, "ends_its_handshake")
		assert.equal("secured", outcome_of(client))
		assert(client.peer:open())
		local facts = client.tls:info()
		client.peer:close()
		return facts
	end

	for version, settings in pairs(old_settings) do
		for _, service in ipairs { "c2s", "c2s_direct_tls" } do
			it(("leaves no session for anybody else, %s, %s"):format(version, service), function ()
				local in_force = { ["127.0.0.9/32"] = exception(), ["old.test"] = exception() }
				configure(in_force)
				local client = new_client { service = service, address = "127.0.0.9", context = client_context(settings) }
				go_on_until(client, "ends_its_handshake")
				assert(client.peer:open())
				local session = client.tls:session()
				client.peer:close()
				local function resumes(fields)
					fields.service = fields.service or service
					return resume(version, session, fields).resumed
				end
				assert.is_true(resumes { address = "127.0.0.9" })
				assert.is_false(resumes { address = "127.0.0.1" })
				assert.is_false(resumes { address = "127.0.0.9", host = "two.test" })
				assert.is_false(resumes { address = "127.0.0.9", service = "s2s", from = "old.test" })
				configure(in_force, { test_clock = 200 * date.DAY })
				assert.is_false(resumes { address = "127.0.0.9" })
				configure {}
				assert.is_false(resumes { address = "127.0.0.9" })
			end)
		end
	end
end)
