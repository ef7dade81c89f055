--- All suites, or groups, that an endpoint accepts, in its order, as far as they can be found out. Each hello offers
-- what is not known yet, until the server refuses the rest or the connections of the audit are used up. When few are
-- left, hellos offer only what clauses ask for: the kinds of suites that are not in the list yet, and suites and groups
-- that a document recommends.
local attempt = require "xmpp_tls_policy.audit.attempt"
local clauses = require "xmpp_tls_policy.policy.clauses"
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local policy_suites = require "xmpp_tls_policy.policy.suites"
local question = require "xmpp_tls_policy.audit.question"
local suite_classes = require "xmpp_tls_policy.policy.suite_classes"

local accepted_list = {}

-- All that documents recommend to support: field of an answer -> set of names in lower case.
local recommended = { suite = {}, group = {} }
for _, clause in pairs(clauses) do
	for field, list in pairs { suite = "ciphers", group = "groups" } do
		for _, name in ipairs(clause.adds and clause.adds[list] or {}) do
			recommended[field][name:lower()] = true
		end
	end
end

-- A list that is being found out:
--   offered    all
--   accepted   the server's order so far
--   field      of an answer: "suite" or "group"
--   offer      function(names): a hello's offer
--   known      names that are accepted, although the list does not have them, or nil
--   complete   boolean
--   reason     why it is not complete
--   ordered    how many of `accepted` are in the server's order, nil: all
--   has_kinds, has_recommended   whether it has a suite of each kind, and all accepted names that documents recommend;
--              nil: not asked yet
-- `fields`: the first ones of these; `first`: the first name that the server chose.
local function new_list(fields, first)
	fields.accepted = { first }
	return fields
end

local function rest(list)
	return hello_lists.without(list.offered, list.accepted)
end

