--- The parts of rules (see probe_rules.lua): rules about one observation, and rules made of rules.
local probe_results = require "xmpp_tls_policy.policy.probe_results"

local outcome, not_tested, missing, is_denied =
	probe_results.outcome, probe_results.not_tested, probe_results.missing, probe_results.is_denied
local worst_of, listed, value_of =
	probe_results.worst_of, probe_results.listed, probe_results.value_of

local parts = {}

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
function parts.refused(name, noun, pattern)
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

-- Names that one of the patterns matches.
local function matching(names, patterns)
	local found = {}
	for _, name in ipairs(type(names) == "table" and names or {}) do
		for _, pattern in ipairs(patterns) do
			if tostring(name):find(pattern) then
				found[#found + 1] = name
				break
			end
		end
	end
	return found
end

--- A rule for the server as a client: its ClientHello offers no name that one of the patterns matches. `field`: a
-- list of the hello, such as "suites"; `noun`: the subject of the sentence.
function parts.not_offered(field, noun, patterns)
	local names = { "client.hello" }
	return function (observed)
		local problem = missing(observed, names[1])
		local found = matching(value_of(observed, names[1])[field], patterns)
		if problem then
			return problem
		elseif found[1] then
			return outcome("broken", ("%s is offered: %s"):format(noun, listed(found)), names)
		end
		return outcome("holds", noun .. " is not offered", names)
	end
end

--- A rule for the server, and one for the server as a client.
function parts.in_both_roles(as_server, as_client)
	return function (observed, endpoint, ...)
		return (endpoint.client and as_client or as_server)(observed, endpoint, ...)
	end
end

--- A rule for something that a clause only allows: it holds where that was seen.
function parts.allowed(name, no, yes)
	return function (observed)
		return missing(observed, name)
			or observed[name].seen and outcome("holds", yes, { name }) or outcome("not offered", no, { name })
	end
end

--- A rule that holds where an observation was made. `no`, `yes`: sentences.
function parts.seen(name, no, yes)
	return function (observed)
		return missing(observed, name)
			or observed[name].seen and outcome("holds", yes, { name }) or outcome("broken", no, { name })
	end
end

--- A rule that holds where an observation is denied. `yes`, `no`: sentences.
function parts.unseen(name, yes, no)
	return function (observed)
		return missing(observed, name)
			or observed[name].seen and outcome("broken", yes, { name }) or outcome("holds", no, { name })
	end
end

--- The worst of several parts.
function parts.all(...)
	local list = { ... }
	return function (...)
		local results = {}
		for index, rule in ipairs(list) do
			results[index] = rule(...)
		end
		return worst_of(results)
	end
end

--- A rule, and others that count only where the clause is enforced.
function parts.strictly(rule, ...)
	local strict_rule = parts.all(rule, ...)
	return function (observed, endpoint, strict)
		return (strict and strict_rule or rule)(observed, endpoint, strict)
	end
end

--- A rule about something that an endpoint need not do. Where an observation denies that it does,
-- `sentence` says so.
function parts.where(name, sentence, rule)
	return function (observed, ...)
		if is_denied(observed, name) then
			return outcome("not offered", sentence, { name })
		end
		return rule(observed, ...)
	end
end

--- A rule about the phase before TLS.
function parts.before_tls(rule)
	return function (observed, endpoint, ...)
		if endpoint.direct then
			return outcome("not offered", "TLS begins at once here", {})
		end
		return rule(observed, endpoint, ...)
	end
end

--- The rule of a clause that no outsider can test.
function parts.inside(reason)
	return function ()
		return not_tested("inside", reason, {})
	end
end

return parts
