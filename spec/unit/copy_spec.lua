-- Deep copies of plain data.
local copy = require "xmpp_tls_policy.copy"

describe("a copy", function ()
	it("is equal to its original, and shares no table with it", function ()
		local original = { 1, "two", { three = { 4 } }, five = false }
		local made = copy(original)
		assert.same({ 1, "two", { three = { 4 } }, five = false }, made)
		made[3].three[1], made.five = 5, true
		assert.same({ 1, "two", { three = { 4 } }, five = false }, original)
	end)

	it("of a value is the value", function ()
		assert.equal("a", copy "a")
		assert.is_nil(copy(nil))
		assert.equal(print, copy(print))
	end)
end)
