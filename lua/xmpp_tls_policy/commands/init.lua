--- All commands, in the order of the help; see run.lua.
local commands = { list = {} }

for index, name in ipairs {
	"show", "cert", "status", "explain", "refused", "would_refuse", "forget_report", "what_if",
	"fleet", "digest", "peers", "accept", "forget", "stats",
} do
	commands.list[index] = require("xmpp_tls_policy.commands." .. name)
end

return commands
