--- `xmpp-tls-policy new-key`: a key for shared sessions.
local key_file = require "xmpp_tls_policy.sessions.key_file"

local command = { name = "new-key", summary = "Make a file with a new key for shared sessions." }

local NOT_MADE = 1

--- See init.lua.
function command.define(parser)
	parser:argument("file", "The file to make.")
end

--- See init.lua. The exit status is 1 if the file cannot be made.
function command.run(options, out)
	local id, problem = key_file.make(options.file)
	if not id then
		out.warn(problem)
		return NOT_MADE
	end
	out.write(("%s has the new key %s.\n"):format(options.file, id))
	return 0
end

return command
