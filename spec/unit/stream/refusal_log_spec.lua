local new_refusal_log = require "xmpp_tls_policy.stream.refusal_log".new

describe("the log of refused streams", function ()
	local now, lines, counted, log

	local server = {
		address = function (session) return session.address end,
		list = function (items)
			items.is_list = true
			return items
		end,
		log_session = function (_, level, format, ...) lines[#lines + 1] = level .. ": " .. format:format(...) end,
	}
	local metrics = { refusal = function (_, ...) counted[#counted + 1] = { ... } end }

	local function add(text, more)
		local session = { address = more and more.address or "192.0.2.1" }
		local stream = { session = session, role = "s2sin", host = function () return "host.test" end,
			peer = function () return "a.test" end }
		log:add(server, metrics, stream, { text = text, clauses = more and more.clauses })
	end

	before_each(function ()
		now, lines, counted = 1000, {}, {}
		log = new_refusal_log { now = function () return now end }
	end)

	it("has entries, the latest first, and a total", function ()
		add("first", { clauses = { "cipher.rc4" } })
		now = 1001
		add("second\27[2J\nthird")
		assert.same({
			{ time = 1001, what = "stream", address = "192.0.2.1", host = "host.test", role = "s2sin", domain = "a.test",
				text = "second\\027[2J\\010third", clauses = { is_list = true } },
			{ time = 1000, what = "stream", address = "192.0.2.1", host = "host.test", role = "s2sin", domain = "a.test",
				text = "first", clauses = { "cipher.rc4", is_list = true } },
		}, log:list())
		assert.equal(2, log:total())
		assert.same({
			"info: Stream refused by the TLS policy: first",
			"info: Stream refused by the TLS policy: second\\027[2J\\010third",
		}, lines)
	end)

	it("is counted by role and clause", function ()
		add("first", { clauses = { "cipher.rc4" } })
		add "second"
		assert.same({ "s2sin", "stream", { "cipher.rc4", is_list = true } }, counted[1])
		assert.same({ "s2sin", "stream", { is_list = true } }, counted[2])
	end)

	it("writes a line for each, sixty a minute of an address and twice as many in all at most", function ()
		for number = 1, 70 do
			add("refusal " .. number)
		end
		assert.equal("info: Stream refused by the TLS policy: refusal 1", lines[1])
		assert.equal(60, #lines)
		for number = 1, 80 do
			add("refusal " .. number, { address = ("198.51.100.%d"):format(number) })
		end
		assert.equal(120, #lines)
		assert.equal(150, log:total())
		log:suppressed()
		now = now + 61
		assert.equal(30, log:suppressed())
		assert.is_nil(log:suppressed())
		add "again"
		assert.equal("info: Stream refused by the TLS policy: again", lines[121])
	end)

	it("keeps the latest hundred", function ()
		for number = 1, 100000 do
			add("refusal " .. number, { address = ("198.51.100.%d"):format(number % 250) })
		end
		assert.equal(100, #log:list())
		assert.equal("refusal 100000", log:list()[1].text)
		assert.equal(100000, log:total())
		assert.is_true(#lines <= 120)
	end)
end)
