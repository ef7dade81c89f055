local back_off = require "xmpp_tls_policy.sessions.back_off"

describe("the back-off", function ()
	local function delays(random, count)
		local made = back_off.new { least = 1, most = 30, random = function ()
			return random
		end }
		local list = {}
		for index = 1, count do
			list[index] = made:delay()
		end
		return list, made
	end

	it("doubles up to a bound", function ()
		assert.same({ 0.5, 1, 2, 4, 8, 15, 15 }, (delays(0, 7)))
	end)

	it("is random from half to all of it", function ()
		assert.same({ 0.75, 1.5, 3, 6, 12, 22.5, 22.5 }, (delays(0.5, 7)))
		for _, delay in ipairs((delays(0.999, 20))) do
			assert.is_true(delay < 30)
		end
	end)

	it("begins anew", function ()
		local _, made = delays(0, 5)
		made:reset()
		assert.equal(0.5, made:delay())
		assert.equal(1, made:delay())
	end)
end)
