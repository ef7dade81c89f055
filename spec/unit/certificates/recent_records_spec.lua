local recent_records = require "xmpp_tls_policy.certificates.recent_records"

describe("recent records", function ()
	local recent

	before_each(function ()
		recent = recent_records.new()
	end)

	it("are kept for a minute, by a clock that may be set back", function ()
		local record = {}
		recent:put("a.test", record, 1000)
		for now, expected in pairs { [1000] = record, [1059] = record, [1060] = false, [940] = false, [941] = record } do
			assert.equal(expected or nil, recent:get("a.test", now))
		end
		assert.is_nil(recent:get("b.test", 1000))
	end)

	it("are gone when they are dropped, in either generation", function ()
		recent:put("a.test", {}, 0)
		recent:drop "a.test"
		assert.is_nil(recent:get("a.test", 0))
		recent:put("a.test", {}, 0)
		for number = 1, 100 do
			recent:put(number .. ".test", {}, 0)
		end
		assert.is_table(recent:get("a.test", 0))
		recent:drop "a.test"
		assert.is_nil(recent:get("a.test", 0))
	end)

	it("are replaced by newer ones of a domain", function ()
		recent:put("a.test", { 1 }, 0)
		for number = 1, 100 do
			recent:put(number .. ".test", {}, 0)
		end
		recent:put("a.test", { 2 }, 0)
		assert.same({ 2 }, recent:get("a.test", 0))
	end)

	it("are bounded, and the latest stay", function ()
		for number = 1, 1000 do
			recent:put(number .. ".test", {}, 0)
		end
		local count = 0
		for number = 1, 1000 do
			count = count + (recent:get(number .. ".test", 0) and 1 or 0)
		end
		assert.is_true(count >= 100 and count <= 200, count)
		for number = 901, 1000 do
			assert.is_table(recent:get(number .. ".test", 0))
		end
	end)
end)
