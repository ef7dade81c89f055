-- What a policy's clauses say of one connection, or of one context's settings.
local verdict = {}

-- Asks one face of every clause, in the profile's order:
--   entries   of a policy: { id, document, section, level, at, enforced }
--   clauses   id -> clause
--   face      "judge" or "supports"; what follows is handed to it
-- Returns a list of { clause, document, section, level, enforced, text }.
-- What is only allowed is not asked. A face that fails counts as broken: a
-- connection that cannot be judged is not thereby a good one.
function verdict.collect(entries, clauses, face, ...)
	local broken = {}
	for _, entry in ipairs(entries) do
		local ask = entry.at ~= "never" and clauses[entry.id][face]
		if ask then
			local done, sentence = pcall(ask, ...)
			if not done then
				sentence = "could not be judged: " .. tostring(sentence)
			end
			if sentence then
				broken[#broken + 1] = {
					clause = entry.id,
					document = entry.document,
					section = entry.section,
					level = entry.level,
					enforced = entry.enforced,
					text = sentence,
				}
			end
		end
	end
	return broken
end

-- The verdict on the facts of a finished handshake, and on what the server knows
-- of the connection (see clauses.lua), if anything:
--   { refuse = whether something enforced is broken, broken = list as above }
function verdict.judge(entries, clauses, facts, connection)
	local broken = verdict.collect(entries, clauses, "judge",
		type(facts) == "table" and facts or {}, connection)
	local refuse = false
	for _, breach in ipairs(broken) do
		refuse = refuse or breach.enforced
	end
	return { refuse = refuse, broken = broken }
end

-- The ids of the enforced clauses that a verdict finds broken: a list.
function verdict.clauses(judged)
	local ids = {}
	for _, breach in ipairs(judged.broken) do
		ids[#ids + 1] = breach.enforced and breach.clause or nil
	end
	return ids
end

-- One breach as a sentence for logs and stream errors: which profile, where it
-- says so, how strongly, and what was negotiated.
function verdict.sentence(profile, breach)
	local document = breach.document == profile.document and "" or breach.document .. " "
	return ("%s, %ssection %s, %s (%s): %s"):format(
		profile.name, document, breach.section, breach.clause, breach.level, breach.text)
end

return verdict
