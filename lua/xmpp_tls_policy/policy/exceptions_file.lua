--- A file with exceptions, in JSON or as a Lua table (see table_text.lua).
local table_text = require "xmpp_tls_policy.policy.table_text"

local exceptions_file = {}

-- Each network is compared with all others.
local MOST_BYTES = 256 * 1024

-- Takes the place of the exceptions of a file that cannot be read.
local unreadable = {}

-- Exceptions -> the file that they were read from.
local sources = setmetatable({}, { __mode = "k" })

--- Whether a value is the name of a file with exceptions: an absolute path, because a server may change its directory,
-- that ends in .json or .lua.
function exceptions_file.is_path(value)
	return type(value) == "string" and (value:find "^/[^%z]*%.json$" or value:find "^/[^%z]*%.lua$") ~= nil
end

-- Or nil, a message, and whether the file cannot be read at all.
local function contents_of(path)
	local file, message = io.open(path, "rb")
	if not file then
		return nil, message, true
	end
	local contents, problem = file:read(MOST_BYTES + 1)
	file:close()
	if problem then
		return nil, ("%s: %s"):format(path, problem), true
	elseif #(contents or "") > MOST_BYTES then
		return nil, ("%s: longer than %d KiB"):format(path, MOST_BYTES / 1024)
	end
	-- An editor may have put a byte order mark before the text.
	return ((contents or ""):gsub("^\239\187\191", "", 1))
end

local function decode(path, contents, decode_json)
	if not contents:find "%S" then
		return nil, "the file is empty"
	elseif path:find "%.lua$" then
		return table_text.decode(contents)
	elseif not contents:find "^%s*{" then
		return nil, "no JSON object, which begins with {"
	end
	-- A decoder may throw or return an error.
	local done, value, message = pcall(decode_json, contents)
	if done and type(value) == "table" then
		return value
	end
	return nil, ("no JSON object: %s"):format(tostring(done and message or value))
end

--- The exceptions in a file: a table, which is not checked yet. `decode_json`: function(text) -> value; `prepare`:
-- function(table) -> the table to return (nil: the same). Where the file cannot be read, a value that
-- exceptions.validate refuses with a message (see problem).
function exceptions_file.read(path, decode_json, prepare)
	local contents, message, unopened = contents_of(path)
	if not contents then
		return setmetatable({ message = message, unopened = unopened }, unreadable)
	end
	local value, problem = decode(path, contents, decode_json)
	if not value then
		return setmetatable({ message = ("%s: %s"):format(path, problem) }, unreadable)
	end
	local prepared = prepare and prepare(value) or value
	sources[prepared] = path
	return prepared
end

--- Whether a file could not be read at all: it is not there, or this user may not read it.
function exceptions_file.is_unopened(value)
	return getmetatable(value) == unreadable and rawget(value, "unopened") == true
end

--- The file from which `read` returned these exceptions; nil for others.
function exceptions_file.source(value)
	return sources[value]
end

--- The reason why a file could not be read, for the value that `read` returned; nil if it was read.
function exceptions_file.problem(value)
	return getmetatable(value) == unreadable and rawget(value, "message") or nil
end

return exceptions_file
