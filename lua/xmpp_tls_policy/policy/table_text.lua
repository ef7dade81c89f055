--- A table of strings and tables, with keys or as a list, written as in Lua. It is read as data: nothing in the text
-- is run.
local table_text = {}

-- Tables in the text may be this deep.
local DEEPEST = 4

local escapes = {
	a = "\a", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", v = "\v", ["\\"] = "\\", ['"'] = '"', ["'"] = "'",
}

local function fail(text, position, message)
	local _, lines = text:sub(1, position - 1):gsub("\n", "")
	error({ message = ("line %d: %s"):format(lines + 1, message) }, 0)
end

-- The position after white space and comments.
local function skip(text, position)
	while true do
		position = text:match("^%s*()", position)
		local level, inside = text:match("^%-%-%[(=*)%[()", position)
		if level then
			local _, last = text:find("]" .. level .. "]", inside, true)
			position = last and last + 1 or fail(text, position, "the comment has no end")
		elseif text:find("^%-%-", position) then
			position = text:match("^[^\n]*()", position)
		else
			return position
		end
	end
end

-- The position after a sign, which has to follow, and white space.
local function expect(text, position, sign, where)
	if text:sub(position, position) ~= sign then
		fail(text, position, ("%s is missing %s"):format(sign, where))
	end
	return skip(text, position + 1)
end

-- The character that an escape stands for, and the position after it.
local function escaped(text, position)
	local digits, after = text:match("^(%d%d?%d?)()", position)
	if digits and tonumber(digits) < 256 then
		return string.char(tonumber(digits)), after
	end
	digits, after = text:match("^x(%x%x)()", position)
	if digits then
		return string.char(tonumber(digits, 16)), after
	end
	local character = escapes[text:sub(position, position)] or fail(text, position, "unknown escape in a string")
	return character, position + 1
end

-- A string in quotes, and the position after it and white space.
local function read_string(text, position)
	local quote, parts = text:sub(position, position), {}
	local start = position
	position = position + 1
	while true do
		local plain, after = text:match("^([^\\\"'\n]*)()", position)
		parts[#parts + 1] = plain
		local sign = text:sub(after, after)
		if sign == quote then
			return table.concat(parts), skip(text, after + 1)
		elseif sign == "\\" then
			parts[#parts + 1], position = escaped(text, after + 1)
		elseif sign == "" or sign == "\n" then
			fail(text, start, "the string has no end")
		else
			parts[#parts + 1], position = sign, after + 1
		end
	end
end

-- The key of a field, and the position after it and white space; no key where the field is a value of a list.
local function read_key(text, position)
	local name, after = text:match("^([%a_][%w_]*)()", position)
	if name then
		return name, skip(text, after)
	elseif text:find("^[\"'{]", position) then
		return nil, position
	elseif text:sub(position, position) ~= "[" then
		fail(text, position, 'a field is expected, as in level = "must" or ["old.example"] = {}')
	end
	position = skip(text, position + 1)
	if not text:find("^[\"']", position) then
		fail(text, position, "a key is a string in quotes")
	end
	name, position = read_string(text, position)
	return name, expect(text, position, "]", "after a key")
end

local read_table

local function read_value(text, position, depth)
	if text:find("^[\"']", position) then
		return read_string(text, position)
	elseif text:sub(position, position) == "{" then
		return read_table(text, position, depth + 1)
	end
	fail(text, position, "a value is a string in quotes or a table")
end

-- A table, and the position after it and white space.
function read_table(text, position, depth)
	if depth > DEEPEST then
		fail(text, position, "tables are too deep")
	end
	local made, length = {}, 0
	position = expect(text, position, "{", "before a table")
	while text:sub(position, position) ~= "}" do
		local key, after = read_key(text, position)
		if not key then
			length = length + 1
			key = length
		elseif made[key] ~= nil then
			fail(text, position, ("%q is there twice"):format(key))
		else
			position = expect(text, after, "=", "after a key")
		end
		made[key], position = read_value(text, position, depth)
		if text:find("^[,;]", position) then
			position = skip(text, position + 1)
		elseif text:sub(position, position) ~= "}" then
			fail(text, position, "a comma or } is missing after a field")
		end
	end
	return made, skip(text, position + 1)
end

--- The table that a text holds, which may begin with `return`; or nil and a message with the number of the line.
function table_text.decode(text)
	local done, made = pcall(function ()
		local position = skip(text, 1)
		local after = text:match("^return%f[^%w_]()", position)
		local value, rest = read_table(text, skip(text, after or position), 1)
		if rest <= #text then
			fail(text, rest, "the file goes on after the table")
		end
		return value
	end)
	if done then
		return made
	elseif type(made) == "table" then
		return nil, made.message
	end
	error(made, 0)
end

return table_text
