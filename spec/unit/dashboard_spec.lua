-- doc/grafana.json is a dashboard that Grafana can import, on metrics that there are. Its queries on a real
-- Prometheus: spec/server/dashboard_spec.lua.
local files = require "support.files"
local json = require "dkjson"
local metrics = require "xmpp_tls_policy.metrics"

local PREFIX = "prosody_mod_xmpp_tls_policy__"
local COLUMNS = 24 -- of Grafana's grid
local KINDS = { row = true, timeseries = true, stat = true, bargauge = true }

describe("doc/grafana.json", function ()
	local dashboard = assert(json.decode((assert(files.read "doc/grafana.json"))))

	-- { [metric] = set of labels }
	local known = {}
	for name, labels in metrics.documentation():gmatch "\n| `([%w_]+)` | %l+ | ([^|]+) |" do
		known[name] = { instance = true, job = true }
		for label in labels:gmatch "[%l_]+" do
			known[name][label] = true
		end
	end

	local function each_query(visit)
		for _, panel in ipairs(dashboard.panels) do
			for _, target in ipairs(panel.targets or {}) do
				visit(panel, target)
			end
		end
	end

	it("has what an import needs", function ()
		assert.equal("xmpp-tls-policy", dashboard.uid)
		assert.equal("string", type(dashboard.title))
		assert.equal("number", type(dashboard.schemaVersion))
		for _, variable in ipairs(dashboard.templating.list) do
			assert.truthy(({ datasource = true, query = true })[variable.type])
			assert.equal("string", type(variable.current.value))
		end
		local ids = {}
		for _, panel in ipairs(dashboard.panels) do
			assert.is_nil(ids[panel.id])
			ids[panel.id] = true
			assert.truthy(KINDS[panel.type], panel.type)
			assert.is_true(panel.type == "row" or panel.targets[1] ~= nil, panel.title)
		end
	end)

	it("has panels that do not overlap", function ()
		local taken = {}
		for _, panel in ipairs(dashboard.panels) do
			local place = panel.gridPos
			assert.is_true(place.x + place.w <= COLUMNS, panel.title)
			for x = place.x, place.x + place.w - 1 do
				for y = place.y, place.y + place.h - 1 do
					local key = x .. " " .. y
					assert.is_nil(taken[key], ("%s lies on %s"):format(panel.title, tostring(taken[key])))
					taken[key] = panel.title
				end
			end
		end
	end)

	it("asks for metrics and labels that there are", function ()
		local count = 0
		each_query(function (panel, target)
			for name, labels in target.expr:gmatch(PREFIX .. "([%w_]+)(%b{})") do
				count = count + 1
				assert.truthy(known[name], panel.title .. ": " .. name)
				for label in labels:gmatch "([%l_]+)=" do
					assert.is_true(known[name][label], ("%s: %s has no label %s"):format(panel.title, name, label))
				end
				for list in target.expr:gmatch "by (%b())" do
					for label in list:gmatch "[%l_]+" do
						assert.is_true(known[name][label], ("%s: %s has no label %s"):format(panel.title, name, label))
					end
				end
			end
		end)
		assert.is_true(count > 10)
	end)

	it("names series by labels that the query keeps", function ()
		each_query(function (panel, target)
			for label in target.legendFormat:gmatch "{{([%l_]+)}}" do
				local is_kept = false
				for list in target.expr:gmatch "by (%b())" do
					is_kept = is_kept or list:find("%f[%l_]" .. label .. "%f[^%l_]") ~= nil
				end
				assert.is_true(is_kept, panel.title .. ": " .. label)
			end
		end)
	end)

	it("shows all jobs of the data source that is chosen", function ()
		each_query(function (panel, target)
			assert.equal("${datasource}", target.datasource.uid)
			for labels in target.expr:gmatch(PREFIX .. "[%w_]+(%b{})") do
				assert.truthy(labels:find('job=~"$job"', 1, true), panel.title)
			end
		end)
	end)
end)
