-- The code in the manual: configurations load, Lua compiles, and our commands take their arguments.
local argparse = require "argparse"
local command_line = require "xmpp_tls_policy.command_line"
local commands = require "xmpp_tls_policy.commands"
local exceptions_file = require "xmpp_tls_policy.policy.exceptions_file"
local files = require "support.files"
local json = require "dkjson"
local manual = require "support.manual"
local tls_policy = require "xmpp_tls_policy"

local compile = loadstring or load -- luacheck: ignore 113

-- "…" stands for what the reader has to fill in, or for further items.
local function as_lua(text)
	return (text:gsub("\"[^\"\n]*…[^\"\n]*\"", '"x"'):gsub("…", "nil"))
end

-- The kind of a block by its first line, or its fence.
local function kind_of(block)
	local first = block.text:match "^[^\n]*"
	if block.language then
		return block.language
	elseif first:find "^[%w_]+ = " or first:find "^%-%- prosody" then
		return "configuration"
	elseif first:find "^{" then
		return "value"
	elseif first:find "^%-%-" or first:find "^local " or first:find "^module:" then
		return "lua"
	end
	return "other"
end

local function configuration_of(block)
	local made, problem = compile(as_lua(block.text))
	assert(made, problem)
	local options = setmetatable({}, { __index = function (_, name)
		-- Capitals stand for something, as in a synopsis.
		if name:find "%l" then
			error(("%s:%d: %s has no value"):format(block.page, block.line, name))
		end
	end })
	if setfenv then -- luacheck: ignore 113
		setfenv(made, options) -- luacheck: ignore 113
	else
		made = assert(load(as_lua(block.text), block.page, "t", options))
	end
	made()
	return options
end

local checks = {
	configuration = function (block)
		local given = rawget(configuration_of(block), "xmpp_tls_policy")
		-- The server reads the file.
		if given and exceptions_file.is_path(given.exceptions) then
			given.exceptions = {}
		end
		local policy, faults = tls_policy.policy(given)
		assert.is_truthy(policy, faults and faults[1] and faults[1].message)
	end,
	value = function (block)
		assert(compile("return " .. as_lua(block.text)))
	end,
	lua = function (block)
		assert(compile(as_lua(block.text)))
	end,
	json = function (block)
		assert.is_table((json.decode(block.text)))
	end,
}

-- The words of a shell command, without comment and pipe.
local function words_of(line)
	local words = {}
	for word in line:gsub("%s#.*$", ""):gsub("%s[|>].*$", ""):gmatch "%S+" do
		words[#words + 1] = (word:gsub("^['\"](.*)['\"]$", "%1"))
	end
	return words
end

describe("the code in the manual", function ()
	local counts = {}

	for _, page in ipairs(manual.pages()) do
		for _, block in ipairs(manual.code_blocks(page)) do
			local kind = kind_of(block)
			counts[kind] = (counts[kind] or 0) + 1
			if checks[kind] then
				it(("is right: %s, line %d (%s)"):format(page, block.line, kind), function ()
					checks[kind](block)
				end)
			end
		end
	end

	it("was found", function ()
		assert.is_true(counts.configuration > 5)
		assert.is_true(counts.lua > 3)
		assert.is_true(counts.value > 3)
	end)

	it("calls our command as it is", function ()
		local parser, count = argparse("xmpp-tls-policy"), 0
		parser:command_target "command"
		for _, name in ipairs(command_line.names) do
			local command = require("xmpp_tls_policy.command_line." .. name)
			command.define(parser:command(command.name, command.summary))
		end
		for _, page in ipairs(manual.pages()) do
			for _, block in ipairs(manual.code_blocks(page)) do
				-- A line that ends with a backslash goes on.
				for line in block.text:gsub("\\\n%s*", " "):gmatch "[^\n]+" do
					local words = words_of(line:match "^%s*(xmpp%-tls%-policy .*)$" or "")
					if table.remove(words, 1) and words[1] and not words[1]:find "^%-" then
						count = count + 1
						for index, word in ipairs(words) do
							words[index] = word == "TARGET" and "prosody" or word
						end
						local parsed, problem = parser:pparse(words)
						assert.is_true(parsed, ("%s:%d: %s: %s"):format(page, block.line, line, tostring(problem)))
					end
				end
			end
		end
		assert.is_true(count > 5)
	end)

	it("names the options of our command that there are, and all of them", function ()
		local page, count = files.read "doc/command.md", 0
		local known = {}
		for _, name in ipairs(command_line.names) do
			local command = require("xmpp_tls_policy.command_line." .. name)
			local parser = argparse(command.name)
			command.define(parser)
			for option in parser:get_help():gmatch "%-%-%l[%w-]*" do
				known[option], count = true, count + 1
			end
		end
		assert.is_true(count > 20)
		for option in pairs(known) do
			assert.truthy(option == "--help" or page:find(option, 1, true), option .. " is not in doc/command.md")
		end
		for span in page:gmatch "`([^`\n]*)`" do
			local option = span:match "^(%-%-%l[%w-]*)"
			assert.is_true(option == nil or known[option], tostring(option) .. " is no option")
		end
	end)

	it("names commands of the shell that there are", function ()
		local known = {}
		for _, command in ipairs(commands.list) do
			known[command.name] = true
		end
		for _, page in ipairs(manual.pages()) do
			for name in files.read(page):gmatch "tlspolicy:([%l_]+)" do
				assert.is_true(known[name], page .. ": tlspolicy:" .. name)
			end
		end
	end)
end)
