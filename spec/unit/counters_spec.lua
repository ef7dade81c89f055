-- Counters of events by labels, of which peers choose some.
local counters = require "xmpp_tls_policy.counters"

local function series(counter)
	local list = {}
	for index, one in ipairs(counter:list()) do
		list[index] = table.concat(one.values, " ") .. " " .. one.value
	end
	return list
end

describe("a counter", function ()
	local known = { c2s = true, s2sin = true }

	it("counts by the values of all labels", function ()
		local counter = counters.new { labels = { "role", "suite" } }
		counter:add(1, "c2s", "B")
		counter:add(1, "c2s", "A")
		counter:add(2, "c2s", "B")
		counter:add(1, "s2sin", "B")
		assert.same({ "c2s A 1", "c2s B 3", "s2sin B 1" }, series(counter))
	end)

	it("counts without labels", function ()
		local counter = counters.new { labels = {} }
		counter:add(3)
		counter:add(4)
		assert.same({ " 7" }, series(counter))
	end)

	it("does not take one list of values for another", function ()
		local counter = counters.new { labels = { "a", "b" } }
		counter:add(1, "x y", "z")
		counter:add(1, "x", "y z")
		assert.equal(2, #counter:list())
	end)

	it("says other for a value that is not in the set, and none for an unknown one", function ()
		local counter = counters.new { labels = { "role", "suite" }, values = { role = known } }
		counter:add(1, "c2s", nil)
		counter:add(1, nil, "A")
		counter:add(1, "component", "A")
		counter:add(1, "\n", "A")
		assert.same({ "c2s none 1", "none A 1", "other A 2" }, series(counter))
	end)

	it("begins with zeros where it is told to", function ()
		local counter = counters.new { labels = { "role", "suite" }, zeros = { { "c2s", nil }, { nil, "A" } } }
		assert.same({ "c2s none 0", "none A 0" }, series(counter))
		counter:add(1, nil, "A")
		assert.same({ "c2s none 0", "none A 1" }, series(counter))
	end)

	it("has no more series than it may, and loses no count", function ()
		local counter = counters.new {
			labels = { "role", "suite" }, values = { role = known }, peer_chosen = { suite = true }, most = 10,
		}
		for number = 1, 1000 do
			counter:add(1, number % 2 == 0 and "c2s" or "s2sin", ("%04d"):format(number))
		end
		counter:add(1, "c2s", "0002")
		local list, total = counter:list(), 0
		for _, one in ipairs(list) do
			total = total + one.value
		end
		assert.equal(12, #list)
		assert.equal(1001, total)
		assert.same({ "c2s 0002 2", "c2s other 495", "s2sin other 495" },
			{ series(counter)[1], series(counter)[6], series(counter)[12] })
	end)
end)
