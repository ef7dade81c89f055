--- The results of the clauses of a policy at one endpoint, merged over several, counted, and a letter.
local clauses = require "xmpp_tls_policy.policy.clauses"

local grade = {}

---- Clauses -------------------------------------------------------------------

-- What a document only allows cannot be broken.
local function allow(result)
	if result.result == "broken" then
		result.result, result.sentence = "holds", result.sentence .. "; the document allows it"
	end
	return result
end

local function clause_result(entry, result)
	return {
		id = entry.id, document = entry.document, section = entry.section, level = entry.level, at = entry.at,
		enforced = entry.enforced, result = result.result, sentence = result.sentence,
		observations = result.observations, cause = result.cause,
	}
end

--- The results of all clauses of a policy (policy/init.lua), in its order: a list of { id, document, section,
-- level, at, enforced, result, sentence, observations, cause }; the last four and the arguments: see
-- policy/probe_rules.lua.
function grade.clauses(policy, observed, endpoint)
	local results = {}
	for index, entry in ipairs(policy.clauses) do
		local result = clauses[entry.id].probe(observed, endpoint, entry.enforced)
		results[index] = clause_result(entry, entry.at == "never" and allow(result) or result)
	end
	return results
end

-- Of two results the one with the lower number counts.
local ranks = {
	broken = 1, ["no answer"] = 2, holds = 3, ["not offered"] = 4, ["not asked"] = 5, inside = 6,
}

local function rank(result)
	return ranks[result.cause or result.result]
end

--- The worst result of each clause over several lists of grade.clauses. `names`: the name of each list, for
-- the sentences. The lists must not be empty.
function grade.merged(lists, names)
	local merged = {}
	for index, first in ipairs(lists[1]) do
		local worst, place = first, 1
		for other = 2, #lists do
			if rank(lists[other][index]) < rank(worst) then
				worst, place = lists[other][index], other
			end
		end
		merged[index] = clause_result(worst, worst)
		if #lists > 1 and (worst.result == "broken" or worst.cause == "no answer") then
			merged[index].sentence = ("%s: %s"):format(names[place], worst.sentence)
		end
	end
	return merged
end

---- Counts --------------------------------------------------------------------

local count_of = {
	holds = "holds", broken = "broken", ["not offered"] = "not_offered", ["not tested"] = "not_tested",
}

local count_of_cause = { ["no answer"] = "unanswered", ["not asked"] = "not_asked", inside = "inside" }

--- The numbers of results, with the fields of the shape "count" in report.lua.
function grade.count(results)
	local count = {
		clauses = #results, holds = 0, broken = 0, not_offered = 0, not_tested = 0, must_broken = 0, should_broken = 0,
		unanswered = 0, not_asked = 0, inside = 0, enforced_broken = 0, enforced_unanswered = 0,
	}
	local function add(field)
		count[field] = count[field] + 1
	end
	for _, result in ipairs(results) do
		add(count_of[result.result])
		if result.result == "broken" then
			add(result.at .. "_broken")
		elseif result.cause then
			add(count_of_cause[result.cause])
		end
		if result.enforced and (result.result == "broken" or result.cause == "no answer") then
			add(result.cause and "enforced_unanswered" or "enforced_broken")
		end
	end
	return count
end

---- Letters -------------------------------------------------------------------

--- The letters, the first that applies: { letter, rule, applies = function(count) }.
grade.letters = {
	{
		letter = "F", rule = "a clause is broken that both levels enforce (a MUST)",
		applies = function (count)
			return count.must_broken > 0
		end,
	},
	{
		letter = "?", rule = "at least half of the clauses that an outsider can test got no answer",
		applies = function (count)
			return count.unanswered >= count.clauses - count.not_tested
		end,
	},
	{
		letter = "D", rule = "more than three clauses are broken that level should enforces (SHOULDs)",
		applies = function (count)
			return count.should_broken > 3
		end,
	},
	{
		letter = "C", rule = "one to three clauses are broken that level should enforces",
		applies = function (count)
			return count.should_broken > 0
		end,
	},
	{
		letter = "B", rule = "no clause is broken, but one or more got no answer",
		applies = function (count)
			return count.unanswered > 0
		end,
	},
	{
		letter = "A", rule = "all clauses that the audit tested hold, or restrict something that is not offered",
		applies = function ()
			return true
		end,
	},
}

--- The letter of some counts.
function grade.letter(count)
	for _, entry in ipairs(grade.letters) do
		if entry.applies(count) then
			return entry.letter
		end
	end
end

--- The table of letters, for the manual.
function grade.documentation()
	local lines = { "| letter | rule |", "| --- | --- |" }
	for _, entry in ipairs(grade.letters) do
		lines[#lines + 1] = ("| %s | %s |"):format(entry.letter, entry.rule)
	end
	return table.concat(lines, "\n") .. "\n"
end

return grade
