--- Asserts that no failure of ours is in a server's log, and that the server runs. `server`: see support/prosody.lua.
local assert = require "luassert"

return function (server)
	local log = server:log()
	assert.is_nil(log:match "Internal error")
	assert.is_nil(log:match "xmpp_tls_policy/[%w_/]+%.lua:%d+")
	assert.is_true(server:alive())
end
