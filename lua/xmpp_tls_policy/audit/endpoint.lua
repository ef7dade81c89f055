--- One address and port of a server, for one service of a domain, as the probes use it: connections,
-- streams and STARTTLS. It knows when the server limits connections, and then makes fewer, later.
local channel = require "xmpp_tls_policy.audit.channel"
local connection_places = require "xmpp_tls_policy.audit.connection_places"
local tasks = require "xmpp_tls_policy.audit.tasks"
local xml_stream = require "xmpp_tls_policy.audit.xml_stream"

local endpoint = {}

local methods = {}
local metatable = { __index = methods }

local namespaces = xml_stream.namespaces

-- Seconds for one wait, and for all probes of an endpoint together.
local TIMEOUT, TIME_LIMIT = 10, 120
-- Connections at a time. ejabberd's queue holds no more that it has not accepted, and to one that does not fit in
-- the client tries again only after a second.
local AT_ONCE = 5
-- Pauses after the server has limited connections, in seconds, one after the other while no connection
-- succeeds; and seconds of pauses until the endpoint is given up.
local PAUSES, PATIENCE = { 1, 2, 4, 8 }, 30
-- A connection of direct TLS is watched before its hello for so many seconds, and for so many times as long as it took
-- to connect: the news that a limit closed it comes a round trip later.
local WATCH, ROUND_TRIPS, WATCH_PARTS = 0.3, 3, 3

--- An endpoint, which counts its `connections`, those of them that limits cost (`turned_away`), and how often it was
-- `limited`. `fields`:
--   domain       the domain that the stream header names
--   service      "c2s" or "s2s"
--   direct       true for direct TLS, without STARTTLS
--   host         the host name, for people
--   address      IPv4 or IPv6, as text
--   port
--   server_name  for SNI (default: the domain)
--   from         our domain, in the headers of streams between servers (optional)
--   timeout      seconds for each wait (default 10)
--   time_limit   seconds for all of it (default 120)
--   places       connection_places that several endpoints share (default: 5 places of its own)
function endpoint.new(fields)
	local self = setmetatable({
		direct = false, timeout = TIMEOUT, connections = 0, turned_away = 0, limited = 0,
		_own_places = connection_places.new(AT_ONCE), _connected = 0, _opened = 0,
		_paused_until = 0, _paused = 0, _failed_rounds = 0, _latest_limit = -math.huge, _channels = {},
	}, metatable)
	for name, value in pairs(fields) do
		self[name] = value
	end
	self.server_name = self.server_name or self.domain
	self._ends = tasks.now() + (fields.time_limit or TIME_LIMIT)
	self.places = self.places or connection_places.new(AT_ONCE)
	return self
end

--- The end of a wait that begins now, in seconds of tasks.now().
function methods:deadline()
	return math.min(tasks.now() + self.timeout, self._ends)
end

-- ---- one attempt ------------------------------------------------------------------

local function leave(self, connection)
	if connection then
		self._channels[connection] = nil
	end
	self._own_places:give()
	self.places:give()
end

-- Notes that the server limits us no more: `_opened` counts its answers.
local function note_success(self)
	self._opened, self._failed_rounds = self._opened + 1, 0
end

local function connect_once(self)
	self._own_places:take()
	self.places:take()
	local began = tasks.now()
	local connection, kind, message = channel.connect(self.address, self.port, self:deadline())
	self.connections = self.connections + 1
	if not connection then
		leave(self)
		return nil, kind, message
	end
	self._connected = self._connected + 1
	self._channels[connection] = true
	connection.began, connection.connected = began, tasks.now()
	connection:on_close(function ()
		leave(self, connection)
		-- With direct TLS, the first bytes answer the hello.
		if self.direct and connection.received > 0 then
			note_success(self)
		end
	end)
	return connection
end

