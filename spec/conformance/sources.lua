-- The texts that may name rules and clauses, by path.
local files = require "support.files"
local lfs = require "lfs"

local sources = {}

local CLAUSES, PROFILES = "lua/xmpp_tls_policy/policy/clauses.lua", "lua/xmpp_tls_policy/policy/profiles.lua"

local function add_folder(texts, folder, pattern)
	for name in lfs.dir(folder) do
		local path = folder .. "/" .. name
		if name:find(pattern) then
			texts[path] = assert(files.read(path))
		elseif name:sub(1, 1) ~= "." and lfs.attributes(path, "mode") == "directory" then
			add_folder(texts, path, pattern)
		end
	end
	return texts
end

--- All that report.of takes, read from the working directory.
function sources.read()
	local code = add_folder(add_folder({}, "lua", "%.lua$"), "c", "%.[ch]$")
	return {
		rules = require "conformance.rfc_rules",
		clauses = require "xmpp_tls_policy.policy.clauses",
		profiles = require "xmpp_tls_policy.policy.profiles".by_name,
		clause_table = CLAUSES,
		lists_of_clauses = { [CLAUSES] = true, [PROFILES] = true },
		code = code,
		specs = add_folder({}, "spec", "_spec%.lua$"),
	}
end

return sources
