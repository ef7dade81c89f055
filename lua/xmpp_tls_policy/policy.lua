-- A policy: a profile read at a level. It knows no clause; it loops over them.
local domain_name = require "xmpp_tls_policy.core".domain_name
local options = require "xmpp_tls_policy.options"
local profiles = require "xmpp_tls_policy.profiles"
local suites = require "xmpp_tls_policy.suites"
local text = require "xmpp_tls_policy.text"
local verdict = require "xmpp_tls_policy.verdict"

local rank, version_names = suites.rank, suites.version_names
local oldest, newest = suites.versions[1], suites.versions[#suites.versions]

local policy = {}
local methods = {}
local metatable = { __index = methods }

-- ---- from clauses to settings --------------------------------------------------

-- The switches of a settings table: on where a clause asks for it.
policy.switches = {
	"server_preference", "no_compression", "no_renegotiation", "no_stateless_tickets", "no_early_data",
}

-- The lists, and which predicate of a clause's settings they go through.
policy.lists = { "ciphers", "ciphersuites", "groups" }
local predicate_of = { ciphers = "suite", ciphersuites = "suite", groups = "group" }

-- Everything that TLS knows, none of it ruled out yet.
function policy.widest()
	local state = { minimum_version = oldest, orders = {} }
	for _, list in ipairs(policy.lists) do
		state[list] = suites[list]
	end
	return state
end

local function filter(list, allows)
	local kept = {}
	for _, record in ipairs(list) do
		if allows(record) then
			kept[#kept + 1] = record
		end
	end
	return kept
end

local function newer(a, b)
	return rank[a] >= rank[b] and a or b
end

-- The higher of two numbers, either of which may be missing.
local function higher(a, b)
	return math.max(a or b, b or a)
end

-- field of a clause's settings -> how it narrows the state
local narrowing = {
	minimum_version = function(state, version)
		state.minimum_version = newer(state.minimum_version, version)
	end,
	dh_bits = function(state, bits)
		state.dh_bits = higher(state.dh_bits, bits)
	end,
	security_level = function(state, level)
		state.security_level = higher(state.security_level, level)
	end,
	order = function(state, order)
		state.orders[#state.orders + 1] = order
	end,
}
for _, list in ipairs(policy.lists) do
	local predicate = predicate_of[list]
	local others = narrowing[predicate]
	narrowing[predicate] = function(state, allows)
		if others then
			others(state, allows)
		end
		state[list] = filter(state[list], allows)
	end
end
for _, switch in ipairs(policy.switches) do
	narrowing[switch] = function(state, on)
		state[switch] = state[switch] or on
	end
end

-- Narrows the state by what a clause asks, `enforced` or not.
function policy.narrow(state, clause, enforced)
	local settings = clause.settings or {}
	for _, part in ipairs({ settings.always or {}, enforced and settings.enforced or {} }) do
		for field, value in pairs(part) do
			narrowing[field](state, value)
		end
	end
end

-- A new list by the orders, the weightiest first; of equals, as in suites.lua.
local function sorted_suites(list, orders)
	table.sort(orders, function(a, b)
		return a[1] < b[1]
	end)
	local sorted, place = {}, {}
	for index, record in ipairs(list) do
		sorted[index], place[record] = record, index
	end
	table.sort(sorted, function(a, b)
		for _, order in ipairs(orders) do
			local first, second = order[2](a), order[2](b)
			if first ~= second then
				return first
			end
		end
		return place[a] < place[b]
	end)
	return sorted
end

-- Names of what is offered, and a set of the lower-case names of what is allowed.
local function offered_and_allowed(list)
	local offered, allowed = {}, {}
	for _, record in ipairs(list) do
		allowed[record.name:lower()] = true
		if not record.on_request then
			offered[#offered + 1] = record.name
		end
	end
	return offered, allowed
end

local function copy(value)
	if type(value) ~= "table" then
		return value
	end
	local new = {}
	for key, item in pairs(value) do
		new[key] = copy(item)
	end
	return new
end

-- state -> settings as a context takes them, and what else is allowed, by list
local function finish(state)
	local settings, allowed = {
		minimum_version = state.minimum_version,
		dh_bits = state.dh_bits,
		security_level = state.security_level,
	}, {}
	for _, list in ipairs({ "ciphers", "ciphersuites" }) do
		state[list] = sorted_suites(state[list], state.orders)
	end
	for _, list in ipairs(policy.lists) do
		settings[list], allowed[list] = offered_and_allowed(state[list])
	end
	for _, switch in ipairs(policy.switches) do
		settings[switch] = state[switch]
	end
	return settings, allowed
end

-- A policy of a profile (see profiles.lua), a level and a table of clauses.
function policy.compose(profile, level, clauses)
	local state, entries = policy.widest(), {}
	for index, entry in ipairs(profile.entries) do
		local enforced = entry.at == "must" or entry.at == level
		entries[index] = {
			id = entry.clause,
			document = entry.document,
			section = entry.section,
			level = entry.level,
			at = entry.at,
			enforced = enforced,
		}
		if entry.at ~= "never" then
			policy.narrow(state, clauses[entry.clause], enforced)
		end
	end
	local settings, allowed = finish(state)
	return setmetatable({
		profile = profile.name,
		document = profile.document,
		level = level,
		clauses = entries,
		_table = clauses,
		_settings = settings,
		_allowed = allowed,
		_orders = state.orders,
	}, metatable)
end

-- What holds beside the clauses.
local beside = { "resumption", "unauthenticated_s2s" }

-- The policy of an operator's options, nil for the defaults; with the fields
-- `resumption`, { enabled, lifetime (seconds), memory
-- (MiB) }; `unauthenticated_s2s`, "dialback" or "refuse"; and `exceptions`, by
-- domain as in core.domain_name: { domain, level, unauthenticated_s2s, expires,
-- reason, ends (UTC seconds) }. Or nil, and the list of errors of options.check.
function policy.new(given)
	local checked, errors = options.check(given)
	if not checked then
		return nil, errors
	end
	local made = policy.compose(profiles.by_name[checked.profile], checked.level, require "xmpp_tls_policy.clauses")
	for _, field in ipairs(beside) do
		made[field] = checked[field]
	end
	made.exceptions = checked.exceptions
	return made
end

-- The same profile at another level, all else alike. A new policy at each call.
local function at_level(self, level)
	local made = policy.compose(profiles.by_name[self.profile], level, self._table)
	for _, field in ipairs(beside) do
		made[field] = self[field]
	end
	made.exceptions = {}
	return made
end

-- ---- methods ---------------------------------------------------------------------

-- "draft-saintandre-xmpp-tls-02, level should"; of an exception's policy, whose and
-- until when, too.
function methods:name()
	local name = ("%s, level %s"):format(self.profile, self.level)
	if self.exception then
		name = ("%s, by exception for %s until %s"):format(name, self.exception.domain, self.exception.expires)
	end
	return name
end

-- Whether an exception makes anything milder.
local function has_effect(self, exception)
	return exception.level ~= nil and exception.level ~= self.level
		or exception.unauthenticated_s2s ~= nil and exception.unauthenticated_s2s ~= self.unauthenticated_s2s
end

-- The policy for a peer's domain, written in any form, or nil: where an exception
-- that has not ended by `now` (UTC seconds) makes it milder, another policy, whose
-- `exception` is that; else this one. The same object at each call.
function methods:for_peer(domain, now)
	local exception = domain and next(self.exceptions) and self.exceptions[domain_name(domain)]
	if not exception or now >= exception.ends or not has_effect(self, exception) then
		return self
	end
	if not exception.policy then
		exception.policy = at_level(self, exception.level or self.level)
		exception.policy.unauthenticated_s2s = exception.unauthenticated_s2s or self.unauthenticated_s2s
		exception.policy.exception = exception
	end
	return exception.policy
end

local DAY = 86400
local NOTICE = 14 * DAY

local function warning(self, exception, now)
	local reason = text.quote(exception.reason)
	if now >= exception.ends then
		return ("the exception for %s (%s) ended with %s and no longer applies"):format(
			exception.domain, reason, exception.expires), "ended"
	elseif not has_effect(self, exception) then
		return ("the exception for %s (%s) has no effect: %s has it already"):format(
			exception.domain, reason, self:name()), "idle"
	elseif exception.ends - now <= NOTICE then
		local days = math.floor((exception.ends - now) / DAY)
		return ("the exception for %s (%s) ends with %s, in %d day%s"):format(
			exception.domain, reason, exception.expires, days, days == 1 and "" or "s"), "ending"
	end
end

-- What is to be said of the exceptions at a time (UTC seconds): a list, sorted by
-- domain, of { domain, kind = "ended" | "ending" (within two weeks) | "idle",
-- message }.
function methods:warnings(now)
	local list = {}
	for domain, exception in pairs(self.exceptions) do
		local message, kind = warning(self, exception, now)
		list[#list + 1] = message and { domain = domain, kind = kind, message = message } or nil
	end
	table.sort(list, function(a, b)
		return a.domain < b.domain
	end)
	return list
end

-- What a context is told; a new table each time. What no clause asks is nil.
function methods:settings()
	return copy(self._settings)
end

local function version_range(minimum, maximum)
	if maximum == newest then
		return version_names[minimum] .. " and newer"
	elseif minimum == maximum then
		return version_names[minimum]
	end
	return version_names[minimum] .. " to " .. version_names[maximum]
end

local function always()
	return true
end

-- Whether an entry of a list is of use in the versions that are left; false where
-- they have no use for the list.
local function uses(minimum, maximum)
	return {
		ciphers = minimum ~= newest and function(name)
			return rank[maximum] >= rank["TLSv1.2"] or not suites.by_name[name].needs_tls12
		end,
		ciphersuites = maximum == newest and always,
		groups = always,
	}
end

local what = {
	ciphers = "cipher suite of TLS 1.2 or older",
	ciphersuites = "cipher suite of TLS 1.3",
	groups = "group",
}

-- Names of suites as the policy prefers them; of equals, as they were.
local function sorted_names(list, orders)
	local records, names = {}, {}
	for index, name in ipairs(list) do
		records[index] = suites.by_name[name]
	end
	for index, record in ipairs(sorted_suites(records, orders)) do
		names[index] = record.name
	end
	return names
end

-- The policy's list, or those of the operator's own (`theirs`) that it allows. Or
-- nil and a message if nothing of use is left.
local function narrow_list(self, list, theirs, is_of_use)
	local kept, of_use = {}, false
	for _, name in ipairs(theirs or self._settings[list]) do
		if self._allowed[list][name:lower()] then
			kept[#kept + 1] = name
			of_use = of_use or is_of_use(name)
		end
	end
	if of_use then
		return list == "groups" and kept or sorted_names(kept, self._orders)
	end
	return nil, ("no %s is left: %s, allows %s; the server's own configuration lists %s"):format(
		what[list], self:name(), text.short_list(self._settings[list]),
		theirs and text.short_list(theirs) or "none of its own")
end

-- The settings for a context that a server has made: the stricter of both.
--   in_force  settings as read back from the context
--   operator  { ciphers, ciphersuites, groups }: true for each list that is the
--             operator's own; it is kept, less what is not allowed, and in his
--             order as far as the policy prefers none
-- A list that the versions left have no use for is nil. Returns nil, message,
-- "empty" if nothing is left of something that is needed, and nil, message,
-- "version" if in_force names a version that is not known.
function methods:settings_for(in_force, operator)
	in_force, operator = in_force or {}, operator or {}
	local settings = self:settings()
	local their_minimum, their_maximum = in_force.minimum_version or oldest, in_force.maximum_version or newest
	for _, version in ipairs({ their_minimum, their_maximum }) do
		if not rank[version] then
			return nil, ("the server's own configuration has an unknown TLS version: %s"):format(
				text.printable(version)), "version"
		end
	end
	local minimum, maximum = newer(settings.minimum_version, their_minimum), their_maximum
	if rank[minimum] > rank[maximum] then
		return nil, ("no TLS version is left: %s, allows %s; the server's own configuration allows %s"):format(
			self:name(), version_range(settings.minimum_version, newest),
			version_range(their_minimum, their_maximum)), "empty"
	end
	settings.minimum_version, settings.maximum_version = minimum, in_force.maximum_version
	local use, messages = uses(minimum, maximum), {}
	for _, list in ipairs(policy.lists) do
		local theirs = operator[list] and (in_force[list] or {}) or nil
		local message
		settings[list], message = narrow_list(self, list, theirs, use[list] or always)
		messages[#messages + 1] = use[list] and message or nil
	end
	if messages[1] then
		return nil, table.concat(messages, "; "), "empty"
	end
	for _, number in ipairs({ "dh_bits", "security_level" }) do
		settings[number] = (settings[number] or in_force[number]) and higher(settings[number], in_force[number])
	end
	for _, switch in ipairs(policy.switches) do
		settings[switch] = settings[switch] or in_force[switch]
	end
	return settings
end

-- What the profile wants left on and these settings (default: the policy's own)
-- switch off, as when the operator's list is shorter. A list as in a verdict.
function methods:lacks(settings)
	return verdict.collect(self.clauses, self._table, "supports", settings or self:settings())
end

-- { refuse, broken }: see verdict.lua.
function methods:judge(facts, connection)
	return verdict.judge(self.clauses, self._table, facts, connection)
end

-- One entry of a verdict as a sentence for logs and stream errors.
function methods:sentence(breach)
	return verdict.sentence({ name = self.profile, document = self.document }, breach)
end

-- What the policy says by a clause's id:
--   { id, document, section, level, statement, profile, at, enforced }
-- Or nil and a message with the nearest id.
function methods:explain(id)
	local ids = {}
	for index, entry in ipairs(self.clauses) do
		if entry.id == id then
			local explained = copy(entry)
			explained.statement = self._table[id].statement
			explained.profile = self.profile
			return explained
		end
		ids[index] = entry.id
	end
	local nearest = text.nearest(id, ids)
	return nil, ("%s is no clause of %s%s"):format(text.printable(id), self.profile,
		nearest and ("; did you mean %s?"):format(text.quote(nearest)) or "")
end

-- Whether the policy has the clause and refuses what breaks it.
function methods:enforces(id)
	for _, entry in ipairs(self.clauses) do
		if entry.id == id then
			return entry.enforced
		end
	end
	return false
end

return policy
