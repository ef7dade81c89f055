-- A policy: a profile at a level, and the operator's other options. It knows no clause by
-- name; it loops over them.
local available = require "xmpp_tls_policy.policy.available"
local clauses_by_id = require "xmpp_tls_policy.policy.clauses"
local context_settings = require "xmpp_tls_policy.policy.context_settings"
local copy = require "xmpp_tls_policy.copy"
local enforcement = require "xmpp_tls_policy.policy.enforcement"
local exceptions = require "xmpp_tls_policy.policy.exceptions"
local options = require "xmpp_tls_policy.policy.options"
local profiles = require "xmpp_tls_policy.policy.profiles"
local settings = require "xmpp_tls_policy.policy.settings"
local text = require "xmpp_tls_policy.text"
local verdict = require "xmpp_tls_policy.policy.verdict"

local policy = {}

local methods = {}
local metatable = { __index = methods }

-- ---- making policies -------------------------------------------------------------

-- The policy of a profile (see profiles.lua) at a level, with a table of clauses. Fields:
-- profile and document, their names; level; clauses, a list in the profile's order of { id,
-- document, section, level, at, enforced }. `more`: nil, or a further restriction, whose `settings`
-- are those of a clause.
function policy.compose(profile, level, clauses, more)
	local allowed, entries = settings.unrestricted(), {}
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
			settings.restrict(allowed, clauses[entry.clause], enforced)
			settings.add(allowed, clauses[entry.clause].adds)
		end
	end
	settings.restrict(allowed, more or {})
	settings.add(allowed, { groups = profile.hybrid_groups })
	settings.sort(allowed)
	return setmetatable({
		profile = profile.name,
		document = profile.document,
		level = level,
		clauses = entries,
		exceptions = {},
		_clauses = clauses,
		_allowed = allowed,
		_settings = settings.of(allowed),
		_judges = verdict.checks(entries, clauses, "judge"),
		_of_own_certificates = verdict.checks(entries, clauses, "own_certificate"),
		_supports = verdict.checks(entries, clauses, "supports"),
		_excepted = {}, -- domain -> policy
		_of_networks = {}, -- level -> policy, see network_exceptions
		_enforcements = setmetatable({}, { __mode = "v" }), -- see enforcement
	}, metatable)
end

-- The options that hold whatever the clauses say; each is a field of the policy.
local beside_clauses = {
	"certificate_change", "channel_binding", "dhe_per_second", "digest", "mode", "notify_admins",
	"resumption", "unauthenticated_s2s",
}

local function with_options(made, from)
	for _, field in ipairs(beside_clauses) do
		made[field] = from[field]
	end
	return made
end

-- The policy of an operator's options, nil for the defaults. More fields: mode, "enforce"
-- or "report"; certificate_change, "warn" or "refuse"; channel_binding, digest and notify_admins, booleans;
-- dhe_per_second, a number; resumption, { enabled, lifetime (seconds), memory (MiB) };
-- unauthenticated_s2s, "dialback" or "refuse"; exceptions, see exceptions.normal. Or nil, and the list of errors
-- of options.check.
function policy.new(given)
	local checked, errors = options.check(given)
	if not checked then
		return nil, errors
	end
	return policy.of(checked)
end

-- The same of options that options.lua has checked or repaired.
function policy.of(checked)
	local made = with_options(policy.compose(profiles.by_name[checked.profile], checked.level, clauses_by_id), checked)
	made.exceptions = checked.exceptions
	return made
end

-- Value of an exception's groups -> its restriction, see policy.compose.
local group_restrictions = {
	classical = { settings = { always = { group = function (record)
		return record.kind ~= "hybrid"
	end } } },
}

-- A new policy of the same profile at another level, with the same options, without
-- exceptions. `groups`: of an exception, or nil.
local function at_level(self, level, groups)
	return with_options(policy.compose(profiles.by_name[self.profile], level, self._clauses, group_restrictions[groups]),
		self)
end

-- "draft-saintandre-xmpp-tls-02, level should"; of an exception's policy, also its peer and
-- its last day; of a policy for networks, that it is one.
function methods:name()
	if not self._name then
		self._name = ("%s, level %s"):format(self.profile, self.level)
		if self.networks then
			self._name = self._name .. ", by exceptions for networks"
		elseif self.exception then
			self._name = ("%s, by exception for %s until %s"):format(self._name, self.exception.domain, self.exception.expires)
		end
	end
	return self._name
end

-- ---- milder policies -------------------------------------------------------------

