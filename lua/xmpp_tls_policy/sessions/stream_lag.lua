--- The time from sending a record of ours until our own tail has read it: one at a time is measured,
-- by one clock.
local entry_id = require "xmpp_tls_policy.sessions.entry_id"

local stream_lag = {}

local methods = {}
local metatable = { __index = methods }

--- `now`: function() -> seconds of a clock that only goes forward.
function stream_lag.new(now)
	return setmetatable({ _now = now, _seconds = 0 }, metatable)
end

local function finish(self)
	if self._id and self._read and not entry_id.is_less(self._read, self._id) then
		self._seconds = self._now() - self._sent
		self._id, self._sent = nil, nil
	end
end

--- The engine gave an ID to a record that was sent at this time.
function methods:appended(id, sent)
	if not self._id and entry_id.is_valid(id) then
		self._id, self._sent = id, sent
		finish(self)
	end
end

--- The tail has read up to this ID.
function methods:read(id)
	self._read = id
	finish(self)
end

--- The connection ended: what was sent is not awaited.
function methods:forget()
	self._id, self._sent, self._read = nil, nil, nil
end

--- Seconds of the last measurement, or of the one that goes on, if that is longer.
function methods:seconds()
	return self._sent and math.max(self._seconds, self._now() - self._sent) or self._seconds
end

return stream_lag
