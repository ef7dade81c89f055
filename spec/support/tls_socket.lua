-- A socket with TLS of our own core instead of LuaSec, which cannot resume a session.
local core = require "xmpp_tls_policy.core"

local tls_socket = {}

local TlsSocket = {}
TlsSocket.__index = TlsSocket

-- Wraps a connected LuaSocket socket. options: server_name, session (bytes from
-- session() of an earlier one).
function tls_socket.wrap(socket, context, options)
	return setmetatable({
		socket = socket,
		connection = assert(core.connection.new(context, options)),
		buffer = "",
	}, TlsSocket)
end

function TlsSocket:settimeout(seconds)
	self.socket:settimeout(seconds)
end

function TlsSocket:setoption(...)
	return self.socket:setoption(...)
end

local function flush(self)
	local bytes = self.connection:take()
	if bytes ~= "" then
		return self.socket:send(bytes)
	end
	return true
end

-- Feeds more bytes from the network into the connection.
local function fill(self)
	local bytes, reason, partial = self.socket:receive(5)
	bytes = bytes or partial
	if bytes == "" then
		return nil, reason
	end
	assert(self.connection:feed(bytes))
	if #bytes == 5 then
		local length = bytes:byte(4) * 256 + bytes:byte(5)
		local body, problem, rest = self.socket:receive(length)
		assert(self.connection:feed(body or rest))
		return body and true or nil, problem
	end
	return nil, reason
end

function TlsSocket:dohandshake()
	while true do
		local done, message, code = self.connection:handshake()
		local sent, problem = flush(self)
		if done then
			return true
		elseif code ~= "wantread" then
			return nil, message
		elseif not sent then
			return nil, problem
		end
		local filled, reason = fill(self)
		if not filled then
			return nil, reason
		end
	end
end

function TlsSocket:send(text)
	local written, message = self.connection:write(text)
	if not written then
		return nil, message
	end
	return flush(self)
end

-- Like LuaSocket's receive: that many bytes; or nil, reason and the bytes so far.
function TlsSocket:receive(count)
	while #self.buffer < count do
		local bytes, _, code = self.connection:read()
		if bytes then
			self.buffer = self.buffer .. bytes
		elseif code ~= "wantread" then
			return nil, "closed", self.buffer
		else
			local filled, reason = fill(self)
			if not filled then
				local partial = self.buffer
				self.buffer = ""
				return nil, reason, partial
			end
		end
	end
	local bytes = self.buffer:sub(1, count)
	self.buffer = self.buffer:sub(count + 1)
	return bytes
end

function TlsSocket:info()
	return self.connection:facts()
end

-- The session for the next connection; in TLS 1.3 only after a receive.
function TlsSocket:session()
	return self.connection:insecure_session()
end

-- Sends close_notify. To be called before close.
function TlsSocket:shutdown()
	assert(self.connection:shutdown())
	flush(self)
end

-- Closes the socket without close_notify, as after a loss of the network.
function TlsSocket:close()
	self.connection:close()
	self.socket:close()
end

return tls_socket
