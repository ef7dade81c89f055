-- Measures the event loop of net.server_epoll: how long one event takes, and how long the loop goes from event to
-- event without its timers, which run only when no descriptor is ready. As CPU time of the process, so that other
-- processes do not count. In the shell: > require"core.modulemanager".get_module("*", "test_loop").begin()
-- luacheck: globals module begin longest
module:set_global()

local methods = debug.getmetatable(require "util.poll".new()).__index
local wait = methods.wait

local event_began, busy_since
local longest_event, longest_busy = 0, 0

local function take(...)
	local now = os.clock()
	event_began = now
	if (...) then
		busy_since = busy_since or now
	else
		busy_since = nil
	end
	return ...
end

function methods.wait(...)
	local now = os.clock()
	longest_event = math.max(longest_event, event_began and now - event_began or 0)
	longest_busy = math.max(longest_busy, busy_since and now - busy_since or 0)
	return take(wait(...))
end

function begin()
	longest_event, longest_busy = 0, 0
	event_began, busy_since = nil, nil
end

-- Milliseconds of CPU since begin() or the start: of an event, and without timers.
function longest()
	return ("event %.3f, without timers %.3f"):format(longest_event * 1000, longest_busy * 1000)
end

function module.unload()
	methods.wait = wait
end
