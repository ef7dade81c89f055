local endpoint = require "xmpp_tls_policy.audit.endpoint"
local process = require "support.process"
local scripted = require "support.scripted_server"
local tasks = require "xmpp_tls_policy.audit.tasks"

-- The end of a wait that begins now.
local function soon()
	return tasks.now() + process.PATIENCE
end

local function new(port, fields)
	local all = { domain = "example.test", service = "c2s", host = "example.test", address = "127.0.0.1", port = port,
		timeout = process.PATIENCE }
	for name, value in pairs(fields or {}) do
		all[name] = value
	end
	return endpoint.new(all)
end

-- What open() returns against a server.
local function opened(serve, fields, pipelined)
	return scripted.run(serve, function (port)
		local point = new(port, fields)
		local connection, kind, message = point:open(pipelined)
		if connection then
			connection:close()
		end
		return connection and "open" or kind, message
	end)
end

describe("an endpoint", function ()
	it("is ready for TLS after <proceed/>, and right after connecting with direct TLS", function ()
		assert.equal("open", (opened(function (connection)
			assert.is_true(scripted.agree(connection, scripted.starttls))
			scripted.drain(connection)
		end)))
		assert.equal("open", (opened(scripted.drain, { direct = true })))
	end)

	it("sends the domain, the service and our domain in the header", function ()
		scripted.run(function (connection)
			assert.equal("<?xml version='1.0'?><stream:stream to='example.test' from='our.test' version='1.0' "
				.. "xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>",
				connection:read(soon()))
			connection:write(scripted.header "<a xmlns='b'/>", soon())
			scripted.drain(connection)
		end, function (port)
			local stream = assert(new(port, { service = "s2s", from = "our.test" }):open_plaintext())
			assert.equal("a", stream.features.children[1].name)
			assert.equal("example.test", stream.header.from)
			stream.transport:close()
		end)
	end)

	-- name -> { bytes that answer the header, kind, message }
	for what, case in pairs {
		["no STARTTLS among the features"] = { scripted.header(scripted.mechanisms "PLAIN"),
			"no_starttls", "the features offer no STARTTLS" },
		["a stream without a version, rfc6120.4.7.5.no-version-no-features"] = {
			scripted.header():gsub(" version='1.0' ", " "), "no_starttls", "the features offer no STARTTLS" },
		["a stream error"] = { scripted.header() .. scripted.error "host-unknown", "stream_error", "host-unknown" },
		["a limit on the first connection"] = { scripted.header() .. scripted.error "policy-violation",
			"stream_error", "policy-violation" },
		["garbage"] = { "\0\1\2", "malformed", "no XML: it does not begin with <" },
		["an element that is no features"] = { scripted.header() .. "<message/>", "malformed",
			"no features after the header of the stream" },
		["nothing"] = { "", "closed", "the connection was closed" },
	} do
		it("fails to open after " .. what, function ()
			local kind, message = opened(function (connection)
				connection:read(soon())
				connection:write(case[1], soon())
			end)
			assert.same({ case[2], case[3] }, { kind, message })
		end)
	end

	for what, case in pairs {
		["<failure/>"] = { "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "no_starttls",
			"the answer to <starttls/> is no <proceed/>" },
		["<proceed/> of another namespace"] = { "<proceed/>", "no_starttls", "the answer to <starttls/> is no <proceed/>" },
		["rfc6120.5.4.2.3.tls-after-proceed: more than <proceed/>"] = { scripted.proceed .. " ", "malformed",
			"more bytes follow <proceed/>" },
	} do
		it("fails to open after " .. what .. " as the answer to <starttls/>", function ()
			local kind, message = opened(function (connection)
				connection:read(soon())
				connection:write(scripted.header(scripted.starttls), soon())
				connection:read(soon())
				connection:write(case[1], soon())
				scripted.drain(connection)
			end)
			assert.same({ case[2], case[3] }, { kind, message })
		end)
	end

	it("sends pipelined text in one packet with <starttls/>", function ()
		opened(function (connection)
			connection:read(soon())
			connection:write(scripted.header(scripted.starttls), soon())
			assert.equal("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><a/>", connection:read(soon()))
		end, nil, "<a/>")
	end)

	it("is refused by a port that nobody listens on", function ()
		local port = scripted.run(scripted.drain, function (port) return port end)
		tasks.run(function ()
			local point = new(port)
			assert.equal("refused", (select(2, point:open())))
			assert.is_nil(point:limit_message())
			assert.equal(1, point.connections)
		end)
	end)

	it("waits no longer than its timeout for a server that sends single bytes", function ()
		local began = tasks.now()
		local kind = opened(function (connection)
			repeat
				local written = connection:write(" ", soon())
				tasks.sleep(0.02)
			until not written
		end, { timeout = 0.3 })
		assert.equal("timeout", kind)
		assert.is_true(tasks.now() - began < 25)
	end)

	it("waits no longer than the time limit for all of its connections", function ()
		local began = tasks.now()
		scripted.run(scripted.drain, function (port)
			local point = new(port, { time_limit = 0.3 })
			assert.equal("timeout", (select(2, point:open())))
			-- A timer may end a millisecond early.
			tasks.sleep(0.01)
			assert.same({ "timeout", "the time for this endpoint is used up" }, { select(2, point:open()) })
			assert.equal(1, point.connections)
		end)
		assert.is_true(tasks.now() - began < 25)
	end)

	describe("of a server that limits connections", function ()
		-- Opens `count` connections one after the other, or all at once. Returns how many succeeded, the
		-- endpoint, and the server.
		local function open_many(count, serve, side_by_side, fields)
			return scripted.run(serve, function (port, server)
				local point, succeeded, kinds = new(port, fields), 0, {}
				local functions = {}
				-- A limit is seen only after a success.
				if side_by_side then
					assert(point:open()):close()
				end
				for index = 1, count do
					functions[index] = function ()
						local connection, kind = point:open()
						if connection then
							succeeded = succeeded + 1
							connection:close()
						else
							kinds[kind] = (kinds[kind] or 0) + 1
						end
					end
				end
				tasks.all(functions, side_by_side and count or 1)
				return succeeded, point, server, kinds
			end)
		end

		-- A server that agrees to STARTTLS, if `allowed(number)`, and otherwise does what `refuse` does.
		local function limiting(allowed, refuse)
			return function (connection, number)
				if allowed(number) then
					scripted.agree(connection, scripted.starttls)
					scripted.drain(connection)
				else
					refuse(connection)
				end
			end
		end

		for what, refuse in pairs {
			["a closed connection"] = function () end,
			["policy-violation"] = function (connection)
				connection:read(soon())
				connection:write(scripted.header() .. scripted.error "policy-violation", soon())
			end,
			["resource-constraint"] = function (connection)
				connection:read(soon())
				connection:write(scripted.header() .. scripted.error "resource-constraint", soon())
			end,
		} do
			it("with " .. what .. ", pauses and then opens all the same", function ()
				local succeeded, point = open_many(3, limiting(function (number) return number ~= 2 end, refuse))
				assert.equal(3, succeeded)
				assert.equal(4, point.connections)
				assert.matches("^the server limits connections %(.*%): paused 1 s, then at most 2 at a time$",
					point:limit_message())
			end)
		end

		it("makes fewer connections at a time", function ()
			-- No more than two at a time.
			local open = 0
			local succeeded, point = open_many(8, function (connection)
				open = open + 1
				if open <= 2 then
					scripted.agree(connection, scripted.starttls)
					scripted.drain(connection)
				end
				open = open - 1
			end, true)
			assert.equal(8, succeeded)
			assert.is_true((point.places:count()) == 5)
			assert.matches("then at most [124] at a time$", point:limit_message())
		end)

		it("gives up in the end, and says so", function ()
			-- Only pauses take time here, not what the machine does meanwhile.
			local now, sleep = tasks.now, tasks.sleep
			local time = now()
			tasks.now = function () return time end
			tasks.sleep = function (seconds) time = time + seconds end
			finally(function ()
				tasks.now, tasks.sleep = now, sleep
			end)
			local succeeded, point, server, kinds = open_many(4, limiting(function (number) return number == 1 end,
				function () end), false, { time_limit = 2.9, deadline = soon })
			assert.same({ 1, { limited = 3 } }, { succeeded, kinds })
			assert.equal(3, server.accepted)
			assert.equal("the server limits connections (closed: the connection was closed): paused 1 s, "
				.. "then at most 2 at a time; given up", point:limit_message())
		end)

		it("does not take another stream error for a limit", function ()
			local succeeded, point, _, kinds = open_many(2, limiting(function (number) return number == 1 end,
				function (connection)
					connection:read(soon())
					connection:write(scripted.header() .. scripted.error "internal-server-error", soon())
				end))
			assert.same({ 1, { stream_error = 1 } }, { succeeded, kinds })
			assert.is_nil(point:limit_message())
		end)
	end)

	it("has at most 5 connections at a time, and shares places with others", function ()
		local connection_places = require "xmpp_tls_policy.audit.connection_places"
		local places = connection_places.new(3)
		local most = scripted.run(function (connection)
			scripted.agree(connection, scripted.starttls)
			scripted.drain(connection)
		end, function (port, server)
			local functions = {}
			for index = 1, 4 do
				local point = new(port, { places = places })
				for part = 1, 5 do
					functions[index * 5 + part - 5] = function ()
						assert(point:open()):close()
					end
				end
			end
			tasks.all(functions)
			assert.same({ 3, 0 }, { places:count() })
			return server.most_open
		end)
		-- The server may see the end of a connection after the beginning of the next.
		assert.is_true(most >= 2 and most <= 6, most)
	end)

	it("closes what its probes left open", function ()
		scripted.run(scripted.drain, function (port)
			local point = new(port, { direct = true })
			for _ = 1, 5 do
				assert(point:open())
			end
			point:close()
			assert.same({ 5, 0 }, { point.places:count() })
			assert(point:open()):close()
		end)
	end)
end)
