--- Reads the arguments that an operator gives to a command.
local text = require "xmpp_tls_policy.text"

local arguments = {}

local LEAST_WIDTH = 40

local function complaint(command)
	local takes = "no argument"
	if command.third then
		takes = ("three arguments (%s, %s, %s)"):format(command.argument, command.further, command.third)
	elseif command.further then
		takes = ("two arguments (%s, %s)"):format(command.argument, command.further)
	elseif command.argument then
		takes = ("one argument (%s)"):format(command.argument)
	end
	return ("%s takes %s, then \"width=80\" or \"json\""):format(command.name, takes)
end

--- Reads the arguments of a command (see run.lua): its own, at most as many as it has names for;
-- then "width=80", the columns of its tables; then "json". Returns { argument, further, third,
-- width = number, json = true }, each nil unless given; or nil and a message.
function arguments.read(command, ...)
	local words, count, read = { ... }, select("#", ...), {}
	if words[count] == "json" then
		read.json, count = true, count - 1
	end
	local width = count > 0 and type(words[count]) == "string" and words[count]:match "^width=(.*)$"
	if width then
		read.width, count = tonumber(width:match "^%d+$"), count - 1
		if not read.width or read.width < LEAST_WIDTH then
			return nil, ("%s is not a width: give a number of at least %d"):format(text.quote(width), LEAST_WIDTH)
		end
	end
	if count > (command.third and 3 or command.further and 2 or command.argument and 1 or 0) then
		return nil, complaint(command)
	end
	for index = 1, count do
		if words[index] ~= nil and type(words[index]) ~= "string" then
			return nil, ("%s is not a text in quotation marks"):format(text.printable(words[index]))
		end
	end
	read.argument, read.further = count >= 1 and words[1] or nil, count >= 2 and words[2] or nil
	read.third = count >= 3 and words[3] or nil
	return read
end

return arguments
