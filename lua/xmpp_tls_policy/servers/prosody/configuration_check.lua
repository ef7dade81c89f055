--- The command `xmpp-tls-policy check` for Prosody: runs `prosodyctl`, which finds Prosody's code, configuration and
-- user; see check_command.lua.
local configuration_check = {}

-- Begins the lines that are not prosodyctl's own. No line of a configuration or of Prosody looks like it.
local MARK = "xmpp-tls-policy: the check begins"
local END = "xmpp-tls-policy: exit status "

local function quoted(word)
	return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- prosodyctl ends with 1 itself if it cannot read the configuration.
local COULD_NOT_BE_CHECKED = 2

-- Of a check that came to its end; a signal has another.
local statuses = { ["0"] = 0, ["1"] = 1, ["2"] = COULD_NOT_BE_CHECKED }

local function command_of(options)
	local words = { "prosodyctl", "--silent" }
	local function add(...)
		for _, word in ipairs { ... } do
			words[#words + 1] = word
		end
	end
	if options.config then
		add("--config", options.config)
	end
	add("mod_xmpp_tls_policy", "check", "--mark=" .. MARK)
	for _, name in ipairs { "format", "width" } do
		if options[name] then
			add(("--%s=%s"):format(name, options[name]))
		end
	end
	add(options.host)
	for index, word in ipairs(words) do
		words[index] = quoted(word)
	end
	return ("%s; echo %s$?"):format(table.concat(words, " "), quoted(END))
end

--- Checks the configuration of Prosody. `options`: { config = path (nil: the server's own), format, width, host },
-- strings; `out`: see command_line/init.lua. Returns the exit status.
function configuration_check.check(options, out)
	local pipe, message = io.popen(command_of(options))
	if not pipe then
		out.warn("prosodyctl cannot be started: " .. tostring(message))
		return COULD_NOT_BE_CHECKED
	end
	local before, began, status = {}, false, nil
	for line in pipe:lines() do
		status = line:match("^" .. END:gsub("%p", "%%%0") .. "(%d+)$") or status
		if line == MARK then
			began = true
		elseif began and not status then
			out.write(line .. "\n")
		elseif not began and not status then
			before[#before + 1] = line:find "%S" and line or nil
		end
	end
	pipe:close()
	if began and status and not statuses[status] then
		out.warn(("the check did not come to its end; prosodyctl ended with the status %s"):format(status))
		return COULD_NOT_BE_CHECKED
	elseif not began or not status then
		out.warn("the configuration could not be checked"
			.. (before[1] and "; prosodyctl says:\n" .. table.concat(before, "\n") or ""))
		return COULD_NOT_BE_CHECKED
	end
	return statuses[status]
end

return configuration_check
