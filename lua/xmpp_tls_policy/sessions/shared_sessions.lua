--- Sessions that this process shares with others through Redis or Valkey: keeps the connections,
-- appends what the session store has queued, and puts what others append into the store. No handshake
-- waits for any of it.
local back_off = require "xmpp_tls_policy.sessions.back_off"
local core = require "xmpp_tls_policy.core"
local engine_connection = require "xmpp_tls_policy.sessions.engine_connection"
local engine_module = require "xmpp_tls_policy.sessions.engine_module"
local engine_url = require "xmpp_tls_policy.policy.engine_url"
local entry_id = require "xmpp_tls_policy.sessions.entry_id"
local key_file = require "xmpp_tls_policy.sessions.key_file"
local stream_lag = require "xmpp_tls_policy.sessions.stream_lag"
local stream_replay = require "xmpp_tls_policy.sessions.stream_replay"
local stream_tail = require "xmpp_tls_policy.sessions.stream_tail"
local stream_writer = require "xmpp_tls_policy.sessions.stream_writer"
local text = require "xmpp_tls_policy.text"

local shared_sessions = {}

local methods = {}
local metatable = { __index = methods }

-- Bytes of records that wait for the engine. More are dropped. With the default store of 4 MiB, and with the keys,
-- they stay below the 8 MiB that a service may lock.
local QUEUE = (4096 - 64) * 1024

-- Records that are sealed in one turn.
local MOST_AT_ONCE = 50

-- Clocks may differ by so many seconds.
local TOLERANCE = 60

-- Seconds that a shared session should last at most: as long as the engine and the key file open it.
local LONGEST_LIFETIME = 3600

-- Seconds between two attempts to connect, and after which a connection counts as good.
local LEAST_DELAY, MOST_DELAY, GOOD_AFTER = 1, 30, 30

-- Reasons for which a record is dropped: see docs of the core's sharing:insert. queue: the engine took none,
-- and the queue was full; refused: the engine took it not; address: its address had its share of the stream.
shared_sessions.reasons = {
	"address", "expired", "from_the_future", "full", "malformed", "not_opened", "over_share", "queue", "refused",
	"removed", "replayed", "writers",
}

local MINUTE = 60

-- No fault: a session has ended on one machine before another one heard of it.
local expected = { removed = true }

-- What a reason means, for the log.
local meanings = {
	address = "not sent, of an address that has its share of the stream",
	expired = "older than their lifetime", from_the_future = "from a clock that is more than 60 s ahead",
	full = "without room in the session store", malformed = "not ours",
	not_opened = "sealed with another key or for another name, or damaged",
	queue = "waited too long for the engine", refused = "refused by the engine",
	over_share = "of a network that has its share", removed = "ended by a fatal alert", replayed = "known already",
	writers = "of too many process starts",
}

--- A sentence if a lifetime in seconds is long for sessions that are shared, or nil.
function shared_sessions.lifetime_warning(lifetime)
	return lifetime > LONGEST_LIFETIME and ("Shared sessions last %d s. With the key file and a copy of the engine's "
		.. "data they can be opened: set resumption.lifetime to %d or less"):format(lifetime, LONGEST_LIFETIME) or nil
end

local function zeros()
	local counts = { appended = 0, received = 0 }
	for _, reason in ipairs(shared_sessions.reasons) do
		counts[reason] = 0
	end
	return counts
end

--- For one load of the module. `options`: server, the adapter; now, function() -> UTC seconds; kept, the object of
-- the load before, or nil: it is ended, and its counts go on; for specs: redis, the module; random (see
-- back_off.new); read_keys and new_sharing instead of those of key_file and the core.
function shared_sessions.new(options)
	local kept = options.kept
	if kept then
		kept:drain()
		kept:stop()
	end
	return setmetatable({
		_server = options.server, _now = options.now, _given_redis = options.redis, _random = options.random,
		_read_keys = options.read_keys or key_file.read, _new_sharing = options.new_sharing or core.session_sharing,
		_settings = nil, -- what is in force: { url, key_file, name, ca_file, lifetime, address_share, store }
		_sharing = nil, -- the core's
		_counts = kept and kept._counts or zeros(), _logged = kept and kept._logged or zeros(),
		_logged_at = kept and kept._logged_at, _queue_dropped = 0,
		_over_share = 0, _state = "off", _reason = nil, _attempts = 0,
	}, metatable)
