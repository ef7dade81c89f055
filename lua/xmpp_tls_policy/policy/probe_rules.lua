--- The rules of the clauses' `probe` (see clauses.lua): functions of what an outsider saw of an endpoint.
-- No clause is named here. A rule is called with
--   observed   name -> observation { seen, value, evidence, reason }, see audit/observations.lua
--   endpoint   { service = "c2s" | "s2s", direct = whether TLS begins at once, direct_announced = whether the
--              domain announces direct TLS for the service (nil: unknown) }
--   strict     whether the clause is enforced: a class of suites or versions that it prefers is then all that
--              may be accepted
-- and returns
--   result         "holds", "broken", "not offered" (the endpoint does not do that which the clause restricts)
--                  or "not tested"
--   sentence       about the endpoint
--   observations   the names that decided, a list
--   cause          of "not tested": "inside" (no outsider can see it), "not asked" (the audit did not try) or
--                  "no answer"
-- An observation that was not made never makes a clause hold.
local suites = require "xmpp_tls_policy.policy.suites"
local text = require "xmpp_tls_policy.text"

local unpack = table.unpack or unpack

-- A misspelt rule would be nil, and the clause would have no probe.
local rules = setmetatable({}, {
	__index = function (_, name)
		error("no such rule: " .. tostring(name), 2)
	end,
})

---- Results -------------------------------------------------------------------

local function outcome(result, sentence, names)
	return { result = result, sentence = sentence, observations = names }
end

local function not_tested(cause, sentence, names)
	return { result = "not tested", sentence = sentence, observations = names, cause = cause }
end

-- The result where one of the named observations was not made; nil where all were.
local function missing(observed, ...)
	for _, name in ipairs { ... } do
		local observation = observed[name]
		if not observation then
			return not_tested("not asked", "this audit did not try it", { name })
		elseif observation.seen == nil then
			return not_tested("no answer", observation.reason or "reason unknown", { name })
		end
	end
end

local function is_seen(observed, name)
	return observed[name] ~= nil and observed[name].seen == true
end

local function is_denied(observed, name)
	return observed[name] ~= nil and observed[name].seen == false
end

-- Worse results first.
local order = { "broken", "not tested", "holds", "not offered" }

