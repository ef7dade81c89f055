--- Time of tasks that a spec skips: a wait for what never comes then ends at once, however long it is, and a slow
-- machine ends no other.
local tasks = require "xmpp_tls_policy.audit.tasks"

local skipped_time = {}

--- From now on tasks.now and tasks.after follow the skipped time, too. Returns { skip(seconds), stop }.
function skipped_time.start()
	local now, after = tasks.now, tasks.after
	local skipped, waiting = 0, {}

	function tasks.now()
		return now() + skipped
	end

	function tasks.after(seconds, call)
		local timer = { ends = tasks.now() + seconds }
		function timer.stop()
			waiting[timer] = nil
			timer.stop_waiting()
		end
		function timer.fire()
			if waiting[timer] then
				timer.stop()
				call()
			end
		end
		timer.stop_waiting, waiting[timer] = after(seconds, timer.fire), true
		return timer.stop
	end

	local function skip(seconds)
		skipped = skipped + seconds
		local over = {}
		for timer in pairs(waiting) do
			over[#over + 1] = timer.ends <= tasks.now() and timer or nil
		end
		table.sort(over, function (one, other) return one.ends < other.ends end)
		for _, timer in ipairs(over) do
			after(0, timer.fire)
		end
	end

	return { skip = skip, stop = function ()
		tasks.now, tasks.after = now, after
	end }
end

return skipped_time
