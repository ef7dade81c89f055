--- Records of hosts that changed and wait to be written to the server's stores: at once, or each hour in turns, because
-- most storages write each record into a file.
local unwritten_records = {}

local methods = {}
local metatable = { __index = methods }

local WRITE_EVERY = 3600 -- seconds
local IN_A_TURN = 20 -- records

--- For one load of the module.
--   hosts      function() -> list of hosts
--   source_of  function(host) -> an object with changes() -> key -> record, or false for one that is forgotten, or
--              nil if there are none; restore(key): it is a change again; sweep(): forgets what is old. nil if the
--              stored records of the host are not read yet: one of them must not be replaced
--   store      function(host, key, record) -> true if the record was stored; nil removes it
--   work       name of the work in the queue, before the host
--   queue      a work_queue
--   now        function() -> UTC seconds
--   kept       those of the load before, or nil
function unwritten_records.new(options)
	local kept, now = options.kept, options.now
	return setmetatable({
		_hosts = options.hosts, _source_of = options.source_of, _store = options.store,
		_work = options.work, _queue = options.queue, _now = now,
		_waiting = kept and kept._waiting or {}, -- host -> key -> record
		_written_at = kept and kept._written_at or now(),
	}, metatable)
end

local function gather(self, host, source)
	local waiting = self._waiting[host] or {}
	self._waiting[host] = waiting
	for key, record in pairs(source:changes() or {}) do
		waiting[key] = record
	end
end

-- Writes as many records of a host. Returns whether there may be more. One that fails is a change again.
local function write_some(self, host, most)
	local source, waiting = self._source_of(host), self._waiting[host]
	if not source or not waiting then
		return false
	end
	for _ = 1, most do
		local key, record = next(waiting)
		if not key then
			return false
		end
		waiting[key] = nil
		if not self._store(host, key, record or nil) then
			source:restore(key)
			return false
		end
	end
	return true
end

--- Writes the changes of a host.
function methods:write(host)
	local source = self._source_of(host)
	if source then
		gather(self, host, source)
		write_some(self, host, math.huge)
	end
end

--- The same for all hosts.
function methods:write_all()
	for _, host in ipairs(self._hosts()) do
		self:write(host)
	end
end

--- The same in later turns, if it was not done for an hour. Before that, the sources forget what is old.
function methods:write_hourly()
	local now = self._now()
	if math.abs(now - self._written_at) < WRITE_EVERY then
		return
	end
	self._written_at = now
	for _, host in ipairs(self._hosts()) do
		local source = self._source_of(host)
		if source then
			source:sweep()
			gather(self, host, source)
			self._queue:add(self._work .. " " .. host, function ()
				return write_some(self, host, IN_A_TURN)
			end)
		end
	end
end

--- Nothing that waits for a host is written any more.
function methods:drop(host)
	self._waiting[host] = nil
end

return unwritten_records
