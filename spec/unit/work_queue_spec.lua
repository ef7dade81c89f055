local adapter = require "support.adapter"
local work_queue = require "xmpp_tls_policy.work_queue"

describe("a queue of work", function ()
	local server, queue, done

	before_each(function ()
		server = adapter.new()
		queue = work_queue.new { server = server }
		done = {}
	end)

	-- A piece of work of some steps, each of which takes some seconds.
	local function work(name, steps, seconds)
		return function ()
			steps = steps - 1
			server.time = server.time + seconds
			done[#done + 1] = name
			return steps > 0
		end
	end

	it("does nothing in the turn in which work is added", function ()
		queue:add("a", work("a", 1, 0))
		assert.same({}, done)
		assert.is_false(queue:is_empty())
		assert.equal(1, server.run_timers())
		assert.same({ "a" }, done)
		assert.is_true(queue:is_empty())
	end)

	it("lets the server work for a pause between two turns, if it was told to", function ()
		local pauses = {}
		server.later = function (seconds, _, action)
			pauses[#pauses + 1] = seconds
			server.timers[#server.timers + 1] = { "", action }
		end
		queue = work_queue.new { server = server, pause = 0.09 }
		queue:add("a", work("a", 3, 0.01))
		server.run_timers()
		assert.same({ 0.09, 0.09, 0.09 }, pauses)
	end)

	it("takes turns of 20 ms at most with steps of 10 ms at most", function ()
		for _, seconds in ipairs { 0.0001, 0.003, 0.0099 } do
			queue:add("a", work("a", 30, seconds))
			queue:add("b", work("b", 30, seconds))
			while server.timers[1] do
				local began, before = server.time, #done
				table.remove(server.timers, 1)[2]()
				assert.is_true(server.time - began <= 0.02)
				assert.is_true(#done > before)
			end
			assert.equal(60, #done)
			done = {}
		end
	end)

	it("begins at once, and then leaves at least two thirds of the time to others", function ()
		queue:add("a", work("a", 50, 0.0099))
		assert.equal(0, server.timers[1][3])
		local worked, paused = 0, 0
		while server.timers[1] do
			local timer, began = table.remove(server.timers, 1), server.time
			paused = paused + timer[3]
			timer[2]()
			worked = worked + server.time - began
		end
		assert.equal(50, #done)
		assert.is_true(worked <= (worked + paused) / 3 + 0.02, ("worked %g s of %g"):format(worked, worked + paused))
	end)

	it("does work in the order in which it came", function ()
		for _, name in ipairs { "a", "b", "c" } do
			queue:add(name, work(name, 2, 0.02))
		end
		assert.equal(6, server.run_timers())
		assert.same({ "a", "a", "b", "b", "c", "c" }, done)
	end)

	it("replaces work that waits by work of the same name", function ()
		queue:add("a", work("old", 2, 0))
		queue:add("a", work("new", 1, 0))
		server.run_timers()
		assert.same({ "new" }, done)
	end)

	it("goes on with work that a step of it has added", function ()
		queue:add("a", function ()
			queue:add("a", work("second", 1, 0))
			queue:add("b", work("third", 1, 0))
		end)
		server.run_timers()
		assert.same({ "second", "third" }, done)
	end)

	it("logs work that fails, and goes on with the next", function ()
		queue:add("a", function ()
			error "injected"
		end)
		queue:add("b", work("b", 1, 0))
		server.run_timers()
		assert.same({ "b" }, done)
		assert.equal("Internal error of the TLS policy in a", server.failures[1][1])
		assert.matches("injected", server.failures[1][2])
		assert.is_true(queue:is_empty())
	end)
end)
