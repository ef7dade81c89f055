--- The shapes (see shape.lua) that one host of ours has seen, with counts by role, kind of our certificate and
-- day; and of the shapes that some profile would cut off, the peers that came with them. Peers choose their
-- shapes, so all of it is bounded. Newcomers push out only each other: what came on two days stays for 30 days
-- after it came last.
local date = require "xmpp_tls_policy.date"
local day_counts = require "xmpp_tls_policy.fleet.day_counts"
local shape = require "xmpp_tls_policy.fleet.shape"
local shape_peers = require "xmpp_tls_policy.fleet.shape_peers"

local shapes = {}

local methods = {}
local metatable = { __index = methods }

-- Clients have an account here. Any domain can be a server, so servers have room of their own.
local MOST_SHAPES = { client = 1500, server = 500 }

-- New shapes that one peer may bring in a day, and the number of peers for which that is counted. No further
-- peers bring new ones on such a day.
local NEW_A_DAY = 10
local MOST_BRINGERS = 5000

-- Roles and kinds of certificates of one shape. There are three roles.
local MOST_SERIES = 8

shapes.MOST_SHAPES, shapes.NEW_A_DAY = MOST_SHAPES, NEW_A_DAY

local kind_of_role = { c2s = "client", s2sin = "server", s2sout = "server" }

local function today_of(self)
	return math.floor(self._now() / date.DAY)
end

--- `now`: function() -> UTC seconds; `most`: { client, server }, how many shapes are kept of each (nil:
-- MOST_SHAPES).
function shapes.new(options)
	local self = setmetatable({
		_now = options.now,
		_most = options.most or MOST_SHAPES,
		_shapes = {}, -- packed shape -> record, see new_record
		_by_id = {}, -- id -> packed shape
		_count = { client = 0, server = 0 },
		_missed = {}, -- kind -> see day_counts.lua: connections whose shape is not kept
		_unnamed = {}, -- kind -> last day on which a peer was not listed for want of room
		_bringers = {}, -- kind -> { day, count, shapes = name -> number } of today
		_changed = {}, -- key of a record (see changes), or the record of a shape -> true
		_waiting = {}, -- packed shape -> true: it is not judged under the profiles and the configuration of now
	}, metatable)
	self._since = today_of(self)
	self._peers = shape_peers.new {
		changed = function (kind, name)
			self._changed[kind .. " " .. name] = true
		end,
	}
	return self
end

-- ---- records -----------------------------------------------------------------------

-- `is_cut_off`: whether some profile would cut it off; nil: not known yet. A table of four fields is half as large
-- as one of five.
local function new_record(packed, kind)
	return { id = shape.id(packed), kind = kind, series = {}, is_cut_off = nil }
end

local function last_day(record)
	local last = 0
	for _, counts in pairs(record.series) do
		last = math.max(last, (day_counts.last(counts)))
	end
	return last
end

-- Whether a shape came on more days than one.
local function came_back(record)
	local first
	for _, counts in pairs(record.series) do
		local day = day_counts.last(counts)
		if day_counts.has_past(counts) or first and first ~= day then
			return true
		end
		first = day
	end
	return false
end

local function mark(self, key)
	self._changed[key] = true
end

local function insert(self, packed, record)
	self._shapes[packed], self._by_id[record.id], self._waiting[packed] = record, packed, true
	self._count[record.kind] = self._count[record.kind] + 1
end

local function remove(self, packed, record)
	self._shapes[packed], self._by_id[record.id], self._waiting[packed] = nil, nil, nil
	self._count[record.kind] = self._count[record.kind] - 1
	mark(self, record)
end

-- ---- bounds ------------------------------------------------------------------------

-- Whether a peer may bring one more new shape today.
local function may_bring(self, kind, name, today)
	local bringers = self._bringers[kind]
	if not bringers or bringers.day ~= today then
		bringers = { day = today, count = 0, shapes = {} }
		self._bringers[kind] = bringers
	end
	local brought = bringers.shapes[name] or 0
	if brought >= NEW_A_DAY or brought == 0 and bringers.count >= MOST_BRINGERS then
		return false
	end
	bringers.count = bringers.count + (brought == 0 and 1 or 0)
	bringers.shapes[name] = brought + 1
	return true
