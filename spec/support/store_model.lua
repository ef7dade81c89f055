-- A simple model of a session store: a ring of slots, and a table. It takes random steps together
-- with a store, and raises an error if the two differ. A session that was renewed has two slots.
--
-- A store may drop an expired session at once, or later, when it is asked for the session. So the
-- model notes for each session whether it was ever expired (`doubtful`). The store has to find a
-- session that never was.

local trial = require "xmpp_tls_policy.core".session_store_trial

-- The sessions of one address reach its share often.
local ADDRESS, SHARE = "192.0.2.1", 200

local Model = {}
Model.__index = Model

local model = {}

local function check(self, condition, what, ...)
	if not condition then
		error(("step %d: "):format(self.steps) .. what:format(...), 0)
	end
end

-- Unsigned, as in the store: a clock that was set back makes all sessions old.
local function age_of(self, session)
	return (self.clock - session.created) % 2 ^ 32
end

local function is_expired(self, session)
	return age_of(self, session) >= self.lifetime
end

-- To be called after time or lifetime have changed.
local function note_expired(self)
	for _, session in pairs(self.slots) do
		session.doubtful = session.doubtful or is_expired(self, session)
	end
end

local function forget(self, session)
	self.slots[session.slot] = nil
	self.present = self.present - (session.ended and 0 or 1)
	if session.id then
		self.by_id[session.id] = nil
	end
	self.of_address[session] = nil
	if session.partner then
		session.partner.partner = nil
	end
end

-- The next slot of the ring, which is free afterwards.
local function take_slot(self)
	self.newest = self.newest % self.capacity + 1
	local victim = self.slots[self.newest]
	if victim then
		self.most_evictions = self.most_evictions + (victim.ended and 0 or 1)
		self.least_evictions = self.least_evictions + ((victim.ended or victim.doubtful) and 0 or 1)
		forget(self, victim)
	end
	return self.newest
end

local function put(self, session)
	self.slots[session.slot] = session
	if session.id then
		self.by_id[session.id] = session
	end
	self.of_address[session] = session.address and true
	self.present, self.insertions = self.present + 1, self.insertions + 1
end

-- id: nil for an unknown one.
local function remember(self, id, address)
	put(self, { id = id, created = self.clock, slot = take_slot(self), address = address })
end

-- Whether the address may have one more: nil if that depends on sessions that the store may have
-- dropped.
local function has_room(self, address)
	if not address then
		return true
	end
	local all, certain = 0, 0
	for session in pairs(self.of_address) do
		all, certain = all + 1, certain + (session.doubtful and 0 or 1)
	end
	local most = math.floor(self.capacity / SHARE)
	if (all < most) == (certain < most) then
		return all < most
	end
	return nil
end

-- 32 bytes. A store chooses the bucket by the first four, so some IDs have the same.
local function new_id(self)
	self.made = self.made + 1
	local start = self.random(8) == 1 and self.random(64) or self.random(2 ^ 24)
	return string.char(start % 256, math.floor(start / 256) % 256, math.floor(start / 65536) % 256, 0)
		.. ("%028d"):format(self.made)
end

-- A session that the store may have, with its ID; or nil.
local function any(self)
	local session = self.slots[self.random(self.capacity)] or self.slots[self.newest]
	return session and session.id and session or nil
end

local function insert(self)
	local id = new_id(self)
	trial.insert(self.store, id)
	remember(self, id)
end

local function insert_from_address(self)
	local id, room = new_id(self), has_room(self, ADDRESS)
	local kept = trial.insert(self.store, id, ADDRESS)
	check(self, room == nil or kept == room, "the address has %s room", kept and "more" or "less")
	if kept then
		remember(self, id, ADDRESS)
	end
end

local function renew(self)
	local session = any(self)
	local room = session and has_room(self, session.address)
	if not session or session.doubtful or room == nil then
		return
	end
	local id = new_id(self)
	local place
	check(self, trial.renew(self.store, session.id, id), "a session is not renewed")
	if session.partner then
		place = session.partner.slot
		forget(self, session.partner)
	elseif room then
		place = take_slot(self)
	else
		place = session.slot
		forget(self, session)
	end
	local renewed = { id = id, created = session.created, slot = place, address = session.address }
	put(self, renewed)
	if self.slots[session.slot] == session then
		session.partner, renewed.partner = renewed, session
	end
end

local function renew_none(self)
	check(self, not trial.renew(self.store, new_id(self), new_id(self)), "a session is renewed that never was")
end

local function replace(self)
	local session = any(self)
	if session then
		trial.insert(self.store, session.id)
		forget(self, session)
		remember(self, session.id)
	end
end

