--- Our metrics as text, for the textfile collector of Prometheus's node_exporter.
local text = require "xmpp_tls_policy.text"

local PREFIX = "xmpp_tls_policy_"

local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local function labels_of(metric, series)
	local parts = {}
	for index, label in ipairs(metric.labels) do
		parts[index] = ('%s="%s"'):format(label, (text.shown(tostring(series.values[index])):gsub('[\\"\n]', escapes)))
	end
	return parts[1] and "{" .. table.concat(parts, ",") .. "}" or ""
end

local function number(value)
	if value == math.huge then
		return "+Inf"
	end
	return ("%.0f"):format(value)
end

--- `list`: of metrics (see metrics.lua). Returns the text.
return function (list)
	local lines = {}
	for _, metric in ipairs(list) do
		local name = PREFIX .. metric.name
		lines[#lines + 1] = ("# HELP %s %s\n# TYPE %s %s\n"):format(name, metric.description, name, metric.type)
		for _, series in ipairs(metric.series) do
			lines[#lines + 1] = ("%s%s %s\n"):format(name, labels_of(metric, series), number(series.value))
		end
	end
	return table.concat(lines)
end
