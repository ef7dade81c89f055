-- Foreign text made harmless, and values and lists as words: printable values, the nearest known
-- name, short lists.
local is_invisible = require "xmpp_tls_policy.invisible"

local unpack = table.unpack or unpack

local text = {}

local LONGEST = 60 -- bytes of a foreign string that are shown

-- ---- UTF-8 ---------------------------------------------------------------------

-- Characters of more than one byte (rfc3629.4.utf8).
local multibyte = {
	"[\194-\223][\128-\191]",
	"\224[\160-\191][\128-\191]", "[\225-\236\238\239][\128-\191][\128-\191]", "\237[\128-\159][\128-\191]",
	"\240[\144-\191][\128-\191][\128-\191]", "[\241-\243][\128-\191][\128-\191][\128-\191]",
	"\244[\128-\143][\128-\191][\128-\191]",
}

local at_position = {}
for index, pattern in ipairs(multibyte) do
	at_position[index] = "^" .. pattern
end

local function character_at(string, position)
	for _, pattern in ipairs(at_position) do
		local character = string:match(pattern, position)
		if character then
			return character
		end
	end
end

-- By the number of bytes of a character: the bits of its first byte that count.
local first_bits = { [2] = 0x20, [3] = 0x10, [4] = 0x08 }

local function code_point(character)
	local value = character:byte() % first_bits[#character]
	for index = 2, #character do
		value = value * 64 + character:byte(index) % 64
	end
	return value
end

-- Whether a string is UTF-8 (RFC 3629).
function text.is_utf8(string)
	if not string:find "[\128-\255]" then
		return true
	end
	for _, pattern in ipairs(multibyte) do
		string = string:gsub(pattern, "?")
	end
	return not string:find "[\128-\255]"
end

-- One byte as Lua writes it in a string: "\007".
local function escaped_byte(character)
	return ("\\%03d"):format(character:byte())
end

-- The form in which all foreign text is logged, shown, sent and handed to other modules: a string
-- that a terminal can show and XML can hold. Each byte of a character that cannot be seen (see
-- invisible.lua), or of none, is escaped as Lua writes it. What is shown already stays as it is.
function text.shown(string)
	if not string:find "[^ -~]" then
		return string
	end
	local parts, position = {}, 1
	while position <= #string do
		local plain = string:match("^[ -~]+", position)
		local character = plain or character_at(string, position)
		local shown = plain or character and not is_invisible(code_point(character))
		character = character or string:sub(position, position)
		parts[#parts + 1] = shown and character or character:gsub(".", escaped_byte)
		position = position + #character
	end
	return table.concat(parts)
end

-- The same for text of several lines, which it keeps, with their indentation.
function text.shown_lines(string)
	return (string:gsub("[^\n\t]+", text.shown))
end

-- The same for the message of an error, which keeps the lines of its traceback alone.
function text.shown_failure(message)
	local problem, traceback = message:match "^(.*)(\nstack traceback:.*)$"
	return text.shown(problem or message) .. text.shown_lines(traceback or "")
end

-- The same for each string among the arguments; all others are returned as they are.
function text.all_shown(...)
	local arguments, count = { ... }, select("#", ...)
	for index = 1, count do
		local argument = arguments[index]
		arguments[index] = type(argument) == "string" and text.shown(argument) or argument
	end
	return unpack(arguments, 1, count)
end

-- The first bytes of a string, at most so many, without a part of a character.
local function beginning(string, most)
	local following = string:match("^[\128-\191]", most + 1)
	return following and string:sub(1, most):gsub("[\192-\247][\128-\191]*$", "") or string:sub(1, most)
end

-- A foreign string in double quotes. A long one is cut, and its length in bytes follows.
function text.quote(string)
	local shown = text.shown(beginning(string, LONGEST)):gsub('"', '\\"')
	if #string > LONGEST then
		return ('"%s..." (%d bytes)'):format(shown, #string)
	end
	return '"' .. shown .. '"'
end

-- The number of characters of a UTF-8 string, each taken for one column.
function text.columns(string)
	if not string:find "[\128-\255]" then
		return #string
	end
	return select(2, string:gsub("[^\128-\191]", ""))
end

-- The first `width` columns of a string, and the rest.
local function split_at(string, width)
	local position = 0
	for _ = 1, width do
		position = string:match("^[^\128-\191]?[\128-\191]*()", position + 1) - 1
	end
	return string:sub(1, position), string:sub(position + 1)
end

-- A string as a list of lines of at most `width` columns, broken between words; a word that is longer
-- is broken in itself. Lines after the first begin with `indent`, which is shorter than the width.
function text.wrapped(string, width, indent)
	local lines, line = {}, ""
	local function end_line()
		lines[#lines + 1], line = line:gsub(" +$", ""), indent
	end
	for whole, gap in string:gmatch "([^ ]+)( *)" do
		local word = whole
		local first = #lines == 0 and "" or indent
		if line ~= first and text.columns(line) + text.columns(word) > width then
			end_line()
		end
		while text.columns(line) + text.columns(word) > width do
			local part, rest = split_at(word, width - text.columns(line))
			line, word = line .. part, rest
			end_line()
		end
		line = line .. word .. gap
	end
	lines[#lines + 1] = line:gsub(" +$", "")
	return lines
end

-- ---- values and names ------------------------------------------------------------

-- Any value in few words. Calls no metamethod, so it never throws.
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
	elseif kind == "table" and next(value) == nil then
		return "an empty table"
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

-- The name of a list that is nearest to a misspelt one; nil if none is near. Upper and
-- lower case are alike.
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

-- The end of an error about a misspelt name: '; did you mean "must"?', or "".
function text.suggestion(word, names)
	local nearest = text.nearest(word, names)
	return nearest and ("; did you mean %s?"):format(text.quote(nearest)) or ""
end

-- "a", "b", "c"
function text.quoted_list(names)
	local quoted = {}
	for index, name in ipairs(names) do
		quoted[index] = text.quote(name)
	end
	return table.concat(quoted, ", ")
end

-- "a, b, c and 12 more", with `most` (default 6) names; "none" of an empty list.
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

return text