-- False if the name was not offered again.
local function add(list, name)
	local before = #rest(list)
	list.accepted[#list.accepted + 1] = name
	local left = #rest(list)
	if left == before then
		table.remove(list.accepted)
	end
	list.complete = left == 0
	return left < before
end

local function has_gcm(name)
	return name:find("_GCM_", 1, true) ~= nil
end

-- The recommended names of a list that are not known to be accepted. Most documents recommend suites with GCM, so these
-- come first.
local function unknown_recommended(list)
	local unknown = hello_lists.without(hello_lists.filter(rest(list), function (name)
		return recommended[list.field][name:lower()]
	end), list.known or {})
	local ordered = hello_lists.filter(unknown, has_gcm)
	for _, name in ipairs(hello_lists.without(unknown, ordered)) do
		ordered[#ordered + 1] = name
	end
	return ordered
end

-- The suites that `classes` saw accepted.
local function examples(observed)
	local names = {}
	for _, class in ipairs(suite_classes.list) do
		local seen = observed[class[1]]
		names[#names + 1] = seen and seen.seen and seen.value[1] or nil
	end
	return names
end

-- The kind of a suite; nil for one that policies do not know.
local function kind_of(name)
	local suite = policy_suites.by_name[name]
	return suite and policy_suites.kind_of(suite)
end

-- The suites of the kinds that a list does not have. They go backwards, so that a server that follows its client shows
-- a weak one.
local function of_unknown_kinds(list)
	local seen = {}
	for _, name in ipairs(list.accepted) do
		seen[kind_of(name) or ""] = true
	end
	return hello_lists.filter(hello_lists.reversed(rest(list)), function (name)
		return kind_of(name) ~= nil and not seen[kind_of(name)]
	end)
end

-- Questions that finding names takes at most: one for each, and one that is refused.
local function questions_for(names)
	return names[1] and #names + 1 or 0
end

local function kinds_among(names)
	local kinds, seen = {}, {}
	for _, name in ipairs(names) do
		local kind = kind_of(name)
		kinds[#kinds + 1] = not seen[kind] and kind or nil
		seen[kind] = true
	end
	return kinds
end

-- How many questions clauses may still need about a list; none once it is found out. The fewer of their suites and
-- groups are unknown, the longer the list goes on.
local function needed(list)
	if list.complete or list.reason or list.has_recommended ~= nil then
		return 0
	end
	local kinds = list.field == "suite" and list.has_kinds == nil and kinds_among(of_unknown_kinds(list)) or {}
	return questions_for(kinds) + questions_for(unknown_recommended(list))
end

-- How many questions are kept for all lists.
local function kept(lists)
	local sum = 0
	for _, list in ipairs(lists) do
		sum = sum + needed(list)
	end
	return sum
end

-- Asks for names of a list until the server refuses those that `wanted(list)` returns, and keeps the questions that
-- `lists` need (nil: none; the list says in the end that the audit makes no more connections). Returns whether they
-- were refused, or there were none.
local function find(endpoint, list, wanted, lists)
	while not list.reason and attempt.left(endpoint) > (lists and kept(lists) or -math.huge) do
		local names = wanted(list)
		if not names[1] then
			return true
		end
		local answer, reason = question.ask(endpoint, list.offer(names))
		if not answer then
			list.reason = reason
		elseif not question.is_accepted(answer) then
			return true
		elseif not add(list, answer[list.field]) then
			list.reason = "the server chooses something that was not offered"
		end
	end
	return false
end

--- Asks for the rest of a list. `lists`: those for which questions are kept, or nil.
function accepted_list.complete(endpoint, list, lists)
	list.complete = find(endpoint, list, rest, lists)
end

local function find_recommended(endpoint, list)
	list.has_recommended = list.complete or find(endpoint, list, unknown_recommended)
end

-- Adds the first suite of each kind that the list does not have.
local function find_kinds(endpoint, list)
	list.has_kinds = list.complete or find(endpoint, list, of_unknown_kinds)
end

--- The list of suites of TLS 1.2, or of an older version, without those of which `classes` saw a refusal.
function accepted_list.old_suites(observed, version)
	local offered = version == "TLSv1.2" and hello_lists.tls12 or hello_lists.before_tls12
	for _, class in ipairs(suite_classes.list) do
		local seen = observed[class[1]]
		if seen and seen.seen == false then
			offered = hello_lists.filter(offered, function (name)
				return not class[2](name)
			end)
		end
	end
	return new_list({
		offered = offered, field = "suite", known = examples(observed),
		offer = function (names)
			return { version = version, suites = names, groups = hello_lists.old_groups }
		end,
	}, observed["version." .. version].value.suite)
end

--- Finds as many as there are questions for, or what clauses ask for. The first ones are in the server's order: each
-- was chosen from an offer that had those behind it.
function accepted_list.find_old_suites(endpoint, list, lists)
	accepted_list.complete(endpoint, list, lists)
	find_kinds(endpoint, list)
	list.ordered = #list.accepted
	find_recommended(endpoint, list)
end

--- The list of groups of ECDHE before TLS 1.3. `chosen`: the value of the observation of the version, with a group.
function accepted_list.old_groups(version, chosen)
	return new_list({
		offered = hello_lists.old_groups, field = "group",
		offer = function (names)
			return { version = version, groups = names, suites = { chosen.suite } }
		end,
	}, chosen.group)
end

--- Finds groups: as many as there are questions for, or what clauses ask for.
function accepted_list.find_groups(endpoint, list, lists)
	accepted_list.complete(endpoint, list, lists)
	find_recommended(endpoint, list)
end

--- The offer of a hello of TLS 1.3 with these suites and groups (names), without a key share.
function accepted_list.offer_tls13(suites, groups)
	return { versions = { "TLSv1.3" }, suites = suites, groups = groups, key_shares = "" }
end

--- The lists of TLS 1.3: suites, groups.
function accepted_list.tls13(observed)
	local first = observed["version.TLSv1.3"].value
	local suites = new_list({ offered = hello_lists.tls13, field = "suite" }, first.suite)
	local offered = hello_lists.groups
	if observed["groups.hybrid"].seen == false then
		offered = hello_lists.without(offered, hello_lists.hybrid_groups)
	end
	local groups = new_list({ offered = offered, field = "group" }, first.group)
	function suites.offer(names)
		return accepted_list.offer_tls13(names, groups.accepted)
	end
	function groups.offer(names)
		return accepted_list.offer_tls13(suites.accepted, names)
	end
	return suites, groups
end

--- Finds both. In TLS 1.3 suite and group are chosen apart, so that one hello asks for both while both have a rest.
function accepted_list.find_tls13(endpoint, suites, groups, lists)
	local function next_groups()
		return attempt.left(endpoint) > kept(lists) and rest(groups) or unknown_recommended(groups)
	end
	while #rest(suites) > 0 and #next_groups() > 0 do
		local answer = question.ask(endpoint, accepted_list.offer_tls13(rest(suites), next_groups()))
		if not answer or not question.is_accepted(answer) then
			break
		end
		add(suites, answer.suite)
		add(groups, answer.group)
	end
	accepted_list.complete(endpoint, suites)
	-- All suites of TLS 1.3 are of one kind.
	suites.has_kinds = true
	accepted_list.find_groups(endpoint, groups, lists)
end

return accepted_list
