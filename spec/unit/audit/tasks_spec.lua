local process = require "support.process"
local tasks = require "xmpp_tls_policy.audit.tasks"

describe("tasks", function ()
	it("run again after one that needed no loop", function ()
		assert.equal("first", tasks.run(function () return "first" end))
		assert.same({ 4, nil, nil, "fourth", nil }, { select("#", tasks.run(function () return nil, nil, "fourth", nil end)),
			tasks.run(function () return nil, nil, "fourth", nil end) })
		assert.equal("second", tasks.run(function ()
			tasks.sleep(0.001)
			return "second"
		end))
	end)

	it("raise an error where they are run", function ()
		assert.error_matches(function ()
			tasks.run(function ()
				tasks.start(function ()
					tasks.sleep(0.001)
					error "inside"
				end)
				tasks.sleep(10)
			end)
		end, "inside")
	end)

	-- In a process of its own: another spec may have left something to wait for.
	it("say that nothing is left to wait for", function ()
		local interpreter = require "lfs".symlinkattributes("/proc/self/exe").target
		local output = process.run { "env", "LUA_PATH=./lua/?.lua;./lua/?/init.lua", "LUA_CPATH=" .. package.cpath,
			interpreter, "-e", "local tasks = require 'xmpp_tls_policy.audit.tasks' "
			.. "print(pcall(tasks.run, function () tasks.wait(function () end) end))" }
		assert.matches("^false\t.*nothing is left to wait for", output)
	end)

	it("guard a call against errors in it, and in the tasks that it starts", function ()
		tasks.run(function ()
			assert.is_true(tasks.guarded(function (a, b)
				tasks.sleep(0.001)
				assert.same({ 1, nil }, { a, b })
			end, 1, nil))
			for _, call in ipairs {
				function () error "inside" end,
				function () tasks.sleep(0.001) error "inside" end,
				function () tasks.start(function () error "inside" end) end,
				function () tasks.all { function () tasks.sleep(0.001) error "inside" end } end,
			} do
				local done, message = tasks.guarded(call)
				assert.is_nil(done)
				assert.matches("inside", message)
				assert.matches("stack traceback", message)
			end
		end)
	end)
end)
