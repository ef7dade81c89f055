--- The section `tlspolicy` of the admin shell, on Prosody 0.12 and 13.
local console = require "xmpp_tls_policy.servers.prosody_style.console"

local shell = {}

-- Prosody 13 takes commands as items of a module. Its modules can be loaded by these names, too.
-- (Whether the shell is loaded already depends on the order in which Prosody loads modules.)
local takes_items = pcall(require, "prosody.util.stanza")

local function argument_list(command)
	local arguments = {}
	for _, name in ipairs { command.argument or false, command.further or false, command.third or false, "format" } do
		arguments[#arguments + 1] = name and { name = name, type = "string" } or nil
	end
	return arguments
end

-- Adds the commands as items, which Prosody 13 removes together with the module.
local function add_items(module, list, service)
	for _, command in ipairs(list) do
		module:add_item("shell-command", {
			section = console.SECTION, section_desc = console.DESCRIPTION, name = command.name, desc = command.help,
			args = argument_list(command), handler = console.handler(service, command),
		})
	end
	return function () end
end

--- Adds a list of commands (see commands/run.lua) to the shell. `service`: the parts of the module.
-- Returns a function that removes them.
function shell.add(module, list, service)
	return takes_items and add_items(module, list, service) or console.add(module, list, service, "admin_shell")
end

return shell
