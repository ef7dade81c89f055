--- Hands our metrics to Prosody's statistics, whenever Prosody collects them;
-- mod_http_openmetrics has a page of them.
local prosody_metrics = {}

local unpack = table.unpack or unpack

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
			for _, series in ipairs(metric.series) do
				registered[metric.base]:with_labels(unpack(series.values)):set(series.value)
			end
		end
	end)
end

return prosody_metrics
