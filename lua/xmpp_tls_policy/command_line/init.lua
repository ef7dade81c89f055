--- The command `xmpp-tls-policy`. Each of its commands is a file of this folder, which returns
--   name      as it is typed
--   summary   a sentence for the help
--   define    function(parser): adds the command's arguments and options (argparse)
--   run       function(options, out) -> exit status; `options`: the table that argparse made;
--             `out`: { write = function(text), for the result; warn = function(text), for a line about
--             something else; terminal = function("stdout" or "stderr"), as terminal.of of terminal.lua, or nil
--             if there is none; draw = function(text), for the progress on the terminal that stderr is;
--             on_interrupt = function(call): until the function that it returns is called, Ctrl-C calls `call` and ends
--             the program with status 130; or nil;
--             problem = function() -> nil, or why a text for the result could not be written; or nil }
local interruption = require "xmpp_tls_policy.command_line.interruption"
local terminal = require "xmpp_tls_policy.command_line.terminal"
local text = require "xmpp_tls_policy.text"
local version = require "xmpp_tls_policy.version"

local command_line = {}

--- The files of the commands, in the order of the help.
command_line.names = { "audit", "check", "render", "policy", "new_key" }

-- EX_USAGE, EX_SOFTWARE and EX_IOERR of sysexits.h: no command's own exit status.
local WRONG_USE, FAULT, NOT_WRITTEN = 64, 70, 74

local write_problem

local standard_streams = {
	write = function (characters)
		local written, problem = io.stdout:write(characters)
		if written then
			written, problem = io.stdout:flush()
		end
		write_problem = write_problem or not written and problem or nil
	end,
	warn = function (characters)
		io.stderr:write("xmpp-tls-policy: ", characters, "\n")
	end,
	terminal = terminal.of,
	draw = function (characters)
		io.stderr:write(characters)
		io.stderr:flush()
	end,
	on_interrupt = interruption.on,
	problem = function ()
		return write_problem
	end,
}

local function new_parser(argparse, commands)
	local parser = argparse("xmpp-tls-policy", "TLS policy for XMPP servers.")
	parser:command_target "command"
	parser:add_help_command()
	parser:flag("--version", "Print the version and exit."):action(function ()
		print(version)
		os.exit(0)
	end)
	for _, name in ipairs(command_line.names) do
		local command = require("xmpp_tls_policy.command_line." .. name)
		commands[command.name] = command
		command.define(parser:command(command.name, command.summary))
	end
	return parser
end

--- Runs a command. `arguments`: a list of strings; `out`: as above, or nil: the standard streams.
-- Returns the exit status: the command's own, 64 for wrong use, 70 after an error of the program, 74 if the result
-- could not be written, 130 after Ctrl-C.
function command_line.run(arguments, out)
	out = out or standard_streams
	local found, argparse = pcall(require, "argparse")
	if not found then
		out.warn "the Lua module argparse is missing: install lua-argparse (Debian) or argparse (LuaRocks)"
		return WRONG_USE
	end
	local commands = {}
	local made, parser = pcall(new_parser, argparse, commands)
	if not made then
		local reason = tostring(parser):match "[^\n]*":gsub(":$", "")
		out.warn(("it cannot start under %s (%s). Start it with the Lua for which it was built, such as lua5.4")
			:format(_VERSION, reason))
		return WRONG_USE
	end
	local parsed, options = parser:pparse(arguments)
	if not parsed then
		out.warn(options .. "\n" .. parser:get_usage())
		return WRONG_USE
	end
	local ended, status = xpcall(function ()
		return commands[options.command].run(options, out)
	end, debug.traceback)
	if not ended then
		out.warn("please report this error of the program: " .. text.shown_failure(tostring(status)))
		return FAULT
	end
	local problem = out.problem and out.problem()
	if problem then
		out.warn("the result could not be written: " .. problem)
		return NOT_WRITTEN
	end
	return status
end

return command_line
