--- The file with the key of shared sessions: a key on each line, as hexadecimal digits. The first key seals, and
-- each of them opens. Empty lines, and lines that begin with "#", do not count.
local core = require "xmpp_tls_policy.core"

local key_file = {}

local BYTES, MOST_BYTES, MOST_KEYS = 32, 64, 2

local function bytes_of(digits)
	return (digits:gsub("..", function (pair)
		return string.char(tonumber(pair, 16))
	end))
end

local function octal(mode)
	return ("%04o"):format(mode)
end

-- The group and the others may neither read nor write a secret.
local function problem_of_access(path, file)
	if file.mode % 64 ~= 0 then
		return ("%s has the mode %s, so that others than its owner can use it. Make it 0600 (chmod 600 %s), and a new "
			.. "key if somebody may have read it"):format(path, octal(file.mode), path)
	elseif file.owner ~= file.reader and file.owner ~= 0 then
		return ("%s belongs to the user %d, and the server runs as %d. Give it to the server's user, or to root")
			:format(path, file.owner, file.reader)
	end
end

-- Returns a key, or nil and a sentence.
local function key_of_line(line, number)
	if line:find "%X" then
		return nil, ("line %d has other characters than hexadecimal digits"):format(number)
	elseif #line % 2 ~= 0 or #line / 2 < BYTES or #line / 2 > MOST_BYTES then
		return nil, ("line %d has %d hexadecimal digits, and a key has %d to %d"):format(number, #line, 2 * BYTES,
			2 * MOST_BYTES)
	end
	local bytes = bytes_of(line)
	if bytes == bytes:sub(1, 1):rep(#bytes) then
		return nil, ("line %d is no random key"):format(number)
	end
	return bytes
end

-- Returns a list of keys, or nil and a sentence.
local function keys_of(contents)
	local keys, number = {}, 0
	for whole in (contents .. "\n"):gmatch "(.-)\r?\n" do
		number = number + 1
		local line = whole:match "^%s*(.-)%s*$"
		if line ~= "" and line:sub(1, 1) ~= "#" then
			local key, problem = key_of_line(line, number)
			if not key then
				return nil, problem
			end
			keys[#keys + 1] = key
		end
	end
	if #keys == 0 then
		return nil, "it has no key"
	elseif #keys > MOST_KEYS then
		return nil, ("it has %d keys, and one or two are right"):format(#keys)
	elseif keys[1] == keys[2] then
		return nil, "both of its keys are the same"
	end
	return keys
end

--- Reads the keys. Returns a list of one or two strings of bytes, the one that seals first; or nil and a message that
-- says how the file would be right.
function key_file.read(path)
	local contents, file, code = core.secret_file.read(path)
	if not contents and code == "missing" then
		return nil, ("%s is missing. Make it with: xmpp-tls-policy new-key %s"):format(path, path)
	elseif not contents then
		return nil, ("%s. The server's user has to be able to read it"):format(file)
	end
	local access = problem_of_access(path, file)
	if access then
		return nil, access
	end
	local keys, problem = keys_of(contents)
	if not keys then
		return nil, ("%s: %s. A line for each key, as xmpp-tls-policy new-key makes one"):format(path, problem)
	end
	return keys
end

--- Makes a file with a new key, which only its owner can read. Returns the ID of the key, or nil and a message: a file
-- that is there stays as it is.
function key_file.make(path)
	local key, problem = core.random_bytes(BYTES)
	if not key then
		return nil, problem
	end
	local id, failure = core.sharing_key_id(key)
	if not id then
		return nil, failure
	end
	local digits = key:gsub(".", function (byte)
		return ("%02x"):format(byte:byte())
	end)
	local made, message, code = core.secret_file.create(path, ("# Key %s of shared sessions. Keep it secret.\n%s\n")
		:format(id, digits))
	if not made and code == "exists" then
		return nil, ("%s is there already, and stays as it is. Name a new file"):format(path)
	end
	return made and id, message
end

return key_file
