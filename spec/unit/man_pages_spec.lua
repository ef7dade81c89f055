-- The sources of the manual pages agree with the code, and pandoc makes pages of them.
local command_line = require "xmpp_tls_policy.command_line"
local commands = require "xmpp_tls_policy.commands"
local files = require "support.files"
local option_recorder = require "support.option_recorder"
local process = require "support.process"
local tls_policy = require "xmpp_tls_policy"
local version = require "xmpp_tls_policy.version"

local COMMAND, MODULE = "doc/xmpp-tls-policy.1.md", "doc/mod_xmpp_tls_policy.8.md"

-- UPDATE_GOLDEN=1 writes the expected text into the page.
local function has_between(path, before, after, expected)
	local page = assert(files.read(path))
	local from, to = select(2, page:find(before .. "\n", 1, true)), page:find(after, 1, true)
	if os.getenv "UPDATE_GOLDEN" == "1" then
		files.write(path, page:sub(1, from) .. expected .. page:sub(to))
	else
		assert.equal(expected, page:sub(from + 1, to - 1))
	end
end

local function quoted(values)
	return "`" .. table.concat(values, "`, `") .. "`"
end

-- One item of a definition list in pandoc's Markdown, from what option_recorder returns.
local function item(element)
	local set = element.set
	local value = (set.argname or element.name:gsub("^%-+", "")):gsub("[<>]", ""):upper()
	local term = element.kind == "argument" and ("*%s*"):format(value) or ("**%s**"):format(element.name)
	if element.kind == "option" then
		term = ("%s *%s*"):format(term, value)
	end
	local text = { element.description }
	text[#text + 1] = set.choices and ("One of %s."):format(quoted(set.choices))
	text[#text + 1] = set.default and ("Default: `%s`."):format(set.default)
	return ("%s\n:   %s\n"):format(term, table.concat(text, " "))
end

describe("the manual page of the command", function ()
	for _, name in ipairs(command_line.names) do
		local command = require("xmpp_tls_policy.command_line." .. name)

		it("has the options of " .. command.name .. " as the command defines them", function ()
			local items = {}
			for index, element in ipairs(option_recorder(command.define)) do
				items[index] = item(element)
			end
			has_between(COMMAND, ("<!-- options of %s -->"):format(command.name),
				("<!-- end of %s -->"):format(command.name), "\n" .. table.concat(items, "\n") .. "\n")
		end)
	end
end)

describe("the manual page of the module", function ()
	local options = assert(files.read(MODULE)):match "\n# OPTIONS\n(.-)\n# SHELL\n"

	it("has the commands of the shell as the code has them", function ()
		local items = {}
		for index, command in ipairs(commands.list) do
			local words = { command.argument, command.further, command.third }
			items[index] = ("`tlspolicy:%s(%s)`\n:   %s.\n"):format(command.name, table.concat(words, ", "), command.help)
		end
		has_between(MODULE, "<!-- shell commands -->", "<!-- end of shell commands -->",
			"\n" .. table.concat(items, "\n") .. "\n")
	end)

	it("has each option, and no other", function ()
		local _, errors = tls_policy.policy { none = true }
		local known, listed = {}, {}
		for option in errors[1].message:match("known: ([^;]+)"):gmatch "\"(.-)\"" do
			known[#known + 1] = option
		end
		for option in options:gmatch "\n%*%*([%w_]+)%*%*\n:" do
			listed[#listed + 1] = option
		end
		table.sort(known)
		assert.same(known, listed)
	end)

	it("has the values that an option takes, the default first", function ()
		local default, checked = tls_policy.policy(), 0
		for option, list in options:gmatch "\n%*%*([%w_]+)%*%*\n:   (`[^\n]-`)%." do
			local first = true
			for word in list:gmatch "`(.-)`" do
				local value = ({ ["true"] = true, ["false"] = false })[word]
				if value == nil then
					value = word
				end
				assert(tls_policy.policy { [option] = value }, option .. " = " .. word)
				if first then
					assert.equal(default[option] or false, value, option)
				end
				first, checked = false, checked + 1
			end
		end
		assert.equal(12 + #tls_policy.profile_names, checked)
		assert.truthy(options:find("**profile**\n:   " .. quoted(tls_policy.profile_names) .. ".", 1, true))
	end)
end)

describe("make man", function ()
	if process.run { "sh", "-c", "command -v pandoc" } == "" then
		return pending("makes pages (pandoc is not installed: make deps-dev)")
	end

	for path, name in pairs { [COMMAND] = "xmpp-tls-policy.1", [MODULE] = "mod_xmpp_tls_policy.8" } do
		it("makes a page with the version from " .. path, function ()
			local folder = process.scratch "man"
			process.check { "make", "-s", "man", "MAN=" .. folder }
			local page = assert(files.read(folder .. "/" .. name))
			assert.truthy(page:find(('"xmpp-tls-policy %s"'):format(version), 1, true), page:sub(1, 200))
			assert.not_matches("<!%-%-", page)
		end)
	end
end)
