-- For tests only: when the server has started, each host sends a message to far.test, so that it makes an
-- outgoing stream.
-- luacheck: globals module

module:set_global()

local stanza = require "util.stanza"

module:hook("server-started", function ()
	for host in pairs(prosody.hosts) do
		module:context(host):send(stanza.message({ from = host, to = "far.test", type = "normal" }):text_tag("body", "hello"))
	end
	module:log("info", "All hosts have sent")
end)
