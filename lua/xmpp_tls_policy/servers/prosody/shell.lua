--- The section `tlspolicy` of the admin shell, on Prosody 0.12 and 13.
local array = require "util.array"
local columns = require "xmpp_tls_policy.commands.columns"
local json = require "util.json"
local text = require "xmpp_tls_policy.text"
local turns = require "xmpp_tls_policy.servers.prosody.turns"

local shell = {}

local SECTION = "tlspolicy"
local DESCRIPTION = "The TLS policy: what is connected and how, what is in force where, and who was refused"

-- Since Prosody 13, whose modules are to be found by these names, too. Whether its shell is
-- loaded before us is a matter of chance.
local takes_items = pcall(require, "prosody.util.stanza")

-- Prosody 0.12 does not say how wide the terminal is.
local WIDTH_UNKNOWN = 132

---- Printing -----------------------------------------------------------------

-- Of long lists many lines are sent at a time, as each time costs; but Prosody 13 passes on
-- no more than 10,000 bytes, with what XML makes of them.
local LONG, AT_A_TIME = 500, 4000

-- Only Prosody 13 can, and has to, send a long text in pieces, each of whose bytes may
-- become six in XML.
local PIECE = 1500

local function print_text(session, string)
	while session.write and #string > 2 * AT_A_TIME do
		local last = PIECE
		while string:find("^[\128-\191]", last + 1) do
			last = last - 1
		end
		session.write(string:sub(1, last))
		string = string:sub(last + 1)
	end
	session.print(string)
end

