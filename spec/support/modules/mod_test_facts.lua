-- For tests only: logs session.tls_policy, as other plugins find it.
-- luacheck: globals module

local function show(event)
	local session = event.session
	local found = session.tls_policy
	module:log("info", "Facts of %s: %s", session.type, found and ("%s %s %s refuse=%s group=%s"):format(
		found.facts.role, found.facts.version, found.policy, tostring(found.verdict.refuse),
		tostring(found.facts.group)) or "none")
end

module:hook("resource-bind", show)
module:hook("s2sin-established", show)
module:hook("s2sout-established", show)

module:log("info", "Network backend: %s", require "net.server".get_backend())
