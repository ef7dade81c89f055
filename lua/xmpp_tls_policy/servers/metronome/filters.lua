--- Metronome's filters of a session's elements. A filter with a lower priority is called before others, and the
-- hooks are called again for each attempt of a session to connect: here priorities are those of contract's
-- other servers, and a filter is added once.
local filters = require "util.filters"

local ours = {}

--- Adds callback(element, session) -> element or nil for a kind of data, such as "stanzas/in". One with a higher
-- priority is called before others.
function ours.add(session, kind, callback, priority)
	local present = session.filters and session.filters[kind]
	if not present or not present[callback] then
		filters.add_filter(session, kind, callback, -(priority or 0))
	end
end

ours.remove = filters.remove_filter

--- hook(session) is called for each new session, and again for each attempt to connect.
ours.add_hook = filters.add_filter_hook
ours.remove_hook = filters.remove_filter_hook

local function drop() end

--- Returns a function after which nothing more is written on a session, whoever still holds its functions:
-- Metronome sends the features that it has made even if the stream was closed meanwhile.
function ours.silencer(session)
	local of_session = session.filters
	return function ()
		for _, kind in ipairs(of_session and { "stanzas/out", "bytes/out" } or {}) do
			of_session[kind] = { drop, [drop] = 0 }
		end
	end
end

return ours
