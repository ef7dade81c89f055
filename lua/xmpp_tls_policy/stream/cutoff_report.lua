-- The peers that a policy in report mode would cut off if it were enforced. Callers record
-- only peers that have authenticated; their number is bounded nevertheless.
local date = require "xmpp_tls_policy.date"
local text = require "xmpp_tls_policy.text"

local cutoff_report = {}

local methods = {}
local metatable = { __index = methods }

local MOST_PEERS = 5000
-- Seconds after which a breach that did not happen again is forgotten.
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

-- A report. `options`: peers, those of an earlier report, as changes() returned them (nil:
-- none); now, function() -> UTC seconds. Then, second, how many of the peers were damaged.
function cutoff_report.new(options)
	local self = setmetatable({ _now = options.now, _peers = {}, _count = 0, _changed = {} }, metatable)
	local damaged = 0
	for key, peer in pairs(options.peers or {}) do
		if type(key) == "string" and is_peer(peer) then
			self._peers[key] = peer
			self._count = self._count + 1
		else
			damaged = damaged + 1
		end
	end
	return self, damaged
end

-- Forgets a tenth of the peers: first those that the policy would not cut off, then those
-- that came on one day only (one administrator can invent many), then those that were not
-- seen for longest.
local function make_room(self)
	local list = {}
	for key, peer in pairs(self._peers) do
		local refused, came_again = next(peer.broken) ~= nil, date.of(peer.first) ~= date.of(peer.last)
		list[#list + 1] = { key = key, last = peer.last, worth = (refused and 2 or 0) + (came_again and 1 or 0) }
	end
	table.sort(list, function (a, b)
		if a.worth ~= b.worth then
			return a.worth < b.worth
		end
		return a.last < b.last
	end)
	for index = 1, math.ceil(MOST_PEERS / 10) do
		self._peers[list[index].key] = nil
		self._changed[list[index].key] = true
		self._count = self._count - 1
	end
end

local function peer_of(self, kind, name, now)
	local key = kind .. " " .. name
	if not self._peers[key] then
		if self._count >= MOST_PEERS then
			make_room(self)
		end
		self._peers[key] = { kind = kind, name = name, first = now, last = now, broken = {} }
		self._count = self._count + 1
	end
	return self._peers[key], key
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

-- A peer is stored once a day at most, unless it breaks another clause.
local function is_same_day(past, now)
	return past ~= nil and date.of(past) == date.of(now)
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
	local now = self._now()
	local peer, key = peer_of(self, kind, name, now)
	local changed = forget_old(peer, policy, now) or not is_same_day(peer.last, now)
	for _, breach in ipairs(verdict.refuse and verdict.broken or {}) do
		if breach.enforced then
			local before = peer.broken[breach.clause]
			changed = changed or not before or not is_same_day(before.last, now)
			peer.broken[breach.clause] = {
				last = now, text = breach.text, level = keepers.level, exception = keepers.exception or false,
			}
		end
	end
	peer.last = now
	if changed then
		self._changed[key] = true
	end
	local today = date.of(now)
	if not verdict.refuse or peer.logged == today then
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

-- Takes back changes that could not be stored: they will be among the next ones.
function methods:restore(changes)
	for key in pairs(changes) do
		self._changed[key] = true
	end
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

-- How many peers were seen: { clients, servers, since = UTC seconds, or nil }.
function methods:counts()
	local counts = { client = 0, server = 0 }
	local since
	for _, peer in pairs(self._peers) do
		counts[peer.kind] = counts[peer.kind] + 1
		since = math.min(since or peer.first, peer.first)
	end
	return { clients = counts.client, servers = counts.server, since = since }
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
	local sentences = { ("Of %s and %s seen%s, %d would be cut off."):format(text.counted(counts.clients, "client"),
		text.counted(counts.servers, "server"), counts.since and " since " .. date.of(counts.since) or "", #list) }
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
