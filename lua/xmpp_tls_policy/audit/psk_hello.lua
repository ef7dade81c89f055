--- A ClientHello that offers to resume a session of TLS 1.3 without a new key exchange, and nothing else:
-- OpenSSL's own hello for the session, with another mode and a new binder
-- (rfc8446.4.2.9.psk-with-key-exchange, rfc8446.4.2.11.2.binder).
local core = require "xmpp_tls_policy.core"
local wire = require "xmpp_tls_policy.audit.wire"

local psk_hello = {}

local PSK_MODES, PRE_SHARED_KEY = 45, 41
-- psk_ke in a list of one byte.
local WITHOUT_KEY_EXCHANGE = "\1\0"

--- The numbers of the extensions that an answer has, or lacks, if the server resumes that way.
psk_hello.PRE_SHARED_KEY, psk_hello.KEY_SHARE = PRE_SHARED_KEY, 51

local function openssl_hello(context, session, server_name)
	local connection, message = core.connection.new(context, { session = session, server_name = server_name })
	if not connection then
		return nil, message
	end
	connection:handshake()
	local bytes = connection:take()
	connection:close()
	return bytes
end

-- The extensions in their order: list of { number, bytes }.
local function split(bytes)
	local list, reader = {}, wire.reader(bytes)
	while reader:left() > 0 do
		list[#list + 1] = { reader:integer(2), (assert(reader:vector(2))) }
	end
	return list
end

-- What stands before the extensions of a message, and the extensions.
local function take_apart(message)
	local reader = wire.reader(message)
	assert(reader:bytes(4 + 2 + 32) and reader:vector(1) and reader:vector(2) and reader:vector(1))
	local extensions = assert(reader:vector(2))
	return message:sub(1, #message - #extensions - 2), split(extensions)
end

local function put_together(list)
	local bytes = {}
	for index, extension in ipairs(list) do
		bytes[index] = wire.integer(extension[1], 2) .. wire.vector(extension[2], 2)
	end
	return wire.vector(table.concat(bytes), 2)
end

--- The bytes of the hello, a whole record. `context`: of tls_client.context; `session`: of client:session.
-- Or nil and a message: it is no session of TLS 1.3.
function psk_hello.build(context, session, server_name)
	local bytes, problem = openssl_hello(context, session, server_name)
	if not bytes then
		return nil, problem
	end
	local head, list = take_apart(bytes:sub(6))
	local last = list[#list]
	if not last or last[1] ~= PRE_SHARED_KEY then
		return nil, "OpenSSL does not offer the session"
	end
	for _, extension in ipairs(list) do
		if extension[1] == PSK_MODES then
			extension[2] = WITHOUT_KEY_EXCHANGE
		end
	end
	-- The identities come first, then the binders, of one key as of the other.
	local message = head .. put_together(list)
	local reader = wire.reader(last[2])
	assert(reader:vector(2))
	local before = message:sub(1, #message - reader:left())
	local binder
	binder, problem = core.psk_binder(session, before)
	if not binder then
		return nil, problem
	end
	message = before .. wire.vector(wire.vector(binder, 1), 2)
	return bytes:sub(1, 3) .. wire.vector(message, 2)
end

return psk_hello
