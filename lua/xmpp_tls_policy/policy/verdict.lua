-- Verdicts: the clauses that a connection, or the settings of a context, break.
local verdict = {}

-- The breach of a clause, as verdicts list them: { clause, document, section, level,
-- enforced, text }. `entry`: of a policy (see policy/init.lua), or { id, enforced } for a
-- demand that no document makes; `text`: a sentence that names the fault.
function verdict.breach(entry, text)
	return {
		clause = entry.id,
		document = entry.document,
		section = entry.section,
		level = entry.level,
		enforced = entry.enforced,
		text = text,
	}
end

-- The checks of one kind that a policy asks for, in the order of its profile.
--   entries   of the policy: list of { id, document, section, level, at, enforced }
--   clauses   id -> clause (see clauses.lua)
--   kind      the field of a clause that holds the check: "judge" or "supports"
-- Returns a list of { entry, check = function }. A clause that only allows has none.
function verdict.checks(entries, clauses, kind)
	local checks = {}
	for _, entry in ipairs(entries) do
		local check = entry.at ~= "never" and clauses[entry.id][kind]
		if check then
			checks[#checks + 1] = { entry = entry, check = check }
		end
	end
	return checks
end

local function run_all(checks, first, second)
	local broken = {}
	for index = 1, #checks do
		local text = checks[index].check(first, second)
		if text then
			broken[#broken + 1] = verdict.breach(checks[index].entry, text)
		end
	end
	return broken
end

-- Runs every check with the same two arguments. Returns the list of breaches. A check that
-- throws counts as broken: a connection that cannot be judged is not a good one.
function verdict.breaches(checks, first, second)
	local done, broken = pcall(run_all, checks, first, second)
	if done then
		return broken
	end
	broken = {}
	for _, item in ipairs(checks) do
		local returned, text = pcall(item.check, first, second)
		if not returned then
			text = "could not be judged: " .. tostring(text)
		end
		if text then
			broken[#broken + 1] = verdict.breach(item.entry, text)
		end
	end
	return broken
end

-- A verdict on breaches: { refuse = whether one of them is enforced, broken = the list }.
function verdict.of(broken)
	local refuse = false
	for _, breach in ipairs(broken) do
		refuse = refuse or breach.enforced
	end
	return { refuse = refuse, broken = broken }
end

-- The verdict on the facts of a finished handshake and on the server's knowledge of the
-- connection (see clauses.lua; nil: none). `checks`: of the kind "judge".
function verdict.judge(checks, facts, connection)
	return verdict.of(verdict.breaches(checks, type(facts) == "table" and facts or {}, connection))
end

-- The ids of the clauses that a list of breaches refuses for.
function verdict.clauses(broken)
	local ids = {}
	for _, breach in ipairs(broken) do
		ids[#ids + 1] = breach.enforced and breach.clause or nil
	end
	return ids
end

-- One breach as a sentence for logs and stream errors: profile, section, clause, level,
-- and the fault. `profile`: { name, document }.
function verdict.sentence(profile, breach)
	if not breach.document then
		return ("%s: %s"):format(breach.clause, breach.text)
	end
	local document = breach.document == profile.document and "" or breach.document .. " "
	return ("%s, %ssection %s, %s (%s): %s"):format(
		profile.name, document, breach.section, breach.clause, breach.level, breach.text)
end

return verdict
