--- Appends sealed records to the stream, and bounds the stream: by time where the engine can (Redis
-- 6.2), and always by number.
local entry_id = require "xmpp_tls_policy.sessions.entry_id"
local stream_entry = require "xmpp_tls_policy.sessions.stream_entry"

local stream_writer = {}

local methods = {}
local metatable = { __index = methods }

--- Entries in the stream: some 100 MiB in the engine. It may keep a few more.
stream_writer.MOST_ENTRIES = 250000

local MOST_ENTRIES = ("%d"):format(stream_writer.MOST_ENTRIES)

-- Bytes of records without an answer.
local MOST_UNANSWERED = 256 * 1024

-- Seconds between two commands that bound the stream, while records are appended.
local TIDY_EVERY = 60

-- Clocks may differ by so many seconds.
local TOLERANCE = 60

--- `options`: server; name, of the stream; lifetime, seconds; now, function() -> UTC seconds;
-- on_appended(id, sent_at), on_refused(problem), on_broken(message): the connection is of no use.
function stream_writer.new(options)
	return setmetatable({
		_server = options.server, _name = options.name, _lifetime = options.lifetime, _now = options.now,
		_on_appended = options.on_appended, _on_refused = options.on_refused, _on_broken = options.on_broken,
		_records = {}, _first = 1, _next = 1, _bytes = 0, -- without an answer
		_trims_by_time = false, _tidied = nil,
	}, metatable)
end

--- Goes on with a connection: learns how the engine trims. ready() is called then; problems with the
-- stream itself come to on_broken.
function methods:begin(connection, ready)
	self._connection = connection
	self._tidied = nil
	connection:command({ "XTRIM", self._name, "MINID", "~", "0" }, function (value, problem)
		self._trims_by_time = value ~= nil
		if problem and not problem:find "^ERR syntax" then
			return self._on_broken(problem)
		end
		ready()
	end)
end

-- An engine that was replaced by another master takes no more records; the next connection may find
-- the new one.
local function ends_connection(problem)
	return problem:find "^READONLY" or problem:find "^NOAUTH" or problem:find "^MASTERDOWN" or problem:find "^LOADING"
end

local function forget_first(self)
	local record = self._records[self._first]
	self._bytes = self._bytes - #record
	self._records[self._first] = nil
	self._first = self._first + 1
	return record
end

-- Before Redis 6.2 MINID is no word of XADD. While there is no stream, its XTRIM looks at no word, so this is learnt
-- with the first record only.
local function knows_no_minid(command, problem)
	return command[3] == "MINID" and problem:find "^ERR Invalid stream ID" ~= nil
end

local function send(self, record)
	local sent = self._server.monotonic()
	local command = { "XADD", self._name, "MAXLEN", "~", MOST_ENTRIES, "*", stream_entry.field, record }
	if self._trims_by_time then
		command[3], command[5] = "MINID", entry_id.of_time(self._now() - self._lifetime - TOLERANCE)
	end
	self._connection:command(command, function (id, problem)
		if problem and ends_connection(problem) then
			return self._on_broken(problem)
		end
		local sent_record = forget_first(self)
		if problem and knows_no_minid(command, problem) then
			self._trims_by_time = false
			self:append(sent_record)
			return self._connection:flush()
		elseif id then
			self._on_appended(id, sent)
		else
			self._on_refused(problem or "no ID")
		end
	end)
end

-- The stream ends by itself when all that is in it is over. Answers do not matter: the next command
-- finds the same problem.
local function tidy(self)
	local now = self._server.monotonic()
	if self._tidied and now - self._tidied < TIDY_EVERY then
		return
	end
	self._tidied = now
	local function ignore() end
	if self._trims_by_time then
		self._connection:command({ "XTRIM", self._name, "MAXLEN", "~", MOST_ENTRIES }, ignore)
	end
	self._connection:command({ "EXPIRE", self._name, ("%d"):format(self._lifetime + 2 * TOLERANCE) }, ignore)
end

--- Sends the records again that had no answer when the last connection ended. Others drop the ones
-- that they have.
function methods:send_again()
	for index = self._first, self._next - 1 do
		send(self, self._records[index])
	end
end

--- Whether more records may be sent before an answer comes.
function methods:takes_more()
	return self._bytes < MOST_UNANSWERED
end

--- Sends a sealed record with the next flush.
function methods:append(record)
	self._records[self._next] = record
	self._next = self._next + 1
	self._bytes = self._bytes + #record
	send(self, record)
	tidy(self)
end

return stream_writer
