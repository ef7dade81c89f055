--- Hands our metrics to Prosody's statistics, whenever Prosody collects them;
-- mod_http_openmetrics has a page of them.
local prosody_metrics = {}

local unpack = table.unpack or unpack

-- Removes the series of a metric that it no longer has. Prosody keeps each series for ever, and has
-- no function to remove one, so a series that cannot be removed becomes infinite.
local function remove_others(family, metric)
	local kept, gone = {}, {}
	for _, series in ipairs(metric.series) do
		kept[table.concat(series.values, "\0")] = true
	end
	for values in family:iter_metrics() do
		if not kept[table.concat(values, "\0")] then
			gone[#gone + 1] = values
		end
	end
	for _, values in ipairs(gone) do
		family:with_labels(unpack(values)):set(math.huge)
		if type(family.data) == "table" and family.data.remove then
			family.data:remove(unpack(values))
		end
	end
end

--- Registers the metrics (see metrics.lua) under the name of `module`, ours, until it is unloaded.
-- Prosody keeps a metric once it is registered, and ignores it if it has no statistics.
function prosody_metrics.serve(module, metrics)
	local registered = {}
	for _, metric in ipairs(metrics:list()) do
		registered[metric.base] = module:metric(metric.type, metric.base, metric.unit or "", metric.description,
			metric.labels)
	end
	module:hook("stats-update", function ()
		for _, metric in ipairs(metrics:list()) do
			local family = registered[metric.base]
			for _, series in ipairs(metric.series) do
				family:with_labels(unpack(series.values)):set(series.value)
			end
			if metric.type == "gauge" and metric.labels[1] and family.iter_metrics then
				remove_others(family, metric)
			end
		end
	end)
end

return prosody_metrics
