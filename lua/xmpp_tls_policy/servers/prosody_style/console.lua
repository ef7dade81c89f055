--- Runs our commands in the shell or console of a Prosody-style server.
local run = require "xmpp_tls_policy.commands.run"

local console = {
	SECTION = "tlspolicy",
	DESCRIPTION = "The TLS policy: connections, policies, contexts, certificates and refusals",
}

-- Not every server knows how wide the terminal is.
local WIDTH_UNKNOWN = 132

-- Each print costs an element: so lines are collected until they have this size.
local AT_A_TIME = 4000 -- bytes of XML

-- Prosody 13 passes on no element of more than 10,000 bytes. It can print a text in pieces.
local MOST = 9000 -- bytes of XML
local PIECE = 1500 -- bytes of text, of which each becomes at most six in XML

-- The size of a text in XML, or a little more.
local function size_in_xml(string)
	if not string:find "[&<>\"']" then
		return #string
	end
	return #string + 5 * select(2, string:gsub("[&<>\"']", ""))
end

local function print_in_pieces(session, string)
	while #string > PIECE do
		local last = PIECE
		while string:find("^[\128-\191]", last + 1) do
			last = last - 1
		end
		session.write(string:sub(1, last))
		string = string:sub(last + 1)
	end
	session.print(string)
end

local function print_lines(session, string)
	-- The session adds the last line break.
	string = string:gsub("\n$", "")
	if session.write and size_in_xml(string) > MOST then
		print_in_pieces(session, string)
	else
		session.print(string)
	end
end

--- A writer for a session of the shell, as commands/output.lua takes it; and a function that prints
-- the lines that are still collected.
local function writer(session)
	local ready, size = {}, 0
	local function flush()
		if ready[1] then
			local string = table.concat(ready)
			ready, size = {}, 0
			print_lines(session, string)
		end
	end
	local function write(string)
		ready[#ready + 1], size = string, size + size_in_xml(string)
		if size >= AT_A_TIME then
			flush()
		end
	end
	return { write = write, width = session.width or WIDTH_UNKNOWN }, flush
end

---- Commands ------------------------------------------------------------------

--- A command as the shell calls it. If it fails, a script gets an exit status that is not 0.
function console.handler(service, command)
	return function (self, ...)
		local to_session, flush = writer(self.session)
		local done, message = run(command, service, to_session, ...)
		flush()
		return done, message
	end
end

local function describe(command)
	return ("%s:%s(%s) - %s"):format(console.SECTION, command.name,
		table.concat({ command.argument, command.further, command.third }, ", "), command.help)
end

-- Which arguments an operator has to give.
local function about_arguments(list)
	local names = {}
	for _, command in ipairs(list) do
		names[#names + 1] = command.needs_argument and command.name or nil
	end
	return ("Arguments are in quotation marks, and can be left out%s."):format(
		names[1] and ", except the first of " .. table.concat(names, ", ") or "")
end

-- The help knows only its own sections.
local function help_with(original, list)
	return function (session, line)
		local section = line:match "^help (%w+)"
		if section ~= console.SECTION then
			original(session, line)
			if not section then
				session.print(("%-8s | %s"):format(console.SECTION, console.DESCRIPTION))
			end
			return
		end
		for _, command in ipairs(list) do
			session.print(describe(command))
		end
		session.print(about_arguments(list))
		session.print [["json" as the last argument prints JSON.]]
		session.print [["width=80" as the last argument sets the width of tables.]]
	end
end

--- Adds the section to the environment of each session of a shell, and its help. The shell's module makes its help
-- anew whenever it is loaded. `shell`: name of that module; `list`: commands (see commands/run.lua). Returns a
-- function that removes them.
function console.add(module, list, service, shell)
	local environment, shared = module:shared("/*/" .. shell .. "/env"), module:shared("/*/" .. shell .. "/commands")
	local section, original, help = {}, nil, nil
	for _, command in ipairs(list) do
		section[command.name] = console.handler(service, command)
	end
	environment[console.SECTION] = section
	local function add_help()
		if shared.help and shared.help ~= help then
			original = shared.help
			help = help_with(original, list)
			shared.help = help
		end
	end
	add_help()
	module:hook("module-loaded", function (event)
		if event.module == shell then
			add_help()
		end
	end)
	return function ()
		if environment[console.SECTION] == section then
			environment[console.SECTION] = nil
		end
		if help and shared.help == help then
			shared.help = original
		end
	end
end

return console
