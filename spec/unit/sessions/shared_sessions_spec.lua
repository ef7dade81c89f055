-- Sharing with an engine in this process and a fake of the core's sharing, whose records are
-- "writer:text".
local adapter = require "support.adapter"
local fake_engine = require "support.fake_engine"
local shared_sessions = require "xmpp_tls_policy.sessions.shared_sessions"

local STORE = {}

describe("shared sessions", function ()
	local engine, machines

	before_each(function ()
		engine, machines = fake_engine.new(), {}
	end)

	-- A process: { server, shared, queue (records to append), taken (list of records), results (record ->
	-- what insert returns, beside true) }.
	local function machine(name, options)
		options = options or {}
		local self = {
			queue = {}, taken = {}, results = {}, dropped = 0, over_share = 0, watches = {}, keys = { "key" }, open_keys = 0,
		}
		self.server = adapter.new {
			watch = function (descriptor, on_readable, on_writable)
				self.watches[descriptor] = { on_readable = on_readable, on_writable = on_writable }
				return {
					want_to_write = function () end,
					close = function ()
						self.watches[descriptor] = nil
					end,
				}
			end,
			resolve = function (host, callback)
				self.resolve = { host = host, callback = callback }
			end,
		}
		self.shared = shared_sessions.new {
			server = self.server, redis = options.redis or engine:module(), random = function ()
				return 0.5
			end,
			now = function ()
				return engine.clock / 1000
			end,
			read_keys = function (path)
				if not self.keys then
					return nil, path .. " cannot be read"
				end
				local ids = {}
				for index, key in ipairs(self.keys) do
					ids[index] = "id of " .. key
				end
				self.open_keys = self.open_keys + 1
				return {
					ids = function ()
						return ids
					end,
					close = function ()
						self.open_keys = self.open_keys - 1
					end,
				}
			end,
			new_sharing = function (given)
				self.given = given
				return {
					close = function ()
						self.is_closed = true
					end,
					seal_next = function ()
						if self.seal_failure then
							return nil, self.seal_failure, "tls"
						end
						return table.remove(self.queue, 1)
					end,
					queued = function ()
						return #self.queue, 0, self.dropped, true, self.over_share
					end,
					insert = function (_, record)
						if record:find(name .. ":", 1, true) == 1 then
							return nil, "own"
						elseif self.results[record] then
							return nil, self.results[record]
						end
						self.taken[#self.taken + 1] = record
						return "session"
					end,
				}
			end,
		}
		self.option = { url = options.url or "redis://127.0.0.1", key_file = "/key", name = "sessions" }
		self.shared:configure({ lifetime = 3600, address_share = 16, shared = self.option }, STORE)
		machines[#machines + 1] = self
		return self
	end

	local function turns()
		local has_worked
		repeat
			has_worked = false
			for _, one in ipairs(machines) do
				has_worked = engine:turn(one.watches) or has_worked
			end
		until not has_worked
	end

	local function seconds(count)
		for _ = 1, count or 1 do
			engine.clock = engine.clock + 1000
			for _, one in ipairs(machines) do
				one.server.time = one.server.time + 1
				one.shared:each_second()
			end
			turns()
		end
	end

	local function lines_of(one)
		local texts = {}
		for index, line in ipairs(one.server.lines) do
			texts[index] = line[2] .. ": " .. line[3]
		end
		return texts
	end

	local function line_with(one, pattern)
		local count = 0
		for _, line in ipairs(lines_of(one)) do
			count = count + (line:find(pattern) and 1 or 0)
		end
		return count
	end

	it("of one process come to another, and not back", function ()
		local a, b = machine "a", machine "b"
		seconds()
		a.queue = { "a:1", "a:2" }
		a.shared:drain()
		turns()
		b.queue = { "b:1" }
		b.shared:drain()
		turns()
		assert.same({ "a:1", "a:2" }, b.taken)
		assert.same({ "b:1" }, a.taken)
		assert.equal(2, a.shared:counts().appended)
		assert.equal(2, b.shared:counts().received)
		assert.equal(1, a.shared:counts().received)
		for _, reason in ipairs(shared_sessions.reasons) do
			assert.equal(0, a.shared:counts()[reason])
		end
	end)

	it("go on with the next load of the module: what waits is sent, the old sharing ends, counts stay", function ()
		local a = machine "a"
		seconds()
		a.queue = { "a:1" }
		local after = shared_sessions.new { server = a.server, kept = a.shared }
		assert.same({}, a.queue)
		assert.is_true(a.is_closed)
		assert.is_nil(a.shared:status())
		assert.equal(a.shared:counts(), after:counts())
	end)

	it("give the core what the option says", function ()
		local a = machine "a"
		assert.same({ "id of key" }, a.given.keys:ids())
		a.given.keys = nil
		assert.same({
			store = STORE, name = "sessions", queue_limit = 4032 * 1024, address_limit = 15625,
		}, a.given)
	end)

	it("are replayed newest first, all of them, each once", function ()
		local expected = {}
		for index = 1, 333 do
			engine.clock = engine.clock + (index % 7 == 0 and 1 or 0)
			engine:append("x:" .. index)
			table.insert(expected, 1, "x:" .. index)
		end
		local a = machine "a"
		seconds()
		assert.same(expected, a.taken)
		engine:append "x:new"
		turns()
		assert.equal("x:new", a.taken[334])
		assert.equal(334, #a.taken)
	end)

	it("serve while they are replayed", function ()
		for index = 1, 300 do
			engine:append("x:" .. index)
		end
		local a = machine "a"
		a.shared:each_second()
		while #a.taken == 0 do
			engine:turn(a.watches)
		end
		assert.is_true(#a.taken <= 50)
		assert.equal("connected", a.shared:status().state)
		a.queue = { "a:1" }
		a.shared:drain()
		engine:turn(a.watches)
		assert.equal(1, #engine:named "XADD")
		turns()
		assert.equal(300, #a.taken)
	end)

	it("that are too old are not asked for", function ()
		engine:append "x:old"
		engine.clock = engine.clock + 3661 * 1000
		engine:append "x:new"
		local a = machine "a"
		seconds()
		assert.same({ "x:new" }, a.taken)
	end)

	it("are replayed until the store is full", function ()
		for index = 1, 300 do
			engine:append("x:" .. index)
		end
		local a = machine "a"
		a.results["x:290"] = "full"
		seconds()
		assert.equal(10, #a.taken)
		assert.is_true(#engine:named "XREVRANGE" <= 2)
		engine:append "x:new"
		turns()
		assert.equal("x:new", a.taken[11])
	end)

	it("are replayed past those of a network with its share, and of too many process starts", function ()
		for index = 1, 300 do
			engine:append("x:" .. index)
		end
		local a = machine "a"
		a.results["x:290"], a.results["x:280"] = "over_share", "writers"
		seconds()
		assert.equal(298, #a.taken)
		assert.equal(0, a.shared:counts().over_share)
		assert.equal(1, a.shared:counts().writers)
	end)

	it("go on after a lost connection, without a gap and without a second replay", function ()
		for index = 1, 60 do
			engine:append("x:" .. index)
		end
		local a = machine "a"
		seconds()
		engine:break_connections()
		turns()
		assert.equal("disconnected", a.shared:status().state)
		engine:append "x:missed"
		a.queue = { "a:waiting" }
		a.shared:drain()
		assert.same({ "a:waiting" }, a.queue)
		seconds(2)
		assert.equal("connected", a.shared:status().state)
		assert.equal(61, #a.taken)
		assert.equal("x:missed", a.taken[61])
		assert.same({}, a.queue)
		assert.equal("a:waiting", engine.entries[62][2][2])
	end)

	it("are replayed from the beginning after a replay that a lost connection has ended", function ()
		for index = 1, 300 do
			engine:append("x:" .. index)
		end
		local a = machine "a"
		a.shared:each_second()
		while #a.taken == 0 do
			engine:turn(a.watches)
		end
		assert.is_true(#a.taken < 300)
		engine:break_connections()
		turns()
		assert.equal("disconnected", a.shared:status().state)
		seconds(2)
		local seen, count = {}, 0
		for _, record in ipairs(a.taken) do
			count = count + (seen[record] and 0 or 1)
			seen[record] = true
		end
		assert.equal(300, count)
		-- This replay has come to its end.
		engine:break_connections()
		turns()
		local before = #a.taken
		seconds(4)
		assert.equal("connected", a.shared:status().state)
		assert.equal(before, #a.taken)
	end)

	it("are replayed again where the stream was made anew", function ()
		engine:append "x:1"
		local a = machine "a"
		seconds()
		engine.entries, engine.clock, engine.number = {}, engine.clock - 5000, 0
		engine:append "x:2"
		engine:break_connections()
		turns()
		seconds(2)
		assert.same({ "x:1", "x:2" }, a.taken)
		engine:append "x:3"
		turns()
		assert.same({ "x:1", "x:2", "x:3" }, a.taken)
	end)

	it("that had no answer are sent again", function ()
		local a = machine "a"
		seconds()
		engine.is_stopped = true
		a.queue = { "a:1", "a:2" }
		a.shared:drain()
		assert.same({}, a.queue)
		seconds(20)
		assert.equal("disconnected", a.shared:status().state)
		assert.matches("does not answer", a.shared:status().reason)
		assert.same({}, engine.entries)
		engine.is_stopped = false
		seconds(40)
		assert.same({ "a:1", "a:2" }, { engine.entries[1][2][2], engine.entries[2][2][2] })
	end)

	it("wait in the core's queue while many have no answer", function ()
		local a = machine "a"
		seconds()
		engine.is_stopped = true
		local record = "a:" .. ("r"):rep(4094)
		for index = 1, 200 do
			a.queue[index] = record
		end
		for _ = 1, 10 do
			a.shared:drain()
		end
		assert.equal(200 - 64, #a.queue) -- 256 KiB
		engine.is_stopped = false
		turns()
		assert.equal(0, #a.queue)
		assert.equal(200, a.shared:counts().appended)
	end)

	it("are trimmed by time where the engine can, else by number", function ()
		local a = machine "a"
		seconds()
		a.queue = { "a:1" }
		a.shared:drain()
		turns()
		local oldest = ("%d-0"):format(engine.clock - 3660 * 1000)
		assert.same({ "XADD", "sessions", "MINID", "~", engine.clock > 3660000 and oldest or "0-0", "*", "r", "a:1" },
			engine:named("XADD")[1])
		assert.same({ "XTRIM", "sessions", "MAXLEN", "~", "250000" }, engine:named("XTRIM")[2])
		assert.same({ "EXPIRE", "sessions", "3720" }, engine:named("EXPIRE")[1])
		engine.has_minid = false
		local b = machine "b"
		seconds()
		b.queue = { "b:1" }
		b.shared:drain()
		turns()
		assert.same({ "XADD", "sessions", "MAXLEN", "~", "250000", "*", "r", "b:1" }, engine:named("XADD")[2])
		assert.same({ "a:1" }, b.taken)
	end)

	it("are appended before Redis 6.2 also as the first ones, of which it is learnt that it knows no MINID", function ()
		engine.has_minid = false
		local a, b = machine "a", machine "b"
		seconds()
		a.queue = { "a:1", "a:2" }
		a.shared:drain()
		turns()
		assert.same({ "a:1", "a:2" }, b.taken)
		a.queue = { "a:3" }
		a.shared:drain()
		turns()
		assert.same({ "a:1", "a:2", "a:3" }, b.taken)
		local words = {}
		for index, command in ipairs(engine:named "XADD") do
			words[index] = command[3]
		end
		assert.same({ "MINID", "MINID", "MAXLEN", "MAXLEN", "MAXLEN" }, words)
		assert.same({ 3, 0 }, { a.shared:counts().appended, a.shared:counts().refused })
	end)

	it("that the core drops are counted by reason, with one line a minute", function ()
		local a = machine "a"
		seconds()
		for _, reason in ipairs { "not_opened", "expired", "from_the_future", "replayed", "full", "malformed" } do
			a.results["x:" .. reason] = reason
			engine:append("x:" .. reason)
		end
		engine:append(nil, { "other", "x" })
		engine:append(nil, { "r", "x", "s", "y" })
		turns()
		seconds(30)
		local counts = a.shared:counts()
		assert.same({ 1, 1, 1, 1, 1, 3 }, { counts.not_opened, counts.expired, counts.from_the_future, counts.replayed,
			counts.full, counts.malformed })
		assert.equal(0, counts.received)
		assert.equal(1, line_with(a, "^warn: Records of shared sessions were dropped: .*1 sealed with another key"))
		engine:append "x:expired"
		seconds(20)
		assert.equal(1, line_with(a, "were dropped"))
		seconds(60)
		assert.equal(2, line_with(a, "were dropped"))
	end)

	it("that the process has, or that are over, are not dropped by a replay, others are", function ()
		local a = machine "a"
		for _, reason in ipairs { "not_opened", "expired", "from_the_future", "replayed", "removed", "full" } do
			a.results["x:" .. reason] = reason
		end
		-- The replay ends where the store is full.
		for _, reason in ipairs { "full", "removed", "replayed", "from_the_future", "expired", "not_opened" } do
			engine:append("x:" .. reason)
		end
		turns()
		local counts = a.shared:counts()
		assert.same({ 1, 0, 1, 0, 0, 0 }, { counts.not_opened, counts.expired, counts.from_the_future, counts.replayed,
			counts.removed, counts.full })
	end)

	it("that later tickets of the session replaced are not dropped: nobody misses them", function ()
		local a = machine "a"
		a.results["x:1"], a.results["x:2"] = "superseded", "superseded"
		engine:append "x:1"
		seconds()
		engine:append "x:2"
		seconds()
		for what, number in pairs(a.shared:counts()) do
			assert.equal(0, number, what)
		end
		assert.equal(0, line_with(a, "were dropped"))
		assert.equal(0, line_with(a, "Internal error"))
	end)

	it("that come twice are no reason for a warning", function ()
		local a = machine "a"
		seconds()
		a.results["x:1"] = "replayed"
		engine:append "x:1"
		turns()
		seconds()
		assert.equal(1, line_with(a, "^info: Records of shared sessions were dropped: 1 known already$"))
		assert.equal(0, line_with(a, "^warn"))
	end)

	it("that found no room in the queue are counted", function ()
		local a = machine "a"
		seconds()
		a.dropped = 7
		assert.equal(7, a.shared:counts().queue)
		a.dropped = 9
		seconds()
		assert.equal(9, a.shared:counts().queue)
		assert.equal(1, line_with(a, "dropped: 9 waited too long"))
	end)

	it("of an address that has its share of the stream are counted", function ()
		local a = machine "a"
		seconds()
		a.over_share = 7
		assert.equal(7, a.shared:counts().address)
		a.over_share = 9
		seconds()
		assert.equal(9, a.shared:counts().address)
		assert.equal(1, line_with(a, "dropped: 9 not sent, of an address that has its share of the stream$"))
		a.over_share = 0
		for share, limit in pairs { [1] = false, [1024] = 244 } do
			a.shared:configure({ lifetime = 3600, address_share = share, shared = a.option }, STORE)
			assert.equal(limit or nil, a.given.address_limit)
			assert.equal(9, a.shared:counts().address)
		end
	end)

	it("are refused by an engine without room: one line when it begins, one when it ends", function ()
		local a = machine "a"
		seconds()
		engine.refuses_appends = "OOM command not allowed when used memory > 'maxmemory'."
		for index = 1, 5 do
			a.queue = { "a:" .. index }
			a.shared:drain()
			turns()
		end
		engine.refuses_appends = nil
		a.queue = { "a:6", "a:7" }
		a.shared:drain()
		turns()
		assert.equal(5, a.shared:counts().refused)
		assert.equal(2, a.shared:counts().appended)
		assert.equal(1, line_with(a, "^warn: The engine refuses new sessions: OOM"))
		assert.equal(1, line_with(a, "^info: The engine takes new sessions again"))
		assert.equal("connected", a.shared:status().state)
	end)

	it("are refused and taken by turns by an engine that is nearly full: two lines a minute", function ()
		local a = machine "a"
		seconds()
		for index = 1, 240 do
			engine.refuses_appends = index % 2 == 1 and "OOM" or nil
			a.queue = { "a:" .. index }
			a.shared:drain()
			turns()
			seconds()
		end
		assert.equal(120, a.shared:counts().refused)
		assert.equal(4, line_with(a, "^warn: The engine refuses new sessions: OOM"))
		assert.equal(4, line_with(a, "^info: The engine takes new sessions again"))
	end)

	it("that should last longer than an hour are shared, with a warning", function ()
		local a = machine "a"
		assert.equal(0, line_with(a, "^warn"))
		for _, lifetime in ipairs { 3601, 604800 } do
			a.shared:configure({ lifetime = lifetime, address_share = 16, shared = a.option }, STORE)
			seconds()
			local pattern = ("^warn: Shared sessions last %d s%%. .*set resumption.lifetime to 3600"):format(lifetime)
			assert.equal(1, line_with(a, pattern))
			assert.equal("connected", a.shared:status().state)
		end
	end)

	-- A value without sense, and an error of any length.
	for _, command in ipairs { "AUTH", "SELECT", "PING", "XTRIM", "XADD", "XREVRANGE", "XREAD", "EXPIRE" } do
		for name, answer in pairs {
			["no value"] = { false }, ["a list"] = { {} }, ["a number"] = { 7 }, ["a long error"] = { nil, ("A"):rep(100000) },
			["an empty error"] = { nil, "" },
		} do
			it(("outlive %s as the answer to %s"):format(name, command), function ()
				engine.password = "secret"
				engine.answers = { [command] = answer }
				local a = machine("a", { url = "redis://:secret@127.0.0.1/1" })
				for index = 1, 3 do
					a.queue = { "a:" .. index }
					seconds(2)
				end
				assert.same({}, a.server.failures)
				for _, line in ipairs(lines_of(a)) do
					assert.is_true(#line < 400, line:sub(1, 400))
				end
				engine.answers = {}
				seconds(60)
				assert.equal("connected", a.shared:status().state)
			end)
		end
	end

	-- Some programs quote what they do not know.
	for _, command in ipairs { "AUTH", "SELECT", "PING", "XTRIM", "XADD", "XREVRANGE", "XREAD" } do
		for _, password in ipairs { "s3cret-word", "%s", ("p"):rep(95) .. "assword", "SECRET" } do
			it(("show no password (%s) that the engine quotes when it answers %s"):format(password:sub(-8), command), function ()
				engine.password = password
				engine.answers = { [command] = { nil, ("%s is unknown to me, as is %s"):format(password, password) } }
				local a = machine("a", { url = "redis://:" .. password:gsub("%%", "%%25") .. "@127.0.0.1/1" })
				for index = 1, 3 do
					a.queue = { "a:" .. index }
					seconds(2)
				end
				local status = a.shared:status()
				for _, shown in ipairs { table.concat(lines_of(a), "\n"), status.engine, status.reason or "" } do
					assert.not_matches(password, shown, 1, true)
					assert.not_matches("pppp", shown, 1, true)
				end
				assert.is_true(#a.server.lines > 0)
				assert.same({}, a.server.failures)
			end)
		end
	end

	it("that are for a host without an address stay here", function ()
		local a = machine("a", { url = "redis://[::::]", redis = { connect = function ()
			return nil, "the host is no numeric address", "system"
		end } })
		assert.equal(1, line_with(a, "^warn: No session is shared through redis://%[::::%]: the host is no numeric address"))
	end)

	it("that cannot be sealed wait, with a line", function ()
		local a = machine "a"
		seconds()
		a.seal_failure = "a session cannot be sealed"
		a.queue = { "a:1" }
		seconds()
		assert.equal(1, a.shared:status().queued)
		assert.equal("a session cannot be sealed", a.server.failures[1][2])
		a.seal_failure = nil
		seconds()
		assert.equal(0, a.shared:status().queued)
	end)

	for name, break_it in pairs {
		["a wrong password"] = function ()
			engine.password = "other"
		end,
		["another program's data"] = function ()
			engine.wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value"
		end,
		["a replica"] = function ()
			engine.wrong_type = "READONLY You can't write against a read only replica."
		end,
		["no engine"] = function ()
			engine.is_down = true
		end,
		["an engine that is stopped"] = function ()
			engine.is_stopped = true
		end,
	} do
		it("wait for " .. name .. " to end, with a line for each change and longer and longer pauses", function ()
			engine.password = "secret"
			break_it()
			local a = machine("a", { url = "redis://:secret@127.0.0.1" })
			seconds(200)
			assert.equal("disconnected", a.shared:status().state)
			local attempts = a.shared._attempts
			assert.is_true(attempts <= 14, attempts .. " attempts")
			assert.equal(1, line_with(a, "^warn: No session is shared through redis://127.0.0.1:"))
			assert.equal(1, #a.server.lines)
			assert.not_matches("secret", table.concat(lines_of(a), "\n"))
			assert.not_matches("secret", a.shared:status().reason)
			engine.password, engine.wrong_type, engine.is_down, engine.is_stopped = "secret", nil, false, false
			seconds(60)
			assert.equal("connected", a.shared:status().state)
			assert.equal(2, line_with(a, "^info") + line_with(a, "^warn"), table.concat(lines_of(a), "\n"))
		end)
	end

	it("outlive a connection that fails at any command", function ()
		local a = machine "a"
		seconds()
		for number = 1, 30 do
			engine.fails_after = number
			engine:append("x:" .. number)
			engine:break_connections()
			turns()
			a.queue = { "a:" .. number }
			seconds(60)
			assert.equal("connected", a.shared:status().state)
			assert.same({}, a.server.failures)
			assert.same({}, a.queue)
			assert.equal("x:" .. number, a.taken[number])
		end
	end)

	it("look for another master when theirs takes no more records", function ()
		local a = machine "a"
		seconds()
		engine.refuses_appends = "READONLY You can't write against a read only replica."
		a.queue = { "a:1" }
		a.shared:drain()
		turns()
		assert.equal("disconnected", a.shared:status().state)
		engine.refuses_appends = nil
		seconds(2)
		assert.equal("a:1", engine.entries[1][2][2])
		assert.equal(0, a.shared:counts().refused)
	end)

	it("resolve a name without waiting, and try its addresses in turn", function ()
		local a = machine("a", { url = "redis://engine.test" })
		seconds()
		assert.equal("engine.test", a.resolve.host)
		a.resolve.callback(nil, "no address of engine.test is known")
		assert.equal("no address of engine.test is known", a.shared:status().reason)
		for _ = 1, 2 do
			seconds(4)
			a.resolve.callback { "192.0.2.1", "192.0.2.2" }
			engine:break_connections()
			turns()
		end
		assert.not_equal(engine.addresses[1], engine.addresses[2])
	end)

	it("forget a name's answer that comes after the end", function ()
		local a = machine("a", { url = "redis://engine.test" })
		seconds()
		a.shared:stop()
		a.resolve.callback { "192.0.2.1" }
		assert.same({}, engine.addresses)
	end)

	-- rfc6761.6.3.localhost-is-loopback
	it("take loopback for localhost", function ()
		machine("a", { url = "redis://localhost" })
		seconds()
		assert.equal("127.0.0.1", engine.addresses[1])
	end)

	it("end with answers that nobody asked for, and with malformed ones", function ()
		local a = machine "a"
		seconds()
		for _, answer in ipairs { { { { "sessions", { { "9-9", {} } } } } }, { "OK" }, { { { "sessions", {} } } }, { 5 } } do
			for _, connection in pairs(engine.connections) do
				connection.replies[#connection.replies + 1] = answer
			end
			turns()
			assert.equal("disconnected", a.shared:status().state)
			seconds(60)
			assert.equal("connected", a.shared:status().state, table.concat(lines_of(a), "\n"))
		end
	end)

	it("end without a callback", function ()
		local a = machine "a"
		seconds()
		engine:append "x:1"
		a.shared:stop()
		assert.is_true(a.is_closed)
		assert.same({}, engine.connections)
		assert.is_nil(next(a.watches))
		seconds(5)
		assert.same({}, a.taken)
		assert.is_nil(a.shared:status())
	end)

	it("begin anew when their options, the store or the keys change, and only then", function ()
		local a = machine "a"
		seconds()
		local function configure(option, store, lifetime, share)
			a.is_closed = false
			a.shared:configure({ lifetime = lifetime or 3600, address_share = share or 16, shared = option }, store or STORE)
			return a.is_closed
		end
		assert.is_false(configure { url = a.option.url, key_file = "/key", name = "sessions" })
		assert.equal("connected", a.shared:status().state)
		a.keys = nil
		assert.is_false(configure(a.option))
		assert.equal(1, line_with(a, "^error: The keys of shared sessions stay as they are: /key cannot be read"))
		a.keys = { "other", "key" }
		assert.is_true(configure(a.option))
		assert.equal("id of other, id of key", a.shared:status().keys)
		assert.is_true(configure({ url = a.option.url, key_file = "/key", name = "others" }))
		assert.is_true(configure({ url = a.option.url, key_file = "/key", name = "others" }, {}))
		assert.is_true(configure({ url = a.option.url, key_file = "/key", name = "others" }, {}, nil, 8))
		assert.is_true(configure(nil))
		assert.is_nil(a.shared:status())
		assert.equal(0, a.open_keys)
	end)

	it("are off, with a line, where hiredis or the key is missing", function ()
		local a = machine("a", { redis = { connect = true, has_tls = false }, url = "rediss://127.0.0.1" })
		assert.equal("failed", a.shared:status().state)
		assert.matches("rediss:// needs hiredis 1.0 or newer", a.shared:status().reason)
		a.keys = nil
		a.shared:configure({
			lifetime = 3600, address_share = 16, shared = { url = "redis://127.0.0.1", key_file = "/key", name = "x" },
		}, STORE)
		assert.equal("/key cannot be read", a.shared:status().reason)
		assert.equal(2, line_with(a, "^error: No session is shared: "))
		seconds(5)
		assert.same({}, engine.addresses)
	end)

	it("say how long a record takes", function ()
		local a = machine "a"
		seconds()
		assert.equal(0, a.shared:status().lag)
		engine.is_stopped = true
		a.queue = { "a:1" }
		a.shared:drain()
		a.server.time = a.server.time + 3
		engine.is_stopped = false
		turns()
		assert.equal(3, a.shared:status().lag)
	end)
end)
