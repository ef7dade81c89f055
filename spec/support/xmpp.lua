-- A scripted XMPP peer. It does nothing by itself.

local process = require "support.process"
local socket = require "socket"
local ssl = require "ssl"
local mime = require "mime"
local tls_socket = require "support.tls_socket"

local xmpp = {}

local namespaces = {
	c2s = "xmlns='jabber:client'",
	s2s = "xmlns='jabber:server' xmlns:db='jabber:server:dialback'",
}
local starttls_namespace = "urn:ietf:params:xml:ns:xmpp-tls"

-- The opening of a stream of kind "c2s" or "s2s"; to, from and id may be nil.
function xmpp.stream_header(kind, to, from, id)
	local attributes = ""
	local function add(name, value)
		if value then
			attributes = ("%s %s='%s'"):format(attributes, name, value)
		end
	end
	add("to", to)
	add("from", from)
	add("id", id)
	return ("<?xml version='1.0'?><stream:stream%s version='1.0' %s xmlns:stream='http://etherx.jabber.org/streams'>")
		:format(attributes, namespaces[kind])
end

local Peer = {}
Peer.__index = Peer

local function new_peer(connection, fields)
	connection:setoption("tcp-nodelay", not fields.nagle)
	fields.socket, fields.buffer = connection, ""
	fields.timeout = fields.timeout or process.PATIENCE
	return setmetatable(fields, Peer)
end

-- Connects to a target (see prosody.lua) and sends nothing yet. options.timeout: seconds for each
-- wait; options.from: the domain that we claim; options.nagle: true for Nagle's algorithm.
function xmpp.connect(target, options)
	options = options or {}
	local connection = assert(socket.tcp())
	connection:settimeout(options.timeout or process.PATIENCE)
	-- The address that the server sees.
	assert(not options.address or connection:bind(options.address, 0))
	assert(connection:connect("127.0.0.1", target.port))
	return new_peer(connection, {
		kind = target.kind,
		domain = target.domain,
		direct_tls = target.direct_tls,
		from = options.from,
		timeout = options.timeout,
		nagle = options.nagle,
	})
end

-- Reasons for which nothing came or went, and more may.
local is_pending = { timeout = true, wantread = true, wantwrite = true }

-- Sends text; nil and a message if the connection is closed.
function Peer:send(text)
	if self.unsendable then
		return nil, self.unsendable
	end
	self.socket:settimeout(self.timeout)
	local sent, reason, last = self.socket:send(text)
	-- A second write after a failed one spoils the connection for reading, and LuaSec's next read may
	-- loop for ever. What the other side sent before it closed can still be read.
	-- LuaSec may fail without a reason.
	self.unsendable = not sent and not is_pending[reason] and (reason or "closed") or nil
	return sent, reason, last
end

-- Waits for more bytes. nil and "closed" or "timeout" (or another reason) when there are none.
function Peer:receive(deadline)
	if self.over then
		return nil, self.over
	end
	self.socket:settimeout(math.max(0, deadline - socket.gettime()))
	local data, reason, partial = self.socket:receive(1)
	data = data or (partial ~= "" and partial) or nil
	if not data then
		-- LuaSec may loop for ever in the next read from a connection that failed.
		self.over = not is_pending[reason] and (reason or "closed") or nil
		return nil, self.over or "timeout"
	end
	-- The rest of the bytes that have arrived.
	self.socket:settimeout(0)
	local more, ended, rest = self.socket:receive(65536)
	-- LuaSec would return the rest of a closed connection again, one byte less each time.
	self.over = not more and not is_pending[ended] and (ended or "closed") or nil
	return data .. (more or rest or "")
end

-- The end of the earliest match of any of the patterns.
local function find_end(text, patterns)
	local earliest
	for _, pattern in ipairs(patterns) do
		local _, last = text:find(pattern)
		if last and (not earliest or last < earliest) then
			earliest = last
		end
	end
	return earliest
end

-- Reads up to and including the match of a Lua pattern (or the first match of several). Returns that
-- text; or nil, the reason, and the text received instead. Text after the match stays for the next
-- call.
function Peer:read_until(patterns, timeout)
	patterns = type(patterns) == "table" and patterns or { patterns }
	local deadline = socket.gettime() + (timeout or self.timeout)
	while true do
		local last = find_end(self.buffer, patterns)
		if last then
			local text = self.buffer:sub(1, last)
			self.buffer = self.buffer:sub(last + 1)
			return text
		end
		local data, reason = self:receive(deadline)
		if not data then
			return nil, reason, self.buffer
		end
		self.buffer = self.buffer .. data
	end
end

-- Reads until the other side closes. Returns the text, and how it closed; or nil, "timeout" and text.
function Peer:read_all(timeout)
	local _, reason, text = self:read_until({}, timeout)
	if reason == "timeout" then
		return nil, reason, text
	end
	return text, reason
end

-- Opens a stream to the target's domain. Returns the other side's header and features as text;
-- nil, reason and the text received instead (such as a stream error).
function Peer:open()
	local sent, reason = self:send(xmpp.stream_header(self.kind, self.domain, self.from))
	if not sent then
		return nil, reason, ""
	end
	local text, problem, rest = self:read_until {
		"<stream:features%s*/>", "<stream:features[^>]*>.-</stream:features>", "</stream:error>",
	}
	if not text then
		return nil, problem, rest
	elseif text:find("<stream:error", 1, true) then
		return nil, "error", text
	end
	return text
