--- The shapes of a host (see shapes.lua) that a policy would cut off if it were enforced there.
local what_if = {}

-- Adds the breaches that a verdict refuses for.
local function add_breaches(found, verdict)
	for _, breach in ipairs(verdict.broken) do
		if breach.enforced and not found.is_listed[breach.clause] then
			found.is_listed[breach.clause] = true
			found.clauses[#found.clauses + 1] = { clause = breach.clause, text = breach.text }
		end
	end
end

-- The role in which a shape came, in a fixed order.
local roles = { "c2s", "s2sin", "s2sout" }

-- The part of a shape that a policy would cut off, as below; nil if it is none. `problems`: role -> message, to
-- which roles are added whose shapes cannot be judged.
local function cut_off(entry, judgement, milder, problems)
	local found = { logins = 0, roles = {}, clauses = {}, is_listed = {} }
	local kept_by_level = milder ~= nil
	for _, role in ipairs(roles) do
		local logins = entry.roles[role]
		local verdict, message
		if logins then
			verdict, message = judgement:of(entry.shape, role)
			problems[role] = not verdict and (message or "the server has no context for it") or problems[role]
		end
		if verdict and verdict.refuse then
			found.logins = found.logins + logins
			found.roles[#found.roles + 1] = role
			add_breaches(found, verdict)
			local milder_verdict = milder and milder:of(entry.shape, role)
			kept_by_level = kept_by_level and milder_verdict ~= nil and not milder_verdict.refuse
		end
	end
	found.is_listed, found.kept_by_level = nil, kept_by_level
	return found.roles[1] and found or nil
end

--- The answer for a host. `fleets`: see fleets.lua; `next_turn`: function() that is called between steps of the
-- work. Nil: nothing is known of the host. Else a table:
--   shapes, logins          how many there were in 30 days
--   since, missed, unnamed  see shapes:limits
--   is_reading              whether stored shapes are still missing
--   problems                role -> message: its shapes could not be judged
--   level                   the milder one of the policy, or nil
--   cut_off                 list of { shape, id, logins, roles, clauses = list of { clause, text }, peers = list of
--                           accounts and domains that are known, kept_by_level = whether the milder level would
--                           keep it }, the most frequent first
function what_if.of(fleets, host, policy, next_turn)
	local shapes = fleets:get(host)
	if not shapes then
		return nil
	end
	local answer, milder_policy = shapes:limits(), policy:milder()
	local judgement = fleets:judgement(host, policy)
	local milder = milder_policy and fleets:judgement(host, milder_policy)
	answer.shapes, answer.logins, answer.problems, answer.cut_off = 0, 0, {}, {}
	answer.is_reading = fleets:is_reading(host)
	answer.level = milder_policy and milder_policy.level
	for _, entry in ipairs(shapes:list()) do
		answer.shapes, answer.logins = answer.shapes + 1, answer.logins + entry.logins
		local found = cut_off(entry, judgement, milder, answer.problems)
		if found then
			found.shape, found.id, found.peers = entry.shape, entry.id, shapes:peers(entry.shape)
			answer.cut_off[#answer.cut_off + 1] = found
		end
		next_turn()
	end
	return answer
end

return what_if
