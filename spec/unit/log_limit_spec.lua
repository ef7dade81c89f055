-- The limit on log lines, in all and for each key.
local log_limit = require "xmpp_tls_policy.log_limit"

describe("a log limit", function ()
	local now, limit

	local function start(options)
		options = options or {}
		options.now = function () return now end
		limit = log_limit.new(options)
	end

	-- How many lines of a key are allowed out of so many.
	local function allowed(key, attempts)
		local lines = 0
		for _ = 1, attempts do
			lines = lines + (limit:allows(key) and 1 or 0)
		end
		return lines
	end

	before_each(function ()
		now = 1000
		start()
	end)

	it("allows one line a minute for each key, from the first line on", function ()
		assert.equal(1, allowed("a", 3))
		assert.equal(1, allowed("b", 3))
		now = 1059
		assert.equal(0, allowed("a", 1))
		now = 1060
		assert.equal(1, allowed("a", 2))
	end)

	it("allows several lines for each key if told so", function ()
		start { lines_per_key = 5 }
		assert.equal(5, allowed("a", 20))
		assert.equal(5, allowed("b", 20))
	end)

	it("takes all unknown keys for one", function ()
		assert.is_true((limit:allows(nil)))
		assert.is_false((limit:allows(nil)))
	end)

	it("allows sixty lines a minute in all, or as many as it is told", function ()
		for most, options in pairs { [60] = {}, [7] = { lines = 7 }, [100] = { lines = math.huge } } do
			start(options)
			local lines = 0
			for number = 1, 100 do
				lines = lines + allowed("key " .. number, 2)
			end
			assert.equal(most, lines)
		end
	end)

	it("says with a line how many of its key were suppressed before", function ()
		assert.same({ true, 0 }, { limit:allows "a" })
		assert.same({ false }, { limit:allows "a" })
		assert.same({ false }, { limit:allows "a" })
		assert.same({ true, 0 }, { limit:allows "b" })
		now = 1500
		assert.same({ true, 2 }, { limit:allows "a" })
		assert.same({ true, 0 }, { limit:allows "b" })
		now = 1600
		assert.same({ true, 0 }, { limit:allows "a" })
	end)

	it("reports the suppressed lines of each minute once, when it is over", function ()
		assert.is_nil(limit:turn())
		allowed("a", 3)
		assert.is_nil(limit:turn())
		limit:suppress(5)
		now = 1060
		assert.equal(7, limit:turn())
		assert.is_nil(limit:turn())
		allowed("a", 3)
		now = 1120
		-- A line that begins the next minute loses no count.
		allowed("a", 2)
		assert.equal(2, limit:turn())
		now = 1200
		assert.equal(1, limit:turn())
		now = 1300
		assert.is_nil(limit:turn())
	end)

	it("goes on when the clock was set back", function ()
		allowed("a", 2)
		now = 10
		assert.equal(1, allowed("a", 2))
		assert.equal(1, limit:turn())
	end)

	it("stays small whatever keys there are", function ()
		local before
		for round = 1, 40 do
			now = now + 60
			for number = 1, 2000 do
				local key = ("%d %d"):format(round, number)
				limit:allows(key)
				limit:allows(key)
			end
			collectgarbage()
			collectgarbage()
			before = round == 20 and collectgarbage "count" or before
		end
		assert.is_true(collectgarbage "count" - before < 64, collectgarbage "count" - before)
	end)

	it("requires no other file", function ()
		local file = assert(io.open "lua/xmpp_tls_policy/log_limit.lua")
		local source = file:read "*a"
		file:close()
		assert.is_nil(source:find("require", 1, true))
	end)
end)
