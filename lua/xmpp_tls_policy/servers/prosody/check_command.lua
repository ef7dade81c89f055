--- `prosodyctl mod_xmpp_tls_policy check`: prosodyctl loads the configuration and calls the module.
local adapter = require "xmpp_tls_policy.servers.prosody"
local check = require "xmpp_tls_policy.commands.check"
local dry_start = require "xmpp_tls_policy.servers.prosody.dry_start"
local forecast = require "xmpp_tls_policy.forecast"
local lfs = require "lfs"
local pposix = require "util.pposix"

local check_command = {}

local USAGE = [[
Usage: prosodyctl mod_xmpp_tls_policy check [--format text|json] [--width COLUMNS] [HOST]

Shows the TLS of each host as it would be after a restart, and problems of the configuration.
Changes nothing. Exit status: 0 fine, 1 problems, 2 could not be checked.
]]

-- prosodyctl does not know how wide the terminal is.
local WIDTH_UNKNOWN = 132

local LEAST_WIDTH = 40

local function ignore() end

local function complain(format, ...)
	io.stderr:write(format:format(...), "\n")
	return check.UNCHECKED
end

local valued = { format = true, width = true, mark = true }

-- Words such as "--format=json" or "--format", "json" as a table by name; the others are its list. Or nil and a
-- message.
local function parsed(words)
	local read, index = {}, 1
	while words[index] do
		local word = words[index]
		local name, value = word:match "^%-%-(%w+)=(.*)$"
		name = name or word:match "^%-%-(%w+)$"
		if name and valued[name] and not value then
			index = index + 1
			value = words[index]
		end
		if name and (valued[name] and not value or not valued[name] and name ~= "help") then
			return nil, ("%s is no option, or lacks its value"):format(word)
		end
		if name then
			read[name] = value or true
		else
			read[#read + 1] = word
		end
		index = index + 1
	end
	return read
end

-- The columns of the terminal, as far as the environment has them; some have 0 there.
local function width_of_terminal()
	local columns = tonumber(os.getenv "COLUMNS" or "")
	return columns and columns > 0 and math.max(columns, LEAST_WIDTH) or WIDTH_UNKNOWN
end

-- The options of check.run, from the words after the module's name; or nil and a message, which is empty if
-- help was asked for.
local function options_of(words)
	local read, message = parsed(words)
	if not read then
		return nil, message
	elseif read.help or not read[1] then
		return nil, ""
	elseif read[1] ~= "check" then
		return nil, ("%s is no command: check is the one"):format(read[1])
	elseif read[3] then
		return nil, ("%s is too much: one host can be checked, or all"):format(read[3])
	elseif read.format and read.format ~= "json" and read.format ~= "text" then
		return nil, ("%s is no format: text and json are"):format(read.format)
	end
	local width = read.width and tonumber(read.width) or not read.width and width_of_terminal()
	if not width or width < LEAST_WIDTH then
		return nil, ("a width is a number of at least %d"):format(LEAST_WIDTH)
	end
	return { host = read[2], json = read.format == "json", width = width, mark = read.mark }
end

-- An adapter that logs nothing and leaves nothing for later. An internal error ends the command.
local function quiet_adapter(module)
	local server = adapter.new(module)
	server.log, server.later = ignore, ignore
	function server.log_limited(kind, message)
		error(("%s: %s"):format(kind, message), 0)
	end
	function server.turns()
		return ignore
	end
	function server.open_store()
		error("a check opens no store", 0)
	end
	return server
end

-- Prosody's data belong to its user. Where there are none yet, nobody can tell.
local function is_own_user()
	local owner = lfs.attributes(prosody.paths.data, "uid")
	return owner == nil or owner == pposix.getuid()
end

local function prepared(server, host)
	host = server.prepare_domain(host) or host
	return host:find("xn--", 1, true) and server.unicode_form(host) or host
end

local function run(module, options)
	local errors = dry_start.run()
	local server = quiet_adapter(module)
	options.host = options.host and prepared(server, options.host)
	local found = forecast.new(server, { errors = errors, is_own_user = is_own_user() })
	if options.mark then
		io.stdout:write(options.mark, "\n")
	end
	return check.run(found, { write = function (text) io.stdout:write(text) end }, options)
end

--- Runs the command. `module`: Prosody's object for ours, global; `words`: those after the module's name. Returns
-- the exit status.
function check_command.run(module, words)
	local options, message = options_of(words)
	if not options then
		io.stderr:write(message ~= "" and message .. "\n" or "", USAGE)
		return check.UNCHECKED
	end
	local done, result, problem = xpcall(function ()
		return run(module, options)
	end, debug.traceback)
	if not done then
		return complain("The configuration could not be checked: %s", tostring(result))
	elseif problem then
		return complain("%s", problem)
	end
	return result
end

return check_command
