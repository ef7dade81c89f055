--- The classes of suites that an endpoint accepts in TLS 1.2 and older. Each hello offers nothing but the
-- suites of the classes that are still open, so that a refusal says no for all of them, and each
-- suite that the server chooses says yes for at least one.
local hello_lists = require "xmpp_tls_policy.audit.hello_lists"
local observations = require "xmpp_tls_policy.audit.observations"
local question = require "xmpp_tls_policy.audit.question"
local suite_classes = require "xmpp_tls_policy.policy.suite_classes"

local classes = { name = "classes", after = { "versions" } }

-- Says yes for each open class that has the suite: at least one, if the suite was offered.
local function accept(open, observed, suite, evidence)
	for _, class in ipairs(suite_classes.list) do
		local name = class[1]
		if open[name] and class[2](suite) then
			observed[name] = observations.made(true, evidence, { suite })
			open[name] = nil
		end
	end
end

-- The suites of open classes, out of those that the server does not fail on.
local function open_suites(open, usable)
	return hello_lists.filter(usable, function (suite)
		for _, class in ipairs(suite_classes.list) do
			if open[class[1]] and class[2](suite) then
				return true
			end
		end
		return false
	end)
end

-- The smallest group wins: anonymous DH may have another one.
local function note_dhe(observed, bits, evidence)
	local known = observed["dhe.bits"]
	if bits and not (known and known.seen and known.value <= bits) then
		observed["dhe.bits"] = observations.made(true, evidence, bits)
	end
end

-- What the answers to the hellos of `versions` told already.
local function take_versions(open, observed)
	for _, version in ipairs { "TLSv1.2", "TLSv1.1", "TLSv1", "SSLv3" } do
		local seen = observed["version." .. version]
		if seen and seen.seen then
			accept(open, observed, seen.value.suite, seen.evidence)
			note_dhe(observed, seen.value.dhe_bits, seen.evidence)
		end
	end
	local tls13 = observed["version.TLSv1.3"]
	if tls13 and tls13.seen then
		-- All of TLS 1.3 is both, but for a few suites that nobody has.
		for _, name in ipairs { "suites.aead", "suites.forward_secret" } do
			if open[name] then
				open[name], observed[name] = nil, observations.made(true, tls13.evidence, { tls13.value.suite })
			end
		end
	end
end

-- What the last answer, or its absence, says of the classes that are still open. It says nothing of a class
-- with no suite among the usable ones.
local function conclude(open, observed, usable, answer, reason)
	for _, class in ipairs(suite_classes.list) do
		local name = class[1]
		if open[name] then
			if #hello_lists.filter(usable, class[2]) == 0 then
				observed[name] = observations.untested "the server answers with internal_error when it chooses such a suite"
			elseif answer then
				observed[name] = observations.made(false, "to a hello that offers nothing else, " .. question.evidence(answer))
			else
				observed[name] = observations.untested(reason)
			end
		end
	end
end

local function conclude_dhe(observed)
	local dhe = observed["suites.dhe"]
	if not observed["dhe.bits"] then
		observed["dhe.bits"] = dhe.seen == nil and dhe or dhe.seen == false and observations.made(false, "DHE is refused")
			or observations.untested "the server chose DHE, but sent no parameters"
	end
end

--- Makes the observations of each class of suites, of DHE and of its group.
function classes.run(endpoint, observed)
	local open = {}
	for _, class in ipairs(suite_classes.list) do
		open[class[1]] = true
	end
	take_versions(open, observed)
	local usable = hello_lists.tls12
	while next(open) do
		local offered = open_suites(open, usable)
		local answer, reason
		if #offered > 0 then
			answer, reason = question.ask(endpoint, { suites = offered, groups = hello_lists.old_groups })
		end
		if not answer or not question.is_accepted(answer) then
			conclude(open, observed, usable, answer, reason)
			break
		end
		usable = answer.narrowed or usable
		note_dhe(observed, answer.dhe_bits, question.evidence(answer))
		accept(open, observed, answer.suite, question.evidence(answer))
	end
	conclude_dhe(observed)
end

return classes
