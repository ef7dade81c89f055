--- Entries of the stream as the engine returns them: { id, { field, value, … } }.
local entry_id = require "xmpp_tls_policy.sessions.entry_id"

local stream_entry = {}

--- The name of the one field that an entry has.
stream_entry.field = "r"

--- The ID and the sealed record of an entry; record nil: not an entry of ours; nothing: no entry.
function stream_entry.read(entry)
	local id = type(entry) == "table" and entry[1]
	if not entry_id.is_valid(id) then
		return nil
	end
	local fields = entry[2]
	if type(fields) == "table" and #fields == 2 and fields[1] == stream_entry.field and type(fields[2]) == "string" then
		return id, fields[2]
	end
	return id
end

return stream_entry
