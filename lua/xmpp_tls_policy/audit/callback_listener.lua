--- Our server, to which the audited server connects to verify us (XEP-0220). Anybody may connect to it: it
-- talks only with a stream that claims to come from the audited domain, and only with so many at a time.
local channel = require "xmpp_tls_policy.audit.channel"
local client_hello = require "xmpp_tls_policy.audit.client_hello"
local core = require "xmpp_tls_policy.core"
local tasks = require "xmpp_tls_policy.audit.tasks"
local text = require "xmpp_tls_policy.text"
local tls_client = require "xmpp_tls_policy.audit.tls_client"
local uv = require "luv"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local callback_listener = {}

local methods = {}
local metatable = { __index = methods }

local namespaces = xml_stream.namespaces
local DIALBACK = "jabber:server:dialback"

local MOST_CONNECTIONS = 8
local MOST_HELLO = 16384 + 5 -- bytes of a record
local MOST_NAMES = 200 -- of a list in a ClientHello

-- Seconds that a connection may still take after the server has answered our request.
local SETTLE = 5

-- A channel that keeps the first bytes that come, for the ClientHello in them.
local function recording(inner)
	local record = { bytes = "" }
	local transport = { record = record }
	function transport:read(deadline) -- luacheck: no self
		local bytes, kind = inner:read(deadline)
		if bytes and #record.bytes < MOST_HELLO then
			record.bytes = (record.bytes .. bytes):sub(1, MOST_HELLO)
		end
		return bytes, kind
	end
	function transport:write(bytes, deadline) -- luacheck: no self
		return inner:write(bytes, deadline)
	end
	function transport:close() -- luacheck: no self
		inner:close()
	end
	return transport
end

