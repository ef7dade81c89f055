--- Writes our metrics into a file for Prometheus's node_exporter, as Metronome has no statistics. The command
-- `stats` shows them, too.
local metrics_text = require "xmpp_tls_policy.metrics_text"
local text = require "xmpp_tls_policy.text"

local metronome_metrics = {}

local OPTION = "xmpp_tls_policy_metrics_file"

-- Writes a file in one step, so that nobody reads half of it. Returns true, or nil and a message.
local function write(path, contents)
	local temporary = path .. ".new"
	local file, problem = io.open(temporary, "w")
	if not file then
		return nil, problem
	end
	local written, write_problem = file:write(contents)
	local closed, close_problem = file:close()
	if not written or not closed then
		os.remove(temporary)
		return nil, ("%s: %s"):format(temporary, tostring(write_problem or close_problem))
	end
	return os.rename(temporary, path)
end

--- Returns a function that writes the metrics (see metrics.lua) into the file that the operator names; it does nothing
-- where he names none. A failure is logged once, until it works again. `module`: ours, global.
function metronome_metrics.writer(module, metrics)
	local failed = false
	return function ()
		local path = module:get_option(OPTION)
		if type(path) ~= "string" then
			return
		end
		local written, problem = write(path, metrics_text(metrics:list()))
		if not written and not failed then
			module:log("error", "The metrics cannot be written (%s): %s", OPTION, text.shown(tostring(problem)))
		elseif written and failed then
			module:log("info", "The metrics can be written again to %s", text.shown(path))
		end
		failed = not written
	end
end

return metronome_metrics
