--- The command `stats`: the counts of metrics.lua.

-- Gauges of times have "timestamp" in their names.
local function shown(metric, series)
	if series.value == math.huge then
		return "never"
	elseif metric.name:find("timestamp", 1, true) then
		return os.date("!%Y-%m-%d %H:%M", math.floor(series.value))
	end
	return (series.value % 1 == 0 and "%.0f" or "%.3f"):format(series.value)
end

local function title_of(label)
	return label:sub(1, 1):upper() .. label:sub(2)
end

-- A table of its own for a metric with labels. Series that are 0 are left out.
local function print_labelled(out, metric)
	local titles, rows = {}, {}
	for index, label in ipairs(metric.labels) do
		titles[index] = title_of(label)
	end
	titles[#titles + 1] = "Value"
	for _, series in ipairs(metric.series) do
		if series.value ~= 0 then
			local row = {}
			for index, value in ipairs(series.values) do
				row[index] = value
			end
			row[#titles] = shown(metric, series)
			rows[#rows + 1] = row
		end
	end
	if rows[1] then
		out:print("%s", metric.name)
		out:table(titles, rows)
		out:print ""
	end
end

--- See run.lua.
return {
	name = "stats",
	help = "Show counts of handshakes, refusals, resumptions and certificate changes since the server started "
		.. "(times in UTC)",
	data = function (service)
		local list = {}
		for _, metric in ipairs(service.metrics:list()) do
			for _, series in ipairs(metric.series) do
				local labels = {}
				for index, label in ipairs(metric.labels) do
					labels[label] = series.values[index]
				end
				list[#list + 1] = {
					metric = metric.name, type = metric.type, labels = labels,
					-- JSON has no infinity.
					value = series.value < math.huge and series.value or nil,
				}
			end
		end
		return { metrics = service.server.list(list) }
	end,
	show = function (out, service)
		local list, rows = service.metrics:list(), {}
		for _, metric in ipairs(list) do
			if metric.labels[1] then
				print_labelled(out, metric)
			elseif metric.series[1] then
				rows[#rows + 1] = { metric.name, shown(metric, metric.series[1]) }
			end
		end
		out:table({ "Metric", "Value" }, rows)
		return true, ("%d metrics; tables with labels leave out counts of 0"):format(#list)
	end,
}
