--- The section `tlspolicy` of Metronome's telnet console.
local console = require "xmpp_tls_policy.servers.prosody_style.console"

local shell = {}

--- Adds a list of commands (see commands/run.lua) to the console. `service`: the parts of the module.
-- Returns a function that removes them.
function shell.add(module, list, service)
	return console.add(module, list, service, "admin_telnet")
end

return shell
