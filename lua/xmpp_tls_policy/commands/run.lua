--- Runs a command for a shell of a server, or for anything else that has a writer.
--
-- A command is { name, help = one line, argument = name of its first argument (nil: it has none),
-- needs_argument = whether it cannot do without the first, further = name of its second, third = name of its third,
-- data = function(service, argument, further, third) -> a table of fields for JSON, in which lists are
-- made by server.list; or nil, message,
-- show = function(out, service, argument, further, third) -> true, message; or nil, message }.
-- `out` is an object of output.lua, `service` the parts of the module (see service.lua). A command
-- knows neither the server nor the shell. Strings that it returns may hold any bytes.
local arguments = require "xmpp_tls_policy.commands.arguments"
local output = require "xmpp_tls_policy.commands.output"
local text = require "xmpp_tls_policy.text"

local function as_json(out, command, service, read)
	local data, message = command.data(service, read.argument, read.further, read.third)
	if not data then
		return nil, message
	end
	return true, out:json(data)
end

local function as_tables(out, command, service, read)
	return command.show(out, service, read.argument, read.further, read.third)
end

--- Runs a command with the arguments that the operator gave. `writer`: see output.lua. Returns
-- true and a message for the last line, or nil and a message: the command failed.
return function (command, service, writer, ...)
	local read, message = arguments.read(command, ...)
	if not read then
		return nil, text.shown(message)
	end
	local out = output.new { server = service.server, writer = writer, width = read.width }
	local done, answer = (read.json and as_json or as_tables)(out, command, service, read)
	return done, answer and text.shown(answer)
end
