--- A TLS connection as a client: a whole handshake over a channel (channel.lua), and then a transport as
-- a channel is, with read, write and close. Deadlines are in seconds of tasks.now().
--
-- It accepts every certificate and the weakest parameters that OpenSSL has: to judge them is for the
-- probes.
local core = require "xmpp_tls_policy.core"
local tasks = require "xmpp_tls_policy.audit.tasks"

local tls_client = {}

local methods = {}
local metatable = { __index = methods }

-- Bytes that are kept for read while something else is waited for.
local MOST_WAITING = 65536

--- The settings (as context:apply takes them) of a handshake that names none.
tls_client.settings = {
	insecure_versions = true, insecure_legacy_servers = true, security_level = 0, minimum_version = "TLSv1",
	maximum_version = "TLSv1.3",
}

--- A Context of the core for handshakes with these settings. `authorities`: { ca_file = path, ca_path =
-- path } or nil; the facts then say whether the chain is trusted by them. Raises an error for settings
-- that OpenSSL does not take.
function tls_client.context(settings, authorities)
	authorities = authorities or {}
	local context = assert(core.context.new {
		role = "client", verify = "none", ca_file = authorities.ca_file, ca_path = authorities.ca_path,
	})
	assert(context:apply(settings))
	return context
end

-- Settings -> Context: making one takes as long as a handshake.
local contexts = setmetatable({}, { __mode = "k" })

local function context_of(options)
	local settings = options.settings or tls_client.settings
	if not options.context and not contexts[settings] then
		contexts[settings] = tls_client.context(settings)
	end
	return options.context or contexts[settings]
end

-- Sends what OpenSSL has to send. A failure shows itself when the answer is read: the server may have
-- sent an alert before it closed.
local function flush(self, deadline)
	local bytes = self._connection:take()
	if bytes == "" then
		return true
	end
	return self._channel:write(bytes, deadline)
end

-- Waits for bytes of the server's. A server that sends on and on does not get past the deadline.
local function feed(self, deadline)
	if tasks.now() >= deadline then
		return nil, "timeout", "no end in time"
	end
	local bytes, kind = self._channel:read(deadline)
	if not bytes then
		return nil, kind, kind == "timeout" and "no answer in time" or "the connection was " .. kind
	end
	local fed, message = self._connection:feed(bytes)
	return fed, "malformed", message
end

-- Calls a method of the connection until it has a result, and carries bytes both ways. Returns the
-- result, or nil, kind, message, name of the alert.
local function advance(self, method, deadline, argument)
	while true do
		local result, message, code, alert = self._connection[method](self._connection, argument)
		local sent, send_kind = flush(self, deadline)
		if result then
			return sent and result, send_kind
		elseif code == "closed" then
			return nil, "closed", message
		elseif code ~= "wantread" then
			return nil, alert and "alert" or "malformed", message, alert and core.alert_name(alert)
		end
		local fed, kind, problem = feed(self, deadline)
		if not fed then
			return nil, kind, problem
		end
	end
end

--- Makes a handshake. `options`: { settings = as context:apply takes them, or context = of
-- tls_client.context; server_name, alpn (one protocol), session (of client:session), deadline }.
-- Returns a TlsClient; or nil, kind ("alert", "closed", "reset", "timeout", "malformed"), message, name
-- of the alert. The channel is closed after a failure.
function tls_client.handshake(channel, options)
	local connection, problem = core.connection.new(context_of(options), {
		server_name = options.server_name, alpn = options.alpn, session = options.session,
	})
	if not connection then
		channel:close()
		return nil, "malformed", problem
	end
	local self = setmetatable({ _channel = channel, _connection = connection, _waiting = {}, _size = 0 }, metatable)
	local done, kind, message, alert = advance(self, "handshake", options.deadline)
	if not done then
		self:close { unclean = true }
		return nil, kind, message, alert
	end
	return self
end

--- The facts of the connection (doc/scripting.md), and `chain`: list of the certificates that the server sent
-- (the core's Certificates; doc/scripting.md), in its order.
function methods:facts()
	local facts = assert(self._connection:facts())
	facts.chain = assert(self._connection:peer_chain())
	return facts
end

--- The bytes of a session for the option `session`, or nil if there is none. In TLS 1.3 it comes after
-- the handshake: see await_ticket.
function methods:session()
	return (self._connection:insecure_session())
end

--- What the server gave for a resumption, as connection:ticket of the core has it.
function methods:ticket()
	return assert(self._connection:ticket())
end

--- Reads until the server has sent a ticket of TLS 1.3. Returns true, or nil and a kind ("timeout": it
-- sent none until then). Data that comes before it waits for read; with `or_data` it ends the waiting
-- ("data").
function methods:await_ticket(deadline, or_data)
	while self:ticket().length == 0 do
		if or_data and self._size > 0 then
			return nil, "data"
		end
		local bytes, message, code, alert = self._connection:read()
		if bytes then
			self._waiting[#self._waiting + 1], self._size = bytes, self._size + #bytes
		elseif code ~= "wantread" then
			return nil, alert and "alert" or code == "closed" and code or "malformed", message
		elseif self._size > MOST_WAITING then
			return nil, "malformed", "too much data"
		elseif self:ticket().length == 0 then
			local fed, kind, problem = feed(self, deadline)
			if not fed then
				return nil, kind, problem
			end
		end
	end
	return true
end

--- Asks for another handshake in TLS 1.2 and older. Returns true when it is done; or nil, kind, message,
-- name of the alert.
function methods:renegotiate(deadline)
	local begun, message = self._connection:renegotiate()
	if not begun then
		return nil, "malformed", message
	end
	return advance(self, "handshake", deadline)
end

--- Waits for data. Returns all that is there, or nil, kind ("closed", "reset", "timeout", "alert",
-- "malformed"), message, name of the alert.
function methods:read(deadline)
	if self._size > 0 then
		local bytes = table.concat(self._waiting)
		self._waiting, self._size = {}, 0
		return bytes
	end
	return advance(self, "read", deadline)
end

--- Sends data. Returns true, or nil, kind, message.
function methods:write(bytes, deadline)
	return advance(self, "write", deadline, bytes)
end

-- Seconds that the close_notify may take.
local FAREWELL = 1

--- Closes the connection; with { unclean = true } without close_notify. With a `deadline` it waits until
-- then for the server to end it, too. More than once is no error.
function methods:close(options)
	if self._closed then
		return
	end
	self._closed = true
	options = options or {}
	if not options.unclean and self._connection:shutdown() then
		flush(self, tasks.now() + FAREWELL)
	end
	self._connection:close()
	if options.deadline then
		self._channel:finish(options.deadline)
	end
	self._channel:close()
end

return tls_client
