--- The suites and groups that an endpoint accepts, and whose order decides. Each hello offers what is not
-- known yet, until the server refuses the rest or the connections of the audit are used up.
local observations = require "xmpp_tls_policy.audit.observations"
local policy_suites = require "xmpp_tls_policy.policy.suites"
local question = require "xmpp_tls_policy.audit.question"
local suite_classes = require "xmpp_tls_policy.audit.suite_classes"
local tasks = require "xmpp_tls_policy.audit.tasks"

local preferences = {
	name = "preferences",
	after = {
		"certificate", "sasl", "pipelined", "versions", "classes", "short_curves", "old_signatures", "names", "resumption",
	},
}

-- No more connections are made for the lists when the endpoint has made so many. A few follow for the order.
-- See question.MOST_CONNECTIONS.
local MOST_CONNECTIONS = 36

local function has_room(endpoint)
	-- Those that a limit turned away asked nothing.
	return endpoint.connections - endpoint.turned_away < MOST_CONNECTIONS
end

local function without(list, names)
	local left_out = {}
	for _, name in ipairs(names) do
		left_out[name] = true
	end
	return suite_classes.filter(list, function (name)
		return not left_out[name]
	end)
end

local function reversed(list)
	local result = {}
	for index = #list, 1, -1 do
		result[#result + 1] = list[index]
	end
	return result
end

-- ---- lists -----------------------------------------------------------------------

-- A list that is being found out: { offered = all, accepted = the server's order so far, complete =
-- boolean, reason = why it is not }.
local function new_list(offered, first)
	return { offered = offered, accepted = { first } }
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

-- Asks for the rest of a list until the server refuses it. `offer(names)`: a hello's offer; `field`: of the
-- answer.
local function complete(endpoint, list, field, offer)
	list.complete = #rest(list) == 0
	while not list.complete and not list.reason do
		local answer, reason
		if has_room(endpoint) then
			answer, reason = question.ask(endpoint, offer(rest(list)))
		end
		if not answer then
			list.reason = reason or "the audit makes no more connections"
		elseif not question.is_accepted(answer) then
			list.complete = true
		elseif not add(list, answer[field]) then
			list.reason = "the server does not keep to what is offered"
		end
	end
end

-- The suites of TLS 1.2, or of an older version, without those of which `classes` saw a refusal.
local function list_old_suites(endpoint, observed, version)
	local offered = version == "TLSv1.2" and suite_classes.tls12 or suite_classes.before_tls12
	for _, class in ipairs(suite_classes.list) do
		local seen = observed[class[1]]
		if seen and seen.seen == false then
			offered = suite_classes.filter(offered, function (name)
				return not class[2](name)
			end)
		end
	end
	local list = new_list(offered, observed["version." .. version].value.suite)
	complete(endpoint, list, "suite", function (names)
		return { version = version, suites = names, groups = suite_classes.old_groups }
	end)
	return list
end

-- The groups of ECDHE before TLS 1.3, of a server that chose one.
local function list_old_groups(endpoint, version, chosen)
	local list = chosen.group and new_list(suite_classes.old_groups, chosen.group)
	if list then
		complete(endpoint, list, "group", function (names)
			return { version = version, groups = names, suites = { chosen.suite } }
		end)
	end
	return list
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
	local answer, reason = question.ask(endpoint, offer_tls13(suite_classes.tls13, suite_classes.hybrid_groups))
	return answer and observations.made(question.is_accepted(answer), question.evidence(answer))
		or observations.untested(reason)
end

-- In TLS 1.3 suite and group are chosen apart, so that one hello asks for both while both have a rest.
local function list_tls13(endpoint, observed)
	local first = observed["version.TLSv1.3"].value
	local suites = new_list(suite_classes.tls13, first.suite)
	local groups = new_list(observed["groups.hybrid"].seen == false and without(suite_classes.groups,
		suite_classes.hybrid_groups) or suite_classes.groups, first.group)
	while #rest(suites) > 0 and #rest(groups) > 0 and has_room(endpoint) do
		local answer = question.ask(endpoint, offer_tls13(rest(suites), rest(groups)))
		if not answer or not question.is_accepted(answer) then
			break
		end
		add(suites, answer.suite)
		add(groups, answer.group)
	end
	complete(endpoint, suites, "suite", function (names)
		return offer_tls13(names, groups.accepted)
	end)
	complete(endpoint, groups, "group", function (names)
		return offer_tls13(suites.accepted, names)
	end)
	return suites, groups
end

-- ---- whose order -----------------------------------------------------------------

-- Some servers give way to a client that puts ChaCha20 first, which is not the client's order as such.
local function without_chacha20(names)
	local others = suite_classes.filter(names, function (name)
		return not name:find "CHACHA20"
	end)
	return #others > 1 and others or names
end

local function observe_compression(observed, answer, reason)
	observed.compression = answer and observations.made(answer.compression ~= "null",
		("chose the compression %s of deflate and null"):format(answer.compression)) or observations.untested(reason)
end

-- `orders`: list of { version, names, choice = name or nil, reason = why there is none }. One choice that
-- follows the client is enough for a no.
local function observe_order(orders, what)
	local sentences, seen, reason = {}, nil, ("no %s was accepted"):format(what)
	for _, order in ipairs(orders) do
		local names, kept = order.names, nil
		if #names < 2 then
			kept, sentences[#sentences + 1] = true, ("%s: one %s alone is accepted"):format(order.version, what)
		elseif order.choice then
			kept = order.choice ~= names[#names]
			sentences[#sentences + 1] = ("%s: chose %s of %s"):format(order.version, order.choice,
				table.concat(reversed(names), ", "))
		else
			reason = order.reason or ("the server's choice has no %s"):format(what)
		end
		if kept ~= nil then
			seen = kept and seen ~= false
		end
	end
	if seen == nil then
		return observations.untested(reason)
	end
	return observations.made(seen, table.concat(sentences, "; "))
end

-- Asks for accepted suites and groups backwards (lists, or nil), and notes the choices. Returns the answer if
-- the server took the offer, or nil and the reason.
local function ask_backwards(endpoint, found, offer, suites, groups)
	local names = without_chacha20(suites.accepted)
	offer.suites = reversed(names)
	offer.groups = groups and reversed(groups.accepted) or suite_classes.old_groups
	local answer, reason = question.ask(endpoint, offer)
	if answer and not question.is_accepted(answer) then
		answer, reason = nil, question.evidence(answer)
	end
	local version = offer.versions and "TLSv1.3" or offer.version
	table.insert(found.suite_orders, {
		version = version, names = names, choice = answer and answer.suite, reason = reason,
	})
	if groups then
		table.insert(found.group_orders, {
			version = version, names = groups.accepted, choice = answer and answer.group, reason = reason,
		})
	end
	return answer, reason
end

-- ---- the probe -------------------------------------------------------------------

local function newest_old_version(observed)
	for _, version in ipairs { "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3" } do
		if observed["version." .. version].seen then
			return version
		end
	end
end

-- Fills `found.suites` (version -> list), `found.suite_orders`, and observes the compression.
local function run_old(endpoint, observed, found)
	local version = newest_old_version(observed)
	if not version then
		local tls13 = observed["version.TLSv1.3"].seen
		observed.compression = tls13 and observations.made(false, "TLS 1.3 alone is accepted, which has no compression")
			or observations.untested "no version of TLS was accepted"
		return
	end
	local groups
	if observed["version.TLSv1.3"].seen == false then
		groups = list_old_groups(endpoint, version, observed["version." .. version].value)
	end
	local suites = list_old_suites(endpoint, observed, version)
	found.suites[version], found.groups = suites, found.groups or groups
	local answer, reason = ask_backwards(endpoint, found, { version = version, compressions = { "deflate", "null" } },
		suites, groups)
	observe_compression(observed, answer, reason)
end

local function run_tls13(endpoint, observed, found)
	if not observed["version.TLSv1.3"].seen then
		return
	end
	local suites, groups = list_tls13(endpoint, observed)
	found.suites["TLSv1.3"], found.groups = suites, groups
	ask_backwards(endpoint, found, offer_tls13(), suites, groups)
end

local function words_of_gap(list)
	return list.complete and "" or (" (more may be: %s)"):format(list.reason)
end

-- Whether lists have all that the server accepts. `what`: "suites".
local function observe_complete(lists, what)
	local reason
	for _, list in ipairs(lists) do
		reason = reason or not list.complete and (list.reason or "the audit makes no more connections")
	end
	if not lists[1] then
		return observations.untested "no version of TLS was accepted"
	end
	return observations.made(not reason, reason and ("more %s may be accepted: %s"):format(what, reason)
		or "the server refused all others")
end

local function observe_suites(observed, found)
	local value, sentences, lists = {}, {}, {}
	for _, version in ipairs { "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3" } do
		local list = found.suites[version]
		if list then
			lists[#lists + 1], value[version] = list, list.accepted
			sentences[#sentences + 1] = ("%s: %s%s"):format(version, table.concat(list.accepted, ", "), words_of_gap(list))
		end
	end
	observed["suites.complete"] = observe_complete(lists, "suites")
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
	observed["groups.accepted"] = list and observations.made(true,
		table.concat(list.accepted, ", ") .. words_of_gap(list), list.accepted)
		or observations.untested "no group was chosen"
end

function preferences.run(endpoint, observed)
	local found = { suites = {}, suite_orders = {}, group_orders = {} }
	observed["groups.hybrid"] = observe_hybrid(endpoint, observed)
	tasks.all {
		function () run_old(endpoint, observed, found) end,
		function () run_tls13(endpoint, observed, found) end,
	}
	observe_suites(observed, found)
	observe_null(observed, found.suites["TLSv1.3"])
	observe_groups(observed, found.groups)
	observed["suites.server_chooses"] = observe_order(found.suite_orders, "suite")
	observed["groups.server_chooses"] = observe_order(found.group_orders, "group")
end

return preferences
