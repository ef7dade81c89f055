-- For tests only: logs the answers to pings of the harness, whose IDs begin with "harness".
-- luacheck: globals module

module:set_global()

module:hook("route/process", function (_, stanza)
	local kind = stanza.attr.type
	if tostring(stanza.attr.id):find "^harness" and (kind == "result" or kind == "error") then
		local said = kind == "result" and "Pong" or "No answer"
		module:log("info", "Answer to %s: %s %s", stanza.attr.id, said, tostring(stanza))
		return true
	end
end, 10)
