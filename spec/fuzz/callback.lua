-- A stranger who connects to the audit's listener (audit/callback_listener.lua) and claims to be the audited server.
-- The input: how many bytes come at once, less one; then his bytes: a stream, STARTTLS, a ClientHello.
local channel = require "xmpp_tls_policy.audit.channel"
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local pki = require "support.pki"

local target = {}

-- The listener takes connections of ours instead of the network's.
local accept
channel.listen = function (_, _, call)
	accept = call
	return 1, function () end
end
local callback_listener = require "xmpp_tls_policy.audit.callback_listener"
local listener = assert(callback_listener.open("127.0.0.1", 0, "our.test", "far.test", 10))

local files = pki.self_signed { names = { "our.test" }, key = "p256" }
local context = assert(core.context.new {
	role = "server", verify = "none", certificate = files.certificate, key = files.key,
})
pki.remove()

local function connection_with(bytes, size)
	local connection = { position = 1 }
	function connection:read()
		if self.position > #bytes then
			return nil, "closed"
		end
		local part = bytes:sub(self.position, self.position + size - 1)
		self.position = self.position + size
		return part
	end
	function connection.write()
		return true
	end
	function connection:close()
		self.closed = true
	end
	return connection
end

local function check(value)
	if type(value) == "table" then
		assert(#value <= 200, "a long list")
		for _, inner in pairs(value) do
			check(inner)
		end
	elseif type(value) == "string" and value:find "%c" then
		error(("a control character in %q"):format(value))
	end
end

function target.test(bytes)
	for _, side in ipairs { { context = context, key = "key" }, { key = "key" } } do
		local calls, connection = 0, connection_with(bytes:sub(2), (bytes:byte() or 0) + 1)
		listener:expect(side, function (seen)
			calls = calls + 1
			check(seen)
			assert(seen.asked_for_tls or seen.end_of, "neither TLS nor an end")
			assert(not seen.hello or seen.began_handshake and seen.asked_for_tls, "a ClientHello from nowhere")
		end)
		accept(connection)
		assert(connection.closed and calls <= 1)
	end
end

function target.seeds()
	local header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' "
		.. "xmlns:db='jabber:server:dialback' from='far.test' to='our.test' version='1.0'>"
	local starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	local verify = "<db:verify from='far.test' to='our.test' id='1'>key</db:verify>"
	local error_stanza = "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
		.. "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>x</text></stream:error></stream:stream>"
	local hello = client_hello.build {
		versions = { "TLSv1.3", "TLSv1.2" }, suites = { "TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
		groups = { "x25519", "secp256r1" }, server_name = "our.test",
	}
	local seeds = {}
	for _, size in ipairs { 0, 9, 255 } do
		for _, bytes in ipairs {
			header, header .. verify, header .. error_stanza, header .. starttls, header .. starttls .. hello, hello,
			header .. "<a><b>x</b></a>" .. "</stream:stream>",
		} do
			seeds[#seeds + 1] = string.char(size) .. bytes
		end
	end
	return seeds
end

return target
