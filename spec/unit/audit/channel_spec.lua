local lfs = require "lfs"
local process = require "support.process"

describe("a channel", function ()
	local interpreter = lfs.symlinkattributes("/proc/self/exe").target

	-- What a process prints that runs this Lua code, and its exit status. This process and its children ignore
	-- SIGPIPE, which LuaSocket sees to.
	local function run(code)
		return process.run {
			"env", "--default-signal=PIPE", "LUA_PATH=./lua/?.lua;./lua/?/init.lua", "LUA_CPATH=" .. package.cpath,
			interpreter, "-e", code,
		}
	end

	it("survives that it writes twice to a server that has reset the connection", function ()
		assert.same({ "reset reset", 0 }, { run [[
			local channel = require "xmpp_tls_policy.audit.channel"
			local tasks = require "xmpp_tls_policy.audit.tasks"
			local uv = require "luv"
			tasks.run(function ()
				local server, deadline = assert(uv.new_tcp()), tasks.now() + 120
				local accepted, connection
				assert(server:bind("127.0.0.1", 0))
				tasks.all {
					function ()
						tasks.wait(function (resume)
							assert(server:listen(1, resume))
						end)
						accepted = uv.new_tcp()
						assert(server:accept(accepted))
					end,
					function ()
						connection = assert(channel.connect("127.0.0.1", server:getsockname().port, deadline))
					end,
				}
				tasks.wait(function (resume)
					server:close()
					accepted:close_reset(resume)
				end)
				local _, first = connection:write("first", deadline)
				local _, second = connection:write("second", deadline)
				io.write(first, " ", second)
				connection:close()
			end)
		]] })
	end)
end)
