-- Exit statuses that no command has for itself. 1 of the audit means that something is broken, so that no error may end
-- with it.
local command_line = require "xmpp_tls_policy.command_line"
local lfs = require "lfs"
local process = require "support.process"
local socket = require "socket"

describe("the exit status of the program", function ()
	local interpreter = lfs.symlinkattributes("/proc/self/exe").target

	-- Its output and exit status by a command for the shell, whose "$@" is the program. `first`: code that the
	-- interpreter runs first.
	local function run(command, first)
		return process.run { "env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, "LUA_INIT=" .. (first or ""),
			"bash", "-c", command, "bash", interpreter, "lua/bin/xmpp-tls-policy" }
	end

	it("is 74 if the result cannot be written", function ()
		local output, status = run '"$@" policy > /dev/full'
		assert.equal(74, status)
		assert.matches("the result could not be written: No space left on device", output)
	end)

	it("is 70 if a module cannot be loaded", function ()
		local output, status = run('"$@" policy',
			"package.preload['xmpp_tls_policy.text'] = function () error 'no text' end")
		assert.equal(70, status)
		assert.matches("^xmpp%-tls%-policy: .*no text", output)
	end)

	it("is 130 after Ctrl-C during an audit, without a traceback", function ()
		local server = assert(socket.bind("127.0.0.1", 0))
		server:settimeout(process.PATIENCE)
		local audit = process.spawn { "env", "LUA_PATH=" .. package.path, "LUA_CPATH=" .. package.cpath, interpreter,
			"lua/bin/xmpp-tls-policy", "audit", "a.test", "--service", "c2s", "--connect",
			("127.0.0.1:%d"):format(select(2, server:getsockname())) }
		local connection = assert(server:accept())
		assert(connection:receive(1))
		audit:signal "INT"
		assert.same({ "", 130 }, { audit:close() })
		connection:close()
		server:close()
	end)

	it("is 70 after an error of the program, which is to be reported", function ()
		local warned
		local status = command_line.run({ "policy" }, {
			write = function () error "inside \27[2J" end,
			warn = function (line) warned = line end,
		})
		assert.equal(70, status)
		assert.matches("^please report this error of the program: .*inside \\027%[2J\nstack traceback:", warned)
	end)
end)
