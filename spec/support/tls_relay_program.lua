-- The program of tls_relay.lua. Arguments: port of the server, its domain, certificate, key, version of TLS.
-- Writes the port on which it listens, and runs until its input ends.
local channel = require "xmpp_tls_policy.audit.channel"
local core = require "xmpp_tls_policy.core"
local tasks = require "xmpp_tls_policy.audit.tasks"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local tls_peer = require "support.tls_peer"
local uv = require "luv"

local server_port, domain, certificate, key, version = (unpack or table.unpack)(arg)
local versions = { minimum_version = version, maximum_version = version }
local PATIENCE = 600 -- seconds

local function deadline()
	return tasks.now() + PATIENCE
end

-- The stream up to <proceed/>, in turns.
local turns = {
	{ from = "client", ending = "<stream:stream[^>]*>" }, { from = "server", ending = "</stream:features>" },
	{ from = "client", ending = "<starttls[^>]*/>" }, { from = "server", ending = "<proceed[^>]*>" },
}

-- Hands on bytes until their text has the ending. Whether it came.
local function hand_on(from, to, ending)
	local text = ""
	repeat
		local bytes = from:read(deadline())
		if not bytes or not to:write(bytes, deadline()) then
			return false
		end
		text = text .. bytes
	until text:find(ending)
	return true
end

local function hand_on_all(read, write)
	local bytes
	repeat
		bytes = read()
	until not bytes or not write(bytes)
end

local function relay_secured(client, server, from_client, from_server)
	tasks.all {
		function ()
			hand_on_all(function ()
				local bytes, reason
				repeat
					bytes, reason = tls_peer.advance(client, from_client, "read")
				until reason ~= "timeout"
				return bytes
			end, function (bytes)
				return from_server:write(bytes, deadline())
			end)
			server:close()
		end,
		function ()
			hand_on_all(function ()
				return from_server:read(deadline())
			end, function (bytes)
				return tls_peer.advance(client, from_client, "write", bytes)
			end)
			client:close()
		end,
	}
end

local function context_of(options)
	local context = assert(core.context.new(options))
	assert(context:apply(versions))
	return context
end

local to_clients = context_of { role = "server", verify = "none", certificate = certificate, key = key }
local to_server = context_of { role = "client", verify = "none" }

local function relay(client)
	local server = assert(channel.connect("127.0.0.1", tonumber(server_port), deadline()))
	local ends = { client = client, server = server }
	local passed = true
	for _, turn in ipairs(turns) do
		passed = passed and hand_on(ends[turn.from], ends[turn.from == "client" and "server" or "client"], turn.ending)
	end
	local from_client = assert(core.connection.new(to_clients))
	if passed and tls_peer.advance(client, from_client, "handshake") then
		local from_server = tls_client.handshake(server, {
			context = to_server, server_name = domain, deadline = deadline(),
		})
		if from_server then
			relay_secured(client, server, from_client, from_server)
		end
	end
	client:close()
	server:close()
end

tasks.run(function ()
	local port, stop = channel.listen("127.0.0.1", 0, relay)
	assert(port, stop)
	io.stdout:write(("listens on %d\n"):format(port))
	io.stdout:flush()
	local input = assert(uv.new_pipe(false))
	assert(input:open(0))
	tasks.wait(function (resume)
		input:read_start(function (failure, bytes)
			if failure or not bytes then
				resume()
			end
		end)
	end)
end)
-- Connections may be open.
os.exit(0)
