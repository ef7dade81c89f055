-- The bounded list of the latest entries.
local latest_entries = require "xmpp_tls_policy.latest_entries"

describe("a list of the latest entries", function ()
	it("keeps so many, the latest first", function ()
		local list = latest_entries.new(3)
		assert.same({}, list:list())
		for number = 1, 7 do
			list:add(number)
			assert.same({ number, number > 1 and number - 1 or nil, number > 2 and number - 2 or nil }, list:list())
		end
	end)

	it("keeps a hundred if it is not told how many", function ()
		local list = latest_entries.new()
		for number = 1, 250 do
			list:add { number = number }
		end
		assert.equal(100, #list:list())
		assert.equal(151, list:list()[100].number)
	end)

	it("counts all that there ever were, the lost ones included", function ()
		local list = latest_entries.new(3)
		assert.equal(0, list:total())
		for _ = 1, 7 do
			list:add {}
		end
		list:count_lost(5)
		assert.equal(12, list:total())
	end)
end)
