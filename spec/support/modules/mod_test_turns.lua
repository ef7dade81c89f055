-- Measures the longest turn of the event loop, as CPU time of the process, so that other processes do
-- not count. In the shell: > require"core.modulemanager".get_module("*", "test_turns").begin()
-- luacheck: globals module begin longest_turn
module:set_global()

local last, longest = os.clock(), 0

-- Every turn that takes a millisecond or more lies between two calls.
module:add_timer(0.001, function ()
	local now = os.clock()
	longest = math.max(longest, now - last)
	last = now
	return 0.001
end)

function begin()
	last, longest = os.clock(), 0
end

-- Seconds, since begin().
function longest_turn()
	return longest
end
