-- Which files name which rule and which clause, and the gaps between them.
local report = {}

-- The id of a rule: document.section.name.
local RULE = "^(%l+)%d+%.[%u%d][%d%.]*%.%l[%l%d%-]*$"
local DOCUMENTS = { rfc = true, xep = true }

-- A section that is cited in words: the rule should be named instead.
local CITATIONS = {
	"(RFC %d+) %d", "(RFC %d+), %d+%.", "(RFC %d+),? section", "(RFC %d+),? appendix", "(XEP%-%d+),? %d",
	"(XEP%-%d+),? section",
}

-- Name -> sorted paths of the texts (path -> text) that have it. A name is letters, digits, dots, hyphens
-- and underscores in a row, without those at its end.
local function index_of(texts)
	local index = {}
	for path, text in pairs(texts) do
		local seen = {}
		for word in text:gmatch "%w[%w._%-]*" do
			local name = word:gsub("[._%-]+$", "")
			if not seen[name] then
				seen[name] = true
				index[name] = index[name] or {}
				table.insert(index[name], path)
			end
		end
	end
	for _, paths in pairs(index) do
		table.sort(paths)
	end
	return index
end

local function copy_without(paths, left_out)
	local kept = {}
	for _, path in ipairs(paths or {}) do
		kept[#kept + 1] = not left_out[path] and path or nil
	end
	return kept
end

-- How an outsider tests a clause, in words; nil if it has no probe. A probe that no outsider can make says so
-- whatever was seen.
local function probe_of(clause)
	local result = clause.probe and clause.probe({}, { service = "c2s", direct = false }, true)
	if result and result.cause == "inside" then
		return "none: " .. result.sentence
	end
	return result and "from outside"
end

-- Id of a clause -> the profiles that have it, a sorted list of "name (document section, level)".
local function profiles_of(profiles)
	local lists = {}
	for name, profile in pairs(profiles) do
		for _, entry in ipairs(profile.entries) do
			if entry.clause then
				lists[entry.clause] = lists[entry.clause] or {}
				table.insert(lists[entry.clause], ("%s (%s %s, %s)"):format(name, entry.document, entry.section, entry.level))
			end
		end
	end
	for _, list in pairs(lists) do
		table.sort(list)
	end
	return lists
end

-- The rules and clauses, in order: a list of { id, statement, gap, code, specs, probe, profiles }.
local function entries_of(given, code, specs)
	local entries = {}
	for _, rule in ipairs(given.rules) do
		entries[#entries + 1] = {
			id = rule.id, statement = rule.statement, gap = rule.gap, code = code[rule.id] or {}, specs = specs[rule.id] or {},
		}
	end
	local profiles = profiles_of(given.profiles)
	for id, clause in pairs(given.clauses) do
		local paths = copy_without(code[id], given.lists_of_clauses)
		if clause.settings or clause.judge or clause.supports or clause.own_certificate then
			table.insert(paths, 1, given.clause_table)
		end
		entries[#entries + 1] = {
			id = id, statement = clause.statement, code = paths, specs = specs[id] or {}, is_clause = true,
			probe = probe_of(clause), profiles = profiles[id] or {},
		}
	end
	table.sort(entries, function (a, b)
		return a.id < b.id
	end)
	return entries
end

local function add_gaps(problems, entries)
	for _, entry in ipairs(entries) do
		if not entry.code[1] then
			problems[#problems + 1] = entry.id .. ": no code names it"
		end
		if not entry.specs[1] and not entry.gap then
			problems[#problems + 1] = entry.id .. ": no spec names it, and no gap is on record"
		elseif entry.specs[1] and entry.gap then
			problems[#problems + 1] = entry.id .. ": a spec names it, but a gap is on record"
		end
	end
end

-- The audit asks every clause.
local function add_without_probe(problems, entries)
	for _, entry in ipairs(entries) do
		if entry.is_clause and not entry.probe then
			problems[#problems + 1] = entry.id .. ": no probe, and no reason why there is none"
		end
	end
end

local function add_without_profile(problems, entries)
	for _, entry in ipairs(entries) do
		if entry.is_clause and not entry.profiles[1] then
			problems[#problems + 1] = entry.id .. ": no profile has it"
		end
	end
end

local function add_undefined(problems, index, rules)
	local defined = {}
	for _, rule in ipairs(rules) do
		defined[rule.id] = true
	end
	for name, paths in pairs(index) do
		if DOCUMENTS[name:match(RULE)] and not defined[name] then
			problems[#problems + 1] = ("%s: not defined, but named in %s"):format(name, table.concat(paths, ", "))
		end
	end
end

-- The documents that clauses come from are cited by section in their profiles, but for those that have rules, too.
local function add_citations(problems, code, profiles, rules)
	local of_clauses = {}
	for _, profile in pairs(profiles) do
		for _, entry in ipairs(profile.entries) do
			of_clauses[entry.document] = true
		end
	end
	for _, rule in ipairs(rules) do
		of_clauses[rule.document] = nil
	end
	for path, text in pairs(code) do
		for _, pattern in ipairs(CITATIONS) do
			for document in text:gmatch(pattern) do
				if not of_clauses[document] then
					problems[#problems + 1] = ("%s: cites a section of %s without the id of a rule"):format(path, document)
				end
			end
		end
	end
end

--- `given`:
--   rules, clauses, profiles   see rfc_rules.lua, clauses.lua, and by_name in profiles.lua
--   code, specs                path -> text
--   clause_table               path of the clauses, which hold themselves if they have a part that does
--   lists_of_clauses           path -> true for the files that name clauses without holding them
-- Returns the rules and clauses in order, a list of { id, statement, gap, code, specs (lists of paths), is_clause,
-- probe (of a clause: "from outside", or "none: " and the reason), profiles (that have the clause, with document,
-- section and level) }, and a list of sentences about those that are
-- not as they should be.
function report.of(given)
	local code, specs = index_of(given.code), index_of(given.specs)
	local entries, problems = entries_of(given, code, specs), {}
	add_gaps(problems, entries)
	add_without_probe(problems, entries)
	add_without_profile(problems, entries)
	add_undefined(problems, code, given.rules)
	add_undefined(problems, specs, given.rules)
	add_citations(problems, given.code, given.profiles, given.rules)
	table.sort(problems)
	return entries, problems
end

return report
