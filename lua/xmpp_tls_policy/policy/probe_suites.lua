--- Rules (see probe_rules.lua) about cipher suites, groups and the sizes of keys.
local parts = require "xmpp_tls_policy.policy.probe_parts"
local probe_results = require "xmpp_tls_policy.policy.probe_results"
local suite_classes = require "xmpp_tls_policy.policy.suite_classes"
local suites = require "xmpp_tls_policy.policy.suites"

local outcome, not_tested, missing =
	probe_results.outcome, probe_results.not_tested, probe_results.missing
local is_seen, listed, value_of =
	probe_results.is_seen, probe_results.listed, probe_results.value_of

local suite_rules = {}

---- Suites --------------------------------------------------------------------

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

-- The observations that decide where a list is needed as a whole.
local ALL_SUITES, ALL_GROUPS = { "suites.accepted", "suites.complete" }, { "groups.accepted", "groups.complete" }

-- The result where a list may lack something that the server accepts; nil where it lacks nothing. `what`: "suites"
-- or "groups"; `part`: "recommended" where nothing else has to be known, or nil. What was seen to be accepted decides
-- all the same.
local function incomplete(observed, what, part)
	local name = what .. ".complete"
	if is_seen(observed, name) or part and is_seen(observed, ("%s.%s"):format(what, part)) then
		return nil
	end
	return missing(observed, name)
		or not_tested("no answer", ("not all accepted %s are known"):format(what), { name })
end

--- A suite of a kind is accepted. `name`: the observation; `kind`: such as "with forward secrecy".
function suite_rules.suite_supported(name, kind)
	return parts.seen(name, ("no suite %s is accepted"):format(kind), ("suites %s are accepted"):format(kind))
end

local function describe(pair)
	return ("%s stands before %s in %s"):format(pair[1].name, pair[2].name, suites.version_names[pair.version])
end

