-- The command `xmpp-tls-policy` before any of its commands.
local command_line = require "xmpp_tls_policy.command_line"

describe("the command xmpp-tls-policy", function ()
	local warned

	local function run(...)
		warned = {}
		return command_line.run({ ... }, {
			write = error,
			warn = function (text) warned[#warned + 1] = text end,
		})
	end

	it("says what was wrong, and how it is used", function ()
		assert.equal(64, run "nonsense")
		assert.matches("unknown command 'nonsense'", warned[1])
		assert.matches("Usage: xmpp%-tls%-policy", warned[1])
	end)

	it("says under which Lua it cannot start, and why, in one line", function ()
		local name = "xmpp_tls_policy.command_line.audit"
		local loaded, preloaded = package.loaded[name], package.preload[name]
		package.loaded[name] = nil
		package.preload[name] = function ()
			error("module 'luv' not found:\n\tno file 'luv.so'", 0)
		end
		local status = run "policy"
		package.loaded[name], package.preload[name] = loaded, preloaded
		assert.equal(64, status)
		assert.equal(("it cannot start under %s (module 'luv' not found). Start it with the Lua for which it was built, "
			.. "such as lua5.4"):format(_VERSION), warned[1])
	end)
end)