-- The same profile at the next milder level; nil at the mildest. The same object at each
-- call.
function methods:milder()
	for index, level in ipairs(profiles.levels) do
		local next_level = profiles.levels[index + 1]
		if level == self.level and next_level then
			self._milder = self._milder or at_level(self, next_level)
		end
	end
	return self._milder
end

-- The same profile at the next stricter level; nil at the strictest. The same object at each call.
function methods:stricter()
	for index, level in ipairs(profiles.levels) do
		local next_level = profiles.levels[index - 1]
		if level == self.level and next_level then
			self._stricter = self._stricter or at_level(self, next_level)
		end
	end
	return self._stricter
end

-- The mildest policy that an exception can make; the same object at each call.
function methods:mildest_exception()
	if not self._mildest then
		self._mildest = at_level(self, profiles.levels[#profiles.levels])
		self._mildest.unauthenticated_s2s, self._mildest.opens = "dialback", true
	end
	return self._mildest
end

-- The policy of an exception: the same object at each call.
local function excepted_by(self, exception)
	local excepted = self._excepted[exception.domain]
	if not excepted then
		excepted = at_level(self, exception.level or self.level, exception.groups)
		excepted.unauthenticated_s2s = exception.unauthenticated_s2s or self.unauthenticated_s2s
		excepted.exception, excepted.opens = exception, exception.level ~= nil
		self._excepted[exception.domain] = excepted
	end
	return excepted
end

-- The policy for a peer's domain (in any form; nil: a client) at a time in UTC seconds: if there is
-- an exception with an effect, another policy, with the field `exception`, and `opens` if the
-- exception has a level (see context_settings.of); else this one. The same object at each call.
function methods:for_peer(domain, now)
	local exception = exceptions.find(self, domain, now)
	return exception and excepted_by(self, exception) or self
end

-- The same for a client's address (nil: unknown). A client needs TLS also where the milder level alone would not
-- ask for it: `strict` is this policy.
function methods:for_client(address, now)
	self._networks = self._networks or exceptions.of_networks(self)
	local exception = exceptions.find_network(self._networks, address, now)
	if not exception then
		return self
	end
	local excepted = excepted_by(self, exception)
	excepted.strict = self
	return excepted
end

-- The policy of all exceptions for networks with one level, for contexts alone: the same object at each call. Its
-- `exception` has the names of all networks as `domain`.
local function of_level(self, level, names)
	local excepted = self._of_networks[level]
	if not excepted then
		excepted = at_level(self, level)
		excepted.opens, excepted.networks = true, true
		self._of_networks[level] = excepted
	end
	excepted.exception = { domain = text.short_list(names) }
	return excepted
end

-- The exceptions for networks that hold at a time in UTC seconds, by level: a list of { policy (see above; `strict` is
-- this one), exceptions = list, sorted }, sorted by level.
function methods:network_exceptions(now)
	self._networks = self._networks or exceptions.of_networks(self)
	local by_level, groups = {}, {}
	for _, exception in ipairs(self._networks) do
		local list = by_level[exception.level] or {}
		by_level[exception.level] = list
		list[#list + 1] = now < exception.ends and exception or nil
	end
	for _, level in ipairs(profiles.levels) do
		local list, names = by_level[level] or {}, {}
		for index, exception in ipairs(list) do
			names[index] = exception.domain
		end
		if list[1] then
			local excepted = of_level(self, level, names)
			excepted.strict = self
			groups[#groups + 1] = { policy = excepted, exceptions = list }
		end
	end
	return groups
end

-- Warnings about the exceptions at a time in UTC seconds; see exceptions.warnings.
methods.warnings = exceptions.warnings

-- ---- settings --------------------------------------------------------------------

-- The settings of a context, as a new table; see settings.of.
function methods:settings()
	return copy(self._settings)
end

-- Whether the policy allows a hybrid group that OpenSSL has here.
function methods:offers_hybrid_groups()
	if self._offers_hybrid_groups == nil then
		local names = {}
		for _, record in ipairs(self._allowed.groups) do
			names[#names + 1] = record.kind == "hybrid" and record.name or nil
		end
		self._offers_hybrid_groups = available.only({ groups = names }).groups[1] ~= nil
	end
	return self._offers_hybrid_groups
end

-- Whether the policy allows TLS 1.3 alone.
function methods:is_tls13_only()
	return self._settings.ciphers == nil
end

-- The settings that enforcing the policy puts on a server's context. Arguments, results and
-- errors as those of context_settings.of from `in_force` on.
function methods:settings_for(in_force, operator)
	return context_settings.of(self, self._allowed, in_force, operator)
end

-- The names by which the server's own defaults are extended: { ciphers, ciphersuites, groups }, lists
-- in the order of preference.
function methods:additions()
	local additions = {}
	for _, list in ipairs(settings.lists) do
		additions[list] = {}
		for _, record in ipairs(self._allowed[list]) do
			additions[list][#additions[list] + 1] = self._allowed.added[list][record.name:lower()] and record.name or nil
		end
	end
	return additions
end

-- The clauses whose demand for support is not met by some settings (nil: the policy's
-- own), as by an operator's list that is shorter. A list of breaches; see verdict.lua.
function methods:unsupported(in_force)
	return verdict.breaches(self._supports, in_force or self._settings)
end

-- ---- verdicts --------------------------------------------------------------------

-- The verdict { refuse, broken } on the facts of a connection and on the server's knowledge
-- of it; see verdict.judge.
function methods:judge(facts, connection)
	return verdict.judge(self._judges, facts, connection)
end

-- The clauses that a certificate of ours breaks, by its facts and a list of the facts of those that are
-- sent after it: a list of breaches; see verdict.lua.
function methods:judge_own_certificate(facts, chain)
	return verdict.breaches(self._of_own_certificates, facts, chain or {})
end

-- The switches on which verdicts depend.
local preferences = { "server_preference", "client_preference", "chacha20_preference" }

-- One word for a context (see enforcement.lua): contexts with the same one get the same verdicts.
local function fingerprint(context)
	local words = { context.failure or "" }
	for _, made in ipairs { context.before or {}, context.settings or {} } do
		for _, fields in ipairs { settings.limits, preferences } do
			for _, field in ipairs(fields) do
				words[#words + 1] = tostring(made[field])
			end
		end
		for _, list in ipairs(settings.all_lists) do
			words[#words + 1] = table.concat(made[list] or {}, ":")
		end
	end
	local certificate = context.certificate or {}
	words[#words + 1] = certificate.key_type or ""
	words[#words + 1] = certificate.curve or ""
	return table.concat(words, "\0")
end

-- This policy as it would be in force on a context (see enforcement.lua), or on any (nil). The same
-- object for contexts that are the same to it, as long as one is used.
function methods:enforcement(context)
	local key = context and fingerprint(context) or "any"
	local made = self._enforcements[key]
	if not made then
		made = enforcement.new(self, { entries = self.clauses, clauses = self._clauses, allowed = self._allowed }, context)
		self._enforcements[key] = made
	end
	return made
end

-- The breaches that rule out all of a ClientHello (numbers, as the core has it): a list as
-- in a verdict, empty if a handshake would succeed. Then, second, the kind of thing that is
-- missing for that: "version", "suite", "group" or "signature", or nil.
function methods:judge_client_hello(hello)
	self._anywhere = self._anywhere or self:enforcement()
	local judged = self._anywhere:of_hello(hello)
	return copy(judged.breaches), judged.missing
end

-- The breach of a clause that no handshake shows, as in a verdict, enforced; nil if the
-- policy does not have the clause.
function methods:breach(id, sentence)
	for _, entry in ipairs(self.clauses) do
		if entry.id == id then
			local breach = verdict.breach(entry, sentence)
			breach.enforced = true
			return breach
		end
	end
end

-- One breach as a sentence for logs and stream errors.
function methods:sentence(breach)
	return verdict.sentence({ name = self.profile, document = self.document }, breach)
end

-- The breaches that a verdict refuses for, as one line.
function methods:sentences(given)
	local list = {}
	for _, breach in ipairs(given.broken) do
		list[#list + 1] = breach.enforced and self:sentence(breach) or nil
	end
	return table.concat(list, "; ")
end

-- ---- clauses ---------------------------------------------------------------------

-- A clause by its id, as this policy has it, as a new table: { id, document, section,
-- level, statement, profile, at, enforced }. Or nil and a message.
function methods:explain(id)
	local ids = {}
	for index, entry in ipairs(self.clauses) do
		if entry.id == id then
			local explained = copy(entry)
			explained.statement = self._clauses[id].statement
			explained.profile = self.profile
			return explained
		end
		ids[index] = entry.id
	end
	return nil, ("%s is no clause of %s%s"):format(text.printable(id), self.profile, text.suggestion(id, ids))
end

-- The value that a clause of this policy asks for in a field of settings (see clauses.lua); nil if
-- it asks for none.
function methods:asks(id, field)
	local asked = self._clauses[id].settings or {}
	local value = (asked.enforced or {})[field]
	if value == nil then
		return (asked.always or {})[field]
	end
	return value
end

-- Whether the policy has a clause and refuses connections that break it.
function methods:enforces(id)
	for _, entry in ipairs(self.clauses) do
		if entry.id == id then
			return entry.enforced
		end
	end
	return false
end

return policy
