--- The command `check`: looks at a server's configuration before a restart, by the server's own code.

-- Those that have a file configuration_check.lua: check(options, out) -> exit status.
local servers = { "prosody" }

--- See command_line/init.lua.
return {
	name = "check",
	summary = "Show the TLS that a server will have after a restart, and the problems of its configuration. "
		.. "Exit status: 0 fine, 1 problems, 2 could not be checked.",
	define = function (parser)
		parser:argument("host", "Only this host."):args "?"
		parser:option("--config", "The configuration file (default: the server's own)."):argname "FILE"
		parser:option("--format", "text or json."):choices { "text", "json" }:default "text"
		parser:option("--width", "Columns of the tables."):convert(function (word)
			return word:match "^%d+$"
		end):argname "COLUMNS"
		parser:option("--server", "The server's software."):choices(servers):default(servers[1])
	end,
	run = function (options, out)
		return require("xmpp_tls_policy.servers." .. options.server .. ".configuration_check").check(options, out)
	end,
}
