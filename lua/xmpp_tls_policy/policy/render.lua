-- Policies and profiles as text, for people and for files that are compared.
local composition = require "xmpp_tls_policy.policy.settings"

local render = {}

local function shown(value)
	if value == nil then
		return "as the server has it"
	elseif type(value) == "boolean" then
		return value and "yes" or "no"
	end
	return tostring(value)
end

-- The settings of a policy, always in the same order.
function render.settings(policy)
	local settings, lines = policy:settings(), { policy:name() }
	local function line(format, ...)
		lines[#lines + 1] = format:format(...)
	end
	for _, field in ipairs({ "minimum_version", "maximum_version", "dh_bits", "security_level" }) do
		line("%s: %s", field, shown(settings[field]))
	end
	for _, switch in ipairs(composition.switches) do
		line("%s: %s", switch, shown(settings[switch]))
	end
	for _, list in ipairs(composition.lists) do
		line("%s:", list)
		for _, name in ipairs(settings[list]) do
			line("\t%s", name)
		end
	end
	return table.concat(lines, "\n") .. "\n"
end

-- How a profile's entry is held: { enforced_at = the mildest level at which a breach is
-- refused, or nil; handshake = list of "ruled out", what breaks the clause; "arranged", what
-- it asks; "kept on", what it wants supported; connection = "judged", by its facts, "stream"
-- or "server", which see to it, or nil }.
function render.holding(entry, clause)
	local settings, handshake = clause.settings or {}, {}
	local active = entry.at ~= "never"
	if active then
		handshake[#handshake + 1] = settings.enforced and "ruled out" or nil
		handshake[#handshake + 1] = settings.always and "arranged" or nil
		handshake[#handshake + 1] = clause.supports and "kept on" or nil
	end
	return {
		enforced_at = active and (clause.judge or clause.held_by) and entry.at or nil,
		handshake = handshake,
		connection = active and clause.judge and "judged" or clause.held_by,
	}
end

-- The conformance table of a profile, as Markdown; see render.holding.
function render.conformance(profile, clauses)
	local lines = {
		"| clause | section | level | enforced at | in the handshake | on the connection |",
		"| --- | --- | --- | --- | --- | --- |",
	}
	local function cell(words)
		return words and words ~= "" and words or "—"
	end
	for _, entry in ipairs(profile.entries) do
		local holding = render.holding(entry, clauses[entry.clause])
		lines[#lines + 1] = ("| %s | %s | %s | %s | %s | %s |"):format(
			entry.clause,
			(entry.document == profile.document and "" or entry.document .. ", ") .. entry.section,
			entry.level,
			cell(holding.enforced_at),
			cell(table.concat(holding.handshake, ", ")),
			cell(holding.connection)
		)
	end
	return table.concat(lines, "\n") .. "\n"
end

return render
