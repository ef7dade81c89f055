-- Small files, and names for new ones.

local files = {}

-- The contents of a file, or nil and the reason.
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

-- Replaces a file that another process may read at any time: it never finds half of it.
function files.replace(path, text)
	files.write(path .. ".new", text)
	assert(os.rename(path .. ".new", path))
end

files.temporary_directory = os.getenv("TMPDIR") or "/tmp"

-- An unused path in the system's temporary directory.
function files.temporary_path()
	local random = assert(io.open("/dev/urandom", "rb"))
	local name = random:read(12):gsub(".", function(byte)
		return ("%02x"):format(byte:byte())
	end)
	random:close()
	return ("%s/xmpp-tls-policy.%s"):format(files.temporary_directory, name)
end

return files