-- A server of direct TLS waits for our hello, but a limit closes or resets the connection at once. Returns the
-- connection, with `watched`, if it stays open for a moment; or nil, kind, message.
local function watch(self, connection)
	local seconds = math.max(WATCH, ROUND_TRIPS * (connection.connected - connection.began))
	local bytes, kind
	-- In parts, since a timer comes first after this program itself stood still.
	for _ = 1, WATCH_PARTS do
		bytes, kind = connection:read(math.min(tasks.now() + seconds / WATCH_PARTS, self._ends))
		if bytes or kind ~= "timeout" then
			break
		end
	end
	if bytes then
		return nil, "malformed", "the server spoke before our hello"
	elseif kind ~= "timeout" then
		return nil, kind, "the connection was " .. kind
	end
	connection.watched = true
	return connection
end

--- Opens a stream over a channel or over TLS and waits for the features. `options`: { to = another
-- domain than the endpoint's, from = our domain }, or nil. Returns an xml_stream with `header` and
-- `features` (an element), or nil, kind, message. The transport stays open in any case.
function methods:open_stream(transport, options)
	options = options or {}
	local deadline, stream = self:deadline(), xml_stream.new(transport)
	local from = options.from or self.service == "s2s" and self.from or nil
	local attributes = { to = options.to or self.domain, from = from }
	local written, failed = stream:open(self.service, attributes, deadline)
	if not written then
		return nil, failed, "the connection was " .. failed
	end
	local header, kind, message = stream:read_header(deadline)
	if not header then
		return nil, kind, message
	end
	stream.header = header
	if not header.version then
		-- Without a version there are no features (rfc6120.4.7.5.no-version-no-features).
		stream.features = { name = "features", namespace = namespaces.streams, attributes = {}, children = {}, text = "" }
		return stream
	end
	local features
	features, kind, message = stream:read_element(deadline)
	if not features then
		return nil, kind, message
	elseif features.name ~= "features" or features.namespace ~= namespaces.streams then
		return nil, "malformed", "no features after the header of the stream"
	end
	stream.features = features
	return stream
end

-- Asks for TLS on a new connection. `pipelined`: text that is sent in one packet with <starttls/>.
local function start_tls(self, connection, pipelined)
	local stream, kind, message = self:open_stream(connection)
	if not stream then
		return nil, kind, message
	elseif not xml_stream.child(stream.features, "starttls", namespaces.tls) then
		return nil, "no_starttls", "the features offer no STARTTLS"
	end
	local deadline = self:deadline()
	local written, failed = stream:write(("<starttls xmlns='%s'/>%s"):format(namespaces.tls, pipelined or ""), deadline)
	if not written then
		return nil, failed, "the connection was " .. failed
	end
	local answer
	answer, kind, message = stream:read_element(deadline)
	if not answer then
		return nil, kind == "stream_error" and pipelined and "early_error" or kind, message
	elseif answer.name ~= "proceed" or answer.namespace ~= namespaces.tls then
		return nil, "no_starttls", "the answer to <starttls/> is no <proceed/>"
	elseif stream:has_more() and pipelined then
		return nil, "early_answer", "bytes follow <proceed/>"
	elseif stream:has_more() then
		-- The server speaks again after our hello, and not in XML (rfc6120.5.4.2.3.tls-after-proceed).
		return nil, "malformed", "more bytes follow <proceed/>"
	end
	return true
end

-- ---- limits -----------------------------------------------------------------------

local ends_of_connections = { refused = true, reset = true, closed = true, timeout = true, unreachable = true }
local conditions_of_limits = { ["policy-violation"] = true, ["resource-constraint"] = true }

--- Whether a failure is a stream error by which servers say that they limit connections.
function methods.is_limit_error(kind, message)
	return kind == "stream_error" and conditions_of_limits[message] or false
end

-- Whether a failure looks like a limit. `succeeded`: how many attempts of this kind succeeded.
local function is_limit(kind, message, succeeded)
	return succeeded > 0 and (ends_of_connections[kind] or methods.is_limit_error(kind, message))
end

-- Waits for the end of a pause.
local function wait_for_pause(self)
	while tasks.now() < self._paused_until do
		tasks.sleep(self._paused_until - tasks.now() + 0.001)
	end
end

-- Begins a pause, unless another task has, and halves the number of connections at a time.
local function begin_pause(self)
	local now = tasks.now()
	if now < self._paused_until then
		return
	end
	self._failed_rounds = self._failed_rounds + 1
	local pause = PAUSES[self._failed_rounds]
	if not pause or self._paused + pause > PATIENCE or now + pause > self._ends then
		self._given_up = true
		return
	end
	self.limited = self.limited + 1
	self._paused, self._paused_until = self._paused + pause, now + pause
	self._own_places:shrink(math.floor(self._own_places:count() / 2))
end

--- Counts a connection that a limit turned away, and begins a pause. `kind`, `message`: of its failure; `began`: when
-- it began, in seconds of tasks.now(). A pause that began since is for it, too.
function methods:turn_away(kind, message, began)
	self.turned_away = self.turned_away + 1
	self._last_limit = message and ("%s: %s"):format(kind, message) or kind
	self._latest_limit = tasks.now()
	if began >= self._paused_until then
		begin_pause(self)
	end
end

--- Whether a connection was turned away since a time, in seconds of tasks.now(), or all will be.
function methods:is_limiting(since)
	return self._given_up or self._latest_limit >= since
end

-- Connects, and calls `begin` with the channel, until the server limits it no more. `begin` returns a result, or
-- nil, kind, message; the channel is closed then.
local function connect_within_limits(self, begin)
	while true do
		wait_for_pause(self)
		if self._given_up then
			return nil, "limited", self:limit_message()
		elseif tasks.now() >= self._ends then
			return nil, "timeout", "the time for this endpoint is used up"
		end
		local began, count = tasks.now(), "_connected"
		local result, kind, message = connect_once(self)
		if result and begin then
			local connection = result
			count = "_opened"
			result, kind, message = begin(connection)
			if not result then
				connection:close()
			end
		end
		if result then
			-- With direct TLS the server has not spoken yet.
			if begin and not self.direct then
				note_success(self)
			end
			return result
		elseif tasks.now() >= self._ends or not is_limit(kind, message, self[count]) then
			return nil, kind, message
		end
		self:turn_away(kind, message, began)
	end
end

--- How the server limits connections, in a sentence; nil if it was not seen to.
function methods:limit_message()
	if self.limited == 0 and not self._given_up then
		return nil
	end
	return ("the server limits connections (%s): paused %.0f s, then at most %d at a time%s"):format(self._last_limit,
		self._paused, (self._own_places:count()), self._given_up and "; given up" or "")
end

-- ---- connections ------------------------------------------------------------------

--- Connects, and sends nothing. Waits for a free place; close() of the channel gives it back, so a probe
-- closes one connection before it makes the next. Returns a channel, or nil, kind, message; kind: those of
-- channel.connect, and "limited".
function methods:connect()
	return connect_within_limits(self)
end

--- Connects and, without direct TLS, asks for STARTTLS. `pipelined`: text to send in one packet with
-- <starttls/>, or nil. Returns a channel that is ready for our first byte of TLS (`began`: when it began to
-- connect, in seconds of tasks.now(); `watched`: see watch_connections), or nil, kind, message; kind: those of
-- connect(), and "closed", "no_starttls", "stream_error", "malformed"; "early_answer": the pipelined text was answered
-- before TLS; "early_error": by a stream error.
function methods:open(pipelined)
	if self.direct then
		return connect_within_limits(self, self._is_watching and function (connection)
			return watch(self, connection)
		end)
	end
	return connect_within_limits(self, function (connection)
		local started, kind, message = start_tls(self, connection, pipelined)
		return started and connection, kind, message
	end)
end

--- Watches connections of direct TLS before their hello from now on, so that those that a limit ends at once are told
-- from those that the server ends for the hello's sake. It makes each of them slower.
function methods:watch_connections()
	self._is_watching = true
end

--- Connects and opens a stream without TLS. Returns the stream, as open_stream() does, whose `transport` is
-- the channel; or nil, kind, message, as open().
function methods:open_plaintext()
	return connect_within_limits(self, function (connection)
		return self:open_stream(connection)
	end)
end

--- Whether a connection was ever made.
function methods:is_reached()
	return self._connected > 0
end

--- Closes all its connections that are open.
function methods:close()
	local open = {}
	for connection in pairs(self._channels) do
		open[#open + 1] = connection
	end
	for _, connection in ipairs(open) do
		connection:close()
	end
end

return endpoint