end

-- Asks for STARTTLS on an open stream. true once the server has said <proceed/>.
function Peer:request_tls()
	self:send(("<starttls xmlns='%s'/>"):format(starttls_namespace))
	local text, reason, rest = self:read_until("<proceed[^>]*>")
	if not text then
		return nil, reason, rest
	end
	return true
end

-- The same with a Context of our core instead of LuaSec's parameters: see tls_socket.lua.
-- `session`: to resume.
local function secure_with_core(self, options)
	local name = options.server_name
	if name == nil then
		name = self.domain
	end
	self.socket = tls_socket.wrap(self.socket, options.context, {
		server_name = name or nil,
		session = options.session,
	})
	self.socket:settimeout(self.timeout)
	return self.socket:dohandshake()
end

-- Starts TLS on the connection now. options: LuaSec's parameters, and server_name (a name, or false
-- for no SNI; default: the domain). nil and OpenSSL's reason on failure.
function Peer:secure(options)
	if options and options.context then
		return secure_with_core(self, options)
	end
	local parameters = { mode = "client", protocol = "any", verify = "none", options = { "all" } }
	for name, value in pairs(options or {}) do
		parameters[name] = value
	end
	local server_name = parameters.server_name
	parameters.server_name = nil
	local connection, problem = ssl.wrap(self.socket, parameters)
	if not connection then
		return nil, problem
	end
	if server_name ~= false and parameters.mode == "client" then
		connection:sni(server_name or self.domain)
	end
	self.socket = connection
	connection:settimeout(self.timeout)
	return connection:dohandshake()
end

-- Makes a new connection and an encrypted stream on it, by STARTTLS or direct TLS. Returns the
-- features; or nil, reason and the text received instead. options: as for connect(); tls: for secure().
function xmpp.open(target, options)
	local peer = xmpp.connect(target, options)
	local function step(ok, reason, text)
		if not ok then
			peer:close()
			return nil, reason, text
		end
		return ok
	end
	local ok, reason, text = true, nil, nil
	if not target.direct_tls then
		ok, reason, text = step(peer:open())
		if ok then
			ok, reason, text = step(peer:request_tls())
		end
	end
	if ok then
		ok, reason, text = step(peer:secure(options and options.tls))
	end
	if ok then
		ok, reason, text = step(peer:open())
	end
	if not ok then
		return nil, reason, text
	end
	return peer, ok
end

-- Logs in with SASL PLAIN on an open stream and binds a resource. Returns the full address.
function Peer:login(user, password)
	self:send(("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"):format(
		(mime.b64("\0" .. user .. "\0" .. password))))
	local text, reason, rest = self:read_until("<success[^>]*>")
	if not text then
		return nil, reason, rest
	end
	local features, problem, instead = self:open()
	if not features then
		return nil, problem, instead
	end
	self:send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
	local bound, missing, partial = self:read_until("</iq>")
	if not bound then
		return nil, missing, partial
	end
	return bound:match("<jid>(.-)</jid>")
end

-- LuaSec's information on the connection's TLS.
function Peer:tls_info()
	return self.socket:info()
end

-- Closes the connection without ending the stream.
function Peer:close()
	self.socket:close()
end

local Listener = {}
Listener.__index = Listener

-- A scripted remote server that listens on a free port. kind: "s2s" or "c2s".
function xmpp.listen(kind)
	local listening = assert(socket.bind("127.0.0.1", 0))
	local _, port = listening:getsockname()
	return setmetatable({ socket = listening, port = math.floor(tonumber(port)), kind = kind or "s2s" }, Listener)
end

-- The next connection, as a peer; nil and "timeout".
function Listener:accept(timeout)
	self.socket:settimeout(timeout or process.PATIENCE)
	local connection, reason = self.socket:accept()
	if not connection then
		return nil, reason
	end
	return new_peer(connection, { kind = self.kind })
end

function Listener:close()
	self.socket:close()
end

xmpp.starttls_feature = ("<starttls xmlns='%s'/>"):format(starttls_namespace)
xmpp.starttls_required_feature = ("<starttls xmlns='%s'><required/></starttls>"):format(starttls_namespace)

-- Answers a stream header with ours and the given features (text). Returns the other's header.
function Peer:answer(features)
	local header, reason, rest = self:read_until("<stream:stream[^>]*>")
	if not header then
		return nil, reason, rest
	end
	local theirs, ours = header:match("%sfrom=['\"]([^'\"]*)"), header:match("%sto=['\"]([^'\"]*)")
	self:send(("%s<stream:features>%s</stream:features>"):format(
		xmpp.stream_header(self.kind, theirs, ours, "test"), features or ""))
	return header
end

-- Waits for <starttls/>, answers <proceed/>. true; or nil, reason and the text received instead.
function Peer:proceed()
	local text, reason, rest = self:read_until("<starttls[^>]*>")
	if not text then
		return nil, reason, rest
	end
	local sent, problem = self:send(("<proceed xmlns='%s'/>"):format(starttls_namespace))
	return sent and true, problem
end

return xmpp
