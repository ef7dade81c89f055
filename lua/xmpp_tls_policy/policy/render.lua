-- Policies and profiles as text, for people and for files that are compared.
local settings = require "xmpp_tls_policy.policy.settings"

local render = {}

local function shown(value)
	if value == nil then
		return "as the server has it"
	elseif type(value) == "boolean" then
		return value and "yes" or "no"
	end
	return tostring(value)
end

-- The settings of a policy, one a line, in an order that is always the same; the most of them are
-- limits of the server's own settings. Then the names by which the server's defaults are extended.
function render.settings(policy)
	local of_policy, lines = policy:settings(), { policy:name() }
	local function line(format, ...)
		lines[#lines + 1] = format:format(...)
	end
	for _, field in ipairs(settings.limits) do
		line("%s: %s", field, shown(of_policy[field]))
	end
	for _, switch in ipairs(settings.switches) do
		line("%s: %s", switch, shown(of_policy[switch]))
	end
	if not of_policy.signature_schemes then
		line("signature_schemes: %s", shown(nil))
	end
	for _, list in ipairs(of_policy.signature_schemes and settings.all_lists or settings.lists) do
		line("%s:", list)
		for _, name in ipairs(of_policy[list] or {}) do
			line("\t%s", name)
		end
	end
	for _, list in ipairs(settings.lists) do
		line("%s added to the server's defaults:", list)
		for _, name in ipairs(policy:additions()[list]) do
			line("\t%s", name)
		end
	end
	return table.concat(lines, "\n") .. "\n"
end

-- How an entry of a profile is held:
--   enforced_at  the mildest level at which a breach is refused; nil: never
--   handshake    list of "ruled out" (no handshake can break the clause), "arranged" (the
--                settings prefer it) and "kept on" (the settings support it)
--   connection   "judged" (by its facts), "our certificate" (a warning, if it breaks the clause), "stream"
--                or "server" (that part of the software holds the clause), or nil
function render.holding(entry, clause)
	local asked, handshake = clause.settings or {}, {}
	local active = entry.at ~= "never"
	if active then
		handshake[#handshake + 1] = asked.enforced and "ruled out" or nil
		handshake[#handshake + 1] = asked.always and "arranged" or nil
		handshake[#handshake + 1] = clause.supports and "kept on" or nil
	end
	return {
		enforced_at = active and (clause.judge or clause.held_by) and entry.at or nil,
		handshake = handshake,
		connection = active and (clause.judge and "judged" or clause.own_certificate and "our certificate")
			or clause.held_by,
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
