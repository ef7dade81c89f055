-- Small files and directories.

local lfs = require "lfs"

local files = {}

-- All of a file, or nil and the reason.
function files.read(path)
	local file, problem = io.open(path, "rb")
	if not file then
		return nil, problem
	end
	local text = file:read("*a")
	file:close()
	return text
end

function files.write(path, text)
	local file = assert(io.open(path, "wb"))
	assert(file:write(text))
	assert(file:close())
end

-- A new directory, mode 0700, for the caller to remove.
function files.temporary_directory()
	local pipe = assert(io.popen("mktemp -d -t xmpp-tls-policy.XXXXXXXXXX 2>&1"))
	local path = pipe:read("*l")
	pipe:close()
	if not path or lfs.attributes(path, "mode") ~= "directory" then
		error("mktemp -d: " .. tostring(path))
	end
	return path
end

return files
