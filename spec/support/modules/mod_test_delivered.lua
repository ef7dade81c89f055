-- For tests only: the stanzas that arrive at a host, in the log. A message for the host itself is
-- taken, so that no error answers it.
-- luacheck: globals module

for _, kind in ipairs { "message", "iq", "presence" } do
	for _, to in ipairs { "host", "bare", "full" } do
		module:hook(kind .. "/" .. to, function (event)
			local attr = event.stanza.attr
			module:log("info", "Delivered: %s %s from %s to %s", kind, tostring(attr.id), tostring(attr.from),
				tostring(attr.to))
			return kind == "message" and to == "host" or nil
		end, 1000)
	end
end
