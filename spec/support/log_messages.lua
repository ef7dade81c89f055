-- The messages of the module's log, as they stand in the code.
local files = require "support.files"
local lfs = require "lfs"

local log_messages = {}

-- Directories of commands that have no log.
local without_log = { audit = true, command_line = true, commands = true, render = true }

local function scripts(directory, found)
	for name in lfs.dir(directory) do
		local path = directory .. "/" .. name
		if name:find "%.lua$" then
			found[#found + 1] = path
		elseif not name:find "^%." and not without_log[name] and lfs.attributes(path, "mode") == "directory" then
			scripts(path, found)
		end
	end
	table.sort(found)
	return found
end

-- The string literal that begins at a place, with those that are joined to it by "..", and the place behind;
-- nil: there is none. Joined values are "%s".
local function literal_at(text, at)
	local parts = {}
	while true do
		local quote = text:match("^[\"']", at)
		if not quote then
			break
		end
		local behind = at + 1
		while not text:find("^[\n" .. quote .. "]", behind) and behind <= #text do
			behind = behind + (text:sub(behind, behind) == "\\" and 2 or 1)
		end
		parts[#parts + 1] = text:sub(at + 1, behind - 1):gsub("\\(.)", "%1")
		local joined = text:match("^%s*%.%.%s*()", behind + 1)
		if not joined then
			return table.concat(parts), behind + 1
		end
		local name, after = text:match("^([%w_.]+)%s*%.%.%s*()", joined)
		if name then
			parts[#parts + 1] = "%s"
			joined = after
		end
		at = joined
	end
	return parts[1] and table.concat(parts) .. "%s" or nil, at
end

-- "the key of %s has %d bits" as "the key of … has … bits".
local function shape_of(format)
	return (format:gsub("%%%%", "%%"):gsub("%%[%d.]*%a", "…"))
end

-- Whether it says anything by itself: it has a word beside the values.
local function has_words(shape)
	return shape:gsub("…", ""):find "%a%a" ~= nil
end

--- The messages that are logged at level warn or error: list of { path, shape }, where "…" stands for
-- each value. Those that have no words of their own, such as "…: …", are left out: they pass on a sentence
-- that was made elsewhere.
function log_messages.logged()
	local found = {}
	for _, path in ipairs(scripts("lua", {})) do
		local text = files.read(path)
		for _, level in ipairs { "warn", "error" } do
			for at in text:gmatch(('"%s", ()'):format(level)) do
				local literal = literal_at(text, at)
				local shape = literal and shape_of(literal)
				if shape and has_words(shape) and shape:find " " then
					found[#found + 1] = { path = path, shape = shape }
				end
			end
		end
	end
	return found
end

-- Calls visit(literal, place behind it) for each string in a text of Lua without comments.
local function each_string(text, visit)
	local at = text:find "[\"']"
	while at do
		local literal, behind = literal_at(text, at)
		visit(literal, behind)
		at = text:find("[\"']", math.max(behind, at + 1))
	end
end

-- Comments may have quotes.
local function without_comments(path)
	return (("\n" .. assert(files.read(path))):gsub("(\n%s*)%-%-[^\n]*", "%1"):gsub(" %-%- [^\n]*", ""))
end

--- The sentences that a file makes with string.format: list of { path, shape }.
function log_messages.sentences_of(path)
	local found, text = {}, without_comments(path)
	each_string(text, function (literal, behind)
		local shape = shape_of(literal)
		if literal:find "%%[sd]" and shape:find " " and has_words(shape) and text:find("^%s*%)%s*:%s*format", behind) then
			found[#found + 1] = { path = path, shape = shape }
		end
	end)
	return found
end

--- The shapes of all strings of the module's code, joined by line feeds.
function log_messages.all_shapes()
	local found = {}
	for _, path in ipairs(scripts("lua", {})) do
		each_string(without_comments(path), function (literal)
			found[#found + 1] = shape_of(literal)
		end)
	end
	return table.concat(found, "\n")
end

return log_messages
