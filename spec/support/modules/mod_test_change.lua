-- For tests only: what an operator's module hears of changed certificates, in the log.
-- luacheck: globals module

module:hook("tls-policy/certificate-changed", function (event)
	module:log("info", "Changed: %s %s", event.domain, event.result.kind)
end)
