-- For tests only: a handler that waits for another stanza, as others wait for a database. A message
-- whose id begins with "wait" waits until one arrives whose id is the same with "wake" in its place.
-- luacheck: globals module

local async = require "util.async"

local waiting = {}

module:hook("message/host", function (event)
	local what, number = tostring(event.stanza.attr.id):match "^(%a+)(%d+)$"
	if what == "wait" then
		local wait, done = async.waiter()
		waiting[number] = done
		module:log("info", "Waiting: %s", number)
		wait()
		module:log("info", "Awake: %s", number)
	elseif what == "wake" and waiting[number] then
		waiting[number]()
		waiting[number] = nil
	end
end, 2000)
