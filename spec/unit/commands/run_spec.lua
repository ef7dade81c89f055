-- How a command is run, and the list of all commands.
local command_service = require "support.command_service"
local commands = require "xmpp_tls_policy.commands"
local files = require "support.files"
local run = require "xmpp_tls_policy.commands.run"
local shell_commands = require "support.shell_commands"

describe("a command", function ()
	local service, writer, called

	before_each(function ()
		service, writer = { server = command_service.server {} }, command_service.writer(80)
	end)

	local command = {
		name = "try", argument = "one", further = "two", third = "three",
		data = function (of, one, two, three)
			called = { of, one, two, three }
			if one == "fail" then
				return nil, "no\27"
			end
			return { one = one, two = two }
		end,
		show = function (out, of, one, two, three)
			called = { of, one, two, three }
			if one == "fail" then
				return nil, "no\27"
			end
			out:table({ "One" }, { { ("w"):rep(200) } })
			return true, "done\n"
		end,
	}

	it("prints for people, in the width of the writer", function ()
		assert.same({ true, "done\\010" }, { run(command, service, writer, "a", "b", "c") })
		assert.same({ service, "a", "b", "c" }, called)
		assert.equal(80, #writer.text:match "\n([^\n]*)\n":gsub("\226\128\166", "."))
	end)

	it("prints in the width that was asked for", function ()
		assert.is_true((run(command, service, writer, "a", "width=120")))
		assert.equal(120, #writer.text:match "\n([^\n]*)\n":gsub("\226\128\166", "."))
	end)

	it("prints JSON", function ()
		assert.same({ true, "4 lines of JSON" }, { run(command, service, writer, "a", "b", "c", "json") })
		assert.same({ service, "a", "b", "c" }, called)
		assert.equal('{\n"one":"a",\n"two":"b"\n}\n', writer.text)
	end)

	for _, arguments in ipairs { { "fail" }, { "fail", "json" } } do
		it("that fails prints nothing and says why: " .. table.concat(arguments, ", "), function ()
			assert.same({ nil, "no\\027" }, { run(command, service, writer, (table.unpack or unpack)(arguments)) })
			assert.equal("", writer.text)
		end)
	end

	it("is not run with wrong arguments", function ()
		called = nil
		local done, message = run(command, service, writer, "a", "b", "c", "\27")
		assert.is_nil(done)
		assert.matches("^try takes three arguments", message)
		assert.is_nil(called)
	end)
end)

describe("the list of commands", function ()
	it("is complete: one file for each", function ()
		local found = {}
		for _, command in ipairs(commands.list) do
			found[command.name] = command
		end
		for _, name in ipairs {
			"show", "cert", "status", "explain", "refused", "would_refuse", "forget_report", "peers", "accept", "forget",
			"stats", "what_if", "fleet", "digest",
		} do
			assert.equal(require("xmpp_tls_policy.commands." .. name), found[name])
			found[name] = nil
		end
		assert.same({}, found)
	end)

	it("is in the manual", function ()
		local expected = {}
		for _, command in ipairs(commands.list) do
			expected[("tlspolicy:%s(%s)"):format(command.name,
				table.concat({ command.argument, command.further, command.third }, ", "))] = true
		end
		assert.same(expected, shell_commands.of_manual())
	end)

	for _, command in ipairs(commands.list) do
		it("has all that a shell needs: " .. command.name, function ()
			assert.equal("function", type(command.data))
			assert.equal("function", type(command.show))
			assert.is_true(command.argument ~= nil or command.further == nil)
			-- One line, in the imperative.
			assert.matches("^[A-Z][^\n]+[^.\n]$", command.help)
		end)
	end

	it("knows no server", function ()
		for _, command in ipairs(commands.list) do
			local text = assert(files.read(("lua/xmpp_tls_policy/commands/%s.lua"):format(command.name)))
			assert.is_nil(text:match "require[ (]*\"[%w_.]*servers[%w_.]*\"")
		end
	end)
end)