end

-- The shapes of a kind that came on one day only: of those that came least, the oldest first.
local function newcomers(self, kind)
	local list, counts, last = {}, {}, {}
	for packed, record in pairs(self._shapes) do
		if record.kind == kind and not came_back(record) then
			list[#list + 1], counts[packed], last[packed] = packed, 0, last_day(record)
			for _, series in pairs(record.series) do
				counts[packed] = counts[packed] + select(2, day_counts.last(series))
			end
		end
	end
	table.sort(list, function (a, b)
		if counts[a] ~= counts[b] then
			return counts[a] < counts[b]
		elseif last[a] ~= last[b] then
			return last[a] < last[b]
		end
		return a < b
	end)
	return list
end

-- Makes room for a shape of a kind: a tenth of the newcomers goes. Whether there is room.
local function has_room(self, kind)
	if self._count[kind] < self._most[kind] then
		return true
	end
	local list = newcomers(self, kind)
	for index = 1, math.ceil(#list / 10) do
		remove(self, list[index], self._shapes[list[index]])
	end
	return list[1] ~= nil
end

-- ---- seeing ------------------------------------------------------------------------

local function miss(self, kind, today)
	self._missed[kind] = self._missed[kind] or day_counts.new(today)
	day_counts.add(self._missed[kind], today)
	mark(self, "state")
end

local function length_of(map)
	local length = 0
	for _ in pairs(map) do
		length = length + 1
	end
	return length
end

local function add_peer(self, record, kind, name, today)
	if not self._peers:add(kind, name, record.id, today) then
		self._unnamed[kind] = today
		mark(self, "state")
	end
end

-- The record of a shape that is seen for the first time; nil if it is not kept.
local function begin(self, packed, kind, name, today)
	if not shape.is_whole(packed) or not may_bring(self, kind, name, today) or not has_room(self, kind) then
		return nil
	end
	local record = new_record(packed, kind)
	-- Two shapes with one name: it takes chance, or a peer that has computed for years.
	if self._by_id[record.id] then
		return nil
	end
	insert(self, packed, record)
	-- The first day is known over a restart.
	mark(self, "state")
	return record
end

local function has_role(record, role)
	for of_role in pairs(record.series) do
		if of_role:match "^%S+" == role then
			return true
		end
	end
	return false
end

--- A peer has authenticated. `packed`: its shape; `role`: "c2s", "s2sin" or "s2sout"; `key_type`: of our
-- certificate in the handshake, nil if there is none; `name`: a bare JID or a domain. Returns whether the shape
-- is kept.
function methods:see(packed, role, key_type, name)
	local today, kind = today_of(self), kind_of_role[role]
	local record = self._shapes[packed] or begin(self, packed, kind, name, today)
	if not record then
		miss(self, kind, today)
		return false
	end
	local of_role = key_type and role .. " " .. key_type or role
	local counts = record.series[of_role]
	if not counts then
		if length_of(record.series) >= MOST_SERIES then
			miss(self, kind, today)
			return false
		end
		if not has_role(record, role) then
			-- A policy may cut it off in this role alone.
			self._waiting[packed], record.is_cut_off = true, record.is_cut_off or nil
		end
		counts = day_counts.new(today)
		record.series[of_role] = counts
	end
	day_counts.add(counts, today)
	mark(self, record)
	if record.is_cut_off ~= false then
		add_peer(self, record, kind, name, today)
	end
	return true
end

-- ---- judging -----------------------------------------------------------------------

--- Whether a shape waits for a judgement (see judged).
function methods:has_unjudged()
	return next(self._waiting) ~= nil
end

--- The shapes that wait for one: a list of { shape, roles = list }. They wait no longer.
function methods:unjudged()
	local list = {}
	for packed in pairs(self._waiting) do
		local roles, is_listed = {}, {}
		for of_role in pairs(self._shapes[packed].series) do
			local role = of_role:match "^%S+"
			roles[#roles + 1], is_listed[role] = not is_listed[role] and role or nil, true
		end
		list[#list + 1] = { shape = packed, roles = roles }
	end
	self._waiting = {}
	return list
end

--- Shapes were judged. `is_cut_off`: packed shape -> whether some profile would cut it off. If none would, its
-- peers are forgotten.
function methods:judged(is_cut_off)
	local by_id = {}
	for packed, verdict in pairs(is_cut_off) do
		local record = self._shapes[packed]
		if record and record.is_cut_off ~= verdict then
			record.is_cut_off, by_id[record.id] = verdict, verdict
			mark(self, record)
		end
	end
	if next(by_id) then
		self._peers:judged(by_id)
	end
end

--- All shapes have to be judged anew: profiles, or the configuration of the server, have changed.
function methods:judge_again()
	for packed in pairs(self._shapes) do
		self._waiting[packed] = true
	end
end

-- ---- forgetting --------------------------------------------------------------------

--- Forgets a peer: "client" and its bare JID, or "server" and its domain.
function methods:forget(kind, name)
	self._peers:forget(kind, name)
end

--- Forgets all that was not seen for 30 days.
function methods:sweep()
	local oldest = today_of(self) - day_counts.DAYS
	for packed, record in pairs(self._shapes) do
		if last_day(record) <= oldest then
			remove(self, packed, record)
		end
	end
	self._peers:sweep(oldest + 1, function (id)
		return self._by_id[id] ~= nil
	end)
end

-- ---- storing -----------------------------------------------------------------------

local function stored_record(packed, record)
	local series = {}
	for of_role, counts in pairs(record.series) do
		series[of_role] = day_counts.to_store(counts)
	end
	return {
		shape = shape.to_text(packed), kind = record.kind, cut_off = record.is_cut_off or nil, series = series,
	}
end

local function state_of(self)
	local missed, unnamed = {}, {}
	for kind in pairs(MOST_SHAPES) do
		missed[kind] = self._missed[kind] and day_counts.to_store(self._missed[kind])
		unnamed[kind] = self._unnamed[kind]
	end
	return { since = self._since, missed = missed, unnamed = unnamed }
end

local function is_cut_off(self, id)
	local record = self._shapes[self._by_id[id] or ""]
	return record ~= nil and record.is_cut_off == true
end

-- The record under a key, to be stored; nil: there is none.
local function to_store(self, key)
	local kind, name = key:match "^(%l+) ?(.*)$"
	if kind == "state" then
		return state_of(self)
	elseif kind == "shape" then
		local packed = self._by_id[name]
		return packed and stored_record(packed, self._shapes[packed])
	end
	-- Of peers of shapes that are not judged yet, nothing is stored.
	return self._peers:to_store(kind, name, function (id)
		return is_cut_off(self, id)
	end)
end

--- The changes since the last call, to be stored: key -> record, or false for one that is forgotten; only
-- strings, numbers, booleans and tables with string keys. A key is "state", "shape " and a name, "client " and a
-- bare JID, or "server " and a domain. nil if there are none.
function methods:changes()
	if not next(self._changed) then
		return nil
	end
	local changes = {}
	for changed in pairs(self._changed) do
		local key = type(changed) == "table" and "shape " .. changed.id or changed
		changes[key] = to_store(self, key) or false
	end
	self._changed = {}
	return changes
end

--- Takes back a change that could not be stored.
function methods:restore(key)
	mark(self, key)
end

local function is_map_to_numbers(map)
	if type(map) ~= "table" then
		return false
	end
	for key, value in pairs(map) do
		if type(key) ~= "string" or type(value) ~= "number" then
			return false
		end
	end
	return true
end

-- The series of a stored record; nil if they are damaged.
local function series_of(stored)
	if type(stored) ~= "table" or next(stored) == nil or length_of(stored) > MOST_SERIES then
		return nil
	end
	local series = {}
	for of_role, counts in pairs(stored) do
		series[of_role] = day_counts.from_store(counts)
		if type(of_role) ~= "string" or not kind_of_role[of_role:match "^%S*"] or not series[of_role] then
			return nil
		end
	end
	return series
end

local take = {}

function take.state(self, _, stored)
	if type(stored.since) ~= "number" or type(stored.missed) ~= "table" or not is_map_to_numbers(stored.unnamed) then
		return false
	end
	self._since = math.min(self._since, stored.since)
	for kind in pairs(MOST_SHAPES) do
		local missed = day_counts.from_store(stored.missed[kind])
		if missed and self._missed[kind] then
			day_counts.merge(self._missed[kind], missed)
		else
			self._missed[kind] = self._missed[kind] or missed
		end
		self._unnamed[kind] = self._unnamed[kind] or stored.unnamed[kind]
	end
	return true
end

-- A shape may be seen again before its record is read.
local function merge_series(series, stored)
	for of_role, counts in pairs(stored) do
		if series[of_role] then
			day_counts.merge(series[of_role], counts)
		elseif length_of(series) < MOST_SERIES then
			series[of_role] = counts
		end
	end
end

function take.shape(self, id, stored)
	local packed, series = shape.from_text(stored.shape), series_of(stored.series)
	if not packed or shape.id(packed) ~= id or not MOST_SHAPES[stored.kind] or not series then
		return false
	end
	local known = self._shapes[packed]
	if known then
		merge_series(known.series, series)
		mark(self, known)
		return true
	end
	local record = new_record(packed, stored.kind)
	record.series, record.is_cut_off = series, stored.cut_off == true or nil
	if has_room(self, stored.kind) then
		insert(self, packed, record)
	else
		-- Its stored record goes.
		mark(self, record)
	end
	return true
end

function take.client(self, name, stored)
	return self._peers:take("client", name, stored)
end

function take.server(self, name, stored)
	return self._peers:take("server", name, stored)
end

--- Takes in a record that was stored under a key, once for each. What was seen since is added. Returns whether it
-- was whole.
function methods:take(key, stored)
	local kind, name = key:match "^(%l+) ?(.*)$"
	return type(stored) == "table" and take[kind] ~= nil and take[kind](self, name, stored)
end

-- ---- questions ---------------------------------------------------------------------

local function entry_of(packed, record, today)
	local entry = {
		shape = packed, id = record.id, is_cut_off = record.is_cut_off, logins = 0, roles = {}, keys = {},
	}
	for of_role, counts in pairs(record.series) do
		local role, key_type = of_role:match "^(%S+) ?(.*)$"
		local sum = day_counts.sum(counts, today)
		entry.logins = entry.logins + sum
		entry.roles[role] = (entry.roles[role] or 0) + sum
		if key_type ~= "" then
			entry.keys[key_type] = (entry.keys[key_type] or 0) + sum
		end
	end
	return entry
end

--- The shapes of the last 30 days, the most frequent first: a list of { shape, id, logins, roles = role ->
-- logins, keys = type of our certificate's key -> logins, is_cut_off = whether some profile would cut it off
-- (nil: not judged yet) }.
function methods:list()
	local list, today = {}, today_of(self)
	for packed, record in pairs(self._shapes) do
		local entry = entry_of(packed, record, today)
		list[#list + 1] = entry.logins > 0 and entry or nil
	end
	table.sort(list, function (a, b)
		if a.logins ~= b.logins then
			return a.logins > b.logins
		end
		return a.id < b.id
	end)
	return list
end

--- The peers that came with a shape, as far as they are known, sorted: accounts and domains.
function methods:peers(packed)
	return self._peers:of_shape(shape.id(packed))
end

--- How many shapes are kept.
function methods:count()
	return self._count.client + self._count.server
end

--- The limits of the answers: { since = the first day that counts, missed = connections of the last 30 days
-- whose shapes were not kept, unnamed = the last day on which a peer was not listed, nil if all are } (days as
-- "2027-03-01").
function methods:limits()
	local today, missed, unnamed = today_of(self), 0, nil
	for _, counts in pairs(self._missed) do
		missed = missed + day_counts.sum(counts, today)
	end
	for _, day in pairs(self._unnamed) do
		unnamed = today - day < day_counts.DAYS and math.max(unnamed or 0, day) or unnamed
	end
	local since = math.max(self._since, today - day_counts.DAYS + 1)
	return {
		since = date.of(since * date.DAY), missed = missed, unnamed = unnamed and date.of(unnamed * date.DAY),
	}
end

return shapes
