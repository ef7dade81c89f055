-- The files of the core call each other in one direction only.
local files = require "support.files"
local lfs = require "lfs"

local MOST_LINES = 420

-- Text without comments, strings and preprocessor lines: names in them are no calls.
local function code_of(text)
	return (text:gsub("/%*.-%*/", " "):gsub('\\.', "  "):gsub('"[^"\n]*"', '""'):gsub("'[^'\n]*'", "0")
		:gsub("\n%s*#[^\n]*", "\n"))
end

-- Names that a text uses, as a set.
local function words_of(code)
	local words = {}
	for word in code:gmatch "[%a_][%w_]*" do
		words[word] = true
	end
	return words
end

-- Functions and variables that a file defines, and others may use.
local function exported_by(code)
	local names = {}
	for line in code:gmatch "[^\n]+" do
		local declaration = not line:find "^static" and line:match "^[%a_][^;]*" or ""
		local name = declaration:match "([%a_][%w_]*)%(" or declaration:match "([%a_][%w_]*)%[%] =%s*{?$"
		if name and not line:find ";%s*$" then
			names[name] = true
		end
	end
	return names
end

-- { [name] = section } of all that internal.h declares, and its sections in order.
local function declared_in(text)
	local declared, sections = {}, {}
	local position = 1
	while true do
		local from, to, file = text:find("/%* %-%-%-%- ([%w_]+%.c) %-+ %*/", position)
		if not from then
			return declared, sections
		end
		local section = code_of(text:sub(to + 1, (text:find("/* ----", to, true) or #text + 1) - 1))
		sections[#sections + 1] = file
		section = section:gsub("%b{}", "{}"):gsub("__attribute__%b()", "")
		for declaration in section:gmatch "[^;]+;" do
			local name = declaration:match "([%a_][%w_]*)%b();" or declaration:match "extern .-([%a_][%w_]*)%[%];"
			if name then
				declared[name] = file
			end
		end
		position = to
	end
end

-- A circle in { [file] = { [other] = true } }, as a list of files, or nil.
local function circle_in(uses)
	local state, path = {}, {}
	local function visit(file)
		state[file] = "open"
		path[#path + 1] = file
		for other in pairs(uses[file] or {}) do
			if state[other] == "open" then
				path[#path + 1] = other
				return true
			end
			if not state[other] and visit(other) then
				return true
			end
		end
		path[#path] = nil
		state[file] = "done"
	end
	for file in pairs(uses) do
		if not state[file] and visit(file) then
			while path[1] ~= path[#path] do
				table.remove(path, 1)
			end
			return path
		end
	end
end

describe("the files of the core", function ()
	local declared, sections = declared_in(files.read "c/internal.h")
	local sources = {}
	for name in lfs.dir "c" do
		if name:find "%.c$" then
			sources[name] = files.read("c/" .. name)
		end
	end

	it("are each a section of internal.h, except the one that loads them", function ()
		local named = { ["core.c"] = true }
		for _, section in ipairs(sections) do
			assert.is_nil(named[section], section .. " has two sections")
			named[section] = true
		end
		for name in pairs(sources) do
			assert.is_true(named[name], name .. " has no section")
		end
	end)

	it("define the functions of their sections, and no others that can be called", function ()
		local count = 0
		for name, text in pairs(sources) do
			for exported in pairs(exported_by(code_of(text))) do
				if exported ~= "luaopen_xmpp_tls_policy_core" then
					assert.equal(name, declared[exported], exported)
					count = count + 1
				end
			end
		end
		local expected = 0
		for _ in pairs(declared) do
			expected = expected + 1
		end
		assert.equal(expected, count, "internal.h declares what no file defines")
	end)

	it("call each other in one direction only", function ()
		local uses = {}
		for name, text in pairs(sources) do
			uses[name] = {}
			for word in pairs(words_of(code_of(text))) do
				if declared[word] and declared[word] ~= name then
					uses[name][declared[word]] = true
				end
			end
		end
		assert.is_true(uses["core.c"]["context.c"])
		local circle = circle_in(uses)
		assert.is_nil(circle, circle and table.concat(circle, " -> "))
	end)

	-- The list of all secret memory (secret_memory.c) has its address, and an error of Lua's leaves a function at once.
	it("keep no secret memory in a variable of a function", function ()
		for name, text in pairs(sources) do
			local functions = code_of(text):gsub("\nstruct [%w_]+ {.-\n};", "")
			assert.is_nil(functions:match "\n\t+struct secret_memory [%w_]+[^;]*;", name)
		end
	end)

	it(("have at most %d lines"):format(MOST_LINES), function ()
		for name, text in pairs(sources) do
			local lines = select(2, text:gsub("\n", ""))
			assert.is_true(lines <= MOST_LINES, ("%s has %d"):format(name, lines))
		end
	end)
end)
