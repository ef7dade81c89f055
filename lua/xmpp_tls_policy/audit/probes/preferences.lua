--- Whose order of suites and groups decides, and all that an endpoint accepts of them. For the lists each hello
-- offers what is not known yet, until the server refuses the rest or the connections of the audit are used up. When few
-- are left, hellos offer only what clauses ask for: the kinds of suites that are not in the list yet, and suites and
-- groups that a document recommends.
local clauses = require "xmpp_tls_policy.policy.clauses"
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local observations = require "xmpp_tls_policy.audit.observations"
local policy_suites = require "xmpp_tls_policy.policy.suites"
local question = require "xmpp_tls_policy.audit.question"
local suite_classes = require "xmpp_tls_policy.policy.suite_classes"
local versions = require "xmpp_tls_policy.audit.probes.versions"

local preferences = {
	name = "preferences",
	after = {
		"certificate", "sasl", "pipelined", "versions", "classes", "short_curves", "old_signatures", "names", "resumption",
	},
}

local function without(list, names)
	local left_out = {}
	for _, name in ipairs(names) do
		left_out[name] = true
	end
	return hello_lists.filter(list, function (name)
		return not left_out[name]
	end)
end

local function is_in(list, name)
	return #without(list, { name }) < #list
end

local function reversed(list)
	local result = {}
	for index = #list, 1, -1 do
		result[#result + 1] = list[index]
	end
	return result
end

-- ---- lists -----------------------------------------------------------------------

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
-- `fields`: the first ones of these; `first`: the first name that the server chose.
local function new_list(fields, first)
	fields.accepted = { first }
	return fields
end

local function rest(list)
	return without(list.offered, list.accepted)
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
	local unknown = without(hello_lists.filter(rest(list), function (name)
		return recommended[list.field][name:lower()]
	end), list.known or {})
	local ordered = hello_lists.filter(unknown, has_gcm)
	for _, name in ipairs(without(unknown, ordered)) do
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
	return hello_lists.filter(reversed(rest(list)), function (name)
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
	while not list.reason and question.left(endpoint) > (lists and kept(lists) or -math.huge) do
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
			list.reason = "the server does not keep to what is offered"
		end
	end
	return false
end

local function complete(endpoint, list, lists)
	list.complete = find(endpoint, list, rest, lists)
end

local function find_recommended(endpoint, list)
	list.has_recommended = list.complete or find(endpoint, list, unknown_recommended)
end

-- Adds the first suite of each kind that the list does not have.
local function find_kinds(endpoint, list)
	list.has_kinds = list.complete or find(endpoint, list, of_unknown_kinds)
end

-- The suites of TLS 1.2, or of an older version, without those of which `classes` saw a refusal.
local function new_old_suites(observed, version)
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

-- As many as there are questions for, or what clauses ask for. The first ones are in the server's order: each was
-- chosen from an offer that had those behind it.
local function list_old_suites(endpoint, list, lists)
	complete(endpoint, list, lists)
	find_kinds(endpoint, list)
	list.ordered = #list.accepted
	find_recommended(endpoint, list)
end

-- The groups of ECDHE before TLS 1.3, of a server that chose one.
local function new_old_groups(version, chosen)
	return new_list({
		offered = hello_lists.old_groups, field = "group",
		offer = function (names)
			return { version = version, groups = names, suites = { chosen.suite } }
		end,
	}, chosen.group)
end

local function list_groups(endpoint, list, lists)
	complete(endpoint, list, lists)
	find_recommended(endpoint, list)
end

local function offer_tls13(suites, groups)
	return { versions = { "TLSv1.3" }, suites = suites, groups = groups, key_shares = "" }
end

local function is_hybrid(name)
	return policy_suites.groups_by_name[name:lower()].kind == "hybrid"
end

-- Whether one of the hybrid groups is accepted. It is asked before the lists, which may be cut.
local function observe_hybrid(endpoint, observed)
	local tls13 = observed["version.TLSv1.3"]
	if tls13.seen == nil then
		return observations.untested("TLS 1.3 was not tested: " .. tls13.reason)
	elseif not tls13.seen then
		return observations.made(false, "TLS 1.3 is refused, without which there are no hybrid groups")
	elseif is_hybrid(tls13.value.group) then
		return observations.made(true, tls13.evidence)
	end
	local answer, reason = question.ask(endpoint, offer_tls13(hello_lists.tls13, hello_lists.hybrid_groups))
	return answer and observations.made(question.is_accepted(answer), question.evidence(answer))
		or observations.untested(reason)
end

-- The lists of TLS 1.3: suites, groups.
local function new_tls13_lists(observed)
	local first = observed["version.TLSv1.3"].value
	local suites = new_list({ offered = hello_lists.tls13, field = "suite" }, first.suite)
	local groups = new_list({
		offered = observed["groups.hybrid"].seen == false and without(hello_lists.groups, hello_lists.hybrid_groups)
			or hello_lists.groups,
		field = "group",
	}, first.group)
	function suites.offer(names)
		return offer_tls13(names, groups.accepted)
	end
	function groups.offer(names)
		return offer_tls13(suites.accepted, names)
	end
	return suites, groups
end

-- In TLS 1.3 suite and group are chosen apart, so that one hello asks for both while both have a rest.
local function list_tls13(endpoint, suites, groups, lists)
	local function next_groups()
		return question.left(endpoint) > kept(lists) and rest(groups) or unknown_recommended(groups)
	end
	while #rest(suites) > 0 and #next_groups() > 0 do
		local answer = question.ask(endpoint, offer_tls13(rest(suites), next_groups()))
		if not answer or not question.is_accepted(answer) then
			break
		end
		add(suites, answer.suite)
		add(groups, answer.group)
	end
	complete(endpoint, suites)
	-- All suites of TLS 1.3 are of one kind.
	suites.has_kinds = true
	list_groups(endpoint, groups, lists)
end

-- ---- whose order -----------------------------------------------------------------

-- A copy of an offer with other suites.
local function with_suites(offer, suites)
	local copy = {}
	for field, value in pairs(offer) do
		copy[field] = value
	end
	copy.suites = suites
	return copy
end

-- Offers what the endpoint chose from in `versions`, in the opposite order, and notes both choices. A server that
-- follows its client only where ChaCha20 comes first keeps its own order here, because other suites come before.
local function ask_backwards(endpoint, observed, found, version)
	local first = observed["version." .. version].value
	local offer = with_suites(versions.offers[version], reversed(first.offered))
	offer.groups = offer.groups and reversed(offer.groups)
	local answer, reason = question.ask(endpoint, offer)
	if answer and not question.is_accepted(answer) then
		answer, reason = nil, question.evidence(answer)
	end
	answer = answer or {}
	-- A choice among fewer suites tells only of those.
	if answer.narrowed and not is_in(answer.narrowed, first.suite) then
		answer, reason = {}, "the server answers with internal_error when it chooses " .. first.suite
	end
	table.insert(found.orders, {
		version = version, reason = reason, suite = { first.suite, answer.suite }, group = { first.group, answer.group },
	})
end

-- Offers what the endpoint chose from in `versions`, with ChaCha20 in front.
local function ask_chacha20(endpoint, observed, version)
	local offered = observed["version." .. version].value.offered
	local chacha20 = hello_lists.filter(offered, function (name)
		return name:find "CHACHA20" ~= nil
	end)
	local others, suites = without(offered, chacha20), {}
	for _, list in ipairs { chacha20, others } do
		for _, name in ipairs(list) do
			suites[#suites + 1] = name
		end
	end
	local answer, reason = question.ask(endpoint, with_suites(versions.offers[version], suites))
	if not answer or not question.is_accepted(answer) then
		return observations.untested(reason or question.evidence(answer))
	elseif answer.narrowed and not is_in(answer.narrowed, suites[1]) then
		return observations.untested "the server answers with internal_error when it chooses ChaCha20"
	end
	return observations.made(is_in(chacha20, answer.suite), question.evidence(answer))
end

-- The lists of suites or groups -> the versions whose list has one entry alone.
local function single_entries(lists)
	local single = {}
	for version, list in pairs(lists) do
		single[version] = list.complete and #list.accepted == 1 or nil
	end
	return single
end

-- `what`: "suite" or "group"; `lists`: version -> list. One choice that follows the client is enough for a no.
local function observe_order(orders, what, lists)
	local single, sentences, seen, reason = single_entries(lists), {}, nil, ("no %s was accepted"):format(what)
	for _, order in ipairs(orders) do
		local first, second = order[what][1], order[what][2]
		if single[order.version] then
			sentences[#sentences + 1] = ("%s: one %s alone is accepted"):format(order.version, what)
			seen = seen ~= false
		elseif first and second then
			sentences[#sentences + 1] = ("%s: chose %s, and %s of the same list backwards"):format(order.version, first, second)
			seen = first == second and seen ~= false
		else
			reason = order.reason or ("the server's choice has no %s"):format(what)
		end
	end
	if seen == nil then
		return observations.untested(reason)
	end
	return observations.made(seen, table.concat(sentences, "; "))
end

-- ---- the probe -------------------------------------------------------------------

local function newest_old_version(observed)
	for _, version in ipairs { "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3" } do
		if observed["version." .. version].seen then
			return version
		end
	end
end

-- In the newest version that is accepted.
local function observe_chacha20(endpoint, observed)
	local version = observed["version.TLSv1.3"].seen and "TLSv1.3" or observed["version.TLSv1.2"].seen and "TLSv1.2"
	return version and ask_chacha20(endpoint, observed, version)
		or observations.untested "no version of TLS with ChaCha20 was accepted"
end

-- These fill `found.suites` and `found.groups` (version -> list), `found.orders`, and `found.lists`: those for which
-- questions are kept, and on which the last ones are spent. Suites come last there.
local function begin_tls13(observed, found)
	if observed["version.TLSv1.3"].seen then
		found.suites["TLSv1.3"], found.groups["TLSv1.3"] = new_tls13_lists(observed)
		table.insert(found.lists, found.groups["TLSv1.3"])
	end
end

local function run_old(endpoint, observed, found)
	local version = newest_old_version(observed)
	if not version then
		return
	end
	ask_backwards(endpoint, observed, found, version)
	local chosen = observed["version." .. version].value
	if observed["version.TLSv1.3"].seen == false and chosen.group then
		local groups = new_old_groups(version, chosen)
		found.groups[version] = groups
		table.insert(found.lists, groups)
		list_groups(endpoint, groups, found.lists)
	end
	local suites = new_old_suites(observed, version)
	found.suites[version] = suites
	table.insert(found.lists, suites)
	list_old_suites(endpoint, suites, found.lists)
end

local function run_tls13(endpoint, observed, found)
	if found.suites["TLSv1.3"] then
		ask_backwards(endpoint, observed, found, "TLSv1.3")
		list_tls13(endpoint, found.suites["TLSv1.3"], found.groups["TLSv1.3"], found.lists)
	end
end

-- Spends the questions that are left on the lists that are not complete.
local function complete_rest(endpoint, found)
	for index = #found.lists, 1, -1 do
		local list = found.lists[index]
		if not list.complete then
			complete(endpoint, list)
		end
	end
end

local function words_of_gap(list)
	return list.complete and "" or (" (more may be: %s)"):format(list.reason)
end

-- Whether lists have all that the server accepts. `what`: "suites".
local function observe_complete(lists, what)
	local reason
	for _, list in ipairs(lists) do
		reason = reason or not list.complete and list.reason
	end
	if not lists[1] then
		return observations.untested "no version of TLS was accepted"
	end
	return observations.made(not reason, reason and ("more %s may be accepted: %s"):format(what, reason)
		or "the server refused all others")
end

-- Whether all lists have something of all that the server accepts. `field`: of a list, true where it has.
local function observe_part(lists, field, yes, no)
	local seen = true
	for _, list in ipairs(lists) do
		seen = seen and (list.complete or list[field] or false)
	end
	if not lists[1] then
		return observations.untested "no version of TLS was accepted"
	end
	return observations.made(seen, seen and yes or no)
end

local function observe_suites(observed, found)
	local value, sentences, lists, ordered = {}, {}, {}, {}
	for _, version in ipairs { "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3" } do
		local list = found.suites[version]
		if list then
			lists[#lists + 1], value[version] = list, list.accepted
			ordered[version] = list.ordered or #list.accepted
			sentences[#sentences + 1] = ("%s: %s%s"):format(version, table.concat(list.accepted, ", "), words_of_gap(list))
		end
	end
	observed["suites.complete"] = observe_complete(lists, "suites")
	observed["suites.kinds"] = observe_part(lists, "has_kinds", "the server refused all other kinds of suites",
		"the audit made no more connections before all kinds of suites were known")
	observed["suites.kinds"].value = ordered
	observed["suites.recommended"] = observe_part(lists, "has_recommended",
		"the server refused all others that documents recommend", "more suites that documents recommend may be accepted")
	observed["suites.accepted"] = sentences[1] and observations.made(true, table.concat(sentences, "; "), value)
		or observations.untested "no version of TLS was accepted"
end

-- Suites of TLS 1.3 without encryption (RFC 9150) are asked for here.
local function observe_null(observed, list)
	for _, name in ipairs(list and list.accepted or {}) do
		if name == "TLS_SHA256_SHA256" or name == "TLS_SHA384_SHA384" then
			observed["suites.null"] = observations.made(true, "chose TLSv1.3 with " .. name, { name })
		end
	end
end

local function observe_groups(observed, list)
	observed["groups.complete"] = observe_complete({ list }, "groups")
	observed["groups.recommended"] = observe_part({ list }, "has_recommended",
		"the server refused all others that documents recommend", "more groups that documents recommend may be accepted")
	observed["groups.accepted"] = list and observations.made(true,
		table.concat(list.accepted, ", ") .. words_of_gap(list), list.accepted)
		or observations.untested "no group was chosen"
end

--- Makes the observations of the accepted suites and groups, and of their order.
function preferences.run(endpoint, observed)
	local found = { suites = {}, groups = {}, orders = {}, lists = {} }
	observed["groups.hybrid"] = observe_hybrid(endpoint, observed)
	observed["suites.chacha20_first"] = observe_chacha20(endpoint, observed)
	-- Suites before groups: more clauses are about them.
	begin_tls13(observed, found)
	run_old(endpoint, observed, found)
	run_tls13(endpoint, observed, found)
	complete_rest(endpoint, found)
	observe_suites(observed, found)
	observe_null(observed, found.suites["TLSv1.3"])
	-- With TLS 1.3 its groups stand for all, because newer clients have no others.
	local _, groups = next(found.groups)
	observe_groups(observed, groups)
	observed["suites.server_chooses"] = observe_order(found.orders, "suite", found.suites)
	observed["groups.server_chooses"] = observe_order(found.orders, "group", found.groups)
end

return preferences
