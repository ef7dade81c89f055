local table_text = require "xmpp_tls_policy.policy.table_text"

describe("the text of a table", function ()
	for text, value in pairs {
		["{}"] = {},
		[" \n{ } \n"] = {},
		["return{}"] = {},
		['return { ["old.example"] = { level = "must" } }'] = { ["old.example"] = { level = "must" } },
		["{ a = 'x', b = \"y\"; ['c'] = {}, }"] = { a = "x", b = "y", c = {} },
		['{ return_ = "1" }'] = { return_ = "1" },
		["-- first\n{ --[[ two\nlines ]] a --[==[ ]] ]==] = 'x' -- last\n} -- end"] = { a = "x" },
		['{ a = "it\'s", b = \'"\' }'] = { a = "it's", b = '"' },
		[ [[{ a = "\"\\\n\065\x42\'" }]] ] = { a = '"\\\nAB\'' },
		['{ ["b\195\188cher.test"] = {} }'] = { ["b\195\188cher.test"] = {} },
		['{ accounts = { "a@x.test", \'b@x.test\'; } }'] = { accounts = { "a@x.test", "b@x.test" } },
		['{ "x", a = "y", {}, "z" }'] = { "x", {}, "z", a = "y" },
	} do
		it("is read: " .. text, function ()
			assert.same(value, table_text.decode(text))
		end)
	end

	for text, message in pairs {
		[""] = "line 1: { is missing before a table",
		["{"] = 'line 1: a field is expected, as in level = "must" or ["old.example"] = {}',
		["{ a = 'x' } x"] = "line 1: the file goes on after the table",
		["{\n\ta = 'x'\n\tb = 'y'\n}"] = "line 3: a comma or } is missing after a field",
		["{ a = 'x', a = 'y' }"] = 'line 1: "a" is there twice',
		["{ a = 'x', ['a'] = {} }"] = 'line 1: "a" is there twice',
		["{ 'x' 'y' }"] = "line 1: a comma or } is missing after a field",
		["{ 'x' = 'y' }"] = "line 1: a comma or } is missing after a field",
		["{ x }"] = "line 1: = is missing after a key",
		["{ , }"] = 'line 1: a field is expected, as in level = "must" or ["old.example"] = {}',
		["{ [1] = 'x' }"] = "line 1: a key is a string in quotes",
		["{ a 'x' }"] = "line 1: = is missing after a key",
		["{ ['a' = 'x' }"] = "line 1: ] is missing after a key",
		["{ a = 1 }"] = "line 1: a value is a string in quotes or a table",
		["{ a = 'x\n' }"] = "line 1: the string has no end",
		["{ a = 'x"] = "line 1: the string has no end",
		["{ a = '\\q' }"] = "line 1: unknown escape in a string",
		["{ a = '\\256' }"] = "line 1: unknown escape in a string",
		["--[[ {}"] = "line 1: the comment has no end",
		["{ a = { b = { c = { d = {} } } } }"] = "line 1: tables are too deep",
		[("{ a = "):rep(100000)] = "line 1: tables are too deep",
		["\27Lua"] = "line 1: { is missing before a table",
		-- Code.
		["return os.exit()"] = "line 1: { is missing before a table",
		["{ a = f() }"] = "line 1: a value is a string in quotes or a table",
		["{ a = ('x'):rep(1e9) }"] = "line 1: a value is a string in quotes or a table",
		["{ a = 'x':rep(1e9) }"] = "line 1: a comma or } is missing after a field",
		["{ a = 'x' .. 'y' }"] = "line 1: a comma or } is missing after a field",
		["{ [('x'):rep(9)] = 'x' }"] = "line 1: a key is a string in quotes",
		["while true do end"] = "line 1: { is missing before a table",
		["{ a = function() end }"] = "line 1: a value is a string in quotes or a table",
		["{} while true do end"] = "line 1: the file goes on after the table",
	} do
		it("is refused: " .. text:sub(1, 40), function ()
			assert.same({ nil, message }, { table_text.decode(text) })
		end)
	end

	it("is read to its end or refused, wherever it is cut", function ()
		local text = '-- list\nreturn { ["10.0.0.0/8"] = { level = "must", accounts = { "a@b.test" }, '
			.. 'reason = \'a \\"b\\" \\065\' }; --[[ x ]] }'
		assert.is_table(table_text.decode(text))
		for length = 0, #text - 1 do
			local value, message = table_text.decode(text:sub(1, length))
			assert.is_nil(value)
			assert.matches("^line %d: ", message)
		end
	end)
end)