end

---- State ----------------------------------------------------------------------

-- One line for each change.
local function change(self, state, reason)
	if self._state == state and self._reason == reason then
		return
	end
	self._state, self._reason = state, reason
	local place = self._settings and engine_url.shown(self._settings.url)
	if state == "connected" then
		self._server.log("*", "info", "Sessions are shared through %s as %s", place, text.quote(self._settings.name))
	elseif state == "disconnected" then
		self._server.log("*", "warn", "No session is shared through %s: %s. Clients still resume those that this process "
			.. "knows; the next attempt follows within %d s", place, reason, MOST_DELAY)
	elseif state == "failed" then
		self._server.log("*", "error", "No session is shared: %s", reason)
	end
end

local function close_connections(self)
	for _, connection in ipairs { self._append_connection or false, self._tail_connection or false } do
		if connection then
			connection:close()
		end
	end
	self._append_connection, self._tail_connection, self._is_up = nil, nil, false
	self._lag:forget()
end

-- The password is taken from the URL where it is needed, and not kept.
local function place_of(settings)
	local place = engine_url.parse(settings.url)
	place.ca_file = settings.ca_file
	return place
end

local function shown_error(self, problem)
	return engine_connection.shown_error(problem, place_of(self._settings).password)
end

-- Both connections end together.
local function go_down(self, reason)
	if self._is_up and self._server.monotonic() - self._up_since >= GOOD_AFTER then
		self._back_off:reset()
	end
	close_connections(self)
	self._connect_at = self._server.monotonic() + self._back_off:delay()
	change(self, "disconnected", reason)
end

local function broken(self)
	return function (problem)
		go_down(self, shown_error(self, problem))
	end
end

---- Records --------------------------------------------------------------------

local function count(self, what)
	self._counts[what] = self._counts[what] + 1
end

-- Nobody misses these.
local unneeded = { own = true, superseded = true }

-- What a replay finds: sessions that this process has by now, or that are over. They are not dropped.
local usual_in_replay = { expired = true, full = true, over_share = true, removed = true, replayed = true }

-- Puts a record into the store. Returns true if the store has no room for older ones.
local function take(self, record, in_replay)
	if not record then
		count(self, "malformed")
		return false
	end
	local kind, reason = self._sharing:insert(record)
	if kind then
		count(self, "received")
	elseif not unneeded[reason] and not (in_replay and usual_in_replay[reason]) then
		count(self, reason)
	end
	return reason == "full"
end

-- One line when the engine begins to refuse records, and one when it takes them again. An engine that is nearly full
-- does both by turns: then these two once a minute, and log_dropped has the number.
local function refused(self, problem)
	local now = self._server.monotonic()
	count(self, "refused")
	if not self._refuses and now >= (self._refusal_logged_at or -MINUTE) + MINUTE then
		self._refuses, self._refusal_logged_at = true, now
		self._server.log("*", "warn", "The engine refuses new sessions: %s", shown_error(self, problem))
	end
end

local function appended(self, id, sent)
	count(self, "appended")
	self._lag:appended(id, sent)
	if self._refuses then
		self._refuses = false
		self._server.log("*", "info", "The engine takes new sessions again")
	end
	if self._has_more then
		self:drain()
	end
end

--- Sends the records that the session store has queued: to be called after a handshake, and each second.
function methods:drain()
	if not self._is_up then
		return
	end
	local writer, connection, sent = self._writer, self._append_connection, 0
	while sent < MOST_AT_ONCE and writer:takes_more() do
		local record, message = self._sharing:seal_next()
		if not record then
			if message then
				self._server.log_limited("Internal error of the TLS policy in shared sessions", message)
			end
			break
		end
		writer:append(record)
		sent = sent + 1
	end
	self._has_more = self._sharing:queued() > 0
	if sent > 0 then
		connection:flush()
	end
end

---- Connections ----------------------------------------------------------------

