-- The table of shell commands in the manual.
local files = require "support.files"

local shell_commands = {}

--- { [signature] = true }, as in "tlspolicy:refused()".
function shell_commands.of_manual()
	local found = {}
	for signature in assert(files.read "doc/shell.md"):gmatch "\n| `(tlspolicy:[^`]*)` |" do
		found[signature] = true
	end
	assert(next(found), "doc/shell.md has no table of commands")
	return found
end

return shell_commands