-- Names that the other side chose, or nil.
local function shown_list(names)
	local list = {}
	for index = 1, math.min(names and #names or 0, MOST_NAMES) do
		list[index] = text.shown(names[index])
	end
	return names and list
end

-- The ClientHello as names; without its random bytes, which say nothing.
local function hello_of(bytes)
	local hello = client_hello.parse(bytes)
	if not hello then
		return nil
	end
	return {
		versions = shown_list(hello.versions or { hello.version }), has_older_versions = not hello.versions or nil,
		suites = shown_list(hello.suites), groups = shown_list(hello.groups), key_shares = shown_list(hello.key_shares),
		server_name = hello.server_name and text.shown(hello.server_name), alpn = shown_list(hello.alpn),
		compressions = shown_list(hello.compressions),
	}
end

--- A name that nobody can guess: 32 hexadecimal digits.
function callback_listener.random_name()
	return (assert(uv.random(16)):gsub(".", function (byte)
		return ("%02x"):format(byte:byte())
	end))
end

-- Our header, and features. The domains are written as the server wrote them.
local function send_header(self, stream, header, starttls)
	local parts = {
		("<?xml version='1.0'?><stream:stream from='%s'"):format(xml_stream.escape(header.to)),
		header.from and (" to='%s'"):format(xml_stream.escape(header.from)) or "",
		(" id='%s' version='1.0' xmlns='%s' xmlns:db='%s' xmlns:stream='%s'>"):format(callback_listener.random_name(),
			namespaces.s2s, DIALBACK, namespaces.streams),
		"<stream:features>",
		starttls and ("<starttls xmlns='%s'/>"):format(namespaces.tls) or "",
		"<dialback xmlns='urn:xmpp:features:dialback'/></stream:features>",
	}
	stream:write(table.concat(parts), self:_deadline())
end

-- Waits for the header of a stream from the audited domain to ours. Returns it; nil for any other one.
local function read_header(self, stream)
	local header = stream:read_header(self:_deadline())
	if header and header.content_namespace == namespaces.s2s and core.domain_name(header.to or "") == self._ours
		and (not header.from or core.domain_name(header.from) == self._theirs) then
		return header
	end
end

-- How a stream ended, in words. A silence says nothing about the server, and a reset may be the network's.
local function ended(seen, stream, kind, message)
	seen.how = stream.error_text or kind
	if kind == "stream_error" then
		seen.end_of = "the server ended the stream: " .. stream.error_text
	elseif kind == "closed" or kind == "alert" then
		seen.end_of = "the server closed the connection"
	else
		seen.unclear, seen.end_of = true, ("the server did nothing that tells: %s"):format(message or kind)
	end
end

-- Waits for the first element that tells what the server is about to do. Sets seen.asked_for_tls or
-- seen.verified and returns the element; or nil after the end of the stream.
local function read_intent(self, stream, seen)
	local deadline = self:_deadline()
	while true do
		local element, kind, message = stream:read_element(deadline)
		if not element then
			ended(seen, stream, kind, message)
			return nil
		elseif element.name == "starttls" and element.namespace == namespaces.tls then
			seen.asked_for_tls = true
			return element
		elseif element.namespace == DIALBACK then
			seen.verified = true
			seen.end_of = "the server went on with dialback"
			return element
		end
	end
end

-- Vouches for the key, if it is the one that we sent; only an element for verification asks for it.
local function answer_dialback(self, stream, element, key)
	local given = element.attributes
	if element.name ~= "verify" or not given.to or not given.from or not given.id then
		return
	end
	local valid = element.text == key and core.domain_name(given.to) == self._ours
	stream:write(("<db:verify from='%s' to='%s' id='%s' type='%s'/>"):format(xml_stream.escape(given.to),
		xml_stream.escape(given.from), xml_stream.escape(given.id), valid and "valid" or "invalid"),
		self:_deadline())
end

-- The handshake, and the stream under TLS.
local function serve_tls(self, connection, side, seen)
	local transport = recording(connection)
	local client, kind, message, alert = tls_client.handshake(transport, {
		context = side.context, deadline = self:_deadline(),
	})
	seen.began_handshake = transport.record.bytes ~= ""
	seen.hello = hello_of(transport.record.bytes)
	if not client then
		seen.how = alert or kind
		seen.unclear = kind ~= "alert" and kind ~= "closed"
		seen.end_of = alert and ("the server ended the handshake with the alert %s"):format(alert)
			or ("the server ended the handshake: %s"):format(message or kind)
		return
	end
	local stream = xml_stream.new(client)
	local header, problem, words = stream:read_header(self:_deadline())
	if not header or not header.to then
		ended(seen, stream, problem, words)
	else
		send_header(self, stream, header, false)
		local element = read_intent(self, stream, seen)
		if element then
			answer_dialback(self, stream, element, side.key)
		end
	end
	client:close()
end

-- Answers a server that asks for TLS although we offered none.
local function refuse_tls(self, stream)
	stream:write(("<failure xmlns='%s'/></stream:stream>"):format(namespaces.tls), self:_deadline())
end

-- Talks with a connection. Returns what was seen (see expect), or nil if it is none of the audited server's.
local function serve(self, connection, side)
	local stream, seen = xml_stream.new(connection), {}
	local header = read_header(self, stream)
	if not header then
		return nil
	end
	send_header(self, stream, header, side.context ~= nil)
	local element = read_intent(self, stream, seen)
	if element and seen.verified then
		answer_dialback(self, stream, element, side.key)
	elseif element and side.context then
		stream:write(("<proceed xmlns='%s'/>"):format(namespaces.tls), self:_deadline())
		serve_tls(self, connection, side, seen)
	elseif element then
		refuse_tls(self, stream)
	end
	return seen
end

-- A connection of anybody.
local function accept(self, connection)
	local side, done = self._side, self._done
	if side and self._open < MOST_CONNECTIONS then
		self._open = self._open + 1
		local seen = serve(self, connection, side)
		self._open = self._open - 1
		if seen then
			done(seen)
		end
		if self._open == 0 and self._settled then
			self._settled()
		end
	end
	connection:close()
end

-- The end of a wait that begins now.
function methods:_deadline()
	return tasks.now() + self._patience
end

--- Listens. `ours`, `theirs`: domains; `patience`: seconds for each wait. Returns a listener, or nil and a message.
function callback_listener.open(address, port, ours, theirs, patience)
	local self = setmetatable({
		_ours = core.domain_name(ours), _theirs = core.domain_name(theirs), _open = 0, _patience = patience,
	}, metatable)
	local bound, stop = channel.listen(address, port, function (connection)
		accept(self, connection)
	end)
	if not bound then
		return nil, stop
	end
	self.port, self._stop = bound, stop
	return self
end

--- From now on a connection from the audited server sees a side of ours; with nil, connections are closed at once.
--   side  { context = of a server, with the certificate to show; nil: we offer no STARTTLS, key = that we sent }
--   done  function({ asked_for_tls = the server sent <starttls/>, began_handshake = boolean,
--         hello = its ClientHello: { versions, suites, groups, key_shares, alpn, compressions = lists of names,
--         server_name, has_older_versions = true: it tells only the newest version },
--         verified = it went on with dialback, end_of = in words how it ended, how = the name of an alert, a stream
--         error or a kind, unclear = true: the end tells nothing })
-- Until it asks about our key, the server cannot be told from somebody else who claims to be it.
function methods:expect(side, done)
	self._side, self._done = side, done
end

--- Waits until no connection is under way, but not for long.
function methods:settle()
	if self._open == 0 then
		return
	end
	tasks.wait(function (resume)
		self._settled = resume
		tasks.after(SETTLE, resume)
	end)
	self._settled = nil
end

--- Ends the listening.
function methods:close()
	self._side = nil
	self._stop()
end

return callback_listener
