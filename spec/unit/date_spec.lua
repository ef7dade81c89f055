-- Days of the calendar, in UTC.
local date = require "xmpp_tls_policy.date"

describe("a day", function ()
	it("begins and ends as in the calendar", function ()
		assert.equal(0, date.begins "1970-01-01")
		assert.equal(951782400, date.begins "2000-02-29")
		assert.equal(951782400 + 86400, date.ends "2000-02-29")
		assert.is_nil(date.ends "2100-02-29")
		assert.is_nil(date.begins "1969-12-31")
	end)

	it("is the day of its own text, each for two hundred years", function ()
		for seconds = 0, 200 * 366 * 86400, 86400 do
			assert(date.begins(date.of(seconds)) == seconds, date.of(seconds))
		end
	end)
end)

describe("a span of time", function ()
	it("is shown in whole days", function ()
		for seconds, words in pairs {
			[0] = "less than a day", [date.DAY - 1] = "less than a day", [date.DAY] = "1 day", [2 * date.DAY - 1] = "1 day",
			[2 * date.DAY] = "2 days", [400.5 * date.DAY] = "400 days",
		} do
			assert.equal(words, date.span(seconds))
		end
	end)
end)
