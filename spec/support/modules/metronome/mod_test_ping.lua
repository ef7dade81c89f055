-- For tests only: logs the answers to pings of the harness, whose IDs begin with "harness".
-- luacheck: globals module

module:set_global()

module:hook("route/process", function (_, stanza)
	if tostring(stanza.attr.id):find "^harness" then
		module:log("info", "Answer to %s: %s %s", stanza.attr.id, stanza.attr.type == "result" and "Pong" or "No answer",
			tostring(stanza))
		return true
	end
end, 10)
