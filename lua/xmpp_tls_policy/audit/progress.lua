--- The progress of an audit as one line of a terminal, which is drawn again and again.
local text = require "xmpp_tls_policy.text"

local progress = {}

-- Columns of the bar.
local BAR = 20
-- Seconds between two drawings, so that a terminal keeps up.
local PAUSE = 0.1

local function bar(share)
	local filled = math.floor(share * BAR + 0.5)
	return ("[%s%s]"):format(("#"):rep(filled), ("."):rep(BAR - filled))
end

-- The part of a domain that is done: of its endpoints' probes.
local function share_of(entry, probes)
	return entry.endpoints > 0 and math.min(entry.probed / (entry.endpoints * probes), 1) or 0
end

--- `domains`: their number; `probes`: the number of probes of an endpoint; `draw`: function(text), which gets what a
-- terminal shows in place of the line before; `columns`: of the terminal; `now`: a clock, in seconds. Returns the
-- `progress` for audit.run, and a function that removes the line.
function progress.new(domains, probes, draw, columns, now)
	local done, under_way, drawn_at, shown = 0, {}, nil, false

	local function show(name)
		if drawn_at and now() - drawn_at < PAUSE then
			return
		end
		local sum = done
		for _, entry in pairs(under_way) do
			sum = sum + share_of(entry, probes)
		end
		local line = ("%s %3d %%  %d of %s  %s"):format(bar(sum / domains), math.floor(100 * sum / domains), done,
			text.counted(domains, "domain"), text.shown(name))
		drawn_at, shown = now(), true
		draw("\r\27[K" .. text.wrapped(line, math.max(columns - 1, 40), "")[1])
	end

	local function remove()
		if shown then
			draw "\r\27[K"
		end
		shown = false
	end

	return {
		begins = function (domain, endpoints)
			under_way[domain] = { endpoints = endpoints, probed = 0 }
			show(domain)
		end,
		probed = function (point)
			local entry = under_way[point.domain]
			entry.probed = entry.probed + 1
			show(point.domain)
		end,
		ends = function (result)
			under_way[result.domain], done = nil, done + 1
			show(result.domain)
		end,
	}, remove
end

return progress
