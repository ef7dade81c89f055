--- Ctrl-C while an event loop runs. Lua's own way, an error, ends luv with a traceback and another status.
local interruption = {}

-- 128 and the number of SIGINT, as shells have it.
local INTERRUPTED = 130

--- From now on Ctrl-C calls `call` and ends the program. Returns a function that ends this. Needs luv.
function interruption.on(call)
	local signal = assert(require "luv".new_signal())
	assert(signal:start("sigint", function ()
		call()
		os.exit(INTERRUPTED)
	end))
	-- It is nothing that a loop waits for.
	signal:unref()
	return function ()
		-- Not closed: with a handle that is about to close, luv crashes when the Lua state is closed.
		signal:stop()
	end
end

return interruption