local function look_up(self, session)
	local age, reason = trial.find(self.store, session.id)
	if age then
		check(self, not is_expired(self, session), "an expired session is found")
		check(self, age == age_of(self, session), "a session is %d s old instead of %d", age, age_of(self, session))
	else
		check(self, session.doubtful, "a session is %s", reason)
		forget(self, session)
	end
end

local function find(self)
	local session = any(self)
	if session then
		look_up(self, session)
	end
end

local function find_none(self)
	local age, reason = trial.find(self.store, new_id(self))
	check(self, not age and reason == "unknown", "a session is found that never was")
end

-- It keeps its slot and its share.
local function end_session(self, session)
	self.by_id[session.id] = nil
	if session.partner then
		session.partner.partner = nil
	end
	session.id, session.partner, session.ended = nil, nil, true
	self.present = self.present - 1
end

local function remove(self)
	local session, before = any(self), self.store:stats().removals
	if session then
		trial.remove(self.store, session.id)
		local removed = self.store:stats().removals - before
		check(self, removed == 1 or removed == 0 and session.doubtful, "%d sessions are removed", removed)
		check(self, select(2, trial.find(self.store, session.id)) == "unknown", "a removed session is found")
		end_session(self, session)
	end
end

-- Inserts a number of unknown sessions.
function Model:fill(count)
	assert(trial.fill(self.store, count))
	for _ = 1, count do
		remember(self, nil)
	end
end

local function fill(self)
	self:fill(self.random(100))
end

local function pass_time(self)
	self.clock = self.clock + self.random(self.random(50) == 1 and self.lifetime or 10)
	trial.set_clock(self.store, self.clock)
	note_expired(self)
end

local function set_back(self)
	self.clock = self.clock - self.random(100)
	trial.set_clock(self.store, self.clock)
	note_expired(self)
end

local function set_lifetime(self)
	local lifetime = self.random(4000)
	self.lifetime = lifetime
	self.store:set_lifetime(lifetime)
	note_expired(self)
end

local function count(self)
	local stats, certain = self.store:stats(), 0
	for _, session in pairs(self.slots) do
		certain = certain + ((session.doubtful or session.ended) and 0 or 1)
	end
	check(self, stats.sessions >= certain and stats.sessions <= self.present, "%d sessions instead of %d to %d",
		stats.sessions, certain, self.present)
	check(self, stats.insertions == self.insertions, "%d insertions instead of %d", stats.insertions, self.insertions)
	check(self, stats.evictions >= self.least_evictions and stats.evictions <= self.most_evictions,
		"%d evictions instead of %d to %d", stats.evictions, self.least_evictions, self.most_evictions)
end

local function sweep(self)
	-- In two parts, which are all of it.
	local part = self.random(self.capacity)
	self.store:sweep(part)
	self.store:sweep(self.capacity + 1 - part)
	for _, session in pairs(self.slots) do
		if is_expired(self, session) then
			forget(self, session)
		end
	end
	count(self)
end

local function flush(self)
	self.store:flush()
	self.slots, self.by_id, self.of_address, self.present, self.newest = {}, {}, {}, 0, 0
end

-- The frequency of each in 100,000 steps. Operations that empty the store are rare.
local frequencies = {
	{ insert, 33000 }, { renew, 10000 }, { renew_none, 1000 }, { insert_from_address, 1000 }, { find, 33000 },
	{ find_none, 7500 }, { remove, 7500 }, { replace, 5996 }, { pass_time, 500 },
	{ fill, 400 }, { sweep, 50 }, { count, 50 }, { set_lifetime, 2 }, { flush, 1 }, { set_back, 1 },
}

-- store: a Store of nobody else's, which is emptied; random(n): a whole number from 1 to n.
function model.new(store, random)
	local stats = store:stats()
	local self = setmetatable({
		store = store, random = random, steps = 0, clock = 2 ^ 30, lifetime = stats.lifetime, capacity = stats.capacity,
		made = 0, insertions = stats.insertions, least_evictions = stats.evictions, most_evictions = stats.evictions,
	}, Model)
	trial.set_clock(store, self.clock)
	store:set_share(SHARE)
	flush(self)
	return self
end

-- Does one random operation on both.
function Model:step()
	self.steps = self.steps + 1
	local chosen = self.random(100000)
	for _, entry in ipairs(frequencies) do
		chosen = chosen - entry[2]
		if chosen <= 0 then
			return entry[1](self)
		end
	end
	error "the frequencies do not add up"
end

-- Looks for all sessions that the store has or may have.
function Model:finish()
	for _, session in pairs(self.by_id) do
		look_up(self, session)
	end
	count(self)
end

return model
