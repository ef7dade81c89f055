-- The refusals of a week, by host.
local date = require "xmpp_tls_policy.date"
local week = require "xmpp_tls_policy.digest.week"

local MONDAY = date.begins "2026-11-23"

describe("a week of the digest", function ()
	local counted

	before_each(function ()
		counted = week.new(MONDAY)
	end)

	local function add(role, domain, host, clauses)
		counted:add({ role = role, domain = domain, address = "192.0.2.1", clauses = clauses }, host or "a.test")
	end

	it("begins on Monday at 00:00 UTC", function ()
		for day = 0, 6 do
			for _, second in ipairs { 0, 1, date.DAY - 1 } do
				local now = MONDAY + day * date.DAY + second
				assert.equal(MONDAY, week.begins(now))
				assert.is_false(week.new(MONDAY):is_over(now))
				assert.equal(now < MONDAY + 120, week.new(now):is_whole())
			end
		end
		assert.is_true(counted:is_over(MONDAY + 7 * date.DAY))
		assert.is_true(counted:is_over(MONDAY - 1))
	end)

	it("counts servers by domain and role, and all others without a name", function ()
		add("c2s", nil, nil, { "one", "two" })
		add("c2s", "juliet@a.test")
		add("s2sin", "Far.Test", nil, { "one" })
		add("s2sin", "far.test")
		add("s2sout", "far.test")
		add("s2sout", "b\195\188cher.test")
		for _, address in ipairs { "192.0.2.7", "2001:db8::1", "romeo@far.test", "a b", "" } do
			add("s2sin", address)
		end
		add("s2sin")
		add(nil)
		assert.same({
			clients = 2, servers = 10, unknown = 1, unnamed = 6,
			peers = {
				{ domain = "far.test", role = "s2sin", count = 2 }, { domain = "far.test", role = "s2sout", count = 1 },
				{ domain = "xn--bcher-kva.test", role = "s2sout", count = 1 },
			},
			clauses = { { clause = "one", count = 2 }, { clause = "two", count = 1 } },
		}, counted:refusals "a.test")
	end)

	it("keeps hosts apart, and those who named none", function ()
		add("s2sin", "far.test", "a.test")
		add("s2sin", "near.test", "b.test")
		counted:add { role = "c2s" }
		assert.equal("far.test", counted:refusals("a.test").peers[1].domain)
		assert.equal("near.test", counted:refusals("b.test").peers[1].domain)
		assert.equal(1, counted:refusals().clients)
		assert.equal(0, counted:refusals("c.test").servers)
	end)

	it("has room for 200 domains of each role and host, and counts the others", function ()
		for number = 1, 1000 do
			add("s2sin", ("x%d.test"):format(number))
		end
		add("s2sout", "far.test")
		add("s2sin", "x1.test")
		local refused = counted:refusals "a.test"
		assert.same({ 1002, 800, 201 }, { refused.servers, refused.unnamed, #refused.peers })
		assert.same({ domain = "x1.test", role = "s2sin", count = 2 }, refused.peers[1])
		local has_outgoing = false
		for _, peer in ipairs(refused.peers) do
			has_outgoing = has_outgoing or peer.domain == "far.test"
		end
		assert.is_true(has_outgoing)
	end)

	it("tells those who were not refused in the week before, if that is known", function ()
		add("s2sin", "far.test")
		assert.is_nil(counted:refusals("a.test").peers[1].new)
		counted = week.new(MONDAY + 7 * date.DAY, counted)
		add("s2sin", "far.test")
		add("s2sout", "far.test")
		add("s2sin", "far.test", "b.test")
		local peers = counted:refusals("a.test").peers
		assert.same({ "s2sin", false, "s2sout", true }, { peers[1].role, peers[1].new, peers[2].role, peers[2].new })
		assert.is_true(counted:refusals("b.test").peers[1].new)
	end)

	it("keeps three weeks at most", function ()
		local weeks = setmetatable({}, { __mode = "v" })
		for number = 1, 10 do
			counted = week.new(MONDAY + number * 7 * date.DAY, counted)
			weeks[number] = counted
		end
		collectgarbage()
		collectgarbage()
		assert.is_nil(weeks[7])
		assert.equal(counted, weeks[10])
	end)

	it("tells the same of the week before while the next one counts", function ()
		add("s2sin", "far.test")
		local second = week.new(MONDAY + 7 * date.DAY, counted)
		counted = second
		add("s2sin", "far.test")
		local third = week.new(MONDAY + 14 * date.DAY, second)
		assert.is_false(second:refusals("a.test").peers[1].new)
		assert.same({}, third:refusals("a.test").peers)
	end)

	it("counts the uses of exceptions", function ()
		counted:excepted("a.test", { domain = "old.test" })
		counted:excepted("a.test", { domain = "old.test" })
		counted:excepted(nil, { domain = "old.test" })
		assert.equal(2, counted:uses("a.test", { domain = "old.test" }))
		assert.equal(0, counted:uses("a.test", { domain = "older.test" }))
		assert.equal(0, counted:uses("b.test", { domain = "old.test" }))
	end)
end)
