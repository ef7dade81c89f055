-- The binding of hiredis, with a peer that says what the spec wants.
local found, redis = pcall(require, "xmpp_tls_policy.redis")
local process = require "support.process"
local socket = require "socket"

describe("a connection to the engine", function ()
	if not found or not redis.connect then
		it("is tested where hiredis is", function ()
			pending "xmpp-tls-policy was built without hiredis: libhiredis-dev is missing"
		end)
		return
	end

	local listener, peer, connection

	before_each(function ()
		listener = assert(socket.bind("127.0.0.1", 0))
		local _, port = listener:getsockname()
		connection = assert(redis.connect { host = "127.0.0.1", port = math.floor(tonumber(port)) })
		listener:settimeout(process.PATIENCE)
		peer = assert(listener:accept())
		peer:settimeout(process.PATIENCE)
	end)

	after_each(function ()
		for _, thing in ipairs { connection, peer, listener } do
			thing:close()
		end
	end)

	local function wait_for_bytes()
		local descriptor = connection:fd()
		assert.equal(1, #(socket.select({ { getfd = function ()
			return descriptor
		end } }, nil, process.PATIENCE)))
	end

	-- Sends bytes to the connection. Returns what reply then gives.
	local function answer(bytes)
		peer:send(bytes)
		local results
		repeat
			wait_for_bytes()
			local done, message = connection:read()
			if not done then
				return nil, message
			end
			results = { connection:reply() }
		until results[1] ~= false
		return (table.unpack or unpack)(results, 1, 3) -- luacheck: ignore 113
	end

	it("writes commands as lists of strings, with all bytes", function ()
		assert.is_false(connection:wants_to_write())
		assert.is_true(connection:command { "XADD", "name", "*", "r", "\0\r\n\255" })
		assert.is_true(connection:wants_to_write())
		assert.is_true(connection:write())
		assert.is_false(connection:wants_to_write())
		local expected = "*5\r\n$4\r\nXADD\r\n$4\r\nname\r\n$1\r\n*\r\n$1\r\nr\r\n$4\r\n\0\r\n\255\r\n"
		assert.equal(expected, peer:receive(#expected))
	end)

	it("returns each kind of reply", function ()
		for bytes, expected in pairs {
			["+OK\r\n"] = "OK", ["$3\r\na\0b\r\n"] = "a\0b", [":-7\r\n"] = -7, ["$0\r\n\r\n"] = "",
			["*0\r\n"] = {}, ["*2\r\n*1\r\n$1\r\na\r\n:1\r\n"] = { { "a" }, 1 }, ["*1\r\n-ERR inside\r\n"] = { "ERR inside" },
		} do
			local complete, value, problem = answer(bytes)
			assert.is_true(complete)
			assert.same(expected, value)
			assert.is_nil(problem)
		end
		for _, bytes in ipairs { "$-1\r\n", "*-1\r\n" } do
			assert.same({ true, false }, { answer(bytes) })
		end
		assert.same({ true, nil, "WRONGTYPE Operation" }, { answer "-WRONGTYPE Operation\r\n" })
	end)

	it("returns replies one by one, and none that is not complete", function ()
		assert.same({ true, "A" }, { answer "+A\r\n+B\r\n$5\r\nhal" })
		assert.same({ true, "B" }, { connection:reply() })
		assert.same({ false }, { connection:reply() })
		assert.same({ true, "halfs" }, { answer "fs\r\n" })
	end)

	it("gets a reply that nobody asked for", function ()
		assert.same({ true, "OK POP3 ready" }, { answer "+OK POP3 ready\r\n" })
	end)

	for name, bytes in pairs {
		["another protocol"] = "HTTP/1.1 400 Bad Request\r\n",
		["lists that nest too deep"] = ("*1\r\n"):rep(9) .. ":1\r\n",
		["lists that nest deeper and deeper"] = ("*1\r\n"):rep(4000),
		["a length that makes no sense"] = "$-5\r\n", ["a list of a length that makes no sense"] = "*-5\r\n",
	} do
		it("fails with " .. name, function ()
			local complete, message = answer(bytes)
			assert.is_nil(complete)
			assert.matches("%a", message)
		end)
	end

	it("takes no reply that never ends", function ()
		peer:settimeout(0)
		peer:send "$500000000\r\n"
		local done, message
		for _ = 1, 100000 do
			peer:send(("x"):rep(65536))
			wait_for_bytes()
			done, message = connection:read()
			if not done then
				break
			end
			assert.is_false((connection:reply()))
		end
		assert.same({ nil, "a reply is too long" }, { done, message })
	end)

	-- A list may announce more elements than ever come, and each list in it again.
	for _, bytes in ipairs {
		"*2147483647\r\n", "*32769\r\n", "*2\r\n*20000\r\n" .. (":1\r\n"):rep(20000) .. "*20000\r\n",
		("*32000\r\n"):rep(2),
	} do
		it(("makes no place for lists without bounds: %q, %d bytes"):format(bytes:sub(1, 4), #bytes), function ()
			assert.same({ nil, "a reply is too long", "system" }, { answer(bytes) })
		end)
	end

	it("takes lists up to the bound, again and again", function ()
		for _ = 1, 3 do
			local complete, list = answer("*2\r\n*0\r\n*32766\r\n" .. (":1\r\n"):rep(32766))
			assert.is_true(complete)
			assert.equal(32766, #list[2])
		end
	end)

	it("says that the other end has closed it", function ()
		peer:close()
		wait_for_bytes()
		assert.same({ nil, "Server closed the connection", "system" }, { connection:read() })
	end)

	it("fails where nobody listens", function ()
		local _, port = listener:getsockname()
		listener:close()
		local other, message = redis.connect { host = "127.0.0.1", port = math.floor(tonumber(port)) }
		if other then
			other:command { "PING" }
			local _
			_, message = other:write()
			other:close()
		end
		assert.equal("Connection refused", message)
		assert.same({ nil, "No such file or directory", "system" }, { redis.connect { path = "/nowhere/redis.sock" } })
	end)

	it("resolves no name, which would block", function ()
		for _, host in ipairs { "localhost", "engine.test", "", "1.2.3", "999.0.0.1", "::::" } do
			assert.same({ nil, "the host is no numeric address", "system" }, { redis.connect { host = host } })
		end
		assert.has_error(function ()
			redis.connect {}
		end)
		assert.has_error(function ()
			redis.connect { host = "127.0.0.1", port = 65536 }
		end)
	end)

	it("refuses commands that are no lists of strings", function ()
		for _, command in ipairs { {}, { 5 }, { "PING", {} }, { [65] = "a" } } do
			assert.has_error(function ()
				connection:command(command)
			end)
		end
		local long = {}
		for index = 1, 65 do
			long[index] = "a"
		end
		assert.has_error(function ()
			connection:command(long)
		end)
		assert.is_false(connection:wants_to_write())
	end)

	it("is not inherited by programs that the server starts", function ()
		local info = io.open(("/proc/self/fdinfo/%d"):format(connection:fd()))
		if not info then
			pending "this system has no /proc/self/fdinfo"
			return
		end
		local flags = tonumber(info:read "*a":match "flags:%s*(%d+)", 8)
		info:close()
		assert.is_true(math.floor(flags / tonumber("2000000", 8)) % 2 == 1) -- O_CLOEXEC
	end)

	it("can be closed twice, and is of no use then", function ()
		connection:close()
		connection:close()
		for _, method in ipairs { "fd", "read", "write", "reply", "wants_to_write", "command" } do
			assert.has_error(function ()
				connection[method](connection, { "PING" })
			end)
		end
		assert.equal("redis connection (closed)", tostring(connection))
	end)

	it("says what is missing for TLS", function ()
		if redis.has_tls then
			return
		end
		assert.same({ nil, "hiredis has no TLS here", "system" }, {
			redis.connect { host = "127.0.0.1", port = 6379, tls = "engine.test" },
		})
	end)
end)
