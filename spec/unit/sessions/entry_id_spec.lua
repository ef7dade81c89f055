local entry_id = require "xmpp_tls_policy.sessions.entry_id"

describe("the ID of an entry", function ()
	it("is compared by its numbers", function ()
		assert.is_true(entry_id.is_less("9-0", "10-0"))
		assert.is_true(entry_id.is_less("10-9", "10-10"))
		assert.is_false(entry_id.is_less("10-10", "10-10"))
		assert.is_false(entry_id.is_less("11-0", "10-10"))
		assert.is_true(entry_id.is_less(entry_id.first, "0-1"))
	end)

	it("has one before it", function ()
		assert.equal("1764150000000-4", entry_id.before "1764150000000-5")
		assert.equal("1764149999999-18446744073709551615", entry_id.before "1764150000000-0")
		assert.is_nil(entry_id.before "0-0")
		-- The engine takes none beyond 2^64 - 1.
		for _, number in ipairs { "9007199254740993", "1152921504606847176", "18446744073709551615" } do
			local before = entry_id.before("5-" .. number):match "^5%-(%d+)$"
			assert.equal(#number, #before)
			assert.is_true(before < number, before)
		end
	end)

	it("of a time is the least of it", function ()
		assert.equal("1764150000000-0", entry_id.of_time(1764150000))
		assert.equal("0-0", entry_id.of_time(-5))
	end)

	it("is checked", function ()
		assert.is_true(entry_id.is_valid "1764150000000-18446744073709551615")
		for _, wrong in ipairs { "", "1", "1-", "-1", "1-1 ", "a-b", ("1"):rep(40) .. "-1", 5, {}, false } do
			assert.is_false(entry_id.is_valid(wrong))
		end
	end)
end)
