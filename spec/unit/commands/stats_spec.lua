-- The command `stats`: the counts of metrics.lua.
local command_service = require "support.command_service"

describe("the command stats", function ()
	local service

	before_each(function ()
		local list = {
			{ name = "handshakes_total", type = "counter", labels = { "role", "outcome" }, series = {
				{ values = { "c2s", "accepted" }, value = 3 }, { values = { "s2sin", "accepted" }, value = 0 },
			} },
			{ name = "refusals_total", type = "counter", labels = { "clause" }, series = {
				{ values = { "none" }, value = 0 },
			} },
			{ name = "store_hits_total", type = "counter", labels = {}, series = { { values = {}, value = 12 } } },
			{ name = "certificate_not_after_timestamp_seconds", type = "gauge", labels = { "host" }, series = {
				{ values = { "a.test" }, value = 1767225600.5 }, { values = { "b.test" }, value = math.huge },
			} },
		}
		service = {
			server = command_service.server {},
			metrics = {
				list = function ()
					return list
				end,
			},
		}
	end)

	it("prints a table for each metric with labels, and one for all others", function ()
		assert.same({
			"handshakes_total\nRole  Outcome   Value\nc2s   accepted  3\n\n"
				.. "certificate_not_after_timestamp_seconds\nHost    Value\na.test  2026-01-01 00:00\nb.test  never\n\n"
				.. "Metric            Value\nstore_hits_total  12\n",
			true, "4 metrics; tables with labels leave out counts of 0",
		}, { command_service.run(service, "stats") })
	end)

	it("has every series as JSON", function ()
		assert.same({
			{ metric = "handshakes_total", type = "counter", labels = { role = "c2s", outcome = "accepted" }, value = 3 },
			{ metric = "handshakes_total", type = "counter", labels = { role = "s2sin", outcome = "accepted" }, value = 0 },
			{ metric = "refusals_total", type = "counter", labels = { clause = "none" }, value = 0 },
			{ metric = "store_hits_total", type = "counter", labels = {}, value = 12 },
			{ metric = "certificate_not_after_timestamp_seconds", type = "gauge", labels = { host = "a.test" },
				value = 1767225600.5 },
			{ metric = "certificate_not_after_timestamp_seconds", type = "gauge", labels = { host = "b.test" } },
		}, command_service.json(service, "stats").metrics)
	end)
end)