local function start_tail(self, from)
	self._last_read = from
	stream_tail.start {
		connection = self._tail_connection, name = self._settings.name, from = from, on_broken = broken(self),
		now = self._server.monotonic, later = self._server.later,
		take = function (record)
			take(self, record)
		end,
		on_read = function (id)
			self._last_read = id
			self._lag:read(id)
		end,
	}
end

-- The stream is ours to use: from now on records are sent and read.
local function go_up(self, newest)
	self._is_up, self._up_since = true, self._server.monotonic()
	change(self, "connected")
	local connection = self._append_connection
	start_tail(self, newest)
	self._writer:send_again()
	connection:flush()
	self:drain()
end

-- The tail goes on from the newest entry while older ones are replayed: if that does not come to its end, there is a
-- gap before the last one that was read.
local function replay(self)
	local settings, connection = self._settings, self._append_connection
	local began, known = self._server.monotonic(), not self._has_gap and self._last_read or nil
	stream_replay.start {
		connection = connection, name = settings.name, known = known,
		oldest = entry_id.of_time(self._now() - settings.lifetime - TOLERANCE), on_broken = broken(self),
		later = self._server.later,
		take = function (record)
			return take(self, record, true)
		end,
		on_newest = function (id)
			self._has_gap = true
			go_up(self, id)
		end,
		on_done = function (entries)
			self._has_gap = false
			self._replayed = { entries = entries, seconds = self._server.monotonic() - began }
			self._server.log("*", "debug", "Replayed %d entries of shared sessions in %.2f s", entries,
				self._replayed.seconds)
		end,
	}
end

local function open_connection(self, on_up)
	return engine_connection.open {
		server = self._server, redis = self._redis, place = place_of(self._settings), attempt = self._attempts, on_up = on_up,
		on_down = function (message)
			go_down(self, message)
		end,
	}
end

-- The replay begins when both connections are there. Each of them may fail at any call, which ends both; one that
-- has ended does nothing more.
local function connect(self)
	self._connect_at = nil
	self._attempts = self._attempts + 1
	local up, append = 0, nil
	local function on_up()
		up = up + 1
		if up == 2 then
			self._writer:begin(append, function ()
				replay(self)
			end)
			append:flush()
		end
	end
	append = open_connection(self, on_up)
	local tail = open_connection(self, on_up)
	self._append_connection, self._tail_connection = append, tail
	append:start()
	tail:start()
end

---- Life ------------------------------------------------------------------------

-- The IDs of keys, for people, and to see whether they have changed. Closes the keys: whoever needs them further
-- holds them.
local function key_ids(keys)
	local ids = table.concat(keys:ids(), ", ")
	keys:close()
	return ids
end

-- Sessions that one address may append in a lifetime; nil: no bound.
local function address_limit(settings)
	return settings.address_share > 1 and math.floor(stream_writer.MOST_ENTRIES / settings.address_share) or nil
end

local function start(self)
	local settings = self._settings
	local message
	self._redis, message = engine_module.load(place_of(settings), self._given_redis)
	if not self._redis then
		return nil, message
	end
	local keys
	keys, message = self._read_keys(settings.key_file)
	if not keys then
		return nil, message
	end
	self._sharing, message = self._new_sharing {
		store = settings.store, name = settings.name, keys = keys, queue_limit = QUEUE,
		address_limit = address_limit(settings),
	}
	self._key_ids = key_ids(keys)
	if not self._sharing then
		return nil, message
	end
	self._back_off = back_off.new { least = LEAST_DELAY, most = MOST_DELAY, random = self._random }
	self._lag = stream_lag.new(self._server.monotonic)
	self._writer = stream_writer.new {
		server = self._server, name = settings.name, lifetime = settings.lifetime, now = self._now,
		on_appended = function (id, sent)
			appended(self, id, sent)
		end,
		on_refused = function (problem)
			refused(self, problem)
		end,
		on_broken = broken(self),
	}
	self._queue_dropped, self._over_share, self._refuses, self._last_read, self._has_gap = 0, 0, false, nil, false
	local warning = shared_sessions.lifetime_warning(settings.lifetime)
	if warning then
		self._server.log("*", "warn", "%s", warning)
	end
	change(self, "connecting")
	-- At once: after a restart clients come as soon as they can.
	connect(self)
	return true
