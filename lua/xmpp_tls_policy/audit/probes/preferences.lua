--- Whose order of suites and groups decides, and all that an endpoint accepts of them (accepted_list.lua).
local accepted_list = require "xmpp_tls_policy.audit.accepted_list"
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local observations = require "xmpp_tls_policy.audit.observations"
local policy_suites = require "xmpp_tls_policy.policy.suites"
local question = require "xmpp_tls_policy.audit.question"
local versions = require "xmpp_tls_policy.audit.probes.versions"

local preferences = {
	name = "preferences",
	after = {
		"certificate", "sasl", "pipelined", "versions", "classes", "short_curves", "old_signatures", "names", "resumption",
	},
}

-- ---- hybrid groups ---------------------------------------------------------------

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
	local answer, reason = question.ask(endpoint, accepted_list.offer_tls13(hello_lists.tls13, hello_lists.hybrid_groups))
	return answer and observations.made(question.is_accepted(answer), question.evidence(answer))
		or observations.untested(reason)
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
	local offer = with_suites(versions.offers[version], hello_lists.reversed(first.offered))
	offer.groups = offer.groups and hello_lists.reversed(offer.groups)
	local answer, reason = question.ask(endpoint, offer)
	if answer and not question.is_accepted(answer) then
		answer, reason = nil, question.evidence(answer)
	end
	answer = answer or {}
	-- A choice among fewer suites tells only of those.
	if answer.narrowed and not hello_lists.has(answer.narrowed, first.suite) then
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
	local others, suites = hello_lists.without(offered, chacha20), {}
	for _, list in ipairs { chacha20, others } do
		for _, name in ipairs(list) do
			suites[#suites + 1] = name
		end
	end
	local answer, reason = question.ask(endpoint, with_suites(versions.offers[version], suites))
	if not answer or not question.is_accepted(answer) then
		return observations.untested(reason or question.evidence(answer))
	elseif answer.narrowed and not hello_lists.has(answer.narrowed, suites[1]) then
		return observations.untested "the server answers with internal_error when it chooses ChaCha20"
	end
	return observations.made(hello_lists.has(chacha20, answer.suite), question.evidence(answer))
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
		found.suites["TLSv1.3"], found.groups["TLSv1.3"] = accepted_list.tls13(observed)
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
		local groups = accepted_list.old_groups(version, chosen)
		found.groups[version] = groups
		table.insert(found.lists, groups)
		accepted_list.find_groups(endpoint, groups, found.lists)
	end
	local suites = accepted_list.old_suites(observed, version)
	found.suites[version] = suites
	table.insert(found.lists, suites)
	accepted_list.find_old_suites(endpoint, suites, found.lists)
end

local function run_tls13(endpoint, observed, found)
	if found.suites["TLSv1.3"] then
		ask_backwards(endpoint, observed, found, "TLSv1.3")
		accepted_list.find_tls13(endpoint, found.suites["TLSv1.3"], found.groups["TLSv1.3"], found.lists)
	end
end

-- Spends the questions that are left on the lists that are not complete.
local function complete_rest(endpoint, found)
	for index = #found.lists, 1, -1 do
		local list = found.lists[index]
		if not list.complete then
			accepted_list.complete(endpoint, list)
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
