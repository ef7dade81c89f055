--- The results of the clauses' `probe` (see probe_rules.lua), and the observations that they are made of.
local text = require "xmpp_tls_policy.text"

local probe_results = {}

---- Results -------------------------------------------------------------------

--- A result. `names`: of the observations that decided.
function probe_results.outcome(result, sentence, names)
	return { result = result, sentence = sentence, observations = names }
end

--- The result of a clause that was not tested.
function probe_results.not_tested(cause, sentence, names)
	return { result = "not tested", sentence = sentence, observations = names, cause = cause }
end

--- The result where one of the named observations was not made; nil where all were.
function probe_results.missing(observed, ...)
	for _, name in ipairs { ... } do
		local observation = observed[name]
		if not observation then
			return probe_results.not_tested("not asked", "this audit did not try it", { name })
		elseif observation.seen == nil then
			return probe_results.not_tested("no answer", observation.reason or "reason unknown", { name })
		end
	end
end

--- Whether an observation was made, and is true of the endpoint.
function probe_results.is_seen(observed, name)
	return observed[name] ~= nil and observed[name].seen == true
end

--- Whether one was made, and is not.
function probe_results.is_denied(observed, name)
	return observed[name] ~= nil and observed[name].seen == false
end

-- Worse results first.
local order = { "broken", "not tested", "holds", "not offered" }

-- Adds a word to a list that does not have it.
local function add_new(list, known, word)
	list[#list + 1] = not known[word] and word or nil
	known[word] = true
end

--- The worst of some results. Its sentence has those of all results of that kind, each once.
function probe_results.worst_of(list)
	for _, kind in ipairs(order) do
		local names, sentences, known, cause = {}, {}, {}, nil
		for _, result in ipairs(list) do
			if result.result == kind then
				cause = cause == "no answer" and cause or result.cause
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

--- A list of names that a stranger may have chosen, in a few words.
function probe_results.listed(names)
	local shown = {}
	for _, name in ipairs(type(names) == "table" and names or {}) do
		name = tostring(name)
		shown[#shown + 1] = #name <= 60 and text.shown(name) or text.quote(name)
	end
	return text.short_list(shown, MOST_NAMES)
end

--- The value of an observation if it is a table, or an empty one.
function probe_results.value_of(observed, name)
	local observation = observed[name]
	return observation and type(observation.value) == "table" and observation.value or {}
end

return probe_results
