-- Words for people: printable values, nearest known names, short lists.
local text = {}

local LONGEST = 60 -- bytes of a foreign string that are shown

-- A string of which what is not printable ASCII is escaped as Lua writes it, so that
-- no foreign text can break a line of a log or move a terminal's cursor.
function text.escaped(string)
	return (string:gsub('[^ -~]', function(character)
		return ("\\%03d"):format(character:byte())
	end))
end

-- The same in double quotes; long strings are cut, and their length is told.
function text.quote(string)
	local shown = text.escaped(string:sub(1, LONGEST)):gsub('"', '\\"')
	if #string > LONGEST then
		return ('"%s..." (%d bytes)'):format(shown, #string)
	end
	return '"' .. shown .. '"'
end

-- Characters of more than one byte (RFC 3629 4).
local multibyte = {
	"^[\194-\223][\128-\191]",
	"^\224[\160-\191][\128-\191]", "^[\225-\236\238\239][\128-\191][\128-\191]", "^\237[\128-\159][\128-\191]",
	"^\240[\144-\191][\128-\191][\128-\191]", "^[\241-\243][\128-\191][\128-\191][\128-\191]",
	"^\244[\128-\143][\128-\191][\128-\191]",
}

-- Characters that move a cursor, turn the direction of writing, or may not be in XML:
-- U+0080 to U+009F, U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069, U+FEFF,
-- U+FFFE, U+FFFF.
local unshown = {
	"^\194[\128-\159]$", "^\216\156$", "^\226\128[\142\143\168-\174]$", "^\226\129[\166-\169]$", "^\239\187\191$",
	"^\239\191[\190\191]$",
}

local function character_at(string, position)
	for _, pattern in ipairs(multibyte) do
		local character = string:match(pattern, position)
		if character then
			return character
		end
	end
end

local function is_shown(character)
	for _, pattern in ipairs(unshown) do
		if character:find(pattern) then
			return false
		end
	end
	return true
end

-- A string as a terminal can show it and XML can hold it: what is printable of UTF-8 stays,
-- every other byte is escaped as Lua writes it.
function text.shown(string)
	if not string:find "[^ -~]" then
		return string
	end
	local parts, position = {}, 1
	while position <= #string do
		local plain = string:match("^[ -~]+", position)
		local character = plain or character_at(string, position)
		if not character then
			character = string:sub(position, position)
		end
		parts[#parts + 1] = (plain or #character > 1 and is_shown(character)) and character
			or character:gsub(".", function (byte)
				return ("\\%03d"):format(byte:byte())
			end)
		position = position + #character
	end
	return table.concat(parts)
end

-- Any value in few words. Calls no metamethod, so it cannot throw.
function text.printable(value)
	local kind = type(value)
	if kind == "string" then
		return text.quote(value)
	elseif kind == "number" then
		if value ~= value then
			return "not a number"
		elseif value == math.huge or value == -math.huge then
			return value > 0 and "infinity" or "minus infinity"
		end
		return ("%.14g"):format(value)
	elseif kind == "boolean" or kind == "nil" then
		return tostring(value)
	end
	return "a " .. kind
end

-- Number of single-character edits between two short strings (Levenshtein).
local function distance(a, b)
	local row = {}
	for j = 0, #b do
		row[j] = j
	end
	for i = 1, #a do
		local diagonal = row[0]
		row[0] = i
		for j = 1, #b do
			local cost = a:byte(i) == b:byte(j) and 0 or 1
			local best = math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
			diagonal, row[j] = row[j], best
		end
	end
	return row[#b]
end

-- Which of `names` was probably meant, or nil. Upper and lower case are alike.
function text.nearest(word, names)
	if type(word) ~= "string" or #word > LONGEST then
		return nil
	end
	local best, least
	for _, name in ipairs(names) do
		local edits = distance(word:lower(), name:lower())
		if edits <= math.max(2, math.floor(#name / 3)) and (not least or edits < least) then
			best, least = name, edits
		end
	end
	return best
end

-- "a", "b", "c"
function text.quoted_list(names)
	local quoted = {}
	for index, name in ipairs(names) do
		quoted[index] = text.quote(name)
	end
	return table.concat(quoted, ", ")
end

-- a, b, c and 12 more
function text.short_list(names, most)
	most = most or 6
	if #names == 0 then
		return "none"
	elseif #names <= most then
		return table.concat(names, ", ")
	end
	return table.concat(names, ", ", 1, most) .. (" and %d more"):format(#names - most)
end

-- "1 day", "2 days", "0 days"
function text.counted(number, noun)
	return ("%.0f %s%s"):format(number, noun, number == 1 and "" or "s")
end

local DAY = 86400 -- seconds

-- A span of time, in seconds, in whole days.
function text.days(seconds)
	local days = math.floor(seconds / DAY)
	if days < 1 then
		return "less than a day"
	end
	return days == 1 and "1 day" or ("%.0f days"):format(days)
end

return text
