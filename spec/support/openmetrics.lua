-- A server's page of metrics (OpenMetrics), read over HTTP.
local http = require "socket.http"

local openmetrics = {}

-- Prosody escapes quoted text twice; no text here needs escapes.
local function labels_of(text)
	local labels = {}
	for name, value in text:gmatch '([%a_]+)="([^"]*)"' do
		labels[name] = value
	end
	return labels
end

-- Lua does not read infinity as a number.
local function number_of(text)
	return text == "inf" and math.huge or assert(tonumber(text), text)
end

-- A page as families: { [name] = { type, unit, help, samples = list of { name, labels, value } } }.
-- A line that is no OpenMetrics raises an error.
function openmetrics.parse(page)
	local families = {}
	local current
	assert(page:sub(-6) == "# EOF\n", "no # EOF at the end")
	for line in page:gsub("# EOF\n$", ""):gmatch "[^\n]*" do
		local keyword, name, rest = line:match "^# (%u+) ([%a_][%w_]*) ?(.*)$"
		if keyword then
			families[name] = families[name] or { samples = {} }
			current = families[name]
			current[keyword:lower()] = rest
		elseif line ~= "" then
			local sample, labels, value = line:match "^([%a_][%w_]*)({?[^}]*}?) (%S+)$"
			assert(current and sample, line)
			current.samples[#current.samples + 1] = { name = sample, labels = labels_of(labels), value = number_of(value) }
		end
	end
	return families
end

-- The page at a port of this machine, as text and as families. Any answer but 200 is an error.
function openmetrics.read(port)
	local page, status, headers = http.request(("http://127.0.0.1:%d/metrics"):format(port))
	assert(status == 200, tostring(status))
	assert(headers["content-type"]:match "^application/openmetrics%-text;", headers["content-type"])
	return page, openmetrics.parse(page)
end

-- The samples of a family that are not 0, as { ["the labels' values, in their order"] = value }.
-- `suffix` of the name: "_total", or "" for a gauge; `all`: also those that are 0.
function openmetrics.values(family, name, order, all)
	local values = {}
	for _, sample in ipairs(family.samples) do
		if sample.name == name and (all or sample.value ~= 0) then
			local words = {}
			for index, label in ipairs(order) do
				words[index] = assert(sample.labels[label], label)
			end
			local key = table.concat(words, " ")
			assert(values[key] == nil, "twice: " .. key)
			values[key] = sample.value
		end
	end
	return values
end

-- The same page in Prometheus's older text format, which `promtool check metrics` reads. There the
-- name of a counter always ends in _total, and there is no _created.
function openmetrics.as_prometheus(page)
	local counters = {}
	for name in page:gmatch "# TYPE (%S+) counter" do
		counters[name] = true
	end
	return (page:gsub("[^\n]+\n", function (line)
		if line:find "^# UNIT" or line:match "^# EOF" or line:find "^[%w_]+_created[{ ]" then
			return ""
		end
		return line:gsub("^(# %u+ )([%w_]+)", function (keyword, name)
			return keyword .. name .. (counters[name] and "_total" or "")
		end)
	end))
end

return openmetrics
