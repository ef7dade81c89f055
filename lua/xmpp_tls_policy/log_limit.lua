-- Limits the lines that foreign peers can cause in a log: per minute, in all and for each
-- key, such as an address, a domain or a kind of message. Counts the suppressed lines.
-- Requires no other file: servers use it when the rest of the library is missing.
local log_limit = {}

local methods = {}
local metatable = { __index = methods }

local MINUTE = 60 -- seconds

-- Keys that are remembered, with their suppressed lines, from one minute to the next.
local MOST_KEYS = 1000

-- A new limit. `options`: now, function() -> UTC seconds; lines, how many are allowed in a
-- minute in all (default 60); lines_per_key, how many of each key (default 1).
function log_limit.new(options)
	return setmetatable({
		_now = options.now,
		_lines = options.lines or 60,
		_lines_per_key = options.lines_per_key or 1,
		_allowed = 0, -- lines of this minute
		_keys = {}, -- key -> { allowed = lines of this minute, suppressed = since its last line }
		_key_count = 0,
		_suppressed = 0, -- of this minute
		_unreported = 0, -- of earlier minutes
	}, metatable)
end

local function forget_keys(self)
	for key, counts in pairs(self._keys) do
		counts.allowed = 0
		if counts.suppressed == 0 or self._key_count > MOST_KEYS then
			self._keys[key] = nil
			self._key_count = self._key_count - 1
		end
	end
end

-- Begins a new minute if the last one is over, or if the clock was set back.
local function begin_minute(self)
	local now = self._now()
	self._began = self._began or now
	if now < self._began or now - self._began >= MINUTE then
		self._began, self._allowed = now, 0
		self._unreported, self._suppressed = self._unreported + self._suppressed, 0
		forget_keys(self)
	end
end

local function counts_of(self, key)
	if not self._keys[key] then
		self._keys[key] = { allowed = 0, suppressed = 0 }
		self._key_count = self._key_count + 1
	end
	return self._keys[key]
end

-- Whether a line of a key (nil: unknown) may be written now. Then second, if it may: how
-- many lines of this key were suppressed since its last one.
function methods:allows(key)
	begin_minute(self)
	key = key == nil and "unknown" or key
	local counts = self._keys[key]
	if self._allowed >= self._lines or counts and counts.allowed >= self._lines_per_key then
		self._suppressed = self._suppressed + 1
		if counts then
			counts.suppressed = counts.suppressed + 1
		end
		return false
	end
	counts = counts or counts_of(self, key)
	local suppressed = counts.suppressed
	self._allowed, counts.allowed, counts.suppressed = self._allowed + 1, counts.allowed + 1, 0
	return true, suppressed
end

-- Counts lines of which nothing is known but their number as suppressed.
function methods:suppress(number)
	self._suppressed = self._suppressed + number
end

-- How many lines were suppressed in the minutes that are over and that no earlier call
-- has returned; nil if none were. To be called once a minute or more often.
function methods:turn()
	begin_minute(self)
	local suppressed = self._unreported
	self._unreported = 0
	return suppressed > 0 and suppressed or nil
end

return log_limit
