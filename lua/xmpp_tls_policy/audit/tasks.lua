--- Tasks on libuv's event loop. A task is a coroutine that waits for events with tasks.wait.
local uv = require "luv"

local tasks = {}

--- Seconds of a clock that only goes forward.
function tasks.now()
	uv.update_time()
	return uv.now() / 1000
end

-- The first error of a task. It ends the loop, and tasks.run raises it: luv would end the process.
local failure

-- Task -> function(message), which gets its error instead.
local guards = setmetatable({}, { __mode = "k" })

local function step(task, ...)
	local ok, message = coroutine.resume(task, ...)
	if not ok then
		message = debug.traceback(task, tostring(message))
		if guards[task] then
			guards[task](message)
		else
			failure = failure or message
		end
	end
end

--- Suspends the running task until start's argument is called, once, and returns the values that it
-- was called with. Later calls do nothing. `start` may call it at once.
function tasks.wait(start)
	local task = coroutine.running()
	local count, values, suspended, done = 0, nil, false, false
	start(function (...)
		if done then
			return
		end
		done, count, values = true, select("#", ...), { ... }
		if suspended then
			step(task, ...)
		end
	end)
	if done then
		return (unpack or table.unpack)(values, 1, count)
	end
	suspended = true
	return coroutine.yield()
end

--- Calls `call` after so many seconds. Returns a function that prevents it.
function tasks.after(seconds, call)
	local timer = uv.new_timer()
	local function stop()
		if timer and not timer:is_closing() then
			timer:close()
		end
		timer = nil
	end
	timer:start(math.max(0, math.floor(seconds * 1000)), 0, function ()
		stop()
		call()
	end)
	return stop
end

--- Suspends the running task for so many seconds.
function tasks.sleep(seconds)
	tasks.wait(function (resume)
		tasks.after(seconds, resume)
	end)
end

--- Runs a function as a task, beside the running one.
function tasks.start(call, ...)
	local task, running = coroutine.create(call), coroutine.running()
	guards[task] = running and guards[running]
	step(task, ...)
end

--- Calls a function. Returns true; or nil and a message with a traceback after an error in it, or in a task that it
-- started. (Lua 5.1 has no pcall around a function that waits.)
function tasks.guarded(call, ...)
	local arguments, count = { ... }, select("#", ...)
	return tasks.wait(function (resume)
		local task = coroutine.create(function ()
			call((unpack or table.unpack)(arguments, 1, count))
			resume(true)
		end)
		guards[task] = function (message)
			resume(nil, message)
		end
		step(task)
	end)
end

--- Runs functions as tasks, at most `at_once` of them at a time (nil: all). Returns when all are done.
function tasks.all(functions, at_once)
	local started, finished = 0, 0
	tasks.wait(function (resume)
		local start_next
		local function run()
			started = started + 1
			local call = functions[started]
			tasks.start(function ()
				call()
				finished = finished + 1
				start_next()
				if finished == #functions then
					resume()
				end
			end)
		end
		function start_next()
			if started < #functions then
				run()
			end
		end
		if #functions == 0 then
			resume()
		end
		for _ = 1, math.min(at_once or #functions, #functions) do
			start_next()
		end
	end)
end

-- The signal of a write to a connection that the other side has reset. It ends a process that does not catch it, and
-- libuv does not keep it away. Kept for the whole process, as to give it back would undo what others do with it.
local broken_pipes

local function catch_broken_pipes()
	if not broken_pipes then
		broken_pipes = assert(uv.new_signal())
		assert(broken_pipes:start("sigpipe", function () end))
		-- It is nothing to wait for.
		broken_pipes:unref()
	end
end

--- Runs `main` as a task, and the loop until it is done. Returns what `main` returned. An error in any
-- task is raised here.
function tasks.run(main)
	local results, count
	local function keep(...)
		results, count = { ... }, select("#", ...)
	end
	failure = nil
	catch_broken_pipes()
	tasks.start(function ()
		keep(main())
	end)
	-- Not uv.stop(): outside of uv.run() it would end the next uv.run().
	while not results and not failure and uv.run "once" do end
	-- Frees the handles that were closed last: with such handles, luv crashes when the Lua state is closed.
	uv.run "nowait"
	if failure then
		error(failure, 0)
	end
	assert(results, "nothing is left to wait for, but the task is not done")
	return (unpack or table.unpack)(results, 1, count)
end

return tasks
