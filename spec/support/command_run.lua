--- Runs of the command `xmpp-tls-policy` in the specs' process.
local command_line = require "xmpp_tls_policy.command_line"

--- Runs it. Returns the exit status, all that it wrote, and all that it warned of, a line each.
return function (...)
	local written, warned = {}, {}
	local status = command_line.run({ ... }, {
		write = function (text) written[#written + 1] = text end,
		warn = function (text) warned[#warned + 1] = text end,
	})
	return status, table.concat(written), table.concat(warned, "\n")
end
