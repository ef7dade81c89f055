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
end)
