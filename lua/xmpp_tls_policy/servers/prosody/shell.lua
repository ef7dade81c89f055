--- The section `tlspolicy` of the admin shell, on Prosody 0.12 and 13.
local console = require "xmpp_tls_policy.servers.prosody_style.console"

local shell = {}

local SECTION = "tlspolicy"
local DESCRIPTION = "The TLS policy: connections, policies, contexts, certificates and refusals"

-- Prosody 13 takes commands as items of a module. Its modules can be loaded by these names, too.
-- (Whether the shell is loaded already depends on the order in which Prosody loads modules.)
local takes_items = pcall(require, "prosody.util.stanza")

local function describe(command)
	return ("%s:%s(%s) - %s"):format(SECTION, command.name,
		command.further and ("%s, %s"):format(command.argument, command.further) or command.argument or "", command.help)
end

-- The help of Prosody 0.12 knows only its own sections.
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
		session.print [[Arguments in parentheses are optional. "json" as the last argument prints JSON.]]
		session.print [["width=80" as the last argument sets the width of tables.]]
	end
end

-- Adds the section to the environment of each shell session of Prosody 0.12, and its help. The
-- shell's module makes its help anew whenever it is loaded.
local function add_to_environment(module, list, service)
	local environment, shared = module:shared "/*/admin_shell/env", module:shared "/*/admin_shell/commands"
	local section, original, help = {}, nil, nil
	for _, command in ipairs(list) do
		section[command.name] = console.handler(service, command)
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
		if environment[SECTION] == section then
			environment[SECTION] = nil
		end
		if help and shared.help == help then
			shared.help = original
		end
	end
end

local function argument_list(command)
	local arguments = {}
	for _, name in ipairs { command.argument or false, command.further or false, "format" } do
		arguments[#arguments + 1] = name and { name = name, type = "string" } or nil
	end
	return arguments
end

-- Adds the commands as items, which Prosody 13 removes together with the module.
local function add_items(module, list, service)
	for _, command in ipairs(list) do
		module:add_item("shell-command", {
			section = SECTION, section_desc = DESCRIPTION, name = command.name, desc = command.help,
			args = argument_list(command), handler = console.handler(service, command),
		})
	end
	return function () end
end

--- Adds a list of commands (see commands/run.lua) to the shell. `service`: the parts of the module.
-- Returns a function that removes them.
function shell.add(module, list, service)
	return (takes_items and add_items or add_to_environment)(module, list, service)
end

return shell
