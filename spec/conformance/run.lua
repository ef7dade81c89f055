-- `make conformance`: prints the files that name each rule of an RFC and each clause, whether an outsider can test
-- the clause, the profiles that have it, and the gaps. Fails on an id without code, without a spec and a gap on
-- record, or without a definition, and on a clause without a probe or a profile.
local report = require "conformance.report"
local sources = require "conformance.sources"

local function line(label, paths)
	return ("    %-5s %s"):format(label, paths[1] and table.concat(paths, ", ") or "none")
end

local entries, problems = report.of(sources.read())
local gaps, inside, probed = {}, {}, 0
for _, entry in ipairs(entries) do
	print(("%s: %s\n%s\n%s"):format(entry.id, entry.statement, line("code", entry.code), line("specs", entry.specs)))
	if entry.probe then
		print(line("probe", { entry.probe }))
		print(line("in", entry.profiles))
		probed = probed + (entry.probe == "from outside" and 1 or 0)
		inside[#inside + 1] = entry.probe ~= "from outside" and ("%s: %s"):format(entry.id, entry.probe) or nil
	end
	if entry.gap then
		gaps[#gaps + 1] = ("%s: %s"):format(entry.id, entry.gap)
	end
end

local function print_list(title, list)
	print(("\n%s: %s"):format(title, list[1] and "" or "none"))
	for _, sentence in ipairs(list) do
		print("    " .. sentence)
	end
end

print_list(("%d rules and clauses. Without a spec, with a gap on record"):format(#entries), gaps)
print_list(("%d clauses are tested from outside. Without a probe"):format(probed), inside)
print_list("Problems", problems)
os.exit(problems[1] and 1 or 0)
