-- The digest of one host: the refusals of a week, the exceptions that are in use or end, the certificates that end,
-- and the versions of TLS of those that logged in. It names domains, and no account and no address.
local date = require "xmpp_tls_policy.date"
local shape = require "xmpp_tls_policy.fleet.shape"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local counted, rank, version_names = text.counted, suites.rank, suites.version_names

local host_digest = {}

-- Certificates that end within this time are named.
local NOTICE = 30 * date.DAY

-- Older versions count as old.
local NEWEST = "TLSv1.3"

local kind_of_role = { c2s = "clients", s2sin = "servers", s2sout = "servers" }

local function time(seconds)
	return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds))
end

---- The digest as data ---------------------------------------------------------

-- The network of an exception may be a client's address, so it is not named.
local function exceptions_of(parts, host, policy, now)
	local list, states = {}, {}
	for _, warning in ipairs(policy:warnings(now, function (name)
		return parts.server.option(host, name)
	end)) do
		states[warning.domain] = states[warning.domain] or warning.kind
	end
	for _, exception in pairs(policy.exceptions) do
		list[#list + 1] = {
			domain = not exception.network and exception.domain or nil, network = exception.network ~= nil,
			reason = exception.reason, expires = exception.expires, used = parts.week:uses(host, exception),
			state = states[exception.domain] or "in force",
		}
	end
	table.sort(list, function (a, b)
		if a.expires ~= b.expires then
			return a.expires < b.expires
		elseif a.domain ~= b.domain then
			return (a.domain or "") < (b.domain or "")
		end
		return a.reason < b.reason
	end)
	return list
end

local function certificates_of(parts, host, now)
	local list = {}
	for _, shown in ipairs(parts.own_certificates:ends(host)) do
		if shown.not_after - now <= NOTICE then
			list[#list + 1] = {
				services = parts.server.list(shown.services), ends = time(shown.not_after),
				days = math.floor((shown.not_after - now) / date.DAY),
			}
		end
	end
	return list
end

-- { clients, servers }, each { all, old, versions = version ("none": no TLS) -> logins } of those logins that the
-- shapes of the fleet count since a day, by the newest version that each side could do.
local function logins_of(parts, host, now)
	local logins = { clients = { all = 0, old = 0, versions = {} }, servers = { all = 0, old = 0, versions = {} } }
	local shapes = parts.fleets:get(host)
	local days = math.floor(now / date.DAY) - math.floor(parts.week.since / date.DAY) + 1
	for _, entry in ipairs(shapes and shapes:list(days) or {}) do
		local version = shape.best(entry.shape).version or "none"
		for role, number in pairs(entry.roles) do
			local sums = logins[kind_of_role[role]]
			sums.all = sums.all + number
			sums.old = sums.old + ((rank[version] or 0) < rank[NEWEST] and number or 0)
			sums.versions[version] = (sums.versions[version] or 0) + number
		end
	end
	return logins
end

--- The digest of a host at a time (UTC seconds). `parts`: { server, policies, week, own_certificates, fleets }.
-- Returns { host, policy, from, to, whole_week = whether it is counted from the first minute of the week on,
-- refused = see week.lua, exceptions = list of { domain (nil: of a network), network = boolean, reason, expires (a
-- day), used = connections, state = "in force", "ending", "ended", "idle" or "obstructed" }, certificates = list of
-- { services, ends, days }, logins = { clients, servers }, each { all, old = without TLS 1.3, versions } }. Times are
-- as in RFC 3339, lists are made by server.list.
function host_digest.of(parts, host, now)
	local policy, list = parts.policies:policy_for(host), parts.server.list
	local refused = parts.week:refusals(host)
	refused.peers, refused.clauses = list(refused.peers), list(refused.clauses)
	return {
		host = host, policy = policy:name(), from = time(parts.week.since), to = time(now),
		whole_week = parts.week:is_whole(), refused = refused,
		exceptions = list(exceptions_of(parts, host, policy, now)),
		certificates = list(certificates_of(parts, host, now)), logins = logins_of(parts, host, now),
	}
end

---- The digest as text ---------------------------------------------------------

-- Rows of each kind in the text. JSON has all.
local MOST_ROWS = 10

local directions = { s2sin = "incoming, as it claims", s2sout = "outgoing" }

