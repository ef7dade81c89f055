-- The peers that a policy in report mode would cut off if it were enforced. Callers record
-- only peers that have authenticated; their number is bounded nevertheless. Of other peers nothing is
-- stored: they are counted in memory alone.
local date = require "xmpp_tls_policy.date"
local text = require "xmpp_tls_policy.text"

local cutoff_report = {}

local methods = {}
local metatable = { __index = methods }

-- Of the peers that would be cut off, and of each kind of peers that are counted.
local MOST_PEERS = 5000
-- Seconds after which a breach that did not happen again, and a peer that did not come again, is
-- forgotten.
local FORGOTTEN = 30 * date.DAY

cutoff_report.MOST_PEERS = MOST_PEERS

-- Whether a value from a storage is a peer: it may be damaged, or of an older version.
local function is_peer(peer)
	if type(peer) ~= "table" or peer.kind ~= "client" and peer.kind ~= "server" or type(peer.name) ~= "string"
		or type(peer.first) ~= "number" or type(peer.last) ~= "number" or type(peer.broken) ~= "table" then
		return false
	end
	for clause, breach in pairs(peer.broken) do
		if type(clause) ~= "string" or type(breach) ~= "table" or type(breach.last) ~= "number"
			or type(breach.text) ~= "string" then
			return false
		end
	end
	return true
end

-- A report. `options`: now, function() -> UTC seconds.
function cutoff_report.new(options)
	local now = options.now
	return setmetatable({
		_now = now,
		_peers = {}, -- key -> peer that would be cut off
		_count = 0,
		_changed = {},
		_seen = { client = {}, server = {} }, -- name -> when it came last
		_seen_count = { client = 0, server = 0 },
		_since = now(),
	}, metatable)
end

local function key_of(kind, name)
	return kind .. " " .. name
end

local function remove(self, key)
	if self._peers[key] then
		self._peers[key] = nil
		self._count = self._count - 1
		self._changed[key] = true
	end
end

