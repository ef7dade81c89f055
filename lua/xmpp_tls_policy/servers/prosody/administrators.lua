--- The administrators of a host, and messages to them.
local stanza = require "util.stanza"
local usermanager = require "core.usermanager"

local administrators = {}

-- Prosody 13 has roles; 0.12 has the option alone.
local function with_role(role, host)
	local done, list = pcall(usermanager.get_jids_with_role, role, host)
	return done and type(list) == "table" and list or {}
end

--- The JIDs of a host's administrators, by configuration and by role: a list, sorted. `module`:
-- the one of the host.
function administrators.of(module)
	local found, list = {}, {}
	for jid in module:get_option_set("admins", {}) do
		found[jid] = true
	end
	for _, role in ipairs { "prosody:admin", "prosody:operator" } do
		for _, jid in ipairs(with_role(role, module.host)) do
			found[jid] = true
		end
	end
	for jid in pairs(found) do
		list[#list + 1] = jid
	end
	table.sort(list)
	return list
end

--- Sends a message from a host to a JID, with a subject and a body.
function administrators.send_message(host, to, subject, body)
	local message = stanza.message({ from = host, to = to, type = "chat" }, body)
	message:tag("subject"):text(subject):up()
	prosody.core_post_stanza(prosody.hosts[host], message)
end

return administrators
