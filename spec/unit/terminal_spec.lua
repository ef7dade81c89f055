-- The terminal of the command line, with a real one: script(1) makes it.
local process = require "support.process"

describe("the terminal of the command line", function ()
	local code = "local t = require 'xmpp_tls_policy.command_line.terminal'.of 'stdout' "
		.. "io.write(t and ('columns %d, colours %s'):format(t.columns, tostring(t.colours)) or 'none')"
	local interpreter = require "lfs".symlinkattributes("/proc/self/exe").target
	local command = ("LUA_PATH='./lua/?.lua;./lua/?/init.lua' LUA_CPATH='%s' %s -e \"%s\""):format(
		package.cpath, interpreter, code)

	-- What the code prints on a terminal with 97 columns, with these variables.
	local function on_terminal(variables)
		local words = { "env", "-u", "NO_COLOR", "-u", "COLUMNS", "TERM=xterm" }
		for _, variable in ipairs(variables) do
			words[#words + 1] = variable
		end
		for _, word in ipairs { "script", "-qec", "stty cols 97; " .. command, "/dev/null" } do
			words[#words + 1] = word
		end
		return (process.check(words))
	end

	it("has columns and colours", function ()
		assert.matches("columns 97, colours true", on_terminal {})
		assert.matches("columns 60, colours true", on_terminal { "COLUMNS=60" })
	end)

	it("has no colours with NO_COLOR, unless that is empty, or if it is dumb", function ()
		assert.matches("colours false", on_terminal { "NO_COLOR=1" })
		assert.matches("colours true", on_terminal { "NO_COLOR=" })
		assert.matches("colours false", on_terminal { "TERM=dumb" })
	end)

	it("is none if the output goes to a pipe", function ()
		assert.equal("none", (process.check { "sh", "-c", command .. " | cat" }))
	end)
end)
