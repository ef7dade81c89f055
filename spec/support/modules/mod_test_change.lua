-- For tests only: logs the events about changed certificates, as an operator's module gets them.
-- luacheck: globals module

module:hook("tls-policy/certificate-changed", function (event)
	module:log("info", "Changed: %s %s", event.domain, event.result.kind)
end)