end

--- Ends it: connections are closed, and the store queues nothing any more.
function methods:stop()
	if self._lag then
		close_connections(self)
	end
	if self._sharing then
		self._sharing:close()
	end
	self._sharing, self._settings, self._connect_at, self._lag, self._writer = nil, nil, nil, nil, nil
	change(self, "off")
end

-- A key file that cannot be read changes nothing: the keys in force stay.
local function has_same_keys(self)
	local keys, message = self._read_keys(self._settings.key_file)
	if not keys then
		self._server.log("*", "error", "The keys of shared sessions stay as they are: %s", message)
		return true
	end
	return key_ids(keys) == self._key_ids
end

local fields = { "url", "key_file", "name", "ca_file", "lifetime", "address_share", "store" }

local function is_same(a, b)
	for _, field in ipairs(fields) do
		if a[field] ~= b[field] then
			return false
		end
	end
	return true
end

--- Follows the options of resumption, as options.check returns them. `store`: the session store, or nil. A
-- change begins anew; without a change all goes on, but a key file that was changed is read.
function methods:configure(resumption, store)
	local shared = store and resumption.shared
	if not shared then
		return self._settings and self:stop()
	end
	local settings = {
		url = shared.url, key_file = shared.key_file, name = shared.name, ca_file = shared.ca_file,
		lifetime = resumption.lifetime, address_share = resumption.address_share, store = store,
	}
	if self._settings then
		if self._sharing and is_same(self._settings, settings) and has_same_keys(self) then
			return
		end
		self:stop()
	end
	self._settings = settings
	local done, message = start(self)
	if not done then
		change(self, "failed", message)
	end
end

---- Each second -----------------------------------------------------------------

local function count_queue(self)
	local _, _, dropped, _, over_share = self._sharing:queued()
	self._counts.queue = self._counts.queue + dropped - self._queue_dropped
	self._counts.address = self._counts.address + over_share - self._over_share
	self._queue_dropped, self._over_share = dropped, over_share
end

-- One line a minute for records that were dropped.
local function log_dropped(self)
	local now = self._server.monotonic()
	if self._logged_at and now - self._logged_at < MINUTE then
		return
	end
	local parts, level = {}, "info"
	for _, reason in ipairs(shared_sessions.reasons) do
		local number = self._counts[reason] - self._logged[reason]
		self._logged[reason] = self._counts[reason]
		if number > 0 and not expected[reason] then
			parts[#parts + 1] = ("%d %s"):format(number, meanings[reason])
			-- After a lost connection a record may come twice.
			level = reason == "replayed" and level or "warn"
		end
	end
	if parts[1] then
		self._logged_at = now
		self._server.log("*", level, "Records of shared sessions were dropped: %s", table.concat(parts, "; "))
	end
end

--- Looks after the connections and sends what waits.
function methods:each_second()
	if not self._sharing then
		return
	end
	for _, name in ipairs { "_append_connection", "_tail_connection" } do
		if self[name] then
			self[name]:check()
		end
	end
	if self._connect_at and self._server.monotonic() >= self._connect_at then
		connect(self)
	end
	self:drain()
	count_queue(self)
	log_dropped(self)
end

---- Questions -------------------------------------------------------------------

--- Counts since the process started: { appended, received, and one for each reason of
-- shared_sessions.reasons }.
function methods:counts()
	if self._sharing then
		count_queue(self)
	end
	return self._counts
end

--- Nil if nothing is to be shared; otherwise { engine (URL without a password), name, state: "connecting",
-- "connected", "disconnected" or "failed"; reason of the last two; keys (IDs), lag (seconds), queued (records);
-- replayed = { entries, seconds } of the last connection }.
function methods:status()
	local settings = self._settings
	return settings and {
		engine = engine_url.shown(settings.url), name = settings.name, state = self._state, reason = self._reason,
		keys = self._key_ids, lag = self._lag and self._lag:seconds(), queued = self._sharing and (self._sharing:queued()),
		replayed = self._replayed,
	} or nil
end

return shared_sessions
