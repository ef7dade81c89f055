-- The output of the commands, to any writer.
local columns = require "xmpp_tls_policy.commands.columns"
local command_service = require "support.command_service"
local json = require "dkjson"
local output = require "xmpp_tls_policy.commands.output"

local foreign = "a\27[2Jb\n\0\255"
local shown = "a\\027[2Jb\\010\\000\\255"

describe("output", function ()
	local server, writer

	local function out(width)
		server, writer = command_service.server {}, command_service.writer(width)
		return output.new { server = server, writer = writer }
	end

	it("prints lines of which no foreign text can break one", function ()
		out():print("%s, %d", foreign, 7)
		assert.equal(shown .. ", 7\n", writer.text)
	end)

	it("prints nothing foreign in tables", function ()
		out(80):table({ "One", "Two" }, { { foreign, "x" }, { nil, "y" } })
		local width = #shown
		assert.equal(("One%s  Two\n%s  x\n%s  y\n"):format((" "):rep(width - 3), shown, (" "):rep(width)), writer.text)
	end)

	it("fits tables into the width of the writer, or the one that was asked for", function ()
		local rows = { { ("w"):rep(100), "x" } }
		out(40):table({ "One", "Two" }, rows)
		local narrow = writer.text
		output.new { server = server, writer = writer, width = 60 }:table({ "One", "Two" }, rows)
		local function widest(text)
			local most = 0
			for line in text:gmatch "[^\n]+" do
				most = math.max(most, #line:gsub("\226\128\166", "."))
			end
			return most
		end
		assert.same({ 40, 60 }, { widest(narrow), widest(writer.text:sub(#narrow + 1)) })
	end)

	it("leaves tables as wide as they are where the writer has no width", function ()
		out(nil):table({ "One" }, { { ("w"):rep(1000) } })
		assert.equal("One\n" .. ("w"):rep(1000) .. "\n", writer.text)
	end)

	it("folds tables at a column", function ()
		local made = columns.new { "One", "Two" }
		made:add { ("w"):rep(60), ("x"):rep(60) }
		made:fit(80, 2)
		local parts = {}
		made:add_text(parts, { ("w"):rep(60), ("x"):rep(60) })
		out(80):table({ "One", "Two" }, { { ("w"):rep(60), ("x"):rep(60) } }, 2)
		assert.equal("One\n  Two\n" .. table.concat(parts), writer.text)
	end)

	it("writes whole lines, and lets the server go on between rows", function ()
		local rows = {}
		for index = 1, 1000 do
			rows[index] = { ("%d"):format(index) }
		end
		out(80):table({ "Number" }, rows)
		for _, text in ipairs(writer.calls) do
			assert.equal("\n", text:sub(-1))
		end
		assert.equal(2000, server.turn_count)
	end)

	describe("as JSON", function ()
		it("has a line for each field, and for each item of a list", function ()
			local result = { one = 1, two = {}, three = { a = "b" } }
			local message = out():json(result)
			assert.equal("6 lines of JSON", (out():json { list = server.list { { x = 1 }, { x = 2 } } }))
			assert.equal('{\n"list":[\n{"x":1},\n{"x":2}\n]\n}\n', writer.text)
			assert.equal("5 lines of JSON", message)
		end)

		it("can be read again", function ()
			local printer = out()
			printer:json { a = "x", empty = server.list {}, inner = { list = server.list {}, text = "\"" }, zero = 0 }
			assert.same({ a = "x", empty = {}, inner = { list = {}, text = "\"" }, zero = 0 }, json.decode(writer.text))
			assert.truthy(writer.text:find('"list":[]', 1, true))
			assert.truthy(writer.text:find('"empty":[\n]', 1, true))
		end)

		it("has nothing that a terminal or XML cannot hold, in keys and values", function ()
			local printer = out()
			printer:json { [foreign] = { [foreign] = server.list { foreign } } }
			assert.same({ [shown] = { [shown] = { shown } } }, json.decode(writer.text))
			assert.is_nil(writer.text:find "[%z\1-\9\11-\31\127-\255]")
		end)

		it("lets the server go on between items", function ()
			local printer, items = out(), {}
			for index = 1, 1000 do
				items[index] = index
			end
			printer:json { list = server.list(items) }
			assert.is_true(server.turn_count >= 1000)
		end)
	end)

	it("has times as the log of the server has them", function ()
		assert.equal(os.date("%Y-%m-%d %H:%M:%S", 1767225600), output.time(1767225600.9))
	end)
end)
