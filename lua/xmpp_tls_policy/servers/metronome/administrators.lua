--- The administrators of a host, and messages to them.
local stanza = require "util.stanza"

local administrators = {}

--- The JIDs of a host's administrators, by configuration: a list, sorted. `module`: the one of the host.
function administrators.of(module)
	local list = {}
	for jid in module:get_option_set("admins", {}) do
		list[#list + 1] = jid
	end
	table.sort(list)
	return list
end

--- Sends a message from a host to a JID, with a subject and a body.
function administrators.send_message(host, to, subject, body)
	local message = stanza.message({ from = host, to = to, type = "chat" }, body)
	message:tag("subject"):text(subject):up()
	metronome.events.fire_event("route/post", metronome.hosts[host], message)
end

return administrators