-- Adds a word to a list that does not have it.
local function add_new(list, known, word)
	list[#list + 1] = not known[word] and word or nil
	known[word] = true
end

-- The worst of some results. Its sentence has those of all results of that kind, each once.
local function worst_of(results)
	for _, kind in ipairs(order) do
		local names, sentences, known, cause = {}, {}, {}, nil
		for _, result in ipairs(results) do
			if result.result == kind then
				cause = cause or result.cause
				add_new(sentences, known, result.sentence)
				for _, name in ipairs(result.observations) do
					add_new(names, known, name)
				end
			end
		end
		if sentences[1] then
			return { result = kind, sentence = table.concat(sentences, "; "), observations = names, cause = cause }
		end
	end
end

---- Values --------------------------------------------------------------------

local MOST_NAMES = 4

-- A list of names that a stranger may have chosen, in a few words.
local function listed(names)
	local shown = {}
	for _, name in ipairs(type(names) == "table" and names or {}) do
		name = tostring(name)
		shown[#shown + 1] = #name <= 60 and text.shown(name) or text.quote(name)
	end
	return text.short_list(shown, MOST_NAMES)
end

local function value_of(observed, name)
	local observation = observed[name]
	return observation and type(observation.value) == "table" and observation.value or {}
end

-- The accepted suites of each version: a list of { version, list of records }, in the server's order. Of suites
-- that we do not know there is no record.
local function accepted_suites(observed)
	local lists = {}
	for _, version in ipairs(suites.versions) do
		local list = {}
		local names = value_of(observed, "suites.accepted")[version]
		for _, name in ipairs(type(names) == "table" and names or {}) do
			list[#list + 1] = suites.by_name[name]
		end
		if list[1] then
			lists[#lists + 1] = { version = version, list = list }
		end
	end
	return lists
end

local function set_of(names)
	local set = {}
	for _, name in ipairs(type(names) == "table" and names or {}) do
		set[tostring(name):lower()] = true
	end
	return set
end

---- Parts of rules ------------------------------------------------------------

-- Whether a name of the list fits the pattern (nil: any list will do).
local function has_kind(names, pattern)
	for _, name in ipairs(names) do
		if pattern and tostring(name):find(pattern) then
			return true
		end
	end
	return not pattern or not names[1]
end

--- A rule that holds where an observation is denied. `noun`: the subject of the sentence; `pattern`: of the
-- names in its value that the rule is about (nil: all).
function rules.refused(name, noun, pattern)
	return function (observed)
		local problem = missing(observed, name)
		local names = value_of(observed, name)
		if problem then
			return problem
		elseif observed[name].seen and has_kind(names, pattern) then
			return outcome("broken", ("%s is accepted%s"):format(noun, names[1] and ": " .. listed(names) or ""), { name })
		end
		return outcome("holds", noun .. " is refused", { name })
	end
end

--- A rule that holds where an observation was made. `no`, `yes`: sentences.
function rules.seen(name, no, yes)
	return function (observed)
		return missing(observed, name)
			or observed[name].seen and outcome("holds", yes, { name }) or outcome("broken", no, { name })
	end
end

--- A rule that holds where an observation is denied. `yes`, `no`: sentences.
function rules.unseen(name, yes, no)
	return function (observed)
		return missing(observed, name)
			or observed[name].seen and outcome("broken", yes, { name }) or outcome("holds", no, { name })
	end
end

--- The worst of several rules.
function rules.all(...)
	local parts = { ... }
	return function (...)
		local results = {}
		for index, rule in ipairs(parts) do
			results[index] = rule(...)
		end
		return worst_of(results)
	end
end

--- A rule, and others that count only where the clause is enforced.
function rules.strictly(rule, ...)
	local strict_rule = rules.all(rule, ...)
	return function (observed, endpoint, strict)
		return (strict and strict_rule or rule)(observed, endpoint, strict)
	end
end

--- A rule about something that an endpoint need not do. Where an observation denies that it does,
-- `sentence` says so.
function rules.where(name, sentence, rule)
	return function (observed, ...)
		if is_denied(observed, name) then
			return outcome("not offered", sentence, { name })
		end
		return rule(observed, ...)
	end
end

--- A rule about the phase before TLS.
function rules.before_tls(rule)
	return function (observed, endpoint, ...)
		if endpoint.direct then
			return outcome("not offered", "TLS begins at once here", {})
		end
		return rule(observed, endpoint, ...)
	end
end

--- The rule of a clause that no outsider can test.
function rules.inside(reason)
	return function ()
		return not_tested("inside", reason, {})
	end
end

---- Versions ------------------------------------------------------------------

function rules.version_refused(version)
	return rules.refused("version." .. version, suites.version_names[version])
end

--- A version is accepted, and of two the newer one is chosen.
function rules.version_supported(version)
	local name = suites.version_names[version]
	return rules.all(
		rules.seen("version." .. version, name .. " is refused", name .. " is accepted"),
		rules.seen("version.newest", "an older version than both sides have is chosen",
			"the newest version of both sides is chosen"))
end

---- Suites --------------------------------------------------------------------

--- A suite of a kind is accepted. `name`: the observation; `kind`: such as "with forward secrecy".
function rules.suite_supported(name, kind)
	return rules.seen(name, ("no suite %s is accepted"):format(kind), ("suites %s are accepted"):format(kind))
end

local function describe(pair)
	return ("%s stands before %s in %s"):format(pair[1].name, pair[2].name, suites.version_names[pair.version])
end

-- The first pair of accepted suites, of one version and alike in what the parts of `alike` say of them, of
-- which the second should be preferred: it fulfils the predicate, the first does not.
local function wrong_pair(lists, fulfils, alike)
	local function is_alike(a, b)
		for _, part in ipairs(alike) do
			if part(a) ~= part(b) then
				return false
			end
		end
		return true
	end
	for _, entry in ipairs(lists) do
		for place, first in ipairs(entry.list) do
			for later = place + 1, fulfils(first) and 0 or #entry.list do
				local second = entry.list[later]
				if fulfils(second) and is_alike(first, second) then
					return { first, second, version = entry.version }
				end
			end
		end
	end
end

-- Whether all, or any, of the accepted suites fulfil the predicate.
local function share(lists, fulfils)
	local all, any = true, false
	for _, entry in ipairs(lists) do
		for _, suite in ipairs(entry.list) do
			all, any = all and fulfils(suite), any or fulfils(suite)
		end
	end
	return all, any
end

--- Suites that fulfil a predicate of rules.lua are preferred, among those alike in all else that is preferred
-- (`alike`: a list of predicates). `kind`: such as "of 256 bits".
function rules.preferred(fulfils, alike, kind)
	local names = { "suites.accepted", "suites.server_chooses" }
	return function (observed)
		local problem = missing(observed, "suites.accepted")
		local lists = accepted_suites(observed)
		if problem then
			return problem
		elseif not lists[1] then
			return not_tested("no answer", "none of the accepted suites is known", { names[1] })
		end
		local all, any = share(lists, fulfils)
		if all then
			return outcome("holds", ("all accepted suites are %s"):format(kind), { names[1] })
		elseif not any then
			return outcome("broken", ("no accepted suite is %s"):format(kind), { names[1] })
		elseif missing(observed, names[2]) then
			return missing(observed, names[2])
		elseif not is_seen(observed, names[2]) then
			return outcome("broken", ("the client's order decides, and not all accepted suites are %s"):format(kind), names)
		end
		local pair = wrong_pair(lists, fulfils, alike)
		if pair then
			return outcome("broken", ("suites %s are not preferred: %s"):format(kind, describe(pair)), names)
		end
		return outcome("holds", ("suites %s are preferred"):format(kind), names)
	end
end

local function missing_suites(accepted, wanted)
	local absent = {}
	for _, name in ipairs(wanted) do
		absent[#absent + 1] = not accepted[name:lower()] and name or nil
	end
	return absent
end

-- Authentication -> those of the names that need a certificate of its kind.
local function by_authentication(names)
	local groups = {}
	for _, name in ipairs(names) do
		local authentication = suites.by_name[name].authentication
		groups[authentication] = groups[authentication] or {}
		table.insert(groups[authentication], name)
	end
	return groups
end

--- Suites of TLS 1.2 are accepted: all for which the server has a certificate of the right kind.
function rules.suites_supported(wanted)
	local groups = by_authentication(wanted)
	return function (observed)
		local problem = missing(observed, "suites.accepted")
		if problem then
			return problem
		end
		local names = value_of(observed, "suites.accepted")["TLSv1.2"]
		local accepted, has_certificate, has_any = set_of(names), {}, false
		for _, name in ipairs(type(names) == "table" and names or {}) do
			local suite = suites.by_name[name]
			if suite then
				has_certificate[suite.authentication], has_any = true, true
			end
		end
		local absent, expected = {}, not has_any
		for authentication, group in pairs(groups) do
			if has_certificate[authentication] or not has_any then
				expected = true
				for _, name in ipairs(missing_suites(accepted, group)) do
					absent[#absent + 1] = name
				end
			end
		end
		table.sort(absent)
		if not expected then
			return outcome("not offered", "they need a certificate of another kind than the server has", { "suites.accepted" })
		elseif absent[1] then
			return outcome("broken", "not accepted: " .. listed(absent), { "suites.accepted" })
		end
		return outcome("holds", "all for which the server has a certificate are accepted", { "suites.accepted" })
	end
end

--- All accepted suites fulfil a predicate of rules.lua. `kind`: such as "AES-GCM".
function rules.only_suites(fulfils, kind)
	return function (observed)
		local problem = missing(observed, "suites.accepted")
		if problem then
			return problem
		end
		local others = {}
		for _, version in ipairs(suites.versions) do
			local names = value_of(observed, "suites.accepted")[version]
			for _, name in ipairs(type(names) == "table" and names or {}) do
				local suite = suites.by_name[name]
				others[#others + 1] = not (suite and fulfils(suite)) and name or nil
			end
		end
		if others[1] then
			return outcome("broken", "other suites are accepted: " .. listed(others), { "suites.accepted" })
		end
		return outcome("holds", ("all accepted suites have %s"):format(kind), { "suites.accepted" })
	end
end

---- Keys and groups -----------------------------------------------------------

--- The group of DHE has so many bits. Not offered where DHE is refused.
function rules.dhe_bits(least)
	return rules.where("suites.dhe", "DHE is refused", function (observed)
		local problem = missing(observed, "suites.dhe", "dhe.bits")
		local bits = observed["dhe.bits"] and tonumber(observed["dhe.bits"].value)
		if problem then
			return problem
		elseif not bits then
			return not_tested("no answer", "the size of the DHE group is not known", { "dhe.bits" })
		elseif bits < least then
			return outcome("broken", ("the DHE group has %.0f bits; at least %.0f are needed"):format(bits, least),
				{ "dhe.bits" })
		end
		return outcome("holds", ("the DHE group has %.0f bits"):format(bits), { "dhe.bits" })
	end)
end

-- The bits of a curve by its name; nil for other groups. The names of curves that we do not know tell.
local function curve_bits(name)
	local known = suites.groups_by_name[name:lower()]
	if known then
		return known.kind == "curve" and known.bits or nil
	end
	return tonumber(name:lower():match "^sec[pt](%d+)" or name:lower():match "^brainpoolp(%d+)")
end

--- No curve with fewer bits is accepted. `needed`: the number that the sentence says.
function rules.curves_of(least, needed)
	return function (observed)
		local problem = missing(observed, "groups.accepted")
		if problem then
			return problem
		end
		local short = {}
		for _, name in ipairs(value_of(observed, "groups.accepted")) do
			local bits = curve_bits(tostring(name))
			short[#short + 1] = bits and bits < least and name or nil
		end
		if short[1] then
			return outcome("broken", ("curves under %d bits are accepted: %s"):format(needed, listed(short)),
				{ "groups.accepted" })
		end
		return outcome("holds", ("no curve under %d bits is accepted"):format(needed), { "groups.accepted" })
	end
end

--- All these groups are accepted.
function rules.groups_supported(wanted)
	return function (observed)
		local problem = missing(observed, "groups.accepted")
		if problem then
			return problem
		end
		local absent = missing_suites(set_of(value_of(observed, "groups.accepted")), wanted)
		if absent[1] then
			return outcome("broken", "not accepted: " .. listed(absent), { "groups.accepted" })
		end
		return outcome("holds", listed(wanted) .. " are accepted", { "groups.accepted" })
	end
end

--- All accepted groups fulfil a predicate of rules.lua. `kinds`: their names, for the sentence.
function rules.only_groups(fulfils, kinds)
	return function (observed)
		local problem = missing(observed, "groups.accepted")
		if problem then
			return problem
		end
		local others = {}
		for _, name in ipairs(value_of(observed, "groups.accepted")) do
			others[#others + 1] = not fulfils { name = tostring(name) } and name or nil
		end
		if others[1] then
			return outcome("broken", "other groups are accepted: " .. listed(others), { "groups.accepted" })
		end
		return outcome("holds", "only groups of these are accepted: " .. kinds, { "groups.accepted" })
	end
end

---- Certificates --------------------------------------------------------------

--- The certificate has no RSA key of fewer bits.
function rules.rsa_key(least)
	local names = { "certificate.key" }
	return function (observed)
		local key = value_of(observed, names[1])
		local kind, bits = tostring(key.type), tonumber(key.bits)
		local problem = missing(observed, names[1])
		if problem then
			return problem
		elseif not key.type or kind:find "^RSA" and not bits then
			return not_tested("no answer", "the key of the certificate is not known", names)
		elseif not kind:find "^RSA" then
			return outcome("not offered", "the certificate has a key of another kind: " .. listed { kind }, names)
		elseif bits < least then
			return outcome("broken", ("the RSA key has %.0f bits; at least %.0f are needed"):format(bits, least), names)
		end
		return outcome("holds", ("the RSA key has %.0f bits"):format(bits), names)
	end
end

--- The certificate passes a check of clauses on our own (see clauses.lua) of its key or its signature.
function rules.certificate(check)
	local names = { "certificate.key", "certificate.signature" }
	return function (observed)
		local problem = missing(observed, unpack(names))
		if problem then
			return problem
		end
		local key = value_of(observed, names[1])
		local fault = check {
			key_type = key.type, key_bits = tonumber(key.bits), curve = key.curve, subject = "the certificate",
			signature_algorithm = value_of(observed, names[2])[1],
		}
		return fault and outcome("broken", "the certificate " .. fault, names)
			or outcome("holds", "the certificate is as it should be", names)
	end
end

--- The certificate is valid for at most so many days.
function rules.certificate_life(days)
	local names = { "certificate.days_left" }
	return function (observed)
		local life = tonumber(value_of(observed, names[1]).life)
		local problem = missing(observed, names[1])
		if problem then
			return problem
		elseif not life then
			return not_tested("no answer", "the dates of the certificate are not known", names)
		elseif life > days then
			return outcome("broken", ("the certificate is valid for %.0f days; at most %d are wanted"):format(life, days), names)
		end
		return outcome("holds", ("the certificate is valid for %.0f days"):format(life), names)
	end
end

--- Peers that check the certificate against the domain accept it, and the server shows one in every handshake.
rules.identity = rules.all(
	rules.seen("certificate.trusted", "the certificate is not valid for the system's authorities",
		"the certificate is valid"),
	rules.seen("certificate.domain", "the certificate does not cover the domain", "the certificate covers the domain"),
	rules.refused("suites.anonymous", "a handshake without a certificate"))

---- Before TLS ----------------------------------------------------------------

-- STARTTLS, and features that only inform, by their local names.
local is_harmless = { c = true, limits = true, starttls = true }

--- Nothing but STARTTLS is offered before TLS. Features that only inform do not count.
function rules.only_starttls(observed)
	local problem = missing(observed, "plaintext.features")
	if problem then
		return problem
	end
	local others = {}
	for _, name in ipairs(value_of(observed, "plaintext.features")) do
		others[#others + 1] = not is_harmless[tostring(name):match "[^ #}|]*$"] and name or nil
	end
	if others[1] then
		return outcome("broken", "more than STARTTLS is offered before TLS: " .. listed(others), { "plaintext.features" })
	elseif is_seen(observed, "plaintext.features") and not value_of(observed, "plaintext.features")[1] then
		return outcome("broken", "more than STARTTLS is offered before TLS", { "plaintext.features" })
	end
	return outcome("holds", "only STARTTLS is offered before TLS", { "plaintext.features" })
end

--- Direct TLS is there: at this endpoint, or the domain announces it.
function rules.direct_tls(observed, endpoint)
	if endpoint.direct then
		local problem
		for _, version in ipairs { "TLSv1.3", "TLSv1.2" } do
			local name = "version." .. version
			if is_seen(observed, name) then
				return outcome("holds", "direct TLS is accepted", { name })
			end
			problem = problem or missing(observed, name)
		end
		return problem or outcome("broken", "direct TLS is not accepted", { "version.TLSv1.3", "version.TLSv1.2" })
	elseif endpoint.direct_announced == nil then
		return not_tested("not asked", "only this endpoint was asked for", {})
	elseif endpoint.direct_announced then
		return outcome("holds", "the domain announces direct TLS", {})
	end
	return outcome("broken", "the domain announces no direct TLS", {})
end

---- Resumption ----------------------------------------------------------------

-- The three ways to resume, and the sentence about each.
local ways = { "resumption.session_id", "resumption.ticket_tls12", "resumption.tls13" }

-- The result where a session cannot be resumed at all, or where that is not known; nil where one can.
local function no_resumption(observed)
	for _, name in ipairs(ways) do
		if is_seen(observed, name) then
			return nil
		end
	end
	return missing(observed, unpack(ways)) or outcome("not offered", "nothing is resumed", ways)
end

--- Sessions are resumed by their IDs, not by tickets that hold them.
function rules.no_stateless_tickets(observed)
	if is_seen(observed, "resumption.ticket_tls12") then
		return outcome("broken", "TLS 1.2 issues tickets", { "resumption.ticket_tls12" })
	elseif is_seen(observed, "resumption.stateless_tls13") then
		return outcome("broken", "the tickets of TLS 1.3 hold the session itself", { "resumption.stateless_tls13" })
	end
	return no_resumption(observed)
		or is_seen(observed, "resumption.tls13") and missing(observed, "resumption.stateless_tls13")
		or missing(observed, "resumption.ticket_tls12")
		or outcome("holds", "sessions are resumed by their IDs", { "resumption.session_id", "resumption.stateless_tls13" })
end

--- The lifetime of tickets has an end. `most`: seconds.
function rules.limited_lifetime(most)
	return function (observed)
		local said
		for _, name in ipairs { "resumption.tls13", "resumption.ticket_tls12" } do
			local lifetime = is_seen(observed, name) and tonumber(value_of(observed, name).lifetime)
			if lifetime and lifetime > most then
				return outcome("broken", ("tickets are valid for %.0f s; at most %.0f are allowed"):format(lifetime, most),
					{ name })
			elseif lifetime and lifetime > 0 then
				said = said or outcome("holds", ("tickets are valid for %.0f s"):format(lifetime), { name })
			end
		end
		return said or no_resumption(observed)
			or not_tested("inside", "the server does not say how long sessions are valid", ways)
	end
end

return rules