-- Forgets a tenth of the peers: first those that came on one day only (one administrator can invent
-- many), then those that were not seen for longest.
local function make_room(self)
	local list = {}
	for key, peer in pairs(self._peers) do
		list[#list + 1] = { key = key, last = peer.last, came_again = date.of(peer.first) ~= date.of(peer.last) }
	end
	table.sort(list, function (a, b)
		if a.came_again ~= b.came_again then
			return b.came_again
		end
		return a.last < b.last
	end)
	for index = 1, math.ceil(MOST_PEERS / 10) do
		remove(self, list[index].key)
	end
end

local function insert(self, key, peer)
	if self._count >= MOST_PEERS then
		make_room(self)
	end
	self._peers[key] = peer
	self._count = self._count + 1
end

-- Takes in a peer that was stored, as changes() returned it; not where it is known by now. Returns
-- whether it was whole. `is_new`: whether it has to be stored again.
function methods:take(peer, is_new)
	if not is_peer(peer) then
		return false
	end
	local key = key_of(peer.kind, peer.name)
	if not self._peers[key] and next(peer.broken) ~= nil then
		insert(self, key, peer)
		self._changed[key] = is_new or self._changed[key]
	end
	return true
end

-- Counts a peer. Of too many, the number stays.
local function count(self, kind, name, now)
	local seen = self._seen[kind]
	if not seen[name] then
		if self._seen_count[kind] >= MOST_PEERS then
			return
		end
		self._seen_count[kind] = self._seen_count[kind] + 1
	end
	seen[name] = now
end

-- Forgets the breaches of a peer that are old, or of another policy. Returns whether any was.
local function forget_old(peer, policy, now)
	local changed = false
	for clause, breach in pairs(peer.broken) do
		if now - breach.last > FORGOTTEN or peer.policy ~= policy then
			peer.broken[clause], changed = nil, true
		end
	end
	changed = changed or peer.policy ~= policy
	peer.policy = policy
	return changed
end

-- Forgets the peers whose breaches are all old, and of the others' the old ones.
function methods:sweep()
	local now = self._now()
	for key, peer in pairs(self._peers) do
		if forget_old(peer, peer.policy, now) then
			self._changed[key] = true
		end
		if next(peer.broken) == nil then
			remove(self, key)
		end
	end
	for kind, seen in pairs(self._seen) do
		for name, last in pairs(seen) do
			if now - last > FORGOTTEN then
				seen[name] = nil
				self._seen_count[kind] = self._seen_count[kind] - 1
			end
		end
	end
end

-- Forgets one peer.
function methods:forget(kind, name)
	remove(self, key_of(kind, name))
	if self._seen[kind][name] then
		self._seen[kind][name] = nil
		self._seen_count[kind] = self._seen_count[kind] - 1
	end
end

-- A peer is stored once a day at most, unless it breaks another clause.
local function is_same_day(past, now)
	return past ~= nil and date.of(past) == date.of(now)
end

-- Adds the breaches of a verdict to a peer. Returns whether the peer has to be stored.
local function add_breaches(peer, verdict, keepers, now)
	local changed = false
	for _, breach in ipairs(verdict.broken) do
		if breach.enforced then
			local before = peer.broken[breach.clause]
			changed = changed or not before or not is_same_day(before.last, now)
			peer.broken[breach.clause] = {
				last = now, text = breach.text, level = keepers.level, exception = keepers.exception or false,
			}
		end
	end
	return changed
end

-- Records a connection of a peer that has authenticated.
--   kind      "client" or "server"
--   name      of the peer, a bare JID or a domain
--   policy    its name
--   verdict   of the policy, if it were enforced
--   keepers   { level = the level at which the peer would not be cut off, or nil; exception =
--             whether an exception would help }
-- Returns whether to write a line to the log: once a day for a peer that would be cut off.
function methods:see(kind, name, policy, verdict, keepers)
	local now, key = self._now(), key_of(kind, name)
	local peer = self._peers[key]
	count(self, kind, name, now)
	if not peer and not verdict.refuse then
		return false
	elseif not peer then
		peer = { kind = kind, name = name, first = now, last = now, broken = {}, policy = policy }
		insert(self, key, peer)
	end
	local changed = forget_old(peer, policy, now)
	peer.last = now
	if not verdict.refuse then
		if next(peer.broken) == nil then
			remove(self, key)
		end
		self._changed[key] = self._changed[key] or changed or nil
		return false
	end
	changed = add_breaches(peer, verdict, keepers, now) or changed
	self._changed[key] = self._changed[key] or changed or nil
	local today = date.of(now)
	if peer.logged == today then
		return false
	end
	peer.logged = today
	return true
end

-- The changes since the last call, to be stored: key -> peer, or false for a peer that is
-- forgotten; only strings, numbers, booleans and tables with string keys. nil if there are
-- none.
function methods:changes()
	if not next(self._changed) then
		return nil
	end
	local changes = {}
	for key in pairs(self._changed) do
		changes[key] = self._peers[key] or false
	end
	self._changed = {}
	return changes
end

-- Takes back a change that could not be stored: it will be among the next ones.
function methods:restore(key)
	self._changed[key] = true
end

-- Whether a level, or an exception (`how`), would help against every breach of a peer.
local function is_kept(peer, how)
	for _, breach in pairs(peer.broken) do
		if not breach[how] then
			return false
		end
	end
	return true
end

local function is_cut_off(peer, now)
	for _, breach in pairs(peer.broken) do
		if now - breach.last <= FORGOTTEN then
			return true
		end
	end
	return false
end

-- The peers that the policy would cut off, sorted by kind and name: a list of { kind, name,
-- clauses = list of { clause, last (UTC seconds), text }, sorted by clause; kept_by_level,
-- kept_by_exception = whether the milder level or an exception would help }.
function methods:list()
	local list, now = {}, self._now()
	for _, peer in pairs(self._peers) do
		if is_cut_off(peer, now) then
			local entry = {
				kind = peer.kind, name = peer.name, clauses = {},
				kept_by_level = is_kept(peer, "level"), kept_by_exception = is_kept(peer, "exception"),
			}
			for clause, breach in pairs(peer.broken) do
				entry.clauses[#entry.clauses + 1] = { clause = clause, last = breach.last, text = breach.text }
			end
			table.sort(entry.clauses, function (a, b)
				return a.clause < b.clause
			end)
			list[#list + 1] = entry
		end
	end
	table.sort(list, function (a, b)
		return a.kind .. " " .. a.name < b.kind .. " " .. b.name
	end)
	return list
end

-- How many peers were seen since the server started, or in the last 30 days: { clients, servers, since =
-- UTC seconds }.
function methods:counts()
	return {
		clients = self._seen_count.client, servers = self._seen_count.server,
		since = math.max(self._since, self._now() - FORGOTTEN),
	}
end

local function names(list)
	local shown = {}
	for index, entry in ipairs(list) do
		shown[index] = entry.name
	end
	return text.short_list(shown, 10)
end

-- The report in a few sentences, as a list. `level`: the milder level of the policy; nil if
-- there is none.
function methods:estimate(level)
	local counts, list = self:counts(), self:list()
	local by_level, by_exception, by_nothing = {}, {}, {}
	for _, entry in ipairs(list) do
		if entry.kept_by_level then
			by_level[#by_level + 1] = entry
		end
		if entry.kept_by_exception then
			by_exception[#by_exception + 1] = entry
		end
		if not entry.kept_by_level and not entry.kept_by_exception then
			by_nothing[#by_nothing + 1] = entry
		end
	end
	local sentences = { ("%s and %s were seen since %s. Of all in the last 30 days, %d would be cut off."):format(
		text.counted(counts.clients, "client"), text.counted(counts.servers, "server"), date.of(counts.since), #list) }
	if level and #by_level > 0 then
		sentences[#sentences + 1] = ('level = "%s" would keep %d of them: %s.'):format(level, #by_level, names(by_level))
	end
	if #by_exception > 0 then
		sentences[#sentences + 1] = ("An exception for each would keep %d: %s."):format(#by_exception, names(by_exception))
	end
	if #by_nothing > 0 then
		sentences[#sentences + 1] = ("Only a change on their own side would keep %d: %s."):format(
			#by_nothing, names(by_nothing))
	end
	return sentences
end

return cutoff_report
