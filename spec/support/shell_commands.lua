-- The table of shell commands in the README.
local files = require "support.files"

local shell_commands = {}

--- { [signature] = true }, as in "tlspolicy:refused()".
function shell_commands.of_readme()
	local found = {}
	for signature in assert(files.read "README.md"):gmatch "\n| `(tlspolicy:[^`]*)` |" do
		found[signature] = true
	end
	assert(next(found), "the README has no table of commands")
	return found
end

return shell_commands
