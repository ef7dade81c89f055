--- Prints lines, tables and JSON for the commands, to any writer. A writer is { write =
-- function(text), width = columns of its terminal, or nil: no limit }. It gets whole lines, each
-- with its line break, and only characters that a terminal can show and XML can hold.
local columns = require "xmpp_tls_policy.commands.columns"
local text = require "xmpp_tls_policy.text"

local output = {}

local methods = {}
local metatable = { __index = methods }

--- `options`: { server = the adapter, writer, width = columns that the operator asked for, or
-- nil: the writer's }.
function output.new(options)
	return setmetatable({
		_server = options.server, _write = options.writer.write, _width = options.width or options.writer.width,
	}, metatable)
end

--- Prints one line. The arguments may hold any bytes; they are escaped first, because format of Lua
-- 5.1 ends a string at a zero byte.
function methods:print(format, ...)
	self._write(format:format(text.all_shown(...)) .. "\n")
end

--- The same, wrapped between words where it is too long for the width.
function methods:wrapped(format, ...)
	local line = format:format(...)
	for _, part in ipairs(self._width and text.wrapped(text.shown(line), self._width, "  ") or { text.shown(line) }) do
		self:print("%s", part)
	end
end

local function print_table(self, titles, rows, fit)
	local made, next_turn, parts = columns.new(titles), self._server.turns(), {}
	for _, row in ipairs(rows) do
		for index = 1, #titles do
			row[index] = text.shown(row[index] or "")
		end
		made:add(row)
		next_turn()
	end
	if self._width then
		fit(made, self._width)
	end
	local function write(row)
		made:add_text(parts, row)
		self._write(table.concat(parts))
		for index = #parts, 1, -1 do
			parts[index] = nil
		end
	end
	write(titles)
	for _, row in ipairs(rows) do
		write(row)
		next_turn()
	end
end

--- Prints rows, lists of as many strings as there are titles (nil: empty), as a table that fits
-- the width; see columns.lua. The strings may hold any bytes; the rows are changed. `fold`: the
-- column at which a row that is too long goes on in a second line (nil: none).
function methods:table(titles, rows, fold)
	print_table(self, titles, rows, function (made, width)
		made:fit(width, fold)
	end)
end

--- The same, but nothing is cut: rows of a table that is too wide are wrapped between words. `fold`: the
-- column with which a new line begins then.
function methods:wrapped_table(titles, rows, fold)
	print_table(self, titles, rows, function (made, width)
		made:wrap(width, fold)
	end)
end

-- The same value with strings that a terminal and XML can hold.
local function cleaned(server, value)
	if type(value) == "string" then
		return text.shown(value)
	elseif type(value) ~= "table" then
		return value
	end
	local new = {}
	for key, item in pairs(value) do
		new[cleaned(server, key)] = cleaned(server, item)
	end
	return server.is_list(value) and server.list(new) or new
end

local function sorted_names(result)
	local names = {}
	for name in pairs(result) do
		names[#names + 1] = name
	end
	table.sort(names)
	return names
end

--- Prints a table of fields as JSON: a line for each field, and a line for each item of a field
-- that is a list of server.list, so that no line grows with the number of items. Returns the
-- number of lines in words.
function methods:json(result)
	local server, write, names = self._server, self._write, sorted_names(result)
	local next_turn, count = server.turns(), 0
	local function line(...)
		write(table.concat { ... } .. "\n")
		count = count + 1
		next_turn()
	end
	local function encoded(value)
		return server.encode_json(cleaned(server, value))
	end
	line "{"
	for index, name in ipairs(names) do
		local value, comma = result[name], names[index + 1] and "," or ""
		if server.is_list(value) then
			line(encoded(name), ":[")
			for number, item in ipairs(value) do
				line(encoded(item), value[number + 1] ~= nil and "," or "")
			end
			line("]", comma)
		else
			line(encoded(name), ":", encoded(value), comma)
		end
	end
	line "}"
	return text.counted(count, "line") .. " of JSON"
end

--- A time in UTC seconds as the log of the server writes it: in local time.
function output.time(seconds)
	return os.date("%Y-%m-%d %H:%M:%S", math.floor(seconds))
end

return output
