-- Sessions that were stored outside and are given to connection.new, and then offered to a server: a
-- byte for version and server name, and the session.
local core = require "xmpp_tls_policy.core"
local handshake = require "support.handshake"
local live_session = require "support.live_session"

local target = {}

local names = { [0] = "a.test", "b.test" }
local versions = { [0] = "TLSv1.2", "TLSv1.3" }

-- A session is resumed only with its own name and secret.
local function check(client, server, name, bytes)
	local facts = server:facts()
	assert(facts.resumed == client:facts().resumed, "only one end has resumed")
	if facts.resumed then
		assert(name == "a.test", "resumed under another name")
		assert(live_session.has_secret(bytes), "resumed without a secret")
	end
	client:read()
	client:insecure_session()
end

function target.test(bytes)
	local first = bytes:byte(1) or 0
	local version, name = versions[first % 2], names[math.floor(first / 2) % 2]
	bytes = live_session.put_in(bytes:sub(2))
	local context = live_session.client(version)
	local client, _, code = core.connection.new(context, { session = bytes, server_name = name })
	if not client then
		assert(code == "parse", code)
		return
	end
	local server = assert(core.connection.new(live_session.server()))
	if handshake.run(client, server) then
		check(client, server, name, bytes)
	end
	client:close()
	server:close()
end

function target.seeds()
	local seeds = {}
	for first = 0, 3 do
		local _, session = live_session.client(versions[first % 2])
		seeds[first + 1] = string.char(first) .. live_session.take_out(session.bytes)
	end
	return seeds
end

return target
