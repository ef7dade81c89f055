-- Whom a policy would cut off, as seen while it is only reported on. Only peers that
-- have authenticated are taken in; their number is bounded all the same.
local date = require "xmpp_tls_policy.date"
local text = require "xmpp_tls_policy.text"

local report = {}

local methods = {}
local metatable = { __index = methods }

local MOST_PEERS = 5000
-- What did not happen again for so long counts no more.
local FORGOTTEN = 30 * date.DAY

report.MOST_PEERS = MOST_PEERS

-- What storages give back may be damaged, or an older version's.
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

-- A report that goes on from `peers`, as changes() gave them (nil: from nothing).
-- `now`: function() -> UTC seconds. And, second, how many of them were damaged.
function report.new(options)
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

-- Makes room, for a tenth at once. First goes whom the policy would keep; then who came
-- on one day only, of whom somebody may have made up many; then who was not seen for
-- longest.
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

-- What no longer counts against a peer: what was long ago, or under another policy.
local function forgive(peer, policy, now)
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

-- Days are all that is stored anew: a peer that comes all day changes nothing.
local function is_same_day(past, now)
	return past ~= nil and date.of(past) == date.of(now)
end

-- Takes in a connection of a peer that has authenticated: kind "client" or "server", its
-- name, the name of the policy, the verdict that this would have come to, and what would
-- have kept the peer: keepers = { level = "must" or nil, exception = boolean }. Returns
-- true when that is worth a line in the log: once a day for a peer that would be cut off.
function methods:see(kind, name, policy, verdict, keepers)
	local now = self._now()
	local peer, key = peer_of(self, kind, name, now)
	local changed = forgive(peer, policy, now) or not is_same_day(peer.last, now)
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

-- What has changed since the last call, to be stored: key -> peer, or false for one that
-- is no more. Only strings, numbers, booleans and tables with string keys. nil if
-- nothing has.
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

-- To be called when changes could not be stored: they will be among the next.
function methods:restore(changes)
	for key in pairs(changes) do
		self._changed[key] = true
	end
end

-- Whether one thing keeps a peer in all that it would be refused for.
local function kept(peer, how)
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

-- Whom the policy would cut off, sorted by kind and name: a list of { kind, name, clauses
-- = list of { clause, last (UTC seconds), text }, sorted by clause; kept_by_level,
-- kept_by_exception }.
function methods:list()
	local list, now = {}, self._now()
	for _, peer in pairs(self._peers) do
		if is_cut_off(peer, now) then
			local entry = {
				kind = peer.kind, name = peer.name, clauses = {},
				kept_by_level = kept(peer, "level"), kept_by_exception = kept(peer, "exception"),
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

-- { clients, servers, since = UTC seconds or nil }: whom it has seen at all.
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

-- The estimate in plain words, as a list of sentences. `level`: the policy's milder
-- level, nil if there is none.
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
		sentences[#sentences + 1] = ("Nothing but a change on their side would keep %d: %s."):format(
			#by_nothing, names(by_nothing))
	end
	return sentences
end

return report
