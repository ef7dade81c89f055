-- The verdicts of a policy on ClientHellos. They are remembered, because peers send the
-- same ClientHello again and again; how many is bounded, because peers choose them.
local client_hello = require "xmpp_tls_policy.policy.client_hello"
local copy = require "xmpp_tls_policy.copy"
local negotiation = require "xmpp_tls_policy.policy.negotiation"
local settings = require "xmpp_tls_policy.policy.settings"
local verdict = require "xmpp_tls_policy.policy.verdict"

local hello_verdicts = {}

local methods = {}
local metatable = { __index = methods }

-- ClientHellos that are remembered, and the most numbers that one of them has.
local MOST = 16
local LONGEST = 100

-- The fields of a ClientHello that decide about it.
local deciding = { "versions", "suites", "groups", "signature_schemes" }

-- The verdicts of a policy.
--   entries  of the policy: list of { id, document, section, level, enforced }
--   clauses  id -> clause
--   allowed  all that the policy allows, in order of preference (see settings.lua)
--   context  on which it would be in force: { before, settings, certificate }, as in
--            enforcement.lua; nil: none in particular
function hello_verdicts.new(entries, clauses, allowed, context)
	local limits = context and { certificate = context.certificate or false }
	return setmetatable({
		_entries = entries,
		_clauses = clauses,
		_allowed = allowed,
		_limits = limits,
		_negotiation = context and negotiation.of_settings(context.settings, limits.certificate)
			or negotiation.new(allowed, {
				client_preference = allowed.client_preference, chacha20_preference = allowed.chacha20_preference,
			}),
		_served = context and negotiation.of_settings(context.before, limits.certificate),
		_unrestricted = negotiation.new(settings.unrestricted(), limits),
		_by_clause = {}, -- id -> { negotiation, minimum_version } under that clause alone
		_known = {},
		_known_count = 0,
	}, metatable)
end

local function by_clause(self, id)
	if not self._by_clause[id] then
		local allowed = settings.unrestricted()
		settings.restrict(allowed, self._clauses[id], true)
		local limits = self._limits and { certificate = self._limits.certificate, security_level = allowed.security_level }
		self._by_clause[id] = { negotiation = negotiation.new(allowed, limits), minimum_version = allowed.minimum_version }
	end
	return self._by_clause[id]
end

-- The breaches of a ClientHello that lacks something: of the enforced clauses that each
-- rule out all of it; if there is none, of those that do so together.
local function breaches_of(self, hello, missing)
	-- No clause rules out unknown versions and suites.
	local missing_anyway, known_suites = self._unrestricted:missing(hello), self._unrestricted:count_suites(hello)
	local alone, together = {}, {}
	for _, entry in ipairs(self._entries) do
		if entry.enforced and self._clauses[entry.id].settings then
			local clause = by_clause(self, entry.id)
			local missing_here = clause.negotiation:missing(hello)
			if missing_here and missing_here ~= missing_anyway then
				alone[#alone + 1] = verdict.breach(entry,
					client_hello.sentence(hello, missing_here, clause.minimum_version))
			elseif not missing_here and clause.negotiation:count_suites(hello) < known_suites then
				together[#together + 1] = verdict.breach(entry,
					client_hello.sentence(hello, missing, self._allowed.minimum_version))
			end
		end
	end
	return alone[1] and alone or together
end

-- No clause rules it out: the settings of both leave nothing for it.
local function breach_of_both(self, hello, missing)
	local sentence = "the server has no certificate here; it needs one"
	if missing ~= "certificate" then
		sentence = client_hello.sentence(hello, missing, self._allowed.minimum_version)
			.. "; the policy allows some of it, and the server's own ssl options or certificate do not"
	end
	return verdict.breach({ id = "ssl", enforced = true }, sentence)
end

local function judge(self, hello)
	local missing = self._negotiation:missing(hello)
	if not missing then
		return { breaches = {}, chosen = self._negotiation:choose(hello) }
	end
	-- A clause is to blame for the part of the offer that would be negotiated without it.
	local breaches = breaches_of(self, self._served and self._served:reduced(hello) or hello, missing)
	if self._served and not breaches[1] then
		breaches[1] = breach_of_both(self, hello, missing)
	end
	return { missing = missing, breaches = breaches }
end

local function weighted_sum(numbers)
	local sum = #numbers
	for index = 1, #numbers do
		sum = sum + index * numbers[index]
	end
	return sum
end

-- A number by which ClientHellos are found. Others may share it; so is_same decides.
local function hash_of(hello)
	return weighted_sum(hello.versions or {}) + 3 * weighted_sum(hello.suites or {}) + 7 * weighted_sum(hello.groups or {})
		+ 11 * weighted_sum(hello.signature_schemes or {})
end

local function has_same_numbers(a, b)
	if not a or not b then
		return a == b
	elseif #a ~= #b then
		return false
	end
	for index = 1, #a do
		if a[index] ~= b[index] then
			return false
		end
	end
	return true
end

local function is_same(a, b)
	return has_same_numbers(a.suites, b.suites) and has_same_numbers(a.versions, b.versions)
		and has_same_numbers(a.groups, b.groups) and has_same_numbers(a.signature_schemes, b.signature_schemes)
end

local function remember(self, hash, hello, made)
	made.hello = {}
	local length = 0
	for _, field in ipairs(deciding) do
		made.hello[field] = copy(hello[field])
		length = length + #(hello[field] or {})
	end
	if length > LONGEST then
		return
	end
	if not self._known[hash] then
		if self._known_count >= MOST then
			self._known, self._known_count = {}, 0
		end
		self._known_count = self._known_count + 1
	end
	self._known[hash] = made
end

-- The verdict on a ClientHello (numbers, as the core has it), which the caller must not
-- change: { missing = see negotiation.lua, or nil if a handshake would succeed; breaches = list as in a
-- verdict; chosen = see negotiation.lua, nil if something is missing }.
function methods:of(hello)
	local hash = hash_of(hello)
	local known = self._known[hash]
	if known and is_same(known.hello, hello) then
		return known
	end
	local made = judge(self, hello)
	remember(self, hash, hello, made)
	return made
end

-- The facts of a handshake as they would be if the server had offered all that the policy
-- allows and no more: a new table. `verdict_on_hello`: as `of` returns it, nothing missing.
function methods:facts_if_enforced(verdict_on_hello, hello, facts)
	return self._negotiation:facts_with(verdict_on_hello.chosen, hello, facts)
end

return hello_verdicts
