--- Pauses in work that goes from one answer of the engine to the next. The timers of a server's loop wait while any
-- descriptor is ready, and a fast engine would keep one ready for as long as the work lasts.
local loop_pauses = {}

-- Answers between two pauses: some 5 ms.
loop_pauses.ANSWERS = 8

--- Returns a function(action) to be called after each answer: it calls action() now, or when timers have run.
-- `later`: of the adapter.
function loop_pauses.new(later)
	local answers = 0
	return function (action)
		answers = answers + 1
		if answers < loop_pauses.ANSWERS then
			return action()
		end
		answers = 0
		later(0, "shared sessions", action)
	end
end

return loop_pauses
