--- The clauses of a domain that have some result, with the endpoints that have it: alike for people who read a
-- terminal and a page.
local report = require "xmpp_tls_policy.audit.report"

local problems = {}

--- The places of a domain that have results: a list of { name, clauses, endpoint (nil for the server as a client) }.
function problems.places(domain)
	local places = {}
	for index, endpoint in ipairs(domain.endpoints) do
		places[index] = { name = report.describe(endpoint), clauses = endpoint.clauses, endpoint = endpoint }
	end
	if domain.client then
		places[#places + 1] = { name = "as a client", clauses = domain.client.clauses }
	end
	return places
end

-- The sentences of one clause over the places where `wanted(clause)` is true, each with the names of its places.
local function sentences(places, index, wanted)
	local list, known = {}, {}
	for _, place in ipairs(places) do
		local clause = place.clauses[index]
		if wanted(clause) then
			local entry = known[clause.sentence]
			if not entry then
				entry = { sentence = clause.sentence, names = {}, clause = clause }
				known[clause.sentence], list[#list + 1] = entry, entry
			end
			entry.names[#entry.names + 1] = place.name
		end
	end
	return list
end

--- The clauses for which `wanted(clause)` is true at a place of the domain: a list of { clause, sentences = list of
-- { sentence, names (of places) } }, in the profile's order. A domain without places has its own results.
function problems.of(domain, wanted)
	local places, list = problems.places(domain), {}
	if not places[1] then
		places[1] = { name = domain.domain, clauses = domain.clauses }
	end
	for index in ipairs(domain.clauses) do
		local found = sentences(places, index, wanted)
		if found[1] then
			list[#list + 1] = { clause = found[1].clause, sentences = found }
		end
	end
	return list
end

--- For problems.of.
function problems.is_broken(clause)
	return clause.result == "broken"
end

--- For problems.of: clauses that could have been tested.
function problems.is_unanswered(clause)
	return clause.cause == "no answer"
end

--- The ids of the clauses of a domain that no outsider can test, a list.
function problems.inside(domain)
	local ids = {}
	for _, clause in ipairs(domain.clauses) do
		ids[#ids + 1] = clause.cause == "inside" and clause.id or nil
	end
	return ids
end

--- The findings of a domain: a list of { finding, names }, alarms first.
function problems.findings(domain)
	local by_kind, known = { alarm = {}, note = {} }, {}
	for _, endpoint in ipairs(domain.endpoints) do
		for _, finding in ipairs(endpoint.findings) do
			local list = by_kind[finding.kind] or by_kind.note
			local entry = known[finding.sentence]
			if not entry then
				entry = { finding = finding, names = {} }
				known[finding.sentence], list[#list + 1] = entry, entry
			end
			entry.names[#entry.names + 1] = report.describe(endpoint)
		end
	end
	for _, entry in ipairs(by_kind.note) do
		by_kind.alarm[#by_kind.alarm + 1] = entry
	end
	return by_kind.alarm
end

return problems
