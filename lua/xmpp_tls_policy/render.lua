-- Policies and profiles as text, for people and for files that are compared.
local composition = require "xmpp_tls_policy.settings"

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

local function in_the_handshake(clause)
	local settings, words = clause.settings or {}, {}
	words[#words + 1] = settings.enforced and "ruled out" or nil
	words[#words + 1] = settings.always and "arranged" or nil
	words[#words + 1] = clause.supports and "kept on" or nil
	return table.concat(words, ", ")
end

local function on_the_connection(clause)
	return clause.judge and "judged" or clause.held_by or ""
end

-- The conformance table of a profile, as Markdown. "enforced at" is the mildest
-- level at which a breach is refused. In the handshake: what breaks the clause is
-- ruled out, what it asks is arranged, what it wants supported is kept on. On the
-- connection: its facts are judged, or the stream or the server sees to it.
function render.conformance(profile, clauses)
	local lines = {
		"| clause | section | level | enforced at | in the handshake | on the connection |",
		"| --- | --- | --- | --- | --- | --- |",
	}
	local function cell(words)
		return words ~= "" and words or "—"
	end
	for _, entry in ipairs(profile.entries) do
		local clause = clauses[entry.clause]
		local handshake, connection = in_the_handshake(clause), on_the_connection(clause)
		local refuses = entry.at ~= "never" and (clause.judge or clause.held_by)
		if entry.at == "never" then
			handshake, connection = "", clause.held_by or ""
		end
		lines[#lines + 1] = ("| %s | %s | %s | %s | %s | %s |"):format(
			entry.clause,
			(entry.document == profile.document and "" or entry.document .. ", ") .. entry.section,
			entry.level,
			cell(refuses and entry.at or ""),
			cell(handshake),
			cell(connection)
		)
	end
	return table.concat(lines, "\n") .. "\n"
end

return render
