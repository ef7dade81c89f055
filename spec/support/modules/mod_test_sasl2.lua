-- For tests only: offers the mechanisms of the stream's SASL handler for SASL 2 (XEP-0388), as modules for it do.
-- luacheck: globals module

local stanza = require "util.stanza"

module:hook("stream-features", function (event)
	local handler = event.origin.sasl_handler
	if handler then
		local offer = stanza.stanza("authentication", { xmlns = "urn:xmpp:sasl:2" })
		for name in pairs(handler:mechanisms()) do
			offer:text_tag("mechanism", name)
		end
		event.features:add_direct_child(offer)
	end
end, -1)
