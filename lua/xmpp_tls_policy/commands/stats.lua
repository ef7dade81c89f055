--- What metrics.lua counts, in the admin shell; see shell.lua.
local array = require "util.array"
local metrics = require "xmpp_tls_policy.metrics"
local shell = require "xmpp_tls_policy.servers.prosody.shell"

local function at(seconds)
	return os.date("!%Y-%m-%d %H:%M", seconds)
end

-- JSON has no infinity, and a shell no use for seconds since 1970.
local function shown(metric, series)
	if series.value == math.huge then
		return "never"
	end
	return metric.name:find("timestamp", 1, true) and at(series.value) or ("%.0f"):format(series.value)
end

local function data()
	local list = array {}
	for _, metric in ipairs(metrics.list()) do
		for _, series in ipairs(metric.series) do
			local labels = {}
			for index, label in ipairs(metric.labels) do
				labels[label] = series.values[index]
			end
			list:push {
				metric = metric.name, type = metric.type, labels = labels,
				value = series.value < math.huge and series.value or nil,
			}
		end
	end
	return { metrics = list }
end

local function has_labels(metric)
	return metric.labels[1] ~= nil
end

-- One table for what has labels of its own.
local function show_labelled(session, metric)
	local titles, rows = {}, {}
	for index, label in ipairs(metric.labels) do
		titles[index] = label:sub(1, 1):upper() .. label:sub(2)
	end
	titles[#titles + 1] = "Value"
	for _, series in ipairs(metric.series) do
		local row = {}
		for index, value in ipairs(series.values) do
			row[index] = value
		end
		row[#row + 1] = shown(metric, series)
		rows[#rows + 1] = series.value ~= 0 and row or nil
	end
	if rows[1] then
		session.print(metric.name)
		shell.print_table(session, titles, rows)
		session.print ""
	end
end

local function show(session)
	local list, rows = metrics.list(), {}
	for _, metric in ipairs(list) do
		if has_labels(metric) then
			show_labelled(session, metric)
		else
			rows[#rows + 1] = { metric.name, shown(metric, metric.series[1]) }
		end
	end
	shell.print_table(session, { "Metric", "Value" }, rows)
	return true, ("%d metrics; what is 0 is shown in the last table only"):format(#list)
end

return {
	{
		name = "stats",
		help = "Show counts of handshakes, refusals, resumption and certificates since the server started (UTC)",
		data = data,
		show = show,
	},
}
