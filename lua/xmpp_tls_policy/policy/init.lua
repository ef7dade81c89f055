-- A policy: a profile read at a level. It knows no clause; it loops over them.
local domain_name = require "xmpp_tls_policy.core".domain_name
local offers = require "xmpp_tls_policy.policy.client_hello"
local options = require "xmpp_tls_policy.policy.options"
local profiles = require "xmpp_tls_policy.policy.profiles"
local composition = require "xmpp_tls_policy.policy.settings"
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"
local verdict = require "xmpp_tls_policy.policy.verdict"

local rank, version_names = suites.rank, suites.version_names
local oldest, newest = suites.versions[1], suites.versions[#suites.versions]

local policy = {}
local methods = {}
local metatable = { __index = methods }

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

-- A policy of a profile (see profiles.lua), a level and a table of clauses.
function policy.compose(profile, level, clauses)
	local state, entries = composition.widest(), {}
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
			composition.narrow(state, clauses[entry.clause], enforced)
		end
	end
	local settings, allowed = composition.finish(state)
	return setmetatable({
		_state = state,
		_alone = {},
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
local beside = { "certificate_change", "mode", "notify_admins", "resumption", "unauthenticated_s2s" }

-- The policy of an operator's options, nil for the defaults; with the fields
-- `mode`, "enforce" or "report"; `certificate_change`, "warn" or "refuse";
-- `notify_admins`, whether they get messages; `resumption`, { enabled, lifetime (seconds), memory
-- (MiB) }; `unauthenticated_s2s`, "dialback" or "refuse"; and `exceptions`, by
-- domain as in core.domain_name: { domain, level, unauthenticated_s2s, expires,
-- reason, ends (UTC seconds) }. Or nil, and the list of errors of options.check.
function policy.new(given)
	local checked, errors = options.check(given)
	if not checked then
		return nil, errors
	end
	local made = policy.compose(profiles.by_name[checked.profile], checked.level, require "xmpp_tls_policy.policy.clauses")
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

-- What an exception can make of it at most; the same object at each call.
function methods:mildest_exception()
	if not self._mildest then
		self._mildest = at_level(self, profiles.levels[#profiles.levels])
		self._mildest.unauthenticated_s2s = "dialback"
	end
	return self._mildest
end

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
	for index, record in ipairs(composition.sorted(records, orders)) do
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
	local minimum, maximum = composition.newer(settings.minimum_version, their_minimum), their_maximum
	if rank[minimum] > rank[maximum] then
		return nil, ("no TLS version is left: %s, allows %s; the server's own configuration allows %s"):format(
			self:name(), version_range(settings.minimum_version, newest),
			version_range(their_minimum, their_maximum)), "empty"
	end
	settings.minimum_version, settings.maximum_version = minimum, in_force.maximum_version
	local use, messages = uses(minimum, maximum), {}
	for _, list in ipairs(composition.lists) do
		local theirs = operator[list] and (in_force[list] or {}) or nil
		local message
		settings[list], message = narrow_list(self, list, theirs, use[list] or always)
		messages[#messages + 1] = use[list] and message or nil
	end
	if messages[1] then
		return nil, table.concat(messages, "; "), "empty"
	end
	settings.key_shares = composition.key_shares(settings.groups)
	for _, number in ipairs({ "dh_bits", "security_level" }) do
		settings[number] = (settings[number] or in_force[number]) and composition.higher(settings[number], in_force[number])
	end
	for _, switch in ipairs(composition.switches) do
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

local function breach_of(entry, sentence)
	return {
		clause = entry.id, document = entry.document, section = entry.section, level = entry.level,
		enforced = entry.enforced, text = sentence,
	}
end

-- What one clause allows by itself.
local function allowed_by(self, entry)
	if not self._alone[entry.id] then
		self._alone[entry.id] = composition.widest()
		composition.narrow(self._alone[entry.id], self._table[entry.id], true)
	end
	return self._alone[entry.id]
end

-- Whether a clause takes anything away from the suites of an offer.
local function thins(raw, allowed, widest)
	return offers.count(raw, allowed) < offers.count(raw, widest)
end

-- What stands against an offer (see offer.lua): the enforced clauses of which each
-- alone rules out all of it, else those that together do; a list as in a verdict. And
-- what is lacking, "version", "suite" or "group"; nil if some of it can be negotiated.
function methods:judge_offer(raw)
	local lack = offers.lacks(raw, self._state)
	local widest = composition.widest()
	-- What nobody knows, no clause has ruled out.
	local lack_of_all = offers.lacks(raw, widest)
	local alone, together = {}, {}
	for _, entry in ipairs(lack and self.clauses or {}) do
		if entry.enforced and self._table[entry.id].settings then
			local allowed = allowed_by(self, entry)
			local lack_alone = offers.lacks(raw, allowed)
			if lack_alone and lack_alone ~= lack_of_all then
				alone[#alone + 1] = breach_of(entry, offers.sentence(raw, lack_alone, allowed))
			elseif not lack_alone and thins(raw, allowed, widest) then
				together[#together + 1] = breach_of(entry, offers.sentence(raw, lack, self._state))
			end
		end
	end
	return alone[1] and alone or together, lack
end

-- The verdict on a connection that was negotiated without the policy, as far as can be
-- told, if the policy were in force: on a server's side what it negotiates is decided
-- by the offer (see offer.lua; nil: unknown), which may hold something better.
function methods:judge_as_enforced(facts, connection, raw)
	if not raw or facts.role ~= "server" then
		return self:judge(facts, connection)
	end
	local against, lack = self:judge_offer(raw)
	if not lack then
		return self:judge(offers.outcome(raw, facts, self:settings(), self._state), connection)
	end
	local given, named = self:judge(facts, connection), {}
	for _, breach in ipairs(against) do
		named[breach.clause] = true
	end
	for _, breach in ipairs(given.broken) do
		against[#against + 1] = not named[breach.clause] and breach or nil
	end
	return { refuse = true, broken = against }
end

-- A breach of a clause that only a stream can hold, as in a verdict; nil if the policy
-- does not have the clause.
function methods:breach(id, sentence)
	for _, entry in ipairs(self.clauses) do
		if entry.id == id then
			local breach = breach_of(entry, sentence)
			breach.enforced = true
			return breach
		end
	end
end

-- The same profile at the next milder level, or nil; the same object at each call.
function methods:milder()
	for index, level in ipairs(profiles.levels) do
		local next_level = profiles.levels[index + 1]
		if level == self.level and next_level then
			self._milder = self._milder or at_level(self, next_level)
		end
	end
	return self._milder
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

-- Whether a clause asks for a field of settings (see clauses.lua).
function methods:asks(id, field)
	local asked = self._table[id].settings or {}
	return (asked.enforced or {})[field] ~= nil or (asked.always or {})[field] ~= nil
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
