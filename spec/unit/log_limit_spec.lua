-- The list of refusals, and when one of them is worth a line in the log.
local refusals = require "xmpp_tls_policy.log_limit"

describe("the list of refusals", function ()
	local now, list

	before_each(function ()
		now = 1000
		list = refusals.new { now = function () return now end, keep = 3 }
		list:turn()
	end)

	it("keeps the latest, the latest first", function ()
		assert.same({}, list:list())
		for number = 1, 7 do
			list:add { number = number }
			local numbers = {}
			for index, entry in ipairs(list:list()) do
				numbers[index] = entry.number
			end
			assert.same({ number, number > 1 and number - 1 or nil, number > 2 and number - 2 or nil }, numbers)
		end
		assert.equal(7, list:total())
		list:add_unknown(5)
		assert.equal(12, list:total())
	end)

	it("has a line a minute for an address", function ()
		assert.is_true(list:add { address = "192.0.2.1" })
		assert.is_false(list:add { address = "192.0.2.1" })
		assert.is_true(list:add { address = "192.0.2.2" })
		now = 1059
		assert.is_nil(list:turn())
		assert.is_false(list:add { address = "192.0.2.1" })
		now = 1060
		assert.equal(2, list:turn())
		assert.is_true(list:add { address = "192.0.2.1" })
		now = 1120
		assert.is_nil(list:turn())
	end)

	it("takes a network of IPv6 for one address", function ()
		for _, same in ipairs {
			{ "2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:3:4:5:6" },
			{ "2001:db8::1", "2001:db8::2", "2001:db8:0:0:1::" },
			{ "::1", "::2" },
			{ "fe80::1", "fe80::2" },
		} do
			assert.is_true(list:add { address = same[1] }, same[1])
			for index = 2, #same do
				assert.is_false(list:add { address = same[index] }, same[index])
			end
		end
		assert.is_true(list:add { address = "2001:db8:1:3::1" })
	end)

	it("takes all whose address is unknown for one", function ()
		assert.is_true(list:add {})
		assert.is_false(list:add {})
	end)

	it("has sixty lines a minute in all, and says how many more there were", function ()
		local lines = 0
		for number = 1, 100000 do
			local address = ("10.%d.%d.%d"):format(
				math.floor(number / 65536), math.floor(number / 256) % 256, number % 256)
			lines = lines + (list:add { address = address } and 1 or 0)
		end
		list:add_unknown(5)
		assert.equal(60, lines)
		now = now + 60
		assert.equal(100000 - 60 + 5, list:turn())
		assert.is_true(list:add { address = "10.0.0.1" })
	end)

	it("bears a clock that was set back", function ()
		list:add { address = "192.0.2.1" }
		now = 10
		assert.is_nil(list:turn())
		assert.is_true(list:add { address = "192.0.2.1" })
	end)
end)
