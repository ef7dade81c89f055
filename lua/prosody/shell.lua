--- The section `tlspolicy` of the admin shell, on Prosody 0.12 and 13.
local array = require "util.array"
local columns = require "xmpp_tls_policy.columns"
local json = require "util.json"

local unpack = table.unpack or unpack -- luacheck: ignore 113

local shell = {}

local SECTION = "tlspolicy"
local DESCRIPTION = "The TLS policy: whom it refused, or would refuse"

-- Prosody 0.12 does not say how wide the terminal is.
local WIDTH_UNKNOWN = 132

--- Prints rows as a table that fits the terminal of a shell session.
function shell.print_table(session, titles, rows)
	for _, line in ipairs(columns.lines(titles, rows, session.width or WIDTH_UNKNOWN)) do
		session.print(line)
	end
end

-- One line of JSON for each of a list, or for what is none: Prosody 13 does not pass on
-- lines of 10,000 bytes.
local function print_json(session, result)
	local list = getmetatable(result) == getmetatable(array()) and result or { result }
	for _, item in ipairs(list) do
		session.print(json.encode(item))
	end
	return true, ("%d line%s of JSON"):format(#list, #list == 1 and "" or "s")
end

-- A command's handler as the shell calls it: what is printed for people, or, with "json"
-- for the last argument, the same as JSON.
local function handler(command)
	return function (self, ...)
		local arguments, count = { ... }, select("#", ...)
		if arguments[count] == "json" then
			arguments[count] = nil
			local result, message = command.data(unpack(arguments))
			if result == nil then
				return nil, message
			end
			return print_json(self.session, result)
		end
		return command.show(self.session, unpack(arguments))
	end
end

local function signature(command)
	return ("%s:%s(%s)"):format(SECTION, command.name, command.argument or "")
end

local function describe(command)
	return ("%s - %s"):format(signature(command), command.help)
end

-- Prosody 0.12 has no place for the help of others' commands.
local function help_with(original, list)
	return function (session, line)
		local section = line:match "^help (%w+)"
		if section ~= SECTION then
			original(session, line)
			if not section then
				session.print(("%-8s | %s"):format(SECTION, DESCRIPTION))
			end
			return
		end
		for _, command in ipairs(list) do
			session.print(describe(command))
		end
		session.print [[With "json" for the last argument, each prints lines of JSON.]]
	end
end

-- Puts the section into the environment that shells of Prosody 0.12 begin with. The
-- shell's own module makes its help anew whenever it loads.
local function add_to_environment(module, list)
	local environment, shared = module:shared "/*/admin_shell/env", module:shared "/*/admin_shell/commands"
	local section, original, help = {}, nil, nil
	for _, command in ipairs(list) do
		section[command.name] = handler(command)
	end
	environment[SECTION] = section
	local function add_help()
		if shared.help and shared.help ~= help then
			original = shared.help
			help = help_with(original, list)
			shared.help = help
		end
	end
	add_help()
	module:hook("module-loaded", function (event)
		if event.module == "admin_shell" then
			add_help()
		end
	end)
	return function ()
		environment[SECTION] = nil
		if help and shared.help == help then
			shared.help = original
		end
	end
end

-- Prosody 13 takes them as items, which go when the module goes.
local function add_items(module, list)
	for _, command in ipairs(list) do
		module:add_item("shell-command", {
			section = SECTION, section_desc = DESCRIPTION, name = command.name, desc = command.help,
			args = { { name = command.argument or "format", type = "string" }, { name = "format", type = "string" } },
			handler = handler(command),
		})
	end
	return function () end
end

--- Adds commands: a list of { name, help, argument = what its first argument is called
-- (nil: none), data = function(arguments...) -> an array for
-- lines of JSON, or one table for one, or nil and a message; show =
-- function(session, arguments...) -> true and a message, or nil and one }. Returns a
-- function that removes them.
function shell.add(module, list)
	if module:shared "/*/admin_shell/env".help ~= nil then
		return add_items(module, list)
	end
	return add_to_environment(module, list)
end

return shell
