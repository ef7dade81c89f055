-- For tests only: what an operator's module hears of refusals, in the log.
-- luacheck: globals module

module:hook("tls-policy/refused", function (event)
	local refusal = event.refusal
	module:log("info", "Refused: %s %s", refusal and refusal.role or event.session.type, event.text)
end)
