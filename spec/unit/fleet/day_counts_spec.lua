local day_counts = require "xmpp_tls_policy.fleet.day_counts"

describe("counts of the last 30 days", function ()
	-- Any days against a plain list of all that was counted.
	it("sum what was counted in 30 days, today among them", function ()
		local seed = 7
		local function random(most)
			seed = (seed * 16807) % 2147483647
			return seed % most
		end
		for _ = 1, 50 do
			local today = 20000
			local counts, all = day_counts.new(today), {}
			for _ = 1, 200 do
				today = today + (random(3) == 0 and random(40) or 0)
				day_counts.add(counts, today)
				all[#all + 1] = today
				assert.is_table(day_counts.from_store(day_counts.to_store(counts)))
				local asked, sum = today + random(5), 0
				for _, day in ipairs(all) do
					sum = sum + (asked - day < 30 and 1 or 0)
				end
				assert.equal(sum, day_counts.sum(counts, asked))
			end
		end
	end)

	it("are merged", function ()
		for _, days in ipairs { { 100, 100 }, { 100, 103 }, { 103, 100 }, { 100, 140 }, { 140, 100 } } do
			local one, other = day_counts.new(days[1]), day_counts.new(days[2])
			for index, counts in ipairs { one, other } do
				for day = days[index] - 2, days[index] do
					counts[1] = math.min(counts[1], day)
					day_counts.add(counts, day)
				end
			end
			for today = 100, 150 do
				local expected = day_counts.sum(one, math.max(today, days[2])) + day_counts.sum(other, math.max(today, days[1]))
				local merged = day_counts.from_store(day_counts.to_store(one))
				day_counts.merge(merged, other)
				assert.equal(expected, day_counts.sum(merged, today))
			end
		end
	end)

	it("count for the last day after a clock was set back", function ()
		local counts = day_counts.new(100)
		day_counts.add(counts, 100)
		day_counts.add(counts, 90)
		assert.same({ day = 100, count = 2, past = "" }, day_counts.to_store(counts))
		assert.equal(2, day_counts.sum(counts, 90))
	end)

	it("have a bound", function ()
		local counts = assert(day_counts.from_store { day = 1, count = 9999999, past = "" })
		day_counts.add(counts, 1)
		assert.same({ 1, 9999999 }, { day_counts.last(counts) })
		for day = 2, 60 do
			day_counts.add(counts, day)
			counts = assert(day_counts.from_store { day = day, count = 9999999, past = day_counts.to_store(counts).past })
		end
		assert.is_true(#day_counts.to_store(counts).past <= 240)
	end)

	it("are told from damaged ones", function ()
		local good = { day = 20000, count = 3, past = "1 0 2" }
		assert.same(good, day_counts.to_store(day_counts.from_store(good)))
		for field, values in pairs {
			day = { false, -1, 1.5, "20000", 1e9 }, count = { false, -1, 0.5, 1e7, "3" },
			past = { false, 3, "1,2", "12345678", ("1 "):rep(200) },
		} do
			for _, value in ipairs(values) do
				local damaged = { day = good.day, count = good.count, past = good.past }
				damaged[field] = value
				assert.is_nil(day_counts.from_store(damaged), field .. " " .. tostring(value))
			end
		end
		assert.is_nil(day_counts.from_store "3")
	end)
end)
