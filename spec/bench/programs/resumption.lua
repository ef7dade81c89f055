-- Resumed handshakes over memory, for callgrind: arguments are "openssl" or
-- "store", the version, how many handshakes, certificate, key.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"

local mode, version, count, certificate, key = arg[1], arg[2], tonumber(arg[3]), arg[4], arg[5]

local server = assert(core.context.new {
	role = "server", certificate = certificate, key = key, openssl_cache = mode == "openssl",
})
if mode == "store" then
	assert(server:apply { no_stateless_tickets = true })
	assert(server:resume(assert(core.session_store.new { memory = 16, lifetime = 3600 }), "bench"))
end
local client = assert(core.context.new { role = "client", verify = "none" })
assert(client:apply { maximum_version = version })

local session
for index = 0, count do
	local one, other = assert(handshake.between(client, server, { session = session }))
	assert(one:facts().resumed == (index > 0))
	assert(other:write "x")
	assert(one:feed(other:take()))
	assert(one:read())
	session = session or assert(one:insecure_session())
	assert(one:shutdown())
	assert(other:feed(one:take()))
	other:read()
	assert(other:shutdown())
	one:close()
	other:close()
end