-- Returns a function that prints lines, given as lists of strings with the end of line,
-- which it empties; called without, it prints what is left.
local function printer(session, count)
	local at_a_time, ready, size = count > LONG and AT_A_TIME or 1, {}, 0
	local function flush()
		if size > 0 then
			print_text(session, (table.concat(ready):gsub("\n$", "")))
			for index = #ready, 1, -1 do
				ready[index] = nil
			end
			size = 0
		end
	end
	return function (parts)
		for index, part in ipairs(parts or {}) do
			ready[#ready + 1], size, parts[index] = part, size + #part, nil
		end
		if not parts or size >= at_a_time then
			flush()
		end
	end
end

--- Prints rows as a table that fits the terminal of a shell session; see columns.lua. The
-- rows are made printable. `fold`: from which column on what does not fit goes on in a
-- second line (nil: none).
function shell.print_table(session, titles, rows, fold)
	local made, next_turn, parts, add = columns.new(titles), turns.new(), {}, printer(session, #rows)
	for _, row in ipairs(rows) do
		for index = 1, #titles do
			row[index] = text.shown(row[index] or "")
		end
		made:add(row)
		next_turn()
	end
	made:fit(session.width or WIDTH_UNKNOWN, fold)
	made:add_text(parts, titles)
	add(parts)
	for _, row in ipairs(rows) do
		made:add_text(parts, row)
		add(parts)
		next_turn()
	end
	add()
end

--- Prints one line, whatever is in it.
function shell.print(session, format, ...)
	print_text(session, text.shown(format:format(...)))
end

--- "1 host", "2 hosts".
function shell.counted(number, noun)
	return ("%d %s%s"):format(number, noun, number == 1 and "" or "s")
end

-- The same value with strings that XML can hold.
local function clean(value)
	if type(value) == "string" then
		return text.shown(value)
	elseif type(value) ~= "table" then
		return value
	end
	local new = setmetatable({}, getmetatable(value))
	for key, item in pairs(value) do
		new[clean(key)] = clean(item)
	end
	return new
end

local function is_list(value)
	return getmetatable(value) == getmetatable(array())
end

local function sorted_names(result)
	local names = {}
	for name in pairs(result) do
		names[#names + 1] = name
	end
	table.sort(names)
	return names
end

-- Each field, and of lists each item, has a line: Prosody 13 passes on none of 10,000 bytes.
local function print_json(session, result)
	local next_turn, count, names = turns.new(), 0, sorted_names(result)
	local items = 0
	for _, name in ipairs(names) do
		items = items + (is_list(result[name]) and #result[name] or 1)
	end
	local print_parts = printer(session, items)
	local function add(line, more)
		print_parts { line, more and ",\n" or "\n" }
		count = count + 1
		next_turn()
	end
	local function encoded(value)
		return json.encode_ordered(clean(value))
	end
	add "{"
	for index, name in ipairs(names) do
		local value, more = result[name], names[index + 1]
		if is_list(value) then
			add(encoded(name) .. ":[")
			for number, item in ipairs(value) do
				add(encoded(item), value[number + 1])
			end
			add("]", more)
		else
			add(encoded(name) .. ":" .. encoded(value), more)
		end
	end
	add "}"
	print_parts()
	return true, shell.counted(count, "line") .. " of JSON"
end

---- Commands -----------------------------------------------------------------

local LEAST_WIDTH = 40

-- What a command was called with: a list of its own arguments; the width, if given; whether
-- JSON is wanted. Or nothing, nil, nil and a message.
local function read_arguments(command, ...)
	local words, count = { ... }, select("#", ...)
	local width, wants_json
	if words[count] == "json" then
		wants_json, count = true, count - 1
	end
	local given = count > 0 and type(words[count]) == "string" and words[count]:match "^width=(.*)$"
	if given then
		width, count = tonumber(given:match "^%d+$"), count - 1
		if not width or width < LEAST_WIDTH then
			return nil, nil, nil, ("%s is no width: a number from %d on"):format(text.quote(given), LEAST_WIDTH)
		end
	end
	local most = command.argument and (command.further and 2 or 1) or 0
	if count > most then
		return nil, nil, nil, ("%s takes %s, and then \"width=80\" or \"json\""):format(command.name,
			most == 0 and "no argument" or most == 1 and "one argument, " .. command.argument
			or ("%s and %s"):format(command.argument, command.further))
	end
	local arguments = {}
	for index = 1, count do
		if words[index] ~= nil and type(words[index]) ~= "string" then
			return nil, nil, nil, ("%s is no text"):format(text.printable(words[index]))
		end
		arguments[index] = words[index]
	end
	return arguments, width, wants_json
end

-- A command's handler as the shell calls it: what is printed for people, or, with "json"
-- for the last argument, the same as JSON. What a script gets is in the exit status, too.
local function handler(module, command)
	return function (self, ...)
		local arguments, width, wants_json, wrong = read_arguments(command, ...)
		if wrong then
			return nil, wrong
		end
		local session = width and setmetatable({ width = width }, { __index = self.session }) or self.session
		local done, message
		if wants_json then
			done, message = command.data(arguments[1], module, arguments[2])
			if done ~= nil then
				done, message = print_json(session, done)
			end
		else
			done, message = command.show(session, arguments[1], module, arguments[2])
		end
		return done, message and text.shown(message)
	end
end

local function signature(command)
	return ("%s:%s(%s)"):format(SECTION, command.name,
		command.further and ("%s, %s"):format(command.argument, command.further) or command.argument or "")
end

local function describe(command)
	return ("%s - %s"):format(signature(command), command.help)
end

-- Prosody 0.12 has no place for the help of others' commands.
local function help_with(original, list)
	return function (session, line)
		local section = line:match "^help (%w+)"
		if section ~= SECTION then
			original(session, line)
			if not section then
				session.print(("%-8s | %s"):format(SECTION, DESCRIPTION))
			end
			return
		end
		for _, command in ipairs(list) do
			session.print(describe(command))
		end
		session.print [[With "json" for the last argument, each prints JSON; with "width=80", tables of so many columns.]]
	end
end

-- Puts the section into the environment that shells of Prosody 0.12 begin with. The
-- shell's own module makes its help anew whenever it loads.
local function add_to_environment(module, list)
	local environment, shared = module:shared "/*/admin_shell/env", module:shared "/*/admin_shell/commands"
	local section, original, help = {}, nil, nil
	for _, command in ipairs(list) do
		section[command.name] = handler(module, command)
	end
	environment[SECTION] = section
	local function add_help()
		if shared.help and shared.help ~= help then
			original = shared.help
			help = help_with(original, list)
			shared.help = help
		end
	end
	add_help()
	module:hook("module-loaded", function (event)
		if event.module == "admin_shell" then
			add_help()
		end
	end)
	return function ()
		environment[SECTION] = nil
		if help and shared.help == help then
			shared.help = original
		end
	end
end

-- Prosody 13 takes them as items, which go when the module goes.
local function add_items(module, list)
	for _, command in ipairs(list) do
		local arguments = { { name = "format", type = "string" } }
		if command.argument then
			table.insert(arguments, 1, { name = command.argument, type = "string" })
		end
		if command.further then
			table.insert(arguments, 2, { name = command.further, type = "string" })
		end
		module:add_item("shell-command", {
			section = SECTION, section_desc = DESCRIPTION, name = command.name, desc = command.help,
			args = arguments, handler = handler(module, command),
		})
	end
	return function () end
end

--- Adds commands: a list of { name, help, argument = what its first argument is called
-- (nil: none), further = its second, data = function(argument, module, further) -> a table for JSON, in which lists
-- are arrays of util.array, or nil and a message; show = function(session, argument, module, further) ->
-- true and a message, or nil and one }. Strings may hold anything. Returns a function that
-- removes them.
function shell.add(module, list)
	return (takes_items and add_items or add_to_environment)(module, list)
end

return shell