local function add_rows(lines, list, noun, row_of)
	for index = 1, math.min(#list, MOST_ROWS) do
		lines[#lines + 1] = "    " .. row_of(list[index])
	end
	if #list > MOST_ROWS then
		lines[#lines + 1] = ("    and %s more"):format(counted(#list - MOST_ROWS, noun))
	end
end

local function add_refusals(lines, refused)
	if refused.clients + refused.servers + refused.unknown == 0 then
		lines[#lines + 1] = "  Nothing was refused."
		return
	end
	lines[#lines + 1] = ("  Refused: %s of clients, %d of servers%s"):format(counted(refused.clients, "connection"),
		refused.servers, refused.unknown > 0 and (", %d others"):format(refused.unknown) or "")
	add_rows(lines, refused.peers, "peer", function (peer)
		return ("%s: %d, %s%s"):format(peer.domain, peer.count, directions[peer.role], peer.new and ", new this week" or "")
	end)
	if refused.unnamed > 0 then
		lines[#lines + 1] = ("    other servers: %d"):format(refused.unnamed)
	end
	if refused.clauses[1] then
		local words = {}
		for index, breach in ipairs(refused.clauses) do
			words[index] = ("%s: %d"):format(breach.clause, breach.count)
		end
		lines[#lines + 1] = "  By clause, as far as known: " .. text.short_list(words, MOST_ROWS)
	end
end

local words_of_state = {
	["in force"] = "until", ending = "ends soon, with", ended = "ended with", idle = "has no effect; until",
	obstructed = "is obstructed by an option of the server; until",
}

local function add_exceptions(lines, exceptions)
	local named = {}
	for _, exception in ipairs(exceptions) do
		named[#named + 1] = (exception.used > 0 or exception.state ~= "in force") and exception or nil
	end
	lines[#lines + 1] = named[1] and "  Exceptions" or nil
	add_rows(lines, named, "exception", function (exception)
		return ("%s: used by %s, %s %s"):format(exception.domain or "a network (" .. text.quote(exception.reason) .. ")",
			counted(exception.used, "connection"), words_of_state[exception.state], exception.expires)
	end)
end

local function add_certificates(lines, certificates)
	lines[#lines + 1] = certificates[1] and "  Certificates" or nil
	add_rows(lines, certificates, "certificate", function (certificate)
		local days = certificate.days
		return ("%s: %s on %s, %s"):format(text.short_list(certificate.services), days < 0 and "ended" or "ends",
			certificate.ends, days < 0 and "renew it now" or "in " .. date.span(days * date.DAY))
	end)
end

local function add_logins(lines, title, logins)
	local versions, words = {}, {}
	for version in pairs(logins.versions) do
		versions[#versions + 1] = version
	end
	table.sort(versions, function (a, b)
		return (rank[a] or 0) > (rank[b] or 0)
	end)
	for index, version in ipairs(versions) do
		words[index] = ("%s: %.1f %%"):format(version_names[version] or "no TLS",
			100 * logins.versions[version] / logins.all)
	end
	if logins.all > 0 then
		lines[#lines + 1] = ("  %s: %s; at best %s"):format(title, counted(logins.all, "login"), table.concat(words, ", "))
	end
end

--- Whether anything but logins is in a digest.
function host_digest.has_news(digest)
	local refused, has_news = digest.refused, digest.certificates[1] ~= nil
	for _, exception in ipairs(digest.exceptions) do
		has_news = has_news or exception.used > 0 or exception.state ~= "in force"
	end
	return has_news or refused.clients + refused.servers + refused.unknown > 0
end

--- A digest as a list of lines.
function host_digest.lines(digest)
	local lines = { ("%s: %s"):format(digest.host, digest.policy) }
	add_refusals(lines, digest.refused)
	add_exceptions(lines, digest.exceptions)
	add_certificates(lines, digest.certificates)
	add_logins(lines, "Clients", digest.logins.clients)
	add_logins(lines, "Servers", digest.logins.servers)
	return lines
end

--- The time of a digest in a sentence.
function host_digest.period(digest)
	return ("Counted from %s to %s%s."):format(digest.from, digest.to,
		digest.whole_week and "" or "; the module was started then")
end

return host_digest
