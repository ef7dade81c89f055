local adapter = require "support.adapter"
local adopted_contexts = require "xmpp_tls_policy.contexts.adopted_contexts"
local metrics = require "xmpp_tls_policy.metrics"
local prosody_metrics = require "xmpp_tls_policy.servers.prosody.metrics"

describe("Prosody's statistics", function ()
	it("get all metrics, each time that they are collected", function ()
		local made = metrics.new { adopted = adopted_contexts.new(), server = adapter.new() }
		local registered, values, collect = {}, {}, nil
		local module = {}
		function module.metric(_, kind, name, unit, _, labels)
			registered[#registered + 1] = ("%s %s %s"):format(kind, name, unit)
			return { with_labels = function (_, ...)
				local given = { ... }
				assert.equal(#labels, #given)
				local key = name .. " " .. table.concat(given, " ")
				return { set = function (_, value) values[key] = value end }
			end }
		end
		function module.hook(_, event, handler)
			assert.equal("stats-update", event)
			collect = handler
		end
		prosody_metrics.serve(module, made)
		local expected = {}
		for index, metric in ipairs(made:list()) do
			expected[index] = ("%s %s %s"):format(metric.type, metric.base, metric.unit or "")
		end
		assert.same(expected, registered)
		assert.same({}, values)
		for count = 1, 2 do
			made:lost_handshakes(1)
			collect()
			assert.equal(count, values["handshakes none none none none none handshake_failed"])
		end
		assert.equal(0, values["session_store_hits "])
	end)

	-- A family of Prosody's, as util/openmetrics.lua makes it; one whose series cannot be removed.
	for _, can_remove in ipairs { true, false } do
		it("lose the series that a metric no longer has, " .. tostring(can_remove), function ()
			local values, collect = {}, nil
			local module = {}
			function module.metric()
				local family = {}
				function family.with_labels(_, ...)
					local key = table.concat({ ... }, " ")
					return { set = function (_, value) values[key] = value end }
				end
				function family.iter_metrics()
					local keys = {}
					for key in pairs(values) do
						keys[#keys + 1] = { key:match "^(%S+) (%S+)$" }
					end
					local index = 0
					return function ()
						index = index + 1
						return keys[index]
					end
				end
				family.data = can_remove and { remove = function (_, ...) values[table.concat({ ... }, " ")] = nil end }
				return family
			end
			function module.hook(_, _, handler)
				collect = handler
			end
			local series
			prosody_metrics.serve(module, { list = function ()
				return { {
					type = "gauge", base = "ends", description = "", labels = { "host", "service" }, series = series or {},
				} }
			end })
			series = { { values = { "a.test", "c2s" }, value = 1 }, { values = { "b.test", "c2s" }, value = 2 } }
			collect()
			assert.same({ ["a.test c2s"] = 1, ["b.test c2s"] = 2 }, values)
			table.remove(series, 1)
			collect()
			assert.same({ ["a.test c2s"] = not can_remove and math.huge or nil, ["b.test c2s"] = 2 }, values)
		end)
	end
end)
