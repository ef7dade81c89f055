--- Long work of a coroutine in short turns, so that the server does other work in between.
local async = require "util.async"
local now = require "util.time".monotonic

local turns = {}

-- Seconds of work at a time.
local TURN = 0.01

-- The shell calls its commands inside pcall, and nothing can yield across that in Lua 5.1.
local can_yield = _VERSION ~= "Lua 5.1" or rawget(_G, "jit") ~= nil

--- Returns a function to be called between two steps of some work. If the turn is over, it returns
-- after the server's main loop has run. Where a coroutine cannot wait, the work is done in one turn.
function turns.new()
	if not can_yield or not async.ready() then
		return function () end
	end
	local ends = now() + TURN
	return function ()
		if now() >= ends then
			async.sleep(0)
			ends = now() + TURN
		end
	end
end

return turns
