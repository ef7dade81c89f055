--- The file that a result is written to. Whether that is possible is known before the result is made.
local uv = require "luv"

local output_file = {}

local methods = {}
local metatable = { __index = methods }

-- Opens a file, writes and closes it. Returns true, or nil and a message with its path.
local function write(path, contents)
	local file, problem = io.open(path, "w")
	if not file then
		return nil, problem
	end
	local written, write_problem = file:write(contents)
	local closed, close_problem = file:close()
	if not written or not closed then
		return nil, ("%s: %s"):format(path, write_problem or close_problem)
	end
	return true
end

--- `path`: of a file that there is, or is not yet; of a device or a pipe. Returns an object, or nil and a message if
-- it cannot be written.
function output_file.new(path)
	local found = uv.fs_stat(path)
	local self = setmetatable({ _path = path }, metatable)
	if found and found.type == "directory" then
		return nil, path .. ": Is a directory"
	elseif not found or found.type == "file" then
		self._temporary = path .. ".new"
		local written, problem = write(self._temporary, "")
		if not written then
			return nil, problem
		end
		os.remove(self._temporary)
	end
	return self
end

--- Writes the result: a file in one step, so that nobody reads half of it. Returns true, or nil and a message.
function methods:write(contents)
	local written, problem = write(self._temporary or self._path, contents)
	if written and self._temporary then
		written, problem = os.rename(self._temporary, self._path)
	end
	if not written and self._temporary then
		os.remove(self._temporary)
	end
	return written, problem
end

return output_file