-- The names of the suites that stand for the classes that are accepted. One without a certificate is no example of
-- those among which a server prefers some.
local function examples_of(observed)
	local names = {}
	for _, class in ipairs(suite_classes.list) do
		local name = class[1]
		local has_examples = name ~= "suites.anonymous" and is_seen(observed, name)
		for _, example in ipairs(has_examples and value_of(observed, name) or {}) do
			names[#names + 1] = example
		end
	end
	return names
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

-- Whether all, or any, of the accepted suites fulfil the predicate. The classes of suites that are accepted count,
-- too: each has a suite as an example.
local function share(observed, lists, fulfils)
	local all, any = true, false
	local function count(suite)
		all, any = all and fulfils(suite), any or fulfils(suite)
	end
	for _, entry in ipairs(lists) do
		for _, suite in ipairs(entry.list) do
			count(suite)
		end
	end
	for _, example in ipairs(examples_of(observed)) do
		if suites.by_name[example] then
			count(suites.by_name[example])
		end
	end
	return all, any
end

-- The lists without the suites behind those that are in the server's order.
local function in_order(observed, lists)
	local ordered, cut = value_of(observed, "suites.kinds"), {}
	for index, entry in ipairs(lists) do
		cut[index] = { version = entry.version, list = {} }
		for place = 1, math.min(#entry.list, tonumber(ordered[entry.version]) or #entry.list) do
			cut[index].list[place] = entry.list[place]
		end
	end
	return cut
end

-- Whether suites of one kind fulfil a predicate all or not at all.
local function is_decided_by_kind(fulfils)
	local by_kind = {}
	for _, suite in pairs(suites.by_name) do
		local kind, does = suites.kind_of(suite), fulfils(suite) and true or false
		if by_kind[kind] == nil then
			by_kind[kind] = does
		elseif by_kind[kind] ~= does then
			return false
		end
	end
	return true
end

-- Whether each kind begins with a suite that fulfils the predicate.
local function kinds_begin_with(lists, fulfils)
	for _, entry in ipairs(lists) do
		local has_begun = {}
		for _, suite in ipairs(entry.list) do
			local kind = suites.kind_of(suite)
			if not has_begun[kind] and not fulfils(suite) then
				return false
			end
			has_begun[kind] = true
		end
	end
	return true
end

--- Suites that fulfil a predicate of rules.lua are preferred, among those alike in all else that is preferred
-- (`alike`: a list of predicates). `kind`: such as "of 256 bits". Where not all suites are known, the first one of each
-- kind is enough, in the server's order; if `whole`, it is not. Where a kind has suites of both sorts, its first one
-- has to fulfil the predicate: others that do may be behind it, and not be known.
function suite_rules.preferred(fulfils, alike, kind, whole)
	local names = { "suites.accepted", "suites.server_chooses" }
	local by_kinds = { "suites.accepted", "suites.kinds", "suites.server_chooses" }
	local is_decided = is_decided_by_kind(fulfils)
	local function has_kinds(observed)
		return not whole and not is_seen(observed, "suites.complete") and is_seen(observed, "suites.kinds")
			and is_seen(observed, names[2])
	end
	return function (observed)
		local problem = missing(observed, "suites.accepted")
		local lists = accepted_suites(observed)
		if problem then
			return problem
		elseif not lists[1] then
			return not_tested("no answer", "none of the accepted suites is known", { names[1] })
		end
		local all, any = share(observed, lists, fulfils)
		if has_kinds(observed) and (all or not any) then
			return outcome(all and "holds" or "broken", ("the suites that the server chooses first are %s%s"):format(
				all and "" or "not ", kind), by_kinds)
		elseif all then
			return incomplete(observed, "suites") or outcome("holds", ("all accepted suites are %s"):format(kind), ALL_SUITES)
		elseif not any then
			return incomplete(observed, "suites") or outcome("broken", ("no accepted suite is %s"):format(kind), ALL_SUITES)
		elseif missing(observed, names[2]) then
			return missing(observed, names[2])
		elseif not is_seen(observed, names[2]) then
			return outcome("broken", ("the client's order decides, and not all accepted suites are %s"):format(kind), names)
		end
		local ordered = in_order(observed, lists)
		local pair = wrong_pair(ordered, fulfils, alike)
		if pair then
			return outcome("broken", ("suites %s are not preferred: %s"):format(kind, describe(pair)), names)
		end
		if has_kinds(observed) and (is_decided or kinds_begin_with(ordered, fulfils)) then
			return outcome("holds", ("suites %s are preferred, by the first one of each kind"):format(kind), by_kinds)
		end
		return incomplete(observed, "suites") or outcome("holds", ("suites %s are preferred"):format(kind),
			{ "suites.accepted", "suites.complete", "suites.server_chooses" })
	end
end

--- A client that puts a suite of a kind first gets it. `name`: the observation; `fulfils`: the predicate of the
-- kind; `kind`: its name.
function suite_rules.first_where_asked(name, fulfils, kind)
	local seen = parts.seen(name, ("a client that puts %s first does not get it"):format(kind),
		("a client that puts %s first gets it"):format(kind))
	return function (observed)
		local problem = missing(observed, "suites.accepted")
		local _, any = share(observed, accepted_suites(observed), fulfils)
		if problem then
			return problem
		elseif not any then
			return incomplete(observed, "suites", "recommended")
				or outcome("not offered", kind .. " is not accepted", ALL_SUITES)
		end
		return seen(observed)
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
function suite_rules.suites_supported(wanted)
	local groups = by_authentication(wanted)
	return function (observed)
		local problem = missing(observed, "suites.accepted")
		if problem then
			return problem
		end
		local names = value_of(observed, "suites.accepted")["TLSv1.2"]
		local accepted, has_certificate, has_any = set_of(names), {}, false
		for name in pairs(set_of(examples_of(observed))) do
			accepted[name] = true
		end
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
			return incomplete(observed, "suites", "recommended")
				or outcome("not offered", "they need a certificate of another kind than the server has", ALL_SUITES)
		elseif absent[1] then
			return incomplete(observed, "suites", "recommended")
				or outcome("broken", "not accepted: " .. listed(absent), ALL_SUITES)
		end
		return outcome("holds", "all for which the server has a certificate are accepted", { "suites.accepted" })
	end
end

--- All accepted suites fulfil a predicate of rules.lua. `kind`: such as "AES-GCM".
function suite_rules.only_suites(fulfils, kind)
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
		return incomplete(observed, "suites")
			or outcome("holds", ("all accepted suites have %s"):format(kind), ALL_SUITES)
	end
end

---- Keys and groups -----------------------------------------------------------

--- The group of DHE has so many bits. Not offered where DHE is refused.
function suite_rules.dhe_bits(least)
	return parts.where("suites.dhe", "DHE is refused", function (observed)
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

--- No curve with fewer bits is accepted. `needed`: the number that the sentence says, at most 256.
function suite_rules.curves_of(least, needed)
	local names = { "groups.short" }
	return function (observed)
		local problem = missing(observed, names[1])
		if problem then
			return problem
		end
		local short = {}
		for _, name in ipairs(value_of(observed, names[1])) do
			local bits = curve_bits(tostring(name))
			short[#short + 1] = bits and bits < least and name or nil
		end
		if short[1] then
			return outcome("broken", ("curves under %d bits are accepted: %s"):format(needed, listed(short)), names)
		end
		return outcome("holds", ("no curve under %d bits is accepted"):format(needed), names)
	end
end

--- All these groups are accepted.
function suite_rules.groups_supported(wanted)
	return function (observed)
		local problem = missing(observed, "groups.accepted")
		if problem then
			return problem
		end
		local absent = missing_suites(set_of(value_of(observed, "groups.accepted")), wanted)
		if absent[1] then
			return incomplete(observed, "groups", "recommended")
				or outcome("broken", "not accepted: " .. listed(absent), ALL_GROUPS)
		end
		return outcome("holds", ("%s %s accepted"):format(listed(wanted), wanted[2] and "are" or "is"), { "groups.accepted" })
	end
end

--- All accepted groups fulfil a predicate of rules.lua. `kinds`: their names, for the sentence.
function suite_rules.only_groups(fulfils, kinds)
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
		return incomplete(observed, "groups")
			or outcome("holds", "only groups of these are accepted: " .. kinds, ALL_GROUPS)
	end
end

return suite_rules
