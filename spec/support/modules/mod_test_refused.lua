-- For tests only: logs the events about refusals, as an operator's module gets them.
-- luacheck: globals module

module:hook("tls-policy/refused", function (event)
	local refusal = event.refusal
	module:log("info", "Refused: %s %s", refusal and refusal.role or event.session.type, event.text)
end)
