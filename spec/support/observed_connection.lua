-- A TLS connection like those of a server: a LuaSec connection with a context that the core
-- observes, over loopback within this process.
local core = require "xmpp_tls_policy.core"
local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"

local observed_connection = {}

-- Both ends of a TCP connection.
local function connected()
	local listener = assert(socket.bind("127.0.0.1", 0))
	local near = assert(socket.connect("127.0.0.1", (select(2, listener:getsockname()))))
	local far = assert(listener:accept())
	listener:close()
	return near, far
end

local function merged(base, more)
	local all = {}
	for _, options in ipairs { base, more or {} } do
		for name, value in pairs(options) do
			all[name] = value
		end
	end
	return all
end

local function shake_hands(one, other)
	one:settimeout(0)
	other:settimeout(0)
	local deadline = socket.gettime() + process.PATIENCE
	repeat
		local one_done, one_reason = one:dohandshake()
		local other_done, other_reason = other:dohandshake()
		if one_done and other_done then
			return
		end
		for _, reason in ipairs { one_reason or false, other_reason or false } do
			assert(not reason or reason == "wantread" or reason == "wantwrite", reason)
		end
		socket.select({ one, other }, nil, 0.01)
	until socket.gettime() > deadline
	error "the handshake comes to no end"
end

--- `server`, `client`: options of ssl.newcontext beside mode. Returns the LuaSec connection at the
-- server's end, and a function that closes both ends.
function observed_connection.open(server, client)
	local near, far = connected()
	local context = assert(ssl.newcontext(merged({ mode = "server", protocol = "any", verify = "none" }, server)))
	local adopted = assert(core.context.adopt(context))
	assert(adopted:observe(1, true))
	adopted:close()
	local ours = assert(ssl.wrap(far, context))
	local theirs = assert(ssl.wrap(near, assert(ssl.newcontext(
		merged({ mode = "client", protocol = "any", verify = "none" }, client)))))
	shake_hands(theirs, ours)
	return ours, function ()
		theirs:close()
		ours:close()
	end
end

return observed_connection
