-- The refusals and the uses of exceptions of a week, by host. Strangers cause refusals, so each host has a bounded
-- number of peers. A peer is named by its domain alone: clients, and servers without a known domain, are counted only.
local counters = require "xmpp_tls_policy.counters"
local date = require "xmpp_tls_policy.date"
local domain_name = require "xmpp_tls_policy.core".domain_name

local week = {}

local methods = {}
local metatable = { __index = methods }

-- Domains of a host that are counted one by one, of incoming and of outgoing streams each. Anybody can claim a domain
-- on an incoming stream, so these have no room of the others.
local MOST_DOMAINS = 200

-- Stands for the refusals of those who name no host of ours.
local NO_HOST = "*"

local SECONDS = 7 * date.DAY

-- 1970-01-05 was a Monday.
local FIRST_MONDAY = 4 * date.DAY

--- The first second of the week of a time (UTC seconds): a Monday, 00:00 UTC.
function week.begins(seconds)
	return seconds - (seconds - FIRST_MONDAY) % SECONDS
end

--- A week that counts from a time on (UTC seconds). `before`: the week before it, which can still be asked; nil: not
-- known.
function week.new(since, before)
	if before and before._before then
		before._before._before = nil
	end
	return setmetatable({ since = since, _hosts = {}, _before = before }, metatable)
end

--- Whether a time is in another week: a later one, or, after the clock was set back, an earlier one.
function methods:is_over(now)
	return week.begins(now) ~= week.begins(self.since)
end

--- Whether the week was counted from its first minutes on.
function methods:is_whole()
	return self.since - week.begins(self.since) < 120
end

local function domain_counter()
	return counters.new { labels = { "domain" }, peer_chosen = { domain = true }, most = MOST_DOMAINS }
end

local function counts_of(self, host)
	local found = self._hosts[host]
	if not found then
		found = {
			clients = 0, servers = 0, unnamed = 0, unknown = 0, exceptions = {},
			domains = { s2sin = domain_counter(), s2sout = domain_counter() },
			clauses = counters.new { labels = { "clause" }, peer_chosen = { clause = true } },
		}
		self._hosts[host] = found
	end
	return found
end

--- Counts a refusal: an entry of stream/refusal_log.lua or handshakes/failed_handshakes.lua, nil for fields that are
-- not known; of a host of ours, nil: none.
function methods:add(entry, host)
	local counts, domains = counts_of(self, host or NO_HOST), nil
	if entry.role == "c2s" then
		counts.clients = counts.clients + 1
	elseif entry.role == nil then
		counts.unknown = counts.unknown + 1
	else
		counts.servers, domains = counts.servers + 1, counts.domains[entry.role]
	end
	local domain = domains and entry.domain and domain_name(entry.domain)
	if domain then
		domains:add(1, domain)
	elseif domains then
		counts.unnamed = counts.unnamed + 1
	end
	for _, clause in ipairs(entry.clauses or {}) do
		counts.clauses:add(1, clause)
	end
end

--- Counts a connection that was accepted under an exception (see policy/exceptions.lua) on a host of ours, nil: none.
function methods:excepted(host, exception)
	local used = counts_of(self, host or NO_HOST).exceptions
	used[exception.domain] = (used[exception.domain] or 0) + 1
end

---- Questions -----------------------------------------------------------------

--- How many connections of a host were accepted under an exception.
function methods:uses(host, exception)
	local counts = self._hosts[host]
	return counts and counts.exceptions[exception.domain] or 0
end

local function by_count(field)
	return function (a, b)
		if a.count ~= b.count then
			return a.count > b.count
		elseif a[field] ~= b[field] then
			return a[field] < b[field]
		end
		return (a.role or "") < (b.role or "")
	end
end

-- The domains that were refused: domain -> true.
local function domains_of(self, host, role)
	local counts, found = self._hosts[host], {}
	for _, series in ipairs(counts and counts.domains[role]:list() or {}) do
		found[series.values[1]] = true
	end
	return found
end

-- The domains, and how many refusals had no room for theirs.
local function peers_of(self, host, counts)
	local peers, others = {}, 0
	for role, domains in pairs(counts.domains) do
		local before = self._before and domains_of(self._before, host, role)
		for _, series in ipairs(domains:list()) do
			local peer = { domain = series.values[1], role = role, count = series.value }
			if peer.domain == "other" then
				others = others + peer.count
			else
				peer.new = before and not before[peer.domain]
				peers[#peers + 1] = peer
			end
		end
	end
	table.sort(peers, by_count "domain")
	return peers, others
end

--- The refusals of a host (nil: of connections that named none of ours), as new tables: { clients, servers, unknown
-- (neither is known) = numbers, peers = list of { domain, role, count, new (not refused in the week before; nil: that
-- is not known) }, unnamed = refusals of servers that are not among the peers, clauses = list of { clause, count } }.
function methods:refusals(host)
	host = host or NO_HOST
	local counts = counts_of(self, host)
	local peers, others = peers_of(self, host, counts)
	local clauses = {}
	for _, series in ipairs(counts.clauses:list()) do
		clauses[#clauses + 1] = { clause = series.values[1], count = series.value }
	end
	table.sort(clauses, by_count "clause")
	return {
		clients = counts.clients, servers = counts.servers, unknown = counts.unknown, peers = peers,
		unnamed = counts.unnamed + others, clauses = clauses,
	}
end

return week
