--- The file with the key of shared sessions: a key on each line, as hexadecimal digits. The first key seals, and each
-- of them opens. Empty lines, and lines that begin with "#", do not count. The keys stay in the core's secret memory.
local core = require "xmpp_tls_policy.core"

local key_file = {}

-- Code of the core -> the rest of the message.
local remedies = {
	content = ". A line for each key, as xmpp-tls-policy new-key makes one",
	file = ". The server's user has to be able to read it",
}

--- Reads the keys. Returns the core's Keys, one or two, the one that seals first; or nil and a message that says how
-- the file would be right.
function key_file.read(path)
	local keys, message, code = core.key_file.read(path)
	if keys then
		return keys
	elseif code == "missing" then
		return nil, ("%s is missing. Make it with: xmpp-tls-policy new-key %s"):format(path, path)
	end
	return nil, message .. (remedies[code] or "")
end

--- Makes a file with a new key, which only its owner can read. Returns the ID of the key, or nil and a message: a file
-- that is there stays as it is.
function key_file.make(path)
	local id, message, code = core.key_file.make(path)
	if not id and code == "exists" then
		return nil, ("%s is there already, and stays as it is. Name a new file"):format(path)
	end
	return id, message
end

return key_file
