--- Reads what the stream has, newest first, in small parts: each is handled in one turn of the
-- server's loop, and between two of them the loop serves others.
local entry_id = require "xmpp_tls_policy.sessions.entry_id"
local loop_pauses = require "xmpp_tls_policy.sessions.loop_pauses"
local stream_entry = require "xmpp_tls_policy.sessions.stream_entry"
local stream_writer = require "xmpp_tls_policy.sessions.stream_writer"

local stream_replay = {}

-- A part takes about half a millisecond. A login waits for several turns.
local ENTRIES = 50

-- An engine that has more was not filled by us, and might go on for ever.
local MOST_ENTRIES = 2 * stream_writer.MOST_ENTRIES

-- Only when the part before was handled: while the engine works, the loop serves others.
local function ask(self, newest)
	self.connection:command({
		"XREVRANGE", self.name, newest, self.oldest, "COUNT", ("%d"):format(ENTRIES),
	}, function (entries, problem)
		self.handle(entries, problem)
	end)
	self.connection:flush()
end

-- Where the part after this one begins; nil if this is the last one or makes no sense. Each begins before the one
-- before it, also with IDs that are too large to be exact: so a replay ends.
local function following_of(entries, newest)
	local last = #entries == ENTRIES and stream_entry.read(entries[ENTRIES])
	local following = last and entry_id.before(last)
	local is_older = following and (newest == "+" or entry_id.is_less(following, newest))
	return is_older and following or nil
end

-- Whether the stream goes on after the place that was read before. If it was made anew, its newest
-- entry may be older.
local function goes_on(self, newest)
	return self.known and not entry_id.is_less(newest, self.known)
end

local function take_all(self, entries)
	for _, entry in ipairs(entries) do
		local id, record = stream_entry.read(entry)
		if id and self.known and not entry_id.is_less(self.known, id) then
			return true
		end
		self.count = self.count + 1
		if self.take(record) then
			return true
		end
	end
	return false
end

--- `options`: connection; name, of the stream; oldest, the least ID to read; known, the ID up to
-- which all was read before, or nil; take(record) is called for each entry (nil: not ours) and returns
-- true to stop; on_newest(id) once, before the entries: what comes after it is not replayed;
-- on_done(count); on_broken(problem); later, of the adapter.
function stream_replay.start(options)
	local pause = loop_pauses.new(options.later)
	local self, newest, is_first, is_over = { count = 0 }, "+", true, false
	for _, field in ipairs { "connection", "name", "oldest", "known", "take" } do
		self[field] = options[field]
	end
	function self.handle(entries, problem)
		if is_over then
			return
		elseif type(entries) ~= "table" then
			return options.on_broken(problem or "malformed answer")
		end
		if is_first then
			is_first = false
			local first = stream_entry.read(entries[1])
			if not first or not goes_on(self, first) then
				self.known = nil
			end
			options.on_newest(first or options.oldest)
		end
		local following = following_of(entries, newest)
		if take_all(self, entries) or not following or entry_id.is_less(following, self.oldest)
			or self.count >= MOST_ENTRIES then
			is_over = true
			return options.on_done(self.count)
		end
		newest = following
		pause(function ()
			ask(self, following)
		end)
	end
	ask(self, newest)
end

return stream_replay
